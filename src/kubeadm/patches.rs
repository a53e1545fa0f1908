//! What a manifest has beyond what kubeadm makes, as patches for `kubeadm upgrade --patches` (kubernetes.io, Customizing components with the
//! kubeadm API, "Customizing with patches").
//!
//! Strategic and merge patches replace the whole command of a container; only a JSON patch appends to it.

use serde_json::{Value as Json, json};
use serde_yaml::{Mapping, Value};

use super::KubeadmConfigError;
use super::args::values;
use super::document::{self, Version, mapping, name, named_items};
use crate::domain::{Component, HostPathVolume, Mount, StaticPod};
use crate::manifest::command_line;

/// A file for the folder of patches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The file's name, by which kubeadm knows what it is for.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// The patches of a node, and what they cannot say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patches {
    /// One for each component that has more than kubeadm makes.
    pub files: Vec<Patch>,
    /// Where `kubeadm-config` says otherwise than the node, or a patch would not do.
    pub remarks: Vec<String>,
}

type OwnFlag = (&'static str, Option<&'static str>);

/// The flags that kubeadm writes itself, in Kubernetes 1.34 to 1.36 (cmd/kubeadm/app/phases/controlplane/manifests.go and phases/etcd/local.go). Where it is
/// the same on every node, with the value.
const OWN_FLAGS: [(Component, &[OwnFlag]); 4] = [
    (
        Component::ApiServer,
        &[
            ("advertise-address", None),
            ("allow-privileged", Some("true")),
            ("authorization-mode", Some("Node,RBAC")),
            ("client-ca-file", None),
            ("enable-admission-plugins", Some("NodeRestriction")),
            ("enable-bootstrap-token-auth", Some("true")),
            ("etcd-cafile", None),
            ("etcd-certfile", None),
            ("etcd-keyfile", None),
            ("etcd-servers", None),
            ("kubelet-client-certificate", None),
            ("kubelet-client-key", None),
            (
                "kubelet-preferred-address-types",
                Some("InternalIP,ExternalIP,Hostname"),
            ),
            ("proxy-client-cert-file", None),
            ("proxy-client-key-file", None),
            ("requestheader-allowed-names", Some("front-proxy-client")),
            ("requestheader-client-ca-file", None),
            ("requestheader-extra-headers-prefix", Some("X-Remote-Extra-")),
            ("requestheader-group-headers", Some("X-Remote-Group")),
            ("requestheader-username-headers", Some("X-Remote-User")),
            ("secure-port", None),
            ("service-account-issuer", None),
            ("service-account-key-file", None),
            ("service-account-signing-key-file", None),
            ("service-cluster-ip-range", None),
            ("tls-cert-file", None),
            ("tls-private-key-file", None),
        ],
    ),
    (
        Component::ControllerManager,
        &[
            ("allocate-node-cidrs", None),
            ("authentication-kubeconfig", None),
            ("authorization-kubeconfig", None),
            ("bind-address", Some("127.0.0.1")),
            ("client-ca-file", None),
            ("cluster-cidr", None),
            ("cluster-name", None),
            ("cluster-signing-cert-file", None),
            ("cluster-signing-key-file", None),
            ("controllers", Some("*,bootstrapsigner,tokencleaner")),
            ("kubeconfig", None),
            ("leader-elect", Some("true")),
            ("node-cidr-mask-size", None),
            ("requestheader-client-ca-file", None),
            ("root-ca-file", None),
            ("service-account-private-key-file", None),
            ("service-cluster-ip-range", None),
            ("use-service-account-credentials", Some("true")),
        ],
    ),
    (
        Component::Scheduler,
        &[
            ("authentication-kubeconfig", None),
            ("authorization-kubeconfig", None),
            ("bind-address", Some("127.0.0.1")),
            ("kubeconfig", None),
            ("leader-elect", Some("true")),
        ],
    ),
    (
        Component::Etcd,
        &[
            ("advertise-client-urls", None),
            ("cert-file", None),
            ("client-cert-auth", Some("true")),
            ("data-dir", None),
            ("experimental-initial-corrupt-check", None),
            ("experimental-watch-progress-notify-interval", None),
            ("feature-gates", None),
            ("initial-advertise-peer-urls", None),
            ("initial-cluster", None),
            ("initial-cluster-state", None),
            ("key-file", None),
            ("listen-client-urls", None),
            ("listen-metrics-urls", None),
            ("listen-peer-urls", None),
            ("name", None),
            ("peer-cert-file", None),
            ("peer-client-cert-auth", Some("true")),
            ("peer-key-file", None),
            ("peer-trusted-ca-file", None),
            ("snapshot-count", None),
            ("trusted-ca-file", None),
            ("watch-progress-notify-interval", None),
        ],
    ),
];

