//! Bounces on a genuine kubeadm node. Run by `tests/run`; by hand, as root:
//! `cargo test --test bed_bounce -- --ignored --test-threads=1 --nocapture`.
#![expect(clippy::print_stdout, reason = "the outages are shown")]

#[path = "bed/node.rs"]
mod node;

use std::time::Duration;

use node::{Node, snapshot};

const MANIFESTS: &str = "/etc/kubernetes/manifests";
const OTHERS: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];
const RESTART: Duration = Duration::from_secs(180);
/// Of each way, in the campaign.
const ROUNDS: usize = 10;

/// A fresh node whose kubelet has run long enough to be trusted with a bounce.
fn settled() -> Node {
    let node = Node::fresh();
    node.await_that("the kubelet has settled", RESTART, |node| {
        let dry = node.holdfast(&["bounce", "kube-apiserver", "--dry-run"]);
        !(dry.out + &dry.err).contains("the kubelet has just started")
    });
    node
}

#[test]
#[ignore = "needs the test bed"]
fn a_bounce_of_the_api_server_gives_a_new_process_the_same_manifest_and_leaves_the_others_alone() {
    let node = settled();
    let (manifests, before) = (snapshot(&node.path(MANIFESTS)), node.processes("kube-apiserver"));
    let others = OTHERS.map(|name| node.processes(name));
    let dry = node.holdfast(&["bounce", "kube-apiserver", "--dry-run"]);
    assert_eq!(dry.code, 0, "{}{}", dry.out, dry.err);
    assert!(
        dry.out.contains("ended 1 s after it has stopped listening"),
        "{}",
        dry.out
    );
    assert_eq!(
        node.processes("kube-apiserver"),
        before,
        "a dry run restarts nothing"
    );

    let (code, report) = node.json(&["bounce", "kube-apiserver", "--yes"]);
    assert_eq!(code, 0, "{report:#}");
    println!("outage: {} ms", report["outageMs"]);
    assert!(node.is_ready());
    let now = node.processes("kube-apiserver");
    assert!(now.len() == 1 && now != before, "{before:?} {now:?}");
    assert_eq!(snapshot(&node.path(MANIFESTS)), manifests);
    assert_eq!(
        OTHERS.map(|name| node.processes(name)),
        others,
        "they keep their processes"
    );

    // The kubelet's own way, for a component that is not ended early.
    let (code, report) = node.json(&["bounce", "kube-scheduler", "--yes"]);
    assert_eq!(code, 0, "{report:#}");
    assert_ne!(node.processes("kube-scheduler"), others[1]);
    assert_eq!(snapshot(&node.path(MANIFESTS)), manifests);
    node.await_that("the leaders work", RESTART, |node| {
        node.is_ready() && node.leaders_work()
    });
}

#[test]
#[ignore = "needs the test bed"]
fn a_bounce_of_etcd_says_that_the_api_is_away_and_brings_both_back() {
    let node = settled();
    let before = node.processes("etcd");
    let etcdctl = "ETCDCTL_API=3 etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt \
                   --cert=/etc/kubernetes/pki/apiserver-etcd-client.crt --key=/etc/kubernetes/pki/apiserver-etcd-client.key";
    let dry = node.holdfast(&["bounce", "etcd", "--dry-run"]);
    assert!(dry.out.contains("the API is away meanwhile, too"), "{}", dry.out);
    let health = node.sh(&format!("{etcdctl} endpoint health 2>&1"));
    assert!(health.contains("is healthy"), "{health}");
    let (code, report) = node.json(&["bounce", "etcd", "--yes"]);
    assert_eq!(code, 0, "{report:#}");
    println!("outage of etcd: {} ms", report["outageMs"]);
    assert_ne!(node.processes("etcd"), before);
    node.await_that("the API server is ready", RESTART, Node::is_ready);
}

