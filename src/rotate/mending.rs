//! What gives an API server back the configuration that its manifest has lost.
//!
//! A server without the flag writes plaintext until its last moment. What it is given back reads that, too, and a walk takes it out by proof:
//! while a rotation is under way, each of its stages becomes one that reads plaintext, as if it had begun with a trailing identity (F25).

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::enable::{FILE, FOLDER, Prepared, below, bytes_of, covered, lies_there, reading_plaintext};
use super::{RotateError, key_store};
use crate::adapters::Node;
use crate::at_rest::{Configured, Present};
use crate::domain::{Digest, Fact, Reason};
use crate::encryption::{EncryptionConfig, MAX_BYTES, parse, write};
use crate::journal::JournalState;
use crate::plan::Enabling;
use crate::rotation::{Event, Generation, Rotation, Stage};

const BY_HAND: &str = "put the flag, the volume and the mount back as they were (/var/lib/holdfast/backups, /etc/kubernetes/tmp)";

/// The configuration of a rotation under way, whose flag the manifest has lost, reading plaintext, too. `reload`: the API server was told to load
/// it by itself.
///
/// # Errors
/// When it does not lie where `enable` puts it, or is another.
pub fn lost(node: &Node, rotation: &Rotation, reload: bool) -> Result<Prepared, RotateError> {
    let folder = below(&node.layout.kubernetes, FOLDER)?;
    let file = below(&folder, FILE)?;
    let found = match node.files.read(&file, MAX_BYTES) {
        Fact::Known(content) => Some(Digest::of(&Zeroizing::new(content.bytes))),
        Fact::Absent => None,
        Fact::Unknown(why) => return Err(RotateError::Unknown(why)),
    };
    let stages = reading_plaintext_at_each(node, rotation)?;
    let stage = found.and_then(|digest| stage_of(rotation, &stages, digest));
    let bytes = stage.and_then(|stage| stages.get(&stage)).cloned();
    let bytes = bytes.ok_or_else(|| {
        RotateError::NotHere(format!(
            "kube-apiserver has lost its --encryption-provider-config while rotation {} is under way, and {file} is not a configuration \
             of it: {BY_HAND}",
            rotation.id
        ))
    })?;
    Ok(Prepared {
        wanted: Enabling {
            folder,
            file,
            plaintext: false,
            reload,
        },
        resources: parse(&bytes).as_ref().map(covered).unwrap_or_default(),
        found,
        bytes,
        plaintext: 0,
        encrypted: 0,
        lost_by: Some(rotation.id.clone()),
        stages,
    })
}

/// What gives an API server back the configuration that its manifest no longer leads to, reading plaintext, too, if the API server ran without
/// the flag.
///
/// `encrypted`: how many values need it.
///
/// # Errors
/// When the file is not one that reads what `former` read, or Holdfast does not mount its folder.
pub(super) fn mending(
    node: &Node,
    former: &Configured,
    present: &Present,
    rotation: Option<&Rotation>,
    encrypted: u64,
) -> Result<Prepared, RotateError> {
    let file = former.file.clone();
    let folder = file
        .parent()
        .filter(|folder| *folder != node.layout.kubernetes && folder.as_str() != "/")
        .ok_or_else(|| {
            RotateError::NotHere(format!(
                "{file} lies in a folder that is not given to a container; {BY_HAND}"
            ))
        })?;
    let (found, there) = lies_there(node, &file)?;
    let wrote_plaintext = matches!(present, Present::NoFlag);
    let stages = match rotation.filter(|_| wrote_plaintext) {
        Some(rotation) => reading_plaintext_at_each(node, rotation)?,
        None => BTreeMap::new(),
    };
    let bytes = match rotation {
        Some(rotation) => of_rotation(
            node,
            rotation,
            &stages,
            [found, Some(former.digest)],
            former.digest,
        )?,
        None => {
            let reads_all = |config: &EncryptionConfig| {
                let keys = former.config.keys();
                keys.map(|(provider, key)| (key.id(provider), key))
                    .all(|(id, key)| config.key(&id) == Some(key))
            };
            let config = there.filter(reads_all).unwrap_or_else(|| former.config.clone());
            let config = if wrote_plaintext {
                reading_plaintext(config)
            } else {
                config
            };
            bytes_of(node, &file, &config)
        }
    };
    Ok(Prepared {
        resources: parse(&bytes).as_ref().map(covered).unwrap_or_default(),
        wanted: Enabling {
            folder,
            file,
            plaintext: false,
            reload: former.reload,
        },
        bytes,
        found,
        plaintext: 0,
        encrypted,
        lost_by: rotation.map(|rotation| rotation.id.clone()),
        stages,
    })
}

