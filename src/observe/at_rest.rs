//! Looks at encryption at rest: the API server's configuration, what it has loaded, and every stored value.

mod count;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::folder;
use crate::adapters::Node;
use crate::adapters::api::{self, Api};
use crate::adapters::etcd::{self, Access, Etcd};
use crate::at_rest::{AtRest, Configured, Present, extras};
use crate::census::{Census, MAX_REQUEST_BYTES, Paths, Scope};
use crate::cluster::ClusterObjects;
use crate::domain::{Component, Digest, Fact, FlagName, GroupResource, Manifest, NodePath, Reason};
use crate::encryption::{self, ResourcePattern};
use crate::manifest::{CommandLine, Mounted, command_line, flags_of_process, mounted_from};

pub(crate) use count::{
    census, census_of_all, census_seeing, held, look_elsewhere, needed_elsewhere, rotated_spans,
};

/// etcd and the API server are given that long for each question.
const PATIENCE: Duration = Duration::from_secs(10);

const NO_MANIFEST: &str =
    "the manifest of kube-apiserver is not there; `holdfast recover` puts back one that is out of its folder";

/// One look. With `thorough`, each encrypted value is decrypted.
///
/// Runs a runtime of its own: never call it inside another one.
#[must_use]
pub fn look(node: &Node, thorough: bool) -> AtRest {
    let manifest = manifest(node);
    let configured = match &manifest {
        Fact::Known(manifest) => configured(node, manifest),
        // It may be out of its folder for a moment.
        Fact::Absent => Fact::unknown(NO_MANIFEST),
        Fact::Unknown(why) => Fact::Unknown(why.clone()),
    };
    let nothing = |why: &Reason| AtRest {
        configured: configured.clone(),
        loaded: Fact::Unknown(why.clone()),
        upgrade: Fact::Unknown(why.clone()),
        census: Fact::Unknown(why.clone()),
        decrypted: false,
    };
    let manifest = match &manifest {
        Fact::Known(manifest) => manifest,
        Fact::Absent => return nothing(&Reason::new(NO_MANIFEST)),
        Fact::Unknown(why) => return nothing(why),
    };
    let api = client(node, manifest);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return nothing(&Reason::new(format!("nobody could be asked: {error}"))),
    };
    let ((loaded, upgrade), census) = runtime.block_on(async {
        let loaded = async {
            match &api {
                Ok(api) => tokio::join!(loaded(api), upgrade(api, manifest)),
                Err(why) => (Fact::Unknown(why.clone()), Fact::Unknown(why.clone())),
            }
        };
        let count = count(node, manifest, api.as_ref().ok(), configured.known(), thorough);
        tokio::join!(loaded, count)
    });
    runtime.shutdown_background();
    AtRest {
        configured,
        loaded,
        upgrade,
        census,
        decrypted: thorough,
    }
}

/// What the next `kubeadm upgrade` would drop.
async fn upgrade(api: &Api, manifest: &Manifest) -> Fact<Vec<String>> {
    let Some(wanted) = extras(&manifest.pod) else {
        return Fact::Known(Vec::new());
    };
    api::kubeadm_config(api).await.and_then(|found| {
        match crate::kubeadm::lacks(&found.cluster_configuration, &wanted) {
            Ok(lacks) => Fact::Known(lacks),
            Err(why) => Fact::unknown(format!("kube-system/kubeadm-config: {why}")),
        }
    })
}

/// The local API server, with the identity that the operator gave Holdfast, or else the node's own credentials.
pub(crate) fn client(node: &Node, manifest: &Manifest) -> Result<Api, Reason> {
    let address = api::local_address(&manifest.pod)?;
    if let Some(own) = node.kubeconfig.path() {
        let opened = Api::open_own(&node.files, &own, address, PATIENCE);
        return opened.map_err(|error| Reason::new(error.to_string()));
    }
    let kubeconfig = node
        .layout
        .kubernetes
        .join("admin.conf")
        .map_err(|error| Reason::new(error.to_string()))?;
    Api::open(&node.files, &kubeconfig, address, PATIENCE).map_err(|error| Reason::new(error.to_string()))
}

/// What the local API server answers; why it is unknown where it cannot be asked.
fn ask<T>(node: &Node, manifest: &Manifest, question: impl AsyncFnOnce(&Api) -> Fact<T>) -> Fact<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match (client(node, manifest), runtime) {
        (Ok(api), Ok(runtime)) => runtime.block_on(question(&api)),
        (Err(why), _) => Fact::Unknown(why),
        (_, Err(error)) => Fact::unknown(error.to_string()),
    }
}

