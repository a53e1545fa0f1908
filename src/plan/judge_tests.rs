//! The whole catalogue held against whole nodes.

#[path = "../../tests/fresh_node/mod.rs"]
mod fresh_node;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::finding::{Evidence, Finding, Verdict};
use super::fixtures::{edit_file, entry, facts, fresh_node, manifest, path, process};
use super::judge::{JudgeContext, judge, piece};
use super::select::{Selected, select};
use crate::config::{Config, ControlSetting, Exception};
use crate::controls::catalogue;
use crate::domain::{Component, Fact, FileKind, Layout, Observation, Owner};
use fresh_node::FAILS_FRESH;

/// In the order of [`Component::ALL`].
macro_rules! genuine {
    ($version:literal) => {
        [
            include_str!(concat!(
                "../../tests/manifests/",
                $version,
                "/kube-scheduler.yaml"
            )),
            include_str!(concat!(
                "../../tests/manifests/",
                $version,
                "/kube-controller-manager.yaml"
            )),
            include_str!(concat!(
                "../../tests/manifests/",
                $version,
                "/kube-apiserver.yaml"
            )),
            include_str!(concat!("../../tests/manifests/", $version, "/etcd.yaml")),
        ]
    };
}

fn judged(observation: &Observation, config: &Config) -> Vec<Finding> {
    let layout = Layout::kubeadm();
    let context = JudgeContext {
        config,
        layout: &layout,
        baseline: Some(&[]),
        now: "2026-06-01T00:00:00Z".parse().unwrap(),
    };
    judge(&select(config).unwrap(), observation, &context)
}

/// What is found of one control, by this configuration and at this time.
pub(super) fn finding_at(node: &Observation, id: &str, config: &str, now: &str) -> Finding {
    let config = crate::config::parse(config).unwrap();
    let layout = Layout::kubeadm();
    let context = JudgeContext {
        config: &config,
        layout: &layout,
        baseline: Some(&[]),
        now: now.parse().unwrap(),
    };
    let mut findings = judge(&select(&config).unwrap(), node, &context);
    findings.retain(|finding| finding.id().as_str() == id);
    findings.pop().unwrap()
}

fn ids_with(findings: &[Finding], verdict: Verdict) -> Vec<&str> {
    let of_verdict = findings.iter().filter(|finding| finding.verdict == verdict);
    of_verdict.map(|finding| finding.id().as_str()).collect()
}

fn finding<'a>(findings: &'a [Finding], id: &str) -> &'a Finding {
    findings
        .iter()
        .find(|finding| finding.id().as_str() == id)
        .unwrap()
}

#[test]
fn a_fresh_kubeadm_node_drifts_in_exactly_the_measured_rows() {
    let findings = judged(&fresh_node(), &Config::default());
    assert_eq!(ids_with(&findings, Verdict::Drift), FAILS_FRESH);
    assert_eq!(
        ids_with(&findings, Verdict::NotApplicable),
        [
            "CIS-1.1.9",
            "CIS-1.1.10",
            "CIS-1.2.28",
            "CIS-3.2.2",
            "CIS-4.1.3",
            "CIS-4.1.4",
            "X-API-13",
            "X-CRED-02",
            "X-FILE-12",
            "X-FILE-13",
            "X-FILE-14",
            "X-NET-02"
        ]
    );
    assert!(ids_with(&findings, Verdict::Unknown).is_empty());
}

/// As the kubeadm of each version writes them (tests/manifests).
const GENUINE: [(&str, [&str; 4]); 3] = [
    ("1.34.4", genuine!("v1.34")),
    ("1.35.4", genuine!("v1.35")),
    ("1.36.3", genuine!("v1.36")),
];

