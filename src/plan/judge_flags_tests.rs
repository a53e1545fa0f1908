//! Flags, judged by what they come to.

use super::super::fixtures::{API_SERVER, SCHEDULER, fresh_node, path, process, replace_manifest};
use super::*;
use crate::controls::{Control, Requirement, catalogue};

fn control(id: &str) -> Control {
    catalogue()
        .into_iter()
        .find(|control| control.id.as_str() == id)
        .unwrap()
}

fn judged(control: &Control, node: &Observation) -> Vec<Evidence> {
    let Requirement::Flag {
        component,
        name,
        rule,
    } = &control.requirement
    else {
        panic!("{} is about no flag", control.id);
    };
    flag(*component, name, rule, control.remedy, node)
}

/// What comes of a control of the API server when these flags are added.
fn with_flags(id: &str, flags: &[&str]) -> (Verdict, String, bool) {
    let mut node = node_with(flags);
    node.processes.clear();
    result(id, &node)
}

fn result(id: &str, node: &Observation) -> (Verdict, String, bool) {
    let [piece] = judged(&control(id), node).try_into().unwrap();
    (piece.verdict, piece.actual, piece.mend.is_some())
}

fn node_with(flags: &[&str]) -> Observation {
    let mut node = fresh_node();
    let lines: String = flags.iter().map(|flag| format!("    - {flag}\n")).collect();
    let text = API_SERVER.replacen("    image:", &format!("{lines}    image:"), 1);
    replace_manifest(&mut node, Component::ApiServer, &text);
    node
}

fn is(verdict: Verdict, actual: &str, mended: bool) -> (Verdict, String, bool) {
    (verdict, actual.to_owned(), mended)
}

const ON_THIS_DISK: &str = "; the audit is only on this disk, unless something collects it: the API server sends it nowhere (--audit-webhook-config-file)";

#[test]
fn a_flag_that_is_not_given_has_its_built_in_value_and_is_mended() {
    let mut expected = piece(
        "kube-apiserver --profiling",
        Verdict::Drift,
        "--profiling=false",
        "--profiling is not given (built-in: true)",
    );
    expected.mend = Some(Mend::Flag {
        component: Component::ApiServer,
        name: "profiling".parse().unwrap(),
        value: "false".to_owned(),
    });
    assert_eq!(judged(&control("CIS-1.2.15"), &fresh_node()), [expected]);
}

#[test]
fn a_boolean_is_judged_in_every_spelling_and_by_its_last_value() {
    use Verdict::{Drift, Pass};
    let id = "CIS-1.2.15";
    for (flags, expected) in [
        (&["--profiling=false"][..], is(Pass, "--profiling=false", false)),
        (&["--profiling=F"], is(Pass, "--profiling=F", false)),
        (&["--profiling"], is(Drift, "--profiling=true", true)),
        (
            &["--profiling=false", "--profiling=1"],
            is(Drift, "--profiling=1, given twice; the last one counts", true),
        ),
        (
            &["--profiling=1", "--profiling=true", "--profiling=0"],
            is(Pass, "--profiling=0, given 3 times; the last one counts", false),
        ),
        (
            &["--profiling=maybe"],
            is(
                Drift,
                "--profiling is \"maybe\", which is neither true nor false",
                true,
            ),
        ),
    ] {
        assert_eq!(with_flags(id, flags), expected, "{flags:?}");
    }
}

#[test]
fn a_flag_that_must_be_given_may_not_be_empty() {
    use Verdict::{Drift, Pass};
    let id = "CIS-1.2.16";
    assert_eq!(
        with_flags(id, &[]),
        is(Drift, "--audit-log-path is not given", true)
    );
    assert_eq!(
        with_flags(id, &["--audit-log-path="]),
        is(Drift, "--audit-log-path is given without a value", true)
    );
    assert_eq!(
        with_flags(id, &["--audit-log-path=/x"]),
        is(Pass, &format!("--audit-log-path=/x{ON_THIS_DISK}"), false)
    );
    assert_eq!(
        with_flags(id, &["--audit-log-path=/x", "--audit-webhook-config-file=/w"]),
        is(Pass, "--audit-log-path=/x", false)
    );
}

