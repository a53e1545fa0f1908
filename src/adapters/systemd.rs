//! What systemd is told: READY, STATUS, RELOADING, STOPPING, the watchdog.
/// x
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct SystemdError;
/// x
pub fn ready(_: &str) -> Result<(), SystemdError> {
    Ok(())
}
/// x
pub fn status(_: &str) -> Result<(), SystemdError> {
    Ok(())
}
/// x
pub fn stopping(_: &str) -> Result<(), SystemdError> {
    Ok(())
}
/// x
pub fn reloading() -> Result<(), SystemdError> {
    Ok(())
}
/// x
pub fn watchdog() -> Result<(), SystemdError> {
    Ok(())
}
/// x
pub fn extend_timeout(_: std::time::Duration) -> Result<(), SystemdError> {
    Ok(())
}
/// x
pub fn watchdog_interval() -> Option<std::time::Duration> {
    None
}
