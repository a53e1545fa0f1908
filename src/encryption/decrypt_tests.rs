//! Tests of decrypting, with values that kube-apiserver 1.35.4's own transformers made.

use proptest::prelude::*;

use super::*;
use crate::domain::SecretKey;
use crate::encryption::Stored;
use crate::encryption::seal::seal;
use crate::encryption::testing::{bytes_of, named, provider};

const VECTORS: &str = include_str!("fixtures/vectors.json");
const PATH: &[u8] = b"/registry/secrets/default/one";
const OBJECT: &[u8] = b"k8s\0\n\x0c\n\x02v1\x12\x06Secret";

struct Vector {
    provider: Provider,
    key: NamedKey,
    path: Vec<u8>,
    plain: Vec<u8>,
    stored: Vec<u8>,
}

fn from_hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn key(name: &str, bytes: Vec<u8>) -> NamedKey {
    NamedKey {
        name: name.parse().unwrap(),
        secret: SecretKey::new(Zeroizing::new(bytes)),
    }
}

fn vectors() -> Vec<Vector> {
    let rows: Vec<std::collections::BTreeMap<String, String>> = serde_json::from_str(VECTORS).unwrap();
    let vector = |row: &std::collections::BTreeMap<String, String>| Vector {
        provider: provider(&row["provider"]),
        key: key(&row["name"], from_hex(&row["key"])),
        path: row["path"].clone().into_bytes(),
        plain: from_hex(&row["plain"]),
        stored: from_hex(&row["stored"]),
    };
    rows.iter().map(vector).collect()
}

#[test]
fn what_the_api_server_stored_is_attributed_and_decrypted() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 40);
    for vector in vectors {
        let id = vector.key.id(vector.provider);
        assert_eq!(
            Stored::classify(&vector.stored, std::slice::from_ref(&id)),
            Stored::Encrypted {
                provider: vector.provider,
                name: vector.key.name.clone(),
                known: true
            }
        );
        let plain = decrypt(&vector.stored, vector.provider, &vector.key, &vector.path);
        assert_eq!(plain.as_deref(), Ok(&vector.plain), "{id}");
        assert_eq!(looks_like_object(&vector.plain), !vector.plain.is_empty());
    }
}

#[test]
fn a_value_cut_off_at_any_byte_is_refused_and_never_panics() {
    for vector in vectors() {
        for length in 0..vector.stored.len() {
            let cut = decrypt(
                &vector.stored[..length],
                vector.provider,
                &vector.key,
                &vector.path,
            );
            // A whole number of blocks may, by chance, end in good padding; none of these does.
            assert!(cut.is_err(), "{} of {}", length, vector.stored.len());
        }
    }
}

#[test]
fn an_authenticated_value_that_was_moved_or_damaged_is_refused() {
    for vector in vectors() {
        let moved = decrypt(
            &vector.stored,
            vector.provider,
            &vector.key,
            b"/registry/secrets/default/two",
        );
        match vector.provider {
            Provider::Aesgcm => assert_eq!(moved, Err(Undecryptable::Authentication)),
            Provider::Aescbc | Provider::Secretbox => assert_eq!(moved.as_deref(), Ok(&vector.plain)),
        }
        if vector.provider == Provider::Aescbc {
            continue;
        }
        let start = prefix(vector.provider, &vector.key.name).len();
        for at in start..vector.stored.len() {
            let mut damaged = vector.stored.clone();
            damaged[at] ^= 1;
            let read = decrypt(&damaged, vector.provider, &vector.key, &vector.path);
            assert_eq!(read, Err(Undecryptable::Authentication));
        }
    }
}

#[test]
fn each_refusal_has_its_reason() {
    let good = named("a");
    let sealed = seal(OBJECT, Provider::Aescbc, &good, PATH, [7; 24]);
    assert_eq!(
        decrypt(&sealed, Provider::Aescbc, &named("b"), PATH),
        Err(Undecryptable::OtherKey)
    );
    assert_eq!(
        decrypt(&sealed, Provider::Aesgcm, &good, PATH),
        Err(Undecryptable::OtherKey)
    );
    let short = key("a", vec![1; 17]);
    assert_eq!(
        decrypt(&sealed, Provider::Aescbc, &short, PATH),
        Err(Undecryptable::KeyLength)
    );
    // Exactly prefix and IV: upstream indexes an empty slice here.
    let start = prefix(Provider::Aescbc, &good.name).len();
    assert_eq!(
        decrypt(&sealed[..start + 16], Provider::Aescbc, &good, PATH),
        Err(Undecryptable::Truncated)
    );
    let other = key("a", bytes_of("some other key"));
    assert_eq!(
        decrypt(&sealed, Provider::Aescbc, &other, PATH),
        Err(Undecryptable::Padding)
    );
}

#[test]
fn padding_alone_takes_one_wrong_key_in_256_and_the_look_at_the_object_takes_none() {
    const TRIES: u32 = 20_000;
    let sealed = seal(
        &[OBJECT, &[b'x'; 300]].concat(),
        Provider::Aescbc,
        &named("a"),
        PATH,
        [9; 24],
    );
    let (mut padded, mut objects) = (0, 0);
    for number in 0..TRIES {
        let wrong = key("a", bytes_of(&number.to_string()));
        if let Ok(plain) = decrypt(&sealed, Provider::Aescbc, &wrong, PATH) {
            padded += 1;
            objects += u32::from(looks_like_object(&plain));
        }
    }
    let expected = TRIES / 256;
    assert!(
        (expected / 2..expected * 2).contains(&padded),
        "{padded} of {TRIES}"
    );
    assert_eq!(objects, 0);
}

#[test]
fn an_object_is_told_from_what_only_begins_like_one() {
    for (bytes, expected) in [
        (&b"k8s\0"[..], true),
        (b"{}", true),
        (b"{\"kind\":\"Panda\"}\n", true),
        (b"\xd9\xd9\xf7\xa0", true),
        (b"", false),
        (b"{", false),
        (b"k8s", false),
        (b"k8s:enc:aescbc:v1:a:", false),
        (b"[]", false),
        (b"{\"kind\":\"Pan", false),
        (b"{\xff\xfe}", false),
    ] {
        assert_eq!(looks_like_object(bytes), expected, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened_again(
        plain in any::<Vec<u8>>(),
        which in 0..3_usize,
        length in 0..3_usize,
        noise in any::<[u8; 24]>(),
    ) {
        let provider = Provider::ALL[which];
        let length = if provider == Provider::Secretbox { 32 } else { [16, 24, 32][length] };
        let key = key("k:x", bytes_of("k")[..length].to_vec());
        let sealed = seal(&plain, provider, &key, PATH, noise);
        let opened = decrypt(&sealed, provider, &key, PATH).unwrap();
        prop_assert_eq!(&*opened, &plain);
    }

    #[test]
    fn any_bytes_after_the_prefix_give_an_answer(body in any::<Vec<u8>>(), which in 0..3_usize) {
        let provider = Provider::ALL[which];
        let key = named("a");
        let value = [prefix(provider, &key.name).into_bytes(), body].concat();
        if let Err(error) = decrypt(&value, provider, &key, PATH) {
            prop_assert_ne!(error, Undecryptable::OtherKey);
        }
    }
}
