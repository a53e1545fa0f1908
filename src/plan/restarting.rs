//! A component that a change in flight restarts, and what the node shows of it.

use std::time::Duration;

use super::bounce::Out;
use super::in_flight::{Limits, Step};
use crate::domain::{
    Component, Digest, EntryContent, Fact, Health, Instant, NodePath, Observation, PodLog, Process, ProcessId,
};
use crate::journal::{Act, InFlight};
use crate::manifest::command_line;

/// The kernel gives a file the time of its last tick, which is 10 ms ago at most (CONFIG_HZ is 100 or more).
const TICK_NS: i128 = 10_000_000;

/// A process that is older and does not listen is ending, and not starting.
const LISTENS_BY: Duration = Duration::from_secs(30);

/// What both an edit and a bounce wait for.
pub(super) struct Restarting<'a> {
    pub(super) component: Component,
    /// Where its manifest belongs.
    pub(super) path: &'a NodePath,
    /// Its processes before.
    pub(super) processes: &'a [ProcessId],
    /// The pods that these belonged to.
    pub(super) pods: &'a [String],
    pub(super) observation: &'a Observation,
    /// How long the kubelet could have acted.
    pub(super) waited: Duration,
    pub(super) since_begun: Duration,
    pub(super) since: &'a Instant,
    pub(super) draining: Option<&'a Instant>,
    pub(super) cleaned_up: Option<&'a Instant>,
    /// True when the same content comes in again, and with it a pod of the same UID.
    pub(super) same_pod_returns: bool,
    pub(super) removed: Option<&'a (Instant, Option<usize>)>,
    pub(super) now: &'a Instant,
    pub(super) deadline: Duration,
    pub(super) out_at_most: Duration,
    pub(super) at_once: bool,
}

