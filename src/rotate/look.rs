//! What a rotation observes before each step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::evidence::{self, Silent};
use super::{PATIENCE, Proof, RotateError, Rotator, Watched, key_store};
use crate::adapters::Node;
use crate::adapters::api::{self, Api};
use crate::adapters::etcd::{Access, Entry, Etcd, EtcdError, Watch};
use crate::at_rest::Configured;
use crate::census::{self, Census, Held, Place, Resource, Span};
use crate::domain::{Component, Digest, Fact, Instant, KeyId, Manifest, NodePath, Owner, Reason};
use crate::encryption::{EncryptionConfig, Link, SharedChain};
use crate::events::tell;
use crate::manifest::{command_line, flags_of_process, parse_go_duration};
use crate::observe::at_rest;
use crate::rewrite::Difference;
use crate::rotation::{
    self, Chain, Generation, Limits, Membership, NodeName, NodeView, OnDisk, Revision, Rotation, Sighting,
    Tally, World,
};

/// How often a census is taken anew that no watch can follow.
pub(super) const TRIES: usize = 3;
/// So many values that are too large are named.
const NAMED: usize = 5;

/// What one look gave.
pub(super) struct Seen {
    pub(super) world: World,
    pub(super) configured: Configured,
    pub(super) api: Api,
    pub(super) access: Access,
    /// Set when the API server does not say what it has loaded.
    pub(super) silent: Option<Silent>,
    /// It has tried to load the file that is on the disk, and refuses it.
    pub(super) refuses_file: bool,
}

/// One look. The census is not taken here, only brought up to date by its watch.
pub(super) fn look(rotator: &mut Rotator<'_>, rotation: Option<&Rotation>) -> Result<Seen, RotateError> {
    let node = rotator.node;
    let manifest = known(at_rest::manifest(node))?;
    let configured = configuration(node, &manifest)?;
    let api = at_rest::client(node, &manifest).map_err(RotateError::Unknown)?;
    let access = access(rotator, &manifest)?;
    let name = one_node(rotator)?;
    let chain = chain(&configured)?;
    let own_host = node.processes.host_name();
    rotator.limits.drain = drain(node, &manifest)?;
    let (before, (reported, failures), store, watched, after) = {
        let Rotator {
            runtime,
            etcd,
            proof,
            renewals,
            ..
        } = &mut *rotator;
        let now_ms = node.clock.now().since_boot_ms;
        let mut of_two = |renewed| renewals.are_of_two(renewed, now_ms);
        runtime.block_on(async {
            let before = members(&api, &name, &own_host, &mut of_two).await;
            let reported = at_rest::reported_with_failures(&api).await;
            let store = store(etcd, &access, rotation).await;
            let watched = watched(proof, &store, &configured, &access).await;
            let after = members(&api, &name, &own_host, &mut of_two).await;
            (before, reported, store, watched, after)
        })
    };
    let mut lay = || lay_on_disk(rotator, rotation, &name, configured.digest);
    let (running, silent) = evidence::running(node, &manifest, reported, &mut lay);
    if watched.is_err() {
        rotator.proof = None;
    }
    let view = NodeView {
        disk: Fact::Known(OnDisk {
            generation: Generation::File(configured.digest),
            chain,
        }),
        running,
    };
    let proof = rotator.proof.as_ref();
    let world = World {
        now: node.clock.now(),
        members_before: before,
        nodes: BTreeMap::from([(name, view)]),
        members_after: after,
        etcd: store,
        census: proof.map_or(Fact::Absent, |proof| Fact::Known(proof.census.clone())),
        watch: proof.map_or(Fact::Absent, |proof| Fact::Known(proof.watched.seen())),
        stuck: rotator.refusals.stuck(),
        keys: key_store::list(node, &configured.config),
    };
    Ok(Seen {
        world,
        refuses_file: rotator.failed_reloads.refuses(configured.digest, failures),
        configured,
        api,
        access,
        silent,
    })
}

/// The files of this node's disk, each since when it was there: by the journal, or else by the looks of this process.
fn lay_on_disk(
    rotator: &mut Rotator<'_>,
    rotation: Option<&Rotation>,
    name: &NodeName,
    digest: Digest,
) -> Vec<(Instant, Generation)> {
    let (now, on_disk) = (rotator.node.clock.now(), Generation::File(digest));
    if let Some(rotation) = rotation {
        return evidence::files(rotation, name, on_disk, &now);
    }
    let first = rotator.first_seen.take().filter(|(_, seen)| *seen == on_disk);
    vec![rotator.first_seen.insert(first.unwrap_or((now, on_disk))).clone()]
}

