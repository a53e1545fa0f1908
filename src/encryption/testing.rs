//! Configurations for tests, in short: `aescbc:1,2 identity kms:k` is a chain.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::NamedKey;
use crate::domain::{GroupResource, KeyId, Provider, SecretKey};

/// 32 bytes that look random and depend on the text only.
pub(super) fn bytes_of(text: &str) -> Vec<u8> {
    let digest = crate::domain::Digest::of(text.as_bytes()).to_string();
    let pairs = digest.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

pub(super) fn named(name: &str) -> NamedKey {
    NamedKey {
        name: name.parse().unwrap(),
        secret: SecretKey::new(Zeroizing::new(bytes_of(name))),
    }
}

pub(crate) fn resource(resource: &str, group: &str) -> GroupResource {
    GroupResource {
        resource: resource.to_owned(),
        group: group.to_owned(),
    }
}

pub(super) fn provider(name: &str) -> Provider {
    *Provider::ALL.iter().find(|one| one.name() == name).unwrap()
}

pub(crate) fn id(text: &str) -> KeyId {
    match text.split_once(':') {
        Some((kind, name)) => KeyId::Key {
            provider: provider(kind),
            name: name.parse().unwrap(),
        },
        None => KeyId::Identity,
    }
}

/// The ids of a chain in short.
pub(super) fn chain_of(chain: &str) -> Vec<KeyId> {
    let elements = chain
        .split_whitespace()
        .map(|element| match element.split_once(':') {
            Some((kind, names)) => names
                .split(',')
                .map(|name| id(&format!("{kind}:{name}")))
                .collect(),
            None => vec![KeyId::Identity],
        });
    elements.flatten().collect()
}

/// A hand-written file with entries of (resources, chain).
pub(crate) fn config_text(entries: &[(&str, &str)]) -> String {
    let mut text =
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n".to_owned();
    for (resources, chain) in entries {
        text += "- resources:\n";
        for resource in resources.split_whitespace() {
            writeln!(text, "  - '{resource}'").unwrap();
        }
        text += "  providers:\n";
        for element in chain.split_whitespace() {
            match element.split_once(':') {
                None => text += "  - identity: {}\n",
                Some(("kms", name)) => writeln!(
                    text,
                    "  - kms: {{apiVersion: v2, name: {name}, endpoint: 'unix:///k.sock', timeout: 3s}}"
                )
                .unwrap(),
                Some((kind, names)) => {
                    writeln!(text, "  - {kind}:\n      keys:").unwrap();
                    for name in names.split(',') {
                        let secret = BASE64_STANDARD.encode(bytes_of(name));
                        writeln!(text, "      - name: '{name}'\n        secret: {secret}").unwrap();
                    }
                }
            }
        }
    }
    text
}
