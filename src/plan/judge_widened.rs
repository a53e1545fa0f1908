//! What the pods of the control plane may do beyond what kubeadm gives them.

use super::finding::{Evidence, Verdict};
use super::judge::{each_manifest, piece, unknown};
use crate::cluster::Pod;
use crate::domain::{Component, Container, Manifest, Observation, Reason, StaticPod};
use crate::kubeadm::is_own_volume;
use crate::manifest::{CommandLine, named_paths};

const EXPECTED: &str = "no more than kubeadm gives it";
/// kubeadm passes on the proxy of its own environment (cmd/kubeadm/app/util/kubernetesversion.go, `GetProxyEnvVars`).
const PROXY: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"];

/// How the pod of each component was widened.
pub(super) fn widened(observation: &Observation) -> Vec<Evidence> {
    each_manifest(observation, EXPECTED, of_manifest)
}

fn of_manifest(component: Component, manifest: &Manifest, line: &CommandLine) -> Vec<Evidence> {
    // Its words may quote values.
    let pod: Pod = match serde_yaml::from_str(&manifest.text) {
        Ok(pod) => pod,
        Err(_) => {
            let why = Reason::new("its security settings cannot be read");
            return vec![unknown(component.to_string(), EXPECTED, &why)];
        }
    };
    let mut more = of_spec(&pod);
    for container in &manifest.pod.containers {
        more.extend(of_environment(container));
    }
    more.extend(of_volumes(component, &manifest.pod, line));
    if more.is_empty() {
        return vec![piece(
            component.to_string(),
            Verdict::Pass,
            EXPECTED,
            "it has no more",
        )];
    }
    let told = |actual| piece(component.to_string(), Verdict::Drift, EXPECTED, actual);
    more.into_iter().map(told).collect()
}

fn of_spec(pod: &Pod) -> Vec<String> {
    let spec = &pod.spec;
    let all = || spec.containers.iter().chain(&spec.init_containers);
    let mut more = Vec::new();
    if spec.containers.len() > 1 || !spec.init_containers.is_empty() {
        let names: Vec<&str> = all().map(|container| container.name.as_str()).collect();
        more.push(format!("several containers: {}", names.join(", ")));
    }
    for (is, what) in [(spec.host_pid, "hostPID"), (spec.host_ipc, "hostIPC")] {
        more.extend(is.then(|| format!("{what}: true")));
    }
    for container in all() {
        let context = &container.security_context;
        if context.privileged == Some(true) {
            more.push(format!("{} is privileged", container.name));
        }
        let added = context
            .capabilities
            .iter()
            .flat_map(|capabilities| &capabilities.add);
        more.extend(added.map(|added| format!("{} has the capability {added}", container.name)));
    }
    let profile = spec.security_context.seccomp_profile.as_ref();
    let kind = profile.map_or("none", |profile| profile.kind.as_str());
    if kind != "RuntimeDefault" {
        more.push(format!("the seccomp profile is {kind}, not RuntimeDefault"));
    }
    more
}

/// Names only: a value may be a secret.
fn of_environment(container: &Container) -> impl Iterator<Item = String> {
    let is_proxy = |name: &&String| PROXY.contains(&name.to_uppercase().as_str());
    let others = container.env.iter().filter(move |name| !is_proxy(name));
    others.map(|name| format!("{} has {name} in its environment", container.name))
}

