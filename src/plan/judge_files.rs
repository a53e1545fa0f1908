//! Modes and owners of files, held against what must be.

use std::collections::BTreeSet;

use super::finding::{Evidence, Mend, Verdict};
use super::judge::{piece, unknown};
use super::targets::{not_looked_at, paths_of, placed, placed_patterns};
use crate::controls::{Kit, Precondition, Remedy, Target};
use crate::domain::{
    Account, Component, Fact, FileFacts, FileId, FileKind, Layout, Mode, NodePath, Observation, Owner, Reason,
};

/// What must hold of a file.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// No permission bit outside this mode.
    Mode(Mode),
    /// This owner.
    Owner(Owner),
    /// This user; the group is whatever the operator has made it.
    User(u32),
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
                None => held(&path, &facts, &wanted.of(facts.kind, target), remedy, observation),
            },
        })
        .collect()
}

/// The evidence about files that root alone owns, and that have no permission bit outside the ceiling.
pub(super) fn access(
    target: &Target,
    (owner, ceiling): (Owner, Mode),
    remedy: Remedy,
    observation: &Observation,
    layout: &Layout,
) -> Vec<Evidence> {
    // The group of the audit files has rights where the operator's value gives it some: then it is the one that they meant.
    let is_declared = *target == Target::AuditFiles && ceiling.bits() & 0o070 != 0;
    let owner = if is_declared {
        Wanted::User(owner.uid)
    } else {
        Wanted::Owner(owner)
    };
    let wanted = [owner, Wanted::Mode(ceiling)];
    let of = |wanted| files(target, wanted, remedy, observation, layout);
    wanted.iter().flat_map(of).collect()
}

/// What is wrong with the modes and owners of files that are not to be there, and are: until somebody removes them, root alone reads them.
pub(super) fn left_open(target: &Target, observation: &Observation, layout: &Layout) -> Vec<Evidence> {
    let wanted = (Owner::ROOT, Mode::from_bits(0o600));
    let mut evidence = access(target, wanted, Remedy::Safe, observation, layout);
    evidence.retain(|piece| piece.verdict == Verdict::Drift);
    evidence
}

