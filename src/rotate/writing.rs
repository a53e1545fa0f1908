//! What a rotation writes: keys into the key store, and each next configuration, first beside the one that is loaded and then in its place.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::{Passed, RotateError, Rotator, key_store, look, render};
use crate::adapters::Node;
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::Held;
use crate::at_rest::Configured;
use crate::domain::{Digest, Fact, KeyId, KeyName, Mode};
use crate::encryption::edit::NewKey;
use crate::encryption::{self, is_name_free, new_key_name};
use crate::events::tell;
use crate::rotation::{self, Edit, Event, Generation, Rotation};

impl Rotator<'_> {
    /// Renders the next configuration and keeps it.
    pub(super) fn render(
        &self,
        held: &Held,
        configured: &Configured,
        rotation: &Rotation,
        chain: &rotation::Chain,
    ) -> Result<Generation, RotateError> {
        let new = self.new_key(&rotation.new)?;
        let bytes = render::to_chain(configured, chain, new.as_ref())?;
        if *chain == rotation.old
            && let Some(found) = self.found_again(rotation, &bytes)
        {
            return Ok(found);
        }
        key_store::keep_config(self.node, held, &bytes)?;
        Ok(Generation::File(Digest::of(&bytes)))
    }

    /// The configuration that the rotation began with, if it says the same as these bytes: what is turned back comes back byte by byte,
    /// with the operator's comments, and a server that never loaded another one is seen to run with it.
    fn found_again(&self, rotation: &Rotation, bytes: &[u8]) -> Option<Generation> {
        let Generation::File(digest) = rotation.found else {
            return None;
        };
        let kept = key_store::config(self.node, digest)
            .inspect_err(|why| {
                let (step, key) = (rotation.goal.to_string(), self.key_told(&rotation.new));
                tell!(
                    ROTATION_TROUBLE,
                    [
                        rotation = rotation.id.as_str(),
                        step = step.as_str(),
                        key = key.as_str()
                    ],
                    "the configuration of before is written anew, not byte by byte: {why}"
                );
            })
            .ok()?;
        let found = encryption::parse(&kept).ok()?;
        (*encryption::write(&found) == bytes).then_some(rotation.found)
    }

    pub(super) fn retain(
        &self,
        held: &Held,
        configured: &Configured,
        keys: &BTreeSet<KeyId>,
    ) -> Result<Passed, RotateError> {
        for key in keys {
            key_store::retain(self.node, held, &configured.config, key)?;
        }
        let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
        Ok(Passed::Did(format!(
            "kept for old snapshots: {}",
            names.join(", ")
        )))
    }

    /// The key's bytes are made after the intent is durable, and are durable themselves before anything names them.
    pub(super) fn store_key(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        rotation: &Rotation,
        key: &KeyId,
    ) -> Result<Passed, RotateError> {
        if !rotation.key_intended {
            self.record(held, journal, Event::KeyIntended { key: key.clone() })?;
        }
        let fingerprint = key_store::make(self.node, held, key)?;
        self.fingerprints.insert(key.clone(), fingerprint);
        Ok(Passed::Did(format!(
            "the key {key} is made and stored, fingerprint {fingerprint}"
        )))
    }

    /// The new key with its bytes; `None` for plaintext.
    fn new_key(&self, id: &KeyId) -> Result<Option<NewKey>, RotateError> {
        match id {
            KeyId::Identity => Ok(Some(NewKey::Identity)),
            KeyId::Key { provider, .. } => {
                let stored = key_store::find(self.node, id)?;
                Ok(stored.map(|key| NewKey::Key {
                    provider: *provider,
                    key,
                }))
            }
        }
    }

    pub(super) fn write(
        &mut self,
        held: &Held,
        rotation: &Rotation,
        configured: &Configured,
        edit: &Edit,
    ) -> Result<Passed, RotateError> {
        let Generation::File(digest) = edit.generation else {
            return Err(RotateError::NotHere(
                "a configuration cannot be taken away yet".to_owned(),
            ));
        };
        rotation.fence(edit, Generation::File(configured.digest))?;
        let bytes = key_store::config(self.node, digest)?;
        look::only_roots(self.node, &configured.file)?;
        // The look may have taken a while.
        if let Some(held_off) = self.held_off() {
            return Ok(held_off);
        }
        self.node.files.replace_at_most(
            held,
            &configured.file,
            configured.digest,
            &bytes,
            Mode::from_bits(0o600),
        )?;
        Ok(Passed::Did(format!(
            "{} is written: stage {}, SHA-256 {}...",
            configured.file,
            edit.stage,
            digest.short()
        )))
    }
}

/// Keeps the configuration as it was found, byte by byte.
pub(super) fn keep_found(node: &Node, held: &Held, configured: &Configured) -> Result<(), RotateError> {
    match node.files.read(&configured.file, encryption::MAX_BYTES) {
        Fact::Known(content) if Digest::of(&content.bytes) == configured.digest => {
            key_store::keep_config(node, held, &Zeroizing::new(content.bytes))
        }
        Fact::Known(_) | Fact::Absent => Err(RotateError::NotHere(format!(
            "{} was changed while it was looked at; look at it again",
            configured.file
        ))),
        Fact::Unknown(why) => Err(RotateError::Unknown(why)),
    }
}

/// A name that neither a key nor a stored value has had.
pub(super) fn unused_name(
    history: &rotation::History,
    configured: &Configured,
) -> Result<KeyName, RotateError> {
    let burnt: Vec<_> = history.burnt.iter().filter_map(name_of).cloned().collect();
    let generation = u64::try_from(history.burnt.len()).unwrap_or(u64::MAX);
    loop {
        let name = new_key_name(generation, random::<4>()?);
        if is_name_free(&name, &configured.config, &burnt) {
            return Ok(name);
        }
    }
}

const fn name_of(key: &KeyId) -> Option<&KeyName> {
    match key {
        KeyId::Identity => None,
        KeyId::Key { name, .. } => Some(name),
    }
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], RotateError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(RotateError::Random)?;
    Ok(bytes)
}
