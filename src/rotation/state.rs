//! What the journal tells of a rotation: names and intents. Where the rotation *stands* is told by the world.

use std::collections::{BTreeMap, BTreeSet};

use super::{Chain, Direction, Generation, NodeName, Revision, Stage};
use crate::domain::{Instant, KeyId};

/// All that the journal tells of rotations.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct History {
    /// Grows with every intent, over all rotations. What was decided under an older one is void.
    pub epoch: u32,
    /// Every key that was ever made or rotated away from. Their names are never used again.
    pub burnt: BTreeSet<KeyId>,
    /// The rotation under way.
    pub rotation: Option<Rotation>,
    /// How the last one ended.
    pub last: Option<Ended>,
}

/// How a rotation ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Ended {
    /// Its id.
    pub id: String,
    /// How.
    pub outcome: Outcome,
}

/// The outcome of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything is under the new key; the old one is gone from the configuration.
    Rotated,
    /// Everything is as it was; the new key is gone from the configuration.
    RolledBack,
    /// It was given up before any configuration was written.
    Aborted,
}

/// Whether the old key may be cut without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    /// As soon as it is proven that nothing needs it.
    Auto,
    /// Only when the operator has said so.
    Ask,
}

/// A rotation under way, as the journal tells it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Rotation {
    /// Its id.
    pub id: String,
    /// The configuration that it began with (C0).
    pub found: Generation,
    /// The keys of that configuration. All but the new key are old keys, and go by the same proof.
    pub old: Chain,
    /// The key that is to write.
    pub new: KeyId,
    /// Whether the cut waits for the operator.
    pub cut: Consent,
    /// Which way it walks.
    pub direction: Direction,
    /// The stage that it has set out for: the last one intended.
    pub goal: Stage,
    /// The journal's epoch at the last intent of this rotation.
    pub epoch: u32,
    /// Set before the new key's bytes are made: from then on they are in a key store, or lost.
    pub key_intended: bool,
    /// The configurations that were written, or may have been, by stage.
    pub generations: BTreeMap<Stage, Generation>,
    /// The last stage that was durably written on each node.
    pub written: BTreeMap<NodeName, Stage>,
    /// The last stage reads plaintext, too: a server without its configuration may have written some when the cut was made already.
    #[serde(default)]
    pub ends_reading_plaintext: bool,
    /// Since when it is known to be there durably.
    #[serde(default)]
    pub noted: BTreeMap<NodeName, Instant>,
    /// The last time that all servers were proven to be at one stage.
    pub barrier: Option<Barrier>,
    /// A node that did not bear a configuration, until the operator has looked.
    pub refused: Option<String>,
    /// Why it is parked, so that it is said once.
    pub parked: Option<String>,
}

/// All servers were proven to be at a stage, on disk and in memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Barrier {
    /// The stage, or beyond.
    pub stage: Stage,
    /// Which servers.
    pub nodes: BTreeSet<NodeName>,
    /// When the proof was complete.
    pub at: Instant,
    /// etcd's revision when every request of before had ended.
    pub drained: Option<Revision>,
    /// The census that found nothing under a retiring key, and since which a watch saw nothing being written under one: later ones, which
    /// that watch goes on behind, leave it as it is.
    pub verified: Option<Revision>,
}

/// A write of the configuration on one node. It takes place only if [`Rotation::fence`] still lets it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Edit {
    /// The node.
    pub node: NodeName,
    /// The stage that the node comes to.
    pub stage: Stage,
    /// The configuration to write; its bytes were rendered when the stage was intended.
    pub generation: Generation,
    /// What must be on the node's disk just before; anything else was put there by somebody else.
    pub expected: Generation,
    /// The intent under which it was decided.
    pub epoch: u32,
}

/// A write that must not take place any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fenced {
    /// The file is another one by now.
    #[error(
        "{node} has {found} instead of {expected}: somebody else wrote it meanwhile; nothing was written"
    )]
    Disk {
        /// The node.
        node: NodeName,
        /// What must be there.
        expected: Generation,
        /// What is there.
        found: Generation,
    },
    /// The rotation has set out for something else since.
    #[error(
        "the write for {node} was decided under intent {decided}, and the rotation is at intent {now}; nothing was written"
    )]
    Epoch {
        /// The node.
        node: NodeName,
        /// The intent it was decided under.
        decided: u32,
        /// The intent that holds.
        now: u32,
    },
}

impl Rotation {
    /// The keys of a stage.
    #[must_use]
    pub fn chain(&self, stage: Stage) -> Chain {
        match stage {
            Stage::Old => self.old.clone(),
            Stage::ReadNew => self.old.also_reading(&self.new),
            Stage::WriteNew => self.old.also_reading(&self.new).writing(&self.new),
            // On the way back it is `old` that does.
            Stage::New if self.ends_reading_plaintext => Chain::of(self.new.clone()).reading_plaintext(),
            Stage::New => Chain::of(self.new.clone()),
        }
    }

