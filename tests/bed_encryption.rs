//! Encryption at rest on a genuine kubeadm node: enabled, kept through an upgrade, disabled, and rotated by an API server that loads its
//! configuration only when it starts. Every claim is read from etcd.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails loudly, and shows the outages"
)]

#[path = "bed/by_hand.rs"]
mod by_hand;
#[path = "bed/node.rs"]
mod node;

use std::collections::BTreeSet;
use std::time::Duration;

use by_hand::{
    CONFIG, MANIFEST, Mounted, READY, aescbc, config, content, create_secrets, encrypt, random, restart_with,
    rewrite_secrets,
};
use node::Node;

/// The keys under which etcd holds secrets, by Holdfast's own proof; none while that cannot be told.
fn keys_of(node: &Node) -> (i32, BTreeSet<String>) {
    let (code, report) = node.json(&["encryption", "verify"]);
    if code != 0 {
        // Nothing else of a failed test tells what was found.
        println!("verify ends with {code}: {report:#}");
    }
    let values = report["census"]["values"].as_array().cloned().unwrap_or_default();
    let keys = values
        .iter()
        .map(|row| row["key"].as_str().expect("a key").to_owned());
    (code, keys.collect())
}

/// How many values of secrets show that text in etcd itself, asked without Holdfast.
fn in_the_clear(node: &Node, text: &str) -> u32 {
    let found = node.sh(&format!(
        "ETCDCTL_API=3 etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt \
         --cert=/etc/kubernetes/pki/apiserver-etcd-client.crt --key=/etc/kubernetes/pki/apiserver-etcd-client.key \
         get --prefix /registry/secrets/default/ --print-value-only | grep -aFc '{text}' || true"
    ));
    found
        .trim()
        .parse()
        .unwrap_or_else(|error| panic!("{error}: {found}"))
}

fn contents_are_right(node: &Node, count: u32) {
    for number in [1, count / 2, count] {
        assert_eq!(content(node, &format!("s{number}")), format!("value {number}"));
    }
}