/// The bindings that grant the anonymous more than Kubernetes and kubeadm do.
pub(crate) fn grants(node: &Node, manifest: &Manifest) -> Fact<Vec<String>> {
    ask(node, manifest, async |api| {
        api::grants_to_the_anonymous(api).await
    })
}

/// The Services with external addresses.
pub(crate) fn external_ips(node: &Node, manifest: &Manifest) -> Fact<Vec<String>> {
    ask(node, manifest, async |api| {
        api::services_with_external_ips(api).await
    })
}

/// The namespaces with pods that baseline would refuse.
pub(crate) fn beyond_baseline(node: &Node, manifest: &Manifest) -> Fact<Vec<String>> {
    ask(node, manifest, async |api| {
        api::namespaces_beyond_baseline(api).await
    })
}

/// The objects of the API that controls of the whole cluster ask for.
pub(crate) fn cluster_objects(node: &Node, manifest: &Manifest) -> ClusterObjects {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match (client(node, manifest), runtime) {
        (Ok(api), Ok(runtime)) => runtime.block_on(api::cluster_objects(&api)),
        (Err(why), _) => ClusterObjects::unknown(&why),
        (_, Err(error)) => ClusterObjects::unknown(&Reason::new(error.to_string())),
    }
}

/// What kubeadm makes of the node the next time: the text of `ClusterConfiguration`, and the kubelets' configuration.
pub(crate) fn kubeadms_configuration(
    node: &Node,
    manifest: &Manifest,
) -> (Fact<String>, Fact<serde_json::Value>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let unknown = |why: Reason| (Fact::Unknown(why.clone()), Fact::Unknown(why));
    match (client(node, manifest), runtime) {
        (Ok(api), Ok(runtime)) => runtime.block_on(async {
            let cluster = api::kubeadm_config(&api).await;
            let kubelet = api::kubelet_configuration(&api).await;
            (cluster.map(|found| found.cluster_configuration), kubelet)
        }),
        (Err(why), _) => unknown(why),
        (_, Err(error)) => unknown(Reason::new(error.to_string())),
    }
}

/// How often a token was used beyond its time since the API server was started. `Absent` when these credentials are shown no metrics.
pub(crate) fn stale_tokens(node: &Node, manifest: &Manifest) -> Fact<u64> {
    ask(node, manifest, async |api| {
        api::metrics(api).await.and_then(|metrics| metrics.stale_tokens)
    })
}

/// The configuration that the manifest names, as the node has it; `Absent` when it names none.
pub(crate) fn configured(node: &Node, manifest: &Manifest) -> Fact<Configured> {
    match present(node, manifest) {
        Present::As(configured) => Fact::Known(*configured),
        Present::NoFlag => Fact::Absent,
        Present::NoFile { file } => Fact::unknown(format!(
            "{file}, which --encryption-provider-config names, is not there: put it back; `holdfast encryption keys` lists what is kept"
        )),
        Present::NotMounted { inside } => Fact::unknown(format!(
            "--encryption-provider-config={inside} is not mounted from the node"
        )),
        Present::Refused { file, why, .. } => Fact::unknown(format!("{file}: {why}")),
        Present::Unknown(why) => Fact::Unknown(why),
    }
}

/// How the API server's manifest and its configuration stand just now.
pub(crate) fn present(node: &Node, manifest: &Manifest) -> Present {
    let line = match command_line(Component::ApiServer, &manifest.pod) {
        Ok(line) => line,
        Err(why) => return Present::Unknown(Reason::new(why.to_string())),
    };
    let Some(inside) = scalar(&line, "encryption-provider-config") else {
        return Present::NoFlag;
    };
    let inside: NodePath = match inside.parse() {
        Ok(path) => path,
        Err(error) => {
            return Present::Unknown(Reason::new(format!("--encryption-provider-config: {error}")));
        }
    };
    let Some(container) = manifest.pod.containers.get(line.container()) else {
        return Present::Unknown(Reason::new("the manifest has no container"));
    };
    let Mounted::From(file) = mounted_from(&manifest.pod, container, &inside) else {
        return Present::NotMounted { inside };
    };
    let mounted_alone = container.mounts.iter().any(|mount| mount.path == inside);
    let reload = match boolean(&line, "encryption-provider-config-automatic-reload") {
        Ok(reload) => reload.unwrap_or(false),
        Err(why) => return Present::Unknown(why),
    };
    let content = match node.files.read(&file, encryption::MAX_BYTES) {
        Fact::Known(content) => content,
        Fact::Absent => return Present::NoFile { file },
        Fact::Unknown(why) => return Present::Unknown(why),
    };
    let bytes = zeroize::Zeroizing::new(content.bytes);
    let digest = Digest::of(&bytes);
    match encryption::parse(&bytes) {
        Ok(config) => Present::As(Box::new(Configured {
            file,
            mounted_alone,
            reload,
            digest,
            config,
        })),
        Err(error) => Present::Refused {
            file,
            digest,
            why: error.to_string(),
        },
    }
}

