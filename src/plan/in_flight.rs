//! The next step of a change that was begun earlier: decided by what the node shows, never by memory alone.
//!
//! After a crash `Started` means "may have happened". Every step below can be decided again, and is harmless to repeat.

use std::time::Duration;

use super::bounce::Out;
use super::last_words::fault_in;
use crate::domain::{
    Digest, EntryContent, Fact, Health, Instant, NodePath, Observation, PodLog, Process, ProcessId,
};
use crate::journal::{Act, EditedManifest, Fault, InFlight, Phase};
use crate::manifest::command_line;

/// How long a change in flight is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until a component must have proved healthy.
    pub deadline: Duration,
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
    /// These processes serve nobody any more: end them, if they are still the same.
    End(Vec<ProcessId>),
    /// Put the content after in place: the component is out of its folder.
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
        (Act::Quarantine { path, to, .. }, _) => quarantined(path, to, observation),
        (Act::EditManifest(edit), Phase::Started) => {
            Edited::new(edit, in_flight, observation, limits, now).step()
        }
        (Act::EditManifest(edit), Phase::Undoing(fault)) => {
            Edited::new(edit, in_flight, observation, limits, now).undoing(fault)
        }
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
    observation: &'a Observation,
    waited: Duration,
    since_begun: Duration,
    since: &'a Instant,
    draining: Option<&'a Instant>,
    now: &'a Instant,
    deadline: Duration,
}

