//! What the system log is told of encryption at rest, each thing once.

use super::Keeper;
use crate::events::tell;
use crate::rewrite::Progress;
use crate::rotate::RotateError;
use crate::rotate::status::State;
use crate::rotation::Rotation;

impl Keeper<'_> {
    pub(in crate::daemon) fn tell_waiting(&mut self, what: &str) {
        self.tell(what, |what| tell!(ENCRYPTION_WAITS, [], "{what}"));
    }

    pub(super) fn tell_trouble(&mut self, why: &RotateError) {
        self.tell(&why.to_string(), |why| tell!(ROTATION_TROUBLE, [], "{why}"));
    }

    pub(super) fn tell_change(&mut self, differences: Vec<String>) {
        if self.changed != differences {
            tell!(
                ENCRYPTION_CHANGED,
                [],
                "encryption at rest was changed, and no stored value needs what went: {}",
                differences.join("; ")
            );
            self.changed = differences;
        }
    }

    pub(super) fn tell_unwatched(&mut self, why: String) {
        if self.unwatched.as_ref() != Some(&why) {
            tell!(
                ENCRYPTION_UNWATCHED,
                [],
                "encryption at rest is not watched, as its configuration cannot be read: {why}"
            );
            self.unwatched = Some(why);
        }
    }

    /// Tells a danger once; one of which other numbers are counted is the same.
    pub(super) fn tell_danger(&mut self, told: String) {
        let same = self
            .danger
            .as_ref()
            .is_some_and(|before| without_numbers(before) == without_numbers(&told));
        if !same {
            tell!(ENCRYPTION_ENDANGERED, [], "{told}");
            self.danger = Some(told);
        }
    }

    /// What a pass came to; one that `asks` stands still for the operator's consent alone.
    pub(super) fn tell_step(
        &mut self,
        rotation: &Rotation,
        (state, asks): (State, bool),
        what: &str,
        remedy: &str,
    ) {
        let id = rotation.id.as_str();
        let (step, key) = (rotation.goal.to_string(), rotation.new.to_string());
        let (step, key) = (step.as_str(), key.as_str());
        self.tell(&format!("{what}\0{remedy}"), |_| match state {
            State::Working | State::Ended => {
                tell!(
                    ROTATION_STEP,
                    [rotation = id, step = step, key = key],
                    "rotation {id}: {what}"
                )
            }
            State::Waiting => {
                tell!(
                    ROTATION_PROGRESS,
                    [rotation = id, step = step, key = key],
                    "rotation {id} waits: {what}"
                )
            }
            State::Parked if asks => {
                tell!(
                    ROTATION_WAITS_FOR_CONSENT,
                    [rotation = id, step = step, key = key],
                    "rotation {id}: {what}. To do: {remedy}"
                )
            }
            State::Parked => {
                tell!(
                    ROTATION_STOPPED,
                    [rotation = id, step = step, key = key],
                    "rotation {id} stands still: {what}. To do: {remedy}"
                )
            }
        });
    }

    /// Tells a thing once; one that only counts down is the same.
    pub(in crate::daemon) fn tell(&mut self, what: &str, how: impl FnOnce(&str)) {
        let essence = without_numbers(what);
        if essence != self.told {
            how(what);
            self.told = essence;
        }
    }
}

pub(super) fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

pub(super) fn tell_progress(rotation: &Rotation, progress: &Progress) {
    let total = progress
        .total
        .map_or_else(|| "?".to_owned(), |total| total.to_string());
    let (step, key) = (rotation.goal.to_string(), rotation.new.to_string());
    tell!(
        ROTATION_PROGRESS,
        [
            rotation = rotation.id.as_str(),
            step = step.as_str(),
            key = key.as_str()
        ],
        "{} of {total} rewritten or fresh, {:.0}/s",
        progress.done,
        progress.rate
    );
}

/// Who follows misses a line; nothing depends on it.
pub(super) fn tell_status(published: Result<(), RotateError>) {
    if let Err(error) = published {
        tell!(LEFTOVER, [], "the status of the rotation is not written: {error}");
    }
}
