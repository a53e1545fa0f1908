//! The configuration as a whole: what each key sets, what is refused and where, and what can never happen.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::{Time, Weekday, time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use proptest::prelude::*;

use super::*;
use crate::controls::{Requirement, catalogue};

fn control(id: &str) -> ControlId {
    id.parse().unwrap()
}

fn flag(name: &str) -> FlagName {
    name.parse().unwrap()
}

/// `line:column: message | hint`, as short as it is told.
fn refusal(text: &str) -> String {
    let error = parse(text).unwrap_err();
    let place = match (error.line, error.column) {
        (Some(line), Some(column)) => format!("{line}:{column}: "),
        _ => String::new(),
    };
    let hint = error.hint.map(|hint| format!(" | {hint}")).unwrap_or_default();
    format!("{place}{}{hint}", error.message)
}

#[test]
fn nothing_is_the_default() {
    for text in [
        "",
        "\n\n",
        "# nothing\n",
        "---\n",
        "{}\n",
        "controls:\nrequiredFlags:\nmanifests:\n  known:\ndisruption:\n  window:\napi:\n  kubeconfig:\n",
    ] {
        assert_eq!(parse(text), Ok(Config::default()), "{text:?}");
    }
}

#[test]
fn the_shipped_configuration_is_the_default() {
    assert_eq!(
        parse(include_str!("../../config/config.yaml")),
        Ok(Config::default())
    );
}

#[test]
fn every_example_of_the_shipped_configuration_is_valid() {
    let shipped = include_str!("../../config/config.yaml");
    // An example begins with # and a letter, and goes on with # and two spaces.
    let mut in_example = false;
    let mut examples = String::new();
    for line in shipped.lines() {
        let rest = line.strip_prefix('#').unwrap_or("");
        in_example = rest.starts_with(|c: char| c.is_alphabetic()) || (in_example && rest.starts_with("  "));
        examples += if in_example { rest } else { line };
        examples += "\n";
    }
    let config = parse(&examples).unwrap_or_else(|error| panic!("{error:?}\n{examples}"));
    assert!(
        !config.controls.is_empty() && !config.required_flags.is_empty(),
        "{examples}"
    );
    assert!(config.disruption.window.is_some() && !config.manifests.known.is_empty());
}

