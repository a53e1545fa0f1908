//! Manifests that nobody should have written: each is told with its file and place, none is written, and no other control is
//! held up. What looks unusual and is understood for certain is edited like any other.

use std::fs::hard_link;
use std::os::unix::fs::symlink;

use holdfast::plan::Verdict;
use holdfast::reconcile::Looked;

use super::operator::{Operator, changed_lines, ids_with, left};
use super::world::{MANIFESTS, World};
use super::{SCHEDULER, SOON, read, set_mode, starts};

/// What the file is made of, how it is told, and the place that is named.
type Case = (&'static str, fn(&str) -> Vec<u8>, &'static str);

fn before_first_flag(text: &str, lines: &str) -> String {
    let first = "    - kube-scheduler\n";
    text.replace(first, &format!("{first}{lines}"))
}

fn as_json(text: &str) -> String {
    let value: serde_json::Value = serde_yaml::from_str(text).expect("kubeadm's");
    serde_json::to_string_pretty(&value).expect("JSON")
}

const NOT_UNDERSTOOD: [Case; 18] = [
    ("empty", |_| Vec::new(), "it is empty"),
    ("comments alone", |_| b"# later\n".to_vec(), "it is empty"),
    (
        "binary",
        |_| b"\x7fELF\x02\x01\x01\x00\x00".to_vec(),
        "it is not text",
    ),
    (
        "not UTF-8",
        |text| [text.as_bytes(), b"# caf\xe9\n"].concat(),
        "it is not text",
    ),
    (
        "over 256 KiB",
        |text| format!("{text}{}", "# filled\n".repeat(40_000)).into_bytes(),
        "at most 262144 are read",
    ),
    ("no YAML", |_| b"apiVersion: v1\nkind: [\n".to_vec(), "line "),
    (
        "cut short",
        |text| text.as_bytes()[..text.len() / 3].to_vec(),
        "it is no",
    ),
    (
        "several documents",
        |text| format!("{text}---\n{text}").into_bytes(),
        "several YAML documents",
    ),
    (
        "indented by a tab",
        |text| {
            text.replace("    - kube-scheduler\n", "\t- kube-scheduler\n")
                .into_bytes()
        },
        "line 12, column 1",
    ),
    (
        "a byte order mark",
        |text| format!("\u{feff}{text}").into_bytes(),
        "line 1, column 1",
    ),
    (
        "a key twice",
        |text| {
            text.replace("spec:\n", "spec:\n  hostNetwork: false\n")
                .into_bytes()
        },
        "hostNetwork",
    ),
    (
        "another kind",
        |text| text.replace("kind: Pod", "kind: Deployment").into_bytes(),
        "kind is Deployment",
    ),
    (
        "a merge key",
        |text| {
            text.replace("status: {}\n", "x: &x {a: 1}\nstatus:\n  <<: *x\n")
                .into_bytes()
        },
        "merge key (<<) (line ",
    ),
    (
        "a command in flow style",
        |text| {
            let (head, rest) = text.split_once("  - command:\n").expect("kubeadm's");
            let (_, tail) = rest.split_once("    image:").expect("kubeadm's");
            let command = "  - command: [kube-scheduler, --leader-elect=true]\n    image:";
            format!("{head}{command}{tail}").into_bytes()
        },
        "(line 11)",
    ),
    (
        "a command that a shell starts",
        |text| {
            let (head, rest) = text.split_once("  - command:\n").expect("kubeadm's");
            let (_, tail) = rest.split_once("    image:").expect("kubeadm's");
            let command =
                "  - command:\n    - sh\n    - -c\n    - exec kube-scheduler --leader-elect=true\n    image:";
            format!("{head}{command}{tail}").into_bytes()
        },
        "a shell (sh) starts it",
    ),
    (
        "a word that is no flag",
        |text| before_first_flag(text, "    - serve\n").into_bytes(),
        "\"serve\" is no flag",
    ),
    (
        "a variable in a flag",
        |text| before_first_flag(text, "    - --v=$(LEVEL)\n").into_bytes(),
        "the variable in --v=$(LEVEL)",
    ),
    (
        "two containers of that name",
        |text| {
            let (head, rest) = text.split_once("  - command:\n").expect("kubeadm's");
            let (container, tail) = rest.split_once("  hostNetwork:").expect("kubeadm's");
            format!("{head}  - command:\n{container}  - command:\n{container}  hostNetwork:{tail}")
                .into_bytes()
        },
        "2 of the pod's containers",
    ),
];

/// All that a look tells of drifts, doubts and what is withheld.
fn told(looked: &Looked) -> Vec<String> {
    let findings = looked.findings.iter().flat_map(|finding| {
        let pieces = finding
            .evidence
            .iter()
            .filter(|piece| piece.verdict >= Verdict::Unknown);
        pieces.map(|piece| format!("{}: {}: {}", finding.id(), piece.object, piece.actual))
    });
    let withheld = looked
        .plan
        .withheld
        .iter()
        .map(|held| format!("{}: {}", held.object, held.reason));
    findings.chain(withheld).collect()
}

