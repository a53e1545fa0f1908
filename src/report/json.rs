//! The reports as JSON. The schema is a promise: within one `schemaVersion` keys are added, never renamed or removed,
//! and no key changes its type.
//!
//! Every report is one object with `schemaVersion` and `report` (`findings`, `plan`, `apply`, `bounce`, `controls`, `control`); the first
//! two have `paused` (a text or null). Ids, modes, owners and digests are texts; modes have four octal digits.
//!
//! Each control has `ids`: its ids by benchmark (`cis-1.8` to `cis-1.12`, `stig`, `stig-id`, `stig-withdrawn`, `nsa`), each a list; what
//! does not ask for it is left out. `findings` has `benchmark` (its name, or null). With one, each finding has `benchmarkIds`, and `note`,
//! a text that says in what the benchmark differs on it, or null.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::paint::is_unprintable;
use super::plan::step_words;
use super::{Heading, Summary, benchmark, exit_code, words};
use crate::apply::{Outcome, Result as Outcomes};
use crate::controls::editions::all_ids;
use crate::controls::{Benchmark, Control};
use crate::domain::{Component, ControlId, Digest, NodePath};
use crate::journal::{KnownManifest, RefusedFlag};
use crate::manifest::unified_diff;
use crate::plan::{Change, Deed, Evidence, Finding, Mend, Plan, Progress, Step, Verdict, Withheld};

/// Of the schema that is described above.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a, T> {
    schema_version: u32,
    report: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<&'a Option<String>>,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingsBody<'a> {
    exit_code: u8,
    benchmark: Option<&'static str>,
    summary: Summary,
    findings: Vec<FindingBody<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingBody<'a> {
    #[serde(flatten)]
    control: ControlBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    benchmark_ids: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Option<&'static str>>,
    verdict: Verdict,
    evidence: Vec<EvidenceBody<'a>>,
}

#[derive(Serialize)]
struct ControlBody<'a> {
    id: &'a ControlId,
    rule: &'a str,
    title: &'a str,
    /// `safe`, `restarts`, `conditional`, `quarantine`, `report-only` or `in-part`.
    remedy: &'static str,
    restarts: Option<Component>,
    ids: BTreeMap<&'static str, Vec<String>>,
}

#[derive(Serialize)]
struct EvidenceBody<'a> {
    object: &'a str,
    verdict: Verdict,
    expected: &'a str,
    actual: &'a str,
    mend: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanBody<'a> {
    in_flight: Option<InFlightBody<'a>>,
    baseline: Option<&'a [KnownManifest]>,
    changes: Vec<ChangeBody<'a>>,
    withheld: Vec<WithheldBody<'a>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct InFlightBody<'a> {
    change: Digest,
    path: &'a NodePath,
    /// `wait`, `drain`, `end`, `cleaned-up`, `remove-ended`, `restart-kubelet`, `put-in`, `finish`, `abandon`, `undo`, `put-back`, `refuse` or `stuck`.
    step: &'static str,
    message: String,
}

#[derive(Serialize)]
struct ChangeBody<'a> {
    id: Digest,
    controls: &'a [ControlId],
    /// `set-mode`, `set-owner`, `edit-manifest`, `bounce` or `quarantine`.
    kind: &'static str,
    path: &'a NodePath,
    restarts: Option<Component>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<&'a [RefusedFlag]>,
    /// The unified diff.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

#[derive(Serialize)]
struct WithheldBody<'a> {
    controls: &'a [ControlId],
    object: &'a str,
    /// True when nothing but time is awaited.
    temporary: bool,
    reason: ReasonBody,
}

#[derive(Serialize)]
struct ReasonBody {
    kind: &'static str,
    message: String,
}

/// The findings of a check.
#[must_use]
pub fn findings_json(findings: &[Finding], heading: &Heading) -> String {
    text(&Report {
        schema_version: SCHEMA_VERSION,
        report: "findings",
        paused: Some(&heading.paused),
        body: FindingsBody {
            exit_code: exit_code(findings).code(),
            benchmark: heading.benchmark.map(Benchmark::name),
            summary: Summary::of(findings),
            findings: findings
                .iter()
                .map(|one| finding(one, heading.benchmark))
                .collect(),
        },
    })
}

/// A plan.
#[must_use]
pub fn plan_json(plan: &Plan, heading: &Heading) -> String {
    text(&Report {
        schema_version: SCHEMA_VERSION,
        report: "plan",
        paused: Some(&heading.paused),
        body: plan_body(plan),
    })
}

fn plan_body(plan: &Plan) -> PlanBody<'_> {
    PlanBody {
        in_flight: plan.in_flight.as_ref().map(in_flight),
        baseline: plan.baseline.as_deref(),
        changes: plan.changes.iter().map(change).collect(),
        withheld: plan.withheld.iter().map(withheld).collect(),
        warnings: &plan.warnings,
    }
}

