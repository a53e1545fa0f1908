//! Conditional remedies: refused with the reason while something is missing, and made in one edit when all is there.

use std::collections::BTreeMap;

use super::super::change::{Deed, Plan};
use super::super::fixtures::{
    API_SERVER, facts, named_files_are_there, path, planned, ready_to_restart, replace_manifest,
};
use super::*;
use crate::domain::{FileKind, Mode, Owner};
use crate::journal::JournalState;
use crate::manifest::unified_diff;

pub(super) const ALLOWED: &str = "mode: enforce\nconditional: allow\n";
const LOG_FOLDER: &str = "/var/log/kubernetes/audit";
const POLICY_FOLDER: &str = "/etc/kubernetes/audit";
const POLICY: &str = "/etc/kubernetes/audit/policy.yaml";
const AUDIT: [&str; 5] = [
    "CIS-1.2.16",
    "CIS-1.2.17",
    "CIS-1.2.18",
    "CIS-1.2.19",
    "CIS-3.2.1",
];
const GIB: u64 = 1 << 30;

/// A fresh node that may be restarted, with nothing of the audit log and room for it.
fn node() -> Observation {
    with_manifest(API_SERVER)
}

pub(super) fn with_manifest(text: &str) -> Observation {
    let mut node = ready_to_restart();
    replace_manifest(&mut node, Component::ApiServer, text);
    named_files_are_there(&mut node, Component::ApiServer);
    for above in ["/", "/var", "/var/log", "/etc", "/etc/kubernetes"] {
        folder(&mut node, above, 0o755);
    }
    for absent in [LOG_FOLDER, "/var/log/kubernetes", POLICY_FOLDER, POLICY] {
        node.files.insert(path(absent), Fact::Absent);
    }
    node.free_space.insert(path(LOG_FOLDER), Fact::Known(4 * GIB));
    node
}

pub(super) fn folder(node: &mut Observation, name: &str, mode: u32) {
    let fact = facts(name, FileKind::Directory, mode);
    node.files.insert(path(name), Fact::Known(fact));
}

fn policy(node: &mut Observation, text: &str) {
    let fact = facts(POLICY, FileKind::Regular, 0o600);
    node.files.insert(path(POLICY), Fact::Known(fact));
    let document = serde_yaml::from_str(text).unwrap();
    node.documents.insert(path(POLICY), Fact::Known(document));
}

pub(super) fn plan(text: &str, node: &Observation) -> Plan {
    planned(text, node, &JournalState::default(), &BTreeMap::new())
}

/// The changes that serve the audit log.
fn of_audit(plan: &Plan) -> Vec<&Change> {
    let serves = |change: &&Change| {
        let mut ids = change.controls.iter().map(ControlId::as_str);
        ids.any(|id| AUDIT.contains(&id))
    };
    plan.changes.iter().filter(serves).collect()
}

/// Why one of these controls is not mended.
fn why_not(plan: &Plan, control: &str) -> String {
    assert!(of_audit(plan).is_empty(), "{:?}", plan.changes);
    let of = |held: &&Withheld| held.controls.iter().any(|id| id.as_str() == control);
    let held = plan.withheld.iter().find(of).unwrap();
    format!("{}: {}", held.reason.kind(), held.reason)
}

/// The lines that the edit of the API server's manifest adds, and takes away.
pub(super) fn edited(plan: &Plan) -> (Vec<String>, Vec<String>) {
    let restarts = |change: &&Change| change.restarts() == Some(Component::ApiServer);
    let edits: Vec<_> = plan.changes.iter().filter(restarts).collect();
    let [
        Change {
            deed: Deed::EditManifest(edit),
            ..
        },
    ] = edits.as_slice()
    else {
        panic!("one edit restarts it once: {edits:?}")
    };
    let diff = unified_diff("m", &edit.before, &edit.after);
    let with = |sign: char| {
        let lines = diff.lines().skip(2).filter_map(|line| line.strip_prefix(sign));
        lines.map(|line| line.trim().to_owned()).collect()
    };
    (with('+'), with('-'))
}

#[test]
fn without_the_operators_word_it_is_only_reported_with_what_it_needs() {
    let plan = plan("mode: enforce\n", &node());
    for control in AUDIT {
        let why = why_not(&plan, control);
        assert!(
            why.starts_with("needs-operator: ") && why.contains("`conditional: allow`"),
            "{why}"
        );
    }
}