#[test]
#[expect(clippy::too_many_lines, reason = "one configuration with every key")]
fn every_key_sets_what_it_says() {
    let text = r#"
mode: enforce
controls:
  CIS-1.2.15: { mode: enforce, value: "false" }
  1.1.9: { exception: { reason: "the CNI agent rewrites it", until: 2027-01-31 } }
  cis-1.1.13:
    mode: off
    value: "0400"
  1.2.17: { value: 60, exception: { reason: soon, until: 2027-01-31T18:00:00+02:00 } }
  HF-FLAG-kube-apiserver.audit-log-maxage: { mode: audit }
requiredFlags:
  kube-apiserver: { audit_log_maxage: "30", tls-min-version: VersionTLS13, event-ttl: 1.10, enable-x: true }
manifests: { known: [kube-vip.yaml], quarantine: true }
disruption: { window: { days: [sat, Sunday], from: "02:00", to: "05:30", timeZone: Europe/Berlin }, deadline: 2m30s, drain: kubelet }
encryption: { rotateEvery: 90d, cut: auto }
fullPass: 10m
api: { kubeconfig: /etc/holdfast/api.conf }
"#;
    let exception = |reason: &str, until: &str| Exception {
        reason: reason.to_owned(),
        until: Some(until.parse().unwrap()),
    };
    let controls = BTreeMap::from([
        (
            control("CIS-1.2.15"),
            ControlSetting {
                mode: Some(Action::Enforce),
                value: Some("false".to_owned()),
                exception: None,
            },
        ),
        (
            control("CIS-1.1.9"),
            ControlSetting {
                exception: Some(exception("the CNI agent rewrites it", "2027-01-31T23:59:59Z")),
                ..ControlSetting::default()
            },
        ),
        (
            control("CIS-1.1.13"),
            ControlSetting {
                mode: Some(Action::Off),
                value: Some("0400".to_owned()),
                exception: None,
            },
        ),
        (
            control("CIS-1.2.17"),
            ControlSetting {
                mode: None,
                value: Some("60".to_owned()),
                exception: Some(exception("soon", "2027-01-31T16:00:00Z")),
            },
        ),
        (
            control("HF-FLAG-KUBE-APISERVER.AUDIT-LOG-MAXAGE"),
            ControlSetting {
                mode: Some(Action::Audit),
                ..ControlSetting::default()
            },
        ),
    ]);
    let flags = [
        ("audit-log-maxage", "30"),
        ("tls-min-version", "VersionTLS13"),
        ("event-ttl", "1.10"),
        ("enable-x", "true"),
    ];
    let flags = flags.map(|(name, value)| (flag(name), value.to_owned()));
    let expected = Config {
        mode: Action::Enforce,
        controls,
        required_flags: BTreeMap::from([(Component::ApiServer, BTreeMap::from(flags))]),
        manifests: ManifestsFolder {
            known: vec!["kube-vip.yaml".to_owned()],
            quarantine: true,
        },
        disruption: Disruption {
            window: Some(Window {
                days: vec![Weekday::Saturday, Weekday::Sunday],
                from: time(2, 0, 0, 0),
                to: time(5, 30, 0, 0),
                zone: TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap(),
            }),
            deadline: Duration::from_secs(150),
            drain: Drain::Kubelet,
        },
        encryption: Encryption {
            rotate_every: Some(Duration::from_secs(90 * 86_400)),
            cut: Cut::Auto,
        },
        full_pass: Duration::from_secs(600),
        api: ApiAccess {
            kubeconfig: Some("/etc/holdfast/api.conf".parse().unwrap()),
        },
    };
    assert_eq!(parse(text), Ok(expected.clone()));
    assert_eq!(parse_bytes(text.replace('\n', "\r\n").as_bytes()), Ok(expected));
}

#[test]
fn a_setting_of_a_required_flag_names_the_control_that_is_judged() {
    let text = "requiredFlags:\n  etcd: { max-snapshots: 3 }\ncontrols:\n  HF-FLAG-etcd.max-snapshots: { mode: off }\n";
    let config = parse(text).unwrap();
    let (id, _) = config.controls.first_key_value().unwrap();
    let judged = |config: &Config| {
        crate::plan::select(config)
            .unwrap()
            .into_iter()
            .map(|one| one.control.id)
            .collect::<Vec<_>>()
    };
    assert!(!judged(&config).contains(id));
    let without = Config {
        controls: BTreeMap::new(),
        ..config.clone()
    };
    assert!(judged(&without).contains(id));
}

#[test]
fn rotations_by_themselves_are_off_unless_a_span_is_named() {
    assert_eq!(parse("encryption:\n  rotateEvery:\n"), Ok(Config::default()));
    assert_eq!(
        refusal("encryption: { rotateEvery: 30m }"),
        "1:28: \"30m\" is out of range | 1h to 366d is allowed here"
    );
    assert_eq!(
        refusal("encryption: { cut: never }"),
        "1:20: unknown cut \"never\" | Allowed here: auto, ask"
    );
}

