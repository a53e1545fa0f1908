//! What a rotation observes before each step.

use std::collections::{BTreeMap, BTreeSet};

use super::{PATIENCE, Proof, RotateError, Rotator, key_store};
use crate::adapters::Node;
use crate::adapters::api::{self, Api};
use crate::adapters::etcd::{self, Access, Etcd, EtcdError, Watch};
use crate::at_rest::Configured;
use crate::census::{Census, Held, Span};
use crate::domain::{Fact, KeyId, Manifest, Reason};
use crate::encryption::SharedChain;
use crate::observe::at_rest;
use crate::rotation::{
    self, Chain, Generation, Membership, NodeName, NodeView, OnDisk, Revision, Tally, World,
};

/// What one look gave.
pub(super) struct Seen {
    pub(super) world: World,
    pub(super) configured: Configured,
    pub(super) api: Api,
    pub(super) access: Access,
}

/// One look. The census is not taken here, only brought up to date by its watch.
pub(super) fn look(rotator: &mut Rotator<'_>) -> Result<Seen, RotateError> {
    let node = rotator.node;
    let manifest = known(at_rest::manifest(node))?;
    let configured = configuration(node, &manifest)?;
    let api = at_rest::client(node, &manifest).map_err(RotateError::Unknown)?;
    let access = etcd::access(&node.files, &manifest)
        .map_err(|error| RotateError::Unknown(Reason::new(error.to_string())))?;
    let name = one_node(rotator)?;
    let chain = chain(&configured)?;
    let now = node.clock.now().wall;
    let (before, running, store, watched, after) = {
        let Rotator {
            runtime, etcd, proof, ..
        } = &mut *rotator;
        runtime.block_on(async {
            let before = members(&api, &name, now).await;
            let running = at_rest::loaded(&api).await;
            let store = store(etcd, &access).await;
            let watched = watched(proof, &store, &configured, &access).await;
            let after = members(&api, &name, now).await;
            (before, running, store, watched, after)
        })
    };
    if watched.is_err() {
        rotator.proof = None;
    }
    let view = NodeView {
        disk: Fact::Known(OnDisk {
            generation: Generation::File(configured.digest),
            chain,
        }),
        running: running.map(Generation::File),
    };
    let proof = rotator.proof.as_ref();
    let world = World {
        now: node.clock.now(),
        members_before: before,
        nodes: BTreeMap::from([(name, view)]),
        members_after: after,
        etcd: store,
        census: proof.map_or(Fact::Absent, |proof| Fact::Known(proof.census.clone())),
        watch: proof.map_or(Fact::Absent, |proof| Fact::Known(proof.seen())),
        stuck: rotator.stuck.clone(),
        keys: key_store::list(node),
    };
    Ok(Seen {
        world,
        configured,
        api,
        access,
    })
}

impl Proof {
    /// What the watch has seen since the census.
    fn seen(&self) -> rotation::Watch {
        rotation::Watch {
            from: self.census.first,
            writes: self.writes.clone(),
        }
    }
}

fn configuration(node: &Node, manifest: &Manifest) -> Result<Configured, RotateError> {
    match at_rest::configured(node, manifest) {
        Fact::Known(configured) => Ok(configured),
        Fact::Absent => {
            let why = "kube-apiserver has no --encryption-provider-config: there is no key to rotate from";
            Err(RotateError::NotHere(why.to_owned()))
        }
        Fact::Unknown(why) => Err(RotateError::Unknown(why)),
    }
}

/// Takes a census, decrypting every value, and watches from its revision on.
pub(super) fn prove(rotator: &mut Rotator<'_>) -> Result<(), RotateError> {
    rotator.proof = None;
    let node = rotator.node;
    let manifest = known(at_rest::manifest(node))?;
    let configured = configuration(node, &manifest)?;
    let access = etcd::access(&node.files, &manifest)
        .map_err(|error| RotateError::Unknown(Reason::new(error.to_string())))?;
    let Rotator { runtime, etcd, .. } = &mut *rotator;
    let (census, watch) = runtime.block_on(async {
        let etcd = connected(etcd, &access).await?;
        let census = at_rest::census(&etcd, &access, Some(&configured), true)
            .await
            .map_err(RotateError::Unknown)?;
        // The whole prefix: the API server's leases keep the watch's progress going.
        let span = Span::prefix(access.paths.prefix());
        let watch = Watch::open(&etcd, &span, census.revision + 1).await?;
        Ok::<_, RotateError>((census, watch))
    })?;
    let census = counted(&census, node.clock.now());
    rotator.proof = Some(Proof {
        census,
        watch,
        writes: BTreeMap::new(),
    });
    Ok(())
}

fn known<T>(fact: Fact<T>) -> Result<T, RotateError> {
    match fact {
        Fact::Known(value) => Ok(value),
        Fact::Absent => Err(RotateError::NotHere(
            "kube-apiserver has no manifest, or no encryption configuration, here".to_owned(),
        )),
        Fact::Unknown(why) => Err(RotateError::Unknown(why)),
    }
}

/// The only control-plane node of the cluster; with several a rotation is not begun, since this version does not coordinate them.
fn one_node(rotator: &Rotator<'_>) -> Result<NodeName, RotateError> {
    let node = rotator.node;
    let entries = at_rest::manifests(node);
    let control_plane = known(node.cluster.control_plane(&node.files, &node.layout, &entries))?;
    let mut names = control_plane.nodes.iter();
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(NodeName(name.clone())),
        _ => {
            let all: Vec<&str> = control_plane.nodes.iter().map(String::as_str).collect();
            Err(RotateError::NotHere(format!(
                "the cluster has {} control-plane nodes ({} by {}), and this version does not coordinate them: every API server must \
                 have each configuration before the next is written",
                all.len(),
                all.join(", "),
                control_plane.source
            )))
        }
    }
}

