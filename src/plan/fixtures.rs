//! A control-plane node as kubeadm 1.35 makes it, for tests.

use std::collections::{BTreeMap, BTreeSet};

use super::build::{Circumstances, build};
use super::change::Plan;
use super::in_flight_tests::at;
use super::judge::{JudgeContext, judge};
use super::select::select;
use crate::domain::{
    Certificate, Component, ConfigLayer, ControlPlane, Digest, EntryContent, Fact, FileFacts, FileId,
    FileKind, FolderEntry, Health, HostFacts, Kubeconfig, KubeletFacts, Layout, Listener, Manifest, Mode,
    NodePath, Observation, Owner, Pair, PairFacts, PathPattern, Process, ProcessId, PublicKey, Searched,
    SignIn, Usage,
};
use crate::journal::JournalState;
use crate::manifest::{self, command_line, named_paths};

/// `kube-apiserver.yaml` as kubeadm 1.35 writes it.
pub(crate) const API_SERVER: &str = include_str!("fixtures/kube-apiserver.yaml");
/// `kube-controller-manager.yaml` as kubeadm 1.35 writes it.
pub(crate) const CONTROLLER_MANAGER: &str = include_str!("fixtures/kube-controller-manager.yaml");
/// `kube-scheduler.yaml` as kubeadm 1.35 writes it.
pub(crate) const SCHEDULER: &str = include_str!("fixtures/kube-scheduler.yaml");
/// `etcd.yaml` as kubeadm 1.35 writes it.
pub(crate) const ETCD: &str = include_str!("fixtures/etcd.yaml");

/// The manifest of a component as kubeadm 1.35 writes it.
pub(crate) const fn manifest_text(component: Component) -> &'static str {
    match component {
        Component::Scheduler => SCHEDULER,
        Component::ControllerManager => CONTROLLER_MANAGER,
        Component::ApiServer => API_SERVER,
        Component::Etcd => ETCD,
    }
}

pub(crate) fn path(text: &str) -> NodePath {
    text.parse().unwrap()
}

/// Facts of a file that is one by itself: the inode comes from the name.
pub(crate) fn facts(name: &str, kind: FileKind, mode: u32) -> FileFacts {
    let inode = name.bytes().fold(7, |hash: u64, byte| {
        hash.wrapping_mul(1_099_511_628_211) ^ u64::from(byte)
    });
    FileFacts {
        id: FileId { device: 1, inode },
        kind,
        mode: Mode::from_bits(mode),
        owner: Owner::ROOT,
        links: if kind == FileKind::Directory { 2 } else { 1 },
        size: 4_096,
        modified_ns: 0,
    }
}

/// A manifest that was read and understood.
pub(crate) fn manifest(component: Component, text: &str) -> Manifest {
    let path = Layout::kubeadm().manifest(component);
    Manifest {
        facts: facts(path.as_str(), FileKind::Regular, 0o600),
        path,
        text: text.to_owned(),
        digest: Digest::of(text.as_bytes()),
        pod: manifest::parse(text.as_bytes()).unwrap(),
    }
}

/// An entry of the manifests folder with this text.
pub(crate) fn entry(name: &str, text: &str) -> FolderEntry {
    let digest = Digest::of(text.as_bytes());
    let content = match manifest::parse(text.as_bytes()) {
        Ok(pod) => EntryContent::Pod {
            namespace: pod.namespace,
            name: pod.name,
            digest,
        },
        Err(error) => EntryContent::Unparsable {
            why: crate::domain::Reason::new(error.to_string()),
            digest: Some(digest),
        },
    };
    FolderEntry {
        name: name.to_owned(),
        exact_name: true,
        facts: facts(name, FileKind::Regular, 0o600),
        content,
        let_in: Fact::Known(Vec::new()),
    }
}

/// A process of a component, with these arguments.
pub(crate) fn process(pid: i32, argv: &[String]) -> Process {
    Process {
        id: ProcessId {
            pid,
            start_ticks: 100,
        },
        argv: argv.to_vec(),
        uid: 0,
        age_ms: 60_000,
        pod_uid: Some("6f1ed002ab5595859014ebf0951522d9".to_owned()),
    }
}

/// Puts a manifest in the place of a component's, in the folder and as its typed view.
pub(crate) fn replace_manifest(observation: &mut Observation, component: Component, text: &str) {
    let fact = Fact::Known(manifest(component, text));
    observation.manifests.insert(component, fact);
    edit_folder(observation, |entries| {
        for old in entries
            .iter_mut()
            .filter(|old| old.name == component.manifest_file())
        {
            *old = entry(component.manifest_file(), text);
        }
    });
}

