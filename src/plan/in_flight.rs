//! The next step of a change that was begun earlier: decided by what the node shows, never by memory alone.

use std::time::Duration;

use crate::domain::{Digest, Instant, Observation};
use crate::journal::{Act, Fault, InFlight};

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
}

/// The next step of a change in flight.
#[must_use]
pub fn next_step(in_flight: &InFlight, observation: &Observation, limits: Limits, now: &Instant) -> Progress {
    let _ = (observation, limits, now);
    let step = Step::Wait { why: String::new() };
    Progress {
        change: in_flight.change,
        act: in_flight.act.clone(),
        step,
    }
}
