//! Whatever else stands in the text comes out as it went in: compared as JSON, which keeps order and types. The random texts are
//! JSON, too, so that no writer of ours makes them.

use proptest::prelude::*;
use serde_yaml::{Mapping, Value};

use super::tests::{CONFIG_FLAG, RELOAD_FLAG, wanted};
use super::{brought_in_line, lacks};
use crate::manifest::document_of;

/// Words that a writer or a reader might take for something else.
const WORDS: [&str; 32] = [
    "", "~", "null", "yes", "on", "y", "NO", "true", "1.10", "010", "0x1f", "0b1", "1_000", "1e3", ".5",
    ".inf", "-", "- a", "---", "... x", "a: b", "a #b", "#", "*", "&a", "!!int 1", "<<", "=", "'", "%x",
    " a ", "@",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(WORDS.as_slice()).prop_map(str::to_owned),
        "[a-zA-Z0-9/._:, -]{0,12}",
        // What JSON itself does not escape, the reader refuses as no text.
        "[^\u{7f}-\u{9f}]{0,6}",
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z][a-zA-Z-]{1,8}", word()].prop_filter("such a key is refused", |word| {
        crate::manifest::yaml_1_1(word).is_none() && word != "<<"
    })
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => word().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => (-1e9..1e9).prop_map(|number: f64| Value::from(number)),
        1 => Just(Value::Null),
    ]
}

fn mapping_of(entries: Vec<(String, Value)>) -> Value {
    Value::Mapping(
        entries
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    )
}

fn anything() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Sequence),
            proptest::collection::vec((key(), inner), 0..5).prop_map(mapping_of),
        ]
    })
}

fn flag_name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(CONFIG_FLAG.to_owned()),
        1 => Just("encryption_provider_config".to_owned()),
        2 => Just(RELOAD_FLAG.to_owned()),
        // `no` and its like are refused as keys.
        4 => "[a-z-]{2,10}".prop_filter("such a key is refused", |word| {
            crate::manifest::yaml_1_1(word).is_none()
        }),
    ]
}

fn flag_value() -> impl Strategy<Value = Value> {
    const RIGHT: [&str; 2] = ["/etc/kubernetes/enc/config.yaml", "true"];
    prop_oneof![
        3 => proptest::sample::select(RIGHT.as_slice()).prop_map(Value::from),
        2 => scalar(),
    ]
}

fn args(v1beta3: bool) -> BoxedStrategy<Value> {
    let flags = proptest::collection::vec((flag_name(), flag_value()), 0..6);
    flags
        .prop_map(move |flags| {
            if v1beta3 {
                return mapping_of(flags);
            }
            let item = |(name, value): (String, Value)| {
                mapping_of(vec![
                    ("name".to_owned(), name.into()),
                    ("value".to_owned(), value),
                ])
            };
            Value::Sequence(flags.into_iter().map(item).collect())
        })
        .boxed()
}

fn volumes() -> impl Strategy<Value = Value> {
    let name = prop_oneof![1 => Just("encryption".to_owned()), 1 => "[a-z]{3,9}"];
    // At other places than the wanted one, or it would be refused.
    let volume = (name, "/[a-z]{1,5}", any::<bool>(), proptest::option::of(scalar()));
    let volume = volume.prop_map(|(name, path, right, more)| {
        let right = right && name == "encryption";
        let path = if right {
            "/etc/kubernetes/enc".to_owned()
        } else {
            path
        };
        let mut item = vec![
            ("hostPath".to_owned(), path.as_str().into()),
            ("name".to_owned(), name.into()),
            ("mountPath".to_owned(), path.into()),
        ];
        if right {
            item.push(("pathType".to_owned(), "Directory".into()));
            item.push(("readOnly".to_owned(), true.into()));
        }
        item.extend(more.map(|more| ("more".to_owned(), more)));
        mapping_of(item)
    });
    proptest::collection::vec(volume, 0..4).prop_map(Value::Sequence)
}

/// Before, between and behind what is edited stands anything.
fn configuration() -> impl Strategy<Value = Value> {
    any::<bool>().prop_flat_map(|v1beta3| {
        let version = if v1beta3 { "v1beta3" } else { "v1beta4" };
        let api_server = (
            proptest::collection::vec((key(), anything()), 0..3),
            proptest::option::of(args(v1beta3)),
            proptest::option::of(volumes()),
        );
        let api_server = api_server.prop_map(|(mut entries, args, volumes)| {
            entries.extend(args.map(|args| ("extraArgs".to_owned(), args)));
            entries.extend(volumes.map(|volumes| ("extraVolumes".to_owned(), volumes)));
            mapping_of(entries)
        });
        let parts = (
            proptest::collection::vec((key(), anything()), 0..4),
            proptest::option::of(api_server),
        );
        let whole = parts.prop_map(move |(mut entries, api_server)| {
            entries.push((
                "apiVersion".to_owned(),
                format!("kubeadm.k8s.io/{version}").into(),
            ));
            entries.extend(api_server.map(|api_server| ("apiServer".to_owned(), api_server)));
            entries.push(("kind".to_owned(), "ClusterConfiguration".into()));
            entries
        });
        whole.prop_shuffle().prop_map(mapping_of)
    })
}

