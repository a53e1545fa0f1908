//! Conditional remedies: what each needs on the node before its flags are set. The operator allows each by name, or all.

use std::collections::BTreeSet;

use super::{flag, path};
use crate::domain::{FlagName, NodePath};

/// A conditional remedy, by what it brings about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kit {
    /// The audit log: a policy, a folder for the log, both mounted into the pod, and room on the disk.
    AuditLog,
    /// The anonymous may ask for health alone, by an AuthenticationConfiguration.
    Anonymous,
    /// Service account tokens end when they say so.
    TokenExpiry,
    /// etcd's data belongs to an account of its own.
    EtcdAccount,
    /// The API server verifies the kubelets' serving certificates.
    KubeletCa,
    /// The API server offers strong cipher suites only.
    ServerSuites,
    /// Services are given no external addresses.
    ExternalIps,
    /// Events are limited, by an AdmissionConfiguration.
    EventRateLimit,
    /// A namespace without a label is kept to baseline, by an AdmissionConfiguration.
    PodSecurity,
    /// The kubelet asks the cluster for its serving certificate.
    KubeletServing,
    /// The kubelet offers strong cipher suites only.
    KubeletSuites,
    /// A pod may have so many processes.
    KubeletPids,
    /// Pods get the runtime's seccomp profile.
    KubeletSeccomp,
    /// The kubelet's handlers for profiling and flags are off.
    KubeletHandlers,
    /// The kubelet sets no kernel parameter.
    KernelDefaults,
    /// The API server shows the kubelets a client certificate.
    KubeletClient,
    /// The API server shows etcd a client certificate.
    EtcdClient,
    /// The API server serves kubeadm's certificate.
    ApiServing,
    /// No file of static tokens is read.
    StaticTokens,
    /// Tokens of service accounts are verified with the key that fits the one that signs them.
    TokenKey,
    /// What turns on every alpha feature goes.
    AlphaOff,
    /// A flag that stands several times stands once, with the value that counts.
    OneFlag,
    /// A port of metrics and health is open to the node alone, and the probes ask there.
    Loopback,
    /// etcd serves kubeadm's certificate, and none that it makes itself.
    EtcdServing,
    /// etcd asks its clients for certificates.
    EtcdClients,
    /// etcd's peers show each other certificates that they verify.
    EtcdPeers,
    /// etcd offers strong cipher suites only.
    EtcdSuites,
    /// The container runtime's socket is root's and its group's alone.
    RuntimeSocket,
    /// Others may not enter the kubelet's folder.
    KubeletRoot,
    /// The audit policy and the audit log are closed to others.
    AuditFiles,
    /// Kubeconfigs in home folders are their users' alone.
    HomeKubeconfigs,
}

/// What a flag's value needs on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provision {
    /// The folder that is mounted into the pod, at the same path. It is made if it is not there.
    pub folder: NodePath,
    /// The volume's name.
    pub volume: &'static str,
    /// `hostPath.type` of the volume.
    pub volume_type: &'static str,
    /// True when the component writes there.
    pub writable: bool,
    /// The file that the flag names, where it must be there before.
    pub file: Option<NodePath>,
    /// Its content, where Holdfast installs it.
    pub content: Option<String>,
}

/// A file that the operator names, in a folder that cannot be mounted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{file} lies in {folder}, which is not mounted into a pod as a whole; put it into a folder of its own"
)]
pub struct NoFolder {
    file: NodePath,
    folder: String,
}

/// Where the audit log goes, and where the policy lies, if the operator names nothing else (Kubernetes documents, "Auditing").
pub(super) const AUDIT_LOG: &str = "/var/log/kubernetes/audit/audit.log";
pub(super) const AUDIT_POLICY: &str = "/etc/kubernetes/audit/policy.yaml";
/// Where the AuthenticationConfiguration lies.
pub const AUTHENTICATION: &str = "/etc/kubernetes/authentication/config.yaml";
/// Where the AdmissionConfiguration lies, and the flag that names it.
pub const ADMISSION: &str = "/etc/kubernetes/admission/config.yaml";
/// See [`ADMISSION`].
pub const ADMISSION_FLAG: &str = "admission-control-config-file";
const POLICY: &str = include_str!("kits/audit-policy.yaml");
const AUTHENTICATION_CONFIG: &str = include_str!("kits/authentication.yaml");

