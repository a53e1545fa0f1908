use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use super::*;

fn path() -> NodePath {
    "/etc/kubernetes/admin.conf".parse().unwrap()
}

fn kubeconfig(server: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster:\n    server: {server}\nusers:\n- name: u\n  user: {user}\ncontexts:\n- name: x\n  context: {{cluster: c, user: u}}\ncurrent-context: x\n"
    )
}

/// An API server that gives these answers (status, body) in turn and tells the requests' first lines.
fn serve(answers: &'static [(u16, &'static str)]) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            sender.send(head.lines().next().unwrap().to_owned()).unwrap();
            write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
        }
    });
    (url, requests)
}

fn asked(text: &str) -> Result<ApiAnswers, (&'static str, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(ask_with(&path(), text.as_bytes(), Duration::from_millis(500)))
        .map_err(|no_answer| match no_answer {
            NoAnswer::Credentials(reason) => ("credentials", reason.to_string()),
            NoAnswer::Api(reason) => ("api", reason.to_string()),
        })
}

const NODES: &str = r#"{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"cp-1"}},{"metadata":{"name":"cp-2"}}]}"#;
const CONFIG_MAP: &str = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"kubeadm-config"},"data":{"ClusterStatus":"apiEndpoints: {cp-1: {}, cp-9: {}}"}}"#;
const FORBIDDEN: &str = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"nodes is forbidden","reason":"Forbidden","code":403}"#;
const NOT_FOUND: &str = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"configmaps \"kubeadm-config\" not found","reason":"NotFound","code":404}"#;
const BUSY: &str = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"try later","reason":"TooManyRequests","code":429}"#;

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn the_api_names_labelled_nodes_and_what_an_old_kubeadm_wrote() {
    let (url, requests) = serve(&[(200, NODES), (200, CONFIG_MAP)]);
    let expected = ApiAnswers {
        nodes: Fact::Known(set(&["cp-1", "cp-2"])),
        endpoints: Fact::Known(set(&["cp-1", "cp-9"])),
    };
    assert_eq!(asked(&kubeconfig(&url, "{}")), Ok(expected));
    let requests: Vec<String> = requests.iter().collect();
    assert_eq!(
        requests,
        [
            "GET /api/v1/nodes?&labelSelector=node-role.kubernetes.io%2Fcontrol-plane&limit=500 HTTP/1.1",
            "GET /api/v1/namespaces/kube-system/configmaps/kubeadm-config HTTP/1.1"
        ]
    );
}

#[test]
fn a_cluster_without_kubeadm_config_still_names_its_nodes() {
    let (url, _requests) = serve(&[(200, NODES), (404, NOT_FOUND)]);
    let expected = ApiAnswers {
        nodes: Fact::Known(set(&["cp-1", "cp-2"])),
        endpoints: Fact::Absent,
    };
    assert_eq!(asked(&kubeconfig(&url, "{}")), Ok(expected));
}

#[test]
fn refused_credentials_are_told_from_an_api_that_does_not_answer() {
    let (url, _requests) = serve(&[(403, FORBIDDEN)]);
    let (kind, reason) = asked(&kubeconfig(&url, "{}")).unwrap_err();
    assert_eq!(kind, "credentials");
    assert!(reason.contains("nodes is forbidden"), "{reason}");

    // One question, no retry: a second one would find no answer and another reason.
    let (url, requests) = serve(&[(429, BUSY)]);
    let (kind, reason) = asked(&kubeconfig(&url, "{}")).unwrap_err();
    assert_eq!((kind, requests.iter().count()), ("api", 1));
    assert!(reason.contains("try later"), "{reason}");
}

#[test]
fn a_hanging_api_is_given_up_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let expected = format!("the API at {url}, asked with /etc/kubernetes/admin.conf: no answer within 500ms");
    assert_eq!(asked(&kubeconfig(&url, "{}")), Err(("api", expected)));
}

#[test]
fn a_broken_kubeconfig_is_told_by_its_place_and_never_by_its_text() {
    let text = "apiVersion: v1\nusers:\n- name: u\n  user:\n    client-key-data: [c2VjcmV0a2V5]\n";
    let (kind, reason) = asked(text).unwrap_err();
    assert_eq!(kind, "credentials");
    assert!(
        reason.starts_with("/etc/kubernetes/admin.conf is not used to ask the API: it cannot be read"),
        "{reason}"
    );
    assert!(!reason.contains("c2Vjc"), "{reason}");

    let user = "{client-certificate-data: eHh4, client-key-data: c2VjcmV0a2V5}";
    let (_, reason) = asked(&kubeconfig("https://127.0.0.1:1", user)).unwrap_err();
    assert!(
        !reason.contains("c2Vjc") && !reason.contains("secretkey"),
        "{reason}"
    );
}

#[test]
fn a_kubeconfig_that_runs_a_program_or_names_files_is_not_used() {
    for (user, why) in [
        (
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: touch}}",
            "it wants a program to be run for its credentials",
        ),
        (
            "{client-certificate: /a.crt, client-key: /a.key}",
            "it names files where kubeadm embeds the credentials",
        ),
    ] {
        let expected = format!("/etc/kubernetes/admin.conf is not used to ask the API: {why}");
        assert_eq!(
            asked(&kubeconfig("https://127.0.0.1:1", user)),
            Err(("credentials", expected))
        );
    }
}

#[test]
fn an_own_kubeconfig_is_for_the_nodes_own_server_whatever_it_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let config = |more: &str| {
        let text = kubeconfig(&format!("https://192.0.2.99:6443{more}"), "{}");
        runtime
            .block_on(kubeconfig::config(&path(), text.as_bytes()))
            .unwrap()
    };
    for (ip, url) in [
        ("192.0.2.11", "https://192.0.2.11:16443/"),
        ("2001:db8::1", "https://[2001:db8::1]:16443/"),
    ] {
        let address = Address {
            ip: ip.parse().unwrap(),
            port: 16_443,
            name: "cp1".to_owned(),
        };
        let local = at(config(""), &address).unwrap();
        assert_eq!(
            (local.cluster_url.to_string(), local.tls_server_name),
            (url.to_owned(), Some("cp1".to_owned()))
        );
        let named = at(config("\n    tls-server-name: own"), &address).unwrap();
        assert_eq!(named.tls_server_name.as_deref(), Some("own"));
    }
}
