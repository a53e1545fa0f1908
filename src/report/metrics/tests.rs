use super::super::samples;
use super::*;
use crate::domain::{Digest, PublicKey};

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(second).unwrap()
}

fn path(text: &str) -> NodePath {
    text.parse().unwrap()
}

/// A daemon that has only just been started.
fn fresh() -> Measured {
    Measured {
        written: at(1_800_000_000),
        started: at(1_799_999_990),
        mode: Action::Audit,
        full_pass: Duration::from_secs(180),
        reload_refused: false,
        counted: Counted::default(),
        found: None,
        standing: Standing::default(),
        out: BTreeSet::new(),
    }
}

/// One for which every metric has something to tell.
fn full() -> Measured {
    let findings = samples::findings();
    Measured {
        mode: Action::Enforce,
        reload_refused: true,
        counted: Counted {
            passes: 7,
            failed_passes: 1,
            changes: Changes {
                made: 3,
                refused: 1,
                ..Changes::default()
            },
            rewritten: 4096,
        },
        found: Some(Found {
            at: at(1_799_999_999),
            took: Duration::from_millis(12),
            is_paused: true,
            controls: Summary::of(&findings),
            drifting: Found::drifting(&findings),
            withheld: Found::withheld(&samples::plan().withheld),
            expiries: BTreeMap::from([
                (path("/etc/kubernetes/pki/ca.crt"), at(2_000_000_000)),
                (path("/srv/a \"b\" \\ c.crt"), at(1_900_000_000)),
            ]),
            is_stuck: true,
        }),
        standing: Standing {
            in_flight: true,
            endangered: true,
            write_key_since: Some(at(1_790_000_000)),
            rotation: Some(Walk {
                stage: Stage::WriteNew,
                stands_still: true,
                left: Some(12),
            }),
            ..Standing::default()
        },
        out: BTreeSet::from([Component::ApiServer]),
        ..fresh()
    }
}

