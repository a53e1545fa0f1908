//! Many no-op writes: a few connections side by side, each with one request in flight, at the pace that `rewrite::Pace` decides.
//!
//! Bounded in memory: what is held is one object for each connection, the count, and the refused objects up to a bound. It ends between
//! objects when it is told to, and dropping it ends it at once: a no-op write that was half sent is either done or not, and both are right.
#![expect(
    clippy::disallowed_methods,
    reason = "an adapter: how long an answer took is measured here, and judged in rewrite::Pace"
)]

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::{Api, CallError, Connection, Served, patch};
use crate::domain::GroupResource;
use crate::rewrite::{Bounds, Brake, Cause, Outcome, Pace, Progress, Sample, Tally, Target, Turn, Waiting};

/// How often an object is tried whose writes get no answer or one that tells nothing...
const TRIES: u32 = 3;
/// ...and how often one that never reached the server, or was told to come later: that is not the object's fault.
const TRIES_UNHEARD: u32 = 12;
/// What to rewrite, and how fast.
pub struct Job {
    /// The API server.
    pub api: Api,
    /// How each resource is served; an object of another one is refused as not served.
    pub served: BTreeMap<GroupResource, Served>,
    /// etcd's revision of the census: an object with a newer resource version has been written since.
    pub seen_at: u64,
    /// How many objects there are, if known.
    pub total: Option<u64>,
    /// The operator's bounds.
    pub bounds: Bounds,
    /// After so many failures in a row the server counts as away; by the pace's pauses, 8 are half a minute.
    pub away_after: u32,
}

/// What a running rewrite is told. Without one who could tell it, it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orders {
    /// What etcd has room for.
    pub brake: Brake,
    /// True to stop between objects.
    pub stop: bool,
}

/// How a rewrite ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// All objects were dealt with.
    Finished,
    /// It was told to stop.
    Stopped,
    /// The API server does not answer any more.
    Away(String),
}

/// What became of it all.
#[must_use]
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// How it ended.
    pub ending: Ending,
    /// The count.
    pub tally: Tally,
}

/// What the connections share.
struct Run {
    job: Job,
    targets: tokio::sync::Mutex<mpsc::Receiver<Target>>,
    orders: watch::Receiver<Orders>,
    progress: watch::Sender<Progress>,
    begun: Instant,
    came_back: Notify,
    state: Mutex<State>,
}

struct State {
    pace: Pace,
    tally: Tally,
    in_flight: usize,
    bytes_in_flight: u64,
    ending: Option<Ending>,
}

/// Rewrites the objects that come through `targets` until its sender is gone.
pub async fn rewrite(
    job: Job,
    targets: mpsc::Receiver<Target>,
    orders: watch::Receiver<Orders>,
    progress: watch::Sender<Progress>,
) -> Report {
    let state = State {
        pace: Pace::new(job.bounds),
        tally: Tally::new(job.total),
        in_flight: 0,
        bytes_in_flight: 0,
        ending: None,
    };
    let connections = job.bounds.max_in_flight.max(1);
    let run = Arc::new(Run {
        job,
        targets: tokio::sync::Mutex::new(targets),
        orders,
        progress,
        begun: Instant::now(),
        came_back: Notify::new(),
        state: Mutex::new(state),
    });
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        workers.spawn(Arc::clone(&run).work());
    }
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended {
            run.end(Ending::Away(format!("a connection's task has ended: {error}")));
        }
    }
    let mut state = run.state();
    Report {
        ending: state.ending.take().unwrap_or(Ending::Finished),
        tally: std::mem::take(&mut state.tally),
    }
}

impl Run {
    /// One connection's work.
    async fn work(self: Arc<Self>) {
        let mut connection = None;
        let mut orders = self.orders.clone();
        while let Some(target) = self.next(&mut orders).await {
            let mut tries = 0;
            let outcome = loop {
                if !self.take_turn(&target, &mut orders).await {
                    return;
                }
                tries += 1;
                let (outcome, most_tries) = self.try_once(&mut connection, &target).await;
                if tries >= most_tries {
                    break outcome;
                }
            };
            let mut state = self.state();
            state.tally.add(target, outcome);
            self.tell(&mut state);
        }
    }

    /// The next object; none at the end, or when it is to stop.
    async fn next(&self, orders: &mut watch::Receiver<Orders>) -> Option<Target> {
        let mut targets = self.targets.lock().await;
        loop {
            // An end that another connection comes to is heard here too, while no object comes.
            let mut came_back = pin!(self.came_back.notified());
            came_back.as_mut().enable();
            if self.must_stop(orders) {
                return None;
            }
            tokio::select! {
                target = targets.recv() => return target,
                () = came_back => {}
                changed = orders.changed() => if changed.is_err() { self.end(Ending::Stopped) },
            }
        }
    }