/// Who can write the file, or its folder, can have the new key, or destroy it.
pub(super) fn only_roots(node: &Node, file: &NodePath) -> Result<(), RotateError> {
    for path in std::iter::once(file.clone()).chain(file.parent()) {
        let facts = match node.files.facts(&path) {
            Fact::Known(facts) => facts,
            Fact::Absent => return Err(RotateError::NotHere(format!("{path} is not there"))),
            Fact::Unknown(why) => return Err(RotateError::Unknown(why)),
        };
        if facts.owner.uid != Owner::ROOT.uid || facts.mode.bits() & 0o022 != 0 {
            return Err(RotateError::NotHere(format!(
                "{path} belongs to {} with mode {}, so somebody else than root can write it, and no key is put there; \
                 chown root:root {path}; chmod go-w {path}",
                facts.owner, facts.mode
            )));
        }
    }
    Ok(())
}

/// How long a request that began before a change of the write key may still commit: what the API server is told and what it runs with,
/// and never less than its default.
fn drain(node: &Node, manifest: &Manifest) -> Result<Duration, RotateError> {
    let unknown = |why: String| RotateError::Unknown(Reason::new(why));
    let line = command_line(Component::ApiServer, &manifest.pod).map_err(|why| unknown(why.to_string()))?;
    let table = node.processes.look().map_err(RotateError::Unknown)?;
    let mut flags: Vec<(String, String)> = line
        .flags()
        .map(|(name, value)| (name.to_string(), value.to_owned()))
        .collect();
    for process in table.of_component(Component::ApiServer, manifest.pod.uid.as_deref()) {
        let running = flags_of_process(Component::ApiServer, &process.argv);
        let running = running.map_err(|why| unknown(why.to_string()))?;
        flags.extend(running.into_iter().map(|(name, value)| (name.to_string(), value)));
    }
    let mut drain = Limits::default().drain;
    for (_, value) in flags.iter().filter(|(name, _)| name == "request-timeout") {
        let timeout = parse_go_duration(value).ok_or_else(|| {
            unknown(format!("kube-apiserver's --request-timeout={value} is no span of time, so how long a request may take is not known"))
        })?;
        drain = drain.max(timeout);
    }
    Ok(drain)
}

impl Watched {
    /// What the watch has seen.
    fn seen(&self) -> rotation::Watch {
        rotation::Watch {
            from: self.from,
            writes: self.writes.clone(),
        }
    }
}

pub(super) fn configuration(node: &Node, manifest: &Manifest) -> Result<Configured, RotateError> {
    match at_rest::configured(node, manifest) {
        Fact::Known(configured) => Ok(configured),
        Fact::Absent => {
            let why = "kube-apiserver has no --encryption-provider-config: everything is stored in plaintext, and there is no key to rotate \
                       from; `holdfast encryption enable` sets it up";
            Err(RotateError::NotHere(why.to_owned()))
        }
        Fact::Unknown(why) => Err(RotateError::Unknown(why)),
    }
}

/// Takes a census, decrypting every value, and watches from its revision on. A watch that is open already goes on: it goes back further.
pub(super) fn prove(rotator: &mut Rotator<'_>) -> Result<(), RotateError> {
    let former = rotator.proof.take().map(|proof| proof.watched);
    let node = rotator.node;
    let manifest = known(at_rest::manifest(node))?;
    let configured = configuration(node, &manifest)?;
    // What is not rotated need not be counted.
    let writes = chain(&configured)?.write_key().clone();
    let (access, is_wider) = wider_access(rotator, &manifest, &configured)?;
    // What has been learnt lies where it has not looked.
    let mut former = former.filter(|_| !is_wider);
    let Rotator {
        runtime,
        etcd,
        comparison,
        beat,
        ..
    } = &mut *rotator;
    let mut see = |entry: &Entry, key: &KeyId, plain: &[u8]| {
        if *key != writes {
            comparison.remember(&entry.key, plain);
        } else if let Some(difference) = comparison.compare(&entry.key, at(entry.mod_revision).0, plain) {
            warn_of(&access, &entry.key, &difference);
        }
    };
    let mut elsewhere = BTreeMap::new();
    let mut tries = TRIES;
    let (census, watched) = runtime.block_on(async {
        let etcd = connected(etcd, &access).await?;
        loop {
            let census = at_rest::census_seeing(&etcd, &access, &configured, &mut see, &**beat)
                .await
                .map_err(RotateError::Unknown)?;
            tries -= 1;
            let watched = match former.take() {
                Some(watched) => Ok(watched),
                None => watch_from(&etcd, &access, census.revision).await,
            };
            let watched = match watched {
                Ok(watched) => watched,
                // History went away between the two.
                Err(error) if error.is_compacted() && tries > 0 => continue,
                Err(error) => return Err(error.into()),
            };
            let mut see = |key, path: &[u8]| sighted(&mut elsewhere, key, path);
            let revision = census.revision;
            at_rest::look_elsewhere(&etcd, &access, &configured, revision, &mut see, &**beat).await?;
            return Ok::<_, RotateError>((census, watched));
        }
    })?;
    rotator.oversized = oversized(&census);
    let census = counted(&census, elsewhere, &configured.config, node.clock.now());
    rotator.proof = Some(Proof { census, watched });
    Ok(())
}

