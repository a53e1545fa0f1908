//! What every command needs first: the node, and the configuration with the controls that it selects.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::Global;
use super::interrupts::Interrupts;
use crate::adapters::Node;
use crate::adapters::api::OwnKubeconfig;
use crate::adapters::clock::Clock;
use crate::adapters::cluster::KubeadmCluster;
use crate::adapters::container_runtime::OverCri;
use crate::adapters::ending::ByKernel;
use crate::adapters::files::{FileError, Files};
use crate::adapters::health::HealthProbe;
use crate::adapters::journal_store::StoreError;
use crate::adapters::lock::LockError;
use crate::adapters::processes::Processes;
use crate::adapters::services::{BySystemd, NotRunning};
use crate::config::{Config, ConfigError, parse_bytes};
use crate::daemon::{DaemonError, Settings};
use crate::domain::{Fact, FileFacts, Layout, Mode, NodePath, Owner, Paths};
use crate::observe::{Distribution, declined, static_pod_path};
use crate::plan::select;
use crate::report::{Colour, ExitClass, config_error_text};

/// A health endpoint that has not answered by then does not answer.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for the API server and etcd.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(3);
/// The same for the container runtime, which is asked while a component is away.
const RUNTIME_TIMEOUT: Duration = Duration::from_secs(1);
/// A larger configuration is none.
const CONFIG_BYTES: usize = 256 * 1024;

