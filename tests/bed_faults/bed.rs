//! A node whose API server encrypts, set up by hand, with what Holdfast prints on it kept for the search of its keys.

use std::cell::RefCell;
use std::time::Duration;

use crate::node::{HOLDFAST, Node, Said};

pub const CONFIG: &str = "/etc/kubernetes/enc/enc.yaml";
pub const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
pub const JOURNAL: &str = "/var/lib/holdfast/journal";
pub const READY: Duration = Duration::from_secs(180);
pub const SECRETS: u32 = 100;
/// How a killed command ends: the shell says 128 and the signal, and one that became the command ends as that does.
const KILLED: [i32; 2] = [137, -1];

/// etcd, asked without Holdfast.
const ETCD: &str = r#"#!/bin/sh
exec etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt \
    --cert=/etc/kubernetes/pki/apiserver-etcd-client.crt --key=/etc/kubernetes/pki/apiserver-etcd-client.key "$@"
"#;

/// As the Kubernetes documents say (tasks/administer-cluster/encrypt-data). The compaction, which is not the point, comes every 15 s.
const BY_HAND: &str = r#"set -e
chmod 0600 /etc/kubernetes/enc/enc.yaml
manifest=/etc/kubernetes/manifests/kube-apiserver.yaml
sed -e 's#^    - --tls-private-key-file=.*#&\n    - --etcd-compaction-interval=15s\n    - --encryption-provider-config=/etc/kubernetes/enc/enc.yaml\n    - --encryption-provider-config-automatic-reload=true#' \
    -e 's#^    volumeMounts:#&\n    - mountPath: MOUNTED\n      name: enc\n      readOnly: true#' \
    -e 's#^  volumes:#&\n  - hostPath:\n      path: MOUNTED\n      type: TYPE\n    name: enc#' $manifest > /root/new.yaml
chmod 0600 /root/new.yaml
mv $manifest /root/old.yaml; sleep 2; pkill -9 -x kube-apiserver; sleep 3
mv /root/new.yaml $manifest; sleep 4
for _ in $(seq 300); do
    [ "$(kubectl --request-timeout=1s get --raw /readyz 2>/dev/null)" = ok ] && break
    sleep 0.2
done
kubectl get secrets -A -o json | kubectl replace -f - >/dev/null
kubectl create -f /root/crd.yaml >/dev/null
kubectl create -f /root/secrets.yaml >/dev/null
kubectl wait --for=condition=Established crd/widgets.example.org --timeout=30s >/dev/null
kubectl create -f /root/widgets.yaml >/dev/null
"#;

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

/// The first rows of a configuration of secrets and widgets; its providers follow.
pub const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources:
      - secrets
      - widgets.example.org
    providers:
";

/// What the API server is given of the configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mounted {
    /// Its folder, as it should be.
    Folder,
    /// The file alone, so that a file renamed over it is not seen before a restart.
    File,
}

/// A fresh node, set up.
pub struct Bed {
    pub node: Node,
    printed: RefCell<String>,
}

