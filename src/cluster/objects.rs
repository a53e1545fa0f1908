//! What the API holds, as far as the controls ask: what else an object has is not read.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::{Fact, Reason};

/// What the API holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterObjects {
    /// Roles and cluster roles.
    pub roles: Fact<Vec<Role>>,
    /// Their bindings.
    pub bindings: Fact<Vec<Binding>>,
    /// Service accounts.
    pub service_accounts: Fact<Vec<ServiceAccount>>,
    /// Namespaces.
    pub namespaces: Fact<Vec<Namespace>>,
    /// Network policies.
    pub policies: Fact<Vec<NetworkPolicy>>,
    /// Pods.
    pub pods: Fact<Vec<Pod>>,
    /// Services of the namespace `default`.
    pub default_services: Fact<Vec<Meta>>,
    /// Validating webhooks and admission policies.
    pub judges: Fact<Vec<Judge>>,
    /// Secrets of type `kubernetes.io/service-account-token`, without their content.
    pub stored_tokens: Fact<Vec<Meta>>,
    /// kube-proxy's configuration. `Absent`: kubeadm's ConfigMap is not there.
    pub kube_proxy: Fact<serde_json::Value>,
}

impl ClusterObjects {
    /// Nothing could be had.
    #[must_use]
    pub fn unknown(why: &Reason) -> Self {
        Self {
            roles: Fact::Unknown(why.clone()),
            bindings: Fact::Unknown(why.clone()),
            service_accounts: Fact::Unknown(why.clone()),
            namespaces: Fact::Unknown(why.clone()),
            policies: Fact::Unknown(why.clone()),
            pods: Fact::Unknown(why.clone()),
            default_services: Fact::Unknown(why.clone()),
            judges: Fact::Unknown(why.clone()),
            stored_tokens: Fact::Unknown(why.clone()),
            kube_proxy: Fact::Unknown(why.clone()),
        }
    }
}

/// An object's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Its name.
    pub name: String,
    /// Its namespace; none for an object of the whole cluster.
    pub namespace: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, as far as they are asked for.
    pub annotations: Annotations,
    /// Who made it.
    pub owner_references: Vec<Owner>,
}

/// Annotations that say what an object is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Annotations {
    /// Of a pod: the API's image of a static pod. No kubelet runs another pod with it, and it cannot be set later.
    #[serde(rename = "kubernetes.io/config.mirror")]
    pub mirror: Option<String>,
}

/// Who made an object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// True for the one that keeps it so.
    pub controller: bool,
}

/// A role or cluster role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Role {
    /// Its metadata; without a namespace it is a cluster role.
    pub metadata: Meta,
    /// What it grants.
    #[serde(deserialize_with = "or_none")]
    pub rules: Vec<Rule>,
}

/// What a role grants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// Verbs, or `*`.
    #[serde(deserialize_with = "or_none")]
    pub verbs: Vec<String>,
    /// API groups, or `*`.
    #[serde(deserialize_with = "or_none")]
    pub api_groups: Vec<String>,
    /// Resources, with a subresource after a slash, or `*`.
    #[serde(deserialize_with = "or_none")]
    pub resources: Vec<String>,
    /// Only objects of these names, if any is given.
    #[serde(deserialize_with = "or_none")]
    pub resource_names: Vec<String>,
}

/// A binding of a role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Binding {
    /// Its metadata; without a namespace it is a cluster role binding.
    pub metadata: Meta,
    /// The role.
    pub role_ref: RoleRef,
    /// To whom it is granted.
    #[serde(deserialize_with = "or_none")]
    pub subjects: Vec<Subject>,
}

/// Which role a binding grants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct RoleRef {
    /// `Role` or `ClusterRole`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// To whom a binding grants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Of a service account.
    pub namespace: Option<String>,
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceAccount {
    /// Its metadata.
    pub metadata: Meta,
    /// Whether pods get its token that do not say so themselves.
    pub automount_service_account_token: Option<bool>,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Its metadata.
    pub metadata: Meta,
}

/// A network policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct NetworkPolicy {
    /// Its metadata.
    pub metadata: Meta,
    /// What it says.
    pub spec: PolicySpec,
}

