//! The next step of a change in flight, situation by situation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::in_flight::{Limits, Progress, Step, next_step};
use crate::domain::{
    BootId, Component, Digest, EntryContent, Fact, FileFacts, FileId, FileKind, FolderEntry, Health, Instant,
    KubeletFacts, Manifest, Mode, Observation, Owner, PodLog, Process, ProcessId, Reason,
};
use crate::journal::{Act, Bounce, EditedManifest, Fault, InFlight, Phase, RefusedFlag};

pub(super) const BEFORE: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-scheduler\nspec:\n  containers:\n  - name: kube-scheduler\n    \
                      image: registry.k8s.io/kube-scheduler:v1.35.4\n    command:\n    - kube-scheduler\n    - --leader-elect=true\n";
const AFTER: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-scheduler\nspec:\n  containers:\n  - name: kube-scheduler\n    \
                     image: registry.k8s.io/kube-scheduler:v1.35.4\n    command:\n    - kube-scheduler\n    - --leader-elect=true\n    - --profiling=false\n";
const PATH: &str = "/etc/kubernetes/manifests/kube-scheduler.yaml";
const LIMITS: Limits = Limits {
    deadline: Duration::from_secs(120),
    out_at_most: Duration::from_secs(40),
    at_once: false,
};

pub(super) fn at(second: u64) -> Instant {
    Instant {
        wall: jiff::Timestamp::from_second(i64::try_from(second).unwrap()).unwrap(),
        boot: BootId("boot".to_owned()),
        since_boot_ms: second * 1000,
    }
}

pub(super) fn facts() -> FileFacts {
    FileFacts {
        id: FileId { device: 1, inode: 1 },
        kind: FileKind::Regular,
        mode: Mode::from_bits(0o600),
        owner: Owner::ROOT,
        links: 1,
        size: 1,
        modified_ns: 0,
    }
}

pub(super) fn process(pid: i32, flags: &[&str], pod: &str) -> Process {
    Process {
        id: ProcessId { pid, start_ticks: 7 },
        argv: std::iter::once("kube-scheduler")
            .chain(flags.iter().copied())
            .map(str::to_owned)
            .collect(),
        uid: 0,
        age_ms: 1_000_000,
        pod_uid: Some(pod.to_owned()),
    }
}

pub(super) fn old() -> Process {
    process(10, &["--leader-elect=true"], "old")
}

fn new() -> Process {
    process(20, &["--leader-elect=true", "--profiling=false"], "new")
}

/// A node on which that manifest lies and those processes run.
pub(super) fn node(text: &str, processes: Vec<Process>, health: Health) -> Observation {
    let pod = crate::manifest::parse(text.as_bytes()).unwrap();
    let digest = Digest::of(text.as_bytes());
    let content = EntryContent::Pod {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        digest,
    };
    let entry = FolderEntry {
        name: "kube-scheduler.yaml".to_owned(),
        exact_name: true,
        facts: facts(),
        content,
        let_in: Fact::Absent,
    };
    let manifest = Manifest {
        path: PATH.parse().unwrap(),
        text: text.to_owned(),
        digest,
        facts: facts(),
        pod,
    };
    Observation {
        files: BTreeMap::new(),
        listings: BTreeMap::new(),
        manifest_folder: Fact::Known(vec![entry]),
        manifests: BTreeMap::from([(Component::Scheduler, Fact::Known(manifest))]),
        processes: BTreeMap::from([(Component::Scheduler, Fact::Known(processes))]),
        health: BTreeMap::from([(Component::Scheduler, Fact::Known(health))]),
        pod_logs: BTreeMap::from([(Component::Scheduler, Fact::Known(vec![]))]),
        pod_cgroups: BTreeSet::new(),
        documents: BTreeMap::new(),
        free_space: BTreeMap::new(),
        asked_kubelet: crate::domain::AskedKubelet::default(),
        stale_tokens: Fact::unknown("it was not asked"),
        anonymous_grants: Fact::unknown("it was not asked"),
        oidc_authority: Fact::unknown("it was not looked at"),
        external_ips: Fact::unknown("it was not asked"),
        beyond_baseline: Fact::unknown("it was not asked"),
        kubelets: Fact::unknown("it was not asked"),
        cluster: None,
        host: crate::domain::HostFacts::default(),
        certificates: BTreeMap::new(),
        first_provider: Fact::Absent,
        kubelet: KubeletFacts {
            process: Fact::Known(process(5, &[], "none")),
            static_pod_path: Fact::Absent,
            config_file: Fact::Absent,
            config: Fact::Absent,
            drop_ins: Fact::Absent,
            drop_in_folder: Fact::Absent,
            client_ca_file: Fact::Absent,
        },
        kubeadm: Fact::Known(vec![]),
        control_plane: Fact::Absent,
        accounts: BTreeMap::new(),
        readers: Fact::unknown("it was not looked at"),
    }
}

