//! The files of the node, with names, modes and contents as kubeadm 1.35 and the Debian packages leave them.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use holdfast::domain::Component;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

use super::ports::Port;
use super::{MANIFESTS, NODE_NAME};

/// Folders that are not 0755.
const PRIVATE_FOLDERS: [&str; 6] = [
    "var/lib/etcd",
    "var/lib/etcd/member",
    "var/lib/etcd/member/snap",
    "var/lib/etcd/member/wal",
    "etc/cni/net.d",
    "root",
];

const FOLDERS: [&str; 8] = [
    "etc/kubernetes/manifests",
    "etc/kubernetes/pki/etcd",
    "usr/lib/systemd/system/kubelet.service.d",
    "usr/local/bin",
    "usr/bin",
    "var/lib/kubelet/pki",
    "var/log/pods",
    "run",
];

const KEY_PAIRS: [&str; 10] = [
    "ca",
    "apiserver",
    "apiserver-kubelet-client",
    "apiserver-etcd-client",
    "front-proxy-ca",
    "front-proxy-client",
    "etcd/ca",
    "etcd/server",
    "etcd/peer",
    "etcd/healthcheck-client",
];

/// The kubelet's Debian package leaves these open to the group root.
const PACKAGED: [&str; 3] = ["etc/kubernetes", MANIFESTS, "var/lib/kubelet"];

const KUBECONFIGS: [(&str, &str); 5] = [
    ("admin.conf", "kubernetes-admin"),
    ("super-admin.conf", "kubernetes-super-admin"),
    ("controller-manager.conf", "system:kube-controller-manager"),
    ("scheduler.conf", "system:kube-scheduler"),
    ("kubelet.conf", "system:node:node1"),
];

/// Writes all of them below `root`.
pub fn write_all(root: &Path, ports: &[(Component, Port)]) {
    for folder in FOLDERS {
        make_folder(root, folder, 0o755);
    }
    for folder in PRIVATE_FOLDERS {
        make_folder(root, folder, 0o700);
    }
    for folder in PACKAGED {
        let mode = Permissions::from_mode(0o775);
        std::fs::set_permissions(root.join(folder), mode).expect("a folder of ours");
    }
    write_accounts(root);
    write_kubelet(root);
    write_pki(root);
    for (file, user) in KUBECONFIGS {
        write(root, &format!("etc/kubernetes/{file}"), 0o600, &kubeconfig(user));
    }
    for (component, port) in ports {
        let file = format!("{MANIFESTS}/{}", component.manifest_file());
        write(root, &file, 0o600, &manifest(*component, port.number()));
    }
    for program in Component::ALL.map(Component::name).into_iter().chain(["pause"]) {
        write(root, &format!("usr/local/bin/{program}"), 0o755, "no program\n");
    }
}

/// The manifest of a component as kubeadm writes it, but for the probes: over HTTP, to this port of 127.0.0.1.
pub fn manifest(component: Component, port: u16) -> String {
    let template = match component {
        Component::Scheduler => include_str!("kubeadm/kube-scheduler.yaml"),
        Component::ControllerManager => include_str!("kubeadm/kube-controller-manager.yaml"),
        Component::ApiServer => include_str!("kubeadm/kube-apiserver.yaml"),
        Component::Etcd => include_str!("kubeadm/etcd.yaml"),
    };
    template.replace("@PORT@", &port.to_string())
}

/// Writes a file of the node and gives it that mode, whatever the umask is.
pub fn write(root: &Path, path: &str, mode: u32, content: &str) {
    let file = root.join(path);
    std::fs::create_dir_all(file.parent().expect("below the root")).expect("the world's folder is writable");
    std::fs::write(&file, content).expect("the world's folder is writable");
    std::fs::set_permissions(&file, Permissions::from_mode(mode)).expect("a file of ours");
}

fn make_folder(root: &Path, path: &str, mode: u32) {
    let mut folder = root.to_owned();
    for part in path.split('/') {
        folder.push(part);
        if !folder.exists() {
            std::fs::create_dir(&folder).expect("the world's folder is writable");
            std::fs::set_permissions(&folder, Permissions::from_mode(mode)).expect("a folder of ours");
        }
    }
}

/// Debian's, without the account `etcd`, which kubeadm does not make.
fn write_accounts(root: &Path) {
    let passwd = "root:x:0:0:root:/root:/bin/bash\n\
        daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
        nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n\
        systemd-network:x:998:998:systemd Network Management:/:/usr/sbin/nologin\n";
    let group = "root:x:0:\ndaemon:x:1:\nadm:x:4:\nnogroup:x:65534:\nsystemd-network:x:998:\n";
    write(root, "etc/passwd", 0o644, passwd);
    write(root, "etc/group", 0o644, group);
    write(root, "etc/hostname", 0o644, &format!("{NODE_NAME}\n"));
}

