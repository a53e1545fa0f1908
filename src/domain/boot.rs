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

/// Two clocks that count the same time differ by less.
const AGREE_MS: u64 = 1_000;
/// So soon after a boot a moment of it cannot be told from one of the next by what the clocks count.
const YOUNG_MS: u64 = 10_000;

impl Instant {
    /// How long ago `earlier` was by the boot clock; `None` when the machine has been booted since.
    #[must_use]
    pub fn elapsed_since(&self, earlier: &Self) -> Option<Duration> {
        let by_boot_clock = self.since_boot_ms.saturating_sub(earlier.since_boot_ms);
        let is_same = self.boot == earlier.boot || self.clocks_say_same_boot(earlier);
        is_same.then(|| Duration::from_millis(by_boot_clock))
    }

    /// A systemd in a container mounts an id of its own over the kernel's, which a service with `ProtectKernelTunables=` sees again: the daemon
    /// and a command read two ids in one boot. A boot in between sets the one clock back to zero and not the other, so that they do not agree.
    fn clocks_say_same_boot(&self, earlier: &Self) -> bool {
        let by_wall = self.wall.as_millisecond() - earlier.wall.as_millisecond();
        let by_boot_clock = self.since_boot_ms.checked_sub(earlier.since_boot_ms);
        let counted = by_boot_clock.zip(u64::try_from(by_wall).ok());
        earlier.since_boot_ms >= YOUNG_MS
            && counted.is_some_and(|(one, other)| one.abs_diff(other) < AGREE_MS)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}", self.wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot: &str, wall_ms: i64, since_boot_ms: u64) -> Instant {
        Instant {
            wall: jiff::Timestamp::from_millisecond(wall_ms).unwrap(),
            boot: BootId(boot.to_owned()),
            since_boot_ms,
        }
    }

    #[test]
    fn two_ids_are_of_one_boot_where_the_clocks_agree_and_of_two_where_one_began_anew() {
        let began = at("kernel", 1_800_000_000_000, 60_000);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(
            at("kernel", 0, 65_000).elapsed_since(&began),
            seconds(5),
            "a wall clock that was set"
        );
        assert_eq!(
            at("container", 1_800_000_005_200, 65_000).elapsed_since(&began),
            seconds(5)
        );
        // Booted anew: the boot clock is behind, or has counted less than the wall clock by what came before.
        assert_eq!(at("next", 1_800_000_030_000, 20_000).elapsed_since(&began), None);
        assert_eq!(at("next", 1_800_000_090_000, 80_000).elapsed_since(&began), None);
        // Right after a boot they may agree by chance.
        let young = at("kernel", 1_800_000_000_000, 500);
        assert_eq!(at("next", 1_800_000_020_000, 20_000).elapsed_since(&young), None);
    }
}
