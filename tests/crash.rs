//! `kill -9` before and after every journal record of an `apply`, on a simulated node that lives on: the node comes up, and the
//! next run completes the plan.
#![cfg(feature = "failpoints")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test touches the node from outside, starts a process to kill it, and fails loudly"
)]

mod operator;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast::adapters::lock::Held;
use holdfast::apply::{self, Result as Came};
use holdfast::domain::Component;
use holdfast::manifest::parse;
use holdfast::plan::Verdict;

use operator::{Applied, Operator, ids_with, left};
use world::{MANIFESTS, World, node_at, one_node};

const SOON: Duration = Duration::from_secs(10);
/// Where the child finds the node, and which configuration it takes.
const ROOT: &str = "HOLDFAST_CRASH_ROOT";
const CONFIG: &str = "HOLDFAST_CRASH_CONFIG";
/// Read by the journal's adapter: `before:N` or `after:N`, the Nth record that this process writes.
const FAILPOINT: &str = "HOLDFAST_FAILPOINT";

/// The audit log is allowed, with little that is kept: the machine that runs the test has room for it.
const MENDS: &str = "mode: enforce\ncontrols:\n  CIS-1.2.16: { conditional: allow }\n  CIS-1.2.17: { conditional: allow }\n  \
                     CIS-1.2.18: { conditional: allow, value: 1 }\n  CIS-1.2.19: { conditional: allow, value: 1 }\n  \
                     CIS-3.2.1: { conditional: allow }\n";
const REFUSED: &str = "mode: enforce\nrequiredFlags:\n  kube-apiserver: { max-requests-inflight: many }\n";
/// More records than any apply here writes.
const MANY: usize = 60;

#[test]
#[ignore = "the process that the other tests kill"]
fn child_apply() {
    let (Some(root), Ok(config)) = (std::env::var_os(ROOT), std::env::var(CONFIG)) else {
        return;
    };
    let node = node_at(Path::new(&root), Arc::new(Mutex::new(one_node())));
    Operator::new(node, &config).apply();
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Killed,
    Finished,
}

/// `apply` in a process of its own, which is killed at that point if it comes to it.
fn apply_until(world: &World, config: &str, point: &str) -> Ended {
    let ended = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child_apply", "--ignored", "--nocapture"])
        .env(ROOT, world.root())
        .env(CONFIG, config)
        .env(FAILPOINT, point)
        .stdout(Stdio::null())
        .status()
        .expect("this test can be started");
    match (ended.signal(), ended.success()) {
        (Some(9), _) => Ended::Killed,
        (None, true) => Ended::Finished,
        _ => panic!("{point}: the child failed: {ended}"),
    }
}

fn manifests(world: &World) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(world.root().join(MANIFESTS)).expect("it is there");
    let read = |path: PathBuf| {
        let name = path.file_name().expect("an entry").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).expect("a text"))
    };
    entries
        .map(|entry| read(entry.expect("an entry").path()))
        .collect()
}

/// Every file below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// What an apply leaves that nobody disturbs.
struct Undisturbed {
    before: BTreeMap<String, String>,
    after: BTreeMap<String, String>,
    drift: std::collections::BTreeSet<String>,
    refusals: usize,
}

/// The ports differ from world to world, so the texts are compared without them.
fn without_ports(world: &World, texts: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let plain = |text: String| {
        Component::ALL.into_iter().fold(text, |text, component| {
            text.replace(&world.port(component).to_string(), "PORT")
        })
    };
    texts
        .into_iter()
        .map(|(name, text)| (name, plain(text)))
        .collect()
}

fn undisturbed(config: &str) -> Undisturbed {
    let world = World::new();
    let before = without_ports(&world, manifests(&world));
    assert_eq!(apply_until(&world, config, "before:0"), Ended::Finished);
    let operator = Operator::new(world.node(), config);
    let looked = operator.plan();
    Undisturbed {
        before,
        after: without_ports(&world, manifests(&world)),
        drift: ids_with(&looked, Verdict::Drift),
        refusals: operator.journal().refusals.len(),
    }
}

const OUT: &str = "/etc/kubernetes/kube-apiserver.yaml.holdfast-out";

