//! The lock and the journal of a command that changes the node.

use std::time::Duration;

use super::recover;
use super::setup::CliError;
use crate::adapters::Node;
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::Held;
use crate::journal::JournalState;

/// The daemon gives the lock back after each pass; an `apply` may hold it for longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes the lock.
pub(super) fn hold(node: &Node) -> Result<Held, CliError> {
    Ok(Held::take(&node.here(&node.layout.run), PATIENCE)?)
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
