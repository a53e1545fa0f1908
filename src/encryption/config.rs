//! The typed view of an `EncryptionConfiguration`, and what the API server makes of it: which keys, in which order.

use std::collections::BTreeSet;
use std::fmt;

use super::resources::ResourcePattern;
use crate::domain::{GroupResource, KeyId, KeyName, Provider, SecretKey};

/// An `EncryptionConfiguration`: what is encrypted, and with which keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionConfig {
    /// Its `resources` list, in order.
    pub entries: Vec<Entry>,
}

/// Some resources, and the providers that they share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is covered; at least one.
    pub resources: Vec<ResourcePattern>,
    /// At least one. The first writes; all are tried in order when reading.
    pub providers: Vec<ProviderEntry>,
}

/// One element of an entry's `providers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderEntry {
    /// A provider with keys of its own, at least one. Within it, too, the first writes.
    Keys {
        /// Which.
        provider: Provider,
        /// Its keys, in order.
        keys: Vec<NamedKey>,
    },
    /// Plaintext.
    Identity,
    /// A key management service. It is recognised and carried as it is, never edited.
    Kms(Kms),
}

/// A key with its name.
#[derive(Debug, Clone)]
pub struct NamedKey {
    /// The name, which stored values carry in the clear.
    pub name: KeyName,
    /// The bytes.
    pub secret: SecretKey,
}

/// A `kms` element; what is absent in the text is absent here, so that upstream's defaults stay upstream's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kms {
    /// `apiVersion`.
    pub api_version: Option<KmsVersion>,
    /// Its name, which stored values carry.
    pub name: String,
    /// `cachesize`, v1 only.
    pub cache_size: Option<i32>,
    /// The plug-in's socket.
    pub endpoint: String,
    /// As Go writes a duration.
    pub timeout: Option<String>,
}

/// The version of the KMS protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KmsVersion {
    /// Deprecated upstream; the default of the field all the same.
    V1,
    /// The current one.
    V2,
}

/// One key as the API server tries it: the flat order of all elements' keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link<'c> {
    /// A key of a provider.
    Key {
        /// The provider.
        provider: Provider,
        /// The key.
        key: &'c NamedKey,
    },
    /// Plaintext.
    Identity,
    /// A key management service.
    Kms(&'c Kms),
}

/// Whether one chain of keys serves everything that Holdfast may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SharedChain {
    /// All entries without KMS have these keys, the write key first.
    Shared(Vec<KeyId>),
    /// Their chains differ.
    Differing,
    /// Every entry uses KMS, or there is none.
    NoEntry,
}

impl PartialEq for NamedKey {
    /// Compares the bytes too, in constant time.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.secret.is_same(&other.secret)
    }
}

impl Eq for NamedKey {}

impl Kms {
    /// The version that the API server uses.
    #[must_use]
    pub fn version(&self) -> KmsVersion {
        self.api_version.unwrap_or(KmsVersion::V1)
    }
}

impl KmsVersion {
    /// As the field and the stored value write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

impl fmt::Display for KmsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Link<'_> {
    /// Which key it is; none for KMS, whose keys are its own affair.
    #[must_use]
    pub fn id(&self) -> Option<KeyId> {
        match self {
            Self::Key { provider, key } => Some(key.id(*provider)),
            Self::Identity => Some(KeyId::Identity),
            Self::Kms(_) => None,
        }
    }
}

impl NamedKey {
    /// Its id under a provider.
    #[must_use]
    pub fn id(&self, provider: Provider) -> KeyId {
        KeyId::Key {
            provider,
            name: self.name.clone(),
        }
    }
}

