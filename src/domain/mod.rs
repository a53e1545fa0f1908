//! The words of the trade as types. Parsing is the only way to make one from text; nothing here does IO.

mod boot;
mod certificate;
mod component;
mod control_id;
mod digest;
mod encryption_key;
mod fact;
mod file_facts;
mod flag;
mod host;
mod layout;
mod mode;
mod node_path;
mod observation;
mod owner;
mod static_pod;

pub use boot::{BootId, Instant};
pub use certificate::{Certificate, FirstProvider, PublicKey};
pub use component::Component;
pub use control_id::{ControlId, InvalidControlId};
pub use digest::{Digest, InvalidDigest};
pub use encryption_key::{Fingerprint, GroupResource, InvalidKeyName, KeyId, KeyName, Provider, SecretKey};
pub use fact::{Fact, Reason};
pub use file_facts::{FileFacts, FileId, FileKind};
pub use flag::{FlagName, InvalidFlagName};
pub use host::{
    EtcdClient, ExposedKey, HomeKubeconfig, HostFacts, Kubeconfig, Listener, Pair, PairFacts, Searched,
    SignIn, Usage,
};
pub use layout::{Layout, Paths};
pub use mode::{InvalidMode, Mode};
pub use node_path::{InvalidPath, NodePath, PathPattern};
pub use observation::{
    AskedKubelet, ConfigLayer, ControlPlane, EntryContent, EtcdState, FolderEntry, Health, KubeletFacts,
    Kubelets, Manifest, Observation, PodLog, Process, ProcessId, Reader,
};
pub use owner::{Account, InvalidOwner, Owner};
pub use static_pod::{Container, HealthEndpoint, HostPathVolume, Mount, Scheme, StaticPod};