fn edit(touches_encryption: bool) -> Act {
    Act::EditManifest(EditedManifest {
        component: Component::Scheduler,
        path: PATH.parse().unwrap(),
        before: Digest::of(BEFORE.as_bytes()),
        after: Digest::of(AFTER.as_bytes()),
        backup: "/var/lib/holdfast/backups/x.yaml".parse().unwrap(),
        image: "registry.k8s.io/kube-scheduler:v1.35.4".to_owned(),
        processes: vec![old().id],
        pods: vec!["old".to_owned()],
        flags: vec![RefusedFlag {
            name: "profiling".parse().unwrap(),
            value: "false".to_owned(),
        }],
        touches_encryption,
        bounce: None,
    })
}

fn fault(why: &str) -> Fault {
    Fault {
        why: why.to_owned(),
        last_words: vec![],
        flag: None,
    }
}

fn step_of(act: Act, phase: Phase, observation: &Observation, now: &Instant) -> Step {
    let begun = InFlight {
        change: Digest::of(b"c"),
        controls: vec![],
        act: act.clone(),
        phase,
        since: at(1000),
        draining: None,
        cleaned_up: None,
        removed: None,
    };
    let Progress {
        change,
        act: same,
        step,
    } = next_step(&begun, observation, LIMITS, now);
    assert_eq!((change, same), (begun.change, act));
    step
}

fn started(observation: &Observation, second: u64) -> Step {
    step_of(edit(false), Phase::Started, observation, &at(second))
}

fn log(pod: &str, restart: u32, line: &str) -> PodLog {
    PodLog {
        pod_uid: pod.to_owned(),
        restart,
        modified_ns: at(1010).wall.as_nanosecond(),
        lines: vec![line.to_owned()],
    }
}

fn with_logs(mut observation: Observation, logs: Vec<PodLog>) -> Observation {
    observation
        .pod_logs
        .insert(Component::Scheduler, Fact::Known(logs));
    observation
}

pub(super) fn failing() -> Health {
    Health::Failing(Reason::new("connection refused"))
}

#[test]
fn a_new_process_with_the_new_arguments_that_is_healthy_finishes_the_change() {
    assert_eq!(started(&node(AFTER, vec![new()], Health::Ok), 1010), Step::Finish);
}

#[test]
fn health_that_the_old_process_answers_finishes_nothing() {
    for processes in [vec![old()], vec![old(), new()], vec![]] {
        assert!(matches!(
            started(&node(AFTER, processes, Health::Ok), 1010),
            Step::Wait { .. }
        ));
    }
    // Neither does a new process that runs with other arguments.
    let other = process(30, &["--leader-elect=true"], "new");
    assert!(matches!(
        started(&node(AFTER, vec![other], Health::Ok), 1010),
        Step::Wait { .. }
    ));
}

#[test]
fn an_intent_whose_effect_did_not_happen_is_given_up_and_planned_anew() {
    let why = "it had not happened yet, or someone else has undone it".to_owned();
    assert_eq!(
        started(&node(BEFORE, vec![old()], Health::Ok), 1010),
        Step::Abandon { why }
    );
}

