//! The catalogue of controls: typed rows, one table file per subject.
//!
//! A control is one requirement on the node: an id, a target, what must hold and why. Adding one touches one table
//! and its test. Documentation is generated from the catalogue.

mod cluster;
mod constraint;
mod contents;
pub mod editions;
mod files;
mod flags;
mod folder;
mod kits;
mod kubelet;
mod places;
mod reported;

use std::borrow::Cow;

pub use constraint::{Constraint, HTTP2_SUITES, ListRule, OFFERED_SUITES, STRONG_SUITES, items_of};
pub use editions::{Benchmark, ControlName, Difference, cis_level};
pub use kits::{ADMISSION, ADMISSION_FLAG, AUTHENTICATION, Kit, NoFolder, Provision};
pub use reported::Reported;

use crate::cluster::ClusterRule;
use crate::domain::{Account, Component, ControlId, FlagName, Mode, NodePath, Owner, PathPattern};
use crate::kubelet::Setting;

/// One requirement on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Its id: `CIS-1.2.15`.
    pub id: ControlId,
    /// Our own stable slug, the same over all editions of a benchmark.
    pub rule: Cow<'static, str>,
    /// What it asks, in one line.
    pub title: Cow<'static, str>,
    /// Why it matters, for `explain`.
    pub rationale: &'static str,
    /// What may be done about a drift.
    pub remedy: Remedy,
    /// What must hold.
    pub requirement: Requirement,
    /// Where the requirement and the facts behind it come from.
    pub sources: &'static str,
}

/// What may be done about a drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// It is mended at once; nothing restarts.
    Safe,
    /// It is mended by an edit that restarts one component.
    Restarts,
    /// It is mended by an edit that restarts one component, when what it needs is there; nobody's consent is asked.
    RestartsWhen(Kit),
    /// It is mended when its precondition is proven; nothing restarts.
    When(Precondition),
    /// It is mended by an edit that restarts one component, if the operator allows that, when what it needs has been made or is there.
    Conditional(Kit),
    /// It is mended in the kubelet's configuration file, by a restart of the kubelet, where no drop-in and no flag says otherwise.
    Kubelet {
        /// What the operator must allow, if anything.
        kit: Option<Kit>,
        /// What a remedy by hand would need.
        needs: &'static str,
    },
    /// It is moved to quarantine, if the operator turned that on.
    Quarantine,
    /// It is only reported; the text says what a remedy would need.
    ReportOnly(&'static str),
    /// What is wrong with modes and owners is mended at once, and nothing restarts; the rest is only reported, and the text says what a
    /// remedy of it would need.
    InPart(&'static str),
}

/// What must be proven before a conditional remedy is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// No control-plane manifest sets `runAsUser`: under kubeadm's RootlessControlPlane the keys belong to the
    /// accounts that the components run as (kubeadm `staticpod/utils_linux.go`).
    ComponentsRunAsRoot,
}

/// What must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// No permission bit outside `ceiling`.
    Mode {
        /// Which files.
        target: Target,
        /// The widest mode allowed.
        ceiling: Mode,
    },
    /// This owner.
    Owner {
        /// Which files.
        target: Target,
        /// The owner.
        owner: Owner,
    },
    /// An account's ownership, by name.
    OwnerAccount {
        /// Which files.
        target: Target,
        /// The account.
        account: Account,
    },
    /// This owner, and no permission bit outside `ceiling`; a folder may also be entered by who may read it.
    Access {
        /// Which files.
        target: Target,
        /// The widest mode allowed.
        ceiling: Mode,
        /// The owner.
        owner: Owner,
    },
    /// Nothing is there.
    Gone {
        /// Which files.
        target: Target,
    },
    /// A flag of a component.
    Flag {
        /// The component.
        component: Component,
        /// The flag.
        name: FlagName,
        /// What must hold of its effective value.
        rule: FlagRule,
    },
    /// The manifests folder.
    Folder(FolderRule),
    /// The certificates of the node.
    Certificates(CertificateRule),
    /// A setting of the kubelet.
    Kubelet(KubeletRule),
    /// Secrets are written encrypted.
    EncryptsSecrets,
    /// The audit policy logs what is sensitive.
    AuditPolicy,
    /// Facts of the node that are only reported.
    Reported(Reported),
    /// No flag of a component stands twice that counts once.
    FlagsOnce,
    /// The pods of the control plane may do no more than kubeadm lets them.
    NotWidened,
    /// Objects of the API.
    Cluster(ClusterRule),
}

