//! What RBAC grants to those who do not sign in.

use serde::Deserialize;

use super::Api;
use super::pages::{JSON, items};
use crate::domain::Fact;

/// Where bindings are, and how they are called.
const BINDINGS: [(&str, &str); 2] = [
    (
        "ClusterRoleBinding",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    ),
    ("RoleBinding", "/apis/rbac.authorization.k8s.io/v1/rolebindings"),
];
const PAGE: usize = 500;
/// What Kubernetes and kubeadm grant: versions and health to everybody, and cluster-info to nodes that join (plugin/pkg/auth/authorizer/rbac
/// `bootstrappolicy`; kubeadm `phases/bootstraptoken/clusterinfo`).
const DEFAULTS: [&str; 2] = [
    "ClusterRoleBinding system:public-info-viewer",
    "RoleBinding kube-public/kubeadm:bootstrap-signer-clusterinfo",
];

#[derive(Deserialize)]
struct Binding {
    metadata: Meta,
    #[serde(default)]
    subjects: Option<Vec<Subject>>,
}

#[derive(Deserialize)]
struct Meta {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct Subject {
    kind: String,
    name: String,
}

impl Binding {
    fn is_for_the_anonymous(&self) -> bool {
        self.subjects.iter().flatten().any(|subject| {
            matches!(
                (subject.kind.as_str(), subject.name.as_str()),
                ("User", "system:anonymous") | ("Group", "system:unauthenticated")
            )
        })
    }

    fn name(&self, kind: &str) -> String {
        match &self.metadata.namespace {
            Some(namespace) => format!("{kind} {namespace}/{}", self.metadata.name),
            None => format!("{kind} {}", self.metadata.name),
        }
    }
}

/// The bindings that grant something to the anonymous beyond what Kubernetes and kubeadm do.
pub async fn grants_to_the_anonymous(api: &Api) -> Fact<Vec<String>> {
    let mut found = Vec::new();
    for (kind, path) in BINDINGS {
        let bindings = match items::<Binding>(api, path, PAGE, JSON).await {
            Ok(Some(bindings)) => bindings,
            // Without RBAC there are no bindings, and another authorizer decides.
            Ok(None) => return Fact::unknown("the API server has no RBAC"),
            Err(why) => return Fact::Unknown(why),
        };
        let names = bindings.iter().filter(|binding| binding.is_for_the_anonymous());
        found.extend(names.map(|binding| binding.name(kind)));
    }
    found.retain(|name| !DEFAULTS.contains(&name.as_str()));
    Fact::Known(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_for_the_anonymous_by_user_and_by_group() {
        let of = |text: &str| serde_json::from_str::<Binding>(text).unwrap();
        let with = |kind: &str, name: &str| {
            of(&format!(
                r#"{{"metadata":{{"name":"b","namespace":"n"}},"subjects":[{{"kind":"ServiceAccount","name":"x"}},{{"kind":"{kind}","name":"{name}"}}]}}"#
            ))
        };
        assert!(with("User", "system:anonymous").is_for_the_anonymous());
        assert!(with("Group", "system:unauthenticated").is_for_the_anonymous());
        assert!(!with("Group", "system:authenticated").is_for_the_anonymous());
        assert!(!with("Group", "system:anonymous").is_for_the_anonymous());
        assert_eq!(with("User", "a").name("RoleBinding"), "RoleBinding n/b");
        for none in [
            r#"{"metadata":{"name":"b"}}"#,
            r#"{"metadata":{"name":"b"},"subjects":null}"#,
        ] {
            assert!(!of(none).is_for_the_anonymous());
        }
    }
}
