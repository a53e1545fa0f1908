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
    /// All entries that a rotation may edit have these keys, the write key first.
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

    /// The same as ids, without KMS. What is repeated counts where it stands first: there the API server finds it.
    #[must_use]
    pub fn chain(&self) -> Vec<KeyId> {
        let mut chain = Vec::new();
        for id in self.links().filter_map(|link| link.id()) {
            if !chain.contains(&id) {
                chain.push(id);
            }
        }
        chain
    }

    /// True when the entry stores plaintext and nothing else.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let mut providers = self.providers.iter();
        providers.all(|element| *element == ProviderEntry::Identity)
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
        let mut entries = self.entries_for(resource).peekable();
        entries.peek()?;
        Some(entries.flat_map(|(_, entry)| entry.links()).collect())
    }

    /// The entries that serve a resource, with their indexes.
    fn entries_for(&self, resource: &GroupResource) -> impl Iterator<Item = (usize, &Entry)> {
        let candidates = [
            ResourcePattern::Exact(resource.clone()),
            ResourcePattern::Group(resource.group.clone()),
            ResourcePattern::All,
        ];
        let is_named = |pattern: &ResourcePattern| {
            let mut entries = self.entries.iter();
            entries.any(|entry| entry.resources.contains(pattern))
        };
        let pattern = candidates.into_iter().find(is_named);
        let entries = self.entries.iter().enumerate();
        entries.filter(move |(_, entry)| {
            pattern
                .as_ref()
                .is_some_and(|pattern| entry.resources.contains(pattern))
        })
    }

    /// True when values of the resource can be read with the key whatever a rotation makes of the other entries: one that is left alone
    /// serves the resource and has the key.
    #[must_use]
    pub fn keeps(&self, resource: &GroupResource, key: &KeyId) -> bool {
        let rotated = self.static_entries();
        self.entries_for(resource)
            .filter(|(index, _)| !rotated.contains(index))
            .any(|(_, entry)| entry.chain().contains(key))
    }

    /// The indexes of the entries that a rotation may edit: those without KMS; and where any of them has a key, those of plaintext alone
    /// are left as they are, as for `events` that need no encryption before a `*.*` that has it.
    #[must_use]
    pub fn static_entries(&self) -> BTreeSet<usize> {
        let without_kms = || {
            let entries = self.entries.iter().enumerate();
            entries.filter(|(_, entry)| !entry.has_kms())
        };
        let only_plain = without_kms().all(|(_, entry)| entry.is_plain());
        without_kms()
            .filter(|(_, entry)| only_plain || !entry.is_plain())
            .map(|(index, _)| index)
            .collect()
    }

    /// What the entries cover that a rotation edits, and what those cover that it leaves alone.
    #[must_use]
    pub fn rotated_and_left(&self) -> (Vec<ResourcePattern>, Vec<ResourcePattern>) {
        let rotated = self.static_entries();
        let (mut edited, mut left) = (Vec::new(), Vec::new());
        for (index, entry) in self.entries.iter().enumerate() {
            let patterns = if rotated.contains(&index) {
                &mut edited
            } else {
                &mut left
            };
            patterns.extend(entry.resources.iter().cloned());
        }
        (edited, left)
    }

    /// What stays in plaintext because its entry is left as it is.
    #[must_use]
    pub fn left_plain(&self) -> Vec<ResourcePattern> {
        let rotated = self.static_entries();
        let entries = self.entries.iter().enumerate();
        entries
            .filter(|(index, entry)| entry.is_plain() && !rotated.contains(index))
            .flat_map(|(_, entry)| entry.resources.iter().cloned())
            .collect()
    }

    /// Whether all entries that a rotation may edit have the same keys in the same order.
    #[must_use]
    pub fn shared_chain(&self) -> SharedChain {
        let rotated = self.static_entries();
        let entries = self.entries.iter().enumerate();
        let mut chains = entries
            .filter(|(index, _)| rotated.contains(index))
            .map(|(_, entry)| entry.chain());
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
    fn an_entry_that_is_left_alone_keeps_its_keys_for_what_it_serves() {
        let config = config(&[
            ("secrets", "kms:k aescbc:a"),
            ("*.apps", "aescbc:a"),
            ("*.*", "aescbc:a"),
        ]);
        let a = &chain_of("aescbc:a")[0];
        assert!(config.keeps(&resource("secrets", ""), a));
        assert!(!config.keeps(&resource("secrets", ""), &KeyId::Identity));
        assert!(!config.keeps(&resource("deployments", "apps"), a));
        assert!(!config.keeps(&resource("configmaps", ""), a));
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
                &[
                    ("a", "aescbc:1,2,1 identity identity"),
                    ("b", "aescbc:1,2 identity"),
                ],
                SharedChain::Shared(chain_of("aescbc:1,2 identity")),
            ),
            (
                &[("a", "aescbc:1,2"), ("b", "aescbc:2,1")],
                SharedChain::Differing,
            ),
            (&[("a", "aescbc:1"), ("b", "aesgcm:1")], SharedChain::Differing),
            (&[("a", "kms:k")], SharedChain::NoEntry),
            (
                &[("events", "identity"), ("*.*", "aescbc:1 identity")],
                SharedChain::Shared(chain_of("aescbc:1 identity")),
            ),
            (
                &[("events", "identity"), ("*.*", "identity")],
                SharedChain::Shared(vec![KeyId::Identity]),
            ),
        ] {
            assert_eq!(config(entries).shared_chain(), expected, "{entries:?}");
        }
    }

    #[test]
    fn plaintext_is_left_as_it_is_beside_keys() {
        let patterns = |texts: &[&str]| {
            let all = texts.iter().map(|text| ResourcePattern::parse(text).unwrap());
            all.collect::<Vec<_>>()
        };
        let mixed = config(&[
            ("events leases.coordination.k8s.io", "identity"),
            ("secrets", "kms:k"),
            ("*.*", "aescbc:1"),
        ]);
        assert_eq!(mixed.static_entries(), [2].into());
        let plain = patterns(&["events", "leases.coordination.k8s.io"]);
        let left = patterns(&["events", "leases.coordination.k8s.io", "secrets"]);
        assert_eq!(mixed.rotated_and_left(), (patterns(&["*.*"]), left));
        assert_eq!(mixed.left_plain(), plain);
        let all = config(&[("events", "identity"), ("*.*", "identity")]);
        assert_eq!(all.static_entries(), [0, 1].into());
        assert_eq!(all.left_plain(), []);
    }

    #[test]
    fn a_first_configuration_is_plaintext() {
        let plain = EncryptionConfig::plaintext(vec![ResourcePattern::parse("secrets").unwrap()]);
        assert_eq!(plain, config(&[("secrets", "identity")]));
        assert_eq!(plain.shared_chain(), SharedChain::Shared(vec![KeyId::Identity]));
    }
}