impl<'a> Edited<'a> {
    fn new(
        edit: &'a EditedManifest,
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
            edit,
            observation,
            waited: kubelet.map_or(Duration::ZERO, |age| age.min(since_begun)),
            since_begun,
            since: &in_flight.since,
            draining: in_flight.draining.as_ref(),
            now,
            deadline: limits.deadline,
        }
    }

    fn step(&self) -> Step {
        let content = self.content();
        if content == Fact::Known(self.edit.after) {
            self.verify()
        } else if let Some(out) = self.out().filter(|_| content == Fact::Absent) {
            out.step()
        } else if content == Fact::Known(self.edit.before) {
            Step::Abandon {
                why: "it had not happened yet, or someone else has undone it".to_owned(),
            }
        } else {
            self.not_ours(&content)
        }
    }

    fn undoing(&self, fault: &Fault) -> Step {
        let content = self.content();
        if content == Fact::Known(self.edit.after) || (content == Fact::Absent && self.out().is_some()) {
            Step::PutBack
        } else if content == Fact::Known(self.edit.before) {
            self.recovered(fault)
        } else {
            self.not_ours(&content)
        }
    }

    /// The manifest while it is out of its folder.
    fn out(&self) -> Option<Out<'_>> {
        let bounce = self.edit.bounce.as_ref()?;
        Out::is_out(self.edit, bounce, self.observation).then(|| Out {
            edit: self.edit,
            bounce,
            observation: self.observation,
            since_begun: self.since_begun,
            draining: self.draining,
            now: self.now,
            old_runs: self.old_runs(),
            deadline: self.deadline,
        })
    }

    fn not_ours(&self, content: &Fact<Digest>) -> Step {
        let path = &self.edit.path;
        match content {
            Fact::Unknown(why) if self.waited < self.deadline => Step::Wait { why: why.to_string() },
            Fact::Unknown(why) => Step::Abandon { why: why.to_string() },
            Fact::Absent => Step::Abandon {
                why: format!("someone else has taken {path} away since"),
            },
            Fact::Known(_) => Step::Abandon {
                why: format!("someone else has written {path} since"),
            },
        }
    }

    /// The digest of the manifest as it lies there now.
    fn content(&self) -> Fact<Digest> {
        let name = self.edit.path.file_name();
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

    fn verify(&self) -> Step {
        let component = self.edit.component;
        let kubelet_down = self.observation.kubelet.process.known().is_none();
        if kubelet_down && self.old_runs() && !self.is_overdue() {
            return Step::Wait {
                why: "the kubelet is not running".to_owned(),
            };
        }
        let awaited = if self.old_runs() {
            format!("the old process of {component} to end")
        } else if self
            .expected_processes()
            .is_none_or(|processes| processes.is_empty())
        {
            format!("a process of {component} with the new arguments")
        } else {
            match self.health() {
                Ok(()) => return Step::Finish,
                Err(why) => format!("{component} to answer for its health ({why})"),
            }
        };
        if let Some(fault) = self.crashed() {
            return self.undo(fault);
        }
        if self.is_overdue() {
            let why = format!("waited {} s for {awaited}", self.since_begun.as_secs());
            return self.undo(self.fault(why));
        }
        Step::Wait { why: awaited }
    }

    /// A former manifest that reads other keys goes back only if nothing can have been written that it cannot read.
    fn undo(&self, fault: Fault) -> Step {
        let started = !self.new_logs().is_empty() || self.expected_processes().is_none_or(|p| !p.is_empty());
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
            .expected_processes()
            .is_some_and(|processes| !processes.is_empty());
        let healthy = runs && self.health().is_ok();
        if healthy || self.is_overdue() {
            return Step::Refuse {
                fault: fault.clone(),
                recovered: healthy,
            };
        }
        Step::Wait {
            why: format!("{component} to come back with its former manifest"),
        }
    }

    /// A kubelet that was away gets its time; one that never stays does not get it for ever.
    fn is_overdue(&self) -> bool {
        self.waited >= self.deadline || self.since_begun >= 2 * self.deadline
    }

    fn old_runs(&self) -> bool {
        let processes = self
            .observation
            .processes
            .get(&self.edit.component)
            .and_then(Fact::known);
        processes.is_some_and(|processes| {
            processes
                .iter()
                .any(|process| self.edit.processes.contains(&process.id))
        })
    }

    /// The processes that run with the arguments of the manifest as it lies there; `None` when that cannot be told.
    fn expected_processes(&self) -> Option<Vec<&Process>> {
        let component = self.edit.component;
        let manifest = self.observation.manifests.get(&component)?.known()?;
        let line = command_line(component, &manifest.pod).ok()?;
        let processes = self.observation.processes.get(&component)?.known()?;
        Some(
            processes
                .iter()
                .filter(|process| process.argv == line.argv())
                .collect(),
        )
    }

    fn health(&self) -> Result<(), String> {
        match self.observation.health.get(&self.edit.component) {
            Some(Fact::Known(Health::Ok)) => Ok(()),
            Some(Fact::Known(Health::Failing(why) | Health::Closed(why)) | Fact::Unknown(why)) => {
                Err(why.to_string())
            }
            Some(Fact::Absent) => Err("its manifest names no health endpoint".to_owned()),
            None => Err("it was not asked".to_owned()),
        }
    }

    /// The logs of the pod that the edit made, newest first.
    fn new_logs(&self) -> Vec<PodLog> {
        let logs = self
            .observation
            .pod_logs
            .get(&self.edit.component)
            .and_then(Fact::known);
        let since = self.since.wall.as_nanosecond();
        let of_new = |log: &&PodLog| !self.edit.pods.contains(&log.pod_uid) && log.modified_ns >= since;
        let mut logs: Vec<PodLog> = logs.into_iter().flatten().filter(of_new).cloned().collect();
        logs.sort_by_key(|log| std::cmp::Reverse((log.modified_ns, log.restart)));
        logs
    }

    /// A fault that need not be waited out: the log names a flag of ours, or the component ended again and again.
    fn crashed(&self) -> Option<Fault> {
        let runs = self
            .expected_processes()
            .is_none_or(|processes| !processes.is_empty());
        let logs = self.new_logs();
        let component = self.edit.component;
        if runs || self.old_runs() || logs.is_empty() {
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
