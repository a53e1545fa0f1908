//! The events of a rotation, as the journal holds them, and the one table of what may follow what.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Barrier, Chain, Consent, Direction, Ended, Generation, History, NodeName, Outcome, Revision, Rotation,
    Stage,
};
use crate::domain::{Instant, KeyId};

/// What the journal says of a rotation. An intent is durable before its effect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A rotation was begun.
    Begun {
        /// Its id.
        id: String,
        /// The configuration of all servers.
        found: Generation,
        /// Its keys.
        old: Chain,
        /// The key that is to write. Its name is burnt from here on.
        new: KeyId,
        /// Whether the cut waits for the operator.
        cut: Consent,
    },
    /// The new key's bytes are about to be made. MUST be durable before they are.
    KeyIntended {
        /// The key.
        key: KeyId,
    },
    /// A stage is about to be written. MUST be durable before the first node's file is.
    ConfigIntended {
        /// The intent under which it was decided.
        epoch: u32,
        /// The stage.
        stage: Stage,
        /// The configuration that it is.
        generation: Generation,
    },
    /// A node's file is of a stage. Its folder MUST be synced before.
    ConfigWritten {
        /// The node.
        node: NodeName,
        /// The stage.
        stage: Stage,
    },
    /// A node did not bear a configuration; the former one is in place again.
    PutBack {
        /// The node.
        node: NodeName,
        /// What it did not bear.
        why: String,
    },
    /// The operator has looked at what was refused: try again.
    Resumed,
    /// All servers are proven to be at a stage, on disk and in memory.
    Loaded {
        /// The stage.
        stage: Stage,
        /// The servers.
        nodes: BTreeSet<NodeName>,
    },
    /// That proof does not hold any more.
    BarrierLost {
        /// Why.
        why: String,
    },
    /// Every request that began before the proof has ended.
    DrainEnded {
        /// etcd's revision then.
        revision: Revision,
    },
    /// A census found nothing under a retiring key.
    Verified {
        /// Its revision.
        revision: Revision,
    },
    /// The operator consents to the cut.
    CutAllowed,
    /// The operator wants the old key back.
    RollbackAsked,
    /// It waits for the operator.
    Parked {
        /// Why.
        why: String,
    },
    /// A server ran without its configuration, and may have written plaintext: every configuration of the rotation has become one that
    /// reads that, too.
    PlaintextRead {
        /// What each stage is from now on: that which was found, and those that were intended.
        generations: BTreeMap<Stage, Generation>,
    },
    /// The walk is done.
    Finished,
    /// It was given up before any configuration was written.
    Aborted {
        /// Why.
        why: String,
    },
}

/// An event that cannot follow what the journal says so far.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot follow: {state}")]
pub struct IllegalTransition {
    /// What the journal says so far.
    pub state: String,
    /// The event.
    pub event: String,
}

#[expect(clippy::too_many_lines, reason = "all legal transitions stand in one match")]
/// What the journal says after `event`, which was written at `at`.
///
/// # Errors
/// Names the state and the event when one cannot follow the other.
pub fn record(history: &History, event: &Event, at: &Instant) -> Result<History, IllegalTransition> {
    let illegal = || IllegalTransition {
        state: history
            .rotation
            .as_ref()
            .map_or_else(|| "no rotation is under way".to_owned(), describe),
        event: format!("{event:?}"),
    };
    let mut next = history.clone();
    match (next.rotation.as_mut(), event) {
        (
            None,
            Event::Begun {
                id,
                found,
                old,
                new,
                cut,
            },
        ) if is_fresh(history, old, new) => {
            next.burnt.extend(
                old.keys()
                    .chain([new])
                    .filter(|key| **key != KeyId::Identity)
                    .cloned(),
            );
            next.rotation = Some(begun(id, *found, old, new, *cut));
        }
        (Some(rotation), Event::KeyIntended { key }) if !rotation.key_intended && rotation.new == *key => {
            rotation.key_intended = true;
        }
        (
            Some(rotation),
            Event::ConfigIntended {
                epoch,
                stage,
                generation,
            },
        ) if rotation.epoch == *epoch && may_intend(rotation, *stage) => {
            rotation.goal = *stage;
            rotation.generations.insert(*stage, *generation);
            // What was proven before the last stage is what it is cut on; any other stage needs a barrier of its own.
            if *stage != rotation.direction.last() {
                rotation.barrier = None;
            }
        }
        (Some(rotation), Event::ConfigWritten { node, stage })
            if rotation.generations.contains_key(stage) =>
        {
            rotation.written.insert(node.clone(), *stage);
            rotation.noted.insert(node.clone(), at.clone());
        }
        (Some(rotation), Event::PutBack { node, why }) => {
            rotation.written.remove(node);
            rotation.noted.remove(node);
            rotation.refused = Some(format!("{node} did not bear {}: {why}", rotation.goal));
        }
        (Some(rotation), Event::Resumed) if rotation.refused.is_some() => rotation.refused = None,
        (Some(rotation), Event::Loaded { stage, nodes }) if may_load(rotation, *stage) => {
            rotation.barrier = Some(Barrier {
                stage: *stage,
                nodes: nodes.clone(),
                at: at.clone(),
                drained: None,
                verified: None,
            });
        }
        (Some(rotation), Event::BarrierLost { .. }) if rotation.barrier.is_some() => rotation.barrier = None,
        (
            Some(Rotation {
                barrier: Some(barrier),
                ..
            }),
            Event::DrainEnded { revision },
        ) if barrier.drained.is_none() => {
            barrier.drained = Some(*revision);
        }
        (
            Some(Rotation {
                barrier: Some(barrier),
                ..
            }),
            Event::Verified { revision },
        ) if barrier.drained.is_some_and(|drained| drained <= *revision) => {
            barrier.verified = Some(*revision);
        }
        (Some(rotation), Event::CutAllowed) => rotation.cut = Consent::Auto,
        (Some(rotation), Event::RollbackAsked) if may_turn(rotation) => turn(rotation),
        (Some(rotation), Event::PlaintextRead { generations }) if names_all(rotation, generations) => {
            read_plaintext(rotation, generations, at);
        }
        (Some(rotation), Event::Parked { why }) => rotation.parked = Some(why.clone()),
        (Some(rotation), Event::Finished) if is_done(rotation) => {
            let outcome = match rotation.direction {
                Direction::Forward => Outcome::Rotated,
                Direction::Back => Outcome::RolledBack,
            };
            end(&mut next, outcome);
        }
        (Some(rotation), Event::Aborted { .. }) if rotation.generations.is_empty() => {
            end(&mut next, Outcome::Aborted);
        }
        _ => return Err(illegal()),
    }
    if is_intent(event) {
        next.epoch += 1;
    }
    if let Some(rotation) = &mut next.rotation {
        rotation.epoch = next.epoch;
        if !matches!(event, Event::Parked { .. }) {
            rotation.parked = None;
        }
    }
    Ok(next)
}

