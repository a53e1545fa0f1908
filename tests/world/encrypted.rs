//! A whole node with encryption at rest: the simulated node, an etcd that holds really encrypted secrets, and an API server between them
//! that loads the configuration which its manifest names, when it starts and when the file changes, and lets etcd compact.
//!
//! What must never be is remembered ([`Cluster::wrong`]): an API server that has a value in its storage which it cannot read.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use holdfast::domain::Component;

use super::api_server::{ApiServer, Backend, SECRETS};
use super::at_rest::{AtRest, key_of};
use super::etcd::{Etcd, Handle, Pki, Store};
use super::kubelet;
use super::{NODE_NAME, Options, World};

/// The configuration, below the root.
pub const CONFIG: &str = "etc/kubernetes/enc/enc.yaml";
/// What Holdfast keeps, below the root.
pub const STATE: &str = "var/lib/holdfast";
const REGISTRY: &str = "/registry/secrets/";
const OBJECTS: &str = "/api/v1/namespaces/";
/// What the API server writes of itself after each load.
const OWN: &str = "/registry/secrets/kube-system/own";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases?labelSelector=apiserver.kubernetes.io%2Fidentity%3Dkube-apiserver&limit=500";
/// How often the API server looks at its file; the real one does once a minute.
const TICK: Duration = Duration::from_millis(4);
/// It lets etcd compact when nothing was written for so long, and again after the second time; the real one does every five minutes.
const QUIET: Duration = Duration::from_millis(30);
const COMPACTS: Duration = Duration::from_millis(700);

/// How the API server comes to a new configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loads {
    /// By itself, when the file changes.
    ByItself,
    /// When it starts.
    AtStart,
}

/// What a node is made of.
#[derive(Clone)]
pub struct Contents {
    /// Files below the root, with their modes.
    pub files: BTreeMap<PathBuf, (u32, Vec<u8>)>,
    /// All that etcd holds.
    pub etcd: Store,
}

/// The node. Dropped, it ends its threads.
pub struct Cluster {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    server: ApiServer,
    etcd: Etcd,
    pub world: World,
}

struct Shared {
    root: PathBuf,
    etcd: Handle,
    kubelet: Arc<kubelet::Shared>,
    state: Mutex<State>,
    ending: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The process that serves, and what it has loaded.
    serving: Option<(i32, AtRest)>,
    /// The bytes of its file when it looked last.
    seen: Vec<u8>,
    wrong: Vec<String>,
    /// Which configurations it does not load while it runs, and how often it tried.
    refuses: Option<fn(&[u8]) -> bool>,
    failures: u64,
    /// Another server has its host name, and renews its lease, too.
    twin: bool,
    /// How long a revision outlasts the next compaction, if longer than usual.
    compacts: Option<Duration>,
    /// etcd compacts of itself: nobody notes down where.
    unnoted: bool,
    /// How often the lease was looked at.
    leases_asked: u32,
}