/// The configuration of the stage that the furthest of these is of; the former one, if none is of any.
fn of_rotation(
    node: &Node,
    rotation: &Rotation,
    stages: &BTreeMap<Stage, Zeroizing<Vec<u8>>>,
    known: [Option<Digest>; 2],
    former: Digest,
) -> Result<Zeroizing<Vec<u8>>, RotateError> {
    let placed = known.into_iter().flatten();
    let placed = placed.filter_map(|digest| Some((stage_of(rotation, stages, digest)?, digest)));
    match placed.max_by_key(|(stage, _)| rotation.rank(*stage)) {
        Some((stage, digest)) => stages
            .get(&stage)
            .map_or_else(|| key_store::config(node, digest), |bytes| Ok(bytes.clone())),
        None => key_store::config(node, former),
    }
}

/// What the journal is to be told when whoever wrote one of the rotation's configurations so that it reads plaintext, too, was killed before
/// that: otherwise nobody knows this file. `None` for any other.
pub(super) fn unrecorded(
    node: &Node,
    journal: &JournalState,
    on_disk: Digest,
) -> Result<Option<Event>, RotateError> {
    let rotation = journal.rotations.rotation.as_ref();
    let Some(rotation) = rotation.filter(|_| journal.plaintext_owed) else {
        return Ok(None);
    };
    if rotation.place(Generation::File(on_disk)).is_some() {
        return Ok(None);
    }
    let stages = reading_plaintext_at_each(node, rotation)?;
    Ok(stage_of(rotation, &stages, on_disk).map(|_| plaintext_read(&stages)))
}

/// What the journal is told of stages that have come to read plaintext, too.
pub(super) fn plaintext_read(stages: &BTreeMap<Stage, Zeroizing<Vec<u8>>>) -> Event {
    let generations = stages
        .iter()
        .map(|(stage, bytes)| (*stage, Generation::File(Digest::of(bytes))));
    Event::PlaintextRead {
        generations: generations.collect(),
    }
}

/// The stage of a configuration: as the rotation knows it, or reading plaintext, too, which whoever was killed may have written already.
fn stage_of(
    rotation: &Rotation,
    stages: &BTreeMap<Stage, Zeroizing<Vec<u8>>>,
    digest: Digest,
) -> Option<Stage> {
    let rendered = || {
        let same = stages.iter().filter(|(_, bytes)| Digest::of(bytes) == digest);
        same.map(|(stage, _)| *stage)
            .max_by_key(|stage| rotation.rank(*stage))
    };
    rotation.place(Generation::File(digest)).or_else(rendered)
}

/// What the rotation began with, and each configuration that it has intended, reading plaintext, too.
fn reading_plaintext_at_each(
    node: &Node,
    rotation: &Rotation,
) -> Result<BTreeMap<Stage, Zeroizing<Vec<u8>>>, RotateError> {
    let found = (Stage::Old, rotation.found);
    let intended = rotation.generations.iter().map(|(stage, of)| (*stage, *of));
    let read = |(stage, generation)| {
        let Generation::File(digest) = generation else {
            return Err(RotateError::NotHere(format!(
                "rotation {} began without a configuration; {BY_HAND}",
                rotation.id
            )));
        };
        let bytes = key_store::config(node, digest)?;
        let config = parse(&bytes).map_err(|error| {
            RotateError::Unknown(Reason::new(format!("the kept configuration {digest}: {error}")))
        })?;
        let reading = reading_plaintext(config.clone());
        let same = reading == config;
        Ok((stage, if same { bytes } else { write(&reading) }))
    };
    std::iter::once(found).chain(intended).map(read).collect()
}
