//! Findings and plans for the tests of the renderers.

use crate::controls::{Control, catalogue};
use crate::domain::{Component, Digest, FileId, Mode, NodePath};
use crate::journal::RefusedFlag;
use crate::plan::{
    Change, Deed, Evidence, Finding, ManifestEdit, Mend, Plan, Verdict, Withheld, WithheldReason,
};

pub(super) fn control(id: &str) -> Control {
    catalogue()
        .into_iter()
        .find(|control| control.id.as_str() == id)
        .unwrap()
}

pub(super) fn path(text: &str) -> NodePath {
    text.parse().unwrap()
}

/// A finding of one piece of evidence without a mend.
pub(super) fn finding(id: &str, verdict: Verdict) -> Finding {
    Finding::new(control(id), vec![evidence("/x", verdict, None)])
}

pub(super) fn evidence(object: &str, verdict: Verdict, mend: Option<Mend>) -> Evidence {
    Evidence {
        object: object.to_owned(),
        verdict,
        expected: "this".to_owned(),
        actual: "that".to_owned(),
        mend,
    }
}

const FILE: FileId = FileId { device: 1, inode: 2 };

/// A node with one finding of each kind.
pub(super) fn findings() -> Vec<Finding> {
    let scheduler = path("/etc/kubernetes/manifests/kube-scheduler.yaml");
    let mode = Mend::Mode {
        path: scheduler.clone(),
        id: FILE,
        from: Mode::from_bits(0o644),
        ceiling: Mode::from_bits(0o600),
    };
    let flag = Mend::Flag {
        component: Component::ApiServer,
        name: "profiling".parse().unwrap(),
        value: "false".to_owned(),
    };
    let folder = Evidence {
        expected: "no unknown manifest".to_owned(),
        actual: "unknown".to_owned(),
        ..evidence("evil\u{1b}[2J.yaml", Verdict::Drift, None)
    };
    vec![
        Finding::new(control("CIS-1.1.2"), vec![evidence("/m", Verdict::Pass, None)]),
        Finding::new(
            control("CIS-1.1.5"),
            vec![Evidence {
                expected: "0600 or stricter".to_owned(),
                actual: "0644".to_owned(),
                ..evidence(scheduler.as_str(), Verdict::Drift, Some(mode))
            }],
        ),
        Finding::new(control("CIS-1.1.10"), vec![]),
        Finding::new(
            control("CIS-1.2.15"),
            vec![evidence("kube-apiserver --profiling", Verdict::Drift, Some(flag))],
        ),
        finding("CIS-1.2.30", Verdict::Excepted),
        finding("CIS-4.1.1", Verdict::Unknown),
        Finding::new(control("X-FILE-02"), vec![folder]),
    ]
}

/// A plan for those findings.
pub(super) fn plan() -> Plan {
    let change = |controls: &[&str], deed| Change {
        id: Digest::of(b"change"),
        controls: controls.iter().map(|id| id.parse().unwrap()).collect(),
        deed,
    };
    let mode = Deed::SetMode {
        path: path("/etc/kubernetes/manifests/kube-scheduler.yaml"),
        id: FILE,
        from: Mode::from_bits(0o644),
        to: Mode::from_bits(0o600),
    };
    let edit = Deed::EditManifest(ManifestEdit {
        component: Component::ApiServer,
        path: path("/etc/kubernetes/manifests/kube-apiserver.yaml"),
        before: "a:\n- --x\n".to_owned(),
        after: "a:\n- --x\n- --profiling=false\n".to_owned(),
        flags: vec![RefusedFlag {
            name: "profiling".parse().unwrap(),
            value: "false".to_owned(),
        }],
        image: String::new(),
        processes: vec![],
        pods: vec![],
        touches_encryption: false,
        drain: None,
    });
    let withheld = |id: &str, object: &str, reason| Withheld {
        controls: vec![id.parse().unwrap()],
        object: object.to_owned(),
        reason,
    };
    Plan {
        in_flight: None,
        baseline: None,
        warnings: vec![],
        changes: vec![change(&["CIS-1.1.5"], mode), change(&["CIS-1.2.15"], edit)],
        withheld: vec![
            withheld(
                "X-FILE-02",
                "evil\u{1b}.yaml",
                WithheldReason::NeedsOperator("a look".to_owned()),
            ),
            withheld(
                "CIS-1.3.2",
                "kube-controller-manager --profiling",
                WithheldReason::NotEditable("shape\n+by hand".to_owned()),
            ),
            withheld(
                "X-FILE-03",
                "copy.yaml",
                WithheldReason::NeedsOperator("a look".to_owned()),
            ),
        ],
    }
}
