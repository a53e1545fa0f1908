//! What conditional remedies need before their flags are set: made where Holdfast makes it, there where it does not. Pure.

mod anonymous;
mod files;
mod pairs;

pub(super) use pairs::{fitting, runs_with};

use std::collections::{BTreeMap, BTreeSet};

use super::build::{Circumstances, not_asked};
use super::change::{Change, Deed, Withheld, WithheldReason};
use super::edits::{Wanted, controls_of, withheld};
use super::targets::flag_file;
use crate::controls::{ADMISSION_FLAG, Kit};
use crate::domain::{Component, ControlId, Digest, Fact, FlagName, NodePath, Observation};
use crate::manifest::{Edit, command_line};

/// A log of so many old files is reckoned with where their number has no limit.
const UNLIMITED: u64 = 10;
/// So many nodes are named.
const TOLD: usize = 5;
const MIB: u64 = 1 << 20;

/// What goes before the edit of a manifest, and into it.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// What is made first.
    pub(super) changes: Vec<Change>,
    /// The mounts and volumes.
    pub(super) edits: Vec<Edit>,
    /// What is there, or will be when the manifest is edited.
    pub(super) there: BTreeSet<NodePath>,
}

/// Leaves out the flags of remedies whose needs are not met, each with the reason.
pub(super) fn prepare<'a>(
    component: Component,
    wanted: Vec<&'a Wanted>,
    observation: &Observation,
    circumstances: &Circumstances<'_>,
) -> (Vec<&'a Wanted>, Prepared, Vec<Withheld>) {
    let (mut prepared, mut left_out, mut refused) = (Prepared::default(), Vec::new(), BTreeSet::new());
    for (kit, ready) in ready(component, &wanted, observation, circumstances) {
        match ready {
            Ok(ready) => prepared.add(ready),
            Err(reason) => {
                let flags = wanted.iter().copied().filter(|flag| flag.kit == Some(kit));
                left_out.push(withheld(component, flags, reason));
                refused.insert(kit);
            }
        }
    }
    let kept = wanted
        .into_iter()
        .filter(|flag| flag.kit.is_none_or(|kit| !refused.contains(&kit)));
    (kept.collect(), prepared, left_out)
}

/// Each remedy that some of the flags belong to, with what goes before it, or why it is not made.
pub(super) fn ready(
    component: Component,
    wanted: &[&Wanted],
    observation: &Observation,
    circumstances: &Circumstances<'_>,
) -> BTreeMap<Kit, Result<Prepared, WithheldReason>> {
    let mut kits: BTreeMap<Kit, Vec<&Wanted>> = BTreeMap::new();
    for flag in wanted {
        if let Some(kit) = flag.kit {
            kits.entry(kit).or_default().push(flag);
        }
    }
    let refused: BTreeMap<Kit, String> = kits
        .iter()
        .filter_map(|(kit, flags)| Some((*kit, Needs::of(component, flags, observation).met(*kit).err()?)))
        .collect();
    let refused = one_file(refused, observation);
    let at_once: BTreeSet<Kit> = kits
        .keys()
        .copied()
        .filter(|kit| !refused.contains_key(kit))
        .collect();
    let ready = kits.iter().map(|(kit, flags)| {
        let provided = match refused.get(kit) {
            Some(why) => Err(why.clone()),
            None => Needs::of(component, flags, observation).provided(*kit, &at_once),
        };
        let ready = provided.map_err(WithheldReason::NotReady);
        let ready = ready.and_then(|ready| match ready.tried_and_failed(circumstances) {
            Some(reason) => Err(reason),
            None => Ok(ready),
        });
        (*kit, ready)
    });
    ready.collect()
}

/// Two plug-ins share a file, which is installed once: as long as it cannot be told whether the second belongs into it, the first waits.
fn one_file(mut refused: BTreeMap<Kit, String>, observation: &Observation) -> BTreeMap<Kit, String> {
    let is_open = observation.beyond_baseline.known().is_none();
    if let Some(why) = refused.get(&Kit::PodSecurity).filter(|_| is_open) {
        let why = format!(
            "it shares a file with X-API-07, of which it is not decided whether it can be mended ({why}); it goes alone where X-API-07 is not \
             allowed (`controls: {{ X-API-07: {{ conditional: report }} }}`)"
        );
        refused.entry(Kit::EventRateLimit).or_insert(why);
    }
    refused
}

