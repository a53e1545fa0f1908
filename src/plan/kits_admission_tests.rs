//! Plug-ins of admission: switched on where nothing that runs would be refused, with their configuration in one file, and never half.

use super::super::change::{Deed, Plan};
use super::super::fixtures::{API_SERVER, facts, path, planned};
use super::tests::{ALLOWED, edited, folder, plan, with_manifest};
use super::*;
use crate::admission::plugin;
use crate::controls::ADMISSION;
use crate::domain::FileKind;
use crate::journal::{Act, EditedManifest, Fault, JournalState, Refusal, RefusedFlag};

const FOLDER: &str = "/etc/kubernetes/admission";
const FLAG: &str = "--admission-control-config-file=/etc/kubernetes/admission/config.yaml";

/// A node on which all of them may be switched on.
fn ready() -> Observation {
    let mut node = with_manifest(API_SERVER);
    for absent in [FOLDER, ADMISSION] {
        node.files.insert(path(absent), Fact::Absent);
    }
    node.external_ips = Fact::Known(Vec::new());
    node.beyond_baseline = Fact::Known(Vec::new());
    node
}

/// Why a control is not mended.
fn why_not(plan: &Plan, control: &str) -> Option<String> {
    let of = |held: &&Withheld| held.controls.iter().any(|id| id.as_str() == control);
    let held = plan.withheld.iter().find(of)?;
    Some(format!("{}: {}", held.reason.kind(), held.reason))
}

/// The plug-ins that will be switched on.
fn plugins(plan: &Plan) -> Vec<String> {
    let (added, _) = edited(plan);
    let value = added
        .iter()
        .find_map(|line| line.strip_prefix("- --enable-admission-plugins="));
    value.map_or_else(Vec::new, |value| value.split(',').map(str::to_owned).collect())
}

/// Which plug-ins the installed file configures.
fn configured(plan: &Plan) -> Vec<&'static str> {
    let is_it = |change: &&Change| change.deed.path().as_str() == ADMISSION;
    let install = plan.changes.iter().find(is_it).map(|change| &change.deed);
    let Some(Deed::Install { content, .. }) = install else {
        return Vec::new();
    };
    let document = serde_yaml::from_str(content).unwrap();
    ["EventRateLimit", "PodSecurity"]
        .into_iter()
        .filter(|name| plugin(&document, name).unwrap().is_some())
        .collect()
}

#[test]
fn all_of_them_are_one_edit_with_one_file() {
    let plan = plan(ALLOWED, &ready());
    assert_eq!(
        plugins(&plan),
        ["NodeRestriction", "DenyServiceExternalIPs", "EventRateLimit"]
    );
    assert_eq!(configured(&plan), ["EventRateLimit", "PodSecurity"]);
    for change in &plan.changes {
        let each: std::collections::BTreeSet<&ControlId> = change.controls.iter().collect();
        assert_eq!(each.len(), change.controls.len(), "{:?}", change.controls);
    }
    let (added, _) = edited(&plan);
    let of = |line: &str| added.iter().filter(|other| other.as_str() == line).count();
    for line in [
        &format!("- {FLAG}"),
        "- mountPath: /etc/kubernetes/admission",
        "path: /etc/kubernetes/admission",
    ] {
        assert_eq!(of(line), 1, "{line}: {added:#?}");
    }
}

#[test]
fn what_runs_and_would_be_refused_keeps_its_plug_in_off_and_no_other() {
    let named = |names: &[&str]| Fact::Known(names.iter().map(|name| (*name).to_owned()).collect());
    let mut node = ready();
    node.external_ips = named(&["default/web"]);
    let with_services = plan(ALLOWED, &node);
    assert_eq!(plugins(&with_services), ["NodeRestriction", "EventRateLimit"]);
    let why = why_not(&with_services, "CIS-1.2.3").unwrap();
    assert!(why.contains("default/web"), "{why}");

    let mut node = ready();
    node.beyond_baseline = named(&["a", "b", "c", "d", "e", "f"]);
    let with_pods = plan(ALLOWED, &node);
    assert_eq!(configured(&with_pods), ["EventRateLimit"]);
    let why = why_not(&with_pods, "X-API-07").unwrap();
    assert!(why.contains("a, b, c, d, e, and 1 more"), "{why}");

    let mut node = ready();
    node.external_ips = Fact::unknown("it answers 403");
    node.beyond_baseline = Fact::Absent;
    let unknown = plan(ALLOWED, &node);
    assert_eq!(plugins(&unknown), [""; 0]);
    for control in ["CIS-1.2.3", "CIS-1.2.9", "X-API-07"] {
        let why = why_not(&unknown, control).unwrap();
        assert!(why.starts_with("not-ready: "), "{why}");
    }
    // The file is installed once, so what may yet belong into it is waited for; not where it is not wanted.
    let config = format!("{ALLOWED}controls: {{ X-API-07: {{ conditional: report }} }}\n");
    let alone = plan(&config, &node);
    assert_eq!(plugins(&alone), ["NodeRestriction", "EventRateLimit"]);
    assert_eq!(configured(&alone), ["EventRateLimit"]);
}

