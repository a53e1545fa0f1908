//! Lists, page by page.

use serde::Deserialize;

use super::discovery::read;
use super::{Api, CallError};
use crate::domain::Reason;

/// The usual form of objects.
pub(super) const JSON: &str = "application/json";
/// Objects without all but their metadata (kubernetes.io, API Concepts, "Metadata-only fetches").
pub(super) const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// More objects of one kind than Kubernetes supports in one cluster.
const MOST: usize = 200_000;

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct List<T> {
    metadata: ListMeta,
    #[serde(default = "Vec::new", deserialize_with = "or_none")]
    items: Vec<T>,
}

#[derive(Deserialize)]
struct ListMeta {
    #[serde(default, rename = "continue")]
    more: String,
}

/// A page may have so many bytes; a list whose objects are larger is asked for in smaller pages.
const MAX_BYTES: usize = 8 << 20;
/// One object is never larger than etcd takes, some 1.5 MB, and its JSON not much more.
const PAGES: usize = 10_000;

/// Every object of a list; none when the server answers 404.
pub(super) async fn items<T: for<'de> Deserialize<'de>>(
    api: &Api,
    path: &str,
    page: usize,
    accept: &'static str,
) -> Result<Option<Vec<T>>, Reason> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let (mut found, mut more, mut page) = (Vec::new(), String::new(), page);
    for _ in 0..PAGES {
        let asked = format!("{path}{separator}limit={page}{more}");
        let answer = match api.get(&asked, accept, MAX_BYTES).await {
            Err(CallError::TooLong(_)) if page > 1 => {
                page = page.div_ceil(4);
                continue;
            }
            answer => answer.map_err(|error| api.told(path, &error.to_string()))?,
        };
        let Some(list) = read::<List<T>>(api, path, &answer)? else {
            return Ok(None);
        };
        found.extend(list.items);
        if list.metadata.more.is_empty() {
            return Ok(Some(found));
        }
        if found.len() > MOST {
            break;
        }
        more = format!("&continue={}", list.metadata.more);
    }
    Err(api.told(path, "the cluster has more of them than can be asked for"))
}

/// Go writes an empty list as null.
fn or_none<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}
