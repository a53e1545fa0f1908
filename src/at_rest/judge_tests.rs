//! What is said of a configuration, of what the API server has loaded, and of each stored value.

use super::*;
use crate::census::Paths;
use crate::domain::{KeyName, Provider};
use crate::encryption::parse;

const FILE: &str = "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: [secrets]\n  providers:\n  \
                    - aescbc:\n      keys:\n      - {name: key2, secret: PLACE}\n  - aescbc:\n      keys:\n      - {name: key1, secret: HOLDER}\n  - identity: {}\n";

fn key(name: &str) -> Held {
    Held::Under(KeyId::Key {
        provider: Provider::Aescbc,
        name: name.parse::<KeyName>().unwrap(),
    })
}

fn at_rest(values: &[(&str, Held)]) -> AtRest {
    use base64::Engine as _;
    let secret = |seed: u8| {
        let bytes: Vec<u8> = (0..32u8)
            .map(|i| i.wrapping_mul(73).wrapping_add(seed) ^ (i << 3))
            .collect();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    };
    let file = FILE.replace("PLACE", &secret(7)).replace("HOLDER", &secret(99));
    let paths = Paths::new("/registry").unwrap();
    let mut census = Census::at(40);
    for (index, (path, held)) in (0..).zip(values) {
        census.add(
            &paths,
            format!("/registry/{path}").as_bytes(),
            100,
            10 + index,
            held.clone(),
        );
    }
    census.complete = true;
    let digest = Digest::of(file.as_bytes());
    AtRest {
        upgrade: Fact::Known(Vec::new()),
        configured: Fact::Known(Configured {
            file: "/etc/kubernetes/enc/enc.yaml".parse().unwrap(),
            mounted_alone: false,
            reload: true,
            digest,
            config: parse(file.as_bytes()).unwrap(),
        }),
        loaded: Fact::Known(digest),
        census: Fact::Known(census),
        decrypted: true,
    }
}

/// The texts of that weight.
fn told(at_rest: &AtRest, weight: Weight) -> Vec<String> {
    let remarks = judge(at_rest).into_iter();
    remarks
        .filter(|remark| remark.weight == weight)
        .map(|remark| remark.what)
        .collect()
}

#[test]
fn all_under_the_write_key_and_loaded_is_good_and_says_how_it_was_proven() {
    let found = at_rest(&[("secrets/a/x", key("key2")), ("secrets/a/y", key("key2"))]);
    assert_eq!(told(&found, Weight::Wrong), Vec::<String>::new());
    assert_eq!(told(&found, Weight::Unknown), Vec::<String>::new());
    assert!(told(&found, Weight::Good).contains(
        &"2 values are under the write key, and each decrypts to an object (etcd revision 40)".to_owned()
    ));
}

#[test]
fn whatever_is_under_another_key_or_none_is_named_and_nothing_is_called_good() {
    let lost = Held::UnknownKey {
        provider: Provider::Aescbc,
        name: "gone".to_owned(),
    };
    for (held, said) in [
        (
            Held::Under(KeyId::Identity),
            "1 value is in plaintext, as /registry/secrets/a/x",
        ),
        (
            key("key1"),
            "1 value is still under aescbc:key1, as /registry/secrets/a/x",
        ),
        (
            lost,
            "1 value is under keys that the configuration does not have, as /registry/secrets/a/x: nobody can read them",
        ),
        (
            Held::Malformed,
            "1 value does not decrypt to an object, as /registry/secrets/a/x",
        ),
    ] {
        let found = at_rest(&[("secrets/a/x", held), ("secrets/a/y", key("key2"))]);
        assert_eq!(told(&found, Weight::Wrong), vec![said.to_owned()]);
        assert_eq!(
            told(&found, Weight::Good).len(),
            1,
            "only that the file is loaded"
        );
    }
}

/// The same with other text for the entries.
fn with_entries(entries: &str, values: &[(&str, Held)]) -> AtRest {
    let mut found = at_rest(values);
    if let Fact::Known(configured) = &mut found.configured {
        let text = "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n";
        let key = |name: &str, seed: u8| {
            use base64::Engine as _;
            let bytes: Vec<u8> = (0..32u8)
                .map(|i| i.wrapping_mul(73).wrapping_add(seed) ^ (i << 3))
                .collect();
            let secret = base64::engine::general_purpose::STANDARD.encode(bytes);
            format!("{{aescbc: {{keys: [{{name: {name}, secret: {secret}}}]}}}}")
        };
        let entries = entries
            .replace("KEY1", &key("key1", 99))
            .replace("KEY2", &key("key2", 7));
        configured.config = parse(format!("{text}{entries}").as_bytes()).unwrap();
    }
    found
}

#[test]
fn each_value_is_held_against_what_writes_its_own_resource() {
    const TWO: &str =
        "- {resources: [secrets], providers: [KEY2, KEY1]}\n- {resources: [configmaps], providers: [KEY1]}\n";
    let stale = with_entries(
        TWO,
        &[("secrets/a/x", key("key1")), ("configmaps/a/y", key("key1"))],
    );
    assert_eq!(
        told(&stale, Weight::Wrong),
        ["1 value is still under aescbc:key1, as /registry/secrets/a/x"]
    );
    let fresh = with_entries(
        TWO,
        &[("secrets/a/x", key("key2")), ("configmaps/a/y", key("key1"))],
    );
    assert_eq!(told(&fresh, Weight::Wrong), Vec::<String>::new());
    assert_eq!(told(&fresh, Weight::Good).len(), 2);
}