/// True when the API server's manifest is out of the folder.
fn is_out(world: &World) -> bool {
    !manifests(world).contains_key("kube-apiserver.yaml")
}

/// The manifests are whole, each the former or the new one, and nothing else lies in their folder. That of the API server may be out:
/// then its former one lies beside the folder.
fn node_is_whole(world: &World, expected: &Undisturbed, point: &str) {
    let mut now = manifests(world);
    if is_out(world) {
        let text = std::fs::read_to_string(world.path(OUT)).unwrap_or_else(|why| panic!("{point}: {why}"));
        now.insert("kube-apiserver.yaml".to_owned(), text);
    }
    for (name, text) in &now {
        let pod = parse(text.as_bytes());
        assert!(
            pod.is_ok_and(|pod| Some(pod.name.as_str()) == name.strip_suffix(".yaml")),
            "{point}: {name}"
        );
    }
    let now = without_ports(world, now);
    assert!(now.keys().eq(expected.before.keys()), "{point}: {:?}", now.keys());
    for (name, text) in &now {
        let known = [expected.before.get(name), expected.after.get(name)];
        let refused = text.contains("--max-requests-inflight=many");
        assert!(known.contains(&Some(text)) || refused, "{point}: {name}: {text}");
    }
}

fn completed(world: &World, config: &str, expected: &Undisturbed, point: &str) -> Applied {
    let operator = Operator::new(world.node(), config);
    let applied = operator.apply();
    assert!(
        world.wait_until(SOON, World::all_ready),
        "{point}: {:#?}",
        applied.outcomes
    );
    let stuck = applied
        .outcomes
        .iter()
        .any(|outcome| matches!(outcome.result, Came::Stuck { .. } | Came::Failed { .. }));
    assert!(!stuck, "{point}: {:#?}", applied.outcomes);
    assert_eq!(without_ports(world, manifests(world)), expected.after, "{point}");
    assert_eq!(ids_with(&applied.last, Verdict::Drift), expected.drift, "{point}");
    assert_eq!(applied.last.plan.changes, vec![], "{point}");
    let journal = operator.journal();
    assert_eq!(
        (journal.in_flight, journal.refusals.len()),
        (None, expected.refusals),
        "{point}"
    );
    let beside = files_below(&world.path("/etc/kubernetes")).into_iter();
    let beside: Vec<PathBuf> = beside
        .filter(|path| path.to_string_lossy().contains(".holdfast-"))
        .collect();
    assert_eq!(beside, Vec::<PathBuf>::new(), "{point}");
    let leftovers: Vec<PathBuf> = ["etc", "var/lib/holdfast", "usr/lib", "var/lib/kubelet"]
        .into_iter()
        .flat_map(|folder| files_below(&world.root().join(folder)))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'))
        })
        .collect();
    assert_eq!(leftovers, Vec::<PathBuf>::new(), "{point}");
    applied
}

/// Kills at every point of that side until the apply comes to its end; how many points there were.
fn kill_at_every_record(side: &str, config: &str, healthy_at_once: bool) -> usize {
    let expected = undisturbed(config);
    for record in 1..MANY {
        let point = format!("{side}:{record}");
        let world = World::new();
        if apply_until(&world, config, &point) == Ended::Finished {
            return record - 1;
        }
        node_is_whole(&world, &expected, &point);
        // The next run puts a manifest that is out into its folder; `recover` does so without journal and configuration.
        let recovered = is_out(&world) && record % 2 == 0;
        if recovered {
            recover(&world, &point);
        }
        if recovered || (healthy_at_once && !is_out(&world)) {
            assert!(
                world.wait_until(SOON, World::all_ready),
                "{point}: with nobody's help"
            );
        }
        completed(&world, config, &expected, &point);
        if healthy_at_once {
            let starts = Component::ALL.map(|component| world.starts(component));
            let api_server = if recovered { 3 } else { 2 };
            assert_eq!(starts, [2, 2, api_server, 1], "{point}");
        }
    }
    panic!("{MANY} records were not enough");
}

