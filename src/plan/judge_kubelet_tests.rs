//! Each row about the kubelet: what holds, what drifts, what is not applicable and what is not known.

use super::super::finding::Finding;
use super::super::fixtures::{facts, fresh_node, kubelet_config, path};
use super::super::judge_tests::finding_at;
use super::*;
use crate::domain::{ConfigLayer, FileKind};

fn finding(node: &Observation, id: &str) -> Finding {
    finding_at(node, id, "{}", "2026-12-01T00:00:00Z")
}

/// A fresh node whose kubelet has this drop-in.
fn with(text: &str) -> Observation {
    let mut node = fresh_node();
    node.kubelet.drop_ins = Fact::Known(vec![ConfigLayer {
        path: path("/etc/kubelet.d/50.conf"),
        ..kubelet_config(text)
    }]);
    node
}

fn with_flag(flag: &str) -> Observation {
    let mut node = fresh_node();
    push(&mut node, flag);
    node
}

fn push(node: &mut Observation, flag: &str) {
    if let Fact::Known(process) = &mut node.kubelet.process {
        process.argv.push(flag.to_owned());
    }
}

fn verdict_of(node: &Observation, id: &str) -> Verdict {
    finding(node, id).verdict
}

fn told(node: &Observation, id: &str) -> String {
    finding(node, id).evidence[0].actual.clone()
}

/// A control, its verdict on a fresh node, and what turns that: a drop-in, where one can, and a flag, where there is one.
const ROWS: [(&str, Verdict, &str, &str); 24] = [
    (
        "CIS-4.2.1",
        Verdict::Pass,
        "authentication: { anonymous: { enabled: true } }",
        "--anonymous-auth",
    ),
    (
        "CIS-4.2.2",
        Verdict::Pass,
        "authorization: { mode: AlwaysAllow }",
        "--authorization-mode=AlwaysAllow",
    ),
    (
        "CIS-4.2.3",
        Verdict::Pass,
        "authentication: { x509: { clientCAFile: \"\" } }",
        "--client-ca-file=",
    ),
    (
        "CIS-4.2.4",
        Verdict::Pass,
        "readOnlyPort: 10255",
        "--read-only-port=10255",
    ),
    (
        "CIS-4.2.4",
        Verdict::Pass,
        "readOnlyPort: 1",
        "--read_only_port=1",
    ),
    (
        "CIS-4.2.5",
        Verdict::Pass,
        "streamingConnectionIdleTimeout: -1s",
        "--streaming-connection-idle-timeout=0",
    ),
    (
        "CIS-4.2.6",
        Verdict::Pass,
        "makeIPTablesUtilChains: false",
        "--make-iptables-util-chains=false",
    ),
    ("CIS-4.2.7", Verdict::Pass, "", "--hostname-override=a"),
    ("CIS-4.2.8", Verdict::Pass, "eventRecordQPS: -1", "--event-qps=-1"),
    (
        "CIS-4.2.9",
        Verdict::Drift,
        "serverTLSBootstrap: true",
        "--rotate-server-certificates",
    ),
    (
        "CIS-4.2.9",
        Verdict::Drift,
        "{ tlsCertFile: /a, tlsPrivateKeyFile: /b }",
        "",
    ),
    (
        "CIS-4.2.10",
        Verdict::Pass,
        "rotateCertificates: null",
        "--rotate-certificates=false",
    ),
    (
        "CIS-4.2.11",
        Verdict::Drift,
        "serverTLSBootstrap: true",
        "--rotate-server-certificates",
    ),
    (
        "CIS-4.2.12",
        Verdict::Drift,
        "tlsCipherSuites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]",
        "--tls-cipher-suites=TLS_AES_128_GCM_SHA256",
    ),
    (
        "CIS-4.2.13",
        Verdict::Drift,
        "podPidsLimit: 4096",
        "--pod-max-pids=4096",
    ),
    (
        "CIS-4.2.14",
        Verdict::Drift,
        "seccompDefault: true",
        "--seccomp-default",
    ),
    (
        "X-FILE-04",
        Verdict::Pass,
        "staticPodURL: http://a",
        "--manifest-url=http://a",
    ),
    (
        "X-FILE-05",
        Verdict::Pass,
        "staticPodPath: /else",
        "--pod-manifest-path=/else",
    ),
    (
        "X-KUBELET-01",
        Verdict::Drift,
        "protectKernelDefaults: true",
        "--protect-kernel-defaults",
    ),
    (
        "X-KUBELET-02",
        Verdict::Pass,
        "tlsMinVersion: VersionTLS10",
        "--tls-min-version=VersionTLS11",
    ),
    (
        "X-KUBELET-03",
        Verdict::Pass,
        "authentication: { webhook: { enabled: false } }",
        "--authentication-token-webhook=0",
    ),
    (
        "X-KUBELET-04",
        Verdict::Drift,
        "{ enableProfilingHandler: false, enableDebugFlagsHandler: false }",
        "",
    ),
    (
        "X-KUBELET-05",
        Verdict::Pass,
        "healthzBindAddress: 0.0.0.0",
        "--healthz-bind-address=::",
    ),
    (
        "X-KUBELET-06",
        Verdict::Pass,
        "readOnlyPort: 10255",
        "--anonymous-auth",
    ),
];

