//! Re-encryption: only stale values, by name, with the no-op write, at a pace that yields to the cluster's other users and to etcd's
//! quota.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::look::Seen;
use super::{PATIENCE, Passed, RotateError, Rotator, quota, waits};
use crate::adapters::api::{self, Ending, Job, Orders};
use crate::adapters::etcd::{Etcd, EtcdError, stale_chunk};
use crate::adapters::wakeups::{HintSender, asked_to_end};
use crate::census::{Held, Resource};
use crate::domain::{Fact, GroupResource, KeyId};
use crate::observe::at_rest;
use crate::rewrite::{Bounds, Brake, Progress, Room, Target, Waiting};
use crate::rotation::{Stuck, StuckValue};

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

/// What the runs of a walk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Runs {
    /// How many values they rewrote.
    pub rewritten: u64,
    /// How many the last one left to rewrite, where that is known.
    pub left: Option<u64>,
}

const CHUNK: usize = 500;
const TICK: Duration = Duration::from_secs(1);
const AWAY_AFTER: u32 = 8;
/// One pass rewrites for so long at most: others wait for the lock, and what is guarded between passes is looked at again. In ticks.
const SLICE: u32 = 60;
/// A run that may not write for so long ends, so that the operator hears why. In ticks.
const STALLED: u32 = 10;
/// After a run that could write nothing the next one waits.
const REST_MS: u64 = 15_000;

/// A write is waited for longer than an admission webhook may take (30 s), so that the API server's answer names it.
const WRITE_PATIENCE: Duration = Duration::from_secs(35);

/// Why a run was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Its time is up; there is more to do.
    Slice,
    /// This process is asked to end.
    Asked,
    /// etcd has no room, or does not say whether it has.
    NoRoom,
}

/// What became of a run.
struct Run {
    report: api::Report,
    stop: Option<Stop>,
    /// Stale values that no request rewrites.
    beyond_reach: BeyondReach,
}

/// What a run is held against.
struct Guarding<'a> {
    /// etcd's quota, where it does not tell it (before 3.6).
    by_flag: u64,
    /// Whether files have changed.
    hints: Option<&'a HintSender>,
    /// Called while it counts.
    beat: &'a dyn Fn(),
}

/// Stale values that no request rewrites.
#[derive(Default)]
struct BeyondReach {
    /// Those that the API server rewrites by itself: how, by kind.
    awaited: Vec<(String, &'static str)>,
    /// Those of paths that are not known.
    unmapped: Stuck,
}

impl Rotator<'_> {
    /// What its runs came to so far.
    #[must_use]
    pub const fn runs(&self) -> Runs {
        self.runs
    }

