//! What the API server of a node without encryption at rest is to be given: a configuration that writes plaintext as before, so that
//! its one restart changes nothing that is stored; or, where its manifest has lost the flag while values are encrypted, the configuration
//! that reads them.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::mending::plaintext_read;
use super::{PATIENCE, RotateError, key_store, look};
use crate::adapters::Node;
use crate::adapters::etcd::Etcd;
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::Held as Lock;
use crate::at_rest::Configured;
use crate::census::{Census, Held};
use crate::domain::{Digest, Fact, InvalidPath, KeyId, Mode, NodePath, Reason};
use crate::encryption::{
    EncryptionConfig, Entry, MAX_BYTES, ProviderEntry, ResourcePattern, SharedChain, parse, write,
};
use crate::journal::Record;
use crate::observe::at_rest;
use crate::plan::Enabling;
use crate::rotation::{Generation, Rotation, Stage};

/// The folder and the file, below `/etc/kubernetes`, as in the Kubernetes documents ("Encrypting Confidential Data at Rest").
pub(super) const FOLDER: &str = "enc";
pub(super) const FILE: &str = "enc.yaml";

/// What is to be done before the walk to a key can begin.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What the API server is told.
    pub wanted: Enabling,
    /// The file's content.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// What the file is now.
    pub(super) found: Option<Digest>,
    /// Which resources it covers.
    pub resources: Vec<String>,
    /// How many values of those resources are stored in plaintext.
    pub plaintext: u64,
    /// How many are encrypted already, under keys of a file that the manifest no longer names.
    pub encrypted: u64,
    /// The rotation whose configuration the manifest has lost; its values are not counted.
    pub lost_by: Option<String>,
    /// What each of its stages becomes, if the API server may have written plaintext meanwhile.
    pub(super) stages: BTreeMap<Stage, Zeroizing<Vec<u8>>>,
}

impl Prepared {
    /// True when values are encrypted, and the API server cannot read them.
    #[must_use]
    pub const fn is_mending(&self) -> bool {
        self.encrypted > 0 || self.lost_by.is_some()
    }

    /// True when the file is there as it must be.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.found == Some(Digest::of(&self.bytes))
    }
}

/// Looks at what is stored and at what lies in the file's place.
///
/// # Errors
/// When a stored value cannot be read with what is there, or something else lies in its place.
pub fn prepare(node: &Node, resources: &[ResourcePattern]) -> Result<Prepared, RotateError> {
    let manifest = look::known(at_rest::manifest(node))?;
    let folder = below(&node.layout.kubernetes, FOLDER)?;
    let file = below(&folder, FILE)?;
    let (found, config) = lies_there(node, &file)?;
    let config = config.unwrap_or_else(|| plaintext_only(resources));
    let candidate = Configured {
        file: file.clone(),
        mounted_alone: false,
        reload: true,
        digest: Digest::of(&write(&config)),
        config,
    };
    let access = at_rest::access(node, &manifest).map_err(RotateError::Unknown)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(RotateError::Runtime)?;
    let api = at_rest::client(node, &manifest).map_err(RotateError::Unknown)?;
    // Without that no stage could be proven, and the restart would be for nothing.
    if let Fact::Unknown(why) = runtime.block_on(at_rest::loaded(&api)) {
        return Err(RotateError::Unknown(why));
    }
    let census = runtime.block_on(async {
        let etcd = Etcd::connect(&access, PATIENCE).await?;
        let census = at_rest::census(&etcd, &access, Some(&candidate), true, &|| {}).await;
        census.map_err(RotateError::Unknown)
    })?;
    let (plaintext, encrypted) = readable(&census, &file)?;
    if found.is_some() {
        fits(&candidate, resources, encrypted)?;
    }
    let config = reading_plaintext(candidate.config);
    let entries = config.entries.iter();
    let covered = entries.flat_map(|entry| entry.resources.iter().map(ToString::to_string));
    Ok(Prepared {
        wanted: Enabling {
            folder,
            plaintext: config.shared_chain() == SharedChain::Shared(vec![KeyId::Identity]),
            reload: true,
            file,
        },
        resources: covered.collect(),
        bytes: write(&config),
        found,
        plaintext,
        encrypted,
        lost_by: None,
        stages: BTreeMap::new(),
    })
}

pub(super) fn covered(config: &EncryptionConfig) -> Vec<String> {
    let entries = config.entries.iter();
    entries
        .flat_map(|entry| entry.resources.iter().map(ToString::to_string))
        .collect()
}

