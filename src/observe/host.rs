//! What is, for the most part, only reported: credentials, the kubelet's unit, listeners. Bytes of keys are wiped and not kept.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use crate::adapters::Node;
use crate::adapters::files::Entry;
use crate::adapters::processes::Sockets;
use crate::certificates::of_kubeconfig;
use crate::controls::{Reported, Target};
use crate::domain::{
    Component, EtcdClient, ExposedKey, Fact, FileFacts, FileKind, FlagName, HomeKubeconfig, Kubeconfig,
    Listener, NodePath, Observation, Owner, Pair, PairFacts, ProcessId, Reason, Searched,
};
use crate::kubeconfig;
use crate::pair::{pair, verifies};
use crate::plan::{AskedPair, pairs_of, pairs_with, paths_of};
use crate::unit::ENVIRONMENT_FILES;

/// A kubeconfig has some kilobytes, a bundle of authorities some 200.
const MAX_BYTES: usize = 256 << 10;
/// The administrator's groups (kubeadm `kubeconfig` phase since 1.29, and before).
const ADMINISTRATORS: [&str; 2] = ["O=system:masters", "O=kubeadm:cluster-admins"];
/// What kubeadm calls its kubeconfigs.
const KUBECONFIGS: [&str; 6] = [
    "admin.conf",
    "super-admin.conf",
    "controller-manager.conf",
    "scheduler.conf",
    "kubelet.conf",
    "bootstrap-kubelet.conf",
];
const KEY_FOLDERS: [&str; 6] = [
    "/etc/kubernetes",
    "/root",
    "/var/lib/kubelet",
    "/tmp",
    "/var/tmp",
    "/var/backups",
];
/// So deep below such a folder, so many entries, and so many bytes of files that others can read, are looked at: anybody fills `/tmp`.
const DEPTH: usize = 4;
const ENTRIES: usize = 5_000;
const BYTES: u64 = 8 << 20;
/// So many files and bytes of a folder `.kube` are looked at.
const HOME_FILES: usize = 64;
const HOME_BYTES: u64 = 1 << 20;
/// Where systemd reads units from beside the usual folders (systemd.unit(5)).
const MORE_UNIT_FOLDERS: [&str; 3] = [
    "/run/systemd/system",
    "/etc/systemd/system.control",
    "/usr/local/lib/systemd/system",
];
const SSH_LINKS: [&str; 4] = [
    "/etc/systemd/system/multi-user.target.wants/ssh.service",
    "/etc/systemd/system/multi-user.target.wants/sshd.service",
    "/etc/systemd/system/sockets.target.wants/ssh.socket",
    "/etc/systemd/system/sockets.target.wants/sshd.socket",
];

/// Adds what a control asks.
pub(super) fn look(node: &Node, rule: Reported, sockets: &mut Sockets<'_>, observation: &mut Observation) {
    match rule {
        Reported::Kubeconfigs => observation.host.kubeconfigs = kubeconfigs(node),
        Reported::HomeKubeconfigs => observation.host.home_kubeconfigs = home_kubeconfigs(node),
        Reported::Pairs => {
            let asked = pairs_of(observation).into_iter();
            observation.host.pairs = Fact::Known(asked.map(|asked| found(node, asked)).collect());
        }
        Reported::ExposedKeys => observation.host.exposed_keys = exposed_keys(node),
        Reported::KubeletUnit => observation.host.kubelet_unit = kubelet_unit(node, observation),
        Reported::Listeners => observation.host.listeners = listeners(sockets, observation),
        Reported::EtcdClients => {
            observation.host.etcd_clients = etcd_clients(sockets, observation);
            let is_elsewhere = |client: &EtcdClient| client.program.is_none();
            let clients = observation.host.etcd_clients.known();
            if clients.is_some_and(|clients| clients.iter().any(is_elsewhere)) {
                observation.host.etcd_peers = node.cluster.etcd_peers(&node.files, &observation.manifests);
            }
        }
        Reported::SshOnWorkers => {
            let links = named(&SSH_LINKS).map(|path| (path.clone(), node.files.facts(&path)));
            observation.host.ssh_links = Fact::Known(links.collect());
        }
        Reported::AuthorizationFile
        | Reported::PodSecurityDefaults
        | Reported::Versions
        | Reported::Judged => {}
    }
}

