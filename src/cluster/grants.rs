//! Who may do what by RBAC.

use super::Power;
use std::collections::BTreeSet;

use super::objects::{Binding, Role, RoleRef, Rule, Subject};

/// A binding that grants something to somebody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// `ClusterRoleBinding NAME` or `RoleBinding NAMESPACE/NAME`.
    pub binding: String,
    /// `ClusterRole NAME` or `Role NAME`.
    pub role: String,
    /// To whom.
    pub subject: Subject,
}

/// What is asked of a role, as a request would: a verb on a resource of a group.
struct Asked {
    verbs: &'static [&'static str],
    group: &'static str,
    resources: &'static [&'static str],
    /// A rule for objects of some names alone counts, too.
    by_name: bool,
}

const fn asked(
    verbs: &'static [&'static str],
    group: &'static str,
    resources: &'static [&'static str],
) -> Asked {
    Asked {
        verbs,
        group,
        resources,
        by_name: false,
    }
}

const fn even_by_name(asked: Asked) -> Asked {
    Asked {
        by_name: true,
        ..asked
    }
}

/// The answer to a patch or an update is the object.
const READ: &[&str] = &["get", "list", "watch", "patch", "update"];
const CREATE: &[&str] = &["create"];
const WRITE: &[&str] = &["create", "update", "patch"];
const RBAC: &str = "rbac.authorization.k8s.io";

impl Power {
    /// Any of these is enough. Whoever may create a workload creates its pods (CIS 5.1.4 names pods alone; kubernetes.io, RBAC Good Practices, "Workload
    /// creation").
    const fn asked(self) -> &'static [Asked] {
        match self {
            Self::ReadSecrets => const { &[asked(READ, "", &["secrets"])] },
            Self::CreatePods => {
                const {
                    &[
                        asked(CREATE, "", &["pods", "replicationcontrollers"]),
                        asked(
                            CREATE,
                            "apps",
                            &["deployments", "daemonsets", "statefulsets", "replicasets"],
                        ),
                        asked(CREATE, "batch", &["jobs", "cronjobs"]),
                    ]
                }
            }
            // To impersonate is asked by itself.
            Self::Escalate => {
                const {
                    &[even_by_name(asked(
                        &["bind", "escalate"],
                        RBAC,
                        &["roles", "clusterroles"],
                    ))]
                }
            }
            Self::CreateVolumes => const { &[asked(CREATE, "", &["persistentvolumes"])] },
            Self::ProxyNodes => {
                const {
                    &[even_by_name(asked(
                        &["get", "create", "update", "patch", "delete"],
                        "",
                        &["nodes/proxy"],
                    ))]
                }
            }
            Self::ApproveRequests => {
                const {
                    &[even_by_name(asked(
                        &["update", "patch"],
                        "certificates.k8s.io",
                        &["certificatesigningrequests/approval"],
                    ))]
                }
            }
            Self::ConfigureWebhooks => {
                const {
                    &[even_by_name(asked(
                        WRITE,
                        "admissionregistration.k8s.io",
                        &["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
                    ))]
                }
            }
            Self::CreateTokens => const { &[even_by_name(asked(CREATE, "", &["serviceaccounts/token"]))] },
        }
    }

    /// What it is, as in "may read secrets".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::ReadSecrets => "read secrets",
            Self::CreatePods => "create pods or workloads",
            Self::Escalate => "bind or escalate roles, or impersonate",
            Self::CreateVolumes => "create persistent volumes",
            Self::ProxyNodes => "reach kubelets by nodes/proxy",
            Self::ApproveRequests => "approve certificate signing requests",
            Self::ConfigureWebhooks => "configure admission webhooks",
            Self::CreateTokens => "make tokens of service accounts",
        }
    }
}

/// True when a rule lets somebody be somebody else: the verb `impersonate`, or one of those that it is parted into from Kubernetes 1.35 on
/// (`impersonate:user-info`...), on users, groups, service accounts, nodes, uids or extra fields.
fn impersonates(rule: &Rule) -> bool {
    const WHO: [&str; 6] = ["*", "users", "groups", "serviceaccounts", "nodes", "uids"];
    let verb = |verb: &String| verb == "*" || verb == "impersonate" || verb.starts_with("impersonate:");
    let group = |group: &String| matches!(group.as_str(), "" | "*" | "authentication.k8s.io");
    let resource = |resource: &String| WHO.contains(&resource.as_str()) || resource.starts_with("userextras");
    // With * it would be every verb on a plain resource.
    let named = |verb: &String| verb != "*";
    let plain_nodes = rule.resources.iter().all(|one| one == "nodes") && !rule.verbs.iter().any(named);
    !plain_nodes
        && rule.verbs.iter().any(verb)
        && rule.api_groups.iter().any(group)
        && rule.resources.iter().any(resource)
}

