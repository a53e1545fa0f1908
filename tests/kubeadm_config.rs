//! kube-system/kubeadm-config, read and written with Holdfast's own client against an API server on the loopback.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test fails loudly, and has files"
)]

#[path = "world/api_server.rs"]
mod api_server;

use std::time::Duration;

use api_server::{ApiServer, Fault, TOP_SECRET, status};
use holdfast::adapters::api::{KubeadmConfig, KubeadmWriteError, kubeadm_config, write_kubeadm_config};
use holdfast::domain::Fact;
use holdfast::kubeadm::{ApiServerExtras, HostPathMount, brought_in_line};
use holdfast::rewrite::Cause;
use serde_json::json;

const DEADLINE: Duration = Duration::from_millis(500);
const PATH: &str = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";
const WRITE_PATH: &str = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config?fieldManager=holdfast";
const TEXT: &str = "apiServer: {}\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.35.4\n";

/// A server that holds a ConfigMap with that text and more.
fn server_with(text: &str) -> ApiServer {
    let server = ApiServer::start();
    let object = json!({
        "kind": "ConfigMap",
        "metadata": {"name": "kubeadm-config", "uid": "u", "labels": {"mine": "1"}},
        "data": {"ClusterConfiguration": text, "Other": "kept"},
    });
    server.store_whole(PATH, object);
    server
}

fn block_on<T>(act: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(act)
}

fn seen(server: &ApiServer) -> KubeadmConfig {
    let seen = block_on(kubeadm_config(&server.client(DEADLINE)));
    seen.known().cloned().expect("it is there")
}

fn written(server: &ApiServer, seen: &KubeadmConfig, text: &str) -> Result<(), KubeadmWriteError> {
    block_on(write_kubeadm_config(&server.client(DEADLINE), seen, text))
}

#[test]
fn what_was_seen_is_brought_in_line_and_all_else_in_the_config_map_stays() {
    let server = server_with(TEXT);
    let before = seen(&server);
    assert_eq!(
        before,
        KubeadmConfig {
            resource_version: "101".to_owned(),
            cluster_configuration: TEXT.to_owned(),
        }
    );
    let folder = "/etc/kubernetes/enc".to_owned();
    let wanted = ApiServerExtras {
        args: vec![(
            "encryption-provider-config".to_owned(),
            format!("{folder}/config.yaml"),
        )],
        volumes: vec![HostPathMount {
            name: "encryption".to_owned(),
            host_path: folder.clone(),
            mount_path: folder,
            read_only: true,
            path_type: "Directory".to_owned(),
        }],
    };
    let text = brought_in_line(TEXT, &wanted)
        .expect("right")
        .expect("not in line");
    assert_eq!(written(&server, &before, &text), Ok(()));
    let expected = json!({
        "kind": "ConfigMap",
        "metadata": {
            "name": "kubeadm-config",
            "uid": "u",
            "labels": {"mine": "1"},
            "resourceVersion": "102",
            "managedFields": [{"manager": "holdfast"}],
        },
        "data": {"ClusterConfiguration": text, "Other": "kept"},
    });
    assert_eq!(server.whole(PATH), Some(expected));
    assert_eq!(
        server.requests(),
        [format!("GET {PATH}"), format!("PATCH {WRITE_PATH}")]
    );
    // The same text again is no write.
    let after = seen(&server);
    assert_eq!(after.cluster_configuration, text);
    assert_eq!(written(&server, &after, &text), Ok(()));
    assert_eq!(server.revision(), 102);
}

#[test]
fn somebody_elses_write_in_between_is_a_conflict_and_stays() {
    let server = server_with(TEXT);
    let before = seen(&server);
    let other = json!({"metadata": {"name": "kubeadm-config"}, "data": {"ClusterConfiguration": "theirs"}});
    server.store_whole(PATH, other);
    assert_eq!(
        written(&server, &before, "ours"),
        Err(KubeadmWriteError::Conflict)
    );
    assert_eq!(seen(&server).cluster_configuration, "theirs");
}

