//! How fast to rewrite: quick while nobody else needs the server, and out of the way when somebody does.
//!
//! The rate grows by steps and is halved by an answer of 429, by a server that does not answer, and by answers that take more than
//! three times as long as they should, for two windows in a row. How long they should take is what the server itself has shown: its
//! quickest answers, or, where our own requests queue, their number over the best rate (no closed queue does better than the larger
//! of the two).
//! Flow control does not hold `system:masters` back, so this is all that does.
//!
//! Other writers are seen without asking: every write grows etcd's revision by one, so what it grew by beyond our own writes is
//! theirs. While they write, one request is in flight, and after its answer the server has as long for itself as that took: one of
//! theirs meets one of ours half of the time, and never two. A run begins like that, until it has seen that nobody writes.
//!
//! Times are measured from any fixed moment of a clock that never goes back.

use std::time::Duration;

/// For how long answers are gathered before the rate is judged...
const WINDOW: Duration = Duration::from_millis(400);
/// ...and how many of them, so that at a low rate chance does not judge.
const WINDOW_ANSWERS: usize = 8;
/// More latencies than this tell nothing more about their median.
const MAX_LATENCIES: usize = 256;
/// Answers may take this many times as long as they should.
const SLOW_FACTOR: f64 = 3.0;
/// So many slow windows in a row cut the rate: one may be a disk that stalled once.
const SLOW_WINDOWS: u32 = 2;
/// By how much each window relaxes what the server has shown: a load or a kind of object that stays becomes the measure in minutes.
const AGING: f64 = 0.002;
/// The first rate, a second.
const START_RATE: f64 = 400.0;
/// The least rate, a second: even beside a busy server it gets done.
const LEAST_RATE: f64 = 5.0;
/// The step of growth, a second, once the rate has been cut.
const STEP: f64 = 40.0;
/// How far a late request may be made up for by the ones after it.
const SLACK: Duration = Duration::from_millis(20);
/// From this many writes of others a second on, they go first; the leases and events of a quiet node are one or two.
const OTHERS_RATE: f64 = 4.0;
/// What one window counts in their rate: a burst of leases is not taken for a writer.
const OTHERS_SHARE: f64 = 0.2;
/// So many calm windows in a row end that.
const CALM_WINDOWS: u32 = 3;
/// How many requests are in flight while others write.
const POLITE_IN_FLIGHT: usize = 1;
/// The longest rest after an answer while others write.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// The pause after a first failure or a 429 without a time; it doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// The bounds that the operator sets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Requests a second at most.
    pub max_rate: f64,
    /// Requests in flight at most: connections.
    pub max_in_flight: usize,
}

/// Whether the next request may go.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    Go,
    /// Not before that time.
    At(Duration),
    /// Not before one of those in flight has come back.
    Full,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// From its start to the end of its answer.
    pub latency: Duration,
    /// etcd's revision, if it was a write.
    pub wrote: Option<u64>,
}

/// The pace of one run.
#[derive(Debug, Clone)]
pub struct Pace {
    bounds: Bounds,
    rate: f64,
    grows_fast: bool,
    next: Duration,
    paused_until: Duration,
    failures: u32,
    window: Window,
    slow_windows: u32,
    shown: Shown,
    achieved: f64,
    others: Others,
}

/// What came back since the last judgement.
#[derive(Debug, Clone, Default)]
struct Window {
    begun: Option<Duration>,
    answers: usize,
    writes: u64,
    busy: Duration,
    write_latencies: Vec<Duration>,
    /// The revisions of the write that was answered first, and of the newest one.
    first: Option<u64>,
    newest: u64,
}

/// The best that the server has shown.
#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    quickest: Option<f64>,
    best_rate: f64,
}

/// Who else writes.
#[derive(Debug, Clone, Copy)]
struct Others {
    /// Up to which revision every write is somebody's.
    revision: Option<u64>,
    rate: Option<f64>,
    /// How many windows have been calm; none when they were enough.
    calm_windows: Option<u32>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_rate: 2_000.0,
            max_in_flight: 8,
        }
    }
}

