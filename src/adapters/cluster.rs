//! How many control-plane nodes the cluster has: etcd's members, the API's nodes, and kubeadm-config.

mod api_server;
mod etcd;
mod kubeadm_config;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::api::{Address, OwnKubeconfig, local_address};
use super::files::Files;
use crate::domain::{Component, ControlPlane, EtcdState, Fact, Layout, Manifest, Reason};

/// Who is asked for the control-plane nodes of the cluster.
pub trait Cluster {
    /// The control-plane nodes, by the source that names most of them. `Unknown` when no source answers, or when the only answers cannot
    /// tell (etcd is not stacked and the API does not answer).
    fn control_plane(
        &self,
        files: &Files,
        layout: &Layout,
        manifests: &BTreeMap<Component, Fact<Manifest>>,
    ) -> Fact<ControlPlane>;

    /// How the etcd is, stacked or external, that the API server of these manifests uses. `Unknown` when it does not answer.
    fn etcd(&self, files: &Files, manifests: &BTreeMap<Component, Fact<Manifest>>) -> Fact<EtcdState>;

    /// The hosts by which the members of that etcd reach each other. `Unknown` when it does not answer.
    fn etcd_peers(
        &self,
        files: &Files,
        manifests: &BTreeMap<Component, Fact<Manifest>>,
    ) -> Fact<BTreeSet<String>>;
}

/// A cluster that kubeadm made, asked with the node's own credentials.
#[derive(Debug, Clone)]
pub struct KubeadmCluster {
    timeout: Duration,
    own: OwnKubeconfig,
}

/// What each source says. `Absent`: the source is not there.
#[derive(Debug)]
struct Answers {
    /// The members of a stacked etcd.
    members: Fact<BTreeSet<String>>,
    /// The nodes with kubeadm's label.
    nodes: Fact<BTreeSet<String>>,
    /// The API servers in kubeadm-config, which old versions of kubeadm wrote.
    endpoints: Fact<BTreeSet<String>>,
}

impl KubeadmCluster {
    /// Each question is waited for that long at most.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            own: OwnKubeconfig::default(),
        }
    }

    /// The API is asked with that kubeconfig, and at this node's own API server, where one is named.
    #[must_use]
    pub fn asking_with(self, own: OwnKubeconfig) -> Self {
        Self { own, ..self }
    }
}

impl Cluster for KubeadmCluster {
    /// Runs a runtime of its own until both etcd and the API have answered or are given up: never call it inside another one.
    fn control_plane(
        &self,
        files: &Files,
        layout: &Layout,
        manifests: &BTreeMap<Component, Fact<Manifest>>,
    ) -> Fact<ControlPlane> {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return Fact::unknown(format!("the cluster could not be asked: {error}")),
        };
        let access = etcd::access(files, manifests);
        let own = self.own.path().map(|path| (path, local(manifests)));
        let answers = runtime.block_on(async {
            let members = async {
                match access {
                    Fact::Known(access) => etcd::members(&access, self.timeout).await,
                    Fact::Absent => Fact::Absent,
                    Fact::Unknown(reason) => Fact::Unknown(reason),
                }
            };
            let api = async {
                match &own {
                    Some((path, address)) => api_server::ask_own(files, path, address, self.timeout).await,
                    None => api_server::ask(files, layout, self.timeout).await,
                }
            };
            let (members, api) = tokio::join!(members, api);
            Answers {
                members,
                nodes: api.nodes,
                endpoints: api.endpoints,
            }
        });
        // A name that is still being looked up must not be waited for.
        runtime.shutdown_background();
        answers.decide()
    }

    /// Runs a runtime of its own, too.
    fn etcd(&self, files: &Files, manifests: &BTreeMap<Component, Fact<Manifest>>) -> Fact<EtcdState> {
        let access = match etcd::any_access(files, manifests) {
            Ok(access) => access,
            Err(why) => return Fact::Unknown(why),
        };
        alone(etcd::state(&access, self.timeout))
    }

    /// Runs a runtime of its own, too.
    fn etcd_peers(
        &self,
        files: &Files,
        manifests: &BTreeMap<Component, Fact<Manifest>>,
    ) -> Fact<BTreeSet<String>> {
        let access = match etcd::any_access(files, manifests) {
            Ok(access) => access,
            Err(why) => return Fact::Unknown(why),
        };
        alone(etcd::peers(&access, self.timeout))
    }
}

/// Asks etcd in a runtime of its own.
fn alone<T>(asked: impl Future<Output = Fact<T>>) -> Fact<T> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Fact::unknown(format!("etcd could not be asked: {error}")),
    };
    let said = runtime.block_on(asked);
    // A name that is still being looked up must not be waited for.
    runtime.shutdown_background();
    said
}

