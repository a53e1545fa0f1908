//! Where the kubelet's settings come from. What each case expects was seen on a kubelet 1.35.4.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::{Process, ProcessId};

pub(super) fn process(flags: &[&str]) -> Process {
    Process {
        id: ProcessId {
            pid: 1,
            start_ticks: 1,
        },
        argv: std::iter::once(&"/usr/bin/kubelet")
            .chain(flags)
            .map(|word| (*word).to_owned())
            .collect(),
        uid: 0,
        age_ms: 0,
        pod_uid: None,
    }
}

/// A kubelet with a file, its drop-ins, and the flags of its process.
fn kubelet(documents: &[Value], flags: &[&str]) -> KubeletFacts {
    let mut layers = documents
        .iter()
        .enumerate()
        .map(|(number, document)| ConfigLayer {
            path: path(number),
            modified_ns: 0,
            document: document.clone(),
        });
    KubeletFacts {
        process: Fact::Known(process(flags)),
        static_pod_path: Fact::Absent,
        config_file: Fact::Absent,
        client_ca_file: Fact::Absent,
        config: layers.next().map_or(Fact::Absent, Fact::Known),
        drop_ins: Fact::Known(layers.collect()),
        drop_in_folder: Fact::Absent,
    }
}

fn path(number: usize) -> NodePath {
    format!("/layer{number}").parse().unwrap()
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

fn found(setting: &Setting, layers: &[&str], flags: &[&str]) -> (String, Source) {
    let documents: Vec<Value> = layers.iter().map(|text| yaml(text)).collect();
    let fact = effective(&kubelet(&documents, flags), setting);
    let found = fact.known().unwrap_or_else(|| panic!("{fact:?}"));
    (found.value.clone(), found.source.clone())
}

fn why_unknown(setting: &Setting, layers: &[&str], flags: &[&str]) -> String {
    let documents: Vec<Value> = layers.iter().map(|text| yaml(text)).collect();
    let fact = effective(&kubelet(&documents, flags), setting);
    if let Fact::Unknown(why) = &fact {
        return why.to_string();
    }
    panic!("{fact:?}")
}

fn built_in(value: &str) -> (String, Source) {
    (value.to_owned(), Source::BuiltIn)
}

fn of_file(value: &str) -> (String, Source) {
    (value.to_owned(), Source::File(path(0)))
}

fn of_drop_in(value: &str, number: usize) -> (String, Source) {
    (value.to_owned(), Source::DropIn(path(number)))
}

const EMPTY: &str = "kind: KubeletConfiguration";

#[test]
fn a_flag_counts_over_a_drop_in_and_that_over_the_file() {
    let file = "authentication: { anonymous: { enabled: false } }";
    let drop_in = "authentication: { anonymous: { enabled: true } }";
    let of = |layers: &[&str], flags: &[&str]| found(&ANONYMOUS, layers, flags);
    assert_eq!(of(&[file], &[]), of_file("false"));
    assert_eq!(of(&[file, drop_in], &[]), of_drop_in("true", 1));
    assert_eq!(of(&[file, drop_in, EMPTY], &[]), of_drop_in("true", 1));
    let by_flag = |value: &str| (value.to_owned(), Source::Flag("anonymous-auth"));
    assert_eq!(of(&[file, drop_in], &["--anonymous-auth=F"]), by_flag("false"));
    assert_eq!(of(&[file], &["--anonymous_auth"]), by_flag("true"));
    let twice = ["--anonymous-auth=true", "--v", "2", "--anonymous-auth=0"];
    assert_eq!(of(&[file], &twice), by_flag("false"), "the last one");
}

#[test]
fn what_is_not_set_is_built_in_and_without_a_file_it_is_the_old_default() {
    for (setting, with, without) in [
        (ANONYMOUS, "false", "true"),
        (WEBHOOK, "true", "false"),
        (AUTHORIZATION, "Webhook", "AlwaysAllow"),
        (READ_ONLY_PORT, "0", "10255"),
        (IDLE, "4h0m0s", "4h0m0s"),
        (PIDS_LIMIT, "-1", "-1"),
    ] {
        let key = setting.key;
        assert_eq!(found(&setting, &[EMPTY], &[]), built_in(with), "{key}");
        assert_eq!(found(&setting, &[], &[]), built_in(without), "{key}");
        let mut drop_in_only = kubelet(&[yaml(EMPTY), yaml(EMPTY)], &[]);
        drop_in_only.config = Fact::Absent;
        let value = effective(&drop_in_only, &setting)
            .known()
            .map(|found| found.value.clone());
        assert_eq!(value.as_deref(), Some(without), "{key}, by --config-dir alone");
    }
}

#[test]
fn a_kubelet_that_is_down_has_the_defaults_of_one_with_a_file_and_flags_that_nobody_knows() {
    let mut down = kubelet(&[yaml(EMPTY)], &[]);
    down.process = Fact::Absent;
    let value = effective(&down, &ANONYMOUS);
    assert_eq!(value.known().map(|found| found.value.as_str()), Some("false"));
    let unknown = "the kubelet does not run, so its flags are not known";
    assert_eq!(effective(&down, &HOSTNAME), Fact::unknown(unknown));
    down.process = Fact::unknown("2 processes of root's could be the kubelet");
    assert_eq!(
        effective(&down, &ANONYMOUS),
        Fact::unknown("2 processes of root's could be the kubelet")
    );
}

/// The file is read by the letter; a drop-in in the end by Go's JSON package, which is lax.
#[test]
fn a_key_in_another_case_is_none_in_the_file_and_nobody_knows_what_in_a_drop_in() {
    let misspelt = "authentication: { anonymous: { Enabled: true } }";
    assert_eq!(found(&ANONYMOUS, &[misspelt], &[]), built_in("false"));
    assert_eq!(
        found(&READ_ONLY_PORT, &["ReadOnlyPort: 10255"], &[]),
        built_in("0")
    );
    assert_eq!(
        found(&READ_ONLY_PORT, &[EMPTY, "readOnlyPorts: 1"], &[]),
        built_in("0")
    );
    for drop_in in ["ReadOnlyPort: 10255", "readonlyport: 10255"] {
        let documents = [yaml(EMPTY), yaml(drop_in)];
        let fact = effective(&kubelet(&documents, &[]), &READ_ONLY_PORT);
        assert!(matches!(fact, Fact::Unknown(_)), "{drop_in}: {fact:?}");
    }
    let why = why_unknown(&ANONYMOUS, &[EMPTY, misspelt], &[]);
    assert_eq!(
        why,
        "/layer1: Enabled is not enabled to the letter, and whether the kubelet takes it for that is not told here"
    );
    let kelvin = is_in_another_case("webhoo\u{212a}", "webhook") && is_in_another_case("u\u{17f}e", "use");
    assert!(kelvin && !is_in_another_case("webhook", "webhook"));
}

#[test]
fn nothing_zero_and_null_are_the_default_in_files_and_real_in_a_flag() {
    let zero = "streamingConnectionIdleTimeout: 0s";
    let hour = "streamingConnectionIdleTimeout: 1h";
    assert_eq!(found(&IDLE, &[zero], &[]), built_in("4h0m0s"));
    assert_eq!(found(&IDLE, &[EMPTY, zero], &[]), built_in("4h0m0s"));
    assert_eq!(found(&IDLE, &[hour, zero], &[]), built_in("4h0m0s"));
    assert_eq!(found(&IDLE, &[hour], &[]), of_file("1h"));
    let flag = ["--streaming-connection-idle-timeout", "0"];
    assert_eq!(found(&IDLE, &[hour], &flag).0, "0");

    let port = "readOnlyPort: 10255";
    assert_eq!(
        found(&READ_ONLY_PORT, &[port, "readOnlyPort: null"], &[]),
        built_in("0")
    );
    assert_eq!(
        found(&READ_ONLY_PORT, &[port, "readOnlyPort: 0"], &[]),
        of_drop_in("0", 1)
    );
    let lax = "authorization: { mode: AlwaysAllow }";
    for drop_in in [
        "authorization: null",
        "authorization: { mode: null }",
        "authorization: { mode: '' }",
    ] {
        assert_eq!(
            found(&AUTHORIZATION, &[lax, drop_in], &[]),
            built_in("Webhook"),
            "{drop_in}"
        );
    }
    assert_eq!(
        found(&AUTHORIZATION, &[lax, "authorization: {}"], &[]),
        of_file("AlwaysAllow")
    );
    // Without a file, too: what a drop-in takes away is what a file has built in.
    let mut no_file = kubelet(&[yaml(EMPTY), yaml("authorization: null")], &[]);
    no_file.config = Fact::Absent;
    let value = effective(&no_file, &AUTHORIZATION);
    assert_eq!(value.known().map(|found| found.value.as_str()), Some("Webhook"));
    assert!(is_above_zero("1ns") && !is_above_zero("0h0m0s") && !is_above_zero("-1s") && !is_above_zero("x"));
}

#[test]
fn a_list_is_replaced_by_a_drop_in_and_adds_up_in_flags() {
    let (one, two) = ("tlsCipherSuites: [A, B]", "tlsCipherSuites: [C]");
    assert_eq!(found(&CIPHER_SUITES, &[one, two], &[]), of_drop_in("C", 1));
    assert_eq!(
        found(&CIPHER_SUITES, &[one, "tlsCipherSuites: []"], &[]),
        built_in("")
    );
    let flags = ["--tls-cipher-suites=D,E", "--tls-cipher-suites=F"];
    assert_eq!(found(&CIPHER_SUITES, &[one], &flags).0, "D,E,F");
}

#[test]
fn a_flag_turns_seccomp_on_and_not_off() {
    let on = "seccompDefault: true";
    assert_eq!(
        found(&SECCOMP, &[on], &["--seccomp-default=false"]),
        of_file("true")
    );
    let by_flag = ("true".to_owned(), Source::Flag("seccomp-default"));
    assert_eq!(found(&SECCOMP, &[EMPTY], &["--seccomp-default"]), by_flag);
}

#[test]
fn numbers_are_read_as_go_reads_them() {
    assert_eq!(
        found(&READ_ONLY_PORT, &["readOnlyPort: 10255.0"], &[]),
        of_file("10255")
    );
    assert_eq!(
        found(&READ_ONLY_PORT, &[EMPTY], &["--read-only-port=0x280f"]).0,
        "10255"
    );
}

#[test]
fn a_value_of_another_type_is_unknown() {
    for (setting, file, why) in [
        (
            CIPHER_SUITES,
            "tlsCipherSuites: A",
            "/layer0: tlsCipherSuites is no list of texts, and no kubelet starts with that",
        ),
        (
            ANONYMOUS,
            "authentication: { anonymous: { enabled: \"false\" } }",
            "/layer0: authentication.anonymous.enabled is no boolean, and no kubelet starts with that",
        ),
        (
            ANONYMOUS,
            "authentication: 3",
            "/layer0: authentication.anonymous.enabled is no boolean, and no kubelet starts with that",
        ),
        (
            PIDS_LIMIT,
            "podPidsLimit: \"4096\"",
            "/layer0: podPidsLimit is no whole number, and no kubelet starts with that",
        ),
        (
            IDLE,
            "streamingConnectionIdleTimeout: 0",
            "/layer0: streamingConnectionIdleTimeout is no span of time, and no kubelet starts with that",
        ),
    ] {
        assert_eq!(why_unknown(&setting, &[file], &[]), why);
    }
    assert_eq!(
        why_unknown(&ANONYMOUS, &[EMPTY], &["--anonymous-auth=no"]),
        "--anonymous-auth=no is no boolean, and no kubelet starts with that"
    );
    assert_eq!(
        why_unknown(&ANONYMOUS, &[EMPTY], &["word"]),
        "the kubelet's command line is not understood: \"word\" is no flag"
    );
}

#[test]
fn what_cannot_be_read_is_unknown_unless_a_flag_decides() {
    let mut torn = kubelet(&[yaml(EMPTY)], &[]);
    torn.drop_ins = Fact::unknown("/etc/kubelet.d/9.conf: it is torn");
    assert_eq!(
        effective(&torn, &ANONYMOUS),
        Fact::unknown("/etc/kubelet.d/9.conf: it is torn")
    );
    torn.config = Fact::unknown("/config.yaml: it is torn");
    torn.process = Fact::Known(process(&["--anonymous-auth=false"]));
    let value = effective(&torn, &ANONYMOUS);
    assert_eq!(value.known().map(|found| found.value.as_str()), Some("false"));
    assert_eq!(effective(&torn, &IDLE), Fact::unknown("/config.yaml: it is torn"));
}

#[test]
fn gates_are_merged_one_by_one_and_one_that_is_named_counts_over_its_stage() {
    let of = |layers: &[&str], flags: &[&str]| {
        let documents: Vec<Value> = layers.iter().map(|text| yaml(text)).collect();
        gate(&kubelet(&documents, flags), &ROTATE_SERVER_GATE, &GATE_STAGE)
    };
    let file = "featureGates: { A: true, RotateKubeletServerCertificate: false }";
    let on = "featureGates: { RotateKubeletServerCertificate: true }";
    let stage_off = "featureGates: { AllBeta: false }";
    assert_eq!(of(&[EMPTY], &[]), Fact::Known(None));
    assert_eq!(of(&[file], &[]), Fact::Known(Some(false)));
    assert_eq!(of(&[file, on], &[]), Fact::Known(Some(true)));
    assert_eq!(
        of(&[file], &["--feature-gates=A=false"]),
        Fact::Known(Some(false))
    );
    let named = ["--feature-gates=A=false,RotateKubeletServerCertificate=true"];
    assert_eq!(of(&[file], &named), Fact::Known(Some(true)));
    assert_eq!(of(&[stage_off], &[]), Fact::Known(Some(false)));
    assert_eq!(of(&[stage_off], &named), Fact::Known(Some(true)));
    assert_eq!(
        of(&[on], &["--feature-gates=AllBeta=false"]),
        Fact::Known(Some(true))
    );
    let unclear = of(&["featureGates: { AllBeta: 1 }"], &[]);
    assert!(matches!(unclear, Fact::Unknown(_)), "{unclear:?}");
}

/// The merge patch of RFC 7396, as it is written there.
fn merged(target: &Value, patch: &Value) -> Value {
    let Some(patch) = patch.as_object() else {
        return patch.clone();
    };
    let mut result = target.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        if value.is_null() {
            result.remove(name);
        } else {
            let before = result.get(name).cloned().unwrap_or(Value::Null);
            result.insert(name.clone(), merged(&before, value));
        }
    }
    Value::Object(result)
}

