//! What is to be said of encryption at rest.

use std::collections::BTreeSet;

use super::{AtRest, Configured};
use crate::census::{Census, Held, Resource, Tally};
use crate::domain::{Digest, Fact, GroupResource, KeyId};
use crate::encryption::{Concern, EncryptionConfig, Entry, Link, ResourcePattern};

/// How much a remark weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It is as it should be.
    Good,
    /// Worth knowing; nothing is wrong.
    Note,
    /// It could not be told.
    Unknown,
    /// It is wrong.
    Wrong,
}

/// One thing that is to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// How much it weighs.
    pub weight: Weight,
    /// What.
    pub what: String,
    /// What the operator can do; empty where nothing is to be done.
    pub remedy: String,
}

/// Everything that is to be said, in the order of configuration, server, values.
#[must_use]
pub fn judge(at_rest: &AtRest) -> Vec<Remark> {
    let mut remarks = Vec::new();
    match &at_rest.configured {
        Fact::Known(configured) => {
            let concerns = configured.config.concerns();
            remarks.extend(
                concerns
                    .iter()
                    .map(|concern| of_concern(concern, &configured.config)),
            );
            remarks.extend(of_mount(configured));
            remarks.push(of_loaded(at_rest, configured));
            remarks.extend(of_upgrade(&at_rest.upgrade));
        }
        Fact::Absent => remarks.push(wrong(
            "kube-apiserver has no --encryption-provider-config: everything is stored in plaintext",
            "`holdfast encryption enable` sets it up, and encrypts what is stored",
        )),
        Fact::Unknown(why) => remarks.push(unknown(
            format!("what kube-apiserver is told to encrypt is not known: {why}"),
            "mend the file or the manifest; the API server would not start with what it cannot read",
        )),
    }
    match &at_rest.census {
        Fact::Known(census) => of_census(census, at_rest, &mut remarks),
        Fact::Absent => remarks.push(unknown("etcd was not asked".to_owned(), "")),
        Fact::Unknown(why) => remarks.push(unknown(
            format!("what etcd holds is not known: {why}"),
            "see whether etcd runs; nothing can be proven without it",
        )),
    }
    remarks
}

/// What Holdfast has put back or seen, and has not seen to its end yet: `plaintext`, that values may be in plaintext since the API server had lost
/// its configuration; `load`, the configuration that it is to be restarted for.
#[must_use]
pub fn owed(plaintext: bool, load: Option<Digest>) -> Vec<Remark> {
    let counted = plaintext.then(|| {
        note(
            "kube-apiserver had lost its configuration, and what it may have written in plaintext meanwhile is not seen to be rewritten yet",
            "the daemon counts it, and rewrites it in mode `enforce`; `holdfast encryption rotate` does so, too",
        )
    });
    let restarted = load.map(|digest| {
        wrong(
            format!(
                "a configuration was put back (SHA-256 {}...), and kube-apiserver was not restarted for it yet",
                digest.short()
            ),
            "the daemon does that in mode `enforce` as soon as it may, and its log says what holds it back; `holdfast bounce kube-apiserver` does \
             so, too",
        )
    });
    counted.into_iter().chain(restarted).collect()
}

fn remark(weight: Weight, what: impl Into<String>, remedy: impl Into<String>) -> Remark {
    Remark {
        weight,
        what: what.into(),
        remedy: remedy.into(),
    }
}

fn wrong(what: impl Into<String>, remedy: impl Into<String>) -> Remark {
    remark(Weight::Wrong, what, remedy)
}

fn unknown(what: impl Into<String>, remedy: impl Into<String>) -> Remark {
    remark(Weight::Unknown, what, remedy)
}

fn note(what: impl Into<String>, remedy: impl Into<String>) -> Remark {
    remark(Weight::Note, what, remedy)
}

fn of_concern(concern: &Concern, config: &EncryptionConfig) -> Remark {
    let (weight, remedy) = match concern {
        Concern::AmbiguousName { .. } => (
            Weight::Wrong,
            "find out which stored values need which of them before you touch either; Holdfast moves no key until then",
        ),
        Concern::OverlappingNames { .. } => (
            Weight::Wrong,
            "Holdfast moves no key while both are in the configuration",
        ),
        Concern::RepeatedResource { .. } => {
            (Weight::Wrong, "put it into one entry, the key that writes first")
        }
        Concern::WeakKey { .. } => (Weight::Wrong, "change to a key of 32 random bytes"),
        Concern::WritesPlaintext { entry } if is_exemption(config, *entry) => (
            Weight::Note,
            "nothing, if these are meant to be left out of the encryption",
        ),
        Concern::WritesPlaintext { .. } => (Weight::Wrong, "put an encrypting provider first"),
        Concern::RepeatedKmsName { .. } => (Weight::Wrong, "give each a name of its own"),
        Concern::Kms { .. } => (Weight::Unknown, "see to its keys with the tools of that service"),
        Concern::ColonInName { .. } | Concern::ShortKey { .. } => {
            (Weight::Note, "a new key will not have that")
        }
    };
    remark(weight, concern.to_string(), remedy)
}

