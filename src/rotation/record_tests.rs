//! What the journal's events of a rotation come to.

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