#[test]
fn with_it_the_folders_and_the_policy_are_made_and_one_edit_gives_all_flags_and_mounts() {
    let plan = plan(ALLOWED, &node());
    let made: Vec<String> = of_audit(&plan)
        .iter()
        .map(|change| change.deed.to_string())
        .collect();
    assert_eq!(
        made,
        [
            "folder /var/log/kubernetes/audit, root's alone",
            "folder /etc/kubernetes/audit, root's alone",
            "file /etc/kubernetes/audit/policy.yaml, which is not there yet",
            "edit of /etc/kubernetes/manifests/kube-apiserver.yaml, which restarts kube-apiserver",
        ]
    );
    let (added, removed) = edited(&plan);
    for line in [
        "- --audit-log-path=/var/log/kubernetes/audit/audit.log",
        "- --audit-log-maxage=30",
        "- --audit-log-maxbackup=10",
        "- --audit-log-maxsize=100",
        "- --audit-policy-file=/etc/kubernetes/audit/policy.yaml",
        "- mountPath: /var/log/kubernetes/audit",
        "- mountPath: /etc/kubernetes/audit",
        "type: DirectoryOrCreate",
        "type: Directory",
    ] {
        assert!(added.contains(&line.to_owned()), "{line}: {added:#?}");
    }
    // Only the policy is read-only.
    let read_only = added.iter().filter(|line| *line == "readOnly: true").count();
    assert_eq!((read_only, removed), (1, Vec::<String>::new()));
}

#[test]
fn one_control_can_be_allowed_by_name_and_says_what_it_needs_beside_it() {
    let one = "mode: enforce\ncontrols: {CIS-1.2.16: {conditional: allow}}\n";
    let why = why_not(&plan(one, &node()), "CIS-1.2.16");
    assert_eq!(
        why,
        "not-ready: without --audit-policy-file nothing is logged: let CIS-3.2.1 be mended, too"
    );
    let both =
        "mode: enforce\ncontrols: {CIS-1.2.16: {conditional: allow}, CIS-3.2.1: {conditional: allow}}\n";
    assert_eq!(of_audit(&plan(both, &node())).len(), 4);
    let but = "mode: enforce\nconditional: allow\ncontrols: {CIS-3.2.1: {conditional: report}}\n";
    assert!(why_not(&plan(but, &node()), "CIS-1.2.17").starts_with("not-ready: without --audit-policy-file"));
}

#[test]
fn without_room_for_the_log_nothing_is_touched() {
    let mut node = node();
    node.free_space.insert(path(LOG_FOLDER), Fact::Known(GIB));
    let why = why_not(&plan(ALLOWED, &node), "CIS-1.2.16");
    assert!(
        why.starts_with(
            "not-ready: the log may take 1100 MiB, and where /var/log/kubernetes/audit lies 1024 MiB are free"
        ),
        "{why}"
    );
    // Less is kept, by the operator's word.
    let fewer = "mode: enforce\nconditional: allow\ncontrols: {CIS-1.2.18: {value: 3}}\n";
    assert_eq!(of_audit(&plan(fewer, &node)).len(), 4);
    for unknown in [Fact::unknown("EIO"), Fact::Absent] {
        node.free_space.insert(path(LOG_FOLDER), unknown);
        assert!(why_not(&plan(ALLOWED, &node), "CIS-1.2.16").contains("what is free"));
    }
}

