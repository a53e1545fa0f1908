//! Nodes that were set up by hand: the same files elsewhere are judged as kubeadm's are.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test moves a node's files and starts Holdfast"
)]

mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use world::World;

/// Where the files of kubeadm's folders lie on a node that was set up by hand.
const MOVED: [(&str, &str); 3] = [
    ("/etc/kubernetes/manifests", "/srv/pods"),
    ("/etc/kubernetes/pki", "/srv/keys"),
    ("/etc/kubernetes", "/opt/k8s"),
];
const PATHS: &str = "paths:\n  manifests: /srv/pods\n  pki: /srv/keys\n  kubernetes: /opt/k8s\n";

/// What each control comes to, and the texts that it comes to it by.
fn judged(root: &Path) -> (BTreeMap<String, String>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .arg("--root")
        .arg(root)
        .args(["check", "--output", "json"])
        .output()
        .expect("Holdfast is built");
    let text = String::from_utf8(output.stdout).expect("JSON");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let findings = report.get("findings").and_then(serde_json::Value::as_array);
    let of = |finding: &serde_json::Value| {
        let word = |name: &str| {
            let word = finding.get(name).and_then(serde_json::Value::as_str);
            word.expect("a text").to_owned()
        };
        (word("id"), word("verdict"))
    };
    (findings.expect("a list").iter().map(of).collect(), text)
}

fn move_away(root: &Path) {
    let here = |path: &str| root.join(path.trim_start_matches('/'));
    for (from, to) in MOVED {
        std::fs::create_dir_all(here(to).parent().expect("a folder")).expect("writable");
        std::fs::rename(here(from), here(to)).expect("one file system");
    }
    let config = here("/var/lib/kubelet/config.yaml");
    let mut texts: Vec<_> = std::fs::read_dir(here("/srv/pods"))
        .expect("it was moved")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    texts.push(config);
    for path in texts {
        let mut text = std::fs::read_to_string(&path).expect("a text");
        for (from, to) in MOVED {
            text = text.replace(from, to);
        }
        std::fs::write(&path, text).expect("writable");
    }
}

#[test]
fn a_node_that_was_set_up_by_hand_is_judged_as_one_of_kubeadms() {
    let world = World::new();
    let (usual, _) = judged(world.root());
    assert!(usual.len() > 150, "{}", usual.len());
    move_away(world.root());
    let config = world.root().join("etc/holdfast/config.yaml");
    std::fs::create_dir_all(config.parent().expect("a folder")).expect("writable");
    std::fs::write(&config, PATHS).expect("writable");
    let (by_hand, text) = judged(world.root());
    let differing: Vec<_> = usual
        .iter()
        .filter(|(id, verdict)| by_hand.get(*id) != Some(*verdict))
        .map(|(id, verdict)| (id, verdict, by_hand.get(id)))
        .collect();
    assert!(differing.is_empty(), "{differing:?}");
    for folder in [
        "/srv/pods/etcd.yaml",
        "/opt/k8s/admin.conf",
        "/srv/keys/etcd/ca.key",
    ] {
        assert!(text.contains(folder), "{folder} is not told");
    }
}
