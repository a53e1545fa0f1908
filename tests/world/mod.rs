//! One simulated control-plane node in a temporary folder, for tests, faults and the tour: files as kubeadm writes them,
//! a stand-in for the kubelet that runs static pods, and components that start, refuse bad flags, serve and end.
//!
//! The adapters that run on it are Holdfast's own. What is said to work with Kubernetes is shown on the test bed; where
//! the two differ, the world is wrong.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test crate uses a part of the world"
)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test bed that cannot go on fails loudly"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the world is what is outside: it has files, clocks and threads"
)]

pub mod api_server;
pub mod at_rest;
pub mod container_runtime;
pub mod encrypted;
pub mod etcd;
mod file_source;
mod files;
mod flags;
mod health_server;
mod history;
mod kubelet;
mod pod;
mod pod_log;
mod pods;
mod ports;
mod proc_folder;
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use holdfast::adapters::services::Services;
use holdfast::adapters::{
    Node, api::OwnKubeconfig, clock::Clock, cluster, container_runtime::OverCri, ending::Ending,
    files::Files, health::HealthProbe, lock::Held, processes::Processes,
};
use holdfast::domain::{Component, ControlPlane, EtcdState, Fact, Layout, Manifest, Owner, ProcessId};

pub use history::{Event, What};
pub use kubelet::Running;
pub use proc_folder::Program;

use container_runtime::{ContainerRuntime, Manner};
use kubelet::Shared;
use ports::Port;

/// The name of the node.
pub const NODE_NAME: &str = "node1";
/// The manifests folder, below the root.
pub const MANIFESTS: &str = "etc/kubernetes/manifests";

/// How the world is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// By what the kubelet's periods are multiplied: its list of 20 s, its relist of 1 s, its back-off of 10 s.
    pub time_scale: f64,
    /// From the start of a component until it is ready; it listens after half of it.
    pub start_delay: Duration,
    /// From SIGTERM until an API server is gone; the others take a tenth of it.
    pub grace: Duration,
    /// True when the kubelet runs; the world then begins with all components ready.
    pub kubelet: bool,
    /// How long the kubelet has been running when the world begins, by its process.
    pub kubelet_age: Duration,
    /// What the kubelet is started with beside kubeadm's flags.
    pub kubelet_flags: Vec<String>,
    /// True when the kubelet always leaves ended containers to its garbage collector, which does not come.
    pub leaves_containers: bool,
    /// What the container runtime does with calls.
    pub runtime: Manner,
    /// The operator's configuration, if there is one.
    pub config: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            time_scale: 0.02,
            start_delay: Duration::from_millis(30),
            grace: Duration::from_millis(40),
            kubelet: true,
            kubelet_age: Duration::from_hours(1),
            kubelet_flags: Vec::new(),
            leaves_containers: false,
            runtime: Manner::Answers,
            config: None,
        }
    }
}

/// The node. Dropped, it ends its threads, closes its ports and removes its files.
pub struct World {
    shared: Arc<Shared>,
    kubelet: Option<JoinHandle<()>>,
    cluster: Arc<Mutex<Fact<ControlPlane>>>,
    etcd: Arc<Mutex<Fact<EtcdState>>>,
    ports: Vec<(Component, Port)>,
    _healthz: Port,
    _runtime: ContainerRuntime,
    // The last field: removed when nothing writes to it any more.
    folder: tempfile::TempDir,
}

impl World {
    /// A fresh kubeadm node whose components are ready.
    pub fn new() -> Self {
        Self::with(Options::default())
    }