#[test]
fn the_text_is_as_prometheus_wants_it() {
    let version = env!("CARGO_PKG_VERSION");
    let text = metrics_text(&full());
    let expected = format!(
        "# HELP holdfast_build_info Always 1; the version of Holdfast that runs as the daemon.\n\
         # TYPE holdfast_build_info gauge\n\
         holdfast_build_info{{version=\"{version}\"}} 1\n\
         # HELP holdfast_last_write_timestamp_seconds When the daemon wrote this, in seconds since 1970; long ago where it does not run.\n\
         # TYPE holdfast_last_write_timestamp_seconds gauge\n\
         holdfast_last_write_timestamp_seconds 1800000000\n"
    );
    assert!(text.starts_with(&expected), "{text}");
    for line in [
        "holdfast_full_pass_interval_seconds 180",
        "holdfast_enforcing 1",
        "holdfast_configuration_last_reload_successful 0",
        "# TYPE holdfast_passes_total counter",
        "holdfast_passes_total 7",
        "holdfast_last_pass_duration_seconds 0.012",
        "holdfast_controls{verdict=\"drift\"} 3",
        "holdfast_controls{verdict=\"not-looked-at\"} 0",
        "holdfast_control_drift{control=\"CIS-1.2.15\"} 1",
        "holdfast_withheld{reason=\"needs-operator\"} 2",
        "holdfast_withheld{reason=\"not-editable\"} 1",
        "holdfast_changes_total{result=\"made\"} 3",
        "holdfast_changes_total{result=\"not-recovered\"} 0",
        "holdfast_manifest_out{component=\"kube-apiserver\"} 1",
        "holdfast_manifest_out{component=\"etcd\"} 0",
        "holdfast_certificate_expiry_timestamp_seconds{file=\"/etc/kubernetes/pki/ca.crt\"} 2000000000",
        "holdfast_certificate_expiry_timestamp_seconds{file=\"/srv/a \\\"b\\\" \\\\ c.crt\"} 1900000000",
        "holdfast_encryption_needs_attention{reason=\"endangered\"} 1",
        "holdfast_encryption_needs_attention{reason=\"load-owed\"} 0",
        "holdfast_encryption_write_key_since_timestamp_seconds 1790000000",
        "holdfast_rotation_stage 2",
        "holdfast_rotation_values_left 12",
        "holdfast_values_rewritten_total 4096",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(text.ends_with('\n'));
}

/// The name of the family that a line belongs to.
fn family_of(line: &str) -> &str {
    let of_comment = line
        .strip_prefix("# HELP ")
        .or_else(|| line.strip_prefix("# TYPE "));
    let name = of_comment.unwrap_or(line);
    name.split(['{', ' ']).next().unwrap()
}

#[test]
fn each_family_stands_once_and_together_in_the_order_of_the_table() {
    let text = metrics_text(&full());
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for line in text.lines() {
        match groups.last_mut() {
            Some(group) if family_of(group[0]) == family_of(line) => group.push(line),
            Some(_) | None => groups.push(vec![line]),
        }
    }
    let names: Vec<&str> = groups.iter().map(|group| family_of(group[0])).collect();
    let table: Vec<&str> = families().iter().map(|family| family.name).collect();
    assert_eq!(names, table, "every family has something to tell");
    for (group, family) in groups.iter().zip(families()) {
        assert_eq!(group[0], format!("# HELP {} {}", family.name, family.help));
        assert_eq!(group[1], format!("# TYPE {} {}", family.name, family.kind.word()));
        assert!(group.len() > 2 && group[2..].iter().all(|line| !line.starts_with('#')));
        let unlike: BTreeSet<&str> = group[2..].iter().map(|line| sample(line).0).collect();
        assert_eq!(unlike.len(), group.len() - 2, "no sample stands twice: {group:?}");
        for line in &group[2..] {
            let (head, value) = sample(line);
            let label = family
                .label
                .map_or_else(String::new, |label| format!("{{{label}=\""));
            assert!(head.starts_with(&format!("{}{label}", family.name)), "{line}");
            assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
        }
    }
}

/// Name and label of a sample, and its value. A time of its own would stand behind that.
fn sample(line: &str) -> (&str, &str) {
    let (head, value) = line.rsplit_once(' ').unwrap();
    assert!(head.ends_with('}') || !head.contains(' '), "{line}");
    (head, value)
}

#[test]
fn names_are_as_promtool_wants_them() {
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    for family in families() {
        let name = family.name;
        assert!(name.starts_with("holdfast_") && is_name(name), "{name}");
        assert!(!name.contains("__") && !name.ends_with('_'), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
        for reserved in ["_bucket", "_count", "_sum", "_created"] {
            assert!(!name.ends_with(reserved), "{name}");
        }
        let words: Vec<&str> = name.split('_').collect();
        for unit in [
            "milliseconds",
            "minutes",
            "hours",
            "days",
            "ms",
            "s",
            "percent",
            "gauge",
            "counter",
        ] {
            assert!(!words.contains(&unit), "{name}");
        }
        if let Some(label) = family.label {
            let reserved = ["le", "quantile", "instance", "job"];
            assert!(is_name(label) && !reserved.contains(&label), "{name}: {label}");
        }
        let help = family.help;
        assert!(
            help.ends_with('.') && !help.contains(['\\', '\n']),
            "{name}: {help}"
        );
    }
}

#[test]
fn before_the_first_pass_nothing_is_told_that_only_a_pass_can_know() {
    let text = metrics_text(&fresh());
    for line in [
        "holdfast_passes_total 0",
        "holdfast_changes_total{result=\"refused\"} 0",
        "holdfast_configuration_last_reload_successful 1",
        "holdfast_rotation_active 0",
        // The daemon's start, so that one that never comes to a pass is seen.
        "holdfast_last_pass_timestamp_seconds 1799999990",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    for name in [
        "holdfast_controls",
        "holdfast_paused",
        "holdfast_certificate_expiry_timestamp_seconds",
        "holdfast_encryption_write_key_since_timestamp_seconds",
        "holdfast_rotation_stage",
        "holdfast_rotation_values_left",
    ] {
        assert!(!text.contains(name), "{name} in {text}");
    }
}

#[test]
fn a_change_is_counted_once_when_it_has_ended() {
    let fault = crate::journal::Fault {
        why: "it did not answer".to_owned(),
        last_words: vec![],
        flag: None,
    };
    let refused = |recovered| Result::Refused {
        fault: fault.clone(),
        recovered,
        by_hand: None,
    };
    let why = String::new;
    let mut counted = Changes::default();
    for result in [
        Result::Begun,
        Result::Waiting { why: why() },
        Result::PutBack { fault: None },
        Result::Stuck { why: why() },
        Result::Made,
        Result::Made,
        refused(true),
        refused(false),
        Result::Abandoned { why: why() },
        Result::Failed { why: why() },
    ] {
        counted.count(&Outcome {
            change: Digest::of(b"change"),
            controls: vec![],
            path: "/etc/kubernetes/admin.conf".parse().unwrap(),
            what: String::new(),
            result,
        });
    }
    let expected = Changes {
        made: 2,
        refused: 1,
        not_recovered: 1,
        abandoned: 1,
        failed: 1,
    };
    assert_eq!(counted, expected);
}

#[test]
fn a_file_expires_with_the_first_of_its_certificates_and_one_that_cannot_be_read_is_not_told() {
    let until = |second| Certificate {
        subject: "CN=x".to_owned(),
        is_authority: false,
        not_before: at(0),
        not_after: at(second),
        key: PublicKey::Ed25519,
        public_key: Digest::of(b"key"),
        weak_hash: None,
    };
    let certificates = BTreeMap::from([
        (path("/a.crt"), Fact::Known(vec![until(30), until(20), until(40)])),
        (path("/empty.crt"), Fact::Known(vec![])),
        (path("/gone.crt"), Fact::Absent),
        (path("/unread.crt"), Fact::unknown("it cannot be read")),
    ]);
    assert_eq!(
        Found::expiries(&certificates),
        BTreeMap::from([(path("/a.crt"), at(20))])
    );
}
