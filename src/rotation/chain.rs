//! A chain: the keys of a provider list in their order, the first of which writes; and the four stages of a rotation.

use std::fmt;

use crate::domain::KeyId;

/// The keys of a configuration in order, without repeats. The first writes; all read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Vec<KeyId>", into = "Vec<KeyId>")]
pub struct Chain {
    first: KeyId,
    others: Vec<KeyId>,
}

/// A list of keys that is no chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChain {
    /// There is no key that writes.
    #[error("a configuration names at least one key, or identity")]
    Empty,
    /// One key stands twice: what an entry repeats is dropped before.
    #[error("{0} stands twice in a list of keys")]
    Repeated(KeyId),
}

impl Chain {
    /// The chain of `keys`.
    ///
    /// # Errors
    /// When there is none, or one stands twice.
    pub fn new(keys: Vec<KeyId>) -> Result<Self, InvalidChain> {
        let mut rest = keys.into_iter();
        let first = rest.next().ok_or(InvalidChain::Empty)?;
        let mut chain = Self::of(first);
        for key in rest {
            if chain.reads(&key) {
                return Err(InvalidChain::Repeated(key));
            }
            chain.others.push(key);
        }
        Ok(chain)
    }

    /// The chain of one key.
    #[must_use]
    pub const fn of(key: KeyId) -> Self {
        Self {
            first: key,
            others: Vec::new(),
        }
    }

    /// The key that writes.
    #[must_use]
    pub const fn write_key(&self) -> &KeyId {
        &self.first
    }

    /// True when values under `key` can be read.
    #[must_use]
    pub fn reads(&self, key: &KeyId) -> bool {
        self.keys().any(|known| known == key)
    }

    /// All keys, the one that writes first.
    pub fn keys(&self) -> impl Iterator<Item = &KeyId> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The same chain that can also read `key`, second, right behind the key that writes; itself when it can already.
    #[must_use]
    pub fn also_reading(&self, key: &KeyId) -> Self {
        let mut chain = self.clone();
        if !chain.reads(key) {
            chain.others.insert(0, key.clone());
        }
        chain
    }

    /// The same chain that can also read plaintext, last of all; itself when it can already.
    #[must_use]
    pub fn reading_plaintext(&self) -> Self {
        let mut chain = self.clone();
        if !chain.reads(&KeyId::Identity) {
            chain.others.push(KeyId::Identity);
        }
        chain
    }

    /// The same chain with `key` as the one that writes.
    #[must_use]
    pub fn writing(&self, key: &KeyId) -> Self {
        Self {
            first: key.clone(),
            others: self.keys().filter(|known| *known != key).cloned().collect(),
        }
    }
}

impl TryFrom<Vec<KeyId>> for Chain {
    type Error = InvalidChain;

    fn try_from(keys: Vec<KeyId>) -> Result<Self, Self::Error> {
        Self::new(keys)
    }
}

impl From<Chain> for Vec<KeyId> {
    fn from(chain: Chain) -> Self {
        chain.keys().cloned().collect()
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.first)?;
        self.others.iter().try_for_each(|key| write!(f, ", {key}"))?;
        f.write_str("]")
    }
}

/// A stage of a rotation, by what every server's configuration is. Neighbours can read what the other writes; no other pair can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// C0 `[old]`: what was found.
    Old,
    /// C1 `[old, new]`: the new key can be read.
    ReadNew,
    /// C2 `[new, old]`: the new key writes.
    WriteNew,
    /// C3 `[new]`: the old key is gone.
    New,
}

impl Stage {
    /// True when servers at the two stages can read what the other writes: they are one, or neighbours (I2).
    #[must_use]
    pub fn is_beside(self, other: Self) -> bool {
        let walk = Direction::Forward;
        self == other || walk.after(self) == Some(other) || walk.after(other) == Some(self)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Old => "C0 [old]",
            Self::ReadNew => "C1 [old, new]",
            Self::WriteNew => "C2 [new, old]",
            Self::New => "C3 [new]",
        })
    }
}

/// Which way a rotation walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// C0, C1, C2, C3.
    Forward,
    /// C2, C1, C0. There is no way back from C3.
    Back,
}

impl Direction {
    /// The stages of the walk, in order.
    #[must_use]
    pub const fn walk(self) -> &'static [Stage] {
        match self {
            Self::Forward => &[Stage::Old, Stage::ReadNew, Stage::WriteNew, Stage::New],
            Self::Back => &[Stage::WriteNew, Stage::ReadNew, Stage::Old],
        }
    }

    /// How far along the walk `stage` lies; `None` when the walk does not pass it.
    #[must_use]
    pub fn rank(self, stage: Stage) -> Option<usize> {
        self.walk().iter().position(|passed| *passed == stage)
    }

    /// The stage after `stage`.
    #[must_use]
    pub fn after(self, stage: Stage) -> Option<Stage> {
        let rank = self.rank(stage)?;
        self.walk().get(rank + 1).copied()
    }

    /// The stage in which values are moved to the other key, and from which a key is cut.
    #[must_use]
    pub const fn moving(self) -> Stage {
        match self {
            Self::Forward => Stage::WriteNew,
            Self::Back => Stage::ReadNew,
        }
    }

    /// The stage that the walk ends with; reaching it takes a key out of the configuration.
    #[must_use]
    pub const fn last(self) -> Stage {
        match self {
            Self::Forward => Stage::New,
            Self::Back => Stage::Old,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::fixtures::{NEW, OLD, key};

    #[test]
    fn a_chain_has_a_key_and_none_twice() {
        assert_eq!(Chain::new(vec![]), Err(InvalidChain::Empty));
        assert_eq!(
            Chain::new(vec![key(OLD), key(NEW), key(OLD)]),
            Err(InvalidChain::Repeated(key(OLD)))
        );
        let chain = Chain::new(vec![key(OLD), KeyId::Identity]).unwrap();
        assert_eq!(chain.to_string(), "[aescbc:old, identity]");
        assert_eq!(chain.also_reading(&KeyId::Identity), chain);
        assert_eq!(
            chain.writing(&KeyId::Identity),
            Chain::new(vec![KeyId::Identity, key(OLD)]).unwrap()
        );
    }

    #[test]
    fn a_walk_ends_one_stage_after_the_one_that_moves_values() {
        for direction in [Direction::Forward, Direction::Back] {
            assert_eq!(direction.after(direction.moving()), Some(direction.last()));
            assert_eq!(direction.after(direction.last()), None);
        }
        assert_eq!(Direction::Back.rank(Stage::New), None);
    }
}
