//! A census, or the next stale objects, read from etcd.

use super::client::Etcd;
use super::error::EtcdError;
use super::range::{Entry, Scan};
use crate::census::{Census, Chunk, Held, MAX_REQUEST_BYTES, Paths, Span};

/// So many pages are looked through for one chunk, so that a call ends even where nothing is stale.
const CHUNK_PAGES: usize = 64;

/// Counts all values of the spans at one revision. `classify` is given each key and value, and alone looks at them; `progress` is told
/// after each page. Between pages other tasks run.
///
/// # Errors
/// [`EtcdError::Compacted`] when it took longer than etcd keeps a revision: take it again. Nothing follows from a part of a census.
pub async fn take_census(
    etcd: &Etcd,
    paths: &Paths,
    spans: &[Span],
    mut classify: impl FnMut(&[u8], &[u8]) -> Held,
    progress: impl FnMut(&Census),
) -> Result<Census, EtcdError> {
    count_entries(
        etcd,
        paths,
        spans,
        MAX_REQUEST_BYTES,
        |entry| classify(&entry.key, &entry.value),
        progress,
    )
    .await
}

/// The same, where `classify` wants to know the revision, too, and etcd takes requests of `max_request_bytes`.
///
/// # Errors
/// As [`take_census`].
pub async fn count_entries(
    etcd: &Etcd,
    paths: &Paths,
    spans: &[Span],
    max_request_bytes: u64,
    mut classify: impl FnMut(&Entry) -> Held,
    mut progress: impl FnMut(&Census),
) -> Result<Census, EtcdError> {
    let mut scan = Scan::new(spans);
    let mut census: Option<Census> = None;
    while let Some(page) = scan.next(etcd).await? {
        let counted = census.get_or_insert_with(|| Census::at(page.revision).with_limit(max_request_bytes));
        for entry in page.entries {
            let held = classify(&entry);
            counted.add(paths, &entry.key, size(&entry.value), entry.mod_revision, held);
        }
        progress(counted);
        tokio::task::yield_now().await;
    }
    let mut census = match census {
        Some(census) => census,
        None => Census::at(etcd.revision().await?),
    };
    census.complete = true;
    Ok(census)
}

/// The next stale objects behind a cursor: at most `room`, fewer where few are stale. The chunk's own cursor says where the next one
/// goes on. A chunk is read at one revision; the next one may be read at a newer one, since the census has the last word.
///
/// # Errors
/// When etcd does not answer or refuses; the cursor stays good.
pub async fn stale_chunk(
    etcd: &Etcd,
    paths: &Paths,
    spans: &[Span],
    cursor: Option<&[u8]>,
    room: usize,
    mut is_stale: impl FnMut(&[u8], &[u8]) -> bool,
) -> Result<Chunk, EtcdError> {
    let mut scan = Scan::after(spans, cursor, 0);
    let mut chunk: Option<Chunk> = None;
    let mut pages = 0;
    while pages < CHUNK_PAGES {
        let Some(page) = scan.next(etcd).await? else {
            let mut chunk = chunk.unwrap_or_else(|| Chunk::at(0, room));
            chunk.cursor = None;
            return Ok(chunk);
        };
        let chunk = chunk.get_or_insert_with(|| Chunk::at(page.revision, room));
        // An empty page moves no cursor, so it must not end the call.
        pages += usize::from(!page.entries.is_empty());
        for entry in page.entries {
            let stale = is_stale(&entry.key, &entry.value);
            chunk.add(paths, &entry.key, size(&entry.value), entry.mod_revision, stale);
            if chunk.is_full() {
                return Ok(std::mem::replace(chunk, Chunk::at(0, room)));
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(chunk.unwrap_or_else(|| Chunk::at(0, room)))
}

/// Tells `see` each value of the spans at a revision. Where etcd gives that revision up meanwhile, the rest is read at the newest: a value
/// that is there all the time is seen in any case. `progress` is told after each page.
///
/// # Errors
/// When etcd does not answer or refuses.
pub async fn look_over(
    etcd: &Etcd,
    spans: &[Span],
    revision: i64,
    mut see: impl FnMut(&Entry),
    mut progress: impl FnMut(),
) -> Result<(), EtcdError> {
    let mut scan = Scan::after(spans, None, revision);
    let mut cursor: Option<Vec<u8>> = None;
    loop {
        let page = match scan.next(etcd).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(()),
            Err(error) if error.is_compacted() => {
                scan = Scan::after(spans, cursor.as_deref(), 0);
                continue;
            }
            Err(error) => return Err(error),
        };
        page.entries.iter().for_each(&mut see);
        if let Some(last) = page.entries.last() {
            cursor = Some(last.key.to_vec());
        }
        progress();
        tokio::task::yield_now().await;
    }
}

fn size(value: &[u8]) -> u64 {
    u64::try_from(value.len()).unwrap_or(u64::MAX)
}
