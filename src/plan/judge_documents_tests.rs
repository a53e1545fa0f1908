//! Each row about a structured file: what holds, what drifts, and what is not known.

use super::super::fixtures::{API_SERVER, facts, fresh_node, path, replace_manifest};
use super::super::judge_tests::finding_at;
use super::*;
use crate::domain::FileKind;
use crate::plan::Finding;

const NOW: &str = "2026-06-01T00:00:00Z";
const FOLDER: &str = "/etc/kubernetes/pki/more";

/// A node whose API server has a flag that names such a file, with these files there.
fn with(flag: &str, files: &[(&str, Fact<&str>)]) -> Observation {
    let mut node = fresh_node();
    let text = API_SERVER.replace(
        "    - kube-apiserver\n",
        &format!("    - kube-apiserver\n    - --{flag}={FOLDER}/config.yaml\n"),
    );
    replace_manifest(&mut node, Component::ApiServer, &text);
    for (name, content) in files {
        let document = content.as_ref().map(|text| serde_yaml::from_str(text).unwrap());
        let name = path(&format!("{FOLDER}/{name}"));
        let its = facts(name.as_str(), FileKind::Regular, 0o600);
        node.documents.insert(name.clone(), document);
        node.files.insert(name, Fact::Known(its));
    }
    node
}

fn finding(node: &Observation, id: &str) -> Finding {
    finding_at(node, id, "{}", NOW)
}

fn authorization(authorizers: &str) -> Observation {
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: [{authorizers}]\n"
    );
    with(AUTHORIZATION_FILE, &[("config.yaml", Fact::Known(&text))])
}

#[test]
fn the_file_of_authorizers_decides_for_each_control_of_the_flag() {
    use Verdict::{Drift, Pass};
    let webhook = |policy: &str| format!("{{type: Webhook, name: w, webhook: {{failurePolicy: {policy}}}}}");
    let rows = [
        ("{type: Node}, {type: RBAC}".to_owned(), [Pass, Pass, Pass, Pass]),
        ("{type: RBAC}".to_owned(), [Pass, Drift, Pass, Drift]),
        ("{type: Node}".to_owned(), [Pass, Pass, Drift, Drift]),
        (
            "{type: Node}, {type: RBAC}, {type: AlwaysAllow}".to_owned(),
            [Drift, Pass, Pass, Drift],
        ),
        (
            format!("{{type: Node}}, {{type: RBAC}}, {}", webhook("Deny")),
            [Pass, Pass, Pass, Pass],
        ),
        (
            format!("{{type: Node}}, {{type: RBAC}}, {}", webhook("NoOpinion")),
            [Pass, Pass, Pass, Drift],
        ),
    ];
    for (authorizers, verdicts) in rows {
        let node = authorization(&authorizers);
        let found = ["CIS-1.2.6", "CIS-1.2.7", "CIS-1.2.8", "X-API-13"].map(|id| finding(&node, id).verdict);
        assert_eq!(found, verdicts, "{authorizers}");
    }
    assert_eq!(finding(&fresh_node(), "X-API-13").verdict, Verdict::NotApplicable);
}

#[test]
fn a_file_of_authorizers_that_cannot_be_read_is_unknown_and_one_that_others_write_drifts() {
    for content in [Fact::Absent, Fact::unknown("not YAML"), Fact::Known("kind: Pod")] {
        let node = with(AUTHORIZATION_FILE, &[("config.yaml", content.clone())]);
        for id in ["CIS-1.2.7", "X-API-13"] {
            assert_eq!(finding(&node, id).verdict, Verdict::Unknown, "{id} {content:?}");
        }
    }
    let mut node = authorization("{type: Node}, {type: RBAC}");
    let name = path(&format!("{FOLDER}/config.yaml"));
    let open = facts(name.as_str(), FileKind::Regular, 0o644);
    node.files.insert(name, Fact::Known(open));
    assert_eq!(finding(&node, "X-API-13").verdict, Verdict::Drift);
}

