//! Modes and owners of files, held against what must be.

use std::collections::BTreeSet;

use super::finding::{Evidence, Mend, Verdict};
use super::judge::{piece, unknown};
use super::targets::{not_looked_at, paths_of};
use crate::controls::{Precondition, Remedy, Target};
use crate::domain::{
    Account, Component, Fact, FileFacts, FileId, FileKind, Layout, Mode, NodePath, Observation, Owner, Reason,
};

/// What must hold of a file.
pub(super) enum Wanted<'a> {
    /// No permission bit outside this mode.
    Mode(Mode),
    /// This owner.
    Owner(Owner),
    /// The owner that the node knows by this name.
    Account(&'a Account),
}

/// A file of the target: its name, and its path with its facts unless they are unknown.
struct Look {
    object: String,
    file: Result<(NodePath, FileFacts), Reason>,
}

/// The evidence about the files of a target, in the order in which they were asked for; those that are not there are left
/// out.
pub(super) fn files(
    target: &Target,
    wanted: &Wanted<'_>,
    remedy: Remedy,
    observation: &Observation,
    layout: &Layout,
) -> Vec<Evidence> {
    let expected = wanted.to_string();
    let looks = match looks(target, observation, layout) {
        Fact::Known(looks) => looks,
        Fact::Absent => return Vec::new(),
        Fact::Unknown(reason) => return vec![unknown(name_of(target, layout), expected, &reason)],
    };
    looks
        .into_iter()
        .map(|look| match look.file {
            Err(reason) => unknown(look.object, expected.clone(), &reason),
            Ok((path, facts)) => match unfit(target, wanted, &facts) {
                Some(reason) => unknown(look.object, expected.clone(), &reason),
                None => held(&path, &facts, wanted, remedy, observation),
            },
        })
        .collect()
}

fn looks(target: &Target, observation: &Observation, layout: &Layout) -> Fact<Vec<Look>> {
    let asked = paths_of(target, layout, &observation.manifests, &observation.kubelet);
    asked.map(|asked| {
        let mut looks = Vec::new();
        for path in asked.files {
            let facts = observation.files.get(&path);
            looks.extend(look(path.clone(), facts));
        }
        for pattern in asked.patterns {
            let nowhere = Fact::Unknown(not_looked_at(&pattern));
            match observation.listings.get(&pattern).unwrap_or(&nowhere) {
                Fact::Known(listing) => looks.extend(
                    listing
                        .iter()
                        .filter_map(|(path, facts)| look(path.clone(), Some(facts))),
                ),
                Fact::Absent => {}
                Fact::Unknown(reason) => looks.push(Look {
                    object: pattern.to_string(),
                    file: Err(reason.clone()),
                }),
            }
        }
        once_each(looks)
    })
}

fn look(path: NodePath, facts: Option<&Fact<FileFacts>>) -> Option<Look> {
    let object = path.to_string();
    let file = match facts {
        Some(Fact::Known(facts)) => Ok((path, *facts)),
        Some(Fact::Absent) => return None,
        Some(Fact::Unknown(reason)) => Err(reason.clone()),
        None => Err(not_looked_at(path)),
    };
    Some(Look { object, file })
}

/// Leaves out what was found before under another name: a file with one link was reached through a linked folder.
fn once_each(looks: Vec<Look>) -> Vec<Look> {
    let mut paths: BTreeSet<String> = BTreeSet::new();
    let mut ids: BTreeSet<FileId> = BTreeSet::new();
    let is_new = |look: &Look| {
        let new_id = match &look.file {
            Ok((_, facts)) if facts.links == 1 => ids.insert(facts.id),
            Ok(_) | Err(_) => true,
        };
        paths.insert(look.object.clone()) && new_id
    };
    looks.into_iter().filter(is_new).collect()
}

/// Why these facts say nothing about what must hold, if they do not.
fn unfit(target: &Target, wanted: &Wanted<'_>, facts: &FileFacts) -> Option<Reason> {
    let expected = match target {
        Target::EtcdData => FileKind::Directory,
        Target::Manifest(_)
        | Target::Files(_)
        | Target::Matching(_)
        | Target::Tree(_)
        | Target::KubeletUnit
        | Target::KubeletConfig
        | Target::KubeletClientCa
        | Target::KubeProxyKubeconfig => FileKind::Regular,
    };
    match (facts.kind, wanted) {
        (FileKind::Symlink, _) => Some(Reason::new("is a symbolic link; not followed")),
        // The bits mean something else on another kind of file: 0600 would shut a folder.
        (kind, Wanted::Mode(_)) if kind != expected => Some(Reason::new(format!(
            "is a {}, not a {}",
            kind.noun(),
            expected.noun()
        ))),
        (_, Wanted::Mode(_) | Wanted::Owner(_) | Wanted::Account(_)) => None,
    }
}

