//! The whole path on a simulated node, with the real adapters: found, planned, applied, proven or undone.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test touches the node from outside, and fails loudly"
)]

mod operator;
mod world;

#[path = "apply_on_the_world/bad_input.rs"]
mod bad_input;
#[path = "apply_on_the_world/host.rs"]
mod host;
#[path = "apply_on_the_world/kubelet.rs"]
mod kubelet;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use holdfast::apply::{Outcome, Result as Came};
use holdfast::config::Pause;
use holdfast::domain::{Component, ControlPlane, Fact};
use holdfast::journal::{Fault, RefusedFlag};
use holdfast::plan::Verdict;

use operator::{Operator, changed_lines, finding, ids_with, left, set, withheld};
use world::{MANIFESTS, Options, World};

const SOON: Duration = Duration::from_secs(10);
const API_SERVER: Component = Component::ApiServer;
const SCHEDULER: Component = Component::Scheduler;
/// The rows that are mended by a restart.
const BY_RESTART: [&str; 3] = ["CIS-1.2.15", "CIS-1.3.2", "CIS-1.4.1"];

fn texts(world: &World) -> [String; 4] {
    Component::ALL.map(|component| read(world, component))
}

fn read(world: &World, component: Component) -> String {
    std::fs::read_to_string(world.manifest(component)).expect("it is there")
}

fn starts(world: &World) -> [usize; 4] {
    Component::ALL.map(|component| world.starts(component))
}

fn mode(world: &World, path: &str) -> u32 {
    let facts = std::fs::metadata(world.path(path)).expect("it is there");
    facts.permissions().mode() & 0o7777
}

fn set_mode(world: &World, path: &str, mode: u32) {
    std::fs::set_permissions(world.path(path), std::fs::Permissions::from_mode(mode))
        .expect("a file of ours");
}

