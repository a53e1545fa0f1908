//! The next step of a rotation, situation by situation.

use super::*;
use crate::domain::{Digest, Fact, KeyId};
use crate::rotation::fixtures::{
    NEW, OLD, at, census, chain, events_to, generation, history, key, loaded, members, node, view, world,
};
use crate::rotation::{Consent, Generation, KeyStore, OnDisk, Revision, Stuck, StuckValue, Tally};

fn after(stage: Stage, more: Vec<Event>) -> Rotation {
    let events: Vec<Event> = events_to(stage).into_iter().chain(more).collect();
    history(&events).rotation.unwrap()
}

/// At C2 with everything proven that a cut needs.
fn proven() -> Rotation {
    let revision = Revision(20);
    after(
        Stage::WriteNew,
        vec![
            loaded(Stage::WriteNew),
            Event::DrainEnded {
                revision: Revision(10),
            },
            Event::Verified { revision },
        ],
    )
}

fn step(rotation: &Rotation, world: &World) -> Step {
    next(rotation, world, &Limits::default())
}

fn why(step: Step) -> String {
    let Step::Hold(Hold::Wait(words) | Hold::Park(words) | Hold::Ask(words)) = step else {
        panic!("{step:?}");
    };
    words.why
}

fn edit(stage: Stage, expected: Stage, epoch: u32) -> Step {
    Step::Write(Edit {
        node: node("a"),
        stage,
        generation: generation(stage),
        expected: generation(expected),
        epoch,
    })
}

#[test]
fn the_key_is_stored_before_anything_names_it() {
    let rotation = after(Stage::Old, vec![]);
    let mut world = world(&rotation, Stage::Old);
    assert_eq!(
        step(&rotation, &world),
        Step::Intend {
            epoch: 1,
            stage: Stage::ReadNew,
            chain: chain(&[OLD, NEW]),
            drops: BTreeSet::new(),
        }
    );
    world.keys = Fact::Known(KeyStore::default());
    assert!(
        matches!(step(&rotation, &world), Step::Note(Event::Aborted { .. })),
        "it was made, and is nowhere"
    );
    let unmade = Rotation {
        key_intended: false,
        ..rotation
    };
    assert_eq!(step(&unmade, &world), Step::StoreKey(key(NEW)));
}

#[test]
fn a_file_then_its_note_then_its_process_then_the_next_stage() {
    let mut rotation = after(Stage::ReadNew, vec![]);
    rotation.written.clear();
    let at_stages = |disk, running| {
        let mut world = world(&rotation, Stage::Old);
        world.nodes.insert(node("a"), view(&rotation, disk, running));
        world
    };
    let steps = [
        (Stage::Old, Stage::Old, edit(Stage::ReadNew, Stage::Old, 2)),
        (
            Stage::ReadNew,
            Stage::Old,
            Step::Note(Event::ConfigWritten {
                node: node("a"),
                stage: Stage::ReadNew,
            }),
        ),
    ];
    for (disk, running, expected) in steps {
        assert_eq!(step(&rotation, &at_stages(disk, running)), expected);
    }
    let noted = after(Stage::ReadNew, vec![]);
    assert_eq!(
        step(&noted, &at_stages(Stage::ReadNew, Stage::Old)),
        Step::Load(node("a"))
    );
    assert!(matches!(
        step(&noted, &at_stages(Stage::ReadNew, Stage::ReadNew)),
        Step::Intend {
            stage: Stage::WriteNew,
            ..
        }
    ));
    let mut no_quorum = at_stages(Stage::ReadNew, Stage::Old);
    no_quorum.etcd = Fact::unknown("no leader");
    assert_eq!(why(step(&noted, &no_quorum)), "etcd does not answer: no leader");
}

#[test]
fn a_node_that_joins_behind_is_brought_on_before_the_next_stage() {
    let rotation = after(Stage::WriteNew, vec![]);
    let mut world = world(&rotation, Stage::WriteNew);
    world
        .nodes
        .insert(node("b"), view(&rotation, Stage::ReadNew, Stage::ReadNew));
    (world.members_before, world.members_after) = (members(&["a", "b"]), members(&["a", "b"]));
    assert_eq!(
        step(
            &after(
                Stage::WriteNew,
                vec![Event::ConfigWritten {
                    node: node("b"),
                    stage: Stage::ReadNew
                }]
            ),
            &world
        ),
        Step::Write(Edit {
            node: node("b"),
            stage: Stage::WriteNew,
            generation: generation(Stage::WriteNew),
            expected: generation(Stage::ReadNew),
            epoch: 3,
        })
    );
    // A barrier of before is void.
    let barrier = after(Stage::WriteNew, vec![loaded(Stage::WriteNew)]);
    assert!(matches!(
        step(&barrier, &world),
        Step::Note(Event::BarrierLost { .. })
    ));
    world
        .nodes
        .insert(node("b"), view(&rotation, Stage::WriteNew, Stage::WriteNew));
    let noted = after(
        Stage::WriteNew,
        vec![
            loaded(Stage::WriteNew),
            Event::ConfigWritten {
                node: node("b"),
                stage: Stage::WriteNew,
            },
        ],
    );
    assert!(matches!(
        step(&noted, &world),
        Step::Note(Event::BarrierLost { .. })
    ));
}

