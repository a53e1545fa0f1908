//! What a manifest has beyond what kubeadm makes, as patches for `kubeadm upgrade --patches` (kubernetes.io, Customizing components with the
//! kubeadm API, "Customizing with patches").
//!
//! Strategic and merge patches replace the whole command of a container; only a JSON patch appends to it.

use serde_json::{Value as Json, json};
use serde_yaml::{Mapping, Value};

use super::KubeadmConfigError;
use super::args::values;
use super::document::{self, Version, mapping, name, named_items};
use crate::controls::items_of;
use crate::domain::{Component, HostPathVolume, Mount, StaticPod};
use crate::manifest::{command_line, escaped};

/// A file for the folder of patches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The file's name, by which kubeadm knows what it is for.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// In the name of each of our files, so that an operator's own lie beside them (kubeadm takes them in the order of their names).
pub const SUFFIX: &str = "-holdfast";
/// What kubeadm has patches for, of what we make.
pub const TARGETS: [&str; 5] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "etcd",
    "kubeletconfiguration",
];

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

/// The volumes that kubeadm makes itself (cmd/kubeadm/app/phases/controlplane/volumes.go, phases/etcd/local.go): the certificates of the distribution under
/// the name of their folder, `etc-pki` until Kubernetes 1.30.
const OWN_VOLUMES: [&str; 11] = [
    "k8s-certs",
    "ca-certs",
    "etc-pki",
    "etc-pki-ca-trust",
    "etc-pki-tls-certs",
    "etc-ca-certificates",
    "usr-local-share-ca-certificates",
    "usr-share-ca-certificates",
    "flexvolume-dir",
    "kubeconfig",
    "etcd-data",
];
/// Those of etcd's certificates; of an external etcd each has a number.
const OWN_PREFIX: &str = "etcd-certs";

/// True for a volume that kubeadm makes itself.
#[must_use]
pub fn is_own_volume(name: &str) -> bool {
    let number = |rest: &str| {
        rest.is_empty()
            || rest
                .strip_prefix('-')
                .is_some_and(|number| number.parse::<u32>().is_ok())
    };
    OWN_VOLUMES.contains(&name) || name.strip_prefix(OWN_PREFIX).is_some_and(number)
}

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

/// The patches of these pods. Without the text of `ClusterConfiguration`, of a cluster that has none, all that is not kubeadm's own is in them.
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
                name: format!("{component}{SUFFIX}+json.json"),
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
            Fate::Patched(value) => operations.push(json!({
                "op": "add", "path": format!("/spec/containers/{index}/command/-"), "value": format!("--{flag}={}", escaped(&value)),
            })),
            Fate::Told(remark) => remarks.push(remark),
        }
    }
    let has = |flag: &str| {
        line.flags()
            .any(|(name, _)| name.as_str().trim_start_matches('-') == flag)
    };
    remarks.extend(missing(component, section, has));
    let other = pod.volume_names.iter();
    let other = other.filter(|name| !pod.host_paths.iter().any(|volume| volume.name == **name));
    remarks.extend(
        other.map(|name| format!("the volume {name} of {component} is no hostPath, and is not in the patch")),
    );
    if pod.containers.len() > 1 || pod.init_containers > 0 {
        remarks.push(format!(
            "{component} has further containers, which are not in the patch"
        ));
    }
    operations.extend(of_volumes(
        component,
        pod,
        (index, &container.mounts),
        section,
        remarks,
    )?);
    Ok(operations)
}

/// What kubeadm would start the component with, and the node does not.
fn missing(component: Component, section: Option<&Section>, has: impl Fn(&str) -> bool) -> Vec<String> {
    let of_config = section.map(Section::flags).unwrap_or_default();
    let of_config = of_config.into_iter().filter(|flag| !has(&flag.replace('_', "-")));
    let told = of_config
        .map(|flag| format!("kubeadm-config gives {component} --{flag}, which this node does not run with"));
    let own = OWN_FLAGS
        .iter()
        .filter(|(of, _)| *of == component)
        .flat_map(|(_, flags)| *flags);
    let own = own.filter(|(flag, usual)| usual.is_some() && !has(flag));
    let own = own.map(|(flag, _)| {
        format!("kubeadm writes --{flag} of {component} itself, which this node does not run with: an upgrade brings it back")
    });
    told.chain(own).collect()
}

/// What becomes of a flag at the next upgrade.
enum Fate {
    /// kubeadm makes it as it is.
    Made,
    /// The patch appends it with this value.
    Patched(String),
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
        None => Fate::Patched(value.to_owned()),
        Some(Some(usual))
            if component == Component::ApiServer && flag == PLUGINS && adds_to(usual, value).is_some() =>
        {
            adds_to(usual, value).map_or(Fate::Made, Fate::Patched)
        }
        Some(Some(usual)) if usual != value => Fate::Told(format!(
            "kubeadm writes --{flag} of {component} itself, and not as {value}: put it into {}.extraArgs of kubeadm-config, no patch is made",
            field(component).join(".")
        )),
        Some(_) => Fate::Made,
    }
}

/// The flag whose occurrences are added up (pflag `StringSlice`).
const PLUGINS: &str = "enable-admission-plugins";

/// The items beyond those that kubeadm writes, where none of these is missing.
fn adds_to(usual: &str, value: &str) -> Option<String> {
    let (usual, items) = (items_of([usual]), items_of([value]));
    let keeps = usual.iter().all(|item| items.contains(item));
    let more: Vec<String> = items.into_iter().filter(|item| !usual.contains(item)).collect();
    (keeps && !more.is_empty()).then(|| more.join(","))
}