#[test]
fn unknown_words_are_named_with_their_place_and_the_likely_meaning() {
    assert_eq!(
        refusal("# c\nmode: audit\ncontrols:\n  CIS-1.2.15:\n    mdoe: enforce\n"),
        "5:5: unknown key \"mdoe\" | did you mean \"mode\"? Allowed here: mode, value, exception"
    );
    assert_eq!(
        refusal("disruption: { window: { form: \"02:00\" } }"),
        "1:25: unknown key \"form\" | did you mean \"from\"? Allowed here: days, from, to, timeZone"
    );
    assert_eq!(
        refusal("colour: 1"),
        "1:1: unknown key \"colour\" | Allowed here: mode, controls, requiredFlags, manifests, disruption, encryption, fullPass, api"
    );
    assert_eq!(
        refusal("controls:\n  1.1.9: {exception: {reason: é, untill: x}}\n"),
        "2:34: unknown key \"untill\" | did you mean \"until\"? Allowed here: reason, until"
    );
    assert_eq!(
        refusal("mode:   enforced"),
        "1:9: unknown mode \"enforced\" | did you mean \"enforce\"? Allowed here: audit, enforce"
    );
    assert_eq!(
        refusal("requiredFlags:\n  apiserver: {}\n"),
        "2:3: unknown component \"apiserver\" | Allowed here: kube-scheduler, kube-controller-manager, kube-apiserver, etcd"
    );
    assert_eq!(
        refusal("disruption:\n  window:\n    days:\n    - mon\n    - tus\n"),
        "5:7: unknown day \"tus\" | did you mean \"tue\"? Allowed here: mon, tue, wed, thu, fri, sat, sun"
    );
    assert_eq!(
        refusal("disruption:\n  window: { from: \"02:00\", to: \"03:00\", timeZone: Europe/Berln }\n"),
        "2:51: unknown time zone \"Europe/Berln\" | did you mean \"Europe/Berlin\"?"
    );
}

#[test]
fn a_kubeconfig_is_named_by_its_whole_path() {
    let hint = "write the whole path on the node, like /etc/holdfast/api.conf";
    for written in ["api.conf", "/etc/../api.conf"] {
        assert_eq!(
            refusal(&format!("api:\n  kubeconfig: {written}\n")),
            format!("2:15: \"{written}\" is not an absolute path without \"..\" | {hint}")
        );
    }
    assert!(refusal("api: { kubeconfig: 7 }").starts_with("1:20: expected a text, found"));
    assert!(refusal("api: { kubeConfig: /a }").starts_with("1:8: unknown key \"kubeConfig\""));
}

#[test]
fn ids_are_read_as_they_are_written_and_must_be_in_the_catalogue() {
    assert_eq!(
        refusal("controls:\n  1.10: { mode: off }\n"),
        "2:3: unknown control \"1.10\" | a CIS id has three numbers, like CIS-1.2.15. `holdfast controls` lists them all"
    );
    assert_eq!(
        refusal("controls:\n  CIS-1.2.155: { mode: off }\n"),
        "2:3: unknown control \"CIS-1.2.155\" | did you mean CIS-1.2.15? `holdfast controls` lists them all"
    );
    assert_eq!(
        refusal("controls:\n  HF-FLAG-etcd.x: { mode: off }\n"),
        "2:3: unknown control \"HF-FLAG-etcd.x\" | `holdfast controls` lists them all"
    );
    assert_eq!(
        refusal("controls:\n  1.1.9: { mode: off }\n  CIS-1.1.9: { mode: audit }\n"),
        "3:3: the control CIS-1.1.9 stands twice | keep one of them"
    );
}

#[test]
fn values_must_fit_their_control() {
    let cases = [
        (
            "CIS-1.1.1: { value: 0600 }",
            "CIS-1.1.1: a file mode is written in quotes | write \"0600\"",
        ),
        (
            "CIS-1.1.1: { value: 600 }",
            "CIS-1.1.1: a file mode is written in quotes | write \"0600\"",
        ),
        (
            "CIS-1.1.1: { value: 0o600 }",
            "CIS-1.1.1: a file mode is written in quotes | write \"0600\"",
        ),
        (
            "CIS-1.1.1: { value: \"rw-\" }",
            "CIS-1.1.1: \"rw-\" is no file mode | write three or four octal digits in quotes, like \"0600\"",
        ),
        (
            "CIS-1.1.2: { value: root }",
            "CIS-1.1.2 takes no value | `holdfast explain CIS-1.1.2` says what it asks",
        ),
        (
            "CIS-1.2.15: { value: \"no\" }",
            "CIS-1.2.15 takes true or false, not \"no\"",
        ),
        (
            "CIS-1.2.17: { value: many }",
            "CIS-1.2.17 takes a whole number, not \"many\"",
        ),
        (
            "CIS-1.2.17: { value: [30] }",
            "expected a text, a number, true or false, found a list",
        ),
    ];
    for (row, expected) in cases {
        let column = row.find("value: ").unwrap() + "value: ".len() + 3;
        assert_eq!(
            refusal(&format!("controls:\n  {row}\n")),
            format!("2:{column}: {expected}"),
            "{row}"
        );
    }
    assert_eq!(
        refusal("controls:\n  CIS-1.1.1: audit\n"),
        "2:14: expected keys with values, found a text | write { mode: audit } if that is the mode"
    );
    assert_eq!(
        refusal("requiredFlags: { etcd: { a: 1 } }\ncontrols: { HF-FLAG-etcd.a: { value: 2 } }\n"),
        "2:38: HF-FLAG-ETCD.A takes no value here | its value stands under requiredFlags"
    );
}

