//! Encryption at rest in the daemon: guards the configuration, walks a rotation that is under way, and begins one when the write key is
//! as old as the operator lets it become. At most one step a pass.

mod alive;
mod telling;

use std::rc::Rc;
use std::time::Duration;

use super::give_back;
use crate::adapters::Node;
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::Held;
use crate::adapters::systemd;
use crate::adapters::wakeups::HintSender;
use crate::apply::{Outcome, Result as Came};
use crate::at_rest::Lost;
use crate::config::{Action, Config, Cut};
use crate::domain::{Component, Digest, Instant, KeyId, NodePath, Provider};
use crate::events::tell;
use crate::journal::{Act, JournalState, KnownEncryption};
use crate::reconcile;
use crate::report::{Standing, Walk};
use crate::rewrite::Progress;
use crate::rotate::status::{self, State, Status};
use crate::rotate::{Answer, Beat, Brake, Guard, Guarded, LEFT_FREE, Pace, Passed, RotateError, Rotator, To};
use crate::rotation::{Consent, Direction, Rotation};
use telling::{Lasting, Stand, tell_of, tell_progress, tell_status};

/// What is awaited takes seconds to minutes.
pub(super) const POLL: Duration = Duration::from_secs(1);
/// What stands still until somebody sees to it is looked at again this often.
pub(super) const PARKED_POLL: Duration = Duration::from_secs(15);
/// What could not be begun is tried again after so long.
pub(super) const RETRY_MS: u64 = 3_600_000;
/// And so soon where only time stands against it.
const SOON_MS: u64 = 5 * 60_000;
const DID_NOT_BEAR: &str = "the API server did not become healthy with it";
/// How often a long step is told.
const TELL_EVERY_MS: u64 = 30_000;

/// What the daemon remembers of encryption at rest between passes; it can all be had again.
pub(super) struct Keeper<'a> {
    pub(super) node: &'a Node,
    pub(super) guard: Guard<'a>,
    rotator: Rotator<'a>,
    /// For what it counts itself.
    pub(super) beat: Beat<'a>,
    /// What was told last of the walk, and of what is awaited.
    lasting: Lasting,
    /// How what is guarded stood at the last look.
    stand: Stand,
    /// On giving the API server its configuration back.
    pub(super) brake: Brake,
    /// The configuration that the API server was restarted for last.
    restarted_for: Option<Digest>,
    /// How the rotation stood at the last look.
    state: Option<State>,
    /// Which way the rotation went at the last look.
    way: Option<(String, Direction)>,
    /// When somebody asked for it last.
    asked_at: Option<u64>,
    /// Until when nothing is begun.
    not_before: u64,
    /// Until when plaintext that nobody rewrites is not counted again.
    pub(super) not_counted_before: u64,
}

/// What a pass of the keeper needs to know.
pub(super) struct Situation<'c> {
    pub(super) config: &'c Config,
    /// Why Holdfast is paused, if it is.
    pub(super) paused: Option<&'c str>,
    /// Files have just changed.
    pub(super) settling: bool,
}

impl Situation<'_> {
    /// Whether what endangers values is mended; why not.
    pub(super) fn acts(&self) -> Result<(), String> {
        match (self.paused, self.config.mode) {
            (Some(why), _) => Err(format!("nothing is done about it: Holdfast is paused: {why}")),
            (None, Action::Enforce) => Ok(()),
            (None, Action::Audit | Action::Off) => Err(
                "nothing is done about it in mode audit: put it back by hand (`holdfast encryption keys` names what is kept), or set \
                 `mode: enforce`"
                    .to_owned(),
            ),
        }
    }
}

