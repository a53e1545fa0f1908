//! The logs of containers, `/var/log/pods/NAMESPACE_NAME-NODE_UID/CONTAINER/N.log`, in the CRI format.

use std::fmt::Write as _;
use std::path::Path;

use super::NODE_NAME;
use super::pod::Pod;

/// Writes the log of one run. The kubelet keeps this log and the one before it.
pub fn write(root: &Path, pod: &Pod, container: usize, restart: u32, lines: &[String]) {
    let folder = root
        .join("var/log/pods")
        .join(format!(
            "{}_{}-{NODE_NAME}_{}",
            pod.namespace(),
            pod.name(),
            pod.uid
        ))
        .join(pod.container_name(container));
    std::fs::create_dir_all(&folder).expect("the world's folder is writable");
    let mut text = String::new();
    for line in lines {
        let now = jiff::Timestamp::now();
        writeln!(text, "{now:.9} stderr F {line}").expect("a string");
    }
    std::fs::write(folder.join(format!("{restart}.log")), text).expect("the world's folder is writable");
    if let Some(old) = restart.checked_sub(2) {
        std::fs::remove_file(folder.join(format!("{old}.log"))).expect("the log of the run before the last");
    }
}
