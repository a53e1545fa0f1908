//! Copies of what was there before, and the quarantine. Both lie outside the manifests folder, where the kubelet would run them.

use crate::adapters::Node;
use crate::adapters::files::FileError;
use crate::adapters::lock::Held;
use crate::domain::{Digest, Fact, Mode, NodePath};
use crate::events::tell;
use crate::journal::Act;

/// The name of the kubelet's configuration among the copies.
pub(super) const KUBELET: &str = "kubelet-config";
/// So many copies of one manifest are kept.
const KEPT: usize = 20;

/// The newest copy of a component's manifest, if there is one.
pub(super) fn newest(node: &Node, component: &str) -> Option<NodePath> {
    let folder = in_folder(&node.layout.state, "backups").ok()?;
    let prefix = format!("{component}.");
    let Fact::Known(entries) = node.files.list(&folder) else {
        return None;
    };
    let is_copy = |name: &str| name.starts_with(&prefix) && name.ends_with(".yaml");
    let copies = entries.into_iter().filter(|entry| is_copy(&entry.name));
    // Names carry the time, so the order of names is that of age.
    copies.max_by(|one, other| one.name.cmp(&other.name))?.path
}

/// Removes what a kill left of a copy that was not finished.
pub(crate) fn sweep(node: &Node, held: &Held) -> Result<(), FileError> {
    node.files.sweep(held, &in_folder(&node.layout.state, "backups")?)
}

/// Keeps a copy of a component's manifest as it is now, and says where.
pub(super) fn keep(node: &Node, held: &Held, component: &str, text: &str) -> Result<NodePath, FileError> {
    let folder = own_folder(node, "backups")?;
    sweep(node, held)?;
    let digest = Digest::of(text.as_bytes()).short();
    let name = format!("{component}.{}.{digest}.yaml", stamp(node));
    let path = in_folder(&folder, &name)?;
    node.files
        .write_own(held, &path, text.as_bytes(), Mode::from_bits(0o600))?;
    Ok(path)
}

/// Where a copy goes that was found beside the manifests folder.
pub(super) fn place_for(node: &Node, path: &NodePath) -> Result<NodePath, FileError> {
    let folder = own_folder(node, "backups")?;
    in_folder(&folder, &format!("found.{}.{}", stamp(node), path.file_name()))
}

/// Where a manifest goes that is put into quarantine.
pub(super) fn quarantine_for(node: &Node, path: &NodePath) -> Result<NodePath, FileError> {
    let folder = own_folder(node, "quarantine")?;
    in_folder(&folder, &format!("{}.{}", stamp(node), path.file_name()))
}

/// Removes the oldest copies of that change's manifest beyond [`KEPT`]. A copy that stays costs a few kilobytes: what cannot be
/// removed now is removed after the next edit.
pub(super) fn prune(node: &Node, held: &Held, act: &Act) {
    let (component, backup) = match act {
        Act::EditManifest(edit) => (edit.component.name(), &edit.backup),
        Act::Bounce(bounce) => (bounce.component.name(), &bounce.backup),
        Act::EditKubelet(edit) => (KUBELET, &edit.backup),
        Act::SetMode { .. }
        | Act::SetOwner { .. }
        | Act::MakeFolder { .. }
        | Act::Install { .. }
        | Act::Quarantine { .. } => return,
    };
    let Ok(folder) = own_folder(node, "backups") else {
        return;
    };
    let Fact::Known(entries) = node.files.list(&folder) else {
        return;
    };
    let prefix = format!("{component}.");
    let copies: Vec<NodePath> = entries
        .into_iter()
        .filter(|entry| entry.name.starts_with(&prefix))
        .filter_map(|entry| entry.path)
        .collect();
    // Names carry the time, so the order of names is that of age.
    let surplus = copies.len().saturating_sub(KEPT);
    for path in copies.iter().take(surplus).filter(|path| *path != backup) {
        if let Err(error) = node.files.remove_own(held, path) {
            tell!(
                LEFTOVER,
                [path = path.as_str()],
                "an old copy was not removed, ignoring: {error}"
            );
        }
    }
}

fn own_folder(node: &Node, name: &str) -> Result<NodePath, FileError> {
    let folder = in_folder(&node.layout.state, name)?;
    node.files.make_own_folder(&folder)?;
    Ok(folder)
}

fn in_folder(folder: &NodePath, name: &str) -> Result<NodePath, FileError> {
    folder.join(name).map_err(|error| FileError::Changed {
        path: folder.clone(),
        what: error.to_string(),
    })
}

/// The wall clock as a name: `20261124T210005.123Z`.
fn stamp(node: &Node) -> String {
    node.clock.now().wall.strftime("%Y%m%dT%H%M%S%.3fZ").to_string()
}
