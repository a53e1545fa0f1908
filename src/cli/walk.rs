//! Walks a rotation to its end, and tells each step: pass after pass, and the restarts that it needs.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use super::args::Arguments;
use super::follow::{Followed, Following};
use super::setup::{CliError, Setup};
use super::{handed, locked, recover, say};
use crate::adapters::Node;
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::Held;
use crate::adapters::wakeups::Wake;
use crate::domain::{Component, Digest};
use crate::journal::{Act, InFlight};
use crate::plan::WithheldReason;
use crate::reconcile;
use crate::report::{self, ExitClass, printable};
use crate::rewrite::Progress;
use crate::rotate::status::{self, State, Status};
use crate::rotate::{LEFT_FREE, Pace, Passed, RotateError, Rotator, To};
use crate::rotation::{Consent, Outcome};

/// What is awaited takes seconds to minutes.
const POLL: Duration = Duration::from_secs(1);
/// How often a long step is told where it cannot be drawn over.
const TELL_EVERY_MS: u64 = 10_000;

pub(super) fn with_journal<T>(
    node: &Node,
    act: impl FnOnce(&Held, &mut JournalStore) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let held = locked::hold(node)?;
    let mut journal = locked::journal(node, &held)?;
    act(&held, &mut journal)
}

/// The walk of one command.
pub(super) struct Walk<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) setup: &'a Setup,
    pub(super) rotator: Rotator<'a>,
    /// Restarts may happen outside the disruption window.
    pub(super) any_time: bool,
    /// What the command is to come to.
    goal: Goal,
    /// The configuration that the API server was restarted for last.
    restarted_for: Option<Digest>,
}

/// What a command is to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// A key that is new.
    Key,
    /// No key.
    Plaintext,
    /// What was before.
    Back,
}

