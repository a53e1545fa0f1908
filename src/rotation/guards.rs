//! The guards: what must have been observed before a step. Each is one question; "unknown" is never yes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{
    Barrier, Census, Chain, Consent, Direction, Etcd, Generation, Hold, Limits, Membership, NodeName,
    NodeView, OnDisk, Revision, Rotation, Sighting, Stage, Stuck, Tally, Watch, World,
};
use crate::domain::{Fact, Instant, KeyId};

/// Where one server stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) node: &'a NodeName,
    /// The configuration on its disk, and its stage.
    pub(super) generation: Generation,
    pub(super) disk: Stage,
    /// The stage that it has loaded; `None` when it is not running.
    pub(super) running: Option<Stage>,
}

/// Whether the requests of before the barrier have ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Drain {
    Over,
    Left(Duration),
    /// The node was booted since: nobody knows for how long it was off.
    Unknown,
}

/// The servers: every one of them, seen, and the same ones before and after the look (I2, I11; F12, F16, F17).
pub(super) fn members(world: &World) -> Result<BTreeMap<&NodeName, &NodeView>, Hold> {
    let before = listed(&world.members_before)?;
    let after = listed(&world.members_after)?;
    if before != after {
        return Err(Hold::wait(
            "the set of control-plane nodes changed while they were looked at",
            "wait until the node has joined or left",
        ));
    }
    if let Some(stranger) = after.strangers.first() {
        return Err(Hold::park(
            format!("the API server {stranger} uses this etcd and belongs to no known node"),
            "stop it, or make its node a control-plane node that Holdfast runs on",
        ));
    }
    after
        .nodes
        .iter()
        .map(|node| {
            let view = world.nodes.get(node).ok_or_else(|| {
                Hold::wait(
                    format!("nothing is known of node {node}"),
                    "bring it back, or evict it for good",
                )
            })?;
            Ok((node, view))
        })
        .collect()
}

fn listed(members: &Fact<Membership>) -> Result<&Membership, Hold> {
    let remedy = "make the API server answer";
    match members {
        Fact::Known(members) => Ok(members),
        Fact::Absent => Err(Hold::wait("no control-plane node is listed", remedy)),
        Fact::Unknown(reason) => Err(Hold::wait(
            format!("the control-plane nodes are not known: {reason}"),
            remedy,
        )),
    }
}

/// Where each server stands. A file or process that is none of the rotation's own is not touched (F6, F14, F25, F30; I12).
pub(super) fn places<'a>(
    rotation: &Rotation,
    members: &BTreeMap<&'a NodeName, &'a NodeView>,
) -> Result<Vec<Place<'a>>, Hold> {
    members
        .iter()
        .map(|(node, view)| {
            let disk = on_disk(node, view)?;
            Ok(Place {
                node,
                generation: disk.generation,
                disk: disk_stage(rotation, node, disk)?,
                running: running_stage(rotation, node, &view.running)?,
            })
        })
        .collect()
}

pub(super) fn on_disk<'a>(node: &NodeName, view: &'a NodeView) -> Result<&'a OnDisk, Hold> {
    match &view.disk {
        Fact::Known(disk) => Ok(disk),
        Fact::Absent => Err(Hold::park(
            format!(
                "the encryption configuration of {node} is gone; its API server will not start again without it"
            ),
            "put the file back from the retained configurations",
        )),
        Fact::Unknown(reason) => Err(Hold::wait(
            format!("the encryption configuration of {node} is not known: {reason}"),
            "make it readable",
        )),
    }
}

