//! Whether a component may be restarted now, and if not, why.

use super::build::{Circumstances, not_asked};
use super::change::WithheldReason;
use super::last_words::fault_in;
use crate::config::WindowState;
use crate::domain::{Component, Fact, Health, Observation, Process};
use crate::journal::RefusedFlag;
use crate::manifest::{CommandLine, command_line};

/// kubeadm is waited for this long; what runs longer hangs, or is something else.
const KUBEADM_PATIENCE_MS: u64 = 15 * 60 * 1000;

/// A kubelet that has run for less has not taken over all of its pods: one whose manifest goes away meanwhile is ended late, for nobody
/// knows any more whose it is (seen on a real node within a second of the start; after 40 s it still ran).
const KUBELET_SETTLES_MS: u64 = 15_000;

/// Why the component may not be restarted now; `None` when it may.
pub(super) fn why_not(
    component: Component,
    observation: &Observation,
    circumstances: &Circumstances<'_>,
) -> Option<WithheldReason> {
    endangered(circumstances)
        .or_else(|| why_no_static_pod(observation, circumstances))
        .or_else(|| outside_window(circumstances))
        .or_else(|| kubeadm_runs(observation))
        .or_else(|| unhealthy(component, observation))
        .or_else(|| kubelet_starts(observation))
}

/// The same for an API server that lost the configuration which reads its values: it is mended at once, healthy or not, whatever the
/// hour, and while kubeadm runs, too.
pub(super) fn why_not_mended(
    observation: &Observation,
    circumstances: &Circumstances<'_>,
) -> Option<WithheldReason> {
    why_no_static_pod(observation, circumstances).or_else(|| kubelet_starts(observation))
}

/// What holds for every restart of a static pod.
fn why_no_static_pod(observation: &Observation, circumstances: &Circumstances<'_>) -> Option<WithheldReason> {
    another(circumstances)
        .or_else(|| settling(circumstances))
        .or_else(|| several_nodes(observation))
        .or_else(|| kubelet_down(observation))
}

/// Why the kubelet may not be restarted now; `None` when it may. Its pods run on meanwhile: nothing depends on how many nodes there are.
pub(super) fn why_no_kubelet(
    observation: &Observation,
    circumstances: &Circumstances<'_>,
) -> Option<WithheldReason> {
    endangered(circumstances)
        .or_else(|| another(circumstances))
        .or_else(|| settling(circumstances))
        .or_else(|| kubelet_down(observation))
        .or_else(|| outside_window(circumstances))
        .or_else(|| kubeadm_runs(observation))
}

/// Why the copy of a component's manifest is not moved now; `None` when it may be. Whatever the hour: the component is another one than is
/// meant already.
pub(super) fn why_no_quarantine(
    observation: &Observation,
    circumstances: &Circumstances<'_>,
) -> Option<WithheldReason> {
    endangered(circumstances)
        .or_else(|| settling(circumstances))
        .or_else(|| kubeadm_runs(observation))
        .or_else(|| kubelet_starts(observation))
}

/// True while kubeadm runs, or may.
pub(super) fn is_being_set_up(observation: &Observation) -> bool {
    kubeadm_runs(observation).is_some()
}

/// What an operator should know although nothing is held back for it.
pub(super) fn warnings(observation: &Observation) -> Vec<String> {
    let long = observation
        .kubeadm
        .known()
        .into_iter()
        .flatten()
        .filter(|process| is_long(process));
    long.map(|process| {
        let minutes = process.age_ms / 60_000;
        format!("kubeadm (process {}) has been running for {minutes} minutes; Holdfast no longer holds off for it", process.id.pid)
    })
    .collect()
}

const fn is_long(process: &Process) -> bool {
    process.age_ms > KUBEADM_PATIENCE_MS
}

/// One component at a time.
fn another(circumstances: &Circumstances<'_>) -> Option<WithheldReason> {
    let begun = circumstances.journal.in_flight.as_ref()?;
    Some(WithheldReason::Waiting(format!(
        "another change is in flight: {}",
        begun.act
    )))
}

fn settling(circumstances: &Circumstances<'_>) -> Option<WithheldReason> {
    let why = "the node's files have just changed; waiting until they are quiet";
    circumstances
        .settling
        .then(|| WithheldReason::Waiting(why.to_owned()))
}

fn endangered(circumstances: &Circumstances<'_>) -> Option<WithheldReason> {
    let why = "encryption at rest comes first: stored values need what is gone from its configuration, or may need it";
    circumstances
        .endangered
        .then(|| WithheldReason::Waiting(why.to_owned()))
}