/// Which files a control is about. Files that are not there make it not applicable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The manifest of a component.
    Manifest(Component),
    /// Files by name.
    Files(Vec<NodePath>),
    /// Files by pattern.
    Matching(Vec<PathPattern>),
    /// A folder and all that lies below it.
    Tree(NodePath),
    /// Files, folders and sockets, by name and by pattern.
    Entries {
        /// By name.
        paths: Vec<NodePath>,
        /// By pattern.
        patterns: Vec<PathPattern>,
    },
    /// The files of the node that these flags of a component name.
    FlagFiles {
        /// The component.
        component: Component,
        /// The flags.
        flags: Vec<FlagName>,
    },
    /// The folder of the static-pod manifests.
    ManifestsFolder,
    /// All that lies in etcd's data folder below `member`.
    EtcdMembers,
    /// etcd's data folder: `--data-dir` of its manifest, else `/var/lib/etcd`.
    EtcdData,
    /// The kubelet's unit and its drop-ins.
    KubeletUnit,
    /// The kubelet's configuration file: its `--config`, else `/var/lib/kubelet/config.yaml`.
    KubeletConfig,
    /// The CA that the kubelet verifies its clients with.
    KubeletClientCa,
    /// The kubeconfig of a kube-proxy that runs as a process of the host.
    KubeProxyKubeconfig,
    /// The files of the API server's audit: its policy, its log with those that were rotated away, and the log's folder if that is called
    /// after it.
    AuditFiles,
}

/// What must hold of a flag's effective value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlagRule {
    /// It equals `value`; for a boolean, in any of its spellings.
    Is {
        /// The value.
        value: String,
        /// The built-in value when the flag is absent.
        default: Option<&'static str>,
        /// Where a component's own configuration file holds the setting instead, when it is started with `--config`.
        config_key: Option<&'static str>,
    },
    /// It is given.
    IsSet {
        /// What a conditional remedy gives it: the path of a file.
        usual: Option<String>,
    },
    /// It, and what belongs to it, meets this: no single value is required.
    Meets(Constraint),
    /// It is a number, at least this; and the flag that it belongs to is given, or there is nothing to keep.
    AtLeast {
        /// The smallest number allowed.
        minimum: i64,
        /// The built-in value when the flag is absent.
        default: BuiltIn,
        /// The flag without which the value means nothing.
        with: FlagName,
    },
}

/// The built-in value of a numeric flag, which may differ by version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// The value at first.
    pub first: i64,
    /// The version from which on it is another, and that value.
    pub since: Option<(KubernetesVersion, i64)>,
}

/// The minor version of Kubernetes 1.x that a component's image names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KubernetesVersion {
    /// The minor version.
    pub minor: u32,
}

/// What must hold of the manifests folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FolderRule {
    /// Every file is a component's manifest or known.
    NoUnknownManifest,
    /// No two files define the same pod.
    NoDuplicatePod,
    /// Every entry is a plain file with one name.
    PlainFiles,
    /// No folder lies in it.
    NoSubfolder,
    /// The kubelet can read every file.
    AllParsable,
}

/// What must hold of the kubelet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KubeletRule {
    /// A setting has a value.
    Setting {
        /// Which.
        setting: Setting,
        /// What its effective value must be.
        must: Must,
    },
    /// Its serving certificate is signed by the cluster, or given by files.
    ServingCertificate,
    /// It renews its serving certificate.
    RotatesServing,
    /// It takes static pods from the guarded folder.
    StaticPodPath,
    /// Its handlers for profiling and flags are off.
    HandlersOff,
    /// No drop-in and no flag makes a setting that is judged worse than the file does.
    NothingWeakens,
}