impl<'a> Keeper<'a> {
    pub(super) fn new(node: &'a Node, hints: HintSender) -> Result<Self, RotateError> {
        let beat = alive::beat(node);
        Ok(Self {
            node,
            guard: Guard::new(node)?.beating(Rc::clone(&beat)),
            rotator: Rotator::new(node)?.minding(hints).beating(Rc::clone(&beat)),
            beat,
            lasting: Lasting::default(),
            stand: Stand::default(),
            brake: give_back::brake(),
            restarted_for: None,
            state: None,
            way: None,
            asked_at: None,
            not_before: 0,
            not_counted_before: 0,
        })
    }

    /// The folders that must be watched: that of the configuration, and that of requests.
    pub(super) fn folders(&self, known: Option<&KnownEncryption>) -> Vec<NodePath> {
        let of_file = known.and_then(|known| known.file.parent());
        of_file.into_iter().chain(status::requests(self.node)).collect()
    }

    /// How encryption at rest stands, for the metrics.
    pub(super) fn standing(&self, journal: &JournalState) -> Standing {
        let key_writes = |known: &&KnownEncryption| matches!(known.write_key, Some(KeyId::Key { .. }));
        let known = journal.encryption.as_ref().filter(key_writes);
        let walk = |rotation: &Rotation| Walk {
            stage: rotation.goal,
            stands_still: self.state == Some(State::Parked),
            left: self.rotator.runs().left,
        };
        Standing {
            in_flight: journal.in_flight.is_some(),
            endangered: self.stand.is_endangered(),
            unwatched: self.stand.is_unwatched(),
            plaintext_owed: journal.plaintext_owed,
            load_owed: journal.load_owed.is_some(),
            write_key_since: known.map(|known| known.writes_since.wall),
            rotation: journal.rotations.rotation.as_ref().map(walk),
        }
    }

    /// How many values its rotations rewrote.
    pub(super) const fn rewritten(&self) -> u64 {
        self.rotator.runs().rewritten
    }

    /// Guards the configuration. True when values are in danger, or may be: then nothing else is begun that restarts a component.
    pub(super) fn guard(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        situation: &Situation<'_>,
    ) -> bool {
        // To count what is stored takes its time.
        super::tell_systemd(systemd::watchdog());
        let before = journal.state().encryption.clone();
        let guarded = self
            .guard
            .look(held, journal, situation.acts(), situation.settling);
        let now = journal.state().encryption.clone();
        let file = now.as_ref().or(before.as_ref()).map(|known| &known.file);
        match guarded {
            Ok(Guarded::Unjudged) => {}
            Ok(Guarded::InOrder) => self.tell_in_order(now.as_ref()),
            Ok(Guarded::Adopted(known)) => self.adopted(&known),
            Ok(Guarded::Unwatched { file, why }) => self.tell_stand(Stand::Unwatched(why), file.as_ref()),
            Ok(Guarded::Changed(differences)) => self.tell_stand(Stand::Changed(differences), file),
            Ok(Guarded::Forgotten(why)) => {
                self.stand = Stand::InOrder;
                tell!(
                    ENCRYPTION_ENDANGERED,
                    [path = file.map(NodePath::as_str)],
                    "encryption at rest was changed, and what it was before cannot be told: {why}. What is there is watched from now on; \
                     `holdfast encryption verify` says whether every value is readable"
                );
            }
            Ok(Guarded::Unproven { differences, why }) => {
                let told = format!(
                    "encryption at rest was changed, and whether stored values need what went cannot be told: {}. {why}",
                    differences.join("; ")
                );
                self.tell_stand(Stand::Endangered(told), file);
            }
            Ok(Guarded::Endangered {
                differences,
                lost,
                answer,
            }) => {
                let what = what_is_endangered(&differences, &lost);
                self.answer(held, journal, situation.config, (&what, file), answer);
            }
            Err(why) => self.tell_stand(Stand::Unguarded(why.to_string()), file),
        }
        self.stand.is_endangered()
    }

