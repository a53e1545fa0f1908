//! The kubelet: its process, and what its configuration says.

use crate::adapters::Node;
use crate::adapters::processes::Table;
use crate::domain::{
    AskedKubelet, ConfigLayer, Fact, FileKind, FlagName, Health, HealthEndpoint, KubeletFacts, NodePath,
    Observation, Process, Reason, Scheme,
};
use crate::kubelet::{CLIENT_CA, HEALTHZ, HEALTHZ_PORT, STATIC_POD_PATH, Setting, effective, flags_of};
use crate::manifest::{MAX_BYTES, document_of, text_of};

/// The kubelet's process and its configuration. Without a process (a file system mounted elsewhere, or a kubelet that is down) the file is
/// where kubeadm puts it.
pub(super) fn facts(node: &Node, table: &Result<Table, Reason>) -> KubeletFacts {
    let process = match table {
        Ok(table) => kubelet(node, table),
        Err(_) if !node.processes.are_of_a_running_node() => Fact::Absent,
        Err(why) => Fact::Unknown(why.clone()),
    };
    let flags = match process.known().map(flags_of) {
        None => Ok(Vec::new()),
        Some(Ok(flags)) => Ok(flags),
        Some(Err(why)) => Err(format!("the kubelet's command line is not understood: {why}")),
    };
    let named = |name: &str| match &flags {
        Ok(flags) => path_of(flags, name),
        Err(why) => Fact::unknown(why.as_str()),
    };
    let usual = || node.layout.kubelet.join("config.yaml");
    let given = named("config");
    let config_file = match &given {
        Fact::Absent => usual().map_or(Fact::Absent, Fact::Known),
        Fact::Known(_) | Fact::Unknown(_) => given.clone(),
    };
    let config = match (&process, &given) {
        // One that runs without the flag reads no file, whatever lies there.
        (Fact::Known(_), Fact::Absent) => Fact::Absent,
        (Fact::Known(_), Fact::Known(path)) => still_there(path, layer(node, path)),
        _ => config_file.as_ref().and_then(|path| layer(node, path)),
    };
    let drop_in_folder = named("config-dir");
    let drop_ins = match &drop_in_folder {
        Fact::Known(folder) => drop_ins(node, folder),
        Fact::Absent => Fact::Known(Vec::new()),
        Fact::Unknown(why) => Fact::Unknown(why.clone()),
    };
    let mut facts = KubeletFacts {
        process,
        config_file,
        config,
        drop_ins,
        drop_in_folder,
        static_pod_path: Fact::Absent,
        client_ca_file: Fact::Absent,
    };
    facts.static_pod_path = path_by(&facts, &STATIC_POD_PATH);
    facts.client_ca_file = path_by(&facts, &CLIENT_CA);
    facts
}

/// Adds what only a change of its configuration asks.
pub(super) fn ask(node: &Node, observation: &mut Observation) {
    let file = observation.kubelet.config_file.clone();
    ask_of(node, file.as_ref(), observation);
}

/// The same of the file that a change in flight is about, whatever the running kubelet names. On a node that does not run here nobody is
/// asked.
pub(super) fn ask_of(node: &Node, file: Fact<&NodePath>, observation: &mut Observation) {
    let text = file.and_then(|path| {
        node.files.read(path, MAX_BYTES).and_then(|content| {
            String::from_utf8(content.bytes)
                .map_or_else(|_| Fact::unknown(format!("{path} is not UTF-8")), Fact::Known)
        })
    });
    observation.asked_kubelet = AskedKubelet {
        text,
        health: if node.processes.are_of_a_running_node() {
            health(node, &observation.kubelet)
        } else {
            Fact::unknown("the node does not run here")
        },
        most_pids: node.processes.most_pids_of_a_pod(),
        kernel_defaults: super::sysctl::kernel_defaults(node),
    };
}