/// The names in the manifests folder, hidden ones too.
fn in_folder(world: &World) -> BTreeSet<String> {
    let entries = std::fs::read_dir(world.root().join(MANIFESTS)).expect("it is there");
    entries
        .map(|entry| {
            entry
                .expect("it can be listed")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

fn four_manifests() -> BTreeSet<String> {
    Component::ALL
        .map(|component| component.manifest_file().to_owned())
        .into()
}

#[test]
fn a_fresh_node_fails_exactly_the_rows_of_the_real_one_and_a_check_leaves_no_trace() {
    let world = World::new();
    let operator = Operator::new(world.node(), "");
    let looked = operator.check();
    assert_eq!(ids_with(&looked, Verdict::Drift), set(&operator::FAILS_FRESH));
    assert_eq!(ids_with(&looked, Verdict::Unknown), BTreeSet::new());
    assert_eq!((looked.plan.changes, looked.plan.in_flight), (vec![], None));
    for path in ["/var/lib/holdfast", "/run/holdfast"] {
        assert!(!world.path(path).exists(), "{path}");
    }
}

#[test]
fn apply_mends_with_one_restart_each_and_a_second_one_has_nothing_to_do() {
    let world = World::new();
    let operator = Operator::new(world.node(), "mode: enforce\n");
    let before = texts(&world);
    let applied = operator.apply();
    assert_eq!(ids_with(&applied.last, Verdict::Drift), left());
    assert_eq!(
        starts(&world),
        [2, 2, 2, 1],
        "scheduler, controller manager, API server, etcd"
    );
    assert!(world.all_ready());
    for (component, (before, after)) in Component::ALL.into_iter().zip(before.iter().zip(texts(&world))) {
        let meant: &[&str] = match component {
            Component::Etcd => &[],
            Component::Scheduler | Component::ControllerManager | Component::ApiServer => {
                &["+    - --profiling=false"]
            }
        };
        assert_eq!(changed_lines(before, &after), meant, "{component}");
        assert_eq!(
            mode(&world, &format!("/{MANIFESTS}/{}", component.manifest_file())),
            0o600
        );
    }
    assert_eq!(in_folder(&world), four_manifests());
    assert!(
        applied.ended().iter().all(|outcome| outcome.result == Came::Made),
        "{:#?}",
        applied.outcomes
    );

    let again = operator.apply();
    assert_eq!((&again.outcomes, &again.last.plan.changes), (&vec![], &vec![]));
    let explained: BTreeSet<String> = withheld(&again.last).into_keys().collect();
    assert_eq!(explained, left(), "what is left is explained");
    assert_eq!(starts(&world), [2, 2, 2, 1]);
    assert_eq!(operator.journal().in_flight, None);
}

#[test]
fn comments_quotes_and_order_of_an_edited_manifest_survive() {
    let world = World::new();
    let by_hand = world.original_manifest(SCHEDULER).replace(
        "    - --leader-elect=true\n",
        "    # elect, always\n    - \"--leader-elect=true\"   # quoted\n",
    );
    assert!(by_hand.contains("# elect"));
    world.replace(&world.manifest(SCHEDULER), &by_hand);
    assert!(world.wait_until(SOON, |world| world.all_ready()));
    Operator::new(world.node(), "").apply();
    assert_eq!(
        changed_lines(&by_hand, &read(&world, SCHEDULER)),
        ["+    - --profiling=false"]
    );
}

#[test]
fn a_wrong_value_is_mended_in_its_place() {
    let world = World::new();
    let first = "    - kube-scheduler\n";
    let by_hand = world
        .original_manifest(SCHEDULER)
        .replace(first, &format!("{first}    - --profiling=true # for now\n"));
    world.replace(&world.manifest(SCHEDULER), &by_hand);
    assert!(world.wait_until(SOON, |world| world.starts(SCHEDULER) == 2 && world.all_ready()));
    let applied = Operator::new(world.node(), "").apply();
    assert_eq!(ids_with(&applied.last, Verdict::Drift), left());
    assert_eq!(
        changed_lines(&by_hand, &read(&world, SCHEDULER)),
        [
            "-    - --profiling=true # for now",
            "+    - --profiling=false # for now"
        ]
    );
}

/// A value that the API server does not take, and that no look at the configuration can tell.
const REFUSED: &str = "controls:\n  CIS-1.2.15: { mode: off }\nrequiredFlags:\n  kube-apiserver: { max-requests-inflight: many }\n";
const REFUSED_ID: &str = "HF-FLAG-KUBE-APISERVER.MAX-REQUESTS-INFLIGHT";
const LAST_WORDS: &str = "invalid argument \"many\" for \"--max-requests-inflight\" flag";

/// What the node did not bear, and whether it came back.
fn refusal(outcome: &Outcome) -> Option<(&Fault, bool)> {
    if let Came::Refused { fault, recovered, .. } = &outcome.result {
        Some((fault, *recovered))
    } else {
        None
    }
}

fn drift_with(more: &[&str]) -> BTreeSet<String> {
    left().into_iter().chain(set(more)).collect()
}

#[test]
fn a_value_that_the_node_refuses_is_undone_told_and_remembered() {
    let world = World::new();
    let former = read(&world, API_SERVER);
    let applied = Operator::new(world.node(), REFUSED).apply();
    let refused: Vec<_> = applied.outcomes.iter().filter_map(refusal).collect();
    let [(fault, true)] = refused.as_slice() else {
        panic!("{:#?}", applied.outcomes);
    };
    let at_fault = RefusedFlag {
        name: "max-requests-inflight".parse().expect("a flag"),
        value: "many".to_owned(),
    };
    assert_eq!(fault.flag, Some(at_fault));
    assert!(
        fault.last_words.iter().any(|line| line.contains(LAST_WORDS)),
        "{fault:#?}"
    );
    assert_eq!(read(&world, API_SERVER), former, "the former bytes");
    assert!(world.all_ready());
    // The others were not held up.
    assert_eq!(ids_with(&applied.last, Verdict::Drift), drift_with(&[REFUSED_ID]));

    // A new process remembers, and does not try again.
    let started = starts(&world);
    let again = Operator::new(world.node(), REFUSED);
    assert_eq!(again.journal().refusals.len(), 1);
    let applied = again.apply();
    assert_eq!((applied.outcomes, starts(&world)), (vec![], started));
    assert_eq!(withheld(&applied.last)[REFUSED_ID], BTreeSet::from(["refused"]));
    let held = &applied.last.plan.withheld;
    let reason = held
        .iter()
        .find(|held| held.reason.kind() == "refused")
        .map(|held| held.reason.to_string());
    assert!(
        reason.as_ref().is_some_and(|reason| reason.contains(LAST_WORDS)),
        "{reason:?}"
    );

    // Its input changes: it is made.
    let config = REFUSED.replace("many", "300").replace("off", "audit");
    let applied = Operator::new(world.node(), &config).apply();
    assert_eq!(ids_with(&applied.last, Verdict::Drift), left());
    assert_eq!(
        changed_lines(&former, &read(&world, API_SERVER)),
        ["+    - --profiling=false", "+    - --max-requests-inflight=300"]
    );
}

#[test]
fn a_flag_that_the_node_names_as_being_at_fault_holds_up_no_other_flag() {
    let world = World::new();
    let former = read(&world, API_SERVER);
    let applied = Operator::new(world.node(), &REFUSED.replace("off", "enforce")).apply();
    assert_eq!(ids_with(&applied.last, Verdict::Drift), drift_with(&[REFUSED_ID]));
    assert_eq!(
        changed_lines(&former, &read(&world, API_SERVER)),
        ["+    - --profiling=false"]
    );
    assert!(world.all_ready());
}

#[test]
fn a_component_that_does_not_prove_healthy_is_put_back_within_the_deadline() {
    let deadline = Duration::from_millis(700);
    for comes_back in [true, false] {
        let world = World::new();
        let former = read(&world, SCHEDULER);
        let mut operator = Operator::new(world.node(), "");
        operator.config.disruption.deadline = deadline;
        let mut begun = None;
        let mut undone_after = None;
        let applied = operator.apply_telling(&mut |outcome| {
            if !outcome.what.contains("kube-scheduler") {
                return;
            }
            if outcome.result == Came::Begun {
                world.set_unhealthy(SCHEDULER, true);
                begun = Some(Instant::now());
            } else if matches!(outcome.result, Came::PutBack { .. }) {
                undone_after = begun.map(|begun| begun.elapsed());
                world.set_unhealthy(SCHEDULER, !comes_back);
            }
        });
        let undone_after = undone_after.expect("it was undone");
        assert!(
            (deadline..2 * deadline).contains(&undone_after),
            "{undone_after:?}"
        );
        let ended = applied.ended();
        let of_scheduler = ended
            .iter()
            .find(|outcome| outcome.what.contains("kube-scheduler"));
        let Some(Came::Refused { recovered, .. }) = of_scheduler.map(|outcome| &outcome.result) else {
            panic!("{:#?}", applied.outcomes);
        };
        assert_eq!(*recovered, comes_back);
        assert_eq!(read(&world, SCHEDULER), former);
        // The others went on.
        assert_eq!(withheld(&applied.last)["CIS-1.4.1"].len(), 1);
        assert!(!ids_with(&applied.last, Verdict::Drift).contains("CIS-1.2.15"));
    }
}

#[test]
fn an_unhealthy_component_is_not_restarted_and_the_others_are() {
    let world = World::new();
    world.set_unhealthy(API_SERVER, true);
    assert!(world.wait_until(SOON, |world| !world.is_ready(API_SERVER)));
    let applied = Operator::new(world.node(), "").apply();
    assert_eq!(
        withheld(&applied.last)["CIS-1.2.15"],
        BTreeSet::from(["unhealthy"])
    );
    assert_eq!(starts(&world), [2, 2, 1, 1]);
}

/// What is so on the node, and how it is told.
type Hindrance = (&'static str, fn(&World), &'static str);

const HINDRANCES: [Hindrance; 4] = [
    ("the kubelet is down", World::stop_kubelet, "kubelet-down"),
    (
        "kubeadm runs",
        |world| {
            world.run_kubeadm(Duration::from_secs(90));
        },
        "kubeadm-runs",
    ),
    (
        "there are several control-plane nodes",
        |world| {
            let nodes = ["node1", "node2", "node3"].map(str::to_owned).into();
            world.set_control_plane(Fact::Known(ControlPlane {
                nodes,
                source: "etcd members",
            }));
        },
        "several-control-plane-nodes",
    ),
    (
        "nobody tells how many control-plane nodes there are",
        |world| world.set_control_plane(Fact::unknown("nobody answers")),
        "control-plane-unknown",
    ),
];

#[test]
fn what_forbids_a_restart_withholds_it_and_modes_go_on() {
    for (name, set_up, kind) in HINDRANCES {
        let world = World::new();
        if kind == "kubeadm-runs" && !nix::unistd::geteuid().is_root() {
            eprintln!("not run: {name}: a kubeadm that holds us off must be root's");
            continue;
        }
        set_up(&world);
        set_mode(&world, "/etc/kubernetes/admin.conf", 0o644);
        let before = texts(&world);
        let applied = Operator::new(world.node(), "").apply();
        let kinds = withheld(&applied.last);
        for id in BY_RESTART {
            assert_eq!(kinds[id], BTreeSet::from([kind]), "{name}: {id}");
        }
        assert_eq!(mode(&world, "/etc/kubernetes/admin.conf"), 0o600, "{name}");
        assert_eq!((texts(&world), starts(&world)), (before, [1; 4]), "{name}");
    }
}

#[test]
fn a_kubeadm_that_hangs_is_warned_of_and_no_longer_waited_for() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run: a kubeadm that holds us off must be root's");
        return;
    }
    let world = World::new();
    world.run_kubeadm(Duration::from_mins(16));
    let applied = Operator::new(world.node(), "").apply();
    assert_eq!(ids_with(&applied.last, Verdict::Drift), left());
    assert_eq!(
        applied.last.plan.warnings.len(),
        1,
        "{:?}",
        applied.last.plan.warnings
    );
}

#[test]
fn a_kubelet_that_somebody_else_started_is_not_believed() {
    let options = Options {
        kubelet: false,
        ..Options::default()
    };
    let world = World::with(options);
    std::fs::write(world.path("/etc/hosts"), "").expect("the world's folder is writable");
    world.run_program(&world::Program {
        argv: ["kubelet", "--config=/etc/hosts"].map(str::to_owned).to_vec(),
        executable: world.root().join("usr/bin/kubelet"),
        cgroup: "/user.slice/user-1000.slice/session-2.scope".to_owned(),
        uid: 1000,
        age: Duration::from_secs(9),
    });
    let looked = Operator::new(world.node(), "").plan();
    let changes: Vec<String> = looked
        .plan
        .changes
        .iter()
        .map(|change| change.deed.to_string())
        .collect();
    assert!(
        !changes.iter().any(|change| change.contains("/etc/hosts")),
        "{changes:?}"
    );
    assert!(
        withheld(&looked)
            .values()
            .any(|kinds| kinds.contains("kubelet-down"))
    );
}

fn pause_file(world: &World, text: &str) {
    std::fs::create_dir_all(world.path("/etc/holdfast")).expect("the world's folder is writable");
    std::fs::write(world.path("/etc/holdfast/pause"), text).expect("the world's folder is writable");
}

fn pause_until(until: jiff::Timestamp) -> String {
    let reason = "the release".to_owned();
    Pause { until, reason }.render()
}

#[test]
fn a_pause_stops_every_change_until_it_is_over() {
    let world = World::new();
    let admin = "/etc/kubernetes/admin.conf";
    set_mode(&world, admin, 0o644);
    let before = texts(&world);
    let hour = jiff::SignedDuration::from_hours(1);
    let (ahead, ago) = (jiff::Timestamp::now() + hour, jiff::Timestamp::now() - hour);
    // A pause file that nobody can read pauses too.
    for text in [pause_until(ahead), "until: soon\n".to_owned()] {
        pause_file(&world, &text);
        let applied = Operator::new(world.node(), "mode: enforce\n").apply();
        let mended = operator::MENDED.into_iter().chain(["CIS-1.1.13"]);
        for id in mended {
            assert_eq!(withheld(&applied.last)[id], BTreeSet::from(["paused"]), "{id}");
        }
        assert_eq!((mode(&world, admin), texts(&world)), (0o644, before.clone()));
        assert!(applied.last.paused.is_some());
    }
    pause_file(&world, &pause_until(ago));
    let applied = Operator::new(world.node(), "mode: enforce\n").apply();
    assert_eq!(
        (ids_with(&applied.last, Verdict::Drift), mode(&world, admin)),
        (left(), 0o600)
    );
}

#[test]
fn a_pause_does_not_stop_a_recovery() {
    let world = World::new();
    let former = read(&world, API_SERVER);
    let config = format!("{REFUSED}  kube-scheduler: {{ kube-api-qps: fast }}\n");
    let former = [former, read(&world, SCHEDULER)];
    let applied = Operator::new(world.node(), &config).apply_telling(&mut |outcome| {
        if outcome.result == Came::Begun {
            pause_file(
                &world,
                &pause_until(jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)),
            );
        }
    });
    // The scheduler's edit was begun before the pause; the rest was not begun at all.
    let begun = |text: &str| {
        applied
            .outcomes
            .iter()
            .filter(|o| o.what.contains(text) && o.result == Came::Begun)
            .count()
    };
    assert_eq!((begun("edit"), &applied.last.plan.in_flight), (1, &None));
    assert!(world.wait_until(SOON, World::all_ready));
    assert_eq!([read(&world, API_SERVER), read(&world, SCHEDULER)], former);
    assert!(matches!(
        applied.ended().last().map(|outcome| &outcome.result),
        Some(Came::Refused { recovered: true, .. })
    ));
}

