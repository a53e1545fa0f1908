//! Distributions whose control plane is not made of static pods as kubeadm lays them out: recognised, and declined.

use crate::adapters::Node;
use crate::domain::{Component, Fact, NodePath};

/// One that is declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// k3s.
    K3s,
    /// RKE2.
    Rke2,
    /// Talos Linux.
    Talos,
}

impl Distribution {
    /// What is where each is installed (docs.k3s.io and docs.rke2.io, the default data folders).
    const FOLDERS: [(Self, &'static str); 2] = [
        (Self::K3s, "/var/lib/rancher/k3s"),
        (Self::Rke2, "/var/lib/rancher/rke2"),
    ];

    /// Why Holdfast declines, and what to do instead.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::K3s => {
                "this host has k3s, whose control plane is one process and no static pods: there is no manifest to guard or to edit. Its flags are \
                 set in /etc/rancher/k3s/config.yaml, its keys are changed by `k3s secrets-encrypt`"
            }
            Self::Rke2 => {
                "this host has RKE2, which writes its static pods anew at each start of rke2-server, and would undo every edit. Its flags are set in \
                 /etc/rancher/rke2/config.yaml (`profile: cis` hardens it), its keys are changed by `rke2 secrets-encrypt`"
            }
            Self::Talos => {
                "this host has Talos Linux, which is changed by its machine configuration alone (`talosctl patch machineconfig`): its file system is \
                 read-only, and its static pods are written by machined"
            }
        }
    }
}

/// The distribution that this host has instead of kubeadm's layout. A host with a manifest of a component where kubeadm puts it is kubeadm's, whatever
/// else lies there.
#[must_use]
pub fn declined(node: &Node) -> Option<Distribution> {
    let is_there = |path: &NodePath| !matches!(node.files.facts(path), Fact::Absent);
    let manifests = Component::ALL.map(|component| node.layout.manifest(component));
    if manifests.iter().any(is_there) {
        return None;
    }
    let by_folder = Distribution::FOLDERS.into_iter().find(|(_, folder)| {
        let folder: Option<NodePath> = folder.parse().ok();
        folder.is_some_and(|folder| matches!(node.files.facts(&folder), Fact::Known(_)))
    });
    by_folder
        .map(|(distribution, _)| distribution)
        .or_else(|| is_talos(node).then_some(Distribution::Talos))
}

/// By os-release(5).
fn is_talos(node: &Node) -> bool {
    const MAX_BYTES: usize = 64 * 1024;
    let Ok(path) = "/etc/os-release".parse::<NodePath>() else {
        return false;
    };
    match node.files.read(&path, MAX_BYTES) {
        Fact::Known(content) => {
            let text = String::from_utf8_lossy(&content.bytes);
            text.lines()
                .any(|line| matches!(line.trim(), "ID=talos" | "ID=\"talos\""))
        }
        Fact::Absent | Fact::Unknown(_) => false,
    }
}
