//! A manifest out of its folder: where it lies, how it comes in, and how it comes back whatever happened.
//!
//! Both files lie in kubeadm's folder beside the manifests folder: on the same file system, and where an operator who misses an API
//! server looks. Their names alone say what they are, so that [`recover`] needs neither the journal nor the configuration.

use crate::adapters::Node;
use crate::adapters::files::FileError;
use crate::adapters::lock::Held;
use crate::domain::{Component, Digest, Fact, NodePath};
use crate::journal::{Act, Bounce, BouncedManifest, EditedManifest};
use crate::manifest::MAX_BYTES;
use crate::plan::ManifestEdit;

/// A manifest that was found out of its folder.
#[derive(Debug)]
pub struct Recovered {
    /// Whose.
    pub component: Component,
    /// Where it lay.
    pub out: NodePath,
    /// Where it belongs.
    pub path: NodePath,
    /// What came of putting it back.
    pub result: std::result::Result<(), FileError>,
}

/// Puts back every manifest that is out of its folder. Needs no journal and no configuration: a manifest whose place is taken stays
/// where it is.
#[must_use]
pub fn recover(node: &Node, held: &Held) -> Vec<Recovered> {
    let mut recovered = Vec::new();
    for component in Component::ALL {
        let path = node.layout.manifest(component);
        let Ok(out) = beside(node, component, "out") else {
            continue;
        };
        if node.files.facts(&path) != Fact::Absent {
            continue;
        }
        let Fact::Known(content) = node.files.read(&out, MAX_BYTES) else {
            continue;
        };
        let result = node
            .files
            .move_away(held, &out, Digest::of(&content.bytes), &path);
        recovered.push(Recovered {
            component,
            out,
            path,
            result,
        });
    }
    recovered
}

/// Writes the content after beside the folder, so that no step while the manifest is out needs room on the disk. `None` when the restart
/// is left to the kubelet.
pub(super) fn stage(node: &Node, held: &Held, edit: &ManifestEdit) -> Result<Option<Bounce>, FileError> {
    let Some(drain) = edit.drain else { return Ok(None) };
    let bounce = Bounce {
        out: beside(node, edit.component, "out")?,
        staged: beside(node, edit.component, "new")?,
        drain_ms: u64::try_from(drain.as_millis()).unwrap_or(u64::MAX),
    };
    let before = Digest::of(edit.before.as_bytes());
    // What an earlier attempt left is of no use: the manifest is in its folder, and its former content in the backups.
    for stale in [&bounce.staged, &bounce.out] {
        node.files.remove_own(held, stale)?;
    }
    node.files
        .copy_dressed(held, &edit.path, before, &bounce.staged, edit.after.as_bytes())?;
    Ok(Some(bounce))
}

pub(super) fn put_in(node: &Node, held: &Held, edit: &EditedManifest) -> Result<(), FileError> {
    let Some(bounce) = &edit.bounce else { return Ok(()) };
    node.files.move_away(held, &bounce.staged, edit.after, &edit.path)
}

/// Makes the way out free; where the manifest goes.
pub(super) fn way_out(node: &Node, held: &Held, component: Component) -> Result<NodePath, FileError> {
    let out = beside(node, component, "out")?;
    // The manifest is in its folder: what an earlier attempt left is of no use.
    node.files.remove_own(held, &out)?;
    Ok(out)
}

/// Puts a bounced manifest into its folder, whatever was done to it while it was out.
pub(super) fn bring_back(node: &Node, held: &Held, bounce: &BouncedManifest) -> Result<(), FileError> {
    let digest = match node.files.read(&bounce.out, MAX_BYTES) {
        Fact::Known(content) => Digest::of(&content.bytes),
        Fact::Absent | Fact::Unknown(_) => bounce.digest,
    };
    node.files.move_away(held, &bounce.out, digest, &bounce.path)
}

pub(super) fn put_back(node: &Node, held: &Held, edit: &EditedManifest) -> Result<(), FileError> {
    let Some(bounce) = &edit.bounce else { return Ok(()) };
    node.files.move_away(held, &bounce.out, edit.before, &edit.path)
}

/// Removes what lies beside the folder once its change has ended. Not while the manifest's own place is empty: it would be the last copy
/// at hand.
pub(super) fn clear(node: &Node, held: &Held, act: &Act) {
    let left = match act {
        Act::EditManifest(EditedManifest {
            bounce: Some(bounce), ..
        }) => vec![&bounce.out, &bounce.staged],
        Act::Bounce(bounce) => vec![&bounce.out],
        Act::EditManifest(_) | Act::SetMode { .. } | Act::SetOwner { .. } | Act::Quarantine { .. } => return,
    };
    if node.files.facts(act.path()) == Fact::Absent {
        return;
    }
    for left in left {
        if let Err(error) = node.files.remove_own(held, left) {
            tracing::debug!(holdfast.path = %left, "a copy was not removed, ignoring: {error}");
        }
    }
}

/// `/etc/kubernetes/kube-apiserver.yaml.holdfast-out`, or `-new`.
fn beside(node: &Node, component: Component, what: &str) -> Result<NodePath, FileError> {
    let folder = &node.layout.kubernetes;
    folder
        .join(&format!("{}.holdfast-{what}", component.manifest_file()))
        .map_err(|error| FileError::Changed {
            path: folder.clone(),
            what: error.to_string(),
        })
}
