//! What is written from a revision on.

use std::fmt;
use std::time::Duration;

use http::uri::PathAndQuery;
use prost::bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic_prost::ProstCodec;

use super::client::Etcd;
use super::error::EtcdError;
use super::messages::{
    RawEvent, WATCH, WatchCreate, WatchDemand, WatchProgress, WatchRequest, WatchResponse,
};
use crate::census::Span;

/// etcd answers a question for progress only once it has sent all that was written; one that came too early is repeated.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A key that was written or deleted.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// The key.
    pub key: Bytes,
    /// The new value, which may be a secret; `None` when the key was deleted.
    pub value: Option<Bytes>,
    /// The revision.
    pub mod_revision: i64,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("key", &String::from_utf8_lossy(&self.key))
            .field("bytes", &self.value.as_ref().map(Bytes::len))
            .field("mod_revision", &self.mod_revision)
            .finish()
    }
}

/// What came in one message.
#[derive(Debug)]
pub struct Batch {
    /// Up to this revision everything was told, this batch included.
    pub known_to: i64,
    /// In the order of their revisions; empty when only the revision is news.
    pub events: Vec<Event>,
}

/// A watch of one span. Dropped, it ends.
///
/// What is known comes from events, which etcd sends in order, and from its answers about progress. These may run ahead of the events
/// before etcd 3.4.25 and 3.5.8 (etcd issue 15220), so they are not believed there; and up to 3.5.12 they may fail to come on a span
/// where nothing happens. The whole prefix is therefore the span to watch: the API server writes leases there every few seconds.
#[derive(Debug)]
pub struct Watch {
    etcd: Etcd,
    answers: Streaming<WatchResponse>,
    demands: mpsc::Sender<WatchRequest>,
    known_to: i64,
    believes_progress: bool,
}

impl Watch {
    /// Watches all keys of the span from a revision on, that one included: the one behind a census.
    /// Watches all keys of the span from a revision on, that one included: the one behind a census. When etcd has no longer all that
    /// happened since, it says so as the first news.
    ///
    /// # Errors
    /// When etcd does not answer or refuses.
    pub async fn open(etcd: &Etcd, span: &Span, from: i64) -> Result<Self, EtcdError> {
        let believes_progress = orders_progress(&etcd.status().await?.version);
        let (demands, requests) = mpsc::channel(4);
        let create = WatchDemand::Create(WatchCreate {
            key: span.start.clone(),
            range_end: span.end.clone(),
            start_revision: from,
            progress_notify: true,
            fragment: true,
        });
        let opening = async {
            let ended = |message: &str| EtcdError::WatchEnded {
                endpoint: etcd.endpoint().to_owned(),
                message: message.to_owned(),
            };
            let create = WatchRequest { demand: Some(create) };
            demands.send(create).await.map_err(|_| ended("before it began"))?;
            let mut grpc = etcd.grpc();
            grpc.ready().await.map_err(|error| EtcdError::Unreachable {
                endpoint: etcd.endpoint().to_owned(),
                why: crate::adapters::cluster::with_causes(&error),
            })?;
            let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
            let requests = tonic::Request::new(ReceiverStream::new(requests));
            let answers = grpc
                .streaming(requests, PathAndQuery::from_static(WATCH), codec)
                .await
                .map_err(|status| etcd.error(&status, from))?
                .into_inner();
            let mut watch = Self {
                etcd: etcd.clone(),
                answers,
                demands,
                known_to: from.saturating_sub(1),
                believes_progress,
            };
            let first = watch.answer(from).await?;
            if first.created && first.events.is_empty() {
                Ok(watch)
            } else {
                Err(etcd.nonsense("a watch that begins with something else"))
            }
        };
        tokio::time::timeout(etcd.timeout(), opening)
            .await
            .map_err(|_| etcd.late())?
    }

    /// Up to which revision everything was told.
    #[must_use]
    pub const fn known_to(&self) -> i64 {
        self.known_to
    }

