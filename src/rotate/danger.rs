//! Whether a restart would make the API server load a configuration that it does not start with, or that does not read what is stored.

use super::guard::{self, Guard};
use super::{PATIENCE, RotateError};
use crate::adapters::Node;
use crate::adapters::etcd::Etcd;
use crate::at_rest::{Configured, Present, both, lost};
use crate::census::{Census, Held};
use crate::domain::Manifest;
use crate::encryption::EncryptionConfig;
use crate::journal::JournalState;
use crate::observe::at_rest;

/// Why the API server is not to be restarted; `None` when it loads what it has loaded already, or what reads all that is stored.
#[must_use]
pub fn danger(node: &Node, journal: &JournalState) -> Option<String> {
    // Whether it is there at all is another's question.
    let manifest = at_rest::manifest(node).known()?.clone();
    let present = at_rest::present(node, &manifest);
    let digest = match &present {
        Present::As(configured) => configured.digest,
        Present::Refused { digest, .. } => *digest,
        Present::NoFlag | Present::Unknown(_) => return None,
        Present::NotMounted { inside } => {
            return Some(format!(
                "{inside}, its --encryption-provider-config, is not mounted"
            ));
        }
        Present::NoFile { file } => {
            return Some(format!("{file}, its --encryption-provider-config, is not there"));
        }
    };
    let rotation = journal.rotations.rotation.as_ref();
    let known = journal.encryption.as_ref();
    let is_known = known.is_some_and(|known| known.digest == digest);
    let loaded = Guard::new(node).ok().and_then(|guard| guard.loaded());
    if is_known || loaded == Some(digest) || guard::is_at_hand(rotation, digest, journal.load_refused) {
        return None;
    }
    match &present {
        // Nothing speaks for another one than this.
        Present::As(_) if known.is_none() && loaded.is_none() => None,
        Present::As(now) => match census(node, &manifest, journal, now) {
            Ok((former, census)) => unreadable(former.as_ref(), now, &census),
            Err(why) => Some(format!(
                "{} was changed, and whether it reads all that is stored cannot be told: {why}",
                now.file
            )),
        },
        Present::Refused { file, why, .. } => Some(format!(
            "it may not start with its --encryption-provider-config, {file}: {why}"
        )),
        Present::NoFlag | Present::Unknown(_) | Present::NotMounted { .. } | Present::NoFile { .. } => None,
    }
}

/// What is stored, by the keys of this configuration and of the one that was last in order, if that is known.
fn census(
    node: &Node,
    manifest: &Manifest,
    journal: &JournalState,
    now: &Configured,
) -> Result<(Option<EncryptionConfig>, Census), RotateError> {
    let former = journal
        .encryption
        .as_ref()
        .map(|known| guard::former(node, known))
        .transpose()?
        .map(|former| former.config);
    let all = Configured {
        config: former
            .as_ref()
            .map_or_else(|| now.config.clone(), |former| both(former, Some(&now.config))),
        ..now.clone()
    };
    let access = at_rest::access(node, manifest).map_err(RotateError::Unknown)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let census = runtime.map_err(RotateError::Runtime)?.block_on(async {
        let etcd = Etcd::connect(&access, PATIENCE).await?;
        let census = at_rest::census(&etcd, &access, Some(&all), false, &|| {}).await;
        census.map_err(RotateError::Unknown)
    })?;
    Ok((former, census))
}

/// Why this configuration does not do for what is stored.
fn unreadable(former: Option<&EncryptionConfig>, now: &Configured, census: &Census) -> Option<String> {
    if !census.complete {
        return Some("etcd was not read to the end".to_owned());
    }
    let lost = former.map_or_else(Vec::new, |former| lost(former, Some(&now.config), census));
    if !lost.is_empty() {
        let named: Vec<String> = lost.iter().map(ToString::to_string).collect();
        return Some(format!(
            "{} was changed, and does not read what is stored: {}",
            now.file,
            named.join(", ")
        ));
    }
    let foreign = census.total(|_, held| matches!(held, Held::UnknownKey { .. }));
    (foreign.objects > 0).then(|| {
        format!(
            "kube-apiserver runs with another configuration than {}, which has no key for {} of the stored values, as {}",
            now.file,
            foreign.objects,
            foreign.examples.first().map_or("", String::as_str)
        )
    })
}