/// True when one of these rules grants that (kubernetes pkg/apis/rbac/v1 `evaluation_helpers.go`).
fn allows(rules: &[Rule], power: Power) -> bool {
    let any = |given: &[String], wanted: &[&str]| {
        given
            .iter()
            .any(|one| one == "*" || wanted.contains(&one.as_str()))
    };
    let resource = |given: &[String], wanted: &[&str]| {
        given.iter().any(|one| {
            let of_any = one.strip_prefix("*/");
            one == "*"
                || wanted.iter().any(|wanted| {
                    one == wanted
                        || of_any.is_some_and(|sub| wanted.split_once('/').is_some_and(|(_, of)| of == sub))
                })
        })
    };
    if power == Power::Escalate && rules.iter().any(impersonates) {
        return true;
    }
    power.asked().iter().any(|asked| {
        rules.iter().any(|rule| {
            (asked.by_name || rule.resource_names.is_empty())
                && any(&rule.verbs, asked.verbs)
                && any(&rule.api_groups, &[asked.group])
                && resource(&rule.resources, asked.resources)
        })
    })
}

/// Who may do that, Kubernetes' own left out.
#[must_use]
pub fn grants(power: Power, roles: &[Role], bindings: &[Binding]) -> Vec<Grant> {
    let granting = roles.iter().filter(|role| allows(&role.rules, power));
    let granting: BTreeSet<(Option<&str>, &str)> = granting
        .map(|role| (role.metadata.namespace.as_deref(), role.metadata.name.as_str()))
        .collect();
    let those = bindings
        .iter()
        .filter(|binding| granting.contains(&role_of(binding)));
    foreign(those, |binding, subject| {
        is_kubernetes_own(binding, subject, Some(power))
    })
}

/// Who is bound to these roles, which may do everything, Kubernetes' own left out.
#[must_use]
pub fn admins(names: &BTreeSet<&str>, bindings: &[Binding]) -> Vec<Grant> {
    let those = bindings.iter().filter(|binding| {
        binding.role_ref.kind == "ClusterRole" && names.contains(binding.role_ref.name.as_str())
    });
    foreign(those, |binding, subject| {
        is_kubernetes_own(binding, subject, None)
    })
}

/// To whom these bindings grant something, what is `own` left out.
pub fn foreign<'b>(
    bindings: impl Iterator<Item = &'b Binding>,
    own: impl Fn(&Binding, &Subject) -> bool,
) -> Vec<Grant> {
    let mut grants = Vec::new();
    for binding in bindings {
        let foreign = binding.subjects.iter().filter(|subject| !own(binding, subject));
        grants.extend(foreign.map(|subject| Grant {
            binding: named(binding),
            role: format!("{} {}", binding.role_ref.kind, binding.role_ref.name),
            subject: subject.clone(),
        }));
    }
    grants.sort();
    grants
}

/// `ClusterRoleBinding NAME` or `RoleBinding NAMESPACE/NAME`.
fn named(binding: &Binding) -> String {
    let kind = match &binding.metadata.namespace {
        Some(_) => "RoleBinding",
        None => "ClusterRoleBinding",
    };
    format!("{kind} {}", binding.metadata.full_name())
}

/// The scope and the name of the role that a binding refers to.
fn role_of(binding: &Binding) -> (Option<&str>, &str) {
    let RoleRef { kind, name } = &binding.role_ref;
    let namespace = binding.metadata.namespace.as_deref().filter(|_| kind == "Role");
    (namespace, name)
}

