//! What conditional remedies need before their flags are set: made where Holdfast makes it, there where it does not. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::build::{Circumstances, not_asked};
use super::change::{Change, Deed, Withheld, WithheldReason};
use super::edits::{Wanted, withheld};
use super::judge_flags::version_of;
use crate::admission::{PluginConfig, event_limits, plugin, pod_security_default};
use crate::anonymous::{Anonymous, HARMLESS};
use crate::audit::Policy;
use crate::controls::{AUTHENTICATION, Kit, Provision};
use crate::domain::{Component, ControlId, Digest, Fact, FileKind, NodePath, Observation, Owner};
use crate::manifest::{Edit, Mounted, command_line, mounted_from};

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
            // A file's owner and settings of the kubelet are no flags of a component.
            Kit::EtcdAccount
            | Kit::ServerSuites
            | Kit::EventRateLimit
            | Kit::KubeletServing
            | Kit::KubeletSuites
            | Kit::KubeletPids
            | Kit::KubeletSeccomp
            | Kit::KubeletHandlers => Ok(()),
        }
    }

    /// The files and folders.
    fn provided(&self, kit: Kit, at_once: &BTreeSet<Kit>) -> Result<Prepared, String> {
        let mut prepared = Prepared::default();
        for flag in self.flags {
            let provision = kit.provision(&flag.name, &flag.value, at_once);
            let Some(provision) = provision.map_err(|error| error.to_string())? else {
                continue;
            };
            self.folder(&provision, &mut prepared)?;
            self.file(kit, &provision, &mut prepared)?;
            self.mount(&provision, &mut prepared);
        }
        Ok(prepared)
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
                "changes of Services with external addresses would be refused: {}",
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
                 pod-security.kubernetes.io/enforce that it needs",
                some_of(namespaces)
            )),
            Fact::Absent => Err("the API server does not show namespaces".to_owned()),
            Fact::Unknown(why) => Err(format!(
                "whether baseline refuses pods that run is not known: {why}"
            )),
        }
    }

    /// What the file says excludes two kinds of flags, and an older API server does not take it (kubernetes 1.34: AuthenticationConfiguration
    /// v1; apiserver/pkg/server/options/authentication).
    fn nobody_needs_to_be_anonymous(&self) -> Result<(), String> {
        let manifest = self
            .observation
            .manifests
            .get(&self.component)
            .and_then(Fact::known);
        let line =
            manifest.and_then(|manifest| Some((manifest, command_line(self.component, &manifest.pod).ok()?)));
        let Some((manifest, line)) = line else {
            return Err("its manifest is not understood".to_owned());
        };
        match version_of(manifest, &line) {
            Some(version) if version.minor >= 34 => {}
            Some(version) => {
                return Err(format!(
                    "kube-apiserver 1.{} does not take the configuration; 1.34 and newer do",
                    version.minor
                ));
            }
            None => return Err("the image does not tell which version of kube-apiserver it is".to_owned()),
        }
        let excluded = line
            .flags()
            .map(|(name, _)| name.as_str())
            .find(|name| *name == "anonymous-auth" || name.starts_with("oidc-"));
        if let Some(flag) = excluded {
            return Err(format!(
                "kube-apiserver has --{flag}, which it does not take beside the configuration: move what it says into {AUTHENTICATION}, and \
                 take it away"
            ));
        }
        let modes = self.value("authorization-mode").unwrap_or_default();
        let others = modes
            .split(',')
            .any(|mode| !matches!(mode.trim(), "Node" | "RBAC"));
        if others || self.value("authorization-config").is_some() {
            return Err(
                "what other authorizers than Node and RBAC grant the anonymous is not known".to_owned(),
            );
        }
        let container = manifest.pod.containers.get(line.container());
        let probe = container.and_then(|container| container.health.as_ref());
        if let Some(probe) = probe.filter(|probe| !HARMLESS.contains(&probe.path.as_str())) {
            return Err(format!(
                "the kubelet probes kube-apiserver at {}, which the anonymous could not ask for any more",
                probe.path
            ));
        }
        match &self.observation.anonymous_grants {
            Fact::Known(grants) if grants.is_empty() => Ok(()),
            Fact::Known(grants) => Err(format!(
                "somebody may need the anonymous: {} of the cluster grant them more than Kubernetes and kubeadm do ({})",
                grants.len(),
                some_of(grants)
            )),
            Fact::Absent => Err("what is granted to the anonymous cannot be told".to_owned()),
            Fact::Unknown(why) => Err(format!("what is granted to the anonymous is not known: {why}")),
        }
    }

    /// The value that a flag will have.
    fn value(&self, name: &str) -> Option<String> {
        if let Some(flag) = self.flags.iter().find(|flag| flag.name.as_str() == name) {
            return Some(flag.value.clone());
        }
        let manifest = self.observation.manifests.get(&self.component)?.known()?;
        let line = command_line(self.component, &manifest.pod).ok()?;
        let given = line.flags().filter(|(flag, _)| flag.as_str() == name).last();
        given.map(|(_, value)| value.to_owned())
    }

    /// The folder is root's alone to write, or is made.
    fn folder(&self, provision: &Provision, prepared: &mut Prepared) -> Result<(), String> {
        let folder = &provision.folder;
        self.way(folder)?;
        match not_asked(self.observation.files.get(folder)) {
            Fact::Absent => prepared.push(
                self.controls(),
                Digest::of(format!("folder {folder}").as_bytes()),
                Deed::MakeFolder { path: folder.clone() },
            ),
            Fact::Known(facts) if facts.kind != FileKind::Directory => {
                return Err(format!("{folder} is no folder"));
            }
            Fact::Known(facts) if facts.owner.uid != Owner::ROOT.uid || facts.mode.bits() & 0o022 != 0 => {
                return Err(format!(
                    "{folder} belongs to {} with mode {}, so somebody else than root can write there",
                    facts.owner, facts.mode
                ));
            }
            Fact::Known(_) => {}
            Fact::Unknown(why) => return Err(why.to_string()),
        }
        prepared.there.insert(folder.clone());
        Ok(())
    }

    /// Who can write to a folder above can put another one in its place, which the pod would then see.
    fn way(&self, folder: &NodePath) -> Result<(), String> {
        let mut above = folder.parent();
        while let Some(path) = above {
            match not_asked(self.observation.files.get(&path)) {
                Fact::Known(facts) => {
                    let group = if facts.owner.gid == Owner::ROOT.gid {
                        0
                    } else {
                        0o020
                    };
                    if facts.owner.uid != Owner::ROOT.uid || facts.mode.bits() & (0o002 | group) != 0 {
                        return Err(format!(
                            "{path} belongs to {} with mode {}, so somebody else than root could put another folder in the place of {folder}; \
                             name a file elsewhere (the control's `value`)",
                            facts.owner, facts.mode
                        ));
                    }
                }
                Fact::Absent => {}
                Fact::Unknown(why) => return Err(why.to_string()),
            }
            above = path.parent();
        }
        Ok(())
    }

    /// The file is there and is understood, or is ours to install.
    fn file(&self, kit: Kit, provision: &Provision, prepared: &mut Prepared) -> Result<(), String> {
        let Some(file) = &provision.file else {
            return Ok(());
        };
        let found = not_asked(self.observation.files.get(file));
        match (found, provision.content) {
            (Fact::Absent, Some(content)) => prepared.push(
                self.controls(),
                Digest::of(format!("install {file} {content}").as_bytes()),
                Deed::Install {
                    path: file.clone(),
                    content: content.to_owned(),
                },
            ),
            (Fact::Absent, None) => {
                return Err(format!(
                    "{file} is not there; put it there, or leave its name out"
                ));
            }
            (Fact::Known(_), _) => {
                let document = not_asked(self.observation.documents.get(file));
                understood(kit, file, document)?;
            }
            (Fact::Unknown(why), _) => return Err(why.to_string()),
        }
        prepared.there.insert(file.clone());
        Ok(())
    }

    fn mount(&self, provision: &Provision, prepared: &mut Prepared) {
        if self.is_mounted(&provision.folder) {
            return;
        }
        prepared.edits.push(Edit::AddMount {
            volume: provision.volume.to_owned(),
            path: provision.folder.clone(),
            read_only: !provision.writable,
        });
        prepared.edits.push(Edit::AddVolume {
            name: provision.volume.to_owned(),
            path: provision.folder.clone(),
            kind: provision.volume_type.to_owned(),
        });
    }

    fn is_mounted(&self, folder: &NodePath) -> bool {
        let manifest = self.observation.manifests.get(&self.component);
        manifest.and_then(Fact::known).is_some_and(|manifest| {
            let line = command_line(self.component, &manifest.pod).ok();
            let container = line.and_then(|line| manifest.pod.containers.get(line.container()));
            container.is_some_and(|container| {
                mounted_from(&manifest.pod, container, folder) == Mounted::From(folder.clone())
            })
        })
    }

    fn controls(&self) -> Vec<ControlId> {
        self.flags.iter().map(|flag| flag.control.clone()).collect()
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

/// The first of many.
fn some_of(all: &[String]) -> String {
    let some: Vec<&str> = all.iter().take(TOLD).map(String::as_str).collect();
    match all.len().saturating_sub(some.len()) {
        0 => some.join(", "),
        more => format!("{}, and {more} more", some.join(", ")),
    }
}

/// A file of somebody else is used only if the API server will bear it.
fn understood(kit: Kit, file: &NodePath, document: Fact<&serde_json::Value>) -> Result<(), String> {
    let document = match document {
        Fact::Known(document) => document,
        Fact::Absent => return Err(format!("{file} is gone")),
        Fact::Unknown(why) => return Err(why.to_string()),
    };
    match kit {
        Kit::Anonymous => Anonymous::of(document)
            .map_err(|why| format!("{file}: {why}"))
            .and_then(|anonymous| fits(&anonymous, file)),
        Kit::AuditLog => Policy::of(document)
            .map(drop)
            .map_err(|why| format!("{file}: {why}")),
        Kit::EventRateLimit => configures(document, "EventRateLimit", file, |limits| {
            event_limits(limits).map(drop)
        }),
        Kit::PodSecurity => configures(
            document,
            "PodSecurity",
            file,
            |defaults| match pod_security_default(defaults)? {
                "privileged" => Err("defaults.enforce is privileged, or not given".to_owned()),
                _ => Ok(()),
            },
        ),
        Kit::TokenExpiry
        | Kit::EtcdAccount
        | Kit::KubeletCa
        | Kit::ServerSuites
        | Kit::ExternalIps
        | Kit::KubeletServing
        | Kit::KubeletSuites
        | Kit::KubeletPids
        | Kit::KubeletSeccomp
        | Kit::KubeletHandlers => Ok(()),
    }
}

/// The file configures that plug-in, in place: a file behind the file is not looked at.
fn configures(
    document: &serde_json::Value,
    name: &str,
    file: &NodePath,
    fits: impl FnOnce(&serde_json::Value) -> Result<(), String>,
) -> Result<(), String> {
    match plugin(document, name).map_err(|why| format!("{file}: {why}"))? {
        Some(PluginConfig::Here(here)) => fits(here).map_err(|why| format!("{file}, {name}: {why}")),
        Some(PluginConfig::File(behind)) => Err(format!(
            "{file} has {name} configured by {behind}; write it into {file} itself, or add the flag by hand"
        )),
        None => Err(format!("{file} is there, and says nothing of {name}; add it")),
    }
}

/// What is there confines the anonymous, and leaves them kubeadm's probes, without which the kubelet restarts the API server for ever.
fn fits(anonymous: &Anonymous, file: &NodePath) -> Result<(), String> {
    if let Some(path) = ["/livez", "/readyz"]
        .into_iter()
        .find(|path| !anonymous.leaves(path))
    {
        return Err(format!(
            "{file} is there, and refuses {path} to the anonymous, which the kubelet's probes ask for; change it"
        ));
    }
    match anonymous.beyond() {
        Some(beyond) if beyond.is_empty() => Ok(()),
        Some(_) | None => Err(format!(
            "{file} is there, and leaves the anonymous more than health and cluster-info; change it"
        )),
    }
}

#[cfg(test)]
#[path = "kits_admission_tests.rs"]
mod admission_tests;
#[cfg(test)]
#[path = "kits_anonymous_tests.rs"]
mod anonymous_tests;
#[cfg(test)]
#[path = "kits_tests.rs"]
mod tests;
