//! The configuration as a whole: what each key sets, what is refused and where, and what can never happen.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::{Weekday, time};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::*;
use crate::controls::{Control, FlagRule, Requirement, catalogue};

fn control(id: &str) -> ControlId {
    id.parse().unwrap()
}

pub(super) fn flag(name: &str) -> FlagName {
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
        "controls:\nrequiredFlags:\nmanifests:\n  known:\ndisruption:\n  window:\nmetrics:\n  textfile:\napi:\n  kubeconfig:\npaths:\n  manifests:\n  pki:\n",
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
profile: cis-level-1
controls:
  CIS-1.2.15: { mode: enforce, value: "false" }
  1.1.9: { exception: { reason: "the CNI agent rewrites it", owner: " network team ", until: 2027-01-31 } }
  cis-1.1.13:
    mode: off
    value: "0400"
  1.2.17: { value: 60, conditional: allow, exception: { reason: soon, until: 2027-01-31T18:00:00+02:00 } }
  HF-FLAG-kube-apiserver.audit-log-maxage: { mode: audit }
requiredFlags:
  kube-apiserver: { audit_log_maxage: "30", tls-min-version: VersionTLS13, event-ttl: 1.10, enable-x: true }
manifests: { known: [kube-vip.yaml], quarantine: true }
disruption: { window: { days: [sat, Sunday], from: "02:00", to: "05:30", timeZone: Europe/Berlin }, deadline: 2m30s, drain: kubelet }
encryption: { rotateEvery: 90d, cut: auto }
fullPass: 10m
metrics: { textfile: /var/lib/prometheus/node-exporter/holdfast.prom }
api: { kubeconfig: /etc/holdfast/api.conf }
paths: { manifests: /opt/k8s/pods, etcdData: /data/etcd/ }
"#;
    let exception = |reason: &str, owner: Option<&str>, until: &str| Exception {
        reason: reason.to_owned(),
        owner: owner.map(str::to_owned),
        until: Some(until.parse().unwrap()),
    };
    let controls = BTreeMap::from([
        (
            control("CIS-1.2.15"),
            ControlSetting {
                mode: Some(Action::Enforce),
                value: Some("false".to_owned()),
                ..ControlSetting::default()
            },
        ),
        (
            control("CIS-1.1.9"),
            ControlSetting {
                exception: Some(exception(
                    "the CNI agent rewrites it",
                    Some("network team"),
                    "2027-01-31T23:59:59Z",
                )),
                ..ControlSetting::default()
            },
        ),
        (
            control("CIS-1.1.13"),
            ControlSetting {
                mode: Some(Action::Off),
                value: Some("0400".to_owned()),
                ..ControlSetting::default()
            },
        ),
        (
            control("CIS-1.2.17"),
            ControlSetting {
                mode: None,
                conditional: Some(Conditional::Allow),
                value: Some("60".to_owned()),
                exception: Some(exception("soon", None, "2027-01-31T16:00:00Z")),
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
        profile: Profile::CisLevel1,
        conditional: Conditional::Report,
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
        metrics: Metrics {
            textfile: Some("/var/lib/prometheus/node-exporter/holdfast.prom".parse().unwrap()),
        },
        api: ApiAccess {
            kubeconfig: Some("/etc/holdfast/api.conf".parse().unwrap()),
        },
        paths: crate::domain::Paths {
            manifests: Some("/opt/k8s/pods".parse().unwrap()),
            etcd_data: Some("/data/etcd".parse().unwrap()),
            ..crate::domain::Paths::default()
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
        "5:5: unknown key \"mdoe\" | did you mean \"mode\"? Allowed here: mode, conditional, value, exception"
    );
    assert_eq!(
        refusal("disruption: { window: { form: \"02:00\" } }"),
        "1:25: unknown key \"form\" | did you mean \"from\"? Allowed here: days, from, to, timeZone"
    );
    assert_eq!(
        refusal("colour: 1"),
        "1:1: unknown key \"colour\" | Allowed here: mode, profile, conditional, controls, requiredFlags, manifests, disruption, encryption, fullPass, metrics, api, paths"
    );
    assert_eq!(
        refusal("controls:\n  1.1.9: {exception: {reason: é, untill: x}}\n"),
        "2:34: unknown key \"untill\" | did you mean \"until\"? Allowed here: reason, owner, until"
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
fn places_are_whole_paths_of_folders_that_are_kubernetes_own() {
    assert_eq!(
        refusal("paths: { manifests: manifests }"),
        "1:21: \"manifests\" is not an absolute path without \"..\" | write the whole path on the node, like /etc/holdfast/api.conf"
    );
    for folder in ["/", "/etc"] {
        assert_eq!(
            refusal(&format!("paths: {{ pki: {folder} }}")),
            format!(
                "1:15: \"{folder}\" is a folder of the whole system | name the folder that is Kubernetes' own, like /etc/kubernetes/manifests"
            )
        );
    }
    assert!(refusal("paths: { manifest: /a/b }").starts_with("1:10: unknown key \"manifest\""));
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

/// What kind of value a control takes.
pub(super) enum ValueKind {
    Mode,
    File,
    Other,
}

pub(super) fn value_kind(control: &Control) -> ValueKind {
    let requirement = &control.requirement;
    let is_file = |requirement: &Requirement| {
        matches!(
            requirement,
            Requirement::Flag {
                rule: FlagRule::IsSet { .. },
                ..
            }
        )
    };
    if matches!(requirement, Requirement::Mode { .. } | Requirement::Access { .. }) {
        ValueKind::Mode
    } else if is_file(requirement) {
        ValueKind::File
    } else {
        ValueKind::Other
    }
}

#[test]
fn every_value_that_is_taken_here_is_taken_by_the_plan() {
    for control in catalogue()
        .into_iter()
        .filter(crate::controls::Control::takes_value)
    {
        let value = match value_kind(&control) {
            ValueKind::Mode => "\"0400\"",
            ValueKind::File => "/a/b",
            ValueKind::Other => "\"1\"",
        };
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
        "1:1: expected keys with values, found a list | Allowed here: mode, profile, conditional, controls, requiredFlags, manifests, disruption, encryption, fullPass, metrics, api, paths"
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
        "3:13: unknown key \"<<\" | Allowed here: mode, conditional, value, exception"
    );
}