    /// The keys that values are moved away from, and that leave the configuration at the end of the walk.
    #[must_use]
    pub fn retiring(&self) -> BTreeSet<KeyId> {
        let mut retiring: BTreeSet<KeyId> = match self.direction {
            Direction::Forward => self.old.keys().filter(|key| **key != self.new).cloned().collect(),
            Direction::Back => BTreeSet::from([self.new.clone()]),
        };
        if self.ends_reading_plaintext {
            retiring.remove(&KeyId::Identity);
        }
        retiring
    }

    /// True once the new key may have been the first of any server: it may have written.
    #[must_use]
    pub fn is_promoted(&self) -> bool {
        self.generations.contains_key(&Stage::WriteNew)
    }

    /// True once a key may have been cut: there is no way back.
    #[must_use]
    pub fn is_cutting(&self) -> bool {
        self.generations.contains_key(&Stage::New)
    }

    /// How far along the walk a stage lies. Every stage that [`Rotation::place`] answers lies on it.
    #[must_use]
    pub fn rank(&self, stage: Stage) -> usize {
        if self.is_left_behind(stage) {
            return 0;
        }
        self.direction.rank(stage).unwrap_or(usize::MAX)
    }

    /// On the way back to C1, a server at C0 is there already if the new key never wrote: it need not move. Otherwise it has not come
    /// to C1 yet, and is brought there like one that is at C2.
    fn is_left_behind(&self, stage: Stage) -> bool {
        self.direction == Direction::Back
            && self.goal == Stage::ReadNew
            && stage == Stage::Old
            && self.is_promoted()
    }

    /// The stage that a configuration is of; `None` when it is none that this rotation has found or set out for.
    #[must_use]
    pub fn place(&self, generation: Generation) -> Option<Stage> {
        let found = (generation == self.found).then_some(Stage::Old);
        let written = self
            .generations
            .iter()
            .filter(|(_, written)| **written == generation)
            .map(|(stage, _)| *stage);
        // Two stages are one configuration when identity is in both; the further one counts.
        written
            .chain(found)
            .filter(|stage| self.has_set_out_for(*stage))
            .max_by_key(|stage| self.rank(*stage))
    }

    /// The configuration one stage before that of `generation` on the walk: its neighbour, so that each reads what the other writes.
    /// `None` at the beginning of the walk.
    #[must_use]
    pub fn before(&self, generation: Generation) -> Option<Generation> {
        let rank = self.rank(self.place(generation)?).checked_sub(1)?;
        self.generation(*self.direction.walk().get(rank)?)
    }

    /// The configuration of a stage, as far as there is one yet.
    #[must_use]
    pub fn generation(&self, stage: Stage) -> Option<Generation> {
        let found = (stage == Stage::Old).then_some(self.found);
        self.generations.get(&stage).copied().or(found)
    }

    fn has_set_out_for(&self, stage: Stage) -> bool {
        // A roll-out of C1 that is called off half-way leaves servers that never left C0.
        let never_left = self.direction == Direction::Back && stage == Stage::Old;
        self.rank(stage) <= self.rank(self.goal) || never_left
    }

    /// True when a server that joins, or comes back, with `joining` may serve beside servers that use, or would use after a restart,
    /// `in_use`: each can read what the others write, now and after the step that is under way (I11). The last stage cannot read the
    /// retiring keys; a server joins with it only where another has it, because that one's file was written on a proof (I3).
    #[must_use]
    pub fn admits(&self, joining: Generation, in_use: &[Generation]) -> bool {
        let Some(stage) = self.place(joining) else {
            return false;
        };
        let is_at_hand = !self.is_left_behind(stage) && self.rank(stage) + 1 >= self.rank(self.goal);
        let is_beside = |other: &Generation| self.place(*other).is_some_and(|other| stage.is_beside(other));
        let is_proven = stage != self.direction.last() || in_use.contains(&joining);
        is_at_hand && is_proven && in_use.iter().all(is_beside)
    }