/// What came of an apply, and the plan that is left.
#[must_use]
pub fn apply_json(plan: &Plan, outcomes: &[Outcome], heading: &Heading) -> String {
    let outcomes: Vec<Value> = outcomes.iter().map(outcome).collect();
    text(&Report {
        schema_version: SCHEMA_VERSION,
        report: "apply",
        paused: Some(&heading.paused),
        body: json!({ "outcomes": outcomes, "left": plan_body(plan) }),
    })
}

pub(super) fn outcome(outcome: &Outcome) -> Value {
    let (result, message, fault) = match &outcome.result {
        Outcomes::Made => ("made", None, None),
        Outcomes::Begun => ("begun", None, None),
        Outcomes::Waiting { why } => ("waiting", Some(why), None),
        Outcomes::PutBack { fault } => ("put-back", None, fault.as_ref()),
        Outcomes::Refused { fault, .. } => ("refused", None, Some(fault)),
        Outcomes::Abandoned { why } => ("abandoned", Some(why), None),
        Outcomes::Stuck { why } => ("stuck", Some(why), None),
        Outcomes::Failed { why } => ("failed", Some(why), None),
    };
    let (mut recovered, mut by_hand) = (None, None);
    if let Outcomes::Refused {
        recovered: again,
        by_hand: commands,
        ..
    } = &outcome.result
    {
        (recovered, by_hand) = (Some(*again), commands.as_ref());
    }
    json!({
        "change": outcome.change,
        "controls": outcome.controls,
        "what": outcome.what,
        "result": result,
        "message": message,
        "fault": fault,
        "recovered": recovered,
        "byHand": by_hand,
    })
}

/// The catalogue.
#[must_use]
pub fn controls_json(controls: &[Control]) -> String {
    let rows: Vec<Value> = controls
        .iter()
        .map(|control| merged(&control_body(control), &json!({ "sources": control.sources })))
        .collect();
    text(&Report {
        schema_version: SCHEMA_VERSION,
        report: "controls",
        paused: None,
        body: BTreeMap::from([("controls", rows)]),
    })
}

/// One control explained.
#[must_use]
pub fn explain_json(control: &Control) -> String {
    let more = json!({
        "rationale": control.rationale,
        "requirement": words::requirement(&control.requirement),
        "remedyText": words::remedy(control),
        "sources": control.sources,
        "takesValue": control.takes_value(),
        "configuration": words::configuration(control),
    });
    text(&Report {
        schema_version: SCHEMA_VERSION,
        report: "control",
        paused: None,
        body: BTreeMap::from([("control", merged(&control_body(control), &more))]),
    })
}

#[expect(
    clippy::expect_used,
    reason = "the types above hold texts, numbers and maps with text keys, which are always JSON"
)]
pub(super) fn text<T: Serialize>(report: &T) -> String {
    let json = serde_json::to_string_pretty(report).expect("a report is JSON");
    // serde_json writes DEL, C1 controls and marks of direction as they are, and JSON is read on terminals too. Outside
    // of strings none of them occurs, and inside an escape means the same.
    let mut safe = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        if c != '\n' && is_unprintable(c) {
            safe += &format!("\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    safe.push('\n');
    safe
}

#[expect(clippy::expect_used, reason = "a control's row holds texts only")]
fn merged(row: &ControlBody<'_>, more: &Value) -> Value {
    let mut row = serde_json::to_value(row).expect("a row is JSON");
    if let (Some(row), Some(more)) = (row.as_object_mut(), more.as_object()) {
        row.extend(more.clone());
    }
    row
}

fn control_body(control: &Control) -> ControlBody<'_> {
    ControlBody {
        id: &control.id,
        rule: &control.rule,
        title: &control.title,
        remedy: words::remedy_class(control.remedy),
        restarts: control.restarts(),
        ids: all_ids(&control.id),
    }
}

fn finding(finding: &Finding, asked_by: Option<Benchmark>) -> FindingBody<'_> {
    FindingBody {
        control: control_body(&finding.control),
        benchmark_ids: asked_by.map(|benchmark| benchmark.ids(finding.id())),
        note: asked_by.map(|_| benchmark::note(asked_by, finding.id())),
        verdict: finding.verdict,
        evidence: finding.evidence.iter().map(evidence).collect(),
    }
}

fn evidence(piece: &Evidence) -> EvidenceBody<'_> {
    EvidenceBody {
        object: &piece.object,
        verdict: piece.verdict,
        expected: &piece.expected,
        actual: &piece.actual,
        mend: piece.mend.as_ref().map(mend),
    }
}

