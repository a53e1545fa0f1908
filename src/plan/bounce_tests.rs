//! Bounces, situation by situation: whether one may be made, and the next step of one in flight.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::bounce_now::{bounce_now, bounce_to_mend};
use super::build::Circumstances;
use super::fixtures::{
    edit_folder, entry, fresh_node, manifest_text, named_files_are_there, replace_manifest,
};
use super::in_flight::{Limits, Step, next_step};
use super::in_flight_tests::{BEFORE, at, facts, node, old, process};
use crate::config::Config;
use crate::domain::{
    Component, ConfigLayer, ControlPlane, Digest, EtcdState, Fact, Health, Instant, Manifest, NodePath,
    Observation, Process, Reason,
};
use crate::journal::{Act, BouncedManifest, InFlight, JournalState, Phase};

const PATH: &str = "/etc/kubernetes/manifests/kube-scheduler.yaml";
const OUT: &str = "/etc/kubernetes/kube-scheduler.yaml.holdfast-out";
const LIMITS: Limits = Limits {
    deadline: Duration::from_secs(120),
    out_at_most: Duration::from_secs(40),
    at_once: false,
};

fn path(text: &str) -> NodePath {
    text.parse().unwrap()
}

fn act(drain_ms: Option<u64>) -> BouncedManifest {
    BouncedManifest {
        component: Component::Scheduler,
        path: path(PATH),
        digest: Digest::of(BEFORE.as_bytes()),
        out: path(OUT),
        backup: path("/var/lib/holdfast/backups/x.yaml"),
        processes: vec![old().id],
        pods: vec!["old".to_owned()],
        drain_ms,
    }
}

/// The next step of a bounce that was begun at second 1000, draining since that second if at all, and, where the cgroup is gone, without it
/// for two seconds, and with no container left.
fn step_of(drain_ms: Option<u64>, draining: Option<u64>, observation: &Observation, second: u64) -> Step {
    let begun = InFlight {
        change: Digest::of(b"c"),
        controls: vec![],
        act: Act::Bounce(act(drain_ms)),
        phase: Phase::Started,
        since: at(1000),
        draining: draining.map(at),
        cleaned_up: Some(at(second - 2)),
        removed: Some((at(second - 2), Some(0))),
    };
    next_step(&begun, observation, LIMITS, &at(second)).step
}

/// The manifest is out, with those processes.
fn out(processes: Vec<Process>, health: Health) -> Observation {
    let mut observation = node(BEFORE, processes, health);
    observation.manifest_folder = Fact::Known(vec![]);
    let manifest = observation.manifests.get_mut(&Component::Scheduler).unwrap();
    *manifest = manifest.as_ref().map(|manifest| Manifest {
        path: path(OUT),
        ..manifest.clone()
    });
    observation.files.insert(path(OUT), Fact::Known(facts()));
    observation.pod_cgroups = BTreeSet::from(["old".to_owned()]);
    observation
}

fn closed() -> Health {
    Health::Closed(Reason::new("nothing listens there"))
}

/// The same arguments and the same pod as before; only the process is another.
fn new() -> Process {
    process(20, &["--leader-elect=true"], "old")
}

fn waits(step: &Step, for_what: &str) -> bool {
    matches!(step, Step::Wait { why } if why.contains(for_what))
}

fn given_up(step: &Step, because: &str) -> bool {
    matches!(step, Step::Abandon { why } if why.contains(because))
}

#[test]
fn only_one_that_may_be_ended_early_is_and_only_after_it_has_drained() {
    let running = |health| out(vec![old()], health);
    assert!(waits(
        &step_of(Some(1000), None, &running(Health::Ok), 1005),
        "to stop listening"
    ));
    assert_eq!(step_of(Some(1000), None, &running(closed()), 1001), Step::Drain);
    assert!(waits(
        &step_of(Some(1000), Some(1001), &running(closed()), 1001),
        "to finish"
    ));
    assert_eq!(
        step_of(Some(1000), Some(1001), &running(closed()), 1002),
        Step::End(vec![old().id])
    );
    for health in [Health::Ok, closed()] {
        assert!(waits(
            &step_of(None, None, &running(health), 1030),
            "the kubelet to end"
        ));
    }
}

