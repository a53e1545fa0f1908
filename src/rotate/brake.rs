//! A brake on what is done again and again because somebody else undoes it: after so many times in a span it rests between them. Pure.

/// It counts in milliseconds of the boot clock.
#[derive(Debug, Clone)]
pub struct Brake {
    often: usize,
    within_ms: u64,
    rest_ms: u64,
    done: Vec<u64>,
}

impl Brake {
    /// One that lets it be done so often within the span, and after that with a rest before each.
    #[must_use]
    pub const fn new(often: usize, within_ms: u64, rest_ms: u64) -> Self {
        Self {
            often,
            within_ms,
            rest_ms,
            done: Vec::new(),
        }
    }

    /// It was done.
    pub fn done(&mut self, now_ms: u64) {
        self.done.push(now_ms);
    }

    /// True while it rests.
    pub fn rests(&mut self, now_ms: u64) -> bool {
        self.done.retain(|done| now_ms < done + self.within_ms);
        let is_fresh = self.done.last().is_some_and(|last| now_ms < last + self.rest_ms);
        is_fresh && self.done.len() >= self.often
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_often_it_goes_at_once_and_then_with_a_rest_until_the_span_is_over() {
        let mut brake = Brake::new(3, 60_000, 10_000);
        for now in [0, 1_000, 2_000] {
            assert!(!brake.rests(now), "{now}");
            brake.done(now);
        }
        assert!(brake.rests(2_001) && brake.rests(11_999));
        assert!(!brake.rests(12_000));
        brake.done(12_000);
        assert!(brake.rests(21_999));
        // Those of a span ago count no more.
        assert!(!brake.rests(62_000));
        brake.done(62_000);
        assert!(!brake.rests(62_001));
    }
}
