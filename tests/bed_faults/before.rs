//! What forbids a rotation is found before its first step.

use crate::bed::{Bed, JOURNAL, events};
use crate::by_hand::{CONFIG, MANIFEST, READY, encoded, random};
use crate::node::{Node, Said};

#[test]
#[ignore = "needs the test bed"]
fn what_forbids_a_rotation_is_named_and_nothing_is_changed() {
    let (bed, key) = Bed::with_one_key();
    values_that_cannot_be_read(&bed);
    other_api_servers(&bed);
    configurations(&bed, &key);
    an_etcd_that_is_not_looked_into(&bed);
    a_journal_of_a_newer_version(&bed);
    // And without all that it begins.
    two_requests_at_once(&bed);
    a_key_that_was_lost_before_it_was_stored(&bed);
    bed.all_is_readable();
}

/// F37.
fn values_that_cannot_be_read(bed: &Bed) {
    let broken = "/registry/secrets/default/broken";
    bed.etcd("get --print-value-only /registry/secrets/default/s1 | head -c -1 > /root/value");
    for (change, words) in [
        (
            "(head -c 60 /root/value; echo broken; tail -c +61 /root/value)",
            format!("1 value(s) do not decrypt, {broken} among them"),
        ),
        (
            "sed 's/:key1:/:lost:/' /root/value",
            "1 values are under the unknown key aescbc:lost".to_owned(),
        ),
    ] {
        bed.node.sh(&format!("{change} > /root/broken"));
        bed.etcd(&format!("put {broken} < /root/broken"));
        bed.rotation_is_refused(&words);
        let verified = bed.holdfast(&["encryption", "verify"]);
        assert_eq!(verified.code, 2, "{verified:?}");
        assert!(verified.out.contains(broken), "{verified:?}");
        bed.etcd(&format!("del {broken}"));
    }
}

/// F11, F17.
fn other_api_servers(bed: &Bed) {
    let node = "{apiVersion: v1, kind: Node, metadata: {name: other, labels: {node-role.kubernetes.io/control-plane: ''}}}";
    let lease = "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: apiserver-other, namespace: kube-system, \
                 labels: {apiserver.kubernetes.io/identity: kube-apiserver, kubernetes.io/hostname: other}}, \
                 spec: {holderIdentity: another-server, leaseDurationSeconds: 3600}}";
    for (object, words) in [
        (
            node,
            format!(
                "the cluster has 2 control-plane nodes ({}, other by nodes)",
                name_of(&bed.node)
            ),
        ),
        (
            lease,
            "the API server another-server uses this etcd and belongs to no known node".to_owned(),
        ),
    ] {
        bed.node.write("/root/other.yaml", object);
        bed.node.sh("kubectl create -f /root/other.yaml");
        bed.rotation_is_refused(&words);
        bed.node.sh("kubectl delete -f /root/other.yaml");
    }
}

fn name_of(node: &Node) -> String {
    node.sh("kubectl get nodes -o jsonpath='{.items[?(@.metadata.name!=\"other\")].metadata.name}'")
}

/// F22, F45, F46: the file is another for a moment only; the API server looks at it once a minute, and would refuse the invalid one.
fn configurations(bed: &Bed, key: &[u8]) {
    let right = bed.node.read(CONFIG);
    let other = encoded(&random::<32>());
    let entry =
        |name: &str, secret: &str| format!("            - name: {name}\n              secret: {secret}\n");
    let own = entry("key1", &encoded(key));
    for (wrong, words) in [
        (
            own.clone() + &entry("key1:a", &other),
            "stored values under the key aescbc:key1:a cannot be told from those under aescbc:key1",
        ),
        (
            own.clone() + &entry("key1", &other),
            "the name of the key aescbc:key1 stands for different keys",
        ),
        (
            entry("key1", &encoded(&key[..18])),
            "the key has 18 bytes, and aescbc takes 16, 24 or 32",
        ),
    ] {
        let changed = right.replace(&own, &wrong);
        assert_ne!(changed, right);
        bed.node.write(CONFIG, &changed);
        bed.rotation_is_refused(words);
        bed.node.write(CONFIG, &right);
    }
}

