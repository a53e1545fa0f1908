//! The census and the watch against a stand-in for etcd that speaks the real protocol.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod world;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use holdfast::adapters::etcd::{
    Access, Alarm, Etcd, EtcdError, Event, Scan, Status, Watch, stale_chunk, take_census,
};
use holdfast::census::{Census, Held, Paths, Span};
use holdfast::domain::{KeyId, Provider};
use holdfast::encryption::ResourcePattern;
use world::etcd as stand_in;
use world::etcd::{Pki, Reply};

const TIMEOUT: Duration = Duration::from_secs(10);

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn key(name: &str) -> KeyId {
    KeyId::Key {
        provider: Provider::Aescbc,
        name: name.parse().unwrap(),
    }
}

fn value(name: &str, bytes: usize) -> Vec<u8> {
    let mut value = format!("k8s:enc:aescbc:v1:{name}:").into_bytes();
    value.resize(value.len().max(bytes), b'x');
    value
}

/// As far as these tests need it: the real one is in `encryption`.
fn classify(_key: &[u8], value: &[u8]) -> Held {
    let text = String::from_utf8_lossy(value);
    match text
        .strip_prefix("k8s:enc:aescbc:v1:")
        .and_then(|rest| rest.split_once(':'))
    {
        None => Held::Under(KeyId::Identity),
        Some((name @ ("old" | "new"), _)) => Held::Under(key(name)),
        Some((name, _)) => Held::UnknownKey {
            provider: Provider::Aescbc,
            name: name.to_owned(),
        },
    }
}

fn is_old(_key: &[u8], value: &[u8]) -> bool {
    classify(&[], value) != Held::Under(key("new"))
}

fn spans(patterns: &[&str]) -> Vec<Span> {
    let patterns: Vec<ResourcePattern> = patterns
        .iter()
        .map(|text| ResourcePattern::parse(text).unwrap())
        .collect();
    Paths::new("/registry").unwrap().spans(&patterns)
}

async fn census_of(access: &Access, patterns: &[&str]) -> Result<Census, EtcdError> {
    let etcd = Etcd::connect(access, TIMEOUT).await?;
    take_census(&etcd, &access.paths, &spans(patterns), classify, |_| ()).await
}

fn counts(census: &Census) -> BTreeMap<String, u64> {
    census
        .iter()
        .map(|(resource, held, tally)| (format!("{resource} {held}"), tally.objects))
        .collect()
}

fn rows(rows: &[(&str, u64)]) -> BTreeMap<String, u64> {
    rows.iter()
        .map(|(row, count)| ((*row).to_owned(), *count))
        .collect()
}

#[test]
fn all_values_of_the_encrypted_resources_are_counted() {
    let etcd = stand_in::Etcd::with_tls(Pki::new());
    for number in 0..250 {
        etcd.put(&format!("/registry/secrets/ns/{number}"), value("old", 200));
    }
    etcd.put("/registry/secrets/ns/fresh", value("new", 200));
    etcd.put("/registry/secrets/ns/plain", b"k8s\0plain");
    etcd.put("/registry/secrets/ns/lost", value("lost", 100));
    etcd.put("/registry/cr.bar.com/foos/ns/a", value("old", 100));
    etcd.put("/registry/configmaps/ns/a", b"k8s\0not encrypted");
    etcd.put("/registry/masterleases/192.0.2.1", value("old", 100));
    let revision = etcd.store().revision();
    let access = etcd.access();
    let census = run(census_of(&access, &["secrets", "foos.cr.bar.com"])).unwrap();
    assert_eq!((census.revision, census.complete), (revision, true));
    assert_eq!(
        counts(&census),
        rows(&[
            ("foos.cr.bar.com aescbc:old", 1),
            ("secrets aescbc:lost, which no key opens", 1),
            ("secrets aescbc:new", 1),
            ("secrets aescbc:old", 250),
            ("secrets identity", 1),
        ])
    );
    let all = run(census_of(&access, &["*.*"])).unwrap();
    assert_eq!(counts(&all)["apiserveripinfo aescbc:old"], 1);
    assert_eq!(counts(&all)["configmaps identity"], 1);
    assert_eq!(all.under(&key("old")).objects, 252);
}

#[test]
fn nothing_encrypted_is_a_complete_census_at_the_newest_revision() {
    let etcd = stand_in::Etcd::plain();
    let revision = etcd.put("/registry/secrets/ns/a", b"k8s\0");
    let census = run(census_of(&etcd.access(), &[])).unwrap();
    let mut expected = Census::at(revision);
    expected.complete = true;
    assert_eq!(census, expected);
}

