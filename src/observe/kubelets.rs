//! The kubelets of the whole cluster, as the API server would see them with an authority.

use std::time::Duration;

use super::at_rest;
use crate::adapters::Node;
use crate::adapters::api;
use crate::domain::{Component, Fact, Kubelets, Manifest, NodePath, Observation, Reason};
use crate::manifest::{MAX_BYTES, Mounted, command_line, mounted_from};

/// Each kubelet is given that long.
const PATIENCE: Duration = Duration::from_secs(3);
/// All of them together, while nothing else is looked at.
const ALL: Duration = Duration::from_secs(15);
/// The order of the API server without the flag (kubernetes pkg/kubelet/client, `KubeletClientConfig`).
const PREFERRED: &str = "Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP";

/// Every node with why its kubelet is not verified, if it is not.
pub(super) fn dialled(node: &Node, authority: &str, observation: &Observation) -> Fact<Kubelets> {
    let manifest = observation
        .manifests
        .get(&Component::ApiServer)
        .map_or(Fact::Absent, Fact::as_ref);
    manifest.and_then(|manifest| {
        let asked = ask(node, manifest, authority);
        asked.unwrap_or_else(Fact::Unknown)
    })
}

fn ask(node: &Node, manifest: &Manifest, authority: &str) -> Result<Fact<Kubelets>, Reason> {
    let reason = |why: &dyn std::fmt::Display| Reason::new(why.to_string());
    let line = command_line(Component::ApiServer, &manifest.pod).map_err(|why| reason(&why))?;
    let given = line
        .flags()
        .filter(|(name, _)| name.as_str() == "kubelet-preferred-address-types");
    let preferred = given.map(|(_, value)| value).last().unwrap_or(PREFERRED);
    let preferred: Vec<String> = preferred.split(',').map(|kind| kind.trim().to_owned()).collect();
    let inside: NodePath = authority
        .parse()
        .map_err(|why: crate::domain::InvalidPath| reason(&why))?;
    let container = manifest.pod.containers.get(line.container());
    let container = container.ok_or_else(|| Reason::new("kube-apiserver has no container"))?;
    let path = match mounted_from(&manifest.pod, container, &inside) {
        Mounted::From(path) => path,
        Mounted::NotMounted => {
            return Err(Reason::new(format!(
                "{inside} is not mounted into kube-apiserver"
            )));
        }
        Mounted::Unclear(why) => return Err(Reason::new(why)),
    };
    let pem = match node.files.read(&path, MAX_BYTES) {
        Fact::Known(content) => content.bytes,
        Fact::Absent => return Err(Reason::new(format!("{path} is not there"))),
        Fact::Unknown(why) => return Err(why),
    };
    let client = at_rest::client(node, manifest)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| reason(&error))?;
    let dialled = runtime.block_on(async {
        let all = api::verified_kubelets(&client, &pem, &preferred, PATIENCE);
        tokio::time::timeout(ALL, all).await
    });
    let found = dialled.unwrap_or_else(|_| Fact::unknown(format!("they are not all dialled within {ALL:?}")));
    // A name that is still being looked up must not be waited for.
    runtime.shutdown_background();
    Ok(found)
}
