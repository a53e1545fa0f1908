//! Objects of a genuine API server, as `check --cluster` finds them.

use std::collections::BTreeSet;

use super::ids_with;
use super::node::Node;

const OBJECTS: &str = include_str!("objects/shop.yaml");

/// Controls of the API's objects among these.
fn of_cluster(ids: BTreeSet<String>) -> Vec<String> {
    let is_of_cluster = |id: &String| {
        ["CIS-3.1", "CIS-4.3", "CIS-5.", "HF-CLUSTER"]
            .iter()
            .any(|start| id.starts_with(start))
    };
    ids.into_iter().filter(is_of_cluster).collect()
}

/// They are looked at only when that is asked for, and named with the object; nothing that a Secret holds is in the report.
pub fn objects_are_told_when_they_are_asked_for(node: &Node) {
    let (_, report) = node.json(&["check"]);
    assert_eq!(of_cluster(ids_with(&report, "not-looked-at")).len(), 40);
    node.await_that(
        "every namespace has its service account",
        super::RESTART,
        |node| {
            node.sh("kubectl get serviceaccounts -A")
                .matches(" default ")
                .count()
                == 4
        },
    );
    let (code, fresh) = node.json(&["check", "--cluster"]);
    assert_eq!(code, 2);
    let nobody_cares = ["CIS-5.1.5", "CIS-5.2.1", "CIS-5.3.2", "CIS-5.5.1", "HF-CLUSTER-2"];
    assert_eq!(of_cluster(ids_with(&fresh, "drift")), nobody_cares);
    assert_eq!(of_cluster(ids_with(&fresh, "unknown")).len(), 6);

    node.sh(&format!("kubectl apply -f - >/dev/null <<'END'\n{OBJECTS}END\n"));
    let (_, report) = node.json(&["check", "--cluster"]);
    let drift = of_cluster(ids_with(&report, "drift"));
    let rights = ["1", "2", "3", "4", "5", "6", "8", "9", "10", "11", "12", "13"]
        .map(|number| format!("CIS-5.1.{number}"));
    let pods = [
        "2.1", "2.5", "2.6", "2.7", "2.8", "2.9", "3.2", "4.1", "5.1", "6.2", "6.3",
    ]
    .map(|number| format!("CIS-5.{number}"));
    let own = ["HF-CLUSTER-1", "HF-CLUSTER-2"].map(str::to_owned);
    let expected: BTreeSet<String> = rights.into_iter().chain(pods).chain(own).collect();
    assert_eq!(drift, expected.into_iter().collect::<Vec<_>>());
    let text = report.to_string();
    for told in [
        "ClusterRoleBinding system:robot",
        "ServiceAccount shop/robot may",
        "Pod shop/bare",
        "Secret shop/robot-token",
    ] {
        assert!(text.contains(told), "{told}");
    }
    let token = node.sh("kubectl -n shop get secret robot-token -o jsonpath='{.data.token}'");
    assert!(token.len() > 100 && !text.contains(token.trim()));
}
