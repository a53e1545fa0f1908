//! The daemon's metrics in Prometheus' text format (version 0.0.4), for the textfile collector of node_exporter.
//!
//! What is measured is a plain value; [`families`] lists every metric that can be made of it, and is what tests and documentation go by. No
//! sample has a time of its own, which that collector refuses. Of encryption keys nothing is told but since when one writes.

mod families;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Summary;
use crate::apply::{Outcome, Result};
use crate::config::Action;
use crate::domain::{Certificate, Component, ControlId, Fact, NodePath};
use crate::plan::{Finding, Verdict, Withheld};
use crate::rotation::Stage;

pub use families::families;

/// All that is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// When this is written.
    pub written: jiff::Timestamp,
    /// When the daemon started.
    pub started: jiff::Timestamp,
    /// What is done about drift without being asked.
    pub mode: Action,
    /// The longest time between two passes.
    pub full_pass: Duration,
    /// True when the last reload of the configuration was refused.
    pub reload_refused: bool,
    /// What was counted since the daemon's start.
    pub counted: Counted,
    /// What the last pass found; nothing before the first.
    pub found: Option<Found>,
    /// How the change in flight and encryption at rest stood at its end.
    pub standing: Standing,
    /// The components whose manifests are out of their folder.
    pub out: BTreeSet<Component>,
}

/// What was counted since the daemon's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Passes that came to their end.
    pub passes: u64,
    /// Passes that did not.
    pub failed_passes: u64,
    /// Changes that ended, by how.
    pub changes: Changes,
    /// Stored values that rotations rewrote.
    pub rewritten: u64,
}

/// How changes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Made and, where it restarts a component, proven.
    pub made: u64,
    /// Refused by the node, which is healthy again with the former content.
    pub refused: u64,
    /// Refused by the node, which is not.
    pub not_recovered: u64,
    /// Given up.
    pub abandoned: u64,
    /// Could not be made.
    pub failed: u64,
}

impl Changes {
    /// Counts a change, once it has ended.
    pub const fn count(&mut self, outcome: &Outcome) {
        match outcome.result {
            Result::Made => self.made += 1,
            Result::Refused { recovered: true, .. } => self.refused += 1,
            Result::Refused { recovered: false, .. } => self.not_recovered += 1,
            Result::Abandoned { .. } => self.abandoned += 1,
            Result::Failed { .. } => self.failed += 1,
            // These are told again at each pass.
            Result::Begun | Result::Waiting { .. } | Result::PutBack { .. } | Result::Stuck { .. } => {}
        }
    }
}

/// What a pass found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// When it had ended.
    pub at: jiff::Timestamp,
    /// How long it took.
    pub took: Duration,
    /// True when Holdfast is paused.
    pub is_paused: bool,
    /// How many controls came to what.
    pub controls: Summary,
    /// The controls that drift.
    pub drifting: BTreeSet<ControlId>,
    /// How many mends are held back, by the kind of reason.
    pub withheld: BTreeMap<&'static str, usize>,
    /// When the first certificate of each file expires.
    pub expiries: BTreeMap<NodePath, jiff::Timestamp>,
    /// True when a change can neither be completed nor undone.
    pub is_stuck: bool,
}

impl Found {
    /// The controls that drift.
    #[must_use]
    pub fn drifting(findings: &[Finding]) -> BTreeSet<ControlId> {
        let drifting = findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::Drift);
        drifting.map(|finding| finding.id().clone()).collect()
    }

    /// How many mends are held back, by the kind of reason.
    #[must_use]
    pub fn withheld(withheld: &[Withheld]) -> BTreeMap<&'static str, usize> {
        let mut kinds = BTreeMap::new();
        for held in withheld {
            *kinds.entry(held.reason.kind()).or_default() += 1;
        }
        kinds
    }

    /// When the first certificate of each file expires.
    #[must_use]
    pub fn expiries(
        certificates: &BTreeMap<NodePath, Fact<Vec<Certificate>>>,
    ) -> BTreeMap<NodePath, jiff::Timestamp> {
        let first = |(path, found): (&NodePath, &Fact<Vec<Certificate>>)| {
            let ends = found.known()?.iter().map(|certificate| certificate.not_after);
            Some((path.clone(), ends.min()?))
        };
        certificates.iter().filter_map(first).collect()
    }
}

/// How the change in flight and encryption at rest stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// True while a change is in flight.
    pub in_flight: bool,
    /// True while stored values are in danger, or may be.
    pub endangered: bool,
    /// True when the configuration of encryption cannot be read, and never was.
    pub unwatched: bool,
    /// True while values may be in plaintext that should not be.
    pub plaintext_owed: bool,
    /// True while the API server is to be restarted for a configuration that was put back.
    pub load_owed: bool,
    /// Since when the key that writes does so.
    pub write_key_since: Option<jiff::Timestamp>,
    /// The rotation under way.
    pub rotation: Option<Walk>,
}

/// A rotation under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    /// The stage that it has set out for.
    pub stage: Stage,
    /// True when it goes on only when somebody has seen to it.
    pub stands_still: bool,
    /// How many values the last run left to rewrite, where that is known.
    pub left: Option<u64>,
}

/// What a value of a metric means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// How it is now.
    Gauge,
    /// A count since the daemon's start.
    Counter,
}

/// A metric: one row of the table that all others are made from.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What its values mean.
    pub kind: Kind,
    /// The label that tells its samples apart, if there can be several.
    pub label: Option<&'static str>,
    /// What it says, in one line.
    pub help: &'static str,
    samples: fn(&Measured) -> Vec<Sample>,
}

/// One value, with that of the family's label; an empty one where it has none.
struct Sample {
    label: String,
    value: String,
}

impl Family {
    /// Its part of the text; nothing while there is nothing to tell.
    fn text(&self, measured: &Measured) -> String {
        let Self { name, help, .. } = self;
        let samples = (self.samples)(measured);
        if samples.is_empty() {
            return String::new();
        }
        let mut text = format!("# HELP {name} {help}\n# TYPE {name} {}\n", self.kind.word());
        for Sample { label, value } in samples {
            let labels = self
                .label
                .map_or_else(String::new, |name| format!("{{{name}=\"{}\"}}", escaped(&label)));
            text += &format!("{name}{labels} {value}\n");
        }
        text
    }
}

impl Kind {
    /// Its name in the text format.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}

fn escaped(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The whole file: each family once, in the order of the table.
#[must_use]
pub fn metrics_text(measured: &Measured) -> String {
    families().iter().map(|family| family.text(measured)).collect()
}

#[cfg(test)]
mod tests;