/// The row that the scheduler's manifest fails stays; what needs no other manifest is mended.
fn others_went_on(world: &World, looked: &Looked, name: &str) {
    let drift = ids_with(looked, Verdict::Drift);
    for id in ["CIS-1.2.15", "CIS-1.3.2", "CIS-4.1.1", "CIS-4.1.9"] {
        assert!(
            !drift.contains(id),
            "{name}: {id} was held up: {:#?}",
            told(looked)
        );
    }
    let [_, controller_manager, api_server, etcd] = starts(world);
    assert_eq!([controller_manager, api_server, etcd], [2, 2, 1], "{name}");
}

#[test]
fn a_manifest_that_is_not_understood_is_told_with_its_place_and_never_written() {
    for (name, make, place) in NOT_UNDERSTOOD {
        let world = World::new();
        let bytes = make(&world.original_manifest(SCHEDULER));
        let manifest = world.manifest(SCHEDULER);
        std::fs::write(&manifest, &bytes).expect("a file of ours");
        set_mode(&world, "/etc/kubernetes/manifests/kube-scheduler.yaml", 0o600);
        let applied = Operator::new(world.node(), "mode: enforce\n").apply();
        assert!(
            std::fs::read(&manifest).expect("it is there") == bytes,
            "{name}: it was written"
        );
        others_went_on(&world, &applied.last, name);
        let told = told(&applied.last);
        assert!(
            told.iter()
                .any(|line| line.contains("kube-scheduler") && line.contains(place)),
            "{name}: {place}: {told:#?}"
        );
        let held = ids_with(&applied.last, Verdict::Drift);
        let unknown = ids_with(&applied.last, Verdict::Unknown);
        assert!(
            held.contains("CIS-1.4.1") || unknown.contains("CIS-1.4.1"),
            "{name}: never a pass"
        );
    }
}