    /// Rewrites values under these keys for a while. The census is void then, whatever came of it.
    pub(super) fn reencrypt(
        &mut self,
        seen: &Seen,
        keys: &BTreeSet<KeyId>,
        pace: Pace,
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<Passed, RotateError> {
        let census = self.proof.take().map(|proof| proof.census);
        let total = census.as_ref().map(|census| {
            let under = census.values.iter().filter(|(key, _)| keys.contains(key));
            under.map(|(_, tally)| tally.count).sum()
        });
        let seen_at = census.as_ref().map_or(0, |census| census.first.0);
        let by_flag = quota::by_flag(&at_rest::manifests(self.node));
        let guarding = Guarding {
            by_flag,
            hints: self.hints.as_ref(),
            beat: &*self.beat,
        };
        let run = self
            .runtime
            .block_on(run(seen, keys, total, seen_at, pace, &guarding, tell))?;
        let progress = run.report.tally.progress();
        for revision in run.report.tally.written() {
            self.comparison.wrote(*revision);
        }
        self.runs.rewritten += progress.rewritten;
        self.runs.left = progress.total.map(|total| total.saturating_sub(progress.done));
        let moved = progress.rewritten + progress.gone > 0;
        let now = self.node.clock.now().since_boot_ms;
        self.refusals.found(stuck(&run), moved, now);
        let passed = came_to(&run, &progress);
        if let Passed::Waits(words) = &passed
            && !moved
        {
            self.rest = Some((now + REST_MS, words.clone()));
        }
        Ok(passed)
    }
}

/// What is left for the operator: refused objects, and values of unknown paths.
fn stuck(run: &Run) -> Stuck {
    let refused = run.report.tally.refused().iter().map(|refused| StuckValue {
        object: refused.target.to_string(),
        why: refused.cause.to_string(),
    });
    let unmapped = &run.beyond_reach.unmapped;
    Stuck {
        total: run.report.tally.progress().refused + unmapped.total,
        named: refused.chain(unmapped.named.iter().cloned()).collect(),
    }
}

fn came_to(run: &Run, progress: &Progress) -> Passed {
    match (&run.report.ending, run.stop) {
        (_, Some(Stop::Asked)) => waits(
            "it was asked to end",
            "run the command again: it goes on with what is left",
        ),
        (_, Some(Stop::NoRoom)) => waits(
            "etcd to have room: its database has reached 70 % of its quota and has too few free pages, or it does not say how full it is",
            "the API server's compaction frees room within minutes; if it does not help, defragment etcd (`etcdctl defrag`) or raise \
             --quota-backend-bytes",
        ),
        (Ending::Away(why), _) => waits(
            format!("the API server, which does not answer: {why}"),
            "see its log; the rest goes on by itself",
        ),
        (Ending::Finished | Ending::Stopped, _) => match run.beyond_reach.awaited.first() {
            Some((kind, remedy)) if progress.rewritten + progress.gone + progress.refused == 0 => {
                waits(format!("{kind}, which no request rewrites"), *remedy)
            }
            _ if progress.rewritten + progress.gone + progress.refused == 0 => waits(
                format!(
                    "stale values that no write has changed yet ({} to be looked at again, {} said to be fresh)",
                    progress.again, progress.fresh
                ),
                run_again(run),
            ),
            _ => Passed::Did(format!(
                "{} values were written under the new key, {} needed none, {} are gone, {} were refused",
                progress.rewritten, progress.fresh, progress.gone, progress.refused
            )),
        },
    }
}

fn run_again(run: &Run) -> String {
    let last = run.report.tally.last_unknown();
    last.map_or_else(
        || "nothing: it is tried again".to_owned(),
        |what| format!("it is tried again; the last one came to: {what}"),
    )
}

async fn run(
    seen: &Seen,
    keys: &BTreeSet<KeyId>,
    total: Option<u64>,
    seen_at: u64,
    pace: Pace,
    guarding: &Guarding<'_>,
    tell: &mut dyn FnMut(&Progress),
) -> Result<Run, RotateError> {
    let etcd = Etcd::connect(&seen.access, PATIENCE).await?;
    let (served, beyond_reach) = served(seen, &etcd, keys, guarding.beat).await?;
    let job = Job {
        api: seen.api.clone().waiting(WRITE_PATIENCE),
        served,
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
        brake: brake(&etcd, guarding.by_flag, 0).await?,
        stop: false,
    };
    let (orders, ordered) = watch::channel(first);
    let (told, progress) = watch::channel(Progress::default());
    let work = async {
        let rewriting = api::rewrite(job, coming, ordered, told);
        let (report, named) = tokio::join!(rewriting, name_stale(seen, &etcd, keys, targets));
        named.map(|()| report)
    };
    let mut work = pin!(work);
    let mut stop = None;
    tokio::select! {
        report = &mut work => return Ok(Run { report: report?, stop, beyond_reach }),
        why = guard(&etcd, &orders, progress, guarding, tell) => stop = Some(why?),
    }
    // What is in flight comes to its end, by the deadline of its request.
    orders.send_modify(|orders| orders.stop = true);
    Ok(Run {
        report: work.await?,
        stop,
        beyond_reach,
    })
}

/// Names every stale object, as etcd has them now.
async fn name_stale(
    seen: &Seen,
    etcd: &Etcd,
    keys: &BTreeSet<KeyId>,
    targets: mpsc::Sender<Target>,
) -> Result<(), EtcdError> {
    let spans = at_rest::rotated_spans(&seen.access, &seen.configured);
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
                seen: u64::try_from(stale.mod_revision).ok(),
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

/// Once a second tells how far it is, and lets the writes take what etcd has room for; why the run is to stop.
async fn guard(
    etcd: &Etcd,
    orders: &watch::Sender<Orders>,
    mut progress: watch::Receiver<Progress>,
    guarding: &Guarding<'_>,
    tell: &mut dyn FnMut(&Progress),
) -> Result<Stop, RotateError> {
    let mut asked = pin!(asked_to_end());
    let mut hinted = pin!(async {
        match guarding.hints {
            Some(hints) => hints.pending().await,
            None => std::future::pending().await,
        }
    });
    let mut written = 0;
    let mut stalled = 0;
    for _ in 0..SLICE {
        tokio::select! {
            ended = &mut asked => return ended.map(|()| Stop::Asked).map_err(RotateError::Runtime),
            // Files have changed: they are looked at before it goes on.
            () = &mut hinted => return Ok(Stop::Slice),
            () = tokio::time::sleep(TICK) => {}
        }
        let now = *progress.borrow_and_update();
        tell(&now);
        // What was written up to a tick ago is in the size that etcd tells, which lags by its commit interval of 100 ms. An etcd that
        // does not say how full it is gets nothing more to store.
        let before = std::mem::replace(&mut written, now.bytes);
        let brake = brake(etcd, guarding.by_flag, before).await.unwrap_or(Brake::Hold);
        let is_held = brake == Brake::Hold || now.waiting == Some(Waiting::Quota);
        stalled = if is_held { stalled + 1 } else { 0 };
        if stalled >= STALLED {
            return Ok(Stop::NoRoom);
        }
        orders.send_modify(|orders| orders.brake = brake);
    }
    Ok(Stop::Slice)
}

async fn brake(etcd: &Etcd, by_flag: u64, written: u64) -> Result<Brake, EtcdError> {
    let status = etcd.status().await?;
    Ok(Brake::Within(Room {
        db_size: status.db_size,
        in_use: status.db_size_in_use,
        quota: status.db_size_quota.unwrap_or(by_flag),
        written,
    }))
}

/// How the resources that hold stale values are served, and the stale values that none serves.
async fn served(
    seen: &Seen,
    etcd: &Etcd,
    keys: &BTreeSet<KeyId>,
    beat: &dyn Fn(),
) -> Result<(BTreeMap<GroupResource, api::Served>, BeyondReach), RotateError> {
    let census = at_rest::census(etcd, &seen.access, Some(&seen.configured), false, beat)
        .await
        .map_err(RotateError::Unknown)?;
    let mut stale = BTreeSet::new();
    let mut beyond = BeyondReach::default();
    let is_stale = |held: &Held| matches!(held, Held::Under(key) if keys.contains(key));
    for (resource, _, tally) in census.iter().filter(|(_, held, _)| is_stale(held)) {
        match resource {
            Resource::Api(resource) => {
                stale.insert(resource.clone());
            }
            Resource::NoEndpoint(kind) => beyond.awaited.push((kind.resource().to_string(), kind.remedy())),
            Resource::Unmapped(path) => {
                beyond.unmapped.total += tally.objects;
                beyond.unmapped.named.push(StuckValue {
                    object: tally.examples.first().unwrap_or(path).clone(),
                    why: "no resource of the API is known by that path".to_owned(),
                });
            }
        }
    }
    let answers = api::served(&seen.api, &stale).await;
    let served = answers
        .into_iter()
        .filter_map(|(resource, fact)| match fact {
            Fact::Known(served) => Some((resource, served)),
            // Its objects are refused one by one, with that reason.
            Fact::Absent | Fact::Unknown(_) => None,
        })
        .collect();
    Ok((served, beyond))
}
