//! The manifests folder, rule by rule.

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
        let remedy = match rule {
            FolderRule::NoUnknownManifest | FolderRule::NoDuplicatePod => Remedy::Quarantine,
            FolderRule::PlainFiles => Remedy::InPart("something"),
            FolderRule::NoSubfolder | FolderRule::AllParsable => Remedy::ReportOnly("something"),
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
        twin: None,
    };
    assert_eq!(quarantined(&case).0, Some(mend));
    case.baseline = Some(vec![KnownManifest {
        name: "x.yaml".to_owned(),
        digest: Digest::of(b"other"),
    }]);
    assert_eq!(quarantined(&case).0, None);
}

#[test]
fn what_is_not_certain_is_not_moved() {
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

/// What would be moved of the folder by that rule, and beside which component's manifest.
fn moved(case: &Case, rule: FolderRule) -> Vec<(String, Option<String>)> {
    let mends = case.judged(rule).into_iter().filter_map(|piece| piece.mend);
    mends
        .map(|mend| {
            let Mend::Quarantine { path, twin, .. } = mend else {
                panic!("{mend:?}")
            };
            let twin = twin.map(|twin| twin.file_name().to_owned());
            (path.file_name().to_owned(), twin)
        })
        .collect()
}

#[test]
fn a_copy_of_a_components_manifest_is_moved_by_both_rules_and_the_real_one_named() {
    let mut case = case(vec![entry("kube-scheduler.yaml.bak", SCHEDULER)]);
    for rule in [FolderRule::NoUnknownManifest, FolderRule::NoDuplicatePod] {
        case.config.manifests.quarantine = false;
        assert_eq!(moved(&case, rule), []);
        case.config.manifests.quarantine = true;
        let (copy, real) = ("kube-scheduler.yaml.bak", "kube-scheduler.yaml");
        assert_eq!(moved(&case, rule), [(copy.to_owned(), Some(real.to_owned()))]);
    }
    // What lay there at the first start is known as a file, and a copy nevertheless; what the operator names stays.
    case.baseline = None;
    assert_eq!(moved(&case, FolderRule::NoUnknownManifest), []);
    assert_eq!(moved(&case, FolderRule::NoDuplicatePod).len(), 1);
    case.config
        .manifests
        .known
        .push("kube-scheduler.yaml.bak".to_owned());
    assert_eq!(moved(&case, FolderRule::NoDuplicatePod), []);
    let told = &case.judged(FolderRule::NoDuplicatePod)[0].actual;
    assert!(
        told.ends_with("because it stands under manifests.known"),
        "{told}"
    );
}

#[test]
fn of_two_files_that_are_both_a_components_or_neither_none_is_moved() {
    let rule = FolderRule::NoDuplicatePod;
    let mut neither = case(vec![entry("a.yaml", VIP), entry("b.yaml", VIP)]);
    neither.config.manifests.quarantine = true;
    assert_eq!(moved(&neither, rule), []);
    let told = &neither.judged(rule)[0].actual;
    assert!(told.ends_with("the pod that a.yaml defines too"), "{told}");
    assert_eq!(moved(&neither, FolderRule::NoUnknownManifest), []);

    let mut both = case(vec![]);
    both.config.manifests.quarantine = true;
    edit_folder(&mut both.node, |folder| {
        folder.retain(|old| old.name != "etcd.yaml");
        folder.push(entry("etcd.yaml", SCHEDULER));
    });
    assert_eq!(moved(&both, rule), []);
    let told = &both.judged(rule)[0].actual;
    assert!(told.contains("bears a component's name"), "{told}");

    // The scheduler's file defines another component's pod: which of the two is real is anybody's guess.
    let mut odd = case(vec![entry("copy.yaml", SCHEDULER)]);
    odd.config.manifests.quarantine = true;
    edit_folder(&mut odd.node, |folder| {
        folder.retain(|old| old.name != "kube-scheduler.yaml" && old.name != "etcd.yaml");
        folder.push(entry("etcd.yaml", SCHEDULER));
    });
    assert_eq!(moved(&odd, rule), []);
}

#[test]
fn special_bits_and_what_an_access_control_list_gives_are_taken_from_a_plain_file() {
    let rule = FolderRule::PlainFiles;
    let with = |mode: u32, links: u64, let_in: Fact<Vec<String>>| {
        let mut vip = entry("kube-vip.yaml", VIP);
        vip.facts.mode = Mode::from_bits(mode);
        vip.facts.links = links;
        vip.let_in = let_in;
        case(vec![vip]).judged(rule)
    };
    let none = || Fact::Known(Vec::new());
    let taken = |evidence: &[Evidence]| -> Vec<Option<(Mode, Mode)>> {
        let of = |piece: &Evidence| {
            let mend = piece.mend.as_ref()?;
            let Mend::Mode { from, ceiling, .. } = mend else {
                panic!("{mend:?}")
            };
            Some((*from, from.tightened_to(*ceiling)))
        };
        evidence.iter().map(of).collect()
    };
    let to = |from, to| Some((Mode::from_bits(from), Mode::from_bits(to)));
    assert_eq!(with(0o640, 1, none())[0].verdict, Verdict::Pass);
    assert_eq!(taken(&with(0o4640, 1, none())), [to(0o4640, 0o640)]);
    assert_eq!(taken(&with(0o1640, 1, none())), [to(0o1640, 0o640)]);
    let further = || Fact::Known(vec!["user 1000 (r--)".to_owned()]);
    let told = with(0o640, 1, further());
    assert_eq!(told[0].actual, "an access control list lets in user 1000 (r--)");
    assert_eq!(taken(&told), [to(0o640, 0o600)]);
    assert_eq!(
        taken(&with(0o2660, 1, further())),
        [to(0o2660, 0o660), to(0o2660, 0o2600)]
    );
    // A second name is told, and then nothing of the file is changed.
    assert_eq!(taken(&with(0o4640, 2, further())), [None, None, None]);
    let unread = with(0o600, 1, Fact::unknown("cannot read it"));
    assert_eq!(unread[0].verdict, Verdict::Unknown);
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