/// The volumes that kubeadm makes itself (cmd/kubeadm/app/phases/controlplane/volumes.go, phases/etcd/local.go).
const OWN_VOLUMES: [&str; 10] = [
    "k8s-certs",
    "ca-certs",
    "etc-pki",
    "etc-ca-certificates",
    "usr-local-share-ca-certificates",
    "usr-share-ca-certificates",
    "flexvolume-dir",
    "kubeconfig",
    "etcd-data",
    "etcd-certs",
];

/// Where a component stands in `ClusterConfiguration`.
const fn field(component: Component) -> &'static [&'static str] {
    match component {
        Component::ApiServer => &["apiServer"],
        Component::ControllerManager => &["controllerManager"],
        Component::Scheduler => &["scheduler"],
        Component::Etcd => &["etcd", "local"],
    }
}

/// What `ClusterConfiguration` says of a component.
struct Section {
    version: Version,
    fields: Mapping,
}

impl Section {
    fn of(component: Component, version: Version, document: &Mapping) -> Result<Self, KubeadmConfigError> {
        let mut fields = document.clone();
        for key in field(component) {
            fields = mapping(fields.get(*key), key)?;
        }
        Ok(Self { version, fields })
    }

    fn values(&self, flag: &str) -> Result<Vec<Option<String>>, KubeadmConfigError> {
        values(self.version, self.fields.get("extraArgs"), flag)
    }

    fn flags(&self) -> Vec<&str> {
        match self.fields.get("extraArgs") {
            Some(Value::Mapping(map)) => map.keys().filter_map(Value::as_str).collect(),
            Some(Value::Sequence(items)) => items.iter().filter_map(name).collect(),
            _ => Vec::new(),
        }
    }
}

/// The patches of these pods. Without the text of `ClusterConfiguration` all that is not kubeadm's own is in them.
///
/// # Errors
/// When the text is not one `ClusterConfiguration` of a version that is known.
pub fn patches(
    pods: &[(Component, &StaticPod)],
    cluster_configuration: Option<&str>,
) -> Result<Patches, KubeadmConfigError> {
    let document = cluster_configuration.map(document::read).transpose()?;
    let mut found = Patches::default();
    for (component, pod) in pods {
        let section = match &document {
            Some((version, document)) => Some(Section::of(*component, *version, document)?),
            None => None,
        };
        let operations = of_pod(*component, pod, section.as_ref(), &mut found.remarks)?;
        if !operations.is_empty() {
            found.files.push(Patch {
                name: format!("{component}0+json.json"),
                text: format!("{:#}\n", Json::from(operations)),
            });
        }
    }
    Ok(found)
}

fn of_pod(
    component: Component,
    pod: &StaticPod,
    section: Option<&Section>,
    remarks: &mut Vec<String>,
) -> Result<Vec<Json>, KubeadmConfigError> {
    let mut none = |why: &str| {
        remarks.push(format!("no patch is made for {component}: {why}"));
        Ok(Vec::new())
    };
    let line = match command_line(component, pod) {
        Ok(line) => line,
        Err(why) => return none(&why.to_string()),
    };
    let index = line.container();
    let Some(container) = pod
        .containers
        .get(index)
        .filter(|container| container.args.is_empty())
    else {
        return none("it has flags in args, and kubeadm makes it with none there");
    };
    let mut operations = Vec::new();
    for (flag, value) in line.flags() {
        let flag = flag.as_str().trim_start_matches('-');
        let there = section.map_or_else(|| Ok(Vec::new()), |section| section.values(flag))?;
        match fate(component, flag, value, there) {
            Fate::Made => {}
            Fate::Patched => operations.push(json!({
                "op": "add", "path": format!("/spec/containers/{index}/command/-"), "value": format!("--{flag}={value}"),
            })),
            Fate::Told(remark) => remarks.push(remark),
        }
    }
    if let Some(section) = section {
        let has = |flag: &str| {
            line.flags()
                .any(|(name, _)| name.as_str().trim_start_matches('-') == flag)
        };
        let lacks = section
            .flags()
            .into_iter()
            .filter(|flag| !has(&flag.replace('_', "-")));
        remarks.extend(lacks.map(|flag| {
            format!("kubeadm-config gives {component} --{flag}, which this node does not run with")
        }));
    }
    operations.extend(of_volumes(pod, (index, &container.mounts), section)?);
    Ok(operations)
}

