//! A rotation that the daemon walks: it is handed over by the journal and a request file, and followed by the status file.

use std::time::Duration;

use super::say;
use super::setup::CliError;
use super::walk::{Meter, Once, Walk, tell_stopped, with_journal};
use crate::adapters::journal_store::JournalStore;
use crate::adapters::wakeups::Wake;
use crate::daemon;
use crate::report::ExitClass;
use crate::rewrite::Progress;
use crate::rotate::status::{self, Request, State, Status};
use crate::rotation::Rotation;

/// How often the status is looked at.
const POLL: Duration = Duration::from_millis(250);
/// A daemon that says nothing for so long has something else to do first: it mends what endangers values, or restarts the API server.
const SILENCE_MS: u64 = 60_000;

/// Hands the rotation over.
fn ask(walk: &Walk<'_>, rotation: &Rotation, now_ms: u64) -> Result<(), CliError> {
    let node = &walk.setup.node;
    with_journal(node, |held, _| {
        let request = Request {
            rotation: rotation.id.clone(),
            any_time: walk.any_time,
            since_boot_ms: now_ms,
        };
        Ok(status::ask(node, held, &request).map_err(Box::new)?)
    })
}

/// Follows the daemon until the rotation is over or stands still; `None` when no daemon walks it.
pub(super) fn follow(walk: &Walk<'_>) -> Result<Option<ExitClass>, CliError> {
    let node = &walk.setup.node;
    let journal = || JournalStore::peek(&node.files, &node.layout);
    let Some(rotation) = journal()?.rotations.rotation else {
        return Ok(None);
    };
    if !daemon::is_running(node) {
        return Ok(None);
    }
    let begun = node.clock.now().since_boot_ms;
    ask(walk, &rotation, begun)?;
    say("The daemon walks it; this command only follows.\n")?;
    let mut once = Once::default();
    let mut meter = Meter::new();
    let mut heard = begun;
    loop {
        let history = journal()?.rotations;
        if history.rotation.is_none_or(|now| now.id != rotation.id) {
            meter.end();
            let ended = history.last.filter(|last| last.id == rotation.id);
            return match ended {
                Some(ended) => walk.ended(ended.outcome).map(Some),
                None => Ok(Some(ExitClass::Drift)),
            };
        }
        let now = node.clock.now().since_boot_ms;
        let told = status::published(node)
            .filter(|told| told.rotation == rotation.id && told.since_boot_ms >= begun);
        if let Some(told) = told {
            heard = heard.max(told.since_boot_ms);
            if let Some(class) = tell(&told, now, &mut once, &mut meter)? {
                return Ok(Some(class));
            }
        }
        if now.saturating_sub(heard) > SILENCE_MS {
            heard = now;
            meter.end();
            once.say(
                "... the daemon, which has something else to do first: `journalctl -u holdfast` says what",
            )?;
        }
        if !daemon::is_running(node) {
            meter.end();
            say("No daemon walks it any more; this command goes on with it.\n")?;
            return Ok(None);
        }
        if walk.setup.interrupts.wait(POLL) == Wake::Terminate {
            meter.end();
            say(
                "This command ends, and the daemon goes on: `holdfast encryption status` tells how far it is, \
                 `holdfast encryption abort` turns it back.\n",
            )?;
            return Ok(Some(ExitClass::Drift));
        }
    }
}

/// Tells what is new; `Some` when it stands still until the operator has seen to it.
fn tell(told: &Status, now: u64, once: &mut Once, meter: &mut Meter) -> Result<Option<ExitClass>, CliError> {
    if let (Some(done), Some(rate)) = (told.done, told.rate) {
        let progress = Progress {
            done,
            rate,
            total: told.total,
            ..Progress::default()
        };
        meter.tell(&progress, now);
        return Ok(None);
    }
    meter.end();
    match told.state {
        State::Working => once.say(&told.what)?,
        State::Waiting => once.say(&format!("... {}", told.what))?,
        State::Parked => {
            let remedy = told.remedy.as_deref().unwrap_or("see to that");
            return tell_stopped(&told.what, remedy).map(Some);
        }
        State::Ended => {}
    }
    Ok(None)
}
