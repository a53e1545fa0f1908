//! What became of encryption at rest since it was last found in order: what differs, which keys that stored values need are no longer
//! read, and what would make them readable again. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Configured;
use crate::census::{Census, Held, Resource};
use crate::domain::{Digest, GroupResource, KeyId, NodePath, Reason};
use crate::encryption::edit::NewKey;
use crate::encryption::{EncryptionConfig, Entry, Link, ResourcePattern, SharedChain};

/// How the API server's manifest and its configuration stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Present {
    /// The manifest names a configuration, and this is it.
    As(Box<Configured>),
    /// The manifest names none: the API server writes plaintext, and reads nothing else.
    NoFlag,
    /// The manifest names one that is not mounted from the node: the API server does not start.
    NotMounted {
        /// Its path in the container.
        inside: NodePath,
    },
    /// The file is not there.
    NoFile {
        /// Where it should be.
        file: NodePath,
    },
    /// The file is no configuration.
    Refused {
        /// The file.
        file: NodePath,
        /// Of its bytes.
        digest: Digest,
        /// Why.
        why: String,
    },
    /// It cannot be told.
    Unknown(Reason),
}

impl Present {
    /// The configuration, if there is one.
    #[must_use]
    pub fn config(&self) -> Option<&EncryptionConfig> {
        match self {
            Self::As(configured) => Some(&configured.config),
            Self::NoFlag
            | Self::NotMounted { .. }
            | Self::NoFile { .. }
            | Self::Refused { .. }
            | Self::Unknown(_) => None,
        }
    }

    /// True when it is the manifest that does not lead to the configuration.
    #[must_use]
    pub const fn is_of_manifest(&self) -> bool {
        matches!(self, Self::NoFlag | Self::NotMounted { .. })
    }
}

/// Stored values that need a key which is no longer read for their resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lost {
    /// Of which resource.
    pub resource: GroupResource,
    /// The key.
    pub key: KeyId,
    /// How many.
    pub values: u64,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} under {}", self.values, self.resource, self.key)
    }
}

/// What makes the values readable again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// The former bytes: they read all that can have been written since.
    PutBack,
    /// Another configuration, which reads all that either can have written.
    Write(EncryptionConfig),
    /// Nothing that is certain not to lose others.
    ByHand(String),
}

/// What differs, one thing a line, by key names and fingerprints.
#[must_use]
pub fn differences(known: &Configured, present: &Present) -> Vec<String> {
    match present {
        Present::As(now) => of_files(known, now),
        Present::NoFlag => vec![
            "kube-apiserver's manifest has lost --encryption-provider-config: what it writes is in plaintext, and it can read nothing that is encrypted"
                .to_owned(),
        ],
        Present::NotMounted { inside } => vec![format!(
            "kube-apiserver's manifest no longer mounts {inside}, its --encryption-provider-config: it does not start again"
        )],
        Present::NoFile { file } => vec![format!("{file} is gone: kube-apiserver does not start again")],
        Present::Refused { file, why, .. } => vec![format!(
            "{file} is no configuration any more: {why}; kube-apiserver does not start again"
        )],
        Present::Unknown(why) => vec![format!("what kube-apiserver is told to encrypt is not known: {why}")],
    }
}

fn of_files(known: &Configured, now: &Configured) -> Vec<String> {
    let mut told = Vec::new();
    if known.file != now.file {
        told.push(format!("{} is used instead of {}", now.file, known.file));
    }
    if known.mounted_alone != now.mounted_alone {
        told.push(if now.mounted_alone {
            "the file is mounted singly now: the API server sees a new one only when it starts".to_owned()
        } else {
            "the file's folder is mounted now, not the file alone".to_owned()
        });
    }
    if known.reload != now.reload {
        let how = if now.reload { "on" } else { "off" };
        told.push(format!("automatic reload was turned {how}"));
    }
    let (before, after) = (fingerprints(&known.config), fingerprints(&now.config));
    for (key, fingerprint) in &before {
        match after.get(key) {
            None => told.push(format!("{key} is gone")),
            Some(other) if other != fingerprint => told.push(format!(
                "{key} has other bytes: fingerprint {other}, it was {fingerprint}"
            )),
            Some(_) => {}
        }
    }
    for (key, fingerprint) in after.iter().filter(|(key, _)| !before.contains_key(key)) {
        let shown = if fingerprint.is_empty() {
            String::new()
        } else {
            format!(", fingerprint {fingerprint}")
        };
        told.push(format!("{key} was added{shown}"));
    }
    told.extend(of_writers(&known.config, &now.config));
    let (covered, covers) = (patterns(&known.config), patterns(&now.config));
    told.extend(
        covered
            .difference(&covers)
            .map(|one| format!("{one} is no longer covered")),
    );
    told.extend(
        covers
            .difference(&covered)
            .map(|one| format!("{one} is covered now")),
    );
    if told.is_empty() && known.digest != now.digest {
        told.push(format!(
            "{} has other bytes, and says the same or has its keys in another order",
            now.file
        ));
    }
    told
}

