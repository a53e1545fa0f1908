//! The daemon guards encryption at rest on a genuine kubeadm node: it tells each change, puts back what stored values need, gives an API
//! server back the flag that it lost, and walks the rotations that commands hand over to it.

#![expect(clippy::indexing_slicing, reason = "a test fails loudly")]

#[path = "bed/node.rs"]
mod node;

use std::time::Duration;

use node::Node;

const READY: Duration = Duration::from_secs(180);
/// The daemon looks within a second; the log takes a moment.
const SOON: Duration = Duration::from_secs(15);
const CONFIG: &str = "/etc/kubernetes/enc/enc.yaml";
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

const BY_HAND: &str = r#"set -e
mkdir -p /etc/kubernetes/enc; chmod 0700 /etc/kubernetes/enc
key() { head -c 32 /dev/urandom | base64; }
config() { printf 'apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n  - resources: [secrets]\n    providers:\n      - aescbc:\n          keys:\n%s\n      - identity: {}\n' "$1"; }
one="            - {name: key1, secret: $(key)}"; two="            - {name: key2, secret: $(key)}"
config "$one" > /etc/kubernetes/enc/enc.yaml
config "$two" > /root/dropped.yaml
config "$one
$two" > /root/second.yaml
head -n 5 /etc/kubernetes/enc/enc.yaml > /root/torn.yaml
chmod 0600 /etc/kubernetes/enc/enc.yaml /root/*.yaml
manifest=/etc/kubernetes/manifests/kube-apiserver.yaml
sed -e 's#^    - --tls-private-key-file=.*#&\n    - --etcd-compaction-interval=15s\n    - --encryption-provider-config=/etc/kubernetes/enc/enc.yaml\n    - --encryption-provider-config-automatic-reload=true#' \
    -e 's#^    volumeMounts:#&\n    - mountPath: /etc/kubernetes/enc\n      name: enc\n      readOnly: true#' \
    -e 's#^  volumes:#&\n  - hostPath:\n      path: /etc/kubernetes/enc\n      type: DirectoryOrCreate\n    name: enc#' $manifest > /root/new
chmod 0600 /root/new
mv $manifest /root/old; sleep 2; pkill -9 -x kube-apiserver; sleep 3
mv /root/new $manifest; sleep 4
for _ in $(seq 300); do
    [ "$(kubectl --request-timeout=1s get --raw /readyz 2>/dev/null)" = ok ] && break
    sleep 0.2
done
for i in $(seq 20); do printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: s%s}\nstringData: {a: "value %s"}\n---\n' $i $i; done > /root/secrets
kubectl create -f /root/secrets >/dev/null
kubectl get secrets -A -o json | kubectl replace -f - >/dev/null
"#;

fn says(node: &Node, what: &str) -> bool {
    node.log().iter().any(|line| line.contains(what))
}

fn await_words(node: &Node, what: &str, limit: Duration) {
    node.await_that(what, limit, |node| says(node, what));
}

/// Replaces the configuration as an editor does.
fn put(node: &Node, from: &str) {
    node.sh(&format!("cp -p {from} {CONFIG}.new && mv {CONFIG}.new {CONFIG}"));
}

/// In mode enforce the daemon may be restarting the API server just then.
fn reads_everything(node: &Node) {
    const READ: &str = "for i in 1 20; do kubectl --request-timeout=3s get secret s$i -o jsonpath='{.data.a}' | base64 -d; done";
    node.await_that("everything is read", READY, |node| {
        node.run(&["sh", "-c", READ]).out == "value 1value 20"
    });
}

#[test]
#[ignore = "needs the test bed"]
fn the_daemon_puts_back_what_stored_values_need_and_walks_rotations() {
    let node = Node::fresh();
    node.sh(BY_HAND);
    let original = node.read(CONFIG);
    node.configure("mode: audit\n");
    node.start_daemon();
    await_words(&node, "encryption at rest is watched from now on", SOON);

    let limits = node.sh("cat /proc/$(systemctl show -p MainPID --value holdfast)/limits | grep 'core file'");
    let limits: Vec<&str> = limits.split_whitespace().collect();
    assert_eq!(limits[4..6], ["0", "0"], "core dumps are off");

    // In audit a dropped key is an error, and nothing is done.
    put(&node, "/root/dropped.yaml");
    await_words(&node, "stored values need what is gone: ", SOON);
    let error = node
        .log()
        .into_iter()
        .find(|line| line.contains("stored values need"));
    let error = error.expect("it was told");
    assert!(error.starts_with("3 "), "{error}");
    assert!(
        error.contains("aescbc:key1 is gone") && error.contains("under aescbc:key1"),
        "{error}"
    );
    assert_eq!(node.read(CONFIG), node.read("/root/dropped.yaml"));

    // In enforce it is put back, whole where nothing new was brought, and else with what was brought.
    node.configure("mode: enforce\n");
    node.sh("systemctl kill -s HUP holdfast");
    await_words(&node, "is read again, and what the edit brought is kept", SOON);
    let mended = node.read(CONFIG);
    assert!(mended.contains("key1") && mended.contains("key2"), "{mended}");
    node.sh(&format!(
        "cat > /root/original.yaml <<'END'\n{original}END\nchmod 0600 /root/original.yaml"
    ));
    put(&node, "/root/original.yaml");
    await_words(
        &node,
        "no stored value needs what went: aescbc:key2 is gone",
        SOON,
    );
    put(&node, "/root/torn.yaml");
    node.await_that("the torn file is put back", SOON, |node| {
        node.read(CONFIG) == original
    });
    node.sh(&format!("rm {CONFIG}"));
    node.await_that("the removed file is put back", SOON, |node| {
        node.path(CONFIG).exists() && node.read(CONFIG) == original
    });
    assert_eq!(node.mode(CONFIG), 0o600);
    put(&node, "/root/second.yaml");
    await_words(
        &node,
        "no stored value needs what went: aescbc:key2 was added",
        SOON,
    );
    reads_everything(&node);
    the_flag_comes_back_and_plaintext_goes(&node);
    a_command_hands_its_rotation_over(&node);
}

/// As a `kubeadm upgrade` drops it. What is written meanwhile is in plaintext.
fn the_flag_comes_back_and_plaintext_goes(node: &Node) {
    // Holdfast is stopped meanwhile, so that something is written.
    node.sh("systemctl stop holdfast");
    node.sh(&format!(
        "grep -v -e --encryption-provider-config {MANIFEST} > /root/flagless && chmod 0600 /root/flagless && mv {MANIFEST} /root/old; sleep 2; \
         pkill -9 -x kube-apiserver; sleep 3; mv /root/flagless {MANIFEST}"
    ));
    node.await_that("a secret is written in plaintext", READY, |node| {
        let create = "kubectl --request-timeout=3s create secret generic plain --from-literal=a=in-the-clear";
        node.run(&["sh", "-c", create]).code == 0
    });
    node.sh("systemctl reset-failed holdfast 2>/dev/null || true");
    node.start_daemon();
    await_words(node, "kube-apiserver is given its configuration back", SOON);
    node.await_that("the flag is back", READY, |node| {
        node.path(MANIFEST).exists() && node.read(MANIFEST).contains("--encryption-provider-config=")
    });
    node.await_that("the API server is ready", READY, Node::is_ready);
    reads_everything(node);
    await_words(
        node,
        "were written in plaintext while kube-apiserver had lost its configuration",
        READY,
    );
    // Unattended, the old key waits for the operator.
    await_words(
        node,
        "stands still, every value readable: ",
        Duration::from_secs(600),
    );
    let (_, status) = node.json(&["encryption", "status"]);
    assert_eq!(status["rotation"]["status"]["state"], "parked", "{status:#}");
    let said = node.holdfast(&["encryption", "rotate", "--cut", "--yes"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("The daemon walks it"), "{}", said.out);
    let (code, verified) = node.json(&["encryption", "verify"]);
    assert_eq!(code, 0, "{verified:#}");
    node.await_that("the API server is ready", READY, Node::is_ready);
    let plain = node.sh("kubectl get secret plain -o jsonpath='{.data.a}' | base64 -d");
    assert_eq!(plain, "in-the-clear");
    reads_everything(node);
}

/// The command that began it may end, and the daemon goes on.
fn a_command_hands_its_rotation_over(node: &Node) {
    let before = node.read(CONFIG);
    let begun = node.run(&[
        "timeout",
        "-s",
        "INT",
        "12",
        "holdfast",
        "encryption",
        "rotate",
        "--yes",
    ]);
    assert!(begun.out.contains("the daemon goes on"), "{begun:?}");
    node.await_that("the new key is second", READY, |node| node.read(CONFIG) != before);
    let (_, status) = node.json(&["encryption", "status"]);
    assert_eq!(status["rotation"]["stage"], "C1 [old, new]", "{status:#}");
    reads_everything(node);
}
