//! Encryption keys: which, by name and fingerprint, and their bytes, which never leave by any output.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A provider of static keys, as the `EncryptionConfiguration` calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// AES in CBC mode with PKCS#7 padding: no integrity.
    Aescbc,
    /// AES in GCM mode; the etcd key is authenticated with the value.
    Aesgcm,
    /// XSalsa20 with Poly1305.
    Secretbox,
}

/// The name of a key: what the stored value carries in the clear. Never empty; upstream checks nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName(String);

/// A text that is no key name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key's name must not be empty")]
pub struct InvalidKeyName;

/// Which key: plaintext is one too, so that encrypting at all is the same walk as changing a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyId {
    /// No encryption: the `identity` provider.
    Identity,
    /// A key of a provider.
    Key {
        /// The provider.
        provider: Provider,
        /// Its name.
        name: KeyName,
    },
}

/// A key's bytes. They are wiped when dropped, and neither shown nor serialised.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<Vec<u8>>);

/// By what a key is known in logs: a prefix of a hash of its bytes, with a label of its own so that it is no hash of the key for
/// anything else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 6]);

/// A resource with its API group, as `deployments.apps` or `secrets`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(into = "String")]
pub struct GroupResource {
    /// The plural name, in lower case.
    pub resource: String,
    /// The API group; empty for the core group.
    pub group: String,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Aescbc, Self::Aesgcm, Self::Secretbox];

    /// Its name in the `EncryptionConfiguration` and in stored values.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aescbc => "aescbc",
            Self::Aesgcm => "aesgcm",
            Self::Secretbox => "secretbox",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl KeyName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = InvalidKeyName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for KeyName {
    type Error = InvalidKeyName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() {
            Err(InvalidKeyName)
        } else {
            Ok(Self(text))
        }
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> Self {
        name.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KeyId {
    /// How a key is named to whoever looks for it: with the fingerprint of its bytes, where that is known.
    #[must_use]
    pub fn told(&self, fingerprint: Option<&Fingerprint>) -> String {
        fingerprint.map_or_else(
            || self.to_string(),
            |fingerprint| format!("{self} (fingerprint {fingerprint})"),
        )
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity => f.write_str("identity"),
            Self::Key { provider, name } => write!(f, "{provider}:{name}"),
        }
    }
}

impl SecretKey {
    /// Takes the bytes over.
    #[must_use]
    pub const fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes, for a cipher or the key store only.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Their fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = sha2::Sha256::new();
        hash.update(b"holdfast key fingerprint\0");
        hash.update(self.expose());
        let hash: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, ..] = hash;
        Fingerprint([a, b, c, d, e, f])
    }

    /// True for the same bytes; takes the same time whichever differs.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.fingerprint())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.resource)
        } else {
            write!(f, "{}.{}", self.resource, self.group)
        }
    }
}

impl From<GroupResource> for String {
    fn from(resource: GroupResource) -> Self {
        resource.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_its_fingerprint_and_no_byte_of_it() {
        let key = SecretKey::new(Zeroizing::new(b"0123456789abcdef".to_vec()));
        assert_eq!(format!("{key:?}"), format!("SecretKey({})", key.fingerprint()));
        assert!(!format!("{key:?}").contains("0123"));
        assert!(key.is_same(&key.clone()));
        assert!(!key.is_same(&SecretKey::new(Zeroizing::new(b"0123456789abcdeF".to_vec()))));
    }

    #[test]
    fn a_key_id_and_a_resource_read_as_operators_write_them() {
        let name: KeyName = "key1".parse().unwrap();
        let key = KeyId::Key {
            provider: Provider::Aescbc,
            name,
        };
        assert_eq!(key.to_string(), "aescbc:key1");
        assert_eq!(key.told(None), "aescbc:key1");
        assert_eq!(
            key.told(Some(&Fingerprint([0, 1, 2, 3, 4, 255]))),
            "aescbc:key1 (fingerprint 0001020304ff)"
        );
        assert_eq!(KeyId::Identity.to_string(), "identity");
        let of = |resource: &str, group: &str| {
            GroupResource {
                resource: resource.to_owned(),
                group: group.to_owned(),
            }
            .to_string()
        };
        assert_eq!(of("secrets", ""), "secrets");
        assert_eq!(of("deployments", "apps"), "deployments.apps");
        assert_eq!("".parse::<KeyName>(), Err(InvalidKeyName));
    }
}
