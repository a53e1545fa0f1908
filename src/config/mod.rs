//! The operator's configuration: text in, checked values out. Nothing here opens a file.

mod check;
mod check_controls;
mod check_metrics;
mod duration;
mod nearest;
mod pause;
mod profile;
mod raw;
mod syntax;
mod tree;
mod values;
mod window;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use duration::{InvalidDuration, format_duration, parse_duration};
pub use pause::{InvalidPause, Pause};
pub use profile::Profile;
pub use raw::{ConfigError, parse, parse_bytes};
pub use window::{Window, WindowState};

use crate::domain::{Component, ControlId, FlagName, Layout, NodePath, Paths};

/// What is done about a drift without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The control is not judged.
    Off,
    /// It is reported.
    Audit,
    /// It is mended.
    Enforce,
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Off => "off",
            Self::Audit => "audit",
            Self::Enforce => "enforce",
        })
    }
}

/// Whether remedies are used that make files of their own, or need more than an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conditional {
    /// Their drifts are reported.
    #[default]
    Report,
    /// They are used when what they need is there.
    Allow,
}

/// The checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// For every control that has no mode of its own. Never [`Action::Off`].
    pub mode: Action,
    /// Which controls are mended at all; each control may say otherwise.
    pub profile: Profile,
    /// Whether remedies are used that need more than an edit; each control may say otherwise.
    pub conditional: Conditional,
    /// Settings of single controls.
    pub controls: BTreeMap<ControlId, ControlSetting>,
    /// Flags that the operator requires, by component.
    pub required_flags: BTreeMap<Component, BTreeMap<FlagName, String>>,
    /// The guard of the manifests folder.
    pub manifests: ManifestsFolder,
    /// When and for how long a component may be away.
    pub disruption: Disruption,
    /// Encryption at rest.
    pub encryption: Encryption,
    /// The time between two full passes of the daemon.
    pub full_pass: Duration,
    /// The daemon's metrics.
    pub metrics: Metrics,
    /// How the API is asked.
    pub api: ApiAccess,
    /// Where things are that are not where kubeadm puts them.
    pub paths: Paths,
}

/// The daemon's metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// The file that they are written to, for the textfile collector of node_exporter; nothing, where they are not written.
    pub textfile: Option<NodePath>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            textfile: Some(Layout::kubeadm().metrics),
        }
    }
}

/// How the API is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiAccess {
    /// The kubeconfig with Holdfast's own identity; without it those that kubeadm made for the node.
    pub kubeconfig: Option<NodePath>,
}

/// What the daemon does about encryption at rest by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// The write key is replaced when it is as old as that, in mode enforce; never without it.
    pub rotate_every: Option<Duration>,
    /// Whether a rotation that nobody asked for waits for the operator before it removes the old key.
    pub cut: Cut,
}

/// How the old key of an unattended rotation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// As soon as it is proven that nothing needs it.
    Auto,
    /// When the operator says so: `holdfast encryption rotate --cut`.
    Ask,
}

/// The setting of one control.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ControlSetting {
    /// What is done about its drift.
    pub mode: Option<Action>,
    /// Whether its conditional remedy is used.
    pub conditional: Option<Conditional>,
    /// Another value than the catalogue's.
    pub value: Option<String>,
    /// Why its drift is accepted, and until when.
    pub exception: Option<Exception>,
}

/// A drift that the operator accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Until when; for ever without it.
    pub until: Option<jiff::Timestamp>,
}

/// The guard of the manifests folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ManifestsFolder {
    /// File names that are known beside kubeadm's own.
    pub known: Vec<String>,
    /// Move unknown manifests out of the folder.
    pub quarantine: bool,
}

/// When and for how long a component may be away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disruption {
    /// When restarts may happen; at any time without it.
    pub window: Option<Window>,
    /// How long a component may take to prove healthy after an edit. At most [`MAX_DEADLINE`].
    pub deadline: Duration,
    /// How an API server is ended when it is restarted.
    pub drain: Drain,
}

/// How an API server is ended when it is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// That long after it stopped listening; it serves nobody new by then. At most [`MAX_DRAIN`].
    After(Duration),
    /// By the kubelet, at the end of the pod's grace period of 30 s.
    Kubelet,
}

/// The kubelet's own grace period: waiting longer gains nothing.
pub const MAX_DRAIN: Duration = Duration::from_secs(30);

/// No component is waited for longer than this before its former manifest goes back.
pub const MAX_DEADLINE: Duration = Duration::from_secs(300);

impl Config {
    /// Whether the conditional remedy of a control is used.
    #[must_use]
    pub fn allows(&self, control: &ControlId) -> bool {
        let own = self.controls.get(control).and_then(|setting| setting.conditional);
        own.unwrap_or(self.conditional) == Conditional::Allow
    }
}

impl Default for Config {
    /// What holds without a configuration file: report everything, touch nothing.
    fn default() -> Self {
        Self {
            mode: Action::Audit,
            profile: Profile::Custom,
            conditional: Conditional::Report,
            controls: BTreeMap::new(),
            required_flags: BTreeMap::new(),
            manifests: ManifestsFolder::default(),
            disruption: Disruption {
                window: None,
                deadline: Duration::from_secs(180),
                drain: Drain::After(Duration::from_secs(1)),
            },
            encryption: Encryption {
                rotate_every: None,
                cut: Cut::Ask,
            },
            full_pass: Duration::from_secs(180),
            metrics: Metrics::default(),
            api: ApiAccess::default(),
            paths: Paths::default(),
        }
    }
}
