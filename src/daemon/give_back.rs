//! The restarts by which an API server comes to what stored values need: it is given back the configuration that its manifest lost, even while
//! kubeadm runs, loads a file that was put back and that
//! it does not look at again by itself, and what it wrote in plaintext meanwhile is rewritten.

use std::time::Duration;

use super::encryption::{Keeper, PARKED_POLL, POLL, RETRY_MS, Situation};
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::Held;
use crate::config::Config;
use crate::domain::Digest;
use crate::events::tell;
use crate::journal::{JournalState, KnownEncryption, Record};
use crate::plan::WithheldReason;
use crate::reconcile;
use crate::rotate::{Brake, Prepared, RotateError, plaintext_among_encrypted, put_in_place};

/// Each time costs a restart of the API server. Somebody who undoes it each time, or a server that does not bear it, is not answered with a
/// chain of them: so often within an hour it is given back at once, and then it rests.
const OFTEN: usize = 3;
const WITHIN_MS: u64 = 3_600_000;
const REST_MS: u64 = 600_000;
/// What could not be counted is counted again after so long.
const COUNT_AGAIN_MS: u64 = 14_000;

pub(super) const fn brake() -> Brake {
    Brake::new(OFTEN, WITHIN_MS, REST_MS)
}

impl Keeper<'_> {
    pub(super) fn give_back(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        config: &Config,
        prepared: &Prepared,
    ) -> Result<(), RotateError> {
        let node = self.node;
        let look = |journal: &JournalState, written| {
            reconcile::look_for_enable(node, config, journal, &prepared.wanted, true, written)
        };
        let withheld = |why: WithheldReason| {
            RotateError::NotHere(format!(
                "kube-apiserver is not given its configuration back yet: {why}"
            ))
        };
        // It writes in plaintext whoever gives it its flag back, and when.
        if !journal.state().plaintext_owed {
            let owed = Record::PlaintextOwed { owed: true };
            journal.append(held, node.clock.now(), owed)?;
        }
        look(journal.state(), prepared.is_written()).map_err(withheld)?;
        if self.brake.rests(node.clock.now().since_boot_ms) {
            return Err(RotateError::NotHere(format!(
                "kube-apiserver was given its configuration back {OFTEN} times within an hour, and has lost it again, or did not start with it; \
                 it is given back again after {} min. Find out who takes it away, or why it does not start",
                REST_MS / 60_000
            )));
        }
        put_in_place(node, held, journal, prepared)?;
        let change = look(journal.state(), true).map_err(withheld)?;
        let begun = reconcile::begin(node, held, journal, &change)?;
        self.brake.done(node.clock.now().since_boot_ms);
        tell!(
            ENCRYPTION_MENDED,
            [path = prepared.wanted.file.as_str()],
            "begun: {}",
            begun.what
        );
        Ok(())
    }

    /// True when the API server is to be restarted for a file that was put back, and may be: nothing else is restarted before.
    pub(super) fn owes_load(&self, journal: &JournalState, situation: &Situation<'_>) -> bool {
        journal.load_owed.is_some() && situation.acts().is_ok()
    }

    /// Restarts the API server for a file that was put back, whatever the hour. The end of a restart settles it.
    pub(super) fn load(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        config: &Config,
        digest: Digest,
    ) -> Result<Option<Duration>, RotateError> {
        let node = self.node;
        let known = journal.state().encryption.clone();
        let is_needed = known.as_ref().is_some_and(|known| {
            // One that sees the file alone may run with this, and load the edit at its next look.
            known.digest == digest && (known.mounted_alone || !self.guard.runs(digest))
        });
        if !is_needed {
            journal.append(held, node.clock.now(), Record::LoadOwed { owed: None })?;
            return Ok(Some(Duration::ZERO));
        }
        let told = |why: &str| {
            format!("kube-apiserver must be restarted to load what was put back, and is not yet: {why}")
        };
        if self.brake.rests(node.clock.now().since_boot_ms) {
            let why = format!(
                "it was restarted {OFTEN} times within an hour; that goes on after {} min. Find out who writes its configuration",
                REST_MS / 60_000
            );
            self.tell_waiting(journal.state(), &told(&why));
            return Ok(Some(PARKED_POLL));
        }
        let plan = match reconcile::look_for_load(node, config, journal.state()) {
            Ok(plan) => plan,
            Err(why) => {
                self.tell_waiting(journal.state(), &told(&why.to_string()));
                return Ok(Some(if why.is_temporary() { POLL } else { PARKED_POLL }));
            }
        };
        let begun = reconcile::begin(node, held, journal, &plan.change)?;
        self.brake.done(node.clock.now().since_boot_ms);
        if let Some(why) = begun.failed() {
            self.tell_waiting(journal.state(), &told(why));
            return Ok(Some(POLL));
        }
        tell!(
            ENCRYPTION_MENDED,
            [path = known.as_ref().map(|known| known.file.as_str())],
            "begun: {}, which loads what was put back",
            begun.what
        );
        Ok(Some(Duration::ZERO))
    }

    /// What an API server without its configuration wrote in plaintext is counted and, if there is any, rewritten under a new key.
    pub(super) fn rewrite_plaintext(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        config: &Config,
        known: &KnownEncryption,
    ) -> Result<Option<Duration>, RotateError> {
        let Some(values) = self.counted_plaintext(held, journal, known)? else {
            return Ok(Some(POLL));
        };
        if values == 0 {
            return Ok(Some(Duration::ZERO));
        }
        // It is owed until none is counted, however the rotation ends.
        self.begin(held, journal, config, known, &in_plaintext(values))?;
        Ok(Some(POLL))
    }

    /// The same where nothing may be done about it: what is counted is told once an hour.
    pub(super) fn count_plaintext(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        known: &KnownEncryption,
    ) -> Result<Option<Duration>, RotateError> {
        let now = self.node.clock.now().since_boot_ms;
        if now < self.not_counted_before {
            return Ok(None);
        }
        // Also where it cannot be counted.
        self.not_counted_before = now.saturating_add(COUNT_AGAIN_MS);
        let Some(values) = self.counted_plaintext(held, journal, known)? else {
            return Ok(Some(PARKED_POLL));
        };
        if values == 0 {
            return Ok(Some(Duration::ZERO));
        }
        self.not_counted_before = now.saturating_add(RETRY_MS);
        tell!(
            PLAINTEXT,
            [path = known.file.as_str()],
            "{}, and the daemon rewrites them only in mode enforce and unless it is paused: `holdfast encryption rotate` rewrites them under a \
             new key",
            in_plaintext(values)
        );
        Ok(None)
    }

    /// How many values are in plaintext that should not be; none settles what is owed. `None` while more may be written.
    fn counted_plaintext(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        known: &KnownEncryption,
    ) -> Result<Option<u64>, RotateError> {
        if let Some(why) = self.guard.writes_plaintext() {
            let told =
                format!("kube-apiserver may still write plaintext, which is counted when it does not: {why}");
            self.tell(&told, |told| {
                tell!(ENCRYPTION_COUNTED_LATER, [path = known.file.as_str()], "{told}");
            });
            return Ok(None);
        }
        let values = plaintext_among_encrypted(self.node, &*self.beat)?;
        if values == 0 {
            let settled = Record::PlaintextOwed { owed: false };
            journal.append(held, self.node.clock.now(), settled)?;
            tell!(
                ENCRYPTION_IN_ORDER,
                [path = known.file.as_str()],
                "no value is in plaintext from when kube-apiserver had lost its configuration. Where {} reads plaintext, it does so until a \
                 rotation takes that out (`holdfast encryption rotate`)",
                known.file
            );
        }
        Ok(Some(values))
    }
}

fn in_plaintext(values: u64) -> String {
    format!("{values} value(s) were written in plaintext while kube-apiserver had lost its configuration")
}