/// Adds the certificates with their keys that these flags, and that authority of the kubelet's, would make of those of the node.
pub(super) fn look_at_pairs(
    node: &Node,
    wanted: &[(Component, FlagName, String)],
    client_ca: Option<&NodePath>,
    observation: &mut Observation,
) {
    let edited = std::iter::once(None).chain(Component::ALL.map(Some));
    let mut to_be = BTreeMap::new();
    for edited in edited {
        let asked = pairs_with(observation, edited, wanted, client_ca).into_iter();
        to_be.insert(edited, asked.map(|asked| found(node, asked)).collect());
    }
    observation.host.pairs_to_be = Fact::Known(to_be);
    // Whose names a serving certificate must have.
    observation.host.kubeconfigs = kubeconfigs(node);
}

fn named<'a>(names: &'a [&'a str]) -> impl Iterator<Item = NodePath> + 'a {
    names.iter().filter_map(|name| name.parse().ok())
}

fn bytes(node: &Node, path: &NodePath) -> Fact<Zeroizing<Vec<u8>>> {
    node.files
        .read(path, MAX_BYTES)
        .map(|content| Zeroizing::new(content.bytes))
}

/// kubeadm's own must be kubeconfigs; what else is called `*.conf` may be.
fn kubeconfigs(node: &Node) -> Fact<BTreeMap<NodePath, Fact<Kubeconfig>>> {
    node.files.list(&node.layout.kubernetes).map(|entries| {
        let mut all = BTreeMap::new();
        for entry in entries.into_iter().filter(|entry| entry.name.ends_with(".conf")) {
            let is_kubeadms = KUBECONFIGS.contains(&entry.name.as_str());
            let Some(path) = entry
                .path
                .clone()
                .filter(|_| is_kubeadms || plain(entry).is_some())
            else {
                continue;
            };
            let read = bytes(node, &path).and_then(|text| match kubeconfig::of_text(&text) {
                Ok(kubeconfig) => Fact::Known(kubeconfig),
                Err(_) if !is_kubeadms => Fact::Absent,
                Err(why) => Fact::unknown(format!("{path}: {why}")),
            });
            all.insert(path, read);
        }
        all
    })
}

/// Home folders belong to their users: no link is followed, and only plain files are opened.
fn home_kubeconfigs(node: &Node) -> Fact<BTreeMap<NodePath, Fact<Vec<HomeKubeconfig>>>> {
    let mut homes: Vec<(NodePath, Owner)> = Vec::new();
    for root in named(&["/root"]) {
        match node.files.facts(&root) {
            Fact::Known(facts) => homes.push((root, facts.owner)),
            Fact::Absent => {}
            Fact::Unknown(why) => return Fact::Unknown(why),
        }
    }
    for parent in named(&["/home"]) {
        match node.files.list(&parent) {
            Fact::Known(entries) => homes.extend(folders(&entries)),
            Fact::Absent => {}
            Fact::Unknown(why) => return Fact::Unknown(why),
        }
    }
    let look = |(home, owner): (NodePath, Owner)| {
        let found = kubeconfigs_of_home(node, &home, owner);
        (home, found)
    };
    Fact::Known(homes.into_iter().map(look).collect())
}

/// Who fills a home folder makes it unknown, and no other; `Absent` where there is no folder `.kube`.
fn kubeconfigs_of_home(node: &Node, home: &NodePath, owner: Owner) -> Fact<Vec<HomeKubeconfig>> {
    let folder = match home.join(".kube") {
        Ok(folder) => folder,
        Err(error) => return Fact::unknown(error.to_string()),
    };
    let is_closed = [home, &folder].into_iter().all(|path| {
        let facts = node.files.facts(path);
        facts.known().is_some_and(|facts| is_closed(facts, owner))
    });
    node.files.list(&folder).and_then(|entries| {
        let files: Vec<_> = entries.into_iter().filter_map(plain).collect();
        let size: u64 = files.iter().map(|(_, facts)| facts.size).sum();
        if files.len() > HOME_FILES || size > HOME_BYTES {
            return Fact::unknown(format!(
                "{folder} has {} files of {size} bytes, and at most {HOME_FILES} of {HOME_BYTES} are looked at",
                files.len()
            ));
        }
        let mut found = Vec::new();
        for (path, facts) in files {
            let text = match bytes(node, &path) {
                Fact::Known(text) => text,
                // It has gone meanwhile.
                Fact::Absent => continue,
                Fact::Unknown(why) => return Fact::Unknown(why),
            };
            if kubeconfig::has_aliases(&text) {
                // A script or a cache is no kubeconfig, whatever signs it has.
                if !contains(&text, b"Config") {
                    continue;
                }
                return Fact::unknown(format!("{path} may have YAML aliases, which are not followed"));
            }
            // The rest is caches and what else tools keep there.
            if kubeconfig::of_text(&text).is_err() {
                continue;
            }
            let certificates = match of_kubeconfig(&text) {
                Ok(certificates) => certificates,
                Err(why) => return Fact::unknown(format!("{path}: {why}")),
            };
            let subjects = certificates.into_iter().map(|one| one.subject);
            found.push(HomeKubeconfig {
                path,
                facts,
                home: owner,
                is_closed,
                administrator: subjects.into_iter().find(|subject| is_administrators(subject)),
            });
        }
        Fact::Known(found)
    })
}

/// Only root and that owner can put names into the folder.
const fn is_closed(facts: &FileFacts, owner: Owner) -> bool {
    let is_theirs = facts.owner.uid == Owner::ROOT.uid || facts.owner.uid == owner.uid;
    is_theirs && facts.mode.bits() & 0o022 == 0
}

fn is_administrators(subject: &str) -> bool {
    let mut parts = subject.split(", ");
    parts.any(|part| ADMINISTRATORS.contains(&part))
}

fn folders(entries: &[Entry]) -> Vec<(NodePath, Owner)> {
    let folder = |entry: &Entry| {
        let facts = entry
            .facts
            .known()
            .filter(|facts| facts.kind == FileKind::Directory)?;
        Some((entry.path.clone()?, facts.owner))
    };
    entries.iter().filter_map(folder).collect()
}

fn plain(entry: Entry) -> Option<(NodePath, FileFacts)> {
    let facts = *entry.facts.known()?;
    (facts.kind == FileKind::Regular).then_some(())?;
    Some((entry.path?, facts))
}

fn found(node: &Node, asked: AskedPair) -> Pair {
    let found = asked.files.as_ref().and_then(|(certificate, key)| {
        let told = |path: &NodePath, fact: Fact<Zeroizing<Vec<u8>>>| match fact {
            Fact::Absent => Fact::unknown(format!("{path} is not there")),
            Fact::Known(_) | Fact::Unknown(_) => fact,
        };
        let mut text = Zeroizing::new(Vec::new());
        for path in certificate {
            match told(path, bytes(node, path)) {
                Fact::Known(bytes) => {
                    text.extend_from_slice(&bytes);
                    text.push(b'\n');
                }
                Fact::Absent => {}
                Fact::Unknown(why) => return Fact::Unknown(why),
            }
        }
        told(key, bytes(node, key)).and_then(|key| held(node, &asked, &text, &key))
    });
    Pair {
        object: asked.object,
        wanted: asked.wanted,
        authority: asked.authority,
        tokens: asked.tokens,
        found,
    }
}

fn held(node: &Node, asked: &AskedPair, certificate: &[u8], key: &[u8]) -> Fact<PairFacts> {
    if asked.tokens {
        return match verifies(certificate, key) {
            Ok(fits) => Fact::Known(PairFacts {
                subject: String::new(),
                fits,
                issued: Fact::Absent,
                lacks: Vec::new(),
                names: Vec::new(),
            }),
            Err(why) => Fact::unknown(why),
        };
    }
    let authority = match &asked.authority {
        Fact::Absent => None,
        Fact::Unknown(why) => return Fact::unknown(format!("the authority: {why}")),
        Fact::Known(path) => match bytes(node, path) {
            Fact::Known(text) => Some(text),
            Fact::Absent => return Fact::unknown(format!("{path} is not there")),
            Fact::Unknown(why) => return Fact::Unknown(why),
        },
    };
    let authority = authority.as_ref().map(|text| text.as_slice());
    match pair(certificate, key, authority, &asked.wanted) {
        Ok(facts) => Fact::Known(facts),
        Err(why) => Fact::unknown(why),
    }
}

fn exposed_keys(node: &Node) -> Fact<BTreeMap<NodePath, Searched>> {
    let mut all = BTreeMap::new();
    let mut folders: Vec<NodePath> = named(&KEY_FOLDERS)
        .map(|folder| node.layout.place(&folder))
        .collect();
    if !folders.iter().any(|folder| node.layout.pki.is_within(folder)) {
        folders.push(node.layout.pki.clone());
    }
    for folder in folders {
        let searched = match node.files.facts(&folder) {
            Fact::Known(facts) => {
                let mut search = Search {
                    node,
                    device: facts.id.device,
                    entries: 0,
                    bytes: 0,
                    found: Vec::new(),
                };
                let cut_off = search.folder(&folder, facts, DEPTH).err();
                Searched {
                    found: search.found,
                    cut_off,
                }
            }
            Fact::Absent => continue,
            Fact::Unknown(why) => Searched {
                found: Vec::new(),
                cut_off: Some(why),
            },
        };
        all.insert(folder, searched);
    }
    Fact::Known(all)
}

/// A search for keys that others can read.
struct Search<'a> {
    node: &'a Node,
    /// The file system that is not left.
    device: u64,
    entries: usize,
    bytes: u64,
    found: Vec<ExposedKey>,
}