/// What becomes of a flag at the next upgrade.
enum Fate {
    /// kubeadm makes it as it is.
    Made,
    /// The patch appends it.
    Patched,
    /// kubeadm makes another.
    Told(String),
}

fn fate(component: Component, flag: &str, value: &str, there: Vec<Option<String>>) -> Fate {
    if there.iter().any(|one| one.as_deref() == Some(value)) {
        return Fate::Made;
    }
    if !there.is_empty() {
        let other: Vec<String> = there.into_iter().map(Option::unwrap_or_default).collect();
        return Fate::Told(format!(
            "kubeadm-config gives {component} --{flag}={}, and this node runs with --{flag}={value}: change it there, no patch is made",
            other.join(",")
        ));
    }
    match own_flag(component, flag) {
        None => Fate::Patched,
        Some(Some(usual)) if usual != value => Fate::Told(format!(
            "kubeadm writes --{flag} of {component} itself, and not as {value}: put it into {}.extraArgs of kubeadm-config, no patch is made",
            field(component).join(".")
        )),
        Some(_) => Fate::Made,
    }
}

fn of_volumes(
    pod: &StaticPod,
    (index, mounts): (usize, &[Mount]),
    section: Option<&Section>,
) -> Result<Vec<Json>, KubeadmConfigError> {
    let known = section.and_then(|section| section.fields.get("extraVolumes"));
    let known = named_items(known, "extraVolumes")?;
    let mut operations = Vec::new();
    for volume in pod.host_paths.iter().filter(|volume| !is_known(volume, &known)) {
        operations.push(json!({ "op": "add", "path": "/spec/volumes/-", "value": volume_json(volume) }));
        let mounts = mounts.iter().filter(|mount| mount.volume == volume.name);
        operations.extend(mounts.map(|mount| {
            json!({ "op": "add", "path": format!("/spec/containers/{index}/volumeMounts/-"), "value": mount_json(mount) })
        }));
    }
    Ok(operations)
}

fn own_flag(component: Component, flag: &str) -> Option<Option<&'static str>> {
    let (_, flags) = OWN_FLAGS.iter().find(|(own, _)| *own == component)?;
    let (_, usual) = flags.iter().find(|(name, _)| *name == flag)?;
    Some(*usual)
}

fn is_known(volume: &HostPathVolume, known: &[Value]) -> bool {
    OWN_VOLUMES.contains(&volume.name.as_str())
        || known.iter().any(|item| {
            name(item) == Some(&volume.name)
                && item.get("hostPath").and_then(Value::as_str) == Some(volume.path.as_str())
        })
}

fn volume_json(volume: &HostPathVolume) -> Json {
    let kind = (!volume.kind.is_empty()).then(|| ("type".to_owned(), volume.kind.as_str().into()));
    let path = ("path".to_owned(), volume.path.as_str().into());
    let host_path: serde_json::Map<String, Json> = std::iter::once(path).chain(kind).collect();
    json!({ "name": volume.name, "hostPath": host_path })
}

fn mount_json(mount: &Mount) -> Json {
    let named = [
        ("name", Json::from(mount.volume.as_str())),
        ("mountPath", mount.path.as_str().into()),
    ];
    let read_only = mount.read_only.then(|| ("readOnly", true.into()));
    let sub_path = mount.sub_path.as_deref().map(|path| ("subPath", path.into()));
    let fields = named.into_iter().chain(read_only).chain(sub_path);
    fields.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The patch that makes the kubelet's configuration of the cluster (the ConfigMap `kube-system/kubelet-config`) that of this node; none where they are
/// the same.
#[must_use]
pub fn kubelet_patch(of_cluster: &Json, of_node: &Json) -> Option<Patch> {
    let (cluster, node) = (of_cluster.as_object()?, of_node.as_object()?);
    let mut patch = serde_json::Map::new();
    for (key, value) in node {
        if cluster.get(key) != Some(value) {
            patch.insert(key.clone(), value.clone());
        }
    }
    for key in cluster.keys().filter(|key| !node.contains_key(*key)) {
        patch.insert(key.clone(), Json::Null);
    }
    (!patch.is_empty()).then(|| Patch {
        name: "kubeletconfiguration0+merge.json".to_owned(),
        text: format!("{:#}\n", Json::from(patch)),
    })
}

#[cfg(test)]
#[path = "patches_tests.rs"]
mod tests;
