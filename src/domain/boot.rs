//! Time since boot: a clock that no one can set. Deadlines are measured on it, so that a jump of the wall clock
//! neither ends nor prolongs them.

use std::fmt;
use std::time::Duration;

/// The kernel's id of this boot (`/proc/sys/kernel/random/boot_id`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct BootId(pub String);

/// A moment: wall clock for people, boot clock for deadlines.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Instant {
    /// Wall clock.
    pub wall: jiff::Timestamp,
    /// Which boot the next field counts from.
    pub boot: BootId,
    /// Milliseconds since boot, sleep included (`CLOCK_BOOTTIME`).
    pub since_boot_ms: u64,
}

impl Instant {
    /// How long ago `earlier` was by the boot clock; `None` when the machine has been booted since.
    #[must_use]
    pub fn elapsed_since(&self, earlier: &Self) -> Option<Duration> {
        (self.boot == earlier.boot)
            .then(|| Duration::from_millis(self.since_boot_ms.saturating_sub(earlier.since_boot_ms)))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}", self.wall)
    }
}
