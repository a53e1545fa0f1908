//! Flags of the API server: CIS 1.2, and what other guides add.

use super::super::{Constraint, Control, FlagRule, Kit, ListRule, Remedy, flag};
use super::{PROFILING, TLS_FLOOR, is, names, pair, positive, tls_floor};
use crate::domain::Component;

const AUTHORIZER: &str = "With AlwaysAllow every authenticated request is granted; Node keeps a kubelet to what runs on its node, and RBAC is what roles \
    are for. Where --authorization-config is given, that file decides.";

/// The rows of this table.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn controls() -> Vec<Control> {
    let row = super::row_of(Component::ApiServer);
    let mut rows = vec![
        row(
            "CIS-1.2.1",
            "apiserver.anonymous-auth",
            "Anonymous requests are off, or confined to health",
            "What the anonymous may do is one careless RoleBinding away from everything.",
            "anonymous-auth",
            FlagRule::Meets(Constraint::OffOr {
                default: "true",
                instead: flag("authentication-config"),
            }),
            Remedy::Conditional(Kit::Anonymous),
        ),
        row(
            "CIS-1.2.2",
            "apiserver.token-auth-file",
            "No file of static tokens",
            "Static tokens lie in the clear on the disk, never expire, and change only by a restart.",
            "token-auth-file",
            not_given(&[]),
            Remedy::Conditional(Kit::StaticTokens),
        ),
        row(
            "CIS-1.2.4",
            "apiserver.kubelet-client-cert",
            "API server shows kubelets a client certificate",
            "Without it kubelets see an anonymous client, and would have to grant anonymous clients exec and logs.",
            "kubelet-client-certificate",
            pair(
                "kubelet-client-key",
                [
                    "/etc/kubernetes/pki/apiserver-kubelet-client.crt",
                    "/etc/kubernetes/pki/apiserver-kubelet-client.key",
                ],
            ),
            Remedy::RestartsWhen(Kit::KubeletClient),
        ),
        row(
            "CIS-1.2.5",
            "apiserver.kubelet-certificate-authority",
            "API server verifies the kubelets' serving certificates",
            "Without it the API server sends exec, logs and port-forward to whoever answers on the kubelet's address.",
            "kubelet-certificate-authority",
            FlagRule::IsSet {
                usual: Some("/etc/kubernetes/pki/ca.crt".to_owned()),
            },
            Remedy::Conditional(Kit::KubeletCa),
        ),
        row(
            "CIS-1.2.6",
            "apiserver.authz.not-always-allow",
            "Not every request is granted",
            AUTHORIZER,
            "authorization-mode",
            authorizers(&[], &["AlwaysAllow"]),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.2.7",
            "apiserver.authz.node",
            "Kubelets are kept to their own node",
            AUTHORIZER,
            "authorization-mode",
            authorizers(&["Node"], &[]),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.2.8",
            "apiserver.authz.rbac",
            "Roles decide who may do what",
            AUTHORIZER,
            "authorization-mode",
            authorizers(&["RBAC"], &[]),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.2.15",
            "apiserver.profiling",
            "API server profiling is off",
            PROFILING,
            "profiling",
            is("false", "true"),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.2.20",
            "apiserver.request-timeout",
            "Requests time out",
            "A request without an end holds its connection and memory.",
            "request-timeout",
            positive("1m0s", true),
            Remedy::ReportOnly(
                "the site's own limit: too low breaks large lists and slow webhooks; the built-in minute is good",
            ),
        ),
        row(
            "CIS-1.2.21",
            "apiserver.service-account-lookup",
            "Tokens of deleted service accounts are refused",
            "Without the lookup a token works until it expires, whatever became of its account.",
            "service-account-lookup",
            is("true", "true"),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.2.22",
            "apiserver.service-account-key-file",
            "Tokens of service accounts are verified with a key of their own",
            "Without the flag the server's TLS key is used, so that one key does two jobs and cannot be replaced alone.",
            "service-account-key-file",
            FlagRule::IsSet {
                usual: Some("/etc/kubernetes/pki/sa.pub".to_owned()),
            },
            Remedy::Conditional(Kit::TokenKey),
        ),
        row(
            "CIS-1.2.23",
            "apiserver.etcd-client-cert",
            "API server shows etcd a client certificate",
            "etcd holds everything. It can refuse strangers only if the API server shows who it is.",
            "etcd-certfile",
            pair(
                "etcd-keyfile",
                [
                    "/etc/kubernetes/pki/apiserver-etcd-client.crt",
                    "/etc/kubernetes/pki/apiserver-etcd-client.key",
                ],
            ),
            Remedy::RestartsWhen(Kit::EtcdClient),
        ),
        row(
            "CIS-1.2.24",
            "apiserver.serving-cert",
            "API server has a serving certificate",
            "Without one the server signs for itself, and clients cannot tell it from another.",
            "tls-cert-file",
            pair(
                "tls-private-key-file",
                [
                    "/etc/kubernetes/pki/apiserver.crt",
                    "/etc/kubernetes/pki/apiserver.key",
                ],
            ),
            Remedy::RestartsWhen(Kit::ApiServing),
        ),
        row(
            "CIS-1.2.25",
            "apiserver.client-ca",
            "Client certificates are verified",
            "Whoever can reach the port is believed.",
            "client-ca-file",
            names("/etc/kubernetes/pki/ca.crt"),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.2.26",
            "apiserver.etcd-ca",
            "API server verifies etcd's certificate",
            "Without it whoever answers on etcd's address is given every secret.",
            "etcd-cafile",
            names("/etc/kubernetes/pki/etcd/ca.crt"),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.2.27",
            "apiserver.encryption.config",
            "Secrets are encrypted at rest",
            "Who has etcd's files, or a copy of them, has every Secret.",
            "encryption-provider-config",
            FlagRule::IsSet { usual: None },
            Remedy::ReportOnly(
                "`holdfast encryption enable`, which makes the key, and encrypts what is there; `encryption verify` proves it",
            ),
        ),
        row(
            "CIS-1.2.29",
            "apiserver.tls-ciphers",
            "API server offers strong cipher suites only",
            "Suites without forward secrecy let a recorded connection be read once the key is known. (Go's own list has no broken ones.)",
            "tls-cipher-suites",
            FlagRule::Meets(Constraint::Suites { given: true }),
            Remedy::Conditional(Kit::ServerSuites),
        ),
        row(
            "CIS-1.2.30",
            "apiserver.service-account-extend-token-expiration",
            "Service account tokens expire when they say so",
            "The extension makes projected tokens valid for a year instead of an hour, for clients that never read them again.",
            "service-account-extend-token-expiration",
            is("false", "true"),
            Remedy::Conditional(Kit::TokenExpiry),
        ),
    ];
    rows.extend(beyond_cis());
    rows
}

