//! Encryption at rest on this node: what the API server is told, what it has loaded, and what etcd really holds. Pure.

mod judge;
mod upgrade;
mod watched;

use crate::census::Census;
use crate::domain::{Digest, Fact, NodePath};
use crate::encryption::EncryptionConfig;

pub use judge::{Remark, Weight, judge, owed};
pub use upgrade::extras;
pub use watched::{Lost, Present, Repair, Runs, both, differences, lost, may_be_written, repair};

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtRest {
    /// The configuration by the API server's manifest; `Absent` when it names none: everything is stored in plaintext.
    pub configured: Fact<Configured>,
    /// What the running API server is proven to have loaded; `Absent` when it has loaded none.
    pub loaded: Fact<Digest>,
    /// What etcd holds of the resources that are encrypted (of secrets, where none are), by key.
    pub census: Fact<Census>,
    /// What the next `kubeadm upgrade` would drop of the encryption, in words; `Absent` when kubeadm did not make this cluster.
    pub upgrade: Fact<Vec<String>>,
    /// True when each value under a key of the configuration was decrypted, not only known by its prefix.
    pub decrypted: bool,
}

/// The configuration that the API server's manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The file, as the node has it.
    pub file: NodePath,
    /// True when the file alone is mounted: the running server goes on seeing the old one when it is replaced.
    pub mounted_alone: bool,
    /// `--encryption-provider-config-automatic-reload`.
    pub reload: bool,
    /// Of the file's bytes.
    pub digest: Digest,
    /// What it says.
    pub config: EncryptionConfig,
}
