//! A node whose API server encrypts, set up by hand as the Kubernetes documents say (tasks/administer-cluster/encrypt-data).
#![allow(dead_code, reason = "each test crate uses a part of it")]
#![expect(clippy::expect_used, reason = "a test that cannot go on fails loudly")]

use std::time::Duration;

use base64::Engine as _;

use super::node::Node;

pub const CONFIG: &str = "/etc/kubernetes/enc/enc.yaml";
pub const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// How long an API server may take.
pub const READY: Duration = Duration::from_secs(180);
pub const RELOAD: &str = "--encryption-provider-config-automatic-reload=true";
/// The compaction, which is not the point, comes often.
const COMPACTION: &str = "--etcd-compaction-interval=15s";

/// What the API server is given of the configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mounted {
    /// Its folder, as it should be.
    Folder,
    /// The file alone, so that a file renamed over it is not seen before a restart.
    File,
}

/// The resource that the widgets are of.
pub const WIDGETS: &str = "widgets.example.org";
const CRD: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

/// A configuration of these resources with these providers, which are lines of a list.
pub fn config(resources: &[&str], providers: &str) -> String {
    let resources: String = resources
        .iter()
        .map(|resource| format!("      - {resource}\n"))
        .collect();
    format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n  - resources:\n{resources}    providers:\n{providers}"
    )
}

/// Providers with these keys of AES-CBC, by name and bytes, and plaintext as a read key.
pub fn aescbc(keys: &[(&str, &[u8])]) -> String {
    let keys: String = keys
        .iter()
        .map(|(name, bytes)| {
            format!(
                "            - name: {name}\n              secret: {}\n",
                encoded(bytes)
            )
        })
        .collect();
    format!("      - aescbc:\n          keys:\n{keys}      - identity: {{}}\n")
}

pub fn encoded(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("random bytes");
    bytes
}

/// Gives the API server this configuration, and a manifest that names it, with these flags more.
pub fn encrypt(node: &Node, config: &str, mounted: Mounted, flags: &[&str]) {
    node.write(CONFIG, config);
    node.sh(&format!("chmod 0700 /etc/kubernetes/enc; chmod 0600 {CONFIG}"));
    let (path, kind) = match mounted {
        Mounted::Folder => ("/etc/kubernetes/enc", "DirectoryOrCreate"),
        Mounted::File => (CONFIG, "File"),
    };
    let file = format!("--encryption-provider-config={CONFIG}");
    let flags: Vec<&str> = std::iter::once(file.as_str())
        .chain(flags.iter().copied())
        .collect();
    restart_with(
        node,
        &flags,
        &format!(
            r"-e 's#^    volumeMounts:#&\n    - mountPath: {path}\n      name: enc\n      readOnly: true#' \
              -e 's#^  volumes:#&\n  - hostPath:\n      path: {path}\n      type: {kind}\n    name: enc#'"
        ),
    );
}

/// Gives the API server these flags more, and edits its manifest by these words of sed.
pub fn restart_with(node: &Node, flags: &[&str], sed: &str) {
    let lines: String = [COMPACTION]
        .iter()
        .chain(flags)
        .map(|flag| format!("\\n    - {flag}"))
        .collect();
    node.sh(&format!(
        "sed -e 's#^    - --tls-private-key-file=.*#&{lines}#' {sed} {MANIFEST} > /root/new.yaml && chmod 0600 /root/new.yaml && \
         mv {MANIFEST} /root/old.yaml && sleep 2 && pkill -9 -x kube-apiserver; sleep 3; mv /root/new.yaml {MANIFEST}; sleep 4"
    ));
    node.await_that("the API server is ready", READY, Node::is_ready);
    node.await_that("the leaders work", READY, Node::leaders_work);
}

/// Secrets `s1`, `s2`, ... whose `a` is `value 1`, `value 2`, ...
pub fn create_secrets(node: &Node, count: u32) {
    create(node, "secrets", count, |number| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s{number}}}\nstringData: {{a: value {number}}}\n"
        )
    });
}

/// What widgets are.
pub fn define_widgets(node: &Node) {
    node.write("/root/crd.yaml", CRD);
    node.sh(&format!(
        "kubectl create -f /root/crd.yaml >/dev/null && kubectl wait --for=condition=Established crd/{WIDGETS} --timeout=60s >/dev/null"
    ));
}

/// Widgets `w1`, `w2`, ... whose `a` is `value 1`, `value 2`, ...
pub fn create_widgets(node: &Node, count: u32) {
    define_widgets(node);
    create(node, "widgets", count, |number| {
        format!(
            "apiVersion: example.org/v1\nkind: Widget\nmetadata: {{name: w{number}}}\nspec: {{a: value {number}}}\n"
        )
    });
}

fn create(node: &Node, kind: &str, count: u32, one: impl Fn(u32) -> String) {
    let all: Vec<String> = (1..=count).map(one).collect();
    let file = format!("/root/{kind}.yaml");
    node.write(&file, &all.join("---\n"));
    node.sh(&format!("kubectl create -f {file} >/dev/null"));
}

/// What was there before is under no key yet: every secret is written again, as the documents say.
pub fn rewrite_secrets(node: &Node) {
    node.sh("kubectl get secrets -A -o json | kubectl replace -f - >/dev/null");
}

/// What the API gives as the content of a secret.
pub fn content(node: &Node, secret: &str) -> String {
    node.sh(&format!(
        "kubectl get secret {secret} --ignore-not-found -o jsonpath='{{.data.a}}' | base64 -d"
    ))
}