/// Node `a` at `stage`, and a node `b` whose file is durably at `disk`.
fn with_b_at(stage: Stage, disk: Stage) -> Rotation {
    Rotation {
        written: BTreeMap::from([(node("a"), stage), (node("b"), disk)]),
        ..after(stage, vec![])
    }
}

fn world_of_two(rotation: &Rotation, stage: Stage, b: NodeView) -> World {
    let mut world = world(rotation, stage);
    world.nodes.insert(node("b"), b);
    (world.members_before, world.members_after) = (members(&["a", "b"]), members(&["a", "b"]));
    world
}

#[test]
fn a_node_that_is_down_or_silent_in_a_roll_out_stops_it_before_and_after_its_file_is_written() {
    for (former, stage) in [(Stage::Old, Stage::ReadNew), (Stage::ReadNew, Stage::WriteNew)] {
        for disk in [former, stage] {
            let rotation = with_b_at(stage, disk);
            let down = NodeView {
                running: Fact::Absent,
                ..view(&rotation, disk, disk)
            };
            let mut world = world_of_two(&rotation, stage, down);
            assert_eq!(why(step(&rotation, &world)), "the API server of b is down");
            world.nodes.remove(&node("b"));
            assert_eq!(why(step(&rotation, &world)), "nothing is known of node b");
            // It is back: its file comes first, where it has not got it.
            world.nodes.insert(node("b"), view(&rotation, disk, disk));
            let back = step(&rotation, &world);
            let is_its_file = matches!(&back, Step::Write(edit) if edit.node == node("b"));
            assert_eq!(is_its_file, disk == former, "{back:?}");
            assert!(!matches!(back, Step::Hold(_)), "{back:?}");
        }
    }
}

#[test]
fn a_server_that_goes_on_with_the_old_file_is_waited_for_though_another_has_loaded() {
    for (former, stage) in [
        (Stage::Old, Stage::ReadNew),
        (Stage::ReadNew, Stage::WriteNew),
        (Stage::WriteNew, Stage::New),
    ] {
        let rotation = with_b_at(stage, stage);
        let world = world_of_two(&rotation, stage, view(&rotation, stage, former));
        assert_eq!(step(&rotation, &world), Step::Load(node("b")), "{stage}");
    }
}

#[test]
fn other_bytes_under_the_same_names_on_one_node_are_not_promoted() {
    let stage = Stage::ReadNew;
    let rotation = with_b_at(stage, stage);
    let b_with = |generation| {
        let b = NodeView {
            disk: Fact::Known(OnDisk {
                generation,
                chain: rotation.chain(stage),
            }),
            running: Fact::Known(generation),
        };
        step(&rotation, &world_of_two(&rotation, stage, b))
    };
    assert!(matches!(b_with(generation(stage)), Step::Intend { .. }));
    let miscopied = Generation::File(Digest::of(b"the same names, a key with a wrong byte"));
    assert_eq!(
        why(b_with(miscopied)),
        "somebody else wrote the encryption configuration of b: its keys are [aescbc:old, aescbc:new]"
    );
}

#[test]
fn between_the_cuts_of_two_nodes_a_new_process_proves_again_before_the_second() {
    let mut rotation = with_b_at(Stage::New, Stage::WriteNew);
    rotation.barrier.as_mut().unwrap().nodes = BTreeSet::from([node("a"), node("b")]);
    let b = view(&rotation, Stage::WriteNew, Stage::WriteNew);
    let proven = world_of_two(&rotation, Stage::New, b);
    // What was counted and watched is gone with the process.
    let anew = World {
        census: Fact::Absent,
        watch: Fact::Absent,
        ..proven.clone()
    };
    assert_eq!(step(&rotation, &anew), Step::Verify);
    let Step::Write(edit) = step(&rotation, &proven) else {
        panic!("it is proven")
    };
    assert_eq!((edit.node, edit.stage), (node("b"), Stage::New));
}

