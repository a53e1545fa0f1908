//! A node whose API server encrypts, set up by hand, with what Holdfast prints on it kept for the search of its keys.

use std::cell::RefCell;

use crate::by_hand::{
    CONFIG, Mounted, RELOAD, WIDGETS, aescbc, config, create_secrets, create_widgets, encoded, encrypt,
    random, rewrite_secrets,
};
use crate::node::{HOLDFAST, Node, Said};

pub const JOURNAL: &str = "/var/lib/holdfast/journal";
pub const SECRETS: u32 = 100;
/// How a killed command ends: the shell says 128 and the signal, and one that became the command ends as that does.
const KILLED: [i32; 2] = [137, -1];

/// etcd, asked without Holdfast.
const ETCD: &str = r#"#!/bin/sh
exec etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt \
    --cert=/etc/kubernetes/pki/apiserver-etcd-client.crt --key=/etc/kubernetes/pki/apiserver-etcd-client.key "$@"
"#;

/// A fresh node, set up.
pub struct Bed {
    pub node: Node,
    printed: RefCell<String>,
}

impl Bed {
    /// A fresh node with these providers, `SECRETS` secrets and a fifth as many widgets.
    pub fn with(providers: &str, mounted: Mounted) -> Self {
        let node = Node::fresh();
        node.write("/root/etcd", ETCD);
        node.sh("chmod 0700 /root/etcd");
        let config = config(&["secrets", WIDGETS], providers);
        encrypt(&node, &config, mounted, &[RELOAD]);
        rewrite_secrets(&node);
        create_secrets(&node, SECRETS);
        create_widgets(&node, SECRETS / 5);
        Self {
            node,
            printed: RefCell::default(),
        }
    }

    /// A fresh node with one key, `key1`, and plaintext as a read key.
    pub fn with_one_key() -> (Self, Vec<u8>) {
        let key = random::<32>();
        (
            Self::with(&aescbc(&[("key1", &key)]), Mounted::Folder),
            key.to_vec(),
        )
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
