//! The long campaigns, by `tests/run --full`: Holdfast killed at moments that nobody chose, on a genuine kubeadm node.

#![expect(clippy::print_stdout, reason = "a long campaign shows where it is")]

#[path = "bed/node.rs"]
mod node;

use std::time::Duration;

use node::{Node, changed_lines};

const MANIFESTS: &str = "/etc/kubernetes/manifests";
const COMPONENTS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
const ROUNDS: u32 = 8;
const RESTART: Duration = Duration::from_secs(180);

#[test]
#[ignore = "a long campaign"]
fn killed_at_any_moment_the_next_run_completes_the_plan_on_a_healthy_node() {
    for round in 0..ROUNDS {
        let node = Node::fresh();
        node.configure("mode: enforce\n");
        let before = COMPONENTS.map(|name| node.read(&format!("{MANIFESTS}/{name}.yaml")));
        // The first second holds most of the records; later kills fall into the waits for each component.
        for milliseconds in kill_times(round) {
            let seconds = format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
            let said = node.run(&[
                "timeout",
                "-s",
                "KILL",
                &seconds,
                node::HOLDFAST,
                "apply",
                "--yes",
            ]);
            println!("round {round}: killed after {seconds} s, exit {}", said.code);
            // As the unit's ExecStopPost does: a manifest that is out goes back, whoever was killed.
            let recovered = node.holdfast(&["recover"]);
            assert_eq!(recovered.code, 0, "{}{}", recovered.out, recovered.err);
            node.await_that("the API server is ready", RESTART, Node::is_ready);
        }
        // A scheduler that lost the API again and again asks it anew only now and then, and is not edited before it is healthy: then
        // the next run goes on.
        node.await_that(
            "a run leaves nothing that can be done, now or in a while",
            RESTART,
            |node| {
                let said = node.holdfast(&["apply", "--yes"]);
                assert_eq!(said.code, 2, "{}{}", said.out, said.err);
                let (_, plan) = node.json(&["plan"]);
                let withheld = plan["withheld"].as_array().expect("what is held back");
                let changes = plan["changes"].as_array().expect("what is to be done");
                changes.is_empty() && withheld.iter().all(|held| held["temporary"] == false)
            },
        );
        for (name, before) in COMPONENTS.iter().zip(&before) {
            let after = node.read(&format!("{MANIFESTS}/{name}.yaml"));
            assert_eq!(
                changed_lines(before, &after),
                ["+    - --profiling=false"],
                "{name}: {}",
                node.holdfast(&["plan"]).out
            );
        }
        node.await_that("the leaders work", RESTART, |node| {
            node.is_ready() && node.leaders_work()
        });
    }
}

/// kubeadm makes every manifest and the kubelet's configuration anew; what was exported keeps them hardened.
#[test]
#[ignore = "a long campaign"]
fn a_kubeadm_upgrade_with_the_exported_patches_leaves_nothing_to_be_changed() {
    const UPGRADE: &str = "kubeadm upgrade apply $(kubelet --version | cut -d' ' -f2) --force -y --etcd-upgrade=false \
                           --certificate-renewal=false --ignore-preflight-errors=all --patches /root/patches >/root/upgrade.log 2>&1";
    let node = Node::fresh();
    node.configure("mode: enforce\nprofile: cis-level-2\nconditional: allow\n");
    let plan = |node: &Node| node.json(&["plan"]).1;
    let changes = |plan: &serde_json::Value| plan["changes"].as_array().map_or(0, Vec::len);
    node.await_that("all that can be done is done", RESTART * 3, |node| {
        let said = node.holdfast(&["apply", "--yes"]);
        assert_ne!(said.code, 1, "{}{}", said.out, said.err);
        let plan = plan(node);
        let waits = plan["withheld"].as_array().expect("what is held back");
        changes(&plan) == 0 && waits.iter().all(|held| held["temporary"] == false)
    });
    let hardened = node.read(&format!("{MANIFESTS}/kube-apiserver.yaml"));
    let said = node.holdfast(&["export", "kubeadm-patches", "/root/patches"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    println!("{}{}", said.out, node.sh("cat /root/patches/*"));
    node.sh(UPGRADE);
    node.await_that("the API server is ready", RESTART, Node::is_ready);
    let upgraded = node.read(&format!("{MANIFESTS}/kube-apiserver.yaml"));
    println!("{:#?}", changed_lines(&hardened, &upgraded));
    let left = plan(&node);
    assert_eq!(changes(&left), 0, "{left:#}");
    node.await_that("the leaders work", RESTART, Node::leaders_work);
}

/// kubeadm undoes the hardening while the daemon enforces: two writers do not fight, and one pass afterwards hardens the node again.
#[test]
#[ignore = "a long campaign"]
fn a_kubeadm_upgrade_beside_the_enforcing_daemon_is_hardened_again_in_one_pass() {
    const UPGRADE: &str = "kubeadm upgrade apply $(kubelet --version | cut -d' ' -f2) --force -y --etcd-upgrade=false \
                           --certificate-renewal=false --ignore-preflight-errors=all >/root/upgrade.log 2>&1; echo $?";
    let node = Node::fresh();
    node.configure("mode: enforce\nprofile: cis-level-2\nconditional: allow\n");
    let is_hardened = |node: &Node| {
        let plan = node.json(&["plan"]).1;
        let withheld = plan["withheld"].as_array();
        node.is_ready()
            && plan["inFlight"].is_null()
            && plan["changes"].as_array().is_some_and(Vec::is_empty)
            && withheld.is_some_and(|all| all.iter().all(|held| held["temporary"] == false))
    };
    let texts = |node: &Node| {
        COMPONENTS.map(|name| {
            let manifest = node.read(&format!("{MANIFESTS}/{name}.yaml"));
            // kubeadm writes the flags in their order, Holdfast what it adds behind the others.
            let mut lines: Vec<String> = manifest.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        })
    };
    node.start_daemon();
    node.await_that("the node is hardened", 4 * RESTART, is_hardened);
    let hardened = texts(&node);
    let before = node.log().len();
    let said = node.sh(UPGRADE);
    assert_eq!(
        said.trim(),
        "0",
        "the upgrade succeeds: {}",
        node.sh("tail -30 /root/upgrade.log")
    );
    node.await_that("the node is hardened again", 4 * RESTART, is_hardened);
    node.await_that("the leaders work", RESTART, Node::leaders_work);
    assert_eq!(texts(&node), hardened);
    let log = node.log();
    let since = log.get(before..).unwrap_or_default();
    println!("{}", since.join("\n"));
    for name in [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "etcd",
    ] {
        let edits = since
            .iter()
            .filter(|line| line.starts_with("5 begun: edit") && line.contains(&format!("{name}.yaml")));
        assert!(edits.count() <= 1, "{name} is edited once");
    }
    assert!(
        !since
            .iter()
            .any(|line| line.starts_with("3 ") || line.contains("someone else")),
        "nobody fought"
    );
}

/// Five moments, spread by a fixed generator so that a failure can be repeated.
fn kill_times(round: u32) -> Vec<u64> {
    let mut state = u64::from(round)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(0xD1B5_4A32_D192_ED03);
    let mut next = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    [150, 400, 2_000, 8_000, 30_000]
        .map(|span| 20 + next(span))
        .to_vec()
}
