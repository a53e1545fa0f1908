//! Flags and settings that a benchmark asks for and kubeadm gives, taken away or turned round, and given back, on a genuine kubeadm node. Run by
//! `tests/run`; by hand, as root: `cargo test --test bed_mends -- --ignored --nocapture`.

#[path = "bed/node.rs"]
mod node;

use std::collections::BTreeSet;
use std::time::Duration;

use node::{Node, changed_lines};

const RESTART: Duration = Duration::from_secs(180);
const MANIFESTS: &str = "/etc/kubernetes/manifests";
const KUBELET: &str = "/var/lib/kubelet/config.yaml";

/// What is mended, each by one restart of its component.
const MENDED: [&str; 16] = [
    "CIS-1.2.2",
    "CIS-1.2.4",
    "CIS-1.2.23",
    "CIS-1.2.24",
    "CIS-1.3.7",
    "CIS-1.4.2",
    "CIS-2.1",
    "CIS-2.2",
    "CIS-2.3",
    "CIS-2.5",
    "CIS-4.2.3",
    "X-API-11",
    "X-ETCD-03",
    "X-ETCD-04",
    "X-ETCD-06",
    "X-FILE-04",
];

/// etcd asks nobody for a certificate, and shows its metrics to everybody.
const ETCD: &str = r"
sed -i -e '/--client-cert-auth=/d' -e '/--peer-client-cert-auth=/d' -e '/--peer-trusted-ca-file=/d' \
    -e 's,--listen-metrics-urls=.*,--listen-metrics-urls=http://0.0.0.0:2381,' \
    -e '/- --name=/i\    - --cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256' \
    -e '/- --name=/i\    - --auto-tls=true' /etc/kubernetes/manifests/etcd.yaml
";

/// The API server shows no certificate to kubelets, takes static tokens, and has a flag twice; the others listen everywhere, and are
/// probed at the pod's address, as kubeadm would have it.
const OTHERS: &str = r"
printf 'secret-of-nobody,nobody,1\n' > /etc/kubernetes/pki/tokens.csv; chmod 0600 /etc/kubernetes/pki/tokens.csv
cd /etc/kubernetes/manifests
sed -i -e '/--kubelet-client-certificate=/d' -e '/--kubelet-client-key=/d' \
    -e '/- --allow-privileged=/i\    - --allow-privileged=false' \
    -e '/- --secure-port=/i\    - --token-auth-file=/etc/kubernetes/pki/tokens.csv' kube-apiserver.yaml
sed -i -e 's,--bind-address=.*,--bind-address=0.0.0.0,' -e '/^ *host: /d' kube-controller-manager.yaml kube-scheduler.yaml
";

/// The kubelet verifies no client, and takes pods from a URL.
const OF_KUBELET: &str = r"
sed -i -e '/clientCAFile:/d' -e '/^  x509:/d' -e '$a staticPodURL: http://127.0.0.1:9/pods' /var/lib/kubelet/config.yaml
systemctl restart kubelet
";

const COMPONENTS: [&str; 4] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

fn manifest(name: &str) -> String {
    format!("{MANIFESTS}/{name}.yaml")
}

/// Makes of a fresh node an open one that runs.
fn open(node: &Node) {
    for (script, sign) in [
        (ETCD, "^etcd .*--auto-tls=true"),
        (OTHERS, "^kube-scheduler .*--bind-address=0.0.0.0"),
        (OF_KUBELET, "^/usr/bin/kubelet "),
    ] {
        node.sh(script);
        node.await_that("the node runs with it", RESTART, |node| {
            node.run(&["pgrep", "-f", sign]).code == 0 && node.is_ready()
        });
    }
    node.await_that("the API server runs with it", RESTART, |node| {
        node.run(&["pgrep", "-f", "^kube-apiserver .*--token-auth-file"])
            .code
            == 0
            && node.is_ready()
    });
    node.await_that("the leaders work", RESTART, Node::leaders_work);
}