/// What an effective value of the kubelet's must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Must {
    /// This.
    Be(&'static str),
    /// The name of a file that is there.
    BeFile,
    /// Nothing.
    BeUnset,
    /// A span above zero.
    BeLongerThanZero,
    /// A number, at least this.
    BeAtLeast(i64),
    /// An address of the node alone.
    BeLoopback,
    /// A list of [`STRONG_SUITES`], and at least one.
    BeStrongSuites,
    /// TLS 1.2 or newer; unset is, too.
    BeModernTls,
}

/// What must hold of certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateRule {
    /// None ends within so many days: authorities, or the others.
    TimeLeft {
        /// True: of authorities.
        authorities: bool,
        /// How many days.
        days: u16,
    },
    /// Keys and signatures are strong.
    Strong,
    /// etcd takes clients by no authority that the API server takes them by.
    OwnEtcdAuthority,
}

/// Every control of the catalogue, in the order of their ids as people count.
#[must_use]
pub fn catalogue() -> Vec<Control> {
    let mut controls: Vec<Control> = files::controls()
        .into_iter()
        .chain(flags::controls())
        .chain(folder::controls())
        .chain(places::controls())
        .chain(contents::controls())
        .chain(reported::controls())
        .chain(kubelet::controls())
        .chain(cluster::controls())
        .collect();
    controls.sort_by_key(|control| sort_key(&control.id));
    controls
}

/// Orders `CIS-1.1.2` before `CIS-1.1.10`, and CIS before the rest.
#[must_use]
pub fn sort_key(id: &ControlId) -> (u8, Vec<u32>, String) {
    let text = id.as_str();
    let rank = [("CIS-", 0), ("X-", 1)]
        .iter()
        .find(|(prefix, _)| text.starts_with(prefix))
        .map_or(2, |(_, rank)| *rank);
    let numbers = text
        .split(['-', '.'])
        .filter_map(|part| part.parse().ok())
        .collect();
    (
        rank,
        if rank == 0 { numbers } else { Vec::new() },
        text.to_owned(),
    )
}

impl BuiltIn {
    /// The value in that version; `None` when it differs by version and the version is not known.
    #[must_use]
    pub fn value(self, version: Option<KubernetesVersion>) -> Option<i64> {
        match (self.since, version) {
            (None, _) => Some(self.first),
            (Some((since, value)), Some(version)) => Some(if version >= since { value } else { self.first }),
            (Some(_), None) => None,
        }
    }
}

impl Control {
    /// The component whose restart the remedy costs.
    #[must_use]
    pub const fn restarts(&self) -> Option<Component> {
        match (&self.remedy, &self.requirement) {
            (
                Remedy::Restarts | Remedy::RestartsWhen(_) | Remedy::Conditional(_),
                Requirement::Flag { component, .. },
            ) => Some(*component),
            (Remedy::Conditional(Kit::PodSecurity), _) => Some(Component::ApiServer),
            _ => None,
        }
    }

    /// The conditional remedy that the operator must allow.
    #[must_use]
    pub const fn kit(&self) -> Option<Kit> {
        match self.remedy {
            Remedy::Conditional(kit) => Some(kit),
            Remedy::Kubelet { kit, .. } => kit,
            Remedy::Safe
            | Remedy::Restarts
            | Remedy::RestartsWhen(_)
            | Remedy::When(_)
            | Remedy::Quarantine
            | Remedy::ReportOnly(_)
            | Remedy::InPart(_) => None,
        }
    }

    /// True when the operator can give another value than the catalogue's.
    #[must_use]
    pub const fn takes_value(&self) -> bool {
        matches!(
            &self.requirement,
            Requirement::Mode { .. }
                | Requirement::Access { .. }
                | Requirement::Certificates(CertificateRule::TimeLeft { .. })
                | Requirement::Flag {
                    rule: FlagRule::Is { .. } | FlagRule::AtLeast { .. } | FlagRule::IsSet { usual: Some(_) },
                    ..
                }
        )
    }
}