#[test]
fn a_number_is_read_as_go_reads_it_and_means_nothing_without_its_log() {
    use Verdict::{Drift, Pass};
    let path = "--audit-log-path=/x";
    let none = "--audit-log-path is not given, so there is nothing to keep";
    for (flags, expected) in [
        (&["--audit-log-maxage=30"][..], is(Drift, none, true)),
        (
            &[path, "--audit-log-maxage=30"],
            is(Pass, "--audit-log-maxage=30", false),
        ),
        (
            &[path, "--audit-log-maxage=0x1e"],
            is(Pass, "--audit-log-maxage=0x1e", false),
        ),
        (
            &[path, "--audit-log-maxage=030"],
            is(Drift, "--audit-log-maxage=030", true),
        ),
        (
            &[path, "--audit-log-maxage=0"],
            is(Drift, "--audit-log-maxage=0", true),
        ),
        (
            &[path, "--audit-log-maxage=-31"],
            is(Drift, "--audit-log-maxage=-31", true),
        ),
        (
            &[path, "--audit-log-maxage=30d"],
            is(
                Drift,
                "--audit-log-maxage is \"30d\", which is not a whole number",
                true,
            ),
        ),
        (
            &[path],
            is(Drift, "--audit-log-maxage is not given (built-in: 0)", true),
        ),
    ] {
        assert_eq!(with_flags("CIS-1.2.17", flags), expected, "{flags:?}");
    }
    let built_in = is(Pass, "--audit-log-maxsize is not given (built-in: 100)", false);
    assert_eq!(with_flags("CIS-1.2.19", &[path]), built_in);
}

#[test]
fn a_built_in_value_goes_by_the_version_of_the_image() {
    use Verdict::{Drift, Pass, Unknown};
    let not_told = "--audit-log-maxage is not given, and its built-in value depends on a version that the image does not tell";
    for (image, expected) in [
        (
            "x:v1.35.4",
            is(Drift, "--audit-log-maxage is not given (built-in: 0)", true),
        ),
        (
            "h:5000/x:v1.36.0-rc.1",
            is(Pass, "--audit-log-maxage is not given (built-in: 366)", false),
        ),
        (
            "x:v1.36.0@sha256:00",
            is(Pass, "--audit-log-maxage is not given (built-in: 366)", false),
        ),
        ("h:5000/x", is(Unknown, not_told, false)),
        ("x@sha256:00", is(Unknown, not_told, false)),
        ("x:latest", is(Unknown, not_told, false)),
    ] {
        let mut node = node_with(&["--audit-log-path=/x"]);
        node.processes.clear();
        if let Some(Fact::Known(manifest)) = node.manifests.get_mut(&Component::ApiServer) {
            manifest.pod.containers[0].image = image.to_owned();
        }
        assert_eq!(result("CIS-1.2.17", &node), expected, "{image}");
    }
}

#[test]
fn without_a_manifest_it_does_not_apply_and_one_that_is_not_understood_is_unknown() {
    let mut node = fresh_node();
    node.manifests.insert(Component::ApiServer, Fact::Absent);
    assert_eq!(judged(&control("CIS-1.2.15"), &node), []);
    node.manifests
        .insert(Component::ApiServer, Fact::unknown("line 3: it is not YAML"));
    assert_eq!(
        result("CIS-1.2.15", &node),
        is(Verdict::Unknown, "line 3: it is not YAML", false)
    );
    node.manifests.clear();
    assert_eq!(
        result("CIS-1.2.15", &node),
        is(
            Verdict::Unknown,
            "the manifest of kube-apiserver was not looked at",
            false
        )
    );
    let (verdict, actual, mended) = with_flags("CIS-1.2.15", &["--profiling=$(X)"]);
    assert_eq!((verdict, mended), (Verdict::Unknown, false));
    assert!(
        actual.starts_with("the command line of kube-apiserver cannot be judged"),
        "{actual}"
    );
}

