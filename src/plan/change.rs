//! A plan: the ordered list of changes with their reasons, and what is not done with the reason for that.

use std::fmt;
use std::time::Duration;

use super::in_flight::Progress;
use crate::domain::{Component, ControlId, Digest, FileId, Mode, NodePath, Owner, ProcessId};
use crate::journal::{KnownManifest, RefusedFlag};

/// What a pass would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The next step of a change that was begun earlier. It comes before all else.
    pub in_flight: Option<Progress>,
    /// The manifests to know from now on; `Some` at the first start only.
    pub baseline: Option<Vec<KnownManifest>>,
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// What is not done, and why.
    pub withheld: Vec<Withheld>,
    /// What the operator should know of this plan.
    pub warnings: Vec<String>,
}

/// One reversible act that mends findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name: the same inputs have the same.
    pub id: Digest,
    /// The controls that it serves.
    pub controls: Vec<ControlId>,
    /// What it does.
    pub deed: Deed,
}

/// What a change does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Takes permission bits away.
    SetMode {
        /// The file.
        path: NodePath,
        /// Which file it must still be.
        id: FileId,
        /// The mode it must still have.
        from: Mode,
        /// The mode it gets.
        to: Mode,
    },
    /// Gives a file to another owner.
    SetOwner {
        /// The file.
        path: NodePath,
        /// Which file it must still be.
        id: FileId,
        /// The owner it must still have.
        from: Owner,
        /// The owner it gets.
        to: Owner,
    },
    /// Replaces a manifest; its component restarts once.
    EditManifest(ManifestEdit),
    /// Restarts a component by moving its manifest out of its folder and back in; never part of a plan, only asked for by name.
    Bounce(ManifestBounce),
    /// Replaces the kubelet's configuration file; it restarts once.
    EditKubelet(KubeletEdit),
    /// Makes a folder of root's alone, which a component's pod is to see.
    MakeFolder {
        /// The folder.
        path: NodePath,
    },
    /// Writes a file that a flag is to name, where none is.
    Install {
        /// The file.
        path: NodePath,
        /// Its content: nothing secret.
        content: String,
    },
    /// Moves an unknown manifest out of the folder.
    Quarantine {
        /// The file.
        path: NodePath,
        /// The content it must still have.
        digest: Digest,
        /// The component's manifest that it is a copy of, if it is one: the kubelet drops that pod with it, and is told of it again.
        twin: Option<NodePath>,
    },
}

/// The edit of a component's manifest: all its flag, volume and mount changes at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestEdit {
    /// Whose manifest.
    pub component: Component,
    /// The manifest.
    pub path: NodePath,
    /// Its text, which it must still have.
    pub before: String,
    /// The text it gets.
    pub after: String,
    /// The flags that are set, with their new values.
    pub flags: Vec<RefusedFlag>,
    /// The image that its container runs.
    pub image: String,
    /// The component's processes now.
    pub processes: Vec<ProcessId>,
    /// The UIDs of the pods that they belong to.
    pub pods: Vec<String>,
    /// True when the encryption flag, its file's mount or volume differ.
    pub touches_encryption: bool,
    /// How long its process may drain before it is ended early; `None` leaves the restart to the kubelet.
    pub drain: Option<Duration>,
}

/// The edit of the kubelet's configuration file: all its settings at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeletEdit {
    /// The file.
    pub path: NodePath,
    /// Its text, which it must still have.
    pub before: String,
    /// The text it gets.
    pub after: String,
}

/// A manifest that goes out of its folder and comes back as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestBounce {
    /// Whose manifest.
    pub component: Component,
    /// The manifest.
    pub path: NodePath,
    /// Its text, which it must still have, and which it keeps.
    pub text: String,
    /// The component's processes now.
    pub processes: Vec<ProcessId>,
    /// The UIDs of the pods that they belong to.
    pub pods: Vec<String>,
    /// How long its process may drain before it is ended early, or why that is left to the kubelet.
    pub early: Result<Duration, String>,
}

/// A mend that is not made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// The controls that stay in drift.
    pub controls: Vec<ControlId>,
    /// What it is about.
    pub object: String,
    /// Why.
    pub reason: WithheldReason,
}

/// Why a mend is not made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WithheldReason {
    /// The mode is audit.
    Audit,
    /// There is no remedy that could be made by itself; the text says what it would need.
    NeedsOperator(String),
    /// Holdfast is paused.
    Paused(String),
    /// The disruption window is closed; it opens then, if ever.
    OutsideWindow(Option<jiff::Timestamp>),
    /// kubeadm runs.
    KubeadmRuns {
        /// For how long, in seconds.
        seconds: u64,
    },
    /// The kubelet is not running, or that could not be told.
    KubeletDown(String),
    /// The kubelet has only just started.
    KubeletStarts {
        /// For how much longer that counts, in seconds.
        seconds: u64,
    },
    /// The cluster has several control-plane nodes.
    SeveralControlPlaneNodes(String),
    /// How many control-plane nodes there are could not be told.
    ControlPlaneUnknown(String),
    /// A component that must be healthy first is not.
    Unhealthy(String),
    /// The node refused this change; what it said.
    Refused(String),
    /// The manifest cannot be edited with certainty; the text says why and shows the edit to make by hand.
    NotEditable(String),
    /// A file that a flag names is not there or not mounted.
    FileMissing(String),
    /// What a conditional remedy needs is not there.
    NotReady(String),
    /// Another change comes first.
    Waiting(String),
    /// Someone else keeps undoing it.
    Flapping(String),
}

impl WithheldReason {
    /// True when nothing but time is awaited: the next passes will make it.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::OutsideWindow(Some(_))
                | Self::KubeadmRuns { .. }
                | Self::KubeletDown(_)
                | Self::KubeletStarts { .. }
                | Self::Unhealthy(_)
                | Self::Waiting(_)
        )
    }
}

