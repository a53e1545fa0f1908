//! Bounces on a simulated node: of each component, with a kubelet that goes away, of a process that does not end, and refused.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test touches the node from outside, and fails loudly"
)]

mod operator;
mod world;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use holdfast::adapters::cluster::{Cluster as _, KubeadmCluster};
use holdfast::apply::Result as Came;
use holdfast::domain::{Component, ControlPlane, EtcdState, Fact};
use holdfast::observe::{Request, observe};
use holdfast::plan::WithheldReason;

use operator::Operator;
use world::container_runtime::Manner;
use world::{NODE_NAME, Options, What, World};

const SOON: Duration = Duration::from_secs(10);
const AUDIT: &str = "mode: audit\n";

/// All that makes a file what it is. A bounce renames: it stays the same file, so its inode stays, too.
fn file(path: &Path) -> (Vec<u8>, u64, u32, u32, u32, i64) {
    let facts = std::fs::metadata(path).expect("it is there");
    let content = std::fs::read(path).expect("it can be read");
    (
        content,
        facts.ino(),
        facts.mode(),
        facts.uid(),
        facts.gid(),
        facts.mtime(),
    )
}

fn pids(world: &World) -> [Option<i32>; 4] {
    Component::ALL.map(|component| world.running(component).map(|running| running.pid))
}

/// What lies in kubeadm's folder beside its own files.
fn beside(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.path("/etc/kubernetes")).expect("it is there");
    entries
        .map(|entry| {
            let name = entry.expect("an entry").file_name();
            name.to_string_lossy().into_owned()
        })
        .filter(|name| name.contains(".holdfast-"))
        .collect()
}

#[test]
fn each_component_is_restarted_exactly_once_and_nothing_else_changes() {
    for component in Component::ALL {
        let world = World::new();
        let manifest = world.manifest(component);
        let (before, running) = (file(&manifest), pids(&world));
        let ended = Operator::new(world.node(), AUDIT)
            .bounce(component)
            .expect("a healthy node");
        assert_eq!(ended.result, Came::Made, "{component}");
        assert_eq!(file(&manifest), before, "{component}");
        assert_eq!(beside(&world), Vec::<String>::new(), "{component}");
        assert!(world.wait_until(SOON, World::all_ready), "{component}");
        let now = pids(&world);
        for (of, (before, now)) in Component::ALL.into_iter().zip(running.iter().zip(&now)) {
            assert_eq!(of != component, before == now, "bounce of {component}: {of}");
            assert_eq!(
                world.starts(of),
                if of == component { 2 } else { 1 },
                "bounce of {component}: {of}"
            );
        }
        let backups = std::fs::read_dir(world.path("/var/lib/holdfast/backups")).expect("a copy is kept");
        let copies: Vec<Vec<u8>> = backups
            .map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a copy"))
            .collect();
        assert_eq!(copies, [before.0], "{component}");
    }
}

#[test]
fn a_second_bounce_is_as_good_as_the_first() {
    let world = World::new();
    let operator = Operator::new(world.node(), AUDIT);
    for starts in [2, 3] {
        let ended = operator.bounce(Component::ApiServer).expect("a healthy node");
        assert_eq!(
            (ended.result, world.starts(Component::ApiServer)),
            (Came::Made, starts)
        );
    }
}

/// Three bounces in a row; how many ended containers the kubelet took for crashes, how many the runtime was asked to remove, and the
/// names of the logs that are left.
fn three_bounces(options: Options) -> (u32, usize, Vec<String>) {
    let world = World::with(options);
    let operator = Operator::new(world.node(), AUDIT);
    for starts in [2, 3, 4] {
        let ended = operator.bounce(Component::ApiServer).expect("a healthy node");
        assert_eq!(
            (ended.result, world.starts(Component::ApiServer)),
            (Came::Made, starts)
        );
    }
    let uid = world.running(Component::ApiServer).expect("it runs").uid;
    let folder = format!("/var/log/pods/kube-system_kube-apiserver-{NODE_NAME}_{uid}/kube-apiserver");
    let entries = std::fs::read_dir(world.path(&folder)).expect("its logs");
    let names = entries.map(|entry| {
        entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned()
    });
    (
        world.counted_crashes(),
        world.removed_containers().len(),
        names.collect(),
    )
}

#[test]
fn a_container_that_the_kubelet_leaves_behind_goes_with_its_log_and_is_not_counted_as_a_crash() {
    let left = Options {
        leaves_containers: true,
        ..Options::default()
    };
    assert_eq!(three_bounces(left), (0, 3, vec!["0.log".to_owned()]));
}

