//! The text as a document of a known version, and its parts.

use serde_yaml::{Mapping, Value};

use super::KubeadmConfigError;
use crate::manifest::{document_of, text_of};

/// The versions of kubeadm's API whose `apiServer` is known (its v1beta3/types.go and v1beta4/types.go).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// `extraArgs` is a map.
    V1Beta3,
    /// `extraArgs` is a list of name and value.
    V1Beta4,
}

/// The one document of the text.
pub(super) fn read(text: &str) -> Result<(Version, Mapping), KubeadmConfigError> {
    let document = document_of(text_of(text.as_bytes())?)?;
    let Value::Mapping(document) = document.value else {
        return Err(KubeadmConfigError::NotAMapping);
    };
    let word = |key| document.get(key).and_then(Value::as_str);
    let version = match (word("apiVersion"), word("kind")) {
        (Some("kubeadm.k8s.io/v1beta3"), Some("ClusterConfiguration")) => Version::V1Beta3,
        (Some("kubeadm.k8s.io/v1beta4"), Some("ClusterConfiguration")) => Version::V1Beta4,
        (api_version, kind) => {
            return Err(KubeadmConfigError::OtherKind {
                api_version: api_version.unwrap_or("none").to_owned(),
                kind: kind.unwrap_or("none").to_owned(),
            });
        }
    };
    Ok((version, document))
}

/// A field that is a mapping; an empty one when it is not there or null, which to kubeadm is the same.
pub(super) fn mapping(value: Option<&Value>, field: &str) -> Result<Mapping, KubeadmConfigError> {
    match value {
        None | Some(Value::Null) => Ok(Mapping::new()),
        Some(Value::Mapping(mapping)) => Ok(mapping.clone()),
        Some(_) => Err(KubeadmConfigError::Shape {
            field: field.to_owned(),
            expected: "a mapping",
        }),
    }
}

/// A field that is a list of things with a name; an empty one as in [`mapping`].
pub(super) fn named_items(value: Option<&Value>, field: &str) -> Result<Vec<Value>, KubeadmConfigError> {
    let shape = |field: String, expected| KubeadmConfigError::Shape { field, expected };
    let items = match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Sequence(items)) => items.clone(),
        Some(_) => return Err(shape(field.to_owned(), "a list")),
    };
    match items.iter().position(|item| name(item).is_none()) {
        Some(index) => Err(shape(
            format!("{field}[{index}]"),
            "a mapping with a name that is text",
        )),
        None => Ok(items),
    }
}

/// The name of an item.
pub(super) fn name(item: &Value) -> Option<&str> {
    item.as_mapping()?.get("name")?.as_str()
}

/// The items with the new one at the place of the first that it stands for, or at the end; the others that it stands for are gone.
pub(super) fn placed(items: Vec<Value>, stands_for: impl Fn(&Value) -> bool, new: Value) -> Vec<Value> {
    let mut new = Some(new);
    let mut after = Vec::with_capacity(items.len() + 1);
    for item in items {
        if stands_for(&item) {
            after.extend(new.take());
        } else {
            after.push(item);
        }
    }
    after.extend(new);
    after
}

/// Sets a key. A new one stands before the first that sorts after it: kubeadm writes its keys sorted, and so nothing moves when it
/// writes them again.
pub(super) fn put(mapping: &mut Mapping, key: &str, value: Value) {
    if let Some(present) = mapping.get_mut(key) {
        *present = value;
        return;
    }
    let mut new = Some((Value::from(key), value));
    for (other, value) in std::mem::take(mapping) {
        if other.as_str().is_some_and(|other| other > key)
            && let Some((key, value)) = new.take()
        {
            mapping.insert(key, value);
        }
        mapping.insert(other, value);
    }
    mapping.extend(new);
}
