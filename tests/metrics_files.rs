//! The alerts and the dashboard that are shipped, and the table in README: they speak of metrics that there are, and of each of them.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast::config::Action;
use holdfast::plan::WithheldReason;
use holdfast::report::{Counted, Family, Found, Measured, Standing, Summary, Walk, families, metrics_text};
use holdfast::rotation::Stage;

const RULES: &str = include_str!("../config/prometheus/holdfast.rules.yaml");
const DASHBOARD: &str = include_str!("../config/grafana/holdfast.json");
const README: &str = include_str!("../README.md");

/// What an expression here may name that is no metric: PromQL's own words, units of time, and the label of the node.
const WORDS: [&str; 15] = [
    "absent",
    "and",
    "by",
    "h",
    "increase",
    "instance",
    "label_values",
    "m",
    "offset",
    "on",
    "or",
    "rate",
    "sort",
    "sum",
    "time",
];

fn family(name: &str) -> Option<&'static Family> {
    families().iter().find(|family| family.name == name)
}

struct Alert {
    name: String,
    expression: String,
    /// Its annotations, by name.
    annotations: BTreeMap<String, String>,
}

fn alerts() -> Vec<Alert> {
    let rules: serde_json::Value = serde_yaml::from_str(RULES).expect("the rules are YAML");
    let groups = rules["groups"].as_array().expect("groups");
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules of a group"));
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    rules
        .map(|rule| {
            let severity = text(&rule["labels"]["severity"]);
            assert!(["info", "warning", "critical"].contains(&severity.as_str()));
            let annotations = rule["annotations"].as_object().expect("annotations");
            Alert {
                name: text(&rule["alert"]),
                expression: text(&rule["expr"]),
                annotations: annotations
                    .iter()
                    .map(|(name, value)| (name.clone(), text(value)))
                    .collect(),
            }
        })
        .collect()
}

/// Every expression of the dashboard: those of the panels, and the one that lists the nodes.
fn expressions_of_dashboard() -> Vec<String> {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).expect("the dashboard is JSON");
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    found
}

fn collect(value: &serde_json::Value, found: &mut Vec<String>) {
    if let Some(fields) = value.as_object() {
        let is_expression = |name: &str| ["expr", "definition"].contains(&name);
        let texts = fields.iter().filter(|(name, _)| is_expression(name));
        found.extend(texts.filter_map(|(_, value)| value.as_str()).map(str::to_owned));
        fields.values().for_each(|value| collect(value, found));
    }
    for value in value.as_array().into_iter().flatten() {
        collect(value, found);
    }
}

/// A name in an expression, with what stands in the braces behind it.
fn names(expression: &str) -> Vec<(String, String)> {
    let mut names = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
        let (_, from) = rest.split_at(start);
        let end = from.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, behind) = from.split_at(end.unwrap_or(from.len()));
        let braces = behind.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (braces, behind) = braces.unwrap_or(("", behind));
        names.push((name.to_owned(), braces.to_owned()));
        rest = behind;
    }
    names
}

/// Whatever could be told, each label with the values that it can have.
fn label_values() -> BTreeMap<(&'static str, String), BTreeSet<String>> {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let withheld = [
        WithheldReason::Refused(String::new()),
        WithheldReason::Flapping(String::new()),
    ];
    let text = metrics_text(&Measured {
        written: at,
        started: at,
        mode: Action::Audit,
        full_pass: Duration::ZERO,
        reload_refused: false,
        counted: Counted::default(),
        found: Some(Found {
            at,
            took: Duration::ZERO,
            is_paused: false,
            controls: Summary::default(),
            drifting: BTreeSet::new(),
            withheld: withheld.iter().map(|reason| (reason.kind(), 1)).collect(),
            expiries: BTreeMap::new(),
            is_stuck: false,
        }),
        standing: Standing {
            rotation: Some(Walk {
                stage: Stage::Old,
                stands_still: false,
                left: None,
            }),
            ..Standing::default()
        },
        out: BTreeSet::new(),
    });
    let mut values: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, rest)) = line.split_once('{')
            && let Some((label, rest)) = rest.split_once("=\"")
            && let Some((value, _)) = rest.split_once('"')
            && let Some(family) = family(name)
        {
            let of = (family.name, label.to_owned());
            values.entry(of).or_default().insert(value.to_owned());
        }
    }
    values
}

