//! The outside: one file for each thing that Holdfast reads or changes. No decisions are made here.

pub mod accounts;
pub mod clock;
pub mod cluster;
mod failpoint;
pub mod files;
pub mod health;
pub mod journal_store;
pub mod lock;
pub mod pod_logs;
pub mod processes;
pub mod system_log;
pub mod systemd;
pub mod watch;

use crate::domain::Layout;

/// All that `observe` and `apply` reach the node through.
pub struct Node {
    /// Where things are.
    pub layout: Layout,
    /// Its file system.
    pub files: files::Files,
    /// Its processes.
    pub processes: processes::Processes,
    /// The components' health endpoints.
    pub health: health::HealthProbe,
    /// What the cluster says of its control-plane nodes.
    pub cluster: Box<dyn cluster::Cluster>,
    /// Its clocks.
    pub clock: clock::Clock,
}
