//! What a journal comes to, record by record.

use super::*;
use crate::domain::{BootId, Mode};

fn at(second: i64) -> Instant {
    Instant {
        wall: jiff::Timestamp::from_second(second).unwrap(),
        boot: BootId("boot".to_owned()),
        since_boot_ms: u64::try_from(second).unwrap() * 1000,
    }
}

fn entry(second: i64, record: Record) -> Entry {
    Entry {
        at: at(second),
        record,
    }
}

fn change(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn chmod() -> Act {
    Act::SetMode {
        path: "/etc/kubernetes/admin.conf".parse().unwrap(),
        from: Mode::from_bits(0o644),
        to: Mode::from_bits(0o600),
    }
}

fn started(second: i64, name: &str) -> Entry {
    entry(
        second,
        Record::Started {
            change: change(name),
            controls: vec![],
            act: chmod(),
        },
    )
}

fn fault() -> Fault {
    Fault {
        why: "it did not answer".to_owned(),
        last_words: vec![],
        flag: None,
    }
}

#[test]
fn a_change_begun_and_not_ended_is_in_flight() {
    let state = JournalState::replay(&[started(1, "a")]).unwrap();
    let in_flight = state.in_flight.unwrap();
    assert_eq!(
        (in_flight.change, in_flight.phase, in_flight.since),
        (change("a"), Phase::Started, at(1))
    );
}

#[test]
fn an_undone_change_ends_as_a_refusal_that_a_second_one_replaces() {
    let refused = |second| {
        [
            started(second, "a"),
            entry(
                second + 1,
                Record::UndoStarted {
                    change: change("a"),
                    fault: fault(),
                },
            ),
            entry(
                second + 2,
                Record::Refused {
                    change: change("a"),
                    fault: fault(),
                    recovered: true,
                },
            ),
        ]
    };
    let state = JournalState::replay(refused(1).iter().chain(&refused(11))).unwrap();
    assert_eq!(state.in_flight, None);
    assert_eq!(
        state
            .refusals
            .iter()
            .map(|refusal| refusal.at.clone())
            .collect::<Vec<_>>(),
        vec![at(13)]
    );
}

#[test]
fn a_compacted_journal_says_in_one_entry_what_a_rotation_came_to() {
    use crate::domain::{KeyId, KeyName, Provider};
    use crate::rotation::{Chain, Consent, Event, Generation, NodeName, Revision, Stage};
    let key = |name: &str| KeyId::Key {
        provider: Provider::Aescbc,
        name: name.parse::<KeyName>().unwrap(),
    };
    let generation = |name: &str| Generation::File(change(name));
    let intended = |epoch, stage, name| Event::ConfigIntended {
        epoch,
        stage,
        generation: generation(name),
    };
    let nodes = || std::collections::BTreeSet::from([NodeName("cp1".to_owned())]);
    let lost = |_| Event::BarrierLost {
        why: "a lease".to_owned(),
    };
    let loaded = || Event::Loaded {
        stage: Stage::ReadNew,
        nodes: nodes(),
    };
    let mut events = vec![
        Event::Begun {
            id: "r1".to_owned(),
            found: generation("c0"),
            old: Chain::of(key("key1")),
            new: key("hf0-00000000"),
            cut: Consent::Auto,
        },
        Event::KeyIntended {
            key: key("hf0-00000000"),
        },
        intended(1, Stage::ReadNew, "c1"),
    ];
    // A proof that is lost again and again must not fill the journal.
    for round in 0..50 {
        events.push(loaded());
        events.push(lost(round));
    }
    events.extend([
        loaded(),
        Event::DrainEnded {
            revision: Revision(7),
        },
    ]);
    let mut journal = vec![started(1, "a")];
    journal.extend(
        (2..)
            .zip(events)
            .map(|(second, event)| entry(second, Record::Rotation { event })),
    );
    let state = JournalState::replay(&journal).unwrap();
    let compacted = JournalState::compact(&journal, at(0).wall);
    assert_eq!(compacted.len(), 2);
    assert_eq!(JournalState::replay(&compacted), Ok(state));
    // It can be read back from its line, and goes on.
    let line = crate::journal::encode(compacted.last().unwrap()).unwrap();
    let read = crate::journal::decode([line.as_str()]).unwrap();
    assert_eq!(read.last(), compacted.last());
    let again = JournalState::compact(&compacted, at(0).wall);
    assert_eq!(again, compacted);
}

fn bounce(component: Component) -> Act {
    Act::Bounce(crate::journal::BouncedManifest {
        component,
        path: "/m".parse().unwrap(),
        digest: change("m"),
        backup: "/b".parse().unwrap(),
        out: "/o".parse().unwrap(),
        processes: vec![],
        pods: vec![],
        drain_ms: None,
    })
}

/// The records of a bounce that was refused.
fn refused_bounce(component: Component) -> [Record; 2] {
    let act = bounce(component);
    let (change, controls) = (change("bounce"), vec![]);
    [
        Record::Started {
            change,
            controls,
            act,
        },
        Record::Refused {
            change,
            fault: fault(),
            recovered: false,
        },
    ]
}

#[test]
fn a_refused_restart_of_the_api_server_during_a_rotation_is_remembered_until_the_rotation_goes_on() {
    use crate::domain::{KeyId, Provider};
    use crate::rotation::{Chain, Consent, Event, Generation};
    let key = |name: &str| KeyId::Key {
        provider: Provider::Aescbc,
        name: name.parse().unwrap(),
    };
    let rotation = |second, event| entry(second, Record::Rotation { event });
    let begun = Event::Begun {
        id: "r1".to_owned(),
        found: Generation::File(change("c0")),
        old: Chain::of(key("key1")),
        new: key("hf0-00000000"),
        cut: Consent::Auto,
    };
    let opened = || vec![Entry::opened(at(0)), rotation(1, begun.clone())];
    let with = |component| {
        let records = (2..)
            .zip(refused_bounce(component))
            .map(|(second, record)| entry(second, record));
        opened().into_iter().chain(records).collect::<Vec<_>>()
    };
    let is_refused = |journal: &[Entry]| JournalState::replay(journal).unwrap().load_refused;
    assert!(!is_refused(&with(Component::Scheduler)));
    let mut journal = with(Component::ApiServer);
    assert!(is_refused(&journal));
    let compacted = JournalState::compact(&journal, at(0).wall);
    assert_eq!(JournalState::replay(&compacted), JournalState::replay(&journal));
    assert_eq!(JournalState::compact(&compacted, at(0).wall), compacted);
    journal.push(rotation(
        5,
        Event::KeyIntended {
            key: key("hf0-00000000"),
        },
    ));
    assert!(!is_refused(&journal));
    let compacted = JournalState::compact(&journal, at(0).wall);
    assert_eq!(JournalState::replay(&compacted), JournalState::replay(&journal));
    // Without a rotation it is a restart like any other.
    journal.remove(1);
    journal.pop();
    assert!(!is_refused(&journal));
}

#[test]
fn an_edit_that_was_given_up_counts_as_a_restart_and_a_mode_does_not() {
    let edit = Act::EditManifest(crate::journal::EditedManifest {
        component: crate::domain::Component::Scheduler,
        path: "/etc/kubernetes/manifests/kube-scheduler.yaml".parse().unwrap(),
        before: change("before"),
        after: change("after"),
        backup: "/b".parse().unwrap(),
        image: String::new(),
        processes: vec![],
        pods: vec![],
        flags: vec![],
        touches_encryption: false,
        bounce: None,
    });
    for (act, counts) in [(edit, 1), (chmod(), 0)] {
        let began = Record::Started {
            change: change("a"),
            controls: vec![],
            act,
        };
        let why = "someone else has undone it".to_owned();
        let given_up = Record::Abandoned {
            change: change("a"),
            why,
        };
        let state = JournalState::replay(&[entry(1, began), entry(2, given_up)]).unwrap();
        assert_eq!((state.in_flight, state.finished.len()), (None, counts));
    }
}

#[test]
fn what_cannot_follow_is_an_error_that_names_the_line() {
    let stray = entry(2, Record::Finished { change: change("b") });
    for journal in [
        vec![started(1, "a"), stray.clone()],
        vec![started(1, "a"), started(2, "b")],
    ] {
        let error = JournalState::replay(&journal).unwrap_err();
        assert!(
            matches!(error, JournalError::OutOfOrder { line: 2, .. }),
            "{error}"
        );
    }
    // A change that is being undone cannot turn out to be finished.
    let undoing = entry(
        2,
        Record::UndoStarted {
            change: change("a"),
            fault: fault(),
        },
    );
    let finished = entry(3, Record::Finished { change: change("a") });
    assert!(
        JournalState::replay(&[started(1, "a"), undoing, finished]).is_err(),
        "finished while undoing"
    );
    assert!(JournalState::replay(&[stray]).is_err(), "nothing was begun");
}

#[test]
fn compaction_keeps_refusals_what_is_in_flight_and_what_is_recent() {
    let journal = [
        Entry::opened(at(0)),
        started(1, "old"),
        entry(
            2,
            Record::Finished {
                change: change("old"),
            },
        ),
        started(3, "refused"),
        entry(
            4,
            Record::UndoStarted {
                change: change("refused"),
                fault: fault(),
            },
        ),
        entry(
            5,
            Record::Refused {
                change: change("refused"),
                fault: fault(),
                recovered: false,
            },
        ),
        started(90, "old"),
        entry(
            91,
            Record::Finished {
                change: change("old"),
            },
        ),
        started(92, "old"),
    ];
    let compacted = JournalState::compact(&journal, at(50).wall);
    assert_eq!(compacted.len(), 7);
    let (before, after) = (
        JournalState::replay(&journal).unwrap(),
        JournalState::replay(&compacted).unwrap(),
    );
    assert!(after.finished.iter().eq(before.finished.iter().skip(1)));
    assert_eq!(
        JournalState {
            finished: VecDeque::new(),
            ..after
        },
        JournalState {
            finished: VecDeque::new(),
            ..before
        }
    );
}

#[test]
fn of_very_many_finished_changes_the_newest_are_kept() {
    let many = FINISHED_KEPT + 3;
    let journal: Vec<Entry> = (0..i64::try_from(many).unwrap())
        .flat_map(|second| {
            let finished = Record::Finished { change: change("a") };
            [started(second, "a"), entry(second, finished)]
        })
        .collect();
    let state = JournalState::replay(&journal).unwrap();
    assert_eq!(state.finished.len(), FINISHED_KEPT);
    assert_eq!(state.finished.front().map(|(_, when)| when.clone()), Some(at(3)));
}

#[test]
fn of_what_is_owed_the_last_word_counts_also_after_compaction() {
    let plaintext = |owed| Record::PlaintextOwed { owed };
    let load = |owed| Record::LoadOwed { owed };
    let journal = [
        entry(1, plaintext(true)),
        entry(2, load(Some(change("a")))),
        entry(3, plaintext(false)),
        started(4, "begun"),
        entry(5, load(Some(change("b")))),
    ];
    let state = JournalState::replay(&journal).unwrap();
    assert_eq!(
        (state.plaintext_owed, state.load_owed),
        (false, Some(change("b")))
    );
    assert!(state.in_flight.is_some());
    let compacted = JournalState::compact(&journal, at(50).wall);
    assert_eq!(JournalState::replay(&compacted), Ok(state));
    // What is owed no more is not in it.
    assert_eq!(compacted.len(), 2);
}

#[test]
fn what_is_to_be_loaded_is_settled_by_a_restart_that_succeeds_and_by_nothing_else() {
    let owed = entry(
        1,
        Record::LoadOwed {
            owed: Some(change("file")),
        },
    );
    let begun = |second| {
        entry(
            second,
            Record::Started {
                change: change("b"),
                controls: vec![],
                act: bounce(Component::ApiServer),
            },
        )
    };
    let after = |ends: &[Entry]| {
        let journal: Vec<Entry> = std::iter::once(owed.clone())
            .chain(ends.iter().cloned())
            .collect();
        let state = JournalState::replay(&journal).unwrap();
        let compacted = JournalState::compact(&journal, at(0).wall);
        assert_eq!(
            JournalState::replay(&compacted).unwrap().load_owed,
            state.load_owed
        );
        state.load_owed
    };
    let finished = |name: &str| Record::Finished { change: change(name) };
    assert_eq!(after(&[begun(2)]), Some(change("file")));
    assert_eq!(after(&[begun(2), entry(3, finished("b"))]), None);
    assert_eq!(
        after(&[started(2, "a"), entry(3, finished("a"))]),
        Some(change("file")),
        "a mode"
    );
    let abandoned = Record::Abandoned {
        change: change("b"),
        why: "nobody acts".to_owned(),
    };
    assert_eq!(after(&[begun(2), entry(3, abandoned)]), Some(change("file")));
    let refused = Record::Refused {
        change: change("b"),
        fault: fault(),
        recovered: false,
    };
    assert_eq!(after(&[begun(2), entry(3, refused)]), Some(change("file")));
}
