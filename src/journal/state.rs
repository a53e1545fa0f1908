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
    /// The configuration that the API server is to be restarted for.
    pub load_owed: Option<Digest>,
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
    /// When the runtime was asked to remove the former pod's ended containers, and how many there were, if it said so.
    pub removed: Option<(Instant, Option<usize>)>,
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
            (Record::LoadOwed { owed }, in_flight) => {
                self.in_flight = in_flight;
                self.load_owed = *owed;
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
                    removed: None,
                });
            }
            (Record::Draining { change }, Some(begun))
                if begun.change == *change
                    && (begun.phase == Phase::Started || matches!(begun.act, Act::EditKubelet(_))) =>
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
            (Record::ContainersRemoved { change, count }, Some(begun))
                if begun.change == *change && begun.phase == Phase::Started =>
            {
                self.in_flight = Some(InFlight {
                    removed: Some((entry.at.clone(), *count)),
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
                if matches!(begun.act, Act::EditManifest(_) | Act::EditKubelet(_)) {
                    self.finish(begun, entry);
                }
            }
            (Record::UndoStarted { change, fault }, Some(begun)) if begun.change == *change => {
                let phase = Phase::Undoing(fault.clone());
                // The kubelet is to be restarted once more.
                let is_kubelet = matches!(begun.act, Act::EditKubelet(_));
                let draining = begun.draining.clone().filter(|_| !is_kubelet);
                self.in_flight = Some(InFlight {
                    phase,
                    draining,
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
                | Record::ContainersRemoved { change, .. }
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
        // What is to be loaded is on the disk before a restart is begun for it.
        if begun.act.restarts() == Some(Component::ApiServer) {
            self.load_owed = None;
        }
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
                Record::Encryption { .. } | Record::PlaintextOwed { .. } | Record::LoadOwed { .. } => {}
                Record::Started { .. }
                | Record::Draining { .. }
                | Record::CleanedUp { .. }
                | Record::ContainersRemoved { .. }
                | Record::UndoStarted { .. } => begun.push(entry.clone()),
                Record::Finished { .. } | Record::Abandoned { .. } if entry.at.wall < keep_since => {
                    begun.clear();
                }
                Record::Finished { .. } | Record::Abandoned { .. } if surplus > 0 => {
                    surplus -= 1;
                    begun.clear();
                }
                Record::Finished { .. } | Record::Abandoned { .. } | Record::Refused { .. } => {
                    begun.retain(|entry| !is_on_the_way(entry));
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

/// The last entry of each kind that speaks of encryption at rest. What is owed no more is left out: a Holdfast that does not know such a debt
/// then reads the journal as long as there is none.
fn last_of_encryption(entries: &[Entry]) -> impl Iterator<Item = Entry> {
    let state = JournalState::replay(entries).unwrap_or_default();
    let last = |is: fn(&Record) -> bool| entries.iter().rev().find(|entry| is(&entry.record)).cloned();
    let plaintext = || last(|record| matches!(record, Record::PlaintextOwed { .. }));
    let load = || last(|record| matches!(record, Record::LoadOwed { .. }));
    [
        last(|record| matches!(record, Record::Encryption { .. })),
        state.plaintext_owed.then(plaintext).flatten(),
        state.load_owed.and_then(|_| load()),
    ]
    .into_iter()
    .flatten()
}

/// What matters only until the change has ended.
const fn is_on_the_way(entry: &Entry) -> bool {
    matches!(
        entry.record,
        Record::Draining { .. } | Record::CleanedUp { .. } | Record::ContainersRemoved { .. }
    )
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
#[path = "state_tests.rs"]
mod tests;
