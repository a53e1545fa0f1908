//! Modes and owners of the control plane's files: CIS 1.1 and 4.1.

use super::{Control, Kit, Precondition, Remedy, Requirement, Target, id, path, pattern};
use crate::domain::{Account, Component, Mode, Owner};

const MANIFEST: &str = "A manifest runs what it says as root on the host network; who can write it owns the node, and who \
    can read it learns every path and flag of the control plane. Changing mode or owner restarts nothing.";
const KUBECONFIG: &str = "The file holds a client key of the cluster: who can read it acts with its rights.";
const PKI: &str =
    "These keys and certificates are the cluster's root of trust: who can read a key signs in as anyone.";
const KUBELET: &str =
    "The kubelet runs as root; its unit and configuration decide who may command it and with what options.";
const CIS: &str = "CIS Kubernetes Benchmark 1.12";

/// One row of the table: id, slug, title, target, and what must hold.
struct Row {
    id: &'static str,
    rule: &'static str,
    title: &'static str,
    target: Target,
    rationale: &'static str,
    must: Must,
}

enum Must {
    Mode(u32),
    Root,
    RootWhen(Precondition),
    Etcd,
}

/// The rows of this table.
pub(super) fn controls() -> Vec<Control> {
    manifest_rows()
        .into_iter()
        .chain(node_rows())
        .chain(kubelet_rows())
        .map(control)
        .collect()
}

fn control(row: Row) -> Control {
    let Row { target, .. } = row;
    let (requirement, remedy) = match row.must {
        Must::Mode(bits) => (
            Requirement::Mode {
                target,
                ceiling: Mode::from_bits(bits),
            },
            Remedy::Safe,
        ),
        Must::Root => (
            Requirement::Owner {
                target,
                owner: Owner::ROOT,
            },
            Remedy::Safe,
        ),
        Must::RootWhen(precondition) => (
            Requirement::Owner {
                target,
                owner: Owner::ROOT,
            },
            Remedy::When(precondition),
        ),
        Must::Etcd => {
            let account = Account {
                user: "etcd".to_owned(),
                group: "etcd".to_owned(),
            };
            (
                Requirement::OwnerAccount { target, account },
                Remedy::Conditional(Kit::EtcdAccount),
            )
        }
    };
    Control {
        id: id(row.id),
        rule: row.rule.into(),
        title: row.title.into(),
        rationale: row.rationale,
        remedy,
        requirement,
        sources: CIS,
    }
}

fn manifest_rows() -> Vec<Row> {
    let manifests = [
        (Component::ApiServer, "CIS-1.1.1", "CIS-1.1.2"),
        (Component::ControllerManager, "CIS-1.1.3", "CIS-1.1.4"),
        (Component::Scheduler, "CIS-1.1.5", "CIS-1.1.6"),
        (Component::Etcd, "CIS-1.1.7", "CIS-1.1.8"),
    ];
    manifests
        .into_iter()
        .flat_map(|(component, mode_id, owner_id)| manifest_pair(component, mode_id, owner_id))
        .collect()
}

fn manifest_pair(component: Component, mode_id: &'static str, owner_id: &'static str) -> [Row; 2] {
    let (mode_rule, mode_title, owner_rule, owner_title) = match component {
        Component::ApiServer => (
            "file.manifest.kube-apiserver.mode",
            "kube-apiserver manifest is 0600 or stricter",
            "file.manifest.kube-apiserver.owner",
            "kube-apiserver manifest belongs to root",
        ),
        Component::ControllerManager => (
            "file.manifest.kube-controller-manager.mode",
            "kube-controller-manager manifest is 0600 or stricter",
            "file.manifest.kube-controller-manager.owner",
            "kube-controller-manager manifest belongs to root",
        ),
        Component::Scheduler => (
            "file.manifest.kube-scheduler.mode",
            "kube-scheduler manifest is 0600 or stricter",
            "file.manifest.kube-scheduler.owner",
            "kube-scheduler manifest belongs to root",
        ),
        Component::Etcd => (
            "file.manifest.etcd.mode",
            "etcd manifest is 0600 or stricter",
            "file.manifest.etcd.owner",
            "etcd manifest belongs to root",
        ),
    };
    let target = Target::Manifest(component);
    [
        Row {
            id: mode_id,
            rule: mode_rule,
            title: mode_title,
            target: target.clone(),
            rationale: MANIFEST,
            must: Must::Mode(0o600),
        },
        Row {
            id: owner_id,
            rule: owner_rule,
            title: owner_title,
            target,
            rationale: MANIFEST,
            must: Must::Root,
        },
    ]
}

