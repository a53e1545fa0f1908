//! The manifests folder, held against what must be.

use std::collections::BTreeMap;

use super::finding::{Evidence, Mend, Verdict};
use super::judge::{JudgeContext, piece, unknown};
use crate::controls::{FolderRule, Remedy};
use crate::domain::{Component, Digest, EntryContent, Fact, FileKind, FolderEntry, Observation, Reason};

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
        FolderRule::NoDuplicatePod => look.duplicates(),
        FolderRule::PlainFiles => look.each(not_plain),
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
                    Standing::Unknown => return self.unknown_manifest(entry, remedy, &what),
                };
                piece(self.object(entry), verdict, self.expected, actual)
            })
            .collect()
    }

    fn unknown_manifest(&self, entry: &FolderEntry, remedy: Remedy, what: &str) -> Evidence {
        let drift = |actual| piece(self.object(entry), Verdict::Drift, self.expected, actual);
        let actual = format!("unknown; {what}");
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
        if let Some(other) = self.same_pod(entry).find(|other| other.name != entry.name) {
            return Err(format!(
                "that would restart the pod that {} defines too",
                other.name
            ));
        }
        let path = match self.context.layout.manifests.join(&entry.name) {
            Ok(path) if entry.exact_name => path,
            Ok(_) | Err(_) => return Err("its name is not plain text".to_owned()),
        };
        Ok(Mend::Quarantine { path, digest })
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
    fn duplicates(&self) -> Vec<Evidence> {
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
                evidence.push(piece(self.object(copy), Verdict::Drift, self.expected, actual));
            }
        }
        evidence
    }
}

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
mod tests {
    use super::super::fixtures::{SCHEDULER, edit_folder, entry, fresh_node, path};
    use super::*;
    use crate::config::Config;
    use crate::domain::Layout;
    use crate::journal::KnownManifest;

