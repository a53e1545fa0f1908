//! What pods are, or lack.

use std::collections::BTreeSet;

use super::PodTrait;
use super::objects::{Container, Context, Pod, ServiceAccount};

/// Here run the cluster's own components, which need much of the node.
const OWN: &str = "kube-system";

impl PodTrait {
    /// What is said of a pod that is so.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Privileged => "a privileged container",
            Self::HostPid => "hostPID: true",
            Self::HostIpc => "hostIPC: true",
            Self::HostNetwork => "hostNetwork: true",
            Self::Escalation => "a container without allowPrivilegeEscalation: false",
            Self::Root => "a container that may run as root (neither runAsNonRoot nor a runAsUser above 0)",
            Self::NetRaw => "a container that keeps NET_RAW",
            Self::Capabilities => "a container that does not drop ALL capabilities",
            Self::HostProcess => "a HostProcess container",
            Self::HostPath => "a hostPath volume",
            Self::HostPort => "a hostPort",
            Self::SecretInEnvironment => "a Secret in the environment",
            Self::NoSeccomp => "a container without the profile RuntimeDefault or Localhost",
            Self::NoContext => "a container without a securityContext",
        }
    }

    /// True of a trait that only Linux has.
    const fn is_of_linux(self) -> bool {
        match self {
            Self::Privileged
            | Self::HostPid
            | Self::HostIpc
            | Self::Escalation
            | Self::NetRaw
            | Self::Capabilities
            | Self::NoSeccomp
            | Self::Root => true,
            Self::HostNetwork
            | Self::HostProcess
            | Self::HostPath
            | Self::HostPort
            | Self::SecretInEnvironment
            | Self::NoContext => false,
        }
    }
}

/// Whose pods are so, outside kube-system: each once, by who made it, as `DaemonSet NAMESPACE/NAME`.
#[must_use]
pub fn that_are(so: PodTrait, pods: &[Pod]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for pod in pods.iter().filter(|pod| is_judged(pod)) {
        let on_windows = pod.spec.os.as_ref().is_some_and(|os| os.name == "windows");
        if !(on_windows && so.is_of_linux()) && is(so, pod) {
            found.insert(maker(pod));
        }
    }
    found
}

/// How many pods are judged.
#[must_use]
pub fn judged(pods: &[Pod]) -> usize {
    pods.iter().filter(|pod| is_judged(pod)).count()
}

/// Whose pods get a token although nobody said so, outside kube-system.
#[must_use]
pub fn with_unasked_token(pods: &[Pod], accounts: &[ServiceAccount]) -> BTreeSet<String> {
    let asked = |pod: &Pod| {
        let name = pod.spec.service_account_name.as_deref().unwrap_or("default");
        let account = accounts.iter().find(|account| {
            account.metadata.name == name && account.metadata.namespace == pod.metadata.namespace
        });
        let of_account = account.and_then(|account| account.automount_service_account_token);
        pod.spec.automount_service_account_token.or(of_account)
    };
    let judged = pods.iter().filter(|pod| is_judged(pod));
    judged.filter(|pod| asked(pod).is_none()).map(maker).collect()
}

/// What of the namespace runs there: `Pod`, or who made it.
#[must_use]
pub fn in_namespace(pods: &[Pod], namespace: &str) -> BTreeSet<String> {
    let there = pods
        .iter()
        .filter(|pod| pod.metadata.is_in(namespace) && is_judged(pod));
    there.map(maker).collect()
}

/// What has ended needs nothing any more; a static pod is none of the API's.
fn is_judged(pod: &Pod) -> bool {
    let ended = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
    let is_static = pod.metadata.annotations.mirror.is_some();
    !ended && !is_static && !pod.metadata.is_in(OWN)
}

