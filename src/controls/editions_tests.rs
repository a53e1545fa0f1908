//! The ids of controls, held against the facts that were read from the benchmarks.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::controls::catalogue;
use crate::domain::Mode;

fn id(text: &str) -> ControlId {
    text.parse().unwrap()
}

fn number(edition: Benchmark, control: &str) -> Option<String> {
    edition.ids(&id(control)).into_iter().next()
}

/// Every control of section 1.12 whose number is not the same in all editions: by title, in kube-bench's `cfg/cis-1.8` to `cfg/cis-1.12`.
const MOVED: &[(&str, [&str; 5])] = &[
    ("CIS-1.2.12", ["1.2.13", "1.2.12", "1.2.12", "1.2.12", "1.2.12"]),
    ("CIS-1.2.13", ["1.2.14", "1.2.13", "1.2.13", "1.2.13", "1.2.13"]),
    ("CIS-1.2.14", ["1.2.15", "1.2.14", "1.2.14", "1.2.14", "1.2.14"]),
    ("CIS-1.2.15", ["1.2.16", "1.2.15", "1.2.15", "1.2.15", "1.2.15"]),
    ("CIS-1.2.16", ["1.2.17", "1.2.16", "1.2.16", "1.2.16", "1.2.16"]),
    ("CIS-1.2.17", ["1.2.18", "1.2.17", "1.2.17", "1.2.17", "1.2.17"]),
    ("CIS-1.2.18", ["1.2.19", "1.2.18", "1.2.18", "1.2.18", "1.2.18"]),
    ("CIS-1.2.19", ["1.2.20", "1.2.19", "1.2.19", "1.2.19", "1.2.19"]),
    ("CIS-1.2.20", ["1.2.21", "1.2.20", "1.2.20", "1.2.20", "1.2.20"]),
    ("CIS-1.2.21", ["1.2.22", "1.2.21", "1.2.21", "1.2.21", "1.2.21"]),
    ("CIS-1.2.22", ["1.2.23", "1.2.22", "1.2.22", "1.2.22", "1.2.22"]),
    ("CIS-1.2.23", ["1.2.24", "1.2.23", "1.2.23", "1.2.23", "1.2.23"]),
    ("CIS-1.2.24", ["1.2.25", "1.2.24", "1.2.24", "1.2.24", "1.2.24"]),
    ("CIS-1.2.25", ["1.2.26", "1.2.25", "1.2.25", "1.2.25", "1.2.25"]),
    ("CIS-1.2.26", ["1.2.27", "1.2.26", "1.2.26", "1.2.26", "1.2.26"]),
    ("CIS-1.2.27", ["1.2.28", "1.2.27", "1.2.27", "1.2.27", "1.2.27"]),
    ("CIS-1.2.28", ["1.2.29", "1.2.28", "1.2.28", "1.2.28", "1.2.28"]),
    ("CIS-1.2.29", ["1.2.30", "1.2.29", "1.2.29", "1.2.29", "1.2.29"]),
    ("CIS-1.2.30", ["", "", "", "1.2.30", "1.2.30"]),
    ("CIS-4.2.14", ["", "", "", "4.2.14", "4.2.14"]),
    ("CIS-4.3.1", ["", "4.3.1", "4.3.1", "4.3.1", "4.3.1"]),
    ("CIS-5.2.9", ["5.2.10", "5.2.10", "5.2.10", "5.2.10", "5.2.9"]),
    ("CIS-5.2.10", ["5.2.11", "5.2.11", "5.2.11", "5.2.11", "5.2.10"]),
    ("CIS-5.2.11", ["5.2.12", "5.2.12", "5.2.12", "5.2.12", "5.2.11"]),
    ("CIS-5.2.12", ["5.2.13", "5.2.13", "5.2.13", "5.2.13", "5.2.12"]),
    ("CIS-5.6.1", ["5.7.1", "5.7.1", "5.7.1", "5.6.1", "5.6.1"]),
    ("CIS-5.6.2", ["5.7.2", "5.7.2", "5.7.2", "5.6.2", "5.6.2"]),
    ("CIS-5.6.3", ["5.7.3", "5.7.3", "5.7.3", "5.6.3", "5.6.3"]),
    ("CIS-5.6.4", ["5.7.4", "5.7.4", "5.7.4", "5.6.4", "5.6.4"]),
];

