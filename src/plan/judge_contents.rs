//! Certificates and what encrypts secrets, held against what must be.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Evidence, Verdict};
use super::judge::{JudgeContext, piece, unknown};
use super::targets::{flag_file, not_looked_at};
use crate::controls::CertificateRule;
use crate::domain::{Certificate, Component, Digest, Fact, FirstProvider, NodePath, Observation, Provider};

/// The evidence about certificates: a piece for each file that has one.
pub(super) fn certificates(
    rule: CertificateRule,
    observation: &Observation,
    context: &JudgeContext<'_>,
) -> Vec<Evidence> {
    match rule {
        CertificateRule::TimeLeft { authorities, days } => each(observation, |path, certificate| {
            // The authority of a kubelet's self-signed certificate signed that one and is thrown away.
            let is_thrown_away = authorities && path.as_str().starts_with(context.layout.kubelet.as_str());
            let is_asked = certificate.is_authority == authorities && !is_thrown_away;
            is_asked.then(|| time_left(certificate, days, context.now))
        }),
        CertificateRule::Strong => each(observation, |_, certificate| Some(strength(certificate))),
        CertificateRule::OwnEtcdAuthority => own_authority(observation),
    }
}

/// Whether it holds of a certificate, what is expected, and what is found.
type Judged = (bool, String, String);

fn each(
    observation: &Observation,
    judge: impl Fn(&NodePath, &Certificate) -> Option<Judged>,
) -> Vec<Evidence> {
    if observation.certificates.is_empty() {
        let why = not_looked_at("the certificates of the node");
        return vec![unknown("certificates", "a certificate", &why)];
    }
    let mut evidence = Vec::new();
    for (path, certificates) in &observation.certificates {
        match certificates {
            Fact::Absent => {}
            Fact::Unknown(why) => evidence.push(unknown(path.as_str(), "a certificate", why)),
            Fact::Known(certificates) => {
                let judged = certificates.iter().filter_map(|one| judge(path, one));
                evidence.extend(judged.map(|(holds, expected, actual)| {
                    let verdict = if holds { Verdict::Pass } else { Verdict::Drift };
                    piece(path.as_str(), verdict, expected, actual)
                }));
            }
        }
    }
    evidence
}

fn time_left(certificate: &Certificate, days: u16, now: jiff::Timestamp) -> Judged {
    let end = certificate.not_after;
    let expected = format!("valid now and for {days} more days");
    let least = now.checked_add(jiff::SignedDuration::from_hours(24 * i64::from(days)));
    let holds = least.is_ok_and(|least| end >= least) && certificate.not_before <= now;
    let subject = &certificate.subject;
    // Without a count of days, which would be news each day.
    let actual = if certificate.not_before > now {
        format!("{subject}: it is valid from {:.0} on", certificate.not_before)
    } else if end <= now {
        format!("{subject}: it ended at {end:.0}")
    } else {
        format!("{subject}: it ends at {end:.0}")
    };
    (holds, expected, actual)
}

fn strength(certificate: &Certificate) -> Judged {
    let signed = certificate
        .weak_hash
        .map_or_else(String::new, |hash| format!(", signed over {hash}"));
    (
        !certificate.key.is_weak() && certificate.weak_hash.is_none(),
        "RSA of 2048 bits or more, ECDSA or Ed25519, signed over SHA-2".to_owned(),
        format!("{}: {}{signed}", certificate.subject, certificate.key),
    )
}

/// The authorities that etcd takes clients by, and those that everybody else has a certificate by.
fn own_authority(observation: &Observation) -> Vec<Evidence> {
    const EXPECTED: &str = "no authority of the cluster's among them";
    let name = "etcd --trusted-ca-file";
    let trusted = match keys_of(observation, Component::Etcd, "trusted-ca-file") {
        Fact::Known(trusted) => trusted,
        Fact::Absent => return Vec::new(),
        Fact::Unknown(why) => return vec![unknown(name, EXPECTED, &why)],
    };
    let mut others = BTreeMap::new();
    for flag in ["client-ca-file", "requestheader-client-ca-file"] {
        match keys_of(observation, Component::ApiServer, flag) {
            Fact::Known(keys) => others.extend(keys),
            Fact::Unknown(why) => return vec![unknown(name, EXPECTED, &why)],
            Fact::Absent => {}
        }
    }
    let shared: BTreeSet<&String> = trusted.keys().filter_map(|key| others.get(key)).collect();
    let paths = trusted.into_values().collect::<BTreeSet<String>>();
    let paths = paths.into_iter().collect::<Vec<_>>().join(", ");
    if shared.is_empty() {
        return vec![piece(name, Verdict::Pass, EXPECTED, paths)];
    }
    let shared: Vec<&str> = shared.into_iter().map(String::as_str).collect();
    let actual = format!("{paths} has the key of {}", shared.join(", "));
    vec![piece(name, Verdict::Drift, EXPECTED, actual)]
}

/// The public keys in the file that a flag names, each with the file.
fn keys_of(observation: &Observation, component: Component, flag: &str) -> Fact<BTreeMap<Digest, String>> {
    flag_file(component, flag, &observation.manifests).and_then(|path| {
        let nowhere = Fact::Unknown(not_looked_at(&path));
        match observation.certificates.get(&path).unwrap_or(&nowhere) {
            Fact::Known(certificates) => {
                let of = certificates.iter().map(|one| one.public_key);
                Fact::Known(of.map(|key| (key, path.to_string())).collect())
            }
            Fact::Absent => Fact::unknown(format!("{path} (--{flag} of {component}) is not there")),
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
        }
    })
}

/// The evidence about what writes secrets.
pub(super) fn encrypts_secrets(observation: &Observation, context: &JudgeContext<'_>) -> Vec<Evidence> {
    const EXPECTED: &str = "kms, secretbox or aescbc, or aesgcm with encryption.rotateEvery";
    const NAME: &str = "kube-apiserver --encryption-provider-config";
    let (verdict, actual) = match &observation.first_provider {
        Fact::Absent => return Vec::new(),
        Fact::Unknown(why) => return vec![unknown(NAME, EXPECTED, why)],
        Fact::Known(FirstProvider::Kms) => (
            Verdict::Pass,
            "a key management service writes secrets".to_owned(),
        ),
        Fact::Known(FirstProvider::Key(Provider::Aesgcm)) => {
            let rotates = context.config.encryption.rotate_every.is_some();
            let verdict = if rotates { Verdict::Pass } else { Verdict::Drift };
            let how = if rotates {
                "its key is replaced in time"
            } else {
                "nothing replaces its key"
            };
            (verdict, format!("aesgcm writes secrets, and {how}"))
        }
        Fact::Known(FirstProvider::Key(provider)) => (Verdict::Pass, format!("{provider} writes secrets")),
        Fact::Known(FirstProvider::Identity) => (
            Verdict::Drift,
            "identity writes secrets: they are in plaintext".to_owned(),
        ),
        Fact::Known(FirstProvider::NoRule) => (
            Verdict::Drift,
            "no rule covers secrets: they are in plaintext".to_owned(),
        ),
    };
    vec![piece(NAME, verdict, EXPECTED, actual)]
}

#[cfg(test)]
#[path = "judge_contents_tests.rs"]
mod tests;
