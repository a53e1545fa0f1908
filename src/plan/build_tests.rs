//! Findings to plans, situation by situation.

use std::collections::BTreeMap;

use super::build::{Circumstances, build};
use super::change::{Change, Deed, ManifestEdit, Plan, WithheldReason};
use super::finding::{Evidence, Finding, ListMend, Mend, Verdict};
use super::in_flight_tests::{BEFORE, at, facts, node, old};
use super::select::{Selected, select};
use crate::config::{Action, Config};
use crate::domain::{
    Component, ControlPlane, Digest, EntryContent, Fact, FileId, FolderEntry, Health, Mode, Observation,
    Owner,
};
use crate::journal::{Act, Fault, JournalState, KnownManifest, Refusal, RefusedFlag};

/// A node that may be restarted.
pub(super) fn healthy() -> Observation {
    let mut observation = node(BEFORE, vec![old()], Health::Ok);
    let nodes = ["node1".to_owned()].into();
    observation.control_plane = Fact::Known(ControlPlane {
        nodes,
        source: "nodes",
    });
    observation
}

pub(super) struct Case {
    pub(super) config: Config,
    pub(super) journal: JournalState,
    pub(super) asked: bool,
    pub(super) settling: bool,
    pub(super) endangered: bool,
    pub(super) failed: BTreeMap<Digest, String>,
    pub(super) paused: Option<String>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            config: Config {
                mode: Action::Enforce,
                ..Config::default()
            },
            journal: JournalState {
                baseline: Some(vec![]),
                ..JournalState::default()
            },
            asked: false,
            settling: false,
            endangered: false,
            failed: BTreeMap::new(),
            paused: None,
        }
    }
}

impl Case {
    pub(super) fn plan(&self, findings: &[Finding], observation: &Observation) -> Plan {
        let circumstances = Circumstances {
            config: &self.config,
            journal: &self.journal,
            now: at(10_000),
            asked: self.asked,
            any_time: false,
            failed: &self.failed,
            retry: false,
            settling: self.settling,
            endangered: self.endangered,
            ending: false,
            starting: false,
            paused: self.paused.clone(),
        };
        build(&selected(&self.config), findings, observation, &circumstances)
    }
}

fn selected(config: &Config) -> Vec<Selected> {
    select(config).unwrap()
}

fn finding(id: &str, mend: Option<Mend>) -> Finding {
    finding_by(&Config::default(), id, mend)
}

fn finding_by(config: &Config, id: &str, mend: Option<Mend>) -> Finding {
    let control = selected(config)
        .into_iter()
        .map(|s| s.control)
        .find(|control| control.id.as_str() == id)
        .unwrap();
    let evidence = Evidence {
        object: format!("object of {id}"),
        verdict: Verdict::Drift,
        expected: "x".to_owned(),
        actual: "y".to_owned(),
        mend,
    };
    Finding::new(control, vec![evidence])
}

fn edit_in(change: &Change) -> &ManifestEdit {
    let Deed::EditManifest(edit) = &change.deed else {
        panic!("{change:#?}")
    };
    edit
}

pub(super) fn profiling() -> Finding {
    let name = "profiling".parse().unwrap();
    finding(
        "CIS-1.4.1",
        Some(Mend::Flag {
            component: Component::Scheduler,
            name,
            value: "false".to_owned(),
        }),
    )
}

pub(super) fn mode_of(id: &str, ceiling: u32) -> Finding {
    let path = "/etc/kubernetes/admin.conf".parse().unwrap();
    let (id_of_file, from) = (FileId { device: 1, inode: 1 }, Mode::from_bits(0o777));
    finding(
        id,
        Some(Mend::Mode {
            path,
            id: id_of_file,
            from,
            ceiling: Mode::from_bits(ceiling),
        }),
    )
}

fn reasons(plan: &Plan) -> Vec<&WithheldReason> {
    plan.withheld.iter().map(|withheld| &withheld.reason).collect()
}

