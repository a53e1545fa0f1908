//! What is forgotten and what is not, for each thing that may need a key.

use zeroize::Zeroizing;

use super::*;
use crate::census::Paths;
use crate::domain::{Provider, SecretKey};
use crate::encryption::parse;
use crate::rotation::fixtures::{begun, history};

fn id(name: &str) -> KeyId {
    KeyId::Key {
        provider: Provider::Aescbc,
        name: name.parse().unwrap(),
    }
}

fn fingerprint(byte: u8) -> Fingerprint {
    SecretKey::new(Zeroizing::new(vec![byte; 32])).fingerprint()
}

/// `in use` has the byte 7; any other key the one that stands here.
fn file(name: &str, keys: &[(&str, u8)]) -> KeptFile {
    KeptFile {
        path: format!("/var/lib/holdfast/{name}.yaml").parse().unwrap(),
        keys: keys
            .iter()
            .map(|(name, byte)| (id(name), fingerprint(*byte)))
            .collect(),
    }
}

/// After two rotations: key1, then key2, then the one that is in use.
fn kept() -> Vec<KeptFile> {
    vec![
        file("keys/key-2", &[("key2", 2)]),
        file("keys/key-used", &[("used", 7)]),
        file("retained/key-1", &[("key1", 1)]),
        file("retained/key-2", &[("key2", 2)]),
        file("retained/configuration-0", &[("key1", 1)]),
        file("retained/configuration-1", &[("key1", 1), ("key2", 2)]),
        file("retained/configuration-2", &[("key2", 2), ("used", 7)]),
        file("retained/configuration-3", &[("used", 7)]),
        file("retained/configuration-plain", &[]),
    ]
}

fn configured() -> Configured {
    let text = "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: [secrets]\n  providers:\n  \
                - aescbc: {keys: [{name: used, secret: BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=}]}\n";
    Configured {
        file: "/etc/kubernetes/enc/enc.yaml".parse().unwrap(),
        mounted_alone: false,
        reload: true,
        digest: Digest::of(text.as_bytes()),
        config: parse(text.as_bytes()).unwrap(),
    }
}

fn census(values: &[(&str, Held)]) -> Fact<Census> {
    let mut census = Census::at(5);
    let paths = Paths::new("/registry").unwrap();
    for (key, held) in values {
        census.add(&paths, key.as_bytes(), 100, 4, held.clone());
    }
    census.complete = true;
    Fact::Known(census)
}

struct Case {
    kept: Vec<KeptFile>,
    configured: Option<Configured>,
    loaded: Fact<Digest>,
    rotation: Option<Rotation>,
    census: Fact<Census>,
}

/// Nothing stands against it.
fn free() -> Case {
    let configured = configured();
    Case {
        kept: kept(),
        loaded: Fact::Known(configured.digest),
        configured: Some(configured),
        rotation: None,
        census: census(&[("/registry/secrets/ns/a", Held::Under(id("used")))]),
    }
}

fn forgotten(case: &Case, names: &[&str]) -> Result<Forgetting, NotForgotten> {
    let names: Vec<String> = names.iter().map(|name| format!("aescbc:{name}")).collect();
    let known = Known {
        kept: &case.kept,
        configured: case.configured.as_ref(),
        loaded: &case.loaded,
        rotation: case.rotation.as_ref(),
        census: &case.census,
    };
    asked(&names, &case.kept).and_then(|asked| decide(asked, &known))
}

/// The files that go.
fn decided(case: &Case, names: &[&str]) -> Result<Vec<String>, String> {
    let short = |file: &NodePath| {
        file.as_str()
            .replace("/var/lib/holdfast/", "")
            .replace(".yaml", "")
    };
    forgotten(case, names)
        .map(|what| what.files.iter().map(short).collect())
        .map_err(|why| why.to_string())
}

#[test]
fn every_file_with_the_key_goes_and_no_other() {
    assert_eq!(
        decided(&free(), &["key1"]).unwrap(),
        [
            "retained/key-1",
            "retained/configuration-0",
            "retained/configuration-1"
        ]
    );
    assert_eq!(
        decided(&free(), &["key2", "key1"]).unwrap(),
        [
            "keys/key-2",
            "retained/key-1",
            "retained/key-2",
            "retained/configuration-0",
            "retained/configuration-1",
            "retained/configuration-2"
        ]
    );
    let plaintext = Case {
        configured: None,
        loaded: Fact::Absent,
        census: census(&[("/registry/secrets/ns/a", Held::Under(KeyId::Identity))]),
        ..free()
    };
    let all = decided(&plaintext, &["key1", "key2", "used"]).unwrap();
    assert_eq!(all.len(), kept().len() - 1, "{all:?}");
}

