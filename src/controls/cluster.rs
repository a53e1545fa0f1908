//! Objects of the API, which `check --cluster` looks at. All of them are reported only: they are the whole cluster's, and no node's to change.

use super::{Control, Remedy, Requirement, id};
use crate::cluster::{ClusterRule, PodTrait, Power};

const CIS: &str = "CIS Kubernetes Benchmark 1.12";
const RBAC: &str = "CIS Kubernetes Benchmark 1.12; kubernetes.io, RBAC Good Practices";
const PODS: &str = "CIS Kubernetes Benchmark 1.12; kubernetes.io, Pod Security Standards";
const UNBIND: &str = "the binding taken away, or an exception in the configuration that says why it stays";
const POD: &str = "another specification where the pod comes from, or an exception in the configuration that says why it stays";
const SAY: &str = "an exception in the configuration, with the reason and until when it holds";

type Row = (
    &'static str,
    &'static str,
    &'static str,
    ClusterRule,
    &'static str,
    &'static str,
);

/// The rows of this table.
pub(super) fn controls() -> Vec<Control> {
    let tables = [
        (ATTESTED, SAY, CIS),
        (ACCESS, UNBIND, RBAC),
        (POD_ROWS, POD, PODS),
        (OTHERS, "", CIS),
    ];
    tables
        .into_iter()
        .flat_map(|(rows, usual, sources)| rows.iter().map(move |row| control(*row, usual, sources)))
        .collect()
}

fn control(
    (row_id, rule, title, what, remedy, rationale): Row,
    usual: &'static str,
    sources: &'static str,
) -> Control {
    Control {
        id: id(row_id),
        rule: rule.into(),
        title: title.into(),
        rationale,
        remedy: Remedy::ReportOnly(if remedy.is_empty() { usual } else { remedy }),
        requirement: Requirement::Cluster(what),
        sources,
    }
}

const ATTESTED: &[Row] = &[
    (
        "CIS-3.1.1",
        "auth.users.no-client-certs",
        "people do not sign in with client certificates",
        ClusterRule::Attested("people sign in by another way"),
        "",
        "A client certificate cannot be revoked before it ends. Flags show that another way is there, and not that people use it.",
    ),
    (
        "CIS-3.1.2",
        "auth.users.no-sa-tokens",
        "people do not sign in with tokens of service accounts",
        ClusterRule::Attested("people sign in by another way"),
        "",
        "Who used such a token cannot be told afterwards: it is everybody's who has seen it.",
    ),
    (
        "CIS-3.1.3",
        "auth.users.no-bootstrap-tokens",
        "people do not sign in with bootstrap tokens",
        ClusterRule::Attested("bootstrap tokens are for nodes that join"),
        "",
        "They are made for a node's first minutes, and belong to nobody.",
    ),
    (
        "CIS-5.3.1",
        "net.cni-policies",
        "the network plug-in enforces network policies",
        ClusterRule::Attested("the plug-in enforces NetworkPolicy"),
        "",
        "With one that does not, every policy is stored and none holds. The API does not say which it is.",
    ),
    (
        "CIS-5.4.2",
        "secrets.external",
        "a store for secrets outside the cluster was considered",
        ClusterRule::Attested("somebody has weighed it"),
        "",
        "Such a store may rotate secrets and log each access.",
    ),
    (
        "CIS-5.6.1",
        "ns.boundaries",
        "namespaces part what belongs to different owners",
        ClusterRule::Attested("each owner has namespaces of their own"),
        "",
        "Rights, quotas and network policies go by namespace.",
    ),
];