#[expect(
    clippy::expect_used,
    reason = "rows of the catalogue are literals, and a test reads every one of them"
)]
fn id(text: &str) -> ControlId {
    text.parse().expect("a row's id is well formed")
}

#[expect(
    clippy::expect_used,
    reason = "rows of the catalogue are literals, and a test reads every one of them"
)]
fn path(text: &str) -> NodePath {
    text.parse().expect("a row's path is absolute")
}

#[expect(
    clippy::expect_used,
    reason = "rows of the catalogue are literals, and a test reads every one of them"
)]
fn pattern(text: &str) -> PathPattern {
    text.parse().expect("a row's pattern is well formed")
}

#[expect(
    clippy::expect_used,
    reason = "rows of the catalogue are literals, and a test reads every one of them"
)]
fn flag(text: &str) -> FlagName {
    text.parse().expect("a row's flag is well formed")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_is_well_formed_and_no_id_or_slug_stands_twice() {
        let controls = catalogue();
        let ids: BTreeSet<_> = controls.iter().map(|control| control.id.clone()).collect();
        let rules: BTreeSet<_> = controls.iter().map(|control| control.rule.clone()).collect();
        assert_eq!((ids.len(), rules.len()), (controls.len(), controls.len()));
        for control in &controls {
            assert!(
                !control.title.is_empty() && !control.rationale.is_empty() && !control.sources.is_empty(),
                "{}",
                control.id
            );
        }
    }

    #[test]
    fn ids_are_ordered_as_people_count() {
        let ids: Vec<String> = catalogue().iter().map(|control| control.id.to_string()).collect();
        let position = |id: &str| ids.iter().position(|other| other == id).unwrap();
        assert!(position("CIS-1.1.2") < position("CIS-1.1.10"));
        assert!(position("CIS-1.1.21") < position("CIS-1.2.5"));
        assert!(position("CIS-4.1.10") < position("X-FILE-02"));
    }

    #[test]
    fn the_catalogue_holds_every_row_that_is_promised() {
        let ids: BTreeSet<String> = catalogue().iter().map(|control| control.id.to_string()).collect();
        let cis = |section: &str, last: u32| {
            (1..=last)
                .map(move |n| format!("CIS-{section}.{n}"))
                .collect::<Vec<_>>()
        };
        let of = |family: &str, numbers: &[u32]| {
            let ids = numbers.iter().map(|n| format!("{family}-{n:02}"));
            ids.collect::<Vec<_>>()
        };
        let flags = ["1.4.1", "1.4.2", "3.2.1", "3.2.2", "4.3.1", "5.5.1"];
        let guard = [
            "HF-ETCD-1",
            "HF-FOLDER-1",
            "HF-FOLDER-2",
            "HF-CLUSTER-1",
            "HF-CLUSTER-2",
        ];
        let files: Vec<u32> = (1..=19).collect();
        let promised: BTreeSet<String> = cis("1.1", 21)
            .into_iter()
            .chain(cis("4.1", 10))
            .chain(cis("4.2", 14))
            .chain(of("X-KUBELET", &[1, 2, 3, 4, 5, 6, 7]))
            .chain(cis("1.2", 30))
            .chain(cis("1.3", 7))
            .chain(cis("2", 7))
            .chain(cis("3.1", 3))
            .chain(cis("5.1", 13))
            .chain(cis("5.2", 12))
            .chain(cis("5.3", 2))
            .chain(cis("5.4", 2))
            .chain(cis("5.6", 4))
            .chain(of("X-API", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]))
            .chain(of("X-ETCD", &[1, 2, 3, 4, 5, 6]))
            .chain(of("X-FILE", &files))
            .chain(of("X-CRED", &[1, 2, 3, 4, 5, 6, 7, 8, 9]))
            .chain(of("X-NET", &[1, 2]))
            .chain(of("X-VER", &[1]))
            .chain(of("X-SELF", &[1]))
            .chain(flags.iter().map(|number| format!("CIS-{number}")))
            .chain(guard.iter().map(|id| (*id).to_owned()))
            .collect();
        assert_eq!(ids, promised);
    }
}
