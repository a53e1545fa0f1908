//! What lets a rotation go on and what holds it, guard by guard.

use super::*;
use crate::rotation::fixtures::{
    NEW, OLD, at, census, chain, generation, key, node, rotation_at, view, world,
};
use crate::rotation::{Event, KeyStore, Revision, record};

/// The words of a hold: true when it waits for the operator, and why.
fn held<T: std::fmt::Debug>(result: Result<T, Hold>) -> (bool, String) {
    match result.unwrap_err() {
        Hold::Wait(words) => (false, words.why),
        Hold::Park(words) | Hold::Ask(words) => (true, words.why),
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
        undecryptable: Some(Sighting {
            count: 12,
            example: "/registry/secrets/x".to_owned(),
        }),
        ..census(20, &[])
    };
    let unknown = Census {
        unknown: BTreeMap::from([("k8s:enc:aescbc:v1:lost:".to_owned(), 3)]),
        ..census(20, &[])
    };
    let kms = Census {
        foreign_kms: Some(Sighting {
            count: 4,
            example: "/registry/secrets/x".to_owned(),
        }),
        ..census(20, &[])
    };
    let Hold::Park(told) = readable(&chain, &kms).unwrap_err() else {
        panic!("it parks")
    };
    assert!(told.why.contains("4 value(s)") && !told.remedy.contains("delete"));
    for (census, words) in [
        (plain, "2 values are under identity"),
        (
            undecryptable,
            "12 value(s) do not decrypt, /registry/secrets/x among them",
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
fn a_value_that_is_stored_elsewhere_parks_only_when_its_key_retires() {
    let sighting = Sighting {
        count: 2,
        example: "/registry/newthings/a".to_owned(),
    };
    let census = Census {
        elsewhere: BTreeMap::from([(key(OLD), sighting)]),
        ..census(20, &[])
    };
    assert_eq!(nowhere_else(&census, &[key(NEW), KeyId::Identity]), Ok(()));
    let (parks, why) = held(nowhere_else(&census, &[key(OLD)]));
    assert!(
        parks && why.contains("2 value(s)") && why.contains("/registry/newthings/a"),
        "{why}"
    );
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
    let since = Revision(20);
    let retiring = BTreeSet::from([key(OLD)]);
    let watch = |from, key, revision| {
        Fact::Known(Watch {
            from: Revision(from),
            writes: BTreeMap::from([(key, Revision(revision))]),
        })
    };
    assert!(watched(&watch(20, key(NEW), 25), since, &retiring));
    assert!(watched(&watch(10, key(OLD), 20), since, &retiring), "before it");
    assert!(
        !watched(&watch(20, key(OLD), 21), since, &retiring),
        "a write since"
    );
    assert!(!watched(&watch(21, key(NEW), 25), since, &retiring), "a gap");
    assert!(!watched(&Fact::Absent, since, &retiring), "broken");
    assert!(!watched(&Fact::unknown("reset"), since, &retiring), "unknown");
}

#[test]
fn history_is_gone_up_to_the_proof_before_the_cut() {
    let etcd = |compacted| Etcd {
        revision: Revision(30),
        compacted: Revision(compacted),
    };
    assert_eq!(compacted(etcd(20), Revision(20)), Ok(()));
    assert!(!held(compacted(etcd(19), Revision(20))).0);
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
    assert!(matches!(consented(&asking), Err(Hold::Ask(_))));
    assert_eq!(consented(&rotation_at(Stage::WriteNew)), Ok(()));
    let back = Rotation {
        direction: Direction::Back,
        ..asking
    };
    assert_eq!(consented(&back), Ok(()));
}

#[test]
fn a_refused_configuration_parks_until_the_operator_resumes() {
    let history = crate::rotation::fixtures::history(&crate::rotation::fixtures::events_to(Stage::ReadNew));
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
