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
mod tests {
    use super::*;
    use crate::rotation::fixtures::{
        NEW, OLD, at, begun, chain, events_to, generation, history, intended, key, loaded, node,
    };

    fn follows(history: &History, event: &Event) -> bool {
        record(history, event, &at(0)).is_ok()
    }

    /// One of each event, as it would be written at the goal `stage`.
    fn all(stage: Stage) -> Vec<(&'static str, Event)> {
        let why = String::new();
        vec![
            ("begun", begun()),
            ("key-intended", Event::KeyIntended { key: key(NEW) }),
            ("to-c1", intended(Stage::ReadNew)),
            ("to-c2", intended(Stage::WriteNew)),
            ("to-c3", intended(Stage::New)),
            (
                "written",
                Event::ConfigWritten {
                    node: node("a"),
                    stage,
                },
            ),
            (
                "put-back",
                Event::PutBack {
                    node: node("a"),
                    why: why.clone(),
                },
            ),
            ("resumed", Event::Resumed),
            ("loaded", loaded(stage)),
            ("barrier-lost", Event::BarrierLost { why: why.clone() }),
            (
                "drained",
                Event::DrainEnded {
                    revision: Revision(10),
                },
            ),
            (
                "verified",
                Event::Verified {
                    revision: Revision(20),
                },
            ),
            ("cut-allowed", Event::CutAllowed),
            ("rollback", Event::RollbackAsked),
            ("plaintext-read", reading_plaintext(stage)),
            ("parked", Event::Parked { why: why.clone() }),
            ("finished", Event::Finished),
            ("aborted", Event::Aborted { why }),
        ]
    }

    /// Every stage up to this one has become one that reads plaintext.
    fn reading_plaintext(goal: Stage) -> Event {
        let stages = [Stage::Old, Stage::ReadNew, Stage::WriteNew, Stage::New];
        let stages = stages.into_iter().filter(|stage| *stage <= goal);
        Event::PlaintextRead {
            generations: stages.map(|stage| (stage, with_plaintext(stage))).collect(),
        }
    }

    fn with_plaintext(stage: Stage) -> Generation {
        Generation::File(crate::domain::Digest::of(
            format!("{stage} and plaintext").as_bytes(),
        ))
    }