fn is_wanted(name: Option<&Value>) -> bool {
    let name = name.and_then(Value::as_str).unwrap_or_default().replace('_', "-");
    [CONFIG_FLAG, RELOAD_FLAG, "encryption"].contains(&name.as_str())
}

/// Takes the wanted things out, and what is empty without them.
fn rest(mut document: Value) -> String {
    let mut emptied = false;
    if let Some(api_server) = document.get_mut("apiServer").and_then(Value::as_mapping_mut) {
        for field in ["extraArgs", "extraVolumes"] {
            let empty = match api_server.get_mut(field) {
                Some(Value::Sequence(items)) => {
                    items.retain(|item| !is_wanted(item.get("name")));
                    items.is_empty()
                }
                Some(Value::Mapping(map)) => {
                    map.retain(|key, _| !is_wanted(Some(key)));
                    map.is_empty()
                }
                _ => true,
            };
            if empty {
                // Not `remove`, which changes the order.
                api_server.shift_remove(field);
            }
        }
        emptied = api_server.is_empty();
    }
    if emptied {
        document.as_mapping_mut().unwrap().shift_remove("apiServer");
    }
    serde_json::to_string(&document).unwrap()
}

/// How often each wanted thing stands there as it should.
fn right_ones(document: &Value) -> Vec<usize> {
    let api_server = document.get("apiServer").cloned().unwrap_or_default();
    let flags: Vec<(String, Value)> = match api_server.get("extraArgs") {
        Some(Value::Sequence(items)) => items
            .iter()
            .map(|item| {
                (
                    item["name"].as_str().unwrap().replace('_', "-"),
                    item["value"].clone(),
                )
            })
            .collect(),
        Some(Value::Mapping(map)) => map
            .iter()
            .map(|(key, value)| (key.as_str().unwrap().replace('_', "-"), value.clone()))
            .collect(),
        _ => Vec::new(),
    };
    let flag = |(name, value): &(String, String)| {
        let same = flags.iter().filter(|(other, _)| other == name);
        let right = same
            .clone()
            .filter(|(_, other)| other.as_str() == Some(value))
            .count();
        if same.count() == right { right } else { 0 }
    };
    let mut counts: Vec<usize> = wanted().args.iter().map(flag).collect();
    let none = Vec::new();
    let volumes = api_server
        .get("extraVolumes")
        .and_then(Value::as_sequence)
        .unwrap_or(&none);
    let same = volumes.iter().filter(|volume| volume["name"] == "encryption");
    let right = same.clone().filter(|volume| {
        let path = "/etc/kubernetes/enc";
        volume["hostPath"] == path
            && volume["mountPath"] == path
            && volume["pathType"] == "Directory"
            && volume["readOnly"] == true
    });
    let right = right.count();
    counts.push(if same.count() == right { right } else { 0 });
    counts
}

fn parsed(text: &str) -> Value {
    document_of(text).unwrap().value
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn the_wanted_things_are_there_once_and_all_else_is_as_before(document in configuration()) {
        let before = serde_json::to_string(&document).unwrap();
        // A key that is given twice is another matter.
        prop_assume!(document_of(&before).is_ok());
        let lacked = lacks(&before, &wanted()).unwrap();
        let after = brought_in_line(&before, &wanted()).unwrap();
        prop_assert_eq!(lacked.is_empty(), after.is_none());
        prop_assert_eq!(after.is_none(), right_ones(&parsed(&before)) == [1, 1, 1]);
        if let Some(after) = after {
            prop_assert_eq!(rest(parsed(&before)), rest(parsed(&after)), "{}", after);
            prop_assert_eq!(right_ones(&parsed(&after)), [1, 1, 1], "{}", &after);
            prop_assert_eq!(brought_in_line(&after, &wanted()), Ok(None));
            prop_assert_eq!(lacks(&after, &wanted()), Ok(Vec::new()));
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same_in_the_same_order(entries in proptest::collection::vec((key(), anything()), 1..6)) {
        let document: Mapping = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
        let text = super::writer::write(&document).unwrap();
        let json = |value: &Value| serde_json::to_string(value).unwrap();
        prop_assert_eq!(json(&parsed(&text)), json(&Value::Mapping(document)), "{}", text);
    }
}
