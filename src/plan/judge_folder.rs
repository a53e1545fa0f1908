//! The manifests folder, held against what must be.

use std::collections::BTreeMap;

use super::finding::{Evidence, Mend, Verdict};
use super::judge::{JudgeContext, piece, unknown};
use crate::controls::{FolderRule, Remedy};
use crate::domain::{
    Component, Digest, EntryContent, Fact, FileKind, FolderEntry, Mode, NodePath, Observation, Reason,
};

/// The evidence about the manifests folder: a piece for each entry that has something to say, or one for the folder.
pub(super) fn folder(
    rule: FolderRule,
    remedy: Remedy,
    observation: &Observation,
    context: &JudgeContext<'_>,
) -> Vec<Evidence> {
    let folder = &context.layout.manifests;
    let expected = expected(rule);
    if let Fact::Known(real) = &observation.kubelet.static_pod_path
        && real != folder
    {
        let why = Reason::new(format!(
            "the kubelet runs static pods from {real}; only {folder} is looked at"
        ));
        return vec![unknown(folder.as_str(), expected, &why)];
    }
    let entries = match &observation.manifest_folder {
        Fact::Known(entries) => entries,
        Fact::Absent => return Vec::new(),
        Fact::Unknown(reason) => return vec![unknown(folder.as_str(), expected, reason)],
    };
    // To the kubelet a name that begins with a dot is not there.
    let mut entries: Vec<&FolderEntry> = entries
        .iter()
        .filter(|entry| !entry.name.starts_with('.'))
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let look = Look {
        expected,
        entries: &entries,
        context,
    };
    let evidence = match rule {
        FolderRule::NoUnknownManifest => look.unknown_manifests(remedy),
        FolderRule::NoDuplicatePod => look.duplicates(remedy),
        FolderRule::PlainFiles => look.plain_files(remedy),
        FolderRule::NoSubfolder => look.each(subfolder),
        FolderRule::AllParsable => look.each(not_parsable),
    };
    if evidence.is_empty() {
        let files = entries.len();
        let actual = format!(
            "{files} {}, none against it",
            if files == 1 { "entry" } else { "entries" }
        );
        return vec![piece(folder.as_str(), Verdict::Pass, expected, actual)];
    }
    evidence
}

const fn expected(rule: FolderRule) -> &'static str {
    match rule {
        FolderRule::NoUnknownManifest => "only kubeadm's manifests and known ones",
        FolderRule::NoDuplicatePod => "one file for each pod",
        FolderRule::PlainFiles => "plain files with one name",
        FolderRule::NoSubfolder => "no folder in it",
        FolderRule::AllParsable => "a pod in each file",
    }
}

/// One look at the folder: its entries in the kubelet's order.
struct Look<'a> {
    expected: &'static str,
    entries: &'a [&'a FolderEntry],
    context: &'a JudgeContext<'a>,
}

/// What is known of a file that is not one of kubeadm's.
enum Standing {
    /// The operator or the first start knows it.
    Known(&'static str),
    /// It was there at the first start, with other content.
    Altered,
    /// It was there at the first start, and what it holds now cannot be told.
    Unread(Reason),
    /// Nobody knows it.
    Unknown,
}

impl Look<'_> {
    fn object(&self, entry: &FolderEntry) -> String {
        format!("{}/{}", self.context.layout.manifests, entry.name)
    }

    /// A piece for each entry that `judge` has a verdict on.
    fn each(&self, judge: impl Fn(&FolderEntry) -> Option<(Verdict, String)>) -> Vec<Evidence> {
        self.entries
            .iter()
            .filter_map(|entry| {
                let (verdict, actual) = judge(entry)?;
                Some(piece(self.object(entry), verdict, self.expected, actual))
            })
            .collect()
    }

    fn unknown_manifests(&self, remedy: Remedy) -> Vec<Evidence> {
        let files = self.entries.iter().filter(|entry| match entry.facts.kind {
            // The kubelet follows links, and skips special files and folders.
            FileKind::Regular | FileKind::Symlink => !is_kubeadms(entry),
            FileKind::Directory | FileKind::Special => false,
        });
        files
            .map(|entry| {
                let what = self.what_it_is(entry);
                let (verdict, actual) = match self.standing(entry) {
                    Standing::Known(why) => (Verdict::Pass, why.to_owned()),
                    Standing::Altered => (
                        Verdict::Drift,
                        format!("its content has changed since Holdfast first saw it; {what}"),
                    ),
                    Standing::Unread(why) => (
                        Verdict::Unknown,
                        format!("whether it is still what Holdfast first saw cannot be told: {why}"),
                    ),
                    Standing::Unknown => return self.unwanted(entry, remedy, format!("unknown; {what}")),
                };
                piece(self.object(entry), verdict, self.expected, actual)
            })
            .collect()
    }