/// The ids of edition 1.12, by section.
fn all_of_1_12() -> Vec<String> {
    let sections =
        "1.1:21 1.2:30 1.3:7 1.4:2 2:7 3.1:3 3.2:2 4.1:10 4.2:14 4.3:1 5.1:13 5.2:12 5.3:2 5.4:2 5.5:1 5.6:4";
    let of = |section: &str| {
        let (section, last) = section.split_once(':').unwrap();
        let last: u32 = last.parse().unwrap();
        let ids = (1..=last).map(|check| format!("CIS-{section}.{check}"));
        ids.collect::<Vec<_>>()
    };
    sections.split(' ').flat_map(of).collect()
}

#[test]
fn each_control_has_the_number_that_its_title_has_in_that_edition() {
    let all = all_of_1_12();
    assert_eq!(Some(all.len()), Benchmark::Cis12.checks());
    let moved: BTreeMap<&str, [&str; 5]> = MOVED.iter().copied().collect();
    for control in &all {
        let own = control.trim_start_matches("CIS-");
        let expected = moved.get(control.as_str()).copied().unwrap_or([own; 5]);
        for (edition, expected) in Benchmark::CIS.into_iter().zip(expected) {
            let found = number(edition, control).unwrap_or_default();
            assert_eq!(found, expected, "{control} in {}", edition.name());
        }
    }
}

#[test]
fn what_is_no_check_of_the_benchmark_has_no_number() {
    for control in [
        "CIS-1.1.22",
        "CIS-1.2.31",
        "CIS-4.2.15",
        "CIS-6.1.1",
        "CIS-2.8",
        "CIS-1.1.0",
        "X-FILE-02",
    ] {
        for edition in Benchmark::CIS {
            assert_eq!(number(edition, control), None, "{control}");
        }
    }
}

#[test]
fn no_number_of_an_edition_stands_for_two_controls_and_few_for_none() {
    let all: Vec<ControlId> = all_of_1_12().iter().map(|control| id(control)).collect();
    for edition in Benchmark::CIS {
        let numbers: Vec<String> = all.iter().flat_map(|control| edition.ids(control)).collect();
        let once: BTreeSet<&String> = numbers.iter().collect();
        assert_eq!(once.len(), numbers.len(), "{}", edition.name());
        let none = match edition {
            Benchmark::Cis8 => vec!["1.2.12", "5.2.9"],
            Benchmark::Cis9 | Benchmark::Cis10 => vec!["5.2.9"],
            Benchmark::Cis11 => vec!["4.2.15", "5.2.9"],
            Benchmark::Cis12 | Benchmark::Stig | Benchmark::Nsa => vec![],
        };
        assert_eq!(
            edition.checks(),
            Some(numbers.len() + none.len()),
            "{}",
            edition.name()
        );
        for number in none {
            assert!(!numbers.contains(&number.to_owned()), "{number}");
            let name = ControlName::Cis(edition, number.to_owned());
            assert!(name.why_none().is_some(), "{name}");
        }
        assert_eq!(ControlName::Cis(edition, "1.1.1".to_owned()).why_none(), None);
    }
}

#[test]
fn of_the_catalogue_all_and_only_rows_of_cis_have_a_number_there() {
    for control in catalogue() {
        let is_of_cis = control.id.as_str().starts_with("CIS-");
        assert_eq!(
            number(Benchmark::Cis12, control.id.as_str()).is_some(),
            is_of_cis,
            "{}",
            control.id
        );
    }
}

#[test]
fn controls_that_come_later_have_their_section_of_the_guide_too() {
    assert_eq!(Benchmark::Nsa.ids(&id("CIS-4.2.1")), ["Authentication"]);
    assert_eq!(Benchmark::Nsa.ids(&id("X-FILE-14")), ["Secrets"]);
}

#[test]
fn every_id_of_a_control_is_told_once() {
    let all = all_ids(&id("CIS-1.1.1"));
    let told: Vec<(&str, String)> = all.iter().map(|(key, ids)| (*key, ids.join(" "))).collect();
    let expected = [
        ("cis-1.10", "1.1.1"),
        ("cis-1.11", "1.1.1"),
        ("cis-1.12", "1.1.1"),
        ("cis-1.8", "1.1.1"),
        ("cis-1.9", "1.1.1"),
        ("stig", "V-242408"),
        ("stig-id", "CNTR-K8-000900"),
        ("stig-withdrawn", "V-242458"),
    ];
    assert_eq!(told, expected.map(|(key, ids)| (key, ids.to_owned())));
    assert!(all_ids(&id("HF-FOLDER-1")).is_empty());
    assert_eq!(all_ids(&id("CIS-1.2.30")).len(), 2);
}

