//! A certificate, as far as controls ask about it.

use super::{Digest, Provider};

/// An X.509 certificate (RFC 5280).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it names, as `CN=kube-apiserver`.
    pub subject: String,
    /// True when it may sign others (basicConstraints).
    pub is_authority: bool,
    /// From when on it is valid.
    pub not_before: jiff::Timestamp,
    /// Until when it is valid.
    pub not_after: jiff::Timestamp,
    /// What kind of key it certifies.
    pub key: PublicKey,
    /// SHA-256 of the public key (SubjectPublicKeyInfo).
    pub public_key: Digest,
    /// The name of a hash that no signature should rest on, if its own does; none for one that signed itself, which nobody verifies.
    pub weak_hash: Option<&'static str>,
}

/// The kind and strength of a public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA, with this many bits.
    Rsa(usize),
    /// On a curve of NIST's, with this many bits.
    Curve(usize),
    /// Ed25519.
    Ed25519,
    /// Another one, by its object identifier.
    Other(String),
}

/// What encrypts secrets, by the file that `--encryption-provider-config` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstProvider {
    /// A key under this provider.
    Key(Provider),
    /// A key management service.
    Kms,
    /// They are written in plaintext.
    Identity,
    /// No rule covers them, so they are written in plaintext.
    NoRule,
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA of {bits} bits"),
            Self::Curve(bits) => write!(f, "ECDSA on a curve of {bits} bits"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(oid) => write!(f, "a key of the kind {oid}"),
        }
    }
}

impl PublicKey {
    /// Less than the 112 bits of security of NIST SP 800-57.
    #[must_use]
    pub const fn is_weak(&self) -> bool {
        match self {
            Self::Rsa(bits) => *bits < 2048,
            Self::Curve(bits) => *bits < 224,
            Self::Ed25519 => false,
            Self::Other(_) => true,
        }
    }
}