/// How a walk goes on after a pass.
enum Next {
    /// The next pass is due after that time; before that, this is told.
    Pass(String, Duration),
    /// The command ends.
    End(ExitClass),
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        arguments: &'a Arguments,
        setup: &'a Setup,
        any_time: bool,
        goal: Goal,
    ) -> Result<Self, CliError> {
        // From now on a signal ends the command between two steps.
        setup.interrupts.listen()?;
        Ok(Self {
            goal,
            arguments,
            setup,
            rotator: Rotator::new(&setup.node).map_err(Box::new)?,
            any_time,
            restarted_for: None,
        })
    }

    /// Begins a rotation; where a restart must show first what the API server runs with, it is made. The exit class, where it ends there.
    pub(super) fn begin(&mut self, to: To, cut: Consent) -> Result<Option<ExitClass>, CliError> {
        loop {
            let (rotator, interrupts) = (&mut self.rotator, &self.setup.interrupts);
            let begun = with_journal(&self.setup.node, |held, journal| {
                let looked = rotator.look_for_beginning(journal.state(), to, cut);
                // To count what is stored takes its time.
                if interrupts.asked() {
                    return Ok(Ok(None));
                }
                let begun = looked.and_then(|beginning| rotator.begin_with(held, journal, beginning));
                Ok(begun.map(Some))
            })?;
            let first = match begun {
                Ok(None) => return nothing_was_begun().map(Some),
                Ok(Some(begun)) => {
                    say(&format!(
                        "begun: {}, from {} to {}\n",
                        begun.id, begun.old, begun.new
                    ))?;
                    return Ok(None);
                }
                Err(RotateError::RestartFirst(digest)) => digest,
                Err(error) => return Err(Box::new(error).into()),
            };
            say("kube-apiserver does not say what it runs with: it is restarted, so that it is known\n")?;
            match self.restart(first)? {
                Next::Pass(told, wait) => {
                    say(&format!("{}\n", printable(&told)))?;
                    if interrupts.wait(wait) == Wake::Terminate {
                        return nothing_was_begun().map(Some);
                    }
                }
                Next::End(class) => return Ok(Some(class)),
            }
        }
    }

    /// Pass after pass until the rotation is over, or waits for the operator. The lock is given back between the passes.
    pub(super) fn walk(mut self) -> Result<ExitClass, CliError> {
        if let Some(class) = handed::follow(&self)? {
            return Ok(class);
        }
        let mut once = Once::default();
        loop {
            let (told, wait) = match self.pass()? {
                Next::Pass(told, wait) => (told, wait),
                Next::End(class) => return Ok(class),
            };
            once.say(&told)?;
            if self.setup.interrupts.wait(wait) == Wake::Terminate {
                say(
                    "Interrupted: the node stays as it is, every value readable; the same command goes on.\n",
                )?;
                return Ok(ExitClass::Drift);
            }
        }
    }

    fn pass(&mut self) -> Result<Next, CliError> {
        let node = &self.setup.node;
        let mut meter = Meter::new();
        let mut rewrote = false;
        let rotator = &mut self.rotator;
        let passed = with_journal(node, |held, journal| {
            let rotation = journal.state().rotations.rotation.clone();
            let publish = |state, what: &str, remedy: &str, progress: Option<&Progress>| {
                let Some(rotation) = &rotation else { return };
                let status = Status::of(node, rotation, state, what, Some(remedy));
                let status = match progress {
                    Some(progress) => status.with(progress),
                    None => status,
                };
                // Who reads it misses a line; nothing depends on it.
                drop(status::publish(node, held, &status));
            };
            let passed = rotator.pass(held, journal, Pace::default(), &mut |progress| {
                rewrote = true;
                meter.tell(progress, node.clock.now().since_boot_ms);
                publish(State::Working, status::REWRITING, "", Some(progress));
            });
            if let Some((state, what, remedy)) = status::words(&passed) {
                publish(state, &what, &remedy, None);
            }
            Ok(passed)
        })?;
        meter.end();
        Ok(match passed {
            // `abort`, `rotate --cut` or a bounce may wait for the lock.
            Ok(Passed::Did(what)) if rewrote => Next::Pass(what, LEFT_FREE),
            Ok(Passed::Did(what)) => Next::Pass(what, Duration::ZERO),
            Ok(Passed::Waits(words)) => Next::Pass(format!("... {}", words.why), POLL),
            Ok(Passed::Restart(digest)) => self.restart(digest)?,
            Ok(Passed::Parked(words) | Passed::Asks(words)) => stopped(&words.why, &words.remedy)?,
            Ok(Passed::Ended(ended)) => Next::End(self.ended(ended.outcome)?),
            Ok(Passed::Idle) => Next::End(ExitClass::Compliant),
            // An API server that is away, an etcd without quorum: the next pass looks again.
            Err(RotateError::Unknown(why)) => Next::Pass(format!("... {why}"), POLL),
            Err(RotateError::Etcd(why)) => Next::Pass(format!("... {why}; {}", why.advice()), POLL),
            Err(error) => return Err(Box::new(error).into()),
        })
    }

    /// Says how it ended.
    pub(super) fn ended(&self, outcome: Outcome) -> Result<ExitClass, CliError> {
        let (words, wanted) = match outcome {
            Outcome::Rotated if self.goal == Goal::Plaintext => (
                "Done: everything is in plaintext, and the keys are gone from the configuration.\n",
                true,
            ),
            Outcome::Rotated => (
                "Done: everything is under the new key, and the old one is gone from the configuration.\n",
                true,
            ),
            Outcome::RolledBack => (
                "Done: everything is under the old key again.\n",
                self.goal == Goal::Back,
            ),
            Outcome::Aborted => ("Given up: nothing was written.\n", self.goal == Goal::Back),
        };
        say(words)?;
        Ok(if wanted {
            ExitClass::Compliant
        } else {
            ExitClass::Drift
        })
    }

    /// Restarts the API server, which loads its configuration then and only then; one that does not bear it gets the former one back.
    fn restart(&mut self, digest: Digest) -> Result<Next, CliError> {
        let component = Component::ApiServer;
        if self.restarted_for == Some(digest) {
            return stopped(
                "the API server was restarted, and still does not run with the configuration that is on the disk",
                "see which file its --encryption-provider-config names, and what is mounted there",
            );
        }
        let mut following = Following::open(self.arguments, self.setup, component)?;
        let (node, config) = (&self.setup.node, &self.setup.settings.config);
        let journal = following.journal_state();
        match reconcile::look_for_bounce(node, config, journal, component, self.any_time) {
            Ok(plan) => following.begin(&plan.change)?,
            Err(why) => return held_back(&why),
        }
        let followed = following.follow()?;
        self.restarted_for = Some(digest);
        if followed.is_made() {
            let told = report::outage_text(component, followed.outage.length());
            return Ok(Next::Pass(told.trim_end().to_owned(), Duration::ZERO));
        }
        if !followed.is_refused() {
            return stopped(
                &format!("the API server was not restarted: {}", followed.why_not()),
                "see to that",
            );
        }
        put_back(self.arguments, self.setup, &mut self.rotator)?;
        Ok(Next::Pass(format!("... {DID_NOT_BEAR}"), Duration::ZERO))
    }
}

/// Says each thing once; a wait that only counts down is the same.
#[derive(Default)]
pub(super) struct Once(String);

impl Once {
    pub(super) fn say(&mut self, told: &str) -> Result<(), CliError> {
        let without_numbers: String = told.chars().filter(|c| !c.is_ascii_digit()).collect();
        if without_numbers != self.0 {
            say(&format!("{}\n", printable(told)))?;
            self.0 = without_numbers;
        }
        Ok(())
    }
}