impl Search<'_> {
    fn folder(&mut self, folder: &NodePath, facts: FileFacts, depth: usize) -> Result<(), Reason> {
        if facts.kind != FileKind::Directory || facts.id.device != self.device || !is_open(facts, 0o001) {
            return Ok(());
        }
        let entries = match self.node.files.list(folder) {
            Fact::Known(entries) => entries,
            Fact::Absent => return Ok(()),
            Fact::Unknown(why) => return Err(why),
        };
        self.entries += entries.len();
        if self.entries > ENTRIES {
            return Err(Reason::new(format!(
                "more than {ENTRIES} entries are not looked at"
            )));
        }
        for entry in entries {
            let (Some(path), Some(facts)) = (entry.path, entry.facts.known().copied()) else {
                continue;
            };
            if facts.kind == FileKind::Directory && depth > 0 {
                self.folder(&path, facts, depth - 1)?;
            } else if facts.kind == FileKind::Regular
                && is_open(facts, 0o004)
                && facts.size <= MAX_BYTES as u64
                && !self.is_judged_elsewhere(&path, &entry.name)
            {
                self.file(path, facts)?;
            }
        }
        Ok(())
    }

    /// Keys in their own places have controls of their own (CIS-1.1.13 to 1.1.17, 1.1.21, 4.1.5, X-FILE-09), which are told alone.
    fn is_judged_elsewhere(&self, path: &NodePath, name: &str) -> bool {
        let layout = &self.node.layout;
        let of_kubelet = layout
            .kubelet
            .join("pki")
            .is_ok_and(|folder| path.is_within(&folder));
        of_kubelet
            || (path.is_within(&layout.pki) && name.ends_with(".key"))
            || (path.parent().as_ref() == Some(&layout.kubernetes) && KUBECONFIGS.contains(&name))
    }

    fn file(&mut self, path: NodePath, facts: FileFacts) -> Result<(), Reason> {
        self.bytes += facts.size;
        if self.bytes > BYTES {
            let most = BYTES >> 20;
            return Err(Reason::new(format!(
                "others can read more than {most} MiB of files there, which are not all looked at"
            )));
        }
        match bytes(self.node, &path) {
            Fact::Known(text) if has_key(&text) => self.found.push(ExposedKey { path, facts }),
            // One that has gone meanwhile, or that somebody writes all the time, is none that lies there.
            Fact::Known(_) | Fact::Absent | Fact::Unknown(_) => {}
        }
        Ok(())
    }
}

