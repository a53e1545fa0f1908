//! More flags of the API server: CIS 1.2, 3.2, and what other guides add.

use super::flags::row;
use super::{Control, FlagRule, ListRule, Remedy, Shape, flag};
use crate::domain::Component;

const NOBODY_VERIFIES: &str = "Whoever can reach the port is believed.";
const PAIR: &str = "the certificate and its key, a pair that chains to the right CA; kubeadm's lie under /etc/kubernetes/pki";
const AUTHORIZER: &str = "With AlwaysAllow every authenticated request is granted; Node keeps a kubelet to what runs on its node, and RBAC is what roles \
    are for. Where --authorization-config is given, that file decides.";
const ADMISSION: &str = "Admission plug-ins are the last look at each write. One that is switched off by a flag is missed only when it is needed.";
const TLS_FLOOR: &str =
    "TLS 1.0 and 1.1 are broken. The floor of today's binaries is 1.2; a flag may have lowered it.";

fn list(contains: &'static [&'static str], without: &'static [&'static str]) -> FlagRule {
    FlagRule::Shape(Shape::List(ListRule {
        contains,
        without,
        ..ListRule::default()
    }))
}

fn authorizers(contains: &'static [&'static str], without: &'static [&'static str]) -> FlagRule {
    FlagRule::Shape(Shape::List(ListRule {
        contains,
        without,
        default: &["AlwaysAllow"],
        instead: Some("authorization-config"),
    }))
}

/// The rows of this table.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn controls() -> Vec<Control> {
    let row = |id, rule, title, rationale, name, must, remedy| {
        row(
            id,
            rule,
            title,
            rationale,
            Component::ApiServer,
            name,
            must,
            remedy,
        )
    };
    let with = |other| FlagRule::Shape(Shape::GivenWith(vec![flag(other)]));
    let names = |usual| FlagRule::Shape(Shape::Names(usual));
    let mut rows = vec![
        row(
            "CIS-1.2.1",
            "apiserver.anonymous-auth",
            "Anonymous requests are off, or confined to health",
            "What the anonymous may do is one careless RoleBinding away from everything.",
            "anonymous-auth",
            FlagRule::Shape(Shape::OffOr {
                default: "true",
                instead: "authentication-config",
            }),
            Remedy::ReportOnly(
                "an AuthenticationConfiguration that leaves the anonymous the health endpoints, and cluster-info while nodes join by token: with \
                 --anonymous-auth=false the kubelet's own probes get 401 and restart the server for ever",
            ),
        ),
        row(
            "CIS-1.2.2",
            "apiserver.token-auth-file",
            "No file of static tokens",
            "Static tokens lie in the clear on the disk, never expire, and change only by a restart.",
            "token-auth-file",
            FlagRule::Shape(Shape::NotGiven(vec![])),
            Remedy::ReportOnly(
                "the certainty that no bootstrap or emergency user needs the file: its users lose access at once",
            ),
        ),
        row(
            "CIS-1.2.4",
            "apiserver.kubelet-client-cert",
            "API server shows kubelets a client certificate",
            "Without it kubelets see an anonymous client, and would have to grant anonymous clients exec and logs.",
            "kubelet-client-certificate",
            with("kubelet-client-key"),
            Remedy::ReportOnly(PAIR),
        ),
        row(
            "CIS-1.2.20",
            "apiserver.request-timeout",
            "Requests time out",
            "A request without an end holds its connection and memory.",
            "request-timeout",
            FlagRule::Shape(Shape::Positive {
                default: "1m0s",
                duration: true,
            }),
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
            FlagRule::Is {
                value: "true".to_owned(),
                default: Some("true"),
                config_key: None,
            },
            Remedy::Restarts,
        ),
        row(
            "CIS-1.2.22",
            "apiserver.service-account-key-file",
            "Tokens of service accounts are verified with a key of their own",
            "Without the flag the server's TLS key is used, so that one key does two jobs and cannot be replaced alone.",
            "service-account-key-file",
            FlagRule::IsSet,
            Remedy::ReportOnly(
                "the public key that fits the controller manager's signing key; a wrong one makes every token void",
            ),
        ),
        row(
            "CIS-1.2.23",
            "apiserver.etcd-client-cert",
            "API server shows etcd a client certificate",
            "etcd holds everything. It can refuse strangers only if the API server shows who it is.",
            "etcd-certfile",
            with("etcd-keyfile"),
            Remedy::ReportOnly(PAIR),
        ),
        row(
            "CIS-1.2.24",
            "apiserver.serving-cert",
            "API server has a serving certificate",
            "Without one the server signs for itself, and clients cannot tell it from another.",
            "tls-cert-file",
            with("tls-private-key-file"),
            Remedy::ReportOnly(PAIR),
        ),
        row(
            "CIS-1.2.25",
            "apiserver.client-ca",
            "Client certificates are verified",
            NOBODY_VERIFIES,
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
            FlagRule::IsSet,
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
            FlagRule::Shape(Shape::Suites { given: true }),
            Remedy::ReportOnly(
                "a list that every client and load balancer can do, with the AES_128_GCM_SHA256 suite of the certificate's kind of key, without \
                 which the server does not start",
            ),
        ),
        row(
            "CIS-3.2.1",
            "apiserver.audit.policy-file",
            "An audit policy is given",
            "Without a policy nothing is written to the audit log, even if a path is given.",
            "audit-policy-file",
            FlagRule::IsSet,
            Remedy::ReportOnly(
                "an audit policy that parses, in a folder that is mounted into the pod; it is the operator's to choose",
            ),
        ),
    ];
    rows.extend(authorization());
    rows.extend(admission());
    rows.extend(beyond());
    rows
}

