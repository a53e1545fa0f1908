//! The lock and the journal of a command that changes the node.

use std::time::Duration;

use super::setup::CliError;
use super::{complain, recover};
use crate::adapters::Node;
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::{Held, LockError};
use crate::journal::JournalState;

/// A pass that rewrites values holds the lock for a minute, and what waits for etcd or the API server comes on top.
const PATIENCE: Duration = Duration::from_secs(75);
/// Whoever waits for longer is told for whom.
const UNTOLD: Duration = Duration::from_secs(2);

/// Takes the lock.
pub(super) fn hold(node: &Node) -> Result<Held, CliError> {
    let folder = node.here(&node.layout.run);
    match Held::take(&folder, UNTOLD) {
        Err(busy @ LockError::Busy { .. }) => {
            complain(&format!(
                "... {busy}: it is waited for, {} s at most",
                PATIENCE.as_secs()
            ));
            Ok(Held::take(&folder, PATIENCE.saturating_sub(UNTOLD))?)
        }
        taken => Ok(taken?),
    }
}

/// The journal. Without it nothing can be carried on, so what is out comes back.
pub(super) fn journal(node: &Node, held: &Held) -> Result<JournalStore, CliError> {
    let opened = JournalStore::open(&node.files, &node.layout, held, node.clock.now());
    Ok(opened.inspect_err(|_| recover::put_back(node, held))?)
}

/// What the journal says before the lock is taken; without it what is out comes back, too.
pub(super) fn peek(node: &Node) -> Result<JournalState, CliError> {
    JournalStore::peek(&node.files, &node.layout).map_err(|error| recover::before_giving_up(error.into()))
}