fn flag(name: &str) -> Result<FlagName, Reason> {
    name.parse()
        .map_err(|error: crate::domain::InvalidFlagName| Reason::new(error.to_string()))
}

fn scalar<'l>(line: &'l CommandLine, name: &str) -> Option<&'l str> {
    line.scalar(&flag(name).ok()?)
}

fn boolean(line: &CommandLine, name: &str) -> Result<Option<bool>, Reason> {
    line.boolean(&flag(name)?)
        .map_err(|error| Reason::new(error.to_string()))
}

/// What a server says of what it has loaded.
pub(crate) enum Reported {
    /// What it says, if it answers; `Absent` when it has loaded none.
    Says(Fact<Digest>),
    /// It answers, and never says it: why.
    Silent(Reason),
}

/// What the server says that it has loaded.
pub(crate) async fn loaded(api: &Api) -> Fact<Digest> {
    match reported(api).await {
        Reported::Says(told) => told,
        Reported::Silent(why) => Fact::Unknown(why),
    }
}

/// The same, told from a server that never says.
pub(crate) async fn reported(api: &Api) -> Reported {
    reported_with_failures(api).await.0
}

/// The same, with how often the server has failed to load a changed file since its start.
pub(crate) async fn reported_with_failures(api: &Api) -> (Reported, u64) {
    match api::metrics(api).await {
        Fact::Known(metrics) => {
            let failures = metrics.reloads.get("failure").copied().unwrap_or(0);
            (said(api, metrics.loaded).await, failures)
        }
        Fact::Absent => {
            let why = "kube-apiserver does not show Holdfast its metrics (403 or 404)";
            (Reported::Silent(Reason::new(why)), 0)
        }
        Fact::Unknown(why) => (Reported::Says(Fact::Unknown(why)), 0),
    }
}

async fn said(api: &Api, loaded: Fact<Digest>) -> Reported {
    if loaded != Fact::Absent {
        return Reported::Says(loaded);
    }
    // Before 1.34 the metric is not there; from then on it is, if any configuration was loaded.
    match api::version(api).await {
        Fact::Known(version) if tells_what_it_loaded(&version) => Reported::Says(Fact::Absent),
        Fact::Known(version) => Reported::Silent(Reason::new(format!(
            "kube-apiserver {version} does not tell which configuration it has loaded; 1.34 and newer do"
        ))),
        Fact::Absent => Reported::Says(Fact::unknown("the API server does not tell its version")),
        Fact::Unknown(why) => Reported::Says(Fact::Unknown(why)),
    }
}

/// The metric `apiserver_encryption_config_controller_last_config_info` came with 1.34 (kubernetes/kubernetes pull request 132299).
fn tells_what_it_loaded(version: &str) -> bool {
    let mut parts = version
        .trim_start_matches('v')
        .split('.')
        .map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= (1, 34),
        _ => false,
    }
}

/// Where the API server keeps its values.
const STORE_FLAGS: [&str; 3] = ["etcd-servers", "etcd-prefix", "etcd-servers-overrides"];

/// How the API server reaches etcd, as its manifest says.
///
/// # Errors
/// When that is not understood, or one that runs was started with something else: what is counted would not be what it stores.
pub(crate) fn access(node: &Node, manifest: &Manifest) -> Result<Access, Reason> {
    let reason = |why: &dyn std::fmt::Display| Reason::new(why.to_string());
    let access = etcd::access(&node.files, manifest).map_err(|error| reason(&error))?;
    let line = command_line(Component::ApiServer, &manifest.pod).map_err(|why| reason(&why))?;
    let table = node.processes.look()?;
    for process in table.of_component(Component::ApiServer, manifest.pod.uid.as_deref()) {
        let running = flags_of_process(Component::ApiServer, &process.argv).map_err(|why| reason(&why))?;
        let running: Vec<(&str, &str)> = running
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let written: Vec<(&str, &str)> = line.flags().map(|(name, value)| (name.as_str(), value)).collect();
        if let Some(flag) = differing(&written, &running) {
            return Err(Reason::new(format!(
                "kube-apiserver runs with another --{flag} than its manifest says, so it stores its values elsewhere than would be looked; \
                 let the kubelet restart it, or put the manifest right"
            )));
        }
    }
    Ok(access)
}

