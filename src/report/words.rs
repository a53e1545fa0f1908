//! Requirements, remedies and reasons in words.

use crate::cluster::{ClusterRule, Power};
use crate::controls::{
    CertificateRule, Control, FlagRule, FolderRule, KubeletRule, Precondition, Remedy, Requirement, Target,
};
use crate::domain::{Component, NodePath, PathPattern};
use crate::plan::{expected_constraint, expected_of_kubelet};

/// The section of a report that a control belongs to.
pub(super) fn section(control: &Control) -> String {
    let id = control.id.as_str();
    let Some(number) = id.strip_prefix("CIS-") else {
        return beyond_cis(id).to_owned();
    };
    let section: Vec<&str> = number.split('.').take(2).collect();
    let title = match section.as_slice() {
        ["1", "1"] => "Files of the control plane",
        ["1", "2"] => "API server",
        ["1", "3"] => "Controller manager",
        ["1", "4"] => "Scheduler",
        ["2", _] => "etcd",
        ["3", "1"] => "Who signs in",
        ["3", "2"] => "Logging",
        ["4", "1"] => "Files of the kubelet",
        ["4", "2"] => "Kubelet",
        ["4", "3"] => "kube-proxy",
        ["5", "1"] => "Rights and service accounts",
        ["5", "2"] => "Pods",
        ["5", "3"] => "Network policies",
        ["5", "4"] => "Secrets",
        ["5", "5"] => "Images",
        ["5", "6"] => "Namespaces and contexts",
        _ => "Other controls",
    };
    format!("CIS {}  {title}", section.join("."))
}

/// The section of a control that no benchmark lists.
fn beyond_cis(id: &str) -> &'static str {
    const SECTIONS: [(&str, &str); 12] = [
        ("X-API-", "More of the API server"),
        ("X-CRED-", "Credentials and certificates"),
        ("X-ETCD-", "More of etcd"),
        ("X-FILE-", "More files"),
        ("X-KUBELET-", "More of the kubelet"),
        ("X-NET-", "Network"),
        ("X-SELF-", "This check itself"),
        ("X-VER-", "Versions"),
        ("HF-CLUSTER-", "More of the cluster"),
        ("HF-CERT-", "Credentials and certificates"),
        ("HF-FOLDER-", "Manifests folder"),
        ("HF-ETCD-", "More of etcd"),
    ];
    let section = SECTIONS.iter().find(|(prefix, _)| id.starts_with(prefix));
    section.map_or("Flags that the configuration requires", |(_, title)| *title)
}

/// One word for what may be done about a drift.
pub(super) const fn remedy_class(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::Safe => "safe",
        Remedy::Restarts | Remedy::RestartsWhen(_) => "restarts",
        Remedy::When(_) | Remedy::Conditional(_) | Remedy::Kubelet { kit: Some(_), .. } => "conditional",
        Remedy::Kubelet { kit: None, .. } => "restarts",
        Remedy::Quarantine => "quarantine",
        Remedy::ReportOnly(_) => "report-only",
        Remedy::InPart(_) => "in-part",
    }
}

const fn precondition(precondition: Precondition) -> &'static str {
    match precondition {
        Precondition::ComponentsRunAsRoot => {
            "no control-plane manifest sets runAsUser (else the files belong to the accounts that the components run as)"
        }
    }
}