    /// The last look before a write: under the lock, with what is on the node's disk now (I8).
    ///
    /// # Errors
    /// When somebody else wrote the file, or the rotation has set out for something else since.
    pub fn fence(&self, edit: &Edit, on_disk: Generation) -> Result<(), Fenced> {
        if edit.epoch != self.epoch {
            return Err(Fenced::Epoch {
                node: edit.node.clone(),
                decided: edit.epoch,
                now: self.epoch,
            });
        }
        if edit.expected != on_disk {
            return Err(Fenced::Disk {
                node: edit.node.clone(),
                expected: edit.expected,
                found: on_disk,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::Event;
    use crate::rotation::fixtures::{
        NEW, OLD, chain, events_to, generation, history, key, node, rotation_at,
    };

    fn turned(stage: Stage) -> Rotation {
        let mut events = events_to(stage);
        events.push(Event::RollbackAsked);
        history(&events).rotation.unwrap()
    }

    #[test]
    fn all_keys_but_the_new_one_retire_and_on_the_way_back_the_new_one() {
        let mut rotation = rotation_at(Stage::WriteNew);
        rotation.old = Chain::new(vec![key(OLD), key("key1"), KeyId::Identity]).unwrap();
        assert_eq!(
            rotation.chain(Stage::WriteNew).to_string(),
            "[aescbc:new, aescbc:old, aescbc:key1, identity]"
        );
        assert_eq!(
            rotation.retiring(),
            BTreeSet::from([key(OLD), key("key1"), KeyId::Identity])
        );
        rotation.new = KeyId::Identity;
        assert_eq!(rotation.chain(Stage::ReadNew), rotation.old);
        assert_eq!(rotation.chain(Stage::New), Chain::of(KeyId::Identity));
        assert_eq!(rotation.retiring(), BTreeSet::from([key(OLD), key("key1")]));
        assert_eq!(turned(Stage::WriteNew).retiring(), BTreeSet::from([key(NEW)]));
        assert_eq!(rotation_at(Stage::Old).chain(Stage::Old), chain(&[OLD]));
    }

    #[test]
    fn a_configuration_is_of_a_stage_only_once_that_is_intended() {
        let rotation = rotation_at(Stage::ReadNew);
        assert_eq!(rotation.place(generation(Stage::Old)), Some(Stage::Old));
        assert_eq!(rotation.place(generation(Stage::ReadNew)), Some(Stage::ReadNew));
        assert_eq!(rotation.place(generation(Stage::WriteNew)), None);
        assert_eq!(rotation.place(Generation::Plain), None);
    }

    #[test]
    fn what_goes_back_when_a_server_does_not_bear_a_configuration_is_its_neighbour() {
        let stages = [Stage::Old, Stage::ReadNew, Stage::WriteNew, Stage::New];
        for pair in stages.windows(2) {
            let (before, at) = (pair[0], pair[1]);
            assert_eq!(
                rotation_at(at).before(generation(at)),
                Some(generation(before)),
                "{at}"
            );
        }
        assert_eq!(rotation_at(Stage::Old).before(generation(Stage::Old)), None);
        let back = turned(Stage::WriteNew);
        assert_eq!(
            back.before(generation(Stage::ReadNew)),
            Some(generation(Stage::WriteNew))
        );
        assert_eq!(back.before(generation(Stage::WriteNew)), None);
        assert_eq!(rotation_at(Stage::New).before(Generation::Plain), None);
    }

    #[test]
    fn a_node_joins_with_the_goal_or_the_stage_before_it() {
        let admitted = |rotation: &Rotation| {
            let all = [Stage::Old, Stage::ReadNew, Stage::WriteNew, Stage::New].into_iter();
            all.filter(|stage| rotation.admits(generation(*stage), &[generation(*stage)]))
                .collect::<Vec<_>>()
        };
        assert_eq!(admitted(&rotation_at(Stage::Old)), [Stage::Old]);
        assert_eq!(
            admitted(&rotation_at(Stage::ReadNew)),
            [Stage::Old, Stage::ReadNew]
        );
        assert_eq!(
            admitted(&rotation_at(Stage::WriteNew)),
            [Stage::ReadNew, Stage::WriteNew]
        );
        assert_eq!(admitted(&rotation_at(Stage::New)), [Stage::WriteNew, Stage::New]);
        // C0 cannot read what the new key may have written.
        assert_eq!(
            admitted(&turned(Stage::WriteNew)),
            [Stage::ReadNew, Stage::WriteNew]
        );
        assert_eq!(admitted(&turned(Stage::ReadNew)), [Stage::Old, Stage::ReadNew]);
        // One that is further on than a server can read does not join beside it, whatever the goal.
        let rotation = rotation_at(Stage::WriteNew);
        let joins = |in_use: &[Generation]| rotation.admits(generation(Stage::WriteNew), in_use);
        assert!(joins(&[generation(Stage::ReadNew), generation(Stage::WriteNew)]));
        assert!(!joins(&[generation(Stage::ReadNew), generation(Stage::Old)]));
        assert!(!joins(&[Generation::Plain]), "not of this rotation");
        // The last stage is joined only where the cut was made.
        let cutting = rotation_at(Stage::New);
        let joins = |in_use: &[Generation]| cutting.admits(generation(Stage::New), in_use);
        assert!(joins(&[generation(Stage::WriteNew), generation(Stage::New)]));
        assert!(!joins(&[generation(Stage::WriteNew)]));
    }

    #[test]
    fn a_write_goes_through_only_on_the_file_and_under_the_intent_it_was_decided_for() {
        let rotation = rotation_at(Stage::ReadNew);
        let edit = Edit {
            node: node("a"),
            stage: Stage::ReadNew,
            generation: generation(Stage::ReadNew),
            expected: generation(Stage::Old),
            epoch: rotation.epoch,
        };
        assert_eq!(rotation.fence(&edit, generation(Stage::Old)), Ok(()));
        assert_eq!(
            rotation.fence(&edit, Generation::Plain),
            Err(Fenced::Disk {
                node: node("a"),
                expected: generation(Stage::Old),
                found: Generation::Plain,
            })
        );
        assert_eq!(
            turned(Stage::ReadNew).fence(&edit, generation(Stage::Old)),
            Err(Fenced::Epoch {
                node: node("a"),
                decided: 2,
                now: 3,
            })
        );
    }
}