#[test]
fn a_container_that_the_kubelet_removes_is_not_counted_before_it_knows_that() {
    // In its own time: it looks at its runtime once a second.
    let slow = Options {
        time_scale: 1.0,
        ..Options::default()
    };
    assert_eq!(three_bounces(slow), (0, 0, vec!["0.log".to_owned()]));
}

#[test]
fn a_runtime_that_removes_nothing_delays_a_bounce_and_does_not_fail_it() {
    for manner in [Manner::Refuses, Manner::Hangs] {
        let left = Options {
            leaves_containers: true,
            runtime: manner,
            ..Options::default()
        };
        let (crashes, removed, _) = three_bounces(left);
        assert_eq!((crashes, removed), (3, 0), "{manner:?}");
    }
}

/// From being told to end until it is gone.
fn time_to_end(world: &World, component: Component) -> Duration {
    let pod = format!("kube-system/{component}");
    let at = |ended: bool| {
        let of = |what: &What| match what {
            What::Stopping { .. } => !ended,
            What::Ended { .. } => ended,
            What::Started { .. } | What::Ready { .. } | What::NotReady { .. } => false,
        };
        let history = world.history();
        let event = history.iter().find(|event| event.pod == pod && of(&event.what));
        event.expect("it was told to end, and ended").at
    };
    at(true) - at(false)
}

#[test]
fn only_the_api_server_is_ended_early_and_only_if_it_is_not_left_to_the_kubelet() {
    let grace = Duration::from_secs(4);
    let bounced = |component, config| {
        let world = World::with(Options {
            grace,
            ..Options::default()
        });
        let ended = Operator::new(world.node(), config)
            .bounce(component)
            .expect("a healthy node");
        assert_eq!(ended.result, Came::Made, "{component}");
        time_to_end(&world, component)
    };
    let quick = "mode: audit\ndisruption: { drain: 1s }\n";
    let slow = "mode: audit\ndisruption: { drain: kubelet }\n";
    assert!(bounced(Component::ApiServer, quick) < grace);
    assert!(bounced(Component::ApiServer, slow) >= grace);
    assert!(bounced(Component::Etcd, quick) >= grace / 10);
}

#[test]
fn a_kubelet_that_stops_in_the_middle_finds_the_manifest_back_and_completes_it() {
    let world = World::with(Options {
        grace: Duration::from_secs(5),
        ..Options::default()
    });
    let manifest = world.manifest(Component::Scheduler);
    let before = file(&manifest);
    let operator = Operator::new(world.node(), AUDIT);
    operator
        .begin_bounce(Component::Scheduler)
        .expect("a healthy node");
    assert!(!manifest.exists(), "it is out");
    let told_to_end = |world: &World| {
        let history = world.history();
        history
            .iter()
            .any(|event| matches!(event.what, What::Stopping { .. }))
    };
    assert!(world.wait_until(SOON, told_to_end));
    world.stop_kubelet();
    operator.one_pass();
    assert_eq!(file(&manifest), before, "without a kubelet it comes back at once");
    operator.one_pass();
    assert!(operator.journal().in_flight.is_some(), "and is waited for");
    world.start_kubelet();
    let ended = operator.carry_on().pop().expect("an outcome");
    assert_eq!(
        (ended.result, world.starts(Component::Scheduler)),
        (Came::Made, 2)
    );
    assert_eq!(file(&manifest), before);
}

#[test]
fn a_process_that_does_not_end_costs_no_manifest() {
    let world = World::with(Options {
        grace: Duration::from_secs(600),
        ..Options::default()
    });
    let manifest = world.manifest(Component::Etcd);
    let before = file(&manifest);
    let operator = Operator::new(world.node(), "mode: audit\ndisruption: { deadline: 10s }\n");
    let ended = operator.bounce(Component::Etcd).expect("a healthy node");
    let Came::Refused {
        fault,
        recovered: false,
        by_hand: Some(by_hand),
    } = ended.result
    else {
        panic!("{ended:#?}")
    };
    assert!(
        fault.why.ends_with("for the old process of etcd to end"),
        "{}",
        fault.why
    );
    assert!(by_hand.contains("crictl logs"), "{by_hand}");
    assert_eq!(file(&manifest), before);
    assert_eq!(beside(&world), Vec::<String>::new());
}

