//! The outside: one file for each thing that Holdfast reads or changes. No decisions are made here.

pub mod accounts;
pub mod api;
pub mod clock;
pub mod cluster;
pub mod container_runtime;
pub mod core_dumps;
pub mod ending;
pub mod etcd;
#[cfg(feature = "failpoints")]
pub mod failpoint;
#[cfg(not(feature = "failpoints"))]
mod failpoint;
pub mod files;
pub mod health;
pub mod journal_store;
pub mod lock;
pub mod pod_logs;
pub mod processes;
pub mod services;
pub mod system_log;

pub mod systemd;
pub mod wakeups;
pub mod watch;

use std::path::PathBuf;

use crate::domain::{Layout, NodePath};

/// All that `observe` and `apply` reach the node through.
pub struct Node {
    /// The folder that its file system is mounted at; `/` for the node that we run on.
    pub root: PathBuf,
    /// Where things are.
    pub layout: Layout,
    /// Its file system.
    pub files: files::Files,
    /// Its processes.
    pub processes: processes::Processes,
    /// How a process of it is ended.
    pub ending: Box<dyn ending::Ending>,
    /// What runs its containers.
    pub runtime: Box<dyn container_runtime::ContainerRuntime>,
    /// How a unit of it is restarted.
    pub services: Box<dyn services::Services>,
    /// The components' health endpoints.
    pub health: health::HealthProbe,
    /// What the cluster says of its control-plane nodes.
    pub cluster: Box<dyn cluster::Cluster>,
    /// The kubeconfig with which Holdfast is itself for the API, where the operator names one.
    pub kubeconfig: api::OwnKubeconfig,
    /// Its clocks.
    pub clock: clock::Clock,
}

impl Node {
    /// Where a path of the node is on this machine.
    #[must_use]
    pub fn here(&self, path: &NodePath) -> PathBuf {
        self.root.join(path.as_str().trim_start_matches('/'))
    }
}