#[test]
fn kubeadms_manifests_of_three_versions_are_judged_alike_and_edited_losslessly() {
    let usual = judged(&fresh_node(), &Config::default());
    for (version, texts) in GENUINE {
        let mut node = super::fixtures::ready_to_restart();
        for (component, text) in Component::ALL.into_iter().zip(texts) {
            super::fixtures::run_manifest(&mut node, component, text);
        }
        let findings = judged(&node, &Config::default());
        for verdict in [Verdict::Drift, Verdict::Unknown] {
            assert_eq!(
                ids_with(&findings, verdict),
                ids_with(&usual, verdict),
                "{version}"
            );
        }
        let plan = super::fixtures::planned(
            "mode: enforce\n",
            &node,
            &crate::journal::JournalState::default(),
            &BTreeMap::new(),
        );
        for component in [
            Component::ApiServer,
            Component::ControllerManager,
            Component::Scheduler,
        ] {
            let of = |change: &&super::Change| change.restarts() == Some(component);
            let Some(super::Deed::EditManifest(edit)) =
                plan.changes.iter().find(of).map(|change| &change.deed)
            else {
                panic!("{version} {component}: {:#?}", plan.withheld)
            };
            let added = crate::manifest::unified_diff("m", &edit.before, &edit.after);
            let changed: Vec<&str> = added
                .lines()
                .skip(2)
                .filter(|line| line.starts_with(['+', '-']))
                .collect();
            assert_eq!(changed, ["+    - --profiling=false"], "{version} {component}");
        }
    }
}

#[test]
fn there_is_one_finding_for_each_control_in_their_order() {
    let findings = judged(&fresh_node(), &Config::default());
    let controls: Vec<_> = findings.into_iter().map(|finding| finding.control).collect();
    assert_eq!(controls, catalogue());
}

#[test]
fn without_an_account_etcd_the_data_folder_drifts_and_is_left_alone() {
    let findings = judged(&fresh_node(), &Config::default());
    assert_eq!(
        finding(&findings, "CIS-1.1.12").evidence,
        [piece(
            "/var/lib/etcd",
            Verdict::Drift,
            "etcd:etcd",
            "root:root, and there is no account etcd:etcd"
        )]
    );
}

#[test]
fn with_an_account_etcd_its_ids_are_what_counts() {
    let mut node = fresh_node();
    let etcd = Owner { uid: 997, gid: 996 };
    node.accounts
        .insert("etcd:etcd".parse().unwrap(), Fact::Known(etcd));
    let expect = |node: &Observation, verdict, actual: &str| {
        let findings = judged(node, &Config::default());
        let evidence = &finding(&findings, "CIS-1.1.12").evidence;
        assert_eq!(*evidence, [piece("/var/lib/etcd", verdict, "etcd:etcd", actual)]);
    };
    expect(&node, Verdict::Drift, "root:root");
    edit_file(&mut node, "/var/lib/etcd", |facts| facts.owner = etcd);
    expect(&node, Verdict::Pass, "997:996");
    node.accounts.clear();
    expect(&node, Verdict::Unknown, "the account etcd:etcd was not looked at");
}

#[test]
fn a_node_of_which_nothing_was_observed_is_unknown_everywhere_and_passes_nowhere() {
    let mut node = fresh_node();
    node.files.clear();
    node.listings.clear();
    node.manifests.clear();
    node.accounts.clear();
    node.certificates.clear();
    node.host = crate::domain::HostFacts::default();
    node.kubelet.config = Fact::unknown("it was not asked");
    node.kubelet.process = Fact::unknown("it was not asked");
    node.first_provider = Fact::unknown("it was not asked");
    let why = crate::domain::Reason::new("it was not asked");
    node.cluster = Some(Box::new(crate::cluster::ClusterObjects::unknown(&why)));
    node.manifest_folder = Fact::unknown("cannot list it");
    node.kubelet.process = Fact::unknown("cannot list /proc");
    let findings = judged(&node, &Config::default());
    assert_eq!(ids_with(&findings, Verdict::Unknown).len(), findings.len());
}