#[test]
fn every_value_that_is_taken_here_is_taken_by_the_plan() {
    for control in catalogue()
        .into_iter()
        .filter(crate::controls::Control::takes_value)
    {
        let of_mode = matches!(control.requirement, Requirement::Mode { .. });
        let value = if of_mode { "\"0400\"" } else { "\"1\"" };
        let config = parse(&format!("controls: {{ {}: {{ value: {value} }} }}", control.id)).unwrap();
        assert!(crate::plan::select(&config).is_ok(), "{}", control.id);
    }
}

#[test]
fn exceptions_need_a_reason_and_a_real_date() {
    assert_eq!(
        refusal("controls:\n  1.1.9:\n    exception: { until: 2027-01-31 }\n"),
        "3:16: an exception needs a reason | write why: exception: { reason: \"...\" }"
    );
    assert_eq!(
        refusal("controls:\n  1.1.9: { exception: { reason: \" \" } }\n"),
        "2:33: the reason is empty | say why the drift is accepted"
    );
    for date in [
        "2027-02-30",
        "tomorrow",
        "2027-01-31T18:00:00",
        "31.01.2027",
        "2027",
    ] {
        assert_eq!(
            refusal(&format!(
                "controls:\n  1.1.9: {{ exception: {{ reason: x, until: {date} }} }}\n"
            )),
            format!(
                "2:43: \"{date}\" is no date | write a day like 2027-01-31 (to its end, UTC), or a moment like 2027-01-31T18:00:00Z"
            )
        );
    }
}

#[test]
fn a_flag_may_be_required_with_what_every_control_of_it_allows() {
    for (component, flag, value) in [
        (
            "kube-apiserver",
            "enable-admission-plugins",
            "NodeRestriction,AlwaysPullImages",
        ),
        (
            "kube-apiserver",
            "disable-admission-plugins",
            "DefaultTolerationSeconds",
        ),
        ("kube-apiserver", "authorization-mode", "Node,RBAC,Webhook"),
        (
            "kube-apiserver",
            "client-ca-file",
            "/etc/kubernetes/pki/other.crt",
        ),
        ("kube-apiserver", "tls-min-version", "VersionTLS13"),
        (
            "kube-controller-manager",
            "root-ca-file",
            "/etc/kubernetes/pki/other.crt",
        ),
    ] {
        let text = format!("requiredFlags:\n  {component}:\n    {flag}: {value}\n");
        assert!(parse(&text).is_ok(), "{text}: {:?}", parse(&text));
    }
}

