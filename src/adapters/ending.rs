//! Ends a process: that very one, whatever process has its number by now.

use std::io;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::lock::Held;
use super::processes::Processes;
use crate::domain::ProcessId;

/// Ends processes at once, without asking them.
pub trait Ending {
    /// Ends a process, if it is still the one that was meant; it is no error when it is gone.
    ///
    /// # Errors
    /// When the system refuses, or has no way to be sure which process it is (Linux before 5.3).
    fn end(&self, held: &Held, process: ProcessId) -> io::Result<()>;
}

/// By the kernel.
#[derive(Debug, Clone)]
pub struct ByKernel {
    processes: Processes,
}

impl ByKernel {
    /// For the processes that this shows.
    #[must_use]
    pub const fn new(processes: Processes) -> Self {
        Self { processes }
    }
}

impl Ending for ByKernel {
    fn end(&self, _held: &Held, process: ProcessId) -> io::Result<()> {
        let Some(pid) = Pid::from_raw(process.pid) else {
            return Err(io::Error::other("it has no process number"));
        };
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(cause) => return Err(cause.into()),
        };
        // The descriptor holds on to the process that has the number now; whether that is the one meant is seen after it is held.
        if !self
            .processes
            .runs(process)
            .map_err(|why| io::Error::other(why.to_string()))?
        {
            return Ok(());
        }
        match pidfd_send_signal(&descriptor, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(cause) => Err(cause.into()),
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the tests start the process that is ended"
)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn start_ticks(pid: u32) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, rest) = stat.rsplit_once(')').unwrap();
        rest.split_whitespace().nth(19).unwrap().parse().unwrap()
    }

    #[test]
    fn only_the_process_that_was_meant_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let held = Held::take(&folder.path().join("lock"), std::time::Duration::ZERO).unwrap();
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let ending = ByKernel::new(Processes::at(Path::new("/proc")));
        let start_ticks = start_ticks(child.id());

        let former = ProcessId {
            pid,
            start_ticks: start_ticks + 1,
        };
        ending.end(&held, former).unwrap();
        assert!(
            child.try_wait().unwrap().is_none(),
            "another process had that number"
        );

        ending.end(&held, ProcessId { pid, start_ticks }).unwrap();
        assert!(!child.wait().unwrap().success());
        ending.end(&held, ProcessId { pid, start_ticks }).unwrap();
    }
}
