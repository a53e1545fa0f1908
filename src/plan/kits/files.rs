//! The files and folders of conditional remedies: root's alone, mounted, and understood where somebody else wrote them.

use std::collections::BTreeSet;

use super::super::build::not_asked;
use super::super::change::Deed;
use super::{Needs, Prepared};
use crate::admission::{PluginConfig, event_limits, plugin, plugins, pod_security_default};
use crate::anonymous::Anonymous;
use crate::audit::Policy;
use crate::controls::{ADMISSION_FLAG, Kit, Provision};
use crate::domain::{Digest, Fact, FileKind, NodePath, Owner};
use crate::manifest::{Edit, Mounted, command_line, mounted_from};

impl Needs<'_> {
    /// The folder is root's alone to write, or is made.
    pub(super) fn folder(&self, provision: &Provision, prepared: &mut Prepared) -> Result<(), String> {
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
                             name a file elsewhere (the control's `value`, where it takes one)",
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
    pub(super) fn file(
        &self,
        kit: Kit,
        provision: &Provision,
        at_once: &BTreeSet<Kit>,
        prepared: &mut Prepared,
    ) -> Result<(), String> {
        let Some(file) = &provision.file else {
            return Ok(());
        };
        let found = not_asked(self.observation.files.get(file));
        match (found, &provision.content) {
            (Fact::Absent, Some(content)) => prepared.push(
                self.controls(),
                Digest::of(format!("install {file} {content}").as_bytes()),
                Deed::Install {
                    path: file.clone(),
                    content: content.clone(),
                },
            ),
            (Fact::Absent, None) => {
                return Err(format!(
                    "{file} is not there; put it there, or leave its name out"
                ));
            }
            (Fact::Known(_), _) => {
                let document = not_asked(self.observation.documents.get(file));
                self.understood(kit, file, document, at_once)?;
            }
            (Fact::Unknown(why), _) => return Err(why.to_string()),
        }
        prepared.there.insert(file.clone());
        Ok(())
    }

    pub(super) fn mount(&self, provision: &Provision, prepared: &mut Prepared) {
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

    /// A file of somebody else is used only if the API server will bear it, and if nothing else takes effect with it.
    pub(super) fn understood(
        &self,
        kit: Kit,
        file: &NodePath,
        document: Fact<&serde_json::Value>,
        at_once: &BTreeSet<Kit>,
    ) -> Result<(), String> {
        let document = match document {
            Fact::Known(document) => document,
            Fact::Absent => return Err(format!("{file} is gone")),
            Fact::Unknown(why) => return Err(why.to_string()),
        };
        match kit {
            Kit::Anonymous => {
                let anonymous = Anonymous::of(document).map_err(|why| format!("{file}: {why}"))?;
                fits(&anonymous, file)?;
                match self.carried_over()? {
                    Some((oidc, _)) if !oidc.is_in(document) => Err(format!(
                        "{file} is there, and takes no tokens of {}, as the --oidc-* flags do: add to it what they say (section jwt)",
                        oidc.issuer
                    )),
                    Some(_) | None => Ok(()),
                }
            }
            Kit::AuditLog => Policy::of(document)
                .map(drop)
                .map_err(|why| format!("{file}: {why}")),
            Kit::EventRateLimit => {
                configures(document, "EventRateLimit", file, event_limits)?;
                self.nothing_else(document, file, at_once)
            }
            Kit::PodSecurity => configures(document, "PodSecurity", file, keeps_to_a_level),
            Kit::TokenExpiry
            | Kit::EtcdAccount
            | Kit::KubeletCa
            | Kit::ServerSuites
            | Kit::ExternalIps
            | Kit::KubeletServing
            | Kit::KubeletSuites
            | Kit::KubeletPids
            | Kit::KubeletSeccomp
            | Kit::KubeletHandlers
            | Kit::KernelDefaults
            | Kit::KubeletClient
            | Kit::EtcdClient
            | Kit::ApiServing
            | Kit::StaticTokens
            | Kit::TokenKey
            | Kit::AlphaOff
            | Kit::OneFlag
            | Kit::Loopback
            | Kit::EtcdServing
            | Kit::EtcdClients
            | Kit::EtcdPeers
            | Kit::EtcdSuites
            | Kit::RuntimeSocket
            | Kit::KubeletRoot
            | Kit::AuditFiles
            | Kit::HomeKubeconfigs => Ok(()),
        }
    }

    /// The file takes effect as a whole. What it says of others is not looked at, unless the server has it already.
    fn nothing_else(
        &self,
        document: &serde_json::Value,
        file: &NodePath,
        at_once: &BTreeSet<Kit>,
    ) -> Result<(), String> {
        let has_it = self
            .given()
            .iter()
            .any(|(name, value)| name.as_str() == ADMISSION_FLAG && !value.is_empty());
        let others = plugins(document).map_err(|why| format!("{file}: {why}"))?;
        let is_ready = |name: &str| {
            name == "EventRateLimit" || name == "PodSecurity" && at_once.contains(&Kit::PodSecurity)
        };
        match others.into_iter().find(|name| !is_ready(name)) {
            Some(other) if !has_it => Err(format!(
                "{file} is there, and configures {other}, too, which would take effect with it: take that out, or give the flag \
                 --{ADMISSION_FLAG} by hand"
            )),
            Some(_) | None => Ok(()),
        }
    }
}

fn keeps_to_a_level(defaults: &serde_json::Value) -> Result<(), String> {
    match pod_security_default(defaults)? {
        "privileged" => Err("defaults.enforce is privileged, or not given".to_owned()),
        _ => Ok(()),
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
        None => Err(format!(
            "{file} is there, and says nothing of {name}; add it by hand, and restart kube-apiserver if it has the file already (Kubernetes \
             documents, \"Admission Controllers\")"
        )),
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