#[test]
fn the_proof_is_barrier_drain_census_and_note_in_this_order() {
    let mut rotation = after(Stage::WriteNew, vec![]);
    let mut world = world(&rotation, Stage::WriteNew);
    world.census = Fact::Absent;
    let mut steps = Vec::new();
    for second in [0, 59, 60, 61, 62] {
        world.now = at(second);
        let step = step(&rotation, &world);
        if let Step::Note(event) = &step {
            let events = crate::rotation::History {
                rotation: Some(rotation),
                ..Default::default()
            };
            rotation = crate::rotation::record(&events, event, &at(second))
                .unwrap()
                .rotation
                .unwrap();
        }
        if step == Step::Verify {
            world.census = Fact::Known(crate::rotation::Census {
                at: at(61),
                ..census(30, &[(key(NEW), 3)])
            });
            world.watch = Fact::Known(crate::rotation::Watch {
                from: Revision(30),
                writes: BTreeMap::new(),
            });
        }
        steps.push(step);
    }
    let Step::Hold(_) = steps.remove(1) else {
        panic!("{steps:?}")
    };
    assert_eq!(
        steps,
        [
            Step::Note(loaded(Stage::WriteNew)),
            Step::Note(Event::DrainEnded {
                revision: Revision(30)
            }),
            Step::Verify,
            Step::Note(Event::Verified {
                revision: Revision(30)
            }),
        ]
    );
}

#[test]
fn a_cut_waits_for_every_part_of_its_proof() {
    let rotation = proven();
    let good = world(&rotation, Stage::WriteNew);
    assert_eq!(
        step(&rotation, &good),
        Step::Intend {
            epoch: 3,
            stage: Stage::New,
            chain: chain(&[NEW]),
            drops: BTreeSet::from([key(OLD)]),
        }
    );
    let with = |change: &dyn Fn(&mut World)| {
        let mut world = good.clone();
        change(&mut world);
        step(&rotation, &world)
    };
    assert_eq!(with(&|world| world.now = at(1000 + 3601)), Step::Verify, "aged");
    assert_eq!(
        with(&|world| world.watch = Fact::Absent),
        Step::Verify,
        "unwatched"
    );
    assert_eq!(
        with(&|world| world.keys = Fact::Known(KeyStore::default())),
        Step::Retain(BTreeSet::from([key(OLD)]))
    );
    assert!(
        why(with(&|world| {
            world.etcd = Fact::Known(crate::rotation::Etcd {
                revision: Revision(30),
                compacted: Revision(19),
            });
        }))
        .starts_with("etcd's history")
    );
    assert_eq!(
        why(with(
            &|world| world.nodes.get_mut(&node("a")).unwrap().running = Fact::Absent
        )),
        "the API server of a is down"
    );
    let asking = Rotation {
        cut: Consent::Ask,
        ..rotation.clone()
    };
    let asks = step(&asking, &good);
    assert!(
        matches!(&asks, Step::Hold(Hold::Ask(words)) if words.why.contains("waits for consent")),
        "{asks:?}"
    );
}

/// An interval of compaction that is longer than a census lives: what must be compacted is what the first one found.
#[test]
fn a_newer_census_behind_an_unbroken_watch_leaves_what_must_be_compacted_as_it_was() {
    let rotation = proven();
    let mut world = world(&rotation, Stage::WriteNew);
    world.census = Fact::Known(census(28, &[(key(NEW), 3)]));
    let compacted = |world: &mut World, compacted| {
        world.etcd = Fact::Known(crate::rotation::Etcd {
            revision: Revision(30),
            compacted: Revision(compacted),
        });
    };
    compacted(&mut world, 20);
    assert!(matches!(
        step(&rotation, &world),
        Step::Intend {
            stage: Stage::New,
            ..
        }
    ));
    compacted(&mut world, 19);
    assert!(why(step(&rotation, &world)).ends_with("up to revision 19, and must be to 20"));
    // With a gap in the watch, or a write under the old key since, only the newer census counts.
    compacted(&mut world, 20);
    let noted = Step::Note(Event::Verified {
        revision: Revision(28),
    });
    let watch = |from, key, revision| {
        Fact::Known(crate::rotation::Watch {
            from: Revision(from),
            writes: BTreeMap::from([(key, Revision(revision))]),
        })
    };
    world.watch = watch(28, key(NEW), 29);
    assert_eq!(step(&rotation, &world), noted);
    world.watch = watch(20, key(OLD), 25);
    assert_eq!(step(&rotation, &world), noted);
    world.watch = watch(20, key(OLD), 29);
    assert_eq!(step(&rotation, &world), Step::Verify);
}