/// What a remedy does, and what it costs or needs.
pub(super) fn remedy(control: &Control) -> String {
    match control.remedy {
        Remedy::Safe => "Mended at once: the mode or owner is set. Nothing restarts.".to_owned(),
        Remedy::Restarts => match control.restarts() {
            Some(component) => format!(
                "Mended by one edit of the manifest of {component}, which restarts {component} once{}. If it does not come \
                 back healthy within disruption.deadline, the former manifest goes back.",
                cost(component)
            ),
            None => "Mended by an edit that restarts one component.".to_owned(),
        },
        Remedy::RestartsWhen(kit) => {
            let component = control.restarts().map_or_else(String::new, |one| one.to_string());
            format!(
                "Mended by one edit that restarts {component} once. It needs {}.",
                kit.needs()
            )
        }
        Remedy::Conditional(kit) => {
            let how = match control.restarts() {
                Some(component) => {
                    format!("by one edit that restarts {component} once, where the operator allows it")
                }
                None => "at once, where the operator allows it; nothing restarts".to_owned(),
            };
            format!("Mended {how}. It needs {}.", kit.needs())
        }
        Remedy::Kubelet { kit, .. } => {
            let needs = kit.map_or_else(String::new, |kit| format!(" It needs {}.", kit.needs()));
            format!(
                "Mended by one edit of the kubelet's configuration file, where no drop-in and no flag says otherwise; the kubelet restarts \
                 once, and its pods run on. If it does not come back healthy within disruption.deadline, the former file goes back.{needs} \
                 kubeadm writes the file from the ConfigMap kubelet-config at its next upgrade: set it there, too."
            )
        }
        Remedy::When(what) => format!(
            "Mended when it is proven that {}. Nothing restarts.",
            precondition(what)
        ),
        Remedy::Quarantine => {
            "Reported. With manifests.quarantine: true the file is moved out of the folder to \
             /var/lib/holdfast/quarantine; its pod stops."
                .to_owned()
        }
        Remedy::ReportOnly(needs) => format!("Only reported. A remedy needs {needs}."),
        Remedy::InPart(needs) => format!(
            "Modes and owners are mended at once, and nothing restarts. The rest is only reported; a remedy of it needs {needs}."
        ),
    }
}

const fn cost(component: Component) -> &'static str {
    match component {
        Component::ApiServer => " (the API of this node is away for that time)",
        Component::Etcd => " (the store of this node is away for that time)",
        Component::ControllerManager | Component::Scheduler => "",
    }
}

/// Why a drift is not mended although Holdfast could see it.
pub(super) fn why_not_mended(control: &Control) -> String {
    match control.remedy {
        Remedy::ReportOnly(needs) | Remedy::InPart(needs) => {
            format!("only reported; a remedy needs {needs}")
        }
        Remedy::Conditional(kit) | Remedy::RestartsWhen(kit) => {
            format!("only reported; a remedy needs {}", kit.needs())
        }
        Remedy::Kubelet { kit: Some(kit), .. } => format!("only reported; a remedy needs {}", kit.needs()),
        Remedy::Kubelet { kit: None, needs } => format!("only reported; a remedy needs {needs}"),
        Remedy::When(what) => format!(
            "only reported; it is mended when it is proven that {}",
            precondition(what)
        ),
        Remedy::Quarantine if control.requirement == Requirement::Folder(FolderRule::NoDuplicatePod) => {
            "only reported; see manifests.quarantine in the configuration".to_owned()
        }
        Remedy::Quarantine => {
            "only reported; see manifests.known and manifests.quarantine in the configuration".to_owned()
        }
        Remedy::Safe | Remedy::Restarts => "only reported; it is to be mended by hand".to_owned(),
    }
}

const FLAGS_ONCE: &str = "Each flag of kube-apiserver, kube-controller-manager, kube-scheduler and etcd stands once in the manifest; those of which each is one \
    more value may stand several times (--service-account-issuer, --service-account-key-file, --tls-sni-cert-key, --oidc-required-claim, --vmodule, and the two lists of \
    plug-ins of admission).";

const NOT_WIDENED: &str = "The pod of each component has one container, which is not privileged and has no capability more, neither hostPID nor hostIPC, the seccomp \
    profile RuntimeDefault, nothing but proxies in its environment, and beside kubeadm's own volumes only folders of the node in which one of its flags names a file. \
    Images are not judged.";

