//! When the daemon looks again: at once when files change, but not in a tight loop; with restarts only when the files are quiet; and
//! every few minutes regardless. Times are milliseconds of the boot clock.

/// Files count as quiet after this long without an event...
const QUIET_MS: u64 = 200;
/// ...or this long after the first one.
const PATIENCE_MS: u64 = 2_000;
/// The longest gap between passes that events ask for and that find nothing new.
const WIDEST_GAP_MS: u64 = 500;

/// The pace of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pace {
    full_pass_ms: u64,
    last_pass: Option<u64>,
    full_pass_due: u64,
    look_again_at: Option<u64>,
    unsettled: Option<Unsettled>,
    event_pending: bool,
    gap_ms: u64,
}

/// Events since the files were quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unsettled {
    first: u64,
    last: u64,
}

impl Pace {
    /// A pace whose first pass is due at once.
    pub(super) fn new(full_pass: std::time::Duration) -> Self {
        Self {
            full_pass_ms: millis(full_pass),
            last_pass: None,
            full_pass_due: 0,
            look_again_at: None,
            unsettled: None,
            event_pending: false,
            gap_ms: 0,
        }
    }

    /// Files changed.
    pub(super) fn event(&mut self, now: u64) {
        let first = self.unsettled.map_or(now, |unsettled| unsettled.first);
        self.unsettled = Some(Unsettled { first, last: now });
        self.event_pending = true;
    }

    /// Everything is to be looked at now.
    pub(super) fn look_now(&mut self) {
        self.full_pass_due = 0;
        self.unsettled = None;
    }

    /// True while files have just changed.
    pub(super) fn is_settling(&self, now: u64) -> bool {
        self.unsettled.is_some_and(|unsettled| now < unsettled.quiet_at())
    }

    /// When the next pass is due.
    pub(super) fn due(&self) -> u64 {
        let by_event = self
            .event_pending
            .then(|| self.last_pass.map_or(0, |last| last + self.gap_ms));
        let by_quiet = self.unsettled.map(Unsettled::quiet_at);
        [by_event, by_quiet, self.look_again_at]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(u64::MAX)
            .min(self.full_pass_due)
    }

    /// A pass was made that began at `began` and ended `now`.
    pub(super) fn passed(
        &mut self,
        began: u64,
        now: u64,
        news: bool,
        look_again: Option<std::time::Duration>,
    ) {
        let settled = !self.is_settling(began);
        if settled {
            self.unsettled = None;
            self.full_pass_due = now.saturating_add(self.full_pass_ms);
        }
        let calm = self
            .last_pass
            .is_none_or(|last| began.saturating_sub(last) > 2 * WIDEST_GAP_MS);
        self.gap_ms = if news || calm {
            0
        } else {
            (self.gap_ms * 2).clamp(10, WIDEST_GAP_MS)
        };
        self.event_pending = false;
        self.last_pass = Some(now);
        self.look_again_at = look_again.map(|wait| now.saturating_add(millis(wait)));
    }
}

impl Unsettled {
    fn quiet_at(self) -> u64 {
        (self.last + QUIET_MS).min(self.first + PATIENCE_MS)
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rested() -> Pace {
        let mut pace = Pace::new(Duration::from_secs(180));
        pace.passed(10_000, 10_000, true, None);
        pace
    }

    #[test]
    fn the_first_pass_is_due_at_once_and_the_next_after_the_interval() {
        assert_eq!(Pace::new(Duration::from_secs(180)).due(), 0);
        assert_eq!(rested().due(), 190_000);
    }

    #[test]
    fn an_event_asks_for_a_pass_at_once_and_for_another_when_the_files_are_quiet() {
        let mut pace = rested();
        pace.event(20_000);
        assert!(pace.due() <= 20_000 && pace.is_settling(20_000));
        pace.passed(20_000, 20_010, true, None);
        assert_eq!((pace.due(), pace.is_settling(20_199)), (20_200, true));
        assert!(!pace.is_settling(20_200));
        pace.passed(20_200, 20_210, false, None);
        assert_eq!(pace.due(), 200_210);
    }

    #[test]
    fn events_without_end_settle_after_two_seconds() {
        let mut pace = rested();
        for now in (20_000..30_000).step_by(100) {
            pace.event(now);
        }
        assert!(!pace.is_settling(22_000));
    }

    #[test]
    fn events_that_bring_no_news_are_looked_at_less_and_less_often() {
        let mut pace = rested();
        let mut now = 20_000;
        let mut passes = 0;
        while now < 30_000 {
            pace.event(now);
            if pace.due() <= now {
                pace.passed(now, now, false, None);
                passes += 1;
            }
            now += 1;
        }
        assert!(passes < 40, "{passes}");
    }

    #[test]
    fn a_change_in_flight_is_looked_at_again_soon() {
        let mut pace = rested();
        pace.passed(20_000, 20_000, true, Some(Duration::from_millis(250)));
        assert_eq!(pace.due(), 20_250);
    }
}