#[test]
fn an_intended_cut_is_proven_again_before_each_file() {
    let rotation = after(Stage::New, vec![]);
    let rotation = Rotation {
        written: BTreeMap::new(),
        ..rotation
    };
    let good = world(&rotation, Stage::WriteNew);
    let noted = Rotation {
        written: BTreeMap::from([(node("a"), Stage::WriteNew)]),
        ..rotation
    };
    assert_eq!(step(&noted, &good), edit(Stage::New, Stage::WriteNew, 4));
    let aged = World {
        now: at(1000 + 3601),
        ..good
    };
    assert_eq!(step(&noted, &aged), Step::Verify);
}

#[test]
fn values_under_a_retiring_key_are_moved_and_only_what_is_stuck_parks() {
    let rotation = proven();
    let mut world = world(&rotation, Stage::WriteNew);
    world.census = Fact::Known(census(20, &[(key(OLD), 2), (key(NEW), 1)]));
    assert_eq!(
        step(&rotation, &world),
        Step::Reencrypt(BTreeSet::from([key(OLD)]))
    );
    let stuck = StuckValue {
        object: "secrets/a/b".to_owned(),
        why: "a webhook".to_owned(),
    };
    world.stuck = Stuck {
        total: 2,
        named: vec![stuck],
    };
    assert!(why(step(&rotation, &world)).starts_with("2 values cannot be re-encrypted"));
    // Younger than the end of the drain: some server still writes with it.
    let young = Tally {
        count: 1,
        newest: Revision(11),
    };
    let mut census = census(20, &[]);
    census.values.insert(key(OLD), young);
    world.census = Fact::Known(census);
    assert!(matches!(
        step(&rotation, &world),
        Step::Note(Event::BarrierLost { .. })
    ));
}

#[test]
fn after_the_cut_a_second_proof_ends_it_and_a_value_under_the_old_key_parks() {
    let rotation = after(Stage::New, vec![]);
    let mut world = world(&rotation, Stage::New);
    assert_eq!(step(&rotation, &world), Step::Note(loaded(Stage::New)));
    let second = vec![
        loaded(Stage::New),
        Event::DrainEnded {
            revision: Revision(20),
        },
        Event::Verified {
            revision: Revision(20),
        },
    ];
    let rotation = after(Stage::New, second);
    assert_eq!(step(&rotation, &world), Step::Note(Event::Finished));
    world.census = Fact::Known(census(20, &[(key(OLD), 1)]));
    assert_eq!(
        why(step(&rotation, &world)),
        "values are under a key that is no longer in the configuration"
    );
}

#[test]
fn from_c2_the_way_back_is_c1_then_the_proof_then_c0() {
    let rotation = after(Stage::WriteNew, vec![Event::RollbackAsked]);
    let mut world = world(&rotation, Stage::WriteNew);
    let noted = Rotation {
        written: BTreeMap::from([(node("a"), Stage::WriteNew)]),
        ..rotation.clone()
    };
    assert_eq!(step(&noted, &world), edit(Stage::ReadNew, Stage::WriteNew, 4));
    world
        .nodes
        .insert(node("a"), view(&rotation, Stage::ReadNew, Stage::ReadNew));
    let back = |more: Vec<Event>| {
        let mut events = vec![
            Event::RollbackAsked,
            Event::ConfigWritten {
                node: node("a"),
                stage: Stage::ReadNew,
            },
            loaded(Stage::ReadNew),
            Event::DrainEnded {
                revision: Revision(10),
            },
        ];
        events.extend(more);
        after(Stage::WriteNew, events)
    };
    assert_eq!(
        step(&back(vec![]), &world),
        Step::Reencrypt(BTreeSet::from([key(NEW)]))
    );
    world.census = Fact::Known(census(20, &[(key(OLD), 3)]));
    world.watch = Fact::Known(crate::rotation::Watch {
        from: Revision(20),
        writes: BTreeMap::new(),
    });
    assert_eq!(
        step(
            &back(vec![Event::Verified {
                revision: Revision(20)
            }]),
            &world
        ),
        Step::Intend {
            epoch: 4,
            stage: Stage::Old,
            chain: chain(&[OLD]),
            drops: BTreeSet::from([key(NEW)]),
        }
    );
}

#[test]
fn plaintext_is_a_key_that_needs_no_storing_and_no_keeping() {
    let mut rotation = after(Stage::Old, vec![]);
    rotation.new = KeyId::Identity;
    let mut world = world(&rotation, Stage::Old);
    world.keys = Fact::Known(KeyStore::default());
    assert!(matches!(
        step(&rotation, &world),
        Step::Intend {
            stage: Stage::ReadNew,
            ..
        }
    ));
}