#[test]
fn each_is_switched_on_alone_where_it_alone_is_allowed() {
    let allowed = |id: &str| {
        let config = format!("mode: enforce\ncontrols: {{ {id}: {{ conditional: allow }} }}\n");
        plan(&config, &ready())
    };
    let ips = allowed("CIS-1.2.3");
    assert_eq!(plugins(&ips), ["NodeRestriction", "DenyServiceExternalIPs"]);
    assert!(!edited(&ips).0.contains(&format!("- {FLAG}")));
    let events = allowed("CIS-1.2.9");
    assert_eq!(plugins(&events), ["NodeRestriction", "EventRateLimit"]);
    assert_eq!(configured(&events), ["EventRateLimit"]);
    let pods = allowed("X-API-07");
    assert_eq!(plugins(&pods), [""; 0], "it is on anyway");
    assert_eq!(configured(&pods), ["PodSecurity"]);
}

/// The plan where our file is there already, and configures these.
fn with_file(config: &str, plugins: &str) -> Plan {
    let mut node = ready();
    folder(&mut node, FOLDER, 0o755);
    let fact = facts(ADMISSION, FileKind::Regular, 0o600);
    node.files.insert(path(ADMISSION), Fact::Known(fact));
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: [{plugins}]\n"
    );
    let document = serde_yaml::from_str(&text).unwrap();
    node.documents.insert(path(ADMISSION), Fact::Known(document));
    plan(config, &node)
}

#[test]
fn a_file_that_is_there_is_used_only_if_it_configures_the_plug_in_and_nothing_that_is_not_ready() {
    const LIMITS: &str = "{apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration, limits: [{type: Server, qps: 9, burst: 9}]}";
    const DEFAULTS: &str = "{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, defaults: {enforce: LEVEL}}";
    let events = format!("{{name: EventRateLimit, configuration: {LIMITS}}}");
    let pods = |level: &str| {
        let defaults = DEFAULTS.replace("LEVEL", level);
        format!("{{name: PodSecurity, configuration: {defaults}}}")
    };
    let both = with_file(ALLOWED, &format!("{events}, {}", pods("restricted")));
    assert_eq!(why_not(&both, "CIS-1.2.9"), None);
    assert_eq!(why_not(&both, "X-API-07"), None);
    assert!(edited(&both).0.contains(&format!("- {FLAG}")));
    for (plugins, control, told) in [
        (pods("baseline"), "CIS-1.2.9", "says nothing of EventRateLimit"),
        (events.clone(), "X-API-07", "says nothing of PodSecurity"),
        (
            format!("{events}, {}", pods("privileged")),
            "X-API-07",
            "enforce is privileged",
        ),
        (
            format!("{events}, {{name: ImagePolicyWebhook, path: x}}"),
            "CIS-1.2.9",
            "configures ImagePolicyWebhook, too",
        ),
        (
            "{name: EventRateLimit, path: limits.yaml}".to_owned(),
            "CIS-1.2.9",
            "configured by limits.yaml",
        ),
        (
            "{name: EventRateLimit, configuration: {apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration}}"
                .to_owned(),
            "CIS-1.2.9",
            "no limits",
        ),
    ] {
        let plan = with_file(ALLOWED, &plugins);
        let why = why_not(&plan, control).unwrap();
        assert!(why.starts_with("not-ready: ") && why.contains(told), "{why}");
        if control == "CIS-1.2.9" {
            assert_eq!(
                self::plugins(&plan),
                ["NodeRestriction", "DenyServiceExternalIPs"],
                "never half"
            );
        }
    }
}

#[test]
fn what_the_file_says_of_another_plug_in_does_not_take_effect_unasked() {
    const BOTH: &str = include_str!("../controls/kits/admission-pods.yaml");
    let pods: serde_json::Value = serde_yaml::from_str(BOTH).unwrap();
    let events: serde_json::Value =
        serde_yaml::from_str(include_str!("../controls/kits/admission-events.yaml")).unwrap();
    let plugins = format!("{}, {}", pods[0], events[0]);
    let report = format!("{ALLOWED}controls: {{ X-API-07: {{ conditional: report }} }}\n");
    let why = why_not(&with_file(&report, &plugins), "CIS-1.2.9").unwrap();
    assert!(why.contains("configures PodSecurity, too"), "{why}");
    assert_eq!(why_not(&with_file(ALLOWED, &plugins), "CIS-1.2.9"), None);
}

