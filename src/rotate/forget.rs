//! Forgets keys that nothing needs any more: their files go, and with them what was kept for old snapshots of etcd.

use std::collections::{BTreeMap, BTreeSet};

use super::key_store::{self, KeptFile};
use super::{PATIENCE, RotateError, look};
use crate::adapters::Node;
use crate::adapters::etcd::Etcd;
use crate::adapters::lock::Held as Lock;
use crate::at_rest::Configured;
use crate::census::{Census, Held};
use crate::domain::{Digest, Fact, Fingerprint, KeyId, NodePath};
use crate::observe::at_rest;
use crate::rotation::Rotation;

/// What is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgetting {
    /// The keys.
    pub keys: BTreeSet<KeyId>,
    /// The same with the bytes that each is kept with.
    pub fingerprints: BTreeSet<(KeyId, Fingerprint)>,
    /// The files that hold them, all of which are removed.
    pub files: Vec<NodePath>,
}

/// Why a key is not forgotten. Nothing was removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotForgotten {
    /// It is not kept.
    #[error("no file of the key store has a key {key}; `holdfast encryption keys` lists those that are kept")]
    NotKept {
        /// What was asked for.
        key: String,
    },
    /// It is in use.
    #[error("{0} is in the API server's configuration")]
    Configured(KeyId),
    /// The API server may use another file than the one that was looked at.
    #[error("the API server is not proven to run with the configuration that is on the disk: {0}")]
    NotLoaded(String),
    /// A rotation needs it.
    #[error("rotation {rotation}, which is under way, names {key}; let it finish, or turn it back")]
    Rotation {
        /// The rotation.
        rotation: String,
        /// The key.
        key: KeyId,
    },
    /// Whether a value needs it is not known.
    #[error("whether a stored value needs it cannot be told: {0}")]
    NotCounted(String),
    /// A value needs it.
    #[error(
        "{objects} stored value(s) are under {key}, such as {example}; without the key nobody can read them"
    )]
    Needed {
        /// The key.
        key: KeyId,
        /// How many.
        objects: u64,
        /// One of them.
        example: String,
    },
    /// Another key would be lost with it.
    #[error("{file} also has {key}, which is kept nowhere else; forget both, or none")]
    Last {
        /// The file.
        file: NodePath,
        /// The other key.
        key: KeyId,
    },
}

/// What is known when it is decided.
struct Known<'a> {
    kept: &'a [KeptFile],
    configured: Option<&'a Configured>,
    loaded: &'a Fact<Digest>,
    rotation: Option<&'a Rotation>,
    /// Of everything that is stored, with the keys that are asked for among the known ones.
    census: &'a Fact<Census>,
}

/// Which files go when these keys, named as `holdfast encryption keys` names them, are forgotten.
///
/// # Errors
/// When something needs one of them, or it cannot be told.
pub fn look_for_forgetting(
    node: &Node,
    rotation: Option<&Rotation>,
    names: &[String],
) -> Result<Forgetting, RotateError> {
    let manifest = look::known(at_rest::manifest(node))?;
    let configured = match at_rest::configured(node, &manifest) {
        Fact::Known(configured) => Some(configured),
        Fact::Absent => None,
        Fact::Unknown(why) => return Err(RotateError::Unknown(why)),
    };
    let kept = key_store::kept(node).map_err(RotateError::Unknown)?;
    let asked = asked(names, &kept).map_err(refused)?;
    let api = at_rest::client(node, &manifest).map_err(RotateError::Unknown)?;
    let access = at_rest::access(node, &manifest).map_err(RotateError::Unknown)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (loaded, census) = runtime.map_err(RotateError::Runtime)?.block_on(async {
        let census = async {
            let etcd = Etcd::connect(&access, PATIENCE).await?;
            let all = at_rest::census_of_all(&etcd, &access, configured.as_ref(), &asked);
            all.await.map_err(RotateError::Unknown)
        };
        tokio::join!(at_rest::loaded(&api), census)
    });
    let known = Known {
        kept: &kept,
        configured: configured.as_ref(),
        loaded: &loaded,
        rotation,
        census: &census.map_or_else(|why| Fact::unknown(why.to_string()), Fact::Known),
    };
    let mut what = decide(asked, &known).map_err(refused)?;
    let torn = key_store::refused_with(node, &what.keys).map_err(RotateError::Unknown)?;
    what.files.extend(torn);
    Ok(what)
}

