//! `recover`: puts back a manifest that is out of its folder, with nothing but the files.

use super::setup::{self, CliError};
use super::{complain, locked, say, warn_in_journal};
use crate::adapters::Node;
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::{Held, LockError};
use crate::apply::out::{self, Trouble};
use crate::events::tell;
use crate::journal::JournalState;
use crate::report::ExitClass;

/// Puts every manifest back that is out. `quiet`: of what went well the journal alone is told.
pub(super) fn recover(quiet: bool) -> Result<ExitClass, CliError> {
    setup::require_root()?;
    warn_in_journal();
    let node = setup::node_at_last()?;
    let held = match locked::hold(&node) {
        // After a daemon that has ended: who holds it brings its own change to its end, and that of the daemon.
        Err(busy @ CliError::Lock(LockError::Busy { .. })) if quiet => {
            complain(&format!("holdfast: {busy}"));
            return Ok(ExitClass::Compliant);
        }
        held => held?,
    };
    let recovered = out::recover(&node, &held);
    let troubles = out::troubles(&node, |_| false);
    if recovered.is_empty() && troubles.is_empty() && !quiet {
        say("Every manifest is in its folder: there is nothing to recover.\n")?;
    }
    let mut class = ExitClass::Compliant;
    for trouble in troubles {
        complain(&format!("holdfast: {trouble}"));
        match &trouble {
            Trouble::Taken { path, .. } | Trouble::Unknown { path, .. } => {
                tell!(NOT_RECOVERED, [path = path.as_str()], "{trouble}");
                class = ExitClass::Failed;
            }
            // It may be meant to be: a component that moved out of the static pods, a node that was reset.
            Trouble::Gone { .. } if quiet || class == ExitClass::Failed => {}
            Trouble::Gone { .. } => class = ExitClass::Drift,
        }
    }
    for one in recovered {
        let path = one.path.as_str();
        if one.result.is_ok() {
            tell!(RECOVERED, [path = path], "{one}");
            // To the journal, where the unit's output goes, it was told.
            if !quiet {
                say(&format!("{one}.\n"))?;
            }
        } else {
            tell!(NOT_RECOVERED, [path = path], "{one}");
            complain(&format!("holdfast: {one}"));
            class = ExitClass::Failed;
        }
    }
    Ok(class)
}

/// What a command that holds the lock and cannot go on does: without a journal nothing can be carried on, so what is out comes back.
pub(super) fn put_back(node: &Node, held: &Held) {
    for one in out::recover(node, held) {
        complain(&format!("holdfast: {one}"));
    }
    for trouble in out::troubles(node, |_| false) {
        complain(&format!("holdfast: {trouble}"));
    }
}

/// Puts back what is out although nothing is in flight, before a command looks at the node.
pub(super) fn first(node: &Node, journal: &JournalState) -> Result<(), CliError> {
    if journal.in_flight.is_some() || out::lying_out(node).is_empty() {
        return Ok(());
    }
    let held = locked::hold(node)?;
    // Another Holdfast may have begun to take it out between the two looks.
    let begun = JournalStore::peek(&node.files, &node.layout);
    if !begun.is_ok_and(|state| state.in_flight.is_some()) {
        put_back(node, &held);
    }
    Ok(())
}

/// What a command that cannot go on does for a node whose API server it may have left without its manifest.
pub(super) fn before_giving_up(error: CliError) -> CliError {
    if let Err(why) = put_back_at_last() {
        complain(&format!(
            "holdfast: whether a manifest is out of its folder could not be seen to: {why}"
        ));
    }
    error
}

fn put_back_at_last() -> Result<(), CliError> {
    let node = setup::node_at_last()?;
    if out::lying_out(&node).is_empty() && out::troubles(&node, |_| false).is_empty() {
        return Ok(());
    }
    setup::require_root()?;
    put_back(&node, &locked::hold(&node)?);
    Ok(())
}
