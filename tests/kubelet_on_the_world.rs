//! The kubelet's configuration file is mended on a simulated node: one edit, one restart, proven or undone, and through a kill at each record.
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

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use holdfast::apply::Result as Came;
use holdfast::domain::Component;
use holdfast::journal::Act;

use operator::{Operator, changed_lines, withheld};
use world::{World, node_at, one_node};

const FILE: &str = "/var/lib/kubelet/config.yaml";
/// All else is off: each of its restarts would take its time.
const MENDS: &str = "mode: enforce\ncontrols:\n  CIS-4.2.12: { conditional: allow }\n  CIS-4.2.14: { conditional: allow }\n  \
                     CIS-1.2.15: { mode: off }\n  CIS-1.3.2: { mode: off }\n  CIS-1.4.1: { mode: off }\n";
const ADDED: [&str; 6] = [
    "+tlsCipherSuites:",
    "+- TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "+- TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "+- TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "+- TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "+seccompDefault: true",
];
const ROOT: &str = "HOLDFAST_CRASH_ROOT";
/// Read by the journal's adapter: `before:N` or `after:N`, the Nth record that this process writes.
const FAILPOINT: &str = "HOLDFAST_FAILPOINT";

fn text(world: &World) -> String {
    std::fs::read_to_string(world.path(FILE)).expect("it is there")
}

fn is_edit(act: &Act) -> bool {
    matches!(act, Act::EditKubelet(_))
}

#[test]
fn one_edit_restarts_the_kubelet_once_and_no_component() {
    let world = World::new();
    let before = text(&world);
    let operator = Operator::new(world.node(), MENDS);
    let applied = operator.apply();
    assert_eq!(changed_lines(&before, &text(&world)), ADDED);
    assert_eq!(world.kubelet_starts(), 2, "{:#?}", applied.outcomes);
    assert_eq!(Component::ALL.map(|component| world.starts(component)), [1; 4]);
    assert!(
        applied.last.plan.changes.is_empty(),
        "{:#?}",
        applied.last.plan.changes
    );
    let journal = operator.journal();
    assert_eq!(journal.finished.iter().filter(|(act, _)| is_edit(act)).count(), 1);
    // What nobody allowed, or nothing here allows, stays as it is.
    let kinds = withheld(&applied.last);
    assert!(
        kinds
            .get("CIS-4.2.11")
            .is_some_and(|kinds| kinds.contains("needs-operator")),
        "{kinds:?}"
    );
}

#[test]
fn a_kubelet_that_does_not_bear_its_file_gets_the_former_one_back_and_is_not_tried_again() {
    let world = World::new();
    world.kubelet_refuses(Some(|text| text.contains("seccompDefault: true")));
    let before = text(&world);
    let config = format!("{MENDS}disruption: {{ deadline: 10s }}\n");
    let operator = Operator::new(world.node(), &config);
    let applied = operator.apply();
    assert_eq!(text(&world), before);
    let is_refused = |result: &Came| matches!(result, Came::Refused { .. });
    let mut results = applied.outcomes.iter().map(|outcome| outcome.result.clone());
    let Some(Came::Refused { fault, recovered, .. }) = results.find(is_refused) else {
        panic!("{:#?}", applied.outcomes)
    };
    let why = fault.why;
    assert!(
        why.contains("the kubelet to run") && why.contains("journalctl -u kubelet"),
        "{why}"
    );
    assert!(recovered, "it runs with the former file: {why}");
    assert_eq!(operator.journal().refusals.len(), 1);
    let kinds = withheld(&operator.plan());
    assert!(
        kinds
            .get("CIS-4.2.14")
            .is_some_and(|kinds| kinds.contains("refused")),
        "{kinds:?}"
    );
    assert!(world.all_ready(), "its pods run on");
}

#[test]
#[ignore = "the process that the other tests kill"]
fn child_apply() {
    let Some(root) = std::env::var_os(ROOT) else {
        return;
    };
    let node = node_at(Path::new(&root), Arc::new(Mutex::new(one_node())));
    Operator::new(node, MENDS).apply();
}

/// True when it was killed at that point.
fn is_killed(world: &World, point: &str) -> bool {
    let ended = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child_apply", "--ignored", "--nocapture"])
        .env(ROOT, world.root())
        .env(FAILPOINT, point)
        .stdout(Stdio::null())
        .status()
        .expect("this test can be started");
    match (ended.signal(), ended.success()) {
        (Some(9), _) => true,
        (None, true) => false,
        _ => panic!("{point}: the child failed: {ended}"),
    }
}

/// Opened, baseline, two for each of five modes, and three for the edit: the intent, the restart, the end.
const RECORDS: usize = 2 + 2 * 5 + 3;

#[test]
fn a_kill_before_or_after_any_record_of_the_edit_leaves_a_node_that_the_next_run_completes() {
    // The records of the modes are those of every apply.
    let points: Vec<String> = (RECORDS - 2..=RECORDS)
        .flat_map(|record| ["before", "after"].map(|side| format!("{side}:{record}")))
        .collect();
    std::thread::scope(|scope| {
        for point in &points {
            scope.spawn(move || {
                let world = World::new();
                let before = text(&world);
                assert!(is_killed(&world, point), "{point}");
                let operator = Operator::new(world.node(), MENDS);
                let applied = operator.apply();
                assert_eq!(changed_lines(&before, &text(&world)), ADDED, "{point}");
                // Killed behind the restart and before its record, it is restarted once more.
                let starts = if *point == format!("before:{}", RECORDS - 1) {
                    3
                } else {
                    2
                };
                assert_eq!(world.kubelet_starts(), starts, "{point}: {:#?}", applied.outcomes);
                let journal = operator.journal();
                assert_eq!((journal.in_flight, journal.refusals.len()), (None, 0), "{point}");
                assert!(world.all_ready(), "{point}");
            });
        }
    });
}

#[test]
fn the_number_of_records_is_the_one_that_is_killed_at() {
    let world = World::new();
    assert!(!is_killed(&world, &format!("before:{}", RECORDS + 1)));
}
