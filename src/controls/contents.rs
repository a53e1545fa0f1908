//! What certificates, the encryption configuration and the audit policy of the node say.

use super::{CertificateRule, Control, Kit, Remedy, Requirement, id};

const CIS: &str = "CIS Kubernetes Benchmark 1.12";

/// The rows of this table.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn controls() -> Vec<Control> {
    let row =
        |row_id, rule: &'static str, title: &'static str, requirement, remedy, rationale, sources| Control {
            id: id(row_id),
            rule: rule.into(),
            title: title.into(),
            rationale,
            remedy,
            requirement,
            sources,
        };
    vec![
        row(
            "CIS-1.2.28",
            "apiserver.encryption.provider",
            "what encrypts secrets in etcd is strong",
            Requirement::EncryptsSecrets,
            Remedy::ReportOnly(
                "`holdfast encryption enable`, or `rotate --provider` for a rotation to another provider",
            ),
            "The first provider of the rule that covers secrets writes them. The nonce of aesgcm is random, so a key must be replaced before \
             some 200,000 writes: encryption.rotateEvery does that. identity is plaintext.",
            CIS,
        ),
        row(
            "CIS-2.7",
            "etcd.separate-ca",
            "etcd trusts an authority of its own",
            Requirement::Certificates(CertificateRule::OwnEtcdAuthority),
            Remedy::ReportOnly(
                "an authority for etcd alone, and certificates by it for etcd and the API server: a migration",
            ),
            "Whoever has a certificate by an authority that etcd trusts reads and writes everything. The cluster's authority signs for every \
             kubelet and every user.",
            CIS,
        ),
        row(
            "CIS-3.2.2",
            "apiserver.audit.policy-content",
            "the audit policy covers what matters",
            Requirement::AuditPolicy,
            Remedy::ReportOnly(
                "a rule for it at level Metadata, before any rule of level None that covers it, and a restart of kube-apiserver",
            ),
            "Access to secrets, configmaps and token reviews, changes of pods and deployments, and connections into pods and services are what \
             an intruder does. The first rule that matches a request decides, so a catch-all before the others hides them all.",
            "CIS Kubernetes Benchmark 1.12; kubernetes apiserver/pkg/audit/policy/checker.go",
        ),
        row(
            "X-API-11",
            "flag.duplicates",
            "no flag stands twice that counts once",
            Requirement::FlagsOnce,
            Remedy::Conditional(Kit::OneFlag),
            "Of a flag that is given twice the last value counts, and of a list all do. Scanners that read the first are told what does not hold, and so is \
             whoever reads the manifest.",
            "github.com/spf13/pflag; kube-bench 0.15.6, whose patterns take the first",
        ),
        row(
            "X-API-12",
            "controlplane.pod-spec-drift",
            "the pods of the control plane were not widened",
            Requirement::NotWidened,
            Remedy::ReportOnly(
                "what is more taken out of the manifest, or an exception that says what it is for (a KMS plug-in beside the API server, a volume of yours)",
            ),
            "Whoever can write one manifest has the node, and a container that was slipped in beside a component, a capability or a folder of the node is how \
             it is kept. GODEBUG in the environment brings back what Go has switched off.",
            "MITRE ATT&CK T1525 and T1610; kubernetes.io, API server bypass risks; cmd/kubeadm/app/util/staticpod/utils.go",
        ),
        row(
            "X-CRED-04",
            "cert.expiry.leaf",
            "no certificate ends within 30 days",
            Requirement::Certificates(CertificateRule::TimeLeft {
                authorities: false,
                days: 30,
            }),
            Remedy::ReportOnly(
                "`kubeadm certs renew` and a restart of what uses it (the kubelet renews its own)",
            ),
            "With an expired certificate a component can no longer sign in: the control plane of the node stands still.",
            "kubernetes.io, Certificate Management with kubeadm",
        ),
        row(
            "X-CRED-05",
            "cert.expiry.ca",
            "no authority ends within a year",
            Requirement::Certificates(CertificateRule::TimeLeft {
                authorities: true,
                days: 365,
            }),
            Remedy::ReportOnly(
                "a rotation of the authority by hand (kubernetes.io, Manual Rotation of CA Certificates): kubeadm never renews one",
            ),
            "When an authority ends, so does every certificate by it, on every node and in every kubeconfig.",
            "kubernetes.io, PKI certificates and requirements",
        ),
        row(
            "X-CRED-06",
            "cert.weak-key",
            "keys and signatures of certificates are strong",
            Requirement::Certificates(CertificateRule::Strong),
            Remedy::ReportOnly("the certificate made anew with a strong key (kubeadm: encryptionAlgorithm)"),
            "A key below 112 bits of security (RSA 2048) can be computed, and a signature over MD5 or SHA-1 can be moved to another certificate.",
            "NIST SP 800-57 part 1; NIST SP 800-131A",
        ),
    ]
}
