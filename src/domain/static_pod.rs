//! The typed view of a static pod: only what Holdfast judges, edits or verifies.

use super::NodePath;

/// A pod that the kubelet runs from a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticPod {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; the kubelet takes `default` when it is absent.
    pub namespace: String,
    /// `metadata.uid`, if the manifest sets one itself (the kubelet's own changes with the content).
    pub uid: Option<String>,
    /// `spec.containers` in order.
    pub containers: Vec<Container>,
    /// `spec.initContainers`: how many.
    pub init_containers: usize,
    /// `spec.volumes` of kind hostPath.
    pub host_paths: Vec<HostPathVolume>,
    /// The names of all volumes, whatever their kind.
    pub volume_names: Vec<String>,
    /// A `runAsUser` of the pod's security context.
    pub run_as_user: Option<i64>,
}

/// A container of a static pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The image reference.
    pub image: String,
    /// `command`, as written.
    pub command: Vec<String>,
    /// `args`, as written.
    pub args: Vec<String>,
    /// The names of the environment variables that the manifest sets.
    pub env: Vec<String>,
    /// Its volume mounts.
    pub mounts: Vec<Mount>,
    /// Where its health is asked: the readiness probe, else the startup probe, else the liveness probe.
    pub health: Option<HealthEndpoint>,
    /// A `runAsUser` of the container's own security context.
    pub run_as_user: Option<i64>,
}

/// A `hostPath` volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPathVolume {
    /// The volume's name.
    pub name: String,
    /// The path on the node.
    pub path: NodePath,
    /// `hostPath.type`, empty when absent.
    pub kind: String,
}

/// A volume mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The name of the volume.
    pub volume: String,
    /// Where the container sees it.
    pub path: NodePath,
    /// True when the container cannot write to it.
    pub read_only: bool,
    /// `subPath`, if any.
    pub sub_path: Option<String>,
}

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS; like the kubelet's own probe, the certificate is not verified.
    Https,
}

/// Where a component answers for its health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthEndpoint {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// The host; the kubelet's default for a host-network pod is the node's address, ours the loopback.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, beginning with `/`.
    pub path: String,
}

impl StaticPod {
    /// The container of that name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }
}

impl std::fmt::Display for HealthEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let (open, close) = if self.host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        write!(
            f,
            "{scheme}://{open}{}{close}:{}{}",
            self.host, self.port, self.path
        )
    }
}