/// How etcd is reached, with what was learnt of the API server.
fn access(rotator: &Rotator<'_>, manifest: &Manifest) -> Result<Access, RotateError> {
    let mut access = at_rest::access(rotator.node, manifest).map_err(RotateError::Unknown)?;
    at_rest::learn(&mut access.paths, &rotator.learnt);
    Ok(access)
}

/// The same, with what the API server serves now, and what etcd takes; true when that is more than was known.
fn wider_access(
    rotator: &mut Rotator<'_>,
    manifest: &Manifest,
    configured: &Configured,
) -> Result<(Access, bool), RotateError> {
    let mut access = access(rotator, manifest)?;
    access.max_request_bytes = at_rest::max_request_bytes(rotator.node);
    let known = rotator.learnt.len();
    if let Ok(api) = at_rest::client(rotator.node, manifest) {
        let learnt = at_rest::learnt(&access.paths, &api, Some(configured));
        rotator.learnt.extend(rotator.runtime.block_on(learnt));
    }
    at_rest::learn(&mut access.paths, &rotator.learnt);
    Ok((access, rotator.learnt.len() > known))
}

/// Watches the whole prefix behind a revision: the API server's leases keep the watch's progress going.
async fn watch_from(etcd: &Etcd, access: &Access, revision: i64) -> Result<Watched, EtcdError> {
    let span = Span::prefix(access.paths.prefix());
    Ok(Watched {
        watch: Watch::open(etcd, &span, revision + 1).await?,
        from: at(revision),
        writes: BTreeMap::new(),
    })
}

/// The values that etcd might not take when they are written anew, for the operator.
fn oversized(census: &Census) -> Option<String> {
    let (count, named) = &census.oversized;
    let named: Vec<String> = named
        .iter()
        .take(NAMED)
        .map(|value| format!("{} ({} bytes)", value.key, value.bytes))
        .collect();
    (*count > 0).then(|| {
        format!(
            "{count} value(s) are so large that etcd, which takes requests of {} bytes (--max-request-bytes), may refuse them when they are \
             written anew: {}. The old key could not go as long as they are under it; raise the limit, or make them smaller",
            census.max_request_bytes,
            named.join(", ")
        )
    })
}

/// An object that is not what it was before our write, for its owner.
fn warn_of(access: &Access, etcd_key: &[u8], difference: &Difference) {
    let object = match access.paths.place(etcd_key) {
        Place::Object(object) => object.to_string(),
        Place::NoEndpoint(kind) => kind.resource().to_string(),
        Place::Unmapped(_) => String::from_utf8_lossy(etcd_key).into_owned(),
    };
    tell!(
        CHANGED_BY_NO_OP,
        [object = object.as_str()],
        "{object} is not what it was before it was written anew: {difference}; a mutating webhook, a pruned field or another version may \
         have changed it"
    );
}

pub(super) fn known<T>(fact: Fact<T>) -> Result<T, RotateError> {
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

pub(super) fn chain(configured: &Configured) -> Result<Chain, RotateError> {
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
            "{file}: its entries have different keys; give all of them the same list first, each key that any of them has (one of identity alone \
             may stay as it is)"
        ))),
        SharedChain::NoEntry => Err(RotateError::NotHere(format!(
            "{file}: every entry is under a key management service"
        ))),
    }
}

/// The API servers that use this etcd, by their identity leases, whatever their age: clocks differ, and the API server removes the lease
/// of one that is gone within the hour.
///
/// Two servers of one host name share one lease; `of_two` is given when it was renewed, and says whether that is so.
async fn members(
    api: &Api,
    name: &NodeName,
    own_host: &Fact<String>,
    of_two: &mut dyn FnMut(Option<jiff::Timestamp>) -> bool,
) -> Fact<Membership> {
    let own_host = match own_host {
        Fact::Known(host) => host,
        Fact::Absent => {
            return Fact::unknown("this node has no host name to know its own API server's lease by");
        }
        Fact::Unknown(why) => return Fact::Unknown(why.clone()),
    };
    api::api_server_leases(api)
        .await
        .and_then(|leases| membership(leases, name, own_host, of_two))
}