impl Prepared {
    /// Two remedies may need the same file, folder or mount.
    fn add(&mut self, other: Self) {
        for change in other.changes {
            self.push(change.controls, change.id, change.deed);
        }
        for edit in other.edits {
            if !self.edits.contains(&edit) {
                self.edits.push(edit);
            }
        }
        self.there.extend(other.there);
    }

    fn tried_and_failed(&self, circumstances: &Circumstances<'_>) -> Option<WithheldReason> {
        let mut changes = self.changes.iter();
        let failed = changes.find_map(|change| circumstances.failed.get(&change.id))?;
        let why = format!("what it needs could not be made a moment ago: {failed}");
        Some(WithheldReason::Waiting(why))
    }
}

/// The flags of one remedy, held against the node.
struct Needs<'a> {
    component: Component,
    flags: &'a [&'a Wanted],
    observation: &'a Observation,
}

impl<'a> Needs<'a> {
    const fn of(component: Component, flags: &'a [&'a Wanted], observation: &'a Observation) -> Self {
        Self {
            component,
            flags,
            observation,
        }
    }

    /// What the remedy needs beside files and folders.
    fn met(&self, kit: Kit) -> Result<(), String> {
        match kit {
            Kit::AuditLog => self.audit_log(),
            Kit::KubeletCa => self.kubelets_are_verified(),
            Kit::TokenExpiry => self.no_token_is_stale(),
            Kit::Anonymous => self.nobody_needs_to_be_anonymous(),
            Kit::ExternalIps => self.no_service_has_external_ips(),
            Kit::PodSecurity => self.no_pod_would_be_refused(),
            Kit::KubeletClient => self.fits_the_kubelet(),
            Kit::EtcdClient => self.fits("etcd-certfile"),
            Kit::EtcdClients => self.alone().and_then(|()| self.api_server_is_known_to_etcd()),
            Kit::Loopback => self.probes_follow(),
            Kit::ApiServing => self.serves_its_address(),
            Kit::TokenKey => self.tokens_stay_good(),
            Kit::EtcdServing => self.alone().and_then(|()| self.fits("cert-file")),
            Kit::EtcdPeers => self.alone().and_then(|()| self.fits("peer-cert-file")),
            // Modes and owners of files and settings of the kubelet are no flags of a component, and of some the operator's word is all that is needed.
            Kit::EtcdAccount
            | Kit::ServerSuites
            | Kit::EventRateLimit
            | Kit::KubeletServing
            | Kit::KubeletSuites
            | Kit::KubeletPids
            | Kit::KubeletSeccomp
            | Kit::KubeletHandlers
            | Kit::KernelDefaults
            | Kit::StaticTokens
            | Kit::AlphaOff
            | Kit::OneFlag
            | Kit::EtcdSuites
            | Kit::RuntimeSocket
            | Kit::KubeletRoot
            | Kit::AuditFiles
            | Kit::HomeKubeconfigs => Ok(()),
        }
    }

    /// The files and folders.
    fn provided(&self, kit: Kit, at_once: &BTreeSet<Kit>) -> Result<Prepared, String> {
        let mut prepared = Prepared::default();
        for flag in self.flags {
            if kit == Kit::Loopback {
                prepared.edits.push(Edit::SetProbeHost {
                    host: host_of(&flag.value),
                });
            }
            if let Some(file) = self.file_that_it_has(flag) {
                let document = not_asked(self.observation.documents.get(&file));
                self.understood(kit, &file, document, at_once)?;
                continue;
            }
            let provision = kit.provision(&flag.name, &flag.value, at_once);
            let Some(mut provision) = provision.map_err(|error| error.to_string())? else {
                continue;
            };
            if kit == Kit::Anonymous
                && let Some((_, section)) = self.carried_over()?
            {
                provision.content = provision.content.map(|content| content + &section);
                prepared.edits.extend(self.without_oidc());
            }
            self.folder(&provision, &mut prepared)?;
            self.file(kit, &provision, at_once, &mut prepared)?;
            self.mount(&provision, &mut prepared);
        }
        Ok(prepared)
    }

    /// The file of the node that the flag names already, with the same value: how it is mounted is the operator's.
    fn file_that_it_has(&self, wanted: &Wanted) -> Option<NodePath> {
        let is_it = |(name, value): &(FlagName, String)| *name == wanted.name && *value == wanted.value;
        let is_admission = wanted.name.as_str() == ADMISSION_FLAG;
        if !is_admission || !self.given().iter().any(is_it) {
            return None;
        }
        let file = flag_file(self.component, wanted.name.as_str(), &self.observation.manifests);
        file.known().cloned()
    }

    /// The flags that the manifest has now.
    fn given(&self) -> Vec<(FlagName, String)> {
        let manifest = self
            .observation
            .manifests
            .get(&self.component)
            .and_then(Fact::known);
        let line = manifest.and_then(|manifest| command_line(self.component, &manifest.pod).ok());
        line.map_or_else(Vec::new, |line| {
            let flags = line.flags();
            flags
                .map(|(name, value)| (name.clone(), value.to_owned()))
                .collect()
        })
    }

    /// No `--oidc-*` flag any more.
    fn without_oidc(&self) -> Vec<Edit> {
        let names: BTreeSet<FlagName> = self.given().into_iter().map(|(name, _)| name).collect();
        let of_oidc = names
            .into_iter()
            .filter(|name| name.as_str().starts_with("oidc-"));
        of_oidc.map(|name| Edit::RemoveFlag { name }).collect()
    }

    /// Both flags are needed, and room for the log.
    fn audit_log(&self) -> Result<(), String> {
        for (flag, control) in [
            ("audit-policy-file", "CIS-3.2.1"),
            ("audit-log-path", "CIS-1.2.16"),
        ] {
            if self.value(flag).is_none_or(|value| value.is_empty()) {
                return Err(format!(
                    "without --{flag} nothing is logged: let {control} be mended, too"
                ));
            }
        }
        let path = self
            .flags
            .iter()
            .find(|flag| flag.name.as_str() == "audit-log-path");
        let folder = path.and_then(|flag| flag.value.parse::<NodePath>().ok()?.parent());
        let Some(folder) = folder else {
            return Ok(());
        };
        let number = |flag, default| {
            let given = self.value(flag).and_then(|value| value.parse::<u64>().ok());
            given.unwrap_or(default)
        };
        let kept = match number("audit-log-maxbackup", 0) {
            0 => UNLIMITED,
            kept => kept,
        };
        let size = number("audit-log-maxsize", 100);
        let needs = (kept.saturating_add(1)).saturating_mul(size).saturating_mul(MIB);
        match not_asked(self.observation.free_space.get(&folder)) {
            Fact::Known(free) if *free >= needs => Ok(()),
            Fact::Known(free) => Err(format!(
                "the log may take {} MiB, and where {folder} lies {} MiB are free; make room, or lower the values of CIS-1.2.18 and \
                 CIS-1.2.19",
                needs / MIB,
                free / MIB
            )),
            Fact::Absent => Err(format!("nobody can tell what is free where {folder} lies")),
            Fact::Unknown(why) => Err(format!("what is free where {folder} lies cannot be told: {why}")),
        }
    }

    /// The API server refuses every kubelet that it cannot verify.
    fn kubelets_are_verified(&self) -> Result<(), String> {
        let kubelets = match &self.observation.kubelets {
            Fact::Known(kubelets) if !kubelets.is_empty() => kubelets,
            Fact::Known(_) | Fact::Absent => return Err("the cluster shows no node".to_owned()),
            Fact::Unknown(why) => return Err(format!("the kubelets could not be dialled: {why}")),
        };
        let refused: Vec<String> = kubelets
            .iter()
            .filter_map(|(node, result)| Some(format!("{node} ({})", result.as_ref().err()?)))
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        Err(format!(
            "with it the API server would refuse the kubelets of {}",
            some_of(&refused)
        ))
    }

    fn no_token_is_stale(&self) -> Result<(), String> {
        match &self.observation.stale_tokens {
            Fact::Known(0) => Ok(()),
            Fact::Known(count) => Err(format!(
                "clients have used tokens beyond their time {count} times since the API server was started, and would get 401; its audit \
                 log names them (annotation authentication.k8s.io/stale-token)"
            )),
            Fact::Absent => Err("the API server does not show its metrics".to_owned()),
            Fact::Unknown(why) => Err(format!("whether a client uses an old token is not known: {why}")),
        }
    }

    fn no_service_has_external_ips(&self) -> Result<(), String> {
        match &self.observation.external_ips {
            Fact::Known(services) if services.is_empty() => Ok(()),
            Fact::Known(services) => Err(format!(
                "Services have external addresses, and could not be made anew or given others: {}; take the addresses from them",
                some_of(services)
            )),
            Fact::Absent => Err("the API server does not show Services".to_owned()),
            Fact::Unknown(why) => Err(format!(
                "whether a Service has external addresses is not known: {why}"
            )),
        }
    }

    fn no_pod_would_be_refused(&self) -> Result<(), String> {
        let disabled = self.value("disable-admission-plugins").unwrap_or_default();
        if disabled.split(',').any(|plugin| plugin.trim() == "PodSecurity") {
            return Err(
                "PodSecurity is switched off by --disable-admission-plugins: let X-API-08 be mended first"
                    .to_owned(),
            );
        }
        match &self.observation.beyond_baseline {
            Fact::Known(namespaces) if namespaces.is_empty() => Ok(()),
            Fact::Known(namespaces) => Err(format!(
                "baseline refuses pods that run in namespaces without a label: {}; give each the label \
                 pod-security.kubernetes.io/enforce that it needs (`kubectl label --dry-run=server --overwrite namespace NAME \
                 pod-security.kubernetes.io/enforce=baseline` names the pods)",
                some_of(namespaces)
            )),
            Fact::Absent => Err("the API server does not show namespaces".to_owned()),
            Fact::Unknown(why) => Err(format!(
                "whether baseline refuses pods that run is not known: {why}"
            )),
        }
    }

    /// The probes ask the port that moves, and can be made to ask there.
    fn probes_follow(&self) -> Result<(), String> {
        let manifest = match not_asked(self.observation.manifests.get(&self.component)) {
            Fact::Known(manifest) => manifest,
            Fact::Absent => return Err("the manifest is not there".to_owned()),
            Fact::Unknown(why) => return Err(why.to_string()),
        };
        let Some(flag) = self.flags.first() else {
            return Ok(());
        };
        if flag.value.contains(',') {
            return Err(format!(
                "{} has several addresses, and which of them the probes ask is not told: set it by hand",
                flag.name
            ));
        }
        let line = command_line(self.component, &manifest.pod).map_err(|error| error.to_string())?;
        let container = manifest.pod.containers.get(line.container());
        let asked = container.and_then(|container| container.health.as_ref());
        let moved = flag.value.rsplit_once("://").and_then(|(_, rest)| {
            let (_, port) = rest.rsplit_once(':')?;
            port.parse::<u16>().ok()
        });
        if let (Some(asked), Some(moved)) = (asked, moved)
            && asked.port != moved
        {
            return Err(format!(
                "the probes ask port {}, and {} is about port {moved}: set both by hand",
                asked.port, flag.name
            ));
        }
        let host = host_of(&flag.value);
        crate::manifest::edit(&manifest.text, self.component, &[Edit::SetProbeHost { host }])
            .map(drop)
            .map_err(|refusal| format!("{refusal}, so the probes would not follow"))
    }

    /// The value that a flag will have.
    fn value(&self, name: &str) -> Option<String> {
        if let Some(flag) = self.flags.iter().find(|flag| flag.name.as_str() == name) {
            return Some(flag.value.clone());
        }
        let mut given = self.given().into_iter();
        given
            .rfind(|(flag, _)| flag.as_str() == name)
            .map(|(_, value)| value)
    }

    fn controls(&self) -> Vec<ControlId> {
        controls_of(self.flags.iter().copied())
    }
}

