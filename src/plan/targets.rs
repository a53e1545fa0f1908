//! Where the files of a target are on this node. Observing asks for these paths and judging judges them: it is one
//! function, so that the two cannot differ.

use std::collections::BTreeMap;

use crate::admission::{PluginConfig, plugin};
use crate::controls::{Constraint, Control, FlagRule, ListRule, Reported, Requirement, Target};
use crate::domain::{
    Component, Fact, FlagName, KubeletFacts, Layout, Manifest, NodePath, Observation, PathPattern, Reason,
};
use crate::manifest::{CommandLine, Mounted, command_line, mounted_from};

/// What is asked of the node for a target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// Single files and folders.
    pub files: Vec<NodePath>,
    /// Files by pattern.
    pub patterns: Vec<PathPattern>,
}

// `/lib` is a link to `/usr/lib` on a merged system; the files are then found twice, and judged once.
const UNIT_FOLDERS: [&str; 3] = [
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/etc/systemd/system",
];

// Where guides and distributions that run kube-proxy as a process of the host keep its kubeconfig (kube-bench's list
// and "Kubernetes the hard way"). kubeadm writes none of them: its kube-proxy is a DaemonSet.
const KUBE_PROXY_KUBECONFIGS: [&str; 4] = [
    "/etc/kubernetes/kube-proxy.conf",
    "/etc/kubernetes/kube-proxy.kubeconfig",
    "/etc/kubernetes/proxy.conf",
    "/var/lib/kube-proxy/kubeconfig",
];

/// The flags of files that hold more than a value.
pub(super) const AUDIT_POLICY: &str = "audit-policy-file";
const AUDIT_LOG: &str = "audit-log-path";
pub(super) const AUTHORIZATION_FILE: &str = "authorization-config";
pub(super) const ADMISSION_FILE: &str = "admission-control-config-file";

/// The paths of a target. `Absent`: the node has nothing of that kind.
pub fn paths_of(
    target: &Target,
    layout: &Layout,
    manifests: &BTreeMap<Component, Fact<Manifest>>,
    kubelet: &KubeletFacts,
) -> Fact<Asked> {
    match target {
        Target::Manifest(component) => known_files([layout.manifest(*component)]),
        Target::Files(paths) => known_files(placed(paths, layout)),
        Target::Matching(patterns) => Fact::Known(Asked {
            files: Vec::new(),
            patterns: placed_patterns(patterns, layout),
        }),
        Target::Tree(folder) => {
            let folder = layout.place(folder);
            parsed([folder.as_str()], [format!("{folder}/**/*")])
        }
        Target::Entries { paths, patterns } => Fact::Known(Asked {
            files: placed(paths, layout),
            patterns: placed_patterns(patterns, layout),
        }),
        Target::FlagFiles { component, flags } => flag_files(*component, flags, manifests),
        Target::EtcdMembers => etcd_members(layout, manifests),
        Target::ManifestsFolder => known_files([layout.manifests.clone()]),
        Target::EtcdData => etcd_data(layout, manifests).and_then(|folder| known_files([folder])),
        Target::KubeletUnit => parsed(
            UNIT_FOLDERS.map(|folder| format!("{folder}/kubelet.service")),
            UNIT_FOLDERS.map(|folder| format!("{folder}/kubelet.service.d/*.conf")),
        ),
        Target::KubeletConfig => match &kubelet.config_file {
            Fact::Known(file) => known_files([file.clone()]),
            Fact::Absent => parsed([format!("{}/config.yaml", layout.kubelet)], NOTHING),
            Fact::Unknown(reason) => Fact::Unknown(reason.clone()),
        },
        Target::KubeletClientCa => kubelet
            .client_ca_file
            .as_ref()
            .and_then(|file| known_files([file.clone()])),
        Target::KubeProxyKubeconfig => parsed(KUBE_PROXY_KUBECONFIGS, NOTHING),
        Target::AuditFiles => audit_files(manifests),
    }
}

/// Where files of a kubeadm node are on this one.
pub(super) fn placed(paths: &[NodePath], layout: &Layout) -> Vec<NodePath> {
    paths.iter().map(|path| layout.place(path)).collect()
}