/// What Kubernetes and kubeadm bind their own users and groups to, and what these may do by that (plugin/pkg/auth/authorizer/rbac
/// `bootstrappolicy`; kubeadm `phases/kubeconfig`). Labels are no proof: anybody who may write a binding may write them.
const OWN: &[(&str, &str, &str, &str, &[Power])] = &[
    (
        "cluster-admin",
        "cluster-admin",
        "Group",
        "system:masters",
        &Power::ALL,
    ),
    (
        "kubeadm:cluster-admins",
        "cluster-admin",
        "Group",
        "kubeadm:cluster-admins",
        &Power::ALL,
    ),
    (
        "system:kube-controller-manager",
        "system:kube-controller-manager",
        "User",
        "system:kube-controller-manager",
        &[Power::ReadSecrets, Power::CreateTokens],
    ),
];
/// Controllers of the controller manager have a cluster role and a binding each, under this and their name (`controller_policy.go` of Kubernetes 1.34 to
/// 1.36). One that is not here and may do something is told.
const CONTROLLER: &str = "system:controller:";
const CONTROLLERS: &[&str] = &[
    "attachdetach-controller",
    "certificate-controller",
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemon-set-controller",
    "deployment-controller",
    "device-taint-eviction-controller",
    "disruption-controller",
    "endpoint-controller",
    "endpointslice-controller",
    "endpointslicemirroring-controller",
    "ephemeral-volume-controller",
    "expand-controller",
    "generic-garbage-collector",
    "horizontal-pod-autoscaler",
    "job-controller",
    "legacy-service-account-token-cleaner",
    "namespace-controller",
    "node-controller",
    "persistent-volume-binder",
    "pod-garbage-collector",
    "pv-protection-controller",
    "pvc-protection-controller",
    "replicaset-controller",
    "replication-controller",
    "resource-claim-controller",
    "resourcequota-controller",
    "root-ca-cert-publisher",
    "route-controller",
    "selinux-warning-controller",
    "service-account-controller",
    "service-cidrs-controller",
    "service-controller",
    "statefulset-controller",
    "storage-version-migrator-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
    "ttl-controller",
    "validatingadmissionpolicy-status-controller",
    "volumeattributesclass-protection-controller",
];
/// Those that have a role in one namespace (`namespace_policy.go`).
const IN_NAMESPACES: &[(&str, &str)] = &[
    ("kube-public", "bootstrap-signer"),
    ("kube-system", "bootstrap-signer"),
    ("kube-system", "cloud-provider"),
    ("kube-system", "token-cleaner"),
];