#[test]
fn each_row_is_judged_by_the_effective_value() {
    for (id, fresh, drop_in, flag) in ROWS {
        let other = if fresh == Verdict::Pass {
            Verdict::Drift
        } else {
            Verdict::Pass
        };
        assert_eq!(verdict_of(&fresh_node(), id), fresh, "{id} of a fresh node");
        for (what, node) in [(drop_in, with(drop_in)), (flag, with_flag(flag))] {
            if !what.is_empty() {
                let found = finding(&node, id);
                assert_eq!(found.verdict, other, "{id}: {what}: {:?}", found.evidence);
            }
        }
        let mut nothing = fresh_node();
        nothing.kubelet.config = Fact::Absent;
        nothing.kubelet.process = Fact::Absent;
        assert_eq!(verdict_of(&nothing, id), Verdict::NotApplicable, "{id}");
        let mut unknown = fresh_node();
        unknown.kubelet.process = Fact::unknown("2 processes of root's could be the kubelet");
        assert_eq!(verdict_of(&unknown, id), Verdict::Unknown, "{id}");
    }
}

#[test]
fn every_row_about_the_kubelet_is_in_the_table() {
    let of_kubelet = |requirement: &Requirement| matches!(requirement, Requirement::Kubelet(_));
    for control in catalogue() {
        let is_there = ROWS.iter().any(|(id, ..)| *id == control.id.as_str());
        assert_eq!(is_there, of_kubelet(&control.requirement), "{}", control.id);
    }
}

#[test]
fn a_file_that_cannot_be_read_leaves_unknown_what_no_flag_decides() {
    let mut node = with_flag("--anonymous-auth=false");
    node.kubelet.config = Fact::unknown("line 3: it is torn");
    for (id, expected) in [
        ("CIS-4.2.1", Verdict::Pass),
        ("CIS-4.2.2", Verdict::Unknown),
        ("CIS-4.2.7", Verdict::Pass),
        ("CIS-4.2.9", Verdict::Unknown),
        ("CIS-4.2.11", Verdict::Unknown),
        ("X-FILE-05", Verdict::Unknown),
        ("X-KUBELET-04", Verdict::Unknown),
        ("X-KUBELET-06", Verdict::Unknown),
    ] {
        assert_eq!(verdict_of(&node, id), expected, "{id}");
    }
}

