//! Brings a change that restarts a component to its end, whoever began it, and measures for how long the component is away.

use std::time::Duration;

use super::args::{Arguments, Output};
use super::interrupts::wakeups;
use super::setup::{CliError, Setup};
use super::{colour, complain, locked, recover, say};
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::Held;
use crate::adapters::wakeups::{Wake, Wakeups};
use crate::apply::{Outcome, Result as Came, tell_outcome};
use crate::domain::{Component, Fact, Health, Instant};
use crate::journal::JournalState;
use crate::plan::Change;
use crate::reconcile::{self, Intent};
use crate::report;

/// A change that restarts a component, or one that was begun earlier, on its way to its end.
pub(super) struct Following<'a> {
    arguments: &'a Arguments,
    setup: &'a Setup,
    component: Component,
    held: Held,
    journal: JournalStore,
    wakeups: Wakeups,
    followed: Followed,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Followed {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) outage: Outage,
}

impl Followed {
    /// True when the component did not become healthy.
    pub(super) fn is_refused(&self) -> bool {
        self.outcomes
            .last()
            .is_some_and(|last| matches!(last.result, Came::Refused { .. } | Came::Stuck { .. }))
    }

    /// Why the last change was not made.
    pub(super) fn why_not(&self) -> String {
        match self.outcomes.last().map(|last| &last.result) {
            Some(
                Came::Failed { why } | Came::Abandoned { why } | Came::Stuck { why } | Came::Waiting { why },
            ) => why.clone(),
            Some(Came::Refused { fault, .. }) => fault.why.clone(),
            Some(Came::Made | Came::Begun | Came::PutBack { .. }) | None => {
                "it was not brought to its end".to_owned()
            }
        }
    }

    /// True when the last change was made and proven.
    pub(super) fn is_made(&self) -> bool {
        matches!(
            self.outcomes.last(),
            Some(Outcome {
                result: Came::Made,
                ..
            })
        )
    }
}

impl<'a> Following<'a> {
    /// Takes the lock; from now on a signal no longer ends the process. The command hears of it, too, once this is at its end.
    pub(super) fn open(
        arguments: &'a Arguments,
        setup: &'a Setup,
        component: Component,
    ) -> Result<Self, CliError> {
        let node = &setup.node;
        let held = locked::hold(node)?;
        let journal = locked::journal(node, &held)?;
        let heard = setup.interrupts.listen().and_then(|()| wakeups());
        let wakeups = heard.inspect_err(|_| recover::put_back(node, &held))?;
        Ok(Self {
            arguments,
            setup,
            component,
            held,
            journal,
            wakeups,
            followed: Followed::default(),
        })
    }

    pub(super) fn journal_state(&self) -> &JournalState {
        self.journal.state()
    }

    /// Begins the change.
    pub(super) fn begin(&mut self, change: &Change) -> Result<(), CliError> {
        let begun = reconcile::begin(&self.setup.node, &self.held, &mut self.journal, change);
        let outcome = begun.map_err(|error| self.give_up(error.into()))?;
        self.keep(outcome)
    }

    /// Makes pass after pass until nothing is in flight.
    pub(super) fn follow(mut self) -> Result<Followed, CliError> {
        let Setup { node, settings, .. } = self.setup;
        let mut intent = Intent {
            asked: true,
            finishing: true,
            ..Intent::default()
        };
        while self.journal.state().in_flight.is_some() {
            let passed = reconcile::pass(
                node,
                &settings.config,
                &settings.selected,
                &self.held,
                &mut self.journal,
                &intent,
                &mut |_| {},
            );
            let passed = passed.map_err(|error| self.give_up(error.into()))?;
            let health = passed.looked.observation.health.get(&self.component);
            self.followed.outage.see(&node.clock.now(), health);
            for outcome in passed.outcomes {
                self.keep(outcome)?;
            }
            if self.followed.outcomes.last().is_some_and(Outcome::is_stuck) {
                break;
            }
            let wait = passed.look_again.unwrap_or(Duration::ZERO);
            if self.wakeups.wait(wait) == Wake::Terminate && self.journal.state().in_flight.is_some() {
                complain("it is brought to its end first; a second signal changes nothing");
                intent.ending = true;
            }
        }
        Ok(self.followed)
    }

    /// Keeps and shows an outcome that is not the one before.
    fn keep(&mut self, outcome: Outcome) -> Result<(), CliError> {
        if self.followed.outcomes.last() == Some(&outcome) {
            return Ok(());
        }
        tell_outcome(&outcome);
        if self.arguments.global.output == Output::Text {
            // A terminal that has gone does not end a bounce half-way.
            let told = say(&report::outcome_text(&outcome, colour(self.arguments)));
            if self.journal.state().in_flight.is_none() {
                told?;
            }
        }
        self.followed.outcomes.push(outcome);
        Ok(())
    }

    /// Without a journal nothing can be carried on: what is out comes back before the command ends.
    fn give_up(&self, error: CliError) -> CliError {
        recover::put_back(&self.setup.node, &self.held);
        error
    }
}

/// How long a component is away: from the first look at which nothing listens until it is healthy.
#[derive(Debug, Default)]
pub(super) struct Outage {
    since: Option<Instant>,
    until: Option<Instant>,
}

impl Outage {
    fn see(&mut self, now: &Instant, health: Option<&Fact<Health>>) {
        match health {
            Some(Fact::Known(Health::Closed(_))) => {
                self.since.get_or_insert_with(|| now.clone());
                self.until = None;
            }
            Some(Fact::Known(Health::Ok)) if self.since.is_some() => {
                self.until.get_or_insert_with(|| now.clone());
            }
            _ => {}
        }
    }

    /// `None` when it was not seen from its beginning to its end.
    pub(super) fn length(&self) -> Option<Duration> {
        self.until.as_ref()?.elapsed_since(self.since.as_ref()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BootId, Reason};

    fn at(ms: u64) -> Instant {
        Instant {
            wall: jiff::Timestamp::from_second(1_000).unwrap(),
            boot: BootId("boot".to_owned()),
            since_boot_ms: ms,
        }
    }

    fn length(seen: &[(u64, Health)]) -> Option<Duration> {
        let mut outage = Outage::default();
        for (ms, health) in seen {
            outage.see(&at(*ms), Some(&Fact::Known(health.clone())));
        }
        outage.see(&at(99_000), None);
        outage.length()
    }

    #[test]
    fn the_outage_lasts_from_when_nothing_listens_until_it_is_healthy_again() {
        let closed = || Health::Closed(Reason::new("refused"));
        let failing = || Health::Failing(Reason::new("500"));
        let whole = [
            (100, Health::Ok),
            (200, closed()),
            (300, failing()),
            (5_200, Health::Ok),
            (6_000, Health::Ok),
        ];
        assert_eq!(length(&whole), Some(Duration::from_secs(5)));
        let twice = [
            (200, closed()),
            (300, Health::Ok),
            (400, closed()),
            (900, Health::Ok),
        ];
        assert_eq!(length(&twice), Some(Duration::from_millis(700)));
        assert_eq!(length(&whole[..3]), None, "it has not ended");
        assert_eq!(length(&[(100, Health::Ok)]), None, "it was not seen");
    }
}