fn of_mount(configured: &Configured) -> Option<Remark> {
    configured.mounted_alone.then(|| {
        note(
            format!(
                "{} is mounted as a single file: the API server does not see a new one before it restarts",
                configured.file
            ),
            "mount its folder instead",
        )
    })
}

/// kubeadm makes the manifests anew from what it knows; what it does not know is lost then, and with it every key.
fn of_upgrade(upgrade: &Fact<Vec<String>>) -> Option<Remark> {
    match upgrade {
        Fact::Known(lacks) if lacks.is_empty() => None,
        Fact::Known(lacks) => Some(note(
            format!(
                "the next `kubeadm upgrade` drops the encryption, since kube-system/kubeadm-config lacks: {}",
                lacks.join("; ")
            ),
            "`holdfast encryption enable` shows the difference and writes it",
        )),
        Fact::Absent => None,
        Fact::Unknown(why) => Some(note(
            format!("whether the next `kubeadm upgrade` keeps the encryption is not known: {why}"),
            "see that kube-system/kubeadm-config has the flags and the volume",
        )),
    }
}

fn of_loaded(at_rest: &AtRest, configured: &Configured) -> Remark {
    let file = &configured.file;
    match &at_rest.loaded {
        Fact::Known(loaded) if *loaded == configured.digest => remark(
            Weight::Good,
            format!("the API server has loaded {file} (SHA-256 {}...)", loaded.short()),
            "",
        ),
        Fact::Known(loaded) => wrong(
            format!(
                "the API server runs with another configuration (SHA-256 {}...) than {file} has ({}...)",
                loaded.short(),
                configured.digest.short()
            ),
            if configured.reload {
                "it looks at the file once a minute; if it stays so, its log says why it refuses the file"
            } else {
                "it loads the file when it restarts"
            },
        ),
        Fact::Absent => wrong(
            format!(
                "the API server has loaded no encryption configuration, although its manifest names {file}"
            ),
            "it runs with other flags than its manifest has: see why it was not restarted",
        ),
        Fact::Unknown(why) => unknown(
            format!("whether the API server has loaded {file} is not proven: {why}"),
            "",
        ),
    }
}

/// True for an entry that leaves named resources out of the encryption, as the Kubernetes documents do it for `events` beside `*.*`. Secrets
/// are what encryption is for.
fn is_exemption(config: &EncryptionConfig, index: usize) -> bool {
    let is_plain = |entry: &Entry| entry.links().all(|link| matches!(link, Link::Identity));
    let is_minor = |pattern: &ResourcePattern| match pattern {
        ResourcePattern::Exact(resource) => !resource.group.is_empty() || resource.resource != "secrets",
        ResourcePattern::Group(_) | ResourcePattern::All => false,
    };
    let entry = config.entries.get(index);
    entry.is_some_and(|entry| is_plain(entry) && entry.resources.iter().all(is_minor))
        && !config.entries.iter().all(is_plain)
}

/// What a value of a resource is written under.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Writer {
    /// That key, or plaintext.
    Key(KeyId),
    /// A key management service.
    Kms,
}

/// What values of that resource are written under; of a path that is not known, under what those of a wildcard are.
fn writer(config: Option<&EncryptionConfig>, resource: &Resource) -> Writer {
    let of = |resource: &GroupResource| config.and_then(|config| config.providers_for(resource));
    let links = match resource {
        Resource::Api(resource) => of(resource),
        Resource::NoEndpoint(kind) => of(&kind.resource()),
        Resource::Unmapped(path) => of(&GroupResource {
            group: String::new(),
            resource: path.clone(),
        }),
    };
    match links.as_ref().and_then(|links| links.first()) {
        None => Writer::Key(KeyId::Identity),
        Some(first) => first.id().map_or(Writer::Kms, Writer::Key),
    }
}

/// The values of one kind that are under that key, and not under what writes them.
fn stale(census: &Census, config: Option<&EncryptionConfig>, key: &KeyId) -> Tally {
    census.total(|resource, held| {
        is_of_api(resource, held)
            && matches!(held, Held::Under(of) if of == key)
            && writer(config, resource) != Writer::Key(key.clone())
    })
}

