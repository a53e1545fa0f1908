//! The next step of a change that was begun earlier: decided by what the node shows, never by memory alone.
//!
//! After a crash `Started` means "may have happened". Every step below can be decided again, and is harmless to repeat.

use std::time::Duration;

use super::bounce::{PATIENCE, PATIENCE_OF_ENDING, bounced};
use super::kubelet_edit;
use super::last_words::fault_in;
use super::restarting::Restarting;
use crate::domain::{Digest, Fact, Instant, NodePath, Observation, PodLog, ProcessId};
use crate::journal::{Act, EditedManifest, Fault, InFlight, Phase};

/// How long a change in flight is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until a component must have proved healthy.
    pub deadline: Duration,
    /// Until a manifest that is out comes in, whatever its former process does.
    pub out_at_most: Duration,
    /// True where a manifest that is out comes in at once if its former process is gone.
    pub at_once: bool,
}

impl Limits {
    /// Those of a change that must prove healthy within this time. `starting`: the process that carries it on has just started, maybe with the
    /// machine, and what the kubelet and the container runtime would be waited for and asked is of before. `ending`: it is to end.
    pub(super) fn of(deadline: Duration, starting: bool, ending: bool) -> Self {
        let patience = if ending { PATIENCE_OF_ENDING } else { PATIENCE };
        Self {
            deadline,
            out_at_most: patience.min(deadline),
            at_once: starting,
        }
    }
}

/// Where a change in flight stands, and what comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The change.
    pub change: Digest,
    /// What it does.
    pub act: Act,
    /// What comes next.
    pub step: Step,
}

/// What comes next for a change in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet: look again soon.
    Wait {
        /// What is awaited.
        why: String,
    },
    /// The component no longer listens: record since when.
    Drain,
    /// The kubelet has cleaned up after the former pod: record since when.
    CleanedUp,
    /// The kubelet has left the ended containers of these pods to its garbage collector: have the runtime at this socket remove them, and
    /// record how many there were.
    RemoveEnded {
        /// The runtime's socket.
        socket: NodePath,
        /// The UIDs of the pods.
        pods: Vec<String>,
    },
    /// These processes serve nobody any more: end them, if they are still the same.
    End(Vec<ProcessId>),
    /// The kubelet runs with what it read before: restart it.
    RestartKubelet,
    /// Put the content after in place, or the same: the component is out of its folder.
    PutIn,
    /// It was made, and the node proved healthy: record that.
    Finish,
    /// It will not be completed: record that.
    Abandon {
        /// Why.
        why: String,
    },
    /// The node does not bear it: record the intent to undo it, then put the former content back.
    Undo(Fault),
    /// The intent to undo is recorded: put the former content back.
    PutBack,
    /// The former content is in place: record the refusal.
    Refuse {
        /// What the node did not bear.
        fault: Fault,
        /// True when the component proved healthy again.
        recovered: bool,
    },
    /// It can neither be completed nor undone safely: an operator must look.
    Stuck {
        /// Why.
        why: String,
    },
}

/// A component that was started this often and ended each time does not bear its flags.
const CRASHES: u32 = 2;

/// The next step of a change in flight.
#[must_use]
pub fn next_step(in_flight: &InFlight, observation: &Observation, limits: Limits, now: &Instant) -> Progress {
    let step = match (&in_flight.act, &in_flight.phase) {
        (Act::SetMode { path, from, to }, _) => {
            let mode = observation.files.get(path).cloned().map_known(|facts| facts.mode);
            settled(path, &mode, from, to)
        }
        (Act::SetOwner { path, from, to }, _) => {
            let owner = observation
                .files
                .get(path)
                .cloned()
                .map_known(|facts| facts.owner);
            settled(path, &owner, from, to)
        }
        (Act::MakeFolder { path } | Act::Install { path, .. }, _) => made(path, observation),
        (Act::Quarantine { path, to, .. }, _) => quarantined(path, to, observation),
        (Act::EditManifest(edit), Phase::Started) => {
            Edited::new(edit, in_flight, observation, limits, now).step()
        }
        (Act::EditManifest(edit), Phase::Undoing(fault)) => {
            Edited::new(edit, in_flight, observation, limits, now).undoing(fault)
        }
        (Act::EditKubelet(edit), _) => kubelet_edit::next(edit, in_flight, observation, limits, now),
        (Act::Bounce(bounce), _) => bounced(bounce, in_flight, observation, limits, now),
    };
    Progress {
        change: in_flight.change,
        act: in_flight.act.clone(),
        step,
    }
}

/// What was not asked is not known.
trait Asked<T> {
    fn map_known<U>(self, f: impl FnOnce(T) -> U) -> Fact<U>;
}

impl<T> Asked<T> for Option<Fact<T>> {
    fn map_known<U>(self, f: impl FnOnce(T) -> U) -> Fact<U> {
        self.map_or_else(|| Fact::unknown("it was not looked at"), |fact| fact.map(f))
    }
}

/// A change that one system call makes: it is there or it is not.
fn settled<T: PartialEq + std::fmt::Display>(path: &NodePath, found: &Fact<T>, from: &T, to: &T) -> Step {
    let why = match found {
        Fact::Known(value) if value == to => return Step::Finish,
        Fact::Known(value) if value == from => "it had not happened yet".to_owned(),
        Fact::Known(value) => format!("someone else has changed {path} to {value} since"),
        Fact::Absent => format!("{path} is gone"),
        Fact::Unknown(reason) => reason.to_string(),
    };
    Step::Abandon { why }
}

/// What is made is there or not; nothing is put in the place of what somebody else has made since.
fn made(path: &NodePath, observation: &Observation) -> Step {
    let why = match observation.files.get(path).cloned().map_known(drop) {
        Fact::Known(()) => return Step::Finish,
        Fact::Absent => "it had not happened yet".to_owned(),
        Fact::Unknown(why) => why.to_string(),
    };
    Step::Abandon { why }
}

