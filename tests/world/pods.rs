//! The pods that run: started, restarted with back-off, ended with grace, one at a time for each name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::NODE_NAME;
use super::container_runtime::{EXITED, container};
use super::file_source::Desired;
use super::kubelet::{Running, Shared};
use super::pod::Pod;
use super::pod_log;
use super::proc_folder::Program;
use super::process::Process;

/// The kubelet's times, before they are scaled.
const RELIST: Duration = Duration::from_secs(1);
const BACK_OFF: Duration = Duration::from_secs(10);
/// After the last process of a pod has ended, its cgroup is there for about that long.
const CLEANING: Duration = Duration::from_millis(700);
const MAX_BACK_OFF: Duration = Duration::from_mins(5);

/// The pods, by `namespace/name`.
#[derive(Default)]
pub struct Pods {
    slots: BTreeMap<String, Slot>,
    /// No pod of that name is started before this.
    not_before: BTreeMap<String, Instant>,
    /// The UIDs of pods with ended containers, as the runtime told it at the last relist.
    ended: BTreeSet<String>,
    relisted: Option<Instant>,
    /// How often an ended container of a pod was there when the pod was started, by UID.
    crashes: BTreeMap<String, u32>,
}

struct Slot {
    pod: Arc<Pod>,
    cgroup: String,
    /// The process of the sandbox.
    pause: i32,
    containers: Vec<Container>,
    stopping: bool,
    /// Since when no process of it is left.
    ended: Option<Instant>,
}

struct Container {
    process: Option<Process>,
    /// The number of its next run.
    next_run: u32,
    /// How often it was restarted in this pod.
    restarts: u32,
    next_start: Instant,
}

impl Container {
    fn start_if_due(&mut self, shared: &Shared, pod: &Arc<Pod>, index: usize, cgroup: &str, now: Instant) {
        if self.process.is_none() && now >= self.next_start {
            self.process = Some(Process::start(shared, pod, index, self.next_run, cgroup, now));
            self.next_run += 1;
        }
    }
}

impl Pods {
    /// What the kubelet does: ends what is not wanted, starts what is.
    pub fn steer(&mut self, shared: &Shared, desired: &Desired, now: Instant) {
        self.relist(shared, now);
        for (key, slot) in &mut self.slots {
            let wanted = desired.get(key).is_some_and(|pod| pod.uid == slot.pod.uid);
            if !wanted && !slot.stopping {
                slot.stop(shared);
            }
        }
        for (key, pod) in desired {
            if self.not_before.get(key).is_some_and(|time| now < *time) {
                continue;
            }
            if let Some(slot) = self.slots.get(key) {
                // Another pod of that name waits, and is looked at again only after the pod worker's back-off.
                if slot.pod.uid != pod.uid {
                    self.not_before.insert(key.clone(), now + shared.scaled(BACK_OFF));
                }
                continue;
            }
            if pod.prepare_volumes(&shared.root).is_ok() {
                let delay = self.crash_back_off(shared, pod);
                self.slots
                    .insert(key.clone(), Slot::start(shared, pod, now, now + delay));
            } else {
                self.not_before.insert(key.clone(), now + shared.scaled(RELIST));
            }
        }
        for slot in self.slots.values_mut().filter(|slot| !slot.stopping) {
            slot.restart_ended(shared, now);
        }
    }

    /// What the kubelet knows of its runtime, it knows from here.
    fn relist(&mut self, shared: &Shared, now: Instant) {
        let period = shared.scaled(RELIST);
        if self.relisted.is_some_and(|last| now < last + period) {
            return;
        }
        self.relisted = Some(now);
        let containers = shared.containers.lock().expect("no thread panics with it");
        let uids = containers
            .all
            .iter()
            .filter_map(|container| container.labels.get("io.kubernetes.pod.uid"));
        self.ended = uids.cloned().collect();
    }

    /// An ended container of the same pod is taken for a crash: the first costs nothing, the next ones more and more.
    fn crash_back_off(&mut self, shared: &Shared, pod: &Pod) -> Duration {
        if !self.ended.contains(&pod.uid) {
            return Duration::ZERO;
        }
        let crashes = self.crashes.entry(pod.uid.clone()).or_default();
        let delay = back_off(shared, *crashes);
        *crashes += 1;
        shared.lock().counted_crashes += 1;
        delay
    }

    /// What goes on without the kubelet: processes become ready, and end.
    pub fn pass_time(&mut self, shared: &Shared, now: Instant) {
        let etcd_ready = self.slots.get("kube-system/etcd").is_some_and(Slot::is_ready);
        for slot in self.slots.values_mut() {
            slot.pass_time(shared, now, etcd_ready);
        }
        let cleaning = shared.scaled(CLEANING);
        let gone: Vec<String> = self
            .slots
            .iter()
            .filter(|(_, s)| s.ended.is_some_and(|ended| now >= ended + cleaning))
            .map(|(k, _)| k.clone())
            .collect();
        for key in gone {
            if let Some(slot) = self.slots.remove(&key) {
                shared.proc_folder.end(slot.pause);
                if !shared.options.leaves_containers {
                    pod_log::remove(&shared.root, &slot.pod);
                    let uid = Some(&slot.pod.uid);
                    let mut containers = shared.containers.lock().expect("no thread panics with it");
                    containers
                        .all
                        .retain(|container| container.labels.get("io.kubernetes.pod.uid") != uid);
                }
                slot.remove_cgroup(shared);
            }
            let soon = now + shared.scaled(RELIST) / 2;
            let not_before = self.not_before.entry(key).or_insert(soon);
            *not_before = soon.max(*not_before);
        }
    }

