//! The edit of the kubelet's file, situation by situation, and each step of one that is in flight.

use std::collections::BTreeMap;

use super::super::change::Plan;
use super::super::fixtures::{fresh_node, path, planned};
use super::super::in_flight_tests::at;
use super::*;
use crate::domain::{AskedKubelet, ConfigLayer, Pair, PairFacts, Process, ProcessId, Reason};
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
        kernel_defaults: Fact::Known(vec!["kernel.panic is 0, and must be 10".to_owned()]),
    };
    node
}

fn plan(config: &str, node: &Observation) -> Plan {
    planned(config, node, &JournalState::default(), &BTreeMap::new())
}

/// The plan after the node has refused that change.
fn plan_after_refusal(config: &str, node: &Observation, change: Digest) -> Plan {
    let refusal = Refusal {
        change,
        act: Act::EditKubelet(edit()),
        fault: fault(),
        recovered: true,
        at: at(1),
    };
    let journal = JournalState {
        refusals: vec![refusal],
        ..JournalState::default()
    };
    planned(config, node, &journal, &BTreeMap::new())
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
        "+enableProfilingHandler: false",
        "+enableDebugFlagsHandler: false",
    ] {
        assert!(lines.contains(&line.to_owned()), "{line}: {lines:#?}");
    }
    assert!(lines.iter().all(|line| line.starts_with('+')), "{lines:#?}");
}

#[test]
fn what_would_be_too_few_is_left_out_of_the_edit() {
    let mut node = node(TEXT);
    node.asked_kubelet.most_pids = Fact::Known(4_096);
    let first = plan(ALLOWED, &node);
    assert_eq!(
        why_not(&first, "CIS-4.2.13"),
        "not-ready: a pod of this node has 4096 processes now, and could have 4096 at most"
    );
    let (_, lines) = edited(&first);
    assert!(lines.contains(&"+seccompDefault: true".to_owned()));
    assert!(!lines.iter().any(|line| line.contains("podPidsLimit")));
    for unknown in [Fact::Absent, Fact::unknown("EIO")] {
        node.asked_kubelet.most_pids = unknown;
        assert!(why_not(&plan(ALLOWED, &node), "CIS-4.2.13").starts_with("not-ready: "));
    }
}

#[test]
fn the_kubelet_leaves_kernel_parameters_alone_once_the_host_sets_them() {
    let mut node = node(TEXT);
    assert_eq!(
        why_not(&plan(ALLOWED, &node), "X-KUBELET-01"),
        "not-ready: the host does not set at boot what the kubelet would no longer set: kernel.panic is 0, and must be 10 (/etc/sysctl.d)"
    );
    node.asked_kubelet.kernel_defaults = Fact::Known(Vec::new());
    let (_, lines) = edited(&plan(ALLOWED, &node));
    assert!(
        lines.contains(&"+protectKernelDefaults: true".to_owned()),
        "{lines:#?}"
    );
    node.asked_kubelet.kernel_defaults = Fact::unknown("EIO");
    assert_eq!(why_not(&plan(ALLOWED, &node), "X-KUBELET-01"), "not-ready: EIO");
}

/// A kubelet that verifies no client certificate must not be told to refuse the anonymous: the API server would be one of them.
#[test]
fn the_api_server_stays_known_to_the_kubelet() {
    let open = TEXT
        .replace("    enabled: false", "    enabled: true")
        .replace("  mode: Webhook", "  mode: AlwaysAllow");
    let mut node = node(&open);
    let (_, lines) = edited(&plan("mode: enforce\n", &node));
    assert!(
        lines.contains(&"+    enabled: false".to_owned()) && lines.contains(&"+  mode: Webhook".to_owned())
    );
    node.files
        .insert(path("/etc/kubernetes/pki/ca.crt"), Fact::Absent);
    let blind = plan("mode: enforce\n", &node);
    for control in ["CIS-4.2.1", "CIS-4.2.2"] {
        assert!(
            why_not(&blind, control).contains("would refuse the API server"),
            "{control}"
        );
    }
}

