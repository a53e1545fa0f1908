//! Flags of etcd: CIS 2.

use super::super::{Constraint, Control, FlagRule, Remedy, flag};
use super::{is, row, with};
use crate::domain::Component;

const HOLDS_ALL: &str = "etcd holds every object of the cluster, secrets too. Who can speak to it without showing a certificate owns the cluster.";
const NEEDS: &str =
    "a restart of etcd with quorum, one member at a time, and certificates at every client and peer first";

/// The rows of this table.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn controls() -> Vec<Control> {
    let row = |id, rule, title, name, must| {
        row(
            id,
            rule,
            title,
            HOLDS_ALL,
            Component::Etcd,
            name,
            must,
            Remedy::ReportOnly(NEEDS),
        )
    };
    let https = |other, or_loopback| {
        FlagRule::Meets(Constraint::Https {
            with: vec![flag(other)],
            or_loopback,
        })
    };
    vec![
        row(
            "CIS-2.1",
            "etcd.server-cert",
            "etcd has a serving certificate",
            "cert-file",
            with("key-file"),
        ),
        row(
            "CIS-2.2",
            "etcd.client-cert-auth",
            "etcd asks clients for certificates",
            "client-cert-auth",
            is("true", "false"),
        ),
        row(
            "CIS-2.3",
            "etcd.auto-tls",
            "etcd does not sign its own serving certificate",
            "auto-tls",
            is("false", "false"),
        ),
        row(
            "CIS-2.4",
            "etcd.peer-cert",
            "etcd's peers use certificates",
            "peer-cert-file",
            with("peer-key-file"),
        ),
        row(
            "CIS-2.5",
            "etcd.peer-client-cert-auth",
            "etcd asks peers for certificates",
            "peer-client-cert-auth",
            is("true", "false"),
        ),
        row(
            "CIS-2.6",
            "etcd.peer-auto-tls",
            "etcd's peers do not sign their own certificates",
            "peer-auto-tls",
            is("false", "false"),
        ),
        row(
            "X-ETCD-01",
            "etcd.client-url-tls",
            "etcd's client URLs are HTTPS",
            "listen-client-urls",
            https("advertise-client-urls", false),
        ),
        row(
            "X-ETCD-02",
            "etcd.peer-url-tls",
            "etcd's peer URLs are HTTPS",
            "listen-peer-urls",
            https("initial-advertise-peer-urls", false),
        ),
        row(
            "X-ETCD-03",
            "etcd.metrics-url",
            "etcd's metrics are served on the node alone, or over HTTPS",
            "listen-metrics-urls",
            FlagRule::Meets(Constraint::Https {
                with: vec![],
                or_loopback: true,
            }),
        ),
        row(
            "X-ETCD-04",
            "etcd.peer-trusted-ca",
            "etcd verifies its peers against a CA",
            "peer-trusted-ca-file",
            FlagRule::IsSet { usual: None },
        ),
        row(
            "X-ETCD-05",
            "etcd.config-file",
            "No configuration file takes the place of etcd's flags",
            "config-file",
            FlagRule::Meets(Constraint::NotGiven(vec![])),
        ),
        row(
            "X-ETCD-06",
            "etcd.tls-floor",
            "etcd offers strong cipher suites only",
            "cipher-suites",
            FlagRule::Meets(Constraint::Suites { given: false }),
        ),
    ]
}
