//! What a value in etcd says of itself: plain, or by which key it is encrypted. No key is needed to tell.

use super::config::KmsVersion;
use crate::domain::{KeyId, KeyName, Provider};

/// Enough of a value's first bytes for every key name up to 200 bytes; [`head_bytes`] gives the number for given names.
pub const HEAD_BYTES: usize = 256;

const ENCRYPTED: &[u8] = b"k8s:enc:";
/// `k8s:enc:secretbox:v1:`, the longest.
const LONGEST_START: usize = 21;

/// A stored value, by its first bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stored {
    /// An object in plaintext.
    Plain,
    /// Encrypted with a key of a provider.
    Encrypted {
        /// The provider.
        provider: Provider,
        /// The key's name.
        name: KeyName,
        /// Whether the name is one of those that were known. If not, the name ends at the first colon, which is a guess.
        known: bool,
    },
    /// Encrypted by a key management service.
    Kms {
        /// Its version.
        version: KmsVersion,
        /// Its name in the configuration.
        provider: String,
    },
    /// Nothing that the API server writes.
    Malformed(Malformed),
}

/// Why a value is malformed; nothing of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Malformed {
    /// No byte at all.
    #[error("it is empty")]
    Empty,
    /// Neither encrypted nor an object.
    #[error("it is neither encrypted nor an object")]
    NotAnObject,
    /// No provider that we know.
    #[error("its provider is unknown")]
    UnknownProvider,
    /// A version of a provider that we do not know.
    #[error("the version of its provider is unknown")]
    UnknownVersion,
    /// The key's name does not end within the bytes at hand, or is empty or no text.
    #[error("its key's name cannot be read")]
    NoKeyName,
}

/// How many of a value's first bytes [`Stored::classify`] needs to attribute every value under these keys.
#[must_use]
pub fn head_bytes(known: &[KeyId]) -> usize {
    let longest = known.iter().map(|key| match key {
        KeyId::Identity => 0,
        KeyId::Key { name, .. } => name.as_str().len(),
    });
    let longest = longest.max().unwrap_or(0);
    HEAD_BYTES.max(LONGEST_START.saturating_add(longest).saturating_add(1))
}

/// What stands before every value under the key: `k8s:enc:aescbc:v1:<name>:`.
#[must_use]
pub fn prefix(provider: Provider, name: &KeyName) -> String {
    format!("k8s:enc:{provider}:v1:{name}:")
}

/// True when the bytes begin like an object in etcd: protobuf, JSON, or CBOR (custom resources under an alpha feature).
pub(super) fn begins_like_object(bytes: &[u8]) -> bool {
    let starts: [&[u8]; 3] = [b"k8s\0", b"{", b"\xd9\xd9\xf7"];
    starts.iter().any(|start| bytes.starts_with(start))
}

impl Stored {
    /// Says which key a value is under. `value` may be the whole or its first [`head_bytes`]. `known` are the names in use or once
    /// in use: since a name may hold colons, the longest known one that fits is taken, and only else the text up to the next colon.
    #[must_use]
    pub fn classify(value: &[u8], known: &[KeyId]) -> Self {
        if value.is_empty() {
            return Self::Malformed(Malformed::Empty);
        }
        let Some(rest) = value.strip_prefix(ENCRYPTED) else {
            return if begins_like_object(value) {
                Self::Plain
            } else {
                Self::Malformed(Malformed::NotAnObject)
            };
        };
        Self::encrypted(rest, known).unwrap_or_else(Self::Malformed)
    }

    /// The key's id; none for KMS and malformed values.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        match self {
            Self::Plain => Some(KeyId::Identity),
            Self::Encrypted { provider, name, .. } => Some(KeyId::Key {
                provider: *provider,
                name: name.clone(),
            }),
            Self::Kms { .. } | Self::Malformed(_) => None,
        }
    }

    /// What follows `k8s:enc:`.
    fn encrypted(rest: &[u8], known: &[KeyId]) -> Result<Self, Malformed> {
        let (kind, rest) = up_to_colon(rest).ok_or(Malformed::UnknownProvider)?;
        let (version, rest) = up_to_colon(rest).ok_or(Malformed::UnknownVersion)?;
        if kind == b"kms" {
            let version = match version {
                b"v1" => KmsVersion::V1,
                b"v2" => KmsVersion::V2,
                _ => return Err(Malformed::UnknownVersion),
            };
            let provider = text_up_to_colon(rest)?.to_owned();
            return Ok(Self::Kms { version, provider });
        }
        let provider = Provider::ALL
            .into_iter()
            .find(|provider| provider.name().as_bytes() == kind)
            .ok_or(Malformed::UnknownProvider)?;
        if version != b"v1" {
            return Err(Malformed::UnknownVersion);
        }
        if let Some(name) = longest_known(rest, provider, known) {
            return Ok(Self::Encrypted {
                provider,
                name: name.clone(),
                known: true,
            });
        }
        let name = text_up_to_colon(rest)?.to_owned();
        let name = KeyName::try_from(name).map_err(|_| Malformed::NoKeyName)?;
        Ok(Self::Encrypted {
            provider,
            name,
            known: false,
        })
    }
}

fn up_to_colon(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let (before, after) = bytes.split_at_checked(colon)?;
    Some((before, after.get(1..)?))
}

fn text_up_to_colon(bytes: &[u8]) -> Result<&str, Malformed> {
    let (name, _) = up_to_colon(bytes).ok_or(Malformed::NoKeyName)?;
    let name = std::str::from_utf8(name).map_err(|_| Malformed::NoKeyName)?;
    if name.is_empty() {
        Err(Malformed::NoKeyName)
    } else {
        Ok(name)
    }
}

