//! What must hold of a flag where no single value is required.

use crate::domain::FlagName;

/// What must hold of a flag, or of several that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constraint {
    /// The file of a certificate is given, and so is that of its key.
    Pair {
        /// The flag of the key.
        key: FlagName,
        /// kubeadm's files of both, which the flags should name where they are not given.
        usual: [&'static str; 2],
    },
    /// A switch is on, and the authority by which it verifies is given.
    Verifies {
        /// The flag of the authority's file.
        authority: FlagName,
        /// kubeadm's file of it, which the flag should name where it is not given.
        usual: &'static str,
    },
    /// It is given; where it is not, this file of kubeadm's is what it should name.
    Names(&'static str),
    /// Neither it nor any of these is given.
    NotGiven(Vec<FlagName>),
    /// It is false, or a file decides instead, which this flag names.
    OffOr {
        /// The built-in value when the flag is absent.
        default: &'static str,
        /// The flag of the file.
        instead: FlagName,
    },
    /// A list, whose occurrences accumulate.
    List(ListRule),
    /// One of these values; the first mends another.
    OneOf {
        /// The values.
        values: &'static [&'static str],
        /// The built-in value when the flag is absent.
        default: &'static str,
    },
    /// Only cipher suites that are strong.
    Suites {
        /// True when the built-in list will not do.
        given: bool,
    },
    /// An address that only the node itself reaches.
    Loopback {
        /// The built-in value when the flag is absent.
        default: &'static str,
    },
    /// Every URL of it and of these is an HTTPS one.
    Https {
        /// The other flags.
        with: Vec<FlagName>,
        /// True when HTTP is good enough on an address that only the node itself reaches.
        or_loopback: bool,
    },
    /// A number, or a duration, above zero.
    Positive {
        /// The built-in value when the flag is absent.
        default: &'static str,
        /// True for a duration as Go writes it.
        duration: bool,
    },
    /// Switches, `NAME=BOOLEAN`, of it and of these.
    Switches {
        /// The other flags.
        with: Vec<FlagName>,
        /// None of these may be true.
        not_on: &'static [&'static str],
        /// None of these may be false.
        not_off: &'static [&'static str],
    },
}

/// What must hold of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListRule {
    /// What must be in it.
    pub contains: &'static [&'static str],
    /// What must not be in it.
    pub without: &'static [&'static str],
    /// The built-in items when the flag is absent.
    pub default: &'static [&'static str],
    /// The flag of a file that decides instead, when it is given.
    pub instead: Option<FlagName>,
    /// The flag of another list that must not have the same items: the component does not start then.
    pub apart_from: Option<FlagName>,
}

impl Constraint {
    /// True when a flag with that value, given once, meets it whatever the other flags are.
    #[must_use]
    pub fn allows(&self, value: &str) -> bool {
        match self {
            Self::Names(_) => !value.is_empty(),
            Self::OneOf { values, .. } => values.contains(&value),
            Self::List(rule) => {
                let items = items_of([value]);
                let has = |wanted: &&str| items.iter().any(|item| item == wanted);
                rule.contains.iter().all(has) && !rule.without.iter().any(has)
            }
            Self::Pair { .. }
            | Self::Verifies { .. }
            | Self::NotGiven(_)
            | Self::OffOr { .. }
            | Self::Suites { .. }
            | Self::Loopback { .. }
            | Self::Https { .. }
            | Self::Positive { .. }
            | Self::Switches { .. } => false,
        }
    }
}

/// The items of a list by all its occurrences, in order (pflag `stringSliceValue`: each is a line of comma-separated values).
pub fn items_of<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    values
        .into_iter()
        .flat_map(|value| value.split(','))
        .map(|item| item.trim_matches('"').to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

/// Cipher suites that the CIS benchmark calls strong, and those of TLS 1.3, which are always on (CIS 1.2.29 of 1.12, Go `crypto/tls`).
pub const STRONG_SUITES: &[&str] = &[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// What is offered where nothing strong is: what every Go client of today knows, for either kind of certificate.
pub const OFFERED_SUITES: [&str; 4] = [
    HTTP2_SUITES[0],
    HTTP2_SUITES[1],
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
];

/// Without one of these no HTTP/2 is served, and a server with a list of its own does not start (Go `golang.org/x/net/http2`,
/// `ConfigureServer`).
pub const HTTP2_SUITES: [&str; 2] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
];