    /// While nothing is in flight and no value in danger, takes one step of a rotation; when to look again.
    pub(super) fn pass(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        situation: &Situation<'_>,
        endangered: bool,
    ) -> Option<Duration> {
        if journal.state().in_flight.is_some() {
            return None;
        }
        if endangered {
            return Some(POLL);
        }
        let now = self.node.clock.now().since_boot_ms;
        let rests = now < self.not_before || now < self.not_counted_before;
        let again = self.go_on(held, journal, situation).unwrap_or_else(|why| {
            self.tell_trouble(journal.state(), &why);
            Some(POLL)
        });
        self.lasting.passed(rests);
        again
    }

    fn adopted(&mut self, known: &KnownEncryption) {
        self.stand = Stand::InOrder;
        let who = known
            .write_key
            .as_ref()
            .map_or_else(|| "several keys".to_owned(), ToString::to_string);
        tell!(
            ENCRYPTION_WATCHED,
            [path = known.file.as_str()],
            "encryption at rest is watched from now on: {}, {who} writes",
            known.file
        );
    }

    fn answer(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        config: &Config,
        (what, file): (&str, Option<&NodePath>),
        answer: Answer,
    ) {
        let what_is_done = match answer {
            Answer::Mended(how) => {
                self.stand = Stand::InOrder;
                tell!(
                    ENCRYPTION_ENDANGERED,
                    [path = file.map(NodePath::as_str)],
                    "{what}. Mended: {how}"
                );
                return;
            }
            Answer::Left(why) => why,
            Answer::GiveBack(prepared) => {
                let given = self.give_back(held, journal, config, &prepared);
                given.map_or_else(
                    |why| why.to_string(),
                    |()| "kube-apiserver is given its configuration back".to_owned(),
                )
            }
        };
        self.tell_stand(Stand::Endangered(format!("{what}. {what_is_done}")), file);
    }

    /// Walks a rotation, or begins one that is due.
    fn go_on(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        situation: &Situation<'_>,
    ) -> Result<Option<Duration>, RotateError> {
        if let Some(digest) = journal.state().load_owed
            && situation.acts().is_ok()
        {
            return self.load(held, journal, situation.config, digest);
        }
        if let Some(rotation) = journal.state().rotations.rotation.clone() {
            return self.walk(held, journal, situation.config, &rotation);
        }
        if let Some((_, direction)) = self.way.take() {
            // What the next one asks for is another restart.
            self.restarted_for = None;
            if direction == Direction::Back && journal.state().plaintext_owed {
                // Who turned it back had a reason.
                self.not_before = self.node.clock.now().since_boot_ms + RETRY_MS;
                self.tell_waiting(
                    journal.state(),
                    "values may still be in plaintext from when kube-apiserver had lost its configuration; they are counted and rewritten \
                     in an hour, or by `holdfast encryption rotate`",
                );
            }
        }
        let Some(known) = journal.state().encryption.clone() else {
            return Ok(None);
        };
        let now = self.node.clock.now();
        let acts = situation.config.mode == Action::Enforce && situation.paused.is_none();
        if journal.state().plaintext_owed && !acts {
            return self.count_plaintext(held, journal, &known);
        }
        if !acts || now.since_boot_ms < self.not_before {
            return Ok(None);
        }
        if journal.state().plaintext_owed {
            return self.rewrite_plaintext(held, journal, situation.config, &known);
        }
        let every = situation.config.encryption.rotate_every;
        if every.is_some_and(|every| is_due(&known, &now, every)) {
            let why = "the write key is as old as encryption.rotateEvery lets it become";
            self.begin(held, journal, situation.config, &known, why)?;
            return Ok(Some(POLL));
        }
        Ok(None)
    }

