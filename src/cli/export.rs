//! `export kubeadm-patches`: what the node has beyond what kubeadm makes, for `kubeadm upgrade --patches`.

use std::path::Path;
use std::time::Duration;

use super::args::Arguments;
use super::setup::{self, CliError, Setup};
use super::{complain, say};
use crate::adapters::Node;
use crate::adapters::lock::Held;
use crate::domain::{Component, Fact, Mode, NodePath, Observation, Reason};
use crate::kubeadm::{Patches, kubelet_patch, patches};
use crate::observe::{Request, at_rest, observe};
use crate::report::ExitClass;

const LOCK_PATIENCE: Duration = Duration::from_secs(20);

/// Writes the patches into the folder, and says what they cannot keep.
pub(super) fn kubeadm_patches(arguments: &Arguments, folder: &Path) -> Result<ExitClass, CliError> {
    setup::require_root()?;
    let folder = absolute(folder)?;
    let Setup { node, .. } = Setup::new(&arguments.global)?;
    let Patches { files, remarks } = made(&node);
    let held = Held::take(&node.here(&node.layout.run), LOCK_PATIENCE)?;
    node.files.make_own_folder(&folder)?;
    for file in &files {
        let path = folder
            .join(&file.name)
            .map_err(|error| CliError::Usage(error.to_string()))?;
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
        complain(&format!("holdfast: {remark}"));
    }
    Ok(if remarks.is_empty() {
        ExitClass::Compliant
    } else {
        ExitClass::Unknown
    })
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
        Fact::Known(patch) => made.files.extend(patch),
        Fact::Absent => {}
        Fact::Unknown(why) => made
            .remarks
            .push(format!("no patch is made for the kubelet: {why}")),
    }
    made
}

fn of_manifests(observation: &Observation, cluster: &Fact<String>) -> Patches {
    const ALL: &str = "the patches hold all that is not kubeadm's own";
    let mut remarks = Vec::new();
    let mut pods = Vec::new();
    for (component, manifest) in &observation.manifests {
        match manifest {
            Fact::Known(manifest) => pods.push((*component, &manifest.pod)),
            Fact::Absent => {}
            Fact::Unknown(why) => remarks.push(format!("no patch is made for {component}: {why}")),
        }
    }
    if let Fact::Unknown(why) = cluster {
        remarks.push(format!("what kubeadm-config says is not known, and {ALL}: {why}"));
    }
    let mut made = patches(&pods, cluster.known().map(String::as_str)).unwrap_or_else(|why| {
        remarks.push(format!("kubeadm-config is not understood, and {ALL}: {why}"));
        patches(&pods, None).unwrap_or_default()
    });
    made.remarks.splice(0..0, remarks);
    made
}