#[test]
fn a_drifting_flag_becomes_one_edit_that_adds_one_line() {
    let plan = Case::default().plan(&[profiling()], &healthy());
    let [change] = plan.changes.as_slice() else {
        panic!("{plan:?}")
    };
    let Deed::EditManifest(edit) = &change.deed else {
        panic!("{change:?}")
    };
    assert_eq!(edit.after, format!("{BEFORE}    - --profiling=false\n"));
    assert_eq!(
        (edit.processes.clone(), edit.pods.clone()),
        (vec![old().id], vec!["old".to_owned()])
    );
    assert_eq!(plan.withheld, vec![]);
}

#[test]
fn two_ceilings_of_one_file_become_one_change_to_the_tighter_mode_and_the_mode_goes_before_the_owner() {
    let path: crate::domain::NodePath = "/etc/kubernetes/admin.conf".parse().unwrap();
    let owner = Mend::Owner {
        path,
        id: FileId { device: 1, inode: 1 },
        from: Owner { uid: 1, gid: 1 },
        to: Owner::ROOT,
    };
    let findings = [
        finding("CIS-1.1.14", Some(owner)),
        mode_of("CIS-1.1.13", 0o644),
        mode_of("CIS-1.1.15", 0o600),
    ];
    let plan = Case::default().plan(&findings, &healthy());
    let [Deed::SetMode { to, .. }, Deed::SetOwner { .. }] =
        plan.changes.iter().map(|c| c.deed.clone()).collect::<Vec<_>>()[..]
    else {
        panic!("{plan:?}")
    };
    assert_eq!(to, Mode::from_bits(0o600));
}

#[test]
fn audit_and_pause_hold_everything_back_and_an_explicit_command_acts_in_audit() {
    let findings = [profiling(), mode_of("CIS-1.1.13", 0o600)];
    let audit = Case {
        config: Config::default(),
        ..Case::default()
    };
    let plan = audit.plan(&findings, &healthy());
    assert_eq!(
        (plan.changes.len(), reasons(&plan)),
        (0, vec![&WithheldReason::Audit; 2])
    );
    let asked = Case {
        config: Config::default(),
        asked: true,
        ..Case::default()
    };
    assert_eq!(asked.plan(&findings, &healthy()).changes.len(), 2);
    let paused = Case {
        paused: Some("release".to_owned()),
        asked: true,
        ..Case::default()
    };
    let plan = paused.plan(&findings, &healthy());
    assert_eq!(
        (plan.changes.len(), reasons(&plan)),
        (0, vec![&WithheldReason::Paused("release".to_owned()); 2])
    );
}

fn refusal(flag: Option<RefusedFlag>, image: &str, change: Digest) -> Refusal {
    let edited = Case::default().plan(&[profiling()], &healthy());
    let Deed::EditManifest(edit) = &edited.changes[0].deed else {
        panic!()
    };
    let act = Act::EditManifest(crate::journal::EditedManifest {
        component: edit.component,
        path: edit.path.clone(),
        before: Digest::of(edit.before.as_bytes()),
        after: Digest::of(edit.after.as_bytes()),
        backup: "/b".parse().unwrap(),
        image: image.to_owned(),
        processes: vec![],
        pods: vec![],
        flags: edit.flags.clone(),
        touches_encryption: false,
        bounce: None,
    });
    let fault = Fault {
        why: "it ended".to_owned(),
        last_words: vec!["Error: no".to_owned()],
        flag,
    };
    Refusal {
        change,
        act,
        fault,
        recovered: true,
        at: at(1),
    }
}

#[test]
fn a_refused_change_is_not_tried_again_until_its_inputs_change() {
    let id = Case::default().plan(&[profiling()], &healthy()).changes[0].id;
    let mut case = Case::default();
    case.journal.refusals = vec![refusal(None, "x", id)];
    let plan = case.plan(&[profiling()], &healthy());
    let words = WithheldReason::Refused("it ended. Its last words: Error: no".to_owned());
    assert_eq!((plan.changes.len(), reasons(&plan)), (0, vec![&words]));
    let changed = BEFORE.replace("leader-elect=true", "leader-elect=false");
    let mut other = healthy();
    other.manifests = node(&changed, vec![], Health::Ok).manifests;
    assert_eq!(case.plan(&[profiling()], &other).changes.len(), 1);
}

