//! The Debian package on a genuine node with systemd and journald: installed, read, reloaded, killed in mid-bounce, upgraded, removed, purged. Run
//! by `tests/run`; by hand, as root: `cargo test --test bed_package -- --ignored --nocapture`.
//!
//! It packs the program that is tested; what a package is made of and how is `packaging/check`'s and `packaging/reproduce`'s.
#![expect(
    clippy::expect_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test starts the packer, looks at files and fails loudly"
)]

#[path = "bed/node.rs"]
mod node;

use std::time::{Duration, Instant};

use node::{DEB, Node, snapshot};

const SOON: Duration = Duration::from_secs(20);
const RESTART: Duration = Duration::from_secs(180);
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const OUT: &str = "/etc/kubernetes/kube-apiserver.yaml.holdfast-out";
const ADMIN: &str = "/etc/kubernetes/admin.conf";

#[test]
#[ignore = "needs the test bed"]
fn the_package_is_installed_upgraded_removed_and_purged_and_a_kill_in_mid_bounce_leaves_no_node_without_its_manifest()
 {
    let node = Node::without_holdfast();
    let kubernetes = node.path("/etc/kubernetes");
    let before = snapshot(&kubernetes);
    let said = node.sh(&format!("dpkg -i {DEB}"));
    assert!(said.contains("mode: audit"), "{said}");
    is_active(&node);
    assert_eq!(node.sh("systemctl is-enabled holdfast").trim(), "enabled");
    node.await_that("a drift is told", SOON, |node| {
        of_kind(node, "drift: CIS-1.2.15").is_some()
    });
    assert_eq!(
        snapshot(&kubernetes),
        before,
        "the shipped configuration touches nothing"
    );

    a_configuration_is_read_again_only_if_it_holds(&node);
    a_drift_is_told_with_its_fields_and_explained(&node);
    a_kill_in_mid_bounce_is_made_good(&node);

    node.sh(&format!("dpkg -i {DEB}"));
    is_active(&node);
    assert!(
        node.read("/etc/holdfast/config.yaml").contains("enforce"),
        "the operator's own stays"
    );

    node.sh("install -d -m 700 /var/lib/holdfast/retained && touch /var/lib/holdfast/retained/key");
    let said = node.sh("dpkg -r holdfast");
    assert!(said.contains("stays hardened"), "{said}");
    assert!(
        node.read(MANIFEST).contains("--profiling=false"),
        "what was hardened stays so"
    );
    let said = node.sh("dpkg -P holdfast");
    assert!(said.contains("/var/lib/holdfast/retained stays"), "{said}");
    let left = node.sh(
        "find / -xdev -name '*holdfast*' ! -path '/root/*' ! -path '/proc/*'; find /var/lib/holdfast -type f",
    );
    let left: Vec<&str> = left.lines().collect();
    assert_eq!(left, ["/var/lib/holdfast", "/var/lib/holdfast/retained/key"]);
}

/// True when that file is there and has that text: a manifest may be out of its folder at any look.
fn has(node: &Node, path: &str, text: &str) -> bool {
    std::fs::read_to_string(node.path(path)).is_ok_and(|content| content.contains(text))
}

fn is_active(node: &Node) {
    node.await_that("the service runs", SOON, |node| {
        node.run(&["systemctl", "is-active", "holdfast"]).code == 0
    });
}

/// The fields of the newest entry of the journal that begins so.
fn of_kind(node: &Node, begins: &str) -> Option<serde_json::Value> {
    let printed = node.sh("journalctl --sync; journalctl -u holdfast -o json --all --no-pager");
    let entries = printed
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut entries: Vec<_> = entries
        .filter(|entry| {
            entry
                .get("MESSAGE")
                .and_then(|text| text.as_str())
                .is_some_and(|text| text.starts_with(begins))
        })
        .collect();
    entries.pop()
}

fn a_configuration_is_read_again_only_if_it_holds(node: &Node) {
    node.configure("mode: enforse\n");
    let said = node.run(&["systemctl", "reload", "holdfast"]);
    assert_ne!(said.code, 0);
    is_active(node);
    let log = node.sh("journalctl --sync; journalctl -u holdfast -o cat --no-pager");
    assert!(log.contains("config.yaml:1:7: unknown mode"), "{log}");
    node.configure("mode: enforce\nprofile: cis-level-1\n");
    node.sh("systemctl reload holdfast");
}

fn a_drift_is_told_with_its_fields_and_explained(node: &Node) {
    node.await_that("the node is hardened", RESTART, |node| {
        has(
            node,
            "/etc/kubernetes/manifests/kube-scheduler.yaml",
            "--profiling=false",
        ) && node.is_ready()
    });
    node.set_mode(ADMIN, 0o644);
    node.await_that("it is mended", SOON, |node| node.mode(ADMIN) == 0o600);
    let drift = format!("drift: CIS-1.1.13 admin.conf and super-admin.conf are 0600 or stricter: {ADMIN}");
    let entry = of_kind(node, &drift).expect("it was told");
    for (field, value) in [
        ("HOLDFAST_CONTROL", "CIS-1.1.13"),
        ("HOLDFAST_PATH", ADMIN),
        ("PRIORITY", "4"),
    ] {
        assert_eq!(
            entry.get(field).and_then(|value| value.as_str()),
            Some(value),
            "{entry}"
        );
    }
    let id = entry.get("MESSAGE_ID").and_then(|id| id.as_str()).expect("an id");
    let explained = node.sh(&format!("journalctl -x MESSAGE_ID={id} -n 1 --no-pager"));
    assert!(
        explained.contains("Defined-By: Holdfast") && explained.contains("To do:"),
        "{explained}"
    );
}

fn a_kill_in_mid_bounce_is_made_good(node: &Node) {
    node.await_that("the leaders work", RESTART, Node::leaders_work);
    node.sh(&format!("sed -i /profiling/d {MANIFEST}"));
    node.await_that("the manifest is out", RESTART, |node| node.path(OUT).exists());
    let begun = Instant::now();
    node.sh("systemctl kill --kill-whom=main -s KILL holdfast");
    node.await_that("it is back", Duration::from_secs(5), |node| {
        node.path(MANIFEST).exists()
    });
    println!(
        "killed in mid-bounce: the manifest is back after {} ms",
        begun.elapsed().as_millis()
    );
    node.await_that("the daemon goes on", RESTART, |node| {
        has(node, MANIFEST, "--profiling=false") && !node.path(OUT).exists() && node.is_ready()
    });
}
