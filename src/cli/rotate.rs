//! `encryption rotate` and `encryption abort`: begins a walk, or goes on with the one under way, and tells each step.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use super::args::{Consented, KeyProvider, Rotate};
use super::setup::{self, CliError};
use super::{apply, say};
use crate::adapters::Node;
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::Held;
use crate::adapters::wakeups::{Wake, Wakeups};
use crate::domain::Provider;
use crate::report::{ExitClass, printable};
use crate::rewrite::Progress;
use crate::rotate::{Pace, Passed, RotateError, Rotator};
use crate::rotation::{Consent, Outcome, Rotation};

const LOCK_PATIENCE: Duration = Duration::from_secs(20);
/// What is awaited takes seconds to minutes.
const POLL: Duration = Duration::from_secs(1);
/// How often a long step is told where it cannot be drawn over.
const TELL_EVERY_MS: u64 = 10_000;

/// Rotates to a new key, or goes on.
pub(super) fn rotate(how: &Rotate) -> Result<ExitClass, CliError> {
    let node = setup::node(Path::new("/"))?;
    let mut rotator = Rotator::new(&node).map_err(Box::new)?;
    let under_way = JournalStore::peek(&node.files, &node.layout)?.rotations.rotation;
    let provider = match how.provider {
        KeyProvider::Aescbc => Provider::Aescbc,
        KeyProvider::Aesgcm => Provider::Aesgcm,
        KeyProvider::Secretbox => Provider::Secretbox,
    };
    say(&match &under_way {
        Some(rotation) => format!(
            "Rotation {} to {} is under way and goes on.\n",
            rotation.id, rotation.new
        ),
        None if how.cut => return Err(CliError::Usage("--cut: no rotation is under way".to_owned())),
        None => plan(provider, how.keep_old),
    })?;
    if how.dry_run {
        return Ok(ExitClass::Compliant);
    }
    let question = if under_way.is_some() { "Go on?" } else { "Begin?" };
    if !how.consented.yes && !apply::ask("rotate", question)? {
        super::complain("Nothing was changed.");
        return Ok(ExitClass::Compliant);
    }
    with_journal(&node, |held, journal| {
        if under_way.is_none() {
            let cut = if how.keep_old { Consent::Ask } else { Consent::Auto };
            let begun = rotator.begin(held, journal, provider, cut).map_err(Box::new)?;
            say(&format!(
                "begun: {}, from {} to {}\n",
                begun.id, begun.old, begun.new
            ))?;
        } else if how.cut {
            rotator.allow_cut(held, journal).map_err(Box::new)?;
        }
        Ok(())
    })?;
    walk(&node, &mut rotator)
}

/// Turns the rotation back.
pub(super) fn abort(how: Consented) -> Result<ExitClass, CliError> {
    let node = setup::node(Path::new("/"))?;
    let mut rotator = Rotator::new(&node).map_err(Box::new)?;
    let under_way = JournalStore::peek(&node.files, &node.layout)?.rotations.rotation;
    let Some(Rotation { id, old, new, .. }) = under_way else {
        say("No rotation is under way.\n")?;
        return Ok(ExitClass::Compliant);
    };
    say(&format!(
        "Rotation {id} is turned back: {} writes again, values under {new} are rewritten, and {new} goes when nothing needs it.\n",
        old.write_key()
    ))?;
    if !how.yes && !apply::ask("abort", "Turn it back?")? {
        super::complain("Nothing was changed.");
        return Ok(ExitClass::Compliant);
    }
    with_journal(&node, |held, journal| {
        Ok(rotator.roll_back(held, journal).map_err(Box::new)?)
    })?;
    walk(&node, &mut rotator)
}

