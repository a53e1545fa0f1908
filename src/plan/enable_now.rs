//! Whether the API server may be given an encryption configuration now, and by which edit of its manifest: what the command
//! `encryption enable` asks.

use std::collections::BTreeSet;

use super::bounce_now::{etcd_not_well, twin};
use super::build::{Circumstances, not_asked};
use super::change::{Change, WithheldReason};
use super::edits::{Edited, change_to, image_of};
use super::restart;
use crate::domain::{Component, EtcdState, Fact, FlagName, InvalidFlagName, Manifest, NodePath, Observation};
use crate::journal::RefusedFlag;
use crate::manifest::{self, Edit, Mounted, command_line, mounted_from};

/// The volume of the API server's pod that holds the folder of the configuration.
pub const VOLUME: &str = "encryption-config";

/// What the API server is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enabling {
    /// The configuration, on the node and in the container.
    pub file: NodePath,
    /// The folder that it lies in, and that is mounted: a file that is mounted singly stays the old one when it is replaced.
    pub folder: NodePath,
    /// True when it writes plaintext and no more: then the former manifest may go back whatever was written.
    pub plaintext: bool,
    /// True when the API server is to load a changed file by itself.
    pub reload: bool,
}

impl Enabling {
    /// The flags that it needs, with their values.
    #[must_use]
    pub fn flags(&self) -> Vec<(&'static str, String)> {
        let file = ("encryption-provider-config", self.file.to_string());
        let reload = ("encryption-provider-config-automatic-reload", "true".to_owned());
        std::iter::once(file)
            .chain(self.reload.then_some(reload))
            .collect()
    }
}

/// The edit that gives the API server the configuration, if nothing speaks against it now.
///
/// # Errors
/// Why it is refused: what is unknown refuses it, too.
pub fn enable_now(
    wanted: &Enabling,
    observation: &Observation,
    etcd: &Fact<EtcdState>,
    circumstances: &Circumstances<'_>,
) -> Result<Change, WithheldReason> {
    let component = Component::ApiServer;
    if let Some(why) = &circumstances.paused {
        return Err(WithheldReason::Paused(why.clone()));
    }
    // An API server that cannot read what is encrypted does not become ready: it is not healthy before it is mended.
    let why = if wanted.plaintext {
        restart::why_not(component, observation, circumstances)
    } else {
        restart::why_not_mended(observation, circumstances)
    };
    if let Some(why) = why {
        return Err(why);
    }
    let manifest = match not_asked(observation.manifests.get(&component)) {
        Fact::Known(manifest) => manifest,
        Fact::Absent => return Err(WithheldReason::NotEditable("it is not there".to_owned())),
        Fact::Unknown(why) => return Err(WithheldReason::NotEditable(why.to_string())),
    };
    if let Some(why) = twin(component, manifest, observation).or_else(|| etcd_not_well(etcd)) {
        return Err(WithheldReason::Unhealthy(why));
    }
    let flags = flags(wanted).map_err(|error| WithheldReason::NotEditable(error.to_string()))?;
    let after = edited(wanted, &flags, manifest)?;
    let change = Edited {
        component,
        after,
        image: image_of(component, manifest).unwrap_or_default(),
        flags,
        controls: Vec::new(),
        touches_encryption: !wanted.plaintext,
        there: BTreeSet::new(),
    };
    change_to(change, manifest, observation, circumstances)
}

fn flags(wanted: &Enabling) -> Result<Vec<RefusedFlag>, InvalidFlagName> {
    let flags = wanted.flags().into_iter();
    flags
        .map(|(name, value)| {
            let name: FlagName = name.parse()?;
            Ok(RefusedFlag { name, value })
        })
        .collect()
}

fn edited(wanted: &Enabling, flags: &[RefusedFlag], manifest: &Manifest) -> Result<String, WithheldReason> {
    let mut edits: Vec<Edit> = flags
        .iter()
        .map(|flag| Edit::SetFlag {
            name: flag.name.clone(),
            value: flag.value.clone(),
        })
        .collect();
    if is_mounted(wanted, manifest) {
        return edit(manifest, flags, &edits);
    }
    edits.push(Edit::AddMount {
        volume: VOLUME.to_owned(),
        path: wanted.folder.clone(),
        read_only: true,
    });
    edits.push(Edit::AddVolume {
        name: VOLUME.to_owned(),
        path: wanted.folder.clone(),
        kind: "Directory".to_owned(),
    });
    edit(manifest, flags, &edits)
}

/// A manifest that lost only its flag may still have the folder.
fn is_mounted(wanted: &Enabling, manifest: &Manifest) -> bool {
    let line = command_line(Component::ApiServer, &manifest.pod);
    let container = line
        .ok()
        .and_then(|line| manifest.pod.containers.get(line.container()));
    let from = container.map(|container| mounted_from(&manifest.pod, container, &wanted.file));
    from == Some(Mounted::From(wanted.file.clone()))
}

