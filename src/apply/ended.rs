//! Containers of a pod that was taken away and comes back, which the kubelet has left to its garbage collector: they are removed as it does
//! it, the logs first (`pkg/kubelet/kuberuntime`, `removeContainer`).

use std::io;

use crate::adapters::Node;
use crate::adapters::container_runtime::Ended;
use crate::adapters::lock::Held;
use crate::domain::{Fact, FileKind, NodePath};
use crate::events::tell;

/// Removes the ended containers of these pods; how many there were.
///
/// # Errors
/// When the runtime cannot be asked, or does not remove one: some may be removed then. A log that stays is no error.
pub(super) fn remove(node: &Node, held: &Held, socket: &NodePath, pods: &[String]) -> io::Result<usize> {
    let containers = node.runtime.ended(socket, pods)?;
    for container in &containers {
        for path in logs_of(node, container) {
            if let Err(error) = node.files.remove_own(held, &path) {
                tell!(
                    LEFTOVER,
                    [path = path.as_str()],
                    "the log of a container that is removed stays, ignoring: {error}"
                );
            }
        }
        node.runtime.remove(held, socket, container)?;
    }
    Ok(containers.len())
}

/// The log of that run with its rotated parts, and the link to it for those who read logs.
fn logs_of(node: &Node, container: &Ended) -> Vec<NodePath> {
    let Ended {
        id,
        pod_uid,
        pod_namespace,
        pod_name,
        name,
        run,
    } = container;
    // What is no name of Kubernetes' is no path of the kubelet's.
    let is_name = |text: &&String| {
        let is_of_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        !text.is_empty() && !text.starts_with('.') && text.bytes().all(is_of_name)
    };
    if ![id, pod_uid, pod_namespace, pod_name, name].iter().all(is_name) {
        return Vec::new();
    }
    let folder = node
        .layout
        .pod_logs
        .join(&format!("{pod_namespace}_{pod_name}_{pod_uid}"));
    let entries = folder
        .and_then(|folder| folder.join(name))
        .map_or(Fact::Absent, |folder| node.files.list(&folder));
    let of_run = |entry_name: &str| {
        let rest = entry_name.strip_prefix(&format!("{run}.log"));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut paths: Vec<NodePath> = entries
        .known()
        .into_iter()
        .flatten()
        .filter(|entry| of_run(&entry.name))
        .filter(|entry| {
            entry
                .facts
                .known()
                .is_some_and(|facts| facts.kind == FileKind::Regular)
        })
        .filter_map(|entry| entry.path.clone())
        .collect();
    let link = format!("{pod_name}_{pod_namespace}_{name}-{id}.log");
    paths.extend(node.layout.container_logs.join(&link));
    paths
}