fn admission(plugin: &str, others: &[(&str, Fact<&str>)]) -> Observation {
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: [{plugin}]\n"
    );
    let mut files = vec![("config.yaml", Fact::Known(text.as_str()))];
    files.extend(others.iter().cloned());
    with(ADMISSION_FILE, &files)
}

#[test]
fn a_namespace_without_a_label_is_kept_to_what_the_admission_configuration_says() {
    const KIND: &str = "apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration";
    let level = |level: &str| format!("{KIND}, defaults: {{enforce: {level}}}");
    let here = |text: &str| format!("{{name: PodSecurity, configuration: {{{text}}}}}");
    let verdict = |node: &Observation| finding(node, "X-API-07").verdict;
    assert_eq!(verdict(&fresh_node()), Verdict::Drift);
    for (plugin, expected) in [
        (here(&level("baseline")), Verdict::Pass),
        (here(&level("restricted")), Verdict::Pass),
        (here(&level("privileged")), Verdict::Drift),
        (here(KIND), Verdict::Drift),
        (here(&level("strict")), Verdict::Unknown),
        ("{name: EventRateLimit, path: x}".to_owned(), Verdict::Drift),
    ] {
        assert_eq!(verdict(&admission(&plugin, &[])), expected, "{plugin}");
    }
    let text = format!("{{{}}}", level("baseline"));
    for named in ["psa.yaml", "/etc/kubernetes/pki/more/psa.yaml"] {
        let plugin = format!("{{name: PodSecurity, path: {named}}}");
        for (content, expected) in [
            (Fact::Known(text.as_str()), Verdict::Pass),
            (Fact::Absent, Verdict::Unknown),
        ] {
            let node = admission(&plugin, &[("psa.yaml", content)]);
            assert_eq!(verdict(&node), expected, "{named}");
        }
    }
    let mut off = admission(&here(&level("baseline")), &[]);
    let text = off.manifests[&Component::ApiServer].known().unwrap().text.clone();
    let flag = "    - kube-apiserver\n    - --disable-admission-plugins=A,PodSecurity\n";
    replace_manifest(
        &mut off,
        Component::ApiServer,
        &text.replacen("    - kube-apiserver\n", flag, 1),
    );
    assert_eq!(verdict(&off), Verdict::Drift, "it is switched off");
    let nowhere = admission("{name: PodSecurity, path: /nowhere/psa.yaml}", &[]);
    assert_eq!(verdict(&nowhere), Verdict::Unknown, "it is not mounted");
}

#[test]
fn the_audit_policy_must_log_what_is_sensitive() {
    let id = "CIS-3.2.2";
    let of = |rules: Fact<&str>| {
        let text = rules.map(|rules| format!("kind: Policy\nrules:\n{rules}"));
        let content = text.as_ref().map(String::as_str);
        finding(&with(AUDIT_POLICY, &[("config.yaml", content)]), id)
    };
    assert_eq!(of(Fact::Known("- level: Metadata\n")).verdict, Verdict::Pass);
    let exec = "- level: None\n  resources: [{group: \"\", resources: [pods/exec]}]\n- level: Metadata\n";
    let drift = of(Fact::Known(exec));
    let told: Vec<&str> = drift
        .with_verdict(Verdict::Drift)
        .map(|piece| piece.actual.as_str())
        .collect();
    assert_eq!(told, ["not logged: get pods/exec, create pods/exec"]);
    assert_eq!(of(Fact::Known("- level: All\n")).verdict, Verdict::Unknown);
    assert_eq!(of(Fact::Absent).verdict, Verdict::Unknown);
    assert_eq!(of(Fact::unknown("cannot read it")).verdict, Verdict::Unknown);
    assert_eq!(finding(&fresh_node(), id).verdict, Verdict::NotApplicable);
}