    /// Begins a rotation; false when the API server has to be restarted before that, which is begun.
    pub(super) fn begin(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        config: &Config,
        known: &KnownEncryption,
        why: &str,
    ) -> Result<bool, RotateError> {
        let provider = match &known.write_key {
            Some(KeyId::Key { provider, .. }) => *provider,
            Some(KeyId::Identity) | None => Provider::Aescbc,
        };
        let cut = match config.encryption.cut {
            Cut::Auto => Consent::Auto,
            Cut::Ask => Consent::Ask,
        };
        let begun = self.rotator.begin(held, journal, To::NewKey(provider), cut);
        let begun = match begun {
            Ok(begun) => begun,
            Err(RotateError::RestartFirst(digest)) => {
                let (state, what, remedy, _) = self.restart(held, journal, config, digest)?;
                if journal.state().in_flight.is_none() {
                    // A window for restarts may be shorter than an hour.
                    let wait = if state == State::Waiting {
                        SOON_MS
                    } else {
                        RETRY_MS
                    };
                    self.not_before = self.node.clock.now().since_boot_ms + wait;
                }
                self.tell(&format!("{why}; before a rotation: {what} {remedy}"), |what| {
                    tell!(ROTATION_PROGRESS, [], "{what}");
                });
                return Ok(false);
            }
            Err(error) => {
                self.not_before = self.node.clock.now().since_boot_ms + RETRY_MS;
                return Err(error);
            }
        };
        let key = self.key_of(&begun);
        tell_of!(
            ROTATION_BEGUN,
            Some(&begun),
            Some(&key),
            "rotation {} is begun, from {} to {}: {why}",
            begun.id,
            begun.old,
            begun.new
        );
        Ok(true)
    }

    fn walk(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        config: &Config,
        rotation: &Rotation,
    ) -> Result<Option<Duration>, RotateError> {
        let way = Some((rotation.id.clone(), rotation.direction));
        let asked_at = status::asked(self.node, rotation).map(|request| request.since_boot_ms);
        if self.way != way || self.asked_at != asked_at {
            self.rotator.forget();
            self.state = None;
            self.way = way;
            self.asked_at = asked_at;
        }
        // Who restarted the API server may have been killed before it put the former configuration back.
        let told = if journal.state().load_refused {
            self.rotator.put_back(held, journal, DID_NOT_BEAR)?
        } else {
            self.rotator.end_put_back(held, journal)?
        };
        if let Some(told) = told {
            self.restarted_for = None;
            self.tell_stopped(journal.state().rotations.rotation.as_ref(), &told);
        }
        let node = self.node;
        let key = self.key_of(rotation);
        let mut told_ms = node.clock.now().since_boot_ms;
        let mut rewrote = false;
        let mut tell = |progress: &Progress| {
            rewrote = true;
            super::tell_systemd(systemd::watchdog());
            let now = Status::of(node, rotation, State::Working, status::REWRITING, None).with(progress);
            if now.since_boot_ms.saturating_sub(told_ms) >= TELL_EVERY_MS {
                told_ms = now.since_boot_ms;
                tell_progress(rotation, &key, progress);
            }
            tell_status(status::publish(node, held, &now));
        };
        let passed = self.rotator.pass(held, journal, Pace::default(), &mut tell);
        let asks = matches!(passed, Ok(Passed::Asks(_)));
        let (state, what, remedy, again) = match (status::words(&passed), passed) {
            (_, Ok(Passed::Restart(digest))) => self.restart(held, journal, config, digest)?,
            (Some((state, what, remedy)), _) => {
                let again = match state {
                    // A command may wait for the lock.
                    State::Working if rewrote => Some(LEFT_FREE),
                    State::Working => Some(Duration::ZERO),
                    State::Waiting => Some(POLL),
                    State::Parked => Some(PARKED_POLL),
                    State::Ended => None,
                };
                (state, what, remedy, again)
            }
            (None, _) => return Ok(None),
        };
        tell_status(status::publish(
            node,
            held,
            &Status::of(node, rotation, state, &what, Some(&remedy)),
        ));
        // The step may have set out for another stage, or have been the last one.
        let now = journal.state().rotations.rotation.as_ref();
        self.tell_step(now.unwrap_or(rotation), (state, asks), &what, &remedy);
        self.state = Some(state);
        Ok(again)
    }