#[test]
fn a_flag_at_fault_is_left_out_and_does_not_hold_up_the_others() {
    let flag = |name: &str, value: &str| RefusedFlag {
        name: name.parse().unwrap(),
        value: value.to_owned(),
    };
    let image = "registry.k8s.io/kube-scheduler:v1.35.4";
    let mut case = Case::default();
    case.journal.refusals = vec![refusal(
        Some(flag("profiling", "false")),
        image,
        Digest::of(b"another"),
    )];
    let mut other = profiling();
    other.evidence[0].mend = Some(Mend::Flag {
        component: Component::Scheduler,
        name: "v".parse().unwrap(),
        value: "2".to_owned(),
    });
    let plan = case.plan(&[profiling(), other.clone()], &healthy());
    let [change] = plan.changes.as_slice() else {
        panic!("{plan:?}")
    };
    let Deed::EditManifest(edit) = &change.deed else {
        panic!()
    };
    assert_eq!(edit.flags, [flag("v", "2")]);
    assert_eq!(plan.withheld[0].reason.kind(), "refused");
    // Another image may bear it.
    case.journal.refusals = vec![refusal(
        Some(flag("profiling", "false")),
        "old",
        Digest::of(b"another"),
    )];
    let plan = case.plan(&[profiling(), other], &healthy());
    assert_eq!((plan.changes.len(), plan.withheld.len()), (1, 0));
}

#[test]
fn a_flag_that_names_a_file_waits_until_that_is_there_and_mounted() {
    let mut wanted = profiling();
    let name = "audit-policy-file".parse().unwrap();
    let mend = Mend::Flag {
        component: Component::Scheduler,
        name,
        value: "/etc/kubernetes/audit.yaml".to_owned(),
    };
    wanted.evidence[0].mend = Some(mend);
    let plan = Case::default().plan(&[wanted.clone()], &healthy());
    assert_eq!(plan.withheld[0].reason.kind(), "file-missing");
    let mounted = format!(
        "{BEFORE}    volumeMounts:\n    - mountPath: /etc/kubernetes\n      name: k8s\n  volumes:\n  - hostPath:\n      path: /etc/kubernetes\n    name: k8s\n"
    );
    let mut observation = healthy();
    observation.manifests = node(&mounted, vec![], Health::Ok).manifests;
    let path: crate::domain::NodePath = "/etc/kubernetes/audit.yaml".parse().unwrap();
    observation.files.insert(path.clone(), Fact::Absent);
    assert_eq!(
        Case::default().plan(&[wanted.clone()], &observation).withheld[0]
            .reason
            .kind(),
        "file-missing"
    );
    observation.files.insert(path, Fact::Known(facts()));
    assert_eq!(Case::default().plan(&[wanted], &observation).changes.len(), 1);
}

#[test]
fn an_edit_that_someone_keeps_undoing_is_backed_off_from() {
    let mut case = Case::default();
    let act = refusal(None, "x", Digest::of(b"x")).act;
    case.journal.finished = (0..5).map(|n| (act.clone(), at(9_000 + n))).collect();
    let plan = case.plan(&[profiling()], &healthy());
    assert_eq!(
        (plan.changes.len(), plan.withheld[0].reason.kind()),
        (0, "flapping")
    );
    case.journal.finished = (0..5).map(|n| (act.clone(), at(5_000 + n))).collect();
    assert_eq!(
        case.plan(&[profiling()], &healthy()).changes.len(),
        1,
        "an hour later"
    );
}

