//! What would be refused in the cluster if plug-ins of admission were switched on.

use std::time::Duration;

use http::Method;
use serde::Deserialize;

use super::client::Call;
use super::discovery::read;
use super::pages::{JSON, METADATA, items};
use super::patch::METADATA_ONLY;
use super::{Api, Connection};
use crate::domain::{Fact, Reason};

const SERVICES: &str = "/api/v1/services";
const NAMESPACES: &str = "/api/v1/namespaces";
const PAGE: usize = 500;
/// The metadata of a namespace.
const MAX_ANSWER: usize = 4 << 20;
/// Each is a write, though a dry one: more of them are not tried, and all of them get so much time.
const MOST_NAMESPACES: usize = 500;
const ALL: Duration = Duration::from_secs(10);
/// What the server says of pods that are not as the label wants them, or that it could not look at (pod-security-admission/admission,
/// `EvaluatePodsInNamespace`).
const WARNINGS: [&str; 3] = [
    "existing pods in namespace",
    "new PodSecurity enforce level only checked",
    "failed to list pods while checking",
];
/// What a namespace is kept to (kubernetes.io, "Pod Security Admission"), and the one that our configuration exempts.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const EXEMPT: &str = "kube-system";
const LEVEL: &str = "baseline";

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
    let trying = async {
        let mut beyond = Vec::new();
        let mut connection = None;
        for name in unlabelled {
            if is_warned_of(api, &mut connection, &name).await? {
                beyond.push(name);
            }
        }
        Ok(beyond)
    };
    match tokio::time::timeout(ALL, trying).await {
        Ok(tried) => tried.map_or_else(Fact::Unknown, Fact::Known),
        Err(_) => Fact::unknown(format!("the namespaces could not be tried within {ALL:?}")),
    }
}

/// True where the label would be set and the API server warns of pods. Other warnings count for nothing.
async fn is_warned_of(
    api: &Api,
    connection: &mut Option<Connection>,
    namespace: &str,
) -> Result<bool, Reason> {
    // What is no path segment is no name of a namespace.
    let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if namespace.is_empty() || !namespace.bytes().all(is_name) {
        return Err(api.told(NAMESPACES, "it names a namespace with a name that none can have"));
    }
    let path = format!("{NAMESPACES}/{namespace}?dryRun=All");
    let labels = serde_json::json!({ "metadata": { "labels": { ENFORCE: LEVEL } } });
    let call = Call {
        method: Method::PATCH,
        path: &path,
        accept: METADATA_ONLY,
        body: Some(("application/merge-patch+json", labels.to_string().into_bytes())),
    };
    let asked = async {
        let mut open = match connection.take().filter(Connection::is_open) {
            Some(open) => open,
            None => api.connect().await?,
        };
        let answer = api.call(&mut open, call, MAX_ANSWER).await;
        *connection = Some(open);
        answer
    };
    let answer = asked.await.map_err(|error| api.told(&path, &error.to_string()))?;
    let Some(Namespace { metadata }) = read::<Namespace>(api, &path, &answer)? else {
        // It went away meanwhile, and its pods with it.
        return Ok(false);
    };
    if metadata
        .labels
        .unwrap_or_default()
        .get(ENFORCE)
        .map(String::as_str)
        != Some(LEVEL)
    {
        return Err(api.told(
            &path,
            "the label is another one than was set: somebody changes it on the way",
        ));
    }
    let is_of_pods = |warning: &String| WARNINGS.iter().any(|start| warning.contains(start));
    Ok(answer.warnings.iter().any(is_of_pods))
}
