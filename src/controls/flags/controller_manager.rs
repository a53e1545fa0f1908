//! Flags of the controller manager: CIS 1.3.

use super::super::{Constraint, Control, FlagRule, Kit, Remedy};
use super::{LISTENS, PROFILING, TLS_FLOOR, is, loopback, names, positive, tls_floor};
use crate::domain::Component;

/// The rows of this table.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn controls() -> Vec<Control> {
    let row = super::row_of(Component::ControllerManager);
    vec![
        row(
            "CIS-1.3.1",
            "kcm.terminated-pod-gc",
            "Pods that have ended are collected",
            "Without a limit they pile up until etcd is full.",
            "terminated-pod-gc-threshold",
            positive("12500", false),
            Remedy::ReportOnly(
                "the site's own number: a low one deletes the logs of Jobs that have ended; the built-in one is active",
            ),
        ),
        row(
            "CIS-1.3.2",
            "controller-manager.profiling",
            "controller manager profiling is off",
            PROFILING,
            "profiling",
            is("false", "true"),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.3.3",
            "kcm.use-sa-credentials",
            "Each controller uses an account of its own",
            "With one identity for all, each controller may do what any of them needs.",
            "use-service-account-credentials",
            is("true", "false"),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.3.4",
            "kcm.sa-private-key",
            "The key that signs tokens of service accounts is given",
            "Without it no token is signed with a key that can be replaced by itself.",
            "service-account-private-key-file",
            names("/etc/kubernetes/pki/sa.key"),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.3.5",
            "kcm.root-ca",
            "Pods are given the cluster's CA",
            "Without it pods cannot tell the API server from another.",
            "root-ca-file",
            names("/etc/kubernetes/pki/ca.crt"),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.3.6",
            "kcm.rotate-kubelet-server-cert",
            "Kubelets' serving certificates may be renewed",
            "A certificate that is never renewed outlives the reason to trust it. The gate is on unless it is switched off.",
            "feature-gates",
            FlagRule::Meets(Constraint::Switches {
                with: vec![],
                not_on: &[],
                not_off: &["RotateKubeletServerCertificate"],
            }),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.3.7",
            "kcm.bind-address",
            "Controller manager listens on the node alone",
            LISTENS,
            "bind-address",
            loopback(),
            Remedy::Conditional(Kit::Loopback),
        ),
        row(
            "X-API-04",
            "kcm.tls-min-version",
            "Controller manager speaks TLS 1.2 or newer",
            TLS_FLOOR,
            "tls-min-version",
            tls_floor(),
            Remedy::Restarts,
        ),
    ]
}
