//! Where a process is, by its cgroup: on the host, in a pod of this node's kubelet, or within another node that runs in a container.
//!
//! The kubelet names a pod's cgroup `kubepods/[burstable|besteffort/]pod<UID>` (driver cgroupfs) or
//! `kubepods[-burstable|-besteffort]-pod<UID, - as _>.slice` (driver systemd); below it lies the container's own, by its id.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The cgroup that the node itself is in, by hierarchy: not the root when the node is a container or a machine of systemd-nspawn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Base(BTreeMap<String, String>);

/// Where a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In no pod.
    Host,
    /// In the pod with this UID.
    Pod(String),
    /// In a pod within a pod, or in what a container has made of its own: a node in a container (kind, systemd-nspawn).
    AnotherNode,
}

impl Base {
    /// From `/proc/1/cgroup`.
    pub(super) fn of_first_process(cgroup: &str) -> Self {
        Self(
            lines(cgroup)
                .map(|(hierarchy, path)| {
                    // systemd puts itself into `init.scope` below the cgroup that it manages.
                    let base = path.strip_suffix("/init.scope").unwrap_or(path);
                    (hierarchy.to_owned(), base.trim_end_matches('/').to_owned())
                })
                .collect(),
        )
    }
}

impl Place {
    /// From `/proc/PID/cgroup`, which has a line for each hierarchy. Not all of them need to show the pod.
    pub(super) fn of(cgroup: &str, base: &Base) -> Self {
        let mut place = Self::Host;
        for (hierarchy, path) in lines(cgroup) {
            let below = base
                .0
                .get(hierarchy)
                .and_then(|base| path.strip_prefix(base.as_str()))
                .filter(|below| below.starts_with('/'))
                .unwrap_or(path);
            place = match (place, Self::of_path(below)) {
                (Self::AnotherNode, _) | (_, Self::AnotherNode) => Self::AnotherNode,
                (Self::Pod(one), Self::Pod(other)) if one != other => Self::AnotherNode,
                (known, Self::Host) => known,
                (_, pod) => pod,
            };
        }
        place
    }

    fn of_path(path: &str) -> Self {
        let mut pod = None;
        let mut container = false;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            // crun may put the container's processes one level below its scope.
            if container && part != "container" {
                return Self::AnotherNode;
            }
            if part == "payload" || part.starts_with("systemd-nspawn@") {
                return Self::AnotherNode;
            }
            container = container || holds_container_id(part);
            match (pod_uid(part), &pod) {
                (Some(_), Some(_)) => return Self::AnotherNode,
                (Some(uid), None) if is_kubelets(path) => pod = Some(uid),
                (Some(_) | None, _) => {}
            }
        }
        pod.map_or(Self::Host, Self::Pod)
    }
}

/// Where the kubelet keeps the cgroup of a pod, by driver and class, below a hierarchy's root.
pub(super) fn folders_of_pod(uid: &str) -> Vec<String> {
    let escaped = uid.replace('-', "_");
    let mut folders = vec![
        format!("kubepods/pod{uid}"),
        format!("kubepods.slice/kubepods-pod{escaped}.slice"),
    ];
    for class in ["burstable", "besteffort"] {
        folders.push(format!("kubepods/{class}/pod{uid}"));
        folders.push(format!(
            "kubepods.slice/kubepods-{class}.slice/kubepods-{class}-pod{escaped}.slice"
        ));
    }
    folders
}

/// The cgroups of all pods, by driver and class, below a hierarchy's root.
pub(super) fn folders_of_pods(hierarchy: &Path) -> Vec<PathBuf> {
    let above = [
        "kubepods",
        "kubepods/burstable",
        "kubepods/besteffort",
        "kubepods.slice",
        "kubepods.slice/kubepods-burstable.slice",
        "kubepods.slice/kubepods-besteffort.slice",
    ];
    let entries = above
        .iter()
        .filter_map(|folder| std::fs::read_dir(hierarchy.join(folder)).ok());
    let paths = entries.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let is_pod = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(pod_uid).is_some()
    };
    paths.filter(is_pod).collect()
}

/// Only root can make a cgroup right below the node's own; below `user.slice` anybody can make one of any name.
fn is_kubelets(path: &str) -> bool {
    path.trim_start_matches('/').starts_with("kubepods")
}

/// Hierarchy (its controllers) and path of each line.
fn lines(cgroup: &str) -> impl Iterator<Item = (&str, &str)> {
    cgroup.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, hierarchy, path) = (parts.next()?, parts.next()?, parts.next()?);
        Some((hierarchy, path))
    })
}

