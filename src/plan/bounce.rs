//! How an API server is restarted fast: its manifest goes out of the folder, its process is ended as soon as it serves nobody, and the
//! manifest comes in when the kubelet has cleaned up.
//!
//! At SIGTERM the API server stops listening within 50 ms and then hangs on long-lived connections until the kubelet's SIGKILL after
//! 30 s. A kubelet that finds a changed manifest while it still cleans up after the old pod waits 10 s before it looks again
//! (`pkg/kubelet/pod_workers.go`, `backOffPeriod`); so the manifest comes in after the pod's cgroup is gone, not before.

use std::time::Duration;

use crate::config::Drain;
use crate::domain::{Component, Fact, Health, Instant, Observation, Process, StaticPod};
use crate::journal::{Bounce, EditedManifest};
use crate::manifest::{command_line, flags_of_process, parse_boolean};

use super::in_flight::Step;

/// A process that should be gone, and a pod that should be cleaned up, are waited for this long; then the manifest comes in all the same,
/// and the kubelet does it in its own time.
const PATIENCE: Duration = Duration::from_secs(40);
/// The kubelet cleans up after a pod in about a second.
const CLEANING: Duration = Duration::from_secs(10);

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
    if set("shutdown-delay-duration")
        .any(|time| !matches!(time.trim_end_matches(char::is_alphabetic), "0" | ""))
    {
        return Some("--shutdown-delay-duration asks for time".to_owned());
    }
    if set("shutdown-send-retry-after").any(|value| parse_boolean(value) != Some(false)) {
        return Some("with --shutdown-send-retry-after it ends by itself".to_owned());
    }
    None
}

/// A manifest that is out, and what the node shows.
pub(super) struct Out<'a> {
    pub(super) edit: &'a EditedManifest,
    pub(super) bounce: &'a Bounce,
    pub(super) observation: &'a Observation,
    pub(super) since_begun: Duration,
    pub(super) draining: Option<&'a Instant>,
    pub(super) now: &'a Instant,
    pub(super) old_runs: bool,
    pub(super) deadline: Duration,
}

impl Out<'_> {
    /// What comes next while the manifest is out of its folder.
    pub(super) fn step(&self) -> Step {
        let kubelet_runs = self.observation.kubelet.process.known().is_some();
        // Without a kubelet nothing would end it, and it is better off with its manifest in place.
        if !kubelet_runs || self.since_begun >= PATIENCE.min(self.deadline) {
            return Step::PutIn;
        }
        if self.old_runs {
            return self.until_ended();
        }
        if self.is_cleaned_up() {
            return Step::PutIn;
        }
        Step::Wait {
            why: "the kubelet to clean up after the old pod".to_owned(),
        }
    }

    fn until_ended(&self) -> Step {
        let component = self.edit.component;
        let Some(since) = self.draining else {
            return match self.observation.health.get(&component) {
                Some(Fact::Known(Health::Closed(_))) => Step::Drain,
                _ => Step::Wait {
                    why: format!("{component} to stop listening"),
                },
            };
        };
        let drained = self
            .now
            .elapsed_since(since)
            .is_none_or(|time| time >= Duration::from_millis(self.bounce.drain_ms));
        if drained {
            return Step::End(self.edit.processes.clone());
        }
        Step::Wait {
            why: "it to finish what it has begun to answer".to_owned(),
        }
    }

    fn is_cleaned_up(&self) -> bool {
        let ended_at_least = self.draining.and_then(|since| self.now.elapsed_since(since));
        let waited = ended_at_least.unwrap_or(self.since_begun);
        self.edit
            .pods
            .iter()
            .all(|pod| !self.observation.pod_cgroups.contains(pod))
            || waited >= CLEANING + Duration::from_millis(self.bounce.drain_ms)
    }

    /// True when the former manifest lies where it was put.
    pub(super) fn is_out(edit: &EditedManifest, bounce: &Bounce, observation: &Observation) -> bool {
        let lies = |path| observation.files.get(path).and_then(Fact::known).is_some();
        let out = observation
            .manifests
            .get(&edit.component)
            .and_then(Fact::known)
            .map(|manifest| (&manifest.path, manifest.digest));
        lies(&bounce.out) && out == Some((&bounce.out, edit.before))
    }
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
