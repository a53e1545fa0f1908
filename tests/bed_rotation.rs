//! Encryption at rest on a genuine kubeadm node: a key is rotated while others write, and the proof is read from etcd.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

#[path = "bed/by_hand.rs"]
mod by_hand;
#[path = "bed/node.rs"]
mod node;

use by_hand::{
    CONFIG, Mounted, RELOAD, WIDGETS, aescbc, config, content, create_secrets, create_widgets, encoded,
    encrypt, random, rewrite_secrets,
};
use node::Node;

/// Creates, changes and deletes secrets, notes what the API confirmed last, and counts the times that it did not answer.
const WRITER: &str = r#"i=0; failed=0; : > /root/confirmed
while [ ! -e /root/stop ]; do
    i=$((i + 1)); name=x$((i % 20))
    case $((i % 3)) in
        0) kubectl delete secret $name --ignore-not-found >/dev/null 2>&1 && echo "$name gone" >> /root/confirmed || failed=$((failed + 1)) ;;
        *) printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: %s}\nstringData: {a: "%s"}\n' $name $i |
               kubectl apply -f - >/dev/null 2>&1 && echo "$name $i" >> /root/confirmed || failed=$((failed + 1)) ;;
    esac
done
echo $failed > /root/failed
"#;

fn values_by_key(status: &serde_json::Value) -> Vec<(String, String, u64)> {
    let values = status["census"]["values"].as_array().expect("a census");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    values
        .iter()
        .map(|row| {
            (
                text(&row["resource"]),
                text(&row["key"]),
                row["objects"].as_u64().expect("a count"),
            )
        })
        .collect()
}

#[test]
#[ignore = "needs the test bed"]
fn a_key_set_up_by_hand_is_rotated_while_others_write_and_nothing_is_left_under_it() {
    let node = Node::fresh();
    let key = random::<32>();
    let config = config(&["secrets", WIDGETS], &aescbc(&[("key1", &key)]));
    encrypt(&node, &config, Mounted::Folder, &[RELOAD]);
    create_widgets(&node, 50);
    create_secrets(&node, 500);
    rewrite_secrets(&node);
    let (code, before) = node.json(&["encryption", "verify"]);
    assert_eq!(code, 0, "{before:#}");
    let old = "aescbc:key1".to_owned();
    let rows = values_by_key(&before);
    assert!(rows.iter().all(|(_, key, _)| *key == old), "{rows:?}");
    assert!(
        rows.contains(&("widgets.example.org".to_owned(), old.clone(), 50)),
        "{rows:?}"
    );
    let started = node.processes("kube-apiserver");

    node.write("/root/writer.sh", WRITER);
    node.sh("systemd-run --unit=writer --setenv=KUBECONFIG=/etc/kubernetes/admin.conf bash /root/writer.sh");
    // What is asked for without consent changes nothing.
    let asked = node.holdfast(&["encryption", "rotate"]);
    assert_eq!(asked.code, 64, "{asked:?}");
    let said = node.holdfast(&["encryption", "rotate", "--yes"]);
    node.sh("touch /root/stop; while systemctl is-active -q writer; do sleep 0.1; done");
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);

    // No outage: the same process, and every write of the others went through.
    assert_eq!(node.processes("kube-apiserver"), started);
    assert_eq!(node.read("/root/failed").trim(), "0");
    let (code, after) = node.json(&["encryption", "verify"]);
    assert_eq!(code, 0, "{after:#}");
    let rows = values_by_key(&after);
    assert!(
        !rows.is_empty() && rows.iter().all(|(_, key, _)| key.starts_with("aescbc:hf")),
        "{rows:?}"
    );
    contents_are_as_confirmed(&node);
    the_old_key_is_kept_and_nowhere_else(&node, &encoded(&key), &said.out);
    let again = node.holdfast(&["encryption", "abort", "--yes"]);
    assert!(
        again.code == 0 && again.out.contains("No rotation is under way"),
        "{again:?}"
    );
}

fn contents_are_as_confirmed(node: &Node) {
    let last: std::collections::BTreeMap<String, String> = node
        .read("/root/confirmed")
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, what)| (name.to_owned(), what.to_owned()))
        .collect();
    assert!(!last.is_empty(), "the writer wrote");
    for (name, what) in last {
        let found = content(node, &name);
        let expected = if what == "gone" { "" } else { &what };
        assert_eq!(found, expected, "{name}");
    }
    for number in [1, 250, 500] {
        assert_eq!(content(node, &format!("s{number}")), format!("value {number}"));
    }
    let widget = node.sh("kubectl get widget w50 -o jsonpath='{.spec.a}'");
    assert_eq!(widget, "value 50");
}

/// The retired key is among the retained ones, gone from the configuration, and neither it nor the new one is anywhere else.
fn the_old_key_is_kept_and_nowhere_else(node: &Node, old: &str, printed: &str) {
    let config = node.read(CONFIG);
    assert!(
        !config.contains(old),
        "the old key is gone from the configuration"
    );
    let new = config
        .lines()
        .find_map(|line| line.trim().strip_prefix("secret: "))
        .unwrap_or_else(|| panic!("the configuration has a key"))
        .trim_matches('"')
        .to_owned();
    for (key, kept_in) in [
        (old, "/var/lib/holdfast/retained/"),
        (new.as_str(), "/var/lib/holdfast/keys/"),
    ] {
        let found = node.sh(&format!(
            "grep -rlF '{key}' /var/lib/holdfast /run /etc/holdfast /var/log/pods /root || true"
        ));
        assert!(found.lines().any(|path| path.starts_with(kept_in)), "{found}");
        let stores = ["/var/lib/holdfast/retained/", "/var/lib/holdfast/keys/"];
        assert!(
            found
                .lines()
                .all(|path| stores.iter().any(|store| path.starts_with(store))),
            "{found}"
        );
        assert!(!printed.contains(key));
        let logged = node.sh(&format!("journalctl --no-pager | grep -cF '{key}' || true"));
        assert_eq!(logged.trim(), "0");
    }
    let modes = node.sh("stat -c '%a %n' /var/lib/holdfast/keys /var/lib/holdfast/retained /var/lib/holdfast/keys/* /var/lib/holdfast/retained/*");
    for line in modes.lines() {
        let mode = line.split(' ').next().unwrap_or_default();
        assert!(matches!(mode, "700" | "600"), "{line}");
    }
}