fn maker(pod: &Pod) -> String {
    let owner = pod
        .metadata
        .owner_references
        .iter()
        .find(|owner| owner.controller);
    let (kind, name) = owner.map_or(("Pod", pod.metadata.name.as_str()), |owner| {
        (owner.kind.as_str(), owner.name.as_str())
    });
    match &pod.metadata.namespace {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = &pod.spec;
    spec.containers
        .iter()
        .chain(&spec.init_containers)
        .chain(&spec.ephemeral_containers)
}

fn is(so: PodTrait, pod: &Pod) -> bool {
    let spec = &pod.spec;
    let any = |is: &dyn Fn(&Container) -> bool| containers(pod).any(is);
    let own = |container: &Container| container.security_context.clone();
    match so {
        PodTrait::Privileged => any(&|one| one.security_context.privileged == Some(true)),
        PodTrait::HostPid => spec.host_pid,
        PodTrait::HostIpc => spec.host_ipc,
        PodTrait::HostNetwork => spec.host_network,
        PodTrait::Escalation => any(&|one| one.security_context.allow_privilege_escalation != Some(false)),
        PodTrait::Root => any(&|one| may_be_root(&one.security_context, &spec.security_context)),
        PodTrait::NetRaw => any(&|one| keeps(&own(one), "NET_RAW")),
        PodTrait::Capabilities => any(&|one| keeps(&own(one), "ALL")),
        PodTrait::HostProcess => {
            is_host_process(&spec.security_context) || any(&|one| is_host_process(&one.security_context))
        }
        PodTrait::HostPath => spec.volumes.iter().any(|volume| volume.host_path.is_some()),
        PodTrait::HostPort => any(&|one| one.ports.iter().any(|port| port.host_port != 0)),
        PodTrait::SecretInEnvironment => any(&|one| {
            let of_variables = one.env.iter().filter_map(|variable| variable.value_from.as_ref());
            let mut sources = of_variables.chain(&one.env_from);
            sources.any(|source| source.secret_key_ref.is_some() || source.secret_ref.is_some())
        }),
        PodTrait::NoSeccomp => any(&|one| !has_seccomp(&one.security_context, &spec.security_context)),
        PodTrait::NoContext => {
            spec.security_context == Context::default()
                && any(&|one| one.security_context == Context::default())
        }
    }
}

/// What the container says goes before what the pod says (kubernetes.io, Pod Security Standards, restricted).
fn may_be_root(own: &Context, of_pod: &Context) -> bool {
    let user = own.run_as_user.or(of_pod.run_as_user);
    let not_root = own.run_as_non_root.or(of_pod.run_as_non_root) == Some(true);
    user == Some(0) || user.is_none() && !not_root
}

fn keeps(own: &Context, capability: &str) -> bool {
    let Some(capabilities) = &own.capabilities else {
        return true;
    };
    let has = |list: &[String], wanted: &str| {
        list.iter()
            .any(|one| one.trim_start_matches("CAP_").eq_ignore_ascii_case(wanted))
    };
    let dropped = has(&capabilities.drop, "ALL") || has(&capabilities.drop, capability);
    !dropped || has(&capabilities.add, "ALL") || has(&capabilities.add, capability)
}

fn is_host_process(context: &Context) -> bool {
    let windows = context.windows_options.as_ref();
    windows.and_then(|windows| windows.host_process) == Some(true)
}

fn has_seccomp(own: &Context, of_pod: &Context) -> bool {
    let profile = own.seccomp_profile.as_ref().or(of_pod.seccomp_profile.as_ref());
    profile.is_some_and(|profile| matches!(profile.kind.as_str(), "RuntimeDefault" | "Localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: &str) -> Pod {
        let text = format!(r#"{{"metadata":{{"name":"p","namespace":"a"}},"spec":{spec}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn all(spec: &str) -> Vec<&'static str> {
        const TRAITS: [PodTrait; 14] = [
            PodTrait::Privileged,
            PodTrait::HostPid,
            PodTrait::HostIpc,
            PodTrait::HostNetwork,
            PodTrait::Escalation,
            PodTrait::Root,
            PodTrait::NetRaw,
            PodTrait::Capabilities,
            PodTrait::HostProcess,
            PodTrait::HostPath,
            PodTrait::HostPort,
            PodTrait::SecretInEnvironment,
            PodTrait::NoSeccomp,
            PodTrait::NoContext,
        ];
        let pods = [pod(spec)];
        let so = TRAITS.into_iter().filter(|so| !that_are(*so, &pods).is_empty());
        so.map(PodTrait::words).collect()
    }

    /// What Kubernetes calls restricted.
    const GOOD: &str = r#"{"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},
        "containers":[{"name":"c","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}},
                       "ports":[{"containerPort":80}],"env":[{"name":"A","value":"b"},{"name":"C","valueFrom":{"configMapKeyRef":{"name":"m","key":"k"}}}]}],
        "volumes":[{"name":"v","emptyDir":{}},{"name":"s","secret":{"secretName":"x"}}]}"#;

    #[test]
    fn a_restricted_pod_is_none_of_them_and_each_departure_is_one() {
        assert_eq!(all(GOOD), Vec::<&str>::new());
        let spec = |from: &str, to: &str| {
            let changed = GOOD.replace(from, to);
            assert_ne!(changed, GOOD, "{from}");
            all(&changed)
        };
        let first = r#"{"securityContext""#;
        let no_escalation = r#""allowPrivilegeEscalation":false"#;
        let table = [
            (first, r#"{"hostPID":true,"securityContext""#, PodTrait::HostPid),
            (first, r#"{"hostIPC":true,"securityContext""#, PodTrait::HostIpc),
            (
                first,
                r#"{"hostNetwork":true,"securityContext""#,
                PodTrait::HostNetwork,
            ),
            ("false", "true", PodTrait::Escalation),
            (r#""runAsNonRoot":true"#, r#""runAsUser":0"#, PodTrait::Root),
            ("RuntimeDefault", "Unconfined", PodTrait::NoSeccomp),
            (r#"["ALL"]"#, r#"["NET_RAW"]"#, PodTrait::Capabilities),
            (r#"["ALL"]"#, r#"["all"],"add":["CAP_NET_RAW"]"#, PodTrait::NetRaw),
            (r#""containerPort":80"#, r#""hostPort":80"#, PodTrait::HostPort),
            (
                r#""emptyDir":{}"#,
                r#""hostPath":{"path":"/etc"}"#,
                PodTrait::HostPath,
            ),
            ("configMapKeyRef", "secretKeyRef", PodTrait::SecretInEnvironment),
        ];
        for (from, to, so) in table {
            assert_eq!(spec(from, to), [so.words()]);
        }
        assert_eq!(
            spec(r#""runAsNonRoot":true"#, r#""runAsUser":7"#),
            Vec::<&str>::new()
        );
        let more = |more: &str| spec(no_escalation, &format!("{no_escalation},{more}"));
        assert_eq!(more(r#""privileged":true"#), [PodTrait::Privileged.words()]);
        assert_eq!(
            more(r#""windowsOptions":{"hostProcess":true}"#),
            [PodTrait::HostProcess.words()]
        );
    }

    #[test]
    fn what_a_container_says_goes_before_what_the_pod_says() {
        let pods = |own: &str| {
            [pod(&format!(
                r#"{{"securityContext":{{"runAsNonRoot":true,"runAsUser":7,"seccompProfile":{{"type":"RuntimeDefault"}}}},
                    "containers":[{{"name":"c"}}],"initContainers":[{{"name":"i","securityContext":{own}}}]}}"#
            ))]
        };
        assert!(that_are(PodTrait::Root, &pods("{}")).is_empty());
        assert!(!that_are(PodTrait::Root, &pods(r#"{"runAsUser":0}"#)).is_empty());
        assert!(
            !that_are(
                PodTrait::NoSeccomp,
                &pods(r#"{"seccompProfile":{"type":"Unconfined"}}"#)
            )
            .is_empty()
        );
    }

    #[test]
    fn a_bare_pod_lacks_everything_and_one_of_windows_only_what_windows_has() {
        let bare = all(r#"{"securityContext":{},"containers":[{"name":"c"}]}"#);
        assert_eq!(bare.len(), 6, "{bare:?}");
        let windows = all(r#"{"os":{"name":"windows"},"securityContext":{},"containers":[{"name":"c"}]}"#);
        assert_eq!(windows, [PodTrait::NoContext.words()]);
        let with_group = all(r#"{"securityContext":{"fsGroup":7},"containers":[{"name":"c"}]}"#);
        assert!(!with_group.contains(&PodTrait::NoContext.words()));
    }

    #[test]
    fn pods_are_told_once_by_who_made_them_and_the_clusters_own_ended_and_static_ones_are_not() {
        let of = |name: &str, more: &str, phase: &str| -> Pod {
            serde_json::from_str(&format!(
                r#"{{"metadata":{{"name":"{name}"{more}}},"spec":{{"hostNetwork":true,"containers":[]}},"status":{{"phase":"{phase}"}}}}"#
            ))
            .unwrap()
        };
        let owned = |kind: &str| {
            format!(
                r#","namespace":"a","ownerReferences":[{{"kind":"{kind}","name":"o","controller":true}}]"#
            )
        };
        let pods = [
            of("d-1", &owned("DaemonSet"), "Running"),
            of("d-2", &owned("DaemonSet"), "Pending"),
            of("owned", &owned("Node"), "Running"),
            of(
                "s",
                r#","namespace":"a","annotations":{"kubernetes.io/config.mirror":"x","other":"y"}"#,
                "Running",
            ),
            of("ended", r#","namespace":"a""#, "Succeeded"),
            of("lone", r#","namespace":"b""#, "Running"),
            of("proxy", r#","namespace":"kube-system""#, "Running"),
        ];
        let found: Vec<String> = that_are(PodTrait::HostNetwork, &pods).into_iter().collect();
        assert_eq!(found, ["DaemonSet a/o", "Node a/o", "Pod b/lone"]);
        assert_eq!(judged(&pods), 4);
        assert_eq!(in_namespace(&pods, "b").len(), 1);
    }

    #[test]
    fn a_token_that_somebody_asked_for_or_refused_is_theirs_to_answer_for() {
        let with = |spec: &str, account: &str| {
            let accounts: Vec<ServiceAccount> = serde_json::from_str(account).unwrap();
            with_unasked_token(&[pod(spec)], &accounts).len()
        };
        let none = r#"[{"metadata":{"name":"default","namespace":"a"}}]"#;
        let refused =
            r#"[{"metadata":{"name":"default","namespace":"a"},"automountServiceAccountToken":false}]"#;
        let of_other =
            r#"[{"metadata":{"name":"default","namespace":"b"},"automountServiceAccountToken":false}]"#;
        assert_eq!(with(r#"{"containers":[]}"#, none), 1);
        assert_eq!(with(r#"{"containers":[]}"#, refused), 0);
        assert_eq!(with(r#"{"containers":[]}"#, of_other), 1);
        assert_eq!(
            with(r#"{"containers":[],"automountServiceAccountToken":true}"#, none),
            0
        );
        assert_eq!(with(r#"{"containers":[],"serviceAccountName":"x"}"#, refused), 1);
    }
}
