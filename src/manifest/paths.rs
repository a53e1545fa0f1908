//! Files that flags name, and where a container sees the node's files.

use super::CommandLine;
use crate::domain::{Component, Container, FlagName, NodePath, StaticPod};

/// Where a path of a container comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mounted {
    /// From this path of the node.
    From(NodePath),
    /// From no volume of the node: it lies in the container's own file system, which goes with it.
    NotMounted,
    /// It cannot be told: the volume is of another kind, or mounted by `subPath`.
    Unclear(String),
}

/// What must be there before an edit sets a flag that names a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The file or folder itself: the component does not start, or does not do its work, without it.
    Exists,
    /// Its folder, on the node and in the container: the component makes the file itself.
    FolderExists,
}

/// A path that a flag names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPath {
    /// The path, as the component sees it in its container.
    pub path: NodePath,
    /// What must be there.
    pub need: Need,
}

impl NamedPath {
    /// What must be there, as the component sees it: the file or folder itself, or the folder that it is made in.
    #[must_use]
    pub fn must_exist(&self) -> NodePath {
        let folder = (self.need == Need::FolderExists)
            .then(|| self.path.parent())
            .flatten();
        folder.unwrap_or_else(|| self.path.clone())
    }
}

/// The paths that the flags of a command line name.
#[must_use]
pub fn named_paths(component: Component, line: &CommandLine) -> Vec<(FlagName, NamedPath)> {
    let flags = line.flags();
    flags
        .flat_map(|(name, value)| {
            let named = paths_of_value(component, name, value);
            named.into_iter().map(|path| (name.clone(), path))
        })
        .collect()
}

/// The file or folder that a flag's value names, if it is a flag that names one.
///
/// A relative path, an empty value and `-` (standard output to `--audit-log-path`) name none. Of a value with several
/// paths (`--tls-sni-cert-key=cert,key`, a repeated `--service-account-key-file` is one each) see [`paths_of_value`].
#[must_use]
pub fn path_of_value(component: Component, name: &FlagName, value: &str) -> Option<NamedPath> {
    paths_of_value(component, name, value).into_iter().next()
}

/// All files and folders that a flag's value names.
#[must_use]
pub fn paths_of_value(component: Component, name: &FlagName, value: &str) -> Vec<NamedPath> {
    let Some(need) = need_of(component, name.as_str()) else {
        return Vec::new();
    };
    let paths = match name.as_str() {
        // CERT,KEY, and after a colon the names that it is for.
        "tls-sni-cert-key" => value.split(':').next().unwrap_or("").split(',').collect(),
        "log-outputs" => value.split(',').collect(),
        _ => vec![value],
    };
    paths
        .into_iter()
        .filter_map(|path| path.trim().parse().ok())
        .map(|path| NamedPath { path, need })
        .collect()
}

/// By the flag lists of Kubernetes 1.35 and etcd 3.6 (`--help` of each binary).
fn need_of(component: Component, flag: &str) -> Option<Need> {
    let table: &[(&str, Need)] = match component {
        Component::Etcd => &ETCD,
        Component::ApiServer | Component::ControllerManager | Component::Scheduler => &KUBERNETES,
    };
    let exact = table.iter().find(|(name, _)| *name == flag);
    match exact {
        Some((_, need)) => Some(*need),
        None => flag.ends_with("-file").then_some(Need::Exists),
    }
}

// All flags that end in `-file` name a file that must exist; these do besides.

