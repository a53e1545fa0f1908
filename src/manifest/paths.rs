//! Files that flags name, and where a container sees the node's files.

use crate::domain::{Component, Container, FlagName, NodePath, StaticPod};

/// Where a path of a container comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mounted {
    /// From this path of the node.
    From(NodePath),
    /// From no volume of the node: it lies in the container's own file system, which goes with it.
    NotMounted,
    /// It cannot be told: the volume is of another kind, or mounted by `subPath`.
    Unclear(String),
}

/// The file or folder that a flag's value names, if it is a flag that names one.
///
/// By the names of the flags of Kubernetes 1.35 and etcd 3.6: those that end in `-file`, `-dir`, `-path`, `-config`,
/// `-cert`, `-key`, or hold a certificate authority, and take a path.
#[must_use]
pub fn path_of_value(_component: Component, name: &FlagName, value: &str) -> Option<NodePath> {
    const ENDS: [&str; 11] = [
        "-file",
        "-files",
        "-dir",
        "-path",
        "-config",
        "-certfile",
        "-keyfile",
        "-cafile",
        "-certificate",
        "-key",
        "-authority",
    ];
    const NAMES: [&str; 3] = ["kubeconfig", "config", "audit-log-path"];
    let flag = name.as_str();
    let names_a_path = NAMES.contains(&flag) || ENDS.iter().any(|end| flag.ends_with(end));
    // `-` is standard output to --audit-log-path; a relative path is relative to the container's working folder.
    (names_a_path && value.starts_with('/'))
        .then(|| value.parse().ok())
        .flatten()
}

/// Where the container gets `path` from: the longest mount path that leads to it decides.
#[must_use]
pub fn mounted_from(pod: &StaticPod, container: &Container, path: &NodePath) -> Mounted {
    let mount = container
        .mounts
        .iter()
        .filter(|mount| path.is_within(&mount.path))
        .max_by_key(|m| m.path.as_str().len());
    let Some(mount) = mount else {
        return Mounted::NotMounted;
    };
    if mount.sub_path.is_some() {
        return Mounted::Unclear(format!("{path} is mounted by a subPath"));
    }
    let Some(volume) = pod.host_paths.iter().find(|volume| volume.name == mount.volume) else {
        return Mounted::Unclear(format!(
            "{path} comes from the volume {}, which is no folder of the node",
            mount.volume
        ));
    };
    let rest = path.as_str().strip_prefix(mount.path.as_str()).unwrap_or("");
    match format!("{}/{rest}", volume.path).parse() {
        Ok(source) => Mounted::From(source),
        Err(_) => Mounted::Unclear(format!("{path} does not lead to a path of the node")),
    }
}
