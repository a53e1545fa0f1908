//! Settings of the kubelet: CIS 4.2 and more.

use super::{Control, Kit, KubeletRule, Must, Remedy, Requirement, id};
use crate::kubelet as of;

const CIS: &str =
    "CIS Kubernetes Benchmark 1.12; kubernetes pkg/kubelet/apis/config/v1beta1, cmd/kubelet/app";
const BEYOND: &str = "kubernetes.io, KubeletConfiguration v1beta1; kubernetes cmd/kubelet/app";
const BYPASS: &str = "kubernetes.io, Kubernetes API Server Bypass Risks";

/// What a remedy needs: these lines in the file, and nothing over it.
macro_rules! in_the_file {
    ($lines:literal) => {
        in_the_file!($lines, "")
    };
    ($lines:literal, $more:literal) => {
        concat!(
            "`",
            $lines,
            "`",
            $more,
            " in the kubelet's configuration file (and in the ConfigMap kubelet-config, from which kubeadm writes it), no drop-in and no flag \
             that says otherwise, and a restart of the kubelet"
        )
    };
}

const SIGNED: &str = "`serverTLSBootstrap: true` in the kubelet's configuration file (and in the ConfigMap kubelet-config, from which kubeadm writes \
    it), a restart of the kubelet, and its request approved: `kubectl get csr`, `kubectl certificate approve NAME`, each time that it asks";

/// The rows of this table.
pub(super) fn controls() -> Vec<Control> {
    access()
        .into_iter()
        .chain(serving())
        .chain(node())
        .chain(sources())
        .collect()
}

fn row(
    row_id: &str,
    rule: &'static str,
    title: &'static str,
    must: KubeletRule,
    needs: &'static str,
    rationale: &'static str,
    sources: &'static str,
) -> Control {
    Control {
        id: id(row_id),
        rule: rule.into(),
        title: title.into(),
        rationale,
        remedy: remedy(row_id, needs),
        requirement: Requirement::Kubelet(must),
        sources,
    }
}

/// What is mended in the file. The others need a flag taken away, a node joined anew, or a value that nobody but the operator has.
fn remedy(row_id: &str, needs: &'static str) -> Remedy {
    let kit = match row_id {
        "CIS-4.2.1" | "CIS-4.2.2" | "CIS-4.2.3" | "CIS-4.2.4" | "CIS-4.2.6" | "CIS-4.2.10" | "X-FILE-04"
        | "X-KUBELET-02" | "X-KUBELET-03" | "X-KUBELET-05" => None,
        "CIS-4.2.9" | "CIS-4.2.11" => Some(Kit::KubeletServing),
        "CIS-4.2.12" => Some(Kit::KubeletSuites),
        "CIS-4.2.13" => Some(Kit::KubeletPids),
        "CIS-4.2.14" => Some(Kit::KubeletSeccomp),
        "X-KUBELET-04" => Some(Kit::KubeletHandlers),
        "X-KUBELET-01" => Some(Kit::KernelDefaults),
        _ => return Remedy::ReportOnly(needs),
    };
    Remedy::Kubelet { kit, needs }
}

