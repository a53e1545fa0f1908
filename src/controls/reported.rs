//! Facts of the node that are only reported: files with structure, credentials, listeners, versions.

use super::{Control, Kit, Remedy, Requirement, id};

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reported {
    /// The file of authorizers has Node and RBAC, and no webhook that fails open.
    AuthorizationFile,
    /// A namespace without a label is kept to a level of the Pod Security Standards.
    PodSecurityDefaults,
    /// The kubeconfigs of the control plane verify the server, and hold no static secret.
    Kubeconfigs,
    /// No administrator's kubeconfig lies in a home folder.
    HomeKubeconfigs,
    /// Each certificate has its key, and is by the right authority.
    Pairs,
    /// No private key can be read by others.
    ExposedKeys,
    /// The kubelet's unit starts the kubelet and nothing else.
    KubeletUnit,
    /// The control plane listens where it should, and nowhere else.
    Listeners,
    /// Nobody but the API server and members is connected to etcd.
    EtcdClients,
    /// sshd does not run on a worker.
    SshOnWorkers,
    /// The versions fit each other, and are maintained.
    Versions,
    /// Every control could be judged.
    Judged,
}

/// The rows of this table.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn controls() -> Vec<Control> {
    let row =
        |row_id, rule: &'static str, title: &'static str, requirement, remedy, rationale, sources| Control {
            id: id(row_id),
            rule: rule.into(),
            title: title.into(),
            rationale,
            remedy: Remedy::ReportOnly(remedy),
            requirement: Requirement::Reported(requirement),
            sources,
        };
    vec![
        Control {
            id: id("X-API-07"),
            rule: "apiserver.admission.psa-config".into(),
            title: "namespaces without a label are kept to a Pod Security level".into(),
            rationale: "A new namespace has no label, and without a default whoever may create pods in it may create one that owns the node.",
            remedy: Remedy::Conditional(Kit::PodSecurity),
            requirement: Requirement::Reported(Reported::PodSecurityDefaults),
            sources: "DISA STIG V-254800; kubernetes.io, Enforce Pod Security Standards by Configuring the Built-in Admission Controller",
        },
        row(
            "X-API-13",
            "apiserver.authz.config-file",
            "the file of authorizers keeps Node and RBAC, and fails closed",
            Reported::AuthorizationFile,
            "Node and RBAC among the authorizers, `failurePolicy: Deny` for each webhook, and the file root's alone; the API server reads it again by itself",
            "The file decides instead of --authorization-mode. A webhook that fails open hands its decision on whenever somebody keeps it from answering.",
            "kubernetes.io, Authorization; kubernetes apiserver/pkg/apis/apiserver/validation",
        ),
        Control {
            id: id("X-CRED-02"),
            rule: "cred.home-kubeconfig".into(),
            title: "no administrator's kubeconfig lies in a home folder".into(),
            rationale: "kubeadm init prints the commands that copy admin.conf there. The copy does not expire before the certificate does, cannot be \
                        revoked, and is read by whoever becomes that user.",
            remedy: Remedy::Conditional(Kit::HomeKubeconfigs),
            requirement: Requirement::Reported(Reported::HomeKubeconfigs),
            sources: "Microsoft Threat Matrix for Kubernetes MS-TA9003; NSA and CISA Kubernetes Hardening Guidance",
        },
        row(
            "X-CRED-03",
            "cred.kubeconfig-content",
            "kubeconfigs of the control plane verify the server and hold no static secret",
            Reported::Kubeconfigs,
            "the file made anew (`kubeadm init phase kubeconfig`), or `certificate-authority-data` in it instead of `insecure-skip-tls-verify`",
            "A component that does not verify the server tells its secrets to whoever answers. A token or password in a file works until somebody changes it.",
            "NSA and CISA Kubernetes Hardening Guidance; kubernetes client-go/tools/clientcmd/api",
        ),
        row(
            "X-CRED-07",
            "cert.pair",
            "each certificate has its key and the right authority",
            Reported::Pairs,
            "the pair made anew (`kubeadm init phase certs`), or the right file named by the flag",
            "A pair that does not fit shows at the next restart: the component does not start, or nobody believes it. A key of service accounts that does not \
             fit makes every token void.",
            "kubernetes cmd/kubeadm/app/phases/certs; kubernetes.io, PKI certificates and requirements",
        ),
        row(
            "X-CRED-09",
            "cred.private-key-elsewhere",
            "no private key outside the known places can be read by others",
            Reported::ExposedKeys,
            "the file removed, or 0600",
            "A copy that was made for a moment outlives the moment. Keys of the cluster sign in from anywhere.",
            "MITRE ATT&CK T1552.004",
        ),
        row(
            "X-KUBELET-07",
            "kubelet.unit-tamper",
            "the kubelet's unit starts the kubelet and nothing else",
            Reported::KubeletUnit,
            "what was added taken out of the unit or drop-in, and a restart of the kubelet; or an exception that says what it is for",
            "What the unit runs, runs as root at each start. A library that is preloaded sees all that the kubelet sees.",
            "MITRE ATT&CK T1543.002; kubernetes/release, kubelet.service and 10-kubeadm.conf",
        ),
        row(
            "X-NET-01",
            "net.ports",
            "the control plane listens where it should",
            Reported::Listeners,
            "the flag that opens the port taken out, and a restart of the component",
            "Ports without authentication, and those that are meant for the node alone, are open to whoever reaches the node.",
            "DISA STIG V-242410 to V-242413; kubernetes.io, Ports and Protocols",
        ),
        row(
            "HF-ETCD-1",
            "etcd.clients",
            "nobody but the API server and etcd's members is connected to etcd",
            Reported::EtcdClients,
            "a look at the program; a certificate of its own and a rule of the firewall where it is meant, or an exception that says what it is for",
            "etcd asks no role what a client may do: whoever is connected with a certificate of its authority reads and writes every object.",
            "kubernetes.io, Operating etcd clusters for Kubernetes; NSA and CISA Kubernetes Hardening Guidance",
        ),
        row(
            "X-NET-02",
            "host.sshd-worker",
            "sshd does not run on a worker",
            Reported::SshOnWorkers,
            "another way in, and `systemctl disable --now ssh`: without one nobody reaches the node any more",
            "Workers are made by machines and need no one to sign in. A node with a control plane is left out.",
            "DISA STIG V-242393 and V-242394",
        ),
        row(
            "X-VER-01",
            "host.version-support",
            "versions fit each other and are maintained",
            Reported::Versions,
            "an upgrade by `kubeadm upgrade`, one minor version at a time",
            "A version that is not maintained gets no fixes, and components that lie too far apart were never tested together.",
            "DISA STIG V-242443; kubernetes.io, Version Skew Policy and Patch Releases",
        ),
        row(
            "X-SELF-01",
            "daemon.state",
            "every control could be judged",
            Reported::Judged,
            "what the unknown findings ask for",
            "A check that failed looks like one that passed to whoever counts failures only.",
            "kubescape/kubescape issue 2816",
        ),
    ]
}