#[test]
fn the_manifest_comes_in_when_the_kubelet_has_cleaned_up_and_never_later_than_patience_allows() {
    let mut gone = out(vec![], closed());
    // Without an end of ours nobody knows when the process ended: the cgroup alone tells.
    assert!(waits(&step_of(None, None, &gone, 1031), "to clean up"));
    assert!(waits(
        &step_of(Some(1000), Some(1001), &gone, 1003),
        "to clean up"
    ));
    assert_eq!(step_of(Some(1000), Some(1001), &gone, 1012), Step::PutIn);
    gone.pod_cgroups.clear();
    assert_eq!(step_of(None, None, &gone, 1003), Step::PutIn);
    for drain in [None, Some(1000)] {
        let stays = out(vec![old()], Health::Ok);
        assert_eq!(step_of(drain, None, &stays, 1040), Step::PutIn);
        let mut without_kubelet = out(vec![old()], Health::Ok);
        without_kubelet.kubelet.process = Fact::Absent;
        assert_eq!(step_of(drain, None, &without_kubelet, 1001), Step::PutIn);
        // A folder that cannot be read does not keep it out.
        let mut unreadable = out(vec![old()], Health::Ok);
        unreadable.manifest_folder = Fact::unknown("I/O error");
        assert_eq!(step_of(drain, None, &unreadable, 1040), Step::PutIn);
    }
}

#[test]
fn the_manifest_comes_in_only_when_the_kubelet_has_had_time_to_forget_the_pod_whose_cgroup_is_gone() {
    let mut gone = out(vec![], closed());
    gone.pod_cgroups.clear();
    let step = |cleaned_up: Option<Instant>, ms| {
        let begun = InFlight {
            change: Digest::of(b"c"),
            controls: vec![],
            act: Act::Bounce(act(Some(1000))),
            phase: Phase::Started,
            since: at(1000),
            draining: Some(at(1001)),
            cleaned_up,
            removed: Some((at(1003), Some(0))),
        };
        let now = Instant {
            since_boot_ms: ms,
            ..at(1003)
        };
        next_step(&begun, &gone, LIMITS, &now).step
    };
    assert_eq!(step(None, 1_003_000), Step::CleanedUp);
    assert!(waits(&step(Some(at(1003)), 1_004_299), "to forget the old pod"));
    assert_eq!(step(Some(at(1003)), 1_004_300), Step::PutIn);
    // Patience ends all the same.
    assert_eq!(step(None, 1_040_000), Step::PutIn);
}

/// The next step of a bounce, begun at second 1000, whose pod's cgroup is gone since second 1003; at so many milliseconds after the boot.
fn step_after(removed: Option<(Instant, Option<usize>)>, endpoint: &str, ms: u64) -> Step {
    let mut gone = out(vec![], closed());
    gone.pod_cgroups.clear();
    gone.kubelet.config = Fact::Known(ConfigLayer {
        path: path("/var/lib/kubelet/config.yaml"),
        modified_ns: 0,
        document: serde_json::json!({ "containerRuntimeEndpoint": endpoint }),
    });
    let begun = InFlight {
        change: Digest::of(b"c"),
        controls: vec![],
        act: Act::Bounce(act(Some(1000))),
        phase: Phase::Started,
        since: at(1000),
        draining: Some(at(1001)),
        cleaned_up: Some(at(1003)),
        removed,
    };
    let now = Instant {
        since_boot_ms: ms,
        ..at(1003)
    };
    next_step(&begun, &gone, LIMITS, &now).step
}

#[test]
fn a_container_that_the_kubelet_leaves_behind_is_removed_and_the_kubelet_sees_that_before_the_manifest_comes_in()
 {
    let socket = "unix:///run/containerd/containerd.sock";
    let is_awaited = |step: Step| waits(&step, "to forget the old pod");
    // The kubelet's own time to do it comes first.
    assert!(is_awaited(step_after(None, socket, 1_003_399)));
    let remove = Step::RemoveEnded {
        socket: path("/run/containerd/containerd.sock"),
        pods: vec!["old".to_owned()],
    };
    assert_eq!(step_after(None, socket, 1_003_400), remove);
    // What was removed, or may have been, and what the kubelet removed itself, it knows at its next look at its runtime.
    for (count, seen) in [(Some(1), 1_005_300), (None, 1_005_300), (Some(0), 1_004_300)] {
        let step = |ms| step_after(Some((at(1004), count)), socket, ms);
        assert!(is_awaited(step(seen - 1)), "{count:?}");
        assert_eq!(step(seen), Step::PutIn, "{count:?}");
    }
}