    /// Waits until a write of this object may go; false when it is to stop.
    async fn take_turn(&self, target: &Target, orders: &mut watch::Receiver<Orders>) -> bool {
        loop {
            // Whoever comes back after this is heard.
            let mut came_back = pin!(self.came_back.notified());
            came_back.as_mut().enable();
            if self.must_stop(orders) {
                return false;
            }
            let brake = orders.borrow_and_update().brake;
            let turn = self.turn(target, brake);
            let at = match turn {
                Some(Turn::Go) => return true,
                Some(Turn::At(at)) => Some(at),
                Some(Turn::Full) | None => None,
            };
            tokio::select! {
                () = async {
                    match at {
                        Some(at) => tokio::time::sleep_until((self.begun + at).into()).await,
                        None => std::future::pending().await,
                    }
                } => {}
                () = came_back => {}
                changed = orders.changed() => if changed.is_err() { self.end(Ending::Stopped) },
            }
        }
    }

    /// The pace's word, or none when etcd has no room. `Go` counts it as in flight.
    fn turn(&self, target: &Target, brake: Brake) -> Option<Turn> {
        let now = self.begun.elapsed();
        let mut state = self.state();
        let written = state.tally.progress().bytes.saturating_add(state.bytes_in_flight);
        let turn = if brake.allows(written, target.bytes) {
            let in_flight = state.in_flight;
            Some(state.pace.turn(now, in_flight))
        } else {
            None
        };
        let waiting = match turn {
            None => Some(Waiting::Quota),
            Some(_) if state.pace.is_paused(now) => Some(Waiting::Server),
            Some(_) => None,
        };
        if turn == Some(Turn::Go) {
            state.in_flight += 1;
            state.bytes_in_flight += target.bytes;
        }
        if state.tally.progress().waiting != waiting {
            let rate = state.pace.achieved();
            state.tally.going(rate, waiting);
            self.tell(&mut state);
        }
        drop(state);
        turn
    }

    /// One write; its outcome, and after how many tries that is to be taken as it is.
    async fn try_once(&self, connection: &mut Option<Connection>, target: &Target) -> (Outcome, u32) {
        let _flight = Flight {
            run: self,
            bytes: target.bytes,
        };
        let Some(served) = self.job.served.get(&target.resource) else {
            let cause = Cause::NotServed;
            return (Outcome::Refused { cause }, 1);
        };
        let api = &self.job.api;
        // A handshake is no latency of the server's.
        if connection.as_ref().is_none_or(|open| !open.is_open()) {
            *connection = match api.connect().await {
                Ok(open) => Some(open),
                Err(error) => return self.failed(&error),
            };
        }
        let begun = self.begun.elapsed();
        let answer = patch(api, connection, served, target, self.job.seen_at).await;
        let now = self.begun.elapsed();
        match answer {
            Ok(outcome) => self.answered(now, now.saturating_sub(begun), outcome, target),
            Err(error) => self.failed(&error),
        }
    }

    fn answered(
        &self,
        now: Duration,
        latency: Duration,
        outcome: Outcome,
        target: &Target,
    ) -> (Outcome, u32) {
        let mut state = self.state();
        let wrote = match outcome {
            Outcome::Throttled { retry_after } => {
                state.pace.throttled(now, retry_after);
                return (outcome, TRIES_UNHEARD);
            }
            Outcome::Unknown { .. } => {
                state.pace.failed(now);
                state.tally.wrote(target.bytes);
                return (outcome, TRIES);
            }
            Outcome::Rewritten { resource_version } => {
                state.tally.wrote(target.bytes);
                Some(resource_version)
            }
            Outcome::Fresh | Outcome::Gone | Outcome::Conflict | Outcome::Refused { .. } => None,
        };
        state.pace.answered(now, Sample { latency, wrote });
        let rate = state.pace.achieved();
        state.tally.going(rate, None);
        (outcome, 1)
    }

    fn failed(&self, error: &CallError) -> (Outcome, u32) {
        let now = self.begun.elapsed();
        let mut state = self.state();
        state.pace.failed(now);
        let what = error.to_string();
        if state.pace.failures() >= self.job.away_after {
            state.ending.get_or_insert(Ending::Away(what.clone()));
        }
        drop(state);
        let tries = match error {
            CallError::Connect(_) | CallError::Handshake(_) => TRIES_UNHEARD,
            CallError::Request(_) | CallError::TooLong(_) => 1,
            CallError::Broken(_) | CallError::Late(_) => TRIES,
        };
        (Outcome::Unknown { what }, tries)
    }

    /// True when it was told to stop, or has ended for another reason.
    fn must_stop(&self, orders: &watch::Receiver<Orders>) -> bool {
        if orders.borrow().stop {
            self.end(Ending::Stopped);
        }
        self.state().ending.is_some()
    }

    /// The first reason to end counts.
    fn end(&self, ending: Ending) {
        self.state().ending.get_or_insert(ending);
        self.came_back.notify_waiters();
    }

    fn tell(&self, state: &mut State) {
        self.progress.send_replace(state.tally.progress());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics with it, and the counts would still be right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is in flight until this is dropped, whatever becomes of it.
struct Flight<'a> {
    run: &'a Run,
    bytes: u64,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut state = self.run.state();
        state.in_flight -= 1;
        state.bytes_in_flight -= self.bytes;
        drop(state);
        self.run.came_back.notify_waiters();
    }
}