/// The same of patterns.
pub(super) fn placed_patterns(patterns: &[PathPattern], layout: &Layout) -> Vec<PathPattern> {
    patterns
        .iter()
        .map(|pattern| layout.place_of_pattern(pattern))
        .collect()
}

/// The structured files that hold what a control asks, as paths of the node.
#[must_use]
pub fn documents_of(control: &Control, manifests: &BTreeMap<Component, Fact<Manifest>>) -> Vec<NodePath> {
    if let Some((component, flag)) = names_a_document(&control.requirement) {
        let file = flag_file(component, flag, manifests);
        return file.known().cloned().into_iter().collect();
    }
    let Requirement::Flag {
        component,
        rule: FlagRule::Is {
            config_key: Some(_), ..
        },
        ..
    } = &control.requirement
    else {
        return Vec::new();
    };
    let Some(manifest) = manifests.get(component).and_then(Fact::known) else {
        return Vec::new();
    };
    let Ok(line) = command_line(*component, &manifest.pod) else {
        return Vec::new();
    };
    config_file(manifest, &line)
        .known()
        .cloned()
        .into_iter()
        .collect()
}

/// The flag that names the structured file which a requirement is about.
fn names_a_document(requirement: &Requirement) -> Option<(Component, &str)> {
    if *requirement == Requirement::AuditPolicy {
        return Some((Component::ApiServer, AUDIT_POLICY));
    }
    if *requirement == Requirement::Reported(Reported::AuthorizationFile) {
        return Some((Component::ApiServer, AUTHORIZATION_FILE));
    }
    if *requirement == Requirement::Reported(Reported::PodSecurityDefaults) {
        return Some((Component::ApiServer, ADMISSION_FILE));
    }
    let Requirement::Flag {
        component,
        rule: FlagRule::Meets(constraint),
        ..
    } = requirement
    else {
        return None;
    };
    if let Constraint::OffOr { instead, .. }
    | Constraint::List(ListRule {
        instead: Some(instead),
        ..
    }) = constraint
    {
        return Some((*component, instead.as_str()));
    }
    None
}

/// The structured file that such a file of the control's names in turn, as a path of the node.
#[must_use]
pub fn document_behind(control: &Control, observation: &Observation) -> Option<NodePath> {
    if control.requirement != Requirement::Reported(Reported::PodSecurityDefaults) {
        return None;
    }
    let file = flag_file(Component::ApiServer, ADMISSION_FILE, &observation.manifests);
    let document = observation.documents.get(file.known()?)?.known()?;
    match plugin(document, "PodSecurity").ok()?? {
        PluginConfig::Here(_) => None,
        PluginConfig::File(path) => plugin_file(path, &observation.manifests).known().cloned(),
    }
}

/// The file of the node that an admission configuration names for a plug-in: a relative path begins at the configuration's own folder.
pub(super) fn plugin_file(path: &str, manifests: &BTreeMap<Component, Fact<Manifest>>) -> Fact<NodePath> {
    let Some(Fact::Known(manifest)) = manifests.get(&Component::ApiServer) else {
        return Fact::Unknown(not_looked_at("the manifest of kube-apiserver"));
    };
    let line = match command_line(Component::ApiServer, &manifest.pod) {
        Ok(line) => line,
        Err(error) => return Fact::unknown(error.to_string()),
    };
    let given = line.flags().filter(|(name, _)| name.as_str() == ADMISSION_FILE);
    let folder = given.map(|(_, value)| value).last();
    let folder = folder.and_then(|file| file.parse::<NodePath>().ok()?.parent());
    let inside = match (path.parse::<NodePath>(), folder) {
        (Ok(inside), _) => Some(inside),
        (Err(_), Some(folder)) => format!("{folder}/{path}").parse().ok(),
        (Err(_), None) => None,
    };
    match inside {
        Some(inside) => on_the_node(manifest, &line, &inside, &format!("--{ADMISSION_FILE}")),
        None => Fact::unknown(format!(
            "the path {path:?} in the admission configuration is not understood"
        )),
    }
}