/// Changes the entries of the manifests folder.
pub(crate) fn edit_folder(observation: &mut Observation, edit: impl FnOnce(&mut Vec<FolderEntry>)) {
    if let Fact::Known(entries) = &mut observation.manifest_folder {
        edit(entries);
    }
}

/// Changes the facts of a file, wherever it was listed.
pub(crate) fn edit_file(observation: &mut Observation, name: &str, edit: impl Fn(&mut FileFacts)) {
    let listings = observation.listings.values_mut();
    let listed = listings.filter_map(|listing| match listing {
        Fact::Known(listing) => listing.get_mut(&path(name)),
        Fact::Absent | Fact::Unknown(_) => None,
    });
    for fact in listed.chain(observation.files.get_mut(&path(name))) {
        if let Fact::Known(facts) = fact {
            edit(facts);
        }
    }
}

/// The folders of the kubelet's Debian package are open to the group root.
const FOLDERS: [(&str, u32); 14] = [
    ("/", 0o755),
    ("/etc", 0o755),
    ("/etc/cni/net.d", 0o755),
    ("/etc/kubernetes", 0o775),
    ("/etc/kubernetes/manifests", 0o775),
    ("/etc/kubernetes/pki", 0o755),
    ("/etc/kubernetes/pki/etcd", 0o755),
    ("/opt/cni/bin", 0o755),
    ("/usr", 0o755),
    ("/usr/bin", 0o755),
    ("/var", 0o755),
    ("/var/lib", 0o755),
    ("/var/lib/etcd", 0o700),
    ("/var/lib/kubelet", 0o775),
];

const FILES: [(&str, u32); 21] = [
    ("/etc/default/kubelet", 0o644),
    ("/etc/kubernetes/manifests/etcd.yaml", 0o600),
    ("/etc/kubernetes/manifests/kube-apiserver.yaml", 0o600),
    ("/etc/kubernetes/manifests/kube-controller-manager.yaml", 0o600),
    ("/etc/kubernetes/manifests/kube-scheduler.yaml", 0o600),
    ("/etc/kubernetes/admin.conf", 0o600),
    ("/etc/kubernetes/super-admin.conf", 0o600),
    ("/etc/kubernetes/scheduler.conf", 0o600),
    ("/etc/kubernetes/controller-manager.conf", 0o600),
    ("/etc/kubernetes/kubelet.conf", 0o600),
    ("/etc/kubernetes/pki/ca.crt", 0o644),
    ("/etc/kubernetes/pki/ca.key", 0o600),
    ("/etc/kubernetes/pki/etcd/ca.key", 0o600),
    ("/etc/kubernetes/pki/front-proxy-ca.key", 0o600),
    ("/usr/bin/containerd", 0o755),
    ("/usr/bin/kubeadm", 0o755),
    ("/usr/bin/kubectl", 0o755),
    ("/usr/bin/kubelet", 0o755),
    ("/usr/lib/systemd/system/kubelet.service", 0o644),
    ("/var/lib/kubelet/config.yaml", 0o644),
    ("/var/lib/kubelet/kubeadm-flags.env", 0o644),
];

const SOCKET: &str = "/run/containerd/containerd.sock";

const ABSENT: [&str; 16] = [
    "/etc/kubernetes/bootstrap-kubelet.conf",
    "/etc/sysconfig/kubelet",
    "/run/crio/crio.sock",
    "/etc/systemd/system/kubelet.service",
    "/etc/kubernetes/kube-proxy.conf",
    "/etc/kubernetes/kube-proxy.kubeconfig",
    "/etc/kubernetes/proxy.conf",
    "/var/lib/kube-proxy/kubeconfig",
    "/usr/bin/containerd-shim-runc-v2",
    "/usr/bin/crio",
    "/usr/local/bin/containerd",
    "/usr/local/bin/containerd-shim-runc-v2",
    "/usr/local/bin/crio",
    "/usr/local/bin/kubeadm",
    "/usr/local/bin/kubectl",
    "/usr/local/bin/kubelet",
];

const CERTIFICATES: [&str; 3] = [
    "/etc/kubernetes/pki/ca.crt",
    "/etc/kubernetes/pki/apiserver.crt",
    "/etc/kubernetes/pki/etcd/server.crt",
];