fn edit(manifest: &Manifest, flags: &[RefusedFlag], edits: &[Edit]) -> Result<String, WithheldReason> {
    manifest::edit(&manifest.text, Component::ApiServer, edits).map_err(|refusal| {
        let told: Vec<String> = flags
            .iter()
            .map(|flag| format!("--{}={}", flag.name, flag.value))
            .collect();
        WithheldReason::NotEditable(format!(
            "{refusal}; by hand: set {}, and mount the folder of that file at the same place",
            told.join(" ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Config;
    use crate::domain::{ControlPlane, Health};
    use crate::journal::JournalState;
    use crate::manifest::unified_diff;
    use crate::plan::Deed;
    use crate::plan::fixtures::{facts, fresh_node};
    use crate::plan::in_flight_tests::at;

    fn wanted() -> Enabling {
        Enabling {
            file: "/etc/kubernetes/enc/enc.yaml".parse().unwrap(),
            folder: "/etc/kubernetes/enc".parse().unwrap(),
            plaintext: true,
            reload: true,
        }
    }

    fn node() -> Observation {
        let mut node = fresh_node();
        node.control_plane = Fact::Known(ControlPlane {
            nodes: ["node1".to_owned()].into(),
            source: "nodes",
        });
        node.health = Component::ALL.map(|of| (of, Fact::Known(Health::Ok))).into();
        // Every file that a flag names is there.
        let manifest = node.manifests[&Component::ApiServer].known().unwrap().clone();
        let line = manifest::command_line(Component::ApiServer, &manifest.pod).unwrap();
        let named = manifest::named_paths(Component::ApiServer, &line);
        let paths = named.into_iter().map(|(_, path)| path.must_exist());
        for path in paths.chain([wanted().file]) {
            let fact = facts(path.as_str(), crate::domain::FileKind::Regular, 0o600);
            node.files.insert(path, Fact::Known(fact));
        }
        node
    }

    fn asked(
        node: &Observation,
        etcd: &Fact<EtcdState>,
        wanted: &Enabling,
    ) -> Result<Change, WithheldReason> {
        let circumstances = Circumstances {
            config: &Config::default(),
            journal: &JournalState::default(),
            now: at(10_000),
            asked: true,
            any_time: false,
            failed: &BTreeMap::new(),
            retry: false,
            settling: false,
            endangered: false,
            ending: false,
            starting: false,
            paused: None,
        };
        enable_now(wanted, node, etcd, &circumstances)
    }

    fn well() -> Fact<EtcdState> {
        Fact::Known(EtcdState {
            has_leader: true,
            alarms: Vec::new(),
        })
    }

    #[test]
    fn the_edit_adds_two_flags_the_folder_and_its_mount_and_may_be_undone_while_it_writes_plaintext() {
        let change = asked(&node(), &well(), &wanted()).unwrap();
        let Deed::EditManifest(edit) = change.deed else {
            panic!("{change:?}");
        };
        assert!(!edit.touches_encryption);
        let diff = unified_diff("kube-apiserver.yaml", &edit.before, &edit.after);
        let added: Vec<&str> = diff.lines().filter(|line| line.starts_with('+')).collect();
        for line in [
            "+    - --encryption-provider-config=/etc/kubernetes/enc/enc.yaml",
            "+    - --encryption-provider-config-automatic-reload=true",
            "+    - mountPath: /etc/kubernetes/enc",
            "+      readOnly: true",
            "+      type: Directory",
        ] {
            assert!(
                added.iter().any(|added| added.trim_end() == line),
                "{line}: {diff}"
            );
        }
        assert!(
            !diff
                .lines()
                .any(|line| line.starts_with('-') && !line.starts_with("---")),
            "{diff}"
        );
        let keyed = Enabling {
            plaintext: false,
            ..wanted()
        };
        let mut unready = node();
        let failing = Health::Failing(crate::domain::Reason::new("informer-sync"));
        unready.health.insert(Component::ApiServer, Fact::Known(failing));
        let change = asked(&unready, &well(), &keyed).unwrap();
        assert!(matches!(change.deed, Deed::EditManifest(edit) if edit.touches_encryption));
        let why = asked(&unready, &well(), &wanted()).unwrap_err();
        assert!(matches!(why, WithheldReason::Unhealthy(_)), "{why}");
    }

    #[test]
    fn it_is_refused_without_the_file_on_several_nodes_and_beside_an_etcd_that_is_not_well() {
        let mut without = node();
        without.files.insert(wanted().file, Fact::Absent);
        let refused = |node: &Observation, etcd: &Fact<EtcdState>| asked(node, etcd, &wanted()).unwrap_err();
        assert!(matches!(
            refused(&without, &well()),
            WithheldReason::FileMissing(_)
        ));
        let mut several = node();
        several.control_plane = Fact::Known(ControlPlane {
            nodes: ["a".to_owned(), "b".to_owned()].into(),
            source: "nodes",
        });
        assert!(matches!(
            refused(&several, &well()),
            WithheldReason::SeveralControlPlaneNodes(_)
        ));
        assert!(matches!(
            refused(&node(), &Fact::Absent),
            WithheldReason::Unhealthy(_)
        ));
    }
}