#[test]
fn the_authorities_of_clients_are_a_file_that_is_there() {
    let mut node = fresh_node();
    node.files
        .insert(path("/etc/kubernetes/pki/ca.crt"), Fact::Absent);
    assert_eq!(verdict_of(&node, "CIS-4.2.3"), Verdict::Drift);
    assert_eq!(
        told(&node, "CIS-4.2.3"),
        "authentication.x509.clientCAFile: /etc/kubernetes/pki/ca.crt (from /var/lib/kubelet/config.yaml); that file is not there"
    );
    node.files
        .insert(path("/etc/kubernetes/pki/ca.crt"), Fact::unknown("no permission"));
    assert_eq!(verdict_of(&node, "CIS-4.2.3"), Verdict::Unknown);
    let mut relative = fresh_node();
    relative.kubelet.client_ca_file = Fact::unknown("it is no absolute path");
    assert_eq!(verdict_of(&relative, "CIS-4.2.3"), Verdict::Unknown);
}

#[test]
fn what_only_looks_as_if_it_were_set_is_a_drift() {
    for (id, drop_in) in [
        // Benchmarks' tools pass what is there at all.
        ("CIS-4.2.13", "podPidsLimit: -1"),
        ("CIS-4.2.13", "podPidsLimit: 0"),
        ("CIS-4.2.14", "seccompDefault: false"),
        (
            "CIS-4.2.12",
            "tlsCipherSuites: [TLS_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_GCM_SHA256]",
        ),
        ("CIS-4.2.12", "tlsCipherSuites: []"),
        ("CIS-4.2.9", "tlsCertFile: /a"),
        (
            "CIS-4.2.11",
            "{ serverTLSBootstrap: true, featureGates: { RotateKubeletServerCertificate: false } }",
        ),
        (
            "CIS-4.2.11",
            "{ serverTLSBootstrap: true, featureGates: { AllBeta: false } }",
        ),
        (
            "CIS-4.2.11",
            "featureGates: { RotateKubeletServerCertificate: true }",
        ),
        ("X-KUBELET-04", "enableProfilingHandler: false"),
        ("X-KUBELET-05", "healthzBindAddress: localhost"),
    ] {
        assert_eq!(verdict_of(&with(drop_in), id), Verdict::Drift, "{id}: {drop_in}");
    }
}

#[test]
fn what_the_default_makes_good_is_a_pass() {
    for (id, drop_in) in [
        ("CIS-4.2.1", "authentication: null"),
        ("CIS-4.2.5", "streamingConnectionIdleTimeout: 0s"),
        ("CIS-4.2.8", "eventRecordQPS: 0"),
        ("X-FILE-05", "staticPodPath: /etc//kubernetes/manifests/"),
        ("X-KUBELET-02", "tlsMinVersion: VersionTLS13"),
        ("X-KUBELET-05", "healthzBindAddress: \"\""),
        ("X-KUBELET-05", "healthzBindAddress: ::1"),
    ] {
        assert_eq!(verdict_of(&with(drop_in), id), Verdict::Pass, "{id}: {drop_in}");
    }
}

#[test]
fn a_kubelet_without_a_file_has_the_dangerous_defaults() {
    let mut node = fresh_node();
    node.kubelet.config = Fact::Absent;
    for id in ["CIS-4.2.1", "CIS-4.2.2", "CIS-4.2.3", "CIS-4.2.4", "X-KUBELET-03"] {
        assert_eq!(verdict_of(&node, id), Verdict::Drift, "{id}");
    }
    assert_eq!(
        told(&node, "CIS-4.2.4"),
        "readOnlyPort: 10255 (built-in, of a kubelet without a configuration file)"
    );
}

#[test]
fn only_what_was_good_in_the_file_can_be_weakened() {
    // The file says nothing of it, and the built-in value is no better.
    for node in [
        with("podPidsLimit: -1"),
        with("podPidsLimit: 1"),
        with_flag("--port=1"),
    ] {
        assert_eq!(verdict_of(&node, "X-KUBELET-06"), Verdict::Pass);
    }
    let mut node = with("readOnlyPort: 10255");
    push(&mut node, "--anonymous-auth");
    assert_eq!(
        told(&node, "X-KUBELET-06"),
        "authentication.anonymous.enabled: true (from --anonymous-auth of the running kubelet), \
         readOnlyPort: 10255 (from the drop-in /etc/kubelet.d/50.conf)"
    );
    let mut bootstrap = fresh_node();
    bootstrap.kubelet.config = Fact::Known(kubelet_config("serverTLSBootstrap: true"));
    assert_eq!(verdict_of(&bootstrap, "X-KUBELET-06"), Verdict::Pass);
    push(&mut bootstrap, "--rotate-server-certificates=false");
    assert_eq!(verdict_of(&bootstrap, "X-KUBELET-06"), Verdict::Drift);
    node.kubelet.process = Fact::Absent;
    assert_eq!(verdict_of(&node, "X-KUBELET-06"), Verdict::Unknown);
}