#[test]
fn a_control_is_found_by_each_of_its_names() {
    let found = |name: &str| -> Vec<String> {
        let name: ControlName = name.parse().unwrap();
        let controls = catalogue();
        let named = controls.iter().filter(|control| name.is_of(&control.id));
        named.map(|control| control.id.to_string()).collect()
    };
    for (name, control) in [
        ("1.2.15", "CIS-1.2.15"),
        ("x-file-02", "X-FILE-02"),
        ("cis-1.8:1.2.13", "CIS-1.2.12"),
        ("CIS-1.9:1.2.13", "CIS-1.2.13"),
        ("cis-1.8:1.2.30", "CIS-1.2.29"),
        ("V-242381", "CIS-1.3.3"),
        ("cntr-k8-000220", "CIS-1.3.3"),
        ("stig:v-242381", "CIS-1.3.3"),
        // Withdrawn, and the rule that took its place.
        ("V-242440", "CIS-1.2.2"),
        ("V-245543", "CIS-1.2.2"),
        ("V-242386", "X-API-01"),
    ] {
        assert_eq!(found(name), [control], "{name}");
    }
    assert_eq!(
        found("V-242408"),
        ["CIS-1.1.1", "CIS-1.1.3", "CIS-1.1.5", "CIS-1.1.7"]
    );
    for nothing in ["cis-1.8:1.2.12", "cis-1.10:1.2.30", "V-242395", "cis-1.12:9.9"] {
        assert!(found(nothing).is_empty(), "{nothing}");
    }
    for text in [
        "cis-1.7:1.1.1",
        "cis-1.8:",
        "cis-1.8:x.y",
        "cis-1.8:1",
        "V-24238",
        "V-24238x",
        "nsa:Etcd",
        "stig:1.1.1",
    ] {
        assert!(text.parse::<ControlName>().is_err(), "{text}");
    }
    for text in ["cis-1.8:1.2.13", "V-242381", "CNTR-K8-000220", "CIS-1.2.15"] {
        assert_eq!(text.parse::<ControlName>().unwrap().to_string(), text);
    }
}

#[test]
fn a_mode_that_differs_is_judged_by_and_told_and_every_other_difference_is_told() {
    for edition in [Benchmark::Cis8, Benchmark::Cis9, Benchmark::Cis10] {
        for control in ["CIS-1.1.20", "CIS-4.1.7"] {
            let difference = edition.difference(&id(control)).unwrap();
            assert_eq!(difference.ceiling, Some(Mode::from_bits(0o600)), "{control}");
        }
    }
    for edition in [Benchmark::Cis11, Benchmark::Cis12] {
        assert_eq!(edition.difference(&id("CIS-1.1.20")), None);
    }
    let manifest = Benchmark::Stig.difference(&id("CIS-1.1.1")).unwrap();
    assert_eq!(manifest.ceiling, Some(Mode::from_bits(0o644)));
    assert_eq!(
        Benchmark::Stig.difference(&id("CIS-1.1.21")),
        None,
        "0600, as ours"
    );
    let suites = Benchmark::Cis10.difference(&id("CIS-1.2.29")).unwrap();
    assert_eq!(
        (suites.ceiling, Benchmark::Cis12.difference(&id("CIS-1.2.29"))),
        (None, None)
    );
}

#[test]
fn what_is_asked_is_said_in_the_title_too() {
    for benchmark in Benchmark::ALL {
        for control in catalogue() {
            let Some(ceiling) = benchmark
                .difference(&control.id)
                .and_then(|difference| difference.ceiling)
            else {
                continue;
            };
            assert!(!benchmark.ids(&control.id).is_empty(), "{}", control.id);
            let asked = benchmark.asks(control).unwrap();
            assert!(
                asked.title.contains(&ceiling.to_string()),
                "{}: {}",
                asked.id,
                asked.title
            );
        }
    }
}

#[test]
fn benchmarks_are_found_by_name_and_places_follow_numbers() {
    for benchmark in Benchmark::ALL {
        assert_eq!(Benchmark::from_name(benchmark.name()), Some(benchmark));
    }
    assert_eq!(Benchmark::from_name("cis-1.7"), None);
    let place = |benchmark: Benchmark, control| benchmark.place(&id(control));
    assert!(place(Benchmark::Cis8, "CIS-1.1.2") < place(Benchmark::Cis8, "CIS-1.1.10"));
    assert!(place(Benchmark::Stig, "CIS-1.3.3") < place(Benchmark::Stig, "CIS-1.1.1"));
    assert!(place(Benchmark::Nsa, "CIS-2.1") < place(Benchmark::Nsa, "CIS-1.2.1"));
    assert_eq!(place(Benchmark::Nsa, "CIS-1.1.1"), None);
}
