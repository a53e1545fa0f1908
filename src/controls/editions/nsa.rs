//! Sections of the Kubernetes Hardening Guide of NSA and CISA.
//!
//! A control stands under a section where the guide's text asks for it, or where a machine form of the guide puts it there (Aqua's
//! `k8s-nsa-1.0`, kubescape's `nsaframework.json`). The guide says nothing of most flags, and nothing is read into it.

use crate::domain::ControlId;

/// The sections that ask for something of a control, in the order of the guide, and the controls.
const SECTIONS: &[(&str, &[&str])] = &[
    (
        "Pod security enforcement",
        &[
            "CIS-5.2.1",
            "CIS-5.2.2",
            "CIS-5.2.3",
            "CIS-5.2.4",
            "CIS-5.2.5",
            "CIS-5.2.6",
            "CIS-5.2.7",
            "CIS-5.2.11",
            "X-API-07",
        ],
    ),
    ("Protecting Pod service account tokens", &["CIS-5.1.6"]),
    ("Network policies", &["CIS-5.3.1", "CIS-5.3.2"]),
    // The port that needs no authentication, and the table of ports.
    ("Control plane hardening", &["X-API-01", "X-NET-01"]),
    // "TLS certificates to enforce HTTPS communication between the etcd server and API servers"; "only trust certificates assigned to
    // API servers".
    (
        "Etcd",
        &[
            "CIS-1.2.23",
            "CIS-1.2.26",
            "CIS-2.1",
            "CIS-2.2",
            "CIS-2.7",
            "X-ETCD-01",
        ],
    ),
    // "Protected from unintended changes, and unauthenticated non-root users should be blocked".
    (
        "Kubeconfig files",
        &[
            "CIS-1.1.13",
            "CIS-1.1.14",
            "CIS-1.1.15",
            "CIS-1.1.16",
            "CIS-1.1.17",
            "CIS-1.1.18",
            "CIS-4.1.3",
            "CIS-4.1.4",
            "CIS-4.1.5",
            "CIS-4.1.6",
            "X-FILE-06",
            "X-CRED-02",
            "X-CRED-03",
        ],
    ),
    // "All traffic in the Kubernetes cluster, including between components, nodes, and the control plane, to use TLS 1.2 or 1.3".
    (
        "Encryption",
        &[
            "CIS-1.2.24",
            "CIS-2.4",
            "CIS-4.2.9",
            "X-API-03",
            "X-API-04",
            "X-API-05",
            "X-ETCD-02",
            "X-ETCD-06",
            "X-KUBELET-02",
            "X-CRED-06",
        ],
    ),
    ("Secrets", &["CIS-1.2.27", "CIS-1.2.28", "CIS-5.4.1", "X-FILE-14"]),
    // Anonymous requests; "weak methods such as static password files".
    (
        "Authentication",
        &["CIS-1.2.1", "CIS-4.2.1", "CIS-4.2.3", "X-API-02"],
    ),
    (
        "Role-based access control",
        &["CIS-1.2.6", "CIS-1.2.8", "CIS-5.1.1"],
    ),
    (
        "Kubernetes native audit logging configuration",
        &["CIS-1.2.16", "CIS-1.2.17", "CIS-3.2.1", "CIS-3.2.2", "X-FILE-13"],
    ),
    ("Upgrading and application security practices", &["X-VER-01"]),
];

/// The sections that ask for a control, each with its place in the guide.
pub(super) fn sections(control: &ControlId) -> impl Iterator<Item = (u32, &'static str)> {
    (0..)
        .zip(SECTIONS)
        .filter(|(_, (_, controls))| controls.contains(&control.as_str()))
        .map(|(place, (section, _))| (place, *section))
}
