//! `export kubeadm-patches`: what the node has beyond what kubeadm makes, for `kubeadm upgrade --patches`.

use std::path::Path;

use super::args::Arguments;
use super::setup::{self, CliError, Setup};
use super::{complain, locked, say};
use crate::adapters::Node;
use crate::adapters::lock::Held;
use crate::domain::{Component, Fact, Mode, NodePath, Observation, Reason};
use crate::kubeadm::{Patch, Patches, SUFFIX, TARGETS, kubelet_patch, patches};
use crate::observe::{Request, at_rest, observe};
use crate::report::{self, ExitClass};

/// Writes the patches into the folder, and says what they cannot keep.
pub(super) fn kubeadm_patches(arguments: &Arguments, folder: &Path) -> Result<ExitClass, CliError> {
    setup::require_root()?;
    let folder = absolute(folder)?;
    let Setup { node, .. } = Setup::new(&arguments.global)?;
    if folder.is_within(&node.layout.manifests) {
        let why =
            format!("{folder}: the kubelet would run what lies among the manifests; name another folder");
        return Err(CliError::Usage(why));
    }
    // While a component is restarted its manifest may be out of the folder.
    let held = locked::hold(&node)?;
    let Patches { files, mut remarks } = made(&node);
    node.files.make_own_folder(&folder)?;
    remarks.extend(cleared(&node, &held, &folder, &files)?);
    for file in &files {
        let path = place(&folder, &file.name)?;
        node.files
            .write_own(&held, &path, file.text.as_bytes(), Mode::from_bits(0o600))?;
        say(&format!("{path}\n"))?;
    }
    say(&if files.is_empty() {
        "kubeadm makes all of it by itself: no patch is needed.\n".to_owned()
    } else {
        format!("Give them to each upgrade of this node: kubeadm upgrade apply VERSION --patches {folder}\n")
    })?;
    for remark in &remarks {
        complain(&format!("holdfast: {}", report::printable(remark)));
    }
    Ok(if remarks.is_empty() {
        ExitClass::Compliant
    } else {
        ExitClass::Unknown
    })
}

fn place(folder: &NodePath, name: &str) -> Result<NodePath, CliError> {
    folder
        .join(name)
        .map_err(|error| CliError::Usage(error.to_string()))
}

/// Removes what an earlier export left and this one does not make; tells of patches of somebody else for the same targets.
fn cleared(node: &Node, held: &Held, folder: &NodePath, files: &[Patch]) -> Result<Vec<String>, CliError> {
    let mut remarks = Vec::new();
    let entries = match node.files.list(folder) {
        Fact::Known(entries) => entries,
        Fact::Absent => Vec::new(),
        Fact::Unknown(why) => return Err(CliError::Usage(format!("{folder} cannot be listed: {why}"))),
    };
    for entry in entries {
        let Some(target) = TARGETS.iter().find(|target| entry.name.starts_with(**target)) else {
            continue;
        };
        let is_ours = entry.name.starts_with(&format!("{target}{SUFFIX}+"));
        if is_ours && !files.iter().any(|file| file.name == entry.name) {
            node.files.remove_own(held, &place(folder, &entry.name)?)?;
        } else if !is_ours {
            remarks.push(format!(
                "{folder} has another patch for {target}, {}, and kubeadm applies both: see that they do not make the same thing twice",
                entry.name
            ));
        }
    }
    Ok(remarks)
}

fn absolute(folder: &Path) -> Result<NodePath, CliError> {
    let full = std::path::absolute(folder).map_err(|cause| CliError::System {
        act: "cannot tell where the folder is",
        cause,
    })?;
    let text = full.to_string_lossy();
    text.parse()
        .map_err(|error| CliError::Usage(format!("{text}: {error}")))
}

/// The patches of this node, with what could not be told.
fn made(node: &Node) -> Patches {
    let request = Request {
        controls: &[],
        in_flight: None,
    };
    let observation = observe(node, request);
    let (cluster, kubelets) = match observation.manifests.get(&Component::ApiServer) {
        Some(Fact::Known(manifest)) => at_rest::kubeadms_configuration(node, manifest),
        _ => {
            let why = Reason::new("no API server of this node can be asked");
            (Fact::Unknown(why.clone()), Fact::Unknown(why))
        }
    };
    let mut made = of_manifests(&observation, &cluster);
    let of_node = observation.kubelet.config.map(|layer| layer.document);
    match kubelets.and_then(|of_cluster| of_node.map(|of_node| kubelet_patch(&of_cluster, &of_node))) {
        Fact::Known(patch) => {
            made.files.extend(patch.files);
            made.remarks.extend(patch.remarks);
        }
        Fact::Absent => {}
        Fact::Unknown(why) => made
            .remarks
            .push(format!("no patch is made for the kubelet: {why}")),
    }
    made
}

fn of_manifests(observation: &Observation, cluster: &Fact<String>) -> Patches {
    let nothing = |why: String| Patches {
        files: Vec::new(),
        remarks: vec![why],
    };
    // Without it, what is there and in the manifest would be made twice, and the pod would be invalid.
    if let Fact::Unknown(why) = cluster {
        return nothing(format!(
            "no patch is made for manifests: what kubeadm-config says is not known: {why}"
        ));
    }
    let mut remarks = Vec::new();
    let mut pods = Vec::new();
    for (component, manifest) in &observation.manifests {
        match manifest {
            Fact::Known(manifest) => pods.push((*component, &manifest.pod)),
            // It may run elsewhere.
            Fact::Absent if *component == Component::Etcd => {}
            Fact::Absent => remarks.push(format!("no patch is made for {component}: it has no manifest")),
            Fact::Unknown(why) => remarks.push(format!("no patch is made for {component}: {why}")),
        }
    }
    match patches(&pods, cluster.known().map(String::as_str)) {
        Ok(mut made) => {
            made.remarks.splice(0..0, remarks);
            made
        }
        Err(why) => nothing(format!(
            "no patch is made for manifests: kubeadm-config is not understood: {why}"
        )),
    }
}