/// The file of the node that a component's `--config` names; `Absent` when it has no such flag.
pub(super) fn config_file(manifest: &Manifest, line: &CommandLine) -> Fact<NodePath> {
    path_of_flag(manifest, line, "config")
}

/// etcd's data folder on the node. Without a manifest etcd is external: then usually no folder is there either.
fn etcd_data(layout: &Layout, manifests: &BTreeMap<Component, Fact<Manifest>>) -> Fact<NodePath> {
    let manifest = match manifests.get(&Component::Etcd) {
        Some(Fact::Known(manifest)) => manifest,
        Some(Fact::Absent) => return Fact::Known(layout.etcd_data.clone()),
        Some(Fact::Unknown(reason)) => return Fact::Unknown(reason.clone()),
        None => return Fact::Unknown(not_looked_at("the manifest of etcd")),
    };
    let line = match command_line(Component::Etcd, &manifest.pod) {
        Ok(line) => line,
        Err(error) => return Fact::unknown(error.to_string()),
    };
    match path_of_flag(manifest, &line, "data-dir") {
        Fact::Absent => Fact::unknown("etcd is started without --data-dir, so its data lie in its container"),
        found @ (Fact::Known(_) | Fact::Unknown(_)) => found,
    }
}

/// A component's manifest and the command line that it gives; `Absent` when there is no manifest.
fn command_of(
    component: Component,
    manifests: &BTreeMap<Component, Fact<Manifest>>,
) -> Fact<(&Manifest, CommandLine)> {
    let manifest = match manifests.get(&component) {
        Some(Fact::Known(manifest)) => manifest,
        Some(Fact::Absent) => return Fact::Absent,
        Some(Fact::Unknown(reason)) => return Fact::Unknown(reason.clone()),
        None => return Fact::Unknown(not_looked_at(format!("the manifest of {component}"))),
    };
    match command_line(component, &manifest.pod) {
        Ok(line) => Fact::Known((manifest, line)),
        Err(error) => Fact::unknown(error.to_string()),
    }
}

/// The file of the node that a flag of a component names; `Absent` when it has no manifest or not the flag. The audit log may be the standard
/// output, and a value may be empty: neither is a file.
pub(crate) fn flag_file(
    component: Component,
    flag: &str,
    manifests: &BTreeMap<Component, Fact<Manifest>>,
) -> Fact<NodePath> {
    command_of(component, manifests).and_then(|(manifest, line)| {
        let given = line.flags().filter(|(name, _)| name.as_str() == flag);
        match given.map(|(_, value)| value).last() {
            None | Some("" | "-") => Fact::Absent,
            Some(_) => path_of_flag(manifest, &line, flag),
        }
    })
}

/// The file of the node that a flag of a component would name with that value.
pub(super) fn file_of_value(
    component: Component,
    flag: &str,
    value: &str,
    manifests: &BTreeMap<Component, Fact<Manifest>>,
) -> Fact<NodePath> {
    command_of(component, manifests).and_then(|(manifest, line)| match value.parse::<NodePath>() {
        Ok(inside) => on_the_node(manifest, &line, &inside, &format!("--{flag}")),
        Err(error) => Fact::unknown(format!("--{flag}: {error}")),
    })
}

/// The files of the node that every occurrence of a flag names; `Absent` when the component has no manifest or not the flag.
pub(super) fn files_of_flag(
    component: Component,
    flag: &str,
    manifests: &BTreeMap<Component, Fact<Manifest>>,
) -> Fact<Vec<NodePath>> {
    // What is wrong with the manifest or the last of them is told by it.
    flag_file(component, flag, manifests).and_then(|last| {
        let manifest = manifests.get(&component).and_then(Fact::known);
        let line =
            manifest.and_then(|manifest| Some((manifest, command_line(component, &manifest.pod).ok()?)));
        let Some((manifest, line)) = line else {
            return Fact::Known(vec![last]);
        };
        let mut files = Vec::new();
        for (_, value) in line.flags().filter(|(name, _)| name.as_str() == flag) {
            let inside = match value.parse::<NodePath>() {
                Ok(inside) => inside,
                Err(error) => return Fact::unknown(format!("--{flag}: {error}")),
            };
            match on_the_node(manifest, &line, &inside, &format!("--{flag}")) {
                Fact::Known(path) => files.push(path),
                Fact::Absent => {}
                Fact::Unknown(why) => return Fact::Unknown(why),
            }
        }
        Fact::Known(files)
    })
}