fn quarantined(path: &NodePath, to: &NodePath, observation: &Observation) -> Step {
    let there = |path| observation.files.get(path).and_then(Fact::known).is_some();
    match (there(path), there(to)) {
        (false, true) => Step::Finish,
        (true, _) => Step::Abandon {
            why: "it had not happened yet".to_owned(),
        },
        (false, false) => Step::Abandon {
            why: format!("{path} is gone"),
        },
    }
}

/// An edited manifest and what the node shows of it.
struct Edited<'a> {
    edit: &'a EditedManifest,
    seen: Restarting<'a>,
}

impl<'a> Edited<'a> {
    fn new(
        edit: &'a EditedManifest,
        in_flight: &'a InFlight,
        observation: &'a Observation,
        limits: Limits,
        now: &'a Instant,
    ) -> Self {
        let seen = Restarting::new(
            (edit.component, &edit.path),
            (&edit.processes, &edit.pods),
            in_flight,
            observation,
            limits,
            now,
        );
        Self { edit, seen }
    }

    fn step(&self) -> Step {
        let content = self.seen.content();
        if content == Fact::Known(self.edit.after) {
            return self.verify();
        }
        if content == Fact::Known(self.edit.before) {
            return Step::Abandon {
                why: "it had not happened yet, or someone else has undone it".to_owned(),
            };
        }
        self.away(&content).unwrap_or_else(|| self.not_ours(&content))
    }

    fn undoing(&self, fault: &Fault) -> Step {
        let content = self.seen.content();
        if content == Fact::Known(self.edit.after) || self.away(&content).is_some() {
            Step::PutBack
        } else if content == Fact::Known(self.edit.before) {
            self.recovered(fault)
        } else {
            self.not_ours(&content)
        }
    }

    /// What comes next while the manifest is out of its folder, where we took it.
    fn away(&self, content: &Fact<Digest>) -> Option<Step> {
        let bounce = self.edit.bounce.as_ref().filter(|_| *content == Fact::Absent)?;
        let drain = Duration::from_millis(bounce.drain_ms);
        self.seen.away(&bounce.out, Some(drain))
    }

    fn not_ours(&self, content: &Fact<Digest>) -> Step {
        let path = &self.edit.path;
        match content {
            Fact::Unknown(why) if self.seen.waited < self.seen.deadline => {
                Step::Wait { why: why.to_string() }
            }
            Fact::Unknown(why) => Step::Abandon { why: why.to_string() },
            Fact::Absent => Step::Abandon {
                why: format!(
                    "someone else has taken {path} away since; a copy is {}",
                    self.edit.backup
                ),
            },
            Fact::Known(_) => Step::Abandon {
                why: format!("someone else has written {path} since"),
            },
        }
    }

    fn verify(&self) -> Step {
        let seen = &self.seen;
        if seen.kubelet_is_down() && seen.old_runs() && !seen.is_overdue() {
            return Step::Wait {
                why: "the kubelet is not running".to_owned(),
            };
        }
        let Some(awaited) = seen.awaited() else {
            return Step::Finish;
        };
        if let Some(fault) = self.crashed() {
            return self.undo(fault);
        }
        if seen.is_overdue() {
            let why = format!("waited {} s for {awaited}", seen.since_begun.as_secs());
            return self.undo(self.fault(why));
        }
        let drain = self.edit.bounce.as_ref();
        let drain = drain.map(|bounce| Duration::from_millis(bounce.drain_ms));
        seen.early_end_in_place(drain)
            .unwrap_or(Step::Wait { why: awaited })
    }

    /// A former manifest that reads other keys goes back only if nothing can have been written that it cannot read.
    fn undo(&self, fault: Fault) -> Step {
        let runs = self
            .seen
            .expected_processes()
            .is_none_or(|processes| !processes.is_empty());
        let started = !self.new_logs().is_empty() || runs;
        if self.edit.touches_encryption && started {
            let why = format!(
                "{}, and its former manifest is not put back: its encryption settings differ, and values may have been written \
                 that it cannot read. The former manifest is {}",
                fault.why, self.edit.backup
            );
            return Step::Stuck { why };
        }
        Step::Undo(fault)
    }

    fn recovered(&self, fault: &Fault) -> Step {
        let component = self.edit.component;
        let runs = self
            .seen
            .expected_processes()
            .is_some_and(|processes| !processes.is_empty());
        let healthy = runs && self.seen.health().is_ok();
        if healthy || self.seen.is_overdue() {
            return Step::Refuse {
                fault: fault.clone(),
                recovered: healthy,
            };
        }
        Step::Wait {
            why: format!("{component} to come back with its former manifest"),
        }
    }

    /// The logs of the pod that the edit made, newest first.
    fn new_logs(&self) -> Vec<PodLog> {
        self.seen.logs(|log| !self.edit.pods.contains(&log.pod_uid))
    }

    /// A fault that need not be waited out: the log names a flag of ours, or the component ended again and again.
    fn crashed(&self) -> Option<Fault> {
        let runs = self
            .seen
            .expected_processes()
            .is_none_or(|processes| !processes.is_empty());
        let logs = self.new_logs();
        let component = self.edit.component;
        if runs || self.seen.old_runs() || logs.is_empty() {
            return None;
        }
        let ended = self.fault(format!("{component} ended as soon as it was started"));
        let restarts = logs.iter().map(|log| log.restart).max().unwrap_or(0);
        (ended.flag.is_some() || restarts >= CRASHES).then_some(ended)
    }

    fn fault(&self, why: String) -> Fault {
        fault_in(why, &self.new_logs(), &self.edit.flags)
    }
}