/// Each name is a metric, and each label and its value are ones that this metric has.
fn hold(whose: &str, expression: &str, values: &BTreeMap<(&'static str, String), BTreeSet<String>>) {
    for (name, braces) in names(expression) {
        let Some(family) = family(&name) else {
            let is_known = WORDS.contains(&name.as_str()) || family_label(&name);
            assert!(is_known, "{whose}: there is no metric {name}: {expression}");
            continue;
        };
        for matcher in braces
            .split(',')
            .map(str::trim)
            .filter(|matcher| !matcher.is_empty())
        {
            let (label, value) = matcher.split_once('=').expect("a matcher");
            if label == "instance" {
                continue;
            }
            assert_eq!(Some(label), family.label, "{whose}: {expression}");
            let known = &values[&(family.name, label.to_owned())];
            let value = value.trim_start_matches('~').trim_matches('"');
            for one in value.split('|') {
                assert!(
                    known.contains(one),
                    "{whose}: {name} has no {label}=\"{one}\": {known:?}"
                );
            }
        }
    }
}

fn family_label(name: &str) -> bool {
    families().iter().any(|family| family.label == Some(name))
}

#[test]
fn the_alerts_speak_of_metrics_and_labels_that_there_are() {
    let values = label_values();
    let alerts = alerts();
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(names.len(), alerts.len(), "no alert stands twice");
    for alert in &alerts {
        hold(&alert.name, &alert.expression, &values);
        let named: Vec<&str> = alert.annotations.keys().map(String::as_str).collect();
        assert_eq!(named, ["description", "summary"], "{}", alert.name);
        let of = names_of_families(&alert.expression);
        for text in alert.annotations.values() {
            for label in text.split("$labels.").skip(1) {
                let label = label.split([' ', '}']).next().unwrap_or_default();
                let has = |family: &&Family| family.label == Some(label);
                let is_there = label == "instance" || of.iter().any(has);
                assert!(is_there, "{}: no label {label}", alert.name);
            }
        }
    }
}

fn names_of_families(expression: &str) -> Vec<&'static Family> {
    let names = names(expression).into_iter();
    names.filter_map(|(name, _)| family(&name)).collect()
}

#[test]
fn the_dashboard_speaks_of_metrics_and_labels_that_there_are() {
    let values = label_values();
    let expressions = expressions_of_dashboard();
    assert!(expressions.len() > 20, "{expressions:?}");
    for expression in expressions {
        hold("dashboard", &expression, &values);
    }
}

#[test]
fn every_metric_is_used_by_an_alert_or_the_dashboard() {
    let alerts = alerts().into_iter().map(|alert| alert.expression);
    let used: BTreeSet<&str> = alerts
        .chain(expressions_of_dashboard())
        .flat_map(|expression| names_of_families(&expression))
        .map(|family| family.name)
        .collect();
    let all: BTreeSet<&str> = families().iter().map(|family| family.name).collect();
    assert_eq!(used, all);
}

#[test]
fn the_table_in_the_readme_is_the_table_of_metrics() {
    let rows: Vec<String> = families()
        .iter()
        .map(|family| {
            let label = family
                .label
                .map_or_else(String::new, |label| format!("{{{label}}}"));
            format!(
                "| `{}{label}` | {} | {} |",
                family.name,
                family.kind.word(),
                family.help
            )
        })
        .collect();
    let table = rows.join("\n");
    let found: Vec<&str> = README
        .lines()
        .filter(|line| line.starts_with("| `holdfast_"))
        .collect();
    assert_eq!(found.join("\n"), table);
}
