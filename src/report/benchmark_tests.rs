//! Reports under the ids of a benchmark.

use serde_json::{Value, json};

use super::*;
use crate::plan::Verdict;
use crate::report::{Heading, explain_json, explain_text, findings_json, findings_text, samples};

fn heading(benchmark: Benchmark) -> Heading {
    Heading {
        benchmark: Some(benchmark),
        ..Heading::default()
    }
}

/// The findings of these controls as the benchmark asks for them, in its order.
fn findings(benchmark: Benchmark, ids: &[&str]) -> Vec<Finding> {
    ids.iter()
        .map(|id| {
            let control = benchmark.asks(samples::control(id)).unwrap();
            Finding::new(control, vec![samples::evidence("/x", Verdict::Pass, None)])
        })
        .collect()
}

/// The report without the line on what is not judged, as the samples are few.
fn text(benchmark: Benchmark, ids: &[&str]) -> String {
    let text = findings_text(&findings(benchmark, ids), &heading(benchmark), Colour::Never);
    let told = text.lines().filter(|line| !line.starts_with("Not judged"));
    told.map(|line| format!("{line}\n")).collect()
}

#[test]
fn an_edition_shows_its_numbers_and_in_what_it_differs() {
    assert_eq!(
        text(Benchmark::Cis8, &["CIS-1.1.20", "CIS-1.2.12", "CIS-1.4.1"]),
        "\
CIS Kubernetes Benchmark 1.8
3 of its 130 checks are judged here.

CIS 1.1  Files of the control plane
  pass           1.1.20 (CIS-1.1.20)  PKI certificates are 0600 or stricter
      note: judged by 0600, which editions up to 1.10 ask for; 0644 since 1.11, and in Holdfast's own judgement

CIS 1.2  API server
  pass           1.2.13 (CIS-1.2.12)  ServiceAccount admission is not switched off

CIS 1.4  Scheduler
  pass           1.4.1 (CIS-1.4.1)    scheduler profiling is off

3 controls: 3 pass, 0 drift, 0 unknown, 0 not applicable, 0 excepted
"
    );
}

#[test]
fn the_stig_shows_its_rules_and_counts_one_that_is_several_controls_once() {
    assert_eq!(
        text(Benchmark::Stig, &["CIS-1.1.2", "CIS-1.1.4", "CIS-1.1.1"]),
        "\
DISA Kubernetes STIG V2R6
3 of its 92 checks are judged here.
The STIG wants each setting written out. Judged is the value in effect, the built-in default included.

Rules
  pass           V-242405, V-242444 (CIS-1.1.2)  kube-apiserver manifest belongs to root
  pass           V-242405, V-242444 (CIS-1.1.4)  kube-controller-manager manifest belongs to root
  pass           V-242408 (CIS-1.1.1)            kube-apiserver manifest is 0644 or stricter
      note: judged by 0644, which the STIG allows; Holdfast's own judgement is stricter

3 controls: 3 pass, 0 drift, 0 unknown, 0 not applicable, 0 excepted
"
    );
}

#[test]
fn the_guide_shows_its_sections() {
    let text = text(Benchmark::Nsa, &["CIS-2.1", "CIS-1.2.27"]);
    let sections = "\nEtcd\n  pass           CIS-2.1     ";
    assert!(
        text.contains(sections) && text.contains("\nSecrets\n  pass           CIS-1.2.27  "),
        "{text}"
    );
    assert!(!text.contains("checks are judged here"), "{text}");
}

#[test]
fn what_is_off_is_named() {
    let all: Vec<Control> = catalogue();
    let judged: Vec<Finding> = all
        .into_iter()
        .filter(|control| control.id.as_str() != "CIS-1.4.1")
        .filter_map(|control| Benchmark::Cis12.asks(control))
        .map(|control| Finding::new(control, Vec::new()))
        .collect();
    let text = heading_text(Benchmark::Cis12, &judged, Colour::Never);
    assert!(
        text.contains("\nNot judged, because the configuration turns them off: CIS-1.4.1.\n"),
        "{text}"
    );
}

#[test]
fn json_names_the_benchmark_its_ids_and_the_difference() {
    let report = |benchmark, id| -> Value {
        let findings = findings(benchmark, &[id]);
        serde_json::from_str(&findings_json(&findings, &heading(benchmark))).unwrap()
    };
    let old = report(Benchmark::Cis10, "CIS-1.1.20");
    let finding = &old["findings"][0];
    assert_eq!(old["benchmark"], "cis-1.10");
    assert_eq!(
        (&finding["id"], &finding["benchmarkIds"]),
        (&json!("CIS-1.1.20"), &json!(["1.1.20"]))
    );
    assert_eq!(finding["ids"]["stig"], json!(["V-242466"]));
    assert!(
        finding["note"].as_str().unwrap().starts_with("judged by 0600"),
        "{finding}"
    );
    let moved = report(Benchmark::Cis8, "CIS-1.2.15");
    let finding = &moved["findings"][0];
    assert_eq!(
        (&finding["benchmarkIds"], &finding["note"]),
        (&json!(["1.2.16"]), &Value::Null)
    );
    let nsa = report(Benchmark::Nsa, "CIS-2.1");
    assert_eq!(nsa["findings"][0]["benchmarkIds"], json!(["Etcd"]));
    let none: Value =
        serde_json::from_str(&findings_json(&samples::findings(), &Heading::default())).unwrap();
    assert_eq!(
        (&none["benchmark"], none["findings"][0].get("benchmarkIds")),
        (&Value::Null, None)
    );
}

#[test]
fn every_id_of_a_control_is_explained() {
    let ids = |id: &str| ids_text(&id.parse().unwrap());
    assert_eq!(
        ids("CIS-1.2.16"),
        "CIS 1.8: 1.2.17; CIS 1.9 to 1.12: 1.2.16\nDISA STIG V2R6: V-242402 (CNTR-K8-000610), V-242465 (CNTR-K8-003320)\n\
         NSA/CISA 1.2: Kubernetes native audit logging configuration"
    );
    assert_eq!(
        ids("X-API-01"),
        "DISA STIG, withdrawn: V-242386, V-242388\nNSA/CISA 1.2: Control plane hardening"
    );
    assert_eq!(ids("CIS-1.2.30"), "CIS 1.11 to 1.12: 1.2.30");
    assert_eq!(ids("HF-FOLDER-1"), "");
    let text = explain_text(&samples::control("CIS-1.1.20"), Colour::Never);
    assert!(
        text.contains("\nIds\n  CIS 1.8 to 1.12: 1.1.20\n  DISA STIG V2R6: V-242466 "),
        "{text}"
    );
    assert!(
        text.contains("\nUnder --benchmark\n  cis-1.8, cis-1.9, cis-1.10: judged by 0600"),
        "{text}"
    );
    let folder = explain_text(&samples::control("HF-FOLDER-1"), Colour::Never);
    assert!(
        !folder.contains("\nIds\n") && !folder.contains("--benchmark"),
        "{folder}"
    );
    let json: Value = serde_json::from_str(&explain_json(&samples::control("CIS-1.2.12"))).unwrap();
    assert_eq!(json["control"]["ids"]["cis-1.8"], json!(["1.2.13"]));
}
