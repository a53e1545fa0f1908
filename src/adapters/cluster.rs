//! How many control-plane nodes the cluster has: etcd's members, the API's nodes, and kubeadm-config.

use std::collections::BTreeMap;

use super::files::Files;
use crate::domain::{Component, ControlPlane, Fact, Layout, Manifest};

/// Who is asked for the control-plane nodes of the cluster.
pub trait Cluster {
    /// The control-plane nodes, by the source that names most of them. `Unknown` when no source answers, or when the only answers cannot
    /// tell (etcd is not stacked and the API does not answer).
    fn control_plane(
        &self,
        files: &Files,
        layout: &Layout,
        manifests: &BTreeMap<Component, Fact<Manifest>>,
    ) -> Fact<ControlPlane>;
}
