//! What can go wrong with etcd, and what the operator can do.

use std::time::Duration;

use tonic::Code;

use crate::adapters::cluster::with_causes;

/// Longer words of a server are cut.
const MAX_WORDS: usize = 300;

/// A question to etcd that was not answered. Never holds a value.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// No connection.
    #[error("etcd at {endpoint}: {why}")]
    Unreachable {
        /// Whom we asked.
        endpoint: String,
        /// The causes.
        why: String,
    },
    /// None of several endpoints answered.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NoEndpoint(Vec<Self>),
    /// It did not answer in time.
    #[error("etcd at {endpoint}: no answer within {after:?}")]
    Deadline {
        /// Whom we asked.
        endpoint: String,
        /// How long we waited.
        after: Duration,
    },
    /// The revision is no longer there: start over at a newer one.
    #[error("etcd at {endpoint}: the revision {revision} has been compacted")]
    Compacted {
        /// Whom we asked.
        endpoint: String,
        /// The revision.
        revision: i64,
    },
    /// One value is larger than any that is read.
    #[error("etcd at {endpoint}: the value behind the key {after} is too large to be read")]
    TooLarge {
        /// Whom we asked.
        endpoint: String,
        /// The key before it.
        after: String,
    },
    /// Its database is full.
    #[error("etcd at {endpoint}: {message}")]
    NoSpace {
        /// Whom we asked.
        endpoint: String,
        /// Its words.
        message: String,
    },
    /// It has no leader, or cannot reach a majority in time.
    #[error("etcd at {endpoint}: {message}")]
    NoQuorum {
        /// Whom we asked.
        endpoint: String,
        /// Its words.
        message: String,
    },
    /// It does not let this certificate do that.
    #[error("etcd at {endpoint}: {message}")]
    Denied {
        /// Whom we asked.
        endpoint: String,
        /// Its words.
        message: String,
    },
    /// It refused for another reason.
    #[error("etcd at {endpoint}: {message}")]
    Refused {
        /// Whom we asked.
        endpoint: String,
        /// Its words.
        message: String,
    },
    /// It ended a watch: look again, from a new census on.
    #[error("etcd at {endpoint}: the watch was ended: {message}")]
    WatchEnded {
        /// Whom we asked.
        endpoint: String,
        /// Its words.
        message: String,
    },
    /// An answer that etcd would not give.
    #[error("etcd at {endpoint}: an answer that cannot be: {what}")]
    Nonsense {
        /// Whom we asked.
        endpoint: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl EtcdError {
    /// What the operator can do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => {
                "see whether etcd runs, and whether --etcd-servers, --etcd-cafile, --etcd-certfile and --etcd-keyfile of kube-apiserver fit it"
            }
            Self::NoEndpoint(errors) => errors.first().map_or("", Self::advice),
            Self::Deadline { .. } => "see whether etcd's disk or network is slow (`etcdctl endpoint status`)",
            Self::Compacted { .. } | Self::WatchEnded { .. } => {
                "nothing: it is read again at a newer revision"
            }
            Self::TooLarge { .. } => "see what writes so large a value, and delete it if nothing needs it",
            Self::NoSpace { .. } => {
                "compact and defragment etcd or raise --quota-backend-bytes, then `etcdctl alarm disarm`"
            }
            Self::NoQuorum { .. } => {
                "bring the missing etcd members back (`etcdctl endpoint health --cluster`)"
            }
            Self::Denied { .. } => {
                "let kube-apiserver's etcd user read the whole --etcd-prefix and compact_rev_key"
            }
            Self::Refused { .. } => "see etcd's log",
            Self::Nonsense { .. } => "see whether something else than etcd answers there",
        }
    }

    /// Whether the same question may be answered at a newer revision.
    #[must_use]
    pub const fn is_compacted(&self) -> bool {
        matches!(self, Self::Compacted { .. })
    }

    /// What a status of gRPC means; `revision` is the one that was asked for.
    pub(super) fn of_status(endpoint: &str, status: &tonic::Status, revision: i64) -> Self {
        let endpoint = endpoint.to_owned();
        let message = words(status);
        let says = |text: &str| message.contains(text);
        if says("required revision has been compacted") {
            return Self::Compacted { endpoint, revision };
        }
        if says("database space exceeded") {
            return Self::NoSpace { endpoint, message };
        }
        if says("no leader") || says("etcdserver: request timed out") || says("leader changed") {
            return Self::NoQuorum { endpoint, message };
        }
        if matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated) {
            Self::Denied { endpoint, message }
        } else if std::error::Error::source(status).is_some() {
            let why = message;
            Self::Unreachable { endpoint, why }
        } else {
            Self::Refused { endpoint, message }
        }
    }
}

/// Whether an answer was refused because it is larger than we or the server let it be.
pub(super) fn is_overflow(status: &tonic::Status) -> bool {
    matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted)
        && (status.message().contains("message length too large")
            || status.message().contains("message larger than max"))
}

fn words(status: &tonic::Status) -> String {
    let cause = std::error::Error::source(status)
        .map(with_causes)
        .unwrap_or_default();
    let message = status.message();
    let words = match (message.is_empty(), cause.is_empty()) {
        (_, true) if !message.is_empty() => message.to_owned(),
        (_, true) => status.code().description().to_owned(),
        (true, false) => cause,
        (false, false) if cause.contains(message) => cause,
        (false, false) => format!("{message}: {cause}"),
    };
    words.chars().take(MAX_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_says_is_told_apart() {
        let of = |status: tonic::Status| {
            let error = EtcdError::of_status("e", &status, 7);
            assert!(!error.advice().is_empty(), "{error}");
            format!("{error:?}").split(' ').next().unwrap().to_owned() + " " + &error.to_string()
        };
        let table = [
            (
                tonic::Status::out_of_range("etcdserver: mvcc: required revision has been compacted"),
                "Compacted etcd at e: the revision 7 has been compacted",
            ),
            (
                tonic::Status::resource_exhausted("etcdserver: mvcc: database space exceeded"),
                "NoSpace etcd at e: etcdserver: mvcc: database space exceeded",
            ),
            (
                tonic::Status::unavailable("etcdserver: no leader"),
                "NoQuorum etcd at e: etcdserver: no leader",
            ),
            (
                tonic::Status::unavailable("etcdserver: request timed out"),
                "NoQuorum etcd at e: etcdserver: request timed out",
            ),
            (
                tonic::Status::permission_denied("etcdserver: permission denied"),
                "Denied etcd at e: etcdserver: permission denied",
            ),
            (
                tonic::Status::out_of_range("etcdserver: mvcc: required revision is a future revision"),
                "Refused etcd at e: etcdserver: mvcc: required revision is a future revision",
            ),
            (tonic::Status::unknown(""), "Refused etcd at e: Unknown error"),
        ];
        for (status, expected) in table {
            assert_eq!(of(status), expected);
        }
    }

    #[test]
    fn an_overflow_is_not_taken_for_a_compaction() {
        let table = [
            (
                "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes",
                true,
            ),
            ("grpc: trying to send message larger than max (5 vs. 4)", true),
            ("etcdserver: mvcc: required revision has been compacted", false),
        ];
        for (words, expected) in table {
            assert_eq!(
                is_overflow(&tonic::Status::out_of_range(words)),
                expected,
                "{words}"
            );
        }
    }
}
