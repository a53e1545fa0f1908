//! What the daemon tells the system log: each thing once, and again only when it changes.
//!
//! Every event has a `MESSAGE_ID` by which it can be found and a priority that means something: error needs a human now, warning
//! soon, `info!` (notice) is a change that was made, `debug!` (info) news of a pass.

use std::collections::BTreeMap;

use tracing::{debug, error, info, warn};

use crate::apply::{Outcome, Result};
use crate::domain::ControlId;
use crate::journal::Fault;
use crate::plan::{Verdict, Withheld};
use crate::reconcile::Looked;

/// A control does not hold.
const DRIFT: &str = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b01";
/// A control holds again.
const HOLDS_AGAIN: &str = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b02";
/// A fact could not be had.
const UNKNOWN: &str = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b03";
/// A change was made.
const CHANGED: &str = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b04";
/// The node refused a change.
const REFUSED: &str = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b05";
/// A change could not be made, completed or undone.
const FAILED: &str = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b06";
/// A mend is held back.
const WITHHELD: &str = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b07";
/// Holdfast was paused or resumed.
const PAUSE: &str = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b08";
/// A manifest was there at the first start.
const BASELINE: &str = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b09";
/// The daemon began, ended, or read its configuration again.
pub(super) const DAEMON: &str = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b0a";
/// The daemon could not do its work.
pub(super) const TROUBLE: &str = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b0b";
/// The configuration of encryption at rest was changed, or what stored values need is gone.
pub(super) const ENCRYPTION: &str = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b0c";
/// A rotation of encryption keys began, took a step, waits or ended.
pub(super) const ROTATION: &str = "5e0d1f0c0b7a4c0f9b7d2c9e6f1a3b0d";

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct News {
    findings: BTreeMap<(ControlId, String), String>,
    withheld: BTreeMap<String, String>,
    paused: Option<String>,
    warnings: Vec<String>,
    trouble: Option<String>,
    unwritten: Option<String>,
    waiting: Option<String>,
    last_look: Option<jiff::Timestamp>,
}

impl News {
    /// Tells what a look at the node found and was not told before, before anything is done about it. True when there was any.
    pub(super) fn tell_findings(&mut self, looked: &Looked, now: jiff::Timestamp) -> bool {
        let mut found = BTreeMap::new();
        for finding in &looked.findings {
            let heavy = finding
                .evidence
                .iter()
                .filter(|piece| piece.verdict >= Verdict::Unknown);
            for piece in heavy {
                let text = format!("{}: {}", piece.verdict.name(), essence(&piece.actual));
                // Of one object several things may be wrong.
                let told: &mut String = found
                    .entry((finding.id().clone(), piece.object.clone()))
                    .or_default();
                if !told.is_empty() {
                    told.push_str("; ");
                }
                told.push_str(&text);
            }
        }
        let news = found != self.findings;
        for ((control, object), text) in &found {
            if self.findings.get(&(control.clone(), object.clone())) != Some(text) {
                self.tell_finding(looked, control, object);
            }
        }
        let gone = self.findings.keys().filter(|key| !found.contains_key(*key));
        for (control, object) in gone {
            debug!(MESSAGE_ID = HOLDS_AGAIN, holdfast.control = %control, holdfast.object = %object, "{control} holds again: {object}");
        }
        self.findings = found;
        self.last_look = Some(now);
        self.tell_circumstances(looked) || news
    }

    fn tell_finding(&self, looked: &Looked, control: &ControlId, object: &str) {
        let Some(finding) = looked.findings.iter().find(|finding| finding.id() == control) else {
            return;
        };
        let title = &finding.control.title;
        for piece in finding
            .evidence
            .iter()
            .filter(|piece| piece.object == object && piece.verdict >= Verdict::Unknown)
        {
            let (actual, expected) = (&piece.actual, &piece.expected);
            if piece.verdict == Verdict::Unknown {
                warn!(MESSAGE_ID = UNKNOWN, holdfast.control = %control, holdfast.object = object,
                    "unknown: {control} {title}: {object}: {actual}");
                continue;
            }
            let since = self.last_look.map_or_else(
                || "it was so when Holdfast started".to_owned(),
                |at| format!("it was otherwise at the last look, {at:.0}"),
            );
            warn!(MESSAGE_ID = DRIFT, holdfast.control = %control, holdfast.object = object,
                "drift: {control} {title}: {object}: {actual}, must be {expected} ({since})");
        }
    }

    fn tell_circumstances(&mut self, looked: &Looked) -> bool {
        let mut news = false;
        if self.paused != looked.paused {
            match &looked.paused {
                Some(why) => warn!(MESSAGE_ID = PAUSE, "paused: nothing is changed: {why}"),
                None => info!(MESSAGE_ID = PAUSE, "no longer paused"),
            }
            self.paused.clone_from(&looked.paused);
            news = true;
        }
        for warning in looked
            .plan
            .warnings
            .iter()
            .filter(|warning| !self.warnings.contains(warning))
        {
            warn!(MESSAGE_ID = TROUBLE, "{warning}");
        }
        self.warnings.clone_from(&looked.plan.warnings);
        for manifest in looked.plan.baseline.iter().flatten() {
            info!(MESSAGE_ID = BASELINE, holdfast.object = %manifest.name,
                "{} was in the manifests folder at the first start (sha256 {}); it is known from now on", manifest.name, manifest.digest.short());
            news = true;
        }
        self.tell_withheld(&looked.plan.withheld) || news
    }

