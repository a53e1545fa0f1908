//! The kubelets of all nodes, dialled as the API server dials them: whether each serves a certificate that an authority has signed for the
//! address that it is dialled at.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Api;
use super::pages::{JSON, items};
use crate::domain::{Fact, Kubelets, Reason};

/// A page of nodes: each may have some 50 KB of images.
const PAGE: usize = 50;
/// So many are dialled at once.
const AT_ONCE: usize = 16;

/// A node, as far as it is dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    node: String,
    host: String,
    port: u16,
}

#[derive(Deserialize)]
struct NodeObject {
    metadata: NodeMeta,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Deserialize)]
struct NodeMeta {
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NodeStatus {
    addresses: Vec<NodeAddress>,
    daemon_endpoints: DaemonEndpoints,
}

#[derive(Deserialize)]
struct NodeAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DaemonEndpoints {
    kubelet_endpoint: Endpoint,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "Port")]
    port: u16,
}

/// Every node by its name, with why its kubelet cannot be verified, if it cannot. `preferred` is the order of address types that the API
/// server dials by (`--kubelet-preferred-address-types`); `authority` the PEM of who must have signed.
pub async fn verified_kubelets(
    api: &Api,
    authority: &[u8],
    preferred: &[String],
    timeout: Duration,
) -> Fact<Kubelets> {
    let config = match client_config(authority) {
        Ok(config) => Arc::new(config),
        Err(why) => return Fact::Unknown(why),
    };
    let nodes = match items::<NodeObject>(api, "/api/v1/nodes", PAGE, JSON).await {
        Ok(Some(nodes)) => nodes,
        Ok(None) => return Fact::unknown("the API server has no nodes"),
        Err(why) => return Fact::Unknown(why),
    };
    let mut found = Kubelets::new();
    dial_all(nodes, &config, preferred, timeout, &mut found).await;
    Fact::Known(found)
}

fn client_config(authority: &[u8]) -> Result<ClientConfig, Reason> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority) {
        let certificate = certificate.map_err(|_| Reason::new("the authority is no PEM"))?;
        roots
            .add(certificate)
            .map_err(|_| Reason::new("the authority is no certificate that can be trusted"))?;
    }
    if roots.is_empty() {
        return Err(Reason::new("the authority's file holds no certificate"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Reason::new(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

async fn dial_all(
    nodes: Vec<NodeObject>,
    config: &Arc<ClientConfig>,
    preferred: &[String],
    timeout: Duration,
    found: &mut Kubelets,
) {
    let mut dialling = JoinSet::new();
    for node in nodes {
        let place = match place(&node, preferred) {
            Ok(place) => place,
            Err(why) => {
                found.insert(node.metadata.name, Err(why));
                continue;
            }
        };
        if dialling.len() >= AT_ONCE {
            take(dialling.join_next().await, found);
        }
        let config = Arc::clone(config);
        dialling.spawn(async move {
            let result = match tokio::time::timeout(timeout, dial(&place, config)).await {
                Ok(result) => result,
                Err(_) => Err(format!("no answer within {timeout:?}")),
            };
            let told = |why: String| Reason::new(format!("{}:{}: {why}", place.host, place.port));
            (place.node.clone(), result.map_err(told))
        });
    }
    while let Some(dialled) = dialling.join_next().await {
        take(Some(dialled), found);
    }
}

type Dialled = Option<Result<(String, Result<(), Reason>), tokio::task::JoinError>>;

/// A task that did not come to its end has told no node, which is then not among the verified.
fn take(dialled: Dialled, found: &mut Kubelets) {
    match dialled {
        Some(Ok((node, result))) => {
            found.insert(node, result);
        }
        Some(Err(error)) => {
            let why = Reason::new(format!("it could not be dialled: {error}"));
            found.insert("a node".to_owned(), Err(why));
        }
        None => {}
    }
}

/// Where the API server would dial the kubelet of a node (kubernetes pkg/util/node `GetPreferredNodeAddress`).
fn place(node: &NodeObject, preferred: &[String]) -> Result<Place, Reason> {
    let of = |kind: &String| node.status.addresses.iter().find(|address| address.kind == *kind);
    let Some(address) = preferred.iter().find_map(of) else {
        return Err(Reason::new("it has no address that the API server would dial"));
    };
    Ok(Place {
        node: node.metadata.name.clone(),
        host: address.address.clone(),
        port: match node.status.daemon_endpoints.kubelet_endpoint.port {
            0 => 10250,
            port => port,
        },
    })
}

async fn dial(place: &Place, config: Arc<ClientConfig>) -> Result<(), String> {
    let name =
        ServerName::try_from(place.host.clone()).map_err(|_| "it is no name of a server".to_owned())?;
    let stream = TcpStream::connect((place.host.as_str(), place.port))
        .await
        .map_err(|error| format!("cannot connect: {error}"))?;
    tokio_rustls::TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map(drop)
        .map_err(|error| format!("its certificate is not verified: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(status: &str) -> NodeObject {
        let text = format!(r#"{{"metadata":{{"name":"a"}},"status":{status}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn at(status: &str, preferred: &[&str]) -> Result<(String, u16), String> {
        let preferred: Vec<String> = preferred.iter().map(|kind| (*kind).to_owned()).collect();
        let place = place(&node(status), &preferred).map_err(|why| why.to_string())?;
        Ok((place.host, place.port))
    }

    #[test]
    fn a_kubelet_is_dialled_where_the_api_server_would() {
        let status = r#"{"addresses":[{"type":"Hostname","address":"h"},{"type":"InternalIP","address":"192.0.2.7"}],
                         "daemonEndpoints":{"kubeletEndpoint":{"Port":10251}}}"#;
        assert_eq!(
            at(status, &["InternalIP", "Hostname"]),
            Ok(("192.0.2.7".to_owned(), 10251))
        );
        assert_eq!(
            at(status, &["ExternalIP", "Hostname"]),
            Ok(("h".to_owned(), 10251))
        );
        at(status, &["ExternalIP"]).unwrap_err();
        let old = r#"{"addresses":[{"type":"InternalIP","address":"192.0.2.7"}]}"#;
        assert_eq!(at(old, &["InternalIP"]), Ok(("192.0.2.7".to_owned(), 10250)));
        at("{}", &["InternalIP"]).unwrap_err();
    }

    #[test]
    fn an_authority_that_is_none_is_refused() {
        for text in [
            "",
            "no PEM",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            client_config(text.as_bytes()).unwrap_err();
        }
    }
}
