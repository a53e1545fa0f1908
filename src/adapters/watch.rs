//! Hints that a watched folder changed (inotify, by notify). Folders are watched, never files; an event is a hint only.

/// What an event hints at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// An entry of a watched folder changed.
    Changed,
    /// A watched folder itself came, went or was replaced: renew the watches.
    FoldersChanged,
    /// Events were lost: look at everything, and renew the watches.
    Lost,
}
/// x
#[derive(Debug)]
pub struct Watch;
/// x
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct WatchError;
impl Watch {
    /// x
    pub fn new(
        _: &std::path::Path,
        _: impl IntoIterator<Item = crate::domain::NodePath>,
        _: impl Fn(Hint) + Send + 'static,
    ) -> Result<Self, WatchError> {
        Ok(Self)
    }
    /// x
    pub fn renew(&mut self, _: impl IntoIterator<Item = crate::domain::NodePath>) -> Result<(), WatchError> {
        Ok(())
    }
}