#[test]
fn what_lay_in_the_folder_at_the_first_start_is_known_from_then_on() {
    let mut observation = healthy();
    let digest = Digest::of(b"kube-vip");
    let content = EntryContent::Pod {
        namespace: "kube-system".to_owned(),
        name: "kube-vip".to_owned(),
        digest,
    };
    let entry = FolderEntry {
        name: "kube-vip.yaml".to_owned(),
        exact_name: true,
        facts: facts(),
        content,
        let_in: Fact::Absent,
    };
    if let Fact::Known(entries) = &mut observation.manifest_folder {
        entries.push(entry);
    }
    let first = Case {
        journal: JournalState::default(),
        ..Case::default()
    };
    let known = vec![KnownManifest {
        name: "kube-vip.yaml".to_owned(),
        digest,
    }];
    assert_eq!(first.plan(&[], &observation).baseline, Some(known));
    let settling = Case {
        settling: true,
        ..first
    };
    assert_eq!(
        settling.plan(&[], &observation).baseline,
        None,
        "it is being written"
    );
    assert_eq!(Case::default().plan(&[], &observation).baseline, None);
}

#[test]
fn a_change_that_failed_a_moment_ago_is_not_tried_again_yet() {
    let id = Case::default().plan(&[profiling()], &healthy()).changes[0].id;
    let case = Case {
        failed: BTreeMap::from([(id, "no space".to_owned())]),
        ..Case::default()
    };
    let plan = case.plan(&[profiling()], &healthy());
    assert_eq!(
        (plan.changes.len(), plan.withheld[0].reason.kind()),
        (0, "waiting")
    );
}

#[test]
fn what_takes_the_api_away_is_restarted_before_a_leader_that_would_end_with_it() {
    let flag = |id: &str, component| {
        let mend = Mend::Flag {
            component,
            name: "profiling".parse().unwrap(),
            value: "false".to_owned(),
        };
        finding(id, Some(mend))
    };
    let findings = [
        flag("CIS-1.4.1", Component::Scheduler),
        flag("CIS-1.3.2", Component::ControllerManager),
        flag("CIS-1.2.15", Component::ApiServer),
    ];
    // Held back for whatever reason, they are told in the order in which they would be made.
    let plan = Case::default().plan(&findings, &super::fixtures::fresh_node());
    let told: Vec<&str> = plan
        .withheld
        .iter()
        .filter_map(|withheld| withheld.object.split(' ').next())
        .collect();
    assert_eq!(
        told,
        ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]
    );
}

#[test]
fn what_several_controls_want_of_a_list_becomes_one_edit_and_a_list_that_must_not_be_empty_is_not_emptied() {
    let current = vec!["AlwaysAllow".to_owned()];
    let items = |add: &[&str], remove: &[&str]| {
        let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        Mend::List {
            component: Component::Scheduler,
            name: "authorization-mode".parse().unwrap(),
            items: ListMend {
                current: current.clone(),
                add: owned(add),
                remove: owned(remove),
                may_be_empty: false,
            },
        }
    };
    let not_all = finding("CIS-1.2.6", Some(items(&[], &["AlwaysAllow"])));
    let node = finding("CIS-1.2.7", Some(items(&["Node"], &[])));
    let rbac = finding("CIS-1.2.8", Some(items(&["RBAC"], &[])));
    let plan = Case::default().plan(&[not_all.clone(), node, rbac], &healthy());
    let [change] = plan.changes.as_slice() else {
        panic!("{plan:#?}")
    };
    assert_eq!(change.controls.len(), 3);
    let edit = edit_in(change);
    assert!(
        edit.after.contains("- --authorization-mode=Node,RBAC\n"),
        "{}",
        edit.after
    );

    let plan = Case::default().plan(&[not_all], &healthy());
    assert!(plan.changes.is_empty());
    let [WithheldReason::NeedsOperator(why)] = reasons(&plan)[..] else {
        panic!("{plan:#?}")
    };
    assert!(why.contains("kube-scheduler does not start"), "{why}");
}

