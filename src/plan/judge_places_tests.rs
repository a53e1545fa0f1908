//! Each row about a place of the node: what holds, what drifts, what is not applicable and what is not known.

use std::collections::BTreeMap;

use super::finding::{Evidence, Finding, Mend, Verdict};
use super::fixtures::{API_SERVER, edit_file, facts, fresh_node, path, replace_manifest};
use super::judge::piece;
use super::judge_tests::finding_at;
use crate::domain::{Component, Fact, FileFacts, FileKind, Mode, Observation, Owner};

const NOW: &str = "2026-06-01T00:00:00Z";
/// The rows that are mended where the operator allows it.
const CONDITIONAL: [&str; 3] = ["X-FILE-08", "X-FILE-13", "X-FILE-17"];

fn finding(node: &Observation, id: &str) -> Finding {
    finding_at(node, id, "{}", NOW)
}

fn of(finding: &Finding, object: &str) -> Vec<Evidence> {
    let of_object = finding.evidence.iter().filter(|piece| piece.object == object);
    of_object.cloned().collect()
}

/// A row about modes and owners: one of its files, the widest mode, one that is too wide, and whether Holdfast mends it.
type Row = (&'static str, &'static str, u32, u32, bool);

const ROWS: [Row; 18] = [
    ("X-FILE-01", "/etc/kubernetes/manifests", 0o700, 0o755, true),
    ("X-FILE-06", "/var/lib", 0o755, 0o777, false),
    ("X-FILE-06", "/", 0o755, 0o775, false),
    ("X-FILE-08", "/var/lib/kubelet", 0o750, 0o755, false),
    (
        "X-FILE-09",
        "/var/lib/kubelet/pki/kubelet-client-2026-06-01-00-00-00.pem",
        0o600,
        0o640,
        true,
    ),
    (
        "X-FILE-09",
        "/var/lib/kubelet/pki/kubelet.key",
        0o600,
        0o604,
        true,
    ),
    (
        "X-FILE-10",
        "/var/lib/kubelet/kubeadm-flags.env",
        0o644,
        0o664,
        true,
    ),
    ("X-FILE-10", "/etc/default/kubelet", 0o644, 0o646, true),
    ("X-FILE-12", TMP, 0o700, 0o755, true),
    (
        "X-FILE-13",
        "/etc/kubernetes/audit/policy.yaml",
        0o600,
        0o644,
        false,
    ),
    ("X-FILE-13", "/var/log/kubernetes/audit.log", 0o600, 0o640, false),
    ("X-FILE-14", "/etc/kubernetes/enc/enc.yaml", 0o600, 0o644, true),
    ("X-FILE-15", "/var/lib/etcd/member/snap/db", 0o600, 0o640, false),
    ("X-FILE-16", "/opt/cni/bin/bridge", 0o755, 0o775, true),
    (
        "X-FILE-17",
        "/run/containerd/containerd.sock",
        0o660,
        0o666,
        false,
    ),
    ("X-FILE-18", "/usr/bin/kubelet", 0o755, 0o757, true),
    ("X-FILE-18", "/usr/bin/containerd", 0o755, 0o775, true),
    ("X-FILE-19", "/etc/kubernetes", 0o755, 0o775, true),
];

const TMP: &str = "/etc/kubernetes/tmp/kubeadm-backup-etcd-2026-06-01";

