//! What came of a change.

use crate::domain::{ControlId, Digest, NodePath};
use crate::journal::Fault;
use crate::plan::{Change, Progress};

/// What came of a change, or of the next step of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The change.
    pub change: Digest,
    /// The controls that it serves.
    pub controls: Vec<ControlId>,
    /// The file or folder that it changes.
    pub path: NodePath,
    /// What it does, in words.
    pub what: String,
    /// What came of it.
    pub result: Result,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Result {
    /// It is made and, where it restarts a component, proven.
    Made,
    /// The manifest is written; the component has to prove healthy.
    Begun,
    /// Nothing new yet.
    Waiting {
        /// What is awaited.
        why: String,
    },
    /// The former content is in place again; the component has to come back.
    PutBack {
        /// What the node did not bear; `None` when that was told before.
        fault: Option<Fault>,
    },
    /// The node refused it.
    Refused {
        /// What the node did not bear.
        fault: Fault,
        /// True when the component proved healthy again with its former manifest.
        recovered: bool,
        /// What an operator can do by hand, with the API down, when it did not.
        by_hand: Option<String>,
    },
    /// It will not be completed.
    Abandoned {
        /// Why.
        why: String,
    },
    /// It can neither be completed nor undone: an operator must look.
    Stuck {
        /// Why, and what to do.
        why: String,
    },
    /// It could not be made; nothing was changed.
    Failed {
        /// Why.
        why: String,
    },
}

impl Outcome {
    /// What came of a change that was planned.
    pub(super) fn of_change(change: &Change, result: Result) -> Self {
        Self {
            change: change.id,
            controls: change.controls.clone(),
            path: change.deed.path().clone(),
            what: change.deed.to_string(),
            result,
        }
    }

    /// What came of a step of the change in flight.
    pub(super) fn of_step(progress: &Progress, controls: &[ControlId], result: Result) -> Self {
        Self {
            change: progress.change,
            controls: controls.to_vec(),
            path: progress.act.path().clone(),
            what: progress.act.to_string(),
            result,
        }
    }

    /// True when the change is still in flight.
    #[must_use]
    pub const fn is_in_flight(&self) -> bool {
        match self.result {
            Result::Begun | Result::Waiting { .. } | Result::PutBack { .. } | Result::Stuck { .. } => true,
            Result::Made | Result::Refused { .. } | Result::Abandoned { .. } | Result::Failed { .. } => false,
        }
    }

    /// True when an operator must look before anything else can be done.
    #[must_use]
    pub const fn is_stuck(&self) -> bool {
        matches!(self.result, Result::Stuck { .. })
    }

    /// What it waits for, is stuck at or failed at: what is no news for as long as it stays the same.
    #[must_use]
    pub const fn lasts(&self) -> Option<&String> {
        match &self.result {
            Result::Waiting { why } | Result::Stuck { why } | Result::Failed { why } => Some(why),
            Result::Made
            | Result::Begun
            | Result::PutBack { .. }
            | Result::Refused { .. }
            | Result::Abandoned { .. } => None,
        }
    }

    /// Why it could not be made, if it could not.
    #[must_use]
    pub const fn failed(&self) -> Option<&String> {
        if let Result::Failed { why } = &self.result {
            return Some(why);
        }
        None
    }

    /// True when the operator asked for something that did not come about.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        match self.result {
            Result::Refused { .. } | Result::Stuck { .. } | Result::Failed { .. } => true,
            Result::Made
            | Result::Begun
            | Result::Waiting { .. }
            | Result::PutBack { .. }
            | Result::Abandoned { .. } => false,
        }
    }
}
