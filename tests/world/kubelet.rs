//! The stand-in for the kubelet: one thread that follows the manifests folder and runs its pods. Stopped, it leaves the
//! containers running, as the real one does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::container_runtime::Containers;
use super::file_source::FileSource;
use super::health_server::HealthServer;
use super::history::History;
use super::pods::Pods;
use super::proc_folder::{ProcFolder, Program};
use super::{MANIFESTS, Options};

/// `fileCheckFrequency` of the kubelet, before it is scaled.
const LIST_PERIOD: Duration = Duration::from_secs(20);
/// The mark of a kubelet that is to be restarted, below the root.
pub const RESTART: &str = "restart-kubelet";
/// How soon a change is noticed.
const TICK: Duration = Duration::from_millis(5);

/// What the world and the thread of the kubelet share.
pub struct Shared {
    pub root: PathBuf,
    pub options: Options,
    pub proc_folder: ProcFolder,
    /// Where the kubelet's health endpoint listens.
    pub healthz_port: u16,
    pub history: History,
    /// The ended containers that the runtime still has.
    pub containers: Arc<Mutex<Containers>>,
    pub state: Mutex<State>,
    next_container: AtomicU64,
}

/// What is wanted of the thread, and what it tells.
#[derive(Default)]
pub struct State {
    pub ending: bool,
    pub kubelet_wanted: bool,
    /// The kubelet's process, while it runs.
    pub kubelet: Option<i32>,
    /// Pods whose health endpoint answers 500.
    pub unhealthy: BTreeSet<String>,
    /// Which of its own configurations the kubelet ends with.
    pub kubelet_refuses: Option<fn(&str) -> bool>,
    /// How often a kubelet was started.
    pub kubelet_starts: usize,
    /// Which encryption configurations an API server does not start with.
    pub not_borne: Option<fn(&[u8]) -> bool>,
    pub running: BTreeMap<String, Running>,
    /// How many ended containers were taken for crashes.
    pub counted_crashes: u32,
}

/// A running component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    pub pid: i32,
    /// Of the pod.
    pub uid: String,
    pub argv: Vec<String>,
    pub ready: bool,
}

impl Shared {
    pub fn new(root: &Path, options: Options, healthz_port: u16) -> Self {
        let state = State {
            kubelet_wanted: options.kubelet,
            ..State::default()
        };
        Self {
            root: root.to_owned(),
            options,
            proc_folder: ProcFolder::new(root),
            healthz_port,
            history: History::new(),
            containers: Arc::default(),
            state: Mutex::new(state),
            next_container: AtomicU64::new(1),
        }
    }

    /// A time of the real kubelet in this world.
    pub fn scaled(&self, real: Duration) -> Duration {
        real.mul_f64(self.options.time_scale)
    }

    /// 64 hexadecimal digits, as containerd's.
    pub fn container_id(&self) -> String {
        let number = self.next_container.fetch_add(1, Ordering::Relaxed);
        format!("{number:064x}")
    }

    pub fn is_unhealthy(&self, pod: &str) -> bool {
        self.lock().unhealthy.contains(pod)
    }

    pub fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with it")
    }
}

/// Runs until the world ends.
pub fn run(shared: &Shared) {
    let mut pods = Pods::default();
    let mut kubelet: Option<Kubelet> = None;
    // Only the first one has been running before the world began.
    let mut age = shared.options.kubelet_age;
    loop {
        let now = Instant::now();
        let (ending, wanted) = {
            let state = shared.lock();
            (state.ending, state.kubelet_wanted)
        };
        if ending {
            pods.end(shared);
            return;
        }
        shared.proc_folder.refresh_uptime();
        let restarts = shared.root.join(RESTART);
        let is_asked = restarts.exists();
        if let Some(ended) = kubelet.take_if(|_| is_asked || refuses(shared)) {
            shared.proc_folder.end(ended.pid);
        }
        if is_asked {
            std::fs::remove_file(&restarts).expect("a file of ours");
        }
        if wanted && kubelet.is_none() && !refuses(shared) {
            kubelet = Some(start(shared, std::mem::take(&mut age), now));
            shared.lock().kubelet_starts += 1;
        } else if !wanted && let Some(ended) = kubelet.take() {
            shared.proc_folder.end(ended.pid);
        }
        if let Some(kubelet) = &mut kubelet {
            pods.steer(shared, kubelet.source.look(now), now);
        }
        pods.pass_time(shared, now);
        {
            let mut state = shared.lock();
            state.kubelet = kubelet.as_ref().map(|kubelet| kubelet.pid);
            state.running = pods.running();
        }
        std::thread::sleep(TICK);
    }
}

/// A kubelet whose configuration is not borne ends at its start.
fn refuses(shared: &Shared) -> bool {
    let Some(refuses) = shared.lock().kubelet_refuses else {
        return false;
    };
    std::fs::read_to_string(shared.root.join("var/lib/kubelet/config.yaml")).is_ok_and(|text| refuses(&text))
}

/// A running kubelet. Its health endpoint closes with it.
struct Kubelet {
    pid: i32,
    source: FileSource,
    _healthz: HealthServer,
}

fn start(shared: &Shared, age: Duration, now: Instant) -> Kubelet {
    let argv = [
        "/usr/bin/kubelet",
        "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
        "--kubeconfig=/etc/kubernetes/kubelet.conf",
        "--config=/var/lib/kubelet/config.yaml",
    ];
    let pid = shared.proc_folder.start(&Program {
        argv: argv
            .iter()
            .map(|word| (*word).to_owned())
            .chain(shared.options.kubelet_flags.clone())
            .collect(),
        executable: shared.root.join("usr/bin/kubelet"),
        cgroup: "/system.slice/kubelet.service".to_owned(),
        uid: 0,
        age,
    });
    let source = FileSource::new(shared.root.join(MANIFESTS), shared.scaled(LIST_PERIOD), now);
    let healthz = HealthServer::open(shared.healthz_port).expect("a port of ours");
    healthz.answer(200);
    Kubelet {
        pid,
        source,
        _healthz: healthz,
    }
}