impl Entry {
    /// The keys in the order in which the API server tries them; the first writes.
    pub fn links(&self) -> impl Iterator<Item = Link<'_>> {
        self.providers.iter().flat_map(|element| {
            let (provider, keys, single) = match element {
                ProviderEntry::Keys { provider, keys } => (Some(*provider), keys.as_slice(), None),
                ProviderEntry::Identity => (None, [].as_slice(), Some(Link::Identity)),
                ProviderEntry::Kms(kms) => (None, [].as_slice(), Some(Link::Kms(kms))),
            };
            let keys = keys
                .iter()
                .filter_map(move |key| provider.map(|provider| Link::Key { provider, key }));
            single.into_iter().chain(keys)
        })
    }

    /// The same as ids, without KMS.
    #[must_use]
    pub fn chain(&self) -> Vec<KeyId> {
        self.links().filter_map(|link| link.id()).collect()
    }

    /// True when a key management service serves the entry, which Holdfast then leaves alone.
    #[must_use]
    pub fn has_kms(&self) -> bool {
        self.providers
            .iter()
            .any(|element| matches!(element, ProviderEntry::Kms(_)))
    }
}

impl EncryptionConfig {
    /// A first configuration, which changes nothing yet: the resources are stored in plaintext.
    #[must_use]
    pub fn plaintext(resources: Vec<ResourcePattern>) -> Self {
        Self {
            entries: vec![Entry {
                resources,
                providers: vec![ProviderEntry::Identity],
            }],
        }
    }