fn of_writers(known: &EncryptionConfig, now: &EncryptionConfig) -> Option<String> {
    let of = |config: &EncryptionConfig| match config.shared_chain() {
        SharedChain::Shared(chain) => chain.into_iter().next(),
        SharedChain::Differing | SharedChain::NoEntry => None,
    };
    let (before, after) = (of(known), of(now));
    if before == after {
        return None;
    }
    let shown = |key: Option<KeyId>| key.map_or_else(|| "several keys".to_owned(), |key| key.to_string());
    Some(format!("{} writes now, it was {}", shown(after), shown(before)))
}

fn patterns(config: &EncryptionConfig) -> BTreeSet<String> {
    let patterns = config.entries.iter().flat_map(|entry| &entry.resources);
    patterns.map(ToString::to_string).collect()
}

/// Each key with its fingerprint; identity with none.
fn fingerprints(config: &EncryptionConfig) -> BTreeMap<KeyId, String> {
    let fingerprint = |id: &KeyId| {
        let key = config.key(id);
        key.map_or_else(String::new, |key| key.secret.fingerprint().to_string())
    };
    let ids = config.key_ids().into_iter();
    ids.map(|id| (id.clone(), fingerprint(&id))).collect()
}

/// The stored values that the former configuration read and the one of now does not; `None` for now stands for an API server that is
/// told nothing, or does not start.
#[must_use]
pub fn lost(known: &EncryptionConfig, now: Option<&EncryptionConfig>, census: &Census) -> Vec<Lost> {
    let mut lost = Vec::new();
    for (resource, held, tally) in census.iter() {
        let (Held::Under(key), Some(resource)) = (held, resource_of(resource)) else {
            continue;
        };
        let read = reads(known, &resource, key, known);
        let reads_now = match now {
            Some(now) => reads(now, &resource, key, known),
            None => *key == KeyId::Identity,
        };
        if tally.objects > 0 && read && !reads_now {
            lost.push(Lost {
                resource,
                key: key.clone(),
                values: tally.objects,
            });
        }
    }
    lost
}

/// The keys that an API server with the former configuration writes with and the one of now does not read: until it has loaded that, it
/// may write with them.
#[must_use]
pub fn may_be_written(known: &EncryptionConfig, now: &EncryptionConfig) -> BTreeSet<KeyId> {
    let writers = known.entries.iter().filter_map(|entry| {
        let writer = new_key(&entry.links().next()?)?;
        let is_read = entry
            .resources
            .iter()
            .all(|pattern| has_for(now, pattern, &writer));
        (!is_read).then(|| writer.id())
    });
    writers.collect()
}

fn resource_of(resource: &Resource) -> Option<GroupResource> {
    match resource {
        Resource::Api(resource) => Some(resource.clone()),
        Resource::NoEndpoint(kind) => Some(kind.resource()),
        Resource::Unmapped(_) => None,
    }
}

/// True when `config` reads that resource's values under that key, with the bytes that `known` has for it.
fn reads(config: &EncryptionConfig, resource: &GroupResource, key: &KeyId, known: &EncryptionConfig) -> bool {
    let Some(links) = config.providers_for(resource) else {
        return *key == KeyId::Identity;
    };
    links.iter().any(|link| match link {
        Link::Identity => *key == KeyId::Identity,
        Link::Key { provider, key: found } => {
            found.id(*provider) == *key
                && known
                    .key(key)
                    .is_none_or(|known| known.secret.is_same(&found.secret))
        }
        Link::Kms(_) => false,
    })
}

/// Both configurations in one, so that a census looks at all that either covers, by the keys of either.
#[must_use]
pub fn both(known: &EncryptionConfig, now: Option<&EncryptionConfig>) -> EncryptionConfig {
    let entries = known
        .entries
        .iter()
        .chain(now.into_iter().flat_map(|now| &now.entries));
    EncryptionConfig {
        entries: entries.cloned().collect(),
    }
}

/// What the running API server is proven to have loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// The former configuration still.
    Former,
    /// The file as it is now.
    Edit,
    /// Another one, or it cannot be told.
    NotTold,
}

