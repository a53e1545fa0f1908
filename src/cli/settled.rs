//! Waits for a kubelet that has only just started, so that nobody has to give the same command twice.

use std::time::Duration;

use super::complain;
use crate::adapters::wakeups::pause;
use crate::plan::WithheldReason;

/// A kubelet that starts again and again is not waited for.
const LOOKS: u32 = 20;
const POLL: Duration = Duration::from_secs(1);

/// Looks until no start of the kubelet holds back what was looked for; what was seen last. `held` tells what is held back, and why.
pub(super) fn settled<T>(mut look: impl FnMut() -> T, held: impl Fn(&T) -> Option<&WithheldReason>) -> T {
    let mut seen = look();
    for left in (0..LOOKS).rev() {
        let Some(why @ WithheldReason::KubeletStarts { .. }) = held(&seen) else {
            break;
        };
        if left == LOOKS - 1 {
            complain(&format!("... {why}"));
        }
        pause(POLL);
        seen = look();
    }
    seen
}
