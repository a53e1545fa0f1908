//! What the daemon counts of its work, and the file of metrics that tells it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::adapters::Node;
use crate::adapters::lock::Held;
use crate::apply::out;
use crate::config::Config;
use crate::domain::{Fact, Layout, Mode, NodePath};
use crate::reconcile::Passed;
use crate::report::{Counted, Found, Measured, Standing, Summary, metrics_text};

/// While one pass follows another, what was written this lately stays: a change in flight is looked at many times a second, and each look
/// may be a part of an outage.
const FRESH: Duration = Duration::from_secs(5);
/// node_exporter is not root.
const FOR_ALL: Mode = Mode::from_bits(0o644);

/// The daemon's count.
pub(super) struct Meter<'a> {
    node: &'a Node,
    /// The lock of the only daemon: nobody else writes the file, and it is written while another Holdfast changes the node, too.
    only_one: &'a Held,
    started: jiff::Timestamp,
    counted: Counted,
    reload_refused: bool,
    found: Option<Found>,
    standing: Standing,
    /// When it was last tried, on the boot clock.
    tried_at_ms: Option<u64>,
    /// The files that may lie somewhere, written by this daemon or, in Holdfast's own folder, by one of before.
    written: BTreeSet<NodePath>,
}

impl<'a> Meter<'a> {
    pub(super) fn new(node: &'a Node, only_one: &'a Held) -> Self {
        Self {
            node,
            only_one,
            started: node.clock.now().wall,
            counted: Counted::default(),
            reload_refused: false,
            found: None,
            standing: Standing::default(),
            tried_at_ms: None,
            written: BTreeSet::from([Layout::kubeadm().metrics]),
        }
    }

    /// Takes note of a reload of the configuration.
    pub(super) const fn reloaded(&mut self, taken: bool) {
        self.reload_refused = !taken;
    }

    /// Takes note of how the change in flight and encryption at rest stand.
    pub(super) const fn stands(&mut self, standing: Standing, rewritten: u64) {
        self.standing = standing;
        self.counted.rewritten = rewritten;
    }

    /// Counts a pass that came to its end.
    pub(super) fn passed(&mut self, passed: &Passed, took: Duration) {
        let Passed { looked, outcomes, .. } = passed;
        self.counted.passes += 1;
        for outcome in outcomes {
            self.counted.changes.count(outcome);
        }
        self.found = Some(Found {
            at: self.node.clock.now().wall,
            took,
            is_paused: looked.paused.is_some(),
            controls: Summary::of(&looked.findings),
            drifting: Found::drifting(&looked.findings),
            withheld: Found::withheld(&looked.plan.withheld),
            expiries: Found::expiries(&looked.observation.certificates),
            is_stuck: outcomes.last().is_some_and(crate::apply::Outcome::is_stuck),
        });
    }

    /// Counts a pass that could not be made.
    pub(super) const fn failed(&mut self) {
        self.counted.failed_passes += 1;
    }

    /// Makes the next writing one that is made.
    pub(super) const fn forget_writing(&mut self) {
        self.tried_at_ms = None;
    }

    /// Writes the metrics, unless the next pass follows soon and what was written is fresh: why that could not be done.
    pub(super) fn write(
        &mut self,
        config: &Config,
        watched: &BTreeSet<NodePath>,
        until_next: Duration,
    ) -> Option<Result<(), String>> {
        let now = self.node.clock.now();
        let is_fresh = |at| Duration::from_millis(now.since_boot_ms.saturating_sub(at)) < FRESH;
        if until_next < FRESH && self.tried_at_ms.is_some_and(is_fresh) {
            return None;
        }
        self.tried_at_ms = Some(now.since_boot_ms);
        let removed = self.remove_former(config);
        let written = self.write_now(config, watched, now.wall);
        let written = written.map_err(|why| format!("the metrics are not written: {why}"));
        Some(written.and(removed))
    }

    /// One that is written no more must not be taken for a daemon that has died.
    fn remove_former(&mut self, config: &Config) -> Result<(), String> {
        let wanted = config.metrics.textfile.as_ref();
        let former: Vec<NodePath> = self.written.iter().cloned().collect();
        let mut stays = Ok(());
        for path in former.into_iter().filter(|path| Some(path) != wanted) {
            let removed = if self.node.files.facts(&path) == Fact::Absent {
                Ok(())
            } else {
                self.node.files.remove_own(self.only_one, &path)
            };
            match removed {
                Ok(()) => {
                    self.written.remove(&path);
                }
                Err(error) => stays = stays.and(Err(format!("the former file of metrics stays: {error}"))),
            }
        }
        stays
    }

    fn write_now(
        &mut self,
        config: &Config,
        watched: &BTreeSet<NodePath>,
        now: jiff::Timestamp,
    ) -> Result<(), String> {
        let Some(path) = &config.metrics.textfile else {
            return Ok(());
        };
        // Each writing would ask for the next pass; and what reads such a folder takes the file for one of its own.
        if path.parent().is_some_and(|folder| watched.contains(&folder)) {
            return Err(format!(
                "{path} lies in a folder that is guarded; name another one (metrics.textfile)"
            ));
        }
        let text = metrics_text(&self.measured(config, now));
        let files = &self.node.files;
        files
            .write_fleeting(self.only_one, path, text.as_bytes(), FOR_ALL)
            .map_err(|error| error.to_string())?;
        self.written.insert(path.clone());
        Ok(())
    }

    fn measured(&self, config: &Config, now: jiff::Timestamp) -> Measured {
        let out = out::lying_out(self.node);
        Measured {
            written: now,
            started: self.started,
            mode: config.mode,
            full_pass: config.full_pass,
            reload_refused: self.reload_refused,
            counted: self.counted,
            found: self.found.clone(),
            standing: self.standing,
            out: out.into_iter().map(|(component, _, _)| component).collect(),
        }
    }
}
