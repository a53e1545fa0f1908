//! The facts read from the node in one pass.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::ClusterObjects;

use super::{
    Account, Certificate, Component, Digest, Fact, FileFacts, FirstProvider, HostFacts, NodePath, Owner,
    PathPattern, Reason, StaticPod,
};

/// Everything that the chosen controls and the change in flight ask of the node. A map holds an entry for each
/// thing that was asked; what was not asked is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Single files and folders.
    pub files: BTreeMap<NodePath, Fact<FileFacts>>,
    /// What a pattern matches, each with its facts. `Absent`: the folder is not there.
    pub listings: BTreeMap<PathPattern, Fact<BTreeMap<NodePath, Fact<FileFacts>>>>,
    /// The entries of the manifests folder that the kubelet would look at, and the subfolders.
    pub manifest_folder: Fact<Vec<FolderEntry>>,
    /// The manifest of each component.
    pub manifests: BTreeMap<Component, Fact<Manifest>>,
    /// The processes of each component's static pod.
    pub processes: BTreeMap<Component, Fact<Vec<Process>>>,
    /// Whether each component's health endpoint answers; asked only where a change waits for it.
    pub health: BTreeMap<Component, Fact<Health>>,
    /// The newest container logs of a component whose change is in flight.
    pub pod_logs: BTreeMap<Component, Fact<Vec<PodLog>>>,
    /// The UIDs of those pods that the change in flight ends whose cgroup the kubelet has not removed yet.
    pub pod_cgroups: BTreeSet<String>,
    /// Structured files that a flag or the kubelet names and that hold no secret, as JSON values.
    pub documents: BTreeMap<NodePath, Fact<serde_json::Value>>,
    /// The bytes that are free where a folder lies, or will; asked only where a change will fill it.
    pub free_space: BTreeMap<NodePath, Fact<u64>>,
    /// Objects of the API; none where they are not asked for.
    pub cluster: Option<Box<ClusterObjects>>,
    /// What is only reported.
    pub host: HostFacts,
    /// The certificates of a file. `Absent`: the file is not there.
    pub certificates: BTreeMap<NodePath, Fact<Vec<Certificate>>>,
    /// What writes secrets; `Absent` without `--encryption-provider-config`.
    pub first_provider: Fact<FirstProvider>,
    /// The kubelet.
    pub kubelet: KubeletFacts,
    /// What only a change of the kubelet's asks.
    pub asked_kubelet: AskedKubelet,
    /// The bindings that grant the anonymous more than Kubernetes and kubeadm do; asked only where they are to be refused.
    pub anonymous_grants: Fact<Vec<String>>,
    /// The text of the file of `--oidc-ca-file`; looked at only where the anonymous are to be confined.
    pub oidc_authority: Fact<String>,
    /// How often a token was used beyond its time since the API server was started; asked only where that is to end.
    pub stale_tokens: Fact<u64>,
    /// The Services with external addresses, as `NAMESPACE/NAME`; asked only where none is to have one any more.
    pub external_ips: Fact<Vec<String>>,
    /// The namespaces without a label that hold pods which the Pod Security Standard baseline refuses; asked only where it is to be the default.
    pub beyond_baseline: Fact<Vec<String>>,
    /// Every node of the cluster, with why its kubelet's serving certificate is not verified, if it is not; asked only where the API server
    /// is to verify it.
    pub kubelets: Fact<Kubelets>,
    /// Running kubeadm processes that root started.
    pub kubeadm: Fact<Vec<Process>>,
    /// How many control-plane nodes the cluster has; asked only when a restart is due.
    pub control_plane: Fact<ControlPlane>,
    /// Accounts by name, as the node's own account files have them.
    pub accounts: BTreeMap<Account, Fact<Owner>>,
    /// The processes of others than root that use what is to be closed to them; looked at only where that is to be done.
    pub readers: Fact<Vec<Reader>>,
}

/// A process of another user than root that uses a file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Its number.
    pub pid: i32,
    /// The name of its program, as the kernel has it.
    pub program: String,
    /// The file that it has open, or the folder that it works below or has something open below.
    pub of: NodePath,
}

/// One entry of the manifests folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderEntry {
    /// Its name; bytes that are not UTF-8 are shown as U+FFFD.
    pub name: String,
    /// True when `name` is the name to the letter, so that the entry can be named in a path.
    pub exact_name: bool,
    /// Its facts, links not followed.
    pub facts: FileFacts,
    /// What it holds.
    pub content: EntryContent,
    /// The further users and groups that an access control list lets in, with their rights; `Absent` where it was not read.
    pub let_in: Fact<Vec<String>>,
}

