//! The next step of a rotation: decided by what the world shows now; the journal adds what was intended.
//!
//! The walk is one rule. Of all configurations that a server uses, or would use after a restart, the one furthest behind comes first:
//! its node is brought one stage on, on disk and then in memory. Only when every server is at the goal may the next stage be intended.
//! So there are never more than two configurations, and they are always neighbours.

use std::collections::{BTreeMap, BTreeSet};

use super::guards::{self, Drain, Place};
use super::{
    Barrier, Direction, Edit, Event, Hold, Limits, NodeName, NodeView, Revision, Rotation, Stage, Step, World,
};

type Stop = Box<Step>;

/// The next step: one act, or why there is none.
pub fn next(rotation: &Rotation, world: &World, limits: &Limits) -> Step {
    let pass = Pass {
        rotation,
        world,
        limits,
    };
    pass.decide().unwrap_or_else(|stop| *stop)
}

struct Pass<'a> {
    rotation: &'a Rotation,
    world: &'a World,
    limits: &'a Limits,
}

impl<'a> Pass<'a> {
    fn decide(&self) -> Result<Step, Stop> {
        guards::not_refused(self.rotation)?;
        let members = guards::members(self.world)?;
        let places = guards::places(self.rotation, &members)?;
        guards::in_step(self.rotation, &places)?;
        let lowest = self.lowest(&places);
        if let Some(note) = self.to_note(&places, lowest) {
            return Ok(Step::Note(note));
        }
        if lowest < self.rotation.rank(self.rotation.goal) {
            return self.catch_up(lowest, &members, &places);
        }
        guards::all_running(&places)?;
        self.go_on(&members)
    }