impl WithheldReason {
    /// True when it may end at any moment, so that looking again soon is worth it.
    #[must_use]
    pub const fn may_end_soon(&self) -> bool {
        matches!(
            self,
            Self::KubeadmRuns { .. }
                | Self::KubeletDown(_)
                | Self::KubeletStarts { .. }
                | Self::Unhealthy(_)
                | Self::Waiting(_)
        )
    }

    /// The kind of reason, as one word.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::NeedsOperator(_) => "needs-operator",
            Self::Paused(_) => "paused",
            Self::OutsideWindow(_) => "outside-window",
            Self::KubeadmRuns { .. } => "kubeadm-runs",
            Self::KubeletDown(_) => "kubelet-down",
            Self::KubeletStarts { .. } => "kubelet-starts",
            Self::SeveralControlPlaneNodes(_) => "several-control-plane-nodes",
            Self::ControlPlaneUnknown(_) => "control-plane-unknown",
            Self::Unhealthy(_) => "unhealthy",
            Self::Refused(_) => "refused",
            Self::NotEditable(_) => "not-editable",
            Self::FileMissing(_) => "file-missing",
            Self::NotReady(_) => "not-ready",
            Self::Waiting(_) => "waiting",
            Self::Flapping(_) => "flapping",
        }
    }

    /// True when it tells more than the finding itself did: something other than the mode stands in the way.
    #[must_use]
    pub const fn is_news(&self) -> bool {
        !matches!(
            self,
            Self::Audit
                | Self::NeedsOperator(_)
                | Self::Paused(_)
                | Self::KubeletStarts { .. }
                | Self::Waiting(_)
        )
    }
}

impl fmt::Display for WithheldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Audit => f.write_str("the mode is audit: `holdfast apply` mends it, or `mode: enforce`"),
            Self::NeedsOperator(needs) => write!(f, "only reported; a remedy needs {needs}"),
            Self::Paused(why) => write!(f, "Holdfast is paused: {why}"),
            Self::OutsideWindow(Some(opens)) => {
                write!(
                    f,
                    "it restarts a component, and the disruption window opens at {opens:.0}"
                )
            }
            Self::OutsideWindow(None) => {
                f.write_str("it restarts a component, and the disruption window never opens")
            }
            Self::KubeadmRuns { seconds } => write!(
                f,
                "kubeadm has been running for {seconds} s; holding off until it ends"
            ),
            Self::KubeletDown(why) => write!(f, "the kubelet could not act on it: {why}"),
            Self::KubeletStarts { seconds } => write!(
                f,
                "the kubelet has just started and takes its pods over; waiting {seconds} s more"
            ),
            Self::SeveralControlPlaneNodes(who) => write!(
                f,
                "it restarts a component, and this cluster has several control-plane nodes ({who}), which this version does not coordinate"
            ),
            Self::ControlPlaneUnknown(why) => {
                write!(
                    f,
                    "it restarts a component, and how many control-plane nodes there are is not known: {why}"
                )
            }
            Self::Unhealthy(why) => write!(f, "it restarts a component, and the node is not healthy: {why}"),
            Self::Refused(why) => write!(f, "the node refused it: {why}"),
            Self::NotEditable(why) => write!(f, "the manifest is not edited: {why}"),
            Self::FileMissing(why) | Self::NotReady(why) | Self::Waiting(why) => f.write_str(why),
            Self::Flapping(why) => write!(f, "someone else keeps undoing it: {why}"),
        }
    }
}

impl Change {
    /// The component that it restarts.
    #[must_use]
    pub const fn restarts(&self) -> Option<Component> {
        match &self.deed {
            Deed::EditManifest(edit) => Some(edit.component),
            Deed::Bounce(bounce) => Some(bounce.component),
            Deed::SetMode { .. }
            | Deed::SetOwner { .. }
            | Deed::EditKubelet(_)
            | Deed::MakeFolder { .. }
            | Deed::Install { .. }
            | Deed::Quarantine { .. } => None,
        }
    }
}

impl Change {
    /// The name of what it restarts: a component, or the kubelet.
    #[must_use]
    pub fn restarted(&self) -> Option<&'static str> {
        if matches!(self.deed, Deed::EditKubelet(_)) {
            return Some("the kubelet");
        }
        self.restarts().map(Component::name)
    }
}

impl Deed {
    /// The file that it changes.
    #[must_use]
    pub const fn path(&self) -> &NodePath {
        match self {
            Self::SetMode { path, .. }
            | Self::SetOwner { path, .. }
            | Self::MakeFolder { path }
            | Self::Install { path, .. }
            | Self::Quarantine { path, .. } => path,
            Self::EditManifest(edit) => &edit.path,
            Self::EditKubelet(edit) => &edit.path,
            Self::Bounce(bounce) => &bounce.path,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetMode { path, from, to, .. } => write!(f, "mode of {path}: {from} -> {to}"),
            Self::SetOwner { path, from, to, .. } => write!(f, "owner of {path}: {from} -> {to}"),
            Self::EditManifest(edit) => write!(f, "edit of {}, which restarts {}", edit.path, edit.component),
            Self::EditKubelet(edit) => write!(f, "edit of {}, which restarts the kubelet", edit.path),
            Self::Bounce(bounce) => write!(f, "bounce of {}", bounce.component),
            Self::MakeFolder { path } => write!(f, "folder {path}, root's alone"),
            Self::Install { path, .. } => write!(f, "file {path}, which is not there yet"),
            Self::Quarantine { path, .. } => write!(f, "quarantine of {path}"),
        }
    }
}
