//! What the commands of `encryption` tell, refuse and exit with, run whole in a process of their own on a simulated node.
#![cfg(feature = "failpoints")]
#![expect(clippy::disallowed_methods, reason = "a test touches the node from outside")]

mod rotating;
mod world;

use holdfast::rotation::Stage;
use rotating::{Ended, Run, history, said};
use world::encrypted::{CONFIG, Cluster, Loads, STATE};

const SECRETS: [&str; 2] = ["default/a", "kube-system/b"];

#[test]
#[ignore = "the process that the other tests start"]
fn child_command() {
    rotating::child();
}

fn cluster() -> Cluster {
    let cluster = Cluster::new(Loads::ByItself, &SECRETS, None);
    cluster.serving();
    cluster
}

/// What a command exits with, and what it says.
fn told(cluster: &Cluster, words: &str) -> (u8, String) {
    let run = Run {
        words,
        ..Run::default()
    };
    match run.on(cluster) {
        Ended::Code(code) => (code, said(cluster)),
        Ended::Killed => (u8::MAX, said(cluster)),
    }
}

#[test]
fn enable_does_not_say_that_all_is_well_where_less_is_encrypted_or_by_another_provider() {
    let cluster = cluster();
    for (words, part) in [
        ("--resources secrets,configmaps", "not covered: configmaps. To do"),
        (
            "--provider secretbox",
            "aescbc:old writes, and no key of secretbox. To do",
        ),
    ] {
        let (code, text) = told(
            &cluster,
            &format!("encryption enable --yes --keep-kubeadm-config {words}"),
        );
        assert_eq!(code, 2, "{words}: {text}");
        assert!(text.contains(part), "{words}: {text}");
    }
    let (code, text) = told(&cluster, "encryption enable --yes --keep-kubeadm-config");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Encryption at rest is on"), "{text}");
}

#[test]
fn keys_lists_the_key_store_where_the_configuration_is_lost() {
    let cluster = cluster();
    let config = cluster.world.root().join(CONFIG);
    let former = std::fs::read(&config).expect("it is there");
    let retained = cluster.world.root().join(STATE).join("retained");
    std::fs::create_dir_all(&retained).expect("writable");
    std::fs::write(retained.join("key-1.yaml"), &former).expect("writable");
    let (code, text) = told(&cluster, "encryption keys");
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("in use: it writes") && text.contains("retired"),
        "{text}"
    );

    std::fs::write(&config, "nothing: [of a configuration\n").expect("a file of ours");
    let (code, text) = told(&cluster, "encryption keys");
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("Which keys are in use cannot be told") && text.contains("retired"),
        "{text}"
    );
    let (code, text) = told(&cluster, "encryption keys --output json");
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("\"exitCode\": 3") && text.contains("\"inUseUnknown\": \""),
        "{text}"
    );
}

const COMMANDS: [&str; 2] = ["encryption rotate", "encryption disable"];

#[test]
fn a_dry_run_refuses_what_would_be_refused() {
    let cluster = cluster();
    for words in COMMANDS {
        let (code, text) = told(&cluster, &format!("{words} --dry-run"));
        assert_eq!(code, 0, "{words}: {text}");
        assert!(text.contains("step 7"), "{words}: {text}");
    }
    let state = cluster.world.root().join(STATE);
    assert!(!state.exists(), "nothing was recorded");

    let pause = cluster.world.root().join("etc/holdfast/pause");
    std::fs::create_dir_all(pause.parent().expect("a folder")).expect("writable");
    std::fs::write(&pause, "until: 2999-01-01T00:00:00Z\nreason: the release\n").expect("writable");
    for words in COMMANDS {
        for how in ["--dry-run", "--yes"] {
            let (code, text) = told(&cluster, &format!("{words} {how}"));
            assert_eq!(code, 1, "{words} {how}: {text}");
            assert!(text.contains("the release"), "{words} {how}: {text}");
        }
        let (_, text) = told(&cluster, &format!("{words} --dry-run"));
        assert!(!text.contains("step 7"), "no plan of what is refused: {text}");
    }
    std::fs::remove_file(&pause).expect("a file of ours");
    assert!(history(&cluster).rotation.is_none());

    let config = cluster.world.root().join(CONFIG);
    let former = std::fs::read_to_string(&config).expect("it is there");
    let other = "- resources: [configmaps]\n  providers:\n  - aescbc: {keys: [{name: other, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}\n";
    std::fs::write(&config, former + other).expect("a file of ours");
    for words in COMMANDS {
        let (code, text) = told(&cluster, &format!("{words} --dry-run"));
        assert_eq!(code, 1, "{words}: {text}");
        assert!(!text.contains("step 7"), "{words}: {text}");
    }
}

