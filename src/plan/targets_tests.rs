//! Which files a target comes to: those of etcd, of the kubelet and of the audit log.

use super::super::fixtures::{API_SERVER, ETCD, SCHEDULER, fresh_node, path, replace_manifest};
use super::*;
use crate::controls::catalogue;

fn etcd_data_of(text: &str) -> Fact<Asked> {
    let mut node = fresh_node();
    replace_manifest(&mut node, Component::Etcd, text);
    asked(&Target::EtcdData, &node)
}

fn asked(target: &Target, node: &Observation) -> Fact<Asked> {
    paths_of(target, &Layout::kubeadm(), &node.manifests, &node.kubelet)
}

#[test]
fn the_data_folder_of_etcd_is_the_nodes_path_of_its_flag() {
    assert_eq!(etcd_data_of(ETCD), known_files([path("/var/lib/etcd")]));
    let moved = ETCD.replace("path: /var/lib/etcd", "path: /data/etcd");
    assert_eq!(etcd_data_of(&moved), known_files([path("/data/etcd")]));
    let below = moved.replace("--data-dir=/var/lib/etcd", "--data-dir=/var/lib/etcd/x");
    assert_eq!(etcd_data_of(&below), known_files([path("/data/etcd/x")]));
}

#[test]
fn a_data_folder_that_cannot_be_told_is_unknown_and_an_external_etcd_has_the_usual_one() {
    for (flag, why) in [
        (
            "--data-dir=/x",
            "--data-dir names /x, which is mounted from no folder of the node",
        ),
        (
            "--data-dir=x",
            "--data-dir is \"x\", which is not an absolute path",
        ),
        (
            "--name=x",
            "etcd is started without --data-dir, so its data lie in its container",
        ),
    ] {
        let text = ETCD.replace("--data-dir=/var/lib/etcd", flag);
        assert_eq!(etcd_data_of(&text), Fact::unknown(why));
    }
    let mut node = fresh_node();
    node.manifests.insert(Component::Etcd, Fact::Absent);
    assert_eq!(
        asked(&Target::EtcdData, &node),
        known_files([path("/var/lib/etcd")])
    );
    node.manifests.insert(Component::Etcd, Fact::unknown("not YAML"));
    assert_eq!(asked(&Target::EtcdData, &node), Fact::unknown("not YAML"));
    node.manifests.clear();
    assert_eq!(
        asked(&Target::EtcdData, &node),
        Fact::unknown("the manifest of etcd was not looked at")
    );
}

#[test]
fn the_kubelets_files_are_those_that_it_names() {
    let mut node = fresh_node();
    node.kubelet.config_file = Fact::Known(path("/etc/kubelet.yaml"));
    node.kubelet.client_ca_file = Fact::Absent;
    assert_eq!(
        asked(&Target::KubeletConfig, &node),
        known_files([path("/etc/kubelet.yaml")])
    );
    assert_eq!(asked(&Target::KubeletClientCa, &node), Fact::Absent);
    node.kubelet.config_file = Fact::Absent;
    assert_eq!(
        asked(&Target::KubeletConfig, &node),
        known_files([path("/var/lib/kubelet/config.yaml")])
    );
    node.kubelet.config_file = Fact::unknown("cannot read it");
    assert_eq!(
        asked(&Target::KubeletConfig, &node),
        Fact::unknown("cannot read it")
    );
}

#[test]
fn etcds_files_and_the_audit_log_are_written_all_the_time() {
    let mut node = fresh_node();
    let members = ["/var/lib/etcd/member/**/*".parse().unwrap()];
    let written = always_written(&Layout::kubeadm(), &node.manifests);
    assert_eq!(
        (written.files.as_slice(), written.patterns.as_slice()),
        (&[][..], &members[..])
    );
    let text = API_SERVER.replace(
        "--etcd-servers",
        "--audit-log-path=/etc/kubernetes/pki/audit.log\n    - --etcd-servers",
    );
    replace_manifest(&mut node, Component::ApiServer, &text);
    node.manifests.insert(Component::Etcd, Fact::unknown("not YAML"));
    let written = always_written(&Layout::kubeadm(), &node.manifests);
    assert_eq!(written.files, [path("/etc/kubernetes/pki/audit.log")]);
    let rotated = ["audit-*.log", "audit-*.log.gz"];
    let rotated = rotated.map(|name| format!("/etc/kubernetes/pki/{name}").parse().unwrap());
    assert_eq!(written.patterns, rotated);
}

#[test]
fn an_audit_log_brings_those_that_were_rotated_away_and_a_folder_that_is_called_after_it() {
    for (log, folder, rotated) in [
        (
            "/var/log/kubernetes/audit/audit.log",
            Some("/var/log/kubernetes/audit"),
            ["audit-*.log", "audit-*.log.gz"],
        ),
        ("/var/log/audit/k8s.log", None, ["k8s-*.log", "k8s-*.log.gz"]),
        ("/var/log/k8s.json", None, ["k8s-*.json", "k8s-*.json.gz"]),
        ("/var/log/plain", None, ["plain-*", "plain-*.gz"]),
    ] {
        let log = path(log);
        let asked = audit_log(&log);
        let files: Vec<NodePath> = std::iter::once(log.clone()).chain(folder.map(path)).collect();
        assert_eq!(asked.files, files, "{log}");
        let parent = log.parent().unwrap();
        let patterns = rotated.map(|name| format!("{parent}/{name}").parse().unwrap());
        assert_eq!(asked.patterns, patterns, "{log}");
    }
}

#[test]
fn a_tree_is_its_folder_and_all_below_it() {
    let tree = asked(&Target::Tree(path("/a")), &fresh_node());
    let expected = Asked {
        files: vec![path("/a")],
        patterns: vec!["/a/**/*".parse().unwrap()],
    };
    assert_eq!(tree, Fact::Known(expected));
}

#[test]
fn only_a_scheduler_that_is_started_with_a_configuration_file_has_a_document() {
    let documents = |node: &Observation| -> Vec<NodePath> {
        catalogue()
            .iter()
            .flat_map(|control| documents_of(control, &node.manifests))
            .collect()
    };
    let mut node = fresh_node();
    assert_eq!(documents(&node), []);
    let text = SCHEDULER.replace("--leader-elect=true", "--config=/etc/kubernetes/scheduler.conf");
    replace_manifest(&mut node, Component::Scheduler, &text);
    assert_eq!(documents(&node), [path("/etc/kubernetes/scheduler.conf")]);
}
