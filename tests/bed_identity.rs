//! Holdfast with an identity of its own, on a genuine kubeadm node: made by the very steps that config/rbac/holdfast.yaml tells, it walks
//! a whole rotation, and it can list no Secret.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails loudly")]

#[path = "bed/by_hand.rs"]
mod by_hand;
#[path = "bed/node.rs"]
mod node;

use by_hand::{Mounted, aescbc, config, create_secrets, encrypt, random, rewrite_secrets};
use node::Node;

const RBAC: &str = include_str!("../config/rbac/holdfast.yaml");

/// The steps that the comments of the file tell: the lines that are set in by three spaces.
fn steps() -> String {
    let lines = RBAC.lines().filter_map(|line| line.strip_prefix("#   "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// A node with a key set up by hand, and Holdfast's own identity with these rules.
fn with_identity(rbac: &str, reload: bool) -> Node {
    let node = Node::fresh();
    let config = config(&["secrets"], &aescbc(&[("key1", &random::<32>())]));
    let reload = format!("--encryption-provider-config-automatic-reload={reload}");
    encrypt(&node, &config, Mounted::Folder, &[&reload]);
    create_secrets(&node, 50);
    rewrite_secrets(&node);
    node.write("/root/holdfast.yaml", rbac);
    node.sh(&format!("set -e; mkdir -p /etc/holdfast; cd /root\n{}", steps()));
    node.configure("api: { kubeconfig: /etc/holdfast/api.conf }\n");
    assert_eq!(node.mode("/etc/holdfast/api.conf"), 0o600);
    // kubeadm's own must not be what it asks with.
    node.sh("mv /etc/kubernetes/admin.conf /root/admin.conf; chmod 0600 /root/admin.conf");
    node
}

fn as_holdfast(node: &Node, words: &str) -> node::Said {
    node.run(&[
        "sh",
        "-c",
        &format!("kubectl --kubeconfig=/etc/holdfast/api.conf {words}"),
    ])
}

fn rotates(node: &Node) -> String {
    let said = node.holdfast(&["encryption", "rotate", "--yes", "--any-time"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let (_, after) = node.json(&["encryption", "verify"]);
    let values = after["census"]["values"].as_array().expect("a census");
    let keys: Vec<&str> = values.iter().filter_map(|row| row["key"].as_str()).collect();
    assert!(
        !keys.is_empty() && keys.iter().all(|key| key.starts_with("aescbc:hf")),
        "{after:#}"
    );
    let value =
        node.sh("kubectl --kubeconfig=/root/admin.conf get secret s50 -o jsonpath='{.data.a}' | base64 -d");
    assert_eq!(value, "value 50");
    // A no-op write changes nothing where nothing mutates: what was stored before and after was compared.
    assert!(
        said.out
            .contains("rewritten ones that were compared is what it was"),
        "{}",
        said.out
    );
    said.out
}

#[test]
#[ignore = "needs the test bed"]
fn an_identity_of_least_privilege_rotates_and_can_list_no_secret() {
    let node = with_identity(RBAC, true);
    for words in [
        "get secrets -A",
        "get secret s1",
        "get secrets -n kube-system",
        "get configmaps -A",
    ] {
        let said = as_holdfast(&node, words);
        assert!(
            said.code != 0 && said.err.contains("Forbidden"),
            "{words}: {said:?}"
        );
    }
    let (code, status) = node.json(&["encryption", "verify"]);
    assert!(matches!(code, 0 | 2), "{status:#}");
    let printed = rotates(&node);
    assert!(
        !printed.contains("system:masters"),
        "flow control holds it back: {printed}"
    );
    // Nobody else may have its key.
    node.sh("chmod 0640 /etc/holdfast/api.conf");
    let said = node.holdfast(&["encryption", "rotate", "--yes"]);
    assert!(
        said.code == 1 && said.err.contains("chmod 0600 /etc/holdfast/api.conf"),
        "{said:?}"
    );
    // A retired key goes when the operator says so, and not before.
    node.sh("chmod 0600 /etc/holdfast/api.conf");
    let keys = node.holdfast(&["encryption", "keys"]).out;
    let used = keys
        .split_whitespace()
        .find(|word| word.starts_with("aescbc:hf"))
        .expect("a key");
    let refused = node.holdfast(&["encryption", "forget", "--yes", used]);
    assert!(
        refused.code == 1 && refused.err.contains("in the API server's configuration"),
        "{refused:?}"
    );
    let shown = node.holdfast(&["encryption", "forget", "--dry-run", "aescbc:key1"]);
    assert!(
        shown.code == 0 && shown.out.contains("/var/lib/holdfast/retained/key-"),
        "{shown:?}"
    );
    assert_eq!(node.holdfast(&["encryption", "keys"]).out, keys);
    let gone = node.holdfast(&["encryption", "forget", "--yes", "aescbc:key1"]);
    assert_eq!(gone.code, 0, "{gone:?}");
    assert!(!node.holdfast(&["encryption", "keys"]).out.contains("aescbc:key1"));
    assert_eq!(
        node.sh("grep -rl key1 /var/lib/holdfast/keys /var/lib/holdfast/retained || true"),
        ""
    );
}

/// As with an API server before 1.34, that does not say what it has loaded: what proves it is the restart (F23).
#[test]
#[ignore = "needs the test bed"]
fn a_server_whose_metrics_are_refused_is_rotated_by_restarts_and_one_that_reloads_is_not() {
    let silent = RBAC.replace(
        "nonResourceURLs: [/metrics, /readyz]",
        "nonResourceURLs: [/readyz]",
    );
    assert_ne!(silent, RBAC);
    let node = with_identity(&silent, false);
    let said = as_holdfast(&node, "get --raw /metrics");
    assert!(said.code != 0 && said.err.contains("Forbidden"), "{said:?}");
    let started = node.processes("kube-apiserver");
    let printed = rotates(&node);
    assert_eq!(
        printed
            .matches("kube-apiserver does not say what it runs with")
            .count(),
        1,
        "{printed}"
    );
    assert_ne!(node.processes("kube-apiserver"), started);
    // Once so that it is known what it runs with, and for each of the three loads.
    assert_eq!(
        printed.matches("done: bounce of kube-apiserver").count(),
        4,
        "{printed}"
    );

    // One that loads by itself at some time proves nothing.
    node.sh(
        "set -e; cd /etc/kubernetes/manifests; sed 's/automatic-reload=false/automatic-reload=true/' kube-apiserver.yaml > /root/new.yaml; \
         chmod 0600 /root/new.yaml; mv /root/new.yaml kube-apiserver.yaml; \
         until ps -e -o args | grep -q '^kube-apiserver.*automatic-reload=true'; do sleep 0.5; done; \
         until kubectl --kubeconfig=/root/admin.conf --request-timeout=1s get --raw /readyz >/dev/null 2>&1; do sleep 0.5; done",
    );
    let said = node.holdfast(&["encryption", "rotate", "--yes", "--any-time"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.err
            .contains("it loads a changed file by itself at some time")
            && said.err.contains("automatic-reload out of"),
        "{said:?}"
    );
}
