//! What came of changes, for people, and what is left.

use super::Heading;
use super::paint::{self, Colour, printable};
use super::plan::plan_text;
use crate::apply::{Outcome, Result};
use crate::domain::ControlId;
use crate::journal::Fault;
use crate::plan::{Finding, Plan};

/// One outcome, as a line or a few.
#[must_use]
pub fn outcome_text(outcome: &Outcome, colour: Colour) -> String {
    let (shade, word, more) = match &outcome.result {
        Result::Made => (paint::GOOD, "done", Vec::new()),
        Result::Begun => (
            paint::NOTE,
            "begun",
            vec!["waiting until it proves healthy".to_owned()],
        ),
        Result::Waiting { why } => {
            return format!("  {} {}\n", colour.paint(paint::FAINT, "..."), printable(why));
        }
        Result::PutBack { fault } => (
            paint::WARNING,
            "undoing",
            fault.as_ref().map(fault_lines).unwrap_or_default(),
        ),
        Result::Refused {
            fault,
            recovered,
            by_hand,
        } => {
            let mut lines = fault_lines(fault);
            lines.extend(after_refusal(*recovered, by_hand.as_deref()));
            (paint::BAD, "refused", lines)
        }
        Result::Abandoned { why } => (paint::WARNING, "given up", vec![why.clone()]),
        Result::Stuck { why } => (paint::BAD, "STUCK", vec![why.clone()]),
        Result::Failed { why } => (paint::BAD, "failed", vec![why.clone()]),
    };
    let head = format!(
        "{}: {}{}\n",
        colour.paint(shade, word),
        printable(&outcome.what),
        served(&outcome.controls)
    );
    let tail: String = more
        .iter()
        .map(|line| format!("    {}\n", printable(line)))
        .collect();
    head + &tail
}

/// The controls that it serves; a bounce that was asked for serves none.
fn served(controls: &[ControlId]) -> String {
    let controls: Vec<&str> = controls.iter().map(ControlId::as_str).collect();
    if controls.is_empty() {
        return String::new();
    }
    format!(" ({})", controls.join(", "))
}

/// Why, the flag at fault, and the component's last words.
fn fault_lines(fault: &Fault) -> Vec<String> {
    let mut lines = vec![fault.why.clone()];
    lines.extend(
        fault
            .flag
            .as_ref()
            .map(|flag| format!("at fault: {}={}", flag.name, flag.value)),
    );
    lines.extend(fault.last_words.iter().map(|words| format!("it said: {words}")));
    lines
}

fn after_refusal(recovered: bool, by_hand: Option<&str>) -> Vec<String> {
    if recovered {
        let words = "the former content is back in place and the component is healthy; this is not tried again until its inputs change \
                     (or with --retry)";
        return vec![words.to_owned()];
    }
    let mut lines = vec![
        "the former content is back in place, but the component is NOT healthy again; by hand:".to_owned(),
    ];
    lines.extend(
        by_hand
            .unwrap_or_default()
            .lines()
            .map(|line| format!("  {line}")),
    );
    lines
}

/// What is left after an apply, and why.
#[must_use]
pub fn left_text(plan: &Plan, findings: &[Finding], heading: &Heading, colour: Colour) -> String {
    format!(
        "\nWhat is left:\n\n{}",
        plan_text(plan, findings, heading, colour)
    )
}
