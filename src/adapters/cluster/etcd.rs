//! The members of a stacked etcd, asked with the API server's own certificate.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::adapters::etcd::{self, Access, Etcd, EtcdError, Member};
use crate::adapters::files::Files;
use crate::domain::{Component, EtcdState, Fact, Manifest, Reason};

/// How the API server of this node reaches etcd, by its flags. `Absent` when etcd is no static pod of this node: the members of an
/// external one are no control-plane nodes.
pub(super) fn access(files: &Files, manifests: &BTreeMap<Component, Fact<Manifest>>) -> Fact<Access> {
    let absent = Fact::Absent;
    match manifests.get(&Component::Etcd).unwrap_or(&absent) {
        Fact::Known(_) => {}
        Fact::Absent => return Fact::Absent,
        Fact::Unknown(reason) => return Fact::Unknown(reason.clone()),
    }
    any_access(files, manifests).map_or_else(Fact::Unknown, Fact::Known)
}

/// How the API server of this node reaches etcd, stacked or external.
pub(super) fn any_access(
    files: &Files,
    manifests: &BTreeMap<Component, Fact<Manifest>>,
) -> Result<Access, Reason> {
    etcd::access(files, api_server(manifests)?).map_err(|error| Reason::new(error.to_string()))
}

/// The manifest of the API server, by whose flags both it and its etcd are found.
pub(super) fn api_server(manifests: &BTreeMap<Component, Fact<Manifest>>) -> Result<&Manifest, Reason> {
    match manifests.get(&Component::ApiServer) {
        Some(Fact::Known(manifest)) => Ok(manifest),
        None | Some(Fact::Absent) => Err(Reason::new(
            "there is no manifest of kube-apiserver to find it or etcd by",
        )),
        Some(Fact::Unknown(reason)) => Err(reason.clone()),
    }
}

/// How etcd is, by the first endpoint that answers for the cluster.
pub(super) async fn state(access: &Access, timeout: Duration) -> Fact<EtcdState> {
    let asked = async {
        let etcd = Etcd::connect(access, timeout).await?;
        let status = etcd.status().await?;
        let alarms = etcd.alarms().await?;
        Ok::<_, EtcdError>(EtcdState {
            has_leader: status.leader.is_some(),
            alarms: alarms.iter().map(ToString::to_string).collect(),
        })
    };
    asked
        .await
        .map_or_else(|error| Fact::unknown(error.to_string()), Fact::Known)
}

/// The names of the members; a member that has no name of its own by its id.
pub(super) async fn members(access: &Access, timeout: Duration) -> Fact<BTreeSet<String>> {
    member_list(access, timeout).await.map(names)
}

/// The hosts by which the members reach each other.
pub(super) async fn peers(access: &Access, timeout: Duration) -> Fact<BTreeSet<String>> {
    let urls = |members: Vec<Member>| members.into_iter().flat_map(|member| member.peer_urls);
    let hosts = |members| urls(members).filter_map(|url| host_of(&url).map(str::to_owned));
    member_list(access, timeout)
        .await
        .map(|members| hosts(members).collect())
}

/// By the first endpoint that answers.
async fn member_list(access: &Access, timeout: Duration) -> Fact<Vec<Member>> {
    let mut reasons = Vec::new();
    for endpoint in &access.endpoints {
        match tokio::time::timeout(timeout, ask(endpoint, access, timeout)).await {
            Ok(Ok(members)) => return Fact::Known(members),
            Ok(Err(reason)) => reasons.push(reason.to_string()),
            Err(_) => reasons.push(format!("etcd at {endpoint}: no answer within {timeout:?}")),
        }
    }
    Fact::unknown(reasons.join("; "))
}

async fn ask(endpoint: &str, access: &Access, timeout: Duration) -> Result<Vec<Member>, EtcdError> {
    Etcd::dial(endpoint, access.tls.as_ref(), timeout)
        .await?
        .members()
        .await
}

/// `192.0.2.1` of `https://192.0.2.1:2380`.
fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    Some(host.trim_matches(['[', ']']))
}

/// Names need not be unique in etcd, and two members must never count as one.
fn names(members: Vec<Member>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for Member { id, name, .. } in members {
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