#[test]
#[ignore = "needs the test bed"]
fn a_fresh_node_is_enabled_with_one_restart_and_disabled_again_without_one() {
    const SECRETS: u32 = 1_000;
    let node = Node::fresh();
    restart_with(&node, &[], "");
    create_secrets(&node, SECRETS);
    assert_eq!(in_the_clear(&node, "value"), SECRETS);
    let key = enabled(&node);
    contents_are_right(&node, SECRETS);

    let started = node.processes("kube-apiserver");
    let said = node.holdfast(&["encryption", "disable", "--yes"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert_eq!(node.processes("kube-apiserver"), started, "nobody was restarted");
    let (code, keys) = keys_of(&node);
    assert_ne!(code, 0, "plaintext is no success");
    assert_eq!(keys, BTreeSet::from(["plaintext".to_owned()]));
    assert_eq!(in_the_clear(&node, "value"), SECRETS);
    contents_are_right(&node, SECRETS);
    let (_, kept) = node.json(&["encryption", "keys"]);
    let kept = kept["keys"].as_array().expect("keys");
    let is_kept = |kept: &serde_json::Value| kept["place"] == "retained" && kept["key"] == key.as_str();
    assert!(kept.iter().any(is_kept), "{kept:#?}");
    assert!(kept.iter().all(|kept| kept["place"] != "writes"), "{kept:#?}");
}

/// Enables, proves it, and gives the key that writes.
fn enabled(node: &Node) -> String {
    let manifest = node.read(MANIFEST);
    let dry = node.holdfast(&["encryption", "enable", "--dry-run"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(
        dry.out
            .contains("+    - --encryption-provider-config=/etc/kubernetes/enc/enc.yaml"),
        "{}",
        dry.out
    );
    assert_eq!(node.read(MANIFEST), manifest);
    assert!(!node.path(CONFIG).exists(), "a dry run writes nothing");

    let said = node.holdfast(&["encryption", "enable", "--yes"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let outage = said
        .out
        .lines()
        .find(|line| line.starts_with("kube-apiserver was away for"));
    println!(
        "enable: {}",
        outage.expect("the outage of the one restart is told")
    );
    let (code, keys) = keys_of(node);
    let key = keys.first().expect("a key").clone();
    assert!(
        code == 0 && keys.len() == 1 && key.starts_with("aescbc:hf"),
        "{code} {keys:?}"
    );
    assert_eq!(in_the_clear(node, "value"), 0, "none is left in plaintext");
    let modes = node.sh("stat -c '%a %U' /etc/kubernetes/enc /etc/kubernetes/enc/enc.yaml");
    assert_eq!(modes, "700 root\n600 root\n");
    let known = node
        .sh("kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}'");
    assert!(
        known.contains("encryption-provider-config-automatic-reload"),
        "{known}"
    );
    assert!(known.contains("mountPath: /etc/kubernetes/enc"), "{known}");
    let status = node.holdfast(&["encryption", "status"]);
    assert!(!status.out.contains("kubeadm upgrade"), "{}", status.out);
    let again = node.holdfast(&["encryption", "enable", "--yes"]);
    assert!(
        again.code == 0 && again.out.contains("Encryption at rest is on"),
        "{again:?}"
    );
    key
}

#[test]
#[ignore = "needs the test bed"]
fn without_automatic_reload_each_stage_is_loaded_by_a_bounce_and_the_first_can_be_turned_back() {
    let (node, old) = without_reload();
    let before = node.read(CONFIG);

    // Killed as soon as the new key stands second on the disk: C1, loaded by nobody.
    node.sh(&format!(
        "systemd-run --unit=rotation {} encryption rotate --yes",
        node::HOLDFAST
    ));
    node.await_that("the new key is on the disk", READY, |node| {
        node.read(CONFIG) != before
    });
    node.sh("systemctl kill -s KILL rotation; sleep 1");
    node.holdfast(&["recover"]);
    let said = node.holdfast(&["encryption", "abort", "--yes"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(
        said.out.contains("everything is under the old key again"),
        "{}",
        said.out
    );
    assert_eq!(keys_of(&node), (0, old), "{}", said.out);
    assert!(!node.read(CONFIG).contains("hf"), "the new key is gone");

    // And all the way.
    let said = node.holdfast(&["encryption", "rotate", "--yes"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let outages: Vec<&str> = said
        .out
        .lines()
        .filter(|line| line.contains("was away for"))
        .collect();
    println!("rotation without reload: {outages:#?}");
    assert_eq!(outages.len(), 3, "{}", said.out);
    let (code, keys) = keys_of(&node);
    assert!(
        code == 0 && keys.iter().all(|key| key.starts_with("aescbc:hf")),
        "{keys:?}"
    );
    contents_are_right(&node, VALUES);
}

/// How many secrets a node has whose API server loads its configuration when it starts.
const VALUES: u32 = 100;

/// Such a node, with the key that everything is under.
fn without_reload() -> (Node, BTreeSet<String>) {
    let node = Node::fresh();
    let config = config(&["secrets"], &aescbc(&[("key1", &random::<32>())]));
    encrypt(&node, &config, Mounted::Folder, &[]);
    create_secrets(&node, VALUES);
    rewrite_secrets(&node);
    let old = BTreeSet::from(["aescbc:key1".to_owned()]);
    assert_eq!(keys_of(&node), (0, old.clone()));
    (node, old)
}

#[test]
#[ignore = "a campaign: minutes on the test bed"]
fn campaign_of_a_rotation_turned_back_when_everything_is_rewritten() {
    let (node, old) = without_reload();
    node.sh(&format!(
        "systemd-run --unit=rotation {} encryption rotate --yes --keep-old",
        node::HOLDFAST
    ));
    node.await_that(
        "everything is under the new key",
        Duration::from_secs(400),
        |node| {
            let (_, keys) = keys_of(node);
            keys.len() == 1 && keys.iter().all(|key| key.starts_with("aescbc:hf"))
        },
    );
    node.sh("systemctl stop rotation");
    let said = node.holdfast(&["encryption", "abort", "--yes"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert_eq!(keys_of(&node), (0, old));
    contents_are_right(&node, VALUES);
}

/// What kubeadm is to make manifests of from now on.
fn kubeadm_knows(node: &Node, configuration: &str) {
    node.write("/root/plain", configuration);
    node.sh(
        "kubectl -n kube-system create configmap kubeadm-config --from-file=ClusterConfiguration=/root/plain --dry-run=client -o yaml | \
         kubectl replace -f - >/dev/null",
    );
}

const UPGRADE: &str = "kubeadm upgrade apply $(kubelet --version | cut -d' ' -f2) --force -y --etcd-upgrade=false \
                       --certificate-renewal=false --ignore-preflight-errors=all >/root/upgrade.log 2>&1";

#[test]
#[ignore = "a campaign: minutes of a genuine kubeadm upgrade"]
fn campaign_of_upgrades_with_and_without_what_kubeadm_must_know() {
    const SECRETS: u32 = 100;
    let node = Node::fresh();
    restart_with(&node, &[], "");
    create_secrets(&node, SECRETS);
    let plain = node
        .sh("kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}'");
    let said = node.holdfast(&["encryption", "enable", "--yes"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    node.sh(UPGRADE);
    node.await_that("the API server is ready", READY, Node::is_ready);
    assert!(
        node.read(MANIFEST).contains("--encryption-provider-config="),
        "the upgrade keeps it"
    );
    let (code, keys) = keys_of(&node);
    assert!(
        code == 0 && keys.iter().all(|key| key.starts_with("aescbc:hf")),
        "{keys:?}"
    );

    // Somebody takes it out of the ConfigMap, or it was never in.
    kubeadm_knows(&node, &plain);
    let status = node.holdfast(&["encryption", "status"]);
    assert!(
        status
            .out
            .contains("the next `kubeadm upgrade` drops the encryption"),
        "{}",
        status.out
    );
    node.sh(UPGRADE);
    // It cannot read what is encrypted, and so does not become ready.
    node.await_that("the API server answers", READY, |node| {
        node.run(&["kubectl", "get", "--raw", "/version"]).code == 0
    });
    assert!(
        !node.read(MANIFEST).contains("--encryption-provider-config="),
        "the upgrade dropped it"
    );
    node.sh("kubectl create secret generic meanwhile --from-literal=a='written meanwhile'");
    assert_eq!(in_the_clear(&node, "written meanwhile"), 1);
    let said = node.holdfast(&["encryption", "enable", "--yes"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let (code, keys) = keys_of(&node);
    assert!(
        code == 0 && keys.iter().all(|key| key.starts_with("aescbc:hf")),
        "{keys:?}"
    );
    assert_eq!(in_the_clear(&node, "written meanwhile"), 0);
    contents_are_right(&node, SECRETS);
}

/// Everything that the daemon can mend is mended, and the node is as it will stay.
fn settled(node: &Node) {
    node.await_that("the node is hardened", Duration::from_secs(600), |node| {
        let (_, plan) = node.json(&["plan"]);
        let withheld = plan["withheld"].as_array();
        let waits = withheld.is_none_or(|held| held.iter().any(|one| one["temporary"] == true));
        let changes = plan["changes"]
            .as_array()
            .is_none_or(|changes| !changes.is_empty());
        !waits && !changes && plan["inFlight"].is_null() && node.is_ready()
    });
    node.await_that("the leaders work", READY, Node::leaders_work);
}

const WRITER: &str = "systemd-run --unit=writer sh -c 'i=0; while :; do i=$((i + 1)); kubectl --request-timeout=2s create secret generic \
                      m$i --from-literal=a=\"written meanwhile\" >/dev/null 2>&1; sleep 0.1; done'";

#[test]
#[ignore = "a campaign: minutes of a genuine kubeadm upgrade"]
fn campaign_of_an_upgrade_that_drops_the_flag_beside_the_daemon() {
    const SECRETS: u32 = 100;
    let node = Node::fresh();
    restart_with(&node, &[], "");
    create_secrets(&node, SECRETS);
    let plain = node
        .sh("kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}'");
    let said = node.holdfast(&["encryption", "enable", "--yes"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    kubeadm_knows(&node, &plain);
    node.configure("mode: enforce\n");
    node.start_daemon();
    settled(&node);
    let hardened = node.read(MANIFEST);

    node.sh(WRITER);
    node.sh(UPGRADE);
    node.await_that("the flag is back", READY, |node| {
        node.path(MANIFEST).exists() && node.read(MANIFEST).contains("--encryption-provider-config=")
    });
    settled(&node);
    node.sh("systemctl stop writer");
    let log = node.log();
    let told = |what: &str| log.iter().filter(|line| line.contains(what)).count();
    assert_eq!(
        told("kube-apiserver is given its configuration back"),
        1,
        "{log:#?}"
    );
    println!("upgraded beside the daemon: {log:#?}");
    // What was written in plaintext meanwhile, if anything was, is rewritten under a new key, and the old one waits for the operator.
    node.await_that("nothing is in plaintext", Duration::from_secs(600), |node| {
        in_the_clear(node, "written meanwhile") == 0
    });
    let (code, _) = keys_of(&node);
    assert_eq!(code, 0);
    contents_are_right(&node, SECRETS);
    let again = node::changed_lines(&hardened, &node.read(MANIFEST));
    let is_meant = |line: &String| {
        ["encryption-provider", "etcd-compaction"]
            .iter()
            .any(|word| line.contains(word))
    };
    assert!(again.iter().all(is_meant), "{again:#?}");
}
