#![expect(clippy::disallowed_methods, reason = "the test makes the node's files")]

use std::path::Path;

use super::*;
use crate::domain::{Digest, FileFacts};

/// A manifest of kube-apiserver with these flags, and what it comes to on a node with these files.
fn accessed(flags: &[&str], files: &[(&str, &str)]) -> Result<Access, String> {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let mut text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\nspec:\n  containers:\n  \
                    - name: kube-apiserver\n    command:\n    - kube-apiserver\n"
        .to_owned();
    for flag in flags {
        text.push_str(&format!("    - {flag}\n"));
    }
    text.push_str("    volumeMounts:\n    - {name: pki, mountPath: /etc/kubernetes/pki}\n");
    text.push_str("  volumes:\n  - {name: pki, hostPath: {path: /srv/pki}}\n");
    let manifest = Manifest {
        path: "/etc/kubernetes/manifests/kube-apiserver.yaml".parse().unwrap(),
        digest: Digest::of(text.as_bytes()),
        facts: facts(folder.path()),
        pod: manifest::parse(text.as_bytes()).unwrap(),
        text,
    };
    let files = Files::at(folder.path()).unwrap();
    access(&files, &manifest).map_err(|error| error.to_string())
}

fn facts(folder: &Path) -> FileFacts {
    std::fs::create_dir_all(folder.join("etc")).unwrap();
    match Files::at(folder).unwrap().facts(&"/etc".parse().unwrap()) {
        Fact::Known(facts) => facts,
        other @ (Fact::Absent | Fact::Unknown(_)) => panic!("{other:?}"),
    }
}

const KUBEADM: [&str; 4] = [
    "--etcd-servers=https://127.0.0.1:2379",
    "--etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt",
    "--etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt",
    "--etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key",
];

const PKI: [(&str, &str); 3] = [
    ("srv/pki/etcd/ca.crt", "CA"),
    ("srv/pki/apiserver-etcd-client.crt", "CERTIFICATE"),
    ("srv/pki/apiserver-etcd-client.key", "SECRET"),
];

#[test]
fn etcd_is_reached_as_the_api_server_does_through_its_mounts() {
    let access = accessed(&KUBEADM, &PKI).unwrap();
    assert_eq!(access.endpoints, ["https://127.0.0.1:2379"]);
    assert_eq!(access.paths.prefix(), "/registry/");
    let tls = access.tls.as_ref().unwrap();
    let (certificate, key) = tls.identity.as_ref().unwrap();
    assert_eq!(tls.authority, b"CA");
    assert_eq!(
        (certificate.as_slice(), key.as_slice()),
        (&b"CERTIFICATE"[..], &b"SECRET"[..])
    );
    assert!(!format!("{access:?}").contains("SECRET"));
    // The bytes, as Debug would print a vector of them.
    assert!(!format!("{access:?}").contains("83, 69, 67"));
}

#[test]
fn an_external_etcd_with_several_endpoints_and_a_prefix_of_its_own_is_taken() {
    let flags = [
        "--etcd-servers=http://a:2379,http://b:2379",
        "--etcd-prefix=/other",
    ];
    let access = accessed(&flags, &[]).unwrap();
    assert_eq!(access.endpoints, ["http://a:2379", "http://b:2379"]);
    assert_eq!(access.paths.prefix(), "/other/");
    assert!(access.tls.is_none());
    let bare = accessed(&["--etcd-servers=a:2379"], &[]).unwrap();
    assert_eq!(bare.endpoints, ["http://a:2379"]);
    let root = accessed(&["--etcd-servers=http://a", "--etcd-prefix="], &[]).unwrap();
    assert_eq!(root.paths.prefix(), "/");
    let authority_only = accessed(&["--etcd-servers=a:2379", KUBEADM[1]], &PKI).unwrap();
    assert_eq!(authority_only.endpoints, ["https://a:2379"]);
    assert!(authority_only.tls.unwrap().identity.is_none());
}

#[test]
fn what_would_hide_values_or_is_not_there_is_refused() {
    let with = |more: &str| {
        accessed(&["--etcd-servers=http://a", more], &[])
            .map(|_| ())
            .unwrap_err()
    };
    assert_eq!(
        accessed(&[], &[]).unwrap_err(),
        "kube-apiserver has no --etcd-servers to find etcd by"
    );
    assert_eq!(
        with("--etcd-servers-overrides=/events#http://b:2379;http://c:2379"),
        "kube-apiserver keeps some resources in another etcd (--etcd-servers-overrides=/events#http://b:2379;http://c:2379), \
         which is not looked into; keys are only changed where all values are seen"
    );
    assert_eq!(
        with("--etcd-prefix=/a/../b"),
        "--etcd-prefix=/a/../b is not understood: it must be a path without . and .. in it"
    );
    let servers = |servers: &str| accessed(&[&format!("--etcd-servers={servers}")], &[]).unwrap_err();
    assert_eq!(
        servers("unix:///run/etcd"),
        "--etcd-servers names unix:///run/etcd, which is no http or https endpoint"
    );
    assert_eq!(
        servers("https://a"),
        "kube-apiserver has no --etcd-cafile to ask etcd with"
    );
    assert_eq!(
        accessed(&KUBEADM[..3], &PKI).unwrap_err(),
        "kube-apiserver has no --etcd-keyfile to ask etcd with"
    );
    assert_eq!(
        accessed(&KUBEADM, &PKI[..2]).unwrap_err(),
        "--etcd-keyfile: /srv/pki/apiserver-etcd-client.key is not there"
    );
    let elsewhere = ["--etcd-servers=https://a", "--etcd-cafile=/opt/ca.crt"];
    assert_eq!(
        accessed(&elsewhere, &[]).unwrap_err(),
        "--etcd-cafile: /opt/ca.crt is not mounted"
    );
}
