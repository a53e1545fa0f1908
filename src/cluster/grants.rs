//! Who may do what by RBAC.

use super::Power;
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

const READ: &[&str] = &["get", "list", "watch"];
const CREATE: &[&str] = &["create"];
const BE: &[&str] = &["impersonate"];
const IDENTITY: &str = "authentication.k8s.io";
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
            Self::Escalate => {
                const {
                    &[
                        even_by_name(asked(&["bind", "escalate"], RBAC, &["roles", "clusterroles"])),
                        even_by_name(asked(BE, "", &["users", "groups", "serviceaccounts"])),
                        even_by_name(asked(BE, IDENTITY, &["uids", "userextras/scopes"])),
                    ]
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
    let granting = bindings
        .iter()
        .filter(|binding| rules_of(binding, roles).is_some_and(|rules| allows(rules, power)));
    foreign(granting)
}

/// To whom these bindings grant something, Kubernetes' own left out.
#[must_use]
pub fn foreign<'b>(bindings: impl Iterator<Item = &'b Binding>) -> Vec<Grant> {
    let of = |binding: &'b Binding| {
        let subjects = binding.subjects.iter();
        let foreign = subjects.filter(|subject| !is_kubernetes_own(binding, subject));
        foreign.map(|subject| Grant {
            binding: named(binding),
            role: format!("{} {}", binding.role_ref.kind, binding.role_ref.name),
            subject: subject.clone(),
        })
    };
    let mut grants: Vec<Grant> = bindings.flat_map(of).collect();
    grants.sort();
    grants
}

/// `ClusterRoleBinding NAME` or `RoleBinding NAMESPACE/NAME`.
#[must_use]
pub fn named(binding: &Binding) -> String {
    let kind = match &binding.metadata.namespace {
        Some(_) => "RoleBinding",
        None => "ClusterRoleBinding",
    };
    format!("{kind} {}", binding.metadata.full_name())
}

/// The rules of the role that a binding refers to; none where the role is not there.
fn rules_of<'r>(binding: &Binding, roles: &'r [Role]) -> Option<&'r [Rule]> {
    let RoleRef { kind, name } = &binding.role_ref;
    let namespace = if kind == "Role" {
        binding.metadata.namespace.as_deref()
    } else {
        None
    };
    roles
        .iter()
        .find(|role| role.metadata.name == *name && role.metadata.namespace.as_deref() == namespace)
        .map(|role| role.rules.as_slice())
}

/// Bindings that Kubernetes and kubeadm make for their own components, with the role and the only subject that they have then (plugin/pkg/auth/authorizer/rbac
/// `bootstrappolicy`; kubeadm `phases/kubeconfig`). Labels are no proof: anybody who may write a binding may write them.
const OWN: &[(&str, &str, &str, &str)] = &[
    ("cluster-admin", "cluster-admin", "Group", "system:masters"),
    (
        "kubeadm:cluster-admins",
        "cluster-admin",
        "Group",
        "kubeadm:cluster-admins",
    ),
    (
        "system:kube-controller-manager",
        "system:kube-controller-manager",
        "User",
        "system:kube-controller-manager",
    ),
    (
        "system:kube-scheduler",
        "system:kube-scheduler",
        "User",
        "system:kube-scheduler",
    ),
    (
        "system:volume-scheduler",
        "system:volume-scheduler",
        "User",
        "system:kube-scheduler",
    ),
];
/// Controllers of the controller manager have a binding each, by their name.
const CONTROLLER: &str = "system:controller:";

fn is_kubernetes_own(binding: &Binding, subject: &Subject) -> bool {
    let (name, role) = (binding.metadata.name.as_str(), binding.role_ref.name.as_str());
    if subject.kind == "ServiceAccount" {
        return name == role
            && subject.namespace.as_deref() == Some("kube-system")
            && name.strip_prefix(CONTROLLER) == Some(subject.name.as_str());
    }
    binding.metadata.namespace.is_none()
        && OWN.contains(&(name, role, subject.kind.as_str(), subject.name.as_str()))
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
            r#"[{"verbs":["create"],"apiGroups":[""],"resources":["secrets"]},{"verbs":["watch"],"apiGroups":["", "apps"],"resources":["pods","secrets"]}]"#,
        ] {
            assert!(secrets(granted), "{granted}");
        }
        for not in [
            r#"[{"verbs":["create","patch"],"apiGroups":[""],"resources":["secrets"]}]"#,
            r#"[{"verbs":["get"],"apiGroups":["apps"],"resources":["secrets"]}]"#,
            r#"[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]},{"verbs":["patch"],"apiGroups":[""],"resources":["secrets"]}]"#,
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
        let bind = r#"[{"verbs":["bind"],"apiGroups":["rbac.authorization.k8s.io"],"resources":["clusterroles"],"resourceNames":["cluster-admin"]}]"#;
        assert!(allows(&rules(bind), Power::Escalate));
        let user =
            r#"[{"verbs":["impersonate"],"apiGroups":[""],"resources":["users"],"resourceNames":["root"]}]"#;
        assert!(allows(&rules(user), Power::Escalate));
    }

    fn binding(text: &str) -> Binding {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn only_the_genuine_subject_of_a_genuine_binding_is_kubernetes_own() {
        let of = |name: &str, role: &str, subject: &str| {
            let binding = binding(&format!(
                r#"{{"metadata":{{"name":"{name}","labels":{{"kubernetes.io/bootstrapping":"rbac-defaults"}}}},"roleRef":{{"kind":"ClusterRole","name":"{role}"}},
                    "subjects":[{subject}]}}"#
            ));
            foreign([&binding].into_iter()).is_empty()
        };
        let masters = r#"{"kind":"Group","name":"system:masters"}"#;
        let job = r#"{"kind":"ServiceAccount","name":"job-controller","namespace":"kube-system"}"#;
        assert!(of("cluster-admin", "cluster-admin", masters));
        assert!(of(
            "system:controller:job-controller",
            "system:controller:job-controller",
            job
        ));
        assert!(!of("cluster-admins", "cluster-admin", masters));
        assert!(!of(
            "system:kube-scheduler",
            "cluster-admin",
            r#"{"kind":"User","name":"system:kube-scheduler"}"#
        ));
        assert!(!of("system:controller:job-controller", "cluster-admin", job));
        assert!(!of(
            "system:controller:job-controller",
            "system:controller:job-controller",
            r#"{"kind":"ServiceAccount","name":"job-controller","namespace":"default"}"#
        ));
        assert!(!of(
            "cluster-admin",
            "cluster-admin",
            r#"{"kind":"Group","name":"system:authenticated"}"#
        ));
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
