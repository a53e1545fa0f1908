//! One rotation, killed again and again, and everything else that goes wrong on the way.

use std::time::Duration;

use crate::bed::{Bed, SECRETS, events};
use crate::by_hand::{CONFIG, MANIFEST, READY, encoded, random};
use crate::chain::Chain;
use crate::node::{HOLDFAST, Node};
use crate::secrecy::{WATCHER, no_key_anywhere};

const ROTATE: &str = "encryption rotate --yes";
const LONG: Duration = Duration::from_secs(300);

/// Others who write some objects all the time.
const WRITER: &str = r#"i=0
while [ ! -e /root/stop ]; do
    i=$((i + 1))
    kubectl --request-timeout=5s label --overwrite secret $(seq -f s%g 60 90) n=$i >/dev/null 2>&1 && echo $i >> /root/written || sleep 0.5
done
"#;

/// Nobody may change one secret.
const POLICY: &str = r#"apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: frozen}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: [secrets]}
  validations:
    - {expression: "object.metadata.name != 's7'", message: "s7 is frozen"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: frozen}
spec: {policyName: frozen, validationActions: [Deny]}
"#;

/// Stops etcd as soon as the first value is under the new key, and ends it 10 s later.
const ETCD_FAILS: &str = r#"while :; do
    under=$(/root/etcd get --prefix /registry/secrets/ --print-value-only 2>/dev/null | grep -ac '^k8s:enc:aescbc:v1:key1:')
    [ $under -lt TOTAL ] && break
done
pkill -STOP -x etcd; echo $under > /root/under; sleep 10; pkill -KILL -x etcd
"#;

#[test]
#[ignore = "needs the test bed"]
fn a_rotation_is_killed_at_each_point_and_meets_all_else_that_goes_wrong_and_comes_to_its_end() {
    let (bed, key) = Bed::with_one_key();
    let node = &bed.node;
    node.write("/root/watcher.sh", WATCHER);
    node.write("/root/writer.sh", WRITER);
    node.write("/root/policy.yaml", POLICY);
    node.sh("systemd-run --unit=watcher bash /root/watcher.sh");
    node.sh("systemd-run --unit=writer --setenv=KUBECONFIG=/etc/kubernetes/admin.conf bash /root/writer.sh");
    let (token, revision) = a_list_that_is_not_read_to_its_end(node);
    let mut keys = vec![
        ("the old key", key),
        ("a discarded key", a_key_is_discarded(&bed)),
    ];
    let mut chain = Chain::new();
    let mut met = Vec::new();
    while let Some(event) = chain.step(&bed, ROTATE) {
        if met.contains(&event) {
            continue;
        }
        match event.as_str() {
            "config-written read-new" => {
                keys.push(("by hand, for a moment", edited_by_hand(&bed)));
                a_signal_that_dumps_core(node);
                api_server_is_killed(node);
            }
            "config-intended write-new" => no_room_for_files(&bed),
            "config-written write-new" => {
                the_flag_is_dropped(&bed, &mut chain);
                some_objects_get_stuck(&bed);
            }
            "drain-ended" => {
                etcd_fails(&bed);
                what_was_stuck_is_mended(&bed);
                api_server_is_killed(node);
            }
            "config-written new" => api_server_is_killed(node),
            "finished" => break,
            _ => {}
        }
        met.push(event);
    }
    println!("{} kills: {met:?}", chain.kills);
    assert_eq!(events(node).last().map(String::as_str), Some("finished"));
    for stage in ["read-new", "write-new", "new"] {
        assert!(
            met.contains(&format!("config-written {stage}")),
            "{stage}: {met:?}"
        );
    }
    node.sh("touch /root/stop; while systemctl is-active -q writer; do sleep 0.1; done");
    assert!(node.read("/root/written").lines().count() > 1, "the writer wrote");
    everything_is_under_the_new_key(&bed);
    no_old_list_or_watch_fails(node, &token, &revision);
    keys.push(("the new key", new_key(&bed)));
    node.sh("touch /root/watched; while systemctl is-active -q watcher; do sleep 0.1; done");
    no_key_anywhere(&bed, &keys, &[]);
}