/// What makes the lost values readable again and keeps all readable that the API server can have written meanwhile, whichever of the two
/// configurations it has loaded by then.
#[must_use]
pub fn repair(
    known: &EncryptionConfig,
    now: Option<&EncryptionConfig>,
    census: &Census,
    runs: Runs,
) -> Repair {
    let Some(now) = now else {
        return instead_of_none(census, runs);
    };
    let runs_former = runs == Runs::Former;
    let added = introduced(known, now);
    let is_covered = known
        .entries
        .iter()
        .flat_map(|entry| &entry.resources)
        .all(|pattern| {
            let mut covering = now.entries.iter().flat_map(|entry| &entry.resources);
            covering.any(|other| other == pattern)
        });
    if added.is_empty() && is_covered {
        return Repair::PutBack;
    }
    let has_kms = [known, now]
        .iter()
        .any(|config| config.entries.iter().any(Entry::has_kms));
    let extended = if has_kms {
        Err("a key management service is in it, which Holdfast leaves alone".to_owned())
    } else if is_covered {
        // Until it has loaded the edit, the API server writes as before.
        let lost = lost(known, Some(now), census);
        let mut needed: BTreeSet<KeyId> = lost.into_iter().map(|lost| lost.key).collect();
        needed.extend(may_be_written(known, now));
        extended(now, &keys_of(known, &needed))
    } else if covers_more(known, now) {
        Err("it covers other resources than before, which may be stored under its keys".to_owned())
    } else {
        // What is no longer covered may have been written in plaintext, or as its wildcards say.
        let links = now.entries.iter().flat_map(Entry::links);
        let mut all: Vec<NewKey> = Vec::new();
        for key in links.filter_map(|link| new_key(&link)).chain([NewKey::Identity]) {
            if !all.contains(&key) {
                all.push(key);
            }
        }
        extended(known, &all)
    };
    match extended {
        Ok(config) if lost(known, Some(&config), census).is_empty() => Repair::Write(config),
        // Until its next look at the file it cannot have written with what the edit brought.
        Ok(_) | Err(_) if runs_former && !has_kms => Repair::PutBack,
        Ok(_) => Repair::ByHand("no one configuration would read everything".to_owned()),
        Err(why) => Repair::ByHand(why),
    }
}

/// The file is gone, or Holdfast reads no configuration in it. The API server is less strict than Holdfast, so it may have loaded that one and
/// written with a key of it.
fn instead_of_none(census: &Census, runs: Runs) -> Repair {
    let foreign = census.total(|_, held| matches!(held, Held::UnknownKey { .. }));
    match runs {
        Runs::Former => Repair::PutBack,
        Runs::Edit => Repair::ByHand(
            "kube-apiserver has loaded the file that Holdfast does not take for a configuration, and may have written with its keys".to_owned(),
        ),
        Runs::NotTold if foreign.objects > 0 => Repair::ByHand(format!(
            "{} stored values are under keys that the former configuration does not have, as {}, and the file may have them",
            foreign.objects,
            foreign.examples.first().map_or("", String::as_str)
        )),
        Runs::NotTold => Repair::PutBack,
    }
}

/// The keys that `now` has for some resources and `known` has not, or has with other bytes: what they wrote, `known` does not read.
fn introduced(known: &EncryptionConfig, now: &EncryptionConfig) -> Vec<NewKey> {
    let mut added: Vec<NewKey> = Vec::new();
    for entry in &now.entries {
        for new in entry.links().filter_map(|link| new_key(&link)) {
            let is_known = entry
                .resources
                .iter()
                .all(|pattern| has_for(known, pattern, &new));
            if !is_known && !added.contains(&new) {
                added.push(new);
            }
        }
    }
    added
}

fn new_key(link: &Link<'_>) -> Option<NewKey> {
    match *link {
        Link::Identity => Some(NewKey::Identity),
        Link::Key { provider, key } => Some(NewKey::Key {
            provider,
            key: key.clone(),
        }),
        Link::Kms(_) => None,
    }
}

fn has_for(config: &EncryptionConfig, pattern: &ResourcePattern, key: &NewKey) -> bool {
    let entries = config.entries.iter();
    let mut links = entries
        .filter(|entry| entry.resources.contains(pattern))
        .flat_map(Entry::links);
    links.any(|link| new_key(&link).as_ref() == Some(key))
}

fn covers_more(known: &EncryptionConfig, now: &EncryptionConfig) -> bool {
    let is_new = |pattern: &ResourcePattern| {
        let mut before = known.entries.iter().flat_map(|entry| &entry.resources);
        before.all(|other| other != pattern)
    };
    let mut patterns = now.entries.iter().flat_map(|entry| &entry.resources);
    patterns.any(is_new)
}

fn keys_of(known: &EncryptionConfig, ids: &BTreeSet<KeyId>) -> Vec<NewKey> {
    let key = |id: &KeyId| match id {
        KeyId::Identity => Some(NewKey::Identity),
        KeyId::Key { provider, .. } => known.key(id).map(|key| NewKey::Key {
            provider: *provider,
            key: key.clone(),
        }),
    };
    ids.iter().filter_map(key).collect()
}

/// The configuration, reading these keys too, wherever it does not.
fn extended(config: &EncryptionConfig, keys: &[NewKey]) -> Result<EncryptionConfig, String> {
    let mut extended = config.clone();
    for key in keys {
        let entries = extended.entries.iter().enumerate();
        let without: BTreeSet<usize> = entries
            .filter(|(_, entry)| !entry.chain().contains(&key.id()))
            .map(|(index, _)| index)
            .collect();
        if !without.is_empty() {
            extended = extended
                .with_read_key(&without, key)
                .map_err(|error| error.to_string())?;
        }
    }
    Ok(extended)
}

#[cfg(test)]
#[path = "watched_tests.rs"]
mod tests;