    /// Ends every process at once: the node goes away.
    pub fn end(&mut self, shared: &Shared) {
        for slot in self.slots.values_mut() {
            for process in slot.containers.iter_mut().filter_map(|c| c.process.as_mut()) {
                process.end(shared);
            }
            shared.proc_folder.end(slot.pause);
        }
        self.slots.clear();
        self.not_before.clear();
    }

    /// The processes of the first containers, by pod.
    pub fn running(&self) -> BTreeMap<String, Running> {
        let running = |(key, slot): (&String, &Slot)| {
            let process = slot.containers.first()?.process.as_ref()?;
            let running = Running {
                pid: process.pid,
                uid: slot.pod.uid.clone(),
                argv: slot.pod.argv(0),
                ready: process.ready,
            };
            Some((key.clone(), running))
        };
        self.slots.iter().filter_map(running).collect()
    }
}

impl Slot {
    /// Its containers start at `at`.
    fn start(shared: &Shared, pod: &Arc<Pod>, now: Instant, at: Instant) -> Self {
        let cgroup = format!("/kubepods/burstable/pod{}", pod.uid);
        let pause = shared.proc_folder.start(&Program {
            argv: vec!["/pause".to_owned()],
            executable: shared.root.join("usr/local/bin/pause"),
            cgroup: format!("{cgroup}/{}", shared.container_id()),
            uid: 65_535,
            age: Duration::ZERO,
        });
        std::fs::create_dir_all(cgroup_folder(shared, &cgroup)).expect("the world's folder is writable");
        let containers = (0..pod.containers())
            .map(|index| {
                let run = pod_log::next_run(&shared.root, pod, index);
                let mut container = Container {
                    process: None,
                    next_run: run,
                    restarts: 0,
                    next_start: at,
                };
                container.start_if_due(shared, pod, index, &cgroup, now);
                container
            })
            .collect();
        Self {
            pod: Arc::clone(pod),
            cgroup,
            pause,
            containers,
            stopping: false,
            ended: None,
        }
    }

    fn remove_cgroup(&self, shared: &Shared) {
        std::fs::remove_dir(cgroup_folder(shared, &self.cgroup)).expect("a folder of ours");
    }

    fn stop(&mut self, shared: &Shared) {
        self.stopping = true;
        for process in self.containers.iter_mut().filter_map(|c| c.process.as_mut()) {
            process.terminate(shared);
        }
    }

    fn restart_ended(&mut self, shared: &Shared, now: Instant) {
        for (index, container) in self.containers.iter_mut().enumerate() {
            container.start_if_due(shared, &self.pod, index, &self.cgroup, now);
        }
    }

    fn pass_time(&mut self, shared: &Shared, now: Instant, etcd_ready: bool) {
        for container in &mut self.containers {
            let ended = container
                .process
                .as_mut()
                .is_some_and(|process| !process.pass_time(shared, now, etcd_ready));
            if ended {
                container.process = None;
                container.next_start = now + back_off(shared, container.restarts);
                container.restarts += 1;
            }
        }
        if self.is_gone() && self.ended.is_none() {
            self.ended = Some(now);
            let name = format!("{}-{NODE_NAME}", self.pod.name());
            let mut containers = shared.containers.lock().expect("no thread panics with it");
            for (index, ended) in self.containers.iter().enumerate() {
                let run = (self.pod.container_name(index), ended.next_run.saturating_sub(1));
                let pod = (self.pod.uid.as_str(), name.as_str());
                containers
                    .all
                    .push(container(&shared.container_id(), pod, run, EXITED));
            }
        }
    }

    fn is_gone(&self) -> bool {
        self.stopping
            && self
                .containers
                .iter()
                .all(|container| container.process.is_none())
    }

    fn is_ready(&self) -> bool {
        let ready = |container: &Container| container.process.as_ref().is_some_and(|process| process.ready);
        self.containers.iter().all(ready)
    }
}

fn cgroup_folder(shared: &Shared, cgroup: &str) -> std::path::PathBuf {
    shared
        .root
        .join("sys/fs/cgroup")
        .join(cgroup.trim_start_matches('/'))
}

/// The first restart comes at once, the next ones after 10 s, 20 s, 40 s and so on, 5 min at most.
fn back_off(shared: &Shared, restarts: u32) -> Duration {
    let Some(doublings) = restarts.checked_sub(1) else {
        return Duration::ZERO;
    };
    shared.scaled((BACK_OFF * 2_u32.pow(doublings.min(5))).min(MAX_BACK_OFF))
}
