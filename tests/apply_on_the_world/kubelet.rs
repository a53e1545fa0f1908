//! The kubelet's settings on a file system: which of its files are read, in which order, and what is said where one cannot be.

use holdfast::plan::Verdict;

use super::operator::{Operator, finding, ids_with};
use super::world::{Options, World};

const FOLDER: &str = "/etc/kubernetes/kubelet.d";
const HEAD: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

fn world(flags: &[&str]) -> World {
    World::with(Options {
        kubelet_flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        ..Options::default()
    })
}

/// Writes a drop-in.
fn drop_in(world: &World, name: &str, text: &str) {
    let path = world.path(&format!("{FOLDER}/{name}"));
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of ours");
    std::fs::write(path, format!("{HEAD}{text}\n")).expect("a file of ours");
}

/// The verdict of a control and what is said of it.
fn told(world: &World, id: &str) -> (Verdict, String) {
    let looked = Operator::new(world.node(), "").check();
    let found = finding(&looked, id);
    let actual: Vec<&str> = found.evidence.iter().map(|piece| piece.actual.as_str()).collect();
    (found.verdict, actual.join(", "))
}

#[test]
fn a_fresh_kubelet_is_judged_by_its_file() {
    let (verdict, actual) = told(&world(&[]), "CIS-4.2.1");
    let expected = "authentication.anonymous.enabled: false (from /var/lib/kubelet/config.yaml)";
    assert_eq!((verdict, actual.as_str()), (Verdict::Pass, expected));
}

#[test]
fn drop_ins_are_read_in_the_order_of_a_walk_and_a_flag_counts_over_them() {
    let world = world(&["--config_dir", FOLDER, "--read-only-port=0"]);
    drop_in(&world, "a.conf", "podPidsLimit: 1");
    drop_in(&world, "a/z.conf", "podPidsLimit: 2");
    drop_in(&world, "a-b.conf", "podPidsLimit: 3");
    drop_in(&world, "z.conf.off", "podPidsLimit: 4");
    drop_in(&world, ".hidden.conf", "readOnlyPort: 10255\nseccompDefault: yes");
    let (verdict, actual) = told(&world, "CIS-4.2.13");
    let last = format!("podPidsLimit: 1 (from the drop-in {FOLDER}/a.conf); the kubelet was started before");
    assert!(verdict == Verdict::Pass && actual.starts_with(&last), "{actual}");

    let (verdict, actual) = told(&world, "CIS-4.2.4");
    let by_flag = "readOnlyPort: 0 (from --read-only-port of the running kubelet)";
    assert_eq!((verdict, actual.as_str()), (Verdict::Pass, by_flag));
    assert_eq!(told(&world, "X-KUBELET-06").0, Verdict::Pass);
    let (verdict, actual) = told(&world, "CIS-4.2.14");
    assert_eq!(verdict, Verdict::Pass, "yes is true to the kubelet: {actual}");
}

#[test]
fn what_a_drop_in_weakens_is_told() {
    let world = world(&["--config-dir=/etc/kubernetes/kubelet.d"]);
    drop_in(&world, "50.conf", "staticPodPath: /srv/pods\nreadOnlyPort: 10255");
    for id in ["CIS-4.2.4", "X-FILE-05", "X-KUBELET-06"] {
        let (verdict, actual) = told(&world, id);
        assert!(
            verdict == Verdict::Drift && actual.contains("50.conf"),
            "{id}: {actual}"
        );
    }
}

#[test]
fn a_drop_in_with_which_no_kubelet_starts_leaves_unknown_what_it_could_have_said() {
    let folder = format!("--config-dir={FOLDER}");
    for (text, why) in [
        (
            "readOnlyPort: 0\nreadOnlyPort: 1",
            "the key readOnlyPort is given twice",
        ),
        ("readOnlyPort: [", "line"),
        (
            "ReadOnlyPort: 1",
            "ReadOnlyPort is not readOnlyPort to the letter",
        ),
    ] {
        let world = world(&[&folder, "--anonymous-auth=false"]);
        drop_in(&world, "50.conf", text);
        let (verdict, actual) = told(&world, "CIS-4.2.4");
        assert!(
            verdict == Verdict::Unknown && actual.contains("50.conf") && actual.contains(why),
            "{actual}"
        );
        assert_eq!(told(&world, "CIS-4.2.1").0, Verdict::Pass, "a flag decides");
    }
    let (verdict, actual) = told(&world(&[&folder]), "CIS-4.2.4");
    let gone = "/etc/kubernetes/kubelet.d, which the kubelet was started with, is not there";
    assert_eq!((verdict, actual.as_str()), (Verdict::Unknown, gone));
}

#[test]
fn a_kubelet_without_its_file_has_the_defaults_of_its_flags_and_one_whose_file_is_gone_is_unknown() {
    let world = world(&["--config="]);
    for id in ["CIS-4.2.1", "CIS-4.2.2", "CIS-4.2.3", "CIS-4.2.4", "X-KUBELET-03"] {
        assert_eq!(told(&world, id).0, Verdict::Drift, "{id}");
    }
    let gone = World::new();
    std::fs::remove_file(gone.path("/var/lib/kubelet/config.yaml")).expect("a file of ours");
    let (verdict, actual) = told(&gone, "CIS-4.2.1");
    let why = "/var/lib/kubelet/config.yaml, which the kubelet was started with, is not there";
    assert_eq!((verdict, actual.as_str()), (Verdict::Unknown, why));
}

#[test]
fn a_kubelet_that_is_down_is_judged_by_its_file_and_what_only_a_flag_says_is_unknown() {
    let world = World::with(Options {
        kubelet: false,
        ..Options::default()
    });
    let (verdict, actual) = told(&world, "CIS-4.2.1");
    let expected = "authentication.anonymous.enabled: false (from /var/lib/kubelet/config.yaml); the kubelet does not run, and its flags may \
                    say otherwise";
    assert_eq!((verdict, actual.as_str()), (Verdict::Pass, expected));
    let looked = Operator::new(world.node(), "").check();
    let unknown: Vec<String> = ids_with(&looked, Verdict::Unknown).into_iter().collect();
    assert_eq!(unknown, ["CIS-4.2.7", "X-KUBELET-06", "X-SELF-01"]);
    std::fs::remove_file(world.path("/var/lib/kubelet/config.yaml")).expect("a file of ours");
    assert_eq!(told(&world, "CIS-4.2.1").0, Verdict::NotApplicable);
}
