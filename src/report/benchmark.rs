//! Controls under the ids of a benchmark, and what a reader of its report must know.

use std::collections::BTreeSet;

use super::paint::{self, Colour};
use super::words;
use crate::controls::editions::{all_ids, stig_id};
use crate::controls::{Benchmark, Control, catalogue};
use crate::domain::ControlId;
use crate::plan::Finding;

/// How a control is named in a report: by the ids of the benchmark, and by ours, which the configuration knows.
pub(super) fn label(benchmark: Option<Benchmark>, id: &ControlId) -> String {
    match benchmark {
        // Sections of the guide are what the report is divided by.
        None | Some(Benchmark::Nsa) => id.to_string(),
        Some(benchmark) => format!("{} ({id})", benchmark.ids(id).join(", ")),
    }
}

/// The section of a report that a control belongs to.
pub(super) fn section(benchmark: Option<Benchmark>, control: &Control) -> String {
    match benchmark {
        Some(Benchmark::Nsa) => Benchmark::Nsa
            .ids(&control.id)
            .into_iter()
            .next()
            .unwrap_or_default(),
        Some(Benchmark::Stig) => "Rules".to_owned(),
        Some(Benchmark::Cis8 | Benchmark::Cis9 | Benchmark::Cis10 | Benchmark::Cis11 | Benchmark::Cis12)
        | None => words::section(control),
    }
}

/// In what the benchmark differs on a control.
pub(super) fn note(benchmark: Option<Benchmark>, id: &ControlId) -> Option<&'static str> {
    benchmark?.difference(id).map(|difference| difference.note)
}

/// What stands above the findings: how much of the benchmark they are, and what holds for all of them.
pub(super) fn heading_text(benchmark: Benchmark, findings: &[Finding], colour: Colour) -> String {
    let mut text = format!("{}\n", colour.paint(paint::STRONG, benchmark.title()));
    let ids: BTreeSet<String> = findings
        .iter()
        .flat_map(|finding| benchmark.ids(finding.id()))
        .collect();
    if let Some(checks) = benchmark.checks() {
        text += &format!("{} of its {checks} checks are judged here.\n", ids.len());
    }
    let off: Vec<String> = catalogue()
        .into_iter()
        .map(|control| control.id)
        .filter(|id| !benchmark.ids(id).is_empty() && !findings.iter().any(|finding| finding.id() == id))
        .map(|id| id.to_string())
        .collect();
    if !off.is_empty() {
        text += &format!(
            "Not judged, because the configuration turns them off: {}.\n",
            off.join(", ")
        );
    }
    if let Some(remark) = benchmark.remark() {
        text += &format!("{remark}\n");
    }
    text.push('\n');
    text
}

/// Every id of a control, a benchmark a line; editions with the same number are one.
pub(super) fn ids_text(id: &ControlId) -> String {
    let mut lines = Vec::new();
    let cis = cis_numbers(id);
    if !cis.is_empty() {
        lines.push(cis.join("; "));
    }
    let stig = Benchmark::Stig.ids(id).into_iter().map(|rule| {
        let number = stig_id(&rule).unwrap_or_default();
        format!("{rule} ({number})")
    });
    let stig: Vec<String> = stig.collect();
    if !stig.is_empty() {
        lines.push(format!("DISA STIG V2R6: {}", stig.join(", ")));
    }
    if let Some(former) = all_ids(id).get("stig-withdrawn") {
        lines.push(format!("DISA STIG, withdrawn: {}", former.join(", ")));
    }
    let sections = Benchmark::Nsa.ids(id);
    if !sections.is_empty() {
        lines.push(format!("NSA/CISA 1.2: {}", sections.join(", ")));
    }
    lines.join("\n")
}

/// In what benchmarks differ on a control, a difference a line.
pub(super) fn differences_text(id: &ControlId) -> String {
    let mut told: Vec<(Vec<&str>, &str)> = Vec::new();
    for benchmark in Benchmark::ALL {
        let Some(note) = note(Some(benchmark), id) else {
            continue;
        };
        match told.iter_mut().find(|(_, known)| *known == note) {
            Some((names, _)) => names.push(benchmark.name()),
            None => told.push((vec![benchmark.name()], note)),
        }
    }
    let lines = told
        .iter()
        .map(|(names, note)| format!("{}: {note}", names.join(", ")));
    lines.collect::<Vec<_>>().join("\n")
}

fn cis_numbers(id: &ControlId) -> Vec<String> {
    // First edition, last edition, number.
    let mut runs: Vec<(Benchmark, Benchmark, String)> = Vec::new();
    for edition in Benchmark::CIS {
        let Some(number) = edition.ids(id).into_iter().next() else {
            continue;
        };
        match runs.last_mut() {
            Some((_, last, same)) if *same == number => *last = edition,
            _ => runs.push((edition, edition, number)),
        }
    }
    let short = |edition: Benchmark| edition.name().trim_start_matches("cis-");
    runs.iter()
        .map(|(first, last, number)| {
            if first == last {
                format!("CIS {}: {number}", short(*first))
            } else {
                format!("CIS {} to {}: {number}", short(*first), short(*last))
            }
        })
        .collect()
}

#[cfg(test)]
#[path = "benchmark_tests.rs"]
mod tests;