fn everything_is_under_the_new_key(bed: &Bed) {
    let verified = bed.holdfast(&["encryption", "verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert_eq!(bed.stored_under("aescbc:v1:key1:"), 0);
    assert!(bed.stored_under("aescbc:v1:hf") > SECRETS as usize);
    bed.all_is_readable();
}

fn new_key(bed: &Bed) -> Vec<u8> {
    only_key(&bed.node.read(CONFIG))
}

fn only_key(config: &str) -> Vec<u8> {
    use base64::Engine as _;
    let secrets: Vec<&str> = config
        .lines()
        .filter_map(|line| line.trim().strip_prefix("secret: "))
        .collect();
    assert_eq!(secrets.len(), 1, "one key");
    base64::engine::general_purpose::STANDARD
        .decode(secrets[0].trim_matches('"'))
        .expect("a key")
}

/// A rotation that is killed when its key is stored, and is given up. The key is returned.
fn a_key_is_discarded(bed: &Bed) -> Vec<u8> {
    let (killed, said) = bed.killed_at("before:4", ROTATE);
    assert!(killed, "{said:?}");
    let said = bed.holdfast(&["encryption", "abort", "--yes"]);
    assert!(
        said.code == 0 && events(&bed.node).last().map(String::as_str) == Some("aborted"),
        "{said:?}"
    );
    only_key(&bed.node.sh("cat /var/lib/holdfast/keys/*"))
}

/// F19: whatever stands on the disk is loaded, and everything is readable by it.
fn api_server_is_killed(node: &Node) {
    let before = node.processes("kube-apiserver");
    node.sh("pkill -9 -x kube-apiserver");
    node.await_that("another API server is ready", READY, |node| {
        node.is_ready() && node.processes("kube-apiserver") != before
    });
}

/// F5: the disk of the configuration is full, then that of the journal can only be read.
fn no_room_for_files(bed: &Bed) {
    let node = &bed.node;
    let state = || (node.read(CONFIG), events(node), node.processes("kube-apiserver"));
    let before = state();
    // A file of one page fits beside the folder, and no draft of another.
    let full = "mkdir /root/full; mount -t tmpfs -o size=4k,mode=0700 none /root/full; cp -p /etc/kubernetes/enc/enc.yaml /root/full; \
                mount --bind /root/full /etc/kubernetes/enc";
    let read_only =
        "mount --bind /var/lib/holdfast /var/lib/holdfast; mount -o remount,ro,bind /var/lib/holdfast";
    for (fault, folder, words) in [
        (full, "/etc/kubernetes/enc", "No space left on device"),
        (read_only, "/var/lib/holdfast", "Read-only file system"),
    ] {
        node.sh(fault);
        let said = bed.holdfast(&["encryption", "rotate", "--yes"]);
        node.sh(&format!("umount {folder}"));
        assert!(
            said.code == 1 && said.err.contains(folder) && said.err.contains(words),
            "{said:?}"
        );
        assert_eq!(state(), before, "{words}");
    }
    node.sh("umount /root/full; rmdir /root/full");
}

/// F30: somebody adds a key; it is told by names and not overwritten. The key is returned.
fn edited_by_hand(bed: &Bed) -> Vec<u8> {
    let (node, key) = (&bed.node, random::<32>());
    let right = node.read(CONFIG);
    let is_key = |line: &&str| line.trim_start().starts_with("secret:");
    let last = right.lines().rfind(is_key).expect("a key");
    let indent = &last[..last.find('s').expect("a name") - 2];
    let added = format!(
        "{last}\n{indent}- name: by-hand\n{indent}  secret: {}",
        encoded(&key)
    );
    let wrong = right.replace(last, &added);
    node.write(CONFIG, &wrong);
    let said = bed.holdfast(&["encryption", "rotate", "--yes"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.out.contains("stopped: ") && said.out.contains("aescbc:by-hand"),
        "{said:?}"
    );
    assert_eq!(node.read(CONFIG), wrong, "it is not overwritten");
    node.write(CONFIG, &right);
    key.to_vec()
}

/// F25: the API server is given a manifest without the flags, as by `kubeadm upgrade`, and writes plaintext. The rotation halts;
/// `enable`, killed at each point too, puts them back and goes on.
fn the_flag_is_dropped(bed: &Bed, chain: &mut Chain) {
    let node = &bed.node;
    node.sh(&format!("grep -v encryption-provider-config {MANIFEST} > /root/dropped.yaml; chmod 0600 /root/dropped.yaml; \
        mv {MANIFEST} /root/kept.yaml; sleep 1; pkill -9 -x kube-apiserver; sleep 3; mv /root/dropped.yaml {MANIFEST}"));
    node.await_that("the API server answers", READY, |node| {
        node.run(&["kubectl", "--request-timeout=2s", "get", "--raw", "/version"])
            .code
            == 0
    });
    let before = events(node);
    let said = bed.holdfast(&["encryption", "rotate", "--yes"]);
    assert!(
        said.code == 1 && said.err.contains("holdfast encryption enable"),
        "{said:?}"
    );
    assert_eq!(events(node), before);
    node.sh("kubectl create secret generic meanwhile --from-literal=a='written meanwhile'");
    let is_mended = || {
        node.run(&["grep", "-q", "encryption-provider-config=", MANIFEST])
            .code
            == 0
            && node.is_ready()
    };
    while !is_mended() {
        let recorded = chain.step(bed, "encryption enable --yes");
        assert!(recorded.is_some(), "it ended without the flag");
    }
    bed.all_is_readable();
}

/// F50: a process that reads keys, ended by a signal that makes others dump core, while it waits for the API server to load.
fn a_signal_that_dumps_core(node: &Node) {
    node.sh(&format!(
        "systemd-run --unit=aborted {HOLDFAST} {ROTATE}; sleep 1; kill -ABRT $(systemctl show -P MainPID aborted); sleep 0.5"
    ));
    let ended = node.sh("systemctl show -P Result aborted");
    assert_eq!(ended.trim(), "signal", "it dumped no core");
}

/// F36, F39: one object may not be changed by anybody, and some are not served any more, whose values nobody deletes.
fn some_objects_get_stuck(bed: &Bed) {
    let node = &bed.node;
    node.sh("kubectl create -f /root/policy.yaml");
    node.await_that("the policy is in force", READY, |node| {
        let said = node.run(&[
            "kubectl",
            "label",
            "--overwrite",
            "--dry-run=server",
            "secret",
            "s7",
            "a=b",
        ]);
        said.err.contains("s7 is frozen")
    });
    bed.etcd("del /registry/apiextensions.k8s.io/customresourcedefinitions/widgets.example.org");
}

/// F32, while values are rewritten: etcd does not answer for 10 s, then is killed; the same process goes on.
fn etcd_fails(bed: &Bed) {
    let node = &bed.node;
    let total = bed.stored_under("aescbc:v1:key1:");
    assert!(total > SECRETS as usize / 2, "there is something to rewrite");
    node.write(
        "/root/etcd-fails.sh",
        &ETCD_FAILS.replace("TOTAL", &total.to_string()),
    );
    node.sh("systemd-run --unit=etcd-fails bash /root/etcd-fails.sh");
    let started = node.processes("kube-apiserver");
    let said = bed.holdfast(&["encryption", "rotate", "--yes"]);
    println!("etcd failed:\n{}{}", said.out, said.err);
    let under: usize = node.read("/root/under").trim().parse().expect("a number");
    assert!(under > 1 && under < total, "{under} of {total}: in the middle");
    assert_eq!(node.processes("kube-apiserver"), started, "nobody restarted it");
    let words = "cannot be re-encrypted";
    assert!(said.code == 2 && said.out.contains(words), "{said:?}");
    // At most five are named, and these come first.
    assert!(
        said.out
            .contains("widgets.example.org default/w1: no API serves it"),
        "{said:?}"
    );
    all_but_one_are_rewritten(bed);
}

fn all_but_one_are_rewritten(bed: &Bed) {
    assert_eq!(bed.stored_under("aescbc:v1:key1:"), 1, "all but one");
    assert!(bed.node.read(CONFIG).contains("name: \"key1\""), "no cut");
}

/// F36, F39: what is stuck is named; the same command goes on with it when it is mended, first the one, then the other.
fn what_was_stuck_is_mended(bed: &Bed) {
    bed.node.sh(
        "kubectl create -f /root/crd.yaml; kubectl wait --for=condition=Established crd/widgets.example.org --timeout=30s",
    );
    bed.node.await_that("the widgets are served", READY, |node| {
        node.run(&["kubectl", "get", "widgets"]).code == 0
    });
    let said = bed.holdfast(&["encryption", "rotate", "--yes"]);
    assert_eq!(said.code, 2, "{said:?}");
    for words in ["1 values cannot be re-encrypted", "default/s7", "frozen"] {
        assert!(said.out.contains(words), "{words}: {said:?}");
    }
    all_but_one_are_rewritten(bed);
    bed.node.sh("kubectl delete -f /root/policy.yaml");
    bed.node.await_that("the policy is gone", LONG, |node| {
        let said = node.run(&[
            "kubectl",
            "label",
            "--overwrite",
            "--dry-run=server",
            "secret",
            "s7",
            "a=b",
        ]);
        said.code == 0
    });
}

/// F42: the token of a list's first page, and the revision at which a watch would begin.
fn a_list_that_is_not_read_to_its_end(node: &Node) -> (String, String) {
    let path = "{.metadata.continue} {.metadata.resourceVersion}";
    let list = node.sh("kubectl get --raw '/api/v1/namespaces/default/secrets?limit=10'");
    let list: serde_json::Value = serde_json::from_str(&list).expect(path);
    let text = |name: &str| list["metadata"][name].as_str().expect("a text").to_owned();
    (text("continue"), text("resourceVersion"))
}

/// F42: after the cut it is a clean "expired", or it can be read; never a value that nobody decrypts.
fn no_old_list_or_watch_fails(node: &Node, token: &str, revision: &str) {
    let list = format!("/api/v1/namespaces/default/secrets?limit=10&continue={token}");
    let said = node.run(&["kubectl", "get", "--raw", &list]);
    assert!(said.code != 0 && said.err.contains("too old"), "{said:?}");
    let watch =
        format!("/api/v1/namespaces/default/secrets?watch=1&resourceVersion={revision}&timeoutSeconds=3");
    let said = node.run(&["kubectl", "get", "--raw", &watch]);
    let is_clean = said.out.contains("\"code\":410")
        || said.out.lines().all(|line| line.contains("\"kind\":\"Secret\""));
    let fails = |text: &str| text.contains("\"code\":500") || text.contains("InternalError");
    assert!(is_clean && !fails(&said.out) && !fails(&said.err), "{said:?}");
}
