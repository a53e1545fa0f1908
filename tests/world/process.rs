//! The process of a container: refuses its flags or serves, and takes its time to start and to end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::health_server::HealthServer;
use super::history::What;
use super::kubelet::Shared;
use super::pod::Pod;
use super::proc_folder::Program;
use super::{flags, pod_log};

/// How long a process that refuses its flags is there.
const LAST_BREATH: Duration = Duration::from_millis(10);

/// A running process.
pub struct Process {
    pub pid: i32,
    key: String,
    log: PathBuf,
    phase: Phase,
    /// A process without a probe has none, and is ready by being there.
    health: Option<HealthServer>,
    port: Option<u16>,
    argv: Vec<String>,
    pub ready: bool,
}

enum Phase {
    Starting {
        listens: Instant,
        ready: Instant,
    },
    Serving,
    /// It refused its flags, or was told to end.
    Ending {
        at: Instant,
    },
}

impl Process {
    /// Starts a container of a pod; `cgroup` is the pod's.
    pub fn start(
        shared: &Shared,
        pod: &Arc<Pod>,
        container: usize,
        restart: u32,
        cgroup: &str,
        now: Instant,
    ) -> Self {
        let argv = pod.argv(container);
        let executable = argv
            .first()
            .map_or("", |name| name.rsplit('/').next().unwrap_or(name));
        let pid = shared.proc_folder.start(&Program {
            argv: argv.clone(),
            executable: shared.root.join("usr/local/bin").join(executable),
            cgroup: format!("{cgroup}/{}", shared.container_id()),
            uid: 0,
            age: Duration::ZERO,
        });
        let key = pod.key();
        let refusal = flags::refusal(&shared.root, pod, container).or_else(|| not_borne(shared, &argv));
        let phase = if refusal.is_some() {
            Phase::Ending {
                at: now + LAST_BREATH,
            }
        } else {
            let delay = shared.options.start_delay;
            Phase::Starting {
                listens: now + delay / 2,
                ready: now + delay,
            }
        };
        let lines = refusal.unwrap_or_else(|| vec![first_words(pod.name())]);
        let log = pod_log::write(&shared.root, pod, container, restart, &lines);
        // Who sees the start in the history finds its log.
        let what = What::Started {
            pid,
            uid: pod.uid.clone(),
            restart,
            argv: argv.clone(),
        };
        shared.history.add(&key, what);
        Self {
            pid,
            key,
            log,
            phase,
            health: None,
            port: pod.probe_port(container),
            argv,
            ready: false,
        }
    }

    /// SIGTERM: it stops listening at once. The API server then hangs until it is killed, at the end of the pod's grace
    /// period; the others end in a tenth of it.
    pub fn terminate(&mut self, shared: &Shared) {
        let grace = shared.options.grace;
        let time = if self.key == "kube-system/kube-apiserver" {
            grace
        } else {
            grace / 10
        };
        shared.history.add(&self.key, What::Stopping { pid: self.pid });
        pod_log::append(&self.log, &["Received signal to shut down".to_owned()]);
        self.health = None;
        self.set_ready(shared, false);
        // Not from the tick's time: closing the listener may have taken some.
        self.phase = Phase::Ending {
            at: Instant::now() + time,
        };
    }

    /// Lets time pass; false when the process has ended.
    pub fn pass_time(&mut self, shared: &Shared, now: Instant, etcd_ready: bool) -> bool {
        if shared.proc_folder.is_killed(self.pid) {
            self.end(shared);
            return false;
        }
        match self.phase {
            Phase::Starting { listens, ready } => {
                if now >= listens && self.health.is_none() && !self.listen() {
                    self.phase = Phase::Ending { at: now };
                } else if now >= ready {
                    self.phase = Phase::Serving;
                }
            }
            Phase::Serving => {
                let code = self.health_code(shared, etcd_ready);
                if let Some(health) = &self.health {
                    health.answer(code);
                }
                self.set_ready(shared, code == 200);
            }
            Phase::Ending { at } if now >= at => {
                self.end(shared);
                return false;
            }
            Phase::Ending { .. } => {}
        }
        true
    }

    /// SIGKILL.
    pub fn end(&mut self, shared: &Shared) {
        self.health = None;
        self.set_ready(shared, false);
        shared.proc_folder.end(self.pid);
        shared.history.add(&self.key, What::Ended { pid: self.pid });
    }

    /// False when the port is taken: the real one ends then.
    fn listen(&mut self) -> bool {
        match self.port.map(HealthServer::open) {
            Some(Ok(server)) => self.health = Some(server),
            Some(Err(cause)) => {
                pod_log::append(
                    &self.log,
                    &[format!("Error: failed to listen on 127.0.0.1: {cause}")],
                );
                return false;
            }
            None => {}
        }
        true
    }

    /// kubeadm's probes come without credentials: an API server without anonymous access refuses them.
    fn health_code(&self, shared: &Shared, etcd_ready: bool) -> u16 {
        let api_server = self.key == "kube-system/kube-apiserver";
        if shared.is_unhealthy(&self.key) || (api_server && !etcd_ready) {
            500
        } else if api_server && self.argv.iter().any(|flag| flag == "--anonymous-auth=false") {
            401
        } else {
            200
        }
    }

    fn set_ready(&mut self, shared: &Shared, ready: bool) {
        if ready == self.ready {
            return;
        }
        self.ready = ready;
        let pid = self.pid;
        let what = if ready {
            What::Ready { pid }
        } else {
            What::NotReady { pid }
        };
        shared.history.add(&self.key, what);
    }
}

/// What an API server says that does not bear its encryption configuration.
fn not_borne(shared: &Shared, argv: &[String]) -> Option<Vec<String>> {
    let not_borne = shared.lock().not_borne?;
    let named = argv
        .iter()
        .find_map(|flag| flag.strip_prefix("--encryption-provider-config="));
    let bytes = std::fs::read(super::pod::below(&shared.root, named?)).ok()?;
    let at = jiff::Zoned::now().strftime("%m%d %H:%M:%S%.6f").to_string();
    let error = "error while parsing file: this is not borne";
    not_borne(&bytes).then(|| {
        vec![format!(
            r#"E{at}       1 run.go:72] "command failed" err="{error}""#
        )]
    })
}

fn first_words(name: &str) -> String {
    let at = jiff::Zoned::now().strftime("%m%d %H:%M:%S%.6f").to_string();
    format!("I{at}       1 server.go:157] \"Starting {name}\" version=\"v1.35.4\"")
}
