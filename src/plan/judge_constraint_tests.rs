//! Every control of a flag without a single required value: what passes, what drifts, and what mends it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::fixtures::{API_SERVER, fresh_node, manifest_text, replace_manifest};
use super::super::judge_flags;
use super::*;
use crate::controls::{Control, FlagRule, Requirement, catalogue};
use crate::domain::Observation;

fn controls() -> Vec<Control> {
    let is_constraint = |control: &Control| {
        matches!(
            control.requirement,
            Requirement::Flag {
                rule: FlagRule::Meets(_),
                ..
            }
        )
    };
    catalogue().into_iter().filter(is_constraint).collect()
}

fn judged(control: &Control, node: &Observation) -> (Verdict, String, Option<Mend>) {
    let Requirement::Flag {
        component,
        name,
        rule,
    } = &control.requirement
    else {
        panic!("{} is about no flag", control.id);
    };
    let [piece] = judge_flags::flag(*component, name, rule, control.remedy, node)
        .try_into()
        .unwrap();
    (piece.verdict, piece.actual, piece.mend)
}

/// A fresh node whose component has these flags, and none of those.
fn node_with(component: Component, add: &[&str], remove: &[&str]) -> Observation {
    let mut node = fresh_node();
    node.processes.clear();
    let text = manifest_text(component);
    let kept: String = text
        .lines()
        .filter(|line| !remove.iter().any(|flag| line.contains(&format!("- --{flag}="))))
        .map(|line| format!("{line}\n"))
        .collect();
    let lines: String = add.iter().map(|flag| format!("    - {flag}\n")).collect();
    let text = kept.replacen("    image:", &format!("{lines}    image:"), 1);
    replace_manifest(&mut node, component, &text);
    node
}

/// By control: flags added, flags removed, the verdict, and the value that mends it, if any.
type Row = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    Verdict,
    Option<&'static str>,
);

