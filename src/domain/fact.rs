//! A fact: what was read from the node, with "it is not there" and "it could not be read" kept apart.

use std::fmt;

/// Why a fact is not known: one sentence for the operator, naming the object and the cause.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Reason(String);

impl Reason {
    /// A reason in words.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A fact about the node. `Unknown` is never a pass and never the same as `Absent`.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<T> {
    /// It was read.
    Known(T),
    /// It was looked for, and is not there.
    Absent,
    /// It could not be read.
    Unknown(Reason),
}

impl<T> Fact<T> {
    /// An unknown fact, with the reason in words.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown(Reason::new(reason))
    }

    /// The value, if it is known.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }

    /// The same fact about a reference.
    pub fn as_ref(&self) -> Fact<&T> {
        match self {
            Self::Known(value) => Fact::Known(value),
            Self::Absent => Fact::Absent,
            Self::Unknown(reason) => Fact::Unknown(reason.clone()),
        }
    }

    /// The fact about what `f` makes of the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Known(value) => Fact::Known(f(value)),
            Self::Absent => Fact::Absent,
            Self::Unknown(reason) => Fact::Unknown(reason),
        }
    }

    /// The fact that follows from the value by another look.
    pub fn and_then<U>(self, f: impl FnOnce(T) -> Fact<U>) -> Fact<U> {
        match self {
            Self::Known(value) => f(value),
            Self::Absent => Fact::Absent,
            Self::Unknown(reason) => Fact::Unknown(reason),
        }
    }
}
