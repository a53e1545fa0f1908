//! What the commands of `encryption` tell, refuse and exit with, run whole in a process of their own on a simulated node.
#![cfg(feature = "failpoints")]
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test touches the node from outside, and fails loudly"
)]

mod rotating;
mod world;

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
