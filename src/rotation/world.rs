//! The world: what one pass has observed of the servers, of etcd and of the key store. Nothing here is remembered by the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::Chain;
use crate::domain::{Digest, Fact, Instant, KeyId};

/// The name of a control-plane node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct NodeName(pub String);

/// A revision of etcd's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// A version of the encryption configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generation {
    /// The API server is given no configuration: it writes plaintext.
    Plain,
    /// The bytes of a file.
    File(Digest),
}

/// What one pass has observed. What could not be observed is `Unknown`, and never counts as yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// The time.
    pub now: Instant,
    /// The servers, as listed before anything else was looked at.
    pub members_before: Fact<Membership>,
    /// What was observed of each.
    pub nodes: BTreeMap<NodeName, NodeView>,
    /// The servers, as listed last, after all proofs were collected.
    pub members_after: Fact<Membership>,
    /// etcd, answering with a quorum.
    pub etcd: Fact<Etcd>,
    /// The last complete census; `Absent` when none was taken since this process began, or when values were re-encrypted since it.
    pub census: Fact<Census>,
    /// What the watch on stored values has seen.
    pub watch: Fact<Watch>,
    /// Values that cannot be re-encrypted, as the last try found.
    pub stuck: Stuck,
    /// The keys that lie durably in key stores.
    pub keys: Fact<KeyStore>,
}

/// Which API servers use this etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The control-plane nodes.
    pub nodes: BTreeSet<NodeName>,
    /// API servers that belong to none of them (identity leases, etcd's clients).
    pub strangers: BTreeSet<String>,
}

/// What was observed of one control-plane node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// What its API server would load if it started now. `Absent`: the flag names a file that is not there.
    pub disk: Fact<OnDisk>,
    /// What its API server is *proven* to have loaded. `Absent`: it is not running.
    pub running: Fact<Generation>,
}

/// What an API server would load if it started now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDisk {
    /// Which version.
    pub generation: Generation,
    /// Its keys; `[identity]` for [`Generation::Plain`].
    pub chain: Chain,
}

/// etcd's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Etcd {
    /// Its revision now.
    pub revision: Revision,
    /// The revision up to which history is gone, as far as etcd was asked.
    pub compacted: Revision,
}

/// A complete count of the stored values of all encrypted resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// The revision of the first page.
    pub first: Revision,
    /// The revision of the last page; the same, unless the pages were read one by one at the revisions of their times.
    pub last: Revision,
    /// When it was complete.
    pub at: Instant,
    /// The values by key, plaintext under [`KeyId::Identity`].
    pub values: BTreeMap<KeyId, Tally>,
    /// Values under keys that the configuration does not know: how many, by what their prefix says.
    pub unknown: BTreeMap<String, u64>,
    /// Values under a key management service that the configuration does not have for them.
    pub foreign_kms: Option<Sighting>,
    /// Values that do not decrypt to an object.
    pub undecryptable: Option<Sighting>,
    /// Values that are none of the encrypted resources' and yet under a key which the rotation takes away from everything, by key.
    pub elsewhere: BTreeMap<KeyId, Sighting>,
}

/// Values that stand in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// How many.
    pub count: u64,
    /// The etcd path of one of them.
    pub example: String,
}

impl Sighting {
    /// The same with `count` more, of which `example` is one.
    #[must_use]
    pub fn and(seen: Option<Self>, count: u64, example: impl FnOnce() -> String) -> Self {
        let mut all = seen.unwrap_or_else(|| Self {
            count: 0,
            example: example(),
        });
        all.count += count;
        all
    }
}

/// The values under one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// The revision at which the youngest was written.
    pub newest: Revision,
}

/// What an unbroken watch on stored values has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// It saw every write after this revision.
    pub from: Revision,
    /// The last write by key, of those it saw.
    pub writes: BTreeMap<KeyId, Revision>,
}

/// Values that cannot be re-encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stuck {
    /// How many.
    pub total: u64,
    /// The first of them.
    pub named: Vec<StuckValue>,
}

/// A value that cannot be re-encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckValue {
    /// The object.
    pub object: String,
    /// Why: a webhook, a quota, no endpoint.
    pub why: String,
}

/// The keys that lie durably in key stores.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyStore {
    /// In how many places each key's bytes are durable, read back.
    pub copies: BTreeMap<KeyId, usize>,
    /// Which are kept with the configurations that used them, for old snapshots.
    pub retained: BTreeSet<KeyId>,
}

/// The limits that a rotation goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a request may still commit a value that it made before the last server changed its write key.
    pub drain: Duration,
    /// How old a census may be when a key is cut on its strength.
    pub proof_age: Duration,
    /// In how many places a key must be durable before it can first write.
    pub min_copies: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // The API server ends a request after 60 s.
            drain: Duration::from_secs(60),
            proof_age: Duration::from_secs(3600),
            min_copies: 1,
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("no configuration"),
            Self::File(digest) => write!(f, "the configuration {}", digest.short()),
        }
    }
}
