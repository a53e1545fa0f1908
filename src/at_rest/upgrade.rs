//! What kubeadm must know so that its next upgrade, which makes the manifests anew, keeps the encryption.

use crate::domain::{Component, FlagName, StaticPod};
use crate::kubeadm::{ApiServerExtras, HostPathMount, is_own_volume};
use crate::manifest::command_line;

const FLAGS: [&str; 2] = [
    "encryption-provider-config",
    "encryption-provider-config-automatic-reload",
];

/// The flags of encryption at rest that a pod of the API server has, and the volume that their file comes from; `None` when it has
/// none, or is not understood.
#[must_use]
pub fn extras(pod: &StaticPod) -> Option<ApiServerExtras> {
    let line = command_line(Component::ApiServer, pod).ok()?;
    let mut args = Vec::new();
    for name in FLAGS {
        let flag: FlagName = name.parse().ok()?;
        if let Some(value) = line.scalar(&flag) {
            args.push((name.to_owned(), value.to_owned()));
        }
    }
    let file = args.iter().find(|(name, _)| name == FLAGS[0])?.1.parse().ok()?;
    let container = pod.containers.get(line.container())?;
    let mounts = container.mounts.iter().filter(|mount| {
        let path: &crate::domain::NodePath = &file;
        path.is_within(&mount.path)
    });
    let mount = mounts.max_by_key(|mount| mount.path.as_str().len())?;
    let volume = pod.host_paths.iter().find(|volume| volume.name == mount.volume)?;
    let volumes = if is_own_volume(&volume.name) {
        Vec::new()
    } else {
        vec![HostPathMount {
            name: volume.name.clone(),
            host_path: volume.path.to_string(),
            mount_path: mount.path.to_string(),
            read_only: mount.read_only,
            path_type: volume.kind.clone(),
        }]
    };
    Some(ApiServerExtras { args, volumes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Edit, edit, parse};
    use crate::plan::fixtures::manifest_text;

    fn with(file: &str, volume: Option<&str>) -> StaticPod {
        let text = manifest_text(Component::ApiServer);
        let mut edits = vec![Edit::SetFlag {
            name: FLAGS[0].parse().unwrap(),
            value: file.to_owned(),
        }];
        if let Some(path) = volume {
            edits.push(Edit::AddVolume {
                name: "enc".to_owned(),
                path: path.parse().unwrap(),
                kind: "Directory".to_owned(),
            });
            edits.push(Edit::AddMount {
                volume: "enc".to_owned(),
                path: path.parse().unwrap(),
                read_only: true,
            });
        }
        parse(edit(text, Component::ApiServer, &edits).unwrap().as_bytes()).unwrap()
    }

    #[test]
    fn the_flags_and_the_volume_of_their_file_are_what_kubeadm_must_know() {
        let found = extras(&with("/etc/kubernetes/enc/enc.yaml", Some("/etc/kubernetes/enc"))).unwrap();
        assert_eq!(
            found.args,
            [(FLAGS[0].to_owned(), "/etc/kubernetes/enc/enc.yaml".to_owned())]
        );
        let [volume] = found.volumes.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(
            (
                volume.name.as_str(),
                volume.host_path.as_str(),
                volume.mount_path.as_str()
            ),
            ("enc", "/etc/kubernetes/enc", "/etc/kubernetes/enc")
        );
        assert!(volume.read_only && volume.path_type == "Directory");
    }

    #[test]
    fn a_volume_of_kubeadms_own_need_not_be_told_and_without_the_flag_there_is_nothing() {
        let found = extras(&with("/etc/kubernetes/pki/enc.yaml", None)).unwrap();
        assert_eq!(found.volumes, []);
        let plain = parse(manifest_text(Component::ApiServer).as_bytes()).unwrap();
        assert_eq!(extras(&plain), None);
    }
}