const ROWS: &[Row] = {
    use Verdict::{Drift, Pass, Unknown};
    &[
        ("CIS-1.2.1", &["--anonymous-auth=F"], &[], Pass, None),
        (
            "CIS-1.2.1",
            &["--anonymous-auth=true"],
            &[],
            Drift,
            Some("/etc/kubernetes/authentication/config.yaml"),
        ),
        (
            "CIS-1.2.1",
            &["--authentication-config=/etc/kubernetes/authn/a.yaml"],
            &[],
            Unknown,
            None,
        ),
        (
            "CIS-1.2.2",
            &["--token-auth-file=/etc/t.csv"],
            &[],
            Drift,
            Some("--token-auth-file="),
        ),
        (
            "CIS-1.2.3",
            &["--enable-admission-plugins=DenyServiceExternalIPs"],
            &[],
            Pass,
            None,
        ),
        (
            "CIS-1.2.4",
            &[],
            &["kubelet-client-key"],
            Drift,
            Some("--kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key"),
        ),
        (
            "CIS-1.2.4",
            &[],
            &["kubelet-client-certificate"],
            Drift,
            Some("--kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt"),
        ),
        (
            "CIS-1.2.4",
            &["--kubelet-client-certificate=/etc/own.crt"],
            &["kubelet-client-certificate", "kubelet-client-key"],
            Drift,
            None,
        ),
        ("CIS-1.2.6", &[], &["authorization-mode"], Drift, Some("")),
        (
            "CIS-1.2.6",
            &["--authorization-mode=AlwaysAllow"],
            &[],
            Drift,
            Some("Node,RBAC"),
        ),
        (
            "CIS-1.2.7",
            &["--authorization-mode=RBAC"],
            &["authorization-mode"],
            Drift,
            Some("RBAC,Node"),
        ),
        (
            "CIS-1.2.7",
            &["--authorization-config=/etc/a.yaml"],
            &["authorization-mode"],
            Unknown,
            None,
        ),
        (
            "CIS-1.2.8",
            &["--authorization-mode=Node,Webhook"],
            &["authorization-mode"],
            Drift,
            Some("Node,Webhook,RBAC"),
        ),
        (
            "CIS-1.2.9",
            &["--enable-admission-plugins=EventRateLimit"],
            &[],
            Pass,
            None,
        ),
        (
            "CIS-1.2.10",
            &["--enable-admission-plugins=AlwaysAdmit"],
            &[],
            Drift,
            Some("NodeRestriction"),
        ),
        (
            "CIS-1.2.11",
            &["--enable-admission-plugins=AlwaysPullImages"],
            &[],
            Pass,
            None,
        ),
        (
            "CIS-1.2.12",
            &["--disable-admission-plugins=ServiceAccount,X"],
            &[],
            Drift,
            Some("X"),
        ),
        (
            "CIS-1.2.12",
            &[
                "--disable-admission-plugins=X",
                "--disable-admission-plugins=\"ServiceAccount\"",
            ],
            &[],
            Drift,
            Some("X"),
        ),
        (
            "CIS-1.2.13",
            &["--disable-admission-plugins=NamespaceLifecycle"],
            &[],
            Drift,
            Some(""),
        ),
        (
            "CIS-1.2.14",
            &["--enable-admission-plugins=X"],
            &["enable-admission-plugins"],
            Drift,
            Some("X,NodeRestriction"),
        ),
        // Named in both lists it keeps the server from starting.
        (
            "CIS-1.2.14",
            &["--disable-admission-plugins=NodeRestriction"],
            &["enable-admission-plugins"],
            Drift,
            None,
        ),
        ("CIS-1.2.20", &["--request-timeout=0s"], &[], Drift, None),
        ("CIS-1.2.20", &["--request-timeout=never"], &[], Drift, None),
        ("CIS-1.2.20", &["--request-timeout=5m"], &[], Pass, None),
        (
            "CIS-1.2.23",
            &[],
            &["etcd-keyfile"],
            Drift,
            Some("--etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key"),
        ),
        (
            "CIS-1.2.24",
            &["--tls-private-key-file="],
            &[],
            Drift,
            Some("--tls-private-key-file=/etc/kubernetes/pki/apiserver.key"),
        ),
        (
            "CIS-1.2.25",
            &[],
            &["client-ca-file"],
            Drift,
            Some("/etc/kubernetes/pki/ca.crt"),
        ),
        (
            "CIS-1.2.26",
            &[],
            &["etcd-cafile"],
            Drift,
            Some("/etc/kubernetes/pki/etcd/ca.crt"),
        ),
        (
            "CIS-1.2.29",
            &["--tls-cipher-suites=TLS_RSA_WITH_3DES_EDE_CBC_SHA"],
            &[],
            Drift,
            Some(
                "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,\
                 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            ),
        ),
        (
            "CIS-1.2.29",
            &["--tls-cipher-suites=TLS_RSA_WITH_RC4_128_SHA,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"],
            &[],
            Drift,
            Some(
                "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            ),
        ),
        (
            "CIS-1.2.29",
            &["--tls-cipher-suites=TLS_RSA_WITH_RC4_128_SHA,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
            &[],
            Drift,
            Some("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        ),
        (
            "CIS-1.2.29",
            &["--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
            &[],
            Pass,
            None,
        ),
        (
            "CIS-1.3.1",
            &["--terminated-pod-gc-threshold=0"],
            &[],
            Drift,
            None,
        ),
        (
            "CIS-1.3.1",
            &["--terminated-pod-gc-threshold=10"],
            &[],
            Pass,
            None,
        ),
        (
            "CIS-1.3.4",
            &[],
            &["service-account-private-key-file"],
            Drift,
            Some("/etc/kubernetes/pki/sa.key"),
        ),
        (
            "CIS-1.3.5",
            &[],
            &["root-ca-file"],
            Drift,
            Some("/etc/kubernetes/pki/ca.crt"),
        ),
        (
            "CIS-1.3.6",
            &["--feature-gates=RotateKubeletServerCertificate=false"],
            &[],
            Drift,
            Some("--feature-gates="),
        ),
        (
            "CIS-1.3.6",
            &[
                "--feature-gates=RotateKubeletServerCertificate=false,A=true",
                "--feature-gates=RotateKubeletServerCertificate=T",
            ],
            &[],
            Pass,
            None,
        ),
        (
            "CIS-1.3.7",
            &["--bind-address=0.0.0.0"],
            &[],
            Drift,
            Some("--bind-address=127.0.0.1"),
        ),
        (
            "CIS-1.3.7",
            &[],
            &["bind-address"],
            Drift,
            Some("--bind-address=127.0.0.1"),
        ),
        ("CIS-1.3.7", &["--bind-address=::1"], &[], Pass, None),
        (
            "CIS-1.4.2",
            &["--bind-address=2001:db8::1"],
            &[],
            Drift,
            Some("--bind-address=::1"),
        ),
        (
            "CIS-2.1",
            &[],
            &["key-file"],
            Drift,
            Some("--key-file=/etc/kubernetes/pki/etcd/server.key"),
        ),
        (
            "CIS-2.2",
            &[],
            &["client-cert-auth"],
            Drift,
            Some("--client-cert-auth=true"),
        ),
        (
            "CIS-2.2",
            &["--client-cert-auth=false"],
            &["trusted-ca-file"],
            Drift,
            Some("--client-cert-auth=true --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt"),
        ),
        (
            "CIS-2.2",
            &[],
            &["trusted-ca-file"],
            Drift,
            Some("--client-cert-auth=true --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt"),
        ),
        ("CIS-2.2", &["--client-cert-auth=1"], &[], Pass, None),
        (
            "CIS-2.4",
            &[],
            &["peer-cert-file"],
            Drift,
            Some("--peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt"),
        ),
        (
            "CIS-2.5",
            &["--peer-client-cert-auth=false"],
            &[],
            Drift,
            Some("--peer-client-cert-auth=true"),
        ),
        (
            "CIS-2.5",
            &[],
            &["peer-trusted-ca-file"],
            Drift,
            Some("--peer-client-cert-auth=true --peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt"),
        ),
        ("X-API-01", &["--insecure-port=0"], &[], Drift, None),
        ("X-API-01", &["--address=127.0.0.1"], &[], Drift, None),
        ("X-API-02", &["--basic-auth-file=/etc/p.csv"], &[], Drift, None),
        (
            "X-API-03",
            &["--tls-min-version=VersionTLS10"],
            &[],
            Drift,
            Some("VersionTLS12"),
        ),
        ("X-API-03", &["--tls-min-version=VersionTLS13"], &[], Pass, None),
        (
            "X-API-04",
            &["--tls-min-version=VersionTLS11"],
            &[],
            Drift,
            Some("VersionTLS12"),
        ),
        (
            "X-API-05",
            &["--tls-min-version=VersionTLS11"],
            &[],
            Drift,
            Some("VersionTLS12"),
        ),
        (
            "X-API-06",
            &["--feature-gates=AllAlpha=true,A=true"],
            &[],
            Drift,
            Some("--feature-gates=A=true"),
        ),
        (
            "X-API-06",
            &["--runtime-config=api/all"],
            &[],
            Drift,
            Some("--runtime-config="),
        ),
        (
            "X-API-06",
            &["--runtime-config=api/alpha=1"],
            &[],
            Drift,
            Some("--runtime-config="),
        ),
        ("X-API-06", &["--runtime-config=api/beta=true"], &[], Pass, None),
        (
            "X-API-08",
            &["--disable-admission-plugins=PodSecurity,A"],
            &[],
            Drift,
            Some("A"),
        ),
        ("X-API-09", &["--secure-port=0"], &[], Drift, None),
        (
            "X-ETCD-01",
            &["--listen-client-urls=https://127.0.0.1:2379,http://127.0.0.1:4001"],
            &[],
            Drift,
            None,
        ),
        (
            "X-ETCD-01",
            &["--advertise-client-urls=http://192.0.2.1:2379"],
            &[],
            Drift,
            None,
        ),
        ("X-ETCD-01", &[], &["advertise-client-urls"], Drift, None),
        (
            "X-API-06",
            &["--feature-gates=kube:AllAlpha=true"],
            &[],
            Drift,
            Some("--feature-gates="),
        ),
        (
            "X-ETCD-02",
            &["--listen-peer-urls=http://192.0.2.1:2380"],
            &[],
            Drift,
            None,
        ),
        (
            "X-ETCD-03",
            &["--listen-metrics-urls=http://0.0.0.0:2381"],
            &[],
            Drift,
            Some("--listen-metrics-urls=http://127.0.0.1:2381"),
        ),
        (
            "X-ETCD-03",
            &["--listen-metrics-urls=http://etcd.example"],
            &[],
            Drift,
            None,
        ),
        (
            "X-ETCD-03",
            &["--listen-metrics-urls=https://0.0.0.0:2381,http://[::1]:2382"],
            &[],
            Pass,
            None,
        ),
        ("X-ETCD-05", &["--config-file=/etc/etcd.yaml"], &[], Unknown, None),
        (
            "X-ETCD-06",
            &["--cipher-suites=TLS_RSA_WITH_RC4_128_SHA,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
            &[],
            Drift,
            Some("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        ),
    ]
};

#[test]
fn every_row_is_judged_as_its_table_says_and_mended_where_that_is_certain() {
    let all = controls();
    for (id, add, remove, verdict, value) in ROWS {
        let control = all.iter().find(|control| control.id.as_str() == *id);
        let control = control.unwrap_or_else(|| panic!("{id}"));
        let Requirement::Flag { component, .. } = control.requirement else {
            panic!("{id}")
        };
        let (found, actual, mend) = judged(control, &node_with(component, add, remove));
        assert_eq!(found, *verdict, "{id} {add:?}: {actual}");
        let mended = mend.map(|mend| match mend {
            Mend::Flag { value, .. } | Mend::Conditional { value, .. } => value,
            Mend::Flags { flags, .. } => {
                let flags = flags.iter().map(|(name, value)| format!("{name}={value}"));
                flags.collect::<Vec<_>>().join(" ")
            }
            Mend::List { items, .. } | Mend::ConditionalList { items, .. } => items.value(),
            Mend::Kubelet { .. } | Mend::Mode { .. } | Mend::Owner { .. } | Mend::Quarantine { .. } => {
                panic!("{id}")
            }
        });
        assert_eq!(mended.as_deref(), *value, "{id} {add:?}");
    }
    // No row without a test.
    let tested: BTreeSet<&str> = ROWS.iter().map(|row| row.0).collect();
    let missing: Vec<&str> = all
        .iter()
        .map(|control| control.id.as_str())
        .filter(|id| !tested.contains(id))
        .collect();
    assert_eq!(missing, [""; 0]);
}

/// The reference's column `kubeadm_default`.
#[test]
fn on_kubeadms_own_manifests_these_drift_and_no_others() {
    let node = fresh_node();
    let drifting: Vec<String> = controls()
        .iter()
        .filter(|control| judged(control, &node).0 != Verdict::Pass)
        .map(|control| control.id.to_string())
        .collect();
    assert_eq!(
        drifting,
        ["CIS-1.2.1", "CIS-1.2.3", "CIS-1.2.9", "CIS-1.2.11", "CIS-1.2.29"]
    );
}

#[test]
fn without_a_component_nothing_applies_and_what_is_not_understood_is_unknown() {
    for control in controls() {
        let Requirement::Flag {
            component,
            name,
            rule,
        } = &control.requirement
        else {
            unreachable!("they are flags")
        };
        let mut node = fresh_node();
        node.manifests.insert(*component, crate::domain::Fact::Absent);
        assert!(judge_flags::flag(*component, name, rule, control.remedy, &node).is_empty());
        let wrapped = manifest_text(*component).replacen(
            &format!("    - {component}\n"),
            &format!("    - sh\n    - -c\n    - {component} $(cat /flags)\n"),
            1,
        );
        let mut node = fresh_node();
        replace_manifest(&mut node, *component, &wrapped);
        assert_eq!(judged(&control, &node).0, Verdict::Unknown, "{}", control.id);
    }
}

#[test]
fn what_several_controls_want_of_one_list_is_one_value() {
    let items = |add: &[&str], remove: &[&str]| {
        let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        ListMend {
            current: owned(&["AlwaysAllow", "Webhook"]),
            add: owned(add),
            remove: owned(remove),
            may_be_empty: false,
        }
    };
    let all = items(&[], &["AlwaysAllow"])
        .and(&items(&["Node"], &[]))
        .and(&items(&["RBAC"], &[]));
    assert_eq!(all.value(), "Webhook,Node,RBAC");
}

proptest! {
    #[test]
    fn any_flags_are_judged_without_a_panic(
        flags in prop::collection::vec("--[a-z-]{1,30}(=[ -~]{0,40})?", 0..12),
    ) {
        let lines: String = flags.iter().map(|flag| format!("    - {}\n", serde_json::Value::from(flag.as_str()))).collect();
        let text = API_SERVER.replacen("    image:", &format!("{lines}    image:"), 1);
        let mut node = fresh_node();
        replace_manifest(&mut node, Component::ApiServer, &text);
        for control in controls() {
            let once = judged(&control, &node);
            prop_assert_eq!(judged(&control, &node), once);
        }
    }
}
