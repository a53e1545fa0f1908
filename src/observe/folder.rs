//! The manifests folder, as the kubelet looks at it.

use super::digest_of;
use crate::adapters::Node;
use crate::domain::{Component, EntryContent, Fact, FileKind, FolderEntry, Manifest, NodePath};
use crate::manifest::{self, MAX_BYTES};

/// An entry, with the manifest that was read from it.
pub(super) struct Seen {
    pub(super) shown: FolderEntry,
    manifest: Option<Manifest>,
}

/// The entries of the folder. Names that begin with a dot are left out: the kubelet does not look at them
/// (kubernetes `pkg/kubelet/config/file_linux.go`).
pub(super) fn entries(node: &Node) -> Fact<Vec<Seen>> {
    node.files.list(&node.layout.manifests).and_then(|entries| {
        let seen: Vec<_> = entries
            .into_iter()
            .filter(|entry| !entry.name.starts_with('.'))
            .collect();
        // An entry that cannot be looked at must not pass for one that is not there.
        let unknown = seen.iter().find_map(|entry| match &entry.facts {
            Fact::Unknown(why) => Some(why.clone()),
            Fact::Known(_) | Fact::Absent => None,
        });
        match unknown {
            Some(why) => Fact::Unknown(why),
            None => Fact::Known(seen.into_iter().filter_map(|entry| look(node, entry)).collect()),
        }
    })
}

fn look(node: &Node, entry: crate::adapters::files::Entry) -> Option<Seen> {
    // A file that went away between the listing and the look is not there.
    let Fact::Known(mut facts) = entry.facts else {
        return None;
    };
    let mut let_in = Fact::Absent;
    let (content, manifest) = match (&entry.path, facts.kind) {
        (Some(path), FileKind::Regular) => match node.files.read(path, MAX_BYTES) {
            Fact::Known(read) => {
                facts = read.facts;
                let_in = node.files.let_in(path);
                content(path, read)
            }
            Fact::Absent => return None,
            Fact::Unknown(why) => (EntryContent::NotRead(why), None),
        },
        (None, _) => {
            let why = crate::domain::Reason::new("its name is not plain text");
            (EntryContent::NotRead(why), None)
        }
        (Some(_), kind) => {
            let why = crate::domain::Reason::new(format!("it is a {}", kind.noun()));
            (EntryContent::NotRead(why), None)
        }
    };
    let shown = FolderEntry {
        exact_name: entry.path.is_some(),
        name: entry.name,
        facts,
        content,
        let_in,
    };
    Some(Seen { shown, manifest })
}

fn content(path: &NodePath, read: crate::adapters::files::Content) -> (EntryContent, Option<Manifest>) {
    let digest = digest_of(&read.bytes);
    let unparsable = |why: String| {
        let why = crate::domain::Reason::new(why);
        (
            EntryContent::Unparsable {
                why,
                digest: Some(digest),
            },
            None,
        )
    };
    let pod = match manifest::parse(&read.bytes) {
        Ok(pod) => pod,
        Err(error) => return unparsable(error.to_string()),
    };
    let shown = EntryContent::Pod {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        digest,
    };
    match String::from_utf8(read.bytes) {
        Ok(text) => {
            let manifest = Manifest {
                path: path.clone(),
                text,
                digest,
                facts: read.facts,
                pod,
            };
            (shown, Some(manifest))
        }
        Err(_) => unparsable("it is not text".to_owned()),
    }
}

/// A manifest that lies elsewhere.
pub(super) fn manifest_at(node: &Node, path: &NodePath) -> Fact<Manifest> {
    node.files
        .read(path, MAX_BYTES)
        .and_then(|read| match content(path, read) {
            (_, Some(manifest)) => Fact::Known(manifest),
            (EntryContent::Unparsable { why, .. } | EntryContent::NotRead(why), None) => Fact::Unknown(why),
            (EntryContent::Pod { .. }, None) => Fact::unknown(format!("{path} was not read")),
        })
}

/// The manifest of a component: the file that kubeadm keeps it in.
pub(super) fn manifest(component: Component, node: &Node, entries: &Fact<Vec<Seen>>) -> Fact<Manifest> {
    let path = node.layout.manifest(component);
    entries.as_ref().and_then(|entries| {
        let found = entries
            .iter()
            .find(|seen| seen.shown.exact_name && seen.shown.name == component.manifest_file());
        match found {
            None => Fact::Absent,
            Some(Seen {
                manifest: Some(manifest),
                ..
            }) => Fact::Known(manifest.clone()),
            Some(seen) => match &seen.shown.content {
                EntryContent::Unparsable { why, .. } | EntryContent::NotRead(why) => {
                    Fact::unknown(format!("{path}: {why}"))
                }
                EntryContent::Pod { .. } => Fact::unknown(format!("{path} was not read")),
            },
        }
    })
}