fn of_census(census: &Census, at_rest: &AtRest, remarks: &mut Vec<Remark>) {
    if !census.complete {
        remarks.push(unknown("etcd was not read to the end", "try again"));
        return;
    }
    let config = at_rest.configured.known().map(|configured| &configured.config);
    let mut of_values = plaintext(census, config);
    of_values.extend(older_keys(census, config).iter().map(|(key, tally)| {
        wrong(
            format!("{} still under {key}, as {}", values(tally), example(tally)),
            "that key is needed until `holdfast encryption rotate` has rewritten them",
        )
    }));
    of_values.extend(unreadable(census));
    let encrypts = config.is_some_and(|config| {
        let entries = config.entries.iter().filter(|entry| !entry.has_kms());
        let mut first = entries.filter_map(|entry| entry.chain().into_iter().next());
        first.any(|key| key != KeyId::Identity)
    });
    let clean = encrypts && of_values.is_empty();
    remarks.append(&mut of_values);
    remarks.extend(without_endpoint(census, config));
    if clean {
        remarks.push(all_under_their_keys(census, at_rest));
    }
}

fn all_under_their_keys(census: &Census, at_rest: &AtRest) -> Remark {
    let is_plain = |held: &Held| *held == Held::Under(KeyId::Identity);
    let encrypted = census.total(|resource, held| is_of_api(resource, held) && !is_plain(held));
    let plain = census.total(|resource, held| is_of_api(resource, held) && is_plain(held));
    let how = if at_rest.decrypted {
        ", and each decrypts to an object"
    } else {
        " by its prefix; `holdfast encryption verify` decrypts each"
    };
    let left_out = match plain.objects {
        0 => String::new(),
        many => format!("; {many} of resources that are left out of the encryption are in plaintext"),
    };
    let what = format!(
        "{} under the write key{how} (etcd revision {}){left_out}",
        values(&encrypted),
        census.revision
    );
    remark(Weight::Good, what, "")
}

const fn is_of_api(resource: &Resource, _: &Held) -> bool {
    !matches!(resource, Resource::NoEndpoint(_))
}

/// Plaintext where plaintext is not what is written.
fn plaintext(census: &Census, config: Option<&EncryptionConfig>) -> Vec<Remark> {
    let plain = stale(census, config, &KeyId::Identity);
    some(&plain, || {
        wrong(
            format!("{} in plaintext, as {}", values(&plain), example(&plain)),
            "`holdfast encryption rotate` rewrites them under a new key",
        )
    })
}

/// Values that nobody can read.
fn unreadable(census: &Census) -> Vec<Remark> {
    let lost = census.total(|_, held| matches!(held, Held::UnknownKey { .. }));
    let broken = census.total(|_, held| *held == Held::Malformed);
    let mut remarks = some(&lost, || {
        wrong(
            format!(
                "{} under keys that the configuration does not have, as {}: nobody can read them",
                values(&lost),
                example(&lost)
            ),
            "put the key back as a read key; a retained configuration or a backup may have it",
        )
    });
    remarks.extend(some(&broken, || {
        wrong(
            format!("{} not decrypt to an object, as {}", do_values(&broken), example(&broken)),
            "another key had the same name, or the value is damaged: restore it, or delete the object in etcd",
        )
    }));
    remarks
}

fn some(tally: &Tally, told: impl FnOnce() -> Remark) -> Vec<Remark> {
    (tally.objects > 0).then(told).into_iter().collect()
}

/// The values under keys that no longer write them, by key.
fn older_keys(census: &Census, config: Option<&EncryptionConfig>) -> Vec<(KeyId, Tally)> {
    let keys: BTreeSet<&KeyId> = census
        .iter()
        .filter_map(|(_, held, _)| match held {
            Held::Under(key) if *key != KeyId::Identity => Some(key),
            Held::Under(_) | Held::UnknownKey { .. } | Held::Kms | Held::Malformed => None,
        })
        .collect();
    let tallied = keys
        .into_iter()
        .map(|key| (key.clone(), stale(census, config, key)));
    tallied.filter(|(_, tally)| tally.objects > 0).collect()
}

/// Values that no request can rewrite: the server rewrites them itself, in time.
fn without_endpoint(census: &Census, config: Option<&EncryptionConfig>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (resource, kinds) in &census.counts {
        let Resource::NoEndpoint(kind) = resource else {
            continue;
        };
        let writer = writer(config, resource);
        let is_stale = |held: &Held| !matches!(held, Held::Under(key) if writer == Writer::Key(key.clone()));
        if kinds.keys().any(is_stale) {
            remarks.push(note(
                format!("{}: not under the write key; {}", kind.resource(), kind.reason()),
                kind.remedy(),
            ));
        }
    }
    remarks
}

fn values(tally: &Tally) -> String {
    match tally.objects {
        1 => "1 value is".to_owned(),
        many => format!("{many} values are"),
    }
}

fn do_values(tally: &Tally) -> String {
    match tally.objects {
        1 => "1 value does".to_owned(),
        many => format!("{many} values do"),
    }
}

fn example(tally: &Tally) -> String {
    tally.examples.first().cloned().unwrap_or_default()
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