/// A node that has all that the rows are about: audit, encryption at rest, and what an upgrade leaves.
pub(super) fn whole_node() -> Observation {
    let mut node = fresh_node();
    let flags = "    - --audit-policy-file=/etc/kubernetes/audit/policy.yaml\n    - --audit-log-path=/var/log/kubernetes/audit.log\n    \
                 - --encryption-provider-config=/etc/kubernetes/enc/enc.yaml\n    - --etcd-servers";
    let mounts = "    volumeMounts:\n    - mountPath: /etc/kubernetes\n      name: kubernetes\n    - mountPath: /var/log/kubernetes\n      name: log\n";
    let volumes = "  volumes:\n  - hostPath:\n      path: /etc/kubernetes\n    name: kubernetes\n  - hostPath:\n      path: /var/log/kubernetes\n    name: log\n";
    let text = API_SERVER
        .replace("    - --etcd-servers", flags)
        .replace("    volumeMounts:\n", mounts)
        .replace("  volumes:\n", volumes);
    replace_manifest(&mut node, Component::ApiServer, &text);
    for name in [
        "/etc/kubernetes/audit/policy.yaml",
        "/var/log/kubernetes/audit.log",
        "/etc/kubernetes/enc/enc.yaml",
    ] {
        let known = Fact::Known(facts(name, FileKind::Regular, 0o600));
        node.files.insert(path(name), known);
    }
    let left = [(path(TMP), Fact::Known(facts(TMP, FileKind::Directory, 0o700)))];
    node.listings.insert(
        "/etc/kubernetes/tmp/kubeadm-*".parse().unwrap(),
        Fact::Known(left.into()),
    );
    for rotated in ["audit-*.log", "audit-*.log.gz"] {
        let pattern = format!("/var/log/kubernetes/{rotated}").parse().unwrap();
        node.listings.insert(pattern, Fact::Known(BTreeMap::new()));
    }
    node
}

/// Every fact about every file.
fn set_all(node: &mut Observation, fact: &Fact<FileFacts>) {
    for file in node.files.values_mut() {
        *file = fact.clone();
    }
    for listing in node.listings.values_mut() {
        *listing = fact.clone().map(|_| BTreeMap::new());
    }
}

#[test]
fn a_place_within_its_ceiling_passes_and_a_wider_one_or_a_strangers_drifts() {
    for (id, name, ceiling, wide, is_mended) in ROWS {
        let mut node = whole_node();
        edit_file(&mut node, name, |facts| facts.mode = Mode::from_bits(ceiling));
        let owner = || piece(name, Verdict::Pass, "root:root", "root:root");
        let wanted = format!("mode {ceiling:04o} or stricter");
        let found = of(&finding(&node, id), name);
        // Beside the bits of users, a folder above protected files may have the sticky bit and its like, and a program of CNI the setuid bit.
        let wanted = if ["X-FILE-06", "X-FILE-16"].contains(&id) {
            wanted.replace("0755", "7755")
        } else {
            wanted
        };
        let holds = piece(
            name,
            Verdict::Pass,
            wanted.as_str(),
            format!("mode {ceiling:04o}"),
        );
        assert_eq!(found, [owner(), holds.clone()], "{id}");

        edit_file(&mut node, name, |facts| facts.mode = Mode::from_bits(wide));
        let mut found = of(&finding(&node, id), name);
        assert_eq!(found[1].mend.take().is_some(), is_mended, "{id}");
        let drifts = piece(name, Verdict::Drift, wanted.as_str(), format!("mode {wide:04o}"));
        assert_eq!(found, [owner(), drifts], "{id}");

        edit_file(&mut node, name, |facts| {
            facts.mode = Mode::from_bits(ceiling);
            facts.owner = Owner { uid: 1000, gid: 0 };
        });
        let mut found = of(&finding(&node, id), name);
        assert_eq!(found[0].mend.take().is_some(), is_mended, "{id}");
        let stranger = piece(name, Verdict::Drift, "root:root", "1000:root");
        assert_eq!(found, [stranger, holds], "{id}");
    }
}

#[test]
fn what_is_not_there_is_not_applicable_and_what_cannot_be_read_is_unknown() {
    for (id, ..) in ROWS {
        let mut node = whole_node();
        set_all(&mut node, &Fact::Absent);
        assert_eq!(finding(&node, id).verdict, Verdict::NotApplicable, "{id}");
        set_all(&mut node, &Fact::unknown("cannot read it"));
        assert_eq!(finding(&node, id).verdict, Verdict::Unknown, "{id}");
    }
}

#[test]
fn etcds_folders_may_be_entered_by_who_may_read_them() {
    let mut node = whole_node();
    let name = "/var/lib/etcd/member/snap";
    let of_folder = |node: &Observation| of(&finding(node, "X-FILE-15"), name)[1].clone();
    assert_eq!(
        of_folder(&node),
        piece(name, Verdict::Pass, "mode 0700 or stricter", "mode 0700")
    );
    edit_file(&mut node, name, |facts| facts.mode = Mode::from_bits(0o750));
    assert_eq!(of_folder(&node).verdict, Verdict::Drift);
}