/// Removes the files.
///
/// # Errors
/// When one cannot be removed; those before it are gone, and the same command goes on.
pub fn forget(node: &Node, held: &Lock, what: &Forgetting) -> Result<(), RotateError> {
    for file in &what.files {
        node.files.remove_own(held, file)?;
    }
    Ok(())
}

fn refused(why: NotForgotten) -> RotateError {
    RotateError::NotHere(format!("nothing was removed: {why}"))
}

fn asked(names: &[String], kept: &[KeptFile]) -> Result<BTreeSet<KeyId>, NotForgotten> {
    let ids: BTreeMap<String, &KeyId> = kept
        .iter()
        .flat_map(|file| file.keys.iter().map(|(id, _)| (id.to_string(), id)))
        .collect();
    let found = names.iter().map(|name| {
        let id = ids.get(name).copied().cloned();
        id.ok_or_else(|| NotForgotten::NotKept { key: name.clone() })
    });
    found.collect()
}

fn decide(asked: BTreeSet<KeyId>, known: &Known<'_>) -> Result<Forgetting, NotForgotten> {
    let configured = known
        .configured
        .map(|configured| configured.config.key_ids())
        .unwrap_or_default();
    for key in &asked {
        if configured.contains(key) {
            return Err(NotForgotten::Configured(key.clone()));
        }
        if let Some(rotation) = known.rotation
            && (rotation.old.reads(key) || rotation.new == *key)
        {
            return Err(NotForgotten::Rotation {
                rotation: rotation.id.clone(),
                key: key.clone(),
            });
        }
    }
    runs_with_it(known)?;
    nothing_needs(&asked, known.census)?;
    let has_asked = |file: &&KeptFile| file.keys.iter().any(|(id, _)| asked.contains(id));
    let (files, left): (Vec<&KeptFile>, Vec<&KeptFile>) = known.kept.iter().partition(has_asked);
    let is_left = |key: &(KeyId, Fingerprint)| {
        let in_use = known
            .configured
            .and_then(|configured| configured.config.key(&key.0));
        in_use.is_some_and(|in_use| in_use.secret.fingerprint() == key.1)
            || left.iter().any(|file| file.keys.contains(key))
    };
    for file in &files {
        if let Some((key, _)) = file
            .keys
            .iter()
            .find(|key| !asked.contains(&key.0) && !is_left(key))
        {
            return Err(NotForgotten::Last {
                file: file.path.clone(),
                key: key.clone(),
            });
        }
    }
    let kept = files.iter().flat_map(|file| &file.keys);
    Ok(Forgetting {
        fingerprints: kept.filter(|(id, _)| asked.contains(id)).cloned().collect(),
        files: files.into_iter().map(|file| file.path.clone()).collect(),
        keys: asked,
    })
}

/// An API server that runs with another file may write under a key that the file on the disk does not have.
fn runs_with_it(known: &Known<'_>) -> Result<(), NotForgotten> {
    let on_disk = known.configured.map(|configured| configured.digest);
    let why = match known.loaded {
        Fact::Known(loaded) if Some(*loaded) == on_disk => return Ok(()),
        Fact::Absent if on_disk.is_none() => return Ok(()),
        Fact::Known(loaded) => format!("it runs with {}...", loaded.short()),
        Fact::Absent => "it runs without one".to_owned(),
        Fact::Unknown(why) => why.to_string(),
    };
    Err(NotForgotten::NotLoaded(why))
}

fn nothing_needs(asked: &BTreeSet<KeyId>, census: &Fact<Census>) -> Result<(), NotForgotten> {
    let not_counted = |why: &str| Err(NotForgotten::NotCounted(why.to_owned()));
    let census = match census {
        Fact::Known(census) if census.complete && census.lumped == 0 => census,
        Fact::Known(_) => return not_counted("not every value was counted by its key"),
        Fact::Absent => return not_counted("nothing was counted"),
        Fact::Unknown(why) => return not_counted(&why.to_string()),
    };
    for (resource, held, tally) in census.iter() {
        match held {
            Held::Under(key) if asked.contains(key) => {
                return Err(NotForgotten::Needed {
                    key: key.clone(),
                    objects: census.under(key).objects,
                    example: tally
                        .examples
                        .first()
                        .cloned()
                        .unwrap_or_else(|| resource.to_string()),
                });
            }
            Held::Malformed => {
                return Err(NotForgotten::NotCounted(format!(
                    "{} value(s) of {resource} say that they are encrypted, and not by which key",
                    tally.objects
                )));
            }
            Held::Under(_) | Held::UnknownKey { .. } | Held::Kms => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "forget_tests.rs"]
mod tests;