fn mend(mend: &Mend) -> Value {
    match mend {
        Mend::Mode {
            path, from, ceiling, ..
        } => json!({ "kind": "set-mode", "path": path, "from": from, "to": from.tightened_to(*ceiling) }),
        Mend::Owner { path, from, to, .. } => {
            json!({ "kind": "set-owner", "path": path, "from": from.to_string(), "to": to.to_string() })
        }
        Mend::Flag {
            component,
            name,
            value,
        }
        | Mend::Conditional {
            component,
            name,
            value,
            ..
        } => json!({ "kind": "set-flag", "component": component, "flag": name, "value": value }),
        Mend::Flags { component, flags, .. } => {
            let flags: Vec<Value> = flags
                .iter()
                .map(|(name, value)| json!({ "flag": name, "value": value }))
                .collect();
            json!({ "kind": "set-flags", "component": component, "flags": flags })
        }
        Mend::Kubelet { setting, .. } => {
            json!({ "kind": "set-kubelet", "key": setting.key, "value": setting.value })
        }
        Mend::List {
            component,
            name,
            items,
        } => json!({ "kind": "set-flag", "component": component, "flag": name, "value": items.value() }),
        Mend::ConditionalList {
            component,
            name,
            items,
            ..
        } => json!({ "kind": "set-flag", "component": component, "flag": name, "value": items.value() }),
        Mend::Quarantine { path, digest, .. } => {
            json!({ "kind": "quarantine", "path": path, "digest": digest })
        }
    }
}

fn in_flight(progress: &Progress) -> InFlightBody<'_> {
    let step = match progress.step {
        Step::Wait { .. } => "wait",
        Step::Drain => "drain",
        Step::CleanedUp => "cleaned-up",
        Step::RemoveEnded { .. } => "remove-ended",
        Step::End(_) => "end",
        Step::RestartKubelet => "restart-kubelet",
        Step::PutIn => "put-in",
        Step::Finish => "finish",
        Step::Abandon { .. } => "abandon",
        Step::Undo(_) => "undo",
        Step::PutBack => "put-back",
        Step::Refuse { .. } => "refuse",
        Step::Stuck { .. } => "stuck",
    };
    InFlightBody {
        change: progress.change,
        path: progress.act.path(),
        step,
        message: step_words(&progress.step),
    }
}

fn change(change: &Change) -> ChangeBody<'_> {
    let body = ChangeBody {
        id: change.id,
        controls: &change.controls,
        kind: "",
        path: change.deed.path(),
        restarts: change.restarts(),
        from: None,
        to: None,
        flags: None,
        diff: None,
    };
    match &change.deed {
        Deed::SetMode { from, to, .. } => ChangeBody {
            kind: "set-mode",
            from: Some(from.to_string()),
            to: Some(to.to_string()),
            ..body
        },
        Deed::SetOwner { from, to, .. } => ChangeBody {
            kind: "set-owner",
            from: Some(from.to_string()),
            to: Some(to.to_string()),
            ..body
        },
        Deed::EditManifest(edit) => ChangeBody {
            kind: "edit-manifest",
            flags: Some(&edit.flags),
            diff: Some(unified_diff(edit.path.as_str(), &edit.before, &edit.after)),
            ..body
        },
        Deed::EditKubelet(edit) => ChangeBody {
            kind: "edit-kubelet",
            diff: Some(unified_diff(edit.path.as_str(), &edit.before, &edit.after)),
            ..body
        },
        Deed::Bounce(_) => ChangeBody {
            kind: "bounce",
            ..body
        },
        Deed::MakeFolder { .. } => ChangeBody {
            kind: "make-folder",
            ..body
        },
        Deed::Install { path, content } => ChangeBody {
            kind: "install",
            diff: Some(unified_diff(path.as_str(), "", content)),
            ..body
        },
        Deed::Quarantine { .. } => ChangeBody {
            kind: "quarantine",
            ..body
        },
    }
}