fn membership(
    leases: Vec<api::Lease>,
    name: &NodeName,
    own_host: &str,
    of_two: &mut dyn FnMut(Option<jiff::Timestamp>) -> bool,
) -> Fact<Membership> {
    let (own, others): (Vec<_>, Vec<_>) = leases
        .into_iter()
        .partition(|lease| lease.host.as_deref() == Some(own_host));
    if own.is_empty() {
        return Fact::unknown(format!(
            "no API server of host {own_host} has an identity lease in kube-system (label apiserver.kubernetes.io/identity)"
        ));
    }
    let mut strangers: BTreeSet<String> = others.into_iter().map(|lease| lease.holder).collect();
    if of_two(own.iter().filter_map(|lease| lease.renewed).max()) {
        strangers.insert(format!("of another host with the name {own_host}"));
    }
    Fact::Known(Membership {
        nodes: BTreeSet::from([name.clone()]),
        strangers,
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

/// etcd's revision, and up to where it has itself said that history is gone. The API server's note says where it may be; etcd is asked for
/// the revision that is awaited, too, since others than the API server may let it compact.
async fn store(
    kept: &mut Option<Etcd>,
    access: &Access,
    rotation: Option<&Rotation>,
) -> Fact<rotation::Etcd> {
    let awaited = rotation
        .and_then(|rotation| rotation.barrier.as_ref()?.verified)
        .and_then(|verified| i64::try_from(verified.0).ok());
    let asked = async {
        let etcd = connected(kept, access).await?;
        let revision = etcd.revision().await?;
        let noted = etcd.compacted_revision().await?.unwrap_or(0);
        let mut compacted = 0;
        for asked in [noted, awaited.unwrap_or(0)] {
            // A compaction keeps its own revision, so the one before tells. One that is in the future was never there.
            let is_new = asked > compacted.max(1) && asked <= revision;
            if is_new && etcd.is_compacted(asked - 1).await? {
                compacted = asked;
            }
        }
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
    let spans = at_rest::rotated_spans(access, configured);
    let (Some(proof), Fact::Known(store)) = (proof.as_mut(), store) else {
        return Ok(());
    };
    let Watched { watch, writes, .. } = &mut proof.watched;
    let known = configured.config.key_ids();
    let revision = i64::try_from(store.revision.0).unwrap_or(i64::MAX);
    watch
        .up_to(revision, |event| {
            let Some(value) = &event.value else { return };
            let key = if spans.iter().any(|span| span.contains(&event.key)) {
                match at_rest::held(&configured.config, &known, &event.key, value, false) {
                    Held::Under(key) => Some(key),
                    Held::UnknownKey { .. } | Held::Kms | Held::Malformed => None,
                }
            } else {
                at_rest::needed_elsewhere(access, configured, &known, &event.key, value)
            };
            if let Some(key) = key {
                writes.insert(key, at(event.mod_revision));
            }
        })
        .await
        .map(drop)
}

fn at(revision: i64) -> Revision {
    Revision(u64::try_from(revision).unwrap_or(0))
}

fn sighted(elsewhere: &mut BTreeMap<KeyId, Sighting>, key: KeyId, path: &[u8]) {
    let before = elsewhere.remove(&key);
    let example = || String::from_utf8_lossy(path).into_owned();
    elsewhere.insert(key, Sighting::and(before, 1, example));
}

fn example(resource: &Resource, tally: &census::Tally) -> String {
    let first = tally.examples.first().cloned();
    first.unwrap_or_else(|| resource.to_string())
}

/// The census as the rotation looks at it.
fn counted(
    census: &Census,
    elsewhere: BTreeMap<KeyId, Sighting>,
    config: &EncryptionConfig,
    now: Instant,
) -> rotation::Census {
    let mut values: BTreeMap<KeyId, Tally> = BTreeMap::new();
    let mut unknown: BTreeMap<String, u64> = BTreeMap::new();
    let (mut foreign_kms, mut undecryptable) = (None, None);
    for (resource, held, tally) in census.iter() {
        let example = || example(resource, tally);
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
            Held::Kms if has_kms(config, resource) => {}
            Held::Kms => foreign_kms = Some(Sighting::and(foreign_kms.take(), tally.objects, example)),
            Held::Malformed => {
                undecryptable = Some(Sighting::and(undecryptable.take(), tally.objects, example));
            }
        }
    }
    rotation::Census {
        first: at(census.revision),
        last: at(census.revision),
        at: now,
        values,
        unknown,
        foreign_kms,
        undecryptable,
        elsewhere,
    }
}

/// Whether a key management service serves the resource: its values are its own affair, and stay as they are.
fn has_kms(config: &EncryptionConfig, resource: &Resource) -> bool {
    let resource = match resource {
        Resource::Api(resource) => resource.clone(),
        Resource::NoEndpoint(kind) => kind.resource(),
        Resource::Unmapped(_) => return false,
    };
    let links = config.providers_for(&resource).unwrap_or_default();
    links.iter().any(|link| matches!(link, Link::Kms(_)))
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
