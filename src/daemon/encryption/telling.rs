//! What the system log is told of encryption at rest, each thing once, and again when it was over meanwhile.

use super::Keeper;
use crate::daemon::news::without_numbers;
use crate::domain::NodePath;
use crate::events::tell;
use crate::journal::{JournalState, KnownEncryption};
use crate::rewrite::Progress;
use crate::rotate::RotateError;
use crate::rotate::status::State;
use crate::rotation::Rotation;

/// How encryption at rest stood at the last look that could tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Stand {
    /// Nothing is to be said of it.
    #[default]
    InOrder,
    /// It cannot be read, and never could: why.
    Unwatched(String),
    /// It cannot be looked after, so that nobody knows whether values are in danger: why.
    Unguarded(String),
    /// It is not what it was, and no value needs what went: what differs.
    Changed(Vec<String>),
    /// Values are in danger, or may be.
    Endangered(String),
}

impl Stand {
    /// It stands so now. True when that is news; what only counts otherwise is the same.
    fn becomes(&mut self, now: Self) -> bool {
        let is_same = match (&*self, &now) {
            (Self::Endangered(before), Self::Endangered(now))
            | (Self::Unguarded(before), Self::Unguarded(now)) => {
                without_numbers(before) == without_numbers(now)
            }
            (before, now) => before == now,
        };
        if !is_same {
            *self = now;
        }
        !is_same
    }

    /// True when values are in danger, or that cannot be told.
    pub(super) const fn is_endangered(&self) -> bool {
        matches!(self, Self::Endangered(_) | Self::Unguarded(_))
    }

    /// True when there is a configuration that could never be read.
    pub(super) const fn is_unwatched(&self) -> bool {
        matches!(self, Self::Unwatched(_))
    }
}

/// What was told last of that which lasts.
#[derive(Debug, Default)]
pub(super) struct Lasting {
    told: String,
    /// It was still so in this pass.
    is_so: bool,
}

impl Lasting {
    /// True for another thing than was told last; what only counts down is the same.
    fn is_news(&mut self, what: &str) -> bool {
        self.is_so = true;
        let essence = without_numbers(what);
        let is_news = essence != self.told;
        self.told = essence;
        is_news
    }

    /// A pass is over. One that had nothing to say ends what was told, unless it only `rested`.
    pub(super) fn passed(&mut self, rested: bool) {
        let is_so = std::mem::take(&mut self.is_so);
        if !is_so && !rested {
            self.told.clear();
        }
    }
}

/// Tells of a rotation, if there is one, with all that it can be found by: `tell_of!(EVENT, rotation_or_none, its_key, "text")`.
macro_rules! tell_of {
    ($event:ident, $rotation:expr, $key:expr, $($text:tt)+) => {{
        let rotation: Option<&$crate::rotation::Rotation> = $rotation;
        let key: Option<&str> = $key;
        let step = rotation.map(|rotation| rotation.goal.to_string());
        $crate::events::tell!(
            $event,
            [
                rotation = rotation.map(|rotation| rotation.id.as_str()),
                step = step.as_deref(),
                key = key
            ],
            $($text)+
        )
    }};
}
pub(super) use tell_of;

impl Keeper<'_> {
    pub(in crate::daemon) fn tell_waiting(&mut self, journal: &JournalState, what: &str) {
        self.tell(what, |what| {
            tell!(
                ENCRYPTION_WAITS,
                [path = file(journal.encryption.as_ref())],
                "{what}"
            );
        });
    }

    pub(super) fn tell_trouble(&mut self, journal: &JournalState, why: &RotateError) {
        let rotation = journal.rotations.rotation.as_ref();
        let key = rotation.map(|rotation| self.key_of(rotation));
        self.tell(&why.to_string(), |why| {
            tell_of!(ROTATION_TROUBLE, rotation, key.as_deref(), "{why}");
        });
    }

    pub(super) fn tell_stopped(&self, rotation: Option<&Rotation>, what: &str) {
        let key = rotation.map(|rotation| self.key_of(rotation));
        tell_of!(ROTATION_STOPPED, rotation, key.as_deref(), "{what}");
    }

    /// How it stands now, with the file that this is about.
    pub(super) fn tell_stand(&mut self, now: Stand, path: Option<&NodePath>) {
        if !self.stand.becomes(now) {
            return;
        }
        let path = path.map(NodePath::as_str);
        match &self.stand {
            Stand::InOrder => {}
            Stand::Unwatched(why) => tell!(
                ENCRYPTION_UNWATCHED,
                [path = path],
                "encryption at rest is not watched, as its configuration cannot be read: {why}"
            ),
            Stand::Unguarded(why) => tell!(
                ENCRYPTION_UNWATCHED,
                [path = path],
                "encryption at rest is not guarded, and whether stored values are in danger cannot be told: {why}"
            ),
            Stand::Changed(differences) => tell!(
                ENCRYPTION_CHANGED,
                [path = path],
                "encryption at rest was changed, and no stored value needs what went: {}",
                differences.join("; ")
            ),
            Stand::Endangered(told) => tell!(ENCRYPTION_ENDANGERED, [path = path], "{told}"),
        }
    }

    /// It is as it is known, or there is none.
    pub(super) fn tell_in_order(&mut self, known: Option<&KnownEncryption>) {
        let before = std::mem::take(&mut self.stand);
        if known.is_some() && before.is_endangered() {
            tell!(
                ENCRYPTION_IN_ORDER,
                [path = file(known)],
                "encryption at rest is in order again"
            );
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
        let key = self.key_of(rotation);
        let (of, key) = (Some(rotation), Some(key.as_str()));
        self.tell(&format!("{what}\0{remedy}"), |_| match state {
            State::Working | State::Ended => {
                tell_of!(ROTATION_STEP, of, key, "rotation {id}: {what}");
            }
            State::Waiting => tell_of!(ROTATION_PROGRESS, of, key, "rotation {id} waits: {what}"),
            State::Parked if asks => {
                tell_of!(
                    ROTATION_WAITS_FOR_CONSENT,
                    of,
                    key,
                    "rotation {id}: {what}. To do: {remedy}"
                );
            }
            State::Parked => {
                tell_of!(
                    ROTATION_STOPPED,
                    of,
                    key,
                    "rotation {id} stands still: {what}. To do: {remedy}"
                );
            }
        });
    }

    /// The key that a rotation leads to, as whoever looks for it finds it.
    pub(super) fn key_of(&self, rotation: &Rotation) -> String {
        self.rotator.key_told(&rotation.new)
    }

    /// Tells a thing that lasts once.
    pub(in crate::daemon) fn tell(&mut self, what: &str, how: impl FnOnce(&str)) {
        if self.lasting.is_news(what) {
            how(what);
        }
    }
}

/// The file of what is known.
fn file(known: Option<&KnownEncryption>) -> Option<&str> {
    known.map(|known| known.file.as_str())
}

pub(super) fn tell_progress(rotation: &Rotation, key: &str, progress: &Progress) {
    let total = progress
        .total
        .map_or_else(|| "?".to_owned(), |total| total.to_string());
    tell_of!(
        ROTATION_PROGRESS,
        Some(rotation),
        Some(key),
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

#[cfg(test)]
#[path = "telling_tests.rs"]
mod tests;