#[test]
fn the_authority_for_clients_comes_back_if_the_api_servers_certificate_is_by_it_and_a_url_of_pods_goes() {
    let open = TEXT
        .replace("  x509:\n    clientCAFile: /etc/kubernetes/pki/ca.crt\n", "")
        .replace("    enabled: false", "    enabled: true")
        + "staticPodURL: http://192.0.2.9/pods\n";
    let with = |issued: Fact<bool>| {
        let mut node = node(&open);
        node.kubelet.client_ca_file = Fact::Absent;
        let pair = Pair {
            object: "kube-apiserver --kubelet-client-certificate".to_owned(),
            wanted: Vec::new(),
            authority: Fact::Absent,
            tokens: false,
            found: Fact::Known(PairFacts {
                subject: "CN=kube-apiserver-kubelet-client".to_owned(),
                fits: true,
                issued,
                lacks: Vec::new(),
                names: Vec::new(),
            }),
        };
        node.host.pairs_to_be = Fact::Known([(None, vec![pair])].into());
        plan("mode: enforce\n", &node)
    };
    let (_, lines) = {
        let plan = with(Fact::Known(true));
        let (change, lines) = edited(&plan);
        (change.id, lines)
    };
    assert_eq!(
        lines,
        [
            "-    enabled: true",
            "+    enabled: false",
            "+  x509:",
            "+    clientCAFile: /etc/kubernetes/pki/ca.crt",
            "-staticPodURL: http://192.0.2.9/pods",
            "+staticPodURL: \"\"",
        ]
    );
    for unproven in [Fact::Known(false), Fact::Absent, Fact::unknown("not read")] {
        let plan = with(unproven);
        for control in ["CIS-4.2.1", "CIS-4.2.3"] {
            let why = why_not(&plan, control);
            assert!(why.starts_with("not-ready: "), "{control}: {why}");
        }
        let (_, lines) = edited(&plan);
        assert!(
            lines.iter().all(|line| line.contains("staticPodURL")),
            "{lines:?}"
        );
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
    assert_eq!(
        why_not(&plan_after_refusal(ALLOWED, &fine, change.id), "CIS-4.2.14"),
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
    }
}

/// The next step, so many seconds after systemd was asked to restart the kubelet, if it was.
fn step(
    phase: Phase,
    restarted: Option<u64>,
    text: Fact<&str>,
    process: Fact<Process>,
    health: Health,
) -> Step {
    step_at(
        phase,
        restarted.map(|seconds| at(1_000 - seconds)),
        text,
        process,
        health,
    )
}

fn step_at(
    phase: Phase,
    draining: Option<Instant>,
    text: Fact<&str>,
    process: Fact<Process>,
    health: Health,
) -> Step {
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
        draining,
        cleaned_up: None,
        removed: None,
    };
    let limits = Limits::of(Duration::from_secs(60), false, false);
    next(&edit(), &in_flight, &node, limits, &at(1_000))
}

fn aged(age_ms: u64) -> Fact<Process> {
    Fact::Known(process(5_000, age_ms, &[]))
}

fn is_wait(step: &Step, what: &str) -> bool {
    matches!(step, Step::Wait { why } if why.contains(what))
}

fn failing() -> Health {
    Health::Failing(Reason::new("it answered 500"))
}

#[test]
fn a_kubelet_is_restarted_by_us_and_must_have_run_healthy_for_a_while() {
    let started =
        |restarted, process, health| step(Phase::Started, restarted, Fact::Known("after"), process, health);
    // Whoever else restarted it, and when, is not asked: it may have read the former file.
    for age in [500, 20_000, 3_600_000] {
        assert_eq!(started(None, aged(age), Health::Ok), Step::RestartKubelet);
    }
    assert!(is_wait(
        &started(Some(1), aged(3_600_000), Health::Ok),
        "the former kubelet to end"
    ));
    assert!(is_wait(
        &started(Some(2), Fact::Absent, failing()),
        "the kubelet to run"
    ));
    assert!(is_wait(
        &started(Some(3), aged(900), failing()),
        "it answered 500"
    ));
    assert!(is_wait(
        &started(Some(12), aged(9_999), Health::Ok),
        "healthy for 10 s"
    ));
    assert_eq!(started(Some(13), aged(10_000), Health::Ok), Step::Finish);
    // systemd did not do it.
    assert!(is_wait(
        &started(Some(29), aged(3_600_000), Health::Ok),
        "former kubelet"
    ));
    assert_eq!(
        started(Some(30), aged(3_600_000), Health::Ok),
        Step::RestartKubelet
    );
    // One that ends again and again never becomes old.
    assert!(
        matches!(started(Some(70), aged(3_000), Health::Ok), Step::Undo(fault) if fault.why.contains("waited 70 s"))
    );
    assert!(matches!(
        started(Some(70), Fact::Absent, failing()),
        Step::Undo(_)
    ));
    assert!(matches!(
        started(Some(70), aged(3_600_000), Health::Ok),
        Step::Undo(_)
    ));
    assert!(matches!(
        started(Some(70), aged(20_000), failing()),
        Step::Undo(_)
    ));
}

