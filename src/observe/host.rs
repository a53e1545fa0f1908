//! What is only reported: credentials, the kubelet's unit, listeners. Bytes of keys are wiped and not kept.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use crate::adapters::Node;
use crate::adapters::files::Entry;
use crate::certificates::of_kubeconfig;
use crate::controls::{Reported, Target};
use crate::domain::{
    Component, ExposedKey, Fact, FileFacts, FileKind, HomeKubeconfig, Kubeconfig, Listener, NodePath,
    Observation, Owner, Pair, PairFacts, ProcessId, Reason,
};
use crate::kubeconfig;
use crate::pair::{pair, verifies};
use crate::plan::{AskedPair, pairs_of, paths_of};
use crate::unit::ENVIRONMENT_FILES;

/// A kubeconfig has some kilobytes, a bundle of authorities some 200.
const MAX_BYTES: usize = 256 << 10;
/// The administrator's groups (kubeadm `kubeconfig` phase since 1.29, and before).
const ADMINISTRATORS: [&str; 2] = ["O=system:masters", "O=kubeadm:cluster-admins"];
const KEY_FOLDERS: [&str; 6] = [
    "/etc/kubernetes",
    "/root",
    "/var/lib/kubelet",
    "/tmp",
    "/var/tmp",
    "/var/backups",
];
/// So deep below such a folder, and so many entries, are looked at.
const DEPTH: usize = 4;
const ENTRIES: usize = 5_000;
const SSH_LINKS: [&str; 4] = [
    "/etc/systemd/system/multi-user.target.wants/ssh.service",
    "/etc/systemd/system/multi-user.target.wants/sshd.service",
    "/etc/systemd/system/sockets.target.wants/ssh.socket",
    "/etc/systemd/system/sockets.target.wants/sshd.socket",
];

/// Adds what a control asks.
pub(super) fn look(node: &Node, rule: Reported, observation: &mut Observation) {
    match rule {
        Reported::Kubeconfigs => observation.host.kubeconfigs = kubeconfigs(node),
        Reported::HomeKubeconfigs => observation.host.home_kubeconfigs = home_kubeconfigs(node),
        Reported::Pairs => {
            let asked = pairs_of(observation).into_iter();
            observation.host.pairs = Fact::Known(asked.map(|asked| found(node, asked)).collect());
        }
        Reported::ExposedKeys => observation.host.exposed_keys = exposed_keys(node),
        Reported::KubeletUnit => observation.host.kubelet_unit = kubelet_unit(node, observation),
        Reported::Listeners => observation.host.listeners = listeners(node, observation),
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

fn named<'a>(names: &'a [&'a str]) -> impl Iterator<Item = NodePath> + 'a {
    names.iter().filter_map(|name| name.parse().ok())
}

fn bytes(node: &Node, path: &NodePath) -> Fact<Zeroizing<Vec<u8>>> {
    node.files
        .read(path, MAX_BYTES)
        .map(|content| Zeroizing::new(content.bytes))
}

fn kubeconfigs(node: &Node) -> Fact<BTreeMap<NodePath, Fact<Kubeconfig>>> {
    node.files.list(&node.layout.kubernetes).map(|entries| {
        let named = entries.into_iter().filter(|entry| entry.name.ends_with(".conf"));
        named
            .filter_map(|entry| entry.path)
            .map(|path| {
                let read = bytes(node, &path).and_then(|text| match kubeconfig::of_text(&text) {
                    Ok(kubeconfig) => Fact::Known(kubeconfig),
                    Err(why) => Fact::unknown(format!("{path}: {why}")),
                });
                (path, read)
            })
            .collect()
    })
}

/// Home folders belong to their users: no link is followed, and only plain files are opened.
fn home_kubeconfigs(node: &Node) -> Fact<Vec<HomeKubeconfig>> {
    let mut homes: Vec<(NodePath, Owner)> = Vec::new();
    for root in named(&["/root"]) {
        if let Fact::Known(facts) = node.files.facts(&root) {
            homes.push((root, facts.owner));
        }
    }
    for parent in named(&["/home"]) {
        match node.files.list(&parent) {
            Fact::Known(entries) => homes.extend(folders(&entries)),
            Fact::Absent => {}
            Fact::Unknown(why) => return Fact::Unknown(why),
        }
    }
    let mut found = Vec::new();
    for (home, owner) in homes {
        let Ok(folder) = home.join(".kube") else { continue };
        let entries = match node.files.list(&folder) {
            Fact::Known(entries) => entries,
            Fact::Absent => continue,
            Fact::Unknown(why) => return Fact::Unknown(why),
        };
        for (path, facts) in entries.into_iter().filter_map(plain) {
            // The rest is caches and what else tools keep there.
            let Fact::Known(text) = bytes(node, &path) else {
                continue;
            };
            if kubeconfig::of_text(&text).is_err() {
                continue;
            }
            let subjects = of_kubeconfig(&text)
                .unwrap_or_default()
                .into_iter()
                .map(|one| one.subject);
            let administrator = subjects.into_iter().find(|subject| {
                ADMINISTRATORS
                    .iter()
                    .any(|group| subject.split(", ").any(|part| part == *group))
            });
            found.push(HomeKubeconfig {
                path,
                facts,
                home: owner,
                administrator,
            });
        }
    }
    Fact::Known(found)
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
        let (certificate, key) = (
            told(certificate, bytes(node, certificate)),
            told(key, bytes(node, key)),
        );
        certificate.and_then(|certificate| key.and_then(|key| held(node, &asked, &certificate, &key)))
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
            }),
            Err(why) => Fact::unknown(why),
        };
    }
    let authority = match &asked.authority {
        None => None,
        Some(path) => match bytes(node, path) {
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

fn exposed_keys(node: &Node) -> Fact<BTreeMap<NodePath, Fact<Vec<ExposedKey>>>> {
    let look = |folder: NodePath| {
        let found = match node.files.facts(&folder) {
            Fact::Known(facts) => {
                let mut search = Search {
                    node,
                    entries: 0,
                    found: Vec::new(),
                };
                match search.folder(&folder, facts, DEPTH) {
                    Ok(()) => Fact::Known(search.found),
                    Err(why) => Fact::Unknown(why),
                }
            }
            Fact::Absent => Fact::Absent,
            Fact::Unknown(why) => Fact::Unknown(why),
        };
        (folder, found)
    };
    Fact::Known(named(&KEY_FOLDERS).map(look).collect())
}

/// A search for keys that others can read.
struct Search<'a> {
    node: &'a Node,
    entries: usize,
    found: Vec<ExposedKey>,
}

impl Search<'_> {
    fn folder(&mut self, folder: &NodePath, facts: FileFacts, depth: usize) -> Result<(), Reason> {
        if facts.kind != FileKind::Directory || !is_open(facts, 0o001) {
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
                && let Fact::Known(text) = bytes(self.node, &path)
                && has_key(&text)
            {
                self.found.push(ExposedKey { path, facts });
            }
        }
        Ok(())
    }
}