/// What no component sees as a whole: the keys and manifests of the others lie there.
const TOO_MUCH: [&str; 7] = [
    "/",
    "/etc",
    "/etc/kubernetes",
    "/etc/kubernetes/manifests",
    "/var",
    "/var/log",
    "/var/lib",
];

impl Kit {
    /// True when it needs a certificate and a key that belong together, or a key that fits another.
    #[must_use]
    pub const fn is_about_pairs(self) -> bool {
        matches!(
            self,
            Self::KubeletClient
                | Self::EtcdClient
                | Self::ApiServing
                | Self::TokenKey
                | Self::EtcdServing
                | Self::EtcdClients
                | Self::EtcdPeers
        )
    }

    /// What it needs, in words.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table")]
    pub const fn needs(self) -> &'static str {
        match self {
            Self::AuditLog => {
                "an audit policy, a log folder, both mounted into the pod, and room on the disk. Holdfast makes and checks them when the \
                 configuration says `conditional: allow`, for all such controls or for this one; a policy that is there is kept"
            }
            Self::Anonymous => {
                "`conditional: allow` in the configuration, an API server of 1.34 or newer without --anonymous-auth, and no binding that grants the \
                 anonymous more than Kubernetes and kubeadm do. Holdfast installs an AuthenticationConfiguration that leaves them the health \
                 endpoints and cluster-info, and that says what the --oidc-* flags say, which go: with --anonymous-auth=false the kubelet's own probes get 401 and \
                 restart the server for ever"
            }
            Self::TokenExpiry => {
                "`conditional: allow` in the configuration, and no client that has used a token beyond its time since the API server was \
                 started (its metric serviceaccount_stale_tokens_total is 0, which says little shortly after a start): such a client would get 401 \
                 after about an hour"
            }
            Self::EtcdAccount => {
                "`conditional: allow` in the configuration, an account etcd:etcd on the host (config/sysusers.d/holdfast-etcd.conf makes one), \
                 and an etcd that runs as root or as that account. While it runs as root, as kubeadm has it, a change of owner protects \
                 nothing; as another account it would lose its data"
            }
            Self::KubeletCa => {
                "`conditional: allow` in the configuration, and every node's kubelet serving a certificate that the authority has signed \
                 (CIS-4.2.9 on each, its request approved): each is dialled before. One that is not would show no logs any more"
            }
            Self::ServerSuites => {
                "`conditional: allow` in the configuration: clients and health checks of load balancers that know other suites only are \
                 refused. What is strong in a list that is given stays, and the two suites of which HTTP/2 needs one come to it"
            }
            Self::ExternalIps => {
                "`conditional: allow` in the configuration, and no Service that has spec.externalIPs now: with it no Service is given an \
                 address of that kind any more"
            }
            Self::EventRateLimit => {
                "`conditional: allow` in the configuration. Holdfast installs an AdmissionConfiguration with a ceiling of 5000 events a second \
                 for the whole server, since the plug-in does not start without limits; one that --admission-control-config-file names already \
                 must have limits for EventRateLimit"
            }
            Self::PodSecurity => {
                "`conditional: allow` in the configuration, and no pod that baseline would refuse in a namespace without a label, kube-system \
                 apart: the API server is asked by a dry run of the label on each (which takes the right to patch namespaces). Holdfast installs \
                 an AdmissionConfiguration; into one that --admission-control-config-file names already the section PodSecurity is written by hand. What \
                 does not run at that moment is not seen (a CronJob, a Deployment without pods), and kube-system's own labels count no more"
            }
            Self::KubeletServing => {
                "`conditional: allow` in the configuration, and each request of the kubelet approved (`kubectl get csr`, `kubectl certificate \
                 approve NAME`): from the restart on until the first is, logs and exec of this node's pods fail"
            }
            Self::KubeletSuites => {
                "`conditional: allow` in the configuration: clients of the kubelet that know other suites only are refused"
            }
            Self::KubeletPids => {
                "`conditional: allow` in the configuration, and no pod of the node that has as many processes now"
            }
            Self::KubeletSeccomp => {
                "`conditional: allow` in the configuration: a workload that needs a system call which the runtime's profile blocks fails at its \
                 next start, until it is given a profile of its own"
            }
            Self::KubeletHandlers => {
                "`conditional: allow` in the configuration: nobody can profile the kubelet over the network any more"
            }
            Self::KernelDefaults => {
                "kernel parameters that the host sets itself at each boot (sysctl.d), as the kubelet wants them, and `conditional: allow` in the \
                 configuration: with a file less the kubelet does not start after the next boot"
            }
            Self::KubeletClient => {
                "both files there, the key the certificate's, and the certificate by the authority that the kubelet verifies its clients with: \
                 another one stops exec, logs and metrics"
            }
            Self::EtcdClient => {
                "both files there, the key the certificate's, and the certificate by the authority that etcd verifies its clients with: with \
                 another one the API server does not start"
            }
            Self::ApiServing => {
                "both files there, the key the certificate's, the certificate by the authority that pods are given, and for the address that the \
                 API server advertises"
            }
            Self::StaticTokens => {
                "`conditional: allow` in the configuration, and the certainty that no bootstrap or emergency user needs the file: its users \
                 lose access at once. The file itself stays where it is"
            }
            Self::TokenKey => {
                "`conditional: allow` in the configuration, and a public key that fits the keys which sign, of the API server and of the \
                 controller manager: a wrong one makes every token void"
            }
            Self::AlphaOff => {
                "`conditional: allow` in the configuration, and the certainty that no object of an alpha API is needed, nor, where the switch is \
                 api/all, of a beta API: it can no longer be reached. Only the switch that turns on all goes, those of single features stay"
            }
            Self::OneFlag => {
                "`conditional: allow` in the configuration, and a flag of which Holdfast knows what counts where it stands several times: the \
                 last value, or all of them. That value stays, at the place of the last"
            }
            Self::Loopback => {
                "`conditional: allow` in the configuration, and the certainty that nobody scrapes the port from elsewhere. The probes of the \
                 manifest are made to ask the same address"
            }
            Self::EtcdServing => {
                "`conditional: allow` in the configuration, both files there, the key the certificate's, and the certificate by the authority that \
                 the API server verifies etcd with. etcd restarts once, as the only member"
            }
            Self::EtcdClients => {
                "`conditional: allow` in the configuration, and an API server that shows a certificate of the authority which etcd is to verify \
                 its clients with. Clients that show none (a script of backups) are refused from then on; etcd restarts once, as the only member"
            }
            Self::EtcdPeers => {
                "`conditional: allow` in the configuration, both files there, the key the certificate's, the certificate by the authority of the \
                 peers, and no other member (--initial-cluster): with others each would need its certificate first"
            }
            Self::EtcdSuites => {
                "`conditional: allow` in the configuration: clients that know other suites only are refused. What is strong in the list stays, \
                 and the two suites of which HTTP/2 needs one come to it"
            }
            Self::RuntimeSocket => {
                "`conditional: allow` in the configuration. Only the mode and the user are mended: the group is what the runtime's own \
                 configuration says ([grpc] gid of containerd), and so is the operator's. The runtime makes the socket anew at each start, so its \
                 configuration should be mended, too"
            }
            Self::KubeletRoot => {
                "`conditional: allow` in the configuration, and no process of another user than root that works below the folder or has something \
                 open there (log shippers, storage plug-ins, security profiles): each is looked at before. What reads there now and then is not seen"
            }
            Self::AuditFiles => {
                "`conditional: allow` in the configuration, and no process of another user than root that has the policy, the log or a rotated one open \
                 (a log shipper): each is looked at before. Where a group is to read the log, the value says so (\"0640\"): that mode is then allowed, \
                 and the group kept"
            }
            Self::HomeKubeconfigs => {
                "`conditional: allow` in the configuration for modes of what is its user's, and for root's own home. Done by hand: an administrator's \
                 copy removed, or an identity of its own for who uses it; and a file of somebody else in a user's home removed or given to them, which \
                 would let them read what may not be theirs"
            }
        }
    }

    /// What a value of one of its flags needs; nothing for a number. Remedies that are made at once may share a file.
    ///
    /// # Errors
    /// When the file that it names cannot be mounted.
    pub fn provision(
        self,
        name: &FlagName,
        value: &str,
        at_once: &BTreeSet<Self>,
    ) -> Result<Option<Provision>, NoFolder> {
        match self {
            Self::EventRateLimit | Self::PodSecurity if *name == flag(ADMISSION_FLAG) => {
                let has = |kit| self == kit || at_once.contains(&kit);
                let content = admission_config(has(Self::EventRateLimit), has(Self::PodSecurity));
                provision(value, installed("admission-config", ADMISSION, content))
            }
            Self::AuditLog if *name == flag("audit-log-path") => {
                provision(value, |folder, _| Provision {
                    folder,
                    volume: "audit-log",
                    // A folder that somebody removes does not keep the API server from starting.
                    volume_type: "DirectoryOrCreate",
                    writable: true,
                    file: None,
                    content: None,
                })
            }
            Self::AuditLog if *name == flag("audit-policy-file") => {
                provision(value, installed("audit-policy", AUDIT_POLICY, POLICY))
            }
            Self::Anonymous => provision(
                value,
                installed("authentication-config", AUTHENTICATION, AUTHENTICATION_CONFIG),
            ),
            Self::AuditLog
            | Self::TokenExpiry
            | Self::EtcdAccount
            | Self::KubeletCa
            | Self::ServerSuites
            | Self::ExternalIps
            | Self::EventRateLimit
            | Self::PodSecurity
            | Self::KubeletServing
            | Self::KubeletSuites
            | Self::KubeletPids
            | Self::KubeletSeccomp
            | Self::KubeletHandlers
            | Self::KernelDefaults
            | Self::KubeletClient
            | Self::EtcdClient
            | Self::ApiServing
            | Self::StaticTokens
            | Self::TokenKey
            | Self::AlphaOff
            | Self::OneFlag
            | Self::Loopback
            | Self::EtcdServing
            | Self::EtcdClients
            | Self::EtcdPeers
            | Self::EtcdSuites
            | Self::RuntimeSocket
            | Self::KubeletRoot
            | Self::AuditFiles
            | Self::HomeKubeconfigs => Ok(None),
        }
    }
}

