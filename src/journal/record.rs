//! The records of the journal.

use crate::domain::{
    Component, ControlId, Digest, FlagName, Instant, KeyId, Mode, NodePath, Owner, ProcessId,
};

/// One line of the journal: what, and when.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// When it was written.
    pub at: Instant,
    /// What it says.
    pub record: Record,
}

/// What a line of the journal says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// The journal was begun by this version of Holdfast. Always the first.
    Opened {
        /// The version of Holdfast.
        holdfast: String,
    },
    /// What lay in the manifests folder beside the components' own manifests at the first start.
    Baseline {
        /// The files, by name.
        manifests: Vec<KnownManifest>,
    },
    /// The intent of a change. MUST be durable before the change touches the node.
    Started {
        /// The change.
        change: Digest,
        /// The controls that it serves.
        controls: Vec<ControlId>,
        /// What it does.
        act: Act,
    },
    /// The component that the change takes out of its folder no longer listens; what it has begun to answer may end. Or: systemd was asked to
    /// restart the kubelet.
    Draining {
        /// The change.
        change: Digest,
    },
    /// The kubelet has taken away the cgroup of the pod whose manifest the change took out of its folder.
    CleanedUp {
        /// The change.
        change: Digest,
    },
    /// The kubelet had left the ended containers of that pod to its garbage collector, and the runtime was asked to remove them.
    ContainersRemoved {
        /// The change.
        change: Digest,
        /// How many there were; `None` when it did not say, or did not do it.
        count: Option<usize>,
    },
    /// The change was made and, where it restarts a component, the node proved healthy after it.
    Finished {
        /// The change.
        change: Digest,
    },
    /// The change will not be completed: it had not happened, or someone else changed its object since.
    Abandoned {
        /// The change.
        change: Digest,
        /// Why.
        why: String,
    },
    /// The intent to put the former content back. MUST be durable before the file is touched.
    UndoStarted {
        /// The change.
        change: Digest,
        /// What the node did not bear.
        fault: Fault,
    },
    /// What a rotation of encryption keys intends, or found. An intent MUST be durable before its effect.
    Rotation {
        /// The event.
        #[serde(flatten)]
        event: crate::rotation::Event,
    },
    /// All that rotations came to: what stands for their events in a compacted journal.
    Rotations {
        /// It.
        history: Box<crate::rotation::History>,
    },
    /// How the API server is told to encrypt, as it was last found in order; the bytes of the configuration are in the key store.
    Encryption {
        /// It; nothing, when encryption was given up and no value needs it.
        known: Option<KnownEncryption>,
    },
    /// Whether values may have been written in plaintext that should not be: MUST be durable before an API server that lost its
    /// configuration is given it back.
    PlaintextOwed {
        /// True until they are looked for, and a rotation that rewrites them is begun or none are found.
        owed: bool,
    },
    /// The configuration that was put back, and that the API server does not load by itself: it is to be restarted for it.
    LoadOwed {
        /// Which; nothing, when the restart was begun or is not needed any more.
        owed: Option<Digest>,
    },
    /// The node refused the change: the former content is in place, the change is not tried again until its inputs change.
    Refused {
        /// The change.
        change: Digest,
        /// What the node did not bear.
        fault: Fault,
        /// True when the component proved healthy again with its former manifest.
        recovered: bool,
    },
}

/// How the API server was told to encrypt, when that was in order.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KnownEncryption {
    /// The configuration, on the node.
    pub file: NodePath,
    /// Of its bytes.
    pub digest: Digest,
    /// True when the file alone is mounted.
    pub mounted_alone: bool,
    /// `--encryption-provider-config-automatic-reload`.
    pub reload: bool,
    /// The key that writes, if one writes everywhere.
    pub write_key: Option<KeyId>,
    /// Since when that key is known to write.
    pub writes_since: Instant,
}

/// A manifest that was there at the first start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct KnownManifest {
    /// Its file name.
    pub name: String,
    /// Its content.
    pub digest: Digest,
}

/// What a change does, as far as recovery needs to know.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
pub enum Act {
    /// Takes permission bits away. Decided by observation after a crash.
    SetMode {
        /// The file.
        path: NodePath,
        /// Before.
        from: Mode,
        /// After.
        to: Mode,
    },
    /// Gives a file to another owner. Decided by observation after a crash.
    SetOwner {
        /// The file.
        path: NodePath,
        /// Before.
        from: Owner,
        /// After.
        to: Owner,
    },
    /// Replaces a manifest. Decided by the digest of the file after a crash.
    EditManifest(EditedManifest),
    /// Restarts a component by moving its manifest out of its folder and back in. Decided by where the file lies and by whether the
    /// former process runs after a crash.
    Bounce(BouncedManifest),
    /// Replaces the kubelet's configuration file. Decided by the digest of the file after a crash.
    EditKubelet(EditedKubelet),
    /// Makes a folder. Decided by observation after a crash.
    MakeFolder {
        /// The folder.
        path: NodePath,
    },
    /// Writes a file where none is. Decided by observation after a crash.
    Install {
        /// The file.
        path: NodePath,
        /// Its content.
        digest: Digest,
    },
    /// Moves an unknown manifest out of the folder. Decided by which of the two is there after a crash.
    Quarantine {
        /// Where it was.
        path: NodePath,
        /// Where it goes.
        to: NodePath,
        /// Its content.
        digest: Digest,
    },
}

