//! What the daemon tells the system log: each thing once, and again only when it changes.
//!
//! What each event means, and how soon it needs somebody, is in [`crate::events`].

use std::collections::BTreeMap;

use crate::apply::{Outcome, Result};
use crate::domain::ControlId;
use crate::events::tell;
use crate::journal::Fault;
use crate::plan::{Verdict, Withheld};
use crate::reconcile::Looked;

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
            tell!(
                HOLDS_AGAIN,
                [
                    control = control.as_str(),
                    object = object.as_str(),
                    path = path_of(object)
                ],
                "{control} holds again: {object}"
            );
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
                tell!(
                    UNKNOWN,
                    [
                        control = control.as_str(),
                        object = object,
                        path = path_of(object)
                    ],
                    "unknown: {control} {title}: {object}: {actual}"
                );
                continue;
            }
            let since = self.last_look.map_or_else(
                || "it was so when Holdfast started".to_owned(),
                |at| format!("it was otherwise at the last look, {at:.0}"),
            );
            tell!(
                DRIFT,
                [
                    control = control.as_str(),
                    object = object,
                    path = path_of(object)
                ],
                "drift: {control} {title}: {object}: {actual}, must be {expected} ({since})"
            );
        }
    }

    fn tell_circumstances(&mut self, looked: &Looked) -> bool {
        let mut news = false;
        if self.paused != looked.paused {
            match &looked.paused {
                Some(why) => tell!(PAUSED, [], "paused: nothing is changed: {why}"),
                None => tell!(RESUMED, [], "no longer paused"),
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
            tell!(CIRCUMSTANCE, [], "{warning}");
        }
        self.warnings.clone_from(&looked.plan.warnings);
        for manifest in looked.plan.baseline.iter().flatten() {
            tell!(
                BASELINE,
                [object = manifest.name.as_str()],
                "{} was in the manifests folder at the first start (sha256 {}); it is known from now on",
                manifest.name,
                manifest.digest.short()
            );
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
            tell!(TROUBLE, [], "{why}");
        }
        self.trouble = trouble;
    }

    /// Tells once why the metrics are not written, until it is another reason or they are.
    pub(super) fn tell_unwritten(&mut self, unwritten: Option<String>) {
        if let Some(why) = unwritten
            .as_ref()
            .filter(|why| Some(*why) != self.unwritten.as_ref())
        {
            tell!(METRICS_UNWRITTEN, [], "the metrics are not written: {why}");
        }
        self.unwritten = unwritten;
    }
}

/// What time alone may end is news; what takes an operator is a warning.
fn tell_held_back(held: &Withheld) {
    let controls: Vec<&str> = held.controls.iter().map(ControlId::as_str).collect();
    let (controls, object, reason) = (controls.join(" "), &held.object, &held.reason);
    if reason.is_temporary() {
        tell!(
            HELD_BACK_FOR_NOW,
            [
                control = controls.as_str(),
                object = object.as_str(),
                path = path_of(object)
            ],
            "held back for now: {controls}: {object}: {reason}"
        );
    } else {
        tell!(
            HELD_BACK,
            [
                control = controls.as_str(),
                object = object.as_str(),
                path = path_of(object)
            ],
            "held back: {controls}: {object}: {reason}"
        );
    }
}

/// The file that an object is, if it is one.
fn path_of(object: &str) -> Option<&str> {
    object.starts_with('/').then_some(object)
}

/// What was found, without what the process that is about to go still has: that is no other drift.
fn essence(actual: &str) -> &str {
    actual.split("; of the running process").next().unwrap_or(actual)
}

fn tell_outcome(outcome: &Outcome) {
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
            let (why, by_hand) = (told(fault), by_hand.as_deref().unwrap_or_default());
            format!(
                "refused by the node: {what}. Its former content is in place, but it is NOT healthy again. {why} By hand:\n{by_hand}"
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
