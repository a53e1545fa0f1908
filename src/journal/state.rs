//! What the journal says when it is read again: the fold of its entries.

use std::collections::VecDeque;

use super::{Act, Entry, Fault, JournalError, KnownEncryption, KnownManifest, Record};
use crate::domain::{Component, ControlId, Digest, Instant};
use crate::rotation::{self, History};

/// The fold of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalState {
    /// The change that was begun and not ended.
    pub in_flight: Option<InFlight>,
    /// Changes that the node refused, newest last.
    pub refusals: Vec<Refusal>,
    /// The manifests that were there at the first start; `None` before it.
    pub baseline: Option<Vec<KnownManifest>>,
    /// What is known of rotations of encryption keys.
    pub rotations: History,
    /// How the API server was told to encrypt when that was last in order.
    pub encryption: Option<KnownEncryption>,
    /// True while values may be in plaintext because the API server had lost its configuration.
    pub plaintext_owed: bool,
    /// True when the API server did not bear a restart during a rotation, and nothing of the rotation was recorded since: whoever had it
    /// restarted was killed before it could put the configuration of before back.
    pub load_refused: bool,
    /// The finished changes, and the edits that were given up, that may still count for flapping: what was changed, and when; oldest first.
    pub finished: VecDeque<(Act, Instant)>,
}

/// A change that was begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// The change.
    pub change: Digest,
    /// The controls that it serves.
    pub controls: Vec<ControlId>,
    /// What it does.
    pub act: Act,
    /// Where it stands.
    pub phase: Phase,
    /// When that phase was begun.
    pub since: Instant,
    /// When the component was found to listen no more, if it is taken out of its folder.
    pub draining: Option<Instant>,
    /// When the kubelet was found to have cleaned up after its former pod, if it was taken out of its folder.
    pub cleaned_up: Option<Instant>,
}

/// Where a change in flight stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// The intent is recorded; the effect may have happened.
    Started,
    /// The intent to put the former content back is recorded; that may have happened.
    Undoing(Fault),
}

/// A change that the node refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The change.
    pub change: Digest,
    /// What it did.
    pub act: Act,
    /// What the node did not bear.
    pub fault: Fault,
    /// True when the component came back with its former manifest.
    pub recovered: bool,
    /// When it was given up.
    pub at: Instant,
}

/// More finished changes than this are not kept: enough for the flap guard's hour at more than one every two seconds.
const FINISHED_KEPT: usize = 2048;

impl JournalState {
    /// Reads a journal from its beginning.
    ///
    /// # Errors
    /// Names the first entry that cannot follow those before it.
    pub fn replay<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Self, JournalError> {
        let mut state = Self::default();
        for (index, entry) in entries.into_iter().enumerate() {
            state
                .record(entry)
                .map_err(|why| JournalError::OutOfOrder { line: index + 1, why })?;
        }
        Ok(state)
    }

    /// Adds one entry. All legal successions stand in this one match.
    ///
    /// # Errors
    /// Says what does not fit; the state is then as it was.
    #[expect(clippy::too_many_lines, reason = "all legal successions stand in one match")]
    pub fn record(&mut self, entry: &Entry) -> Result<(), String> {
        match (&entry.record, self.in_flight.take()) {
            (Record::Opened { .. }, in_flight) => self.in_flight = in_flight,
            (Record::Rotations { history }, in_flight) => {
                self.in_flight = in_flight;
                self.rotations = (**history).clone();
            }
            (Record::Encryption { known }, in_flight) => {
                self.in_flight = in_flight;
                self.encryption.clone_from(known);
            }
            (Record::PlaintextOwed { owed }, in_flight) => {
                self.in_flight = in_flight;
                self.plaintext_owed = *owed;
            }
            (Record::Rotation { event }, in_flight) => {
                self.in_flight = in_flight;
                self.rotations = rotation::record(&self.rotations, event, &entry.at)
                    .map_err(|illegal| illegal.to_string())?;
                self.load_refused = false;
            }
            (Record::Baseline { manifests }, in_flight) => {
                self.in_flight = in_flight;
                self.baseline = Some(manifests.clone());
            }
            (
                Record::Started {
                    change,
                    controls,
                    act,
                },
                None,
            ) => {
                self.in_flight = Some(InFlight {
                    change: *change,
                    controls: controls.clone(),
                    act: act.clone(),
                    phase: Phase::Started,
                    since: entry.at.clone(),
                    draining: None,
                    cleaned_up: None,
                });
            }
            (Record::Draining { change }, Some(begun))
                if begun.change == *change && begun.phase == Phase::Started =>
            {
                self.in_flight = Some(InFlight {
                    draining: Some(entry.at.clone()),
                    ..begun
                });
            }
            (Record::CleanedUp { change }, Some(begun))
                if begun.change == *change && begun.phase == Phase::Started =>
            {
                self.in_flight = Some(InFlight {
                    cleaned_up: Some(entry.at.clone()),
                    ..begun
                });
            }
            (Record::Finished { change }, Some(begun))
                if begun.change == *change && begun.phase == Phase::Started =>
            {
                self.finish(begun, entry);
            }
            (Record::Abandoned { change, .. }, Some(begun)) if begun.change == *change => {
                // An edit that somebody undid while it was watched has cost a restart all the same.
                if matches!(begun.act, Act::EditManifest(_)) {
                    self.finish(begun, entry);
                }
            }
            (Record::UndoStarted { change, fault }, Some(begun)) if begun.change == *change => {
                let phase = Phase::Undoing(fault.clone());
                self.in_flight = Some(InFlight {
                    phase,
                    since: entry.at.clone(),
                    ..begun
                });
            }
            (
                Record::Refused {
                    change,
                    fault,
                    recovered,
                },
                Some(begun),
            ) if begun.change == *change => {
                let is_load =
                    matches!(&begun.act, Act::Bounce(bounce) if bounce.component == Component::ApiServer);
                self.load_refused |= is_load && self.rotations.rotation.is_some();
                self.refusals.retain(|refusal| refusal.change != *change);
                self.refusals.push(Refusal {
                    change: *change,
                    act: begun.act,
                    fault: fault.clone(),
                    recovered: *recovered,
                    at: entry.at.clone(),
                });
            }
            (
                Record::Started { change, .. }
                | Record::Draining { change }
                | Record::CleanedUp { change }
                | Record::Finished { change }
                | Record::Abandoned { change, .. }
                | Record::UndoStarted { change, .. }
                | Record::Refused { change, .. },
                in_flight,
            ) => {
                let other = in_flight
                    .as_ref()
                    .map_or_else(|| "no change".to_owned(), |begun| begun.change.short());
                self.in_flight = in_flight;
                return Err(format!(
                    "it speaks of change {}, while {other} is in flight",
                    change.short()
                ));
            }
        }
        Ok(())
    }