/// The edit of a component's manifest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EditedManifest {
    /// Whose manifest.
    pub component: Component,
    /// The manifest.
    pub path: NodePath,
    /// Its content before.
    pub before: Digest,
    /// Its content after.
    pub after: Digest,
    /// The copy of the content before.
    pub backup: NodePath,
    /// The image that its container runs.
    pub image: String,
    /// The component's processes before.
    pub processes: Vec<ProcessId>,
    /// The UIDs of the pods that they belonged to.
    pub pods: Vec<String>,
    /// The flags that are set, with their new values.
    pub flags: Vec<RefusedFlag>,
    /// True when the encryption flag, its file's mount or volume differ between before and after.
    pub touches_encryption: bool,
    /// How the component is restarted, if not by the kubelet alone.
    #[serde(default)]
    pub bounce: Option<Bounce>,
}

/// The edit of the kubelet's configuration file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EditedKubelet {
    /// The file.
    pub path: NodePath,
    /// Its content before.
    pub before: Digest,
    /// Its content after.
    pub after: Digest,
    /// The copy of the content before.
    pub backup: NodePath,
}

/// A manifest goes out of its folder, its process is ended early, and the content after comes in: much faster than the kubelet, which
/// waits for a process that no longer serves anybody.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Bounce {
    /// Where the manifest lies while it is out.
    pub out: NodePath,
    /// Where the content after waits.
    pub staged: NodePath,
    /// How long what the process has begun to answer may take, in milliseconds.
    pub drain_ms: u64,
}

/// The manifest of a component that is restarted without a change of content.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BouncedManifest {
    /// Whose manifest.
    pub component: Component,
    /// The manifest.
    pub path: NodePath,
    /// Its content, before and after.
    pub digest: Digest,
    /// Where it lies while it is out.
    pub out: NodePath,
    /// A copy of its content.
    pub backup: NodePath,
    /// The component's processes before.
    pub processes: Vec<ProcessId>,
    /// The UIDs of the pods that they belonged to. The pod that comes back has the same: it is made of the content.
    pub pods: Vec<String>,
    /// How long what the process has begun to answer may take until it is ended, in milliseconds; `None`: the kubelet ends it.
    pub drain_ms: Option<u64>,
}

/// A flag with a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct RefusedFlag {
    /// The flag.
    pub name: FlagName,
    /// The value.
    pub value: String,
}

/// What the node did not bear, and what it said.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fault {
    /// In one sentence.
    pub why: String,
    /// The last error lines of the component's log, redacted.
    pub last_words: Vec<String>,
    /// The flag that the log names as being at fault, if it names one of those that were set.
    pub flag: Option<RefusedFlag>,
}

impl Act {
    /// True when it is not over once it is made: what it restarts must prove healthy.
    #[must_use]
    pub const fn is_proven_later(&self) -> bool {
        matches!(
            self,
            Self::EditManifest(_) | Self::Bounce(_) | Self::EditKubelet(_)
        )
    }

    /// The component that it restarts.
    #[must_use]
    pub const fn restarts(&self) -> Option<Component> {
        match self {
            Self::EditManifest(edit) => Some(edit.component),
            Self::Bounce(bounce) => Some(bounce.component),
            Self::SetMode { .. }
            | Self::SetOwner { .. }
            | Self::EditKubelet(_)
            | Self::MakeFolder { .. }
            | Self::Install { .. }
            | Self::Quarantine { .. } => None,
        }
    }

    /// Where the manifest lies while it is out of its folder, if it goes out.
    #[must_use]
    pub const fn out(&self) -> Option<&NodePath> {
        match self {
            Self::EditManifest(EditedManifest {
                bounce: Some(bounce), ..
            }) => Some(&bounce.out),
            Self::Bounce(bounce) => Some(&bounce.out),
            Self::EditManifest(_)
            | Self::SetMode { .. }
            | Self::SetOwner { .. }
            | Self::EditKubelet(_)
            | Self::MakeFolder { .. }
            | Self::Install { .. }
            | Self::Quarantine { .. } => None,
        }
    }

    /// The file that is changed.
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

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SetMode { path, from, to } => write!(f, "mode of {path}: {from} -> {to}"),
            Self::SetOwner { path, from, to } => write!(f, "owner of {path}: {from} -> {to}"),
            Self::EditManifest(edit) => write!(f, "edit of {}, which restarts {}", edit.path, edit.component),
            Self::EditKubelet(edit) => write!(f, "edit of {}, which restarts the kubelet", edit.path),
            Self::Bounce(bounce) => write!(f, "bounce of {}", bounce.component),
            Self::MakeFolder { path } => write!(f, "folder {path}, root's alone"),
            Self::Install { path, .. } => write!(f, "file {path}, which is not there yet"),
            Self::Quarantine { path, to, .. } => write!(f, "quarantine of {path} in {to}"),
        }
    }
}