const KEYS: [&str; 4] = [
    "/etc/kubernetes/pki/ca.key",
    "/etc/kubernetes/pki/apiserver.key",
    "/etc/kubernetes/pki/etcd/server.key",
    "/etc/kubernetes/pki/sa.key",
];

type Listings = BTreeMap<PathPattern, Fact<BTreeMap<NodePath, Fact<FileFacts>>>>;

fn listings() -> Listings {
    let files = |names: &[&str], mode| {
        names
            .iter()
            .map(|name| (path(name), Fact::Known(facts(name, FileKind::Regular, mode))))
            .collect::<BTreeMap<_, _>>()
    };
    let certificates = files(&CERTIFICATES, 0o644);
    let keys = files(&KEYS, 0o600);
    let mut tree = certificates.clone();
    tree.extend(keys.clone());
    tree.extend(files(&["/etc/kubernetes/pki/sa.pub"], 0o600));
    let etcd = "/etc/kubernetes/pki/etcd";
    tree.insert(path(etcd), Fact::Known(facts(etcd, FileKind::Directory, 0o755)));
    let drop_in = "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf";
    let nothing = BTreeMap::new;
    let listing = |pattern: &str, files| (pattern.parse().unwrap(), files);
    [
        listing("/etc/kubernetes/pki/**/*.crt", Fact::Known(certificates)),
        listing("/etc/kubernetes/pki/**/*.key", Fact::Known(keys)),
        listing("/etc/kubernetes/pki/**/*", Fact::Known(tree)),
        listing(
            "/usr/lib/systemd/system/kubelet.service.d/*.conf",
            Fact::Known(files(&[drop_in], 0o644)),
        ),
        // A merged system: /lib is a link to /usr/lib, so the same file is found again.
        listing(
            "/lib/systemd/system/kubelet.service.d/*.conf",
            Fact::Known(
                [(
                    path(drop_in.strip_prefix("/usr").unwrap()),
                    Fact::Known(facts(drop_in, FileKind::Regular, 0o644)),
                )]
                .into(),
            ),
        ),
        listing("/etc/systemd/system/kubelet.service.d/*.conf", Fact::Absent),
        listing("/etc/cni/net.d/*.conf", Fact::Known(nothing())),
        listing("/etc/cni/net.d/*.conflist", Fact::Known(nothing())),
        listing("/etc/cni/net.d/*-kubeconfig", Fact::Known(nothing())),
        listing("/etc/cni/net.d/*", Fact::Known(nothing())),
        listing("/etc/kubernetes/tmp/kubeadm-*", Fact::Absent),
        listing(
            "/opt/cni/bin/*",
            Fact::Known(files(&["/opt/cni/bin/bridge"], 0o755)),
        ),
        listing(
            "/var/lib/kubelet/pki/kubelet-client-2*.pem",
            Fact::Known(files(
                &["/var/lib/kubelet/pki/kubelet-client-2026-06-01-00-00-00.pem"],
                0o600,
            )),
        ),
        listing(
            "/var/lib/kubelet/pki/kubelet-server-2*.pem",
            Fact::Known(nothing()),
        ),
        listing(
            "/var/lib/kubelet/pki/*.key",
            Fact::Known(files(&["/var/lib/kubelet/pki/kubelet.key"], 0o600)),
        ),
        listing("/var/lib/etcd/member/**/*", Fact::Known(etcd_members())),
    ]
    .into()
}

fn etcd_members() -> BTreeMap<NodePath, Fact<FileFacts>> {
    [
        ("/var/lib/etcd/member/snap", FileKind::Directory, 0o700),
        ("/var/lib/etcd/member/snap/db", FileKind::Regular, 0o600),
    ]
    .map(|(name, kind, mode)| (path(name), Fact::Known(facts(name, kind, mode))))
    .into()
}

/// A certificate of a year, or of ten for an authority; its key comes from the name.
pub(crate) fn certificate(name: &str) -> Certificate {
    let is_authority = name.contains("ca");
    let end = if is_authority {
        "2036-05-30T00:00:00Z"
    } else {
        "2027-06-01T00:00:00Z"
    };
    Certificate {
        subject: format!("CN={name}"),
        is_authority,
        not_before: "2026-06-01T00:00:00Z".parse().unwrap(),
        not_after: end.parse().unwrap(),
        key: PublicKey::Rsa(2048),
        public_key: Digest::of(name.as_bytes()),
        weak_hash: None,
    }
}

