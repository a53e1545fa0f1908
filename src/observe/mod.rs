//! Collects the facts that the chosen controls and the change in flight name. Reads only.

pub mod at_rest;
mod certificates;
mod distribution;
mod folder;
mod host;
mod kubelet;
mod kubelets;
mod sysctl;

use std::collections::{BTreeMap, BTreeSet};

pub use distribution::{Distribution, declined};

use crate::adapters::processes::{Sockets, Table};
use crate::adapters::{Node, accounts, pod_logs};
use crate::cluster::ClusterObjects;
use crate::controls::{Control, Kit, KubeletRule, Must, Reported, Requirement, Target};
use crate::domain::{
    Component, Digest, Fact, FileFacts, FlagName, HostFacts, Manifest, NodePath, Observation, PathPattern,
    Process, Reason,
};
use crate::journal::{Act, InFlight};
use crate::manifest::{MAX_BYTES, Mounted, command_line, mounted_from, named_paths, paths_of_value};
use crate::plan::{document_behind, documents_of, flag_file, paths_of, serving_certificate, to_close};

/// What a pass asks of the node.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The controls that will be judged.
    pub controls: &'a [&'a Control],
    /// The change that was begun earlier.
    pub in_flight: Option<&'a InFlight>,
}

/// Where the kubelet of this node runs static pods from.
pub fn static_pod_path(node: &Node) -> Fact<NodePath> {
    kubelet::facts(node, &node.processes.look()).static_pod_path
}

/// The facts of the node. Those that only a restart asks for are left out: see [`ask_for_restart`].
#[must_use]
pub fn observe(node: &Node, request: Request<'_>) -> Observation {
    let entries = folder::entries(node);
    let mut manifests: BTreeMap<Component, Fact<Manifest>> = Component::ALL
        .into_iter()
        .map(|component| (component, folder::manifest(component, node, &entries)))
        .collect();
    let out = request
        .in_flight
        .and_then(|begun| manifest_out(node, begun, &mut manifests));
    let table = node.processes.look();
    let kubelet = kubelet::facts(node, &table);
    let mut observation = Observation {
        files: BTreeMap::new(),
        listings: BTreeMap::new(),
        manifest_folder: entries.map(|entries| entries.into_iter().map(|entry| entry.shown).collect()),
        processes: processes(&manifests, &table),
        health: BTreeMap::new(),
        pod_logs: BTreeMap::new(),
        pod_cgroups: BTreeSet::new(),
        documents: BTreeMap::new(),
        free_space: BTreeMap::new(),
        asked_kubelet: crate::domain::AskedKubelet::default(),
        stale_tokens: Fact::unknown("it was not asked"),
        anonymous_grants: Fact::unknown("it was not asked"),
        oidc_authority: Fact::unknown("it was not looked at"),
        external_ips: Fact::unknown("it was not asked"),
        beyond_baseline: Fact::unknown("it was not asked"),
        kubelets: Fact::unknown("it was not asked"),
        cluster: None,
        host: HostFacts::default(),
        certificates: BTreeMap::new(),
        first_provider: Fact::unknown("it was not asked"),
        kubeadm: kubeadm(node, &table),
        kubelet,
        control_plane: Fact::unknown("it was not asked"),
        accounts: BTreeMap::new(),
        readers: Fact::unknown("it was not looked at"),
        manifests,
    };
    let mut sockets = node.processes.sockets();
    for control in request.controls {
        look_at(node, control, &mut sockets, &mut observation);
    }
    look_at_named_files(node, &mut observation);
    if let Some((path, facts)) = out {
        observation.files.insert(path, facts);
    }
    if let Some(in_flight) = request.in_flight {
        look_at_change(node, in_flight, &mut observation);
    }
    observation
}

/// Adds what only a restart of these components asks for: their health, and how many control-plane nodes there are.
pub fn ask_for_restart(node: &Node, components: &BTreeSet<Component>, observation: &mut Observation) {
    if components.is_empty() {
        return;
    }
    for component in components {
        let health = health(node, *component, observation);
        if !matches!(health, Fact::Known(crate::domain::Health::Ok)) {
            let logs = pod_logs::newest(&node.files, &node.layout, *component);
            observation.pod_logs.insert(*component, logs);
        }
        observation.health.insert(*component, health);
        look_at_named(node, *component, observation);
    }
    observation.control_plane = node
        .cluster
        .control_plane(&node.files, &node.layout, &observation.manifests);
}

/// Adds the files that values of flags name, as far as they come from the node.
pub fn look_at_values(
    node: &Node,
    values: &[(Component, crate::domain::FlagName, String)],
    observation: &mut Observation,
) {
    for (component, name, value) in values {
        let Some(manifest) = observation
            .manifests
            .get(component)
            .and_then(Fact::known)
            .cloned()
        else {
            continue;
        };
        for named in paths_of_value(*component, name, value) {
            look_at_mounted(node, *component, &manifest, &named.must_exist(), observation);
        }
    }
}