#[test]
fn a_manifest_that_someone_else_wrote_or_took_away_is_left_alone() {
    let other = AFTER.replace("leader-elect=true", "leader-elect=false");
    assert!(matches!(
        started(&node(&other, vec![new()], Health::Ok), 1010),
        Step::Abandon { .. }
    ));
    let mut gone = node(AFTER, vec![new()], Health::Ok);
    gone.manifest_folder = Fact::Known(vec![]);
    assert!(matches!(started(&gone, 1010), Step::Abandon { .. }));
    let undoing = Phase::Undoing(fault("x"));
    assert!(matches!(
        step_of(edit(false), undoing, &gone, &at(1010)),
        Step::Abandon { .. }
    ));
}

#[test]
fn what_is_not_healthy_within_the_deadline_is_undone() {
    let sick = node(AFTER, vec![new()], failing());
    assert!(matches!(started(&sick, 1119), Step::Wait { .. }));
    let Step::Undo(fault) = started(&sick, 1120) else {
        panic!("not undone")
    };
    assert_eq!(
        fault.why,
        "waited 120 s for kube-scheduler to answer for its health (connection refused)"
    );
}

#[test]
fn a_component_that_ends_again_and_again_is_not_waited_for() {
    let once = with_logs(
        node(AFTER, vec![], failing()),
        vec![log("new", 0, "E1124 something is wrong")],
    );
    assert!(matches!(started(&once, 1010), Step::Wait { .. }));
    let twice = with_logs(
        node(AFTER, vec![], failing()),
        vec![log("new", 2, "E1124 something is wrong")],
    );
    assert!(matches!(started(&twice, 1010), Step::Undo(_)));
    // The log of the pod before says nothing of the new one.
    let of_old = with_logs(
        node(AFTER, vec![], failing()),
        vec![log("old", 7, "E1124 something is wrong")],
    );
    assert!(matches!(started(&of_old, 1010), Step::Wait { .. }));
}

#[test]
fn the_deadline_counts_while_the_kubelet_runs_and_from_a_boot_on() {
    let mut young = node(AFTER, vec![old()], Health::Ok);
    young.kubelet.process = Fact::Known(Process {
        age_ms: 5_000,
        ..process(5, &[], "none")
    });
    assert!(matches!(started(&young, 1200), Step::Wait { .. }));
    young.kubelet.process = Fact::Absent;
    assert_eq!(
        started(&young, 1200),
        Step::Wait {
            why: "the kubelet is not running".to_owned()
        }
    );
    // But not for ever: after twice the deadline the former content goes back.
    assert!(matches!(started(&young, 1240), Step::Undo(_)));
    let rebooted = Instant {
        boot: BootId("next".to_owned()),
        since_boot_ms: 20_000,
        ..at(5000)
    };
    let starting = node(AFTER, vec![], failing());
    assert!(matches!(
        step_of(edit(false), Phase::Started, &starting, &rebooted),
        Step::Wait { .. }
    ));
}

#[test]
fn a_former_manifest_with_other_encryption_goes_back_only_if_nothing_was_written() {
    let act = || edit(true);
    let never_ran = node(AFTER, vec![], failing());
    assert!(matches!(
        step_of(act(), Phase::Started, &never_ran, &at(2000)),
        Step::Undo(_)
    ));
    let runs = node(AFTER, vec![new()], failing());
    assert!(matches!(
        step_of(act(), Phase::Started, &runs, &at(2000)),
        Step::Stuck { .. }
    ));
    let ran = with_logs(
        node(AFTER, vec![], failing()),
        vec![log("new", 0, "I1124 serving")],
    );
    assert!(matches!(
        step_of(act(), Phase::Started, &ran, &at(2000)),
        Step::Stuck { .. }
    ));
}

