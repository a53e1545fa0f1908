//! The disruption window: the hours of the week in which a component may restart.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

/// Days of the week and hours of the day, in a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The days on which it opens.
    pub days: Vec<Weekday>,
    /// When it opens.
    pub from: Time,
    /// When it closes; not after `from`: on the next day.
    pub to: Time,
    /// The time zone.
    pub zone: TimeZone,
}

/// Whether restarts may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowState {
    /// They may.
    Open,
    /// They may not; it opens then. [`Timestamp::MAX`] for a window that opens on no day.
    Closed(Timestamp),
}

/// A window that opens once a week may lose one opening to a change of the clocks.
const DAYS_AHEAD: i64 = 15;

impl Window {
    /// Whether it is open at `now`. A time of day that a change of the clocks skips comes later by what was skipped
    /// (02:30 is 03:30 on that day); of one that comes twice, the first is meant.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> WindowState {
        let here = now.to_zoned(self.zone.clone());
        // Yesterday's opening may still be open: the window may run over midnight.
        let openings = (-1..=DAYS_AHEAD).filter_map(|days| self.opening(&here, days));
        let mut next: Option<Timestamp> = None;
        for (opens, closes) in openings {
            if opens <= now && now < closes {
                return WindowState::Open;
            }
            if opens > now {
                next = Some(next.map_or(opens, |known| known.min(opens)));
            }
        }
        WindowState::Closed(next.unwrap_or(Timestamp::MAX))
    }

    /// When it opens and closes on the day that is `days` after `here`'s; `None` when it does not open on that day.
    fn opening(&self, here: &Zoned, days: i64) -> Option<(Timestamp, Timestamp)> {
        // A date that cannot be reckoned lies at the end of all dates: nothing opens there.
        let day = here.date().checked_add(days.days()).ok()?;
        if !self.days.contains(&day.weekday()) {
            return None;
        }
        let last = if self.to <= self.from {
            day.tomorrow().ok()?
        } else {
            day
        };
        let opens = day
            .to_datetime(self.from)
            .to_zoned(self.zone.clone())
            .ok()?
            .timestamp();
        let closes = last
            .to_datetime(self.to)
            .to_zoned(self.zone.clone())
            .ok()?
            .timestamp();
        (opens < closes).then_some((opens, closes))
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZoneDatabase;

    use super::*;

    fn window(days: &[Weekday], from: &str, to: &str, zone: &str) -> Window {
        Window {
            days: days.to_vec(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            zone: TimeZoneDatabase::bundled().get(zone).unwrap(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn closed_until(text: &str) -> WindowState {
        WindowState::Closed(at(text))
    }

    #[test]
    fn it_is_open_from_its_first_to_before_its_last_moment() {
        let weekend = window(&[Weekday::Saturday, Weekday::Sunday], "02:00", "05:00", "UTC");
        // 2026-11-28 is a Saturday.
        assert_eq!(
            weekend.state(at("2026-11-27T12:00:00Z")),
            closed_until("2026-11-28T02:00:00Z")
        );
        assert_eq!(weekend.state(at("2026-11-28T02:00:00Z")), WindowState::Open);
        assert_eq!(weekend.state(at("2026-11-28T04:59:59Z")), WindowState::Open);
        assert_eq!(
            weekend.state(at("2026-11-28T05:00:00Z")),
            closed_until("2026-11-29T02:00:00Z")
        );
        assert_eq!(
            weekend.state(at("2026-11-29T05:00:00Z")),
            closed_until("2026-12-05T02:00:00Z")
        );
    }

    #[test]
    fn over_midnight_the_day_is_that_of_the_opening() {
        let night = window(&[Weekday::Friday], "22:00", "04:00", "UTC");
        assert_eq!(night.state(at("2026-11-27T23:00:00Z")), WindowState::Open);
        assert_eq!(night.state(at("2026-11-28T03:59:00Z")), WindowState::Open);
        assert_eq!(
            night.state(at("2026-11-28T04:00:00Z")),
            closed_until("2026-12-04T22:00:00Z")
        );
        assert_eq!(
            night.state(at("2026-11-27T03:00:00Z")),
            closed_until("2026-11-27T22:00:00Z")
        );
    }

    #[test]
    fn the_same_time_twice_is_the_whole_day() {
        let sunday = window(&[Weekday::Sunday], "00:00", "00:00", "Asia/Tokyo");
        assert_eq!(
            sunday.state(at("2026-11-28T14:59:59Z")),
            closed_until("2026-11-28T15:00:00Z")
        );
        assert_eq!(sunday.state(at("2026-11-28T15:00:00Z")), WindowState::Open);
        assert_eq!(sunday.state(at("2026-11-29T14:59:59Z")), WindowState::Open);
        assert_eq!(
            sunday.state(at("2026-11-29T15:00:00Z")),
            closed_until("2026-12-05T15:00:00Z")
        );
    }

    #[test]
    fn a_skipped_hour_moves_the_opening_and_never_opens_an_empty_window() {
        // Berlin skips 02:00 to 03:00 on Sunday, 2027-03-28 (01:00 UTC).
        let half_past = window(&[Weekday::Sunday], "02:30", "05:00", "Europe/Berlin");
        assert_eq!(
            half_past.state(at("2027-03-28T01:29:59Z")),
            closed_until("2027-03-28T01:30:00Z")
        );
        assert_eq!(half_past.state(at("2027-03-28T01:30:00Z")), WindowState::Open);
        assert_eq!(
            half_past.state(at("2027-03-28T03:00:00Z")),
            closed_until("2027-04-04T00:30:00Z")
        );
        let gone = window(&[Weekday::Sunday], "02:00", "03:00", "Europe/Berlin");
        assert_eq!(
            gone.state(at("2027-03-28T01:00:00Z")),
            closed_until("2027-04-04T00:00:00Z")
        );
    }

    #[test]
    fn an_hour_that_comes_twice_is_open_both_times() {
        // Berlin has 02:00 to 03:00 twice on Sunday, 2026-10-25 (00:00 and 01:00 UTC).
        let twice = window(&[Weekday::Sunday], "02:00", "03:00", "Europe/Berlin");
        assert_eq!(
            twice.state(at("2026-10-24T23:59:59Z")),
            closed_until("2026-10-25T00:00:00Z")
        );
        for open in ["2026-10-25T00:00:00Z", "2026-10-25T01:59:59Z"] {
            assert_eq!(twice.state(at(open)), WindowState::Open, "{open}");
        }
        assert_eq!(
            twice.state(at("2026-10-25T02:00:00Z")),
            closed_until("2026-11-01T01:00:00Z")
        );
    }

    #[test]
    fn without_a_day_it_never_opens_and_the_end_of_time_is_survived() {
        assert_eq!(
            window(&[], "02:00", "05:00", "UTC").state(at("2026-11-27T12:00:00Z")),
            WindowState::Closed(Timestamp::MAX)
        );
        let daily = window(&[Weekday::Monday], "02:00", "05:00", "UTC");
        for now in [Timestamp::MAX, Timestamp::MIN] {
            assert!(matches!(daily.state(now), WindowState::Closed(_)));
        }
    }
}