impl Reported {
    /// What must hold.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::AuthorizationFile => {
                "By the file of --authorization-config, Node and RBAC are among the authorizers, AlwaysAllow is not, each webhook has failurePolicy: Deny; \
                 and the file is root's, 0600 or stricter. Without the flag --authorization-mode decides (CIS-1.2.6 to CIS-1.2.8)."
            }
            Self::PodSecurityDefaults => {
                "By the file of --admission-control-config-file, the plug-in PodSecurity has defaults.enforce baseline or restricted."
            }
            Self::Kubeconfigs => {
                "Each kubeconfig of /etc/kubernetes verifies the server over HTTPS, and its users sign in by a client certificate or a token file, not by a \
                 token or password that stands in it, a command or an auth-provider."
            }
            Self::HomeKubeconfigs => {
                "No kubeconfig in the folder .kube of root or of a folder of /home has a client certificate of system:masters or kubeadm:cluster-admins; and \
                 each that is there is its user's, 0600 or stricter. Certificates that it names by a path are not followed."
            }
            Self::Pairs => {
                "Of each certificate that a flag of the control plane names with a key: the key is the certificate's, it is by the authority \
                 that those it is shown to know, and extendedKeyUsage allows what it is used for. The keys that sign tokens of service accounts are \
                 among those that verify them. Kubeconfigs are not looked at."
            }
            Self::ExposedKeys => {
                "No file of at most 256 KiB below /etc/kubernetes, /root, /var/lib/kubelet, /tmp, /var/tmp and /var/backups, at most four folders deep, that \
                 others than root can read has a private key in the clear. Folders that others cannot enter are left out, and so are kubeadm's own kubeconfigs and keys \
                 and the kubelet's, which have controls of their own."
            }
            Self::KubeletUnit => {
                "kubelet.service and its drop-ins start a program called kubelet by an absolute path, no command before, after or instead of it, take \
                 their environment from kubeadm's files (/var/lib/kubelet/kubeadm-flags.env, /etc/default/kubelet, /etc/sysconfig/kubelet), and set \
                 no variable but KUBELET_* and those of a proxy."
            }
            Self::Listeners => {
                "kube-apiserver, etcd and the kubelet listen beyond the node on the ports of --secure-port, of etcd's URLs for clients and peers, and of the \
                 kubelet's port; the others, and all else, on addresses of the node itself. None listens on 8080, 10251, 10252, 10255 or 4194."
            }
            Self::EtcdClients => {
                "Every connection to a port that the etcd of this node listens on comes from its API server, from etcd itself, from Holdfast, or from the address \
                 of a member. A program in a network of its own, as a pod, shows with its address. It is one look: who comes and goes may be missed."
            }
            Self::SshOnWorkers => {
                "On a node without a control plane, no unit of sshd is started with the system."
            }
            Self::Versions => {
                "kube-controller-manager and kube-scheduler are of the API server's minor version or of the one before, and that minor version is maintained \
                 (by the dates that this version of Holdfast knows). The kubelet's version is not looked at."
            }
            Self::Judged => "No other control that was asked for is unknown.",
        }
    }
}
