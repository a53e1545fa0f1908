//! The ConfigMap `kube-system/kubeadm-config`, from which kubeadm makes the manifests anew: read as a whole, and written only if
//! nobody else has written it since.

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;

use super::client::Call;
use super::discovery::json;
use super::look::fact;
use super::patch::{MAX_ANSWER, METADATA_ONLY};
use super::{Api, CallError};
use crate::domain::{Fact, Reason};
use crate::rewrite::{Cause, Outcome, read_answer};

const PATH: &str = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";
const WRITE_PATH: &str = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config?fieldManager=holdfast";
const KEY: &str = "ClusterConfiguration";

/// The ConfigMap as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeadmConfig {
    /// Its resource version: etcd's revision of its last write.
    pub resource_version: String,
    /// The text under the key `ClusterConfiguration`.
    pub cluster_configuration: String,
}

/// Why the ConfigMap was not written, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeadmWriteError {
    /// Nothing was written: it is not what was seen any more.
    #[error("kube-system/kubeadm-config has been written by somebody else in between; look at it again")]
    Conflict,
    /// Nothing was written: it is not there any more.
    #[error("kube-system/kubeadm-config is gone")]
    Gone,
    /// Nothing was written: the server was not reached, or has too much to do.
    #[error("kube-system/kubeadm-config was not written: {0}")]
    NotSent(Reason),
    /// Nothing was written, and will not be the next time.
    #[error("the API server does not write kube-system/kubeadm-config: {0}")]
    Refused(Cause),
    /// It may have been written or not.
    #[error("whether kube-system/kubeadm-config was written is not known; look at it again: {0}")]
    Unknown(Reason),
}

#[derive(Deserialize)]
struct ConfigMap {
    metadata: Metadata,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
}

/// The ConfigMap, from the server's own storage. `Absent` when it is not there: the cluster was not made by kubeadm. `Unknown` when
/// the server does not answer or does not tell these credentials, or it holds no `ClusterConfiguration`.
pub async fn kubeadm_config(api: &Api) -> Fact<KubeadmConfig> {
    let mut map = match fact(json::<ConfigMap>(api, PATH).await) {
        Fact::Known(map) => map,
        Fact::Absent => return Fact::Absent,
        Fact::Unknown(reason) => return Fact::Unknown(reason),
    };
    match map.data.remove(KEY) {
        Some(cluster_configuration) => Fact::Known(KubeadmConfig {
            resource_version: map.metadata.resource_version,
            cluster_configuration,
        }),
        None => Fact::Unknown(api.told(PATH, "it holds no ClusterConfiguration")),
    }
}

/// Writes the text under the key `ClusterConfiguration`, by a merge patch that holds for what was `seen` only; all else in the
/// ConfigMap stays. The server notes it under the field manager `holdfast`.
///
/// # Errors
/// When it was not written, or may not have been.
pub async fn write_kubeadm_config(
    api: &Api,
    seen: &KubeadmConfig,
    text: &str,
) -> Result<(), KubeadmWriteError> {
    let not_sent = |error: CallError| KubeadmWriteError::NotSent(api.told(PATH, &error.to_string()));
    let mut connection = api.connect().await.map_err(not_sent)?;
    let body = serde_json::json!({
        "metadata": {"resourceVersion": seen.resource_version},
        "data": {KEY: text},
    });
    let call = Call {
        method: Method::PATCH,
        path: WRITE_PATH,
        accept: METADATA_ONLY,
        body: Some(("application/merge-patch+json", body.to_string().into_bytes())),
    };
    let unknown = |what: &str| KubeadmWriteError::Unknown(api.told(PATH, what));
    let answer = api
        .call(&mut connection, call, MAX_ANSWER)
        .await
        .map_err(|error| unknown(&error.to_string()))?;
    // Only whether the answer names a revision matters, not which.
    let outcome = read_answer(answer.code, answer.retry_after, &answer.body, 0);
    // etcd may have taken a write whose request failed: the server answers 500 or 503 then.
    let failed = answer.code >= 500;
    match outcome {
        Outcome::Rewritten { .. } | Outcome::Fresh => Ok(()),
        Outcome::Conflict => Err(KubeadmWriteError::Conflict),
        Outcome::Gone => Err(KubeadmWriteError::Gone),
        Outcome::Throttled { .. }
        | Outcome::Refused {
            cause: Cause::Other { .. } | Cause::ApiUnavailable,
        } if failed => Err(unknown(&format!("it answers {}", answer.code))),
        Outcome::Throttled { .. } => {
            let why = api.told(PATH, "the server has too much to do; try later");
            Err(KubeadmWriteError::NotSent(why))
        }
        Outcome::Refused { cause } => Err(KubeadmWriteError::Refused(cause)),
        Outcome::Unknown { what } => Err(unknown(&what)),
    }
}
