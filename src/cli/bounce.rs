//! `bounce`: restarts one component by moving its manifest out of its folder and back in.

use std::time::Duration;

use super::args::{self, Arguments, Output};
use super::setup::{self, CliError, Setup};
use super::{apply, colour, complain, peek, recover, say};
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::Held;
use crate::adapters::wakeups::{Wake, Wakeups};
use crate::apply::{Outcome, Result as Came};
use crate::domain::{Component, Fact, Health, Instant};
use crate::journal::Act;
use crate::plan::{BouncePlan, WithheldReason};
use crate::reconcile::{self, Intent};
use crate::report::{self, BounceReport, ExitClass};

/// The daemon gives the lock back after each pass; an `apply` may hold it for longer.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);

/// Bounces a component, after saying what that does and asking.
pub(super) fn bounce(arguments: &Arguments, how: &args::Bounce) -> Result<ExitClass, CliError> {
    if how.dry_run {
        let setup = Setup::new(&arguments.global)?;
        let plan = reconcile::look_for_bounce(
            &setup.node,
            &setup.settings.config,
            &peek(&setup.node)?,
            how.component,
            how.any_time,
        );
        return show(arguments, how.component, &plan);
    }
    setup::require_root()?;
    let setup = Setup::new(&arguments.global).map_err(recover::before_giving_up)?;
    if let Some(begun) = JournalStore::peek(&setup.node.files, &setup.node.layout)?.in_flight {
        // Another Holdfast that was killed may have left a manifest out.
        let same = matches!(&begun.act, Act::Bounce(bounce) if bounce.component == how.component);
        let followed = Bouncing::open(arguments, &setup, how.component)?.follow()?;
        if same {
            return tell_end(arguments, how.component, None, &followed);
        }
    }
    let journal = peek(&setup.node)?;
    let (config, node) = (&setup.settings.config, &setup.node);
    let shown = reconcile::look_for_bounce(node, config, &journal, how.component, how.any_time);
    let Ok(plan) = &shown else {
        return show(arguments, how.component, &shown);
    };
    tell_plan(arguments, plan, how.yes)?;
    if !(how.yes || apply::ask("bounce", &format!("Bounce {} now?", how.component))?) {
        complain("Nothing was changed.");
        return Ok(ExitClass::Failed);
    }
    let mut bouncing = Bouncing::open(arguments, &setup, how.component)?;
    let again = reconcile::look_for_bounce(
        node,
        config,
        bouncing.journal.state(),
        how.component,
        how.any_time,
    );
    if again != shown {
        return Err(CliError::PlanChanged);
    }
    bouncing.begin(plan)?;
    let followed = bouncing.follow()?;
    tell_end(arguments, how.component, Some(plan), &followed)
}

/// Before anything is done: to standard error where standard output is for a program.
fn tell_plan(arguments: &Arguments, plan: &BouncePlan, consented: bool) -> Result<(), CliError> {
    let words = report::bounce_text(plan, colour(arguments));
    match arguments.global.output {
        Output::Text => say(&words)?,
        Output::Json if !consented => complain(words.trim_end()),
        Output::Json => {}
    }
    Ok(())
}

/// Only what would be done, or why nothing is.
fn show(
    arguments: &Arguments,
    component: Component,
    plan: &Result<BouncePlan, WithheldReason>,
) -> Result<ExitClass, CliError> {
    say(&match (arguments.global.output, plan) {
        (Output::Text, Ok(plan)) => report::bounce_text(plan, colour(arguments)),
        (Output::Text, Err(why)) => report::bounce_refused_text(component, why, colour(arguments)),
        (Output::Json, plan) => report::bounce_json(&BounceReport {
            component,
            plan: Some(plan.as_ref()),
            outcomes: &[],
            outage: None,
        }),
    })?;
    Ok(if plan.is_ok() {
        ExitClass::Compliant
    } else {
        ExitClass::Failed
    })
}

fn tell_end(
    arguments: &Arguments,
    component: Component,
    plan: Option<&BouncePlan>,
    followed: &Followed,
) -> Result<ExitClass, CliError> {
    let made = matches!(
        followed.outcomes.last(),
        Some(Outcome {
            result: Came::Made,
            ..
        })
    );
    let outage = followed.outage.length();
    match arguments.global.output {
        Output::Text if made => say(&report::outage_text(component, outage))?,
        Output::Text => {}
        Output::Json => say(&report::bounce_json(&BounceReport {
            component,
            plan: plan.map(Ok),
            outcomes: &followed.outcomes,
            outage,
        }))?,
    }
    Ok(if made {
        ExitClass::Compliant
    } else {
        ExitClass::Failed
    })
}

/// A bounce, or another change that was begun earlier, on its way to its end.
struct Bouncing<'a> {
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
struct Followed {
    outcomes: Vec<Outcome>,
    outage: Outage,
}

impl<'a> Bouncing<'a> {
    /// Takes the lock; from now on a signal no longer ends the process.
    fn open(arguments: &'a Arguments, setup: &'a Setup, component: Component) -> Result<Self, CliError> {
        let node = &setup.node;
        let held = Held::take(&node.here(&node.layout.run), LOCK_PATIENCE)?;
        let journal = JournalStore::open(&node.files, &node.layout, &held, node.clock.now())?;
        let wakeups = Wakeups::new().map_err(|cause| CliError::System {
            act: "cannot receive signals",
            cause,
        })?;
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

    fn begin(&mut self, plan: &BouncePlan) -> Result<(), CliError> {
        let begun = reconcile::begin_bounce(&self.setup.node, &self.held, &mut self.journal, plan);
        let outcome = begun.map_err(|error| self.give_up(error.into()))?;
        self.keep(outcome)
    }

    /// Makes pass after pass until nothing is in flight.
    fn follow(mut self) -> Result<Followed, CliError> {
        let Setup { node, settings, .. } = self.setup;
        let intent = Intent {
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
            }
        }
        Ok(self.followed)
    }

    /// Keeps and shows an outcome that is not the one before.
    fn keep(&mut self, outcome: Outcome) -> Result<(), CliError> {
        if self.followed.outcomes.last() == Some(&outcome) {
            return Ok(());
        }
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
struct Outage {
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
    fn length(&self) -> Option<Duration> {
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