/// Of either plug-in, or of both.
const fn admission_config(events: bool, pods: bool) -> &'static str {
    const EVENTS: &str = concat!(
        include_str!("kits/admission-head.yaml"),
        include_str!("kits/admission-events.yaml")
    );
    const PODS: &str = concat!(
        include_str!("kits/admission-head.yaml"),
        include_str!("kits/admission-pods.yaml")
    );
    const BOTH: &str = concat!(
        include_str!("kits/admission-head.yaml"),
        include_str!("kits/admission-events.yaml"),
        include_str!("kits/admission-pods.yaml")
    );
    match (events, pods) {
        (_, false) => EVENTS,
        (false, true) => PODS,
        (true, true) => BOTH,
    }
}

/// A file that the component reads. Holdfast installs it at its usual place alone.
fn installed(
    volume: &'static str,
    usual: &'static str,
    content: &'static str,
) -> impl FnOnce(NodePath, NodePath) -> Provision {
    move |folder, file| Provision {
        folder,
        volume,
        volume_type: "Directory",
        writable: false,
        content: (file == path(usual)).then(|| content.to_owned()),
        file: Some(file),
    }
}

fn provision(
    value: &str,
    of: impl FnOnce(NodePath, NodePath) -> Provision,
) -> Result<Option<Provision>, NoFolder> {
    let Ok(file) = value.parse::<NodePath>() else {
        return Ok(None);
    };
    let folder = file
        .parent()
        .filter(|folder| !TOO_MUCH.contains(&folder.as_str()));
    match folder {
        Some(folder) => Ok(Some(of(folder, file))),
        None => Err(NoFolder {
            folder: file
                .parent()
                .map_or_else(|| "/".to_owned(), |folder| folder.to_string()),
            file,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::plugin;
    use crate::audit::{Level, Policy, SENSITIVE};

    #[test]
    fn each_file_brings_the_folder_that_it_lies_in_and_only_our_own_its_content() {
        let of = |name, value| {
            Kit::AuditLog
                .provision(&flag(name), value, &BTreeSet::new())
                .unwrap()
        };
        let log = of("audit-log-path", AUDIT_LOG).unwrap();
        assert_eq!(
            (log.folder.as_str(), log.writable, log.file, log.content),
            ("/var/log/kubernetes/audit", true, None, None)
        );
        let ours = of("audit-policy-file", AUDIT_POLICY).unwrap();
        assert_eq!(
            (ours.folder.as_str(), ours.writable, ours.content),
            ("/etc/kubernetes/audit", false, Some(POLICY.to_owned()))
        );
        let theirs = of("audit-policy-file", "/etc/audit/p.yaml").unwrap();
        assert_eq!(theirs.file, Some(path("/etc/audit/p.yaml")));
        assert_eq!(theirs.content, None);
        assert_eq!(of("audit-log-maxage", "30"), None);
        assert_eq!(of("audit-log-path", "-"), None);
    }

    #[test]
    fn a_folder_with_the_keys_of_others_is_never_mounted() {
        let why = Kit::AuditLog
            .provision(
                &flag("audit-policy-file"),
                "/etc/kubernetes/audit.yaml",
                &BTreeSet::new(),
            )
            .unwrap_err();
        assert!(why.to_string().contains("a folder of its own"), "{why}");
    }

    #[test]
    fn an_admission_configuration_has_what_is_made_at_once() {
        let of = |kit: Kit, at_once: &[Kit], value: &str| {
            let at_once = at_once.iter().copied().collect();
            kit.provision(&flag(ADMISSION_FLAG), value, &at_once)
                .unwrap()
                .unwrap()
        };
        let has = |provision: &Provision| {
            let document: serde_json::Value =
                serde_yaml::from_str(provision.content.as_ref().unwrap()).unwrap();
            ["EventRateLimit", "PodSecurity"].map(|name| plugin(&document, name).unwrap().is_some())
        };
        let (events, pods) = (Kit::EventRateLimit, Kit::PodSecurity);
        assert_eq!(has(&of(events, &[], ADMISSION)), [true, false]);
        assert_eq!(has(&of(pods, &[Kit::AuditLog], ADMISSION)), [false, true]);
        assert_eq!(has(&of(events, &[events, pods], ADMISSION)), [true, true]);
        assert_eq!(of(events, &[pods], ADMISSION), of(pods, &[events], ADMISSION));
        assert_eq!(of(events, &[], "/etc/admission/a.yaml").content, None);
        let list = flag("enable-admission-plugins");
        assert_eq!(
            events.provision(&list, "EventRateLimit", &BTreeSet::new()),
            Ok(None)
        );
    }

    #[test]
    fn the_policy_that_is_installed_logs_all_that_is_sensitive() {
        let document: serde_json::Value = serde_yaml::from_str(POLICY).unwrap();
        let policy = Policy::of(&document).unwrap();
        for request in SENSITIVE {
            assert!(policy.level(&request) >= Level::Metadata, "{request}");
        }
    }
}
