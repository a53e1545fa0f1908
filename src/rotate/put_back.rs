//! What happens when an API server does not bear the configuration that it was restarted with, or refuses the one that it was to load.

use super::{Passed, RotateError, Rotator, key_store, look};
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::Held;
use crate::observe::at_rest;
use crate::rotation::{Event, Generation};

const REFUSED: &str = "the API server tried to load it again and again and refused it; its log says why";

impl Rotator<'_> {
    /// An API server that loads files by itself goes on with the former configuration: that one goes back, before a restart meets the one
    /// that is refused (F22).
    pub(super) fn refused_at_a_reload(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
    ) -> Result<Passed, RotateError> {
        let told = self.put_back(held, journal, REFUSED)?;
        Ok(Passed::Did(told.unwrap_or_else(|| REFUSED.to_owned())))
    }

    /// The API server does not bear the configuration that it was restarted with: the one before goes back, which reads all that can
    /// have been written meanwhile, since the two are neighbours on the walk. `None` when there is nothing to put back.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_back(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        why: &str,
    ) -> Result<Option<String>, RotateError> {
        let Some(rotation) = journal.state().rotations.rotation.clone() else {
            return Ok(None);
        };
        if rotation.refused.is_none() {
            let Some(node) = rotation.written.keys().next().cloned() else {
                return Ok(None);
            };
            let why = why.to_owned();
            self.record(held, journal, Event::PutBack { node, why })?;
        }
        self.end_put_back(held, journal)
    }

    /// The second half of it, also for one whose first half only was done: what is refused does not stay on the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end_put_back(
        &mut self,
        held: &Held,
        journal: &JournalStore,
    ) -> Result<Option<String>, RotateError> {
        let rotation = journal.state().rotations.rotation.as_ref();
        let Some(rotation) = rotation.filter(|rotation| rotation.refused.is_some()) else {
            return Ok(None);
        };
        let manifest = look::known(at_rest::manifest(self.node))?;
        let configured = look::configuration(self.node, &manifest)?;
        let found = Generation::File(configured.digest);
        let before = rotation.before(found);
        let (Some(Generation::File(before)), true) = (before, rotation.place(found) == Some(rotation.goal))
        else {
            return Ok(None);
        };
        let bytes = key_store::config(self.node, before)?;
        self.node
            .files
            .replace(held, &configured.file, configured.digest, &bytes)?;
        Ok(Some(format!(
            "{} has the configuration of before again, SHA-256 {}...",
            configured.file,
            before.short()
        )))
    }
}