fn excepted(until: Option<&str>) -> Vec<Evidence> {
    let setting = ControlSetting {
        exception: Some(Exception {
            reason: "ticket 7".to_owned(),
            owner: until.map(|_| "ops".to_owned()),
            until: until.map(|until| until.parse().unwrap()),
        }),
        ..ControlSetting::default()
    };
    let config = Config {
        controls: [("CIS-1.3.2".parse().unwrap(), setting)].into(),
        ..Config::default()
    };
    let findings = judged(&fresh_node(), &config);
    finding(&findings, "CIS-1.3.2").evidence.clone()
}

#[test]
fn an_exception_that_holds_takes_the_mend_away_and_one_that_ended_does_not() {
    let object = "kube-controller-manager --profiling";
    let is = |verdict, actual: &str| {
        vec![piece(
            object,
            verdict,
            "--profiling=false",
            format!("--profiling is not given (built-in: true); {actual}"),
        )]
    };
    assert_eq!(excepted(None), is(Verdict::Excepted, "accepted: ticket 7"));
    assert_eq!(
        excepted(Some("2026-06-01T00:00:01Z")),
        is(
            Verdict::Excepted,
            "accepted until 2026-06-01T00:00:01Z: ticket 7 (ops)"
        )
    );
    let mut ended = excepted(Some("2026-06-01T00:00:00Z"));
    assert!(ended[0].mend.take().is_some());
    assert_eq!(
        ended,
        is(
            Verdict::Drift,
            "the exception for it ended at 2026-06-01T00:00:00Z (ops)"
        )
    );
}

#[test]
fn an_exception_does_not_make_an_unknown_fact_accepted() {
    let mut node = fresh_node();
    let fact = Fact::unknown("cannot read it");
    node.manifests.insert(Component::Scheduler, fact);
    let setting = ControlSetting {
        exception: Some(Exception {
            reason: "ticket 7".to_owned(),
            owner: None,
            until: None,
        }),
        ..ControlSetting::default()
    };
    let config = Config {
        controls: [("CIS-1.4.1".parse().unwrap(), setting)].into(),
        ..Config::default()
    };
    let findings = judged(&node, &config);
    let evidence = &finding(&findings, "CIS-1.4.1").evidence;
    let expected = piece(
        "kube-scheduler --profiling",
        Verdict::Unknown,
        "--profiling=false",
        "cannot read it",
    );
    assert_eq!(*evidence, [expected]);
}

fn any_kind() -> impl Strategy<Value = FileKind> {
    prop_oneof![
        4 => Just(FileKind::Regular),
        2 => Just(FileKind::Directory),
        1 => Just(FileKind::Symlink),
        1 => Just(FileKind::Special),
    ]
}

fn any_file() -> impl Strategy<Value = Fact<crate::domain::FileFacts>> {
    let known =
        (any_kind(), 0..0o10000u32, 0..3u32, 0..3u32, 1..4u64).prop_map(|(kind, mode, uid, gid, links)| {
            Fact::Known(crate::domain::FileFacts {
                owner: Owner { uid, gid },
                links,
                ..facts("x", kind, mode)
            })
        });
    prop_oneof![6 => known, 1 => Just(Fact::Absent), 1 => Just(Fact::unknown("cannot read it"))]
}

fn any_manifest(component: Component) -> impl Strategy<Value = Option<Fact<crate::domain::Manifest>>> {
    let words = prop_oneof![
        Just("--profiling=false"),
        Just("--profiling"),
        Just("--profiling=maybe"),
        Just("--config=/etc/x.yaml"),
        Just("--config"),
        Just("--audit-log-path=/x"),
        Just("--audit-log-maxage=0x1e"),
        Just("--audit-log-maxage=-"),
        Just("$(X)"),
        Just("--"),
        Just("--data-dir=relative"),
        Just("--data-dir=/nowhere"),
        Just("é"),
        Just(""),
    ];
    let known = (
        proptest::collection::vec(words, 0..6),
        any::<Option<i64>>(),
        any::<bool>(),
    )
        .prop_map(move |(words, user, empty)| {
            let mut manifest = manifest(component, super::fixtures::manifest_text(component));
            manifest.pod.run_as_user = user;
            let container = &mut manifest.pod.containers[0];
            container.args = words.into_iter().map(str::to_owned).collect();
            if empty {
                container.command.clear();
                container.image = String::new();
            }
            Some(Fact::Known(manifest))
        });
    prop_oneof![6 => known, 1 => Just(None), 1 => Just(Some(Fact::Absent)), 1 => Just(Some(Fact::unknown("cannot read it")))]
}