/// The largest request that this node's etcd takes, by its manifest; etcd's default where that does not say.
pub(crate) fn max_request_bytes(node: &Node) -> u64 {
    let manifest = folder::manifest(Component::Etcd, node, &folder::entries(node));
    let line = manifest
        .known()
        .and_then(|manifest| command_line(Component::Etcd, &manifest.pod).ok());
    line.and_then(|line| scalar(&line, "max-request-bytes")?.parse().ok())
        .unwrap_or(MAX_REQUEST_BYTES)
}

/// The first of the flags that say where values are kept in which the two command lines differ.
fn differing(written: &[(&str, &str)], running: &[(&str, &str)]) -> Option<&'static str> {
    let values = |line: &[(&str, &str)], flag: &str| -> Vec<String> {
        let of_flag = line.iter().filter(|(name, _)| *name == flag);
        of_flag.map(|(_, value)| (*value).to_owned()).collect()
    };
    STORE_FLAGS
        .into_iter()
        .find(|flag| values(written, flag) != values(running, flag))
}

async fn count(
    node: &Node,
    manifest: &Manifest,
    api: Option<&Api>,
    configured: Option<&Configured>,
    thorough: bool,
) -> Fact<Census> {
    let mut access = match access(node, manifest) {
        Ok(access) => access,
        Err(why) => return Fact::Unknown(why),
    };
    if let Some(api) = api {
        let learnt = learnt(&access.paths, api, configured).await;
        learn(&mut access.paths, &learnt);
    }
    let etcd = match Etcd::connect(&access, PATIENCE).await {
        Ok(etcd) => etcd,
        Err(error) => return Fact::unknown(format!("{error}; {}", error.advice())),
    };
    match census(&etcd, &access, configured, thorough, &|| {}).await {
        Ok(census) => Fact::Known(census),
        Err(why) => Fact::Unknown(why),
    }
}

/// What the API server serves of the groups that the configuration covers: one that is newer than the table has more. What it does not
/// answer stays unknown; whatever lies there is seen all the same before a key is cut.
pub(crate) async fn learnt(
    paths: &Paths,
    api: &Api,
    configured: Option<&Configured>,
) -> BTreeSet<(GroupResource, Scope)> {
    let groups = paths.to_learn(&patterns(configured));
    api::listed(api, groups.as_ref()).await
}

/// Adds what was learnt.
pub(crate) fn learn(paths: &mut Paths, learnt: &BTreeSet<(GroupResource, Scope)>) {
    for (resource, scope) in learnt {
        paths.learn(resource.clone(), *scope);
    }
}

/// What is encrypted with keys that Holdfast knows; secrets, where nothing is.
pub(crate) fn patterns(configured: Option<&Configured>) -> Vec<ResourcePattern> {
    let entries = configured.map_or(&[][..], |configured| configured.config.entries.as_slice());
    let known = entries.iter().filter(|entry| !entry.has_kms());
    let named: Vec<ResourcePattern> = known.flat_map(|entry| entry.resources.iter().cloned()).collect();
    if named.is_empty() {
        let secrets = GroupResource {
            resource: "secrets".to_owned(),
            group: String::new(),
        };
        return vec![ResourcePattern::Exact(secrets)];
    }
    named
}

/// The manifest of the API server.
pub(crate) fn manifest(node: &Node) -> Fact<Manifest> {
    folder::manifest(Component::ApiServer, node, &folder::entries(node))
}

/// All components' manifests, as who is asked for the control-plane nodes wants them.
pub(crate) fn manifests(node: &Node) -> BTreeMap<Component, Fact<Manifest>> {
    let entries = folder::entries(node);
    let of = |component| (component, folder::manifest(component, node, &entries));
    Component::ALL.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_stores_elsewhere_than_its_manifest_says_is_told() {
        let servers = ("etcd-servers", "https://127.0.0.1:2379");
        let written = [servers, ("etcd-prefix", "/registry"), ("profiling", "false")];
        assert_eq!(
            differing(&written, &[("etcd-prefix", "/registry"), servers]),
            None
        );
        for (running, flag) in [
            (vec![servers, ("etcd-prefix", "/other")], "etcd-prefix"),
            (vec![servers], "etcd-prefix"),
            (
                vec![
                    ("etcd-servers", "https://192.0.2.9:2379"),
                    ("etcd-prefix", "/registry"),
                ],
                "etcd-servers",
            ),
            (
                vec![
                    servers,
                    ("etcd-prefix", "/registry"),
                    ("etcd-servers-overrides", "/secrets#https://192.0.2.9"),
                ],
                "etcd-servers-overrides",
            ),
        ] {
            assert_eq!(differing(&written, &running), Some(flag), "{running:?}");
        }
    }
}