fn of_volumes(
    component: Component,
    pod: &StaticPod,
    (index, mounts): (usize, &[Mount]),
    section: Option<&Section>,
    remarks: &mut Vec<String>,
) -> Result<Vec<Json>, KubeadmConfigError> {
    let known = section.and_then(|section| section.fields.get("extraVolumes"));
    let known = named_items(known, "extraVolumes")?;
    let mut operations = Vec::new();
    for volume in pod
        .host_paths
        .iter()
        .filter(|volume| !is_own_volume(&volume.name))
    {
        let mounts: Vec<&Mount> = mounts
            .iter()
            .filter(|mount| mount.volume == volume.name)
            .collect();
        match standing(volume, &mounts, &known) {
            Standing::Same => continue,
            Standing::Other(other) => {
                remarks.push(format!(
                    "kubeadm-config gives {component} the volume {other}, which this node has otherwise as {}: change it there, no patch is made",
                    volume.name
                ));
                continue;
            }
            Standing::New => {}
        }
        operations.push(json!({ "op": "add", "path": "/spec/volumes/-", "value": volume_json(volume) }));
        operations.extend(mounts.into_iter().map(|mount| {
            json!({ "op": "add", "path": format!("/spec/containers/{index}/volumeMounts/-"), "value": mount_json(mount) })
        }));
    }
    Ok(operations)
}

/// What kubeadm-config knows of a volume.
enum Standing {
    /// Nothing.
    New,
    /// The same.
    Same,
    /// Another of that name, or at that place: with both the pod would be invalid.
    Other(String),
}

fn standing(volume: &HostPathVolume, mounts: &[&Mount], known: &[Value]) -> Standing {
    let text = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).map(str::to_owned);
    let trimmed = |path: &str| path.trim_end_matches('/').to_owned();
    let is_place = |item: &Value| {
        let place = text(item, "mountPath").map(|path| trimmed(&path));
        mounts
            .iter()
            .any(|mount| place.as_deref() == Some(mount.path.as_str()))
    };
    for item in known {
        let (is_name, is_place) = (name(item) == Some(&volume.name), is_place(item));
        let is_source =
            text(item, "hostPath").map(|path| trimmed(&path)).as_deref() == Some(volume.path.as_str());
        if is_name && is_source && (is_place || mounts.is_empty()) {
            return Standing::Same;
        }
        if is_name || is_place {
            return Standing::Other(name(item).unwrap_or_default().to_owned());
        }
    }
    Standing::New
}

fn own_flag(component: Component, flag: &str) -> Option<Option<&'static str>> {
    let (_, flags) = OWN_FLAGS.iter().find(|(own, _)| *own == component)?;
    let (_, usual) = flags.iter().find(|(name, _)| *name == flag)?;
    Some(*usual)
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

/// What Holdfast judges of the kubelet's configuration, by the first part of its name.
const KUBELET_KEYS: [&str; 16] = [
    "authentication",
    "authorization",
    "enableDebugFlagsHandler",
    "enableProfilingHandler",
    "eventRecordQPS",
    "healthzBindAddress",
    "makeIPTablesUtilChains",
    "podPidsLimit",
    "protectKernelDefaults",
    "readOnlyPort",
    "rotateCertificates",
    "seccompDefault",
    "serverTLSBootstrap",
    "streamingConnectionIdleTimeout",
    "tlsCipherSuites",
    "tlsMinVersion",
];
/// What kubeadm writes for each node by itself.
const PER_NODE: [&str; 2] = ["containerRuntimeEndpoint", "resolvConf"];

/// The patch that makes of the kubelet's configuration of the cluster (the ConfigMap `kube-system/kubelet-config`) what Holdfast judges of this node's; other
/// differences are told, since the cluster's may be meant.
#[must_use]
pub fn kubelet_patch(of_cluster: &Json, of_node: &Json) -> Patches {
    let mut made = Patches::default();
    let (Some(cluster), Some(node)) = (of_cluster.as_object(), of_node.as_object()) else {
        made.remarks
            .push("no patch is made for the kubelet: its configuration is no mapping".to_owned());
        return made;
    };
    let mut patch = serde_json::Map::new();
    let keys: std::collections::BTreeSet<&String> = cluster.keys().chain(node.keys()).collect();
    for key in keys {
        let (there, here) = (cluster.get(key), node.get(key));
        if there == here || PER_NODE.contains(&key.as_str()) {
            continue;
        }
        match here.filter(|_| KUBELET_KEYS.contains(&key.as_str())) {
            Some(here) if !drops(there, here) => {
                patch.insert(key.clone(), here.clone());
            }
            Some(_) | None => made.remarks.push(format!(
                "the kubelet's {key} is not as kube-system/kubelet-config has it, which an upgrade brings: it is not in the patch"
            )),
        }
    }
    if !patch.is_empty() {
        made.files.push(Patch {
            name: format!("kubeletconfiguration{SUFFIX}+merge.json"),
            text: format!("{:#}\n", Json::from(patch)),
        });
    }
    made
}

/// True when something that is there is not here: a merge would leave it.
fn drops(there: Option<&Json>, here: &Json) -> bool {
    match (there.and_then(Json::as_object), here.as_object()) {
        (Some(there), Some(here)) => there
            .iter()
            .any(|(key, value)| here.get(key).is_none_or(|here| drops(Some(value), here))),
        _ => false,
    }
}

#[cfg(test)]
#[path = "patches_tests.rs"]
mod tests;
