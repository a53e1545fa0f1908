use super::*;

fn key(name: &str) -> KeyId {
    KeyId::Key {
        provider: Provider::Aescbc,
        name: name.parse().unwrap(),
    }
}

fn unknown(name: &str) -> Held {
    Held::UnknownKey {
        provider: Provider::Aescbc,
        name: name.to_owned(),
    }
}

fn census(values: &[(&str, u64, i64, Held)]) -> Census {
    let paths = Paths::new("/registry").unwrap();
    let mut census = Census::at(100);
    for (path, bytes, revision, held) in values {
        census.add(
            &paths,
            format!("/registry/{path}").as_bytes(),
            *bytes,
            *revision,
            held.clone(),
        );
    }
    census
}

fn value(path: &str, bytes: u64) -> Option<Value> {
    Some(Value {
        key: format!("/registry/{path}"),
        bytes,
    })
}

#[test]
fn values_are_counted_by_resource_and_key() {
    let census = census(&[
        ("secrets/a/1", 100, 5, Held::Under(key("old"))),
        ("secrets/a/2", 300, 9, Held::Under(key("old"))),
        ("secrets/a/3", 200, 7, Held::Under(key("new"))),
        ("configmaps/a/1", 50, 20, Held::Under(KeyId::Identity)),
        ("ranges/serviceips", 40, 3, Held::Under(key("old"))),
        ("widgets/a/1", 10, 2, unknown("lost")),
    ]);
    let counts: Vec<(String, String, u64)> = census
        .iter()
        .map(|(resource, held, tally)| (resource.to_string(), held.to_string(), tally.objects))
        .collect();
    let row = |resource: &str, held: &str, objects| (resource.to_owned(), held.to_owned(), objects);
    assert_eq!(
        counts,
        [
            row("configmaps", "identity", 1),
            row("secrets", "aescbc:new", 1),
            row("secrets", "aescbc:old", 2),
            row("serviceipallocations", "aescbc:old", 1),
            row("unknown path widgets", "aescbc:lost, which no key opens", 1),
        ]
    );
    let examples = |paths: &[&str]| paths.iter().map(|path| format!("/registry/{path}")).collect();
    assert_eq!(
        census.under(&key("old")),
        Tally {
            objects: 3,
            bytes: 440,
            newest_revision: 9,
            largest: value("secrets/a/2", 300),
            examples: examples(&["secrets/a/1", "secrets/a/2", "ranges/serviceips"]),
        }
    );
    assert_eq!(
        census.stale(&key("new")),
        Tally {
            objects: 5,
            bytes: 500,
            newest_revision: 20,
            largest: value("secrets/a/2", 300),
            examples: examples(&[
                "configmaps/a/1",
                "secrets/a/1",
                "secrets/a/2",
                "ranges/serviceips",
                "widgets/a/1"
            ]),
        }
    );
    assert_eq!(census.under(&key("none")), Tally::default());
    assert_eq!((census.revision, census.complete, census.lumped), (100, false, 0));
}

#[test]
fn the_same_name_under_another_provider_is_another_key() {
    let gcm = KeyId::Key {
        provider: Provider::Aesgcm,
        name: "old".parse().unwrap(),
    };
    let census = census(&[
        ("secrets/a/1", 1, 1, Held::Under(key("old"))),
        ("secrets/a/2", 1, 1, Held::Under(gcm.clone())),
    ]);
    assert_eq!(
        (census.under(&key("old")).objects, census.under(&gcm).objects),
        (1, 1)
    );
}

#[test]
fn a_hundred_thousand_objects_take_no_more_room_than_ten() {
    let paths = Paths::new("/registry").unwrap();
    let mut census = Census::at(1);
    for number in 0..100_000 {
        let path = format!("/registry/secrets/a/{number}");
        census.add(
            &paths,
            path.as_bytes(),
            2_000_000,
            number,
            Held::Under(key("old")),
        );
    }
    assert_eq!(census.iter().count(), 1);
    assert_eq!(census.under(&key("old")).objects, 100_000);
    assert_eq!(census.under(&key("old")).examples.len(), MAX_EXAMPLES);
    assert_eq!(
        (census.oversized.0, census.oversized.1.len()),
        (100_000, MAX_OVERSIZED)
    );
}

#[test]
fn many_different_names_are_lumped_and_none_is_lost() {
    let paths = Paths::new("/registry").unwrap();
    let mut census = Census::at(1);
    for number in 0..1_000 {
        let path = format!("/registry/secrets/a/{number}");
        census.add(&paths, path.as_bytes(), 1, 1, unknown(&number.to_string()));
        census.add(
            &paths,
            format!("/registry/x{number}/y{number}/z").as_bytes(),
            1,
            1,
            Held::Kms,
        );
    }
    for number in 1_000..9_000 {
        census.add(
            &paths,
            format!("/registry/x{number}.y/z/a").as_bytes(),
            1,
            1,
            Held::Kms,
        );
    }
    assert!(census.counts.len() <= MAX_RESOURCES + 1);
    assert!(census.counts.values().all(|kinds| kinds.len() <= MAX_KINDS + 1));
    assert_eq!(census.total(|_, held| *held != Held::Kms).objects, 1_000);
    assert_eq!(census.total(|_, held| *held == Held::Kms).objects, 9_000);
    // A known key is never lumped.
    census.add(&paths, b"/registry/secrets/a/old", 1, 1, Held::Under(key("old")));
    assert_eq!(census.under(&key("old")).objects, 1);
}

#[test]
fn a_value_that_could_pass_the_request_limit_is_named() {
    let limit = MAX_REQUEST_BYTES - REQUEST_MARGIN;
    let census = census(&[
        ("secrets/a/1", limit - 200, 1, Held::Under(key("old"))),
        ("secrets/a/2", limit, 1, Held::Under(key("old"))),
    ]);
    assert_eq!(census.oversized, (1, vec![value("secrets/a/2", limit).unwrap()]));
}
