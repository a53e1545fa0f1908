//! Whether an object is what it was before its no-op write. The server stores what it would store today: a mutating webhook, a pruned
//! field or another storage version changes the object, and nothing else tells its owner.
//!
//! Only fingerprints are kept, by a hash of the etcd key: some 150 bytes for each stale value, and no text of any.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message;
use serde::Deserialize;

use crate::domain::Digest;

/// What is kept of a plaintext.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Print {
    digest: Digest,
    bytes: usize,
    /// Its `apiVersion`, where it can be told.
    version: Option<Arc<str>>,
}

/// How an object differs from what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// It is stored in another version of its API.
    Version {
        /// Before.
        before: Arc<str>,
        /// Now.
        now: Arc<str>,
    },
    /// Something in it; its sizes, in bytes.
    Content {
        /// Before.
        before: usize,
        /// Now.
        now: usize,
    },
}

/// The stale values as they were, and which writes were ours.
#[derive(Debug, Default)]
pub struct Comparison {
    before: BTreeMap<Digest, Print>,
    ours: BTreeSet<u64>,
    versions: BTreeSet<Arc<str>>,
    compared: u64,
    differing: u64,
}

impl Comparison {
    /// Keeps what a stale value is. It was counted when every server wrote under another key already, so that nobody can have written it
    /// since but by making it stale no more.
    pub fn remember(&mut self, etcd_key: &[u8], plain: &[u8]) {
        let print = self.print(plain);
        self.before.insert(Digest::of(etcd_key), print);
    }

    /// A write of ours, by its revision.
    pub fn wrote(&mut self, revision: u64) {
        self.ours.insert(revision);
    }

    /// How a value differs from what it was before our write. `None` when it does not, when somebody else wrote it since, or when nothing
    /// is known of it. Each is compared once.
    pub fn compare(&mut self, etcd_key: &[u8], mod_revision: u64, plain: &[u8]) -> Option<Difference> {
        if !self.ours.remove(&mod_revision) {
            return None;
        }
        let before = self.before.remove(&Digest::of(etcd_key))?;
        self.compared += 1;
        let now = self.print(plain);
        if now.digest == before.digest {
            return None;
        }
        self.differing += 1;
        Some(match (before.version, now.version) {
            (Some(before), Some(now)) if before != now => Difference::Version { before, now },
            _ => Difference::Content {
                before: before.bytes,
                now: now.bytes,
            },
        })
    }

    /// How many were compared, and how many of them differ.
    #[must_use]
    pub const fn counts(&self) -> (u64, u64) {
        (self.compared, self.differing)
    }

    fn print(&mut self, plain: &[u8]) -> Print {
        Print {
            digest: Digest::of(plain),
            bytes: plain.len(),
            version: api_version(plain).map(|version| self.one_of(version)),
        }
    }

    /// One text for all objects of a version.
    fn one_of(&mut self, version: String) -> Arc<str> {
        if let Some(known) = self.versions.get(version.as_str()) {
            return Arc::clone(known);
        }
        let version: Arc<str> = version.into();
        self.versions.insert(Arc::clone(&version));
        version
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version { before, now } => write!(f, "it was stored as {before} and is stored as {now}"),
            Self::Content { before, now } => {
                write!(f, "its content is another: it had {before} bytes and has {now}")
            }
        }
    }
}

/// k8s.io/apimachinery `pkg/runtime/generated.proto`.
#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(message, optional, tag = "1")]
    type_meta: Option<TypeMeta>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeMeta {
    #[prost(string, optional, tag = "1")]
    api_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    api_version: String,
}

/// The version that an object is stored in, as the API server writes it: protobuf behind four bytes, or JSON. A text that has not the form
/// of a version is none.
fn api_version(plain: &[u8]) -> Option<String> {
    let version = match plain.strip_prefix(b"k8s\0") {
        Some(protobuf) => Unknown::decode(protobuf).ok()?.type_meta?.api_version?,
        None => serde_json::from_slice::<Json>(plain).ok()?.api_version,
    };
    let is_plain = version.len() <= 253
        && version
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"./-".contains(&b));
    is_plain.then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"/registry/secrets/default/a";

    fn protobuf(version: &str, rest: &[u8]) -> Vec<u8> {
        let unknown = Unknown {
            type_meta: Some(TypeMeta {
                api_version: Some(version.to_owned()),
            }),
        };
        // The object itself is the second field.
        let length = u8::try_from(rest.len()).unwrap();
        [
            b"k8s\0",
            unknown.encode_to_vec().as_slice(),
            &[0x12, length],
            rest,
        ]
        .concat()
    }

    /// The difference after a write of ours at revision 7.
    fn difference(before: &[u8], now: &[u8]) -> Option<Difference> {
        let mut comparison = Comparison::default();
        comparison.remember(KEY, before);
        comparison.wrote(7);
        let found = comparison.compare(KEY, 7, now);
        assert_eq!(comparison.counts(), (1, u64::from(found.is_some())));
        found
    }

    #[test]
    fn what_is_as_it_was_is_no_difference() {
        let object = protobuf("v1", b"data");
        assert_eq!(difference(&object, &object), None);
        assert_eq!(difference(b"{}", b"{}"), None);
    }

    #[test]
    fn a_difference_is_told_without_any_of_its_text() {
        let content = difference(&protobuf("v1", b"secret"), &protobuf("v1", b"secret and more")).unwrap();
        let before = protobuf("v1", b"secret").len();
        assert_eq!(
            content.to_string(),
            format!(
                "its content is another: it had {before} bytes and has {}",
                before + 9
            )
        );
        let json = |version: &str| format!("{{\"apiVersion\":\"{version}\",\"spec\":{{\"a\":\"secret\"}}}}");
        let version = difference(
            json("example.org/v1beta1").as_bytes(),
            json("example.org/v1").as_bytes(),
        );
        assert_eq!(
            version.unwrap().to_string(),
            "it was stored as example.org/v1beta1 and is stored as example.org/v1"
        );
        // What has not the form of a version is not told.
        let odd = difference(json("a secret").as_bytes(), json("v1").as_bytes()).unwrap();
        assert!(matches!(odd, Difference::Content { .. }), "{odd}");
        assert!(matches!(
            difference(b"k8s\0\xff\xff", b"{"),
            Some(Difference::Content { before: 6, now: 1 })
        ));
    }

    #[test]
    fn only_what_we_wrote_last_is_compared_and_only_once() {
        let mut comparison = Comparison::default();
        comparison.remember(KEY, b"{}");
        comparison.wrote(7);
        assert_eq!(
            comparison.compare(KEY, 8, b"{ }"),
            None,
            "somebody else wrote it since"
        );
        assert_eq!(
            comparison.compare(b"/registry/secrets/default/b", 9, b"{ }"),
            None
        );
        assert_eq!(comparison.counts(), (0, 0));
        assert!(comparison.compare(KEY, 7, b"{ }").is_some());
        assert_eq!(comparison.compare(KEY, 7, b"{ }"), None);
        assert_eq!(comparison.counts(), (1, 1));
    }
}
