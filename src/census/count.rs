//! The counts: by resource and key, in bounded memory.

use std::collections::BTreeMap;
use std::fmt;

use super::path::{NoEndpoint, Paths, Place};
use crate::domain::{GroupResource, KeyId, Provider};

/// The largest request that etcd takes by default (`--max-request-bytes`), in bytes.
pub const MAX_REQUEST_BYTES: u64 = 1536 << 10;

/// What a write adds to a value in a request: the envelope of a longer key name, padding, the key twice, the transaction around it.
const REQUEST_MARGIN: u64 = 4 << 10;

/// So many keys are told apart in one resource, and so many resources: values that anybody could write must not fill the memory.
const MAX_KINDS: usize = 64;
const MAX_RESOURCES: usize = 4096;

/// So many keys are kept as examples, and so many names of values that are too large.
const MAX_EXAMPLES: usize = 5;
const MAX_OVERSIZED: usize = 20;

/// Under what a stored value is held.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Held {
    /// A key of the configuration, or plaintext.
    Under(KeyId),
    /// A key that the configuration does not have: nobody can read the value.
    UnknownKey {
        /// The provider.
        provider: Provider,
        /// The name, as far as it can be told from the stored value.
        name: String,
    },
    /// A key management service.
    Kms,
    /// An encrypted value that no provider would have written, or that its key does not open.
    Malformed,
}

/// Of what a value is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// An object of the API.
    Api(GroupResource),
    /// A value without an endpoint.
    NoEndpoint(NoEndpoint),
    /// Of a path that is not known.
    Unmapped(String),
}

/// A value: its etcd key and its size, never its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Its etcd key.
    pub key: String,
    /// Its size as stored, in bytes.
    pub bytes: u64,
}

/// What is known of the values of one resource under one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub objects: u64,
    /// Their size as stored, in bytes.
    pub bytes: u64,
    /// The newest revision that wrote one.
    pub newest_revision: i64,
    /// The largest one.
    pub largest: Option<Value>,
    /// The etcd keys of the first few.
    pub examples: Vec<String>,
}

/// The census at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// The etcd revision that all of it was read at.
    pub revision: i64,
    /// Whether all of it was read. Nothing follows from a part.
    pub complete: bool,
    /// The counts.
    pub counts: BTreeMap<Resource, BTreeMap<Held, Tally>>,
    /// Values that were counted with others, because there are too many different keys or resources.
    pub lumped: u64,
    /// The largest request that etcd takes, in bytes.
    pub max_request_bytes: u64,
    /// Values that a write could push over that limit: how many, and the first of them.
    pub oversized: (u64, Vec<Value>),
}

impl Census {
    /// Nothing counted yet.
    #[must_use]
    pub const fn at(revision: i64) -> Self {
        Self {
            revision,
            complete: false,
            counts: BTreeMap::new(),
            lumped: 0,
            max_request_bytes: MAX_REQUEST_BYTES,
            oversized: (0, Vec::new()),
        }
    }

    /// The same, where etcd takes requests of another size than by default.
    #[must_use]
    pub fn with_limit(self, max_request_bytes: u64) -> Self {
        Self {
            max_request_bytes,
            ..self
        }
    }

    /// Counts one value.
    pub fn add(&mut self, paths: &Paths, key: &[u8], bytes: u64, mod_revision: i64, held: Held) {
        let value = || Value {
            key: String::from_utf8_lossy(key).into_owned(),
            bytes,
        };
        if needs_too_much(key, bytes, self.max_request_bytes) {
            let (count, named) = &mut self.oversized;
            *count += 1;
            if named.len() < MAX_OVERSIZED {
                named.push(value());
            }
        }
        let tally = self.tally(Resource::from(paths.place(key)), held);
        tally.objects += 1;
        tally.bytes = tally.bytes.saturating_add(bytes);
        tally.newest_revision = tally.newest_revision.max(mod_revision);
        if tally.largest.as_ref().is_none_or(|largest| largest.bytes < bytes) {
            tally.largest = Some(value());
        }
        if tally.examples.len() < MAX_EXAMPLES {
            tally.examples.push(String::from_utf8_lossy(key).into_owned());
        }
    }