/// Between the pages, an object moves from the part that is not read yet to the one that was, and others come and go.
#[test]
fn a_census_under_writes_is_that_of_one_revision() {
    let etcd = stand_in::Etcd::plain();
    for number in 100..600 {
        etcd.put(&format!("/registry/secrets/ns/{number}"), value("old", 3000));
    }
    let revision = etcd.store().revision();
    etcd.on_call(|call, store| {
        // The first two are the question of the newest revision and the first page.
        if call.method == "KV/Range" && call.number >= 2 {
            let number = call.number;
            store.put(b"/registry/secrets/ns/599", None);
            store.put(b"/registry/secrets/ns/100", Some(&value("new", 10)));
            store.put(
                format!("/registry/secrets/ns/0{number}").as_bytes(),
                Some(&value("old", 10)),
            );
        }
        Reply::Answer
    });
    let census = run(census_of(&etcd.access(), &["secrets"])).unwrap();
    assert_eq!(census.revision, revision);
    assert_eq!(counts(&census), rows(&[("secrets aescbc:old", 500)]));
    assert!(etcd.answers("KV/Range").len() > 3);
    assert!(etcd.store().revision() > revision);
}

#[test]
fn a_compaction_in_the_middle_is_told_as_such_and_the_next_census_succeeds() {
    let etcd = stand_in::Etcd::plain();
    for number in 100..500 {
        etcd.put(&format!("/registry/secrets/ns/{number}"), value("old", 3000));
    }
    etcd.on_call(|call, store| {
        if call.method == "KV/Range" && call.number == 2 {
            store.put(b"/registry/secrets/ns/a", Some(b"k8s\0"));
            store.compact(store.revision());
        }
        Reply::Answer
    });
    let access = etcd.access();
    let error = run(census_of(&access, &["secrets"])).unwrap_err();
    assert!(error.is_compacted(), "{error}");
    let census = run(census_of(&access, &["secrets"])).unwrap();
    assert_eq!(
        counts(&census),
        rows(&[("secrets aescbc:old", 400), ("secrets identity", 1)])
    );
}

#[test]
fn pages_of_huge_values_stay_small() {
    let etcd = stand_in::Etcd::plain();
    for number in 100..400 {
        etcd.put(&format!("/registry/secrets/a/{number}"), value("old", 1000));
    }
    for number in 100..164 {
        etcd.put(&format!("/registry/secrets/b/{number}"), value("old", 1 << 20));
    }
    for number in 100..400 {
        etcd.put(&format!("/registry/secrets/c/{number}"), value("new", 1000));
    }
    let access = etcd.access();
    let (pages, keys) = run(async {
        let etcd = Etcd::connect(&access, TIMEOUT).await.unwrap();
        let mut scan = Scan::new(&spans(&["secrets"]));
        let (mut pages, mut keys) = (Vec::new(), Vec::new());
        while let Some(page) = scan.next(&etcd).await.unwrap() {
            pages.push(page.entries.iter().map(|entry| entry.value.len()).sum::<usize>());
            keys.extend(page.entries.into_iter().map(|entry| entry.key));
        }
        (pages, keys)
    });
    assert!(pages.iter().all(|bytes| *bytes <= 2 << 20), "{pages:?}");
    assert!(pages.len() < 100, "{}", pages.len());
    assert_eq!(keys.len(), 664);
    assert!(keys.is_sorted());
}

#[test]
fn a_value_that_nobody_could_have_written_is_refused_and_its_place_told() {
    let etcd = stand_in::Etcd::plain();
    etcd.put("/registry/secrets/a/big", value("old", 65 << 20));
    let error = run(census_of(&etcd.access(), &["secrets"])).unwrap_err();
    assert!(
        matches!(&error, EtcdError::TooLarge { after, .. } if after == "/registry/secrets/"),
        "{error}"
    );
}