fn chain(configured: &Configured) -> Result<Chain, RotateError> {
    let file = &configured.file;
    if let Some(concern) = configured
        .config
        .concerns()
        .iter()
        .find(|concern| concern.forbids_rotation())
    {
        return Err(RotateError::NotHere(format!(
            "{file}: {concern}; no key of it is moved"
        )));
    }
    match configured.config.shared_chain() {
        SharedChain::Shared(keys) => {
            Chain::new(keys).map_err(|error| RotateError::NotHere(format!("{file}: {error}")))
        }
        SharedChain::Differing => Err(RotateError::NotHere(format!(
            "{file}: its entries have different keys; give all of them the same list first, each key that any of them has"
        ))),
        SharedChain::NoEntry => Err(RotateError::NotHere(format!(
            "{file}: every entry is under a key management service"
        ))),
    }
}

/// The API servers that use this etcd, by their identity leases that are not out of date.
async fn members(api: &Api, name: &NodeName, now: jiff::Timestamp) -> Fact<Membership> {
    api::api_server_leases(api).await.map(|leases| {
        let fresh: Vec<_> = leases
            .into_iter()
            .filter(|lease| {
                let seconds = i64::from(lease.duration_seconds);
                lease
                    .renewed
                    .is_none_or(|renewed| now.duration_since(renewed).as_secs() <= seconds)
            })
            .collect();
        // One is this node's own, whatever its host name is; of several, those of other hosts.
        let strangers = if fresh.len() <= 1 {
            BTreeSet::new()
        } else {
            let others = fresh
                .into_iter()
                .filter(|lease| lease.host.as_deref() != Some(name.0.as_str()));
            others.map(|lease| lease.holder).collect()
        };
        Membership {
            nodes: BTreeSet::from([name.clone()]),
            strangers,
        }
    })
}

async fn connected(kept: &mut Option<Etcd>, access: &Access) -> Result<Etcd, EtcdError> {
    if let Some(etcd) = kept
        && etcd.revision().await.is_ok()
    {
        return Ok(etcd.clone());
    }
    let etcd = Etcd::connect(access, PATIENCE).await?;
    *kept = Some(etcd.clone());
    Ok(etcd)
}

/// etcd's revision, and up to where it has itself said that history is gone.
async fn store(kept: &mut Option<Etcd>, access: &Access) -> Fact<rotation::Etcd> {
    let asked = async {
        let etcd = connected(kept, access).await?;
        let revision = etcd.revision().await?;
        let noted = etcd.compacted_revision().await?.unwrap_or(0);
        // The API server's note is believed only once etcd refuses the revision before it.
        let compacted = if noted > 1 && etcd.is_compacted(noted - 1).await? {
            noted
        } else {
            0
        };
        Ok::<_, EtcdError>(rotation::Etcd {
            revision: at(revision),
            compacted: at(compacted),
        })
    };
    match asked.await {
        Ok(store) => Fact::Known(store),
        Err(error) => Fact::unknown(format!("{error}; {}", error.advice())),
    }
}

/// Lets the watch catch up with what etcd has; a watch that broke proves nothing.
async fn watched(
    proof: &mut Option<Proof>,
    store: &Fact<rotation::Etcd>,
    configured: &Configured,
    access: &Access,
) -> Result<(), EtcdError> {
    let spans = at_rest::patterns(Some(configured)).map(|patterns| access.paths.spans(&patterns));
    let Ok(spans) = spans else {
        // What is to be watched is not known, so nothing was seen.
        *proof = None;
        return Ok(());
    };
    let (Some(Proof { watch, writes, .. }), Fact::Known(store)) = (proof.as_mut(), store) else {
        return Ok(());
    };
    let known = configured.config.key_ids();
    let revision = i64::try_from(store.revision.0).unwrap_or(i64::MAX);
    watch
        .up_to(revision, |event| {
            let Some(value) = &event.value else { return };
            if !spans.iter().any(|span| span.contains(&event.key)) {
                return;
            }
            if let Held::Under(key) = at_rest::held(&configured.config, &known, &event.key, value, false) {
                writes.insert(key, at(event.mod_revision));
            }
        })
        .await
        .map(drop)
}

fn at(revision: i64) -> Revision {
    Revision(u64::try_from(revision).unwrap_or(0))
}

/// The census as the rotation looks at it.
fn counted(census: &Census, now: crate::domain::Instant) -> rotation::Census {
    let mut values: BTreeMap<KeyId, Tally> = BTreeMap::new();
    let mut unknown: BTreeMap<String, u64> = BTreeMap::new();
    let mut undecryptable = Vec::new();
    for (_, held, tally) in census.iter() {
        match held {
            Held::Under(key) => {
                let sum = values.entry(key.clone()).or_insert(Tally {
                    count: 0,
                    newest: Revision(0),
                });
                sum.count += tally.objects;
                sum.newest = sum.newest.max(at(tally.newest_revision));
            }
            Held::UnknownKey { provider, name } => {
                *unknown.entry(format!("{provider}:{name}")).or_insert(0) += tally.objects;
            }
            Held::Kms => *unknown.entry("kms".to_owned()).or_insert(0) += tally.objects,
            Held::Malformed => undecryptable.extend(tally.examples.iter().cloned()),
        }
    }
    rotation::Census {
        first: at(census.revision),
        last: at(census.revision),
        at: now,
        values,
        unknown,
        undecryptable,
    }
}
