//! The key store: keys that were made, keys that were retired, and every configuration that was written, each in a file of its own that
//! is itself an `EncryptionConfiguration`, so that an old snapshot can be read with nothing but the API server.
//!
//! `/var/lib/holdfast/keys/` and `/var/lib/holdfast/retained/`, mode 0700, files 0600. Nothing is ever removed here by itself; `encryption forget`
//! removes what nothing needs.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use zeroize::Zeroizing;

use super::RotateError;
use super::writing::random;
use crate::adapters::Node;
use crate::adapters::files::FileError;
use crate::adapters::lock::Held;
use crate::domain::{Digest, Fact, Fingerprint, KeyId, Mode, NodePath, Reason, SecretKey};
use crate::encryption::{
    EncryptionConfig, Entry, Link, MAX_BYTES, NamedKey, ProviderEntry, ResourcePattern, parse, write,
};
use crate::rotation::KeyStore;

/// The key store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// A file in it is not what was put there.
    #[error(
        "{path} is not what Holdfast wrote there: {why}. Nothing was changed; see who touched the key store"
    )]
    Damaged {
        /// The file.
        path: NodePath,
        /// Why.
        why: String,
    },
    /// The bytes that were written are not those that are there.
    #[error("{path} was written and does not read back as it should")]
    ReadBack {
        /// The file.
        path: NodePath,
    },
    /// A key is not there.
    #[error("the configuration does not have {0}, which was to be kept")]
    NotThere(KeyId),
}

const KEYS: &str = "keys";
const RETAINED: &str = "retained";
/// How the names of the files begin.
const KEY_FILE: &str = "key-";
const CONFIGURATION_FILE: &str = "configuration-";
const REFUSED_FILE: &str = "refused-";
/// So many characters in base64 are 96 bits: no two keys begin alike.
const TELLING: usize = 16;
/// A key is 32 bytes: AES-256, and what secretbox takes.
const KEY_BYTES: usize = 32;

/// What the store holds. A key of another cluster's may have the same name: one that the configuration has counts as retained only with
/// the configuration's bytes.
pub(super) fn list(node: &Node, config: &EncryptionConfig) -> Fact<KeyStore> {
    let is_meant = |(id, key): &(KeyId, NamedKey)| {
        let configured = config.key(id);
        configured.is_none_or(|configured| configured.secret.is_same(&key.secret))
    };
    let ids = |folder: &str| -> Result<BTreeSet<KeyId>, Reason> {
        let folder = node
            .layout
            .state
            .join(folder)
            .map_err(|error| Reason::new(error.to_string()))?;
        let keys = keys_in(node, &folder)?.into_iter().filter(|key| is_meant(key));
        Ok(keys.map(|(id, _)| id).collect())
    };
    match (ids(KEYS), ids(RETAINED)) {
        (Ok(keys), Ok(retained)) => Fact::Known(KeyStore {
            copies: keys.into_iter().map(|key| (key, 1)).collect::<BTreeMap<_, _>>(),
            retained,
        }),
        (Err(why), _) | (_, Err(why)) => Fact::Unknown(why),
    }
}

/// A key that Holdfast knows of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownKey {
    /// Its id.
    pub id: KeyId,
    /// Which bytes it has.
    pub fingerprint: Fingerprint,
    /// Where it is.
    pub place: KeyPlace,
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPlace {
    /// In the API server's configuration: it writes.
    Writes,
    /// In the API server's configuration: it only reads.
    Reads,
    /// Kept after it was retired.
    Retained(NodePath),
    /// Stored when it was made.
    Stored(NodePath),
}

/// Every key of the configuration and of the key store.
///
/// # Errors
/// When a file of the key store, or the configuration, cannot be read.
pub fn known_keys(node: &Node, config: Option<&EncryptionConfig>) -> Result<Vec<KnownKey>, Reason> {
    let mut known = Vec::new();
    let writes = config
        .into_iter()
        .flat_map(|config| &config.entries)
        .filter_map(|entry| entry.links().next().map(|link| link_id(&link)))
        .flatten()
        .collect::<BTreeSet<_>>();
    for (provider, key) in config.into_iter().flat_map(EncryptionConfig::keys) {
        let id = key.id(provider);
        let place = if writes.contains(&id) {
            KeyPlace::Writes
        } else {
            KeyPlace::Reads
        };
        known.push(KnownKey {
            id,
            fingerprint: key.secret.fingerprint(),
            place,
        });
    }
    for name in [RETAINED, KEYS] {
        let folder = node.layout.state.join(name);
        let folder = folder.map_err(|error| Reason::new(error.to_string()))?;
        for (path, id, key) in files_in(node, &folder)? {
            let place = match name {
                RETAINED => KeyPlace::Retained(path),
                _ => KeyPlace::Stored(path),
            };
            known.push(KnownKey {
                id,
                fingerprint: key.secret.fingerprint(),
                place,
            });
        }
    }
    known.sort();
    known.dedup();
    Ok(known)
}

