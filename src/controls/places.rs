//! Files and folders that no benchmark lists: who may enter the folders of the control plane, and what should not lie there.

use super::{Control, Kit, Precondition, Remedy, Requirement, Target, flag, id, path, pattern};
use crate::domain::{Component, Mode, Owner};

/// One row of the table: id, slug, title, target, the widest mode (none: it must not be there), remedy, why, source.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    Target,
    Option<u32>,
    Remedy,
    &'static str,
    &'static str,
);

const HYGIENE: &str = "NSA/CISA Kubernetes Hardening Guidance 1.2; general file hygiene";
const BYPASS: &str = "kubernetes.io, API server bypass risks";
const PACKAGE: &str = "The kubelet's Debian package makes this folder 0775, so that every service with the group root can add files to it; an \
    upgrade of the package may restore that, and Holdfast mends it again.";

/// By name: a folder of programs holds thousands of others.
const BINARIES: [&str; 12] = [
    "/usr/bin/kubelet",
    "/usr/bin/kubeadm",
    "/usr/bin/kubectl",
    "/usr/bin/containerd",
    "/usr/bin/containerd-shim-runc-v2",
    "/usr/bin/crio",
    "/usr/local/bin/kubelet",
    "/usr/local/bin/kubeadm",
    "/usr/local/bin/kubectl",
    "/usr/local/bin/containerd",
    "/usr/local/bin/containerd-shim-runc-v2",
    "/usr/local/bin/crio",
];

/// The rows of this table.
pub(super) fn controls() -> Vec<Control> {
    folders()
        .into_iter()
        .chain(kubelet())
        .chain(named_by_flags())
        .chain(host())
        .chain(credentials())
        .map(control)
        .collect()
}

fn control((row_id, rule, title, target, ceiling, remedy, rationale, sources): Row) -> Control {
    Control {
        id: id(row_id),
        rule: rule.into(),
        title: title.into(),
        rationale,
        remedy,
        requirement: match ceiling {
            Some(bits) => Requirement::Access {
                target,
                ceiling: Mode::from_bits(bits),
                owner: Owner::ROOT,
            },
            None => Requirement::Gone { target },
        },
        sources,
    }
}

fn entries(paths: &[&str], patterns: &[&str]) -> Target {
    Target::Entries {
        paths: paths.iter().copied().map(path).collect(),
        patterns: patterns.iter().copied().map(pattern).collect(),
    }
}

fn folders() -> [Row; 4] {
    [
        (
            "X-FILE-01",
            "file.manifests.dir.mode",
            "the manifests folder is 0700 or stricter and belongs to root",
            Target::ManifestsFolder,
            Some(0o700),
            Remedy::Safe,
            "Who can put a file here runs it as root, without the API server being asked. The kubelet's Debian package makes the \
             folder 0775; an upgrade of the package may restore that. The kubelet logs one harmless error when the mode changes.",
            BYPASS,
        ),
        (
            "X-FILE-06",
            "file.ancestors",
            "no folder above the protected files can be written to by others",
            entries(&["/", "/etc", "/var", "/var/lib", "/usr", "/usr/bin"], &[]),
            Some(0o7755),
            Remedy::ReportOnly(
                "a look at what made it so, and a chmod by hand: these folders are the distribution's",
            ),
            "Who can write to a folder can put another one in the place of what lies in it, whatever the mode of that is.",
            HYGIENE,
        ),
        (
            "X-FILE-12",
            "file.kubernetes.tmp",
            "what kubeadm keeps in /etc/kubernetes/tmp is 0700 or stricter and belongs to root",
            entries(&[], &["/etc/kubernetes/tmp/kubeadm-*"]),
            Some(0o700),
            Remedy::Safe,
            "An upgrade leaves the former manifests here, and a whole copy of etcd if it touched that: every Secret of the cluster. \
             They are closed and never removed: while kubeadm runs they are what it goes back to.",
            "kubernetes cmd/kubeadm/app/phases/upgrade/staticpods.go",
        ),
        (
            "X-FILE-19",
            "file.kubernetes.dir.mode",
            "/etc/kubernetes and the PKI folders are 0755 or stricter and belong to root",
            entries(
                &[
                    "/etc/kubernetes",
                    "/etc/kubernetes/pki",
                    "/etc/kubernetes/pki/etcd",
                ],
                &[],
            ),
            Some(0o755),
            Remedy::Safe,
            PACKAGE,
            HYGIENE,
        ),
    ]
}