#[test]
fn an_undo_puts_back_waits_for_health_and_ends_as_a_refusal() {
    let undoing = |observation: &Observation, second| {
        step_of(edit(false), Phase::Undoing(fault("x")), observation, &at(second))
    };
    assert_eq!(undoing(&node(AFTER, vec![new()], failing()), 1010), Step::PutBack);
    assert!(matches!(
        undoing(&node(BEFORE, vec![], failing()), 1010),
        Step::Wait { .. }
    ));
    let back = node(
        BEFORE,
        vec![process(40, &["--leader-elect=true"], "old")],
        Health::Ok,
    );
    assert_eq!(
        undoing(&back, 1010),
        Step::Refuse {
            fault: fault("x"),
            recovered: true
        }
    );
    let lost = node(BEFORE, vec![], failing());
    assert_eq!(
        undoing(&lost, 1120),
        Step::Refuse {
            fault: fault("x"),
            recovered: false
        }
    );
}

#[test]
fn a_mode_is_decided_by_what_the_file_has_now() {
    let (from, to) = (Mode::from_bits(0o644), Mode::from_bits(0o600));
    let path: crate::domain::NodePath = "/etc/kubernetes/admin.conf".parse().unwrap();
    let step = |fact: Fact<FileFacts>| {
        let mut observation = node(BEFORE, vec![], Health::Ok);
        observation.files.insert(path.clone(), fact);
        step_of(
            Act::SetMode {
                path: path.clone(),
                from,
                to,
            },
            Phase::Started,
            &observation,
            &at(1010),
        )
    };
    assert_eq!(step(Fact::Known(FileFacts { mode: to, ..facts() })), Step::Finish);
    for fact in [
        Fact::Known(FileFacts {
            mode: from,
            ..facts()
        }),
        Fact::Known(FileFacts {
            mode: Mode::from_bits(0o666),
            ..facts()
        }),
        Fact::Absent,
        Fact::unknown("x"),
    ] {
        assert!(matches!(step(fact), Step::Abandon { .. }));
    }
}

const OUT: &str = "/etc/kubernetes/kube-scheduler.yaml.holdfast-out";

/// A manifest that is out of its folder, with those processes.
fn out(processes: Vec<Process>, health: Health) -> Observation {
    let mut observation = node(BEFORE, processes, health);
    observation.manifest_folder = Fact::Known(vec![]);
    let manifest = observation.manifests.get_mut(&Component::Scheduler).unwrap();
    *manifest = manifest.as_ref().map(|manifest| Manifest {
        path: OUT.parse().unwrap(),
        ..manifest.clone()
    });
    observation
        .files
        .insert(OUT.parse().unwrap(), Fact::Known(facts()));
    observation.pod_cgroups = BTreeSet::from(["old".to_owned()]);
    observation
}

/// The next step of a change that takes the manifest out, begun at 1000, draining since that second if at all, and, where the cgroup is
/// gone, without it for a second.
fn bounced(observation: &Observation, draining: Option<u64>, phase: Phase, second: u64) -> Step {
    let Act::EditManifest(edit) = edit(false) else {
        unreachable!("it is an edit")
    };
    let bounce = Bounce {
        out: OUT.parse().unwrap(),
        staged: "/etc/kubernetes/kube-scheduler.yaml.holdfast-new"
            .parse()
            .unwrap(),
        drain_ms: 1000,
    };
    let begun = InFlight {
        change: Digest::of(b"c"),
        controls: vec![],
        act: Act::EditManifest(EditedManifest {
            bounce: Some(bounce),
            ..edit
        }),
        phase,
        since: at(1000),
        draining: draining.map(at),
        cleaned_up: Some(at(second - 1)),
        removed: None,
    };
    next_step(&begun, observation, LIMITS, &at(second)).step
}

fn closed() -> Health {
    Health::Closed(Reason::new("nothing listens there"))
}

#[test]
fn a_process_that_is_out_is_ended_only_after_it_has_stopped_listening_and_drained() {
    let step =
        |health, draining, second| bounced(&out(vec![old()], health), draining, Phase::Started, second);
    for still_there in [Health::Ok, failing()] {
        assert!(matches!(step(still_there, None, 1005), Step::Wait { .. }));
    }
    assert_eq!(step(closed(), None, 1001), Step::Drain);
    assert!(matches!(step(closed(), Some(1001), 1001), Step::Wait { .. }));
    assert_eq!(step(closed(), Some(1001), 1002), Step::End(vec![old().id]));
}

