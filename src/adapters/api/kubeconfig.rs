//! A kubeconfig as kubeadm writes it: everything embedded, no program to run, no file to read. Its text holds keys and is never told.

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::adapters::cluster::with_causes;
use crate::domain::{NodePath, Reason};

/// A kubeconfig with embedded certificates has some 10 kB.
pub(in crate::adapters) const MAX_BYTES: usize = 256 << 10;

/// The client's configuration: server, authority and credentials. What is wrong is told by place only.
pub(in crate::adapters) async fn config(path: &NodePath, text: &[u8]) -> Result<Config, Reason> {
    let refused = |why: &str| Reason::new(format!("{path} is not used to ask the API: {why}"));
    let kubeconfig: Kubeconfig = serde_yaml::from_slice(text).map_err(|error| {
        let place = error.location().map_or_else(String::new, |at| {
            format!(" at line {}, column {}", at.line(), at.column())
        });
        refused(&format!("it cannot be read{place}"))
    })?;
    // kubeadm embeds everything. A file named here would be read from this machine's root, whatever the node's is, and a plugin
    // would be a program that Holdfast starts.
    for user in kubeconfig
        .auth_infos
        .iter()
        .filter_map(|user| user.auth_info.as_ref())
    {
        if user.exec.is_some() || user.auth_provider.is_some() {
            return Err(refused("it wants a program to be run for its credentials"));
        }
        if user.client_certificate.is_some() || user.client_key.is_some() || user.token_file.is_some() {
            return Err(refused("it names files where kubeadm embeds the credentials"));
        }
    }
    let clusters = kubeconfig.clusters.iter();
    if clusters
        .filter_map(|cluster| cluster.cluster.as_ref())
        .any(|cluster| cluster.certificate_authority.is_some())
    {
        return Err(refused("it names a file where kubeadm embeds the authority"));
    }
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| refused(&with_causes(&error)))?;
    // The deadline is ours, and a retry belongs to the next pass; a proxy of the environment is not for the control plane.
    config.default_retry = false;
    config.proxy_url = None;
    Ok(config)
}
