//! Restarts units of the host.

#![expect(
    clippy::disallowed_types,
    reason = "an adapter: it runs systemctl, and nothing else"
)]

use std::io;
use std::process::{Command, Stdio};

use super::lock::Held;

/// Restarts units.
pub trait Services {
    /// Has a unit restarted, also one that was started too often; whether it is, its process shows.
    ///
    /// # Errors
    /// What systemd says.
    fn restart(&self, held: &Held, unit: &str) -> io::Result<()>;
}

/// By the systemd of the machine that we run on.
#[derive(Debug, Clone, Copy)]
pub struct BySystemd;

/// Where distributions keep it: no search path of somebody else's decides what root runs.
const SYSTEMCTL: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];

impl Services for BySystemd {
    fn restart(&self, _held: &Held, unit: &str) -> io::Result<()> {
        let mut missing = io::Error::new(io::ErrorKind::NotFound, "systemctl is not there");
        for program in SYSTEMCTL {
            let run = |words: &[&str]| {
                Command::new(program)
                    .arg("--no-ask-password")
                    .args(words)
                    .env_clear()
                    .stdin(Stdio::null())
                    .output()
            };
            // Without it a unit that has failed again and again is not started; where it has not, nothing is reset.
            drop(run(&["reset-failed", unit]));
            // Nobody waits here with the lock in hand for a unit that does not end.
            let output = run(&["--no-block", "restart", unit]);
            match output {
                Ok(output) if output.status.success() => return Ok(()),
                Ok(output) => {
                    let said = String::from_utf8_lossy(&output.stderr);
                    let line = said.lines().next().unwrap_or("it says nothing").trim();
                    return Err(io::Error::other(format!("systemctl restart {unit}: {line}")));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing = error,
                Err(error) => return Err(error),
            }
        }
        Err(missing)
    }
}

/// On a node that does not run here nothing is restarted.
#[derive(Debug, Clone, Copy)]
pub struct NotRunning;

impl Services for NotRunning {
    fn restart(&self, _held: &Held, unit: &str) -> io::Result<()> {
        Err(io::Error::other(format!(
            "{unit} belongs to a node that does not run here"
        )))
    }
}
