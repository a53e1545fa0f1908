//! What is closed to others than root only where none of them uses it, held against the processes of the node. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::change::WithheldReason;
use super::finding::Mend;
use super::targets::{Asked, paths_of};
use crate::controls::{Kit, Target};
use crate::domain::{Fact, FileFacts, FileId, FileKind, Layout, NodePath, Observation, Reader};

/// So many processes are named.
const TOLD: usize = 5;

/// What some remedies would close, and what is asked of the processes of the node for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToClose {
    /// Folders: who works below them, or has something open there.
    pub folders: Vec<NodePath>,
    /// Files: who has them open.
    pub files: BTreeMap<FileId, NodePath>,
}

/// True for a remedy that asks for that.
#[must_use]
pub const fn closes(kit: Kit) -> bool {
    matches!(kit, Kit::KubeletRoot | Kit::AuditFiles)
}

/// What these remedies would close.
#[must_use]
pub fn to_close(kits: &BTreeSet<Kit>, observation: &Observation, layout: &Layout) -> ToClose {
    let mut wanted = ToClose::default();
    if kits.contains(&Kit::KubeletRoot) {
        wanted.folders.push(layout.kubelet.clone());
    }
    if kits.contains(&Kit::AuditFiles) {
        wanted.files = audit_files(observation, layout);
        wanted.folders.extend(audit_folders(observation, layout));
    }
    wanted
}

fn asked(observation: &Observation, layout: &Layout) -> Fact<Asked> {
    let Observation {
        manifests, kubelet, ..
    } = observation;
    paths_of(&Target::AuditFiles, layout, manifests, kubelet)
}

/// The log's folder, where it is closed, too: others may use what else lies there.
fn audit_folders(observation: &Observation, layout: &Layout) -> Vec<NodePath> {
    let asked = asked(observation, layout);
    let is_folder = |path: &NodePath| {
        let facts = observation.files.get(path).and_then(Fact::known);
        facts.is_some_and(|facts| facts.kind == FileKind::Directory)
    };
    let files = asked.known().map_or_else(Vec::new, |asked| asked.files.clone());
    files.into_iter().filter(|path| is_folder(path)).collect()
}

/// All of them, and not only those that are too wide: who reads the log reads it under its next name, too.
fn audit_files(observation: &Observation, layout: &Layout) -> BTreeMap<FileId, NodePath> {
    let asked = asked(observation, layout);
    let Fact::Known(asked) = asked else {
        return BTreeMap::new();
    };
    let files = asked
        .files
        .iter()
        .filter_map(|path| Some((path, observation.files.get(path)?)));
    let listings = asked
        .patterns
        .iter()
        .filter_map(|pattern| observation.listings.get(pattern)?.known());
    let is_file = |(path, fact): (&NodePath, &Fact<FileFacts>)| {
        let facts = fact.known().filter(|facts| facts.kind == FileKind::Regular)?;
        Some((facts.id, path.clone()))
    };
    files.chain(listings.flatten()).filter_map(is_file).collect()
}

/// Why it is not proven that nobody but root uses what the mend would close; `None` where it is, or need not be.
pub(super) fn why_not(kit: Option<Kit>, mend: &Mend, observation: &Observation) -> Option<WithheldReason> {
    let kit = kit.filter(|kit| closes(*kit))?;
    let (Mend::Mode { path, .. } | Mend::Owner { path, .. }) = mend else {
        return None;
    };
    let readers = match &observation.readers {
        Fact::Known(readers) => readers,
        Fact::Absent => return None,
        Fact::Unknown(why) => {
            let why = format!("whether others than root use it cannot be told: {why}");
            return Some(WithheldReason::NotReady(why));
        }
    };
    let concerns = |reader: &&Reader| {
        if kit == Kit::AuditFiles {
            // A log shipper needs the log, its folder and what is rotated away; the policy lies elsewhere.
            let folder = reader.of.parent();
            let of_folder = reader.of == *path || path.parent().as_ref() == Some(&reader.of);
            return of_folder || folder == path.parent() || folder.as_ref() == Some(path);
        }
        reader.of == *path
    };
    let using: BTreeMap<i32, &str> = readers
        .iter()
        .filter(concerns)
        .map(|reader| (reader.pid, reader.program.as_str()))
        .collect();
    (!using.is_empty()).then(|| WithheldReason::NotReady(told(&using)))
}

fn told(using: &BTreeMap<i32, &str>) -> String {
    let named = using.iter().take(TOLD);
    let named: Vec<String> = named.map(|(pid, program)| format!("{pid} ({program})")).collect();
    let more = match using.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!(
        "processes of other users than root use it, and would be shut out: {}{more}; let them run as root, or give the mode that they need as \
         the control's value",
        named.join(", ")
    )
}

#[cfg(test)]
#[path = "closing_tests.rs"]
mod tests;
