//! Where things are on a node: the kubeadm layout, and Holdfast's own folders.

use super::{Component, NodePath, PathPattern};

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
    /// The daemon's metrics, unless the operator names another file.
    pub metrics: NodePath,
    /// Holdfast's run-time folder: lock and status.
    pub run: NodePath,
}

/// Where things are that are not where kubeadm puts them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Paths {
    /// The folder that the kubelet runs static pods from.
    pub manifests: Option<NodePath>,
    /// The folder of kubeconfigs.
    pub kubernetes: Option<NodePath>,
    /// The PKI folder.
    pub pki: Option<NodePath>,
    /// The kubelet's root folder.
    pub kubelet: Option<NodePath>,
    /// etcd's data folder.
    pub etcd_data: Option<NodePath>,
}

impl Layout {
    /// A hand-made node. What lies in kubeadm's folder of kubeconfigs lies in its own unless its own place is named.
    #[must_use]
    pub fn of(paths: &Paths) -> Self {
        let usual = Self::kubeadm();
        let kubernetes = paths
            .kubernetes
            .clone()
            .unwrap_or_else(|| usual.kubernetes.clone());
        let within = |named: &Option<NodePath>, usual_place: &NodePath| {
            named
                .clone()
                .unwrap_or_else(|| moved(usual_place, &usual.kubernetes, &kubernetes))
        };
        Self {
            manifests: within(&paths.manifests, &usual.manifests),
            pki: within(&paths.pki, &usual.pki),
            kubelet: paths.kubelet.clone().unwrap_or_else(|| usual.kubelet.clone()),
            etcd_data: paths.etcd_data.clone().unwrap_or_else(|| usual.etcd_data.clone()),
            kubernetes,
            ..usual
        }
    }

    /// Where that is here which lies at `path` on a kubeadm node.
    #[must_use]
    pub fn place(&self, path: &NodePath) -> NodePath {
        let usual = Self::kubeadm();
        // A folder within another comes before it.
        let folders = [
            (&usual.manifests, &self.manifests),
            (&usual.pki, &self.pki),
            (&usual.kubernetes, &self.kubernetes),
            (&usual.kubelet, &self.kubelet),
            (&usual.etcd_data, &self.etcd_data),
        ];
        let of = folders.into_iter().find(|(usual, _)| path.is_within(usual));
        of.map_or_else(|| path.clone(), |(usual, own)| moved(path, usual, own))
    }

    /// The same of a pattern.
    #[must_use]
    pub fn place_of_pattern(&self, pattern: &PathPattern) -> PathPattern {
        PathPattern {
            folder: self.place(&pattern.folder),
            ..pattern.clone()
        }
    }

    /// Where a manifest lies while it is out of its folder, and what is to come in: beside the folder, on the same file system, and where an
    /// operator who misses an API server looks.
    #[must_use]
    pub fn beside_manifests(&self) -> NodePath {
        self.manifests.parent().unwrap_or_else(|| self.manifests.clone())
    }

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
            metrics: path("/var/lib/holdfast/metrics.prom"),
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

/// The path with one folder above it in the place of another.
fn moved(path: &NodePath, from: &NodePath, to: &NodePath) -> NodePath {
    let rest = path.as_str().strip_prefix(from.as_str()).unwrap_or_default();
    format!("{to}{rest}").parse().unwrap_or_else(|_| path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> NodePath {
        text.parse().unwrap()
    }

    #[test]
    fn without_a_word_of_the_operator_everything_is_where_kubeadm_puts_it() {
        let layout = Layout::of(&Paths::default());
        assert_eq!(layout, Layout::kubeadm());
        for name in [
            "/etc/kubernetes/pki/etcd/ca.key",
            "/etc/cni/net.d/a.conf",
            "/var/lib/kubelet",
        ] {
            assert_eq!(layout.place(&path(name)), path(name));
        }
        assert_eq!(layout.beside_manifests(), path("/etc/kubernetes"));
    }

    #[test]
    fn what_lies_in_a_folder_moves_with_it_unless_its_own_is_named() {
        let layout = Layout::of(&Paths {
            kubernetes: Some(path("/opt/k8s")),
            pki: Some(path("/srv/pki")),
            etcd_data: Some(path("/data/etcd")),
            ..Paths::default()
        });
        for (usual, own) in [
            ("/etc/kubernetes/admin.conf", "/opt/k8s/admin.conf"),
            ("/etc/kubernetes/pki", "/srv/pki"),
            ("/etc/kubernetes/pki/etcd/ca.key", "/srv/pki/etcd/ca.key"),
            (
                "/etc/kubernetes/manifests/etcd.yaml",
                "/opt/k8s/manifests/etcd.yaml",
            ),
            ("/var/lib/etcd/member", "/data/etcd/member"),
            ("/etc/kubernetes2", "/etc/kubernetes2"),
        ] {
            assert_eq!(layout.place(&path(usual)), path(own));
        }
        let pattern: PathPattern = "/etc/kubernetes/pki/**/*.key".parse().unwrap();
        assert_eq!(layout.place_of_pattern(&pattern).to_string(), "/srv/pki/**/*.key");
        assert_eq!(layout.beside_manifests(), path("/opt/k8s"));
    }
}