    /// A fresh kubeadm node.
    pub fn with(options: Options) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("holdfast-world-")
            .tempdir()
            .expect("a temporary folder");
        let ports: Vec<_> = Component::ALL
            .into_iter()
            .map(|component| (component, Port::take()))
            .collect();
        files::write_all(folder.path(), &ports);
        let healthz = Port::take();
        files::kubelet_listens_at(folder.path(), healthz.number());
        if let Some(config) = &options.config {
            files::write(folder.path(), "etc/holdfast/config.yaml", 0o600, config);
        }
        let (wait, manner) = (options.kubelet, options.runtime);
        let shared = Arc::new(Shared::new(folder.path(), options, healthz.number()));
        let socket = folder.path().join("run/containerd/containerd.sock");
        let runtime = ContainerRuntime::start(&socket, Arc::clone(&shared.containers), manner);
        let kubelet = std::thread::Builder::new().name("kubelet".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || kubelet::run(&shared)
        });
        let world = Self {
            shared,
            kubelet: Some(kubelet.expect("a thread")),
            cluster: Arc::new(Mutex::new(one_node())),
            etcd: Arc::new(Mutex::new(etcd_is_well())),
            ports,
            _healthz: healthz,
            _runtime: runtime,
            folder,
        };
        if wait {
            let ready = world.wait_until(Duration::from_secs(20), Self::all_ready);
            assert!(
                ready,
                "the components did not become ready: {:?}",
                world.history()
            );
        }
        world
    }

    /// The folder that holds the node's file system.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A path of the node, as this machine has it.
    pub fn path(&self, path: &str) -> PathBuf {
        pod::below(self.root(), path)
    }

    /// The file of a component's manifest.
    pub fn manifest(&self, component: Component) -> PathBuf {
        self.root().join(MANIFESTS).join(component.manifest_file())
    }

    /// The manifest of a component as kubeadm first wrote it.
    pub fn original_manifest(&self, component: Component) -> String {
        files::manifest(component, self.port(component))
    }

    /// The port of a component's health endpoint.
    pub fn port(&self, component: Component) -> u16 {
        let (_, port) = self
            .ports
            .iter()
            .find(|(of, _)| *of == component)
            .expect("every component has one");
        port.number()
    }

    /// Replaces a file whole, as an editor that knows the kubelet does: a dot file, renamed; the mode stays.
    pub fn replace(&self, path: &Path, content: &str) {
        let new = path.with_file_name(".world-new");
        std::fs::write(&new, content).expect("the world's folder is writable");
        if let Ok(facts) = std::fs::metadata(path) {
            std::fs::set_permissions(&new, facts.permissions()).expect("a file of ours");
        }
        std::fs::rename(&new, path).expect("the world's folder is writable");
    }

    /// Holdfast's adapters on this node.
    pub fn node(&self) -> Node {
        let mut node = node_at(self.root(), Arc::clone(&self.cluster));
        node.cluster = Box::new(FakeCluster {
            control_plane: Arc::clone(&self.cluster),
            etcd: Arc::clone(&self.etcd),
        });
        node
    }

    /// What etcd says from now on of itself.
    pub fn set_etcd(&self, answer: Fact<EtcdState>) {
        *self.etcd.lock().expect("no thread panics with it") = answer;
    }

    /// What the cluster says from now on of its control-plane nodes.
    pub fn set_control_plane(&self, answer: Fact<ControlPlane>) {
        *self.cluster.lock().expect("no thread panics with it") = answer;
    }
}

/// What runs, and what happened.
impl World {
    /// How often the component's process was started.
    pub fn starts(&self, component: Component) -> usize {
        self.shared.history.starts(&key(component))
    }

    /// The component's process.
    pub fn running(&self, component: Component) -> Option<Running> {
        self.shared.lock().running.get(&key(component)).cloned()
    }

    /// The arguments of the component's process.
    pub fn running_argv(&self, component: Component) -> Option<Vec<String>> {
        self.running(component).map(|running| running.argv)
    }

    /// True when the component's health endpoint answers that it is ready.
    pub fn is_ready(&self, component: Component) -> bool {
        self.running(component).is_some_and(|running| running.ready)
    }

    /// True when all components are.
    pub fn all_ready(&self) -> bool {
        Component::ALL
            .into_iter()
            .all(|component| self.is_ready(component))
    }

