//! A manifest out of its folder: where it lies, how it comes in, and how it comes back whatever happened.
//!
//! Both files lie in kubeadm's folder beside the manifests folder: on the same file system, and where an operator who misses an API
//! server looks. Their names alone say what they are, so that [`recover`] needs neither the journal nor the configuration; what it cannot put
//! back is told by [`troubles`].

use crate::adapters::Node;
use crate::adapters::files::FileError;
use crate::adapters::lock::Held;
use crate::domain::{Component, Digest, Fact, NodePath, Reason};
use crate::events::tell;
use crate::journal::{Act, Bounce, BouncedManifest, EditedManifest};
use crate::manifest::{MAX_BYTES, parse};
use crate::plan::{ManifestBounce, ManifestEdit};

use super::backups;

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

/// Why a manifest may not be in its folder, where nothing was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It lies out, and in its place is what is no manifest.
    Taken {
        /// Whose.
        component: Component,
        /// Where it lies.
        out: NodePath,
        /// Where it belongs.
        path: NodePath,
        /// What is wrong with what is there.
        why: String,
    },
    /// Whether something is there cannot be told.
    Unknown {
        /// Whose manifest it would be.
        component: Component,
        /// Where.
        path: NodePath,
        /// Why.
        why: Reason,
    },
    /// It is nowhere, and was there before.
    Gone {
        /// Whose.
        component: Component,
        /// Where it belongs.
        path: NodePath,
        /// The newest copy that Holdfast has.
        backup: Option<NodePath>,
    },
}

impl Trouble {
    /// The file that it is about.
    #[must_use]
    pub const fn path(&self) -> &NodePath {
        match self {
            Self::Taken { path, .. } | Self::Unknown { path, .. } | Self::Gone { path, .. } => path,
        }
    }
}

/// What is left to the operator once [`recover`] has put back what it can. A manifest that is nowhere was there before if Holdfast has a copy of
/// it, or if it is `known` to have been.
#[must_use]
pub fn troubles(node: &Node, known: impl Fn(Component) -> bool) -> Vec<Trouble> {
    let of = |component| trouble(node, component, known(component));
    Component::ALL.into_iter().filter_map(of).collect()
}

fn trouble(node: &Node, component: Component, is_known: bool) -> Option<Trouble> {
    let path = node.layout.manifest(component);
    let out = beside(node, component, "out").ok()?;
    match (node.files.facts(&path), node.files.facts(&out)) {
        (Fact::Unknown(why), _) => Some(Trouble::Unknown { component, path, why }),
        (Fact::Absent, Fact::Absent) => {
            let backup = backups::newest(node, component.name());
            (is_known || backup.is_some()).then_some(Trouble::Gone {
                component,
                path,
                backup,
            })
        }
        // What came of putting it back was told.
        (Fact::Absent, Fact::Known(_) | Fact::Unknown(_)) | (Fact::Known(_), Fact::Absent) => None,
        (Fact::Known(_), Fact::Unknown(why)) => Some(Trouble::Unknown {
            component,
            path: out,
            why,
        }),
        // While a change is in flight the former manifest lies out, and the new one is in its place.
        (Fact::Known(_), Fact::Known(_)) => Some(Trouble::Taken {
            why: no_manifest(node, &path)?,
            component,
            out,
            path,
        }),
    }
}