/// A file of the key store, and the keys in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptFile {
    pub(super) path: NodePath,
    pub(super) keys: BTreeSet<(KeyId, Fingerprint)>,
}

/// Every file of the key store that holds keys, those of configurations too.
pub(super) fn kept(node: &Node) -> Result<Vec<KeptFile>, Reason> {
    let mut kept = Vec::new();
    for folder in folders(node).map_err(|error| Reason::new(error.to_string()))? {
        for (path, config) in configurations_in(node, &folder, &[KEY_FILE, CONFIGURATION_FILE])? {
            let keys = config
                .keys()
                .map(|(provider, key)| (key.id(provider), key.secret.fingerprint()));
            kept.push(KeptFile {
                path,
                keys: keys.collect(),
            });
        }
    }
    Ok(kept)
}

fn link_id(link: &Link<'_>) -> Option<KeyId> {
    match link {
        Link::Key { provider, key } => Some(key.id(*provider)),
        Link::Identity | Link::Kms(_) => None,
    }
}

/// Makes a key of random bytes, stores it and reads it back; one that is there already stays as it is.
pub(super) fn make(node: &Node, held: &Held, id: &KeyId) -> Result<Fingerprint, RotateError> {
    if let Some(key) = find(node, id)? {
        return Ok(key.secret.fingerprint());
    }
    let KeyId::Key { name, .. } = id else {
        return Err(RotateError::NotHere("plaintext has no key".to_owned()));
    };
    let key = NamedKey {
        name: name.clone(),
        secret: fresh(random)?,
    };
    put(node, held, KEYS, id, &key)?;
    Ok(key.secret.fingerprint())
}

/// A key of the kernel's random bytes; none of a kernel that gives none, or only zeros (F49).
fn fresh(random: impl FnOnce() -> Result<[u8; KEY_BYTES], RotateError>) -> Result<SecretKey, RotateError> {
    let bytes = Zeroizing::new(random()?);
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(RotateError::NotHere(
            "the kernel gave only zeros for a key".to_owned(),
        ));
    }
    Ok(SecretKey::new(Zeroizing::new(bytes.to_vec())))
}

/// The stored key of that id.
pub(super) fn find(node: &Node, id: &KeyId) -> Result<Option<NamedKey>, RotateError> {
    let folder = node
        .layout
        .state
        .join(KEYS)
        .map_err(|error| RotateError::Unknown(Reason::new(error.to_string())))?;
    let keys = keys_in(node, &folder).map_err(RotateError::Unknown)?;
    Ok(keys
        .into_iter()
        .find(|(found, _)| found == id)
        .map(|(_, key)| key))
}

/// Keeps a key of the configuration, for values in old snapshots.
pub(super) fn retain(
    node: &Node,
    held: &Held,
    config: &EncryptionConfig,
    id: &KeyId,
) -> Result<(), RotateError> {
    let key = config
        .key(id)
        .ok_or_else(|| KeyStoreError::NotThere(id.clone()))?;
    put(node, held, RETAINED, id, key)
}

/// Keeps a configuration under its digest.
pub(super) fn keep_config(node: &Node, held: &Held, bytes: &[u8]) -> Result<(), RotateError> {
    let path = in_folder(node, RETAINED, &config_name(Digest::of(bytes)))?;
    store(node, held, &path, bytes)
}

/// A configuration that was kept.
pub(super) fn config(node: &Node, digest: Digest) -> Result<Zeroizing<Vec<u8>>, RotateError> {
    let path = in_folder(node, RETAINED, &config_name(digest))?;
    match node.files.read(&path, MAX_BYTES) {
        Fact::Known(content) if Digest::of(&content.bytes) == digest => Ok(Zeroizing::new(content.bytes)),
        Fact::Known(_) => Err(damaged(&path, "its content is another")),
        Fact::Absent => Err(damaged(&path, "it is gone")),
        Fact::Unknown(why) => Err(RotateError::Unknown(why)),
    }
}

