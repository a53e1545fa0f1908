//! More flags of the controller manager and the scheduler: CIS 1.3 and 1.4.

use super::api_server::{FLOOR, tls_floor};
use super::flags::row;
use super::{Control, FlagRule, Remedy, Shape};
use crate::domain::Component;

const LISTENS: &str = "Metrics and health of a component are nobody's business beyond the node, unless somebody was meant to read them.";
const LISTENS_NEEDS: &str = "the certainty that nobody scrapes the port from elsewhere, and probes in the manifest that ask the same address";

/// The rows of this table.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn controls() -> Vec<Control> {
    let manager = |id, rule, title, rationale, name, must, remedy| {
        row(
            id,
            rule,
            title,
            rationale,
            Component::ControllerManager,
            name,
            must,
            remedy,
        )
    };
    let scheduler = |id, rule, title, rationale, name, must, remedy| {
        row(
            id,
            rule,
            title,
            rationale,
            Component::Scheduler,
            name,
            must,
            remedy,
        )
    };
    let loopback = || FlagRule::Shape(Shape::Loopback { default: "0.0.0.0" });
    let names = |usual| FlagRule::Shape(Shape::Names(usual));
    vec![
        manager(
            "CIS-1.3.1",
            "kcm.terminated-pod-gc",
            "Pods that have ended are collected",
            "Without a limit they pile up until etcd is full.",
            "terminated-pod-gc-threshold",
            FlagRule::Shape(Shape::Positive {
                default: "12500",
                duration: false,
            }),
            Remedy::ReportOnly(
                "the site's own number: a low one deletes the logs of Jobs that have ended; the built-in one is active",
            ),
        ),
        manager(
            "CIS-1.3.3",
            "kcm.use-sa-credentials",
            "Each controller uses an account of its own",
            "With one identity for all, each controller may do what any of them needs.",
            "use-service-account-credentials",
            FlagRule::Is {
                value: "true".to_owned(),
                default: Some("false"),
                config_key: None,
            },
            Remedy::Restarts,
        ),
        manager(
            "CIS-1.3.4",
            "kcm.sa-private-key",
            "The key that signs tokens of service accounts is given",
            "Without it no token is signed with a key that can be replaced by itself.",
            "service-account-private-key-file",
            names("/etc/kubernetes/pki/sa.key"),
            Remedy::Restarts,
        ),
        manager(
            "CIS-1.3.5",
            "kcm.root-ca",
            "Pods are given the cluster's CA",
            "Without it pods cannot tell the API server from another.",
            "root-ca-file",
            names("/etc/kubernetes/pki/ca.crt"),
            Remedy::Restarts,
        ),
        manager(
            "CIS-1.3.6",
            "kcm.rotate-kubelet-server-cert",
            "Kubelets' serving certificates may be renewed",
            "A certificate that is never renewed outlives the reason to trust it. The gate is on unless it is switched off.",
            "feature-gates",
            FlagRule::Shape(Shape::Switches {
                with: vec![],
                not_on: &[],
                not_off: &["RotateKubeletServerCertificate"],
            }),
            Remedy::ReportOnly("the gate taken out of --feature-gates by hand"),
        ),
        manager(
            "CIS-1.3.7",
            "kcm.bind-address",
            "Controller manager listens on the node alone",
            LISTENS,
            "bind-address",
            loopback(),
            Remedy::ReportOnly(LISTENS_NEEDS),
        ),
        scheduler(
            "CIS-1.4.2",
            "scheduler.bind-address",
            "Scheduler listens on the node alone",
            LISTENS,
            "bind-address",
            loopback(),
            Remedy::ReportOnly(LISTENS_NEEDS),
        ),
        manager(
            "X-API-04",
            "kcm.tls-min-version",
            "Controller manager speaks TLS 1.2 or newer",
            FLOOR,
            "tls-min-version",
            tls_floor(),
            Remedy::Restarts,
        ),
        scheduler(
            "X-API-05",
            "scheduler.tls-min-version",
            "Scheduler speaks TLS 1.2 or newer",
            FLOOR,
            "tls-min-version",
            tls_floor(),
            Remedy::Restarts,
        ),
    ]
}