fn kubelet() -> [Row; 4] {
    [
        (
            "X-FILE-08",
            "file.kubelet.root-dir",
            "the kubelet's folder is 0750 or stricter and belongs to root",
            entries(&["/var/lib/kubelet"], &[]),
            // The kubelet makes it 0750 and kubeadm 0700: either is good enough.
            Some(0o750),
            Remedy::Conditional(Kit::KubeletRoot),
            "Volumes of pods lie below it, projected Secrets and tokens among them. The kubelet's Debian package makes it 0775.",
            "kubernetes pkg/kubelet/kubelet.go; kubernetes/kubernetes#93652",
        ),
        (
            "X-FILE-09",
            "file.kubelet.pki",
            "the kubelet's private keys are 0600 or stricter and belong to root",
            // The dated files, and not the link `kubelet-client-current.pem` to the newest of them.
            entries(
                &[],
                &[
                    "/var/lib/kubelet/pki/kubelet-client-2*.pem",
                    "/var/lib/kubelet/pki/kubelet-server-2*.pem",
                    "/var/lib/kubelet/pki/*.key",
                ],
            ),
            Some(0o600),
            Remedy::Safe,
            "Who can read the kubelet's key is this node to the API server, and reads the Secrets of every pod on it.",
            HYGIENE,
        ),
        (
            "X-FILE-10",
            "file.kubelet.env",
            "the kubelet's environment files are 0644 or stricter and belong to root",
            entries(
                &[
                    "/var/lib/kubelet/kubeadm-flags.env",
                    "/etc/default/kubelet",
                    "/etc/sysconfig/kubelet",
                ],
                &[],
            ),
            Some(0o644),
            Remedy::Safe,
            "They hold flags of the kubelet, which runs as root and does what its flags say.",
            "DISA Kubernetes STIG V-242406, V-242407",
        ),
        (
            "X-FILE-11",
            "file.kubelet.bootstrap-leftover",
            "no bootstrap kubeconfig is left",
            entries(&["/etc/kubernetes/bootstrap-kubelet.conf"], &[]),
            None,
            Remedy::InPart(
                "a join that is over (/var/lib/kubelet/pki/kubelet-client-current.pem is valid): then the file may be removed",
            ),
            "kubeadm join removes it when the kubelet has its certificate. The token in it lets whoever reads it ask for one, too.",
            "kubernetes cmd/kubeadm/app/cmd/phases/join/kubelet.go",
        ),
    ]
}

fn named_by_flags() -> [Row; 3] {
    let of_api_server = |flags: &[&str]| Target::FlagFiles {
        component: Component::ApiServer,
        flags: flags.iter().copied().map(flag).collect(),
    };
    [
        (
            "X-FILE-13",
            "file.audit.perms",
            "the audit policy and the audit log are 0600 or stricter and belong to root",
            Target::AuditFiles,
            Some(0o600),
            Remedy::Conditional(Kit::AuditFiles),
            "The log tells who did what, request bodies included if the policy says so; who can write to it can unwrite it.",
            HYGIENE,
        ),
        (
            "X-FILE-14",
            "file.encryption-config",
            "the encryption configuration is 0600 or stricter and belongs to root",
            of_api_server(&["encryption-provider-config"]),
            Some(0o600),
            Remedy::When(Precondition::ComponentsRunAsRoot),
            "It holds the keys that every Secret in etcd is encrypted with.",
            "kubernetes.io, Encrypting Confidential Data at Rest; NSA/CISA Kubernetes Hardening Guidance 1.2",
        ),
        (
            "X-FILE-15",
            "file.etcd.members",
            "etcd's files are 0600, its folders 0700, or stricter, and belong to root",
            Target::EtcdMembers,
            Some(0o600),
            Remedy::ReportOnly(
                "a look at who widened them: etcd makes them so itself, and as long as its data folder is 0700 nobody else comes here",
            ),
            "They are every object of the cluster, byte for byte.",
            "DISA Kubernetes STIG V-242445, V-242459",
        ),
    ]
}

fn host() -> [Row; 3] {
    [
        (
            "X-FILE-16",
            "file.cni.binaries",
            "CNI binaries and folders belong to root, and nobody else can write to them",
            entries(&["/opt/cni/bin", "/etc/cni/net.d"], &["/opt/cni/bin/*"]),
            // An installer may have set a bit on purpose (Calico makes its own setuid).
            Some(0o7755),
            Remedy::Safe,
            "The runtime runs these programs as root for each pod. What installs the plug-ins may write them so again, and Holdfast mends them \
             again.",
            HYGIENE,
        ),
        (
            "X-FILE-17",
            "file.cri.socket",
            "the container runtime's socket is 0660 or stricter and belongs to root",
            entries(&["/run/containerd/containerd.sock", "/run/crio/crio.sock"], &[]),
            Some(0o660),
            Remedy::Conditional(Kit::RuntimeSocket),
            "Who can write to the socket starts a privileged container, and so is root.",
            BYPASS,
        ),
        (
            "X-FILE-18",
            "file.binaries",
            "kubelet, kubeadm, kubectl and the container runtime are 0755 or stricter and belong to root",
            entries(&BINARIES, &[]),
            Some(0o755),
            Remedy::Safe,
            "Root runs these programs.",
            "DISA Kubernetes STIG V-242443; kubescape C-0055",
        ),
    ]
}

fn credentials() -> [Row; 2] {
    [
        (
            "X-CRED-01",
            "cred.super-admin-present",
            "super-admin.conf is not left on the host",
            entries(&["/etc/kubernetes/super-admin.conf"], &[]),
            None,
            Remedy::ReportOnly(
                "a safe place for it off the node: it is what opens the cluster when RBAC is broken. Or an exception that says that it stays",
            ),
            "kubeadm init leaves it on the first control-plane node. Its certificate is in the group system:masters, which RBAC is not \
             asked about, and cannot be revoked.",
            "kubernetes/kubeadm#2414; kubernetes/kubernetes#121837",
        ),
        (
            "X-CRED-08",
            "cred.ca-key-online",
            "no CA's private key lies on the node",
            entries(
                &[
                    "/etc/kubernetes/pki/ca.key",
                    "/etc/kubernetes/pki/etcd/ca.key",
                    "/etc/kubernetes/pki/front-proxy-ca.key",
                ],
                &[],
            ),
            None,
            Remedy::ReportOnly(
                "an external CA (kubeadm's external CA mode) and another signer of kubelet certificates: the controller manager signs with \
                 ca.key. Or an exception that says that they stay",
            ),
            "Who can read a CA's key makes certificates for anyone. kubeadm keeps all three on every control-plane node.",
            "kubernetes.io, Certificate Management with kubeadm; NSA/CISA Kubernetes Hardening Guidance 1.2",
        ),
    ]
}