const fn setting(setting: of::Setting, must: Must) -> KubeletRule {
    KubeletRule::Setting { setting, must }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn access() -> Vec<Control> {
    vec![
        row(
            "CIS-4.2.1",
            "kubelet.anonymous-auth",
            "the kubelet refuses anonymous requests",
            setting(of::ANONYMOUS, Must::Be("false")),
            in_the_file!("authentication.anonymous.enabled: false"),
            "Who reaches the kubelet's port may otherwise ask without a name, and with a lax authorization run commands in every pod.",
            CIS,
        ),
        row(
            "CIS-4.2.2",
            "kubelet.authz-mode",
            "the kubelet asks the API server what a client may do",
            setting(of::AUTHORIZATION, Must::Be("Webhook")),
            in_the_file!("authorization.mode: Webhook"),
            "With AlwaysAllow whoever signs in at all may run commands in every pod of the node.",
            CIS,
        ),
        row(
            "CIS-4.2.3",
            "kubelet.client-ca",
            "the kubelet verifies client certificates",
            setting(of::CLIENT_CA, Must::BeFile),
            in_the_file!("authentication.x509.clientCAFile: /etc/kubernetes/pki/ca.crt"),
            "Without an authority no client, and not the API server either, can prove with a certificate who it is.",
            CIS,
        ),
        row(
            "CIS-4.2.4",
            "kubelet.read-only-port",
            "the kubelet's read-only port is off",
            setting(of::READ_ONLY_PORT, Must::Be("0")),
            in_the_file!("readOnlyPort: 0"),
            "It tells whoever asks the specifications of all pods of the node and what they use.",
            CIS,
        ),
        row(
            "CIS-4.2.5",
            "kubelet.streaming-timeout",
            "idle connections into pods end",
            setting(of::IDLE, Must::BeLongerThanZero),
            "the flag --streaming-connection-idle-timeout taken away (or a span above 0 in it), and a restart of the kubelet",
            "Connections that nobody uses are kept for ever, until there are too many. kubeadm writes 0s into the file, which means the built-in \
             four hours there; only the flag makes it a real zero.",
            CIS,
        ),
        row(
            "CIS-4.2.7",
            "kubelet.hostname-override",
            "the node goes by its own name",
            setting(of::HOSTNAME, Must::BeUnset),
            "the node joined anew under the host's name: without the flag it is another node to the cluster, and its certificates are another's",
            "Another name than the host's makes it harder to tell which machine a log is of. kubeadm gives the flag where nodeRegistration.name \
             is another name.",
            CIS,
        ),
        row(
            "X-KUBELET-03",
            "kubelet.webhook-authn",
            "the kubelet has bearer tokens checked by the API server",
            setting(of::WEBHOOK, Must::Be("true")),
            in_the_file!("authentication.webhook.enabled: true"),
            "Otherwise no service account can sign in, and monitoring is given certificates instead, which cannot be withdrawn.",
            BEYOND,
        ),
        row(
            "X-KUBELET-04",
            "kubelet.debugging-handlers",
            "the kubelet's handlers for profiling and flags are off",
            KubeletRule::HandlersOff,
            in_the_file!("enableProfilingHandler: false` and `enableDebugFlagsHandler: false"),
            "They show the inside of the process and change how much it logs. Logs, exec and port forwarding are another setting, \
             enableDebuggingHandlers, and go on.",
            BEYOND,
        ),
        row(
            "X-KUBELET-05",
            "kubelet.healthz-bind",
            "the kubelet's health port listens on the node alone",
            setting(of::HEALTHZ, Must::BeLoopback),
            in_the_file!("healthzBindAddress: 127.0.0.1"),
            "It asks nobody for a name, and nobody but the node's own tools needs it.",
            BEYOND,
        ),
    ]
}

fn serving() -> Vec<Control> {
    vec![
        row(
            "CIS-4.2.9",
            "kubelet.serving-cert",
            "the kubelet serves a certificate that can be verified",
            KubeletRule::ServingCertificate,
            SIGNED,
            "kubeadm leaves the kubelet with one that it signed itself, so the API server cannot tell the kubelet from somebody in between.",
            CIS,
        ),
        row(
            "CIS-4.2.10",
            "kubelet.rotate-certs",
            "the kubelet renews its client certificate",
            setting(of::ROTATE, Must::Be("true")),
            in_the_file!("rotateCertificates: true"),
            "One that is not renewed ends after a year, and the node is cut off. Unset means false, though the benchmark takes it for true.",
            CIS,
        ),
        row(
            "CIS-4.2.11",
            "kubelet.rotate-server-cert",
            "the kubelet renews its serving certificate",
            KubeletRule::RotatesServing,
            SIGNED,
            "Without serverTLSBootstrap nothing renews it, whatever the feature gate says, which alone the benchmark looks at: the self-signed \
             one ends after a year (kubernetes/kubernetes#99418).",
            CIS,
        ),
        row(
            "CIS-4.2.12",
            "kubelet.tls-ciphers",
            "the kubelet offers strong cipher suites only",
            setting(of::CIPHER_SUITES, Must::BeStrongSuites),
            in_the_file!(
                "tlsCipherSuites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]"
            ),
            "The built-in list of Go has suites without authenticated encryption, for old clients.",
            CIS,
        ),
        row(
            "X-KUBELET-02",
            "kubelet.tls-min-version",
            "the kubelet speaks TLS 1.2 or newer",
            setting(of::TLS_FLOOR, Must::BeModernTls),
            in_the_file!("tlsMinVersion: VersionTLS12"),
            "TLS 1.0 and 1.1 are broken. The floor of today's binaries is 1.2; the setting may have lowered it.",
            BEYOND,
        ),
    ]
}

fn node() -> Vec<Control> {
    vec![
        row(
            "CIS-4.2.6",
            "kubelet.iptables-util-chains",
            "the kubelet keeps its iptables chains",
            setting(of::IPTABLES_CHAINS, Must::Be("true")),
            in_the_file!("makeIPTablesUtilChains: true"),
            "Without the kubelet's own chains packets may pass that its rules drop.",
            CIS,
        ),
        row(
            "CIS-4.2.8",
            "kubelet.event-qps",
            "the kubelet tells its events",
            setting(of::EVENT_QPS, Must::BeAtLeast(0)),
            in_the_file!("eventRecordQPS: 50"),
            "Events of a break-in are lost when few are told. 0 means no limit.",
            CIS,
        ),
        row(
            "CIS-4.2.13",
            "kubelet.pod-pids-limit",
            "a pod may have so many processes and no more",
            setting(of::PIDS_LIMIT, Must::BeAtLeast(1)),
            in_the_file!(
                "podPidsLimit: 4096",
                ", or another number above what any pod of the node has now (pids.current of its cgroup),"
            ),
            "One pod that forks without end takes the processes of the whole node. -1 is no limit, though benchmarks' tools pass it.",
            CIS,
        ),
        row(
            "CIS-4.2.14",
            "kubelet.seccomp-default",
            "pods without a seccomp profile get the runtime's",
            setting(of::SECCOMP, Must::Be("true")),
            in_the_file!("seccompDefault: true"),
            "Otherwise they may make every system call of the kernel. A workload that needs one that the runtime's profile blocks fails at its next \
             start, until it is given a profile of its own.",
            CIS,
        ),
        row(
            "X-KUBELET-01",
            "kubelet.protect-kernel-defaults",
            "the kubelet changes no kernel parameter",
            setting(of::KERNEL_DEFAULTS, Must::Be("true")),
            "vm.overcommit_memory=1, vm.panic_on_oom=0, kernel.panic=10, kernel.panic_on_oops=1, kernel.keys.root_maxkeys=1000000 and \
             kernel.keys.root_maxbytes=25000000 set by the host at each boot (/etc/sysctl.d; the running kubelet has set them itself, so that they \
             look right now), or the kubelet does not start after the next one; then `protectKernelDefaults: true` in its \
             configuration file (and in the ConfigMap kubelet-config, from which kubeadm writes it), no drop-in and no flag that says otherwise, and \
             a restart of it",
            "It sets parameters of the whole host as it likes, over what the operator has set.",
            "DISA Kubernetes STIG V-242434; kubernetes pkg/kubelet/cm, component-helpers/node/util/sysctl",
        ),
    ]
}

fn sources() -> Vec<Control> {
    vec![
        row(
            "X-FILE-04",
            "kubelet.static-pod-url",
            "the kubelet takes no pods from a URL",
            setting(of::STATIC_POD_URL, Must::BeUnset),
            "`staticPodURL` taken out of the kubelet's configuration file and its drop-ins, the flag --manifest-url taken away, and a restart of \
             the kubelet",
            "Whoever answers there runs what they like as root on the node.",
            BYPASS,
        ),
        row(
            "X-FILE-05",
            "kubelet.static-pod-path",
            "the kubelet takes static pods from the folder that is guarded",
            KubeletRule::StaticPodPath,
            "`staticPodPath: /etc/kubernetes/manifests` in the kubelet's configuration file, the control plane's manifests there, and a restart of the \
             kubelet; or `paths.manifests` in Holdfast's configuration, where the folder is meant to be another",
            "A second folder of static pods would be one that nobody watches.",
            "kubernetes.io, Kubernetes API Server Bypass Risks; DISA Kubernetes STIG V-242397",
        ),
        row(
            "X-KUBELET-06",
            "kubelet.override-sources",
            "no drop-in and no flag weakens the kubelet's configuration file",
            KubeletRule::NothingWeakens,
            "the drop-in or the flag taken away, and a restart of the kubelet",
            "Who reads the file sees a hardened kubelet, and another one runs.",
            "kubernetes cmd/kubelet/app/server.go; KEP-3983; aquasecurity/kube-bench#1973",
        ),
    ]
}
