//! `holdfast check --benchmark` and `holdfast explain` with ids of benchmarks, by the program itself, on a file system of a few files.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test fails loudly, has files, and starts the program"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A node with a certificate of 0644, and a manifest of 0644.
fn node() -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let files = [
        ("etc/kubernetes/pki/ca.crt", "certificate\n"),
        ("etc/kubernetes/manifests/kube-scheduler.yaml", MANIFEST),
    ];
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("a mode");
    }
    root
}

const MANIFEST: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-scheduler\n  namespace: kube-system\nspec:\n  containers:\n  \
    - name: kube-scheduler\n    image: registry.k8s.io/kube-scheduler:v1.33.1\n    command:\n    - kube-scheduler\n    - --profiling=false\n";

fn run(root: &TempDir, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command
        .args(words.split_whitespace())
        .arg("--root")
        .arg(root.path());
    command.env("NO_COLOR", "1").output().expect("the program runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The findings of a check, as JSON.
fn check(root: &TempDir, words: &str) -> Value {
    let output = run(root, &format!("check --output json {words}"));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The finding of a control of ours.
fn finding(report: &Value, id: &str) -> Value {
    let findings = report["findings"].as_array().expect("findings");
    let found = findings.iter().find(|finding| finding["id"] == id);
    found.cloned().unwrap_or(Value::Null)
}

#[test]
fn a_certificate_of_0644_is_drift_by_the_editions_that_ask_for_0600_and_apply_promises_nothing() {
    let root = node();
    for (benchmark, verdict) in [
        ("cis-1.8", "drift"),
        ("cis-1.9", "drift"),
        ("cis-1.10", "drift"),
        ("cis-1.11", "pass"),
        ("cis-1.12", "pass"),
        ("stig", "pass"),
    ] {
        let report = check(&root, &format!("--benchmark {benchmark}"));
        let certificate = finding(&report, "CIS-1.1.20");
        assert_eq!(
            (&report["benchmark"], &certificate["verdict"]),
            (&json!(benchmark), &json!(verdict))
        );
    }
    let certificate = finding(&check(&root, "--benchmark cis-1.10"), "CIS-1.1.20");
    let piece = &certificate["evidence"][0];
    assert_eq!(
        (&piece["expected"], &piece["mend"]),
        (&json!("mode 0600 or stricter"), &Value::Null)
    );
    assert_eq!(certificate["remedy"], "report-only");
    assert_eq!(finding(&check(&root, ""), "CIS-1.1.20")["verdict"], "pass");
}

#[test]
fn a_manifest_of_0644_is_drift_by_cis_and_what_the_stig_allows() {
    let root = node();
    let manifest = |benchmark: &str| finding(&check(&root, &format!("--benchmark {benchmark}")), "CIS-1.1.5");
    assert_eq!(manifest("cis-1.8")["verdict"], "drift");
    let stig = manifest("stig");
    assert_eq!(
        (&stig["verdict"], &stig["benchmarkIds"]),
        (&json!("pass"), &json!(["V-242408"]))
    );
    assert!(stig["note"].is_string(), "{stig}");
    assert_eq!(manifest("nsa"), Value::Null, "the guide asks nothing of it");
}

#[test]
fn a_check_shows_the_controls_of_the_benchmark_alone_under_its_ids_and_in_its_order() {
    let root = node();
    let report = check(&root, "--benchmark cis-1.8");
    let findings = report["findings"].as_array().expect("findings");
    let numbers: Vec<&str> = findings
        .iter()
        .filter_map(|one| one["benchmarkIds"][0].as_str())
        .collect();
    assert_eq!(numbers.len(), findings.len());
    let in_order = |numbers: &[&str]| {
        let parts =
            |number: &&str| -> Vec<u32> { number.split('.').filter_map(|part| part.parse().ok()).collect() };
        numbers.iter().map(parts).collect::<Vec<_>>().is_sorted()
    };
    assert!(
        in_order(&numbers) && !numbers.contains(&"1.2.12") && numbers.contains(&"1.2.30"),
        "{numbers:?}"
    );
    assert_eq!(finding(&report, "CIS-1.2.15")["benchmarkIds"], json!(["1.2.16"]));
    assert_eq!(finding(&report, "X-FILE-02"), Value::Null);
    let shown = text(&run(&root, "check --benchmark cis-1.8"));
    assert!(shown.starts_with("CIS Kubernetes Benchmark 1.8\n"), "{shown}");
    assert!(shown.contains(" 1.2.16 (CIS-1.2.15) "), "{shown}");
    let whole = check(&root, "");
    assert_eq!(finding(&whole, "CIS-1.2.15")["ids"]["cis-1.8"], json!(["1.2.16"]));
    assert_eq!(whole["benchmark"], Value::Null);
}

#[test]
fn an_unknown_benchmark_is_wrong_usage_and_the_known_ones_are_named() {
    let output = run(&node(), "check --benchmark cis-1.7");
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("it is one of cis-1.8, cis-1.9, cis-1.10, cis-1.11, cis-1.12, stig, nsa"),
        "{told}"
    );
}

#[test]
fn a_control_is_explained_by_any_of_its_ids() {
    let root = node();
    for name in ["CIS-1.2.12", "cis-1.8:1.2.13", "cis-1.12:1.2.12"] {
        let output = run(&root, &format!("explain {name}"));
        assert_eq!(output.status.code(), Some(0), "{name}");
        let told = text(&output);
        assert!(
            told.starts_with("CIS-1.2.12  ") && told.contains("CIS 1.8: 1.2.13; CIS 1.9 to 1.12: 1.2.12"),
            "{told}"
        );
    }
    for name in ["V-242381", "CNTR-K8-000220"] {
        assert!(
            text(&run(&root, &format!("explain {name}"))).starts_with("CIS-1.3.3  "),
            "{name}"
        );
    }
    let several = text(&run(&root, "explain V-242408"));
    assert_eq!(
        several
            .lines()
            .filter(|line| line.starts_with("  CIS-1.1."))
            .count(),
        4,
        "{several}"
    );
    let several = run(&root, "explain V-242408 --output json");
    let several: Value = serde_json::from_slice(&several.stdout).expect("JSON");
    assert_eq!(
        (&several["report"], several["controls"].as_array().map(Vec::len)),
        (&json!("controls"), Some(4))
    );
}

#[test]
fn an_id_that_no_control_has_is_wrong_usage_with_the_reason_where_it_is_known() {
    let root = node();
    for (name, told) in [
        ("cis-1.8:1.2.12", "it asks for SecurityContextDeny"),
        ("cis-1.11:4.2.15", "it asks for IPAddressDeny"),
        ("cis-1.10:1.2.30", "there is no control cis-1.10:1.2.30; "),
        ("V-242395", "there is no control V-242395; "),
        ("cis-1.7:1.1.1", "is not a control id"),
    ] {
        let output = run(&root, &format!("explain {name}"));
        assert_eq!(output.status.code(), Some(64), "{name}");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(words.contains(told), "{words}");
    }
}

#[test]
fn another_kind_of_kubernetes_is_declined_with_a_sentence_unless_kubeadm_is_there_too() {
    let declined = |paths: &[&str], words: &str| {
        let root = tempfile::tempdir().expect("a folder");
        for path in paths {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            let content = if path.ends_with("os-release") {
                "NAME=Talos\nID=talos\n"
            } else {
                ""
            };
            fs::write(&path, content).expect("written");
        }
        let output = run(&root, words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = said
            .split(". Holdfast looks after")
            .next()
            .unwrap_or_default()
            .to_owned();
        (output.status.code(), said.contains("this host has"), said)
    };
    for (path, name) in [
        ("var/lib/rancher/k3s/server/token", "k3s"),
        ("var/lib/rancher/rke2/server/token", "RKE2"),
        ("etc/os-release", "Talos Linux"),
    ] {
        for words in ["check", "plan", "check --output json"] {
            let (code, says_why, said) = declined(&[path], words);
            assert_eq!((code, says_why), (Some(69), true), "{said}");
            assert!(said.contains(name), "{said}");
        }
        let kubeadms = "etc/kubernetes/manifests/kube-apiserver.yaml";
        let (code, says_why, said) = declined(&[path, kubeadms], "check");
        assert!(code != Some(69) && !says_why, "{said}");
    }
    assert_ne!(
        declined(&["etc/hostname"], "check").0,
        Some(69),
        "no Kubernetes is none of them"
    );
}