/// What must hold.
pub(super) fn requirement(requirement: &Requirement) -> String {
    match requirement {
        Requirement::Mode { target, ceiling } => format!(
            "{}: mode {ceiling} or stricter, that is no permission bit outside {ceiling}.",
            target_words(target)
        ),
        Requirement::Owner { target, owner } => format!("{}: owner {owner}.", target_words(target)),
        Requirement::OwnerAccount { target, account } => {
            format!("{}: owner {account}.", target_words(target))
        }
        Requirement::Access {
            target,
            ceiling,
            owner,
        } => format!(
            "{}: owner {owner}, and mode {ceiling} or stricter.",
            target_words(target)
        ),
        Requirement::Gone { target } => format!("{}: not there.", target_words(target)),
        Requirement::Flag {
            component,
            name,
            rule,
        } => match rule {
            FlagRule::Is {
                value,
                default,
                config_key,
            } => {
                let without =
                    default.map_or_else(String::new, |value| format!(" Without the flag it is {value}."));
                let key = config_key.map_or_else(String::new, |key| {
                    format!(" With --config, the key {key} of that file decides instead.")
                });
                format!("{component} runs with {name}={value}.{without}{key}")
            }
            FlagRule::IsSet { .. } => format!("{component} runs with {name}."),
            FlagRule::Meets(constraint) => {
                format!("Of {component}: {}.", expected_constraint(name, constraint))
            }
            FlagRule::AtLeast { minimum, with, .. } => {
                format!("{component} runs with {name}={minimum} or more, and with {with}.")
            }
        },
        Requirement::Folder(rule) => folder_rule(*rule).to_owned(),
        Requirement::Certificates(rule) => certificate_rule(*rule),
        Requirement::Kubelet(rule) => kubelet_rule(rule),
        Requirement::EncryptsSecrets => {
            "By the file of --encryption-provider-config, the first provider for secrets is kms, secretbox or aescbc; or aesgcm, if \
             encryption.rotateEvery replaces its key."
                .to_owned()
        }
        Requirement::FlagsOnce => FLAGS_ONCE.to_owned(),
        Requirement::Reported(rule) => rule.words().to_owned(),
        Requirement::NotWidened => NOT_WIDENED.to_owned(),
        Requirement::Cluster(rule) => cluster_rule(*rule),
        Requirement::AuditPolicy => format!(
            "By the file of --audit-policy-file, level Metadata or more for everybody's requests: {}.",
            crate::audit::SENSITIVE.map(|request| request.to_string()).join(", ")
        ),
    }
}

fn cluster_rule(rule: ClusterRule) -> String {
    const OWN: &str = "Left out are the bindings that Kubernetes and kubeadm make for their own components, with their own subjects.";
    const OTHERS: &str = "Of each namespace but kube-system, kube-public and kube-node-lease";
    let asks = match rule {
        ClusterRule::ProxyMetrics => "metricsBindAddress in the ConfigMap kube-system/kube-proxy is a loopback address. Unset it is 127.0.0.1:10249."
            .to_owned(),
        ClusterRule::ClusterAdmins => format!("Nobody is bound to the cluster role cluster-admin, or to one of another name that may do everything. {OWN}"),
        ClusterRule::Granted(Power::ReadSecrets) => format!(
            "Nobody may read secrets, by any binding (the answer to a patch or an update is the secret, too); a right to single secrets by name does not count. \
             {OWN}"
        ),
        ClusterRule::Granted(power) => format!("Nobody may {}, by any binding. {OWN}", power.words()),
        ClusterRule::Wildcards => {
            "No role has a rule with * for verbs, resources or API groups. Left out are Kubernetes' own (cluster-admin and system:*); who is bound to \
             them is judged by CIS-5.1.1 and others."
                .to_owned()
        }
        ClusterRule::DefaultAccounts => {
            "Each service account `default` has automountServiceAccountToken: false, and no binding names it.".to_owned()
        }
        ClusterRule::MountedTokens => {
            "Each pod outside kube-system, or its service account, says automountServiceAccountToken: true or false.".to_owned()
        }
        ClusterRule::Masters => format!("No binding names the group system:masters. {OWN}"),
        ClusterRule::PodPolicy => format!(
            "{OTHERS}: the label pod-security.kubernetes.io/enforce is baseline or restricted. With a validating webhook that is asked about new pods it \
             is unknown what a namespace without the label holds them to."
        ),
        ClusterRule::Pods(so) => format!(
            "No pod outside kube-system has {}. Static pods, and pods that have ended, are left out.",
            so.words()
        ),
        ClusterRule::NetworkPolicies => format!("{OTHERS}: there is a NetworkPolicy."),
        ClusterRule::DeniedByDefault => {
            format!("{OTHERS}: there is a NetworkPolicy that selects all pods, for Ingress, and lets nothing in.")
        }
        ClusterRule::StoredTokens => "There is no Secret of type kubernetes.io/service-account-token.".to_owned(),
        ClusterRule::ImagePolicy => {
            "The admission plug-in ImagePolicyWebhook is on. With a validating webhook that is asked about new pods it is unknown.".to_owned()
        }
        ClusterRule::DefaultNamespace => {
            "The namespace default holds no pod, and no Service but kubernetes.".to_owned()
        }
        ClusterRule::Attested(what) => {
            return format!("The operator says that {what}: by an exception for this control, with the reason. Nothing else can tell.");
        }
    };
    format!("{asks} Looked at by `holdfast check --cluster`.")
}