#[test]
fn a_process_whose_new_manifest_came_in_early_is_ended_early_all_the_same() {
    let step = |processes, health, draining, second| {
        bounced(&node(AFTER, processes, health), draining, Phase::Started, second)
    };
    assert_eq!(step(vec![old()], closed(), None, 1005), Step::Drain);
    assert!(matches!(
        step(vec![old()], closed(), Some(1005), 1005),
        Step::Wait { .. }
    ));
    assert_eq!(
        step(vec![old()], closed(), Some(1005), 1006),
        Step::End(vec![old().id])
    );
    // It listens: the kubelet has not begun to end it, or it was not ending at all.
    for draining in [None, Some(1005)] {
        assert!(matches!(
            step(vec![old()], Health::Ok, draining, 1006),
            Step::Wait { .. }
        ));
    }
    // The new one may not listen yet.
    assert!(matches!(
        step(vec![], closed(), Some(1005), 1006),
        Step::Wait { .. }
    ));
}

#[test]
fn the_manifest_comes_in_when_the_kubelet_has_cleaned_up_and_at_the_latest_when_patience_ends() {
    let mut gone = out(vec![], closed());
    assert!(matches!(
        bounced(&gone, Some(1001), Phase::Started, 1003),
        Step::Wait { .. }
    ));
    assert_eq!(bounced(&gone, Some(1001), Phase::Started, 1012), Step::PutIn);
    gone.pod_cgroups.clear();
    assert_eq!(bounced(&gone, Some(1001), Phase::Started, 1003), Step::PutIn);
    let stays = out(vec![old()], Health::Ok);
    assert_eq!(bounced(&stays, None, Phase::Started, 1040), Step::PutIn);
    let mut without_kubelet = out(vec![old()], Health::Ok);
    without_kubelet.kubelet.process = Fact::Absent;
    assert_eq!(bounced(&without_kubelet, None, Phase::Started, 1001), Step::PutIn);
}

#[test]
fn a_manifest_that_is_out_is_brought_in_whatever_was_done_to_it_there() {
    // Edited where it lies, and no longer readable as a manifest.
    let mut edited = out(vec![], closed());
    edited
        .manifests
        .insert(Component::Scheduler, Fact::unknown("line 3: no YAML"));
    edited.pod_cgroups.clear();
    assert_eq!(bounced(&edited, Some(1001), Phase::Started, 1003), Step::PutIn);
    assert_eq!(
        bounced(&edited, None, Phase::Undoing(fault("it did not answer")), 1003),
        Step::PutBack
    );
    // Not to be looked at for a moment: waited for, but not for ever.
    let mut unknown = out(vec![], closed());
    unknown
        .files
        .insert(OUT.parse().unwrap(), Fact::unknown("Input/output error"));
    assert!(matches!(
        bounced(&unknown, Some(1001), Phase::Started, 1003),
        Step::Wait { .. }
    ));
    assert_eq!(bounced(&unknown, Some(1001), Phase::Started, 1040), Step::PutIn);
    // Taken from there by somebody, after our own record that it was out.
    let mut gone = out(vec![], closed());
    gone.files.insert(OUT.parse().unwrap(), Fact::Absent);
    assert_eq!(bounced(&gone, Some(1001), Phase::Started, 1003), Step::PutIn);
}

#[test]
fn an_undo_finds_the_manifest_out_and_a_manifest_that_someone_else_took_is_not_ours() {
    let gone = out(vec![], closed());
    assert_eq!(
        bounced(&gone, None, Phase::Undoing(fault("it did not answer")), 1003),
        Step::PutBack
    );
    let mut taken = gone;
    taken.files.insert(OUT.parse().unwrap(), Fact::Absent);
    for phase in [Phase::Started, Phase::Undoing(fault("it did not answer"))] {
        assert!(matches!(bounced(&taken, None, phase, 1003), Step::Abandon { .. }));
    }
}
