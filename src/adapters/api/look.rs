//! What is read from the API server beside its metrics: whether it is ready, which version it is, which API servers there are, and
//! the metadata of one object.

use serde::Deserialize;

use super::discovery::{json, json_as};
use super::patch::{METADATA_ONLY, path};
use super::{Api, Served};
use crate::domain::Fact;
use crate::rewrite::Target;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases?labelSelector=apiserver.kubernetes.io%2Fidentity%3Dkube-apiserver&limit=500";
const READYZ: &str = "/readyz?verbose";
/// One line for each of some fifty checks.
const MAX_READYZ: usize = 64 << 10;

/// Whether the API server is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// True when it answers 200.
    pub ready: bool,
    /// The checks that fail, by name.
    pub failing: Vec<String>,
}

/// The identity of one API server of the cluster (kubernetes 1.26 and newer).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The name of the lease.
    pub name: String,
    /// The server's identity: host name and a UUID.
    pub holder: String,
    /// The host name, by the label `kubernetes.io/hostname`.
    pub host: Option<String>,
    /// When it was last renewed.
    pub renewed: Option<jiff::Timestamp>,
    /// For how many seconds that is good.
    pub duration_seconds: u32,
}

/// The metadata of an object, as far as it is compared.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectMeta {
    /// Its UID.
    pub uid: String,
    /// Its resource version: etcd's revision of its last write.
    pub resource_version: String,
    /// The generation of its specification, where the resource counts it.
    pub generation: Option<i64>,
    /// When its deletion began, if it has.
    pub deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: String,
}

#[derive(Deserialize)]
struct Object {
    metadata: ObjectMeta,
}

#[derive(Deserialize)]
struct LeaseList {
    metadata: ListMeta,
    items: Vec<LeaseObject>,
}

#[derive(Deserialize)]
struct ListMeta {
    #[serde(default, rename = "continue")]
    more: String,
}

#[derive(Deserialize)]
struct LeaseObject {
    metadata: LeaseMeta,
    spec: LeaseSpec,
}

#[derive(Deserialize)]
struct LeaseMeta {
    name: String,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeaseSpec {
    holder_identity: Option<String>,
    renew_time: Option<jiff::Timestamp>,
    #[serde(default)]
    lease_duration_seconds: u32,
}

/// Whether the API server is ready. `Unknown` when it does not answer, or does not tell these credentials.
pub async fn readiness(api: &Api) -> Fact<Readiness> {
    let answer = match api.get(READYZ, "text/plain", MAX_READYZ).await {
        Ok(answer) => answer,
        Err(error) => return Fact::Unknown(api.told(READYZ, &error.to_string())),
    };
    let text = String::from_utf8_lossy(&answer.body);
    let failing = text.lines().filter_map(|line| line.strip_prefix("[-]"));
    let failing: Vec<String> = failing
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    // Only an answer in the form of the health endpoint is one: a 403 or the 503 of something else is not.
    match answer.code {
        200 => Fact::Known(Readiness { ready: true, failing }),
        _ if !failing.is_empty() => Fact::Known(Readiness {
            ready: false,
            failing,
        }),
        code => Fact::Unknown(api.told(READYZ, &format!("it answers {code}"))),
    }
}

/// The server's version, as `v1.35.4`.
pub async fn version(api: &Api) -> Fact<String> {
    fact(json::<Version>(api, "/version").await).map(|version| version.git_version)
}

/// The identities of the cluster's API servers. `Absent` when the server has no such API.
pub async fn api_server_leases(api: &Api) -> Fact<Vec<Lease>> {
    let list = match fact(json::<LeaseList>(api, LEASES).await) {
        Fact::Known(list) => list,
        Fact::Absent => return Fact::Absent,
        Fact::Unknown(reason) => return Fact::Unknown(reason),
    };
    if !list.metadata.more.is_empty() {
        return Fact::Unknown(api.told(LEASES, "it has more than 500 API servers' leases"));
    }
    let leases = list.items.into_iter().map(|lease| Lease {
        holder: lease.spec.holder_identity.unwrap_or_default(),
        host: lease.metadata.labels.get("kubernetes.io/hostname").cloned(),
        name: lease.metadata.name,
        renewed: lease.spec.renew_time,
        duration_seconds: lease.spec.lease_duration_seconds,
    });
    Fact::Known(leases.collect())
}

/// The metadata of one object, from the server's own storage.
pub async fn object_meta(api: &Api, served: &Served, target: &Target) -> Fact<ObjectMeta> {
    let Some(path) = path(served, target) else {
        return Fact::unknown(format!("{target} has no path in the API"));
    };
    fact(json_as::<Object>(api, &path, METADATA_ONLY).await).map(|object| object.metadata)
}

pub(super) fn fact<T>(answer: Result<Option<T>, crate::domain::Reason>) -> Fact<T> {
    match answer {
        Ok(Some(value)) => Fact::Known(value),
        Ok(None) => Fact::Absent,
        Err(reason) => Fact::Unknown(reason),
    }
}