    fn legal(history: &History, stage: Stage) -> Vec<&'static str> {
        let events = all(stage).into_iter();
        events
            .filter(|(_, event)| follows(history, event))
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn in_each_stage_only_the_listed_events_may_follow() {
        let always = |mut names: Vec<&'static str>| {
            names.extend(["cut-allowed", "parked", "put-back", "plaintext-read"]);
            names.sort_unstable();
            names
        };
        let sorted = |history: &History, stage| {
            let mut names = legal(history, stage);
            names.sort_unstable();
            names
        };
        assert_eq!(legal(&History::default(), Stage::Old), ["begun"]);
        assert_eq!(
            sorted(&history(&[begun()]), Stage::Old),
            always(vec!["key-intended", "to-c1", "aborted"])
        );
        let at_stage = |stage| history(&events_to(stage));
        assert_eq!(
            sorted(&at_stage(Stage::ReadNew), Stage::ReadNew),
            always(vec!["to-c2", "written", "loaded", "rollback"])
        );
        // To C3 only on a proof.
        assert_eq!(
            sorted(&at_stage(Stage::WriteNew), Stage::WriteNew),
            always(vec!["written", "loaded", "rollback"])
        );
        // Past the cut there is no way back; the barrier is still the one it was cut on.
        assert_eq!(
            sorted(&at_stage(Stage::New), Stage::New),
            always(vec!["written", "loaded", "barrier-lost", "verified"])
        );
    }

    #[test]
    fn plaintext_that_may_have_been_written_is_a_key_that_the_walk_takes_out() {
        let after = |stage| {
            let mut events = events_to(stage);
            events.push(reading_plaintext(stage));
            history(&events).rotation.unwrap()
        };
        let plain = KeyId::Identity;
        for stage in [Stage::Old, Stage::ReadNew, Stage::WriteNew] {
            let rotation = after(stage);
            assert_eq!(rotation.place(with_plaintext(stage)), Some(stage));
            assert_eq!(
                rotation.place(generation(stage)),
                None,
                "nobody may put that back"
            );
            assert_eq!(
                rotation.chain(stage).keys().last(),
                Some(&plain),
                "where the configuration has it"
            );
            assert!(rotation.retiring().contains(&plain));
            assert_eq!(rotation.chain(Stage::New), chain(&[NEW]));
            assert_eq!(rotation.barrier, None);
        }
        // The cut was intended on a proof that does not speak of plaintext.
        let cut = after(Stage::New);
        assert_eq!(cut.chain(Stage::New), chain(&[NEW]).reading_plaintext());
        assert!(!cut.retiring().contains(&plain));
        // What was found reads it too, so that the way back may end there.
        let mut events = events_to(Stage::WriteNew);
        events.extend([reading_plaintext(Stage::WriteNew), Event::RollbackAsked]);
        let back = history(&events).rotation.unwrap();
        assert_eq!(back.generation(Stage::Old), Some(with_plaintext(Stage::Old)));
        assert_eq!(back.chain(Stage::Old), chain(&[OLD]).reading_plaintext());
        assert_eq!(back.retiring(), BTreeSet::from([key(NEW)]));
    }

    #[test]
    fn each_configuration_and_no_other_becomes_one_that_reads_plaintext() {
        let history = history(&events_to(Stage::WriteNew));
        for (goal, fits) in [
            (Stage::ReadNew, false),
            (Stage::WriteNew, true),
            (Stage::New, false),
        ] {
            assert_eq!(follows(&history, &reading_plaintext(goal)), fits, "{goal}");
        }
        // What was decided before is void.
        let event = reading_plaintext(Stage::WriteNew);
        let after = record(&history, &event, &at(9)).unwrap();
        assert_eq!(after.epoch, history.epoch + 1);
        assert_eq!(after.rotation.unwrap().noted[&node("a")], at(9));
    }

    #[test]
    fn an_illegal_event_names_itself_and_the_state() {
        let error = record(&history(&events_to(Stage::New)), &Event::RollbackAsked, &at(0)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "RollbackAsked cannot follow: rotation r1 is on its way to C3 [new]"
        );
    }

    #[test]
    fn a_proof_needs_its_barrier_its_drain_and_a_census_of_after_it() {
        let mut events = events_to(Stage::WriteNew);
        let verified = |revision| Event::Verified {
            revision: Revision(revision),
        };
        assert!(!follows(&history(&events), &verified(20)), "no barrier");
        events.push(loaded(Stage::WriteNew));
        assert!(!follows(&history(&events), &verified(20)), "no drain");
        events.push(Event::DrainEnded {
            revision: Revision(10),
        });
        assert!(
            !follows(&history(&events), &verified(9)),
            "of before the end of the drain"
        );
        events.push(verified(10));
        assert!(follows(&history(&events), &intended(Stage::New)));
        events.push(Event::BarrierLost { why: String::new() });
        assert!(
            !follows(&history(&events), &intended(Stage::New)),
            "the barrier was lost"
        );
    }

    #[test]
    fn an_intent_that_was_decided_before_another_is_void() {
        let stale = intended(Stage::WriteNew);
        let mut events = events_to(Stage::ReadNew);
        assert!(follows(&history(&events), &stale));
        events.push(Event::RollbackAsked);
        assert!(!follows(&history(&events), &stale));
        // The epoch counts on over rotations.
        let stale = intended(Stage::ReadNew);
        let given_up = [begun(), Event::Aborted { why: String::new() }];
        let again = Event::Begun {
            id: "r2".to_owned(),
            found: generation(Stage::Old),
            old: chain(&[OLD]),
            new: key("newer"),
            cut: Consent::Auto,
        };
        let history = record(&history(&given_up), &again, &at(0)).unwrap();
        assert!(!follows(&history, &stale));
    }

    #[test]
    fn names_are_burnt_and_never_begin_again() {
        let given_up = history(&[begun(), Event::Aborted { why: String::new() }]);
        assert_eq!(given_up.burnt, BTreeSet::from([key(OLD), key(NEW)]));
        assert_eq!(
            given_up.last,
            Some(Ended {
                id: "r1".to_owned(),
                outcome: Outcome::Aborted
            })
        );
        assert!(!follows(&given_up, &begun()));
    }

    #[test]
    fn a_walk_ends_as_what_it_was() {
        let proven = |mut events: Vec<Event>, stage| {
            events.push(loaded(stage));
            events.push(Event::DrainEnded {
                revision: Revision(30),
            });
            events.push(Event::Verified {
                revision: Revision(30),
            });
            events
        };
        let outcome = |mut events: Vec<Event>| {
            events.push(Event::Finished);
            history(&events).last.unwrap().outcome
        };
        assert_eq!(
            outcome(proven(events_to(Stage::New), Stage::New)),
            Outcome::Rotated
        );
        let mut back = events_to(Stage::WriteNew);
        back.push(Event::RollbackAsked);
        let mut back = proven(back, Stage::ReadNew);
        back.push(Event::ConfigIntended {
            epoch: 4,
            stage: Stage::Old,
            generation: generation(Stage::Old),
        });
        assert_eq!(outcome(proven(back, Stage::Old)), Outcome::RolledBack);
    }

    #[test]
    fn every_event_survives_the_journal() {
        for (_, event) in all(Stage::ReadNew) {
            let json = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event, "{json}");
        }
    }
}
