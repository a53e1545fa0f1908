//! The logs of containers, `/var/log/pods/NAMESPACE_NAME-NODE_UID/CONTAINER/N.log`, in the CRI format.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::NODE_NAME;
use super::pod::Pod;

fn folder(root: &Path, pod: &Pod) -> PathBuf {
    root.join("var/log/pods").join(format!(
        "{}_{}-{NODE_NAME}_{}",
        pod.namespace(),
        pod.name(),
        pod.uid
    ))
}

/// The containers of a pod are removed, and their logs with them; one whose manifest changed again before it ran has none.
pub fn remove(root: &Path, pod: &Pod) {
    match std::fs::remove_dir_all(folder(root, pod)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        removed => removed.expect("the logs of a pod that ran"),
    }
}

/// The number of the next run: one more than that of the newest log.
pub fn next_run(root: &Path, pod: &Pod, container: usize) -> u32 {
    let entries = std::fs::read_dir(folder(root, pod).join(pod.container_name(container)));
    let number = |path: PathBuf| path.file_stem()?.to_str()?.parse::<u32>().ok();
    let numbers = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| number(entry.ok()?.path()));
    numbers.max().map_or(0, |newest| newest + 1)
}

/// Begins the log of one run; its path. The kubelet keeps this log and the one before it.
pub fn write(root: &Path, pod: &Pod, container: usize, restart: u32, lines: &[String]) -> PathBuf {
    let folder = folder(root, pod).join(pod.container_name(container));
    std::fs::create_dir_all(&folder).expect("the world's folder is writable");
    let log = folder.join(format!("{restart}.log"));
    std::fs::write(&log, "").expect("the world's folder is writable");
    append(&log, lines);
    if let Some(old) = restart.checked_sub(2) {
        std::fs::remove_file(folder.join(format!("{old}.log"))).expect("the log of the run before the last");
    }
    log
}

/// Adds lines to a log.
pub fn append(log: &Path, lines: &[String]) {
    let mut text = std::fs::read_to_string(log).expect("a log of ours");
    for line in lines {
        let now = jiff::Timestamp::now();
        writeln!(text, "{now:.9} stderr F {line}").expect("a string");
    }
    std::fs::write(log, text).expect("the world's folder is writable");
}
