//! The anonymous: confined where that hurts nobody, and judged by the file that says what is left to them.

use super::super::change::Deed;
use super::super::fixtures::{API_SERVER, facts, path};
use super::super::judge::{JudgeContext, judge};
use super::super::select::select;
use super::tests::{ALLOWED, edited, folder, plan, with_manifest};
use super::*;
use crate::anonymous::Anonymous;
use crate::config::Config;
use crate::controls::AUTHENTICATION;
use crate::domain::{FileKind, Layout};

const AUTHENTICATION_FOLDER: &str = "/etc/kubernetes/authentication";

/// The lines that confine the anonymous, or why they are not confined.
fn confined(node: &Observation) -> Result<Vec<String>, String> {
    let plan = plan(ALLOWED, node);
    let of = |held: &&Withheld| held.controls.iter().any(|id| id.as_str() == "CIS-1.2.1");
    match plan.withheld.iter().find(of) {
        Some(held) => Err(held.reason.to_string()),
        None => Ok(edited(&plan).0),
    }
}

/// A node that may confine the anonymous.
fn ready(text: &str) -> Observation {
    let mut node = with_manifest(text);
    for absent in [AUTHENTICATION_FOLDER, AUTHENTICATION] {
        node.files.insert(path(absent), Fact::Absent);
    }
    node.anonymous_grants = Fact::Known(Vec::new());
    node
}

/// An AuthenticationConfiguration that says this.
fn authentication(says: &str) -> Fact<serde_json::Value> {
    let text = format!("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n{says}\n");
    Fact::Known(serde_yaml::from_str(&text).unwrap())
}

/// The server's manifest with these flags, each on a line of its own.
fn with_flags(flags: &[&str]) -> String {
    let lines: String = flags.iter().map(|flag| format!("    - {flag}\n")).collect();
    API_SERVER.replace("    - --etcd-servers", &format!("{lines}    - --etcd-servers"))
}

#[test]
fn what_the_flags_of_oidc_say_goes_into_the_configuration_and_the_flags_go() {
    let flags = [
        "--oidc-issuer-url=https://issuer.test",
        "--oidc-client-id=kubernetes",
        "--oidc-groups-claim=groups",
        "--oidc-required-claim=a=b",
        "--oidc-required-claim=c=d",
        "--oidc-ca-file=/etc/kubernetes/pki/oidc.crt",
    ];
    let mut node = ready(&with_flags(&flags));
    node.oidc_authority = Fact::Known("-----BEGIN CERTIFICATE-----\n".to_owned());
    let made = plan(ALLOWED, &node);
    let (added, removed) = edited(&made);
    for flag in flags {
        assert!(removed.contains(&format!("- {flag}")), "{flag}: {removed:#?}");
    }
    assert!(added.contains(&format!("- --authentication-config={AUTHENTICATION}")));
    let is_it = |change: &&Change| change.deed.path().as_str() == AUTHENTICATION;
    let Some(Deed::Install { content, .. }) = made.changes.iter().find(is_it).map(|change| &change.deed)
    else {
        panic!("{:?}", made.changes)
    };
    let document: serde_json::Value = serde_yaml::from_str(content).unwrap();
    assert_eq!(document["jwt"][0]["issuer"]["audiences"][0], "kubernetes");
    let anonymous = Anonymous::of(&document).unwrap();
    assert_eq!(anonymous.beyond(), Some(vec![]), "{content}");

    // Without its authority the issuer would not be believed.
    for (authority, why) in [
        (Fact::Absent, "is not there"),
        (Fact::unknown("it is a folder"), "it is a folder"),
    ] {
        node.oidc_authority = authority;
        let told = confined(&node).unwrap_err();
        assert!(
            told.contains("/etc/kubernetes/pki/oidc.crt") && told.contains(why),
            "{told}"
        );
    }
}

#[test]
fn a_configuration_that_is_there_takes_the_place_of_the_flags_only_if_it_takes_the_same_tokens() {
    let flags = [
        "--oidc-issuer-url=https://issuer.test",
        "--oidc-client-id=kubernetes",
    ];
    let with_file = |jwt: &str| {
        let mut node = ready(&with_flags(&flags));
        folder(&mut node, AUTHENTICATION_FOLDER, 0o700);
        let fact = facts(AUTHENTICATION, FileKind::Regular, 0o600);
        node.files.insert(path(AUTHENTICATION), Fact::Known(fact));
        let says = format!(
            "anonymous: {{enabled: true, conditions: [{{path: /livez}}, {{path: /readyz}}]}}\njwt: [{jwt}]"
        );
        node.documents.insert(path(AUTHENTICATION), authentication(&says));
        confined(&node)
    };
    let added = with_file("{issuer: {url: 'https://issuer.test'}}").unwrap();
    assert!(added.contains(&format!("- --authentication-config={AUTHENTICATION}")));
    for jwt in ["", "{issuer: {url: 'https://another.test'}}"] {
        let told = with_file(jwt).unwrap_err();
        assert!(told.contains("takes no tokens of https://issuer.test"), "{told}");
    }
}