#[test]
#[ignore = "needs the test bed"]
fn a_stop_request_lets_it_end_and_a_killed_one_is_carried_on() {
    let node = settled();
    let manifests = snapshot(&node.path(MANIFESTS));
    let cut = |signal: &str, seconds: &str| {
        let before = node.processes("kube-apiserver");
        let bounce = [node::HOLDFAST, "bounce", "kube-apiserver", "--yes"];
        let timeout = ["timeout", "--preserve-status", "-s", signal, seconds];
        let words: Vec<&str> = timeout.into_iter().chain(bounce).collect();
        (before, node.run(&words))
    };
    let is_anew = |node: &Node, before: &[String]| {
        node.is_ready() && snapshot(&node.path(MANIFESTS)) == manifests && {
            let now = node.processes("kube-apiserver");
            now.len() == 1 && now != before
        }
    };
    let (before, said) = cut("TERM", "1");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("it is brought to its end first"), "{said:?}");
    assert!(said.out.contains("kube-apiserver was away for"), "{said:?}");
    assert!(is_anew(&node, &before), "{said:?}");

    // The next command goes on where the killed one was.
    let (before, said) = cut("KILL", "1");
    assert_ne!(said.code, 0, "{said:?}");
    let out = node.path("/etc/kubernetes/kube-apiserver.yaml.holdfast-out");
    assert!(out.exists(), "it was killed while the manifest was out");
    let said = node.holdfast(&["bounce", "kube-apiserver", "--yes"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(is_anew(&node, &before), "{said:?}");

    // So does the daemon.
    node.start_daemon();
    let (before, said) = cut("KILL", "1");
    assert_ne!(said.code, 0, "{said:?}");
    node.await_that("the daemon carries it on", RESTART, |node| is_anew(node, &before));
    node.await_that("it is told", RESTART, |node| {
        let log = node.log();
        log.iter()
            .any(|line| line.ends_with("done: bounce of kube-apiserver"))
    });
    node.sh("systemctl stop holdfast");
}

/// The manual way: manifest out, wait for the kubelet to end the process, manifest in; milliseconds without an API.
const BY_HAND: &str = r#"
manifest=/etc/kubernetes/manifests/kube-apiserver.yaml
aside=/etc/kubernetes/by-hand.yaml
pid=$(pgrep -f '^kube-apiserver ')
now() { date +%s%3N; }
mv $manifest $aside
timeout 60 sh -c 'while [ -n "$(ss -Hltn "sport = :6443")" ]; do sleep 0.05; done'
begun=$(now)
timeout 60 sh -c "while [ -e /proc/$pid ]; do sleep 0.05; done"
mv $aside $manifest
timeout 120 sh -c 'until kubectl --request-timeout=1s get --raw /readyz >/dev/null 2>&1; do sleep 0.05; done' &&
    echo $(($(now) - begun))
"#;

#[test]
#[ignore = "a campaign: minutes on the test bed"]
fn campaign_of_bounces_against_the_manual_way() {
    let node = settled();
    // The manual way takes so much longer that two show it. They come first: the kubelet ends a server that was bounced a moment ago sooner.
    let (mut bounced, mut by_hand, mut kept) = (Vec::new(), Vec::new(), 0);
    for round in 1..=2 {
        let outage: u64 = node.sh(BY_HAND).trim().parse().unwrap_or(0);
        println!("round {round}: by hand {outage} ms");
        by_hand.push(outage);
        settle(&node);
    }
    let before = delayed(&node);
    for round in 1..=ROUNDS {
        let others = OTHERS.map(|name| node.processes(name));
        let (code, report) = node.json(&["bounce", "kube-apiserver", "--yes"]);
        assert_eq!(code, 0, "{report:#}");
        let outage = report["outageMs"].as_u64().unwrap_or(u64::MAX);
        bounced.push(outage);
        settle(&node);
        let same = OTHERS.map(|name| node.processes(name)) == others;
        kept += usize::from(same);
        println!("round {round}: bounce {outage} ms, scheduler and controller manager kept: {same}");
    }
    let median = |times: &mut Vec<u64>| {
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or(0)
    };
    let (bounce, hand) = (median(&mut bounced), median(&mut by_hand));
    println!("median outage: bounce {bounce} ms, by hand {hand} ms; processes kept in {kept} of {ROUNDS}");
    assert!(3 * bounce <= hand, "at most a third of the manual way");
    assert!(10 * kept >= 9 * ROUNDS, "kept in {kept} of {ROUNDS}");
    assert_eq!(delayed(&node), before, "no bounce was taken for a crash");
    let removed = node.sh(
        "grep -h containers-removed /var/lib/holdfast/journal* | grep -o '\"count\":[^,}]*' | sort | uniq -c",
    );
    println!("ended containers that the runtime was asked to remove: {removed}");
    let logs = node.sh("ls /var/log/pods/kube-system_kube-apiserver-*/kube-apiserver /var/log/containers | grep -c apiserver; true");
    println!("logs of kube-apiserver, and links to them: {}", logs.trim());
}

/// How often the kubelet told that it delays the API server: what it takes for a crash costs 10 s and more from the second one on.
fn delayed(node: &Node) -> String {
    node.sh(
        "journalctl -u kubelet --no-pager | grep -c 'back-off .* restarting failed container=kube-apiserver'; true",
    )
}

/// Waits until the node is as before: a component that lost its lease has been started again.
fn settle(node: &Node) {
    node.await_that("the leaders work", RESTART, |node| {
        node.is_ready() && node.leaders_work()
    });
}