#[test]
fn required_flags_are_set_with_the_rest_in_one_restart() {
    let world = World::new();
    let config =
        "requiredFlags:\n  kube-scheduler: { v: 2, client-ca-file: /etc/kubernetes/scheduler.conf }\n";
    let applied = Operator::new(world.node(), config).apply();
    assert_eq!(ids_with(&applied.last, Verdict::Drift), left());
    assert_eq!(starts(&world), [2, 2, 2, 1]);
    let argv = world.running_argv(SCHEDULER).expect("it runs");
    for flag in [
        "--profiling=false",
        "--v=2",
        "--client-ca-file=/etc/kubernetes/scheduler.conf",
    ] {
        assert!(argv.iter().any(|argument| argument == flag), "{flag}: {argv:?}");
    }
}

#[test]
fn a_flag_whose_file_is_missing_or_not_mounted_is_left_out_and_holds_up_no_other() {
    for (path, made) in [
        ("/etc/kubernetes/pki/gone.yaml", false),
        ("/etc/kubernetes/audit.yaml", true),
    ] {
        let world = World::new();
        if made {
            std::fs::write(world.path(path), "").expect("the world's folder is writable");
        }
        let config = format!("requiredFlags:\n  kube-apiserver: {{ audit-policy-file: {path} }}\n");
        let applied = Operator::new(world.node(), &config).apply();
        let id = "HF-FLAG-KUBE-APISERVER.AUDIT-POLICY-FILE";
        let kinds = withheld(&applied.last);
        assert_eq!(kinds[id], BTreeSet::from(["file-missing"]), "{kinds:?}");
        assert!(!kinds.contains_key("CIS-1.2.15"), "{path}: {kinds:?}");
        assert_eq!((starts(&world), world.all_ready()), ([2, 2, 2, 1], true));
    }
}