#[test]
fn a_file_that_the_server_has_already_is_judged_where_it_is_mounted_from() {
    let text = API_SERVER.replace(
        "    - --etcd-servers",
        "    - --admission-control-config-file=/etc/kubernetes/pki/admission.yaml\n    - --etcd-servers",
    );
    let of = |plugins: &str| {
        let mut node = ready();
        super::super::fixtures::replace_manifest(&mut node, Component::ApiServer, &text);
        let file = "/etc/kubernetes/pki/admission.yaml";
        node.files
            .insert(path(file), Fact::Known(facts(file, FileKind::Regular, 0o600)));
        let document = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: [{plugins}]\n"
        );
        node.documents
            .insert(path(file), Fact::Known(serde_yaml::from_str(&document).unwrap()));
        plan(ALLOWED, &node)
    };
    let limits = "{name: EventRateLimit, configuration: {apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration, \
                  limits: [{type: Server, qps: 9, burst: 9}]}}";
    let with_limits = of(limits);
    assert_eq!(
        plugins(&with_limits),
        ["NodeRestriction", "DenyServiceExternalIPs", "EventRateLimit"]
    );
    assert!(configured(&with_limits).is_empty(), "nothing is installed");
    let why = why_not(&with_limits, "X-API-07").unwrap();
    assert!(
        why.contains("/etc/kubernetes/pki/admission.yaml is there, and says nothing of PodSecurity"),
        "{why}"
    );
    let without = of("");
    assert_eq!(plugins(&without), ["NodeRestriction", "DenyServiceExternalIPs"]);
}

#[test]
fn what_the_operator_requires_is_not_undone_by_a_conditional_remedy() {
    let of = |required: &str| {
        let config = format!("{ALLOWED}requiredFlags: {{ kube-apiserver: {{ {required} }} }}\n");
        let mut node = ready();
        let text = API_SERVER.replace("=NodeRestriction", "=NodeRestriction,AlwaysPullImages");
        super::super::fixtures::replace_manifest(&mut node, Component::ApiServer, &text);
        plan(&config, &node)
    };
    let list = of("enable-admission-plugins: 'NodeRestriction,AlwaysPullImages'");
    assert_eq!(plugins(&list), [""; 0]);
    for control in ["CIS-1.2.3", "CIS-1.2.9"] {
        let why = why_not(&list, control).unwrap();
        assert!(
            why.starts_with("needs-operator: ") && why.contains("requiredFlags"),
            "{why}"
        );
    }
    let suites = of("tls-cipher-suites: TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA");
    let why = why_not(&suites, "CIS-1.2.29").unwrap();
    assert!(why.contains("--tls-cipher-suites"), "{why}");
    // The flag that a plug-in brings with it is the operator's, too.
    let file = of("admission-control-config-file: /etc/a/b.yaml");
    assert!(
        !plugins(&file).contains(&"EventRateLimit".to_owned()),
        "never half"
    );
}

#[test]
fn what_the_node_refused_of_them_does_not_hold_up_what_others_want_of_the_list() {
    let mut node = ready();
    let bare = API_SERVER.replace("=NodeRestriction", "=CertificateApproval");
    super::super::fixtures::replace_manifest(&mut node, Component::ApiServer, &bare);
    let whole = "CertificateApproval,NodeRestriction,DenyServiceExternalIPs,EventRateLimit";
    let refused = |name: &str, value: &str| {
        let flag = RefusedFlag {
            name: name.parse().unwrap(),
            value: value.to_owned(),
        };
        let edit = EditedManifest {
            component: Component::ApiServer,
            path: path("/etc/kubernetes/manifests/kube-apiserver.yaml"),
            before: Digest::of(b"b"),
            after: Digest::of(b"a"),
            backup: path("/b"),
            image: "registry.k8s.io/kube-apiserver:v1.35.4".to_owned(),
            processes: vec![],
            pods: vec![],
            flags: vec![flag.clone()],
            touches_encryption: false,
            bounce: None,
        };
        let journal = JournalState {
            refusals: vec![Refusal {
                change: Digest::of(b"c"),
                act: Act::EditManifest(edit),
                fault: Fault {
                    why: "it ended".to_owned(),
                    last_words: vec![],
                    flag: Some(flag),
                },
                recovered: true,
                at: super::super::in_flight_tests::at(1),
            }],
            ..JournalState::default()
        };
        planned(ALLOWED, &node, &journal, &BTreeMap::new())
    };
    assert_eq!(plugins(&plan(ALLOWED, &node)).join(","), whole);
    let of_list = refused(
        "enable-admission-plugins",
        "DenyServiceExternalIPs,EventRateLimit",
    );
    assert_eq!(plugins(&of_list).join(","), whole, "another value was refused");
    let of_whole = refused("enable-admission-plugins", whole);
    assert_eq!(plugins(&of_whole), ["CertificateApproval", "NodeRestriction"]);
    let of_file = refused("admission-control-config-file", ADMISSION);
    assert_eq!(
        plugins(&of_file),
        ["CertificateApproval", "NodeRestriction", "DenyServiceExternalIPs"]
    );
    let why = why_not(&of_file, "CIS-1.2.9").unwrap();
    assert!(why.contains("it ended"), "{why}");
}
