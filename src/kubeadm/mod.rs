//! What kubeadm makes of the API server the next time: its `ClusterConfiguration`, as the ConfigMap `kube-system/kubeadm-config`
//! keeps it.
//!
//! `kubeadm upgrade` writes the manifest of kube-apiserver anew from that text, and every flag and volume that is in the manifest
//! alone is gone. Here the text is brought in line with what the API server needs. It is read as kubeadm reads it
//! (sigs.k8s.io/yaml) and written anew in kubeadm's own form: all else in it keeps its order and its meaning, but comments go.

mod args;
mod document;
mod error;
mod patches;
mod volumes;
mod writer;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use error::KubeadmConfigError;
pub use patches::{Patch, Patches, SUFFIX, TARGETS, is_own_volume, kubelet_patch, patches};

use serde_yaml::{Mapping, Value};

/// What the API server must be started with beyond kubeadm's own flags and volumes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiServerExtras {
    /// Flags, by name without dashes in front, each at most once.
    pub args: Vec<(String, String)>,
    /// Volumes of the node, each name and each mount path at most once.
    pub volumes: Vec<HostPathMount>,
}

/// A path of the node that is mounted into a component: kubeadm's type of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPathMount {
    /// The name of the volume in the pod.
    pub name: String,
    /// The path on the node.
    pub host_path: String,
    /// The path in the container.
    pub mount_path: String,
    /// True when the container may not write to it.
    pub read_only: bool,
    /// The `type` of the hostPath volume, as `DirectoryOrCreate`; empty for none.
    pub path_type: String,
}

/// The text with everything that is wanted; none when it is all there already.
///
/// A flag that has another value, or stands several times, is put once at its first place: of two, kubeadm passes on both, and which
/// the API server takes depends on their order. A volume of that name with other content is replaced.
///
/// # Errors
/// When the text is not one `ClusterConfiguration` of a version that is known, has fields of another form than kubeadm reads, or
/// another volume is mounted at a wanted path. Nothing is guessed.
pub fn brought_in_line(
    cluster_configuration: &str,
    wanted: &ApiServerExtras,
) -> Result<Option<String>, KubeadmConfigError> {
    let Edited { document, lacked } = edited(cluster_configuration, wanted)?;
    if lacked.is_empty() {
        return Ok(None);
    }
    let text = writer::write(&document)?;
    let (_, read_back) = document::read(&text)?;
    if read_back != document {
        return Err(KubeadmConfigError::NotWritten("it does not read back the same"));
    }
    Ok(Some(text))
}

/// What the next `kubeadm upgrade` would drop from the API server or set otherwise, in words; empty when the text is in line.
///
/// # Errors
/// As [`brought_in_line`].
pub fn lacks(
    cluster_configuration: &str,
    wanted: &ApiServerExtras,
) -> Result<Vec<String>, KubeadmConfigError> {
    Ok(edited(cluster_configuration, wanted)?.lacked)
}

/// The change of the text, line by line as `diff -u` prints it.
#[must_use]
pub fn difference(before: &str, after: &str) -> String {
    crate::manifest::unified_diff("/kube-system/kubeadm-config/ClusterConfiguration", before, after)
}

struct Edited {
    document: Mapping,
    /// What was not there before.
    lacked: Vec<String>,
}

fn edited(text: &str, wanted: &ApiServerExtras) -> Result<Edited, KubeadmConfigError> {
    wanted.check()?;
    let (version, mut document) = document::read(text)?;
    let mut api_server = document::mapping(document.get("apiServer"), "apiServer")?;
    let (args, mut lacked) = args::edited(version, api_server.get("extraArgs"), &wanted.args)?;
    let (volumes, volumes_lacked) = volumes::edited(api_server.get("extraVolumes"), &wanted.volumes)?;
    // What is in line stays as it is written: kubeadm leaves out an empty list, another writer may not.
    if !lacked.is_empty() {
        document::put(&mut api_server, "extraArgs", args);
    }
    if !volumes_lacked.is_empty() {
        document::put(&mut api_server, "extraVolumes", volumes);
    }
    lacked.extend(volumes_lacked);
    if !lacked.is_empty() {
        document::put(&mut document, "apiServer", Value::Mapping(api_server));
    }
    Ok(Edited { document, lacked })
}

impl ApiServerExtras {
    fn check(&self) -> Result<(), KubeadmConfigError> {
        let flags = self.args.iter().map(|(name, _)| args::canonical(name));
        once(flags)?;
        once(self.volumes.iter().map(|volume| volume.name.clone()))?;
        let paths = self.volumes.iter();
        once(paths.map(|volume| volumes::canonical(&volume.mount_path).to_owned()))
    }
}

fn once(names: impl Iterator<Item = String>) -> Result<(), KubeadmConfigError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name.clone()) {
            return Err(KubeadmConfigError::WantedTwice(name));
        }
    }
    Ok(())
}