#[test]
fn a_value_that_the_operator_requires_is_the_one_that_is_set_and_serves_the_controls_of_its_flag() {
    let required = "NodeRestriction,AlwaysPullImages";
    let mut case = Case::default();
    case.config.required_flags.insert(
        Component::Scheduler,
        [
            ("enable-admission-plugins".parse().unwrap(), required.to_owned()),
            ("tls-min-version".parse().unwrap(), "VersionTLS13".to_owned()),
        ]
        .into(),
    );
    let flag = |id: &str, name: &str, value: &str| {
        let mend = Mend::Flag {
            component: Component::Scheduler,
            name: name.parse().unwrap(),
            value: value.to_owned(),
        };
        finding_by(&case.config, id, Some(mend))
    };
    let list = Mend::List {
        component: Component::Scheduler,
        name: "enable-admission-plugins".parse().unwrap(),
        items: ListMend {
            current: vec!["X".to_owned()],
            add: vec!["NodeRestriction".to_owned()],
            remove: vec![],
            may_be_empty: true,
        },
    };
    let findings = [
        flag("X-API-05", "tls-min-version", "VersionTLS12"),
        finding("CIS-1.2.14", Some(list)),
        flag(
            "HF-FLAG-KUBE-SCHEDULER.ENABLE-ADMISSION-PLUGINS",
            "enable-admission-plugins",
            required,
        ),
        flag(
            "HF-FLAG-KUBE-SCHEDULER.TLS-MIN-VERSION",
            "tls-min-version",
            "VersionTLS13",
        ),
    ];
    let plan = case.plan(&findings, &healthy());
    let [change] = plan.changes.as_slice() else {
        panic!("{plan:#?}")
    };
    let edit = edit_in(change);
    let set: Vec<String> = edit
        .flags
        .iter()
        .map(|flag| format!("{}={}", flag.name, flag.value))
        .collect();
    assert_eq!(
        set,
        [
            "--tls-min-version=VersionTLS13",
            &format!("--enable-admission-plugins={required}")
        ]
    );
    assert_eq!(change.controls.len(), 4);
}

#[test]
fn a_copy_that_two_controls_want_away_is_one_change_and_waits_where_a_restart_would() {
    let copy = |twin: Option<&str>| Mend::Quarantine {
        path: "/etc/kubernetes/manifests/x.bak".parse().unwrap(),
        digest: Digest::of(b"x"),
        twin: twin.map(|twin| twin.parse().unwrap()),
    };
    let real = Some("/etc/kubernetes/manifests/kube-scheduler.yaml");
    let wanted = |twin| {
        [
            finding("X-FILE-02", Some(copy(twin))),
            finding("X-FILE-03", Some(copy(twin))),
        ]
    };
    let plan = Case::default().plan(&wanted(real), &healthy());
    let [change] = plan.changes.as_slice() else {
        panic!("{plan:?}")
    };
    assert_eq!(change.controls.len(), 2);
    assert!(matches!(&change.deed, Deed::Quarantine { twin: Some(_), .. }));

    let [one, other] = wanted(real);
    let plan = Case::default().plan(&[one, other, profiling()], &healthy());
    assert_eq!(
        (plan.changes.len(), reasons(&plan)[0].kind()),
        (1, "waiting"),
        "one restart at a time"
    );

    let settling = || Case {
        settling: true,
        ..Case::default()
    };
    let plan = settling().plan(&wanted(real), &healthy());
    assert_eq!(
        (plan.changes.len(), reasons(&plan)[0].kind()),
        (0, "waiting"),
        "kubeadm and editors make files, too"
    );
    let mut upgrading = healthy();
    let mut kubeadm = old();
    kubeadm.age_ms = 5_000;
    upgrading.kubeadm = Fact::Known(vec![kubeadm]);
    let plan = Case::default().plan(&wanted(real), &upgrading);
    assert_eq!(
        (plan.changes.len(), reasons(&plan)[0].kind()),
        (0, "kubeadm-runs")
    );
    assert_eq!(
        settling().plan(&wanted(None), &upgrading).changes.len(),
        1,
        "a pod of its own takes nothing with it"
    );
}