/// A folder of the node that no flag names a file in.
fn of_volumes(component: Component, pod: &StaticPod, line: &CommandLine) -> Vec<String> {
    let Some(container) = pod.containers.get(line.container()) else {
        return Vec::new();
    };
    let named: Vec<_> = named_paths(component, line)
        .into_iter()
        .map(|(_, named)| named.must_exist())
        .collect();
    let is_named = |name: &str| {
        let mounts = container.mounts.iter().filter(|mount| mount.volume == name);
        mounts
            .into_iter()
            .any(|mount| named.iter().any(|path| path.is_within(&mount.path)))
    };
    let others = pod
        .host_paths
        .iter()
        .filter(|volume| !is_own_volume(&volume.name) && !is_named(&volume.name));
    others
        .map(|volume| {
            format!(
                "it mounts {} of the node, in which no flag names a file",
                volume.path
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{fresh_node, manifest_text, replace_manifest};
    use super::*;
    use crate::manifest::{Edit, edit};
    use crate::plan::judge_tests::finding_at;

    const NOW: &str = "2026-06-01T00:00:00Z";

    fn told_of(text: &str) -> Vec<String> {
        let mut node = fresh_node();
        replace_manifest(&mut node, Component::ApiServer, text);
        let finding = finding_at(&node, "X-API-12", "{}", NOW);
        finding
            .with_verdict(Verdict::Drift)
            .map(|piece| piece.actual.clone())
            .collect()
    }

    fn changed(from: &str, to: &str) -> Vec<String> {
        let text = manifest_text(Component::ApiServer);
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        told_of(&changed)
    }

    #[test]
    fn what_kubeadm_makes_is_not_widened_and_each_widening_is_told() {
        assert_eq!(
            finding_at(&fresh_node(), "X-API-12", "{}", NOW).verdict,
            Verdict::Pass
        );
        let image = "    image: ";
        let name = "    name: kube-apiserver\n";
        assert_eq!(
            changed(
                image,
                "    securityContext: {privileged: true, capabilities: {add: [SYS_ADMIN]}}\n    image: "
            ),
            [
                "kube-apiserver is privileged",
                "kube-apiserver has the capability SYS_ADMIN"
            ]
        );
        assert_eq!(
            changed(
                image,
                "    env: [{name: GODEBUG, value: x}, {name: https_proxy, value: y}]\n    image: "
            ),
            ["kube-apiserver has GODEBUG in its environment"]
        );
        assert_eq!(
            changed("  hostNetwork: true\n", "  hostNetwork: true\n  hostPID: true\n"),
            ["hostPID: true"]
        );
        assert_eq!(
            changed("type: RuntimeDefault", "type: Unconfined"),
            ["the seccomp profile is Unconfined, not RuntimeDefault"]
        );
        assert_eq!(
            changed(
                "  containers:\n",
                "  initContainers: [{name: first, image: x}]\n  containers:\n"
            ),
            ["several containers: kube-apiserver, first"]
        );
        assert!(manifest_text(Component::ApiServer).contains(name));
    }

    #[test]
    fn a_command_that_is_not_understood_is_unknown_whatever_else_it_has() {
        let mut node = fresh_node();
        let text = manifest_text(Component::ApiServer).replacen(
            "    - kube-apiserver\n",
            "    - sh\n    - -c\n    - kube-apiserver\n",
            1,
        );
        replace_manifest(&mut node, Component::ApiServer, &text);
        assert_eq!(finding_at(&node, "X-API-12", "{}", NOW).verdict, Verdict::Unknown);
    }

    #[test]
    fn a_folder_of_the_node_is_meant_where_a_flag_names_a_file_in_it() {
        let with = |flag: Option<&str>| {
            let mut edits = vec![
                Edit::AddVolume {
                    name: "extra".to_owned(),
                    path: "/srv/extra".parse().unwrap(),
                    kind: String::new(),
                },
                Edit::AddMount {
                    volume: "extra".to_owned(),
                    path: "/srv/extra".parse().unwrap(),
                    read_only: false,
                },
            ];
            edits.extend(flag.map(|name| Edit::SetFlag {
                name: name.parse().unwrap(),
                value: "/srv/extra/file".to_owned(),
            }));
            told_of(&edit(manifest_text(Component::ApiServer), Component::ApiServer, &edits).unwrap())
        };
        assert_eq!(
            with(None),
            ["it mounts /srv/extra of the node, in which no flag names a file"]
        );
        assert_eq!(with(Some("audit-log-path")), Vec::<String>::new());
        assert_eq!(with(Some("encryption-provider-config")), Vec::<String>::new());
    }
}
