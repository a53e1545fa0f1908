//! A component of the control plane that kubeadm runs as a static pod.

use std::fmt;

/// A static-pod component, in the order in which restarts are made: those whose absence costs least come first,
/// the API server last but one and etcd last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Component {
    /// kube-scheduler
    #[serde(rename = "kube-scheduler")]
    Scheduler,
    /// kube-controller-manager
    #[serde(rename = "kube-controller-manager")]
    ControllerManager,
    /// kube-apiserver
    #[serde(rename = "kube-apiserver")]
    ApiServer,
    /// etcd
    #[serde(rename = "etcd")]
    Etcd,
}

impl Component {
    /// All of them, in the order of restarts.
    pub const ALL: [Self; 4] = [
        Self::Scheduler,
        Self::ControllerManager,
        Self::ApiServer,
        Self::Etcd,
    ];

    /// The name of its binary, of its container and of its pod.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "kube-scheduler",
            Self::ControllerManager => "kube-controller-manager",
            Self::ApiServer => "kube-apiserver",
            Self::Etcd => "etcd",
        }
    }

    /// The file that kubeadm writes its manifest to (kubeadm constants.GetStaticPodFilepath).
    #[must_use]
    pub const fn manifest_file(self) -> &'static str {
        match self {
            Self::Scheduler => "kube-scheduler.yaml",
            Self::ControllerManager => "kube-controller-manager.yaml",
            Self::ApiServer => "kube-apiserver.yaml",
            Self::Etcd => "etcd.yaml",
        }
    }

    /// The component of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|component| component.name() == name)
    }

    /// The component whose manifest kubeadm keeps under that file name.
    #[must_use]
    pub fn from_manifest_file(file: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|component| component.manifest_file() == file)
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