#[test]
fn stale_objects_come_in_chunks_until_all_were_seen() {
    let etcd = stand_in::Etcd::plain();
    for number in 100..1100 {
        let name = if number % 3 == 0 { "old" } else { "new" };
        etcd.put(&format!("/registry/secrets/ns/{number}"), value(name, 400));
    }
    etcd.put("/registry/masterleases/192.0.2.1", value("old", 100));
    etcd.put("/registry/cr.bar.com/foos/last", value("old", 100));
    let access = etcd.access();
    let found = run(async {
        let client = Etcd::connect(&access, TIMEOUT).await.unwrap();
        let spans = spans(&["*."]);
        let (mut found, mut cursor, mut unreachable, mut seen) = (Vec::new(), None, 0, 0);
        loop {
            let chunk = stale_chunk(&client, &access.paths, &spans, cursor.as_deref(), 50, is_old)
                .await
                .unwrap();
            assert!(chunk.objects.len() <= 50);
            unreachable += chunk.unreachable;
            seen += chunk.seen;
            // As a re-encryption does, between the chunks.
            for stale in &chunk.objects {
                let object = &stale.object;
                let key = format!(
                    "/registry/secrets/{}/{}",
                    object.namespace.as_deref().unwrap(),
                    object.name
                );
                etcd.put(&key, value("new", 400));
                found.push(object.name.clone());
            }
            cursor = chunk.cursor;
            if cursor.is_none() {
                assert_eq!((unreachable, seen), (1, 1001));
                return found;
            }
        }
    });
    let mut expected: Vec<String> = (100..1100)
        .filter(|n| n % 3 == 0)
        .map(|n| n.to_string())
        .collect();
    expected.sort();
    assert_eq!(found, expected);
    let census = run(census_of(&access, &["secrets"])).unwrap();
    assert_eq!(counts(&census), rows(&[("secrets aescbc:new", 1000)]));
}

#[test]
fn a_hung_server_is_given_up_at_the_deadline() {
    let etcd = stand_in::Etcd::plain();
    etcd.put("/registry/secrets/ns/a", value("old", 10));
    etcd.on_call(|call, _| {
        if call.number == 0 {
            Reply::Answer
        } else {
            Reply::Hang
        }
    });
    let access = etcd.access();
    let (error, watch) = run(async {
        let short = Duration::from_millis(200);
        let client = Etcd::connect(&access, short).await.unwrap();
        let census = take_census(&client, &access.paths, &spans(&["secrets"]), classify, |_| ()).await;
        let span = &spans(&["secrets"])[0];
        etcd.on_call(|call, _| {
            if call.method == "Watch/Watch" {
                Reply::Hang
            } else {
                Reply::Answer
            }
        });
        (
            census.unwrap_err(),
            Watch::open(&client, span, 1).await.unwrap_err(),
        )
    });
    let expected = format!("etcd at {}: no answer within 200ms", etcd.endpoint());
    assert_eq!(
        (error.to_string(), watch.to_string()),
        (expected.clone(), expected)
    );
}

#[test]
fn the_next_endpoint_is_asked_when_one_hangs_or_has_no_leader() {
    let hung = stand_in::Etcd::plain();
    hung.on_call(|_, _| Reply::Hang);
    let alone = stand_in::Etcd::plain();
    alone.on_call(|_, _| Reply::Refuse(14, "etcdserver: no leader".to_owned()));
    let good = stand_in::Etcd::plain();
    let mut access = good.access();
    access.endpoints = vec![hung.endpoint(), alone.endpoint(), good.endpoint()];
    let timeout = Duration::from_millis(200);
    let etcd = run(Etcd::connect(&access, timeout)).unwrap();
    assert_eq!(etcd.endpoint(), good.endpoint());
    access.endpoints.pop();
    let error = run(Etcd::connect(&access, timeout)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "etcd at {}: no answer within 200ms; etcd at {}: etcdserver: no leader",
            hung.endpoint(),
            alone.endpoint()
        )
    );
}

#[test]
fn a_client_without_the_right_certificate_gets_nothing() {
    let etcd = stand_in::Etcd::with_tls(Pki::new());
    let mut access = etcd.access();
    access.tls = Some(Pki::new().client());
    let error = run(Etcd::connect(&access, TIMEOUT)).unwrap_err().to_string();
    assert!(error.contains("invalid peer certificate"), "{error}");
    let mut nobody = etcd.access();
    nobody.tls.as_mut().unwrap().identity = None;
    let error = run(Etcd::connect(&nobody, TIMEOUT)).unwrap_err();
    assert!(matches!(error, EtcdError::NoEndpoint(_)), "{error}");
}

