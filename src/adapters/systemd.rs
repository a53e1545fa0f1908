//! What systemd is told: READY, STATUS, RELOADING, STOPPING, the watchdog.