fn withheld(withheld: &Withheld) -> WithheldBody<'_> {
    WithheldBody {
        controls: &withheld.controls,
        object: &withheld.object,
        temporary: withheld.reason.is_temporary(),
        reason: ReasonBody {
            kind: withheld.reason.kind(),
            message: withheld.reason.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controls::catalogue;
    use crate::report::samples;

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a report as a whole")]
    fn findings_carry_counts_verdicts_evidence_and_mends() {
        let heading = Heading {
            paused: Some("until then: why".to_owned()),
            ..Heading::default()
        };
        let report = value(&findings_json(&samples::findings()[..2], &heading));
        assert_eq!(
            report,
            json!({
                "schemaVersion": 1,
                "report": "findings",
                "paused": "until then: why",
                "exitCode": 2,
                "benchmark": null,
                "summary": {
                    "controls": 2, "pass": 1, "drift": 1, "unknown": 0, "notApplicable": 0, "excepted": 0, "notLookedAt": 0, "mendable": 1
                },
                "findings": [
                    {
                        "id": "CIS-1.1.2",
                        "rule": "file.manifest.kube-apiserver.owner",
                        "title": "kube-apiserver manifest belongs to root",
                        "remedy": "safe",
                        "restarts": null,
                        "ids": {
                            "cis-1.8": ["1.1.2"], "cis-1.9": ["1.1.2"], "cis-1.10": ["1.1.2"], "cis-1.11": ["1.1.2"],
                            "cis-1.12": ["1.1.2"], "stig": ["V-242405", "V-242444"],
                            "stig-id": ["CNTR-K8-000860", "CNTR-K8-003110"]
                        },
                        "verdict": "pass",
                        "evidence": [
                            { "object": "/m", "verdict": "pass", "expected": "this", "actual": "that", "mend": null }
                        ]
                    },
                    {
                        "id": "CIS-1.1.5",
                        "rule": "file.manifest.kube-scheduler.mode",
                        "title": "kube-scheduler manifest is 0600 or stricter",
                        "remedy": "safe",
                        "restarts": null,
                        "ids": {
                            "cis-1.8": ["1.1.5"], "cis-1.9": ["1.1.5"], "cis-1.10": ["1.1.5"], "cis-1.11": ["1.1.5"],
                            "cis-1.12": ["1.1.5"], "stig": ["V-242408"], "stig-id": ["CNTR-K8-000900"],
                            "stig-withdrawn": ["V-242458"]
                        },
                        "verdict": "drift",
                        "evidence": [{
                            "object": "/etc/kubernetes/manifests/kube-scheduler.yaml",
                            "verdict": "drift",
                            "expected": "0600 or stricter",
                            "actual": "0644",
                            "mend": {
                                "kind": "set-mode",
                                "path": "/etc/kubernetes/manifests/kube-scheduler.yaml",
                                "from": "0644",
                                "to": "0600"
                            }
                        }]
                    }
                ]
            })
        );
    }

    #[test]
    fn a_plan_carries_diffs_and_the_kinds_of_reasons() {
        let report = value(&plan_json(&samples::plan(), &Heading::default()));
        let id = Digest::of(b"change").to_string();
        assert_eq!(report["paused"], Value::Null);
        assert_eq!(
            report["changes"][0],
            json!({
                "id": id, "controls": ["CIS-1.1.5"], "kind": "set-mode",
                "path": "/etc/kubernetes/manifests/kube-scheduler.yaml", "restarts": null, "from": "0644", "to": "0600"
            })
        );
        assert_eq!(
            report["changes"][1],
            json!({
                "id": id, "controls": ["CIS-1.2.15"], "kind": "edit-manifest",
                "path": "/etc/kubernetes/manifests/kube-apiserver.yaml", "restarts": "kube-apiserver",
                "flags": [{ "name": "profiling", "value": "false" }],
                "diff": "--- a/etc/kubernetes/manifests/kube-apiserver.yaml\n+++ b/etc/kubernetes/manifests/kube-apiserver.yaml\n\
                         @@ -1,2 +1,3 @@\n a:\n - --x\n+- --profiling=false\n"
            })
        );
        assert_eq!(
            report["withheld"][0],
            json!({
                "controls": ["X-FILE-02"], "object": "evil\u{1b}.yaml", "temporary": false,
                "reason": { "kind": "needs-operator", "message": "only reported; a remedy needs a look" }
            })
        );
        assert_eq!(
            (&report["inFlight"], &report["baseline"]),
            (&Value::Null, &Value::Null)
        );
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_means_the_same() {
        let mut findings = samples::findings();
        let strange = "a\u{7f}b\u{9b}c\u{202e}d\u{1b}e\u{feff}é";
        findings[0].evidence[0].actual = strange.to_owned();
        let text = findings_json(&findings, &Heading::default());
        assert!(text.contains(r"a\u007fb\u009bc\u202ed\u001be\ufeffé"), "{text}");
        assert_eq!(value(&text)["findings"][0]["evidence"][0]["actual"], strange);
    }

    #[test]
    fn the_catalogue_and_each_control_of_it_are_json() {
        let controls = catalogue();
        let report = value(&controls_json(&controls));
        assert_eq!(report["controls"].as_array().map(Vec::len), Some(controls.len()));
        assert_eq!(report.get("paused"), None);
        let one = value(&explain_json(&samples::control("CIS-1.2.15")));
        assert_eq!(one["control"]["id"], "CIS-1.2.15");
        assert_eq!(one["control"]["restarts"], "kube-apiserver");
        assert_eq!(one["control"]["takesValue"], true);
    }
}
