use super::*;
use crate::controls::Requirement;
use crate::plan::fixtures;
use crate::plan::judge::{JudgeContext, judge};
use crate::plan::{Finding, select};

/// A cluster as kubeadm makes it, with nothing of its users' in it.
fn fresh() -> ClusterObjects {
    fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Fact<Vec<T>> {
        Fact::Known(serde_json::from_str(text).unwrap())
    }
    ClusterObjects {
        roles: parse(
            r#"[{"metadata":{"name":"cluster-admin","labels":{"kubernetes.io/bootstrapping":"rbac-defaults"}},
                 "rules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]},{"verbs":["*"],"nonResourceURLs":["*"]}]},
                {"metadata":{"name":"view"},"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]}]"#,
        ),
        bindings: parse(
            r#"[{"metadata":{"name":"cluster-admin"},"roleRef":{"kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"kind":"Group","name":"system:masters"}]},
                {"metadata":{"name":"kubeadm:cluster-admins"},"roleRef":{"kind":"ClusterRole","name":"cluster-admin"},
                 "subjects":[{"kind":"Group","name":"kubeadm:cluster-admins"}]}]"#,
        ),
        service_accounts: parse(
            r#"[{"metadata":{"name":"default","namespace":"default"},"automountServiceAccountToken":false}]"#,
        ),
        namespaces: parse(
            r#"[{"metadata":{"name":"kube-system"}},{"metadata":{"name":"kube-public"}},{"metadata":{"name":"kube-node-lease"}},
                {"metadata":{"name":"default","labels":{"pod-security.kubernetes.io/enforce":"baseline"}}}]"#,
        ),
        policies: parse(
            r#"[{"metadata":{"name":"deny","namespace":"default"},"spec":{"podSelector":{},"policyTypes":["Ingress"]}}]"#,
        ),
        pods: parse(
            r#"[{"metadata":{"name":"kube-proxy-x","namespace":"kube-system"},"spec":{"hostNetwork":true,
                 "containers":[{"name":"kube-proxy","securityContext":{"privileged":true}}]}}]"#,
        ),
        default_services: parse(r#"[{"name":"kubernetes","namespace":"default"}]"#),
        judges: Fact::Known(Vec::new()),
        stored_tokens: Fact::Known(Vec::new()),
        kube_proxy: Fact::Known(serde_json::json!({ "metricsBindAddress": "" })),
    }
}

fn judged(objects: Option<ClusterObjects>, config: &str) -> Vec<Finding> {
    judged_on(fixtures::fresh_node(), objects, config)
}