/// Why what lies there is no manifest; `None` for one.
fn no_manifest(node: &Node, path: &NodePath) -> Option<String> {
    match node.files.read(path, MAX_BYTES) {
        Fact::Known(content) => parse(&content.bytes).err().map(|error| error.to_string()),
        Fact::Absent => Some("it is gone".to_owned()),
        Fact::Unknown(why) => Some(why.to_string()),
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Taken {
                component,
                out,
                path,
                why,
            } => write!(
                f,
                "the manifest of {component} lies in {out}, and its place, {path}, is taken by what is none: {why}; by hand: move away what \
                 is there, then mv {out} {path}"
            ),
            Self::Unknown { component, path, why } => write!(
                f,
                "{path}: whether the manifest of {component} is there cannot be told: {why}; by hand: see to that, then `holdfast recover`"
            ),
            Self::Gone {
                component,
                path,
                backup,
            } => {
                write!(
                    f,
                    "{path}: the manifest of {component} is not there, and does not lie out of its folder; "
                )?;
                let Some(backup) = backup else {
                    let phase = match component {
                        Component::ApiServer => "control-plane apiserver",
                        Component::ControllerManager => "control-plane controller-manager",
                        Component::Scheduler => "control-plane scheduler",
                        Component::Etcd => "etcd local",
                    };
                    return write!(
                        f,
                        "Holdfast has no copy of it; if it belongs there, by hand: put back one of yours, or have kubeadm write it anew from the \
                         cluster's configuration: kubeadm init phase {phase} --config FILE"
                    );
                };
                let needs = match component {
                    Component::ApiServer => " and names the configuration that stored values are read with",
                    Component::ControllerManager | Component::Scheduler | Component::Etcd => "",
                };
                write!(
                    f,
                    "if it belongs there, by hand: see that the newest copy, of before Holdfast's last change of it, is what you want{needs}, \
                     then install -o root -g root -m 0600 {backup} {path}"
                )
            }
        }
    }
}

/// The manifests that are out of their folder: whose, where they lie, and where they belong. One whose place is taken is not.
#[must_use]
pub fn lying_out(node: &Node) -> Vec<(Component, NodePath, NodePath)> {
    let of = |component| {
        let path = node.layout.manifest(component);
        let out = beside(node, component, "out").ok()?;
        let lies = node.files.facts(&path) == Fact::Absent && node.files.facts(&out) != Fact::Absent;
        lies.then_some((component, out, path))
    };
    Component::ALL.into_iter().filter_map(of).collect()
}

/// Puts back every manifest that is out of its folder. Needs no journal and no configuration.
#[must_use]
pub fn recover(node: &Node, held: &Held) -> Vec<Recovered> {
    let put_back = |(component, out, path): (Component, NodePath, NodePath)| {
        let result = match node.files.read(&out, MAX_BYTES) {
            Fact::Known(content) => node
                .files
                .move_away(held, &out, Digest::of(&content.bytes), &path),
            Fact::Absent => Err(FileError::Changed {
                path: out.clone(),
                what: "it is gone".to_owned(),
            }),
            Fact::Unknown(why) => Err(FileError::Changed {
                path: out.clone(),
                what: why.to_string(),
            }),
        };
        Recovered {
            component,
            out,
            path,
            result,
        }
    };
    lying_out(node).into_iter().map(put_back).collect()
}

impl std::fmt::Display for Recovered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            component, out, path, ..
        } = self;
        match &self.result {
            Ok(()) => write!(
                f,
                "{path}: the manifest of {component} is back from {out}; the kubelet starts it within seconds"
            ),
            Err(error) => write!(
                f,
                "{path}: the manifest of {component} could not be put back from {out}: {error}; by hand: mv {out} {path}"
            ),
        }
    }
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
    node.files.remove_own(held, &bounce.staged)?;
    // This looks whether the manifest is in its place, before anything that lies beside it is touched.
    node.files
        .copy_dressed(held, &edit.path, before, &bounce.staged, edit.after.as_bytes())?;
    set_aside(node, held, &bounce.out)?;
    Ok(Some(bounce))
}

pub(super) fn put_in(node: &Node, held: &Held, edit: &EditedManifest) -> Result<(), FileError> {
    let Some(bounce) = &edit.bounce else { return Ok(()) };
    node.files.move_away(held, &bounce.staged, edit.after, &edit.path)
}

/// Makes the way out free; where the manifest goes.
pub(super) fn way_out(node: &Node, held: &Held, bounce: &ManifestBounce) -> Result<NodePath, FileError> {
    let out = beside(node, bounce.component, "out")?;
    node.files
        .expect(&bounce.path, Digest::of(bounce.text.as_bytes()))?;
    set_aside(node, held, &out)?;
    Ok(out)
}

