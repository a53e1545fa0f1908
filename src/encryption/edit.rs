//! The edits that a rotation makes, each a new configuration. None of them can lose a key or make a key write by accident:
//! adding never writes, promoting keeps all keys, removing never takes the write key.
//!
//! An edit changes the flat order of keys and groups it anew: neighbours of one provider share an element, so that an order which
//! interleaves providers has several elements of one type, which upstream allows. Entries that are not chosen, and all entries with
//! KMS, stay as they are.

use std::collections::BTreeSet;

use super::config::{EncryptionConfig, Entry, Link, NamedKey, ProviderEntry};
use crate::domain::{KeyId, Provider};

/// A key to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewKey {
    /// Plaintext: for the way back to it.
    Identity,
    /// A key of a provider.
    Key {
        /// The provider.
        provider: Provider,
        /// The key.
        key: NamedKey,
    },
}

/// Why an edit is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// No entry was chosen.
    #[error("no entry of the encryption configuration is chosen")]
    NothingChosen,
    /// The configuration has fewer entries.
    #[error("the encryption configuration has no entry {0}")]
    NoSuchEntry(usize),
    /// The entry uses KMS.
    #[error("entry {0} of the encryption configuration uses KMS and is left alone")]
    HasKms(usize),
    /// The key is there already.
    #[error("entry {entry} of the encryption configuration has the key {key} already")]
    AlreadyThere {
        /// The entry.
        entry: usize,
        /// The key.
        key: KeyId,
    },
    /// The key is not there.
    #[error("entry {entry} of the encryption configuration has no key {key}")]
    NotThere {
        /// The entry.
        entry: usize,
        /// The key.
        key: KeyId,
    },
    /// The same name stands for other bytes, so that nobody can tell which of them a stored value needs.
    #[error(
        "the name of the key {0} stands for two different keys; give one of them another name by hand, keeping both"
    )]
    Ambiguous(KeyId),
    /// Removing it would make another key the write key.
    #[error("the key {key} is the write key of entry {entry}; another must write before it can go")]
    IsWriteKey {
        /// The entry.
        entry: usize,
        /// The key.
        key: KeyId,
    },
}

/// A key in the flat order.
type Owned = (KeyId, NewKey);

impl NewKey {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        match self {
            Self::Identity => KeyId::Identity,
            Self::Key { provider, key } => key.id(*provider),
        }
    }
}

impl EncryptionConfig {
    /// C0 to C1: the key becomes the second of each chosen entry, right after the write key. It reads and cannot write.
    ///
    /// # Errors
    ///
    /// When an entry has the key already or cannot be edited, or its name is taken by other bytes anywhere.
    pub fn with_read_key(&self, entries: &BTreeSet<usize>, new: &NewKey) -> Result<Self, EditError> {
        let id = new.id();
        if let NewKey::Key { provider, key } = new {
            let taken = self
                .keys()
                .any(|(other, known)| other == *provider && known.name == key.name && known != key);
            if taken {
                return Err(EditError::Ambiguous(id));
            }
        }
        self.edited(entries, |entry, mut chain| {
            if position(&chain, &id).is_some() {
                return Err(EditError::AlreadyThere {
                    entry,
                    key: id.clone(),
                });
            }
            chain.insert(chain.len().min(1), (id.clone(), new.clone()));
            Ok(chain)
        })
    }

    /// C1 to C2, or back from C2: the key becomes the first of each chosen entry, and so the write key; the others keep their order.
    ///
    /// # Errors
    ///
    /// When an entry does not have the key or cannot be edited, or the key's name is ambiguous.
    pub fn promoted(&self, entries: &BTreeSet<usize>, id: &KeyId) -> Result<Self, EditError> {
        self.refuse_ambiguous(id)?;
        self.edited(entries, |entry, mut chain| {
            let not_there = || EditError::NotThere {
                entry,
                key: id.clone(),
            };
            let first = position(&chain, id).ok_or_else(not_there)?;
            let key = chain.remove(first);
            // The same key again, with the same bytes, says nothing more.
            chain.retain(|(other, _)| other != id);
            chain.insert(0, key);
            Ok(chain)
        })
    }

    /// C2 to C3, or C1 back to C0: the chosen entries no longer have the key. It must not be the write key.
    ///
    /// # Errors
    ///
    /// When an entry does not have the key, writes with it or cannot be edited, or the key's name is ambiguous.
    pub fn without(&self, entries: &BTreeSet<usize>, id: &KeyId) -> Result<Self, EditError> {
        self.refuse_ambiguous(id)?;
        self.edited(entries, |entry, mut chain| match position(&chain, id) {
            None => Err(EditError::NotThere {
                entry,
                key: id.clone(),
            }),
            Some(0) => Err(EditError::IsWriteKey {
                entry,
                key: id.clone(),
            }),
            Some(_) => {
                chain.retain(|(other, _)| other != id);
                Ok(chain)
            }
        })
    }

    fn refuse_ambiguous(&self, id: &KeyId) -> Result<(), EditError> {
        let mut same = self
            .keys()
            .filter_map(|(provider, key)| (key.id(provider) == *id).then_some(key));
        let first = same.next();
        if same.any(|other| Some(other) != first) {
            return Err(EditError::Ambiguous(id.clone()));
        }
        Ok(())
    }

    fn edited(
        &self,
        entries: &BTreeSet<usize>,
        edit: impl Fn(usize, Vec<Owned>) -> Result<Vec<Owned>, EditError>,
    ) -> Result<Self, EditError> {
        if entries.is_empty() {
            return Err(EditError::NothingChosen);
        }
        let mut after = self.clone();
        for &index in entries {
            let entry = after
                .entries
                .get_mut(index)
                .ok_or(EditError::NoSuchEntry(index))?;
            let chain = flat(entry).ok_or(EditError::HasKms(index))?;
            entry.providers = grouped(edit(index, chain)?);
        }
        Ok(after)
    }
}

fn position(chain: &[Owned], id: &KeyId) -> Option<usize> {
    chain.iter().position(|(other, _)| other == id)
}

/// The flat order of an entry's keys; none with KMS.
fn flat(entry: &Entry) -> Option<Vec<Owned>> {
    let owned = |link: Link<'_>| {
        let key = match link {
            Link::Identity => NewKey::Identity,
            Link::Key { provider, key } => NewKey::Key {
                provider,
                key: key.clone(),
            },
            Link::Kms(_) => return None,
        };
        Some((key.id(), key))
    };
    entry.links().map(owned).collect()
}

/// Elements that have this flat order, neighbours of one provider together.
fn grouped(chain: Vec<Owned>) -> Vec<ProviderEntry> {
    let mut elements: Vec<ProviderEntry> = Vec::new();
    for (_, key) in chain {
        match (elements.last_mut(), key) {
            (Some(ProviderEntry::Keys { provider, keys }), NewKey::Key { provider: same, key })
                if *provider == same =>
            {
                keys.push(key);
            }
            (_, NewKey::Key { provider, key }) => elements.push(ProviderEntry::Keys {
                provider,
                keys: vec![key],
            }),
            (_, NewKey::Identity) => elements.push(ProviderEntry::Identity),
        }
    }
    elements
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