#[test]
fn resources_that_are_left_out_hide_no_plaintext_of_others() {
    const EVENTS: &str =
        "- {resources: [events], providers: [{identity: {}}]}\n- {resources: ['*.*'], providers: [KEY2]}\n";
    let plain = Held::Under(KeyId::Identity);
    let stale = with_entries(
        EVENTS,
        &[("secrets/a/x", plain.clone()), ("events/a/y", plain.clone())],
    );
    assert_eq!(
        told(&stale, Weight::Wrong),
        ["1 value is in plaintext, as /registry/secrets/a/x"]
    );
    let fresh = with_entries(
        EVENTS,
        &[("secrets/a/x", key("key2")), ("events/a/y", plain.clone())],
    );
    assert_eq!(told(&fresh, Weight::Wrong), Vec::<String>::new());
    assert!(told(&fresh, Weight::Good).contains(
        &"1 value is under the write key, and each decrypts to an object (etcd revision 40); 1 of resources that are left out of the \
          encryption are in plaintext"
            .to_owned()
    ));
    assert_eq!(
        told(&fresh, Weight::Note),
        ["entry 0 writes plaintext: its first provider is identity"]
    );
    let secrets = EVENTS.replace("[events]", "[secrets]");
    let left_out = with_entries(&secrets, &[("secrets/a/x", plain)]);
    assert_eq!(
        told(&left_out, Weight::Wrong),
        ["entry 0 writes plaintext: its first provider is identity"]
    );
}

#[test]
fn what_is_not_known_is_never_good() {
    let good = at_rest(&[("secrets/a/x", key("key2"))]);
    let unknown = |change: &dyn Fn(&mut AtRest)| {
        let mut found = good.clone();
        change(&mut found);
        told(&found, Weight::Unknown).len()
    };
    assert_eq!(unknown(&|found| found.loaded = Fact::unknown("no answer")), 1);
    assert_eq!(unknown(&|found| found.census = Fact::unknown("no answer")), 1);
    assert_eq!(unknown(&|found| found.configured = Fact::unknown("line 3")), 1);
    assert_eq!(
        unknown(&|found| found.census = Fact::Known(Census::at(40))),
        1,
        "a census that was not read to its end proves nothing"
    );
}

#[test]
fn a_file_that_is_mounted_singly_is_told_with_what_the_server_still_runs_with() {
    let mut found = at_rest(&[]);
    if let Fact::Known(configured) = &mut found.configured {
        configured.mounted_alone = true;
    }
    // The file was replaced; the mount shows the server the former one.
    let former = Digest::of(b"the former file");
    found.loaded = Fact::Known(former);
    let wrong = told(&found, Weight::Wrong);
    let [wrong] = wrong.as_slice() else {
        panic!("{wrong:?}")
    };
    let runs_with = format!(
        "the API server runs with another configuration (SHA-256 {}...)",
        former.short()
    );
    assert!(wrong.starts_with(&runs_with), "{wrong}");
    assert_eq!(
        told(&found, Weight::Note),
        [
            "/etc/kubernetes/enc/enc.yaml is mounted as a single file: the API server does not see a new one before it restarts"
        ]
    );
}

#[test]
fn a_server_that_has_loaded_another_file_or_none_is_wrong() {
    let mut found = at_rest(&[]);
    found.loaded = Fact::Known(Digest::of(b"another"));
    assert_eq!(told(&found, Weight::Wrong).len(), 1);
    found.loaded = Fact::Absent;
    assert_eq!(told(&found, Weight::Wrong).len(), 1);
    found.configured = Fact::Absent;
    assert_eq!(told(&found, Weight::Wrong).len(), 1);
}

#[test]
fn what_is_owed_is_told_and_only_a_restart_that_is_owed_is_wrong() {
    assert_eq!(owed(false, None), []);
    let weights = |owed: Vec<Remark>| owed.iter().map(|remark| remark.weight).collect::<Vec<_>>();
    assert_eq!(weights(owed(true, None)), [Weight::Note]);
    assert_eq!(
        weights(owed(true, Some(Digest::of(b"put back")))),
        [Weight::Note, Weight::Wrong]
    );
}

#[test]
fn what_the_next_upgrade_would_drop_is_told_with_what_helps() {
    let drops = Fact::Known(vec!["--encryption-provider-config".to_owned()]);
    let told = of_upgrade(&drops).unwrap();
    assert!(
        told.what.contains("lacks: --encryption-provider-config"),
        "{told:?}"
    );
    assert_eq!(told.weight, Weight::Note);
    assert_eq!(of_upgrade(&Fact::Known(Vec::new())), None);
    assert_eq!(of_upgrade(&Fact::Absent), None);
    assert!(of_upgrade(&Fact::unknown("away")).is_some());
}
