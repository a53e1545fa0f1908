//! How an API server is restarted fast: its manifest goes out of the folder, its process is ended as soon as it serves nobody, and the
//! manifest comes in when the kubelet has cleaned up. A bounce is the same walk without a change of content; it is there for every
//! component, and the others are left to the kubelet.
//!
//! At SIGTERM the API server stops listening within 50 ms and then hangs on long-lived connections until the kubelet's SIGKILL after
//! 30 s. A kubelet that finds a changed manifest while it still cleans up after the old pod waits 10 s before it looks again
//! (`pkg/kubelet/pod_workers.go`, `backOffPeriod`); so the manifest comes in after the pod's cgroup is gone, not before. The cgroup goes
//! first (`SyncTerminatedPod`), and the pod's name is free for another only after that (`completeTerminated`).

use std::time::Duration;

use super::in_flight::{Limits, Step};
use super::last_words::fault_in;
use super::restarting::Restarting;
use crate::config::Drain;
use crate::domain::{Component, Fact, Instant, KubeletFacts, NodePath, Observation, Process, StaticPod};
use crate::journal::{BouncedManifest, InFlight};
use crate::kubelet::{RUNTIME_ENDPOINT, effective};
use crate::manifest::{command_line, flags_of_process, parse_boolean, parse_go_duration};

/// A process that should be gone, and a pod that should be cleaned up, are waited for this long; then the manifest comes in all the same,
/// and the kubelet does it in its own time.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);
/// The same while who carries it on is to end: a service that is stopped, maybe with the machine. A kubelet that has not yet cleaned up after
/// the old pod then looks again 10 s later.
pub(super) const PATIENCE_OF_ENDING: Duration = Duration::from_secs(3);
/// The kubelet cleans up after a pod in about a second.
const CLEANING: Duration = Duration::from_secs(10);
/// The kubelet forgets a pod well within this time after it has taken its cgroup away; 0.14 s were seen on a busy machine.
const FORGETTING: Duration = Duration::from_millis(400);
/// The kubelet usually sees within this time what its runtime has: it asks a second after it has seen the last answer
/// (`pkg/kubelet/pleg/generic.go`), and asking takes some.
const RELISTING: Duration = Duration::from_millis(1_300);
/// The runtime is asked only where so much time is left for its answers.
const ASKING: Duration = Duration::from_secs(4);
/// A kubelet that saw the manifest go ends its process within this time, also where the manifest came back meanwhile.
const REACTING: Duration = Duration::from_secs(10);
/// What is waited for then.
pub const FORGET: &str = "the kubelet to forget the old pod";

/// How long the process may drain before it is ended early.
///
/// # Errors
/// Why it is left to the kubelet: another component, or ending it early could lose something.
pub(super) fn early_end(
    component: Component,
    pod: &StaticPod,
    processes: &[Process],
    drain: Drain,
) -> Result<Duration, String> {
    let Drain::After(drain) = drain else {
        return Err("the configuration leaves it to the kubelet (drain: kubelet)".to_owned());
    };
    if component != Component::ApiServer {
        return Err(format!("only an API server is ended early, not {component}"));
    }
    if pod.containers.len() != 1 {
        return Err(format!("its pod has {} containers", pod.containers.len()));
    }
    let [process] = processes else {
        return Err(format!("it has {} processes", processes.len()));
    };
    let line = command_line(component, pod).map_err(|why| why.to_string())?;
    let written = line
        .flags()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_owned()));
    let running = flags_of_process(component, &process.argv).map_err(|why| why.to_string())?;
    let running = running
        .into_iter()
        .map(|(name, value)| (name.as_str().to_owned(), value));
    let flags: Vec<(String, String)> = written.chain(running).collect();
    needs_time(&flags).map_or(Ok(drain), Err)
}

/// Why a server with these flags is not ended early.
fn needs_time(flags: &[(String, String)]) -> Option<String> {
    let set = |wanted: &'static str| {
        let named = flags.iter().filter(move |(name, _)| name == wanted);
        named.map(|(_, value)| value.as_str())
    };
    let batches = |mode: &'static str, default: &str| {
        let mut modes = set(mode).peekable();
        (modes.peek().is_none() && default == "batch") || modes.any(|mode| mode == "batch")
    };
    if set("audit-webhook-config-file").next().is_some() && batches("audit-webhook-mode", "batch") {
        return Some("it sends its audit events in batches, and would lose the last one".to_owned());
    }
    if set("audit-log-path").next().is_some() && batches("audit-log-mode", "blocking") {
        return Some("it writes its audit log in batches, and would lose the last one".to_owned());
    }
    if set("shutdown-delay-duration").any(|time| parse_go_duration(time) != Some(Duration::ZERO)) {
        return Some("--shutdown-delay-duration asks for time".to_owned());
    }
    if set("shutdown-send-retry-after").any(|value| parse_boolean(value) != Some(false)) {
        return Some("with --shutdown-send-retry-after it ends by itself".to_owned());
    }
    None
}