/// A pod that is none of the control plane's.
const KUBE_VIP: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-vip\n  namespace: kube-system\nspec:\n  \
                        containers:\n  - name: kube-vip\n    image: ghcr.io/kube-vip/kube-vip:v1.0.0\n    command: [/kube-vip]\n";

fn plant(world: &World, name: &str, text: &str) {
    std::fs::write(world.root().join(MANIFESTS).join(name), text).expect("the folder is writable");
}

#[test]
fn what_was_there_at_the_first_start_is_known_and_what_comes_later_is_not() {
    let world = World::new();
    plant(&world, "kube-vip.yaml", KUBE_VIP);
    let operator = Operator::new(world.node(), "mode: enforce\n");
    let before = operator.plan();
    let known: Vec<&str> = before
        .plan
        .baseline
        .iter()
        .flatten()
        .map(|known| known.name.as_str())
        .collect();
    assert_eq!(known, ["kube-vip.yaml"], "announced");
    let applied = operator.apply();
    assert_eq!(
        (
            &applied.last.plan.baseline,
            ids_with(&applied.last, Verdict::Drift)
        ),
        (&None, left())
    );

    plant(&world, "miner.yaml", &KUBE_VIP.replace("kube-vip", "miner"));
    let applied = operator.apply();
    let drift = finding(&applied.last, "X-FILE-02")
        .with_verdict(Verdict::Drift)
        .map(|piece| piece.object.as_str());
    assert_eq!(
        drift.collect::<Vec<_>>(),
        ["/etc/kubernetes/manifests/miner.yaml"]
    );
    assert_eq!(
        withheld(&applied.last)["X-FILE-02"],
        BTreeSet::from(["needs-operator"])
    );
    assert!(in_folder(&world).contains("miner.yaml"), "only reported");

    // A known one with another content is unknown again.
    plant(&world, "kube-vip.yaml", &KUBE_VIP.replace("v1.0.0", "v6.6.6"));
    let drift = finding(&operator.check(), "X-FILE-02")
        .with_verdict(Verdict::Drift)
        .count();
    assert_eq!(drift, 2);
}