#[test]
fn what_goes_is_known_by_its_fingerprints() {
    let case = Case {
        kept: vec![
            file("retained/key-1", &[("key1", 1)]),
            file("retained/configuration-1", &[("key1", 1), ("used", 7)]),
            file("retained/configuration-2", &[("key1", 3)]),
        ],
        ..free()
    };
    let what = forgotten(&case, &["key1"]).unwrap();
    assert_eq!(
        what.fingerprints,
        [(id("key1"), fingerprint(1)), (id("key1"), fingerprint(3))].into()
    );
}

#[test]
fn a_file_is_not_removed_with_a_key_that_is_kept_nowhere_else() {
    let case = Case {
        kept: vec![
            file("retained/key-1", &[("key1", 1)]),
            file("retained/configuration-1", &[("key1", 1), ("key2", 2)]),
        ],
        ..free()
    };
    let why = decided(&case, &["key1"]).unwrap_err();
    assert!(
        why.ends_with("also has aescbc:key2, which is kept nowhere else; forget both, or none"),
        "{why}"
    );
    assert_eq!(decided(&case, &["key1", "key2"]).unwrap().len(), 2);
    // Another key of the same name is another key.
    let other = Case {
        kept: vec![
            file("retained/key-1", &[("key1", 1)]),
            file("retained/configuration-1", &[("key1", 1), ("used", 9)]),
        ],
        ..free()
    };
    assert!(
        decided(&other, &["key1"])
            .unwrap_err()
            .contains("also has aescbc:used")
    );
}

#[test]
fn what_is_in_use_or_not_there_is_not_forgotten() {
    assert_eq!(
        decided(&free(), &["used"]).unwrap_err(),
        "aescbc:used is in the API server's configuration"
    );
    assert!(
        decided(&free(), &["key9"])
            .unwrap_err()
            .starts_with("no file of the key store has a key aescbc:key9")
    );
    let rotating = Case {
        kept: vec![
            file("retained/key-old", &[("old", 1)]),
            file("keys/key-new", &[("new", 2)]),
        ],
        rotation: history(&[begun()]).rotation,
        ..free()
    };
    for key in ["old", "new"] {
        let why = decided(&rotating, &[key]).unwrap_err();
        assert!(
            why.starts_with("rotation r1, which is under way, names aescbc:"),
            "{why}"
        );
    }
}

#[test]
fn a_key_that_a_value_needs_or_may_need_is_not_forgotten() {
    let with = |census: Fact<Census>| decided(&Case { census, ..free() }, &["key1"]).unwrap_err();
    assert_eq!(
        with(census(&[
            ("/registry/secrets/ns/a", Held::Under(id("used"))),
            ("/registry/configmaps/ns/b", Held::Under(id("key1"))),
        ])),
        "1 stored value(s) are under aescbc:key1, such as /registry/configmaps/ns/b; without the key nobody can read them"
    );
    assert!(with(Fact::unknown("no leader")).ends_with("cannot be told: no leader"));
    assert!(with(census(&[("/registry/secrets/ns/a", Held::Malformed)])).contains("not by which key"));
    let Fact::Known(whole) = census(&[]) else {
        panic!("it is known")
    };
    let part = Census {
        complete: false,
        ..whole.clone()
    };
    let lumped = Census { lumped: 1, ..whole };
    for census in [part, lumped] {
        assert!(with(Fact::Known(census)).contains("not every value was counted"));
    }
}

#[test]
fn an_api_server_that_may_run_with_another_file_keeps_everything() {
    for (loaded, why) in [
        (Fact::Known(Digest::of(b"other")), "it runs with d9298a10..."),
        (Fact::Absent, "it runs without one"),
        (Fact::unknown("403"), "403"),
    ] {
        let found = decided(&Case { loaded, ..free() }, &["key1"]).unwrap_err();
        assert!(
            found.ends_with(&format!("the configuration that is on the disk: {why}")),
            "{found}"
        );
    }
}