/// Puts a bounced manifest into its folder, whatever was done to it while it was out; from the backup where it is not to be had.
pub(super) fn bring_back(node: &Node, held: &Held, bounce: &BouncedManifest) -> Result<(), FileError> {
    match node.files.read(&bounce.out, MAX_BYTES) {
        Fact::Known(content) => {
            let digest = Digest::of(&content.bytes);
            node.files.move_away(held, &bounce.out, digest, &bounce.path)
        }
        Fact::Absent | Fact::Unknown(_) => {
            from_backup(node, held, &bounce.backup, bounce.digest, &bounce.path)
        }
    }
}

/// Puts the former manifest into its folder; from the backup where somebody changed it, or it is not to be had.
pub(super) fn put_back(node: &Node, held: &Held, edit: &EditedManifest) -> Result<(), FileError> {
    let Some(bounce) = &edit.bounce else { return Ok(()) };
    match node.files.read(&bounce.out, MAX_BYTES) {
        Fact::Known(content) if Digest::of(&content.bytes) == edit.before => {
            node.files.move_away(held, &bounce.out, edit.before, &edit.path)
        }
        Fact::Known(_) | Fact::Absent | Fact::Unknown(_) => {
            from_backup(node, held, &edit.backup, edit.before, &edit.path)
        }
    }
}

fn from_backup(
    node: &Node,
    held: &Held,
    backup: &NodePath,
    digest: Digest,
    path: &NodePath,
) -> Result<(), FileError> {
    let changed = |what: String| FileError::Changed {
        path: backup.clone(),
        what,
    };
    match node.files.read(backup, MAX_BYTES) {
        Fact::Known(content) if Digest::of(&content.bytes) == digest => {
            node.files.create(held, path, &content.bytes)
        }
        Fact::Known(_) => Err(changed("it is not what was kept".to_owned())),
        Fact::Absent => Err(changed("it is gone".to_owned())),
        Fact::Unknown(why) => Err(changed(why.to_string())),
    }
}

/// Moves what lies beside the folder to the backups: it may be the last copy of something.
fn set_aside(node: &Node, held: &Held, path: &NodePath) -> Result<(), FileError> {
    match node.files.read(path, MAX_BYTES) {
        Fact::Absent => Ok(()),
        Fact::Known(content) => {
            let to = backups::place_for(node, path)?;
            node.files.move_away(held, path, Digest::of(&content.bytes), &to)
        }
        Fact::Unknown(why) => Err(FileError::Changed {
            path: path.clone(),
            what: why.to_string(),
        }),
    }
}

/// Removes what lies beside the folder once its change has ended; what is not ours to the letter is set aside. Not while the manifest's
/// own place is empty: it would be the last copy at hand.
pub(super) fn clear(node: &Node, held: &Held, act: &Act) {
    let left = match act {
        Act::EditManifest(EditedManifest {
            bounce: Some(bounce),
            before,
            after,
            ..
        }) => vec![(&bounce.out, *before), (&bounce.staged, *after)],
        Act::Bounce(bounce) => vec![(&bounce.out, bounce.digest)],
        Act::EditManifest(_)
        | Act::SetMode { .. }
        | Act::SetOwner { .. }
        | Act::EditKubelet(_)
        | Act::MakeFolder { .. }
        | Act::Install { .. }
        | Act::Quarantine { .. } => return,
    };
    if node.files.facts(act.path()).known().is_none() {
        return;
    }
    for (path, ours) in left {
        let cleared = match node.files.read(path, MAX_BYTES) {
            Fact::Known(content) if Digest::of(&content.bytes) == ours => node.files.remove_own(held, path),
            Fact::Known(_) | Fact::Absent | Fact::Unknown(_) => set_aside(node, held, path),
        };
        if let Err(error) = cleared {
            tell!(
                LEFT_BESIDE,
                [path = path.as_str()],
                "it stays where it is: {error}"
            );
        }
    }
}

/// `/etc/kubernetes/kube-apiserver.yaml.holdfast-out`, or `-new`, on a kubeadm node.
fn beside(node: &Node, component: Component, what: &str) -> Result<NodePath, FileError> {
    let folder = node.layout.beside_manifests();
    folder
        .join(&format!("{}.holdfast-{what}", component.manifest_file()))
        .map_err(|error| FileError::Changed {
            path: folder.clone(),
            what: error.to_string(),
        })
}
