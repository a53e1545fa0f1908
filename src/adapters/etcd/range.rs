//! All keys of some spans at one revision, page by page, each page bounded by its bytes.

use std::collections::VecDeque;
use std::fmt;

use prost::bytes::Bytes;

use super::client::{Etcd, MAX_MESSAGE};
use super::error::{EtcdError, is_overflow};
use super::messages::{KeyValue, RangeRequest, RangeResponse};
use crate::census::Span;

/// What a page should come to, in bytes.
const PAGE_BYTES: usize = 1 << 20;

/// A page of several keys that is larger is refused, and asked for again with fewer; a single key may take [`MAX_MESSAGE`].
const PAGE_LIMIT_BYTES: usize = 2 << 20;

const FIRST_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// A key with its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// The value: it may be a secret.
    pub value: Bytes,
    /// The revision that wrote it.
    pub mod_revision: i64,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &String::from_utf8_lossy(&self.key))
            .field("bytes", &self.value.len())
            .field("mod_revision", &self.mod_revision)
            .finish()
    }
}

impl From<KeyValue> for Entry {
    fn from(pair: KeyValue) -> Self {
        Self {
            key: pair.key,
            value: pair.value,
            mod_revision: pair.mod_revision,
        }
    }
}

/// Some entries in the order of their keys.
#[derive(Debug)]
pub struct Page {
    /// The revision that all pages of the scan are read at.
    pub revision: i64,
    /// The entries; drop them soon.
    pub entries: Vec<Entry>,
}

/// A scan of spans at one revision.
#[derive(Debug, Clone)]
pub struct Scan {
    /// What is still to be read; the first begins where the next page does.
    spans: VecDeque<Span>,
    /// 0 until the first page has told.
    revision: i64,
    /// How many keys the next page asks for.
    limit: usize,
}

impl Scan {
    /// Reads all of these spans, which are disjoint and in order, at the newest revision.
    #[must_use]
    pub fn new(spans: &[Span]) -> Self {
        Self::after(spans, None, 0)
    }

    /// Reads what lies behind the cursor, at the revision (0: the newest).
    #[must_use]
    pub fn after(spans: &[Span], cursor: Option<&[u8]>, revision: i64) -> Self {
        let from = cursor.map(behind).unwrap_or_default();
        let spans = spans
            .iter()
            .filter(|span| from < span.end)
            .map(|span| Span {
                start: span.start.clone().max(from.clone()),
                end: span.end.clone(),
            })
            .collect();
        Self {
            spans,
            revision,
            limit: FIRST_LIMIT,
        }
    }

    /// The next page; `None` after the last. It may be empty.
    ///
    /// # Errors
    /// [`EtcdError::Compacted`] when the revision went away meanwhile: start over with a new scan. Other errors can be tried again,
    /// with this scan, on another connection.
    pub async fn next(&mut self, etcd: &Etcd) -> Result<Option<Page>, EtcdError> {
        loop {
            let Some(span) = self.spans.front() else {
                return Ok(None);
            };
            let max = if self.limit == 1 {
                MAX_MESSAGE
            } else {
                PAGE_LIMIT_BYTES
            };
            let request = RangeRequest {
                key: span.start.clone(),
                range_end: span.end.clone(),
                limit: i64::try_from(self.limit).unwrap_or(1),
                revision: self.revision,
                keys_only: false,
            };
            match etcd.range(request, max).await? {
                Ok((header, answer)) => {
                    if self.revision == 0 {
                        self.revision = header.revision;
                    }
                    return self.take(etcd, answer).map(Some);
                }
                Err(status) if is_overflow(&status) && self.limit > 1 => self.limit /= 2,
                Err(status) if is_overflow(&status) => {
                    return Err(EtcdError::TooLarge {
                        endpoint: etcd.endpoint().to_owned(),
                        after: String::from_utf8_lossy(&span.start).into_owned(),
                    });
                }
                Err(status) => return Err(etcd.error(&status, self.revision)),
            }
        }
    }

    fn take(&mut self, etcd: &Etcd, answer: RangeResponse) -> Result<Page, EtcdError> {
        let Some(span) = self.spans.front_mut() else {
            return Err(etcd.nonsense("a page that nobody asked for"));
        };
        let mut from = span.start.clone();
        for pair in &answer.kvs {
            // A page that repeats or leaves the span would make the scan miss values, or never end.
            if pair.key.as_ref() < from.as_slice() || pair.key.as_ref() >= span.end.as_slice() {
                return Err(etcd.nonsense("a page with keys out of order"));
            }
            from = behind(&pair.key);
        }
        if answer.more && answer.kvs.is_empty() {
            return Err(etcd.nonsense("an empty page with more behind it"));
        }
        if answer.more {
            span.start = from;
        } else {
            self.spans.pop_front();
        }
        self.adapt(&answer.kvs);
        Ok(Page {
            revision: self.revision,
            entries: answer.kvs.into_iter().map(Entry::from).collect(),
        })
    }

    /// As many keys for the next page as would have filled this one, and at most twice as many as now.
    fn adapt(&mut self, pairs: &[KeyValue]) {
        let bytes: usize = pairs.iter().map(|pair| pair.key.len() + pair.value.len()).sum();
        let Some(each) = bytes.checked_div(pairs.len()) else {
            return;
        };
        self.limit = (PAGE_BYTES / each.max(1)).clamp(1, MAX_LIMIT.min(self.limit * 2));
    }
}

/// The first key behind this one.
fn behind(key: impl AsRef<[u8]>) -> Vec<u8> {
    let mut key = key.as_ref().to_vec();
    key.push(0);
    key
}