/// F40: the manifest says so; with the kubelet stopped no API server is started by it.
fn an_etcd_that_is_not_looked_into(bed: &Bed) {
    let right = bed.node.read(MANIFEST);
    let flag = "    - --etcd-servers=";
    for (more, words) in [
        (
            "    - --etcd-servers-overrides=/secrets#https://127.0.0.1:2379\n",
            "keeps some resources in another etcd",
        ),
        (
            "    - --etcd-prefix=/elsewhere\n",
            "kube-apiserver runs with another --etcd-prefix than its manifest says",
        ),
    ] {
        bed.node.sh("systemctl stop kubelet");
        bed.node
            .write(MANIFEST, &right.replacen(flag, &format!("{more}{flag}"), 1));
        let said = bed.holdfast(&["encryption", "rotate", "--yes"]);
        bed.node.write(MANIFEST, &right);
        bed.node.sh("systemctl start kubelet");
        assert!(said.code == 1 && said.err.contains(words), "{said:?}");
    }
}

/// F10: nothing is done and nothing guessed; what only looks does so.
fn a_journal_of_a_newer_version(bed: &Bed) {
    let right = bed.node.read(JOURNAL);
    // A record that is not known here, and one of a rotation with more in it than is known here.
    for (record, name) in [
        (r#"{"record":"teleported"}"#, "teleported"),
        (
            r#"{"record":"rotation","event":"begun","id":"r9","shards":3}"#,
            "rotation",
        ),
    ] {
        let opened = right
            .lines()
            .next()
            .expect("a line")
            .split_once(' ')
            .expect("a checksum")
            .1;
        let at = opened.split_once(r#","record""#).expect("a time").0;
        bed.node
            .write("/root/entry", &format!(r#"{at},"record":{record}}}"#));
        bed.node.sh(&format!("(cut -c1-8 | tr '\\n' ' '; cat /root/entry; echo) <<END >> {JOURNAL}\n$(sha256sum /root/entry)\nEND"));
        let words = format!("line 2 of the journal was written by a newer Holdfast (record {name})");
        let is_refused = |said: &Said| said.code == 1 && said.err.contains(&words);
        for command in ["rotate", "abort", "disable", "enable"] {
            let said = bed.holdfast(&["encryption", command, "--yes"]);
            assert!(is_refused(&said), "{said:?}");
        }
        for command in ["status", "verify", "keys"] {
            let said = bed.holdfast(&["encryption", command]);
            assert_eq!(said.code, 0, "{said:?}");
        }
        bed.node.write(JOURNAL, &right);
    }
}

/// F29: two at once. One begins; the other is refused, or goes on with the one. Neither makes a second key.
fn two_requests_at_once(bed: &Bed) {
    let line = "HOLDFAST_FAILPOINT=after:2 holdfast encryption rotate --yes";
    bed.node.sh(&format!(
        "for i in 1 2; do sh -c '{line}' >/root/said$i 2>&1 & done; wait"
    ));
    let said = bed.node.read("/root/said1") + &bed.node.read("/root/said2");
    let begun: Vec<&str> = said.lines().filter(|line| line.starts_with("begun: ")).collect();
    assert_eq!(begun.len(), 1, "{said}");
    let all = events(&bed.node);
    assert_eq!(all.iter().filter(|event| *event == "begun").count(), 1, "{all:?}");
    assert!(said.contains("is under way"), "{said}");
    for (words, why) in [
        (
            ["encryption", "rotate", "--yes", "--provider", "secretbox"].as_slice(),
            "--provider secretbox: rotation",
        ),
        (
            &["encryption", "disable", "--yes"],
            "`holdfast encryption rotate` goes on with it",
        ),
    ] {
        let said = bed.holdfast(words);
        assert!(said.code == 64 && said.err.contains(why), "{said:?}");
        assert_eq!(events(&bed.node), all);
    }
}

/// F3: killed when the name of the key is in the journal and its bytes are nowhere.
fn a_key_that_was_lost_before_it_was_stored(bed: &Bed) {
    bed.node.sh("kubectl get --raw /readyz");
    let keys = || bed.node.sh("ls /var/lib/holdfast/keys 2>/dev/null || true");
    if events(&bed.node).last().map(String::as_str) == Some("begun") {
        assert!(bed.killed_at("after:1", "encryption rotate --yes").0);
    }
    assert_eq!(events(&bed.node).last().map(String::as_str), Some("key-intended"));
    assert_eq!(keys(), "");
    let said = bed.holdfast(&["encryption", "rotate", "--yes"]);
    assert!(
        said.code == 2 && said.out.contains("Given up: nothing was written"),
        "{said:?}"
    );
    assert_eq!(keys(), "", "it is not made again");
    bed.node
        .await_that("the API server is ready", READY, Node::is_ready);
    assert!(!bed.node.read(CONFIG).contains("hf"));
}