/// After these, what was decided before is void (I8).
const fn is_intent(event: &Event) -> bool {
    matches!(
        event,
        Event::Begun { .. }
            | Event::ConfigIntended { .. }
            | Event::RollbackAsked
            | Event::PlaintextRead { .. }
    )
}

/// A new key is one that was never used: not burnt, and not in the configuration (I7).
fn is_fresh(history: &History, old: &Chain, new: &KeyId) -> bool {
    old.write_key() != new && (*new == KeyId::Identity || (!history.burnt.contains(new) && !old.reads(new)))
}

fn begun(id: &str, found: Generation, old: &Chain, new: &KeyId, cut: Consent) -> Rotation {
    Rotation {
        id: id.to_owned(),
        found,
        old: old.clone(),
        new: new.clone(),
        cut,
        direction: Direction::Forward,
        goal: Stage::Old,
        epoch: 0,
        key_intended: false,
        generations: BTreeMap::new(),
        written: BTreeMap::new(),
        ends_reading_plaintext: false,
        noted: BTreeMap::new(),
        barrier: None,
        refused: None,
        parked: None,
    }
}

/// The goal moves by one stage, and to the last one only on a proof (I8, I10).
fn may_intend(rotation: &Rotation, stage: Stage) -> bool {
    let proven = rotation
        .barrier
        .as_ref()
        .is_some_and(|barrier| barrier.stage == rotation.direction.moving() && barrier.verified.is_some());
    rotation.direction.after(rotation.goal) == Some(stage) && (stage != rotation.direction.last() || proven)
}

/// The stage that all are at is the goal, or, while a cut is under way, the one it is cut from.
fn may_load(rotation: &Rotation, stage: Stage) -> bool {
    let cut_from = rotation.goal == rotation.direction.last() && stage == rotation.direction.moving();
    (stage == rotation.goal || cut_from) && !rotation.generations.is_empty()
}

/// There is something to take back, and nothing was cut.
fn may_turn(rotation: &Rotation) -> bool {
    rotation.direction == Direction::Forward && !rotation.generations.is_empty() && !rotation.is_cutting()
}

/// The way back leads over C1 from wherever the roll-out is: C0 and C2 are both its neighbours.
fn turn(rotation: &mut Rotation) {
    rotation.direction = Direction::Back;
    rotation.goal = Stage::ReadNew;
    rotation.barrier = None;
    rotation.refused = None;
    // How far each node came is counted along the new way.
    rotation.written.clear();
}

fn names_all(rotation: &Rotation, generations: &BTreeMap<Stage, Generation>) -> bool {
    let is_known = |stage: &Stage| *stage == Stage::Old || rotation.generations.contains_key(stage);
    let mut all = rotation.generations.keys().chain([&Stage::Old]);
    all.all(|stage| generations.contains_key(stage)) && generations.keys().all(is_known)
}

/// Plaintext is one of the keys that the walk moves values away from and takes out by proof, as if the rotation had begun with it; where
/// the cut was intended already, it stays for the next rotation.
fn read_plaintext(rotation: &mut Rotation, generations: &BTreeMap<Stage, Generation>, at: &Instant) {
    let last = rotation.direction.last();
    rotation.ends_reading_plaintext |= rotation.goal == last && !rotation.chain(last).reads(&KeyId::Identity);
    rotation.old = rotation.old.reading_plaintext();
    for (stage, generation) in generations {
        if *stage == Stage::Old {
            rotation.found = *generation;
        }
        if let Some(former) = rotation.generations.get_mut(stage) {
            *former = *generation;
        }
    }
    // What was proven is not proven of plaintext, and the files are not there for as long as those before them were.
    rotation.barrier = None;
    for noted in rotation.noted.values_mut() {
        *noted = at.clone();
    }
}

fn is_done(rotation: &Rotation) -> bool {
    rotation
        .barrier
        .as_ref()
        .is_some_and(|barrier| barrier.stage == rotation.direction.last() && barrier.verified.is_some())
}

fn end(history: &mut History, outcome: Outcome) {
    history.last = history.rotation.take().map(|rotation| Ended {
        id: rotation.id,
        outcome,
    });
}

fn describe(rotation: &Rotation) -> String {
    let way = match rotation.direction {
        Direction::Forward => "on its way to",
        Direction::Back => "on its way back to",
    };
    format!("rotation {} is {way} {}", rotation.id, rotation.goal)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