fn several_nodes(observation: &Observation) -> Option<WithheldReason> {
    match &observation.control_plane {
        Fact::Known(control_plane) if control_plane.nodes.len() <= 1 => None,
        Fact::Known(control_plane) => {
            let names: Vec<&str> = control_plane.nodes.iter().map(String::as_str).collect();
            let who = format!("{} by {}", names.join(", "), control_plane.source);
            Some(WithheldReason::SeveralControlPlaneNodes(who))
        }
        Fact::Absent => Some(WithheldReason::ControlPlaneUnknown(
            "no source names any".to_owned(),
        )),
        Fact::Unknown(why) => Some(WithheldReason::ControlPlaneUnknown(why.to_string())),
    }
}

fn outside_window(circumstances: &Circumstances<'_>) -> Option<WithheldReason> {
    let window = circumstances
        .config
        .disruption
        .window
        .as_ref()
        .filter(|_| !circumstances.any_time)?;
    match window.state(circumstances.now.wall) {
        WindowState::Open => None,
        WindowState::Closed(opens) => Some(WithheldReason::OutsideWindow(Some(opens))),
    }
}

fn kubelet_down(observation: &Observation) -> Option<WithheldReason> {
    match &observation.kubelet.process {
        Fact::Known(_) => None,
        Fact::Absent => Some(WithheldReason::KubeletDown(
            "it is not running (systemctl start kubelet)".to_owned(),
        )),
        Fact::Unknown(why) => Some(WithheldReason::KubeletDown(why.to_string())),
    }
}

fn kubelet_starts(observation: &Observation) -> Option<WithheldReason> {
    let kubelet = observation.kubelet.process.known()?;
    let left_ms = KUBELET_SETTLES_MS.saturating_sub(kubelet.age_ms);
    (left_ms > 0).then(|| WithheldReason::KubeletStarts {
        seconds: left_ms.div_ceil(1000),
    })
}

fn kubeadm_runs(observation: &Observation) -> Option<WithheldReason> {
    match &observation.kubeadm {
        Fact::Known(running) => {
            let waited_for = running.iter().filter(|process| !is_long(process));
            let seconds = waited_for.map(|process| process.age_ms / 1000).max()?;
            Some(WithheldReason::KubeadmRuns { seconds })
        }
        Fact::Absent => None,
        Fact::Unknown(why) => Some(WithheldReason::Waiting(format!(
            "whether kubeadm runs cannot be told: {why}"
        ))),
    }
}

/// A component that is not healthy before an edit could not prove healthy after it.
fn unhealthy(component: Component, observation: &Observation) -> Option<WithheldReason> {
    let why = match not_asked(observation.processes.get(&component)) {
        Fact::Known(processes) if processes.is_empty() => format!("no process of {component} runs"),
        Fact::Absent => format!("no process of {component} runs"),
        Fact::Unknown(why) => return Some(WithheldReason::Unhealthy(why.to_string())),
        Fact::Known(_) => match not_asked(observation.health.get(&component)) {
            Fact::Known(Health::Ok) => return None,
            Fact::Known(Health::Failing(why) | Health::Closed(why)) => why.to_string(),
            Fact::Unknown(why) => why.to_string(),
            Fact::Absent => {
                format!(
                    "the manifest of {component} has no HTTP probe, so its health could not be proven after an edit"
                )
            }
        },
    };
    Some(WithheldReason::Unhealthy(with_last_words(
        why,
        component,
        observation,
    )))
}

/// Adds what the component itself said last, and which of its flags that names.
fn with_last_words(why: String, component: Component, observation: &Observation) -> String {
    let Some(logs) = observation.pod_logs.get(&component).and_then(Fact::known) else {
        return why;
    };
    let manifest = observation.manifests.get(&component).and_then(Fact::known);
    let line = manifest.and_then(|manifest| command_line(component, &manifest.pod).ok());
    let set = |line: &CommandLine| {
        let flags = line.flags();
        flags
            .map(|(name, value)| RefusedFlag {
                name: name.clone(),
                value: value.to_owned(),
            })
            .collect::<Vec<_>>()
    };
    let fault = fault_in(why, logs, &line.as_ref().map(set).unwrap_or_default());
    let mut told = fault.why;
    if let Some(words) = fault.last_words.last() {
        told = format!("{told}. Its last words: {words}");
    }
    if let (Some(flag), Some(manifest)) = (fault.flag, manifest) {
        told = format!(
            "{told}. At fault: {}={}; correct it with an editor in {}",
            flag.name, flag.value, manifest.path
        );
    }
    told
}