#[test]
fn flags_that_something_else_decides_cannot_be_required() {
    assert_eq!(
        refusal("requiredFlags:\n  kube-apiserver:\n    --profiling: false\n"),
        "3:5: --profiling of kube-apiserver is decided by the control CIS-1.2.15 | take it out here, and write another value under controls.CIS-1.2.15.value"
    );
    assert_eq!(
        refusal(
            "requiredFlags:\n  kube-apiserver:\n    enable-admission-plugins: NodeRestriction,AlwaysAdmit\n"
        ),
        "3:5: --enable-admission-plugins of kube-apiserver is decided by the control CIS-1.2.10 | take it out here; `holdfast explain CIS-1.2.10` says what holds of it"
    );
    assert_eq!(
        refusal("requiredFlags:\n  kube-apiserver:\n    tls-min-version: VersionTLS11\n"),
        "3:5: --tls-min-version of kube-apiserver is decided by the control X-API-03 | take it out here; `holdfast explain X-API-03` says what holds of it"
    );
    assert_eq!(
        refusal("requiredFlags:\n  kube-apiserver:\n    encryption_provider_config: /x\n"),
        "3:5: --encryption-provider-config cannot be required here | it decides which key encrypts the stored Secrets, and belongs to key rotation"
    );
    assert_eq!(
        refusal("requiredFlags:\n  etcd:\n    a-b: 1\n    a_b: 2\n"),
        "4:5: the flag --a-b stands twice | keep one of them"
    );
    assert_eq!(
        refusal("requiredFlags:\n  etcd:\n    \"a b\": 1\n"),
        "3:5: \"a b\" is no flag | write its name without dashes in front, like audit-log-maxage"
    );
    assert_eq!(
        refusal("requiredFlags:\n  etcd:\n    a:\n"),
        "3:5: expected a text, a number, true or false, found nothing"
    );
    assert_eq!(
        refusal("requiredFlags:\n  etcd:\n    a: \"x\\ny\"\n"),
        "3:8: the value of a flag is one line of at most 4096 bytes"
    );
}

#[test]
fn windows_and_durations_are_checked() {
    let hint = "write a number with its unit, like 90s or 2m30s; 10s to 1h here";
    assert_eq!(
        refusal("fullPass: 180\n"),
        format!("1:11: \"180\" is no duration | {hint}")
    );
    assert_eq!(
        refusal("fullPass: 2h\n"),
        "1:11: \"2h\" is out of range | 10s to 1h is allowed here"
    );
    assert_eq!(
        refusal("disruption:\n  deadline: 6m\n"),
        "2:13: \"6m\" is out of range | 10s to 5m is allowed here"
    );
    assert_eq!(
        refusal("disruption:\n  window: { from: \"2:00\", to: \"05:00\" }\n"),
        "2:19: \"2:00\" is no time of day | write hours and minutes in quotes, \"00:00\" to \"23:59\""
    );
    assert_eq!(
        refusal("disruption:\n  window: { from: \"22:00\" }\n"),
        "2:11: the window needs \"from\" and \"to\" | write the hours like from: \"02:00\", to: \"05:00\"; the same time twice is the whole day"
    );
    assert_eq!(
        refusal("disruption:\n  window: { days: [], from: \"22:00\", to: \"23:00\" }\n"),
        "2:19: a window without days never opens | name the days, or take \"days\" out for every day"
    );
    let every_day = parse("disruption: { window: { from: 22:00, to: 04:00 } }")
        .unwrap()
        .disruption
        .window
        .unwrap();
    assert_eq!((every_day.days.len(), every_day.zone), (7, TimeZone::UTC));
}

#[test]
fn wrong_types_are_named() {
    assert_eq!(
        refusal("mode: 1\n"),
        "1:7: expected a text, found a number | write it in quotes if it is meant: \"1\""
    );
    assert_eq!(refusal("mode:\n"), "1:1: expected a text, found nothing");
    assert_eq!(
        refusal("- mode\n"),
        "1:1: expected keys with values, found a list | Allowed here: mode, controls, requiredFlags, manifests, disruption, encryption, fullPass, api"
    );
    assert_eq!(
        refusal("manifests: { quarantine: \"true\" }\n"),
        "1:26: expected true or false, found a text | write true or false, without quotes"
    );
    assert_eq!(
        refusal("manifests: { known: a.yaml }\n"),
        "1:21: expected a list, found a text | write it like [one, two]"
    );
    assert_eq!(
        refusal("manifests:\n  known:\n  - a.yaml\n  - /etc/b.yaml\n"),
        "4:5: \"/etc/b.yaml\" is no file name | write the name alone, as it lies in the manifests folder: kube-vip.yaml"
    );
    assert_eq!(
        refusal("mode: off\n"),
        "1:7: the mode of all controls cannot be off | write audit to report and touch nothing; single controls can be off"
    );
    assert_eq!(
        refusal("mode: !x audit\n"),
        "1:7: expected a text, found a value with a tag"
    );
}

