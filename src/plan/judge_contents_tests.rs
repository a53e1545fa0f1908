//! Each row about contents: what holds, what drifts, what is not applicable and what is not known.

use super::super::finding::Finding;
use super::super::fixtures::{certificate, fresh_node, path};
use super::super::judge_tests::finding_at;
use super::*;
use crate::domain::PublicKey;

const LEAF: &str = "/etc/kubernetes/pki/apiserver.crt";
const AUTHORITY: &str = "/etc/kubernetes/pki/ca.crt";

fn finding_with(node: &Observation, id: &str, config: &str) -> Finding {
    finding_at(node, id, config, "2026-12-01T00:00:00Z")
}

fn finding(node: &Observation, id: &str) -> Finding {
    finding_with(node, id, "{}")
}

fn edited(name: &str, edit: impl FnOnce(&mut Certificate)) -> Observation {
    let mut node = fresh_node();
    let Some(Fact::Known(certificates)) = node.certificates.get_mut(&path(name)) else {
        panic!("{name} has a certificate");
    };
    edit(&mut certificates[0]);
    node
}

fn drifts(finding: &Finding) -> Vec<&str> {
    let pieces = finding.with_verdict(Verdict::Drift);
    pieces.map(|piece| piece.actual.as_str()).collect()
}

#[test]
fn a_certificate_that_ends_too_soon_drifts_in_its_own_row_and_by_the_operators_days() {
    let (leaf, authority) = ("X-CRED-04", "X-CRED-05");
    for id in [leaf, authority] {
        assert_eq!(finding(&fresh_node(), id).verdict, Verdict::Pass, "{id}");
    }
    let ends = |name, end: &'static str| edited(name, |one| one.not_after = end.parse().unwrap());
    let soon = ends(LEAF, "2026-12-30T00:00:00Z");
    assert_eq!(
        drifts(&finding(&soon, leaf)),
        ["CN=kube-apiserver: it ends at 2026-12-30T00:00:00Z"]
    );
    assert_eq!(finding(&soon, authority).verdict, Verdict::Pass);
    assert_eq!(
        finding(&ends(LEAF, "2026-12-31T00:00:00Z"), leaf).verdict,
        Verdict::Pass
    );
    let ended = ends(LEAF, "2026-12-01T00:00:00Z");
    assert_eq!(
        drifts(&finding(&ended, leaf)),
        ["CN=kube-apiserver: it ended at 2026-12-01T00:00:00Z"]
    );
    let early = edited(LEAF, |one| {
        one.not_before = "2026-12-02T00:00:00Z".parse().unwrap()
    });
    assert_eq!(
        drifts(&finding(&early, leaf)),
        ["CN=kube-apiserver: it is valid from 2026-12-02T00:00:00Z on"]
    );
    let old = ends(AUTHORITY, "2027-11-30T00:00:00Z");
    assert_eq!(drifts(&finding(&old, authority)).len(), 1);
    assert_eq!(finding(&old, leaf).verdict, Verdict::Pass);
    let mut own = fresh_node();
    let of_kubelet = ["node1", "node1-ca"].map(|name| Certificate {
        not_after: "2027-06-01T00:00:00Z".parse().unwrap(),
        ..certificate(name)
    });
    own.certificates.insert(
        path("/var/lib/kubelet/pki/kubelet.crt"),
        Fact::Known(of_kubelet.to_vec()),
    );
    assert_eq!(finding(&own, authority).verdict, Verdict::Pass);
    let days = |days: u32| format!("controls: {{ X-CRED-04: {{ value: \"{days}\" }} }}");
    assert_eq!(finding_with(&soon, leaf, &days(29)).verdict, Verdict::Pass);
    assert_eq!(
        finding_with(&fresh_node(), leaf, &days(190)).verdict,
        Verdict::Drift
    );
    crate::config::parse(&days(70_000)).unwrap_err();
}