/// A manifest that is out, and what the node shows.
pub(super) struct Out<'a> {
    pub(super) seen: &'a Restarting<'a>,
    /// How long its process may drain before it is ended; `None` leaves that to the kubelet.
    pub(super) drain: Option<Duration>,
}

impl Out<'_> {
    /// What comes next while the manifest is out of its folder.
    pub(super) fn step(&self) -> Step {
        // Without a kubelet nothing would end it, and it is better off with its manifest in place.
        let is_over = self.seen.kubelet_is_down() || self.seen.since_begun >= self.seen.out_at_most;
        if is_over || (self.seen.at_once && !self.seen.old_runs()) {
            return Step::PutIn;
        }
        if self.seen.old_runs() {
            return self.until_ended();
        }
        if self.is_cleaned_up() {
            return self.until_forgotten();
        }
        Step::Wait {
            why: "the kubelet to clean up after the old pod".to_owned(),
        }
    }

    fn until_forgotten(&self) -> Step {
        let Some(since) = self.seen.cleaned_up else {
            return Step::CleanedUp;
        };
        // A short deadline is not spent on it.
        let is_over = |since: &Instant, span: Duration, part: u32| {
            let elapsed = self.seen.now.elapsed_since(since);
            elapsed.is_none_or(|elapsed| elapsed >= span.min(self.seen.deadline / part))
        };
        let wait = Step::Wait {
            why: FORGET.to_owned(),
        };
        if !is_over(since, FORGETTING, 10) {
            return wait;
        }
        if !self.seen.same_pod_returns {
            return Step::PutIn;
        }
        // Where the same manifest comes in, the pod has the same UID, and a container of before that the kubelet still knows counts as one that
        // has crashed: the new one may have to wait 10 s, 20 s, 40 s and so on (`pkg/kubelet/kuberuntime`, `doBackOff`). It removes its
        // containers, or leaves them to its garbage collector, which comes once a minute; and it knows of either at its next look alone.
        let changed = match self.seen.removed {
            None => match runtime_socket(&self.seen.observation.kubelet).filter(|_| self.has_time_to_ask()) {
                Some(socket) => {
                    let pods = self.seen.pods.to_vec();
                    return Step::RemoveEnded { socket, pods };
                }
                None => since,
            },
            Some((_, Some(0))) => since,
            Some((removed, _)) => removed,
        };
        if is_over(changed, RELISTING, 5) {
            return Step::PutIn;
        }
        wait
    }

    fn has_time_to_ask(&self) -> bool {
        self.seen.since_begun + ASKING < self.seen.out_at_most
    }

    fn until_ended(&self) -> Step {
        let component = self.seen.component;
        self.seen.early_end(self.drain).unwrap_or_else(|| Step::Wait {
            why: if self.drain.is_some() {
                format!("{component} to stop listening")
            } else {
                format!("the kubelet to end {component}")
            },
        })
    }

    fn is_cleaned_up(&self) -> bool {
        let mut pods = self.seen.pods.iter();
        if pods.all(|pod| !self.seen.observation.pod_cgroups.contains(pod)) {
            return true;
        }
        // When a process ended is known only where we end it ourselves; otherwise patience is the limit.
        let Some(drain) = self.drain else { return false };
        let since = self.seen.draining;
        let ended_at_least = since.and_then(|since| self.seen.now.elapsed_since(since));
        ended_at_least.unwrap_or(self.seen.since_begun) >= CLEANING + drain
    }
}

/// The socket of the kubelet's container runtime; `None` when that cannot be told, or it is no socket of a file.
fn runtime_socket(kubelet: &KubeletFacts) -> Option<NodePath> {
    let endpoint = effective(kubelet, &RUNTIME_ENDPOINT).known()?.value.clone();
    let path = endpoint
        .strip_prefix("unix://")
        .or_else(|| endpoint.strip_prefix("unix:"))
        .unwrap_or(&endpoint);
    path.parse().ok()
}