#[test]
fn what_is_no_yaml_is_refused_where_it_is_at_fault() {
    assert_eq!(
        refusal("mode: audit\ncontrols:\n\t1.1.9: {}\n"),
        "3:1: a tab indents the line, which YAML does not allow | use spaces"
    );
    assert_eq!(
        refusal("\u{feff}mode: audit\n"),
        "1:1: the file begins with a byte order mark | save it as UTF-8 without a byte order mark (BOM)"
    );
    assert_eq!(
        refusal("mode: audit\n# x\nfullPass: \"3m\nmanifests: {}\n"),
        "3:11: this is not YAML: found unexpected end of stream | the quote that opens here is not closed"
    );
    assert_eq!(
        refusal("manifests: { known: [a.yaml }\nmode: audit\n"),
        "1:21: this is not YAML: did not find expected ',' or ']' | the bracket that opens here is not closed, or a comma is missing"
    );
    assert_eq!(
        refusal("mode: audit\n fullPass: 3m\n"),
        "2:10: this is not YAML: mapping values are not allowed in this context | check the indentation; a text that holds \": \" is written in quotes"
    );
    assert_eq!(
        refusal("mode: @x\n"),
        "1:7: this is not YAML: found character that cannot start any token | write the text in quotes"
    );
    assert_eq!(
        refusal("mode: audit\n---\nmode: audit\n"),
        "2:1: a second YAML document begins here | keep one document: take the line --- out"
    );
    assert_eq!(
        refusal("manifests:\n  known: []\n  \"known\": [a]\n"),
        "3:3: the key \"known\" stands twice | it stands first in line 2; keep one of them"
    );
    assert_eq!(
        refusal("mode: audit\nmode: audit\n"),
        "2:1: the key \"mode\" stands twice | it stands first in line 1; keep one of them"
    );
    assert_eq!(
        refusal("mode: a\u{1b}[31m\n"),
        "1:8: the file is not plain text: it holds the control character U+001B"
    );
    assert_eq!(
        refusal(&"#".repeat(262_145)),
        "the file has 262145 bytes, and no configuration over 262144 is read"
    );
    let not_text = parse_bytes(b"mode: \xff\n").unwrap_err();
    assert_eq!(not_text.message, "the file is not text: byte 7 is no UTF-8");
    assert_eq!(
        parse_bytes(b"\xff\xfem\0").unwrap_err().message,
        "the file is UTF-16"
    );
}

#[test]
fn anchors_keep_their_meaning_and_merge_keys_are_unknown() {
    let config = parse("controls:\n  1.1.9: &a { mode: off }\n  1.1.10: *a\n").unwrap();
    assert!(
        config
            .controls
            .values()
            .all(|setting| setting.mode == Some(Action::Off))
    );
    assert_eq!(
        refusal("controls:\n  1.1.9: &a { mode: off }\n  1.1.10: { <<: *a }\n"),
        "3:13: unknown key \"<<\" | Allowed here: mode, value, exception"
    );
}

fn any_text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 .:,'\"#{}é-]{0,20}[a-z]"
}

fn any_setting(requirement: Requirement) -> impl Strategy<Value = ControlSetting> {
    let of_mode = matches!(requirement, Requirement::Mode { .. });
    let value = if of_mode { "0[0-7]{3}" } else { "[01]" };
    let modes = prop::option::of(prop_oneof![
        Just(Action::Off),
        Just(Action::Audit),
        Just(Action::Enforce)
    ]);
    let exception = (any_text(), prop::option::of(0..4_000_000_000i64));
    (modes, prop::option::of(value), prop::option::of(exception)).prop_map(|(mode, value, exception)| {
        ControlSetting {
            mode,
            value,
            exception: exception.map(|(reason, until)| Exception {
                reason: reason.trim().to_owned(),
                until: until.map(|second| jiff::Timestamp::from_second(second).unwrap()),
            }),
        }
    })
}