#[test]
fn with_quarantine_on_an_unknown_manifest_is_moved_out_of_the_folder() {
    let world = World::new();
    plant(&world, "kube-vip.yaml", KUBE_VIP);
    let operator = Operator::new(
        world.node(),
        "mode: enforce\nmanifests: { quarantine: true, known: [keepalived.yaml] }\n",
    );
    operator.apply();
    let miner = KUBE_VIP.replace("kube-vip", "miner");
    plant(&world, "miner.yaml", &miner);
    plant(
        &world,
        "keepalived.yaml",
        &KUBE_VIP.replace("kube-vip", "keepalived"),
    );
    let applied = operator.apply();
    assert_eq!(ids_with(&applied.last, Verdict::Drift), left());
    let mut expected = four_manifests();
    expected.extend(["kube-vip.yaml", "keepalived.yaml"].map(str::to_owned));
    assert_eq!(in_folder(&world), expected);
    let quarantine = std::fs::read_dir(world.path("/var/lib/holdfast/quarantine")).expect("it was made");
    let kept: Vec<String> = quarantine
        .map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("a file"))
        .collect();
    assert_eq!(kept, [miner]);
}

#[test]
fn with_quarantine_on_a_copy_of_a_components_manifest_goes_and_the_kubelet_is_told_of_the_real_one() {
    use std::os::unix::fs::MetadataExt as _;
    let world = World::new();
    let operator = Operator::new(world.node(), "mode: enforce\nmanifests: { quarantine: true }\n");
    operator.apply();
    let (manifest, text) = (world.manifest(SCHEDULER), read(&world, SCHEDULER));
    plant(&world, "kube-scheduler.yaml.bak", &text);
    let facts = || std::fs::metadata(&manifest).expect("it is there");
    let before = facts();
    let applied = operator.apply();
    assert_eq!(in_folder(&world), four_manifests());
    let drift = ids_with(&applied.last, Verdict::Drift);
    assert!(
        !drift.contains("X-FILE-02") && !drift.contains("X-FILE-03"),
        "{drift:?}"
    );
    let quarantine = std::fs::read_dir(world.path("/var/lib/holdfast/quarantine")).expect("it was made");
    assert_eq!(quarantine.count(), 1, "two controls, one change");
    // The mode was set to what it was: an event for the kubelet, and the same file.
    let after = facts();
    assert_eq!(
        (after.ino(), after.mode(), after.mtime_nsec()),
        (before.ino(), before.mode(), before.mtime_nsec())
    );
    assert_ne!(
        (after.ctime(), after.ctime_nsec()),
        (before.ctime(), before.ctime_nsec())
    );
    assert_eq!(read(&world, SCHEDULER), text);
    assert!(world.wait_until(SOON, |world| world.running(SCHEDULER).is_some()));
}