fn node_rows() -> Vec<Row> {
    let files = |names: &[&str]| Target::Files(names.iter().copied().map(path).collect());
    let matching = |patterns: &[&str]| Target::Matching(patterns.iter().copied().map(pattern).collect());
    // CIS names the CNI's configuration; the lease files below /var/lib/cni churn with every pod and are left alone.
    let cni = "The network plug-in's configuration names the binaries that the runtime runs as root for each pod. A plug-in's \
        agent may write the file anew with its own mode; Holdfast then reports that, and does not fight it.";
    vec![
        Row {
            id: "CIS-1.1.9",
            rule: "file.cni.mode",
            title: "CNI configuration files are 0600 or stricter",
            target: matching(&[
                "/etc/cni/net.d/*.conf",
                "/etc/cni/net.d/*.conflist",
                "/etc/cni/net.d/*-kubeconfig",
            ]),
            rationale: cni,
            must: Must::Mode(0o600),
        },
        Row {
            id: "CIS-1.1.10",
            rule: "file.cni.owner",
            title: "CNI configuration files belong to root",
            target: matching(&["/etc/cni/net.d/*"]),
            rationale: cni,
            must: Must::Root,
        },
        Row {
            id: "CIS-1.1.11",
            rule: "file.etcd-data.mode",
            title: "etcd data folder is 0700 or stricter",
            target: Target::EtcdData,
            rationale: "The folder holds every object of the cluster, Secrets included.",
            must: Must::Mode(0o700),
        },
        Row {
            id: "CIS-1.1.12",
            rule: "file.etcd-data.owner",
            title: "etcd data folder belongs to etcd:etcd",
            target: Target::EtcdData,
            rationale: "An etcd with an account of its own cannot touch the rest of the node when it is broken into.",
            must: Must::Etcd,
        },
        Row {
            id: "CIS-1.1.13",
            rule: "file.admin-conf.mode",
            title: "admin.conf and super-admin.conf are 0600 or stricter",
            target: files(&["/etc/kubernetes/admin.conf", "/etc/kubernetes/super-admin.conf"]),
            rationale: KUBECONFIG,
            must: Must::Mode(0o600),
        },
        Row {
            id: "CIS-1.1.14",
            rule: "file.admin-conf.owner",
            title: "admin.conf and super-admin.conf belong to root",
            target: files(&["/etc/kubernetes/admin.conf", "/etc/kubernetes/super-admin.conf"]),
            rationale: KUBECONFIG,
            must: Must::Root,
        },
        Row {
            id: "CIS-1.1.15",
            rule: "file.scheduler-conf.mode",
            title: "scheduler.conf is 0600 or stricter",
            target: files(&["/etc/kubernetes/scheduler.conf"]),
            rationale: KUBECONFIG,
            must: Must::Mode(0o600),
        },
        Row {
            id: "CIS-1.1.16",
            rule: "file.scheduler-conf.owner",
            title: "scheduler.conf belongs to root",
            target: files(&["/etc/kubernetes/scheduler.conf"]),
            rationale: KUBECONFIG,
            must: Must::RootWhen(Precondition::ComponentsRunAsRoot),
        },
        Row {
            id: "CIS-1.1.17",
            rule: "file.controller-manager-conf.mode",
            title: "controller-manager.conf is 0600 or stricter",
            target: files(&["/etc/kubernetes/controller-manager.conf"]),
            rationale: KUBECONFIG,
            must: Must::Mode(0o600),
        },
        Row {
            id: "CIS-1.1.18",
            rule: "file.controller-manager-conf.owner",
            title: "controller-manager.conf belongs to root",
            target: files(&["/etc/kubernetes/controller-manager.conf"]),
            rationale: KUBECONFIG,
            must: Must::RootWhen(Precondition::ComponentsRunAsRoot),
        },
        Row {
            id: "CIS-1.1.19",
            rule: "file.pki.owner",
            title: "PKI folder and files belong to root",
            target: Target::Tree(path("/etc/kubernetes/pki")),
            rationale: PKI,
            must: Must::RootWhen(Precondition::ComponentsRunAsRoot),
        },
        Row {
            id: "CIS-1.1.20",
            rule: "file.pki-certificates.mode",
            title: "PKI certificates are 0644 or stricter",
            target: matching(&["/etc/kubernetes/pki/**/*.crt"]),
            rationale: "A certificate is public, but who can write one decides whom the components trust. (Up to CIS 1.10: 0600.)",
            must: Must::Mode(0o644),
        },
        Row {
            id: "CIS-1.1.21",
            rule: "file.pki-keys.mode",
            title: "PKI keys are 0600 or stricter",
            target: matching(&["/etc/kubernetes/pki/**/*.key"]),
            rationale: PKI,
            must: Must::Mode(0o600),
        },
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn kubelet_rows() -> Vec<Row> {
    let conf = || Target::Files(vec![path("/etc/kubernetes/kubelet.conf")]);
    let proxy = "A kube-proxy that runs as a process of the host reads its credentials from a file. kubeadm runs it as a \
        DaemonSet, which has none.";
    vec![
        Row {
            id: "CIS-4.1.1",
            rule: "file.kubelet-unit.mode",
            title: "kubelet unit and drop-ins are 0600 or stricter",
            target: Target::KubeletUnit,
            rationale: "Who can write the unit decides what the kubelet is started with. The unit holds no secret, so against \
                reading this gains little; a package upgrade restores the packaged mode, and Holdfast mends it again.",
            must: Must::Mode(0o600),
        },
        Row {
            id: "CIS-4.1.2",
            rule: "file.kubelet-unit.owner",
            title: "kubelet unit and drop-ins belong to root",
            target: Target::KubeletUnit,
            rationale: KUBELET,
            must: Must::Root,
        },
        Row {
            id: "CIS-4.1.3",
            rule: "file.kube-proxy-kubeconfig.mode",
            title: "kubeconfig of a host kube-proxy is 0600 or stricter",
            target: Target::KubeProxyKubeconfig,
            rationale: proxy,
            must: Must::Mode(0o600),
        },
        Row {
            id: "CIS-4.1.4",
            rule: "file.kube-proxy-kubeconfig.owner",
            title: "kubeconfig of a host kube-proxy belongs to root",
            target: Target::KubeProxyKubeconfig,
            rationale: proxy,
            must: Must::Root,
        },
        Row {
            id: "CIS-4.1.5",
            rule: "file.kubelet-conf.mode",
            title: "kubelet.conf is 0600 or stricter",
            target: conf(),
            rationale: KUBECONFIG,
            must: Must::Mode(0o600),
        },
        Row {
            id: "CIS-4.1.6",
            rule: "file.kubelet-conf.owner",
            title: "kubelet.conf belongs to root",
            target: conf(),
            rationale: KUBECONFIG,
            must: Must::Root,
        },
        Row {
            id: "CIS-4.1.7",
            rule: "file.kubelet-client-ca.mode",
            title: "kubelet client CA file is 0644 or stricter",
            target: Target::KubeletClientCa,
            rationale: "Who can write this CA decides who may command the kubelet. (Up to CIS 1.10: 0600.)",
            must: Must::Mode(0o644),
        },
        Row {
            id: "CIS-4.1.8",
            rule: "file.kubelet-client-ca.owner",
            title: "kubelet client CA file belongs to root",
            target: Target::KubeletClientCa,
            rationale: "Who can write this CA decides who may command the kubelet.",
            must: Must::RootWhen(Precondition::ComponentsRunAsRoot),
        },
        Row {
            id: "CIS-4.1.9",
            rule: "file.kubelet-config.mode",
            title: "kubelet configuration file is 0600 or stricter",
            target: Target::KubeletConfig,
            rationale: KUBELET,
            must: Must::Mode(0o600),
        },
        Row {
            id: "CIS-4.1.10",
            rule: "file.kubelet-config.owner",
            title: "kubelet configuration file belongs to root",
            target: Target::KubeletConfig,
            rationale: KUBELET,
            must: Must::Root,
        },
    ]
}