/// Where the API server of these manifests is.
fn local(manifests: &BTreeMap<Component, Fact<Manifest>>) -> Result<Address, Reason> {
    etcd::api_server(manifests).and_then(|manifest| local_address(&manifest.pod))
}

impl Answers {
    /// The answer with most names; of equal ones the first. kubeadm-config alone cannot tell: newer kubeadm leaves it as it was.
    fn decide(self) -> Fact<ControlPlane> {
        if self.members.known().is_none() && self.nodes.known().is_none() {
            let why = |fact: &Fact<BTreeSet<String>>, absent: &str| match fact {
                Fact::Unknown(reason) => reason.to_string(),
                Fact::Absent | Fact::Known(_) => absent.to_owned(),
            };
            return Fact::unknown(format!(
                "neither etcd nor the API says how many control-plane nodes there are: {}; {}",
                why(&self.members, "etcd does not run on the control-plane nodes"),
                why(&self.nodes, "no kubeconfig to ask the API with")
            ));
        }
        let answers = [
            ("etcd members", self.members),
            ("nodes", self.nodes),
            ("kubeadm-config", self.endpoints),
        ];
        let mut most = ControlPlane {
            nodes: BTreeSet::new(),
            source: "",
        };
        for (source, answer) in answers {
            if let Fact::Known(nodes) = answer
                && nodes.len() > most.nodes.len()
            {
                most = ControlPlane { nodes, source };
            }
        }
        if most.nodes.is_empty() {
            return Fact::unknown("no node of the cluster is labelled node-role.kubernetes.io/control-plane");
        }
        Fact::Known(most)
    }
}

/// An error with its causes: the outermost of tonic and kube say little.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Fact<BTreeSet<String>> {
        Fact::Known(names.iter().map(|&name| name.to_owned()).collect())
    }

    fn decided(source: &'static str, of: &[&str]) -> Fact<ControlPlane> {
        Fact::Known(ControlPlane {
            nodes: of.iter().map(|&name| name.to_owned()).collect(),
            source,
        })
    }

    fn no_answer() -> Fact<BTreeSet<String>> {
        Fact::unknown("no answer")
    }

    fn decide(
        members: Fact<BTreeSet<String>>,
        nodes: Fact<BTreeSet<String>>,
        endpoints: Fact<BTreeSet<String>>,
    ) -> Fact<ControlPlane> {
        Answers {
            members,
            nodes,
            endpoints,
        }
        .decide()
    }

    #[test]
    fn the_answer_with_most_names_decides_if_etcd_or_the_api_answers() {
        let one = || names(&["a"]);
        let two = || names(&["a", "b"]);
        let three = || names(&["a", "b", "c"]);
        let absent = || Fact::Absent;
        let table = [
            (one(), one(), absent(), "etcd members", &["a"][..]),
            (one(), two(), absent(), "nodes", &["a", "b"]),
            (two(), one(), absent(), "etcd members", &["a", "b"]),
            (one(), one(), three(), "kubeadm-config", &["a", "b", "c"]),
            (one(), no_answer(), no_answer(), "etcd members", &["a"]),
            (no_answer(), one(), no_answer(), "nodes", &["a"]),
            (absent(), one(), absent(), "nodes", &["a"]),
            (one(), names(&[]), absent(), "etcd members", &["a"]),
        ];
        for (members, nodes, endpoints, source, expected) in table {
            let asked = format!("{members:?} {nodes:?} {endpoints:?}");
            assert_eq!(
                decide(members, nodes, endpoints),
                decided(source, expected),
                "{asked}"
            );
        }
    }

    #[test]
    fn without_etcd_or_the_api_it_is_unknown_and_both_reasons_are_told() {
        let one = || names(&["a"]);
        let outside = "etcd does not run on the control-plane nodes; no answer";
        let no_kubeconfig = "no answer; no kubeconfig to ask the API with";
        let table = [
            (Fact::Absent, no_answer(), no_answer(), outside),
            (Fact::Absent, no_answer(), one(), outside),
            (no_answer(), no_answer(), no_answer(), "no answer; no answer"),
            (no_answer(), Fact::Absent, Fact::Absent, no_kubeconfig),
        ];
        for (members, nodes, endpoints, why) in table {
            assert_eq!(
                decide(members, nodes, endpoints),
                Fact::unknown(format!(
                    "neither etcd nor the API says how many control-plane nodes there are: {why}"
                ))
            );
        }
        assert_eq!(
            decide(Fact::Absent, names(&[]), Fact::Absent),
            Fact::unknown("no node of the cluster is labelled node-role.kubernetes.io/control-plane")
        );
    }
}