    /// A file that should not be there, and its move to quarantine where that is turned on and can be made.
    fn unwanted(&self, entry: &FolderEntry, remedy: Remedy, actual: String) -> Evidence {
        let drift = |actual| piece(self.object(entry), Verdict::Drift, self.expected, actual);
        if remedy != Remedy::Quarantine || !self.context.config.manifests.quarantine {
            return drift(actual);
        }
        match self.quarantine(entry) {
            Ok(mend) => Evidence {
                mend: Some(mend),
                ..drift(actual)
            },
            Err(why) => drift(format!("{actual}; not moved to quarantine, because {why}")),
        }
    }

    /// The move to quarantine. What would be moved must be certain, and must not restart a pod that stays.
    fn quarantine(&self, entry: &FolderEntry) -> Result<Mend, String> {
        let digest = match &entry.content {
            EntryContent::Pod { digest, .. } => *digest,
            EntryContent::Unparsable { .. } | EntryContent::NotRead(_) => {
                return Err("no pod could be read from it".to_owned());
            }
        };
        if entry.facts.kind != FileKind::Regular || entry.facts.links != 1 {
            return Err("it is not a plain file with one name".to_owned());
        }
        if self.context.config.manifests.known.contains(&entry.name) {
            return Err("it stands under manifests.known".to_owned());
        }
        let twin = self.twin(entry)?;
        let path = self
            .path(entry)
            .ok_or_else(|| "its name is not plain text".to_owned())?;
        Ok(Mend::Quarantine { path, digest, twin })
    }

    fn path(&self, entry: &FolderEntry) -> Option<NodePath> {
        let path = self.context.layout.manifests.join(&entry.name).ok()?;
        entry.exact_name.then_some(path)
    }

    /// The component's own manifest, where the file is a copy of it; none where no other file defines the pod. Of others it cannot be told
    /// which is the real one.
    fn twin(&self, entry: &FolderEntry) -> Result<Option<NodePath>, String> {
        let others: Vec<&FolderEntry> = self
            .same_pod(entry)
            .filter(|other| other.name != entry.name)
            .collect();
        let Some(first) = others.first() else {
            return Ok(None);
        };
        if is_kubeadms(entry) {
            return Err(format!("it bears a component's name, as {} does", first.name));
        }
        let is_of_pod = |other: &&&FolderEntry| {
            let pod = pod_of(other).map(|(_, name)| name);
            is_kubeadms(other) && Component::from_manifest_file(&other.name).map(Component::name) == pod
        };
        match others.iter().find(is_of_pod) {
            Some(real) => Ok(self.path(real)),
            None => Err(format!(
                "that would restart the pod that {} defines too",
                first.name
            )),
        }
    }

    /// What is wrong with each file itself. Bits of its mode are taken from it; a link is left to the operator, and so is a file that has
    /// another name.
    fn plain_files(&self, remedy: Remedy) -> Vec<Evidence> {
        let mut evidence = self.each(not_plain);
        let files = self
            .entries
            .iter()
            .filter(|entry| entry.facts.kind == FileKind::Regular);
        for entry in files {
            let mode = entry.facts.mode;
            let mut drift = |actual: String, ceiling| {
                let path = self.path(entry).filter(|_| entry.facts.links == 1);
                let path = path.filter(|_| matches!(remedy, Remedy::InPart(_)));
                let mend = path.map(|path| Mend::Mode {
                    path,
                    id: entry.facts.id,
                    from: mode,
                    ceiling,
                });
                evidence.push(Evidence {
                    mend,
                    ..piece(self.object(entry), Verdict::Drift, self.expected, actual)
                });
            };
            if mode.bits() & SPECIAL_BITS != 0 {
                let without = Mode::from_bits(!SPECIAL_BITS);
                drift(
                    format!("mode {mode}: a setuid, setgid or sticky bit, which has no use here"),
                    without,
                );
            }
            match &entry.let_in {
                Fact::Known(further) if !further.is_empty() => {
                    let actual = format!("an access control list lets in {}", further.join(", "));
                    // The group's bits of a file with such a list are the list's mask: without them it lets nobody in.
                    drift(actual, Mode::from_bits(!0o070));
                }
                Fact::Unknown(why) => {
                    evidence.push(unknown(self.object(entry), self.expected, why));
                }
                Fact::Known(_) | Fact::Absent => {}
            }
        }
        evidence
    }

    fn standing(&self, entry: &FolderEntry) -> Standing {
        if !entry.exact_name {
            return Standing::Unknown;
        }
        let named = &self.context.config.manifests.known;
        if named.contains(&entry.name) {
            return Standing::Known("known by manifests.known of the configuration");
        }
        let Some(baseline) = self.context.baseline else {
            return Standing::Known("not kubeadm's own; announced, and known from Holdfast's first start on");
        };
        let Some(known) = baseline.iter().find(|known| known.name == entry.name) else {
            return Standing::Unknown;
        };
        match digest_of(&entry.content) {
            Ok(digest) if digest == known.digest => Standing::Known("known since Holdfast's first start"),
            Ok(_) => Standing::Altered,
            Err(why) => Standing::Unread(why),
        }
    }

