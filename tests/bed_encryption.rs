//! Encryption at rest on a genuine kubeadm node: enabled, kept through an upgrade, disabled, and rotated by an API server that loads its
//! configuration only when it starts. Every claim is read from etcd.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails loudly, and shows the outages"
)]

#[path = "bed/node.rs"]
mod node;

use std::collections::BTreeSet;
use std::time::Duration;

use node::Node;

const READY: Duration = Duration::from_secs(180);
const CONFIG: &str = "/etc/kubernetes/enc/enc.yaml";
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

/// Gives the API server more flags, before it is looked at; the compaction, which is not the point, comes every 15 s.
fn with_flags(node: &Node, flags: &[&str], more: &str) {
    let lines: String = ["--etcd-compaction-interval=15s"]
        .iter()
        .chain(flags)
        .map(|flag| format!("\\n    - {flag}"))
        .collect();
    node.sh(&format!(
        "sed -e 's#^    - --tls-private-key-file=.*#&{lines}#' {more} {MANIFEST} > /root/new.yaml && chmod 0600 /root/new.yaml && \
         mv {MANIFEST} /root/old.yaml && sleep 2 && pkill -9 -x kube-apiserver; sleep 3; mv /root/new.yaml {MANIFEST}; sleep 4"
    ));
    node.await_that("the API server is ready", READY, Node::is_ready);
    node.await_that("the leaders work", READY, Node::leaders_work);
}

fn secrets(node: &Node, count: u32) {
    node.sh(&format!(
        "for i in $(seq {count}); do printf 'apiVersion: v1\\nkind: Secret\\nmetadata: {{name: s%s}}\\nstringData: {{a: \"value %s\"}}\\n---\\n' \
         $i $i; done > /root/secrets.yaml; kubectl create -f /root/secrets.yaml >/dev/null"
    ));
}

/// The keys under which etcd holds secrets, by Holdfast's own proof; none while that cannot be told.
fn keys_of(node: &Node) -> (i32, BTreeSet<String>) {
    let (code, report) = node.json(&["encryption", "verify"]);
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
        let found = node.sh(&format!(
            "kubectl get secret s{number} -o jsonpath='{{.data.a}}' | base64 -d"
        ));
        assert_eq!(found, format!("value {number}"));
    }
}

#[test]
#[ignore = "needs the test bed"]
fn a_fresh_node_is_enabled_with_one_restart_and_disabled_again_without_one() {
    const SECRETS: u32 = 1_000;
    let node = Node::fresh();
    with_flags(&node, &[], "");
    secrets(&node, SECRETS);
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

/// As the Kubernetes documents say, and without automatic reload.
fn set_up_without_reload(node: &Node) {
    node.sh(r#"mkdir -p /etc/kubernetes/enc; chmod 0700 /etc/kubernetes/enc
cat > /etc/kubernetes/enc/enc.yaml <<END
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - aescbc:
          keys:
            - name: key1
              secret: $(head -c 32 /dev/urandom | base64)
      - identity: {}
END
chmod 0600 /etc/kubernetes/enc/enc.yaml"#);
    with_flags(
        node,
        &["--encryption-provider-config=/etc/kubernetes/enc/enc.yaml"],
        r"-e 's#^    volumeMounts:#&\n    - mountPath: /etc/kubernetes/enc\n      name: enc\n      readOnly: true#' \
          -e 's#^  volumes:#&\n  - hostPath:\n      path: /etc/kubernetes/enc\n      type: DirectoryOrCreate\n    name: enc#'",
    );
}

#[test]
#[ignore = "needs the test bed"]
fn without_automatic_reload_each_stage_is_loaded_by_a_bounce_and_both_stages_can_be_turned_back() {
    const SECRETS: u32 = 100;
    let node = Node::fresh();
    set_up_without_reload(&node);
    secrets(&node, SECRETS);
    // As the documents say: what was there before is under no key yet.
    node.sh("kubectl get secrets -A -o json | kubectl replace -f - >/dev/null");
    let old = BTreeSet::from(["aescbc:key1".to_owned()]);
    assert_eq!(keys_of(&node), (0, old.clone()));
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
    assert_eq!(keys_of(&node), (0, old.clone()));
    assert!(!node.read(CONFIG).contains("hf"), "the new key is gone");

    // To C2 and everything rewritten; the cut waits.
    node.sh(&format!(
        "systemd-run --unit=rotation2 {} encryption rotate --yes --keep-old",
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
    node.sh("systemctl stop rotation2");
    let said = node.holdfast(&["encryption", "abort", "--yes"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert_eq!(keys_of(&node), (0, old));

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
    contents_are_right(&node, SECRETS);
}

const UPGRADE: &str = "kubeadm upgrade apply $(kubelet --version | cut -d' ' -f2) --force -y --etcd-upgrade=false \
                       --certificate-renewal=false --ignore-preflight-errors=all >/root/upgrade.log 2>&1";

#[test]
#[ignore = "a campaign: minutes of a genuine kubeadm upgrade"]
fn campaign_of_upgrades_with_and_without_what_kubeadm_must_know() {
    const SECRETS: u32 = 100;
    let node = Node::fresh();
    with_flags(&node, &[], "");
    secrets(&node, SECRETS);
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
    node.write("/root/plain", &plain);
    node.sh(
        "kubectl -n kube-system create configmap kubeadm-config --from-file=ClusterConfiguration=/root/plain --dry-run=client -o yaml | \
         kubectl replace -f - >/dev/null",
    );
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
