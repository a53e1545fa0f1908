//! The next configuration: the one on disk, brought to the keys that are wanted.

use zeroize::Zeroizing;

use super::RotateError;
use crate::at_rest::Configured;
use crate::encryption::edit::NewKey;
use crate::encryption::{SharedChain, parse, write};
use crate::rotation::Chain;

/// The bytes of the configuration with these keys, in all entries that a rotation may edit.
///
/// # Errors
/// When it cannot be, or what would be written is not exactly what is wanted.
pub(super) fn to_chain(
    configured: &Configured,
    wanted: &Chain,
    new: Option<&NewKey>,
) -> Result<Zeroizing<Vec<u8>>, RotateError> {
    let mut config = configured.config.clone();
    let entries = config.static_entries();
    let has = |config: &crate::encryption::EncryptionConfig| match config.shared_chain() {
        SharedChain::Shared(chain) => chain,
        SharedChain::Differing | SharedChain::NoEntry => Vec::new(),
    };
    let missing = wanted.keys().any(|key| !has(&config).contains(key));
    if let Some(new) = new.filter(|_| missing) {
        config = config.with_read_key(&entries, new)?;
    }
    if has(&config).first() != Some(wanted.write_key()) {
        config = config.promoted(&entries, wanted.write_key())?;
    }
    for key in has(&config) {
        if !wanted.reads(&key) {
            config = config.without(&entries, &key)?;
        }
    }
    let bytes = write(&config);
    // What is read back counts, not what was meant.
    let found = parse(&bytes).map(|config| has(&config)).unwrap_or_default();
    let meant: Vec<_> = wanted.keys().cloned().collect();
    if found == meant {
        return Ok(bytes);
    }
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    Err(RotateError::Render {
        found: format!("[{}]", found.join(", ")),
        wanted: wanted.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;
    use crate::domain::{Digest, KeyId, KeyName, Provider, SecretKey};
    use crate::encryption::NamedKey;

    fn id(name: &str) -> KeyId {
        KeyId::Key {
            provider: Provider::Aescbc,
            name: name.parse::<KeyName>().unwrap(),
        }
    }

    fn configured() -> Configured {
        let secret = base64::engine::general_purpose::STANDARD.encode([7; 32]);
        let text = format!(
            "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: [secrets]\n  providers:\n  \
             - aescbc:\n      keys:\n      - {{name: key1, secret: {secret}}}\n  - identity: {{}}\n"
        );
        Configured {
            file: "/etc/kubernetes/enc/enc.yaml".parse().unwrap(),
            mounted_alone: false,
            reload: true,
            digest: Digest::of(text.as_bytes()),
            config: parse(text.as_bytes()).unwrap(),
        }
    }

    fn new() -> NewKey {
        NewKey::Key {
            provider: Provider::Aescbc,
            key: NamedKey {
                name: "new".parse().unwrap(),
                secret: SecretKey::new(Zeroizing::new(vec![9; 32])),
            },
        }
    }

    #[test]
    fn the_walk_of_the_core_is_the_walk_of_the_file() {
        let old = Chain::new(vec![id("key1"), KeyId::Identity]).unwrap();
        let mut configured = configured();
        let second = old.also_reading(&id("new"));
        let stages = [second.clone(), second.writing(&id("new")), Chain::of(id("new"))];
        for wanted in stages {
            let bytes = to_chain(&configured, &wanted, Some(&new())).unwrap();
            configured.config = parse(&bytes).unwrap();
            let found = configured.config.shared_chain();
            assert_eq!(found, SharedChain::Shared(wanted.keys().cloned().collect()));
        }
    }

    #[test]
    fn the_same_key_twice_is_one_on_the_whole_walk() {
        let mut configured = configured();
        let mut repeated = configured.config.clone();
        let providers = &mut repeated.entries[0].providers;
        let again = providers.clone();
        providers.extend(again);
        configured.config = parse(&write(&repeated)).unwrap();
        let old = Chain::new(vec![id("key1"), KeyId::Identity]).unwrap();
        let found = configured.config.shared_chain();
        assert_eq!(found, SharedChain::Shared(old.keys().cloned().collect()));
        let second = old.also_reading(&id("new"));
        for wanted in [second.clone(), second.writing(&id("new")), Chain::of(id("new"))] {
            let bytes = to_chain(&configured, &wanted, Some(&new())).unwrap();
            configured.config = parse(&bytes).unwrap();
        }
        assert_eq!(configured.config.entries[0].links().count(), 1);
    }

    #[test]
    fn keys_that_cannot_be_had_are_refused_and_nothing_is_rendered() {
        let lost = Chain::new(vec![id("key1"), id("lost")]).unwrap();
        assert!(matches!(
            to_chain(&configured(), &lost, None),
            Err(RotateError::Render { .. })
        ));
        // The order of those that only read is not ours to change.
        let order = Chain::new(vec![id("key1"), KeyId::Identity, id("new")]).unwrap();
        assert!(matches!(
            to_chain(&configured(), &order, Some(&new())),
            Err(RotateError::Render { .. })
        ));
    }
}
