//! Re-encryption: only stale values, by name, with the no-op write, at a pace that yields to the cluster's other users and to etcd's
//! quota.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::look::Seen;
use super::{PATIENCE, Passed, RotateError, Rotator, waits};
use crate::adapters::api::{self, Ending, Job, Orders};
use crate::adapters::etcd::{Etcd, EtcdError, stale_chunk};
use crate::census::{Held, Resource};
use crate::domain::{Fact, GroupResource, KeyId};
use crate::observe::at_rest;
use crate::rewrite::{Bounds, Brake, Progress, Room, Target};
use crate::rotation::StuckValue;

/// How fast it may go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Requests a second at most.
    pub max_rate: f64,
    /// Requests in flight at most.
    pub parallel: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            max_rate: 1000.0,
            parallel: 8,
        }
    }
}

/// etcd's default quota (`--quota-backend-bytes`), where it does not tell (before 3.6).
const DEFAULT_QUOTA: u64 = 2 << 30;
const CHUNK: usize = 500;
const TICK: Duration = Duration::from_secs(1);
const AWAY_AFTER: u32 = 8;

impl Rotator<'_> {
    /// Rewrites the values under these keys. The census is void then, whatever came of it.
    pub(super) fn reencrypt(
        &mut self,
        seen: &Seen,
        keys: &BTreeSet<KeyId>,
        pace: Pace,
        tell: &mut dyn FnMut(&Progress) -> bool,
    ) -> Result<Passed, RotateError> {
        let census = self.proof.take().map(|proof| proof.census);
        let total = census.as_ref().map(|census| {
            census
                .values
                .iter()
                .filter(|(key, _)| keys.contains(key))
                .map(|(_, tally)| tally.count)
                .sum()
        });
        let seen_at = census.as_ref().map_or(0, |census| census.first.0);
        let report = self
            .runtime
            .block_on(run(seen, keys, total, seen_at, pace, tell))?;
        self.stuck = report
            .tally
            .refused()
            .iter()
            .map(|refused| StuckValue {
                object: refused.target.to_string(),
                why: refused.cause.to_string(),
            })
            .collect();
        let progress = report.tally.progress();
        Ok(match report.ending {
            Ending::Finished => Passed::Did(format!(
                "{} values were written under the new key, {} needed none, {} are gone, {} were refused",
                progress.rewritten, progress.fresh, progress.gone, progress.refused
            )),
            Ending::Stopped => waits(
                "it was told to stop",
                "run the command again: it goes on with what is left",
            ),
            Ending::Away(why) => waits(
                format!("the API server does not answer: {why}"),
                "see its log; the rest goes on by itself",
            ),
        })
    }
}

async fn run(
    seen: &Seen,
    keys: &BTreeSet<KeyId>,
    total: Option<u64>,
    seen_at: u64,
    pace: Pace,
    tell: &mut dyn FnMut(&Progress) -> bool,
) -> Result<api::Report, RotateError> {
    let etcd = Etcd::connect(&seen.access, PATIENCE).await?;
    let job = Job {
        api: seen.api.clone(),
        served: served(seen, &etcd, keys).await?,
        seen_at,
        total,
        bounds: Bounds {
            max_rate: pace.max_rate,
            max_in_flight: pace.parallel,
        },
        away_after: AWAY_AFTER,
    };
    let (targets, coming) = mpsc::channel(CHUNK);
    let first = Orders {
        brake: brake(&etcd, 0).await?,
        stop: false,
    };
    let (orders, ordered) = watch::channel(first);
    let (told, progress) = watch::channel(Progress::default());
    let work = async {
        let rewriting = api::rewrite(job, coming, ordered, told);
        let (report, named) = tokio::join!(rewriting, name_stale(seen, &etcd, keys, targets));
        named.map(|()| report)
    };
    tokio::select! {
        report = work => Ok(report?),
        never = guard(&etcd, orders, progress, tell) => match never {},
    }
}

/// Names every stale object, as etcd has them now.
async fn name_stale(
    seen: &Seen,
    etcd: &Etcd,
    keys: &BTreeSet<KeyId>,
    targets: mpsc::Sender<Target>,
) -> Result<(), EtcdError> {
    let patterns = at_rest::patterns(Some(&seen.configured)).unwrap_or_default();
    let spans = seen.access.paths.spans(&patterns);
    let config = &seen.configured.config;
    let known = config.key_ids();
    let is_stale = |key: &[u8], value: &[u8]| {
        let held = at_rest::held(config, &known, key, value, false);
        matches!(held, Held::Under(id) if keys.contains(&id))
    };
    let mut cursor: Option<Vec<u8>> = None;
    loop {
        let chunk = stale_chunk(
            etcd,
            &seen.access.paths,
            &spans,
            cursor.as_deref(),
            CHUNK,
            is_stale,
        )
        .await?;
        for stale in chunk.objects {
            let target = Target {
                resource: stale.object.resource,
                namespace: stale.object.namespace,
                name: stale.object.name,
                uid: None,
                bytes: stale.bytes,
            };
            if targets.send(target).await.is_err() {
                // The rewriting has ended; it says why.
                return Ok(());
            }
        }
        match chunk.cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
}

/// Once a second tells how far it is, and lets the writes take what etcd has room for.
async fn guard(
    etcd: &Etcd,
    orders: watch::Sender<Orders>,
    mut progress: watch::Receiver<Progress>,
    tell: &mut dyn FnMut(&Progress) -> bool,
) -> Infallible {
    let mut compacted = etcd.compacted_revision().await.ok().flatten();
    let mut written_at_compaction = 0;
    loop {
        tokio::time::sleep(TICK).await;
        let now = *progress.borrow_and_update();
        let stop = tell(&now);
        if let Ok(noted) = etcd.compacted_revision().await
            && noted != compacted
        {
            compacted = noted;
            written_at_compaction = now.bytes;
        }
        // An etcd that does not say how full it is gets nothing more to store.
        let brake = brake(etcd, written_at_compaction).await.unwrap_or(Brake::Hold);
        orders.send_replace(Orders { brake, stop });
    }
}

async fn brake(etcd: &Etcd, written_at_compaction: u64) -> Result<Brake, EtcdError> {
    let status = etcd.status().await?;
    Ok(Brake::Within(Room {
        db_size: status.db_size,
        quota: status.db_size_quota.unwrap_or(DEFAULT_QUOTA),
        written_at_compaction,
    }))
}

/// How the resources that hold stale values are served.
async fn served(
    seen: &Seen,
    etcd: &Etcd,
    keys: &BTreeSet<KeyId>,
) -> Result<BTreeMap<GroupResource, api::Served>, RotateError> {
    let census = at_rest::census(etcd, &seen.access, Some(&seen.configured), false)
        .await
        .map_err(RotateError::Unknown)?;
    let stale: BTreeSet<GroupResource> = census
        .iter()
        .filter(|(_, held, _)| matches!(held, Held::Under(key) if keys.contains(key)))
        .filter_map(|(resource, _, _)| match resource {
            Resource::Api(resource) => Some(resource.clone()),
            Resource::NoEndpoint(_) | Resource::Unmapped(_) => None,
        })
        .collect();
    let answers = api::served(&seen.api, &stale).await;
    Ok(answers
        .into_iter()
        .filter_map(|(resource, fact)| match fact {
            Fact::Known(served) => Some((resource, served)),
            // Its objects are refused one by one, with that reason.
            Fact::Absent | Fact::Unknown(_) => None,
        })
        .collect())
}
