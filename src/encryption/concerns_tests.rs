//! Tests of the concerns.

use zeroize::Zeroizing;

use super::*;
use crate::encryption::testing::{bytes_of, config_text, id};
use crate::encryption::{NamedKey, ProviderEntry, parse};

fn concerns(entries: &[(&str, &str)]) -> Vec<Concern> {
    parse(config_text(entries).as_bytes()).unwrap().concerns()
}

fn key(bytes: &[u8]) -> SecretKey {
    SecretKey::new(Zeroizing::new(bytes.to_vec()))
}

#[test]
fn a_sound_configuration_raises_none() {
    let sound = [
        ("secrets", "aescbc:key1,key10 secretbox:key1 identity"),
        ("*.apps", "aescbc:key1"),
    ];
    assert_eq!(concerns(&sound), []);
}

#[test]
fn names_that_cannot_be_told_apart_forbid_a_rotation() {
    let found = concerns(&[("secrets", "aescbc:a,a:b aesgcm:a:c")]);
    let expected = [
        Concern::OverlappingNames {
            key: id("aescbc:a"),
            longer: id("aescbc:a:b"),
        },
        Concern::ColonInName {
            key: id("aescbc:a:b"),
        },
        Concern::ColonInName {
            key: id("aesgcm:a:c"),
        },
    ];
    assert_eq!(found, expected);
    assert_eq!(
        found.iter().map(Concern::forbids_rotation).collect::<Vec<_>>(),
        [true, false, false]
    );
}

#[test]
fn one_name_for_two_keys_is_ambiguous_and_for_one_key_twice_is_not() {
    let mut config =
        parse(config_text(&[("secrets", "aescbc:a"), ("events", "aescbc:a")]).as_bytes()).unwrap();
    assert_eq!(config.concerns(), []);
    config.entries[1].providers = vec![ProviderEntry::Keys {
        provider: crate::domain::Provider::Aescbc,
        keys: vec![NamedKey {
            name: "a".parse().unwrap(),
            secret: key(&bytes_of("other")),
        }],
    }];
    let ambiguous = Concern::AmbiguousName { key: id("aescbc:a") };
    assert_eq!(config.concerns(), std::slice::from_ref(&ambiguous));
    assert!(ambiguous.forbids_rotation());
    assert_eq!(
        ambiguous.to_string(),
        "the name of the key aescbc:a stands for different keys"
    );
}

#[test]
fn what_writes_plaintext_repeats_a_resource_or_uses_kms_is_named() {
    let found = concerns(&[
        ("events secrets", "identity aescbc:a"),
        ("secrets", "kms:k identity"),
    ]);
    let expected = [
        Concern::RepeatedResource {
            resource: ResourcePattern::parse("secrets").unwrap(),
        },
        Concern::WritesPlaintext { entry: 0 },
        Concern::Kms {
            entry: 1,
            version: KmsVersion::V2,
            name: "k".to_owned(),
        },
    ];
    assert_eq!(found, expected);
}

#[test]
fn two_kms_v1_providers_of_one_name_are_named() {
    let text = config_text(&[("a", "kms:k"), ("b", "kms:l")]);
    let v1 = text.replace("apiVersion: v2, ", "").replace("name: l", "name: k");
    let found = parse(v1.as_bytes()).unwrap().concerns();
    assert_eq!(
        found.last(),
        Some(&Concern::RepeatedKmsName { name: "k".to_owned() })
    );
}

#[test]
fn a_key_made_by_hand_is_weak_and_a_random_one_is_not() {
    let counted: Vec<u8> = (0..32).map(|i| 7_u8.wrapping_mul(i)).collect();
    let few: Vec<u8> = bytes_of("x").iter().map(|byte| byte % 10 + 200).collect();
    for (bytes, expected) in [
        (&b"this is password"[..], Some(Weakness::Printable)),
        (b"0f1e2d3c4b5a69788796a5b4c3d2e1f0", Some(Weakness::Printable)),
        (
            b"secret is secure, or is it?\r\n\r\n\n",
            Some(Weakness::Printable),
        ),
        (&[0; 32], Some(Weakness::Sequence)),
        (&counted, Some(Weakness::Sequence)),
        (
            &[bytes_of("x")[..16].to_vec(), bytes_of("x")[..16].to_vec()].concat(),
            Some(Weakness::Repeated),
        ),
        (&few, Some(Weakness::FewDistinctBytes)),
    ] {
        assert_eq!(weakness(&key(bytes)), expected, "{bytes:?}");
    }
    for number in 0..20_000 {
        let bytes = bytes_of(&number.to_string());
        for length in [16, 24, 32] {
            assert_eq!(weakness(&key(&bytes[..length])), None);
        }
    }
}

#[test]
fn a_short_and_a_weak_key_are_named_without_their_bytes() {
    let text = config_text(&[("secrets", "aescbc:a")]);
    let own = {
        use base64::Engine as _;
        base64::prelude::BASE64_STANDARD.encode(bytes_of("a"))
    };
    // "this is password", the example of many guides.
    let found = parse(text.replace(&own, "dGhpcyBpcyBwYXNzd29yZA==").as_bytes())
        .unwrap()
        .concerns();
    let key = id("aescbc:a");
    let expected = [
        Concern::WeakKey {
            key: key.clone(),
            why: Weakness::Printable,
        },
        Concern::ShortKey { key, bytes: 16 },
    ];
    assert_eq!(found, expected);
    let said: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "the key aescbc:a was not drawn at random: all its bytes are printable characters",
            "the key aescbc:a has 16 bytes, not 32",
        ]
    );
}