/// A manifest with one flag, beside a process with another.
fn beside(written: &[&str], running: &[&str]) -> (Verdict, String, bool) {
    let mut node = node_with(written);
    let argv: Vec<String> = ["kube-apiserver"]
        .iter()
        .chain(running)
        .map(|word| (*word).to_owned())
        .collect();
    node.processes
        .insert(Component::ApiServer, Fact::Known(vec![process(7, &argv)]));
    result("CIS-1.2.15", &node)
}

#[test]
fn a_process_that_does_not_run_as_its_manifest_says_is_told() {
    use Verdict::{Drift, Pass, Unknown};
    let (off, on) = ("--profiling=false", "--profiling=true");
    assert_eq!(beside(&[off], &[off, "--v=2"]), is(Pass, off, false));
    assert_eq!(
        beside(&[off], &["--v=2"]),
        is(
            Drift,
            "--profiling=false; of the running process: --profiling is not given (built-in: true), so a restart is due",
            false
        )
    );
    assert_eq!(
        beside(&[on], &[off]),
        is(
            Drift,
            "--profiling=true; of the running process: --profiling=false",
            true
        )
    );
    assert_eq!(
        beside(&[off], &["--profiling=0"]),
        is(
            Pass,
            "--profiling=false; of the running process: --profiling=0, so a restart is due",
            false
        )
    );
    assert_eq!(beside(&[off], &["word"]).0, Unknown);
}

#[test]
fn processes_that_were_not_observed_say_nothing() {
    let mut node = node_with(&["--profiling=false"]);
    for fact in [
        Fact::Absent,
        Fact::unknown("no /proc"),
        Fact::Known(vec![]),
        Fact::Known(vec![process(7, &[])]),
    ] {
        node.processes.insert(Component::ApiServer, fact);
        assert_eq!(
            result("CIS-1.2.15", &node),
            is(Verdict::Pass, "--profiling=false", false)
        );
    }
}

fn scheduler_with(document: Option<Fact<serde_json::Value>>) -> (Verdict, String, bool) {
    let mut node = fresh_node();
    let config = "--config=/etc/kubernetes/scheduler.conf\n    - --profiling=false";
    let text = SCHEDULER.replace("--leader-elect=true", config);
    replace_manifest(&mut node, Component::Scheduler, &text);
    node.documents
        .extend(document.map(|fact| (path("/etc/kubernetes/scheduler.conf"), fact)));
    result("CIS-1.4.1", &node)
}

#[test]
fn a_schedulers_configuration_file_counts_and_not_its_flag() {
    use Verdict::{Drift, Pass, Unknown};
    let file = "/etc/kubernetes/scheduler.conf";
    let known = |value| Some(Fact::Known(value));
    let because = "enableProfiling counts instead of --profiling, because of --config";
    for (document, expected) in [
        (
            known(serde_json::json!({"enableProfiling": false})),
            is(Pass, &format!("enableProfiling is false in {file}"), false),
        ),
        (
            known(serde_json::json!({"enableProfiling": true})),
            is(Drift, &format!("enableProfiling is true in {file}"), false),
        ),
        (
            known(serde_json::json!({})),
            is(
                Drift,
                &format!("enableProfiling is not given in {file} (built-in: true)"),
                false,
            ),
        ),
        (
            known(serde_json::json!({"enableProfiling": "no"})),
            is(
                Drift,
                &format!("enableProfiling is \"no\" in {file}, which is neither true nor false"),
                false,
            ),
        ),
        (
            Some(Fact::Absent),
            is(Unknown, &format!("{because}: {file} is not there"), false),
        ),
        (
            Some(Fact::unknown("not YAML")),
            is(Unknown, &format!("{because}: not YAML"), false),
        ),
        (
            None,
            is(Unknown, &format!("{because}: {file} was not looked at"), false),
        ),
    ] {
        assert_eq!(scheduler_with(document), expected);
    }
}

#[test]
fn a_secret_in_a_flag_is_not_shown() {
    let name: FlagName = "token".parse().unwrap();
    assert_eq!(shown(&name, "abc"), "--token=[REDACTED]");
    assert_eq!(quoted(&name, "abc"), "--token is \"[REDACTED]\"");
}