    fn tally(&mut self, resource: Resource, held: Held) -> &mut Tally {
        let rest = || "...".to_owned();
        let many_resources = self.counts.len() >= MAX_RESOURCES && !self.counts.contains_key(&resource);
        let resource = if many_resources {
            Resource::Unmapped(rest())
        } else {
            resource
        };
        let kinds = self.counts.entry(resource).or_default();
        let many_kinds = kinds.len() >= MAX_KINDS && !kinds.contains_key(&held);
        self.lumped += u64::from(many_resources || many_kinds);
        // The keys of the configuration are few, and each counts for itself.
        let held = match (many_kinds, held) {
            (true, Held::UnknownKey { provider, .. }) => Held::UnknownKey {
                provider,
                name: rest(),
            },
            (_, held) => held,
        };
        kinds.entry(held).or_default()
    }

    /// All counts, by resource and then by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Resource, &Held, &Tally)> {
        self.counts
            .iter()
            .flat_map(|(resource, kinds)| kinds.iter().map(move |(held, tally)| (resource, held, tally)))
    }

    /// The sum of what `of` picks: objects, bytes, the newest revision and the largest value; the examples are those of the first.
    #[must_use]
    pub fn total(&self, of: impl Fn(&Resource, &Held) -> bool) -> Tally {
        let mut total = Tally::default();
        for (_, _, tally) in self.iter().filter(|(resource, held, _)| of(resource, held)) {
            total.objects += tally.objects;
            total.bytes = total.bytes.saturating_add(tally.bytes);
            total.newest_revision = total.newest_revision.max(tally.newest_revision);
            let size = |value: &Option<Value>| value.as_ref().map(|value| value.bytes);
            if size(&total.largest) < size(&tally.largest) {
                total.largest.clone_from(&tally.largest);
            }
            let room = MAX_EXAMPLES.saturating_sub(total.examples.len());
            total.examples.extend(tally.examples.iter().take(room).cloned());
        }
        total
    }

    /// What is under one key; [`KeyId::Identity`] is plaintext.
    ///
    /// Old revisions need the key for longer than [`Tally::newest_revision`] says: a value is kept until the write that replaced it
    /// is compacted. So what must be compacted before the key may go is the revision before that of a complete census without it.
    #[must_use]
    pub fn under(&self, key: &KeyId) -> Tally {
        self.total(|_, held| matches!(held, Held::Under(held) if held == key))
    }

    /// What is not under the write key.
    #[must_use]
    pub fn stale(&self, write: &KeyId) -> Tally {
        self.total(|_, held| !matches!(held, Held::Under(held) if held == write))
    }
}

/// Whether a rewrite of the value could pass etcd's request limit.
fn needs_too_much(key: &[u8], bytes: u64, max_request_bytes: u64) -> bool {
    let key = u64::try_from(key.len()).unwrap_or(u64::MAX);
    bytes
        .saturating_add(key.saturating_mul(3))
        .saturating_add(REQUEST_MARGIN)
        > max_request_bytes
}

impl From<Place> for Resource {
    fn from(place: Place) -> Self {
        match place {
            Place::Object(object) => Self::Api(object.resource),
            Place::NoEndpoint(value) => Self::NoEndpoint(value),
            Place::Unmapped(words) => Self::Unmapped(words),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(resource) => resource.fmt(f),
            Self::NoEndpoint(value) => value.resource().fmt(f),
            Self::Unmapped(words) => write!(f, "unknown path {words}"),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Under(key) => key.fmt(f),
            Self::UnknownKey { provider, name } => write!(f, "{provider}:{name}, which no key opens"),
            Self::Kms => f.write_str("kms"),
            Self::Malformed => f.write_str("malformed"),
        }
    }
}

#[cfg(test)]
mod tests;