fn longest_known<'k>(rest: &[u8], provider: Provider, known: &'k [KeyId]) -> Option<&'k KeyName> {
    let fits = |name: &&KeyName| {
        rest.strip_prefix(name.as_str().as_bytes())
            .is_some_and(|after| after.starts_with(b":"))
    };
    let names = known.iter().filter_map(|key| match key {
        KeyId::Key {
            provider: other,
            name,
        } if *other == provider => Some(name),
        KeyId::Key { .. } | KeyId::Identity => None,
    });
    names.filter(fits).max_by_key(|name| name.as_str().len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encryption::testing::id;

    fn classify(value: &str, known: &[&str]) -> Stored {
        let known: Vec<KeyId> = known.iter().map(|key| id(key)).collect();
        Stored::classify(value.as_bytes(), &known)
    }

    fn under(key: &str, known: bool) -> Stored {
        let KeyId::Key { provider, name } = id(key) else {
            panic!("no key: {key}");
        };
        Stored::Encrypted {
            provider,
            name,
            known,
        }
    }

    #[test]
    fn an_object_is_plain_whatever_its_encoding() {
        for value in [&b"k8s\0\n\x0c"[..], b"{\"kind\":", b"{", b"\xd9\xd9\xf7\xa1"] {
            assert_eq!(Stored::classify(value, &[]), Stored::Plain);
        }
        assert_eq!(Stored::Plain.key(), Some(KeyId::Identity));
    }

    #[test]
    fn a_value_is_attributed_to_the_longest_known_name_that_fits() {
        let known = ["aescbc:a", "aescbc:a:b", "aesgcm:a:b:c", "identity"];
        for (value, expected) in [
            ("k8s:enc:aescbc:v1:a:\0\0", under("aescbc:a", true)),
            ("k8s:enc:aescbc:v1:a:b:\0", under("aescbc:a:b", true)),
            ("k8s:enc:aescbc:v1:a:b:c:", under("aescbc:a:b", true)),
            ("k8s:enc:aescbc:v1:ab:", under("aescbc:ab", false)),
            ("k8s:enc:secretbox:v1:a:b:", under("secretbox:a", false)),
            ("k8s:enc:aesgcm:v1:a:b:x", under("aesgcm:a", false)),
        ] {
            assert_eq!(classify(value, &known), expected, "{value}");
        }
    }

    #[test]
    fn a_kms_value_tells_version_and_provider() {
        let kms = |version| Stored::Kms {
            version,
            provider: "vault".to_owned(),
        };
        assert_eq!(classify("k8s:enc:kms:v1:vault:x", &[]), kms(KmsVersion::V1));
        assert_eq!(classify("k8s:enc:kms:v2:vault:", &[]), kms(KmsVersion::V2));
        assert_eq!(kms(KmsVersion::V2).key(), None);
    }

    #[test]
    fn what_the_api_server_never_writes_is_malformed_for_a_reason() {
        for (value, reason) in [
            ("", Malformed::Empty),
            ("k8s:en", Malformed::NotAnObject),
            ("k8s:", Malformed::NotAnObject),
            ("hello", Malformed::NotAnObject),
            ("k8s:enc:", Malformed::UnknownProvider),
            ("k8s:enc:aescbc", Malformed::UnknownProvider),
            ("k8s:enc:aes:v1:a:", Malformed::UnknownProvider),
            ("k8s:enc:aescbc:", Malformed::UnknownVersion),
            ("k8s:enc:aescbc:v2:a:", Malformed::UnknownVersion),
            ("k8s:enc:kms:v3:a:", Malformed::UnknownVersion),
            ("k8s:enc:aescbc:v1:", Malformed::NoKeyName),
            ("k8s:enc:aescbc:v1::", Malformed::NoKeyName),
            ("k8s:enc:aescbc:v1:key1", Malformed::NoKeyName),
            ("k8s:enc:kms:v2:vault", Malformed::NoKeyName),
        ] {
            assert_eq!(classify(value, &[]), Stored::Malformed(reason), "{value}");
        }
        let no_text = Stored::classify(b"k8s:enc:aescbc:v1:\xff:", &[]);
        assert_eq!(no_text, Stored::Malformed(Malformed::NoKeyName));
    }

    proptest! {
        #[test]
        fn any_bytes_are_classified(value in prop_oneof![
            any::<Vec<u8>>(),
            "(k8s|k8s:|k8s:enc:)(aescbc|kms|secretbox|)(:|)(v1|v2|)(:|)[a-c:]{0,6}".prop_map(String::into_bytes),
        ]) {
            let stored = Stored::classify(&value, &[id("aescbc:a:b"), KeyId::Identity]);
            prop_assert_eq!(value.starts_with(b"{"), stored == Stored::Plain && value.first() == Some(&b'{'));
        }

        #[test]
        fn the_first_bytes_say_the_same_as_the_whole(
            kind in 0..3_usize,
            name in "[a-z:]{1,400}",
            body in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let key = KeyId::Key { provider: Provider::ALL[kind], name: name.parse().unwrap() };
            let known = [KeyId::Identity, key.clone()];
            let mut value = prefix(Provider::ALL[kind], &name.parse().unwrap()).into_bytes();
            value.extend(body);
            let head = &value[..value.len().min(head_bytes(&known))];
            let whole = Stored::classify(&value, &known);
            prop_assert_eq!(whole.key(), Some(key));
            prop_assert_eq!(Stored::classify(head, &known), whole);
        }
    }
}