    /// What serves a resource, as upstream looks it up: entries that name it, else its group's wildcard, else `*.*`. Several entries
    /// that name the same resource append. None when nothing covers it: then it is plaintext.
    #[must_use]
    pub fn providers_for(&self, resource: &GroupResource) -> Option<Vec<Link<'_>>> {
        let candidates = [
            ResourcePattern::Exact(resource.clone()),
            ResourcePattern::Group(resource.group.clone()),
            ResourcePattern::All,
        ];
        candidates.iter().find_map(|pattern| {
            let mut entries = self
                .entries
                .iter()
                .filter(|entry| entry.resources.contains(pattern))
                .peekable();
            entries.peek()?;
            Some(entries.flat_map(Entry::links).collect())
        })
    }

    /// The indexes of the entries without KMS: those that a rotation may edit.
    #[must_use]
    pub fn static_entries(&self) -> BTreeSet<usize> {
        let without_kms = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| !entry.has_kms());
        without_kms.map(|(index, _)| index).collect()
    }

    /// Whether all entries without KMS have the same keys in the same order.
    #[must_use]
    pub fn shared_chain(&self) -> SharedChain {
        let mut chains = self
            .entries
            .iter()
            .filter(|entry| !entry.has_kms())
            .map(Entry::chain);
        let Some(first) = chains.next() else {
            return SharedChain::NoEntry;
        };
        if chains.all(|chain| chain == first) {
            SharedChain::Shared(first)
        } else {
            SharedChain::Differing
        }
    }

    /// Which of these no entry covers.
    #[must_use]
    pub fn not_covered<'w>(&self, wanted: &'w [ResourcePattern]) -> Vec<&'w ResourcePattern> {
        let is_covered = |wanted: &ResourcePattern| {
            let mut patterns = self.entries.iter().flat_map(|entry| &entry.resources);
            patterns.any(|pattern| pattern.includes(wanted))
        };
        wanted.iter().filter(|wanted| !is_covered(wanted)).collect()
    }

    /// Every key with its provider, in the order of the file, repeated where the file repeats it.
    pub fn keys(&self) -> impl Iterator<Item = (Provider, &NamedKey)> {
        let links = self.entries.iter().flat_map(Entry::links);
        links.filter_map(|link| match link {
            Link::Key { provider, key } => Some((provider, key)),
            Link::Identity | Link::Kms(_) => None,
        })
    }

    /// Every key's id once, sorted; identity if it occurs.
    #[must_use]
    pub fn key_ids(&self) -> Vec<KeyId> {
        let links = self.entries.iter().flat_map(Entry::links);
        let ids: BTreeSet<KeyId> = links.filter_map(|link| link.id()).collect();
        ids.into_iter().collect()
    }

    /// The key of an id; the first one, where the file gives the same name to several.
    #[must_use]
    pub fn key(&self, id: &KeyId) -> Option<&NamedKey> {
        self.keys()
            .find_map(|(provider, key)| (key.id(provider) == *id).then_some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encryption::parse;
    use crate::encryption::testing::{chain_of, config_text, resource};

    fn config(entries: &[(&str, &str)]) -> EncryptionConfig {
        parse(config_text(entries).as_bytes()).unwrap()
    }

    fn chain(config: &EncryptionConfig, resource: &GroupResource) -> Option<Vec<String>> {
        let links = config.providers_for(resource)?;
        let name = |link: &Link<'_>| match link.id() {
            Some(id) => id.to_string(),
            None => "kms".to_owned(),
        };
        Some(links.iter().map(name).collect())
    }

    #[test]
    fn a_resource_is_looked_up_by_name_then_group_then_all() {
        let config = config(&[
            ("events", "identity"),
            ("deployments.apps", "aescbc:a"),
            ("*.apps", "aescbc:b"),
            ("*.", "aescbc:c"),
            ("*.*", "secretbox:d identity"),
        ]);
        for (name, group, expected) in [
            ("events", "", &["identity"][..]),
            ("deployments", "apps", &["aescbc:a"]),
            ("daemonsets", "apps", &["aescbc:b"]),
            ("secrets", "", &["aescbc:c"]),
            ("jobs", "batch", &["secretbox:d", "identity"]),
        ] {
            let found = chain(&config, &resource(name, group)).unwrap();
            assert_eq!(found, expected, "{name}.{group}");
        }
    }

    #[test]
    fn a_resource_in_two_entries_has_both_keys_in_order_and_one_in_none_has_no_provider() {
        let config = config(&[("secrets", "aescbc:a"), ("secrets configmaps", "aescbc:b kms:k")]);
        let both = Some(vec![
            "aescbc:a".to_owned(),
            "aescbc:b".to_owned(),
            "kms".to_owned(),
        ]);
        assert_eq!(chain(&config, &resource("secrets", "")), both);
        assert_eq!(chain(&config, &resource("pods", "")), None);
    }

    #[test]
    fn what_no_entry_covers_whole_is_named() {
        let config = config(&[("secrets *.apps", "aescbc:a"), ("configmaps", "kms:k")]);
        let not_covered = |texts: &[&str]| -> Vec<String> {
            let wanted: Vec<ResourcePattern> = texts
                .iter()
                .map(|text| ResourcePattern::parse(text).unwrap())
                .collect();
            let patterns = config.not_covered(&wanted);
            patterns.into_iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            not_covered(&["secrets", "configmaps", "deployments.apps", "*.apps"]),
            [""; 0]
        );
        assert_eq!(
            not_covered(&["secrets", "pods", "secrets.x", "*.", "*.*"]),
            ["pods", "secrets.x", "*.", "*.*"]
        );
    }

    #[test]
    fn entries_share_a_chain_only_if_keys_and_order_are_the_same() {
        for (entries, expected) in [
            (
                &[
                    ("a", "aescbc:1,2"),
                    ("b", "aescbc:1 aescbc:2"),
                    ("c", "kms:k aescbc:9"),
                ][..],
                SharedChain::Shared(chain_of("aescbc:1,2")),
            ),
            (
                &[("a", "aescbc:1,2"), ("b", "aescbc:2,1")],
                SharedChain::Differing,
            ),
            (&[("a", "aescbc:1"), ("b", "aesgcm:1")], SharedChain::Differing),
            (&[("a", "kms:k")], SharedChain::NoEntry),
        ] {
            assert_eq!(config(entries).shared_chain(), expected, "{entries:?}");
        }
    }

    #[test]
    fn a_first_configuration_is_plaintext() {
        let plain = EncryptionConfig::plaintext(vec![ResourcePattern::parse("secrets").unwrap()]);
        assert_eq!(plain, config(&[("secrets", "identity")]));
        assert_eq!(plain.shared_chain(), SharedChain::Shared(vec![KeyId::Identity]));
    }
}
