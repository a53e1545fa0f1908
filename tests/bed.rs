//! Holdfast on a genuine kubeadm node. Run by `tests/run`; by hand, as root: `cargo test --test bed -- --ignored --test-threads=1`.

#[path = "bed/cluster.rs"]
mod cluster;
mod fresh_node;
#[path = "bed/node.rs"]
mod node;

use std::collections::BTreeSet;
use std::time::Duration;

use fresh_node::{FAILS_FRESH, MENDED};
use node::{Node, changed_lines, snapshot};

const MANIFESTS: &str = "/etc/kubernetes/manifests";
const RESTART: Duration = Duration::from_secs(150);

fn ids_with(report: &serde_json::Value, verdict: &str) -> BTreeSet<String> {
    let none = Vec::new();
    let findings = report["findings"].as_array().unwrap_or(&none);
    let of_verdict = findings.iter().filter(|finding| finding["verdict"] == verdict);
    // The one of these versions is a matter of the calendar.
    of_verdict
        .filter(|finding| finding["id"] != "X-VER-01")
        .map(|finding| finding["id"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
#[ignore = "needs the test bed"]
fn check_names_what_fails_on_a_fresh_node_and_writes_nothing() {
    let node = Node::fresh();
    let before = snapshot(&node.path("/etc"));
    let trace = "strace -f -e trace=%file,%desc,%process,fchmod,fchown -o /root/trace /usr/bin/holdfast check --output json > /root/report; echo $?";
    assert_eq!(node.sh(trace).trim(), "2");
    let report: serde_json::Value = serde_json::from_str(&node.read("/root/report")).expect("JSON");
    assert_eq!(ids_with(&report, "drift"), set(&FAILS_FRESH));
    assert_eq!(ids_with(&report, "unknown"), BTreeSet::new());
    let wrote: Vec<String> = node
        .read("/root/trace")
        .lines()
        .filter(|line| writes(line))
        .map(str::to_owned)
        .collect();
    assert_eq!(wrote, Vec::<String>::new());
    assert_eq!(snapshot(&node.path("/etc")), before);
    assert_eq!(
        snapshot(&node.path("/var/lib/holdfast")),
        [],
        "a check leaves no state in the folder that the package makes"
    );
    cluster::objects_are_told_when_they_are_asked_for(&node);
}

/// True for a traced call that changes a file system.
fn writes(line: &str) -> bool {
    let opens_to_write = (line.contains("open(") || line.contains("openat(") || line.contains("openat2("))
        && ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"]
            .iter()
            .any(|flag| line.contains(flag))
        && !line.contains("\"/dev/null\"");
    let changes = [
        "rename",
        "unlink",
        "mkdir",
        "rmdir",
        "chmod",
        "chown",
        "link(",
        "linkat(",
        "symlink",
        "mknod",
        "truncate",
        "utime",
        "setxattr",
        "removexattr",
    ];
    let call = line
        .split_whitespace()
        .nth(1)
        .unwrap_or("")
        .split('(')
        .next()
        .unwrap_or("");
    let name = format!("{call}(");
    opens_to_write
        || changes
            .iter()
            .any(|change| name.contains(change) && !name.starts_with("readlink"))
}

#[test]
#[ignore = "needs the test bed"]
fn apply_mends_what_can_be_mended_with_one_restart_each_and_leaves_the_rest_explained() {
    let node = Node::fresh();
    let components = [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "etcd",
    ];
    // Comments, quoting and order of the operator's own are to survive.
    let scheduler = format!("{MANIFESTS}/kube-scheduler.yaml");
    let touched = node.read(&scheduler).replace(
        "    - --leader-elect=true\n",
        "    # elect, always\n    - \"--leader-elect=true\"   # quoted\n",
    );
    // The same pod in other words: the kubelet restarts nothing.
    node.write("/root/scheduler.yaml", &touched);
    node.sh(&format!(
        "chmod 0600 /root/scheduler.yaml; mv /root/scheduler.yaml {scheduler}"
    ));
    let texts = components.map(|name| node.read(&format!("{MANIFESTS}/{name}.yaml")));
    let before = components.map(|name| node.processes(name));
    node.configure("mode: enforce\n");

    let said = node.holdfast(&["apply", "--yes"]);
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert!(node.is_ready());
    node.await_that("the leaders work", RESTART, Node::leaders_work);
    for (name, text) in components.iter().zip(&texts) {
        let now = node.read(&format!("{MANIFESTS}/{name}.yaml"));
        let meant = if *name == "etcd" {
            vec![]
        } else {
            vec!["+    - --profiling=false".to_owned()]
        };
        assert_eq!(changed_lines(text, &now), meant, "{name}");
    }
    for (name, before) in components.iter().zip(&before) {
        let now = node.processes(name);
        assert_eq!(now.len(), 1, "{name} runs once");
        assert_eq!(
            *name == "etcd",
            now == *before,
            "{name} restarts if it was edited"
        );
    }
    restarts_are_ours_alone(&node);

    let (_, report) = node.json(&["check"]);
    let left: BTreeSet<String> = set(&FAILS_FRESH).difference(&set(&MENDED)).cloned().collect();
    assert_eq!(ids_with(&report, "drift"), left);
    let (code, plan) = node.json(&["plan"]);
    assert_eq!((code, plan["changes"].as_array().map(Vec::len)), (2, Some(0)));
    let again = node.holdfast(&["apply", "--yes"]);
    assert_eq!(again.code, 2);
    for id in &left {
        assert!(
            again.out.contains(id.as_str()),
            "{id} is explained: {}",
            again.out
        );
    }
}

/// The kubelet restarted nobody by itself.
fn restarts_are_ours_alone(node: &Node) {
    const COUNTS: &str = "kubectl -n kube-system get pods -o jsonpath='{range .items[*]}{.metadata.name}={.status.containerStatuses[0].restartCount} {end}'";
    let names = [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ];
    node.await_that("no container was restarted in its pod", RESTART, |node| {
        let counts = node.sh(COUNTS);
        // A pod is named after its node, whatever that is called.
        let is_zero = |name: &str| {
            let mut all = counts.split_whitespace();
            all.any(|count| count.starts_with(&format!("{name}-")) && count.ends_with("=0"))
        };
        names.into_iter().all(is_zero)
    });
}

#[test]
#[ignore = "needs the test bed"]
fn in_audit_the_daemon_tells_each_drift_once_and_touches_nothing() {
    let node = Node::fresh();
    node.configure("mode: audit\n");
    node.start_daemon();
    let admin = "/etc/kubernetes/admin.conf";
    node.set_mode(admin, 0o644);
    let told = |node: &Node, what: &str| node.log().iter().filter(|line| line.contains(what)).count();
    node.await_that("the drift is told", Duration::from_secs(10), |node| {
        told(node, admin) > 0
    });
    let scheduler = format!("{MANIFESTS}/kube-scheduler.yaml");
    let drifting = node.read(&scheduler).replace(
        "--leader-elect=true",
        "--leader-elect=true\n    - --profiling=true",
    );
    node.write("/root/scheduler.yaml", &drifting);
    node.sh(&format!(
        "chmod 0600 /root/scheduler.yaml; mv /root/scheduler.yaml {scheduler}"
    ));
    node.await_that("the flag is told", Duration::from_secs(10), |node| {
        told(node, "--profiling=true") > 0
    });
    for _ in 0..2 {
        node.sh("systemctl kill --kill-whom=main -s HUP holdfast; sleep 3");
    }
    let log = node.log();
    assert_eq!(told(&node, admin), 1, "told once: {log:?}");
    assert_eq!(told(&node, "--profiling=true"), 1, "told once: {log:?}");
    assert_eq!(
        (node.mode(admin), node.read(&scheduler)),
        (0o644, drifting),
        "nothing is touched"
    );
}

#[test]
#[ignore = "needs the test bed"]
fn in_enforce_the_daemon_mends_modes_owners_and_flags() {
    let node = Node::fresh();
    // So little is kept of the audit log that its rotation can be seen.
    node.configure(
        "mode: enforce\nconditional: allow\ncontrols: { CIS-1.2.18: { value: 2 }, CIS-1.2.19: { value: 1 } }\n",
    );
    a_second_node_serves_a_certificate_of_its_own(&node);
    node.sh("groupadd -r etcd && useradd -r -g etcd -s /usr/sbin/nologin etcd");
    node.start_daemon();
    let admin = "/etc/kubernetes/admin.conf";
    let proven = |node: &Node| {
        node.log()
            .iter()
            .filter(|line| line.starts_with("5 mended: edit"))
            .count()
    };
    node.await_that("the node is hardened and healthy", 3 * RESTART, |node| {
        proven(node) == 4 && node.is_ready()
    });
    the_kubelets_certificate_is_told_and_approved(&node);
    assert_eq!(node.sh("stat -c %U:%G /var/lib/etcd").trim(), "etcd:etcd");
    the_api_server_verifies_kubelets_once_each_is_verified(&node);
    node.await_that("the API server is restarted for that alone", RESTART, |node| {
        proven(node) == 5
    });
    the_anonymous_are_confined(&node);
    the_cluster_can_still_be_worked_with(&node);
    the_audit_log_is_written_and_rotated(&node);
    for mode in [0o666, 0o644, 0o755] {
        node.set_mode(admin, mode);
        node.await_that("the mode is mended", Duration::from_secs(2), |node| {
            node.mode(admin) == 0o600
        });
    }
    node.sh(&format!("chown 12:34 {admin}"));
    node.await_that("the owner is mended", Duration::from_secs(2), |node| {
        node.sh(&format!("stat -c %u:%g {admin}")).trim() == "0:0"
    });

    // A flag that someone takes away comes back, with one restart of ours.
    let manifest = format!("{MANIFESTS}/kube-scheduler.yaml");
    let hardened = node.read(&manifest);
    let begun = |node: &Node| {
        node.log()
            .iter()
            .filter(|line| line.starts_with("5 begun: edit"))
            .count()
    };
    node.sh(&format!("sed -i /profiling/d {manifest}"));
    node.await_that("the flag is back and proven", RESTART, |node| {
        proven(node) == 6 && node.read(&manifest) == hardened
    });
    assert_eq!(begun(&node), 6, "one edit of ours for each restart");

    a_backup_copy_is_told_as_what_it_is(&node, &manifest);
    node.sh("systemctl stop holdfast");
    assert!(
        node.log().iter().any(|line| line.ends_with("Holdfast ends")),
        "a clean stop"
    );
}

/// The kubelet was restarted once, with its new settings, and asks for a certificate that the API server can verify.
fn the_kubelets_certificate_is_told_and_approved(node: &Node) {
    let config = node.read("/var/lib/kubelet/config.yaml");
    for line in [
        "serverTLSBootstrap: true\n",
        "seccompDefault: true\n",
        "tlsCipherSuites:\n",
    ] {
        assert!(config.contains(line), "{line}: {config}");
    }
    let (_, report) = node.json(&["check"]);
    assert!(
        ids_with(&report, "drift").contains("CIS-4.2.9"),
        "its request is not approved yet"
    );
    let approve = "kubectl certificate approve $(kubectl get csr --field-selector spec.signerName=kubernetes.io/kubelet-serving -o name)";
    node.await_that("the request is approved", RESTART, |node| {
        node.sh(&format!("{approve} >/dev/null 2>&1; echo $?")).trim() == "0"
    });
    let certificate = "test -e /var/lib/kubelet/pki/kubelet-server-current.pem; echo $?";
    node.await_that("the certificate is issued", RESTART, |node| {
        node.sh(certificate).trim() == "0"
    });
    let logs = "kubectl -n kube-system logs -l component=etcd --tail 1 >/dev/null; echo $?";
    node.await_that("the kubelet shows logs", RESTART, |node| {
        node.sh(logs).trim() == "0"
    });
    let (_, report) = node.json(&["check"]);
    let drift = ids_with(&report, "drift");
    for mended in [
        "CIS-4.2.9",
        "CIS-4.2.11",
        "CIS-4.2.12",
        "CIS-4.2.14",
        "X-KUBELET-04",
        "CIS-1.2.3",
        "CIS-1.2.9",
        "CIS-1.2.16",
        "CIS-1.2.29",
        "CIS-3.2.1",
        "X-API-07",
    ] {
        assert!(!drift.contains(mended), "{mended}: {drift:?}");
    }
}

/// A node of the cluster's whose kubelet nobody has signed a certificate for: a listener of this node's own, on another port.
fn a_second_node_serves_a_certificate_of_its_own(node: &Node) {
    let address = node.sh(
        "kubectl get nodes -o jsonpath='{.items[0].status.addresses[?(@.type==\"InternalIP\")].address}'",
    );
    let address = address.trim();
    node.sh(&format!(
        "cd /root && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout k.pem -out c.pem -subj /CN=other -addext subjectAltName=IP:{address} 2>/dev/null; \
         systemd-run --quiet --unit other-kubelet openssl s_server -quiet -accept 11250 -cert /root/c.pem -key /root/k.pem -WWW"
    ));
    let status = format!(
        r#"{{"status":{{"addresses":[{{"type":"InternalIP","address":"{address}"}}],"daemonEndpoints":{{"kubeletEndpoint":{{"Port":11250}}}}}}}}"#
    );
    node.sh(&format!(
        "printf 'apiVersion: v1\\nkind: Node\\nmetadata: {{name: other}}\\n' | kubectl create -f - && kubectl patch node other --subresource=status -p '{status}'"
    ));
}

/// While one kubelet of the cluster cannot be verified the API server is left as it is, and the reason names that node.
fn the_api_server_verifies_kubelets_once_each_is_verified(node: &Node) {
    let (_, plan) = node.json(&["plan"]);
    let none = Vec::new();
    let withheld = plan
        .get("withheld")
        .and_then(|all| all.as_array())
        .unwrap_or(&none);
    let of = |held: &&serde_json::Value| {
        let ids = held.get("controls").and_then(|ids| ids.as_array());
        ids.is_some_and(|ids| ids.iter().any(|id| id == "CIS-1.2.5"))
    };
    let message = withheld
        .iter()
        .find(of)
        .and_then(|held| held.pointer("/reason/message")?.as_str());
    let message = message.unwrap_or_default();
    assert!(
        message.contains("the kubelets of other (") && message.contains("not verified"),
        "{message}"
    );
    assert!(
        !node
            .read(&format!("{MANIFESTS}/kube-apiserver.yaml"))
            .contains("kubelet-certificate-authority")
    );
    node.sh("kubectl delete node other; systemctl stop other-kubelet; systemctl kill --kill-whom=main -s HUP holdfast");
    let manifest = format!("{MANIFESTS}/kube-apiserver.yaml");
    // While it is restarted its manifest lies elsewhere.
    let verifies =
        format!("grep -sq -- --kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt {manifest}; echo $?");
    node.await_that("the API server verifies kubelets", RESTART, |node| {
        node.sh(&verifies).trim() == "0" && node.is_ready()
    });
    let logs = "kubectl -n kube-system logs -l component=etcd --tail 1 >/dev/null; echo $?";
    node.await_that("the kubelet is one of the verified", RESTART, |node| {
        node.sh(logs).trim() == "0"
    });
}

/// The anonymous get health and what a joining node needs; all else is 401.
fn the_anonymous_are_confined(node: &Node) {
    let server = node.sh("kubectl config view --raw -o jsonpath='{.clusters[0].cluster.server}'");
    let server = server.trim().trim_start_matches("https://").to_owned();
    let code = |path: &str| {
        let ask = format!(
            "printf 'GET {path} HTTP/1.0\\r\\nHost: node\\r\\n\\r\\n' | openssl s_client -quiet -connect {server} 2>/dev/null | head -1"
        );
        node.sh(&ask)
            .split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    };
    for (path, expected) in [
        ("/livez", "200"),
        ("/readyz", "200"),
        ("/api/v1/namespaces/kube-public/configmaps/cluster-info", "200"),
        ("/version", "401"),
        ("/api", "401"),
    ] {
        assert_eq!(code(path), expected, "{path}");
    }
}

/// A program runs in a static pod of the host's network, a node that joins discovers the cluster and reads its configuration, and a snapshot
/// of etcd is made over TLS.
fn the_cluster_can_still_be_worked_with(node: &Node) {
    let version = node.sh("kubectl -n kube-system exec etcd-$(hostname) -- etcd --version");
    assert!(version.starts_with("etcd Version: "), "{version}");
    let joined = node.sh(
        "set -e; server=$(kubectl config view --raw -o jsonpath='{.clusters[0].cluster.server}' | sed s,https://,,); \
         hash=$(openssl x509 -pubkey -noout -in /etc/kubernetes/pki/ca.crt | openssl pkey -pubin -outform der | sha256sum | cut -d' ' -f1); \
         kubeadm join phase preflight $server --token $(kubeadm token create) --discovery-token-ca-cert-hash sha256:$hash \
         --ignore-preflight-errors=all 2>&1",
    );
    assert!(
        joined.contains("[preflight] Reading configuration from the \"kubeadm-config\" ConfigMap"),
        "{joined}"
    );
    let saved = node.sh(
        "ETCDCTL_API=3 etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt \
         --cert=/etc/kubernetes/pki/apiserver-etcd-client.crt --key=/etc/kubernetes/pki/apiserver-etcd-client.key \
         snapshot save /root/snapshot.db 2>&1 && stat -c %s /root/snapshot.db",
    );
    let size: u64 = saved
        .lines()
        .last()
        .and_then(|size| size.parse().ok())
        .unwrap_or(0);
    assert!(size > 100_000, "{saved}");
}

/// Who reads a secret is logged, what is in it is not; and a log of 1 MB gives way to the next one.
fn the_audit_log_is_written_and_rotated(node: &Node) {
    const FOLDER: &str = "/var/log/kubernetes/audit";
    node.sh("kubectl create secret generic audited --from-literal=x=T0p-s3cret-data && kubectl get secret audited -o yaml");
    let written = node.sh(&format!(
        "grep -h audited {FOLDER}/*.log | grep '\"verb\":\"get\"'"
    ));
    assert!(written.contains("kubernetes-admin"), "{written}");
    let log = node.sh(&format!("cat {FOLDER}/*.log"));
    assert!(
        !log.contains("T0p-s3cret-data") && !log.contains("VDBwLXMzY3JldC1kYXRh"),
        "no data of a secret is logged"
    );
    assert!(!log.contains("/livez"), "probes are not logged");
    let ask = "for i in $(seq 60); do kubectl get cm,svc,pods,sa -A >/dev/null; done; \
               ls -l /var/log/kubernetes/audit | grep -c 'audit-.*log'; true";
    node.await_that("the log is rotated", RESTART, |node| node.sh(ask).trim() != "0");
    assert_eq!(node.mode(&format!("{FOLDER}/audit.log")), 0o600);
    assert_eq!(node.mode(FOLDER), 0o700);
}

/// A backup copy in the folder is a second pod to the kubelet.
fn a_backup_copy_is_told_as_what_it_is(node: &Node, manifest: &str) {
    node.sh(&format!("cp {manifest} {manifest}.bak"));
    node.await_that("the copy is told", Duration::from_secs(10), |node| {
        node.log()
            .iter()
            .any(|line| line.contains("X-FILE-03") && line.contains("kube-scheduler.yaml.bak"))
    });
    node.sh(&format!("rm {manifest}.bak"));
}

#[test]
#[ignore = "needs the test bed"]
fn a_flag_value_that_the_api_server_refuses_is_undone_and_remembered() {
    let node = Node::fresh();
    let require = |timeout: &str| {
        node.configure(&format!(
            "mode: audit\ncontrols:\n  CIS-1.2.15: {{ mode: \"off\" }}\nrequiredFlags:\n  kube-apiserver: {{ request-timeout: {timeout} }}\n"
        ));
    };
    require("never");
    let manifest = format!("{MANIFESTS}/kube-apiserver.yaml");
    let former = node.read(&manifest);
    let said = node.holdfast(&["apply", "--yes"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(
        said.out
            .contains("invalid argument \"never\" for \"--request-timeout\""),
        "its last words: {}",
        said.out
    );
    assert!(
        said.out.contains("at fault: --request-timeout=never"),
        "{}",
        said.out
    );
    assert_eq!(node.read(&manifest), former, "the former bytes are back");
    assert!(node.is_ready());
    let pid = node.processes("kube-apiserver");

    // Remembered by the next process, and not tried again.
    let again = node.holdfast(&["apply", "--yes"]);
    assert_eq!(again.code, 2);
    assert!(again.out.contains("the node refused it"), "{}", again.out);
    assert_eq!(node.processes("kube-apiserver"), pid);

    // Its inputs change: it is made.
    require("70s");
    let said = node.holdfast(&["apply", "--yes"]);
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert_eq!(
        changed_lines(&former, &node.read(&manifest)),
        ["+    - --request-timeout=70s"]
    );
    assert!(node.is_ready());
}

#[test]
#[ignore = "needs the test bed"]
fn a_kill_in_each_kind_of_change_leaves_a_node_that_the_next_run_completes() {
    let node = Node::fresh();
    node.configure("mode: enforce\n");
    // Records of a fresh node's apply: opened, baseline, then two a mode (4.1.1 unit and drop-in, 4.1.9), then two an edit.
    for point in [
        "before:1",
        "after:3",
        "after:5",
        "before:6",
        "after:9",
        "before:10",
    ] {
        let said = node.run(&[
            "env",
            &format!("HOLDFAST_FAILPOINT={point}"),
            node::HOLDFAST,
            "apply",
            "--yes",
        ]);
        assert!(
            said.code == 137 || said.code == 9 || said.code == -1 || said.code == 2,
            "{point}: {said:?}"
        );
        node.await_that("the API server is ready", RESTART, Node::is_ready);
    }
    let said = node.holdfast(&["apply", "--yes"]);
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    let (_, report) = node.json(&["check"]);
    let left: BTreeSet<String> = set(&FAILS_FRESH).difference(&set(&MENDED)).cloned().collect();
    assert_eq!(ids_with(&report, "drift"), left);
    node.await_that("the leaders work", RESTART, |node| {
        node.is_ready() && node.leaders_work()
    });
    let leftovers = node.sh(&format!("ls -A {MANIFESTS}"));
    assert!(!leftovers.contains(".holdfast"), "{leftovers}");
}

#[test]
#[ignore = "needs the test bed"]
fn with_several_control_plane_nodes_a_pause_or_kubeadm_nothing_restarts_and_modes_go_on() {
    let node = Node::fresh();
    node.configure("mode: enforce\n");
    let pids = node.processes("kube-apiserver");
    let admin = "/etc/kubernetes/admin.conf";

    // A pause stops every change, modes too.
    node.set_mode(admin, 0o644);
    assert_eq!(
        node.holdfast(&["pause", "--for", "2h", "--reason", "the release"])
            .code,
        0
    );
    let said = node.holdfast(&["apply", "--yes"]);
    assert_eq!((said.code, node.mode(admin)), (2, 0o644));
    assert!(said.out.contains("the release"), "{}", said.out);
    assert_eq!(node.holdfast(&["resume"]).code, 0);

    // While kubeadm runs nothing restarts.
    node.sh("printf '#!/bin/sh\\nsleep 600\\n' >/dev/null; cp /bin/sleep /usr/local/bin/kubeadm; setsid /usr/local/bin/kubeadm 600 >/dev/null 2>&1 &");
    let said = node.holdfast(&["plan"]);
    assert!(said.out.contains("kubeadm has been running"), "{}", said.out);
    node.sh("pkill -f '^/usr/local/bin/kubeadm'");

    // A second etcd member is a second control-plane node.
    node.sh("ETCDCTL_API=3 etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt \
             --cert=/etc/kubernetes/pki/apiserver-etcd-client.crt --key=/etc/kubernetes/pki/apiserver-etcd-client.key \
             member add second --learner --peer-urls=https://192.0.2.12:2380");
    let said = node.holdfast(&["apply", "--yes"]);
    assert_eq!(
        (said.code, node.mode(admin)),
        (2, 0o600),
        "{}{}",
        said.out,
        said.err
    );
    assert!(said.out.contains("several control-plane nodes"), "{}", said.out);
    assert_eq!(node.processes("kube-apiserver"), pids);
}
