//! `pause` and `resume`: a file that stops every change but recovery.

use std::time::Duration;

use super::say;
use super::setup::{self, CliError};
use crate::adapters::Node;
use crate::adapters::lock::Held;
use crate::config::Pause;
use crate::domain::Mode;
use crate::report::ExitClass;

/// Another `pause` or `resume` takes a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// A lock of the pause's own: an `apply` that runs for minutes holds the other, and a pause is for stopping it.
fn lock(node: &Node) -> Result<Held, CliError> {
    Ok(Held::take(
        &node.here(&node.layout.run).join("pause"),
        LOCK_PATIENCE,
    )?)
}

/// Pauses for that long.
pub(super) fn pause(duration: Duration, reason: &str) -> Result<ExitClass, CliError> {
    setup::require_root()?;
    let node = setup::node(std::path::Path::new("/"))?;
    let now = node.clock.now().wall;
    let until = now
        .checked_add(duration)
        .map_err(|error| CliError::Usage(format!("--for: {error}")))?;
    let pause = Pause::new(until, reason).map_err(|error| CliError::Usage(error.to_string()))?;
    let held = lock(&node)?;
    let path = &node.layout.pause;
    // The folder is the package's; on a node where Holdfast was only copied it may not be there.
    if let Some(folder) = path.parent() {
        node.files.make_own_folder(&folder)?;
    }
    node.files
        .write_own(&held, path, pause.render().as_bytes(), Mode::from_bits(0o644))?;
    say(&format!(
        "Paused until {until:.0}: nothing is changed but to recover. `holdfast resume` ends it.\n"
    ))?;
    Ok(ExitClass::Compliant)
}

/// Ends a pause.
pub(super) fn resume() -> Result<ExitClass, CliError> {
    setup::require_root()?;
    let node = setup::node(std::path::Path::new("/"))?;
    let held = lock(&node)?;
    let was = crate::reconcile::paused(&node, node.clock.now().wall);
    node.files.remove_own(&held, &node.layout.pause)?;
    say(if was.is_some() {
        "Resumed.\n"
    } else {
        "Holdfast was not paused.\n"
    })?;
    Ok(ExitClass::Compliant)
}