#[test]
fn a_daemon_that_takes_over_carries_on_and_shows_no_drift_meanwhile() {
    let world = World::new();
    let before = file(&world.manifest(Component::ApiServer));
    Operator::new(world.node(), AUDIT)
        .begin_bounce(Component::ApiServer)
        .expect("a healthy node");
    let other = Operator::new(world.node(), AUDIT);
    let looked = other.check();
    let mode = operator::finding(&looked, "CIS-1.1.1");
    assert_eq!(
        mode.verdict,
        holdfast::plan::Verdict::Pass,
        "it is judged where it lies: {mode:#?}"
    );
    let WithheldReason::Waiting(why) = other
        .bounce_plan(Component::Scheduler)
        .expect_err("one at a time")
    else {
        panic!("another reason")
    };
    assert_eq!(why, "another change is in flight: bounce of kube-apiserver");
    let ended = other.carry_on().pop().expect("an outcome");
    assert_eq!(ended.result, Came::Made);
    assert_eq!(file(&world.manifest(Component::ApiServer)), before);
}

#[test]
fn what_the_operator_puts_back_by_hand_is_left_alone() {
    let world = World::new();
    let operator = Operator::new(world.node(), AUDIT);
    operator
        .begin_bounce(Component::Scheduler)
        .expect("a healthy node");
    let (out, manifest) = (
        world.path("/etc/kubernetes/kube-scheduler.yaml.holdfast-out"),
        world.manifest(Component::Scheduler),
    );
    std::fs::rename(&out, &manifest).expect("a file of ours");
    let ended = operator.carry_on().pop().expect("an outcome");
    assert!(
        matches!(ended.result, Came::Made | Came::Abandoned { .. }),
        "{ended:#?}"
    );
    assert!(world.wait_until(SOON, World::all_ready));
    assert!(manifest.exists() && !out.exists());
}

const OUT: &str = "/etc/kubernetes/kube-apiserver.yaml.holdfast-out";

fn append(path: &Path, line: &str) {
    let text = std::fs::read_to_string(path).expect("it is there");
    std::fs::write(path, text + line).expect("a file of ours");
}

fn is_back_and_ready(world: &World) -> bool {
    world.manifest(Component::ApiServer).exists() && world.wait_until(SOON, World::all_ready)
}

#[test]
fn a_copy_that_the_operator_edits_or_breaks_while_it_is_out_comes_back_all_the_same() {
    for line in ["# looked at\n", "  - this: [is no YAML\n"] {
        let world = World::new();
        let manifest = world.manifest(Component::ApiServer);
        let operator = Operator::new(world.node(), AUDIT);
        operator
            .begin_bounce(Component::ApiServer)
            .expect("a healthy node");
        append(&world.path(OUT), line);
        operator.carry_on();
        assert!(manifest.exists(), "{line:?}");
        let text = std::fs::read_to_string(&manifest).expect("it is there");
        assert!(text.ends_with(line), "the operator's edit is not lost");
    }
}

#[test]
fn a_copy_that_is_taken_away_while_it_is_out_is_replaced_by_the_backup() {
    let world = World::new();
    let manifest = world.manifest(Component::ApiServer);
    let before = std::fs::read(&manifest).expect("it is there");
    let operator = Operator::new(world.node(), AUDIT);
    operator
        .begin_bounce(Component::ApiServer)
        .expect("a healthy node");
    let is_draining = |operator: &Operator| {
        let in_flight = operator.journal().in_flight;
        in_flight.is_some_and(|begun| begun.draining.is_some())
    };
    assert!(world.wait_until(SOON, |_| {
        operator.one_pass();
        is_draining(&operator)
    }));
    std::fs::remove_file(world.path(OUT)).expect("it is there");
    operator.carry_on();
    assert!(is_back_and_ready(&world));
    assert_eq!(std::fs::read(&manifest).expect("it is there"), before);
}

#[test]
fn an_edit_goes_on_when_its_former_manifest_is_edited_while_it_is_out_and_keeps_that_copy() {
    let world = World::new();
    let operator = Operator::new(world.node(), "mode: enforce\n");
    let mut edited = false;
    operator.apply_telling(&mut |_| {
        if !edited && world.path(OUT).exists() {
            append(&world.path(OUT), "# looked at\n");
            edited = true;
        }
    });
    assert!(edited && is_back_and_ready(&world));
    let text = std::fs::read_to_string(world.manifest(Component::ApiServer)).expect("it is there");
    assert!(text.contains("--profiling=false") && !text.contains("looked at"));
    let backups = std::fs::read_dir(world.path("/var/lib/holdfast/backups")).expect("it is there");
    let kept = backups
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("found."))
        .count();
    assert_eq!((kept, beside(&world)), (1, Vec::new()));
}