#[test]
fn the_state_and_the_alarms_are_those_of_the_member() {
    let etcd = stand_in::Etcd::plain();
    {
        let mut store = etcd.store();
        store.alarms = vec![1, 2, 9];
        store.errors = vec!["memberID:2748 alarm:NOSPACE ".to_owned()];
        store.sizes = [100, 60, 0];
        store.leads = false;
    }
    let access = etcd.access();
    let (status, alarms) = run(async {
        let client = Etcd::connect(&access, TIMEOUT).await.unwrap();
        (client.status().await.unwrap(), client.alarms().await.unwrap())
    });
    let member = 0xabc;
    assert_eq!(
        status,
        Status {
            version: "3.6.4".to_owned(),
            member,
            db_size: 100,
            db_size_in_use: 60,
            db_size_quota: None,
            leader: None,
            raft_term: 3,
            is_learner: false,
            errors: vec!["memberID:2748 alarm:NOSPACE ".to_owned()],
        }
    );
    assert_eq!(
        alarms,
        [
            Alarm::NoSpace { member },
            Alarm::Corrupt { member },
            Alarm::Other { member, kind: 9 }
        ]
    );
}

#[test]
fn etcd_itself_says_whether_a_revision_is_compacted() {
    let etcd = stand_in::Etcd::plain();
    let first = etcd.put("/registry/secrets/ns/a", value("old", 10));
    let second = etcd.put("/registry/secrets/ns/a", value("new", 10));
    let access = etcd.access();
    run(async {
        let client = Etcd::connect(&access, TIMEOUT).await.unwrap();
        assert_eq!(client.compacted_revision().await.unwrap(), None);
        etcd.put("compact_rev_key", b"0");
        assert_eq!(client.compacted_revision().await.unwrap(), None);
        let old = client
            .get(b"/registry/secrets/ns/a", first)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((old.mod_revision, old.value.to_vec()), (first, value("old", 10)));
        assert!(!client.is_compacted(first).await.unwrap());
        etcd.compact(second);
        assert!(client.is_compacted(first).await.unwrap());
        assert!(!client.is_compacted(second).await.unwrap());
        assert_eq!(client.compacted_revision().await.unwrap(), Some(second));
        let error = client.get(b"/registry/secrets/ns/a", first).await.unwrap_err();
        assert!(error.is_compacted(), "{error}");
        // A revision that is not there yet is no proof of anything.
        let error = client.is_compacted(1000).await.unwrap_err();
        assert!(matches!(error, EtcdError::Refused { .. }), "{error}");
        assert_eq!(client.get(b"/registry/secrets/ns/none", 0).await.unwrap(), None);
    });
}

async fn opened(access: &Access, from: i64) -> Watch {
    let client = Etcd::connect(access, TIMEOUT).await.unwrap();
    Watch::open(&client, &Span::prefix("/registry/"), from)
        .await
        .unwrap()
}

#[test]
fn a_watch_sees_each_write_behind_the_census_and_says_up_to_where() {
    let etcd = stand_in::Etcd::with_tls(Pki::new());
    etcd.put("/registry/secrets/ns/a", value("new", 10));
    let access = etcd.access();
    run(async {
        let census = census_of(&access, &["secrets"]).await.unwrap();
        // Written between the census and the watch, under the old key.
        let missed = etcd.put("/registry/secrets/ns/late", value("old", 10));
        let mut watch = opened(&access, census.revision + 1).await;
        assert_eq!(watch.known_to(), census.revision);
        let deleted = etcd.delete("/registry/secrets/ns/a");
        etcd.put("elsewhere", b"not ours");
        let now = etcd.store().revision();
        let mut seen: Vec<Event> = Vec::new();
        let known = watch.up_to(now, |event| seen.push(event)).await.unwrap();
        assert_eq!(known, now);
        let event = |key: &str, value: Option<Vec<u8>>, mod_revision| Event {
            key: key.to_owned().into_bytes().into(),
            value: value.map(Into::into),
            mod_revision,
        };
        assert_eq!(
            seen,
            [
                event("/registry/secrets/ns/late", Some(value("old", 10)), missed),
                event("/registry/secrets/ns/a", None, deleted)
            ]
        );
        assert!(is_old(&[], seen[0].value.as_ref().unwrap()));
        assert!(!format!("{seen:?}").contains("k8s:enc"));
    });
}

