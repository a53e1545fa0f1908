//! What is to be said of a fresh kubeadm node.
#![allow(dead_code, reason = "each of those that judge such a node uses a part of it")]

/// What fails on a fresh kubeadm node, by its control: on a simulated one, on a genuine one, and by its manifests and facts alone.
pub const FAILS_FRESH: [&str; 32] = [
    "CIS-1.1.12",
    "CIS-1.2.1",
    "CIS-1.2.3",
    "CIS-1.2.5",
    "CIS-1.2.9",
    "CIS-1.2.11",
    "CIS-1.2.15",
    "CIS-1.2.16",
    "CIS-1.2.17",
    "CIS-1.2.18",
    "CIS-1.2.19",
    "CIS-1.2.27",
    "CIS-1.2.29",
    "CIS-1.2.30",
    "CIS-1.3.2",
    "CIS-1.4.1",
    "CIS-3.2.1",
    "CIS-4.1.1",
    "CIS-4.1.9",
    "CIS-4.2.9",
    "CIS-4.2.11",
    "CIS-4.2.12",
    "CIS-4.2.13",
    "CIS-4.2.14",
    "X-API-07",
    "X-CRED-01",
    "X-CRED-08",
    "X-FILE-01",
    "X-FILE-08",
    "X-FILE-19",
    "X-KUBELET-01",
    "X-KUBELET-04",
];
/// What of it is mended.
pub const MENDED: [&str; 7] = [
    "CIS-1.2.15",
    "CIS-1.3.2",
    "CIS-1.4.1",
    "CIS-4.1.1",
    "CIS-4.1.9",
    "X-FILE-01",
    "X-FILE-19",
];