    /// How far along the walk the configuration is that is furthest behind.
    fn lowest(&self, places: &[Place<'_>]) -> usize {
        let stages = places.iter().flat_map(guards::pots);
        let ranks = stages.map(|stage| self.rotation.rank(stage));
        ranks.min().unwrap_or_default()
    }

    /// What the journal does not say yet of what was done, or says and no longer holds.
    fn to_note(&self, places: &[Place<'_>], lowest: usize) -> Option<Event> {
        let rotation = self.rotation;
        if rotation
            .barrier
            .as_ref()
            .is_some_and(|barrier| lowest < rotation.rank(barrier.stage))
        {
            return Some(Event::BarrierLost {
                why: "a server is behind the stage that all had reached".to_owned(),
            });
        }
        let unsaid = |place: &&Place<'_>| {
            rotation.generations.contains_key(&place.disk)
                && rotation.written.get(place.node) != Some(&place.disk)
        };
        places.iter().find(unsaid).map(|place| Event::ConfigWritten {
            node: place.node.clone(),
            stage: place.disk,
        })
    }

    /// Brings the first server that is furthest behind one stage on.
    fn catch_up(
        &self,
        lowest: usize,
        members: &BTreeMap<&'a NodeName, &'a NodeView>,
        places: &[Place<'_>],
    ) -> Result<Step, Stop> {
        let rotation = self.rotation;
        let Some(stage) = rotation.direction.walk().get(lowest + 1).copied() else {
            return Err(Hold::wait("every server is at the end of the walk", "nothing").into());
        };
        let Some(generation) = rotation.generations.get(&stage).copied() else {
            return Ok(self.intend(stage));
        };
        let is_behind = |stage| rotation.rank(stage) == lowest;
        let Some(place) = places.iter().find(|place| is_behind(place.disk)) else {
            let behind = places.iter().find(|place| place.running.is_some_and(is_behind));
            return self.load(behind.map(|place| place.node), places);
        };
        guards::all_running(places)?;
        if stage == rotation.direction.last() {
            self.may_cut(members)?;
        }
        Ok(Step::Write(Edit {
            node: place.node.clone(),
            stage,
            generation,
            expected: place.generation,
            epoch: rotation.epoch,
        }))
    }

    /// Every file is ahead; a process that is behind loads its own. At most one server is down at a time (I15).
    fn load(&self, behind: Option<&NodeName>, places: &[Place<'_>]) -> Result<Step, Stop> {
        guards::running_beside(places, behind)?;
        guards::etcd(self.world)?;
        behind.map_or_else(
            || Err(Hold::wait("no API server is behind", "nothing: it is looked at again").into()),
            |node| Ok(Step::Load(node.clone())),
        )
    }

    /// Every server is at the goal, on disk and in memory.
    fn go_on(&self, members: &BTreeMap<&'a NodeName, &'a NodeView>) -> Result<Step, Stop> {
        let rotation = self.rotation;
        match (rotation.direction, rotation.goal) {
            (Direction::Forward, Stage::Old) => {
                self.key_is_durable()?;
                Ok(self.intend(Stage::ReadNew))
            }
            (Direction::Forward, Stage::ReadNew) => {
                self.key_is_durable()?;
                Ok(self.intend(Stage::WriteNew))
            }
            (Direction::Forward, Stage::WriteNew) => {
                self.may_cut(members)?;
                Ok(self.intend(Stage::New))
            }
            (Direction::Back, Stage::ReadNew) => {
                self.may_cut(members)?;
                Ok(self.intend(Stage::Old))
            }
            (Direction::Forward, Stage::New) | (Direction::Back, Stage::Old) => {
                self.proven(members, rotation.direction.last())?;
                Ok(Step::Note(Event::Finished))
            }
            (Direction::Back, Stage::WriteNew | Stage::New) => Err(Hold::park(
                format!(
                    "the journal says that the way back leads to {}, which it does not",
                    rotation.goal
                ),
                "look at the journal; both keys stay readable meanwhile",
            )
            .into()),
        }
    }

    fn intend(&self, stage: Stage) -> Step {
        let drops = match stage == self.rotation.direction.last() {
            true => self.rotation.retiring(),
            false => BTreeSet::new(),
        };
        Step::Intend {
            epoch: self.rotation.epoch,
            stage,
            chain: self.rotation.chain(stage),
            drops,
        }
    }

    /// The new key is durable before anything names it (I6). A key that was made and is nowhere is lost, and so is its name (F3).
    fn key_is_durable(&self) -> Result<(), Stop> {
        let rotation = self.rotation;
        let copies = guards::copies(self.world, &rotation.new, self.limits)?;
        if guards::is_durable(copies, self.limits) {
            return Ok(());
        }
        if copies > 0 || !rotation.key_intended {
            return Err(Box::new(Step::StoreKey(rotation.new.clone())));
        }
        let why = format!("the key {} was lost before it was stored", rotation.new);
        Err(if rotation.generations.is_empty() {
            Box::new(Step::Note(Event::Aborted { why }))
        } else {
            Hold::park(why, "roll the rotation back").into()
        })
    }

    /// The guard of the one act that cannot be undone: nothing needs the retiring keys, and nothing will (I3, I4, I10, I14).
    fn may_cut(&self, members: &BTreeMap<&'a NodeName, &'a NodeView>) -> Result<(), Stop> {
        let rotation = self.rotation;
        let verified = self.proven(members, rotation.direction.moving())?;
        let unretained = guards::unretained(self.world, &rotation.retiring())?;
        if !unretained.is_empty() {
            return Err(Box::new(Step::Retain(unretained)));
        }
        guards::compacted(guards::etcd(self.world)?, verified)?;
        guards::consented(rotation)?;
        Ok(())
    }

    /// Proves that, with all servers at `stage`, nothing is under a retiring key; since which revision nothing was.
    fn proven(&self, members: &BTreeMap<&'a NodeName, &'a NodeView>, stage: Stage) -> Result<Revision, Stop> {
        let rotation = self.rotation;
        let barrier = self.barrier(members, stage)?;
        let drained = self.drained(barrier)?;
        let census =
            guards::usable(self.world, drained, self.limits).ok_or_else(|| Box::new(Step::Verify))?;
        guards::readable(&rotation.chain(rotation.direction.moving()), census)?;
        let retiring = rotation.retiring();
        let leftover = guards::leftover(census, &retiring);
        if leftover.values().any(|tally| tally.newest > drained) {
            return Err(lost(
                "a value was written under a retiring key after every request of before had ended",
            ));
        }
        if !leftover.is_empty() {
            return Err(self.move_on(leftover.into_keys().collect(), census, stage));
        }
        guards::nowhere_else(census, &retiring)?;
        let watched = |since| guards::watched(&self.world.watch, since, &retiring);
        if !watched(census.first) {
            return Err(Box::new(Step::Verify));
        }
        // A census that takes the place of an aged one proves no less of what was before it, as long as the watch goes back to the first.
        match barrier.verified {
            Some(verified) if verified <= census.first && watched(verified) => Ok(verified),
            Some(_) | None => Err(Box::new(Step::Note(Event::Verified {
                revision: census.first,
            }))),
        }
    }

    fn barrier(
        &self,
        members: &BTreeMap<&'a NodeName, &'a NodeView>,
        stage: Stage,
    ) -> Result<&'a Barrier, Stop> {
        let nodes: BTreeSet<NodeName> = members.keys().map(|node| (*node).clone()).collect();
        match &self.rotation.barrier {
            Some(barrier) if barrier.stage != stage => {
                Err(Box::new(Step::Note(Event::Loaded { stage, nodes })))
            }
            None => Err(Box::new(Step::Note(Event::Loaded { stage, nodes }))),
            Some(barrier) if barrier.nodes != nodes => {
                Err(lost("the set of control-plane nodes has changed"))
            }
            Some(barrier) => Ok(barrier),
        }
    }

    fn drained(&self, barrier: &Barrier) -> Result<Revision, Stop> {
        if let Some(revision) = barrier.drained {
            return Ok(revision);
        }
        Err(match guards::drain(barrier, &self.world.now, self.limits) {
            Drain::Unknown => lost("the machine was booted since"),
            Drain::Left(left) => Hold::wait(
                format!("requests of before may still commit for {} s", left.as_secs() + 1),
                "nothing: it passes",
            )
            .into(),
            Drain::Over => {
                let revision = guards::etcd(self.world)?.revision;
                Box::new(Step::Note(Event::DrainEnded { revision }))
            }
        })
    }

    /// There are values under a retiring key: re-encrypt what can be, while the key can still be read.
    fn move_on(&self, keys: BTreeSet<crate::domain::KeyId>, census: &super::Census, stage: Stage) -> Stop {
        if stage == self.rotation.direction.last() {
            return Hold::park(
                "values are under a key that is no longer in the configuration",
                "put it back as a read key: `holdfast encryption keys` lists the retained ones",
            )
            .into();
        }
        match guards::movable(&guards::leftover(census, &keys), &self.world.stuck) {
            Err(hold) => hold.into(),
            Ok(()) => Box::new(Step::Reencrypt(keys)),
        }
    }
}

fn lost(why: &str) -> Stop {
    Box::new(Step::Note(Event::BarrierLost { why: why.to_owned() }))
}

#[cfg(test)]
#[path = "next_tests.rs"]
mod tests;