#[test]
fn a_manifest_that_no_change_has_out_is_put_back_by_the_next_pass_even_when_paused() {
    let world = World::new();
    let operator = Operator::new(world.node(), AUDIT);
    operator.one_pass();
    std::fs::rename(world.manifest(Component::ApiServer), world.path(OUT)).expect("a file of ours");
    std::fs::create_dir_all(world.path("/etc/holdfast")).expect("a folder");
    std::fs::write(world.path("/etc/holdfast/pause"), "not to be read").expect("a file");
    operator.one_pass();
    assert!(is_back_and_ready(&world));
}

#[test]
fn a_genuine_question_to_etcd_tells_its_leader_and_its_alarms() {
    let world = World::new();
    let etcd = world::etcd::Etcd::plain();
    let manifest = world.manifest(Component::ApiServer);
    let text = world.original_manifest(Component::ApiServer);
    let servers = text
        .lines()
        .find(|line| line.contains("--etcd-servers="))
        .expect("kubeadm sets it");
    let elsewhere = format!("    - --etcd-servers={}", etcd.endpoint());
    std::fs::write(&manifest, text.replace(servers, &elsewhere)).expect("a file of ours");
    let node = world.node();
    let request = Request {
        controls: &[],
        in_flight: None,
    };
    let manifests = observe(&node, request).manifests;
    let state = || KubeadmCluster::new(SOON).etcd(&node.files, &manifests);
    let known = |has_leader, alarms: &[&str]| {
        Fact::Known(EtcdState {
            has_leader,
            alarms: alarms.iter().map(|&alarm| alarm.to_owned()).collect(),
        })
    };
    assert_eq!(state(), known(true, &[]));
    etcd.store().alarms = vec![1, 2];
    let Fact::Known(EtcdState { alarms, .. }) = state() else {
        panic!("it answers")
    };
    assert!(
        alarms.len() == 2 && alarms[0].starts_with("NOSPACE") && alarms[1].starts_with("CORRUPT"),
        "{alarms:?}"
    );
    etcd.store().alarms.clear();
    etcd.store().leads = false;
    assert_ne!(state(), known(true, &[]), "unknown, or without a leader");
    drop(etcd);
    assert!(matches!(state(), Fact::Unknown(_)));
}

fn refused(world: &World, component: Component) -> &'static str {
    let operator = Operator::new(world.node(), AUDIT);
    let why = operator.bounce(component).expect_err("it is refused");
    assert_eq!(
        Component::ALL.map(|component| world.starts(component)),
        [1; 4],
        "{why}"
    );
    why.kind()
}

#[test]
fn what_would_harm_is_refused() {
    let world = World::new();
    let several = ControlPlane {
        nodes: [NODE_NAME.to_owned(), "second".to_owned()].into(),
        source: "nodes",
    };
    world.set_control_plane(Fact::Known(several));
    assert_eq!(
        refused(&world, Component::Scheduler),
        "several-control-plane-nodes"
    );
    world.set_control_plane(Fact::unknown("no answer"));
    assert_eq!(refused(&world, Component::Scheduler), "control-plane-unknown");
    world.set_control_plane(world::one_node());

    let kubeadm = world.run_kubeadm(Duration::from_secs(5));
    assert_eq!(refused(&world, Component::Scheduler), "kubeadm-runs");
    world.end_program(kubeadm);

    for state in [
        Fact::Known(EtcdState {
            has_leader: false,
            alarms: vec![],
        }),
        Fact::Known(EtcdState {
            has_leader: true,
            alarms: vec!["NOSPACE of member 1".to_owned()],
        }),
        Fact::unknown("no answer"),
    ] {
        world.set_etcd(state);
        for component in [Component::ApiServer, Component::Etcd] {
            assert_eq!(refused(&world, component), "unhealthy");
        }
    }
    world.set_etcd(world::etcd_is_well());

    world.set_unhealthy(Component::Scheduler, true);
    assert!(world.wait_until(SOON, |world| !world.is_ready(Component::Scheduler)));
    assert_eq!(refused(&world, Component::Scheduler), "unhealthy");
    world.set_unhealthy(Component::Scheduler, false);

    let copy = world.manifest(Component::Scheduler).with_extension("yaml.bak");
    world.stop_kubelet();
    assert_eq!(refused(&world, Component::Scheduler), "kubelet-down");
    std::fs::copy(world.manifest(Component::Scheduler), copy).expect("the folder is writable");
    let pause = "until: 2999-01-01T00:00:00Z\nreason: the release\n";
    std::fs::create_dir_all(world.path("/etc/holdfast")).expect("a folder");
    std::fs::write(world.path("/etc/holdfast/pause"), pause).expect("a file");
    assert_eq!(refused(&world, Component::Scheduler), "paused");
}
