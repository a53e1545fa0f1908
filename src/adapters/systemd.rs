//! What systemd is told: READY, STATUS, RELOADING, STOPPING, the watchdog.
//!
//! Each call sends one datagram to the socket that systemd names in `NOTIFY_SOCKET`, and does nothing when there is none: Holdfast
//! was then not started by systemd, or not with `Type=notify`.

use std::time::Duration;

use sd_notify::NotifyState;

/// systemd was not told.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell systemd {what}: {cause}")]
pub struct NotTold {
    /// What it should have been told.
    pub what: &'static str,
    /// What the system said.
    pub cause: std::io::Error,
}

/// The start is over, or a reload.
///
/// # Errors
/// When the socket does not take it.
pub fn ready(status: &str) -> Result<(), NotTold> {
    tell(
        "that Holdfast is ready",
        &[NotifyState::Ready, NotifyState::Status(&one_line(status))],
    )
}

/// One line for `systemctl status`.
///
/// # Errors
/// When the socket does not take it.
pub fn status(text: &str) -> Result<(), NotTold> {
    tell("the status", &[NotifyState::Status(&one_line(text))])
}

/// A reload has begun; [`ready`] ends it.
///
/// # Errors
/// When the socket does not take it, or the monotonic clock cannot be read, whose time `Type=notify-reload` wants with it.
pub fn reloading() -> Result<(), NotTold> {
    const WHAT: &str = "that Holdfast reloads";
    let now = NotifyState::monotonic_usec_now().map_err(|cause| NotTold { what: WHAT, cause })?;
    tell(WHAT, &[NotifyState::Reloading, now])
}

/// The end has begun.
///
/// # Errors
/// When the socket does not take it.
pub fn stopping(status: &str) -> Result<(), NotTold> {
    tell(
        "that Holdfast stops",
        &[NotifyState::Stopping, NotifyState::Status(&one_line(status))],
    )
}

/// Starting, reloading or stopping takes that long from now, whatever the unit allows; at most the 71 minutes that
/// sd-notify can say.
///
/// # Errors
/// When the socket does not take it.
pub fn extend_timeout(by: Duration) -> Result<(), NotTold> {
    let microseconds = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
    tell(
        "that it takes longer",
        &[NotifyState::ExtendTimeoutUsec(microseconds)],
    )
}

/// How often systemd wants to hear [`watchdog`] at least; `None` when it does not watch. Call it twice as often.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The loop still turns. Call it from that loop, never from a timer of its own.
///
/// # Errors
/// When the socket does not take it.
pub fn watchdog() -> Result<(), NotTold> {
    tell("that the loop turns", &[NotifyState::Watchdog])
}

fn tell(what: &'static str, state: &[NotifyState<'_>]) -> Result<(), NotTold> {
    sd_notify::notify(state).map_err(|cause| NotTold { what, cause })
}

/// A newline would begin another assignment.
fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_systemd_nothing_is_told_and_nothing_fails() {
        // Setting the variable needs unsafe code, so the case with a socket is the test bed's.
        if std::env::var_os("NOTIFY_SOCKET").is_some() {
            return;
        }
        let outcomes = [
            ready("x"),
            status("x"),
            reloading(),
            stopping("x"),
            watchdog(),
            extend_timeout(Duration::MAX),
        ];
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(watchdog_interval(), None);
    }

    #[test]
    fn a_status_cannot_smuggle_in_another_message() {
        assert_eq!(one_line("a\nMAINPID=1\r"), "a MAINPID=1 ");
    }
}