const ACCESS: &[Row] = &[
    (
        "CIS-5.1.1",
        "rbac.cluster-admin",
        "nobody else is bound to cluster-admin",
        ClusterRule::ClusterAdmins,
        "",
        "It may do everything, in every namespace. Kubernetes binds system:masters to it, and kubeadm its own group.",
    ),
    (
        "CIS-5.1.2",
        "rbac.secrets",
        "nobody else may read secrets",
        ClusterRule::Granted(Power::ReadSecrets),
        "",
        "Secrets hold the tokens and passwords by which more is reached. To list or to watch shows their content, too.",
    ),
    (
        "CIS-5.1.3",
        "rbac.wildcards",
        "no role has a wildcard",
        ClusterRule::Wildcards,
        "verbs, resources and API groups named one by one, or an exception in the configuration that says why it stays",
        "A wildcard also grants what is added to the API later.",
    ),
    (
        "CIS-5.1.4",
        "rbac.create-pods",
        "nobody else may create pods",
        ClusterRule::Granted(Power::CreatePods),
        "",
        "Whoever creates a pod may use every secret and service account of its namespace, and where no policy forbids it, the node. A workload \
         creates pods.",
    ),
    (
        "CIS-5.1.5",
        "sa.default-unused",
        "default service accounts have no token and no rights",
        ClusterRule::DefaultAccounts,
        "`automountServiceAccountToken: false` in each `default` service account, and an account of its own for what needs rights",
        "Every pod that names no account runs as `default`: what it may do, all of them may.",
    ),
    (
        "CIS-5.1.6",
        "sa.automount",
        "a token is mounted only where somebody asked for it",
        ClusterRule::MountedTokens,
        "`automountServiceAccountToken: false` in the pod or its service account, or `true` where it is needed",
        "Whoever breaks into a pod has its token. Most pods never ask the API.",
    ),
    (
        "CIS-5.1.7",
        "rbac.system-masters",
        "nothing is granted to system:masters",
        ClusterRule::Masters,
        "a binding of another group, whose members lose their rights when it goes",
        "The API server asks nobody whether a member of this group may do something, so taking a binding away takes nothing. Credentials of that group \
         on the node are CIS-1.1.13 and X-CRED-01.",
    ),
    (
        "CIS-5.1.8",
        "rbac.escalate",
        "nobody else may bind, escalate or impersonate",
        ClusterRule::Granted(Power::Escalate),
        "",
        "These verbs are exceptions from the rule that nobody can grant more than they have.",
    ),
    (
        "CIS-5.1.9",
        "rbac.create-pv",
        "nobody else may create persistent volumes",
        ClusterRule::Granted(Power::CreateVolumes),
        "",
        "A volume of type hostPath is the node's file system, whatever holds for pods.",
    ),
    (
        "CIS-5.1.10",
        "rbac.nodes-proxy",
        "nobody else may reach kubelets by nodes/proxy",
        ClusterRule::Granted(Power::ProxyNodes),
        "",
        "It runs commands in every pod of a node, past admission and the audit log.",
    ),
    (
        "CIS-5.1.11",
        "rbac.csr-approval",
        "nobody else may approve certificate signing requests",
        ClusterRule::Granted(Power::ApproveRequests),
        "",
        "Who approves a request makes a user of any name that the signer allows.",
    ),
    (
        "CIS-5.1.12",
        "rbac.webhooks",
        "nobody else may configure admission webhooks",
        ClusterRule::Granted(Power::ConfigureWebhooks),
        "",
        "A webhook sees each object that is written, secrets included, and may change it.",
    ),
    (
        "CIS-5.1.13",
        "rbac.sa-token-create",
        "nobody else may make tokens of service accounts",
        ClusterRule::Granted(Power::CreateTokens),
        "",
        "A token of a service account is all its rights.",
    ),
    (
        "HF-CLUSTER-1",
        "sa.stored-tokens",
        "no token without an end is stored in a Secret",
        ClusterRule::StoredTokens,
        "the Secret deleted when nothing uses it any more: mounted tokens, and those of `kubectl create token`, end by themselves",
        "Until Kubernetes 1.24 each service account had one. It never ends, and whoever reads it once has it for good.",
    ),
];

