use super::*;
use crate::census::Paths;
use crate::encryption::testing::{config_text, id};
use crate::encryption::{parse, write};

fn config(entries: &[(&str, &str)]) -> EncryptionConfig {
    parse(config_text(entries).as_bytes()).unwrap()
}

fn configured(entries: &[(&str, &str)]) -> Configured {
    let config = config(entries);
    Configured {
        file: "/etc/kubernetes/enc/enc.yaml".parse().unwrap(),
        mounted_alone: false,
        reload: true,
        digest: Digest::of(&write(&config)),
        config,
    }
}

/// One value of each, by its path and its key in short.
fn census(values: &[(&str, &str)]) -> Census {
    let mut census = Census::at(7);
    let paths = Paths::new("/registry").unwrap();
    for (index, (path, key)) in values.iter().enumerate() {
        let etcd_key = format!("/registry/{path}/default/{index}");
        census.add(&paths, etcd_key.as_bytes(), 10, 5, Held::Under(id(key)));
    }
    census
}

fn told(known: &[(&str, &str)], now: &[(&str, &str)]) -> Vec<String> {
    differences(&configured(known), &Present::As(Box::new(configured(now))))
}

fn loses(known: &[(&str, &str)], now: &[(&str, &str)], values: &[(&str, &str)]) -> Vec<String> {
    let lost = lost(&config(known), Some(&config(now)), &census(values));
    lost.iter().map(ToString::to_string).collect()
}

fn repaired(known: &[(&str, &str)], now: &[(&str, &str)], values: &[(&str, &str)]) -> Repair {
    repair(&config(known), Some(&config(now)), &census(values), Runs::NotTold)
}

/// The bytes of the key `name` changed, its name not.
fn with_other_bytes(chain: &str, name: &str, bytes_of: &str) -> EncryptionConfig {
    let secret = |name: &str| {
        let text = config_text(&[("secrets", &format!("aescbc:{name}"))]);
        text.split("secret: ").nth(1).unwrap().trim().to_owned()
    };
    let text = config_text(&[("secrets", chain)]).replace(&secret(name), &secret(bytes_of));
    parse(text.as_bytes()).unwrap()
}

#[test]
fn what_differs_is_told_by_names() {
    assert_eq!(
        told(&[("secrets", "aescbc:a")], &[("secrets", "aescbc:a")]),
        [""; 0]
    );
    let all = told(
        &[("secrets", "aescbc:a identity")],
        &[("configmaps", "aescbc:b,a")],
    );
    assert_eq!(all[0], "identity is gone");
    assert!(all[1].starts_with("aescbc:b was added, fingerprint "), "{all:?}");
    assert_eq!(
        all[2..],
        [
            "aescbc:b writes now, it was aescbc:a",
            "secrets is no longer covered",
            "configmaps is covered now"
        ]
    );
    let mut other = configured(&[("secrets", "aescbc:a")]);
    other.config = with_other_bytes("aescbc:a", "a", "b");
    let told = differences(
        &configured(&[("secrets", "aescbc:a")]),
        &Present::As(Box::new(other)),
    );
    assert!(
        told[0].starts_with("aescbc:a has other bytes: fingerprint "),
        "{told:?}"
    );
}

#[test]
fn a_changed_mount_reload_or_file_is_told_and_so_is_an_order_that_changes_nothing_else() {
    let known = configured(&[("secrets", "aescbc:a,b,c")]);
    let mut now = configured(&[("secrets", "aescbc:a,c,b")]);
    let told = differences(&known, &Present::As(Box::new(now.clone())));
    assert!(told.len() == 1 && told[0].contains("another order"), "{told:?}");
    now.mounted_alone = true;
    now.reload = false;
    now.file = "/etc/kubernetes/other.yaml".parse().unwrap();
    let told = differences(&known, &Present::As(Box::new(now)));
    assert_eq!(told.len(), 3, "{told:?}");
}