/// Only these controls are enforced, and with what the operator must allow.
fn configuration() -> String {
    let lines = MENDED.iter().map(|id| {
        let asks = !["CIS-1.2.4", "CIS-1.2.23", "CIS-1.2.24", "CIS-4.2.3", "X-FILE-04"].contains(id);
        let allow = if asks { ", conditional: allow" } else { "" };
        format!("  {id}: {{ mode: enforce{allow} }}\n")
    });
    format!("mode: audit\ncontrols:\n{}", lines.collect::<String>())
}

/// All is as kubeadm made it, but for the order of flags, and for what is only said otherwise.
fn is_kubeadms_again(node: &Node, kubeadms: &[String; 4]) {
    let flags =
        |text: &str| -> BTreeSet<String> { text.lines().map(|line| line.trim().to_owned()).collect() };
    for (name, kubeadms) in COMPONENTS.iter().zip(kubeadms) {
        let (now, former) = (flags(&node.read(&manifest(name))), flags(kubeadms));
        let more: Vec<&String> = now.difference(&former).collect();
        let said: &[&str] = if *name == "etcd" {
            &[
                "- --auto-tls=false",
                "- --cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            ]
        } else {
            &[]
        };
        assert_eq!(more, said, "{name}");
        let less: Vec<&String> = former.difference(&now).collect();
        assert_eq!(less, Vec::<&String>::new(), "{name}");
    }
}

#[test]
#[ignore = "needs the test bed"]
fn what_was_taken_away_or_opened_comes_back_with_one_restart_of_each_and_all_of_it_works() {
    let node = Node::fresh();
    let kubeadms = COMPONENTS.map(|name| node.read(&manifest(name)));
    let kubelets = node.read(KUBELET);
    open(&node);
    let found = node.drift();
    let of_open = MENDED
        .iter()
        .filter(|id| !["CIS-1.2.23", "CIS-1.2.24", "CIS-2.1"].contains(id));
    let missing: Vec<&&str> = of_open.filter(|id| !found.contains(**id)).collect();
    assert_eq!(missing, Vec::<&&str>::new());

    node.configure(&configuration());
    let before = COMPONENTS.map(|name| node.processes(name));
    node.start_daemon();
    node.await_that("all of it is mended", 4 * RESTART, |node| {
        let found = node.drift();
        MENDED.iter().all(|id| !found.contains(*id))
    });
    node.await_that("the API server is ready", RESTART, Node::is_ready);
    node.await_that("the leaders work", RESTART, Node::leaders_work);
    let begun = |what: &str| {
        let line = format!("5 begun: edit of {what}");
        node.log().iter().filter(|said| said.starts_with(&line)).count()
    };
    for (name, before) in COMPONENTS.iter().zip(&before) {
        assert_eq!(begun(&manifest(name)), 1, "{name} is edited once");
        assert_ne!(node.processes(name), *before, "{name} was restarted");
    }
    // Its authority waits until the API server runs with a certificate: the kubelet would refuse it otherwise.
    assert_eq!(begun(KUBELET), 2, "the kubelet once, and once for its authority");
    is_kubeadms_again(&node, &kubeadms);
    let meant = ["staticPodURL", "x509", "clientCAFile"];
    let more = changed_lines(&kubelets, &node.read(KUBELET));
    assert!(
        more.iter()
            .all(|line| meant.iter().any(|word| line.contains(word))),
        "{more:?}"
    );

    let logs = "kubectl -n kube-system logs -l component=etcd --tail 1 >/dev/null; echo $?";
    node.await_that("the kubelet shows logs", RESTART, |node| {
        node.sh(logs).trim() == "0"
    });
    let asks = "printf 'GET /health HTTP/1.0\\r\\n\\r\\n' | openssl s_client -quiet -connect 127.0.0.1:2379 2>/dev/null | grep -c health; true";
    assert_eq!(
        node.sh(asks).trim(),
        "0",
        "etcd answers to nobody without a certificate"
    );
}
