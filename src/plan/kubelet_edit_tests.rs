//! The edit of the kubelet's file, situation by situation, and each step of one that is in flight.

use std::collections::BTreeMap;

use super::super::build::build;
use super::super::change::Plan;
use super::super::fixtures::{fresh_node, path};
use super::super::in_flight_tests::at;
use super::super::judge::{JudgeContext, judge};
use super::super::select::select;
use super::*;
use crate::config;
use crate::domain::{AskedKubelet, ConfigLayer, Layout, Process, ProcessId, Reason};
use crate::journal::{JournalState, Refusal};
use crate::manifest::unified_diff;

const FILE: &str = "/var/lib/kubelet/config.yaml";
const TEXT: &str = include_str!("../../tests/world/kubeadm/kubelet-config.yaml");
const ALLOWED: &str = "mode: enforce\nconditional: allow\n";
const OLD: i32 = 4_000;

fn process(pid: i32, age_ms: u64, more: &[&str]) -> Process {
    let argv = ["/usr/bin/kubelet", "--config=/var/lib/kubelet/config.yaml"];
    Process {
        id: ProcessId { pid, start_ticks: 9 },
        argv: argv.iter().chain(more).map(|word| (*word).to_owned()).collect(),
        uid: 0,
        age_ms,
        pod_uid: None,
    }
}

/// A node whose kubelet runs with that file.
fn node(text: &str) -> Observation {
    let mut node = fresh_node();
    node.kubelet.process = Fact::Known(process(OLD, 3_600_000, &[]));
    node.kubelet.config_file = Fact::Known(path(FILE));
    node.kubelet.config = Fact::Known(ConfigLayer {
        path: path(FILE),
        modified_ns: 0,
        document: serde_yaml::from_str(text).unwrap(),
    });
    node.kubelet.drop_ins = Fact::Known(Vec::new());
    node.asked_kubelet = AskedKubelet {
        text: Fact::Known(text.to_owned()),
        health: Fact::Known(Health::Ok),
        most_pids: Fact::Known(120),
        kernel: KERNEL
            .iter()
            .map(|(name, value)| (*name, Fact::Known((*value).to_owned())))
            .collect(),
    };
    node
}

fn plan_by(config: &str, node: &Observation, journal: &JournalState, asked: bool) -> Plan {
    let config = config::parse(config).unwrap();
    let selected = select(&config).unwrap();
    let context = JudgeContext {
        config: &config,
        layout: &Layout::kubeadm(),
        baseline: Some(&[]),
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let findings = judge(&selected, node, &context);
    let circumstances = Circumstances {
        config: &config,
        journal,
        now: at(10_000),
        asked,
        any_time: false,
        failed: &BTreeMap::new(),
        retry: false,
        settling: false,
        endangered: false,
        paused: None,
    };
    build(&selected, &findings, node, &circumstances)
}

fn plan(config: &str, node: &Observation) -> Plan {
    plan_by(config, node, &JournalState::default(), false)
}

/// The edit of a plan, and the lines that it changes.
fn edited(plan: &Plan) -> (&Change, Vec<String>) {
    let edits = plan.changes.iter().filter_map(|change| match &change.deed {
        Deed::EditKubelet(edit) => Some((change, unified_diff("c", &edit.before, &edit.after))),
        Deed::SetMode { .. }
        | Deed::SetOwner { .. }
        | Deed::EditManifest(_)
        | Deed::Bounce(_)
        | Deed::MakeFolder { .. }
        | Deed::Install { .. }
        | Deed::Quarantine { .. } => None,
    });
    let edits: Vec<_> = edits.collect();
    let [(change, diff)] = edits.as_slice() else {
        panic!("one edit restarts it once: {:?}", plan.withheld)
    };
    let lines = diff.lines().skip(2).filter(|line| line.starts_with(['+', '-']));
    (change, lines.map(str::to_owned).collect())
}

fn why_not(plan: &Plan, control: &str) -> String {
    let is_it = |held: &&Withheld| held.controls.iter().any(|id| id.as_str() == control);
    let held = plan
        .withheld
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("{plan:#?}"));
    format!("{}: {}", held.reason.kind(), held.reason)
}