    fn what_it_is(&self, entry: &FolderEntry) -> String {
        match &entry.content {
            EntryContent::Pod { namespace, name, .. } => {
                match self.same_pod(entry).find(|other| other.name != entry.name) {
                    Some(other) => format!(
                        "a second definition of the pod {namespace}/{name}, beside {}",
                        other.name
                    ),
                    None => format!("the kubelet runs it as the pod {namespace}/{name}"),
                }
            }
            EntryContent::Unparsable { why, .. } => format!("no pod can be read from it: {why}"),
            EntryContent::NotRead(why) => format!("it was not read: {why}"),
        }
    }

    fn same_pod(&self, entry: &FolderEntry) -> impl Iterator<Item = &FolderEntry> {
        let pod = pod_of(entry).map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
        self.entries.iter().copied().filter(move |other| {
            pod.as_ref()
                .is_some_and(|(namespace, name)| pod_of(other) == Some((namespace, name)))
        })
    }

    /// A piece for each file that defines a pod which another file defines: the component's own manifest, else the first, is
    /// taken for the real one.
    fn duplicates(&self, remedy: Remedy) -> Vec<Evidence> {
        let mut files: BTreeMap<(&str, &str), Vec<&FolderEntry>> = BTreeMap::new();
        for entry in self.entries {
            if let Some(pod) = pod_of(entry) {
                files.entry(pod).or_default().push(entry);
            }
        }
        let mut evidence = Vec::new();
        for ((namespace, name), files) in files {
            let (Some(first), Some(last)) = (files.first(), files.last()) else {
                continue;
            };
            let real = files.iter().find(|entry| is_kubeadms(entry)).unwrap_or(first);
            for copy in files.iter().filter(|entry| entry.name != real.name) {
                let actual = format!(
                    "defines the pod {namespace}/{name}, as {} does; the kubelet reads every file whatever its name \
                     ends in, and runs {}, the last in sorted order",
                    real.name, last.name
                );
                evidence.push(self.unwanted(copy, remedy, actual));
            }
        }
        evidence
    }
}

/// The setuid, setgid and sticky bits.
const SPECIAL_BITS: u32 = 0o7000;

fn is_kubeadms(entry: &FolderEntry) -> bool {
    entry.exact_name && Component::from_manifest_file(&entry.name).is_some()
}

fn pod_of(entry: &FolderEntry) -> Option<(&str, &str)> {
    match &entry.content {
        EntryContent::Pod { namespace, name, .. } => Some((namespace, name)),
        EntryContent::Unparsable { .. } | EntryContent::NotRead(_) => None,
    }
}

fn digest_of(content: &EntryContent) -> Result<Digest, Reason> {
    match content {
        EntryContent::Pod { digest, .. }
        | EntryContent::Unparsable {
            digest: Some(digest), ..
        } => Ok(*digest),
        EntryContent::Unparsable { why, digest: None } | EntryContent::NotRead(why) => Err(why.clone()),
    }
}

fn not_plain(entry: &FolderEntry) -> Option<(Verdict, String)> {
    let actual = match (entry.facts.kind, entry.facts.links) {
        (FileKind::Symlink, _) => {
            "a symbolic link; the kubelet follows it, and does not notice when its target changes".to_owned()
        }
        (FileKind::Special, _) => "a special file; the kubelet skips it and logs an error".to_owned(),
        (FileKind::Regular, links) if links > 1 => {
            format!("{links} hard links; it can be written by another name")
        }
        (FileKind::Regular | FileKind::Directory, _) => return None,
    };
    Some((Verdict::Drift, actual))
}

fn subfolder(entry: &FolderEntry) -> Option<(Verdict, String)> {
    let actual = "a folder; the kubelet does not enter it, and logs an error every 20 seconds";
    (entry.facts.kind == FileKind::Directory).then(|| (Verdict::Drift, actual.to_owned()))
}

fn not_parsable(entry: &FolderEntry) -> Option<(Verdict, String)> {
    match (entry.facts.kind, &entry.content) {
        (FileKind::Directory | FileKind::Special, _) | (_, EntryContent::Pod { .. }) => None,
        (FileKind::Regular | FileKind::Symlink, EntryContent::Unparsable { why, .. }) => Some((
            Verdict::Drift,
            format!("{why}; a pod that the kubelet cannot read from its file is stopped"),
        )),
        (FileKind::Regular | FileKind::Symlink, EntryContent::NotRead(why)) => Some((
            Verdict::Unknown,
            format!("{why}; a pod that the kubelet cannot read from its file is stopped"),
        )),
    }
}

#[cfg(test)]
#[path = "judge_folder_tests.rs"]
mod tests;