#[test]
fn a_watch_that_is_quiet_waits_and_then_tells() {
    let etcd = stand_in::Etcd::plain();
    let access = etcd.access();
    run(async {
        let mut watch = opened(&access, 1).await;
        let quiet = tokio::time::timeout(Duration::from_millis(100), watch.next()).await;
        if let Ok(news) = quiet {
            panic!("{news:?}")
        }
        let revision = etcd.put("/registry/secrets/ns/a", b"k8s\0");
        let batch = tokio::time::timeout(TIMEOUT, watch.next())
            .await
            .unwrap()
            .unwrap();
        assert_eq!((batch.known_to, batch.events.len()), (revision, 1));
    });
}

#[test]
fn a_watch_that_etcd_ends_says_so_and_proves_nothing() {
    let etcd = stand_in::Etcd::plain();
    let access = etcd.access();
    run(async {
        let mut watch = opened(&access, 1).await;
        etcd.end_watches("etcdserver: permission denied");
        let error = watch.up_to(100, |_| ()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "etcd at {}: the watch was ended: etcdserver: permission denied",
                etcd.endpoint()
            )
        );
    });
}

#[test]
fn a_watch_from_a_compacted_revision_is_told_as_compacted() {
    let etcd = stand_in::Etcd::plain();
    for _ in 0..5 {
        etcd.put("/registry/secrets/ns/a", b"k8s\0");
    }
    etcd.compact(4);
    let access = etcd.access();
    run(async {
        let mut watch = opened(&access, 2).await;
        let error = watch.next().await.unwrap_err();
        assert!(error.is_compacted(), "{error}");
    });
}

#[test]
fn a_watch_whose_server_goes_is_an_error() {
    let etcd = stand_in::Etcd::plain();
    let access = etcd.access();
    run(async {
        let mut watch = opened(&access, 1).await;
        drop(etcd);
        let error = tokio::time::timeout(TIMEOUT, watch.next())
            .await
            .unwrap()
            .unwrap_err();
        assert!(
            matches!(
                error,
                EtcdError::Unreachable { .. } | EtcdError::WatchEnded { .. }
            ),
            "{error:?}"
        );
    });
}

#[test]
fn a_revision_that_never_comes_is_given_up_at_the_deadline() {
    let etcd = stand_in::Etcd::plain();
    let access = etcd.access();
    run(async {
        let client = Etcd::connect(&access, Duration::from_millis(700)).await.unwrap();
        let mut watch = Watch::open(&client, &Span::prefix("/registry/"), 1)
            .await
            .unwrap();
        let error = watch.up_to(100, |_| ()).await.unwrap_err();
        assert!(matches!(error, EtcdError::Deadline { .. }), "{error:?}");
        // It goes on being a watch.
        let revision = etcd.put("/registry/secrets/ns/a", b"k8s\0");
        assert_eq!(watch.up_to(revision, |_| ()).await.unwrap(), revision);
    });
}

/// etcd before 3.5.8 may tell progress ahead of the events that belong to it.
#[test]
fn an_old_etcd_is_believed_by_its_events_only() {
    let etcd = stand_in::Etcd::plain();
    etcd.store().version = "3.5.7".to_owned();
    let access = etcd.access();
    run(async {
        let client = Etcd::connect(&access, Duration::from_millis(700)).await.unwrap();
        let mut watch = Watch::open(&client, &Span::prefix("/registry/"), 1)
            .await
            .unwrap();
        let revision = etcd.put("/registry/secrets/ns/a", b"k8s\0");
        assert_eq!(watch.up_to(revision, |_| ()).await.unwrap(), revision);
        let outside = etcd.put("elsewhere", b"");
        let error = watch.up_to(outside, |_| ()).await.unwrap_err();
        assert!(matches!(error, EtcdError::Deadline { .. }), "{error:?}");
        let lease = etcd.put("/registry/leases/ns/a", b"k8s\0");
        assert_eq!(watch.up_to(outside, |_| ()).await.unwrap(), lease);
    });
}

#[test]
fn a_full_etcd_is_told_as_such() {
    let etcd = stand_in::Etcd::plain();
    etcd.on_call(|_, _| Reply::Refuse(8, "etcdserver: mvcc: database space exceeded".to_owned()));
    let error = run(Etcd::connect(&etcd.access(), TIMEOUT)).unwrap_err();
    let EtcdError::NoEndpoint(errors) = &error else {
        panic!("{error:?}")
    };
    assert!(
        matches!(errors.as_slice(), [EtcdError::NoSpace { .. }]),
        "{error:?}"
    );
    assert!(error.advice().contains("alarm disarm"));
}
