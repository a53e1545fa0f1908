//! A node whose files lie elsewhere than kubeadm puts them: judged, mended and bounced there. Run by `tests/run`; by hand, as root:
//! `cargo test --test bed_layouts -- --ignored --nocapture`.

#[path = "bed/node.rs"]
mod node;

use std::time::Duration;

use node::{Node, changed_lines};

const RESTART: Duration = Duration::from_secs(180);
const COMPONENTS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// What kubeadm keeps below /etc/kubernetes goes to /srv/k8s, static pods to a folder of another name; a copy of admin.conf stays for the
/// bed's own kubectl. The pods are other ones to the kubelet, so all of them are started anew.
const MOVE: &str = r"
set -e
systemctl stop kubelet
mkdir -p /srv/k8s && cp -a /etc/kubernetes/. /srv/k8s/ && mv /srv/k8s/manifests /srv/k8s/static-pods
find /etc/kubernetes -mindepth 1 ! -name admin.conf -delete
cp -a /srv/k8s/admin.conf /etc/kubernetes/admin.conf
sed -i 's,/etc/kubernetes/,/srv/k8s/,g' /srv/k8s/static-pods/*.yaml
sed -i -e 's,/etc/kubernetes/manifests,/srv/k8s/static-pods,' -e 's,/etc/kubernetes/,/srv/k8s/,g' /var/lib/kubelet/config.yaml
sed -i 's,/etc/kubernetes/,/srv/k8s/,g' $(grep -rl /etc/kubernetes/ /etc/systemd/system/kubelet.service.d /usr/lib/systemd/system/kubelet.service.d 2>/dev/null)
systemctl daemon-reload && systemctl start kubelet
";

fn is_ready(node: &Node) -> bool {
    node.is_ready() && COMPONENTS.iter().all(|name| node.processes(name).len() == 1)
}

#[test]
#[ignore = "needs the test bed"]
fn a_node_that_was_set_up_elsewhere_is_judged_mended_and_bounced_there() {
    let node = Node::fresh();
    let at_home = node.drift();
    node.sh(MOVE);
    let moved = "^kube-apiserver .*--client-ca-file=/srv/k8s/pki/ca.crt";
    node.await_that("the node runs from elsewhere", RESTART, |node| {
        node.run(&["pgrep", "-f", moved]).code == 0 && is_ready(node)
    });
    node.await_that("the leaders work", RESTART, Node::leaders_work);

    node.configure("paths: { kubernetes: /srv/k8s, manifests: /srv/k8s/static-pods }\n");
    let mut elsewhere = node.drift();
    // The bed's copy of the administrator's kubeconfig.
    elsewhere.remove("X-CRED-09");
    assert_eq!(elsewhere, at_home);

    let manifest = |name: &str| format!("/srv/k8s/static-pods/{name}.yaml");
    let texts = COMPONENTS.map(|name| node.read(&manifest(name)));
    node.configure(
        "mode: enforce\nprofile: cis-level-1\npaths: { kubernetes: /srv/k8s, manifests: /srv/k8s/static-pods }\n",
    );
    let said = node.holdfast(&["apply", "--yes"]);
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    for (name, text) in COMPONENTS.iter().zip(&texts) {
        let meant = ["+    - --profiling=false".to_owned()];
        assert_eq!(changed_lines(text, &node.read(&manifest(name))), meant, "{name}");
    }
    assert!(is_ready(&node), "proven, and so it answers");
    node.await_that("the leaders work", RESTART, Node::leaders_work);

    for name in COMPONENTS {
        let before = node.processes(name);
        let said = node.holdfast(&["bounce", name, "--yes"]);
        assert_eq!(said.code, 0, "{name}: {}{}", said.out, said.err);
        assert_ne!(node.processes(name), before, "{name}");
        node.await_that("all of it runs", RESTART, is_ready);
        node.await_that("the leaders work", RESTART, Node::leaders_work);
    }
    let left = node.sh("find /srv/k8s/static-pods /etc/kubernetes -mindepth 1 ! -name .kubelet-keep | sort");
    assert_eq!(
        left.lines().collect::<Vec<_>>(),
        [
            "/etc/kubernetes/admin.conf",
            "/srv/k8s/static-pods/etcd.yaml",
            "/srv/k8s/static-pods/kube-apiserver.yaml",
            "/srv/k8s/static-pods/kube-controller-manager.yaml",
            "/srv/k8s/static-pods/kube-scheduler.yaml",
        ]
    );
}