#[test]
fn a_policy_that_is_there_is_kept_if_it_is_one() {
    let mut node = node();
    folder(&mut node, POLICY_FOLDER, 0o755);
    policy(&mut node, "kind: Policy\nrules: [{level: Metadata}]\n");
    let plan_of = |node: &Observation| plan(ALLOWED, node);
    let deeds = |plan: &Plan| {
        let made = of_audit(plan)
            .into_iter()
            .filter(|change| change.restarts().is_none());
        made.map(|change| change.deed.path().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(deeds(&plan_of(&node)), [LOG_FOLDER]);
    policy(&mut node, "kind: Policy\nrules: [{level: All}]\n");
    let why = why_not(&plan_of(&node), "CIS-3.2.1");
    assert!(
        why.starts_with("not-ready: /etc/kubernetes/audit/policy.yaml: it is no audit policy"),
        "{why}"
    );
    node.documents
        .insert(path(POLICY), Fact::unknown("line 2: it is not YAML"));
    assert_eq!(
        why_not(&plan_of(&node), "CIS-3.2.1"),
        "not-ready: line 2: it is not YAML"
    );
}

#[test]
fn a_policy_of_the_operators_must_be_there() {
    let theirs = "mode: enforce\nconditional: allow\ncontrols: {CIS-3.2.1: {value: /etc/audit/mine.yaml}}\n";
    let mut node = node();
    let file = path("/etc/audit/mine.yaml");
    folder(&mut node, "/etc/audit", 0o755);
    node.files.insert(file.clone(), Fact::Absent);
    let why = why_not(&plan(theirs, &node), "CIS-3.2.1");
    assert!(
        why.starts_with("not-ready: /etc/audit/mine.yaml is not there"),
        "{why}"
    );
    let there = facts(file.as_str(), FileKind::Regular, 0o644);
    node.files.insert(file.clone(), Fact::Known(there));
    let document = serde_yaml::from_str("kind: Policy\nrules: []\n").unwrap();
    node.documents.insert(file, Fact::Known(document));
    let (added, _) = edited(&plan(theirs, &node));
    assert!(added.contains(&"- --audit-policy-file=/etc/audit/mine.yaml".to_owned()));
    assert!(added.contains(&"- mountPath: /etc/audit".to_owned()));
}

#[test]
fn a_folder_that_others_can_write_to_is_not_mounted() {
    let mut node = node();
    for (mode, uid) in [(0o777, 0), (0o755, 1000)] {
        let mut fact = facts(LOG_FOLDER, FileKind::Directory, mode);
        fact.owner = Owner { uid, ..Owner::ROOT };
        node.files.insert(path(LOG_FOLDER), Fact::Known(fact));
        let why = why_not(&plan(ALLOWED, &node), "CIS-1.2.16");
        assert!(why.contains("somebody else than root can write there"), "{why}");
    }
    let mut link = facts(LOG_FOLDER, FileKind::Symlink, 0o777);
    link.mode = Mode::from_bits(0o777);
    node.files.insert(path(LOG_FOLDER), Fact::Known(link));
    assert!(why_not(&plan(ALLOWED, &node), "CIS-1.2.16").ends_with("is no folder"));
    node.files.insert(path(LOG_FOLDER), Fact::unknown("EACCES"));
    assert_eq!(why_not(&plan(ALLOWED, &node), "CIS-1.2.16"), "not-ready: EACCES");
}

/// As Ubuntu has it: the system log's account could put another folder in the place of ours.
#[test]
fn a_folder_below_one_that_others_can_write_to_is_not_mounted() {
    let mut node = node();
    let theirs = |gid, mode| {
        let mut fact = facts("/var/log", FileKind::Directory, mode);
        fact.owner = Owner { gid, ..Owner::ROOT };
        Fact::Known(fact)
    };
    for (gid, mode, is_fine) in [
        (0, 0o775, true),
        (104, 0o755, true),
        (104, 0o775, false),
        (0, 0o777, false),
    ] {
        node.files.insert(path("/var/log"), theirs(gid, mode));
        let plan = plan(ALLOWED, &node);
        assert_eq!(
            of_audit(&plan).len(),
            if is_fine { 4 } else { 0 },
            "{gid} {mode:o}"
        );
        if !is_fine {
            assert!(why_not(&plan, "CIS-1.2.16").contains("the control's `value`"));
        }
    }
}

#[test]
fn what_could_not_be_made_a_moment_ago_holds_the_edit_back() {
    let first = plan(ALLOWED, &node());
    let folder = of_audit(&first)[0].id;
    let failed = BTreeMap::from([(folder, "no space left".to_owned())]);
    let second = planned(ALLOWED, &node(), &JournalState::default(), &failed);
    let why = why_not(&second, "CIS-1.2.16");
    assert!(
        why.starts_with("waiting: ") && why.contains("no space left"),
        "{why}"
    );
}

#[test]
fn what_is_given_already_stays_and_a_folder_that_is_mounted_is_not_mounted_again() {
    let given = API_SERVER.replace(
        "    - --etcd-servers",
        "    - --audit-log-path=/var/log/kubernetes/audit/audit.log\n    - --audit-log-maxage=90\n    - --audit-log-maxbackup=5\n    - --etcd-servers",
    );
    let given = given.replace(
        "    volumeMounts:\n",
        "    volumeMounts:\n    - mountPath: /var/log/kubernetes/audit\n      name: log\n",
    );
    let given = given.replace(
        "  volumes:\n",
        "  volumes:\n  - hostPath:\n      path: /var/log/kubernetes/audit\n    name: log\n",
    );
    let mut node = with_manifest(&given);
    folder(&mut node, LOG_FOLDER, 0o700);
    let log = path("/var/log/kubernetes/audit/audit.log");
    let fact = facts(log.as_str(), FileKind::Regular, 0o600);
    node.files.insert(log, Fact::Known(fact));
    let (added, removed) = edited(&plan(ALLOWED, &node));
    assert!(
        !added
            .iter()
            .any(|line| line.contains("maxage") || line.contains("/var/log")),
        "{added:?}"
    );
    assert!(
        added.contains(&"- --audit-log-maxbackup=10".to_owned()),
        "{added:?}"
    );
    assert_eq!(removed, ["- --audit-log-maxbackup=5"]);
}

/// Whether the API server is to verify kubelets, or why not.
fn verifies(node: &Observation) -> Result<(), String> {
    let plan = plan(ALLOWED, node);
    let of = |held: &&Withheld| held.controls.iter().any(|id| id.as_str() == "CIS-1.2.5");
    if let Some(held) = plan.withheld.iter().find(of) {
        return Err(held.reason.to_string());
    }
    let (added, _) = edited(&plan);
    let flag = "- --kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt".to_owned();
    assert!(added.contains(&flag), "{added:?}");
    Ok(())
}

#[test]
fn the_api_server_verifies_kubelets_when_each_of_the_cluster_is_verified() {
    let mut node = node();
    let authority = path("/etc/kubernetes/pki/ca.crt");
    let fact = facts(authority.as_str(), FileKind::Regular, 0o644);
    node.files.insert(authority, Fact::Known(fact));
    let of = |nodes: &[(&str, Option<&str>)]| {
        let result = |why: &Option<&str>| why.map_or(Ok(()), |why| Err(crate::domain::Reason::new(why)));
        Fact::Known(
            nodes
                .iter()
                .map(|(name, why)| ((*name).to_owned(), result(why)))
                .collect(),
        )
    };
    for (kubelets, why) in [
        (of(&[]), "the cluster shows no node"),
        (
            Fact::unknown("it answers 403"),
            "the kubelets could not be dialled: it answers 403",
        ),
        (
            of(&[
                ("node1", None),
                ("node2", Some("192.0.2.12:10250: its certificate is not verified")),
            ]),
            "with it the API server would refuse the kubelets of node2 (192.0.2.12:10250: its certificate is not verified)",
        ),
        (
            of(&[
                ("a", Some("x")),
                ("b", Some("x")),
                ("c", Some("x")),
                ("d", Some("x")),
                ("e", Some("x")),
                ("f", Some("x")),
            ]),
            "with it the API server would refuse the kubelets of a (x), b (x), c (x), d (x), e (x), and 1 more",
        ),
    ] {
        node.kubelets = kubelets;
        assert_eq!(verifies(&node), Err(why.to_owned()));
    }
    node.kubelets = of(&[("node1", None), ("node2", None)]);
    assert_eq!(verifies(&node), Ok(()));
}

#[test]
fn tokens_end_when_they_say_so_where_no_client_needs_them_longer() {
    let mut node = node();
    let why = |node: &Observation| {
        let plan = plan(ALLOWED, node);
        let of = |held: &&Withheld| held.controls.iter().any(|id| id.as_str() == "CIS-1.2.30");
        plan.withheld.iter().find(of).map(|held| held.reason.to_string())
    };
    for (stale, told) in [
        (Fact::Known(3), "3 times"),
        (Fact::Absent, "does not show its metrics"),
        (Fact::unknown("it answers 500"), "it answers 500"),
    ] {
        node.stale_tokens = stale;
        assert!(why(&node).is_some_and(|why| why.contains(told)), "{told}");
    }
    node.stale_tokens = Fact::Known(0);
    assert_eq!(why(&node), None);
    let (added, _) = edited(&plan(ALLOWED, &node));
    assert!(added.contains(&"- --service-account-extend-token-expiration=false".to_owned()));
}

#[test]
fn etcds_data_go_to_its_account_where_there_is_one_and_etcd_bears_it() {
    let etcd = Owner { uid: 998, gid: 997 };
    let owner = |node: &Observation| {
        let changes = plan(ALLOWED, node).changes;
        changes.into_iter().find_map(|change| match change.deed {
            Deed::SetOwner { path, to, .. } => Some((path.to_string(), to)),
            Deed::SetMode { .. }
            | Deed::EditManifest(_)
            | Deed::EditKubelet(_)
            | Deed::Bounce(_)
            | Deed::MakeFolder { .. }
            | Deed::Install { .. }
            | Deed::Quarantine { .. } => None,
        })
    };
    let mut node = node();
    assert_eq!(owner(&node), None, "there is no account");
    let account = crate::domain::Account {
        user: "etcd".to_owned(),
        group: "etcd".to_owned(),
    };
    node.accounts.insert(account, Fact::Known(etcd));
    assert_eq!(owner(&node), Some(("/var/lib/etcd".to_owned(), etcd)));
    for (user, is_given) in [(998, true), (1000, false)] {
        let text = super::super::fixtures::ETCD.replace(
            "  hostNetwork: true",
            &format!("  securityContext:\n    runAsUser: {user}\n  hostNetwork: true"),
        );
        let text = text.replace(
            "  securityContext:\n    seccompProfile:\n      type: RuntimeDefault\n",
            "",
        );
        replace_manifest(&mut node, Component::Etcd, &text);
        assert_eq!(owner(&node).is_some(), is_given, "{user}");
    }
}