impl Cluster {
    /// A node that has these secrets, `NAMESPACE/NAME`, under the key `old`, and reads plaintext, too.
    pub fn new(loads: Loads, secrets: &[&str], holdfast: Option<&str>) -> Self {
        let text = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  \
                    - aescbc: {keys: [{name: old, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}\n  - identity: {}\n";
        let config = AtRest::parse(text.as_bytes()).expect("a configuration");
        let mut etcd = Store::new();
        for name in secrets {
            let (namespace, of) = name.split_once('/').expect("NAMESPACE/NAME");
            let plain = format!(
                r#"{{"kind":"Secret","metadata":{{"name":"{of}","namespace":"{namespace}","uid":"uid-{of}"}},"data":{{"x":"of {name}"}}}}"#
            );
            etcd.put(
                format!("{REGISTRY}{name}").as_bytes(),
                Some(&config.seal(plain.as_bytes())),
            );
        }
        let files = BTreeMap::from([(PathBuf::from(CONFIG), (0o600, text.as_bytes().to_vec()))]);
        Self::of(loads, Contents { files, etcd }, holdfast)
    }

    /// A node of these contents that is being switched on.
    pub fn of(loads: Loads, contents: Contents, holdfast: Option<&str>) -> Self {
        let world = World::with(Options {
            kubelet: false,
            config: holdfast.map(str::to_owned),
            ..Options::default()
        });
        let pki = Pki::new();
        let etcd = Etcd::with_tls(pki.clone());
        *etcd.store() = contents.etcd;
        let shared = Arc::new(Shared {
            root: world.root().to_owned(),
            etcd: Handle::clone(&etcd),
            kubelet: Arc::clone(&world.shared),
            state: Mutex::default(),
            ending: AtomicBool::new(false),
        });
        let server = ApiServer::before(Arc::clone(&shared) as Arc<dyn Backend>);
        let pki_folder = world.path("/etc/kubernetes/pki");
        for (file, text) in [
            ("etcd/ca.crt", &pki.authority),
            ("apiserver-etcd-client.crt", &pki.certificate),
            ("apiserver-etcd-client.key", &pki.key),
        ] {
            std::fs::write(pki_folder.join(file), text).expect("the world's folder is writable");
        }
        std::fs::write(world.path("/etc/kubernetes/admin.conf"), server.kubeconfig()).expect("writable");
        std::fs::create_dir_all(world.root().join(CONFIG).parent().expect("a folder")).expect("writable");
        for (path, (mode, bytes)) in &contents.files {
            let path = world.root().join(path);
            make_private(path.parent().expect("below the root"));
            std::fs::write(&path, bytes).expect("the world's folder is writable");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(*mode)).expect("a file of ours");
        }
        let manifest = world.manifest(Component::ApiServer);
        let text = std::fs::read_to_string(&manifest).expect("kubeadm's manifest");
        std::fs::write(&manifest, with_encryption(&text, &server, &etcd, loads)).expect("writable");
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.run()
        });
        let cluster = Self {
            shared,
            thread: Some(thread),
            server,
            etcd,
            world,
        };
        cluster.world.start_kubelet();
        cluster
    }

    /// Waits until the API server serves; what it has loaded.
    pub fn serving(&self) -> AtRest {
        let ready = |world: &World| world.all_ready() && self.loaded().is_some();
        assert!(
            self.world.wait_until(Duration::from_secs(30), ready),
            "the API server does not come up: {:?}",
            self.wrong()
        );
        self.loaded().expect("it was there")
    }

    /// What the API server has loaded, while it runs.
    pub fn loaded(&self) -> Option<AtRest> {
        self.shared
            .lock()
            .serving
            .as_ref()
            .map(|(_, config)| config.clone())
    }

    /// What must never be, and was.
    pub fn wrong(&self) -> Vec<String> {
        self.shared.lock().wrong.clone()
    }

    /// Which configurations the API server does not start with from now on.
    pub fn does_not_bear(&self, which: Option<fn(&[u8]) -> bool>) {
        self.shared.kubelet.lock().not_borne = which;
    }

    /// Which configurations the API server refuses from now on when it is to load them while it runs.
    pub fn refuses_to_reload(&self, which: Option<fn(&[u8]) -> bool>) {
        self.shared.lock().refuses = which;
    }

    /// How long nothing is written before etcd is let compact.
    pub fn compacts_after(&self, quiet: Duration) {
        self.shared.lock().compacts = Some(quiet);
    }

    /// etcd compacts of itself, and not because the API server has it do so.
    pub fn compacts_by_itself(&self) {
        self.shared.lock().unnoted = true;
    }

    /// Whether another host of the same name has an API server.
    pub fn has_twin(&self, twin: bool) {
        self.shared.lock().twin = twin;
    }

    /// The API server ends; the kubelet starts it again.
    pub fn crash_api_server(&self) {
        let running = self.world.running(Component::ApiServer).expect("it runs");
        let mark = format!("proc/{}/{}", running.pid, super::proc_folder::KILLED);
        std::fs::write(self.world.root().join(mark), "").expect("the world's folder is writable");
        let is_gone = |world: &World| {
            world
                .running(Component::ApiServer)
                .is_none_or(|now| now.pid != running.pid)
        };
        assert!(
            self.world.wait_until(Duration::from_secs(10), is_gone),
            "it does not end"
        );
    }

    /// What the API server wrote of itself is deleted.
    pub fn forget_own(&self) {
        self.etcd.delete(OWN);
    }

    /// The configuration on the disk.
    pub fn on_disk(&self) -> AtRest {
        AtRest::parse(&std::fs::read(self.world.root().join(CONFIG)).expect("it is there"))
            .expect("it is valid")
    }

    /// Every secret in etcd: its key there, and its value.
    pub fn values(&self) -> Vec<(String, Vec<u8>)> {
        values(&self.etcd.store())
    }

    /// Every secret but the API server's own, as the configuration on the disk reads it; fails where it cannot.
    pub fn secrets(&self) -> BTreeMap<String, Vec<u8>> {
        let config = self.on_disk();
        let values = self.values().into_iter().filter(|(key, _)| key != OWN);
        values
            .map(|(key, value)| {
                let Some((plain, _)) = config.open(&value) else {
                    panic!(
                        "{key} is under {}, and the disk has {:?}",
                        key_of(&value),
                        config.names()
                    )
                };
                (key, plain)
            })
            .collect()
    }

    /// All that outlasts the node's being switched off, if nothing is lost.
    pub fn contents(&self) -> Contents {
        let mut files = BTreeMap::new();
        for folder in [STATE, "etc/kubernetes/enc"] {
            collect(self.world.root(), Path::new(folder), &mut files);
        }
        Contents {
            files,
            etcd: self.etcd.store().clone(),
        }
    }

    /// All that etcd holds now, on a thread of its own.
    pub fn etcd(&self) -> Handle {
        Handle::clone(&self.etcd)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the API server has panicked"
            );
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with it")
    }

    fn run(&self) {
        let mut quiet = (0, Instant::now());
        while !self.ending.load(Ordering::SeqCst) {
            self.look();
            let (revision, compacted) = {
                let store = self.etcd.store();
                (store.revision(), store.compacted())
            };
            // Its note of a compaction is a write, too.
            let (slow, unnoted) = {
                let state = self.lock();
                (state.compacts, state.unnoted)
            };
            let after = match slow {
                Some(slow) => slow,
                None if revision > compacted + 1 => QUIET,
                None => COMPACTS,
            };
            if revision != quiet.0 {
                quiet = (revision, Instant::now());
            } else if quiet.1.elapsed() >= after && self.listens() {
                if unnoted {
                    self.etcd.store().compact(revision);
                } else {
                    self.etcd.compact(revision);
                }
            }
            std::thread::sleep(TICK);
        }
    }

    /// A process that has started loads its file; one that runs does so when the file has changed, if it is told to.
    fn look(&self) {
        let running = self
            .kubelet
            .lock()
            .running
            .get("kube-system/kube-apiserver")
            .cloned();
        let mut state = self.lock();
        let Some(running) = running.filter(|running| running.ready) else {
            state.serving = None;
            return;
        };
        let is_new = state.serving.as_ref().is_none_or(|(pid, _)| *pid != running.pid);
        let reloads = running
            .argv
            .iter()
            .any(|flag| flag == "--encryption-provider-config-automatic-reload=true");
        if !is_new && !reloads {
            return;
        }
        let is_told = |flag: &String| flag.starts_with("--encryption-provider-config=");
        if !running.argv.iter().any(is_told) {
            state.write_plaintext(running.pid, &self.etcd);
            return;
        }
        let Ok(bytes) = std::fs::read(self.root.join(CONFIG)) else {
            return;
        };
        if !is_new && bytes == state.seen {
            return;
        }
        if !is_new && state.refuses.is_some_and(|refuses| refuses(&bytes)) {
            state.failures += 1;
            return;
        }
        match AtRest::parse(&bytes) {
            Ok(config) => state.load(running.pid, config, &self.etcd),
            Err(why) => state
                .wrong
                .push(format!("the API server does not load its file: {why}")),
        }
        state.seen = bytes;
    }

    /// The no-op write: read, and written anew if it is not under the write key.
    fn patch(&self, path: &str) -> (u16, String) {
        let mut state = self.lock();
        let Some((_, config)) = state.serving.clone() else {
            return (503, "{}".to_owned());
        };
        let object = path
            .strip_prefix(OBJECTS)
            .and_then(|rest| rest.split_once("/secrets/"));
        let Some((namespace, name)) = object else {
            return (404, "{}".to_owned());
        };
        let key = format!("{REGISTRY}{namespace}/{name}");
        let mut store = self.etcd.store();
        let Some((revision, value)) = store.newest(key.as_bytes()) else {
            return (404, "{}".to_owned());
        };
        let Some((plain, stale)) = config.open(&value) else {
            state
                .wrong
                .push(format!("{key} is asked for, and no key that is loaded reads it"));
            return (500, "{}".to_owned());
        };
        let revision = if stale {
            store.put(key.as_bytes(), Some(&config.seal(&plain)))
        } else {
            revision
        };
        drop(store);
        self.etcd.changed();
        let body = format!(
            r#"{{"kind":"PartialObjectMetadata","metadata":{{"name":"{name}","namespace":"{namespace}","uid":"uid-{name}","resourceVersion":"{revision}"}}}}"#
        );
        (200, body)
    }
}