/// What other guides ask.
#[expect(clippy::too_many_lines, reason = "a table")]
fn beyond_cis() -> Vec<Control> {
    let row = super::row_of(Component::ApiServer);
    vec![
        row(
            "X-API-01",
            "apiserver.removed.insecure-port",
            "The insecure listener's flags are gone",
            "They opened a port that asks nobody who he is. No binary since 1.24 knows them, so one that is given means an old version or a manifest \
             that does not start.",
            "insecure-port",
            not_given(&["insecure-bind-address", "port", "address"]),
            Remedy::ReportOnly("a newer version, or the flag taken out by hand"),
        ),
        row(
            "X-API-02",
            "apiserver.removed.basic-auth",
            "No file of passwords",
            "Passwords in the clear on the disk; gone since 1.19.",
            "basic-auth-file",
            not_given(&[]),
            Remedy::ReportOnly("a newer version, or the flag taken out by hand"),
        ),
        row(
            "X-API-03",
            "apiserver.tls-min-version",
            "API server speaks TLS 1.2 or newer",
            TLS_FLOOR,
            "tls-min-version",
            tls_floor(),
            Remedy::Restarts,
        ),
        row(
            "X-API-06",
            "apiserver.no-all-alpha",
            "Alpha features are not all on",
            "Alpha code is untested by definition, and one switch turns all of it on.",
            "feature-gates",
            FlagRule::Meets(Constraint::Switches {
                with: vec![flag("runtime-config")],
                not_on: &["AllAlpha", "api/all", "api/alpha"],
                not_off: &[],
            }),
            Remedy::Conditional(Kit::AlphaOff),
        ),
        row(
            "X-API-09",
            "apiserver.secure-port",
            "The secure port is on",
            "A server without it would serve nobody, or in the clear.",
            "secure-port",
            positive("6443", false),
            Remedy::ReportOnly("a port that the cluster's endpoint names"),
        ),
        row(
            "X-API-10",
            "apiserver.debug",
            "No socket for debugging",
            "A profile of the server over a socket in the file system, for whoever may open it.",
            "debug-socket-path",
            FlagRule::Is {
                value: String::new(),
                default: Some(""),
                config_key: None,
            },
            Remedy::Restarts,
        ),
    ]
}

fn not_given(others: &[&str]) -> FlagRule {
    FlagRule::Meets(Constraint::NotGiven(
        others.iter().map(|other| flag(other)).collect(),
    ))
}

fn authorizers(contains: &'static [&'static str], without: &'static [&'static str]) -> FlagRule {
    FlagRule::Meets(Constraint::List(ListRule {
        contains,
        without,
        default: &["AlwaysAllow"],
        instead: Some(flag("authorization-config")),
        ..ListRule::default()
    }))
}