impl Pace {
    /// A pace that knows nothing of the server yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let bounds = Bounds {
            max_rate: bounds.max_rate.max(1.0),
            max_in_flight: bounds.max_in_flight.max(1),
        };
        Self {
            bounds,
            rate: START_RATE.min(bounds.max_rate),
            grows_fast: true,
            next: Duration::ZERO,
            paused_until: Duration::ZERO,
            failures: 0,
            window: Window::default(),
            slow_windows: 0,
            shown: Shown::default(),
            achieved: 0.0,
            // One calm window shows that nobody writes.
            others: Others {
                revision: None,
                rate: None,
                calm_windows: Some(CALM_WINDOWS - 1),
            },
        }
    }

    /// Whether a request may go now, with so many in flight; `Go` takes the turn.
    pub fn turn(&mut self, now: Duration, in_flight: usize) -> Turn {
        if in_flight >= self.max_in_flight() {
            return Turn::Full;
        }
        let at = self.next.max(self.paused_until);
        if now < at {
            return Turn::At(at);
        }
        let interval = Duration::from_secs_f64(1.0 / self.rate);
        self.next = self.next.max(now.saturating_sub(SLACK)) + interval;
        self.window.begun.get_or_insert(now);
        Turn::Go
    }

    /// A request was answered.
    pub fn answered(&mut self, now: Duration, sample: Sample) {
        self.failures = 0;
        if self.others.go_first() {
            self.next = self.next.max(now + sample.latency.min(LONGEST_REST));
        }
        let window = &mut self.window;
        window.answers += 1;
        window.busy += sample.latency;
        if let Some(revision) = sample.wrote {
            window.writes += 1;
            window.first.get_or_insert(revision);
            window.newest = window.newest.max(revision);
            if window.write_latencies.len() < MAX_LATENCIES {
                window.write_latencies.push(sample.latency);
            }
        }
        let elapsed = now.saturating_sub(window.begun.unwrap_or(now));
        if elapsed >= WINDOW && window.answers >= WINDOW_ANSWERS {
            self.judge(now, elapsed.as_secs_f64());
        }
    }

    /// The server asked for less.
    pub fn throttled(&mut self, now: Duration, retry_after: Option<Duration>) {
        self.cut(self.rate);
        match retry_after {
            Some(pause) => self.pause(now, pause.min(Duration::from_mins(1))),
            None => self.pause_longer(now),
        }
    }

    /// No answer came, or none that tells.
    pub fn failed(&mut self, now: Duration) {
        self.cut(self.rate);
        self.pause_longer(now);
    }

    /// Requests in flight at most, now.
    #[must_use]
    pub fn max_in_flight(&self) -> usize {
        if self.others.go_first() {
            self.bounds.max_in_flight.min(POLITE_IN_FLIGHT)
        } else {
            self.bounds.max_in_flight
        }
    }

    /// Requests a second that it allows.
    #[must_use]
    pub const fn rate(&self) -> f64 {
        self.rate
    }

    /// Requests a second that were answered lately.
    #[must_use]
    pub const fn achieved(&self) -> f64 {
        self.achieved
    }

    /// True while the server is left alone.
    #[must_use]
    pub fn is_paused(&self, now: Duration) -> bool {
        now < self.paused_until
    }

    /// Requests in a row that have got no answer.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    fn pause_longer(&mut self, now: Duration) {
        let pause = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        // Requests that were in flight together fail together: that is one failure.
        if !self.is_paused(now) {
            self.failures += 1;
            self.pause(now, pause.min(LONGEST_PAUSE));
        }
    }

    fn pause(&mut self, now: Duration, pause: Duration) {
        self.paused_until = self.paused_until.max(now + pause);
        self.window = Window::default();
        // The writes of that window are not counted, and would be taken for those of others.
        self.others.revision = None;
    }

    fn cut(&mut self, from: f64) {
        self.rate = (from / 2.0).clamp(LEAST_RATE.min(self.bounds.max_rate), self.bounds.max_rate);
        self.grows_fast = false;
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    fn judge(&mut self, now: Duration, elapsed: f64) {
        let mut window = std::mem::take(&mut self.window);
        self.window.begun = Some(now);
        let rate = window.answers as f64 / elapsed;
        self.achieved = if self.achieved > 0.0 {
            0.7_f64.mul_add(self.achieved, 0.3 * rate)
        } else {
            rate
        };
        // While others go first, it is the rests that yield.
        let yields = self.others.go_first();
        self.others.judge(&window, elapsed);
        // Answers to what was fresh already cost nothing, and would make every write look slow.
        let only_writes = window.writes * 10 >= window.answers as u64 * 9;
        let in_flight = window.busy.as_secs_f64() / elapsed;
        if only_writes
            && !yields
            && let Some(latency) = median(&mut window.write_latencies)
            && self.shown.is_slow(latency, in_flight, rate)
        {
            self.slow_windows += 1;
            if self.slow_windows >= SLOW_WINDOWS {
                self.slow_windows = 0;
                self.cut(rate.min(self.rate));
            }
            return;
        }
        self.slow_windows = 0;
        // A rate that is not used up proves nothing about a higher one.
        if self.rate <= 2.0 * rate {
            self.rate = if self.grows_fast {
                self.rate * 2.0
            } else {
                self.rate + STEP
            };
            self.rate = self.rate.min(self.bounds.max_rate);
        }
    }
}