/// Adds the certificates with their keys that these flags, and that authority of the kubelet's, would make of those of the node.
pub fn look_at_pairs(
    node: &Node,
    wanted: &[(Component, FlagName, String)],
    client_ca: Option<&NodePath>,
    observation: &mut Observation,
) {
    host::look_at_pairs(node, wanted, client_ca, observation);
}

/// Adds what only a change of the kubelet's configuration asks.
pub fn ask_for_kubelet(node: &Node, observation: &mut Observation) {
    kubelet::ask(node, observation);
}

/// Adds which kubelets of the cluster serve a certificate that the authority in that file of the API server's has signed.
pub fn dial_kubelets(node: &Node, authority: &str, observation: &mut Observation) {
    observation.kubelets = kubelets::dialled(node, authority, observation);
}

fn api_server(observation: &Observation) -> Fact<&Manifest> {
    let manifest = observation.manifests.get(&Component::ApiServer);
    manifest.map_or(Fact::Absent, Fact::as_ref)
}

/// Adds what is granted to the anonymous.
pub fn ask_for_grants(node: &Node, observation: &mut Observation) {
    observation.anonymous_grants =
        api_server(observation).and_then(|manifest| at_rest::grants(node, manifest));
}

/// Adds whether clients use tokens beyond their time.
pub fn ask_for_stale_tokens(node: &Node, observation: &mut Observation) {
    observation.stale_tokens =
        api_server(observation).and_then(|manifest| at_rest::stale_tokens(node, manifest));
}

/// Adds which Services have external addresses.
pub fn ask_for_external_ips(node: &Node, observation: &mut Observation) {
    observation.external_ips =
        api_server(observation).and_then(|manifest| at_rest::external_ips(node, manifest));
}

/// Adds the namespaces with pods that the Pod Security Standard baseline would refuse.
pub fn ask_for_pod_security(node: &Node, observation: &mut Observation) {
    observation.beyond_baseline =
        api_server(observation).and_then(|manifest| at_rest::beyond_baseline(node, manifest));
}

/// Adds the objects of the API that controls of the whole cluster ask for.
pub fn ask_for_cluster(node: &Node, observation: &mut Observation) {
    observation.cluster = Some(Box::new(match api_server(observation) {
        Fact::Known(manifest) => at_rest::cluster_objects(node, manifest),
        Fact::Absent => ClusterObjects::unknown(&Reason::new("no kube-apiserver runs on this node")),
        Fact::Unknown(why) => ClusterObjects::unknown(&why),
    }));
}

/// Adds what conditional remedies make or need on the node.
pub fn look_at_kits(node: &Node, wanted: &[(Kit, FlagName, String)], observation: &mut Observation) {
    for (kit, name, value) in wanted {
        if *kit == Kit::Anonymous {
            observation.oidc_authority = oidc_authority(node, &observation.manifests);
        }
        if let Fact::Known(has) = flag_file(Component::ApiServer, name.as_str(), &observation.manifests) {
            observation.documents.insert(has.clone(), document(node, &has));
        }
        // What cannot be provided is told when the change is planned.
        let Ok(Some(provision)) = kit.provision(name, value, &BTreeSet::new()) else {
            continue;
        };
        let folder = &provision.folder;
        if provision.writable {
            let free = node.files.free_space(folder);
            observation.free_space.insert(folder.clone(), free);
        }
        if let Some(file) = &provision.file {
            observation.documents.insert(file.clone(), document(node, file));
        }
        let mut paths: Vec<NodePath> = provision.file.iter().chain([folder]).cloned().collect();
        let mut above = folder.parent();
        while let Some(path) = above {
            above = path.parent();
            paths.push(path);
        }
        for path in paths {
            let facts = node.files.facts(&path);
            observation.files.insert(path, facts);
        }
    }
}

/// Adds which processes of others than root use what these remedies would close.
pub fn look_at_readers(node: &Node, kits: &BTreeSet<Kit>, observation: &mut Observation) {
    if kits.is_empty() {
        return;
    }
    let wanted = to_close(kits, observation, &node.layout);
    let readers = node.processes.readers(&wanted.folders, &wanted.files);
    observation.readers = readers.map_or_else(Fact::Unknown, Fact::Known);
}

/// The text of the file of `--oidc-ca-file`, as far as it comes from the node.
fn oidc_authority(node: &Node, manifests: &BTreeMap<Component, Fact<Manifest>>) -> Fact<String> {
    let path = flag_file(Component::ApiServer, "oidc-ca-file", manifests);
    path.and_then(|path| node.files.read(&path, MAX_BYTES))
        .and_then(|content| match String::from_utf8(content.bytes) {
            Ok(text) => Fact::Known(text),
            Err(_) => Fact::unknown("it is no text"),
        })
}