/// True for the subject of a binding that Kubernetes makes; with a power, if it has that by it.
fn is_kubernetes_own(binding: &Binding, subject: &Subject, power: Option<Power>) -> bool {
    let RoleRef { kind, name: role } = &binding.role_ref;
    let (name, namespace) = (
        binding.metadata.name.as_str(),
        binding.metadata.namespace.as_deref(),
    );
    if subject.kind == "ServiceAccount" {
        let of = name.strip_prefix(CONTROLLER).unwrap_or_default();
        let is_made = match namespace {
            None => kind == "ClusterRole" && CONTROLLERS.contains(&of),
            Some(namespace) => kind == "Role" && IN_NAMESPACES.contains(&(namespace, of)),
        };
        return is_made
            && name == role
            && subject.namespace.as_deref() == Some("kube-system")
            && subject.name == of;
    }
    namespace.is_none()
        && kind == "ClusterRole"
        && OWN.iter().any(|(own, own_role, kind, who, powers)| {
            (*own, *own_role, *kind, *who)
                == (name, role.as_str(), subject.kind.as_str(), subject.name.as_str())
                && power.is_none_or(|power| powers.contains(&power))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<Rule> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_rule_grants_what_it_names_and_what_a_wildcard_covers() {
        let secrets = |rule: &str| allows(&rules(rule), Power::ReadSecrets);
        for granted in [
            r#"[{"verbs":["get"],"apiGroups":[""],"resources":["secrets"]}]"#,
            r#"[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}]"#,
            r#"[{"verbs":["patch"],"apiGroups":[""],"resources":["secrets"]}]"#,
            r#"[{"verbs":["create"],"apiGroups":[""],"resources":["secrets"]},{"verbs":["watch"],"apiGroups":["", "apps"],"resources":["pods","secrets"]}]"#,
        ] {
            assert!(secrets(granted), "{granted}");
        }
        for not in [
            r#"[{"verbs":["create","delete"],"apiGroups":[""],"resources":["secrets"]}]"#,
            r#"[{"verbs":["get"],"apiGroups":["apps"],"resources":["secrets"]}]"#,
            r#"[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]},{"verbs":["delete"],"apiGroups":[""],"resources":["secrets"]}]"#,
            r#"[{"verbs":["get"],"apiGroups":[""],"resources":["secrets"],"resourceNames":["one"]}]"#,
            r#"[{"verbs":["get"],"nonResourceURLs":["*"]}]"#,
            "[]",
        ] {
            assert!(!secrets(not), "{not}");
        }
    }

    #[test]
    fn a_subresource_is_granted_by_itself_and_by_any_resources() {
        let proxy = |resource: &str| {
            let text = format!(r#"[{{"verbs":["get"],"apiGroups":[""],"resources":["{resource}"]}}]"#);
            allows(&rules(&text), Power::ProxyNodes)
        };
        for granted in ["nodes/proxy", "*/proxy", "*"] {
            assert!(proxy(granted), "{granted}");
        }
        for not in ["nodes", "pods/proxy", "nodes/*", "*/status"] {
            assert!(!proxy(not), "{not}");
        }
    }

    #[test]
    fn to_escalate_by_one_name_is_to_escalate() {
        let escalates = |verb: &str, group: &str, resource: &str| {
            let text = format!(
                r#"[{{"verbs":["{verb}"],"apiGroups":["{group}"],"resources":["{resource}"],"resourceNames":["x"]}}]"#
            );
            allows(&rules(&text), Power::Escalate)
        };
        for (verb, group, resource) in [
            ("bind", RBAC, "clusterroles"),
            ("impersonate", "", "users"),
            ("impersonate", "authentication.k8s.io", "userextras/reason"),
            (
                "impersonate:serviceaccount",
                "authentication.k8s.io",
                "serviceaccounts",
            ),
            ("impersonate:arbitrary-node", "authentication.k8s.io", "nodes"),
            ("*", "*", "*"),
            ("*", "", "serviceaccounts"),
        ] {
            assert!(escalates(verb, group, resource), "{verb} {group} {resource}");
        }
        for (verb, group, resource) in [
            ("get", "", "users"),
            ("bind", RBAC, "rolebindings"),
            ("impersonate", "", "pods"),
            ("*", "", "nodes"),
        ] {
            assert!(!escalates(verb, group, resource), "{verb} {group} {resource}");
        }
    }

    fn binding(text: &str) -> Binding {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn only_the_genuine_subject_of_a_genuine_binding_is_kubernetes_own() {
        const ADMIN: &str = "cluster-admin";
        const JOB: &str = "system:controller:job-controller";
        let of = |name: &str, role: &str, subject: &str, power| {
            let binding = binding(&format!(
                r#"{{"metadata":{{"name":"{name}","labels":{{"kubernetes.io/bootstrapping":"rbac-defaults"}}}},"roleRef":{{"kind":"ClusterRole","name":"{role}"}},
                    "subjects":[{subject}]}}"#
            ));
            is_kubernetes_own(&binding, &binding.subjects[0], power)
        };
        let account = |name: &str, namespace: &str| {
            format!(r#"{{"kind":"ServiceAccount","name":"{name}","namespace":"{namespace}"}}"#)
        };
        let other = |kind: &str, name: &str| format!(r#"{{"kind":"{kind}","name":"{name}"}}"#);
        let pods = Some(Power::CreatePods);
        let job = account("job-controller", "kube-system");
        assert!(of(ADMIN, ADMIN, &other("Group", "system:masters"), None));
        assert!(of(ADMIN, ADMIN, &other("Group", "system:masters"), pods));
        assert!(of(JOB, JOB, &job, pods));
        let manager = "system:kube-controller-manager";
        assert!(of(
            manager,
            manager,
            &other("User", manager),
            Some(Power::ReadSecrets)
        ));
        for (name, role, subject, power) in [
            ("cluster-admins", ADMIN, other("Group", "system:masters"), None),
            (ADMIN, ADMIN, other("Group", "system:authenticated"), None),
            // Its genuine role was widened.
            (manager, manager, other("User", manager), pods),
            (
                "system:kube-scheduler",
                "system:kube-scheduler",
                other("User", "system:kube-scheduler"),
                pods,
            ),
            (JOB, ADMIN, job.clone(), pods),
            (JOB, JOB, account("job-controller", "default"), pods),
            // It is called like a controller, and none.
            (
                "system:controller:backup",
                "system:controller:backup",
                account("backup", "kube-system"),
                pods,
            ),
        ] {
            assert!(!of(name, role, &subject, power), "{name} {role} {subject}");
        }
    }

    #[test]
    fn a_binding_grants_what_its_role_of_that_scope_says() {
        let roles: Vec<Role> = serde_json::from_str(
            r#"[{"metadata":{"name":"reader"},"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["secrets"]}]},
                {"metadata":{"name":"reader","namespace":"a"},"rules":null}]"#,
        )
        .unwrap();
        let granted = |text: &str| grants(Power::ReadSecrets, &roles, &[binding(text)]).len();
        let subject = r#""subjects":[{"kind":"User","name":"x"}]"#;
        assert_eq!(
            granted(&format!(
                r#"{{"metadata":{{"name":"b","namespace":"a"}},"roleRef":{{"kind":"ClusterRole","name":"reader"}},{subject}}}"#
            )),
            1
        );
        assert_eq!(
            granted(&format!(
                r#"{{"metadata":{{"name":"b","namespace":"a"}},"roleRef":{{"kind":"Role","name":"reader"}},{subject}}}"#
            )),
            0
        );
        assert_eq!(
            granted(
                r#"{"metadata":{"name":"b"},"roleRef":{"kind":"ClusterRole","name":"gone"},"subjects":null}"#
            ),
            0
        );
    }
}