#[test]
fn what_is_wrong_in_the_file_is_mended_in_it_and_what_needs_consent_waits_for_that() {
    let open = TEXT
        .replace(
            "  anonymous:\n    enabled: false",
            "  anonymous:\n    enabled: true",
        )
        .replace("rotateCertificates: true\n", "readOnlyPort: 10255\n");
    let first = plan("mode: enforce\n", &node(&open));
    let (change, lines) = edited(&first);
    assert_eq!(
        lines,
        [
            "-    enabled: true",
            "+    enabled: false",
            "-readOnlyPort: 10255",
            "+readOnlyPort: 0",
            "+rotateCertificates: true",
        ]
    );
    let ids: Vec<&str> = change.controls.iter().map(ControlId::as_str).collect();
    assert_eq!(ids, ["CIS-4.2.1", "CIS-4.2.4", "CIS-4.2.10"]);
    for control in [
        "CIS-4.2.9",
        "CIS-4.2.12",
        "CIS-4.2.13",
        "CIS-4.2.14",
        "X-KUBELET-01",
        "X-KUBELET-04",
    ] {
        assert!(
            why_not(&first, control).starts_with("needs-operator: "),
            "{control}"
        );
    }
    let allowed = plan(ALLOWED, &node(TEXT));
    let (_, lines) = edited(&allowed);
    for line in [
        "+serverTLSBootstrap: true",
        "+- TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "+podPidsLimit: 4096",
        "+seccompDefault: true",
        "+protectKernelDefaults: true",
        "+enableProfilingHandler: false",
        "+enableDebugFlagsHandler: false",
    ] {
        assert!(lines.contains(&line.to_owned()), "{line}: {lines:#?}");
    }
    assert!(lines.iter().all(|line| line.starts_with('+')), "{lines:#?}");
}

#[test]
fn what_would_not_start_or_would_be_too_few_is_left_out_of_the_edit() {
    let mut node = node(TEXT);
    node.asked_kubelet.most_pids = Fact::Known(4_096);
    node.asked_kubelet
        .kernel
        .insert("kernel.panic", Fact::Known("0".to_owned()));
    let plan = plan(ALLOWED, &node);
    assert_eq!(
        why_not(&plan, "CIS-4.2.13"),
        "not-ready: a pod of this node has 4096 processes now, and could have 4096 at most"
    );
    assert!(why_not(&plan, "X-KUBELET-01").ends_with("would not start: kernel.panic is 0, not 10"));
    let (_, lines) = edited(&plan);
    assert!(lines.contains(&"+seccompDefault: true".to_owned()));
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("podPidsLimit") || line.contains("protectKernel"))
    );
    node.asked_kubelet.most_pids = Fact::Absent;
    node.asked_kubelet.kernel.clear();
    for control in ["CIS-4.2.13", "X-KUBELET-01"] {
        assert!(why_not(&super::tests::plan(ALLOWED, &node), control).starts_with("not-ready: "));
    }
}

#[test]
fn what_a_flag_or_a_drop_in_decides_is_not_mended_in_the_file() {
    let mut node = node(TEXT);
    node.kubelet.process = Fact::Known(process(OLD, 3_600_000, &["--read-only-port=10255"]));
    let why = why_not(&plan(ALLOWED, &node), "CIS-4.2.4");
    assert!(
        why.starts_with("needs-operator: ") && why.contains("no flag"),
        "{why}"
    );
    node.kubelet.drop_ins = Fact::Known(vec![ConfigLayer {
        path: path("/etc/kubelet.d/10.conf"),
        modified_ns: 0,
        document: serde_yaml::from_str("podPidsLimit: -1").unwrap(),
    }]);
    assert!(why_not(&plan(ALLOWED, &node), "CIS-4.2.13").starts_with("needs-operator: "));
}

#[test]
fn nothing_is_edited_while_it_could_not_be_proven_or_was_refused_before() {
    let why = |node: &Observation| why_not(&plan(ALLOWED, node), "CIS-4.2.14");
    let mut sick = node(TEXT);
    sick.asked_kubelet.health = Fact::Known(Health::Failing(Reason::new("it answered 500")));
    assert_eq!(
        why(&sick),
        "unhealthy: it restarts a component, and the node is not healthy: the kubelet: it answered 500"
    );
    sick.asked_kubelet.health = Fact::Absent;
    assert!(why(&sick).contains("healthzPort: 0"));
    let mut down = node(TEXT);
    down.kubelet.process = Fact::Absent;
    assert!(why(&down).starts_with("kubelet-down: "));
    let mut flow = node(TEXT);
    flow.asked_kubelet.text = Fact::Known(format!("{TEXT}...\n"));
    assert!(why(&flow).starts_with("not-editable: ") && why(&flow).contains("by hand"));
    let fine = node(TEXT);
    let allowed = plan(ALLOWED, &fine);
    let (change, _) = edited(&allowed);
    let journal = JournalState {
        refusals: vec![Refusal {
            change: change.id,
            act: Act::EditKubelet(edit()),
            fault: fault(),
            recovered: true,
            at: at(1),
        }],
        ..JournalState::default()
    };
    assert_eq!(
        why_not(&plan_by(ALLOWED, &fine, &journal, true), "CIS-4.2.14"),
        "refused: the node refused it: it ended"
    );
}

