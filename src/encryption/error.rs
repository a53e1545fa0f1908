//! Why a text is no `EncryptionConfiguration`: the field and its place, and never a word of what stands there.

use std::fmt;

/// What is wrong, and where. It holds nothing of the text but names of fields that upstream knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The field, as `resources[0].providers[1].aescbc.keys[0].secret`; empty for the whole file.
    pub path: String,
    /// Line and column, both from 1, columns in characters; none when the parser knows none.
    pub position: Option<(usize, usize)>,
    /// What is wrong.
    pub kind: ParseErrorKind,
}

/// What is wrong with an `EncryptionConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// Over [`MAX_BYTES`](super::MAX_BYTES), or grown beyond reason by aliases.
    #[error("it is too large to be read")]
    TooLarge,
    /// Bytes that are no text.
    #[error("it is no UTF-8 text; save it as UTF-8")]
    NotText,
    /// The API server reads it, but not every tool does.
    #[error("it begins with a byte order mark; save it without one")]
    ByteOrderMark,
    /// Neither YAML nor JSON.
    #[error("this is neither YAML nor JSON; check quotes, brackets and indentation")]
    Syntax,
    /// A YAML tag, which readers take differently.
    #[error(
        "a word that begins with '!' may be a YAML tag, which changes what stands behind it; remove it, or give a comment a line to itself"
    )]
    Tag,
    /// The API server would read the first document only.
    #[error("it holds several YAML documents, of which the API server reads only the first; keep one")]
    SeveralDocuments,
    /// Kind or version is not the one.
    #[error("it must be of kind EncryptionConfiguration, apiVersion apiserver.config.k8s.io/v1")]
    OtherKind,
    /// A value of another type.
    #[error("{0} is expected here")]
    Expected(&'static str),
    /// A field that upstream does not know.
    #[error("a field here is unknown; the API server would refuse the file")]
    UnknownField,
    /// The same field twice.
    #[error("a field is given twice; the API server would refuse the file")]
    DuplicateField,
    /// Something that must be there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A provider element without a provider.
    #[error(
        "the element names no provider; one of aescbc, aesgcm, secretbox, identity, kms is needed (identity: {{}})"
    )]
    NoProvider,
    /// A provider element with several.
    #[error("the element names several providers; give each a list element of its own")]
    SeveralProviders,
    /// Not base64 as Go's `StdEncoding` reads it.
    #[error("the secret must be standard base64 with padding")]
    NotBase64,
    /// A key of a length that the provider does not take.
    #[error("the key has {bytes} bytes, and {provider} takes {takes}")]
    KeyLength {
        /// What it has.
        bytes: usize,
        /// The provider.
        provider: crate::domain::Provider,
        /// What it may have.
        takes: &'static str,
    },
    /// A resource that upstream refuses.
    #[error("{0}")]
    Resource(ResourceProblem),
    /// A setting of a KMS provider that upstream refuses.
    #[error("{0}")]
    Kms(&'static str),
}

/// Why upstream refuses a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResourceProblem {
    /// No name.
    #[error("a resource has no name")]
    Empty,
    /// Resources are lower case.
    #[error("a resource must not have capital letters")]
    Capitals,
    /// Neither `*.` nor `*.*`.
    #[error("write '*.' for all of the core group, or '*.*' for all resources")]
    BareStar,
    /// Stored by the API server, but without an API of its own.
    #[error("this resource has no REST API and cannot be encrypted")]
    NoRestApi,
    /// Stored under the core group.
    #[error("events are stored under the core group: write 'events'")]
    EventsGroup,
    /// A group that is gone.
    #[error("the group 'extensions' is gone")]
    ExtensionsGroup,
    /// As `secrets.*`.
    #[error("one resource across all groups cannot be given")]
    AcrossGroups,
    /// Twice in one list.
    #[error("a resource is given twice in the list")]
    Duplicate,
    /// One covers the other in one list.
    #[error("one resource of the list covers another")]
    Overlap,
    /// An earlier entry's wildcard covers it.
    #[error("an earlier entry's wildcard covers this resource, so that it would have no effect")]
    Masked,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionConfiguration")?;
        if let Some((line, column)) = self.position {
            write!(f, ", line {line}, column {column}")?;
        }
        if !self.path.is_empty() {
            write!(f, ", {}", self.path)?;
        }
        write!(f, ": {}", self.kind)
    }
}

impl std::error::Error for ParseError {}