#[test]
fn the_runtime_is_asked_at_the_socket_that_the_kubelet_has_and_only_while_there_is_time() {
    let asked = |endpoint, ms| step_after(None, endpoint, ms);
    for endpoint in [
        "unix:///var/run/crio/crio.sock",
        "unix:/var/run/crio/crio.sock",
        "/var/run/crio/crio.sock",
    ] {
        let Step::RemoveEnded { socket, .. } = asked(endpoint, 1_003_500) else {
            panic!("{endpoint}")
        };
        assert_eq!(socket, path("/var/run/crio/crio.sock"));
        assert_eq!(
            asked(endpoint, 1_036_000),
            Step::PutIn,
            "patience is near its end"
        );
    }
    for none in ["tcp://127.0.0.1:1234", "unix://run/x.sock", "npipe:////./pipe/x"] {
        assert!(waits(&asked(none, 1_004_299), "to forget"), "{none}");
        assert_eq!(asked(none, 1_004_300), Step::PutIn, "{none}");
    }
}

#[test]
fn a_short_deadline_and_an_ending_process_are_the_limit_of_patience() {
    let begun = InFlight {
        change: Digest::of(b"c"),
        controls: vec![],
        act: Act::Bounce(act(None)),
        phase: Phase::Started,
        since: at(1000),
        draining: None,
        cleaned_up: None,
        removed: None,
    };
    let limits = |deadline, ending| Limits::of(Duration::from_secs(deadline), false, ending);
    let starting = Limits::of(Duration::from_secs(120), true, false);
    let stays = out(vec![old()], closed());
    let step = |limits, second| next_step(&begun, &stays, limits, &at(second)).step;
    assert_eq!(step(limits(10, false), 1010), Step::PutIn);
    assert!(waits(&step(limits(120, false), 1010), "the kubelet to end"));
    // Whoever is to end does not leave it out for longer.
    assert!(waits(&step(limits(120, true), 1002), "the kubelet to end"));
    assert_eq!(step(limits(120, true), 1003), Step::PutIn);
    // Whoever has just started leaves it out only for a process that still runs.
    assert!(waits(&step(starting, 1010), "the kubelet to end"));
    let gone = out(vec![], closed());
    let step = |limits| next_step(&begun, &gone, limits, &at(1010)).step;
    assert_eq!(step(starting), Step::PutIn);
    assert!(waits(&step(limits(120, false)), "to clean up"));
}

#[test]
fn a_process_whose_manifest_came_in_early_is_ended_early_all_the_same() {
    let back = node(BEFORE, vec![old()], closed());
    let step = |draining, second| step_of(Some(1000), draining, &back, second);
    assert_eq!(step(None, 1005), Step::Drain);
    assert!(waits(&step(Some(1005), 1005), "to finish"));
    assert_eq!(step(Some(1005), 1006), Step::End(vec![old().id]));
    assert!(waits(&step_of(None, None, &back, 1005), "the old process"));
    // One that may only be starting, and one that nobody would start anew.
    let young = Process {
        age_ms: 29_999,
        ..old()
    };
    let starting = node(BEFORE, vec![young], closed());
    let mut without_kubelet = back;
    without_kubelet.kubelet.process = Fact::Absent;
    for node in [starting, without_kubelet] {
        for draining in [None, Some(1004)] {
            let step = step_of(Some(1000), draining, &node, 1006);
            assert!(waits(&step, "the old process"), "{step:?}");
        }
    }
}

#[test]
fn a_manifest_that_is_back_waits_for_a_new_process_with_the_same_arguments() {
    let step = |processes, health, second| step_of(None, None, &node(BEFORE, processes, health), second);
    assert!(waits(
        &step(vec![], closed(), 1005),
        "a process of kube-scheduler"
    ));
    assert!(waits(&step(vec![new()], closed(), 1005), "answer for its health"));
    let other = process(20, &["--leader-elect=false"], "old");
    assert!(waits(
        &step(vec![other], Health::Ok, 1005),
        "a process of kube-scheduler"
    ));
    assert_eq!(step(vec![new()], Health::Ok, 1005), Step::Finish);
}

#[test]
fn a_former_process_that_goes_on_ends_the_bounce_and_says_why() {
    let healthy = node(BEFORE, vec![old()], Health::Ok);
    // The kubelet may yet act on what it saw before the manifest came back.
    assert!(waits(
        &step_of(None, None, &healthy, 1001),
        "if it saw its manifest go"
    ));
    assert!(waits(
        &step_of(None, None, &healthy, 1009),
        "if it saw its manifest go"
    ));
    assert!(given_up(
        &step_of(None, None, &healthy, 1010),
        "had not gone out yet"
    ));
    assert!(given_up(&step_of(None, None, &healthy, 1041), "did not end"));
    let mut without_kubelet = healthy;
    without_kubelet.kubelet.process = Fact::Absent;
    assert!(given_up(
        &step_of(None, None, &without_kubelet, 1002),
        "the kubelet is not running"
    ));
    // One that no longer serves was told to end, and will.
    let ending = node(BEFORE, vec![old()], closed());
    assert!(waits(&step_of(None, None, &ending, 1041), "the old process"));
}

