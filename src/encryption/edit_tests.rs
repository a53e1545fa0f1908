//! Tests of the edits: after each the chain is exactly the one intended, and nothing else has changed.

use proptest::prelude::*;

use super::*;
use crate::encryption::testing::{chain_of, config_text, id, named, provider};
use crate::encryption::{ResourcePattern, SharedChain, parse, write};

fn config(entries: &[(&str, &str)]) -> EncryptionConfig {
    parse(config_text(entries).as_bytes()).unwrap()
}

fn new(key: &str) -> NewKey {
    match key.split_once(':') {
        Some((kind, name)) => NewKey::Key {
            provider: provider(kind),
            key: named(name),
        },
        None => NewKey::Identity,
    }
}

fn first() -> BTreeSet<usize> {
    BTreeSet::from([0])
}

#[test]
fn a_new_key_becomes_the_second_whatever_stands_there() {
    for (chain, key, expected) in [
        ("aescbc:a", "aescbc:n", "aescbc:a,n"),
        ("aescbc:a,b identity", "aescbc:n", "aescbc:a,n,b identity"),
        ("aescbc:a,b", "secretbox:n", "aescbc:a secretbox:n aescbc:b"),
        ("aescbc:a,b", "identity", "aescbc:a identity aescbc:b"),
        ("identity", "aescbc:n", "identity aescbc:n"),
        ("identity aescbc:a", "aescbc:n", "identity aescbc:n,a"),
        ("aesgcm:a aescbc:b", "aescbc:n", "aesgcm:a aescbc:n,b"),
    ] {
        let before = config(&[("secrets", chain)]);
        let after = before.with_read_key(&first(), &new(key)).unwrap();
        assert_eq!(after, config(&[("secrets", expected)]), "{chain} + {key}");
    }
}

#[test]
fn a_promoted_key_is_the_first_and_the_others_keep_their_order() {
    for (chain, key, expected) in [
        ("aescbc:a,n,b", "aescbc:n", "aescbc:n,a,b"),
        (
            "aescbc:a secretbox:n aescbc:b",
            "secretbox:n",
            "secretbox:n aescbc:a,b",
        ),
        ("identity aescbc:n", "aescbc:n", "aescbc:n identity"),
        ("aescbc:a identity aescbc:b", "identity", "identity aescbc:a,b"),
        ("aescbc:a,b", "aescbc:a", "aescbc:a,b"),
        (
            "aescbc:a aesgcm:b aescbc:a identity",
            "aescbc:a",
            "aescbc:a aesgcm:b identity",
        ),
    ] {
        let before = config(&[("secrets", chain)]);
        let after = before.promoted(&first(), &id(key)).unwrap();
        assert_eq!(after, config(&[("secrets", expected)]), "{chain} ^ {key}");
    }
}

#[test]
fn a_removed_key_is_gone_and_the_write_key_is_never_removed() {
    for (chain, key, expected) in [
        ("aescbc:n,a,b", "aescbc:a", "aescbc:n,b"),
        (
            "secretbox:n aescbc:a identity",
            "aescbc:a",
            "secretbox:n identity",
        ),
        ("aescbc:a secretbox:n aescbc:b", "secretbox:n", "aescbc:a,b"),
        ("aescbc:n identity", "identity", "aescbc:n"),
    ] {
        let before = config(&[("secrets", chain)]);
        let after = before.without(&first(), &id(key)).unwrap();
        assert_eq!(after, config(&[("secrets", expected)]), "{chain} - {key}");
    }
    let before = config(&[("secrets", "aescbc:n,a")]);
    let key = id("aescbc:n");
    assert_eq!(
        before.without(&first(), &key),
        Err(EditError::IsWriteKey { entry: 0, key })
    );
}

#[test]
fn what_cannot_be_meant_is_refused_and_changes_nothing() {
    let before = config(&[
        ("secrets", "aescbc:a"),
        ("configmaps", "kms:k aescbc:a"),
        ("events", "aescbc:b"),
    ]);
    let a = id("aescbc:a");
    let all = BTreeSet::from([0, 1, 2]);
    let none = BTreeSet::new();
    let here = |entry| EditError::AlreadyThere {
        entry,
        key: a.clone(),
    };
    let not_there = |entry, key: &str| EditError::NotThere { entry, key: id(key) };
    assert_eq!(before.with_read_key(&first(), &new("aescbc:a")), Err(here(0)));
    assert_eq!(
        before.with_read_key(&none, &new("aescbc:n")),
        Err(EditError::NothingChosen)
    );
    assert_eq!(
        before.with_read_key(&all, &new("aescbc:n")),
        Err(EditError::HasKms(1))
    );
    assert_eq!(
        before.with_read_key(&BTreeSet::from([3]), &new("aescbc:n")),
        Err(EditError::NoSuchEntry(3))
    );
    assert_eq!(
        before.promoted(&first(), &id("aesgcm:a")),
        Err(not_there(0, "aesgcm:a"))
    );
    assert_eq!(
        before.promoted(&BTreeSet::from([0, 2]), &a),
        Err(not_there(2, "aescbc:a"))
    );
    assert_eq!(
        before.without(&first(), &KeyId::Identity),
        Err(not_there(0, "identity"))
    );
}