#[test]
fn a_cluster_without_the_config_map_was_not_made_by_kubeadm() {
    let server = ApiServer::start();
    assert_eq!(block_on(kubeadm_config(&server.client(DEADLINE))), Fact::Absent);
    let gone = KubeadmConfig {
        resource_version: "1".to_owned(),
        cluster_configuration: TEXT.to_owned(),
    };
    assert_eq!(written(&server, &gone, TEXT), Err(KubeadmWriteError::Gone));
}

#[test]
fn what_cannot_be_read_is_unknown_and_is_not_quoted() {
    let server = server_with(TEXT);
    let cases = [
        (
            200,
            r#"{"metadata":{"resourceVersion":"1"}}"#.to_owned(),
            "it holds no ClusterConfiguration",
        ),
        (
            200,
            format!(r#"{{"data":{{"a":"{TOP_SECRET}"}}}}"#),
            "its answer cannot be read at line 1, column ",
        ),
        (403, status(403, "Forbidden", "no", "{}"), "it answers 403"),
    ];
    for (code, body, why) in cases {
        server.inject(PATH, Fault::Answer(code, "", body));
        let Fact::Unknown(reason) = block_on(kubeadm_config(&server.client(DEADLINE))) else {
            panic!("{why}")
        };
        let reason = reason.to_string();
        assert!(reason.contains(why) && !reason.contains(TOP_SECRET), "{reason}");
    }
}

#[test]
fn a_refusal_a_failure_and_a_lost_answer_are_told_apart() {
    let server = server_with(TEXT);
    let say = |code: u16, message: &str| Fault::Answer(code, "", status(code, "R", message, "{}"));
    let refused = |cause| KubeadmWriteError::Refused(cause).to_string();
    let place = format!("the API server at {}, {PATH}: ", server.address());
    let unknown =
        format!("whether kube-system/kubeadm-config was written is not known; look at it again: {place}");
    let cases = [
        (
            say(403, "User \"u\" cannot patch resource \"configmaps\""),
            refused(Cause::Forbidden),
        ),
        (
            say(500, "failed calling webhook \"w.example.org\": x"),
            refused(Cause::WebhookUnreachable("w.example.org".to_owned())),
        ),
        (
            say(429, "later"),
            format!(
                "kube-system/kubeadm-config was not written: {place}the server has too much to do; try later"
            ),
        ),
        (
            say(500, "etcdserver: request timed out"),
            format!("{unknown}etcd did not take it just then"),
        ),
        (say(500, "x"), format!("{unknown}it answers 500")),
        (say(503, "shutting down"), format!("{unknown}it answers 503")),
        (
            Fault::Answer(503, "Retry-After: 1\r\n", TOP_SECRET.to_owned()),
            format!("{unknown}it answers 503"),
        ),
        (say(504, "x"), format!("{unknown}the server gave up on it (504)")),
        (
            Fault::Slow(Duration::from_secs(1)),
            format!("{unknown}no answer within 500ms"),
        ),
    ];
    for (fault, words) in cases {
        let before = seen(&server);
        server.inject(WRITE_PATH, fault);
        let error = written(&server, &before, TEXT).expect_err("it fails");
        assert_eq!(error.to_string(), words);
    }
    // The answer breaks off, and the write was done.
    server.inject(WRITE_PATH, Fault::Cut);
    let cut = written(&server, &seen(&server), "new");
    assert!(matches!(cut, Err(KubeadmWriteError::Unknown(_))), "{cut:?}");
    assert_eq!(seen(&server).cluster_configuration, "new");
}

#[test]
fn a_server_that_is_not_there_has_written_nothing() {
    let server = server_with(TEXT);
    let (api, before) = (server.client(DEADLINE), seen(&server));
    drop(server);
    let error = block_on(write_kubeadm_config(&api, &before, TEXT));
    assert!(matches!(error, Err(KubeadmWriteError::NotSent(_))), "{error:?}");
}