#[test]
fn in_audit_an_unasked_pass_touches_nothing() {
    use holdfast::adapters::{journal_store::JournalStore, lock::Held};
    use holdfast::reconcile::{Intent, pass};
    let world = World::new();
    let admin = "/etc/kubernetes/admin.conf";
    set_mode(&world, admin, 0o644);
    let before = texts(&world);
    let Operator {
        node,
        config,
        selected,
    } = Operator::new(
        world.node(),
        "mode: audit\ncontrols: { CIS-1.4.1: { mode: enforce } }\n",
    );
    let held = Held::take(&node.here(&node.layout.run), Duration::ZERO).expect("the lock is free");
    let mut journal =
        JournalStore::open(&node.files, &node.layout, &held, node.clock.now()).expect("a journal");
    let passed = pass(
        &node,
        &config,
        &selected,
        &held,
        &mut journal,
        &Intent::default(),
        &mut |_| {},
    )
    .expect("a pass");
    // But for the one control that has a mode of its own.
    let whats: Vec<&str> = passed
        .outcomes
        .iter()
        .map(|outcome| outcome.what.as_str())
        .collect();
    assert_eq!(
        whats,
        ["edit of /etc/kubernetes/manifests/kube-scheduler.yaml, which restarts kube-scheduler"]
    );
    assert_eq!(withheld(&passed.looked)["CIS-1.2.15"], BTreeSet::from(["audit"]));
    assert_eq!((mode(&world, admin), &texts(&world)[1..]), (0o644, &before[1..]));
}

#[test]
fn a_node_that_restarts_slowly_is_waited_for() {
    let world = World::with(Options {
        start_delay: Duration::from_millis(600),
        grace: Duration::from_millis(500),
        ..Options::default()
    });
    let applied = Operator::new(world.node(), "").apply();
    assert_eq!(
        (ids_with(&applied.last, Verdict::Drift), starts(&world)),
        (left(), [2, 2, 2, 1])
    );
    let waited = applied
        .outcomes
        .iter()
        .filter(|outcome| matches!(outcome.result, Came::Waiting { .. }))
        .count();
    assert!(waited >= 6, "{:#?}", applied.outcomes);
}