/// The command `recover`, but for its words.
fn recover(world: &World, point: &str) {
    let node = world.node();
    let held =
        Held::take(&node.here(&node.layout.run), Duration::ZERO).expect("the killed one holds it no more");
    let recovered = apply::out::recover(&node, &held);
    assert!(
        matches!(recovered.as_slice(), [one] if one.result.is_ok()),
        "{point}: {recovered:?}"
    );
    assert!(!is_out(world), "{point}");
    assert!(
        apply::out::recover(&node, &held).is_empty(),
        "{point}: once is enough"
    );
}

/// Opened, baseline, two for each of five modes, two for each of three edits; one for the draining API server, and one for its former pod
/// that is cleaned up.
const RECORDS_EDITS: usize = 2 + 2 * 5 + 2 * 3 + 2;
/// Two for each of the folders and the file of the audit log.
const RECORDS: usize = RECORDS_EDITS + 2 * 3;
/// The refused edit has five, and the one without the flag at fault four more.
const RECORDS_REFUSED: usize = RECORDS_EDITS + 5;

/// A server that ends before a look of a busy machine has neither of the two records of a bounce.
fn are_all(records: usize, most: usize) {
    assert!((most - 2..=most).contains(&records), "{records} of {most}");
}

#[test]
fn a_kill_before_any_record_of_an_apply_leaves_a_node_that_the_next_run_completes() {
    are_all(kill_at_every_record("before", MENDS, true), RECORDS);
}

#[test]
fn a_kill_after_any_record_of_an_apply_leaves_a_node_that_the_next_run_completes() {
    are_all(kill_at_every_record("after", MENDS, true), RECORDS);
}

#[test]
fn a_kill_before_any_record_of_a_refused_apply_is_undone_by_the_next_run() {
    are_all(kill_at_every_record("before", REFUSED, false), RECORDS_REFUSED);
}

#[test]
fn a_kill_after_any_record_of_a_refused_apply_is_undone_by_the_next_run() {
    are_all(kill_at_every_record("after", REFUSED, false), RECORDS_REFUSED);
}

#[test]
fn an_apply_that_nobody_kills_leaves_what_is_expected() {
    let mended = undisturbed(MENDS);
    let audit_log = |id: &str| id.starts_with("CIS-1.2.1") && id > "CIS-1.2.15" || id == "CIS-3.2.1";
    let without: BTreeSet<String> = left().into_iter().filter(|id| !audit_log(id)).collect();
    assert_eq!((mended.drift, mended.refusals), (without, 0));
    let refused = undisturbed(REFUSED);
    let mut drift = left();
    drift.insert("HF-FLAG-KUBE-APISERVER.MAX-REQUESTS-INFLIGHT".to_owned());
    assert_eq!((refused.drift, refused.refusals), (drift, 1));
}

fn journal_file(world: &World) -> PathBuf {
    let folder = world.path("/var/lib/holdfast");
    let files = files_below(&folder).into_iter();
    let mut journals = files.filter(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().contains("journal"))
    });
    journals.next().expect("there is a journal")
}

#[test]
fn a_record_that_the_power_cut_short_counts_as_not_written() {
    let expected = undisturbed(MENDS);
    for record in 2..=RECORDS {
        let point = format!("after:{record}, torn");
        let world = World::new();
        assert_eq!(
            apply_until(&world, MENDS, &format!("after:{record}")),
            Ended::Killed
        );
        let journal = journal_file(&world);
        let bytes = std::fs::read(&journal).expect("it is there");
        let last = bytes[..bytes.len() - 1]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        // At the beginning, in the middle, and just before the newline.
        let kept = match record % 3 {
            0 => last + 1,
            1 => usize::midpoint(last, bytes.len()),
            _ => bytes.len() - 1,
        };
        std::fs::write(&journal, &bytes[..kept]).expect("a file of ours");
        completed(&world, MENDS, &expected, &point);
    }
}

#[test]
fn kill_upon_kill_still_ends_at_the_same_node() {
    let expected = undisturbed(MENDS);
    let world = World::new();
    // Each run writes at most three records before it is killed: one may give up what the run before had only announced.
    let mut kills = 0;
    while apply_until(&world, MENDS, "after:3") == Ended::Killed {
        kills += 1;
        assert!(kills < MANY, "it makes no headway");
        node_is_whole(&world, &expected, "after:3");
    }
    completed(&world, MENDS, &expected, "after:3, again and again");
    assert!(kills >= 4, "{kills}");
}
