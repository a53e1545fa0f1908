//! Whether a component may be bounced now, and how: what the command `bounce` asks.

use std::collections::BTreeSet;
use std::time::Duration;

use super::bounce::{PATIENCE, early_end};
use super::build::{Circumstances, not_asked};
use super::change::{Change, Deed, ManifestBounce, WithheldReason};
use super::edits::files_are_there;
use super::restart;
use crate::domain::{Component, Digest, EntryContent, EtcdState, Fact, Manifest, Observation};

/// A bounce that may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BouncePlan {
    /// The bounce, as a change.
    pub change: Change,
    /// What it does, in full.
    pub bounce: ManifestBounce,
    /// Its manifest is out of its folder for this long at most.
    pub out_at_most: Duration,
}

/// The bounce of a component, if nothing speaks against it now. `etcd` is asked for the API server and for etcd itself.
///
/// # Errors
/// Why it is refused: what is unknown refuses it, too.
pub fn bounce_now(
    component: Component,
    observation: &Observation,
    etcd: &Fact<EtcdState>,
    circumstances: &Circumstances<'_>,
) -> Result<BouncePlan, WithheldReason> {
    let why = restart::why_not(component, observation, circumstances);
    bounced(component, observation, etcd, circumstances, why)
}

/// The bounce by which an API server loads what its stored values need: healthy or not, as one that cannot read them is not ready; whatever
/// the hour, and while kubeadm runs, too.
///
/// # Errors
/// Why it is refused: what is unknown refuses it, too.
pub fn bounce_to_mend(
    observation: &Observation,
    etcd: &Fact<EtcdState>,
    circumstances: &Circumstances<'_>,
) -> Result<BouncePlan, WithheldReason> {
    let why = restart::why_not_mended(observation, circumstances);
    bounced(Component::ApiServer, observation, etcd, circumstances, why)
}

fn bounced(
    component: Component,
    observation: &Observation,
    etcd: &Fact<EtcdState>,
    circumstances: &Circumstances<'_>,
    why_not: Option<WithheldReason>,
) -> Result<BouncePlan, WithheldReason> {
    if let Some(why) = &circumstances.paused {
        return Err(WithheldReason::Paused(why.clone()));
    }
    let unhealthy = |why: String| WithheldReason::Unhealthy(why);
    if let Some(why) = why_not {
        return Err(why);
    }
    let manifest = match not_asked(observation.manifests.get(&component)) {
        Fact::Known(manifest) => manifest,
        Fact::Absent => return Err(unhealthy(format!("the manifest of {component} is not there"))),
        Fact::Unknown(why) => return Err(unhealthy(why.to_string())),
    };
    if let Some(twin) = twin(component, manifest, observation) {
        return Err(unhealthy(twin));
    }
    files_are_there(component, &manifest.text, &BTreeSet::new(), observation)
        .map_err(WithheldReason::FileMissing)?;
    if matches!(component, Component::ApiServer | Component::Etcd)
        && let Some(why) = etcd_not_well(etcd)
    {
        return Err(unhealthy(why));
    }
    let processes = observation.processes.get(&component).and_then(Fact::known);
    let processes = processes.cloned().unwrap_or_default();
    let disruption = &circumstances.config.disruption;
    let bounce = ManifestBounce {
        component,
        path: manifest.path.clone(),
        text: manifest.text.clone(),
        processes: processes.iter().map(|process| process.id).collect(),
        pods: processes
            .iter()
            .filter_map(|process| process.pod_uid.clone())
            .collect(),
        early: early_end(component, &manifest.pod, &processes, disruption.drain),
    };
    let change = Change {
        id: Digest::of(format!("bounce {}\0{}", bounce.path, bounce.text).as_bytes()),
        controls: Vec::new(),
        deed: Deed::Bounce(bounce.clone()),
    };
    Ok(BouncePlan {
        change,
        bounce,
        out_at_most: PATIENCE.min(disruption.deadline),
    })
}

/// Another file of the folder that holds the same pod: it would run while the manifest is out.
pub(super) fn twin(component: Component, manifest: &Manifest, observation: &Observation) -> Option<String> {
    let entries = match &observation.manifest_folder {
        Fact::Known(entries) => entries,
        Fact::Absent => return Some("the manifests folder is not there".to_owned()),
        Fact::Unknown(why) => return Some(why.to_string()),
    };
    let same = entries.iter().find(|entry| match &entry.content {
        EntryContent::Pod { namespace, name, .. } => {
            entry.name != component.manifest_file()
                && !entry.name.starts_with('.')
                && (namespace, name) == (&manifest.pod.namespace, &manifest.pod.name)
        }
        EntryContent::Unparsable { .. } | EntryContent::NotRead(_) => false,
    })?;
    Some(format!(
        "{} in the manifests folder holds the same pod, and the kubelet would run it instead",
        same.name
    ))
}

/// Why etcd does not bear that the API server or etcd itself restarts.
pub(super) fn etcd_not_well(etcd: &Fact<EtcdState>) -> Option<String> {
    match etcd {
        Fact::Known(state) if !state.has_leader => Some("etcd has no leader".to_owned()),
        Fact::Known(state) if !state.alarms.is_empty() => Some(format!(
            "etcd has raised an alarm ({}); after a restart the API could not write",
            state.alarms.join(", ")
        )),
        Fact::Known(_) => None,
        Fact::Absent => Some("how etcd is could not be asked".to_owned()),
        Fact::Unknown(why) => Some(format!("how etcd is cannot be told: {why}")),
    }
}
