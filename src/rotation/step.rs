//! The steps of a rotation. Each is one act, decided by what the world shows, and harmless to repeat.

use std::collections::BTreeSet;

use super::{Chain, Edit, Event, NodeName, Stage};
use crate::domain::KeyId;

/// What comes next for a rotation.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing now.
    Hold(Hold),
    /// Write this to the journal; nothing else happens.
    Note(Event),
    /// Record [`Event::KeyIntended`], then make the key and store it durably, in one place more than it is in. Where it is in one
    /// already, that key is copied and none is made.
    StoreKey(KeyId),
    /// Render this configuration, keep it with its keys, and record [`Event::ConfigIntended`] with its generation.
    Intend {
        /// The intent under which it was decided.
        epoch: u32,
        /// The stage.
        stage: Stage,
        /// Its keys.
        chain: Chain,
        /// The keys that it takes away; not empty for the one act that cannot be undone.
        drops: BTreeSet<KeyId>,
    },
    /// Write a node's file, if [`super::Rotation::fence`] still lets it.
    Write(Edit),
    /// Let a node's API server load its file: by waiting for the reload where it is automatic, else by a bounce.
    Load(NodeName),
    /// Re-encrypt the values under these keys, as the census names them; the census is void then.
    Reencrypt(BTreeSet<KeyId>),
    /// Take a census, and watch stored values from its revision on.
    Verify,
    /// Move these keys to the retained keys. They stay in the configuration.
    Retain(BTreeSet<KeyId>),
}

/// Why nothing happens now. Every stage but a cut under way is safe to stay in.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Hold {
    /// It goes on by itself.
    Wait(Words),
    /// It goes on when the operator has mended something.
    Park(Words),
    /// It goes on when the operator consents; nothing is wrong.
    Ask(Words),
}

/// Words for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Words {
    /// What is awaited, or wrong.
    pub why: String,
    /// What the operator can do.
    pub remedy: String,
}

impl Hold {
    /// It goes on by itself; the operator can look after `remedy` if it takes long.
    pub fn wait(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Wait(Words::new(why, remedy))
    }

    /// It goes on when the operator has seen to `remedy`.
    pub fn park(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Park(Words::new(why, remedy))
    }

    /// It goes on when the operator consents, by `remedy`.
    pub fn ask(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Ask(Words::new(why, remedy))
    }
}

impl Words {
    fn new(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            remedy: remedy.into(),
        }
    }
}

impl From<Hold> for Box<Step> {
    fn from(hold: Hold) -> Self {
        Self::new(Step::Hold(hold))
    }
}
