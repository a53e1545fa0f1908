//! The disruption window: the hours of the week in which a component may restart.

/// Days of the week and hours of the day, in a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The days on which it opens.
    pub days: Vec<jiff::civil::Weekday>,
    /// When it opens.
    pub from: jiff::civil::Time,
    /// When it closes; not after `from`: on the next day.
    pub to: jiff::civil::Time,
    /// The time zone.
    pub zone: jiff::tz::TimeZone,
}

/// Whether restarts may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowState {
    /// They may.
    Open,
    /// They may not; it opens then.
    Closed(jiff::Timestamp),
}

impl Window {
    /// Whether it is open.
    #[must_use]
    pub fn state(&self, _now: jiff::Timestamp) -> WindowState {
        WindowState::Open
    }
}