impl<'a> Restarting<'a> {
    pub(super) fn new(
        (component, path): (Component, &'a NodePath),
        (processes, pods): (&'a [ProcessId], &'a [String]),
        in_flight: &'a InFlight,
        observation: &'a Observation,
        limits: Limits,
        now: &'a Instant,
    ) -> Self {
        // After a reboot everything starts anew, and so does the wait. A kubelet that was away could not act either.
        let since_begun = now
            .elapsed_since(&in_flight.since)
            .unwrap_or(Duration::from_millis(now.since_boot_ms));
        let kubelet = observation
            .kubelet
            .process
            .known()
            .map(|kubelet| Duration::from_millis(kubelet.age_ms));
        Self {
            component,
            path,
            processes,
            pods,
            observation,
            waited: kubelet.map_or(Duration::ZERO, |age| age.min(since_begun)),
            since_begun,
            since: &in_flight.since,
            draining: in_flight.draining.as_ref(),
            cleaned_up: in_flight.cleaned_up.as_ref(),
            same_pod_returns: matches!(in_flight.act, Act::Bounce(_)),
            removed: in_flight.removed.as_ref(),
            now,
            deadline: limits.deadline,
            out_at_most: limits.out_at_most,
            at_once: limits.at_once,
        }
    }

    /// The digest of the manifest as it lies in its folder now.
    pub(super) fn content(&self) -> Fact<Digest> {
        let name = self.path.file_name();
        self.observation.manifest_folder.as_ref().and_then(|entries| {
            let entry = entries
                .iter()
                .find(|entry| entry.exact_name && entry.name == name);
            match entry.map(|entry| &entry.content) {
                None => Fact::Absent,
                Some(
                    EntryContent::Pod { digest, .. }
                    | EntryContent::Unparsable {
                        digest: Some(digest), ..
                    },
                ) => Fact::Known(*digest),
                Some(EntryContent::Unparsable { why, digest: None } | EntryContent::NotRead(why)) => {
                    Fact::Unknown(why.clone())
                }
            }
        })
    }

    /// Whether the manifest lies at the place beside its folder. Its content does not count: whatever was done to it there, an API server
    /// with it is better than none.
    pub(super) fn lies_out(&self, out: &NodePath) -> Fact<()> {
        let facts = self.observation.files.get(out);
        facts.map_or_else(
            || Fact::unknown("it was not looked at"),
            |facts| facts.as_ref().map(|_| ()),
        )
    }

    /// What comes next when the manifest's own place is empty; `None` when it was somebody else who took it away.
    pub(super) fn away(&self, out: &NodePath, drain: Option<Duration>) -> Option<Step> {
        match self.lies_out(out) {
            Fact::Known(()) => Some(Out { seen: self, drain }.step()),
            // It is put back from the backup where need be.
            Fact::Unknown(_) if self.since_begun >= self.out_at_most => Some(Step::PutIn),
            Fact::Unknown(why) => Some(Step::Wait { why: why.to_string() }),
            // It was out, by our own record, or its process was being ended for the change; somebody took it away meanwhile.
            Fact::Absent if self.draining.is_some() => Some(Step::PutIn),
            Fact::Absent => None,
        }
    }

    pub(super) fn kubelet_is_down(&self) -> bool {
        self.observation.kubelet.process.known().is_none()
    }

    /// A kubelet that was away gets its time; one that never stays does not get it for ever.
    pub(super) fn is_overdue(&self) -> bool {
        self.waited >= self.deadline || self.since_begun >= 2 * self.deadline
    }

    pub(super) fn old_runs(&self) -> bool {
        let processes = self
            .observation
            .processes
            .get(&self.component)
            .and_then(Fact::known);
        processes.is_some_and(|processes| {
            processes
                .iter()
                .any(|process| self.processes.contains(&process.id))
        })
    }

    /// What comes next for a process that no longer listens and may drain for so long, wherever its manifest lies; `None` when that is to wait.
    pub(super) fn early_end(&self, drain: Option<Duration>) -> Option<Step> {
        let drain = drain.filter(|_| self.old_runs())?;
        let Some(since) = self.draining else {
            let health = self.observation.health.get(&self.component);
            return matches!(health, Some(Fact::Known(Health::Closed(_)))).then_some(Step::Drain);
        };
        let drained = self.now.elapsed_since(since).is_none_or(|time| time >= drain);
        Some(if drained {
            Step::End(self.processes.to_vec())
        } else {
            Step::Wait {
                why: "it to finish what it has begun to answer".to_owned(),
            }
        })
    }

    /// The same where its manifest lies in its folder again. What it does is then decided by less: it may listen again, or not yet, and only a
    /// kubelet that runs starts another.
    pub(super) fn early_end_in_place(&self, drain: Option<Duration>) -> Option<Step> {
        let processes = self.observation.processes.get(&self.component)?.known()?;
        let had_time_to_listen = |process: &Process| Duration::from_millis(process.age_ms) >= LISTENS_BY;
        let mut old = processes
            .iter()
            .filter(|process| self.processes.contains(&process.id));
        let health = self.observation.health.get(&self.component);
        let closed = matches!(health, Some(Fact::Known(Health::Closed(_))));
        (closed && !self.kubelet_is_down() && old.all(had_time_to_listen))
            .then(|| self.early_end(drain))
            .flatten()
    }

    /// The processes that run with the arguments of the manifest as it lies there; `None` when that cannot be told.
    pub(super) fn expected_processes(&self) -> Option<Vec<&'a Process>> {
        let manifest = self.observation.manifests.get(&self.component)?.known()?;
        let line = command_line(self.component, &manifest.pod).ok()?;
        let processes = self.observation.processes.get(&self.component)?.known()?;
        Some(
            processes
                .iter()
                .filter(|process| process.argv == line.argv())
                .collect(),
        )
    }

    pub(super) fn health(&self) -> Result<(), String> {
        match self.observation.health.get(&self.component) {
            Some(Fact::Known(Health::Ok)) => Ok(()),
            Some(Fact::Known(Health::Failing(why) | Health::Closed(why)) | Fact::Unknown(why)) => {
                Err(why.to_string())
            }
            Some(Fact::Absent) => Err("its manifest names no health endpoint".to_owned()),
            None => Err("it was not asked".to_owned()),
        }
    }

    /// The logs since the change was begun of the pods that it chooses, newest first.
    pub(super) fn logs(&self, of: impl Fn(&PodLog) -> bool) -> Vec<PodLog> {
        let logs = self
            .observation
            .pod_logs
            .get(&self.component)
            .and_then(Fact::known);
        let since = self.since.wall.as_nanosecond() - TICK_NS;
        let newer = |log: &&PodLog| log.modified_ns >= since && of(log);
        let mut logs: Vec<PodLog> = logs.into_iter().flatten().filter(newer).cloned().collect();
        logs.sort_by_key(|log| std::cmp::Reverse((log.modified_ns, log.restart)));
        logs
    }

    /// What is still awaited until a new process has proved healthy; `None` when nothing is.
    pub(super) fn awaited(&self) -> Option<String> {
        let component = self.component;
        if self.old_runs() {
            return Some(format!("the old process of {component} to end"));
        }
        if self
            .expected_processes()
            .is_none_or(|processes| processes.is_empty())
        {
            return Some(format!(
                "a process of {component} with the arguments of its manifest"
            ));
        }
        let why = self.health().err()?;
        Some(format!("{component} to answer for its health ({why})"))
    }
}