impl Shown {
    /// True for a median latency of more than the factor over what this many requests in flight should take. Learns from the window.
    fn is_slow(&mut self, latency: f64, in_flight: f64, rate: f64) -> bool {
        let quickest = self
            .quickest
            .map_or(latency, |quickest| latency.min(quickest * (1.0 + AGING)));
        self.quickest = Some(quickest);
        self.best_rate = rate.max(self.best_rate * (1.0 - AGING));
        latency > SLOW_FACTOR * quickest.max(in_flight / self.best_rate)
    }
}

impl Others {
    /// True while they are to be let through.
    const fn go_first(&self) -> bool {
        self.calm_windows.is_some()
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    fn judge(&mut self, window: &Window, elapsed: f64) {
        let Some(first) = window.first else { return };
        let before = self.revision.unwrap_or(first.saturating_sub(1));
        let newest = window.newest.max(before);
        self.revision = Some(newest);
        // Less than nothing where ours were answered late: that evens out what they were taken for in the window before.
        let rate = ((newest - before) as f64 - window.writes as f64) / elapsed;
        let average = self
            .rate
            .map_or(rate, |average| OTHERS_SHARE.mul_add(rate - average, average));
        self.rate = Some(average);
        if average >= OTHERS_RATE {
            self.calm_windows = Some(0);
        } else if let Some(calm) = self.calm_windows {
            self.calm_windows = (calm + 1 < CALM_WINDOWS).then_some(calm + 1);
        }
    }
}

/// The median in seconds.
fn median(latencies: &mut [Duration]) -> Option<f64> {
    latencies.sort_unstable();
    latencies.get(latencies.len() / 2).map(Duration::as_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers `in_flight` requests at once in `base`, and no more than `capacity` a second in all: a closed queue. The
    /// clock is a number.
    struct Server {
        now: Duration,
        base: f64,
        capacity: f64,
        others: f64,
        ours: u64,
        theirs: f64,
        free_at: f64,
    }

    impl Server {
        fn new(base: f64, capacity: f64) -> Self {
            Self {
                now: Duration::ZERO,
                base,
                capacity,
                others: 0.0,
                ours: 1_000,
                theirs: 0.0,
                free_at: 0.0,
            }
        }

        /// Lets the pace work for so long; the requests that were answered.
        fn run(&mut self, pace: &mut Pace, seconds: f64) -> usize {
            let end = self.now.as_secs_f64() + seconds;
            let mut in_flight: Vec<(f64, f64)> = Vec::new();
            let mut answered = 0;
            while self.now.as_secs_f64() < end {
                let now = self.now.as_secs_f64();
                let due = in_flight.iter().position(|(done, _)| *done <= now);
                if let Some(at) = due {
                    let (done, begun) = in_flight.swap_remove(at);
                    self.ours += 1;
                    let sample = Sample {
                        latency: Duration::from_secs_f64(done - begun),
                        wrote: Some(self.ours + whole(self.theirs)),
                    };
                    pace.answered(self.now, sample);
                    answered += 1;
                    continue;
                }
                if pace.turn(self.now, in_flight.len()) == Turn::Go {
                    // The queue: each takes its share of the capacity, and no less than the base.
                    self.free_at = self.free_at.max(now) + 1.0 / (self.capacity - self.others).max(1.0);
                    in_flight.push((self.free_at.max(now + self.base), now));
                    continue;
                }
                self.theirs += self.others * 0.000_5;
                self.now += Duration::from_micros(500);
            }
            answered
        }
    }

    fn whole(number: f64) -> u64 {
        Duration::from_secs_f64(number).as_secs()
    }

    fn pace(max_in_flight: usize) -> Pace {
        Pace::new(Bounds {
            max_rate: 2_000.0,
            max_in_flight,
        })
    }

    #[test]
    fn alone_on_the_server_it_takes_what_the_server_can_give() {
        let (mut pace, mut server) = (pace(8), Server::new(0.005, 400.0));
        server.run(&mut pace, 2.0);
        let answered = server.run(&mut pace, 10.0);
        assert!(answered > 3_800, "{answered}");
    }

    #[test]
    fn a_server_that_becomes_slow_is_yielded_to_and_taken_up_again_when_it_is_quick() {
        let (mut pace, mut server) = (pace(8), Server::new(0.005, 400.0));
        server.run(&mut pace, 3.0);
        server.capacity = 60.0;
        server.run(&mut pace, 10.0);
        // Three times as slow: it no longer fills the queue.
        assert!(pace.rate() < 80.0, "{}", pace.rate());
        server.capacity = 400.0;
        server.run(&mut pace, 12.0);
        assert!(server.run(&mut pace, 5.0) > 1_700, "{}", pace.rate());
    }

    #[test]
    fn while_others_write_one_request_is_in_flight_and_afterwards_all_again() {
        let (mut pace, mut server) = (pace(8), Server::new(0.005, 400.0));
        server.run(&mut pace, 2.0);
        assert_eq!(pace.max_in_flight(), 8);
        server.others = 30.0;
        server.run(&mut pace, 2.0);
        assert_eq!(pace.max_in_flight(), 1);
        // Each answer of 5 ms is followed by a rest of 5 ms.
        let answered = server.run(&mut pace, 4.0);
        assert!((330..=410).contains(&answered), "{answered}");
        server.others = 2.0;
        server.run(&mut pace, 9.0);
        assert_eq!(pace.max_in_flight(), 8);
    }

    #[test]
    fn a_run_begins_with_one_request_in_flight_and_stays_so_beside_a_slow_writer() {
        let (mut pace, mut server) = (pace(8), Server::new(0.005, 400.0));
        server.others = 6.0;
        for _ in 0..40 {
            assert_eq!(pace.max_in_flight(), 1);
            server.run(&mut pace, 0.25);
        }
        let (mut pace, mut server) = (self::pace(8), Server::new(0.005, 400.0));
        server.run(&mut pace, 1.0);
        assert_eq!(pace.max_in_flight(), 8);
    }

    #[test]
    fn writes_of_ours_that_are_answered_out_of_order_are_not_taken_for_those_of_others() {
        let mut pace = pace(8);
        let mut now = Duration::ZERO;
        for number in 0..4_000_u64 {
            now += Duration::from_millis(3);
            // Of each eight the newest is answered first.
            let wrote = Some(number / 8 * 8 + 7 - number % 8);
            let latency = Duration::from_millis(20);
            pace.answered(now, Sample { latency, wrote });
            if number > 800 {
                assert_eq!(pace.max_in_flight(), 8, "{number}");
            }
            assert_eq!(pace.turn(now + Duration::from_secs(1), 0), Turn::Go);
        }
    }

    #[test]
    fn the_bound_of_the_operator_holds_from_the_first_request_on() {
        let mut pace = Pace::new(Bounds {
            max_rate: 40.0,
            max_in_flight: 8,
        });
        let mut server = Server::new(0.001, 10_000.0);
        let answered = server.run(&mut pace, 10.0);
        assert!((390..=402).contains(&answered), "{answered}");
    }

    #[test]
    fn a_busy_server_is_left_alone_for_as_long_as_it_asks_and_then_asked_half_as_often() {
        let mut pace = pace(8);
        let now = Duration::from_secs(1);
        pace.throttled(now, Some(Duration::from_secs(3)));
        assert_eq!(pace.turn(now, 0), Turn::At(Duration::from_secs(4)));
        assert!((pace.rate() - 200.0).abs() < 0.01, "{}", pace.rate());
        assert_eq!(pace.turn(Duration::from_secs(4), 0), Turn::Go);
        assert_eq!(pace.turn(Duration::from_secs(4), 8), Turn::Full);
    }

    #[test]
    fn failures_in_a_row_make_longer_pauses_and_those_of_one_moment_count_once() {
        let mut pace = pace(8);
        let mut now = Duration::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            pace.failed(now);
            pace.failed(now);
            let Turn::At(at) = pace.turn(now, 0) else {
                panic!("it must wait")
            };
            pauses.push((at - now).as_millis());
            now = at;
        }
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000]);
        assert_eq!(pace.failures(), 7);
        assert!((pace.rate() - LEAST_RATE).abs() < 0.01, "{}", pace.rate());
        pace.answered(
            now,
            Sample {
                latency: FIRST_PAUSE,
                wrote: None,
            },
        );
        assert_eq!(pace.failures(), 0);
    }

    #[test]
    fn quick_answers_about_fresh_objects_do_not_make_writes_look_slow() {
        let mut pace = pace(8);
        let mut now = Duration::ZERO;
        for number in 0..2_000_u64 {
            now += Duration::from_millis(3);
            let fresh = number < 1_000;
            let sample = Sample {
                latency: Duration::from_millis(if fresh { 1 } else { 20 }),
                wrote: (!fresh).then_some(number),
            };
            if pace.turn(now, 0) == Turn::Go {
                pace.answered(now, sample);
            }
        }
        assert!(pace.rate() > 300.0, "{}", pace.rate());
    }
}
