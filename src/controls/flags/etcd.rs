//! Flags of etcd: CIS 2.

use super::super::{Constraint, Control, FlagRule, Kit, Remedy, flag};
use super::{is, pair, row};
use crate::domain::Component;

const HOLDS_ALL: &str = "etcd holds every object of the cluster, secrets too. Who can speak to it without showing a certificate owns the cluster.";
const HTTPS_NEEDS: &str = "a certificate at etcd, https in the addresses of every client and peer, and a restart of each at the same time";
const CONFIG_FILE_NEEDS: &str =
    "flags in the place of the file, which takes the place of every flag, written by hand";
const CA: &str = "/etc/kubernetes/pki/etcd/ca.crt";

/// The rows of this table.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn controls() -> Vec<Control> {
    let row = |id, rule, title, name, must, remedy| {
        row(id, rule, title, HOLDS_ALL, Component::Etcd, name, must, remedy)
    };
    let (serving, peers) = (
        Remedy::Conditional(Kit::EtcdServing),
        Remedy::Conditional(Kit::EtcdPeers),
    );
    let verifies = |authority| {
        FlagRule::Meets(Constraint::Verifies {
            authority: flag(authority),
            usual: CA,
        })
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
            pair(
                "key-file",
                [
                    "/etc/kubernetes/pki/etcd/server.crt",
                    "/etc/kubernetes/pki/etcd/server.key",
                ],
            ),
            serving,
        ),
        row(
            "CIS-2.2",
            "etcd.client-cert-auth",
            "etcd asks clients for certificates",
            "client-cert-auth",
            verifies("trusted-ca-file"),
            Remedy::Conditional(Kit::EtcdClients),
        ),
        row(
            "CIS-2.3",
            "etcd.auto-tls",
            "etcd does not sign its own serving certificate",
            "auto-tls",
            is("false", "false"),
            serving,
        ),
        row(
            "CIS-2.4",
            "etcd.peer-cert",
            "etcd's peers use certificates",
            "peer-cert-file",
            pair(
                "peer-key-file",
                [
                    "/etc/kubernetes/pki/etcd/peer.crt",
                    "/etc/kubernetes/pki/etcd/peer.key",
                ],
            ),
            peers,
        ),
        row(
            "CIS-2.5",
            "etcd.peer-client-cert-auth",
            "etcd asks peers for certificates",
            "peer-client-cert-auth",
            verifies("peer-trusted-ca-file"),
            peers,
        ),
        row(
            "CIS-2.6",
            "etcd.peer-auto-tls",
            "etcd's peers do not sign their own certificates",
            "peer-auto-tls",
            is("false", "false"),
            peers,
        ),
        row(
            "X-ETCD-01",
            "etcd.client-url-tls",
            "etcd's client URLs are HTTPS",
            "listen-client-urls",
            https("advertise-client-urls", false),
            Remedy::ReportOnly(HTTPS_NEEDS),
        ),
        row(
            "X-ETCD-02",
            "etcd.peer-url-tls",
            "etcd's peer URLs are HTTPS",
            "listen-peer-urls",
            https("initial-advertise-peer-urls", false),
            Remedy::ReportOnly(HTTPS_NEEDS),
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
            Remedy::Conditional(Kit::Loopback),
        ),
        row(
            "X-ETCD-04",
            "etcd.peer-trusted-ca",
            "etcd verifies its peers against a CA",
            "peer-trusted-ca-file",
            FlagRule::IsSet {
                usual: Some(CA.to_owned()),
            },
            peers,
        ),
        row(
            "X-ETCD-05",
            "etcd.config-file",
            "No configuration file takes the place of etcd's flags",
            "config-file",
            FlagRule::Meets(Constraint::NotGiven(vec![])),
            Remedy::ReportOnly(CONFIG_FILE_NEEDS),
        ),
        row(
            "X-ETCD-06",
            "etcd.tls-floor",
            "etcd offers strong cipher suites only",
            "cipher-suites",
            FlagRule::Meets(Constraint::Suites { given: false }),
            Remedy::Conditional(Kit::EtcdSuites),
        ),
    ]
}
