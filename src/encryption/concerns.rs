//! What the API server accepts, and an operator should not: each may lose data, or protects less than it seems.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::config::{EncryptionConfig, Entry, KmsVersion, Link};
use super::resources::ResourcePattern;
use crate::domain::{KeyId, SecretKey};

/// One thing about a legal configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Concern {
    /// One name stands for different bytes: stored values do not say which of them they need.
    AmbiguousName {
        /// The key, by provider and name.
        key: KeyId,
    },
    /// One key's prefix in etcd begins another's (`a:` and `a:b:`): a stored value may belong to either.
    OverlappingNames {
        /// The key with the shorter name.
        key: KeyId,
        /// The one whose prefix begins with it.
        longer: KeyId,
    },
    /// The same resource in several entries: their keys append, so an entry's first key need not be the one that writes.
    RepeatedResource {
        /// Which.
        resource: ResourcePattern,
    },
    /// A name with a colon: where it ends cannot be told from a stored value alone.
    ColonInName {
        /// The key.
        key: KeyId,
    },
    /// A key that can be guessed.
    WeakKey {
        /// The key.
        key: KeyId,
        /// What shows it.
        why: Weakness,
    },
    /// An AES key under 32 bytes.
    ShortKey {
        /// The key.
        key: KeyId,
        /// Its length.
        bytes: usize,
    },
    /// New values of the entry's resources are stored in plaintext.
    WritesPlaintext {
        /// The entry's index.
        entry: usize,
    },
    /// A key management service, which Holdfast leaves alone.
    Kms {
        /// The entry's index.
        entry: usize,
        /// Its version.
        version: KmsVersion,
        /// Its name.
        name: String,
    },
    /// Two KMS v1 providers of one name: with automatic reload the API server would refuse the file.
    RepeatedKmsName {
        /// The name.
        name: String,
    },
}

/// What shows that a key was not drawn at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Weakness {
    /// Every byte is a printable character: a password or its hexadecimal hash.
    Printable,
    /// Each byte follows the one before by the same step: all equal, or counted.
    Sequence,
    /// A shorter run of bytes, repeated.
    Repeated,
    /// Fewer different bytes than chance would ever give.
    FewDistinctBytes,
}

impl Concern {
    /// True when keys cannot be told apart with certainty, so that no key of this configuration may be moved or removed.
    #[must_use]
    pub const fn forbids_rotation(&self) -> bool {
        matches!(
            self,
            Self::AmbiguousName { .. } | Self::OverlappingNames { .. } | Self::RepeatedResource { .. }
        )
    }
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AmbiguousName { key } => {
                write!(f, "the name of the key {} stands for different keys", shown(key))
            }
            Self::OverlappingNames { key, longer } => write!(
                f,
                "stored values under the key {} cannot be told from those under {}",
                shown(longer),
                shown(key)
            ),
            Self::RepeatedResource { resource } => write!(
                f,
                "the resource {} stands in several entries, whose keys then append",
                resource.to_string().escape_debug()
            ),
            Self::ColonInName { key } => write!(f, "the name of the key {} has a colon", shown(key)),
            Self::WeakKey { key, why } => write!(f, "the key {} was not drawn at random: {why}", shown(key)),
            Self::ShortKey { key, bytes } => write!(f, "the key {} has {bytes} bytes, not 32", shown(key)),
            Self::WritesPlaintext { entry } => write!(
                f,
                "entry {entry} writes plaintext: its first provider is identity"
            ),
            Self::Kms { entry, version, name } => write!(
                f,
                "entry {entry} uses the KMS {version} provider {} and is left alone",
                name.escape_debug()
            ),
            Self::RepeatedKmsName { name } => write!(
                f,
                "the KMS provider name {} is given twice; with automatic reload the API server refuses that",
                name.escape_debug()
            ),
        }
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Printable => "all its bytes are printable characters",
            Self::Sequence => "its bytes are equal or counted",
            Self::Repeated => "its bytes repeat",
            Self::FewDistinctBytes => "it has few different bytes",
        })
    }
}

fn shown(key: &KeyId) -> String {
    key.to_string().escape_debug().to_string()
}