/// What the file is made of, and the lines that an edit changes.
type Understood = (&'static str, fn(&str) -> String, &'static [&'static str]);

const SECOND_CONTAINER: &str = "a second container of another name";

const UNDERSTOOD: [Understood; 7] = [
    (
        "flags in args",
        |text| text.replace("    - kube-scheduler\n", "    - kube-scheduler\n    args:\n"),
        &["+    - --profiling=false"],
    ),
    (
        "a flag twice",
        |text| before_first_flag(text, "    - --profiling=false\n    - --profiling=true\n"),
        &["-    - --profiling=true"],
    ),
    (
        "the value on a line of its own",
        |text| before_first_flag(text, "    - --v\n    - \"2\"\n"),
        &["+    - --profiling=false"],
    ),
    (
        "CRLF",
        |text| text.replace('\n', "\r\n"),
        &["+    - --profiling=false"],
    ),
    (
        SECOND_CONTAINER,
        |text| {
            text.replace(
                "  hostNetwork:",
                "  - name: side\n    image: side\n    command: [side]\n  hostNetwork:",
            )
        },
        &["+    - --profiling=false"],
    ),
    (
        "an anchor elsewhere",
        |text| {
            text.replace(
                "    tier: control-plane",
                "    tier: &tier control-plane\n    again: *tier",
            )
        },
        &["+    - --profiling=false"],
    ),
    (
        "no newline at the end",
        |text| text.trim_end().to_owned(),
        &["+    - --profiling=false"],
    ),
];

#[test]
fn an_unusual_manifest_that_is_understood_is_edited_exactly() {
    for (name, make, lines) in UNDERSTOOD {
        let world = World::new();
        let text = make(&world.original_manifest(SCHEDULER));
        assert_ne!(text, world.original_manifest(SCHEDULER), "{name}");
        world.replace(&world.manifest(SCHEDULER), &text);
        let uid = world.running(SCHEDULER).map(|running| running.uid);
        // Not every change of the text is one of the pod: the kubelet tells within two of its lists.
        let settled = world.wait_until(std::time::Duration::from_millis(900), |world| {
            world.running(SCHEDULER).map(|running| running.uid) != uid && world.all_ready()
        });
        let applied = Operator::new(world.node(), "mode: enforce\n").apply();
        let now = read(&world, SCHEDULER);
        let line_ends = |text: &str| (text.contains("\r\n"), text.replace("\r\n", "").contains('\n'));
        assert_eq!(line_ends(&now), line_ends(&text), "{name}");
        assert_eq!(
            changed_lines(&text, &now),
            lines,
            "{name} ({settled}): {:#?}",
            told(&applied.last)
        );
        let mut drifts = left();
        if name == SECOND_CONTAINER {
            // It is edited as any other, and told: kubeadm makes no such pod.
            drifts.insert("X-API-12".to_owned());
        }
        assert_eq!(ids_with(&applied.last, Verdict::Drift), drifts, "{name}");
        assert!(world.all_ready(), "{name}");
    }
}

#[test]
fn a_json_manifest_is_edited_or_told() {
    let world = World::new();
    let text = as_json(&world.original_manifest(SCHEDULER));
    world.replace(&world.manifest(SCHEDULER), &text);
    let applied = Operator::new(world.node(), "mode: enforce\n").apply();
    others_went_on(&world, &applied.last, "JSON");
    assert_eq!(read(&world, SCHEDULER), text);
    let told = told(&applied.last);
    assert!(
        told.iter()
            .any(|line| line.contains("kube-scheduler") && line.contains("line ")),
        "{told:#?}"
    );
}

#[test]
fn a_linked_manifest_is_told_and_not_written_through() {
    for hard in [false, true] {
        let name = if hard { "hard link" } else { "symlink" };
        let world = World::new();
        let (manifest, elsewhere) = (world.manifest(SCHEDULER), world.path("/root/scheduler.yaml"));
        let text = read(&world, SCHEDULER);
        if hard {
            hard_link(&manifest, &elsewhere).expect("the same file system");
        } else {
            std::fs::rename(&manifest, &elsewhere).expect("the same file system");
            symlink(&elsewhere, &manifest).expect("it is free");
        }
        let applied = Operator::new(world.node(), "mode: enforce\n").apply();
        others_went_on(&world, &applied.last, name);
        assert_eq!(
            std::fs::read_to_string(&elsewhere).expect("it is there"),
            text,
            "{name}"
        );
        let drift = ids_with(&applied.last, Verdict::Drift);
        assert!(drift.contains("X-FILE-07"), "{name}: {:#?}", told(&applied.last));
        let is_link = std::fs::symlink_metadata(&manifest)
            .expect("it is there")
            .file_type()
            .is_symlink();
        assert_eq!(is_link, !hard, "{name}: it is what it was");
    }
}

#[test]
fn a_missing_manifest_is_not_made_up() {
    let world = World::new();
    let manifest = world.manifest(SCHEDULER);
    std::fs::remove_file(&manifest).expect("a file of ours");
    assert!(world.wait_until(SOON, |world| world.running(SCHEDULER).is_none()));
    let applied = Operator::new(world.node(), "mode: enforce\n").apply();
    others_went_on(&world, &applied.last, "missing");
    assert!(!manifest.exists());
    assert!(
        !ids_with(&applied.last, Verdict::Pass).contains("CIS-1.4.1"),
        "never a pass"
    );
}

#[test]
fn a_copy_a_subfolder_and_a_stray_file_are_told_as_what_they_are() {
    let world = World::new();
    let folder = world.root().join(MANIFESTS);
    let operator = Operator::new(world.node(), "mode: enforce\n");
    operator.apply();
    std::fs::write(folder.join("kube-scheduler.yaml.bak"), read(&world, SCHEDULER))
        .expect("the folder is writable");
    std::fs::create_dir(folder.join("old")).expect("the folder is writable");
    std::fs::write(folder.join("notes.txt"), "remember\n").expect("the folder is writable");
    let applied = operator.apply();
    let told = told(&applied.last);
    for (id, file) in [
        ("X-FILE-03", "kube-scheduler.yaml.bak"),
        ("HF-FOLDER-1", "old"),
        ("HF-FOLDER-2", "notes.txt"),
    ] {
        assert!(
            told.iter()
                .any(|line| line.starts_with(id) && line.contains(file)),
            "{id}: {told:#?}"
        );
    }
    for name in ["kube-scheduler.yaml.bak", "old", "notes.txt"] {
        assert!(folder.join(name).exists(), "{name}: only reported");
    }
}

#[test]
fn without_a_manifests_folder_nothing_passes_and_the_modes_are_mended() {
    let world = World::new();
    let folder = world.root().join(MANIFESTS);
    std::fs::rename(&folder, world.path("/root/manifests")).expect("the same file system");
    std::fs::write(&folder, "no folder\n").expect("it is free");
    let applied = Operator::new(world.node(), "mode: enforce\n").apply();
    let (drift, pass) = (
        ids_with(&applied.last, Verdict::Drift),
        ids_with(&applied.last, Verdict::Pass),
    );
    for id in ["CIS-1.2.15", "CIS-1.3.2", "CIS-1.4.1", "X-FILE-02", "HF-FOLDER-2"] {
        assert!(!pass.contains(id), "{id}: {:#?}", told(&applied.last));
    }
    assert!(
        !drift.contains("CIS-4.1.1") && !drift.contains("CIS-4.1.9"),
        "{drift:?}"
    );
}

#[test]
fn a_manifest_that_changes_while_it_is_read_is_seen_whole_or_not_at_all() {
    let world = World::new();
    let manifest = world.manifest(SCHEDULER);
    let text = read(&world, SCHEDULER);
    let other = text.replace("--leader-elect=true", "--leader-elect=false");
    let operator = Operator::new(world.node(), "");
    let ending = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ending.load(std::sync::atomic::Ordering::Relaxed) {
                for text in [&text, &other] {
                    // In place, as a careless editor does it.
                    std::fs::write(&manifest, text).expect("a file of ours");
                }
            }
        });
        for _ in 0..50 {
            let looked = operator.check();
            if let Some(seen) = looked.observation.manifests[&SCHEDULER].known() {
                assert!(seen.text == text || seen.text == other, "torn: {}", seen.text);
            }
        }
        ending.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
