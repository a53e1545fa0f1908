//! What the daemon tells the system log: each thing once, and again only when it changes.
//!
//! What each event means, and how soon it needs somebody, is in [`crate::events`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::adapters::watch::WatchError;
use crate::apply::out::Trouble;
use crate::apply::{Outcome, tell_outcome};
use crate::domain::{ControlId, Digest, NodePath};
use crate::events::tell;
use crate::plan::{Verdict, Withheld};
use crate::reconcile::{Looked, PutBack};

/// What a control says of one object.
type About = (ControlId, String);

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct News {
    findings: BTreeMap<About, String>,
    /// What was judged at the last look, whatever came of it.
    judged: BTreeSet<About>,
    last_look: Option<jiff::Timestamp>,
    /// The kinds of reasons for which each object is held back.
    withheld: BTreeMap<String, BTreeSet<String>>,
    paused: Option<String>,
    warnings: Vec<String>,
    trouble: Option<String>,
    /// Why not all is watched.
    unwatched: Option<String>,
    unwritten: Option<String>,
    /// What each change waits for, is stuck at, or failed at.
    lasting: BTreeMap<Digest, String>,
    /// What could not be put back, and why.
    out: BTreeMap<NodePath, String>,
    /// Which manifests are not in their folder for another reason.
    astray: BTreeMap<NodePath, String>,
}

/// So many changes that wait or fail are remembered: what others do to a node makes as many as they like.
const MOST_LASTING: usize = 256;