#[test]
fn one_that_does_not_come_back_is_told_as_not_recovered_at_the_deadline_and_not_before() {
    let lost = node(BEFORE, vec![], closed());
    assert!(waits(&step_of(None, None, &lost, 1119), "a process"));
    let Step::Refuse { fault, recovered } = step_of(None, None, &lost, 1120) else {
        panic!("it is given up")
    };
    assert!(!recovered);
    assert_eq!(
        fault.why,
        "waited 120 s for a process of kube-scheduler with the arguments of its manifest"
    );
    let hangs = node(BEFORE, vec![old()], closed());
    assert!(matches!(
        step_of(None, None, &hangs, 1120),
        Step::Refuse { recovered: false, .. }
    ));
}

#[test]
fn what_someone_else_did_with_the_manifest_is_left_as_it_is() {
    let other = node(&BEFORE.replace("v1.35.4", "v1.35.5"), vec![], closed());
    assert!(given_up(
        &step_of(None, None, &other, 1005),
        "someone else has written"
    ));
    let mut taken = out(vec![], closed());
    taken.files.insert(path(OUT), Fact::Absent);
    assert!(given_up(&step_of(None, None, &taken, 1005), "taken"));
    assert!(given_up(
        &step_of(None, None, &taken, 1005),
        "/var/lib/holdfast/backups/x.yaml"
    ));
    // What was edited while it was out comes in all the same.
    let mut edited = out(vec![], closed());
    edited.manifests.remove(&Component::Scheduler);
    edited.pod_cgroups.clear();
    assert_eq!(step_of(None, None, &edited, 1005), Step::PutIn);
}

fn well() -> Fact<EtcdState> {
    etcd(true, &[])
}

fn etcd(has_leader: bool, alarms: &[&str]) -> Fact<EtcdState> {
    Fact::Known(EtcdState {
        has_leader,
        alarms: alarms.iter().map(|&alarm| alarm.to_owned()).collect(),
    })
}

/// A node where everything may be bounced.
fn ready() -> Observation {
    let mut observation = fresh_node();
    for component in Component::ALL {
        observation.health.insert(component, Fact::Known(Health::Ok));
    }
    observation.control_plane = Fact::Known(ControlPlane {
        nodes: BTreeSet::from(["node1".to_owned()]),
        source: "etcd members",
    });
    for component in Component::ALL {
        named_files_are_there(&mut observation, component);
    }
    observation
}

#[test]
fn a_component_that_would_not_start_again_is_not_bounced() {
    let mut node = ready();
    let authority = path("/etc/kubernetes/pki/ca.crt");
    node.files.insert(authority.clone(), Fact::Absent);
    for component in Component::ALL {
        let names_it = matches!(component, Component::ApiServer | Component::ControllerManager);
        let expected = names_it.then_some("file-missing");
        assert_eq!(
            asked(component, &node, &well(), None).err(),
            expected,
            "{component}"
        );
    }
    node.files.insert(authority, Fact::unknown("I/O error"));
    asked(Component::ApiServer, &node, &well(), None).unwrap_err();
}

/// What is decided when an operator asks.
fn circumstances<T>(paused: Option<&str>, decide: impl FnOnce(&Circumstances<'_>) -> T) -> T {
    decide(&Circumstances {
        config: &Config::default(),
        journal: &JournalState::default(),
        now: at(10_000),
        asked: true,
        any_time: false,
        failed: &BTreeMap::new(),
        retry: false,
        settling: false,
        endangered: false,
        ending: false,
        starting: false,
        paused: paused.map(str::to_owned),
    })
}

fn asked(
    component: Component,
    observation: &Observation,
    etcd: &Fact<EtcdState>,
    paused: Option<&str>,
) -> Result<Result<Duration, String>, &'static str> {
    circumstances(paused, |circumstances| {
        bounce_now(component, observation, etcd, circumstances)
    })
    .map(|plan| plan.bounce.early)
    .map_err(|why| why.kind())
}

