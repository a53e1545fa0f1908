//! Where things are on a node: the kubeadm layout, and Holdfast's own folders.

use super::{Component, NodePath};

/// The paths that Holdfast knows. Everything else is read from the node (a flag, a manifest, the kubelet's
/// configuration).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The folder that the kubelet runs static pods from.
    pub manifests: NodePath,
    /// kubeadm's folder of kubeconfigs and keys.
    pub kubernetes: NodePath,
    /// The PKI folder.
    pub pki: NodePath,
    /// The kubelet's root folder.
    pub kubelet: NodePath,
    /// etcd's data folder, unless `--data-dir` says otherwise.
    pub etcd_data: NodePath,
    /// The folder of pod logs.
    pub pod_logs: NodePath,
    /// The links to them.
    pub container_logs: NodePath,
    /// The operator's configuration of Holdfast.
    pub config: NodePath,
    /// The file that pauses Holdfast.
    pub pause: NodePath,
    /// Holdfast's state: journal, backups, quarantine.
    pub state: NodePath,
    /// Holdfast's run-time folder: lock and status.
    pub run: NodePath,
}

impl Layout {
    /// A kubeadm control-plane node.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        clippy::expect_used,
        reason = "the literals below are absolute paths"
    )]
    pub fn kubeadm() -> Self {
        let path = |text: &str| text.parse::<NodePath>().expect("a literal absolute path");
        Self {
            manifests: path("/etc/kubernetes/manifests"),
            kubernetes: path("/etc/kubernetes"),
            pki: path("/etc/kubernetes/pki"),
            kubelet: path("/var/lib/kubelet"),
            etcd_data: path("/var/lib/etcd"),
            pod_logs: path("/var/log/pods"),
            container_logs: path("/var/log/containers"),
            config: path("/etc/holdfast/config.yaml"),
            pause: path("/etc/holdfast/pause"),
            state: path("/var/lib/holdfast"),
            run: path("/run/holdfast"),
        }
    }

    /// The manifest of a component.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        clippy::expect_used,
        reason = "a manifest's file name is a plain name"
    )]
    pub fn manifest(&self, component: Component) -> NodePath {
        self.manifests
            .join(component.manifest_file())
            .expect("a manifest's file name is a path component")
    }
}
