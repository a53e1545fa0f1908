//! The clocks of this machine.
#![expect(
    clippy::disallowed_methods,
    reason = "an adapter: it reads the clocks and the kernel's id of this boot"
)]

use std::io;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::domain::{BootId, Instant};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The wall clock and the boot clock.
#[derive(Debug, Clone)]
pub struct Clock {
    boot: BootId,
    /// By how many milliseconds both clocks are ahead of the kernel's.
    #[cfg(feature = "failpoints")]
    ahead: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Clock {
    /// The clocks, with the kernel's id of this boot.
    ///
    /// # Errors
    /// When `/proc/sys/kernel/random/boot_id` or the boot clock cannot be read.
    pub fn new() -> io::Result<Self> {
        let text = std::fs::read_to_string(BOOT_ID)
            .map_err(|cause| io::Error::new(cause.kind(), format!("cannot read {BOOT_ID}: {cause}")))?;
        let boot = BootId(text.trim().to_owned());
        // Two boots with no id would be taken for one, and deadlines of the one measured on the clock of the other.
        if boot.0.is_empty() {
            return Err(io::Error::other(format!("{BOOT_ID} is empty")));
        }
        since_boot()?;
        Ok(Self {
            boot,
            #[cfg(feature = "failpoints")]
            ahead: std::sync::Arc::default(),
        })
    }

    /// The clocks of a simulated node: of another boot, if one is named, and ahead by so many milliseconds, more and more as the test
    /// lets time pass.
    ///
    /// # Errors
    /// As [`Clock::new`].
    #[cfg(feature = "failpoints")]
    pub fn simulated(
        boot: Option<String>,
        ahead: std::sync::Arc<std::sync::atomic::AtomicU64>,
    ) -> io::Result<Self> {
        let Self { boot: real, .. } = Self::new()?;
        Ok(Self {
            boot: boot.map_or(real, BootId),
            ahead,
        })
    }

    #[cfg(feature = "failpoints")]
    fn ahead(&self) -> Duration {
        Duration::from_millis(self.ahead.load(std::sync::atomic::Ordering::SeqCst))
    }

    #[cfg(not(feature = "failpoints"))]
    #[expect(
        clippy::unused_self,
        reason = "a simulated node's clock has something to tell here"
    )]
    const fn ahead(&self) -> Duration {
        Duration::ZERO
    }

    /// Now.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "it cannot: see below")]
    pub fn now(&self) -> Instant {
        #[expect(
            clippy::expect_used,
            reason = "clock_gettime fails only for a clock that the kernel does not have, and `new` has read this one"
        )]
        let since_boot = since_boot().expect("the boot clock was read before");
        let ahead = self.ahead();
        Instant {
            wall: jiff::Timestamp::now() + ahead,
            boot: self.boot.clone(),
            since_boot_ms: u64::try_from((since_boot + ahead).as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn since_boot() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_BOOTTIME)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_go_forward_within_one_boot() {
        let clock = Clock::new().unwrap();
        let first = clock.now();
        std::thread::sleep(Duration::from_millis(5));
        let second = clock.now();
        assert_eq!(first.boot.0, std::fs::read_to_string(BOOT_ID).unwrap().trim_end());
        let elapsed = second.elapsed_since(&first).unwrap();
        assert!(
            (Duration::from_millis(4)..Duration::from_secs(60)).contains(&elapsed),
            "{elapsed:?}"
        );
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let now = Duration::from_millis(clock.now().since_boot_ms).as_secs_f64();
        assert!((now - uptime).abs() < 60.0, "{now} and {uptime}");
    }
}