/// A command that could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The arguments do not fit together.
    #[error("{0}")]
    Usage(String),
    /// The configuration is refused; the text shows where and why.
    #[error("{0}")]
    Config(String),
    /// The host has a Kubernetes of another kind.
    #[error("{}. Holdfast looks after control planes that kubeadm made, and declines", .0.why())]
    Declined(Distribution),
    /// The root folder cannot be opened.
    #[error("cannot open {root}: {cause}")]
    Root {
        /// The folder.
        root: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// What the command does takes root.
    #[error("this {0}, which takes root: run it as root")]
    NotRoot(&'static str),
    /// The lock could not be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] StoreError),
    /// A file of Holdfast's own could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The log could not be set up.
    #[error(transparent)]
    Log(#[from] crate::adapters::system_log::LogError),
    /// The daemon could not run.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// A rotation could not be begun, or its next step not be taken.
    #[error("{0}")]
    Rotate(#[from] Box<crate::rotate::RotateError>),
    /// Signals or standard output failed.
    #[error("{act}: {cause}")]
    System {
        /// What was tried.
        act: &'static str,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The node changed between the plan that was shown and the consent.
    #[error(
        "the node changed while the plan was being read, and the plan with it; nothing was changed. Run it again"
    )]
    PlanChanged,
}

impl CliError {
    /// The exit code's class.
    #[must_use]
    pub const fn class(&self) -> ExitClass {
        match self {
            Self::Usage(_) => ExitClass::Usage,
            Self::Config(_) => ExitClass::Configuration,
            Self::Declined(_) => ExitClass::Declined,
            Self::Root { .. }
            | Self::NotRoot(_)
            | Self::Lock(_)
            | Self::Journal(_)
            | Self::File(_)
            | Self::Log(_)
            | Self::Daemon(_)
            | Self::Rotate(_)
            | Self::System { .. }
            | Self::PlanChanged => ExitClass::Failed,
        }
    }
}

/// The node, and the configuration.
pub(super) struct Setup {
    pub(super) node: Node,
    pub(super) settings: Settings,
    pub(super) interrupts: Interrupts,
    config_file: Option<PathBuf>,
}

impl Setup {
    /// Opens the node and reads the configuration.
    pub(super) fn new(global: &Global) -> Result<Self, CliError> {
        let mut node = node(global.root.as_deref().unwrap_or(Path::new("/")))?;
        let config_file = global.config.clone();
        let settings = settings(&node, config_file.as_deref())?;
        lay_out(&mut node, &settings.config.paths);
        if let Some(distribution) = declined(&node) {
            return Err(CliError::Declined(distribution));
        }
        node.kubeconfig.set(settings.config.api.kubeconfig.clone());
        Ok(Self {
            node,
            settings,
            interrupts: Interrupts::default(),
            config_file,
        })
    }

    /// Reads the configuration again.
    pub(super) fn reload(&self) -> Result<Settings, String> {
        let settings =
            settings(&self.node, self.config_file.as_deref()).map_err(|error| error.to_string())?;
        if settings.config.paths != self.settings.config.paths {
            return Err(
                "`paths` is not what it was, which takes a restart: systemctl restart holdfast".to_owned(),
            );
        }
        self.node.kubeconfig.set(settings.config.api.kubeconfig.clone());
        Ok(settings)
    }
}

/// Tells the node where its things are: what the operator says, and where its kubelet runs static pods from.
pub(super) fn lay_out(node: &mut Node, paths: &Paths) {
    node.layout = Layout::of(paths);
    if paths.manifests.is_some() {
        return;
    }
    // One right below the root has no folder beside it that a manifest could lie in for a moment.
    if let Fact::Known(manifests) = static_pod_path(node)
        && manifests.components().count() > 1
    {
        node.layout = Layout::of(&Paths {
            manifests: Some(manifests),
            ..paths.clone()
        });
    }
}

/// The node for who must go on without a configuration: laid out as that says if it can be read, else as the kubelet says.
pub(super) fn node_at_last() -> Result<Node, CliError> {
    let mut node = node(Path::new("/"))?;
    let paths = settings(&node, None).map_or_else(|_| Paths::default(), |settings| settings.config.paths);
    lay_out(&mut node, &paths);
    Ok(node)
}

/// What gives the simulated node that stands for every node of this process.
#[cfg(feature = "failpoints")]
static SIMULATED: std::sync::OnceLock<fn() -> Node> = std::sync::OnceLock::new();

#[cfg(feature = "failpoints")]
pub(super) fn simulate(make: fn() -> Node) {
    SIMULATED.get_or_init(|| make);
}

#[cfg(feature = "failpoints")]
fn simulated() -> Option<Node> {
    SIMULATED.get().map(|make| make())
}

#[cfg(not(feature = "failpoints"))]
const fn simulated() -> Option<Node> {
    None
}

/// Changing the node takes root.
pub(super) fn require_root() -> Result<(), CliError> {
    require_root_as("changes the node")
}

/// What such a command does takes root.
pub(super) fn require_root_as(what: &'static str) -> Result<(), CliError> {
    if nix::unistd::geteuid().is_root() || simulated().is_some() {
        Ok(())
    } else {
        Err(CliError::NotRoot(what))
    }
}

/// The node whose file system is mounted at `root`.
pub(super) fn node(root: &Path) -> Result<Node, CliError> {
    if let Some(node) = simulated() {
        return Ok(node);
    }
    let failed = |cause| CliError::Root {
        root: root.display().to_string(),
        cause,
    };
    let kubeconfig = OwnKubeconfig::default();
    Ok(Node {
        root: root.to_owned(),
        layout: Layout::kubeadm(),
        files: Files::at(root).map_err(failed)?,
        ending: Box::new(ByKernel::new(Processes::at(&root.join("proc")))),
        processes: Processes::at(&root.join("proc")),
        runtime: Box::new(OverCri::at(root, RUNTIME_TIMEOUT)),
        services: if root == Path::new("/") {
            Box::new(BySystemd)
        } else {
            Box::new(NotRunning)
        },
        health: HealthProbe::new(HEALTH_TIMEOUT),
        cluster: Box::new(KubeadmCluster::new(CLUSTER_TIMEOUT).asking_with(kubeconfig.clone())),
        kubeconfig,
        clock: Clock::new().map_err(failed)?,
    })
}

/// The configuration: the named file of this machine, which must be there, or the one of the node, without which the defaults hold.
fn settings(node: &Node, named: Option<&Path>) -> Result<Settings, CliError> {
    let (shown, content) = match named {
        None => (
            node.layout.config.to_string(),
            node.files.read(&node.layout.config, CONFIG_BYTES),
        ),
        Some(path) => read_named(path)?,
    };
    let config = match content {
        Fact::Absent if named.is_none() => Config::default(),
        Fact::Absent => return Err(CliError::Config(format!("{shown} is not there"))),
        Fact::Unknown(why) => return Err(CliError::Config(format!("{shown} cannot be read: {why}"))),
        Fact::Known(content) => {
            only_roots(&shown, &content.facts)?;
            parse_bytes(&content.bytes).map_err(|error: ConfigError| {
                let text = String::from_utf8_lossy(&content.bytes);
                CliError::Config(config_error_text(&error, &shown, &text, Colour::Never))
            })?
        }
    };
    if let Some(path) = config
        .metrics
        .textfile
        .as_ref()
        .filter(|path| is_guarded(&config, path))
    {
        let why = format!(
            "{shown}: metrics.textfile: {path} lies in a folder that Holdfast watches, and each writing would ask for the next look: name another one"
        );
        return Err(CliError::Config(why));
    }
    let selected = select(&config).map_err(|error| CliError::Config(format!("{shown}: {error}")))?;
    Ok(Settings { config, selected })
}

/// True for a file right in a folder that is watched on every node.
fn is_guarded(config: &Config, path: &NodePath) -> bool {
    let layout = Layout::of(&config.paths);
    let own = [&layout.config, &layout.pause].map(NodePath::parent);
    let folders = [layout.manifests, layout.kubernetes, layout.pki, layout.kubelet].map(Some);
    path.parent().is_some_and(|folder| {
        own.into_iter()
            .chain(folders)
            .flatten()
            .any(|guarded| guarded == folder)
    })
}

fn read_named(path: &Path) -> Result<(String, Fact<crate::adapters::files::Content>), CliError> {
    let shown = path.display().to_string();
    let unusable = |why: String| CliError::Usage(format!("--config {shown}: {why}"));
    let absolute = std::path::absolute(path).map_err(|error| unusable(error.to_string()))?;
    let text = absolute
        .to_str()
        .ok_or_else(|| unusable("its path is not UTF-8".to_owned()))?;
    let node_path: NodePath = text
        .parse()
        .map_err(|error: crate::domain::InvalidPath| unusable(error.to_string()))?;
    let files = Files::at(Path::new("/")).map_err(|cause| CliError::Root {
        root: "/".to_owned(),
        cause,
    })?;
    Ok((shown, files.read(&node_path, CONFIG_BYTES)))
}

/// Who can write the configuration decides what root does.
fn only_roots(shown: &str, facts: &FileFacts) -> Result<(), CliError> {
    let own = nix::unistd::geteuid().as_raw();
    let trusted = facts.owner.uid == Owner::ROOT.uid || (own != 0 && facts.owner.uid == own);
    if !trusted {
        let why = format!(
            "{shown} belongs to {}, and Holdfast takes orders from root alone: chown root:root {shown}",
            facts.owner
        );
        return Err(CliError::Config(why));
    }
    if facts.mode.bits() & 0o022 != 0 {
        let tight = facts.mode.tightened_to(Mode::from_bits(0o7755));
        let why = format!(
            "{shown} has mode {}, so others can write it: chmod {tight} {shown}",
            facts.mode
        );
        return Err(CliError::Config(why));
    }
    Ok(())
}