#[test]
fn a_key_is_lost_only_where_a_value_needs_it_and_it_was_read() {
    let before = [("secrets", "aescbc:a,b identity")];
    let values = [
        ("secrets", "aescbc:a"),
        ("secrets", "aescbc:a"),
        ("secrets", "identity"),
    ];
    assert_eq!(loses(&before, &before, &values), [""; 0]);
    assert_eq!(
        loses(&before, &[("secrets", "aescbc:a identity")], &values),
        [""; 0]
    );
    assert_eq!(
        loses(&before, &[("secrets", "aescbc:b")], &values),
        ["1 of secrets under identity", "2 of secrets under aescbc:a"]
    );
    // What nobody could read before is no loss of the edit.
    assert_eq!(
        loses(&[("secrets", "aescbc:b")], &[("secrets", "aescbc:b")], &values),
        [""; 0]
    );
}

#[test]
fn what_is_no_longer_covered_is_read_as_plaintext_only() {
    let values = [("secrets", "aescbc:a"), ("configmaps", "aescbc:a")];
    let before = [("secrets configmaps", "aescbc:a")];
    assert_eq!(
        loses(&before, &[("configmaps", "aescbc:a")], &values),
        ["1 of secrets under aescbc:a"]
    );
    assert_eq!(loses(&before, &[("*.*", "aescbc:a")], &values), [""; 0]);
    let nothing = lost(&config(&before), None, &census(&values));
    assert_eq!(nothing.len(), 2);
}

#[test]
fn an_edit_that_only_takes_away_is_put_back_byte_by_byte() {
    let values = [("secrets", "aescbc:a")];
    assert_eq!(
        repaired(&[("secrets", "aescbc:a,b")], &[("secrets", "aescbc:b")], &values),
        Repair::PutBack
    );
}

#[test]
fn a_file_that_is_taken_for_no_configuration_goes_only_if_the_server_cannot_have_written_with_its_keys() {
    let known = config(&[("secrets", "aescbc:a")]);
    let ours = census(&[("secrets", "aescbc:a")]);
    assert_eq!(repair(&known, None, &ours, Runs::NotTold), Repair::PutBack);
    assert_eq!(repair(&known, None, &ours, Runs::Former), Repair::PutBack);
    assert!(matches!(
        repair(&known, None, &ours, Runs::Edit),
        Repair::ByHand(_)
    ));
    let mut foreign = census(&[("secrets", "aescbc:a")]);
    let paths = crate::census::Paths::new("/registry").unwrap();
    let held = Held::UnknownKey {
        provider: crate::domain::Provider::Aescbc,
        name: "n".to_owned(),
    };
    foreign.add(&paths, b"/registry/secrets/a/foreign", 100, 90, held);
    let Repair::ByHand(why) = repair(&known, None, &foreign, Runs::NotTold) else {
        panic!("the file may have the key")
    };
    assert!(why.contains("/registry/secrets/a/foreign"), "{why}");
    assert_eq!(repair(&known, None, &foreign, Runs::Former), Repair::PutBack);
}

#[test]
fn an_edit_that_may_have_written_already_keeps_what_it_brought_and_reads_the_rest_again() {
    let values = [("secrets", "aescbc:a"), ("secrets", "identity")];
    let before = [("secrets", "aescbc:a identity")];
    assert_eq!(
        repaired(&before, &[("secrets", "secretbox:n")], &values),
        Repair::Write(config(&[("secrets", "secretbox:n aescbc:a identity")]))
    );
}

#[test]
fn a_resource_that_is_no_longer_covered_is_again_and_what_may_be_written_meanwhile_is_read() {
    let values = [("secrets", "aescbc:a")];
    let repaired = repaired(
        &[("secrets configmaps", "aescbc:a")],
        &[("configmaps", "aescbc:n")],
        &values,
    );
    let Repair::Write(repaired) = repaired else {
        panic!("it is written anew")
    };
    let chain: Vec<String> = repaired.entries[0]
        .chain()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(chain[0], "aescbc:a");
    assert!(chain.contains(&"identity".to_owned()) && chain.contains(&"aescbc:n".to_owned()));
}

