//! The kubelet: its process, and what its configuration file says.

use crate::adapters::Node;
use crate::adapters::processes::Table;
use crate::domain::{Fact, KubeletFacts, NodePath, Process, Reason};

/// The kubelet's process and the paths of its configuration. Without a process (a file system mounted elsewhere, or a kubelet that is
/// down) the file is where kubeadm puts it.
pub(super) fn facts(node: &Node, table: &Result<Table, Reason>) -> KubeletFacts {
    let process = match table {
        Ok(table) => kubelet(node, table),
        Err(why) => Fact::Unknown(why.clone()),
    };
    let config_file = match process.known().map(config_flag) {
        None | Some(None) => node
            .layout
            .kubelet
            .join("config.yaml")
            .map_or(Fact::Absent, Fact::Known),
        Some(Some(path)) => path.parse().map_or_else(
            |_| {
                Fact::unknown(format!(
                    "the kubelet runs with --config={path}, which is not an absolute path"
                ))
            },
            Fact::Known,
        ),
    };
    let config = config_file.as_ref().and_then(|path| super::document(node, path));
    let path_at = |pointer: &str| match config.known().and_then(|config| config.pointer(pointer)) {
        None => match &config {
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
            Fact::Known(_) | Fact::Absent => Fact::Absent,
        },
        Some(value) => value
            .as_str()
            .and_then(|text| text.parse::<NodePath>().ok())
            .map_or_else(
                || {
                    Fact::unknown(format!(
                        "{pointer} of the kubelet's configuration is no absolute path"
                    ))
                },
                Fact::Known,
            ),
    };
    KubeletFacts {
        static_pod_path: path_at("/staticPodPath"),
        client_ca_file: path_at("/authentication/x509/clientCAFile"),
        config_file,
        process,
    }
}

/// The kubelet: root's own process. Anybody can start one under its name, and its flags name files that are mended.
fn kubelet(node: &Node, table: &Table) -> Fact<Process> {
    let mut found = Vec::new();
    for process in table.of_host("kubelet") {
        match node.processes.is_roots_own(&process) {
            Fact::Known(true) => found.push(process),
            Fact::Known(false) | Fact::Absent => {}
            Fact::Unknown(why) => return Fact::Unknown(why),
        }
    }
    match (found.pop(), found.len()) {
        (None, _) => Fact::Absent,
        (Some(kubelet), 0) => Fact::Known(kubelet),
        (Some(_), more) => Fact::unknown(format!("{} processes of root's could be the kubelet", more + 1)),
    }
}

/// The last `--config` of the kubelet's command line.
fn config_flag(process: &Process) -> Option<&str> {
    let words = process
        .argv
        .iter()
        .zip(process.argv.iter().skip(1).map(Some).chain([None]));
    words
        .filter_map(|(word, next)| match word.strip_prefix("--config") {
            Some("") => next.map(String::as_str),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        })
        .last()
}
