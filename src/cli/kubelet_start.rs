//! Waits for a kubelet that has only just started, so that nobody has to give the same command twice.

use std::time::Duration;

use super::complain;
use crate::adapters::wakeups::pause;
use crate::plan::WithheldReason;

/// A kubelet that starts again and again is not waited for any longer.
const LOOKS: u32 = 20;
const POLL: Duration = Duration::from_secs(1);

/// Looks until no start of the kubelet holds back what was looked for; what was seen last. `held` tells what is held back, and why.
pub(super) fn past_kubelet_start<T>(
    mut look: impl FnMut() -> T,
    held: impl Fn(&T) -> Option<&WithheldReason>,
) -> T {
    let mut seen = look();
    for number in 0..LOOKS {
        let Some(why @ WithheldReason::KubeletStarts { .. }) = held(&seen) else {
            break;
        };
        if number == 0 {
            complain(&format!("... {why}"));
        }
        pause(POLL);
        seen = look();
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often is looked, and what is seen last, where each look sees one more of these.
    fn looks(reasons: &[Option<WithheldReason>]) -> (usize, Option<WithheldReason>) {
        let mut count = 0;
        let last = past_kubelet_start(
            || {
                count += 1;
                reasons.get(count - 1).cloned().flatten()
            },
            |seen| seen.as_ref(),
        );
        (count, last)
    }

    #[test]
    fn a_kubelet_that_starts_is_waited_for_and_nothing_else_is() {
        let starts = || Some(WithheldReason::KubeletStarts { seconds: 2 });
        let down = || Some(WithheldReason::KubeletDown("it ended".to_owned()));
        assert_eq!(looks(&[None]), (1, None));
        assert_eq!(looks(&[down(), None]), (1, down()));
        assert_eq!(looks(&[starts(), starts(), None, starts()]), (3, None));
        assert_eq!(looks(&[starts(), down(), None]), (2, down()));
    }
}