fn any_window() -> impl Strategy<Value = Window> {
    let days = prop::sample::subsequence(Weekday::Monday.cycle_forward().take(7).collect::<Vec<_>>(), 1..=7);
    let minute = (0..24i8, 0..60i8).prop_map(|(hour, minute)| Time::constant(hour, minute, 0, 0));
    let zone = prop::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]);
    (days, minute.clone(), minute, zone).prop_map(|(days, from, to, zone)| Window {
        days,
        from,
        to,
        zone: TimeZoneDatabase::bundled().get(zone).unwrap(),
    })
}

fn any_config() -> impl Strategy<Value = Config> {
    let settings: Vec<_> = catalogue()
        .into_iter()
        .map(|control| {
            let takes_value = control.takes_value();
            let setting = any_setting(control.requirement).prop_map(move |setting| ControlSetting {
                value: setting.value.filter(|_| takes_value),
                ..setting
            });
            (Just(control.id), setting)
        })
        .collect();
    let count = settings.len();
    let controls =
        (settings, prop::collection::vec(prop::bool::weighted(0.2), count)).prop_map(|(settings, chosen)| {
            settings
                .into_iter()
                .zip(chosen)
                .filter(|(_, chosen)| *chosen)
                .map(|(setting, _)| setting)
                .collect()
        });
    let flags =
        prop::collection::btree_map("x[a-z0-9-]{0,10}".prop_map(|name| flag(&name)), any_text(), 1..4);
    let required = prop::collection::btree_map(prop::sample::select(Component::ALL.to_vec()), flags, 0..4);
    let folder = (
        prop::collection::vec("[a-z1-9-]{1,10}\\.yaml", 0..3),
        any::<bool>(),
    );
    let drain = prop_oneof![
        Just(Drain::Kubelet),
        (1..=30u64).prop_map(|seconds| Drain::After(Duration::from_secs(seconds)))
    ];
    let disruption = (prop::option::of(any_window()), 10..=300u64, drain);
    let mode = prop_oneof![Just(Action::Audit), Just(Action::Enforce)];
    (mode, controls, required, folder, disruption, 10..=3600u64).prop_map(
        |(mode, controls, required_flags, (known, quarantine), (window, deadline, drain), full_pass)| {
            Config {
                mode,
                controls,
                required_flags,
                manifests: ManifestsFolder { known, quarantine },
                disruption: Disruption {
                    window,
                    deadline: Duration::from_secs(deadline),
                    drain,
                },
                encryption: Config::default().encryption,
                full_pass: Duration::from_secs(full_pass),
                api: ApiAccess::default(),
            }
        },
    )
}