const OF_FILE: &str = "authentication.anonymous.enabled: false (from /var/lib/kubelet/config.yaml)";

#[test]
fn where_a_value_comes_from_is_told() {
    assert_eq!(told(&fresh_node(), "CIS-4.2.1"), OF_FILE);
    assert_eq!(
        told(&with_flag("--anonymous-auth"), "CIS-4.2.1"),
        "authentication.anonymous.enabled: true (from --anonymous-auth of the running kubelet)"
    );
    assert_eq!(told(&fresh_node(), "CIS-4.2.13"), "podPidsLimit: -1 (built-in)");
    assert_eq!(told(&fresh_node(), "CIS-4.2.7"), "--hostname-override: not set");
    assert_eq!(
        told(&with_flag("--hostname-override=a"), "CIS-4.2.7"),
        "--hostname-override: a (of the running kubelet)"
    );
    let url = told(&with("staticPodURL: http://me:secret@a/pods"), "X-FILE-04");
    assert!(url.contains("@a/pods") && !url.contains("secret"), "{url}");
}

#[test]
fn a_file_that_was_changed_after_the_start_is_judged_and_the_age_of_the_process_told() {
    let changed_at = |time: &str| {
        let mut node = fresh_node();
        if let Fact::Known(layer) = &mut node.kubelet.config {
            layer.modified_ns = time.parse::<jiff::Timestamp>().unwrap().as_nanosecond();
        }
        node
    };
    // The process of the fixture is a minute old, and it is midnight.
    assert_eq!(told(&changed_at("2026-11-30T23:58:00Z"), "CIS-4.2.1"), OF_FILE);
    assert_eq!(told(&changed_at("2026-11-30T23:59:00.9Z"), "CIS-4.2.1"), OF_FILE);
    let newer = changed_at("2026-11-30T23:59:02Z");
    assert_eq!(verdict_of(&newer, "CIS-4.2.1"), Verdict::Pass);
    assert_eq!(
        told(&newer, "CIS-4.2.1"),
        format!(
            "{OF_FILE}; the kubelet was started before /var/lib/kubelet/config.yaml was last changed, and may run with what it said then"
        )
    );
}

#[test]
fn a_kubelet_that_is_down_is_judged_by_its_file_and_its_flags_are_unknown() {
    let mut node = fresh_node();
    node.kubelet.process = Fact::Absent;
    assert_eq!(verdict_of(&node, "CIS-4.2.1"), Verdict::Pass);
    assert_eq!(
        told(&node, "CIS-4.2.1"),
        format!("{OF_FILE}; the kubelet does not run, and its flags may say otherwise")
    );
    assert_eq!(verdict_of(&node, "CIS-4.2.7"), Verdict::Unknown);
}

#[test]
fn a_kubelet_whose_request_is_not_approved_yet_is_told_with_the_command_that_approves_it() {
    let mut node = with("serverTLSBootstrap: true");
    let current = path("/var/lib/kubelet/pki/kubelet-server-current.pem");
    for (found, verdict) in [
        (Fact::Absent, Verdict::Drift),
        (
            Fact::Known(facts(current.as_str(), FileKind::Symlink, 0o777)),
            Verdict::Pass,
        ),
    ] {
        node.files.insert(current.clone(), found);
        let finding = finding(&node, "CIS-4.2.9");
        assert_eq!(finding.verdict, verdict);
        let told = finding.evidence[0]
            .actual
            .contains("kubectl certificate approve NAME");
        assert_eq!(told, verdict == Verdict::Drift);
    }
}
