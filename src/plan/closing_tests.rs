//! What is closed only where nobody but root uses it: not ready with the reason, and closed when that is proven.

use super::super::fixtures::{edit_file, fresh_node, path, planned};
use super::super::judge_places_tests::whole_node;
use super::*;
use crate::domain::Mode;
use crate::journal::JournalState;
use crate::plan::Plan;

const ALLOWED: &str = "mode: enforce\nconditional: allow\n";
const KUBELET: &str = "/var/lib/kubelet";
const LOG: &str = "/var/log/kubernetes/audit.log";
const POLICY: &str = "/etc/kubernetes/audit/policy.yaml";

fn reader(pid: i32, of: &str) -> Reader {
    Reader {
        pid,
        program: "shipper".to_owned(),
        of: path(of),
    }
}

/// What comes of that control: its changes, and the reasons of those that are not made.
fn came(node: &Observation, config: &str, id: &str) -> Vec<String> {
    let plan: Plan = planned(config, node, &JournalState::default(), &BTreeMap::new());
    let serves = |controls: &[crate::domain::ControlId]| controls.iter().any(|one| one.as_str() == id);
    let changes = plan.changes.iter().filter(|change| serves(&change.controls));
    let withheld = plan.withheld.iter().filter(|held| serves(&held.controls));
    changes
        .map(|change| change.deed.to_string())
        .chain(withheld.map(|held| format!("{}: {}", held.reason.kind(), held.reason)))
        .collect()
}

#[test]
fn the_kubelets_folder_is_closed_when_nobody_but_root_uses_it() {
    let mut node = fresh_node();
    let not_known = "not-ready: whether others than root use it cannot be told: it was not looked at";
    assert_eq!(came(&node, ALLOWED, "X-FILE-08"), [not_known]);
    node.readers = Fact::Known(vec![reader(7, LOG)]);
    assert_eq!(
        came(&node, ALLOWED, "X-FILE-08"),
        ["mode of /var/lib/kubelet: 0775 -> 0750"]
    );
    let without = came(&node, "mode: enforce\n", "X-FILE-08");
    assert!(
        without.len() == 1 && without[0].starts_with("needs-operator: "),
        "{without:?}"
    );
}

#[test]
fn who_would_be_shut_out_is_named_five_at_most() {
    let mut node = fresh_node();
    node.readers = Fact::Known((1..=7).map(|pid| reader(pid, KUBELET)).collect());
    assert_eq!(
        came(&node, ALLOWED, "X-FILE-08"),
        [
            "not-ready: processes of other users than root use it, and would be shut out: 1 (shipper), 2 (shipper), 3 (shipper), 4 (shipper), \
             5 (shipper), and 2 more; let them run as root, or give the mode that they need as the control's value"
        ]
    );
}

#[test]
fn the_audit_log_is_closed_when_nobody_but_root_has_it_or_a_rotated_one_open() {
    let mut node = whole_node();
    for name in [LOG, POLICY] {
        edit_file(&mut node, name, |facts| facts.mode = Mode::from_bits(0o644));
    }
    node.readers = Fact::Known(vec![reader(7, KUBELET)]);
    let closed = |name: &str| format!("mode of {name}: 0644 -> 0600");
    assert_eq!(came(&node, ALLOWED, "X-FILE-13"), [closed(POLICY), closed(LOG)]);
    for read in [LOG, "/var/log/kubernetes/audit-2026-05-01T00-00-00.000.log"] {
        node.readers = Fact::Known(vec![reader(7, read)]);
        let came = came(&node, ALLOWED, "X-FILE-13");
        assert_eq!(came[0], closed(POLICY), "{read}");
        assert!(
            came.len() == 2 && came[1].starts_with("not-ready: ") && came[1].contains("7 (shipper)"),
            "{came:?}"
        );
    }
}

#[test]
fn all_audit_files_are_asked_about_and_the_kubelets_folder() {
    let mut node = whole_node();
    let rotated = "/var/log/kubernetes/audit-2026-05-01T00-00-00.000.log";
    let fact = super::super::fixtures::facts(rotated, FileKind::Regular, 0o600);
    node.listings.insert(
        "/var/log/kubernetes/audit-*.log".parse().unwrap(),
        Fact::Known([(path(rotated), Fact::Known(fact))].into()),
    );
    let both = [Kit::AuditFiles, Kit::KubeletRoot].into();
    let wanted = to_close(&both, &node, &Layout::kubeadm());
    assert_eq!(wanted.folders, [path(KUBELET)]);
    let mut files: Vec<String> = wanted.files.values().map(ToString::to_string).collect();
    files.sort();
    assert_eq!(files, [POLICY, rotated, LOG]);
    let neither = [Kit::EtcdAccount, Kit::RuntimeSocket].into();
    assert_eq!(to_close(&neither, &node, &Layout::kubeadm()), ToClose::default());
}