impl News {
    /// Tells what a look at the node found and was not told before, before anything is done about it. True when there was any.
    pub(super) fn tell_findings(&mut self, looked: &Looked, now: jiff::Timestamp) -> bool {
        let (mut found, mut judged, mut holds) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        for finding in &looked.findings {
            for piece in &finding.evidence {
                let about = (finding.id().clone(), piece.object.clone());
                judged.insert(about.clone());
                if piece.verdict == Verdict::Pass {
                    holds.insert(about);
                } else if piece.verdict >= Verdict::Unknown {
                    // Of one object several things may be wrong.
                    let told: &mut String = found.entry(about).or_default();
                    if !told.is_empty() {
                        told.push_str("; ");
                    }
                    told.push_str(&format!("{}: {}", piece.verdict.name(), essence(&piece.actual)));
                }
            }
        }
        let news = found != self.findings;
        for (about, text) in &found {
            if self.findings.get(about) != Some(text) {
                self.tell_finding(looked, about);
            }
        }
        // What is no longer there, no longer judged or accepted does not hold for that.
        let mended = self
            .findings
            .keys()
            .filter(|about| !found.contains_key(*about) && holds.contains(*about));
        for (control, object) in mended {
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
        (self.findings, self.judged) = (found, judged);
        self.last_look = Some(now);
        self.tell_circumstances(looked) || news
    }

    fn tell_finding(&self, looked: &Looked, about: &About) {
        let (control, object) = (&about.0, about.1.as_str());
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
            let since = match self.last_look {
                None => "it was so when Holdfast started".to_owned(),
                Some(at) if self.judged.contains(about) => {
                    format!("it was otherwise at the last look, {at:.0}")
                }
                Some(_) => "it was not judged before".to_owned(),
            };
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
        // That a time has grown is no news.
        let warnings: Vec<String> = looked
            .plan
            .warnings
            .iter()
            .map(|warning| without_numbers(warning))
            .collect();
        for (warning, essence) in looked.plan.warnings.iter().zip(&warnings) {
            if !self.warnings.contains(essence) {
                tell!(CIRCUMSTANCE, [], "{warning}");
            }
        }
        self.warnings = warnings;
        for manifest in looked.plan.baseline.iter().flatten() {
            tell!(
                BASELINE,
                [object = manifest.name.as_str()],
                "{} was in the manifests folder when Holdfast first saw a control plane (sha256 {}); it is known from now on",
                manifest.name,
                manifest.digest.short()
            );
            news = true;
        }
        self.tell_withheld(&looked.plan.withheld) || news
    }

    /// What is held back for a reason that an operator or time can end; audit and report-only controls have had their word.
    fn tell_withheld(&mut self, withheld: &[Withheld]) -> bool {
        let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut news = false;
        for held in withheld {
            let former = self.withheld.get(&held.object);
            let kinds = told.entry(held.object.clone()).or_default();
            if held.reason.is_news() {
                let kind = held.reason.kind();
                if former.is_none_or(|former| !former.contains(kind)) {
                    tell_held_back(held);
                    news = true;
                }
                kinds.insert(kind.to_owned());
            } else {
                // What is held back for a moment is held back for the same as before when that is over.
                kinds.extend(former.into_iter().flatten().cloned());
            }
        }
        self.withheld = told;
        news
    }

    /// Tells what came of acts. True when there was news.
    pub(super) fn tell_outcomes(&mut self, outcomes: &[Outcome]) -> bool {
        let mut news = false;
        for outcome in outcomes {
            let lasts = outcome.lasts().cloned();
            let former = self.lasting.remove(&outcome.change);
            if lasts.is_none() || lasts != former {
                tell_outcome(outcome);
                news = true;
            }
            if self.lasting.len() >= MOST_LASTING {
                self.lasting.clear();
            }
            self.lasting.extend(lasts.map(|why| (outcome.change, why)));
        }
        news
    }

    /// Tells which manifests were found out of their folder: each that is back, and once each that is not.
    pub(super) fn tell_recovered(&mut self, recovered: &[PutBack]) {
        let mut out = BTreeMap::new();
        for one in recovered {
            let path = one.path.as_str();
            if one.done {
                tell!(RECOVERED, [path = path], "{}", one.told);
            } else {
                if self.out.get(&one.path) != Some(&one.told) && !out.contains_key(&one.path) {
                    tell!(NOT_RECOVERED, [path = path], "{}", one.told);
                }
                out.insert(one.path.clone(), one.told.clone());
            }
        }
        self.out = out;
    }

    /// Tells once each manifest that is not in its folder for another reason.
    pub(super) fn tell_astray(&mut self, troubles: &[Trouble]) {
        let astray = troubles
            .iter()
            .map(|trouble| (trouble.path().clone(), trouble.to_string()));
        let former = std::mem::replace(&mut self.astray, astray.collect());
        for trouble in troubles {
            let (path, told) = (trouble.path(), trouble.to_string());
            if former.get(path) == Some(&told) {
                continue;
            }
            match trouble {
                Trouble::Taken { .. } | Trouble::Unknown { .. } => {
                    tell!(NOT_RECOVERED, [path = path.as_str()], "{told}");
                }
                Trouble::Gone { .. } => tell!(MANIFEST_GONE, [path = path.as_str()], "{told}"),
            }
        }
    }

    /// Tells once that folders cannot be watched, until it is for another reason or all are.
    pub(super) fn tell_unwatched(&mut self, error: Option<&WatchError>, looks_every: Duration) {
        let kind = error.map(WatchError::kind);
        if let Some(error) = error.filter(|_| kind != self.unwatched) {
            tell!(
                UNWATCHED,
                [],
                "{error}; what is not watched is looked at every {looks_every:?}"
            );
        }
        self.unwatched = kind;
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
            tell!(METRICS_UNWRITTEN, [], "{why}");
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

/// What a text says, whatever it counts.
pub(super) fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// The file that an object is, if it is one.
fn path_of(object: &str) -> Option<&str> {
    object.starts_with('/').then_some(object)
}

/// What was found, without what the process that is about to go still has, or one that is yet to come may have: that is no other drift.
fn essence(actual: &str) -> &str {
    let ends = ["; of the running process", "; the kubelet does not run"];
    let end = ends.iter().filter_map(|end| actual.find(end)).min();
    end.and_then(|end| actual.get(..end)).unwrap_or(actual)
}