fn look_at(node: &Node, control: &Control, sockets: &mut Sockets<'_>, observation: &mut Observation) {
    match &control.requirement {
        Requirement::Mode { target, .. }
        | Requirement::Owner { target, .. }
        | Requirement::Access { target, .. }
        | Requirement::Gone { target } => {
            look_at_target(node, target, observation);
        }
        Requirement::OwnerAccount { target, account } => {
            look_at_target(node, target, observation);
            observation
                .accounts
                .insert(account.clone(), accounts::owner_of(&node.files, account));
        }
        Requirement::Certificates(_) => certificates::look(node, observation),
        Requirement::EncryptsSecrets => {
            observation.first_provider = certificates::first_provider(node, observation);
        }
        Requirement::Flag { .. }
        | Requirement::AuditPolicy
        | Requirement::Reported(Reported::AuthorizationFile | Reported::PodSecurityDefaults) => {
            for path in documents_of(control, &observation.manifests) {
                let document = document(node, &path);
                observation.documents.insert(path, document);
            }
            if let Some(path) = document_behind(control, observation) {
                let document = document(node, &path);
                observation.documents.insert(path, document);
            }
        }
        Requirement::Kubelet(KubeletRule::Setting {
            must: Must::BeFile, ..
        }) => look_at_target(node, &Target::KubeletClientCa, observation),
        Requirement::Kubelet(KubeletRule::ServingCertificate) => {
            if let Some(path) = serving_certificate(&node.layout) {
                let facts = node.files.facts(&path);
                observation.files.insert(path, facts);
            }
        }
        Requirement::Reported(rule) => host::look(node, *rule, sockets, observation),
        Requirement::Folder(_)
        | Requirement::Kubelet(_)
        | Requirement::FlagsOnce
        | Requirement::NotWidened
        | Requirement::Cluster(_) => {}
    }
}

fn look_at_target(node: &Node, target: &Target, observation: &mut Observation) {
    let asked = paths_of(target, &node.layout, &observation.manifests, &observation.kubelet);
    // What could not be told is told again, with its reason, when the control is judged.
    let Fact::Known(asked) = asked else { return };
    for path in asked.files {
        observation
            .files
            .entry(path)
            .or_insert_with_key(|path| node.files.facts(path));
    }
    for pattern in asked.patterns {
        observation
            .listings
            .entry(pattern)
            .or_insert_with_key(|pattern| listing(node, pattern));
    }
}

fn listing(node: &Node, pattern: &PathPattern) -> Fact<BTreeMap<NodePath, Fact<FileFacts>>> {
    let entries = if pattern.recursive {
        node.files.walk(&pattern.folder)
    } else {
        node.files.list(&pattern.folder)
    };
    entries.map(|entries| {
        let matching = entries.into_iter().filter(|entry| pattern.matches(&entry.name));
        matching
            .map(|entry| match entry.path {
                Some(path) => (path, entry.facts),
                // A name that no path can hold is told of under the folder's name.
                None => {
                    let why = format!(
                        "{} has an entry whose name is not plain text: {:?}",
                        pattern.folder, entry.name
                    );
                    (pattern.folder.clone(), Fact::unknown(why))
                }
            })
            .collect()
    })
}

/// The files that the flags of every component name: an edit asks whether they are there.
fn look_at_named_files(node: &Node, observation: &mut Observation) {
    for component in Component::ALL {
        let Some(manifest) = observation
            .manifests
            .get(&component)
            .and_then(Fact::known)
            .cloned()
        else {
            continue;
        };
        let Ok(line) = command_line(component, &manifest.pod) else {
            continue;
        };
        for (_, named) in named_paths(component, &line) {
            look_at_mounted(node, component, &manifest, &named.must_exist(), observation);
        }
    }
}

fn look_at_mounted(
    node: &Node,
    component: Component,
    manifest: &Manifest,
    path: &NodePath,
    observation: &mut Observation,
) {
    let Ok(line) = command_line(component, &manifest.pod) else {
        return;
    };
    let Some(container) = manifest.pod.containers.get(line.container()) else {
        return;
    };
    if let Mounted::From(source) = mounted_from(&manifest.pod, container, path) {
        observation
            .files
            .entry(source)
            .or_insert_with_key(|source| node.files.facts(source));
    }
}

/// The files that the component's flags name: it does not start again without them.
fn look_at_named(node: &Node, component: Component, observation: &mut Observation) {
    let Some(manifest) = observation
        .manifests
        .get(&component)
        .and_then(Fact::known)
        .cloned()
    else {
        return;
    };
    let Ok(line) = command_line(component, &manifest.pod) else {
        return;
    };
    for (_, named) in named_paths(component, &line) {
        look_at_mounted(node, component, &manifest, &named.must_exist(), observation);
    }
}