fn judged_on(mut node: Observation, objects: Option<ClusterObjects>, config: &str) -> Vec<Finding> {
    let config = crate::config::parse(config).unwrap();
    node.cluster = objects.map(Box::new);
    let controls: Vec<_> = select(&config)
        .unwrap()
        .into_iter()
        .filter(|selected| matches!(selected.control.requirement, Requirement::Cluster(_)))
        .collect();
    let layout = crate::domain::Layout::kubeadm();
    let context = JudgeContext {
        config: &config,
        layout: &layout,
        baseline: None,
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    judge(&controls, &node, &context)
}

/// The ids with that verdict.
fn with(verdict: Verdict, findings: &[Finding]) -> Vec<String> {
    let those = findings.iter().filter(|finding| finding.verdict == verdict);
    those.map(|finding| finding.id().to_string()).collect()
}

fn drifts(change: impl FnOnce(&mut ClusterObjects)) -> Vec<String> {
    let mut objects = fresh();
    change(&mut objects);
    with(Verdict::Drift, &judged(Some(objects), "{}"))
}

fn add<T: serde::de::DeserializeOwned>(fact: &mut Fact<Vec<T>>, text: &str) {
    let Fact::Known(list) = fact else {
        panic!("it is known")
    };
    list.push(serde_json::from_str(text).unwrap());
}

const ATTESTED: [&str; 6] = [
    "CIS-3.1.1",
    "CIS-3.1.2",
    "CIS-3.1.3",
    "CIS-5.3.1",
    "CIS-5.4.2",
    "CIS-5.6.1",
];

#[test]
fn what_is_not_asked_for_is_not_looked_at_and_what_cannot_be_had_is_unknown() {
    let all = judged(None, "{}");
    assert_eq!((all.len(), with(Verdict::NotLookedAt, &all).len()), (40, 40));
    let why = Reason::new("connection refused");
    let all = judged(Some(ClusterObjects::unknown(&why)), "{}");
    assert_eq!(with(Verdict::Unknown, &all).len(), 40);
}

#[test]
fn of_a_fresh_cluster_only_images_are_not_verified_and_what_people_must_say_is_unknown() {
    let all = judged(Some(fresh()), "{}");
    assert_eq!(with(Verdict::Drift, &all), ["CIS-5.5.1"]);
    assert_eq!(with(Verdict::Unknown, &all), ATTESTED);
    assert_eq!(with(Verdict::Pass, &all).len(), 33);
}

#[test]
fn what_only_people_can_say_is_said_by_an_exception() {
    let config = "controls: { CIS-3.1.1: { exception: { reason: \"OIDC\" } }, CIS-5.3.1: { exception: { reason: \"Cilium\", until: 1969-01-01 } } }";
    let all = judged(Some(fresh()), config);
    assert_eq!(with(Verdict::Excepted, &all), ["CIS-3.1.1"]);
    assert!(
        with(Verdict::Unknown, &all).contains(&"CIS-5.3.1".to_owned()),
        "its time is over"
    );
    let unreadable = judged(
        Some(ClusterObjects::unknown(&Reason::new("x"))),
        "controls: { CIS-5.1.1: { exception: { reason: y } } }",
    );
    assert!(with(Verdict::Unknown, &unreadable).contains(&"CIS-5.1.1".to_owned()));
}

#[test]
fn a_binding_is_told_by_each_right_that_it_gives() {
    let admin = r#"{"metadata":{"name":"b"},"roleRef":{"kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"kind":"User","name":"x"}]}"#;
    let found = drifts(|objects| add(&mut objects.bindings, admin));
    let rights = [
        "5.1.1", "5.1.2", "5.1.4", "5.1.8", "5.1.9", "5.1.10", "5.1.11", "5.1.12", "5.1.13",
    ];
    let mut expected: Vec<String> = rights.iter().map(|number| format!("CIS-{number}")).collect();
    expected.push("CIS-5.5.1".to_owned());
    assert_eq!(found, expected);
    let view = r#"{"metadata":{"name":"b"},"roleRef":{"kind":"ClusterRole","name":"view"},"subjects":[{"kind":"User","name":"x"}]}"#;
    assert_eq!(drifts(|objects| add(&mut objects.bindings, view)), ["CIS-5.5.1"]);
    let masters = view.replace("\"User\",\"name\":\"x\"", "\"Group\",\"name\":\"system:masters\"");
    assert_eq!(
        drifts(|objects| add(&mut objects.bindings, &masters)),
        ["CIS-5.1.7", "CIS-5.5.1"]
    );
    let default = view.replace(
        "\"User\",\"name\":\"x\"",
        "\"ServiceAccount\",\"name\":\"default\",\"namespace\":\"a\"",
    );
    assert_eq!(
        drifts(|objects| add(&mut objects.bindings, &default)),
        ["CIS-5.1.5", "CIS-5.5.1"]
    );
}

#[test]
fn a_role_that_may_do_everything_is_cluster_admin_under_another_name() {
    let role =
        r#"{"metadata":{"name":"root"},"rules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}]}"#;
    let binding = r#"{"metadata":{"name":"b"},"roleRef":{"kind":"ClusterRole","name":"root"},"subjects":[{"kind":"User","name":"x"}]}"#;
    let found = drifts(|objects| {
        add(&mut objects.roles, role);
        add(&mut objects.bindings, binding);
    });
    assert!(found.contains(&"CIS-5.1.1".to_owned()), "{found:?}");
}

#[test]
fn each_other_object_is_told_by_its_control() {
    let one = |id: &str| vec![id.to_owned(), "CIS-5.5.1".to_owned()];
    let sorted = |id: &str| {
        let mut ids = one(id);
        ids.sort_by_key(|id| crate::controls::sort_key(&id.parse().unwrap()));
        ids
    };
    let star = r#"{"metadata":{"name":"r","namespace":"a"},"rules":[{"verbs":["get"],"apiGroups":["*"],"resources":["pods"]}]}"#;
    assert_eq!(
        drifts(|objects| add(&mut objects.roles, star)),
        sorted("CIS-5.1.3")
    );
    let account = r#"{"metadata":{"name":"default","namespace":"a"}}"#;
    assert_eq!(
        drifts(|objects| add(&mut objects.service_accounts, account)),
        sorted("CIS-5.1.5")
    );
    let service = r#"{"name":"web","namespace":"default"}"#;
    assert_eq!(
        drifts(|objects| add(&mut objects.default_services, service)),
        sorted("CIS-5.6.4")
    );
    let token = r#"{"name":"old","namespace":"a"}"#;
    assert_eq!(
        drifts(|objects| add(&mut objects.stored_tokens, token)),
        sorted("HF-CLUSTER-1")
    );
    let proxy = |address: &str| {
        let config = serde_json::json!({ "metricsBindAddress": address });
        drifts(|objects| objects.kube_proxy = Fact::Known(config))
    };
    for outward in ["0.0.0.0:10249", "[::]:10249", "10.0.0.1:10249", "node:10249"] {
        assert_eq!(proxy(outward), sorted("CIS-4.3.1"), "{outward}");
    }
    for own in ["127.0.0.1:10249", "[::1]:10249", "127.0.0.1", "::1"] {
        assert_eq!(proxy(own), ["CIS-5.5.1"], "{own}");
    }
}

#[test]
fn a_namespace_wants_a_label_a_policy_and_one_that_denies() {
    let space = r#"{"metadata":{"name":"a","labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}"#;
    let with_policy = |policy: &str| {
        drifts(|objects| {
            add(&mut objects.namespaces, space);
            if !policy.is_empty() {
                add(&mut objects.policies, policy);
            }
        })
    };
    assert_eq!(
        with_policy(""),
        ["CIS-5.2.1", "CIS-5.3.2", "CIS-5.5.1", "HF-CLUSTER-2"]
    );
    let denies = r#"{"metadata":{"name":"p","namespace":"a"},"spec":{"podSelector":{},"policyTypes":["Ingress","Egress"]}}"#;
    assert_eq!(with_policy(denies), ["CIS-5.2.1", "CIS-5.5.1"]);
    for other in [
        denies.replace("{},", r#"{"matchLabels":{"app":"x"}},"#),
        denies.replace("[\"Ingress\",", "["),
        denies.replace("\"policyTypes\"", "\"ingress\":[{}],\"policyTypes\""),
    ] {
        assert_ne!(other, denies);
        assert_eq!(
            with_policy(&other),
            ["CIS-5.2.1", "CIS-5.5.1", "HF-CLUSTER-2"],
            "{other}"
        );
    }
}

fn judge_of(resource: &str) -> crate::cluster::Judge {
    let text = format!(r#"{{"operations":["CREATE"],"apiGroups":["*"],"resources":["{resource}"]}}"#);
    crate::cluster::Judge {
        name: "engine".to_owned(),
        rules: vec![serde_json::from_str(&text).unwrap()],
    }
}

#[test]
fn what_a_webhook_makes_of_pods_cannot_be_told() {
    for resource in ["*", "*/*", "pods", "pods/*"] {
        let mut objects = fresh();
        objects.judges = Fact::Known(vec![judge_of(resource)]);
        add(&mut objects.namespaces, r#"{"metadata":{"name":"a"}}"#);
        let unknown = with(Verdict::Unknown, &judged(Some(objects), "{}"));
        for id in ["CIS-5.2.1", "CIS-5.5.1"] {
            assert!(unknown.contains(&id.to_owned()), "{resource}: {unknown:?}");
        }
    }
    for resource in ["deployments", "pods/exec"] {
        let found = drifts(|objects| objects.judges = Fact::Known(vec![judge_of(resource)]));
        assert_eq!(found, ["CIS-5.5.1"], "{resource}");
    }
}

#[test]
fn a_default_account_is_also_a_user_and_in_groups() {
    let bound = |subject: &str| {
        let text = format!(
            r#"{{"metadata":{{"name":"b"}},"roleRef":{{"kind":"ClusterRole","name":"view"}},"subjects":[{subject}]}}"#
        );
        drifts(|objects| add(&mut objects.bindings, &text)).contains(&"CIS-5.1.5".to_owned())
    };
    assert!(bound(
        r#"{"kind":"ServiceAccount","name":"default","namespace":"a"}"#
    ));
    assert!(bound(
        r#"{"kind":"User","name":"system:serviceaccount:a:default"}"#
    ));
    assert!(bound(r#"{"kind":"Group","name":"system:serviceaccounts"}"#));
    assert!(bound(r#"{"kind":"Group","name":"system:serviceaccounts:a"}"#));
    assert!(!bound(
        r#"{"kind":"User","name":"system:serviceaccount:a:robot"}"#
    ));
    assert!(!bound(
        r#"{"kind":"ServiceAccount","name":"robot","namespace":"a"}"#
    ));
    let issuer = r#"{"metadata":{"name":"system:service-account-issuer-discovery"},"roleRef":{"kind":"ClusterRole",
        "name":"system:service-account-issuer-discovery"},"subjects":[{"kind":"Group","name":"system:serviceaccounts"}]}"#;
    assert_eq!(
        drifts(|objects| add(&mut objects.bindings, issuer)),
        ["CIS-5.5.1"]
    );
}

#[test]
fn what_the_api_server_is_told_counts_and_flags_that_are_not_understood_prove_nothing() {
    let with_flags = |from: &str, to: &str| {
        let mut node = fixtures::fresh_node();
        let text = fixtures::manifest_text(Component::ApiServer).replacen(from, to, 1);
        fixtures::replace_manifest(&mut node, Component::ApiServer, &text);
        let all = judged_on(node, Some(fresh()), "{}");
        ["CIS-5.2.1", "CIS-5.5.1"].map(|id| all.iter().find(|one| one.id().as_str() == id).unwrap().verdict)
    };
    let command = "    - kube-apiserver\n";
    assert_eq!(
        with_flags(
            command,
            "    - kube-apiserver\n    - --admission-control-config-file=/x\n"
        ),
        [Verdict::Unknown, Verdict::Drift]
    );
    assert_eq!(
        with_flags("=NodeRestriction", "=NodeRestriction,ImagePolicyWebhook"),
        [Verdict::Pass, Verdict::Pass]
    );
    assert_eq!(
        with_flags(command, "    - sh\n    - -c\n    - kube-apiserver\n"),
        [Verdict::Unknown; 2]
    );
}

#[test]
fn what_the_api_server_keeps_namespaces_to_by_itself_counts_as_their_label() {
    const UNLABELLED: &str = r#"{"metadata":{"name":"bare"}}"#;
    let judged = |defaults: &str| {
        let mut node = fixtures::fresh_node();
        let text = fixtures::manifest_text(Component::ApiServer).replacen(
            "    - kube-apiserver\n",
            "    - kube-apiserver\n    - --admission-control-config-file=/etc/kubernetes/pki/admission.yaml\n",
            1,
        );
        fixtures::replace_manifest(&mut node, Component::ApiServer, &text);
        let config = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n- name: PodSecurity\n  configuration:\n    \
             apiVersion: pod-security.admission.config.k8s.io/v1\n    kind: PodSecurityConfiguration\n    {defaults}\n"
        );
        let document = serde_yaml::from_str(&config).unwrap();
        node.documents.insert(
            fixtures::path("/etc/kubernetes/pki/admission.yaml"),
            Fact::Known(document),
        );
        let mut objects = fresh();
        add(&mut objects.namespaces, UNLABELLED);
        let all = judged_on(node, Some(objects), "{}");
        all.iter()
            .find(|one| one.id().as_str() == "CIS-5.2.1")
            .unwrap()
            .verdict
    };
    for (defaults, verdict) in [
        ("defaults: {enforce: privileged}", Verdict::Drift),
        ("defaults: {enforce: baseline}", Verdict::Pass),
        (
            "defaults: {enforce: baseline}\n    exemptions: {namespaces: [bare]}",
            Verdict::Drift,
        ),
        (
            "defaults: {enforce: baseline}\n    exemptions: {usernames: [u]}",
            Verdict::Unknown,
        ),
    ] {
        assert_eq!(judged(defaults), verdict, "{defaults}");
    }
}

#[test]
fn a_pod_of_nobodys_care_is_told_by_what_it_lacks() {
    let bare = r#"{"metadata":{"name":"p","namespace":"default"},"spec":{"containers":[{"name":"c"}]}}"#;
    let found = drifts(|objects| add(&mut objects.pods, bare));
    let lacks = [
        "5.2.6", "5.2.7", "5.2.8", "5.2.9", "5.5.1", "5.6.2", "5.6.3", "5.6.4",
    ];
    let expected: Vec<String> = lacks.iter().map(|number| format!("CIS-{number}")).collect();
    assert_eq!(found, expected, "its token is refused by its service account");
}
