//! The control-plane nodes as the API has them, asked with kubeadm's `admin.conf`.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::ListParams;
use kube::{Api, Client};
use zeroize::Zeroizing;

use super::{kubeadm_config, with_causes};
use crate::adapters::api::kubeconfig;
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