    /// The log of a component's newest run of the pod with that UID, and of the run before it, in the CRI format.
    pub fn pod_logs(&self, component: Component, uid: &str) -> Vec<String> {
        let folder = format!("/var/log/pods/kube-system_{component}-{NODE_NAME}_{uid}/{component}");
        let Ok(entries) = std::fs::read_dir(self.path(&folder)) else {
            return Vec::new();
        };
        let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u32>().ok();
        let mut logs: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        logs.sort_by_key(|path| std::cmp::Reverse(number(path)));
        logs.iter()
            .filter_map(|log| std::fs::read_to_string(log).ok())
            .collect()
    }

    /// How many ended containers the kubelet took for crashes.
    pub fn counted_crashes(&self) -> u32 {
        self.shared.lock().counted_crashes
    }

    /// The ids of the containers that were removed by a call to the runtime.
    pub fn removed_containers(&self) -> Vec<String> {
        let containers = self.shared.containers.lock().expect("no thread panics with it");
        containers.removed.clone()
    }

    /// All that happened to containers.
    pub fn history(&self) -> Vec<Event> {
        self.shared.history.all()
    }

    /// The longest time in milliseconds that the API server was away; an absence that has not ended counts.
    pub fn api_server_down_ms_max(&self) -> u128 {
        self.shared
            .history
            .longest_absence(&key(Component::ApiServer))
            .as_millis()
    }