/// Where certificates lie: the PKI folder, kubeconfigs, the kubelet's own, and what flags name elsewhere.
#[must_use]
pub fn certificate_files(layout: &Layout, manifests: &BTreeMap<Component, Fact<Manifest>>) -> Asked {
    const FLAGS: [(Component, &str); 10] = [
        (Component::ApiServer, "client-ca-file"),
        (Component::ApiServer, "requestheader-client-ca-file"),
        (Component::ApiServer, "etcd-cafile"),
        (Component::ApiServer, "tls-cert-file"),
        (Component::ApiServer, "etcd-certfile"),
        (Component::ApiServer, "kubelet-client-certificate"),
        (Component::Etcd, "trusted-ca-file"),
        (Component::Etcd, "cert-file"),
        (Component::Etcd, "peer-trusted-ca-file"),
        (Component::Etcd, "peer-cert-file"),
    ];
    let named = FLAGS.map(|(component, flag)| flag_file(component, flag, manifests));
    let kubeconfigs = [
        "admin",
        "super-admin",
        "controller-manager",
        "scheduler",
        "kubelet",
    ];
    let kubeconfigs = kubeconfigs.map(|name| format!("{}/{name}.conf", layout.kubernetes));
    let own = std::iter::once(format!("{}/pki/kubelet.crt", layout.kubelet)).chain(kubeconfigs);
    let patterns = [
        format!("{}/**/*.crt", layout.pki),
        format!("{}/pki/kubelet-client-2*.pem", layout.kubelet),
        format!("{}/pki/kubelet-server-2*.pem", layout.kubelet),
    ];
    let fixed = parsed(own, patterns).known().cloned();
    let mut asked = fixed.unwrap_or_else(|| Asked {
        files: Vec::new(),
        patterns: Vec::new(),
    });
    asked
        .files
        .extend(named.into_iter().filter_map(|file| file.known().cloned()));
    asked
}

/// What is written all the time on this node, so that a watch would tell of nothing else: etcd's files, and the audit log.
#[must_use]
pub fn always_written(layout: &Layout, manifests: &BTreeMap<Component, Fact<Manifest>>) -> Asked {
    let log = flag_file(Component::ApiServer, AUDIT_LOG, manifests);
    let log = log.known().map_or_else(Asked::default, audit_log);
    let members = etcd_members(layout, manifests).known().cloned();
    Asked {
        files: log.files,
        patterns: log
            .patterns
            .into_iter()
            .chain(members.unwrap_or_default().patterns)
            .collect(),
    }
}

/// The audit policy and log; `Absent` when there is neither.
fn audit_files(manifests: &BTreeMap<Component, Fact<Manifest>>) -> Fact<Asked> {
    let of = |flag| flag_file(Component::ApiServer, flag, manifests);
    let mut asked = Asked::default();
    match of(AUDIT_POLICY) {
        Fact::Known(policy) => asked.files.push(policy),
        Fact::Absent => {}
        Fact::Unknown(why) => return Fact::Unknown(why),
    }
    match of(AUDIT_LOG) {
        Fact::Known(log) => {
            let log = audit_log(&log);
            asked.files.extend(log.files);
            asked.patterns.extend(log.patterns);
        }
        Fact::Absent => {}
        Fact::Unknown(why) => return Fact::Unknown(why),
    }
    if asked.files.is_empty() {
        Fact::Absent
    } else {
        Fact::Known(asked)
    }
}

