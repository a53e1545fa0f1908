use super::*;
use crate::domain::BootId;

const DAY_MS: u64 = 86_400_000;
const EVERY: Duration = Duration::from_secs(90 * 86_400);

fn at(boot: &str, wall_day: i64, boot_day: u64) -> Instant {
    Instant {
        wall: jiff::Timestamp::from_second(wall_day * 86_400).unwrap(),
        boot: BootId(boot.to_owned()),
        since_boot_ms: boot_day * DAY_MS,
    }
}

fn known(write_key: Option<KeyId>) -> KnownEncryption {
    KnownEncryption {
        file: "/etc/kubernetes/enc/enc.yaml".parse().unwrap(),
        digest: Digest::of(b""),
        mounted_alone: false,
        reload: true,
        write_key,
        writes_since: at("a", 1000, 1),
    }
}

fn keyed() -> KnownEncryption {
    known(Some(KeyId::Key {
        provider: Provider::Aescbc,
        name: "key1".parse().unwrap(),
    }))
}

#[test]
fn a_key_is_due_by_the_boot_clock_and_over_a_boot_by_the_wall_clock() {
    assert!(!is_due(&keyed(), &at("a", 1089, 90), EVERY));
    assert!(is_due(&keyed(), &at("a", 1090, 91), EVERY));
    assert!(!is_due(&keyed(), &at("b", 1089, 0), EVERY));
    assert!(is_due(&keyed(), &at("b", 1090, 0), EVERY));
}

#[test]
fn a_wall_clock_that_jumps_by_years_rotates_nothing_within_a_boot_and_one_set_back_delays_it() {
    assert!(!is_due(&keyed(), &at("a", 5000, 2), EVERY));
    assert!(!is_due(&keyed(), &at("b", 10, 0), EVERY));
}

#[test]
fn plaintext_on_purpose_and_keys_that_differ_are_not_rotated_by_themselves() {
    for write_key in [None, Some(KeyId::Identity)] {
        assert!(!is_due(&known(write_key), &at("a", 2000, 1000), EVERY));
    }
}