fn fault() -> Fault {
    Fault {
        why: "it ended".to_owned(),
        last_words: Vec::new(),
        flag: None,
    }
}

fn edit() -> EditedKubelet {
    EditedKubelet {
        path: path(FILE),
        before: Digest::of(b"before"),
        after: Digest::of(b"after"),
        backup: path("/var/lib/holdfast/backups/x"),
        process: ProcessId {
            pid: OLD,
            start_ticks: 9,
        },
    }
}

/// The next step, `seconds` after the phase was begun.
fn step(phase: Phase, seconds: u64, text: Fact<&str>, process: Fact<Process>, health: Health) -> Step {
    let mut node = node(TEXT);
    node.kubelet.process = process;
    node.asked_kubelet.text = text.map(str::to_owned);
    node.asked_kubelet.health = Fact::Known(health);
    let in_flight = InFlight {
        change: Digest::of(b"x"),
        controls: Vec::new(),
        act: Act::EditKubelet(edit()),
        phase,
        since: at(100),
        draining: None,
        cleaned_up: None,
    };
    let limits = Limits {
        deadline: Duration::from_secs(60),
    };
    next(&edit(), &in_flight, &node, limits, &at(100 + seconds))
}

fn new(age_ms: u64) -> Fact<Process> {
    Fact::Known(process(5_000, age_ms, &[]))
}

fn is_wait(step: &Step, what: &str) -> bool {
    matches!(step, Step::Wait { why } if why.contains(what))
}

#[test]
fn a_kubelet_is_restarted_and_must_have_run_healthy_for_a_while() {
    let started =
        |seconds, process, health| step(Phase::Started, seconds, Fact::Known("after"), process, health);
    let old = || Fact::Known(process(OLD, 3_600_000, &[]));
    let failing = || Health::Failing(Reason::new("it answered 500"));
    assert_eq!(started(1, old(), Health::Ok), Step::RestartKubelet);
    assert!(is_wait(
        &started(2, Fact::Absent, failing()),
        "the kubelet to run"
    ));
    assert!(is_wait(&started(2, new(900), failing()), "it answered 500"));
    assert!(is_wait(
        &started(9, new(9_999), Health::Ok),
        "run healthy for 10 s"
    ));
    assert_eq!(started(10, new(10_000), Health::Ok), Step::Finish);
    // One that ends again and again never becomes old.
    assert!(
        matches!(started(70, new(3_000), Health::Ok), Step::Undo(fault) if fault.why.contains("waited 70 s"))
    );
    assert!(matches!(started(70, Fact::Absent, failing()), Step::Undo(_)));
    assert!(
        matches!(started(70, old(), Health::Ok), Step::Undo(fault) if fault.why.contains("not restarted"))
    );
    assert!(matches!(started(70, new(10_000), failing()), Step::Undo(_)));
}

#[test]
fn what_was_undone_must_run_healthy_with_the_former_file() {
    let undoing =
        |seconds, text, process, health| step(Phase::Undoing(fault()), seconds, text, process, health);
    let back = Fact::Known("before");
    assert_eq!(
        undoing(0, Fact::Known("after"), new(1), Health::Ok),
        Step::PutBack
    );
    // It was started before the former file was back.
    assert_eq!(
        undoing(3, back.clone(), new(5_000), Health::Ok),
        Step::RestartKubelet
    );
    assert_eq!(
        undoing(3, back.clone(), Fact::Absent, Health::Ok),
        Step::RestartKubelet
    );
    assert!(is_wait(
        &undoing(9, back.clone(), new(8_000), Health::Ok),
        "run healthy for 10 s"
    ));
    let refused = |recovered| Step::Refuse {
        fault: fault(),
        recovered,
    };
    assert_eq!(undoing(15, back.clone(), new(12_000), Health::Ok), refused(true));
    assert_eq!(undoing(70, back, Fact::Absent, Health::Ok), refused(false));
}

#[test]
fn a_file_of_somebody_else_is_left_alone() {
    for phase in [Phase::Started, Phase::Undoing(fault())] {
        for text in [Fact::Known("theirs"), Fact::Absent] {
            let step = step(phase.clone(), 1, text, new(1), Health::Ok);
            assert!(
                matches!(&step, Step::Abandon { why } if why.contains("someone else")),
                "{step:?}"
            );
        }
        let unread = step(phase.clone(), 1, Fact::unknown("EIO"), new(1), Health::Ok);
        assert!(is_wait(&unread, "EIO"));
    }
    let undone = step(Phase::Started, 1, Fact::Known("before"), new(1), Health::Ok);
    assert!(matches!(undone, Step::Abandon { .. }));
}
