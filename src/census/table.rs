//! Where Kubernetes keeps its built-in resources in etcd.
//!
//! By `test/integration/etcd/data.go` (which states the path of every stored resource), `SpecialDefaultResourcePrefixes` in
//! `pkg/kubeapiserver` and the API removals up to 1.37; resources that are gone are kept, because their values may not be.

use super::path::Scope::{self, Cluster, Namespaced};

/// A resource that the API server has of itself: its group, its plural name, and the path under the prefix if that is not its name.
pub(super) struct BuiltIn {
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    pub(super) scope: Scope,
    pub(super) path: &'static str,
}

const fn named(group: &'static str, resource: &'static str, scope: Scope) -> BuiltIn {
    BuiltIn {
        group,
        resource,
        scope,
        path: resource,
    }
}

const fn at(path: &'static str, group: &'static str, resource: &'static str, scope: Scope) -> BuiltIn {
    BuiltIn {
        group,
        resource,
        scope,
        path,
    }
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";
const FLOW: &str = "flowcontrol.apiserver.k8s.io";
const NETWORKING: &str = "networking.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const RESOURCE: &str = "resource.k8s.io";
const SCHEDULING: &str = "scheduling.k8s.io";
const STORAGE: &str = "storage.k8s.io";

pub(super) const BUILT_IN: &[BuiltIn] = &[
    named("", "configmaps", Namespaced),
    at("services/endpoints", "", "endpoints", Namespaced),
    named("", "events", Namespaced),
    named("", "limitranges", Namespaced),
    named("", "namespaces", Cluster),
    at("minions", "", "nodes", Cluster),
    named("", "persistentvolumeclaims", Namespaced),
    named("", "persistentvolumes", Cluster),
    named("", "pods", Namespaced),
    named("", "podtemplates", Namespaced),
    at("controllers", "", "replicationcontrollers", Namespaced),
    named("", "resourcequotas", Namespaced),
    named("", "secrets", Namespaced),
    named("", "serviceaccounts", Namespaced),
    at("services/specs", "", "services", Namespaced),
    named(ADMISSION, "mutatingadmissionpolicies", Cluster),
    named(ADMISSION, "mutatingadmissionpolicybindings", Cluster),
    named(ADMISSION, "mutatingwebhookconfigurations", Cluster),
    named(ADMISSION, "validatingadmissionpolicies", Cluster),
    named(ADMISSION, "validatingadmissionpolicybindings", Cluster),
    named(ADMISSION, "validatingwebhookconfigurations", Cluster),
    at(
        "apiextensions.k8s.io/customresourcedefinitions",
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        Cluster,
    ),
    at(
        "apiregistration.k8s.io/apiservices",
        "apiregistration.k8s.io",
        "apiservices",
        Cluster,
    ),
    named("apps", "controllerrevisions", Namespaced),
    named("apps", "daemonsets", Namespaced),
    named("apps", "deployments", Namespaced),
    named("apps", "replicasets", Namespaced),
    named("apps", "statefulsets", Namespaced),
    named("auditregistration.k8s.io", "auditsinks", Cluster),
    named("autoscaling", "horizontalpodautoscalers", Namespaced),
    named("batch", "cronjobs", Namespaced),
    named("batch", "jobs", Namespaced),
    named(CERTIFICATES, "certificatesigningrequests", Cluster),
    named(CERTIFICATES, "clustertrustbundles", Cluster),
    named(CERTIFICATES, "podcertificaterequests", Namespaced),
    named("coordination.k8s.io", "leasecandidates", Namespaced),
    named("coordination.k8s.io", "leases", Namespaced),
    named("discovery.k8s.io", "endpointslices", Namespaced),
    named(FLOW, "flowschemas", Cluster),
    named(FLOW, "prioritylevelconfigurations", Cluster),
    named("internal.apiserver.k8s.io", "storageversions", Cluster),
    named(NETWORKING, "clustercidrs", Cluster),
    named(NETWORKING, "ingressclasses", Cluster),
    at("ingress", NETWORKING, "ingresses", Namespaced),
    named(NETWORKING, "ipaddresses", Cluster),
    named(NETWORKING, "networkpolicies", Namespaced),
    named(NETWORKING, "servicecidrs", Cluster),
    named("node.k8s.io", "runtimeclasses", Cluster),
    named("policy", "poddisruptionbudgets", Namespaced),
    at("podsecuritypolicy", "policy", "podsecuritypolicies", Cluster),
    named(RBAC, "clusterrolebindings", Cluster),
    named(RBAC, "clusterroles", Cluster),
    named(RBAC, "rolebindings", Namespaced),
    named(RBAC, "roles", Namespaced),
    named(RESOURCE, "deviceclasses", Cluster),
    named(RESOURCE, "devicetaintrules", Cluster),
    named(RESOURCE, "podschedulingcontexts", Namespaced),
    named(RESOURCE, "resourceclaimparameters", Namespaced),
    named(RESOURCE, "resourceclaims", Namespaced),
    named(RESOURCE, "resourceclaimtemplates", Namespaced),
    named(RESOURCE, "resourceclasses", Cluster),
    named(RESOURCE, "resourceclassparameters", Namespaced),
    named(RESOURCE, "resourcepoolstatusrequests", Cluster),
    named(RESOURCE, "resourceslices", Cluster),
    named(SCHEDULING, "podgroups", Namespaced),
    named(SCHEDULING, "priorityclasses", Cluster),
    named(SCHEDULING, "workloads", Namespaced),
    named("settings.k8s.io", "podpresets", Namespaced),
    named(STORAGE, "csidrivers", Cluster),
    named(STORAGE, "csinodes", Cluster),
    named(STORAGE, "csistoragecapacities", Namespaced),
    named(STORAGE, "storageclasses", Cluster),
    named(STORAGE, "volumeattachments", Cluster),
    named(STORAGE, "volumeattributesclasses", Cluster),
    named("storagemigration.k8s.io", "storageversionmigrations", Cluster),
];