fn authorization() -> Vec<Control> {
    let row = |id, rule, title, must| {
        row(
            id,
            rule,
            title,
            AUTHORIZER,
            Component::ApiServer,
            "authorization-mode",
            must,
            Remedy::Restarts,
        )
    };
    vec![
        row(
            "CIS-1.2.6",
            "apiserver.authz.not-always-allow",
            "Not every request is granted",
            authorizers(&[], &["AlwaysAllow"]),
        ),
        row(
            "CIS-1.2.7",
            "apiserver.authz.node",
            "Kubelets are kept to their own node",
            authorizers(&["Node"], &[]),
        ),
        row(
            "CIS-1.2.8",
            "apiserver.authz.rbac",
            "Roles decide who may do what",
            authorizers(&["RBAC"], &[]),
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn admission() -> Vec<Control> {
    const ENABLE: &str = "enable-admission-plugins";
    const DISABLE: &str = "disable-admission-plugins";
    let row = |id, rule, title, name, must, remedy| {
        row(
            id,
            rule,
            title,
            ADMISSION,
            Component::ApiServer,
            name,
            must,
            remedy,
        )
    };
    vec![
        row(
            "CIS-1.2.3",
            "apiserver.admission.deny-service-external-ips",
            "Services take no external addresses",
            ENABLE,
            list(&["DenyServiceExternalIPs"], &[]),
            Remedy::ReportOnly(
                "a cluster in which no Service uses spec.externalIPs; new and changed ones would be refused",
            ),
        ),
        row(
            "CIS-1.2.9",
            "apiserver.admission.event-rate-limit",
            "Events are limited",
            ENABLE,
            list(&["EventRateLimit"], &[]),
            Remedy::ReportOnly(
                "an admission configuration with limits that fit the cluster; without one the server does not start",
            ),
        ),
        row(
            "CIS-1.2.10",
            "apiserver.admission.no-always-admit",
            "AlwaysAdmit is not enabled",
            ENABLE,
            list(&[], &["AlwaysAdmit"]),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.2.11",
            "apiserver.admission.always-pull-images",
            "Images are pulled with the pod's own credentials",
            ENABLE,
            list(&["AlwaysPullImages"], &[]),
            Remedy::ReportOnly(
                "a registry that is always there: no pod starts without it, and images that were loaded by hand stop working",
            ),
        ),
        row(
            "CIS-1.2.12",
            "apiserver.admission.service-account",
            "ServiceAccount admission is not switched off",
            DISABLE,
            list(&[], &["ServiceAccount"]),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.2.13",
            "apiserver.admission.namespace-lifecycle",
            "NamespaceLifecycle admission is not switched off",
            DISABLE,
            list(&[], &["NamespaceLifecycle"]),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.2.14",
            "apiserver.admission.node-restriction",
            "NodeRestriction admission is on",
            ENABLE,
            list(&["NodeRestriction"], &[]),
            Remedy::Restarts,
        ),
        row(
            "X-API-08",
            "apiserver.admission.webhooks-on",
            "Webhooks and policies of admission are not switched off",
            DISABLE,
            list(
                &[],
                &[
                    "MutatingAdmissionWebhook",
                    "PodSecurity",
                    "ValidatingAdmissionPolicy",
                    "ValidatingAdmissionWebhook",
                ],
            ),
            Remedy::Restarts,
        ),
    ]
}

/// What other guides ask.
#[expect(clippy::too_many_lines, reason = "a table")]
fn beyond() -> Vec<Control> {
    let row = |id, rule, title, rationale, name, must, remedy| {
        row(
            id,
            rule,
            title,
            rationale,
            Component::ApiServer,
            name,
            must,
            remedy,
        )
    };
    let not_given =
        |others: &[&str]| FlagRule::Shape(Shape::NotGiven(others.iter().map(|other| flag(other)).collect()));
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
            FlagRule::Shape(Shape::Switches {
                with: vec![flag("runtime-config")],
                not_on: &["AllAlpha", "api/all", "api/alpha"],
                not_off: &[],
            }),
            Remedy::ReportOnly("the certainty that no object of an alpha API is needed"),
        ),
        row(
            "X-API-09",
            "apiserver.secure-port",
            "The secure port is on",
            "A server without it would serve nobody, or in the clear.",
            "secure-port",
            FlagRule::Shape(Shape::Positive {
                default: "6443",
                duration: false,
            }),
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

/// TLS 1.2 or newer.
pub(super) fn tls_floor() -> FlagRule {
    FlagRule::Shape(Shape::OneOf {
        values: &["VersionTLS12", "VersionTLS13"],
        default: "VersionTLS12",
    })
}

pub(super) const FLOOR: &str = TLS_FLOOR;