fn kubelet_rule(rule: &KubeletRule) -> String {
    const OVER: &str = "A flag of the running kubelet counts over a drop-in of --config-dir, and that over the file of --config.";
    match rule {
        KubeletRule::Setting { setting, must } => {
            let expected = expected_of_kubelet(*must);
            let names = match (setting.key, setting.flag) {
                ("", flag) => format!("--{flag}"),
                (key, "") => key.to_owned(),
                (key, flag) => format!("{key} (--{flag})"),
            };
            let built_in = match (setting.default, setting.without_file) {
                ("", _) => String::new(),
                (with, without) if with == without => format!(" Unset it is {with}."),
                (with, without) => {
                    format!(" Unset it is {with}, and {without} in a kubelet without a configuration file.")
                }
            };
            format!("The kubelet's {names}: {expected}.{built_in} {OVER}")
        }
        KubeletRule::ServingCertificate => format!(
            "The kubelet's serverTLSBootstrap is true, or tlsCertFile and tlsPrivateKeyFile are set. {OVER}"
        ),
        KubeletRule::RotatesServing => format!(
            "The kubelet's serverTLSBootstrap (--rotate-server-certificates) is true, and its feature gate RotateKubeletServerCertificate is \
             not off. {OVER}"
        ),
        KubeletRule::StaticPodPath => {
            format!(
                "The kubelet's staticPodPath (--pod-manifest-path) is /etc/kubernetes/manifests, or what `paths.manifests` of Holdfast's configuration names. {OVER}"
            )
        }
        KubeletRule::HandlersOff => {
            format!(
                "The kubelet's enableProfilingHandler and enableDebugFlagsHandler are false. Unset they are true. {OVER}"
            )
        }
        KubeletRule::NothingWeakens => format!(
            "What the file of --config makes good is good, too, with the drop-ins of --config-dir and the flags of the running kubelet. {OVER}"
        ),
    }
}

fn certificate_rule(rule: CertificateRule) -> String {
    match rule {
        CertificateRule::TimeLeft { authorities, days } => format!(
            "Each {} of the node (PKI folder, kubeconfigs, the kubelet's newest, what flags name) is valid now and for {days} more days.",
            if authorities { "certificate of an authority" } else { "certificate but those of authorities" }
        ),
        CertificateRule::Strong => {
            "Each certificate of the node has an RSA key of 2048 bits or more, one on a curve of 224 bits or more, or Ed25519, and no \
             signature over MD5 or SHA-1."
                .to_owned()
        }
        CertificateRule::OwnEtcdAuthority => {
            "No public key in etcd's --trusted-ca-file is in --client-ca-file or --requestheader-client-ca-file of kube-apiserver."
                .to_owned()
        }
    }
}

const fn folder_rule(rule: FolderRule) -> &'static str {
    match rule {
        FolderRule::NoUnknownManifest => {
            "Every file in the manifests folder is a component's manifest, was there at the first start, or is listed under \
             manifests.known."
        }
        FolderRule::NoDuplicatePod => "No two files in the manifests folder define the same pod.",
        FolderRule::PlainFiles => {
            "Every entry of the manifests folder is a plain file with one name: no symbolic link, no second hard link; and has no setuid, setgid or \
             sticky bit, and no access control list that names further users or groups."
        }
        FolderRule::NoSubfolder => "No folder lies in the manifests folder.",
        FolderRule::AllParsable => "The kubelet can read a pod from every file in the manifests folder.",
    }
}