#[test]
fn what_was_undone_must_run_healthy_with_the_former_file() {
    let undoing =
        |restarted, text, process, health| step(Phase::Undoing(fault()), restarted, text, process, health);
    let back = || Fact::Known("before");
    assert_eq!(
        undoing(None, Fact::Known("after"), aged(1), Health::Ok),
        Step::PutBack
    );
    // However long ago the undoing was begun, and whatever runs.
    for process in [aged(5_000), aged(3_600_000), Fact::Absent] {
        assert_eq!(undoing(None, back(), process, failing()), Step::RestartKubelet);
    }
    assert!(is_wait(
        &undoing(Some(3), back(), Fact::Absent, failing()),
        "the kubelet to run"
    ));
    assert!(is_wait(
        &undoing(Some(9), back(), aged(8_000), Health::Ok),
        "healthy for 10 s"
    ));
    let refused = |recovered| Step::Refuse {
        fault: fault(),
        recovered,
    };
    assert_eq!(undoing(Some(15), back(), aged(12_000), Health::Ok), refused(true));
    assert_eq!(undoing(Some(90), back(), aged(80_000), Health::Ok), refused(true));
    assert_eq!(undoing(Some(70), back(), Fact::Absent, failing()), refused(false));
}

#[test]
fn a_boot_is_a_restart_whose_deadline_comes_too() {
    let before = Instant {
        boot: crate::domain::BootId("another".to_owned()),
        since_boot_ms: 7_000_000,
        ..at(900)
    };
    let after_boot = |process, health| {
        step_at(
            Phase::Started,
            Some(before.clone()),
            Fact::Known("after"),
            process,
            health,
        )
    };
    // The node was booted 1,000 s ago, and its kubelet does not run.
    assert!(matches!(after_boot(Fact::Absent, failing()), Step::Undo(_)));
    assert_eq!(after_boot(aged(990_000), Health::Ok), Step::Finish);
}

#[test]
fn a_file_of_somebody_else_is_left_alone_and_one_that_cannot_be_read_is_not_given_up() {
    for phase in [Phase::Started, Phase::Undoing(fault())] {
        for text in [Fact::Known("theirs"), Fact::Absent] {
            let step = step(phase.clone(), None, text, aged(1), Health::Ok);
            assert!(
                matches!(&step, Step::Abandon { why } if why.contains("someone else")),
                "{step:?}"
            );
        }
        // The phase was begun 900 s ago.
        let unread = step(phase.clone(), None, Fact::unknown("EIO"), aged(1), Health::Ok);
        assert!(
            matches!(&unread, Step::Stuck { why } if why.contains("EIO")),
            "{unread:?}"
        );
    }
    let undone = step(Phase::Started, None, Fact::Known("before"), aged(1), Health::Ok);
    assert!(matches!(undone, Step::Abandon { .. }));
}

#[test]
fn what_needs_nobodys_word_is_not_held_up_by_what_was_refused_with_it() {
    let open = TEXT.replace("    enabled: false", "    enabled: true");
    let node = node(&open);
    let all = plan(ALLOWED, &node);
    let (change, _) = edited(&all);
    let again = plan_after_refusal(ALLOWED, &node, change.id);
    let (_, lines) = edited(&again);
    assert_eq!(lines, ["-    enabled: true", "+    enabled: false"]);
    assert!(why_not(&again, "CIS-4.2.14").starts_with("refused: "));
}