/// The next step of a bounce. Its manifest has the same content before and after, so what tells where it stands is where the file
/// lies and whether its former process runs.
pub(super) fn bounced(
    act: &BouncedManifest,
    in_flight: &InFlight,
    observation: &Observation,
    limits: Limits,
    now: &Instant,
) -> Step {
    let seen = Restarting::new(
        (act.component, &act.path),
        (&act.processes, &act.pods),
        in_flight,
        observation,
        limits,
        now,
    );
    let drain = act.drain_ms.map(Duration::from_millis);
    match seen.content() {
        Fact::Known(digest) if digest == act.digest => back(act, &seen),
        Fact::Known(_) => Step::Abandon {
            why: format!("someone else has written {} since", act.path),
        },
        Fact::Absent => seen.away(&act.out, drain).unwrap_or_else(|| Step::Abandon {
            why: format!(
                "someone else has taken {} away since; a copy is {}",
                act.path, act.backup
            ),
        }),
        Fact::Unknown(_) if seen.lies_out(&act.out) == Fact::Known(()) => Out { seen: &seen, drain }.step(),
        Fact::Unknown(why) if seen.is_overdue() => Step::Abandon { why: why.to_string() },
        Fact::Unknown(why) => Step::Wait { why: why.to_string() },
    }
}

/// The manifest lies in its folder: it came in again, or never went out.
fn back(act: &BouncedManifest, seen: &Restarting<'_>) -> Step {
    let component = act.component;
    let Some(awaited) = seen.awaited() else {
        return Step::Finish;
    };
    if seen.old_runs() && seen.health().is_ok() {
        let why = if seen.kubelet_is_down() {
            format!(
                "the kubelet is not running; the manifest is in its folder, and {component} goes on as before"
            )
        } else if seen.since_begun >= PATIENCE.min(seen.deadline) {
            format!(
                "the kubelet did not end {component}, which goes on as before; its manifest is in its folder"
            )
        } else if seen.since_begun < REACTING.min(seen.deadline / 10) {
            // It may have been out for a moment, when whoever took it out was killed: what the former process runs with proves nothing
            // as long as another may follow it.
            let why = format!("the kubelet to end {component}, if it saw its manifest go");
            return Step::Wait { why };
        } else {
            format!(
                "the manifest had not gone out yet, was out too briefly for the kubelet to see it, or someone else has put it back; \
                 {component} goes on as before"
            )
        };
        return Step::Abandon { why };
    }
    if seen.is_overdue() {
        let why = format!("waited {} s for {awaited}", seen.since_begun.as_secs());
        return Step::Refuse {
            // The same pod as before: what is new in its logs cannot be told apart from its last words.
            fault: fault_in(why, &seen.logs(|_| true), &[]),
            recovered: false,
        };
    }
    let drain = act.drain_ms.map(Duration::from_millis);
    seen.early_end_in_place(drain)
        .unwrap_or(Step::Wait { why: awaited })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(flags: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        flags.iter().map(owned).collect()
    }

    #[test]
    fn a_server_that_could_lose_something_is_not_ended_early() {
        for needs in [
            &[("audit-webhook-config-file", "/etc/w.yaml")][..],
            &[
                ("audit-webhook-config-file", "/etc/w.yaml"),
                ("audit-webhook-mode", "blocking"),
                ("audit-webhook-mode", "batch"),
            ],
            &[("audit-log-path", "/var/log/a.log"), ("audit-log-mode", "batch")],
            &[("shutdown-delay-duration", "10s")],
            &[
                ("shutdown-delay-duration", "0s"),
                ("shutdown-delay-duration", "1m0s"),
            ],
            &[("shutdown-send-retry-after", "true")],
            &[("shutdown-send-retry-after", "what")],
        ] {
            assert!(needs_time(&flags(needs)).is_some(), "{needs:?}");
        }
        for free in [
            &[][..],
            &[
                ("audit-webhook-config-file", "/etc/w.yaml"),
                ("audit-webhook-mode", "blocking-strict"),
            ],
            &[("audit-log-path", "/var/log/a.log")],
            &[("audit-webhook-mode", "batch")],
            &[("shutdown-delay-duration", "0s")],
            &[("shutdown-send-retry-after", "false")],
        ] {
            assert_eq!(needs_time(&flags(free)), None, "{free:?}");
        }
    }
}