fn plan(provider: Provider, keep_old: bool) -> String {
    let cut = if keep_old {
        "   (left out for now: --keep-old; `holdfast encryption rotate --cut` does it)"
    } else {
        ""
    };
    format!(
        "A new {provider} key of 32 random bytes takes the place of the one that writes now:\n\
         \x20 1  every stored value is counted and decrypted, so that nothing is broken before the start\n\
         \x20 2  the key is made and stored in /var/lib/holdfast/keys\n\
         \x20 3  it is added second, and loaded\n\
         \x20 4  it becomes the first, and is loaded; requests of before end within a minute\n\
         \x20 5  what is under the old key is rewritten, by name, without any Secret data in request or answer\n\
         \x20 6  it is proven from etcd that nothing is left under the old key, and that etcd's history has none\n\
         \x20 7  the old key is kept in /var/lib/holdfast/retained and removed from the configuration, and that is loaded{cut}\n\
         Each load waits for the API server, which looks once a minute, and step 6 for its compaction, every 5 minutes. It may be\n\
         interrupted at any time, and goes on with the same command; `holdfast encryption abort` turns it back before step 7.\n"
    )
}

fn with_journal<T>(
    node: &Node,
    act: impl FnOnce(&Held, &mut JournalStore) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let held = Held::take(&node.here(&node.layout.run), LOCK_PATIENCE)?;
    let mut journal = JournalStore::open(&node.files, &node.layout, &held, node.clock.now())?;
    act(&held, &mut journal)
}

/// Pass after pass until the rotation is over, or waits for the operator. The lock is given back between the passes.
fn walk(node: &Node, rotator: &mut Rotator<'_>) -> Result<ExitClass, CliError> {
    let mut wakeups = Wakeups::new().map_err(|cause| CliError::System {
        act: "cannot receive signals",
        cause,
    })?;
    let mut last = String::new();
    loop {
        let mut meter = Meter::new();
        let passed = with_journal(node, |held, journal| {
            Ok(rotator.pass(held, journal, Pace::default(), &mut |progress| {
                meter.tell(progress, node.clock.now().since_boot_ms);
            }))
        })?;
        meter.end();
        let (told, wait) = match passed {
            Ok(Passed::Did(what)) => (what, Duration::ZERO),
            Ok(Passed::Waits(words)) => (format!("... {}", words.why), POLL),
            Ok(Passed::Parked(words)) => {
                say(&printable(&format!(
                    "stopped: {}. To do: {}",
                    words.why, words.remedy
                )))?;
                say("\nBoth keys stay readable meanwhile; the same command goes on.\n")?;
                return Ok(ExitClass::Drift);
            }
            Ok(Passed::Ended(ended)) => {
                say(match ended.outcome {
                    Outcome::Rotated => {
                        "Done: everything is under the new key, and the old one is gone from the configuration.\n"
                    }
                    Outcome::RolledBack => "Done: everything is under the old key again.\n",
                    Outcome::Aborted => "Given up: nothing was written.\n",
                })?;
                return Ok(ExitClass::Compliant);
            }
            Ok(Passed::Idle) => return Ok(ExitClass::Compliant),
            // An API server that is away, an etcd without quorum: the next pass looks again.
            Err(RotateError::Unknown(why)) => (format!("... {why}"), POLL),
            Err(RotateError::Etcd(why)) => (format!("... {why}; {}", why.advice()), POLL),
            Err(error) => return Err(Box::new(error).into()),
        };
        // A wait that only counts down is told once.
        let without_numbers: String = told.chars().filter(|c| !c.is_ascii_digit()).collect();
        if without_numbers != last {
            say(&format!("{}\n", printable(&told)))?;
            last = without_numbers;
        }
        if wakeups.wait(wait) == Wake::Terminate {
            say("Interrupted: the node stays as it is, every value readable; the same command goes on.\n")?;
            return Ok(ExitClass::Drift);
        }
    }
}

/// How far a long step is: drawn over on a terminal, told now and then elsewhere.
struct Meter {
    terminal: bool,
    told_ms: Option<u64>,
    drawn: bool,
}

impl Meter {
    fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            told_ms: None,
            drawn: false,
        }
    }

    fn tell(&mut self, progress: &Progress, now_ms: u64) {
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

    fn end(&mut self) {
        if std::mem::take(&mut self.drawn) {
            drop(write!(std::io::stderr(), "\r\x1b[K"));
        }
    }
}