/// Keeps what somebody put in the configuration's place and is none, under its digest.
pub(super) fn keep_refused(node: &Node, held: &Held, bytes: &[u8]) -> Result<(), RotateError> {
    let path = in_folder(node, RETAINED, &format!("{REFUSED_FILE}{}", Digest::of(bytes)))?;
    store(node, held, &path, bytes)
}

/// The files of what was no configuration in which one of these keys stands, whole or cut short.
pub(super) fn refused_with(node: &Node, asked: &BTreeSet<KeyId>) -> Result<Vec<NodePath>, Reason> {
    let unknown = |error: RotateError| Reason::new(error.to_string());
    let mut secrets = Vec::new();
    let [keys, retained] = folders(node).map_err(unknown)?;
    for folder in [&keys, &retained] {
        for (_, config) in configurations_in(node, folder, &[KEY_FILE, CONFIGURATION_FILE])? {
            let keys = config
                .keys()
                .filter(|(provider, key)| asked.contains(&key.id(*provider)));
            secrets.extend(keys.map(|(_, key)| key.secret.clone()));
        }
    }
    let entries = match node.files.list(&retained) {
        Fact::Known(entries) => entries,
        Fact::Absent => return Ok(Vec::new()),
        Fact::Unknown(why) => return Err(why),
    };
    let mut files = Vec::new();
    for path in entries
        .into_iter()
        .filter(|entry| entry.name.starts_with(REFUSED_FILE))
        .filter_map(|entry| entry.path)
    {
        let bytes = match node.files.read(&path, MAX_BYTES) {
            Fact::Known(content) => Zeroizing::new(content.bytes),
            Fact::Absent => continue,
            Fact::Unknown(why) => return Err(why),
        };
        if secrets.iter().any(|secret| shows(&bytes, secret)) {
            files.push(path);
        }
    }
    Ok(files)
}

/// True for a text that has the beginning of a key, as a configuration writes it.
fn shows(text: &[u8], secret: &SecretKey) -> bool {
    let mut encoded = Zeroizing::new(base64::prelude::BASE64_STANDARD.encode(secret.expose()));
    encoded.truncate(TELLING);
    text.windows(encoded.len()).any(|part| part == encoded.as_bytes())
}

fn config_name(digest: Digest) -> String {
    format!("{CONFIGURATION_FILE}{digest}.yaml")
}

fn damaged(path: &NodePath, why: &str) -> RotateError {
    let (path, why) = (path.clone(), why.to_owned());
    KeyStoreError::Damaged { path, why }.into()
}

fn put(node: &Node, held: &Held, folder: &str, id: &KeyId, key: &NamedKey) -> Result<(), RotateError> {
    let KeyId::Key { provider, .. } = id else {
        return Ok(());
    };
    let entry = Entry {
        resources: vec![ResourcePattern::All],
        providers: vec![ProviderEntry::Keys {
            provider: *provider,
            keys: vec![key.clone()],
        }],
    };
    let bytes = write(&EncryptionConfig { entries: vec![entry] });
    // A name may hold anything, so the file's has its digest; and the key's own fingerprint, so that no key takes another's place.
    let digest = Digest::of(id.to_string().as_bytes());
    let name = format!("{KEY_FILE}{digest}-{}.yaml", key.secret.fingerprint());
    store(node, held, &in_folder(node, folder, &name)?, &bytes)
}

fn store(node: &Node, held: &Held, path: &NodePath, bytes: &[u8]) -> Result<(), RotateError> {
    let there = node
        .files
        .read(path, MAX_BYTES)
        .map(|content| Zeroizing::new(content.bytes));
    if matches!(&there, Fact::Known(there) if there.as_slice() == bytes) {
        // Who wrote it may have been killed before it was durable.
        return Ok(node.files.make_durable(path)?);
    }
    node.files.write_own(held, path, bytes, Mode::from_bits(0o600))?;
    match node.files.read(path, MAX_BYTES) {
        Fact::Known(content) => {
            let found = Zeroizing::new(content.bytes);
            if found.as_slice() == bytes {
                return Ok(());
            }
            Err(KeyStoreError::ReadBack { path: path.clone() }.into())
        }
        Fact::Absent | Fact::Unknown(_) => Err(KeyStoreError::ReadBack { path: path.clone() }.into()),
    }
}