    /// Begins the restart by which the API server loads its configuration; the next passes carry it on.
    fn restart(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        config: &Config,
        digest: Digest,
    ) -> Result<(State, String, String, Option<Duration>), RotateError> {
        if self.restarted_for == Some(digest) {
            let why = "the API server was restarted, and still does not run with the configuration that is on the disk";
            let remedy = "see which file its --encryption-provider-config names, and what is mounted there";
            return Ok((
                State::Parked,
                why.to_owned(),
                remedy.to_owned(),
                Some(PARKED_POLL),
            ));
        }
        let rotation = journal.state().rotations.rotation.as_ref();
        let any_time = rotation
            .and_then(|rotation| status::asked(self.node, rotation))
            .is_some_and(|request| request.any_time);
        let component = Component::ApiServer;
        let looked = reconcile::look_for_bounce(self.node, config, journal.state(), component, any_time);
        let plan = match looked {
            Ok(plan) => plan,
            Err(why) => {
                let told =
                    format!("the API server must be restarted to load its configuration, and is not: {why}");
                return Ok(if why.is_temporary() {
                    (State::Waiting, told, String::new(), Some(POLL))
                } else {
                    (State::Parked, told, "see to that".to_owned(), Some(PARKED_POLL))
                });
            }
        };
        let begun = reconcile::begin(self.node, held, journal, &plan.change)?;
        self.restarted_for = Some(digest);
        Ok((State::Working, begun.what, String::new(), Some(Duration::ZERO)))
    }

    /// What came of a restart that was to load a configuration: one that the API server does not bear gives way to the one before.
    pub(super) fn restarted(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        outcomes: &[Outcome],
    ) -> Result<(), RotateError> {
        let refused = |last: &Outcome| matches!(last.result, Came::Refused { .. } | Came::Stuck { .. });
        if journal.state().rotations.rotation.is_none() || !outcomes.last().is_some_and(refused) {
            return Ok(());
        }
        if let Some(told) = self.rotator.put_back(held, journal, DID_NOT_BEAR)? {
            self.restarted_for = None;
            let rotation = journal.state().rotations.rotation.as_ref();
            self.tell_stopped(rotation, &format!("{DID_NOT_BEAR}: {told}"));
        }
        Ok(())
    }
}

fn what_is_endangered(differences: &[String], lost: &[Lost]) -> String {
    let needed: Vec<String> = lost.iter().map(ToString::to_string).collect();
    let needed = if needed.is_empty() {
        "a rotation under way needs it".to_owned()
    } else {
        format!("stored values need what is gone: {}", needed.join(", "))
    };
    format!(
        "encryption at rest was changed, and {needed}. {}",
        differences.join("; ")
    )
}

/// True when the change in flight restarts the API server as a rotation asked.
pub(super) fn is_to_load(journal: &JournalState) -> bool {
    let bounces = |act: &Act| matches!(act, Act::Bounce(bounce) if bounce.component == Component::ApiServer);
    journal.rotations.rotation.is_some()
        && journal
            .in_flight
            .as_ref()
            .is_some_and(|begun| bounces(&begun.act))
}

/// True when a key is to be replaced. Within one boot by the boot clock, which nobody can set; a wall clock that has jumped between two
/// boots costs one rotation, or delays one (F9). What is stored in plaintext on purpose stays so.
fn is_due(known: &KnownEncryption, now: &Instant, every: Duration) -> bool {
    let aged = || {
        let aged = now.wall.duration_since(known.writes_since.wall);
        Duration::try_from(aged).unwrap_or(Duration::ZERO)
    };
    let has_key = matches!(known.write_key, Some(KeyId::Key { .. }));
    has_key && now.elapsed_since(&known.writes_since).unwrap_or_else(aged) >= every
}

#[cfg(test)]
#[path = "encryption_tests.rs"]
mod tests;