    const FOLDER: &str = "/etc/kubernetes/manifests";
    const VIP: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-vip, namespace: kube-system}\nspec: {containers: [{name: a}]}\n";

    struct Case {
        node: Observation,
        config: Config,
        baseline: Option<Vec<KnownManifest>>,
    }

    /// A fresh node, with these files in the folder beside kubeadm's.
    fn case(entries: Vec<FolderEntry>) -> Case {
        let mut node = fresh_node();
        edit_folder(&mut node, |folder| folder.extend(entries));
        Case {
            node,
            config: Config::default(),
            baseline: Some(vec![]),
        }
    }

    impl Case {
        fn judged(&self, rule: FolderRule) -> Vec<Evidence> {
            let layout = Layout::kubeadm();
            let context = JudgeContext {
                config: &self.config,
                layout: &layout,
                baseline: self.baseline.as_deref(),
                now: jiff::Timestamp::UNIX_EPOCH,
            };
            let remedy = if rule == FolderRule::NoUnknownManifest {
                Remedy::Quarantine
            } else {
                Remedy::ReportOnly("something")
            };
            folder(rule, remedy, &self.node, &context)
        }

        fn unknown_manifests(&self) -> Vec<Evidence> {
            self.judged(FolderRule::NoUnknownManifest)
        }
    }

    fn with_kind(name: &str, kind: FileKind, links: u64) -> FolderEntry {
        let mut entry = entry(name, "");
        entry.facts.kind = kind;
        entry.facts.links = links;
        entry.content = EntryContent::NotRead(Reason::new(format!("it is a {}", kind.noun())));
        entry
    }

    fn about(name: &str, verdict: Verdict, rule: FolderRule, actual: &str) -> Evidence {
        piece(format!("{FOLDER}/{name}"), verdict, expected(rule), actual)
    }

    const RULES: [FolderRule; 5] = [
        FolderRule::NoUnknownManifest,
        FolderRule::NoDuplicatePod,
        FolderRule::PlainFiles,
        FolderRule::NoSubfolder,
        FolderRule::AllParsable,
    ];

    #[test]
    fn kubeadms_folder_passes_and_hidden_names_are_not_looked_at() {
        let case = case(vec![
            entry(".kube-scheduler.yaml.swp", "a: ["),
            with_kind(".hidden", FileKind::Symlink, 1),
        ]);
        for rule in RULES {
            let expected = piece(
                FOLDER,
                Verdict::Pass,
                expected(rule),
                "4 entries, none against it",
            );
            assert_eq!(case.judged(rule), [expected]);
        }
    }

    #[test]
    fn a_folder_that_is_absent_unreadable_or_another_than_the_kubelets_is_never_a_pass() {
        let mut case = case(vec![]);
        for rule in RULES {
            case.node.manifest_folder = Fact::Absent;
            assert_eq!(case.judged(rule), []);
            case.node.manifest_folder = Fact::unknown("cannot list it");
            let unreadable = piece(FOLDER, Verdict::Unknown, expected(rule), "cannot list it");
            assert_eq!(case.judged(rule), [unreadable]);
        }
        case.node.kubelet.static_pod_path = Fact::Known(path("/etc/pods"));
        let why = "the kubelet runs static pods from /etc/pods; only /etc/kubernetes/manifests is looked at";
        for rule in RULES {
            assert_eq!(
                case.judged(rule),
                [piece(FOLDER, Verdict::Unknown, expected(rule), why)]
            );
        }
    }

    #[test]
    fn a_planted_backup_copy_is_told_as_what_it_is() {
        let name = "kube-scheduler.yaml.bak";
        let case = case(vec![entry(name, SCHEDULER)]);
        let unknown =
            "unknown; a second definition of the pod kube-system/kube-scheduler, beside kube-scheduler.yaml";
        let duplicate = "defines the pod kube-system/kube-scheduler, as kube-scheduler.yaml does; the kubelet reads every file \
                         whatever its name ends in, and runs kube-scheduler.yaml.bak, the last in sorted order";
        let rule = FolderRule::NoUnknownManifest;
        assert_eq!(case.judged(rule), [about(name, Verdict::Drift, rule, unknown)]);
        let rule = FolderRule::NoDuplicatePod;
        assert_eq!(case.judged(rule), [about(name, Verdict::Drift, rule, duplicate)]);
    }

    #[test]
    fn a_copy_that_sorts_before_the_real_manifest_is_still_the_copy() {
        let rule = FolderRule::NoDuplicatePod;
        let evidence = case(vec![entry("a.yaml", SCHEDULER)]).judged(rule);
        let [piece] = evidence.try_into().unwrap();
        assert_eq!(piece.object, format!("{FOLDER}/a.yaml"));
        assert!(
            piece
                .actual
                .ends_with("and runs kube-scheduler.yaml, the last in sorted order"),
            "{}",
            piece.actual
        );
    }

    #[test]
    fn a_file_is_known_by_the_operator_or_by_its_content_at_the_first_start() {
        let rule = FolderRule::NoUnknownManifest;
        let mut case = case(vec![entry("kube-vip.yaml", VIP)]);
        let is = |case: &Case, verdict, actual: &str| {
            assert_eq!(
                case.unknown_manifests(),
                [about("kube-vip.yaml", verdict, rule, actual)]
            );
        };
        is(
            &case,
            Verdict::Drift,
            "unknown; the kubelet runs it as the pod kube-system/kube-vip",
        );
        let known = |text: &str| KnownManifest {
            name: "kube-vip.yaml".to_owned(),
            digest: Digest::of(text.as_bytes()),
        };
        case.baseline = Some(vec![known(VIP)]);
        is(&case, Verdict::Pass, "known since Holdfast's first start");
        case.baseline = Some(vec![known("other")]);
        let altered = "its content has changed since Holdfast first saw it; the kubelet runs it as the pod kube-system/kube-vip";
        is(&case, Verdict::Drift, altered);
        case.baseline = None;
        let first = "not kubeadm's own; announced, and known from Holdfast's first start on";
        is(&case, Verdict::Pass, first);
        case.baseline = Some(vec![]);
        case.config.manifests.known.push("kube-vip.yaml".to_owned());
        is(
            &case,
            Verdict::Pass,
            "known by manifests.known of the configuration",
        );
    }

    #[test]
    fn a_known_file_that_cannot_be_read_is_unknown() {
        let rule = FolderRule::NoUnknownManifest;
        let mut case = case(vec![with_kind("kube-vip.yaml", FileKind::Regular, 1)]);
        case.baseline = Some(vec![KnownManifest {
            name: "kube-vip.yaml".to_owned(),
            digest: Digest::of(b""),
        }]);
        let why = "whether it is still what Holdfast first saw cannot be told: it is a file";
        assert_eq!(
            case.unknown_manifests(),
            [about("kube-vip.yaml", Verdict::Unknown, rule, why)]
        );
    }

    /// Whether the one unknown file of the folder would be moved to quarantine, and what is said of it.
    fn quarantined(case: &Case) -> (Option<Mend>, String) {
        let [piece] = case.unknown_manifests().try_into().unwrap();
        assert_eq!(piece.verdict, Verdict::Drift);
        (piece.mend, piece.actual)
    }

    #[test]
    fn an_unknown_plain_pod_is_moved_to_quarantine_only_when_that_is_turned_on() {
        let mut case = case(vec![entry("x.yaml", VIP)]);
        assert_eq!(quarantined(&case).0, None);
        case.config.manifests.quarantine = true;
        let mend = Mend::Quarantine {
            path: path("/etc/kubernetes/manifests/x.yaml"),
            digest: Digest::of(VIP.as_bytes()),
        };
        assert_eq!(quarantined(&case).0, Some(mend));
        case.baseline = Some(vec![KnownManifest {
            name: "x.yaml".to_owned(),
            digest: Digest::of(b"other"),
        }]);
        assert_eq!(quarantined(&case).0, None);
    }

    #[test]
    fn what_is_not_certain_or_would_restart_a_pod_that_stays_is_not_moved() {
        let mut linked = entry("x.yaml", VIP);
        linked.facts.links = 2;
        let mut odd = entry("x\u{fffd}", VIP);
        odd.exact_name = false;
        for (entry, why) in [
            (linked, "it is not a plain file with one name"),
            (odd, "its name is not plain text"),
            (entry("x.yaml", "a: ["), "no pod could be read from it"),
            (
                with_kind("x.yaml", FileKind::Symlink, 1),
                "no pod could be read from it",
            ),
            (
                entry("x.bak", SCHEDULER),
                "that would restart the pod that kube-scheduler.yaml defines too",
            ),
        ] {
            let mut case = case(vec![entry]);
            case.config.manifests.quarantine = true;
            let (mend, actual) = quarantined(&case);
            assert_eq!(mend, None);
            assert!(
                actual.ends_with(&format!("; not moved to quarantine, because {why}")),
                "{actual}"
            );
        }
    }

    #[test]
    fn links_special_files_folders_and_broken_files_are_told_by_their_rules() {
        use FolderRule::{AllParsable, NoSubfolder, PlainFiles};
        let mut hard = entry("hard.yaml", VIP);
        hard.facts.links = 2;
        let case = case(vec![
            with_kind("link.yaml", FileKind::Symlink, 1),
            with_kind("pipe", FileKind::Special, 1),
            with_kind("old", FileKind::Directory, 2),
            entry("broken.yaml", ""),
            hard,
        ]);
        let stopped = "a pod that the kubelet cannot read from its file is stopped";
        assert_eq!(
            case.judged(PlainFiles),
            [
                about(
                    "hard.yaml",
                    Verdict::Drift,
                    PlainFiles,
                    "2 hard links; it can be written by another name"
                ),
                about(
                    "link.yaml",
                    Verdict::Drift,
                    PlainFiles,
                    "a symbolic link; the kubelet follows it, and does not notice when its target changes"
                ),
                about(
                    "pipe",
                    Verdict::Drift,
                    PlainFiles,
                    "a special file; the kubelet skips it and logs an error"
                ),
            ]
        );
        assert_eq!(
            case.judged(NoSubfolder),
            [about(
                "old",
                Verdict::Drift,
                NoSubfolder,
                "a folder; the kubelet does not enter it, and logs an error every 20 seconds"
            )]
        );
        assert_eq!(
            case.judged(AllParsable),
            [
                about(
                    "broken.yaml",
                    Verdict::Drift,
                    AllParsable,
                    &format!("it is empty; {stopped}")
                ),
                about(
                    "link.yaml",
                    Verdict::Unknown,
                    AllParsable,
                    &format!("it is a symbolic link; {stopped}")
                ),
            ]
        );
    }
}
