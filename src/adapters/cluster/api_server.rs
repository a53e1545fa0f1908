//! The control-plane nodes as the API has them, asked with kubeadm's `admin.conf`, or with the kubeconfig that the operator names.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::ListParams;
use kube::{Api, Client, Config};
use zeroize::Zeroizing;

use super::{kubeadm_config, with_causes};
use crate::adapters::api::{Address, kubeconfig};
use crate::adapters::files::Files;
use crate::domain::{Fact, Layout, NodePath, Reason};

/// kubeadm's kubeconfigs: the second is used where the first is missing or may not list nodes.
const KUBECONFIGS: [&str; 2] = ["admin.conf", "super-admin.conf"];

/// What the API says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ApiAnswers {
    /// The nodes with the label `node-role.kubernetes.io/control-plane`.
    pub(super) nodes: Fact<BTreeSet<String>>,
    /// The API servers that kubeadm-config lists.
    pub(super) endpoints: Fact<BTreeSet<String>>,
}

/// Why the API gave no answer.
enum NoAnswer {
    /// These credentials are no good; others may be.
    Credentials(Reason),
    /// No credentials would help.
    Api(Reason),
}

/// The answers by the first kubeconfig that is there and accepted. `Absent` when there is none.
pub(super) async fn ask(files: &Files, layout: &Layout, timeout: Duration) -> ApiAnswers {
    let mut reasons = Vec::new();
    for name in KUBECONFIGS {
        let path = match layout.kubernetes.join(name) {
            Ok(path) => path,
            Err(error) => return unknown(Reason::new(error.to_string())),
        };
        let text = match files.read(&path, kubeconfig::MAX_BYTES) {
            Fact::Known(content) => Zeroizing::new(content.bytes),
            Fact::Absent => continue,
            Fact::Unknown(reason) => {
                reasons.push(reason.to_string());
                continue;
            }
        };
        match ask_with(&path, &text, timeout).await {
            Ok(answers) => return answers,
            Err(NoAnswer::Credentials(reason)) => reasons.push(reason.to_string()),
            Err(NoAnswer::Api(reason)) => return unknown(reason),
        }
    }
    if reasons.is_empty() {
        return ApiAnswers {
            nodes: Fact::Absent,
            endpoints: Fact::Absent,
        };
    }
    unknown(Reason::new(reasons.join("; ")))
}

/// The answers of the node's own API server to the kubeconfig that the operator names, whatever server stands in it; no other
/// kubeconfig is tried then.
pub(super) async fn ask_own(
    files: &Files,
    path: &NodePath,
    address: &Result<Address, Reason>,
    timeout: Duration,
) -> ApiAnswers {
    let asked = async {
        let address = address.as_ref().map_err(Clone::clone)?;
        let text = kubeconfig::own_text(files, path)?;
        let config = kubeconfig::config(path, &text).await?;
        let config = at(config, address).map_err(|error| Reason::new(format!("{path}: {error}")))?;
        match ask_by(config, path, timeout).await {
            Ok(answers) => Ok(answers),
            Err(NoAnswer::Credentials(reason) | NoAnswer::Api(reason)) => Err(reason),
        }
    };
    asked.await.unwrap_or_else(unknown)
}

/// A configuration that dials that address, and expects the name that the kubeconfig or else the address has.
fn at(mut config: Config, address: &Address) -> Result<Config, http::Error> {
    config.cluster_url = http::Uri::builder()
        .scheme("https")
        .authority(SocketAddr::new(address.ip, address.port).to_string())
        .path_and_query("/")
        .build()?;
    config.tls_server_name.get_or_insert_with(|| address.name.clone());
    Ok(config)
}

fn unknown(reason: Reason) -> ApiAnswers {
    ApiAnswers {
        nodes: Fact::Unknown(reason.clone()),
        endpoints: Fact::Unknown(reason),
    }
}

async fn ask_with(path: &NodePath, text: &[u8], timeout: Duration) -> Result<ApiAnswers, NoAnswer> {
    let config = kubeconfig::config(path, text)
        .await
        .map_err(NoAnswer::Credentials)?;
    ask_by(config, path, timeout).await
}

async fn ask_by(config: Config, path: &NodePath, timeout: Duration) -> Result<ApiAnswers, NoAnswer> {
    let url = config.cluster_url.to_string();
    let told = |what: &str| Reason::new(format!("the API at {url}, asked with {path}: {what}"));
    let late = || told(&format!("no answer within {timeout:?}"));
    // The error is not told: it may quote the key.
    let client = Client::try_from(config).map_err(|_| {
        NoAnswer::Credentials(told(
            "the certificate or key that it embeds is not the base64 of a PEM file",
        ))
    })?;

    let labelled = ListParams::default()
        .labels("node-role.kubernetes.io/control-plane")
        .limit(500);
    let api = Api::<Node>::all(client.clone());
    let nodes = tokio::time::timeout(timeout, api.list_metadata(&labelled))
        .await
        .map_err(|_| NoAnswer::Api(late()))?
        .map_err(|error| no_answer(&error, told(&with_causes(&error))))?;

    let api = Api::<ConfigMap>::namespaced(client, "kube-system");
    let endpoints = match tokio::time::timeout(timeout, api.get_opt("kubeadm-config")).await {
        Ok(Ok(Some(map))) => kubeadm_config::api_endpoints(&map.data.unwrap_or_default()),
        Ok(Ok(None)) => Fact::Absent,
        Ok(Err(error)) => Fact::Unknown(told(&with_causes(&error))),
        Err(_) => Fact::Unknown(late()),
    };
    let names = nodes.items.into_iter().filter_map(|node| node.metadata.name);
    Ok(ApiAnswers {
        nodes: Fact::Known(names.collect()),
        endpoints,
    })
}

fn no_answer(error: &kube::Error, reason: Reason) -> NoAnswer {
    if let kube::Error::Api(status) = error
        && matches!(status.code, 401 | 403)
    {
        return NoAnswer::Credentials(reason);
    }
    NoAnswer::Api(reason)
}

#[cfg(test)]
mod tests;