fn target_words(target: &Target) -> String {
    match target {
        Target::Manifest(component) => format!("The manifest of {component}"),
        Target::Files(paths) => paths.iter().map(NodePath::as_str).collect::<Vec<_>>().join(", "),
        Target::Matching(patterns) => patterns
            .iter()
            .map(PathPattern::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        Target::Entries { paths, patterns } => {
            let paths = paths.iter().map(ToString::to_string);
            let names = paths.chain(patterns.iter().map(ToString::to_string));
            names.collect::<Vec<_>>().join(", ")
        }
        Target::FlagFiles { component, flags } => {
            let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
            format!("The files that {} of {component} name", flags.join(", "))
        }
        Target::EtcdMembers => {
            "All that lies below member in etcd's data folder (folders: may be entered by who may read them)"
                .to_owned()
        }
        Target::ManifestsFolder => "The folder of the static-pod manifests".to_owned(),
        Target::Tree(folder) => format!("{folder} and all that lies below it"),
        Target::EtcdData => "etcd's data folder (--data-dir of its manifest, else /var/lib/etcd)".to_owned(),
        Target::KubeletUnit => "The kubelet's systemd unit and its drop-ins".to_owned(),
        Target::KubeletConfig => {
            "The kubelet's configuration file (its --config, else /var/lib/kubelet/config.yaml)".to_owned()
        }
        Target::KubeletClientCa => "The CA file that the kubelet verifies its clients with".to_owned(),
        Target::KubeProxyKubeconfig => {
            "The kubeconfig of a kube-proxy that runs as a process of the host".to_owned()
        }
        Target::AuditFiles => {
            "The files that --audit-policy-file and --audit-log-path of kube-apiserver name, the rotated ones beside the log, and the log's folder if \
             its name has `audit` in it (folders: may be entered by who may read them)"
                .to_owned()
        }
    }
}

/// How to set the control in the configuration, as YAML that can be used as it is.
pub(super) fn configuration(control: &Control) -> String {
    let id = &control.id;
    if let (
        true,
        Requirement::Flag {
            component,
            name,
            rule: FlagRule::Is { value, .. },
            ..
        },
    ) = (is_required_flag(control), &control.requirement)
    {
        let value = serde_json::Value::from(value.as_str());
        return format!(
            "requiredFlags:\n  {component}:\n    {}: {value}\ncontrols:\n  {id}:\n    mode: enforce\n",
            name.as_str()
        );
    }
    let value = match &control.requirement {
        Requirement::Mode { ceiling, .. } | Requirement::Access { ceiling, .. } => Some(ceiling.to_string()),
        Requirement::Flag {
            rule: FlagRule::Is { value, .. },
            ..
        } => Some(value.clone()),
        Requirement::Flag {
            rule: FlagRule::AtLeast { minimum, .. },
            ..
        } => Some(minimum.to_string()),
        Requirement::Flag {
            rule: FlagRule::IsSet { usual: Some(usual) },
            ..
        } => Some(usual.clone()),
        Requirement::Certificates(CertificateRule::TimeLeft { days, .. }) => Some(days.to_string()),
        Requirement::Flag {
            rule: FlagRule::IsSet { usual: None } | FlagRule::Meets(_),
            ..
        }
        | Requirement::Owner { .. }
        | Requirement::OwnerAccount { .. }
        | Requirement::Gone { .. }
        | Requirement::Certificates(CertificateRule::Strong | CertificateRule::OwnEtcdAuthority)
        | Requirement::Kubelet(_)
        | Requirement::EncryptsSecrets
        | Requirement::AuditPolicy
        | Requirement::FlagsOnce
        | Requirement::Reported(_)
        | Requirement::NotWidened
        | Requirement::Cluster(_)
        | Requirement::Folder(_) => None,
    };
    let value = value.map_or_else(String::new, |value| {
        format!("    value: {}\n", serde_json::Value::from(value))
    });
    let conditional = match control.kit() {
        Some(_) => "    conditional: allow   # or report\n",
        None => "",
    };
    format!(
        "controls:\n  {id}:\n    mode: enforce   # or off, or audit\n{conditional}{value}    exception: {{ reason: \"why its drift is accepted\", \
         until: 2030-01-31 }}\n"
    )
}

/// True for a control that `requiredFlags` made.
fn is_required_flag(control: &Control) -> bool {
    control.id.as_str().starts_with("HF-FLAG-")
}