/// Its health endpoint; `Absent` when it is off.
fn health(node: &Node, facts: &KubeletFacts) -> Fact<Health> {
    let port = effective(facts, &HEALTHZ_PORT);
    let address = effective(facts, &HEALTHZ);
    port.and_then(|port| {
        address.and_then(|address| {
            let port = match port.value.parse::<u16>() {
                Ok(0) => return Fact::Absent,
                Ok(port) => port,
                Err(_) => return Fact::unknown(format!("healthzPort is {}", port.value)),
            };
            // One that listens on all addresses listens on the loopback.
            let host = match address.value.parse::<std::net::IpAddr>() {
                Ok(address) if address.is_unspecified() => "127.0.0.1".to_owned(),
                Ok(address) => address.to_string(),
                Err(_) => return Fact::unknown(format!("healthzBindAddress is {}", address.value)),
            };
            Fact::Known(node.health.ask(&HealthEndpoint {
                scheme: Scheme::Http,
                host,
                port,
                path: "/healthz".to_owned(),
            }))
        })
    })
}

/// The path that a setting names.
fn path_by(facts: &KubeletFacts, setting: &Setting) -> Fact<NodePath> {
    effective(facts, setting).and_then(|found| {
        if found.value.is_empty() {
            return Fact::Absent;
        }
        found.value.parse().map_or_else(
            |_| Fact::unknown(format!("{} of the kubelet is no absolute path", setting.key)),
            Fact::Known,
        )
    })
}

/// The path that the last occurrence of a flag names; an empty one is as if it were not given.
fn path_of(flags: &[(FlagName, String)], name: &str) -> Fact<NodePath> {
    match flags.iter().rfind(|(flag, _)| flag.as_str() == name) {
        None => Fact::Absent,
        Some((_, path)) if path.is_empty() => Fact::Absent,
        Some((flag, path)) => path.parse().map_or_else(
            |_| {
                Fact::unknown(format!(
                    "the kubelet runs with {flag}={path}, which is not an absolute path"
                ))
            },
            Fact::Known,
        ),
    }
}

/// What a running kubelet has read, and is gone.
fn still_there<T>(path: &NodePath, found: Fact<T>) -> Fact<T> {
    match found {
        Fact::Absent => Fact::unknown(format!(
            "{path}, which the kubelet was started with, is not there"
        )),
        Fact::Known(_) | Fact::Unknown(_) => found,
    }
}

/// A file of the kubelet's configuration, read as the kubelet reads it. Keys that are given twice and several documents are not told:
/// of those in the file the last and the first count, and with the former in a drop-in no kubelet starts.
fn layer(node: &Node, path: &NodePath) -> Fact<ConfigLayer> {
    node.files.read(path, MAX_BYTES).and_then(|content| {
        let document = text_of(&content.bytes).and_then(document_of);
        let document = match document {
            Ok(document) => serde_json::to_value(&document.value).map_err(|_| "a key is no text".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match document {
            Ok(document) => Fact::Known(ConfigLayer {
                path: path.clone(),
                modified_ns: content.facts.modified_ns,
                document,
            }),
            Err(why) => Fact::unknown(format!("{path}: {why}")),
        }
    })
}

/// The `*.conf` of a folder and of those in it, as Go's `filepath.WalkDir` comes by them: a folder where its name stands among the files.
fn drop_ins(node: &Node, folder: &NodePath) -> Fact<Vec<ConfigLayer>> {
    let entries = match still_there(folder, node.files.walk(folder)) {
        Fact::Known(entries) => entries,
        Fact::Absent => return Fact::Known(Vec::new()),
        Fact::Unknown(why) => return Fact::Unknown(why),
    };
    let mut paths = Vec::new();
    for entry in entries.into_iter().filter(|entry| entry.name.ends_with(".conf")) {
        let is_folder = entry
            .facts
            .known()
            .is_some_and(|facts| facts.kind == FileKind::Directory);
        match entry.path {
            _ if is_folder => {}
            Some(path) => paths.push(path),
            None => {
                let name = entry.name;
                return Fact::unknown(format!(
                    "{folder} has an entry whose name is not plain text: {name:?}"
                ));
            }
        }
    }
    paths.sort_by(|one, other| one.components().cmp(other.components()));
    let mut layers = Vec::new();
    for path in paths {
        match still_there(&path, layer(node, &path)) {
            Fact::Known(layer) => layers.push(layer),
            Fact::Absent => {}
            Fact::Unknown(why) => return Fact::Unknown(why),
        }
    }
    Fact::Known(layers)
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
