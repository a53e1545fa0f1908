//! Rules of the STIG, held against the facts that were read from it.

use std::collections::BTreeSet;

use super::*;
use crate::controls::{Benchmark, ControlName};

fn id(text: &str) -> ControlId {
    text.parse().unwrap()
}

/// A rule of the STIG that is about several things stands for each of them, and for nothing else.
#[test]
fn a_rule_of_the_stig_stands_for_several_controls_only_where_it_asks_for_several_things() {
    let several = |rule: &&Rule| rule.controls.len() > 1;
    let found: Vec<(&str, &[&str])> = RULES
        .iter()
        .filter(several)
        .map(|rule| (rule.vulnerability, rule.controls))
        .collect();
    let manifests_mode: &[&str] = &["CIS-1.1.1", "CIS-1.1.3", "CIS-1.1.5", "CIS-1.1.7"];
    let manifests_owner: &[&str] = &["CIS-1.1.2", "CIS-1.1.4", "CIS-1.1.6", "CIS-1.1.8"];
    let expected: Vec<(&str, &[&str])> = vec![
        ("V-242382", &["CIS-1.2.6", "CIS-1.2.7", "CIS-1.2.8"]),
        ("V-242405", manifests_owner),
        ("V-242406", &["CIS-4.1.10", "X-FILE-10"]),
        ("V-242407", &["CIS-4.1.9", "X-FILE-10"]),
        ("V-242408", manifests_mode),
        ("V-242432", &["CIS-2.4", "X-ETCD-02"]),
        ("V-242444", manifests_owner),
        ("V-242445", &["CIS-1.1.12", "X-FILE-15"]),
        ("V-242446", &["CIS-1.1.14", "CIS-1.1.16", "CIS-1.1.18"]),
        ("V-242458", manifests_mode),
        ("V-242459", &["CIS-1.1.11", "X-FILE-15"]),
        ("V-242460", &["CIS-1.1.13", "CIS-1.1.15", "CIS-1.1.17"]),
        ("V-254800", &["CIS-5.2.1", "X-API-07"]),
        ("V-254801", &["CIS-5.2.1", "X-API-08"]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn rules_of_the_stig_are_well_formed_and_stand_once() {
    let vulnerabilities: BTreeSet<&str> = RULES.iter().map(|rule| rule.vulnerability).collect();
    assert_eq!(vulnerabilities.len(), RULES.len());
    let in_force: Vec<&Rule> = RULES.iter().filter(|rule| rule.is_in_force()).collect();
    let ids: BTreeSet<&str> = in_force.iter().map(|rule| rule.id).collect();
    assert_eq!(
        ids.len(),
        in_force.len(),
        "in one release no CNTR-K8 number stands twice"
    );
    for rule in RULES {
        assert!(
            rule.vulnerability.parse::<ControlName>().is_ok(),
            "{}",
            rule.vulnerability
        );
        assert!(rule.id.parse::<ControlName>().is_ok(), "{}", rule.id);
        for control in rule.controls {
            assert!(control.parse::<ControlId>().is_ok(), "{control}");
        }
    }
}

/// What V2R6 asks of the controls of the catalogue, by control.
const STIG_OF_THE_CATALOGUE: &[(&str, &str)] = &[
    ("CIS-1.1.1", "V-242408"),
    ("CIS-1.1.2", "V-242405 V-242444"),
    ("CIS-1.1.3", "V-242408"),
    ("CIS-1.1.4", "V-242405 V-242444"),
    ("CIS-1.1.5", "V-242408"),
    ("CIS-1.1.6", "V-242405 V-242444"),
    ("CIS-1.1.7", "V-242408"),
    ("CIS-1.1.8", "V-242405 V-242444"),
    ("CIS-1.1.11", "V-242459"),
    ("CIS-1.1.12", "V-242445"),
    ("CIS-1.1.13", "V-242460"),
    ("CIS-1.1.14", "V-242446"),
    ("CIS-1.1.15", "V-242460"),
    ("CIS-1.1.16", "V-242446"),
    ("CIS-1.1.17", "V-242460"),
    ("CIS-1.1.18", "V-242446"),
    ("CIS-1.1.19", "V-242451"),
    ("CIS-1.1.20", "V-242466"),
    ("CIS-1.1.21", "V-242467"),
    ("CIS-1.2.1", "V-242390"),
    ("CIS-1.2.2", "V-245543"),
    ("CIS-1.2.4", "V-245544"),
    ("CIS-1.2.6", "V-242382"),
    ("CIS-1.2.7", "V-242382"),
    ("CIS-1.2.8", "V-242382"),
    ("CIS-1.2.16", "V-242402 V-242465"),
    ("CIS-1.2.17", "V-242464"),
    ("CIS-1.2.18", "V-242463"),
    ("CIS-1.2.19", "V-242462"),
    ("CIS-1.2.20", "V-242438"),
    ("CIS-1.2.23", "V-242430 V-242431"),
    ("CIS-1.2.24", "V-242422"),
    ("CIS-1.2.25", "V-242419"),
    ("CIS-1.2.26", "V-242429"),
    ("CIS-1.2.27", "V-274882"),
    ("CIS-1.2.29", "V-242418"),
    ("CIS-1.3.2", "V-242409"),
    ("CIS-1.3.3", "V-242381"),
    ("CIS-1.3.5", "V-242421"),
    ("CIS-1.3.7", "V-242385"),
    ("CIS-1.4.2", "V-242384"),
    ("CIS-2.1", "V-242427 V-242428"),
    ("CIS-2.2", "V-242423"),
    ("CIS-2.3", "V-242379"),
    ("CIS-2.4", "V-242432 V-242433"),
    ("CIS-2.5", "V-242426"),
    ("CIS-2.6", "V-242380"),
    ("CIS-3.2.1", "V-242461"),
    ("CIS-4.1.1", "V-242455"),
    ("CIS-4.1.2", "V-242454"),
    ("CIS-4.1.3", "V-242447"),
    ("CIS-4.1.4", "V-242448"),
    ("CIS-4.1.5", "V-242452"),
    ("CIS-4.1.6", "V-242453"),
    ("CIS-4.1.7", "V-242449"),
    ("CIS-4.1.8", "V-242450"),
    ("CIS-4.1.9", "V-242407 V-242456"),
    ("CIS-4.1.10", "V-242406 V-242457"),
    ("CIS-4.2.1", "V-242391"),
    ("CIS-4.2.2", "V-242392"),
    ("CIS-4.2.3", "V-242420"),
    ("CIS-4.2.4", "V-242387"),
    ("CIS-4.2.5", "V-245541"),
    ("CIS-4.2.7", "V-242404"),
    ("CIS-4.2.9", "V-242424 V-242425"),
    ("X-API-02", "V-245542"),
    ("X-API-03", "V-242378"),
    ("X-API-04", "V-242376"),
    ("X-API-05", "V-242377"),
    ("X-API-06", "V-242400"),
    ("X-API-08", "V-242436 V-254801"),
    ("X-API-09", "V-242389"),
    ("X-ETCD-02", "V-242432"),
    ("X-FILE-05", "V-242397"),
    ("X-KUBELET-01", "V-242434"),
];

#[test]
fn each_control_of_the_catalogue_has_the_ids_that_the_facts_give_it() {
    // Later controls have theirs in the table already, and are no part of this one.
    for (control, expected) in STIG_OF_THE_CATALOGUE {
        assert_eq!(
            Benchmark::Stig.ids(&id(control)).join(" "),
            *expected,
            "{control}"
        );
    }
    for control in [
        "CIS-1.2.3",
        "CIS-1.2.5",
        "CIS-1.4.1",
        "CIS-1.2.15",
        "CIS-4.2.6",
        "CIS-4.2.13",
        "X-API-01",
        "X-FILE-02",
        "X-FILE-04",
        "X-KUBELET-06",
        "HF-FOLDER-1",
    ] {
        assert_eq!(
            Benchmark::Stig.ids(&id(control)),
            Vec::<String>::new(),
            "{control}"
        );
    }
}

#[test]
fn later_controls_find_theirs() {
    let later = [
        ("CIS-3.2.2", "V-242403"),
        ("CIS-5.4.1", "V-242415"),
        ("X-NET-01", "V-242410 V-242411 V-242412 V-242413"),
        ("X-VER-01", "V-242442 V-242443"),
    ];
    for (control, expected) in later {
        assert_eq!(Benchmark::Stig.ids(&id(control)).join(" "), expected, "{control}");
    }
}
