//! What would be refused in the cluster if plug-ins of admission were switched on.

use http::Method;
use serde::Deserialize;

use super::Api;
use super::client::Call;
use super::pages::{JSON, METADATA, items};
use super::patch::METADATA_ONLY;
use crate::domain::{Fact, Reason};

const SERVICES: &str = "/api/v1/services";
const NAMESPACES: &str = "/api/v1/namespaces";
const PAGE: usize = 500;
/// The metadata of a namespace.
const MAX_ANSWER: usize = 4 << 20;
/// Each is a write, though a dry one: more of them are not tried.
const MOST_NAMESPACES: usize = 500;
/// What a namespace is kept to (kubernetes.io, "Pod Security Admission"), and the one that our configuration exempts.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const EXEMPT: &str = "kube-system";

#[derive(Deserialize)]
struct Service {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    external_i_ps: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Namespace {
    metadata: Meta,
}

#[derive(Deserialize)]
struct Meta {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    labels: Option<std::collections::BTreeMap<String, String>>,
}

/// The Services that have `spec.externalIPs`, as `NAMESPACE/NAME`.
pub async fn services_with_external_ips(api: &Api) -> Fact<Vec<String>> {
    match items::<Service>(api, SERVICES, PAGE, JSON).await {
        Ok(Some(services)) => Fact::Known(
            services
                .into_iter()
                .filter(|service| service.spec.external_i_ps.iter().flatten().next().is_some())
                .map(|service| {
                    let namespace = service.metadata.namespace.unwrap_or_default();
                    format!("{namespace}/{}", service.metadata.name)
                })
                .collect(),
        ),
        Ok(None) => Fact::unknown(format!("the API server does not serve {SERVICES}")),
        Err(why) => Fact::Unknown(why),
    }
}

/// The namespaces without a Pod Security label, kube-system apart, that hold pods which the standard baseline refuses. The API server says
/// so itself: the label is set in a dry run, and its answer warns (pod-security-admission, `EvaluatePodsInNamespace`).
pub async fn namespaces_beyond_baseline(api: &Api) -> Fact<Vec<String>> {
    let namespaces = match items::<Namespace>(api, NAMESPACES, PAGE, METADATA).await {
        Ok(Some(namespaces)) => namespaces,
        Ok(None) => return Fact::unknown(format!("the API server does not serve {NAMESPACES}")),
        Err(why) => return Fact::Unknown(why),
    };
    let unlabelled: Vec<String> = namespaces
        .into_iter()
        .map(|namespace| namespace.metadata)
        .filter(|meta| meta.name != EXEMPT && !meta.labels.iter().flatten().any(|(key, _)| key == ENFORCE))
        .map(|meta| meta.name)
        .collect();
    if unlabelled.len() > MOST_NAMESPACES {
        return Fact::unknown(format!(
            "{} namespaces have no label {ENFORCE}, and more than {MOST_NAMESPACES} are not tried",
            unlabelled.len()
        ));
    }
    let mut beyond = Vec::new();
    for name in unlabelled {
        match is_warned_of(api, &name).await {
            Ok(true) => beyond.push(name),
            Ok(false) => {}
            Err(why) => return Fact::Unknown(why),
        }
    }
    Fact::Known(beyond)
}

async fn is_warned_of(api: &Api, namespace: &str) -> Result<bool, Reason> {
    // What is no path segment is no name of a namespace.
    let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if namespace.is_empty() || !namespace.bytes().all(is_name) {
        return Err(api.told(NAMESPACES, "it names a namespace with a name that none can have"));
    }
    let path = format!("{NAMESPACES}/{namespace}?dryRun=All");
    let labels = serde_json::json!({ "metadata": { "labels": { ENFORCE: "baseline" } } });
    let call = Call {
        method: Method::PATCH,
        path: &path,
        accept: METADATA_ONLY,
        body: Some(("application/merge-patch+json", labels.to_string().into_bytes())),
    };
    let asked = async {
        let mut connection = api.connect().await?;
        api.call(&mut connection, call, MAX_ANSWER).await
    };
    let answer = asked.await.map_err(|error| api.told(&path, &error.to_string()))?;
    match answer.code {
        200 => Ok(answer.warns),
        // It went away meanwhile, and its pods with it.
        404 => Ok(false),
        code => Err(api.told(&path, &format!("it answers {code}"))),
    }
}
