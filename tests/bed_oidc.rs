//! Tokens of an OpenID Connect issuer, before and after the flags that take them have given way to a file, on a genuine kubeadm node. Run by
//! `tests/run`; by hand, as root: `cargo test --test bed_oidc -- --ignored --nocapture`.

#[path = "bed/node.rs"]
mod node;

use std::time::Duration;

use node::Node;

const RESTART: Duration = Duration::from_secs(180);
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

/// An issuer on the node: its keys and documents, served by openssl, and a token of alice's, good for an hour.
const ISSUER: &str = r#"
set -e
mkdir -p /root/issuer/.well-known && cd /root/issuer
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout tls.key -out tls.crt -subj /CN=issuer -addext subjectAltName=IP:127.0.0.1 2>/dev/null
cp tls.crt /etc/kubernetes/pki/oidc.crt
openssl genrsa -out sign.key 2048 2>/dev/null
b64() { base64 -w0 | tr '+/' '-_' | tr -d =; }
n=$(openssl rsa -in sign.key -noout -modulus | cut -d= -f2 | perl -ne 'chomp; print pack "H*", $_' | b64)
printf '{"keys":[{"kty":"RSA","alg":"RS256","use":"sig","kid":"k","e":"AQAB","n":"%s"}]}' "$n" > keys
printf '{"issuer":"https://127.0.0.1:8444","jwks_uri":"https://127.0.0.1:8444/keys","authorization_endpoint":"https://127.0.0.1:8444/a","token_endpoint":"https://127.0.0.1:8444/t","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["RS256"]}' > .well-known/openid-configuration
now=$(date +%s)
head=$(printf '{"alg":"RS256","kid":"k"}' | b64)
body=$(printf '{"iss":"https://127.0.0.1:8444","aud":"kubernetes","sub":"alice","groups":["dev"],"hd":"example.test","iat":%s,"exp":%s}' "$now" "$((now + 3600))" | b64)
sign=$(printf '%s.%s' "$head" "$body" | openssl dgst -sha256 -sign sign.key | b64)
printf '%s.%s.%s' "$head" "$body" "$sign" > token
systemd-run --quiet --unit issuer --working-directory=/root/issuer openssl s_server -quiet -accept 8444 -cert tls.crt -key tls.key -WWW
"#;

const FLAGS: [&str; 6] = [
    "--oidc-issuer-url=https://127.0.0.1:8444",
    "--oidc-client-id=kubernetes",
    "--oidc-groups-claim=groups",
    "--oidc-groups-prefix=oidc:",
    "--oidc-required-claim=hd=example.test",
    "--oidc-ca-file=/etc/kubernetes/pki/oidc.crt",
];

/// Whom the API server takes the token's bearer for; nothing when it takes him for nobody.
fn who(node: &Node) -> String {
    node.sh(
        "server=$(kubectl config view --raw -o jsonpath='{.clusters[0].cluster.server}'); \
         kubectl --kubeconfig=/dev/null --server=$server --certificate-authority=/etc/kubernetes/pki/ca.crt \
         --token=$(cat /root/issuer/token) auth whoami -o jsonpath='{.status.userInfo.username} {.status.userInfo.groups}' 2>/dev/null; true",
    )
}

#[test]
#[ignore = "needs the test bed"]
fn the_same_tokens_are_taken_when_the_flags_have_given_way_to_a_file_that_confines_the_anonymous() {
    let node = Node::fresh();
    node.sh(ISSUER);
    let lines: Vec<String> = FLAGS.iter().map(|flag| format!("    - '{flag}'")).collect();
    let former = node.read(MANIFEST);
    let with_flags = former.replace(
        "    - --secure-port=",
        &format!("{}\n    - --secure-port=", lines.join("\n")),
    );
    node.write("/root/kube-apiserver.yaml", &with_flags);
    node.sh(&format!(
        "chmod 0600 /root/kube-apiserver.yaml; mv /root/kube-apiserver.yaml {MANIFEST}"
    ));
    let expected = r#"https://127.0.0.1:8444#alice ["oidc:dev","system:authenticated"]"#;
    node.await_that("the flags take the token", RESTART, |node| {
        node.is_ready() && who(node) == expected
    });

    node.configure("mode: audit\ncontrols:\n  CIS-1.2.1: { mode: enforce, conditional: allow }\n");
    node.await_that("the flags have given way", RESTART, |node| {
        let said = node.holdfast(&["apply", "--yes"]);
        assert_ne!(said.code, 1, "{}{}", said.out, said.err);
        node.read(MANIFEST).contains("--authentication-config=")
    });
    assert!(
        !node.read(MANIFEST).contains("--oidc-"),
        "{}",
        node.read(MANIFEST)
    );
    node.await_that("the file takes the token", RESTART, |node| {
        node.is_ready() && who(node) == expected
    });
    let anonymous = node.sh(
        "server=$(kubectl config view --raw -o jsonpath='{.clusters[0].cluster.server}' | sed s,https://,,); \
         printf 'GET /version HTTP/1.0\\r\\nHost: node\\r\\n\\r\\n' | openssl s_client -quiet -connect $server 2>/dev/null | head -1",
    );
    assert!(anonymous.contains(" 401 "), "{anonymous}");
    let (_, report) = node.json(&["check"]);
    let findings = report["findings"].as_array().expect("the findings");
    let of = |finding: &&serde_json::Value| {
        finding["id"] == "CIS-1.2.1" || finding["control"]["id"] == "CIS-1.2.1"
    };
    let verdict = findings.iter().find(of).map(|finding| &finding["verdict"]);
    assert_eq!(verdict.and_then(serde_json::Value::as_str), Some("pass"));
}