fn any_entries() -> impl Strategy<Value = Vec<crate::domain::FolderEntry>> {
    let names = prop_oneof![
        Just("kube-scheduler.yaml"),
        Just("kube-scheduler.yaml.bak"),
        Just(".hidden"),
        Just("a/b"),
        Just(""),
        Just("kube-vip.yaml"),
    ];
    let texts = prop_oneof![Just(super::fixtures::SCHEDULER), Just("a: ["), Just("")];
    let one = (names, texts, any_kind(), 1..3u64, any::<bool>()).prop_map(
        |(name, text, kind, links, exact_name)| {
            let mut entry = entry(name, text);
            entry.facts = facts(name, kind, 0o600);
            entry.facts.links = links;
            entry.exact_name = exact_name;
            entry
        },
    );
    proptest::collection::vec(one, 0..6)
}

fn any_node() -> impl Strategy<Value = Observation> {
    let manifests = Component::ALL.map(any_manifest);
    let processes = proptest::collection::vec(proptest::collection::vec(".{0,12}", 0..4), 0..3);
    let files = proptest::collection::vec(any_file(), 40);
    (manifests, any_entries(), processes, files, any::<u64>()).prop_map(
        |(manifests, entries, processes, files, missing)| {
            let mut node = fresh_node();
            node.manifests = Component::ALL
                .into_iter()
                .zip(manifests)
                .filter_map(|(component, fact)| Some((component, fact?)))
                .collect();
            node.manifest_folder = Fact::Known(entries);
            let processes = processes.iter().map(|argv| process(1, argv)).collect();
            node.processes
                .insert(Component::ApiServer, Fact::Known(processes));
            let places = node
                .files
                .values_mut()
                .chain(node.listings.values_mut().flat_map(|listing| match listing {
                    Fact::Known(listing) => listing.values_mut().collect(),
                    Fact::Absent | Fact::Unknown(_) => Vec::new(),
                }));
            for (place, fact) in places.zip(files) {
                *place = fact;
            }
            let mut bit = 0;
            node.files.retain(|_, _| {
                bit += 1;
                missing >> bit & 3 != 0
            });
            node.documents = BTreeMap::from([(
                path("/etc/x.yaml"),
                Fact::Known(serde_json::json!({"enableProfiling": "no"})),
            )]);
            node
        },
    )
}

proptest! {
    #[test]
    fn any_node_is_judged_without_a_panic_and_twice_the_same(node in any_node(), known in any::<bool>(), quarantine in any::<bool>()) {
        let mut config = Config::default();
        config.manifests.quarantine = quarantine;
        if known {
            config.manifests.known.push("kube-vip.yaml".to_owned());
        }
        let findings = judged(&node, &config);
        prop_assert_eq!(findings.len(), catalogue().len());
        for finding in &findings {
            for piece in &finding.evidence {
                prop_assert!(piece.mend.is_none() || piece.verdict == Verdict::Drift, "{:?}", piece);
                prop_assert!(!piece.actual.is_empty() && !piece.object.is_empty());
            }
        }
        prop_assert_eq!(findings, judged(&node, &config));
    }
}

#[test]
fn selected_controls_that_are_off_are_not_judged() {
    let none: Vec<Selected> = Vec::new();
    let layout = Layout::kubeadm();
    let config = Config::default();
    let context = JudgeContext {
        config: &config,
        layout: &layout,
        baseline: None,
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    assert_eq!(judge(&none, &fresh_node(), &context), []);
}
