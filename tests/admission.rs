//! What would be refused if plug-ins of admission were switched on, as an API server tells it.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test touches the node from outside, and fails loudly"
)]

#[path = "world/api_server.rs"]
mod api_server;

use std::time::Duration;

use api_server::{ApiServer, Fault};
use holdfast::adapters::api;
use holdfast::domain::Fact;

const DEADLINE: Duration = Duration::from_secs(2);
const SERVICES: &str = "/api/v1/services?limit=500";
const NAMESPACES: &str = "/api/v1/namespaces?limit=500";
const WARNING: &str =
    "Warning: 299 - \"existing pods in namespace \\\"a\\\" violate the new PodSecurity enforce level\"\r\n";

fn block_on<T>(act: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(act)
}

fn list(items: &str) -> String {
    format!(r#"{{"metadata":{{}},"items":[{items}]}}"#)
}

#[test]
fn services_with_external_addresses_are_named() {
    let server = ApiServer::start();
    let of = |name: &str, spec: &str| {
        format!(r#"{{"metadata":{{"name":"{name}","namespace":"default"}},"spec":{{{spec}}}}}"#)
    };
    let services = [
        of("none", ""),
        of("empty", r#""externalIPs":[]"#),
        of("null", r#""externalIPs":null"#),
        of(
            "web",
            r#""clusterIP":"10.0.0.1","externalIPs":["192.0.2.7"],"externalName":"x""#,
        ),
    ];
    server.document(SERVICES, 200, &list(&services.join(",")));
    let asked = block_on(api::services_with_external_ips(&server.client(DEADLINE)));
    assert_eq!(asked, Fact::Known(vec!["default/web".to_owned()]));
    server.document(SERVICES, 403, "{}");
    let asked = block_on(api::services_with_external_ips(&server.client(DEADLINE)));
    assert!(matches!(asked, Fact::Unknown(_)), "{asked:?}");
}

#[test]
fn a_namespace_without_a_label_is_tried_by_a_dry_run_and_a_warning_counts() {
    let server = ApiServer::start();
    let of = |name: &str, labels: &str| format!(r#"{{"metadata":{{"name":"{name}","labels":{labels}}}}}"#);
    let namespaces = [
        of("kube-system", "{}"),
        of(
            "labelled",
            r#"{"pod-security.kubernetes.io/enforce":"privileged"}"#,
        ),
        of("a", "null"),
        of("b", r#"{"pod-security.kubernetes.io/warn":"baseline"}"#),
        of("gone", "{}"),
    ];
    server.document(NAMESPACES, 200, &list(&namespaces.join(",")));
    let answered = |name: &str, code, headers, level: &str| {
        let path = format!("/api/v1/namespaces/{name}?dryRun=All");
        let labels = format!(r#"{{"pod-security.kubernetes.io/enforce":"{level}"}}"#);
        server.inject(&path, Fault::Answer(code, headers, of(name, &labels)));
    };
    let tried = |name: &str, code, headers| answered(name, code, headers, "baseline");
    tried("a", 200, WARNING);
    tried(
        "b",
        200,
        "Warning: 299 - \"a policy of somebody's does not like labels\"\r\n",
    );
    tried("gone", 404, "");
    let asked = block_on(api::namespaces_beyond_baseline(&server.client(DEADLINE)));
    assert_eq!(asked, Fact::Known(vec!["a".to_owned()]));
    let patches: Vec<String> = server
        .requests()
        .into_iter()
        .filter(|request| request.starts_with("PATCH"))
        .collect();
    assert_eq!(
        patches,
        ["a", "b", "gone"].map(|name| format!("PATCH /api/v1/namespaces/{name}?dryRun=All")),
        "nothing but dry runs, and none where it is not needed"
    );

    // What is not answered, or not what was asked, is not known.
    tried("a", 200, "");
    answered("b", 200, "", "privileged");
    let asked = block_on(api::namespaces_beyond_baseline(&server.client(DEADLINE)));
    assert!(
        matches!(&asked, Fact::Unknown(why) if why.to_string().contains("changes it")),
        "{asked:?}"
    );
    tried("a", 403, "");
    let asked = block_on(api::namespaces_beyond_baseline(&server.client(DEADLINE)));
    assert!(matches!(asked, Fact::Unknown(_)), "{asked:?}");
    let odd = of("../secrets", "{}");
    server.document(NAMESPACES, 200, &list(&odd));
    let asked = block_on(api::namespaces_beyond_baseline(&server.client(DEADLINE)));
    assert!(matches!(asked, Fact::Unknown(_)), "{asked:?}");
}