#[test]
fn what_is_past_its_cut_is_not_said_to_be_turned_back() {
    let is_cutting = |cluster: &Cluster| {
        let rotation = history(cluster).rotation;
        rotation.is_some_and(|rotation| rotation.is_cutting())
    };
    let undisturbed = cluster();
    assert_eq!(told(&undisturbed, rotating::ROTATE).0, 0);
    let points = rotating::points(&undisturbed).len();
    let mut killed_at = points;
    let cluster = loop {
        killed_at -= 1;
        assert!(killed_at + 10 > points, "it is never past its cut");
        let cluster = self::cluster();
        let run = Run {
            words: rotating::ROTATE,
            kill_at: killed_at,
            ..Run::default()
        };
        if run.on(&cluster) == Ended::Killed && is_cutting(&cluster) {
            break cluster;
        }
    };
    for how in ["--dry-run", "--yes"] {
        let (code, text) = told(&cluster, &format!("encryption abort {how}"));
        assert_eq!(code, 1, "{how}: {text}");
        assert!(
            text.contains("past its cut") && !text.contains("is turned back"),
            "{how}: {text}"
        );
    }
}

#[test]
fn a_rotation_that_is_interrupted_while_it_counts_is_not_begun() {
    let cluster = cluster();
    let run = Run {
        words: rotating::ROTATE,
        // Its journal is made just before.
        asked_to_end_at: 1,
        ..Run::default()
    };
    assert_eq!(run.on(&cluster), Ended::Code(2), "{}", said(&cluster));
    assert!(
        said(&cluster).contains("Interrupted: nothing was begun"),
        "{}",
        said(&cluster)
    );
    let history = history(&cluster);
    assert!(history.rotation.is_none() && history.last.is_none());
}

#[test]
fn what_a_command_warns_of_is_told_somewhere() {
    let is_written = |cluster: &Cluster| {
        let rotation = history(cluster).rotation;
        rotation.is_some_and(|rotation| rotation.goal == Stage::WriteNew)
    };
    let mut killed_at = 30;
    let cluster = loop {
        killed_at += 6;
        assert!(killed_at < 120, "it is never at its second stage");
        let cluster = self::cluster();
        let run = Run {
            words: rotating::ROTATE,
            kill_at: killed_at,
            ..Run::default()
        };
        if run.on(&cluster) == Ended::Killed && is_written(&cluster) {
            break cluster;
        }
    };
    let retained = cluster.world.root().join(STATE).join("retained");
    for entry in std::fs::read_dir(&retained).expect("it is there") {
        std::fs::remove_file(entry.expect("an entry").path()).expect("a file of ours");
    }
    let (code, text) = told(&cluster, rotating::ABORT);
    assert_eq!(code, 0, "{text}");
    // Nothing here is a journal, so it is told on standard error.
    assert!(
        text.contains(" WARN ") && text.contains("not byte by byte"),
        "{text}"
    );
}

#[test]
fn an_api_server_that_runs_is_not_restarted_into_what_it_does_not_read_its_values_with() {
    let cluster = Cluster::new(Loads::AtStart, &SECRETS, None);
    cluster.serving();
    let config = cluster.world.root().join(CONFIG);
    let former = std::fs::read_to_string(&config).expect("it is there");
    let other = former.replace(
        "name: old, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "name: new, secret: ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=",
    );
    for (text, part) in [
        (
            other.as_str(),
            "of the stored values, as /registry/secrets/default/a",
        ),
        (
            "nothing: [of a configuration\n",
            "it may not start with its --encryption-provider-config",
        ),
    ] {
        std::fs::write(&config, text).expect("a file of ours");
        for how in ["--dry-run", "--yes"] {
            let (code, text) = told(&cluster, &format!("bounce kube-apiserver {how}"));
            assert_eq!(code, 1, "{how}: {text}");
            assert!(text.contains(part), "{how}: {text}");
        }
    }
    assert!(cluster.loaded().is_some(), "it runs on with what it has loaded");
    std::fs::write(&config, former).expect("a file of ours");
    let (code, text) = told(&cluster, "bounce kube-apiserver --dry-run");
    assert_eq!(code, 0, "{text}");
}