const DID_NOT_BEAR: &str = "the API server did not become healthy with it";

/// Puts the former configuration back, and waits for the API server.
fn put_back(arguments: &Arguments, setup: &Setup, rotator: &mut Rotator<'_>) -> Result<(), CliError> {
    let told = with_journal(&setup.node, |held, journal| {
        Ok(rotator.put_back(held, journal, DID_NOT_BEAR).map_err(Box::new)?)
    })?;
    if let Some(told) = told {
        say(&format!("{told}\n"))?;
    }
    follow_what_is_in_flight(arguments, setup).map(drop)
}

fn follow_what_is_in_flight(arguments: &Arguments, setup: &Setup) -> Result<Option<Followed>, CliError> {
    let node = &setup.node;
    if locked::peek(node)?.in_flight.is_none() {
        return Ok(None);
    }
    let following = Following::open(arguments, setup, Component::ApiServer)?;
    following.follow().map(Some)
}

/// Brings to its end what a command before this one had begun and did not end, before anything is looked at: a manifest that is out
/// comes back, a restart is followed, and an API server that did not bear a configuration gets the one before.
pub(super) fn end_what_was_begun(arguments: &Arguments, setup: &Setup) -> Result<(), CliError> {
    let node = &setup.node;
    let journal = locked::peek(node)?;
    recover::first(node, &journal)?;
    let mut rotator = Rotator::new(node).map_err(Box::new)?;
    // Another component's refusal says nothing of the configuration.
    let loads = |begun: &InFlight| matches!(&begun.act, Act::Bounce(bounce) if bounce.component == Component::ApiServer);
    let was_to_load = journal.rotations.rotation.is_some() && journal.in_flight.as_ref().is_some_and(loads);
    let followed = follow_what_is_in_flight(arguments, setup)?;
    let is_refused = was_to_load && followed.is_some_and(|followed| followed.is_refused());
    // Who followed it to that end may have been killed before it was put back.
    if is_refused || journal.load_refused {
        return put_back(arguments, setup, &mut rotator);
    }
    if journal
        .rotations
        .rotation
        .is_none_or(|rotation| rotation.refused.is_none())
    {
        return Ok(());
    }
    let told = with_journal(node, |held, journal| {
        Ok(rotator.end_put_back(held, journal).map_err(Box::new)?)
    })?;
    told.map_or(Ok(()), |told| say(&format!("{told}\n")))
}

fn nothing_was_begun() -> Result<ExitClass, CliError> {
    say("Interrupted: nothing was begun.\n")?;
    Ok(ExitClass::Drift)
}

fn held_back(why: &WithheldReason) -> Result<Next, CliError> {
    let told = format!("the API server must be restarted to load its configuration, and is not: {why}");
    if why.is_temporary() {
        return Ok(Next::Pass(format!("... {told}"), POLL));
    }
    stopped(&told, "see to that")
}

fn stopped(why: &str, remedy: &str) -> Result<Next, CliError> {
    tell_stopped(why, remedy).map(Next::End)
}

pub(super) fn tell_stopped(why: &str, remedy: &str) -> Result<ExitClass, CliError> {
    say(&printable(&format!("stopped: {why}. To do: {remedy}")))?;
    say("\nBoth keys stay readable meanwhile; the same command goes on.\n")?;
    Ok(ExitClass::Drift)
}

/// How far a long step is: drawn over on a terminal, told now and then elsewhere.
pub(super) struct Meter {
    terminal: bool,
    told_ms: Option<u64>,
    drawn: bool,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            told_ms: None,
            drawn: false,
        }
    }

    pub(super) fn tell(&mut self, progress: &Progress, now_ms: u64) {
        let total = progress
            .total
            .map_or_else(|| "?".to_owned(), |total| total.to_string());
        let left = progress
            .left()
            .map_or_else(String::new, |left| format!(", {} s left", left.as_secs()));
        let line = format!(
            "{} of {total} rewritten or fresh, {:.0}/s{left}",
            progress.done, progress.rate
        );
        if self.terminal {
            self.drawn = true;
            // A terminal that has gone loses nothing but the line.
            drop(write!(std::io::stderr(), "\r\x1b[K  {line}"));
        } else if self
            .told_ms
            .is_none_or(|told| now_ms.saturating_sub(told) >= TELL_EVERY_MS)
        {
            self.told_ms = Some(now_ms);
            super::complain(&format!("  {line}"));
        }
    }

    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.drawn) {
            drop(write!(std::io::stderr(), "\r\x1b[K"));
        }
    }
}