fn disk_stage(rotation: &Rotation, node: &NodeName, disk: &OnDisk) -> Result<Stage, Hold> {
    let stage = match (rotation.place(disk.generation), disk.generation) {
        (Some(stage), _) => stage,
        (None, Generation::Plain) => {
            return Err(Hold::park(
                format!(
                    "the API server of {node} has lost its encryption configuration and would write plaintext"
                ),
                "put the flag and the mount back into its manifest",
            ));
        }
        (None, Generation::File(_)) => {
            return Err(Hold::park(
                format!(
                    "somebody else wrote the encryption configuration of {node}: its keys are {}",
                    disk.chain
                ),
                format!(
                    "put back {} of {}, keys {}",
                    rotation
                        .generations
                        .get(&rotation.goal)
                        .unwrap_or(&rotation.found),
                    rotation.goal,
                    rotation.chain(rotation.goal)
                ),
            ));
        }
    };
    match rotation.written.get(node) {
        Some(written) if rotation.rank(*written) > rotation.rank(stage) => Err(Hold::park(
            format!("{node} was at {written}, and somebody put {stage} back"),
            format!("put {written} back, or roll the rotation back"),
        )),
        Some(_) | None => Ok(stage),
    }
}

fn running_stage(
    rotation: &Rotation,
    node: &NodeName,
    running: &Fact<Generation>,
) -> Result<Option<Stage>, Hold> {
    match running {
        Fact::Absent => Ok(None),
        Fact::Known(generation) => rotation.place(*generation).map(Some).ok_or_else(|| {
            Hold::park(
                format!("the API server of {node} runs with {generation}, which is none of this rotation's"),
                "let it load its file: restart it",
            )
        }),
        Fact::Unknown(reason) => Err(Hold::wait(
            format!("what the API server of {node} has loaded is not proven: {reason}"),
            "restart it, or let Holdfast read its metrics",
        )),
    }
}