const POD_ROWS: &[Row] = &[
    (
        "CIS-5.2.1",
        "psa.active",
        "each namespace has a policy for its pods",
        ClusterRule::PodPolicy,
        "the label pod-security.kubernetes.io/enforce on the namespace, baseline or restricted",
        "Without one, who may create a pod there may have the node.",
    ),
    (
        "CIS-5.2.2",
        "psa.privileged",
        "no container is privileged",
        ClusterRule::Pods(PodTrait::Privileged),
        "",
        "It is root on the node.",
    ),
    (
        "CIS-5.2.3",
        "psa.host-pid",
        "no pod sees the node's processes",
        ClusterRule::Pods(PodTrait::HostPid),
        "",
        "Environments and files of every process of the node lie in /proc.",
    ),
    (
        "CIS-5.2.4",
        "psa.host-ipc",
        "no pod has the node's shared memory",
        ClusterRule::Pods(PodTrait::HostIpc),
        "",
        "It reads and writes what processes of the node share.",
    ),
    (
        "CIS-5.2.5",
        "psa.host-network",
        "no pod has the node's network",
        ClusterRule::Pods(PodTrait::HostNetwork),
        "",
        "It reaches what listens on the node's loopback, and is held by no network policy.",
    ),
    (
        "CIS-5.2.6",
        "psa.priv-esc",
        "no process gains more rights than its parent",
        ClusterRule::Pods(PodTrait::Escalation),
        "",
        "A set-user-id program in the image is enough to become root in the container.",
    ),
    (
        "CIS-5.2.7",
        "psa.root",
        "no container may run as root",
        ClusterRule::Pods(PodTrait::Root),
        "",
        "Without user namespaces its root is the node's root as soon as it leaves the container. An image that sets another user may set root in its next version.",
    ),
    (
        "CIS-5.2.8",
        "psa.net-raw",
        "containers drop NET_RAW",
        ClusterRule::Pods(PodTrait::NetRaw),
        "",
        "With it a container forges packets of its neighbours.",
    ),
    (
        "CIS-5.2.9",
        "psa.capabilities",
        "containers drop all capabilities",
        ClusterRule::Pods(PodTrait::Capabilities),
        "",
        "Most programs need none of those that the runtime gives.",
    ),
    (
        "CIS-5.2.10",
        "psa.windows-hostprocess",
        "no container is a process of a Windows node",
        ClusterRule::Pods(PodTrait::HostProcess),
        "",
        "It has all rights on that node.",
    ),
    (
        "CIS-5.2.11",
        "psa.hostpath",
        "no pod mounts a folder of the node",
        ClusterRule::Pods(PodTrait::HostPath),
        "",
        "What a pod writes there outlives it, and the node may run it.",
    ),
    (
        "CIS-5.2.12",
        "psa.hostports",
        "no container has a port of the node",
        ClusterRule::Pods(PodTrait::HostPort),
        "",
        "It is reached past the network policies of its namespace.",
    ),
    (
        "CIS-5.4.1",
        "secrets.env",
        "secrets are files, not environment",
        ClusterRule::Pods(PodTrait::SecretInEnvironment),
        "",
        "Programs write their environment into logs and crash reports, and give it to their children.",
    ),
    (
        "CIS-5.6.2",
        "pod.seccomp",
        "pods have a seccomp profile",
        ClusterRule::Pods(PodTrait::NoSeccomp),
        "",
        "Without one a container may make every system call of the kernel, where the kubelet does not set the runtime's (CIS-4.2.14).",
    ),
    (
        "CIS-5.6.3",
        "pod.security-context",
        "pods have a security context",
        ClusterRule::Pods(PodTrait::NoContext),
        "",
        "One without has all that the runtime gives.",
    ),
];

const OTHERS: &[Row] = &[
    (
        "CIS-4.3.1",
        "kubeproxy.metrics-bind",
        "kube-proxy tells its metrics to its node alone",
        ClusterRule::ProxyMetrics,
        "metricsBindAddress in the ConfigMap kube-system/kube-proxy, and a restart of its pods",
        "They name services and endpoints of the whole cluster, and nobody has to sign in.",
    ),
    (
        "CIS-5.3.2",
        "net.policies",
        "each namespace has a network policy",
        ClusterRule::NetworkPolicies,
        "a NetworkPolicy for each namespace",
        "Without one every pod of the cluster reaches every other.",
    ),
    (
        "CIS-5.5.1",
        "image.provenance",
        "where images come from is verified",
        ClusterRule::ImagePolicy,
        "an admission webhook that verifies signatures, or the plug-in ImagePolicyWebhook",
        "A name and a tag say nothing of what is run.",
    ),
    (
        "CIS-5.6.4",
        "ns.default-unused",
        "nothing runs in the namespace default",
        ClusterRule::DefaultNamespace,
        "a namespace of its own for it",
        "What names no namespace lands there, beside everything else that does not.",
    ),
    (
        "HF-CLUSTER-2",
        "net.default-deny",
        "each namespace denies what no policy allows",
        ClusterRule::DeniedByDefault,
        "a NetworkPolicy with `podSelector: {}`, `policyTypes: [Ingress]` and nothing else",
        "A policy holds for the pods that it selects; those that no policy selects are reached by everybody.",
    ),
];