const KUBERNETES: [(&str, Need); 24] = [
    ("allow-metric-labels-manifest", Need::Exists),
    // The log is made; its folder would be, too, but in the container.
    ("audit-log-path", Need::FolderExists),
    ("authentication-config", Need::Exists),
    ("authentication-kubeconfig", Need::Exists),
    ("authorization-config", Need::Exists),
    ("authorization-kubeconfig", Need::Exists),
    // A folder would be made when it is not there, but in the container, and go with it: so it must exist.
    ("cert-dir", Need::Exists),
    ("cloud-config", Need::Exists),
    ("config", Need::Exists),
    ("debug-socket-path", Need::FolderExists),
    ("encryption-provider-config", Need::Exists),
    ("etcd-cafile", Need::Exists),
    ("etcd-certfile", Need::Exists),
    ("etcd-keyfile", Need::Exists),
    ("flex-volume-plugin-dir", Need::Exists),
    ("kubeconfig", Need::Exists),
    ("kubelet-certificate-authority", Need::Exists),
    ("kubelet-client-certificate", Need::Exists),
    ("kubelet-client-key", Need::Exists),
    ("leader-migration-config", Need::Exists),
    ("pv-recycler-pod-template-filepath-hostpath", Need::Exists),
    ("pv-recycler-pod-template-filepath-nfs", Need::Exists),
    ("tls-sni-cert-key", Need::Exists),
    ("write-config-to", Need::FolderExists),
];

const ETCD: [(&str, Need); 6] = [
    ("data-dir", Need::Exists),
    ("discovery-cacert", Need::Exists),
    ("discovery-cert", Need::Exists),
    ("discovery-key", Need::Exists),
    ("log-outputs", Need::FolderExists),
    ("wal-dir", Need::Exists),
];