    /// The next news, however long it takes. It can be given up and asked again.
    ///
    /// # Errors
    /// When etcd ended the watch, or the connection did: what happened since [`Self::known_to`] must be looked up.
    pub async fn next(&mut self) -> Result<Batch, EtcdError> {
        let answer = self.answer(self.known_to.saturating_add(1)).await?;
        let told = answer.events.iter().filter_map(|event| event.kv.as_ref());
        let newest = told.map(|pair| pair.mod_revision).max();
        let known_to = match newest {
            // The rest of the revision is in the next fragment.
            Some(newest) if answer.fragment => newest.saturating_sub(1),
            Some(newest) => newest,
            None if answer.created || !self.believes_progress => self.known_to,
            None => answer.header.map_or(self.known_to, |header| header.revision),
        };
        self.known_to = self.known_to.max(known_to);
        Ok(Batch {
            known_to: self.known_to,
            events: answer.events.into_iter().filter_map(event).collect(),
        })
    }

    /// Tells `see` every event until all up to the revision is known; the revision comes from a question that was asked before.
    ///
    /// # Errors
    /// As [`Self::next`]; and [`EtcdError::Deadline`] when it is not known in time, after which it can be asked again.
    pub async fn up_to(&mut self, revision: i64, mut see: impl FnMut(Event)) -> Result<i64, EtcdError> {
        let deadline = Instant::now() + self.etcd.timeout();
        while self.known_to < revision {
            self.ask_progress()?;
            let again = deadline.min(Instant::now() + ASK_AGAIN);
            while self.known_to < revision {
                match tokio::time::timeout_at(again, self.next()).await {
                    Ok(batch) => batch?.events.into_iter().for_each(&mut see),
                    Err(_) if again >= deadline => return Err(self.etcd.late()),
                    Err(_) => break,
                }
            }
        }
        Ok(self.known_to)
    }

    /// Asks for the revision up to which everything was told; the answer is a batch without events.
    fn ask_progress(&self) -> Result<(), EtcdError> {
        let demand = WatchRequest {
            demand: Some(WatchDemand::Progress(WatchProgress {})),
        };
        match self.demands.try_send(demand) {
            // A full queue holds the same question already.
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(self.ended("the connection was closed")),
        }
    }

    async fn answer(&mut self, from: i64) -> Result<WatchResponse, EtcdError> {
        let answer = match self.answers.message().await {
            Ok(Some(answer)) => answer,
            Ok(None) => return Err(self.ended("the connection was closed")),
            Err(status) => return Err(self.etcd.error(&status, from)),
        };
        if answer.compact_revision > 0 {
            return Err(EtcdError::Compacted {
                endpoint: self.etcd.endpoint().to_owned(),
                revision: from,
            });
        }
        if answer.canceled {
            return Err(self.ended(&answer.cancel_reason));
        }
        Ok(answer)
    }

    fn ended(&self, message: &str) -> EtcdError {
        let message = if message.is_empty() {
            "it gave no reason"
        } else {
            message
        };
        EtcdError::WatchEnded {
            endpoint: self.etcd.endpoint().to_owned(),
            message: message.to_owned(),
        }
    }
}

/// Whether etcd of this version tells progress only behind the events that belong to it. A version that is not understood does not.
fn orders_progress(version: &str) -> bool {
    let mut numbers = version
        .split(['.', '-', '+'])
        .map_while(|word| word.parse::<u32>().ok());
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(3), Some(4), Some(patch)) => patch >= 25,
        (Some(3), Some(5), Some(patch)) => patch >= 8,
        (Some(major), Some(minor), Some(_)) => (major, minor) >= (3, 6),
        _ => false,
    }
}

fn event(event: RawEvent) -> Option<Event> {
    const DELETE: i32 = 1;
    let pair = event.kv?;
    Some(Event {
        key: pair.key,
        value: (event.kind != DELETE).then_some(pair.value),
        mod_revision: pair.mod_revision,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_believed_from_the_versions_on_that_order_it() {
        let table = [
            ("3.3.27", false),
            ("3.4.24", false),
            ("3.4.25", true),
            ("3.5.7", false),
            ("3.5.8", true),
            ("3.6.0", true),
            ("3.6.0-rc.1", true),
            ("4.0.1", true),
            ("3.5", false),
            ("", false),
            ("v3.6.1", false),
        ];
        for (version, expected) in table {
            assert_eq!(orders_progress(version), expected, "{version}");
        }
    }
}
