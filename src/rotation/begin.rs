//! The guards of a beginning and of a way back: what an operator asks for, and why it is refused.

use super::{Census, Consent, Event, History, Hold, OnDisk, Stage, World, guards};
use crate::domain::{Fact, KeyId, KeyName};

/// What is asked for. A change of provider, enabling (from plaintext) and disabling (to plaintext) are the same walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// An id that no rotation had before.
    pub id: String,
    /// The key that is to write: a name that was never used, or plaintext.
    pub new: KeyId,
    /// Whether the cut waits for the operator.
    pub cut: Consent,
}

/// Why a request is refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Never two at a time (F29).
    #[error("rotation {0} is under way: let it finish, or roll it back first")]
    UnderWay(String),
    /// There is none to roll back.
    #[error("no rotation is under way")]
    NoRotation,
    /// There is no way back from a cut.
    #[error(
        "rotation {0} is past its cut: the old key is gone from the configuration. It is among the retained keys \
         (`holdfast encryption keys`); to write with another key again, begin a new rotation"
    )]
    Cut(String),
    /// It is on its way back already.
    #[error("rotation {0} is being rolled back already")]
    Turned(String),
    /// The world does not allow it now.
    #[error("{why}. To do: {remedy}")]
    World {
        /// What is wrong.
        why: String,
        /// What the operator can do.
        remedy: String,
    },
    /// Not all servers have the same configuration, on disk and in memory.
    #[error(
        "the API server of {node} does not have the same configuration as the others, on disk and in memory: {found}"
    )]
    Uneven {
        /// The node.
        node: String,
        /// What it has.
        found: String,
    },
    /// The key writes already.
    #[error("{0} is the key that writes already")]
    AlreadyWrites(KeyId),
    /// The name was used before (I7; F45).
    #[error("the key name of {0} was used before, by a key or by a stored value; a name is used once")]
    UsedName(KeyId),
    /// Values under the two could not be told apart (F46).
    #[error(
        "values under {0} and {1} cannot be told apart: one name begins with the other, or contains a colon"
    )]
    AmbiguousName(KeyId, KeyId),
}

/// The event that begins the rotation.
///
/// # Errors
/// Says what stands against it: another rotation, a server that is down or differs, values that cannot be read, a name used before.
pub fn begin(history: &History, request: &Request, world: &World) -> Result<Event, Refusal> {
    if let Some(rotation) = &history.rotation {
        return Err(Refusal::UnderWay(rotation.id.clone()));
    }
    let found = one_configuration(world)?;
    if found.chain.write_key() == &request.new {
        return Err(Refusal::AlreadyWrites(request.new.clone()));
    }
    let census = clean_census(found, world)?;
    unused_name(history, found, census, &request.new)?;
    Ok(Event::Begun {
        id: request.id.clone(),
        found: found.generation,
        old: found.chain.clone(),
        new: request.new.clone(),
        cut: request.cut,
    })
}

/// The event that turns the rotation back, or gives it up where nothing was written yet (F31).
///
/// # Errors
/// When there is none, or it is past its cut.
pub fn rollback(history: &History) -> Result<Event, Refusal> {
    match &history.rotation {
        None => Err(Refusal::NoRotation),
        Some(rotation) if rotation.is_cutting() => Err(Refusal::Cut(rotation.id.clone())),
        Some(rotation) if rotation.direction == super::Direction::Back => {
            Err(Refusal::Turned(rotation.id.clone()))
        }
        Some(rotation) if rotation.goal == Stage::Old => Ok(Event::Aborted {
            why: "the operator gave it up".to_owned(),
        }),
        Some(_) => Ok(Event::RollbackAsked),
    }
}

impl From<Hold> for Refusal {
    fn from(hold: Hold) -> Self {
        let (Hold::Wait(words) | Hold::Park(words)) = hold;
        Self::World {
            why: words.why,
            remedy: words.remedy,
        }
    }
}

/// All servers are there, and have one configuration, on disk and proven in memory (F11, F17).
fn one_configuration(world: &World) -> Result<&OnDisk, Refusal> {
    let mut one = None;
    for (node, view) in guards::members(world)? {
        let disk = guards::on_disk(node, view)?;
        let first = *one.get_or_insert(disk);
        if disk != first || view.running != Fact::Known(disk.generation) {
            let running = match &view.running {
                Fact::Known(generation) => format!("it runs with {generation}"),
                Fact::Absent => "it is down".to_owned(),
                Fact::Unknown(reason) => format!("what it runs with is not proven: {reason}"),
            };
            return Err(Refusal::Uneven {
                node: node.to_string(),
                found: format!("{} on disk; {running}", disk.generation),
            });
        }
    }
    one.ok_or_else(|| Hold::wait("no control-plane node is listed", "make the API server answer").into())
}

/// Every stored value can be read as things are (F37).
fn clean_census<'a>(found: &OnDisk, world: &'a World) -> Result<&'a Census, Refusal> {
    let census = match &world.census {
        Fact::Known(census) => census,
        Fact::Absent => return Err(Hold::wait("no census was taken", "take one").into()),
        Fact::Unknown(reason) => {
            return Err(Hold::wait(format!("the census failed: {reason}"), "mend that").into());
        }
    };
    guards::readable(&found.chain, census)?;
    Ok(census)
}

/// The name is new to the configuration, to etcd and to the journal, and its values can be told from all others (I7).
fn unused_name(history: &History, found: &OnDisk, census: &Census, new: &KeyId) -> Result<(), Refusal> {
    let KeyId::Key { provider, name } = new else {
        return Ok(());
    };
    let used = || {
        found
            .chain
            .keys()
            .chain(census.values.keys())
            .chain(&history.burnt)
    };
    if used().any(|key| key == new) {
        return Err(Refusal::UsedName(new.clone()));
    }
    let is_ambiguous = |other: &&KeyId| match other {
        KeyId::Identity => false,
        KeyId::Key {
            provider: of,
            name: other,
        } => of == provider && is_prefix(name, other),
    };
    if name.as_str().contains(':') {
        return Err(Refusal::AmbiguousName(new.clone(), new.clone()));
    }
    match used().find(is_ambiguous) {
        Some(other) => Err(Refusal::AmbiguousName(new.clone(), other.clone())),
        None => Ok(()),
    }
}

fn is_prefix(one: &KeyName, other: &KeyName) -> bool {
    one.as_str().starts_with(other.as_str()) || other.as_str().starts_with(one.as_str())
}
