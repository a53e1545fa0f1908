//! What holds a restart back, and that nothing else is held back with it.

use super::build_tests::{Case, healthy, mode_of, profiling};
use super::change::Deed;
use super::in_flight_tests::{failing, process};
use crate::domain::{Component, ControlPlane, Fact, Observation, Process};

fn aged(observation: &mut Observation, age_ms: u64) {
    observation.kubelet.process = Fact::Known(Process {
        age_ms,
        ..process(700, &["kubelet"], "none")
    });
}

#[test]
fn a_kubelet_that_has_run_for_a_while_restarts_components_and_one_that_starts_hides_no_other_reason() {
    let mut observation = healthy();
    aged(&mut observation, 15_000);
    assert_eq!(
        Case::default().plan(&[profiling()], &observation).changes.len(),
        1
    );
    aged(&mut observation, 3_001);
    let plan = Case::default().plan(&[profiling()], &observation);
    let why = plan.withheld[0].reason.to_string();
    assert!(why.ends_with("waiting 12 s more"), "{why}");
    observation
        .health
        .insert(Component::Scheduler, Fact::Known(failing()));
    let plan = Case::default().plan(&[profiling()], &observation);
    assert_eq!(plan.withheld[0].reason.kind(), "unhealthy");
}

#[test]
fn what_makes_a_restart_unsafe_holds_the_edit_back_and_lets_the_mode_go_on() {
    type Break = fn(&mut Observation);
    let breaks: [(&str, Break); 8] = [
        ("several-control-plane-nodes", |o| {
            let nodes = ["a".to_owned(), "b".to_owned()].into();
            o.control_plane = Fact::Known(ControlPlane {
                nodes,
                source: "etcd members",
            });
        }),
        ("control-plane-unknown", |o| {
            o.control_plane = Fact::unknown("nobody answers")
        }),
        ("kubelet-down", |o| o.kubelet.process = Fact::Absent),
        ("kubelet-starts", |o| aged(o, 14_999)),
        ("kubeadm-runs", |o| {
            let mut kubeadm = process(1, &[], "none");
            kubeadm.age_ms = 14 * 60_000;
            o.kubeadm = Fact::Known(vec![kubeadm]);
        }),
        ("unhealthy", |o| {
            o.health.insert(Component::Scheduler, Fact::Known(failing()));
        }),
        ("unhealthy", |o| {
            o.processes.insert(Component::Scheduler, Fact::Known(vec![]));
        }),
        ("unhealthy", |o| {
            o.health.insert(Component::Scheduler, Fact::Absent);
        }),
    ];
    for (kind, break_it) in breaks {
        let mut observation = healthy();
        break_it(&mut observation);
        let plan = Case::default().plan(&[profiling(), mode_of("CIS-1.1.13", 0o600)], &observation);
        let kinds: Vec<&str> = plan
            .withheld
            .iter()
            .map(|withheld| withheld.reason.kind())
            .collect();
        assert_eq!(kinds, [kind]);
        assert!(
            matches!(plan.changes.as_slice(), [change] if matches!(change.deed, Deed::SetMode { .. })),
            "{kind}"
        );
    }
}

#[test]
fn kubeadm_is_waited_for_fifteen_minutes_and_then_only_warned_of() {
    let mut observation = healthy();
    let mut kubeadm = process(1, &[], "none");
    kubeadm.age_ms = 15 * 60_000 + 1;
    observation.kubeadm = Fact::Known(vec![kubeadm]);
    let plan = Case::default().plan(&[profiling()], &observation);
    assert_eq!((plan.changes.len(), plan.warnings.len()), (1, 1));
}

#[test]
fn files_that_have_just_changed_hold_back_restarts_only() {
    let case = Case {
        settling: true,
        ..Case::default()
    };
    let plan = case.plan(&[profiling(), mode_of("CIS-1.1.13", 0o600)], &healthy());
    assert!(matches!(plan.changes.as_slice(), [change] if matches!(change.deed, Deed::SetMode { .. })));
}

#[test]
fn values_in_danger_hold_back_restarts_only() {
    let case = Case {
        endangered: true,
        ..Case::default()
    };
    let plan = case.plan(&[profiling(), mode_of("CIS-1.1.13", 0o600)], &healthy());
    assert!(matches!(plan.changes.as_slice(), [change] if matches!(change.deed, Deed::SetMode { .. })));
    let why: Vec<String> = plan.withheld.iter().map(|held| held.reason.to_string()).collect();
    assert!(
        matches!(why.as_slice(), [why] if why.starts_with("encryption at rest comes first")),
        "{why:?}"
    );
}
