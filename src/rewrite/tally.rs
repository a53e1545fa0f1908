//! The count of a rewrite: what was done, what refused it, how long it will take. Bounded, however many objects there are, but for the
//! revisions of the writes.

use std::time::Duration;

use super::{Cause, Outcome, Target};

/// How many refused objects are told by name; of the others only how many.
pub const MAX_REFUSED_TOLD: usize = 100;

/// An object that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The object.
    pub target: Target,
    /// Who or what refused it.
    pub cause: Cause,
}

/// What a rewrite waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// etcd's database would fill up: its next compaction.
    Quota,
    /// The API server asked for less, or does not answer.
    Server,
}

/// How far a rewrite is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    /// How many objects there are, if it is known.
    pub total: Option<u64>,
    /// How many are dealt with, whatever became of them.
    pub done: u64,
    /// How many were written.
    pub rewritten: u64,
    /// How many needed no write.
    pub fresh: u64,
    /// How many were not there any more.
    pub gone: u64,
    /// How many must be looked at again: written by somebody else, or nobody knows.
    pub again: u64,
    /// How many were refused.
    pub refused: u64,
    /// The bytes of stored values that were written or may have been.
    pub bytes: u64,
    /// Objects a second, lately.
    pub rate: f64,
    /// What it waits for now.
    pub waiting: Option<Waiting>,
}

/// The count, kept while a rewrite goes on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tally {
    progress: Progress,
    refused: Vec<Refused>,
    last_unknown: Option<String>,
    written: Vec<u64>,
}

impl Progress {
    /// How long it will take at this rate. None while nothing is done or the total is not known.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let left = self.total?.saturating_sub(self.done);
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        (self.rate > 0.0)
            .then(|| Duration::try_from_secs_f64(f64::from(left) / self.rate).ok())
            .flatten()
    }
}

impl Tally {
    /// A count that begins at nothing.
    #[must_use]
    pub fn new(total: Option<u64>) -> Self {
        Self {
            progress: Progress {
                total,
                ..Progress::default()
            },
            ..Self::default()
        }
    }

    /// One more object is dealt with. A throttled one is not: it counts when it is tried no more, as one to look at again.
    pub fn add(&mut self, target: Target, outcome: Outcome) {
        let progress = &mut self.progress;
        progress.done += 1;
        match outcome {
            Outcome::Rewritten { resource_version } => {
                progress.rewritten += 1;
                self.written.push(resource_version);
            }
            Outcome::Fresh => progress.fresh += 1,
            Outcome::Gone => progress.gone += 1,
            Outcome::Conflict | Outcome::Throttled { .. } => progress.again += 1,
            Outcome::Unknown { what } => {
                progress.again += 1;
                self.last_unknown = Some(what);
            }
            Outcome::Refused { cause } => {
                progress.refused += 1;
                if self.refused.len() < MAX_REFUSED_TOLD {
                    self.refused.push(Refused { target, cause });
                }
            }
        }
    }

    /// Bytes that were written, or may have been.
    pub const fn wrote(&mut self, bytes: u64) {
        self.progress.bytes = self.progress.bytes.saturating_add(bytes);
    }

    /// What it waits for, and how fast it was lately.
    pub const fn going(&mut self, rate: f64, waiting: Option<Waiting>) {
        self.progress.rate = rate;
        self.progress.waiting = waiting;
    }

    /// How far it is.
    #[must_use]
    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// The refused objects that are told by name; [`Progress::refused`] counts them all.
    #[must_use]
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// The revisions of the writes: eight bytes for each object.
    #[must_use]
    pub fn written(&self) -> &[u64] {
        &self.written
    }

    /// What happened to the last object of which nobody knows whether it was written.
    #[must_use]
    pub fn last_unknown(&self) -> Option<&str> {
        self.last_unknown.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::GroupResource;

    fn target(name: &str) -> Target {
        Target {
            resource: GroupResource {
                resource: "secrets".to_owned(),
                group: String::new(),
            },
            namespace: Some("default".to_owned()),
            name: name.to_owned(),
            uid: None,
            seen: None,
            bytes: 1,
        }
    }

    #[test]
    fn every_outcome_counts_once_and_refused_objects_are_told_up_to_a_bound() {
        let mut tally = Tally::new(Some(400));
        for outcome in [
            Outcome::Rewritten { resource_version: 7 },
            Outcome::Fresh,
            Outcome::Gone,
            Outcome::Conflict,
            Outcome::Throttled { retry_after: None },
            Outcome::Unknown {
                what: "cut".to_owned(),
            },
        ] {
            tally.add(target("x"), outcome);
        }
        for number in 0..150 {
            let cause = Cause::Forbidden;
            tally.add(target(&format!("r{number}")), Outcome::Refused { cause });
        }
        tally.wrote(5);
        tally.going(61.0, Some(Waiting::Quota));
        let expected = Progress {
            total: Some(400),
            done: 156,
            rewritten: 1,
            fresh: 1,
            gone: 1,
            again: 3,
            refused: 150,
            bytes: 5,
            rate: 61.0,
            waiting: Some(Waiting::Quota),
        };
        assert_eq!(tally.progress(), expected);
        assert_eq!(tally.progress().left(), Some(Duration::from_secs(4)));
        assert_eq!(tally.refused().len(), MAX_REFUSED_TOLD);
        assert_eq!(tally.refused()[99].target.to_string(), "secrets default/r99");
        assert_eq!(tally.last_unknown(), Some("cut"));
    }

    #[test]
    fn the_time_left_is_not_guessed() {
        assert_eq!(Tally::new(Some(5)).progress().left(), None);
        let mut tally = Tally::new(None);
        tally.going(10.0, None);
        assert_eq!(tally.progress().left(), None);
    }
}