/// Whether others than root have that right, given as everybody's bit: everybody, or a group that is not root's.
fn is_open(facts: FileFacts, right: u32) -> bool {
    let bits = facts.mode.bits();
    let of_group = right << 3;
    bits & right != 0 || (bits & of_group != 0 && facts.owner.gid != Owner::ROOT.gid)
}

/// A private key in the clear, as PEM (RFC 7468) or in a kubeconfig.
fn has_key(text: &[u8]) -> bool {
    let has = |mark: &[u8]| text.windows(mark.len()).any(|window| window == mark);
    let kinds: [&[u8]; 4] = [
        b"-----BEGIN PRIVATE KEY-----",
        b"-----BEGIN RSA PRIVATE KEY-----",
        b"-----BEGIN EC PRIVATE KEY-----",
        b"client-key-data:",
    ];
    kinds.into_iter().any(has)
}

fn kubelet_unit(node: &Node, observation: &Observation) -> Fact<BTreeMap<NodePath, Fact<String>>> {
    let mut paths = BTreeSet::new();
    let asked = paths_of(
        &Target::KubeletUnit,
        &node.layout,
        &observation.manifests,
        &observation.kubelet,
    );
    if let Fact::Known(asked) = asked {
        paths.extend(asked.files);
        for pattern in asked.patterns {
            let listed = super::listing(node, &pattern);
            paths.extend(listed.known().into_iter().flat_map(BTreeMap::keys).cloned());
        }
    }
    paths.extend(named(&ENVIRONMENT_FILES));
    let text = |path: &NodePath| {
        node.files.read(path, MAX_BYTES).and_then(|content| {
            String::from_utf8(content.bytes)
                .map_or_else(|_| Fact::unknown(format!("{path} is not UTF-8")), Fact::Known)
        })
    };
    let texts = paths.into_iter().map(|path| {
        let text = text(&path);
        (path, text)
    });
    Fact::Known(texts.filter(|(_, text)| *text != Fact::Absent).collect())
}

fn listeners(node: &Node, observation: &Observation) -> Fact<Vec<Listener>> {
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
        match node.processes.listeners(process) {
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
