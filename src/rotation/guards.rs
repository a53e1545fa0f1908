//! The guards: what must have been observed before a step. Each is one question; "unknown" is never yes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{
    Barrier, Census, Chain, Consent, Direction, Etcd, Generation, Hold, Limits, Membership, NodeName,
    NodeView, OnDisk, Rotation, Stage, Stuck, Tally, Watch, World,
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
pub(super) fn usable<'a>(world: &'a World, drained: super::Revision, limits: &Limits) -> Option<&'a Census> {
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
    if let Some(object) = census.undecryptable.first() {
        let count = census.undecryptable.len();
        return Err(Hold::park(
            format!("{count} value(s) do not decrypt, {object} among them"),
            remedy,
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
                "mend what refuses the write, or delete the objects; both keys stay readable meanwhile",
            ))
        }
        Some(_) | None => Ok(()),
    }
}

/// Since the census the watch saw every write, and none under a retiring key (F38).
pub(super) fn watched(watch: &Fact<Watch>, census: &Census, retiring: &BTreeSet<KeyId>) -> bool {
    watch.known().is_some_and(|watch| {
        watch.from <= census.first
            && watch
                .writes
                .iter()
                .all(|(key, revision)| *revision <= census.first || !retiring.contains(key))
    })
}

/// No revision that can still be read holds a value under a retiring key (I4; F42).
pub(super) fn compacted(etcd: Etcd, census: &Census) -> Result<(), Hold> {
    if etcd.compacted >= census.first {
        return Ok(());
    }
    Err(Hold::wait(
        format!(
            "etcd's history still holds values under the old key: it is compacted up to revision {}, and must be to {}",
            etcd.compacted, census.first
        ),
        "wait for the API server's compaction, every 5 minutes unless --etcd-compaction-interval says otherwise",
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
        (Direction::Forward, Consent::Ask) => Err(Hold::park(
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
mod tests {
    use super::*;
    use crate::rotation::fixtures::{
        NEW, OLD, at, census, chain, generation, key, node, rotation_at, view, world,
    };
    use crate::rotation::{Event, KeyStore, Revision, record};

    /// The words of a hold: true when it waits for the operator, and why.
    fn held<T: std::fmt::Debug>(result: Result<T, Hold>) -> (bool, String) {
        match result.unwrap_err() {
            Hold::Wait(words) => (false, words.why),
            Hold::Park(words) => (true, words.why),
        }
    }

    #[test]
    fn members_are_the_same_before_and_after_and_each_is_heard_of() {
        let rotation = rotation_at(Stage::ReadNew);
        let good = world(&rotation, Stage::ReadNew);
        assert_eq!(
            members(&good).unwrap().into_keys().collect::<Vec<_>>(),
            [&node("a")]
        );

        let mut joined = good.clone();
        joined.members_after = crate::rotation::fixtures::members(&["a", "b"]);
        assert!(!held(members(&joined)).0);
        joined.members_before = joined.members_after.clone();
        assert_eq!(
            held(members(&joined)),
            (false, "nothing is known of node b".to_owned())
        );

        let mut stranger = good.clone();
        let both = Fact::Known(Membership {
            nodes: BTreeSet::from([node("a")]),
            strangers: BTreeSet::from(["apiserver-x".to_owned()]),
        });
        (stranger.members_before, stranger.members_after) = (both.clone(), both);
        assert!(held(members(&stranger)).0);

        let mut unknown = good;
        unknown.members_after = Fact::unknown("403");
        assert_eq!(
            held(members(&unknown)),
            (false, "the control-plane nodes are not known: 403".to_owned())
        );
    }

    #[test]
    fn a_place_is_told_only_of_what_is_known_and_ours() {
        let rotation = rotation_at(Stage::WriteNew);
        let name = node("a");
        let at_stage = |disk, running| view(&rotation, disk, running);
        let place_of = |view: &NodeView| {
            let members = BTreeMap::from([(&name, view)]);
            places(&rotation, &members).map(|places| (places[0].disk, places[0].running))
        };
        assert_eq!(
            place_of(&at_stage(Stage::WriteNew, Stage::ReadNew)),
            Ok((Stage::WriteNew, Some(Stage::ReadNew)))
        );
        let good = at_stage(Stage::WriteNew, Stage::WriteNew);
        let down = NodeView {
            running: Fact::Absent,
            ..good.clone()
        };
        assert_eq!(place_of(&down), Ok((Stage::WriteNew, None)));

        let with_disk = |disk| NodeView { disk, ..good.clone() };
        let lost = with_disk(Fact::Known(OnDisk {
            generation: Generation::Plain,
            chain: Chain::of(KeyId::Identity),
        }));
        let theirs = with_disk(Fact::Known(OnDisk {
            generation: Generation::File(crate::domain::Digest::of(b"theirs")),
            chain: chain(&["x", OLD]),
        }));
        let unproven = NodeView {
            running: Fact::unknown("no metric"),
            ..good.clone()
        };
        let other = NodeView {
            running: Fact::Known(Generation::Plain),
            ..good.clone()
        };
        for (view, parks, words) in [
            (lost, true, "would write plaintext"),
            (theirs, true, "its keys are [aescbc:x, aescbc:old]"),
            (with_disk(Fact::Absent), true, "is gone"),
            (with_disk(Fact::unknown("EIO")), false, "is not known: EIO"),
            (
                at_stage(Stage::ReadNew, Stage::ReadNew),
                true,
                "somebody put C1 [old, new] back",
            ),
            (unproven, false, "is not proven: no metric"),
            (other, true, "runs with no configuration"),
        ] {
            let (is_parked, why) = held(place_of(&view));
            assert!(is_parked == parks && why.contains(words), "{why}");
        }
    }

    fn place(name: &NodeName, disk: Stage, running: Option<Stage>) -> Place<'_> {
        Place {
            node: name,
            generation: generation(disk),
            disk,
            running,
        }
    }

    #[test]
    fn neighbours_are_in_step_and_no_others() {
        let rotation = rotation_at(Stage::WriteNew);
        let (a, b) = (node("a"), node("b"));
        let two = |one, other| {
            in_step(
                &rotation,
                &[place(&a, one, Some(one)), place(&b, other, Some(other))],
            )
        };
        let all = [Stage::Old, Stage::ReadNew, Stage::WriteNew, Stage::New];
        for (rank, one) in all.into_iter().enumerate() {
            for (other_rank, other) in all.into_iter().enumerate() {
                assert_eq!(
                    two(one, other).is_ok(),
                    rank.abs_diff(other_rank) <= 1,
                    "{one} {other}"
                );
            }
        }
        assert!(
            held(in_step(
                &rotation,
                &[place(&a, Stage::WriteNew, Some(Stage::Old))]
            ))
            .0
        );
        assert!(!held(in_step(&rotation, &[])).0);
    }

    #[test]
    fn a_server_that_is_down_is_waited_for_but_for_the_one_that_is_started() {
        let (a, b) = (node("a"), node("b"));
        let places = [
            place(&a, Stage::Old, None),
            place(&b, Stage::Old, Some(Stage::Old)),
        ];
        assert_eq!(
            held(all_running(&places)),
            (false, "the API server of a is down".to_owned())
        );
        assert_eq!(running_beside(&places, Some(&a)), Ok(()));
        assert!(!held(running_beside(&places, Some(&b))).0);
    }

    #[test]
    fn a_key_is_durable_in_so_many_places_and_plaintext_needs_none() {
        let rotation = rotation_at(Stage::Old);
        let mut world = world(&rotation, Stage::Old);
        let two = Limits {
            min_copies: 2,
            ..Limits::default()
        };
        assert_eq!(copies(&world, &key(NEW), &two), Ok(1));
        assert_eq!(copies(&world, &key("none"), &two), Ok(0));
        assert_eq!(copies(&world, &KeyId::Identity, &two), Ok(2));
        assert_eq!((is_durable(1, &two), is_durable(2, &two)), (false, true));
        world.keys = Fact::unknown("EIO");
        assert!(!held(copies(&world, &key(NEW), &two)).0);
    }

    #[test]
    fn a_drain_is_over_after_the_request_limit_and_unknown_after_a_boot() {
        let rotation = rotation_at(Stage::New);
        let barrier = rotation.barrier.unwrap();
        let limits = Limits::default();
        assert_eq!(drain(&barrier, &at(60), &limits), Drain::Over);
        assert_eq!(
            drain(&barrier, &at(59), &limits),
            Drain::Left(Duration::from_secs(1))
        );
        let booted = Instant {
            boot: crate::domain::BootId("next".to_owned()),
            ..at(1000)
        };
        assert_eq!(drain(&barrier, &booted, &limits), Drain::Unknown);
    }

    #[test]
    fn a_census_proves_at_one_revision_after_the_drain_and_while_it_is_young() {
        let rotation = rotation_at(Stage::New);
        let good = world(&rotation, Stage::WriteNew);
        let limits = Limits::default();
        let is_usable = |census, now, drained| {
            let world = World {
                now,
                census,
                ..good.clone()
            };
            usable(&world, Revision(drained), &limits).is_some()
        };
        let whole = census(20, &[]);
        let torn = Census {
            last: Revision(21),
            ..whole.clone()
        };
        assert!(is_usable(Fact::Known(whole.clone()), at(1000 + 3600), 20));
        assert!(!is_usable(Fact::Known(whole.clone()), at(1000 + 3601), 20), "old");
        assert!(
            !is_usable(Fact::Known(whole), at(1000), 21),
            "before the end of the drain"
        );
        assert!(!is_usable(Fact::Known(torn), at(1000), 20), "torn");
        assert!(!is_usable(Fact::unknown("410"), at(1000), 20), "unknown");
        assert!(!is_usable(Fact::Absent, at(1000), 20), "absent");
    }

    #[test]
    fn a_wall_clock_that_jumps_by_days_neither_ends_a_drain_nor_ages_a_census() {
        let rotation = rotation_at(Stage::New);
        let good = world(&rotation, Stage::WriteNew);
        let barrier = rotation.barrier.unwrap();
        let limits = Limits::default();
        for days in [-3, 3] {
            let jumped = |second| {
                let now = at(second);
                let wall = now.wall + jiff::SignedDuration::from_hours(24 * days);
                Instant { wall, ..now }
            };
            assert_eq!(
                drain(&barrier, &jumped(59), &limits),
                Drain::Left(Duration::from_secs(1))
            );
            assert_eq!(drain(&barrier, &jumped(60), &limits), Drain::Over);
            let is_usable = |second| {
                let now = jumped(second);
                usable(&World { now, ..good.clone() }, Revision(20), &limits).is_some()
            };
            assert!(is_usable(1000 + 3600) && !is_usable(1000 + 3601));
        }
    }

    #[test]
    fn a_value_that_cannot_be_read_parks() {
        let chain = chain(&[NEW, OLD]);
        assert_eq!(
            readable(&chain, &census(20, &[(key(OLD), 1), (KeyId::Identity, 0)])),
            Ok(())
        );
        let plain = census(20, &[(KeyId::Identity, 2)]);
        let undecryptable = Census {
            undecryptable: vec!["/registry/secrets/x".to_owned()],
            ..census(20, &[])
        };
        let unknown = Census {
            unknown: BTreeMap::from([("k8s:enc:aescbc:v1:lost:".to_owned(), 3)]),
            ..census(20, &[])
        };
        for (census, words) in [
            (plain, "2 values are under identity"),
            (
                undecryptable,
                "1 value(s) do not decrypt, /registry/secrets/x among them",
            ),
            (
                unknown,
                "3 values are under the unknown key k8s:enc:aescbc:v1:lost:",
            ),
        ] {
            let (parks, why) = held(readable(&chain, &census));
            assert!(parks && why.contains(words), "{why}");
        }
    }

    #[test]
    fn what_is_left_is_counted_by_retiring_key_and_parks_only_when_none_of_it_moves() {
        let census = census(20, &[(key(OLD), 2), (key(NEW), 5), (KeyId::Identity, 0)]);
        let left = leftover(&census, &BTreeSet::from([key(OLD), KeyId::Identity]));
        assert_eq!(left.keys().collect::<Vec<_>>(), [&key(OLD)]);
        assert_eq!(
            leftover(&census, &BTreeSet::from([KeyId::Identity])),
            BTreeMap::new()
        );
        let stuck = |count| {
            let value = crate::rotation::StuckValue {
                object: "secrets/default/a".to_owned(),
                why: "refused by a webhook".to_owned(),
            };
            Stuck {
                total: count,
                named: vec![value],
            }
        };
        assert_eq!(movable(&left, &stuck(1)), Ok(()));
        // More than are named.
        let (parks, why) = held(movable(&left, &stuck(2)));
        assert!(
            parks && why.ends_with("secrets/default/a: refused by a webhook"),
            "{why}"
        );
    }

    #[test]
    fn a_watch_counts_when_it_is_unbroken_and_saw_no_retiring_key() {
        let census = census(20, &[]);
        let retiring = BTreeSet::from([key(OLD)]);
        let watch = |from, key, revision| {
            Fact::Known(Watch {
                from: Revision(from),
                writes: BTreeMap::from([(key, Revision(revision))]),
            })
        };
        assert!(watched(&watch(20, key(NEW), 25), &census, &retiring));
        assert!(
            watched(&watch(10, key(OLD), 20), &census, &retiring),
            "before the census"
        );
        assert!(
            !watched(&watch(20, key(OLD), 21), &census, &retiring),
            "a write since"
        );
        assert!(!watched(&watch(21, key(NEW), 25), &census, &retiring), "a gap");
        assert!(!watched(&Fact::Absent, &census, &retiring), "broken");
        assert!(!watched(&Fact::unknown("reset"), &census, &retiring), "unknown");
    }

    #[test]
    fn history_is_gone_up_to_the_census_before_the_cut() {
        let etcd = |compacted| Etcd {
            revision: Revision(30),
            compacted: Revision(compacted),
        };
        assert_eq!(compacted(etcd(20), &census(20, &[])), Ok(()));
        assert!(!held(compacted(etcd(19), &census(20, &[]))).0);
    }

    #[test]
    fn a_retiring_key_is_kept_first_and_plaintext_needs_no_keeping() {
        let mut world = world(&rotation_at(Stage::WriteNew), Stage::WriteNew);
        let retiring = BTreeSet::from([key(OLD), KeyId::Identity]);
        assert_eq!(unretained(&world, &retiring), Ok(BTreeSet::new()));
        world.keys = Fact::Known(KeyStore::default());
        assert_eq!(unretained(&world, &retiring), Ok(BTreeSet::from([key(OLD)])));
        world.keys = Fact::unknown("EIO");
        assert!(!held(unretained(&world, &retiring)).0);
    }

    #[test]
    fn a_cut_asks_and_a_way_back_does_not() {
        let asking = Rotation {
            cut: Consent::Ask,
            ..rotation_at(Stage::WriteNew)
        };
        assert!(held(consented(&asking)).0);
        assert_eq!(consented(&rotation_at(Stage::WriteNew)), Ok(()));
        let back = Rotation {
            direction: Direction::Back,
            ..asking
        };
        assert_eq!(consented(&back), Ok(()));
    }

    #[test]
    fn a_refused_configuration_parks_until_the_operator_resumes() {
        let history =
            crate::rotation::fixtures::history(&crate::rotation::fixtures::events_to(Stage::ReadNew));
        let put_back = Event::PutBack {
            node: node("a"),
            why: "it did not become ready".to_owned(),
        };
        let history = record(&history, &put_back, &at(1)).unwrap();
        let (parks, why) = held(not_refused(history.rotation.as_ref().unwrap()));
        assert!(parks);
        assert_eq!(why, "a did not bear C1 [old, new]: it did not become ready");
        let history = record(&history, &Event::Resumed, &at(2)).unwrap();
        assert_eq!(not_refused(history.rotation.as_ref().unwrap()), Ok(()));
    }
}
