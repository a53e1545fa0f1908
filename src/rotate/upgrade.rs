//! Brings the ConfigMap `kube-system/kubeadm-config` in line with the API server's manifest, so that the next `kubeadm upgrade` keeps
//! its encryption.

use super::{RotateError, look};
use crate::adapters::Node;
use crate::adapters::api::{self, Api, KubeadmConfig};
use crate::at_rest::extras;
use crate::domain::{Fact, StaticPod};
use crate::kubeadm::{brought_in_line, difference};
use crate::observe::at_rest;

/// What kubeadm is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    seen: KubeadmConfig,
    after: String,
}

impl Upgrade {
    /// What changes in the `ClusterConfiguration`, line by line.
    #[must_use]
    pub fn difference(&self) -> String {
        difference(&self.seen.cluster_configuration, &self.after)
    }
}

/// What kubeadm must be told to keep what this pod says of encryption at rest; `None` when it knows, or did not make the cluster.
///
/// # Errors
/// When the API server does not tell, or the configuration is not understood.
pub fn upgrade(node: &Node, pod: &StaticPod) -> Result<Option<Upgrade>, RotateError> {
    let Some(wanted) = extras(pod) else {
        return Ok(None);
    };
    let (runtime, api) = server(node)?;
    let seen = match runtime.block_on(api::kubeadm_config(&api)) {
        Fact::Known(seen) => seen,
        Fact::Absent => return Ok(None),
        Fact::Unknown(why) => return Err(RotateError::Unknown(why)),
    };
    let after = brought_in_line(&seen.cluster_configuration, &wanted)
        .map_err(|why| RotateError::NotHere(format!("kube-system/kubeadm-config: {why}")))?;
    Ok(after.map(|after| Upgrade { seen, after }))
}

/// Tells kubeadm.
///
/// # Errors
/// When somebody else wrote it in between, or the API server refuses.
pub fn bring_in_line(node: &Node, upgrade: &Upgrade) -> Result<(), RotateError> {
    let Upgrade { seen, after } = upgrade;
    let (runtime, api) = server(node)?;
    let written = runtime.block_on(api::write_kubeadm_config(&api, seen, after));
    written.map_err(|why| RotateError::NotHere(why.to_string()))
}

fn server(node: &Node) -> Result<(tokio::runtime::Runtime, Api), RotateError> {
    let manifest = look::known(at_rest::manifest(node))?;
    let api = at_rest::client(node, &manifest).map_err(RotateError::Unknown)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok((runtime.map_err(RotateError::Runtime)?, api))
}