impl State {
    /// A process without the flag reads and writes plaintext only.
    fn write_plaintext(&mut self, pid: i32, etcd: &Handle) {
        let config = AtRest {
            hash: String::new(),
            providers: vec![None],
        };
        self.write_own(&config, etcd);
        self.seen.clear();
        self.serving = Some((pid, config));
    }

    /// It is loaded, every stored value must be readable, and something is written with it.
    fn load(&mut self, pid: i32, config: AtRest, etcd: &Handle) {
        let store = etcd.store();
        for (key, value) in values(&store) {
            if config.open(&value).is_none() {
                let (under, names) = (key_of(&value), config.names());
                self.wrong.push(format!(
                    "{key} is under {under}, and what is loaded has {names:?}"
                ));
            }
        }
        drop(store);
        self.write_own(&config, etcd);
        self.serving = Some((pid, config));
    }

    fn write_own(&self, config: &AtRest, etcd: &Handle) {
        let own = config.seal(br#"{"kind":"Secret","metadata":{"name":"own"}}"#);
        etcd.store().put(OWN.as_bytes(), Some(&own));
        etcd.changed();
    }
}

impl Backend for Shared {
    fn listens(&self) -> bool {
        self.lock().serving.is_some()
    }

    fn answer(&self, method: &str, path: &str) -> (u16, String) {
        match (method, path) {
            ("PATCH", _) => self.patch(path),
            ("GET", "/metrics") => {
                let state = self.lock();
                let hash = state.serving.as_ref().map(|(_, config)| config.hash.clone());
                let (hash, failures) = (hash.unwrap_or_default(), state.failures);
                let text = format!(
                    "apiserver_encryption_config_controller_last_config_info{{apiserver_id_hash=\"sha256:0\",hash=\"sha256:{hash}\"}} 1\n\
                     apiserver_encryption_config_controller_automatic_reloads_total{{apiserver_id_hash=\"sha256:0\",status=\"failure\"}} {failures}\n"
                );
                (200, text)
            }
            ("GET", "/version") => (200, r#"{"gitVersion":"v1.35.4"}"#.to_owned()),
            ("GET", "/api/v1") => (200, SECRETS.to_owned()),
            ("GET", LEASES) => {
                let mut state = self.lock();
                state.leases_asked += u32::from(state.twin);
                let second = state.leases_asked % 60;
                drop(state);
                let item = format!(
                    r#"{{"metadata":{{"name":"apiserver-x","labels":{{"kubernetes.io/hostname":"{NODE_NAME}"}}}},"spec":{{"holderIdentity":"apiserver-x_1","leaseDurationSeconds":3600,"renewTime":"2026-11-25T01:00:{second:02}.123456Z"}}}}"#
                );
                (
                    200,
                    format!(r#"{{"metadata":{{"resourceVersion":"1"}},"items":[{item}]}}"#),
                )
            }
            _ => (404, "{}".to_owned()),
        }
    }
}

/// Every secret in etcd: its key there, and its value.
pub fn values(store: &Store) -> Vec<(String, Vec<u8>)> {
    let Ok(found) = store.range(REGISTRY.as_bytes(), b"/registry/secrets0", 0) else {
        panic!("the newest revision is never compacted")
    };
    let text = |(key, _, value): (Vec<u8>, i64, prost::bytes::Bytes)| {
        (String::from_utf8_lossy(&key).into_owned(), value.to_vec())
    };
    found.into_iter().map(text).collect()
}

/// kubeadm's manifest with encryption, on this machine's loopback.
fn with_encryption(manifest: &str, server: &ApiServer, etcd: &Etcd, loads: Loads) -> String {
    let port = server.address().port();
    let reload = match loads {
        Loads::ByItself => "    - --encryption-provider-config-automatic-reload=true\n",
        Loads::AtStart => "",
    };
    let lines = manifest.lines().map(|line| match line.trim_start() {
        "- --advertise-address=192.0.2.11" => {
            format!("    - --advertise-address=127.0.0.1\n    - --encryption-provider-config=/{CONFIG}\n{reload}")
        }
        flag if flag.starts_with("- --secure-port=") => format!("    - --secure-port={port}\n"),
        flag if flag.starts_with("- --etcd-servers=") => format!("    - --etcd-servers={}\n", etcd.endpoint()),
        "volumeMounts:" => {
            format!("{line}\n    - mountPath: /etc/kubernetes/enc\n      name: enc\n      readOnly: true\n")
        }
        "volumes:" => {
            format!("{line}\n  - hostPath:\n      path: /etc/kubernetes/enc\n      type: DirectoryOrCreate\n    name: enc\n")
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else {
        return;
    };
    for entry in entries {
        let name = folder.join(entry.expect("an entry").file_name());
        let path = root.join(&name);
        if path.is_dir() {
            collect(root, &name, files);
        } else {
            let mode = std::fs::metadata(&path)
                .expect("it is there")
                .permissions()
                .mode()
                & 0o7777;
            files.insert(name, (mode, std::fs::read(&path).expect("it is there")));
        }
    }
}

/// A folder for root alone, with those above it.
fn make_private(folder: &Path) {
    if folder.exists() {
        return;
    }
    make_private(folder.parent().expect("below the root"));
    std::fs::create_dir(folder).expect("the world's folder is writable");
    let mode = if folder.ends_with("keys") || folder.ends_with("retained") || folder.ends_with("backups") {
        0o700
    } else {
        0o755
    };
    std::fs::set_permissions(folder, PermissionsExt::from_mode(mode)).expect("a folder of ours");
}