impl Bed {
    /// A fresh node with these providers, `SECRETS` secrets and a fifth as many widgets.
    pub fn with(providers: &str, mounted: Mounted) -> Self {
        let node = Node::fresh();
        let (path, kind) = match mounted {
            Mounted::Folder => ("/etc/kubernetes/enc", "DirectoryOrCreate"),
            Mounted::File => (CONFIG, "File"),
        };
        node.write("/root/etcd", ETCD);
        node.write("/root/crd.yaml", CRD);
        node.write(CONFIG, &format!("{HEAD}{providers}"));
        let of =
            |count: u32, one: &dyn Fn(u32) -> String| (1..=count).map(one).collect::<Vec<_>>().join("---\n");
        node.write(
            "/root/secrets.yaml",
            &of(SECRETS, &|number| {
                format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s{number}}}\nstringData: {{a: value {number}}}\n")
            }),
        );
        node.write(
            "/root/widgets.yaml",
            &of(SECRETS / 5, &|number| {
                format!(
                    "apiVersion: example.org/v1\nkind: Widget\nmetadata: {{name: w{number}}}\nspec: {{a: value {number}}}\n"
                )
            }),
        );
        node.sh("chmod 0700 /etc/kubernetes/enc /root/etcd");
        node.sh(&BY_HAND.replace("MOUNTED", path).replace("TYPE", kind));
        Self {
            node,
            printed: RefCell::default(),
        }
    }

    /// A fresh node with one key, `key1`, and plaintext as a read key.
    pub fn with_one_key() -> (Self, Vec<u8>) {
        let key = random::<32>();
        (Self::with(&one_key(&key), Mounted::Folder), key.to_vec())
    }

    /// Runs Holdfast, and keeps what it printed.
    pub fn holdfast(&self, words: &[&str]) -> Said {
        self.kept(self.node.holdfast(words))
    }

    /// Runs Holdfast, which is killed at that point (`before:N` or `after:N`, for the Nth record of the journal that it writes).
    pub fn killed_at(&self, point: &str, words: &str) -> (bool, Said) {
        let line = format!("HOLDFAST_FAILPOINT={point} {HOLDFAST} {words}");
        let said = self.kept(self.node.run(&["sh", "-c", &line]));
        (KILLED.contains(&said.code), said)
    }

    fn kept(&self, said: Said) -> Said {
        self.printed
            .borrow_mut()
            .push_str(&format!("{}{}", said.out, said.err));
        said
    }

    /// All that Holdfast has printed so far.
    pub fn printed(&self) -> String {
        self.printed.borrow().clone()
    }

    /// `encryption rotate` is refused with these words, and neither configuration nor API server nor stored value is another after it.
    pub fn rotation_is_refused(&self, words: &str) {
        let before = self.state();
        let said = self.holdfast(&["encryption", "rotate", "--yes"]);
        assert_eq!(said.code, 1, "{words}: {said:?}");
        assert!(said.err.contains(words), "{words}: {said:?}");
        assert_eq!(self.state(), before, "{words}");
        let begun = events(&self.node)
            .into_iter()
            .filter(|event| event == "begun")
            .count();
        assert_eq!(begun, 0, "{words}");
    }

    /// What a refused request must not change.
    fn state(&self) -> (String, Vec<String>, String) {
        let stored = self.etcd("get --prefix /registry/secrets/ --print-value-only | sha256sum");
        (
            self.node.read(CONFIG),
            self.node.processes("kube-apiserver"),
            stored,
        )
    }

    /// Asks etcd without Holdfast.
    pub fn etcd(&self, line: &str) -> String {
        self.node.sh(&format!("/root/etcd {line} 2>/dev/null"))
    }

    /// How many values of secrets etcd has under a key whose name begins so.
    pub fn stored_under(&self, key: &str) -> usize {
        let line =
            format!("get --prefix /registry/secrets/ --print-value-only | grep -ac '^k8s:enc:{key}' || true");
        self.etcd(&line).trim().parse().expect("a number")
    }

    /// The content of every secret and widget is what was written, as the API gives it.
    pub fn all_is_readable(&self) {
        for (kind, path, count) in [
            ("secrets", ".data.a", SECRETS),
            ("widgets", ".spec.a", SECRETS / 5),
        ] {
            let range = format!("{{range .items[*]}}{{.metadata.name}} {{{path}}}{{\"\\n\"}}{{end}}");
            let found = self
                .node
                .sh(&format!("kubectl -n default get {kind} -o jsonpath='{range}'"));
            let number = |name: &str| {
                name.strip_prefix(['s', 'w'])
                    .and_then(|number| number.parse::<u32>().ok())
            };
            let mut seen = 0;
            for (name, value) in found.lines().filter_map(|line| line.split_once(' ')) {
                let Some(number) = number(name) else { continue };
                let expected = format!("value {number}");
                let is_right = value == expected || value == encoded(expected.as_bytes());
                assert!(is_right, "{kind} {name}: {value}");
                seen += 1;
            }
            assert_eq!(seen, count, "{kind}: {found}");
        }
    }
}

/// The providers of a configuration with one key, `key1`.
pub fn one_key(key: &[u8]) -> String {
    format!(
        "      - aescbc:\n          keys:\n            - name: key1\n              secret: {}\n      - identity: {{}}\n",
        encoded(key)
    )
}

pub fn encoded(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("random bytes");
    bytes
}

/// The records of the journal, oldest first: the event and, where it has one, its stage, as `config-intended read-new`.
pub fn events(node: &Node) -> Vec<String> {
    if !node.path(JOURNAL).exists() {
        return Vec::new();
    }
    let text = node.read(JOURNAL);
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .map(|(_, json)| {
            let entry: serde_json::Value = serde_json::from_str(json).expect("an entry of the journal");
            let text = |name: &str| entry["record"][name].as_str().map(str::to_owned);
            let event = text("event").or_else(|| text("record")).expect("a record");
            text("stage").map_or_else(|| event.clone(), |stage| format!("{event} {stage}"))
        })
        .collect()
}