/// Ports of the real kubelet are taken on a machine that is a node.
pub fn kubelet_listens_at(root: &Path, port: u16) {
    let path = root.join("var/lib/kubelet/config.yaml");
    let text = std::fs::read_to_string(&path).expect("just written");
    let modified = std::fs::metadata(&path).and_then(|facts| facts.modified());
    std::fs::write(
        &path,
        text.replace("healthzPort: 10248", &format!("healthzPort: {port}")),
    )
    .expect("writable");
    let file = std::fs::File::options()
        .write(true)
        .open(&path)
        .expect("just written");
    file.set_modified(modified.expect("Linux tells it"))
        .expect("a file of ours");
}

fn write_kubelet(root: &Path) {
    let units = "usr/lib/systemd/system";
    let config = include_str!("kubeadm/kubelet-config.yaml");
    let drop_in = include_str!("kubeadm/10-kubeadm.conf");
    write(root, "var/lib/kubelet/config.yaml", 0o644, config);
    // kubeadm writes it before it starts the kubelet, which has been running for a while.
    let yesterday = SystemTime::now() - Duration::from_hours(24);
    let file = std::fs::File::open(root.join("var/lib/kubelet/config.yaml")).expect("just written");
    file.set_modified(yesterday).expect("a file of ours");
    write(
        root,
        "var/lib/kubelet/kubeadm-flags.env",
        0o644,
        "KUBELET_KUBEADM_ARGS=\"\"\n",
    );
    write(
        root,
        &format!("{units}/kubelet.service"),
        0o644,
        include_str!("kubeadm/kubelet.service"),
    );
    write(
        root,
        &format!("{units}/kubelet.service.d/10-kubeadm.conf"),
        0o644,
        drop_in,
    );
    let client = "kubelet-client-2026-01-01-00-00-00.pem";
    write(
        root,
        &format!("var/lib/kubelet/pki/{client}"),
        0o600,
        &pair("system:node:node1").0,
    );
    symlink(
        format!("/var/lib/kubelet/pki/{client}"),
        root.join("var/lib/kubelet/pki/kubelet-client-current.pem"),
    )
    .expect("a new link");
    for program in ["usr/bin/kubelet", "usr/bin/kubeadm", "usr/lib/systemd/systemd"] {
        write(root, program, 0o755, "no program\n");
    }
}

fn write_pki(root: &Path) {
    let pki = "etc/kubernetes/pki";
    for name in KEY_PAIRS {
        let (certificate, key) = pair(name);
        write(root, &format!("{pki}/{name}.crt"), 0o644, &certificate);
        write(root, &format!("{pki}/{name}.key"), 0o600, &key);
    }
    let tokens = rcgen::KeyPair::generate().expect("a key");
    write(root, &format!("{pki}/sa.key"), 0o600, &tokens.serialize_pem());
    write(root, &format!("{pki}/sa.pub"), 0o600, &tokens.public_key_pem());
}

/// The certificate of that name and its key, by the authority that kubeadm takes for it; each is made once.
fn pair(name: &'static str) -> (String, String) {
    static AUTHORITIES: Mutex<BTreeMap<&str, CertifiedIssuer<'static, KeyPair>>> =
        Mutex::new(BTreeMap::new());
    static LEAVES: Mutex<BTreeMap<&str, (String, String)>> = Mutex::new(BTreeMap::new());
    let mut params = CertificateParams::new(Vec::new()).expect("no name is refused");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let by = match name {
        "front-proxy-client" | "front-proxy-ca" => "front-proxy-ca",
        name if name.contains("etcd") => "etcd/ca",
        _ => "ca",
    };
    let new_key = || KeyPair::generate().expect("a key");
    if by == name {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let mut made = AUTHORITIES.lock().expect("nobody panics with it");
        let make = || CertifiedIssuer::self_signed(params, new_key()).expect("a certificate");
        let authority = made.entry(name).or_insert_with(make);
        return (authority.pem(), authority.key().serialize_pem());
    }
    // The authority is there before anybody asks for it.
    pair(by);
    let authorities = AUTHORITIES.lock().expect("nobody panics with it");
    let mut made = LEAVES.lock().expect("nobody panics with it");
    let make = || {
        let key = new_key();
        let certificate = params.signed_by(&key, &authorities[by]).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    };
    made.entry(name).or_insert_with(make).clone()
}

fn kubeconfig(user: &str) -> String {
    let credentials = if user.starts_with("system:node:") {
        let pem = "/var/lib/kubelet/pki/kubelet-client-current.pem";
        format!("    client-certificate: {pem}\n    client-key: {pem}\n")
    } else {
        "    client-certificate-data: bm90IHJlYWw=\n    client-key-data: bm90IHJlYWw=\n".to_owned()
    };
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: bm90IHJlYWw=\n    server: https://192.0.2.11:6443\n  \
         name: kubernetes\ncontexts:\n- context:\n    cluster: kubernetes\n    user: {user}\n  name: {user}@kubernetes\n\
         current-context: {user}@kubernetes\nkind: Config\nusers:\n- name: {user}\n  user:\n{credentials}"
    )
}
