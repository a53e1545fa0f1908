//! The API objects of the cluster, held against the controls of `check --cluster`. Pure; nothing of it is ever changed by Holdfast.

mod grants;
mod objects;
pub mod pods;

pub use grants::{Grant, admins, foreign, grants};
pub use objects::{
    Binding, ClusterObjects, Judge, Meta, Namespace, NetworkPolicy, Pod, Role, ServiceAccount, Subject,
    WebhookRule,
};

/// A control about objects of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClusterRule {
    /// kube-proxy tells its metrics to its node alone.
    ProxyMetrics,
    /// Nobody beyond Kubernetes' and kubeadm's own groups is bound to cluster-admin.
    ClusterAdmins,
    /// Nobody beyond Kubernetes' own may do this.
    Granted(Power),
    /// No role that is not Kubernetes' own has a wildcard.
    Wildcards,
    /// The default service accounts have no token and no rights.
    DefaultAccounts,
    /// A token is mounted only where somebody asked for it.
    MountedTokens,
    /// Nothing is granted to the group system:masters but by Kubernetes itself.
    Masters,
    /// Each namespace has a policy for its pods.
    PodPolicy,
    /// No pod outside kube-system is so.
    Pods(PodTrait),
    /// Each namespace has a network policy.
    NetworkPolicies,
    /// Each namespace denies what no policy allows.
    DeniedByDefault,
    /// No token without an end is stored in a Secret.
    StoredTokens,
    /// Where images come from is verified.
    ImagePolicy,
    /// Nothing runs in the namespace `default`.
    DefaultNamespace,
    /// Only a person can say.
    Attested(&'static str),
}

/// What RBAC may grant that leads further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Power {
    /// To read Secrets.
    ReadSecrets,
    /// To create pods, by themselves or by a workload.
    CreatePods,
    /// To grant oneself more, or to be somebody else.
    Escalate,
    /// To create volumes, which reach into a node's file system.
    CreateVolumes,
    /// To reach the kubelets past the API server's admission and audit.
    ProxyNodes,
    /// To approve requests for certificates.
    ApproveRequests,
    /// To say who sees and changes each request.
    ConfigureWebhooks,
    /// To make tokens of service accounts.
    CreateTokens,
}

/// What a pod may be, or lack, that weakens the node under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PodTrait {
    /// A privileged container.
    Privileged,
    /// The node's processes.
    HostPid,
    /// The node's shared memory.
    HostIpc,
    /// The node's network.
    HostNetwork,
    /// A process may gain more rights than its parent.
    Escalation,
    /// It may run as root.
    Root,
    /// `NET_RAW` is kept.
    NetRaw,
    /// Not all capabilities are dropped.
    Capabilities,
    /// A process of a Windows node.
    HostProcess,
    /// A folder of the node.
    HostPath,
    /// A port of the node.
    HostPort,
    /// A Secret in the environment.
    SecretInEnvironment,
    /// No seccomp profile.
    NoSeccomp,
    /// No security context.
    NoContext,
}

impl Power {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::ReadSecrets,
        Self::CreatePods,
        Self::Escalate,
        Self::CreateVolumes,
        Self::ProxyNodes,
        Self::ApproveRequests,
        Self::ConfigureWebhooks,
        Self::CreateTokens,
    ];
}