#[test]
fn what_loads_what_values_need_waits_for_no_health_and_no_kubeadm_but_for_all_else() {
    let to_mend = |observation: &Observation, etcd: &Fact<EtcdState>| {
        let plan = circumstances(None, |circumstances| {
            let endangered = Circumstances {
                endangered: true,
                ..circumstances.clone()
            };
            bounce_to_mend(observation, etcd, &endangered)
        });
        plan.map(|plan| plan.bounce.component).map_err(|why| why.kind())
    };
    let mut unready = ready();
    let failing = Health::Failing(crate::domain::Reason::new("informer-sync"));
    unready.health.insert(Component::ApiServer, Fact::Known(failing));
    unready.kubeadm = Fact::Known(vec![process(7, &[], "kubeadm")]);
    asked(Component::ApiServer, &unready, &well(), None).unwrap_err();
    assert_eq!(to_mend(&unready, &well()), Ok(Component::ApiServer));
    let alarmed = Fact::Known(EtcdState {
        has_leader: true,
        alarms: vec!["NOSPACE".to_owned()],
    });
    assert_eq!(to_mend(&unready, &alarmed), Err("unhealthy"));
    let mut several = unready;
    several.control_plane = Fact::Known(ControlPlane {
        nodes: BTreeSet::from(["a".to_owned(), "b".to_owned()]),
        source: "nodes",
    });
    assert_eq!(to_mend(&several, &well()), Err("several-control-plane-nodes"));
}

#[test]
fn on_a_healthy_node_each_component_may_be_bounced_and_only_the_api_server_is_ended_early() {
    for component in Component::ALL {
        let early = asked(component, &ready(), &well(), None).unwrap();
        assert_eq!(
            early.ok(),
            (component == Component::ApiServer).then_some(Duration::from_secs(1)),
            "{component}"
        );
    }
}

#[test]
fn each_reason_refuses() {
    type Spoil = fn(&mut Observation);
    let table: [(&str, Spoil); 10] = [
        ("several-control-plane-nodes", |o| {
            o.control_plane = Fact::Known(ControlPlane {
                nodes: BTreeSet::from(["a".to_owned(), "b".to_owned()]),
                source: "nodes",
            });
        }),
        ("control-plane-unknown", |o| {
            o.control_plane = Fact::unknown("no answer")
        }),
        ("kubelet-down", |o| o.kubelet.process = Fact::Absent),
        ("kubelet-starts", |o| {
            if let Fact::Known(kubelet) = &mut o.kubelet.process {
                kubelet.age_ms = 900;
            }
        }),
        ("kubeadm-runs", |o| {
            o.kubeadm = Fact::Known(vec![process(9, &["upgrade"], "none")]);
            if let Fact::Known(running) = &mut o.kubeadm {
                running[0].age_ms = 5_000;
            }
        }),
        ("unhealthy", |o| {
            o.health.insert(Component::ApiServer, Fact::Known(closed()));
        }),
        ("unhealthy", |o| {
            o.processes.insert(Component::ApiServer, Fact::Known(vec![]));
        }),
        ("unhealthy", |o| {
            o.manifests.insert(Component::ApiServer, Fact::Absent);
        }),
        ("unhealthy", |o| {
            let twin = entry("copy.yaml", manifest_text(Component::ApiServer));
            edit_folder(o, |entries| entries.push(twin));
        }),
        ("unhealthy", |o| o.manifest_folder = Fact::unknown("I/O error")),
    ];
    for (number, (kind, spoil)) in table.into_iter().enumerate() {
        let mut observation = ready();
        spoil(&mut observation);
        assert_eq!(
            asked(Component::ApiServer, &observation, &well(), None),
            Err(kind),
            "row {number}"
        );
    }
    assert_eq!(
        asked(Component::ApiServer, &ready(), &well(), Some("until then")),
        Err("paused")
    );
}

#[test]
fn an_etcd_that_is_not_well_refuses_the_bounce_of_itself_and_of_the_api_server_alone() {
    let not_well = [
        etcd(false, &[]),
        etcd(true, &["NOSPACE of member 1"]),
        Fact::unknown("no answer"),
        Fact::Absent,
    ];
    for state in not_well {
        for component in Component::ALL {
            let needs_etcd = matches!(component, Component::ApiServer | Component::Etcd);
            assert_eq!(
                asked(component, &ready(), &state, None).is_err(),
                needs_etcd,
                "{component} {state:?}"
            );
        }
    }
}

#[test]
fn a_server_that_could_lose_something_is_bounced_by_the_kubelet_and_the_reason_is_told() {
    let mut observation = ready();
    let text = manifest_text(Component::ApiServer).replace(
        "    - --allow-privileged=true\n",
        "    - --allow-privileged=true\n    - --shutdown-delay-duration=10s\n",
    );
    replace_manifest(&mut observation, Component::ApiServer, &text);
    let early = asked(Component::ApiServer, &observation, &well(), None).unwrap();
    assert_eq!(early, Err("--shutdown-delay-duration asks for time".to_owned()));
}
