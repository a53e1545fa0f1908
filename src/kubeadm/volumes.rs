//! `apiServer.extraVolumes`: of two with one name, kubeadm takes the last, for the volume and for its mount (its
//! phases/controlplane/volumes.go).

use serde_yaml::{Mapping, Value};

use super::document::{name, named_items, placed};
use super::{HostPathMount, KubeadmConfigError};

const FIELD: &str = "apiServer.extraVolumes";

/// The field with the wanted volumes, and in words what it lacked.
pub(super) fn edited(
    present: Option<&Value>,
    wanted: &[HostPathMount],
) -> Result<(Value, Vec<String>), KubeadmConfigError> {
    let mut items = named_items(present, FIELD)?;
    let mut lacked = Vec::new();
    for volume in wanted {
        let there: Vec<Option<HostPathMount>> = items
            .iter()
            .filter(|item| name(item) == Some(&volume.name))
            .map(of_value)
            .collect();
        if there == [Some(volume.clone())] {
            continue;
        }
        let otherwise = if there.is_empty() {
            ""
        } else {
            " (it has another of that name)"
        };
        lacked.push(format!(
            "the volume {}, {} mounted at {}{otherwise}",
            volume.name, volume.host_path, volume.mount_path
        ));
        items = placed(items, |item| name(item) == Some(&volume.name), to_value(volume));
    }
    for volume in wanted {
        not_taken(&items, volume)?;
    }
    Ok((Value::Sequence(items), lacked))
}

/// The path without slashes at its end.
pub(super) fn canonical(path: &str) -> &str {
    path.trim_end_matches('/')
}

fn not_taken(items: &[Value], wanted: &HostPathMount) -> Result<(), KubeadmConfigError> {
    let path = |item: &Value| item.get("mountPath").and_then(Value::as_str).map(str::to_owned);
    let same =
        |item: &Value| path(item).is_some_and(|path| canonical(&path) == canonical(&wanted.mount_path));
    let mut others = items.iter().filter_map(|item| Some((name(item)?, item)));
    let taken = others.find(|(name, item)| *name != wanted.name && same(item));
    taken.map_or(Ok(()), |(volume, _)| {
        Err(KubeadmConfigError::MountPathTaken {
            volume: volume.to_owned(),
            wanted: wanted.name.clone(),
            mount_path: wanted.mount_path.clone(),
        })
    })
}

/// The volume as kubeadm reads it; none when it could not.
fn of_value(item: &Value) -> Option<HostPathMount> {
    let text = |key| match item.get(key) {
        None | Some(Value::Null) => Some(String::new()),
        Some(value) => value.as_str().map(str::to_owned),
    };
    let read_only = match item.get("readOnly") {
        None | Some(Value::Null) => false,
        Some(value) => value.as_bool()?,
    };
    Some(HostPathMount {
        name: text("name")?,
        host_path: text("hostPath")?,
        mount_path: text("mountPath")?,
        read_only,
        path_type: text("pathType")?,
    })
}

/// The volume as kubeadm writes it: keys sorted, and without what is empty.
fn to_value(volume: &HostPathMount) -> Value {
    let mut item = Mapping::new();
    item.insert("hostPath".into(), volume.host_path.as_str().into());
    item.insert("mountPath".into(), volume.mount_path.as_str().into());
    item.insert("name".into(), volume.name.as_str().into());
    if !volume.path_type.is_empty() {
        item.insert("pathType".into(), volume.path_type.as_str().into());
    }
    if volume.read_only {
        item.insert("readOnly".into(), true.into());
    }
    Value::Mapping(item)
}