impl EncryptionConfig {
    /// All concerns, each once, those that forbid a rotation first.
    #[must_use]
    pub fn concerns(&self) -> Vec<Concern> {
        let mut found = BTreeSet::new();
        found.extend(names(self));
        found.extend(self.keys().flat_map(|(provider, key)| {
            let id = key.id(provider);
            let weak = weakness(&key.secret).map(|why| Concern::WeakKey { key: id.clone(), why });
            let bytes = key.secret.expose().len();
            let short = (bytes < 32).then_some(Concern::ShortKey { key: id, bytes });
            weak.into_iter().chain(short)
        }));
        found.extend(self.entries.iter().enumerate().flat_map(entry));
        found.extend(repeated_resources(self));
        found.extend(repeated_kms_names(self));
        found.into_iter().collect()
    }
}

fn names(config: &EncryptionConfig) -> Vec<Concern> {
    let mut found = Vec::new();
    let keys: Vec<_> = config.keys().collect();
    for (provider, key) in &keys {
        let id = key.id(*provider);
        let name = key.name.as_str();
        let start = format!("{name}:");
        let others = keys.iter().filter(|(other, _)| other == provider);
        for (_, other) in others {
            if other.name == key.name && other != key {
                found.push(Concern::AmbiguousName { key: id.clone() });
            } else if other.name.as_str().starts_with(&start) {
                found.push(Concern::OverlappingNames {
                    key: id.clone(),
                    longer: other.id(*provider),
                });
            }
        }
        if name.contains(':') {
            found.push(Concern::ColonInName { key: id });
        }
    }
    found
}

fn entry((index, entry): (usize, &Entry)) -> Vec<Concern> {
    let concern = |(order, link): (usize, Link<'_>)| match link {
        Link::Identity if order == 0 => Some(Concern::WritesPlaintext { entry: index }),
        Link::Kms(kms) => Some(Concern::Kms {
            entry: index,
            version: kms.version(),
            name: kms.name.clone(),
        }),
        Link::Identity | Link::Key { .. } => None,
    };
    entry.links().enumerate().filter_map(concern).collect()
}

fn repeated_resources(config: &EncryptionConfig) -> Vec<Concern> {
    let mut seen = BTreeSet::new();
    let resources = config.entries.iter().flat_map(|entry| &entry.resources);
    resources
        .filter(|resource| !seen.insert(*resource))
        .map(|resource| Concern::RepeatedResource {
            resource: resource.clone(),
        })
        .collect()
}

fn repeated_kms_names(config: &EncryptionConfig) -> Vec<Concern> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for link in config.entries.iter().flat_map(Entry::links) {
        if let Link::Kms(kms) = link {
            *times.entry(&kms.name).or_default() += 1;
        }
    }
    let repeated = times.into_iter().filter(|(_, times)| *times > 1);
    repeated
        .map(|(name, _)| Concern::RepeatedKmsName {
            name: name.to_owned(),
        })
        .collect()
}

/// What shows that a key was not drawn at random; none for one in a million random 16-byte keys, and far fewer longer ones.
#[must_use]
pub fn weakness(key: &SecretKey) -> Option<Weakness> {
    let bytes = key.expose();
    let printable = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    if bytes.iter().all(printable) {
        return Some(Weakness::Printable);
    }
    let mut steps = bytes
        .iter()
        .zip(bytes.iter().skip(1))
        .map(|(one, next)| next.wrapping_sub(*one));
    let first = steps.next();
    if steps.all(|step| Some(step) == first) {
        return Some(Weakness::Sequence);
    }
    let repeats = |period: &usize| {
        bytes
            .iter()
            .zip(bytes.iter().skip(*period))
            .all(|(one, other)| one == other)
    };
    if (1..=bytes.len() / 2).any(|period| repeats(&period)) {
        return Some(Weakness::Repeated);
    }
    let distinct: BTreeSet<&u8> = bytes.iter().collect();
    (distinct.len() < bytes.len() / 2).then_some(Weakness::FewDistinctBytes)
}

#[cfg(test)]
#[path = "concerns_tests.rs"]
mod tests;