/// Nothing, `null`, or an object with what is inside under that key.
fn any_level(key: &'static str, inside: BoxedStrategy<Option<Value>>) -> BoxedStrategy<Option<Value>> {
    let object = inside.prop_map(move |value| {
        let pairs = value.map(|value| (key.to_owned(), value));
        Some(Value::Object(pairs.into_iter().collect()))
    });
    prop_oneof![Just(None), Just(Some(Value::Null)), object.clone(), object].boxed()
}

fn any_document() -> impl Strategy<Value = Value> {
    let enabled = prop_oneof![
        Just(None),
        Just(Some(Value::Null)),
        any::<bool>().prop_map(|value| Some(json!(value)))
    ];
    let suites = prop_oneof![
        Just(None),
        Just(Some(Value::Null)),
        prop::collection::vec("[A-C]", 0..3).prop_map(|items| Some(json!(items)))
    ];
    let authentication = any_level("anonymous", any_level("enabled", enabled.boxed()));
    (authentication, suites).prop_map(|(authentication, suites)| {
        let named = [("authentication", authentication), ("tlsCipherSuites", suites)];
        let set = named
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Value::Object(set.collect())
    })
}

proptest! {
    #[test]
    fn layers_are_as_if_merged(documents in prop::collection::vec(any_document(), 1..5)) {
        let whole = documents.iter().skip(1).fold(documents[0].clone(), |whole, patch| merged(&whole, patch));
        let facts = kubelet(&documents, &[]);
        let value = |setting| effective(&facts, setting).known().map(|found| found.value.clone());

        let enabled = whole.pointer("/authentication/anonymous/enabled").and_then(Value::as_bool);
        prop_assert_eq!(value(&ANONYMOUS), Some(enabled.unwrap_or(false).to_string()));
        let suites = whole.get("tlsCipherSuites").and_then(Value::as_array).cloned().unwrap_or_default();
        let suites: Vec<&str> = suites.iter().filter_map(Value::as_str).collect();
        prop_assert_eq!(value(&CIPHER_SUITES), Some(suites.join(",")));
    }

    #[test]
    fn a_flag_counts_whatever_the_files_say(
        documents in prop::collection::vec(any_document(), 0..4),
        flag in any::<bool>(),
        before in prop::collection::vec(any::<bool>(), 0..3),
    ) {
        let flags: Vec<String> = before.iter().chain([&flag]).map(|value| format!("--anonymous-auth={value}")).collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let expected = Effective { value: flag.to_string(), source: Source::Flag("anonymous-auth") };
        prop_assert_eq!(effective(&kubelet(&documents, &flags), &ANONYMOUS), Fact::Known(expected));
    }

    #[test]
    fn any_command_line_is_read_or_refused(words in prop::collection::vec("[-=a-z0-9 ]{0,12}", 0..6)) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let facts = kubelet(&[yaml(EMPTY)], &words);
        prop_assert!(!matches!(effective(&facts, &ANONYMOUS), Fact::Absent));
    }
}