/// What a network policy says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicySpec {
    /// Which pods it is about; empty for all.
    pub pod_selector: serde_json::Map<String, serde_json::Value>,
    /// `Ingress`, `Egress`.
    pub policy_types: Vec<String>,
    /// What may come in.
    pub ingress: Vec<serde_json::Value>,
}

/// What the API server asks before it writes an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judge {
    /// How it is called, with its kind.
    pub name: String,
    /// What it is asked about.
    pub rules: Vec<WebhookRule>,
}

/// Operations on resources.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WebhookRule {
    /// `CREATE`, `UPDATE`..., or `*`.
    #[serde(deserialize_with = "or_none")]
    pub operations: Vec<String>,
    /// API groups, or `*`.
    #[serde(deserialize_with = "or_none")]
    pub api_groups: Vec<String>,
    /// Resources, with a subresource after a slash, or `*`.
    #[serde(deserialize_with = "or_none")]
    pub resources: Vec<String>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Its metadata.
    pub metadata: Meta,
    /// What it is.
    pub spec: PodSpec,
    /// How it is.
    pub status: PodStatus,
}

/// How a pod is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct PodStatus {
    /// `Running`, `Succeeded`...
    pub phase: String,
}

/// What a pod is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// It sees the node's processes.
    #[serde(rename = "hostPID")]
    pub host_pid: bool,
    /// It sees the node's shared memory.
    #[serde(rename = "hostIPC")]
    pub host_ipc: bool,
    /// It has the node's network.
    pub host_network: bool,
    /// Whether it gets a token of its service account.
    pub automount_service_account_token: Option<bool>,
    /// Its service account.
    pub service_account_name: Option<String>,
    /// For all its containers.
    pub security_context: Context,
    /// Containers.
    #[serde(deserialize_with = "or_none")]
    pub containers: Vec<Container>,
    /// Those that run before.
    pub init_containers: Vec<Container>,
    /// Those that were added for debugging.
    pub ephemeral_containers: Vec<Container>,
    /// Volumes.
    pub volumes: Vec<Volume>,
    /// Its operating system, where it says.
    pub os: Option<Os>,
}

/// An operating system.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Os {
    /// `linux` or `windows`.
    pub name: String,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// A folder or file of the node.
    pub host_path: Option<HostPath>,
}

/// A folder or file of the node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct HostPath {
    /// Which.
    pub path: String,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// What holds for it alone.
    pub security_context: Context,
    /// Its environment.
    pub env: Vec<Variable>,
    /// Whole objects in its environment.
    pub env_from: Vec<Source>,
    /// Its ports.
    pub ports: Vec<Port>,
}

/// A variable of the environment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Variable {
    /// Where its value comes from, where it is not written out.
    pub value_from: Option<Source>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Source {
    /// A key of a Secret.
    pub secret_key_ref: Option<Named>,
    /// All of a Secret.
    pub secret_ref: Option<Named>,
}

/// A reference by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Named {
    /// The name.
    pub name: String,
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Port {
    /// Of the node; 0 for none.
    pub host_port: u32,
}

/// A security context, of a pod or of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Context {
    /// It has the node's rights.
    pub privileged: Option<bool>,
    /// A process may gain more rights than its parent.
    pub allow_privilege_escalation: Option<bool>,
    /// It is not started as root.
    pub run_as_non_root: Option<bool>,
    /// Its account.
    pub run_as_user: Option<i64>,
    /// Its capabilities.
    pub capabilities: Option<Capabilities>,
    /// Its system calls.
    pub seccomp_profile: Option<Profile>,
    /// On Windows.
    pub windows_options: Option<WindowsOptions>,
    /// What else it says.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

/// Capabilities beside, or without, those that the runtime gives.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// More.
    pub add: Vec<String>,
    /// Less.
    pub drop: Vec<String>,
}

/// A seccomp profile.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Profile {
    /// `RuntimeDefault`, `Localhost` or `Unconfined`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// What holds on Windows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WindowsOptions {
    /// It is a process of the node.
    pub host_process: Option<bool>,
}

/// Go writes an empty list as null.
fn or_none<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

impl Meta {
    /// How it is called: with its namespace, if it has one.
    #[must_use]
    pub fn full_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }

    /// True in that namespace.
    #[must_use]
    pub fn is_in(&self, namespace: &str) -> bool {
        self.namespace.as_deref() == Some(namespace)
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}