#[test]
fn a_wildcard_that_takes_over_may_have_written_what_it_covers_now() {
    let known = [("secrets", "aescbc:a"), ("*.*", "aescbc:b")];
    let Repair::Write(repaired) = repaired(&known, &[("*.*", "aescbc:b")], &[("secrets", "aescbc:a")]) else {
        panic!("it is written anew")
    };
    let chain = repaired.entries[0].chain();
    assert!(
        chain.contains(&id("aescbc:a")) && chain.contains(&id("aescbc:b")),
        "{chain:?}"
    );
}

#[test]
fn an_edit_that_moves_to_other_resources_goes_only_while_the_server_runs_as_before() {
    let known = config(&[("secrets", "aescbc:a")]);
    let now = config(&[("configmaps", "aescbc:n")]);
    let census = census(&[("secrets", "aescbc:a")]);
    assert_eq!(repair(&known, Some(&now), &census, Runs::Former), Repair::PutBack);
    assert!(matches!(
        repair(&known, Some(&now), &census, Runs::Edit),
        Repair::ByHand(_)
    ));
}

#[test]
fn the_former_write_key_is_read_again_though_no_value_needs_it_yet() {
    let repaired = repaired(
        &[("secrets", "aescbc:b,a")],
        &[("secrets", "aescbc:n")],
        &[("secrets", "aescbc:a")],
    );
    let Repair::Write(repaired) = repaired else {
        panic!("it is written anew")
    };
    let chain = repaired.entries[0].chain();
    assert_eq!(chain.first(), Some(&id("aescbc:n")));
    assert!(
        chain.contains(&id("aescbc:a")) && chain.contains(&id("aescbc:b")),
        "{chain:?}"
    );
}

#[test]
fn a_resource_that_is_newly_covered_may_have_been_written_with_its_key() {
    let values = [("secrets", "aescbc:b")];
    let repaired = repaired(
        &[("secrets", "aescbc:a,b")],
        &[("secrets configmaps", "aescbc:a")],
        &values,
    );
    assert!(matches!(repaired, Repair::Write(_)), "{repaired:?}");
}

#[test]
fn other_bytes_under_the_same_name_go_only_if_the_server_cannot_have_written_with_them() {
    let known = config(&[("secrets", "aescbc:a")]);
    let now = with_other_bytes("aescbc:a", "a", "b");
    let census = census(&[("secrets", "aescbc:a")]);
    assert_eq!(lost(&known, Some(&now), &census).len(), 1);
    assert_eq!(repair(&known, Some(&now), &census, Runs::Former), Repair::PutBack);
    assert!(matches!(
        repair(&known, Some(&now), &census, Runs::Edit),
        Repair::ByHand(_)
    ));
}

#[test]
fn what_a_key_management_service_reads_is_left_to_the_operator() {
    let values = [("secrets", "aescbc:a")];
    let by_hand = repaired(
        &[("secrets", "aescbc:a")],
        &[("secrets", "kms:k aescbc:n")],
        &values,
    );
    assert!(matches!(by_hand, Repair::ByHand(_)), "{by_hand:?}");
}

#[test]
fn a_write_key_that_is_no_longer_read_may_be_written_until_the_server_has_loaded_that() {
    let may = |known: &[(&str, &str)], now: &[(&str, &str)]| {
        let keys = may_be_written(&config(known), &config(now));
        keys.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let before = [
        ("secrets", "aescbc:a,b identity"),
        ("configmaps", "identity aescbc:a"),
    ];
    assert_eq!(may(&before, &before), [""; 0]);
    let promoted = [("secrets configmaps", "aescbc:b,a identity")];
    assert_eq!(may(&before, &promoted), [""; 0]);
    assert_eq!(
        may(&before, &[("secrets configmaps", "aescbc:b")]),
        ["identity", "aescbc:a"]
    );
    assert_eq!(may(&before, &[("secrets", "aescbc:a")]), ["identity"]);
    let other = with_other_bytes("aescbc:a", "a", "b");
    let keys = may_be_written(&config(&[("secrets", "aescbc:a")]), &other);
    assert_eq!(keys.len(), 1, "the same name, and other bytes");
}
