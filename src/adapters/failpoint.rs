//! Failpoints: places at which a test has this process killed, as a power cut would. Without the feature `failpoints` there are none.
//!
//! `HOLDFAST_FAILPOINT=before:N` kills the process just before it writes its Nth journal record, `after:N` just after that
//! record is on the disk; N counts from 1.

/// On which side of the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The record is not written yet.
    Before,
    /// The record is on the disk, what it announces has not begun.
    After,
}

/// Passes a failpoint; a killed process does not come back.
#[cfg(not(feature = "failpoints"))]
pub(super) const fn pass(_: Side) {}

/// Passes a failpoint; a killed process does not come back.
#[cfg(feature = "failpoints")]
#[expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "built for tests only: it is told by the environment, and must not go on when the kill fails"
)]
pub(super) fn pass(side: Side) {
    use std::sync::atomic::{AtomicU64, Ordering};

    static APPENDS: AtomicU64 = AtomicU64::new(0);
    let number = match side {
        Side::Before => APPENDS.fetch_add(1, Ordering::SeqCst) + 1,
        Side::After => APPENDS.load(Ordering::SeqCst),
    };
    let wanted = std::env::var("HOLDFAST_FAILPOINT").ok();
    if wanted.is_some_and(|wanted| is_meant(&wanted, side, number)) {
        nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL)
            .expect("a process may kill itself");
    }
}

#[cfg(any(feature = "failpoints", test))]
fn is_meant(wanted: &str, side: Side, number: u64) -> bool {
    let side = match side {
        Side::Before => "before",
        Side::After => "after",
    };
    wanted == format!("{side}:{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_side_of_one_record_is_meant() {
        assert!(is_meant("before:2", Side::Before, 2));
        for (wanted, side, number) in [
            ("before:2", Side::After, 2),
            ("before:2", Side::Before, 1),
            ("after:12", Side::After, 1),
            ("", Side::Before, 0),
        ] {
            assert!(!is_meant(wanted, side, number), "{wanted} {side:?} {number}");
        }
    }
}