#[test]
fn one_name_with_two_keys_is_never_edited() {
    let mut before = config(&[("secrets", "aescbc:b,a"), ("configmaps", "aescbc:a")]);
    before.entries[1].providers = vec![ProviderEntry::Keys {
        provider: Provider::Aescbc,
        keys: vec![NamedKey {
            name: "a".parse().unwrap(),
            secret: named("other").secret,
        }],
    }];
    let a = id("aescbc:a");
    let ambiguous = EditError::Ambiguous(a.clone());
    assert_eq!(before.promoted(&first(), &a), Err(ambiguous.clone()));
    assert_eq!(before.without(&first(), &a), Err(ambiguous.clone()));
    let other = NewKey::Key {
        provider: Provider::Aescbc,
        key: NamedKey {
            name: "b".parse().unwrap(),
            secret: named("other").secret,
        },
    };
    assert_eq!(
        before.with_read_key(&BTreeSet::from([1]), &other),
        Err(EditError::Ambiguous(id("aescbc:b")))
    );
}

#[test]
fn the_walk_from_plaintext_to_a_key_and_back_goes_by_these_edits() {
    let chain = |config: &EncryptionConfig| config.shared_chain();
    let shared = |text: &str| SharedChain::Shared(chain_of(text));
    let begin = EncryptionConfig::plaintext(vec![ResourcePattern::parse("secrets").unwrap()]);
    let entries = begin.static_entries();
    let c1 = begin.with_read_key(&entries, &new("aescbc:n")).unwrap();
    assert_eq!(chain(&c1), shared("identity aescbc:n"));
    let c2 = c1.promoted(&entries, &id("aescbc:n")).unwrap();
    assert_eq!(chain(&c2), shared("aescbc:n identity"));
    let c3 = c2.without(&entries, &KeyId::Identity).unwrap();
    assert_eq!(chain(&c3), shared("aescbc:n"));
    let back = c3.with_read_key(&entries, &NewKey::Identity).unwrap();
    let back = back.promoted(&entries, &KeyId::Identity).unwrap();
    assert_eq!(back.without(&entries, &id("aescbc:n")), Ok(begin));
}

/// A chain of distinct keys in short.
fn chain() -> impl Strategy<Value = Vec<String>> {
    let ids = [
        "aescbc:a",
        "aescbc:b",
        "aesgcm:a",
        "aesgcm:c",
        "secretbox:d",
        "secretbox:a",
        "identity",
    ];
    proptest::sample::subsequence(ids.to_vec(), 1..=ids.len())
        .prop_shuffle()
        .prop_map(|ids| ids.into_iter().map(str::to_owned).collect())
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Add(usize),
    Promote(usize),
    Remove(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_usize).prop_map(Step::Add),
        (0..9_usize).prop_map(Step::Promote),
        (0..9_usize).prop_map(Step::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn after_any_edits_the_chain_is_the_intended_one_and_all_else_is_as_it_was(
        start in chain(),
        other in chain(),
        steps in proptest::collection::vec(step(), 1..8),
    ) {
        let other = other.join(" ");
        let with_kms = format!("kms:k {other}");
        let mut config = config(&[
            ("secrets", &start.join(" ")),
            ("events", &with_kms),
            ("pods", &start.join(" ")),
            ("*.apps", &other),
        ]);
        let untouched = [config.entries[1].clone(), config.entries[3].clone()];
        let chosen = BTreeSet::from([0, 2]);
        let mut model: Vec<KeyId> = start.iter().map(|key| id(key)).collect();
        for step in steps {
            let after = match step {
                Step::Add(index) => {
                    let key = ["aescbc:n", "aesgcm:n", "secretbox:n", "identity"][index];
                    let after = config.with_read_key(&chosen, &new(key));
                    if model.contains(&id(key)) {
                        prop_assert_eq!(after, Err(EditError::AlreadyThere { entry: 0, key: id(key) }));
                        continue;
                    }
                    model.insert(1, id(key));
                    after
                }
                Step::Promote(index) => {
                    let key = model[index % model.len()].clone();
                    model.retain(|other| *other != key);
                    model.insert(0, key.clone());
                    config.promoted(&chosen, &key)
                }
                Step::Remove(index) => {
                    let index = index % model.len();
                    let key = model[index].clone();
                    let after = config.without(&chosen, &key);
                    if index == 0 {
                        prop_assert_eq!(after, Err(EditError::IsWriteKey { entry: 0, key }));
                        continue;
                    }
                    model.remove(index);
                    after
                }
            };
            config = after.unwrap();
            prop_assert_eq!(config.entries[0].chain(), model.clone());
            prop_assert_eq!(config.entries[2].chain(), model.clone());
            prop_assert_eq!([config.entries[1].clone(), config.entries[3].clone()], untouched.clone());
            // Every name still stands for its own bytes.
            for (_, key) in config.keys() {
                prop_assert_eq!(key, &named(key.name.as_str()));
            }
            prop_assert_eq!(parse(&write(&config)), Ok(config.clone()));
        }
    }
}
