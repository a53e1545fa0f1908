//! `encryption forget`: removes retired keys for good.

use super::args::{Arguments, Forget};
use super::rotate::under_way;
use super::setup::{CliError, Setup};
use super::walk::with_journal;
use super::{apply, complain, say};
use crate::adapters::system_log::{self, Sink};
use crate::events::tell;
use crate::reconcile;
use crate::report::{ExitClass, printable};
use crate::rotate::{self, Forgetting, RotateError, look_for_forgetting};

/// Says what goes, asks, and removes it.
pub(super) fn forget(arguments: &Arguments, how: &Forget) -> Result<ExitClass, CliError> {
    let setup = Setup::new(&arguments.global)?;
    let node = &setup.node;
    let rotation = under_way(node)?;
    let shown = look_for_forgetting(node, rotation.as_ref(), &how.keys).map_err(Box::new)?;
    say(&plan(&shown))?;
    if how.dry_run {
        return Ok(ExitClass::Compliant);
    }
    if !how.yes && !apply::ask(&setup, "forget", "Remove them?")? {
        complain("Nothing was changed.");
        return Ok(ExitClass::Failed);
    }
    system_log::init(Sink::Journal, None)?;
    with_journal(node, |held, journal| {
        if let Some(why) = reconcile::paused(node, node.clock.now().wall) {
            let why = format!("nothing was removed: Holdfast is paused: {why}");
            return Err(Box::new(RotateError::NotHere(why)).into());
        }
        // Somebody may have begun a rotation since it was shown; under the lock nobody does.
        let rotation = journal.state().rotations.rotation.as_ref();
        let now = look_for_forgetting(node, rotation, &how.keys).map_err(Box::new)?;
        if now != shown {
            return Err(CliError::PlanChanged);
        }
        let keys = now.fingerprints.iter();
        let keys: Vec<String> = keys
            .map(|(id, fingerprint)| printable(&id.told(Some(fingerprint))))
            .collect();
        let keys = keys.join(", ");
        tell!(
            KEYS_FORGOTTEN,
            [key = keys.as_str()],
            "keys are removed for good, as the operator asks: {keys}"
        );
        Ok(rotate::forget(node, held, &now).map_err(Box::new)?)
    })?;
    say(&format!("{} file(s) are removed.\n", shown.files.len()))?;
    Ok(ExitClass::Compliant)
}

fn names(what: &Forgetting) -> String {
    let names: Vec<String> = what.keys.iter().map(|key| printable(&key.to_string())).collect();
    names.join(", ")
}

fn plan(what: &Forgetting) -> String {
    let files: String = what
        .files
        .iter()
        .map(|file| format!("  {}\n", printable(file.as_str())))
        .collect();
    format!(
        "No stored value is under {}. These files, which hold it, are removed for good:\n{files}\
         Snapshots of etcd from before its retirement cannot be read any more then, unless the key is kept elsewhere. Its name is never\n\
         used again. The files go from their folder, durably; what the disk itself keeps of removed files is out of Holdfast's reach.\n",
        names(what)
    )
}
