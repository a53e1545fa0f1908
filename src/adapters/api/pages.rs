//! Lists, page by page.

use serde::Deserialize;

use super::Api;
use super::discovery::json_as;
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

/// Every object of a list; none when the server answers 404.
pub(super) async fn items<T: for<'de> Deserialize<'de>>(
    api: &Api,
    path: &str,
    page: usize,
    accept: &'static str,
) -> Result<Option<Vec<T>>, Reason> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let (mut found, mut more) = (Vec::new(), String::new());
    loop {
        let asked = format!("{path}{separator}limit={page}{more}");
        let Some(list) = json_as::<List<T>>(api, &asked, accept).await? else {
            return Ok(None);
        };
        found.extend(list.items);
        if list.metadata.more.is_empty() {
            return Ok(Some(found));
        }
        if found.len() > MOST {
            return Err(api.told(path, "the cluster has more of them than can be asked for"));
        }
        more = format!("&continue={}", list.metadata.more);
    }
}

/// Go writes an empty list as null.
fn or_none<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}