fn certificates() -> BTreeMap<NodePath, Fact<Vec<Certificate>>> {
    [
        ("/etc/kubernetes/pki/ca.crt", "ca"),
        ("/etc/kubernetes/pki/front-proxy-ca.crt", "front-proxy-ca"),
        ("/etc/kubernetes/pki/etcd/ca.crt", "etcd-ca"),
        ("/etc/kubernetes/pki/apiserver.crt", "kube-apiserver"),
        ("/etc/kubernetes/admin.conf", "kubernetes-admin"),
    ]
    .map(|(file, name)| (path(file), Fact::Known(vec![certificate(name)])))
    .into()
}

/// What of `/var/lib/kubelet/config.yaml`, as kubeadm 1.35 writes it, is judged.
const KUBELET_CONFIG: &str = "
authentication:
  anonymous: { enabled: false }
  webhook: { cacheTTL: 0s, enabled: true }
  x509: { clientCAFile: /etc/kubernetes/pki/ca.crt }
authorization: { mode: Webhook }
healthzBindAddress: 127.0.0.1
kind: KubeletConfiguration
rotateCertificates: true
staticPodPath: /etc/kubernetes/manifests
streamingConnectionIdleTimeout: 0s
";

/// The kubelet's configuration file with this text.
pub(crate) fn kubelet_config(text: &str) -> ConfigLayer {
    ConfigLayer {
        path: path("/var/lib/kubelet/config.yaml"),
        modified_ns: 0,
        document: serde_yaml::from_str(text).unwrap(),
    }
}

/// The kubelet, as the unit of its package starts it.
fn kubelet(layout: &Layout) -> KubeletFacts {
    let argv = ["/usr/bin/kubelet", "--config=/var/lib/kubelet/config.yaml"];
    KubeletFacts {
        process: Fact::Known(process(50, &argv.map(str::to_owned))),
        static_pod_path: Fact::Known(layout.manifests.clone()),
        config_file: Fact::Known(path("/var/lib/kubelet/config.yaml")),
        config: Fact::Known(kubelet_config(KUBELET_CONFIG)),
        drop_ins: Fact::Known(Vec::new()),
        drop_in_folder: Fact::Absent,
        client_ca_file: Fact::Known(layout.pki.join("ca.crt").unwrap()),
    }
}

/// A node on which `kubeadm init` has just run.
/// What kubeadm leaves on a host: nothing that is out of the ordinary.
fn host() -> HostFacts {
    let kubeconfig = Kubeconfig {
        servers: std::collections::BTreeSet::new(),
        unverified: BTreeSet::new(),
        sign_ins: [SignIn::Certificate].into(),
    };
    let pair = Pair {
        object: "etcd --cert-file".to_owned(),
        wanted: vec![Usage::Server],
        authority: Fact::Absent,
        tokens: false,
        found: Fact::Known(PairFacts {
            subject: "CN=node1".to_owned(),
            fits: true,
            issued: Fact::Absent,
            lacks: Vec::new(),
            names: Vec::new(),
        }),
    };
    let listener = Listener {
        component: Some(Component::ApiServer),
        address: (std::net::Ipv6Addr::UNSPECIFIED, 6443).into(),
    };
    HostFacts {
        kubeconfigs: Fact::Known([(path("/etc/kubernetes/admin.conf"), Fact::Known(kubeconfig))].into()),
        home_kubeconfigs: Fact::Known(BTreeMap::new()),
        pairs: Fact::Known(vec![pair]),
        pairs_to_be: Fact::unknown("it was not asked"),
        etcd_clients: Fact::Known(Vec::new()),
        etcd_peers: Fact::unknown("it was not asked"),
        exposed_keys: Fact::Known([(path("/tmp"), Searched::default())].into()),
        kubelet_unit: Fact::Known(
            [(
                path("/usr/lib/systemd/system/kubelet.service"),
                Fact::Known("[Service]\nExecStart=/usr/bin/kubelet\n".to_owned()),
            )]
            .into(),
        ),
        listeners: Fact::Known(vec![listener]),
        ssh_links: Fact::Known(BTreeMap::new()),
    }
}

