//! The objects that controls of the whole cluster are about. Of Secrets only the metadata is asked for, and the API sends no more.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Api;
use super::discovery::json;
use super::pages::{JSON, METADATA, items};
use crate::cluster::{Binding, ClusterObjects, Judge, Meta, Role, WebhookRule};
use crate::domain::Fact;

/// Objects of a page: some 1 KB each, and pods up to some 30.
const PAGE: usize = 500;
const PODS: usize = 100;
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// An object of which only the metadata counts.
#[derive(Deserialize)]
struct Bare {
    metadata: Meta,
}

#[derive(Deserialize)]
struct ConfigMap {
    #[serde(default)]
    data: std::collections::BTreeMap<String, String>,
}

/// All of them, each with the reason where it could not be had.
pub async fn cluster_objects(api: &Api) -> ClusterObjects {
    ClusterObjects {
        roles: both::<Role>(api, "clusterroles", "roles").await,
        bindings: both::<Binding>(api, "clusterrolebindings", "rolebindings").await,
        service_accounts: list(api, "/api/v1/serviceaccounts", PAGE).await,
        namespaces: list(api, "/api/v1/namespaces", PAGE).await,
        policies: list(api, "/apis/networking.k8s.io/v1/networkpolicies", PAGE).await,
        pods: list(api, "/api/v1/pods", PODS).await,
        default_services: names(api, "/api/v1/namespaces/default/services").await,
        judges: judges(api).await,
        stored_tokens: names(
            api,
            "/api/v1/secrets?fieldSelector=type%3Dkubernetes.io%2Fservice-account-token",
        )
        .await,
        kube_proxy: kube_proxy(api).await,
    }
}

async fn list<T: DeserializeOwned>(api: &Api, path: &str, page: usize) -> Fact<Vec<T>> {
    match items(api, path, page, JSON).await {
        Ok(Some(found)) => Fact::Known(found),
        Ok(None) => Fact::Absent,
        Err(why) => Fact::Unknown(why),
    }
}

async fn both<T: DeserializeOwned>(api: &Api, of_cluster: &str, of_namespaces: &str) -> Fact<Vec<T>> {
    match list(api, &format!("{RBAC}/{of_cluster}"), PAGE).await {
        Fact::Known(mut found) => list(api, &format!("{RBAC}/{of_namespaces}"), PAGE)
            .await
            .map(|more| {
                found.extend(more);
                found
            }),
        other @ (Fact::Absent | Fact::Unknown(_)) => other,
    }
}

const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";

#[derive(Deserialize, Default)]
#[serde(default)]
struct Webhooks {
    metadata: Meta,
    webhooks: Vec<Webhook>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Webhook {
    rules: Vec<WebhookRule>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Policy {
    metadata: Meta,
    spec: PolicySpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PolicySpec {
    match_constraints: Constraints,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Constraints {
    resource_rules: Vec<WebhookRule>,
}

/// Validating webhooks and admission policies; a server without the latter has none.
async fn judges(api: &Api) -> Fact<Vec<Judge>> {
    let path = format!("{ADMISSION}/validatingwebhookconfigurations");
    let mut judges: Vec<Judge> = match list::<Webhooks>(api, &path, PAGE).await {
        Fact::Known(found) => found.into_iter().map(of_webhooks).collect(),
        Fact::Absent => Vec::new(),
        Fact::Unknown(why) => return Fact::Unknown(why),
    };
    let path = format!("{ADMISSION}/validatingadmissionpolicies");
    match list::<Policy>(api, &path, PAGE).await {
        Fact::Known(found) => judges.extend(found.into_iter().map(|policy| Judge {
            name: format!("ValidatingAdmissionPolicy {}", policy.metadata.name),
            rules: policy.spec.match_constraints.resource_rules,
        })),
        Fact::Absent => {}
        Fact::Unknown(why) => return Fact::Unknown(why),
    }
    Fact::Known(judges)
}

fn of_webhooks(found: Webhooks) -> Judge {
    Judge {
        name: format!("ValidatingWebhookConfiguration {}", found.metadata.name),
        rules: found
            .webhooks
            .into_iter()
            .flat_map(|webhook| webhook.rules)
            .collect(),
    }
}

async fn names(api: &Api, path: &str) -> Fact<Vec<Meta>> {
    match items::<Bare>(api, path, PAGE, METADATA).await {
        Ok(Some(found)) => Fact::Known(found.into_iter().map(|one| one.metadata).collect()),
        Ok(None) => Fact::Absent,
        Err(why) => Fact::Unknown(why),
    }
}

/// kube-proxy's configuration, as kubeadm keeps it.
async fn kube_proxy(api: &Api) -> Fact<serde_json::Value> {
    config_map(api, "kube-proxy", "config.conf").await
}

/// The kubelets' configuration, from which kubeadm writes each one's. `Absent` where kubeadm did not make the cluster.
pub async fn kubelet_configuration(api: &Api) -> Fact<serde_json::Value> {
    config_map(api, "kubelet-config", "kubelet").await
}

/// What a ConfigMap of kube-system holds under a key.
async fn config_map(api: &Api, name: &str, key: &str) -> Fact<serde_json::Value> {
    let path = format!("/api/v1/namespaces/kube-system/configmaps/{name}");
    let map = match json::<ConfigMap>(api, &path).await {
        Ok(Some(map)) => map,
        Ok(None) => return Fact::Absent,
        Err(why) => return Fact::Unknown(why),
    };
    let Some(text) = map.data.get(key) else {
        return Fact::Unknown(api.told(&path, &format!("it has no {key}")));
    };
    match serde_yaml::from_str(text) {
        Ok(config) => Fact::Known(config),
        Err(_) => Fact::Unknown(api.told(&path, &format!("its {key} is not YAML"))),
    }
}
