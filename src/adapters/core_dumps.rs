//! A process that has held keys leaves no core dump, and lets no other process of its user read its memory.

use std::io;

use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, setrlimit};

/// Switches core dumps off for this process, for good.
///
/// # Errors
/// When the system refuses.
pub fn off() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    Ok(set_dumpable(false)?)
}