    /// Waits until it is so; false when it has not become so in time.
    #[must_use]
    pub fn wait_until(&self, timeout: Duration, so: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            if so(self) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What others do to the node.
impl World {
    /// `systemctl stop kubelet`: the containers run on.
    pub fn stop_kubelet(&self) {
        self.want_kubelet(false);
    }

    /// `systemctl start kubelet`.
    pub fn start_kubelet(&self) {
        self.want_kubelet(true);
    }

    fn want_kubelet(&self, wanted: bool) {
        self.shared.lock().kubelet_wanted = wanted;
        let done = self.wait_until(Duration::from_secs(10), |world| {
            world.shared.lock().kubelet.is_some() == wanted
        });
        assert!(done, "the kubelet's thread is stuck");
    }

    /// Which of its configurations the kubelet ends with from now on.
    pub fn kubelet_refuses(&self, which: Option<fn(&str) -> bool>) {
        self.shared.lock().kubelet_refuses = which;
    }

    /// How often a kubelet was started.
    pub fn kubelet_starts(&self) -> usize {
        self.shared.lock().kubelet_starts
    }

    /// Lets a component's health endpoint answer 500, or no more.
    pub fn set_unhealthy(&self, component: Component, unhealthy: bool) {
        let pods = &mut self.shared.lock().unhealthy;
        if unhealthy {
            pods.insert(key(component));
        } else {
            pods.remove(&key(component));
        }
    }

    /// A `kubeadm upgrade apply` that root started that long ago; its process number.
    pub fn run_kubeadm(&self, age: Duration) -> i32 {
        self.run_program(&Program {
            argv: ["kubeadm", "upgrade", "apply", "v1.35.4", "-y"]
                .map(str::to_owned)
                .to_vec(),
            executable: self.root().join("usr/bin/kubeadm"),
            cgroup: "/user.slice/user-0.slice/session-1.scope".to_owned(),
            uid: 0,
            age,
        })
    }

    /// Any other program; its process number.
    pub fn run_program(&self, program: &Program) -> i32 {
        self.shared.proc_folder.start(program)
    }

    /// Ends a program that was started so.
    pub fn end_program(&self, pid: i32) {
        self.shared.proc_folder.end(pid);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A test that failed with the lock held must not fail a second time here.
        if let Ok(mut state) = self.shared.state.lock() {
            state.ending = true;
        }
        if let Some(kubelet) = self.kubelet.take() {
            let ended = kubelet.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the kubelet's thread has panicked"
            );
        }
    }
}

/// Holdfast's adapters on the node below `root`, whose cluster answers that: for a process other than the world's own.
pub fn node_at(root: &Path, control_plane: Arc<Mutex<Fact<ControlPlane>>>) -> Node {
    let files = Files::at(root).expect("the root can be opened");
    // Root, or the user who runs the test.
    let facts = std::fs::metadata(root).expect("the root is there");
    let owner = Owner {
        uid: facts.uid(),
        gid: facts.gid(),
    };
    Node {
        root: root.to_owned(),
        layout: Layout::kubeadm(),
        files: files.taking_for_root(owner),
        processes: Processes::at(&root.join("proc")).taking_for_root(facts.uid()),
        ending: Box::new(EndingInWorld(root.join("proc"))),
        runtime: Box::new(OverCri::at(root, Duration::from_secs(1))),
        services: Box::new(ServicesInWorld(root.to_owned())),
        health: HealthProbe::new(Duration::from_secs(1)),
        cluster: Box::new(FakeCluster {
            control_plane,
            etcd: Arc::new(Mutex::new(etcd_is_well())),
        }),
        kubeconfig: OwnKubeconfig::default(),
        clock: Clock::new().expect("Linux has a boot id"),
    }
}

/// A cluster of this node alone.
pub fn one_node() -> Fact<ControlPlane> {
    Fact::Known(ControlPlane {
        nodes: [NODE_NAME.to_owned()].into(),
        source: "etcd members",
    })
}

/// An etcd with a leader and without alarms.
pub fn etcd_is_well() -> Fact<EtcdState> {
    Fact::Known(EtcdState {
        has_leader: true,
        alarms: Vec::new(),
    })
}

/// The key of a component's pod.
fn key(component: Component) -> String {
    format!("kube-system/{component}")
}

/// Its processes are folders: one that is to be killed gets a mark, which the world's thread sees.
struct EndingInWorld(PathBuf);

impl Ending for EndingInWorld {
    fn end(&self, _held: &Held, process: ProcessId) -> std::io::Result<()> {
        let runs = Processes::at(&self.0).runs(process);
        if runs.map_err(|why| std::io::Error::other(why.to_string()))? {
            std::fs::write(self.0.join(process.pid.to_string()).join(proc_folder::KILLED), "")?;
        }
        Ok(())
    }
}

/// The world's thread sees the mark; it returns when the kubelet has another process, as `systemctl restart` does.
struct ServicesInWorld(PathBuf);

impl Services for ServicesInWorld {
    fn restart(&self, _held: &Held, unit: &str) -> std::io::Result<()> {
        assert_eq!(unit, "kubelet.service");
        let mark = self.0.join(kubelet::RESTART);
        std::fs::write(&mark, "")?;
        let deadline = Instant::now() + Duration::from_secs(5);
        while mark.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

/// A cluster that answers what it is told to.
struct FakeCluster {
    control_plane: Arc<Mutex<Fact<ControlPlane>>>,
    etcd: Arc<Mutex<Fact<EtcdState>>>,
}

impl cluster::Cluster for FakeCluster {
    fn control_plane(
        &self,
        _files: &Files,
        _layout: &Layout,
        _manifests: &BTreeMap<Component, Fact<Manifest>>,
    ) -> Fact<ControlPlane> {
        self.control_plane
            .lock()
            .expect("no thread panics with it")
            .clone()
    }

    fn etcd(&self, _files: &Files, _manifests: &BTreeMap<Component, Fact<Manifest>>) -> Fact<EtcdState> {
        self.etcd.lock().expect("no thread panics with it").clone()
    }

    fn etcd_peers(
        &self,
        _files: &Files,
        _manifests: &BTreeMap<Component, Fact<Manifest>>,
    ) -> Fact<BTreeSet<String>> {
        Fact::unknown("the simulated etcd has no peers")
    }
}