/// Whether others than root have that right, given as everybody's bit: everybody, or a group or an owner that is not root.
fn is_open(facts: FileFacts, right: u32) -> bool {
    let bits = facts.mode.bits();
    bits & right != 0
        || (bits & (right << 3) != 0 && facts.owner.gid != Owner::ROOT.gid)
        || (bits & (right << 6) != 0 && facts.owner.uid != Owner::ROOT.uid)
}

fn contains(text: &[u8], mark: &[u8]) -> bool {
    text.windows(mark.len()).any(|window| window == mark)
}

/// A private key in the clear, as PEM (RFC 7468) or in a kubeconfig.
fn has_key(text: &[u8]) -> bool {
    let has = |mark: &[u8]| contains(text, mark);
    let is_pem = has(b"-----BEGIN PRIVATE KEY-----")
        || (has(b"-----BEGIN RSA PRIVATE KEY-----") || has(b"-----BEGIN EC PRIVATE KEY-----"))
            && !has(b"Proc-Type: 4,ENCRYPTED");
    is_pem || has(b"client-key-data")
}

fn kubelet_unit(node: &Node, observation: &Observation) -> Fact<BTreeMap<NodePath, Fact<String>>> {
    let mut all = BTreeMap::new();
    let mut paths = BTreeSet::new();
    let mut folders: BTreeSet<String> = BTreeSet::new();
    let usual = paths_of(
        &Target::KubeletUnit,
        &node.layout,
        &observation.manifests,
        &observation.kubelet,
    );
    if let Fact::Known(usual) = usual {
        paths.extend(usual.files);
        folders.extend(usual.patterns.iter().map(|pattern| pattern.folder.to_string()));
    }
    for folder in MORE_UNIT_FOLDERS {
        paths.extend(format!("{folder}/kubelet.service").parse::<NodePath>().ok());
        folders.insert(format!("{folder}/kubelet.service.d"));
    }
    for folder in folders
        .iter()
        .filter_map(|folder| folder.parse::<NodePath>().ok())
    {
        match node.files.list(&folder) {
            Fact::Known(entries) => {
                let drop_ins = entries.into_iter().filter(|entry| entry.name.ends_with(".conf"));
                paths.extend(drop_ins.filter_map(|entry| entry.path));
            }
            Fact::Absent => {}
            // One that is a link is read by systemd all the same.
            Fact::Unknown(why) => {
                all.insert(folder, Fact::Unknown(why));
            }
        }
    }
    paths.extend(named(&ENVIRONMENT_FILES));
    let mut seen = BTreeSet::new();
    for path in paths {
        let text = node.files.read(&path, MAX_BYTES).and_then(|content| {
            // `/lib` may be a link to `/usr/lib`.
            if !seen.insert((content.facts.id.device, content.facts.id.inode)) {
                return Fact::Absent;
            }
            String::from_utf8(content.bytes)
                .map_or_else(|_| Fact::unknown(format!("{path} is not UTF-8")), Fact::Known)
        });
        if text != Fact::Absent {
            all.insert(path, text);
        }
    }
    Fact::Known(all)
}