#[expect(clippy::too_many_lines, reason = "a table of facts")]
pub(crate) fn fresh_node() -> Observation {
    let layout = Layout::kubeadm();
    let mut files = BTreeMap::new();
    for (name, mode) in FILES {
        files.insert(path(name), Fact::Known(facts(name, FileKind::Regular, mode)));
    }
    for (name, mode) in FOLDERS {
        files.insert(path(name), Fact::Known(facts(name, FileKind::Directory, mode)));
    }
    let socket = facts(SOCKET, FileKind::Special, 0o660);
    files.insert(path(SOCKET), Fact::Known(socket));
    for name in ABSENT {
        files.insert(path(name), Fact::Absent);
    }
    let unit = facts(
        "/usr/lib/systemd/system/kubelet.service",
        FileKind::Regular,
        0o644,
    );
    files.insert(path("/lib/systemd/system/kubelet.service"), Fact::Known(unit));
    let manifests: BTreeMap<Component, Manifest> = Component::ALL
        .map(|component| (component, manifest(component, manifest_text(component))))
        .into();
    let processes = manifests.iter().map(|(component, manifest)| {
        let argv = manifest::command_line(*component, &manifest.pod)
            .unwrap()
            .argv()
            .to_vec();
        (*component, Fact::Known(vec![process(100, &argv)]))
    });
    Observation {
        files,
        listings: listings(),
        manifest_folder: Fact::Known(
            Component::ALL
                .map(|component| entry(component.manifest_file(), manifest_text(component)))
                .to_vec(),
        ),
        processes: processes.collect(),
        manifests: manifests
            .into_iter()
            .map(|(component, manifest)| (component, Fact::Known(manifest)))
            .collect(),
        health: BTreeMap::new(),
        pod_logs: BTreeMap::new(),
        pod_cgroups: BTreeSet::new(),
        documents: BTreeMap::new(),
        free_space: BTreeMap::new(),
        asked_kubelet: crate::domain::AskedKubelet::default(),
        stale_tokens: Fact::unknown("it was not asked"),
        anonymous_grants: Fact::unknown("it was not asked"),
        oidc_authority: Fact::unknown("it was not looked at"),
        external_ips: Fact::unknown("it was not asked"),
        beyond_baseline: Fact::unknown("it was not asked"),
        kubelets: Fact::unknown("it was not asked"),
        cluster: None,
        host: host(),
        certificates: certificates(),
        first_provider: Fact::Absent,
        kubelet: kubelet(&layout),
        kubeadm: Fact::Known(Vec::new()),
        control_plane: Fact::unknown("it was not asked"),
        accounts: [("etcd:etcd".parse().unwrap(), Fact::Absent)].into(),
        readers: Fact::unknown("it was not looked at"),
    }
}

/// A fresh node of one control-plane node, healthy, whose components may be restarted.
pub(crate) fn ready_to_restart() -> Observation {
    let mut node = fresh_node();
    node.control_plane = Fact::Known(ControlPlane {
        nodes: ["node1".to_owned()].into(),
        source: "nodes",
    });
    node.health = Component::ALL.map(|of| (of, Fact::Known(Health::Ok))).into();
    node
}

/// The component runs with that manifest, and every file that it names is there.
pub(crate) fn run_manifest(node: &mut Observation, component: Component, text: &str) {
    replace_manifest(node, component, text);
    named_files_are_there(node, component);
    let pod = node.manifests[&component].known().unwrap().pod.clone();
    let argv = command_line(component, &pod).unwrap().argv().to_vec();
    node.processes
        .insert(component, Fact::Known(vec![process(100, &argv)]));
}

/// Every file that the component's flags name is there.
pub(crate) fn named_files_are_there(node: &mut Observation, component: Component) {
    let pod = node.manifests[&component].known().unwrap().pod.clone();
    let line = command_line(component, &pod).unwrap();
    for (_, named) in named_paths(component, &line) {
        let named = named.must_exist();
        let fact = facts(named.as_str(), FileKind::Regular, 0o600);
        node.files.entry(named).or_insert(Fact::Known(fact));
    }
}

/// What the daemon would do on a node by that configuration, when the journal says this and these changes failed a moment ago.
pub(crate) fn planned(
    config: &str,
    node: &Observation,
    journal: &JournalState,
    failed: &BTreeMap<Digest, String>,
) -> Plan {
    let config = crate::config::parse(config).unwrap();
    let selected = select(&config).unwrap();
    let context = JudgeContext {
        config: &config,
        layout: &Layout::kubeadm(),
        baseline: Some(&[]),
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let findings = judge(&selected, node, &context);
    let circumstances = Circumstances {
        config: &config,
        journal,
        now: at(10_000),
        asked: false,
        any_time: false,
        failed,
        retry: false,
        settling: false,
        endangered: false,
        ending: false,
        starting: false,
        paused: None,
    };
    build(&selected, &findings, node, &circumstances)
}