/// The configuration as JSON, which is YAML too.
fn as_json(config: &Config) -> serde_json::Value {
    let setting = |setting: &ControlSetting| {
        let mut map = serde_json::Map::new();
        if let Some(mode) = setting.mode {
            map.insert("mode".to_owned(), serde_json::to_value(mode).unwrap());
        }
        if let Some(value) = &setting.value {
            map.insert("value".to_owned(), value.as_str().into());
        }
        if let Some(exception) = &setting.exception {
            let mut inner = serde_json::json!({ "reason": exception.reason });
            if let Some(until) = exception.until {
                inner["until"] = until.to_string().into();
            }
            map.insert("exception".to_owned(), inner);
        }
        serde_json::Value::from(map)
    };
    let controls: serde_json::Map<_, _> = config
        .controls
        .iter()
        .map(|(id, one)| (id.to_string(), setting(one)))
        .collect();
    let required: serde_json::Map<_, _> = config
        .required_flags
        .iter()
        .map(|(component, flags)| {
            let flags: serde_json::Map<_, _> = flags
                .iter()
                .map(|(name, value)| (name.to_string(), value.as_str().into()))
                .collect();
            (component.to_string(), flags.into())
        })
        .collect();
    let window = config.disruption.window.as_ref().map(|window| {
        serde_json::json!({
            "days": window.days.iter().map(|day| format!("{day:?}").to_lowercase()).collect::<Vec<_>>(),
            "from": window.from.strftime("%H:%M").to_string(),
            "to": window.to.strftime("%H:%M").to_string(),
            "timeZone": window.zone.iana_name(),
        })
    });
    let drain = match config.disruption.drain {
        Drain::Kubelet => "kubelet".to_owned(),
        Drain::After(time) => format_duration(time),
    };
    serde_json::json!({
        "mode": config.mode,
        "controls": controls,
        "requiredFlags": required,
        "manifests": { "known": config.manifests.known, "quarantine": config.manifests.quarantine },
        "disruption": { "window": window, "deadline": format_duration(config.disruption.deadline), "drain": drain },
        "fullPass": format_duration(config.full_pass),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_random_configuration_round_trips_in_block_and_flow_style(config in any_config()) {
        let json = as_json(&config);
        let flow = serde_json::to_string_pretty(&json).unwrap();
        prop_assert_eq!(parse(&flow).map_err(|error| format!("{error:?}\n{flow}")), Ok(config.clone()));
        let block = serde_yaml::to_string(&json).unwrap();
        let read = parse(&block);
        // The block writer quotes no mode: that is the one thing it may be refused for.
        if let Err(error) = &read {
            prop_assert!(error.message.ends_with("a file mode is written in quotes"), "{:?}\n{}", error, block);
        } else {
            prop_assert_eq!(read, Ok(config));
        }
    }

    #[test]
    fn a_misspelt_key_is_found_where_it_stands(
        config in any_config(),
        key in prop::sample::select(vec!["exception", "reason", "until", "quarantine", "deadline", "timeZone", "requiredFlags"]),
    ) {
        let json = as_json(&config);
        let quoted = format!("\"{key}\":");
        for text in [serde_json::to_string_pretty(&json).unwrap(), json.to_string()] {
            let Some(at) = text.find(&quoted) else { continue };
            let spoilt = text.replacen(&quoted, &format!("\"{key}x\":"), 1);
            let before = spoilt.get(..at).unwrap();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
            let error = parse(&spoilt).unwrap_err();
            prop_assert_eq!((error.line, error.column), (Some(line), Some(column)), "{:?}\n{}", error, spoilt);
            prop_assert_eq!(error.message, format!("unknown key \"{key}x\""));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse_bytes(&bytes).is_ok() || !parse_bytes(&bytes).unwrap_err().message.is_empty());
    }

    #[test]
    fn any_text_that_looks_like_yaml_is_read_or_refused(
        text in "(mode|controls|fullPass|1\\.1\\.1|known|[ab?]|[\\[\\]{}:,&*!|>'\"%@`#\n\r\t -]|: |\n  |\n- |--- |é){0,40}",
    ) {
        prop_assert!(parse(&text).is_ok() || !parse(&text).unwrap_err().message.is_empty());
    }

    #[test]
    fn a_spoilt_configuration_is_read_or_refused_at_a_place_in_the_text(
        config in any_config(),
        at in any::<prop::sample::Index>(),
        with in "[\\[\\]{}:,&*!|>'\"%@`#\n\t -]{1,4}|é",
    ) {
        let mut text = serde_yaml::to_string(&as_json(&config)).unwrap();
        let mut place = at.index(text.len());
        while !text.is_char_boundary(place) { place -= 1; }
        text.insert_str(place, &with);
        if let Err(error) = parse(&text) {
            let line = error.line.unwrap_or(1);
            let content = text.split('\n').nth(line - 1).unwrap();
            prop_assert!(error.column.unwrap_or(1) <= content.chars().count() + 1, "{:?}\n{}", error, text);
        }
    }
}
