//! What would not be rewritten in the last run, and when that is tried again: what refuses a write is often over in a minute, as a webhook
//! whose pod restarts.

use crate::rotation::Stuck;

/// The first time it is tried again after so long.
const FIRST_MS: u64 = 60_000;
/// And, the longer it lasts, after so long at most.
const LAST_MS: u64 = 10 * 60_000;

/// The values that the last run could not rewrite.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    stuck: Stuck,
    /// When they are tried again, by the clock since boot.
    again_at: u64,
    /// How long was waited for that.
    waited: u64,
}

impl Refusals {
    /// What stands against rewriting them now.
    pub(super) fn stuck(&self) -> Stuck {
        self.stuck.clone()
    }

    /// A run came to that; `moved`: it rewrote others.
    pub(super) fn found(&mut self, stuck: Stuck, moved: bool, now_ms: u64) {
        self.waited = if moved || self.waited == 0 {
            FIRST_MS
        } else {
            self.waited.saturating_mul(2).min(LAST_MS)
        };
        self.again_at = now_ms.saturating_add(self.waited);
        self.stuck = stuck;
    }

    /// When their time has come they are held for stuck no longer.
    pub(super) fn expire(&mut self, now_ms: u64) {
        if now_ms >= self.again_at {
            self.stuck = Stuck::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::StuckValue;

    fn stuck() -> Stuck {
        Stuck {
            total: 1,
            named: vec![StuckValue {
                object: "secrets a/x".to_owned(),
                why: "the admission webhook w denies it".to_owned(),
            }],
        }
    }

    #[test]
    fn what_was_refused_is_tried_again_and_less_often_the_longer_it_lasts() {
        let mut refusals = Refusals::default();
        let mut now = 1_000;
        let mut waits = Vec::new();
        for _ in 0..6 {
            refusals.found(stuck(), false, now);
            let begun = now;
            while refusals.stuck().total > 0 {
                now += 1_000;
                refusals.expire(now);
            }
            waits.push((now - begun) / 1_000);
        }
        assert_eq!(waits, [60, 120, 240, 480, 600, 600]);
        refusals.found(stuck(), true, now);
        refusals.expire(now + FIRST_MS);
        assert_eq!(
            refusals.stuck().total,
            0,
            "others were rewritten: the minute begins anew"
        );
    }
}