/// What the file has, if it says that already: whoever wrote it may have had reasons for its form.
pub(super) fn bytes_of(node: &Node, file: &NodePath, config: &EncryptionConfig) -> Zeroizing<Vec<u8>> {
    if let Fact::Known(content) = node.files.read(file, MAX_BYTES) {
        let bytes = Zeroizing::new(content.bytes);
        if parse(&bytes).is_ok_and(|there| there == *config) {
            return bytes;
        }
    }
    write(config)
}

/// Puts the file in its place: mode 0600, in a folder of mode 0700. While a rotation is under way, the journal is told what its stages have
/// become: after the file, which nobody loads yet, and before the manifest.
///
/// # Errors
/// When somebody else can write there, the file has changed since, or the system refuses.
pub fn put_in_place(
    node: &Node,
    lock: &Lock,
    journal: &mut JournalStore,
    prepared: &Prepared,
) -> Result<(), RotateError> {
    let Prepared {
        wanted,
        bytes,
        found,
        stages,
        ..
    } = prepared;
    for bytes in stages.values() {
        key_store::keep_config(node, lock, bytes)?;
    }
    // It is known that there may be some before anything makes it readable.
    if prepared.is_mending() && !journal.state().plaintext_owed {
        journal.append(lock, node.clock.now(), Record::PlaintextOwed { owed: true })?;
    }
    node.files.make_own_folder(&wanted.folder)?;
    match found {
        None => node.files.create(lock, &wanted.file, bytes)?,
        Some(before) if *before != Digest::of(bytes) => {
            let ceiling = Mode::from_bits(0o600);
            node.files
                .replace_at_most(lock, &wanted.file, *before, bytes, ceiling)?;
        }
        Some(_) => {}
    }
    look::only_roots(node, &wanted.file)?;
    let rotation = journal.state().rotations.rotation.as_ref();
    let as_known = |rotation: &Rotation| {
        let mut stages = stages.iter();
        let is = |(stage, bytes): (&Stage, &Zeroizing<Vec<u8>>)| {
            rotation.generation(*stage) == Some(Generation::File(Digest::of(bytes)))
        };
        stages.all(is) && rotation.old.reads(&KeyId::Identity)
    };
    if stages.is_empty() || rotation.is_none_or(as_known) {
        return Ok(());
    }
    let event = plaintext_read(stages);
    Ok(journal.append(lock, node.clock.now(), Record::Rotation { event })?)
}

pub(super) fn below(folder: &NodePath, name: &str) -> Result<NodePath, RotateError> {
    folder
        .join(name)
        .map_err(|error: InvalidPath| RotateError::Unknown(Reason::new(error.to_string())))
}

pub(super) fn lies_there(
    node: &Node,
    file: &NodePath,
) -> Result<(Option<Digest>, Option<EncryptionConfig>), RotateError> {
    let bytes = match node.files.read(file, MAX_BYTES) {
        Fact::Known(content) => Zeroizing::new(content.bytes),
        Fact::Absent => return Ok((None, None)),
        Fact::Unknown(why) => return Err(RotateError::Unknown(why)),
    };
    let config = parse(&bytes).map_err(|error| {
        RotateError::NotHere(format!(
            "{file} is there, and is no configuration: {error}; move it away, or mend it"
        ))
    })?;
    if config.entries.iter().any(Entry::has_kms) {
        return Err(RotateError::NotHere(format!(
            "{file} is there and names a key management service, which Holdfast leaves alone; give kube-apiserver its flag by hand"
        )));
    }
    Ok((Some(Digest::of(&bytes)), Some(config)))
}

/// A file that lies in the place is taken only if values are under its keys, or it is what a run before this one put there.
fn fits(there: &Configured, resources: &[ResourcePattern], encrypted: u64) -> Result<(), RotateError> {
    look::chain(there)?;
    if encrypted > 0 || there.config == plaintext_only(resources) {
        return Ok(());
    }
    Err(RotateError::NotHere(format!(
        "{} is there, no stored value is under a key of it, and it is not what would be put there for {}; move it away",
        there.file,
        resources
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    )))
}

fn plaintext_only(resources: &[ResourcePattern]) -> EncryptionConfig {
    EncryptionConfig {
        entries: vec![Entry {
            resources: resources.to_vec(),
            providers: vec![ProviderEntry::Identity],
        }],
    }
}