impl Prepared {
    /// Several flags may lie in one folder, and share one file.
    fn push(&mut self, controls: Vec<ControlId>, id: Digest, deed: Deed) {
        let Some(same) = self.changes.iter_mut().find(|change| change.id == id) else {
            self.changes.push(Change { id, controls, deed });
            return;
        };
        for control in controls {
            if !same.controls.contains(&control) {
                same.controls.push(control);
            }
        }
    }
}

/// The address of a value that is one, or a list of URLs with one.
fn host_of(value: &str) -> String {
    let first = value.split(',').next().unwrap_or(value);
    let Some((_, rest)) = first.split_once("://") else {
        return first.to_owned();
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.trim_matches(['[', ']']).to_owned()
}

/// The first of many.
fn some_of(all: &[String]) -> String {
    let some: Vec<&str> = all.iter().take(TOLD).map(String::as_str).collect();
    match all.len().saturating_sub(some.len()) {
        0 => some.join(", "),
        more => format!("{}, and {more} more", some.join(", ")),
    }
}

#[cfg(test)]
#[path = "kits_admission_tests.rs"]
mod admission_tests;
#[cfg(test)]
#[path = "kits_anonymous_tests.rs"]
mod anonymous_tests;
#[cfg(test)]
#[path = "kits_pairs_tests.rs"]
mod pairs_tests;
#[cfg(test)]
#[path = "kits_tests.rs"]
mod tests;