/// The log and those that were rotated away, `NAME-TIME.EXTENSION`, and `.gz` where they are compressed (lumberjack `backupName`). A folder
/// that is called after the audit is the log's own; another may hold what others read, and so may auditd's.
fn audit_log(log: &NodePath) -> Asked {
    let name = log.file_name();
    // As Go has it: of a name that begins with its only dot all is the extension.
    let (stem, extension) = name.rfind('.').map_or((name, ""), |dot| name.split_at(dot));
    let folder = log.parent();
    let rotated = |end: &str| {
        let folder = folder.as_ref()?;
        format!("{folder}/{stem}-*{extension}{end}").parse().ok()
    };
    let is_own =
        |folder: &NodePath| folder.file_name().contains("audit") && folder.as_str() != "/var/log/audit";
    let own = folder.clone().filter(is_own);
    Asked {
        files: std::iter::once(log.clone()).chain(own).collect(),
        patterns: ["", ".gz"].into_iter().filter_map(rotated).collect(),
    }
}

fn etcd_members(layout: &Layout, manifests: &BTreeMap<Component, Fact<Manifest>>) -> Fact<Asked> {
    etcd_data(layout, manifests).and_then(|folder| parsed(NOTHING, [format!("{folder}/member/**/*")]))
}

/// The files of the node that flags of a component name; `Absent` when there are none.
fn flag_files(
    component: Component,
    flags: &[FlagName],
    manifests: &BTreeMap<Component, Fact<Manifest>>,
) -> Fact<Asked> {
    let mut files = Vec::new();
    for flag in flags {
        match flag_file(component, flag.as_str(), manifests) {
            Fact::Known(path) => files.push(path),
            Fact::Absent => {}
            Fact::Unknown(reason) => return Fact::Unknown(reason),
        }
    }
    if files.is_empty() {
        Fact::Absent
    } else {
        known_files(files)
    }
}

/// The path of the node that a flag's value names, by the container's mounts.
fn path_of_flag(manifest: &Manifest, line: &CommandLine, flag: &str) -> Fact<NodePath> {
    let is_it = |name: &FlagName| name.as_str() == flag;
    let Some(value) = line
        .flags()
        .filter(|(name, _)| is_it(name))
        .map(|(_, value)| value)
        .last()
    else {
        return Fact::Absent;
    };
    let Ok(inside) = value.parse::<NodePath>() else {
        return Fact::unknown(format!("--{flag} is \"{value}\", which is not an absolute path"));
    };
    on_the_node(manifest, line, &inside, &format!("--{flag}"))
}

/// Where a path that the component sees lies on the node; `by` is what names it.
fn on_the_node(manifest: &Manifest, line: &CommandLine, inside: &NodePath, by: &str) -> Fact<NodePath> {
    let Some(container) = manifest.pod.containers.get(line.container()) else {
        return Fact::unknown(format!("{} has no container", manifest.path));
    };
    match mounted_from(&manifest.pod, container, inside) {
        Mounted::From(path) => Fact::Known(path),
        Mounted::NotMounted => Fact::unknown(format!(
            "{by} names {inside}, which is mounted from no folder of the node"
        )),
        Mounted::Unclear(why) => Fact::unknown(why),
    }
}

/// The reason of a fact that nobody asked for.
pub(super) fn not_looked_at(what: impl std::fmt::Display) -> Reason {
    Reason::new(format!("{what} was not looked at"))
}

const NOTHING: [&str; 0] = [];

fn known_files(files: impl IntoIterator<Item = NodePath>) -> Fact<Asked> {
    Fact::Known(Asked {
        files: files.into_iter().collect(),
        patterns: Vec::new(),
    })
}

fn parsed<F: AsRef<str>, P: AsRef<str>>(
    files: impl IntoIterator<Item = F>,
    patterns: impl IntoIterator<Item = P>,
) -> Fact<Asked> {
    let files: Result<_, _> = files.into_iter().map(|text| text.as_ref().parse()).collect();
    let patterns: Result<_, _> = patterns.into_iter().map(|text| text.as_ref().parse()).collect();
    match (files, patterns) {
        (Ok(files), Ok(patterns)) => Fact::Known(Asked { files, patterns }),
        (Err(error), _) | (_, Err(error)) => Fact::unknown(error.to_string()),
    }
}

#[cfg(test)]
#[path = "targets_tests.rs"]
mod tests;