/// The evidence about files that are not to be there: one piece for each that is, or one for all.
pub(super) fn gone(target: &Target, observation: &Observation, layout: &Layout) -> Vec<Evidence> {
    const EXPECTED: &str = "not there";
    let looks = match looks(target, observation, layout) {
        Fact::Known(looks) => looks,
        Fact::Absent => return Vec::new(),
        Fact::Unknown(reason) => return vec![unknown(name_of(target, layout), EXPECTED, &reason)],
    };
    if looks.is_empty() {
        return vec![piece(name_of(target, layout), Verdict::Pass, EXPECTED, EXPECTED)];
    }
    looks
        .into_iter()
        .map(|look| match look.file {
            Err(reason) => unknown(look.object, EXPECTED, &reason),
            Ok((_, facts)) => {
                let actual = format!("a {} of {}, mode {}", facts.kind.noun(), facts.owner, facts.mode);
                piece(look.object, Verdict::Drift, EXPECTED, actual)
            }
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
        Target::EtcdData | Target::ManifestsFolder => FileKind::Directory,
        Target::Entries { .. } | Target::EtcdMembers | Target::AuditFiles => facts.kind,
        Target::Manifest(_)
        | Target::FlagFiles { .. }
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
        (_, Wanted::Mode(_) | Wanted::Owner(_) | Wanted::User(_) | Wanted::Account(_)) => None,
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
        Wanted::Owner(to) => (
            facts.owner == *to,
            owner,
            owner_mend(path, facts, given_to(*to, facts, remedy)),
        ),
        Wanted::User(uid) => {
            let to = Owner {
                uid: *uid,
                gid: facts.owner.gid,
            };
            (facts.owner.uid == *uid, owner, owner_mend(path, facts, to))
        }
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
    match why_not_mended(facts, &mend, remedy, observation) {
        None => piece(path.as_str(), Verdict::Drift, expected, actual).mended_by(mend, remedy),
        Some(why) => piece(
            path.as_str(),
            Verdict::Drift,
            expected,
            format!("{actual}; {why}"),
        ),
    }
}

/// The owner that a file is given. The group of the runtime's socket stays: the runtime's own configuration names it.
const fn given_to(wanted: Owner, facts: &FileFacts, remedy: Remedy) -> Owner {
    match remedy {
        Remedy::Conditional(Kit::RuntimeSocket) => Owner {
            uid: wanted.uid,
            gid: facts.owner.gid,
        },
        Remedy::Safe
        | Remedy::Restarts
        | Remedy::RestartsWhen(_)
        | Remedy::When(_)
        | Remedy::Conditional(_)
        | Remedy::Kubelet { .. }
        | Remedy::Quarantine
        | Remedy::ReportOnly(_)
        | Remedy::InPart(_) => wanted,
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
fn why_not_mended(
    facts: &FileFacts,
    mend: &Mend,
    remedy: Remedy,
    observation: &Observation,
) -> Option<String> {
    match (facts.kind, facts.links) {
        (FileKind::Regular, links) if links > 1 => {
            return Some(format!("has {links} hard links, so it is not changed"));
        }
        (FileKind::Special, _) if !mends_special_files(remedy) => {
            return Some("a special file, so it is not changed".to_owned());
        }
        (FileKind::Regular | FileKind::Directory | FileKind::Symlink | FileKind::Special, _) => {}
    }
    if matches!(mend, Mend::Owner { from, to, .. } if from == to) {
        return Some("its group is left to the runtime's own configuration".to_owned());
    }
    match remedy {
        // The API server reads its policy at each start.
        Remedy::When(Precondition::ComponentsRunAsRoot) | Remedy::Conditional(Kit::AuditFiles) => {
            other_account(observation)
        }
        Remedy::Conditional(Kit::EtcdAccount) => etcd_as_another(observation),
        Remedy::Safe
        | Remedy::Restarts
        | Remedy::RestartsWhen(_)
        | Remedy::Conditional(_)
        | Remedy::Kubelet { .. }
        | Remedy::Quarantine
        | Remedy::ReportOnly(_)
        | Remedy::InPart(_) => None,
    }
}

/// What is only reported is not changed anyway, and need not say so.
const fn mends_special_files(remedy: Remedy) -> bool {
    matches!(
        remedy,
        Remedy::Conditional(Kit::RuntimeSocket) | Remedy::ReportOnly(_)
    )
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

/// Why etcd may not bear that its data belong to its account: it runs as another one than root.
fn etcd_as_another(observation: &Observation) -> Option<String> {
    let manifest = match observation.manifests.get(&Component::Etcd) {
        Some(Fact::Known(manifest)) => manifest,
        // An external etcd's data are not here.
        Some(Fact::Absent) => return Some("not changed, because etcd does not run here".to_owned()),
        Some(Fact::Unknown(why)) => {
            return Some(format!(
                "not changed, because which account etcd runs as is not known: {why}"
            ));
        }
        None => return Some("not changed, because which account etcd runs as was not looked at".to_owned()),
    };
    let pod = &manifest.pod;
    let users = pod.containers.iter().map(|container| container.run_as_user);
    let user = users.chain([pod.run_as_user]).flatten().find(|user| *user != 0)?;
    let mut accounts = observation.accounts.values().filter_map(Fact::known);
    let is_its_own = accounts.any(|owner| i64::from(owner.uid) == user);
    (!is_its_own).then(|| format!("not changed, because etcd runs as user {user} (runAsUser)"))
}

impl Evidence {
    /// The same, with the mend where the remedy is one that Holdfast makes on files.
    fn mended_by(mut self, mend: Mend, remedy: Remedy) -> Self {
        self.mend = match remedy {
            Remedy::Safe | Remedy::When(_) | Remedy::Conditional(_) | Remedy::InPart(_) => Some(mend),
            Remedy::Restarts
            | Remedy::RestartsWhen(_)
            | Remedy::Kubelet { .. }
            | Remedy::Quarantine
            | Remedy::ReportOnly(_) => None,
        };
        self
    }
}

impl Wanted<'_> {
    /// The same for a file of that kind: who may read one of etcd's folders, or the audit log's, may enter it.
    fn of(&self, kind: FileKind, target: &Target) -> Self {
        match (self, kind, target) {
            (Self::Mode(ceiling), FileKind::Directory, Target::EtcdMembers | Target::AuditFiles) => {
                Self::Mode(ceiling.of_folder())
            }
            _ => *self,
        }
    }
}

impl std::fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mode(ceiling) => write!(f, "mode {ceiling} or stricter"),
            Self::Owner(owner) => write!(f, "{owner}"),
            Self::User(0) => f.write_str("root, of any group"),
            Self::User(uid) => write!(f, "user {uid}, of any group"),
            Self::Account(account) => write!(f, "{account}"),
        }
    }
}

fn name_of(target: &Target, layout: &Layout) -> String {
    match target {
        Target::Manifest(component) => layout.manifest(*component).to_string(),
        Target::Files(paths) => joined(&placed(paths, layout)),
        Target::Matching(patterns) => joined(&placed_patterns(patterns, layout)),
        Target::Tree(folder) => layout.place(folder).to_string(),
        Target::Entries { paths, patterns } => {
            let (paths, patterns) = (placed(paths, layout), placed_patterns(patterns, layout));
            let names: Vec<String> = [joined(&paths), joined(&patterns)].into();
            names
                .into_iter()
                .filter(|names| !names.is_empty())
                .collect::<Vec<_>>()
                .join(", ")
        }
        Target::FlagFiles { component, flags } => format!("file of {component} {}", joined(flags)),
        Target::ManifestsFolder => layout.manifests.to_string(),
        Target::EtcdMembers => "files of etcd".to_owned(),
        Target::EtcdData => "etcd data folder".to_owned(),
        Target::KubeletUnit => "kubelet unit".to_owned(),
        Target::KubeletConfig => "kubelet configuration file".to_owned(),
        Target::KubeletClientCa => "kubelet client CA file".to_owned(),
        Target::KubeProxyKubeconfig => "kube-proxy kubeconfig".to_owned(),
        Target::AuditFiles => "audit policy and log".to_owned(),
    }
}

fn joined(names: &[impl std::fmt::Display]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.join(", ")
}

#[cfg(test)]
#[path = "judge_files_tests.rs"]
mod tests;