#[test]
fn a_log_to_standard_output_is_no_file_and_a_path_that_is_mounted_from_nowhere_is_unknown() {
    let with = |flag: &str| {
        let mut node = fresh_node();
        let text = API_SERVER.replace(
            "    - --etcd-servers",
            &format!("    - {flag}\n    - --etcd-servers"),
        );
        replace_manifest(&mut node, Component::ApiServer, &text);
        finding(&node, "X-FILE-13")
    };
    assert_eq!(with("--audit-log-path=-").verdict, Verdict::NotApplicable);
    let nowhere = with("--audit-log-path=/nowhere/audit.log");
    assert_eq!(nowhere.verdict, Verdict::Unknown);
    assert_eq!(
        nowhere.evidence[0].actual,
        "--audit-log-path names /nowhere/audit.log, which is mounted from no folder of the node"
    );
}

#[test]
fn what_should_not_lie_there_drifts_when_it_does_and_nothing_is_removed() {
    for (id, name) in [
        ("X-CRED-01", "/etc/kubernetes/super-admin.conf"),
        ("X-CRED-08", "/etc/kubernetes/pki/ca.key"),
        ("X-CRED-08", "/etc/kubernetes/pki/front-proxy-ca.key"),
        ("X-FILE-11", "/etc/kubernetes/bootstrap-kubelet.conf"),
    ] {
        let mut node = fresh_node();
        set_all(&mut node, &Fact::Absent);
        assert_eq!(finding(&node, id).verdict, Verdict::Pass, "{id}");
        let known = Fact::Known(facts(name, FileKind::Regular, 0o600));
        node.files.insert(path(name), known);
        let there = piece(
            name,
            Verdict::Drift,
            "not there",
            "a file of root:root, mode 0600",
        );
        assert_eq!(of(&finding(&node, id), name), [there], "{id}");
        node.files.insert(path(name), Fact::unknown("cannot read it"));
        let found = finding(&node, id);
        assert_eq!(found.verdict, Verdict::Unknown, "{id}");
    }
}

/// What its owner and its mode become, as far as they are mended.
fn mended(found: &Finding, object: &str) -> Vec<String> {
    let pieces = of(found, object).into_iter();
    let becomes = |mend: Mend| {
        if let Mend::Owner { to, .. } = mend {
            return to.to_string();
        }
        let Mend::Mode { from, ceiling, .. } = mend else {
            panic!("{mend:?}")
        };
        from.tightened_to(ceiling).to_string()
    };
    pieces.filter_map(|piece| piece.mend).map(becomes).collect()
}

#[test]
fn what_the_operator_allows_is_mended_where_it_is_only_reported_otherwise() {
    const ALLOWED: &str = "conditional: allow\n";
    for (id, name, ceiling, wide, _) in ROWS.into_iter().filter(|(id, ..)| CONDITIONAL.contains(id)) {
        let mut node = whole_node();
        edit_file(&mut node, name, |facts| {
            facts.mode = Mode::from_bits(wide);
            facts.owner = Owner { uid: 1000, gid: 0 };
        });
        assert_eq!(mended(&finding(&node, id), name), Vec::<String>::new(), "{id}");
        let allowed = finding_at(&node, id, ALLOWED, NOW);
        assert_eq!(
            mended(&allowed, name),
            ["root:root".to_owned(), format!("{ceiling:04o}")],
            "{id}"
        );
    }
}

#[test]
fn the_group_of_the_runtimes_socket_is_the_runtimes_and_its_mode_never_widens() {
    const SOCKET: &str = "/run/containerd/containerd.sock";
    let with = |uid, gid, mode| {
        let mut node = whole_node();
        edit_file(&mut node, SOCKET, |facts| {
            facts.owner = Owner { uid, gid };
            facts.mode = Mode::from_bits(mode);
        });
        finding_at(&node, "X-FILE-17", "conditional: allow\n", NOW)
    };
    let of_group = with(0, 998, 0o660);
    assert_eq!(mended(&of_group, SOCKET), Vec::<String>::new());
    assert_eq!(
        of(&of_group, SOCKET)[0].actual,
        "root:998; its group is left to the runtime's own configuration"
    );
    assert_eq!(mended(&with(1000, 998, 0o606), SOCKET), ["root:998", "0600"]);
}