/// No two configurations that any server uses, or would use after a restart, are further apart than neighbours (I2, I5).
pub(super) fn in_step(rotation: &Rotation, places: &[Place<'_>]) -> Result<(), Hold> {
    let stages = || places.iter().flat_map(pots);
    let (Some(lowest), Some(highest)) = (stages().min(), stages().max()) else {
        return Err(Hold::wait(
            "there is no control-plane node",
            "look at the cluster",
        ));
    };
    if lowest.is_beside(highest) {
        return Ok(());
    }
    let behind = places
        .iter()
        .find(|place| pots(place).any(|stage| stage == lowest))
        .map_or_else(String::new, |place| place.node.to_string());
    Err(Hold::park(
        format!("{behind} is more than one stage behind: what it writes cannot be read everywhere"),
        format!("stop its API server and put {} on its disk", rotation.goal),
    ))
}

/// The stages of what a server uses, and would use after a restart.
pub(super) fn pots(place: &Place<'_>) -> impl Iterator<Item = Stage> {
    [Some(place.disk), place.running].into_iter().flatten()
}

/// Every server runs: one that is down proves nothing, and is not left behind (I15; F11 to F13, F18).
pub(super) fn all_running(places: &[Place<'_>]) -> Result<(), Hold> {
    running_beside(places, None)
}

/// Every server but this one runs.
pub(super) fn running_beside(places: &[Place<'_>], beside: Option<&NodeName>) -> Result<(), Hold> {
    places
        .iter()
        .find(|place| place.running.is_none() && Some(place.node) != beside)
        .map_or(Ok(()), |down| {
            Err(Hold::wait(
                format!("the API server of {} is down", down.node),
                "look at its log, and start it",
            ))
        })
}

/// etcd answers with a quorum (I15; F32).
pub(super) fn etcd(world: &World) -> Result<Etcd, Hold> {
    match &world.etcd {
        Fact::Known(etcd) => Ok(*etcd),
        Fact::Absent => Err(Hold::wait("etcd is not running", "start it")),
        Fact::Unknown(reason) => Err(Hold::wait(
            format!("etcd does not answer: {reason}"),
            "bring back its quorum",
        )),
    }
}

/// In how many places the key lies durably (I6; F4). Plaintext needs no key.
pub(super) fn copies(world: &World, key: &KeyId, limits: &Limits) -> Result<usize, Hold> {
    match &world.keys {
        _ if *key == KeyId::Identity => Ok(limits.min_copies),
        Fact::Known(keys) => Ok(keys.copies.get(key).copied().unwrap_or(0)),
        Fact::Absent => Ok(0),
        Fact::Unknown(reason) => Err(Hold::wait(
            format!("the key store is not readable: {reason}"),
            "mend it",
        )),
    }
}

/// The new key is durable in enough places before it can first write (I6).
pub(super) fn is_durable(copies: usize, limits: &Limits) -> bool {
    copies >= limits.min_copies
}

/// The time since the barrier is longer than any request lives, so none of before it is under way (F38).
pub(super) fn drain(barrier: &Barrier, now: &Instant, limits: &Limits) -> Drain {
    match now.elapsed_since(&barrier.at) {
        None => Drain::Unknown,
        Some(elapsed) if elapsed >= limits.drain => Drain::Over,
        Some(elapsed) => Drain::Left(limits.drain.saturating_sub(elapsed)),
    }
}

/// The census, if it can prove something: complete, at one revision, of after the drain, and young (I3; F33, F52).
pub(super) fn usable<'a>(world: &'a World, drained: Revision, limits: &Limits) -> Option<&'a Census> {
    world.census.known().filter(|census| {
        let is_young = world
            .now
            .elapsed_since(&census.at)
            .is_some_and(|age| age <= limits.proof_age);
        is_young && census.first == census.last && census.first >= drained
    })
}

/// Every stored value can be read by the configuration that all servers have (F37, F43).
pub(super) fn readable(chain: &Chain, census: &Census) -> Result<(), Hold> {
    let remedy =
        "put the key back as a read key, or delete the objects; `holdfast encryption verify` names them";
    if let Some(Sighting { count, example }) = &census.undecryptable {
        return Err(Hold::park(
            format!("{count} value(s) do not decrypt, {example} among them"),
            remedy,
        ));
    }
    if let Some(Sighting { count, example }) = &census.foreign_kms {
        return Err(Hold::park(
            format!(
                "{count} value(s) are under a key management service that the configuration does not have for their resource, {example} \
                 among them"
            ),
            "put its provider back into the entry of their resource; whether it can read them is the service's own affair",
        ));
    }
    if let Some((prefix, count)) = census.unknown.first_key_value() {
        return Err(Hold::park(
            format!("{count} values are under the unknown key {prefix}"),
            remedy,
        ));
    }
    match held(census).find(|(key, _)| !chain.reads(key)) {
        Some((key, tally)) => Err(Hold::park(
            format!(
                "{} values are under {key}, which is not in the configuration",
                tally.count
            ),
            remedy,
        )),
        None => Ok(()),
    }
}

/// The values that still need a retiring key, by key; empty is what lets it go (I3, I10).
pub(super) fn leftover(census: &Census, retiring: &BTreeSet<KeyId>) -> BTreeMap<KeyId, Tally> {
    held(census)
        .filter(|(key, _)| retiring.contains(key))
        .map(|(key, tally)| (key.clone(), *tally))
        .collect()
}

/// No value outside of what the configuration is known to cover needs a retiring key: a server that is newer than what is known of it may
/// keep a covered resource where nobody looks for it.
pub(super) fn nowhere_else<'a>(
    census: &Census,
    retiring: impl IntoIterator<Item = &'a KeyId>,
) -> Result<(), Hold> {
    let found = retiring.into_iter().find_map(|key| {
        let sighting = census.elsewhere.get(key)?;
        Some((key, sighting))
    });
    match found {
        Some((key, Sighting { count, example })) => Err(Hold::park(
            format!(
                "{count} value(s) outside of what the configuration is known to encrypt are under {key}, {example} among them: without \
                 the key nobody could read them"
            ),
            "name their resource in the configuration (`holdfast encryption abort` turns a rotation that is under way back first), or, if \
             nobody needs them, delete them; the key stays readable meanwhile",
        )),
        None => Ok(()),
    }
}