    /// What is held back for a reason that an operator or time can end; audit and report-only controls have had their word.
    fn tell_withheld(&mut self, withheld: &[Withheld]) -> bool {
        let mut told = BTreeMap::new();
        for held in withheld.iter().filter(|held| held.reason.is_news()) {
            let kind = held.reason.kind();
            let key = format!("{}\0{kind}", held.object);
            if !self.withheld.contains_key(&key) {
                tell_held_back(held);
            }
            told.insert(key, kind.to_owned());
        }
        let news = told.keys().any(|key| !self.withheld.contains_key(key));
        self.withheld = told;
        news
    }

    /// Tells what came of acts. True when there was news.
    pub(super) fn tell_outcomes(&mut self, outcomes: &[Outcome]) -> bool {
        let mut news = false;
        for outcome in outcomes {
            let waiting = outcome.awaited().cloned();
            if waiting.is_none() || waiting != self.waiting {
                tell_outcome(outcome);
                news = true;
            }
            self.waiting = waiting;
        }
        news
    }

    /// Tells a trouble once, until it is another or gone.
    pub(super) fn tell_trouble(&mut self, trouble: Option<String>) {
        if let Some(why) = trouble.as_ref().filter(|why| Some(*why) != self.trouble.as_ref()) {
            error!(MESSAGE_ID = TROUBLE, "{why}");
        }
        self.trouble = trouble;
    }

    /// Tells once why the metrics are not written, until it is another reason or they are.
    pub(super) fn tell_unwritten(&mut self, unwritten: Option<String>) {
        if let Some(why) = unwritten
            .as_ref()
            .filter(|why| Some(*why) != self.unwritten.as_ref())
        {
            warn!(MESSAGE_ID = TROUBLE, "the metrics are not written: {why}");
        }
        self.unwritten = unwritten;
    }
}

/// What time alone may end is news; what takes an operator is a warning.
fn tell_held_back(held: &Withheld) {
    let controls: Vec<&str> = held.controls.iter().map(ControlId::as_str).collect();
    let (controls, object, reason) = (controls.join(" "), &held.object, &held.reason);
    if reason.is_temporary() {
        debug!(MESSAGE_ID = WITHHELD, holdfast.control = %controls, holdfast.object = %object,
            "held back for now: {controls}: {object}: {reason}");
    } else {
        warn!(MESSAGE_ID = WITHHELD, holdfast.control = %controls, holdfast.object = %object,
            "held back: {controls}: {object}: {reason}");
    }
}

/// What was found, without what the process that is about to go still has: that is no other drift.
fn essence(actual: &str) -> &str {
    actual.split("; of the running process").next().unwrap_or(actual)
}

fn tell_outcome(outcome: &Outcome) {
    let Outcome { what, .. } = outcome;
    let controls: Vec<&str> = outcome.controls.iter().map(ControlId::as_str).collect();
    let controls = controls.join(" ");
    // A bounce that was asked for serves no control.
    let (done, served) = if controls.is_empty() {
        ("done", String::new())
    } else {
        ("mended", format!(" ({controls})"))
    };
    match &outcome.result {
        Result::Made => {
            info!(MESSAGE_ID = CHANGED, holdfast.control = %controls, "{done}: {what}{served}")
        }
        Result::Begun => {
            info!(MESSAGE_ID = CHANGED, holdfast.control = %controls, "begun: {what}{served}")
        }
        Result::Waiting { why } => {
            debug!(MESSAGE_ID = CHANGED, holdfast.control = %controls, "waiting for {why}")
        }
        Result::PutBack { fault } => {
            let why = fault.as_ref().map_or_else(String::new, told);
            error!(MESSAGE_ID = REFUSED, holdfast.control = %controls, "undoing: {what}: the former content is back in place. {why}");
        }
        Result::Refused {
            fault,
            recovered: true,
            ..
        } => {
            let why = told(fault);
            error!(MESSAGE_ID = REFUSED, holdfast.control = %controls,
                "refused by the node: {what}. It is healthy again with its former content, and this is not tried again until its inputs change. {why}");
        }
        Result::Refused {
            fault,
            recovered: false,
            by_hand,
        } => {
            let (why, by_hand) = (told(fault), by_hand.as_deref().unwrap_or_default());
            error!(MESSAGE_ID = REFUSED, holdfast.control = %controls,
                "refused by the node: {what}. Its former content is in place, but it is NOT healthy again. {why} By hand:\n{by_hand}");
        }
        Result::Abandoned { why } => {
            debug!(MESSAGE_ID = FAILED, holdfast.control = %controls, "given up: {what}: {why}");
        }
        Result::Stuck { why } => {
            error!(MESSAGE_ID = FAILED, holdfast.control = %controls, "stuck: {what}: {why}")
        }
        Result::Failed { why } => {
            error!(MESSAGE_ID = FAILED, holdfast.control = %controls, "failed: {what}: {why}")
        }
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