    fn finish(&mut self, begun: InFlight, entry: &Entry) {
        if self.finished.len() >= FINISHED_KEPT {
            self.finished.pop_front();
        }
        self.finished.push_back((begun.act, entry.at.clone()));
    }

    /// The entries of a shorter journal that replays to the same state, but for finished changes before `keep_since`. Of changes that
    /// ended since, the newest are kept, as many as the state holds.
    #[must_use]
    pub fn compact(entries: &[Entry], keep_since: jiff::Timestamp) -> Vec<Entry> {
        let ended =
            |entry: &&Entry| matches!(entry.record, Record::Finished { .. } | Record::Abandoned { .. });
        let is_recent = |entry: &&Entry| entry.at.wall >= keep_since;
        let mut surplus = entries
            .iter()
            .filter(ended)
            .filter(is_recent)
            .count()
            .saturating_sub(FINISHED_KEPT);
        let rotations = rotations_of(entries);
        let of_encryption = last_of_encryption(entries);
        let mut kept = Vec::new();
        let mut begun = Vec::new();
        for entry in entries {
            match &entry.record {
                Record::Opened { .. } | Record::Baseline { .. } => kept.push(entry.clone()),
                Record::Rotation { .. } | Record::Rotations { .. } => {
                    if rotations.is_none() {
                        kept.push(entry.clone());
                    }
                }
                // The last of each says all.
                Record::Encryption { .. } | Record::PlaintextOwed { .. } => {}
                Record::Started { .. }
                | Record::Draining { .. }
                | Record::CleanedUp { .. }
                | Record::UndoStarted { .. } => begun.push(entry.clone()),
                Record::Finished { .. } | Record::Abandoned { .. } if entry.at.wall < keep_since => {
                    begun.clear();
                }
                Record::Finished { .. } | Record::Abandoned { .. } if surplus > 0 => {
                    surplus -= 1;
                    begun.clear();
                }
                Record::Finished { .. } | Record::Abandoned { .. } | Record::Refused { .. } => {
                    kept.append(&mut begun);
                    kept.push(entry.clone());
                }
            }
        }
        kept.append(&mut begun);
        // A restart that was refused since is told as such only after the rotation that it was for.
        let place = match Self::replay(entries) {
            Ok(state) if state.load_refused => kept.iter().take_while(|entry| is_opened(entry)).count(),
            Ok(_) | Err(_) => kept.len(),
        };
        kept.splice(place..place, rotations);
        kept.extend(of_encryption);
        kept
    }
}

/// The last entry of each kind that speaks of encryption at rest.
fn last_of_encryption(entries: &[Entry]) -> impl Iterator<Item = Entry> {
    let last = |is: fn(&Record) -> bool| entries.iter().rev().find(|entry| is(&entry.record)).cloned();
    [
        last(|record| matches!(record, Record::Encryption { .. })),
        last(|record| matches!(record, Record::PlaintextOwed { .. })),
    ]
    .into_iter()
    .flatten()
}

const fn is_opened(entry: &Entry) -> bool {
    matches!(entry.record, Record::Opened { .. })
}

/// One entry that says what all entries about rotations say; `None` when there are none, or they do not follow one another.
fn rotations_of(entries: &[Entry]) -> Option<Entry> {
    let is_of_rotation =
        |entry: &&Entry| matches!(entry.record, Record::Rotation { .. } | Record::Rotations { .. });
    let last = entries.iter().rev().find(is_of_rotation)?;
    let state = JournalState::replay(entries.iter().filter(is_of_rotation)).ok()?;
    Some(Entry {
        at: last.at.clone(),
        record: Record::Rotations {
            history: Box::new(state.rotations),
        },
    })
}

#[cfg(test)]
mod tests {
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

    /// The records of a bounce that was refused.
    fn refused_bounce(component: Component) -> [Record; 2] {
        let act = Act::Bounce(crate::journal::BouncedManifest {
            component,
            path: "/m".parse().unwrap(),
            digest: change("m"),
            backup: "/b".parse().unwrap(),
            out: "/o".parse().unwrap(),
            processes: vec![],
            pods: vec![],
            drain_ms: None,
        });
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
}