#[test]
fn a_group_that_may_read_the_audit_log_by_the_operators_value_is_kept() {
    const LOG: &str = "/var/log/kubernetes/audit.log";
    let with = |config: &str, uid, gid, mode| {
        let mut node = whole_node();
        edit_file(&mut node, LOG, |facts| {
            facts.owner = Owner { uid, gid };
            facts.mode = Mode::from_bits(mode);
        });
        finding_at(&node, "X-FILE-13", config, NOW)
    };
    let declared = "conditional: allow\ncontrols: { X-FILE-13: { value: \"0640\" } }\n";
    assert_eq!(with(declared, 0, 4, 0o640).verdict, Verdict::Pass);
    assert_eq!(mended(&with(declared, 1000, 4, 0o644), LOG), ["root:4", "0640"]);
    let usual = "conditional: allow\n";
    assert_eq!(mended(&with(usual, 0, 4, 0o640), LOG), ["root:root", "0600"]);
}

#[test]
fn rotated_audit_logs_and_a_folder_of_their_own_are_closed_too() {
    let mut node = fresh_node();
    let text = API_SERVER
        .replace(
            "    - --etcd-servers",
            "    - --audit-log-path=/var/log/kube-audit/audit.log\n    - --etcd-servers",
        )
        .replace(
            "    volumeMounts:\n",
            "    volumeMounts:\n    - mountPath: /var/log/kube-audit\n      name: log\n",
        )
        .replace(
            "  volumes:\n",
            "  volumes:\n  - hostPath:\n      path: /var/log/kube-audit\n    name: log\n",
        );
    replace_manifest(&mut node, Component::ApiServer, &text);
    let (folder, log) = ("/var/log/kube-audit", "/var/log/kube-audit/audit.log");
    let rotated = "/var/log/kube-audit/audit-2026-05-01T00-00-00.000.log";
    for (name, kind, mode) in [
        (folder, FileKind::Directory, 0o755),
        (log, FileKind::Regular, 0o600),
    ] {
        node.files
            .insert(path(name), Fact::Known(facts(name, kind, mode)));
    }
    let wide = Fact::Known(facts(rotated, FileKind::Regular, 0o644));
    for (pattern, listed) in [
        ("audit-*.log", [(path(rotated), wide)].into()),
        ("audit-*.log.gz", BTreeMap::new()),
    ] {
        let pattern = format!("{folder}/{pattern}").parse().unwrap();
        node.listings.insert(pattern, Fact::Known(listed));
    }
    let found = finding_at(&node, "X-FILE-13", "conditional: allow\n", NOW);
    assert_eq!(mended(&found, folder), ["0700"]);
    assert_eq!(mended(&found, log), Vec::<String>::new());
    assert_eq!(mended(&found, rotated), ["0600"]);
}

#[test]
fn a_bootstrap_kubeconfig_that_is_left_is_closed_at_once_and_stays_for_the_operator() {
    const LEFT: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
    let with = |uid, mode| {
        let mut node = fresh_node();
        let left = FileFacts {
            owner: Owner { uid, gid: 0 },
            ..facts(LEFT, FileKind::Regular, mode)
        };
        node.files.insert(path(LEFT), Fact::Known(left));
        finding(&node, "X-FILE-11")
    };
    let open = with(1000, 0o644);
    assert_eq!(mended(&open, LEFT), ["root:root", "0600"]);
    assert_eq!(
        of(&open, LEFT)[0],
        piece(
            LEFT,
            Verdict::Drift,
            "not there",
            "a file of 1000:root, mode 0644"
        ),
    );
    let closed = with(0, 0o600);
    assert_eq!((closed.verdict, closed.evidence.len()), (Verdict::Drift, 1));
    assert_eq!(mended(&closed, LEFT), Vec::<String>::new());
}