#[test]
fn the_anonymous_are_confined_where_nobody_needs_more_and_the_server_takes_it() {
    let added = confined(&ready(API_SERVER)).unwrap();
    for line in [
        "- --authentication-config=/etc/kubernetes/authentication/config.yaml",
        "- mountPath: /etc/kubernetes/authentication",
    ] {
        assert!(added.contains(&line.to_owned()), "{line}: {added:#?}");
    }
    let with_flag = |flag: &str| {
        API_SERVER.replace(
            "    - --etcd-servers",
            &format!("    - {flag}\n    - --etcd-servers"),
        )
    };
    let image = |tag: &str| API_SERVER.replace("kube-apiserver:v1.35.4", tag);
    for (text, why) in [
        (
            with_flag("--anonymous-auth=true"),
            "--anonymous-auth, which it does not take",
        ),
        (
            with_flag("--oidc-issuer-url=https://issuer.test"),
            "not both given",
        ),
        (
            with_flag("--authorization-mode=Node,RBAC,Webhook"),
            "other authorizers",
        ),
        (
            with_flag("--authorization-config=/etc/a.yaml"),
            "other authorizers",
        ),
        (image("kube-apiserver:v1.33.9"), "1.33 does not take"),
        (image("kube-apiserver:latest"), "does not tell which version"),
    ] {
        let told = confined(&ready(&text)).unwrap_err();
        assert!(told.contains(why), "{told}");
    }
    let mut node = ready(API_SERVER);
    for (grants, why) in [
        (
            Fact::Known(vec!["RoleBinding a/b".to_owned()]),
            "(RoleBinding a/b)",
        ),
        (Fact::Absent, "cannot be told"),
        (Fact::unknown("it answers 403"), "it answers 403"),
    ] {
        node.anonymous_grants = grants;
        assert!(confined(&node).is_err_and(|told| told.contains(why)), "{why}");
    }
}

#[test]
fn an_authentication_file_that_is_there_is_used_if_it_confines_the_anonymous() {
    let mut node = ready(API_SERVER);
    folder(&mut node, AUTHENTICATION_FOLDER, 0o700);
    let fact = facts(AUTHENTICATION, FileKind::Regular, 0o600);
    node.files.insert(path(AUTHENTICATION), Fact::Known(fact));
    for (anonymous, is_used) in [
        (
            "{enabled: true, conditions: [{path: /livez}, {path: /readyz}]}",
            true,
        ),
        // The kubelet's probes would get 401.
        ("{enabled: false}", false),
        ("{enabled: true, conditions: [{path: /livez}]}", false),
        ("{enabled: true}", false),
        ("{enabled: true, conditions: [{path: /api}]}", false),
    ] {
        let document = authentication(&format!("anonymous: {anonymous}"));
        node.documents.insert(path(AUTHENTICATION), document);
        assert_eq!(confined(&node).is_ok(), is_used, "{anonymous}");
    }
}

/// What is found of the anonymous with the API server's file saying this.
fn found(node: &Observation, says: Fact<serde_json::Value>) -> (crate::plan::Verdict, String) {
    let mut node = node.clone();
    node.documents.insert(path("/etc/kubernetes/pki/auth.yaml"), says);
    let config = Config::default();
    let context = JudgeContext {
        config: &config,
        layout: &Layout::kubeadm(),
        baseline: Some(&[]),
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let findings = judge(&select(&config).unwrap(), &node, &context);
    let finding = findings
        .into_iter()
        .find(|finding| finding.id().as_str() == "CIS-1.2.1");
    finding
        .map(|finding| (finding.verdict, finding.evidence[0].actual.clone()))
        .unwrap()
}

#[test]
fn an_authentication_file_is_judged_by_what_it_leaves_to_the_anonymous() {
    use crate::plan::Verdict::{Drift, Pass, Unknown};
    let text = API_SERVER.replace(
        "    - --etcd-servers",
        "    - --authentication-config=/etc/kubernetes/pki/auth.yaml\n    - --etcd-servers",
    );
    let mut node = with_manifest(&text);
    node.processes.clear();
    for (says, expected) in [
        ("anonymous: {enabled: false}", Pass),
        (
            "anonymous: {enabled: true, conditions: [{path: /healthz}, {path: /livez}]}",
            Pass,
        ),
        (
            "anonymous: {enabled: true, conditions: [{path: /version}]}",
            Drift,
        ),
        ("anonymous: {enabled: true}", Drift),
        // It does not speak of them, so the other flag decides.
        ("jwt: []", Drift),
        ("anonymous: {enabled: 1}", Unknown),
    ] {
        assert_eq!(found(&node, authentication(says)).0, expected, "{says}");
    }
    assert_eq!(found(&node, Fact::unknown("EACCES")).0, Unknown);
    // How people sign in stands in a file that is named: no other takes its place.
    let mut jwt = ready(&text);
    jwt.documents
        .insert(path("/etc/kubernetes/pki/auth.yaml"), authentication("jwt: []"));
    assert!(confined(&jwt).is_err_and(|why| why.contains("`conditional: allow`")));
    // The process runs without it.
    let old = super::super::fixtures::process(7, &["kube-apiserver".to_owned()]);
    node.processes
        .insert(Component::ApiServer, Fact::Known(vec![old]));
    let (verdict, actual) = found(&node, authentication("anonymous: {enabled: false}"));
    assert!(
        verdict == Drift && actual.contains("a restart is due"),
        "{actual}"
    );
}