#[test]
fn weak_keys_and_signatures_drift() {
    let id = "X-CRED-06";
    assert_eq!(finding(&fresh_node(), id).verdict, Verdict::Pass);
    let weak = edited(LEAF, |one| one.key = PublicKey::Rsa(1024));
    assert_eq!(
        drifts(&finding(&weak, id)),
        ["CN=kube-apiserver: RSA of 1024 bits"]
    );
    let hash = edited(LEAF, |one| one.weak_hash = Some("SHA-1"));
    assert_eq!(
        drifts(&finding(&hash, id)),
        ["CN=kube-apiserver: RSA of 2048 bits, signed over SHA-1"]
    );
}

#[test]
fn etcd_has_an_authority_of_its_own_if_no_key_of_another_is_trusted() {
    let id = "CIS-2.7";
    assert_eq!(finding(&fresh_node(), id).verdict, Verdict::Pass);
    for shared in ["ca", "front-proxy-ca"] {
        let same = edited("/etc/kubernetes/pki/etcd/ca.crt", |one| {
            *one = certificate(shared)
        });
        let expected =
            format!("/etc/kubernetes/pki/etcd/ca.crt has the key of /etc/kubernetes/pki/{shared}.crt");
        assert_eq!(drifts(&finding(&same, id)), [expected]);
    }
    // The same key under another name is the same authority.
    let renewed = edited("/etc/kubernetes/pki/etcd/ca.crt", |one| {
        one.public_key = certificate("ca").public_key;
    });
    assert_eq!(finding(&renewed, id).verdict, Verdict::Drift);
    let mut external = fresh_node();
    external.manifests.insert(Component::Etcd, Fact::Absent);
    assert_eq!(finding(&external, id).verdict, Verdict::NotApplicable);
    let mut gone = fresh_node();
    gone.certificates
        .insert(path("/etc/kubernetes/pki/etcd/ca.crt"), Fact::Absent);
    assert_eq!(finding(&gone, id).verdict, Verdict::Unknown);
}

#[test]
fn without_certificates_nothing_applies_and_one_that_cannot_be_read_is_unknown() {
    for id in ["X-CRED-04", "X-CRED-05", "X-CRED-06"] {
        let mut node = fresh_node();
        node.certificates
            .insert(path(LEAF), Fact::unknown("block 1: it is torn"));
        let found = finding(&node, id);
        assert_eq!(found.verdict, Verdict::Unknown, "{id}");
        for certificates in node.certificates.values_mut() {
            *certificates = Fact::Absent;
        }
        assert_eq!(finding(&node, id).verdict, Verdict::NotApplicable, "{id}");
    }
}

#[test]
fn what_writes_secrets_must_be_strong() {
    let id = "CIS-1.2.28";
    let with = |first| {
        let mut node = fresh_node();
        node.first_provider = Fact::Known(first);
        node
    };
    let judged = |first| finding(&with(first), id).verdict;
    for provider in [Provider::Aescbc, Provider::Secretbox] {
        assert_eq!(judged(FirstProvider::Key(provider)), Verdict::Pass, "{provider}");
    }
    assert_eq!(judged(FirstProvider::Kms), Verdict::Pass);
    assert_eq!(judged(FirstProvider::Identity), Verdict::Drift);
    assert_eq!(judged(FirstProvider::NoRule), Verdict::Drift);
    let gcm = FirstProvider::Key(Provider::Aesgcm);
    assert_eq!(judged(gcm), Verdict::Drift);
    let rotated = finding_with(&with(gcm), id, "encryption: { rotateEvery: 90d }");
    assert_eq!(rotated.verdict, Verdict::Pass);
    assert_eq!(finding(&fresh_node(), id).verdict, Verdict::NotApplicable);
    let mut unknown = fresh_node();
    unknown.first_provider = Fact::unknown("line 3: it is torn");
    assert_eq!(finding(&unknown, id).verdict, Verdict::Unknown);
}
