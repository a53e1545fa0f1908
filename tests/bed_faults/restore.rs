//! From short keys of one provider to another provider, on an API server that sees its file only when it starts; and an etcd snapshot
//! of before that is restored after the cut.

use std::time::Duration;

use crate::bed::{Bed, SECRETS, events};
use crate::by_hand::{CONFIG, Mounted, READY, encoded, random};
use crate::node::{HOLDFAST, Node};

const LONG: Duration = Duration::from_secs(400);

/// etcd's data of before, as its documents say (op-guide/recovery), with the API server away. Holdfast has no part in it.
const RESTORE: &str = r#"set -e
mkdir -p /root/out
mv /etc/kubernetes/manifests/kube-apiserver.yaml /etc/kubernetes/manifests/etcd.yaml /root/out/
sleep 2; pkill -9 -x kube-apiserver; pkill -9 -x etcd
while pgrep -x etcd >/dev/null; do sleep 0.2; done
mv /var/lib/etcd /var/lib/etcd.away
flag() { sed -n "s#^    - --$1=##p" /root/out/etcd.yaml; }
etcdutl snapshot restore /root/before.db --data-dir /var/lib/etcd --name "$(flag name)" \
    --initial-cluster "$(flag initial-cluster)" --initial-advertise-peer-urls "$(flag initial-advertise-peer-urls)" >/dev/null 2>&1
chmod 0700 /var/lib/etcd
mv /root/out/etcd.yaml /etc/kubernetes/manifests/; sleep 3
mv /root/out/kube-apiserver.yaml /etc/kubernetes/manifests/
"#;

/// As the README says: the newest kept configuration that has the key, and a restart.
const WAY_OUT: &str = r#"set -e
kept=$(ls -t $(grep -l 'old16' /var/lib/holdfast/retained/configuration-*.yaml) | head -n 1)
mv /etc/kubernetes/manifests/kube-apiserver.yaml /root/; sleep 3; pkill -9 -x kube-apiserver || true
install -D -m 0600 "$kept" /etc/kubernetes/enc/enc.yaml
sleep 3; mv /root/kube-apiserver.yaml /etc/kubernetes/manifests/
"#;

#[test]
#[ignore = "needs the test bed"]
fn short_keys_give_way_to_another_provider_and_an_old_snapshot_is_read_with_the_kept_configuration() {
    let (short, older) = (random::<16>(), random::<24>());
    let providers = format!(
        "      - aescbc:\n          keys:\n            - name: old16\n              secret: {}\n            - name: older24\n              \
         secret: {}\n      - identity: {{}}\n",
        encoded(&short),
        encoded(&older)
    );
    let bed = Bed::with(&providers, Mounted::File);
    let node = &bed.node;
    let said = bed.holdfast(&["encryption", "status"]);
    assert!(
        said.out.contains("aescbc:old16 (128 bits") && said.out.contains("mounted as a single file"),
        "{said:?}"
    );
    bed.etcd("snapshot save /root/before.db");
    a_kubelet_that_is_stopped(&bed);
    let said = bed.holdfast(&["encryption", "rotate", "--yes"]);
    assert_eq!(said.code, 0, "{said:?}");
    let restarts = said
        .out
        .lines()
        .filter(|line| line.contains("was away for"))
        .count();
    assert_eq!(restarts, 3, "{said:?}");
    let new = the_new_key(&bed);
    bed.all_is_readable();

    the_snapshot_is_restored(&bed, &new);
    node.sh("rm -r /etc/kubernetes/enc");
    node.sh(WAY_OUT);
    node.await_that("the API server is ready", READY, Node::is_ready);
    bed.all_is_readable();
    let said = bed.holdfast(&["encryption", "verify"]);
    assert!(
        said.code == 2 && !said.out.contains("that the configuration does not have"),
        "{said:?}"
    );
    // And it can be rotated from there: nothing stands against it.
    let (killed, said) = bed.killed_at("after:1", "encryption rotate --yes");
    assert!(killed, "{said:?}");
    assert_eq!(events(node).last().map(String::as_str), Some("begun"));
}

/// F20: what is on the disk is loaded by nobody, and it does not go on.
fn a_kubelet_that_is_stopped(bed: &Bed) {
    let node = &bed.node;
    let started = node.processes("kube-apiserver");
    node.sh("systemctl stop kubelet");
    node.sh(&format!(
        "systemd-run --unit=rotation --property=StandardOutput=file:/root/said {HOLDFAST} encryption rotate --yes --provider secretbox"
    ));
    node.await_that("it says that the kubelet is stopped", READY, |node| {
        let said = node.read("/root/said");
        said.contains("must be restarted") && said.contains("the kubelet")
    });
    std::thread::sleep(Duration::from_secs(3));
    let all = events(node);
    assert!(
        !all.iter().any(|event| event == "config-intended write-new"),
        "{all:?}"
    );
    assert_eq!(node.processes("kube-apiserver"), started);
    node.sh("systemctl stop rotation 2>/dev/null || true; systemctl start kubelet");
}

/// F47, F48: secretbox writes with 32 bytes, whatever the old keys had; both of these and plaintext are gone.
fn the_new_key(bed: &Bed) -> String {
    let verified = bed.holdfast(&["encryption", "verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(
        verified.out.contains("secretbox:hf") && verified.out.contains("(256 bits"),
        "{verified:?}"
    );
    assert!(bed.stored_under("secretbox:v1:hf") > SECRETS as usize);
    assert_eq!(bed.stored_under("aescbc"), 0);
    let config = bed.node.read(CONFIG);
    for gone in ["aescbc", "identity", "old16", "older24"] {
        assert!(!config.contains(gone), "{gone}");
    }
    let secret = config
        .lines()
        .find_map(|line| line.trim().strip_prefix("secret: "))
        .expect("a key");
    // 32 bytes in base64.
    assert_eq!(secret.trim_matches('"').len(), 44);
    config
}

/// F43: the keys that the data needs are named.
fn the_snapshot_is_restored(bed: &Bed, config: &str) {
    let node = &bed.node;
    node.sh(RESTORE);
    node.await_that("the API server answers", LONG, |node| {
        node.run(&["kubectl", "--request-timeout=2s", "get", "--raw", "/version"])
            .code
            == 0
    });
    assert_eq!(node.read(CONFIG), config);
    let unreadable = node.run(&["kubectl", "get", "secret", "s1", "-o", "name"]);
    assert_ne!(unreadable.code, 0, "no key of the configuration reads it");
    for command in ["status", "verify"] {
        let said = bed.holdfast(&["encryption", command]);
        println!("restored: {}{}", said.out, said.err);
        assert!(said.code == 2 && said.out.contains("aescbc:old16"), "{said:?}");
    }
    let keys = bed.holdfast(&["encryption", "keys"]);
    assert!(
        keys.out
            .lines()
            .any(|line| line.contains("aescbc:old16") && line.contains("retained")),
        "{keys:?}"
    );
}
