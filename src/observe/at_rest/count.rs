//! Counts stored values by the keys that they are held under.

use std::collections::BTreeSet;

use super::patterns;
use crate::adapters::etcd::{Access, Entry, Etcd, EtcdError, count_entries, look_over};
use crate::at_rest::Configured;
use crate::census::{Census, Held, Place, Span};
use crate::domain::{KeyId, Reason};
use crate::encryption::{EncryptionConfig, Stored, decrypt, looks_like_object};

/// How often a census is begun whose revision is compacted before its end.
const TRIES: usize = 3;

/// A census of the resources that the configuration covers; of secrets, where there is none. `beat` is called with each page that was read.
///
/// # Errors
/// When etcd does not answer to the end.
pub(crate) async fn census(
    etcd: &Etcd,
    access: &Access,
    configured: Option<&Configured>,
    thorough: bool,
    beat: &dyn Fn(),
) -> Result<Census, Reason> {
    let count = Count {
        spans: &access.paths.spans(&patterns(configured)),
        also: &BTreeSet::new(),
        thorough,
        beat,
    };
    counted(etcd, access, configured, &count, &mut |_, _, _| {}).await
}

/// The same of what a rotation answers for, thorough, where `see` is given each value that can be read, under what it is held, and its plaintext.
///
/// # Errors
/// When etcd does not answer to the end.
pub(crate) async fn census_seeing(
    etcd: &Etcd,
    access: &Access,
    configured: &Configured,
    see: &mut dyn FnMut(&Entry, &KeyId, &[u8]),
    beat: &dyn Fn(),
) -> Result<Census, Reason> {
    let count = Count {
        spans: &rotated_spans(access, configured),
        also: &BTreeSet::new(),
        thorough: true,
        beat,
    };
    counted(etcd, access, Some(configured), &count, see).await
}

/// A census of all that etcd has below the API server's prefix, in which the keys `also` are known, too.
///
/// # Errors
/// When etcd does not answer to the end.
pub(crate) async fn census_of_all(
    etcd: &Etcd,
    access: &Access,
    configured: Option<&Configured>,
    also: &BTreeSet<KeyId>,
) -> Result<Census, Reason> {
    let count = Count {
        spans: &[Span::prefix(access.paths.prefix())],
        also,
        thorough: false,
        beat: &|| {},
    };
    counted(etcd, access, configured, &count, &mut |_, _, _| {}).await
}

/// What is counted, and how.
struct Count<'a> {
    spans: &'a [Span],
    /// Keys that are known beside those of the configuration.
    also: &'a BTreeSet<KeyId>,
    thorough: bool,
    /// Is called with each page that was read.
    beat: &'a dyn Fn(),
}

async fn counted(
    etcd: &Etcd,
    access: &Access,
    configured: Option<&Configured>,
    count: &Count<'_>,
    see: &mut dyn FnMut(&Entry, &KeyId, &[u8]),
) -> Result<Census, Reason> {
    let empty = EncryptionConfig { entries: Vec::new() };
    let config = configured.map_or(&empty, |configured| &configured.config);
    let mut known = config.key_ids();
    known.extend(count.also.iter().cloned());
    let mut tries = TRIES;
    loop {
        let counted = count_entries(
            etcd,
            &access.paths,
            count.spans,
            access.max_request_bytes,
            |entry| {
                look_into(
                    config,
                    &known,
                    &entry.key,
                    &entry.value,
                    count.thorough,
                    |key, plain| see(entry, key, plain),
                )
            },
            |_| (count.beat)(),
        );
        tries -= 1;
        match counted.await {
            Ok(census) => return Ok(census),
            // The API server lets etcd compact every 5 minutes, which no count but the longest meets twice.
            Err(error) if error.is_compacted() && tries > 0 => {}
            Err(error) => return Err(Reason::new(format!("{error}; {}", error.advice()))),
        }
    }
}

/// Where the values lie that a rotation answers for: what the entries cover that it edits, without what others serve.
pub(crate) fn rotated_spans(access: &Access, configured: &Configured) -> Vec<Span> {
    let (rotated, left) = configured.config.rotated_and_left();
    access.paths.spans_beside(&rotated, &left)
}

/// Tells `see` of each value elsewhere that a rotation would take the key from, at a revision or later.
///
/// # Errors
/// When etcd does not answer to the end.
pub(crate) async fn look_elsewhere(
    etcd: &Etcd,
    access: &Access,
    configured: &Configured,
    revision: i64,
    see: &mut dyn FnMut(KeyId, &[u8]),
    beat: &dyn Fn(),
) -> Result<(), EtcdError> {
    let whole = [Span::prefix(access.paths.prefix())];
    let elsewhere = Span::without(&whole, &rotated_spans(access, configured));
    let known = configured.config.key_ids();
    let see = |entry: &Entry| {
        if let Some(key) = needed_elsewhere(access, configured, &known, &entry.key, &entry.value) {
            see(key, &entry.key);
        }
    };
    look_over(etcd, &elsewhere, revision, see, beat).await
}

/// The key that a value outside of [`rotated_spans`] would lose. Plaintext needs none, and an entry that is left alone keeps its own.
pub(crate) fn needed_elsewhere(
    access: &Access,
    configured: &Configured,
    known: &[KeyId],
    etcd_key: &[u8],
    value: &[u8],
) -> Option<KeyId> {
    let config = &configured.config;
    let Held::Under(key @ KeyId::Key { .. }) = held(config, known, etcd_key, value, false) else {
        return None;
    };
    let is_kept = match access.paths.place(etcd_key) {
        Place::Object(object) => config.keeps(&object.resource, &key),
        Place::NoEndpoint(kind) => config.keeps(&kind.resource(), &key),
        Place::Unmapped(_) => false,
    };
    (!is_kept).then_some(key)
}

/// Under what a value is held: by its prefix, and with `thorough` by what the key makes of it.
pub(crate) fn held(
    config: &EncryptionConfig,
    known: &[KeyId],
    etcd_key: &[u8],
    value: &[u8],
    thorough: bool,
) -> Held {
    look_into(config, known, etcd_key, value, thorough, |_, _| {})
}

/// The same; `take` is given the plaintext, where it is at hand.
fn look_into(
    config: &EncryptionConfig,
    known: &[KeyId],
    etcd_key: &[u8],
    value: &[u8],
    thorough: bool,
    take: impl FnOnce(&KeyId, &[u8]),
) -> Held {
    match Stored::classify(value, known) {
        Stored::Plain => {
            take(&KeyId::Identity, value);
            Held::Under(KeyId::Identity)
        }
        Stored::Encrypted {
            provider,
            name,
            known: false,
        } => Held::UnknownKey {
            provider,
            name: name.to_string(),
        },
        Stored::Encrypted {
            provider,
            name,
            known: true,
        } => {
            let id = KeyId::Key { provider, name };
            if !thorough {
                return Held::Under(id);
            }
            let plain = config
                .key(&id)
                .and_then(|key| decrypt(value, provider, key, etcd_key).ok());
            match plain.filter(|plain| looks_like_object(plain)) {
                Some(plain) => {
                    take(&id, &plain);
                    Held::Under(id)
                }
                None => Held::Malformed,
            }
        }
        Stored::Kms { .. } => Held::Kms,
        Stored::Malformed(_) => Held::Malformed,
    }
}