fn held(census: &Census) -> impl Iterator<Item = (&KeyId, &Tally)> {
    census.values.iter().filter(|(_, tally)| tally.count > 0)
}

/// So many values that are stuck are named at once.
const NAMED_STUCK: usize = 5;

/// Some of the values that are left can be re-encrypted (L3; F36). When none can, each is named with its reason.
pub(super) fn movable(leftover: &BTreeMap<KeyId, Tally>, stuck: &Stuck) -> Result<(), Hold> {
    let left: u64 = leftover.values().map(|tally| tally.count).sum();
    match stuck.named.first() {
        Some(_) if left <= stuck.total => {
            let named: Vec<String> = stuck
                .named
                .iter()
                .take(NAMED_STUCK)
                .map(|value| format!("{}: {}", value.object, value.why))
                .collect();
            Err(Hold::park(
                format!("{left} values cannot be re-encrypted; {}", named.join("; ")),
                "mend what refuses the write, or delete the objects: they are tried again by themselves, and both keys stay readable meanwhile",
            ))
        }
        Some(_) | None => Ok(()),
    }
}

/// Since a revision the watch saw every write, and none under a retiring key (F38).
pub(super) fn watched(watch: &Fact<Watch>, since: Revision, retiring: &BTreeSet<KeyId>) -> bool {
    watch.known().is_some_and(|watch| {
        watch.from <= since
            && watch
                .writes
                .iter()
                .all(|(key, revision)| *revision <= since || !retiring.contains(key))
    })
}

/// No revision that can still be read holds a value under a retiring key (I4; F42): from `verified` on there was none.
pub(super) fn compacted(etcd: Etcd, verified: Revision) -> Result<(), Hold> {
    if etcd.compacted >= verified {
        return Ok(());
    }
    Err(Hold::wait(
        format!(
            "etcd's history still holds values under the old key: it is compacted up to revision {}, and must be to {verified}",
            etcd.compacted
        ),
        "wait for the API server's compaction, every 5 minutes unless --etcd-compaction-interval says otherwise; with 0 there, etcd must \
         compact by itself (--auto-compaction-retention), or you (`etcdctl compact`)",
    ))
}

/// The retiring keys that are not among the retained ones yet (I14).
pub(super) fn unretained(world: &World, retiring: &BTreeSet<KeyId>) -> Result<BTreeSet<KeyId>, Hold> {
    let kept = match &world.keys {
        Fact::Known(keys) => keys.retained.clone(),
        Fact::Absent => BTreeSet::new(),
        Fact::Unknown(reason) => {
            return Err(Hold::wait(
                format!("the key store is not readable: {reason}"),
                "mend it",
            ));
        }
    };
    Ok(retiring
        .iter()
        .filter(|key| **key != KeyId::Identity && !kept.contains(key))
        .cloned()
        .collect())
}

/// The operator lets the old key go; on the way back nobody needs to be asked again.
pub(super) fn consented(rotation: &Rotation) -> Result<(), Hold> {
    match (rotation.direction, rotation.cut) {
        (Direction::Back, _) | (_, Consent::Auto) => Ok(()),
        (Direction::Forward, Consent::Ask) => Err(Hold::ask(
            "it is proven that nothing needs the old key; removing it waits for consent",
            "`holdfast encryption rotate --cut`, or roll back",
        )),
    }
}

/// No node has refused a configuration that the operator has not looked at (F18, F22).
pub(super) fn not_refused(rotation: &Rotation) -> Result<(), Hold> {
    rotation.refused.as_ref().map_or(Ok(()), |why| {
        Err(Hold::park(
            why,
            "mend the cause and resume the rotation, or roll it back",
        ))
    })
}

#[cfg(test)]
#[path = "guards_tests.rs"]
mod tests;