/// The folders of the key store.
pub(super) fn folders(node: &Node) -> Result<[NodePath; 2], RotateError> {
    let folder = |name| {
        let joined = node.layout.state.join(name);
        joined.map_err(|error| RotateError::Unknown(Reason::new(error.to_string())))
    };
    Ok([folder(KEYS)?, folder(RETAINED)?])
}

fn in_folder(node: &Node, folder: &str, name: &str) -> Result<NodePath, RotateError> {
    let invalid = |path: &NodePath, error: crate::domain::InvalidPath| FileError::Changed {
        path: path.clone(),
        what: error.to_string(),
    };
    let state = &node.layout.state;
    let folder = state.join(folder).map_err(|error| invalid(state, error))?;
    node.files.make_own_folder(&folder)?;
    Ok(folder.join(name).map_err(|error| invalid(&folder, error))?)
}

fn keys_in(node: &Node, folder: &NodePath) -> Result<Vec<(KeyId, NamedKey)>, Reason> {
    let files = files_in(node, folder)?.into_iter();
    Ok(files.map(|(_, id, key)| (id, key)).collect())
}

/// The keys of the files `key-*.yaml` of a folder. One that cannot be read makes the store unknown: a key must not be taken for lost.
fn files_in(node: &Node, folder: &NodePath) -> Result<Vec<(NodePath, KeyId, NamedKey)>, Reason> {
    let mut keys = Vec::new();
    for (path, config) in configurations_in(node, folder, &[KEY_FILE])? {
        keys.extend(
            config
                .keys()
                .map(|(provider, key)| (path.clone(), key.id(provider), key.clone())),
        );
    }
    Ok(keys)
}

/// The files of a folder whose names begin so.
fn configurations_in(
    node: &Node,
    folder: &NodePath,
    names: &[&str],
) -> Result<Vec<(NodePath, EncryptionConfig)>, Reason> {
    let entries = match node.files.list(folder) {
        Fact::Known(entries) => entries,
        Fact::Absent => return Ok(Vec::new()),
        Fact::Unknown(why) => return Err(why),
    };
    let mut files = Vec::new();
    for entry in entries
        .iter()
        .filter(|entry| names.iter().any(|name| entry.name.starts_with(name)))
    {
        let Some(path) = &entry.path else { continue };
        let bytes = match node.files.read(path, MAX_BYTES) {
            Fact::Known(content) => Zeroizing::new(content.bytes),
            Fact::Absent => continue,
            Fact::Unknown(why) => return Err(why),
        };
        let config = parse(&bytes).map_err(|error| Reason::new(format!("{path}: {error}")))?;
        files.push((path.clone(), config));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_what_was_torn_and_only_there() {
        let secret = |byte| SecretKey::new(Zeroizing::new(vec![byte; 32]));
        let whole = base64::prelude::BASE64_STANDARD.encode([7_u8; 32]);
        for length in [TELLING, 30, whole.len()] {
            let beginning: String = whole.chars().take(length).collect();
            let torn = format!("keys:\n- name: a\n  secret: {beginning}");
            assert!(shows(torn.as_bytes(), &secret(7)));
            assert!(!shows(torn.as_bytes(), &secret(8)));
        }
        assert!(!shows(b"", &secret(7)));
    }

    #[test]
    fn a_kernel_without_random_bytes_gives_no_key_and_one_with_them_a_key_of_32() {
        let failed = || Err(RotateError::Random(getrandom::Error::UNSUPPORTED));
        assert!(matches!(fresh(failed), Err(RotateError::Random(_))));
        assert!(matches!(
            fresh(|| Ok([0; KEY_BYTES])),
            Err(RotateError::NotHere(_))
        ));
        let mut bytes = [0; KEY_BYTES];
        bytes[KEY_BYTES - 1] = 1;
        assert_eq!(fresh(|| Ok(bytes)).unwrap().expose(), bytes);
        let key = fresh(random).unwrap();
        assert_eq!(key.expose().len(), 32);
        assert!(!key.is_same(&fresh(random).unwrap()));
    }
}