fn pod_uid(part: &str) -> Option<String> {
    if let Some(slice) = part.strip_suffix(".slice") {
        let (_, uid) = slice
            .starts_with("kubepods")
            .then(|| slice.rsplit_once("-pod"))
            .flatten()?;
        return (!uid.is_empty()).then(|| uid.replace('_', "-"));
    }
    let uid = part.strip_prefix("pod")?;
    (!uid.is_empty() && uid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')).then(|| uid.to_owned())
}

/// Container runtimes name a container by 64 hexadecimal digits, with or without words around them.
fn holds_container_id(part: &str) -> bool {
    part.split(|c: char| !c.is_ascii_hexdigit())
        .any(|run| run.len() == 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f0c2d8a3f0c2d8a3f0c2d8a3f0c2d8a3f0c2d8a3f0c2d8a3f0c2d8a3f0c2d8a";
    const STATIC: &str = "0123456789abcdef0123456789abcdef";
    const API_MADE: &str = "7a9f0b0e-1b2c-4d3e-8f90-a1b2c3d4e5f6";

    fn place(cgroup: &str) -> Place {
        Place::of(cgroup, &Base::of_first_process("0::/init.scope\n"))
    }

    #[test]
    fn both_cgroup_drivers_and_all_classes_show_the_pod() {
        let escaped = API_MADE.replace('-', "_");
        for (path, uid) in [
            (format!("/kubepods/burstable/pod{STATIC}/{ID}"), STATIC),
            (format!("/kubepods/besteffort/pod{API_MADE}/{ID}"), API_MADE),
            (format!("/kubepods/pod{STATIC}/{ID}"), STATIC),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{escaped}.slice/cri-containerd-{ID}.scope"
                ),
                API_MADE,
            ),
            (
                format!("/kubepods.slice/kubepods-pod{STATIC}.slice/crio-{ID}.scope/container"),
                STATIC,
            ),
        ] {
            assert_eq!(
                place(&format!("0::{path}\n")),
                Place::Pod(uid.to_owned()),
                "{path}"
            );
        }
    }

    #[test]
    fn the_folders_of_a_pod_are_those_that_show_its_processes() {
        for folder in folders_of_pod(API_MADE) {
            assert_eq!(
                place(&format!("0::/{folder}/{ID}\n")),
                Place::Pod(API_MADE.to_owned()),
                "{folder}"
            );
        }
    }

    #[test]
    fn one_hierarchy_of_several_that_shows_the_pod_is_enough() {
        let cgroup = format!(
            "11:memory:/kubepods/burstable/pod{STATIC}/{ID}\n1:name=systemd:/kubepods/burstable/pod{STATIC}/{ID}\n0::/system.slice/containerd.service\n"
        );
        assert_eq!(place(&cgroup), Place::Pod(STATIC.to_owned()));
    }

    #[test]
    fn services_and_plain_containers_are_the_hosts() {
        for path in [
            "/".to_owned(),
            "/system.slice/kubelet.service".to_owned(),
            "/user.slice/user-0.slice/session-1.scope".to_owned(),
            "/podium/podcast".to_owned(),
            format!(
                "/user.slice/user-1000.slice/user@1000.service/kubepods.slice/kubepods-pod{STATIC}.slice/run-r1.service"
            ),
            format!("/system.slice/docker-{ID}.scope"),
        ] {
            assert_eq!(place(&format!("0::{path}\n")), Place::Host, "{path}");
        }
    }

    #[test]
    fn what_a_container_has_made_of_its_own_is_another_node() {
        for path in [
            format!("/system.slice/docker-{ID}.scope/kubelet.slice/kubelet.service"),
            format!("/docker/{ID}/kubepods/burstable/pod{STATIC}/{ID}"),
            format!("/kubepods/burstable/pod{API_MADE}/{ID}/kubepods/burstable/pod{STATIC}/{ID}"),
            format!("/kubepods/burstable/pod{API_MADE}/kubepods/pod{STATIC}"),
            format!("/machine.slice/systemd-nspawn@bed.service/payload/kubepods/pod{STATIC}/{ID}"),
        ] {
            assert_eq!(place(&format!("0::{path}\n")), Place::AnotherNode, "{path}");
        }
        let disagreeing = format!("2:cpu:/kubepods/pod{STATIC}/{ID}\n0::/kubepods/pod{API_MADE}/{ID}\n");
        assert_eq!(place(&disagreeing), Place::AnotherNode);
    }

    #[test]
    fn a_node_in_a_container_sees_its_own_pods_below_its_own_cgroup() {
        let base = Base::of_first_process(&format!("3:memory:/docker/{ID}\n0::/docker/{ID}/init.scope\n"));
        let own = format!(
            "3:memory:/docker/{ID}/kubepods/burstable/pod{STATIC}/{ID}\n0::/docker/{ID}/system.slice\n"
        );
        assert_eq!(Place::of(&own, &base), Place::Pod(STATIC.to_owned()));
        let kubelet = format!("0::/docker/{ID}/kubelet.slice/kubelet.service\n");
        assert_eq!(Place::of(&kubelet, &base), Place::Host);
    }
}