/// Where the container gets `path` from: the longest mount path that leads to it decides.
#[must_use]
pub fn mounted_from(pod: &StaticPod, container: &Container, path: &NodePath) -> Mounted {
    let mount = container
        .mounts
        .iter()
        .filter(|mount| path.is_within(&mount.path))
        .max_by_key(|m| m.path.as_str().len());
    let Some(mount) = mount else {
        return Mounted::NotMounted;
    };
    if mount.sub_path.is_some() {
        return Mounted::Unclear(format!("{path} is mounted by a subPath"));
    }
    let Some(volume) = pod.host_paths.iter().find(|volume| volume.name == mount.volume) else {
        return Mounted::Unclear(format!(
            "{path} comes from the volume {}, which is no folder of the node",
            mount.volume
        ));
    };
    let rest = path.as_str().strip_prefix(mount.path.as_str()).unwrap_or("");
    match format!("{}/{rest}", volume.path).parse() {
        Ok(source) => Mounted::From(source),
        Err(_) => Mounted::Unclear(format!("{path} does not lead to a path of the node")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(component: Component, flag: &str, value: &str) -> Vec<(String, Need)> {
        paths_of_value(component, &flag.parse().unwrap(), value)
            .into_iter()
            .map(|named| (named.path.to_string(), named.need))
            .collect()
    }

    #[test]
    fn flags_that_name_a_path_by_component() {
        use Component::{ApiServer, ControllerManager, Etcd, Scheduler};
        use Need::{Exists, FolderExists};
        let table = [
            (ApiServer, "tls-private-key-file", Some(Exists)),
            (ApiServer, "tls-cert-file", Some(Exists)),
            (ApiServer, "client-ca-file", Some(Exists)),
            (ApiServer, "oidc-ca-file", Some(Exists)),
            (ApiServer, "peer-ca-file", Some(Exists)),
            (ApiServer, "token-auth-file", Some(Exists)),
            (ApiServer, "proxy-client-cert-file", Some(Exists)),
            (ApiServer, "audit-policy-file", Some(Exists)),
            (ApiServer, "audit-webhook-config-file", Some(Exists)),
            (ApiServer, "admission-control-config-file", Some(Exists)),
            (ApiServer, "egress-selector-config-file", Some(Exists)),
            (ApiServer, "tracing-config-file", Some(Exists)),
            (ApiServer, "encryption-provider-config", Some(Exists)),
            (ApiServer, "authentication-config", Some(Exists)),
            (ApiServer, "authorization-config", Some(Exists)),
            (ApiServer, "kubelet-certificate-authority", Some(Exists)),
            (ApiServer, "kubelet-client-certificate", Some(Exists)),
            (ApiServer, "kubelet-client-key", Some(Exists)),
            (ApiServer, "etcd-cafile", Some(Exists)),
            (ApiServer, "etcd-certfile", Some(Exists)),
            (ApiServer, "etcd-keyfile", Some(Exists)),
            (ApiServer, "audit-log-path", Some(FolderExists)),
            (ApiServer, "debug-socket-path", Some(FolderExists)),
            (Scheduler, "write-config-to", Some(FolderExists)),
            (ApiServer, "cert-dir", Some(Exists)),
            (ControllerManager, "root-ca-file", Some(Exists)),
            (
                ControllerManager,
                "cluster-signing-kubelet-client-key-file",
                Some(Exists),
            ),
            (ControllerManager, "flex-volume-plugin-dir", Some(Exists)),
            (ControllerManager, "authorization-kubeconfig", Some(Exists)),
            (ControllerManager, "cloud-config", Some(Exists)),
            (Scheduler, "config", Some(Exists)),
            (Scheduler, "kubeconfig", Some(Exists)),
            (Etcd, "data-dir", Some(Exists)),
            (Etcd, "wal-dir", Some(Exists)),
            (Etcd, "trusted-ca-file", Some(Exists)),
            (Etcd, "peer-key-file", Some(Exists)),
            (Etcd, "peer-crl-file", Some(Exists)),
            // These look like paths, but are none.
            (ApiServer, "etcd-servers", None),
            (ApiServer, "etcd-prefix", None),
            (ApiServer, "service-account-issuer", None),
            (ApiServer, "service-account-jwks-uri", None),
            (ApiServer, "storage-media-type", None),
            (ApiServer, "runtime-config", None),
            (ApiServer, "encryption-provider-config-automatic-reload", None),
            (Scheduler, "authorization-always-allow-paths", None),
            (ControllerManager, "enable-hostpath-provisioner", None),
            (Etcd, "log-rotation-config-json", None),
            (ApiServer, "data-dir", None),
        ];
        for (component, flag, need) in table {
            let expected: Vec<_> = need.into_iter().map(|need| ("/a/b".to_owned(), need)).collect();
            assert_eq!(named(component, flag, "/a/b"), expected, "{component} --{flag}");
        }
    }

    #[test]
    fn no_path_in_a_relative_an_empty_or_a_dash_value() {
        for value in ["", "-", "a/b", "/a/../b"] {
            assert_eq!(
                named(Component::ApiServer, "audit-log-path", value),
                [],
                "{value:?}"
            );
        }
    }

    #[test]
    fn a_certificate_pair_names_both_files() {
        let both = ["/a.crt", "/a.key"].map(|path| (path.to_owned(), Need::Exists));
        for value in ["/a.crt,/a.key", "/a.crt,/a.key:*.example.com,example.com"] {
            assert_eq!(named(Component::ApiServer, "tls-sni-cert-key", value), both);
        }
    }

    fn pod(mounts: &str, volumes: &str) -> StaticPod {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec:\n  containers: [{{name: a, volumeMounts: [{mounts}]}}]\n  volumes: [{volumes}]\n"
        );
        crate::manifest::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_longest_mount_decides_where_a_path_comes_from() {
        let pod = pod(
            "{name: etc, mountPath: /etc/kubernetes/}, {name: pki, mountPath: /etc/kubernetes/pki}, {name: tmp, mountPath: /tmp}, {name: etc, mountPath: /s, subPath: a}, {name: etc, mountPath: /x, subPathExpr: a}",
            "{name: etc, hostPath: {path: /srv/k8s}}, {name: pki, hostPath: {path: /srv/pki/}}, {name: tmp, emptyDir: {}}",
        );
        let from = |path: &str| mounted_from(&pod, &pod.containers[0], &path.parse().unwrap());
        let node = |path: &str| Mounted::From(path.parse().unwrap());
        assert_eq!(from("/etc/kubernetes/a.conf"), node("/srv/k8s/a.conf"));
        assert_eq!(from("/etc/kubernetes/pki/ca.crt"), node("/srv/pki/ca.crt"));
        assert_eq!(from("/etc/kubernetes/pki"), node("/srv/pki"));
        assert_eq!(from("/etc/kubernetes/pki2"), node("/srv/k8s/pki2"));
        assert_eq!(from("/etc/kubernetes2"), Mounted::NotMounted);
        for unclear in ["/tmp/a", "/s/a", "/x/a"] {
            assert!(matches!(from(unclear), Mounted::Unclear(_)), "{unclear}");
        }
    }
}
