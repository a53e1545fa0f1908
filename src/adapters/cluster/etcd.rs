//! The members of a stacked etcd, asked over gRPC with the API server's own certificate.
//!
//! The messages are those of etcd's `api/etcdserverpb/rpc.proto` (3.4 to 3.7), as far as they are needed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic_prost::ProstCodec;
use zeroize::Zeroizing;

use super::with_causes;
use crate::adapters::files::Files;
use crate::domain::{Component, Fact, FlagName, Manifest, NodePath, Reason};
use crate::manifest::{self, CommandLine, Mounted};

/// No certificate or key is larger.
const MAX_PEM_BYTES: usize = 256 << 10;

/// Where etcd is, and what opens it.
pub(super) struct Access {
    endpoints: Vec<String>,
    tls: Option<Tls>,
}

struct Tls {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct MemberListRequest {
    #[prost(bool, tag = "1")]
    linearizable: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct MemberListResponse {
    #[prost(message, repeated, tag = "2")]
    members: Vec<Member>,
}

/// A voting member or a learner: both are nodes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Member {
    #[prost(uint64, tag = "1")]
    id: u64,
    /// Empty until it has started.
    #[prost(string, tag = "2")]
    name: String,
}

/// How the API server of this node reaches etcd, by its flags. `Absent` when etcd is no static pod of this node.
pub(super) fn access(files: &Files, manifests: &BTreeMap<Component, Fact<Manifest>>) -> Fact<Access> {
    let absent = Fact::Absent;
    match manifests.get(&Component::Etcd).unwrap_or(&absent) {
        Fact::Known(_) => {}
        Fact::Absent => return Fact::Absent,
        Fact::Unknown(reason) => return Fact::Unknown(reason.clone()),
    }
    let api_server = match manifests.get(&Component::ApiServer).unwrap_or(&absent) {
        Fact::Known(manifest) => manifest,
        Fact::Absent => return Fact::unknown("there is no manifest of kube-apiserver to find etcd by"),
        Fact::Unknown(reason) => return Fact::Unknown(reason.clone()),
    };
    match by_flags(files, api_server) {
        Ok(access) => Fact::Known(access),
        Err(reason) => Fact::Unknown(reason),
    }
}

fn by_flags(files: &Files, api_server: &Manifest) -> Result<Access, Reason> {
    let line = manifest::command_line(Component::ApiServer, &api_server.pod)
        .map_err(|error| Reason::new(error.to_string()))?;
    let endpoints = line.list(&flag("etcd-servers")?).unwrap_or_default();
    if endpoints.is_empty() {
        return Err(Reason::new(
            "kube-apiserver has no --etcd-servers to find etcd by",
        ));
    }
    let tls = if endpoints.iter().any(|endpoint| endpoint.starts_with("https://")) {
        let read = |name: &str| read_pem(files, api_server, &line, name);
        Some(Tls {
            authority: read("etcd-cafile")?,
            certificate: read("etcd-certfile")?,
            key: Zeroizing::new(read("etcd-keyfile")?),
        })
    } else {
        None
    };
    Ok(Access { endpoints, tls })
}

/// The file that a flag names, read from where the container gets it.
fn read_pem(files: &Files, api_server: &Manifest, line: &CommandLine, name: &str) -> Result<Vec<u8>, Reason> {
    let flag = flag(name)?;
    let value = line
        .scalar(&flag)
        .ok_or_else(|| Reason::new(format!("kube-apiserver has no {flag} to ask etcd with")))?;
    let path: NodePath = value
        .parse()
        .map_err(|error| Reason::new(format!("{flag}: {error}")))?;
    let container = api_server
        .pod
        .containers
        .get(line.container())
        .ok_or_else(|| Reason::new("kube-apiserver has no container"))?;
    let path = match manifest::mounted_from(&api_server.pod, container, &path) {
        Mounted::From(path) => path,
        Mounted::NotMounted => {
            return Err(Reason::new(format!("{flag} names {path}, which is not mounted")));
        }
        Mounted::Unclear(why) => return Err(Reason::new(format!("{flag} names {path}: {why}"))),
    };
    match files.read(&path, MAX_PEM_BYTES) {
        Fact::Known(content) => Ok(content.bytes),
        Fact::Absent => Err(Reason::new(format!("{path}, by {flag}, is not there"))),
        Fact::Unknown(reason) => Err(reason),
    }
}

fn flag(name: &str) -> Result<FlagName, Reason> {
    name.parse()
        .map_err(|error: crate::domain::InvalidFlagName| Reason::new(error.to_string()))
}

/// The names of the members, by the first endpoint that answers; a member that has no name of its own by its id.
pub(super) async fn members(access: &Access, timeout: Duration) -> Fact<BTreeSet<String>> {
    let mut reasons = Vec::new();
    for endpoint in &access.endpoints {
        match tokio::time::timeout(timeout, ask(endpoint, access.tls.as_ref())).await {
            Ok(Ok(members)) => return Fact::Known(names(members)),
            Ok(Err(reason)) => reasons.push(reason),
            Err(_) => reasons.push(format!("etcd at {endpoint}: no answer within {timeout:?}")),
        }
    }
    Fact::unknown(reasons.join("; "))
}

async fn ask(endpoint: &str, tls: Option<&Tls>) -> Result<Vec<Member>, String> {
    let told = |error: &dyn std::error::Error| format!("etcd at {endpoint}: {}", with_causes(error));
    let mut target = Channel::from_shared(endpoint.to_owned()).map_err(|error| told(&error))?;
    if let Some(tls) = tls.filter(|_| endpoint.starts_with("https://")) {
        let config = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&tls.authority))
            .identity(Identity::from_pem(&tls.certificate, tls.key.as_slice()));
        target = target.tls_config(config).map_err(|error| told(&error))?;
    }
    let channel = target.connect().await.map_err(|error| told(&error))?;
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| told(&error))?;
    // A member that lags behind would not know the newest one, so the answer must come from the quorum.
    let request = tonic::Request::new(MemberListRequest { linearizable: true });
    let codec = ProstCodec::<MemberListRequest, MemberListResponse>::default();
    let path = PathAndQuery::from_static("/etcdserverpb.Cluster/MemberList");
    let answer = client.unary(request, path, codec).await;
    answer
        .map(|answer| answer.into_inner().members)
        .map_err(|status| format!("etcd at {endpoint}: {}", status.message()))
}

/// Names need not be unique in etcd, and two members must never count as one.
fn names(members: Vec<Member>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for Member { id, name } in members {
        if name.is_empty() || names.contains(&name) {
            names.insert(format!("{name}({id:x})"));
        } else {
            names.insert(name);
        }
    }
    names
}

#[cfg(test)]
mod tests;