/// How many values are in plaintext and how many under keys; none may be under anything else.
fn readable(census: &Census, file: &NodePath) -> Result<(u64, u64), RotateError> {
    let (mut plaintext, mut encrypted) = (0, 0);
    let mut lost = Vec::new();
    for (_, held, tally) in census.iter() {
        match held {
            Held::Under(KeyId::Identity) => plaintext += tally.objects,
            Held::Under(_) => encrypted += tally.objects,
            Held::UnknownKey { provider, name } => {
                lost.push(format!("{} under {provider}:{name}", tally.objects))
            }
            Held::Kms => lost.push(format!("{} under a key management service", tally.objects)),
            Held::Malformed => lost.push(format!("{} that no key there opens", tally.objects)),
        }
    }
    if lost.is_empty() {
        return Ok((plaintext, encrypted));
    }
    Err(RotateError::NotHere(format!(
        "kube-apiserver has no --encryption-provider-config, and stored values are encrypted: {}. Put the configuration that has \
         their keys at {file} (`holdfast encryption keys` lists the retained ones), and run this again",
        lost.join(", ")
    )))
}

/// An API server without the flag writes plaintext until its last moment: that must stay readable, whether there is any yet or not. The
/// walk takes it out by proof. It comes last, as everywhere: no key's place changes.
pub(super) fn reading_plaintext(mut config: EncryptionConfig) -> EncryptionConfig {
    let reads = |entry: &Entry| {
        let mut providers = entry.providers.iter();
        providers.any(|provider| matches!(provider, ProviderEntry::Identity))
    };
    for entry in config.entries.iter_mut().filter(|entry| !reads(entry)) {
        entry.providers.push(ProviderEntry::Identity);
    }
    config
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;
    use crate::census::Paths;
    use crate::domain::{KeyName, Provider};

    fn keyed(identity: &str) -> EncryptionConfig {
        let secret = base64::engine::general_purpose::STANDARD.encode([7; 32]);
        let text = format!(
            "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: [secrets]\n  providers:\n  \
             - aescbc:\n      keys:\n      - {{name: key1, secret: {secret}}}\n{identity}"
        );
        parse(text.as_bytes()).unwrap()
    }

    fn key1() -> KeyId {
        KeyId::Key {
            provider: Provider::Aescbc,
            name: "key1".parse::<KeyName>().unwrap(),
        }
    }

    #[test]
    fn what_is_in_plaintext_stays_readable_and_what_reads_it_already_stays_as_it_is() {
        let chain = |config: EncryptionConfig| match reading_plaintext(config).shared_chain() {
            SharedChain::Shared(chain) => chain,
            SharedChain::Differing | SharedChain::NoEntry => panic!("they share one"),
        };
        assert_eq!(chain(keyed("")), [key1(), KeyId::Identity]);
        assert_eq!(chain(keyed("  - identity: {}\n")), [key1(), KeyId::Identity]);
        let plain = plaintext_only(&[ResourcePattern::parse("secrets").unwrap()]);
        assert_eq!(chain(plain), [KeyId::Identity]);
    }

    #[test]
    fn a_file_that_lies_there_is_taken_only_if_values_need_it_or_it_is_our_own() {
        let secrets = [ResourcePattern::parse("secrets").unwrap()];
        let there = |config: EncryptionConfig| Configured {
            file: "/etc/kubernetes/enc/enc.yaml".parse().unwrap(),
            mounted_alone: false,
            reload: true,
            digest: Digest::of(b""),
            config,
        };
        fits(&there(keyed("")), &secrets, 1).unwrap();
        fits(&there(plaintext_only(&secrets)), &secrets, 0).unwrap();
        let why = fits(&there(keyed("")), &secrets, 0).unwrap_err().to_string();
        assert!(why.contains("move it away"), "{why}");
        let other = [ResourcePattern::parse("configmaps").unwrap()];
        fits(&there(plaintext_only(&secrets)), &other, 0).unwrap_err();
    }

    #[test]
    fn a_value_that_nothing_here_reads_stands_against_it_by_name() {
        let file = "/etc/kubernetes/enc/enc.yaml".parse().unwrap();
        let mut census = Census::at(7);
        let paths = Paths::new("/registry").unwrap();
        census.add(
            &paths,
            b"/registry/secrets/default/a",
            10,
            3,
            Held::Under(KeyId::Identity),
        );
        census.add(&paths, b"/registry/secrets/default/b", 10, 4, Held::Under(key1()));
        assert_eq!(readable(&census, &file).unwrap(), (1, 1));
        let lost = Held::UnknownKey {
            provider: Provider::Aescbc,
            name: "gone".to_owned(),
        };
        census.add(&paths, b"/registry/secrets/default/c", 10, 5, lost);
        let why = readable(&census, &file).unwrap_err().to_string();
        assert!(why.contains("1 under aescbc:gone"), "{why}");
        assert!(why.contains("/etc/kubernetes/enc/enc.yaml"), "{why}");
    }
}