/// What an entry of the manifests folder holds for the kubelet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryContent {
    /// A pod.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The digest of the file.
        digest: Digest,
    },
    /// A file that the kubelet cannot read a pod from: to it, the pod is gone.
    Unparsable {
        /// Why, with line and column where there is one.
        why: Reason,
        /// The digest of the file, when it was small enough to read.
        digest: Option<Digest>,
    },
    /// Not a file, or it could not be read.
    NotRead(Reason),
}

/// A manifest that was read and understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Where it is.
    pub path: NodePath,
    /// Its text, byte for byte.
    pub text: String,
    /// The digest of the text.
    pub digest: Digest,
    /// The facts of the file it was read from.
    pub facts: FileFacts,
    /// Its typed view.
    pub pod: StaticPod,
}

/// A process, known by number and start time: a number alone is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ProcessId {
    /// Process number.
    pub pid: i32,
    /// Start time in clock ticks since boot (`/proc/PID/stat`, field 22).
    pub start_ticks: u64,
}

/// A process of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Which one.
    pub id: ProcessId,
    /// Its arguments, the first being the name that it was started by. Never logged as they are.
    pub argv: Vec<String>,
    /// Real user id.
    pub uid: u32,
    /// How long it has run, in milliseconds.
    pub age_ms: u64,
    /// The UID of the pod whose cgroup it is in, if it is in one.
    pub pod_uid: Option<String>,
}

/// The answer of a health endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It answered 200.
    Ok,
    /// It answered otherwise, or not at all.
    Failing(Reason),
    /// Nothing listens there.
    Closed(Reason),
}

/// The log of one run of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodLog {
    /// The UID of the pod.
    pub pod_uid: String,
    /// How often the container had been started before (`0.log`, `1.log`...).
    pub restart: u32,
    /// Last change of the log, nanoseconds since the Unix epoch.
    pub modified_ns: i128,
    /// Its last lines, oldest first, without the runtime's prefix; not yet redacted.
    pub lines: Vec<String>,
}

/// The kubelet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeletFacts {
    /// Its process; `Absent` when it is not running.
    pub process: Fact<Process>,
    /// `staticPodPath` of its configuration.
    pub static_pod_path: Fact<NodePath>,
    /// Its configuration file, by `--config`.
    pub config_file: Fact<NodePath>,
    /// `authentication.x509.clientCAFile` of its configuration.
    pub client_ca_file: Fact<NodePath>,
    /// What its configuration file says. `Absent`: it runs without `--config`, or it does not run and no file is there.
    pub config: Fact<ConfigLayer>,
    /// The drop-ins of `--config-dir` in the order in which they are merged; none without that flag.
    pub drop_ins: Fact<Vec<ConfigLayer>>,
    /// The folder of `--config-dir`.
    pub drop_in_folder: Fact<NodePath>,
}

/// Nodes by name, with why a kubelet is not verified, if it is not.
pub type Kubelets = BTreeMap<String, Result<(), Reason>>;

/// What only a change of the kubelet's configuration asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedKubelet {
    /// The text of its configuration file.
    pub text: Fact<String>,
    /// Whether its health endpoint answers. `Absent`: it has none.
    pub health: Fact<Health>,
    /// The most processes that a pod of the node has.
    pub most_pids: Fact<u64>,
    /// Which kernel parameters that the kubelet wants the host does not set at boot.
    pub kernel_defaults: Fact<Vec<String>>,
}

impl Default for AskedKubelet {
    /// Nothing was asked.
    fn default() -> Self {
        Self {
            text: Fact::unknown("it was not asked"),
            health: Fact::unknown("it was not asked"),
            most_pids: Fact::unknown("it was not asked"),
            kernel_defaults: Fact::unknown("it was not asked"),
        }
    }
}

/// A file of the kubelet's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigLayer {
    /// Where it lies.
    pub path: NodePath,
    /// When it was last changed, in nanoseconds of the wall clock.
    pub modified_ns: i128,
    /// What it says.
    pub document: serde_json::Value,
}

/// How etcd is, as far as a restart asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdState {
    /// True when it has a leader and answers for the cluster.
    pub has_leader: bool,
    /// Its alarms, in words; while there is one it refuses writes.
    pub alarms: Vec<String>,
}

/// The control-plane nodes that the cluster speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlane {
    /// Names, by the source that has most of them.
    pub nodes: BTreeSet<String>,
    /// Which source said so: `etcd members`, `nodes`, `kubeadm-config`.
    pub source: &'static str,
}
