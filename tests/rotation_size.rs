//! F41: a rotation of a hundred thousand secrets, some of them huge, in little memory, with its progress told.
#![cfg(feature = "failpoints")]
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails loudly, and tells what it measured"
)]

mod rotating;
mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rotating::{Ended, ROTATE, Run, Writes, is_done, peak_kib, said};
use world::at_rest::AtRest;
use world::encrypted::{CONFIG, Cluster, Contents, Loads};
use world::etcd::Store;

const TEXT: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  \
                    - aescbc: {keys: [{name: old, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}\n";
const MIB: usize = 1 << 20;

#[test]
#[ignore = "the process whose memory is measured"]
fn child_command() {
    rotating::child();
}

/// A node with so many secrets of 1 KiB, and so many whose values are nearly as large as etcd takes them, whose etcd keeps each revision for
/// so long.
fn cluster(small: usize, huge: usize, keeps: Duration) -> Cluster {
    let config = AtRest::parse(TEXT.as_bytes()).expect("a configuration");
    let mut etcd = Store::new();
    let sizes = std::iter::repeat_n(MIB, huge).chain(std::iter::repeat_n(1024, small));
    for (number, size) in sizes.enumerate() {
        let filling = "x".repeat(size);
        let plain = format!(
            r#"{{"kind":"Secret","metadata":{{"name":"s{number}","namespace":"many","uid":"uid-s{number}"}},"data":{{"x":"{filling}"}}}}"#
        );
        let key = format!("/registry/secrets/many/s{number}");
        etcd.put(key.as_bytes(), Some(&config.seal(plain.as_bytes())));
    }
    let files = BTreeMap::from([(PathBuf::from(CONFIG), (0o600, TEXT.as_bytes().to_vec()))]);
    let cluster = Cluster::of(Loads::ByItself, Contents { files, etcd }, None);
    cluster.serving();
    // Longer than a count of all this takes.
    cluster.compacts_after(keeps);
    cluster
}

/// Rotates its keys; what the command said, and its peak memory in KiB.
fn rotated(cluster: &Cluster) -> (String, u64) {
    let secrets = cluster.secrets();
    let run = Run {
        words: ROTATE,
        patience: Some(Duration::from_secs(1200)),
        ..Run::default()
    };
    assert_eq!(run.on(cluster), Ended::Code(0), "{}", said(cluster));
    is_done(cluster, Writes::NewKey, &secrets, "done");
    (said(cluster), peak_kib(cluster))
}

#[test]
fn huge_values_and_many_take_little_memory() {
    let (_, peak) = rotated(&cluster(500, 16, Duration::from_secs(3)));
    println!("500 secrets of 1 KiB and 16 of 1 MiB: {peak} KiB at most");
    assert!(peak < 64 << 10, "{peak} KiB");
}

#[test]
#[ignore = "a campaign: minutes"]
fn campaign_of_a_hundred_thousand_secrets_in_little_memory() {
    let (said, peak) = rotated(&cluster(100_000, 64, Duration::from_secs(60)));
    println!("100,000 secrets of 1 KiB and 64 of 1 MiB: {peak} KiB at most");
    assert!(peak < 64 << 10, "{peak} KiB");
    let told = said.lines().filter(|line| line.contains(" rewritten or fresh, "));
    assert!(told.count() >= 3, "its progress is told: {said}");
}
