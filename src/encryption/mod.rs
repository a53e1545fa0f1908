//! Encryption at rest as the API server does it: its `EncryptionConfiguration`, and the values that it stores.
//!
//! The typed view ([`EncryptionConfig`]) is read as strictly as upstream reads it; what is legal but dangerous is a [`Concern`].
//! [`edit`] holds the few changes a rotation makes, [`write`] gives the canonical bytes, [`Stored`] tells from a stored value's
//! first bytes which key it is under, and [`decrypt`] proves it. Key bytes leave by [`write`] only.

mod concerns;
mod config;
mod config_kms;
mod config_parse;
mod decrypt;
pub mod edit;
mod envelope;
mod error;
mod fields;
mod new_key;
mod resources;
mod tree;
mod writer;

#[cfg(test)]
mod seal;
#[cfg(test)]
pub(crate) mod testing;

pub use concerns::{Concern, Weakness, weakness};
pub use config::{EncryptionConfig, Entry, Kms, KmsVersion, Link, NamedKey, ProviderEntry, SharedChain};
pub use config_parse::{MAX_BYTES, parse};
pub use decrypt::{Undecryptable, decrypt, looks_like_object};
pub use envelope::{HEAD_BYTES, Malformed, Stored, head_bytes, prefix};
pub use error::{ParseError, ParseErrorKind, ResourceProblem};
pub use new_key::{are_distinct, is_name_free, new_key_name};
pub use resources::ResourcePattern;
pub use writer::{token, write};
