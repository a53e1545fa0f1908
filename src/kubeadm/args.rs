//! `apiServer.extraArgs`: kubeadm puts its own flags beside them, but for those whose name stands here (its util/arguments.go).

use serde_yaml::{Mapping, Value};

use super::KubeadmConfigError;
use super::document::{Version, mapping, name, named_items, placed, put};

const FIELD: &str = "apiServer.extraArgs";

/// The field with the wanted flags, and in words what it lacked.
pub(super) fn edited(
    version: Version,
    present: Option<&Value>,
    wanted: &[(String, String)],
) -> Result<(Value, Vec<String>), KubeadmConfigError> {
    let mut lacked = Vec::new();
    let after = match version {
        Version::V1Beta3 => {
            let mut map = mapping(present, FIELD)?;
            for (flag, value) in wanted {
                if let Some(lack) = lack(flag, value, &values_in_map(&map, flag)) {
                    lacked.push(lack);
                    map = map_with(map, flag, value);
                }
            }
            Value::Mapping(map)
        }
        Version::V1Beta4 => {
            let mut items = named_items(present, FIELD)?;
            for (flag, value) in wanted {
                if let Some(lack) = lack(flag, value, &values_in_list(&items, flag)) {
                    lacked.push(lack);
                    items = list_with(items, flag, value);
                }
            }
            Value::Sequence(items)
        }
    };
    Ok((after, lacked))
}

/// The values that a flag has in the field of a component, each none where it is no text.
pub(super) fn values(
    version: Version,
    present: Option<&Value>,
    flag: &str,
) -> Result<Vec<Option<String>>, KubeadmConfigError> {
    let owned = |found: Vec<Option<&str>>| found.into_iter().map(|value| value.map(str::to_owned)).collect();
    Ok(match version {
        Version::V1Beta3 => owned(values_in_map(&mapping(present, "extraArgs")?, flag)),
        Version::V1Beta4 => owned(values_in_list(&named_items(present, "extraArgs")?, flag)),
    })
}

/// The name as the API server takes it: it reads `_` as `-`.
pub(super) fn canonical(name: &str) -> String {
    name.replace('_', "-")
}

/// In words what is lacking when the flag is there with these values. A value is none when it is no text.
fn lack(flag: &str, value: &str, there: &[Option<&str>]) -> Option<String> {
    if there == [Some(value)] {
        return None;
    }
    let told = |other: &Option<&str>| {
        other.map_or_else(
            || format!("--{flag} with a value that is no text"),
            |other| format!("--{flag}={other}"),
        )
    };
    let others: Vec<String> = there.iter().map(told).collect();
    Some(if others.is_empty() {
        format!("the flag --{flag}={value}")
    } else {
        format!("the flag --{flag}={value} (it has {})", others.join(" and "))
    })
}

fn is_flag(other: Option<&str>, flag: &str) -> bool {
    other.is_some_and(|other| canonical(other) == canonical(flag))
}

fn values_in_list<'v>(items: &'v [Value], flag: &str) -> Vec<Option<&'v str>> {
    let found = items.iter().filter(|item| is_flag(name(item), flag));
    found
        .map(|item| item.get("value").and_then(Value::as_str))
        .collect()
}

fn list_with(items: Vec<Value>, flag: &str, value: &str) -> Vec<Value> {
    let mut arg = Mapping::new();
    arg.insert("name".into(), flag.into());
    arg.insert("value".into(), value.into());
    placed(items, |item| is_flag(name(item), flag), Value::Mapping(arg))
}

fn values_in_map<'v>(map: &'v Mapping, flag: &str) -> Vec<Option<&'v str>> {
    let found = map.iter().filter(|(key, _)| is_flag(key.as_str(), flag));
    found.map(|(_, value)| value.as_str()).collect()
}

fn map_with(map: Mapping, flag: &str, value: &str) -> Mapping {
    let mut after = Mapping::new();
    for (key, other) in map {
        if !is_flag(key.as_str(), flag) {
            after.insert(key, other);
        } else if !after.contains_key(flag) {
            after.insert(flag.into(), value.into());
        }
    }
    if !after.contains_key(flag) {
        put(&mut after, flag, value.into());
    }
    after
}
