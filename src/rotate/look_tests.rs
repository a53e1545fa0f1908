//! What one look makes of a census, of differing entries, and of times.

use super::*;
use crate::census::Paths;
use crate::encryption::testing::config_text;

fn of_counted(census: &Census, config: &[(&str, &str)]) -> rotation::Census {
    let config = crate::encryption::parse(config_text(config).as_bytes()).unwrap();
    let now = Instant {
        wall: jiff::Timestamp::UNIX_EPOCH,
        boot: crate::domain::BootId("boot".to_owned()),
        since_boot_ms: 0,
    };
    counted(census, BTreeMap::new(), &config, now)
}

#[test]
fn values_of_a_key_management_service_are_in_order_where_the_configuration_has_one_for_them() {
    let paths = Paths::new("/registry").unwrap();
    let mut census = Census::at(7);
    for key in ["secrets/a/x", "secrets/a/y", "configmaps/a/z"] {
        let key = format!("/registry/{key}");
        census.add(&paths, key.as_bytes(), 10, 3, Held::Kms);
    }
    let found = of_counted(&census, &[("secrets", "kms:k identity"), ("*.*", "aescbc:a")]);
    let expected = Sighting {
        count: 1,
        example: "/registry/configmaps/a/z".to_owned(),
    };
    assert_eq!(
        (found.foreign_kms, found.unknown),
        (Some(expected), BTreeMap::new())
    );
    let found = of_counted(&census, &[("*.*", "kms:k")]);
    assert_eq!(found.foreign_kms, None);
}

#[test]
fn values_that_etcd_may_not_take_anew_are_named_by_its_limit() {
    let paths = Paths::new("/registry").unwrap();
    let of = |limit| {
        let mut census = Census::at(7).with_limit(limit);
        for (key, bytes) in [("a", 1_000), ("b", 1_571_000), ("c", 3_000_000)] {
            let key = format!("/registry/secrets/x/{key}");
            census.add(&paths, key.as_bytes(), bytes, 3, Held::Kms);
        }
        oversized(&census)
    };
    let told = of(census::MAX_REQUEST_BYTES).unwrap();
    assert!(
        told.starts_with("2 value(s)") && told.contains("/registry/secrets/x/b (1571000 bytes)"),
        "{told}"
    );
    assert!(of(2 << 20).unwrap().starts_with("1 value(s)"));
    assert_eq!(of(10 << 20), None);
}

#[test]
fn values_that_do_not_decrypt_are_all_counted_and_one_is_named() {
    let paths = Paths::new("/registry").unwrap();
    let mut census = Census::at(7);
    for number in 0..12 {
        let key = format!("/registry/secrets/a/{number:02}");
        census.add(&paths, key.as_bytes(), 10, 3, Held::Malformed);
    }
    census.add(&paths, b"/registry/configmaps/a/x", 10, 3, Held::Malformed);
    let found = of_counted(&census, &[("secrets configmaps", "aescbc:a")]);
    let expected = Sighting {
        count: 13,
        example: "/registry/configmaps/a/x".to_owned(),
    };
    assert_eq!(found.undecryptable, Some(expected));
}

fn lease(host: Option<&str>, holder: &str) -> api::Lease {
    api::Lease {
        name: format!("apiserver-{holder}"),
        holder: holder.to_owned(),
        host: host.map(str::to_owned),
        // An hour old by this node's clock.
        renewed: Some(jiff::Timestamp::UNIX_EPOCH),
        duration_seconds: 3600,
    }
}

#[test]
fn every_lease_of_another_host_is_a_stranger_however_old_it_seems() {
    let name = NodeName("cp1".to_owned());
    let of = |leases: Vec<api::Lease>| membership(leases, &name, "cp1.example.org", &mut |_| false);
    let own = || lease(Some("cp1.example.org"), "own");
    let strangers = |found: Fact<Membership>| match found {
        Fact::Known(found) => found.strangers,
        Fact::Absent | Fact::Unknown(_) => panic!("it is known"),
    };
    assert_eq!(strangers(of(vec![own()])), BTreeSet::new());
    for host in [Some("cp2"), None] {
        assert_eq!(
            strangers(of(vec![own(), lease(host, "other")])),
            BTreeSet::from(["other".to_owned()])
        );
    }
    // Neither none at all nor only somebody else's says that this is the only one.
    assert!(matches!(of(vec![]), Fact::Unknown(_)));
    assert!(matches!(of(vec![lease(Some("cp2"), "other")]), Fact::Unknown(_)));
    let twin = membership(vec![own()], &name, "cp1.example.org", &mut |_| true);
    assert_eq!(
        strangers(twin),
        BTreeSet::from(["of another host with the name cp1.example.org".to_owned()])
    );
}