/// A manifest that the change in flight has taken out of its folder is still the component's; its facts stand for those of the file in
/// the folder, so that no control takes it for gone.
fn manifest_out(
    node: &Node,
    in_flight: &InFlight,
    manifests: &mut BTreeMap<Component, Fact<Manifest>>,
) -> Option<(NodePath, Fact<FileFacts>)> {
    let (component, out) = (in_flight.act.restarts()?, in_flight.act.out()?);
    if manifests.get(&component) != Some(&Fact::Absent) {
        return None;
    }
    let manifest = folder::manifest_at(node, out);
    let facts = manifest.known()?.facts;
    manifests.insert(component, manifest);
    Some((in_flight.act.path().clone(), Fact::Known(facts)))
}

fn look_at_change(node: &Node, in_flight: &InFlight, observation: &mut Observation) {
    let path = in_flight.act.path();
    observation
        .files
        .entry(path.clone())
        .or_insert_with_key(|path| node.files.facts(path));
    match &in_flight.act {
        Act::Quarantine { to, .. } => {
            let facts = node.files.facts(to);
            observation.files.insert(to.clone(), facts);
        }
        Act::EditKubelet(edit) => kubelet::ask_of(node, Fact::Known(&edit.path), observation),
        Act::EditManifest(edit) => look_at_restart(node, in_flight, edit.component, &edit.pods, observation),
        Act::Bounce(bounce) => look_at_restart(node, in_flight, bounce.component, &bounce.pods, observation),
        Act::SetMode { .. } | Act::SetOwner { .. } | Act::MakeFolder { .. } | Act::Install { .. } => {}
    }
}

fn look_at_restart(
    node: &Node,
    in_flight: &InFlight,
    component: Component,
    pods: &[String],
    observation: &mut Observation,
) {
    let health = health(node, component, observation);
    observation.health.insert(component, health);
    let logs = pod_logs::newest(&node.files, &node.layout, component);
    observation.pod_logs.insert(component, logs);
    if let Some(out) = in_flight.act.out() {
        observation.files.insert(out.clone(), node.files.facts(out));
        let kept = pods.iter().filter(|pod| node.processes.has_cgroup(pod));
        observation.pod_cgroups = kept.cloned().collect();
    }
}

fn health(node: &Node, component: Component, observation: &Observation) -> Fact<crate::domain::Health> {
    let manifest = observation
        .manifests
        .get(&component)
        .map_or(Fact::Absent, Fact::as_ref);
    manifest.and_then(|manifest| {
        let line = match command_line(component, &manifest.pod) {
            Ok(line) => line,
            Err(why) => return Fact::unknown(why.to_string()),
        };
        let container = manifest.pod.containers.get(line.container());
        match container.and_then(|container| container.health.as_ref()) {
            Some(endpoint) => Fact::Known(node.health.ask(endpoint)),
            None => Fact::Absent,
        }
    })
}

/// A structured file, as JSON.
fn document(node: &Node, path: &NodePath) -> Fact<serde_json::Value> {
    node.files
        .read(path, MAX_BYTES)
        .and_then(|content| match serde_yaml::from_slice(&content.bytes) {
            Ok(value) => Fact::Known(value),
            // The parser's words may quote values.
            Err(error) => Fact::unknown(match error.location() {
                Some(at) => format!(
                    "{path}: line {}, column {}: it is not YAML",
                    at.line(),
                    at.column()
                ),
                None => format!("{path}: it is not YAML"),
            }),
        })
}

fn processes(
    manifests: &BTreeMap<Component, Fact<Manifest>>,
    table: &Result<Table, Reason>,
) -> BTreeMap<Component, Fact<Vec<Process>>> {
    let of = |component: Component| {
        let own_uid = manifests
            .get(&component)
            .and_then(Fact::known)
            .and_then(|manifest| manifest.pod.uid.as_deref());
        match table {
            Ok(table) => Fact::Known(table.of_component(component, own_uid)),
            Err(why) => Fact::Unknown(why.clone()),
        }
    };
    Component::ALL
        .into_iter()
        .map(|component| (component, of(component)))
        .collect()
}

/// kubeadm processes that root started; a process of that name that anyone else started holds nothing up.
pub(crate) fn kubeadm(node: &Node, table: &Result<Table, Reason>) -> Fact<Vec<Process>> {
    let table = match table {
        Ok(table) => table,
        Err(why) => return Fact::Unknown(why.clone()),
    };
    let mut running = Vec::new();
    for process in table.of_host("kubeadm") {
        match node.processes.is_roots_own(&process) {
            Fact::Known(true) => running.push(process),
            Fact::Known(false) | Fact::Absent => {}
            Fact::Unknown(why) => return Fact::Unknown(why),
        }
    }
    Fact::Known(running)
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::of(bytes)
}