fn etcd_clients(sockets: &mut Sockets<'_>, observation: &Observation) -> Fact<Vec<EtcdClient>> {
    let of = |component| observation.processes.get(&component).unwrap_or(&Fact::Absent);
    let etcd = match of(Component::Etcd) {
        Fact::Known(processes) if processes.is_empty() => return Fact::Absent,
        Fact::Known(processes) => processes,
        Fact::Absent => return Fact::Absent,
        Fact::Unknown(why) => return Fact::Unknown(why.clone()),
    };
    let servers = of(Component::ApiServer).known().into_iter().flatten();
    let known: Vec<ProcessId> = etcd.iter().chain(servers).map(|process| process.id).collect();
    let mut all = Vec::new();
    for process in etcd {
        match sockets.clients(process.id, &known) {
            Ok(clients) => all.extend(clients),
            Err(why) => return Fact::Unknown(why),
        }
    }
    Fact::Known(all)
}

fn listeners(sockets: &mut Sockets<'_>, observation: &Observation) -> Fact<Vec<Listener>> {
    let mut all: Vec<(Option<Component>, ProcessId)> = Vec::new();
    for (component, processes) in &observation.processes {
        match processes {
            Fact::Known(processes) => all.extend(processes.iter().map(|one| (Some(*component), one.id))),
            Fact::Absent => {}
            Fact::Unknown(why) => return Fact::Unknown(why.clone()),
        }
    }
    match &observation.kubelet.process {
        Fact::Known(kubelet) => all.push((None, kubelet.id)),
        Fact::Absent => {}
        Fact::Unknown(why) => return Fact::Unknown(why.clone()),
    }
    if all.is_empty() {
        return Fact::Absent;
    }
    let mut found = Vec::new();
    for (component, process) in all {
        match sockets.listeners(process) {
            Ok(addresses) => found.extend(
                addresses
                    .into_iter()
                    .map(|address| Listener { component, address }),
            ),
            Err(why) => return Fact::Unknown(why),
        }
    }
    Fact::Known(found)
}
