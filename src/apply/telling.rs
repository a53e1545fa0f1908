//! What came of a change, in the words of the system log.

use super::{Outcome, Result};
use crate::domain::ControlId;
use crate::events::tell;
use crate::journal::Fault;

/// Tells the system log what came of a change.
pub(crate) fn tell_outcome(outcome: &Outcome) {
    let controls: Vec<&str> = outcome.controls.iter().map(ControlId::as_str).collect();
    let controls = controls.join(" ");
    let (control, path) = (controls.as_str(), outcome.path.as_str());
    let text = in_words(outcome, control);
    match &outcome.result {
        Result::Made | Result::Begun => tell!(CHANGED, [control = control, path = path], "{text}"),
        Result::Waiting { .. } => tell!(WAITING, [control = control, path = path], "{text}"),
        Result::PutBack { .. } | Result::Refused { .. } => {
            tell!(REFUSED, [control = control, path = path], "{text}");
        }
        Result::Abandoned { .. } => tell!(GIVEN_UP, [control = control, path = path], "{text}"),
        Result::Stuck { .. } | Result::Failed { .. } => {
            tell!(FAILED, [control = control, path = path], "{text}");
        }
    }
}

/// What came of a change, and the controls that it serves.
fn in_words(outcome: &Outcome, controls: &str) -> String {
    let what = &outcome.what;
    // A bounce that was asked for serves no control.
    let (done, served) = if controls.is_empty() {
        ("done", String::new())
    } else {
        ("mended", format!(" ({controls})"))
    };
    match &outcome.result {
        Result::Made => format!("{done}: {what}{served}"),
        Result::Begun => format!("begun: {what}{served}"),
        Result::Waiting { why } => format!("waiting for {why}"),
        Result::PutBack { fault } => {
            let why = fault.as_ref().map_or_else(String::new, told);
            format!("undoing: {what}: the former content is back in place. {why}")
        }
        Result::Refused {
            fault,
            recovered: true,
            ..
        } => {
            let why = told(fault);
            format!(
                "refused by the node: {what}. It is healthy again with its former content, and this is not tried again until its inputs \
                 change. {why}"
            )
        }
        Result::Refused {
            fault,
            recovered: false,
            by_hand,
        } => {
            // A log has lines, and each command a comment.
            let commands = by_hand.iter().flat_map(|commands| commands.lines());
            let commands: Vec<&str> = commands.filter_map(|line| line.split("   #").next()).collect();
            let (why, by_hand) = (told(fault), commands.join("; "));
            format!(
                "refused by the node: {what}. Its former content is in place, but it is NOT healthy again. {why} By hand: {by_hand}"
            )
        }
        Result::Abandoned { why } => format!("given up: {what}: {why}"),
        Result::Stuck { why } => format!("stuck: {what}: {why}"),
        Result::Failed { why } => format!("failed: {what}: {why}"),
    }
}

/// A fault in words: why, the flag, the last words.
fn told(fault: &Fault) -> String {
    let flag = fault.flag.as_ref().map_or_else(String::new, |flag| {
        format!(" At fault: {}={}.", flag.name, flag.value)
    });
    let words = if fault.last_words.is_empty() {
        String::new()
    } else {
        format!(" Its last words: {}", fault.last_words.join(" | "))
    };
    format!("{}.{flag}{words}", fault.why)
}
