//! What `encryption forget` does to the files of the key store.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]
#![expect(clippy::disallowed_methods, reason = "a test makes its own files")]

mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast::adapters::lock::Held;
use holdfast::rotate::{Forgetting, KeyPlace, forget, known_keys};

const KEY: &str = "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: ['*.*']\n  providers:\n  \
                   - aescbc: {keys: [{name: NAME, secret: BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=}]}\n";

#[test]
fn the_files_that_were_named_are_gone_and_the_others_are_not_and_a_second_time_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let retained = root.path().join("var/lib/holdfast/retained");
    std::fs::create_dir_all(&retained).unwrap();
    std::fs::create_dir_all(root.path().join("run/holdfast")).unwrap();
    for name in ["key1", "key2"] {
        std::fs::write(
            retained.join(format!("key-{name}.yaml")),
            KEY.replace("NAME", name),
        )
        .unwrap();
    }
    let node = world::node_at(root.path(), Arc::new(Mutex::new(world::one_node())));
    let held = Held::take(&node.here(&node.layout.run), Duration::ZERO).unwrap();
    let kept = || -> Vec<String> {
        let known = known_keys(&node, None).unwrap().into_iter();
        known
            .inspect(|key| assert!(matches!(key.place, KeyPlace::Retained(_)), "{key:?}"))
            .map(|key| key.id.to_string())
            .collect()
    };
    assert_eq!(kept(), ["aescbc:key1", "aescbc:key2"]);
    let known = known_keys(&node, None).unwrap();
    let what = Forgetting {
        keys: [known[0].id.clone()].into(),
        fingerprints: [(known[0].id.clone(), known[0].fingerprint)].into(),
        files: vec!["/var/lib/holdfast/retained/key-key1.yaml".parse().unwrap()],
    };
    for _ in 0..2 {
        forget(&node, &held, &what).unwrap();
        assert_eq!(kept(), ["aescbc:key2"]);
    }
}