fn held(
    path: &NodePath,
    facts: &FileFacts,
    wanted: &Wanted<'_>,
    remedy: Remedy,
    observation: &Observation,
) -> Evidence {
    let expected = wanted.to_string();
    let owner = facts.owner.to_string();
    let (holds, actual, mend) = match wanted {
        Wanted::Mode(ceiling) => {
            let mend = Mend::Mode {
                path: path.clone(),
                id: facts.id,
                from: facts.mode,
                ceiling: *ceiling,
            };
            (
                facts.mode.is_within(*ceiling),
                format!("mode {}", facts.mode),
                mend,
            )
        }
        Wanted::Owner(to) => (facts.owner == *to, owner, owner_mend(path, facts, *to)),
        Wanted::Account(account) => match account_owner(account, observation) {
            Fact::Known(to) => (facts.owner == to, owner, owner_mend(path, facts, to)),
            Fact::Absent => {
                let actual = format!("{owner}, and there is no account {account}");
                return piece(path.as_str(), Verdict::Drift, expected, actual);
            }
            Fact::Unknown(reason) => return unknown(path.as_str(), expected, &reason),
        },
    };
    if holds {
        return piece(path.as_str(), Verdict::Pass, expected, actual);
    }
    match why_not_mended(facts, remedy, observation) {
        None => piece(path.as_str(), Verdict::Drift, expected, actual).mended_by(mend, remedy),
        Some(why) => piece(
            path.as_str(),
            Verdict::Drift,
            expected,
            format!("{actual}; {why}"),
        ),
    }
}

fn owner_mend(path: &NodePath, facts: &FileFacts, to: Owner) -> Mend {
    Mend::Owner {
        path: path.clone(),
        id: facts.id,
        from: facts.owner,
        to,
    }
}

fn account_owner(account: &Account, observation: &Observation) -> Fact<Owner> {
    match observation.accounts.get(account) {
        Some(fact) => fact.clone(),
        None => Fact::Unknown(not_looked_at(format!("the account {account}"))),
    }
}

/// What the file or the control-plane's accounts hold against the mend, in words.
fn why_not_mended(facts: &FileFacts, remedy: Remedy, observation: &Observation) -> Option<String> {
    match (facts.kind, facts.links) {
        (FileKind::Regular, links) if links > 1 => {
            return Some(format!("has {links} hard links, so it is not changed"));
        }
        (FileKind::Special, _) => return Some("a special file, so it is not changed".to_owned()),
        (FileKind::Regular | FileKind::Directory | FileKind::Symlink, _) => {}
    }
    match remedy {
        Remedy::When(Precondition::ComponentsRunAsRoot) => other_account(observation),
        Remedy::Safe | Remedy::Restarts | Remedy::Quarantine | Remedy::ReportOnly(_) => None,
    }
}

/// Why it is not proven that every component runs as root.
fn other_account(observation: &Observation) -> Option<String> {
    Component::ALL.into_iter().find_map(|component| match observation.manifests.get(&component) {
        Some(Fact::Known(manifest)) => {
            let pod = &manifest.pod;
            let users = pod.containers.iter().map(|container| container.run_as_user);
            let user = users.chain([pod.run_as_user]).flatten().find(|user| *user != 0)?;
            Some(format!(
                "not changed, because {component} runs as user {user} (runAsUser) and may own it for that reason"
            ))
        }
        Some(Fact::Absent) => None,
        Some(Fact::Unknown(reason)) => Some(format!(
            "not changed, because which account {component} runs as is not known: {reason}"
        )),
        None => Some(format!(
            "not changed, because which account {component} runs as was not looked at"
        )),
    })
}

impl Evidence {
    /// The same, with the mend where the remedy is one that Holdfast makes on files.
    fn mended_by(mut self, mend: Mend, remedy: Remedy) -> Self {
        self.mend = match remedy {
            Remedy::Safe | Remedy::When(_) => Some(mend),
            Remedy::Restarts | Remedy::Quarantine | Remedy::ReportOnly(_) => None,
        };
        self
    }
}

impl std::fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mode(ceiling) => write!(f, "mode {ceiling} or stricter"),
            Self::Owner(owner) => write!(f, "{owner}"),
            Self::Account(account) => write!(f, "{account}"),
        }
    }
}

fn name_of(target: &Target, layout: &Layout) -> String {
    match target {
        Target::Manifest(component) => layout.manifest(*component).to_string(),
        Target::Files(paths) => joined(paths),
        Target::Matching(patterns) => joined(patterns),
        Target::Tree(folder) => folder.to_string(),
        Target::EtcdData => "etcd data folder".to_owned(),
        Target::KubeletUnit => "kubelet unit".to_owned(),
        Target::KubeletConfig => "kubelet configuration file".to_owned(),
        Target::KubeletClientCa => "kubelet client CA file".to_owned(),
        Target::KubeProxyKubeconfig => "kube-proxy kubeconfig".to_owned(),
    }
}

fn joined(names: &[impl std::fmt::Display]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.join(", ")
}
