//! Gives an API server that lost its configuration the same again, with one restart, even while kubeadm runs.

use tracing::info;

use super::encryption::Keeper;
use super::news;
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::Held;
use crate::config::Config;
use crate::journal::{JournalState, Record};
use crate::plan::WithheldReason;
use crate::reconcile;
use crate::rotate::{Brake, Prepared, RotateError, put_in_place};

/// Each time costs a restart of the API server. Somebody who undoes it each time, or a server that does not bear it, is not answered with a
/// chain of them: so often within an hour it is given back at once, and then it rests.
const OFTEN: usize = 3;
const WITHIN_MS: u64 = 3_600_000;
const REST_MS: u64 = 600_000;

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
        info!(MESSAGE_ID = news::ENCRYPTION, "begun: {}", begun.what);
        Ok(())
    }
}
