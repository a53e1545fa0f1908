//! An API server: HTTP/1.1 over mutual TLS on the loopback, with discovery, stored objects that are fresh or stale under the write
//! key, the no-op patch as a real 1.35 server was measured to answer it, other documents as they are put, and faults.
#![allow(dead_code, reason = "each test crate uses a part of the world")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test bed that cannot go on fails loudly"
)]

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast::adapters::api::{Address, Api};
use holdfast::adapters::files::Files;
use holdfast::domain::{NodePath, Owner};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// Stands in every answer that refuses or fails, as an object's data might: it must come out nowhere.
pub const TOP_SECRET: &str = "T0p-s3cret-data";

/// How it serves its resources.
pub const SECRETS: &str = r#"{"kind":"APIResourceList","resources":[{"name":"secrets","namespaced":true,"verbs":["get","list","patch"]},{"name":"secrets/status","namespaced":true,"verbs":["get"]},{"name":"bindings","namespaced":true,"verbs":["create"]}]}"#;

/// The API server. Dropped, it closes its port; its connections end when their clients do.
pub struct ApiServer {
    address: SocketAddr,
    kubeconfig: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What happens to one request instead of the answer, or before it.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This answer: code, further header lines (each ending in CR LF), body.
    Answer(u16, &'static str, String),
    /// The answer comes so much later.
    Slow(Duration),
    /// The act is done, the answer breaks off in its body.
    Cut,
    /// The connection is closed before the act.
    HangUp,
}

/// A stored object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its UID.
    pub uid: String,
    /// etcd's revision of its last write.
    pub revision: u64,
    /// True while its value is under an old key.
    pub stale: bool,
}

/// What answers in the place of the server's own documents and objects.
pub trait Backend: Send + Sync {
    /// False while nobody listens: connections are closed, and requests on open ones not answered.
    fn listens(&self) -> bool;
    /// The answer to a request: code and body.
    fn answer(&self, method: &str, path: &str) -> (u16, String);
}

struct Shared {
    state: Mutex<State>,
    backend: Option<Arc<dyn Backend>>,
    closing: AtomicBool,
}

#[derive(Default)]
struct State {
    revision: u64,
    objects: BTreeMap<String, Object>,
    documents: BTreeMap<String, (u16, String)>,
    whole: BTreeMap<String, serde_json::Value>,
    faults: BTreeMap<String, VecDeque<Fault>>,
    latency: Duration,
    in_flight: usize,
    most_in_flight: usize,
    patches: usize,
    connections: usize,
    requests: Vec<String>,
}

struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl ApiServer {
    /// A server at revision 100 that holds nothing and serves `secrets`.
    pub fn start() -> Self {
        let server = Self::serve(None);
        server.document("/api/v1", 200, SECRETS);
        server
    }

    /// A server with something else behind it.
    pub fn before(backend: Arc<dyn Backend>) -> Self {
        Self::serve(Some(backend))
    }

    fn serve(backend: Option<Arc<dyn Backend>>) -> Self {
        let (config, kubeconfig) = identities();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = State {
            revision: 100,
            ..State::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            backend,
            closing: AtomicBool::new(false),
        });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &config, &shared)
        });
        Self {
            address,
            kubeconfig: kubeconfig.replace("@SERVER@", &format!("https://{address}")),
            shared,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A kubeconfig whose client certificate it takes.
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// Holdfast's own client of it, as its kubeconfig says.
    pub fn client(&self, timeout: Duration) -> Api {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("admin.conf"), self.kubeconfig()).expect("written");
        let facts = std::fs::metadata(folder.path()).expect("a folder");
        let owner = Owner {
            uid: facts.uid(),
            gid: facts.gid(),
        };
        let files = Files::at(folder.path()).expect("a folder").taking_for_root(owner);
        let path: NodePath = "/admin.conf".parse().expect("a path");
        let address = Address {
            ip: self.address.ip(),
            port: self.address.port(),
            name: "127.0.0.1".to_owned(),
        };
        Api::open(&files, &path, address, timeout).expect("a kubeconfig that is right")
    }

    /// Stores an object at its path in the API; its UID is `uid-` and its name.
    pub fn store(&self, path: &str, stale: bool) {
        let mut state = self.state();
        state.revision += 1;
        let object = Object {
            uid: format!("uid-{}", path.rsplit('/').next().unwrap_or_default()),
            revision: state.revision,
            stale,
        };
        state.objects.insert(path.to_owned(), object);
    }

    /// The object at a path.
    pub fn object(&self, path: &str) -> Option<Object> {
        self.state().objects.get(path).cloned()
    }

    /// How many objects are stale.
    pub fn stale(&self) -> usize {
        self.state()
            .objects
            .values()
            .filter(|object| object.stale)
            .count()
    }

    /// etcd's revision.
    pub fn revision(&self) -> u64 {
        self.state().revision
    }

    /// The answer to every GET of that path, query included.
    pub fn document(&self, path: &str, code: u16, body: &str) {
        self.state()
            .documents
            .insert(path.to_owned(), (code, body.to_owned()));
    }

    /// Stores an object with its content at its path, at a new revision.
    pub fn store_whole(&self, path: &str, mut object: serde_json::Value) {
        let mut state = self.state();
        state.revision += 1;
        object["metadata"]["resourceVersion"] = state.revision.to_string().into();
        state.whole.insert(path.to_owned(), object);
    }

    /// The object with its content at a path.
    pub fn whole(&self, path: &str) -> Option<serde_json::Value> {
        self.state().whole.get(path).cloned()
    }

    /// What happens to the next request for that path; several happen in turn.
    pub fn inject(&self, path: &str, fault: Fault) {
        self.state()
            .faults
            .entry(path.to_owned())
            .or_default()
            .push_back(fault);
    }

    /// How long every patch takes.
    pub fn set_latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// The most requests that were in flight at once.
    pub fn most_in_flight(&self) -> usize {
        self.state().most_in_flight
    }

    /// How many patches came, and over how many connections anything came.
    pub fn patches_and_connections(&self) -> (usize, usize) {
        let state = self.state();
        (state.patches, state.connections)
    }

    /// The first lines of the last requests.
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no thread panics with it")
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes the thread out of its accept.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the API server does not panic");
        }
    }
}

/// A server's TLS with an authority of its own, and a kubeconfig with a client certificate of the same.
fn identities() -> (Arc<ServerConfig>, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "kubernetes");
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
    let made = |names: Vec<String>| {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names).expect("names");
        (params.signed_by(&key, &authority).expect("signed"), key)
    };
    let (server, server_key) = made(vec!["127.0.0.1".to_owned(), "kubernetes".to_owned()]);
    let (client, client_key) = made(vec!["holdfast".to_owned()]);

    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .expect("an authority");
    let chain: Vec<CertificateDer<'static>> = vec![server.der().clone()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster:\n    server: @SERVER@\n    certificate-authority-data: {}\nusers:\n- name: u\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\ncontexts:\n- name: x\n  context: {{cluster: c, user: u}}\ncurrent-context: x\n",
        STANDARD.encode(authority.pem()),
        STANDARD.encode(client.pem()),
        STANDARD.encode(client_key.serialize_pem()),
    );
    (Arc::new(config), kubeconfig)
}

fn accept(listener: &TcpListener, config: &Arc<ServerConfig>, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.closing.load(Ordering::SeqCst) {
            return;
        }
        if shared.backend.as_ref().is_some_and(|backend| !backend.listens()) {
            continue;
        }
        let (config, shared) = (Arc::clone(config), Arc::clone(shared));
        std::thread::spawn(move || {
            let connection = ServerConnection::new(config).expect("a configuration that works");
            // A client that goes away is its own affair.
            drop(serve(StreamOwned::new(connection, stream), &shared));
        });
    }
}

fn serve(mut stream: StreamOwned<ServerConnection, TcpStream>, shared: &Shared) -> io::Result<()> {
    stream.sock.set_nodelay(true)?;
    let lock = || shared.state.lock().expect("no thread panics with it");
    let mut first = true;
    while let Some(request) = read(&mut stream)? {
        if let Some(backend) = &shared.backend {
            if !backend.listens() {
                return Ok(());
            }
            let (code, body) = backend.answer(&request.method, &request.path);
            let head = format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes())?;
            stream.flush()?;
            continue;
        }
        let (fault, latency) = {
            let mut state = lock();
            state.connections += usize::from(first);
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
            state.patches += usize::from(request.method == "PATCH");
            if state.requests.len() < 1_000 {
                state
                    .requests
                    .push(format!("{} {}", request.method, request.path));
            }
            let fault = state.faults.get_mut(&request.path).and_then(VecDeque::pop_front);
            (fault, state.latency)
        };
        first = false;
        let more = if let Some(Fault::Slow(more)) = &fault {
            *more
        } else {
            Duration::ZERO
        };
        std::thread::sleep(latency + more);
        let (code, headers, body) = match &fault {
            Some(Fault::Answer(code, headers, body)) => (*code, *headers, body.clone()),
            Some(Fault::HangUp) => {
                lock().in_flight -= 1;
                return Ok(());
            }
            Some(Fault::Slow(_) | Fault::Cut) | None => {
                let (code, body) = answer(&request, &mut lock());
                (code, "", body)
            }
        };
        lock().in_flight -= 1;
        let head = format!(
            "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        if matches!(fault, Some(Fault::Cut)) {
            stream.write_all(format!("{head}{}", &body[..body.len() / 2]).as_bytes())?;
            return stream.flush();
        }
        stream.write_all(format!("{head}{body}").as_bytes())?;
        stream.flush()?;
    }
    Ok(())
}

/// The next request; none when the client has closed the connection.
fn read(stream: &mut impl Read) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("a head is text");
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|text| text.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok(Some(Request {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        headers,
        body,
    }))
}

fn answer(request: &Request, state: &mut State) -> (u16, String) {
    if request.method == "GET"
        && let Some(document) = state.documents.get(&request.path)
    {
        return document.clone();
    }
    let metadata_only = request
        .headers
        .get("accept")
        .is_some_and(|accept| accept.contains("as=PartialObjectMetadata;"));
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    if let Some(object) = state.whole.get_mut(path) {
        return answer_whole(request, query, object, &mut state.revision, metadata_only);
    }
    let State {
        revision, objects, ..
    } = state;
    let name = request.path.rsplit('/').next().unwrap_or_default().to_owned();
    let Some(object) = objects.get_mut(&request.path) else {
        let details = format!(r#"{{"name":"{name}","kind":"secrets"}}"#);
        return (404, status(404, "NotFound", "not found", &details));
    };
    if request.method == "PATCH" {
        if request.headers.get("content-type").map(String::as_str) != Some("application/merge-patch+json") {
            return (415, status(415, "UnsupportedMediaType", "", "{}"));
        }
        let body: serde_json::Value = serde_json::from_slice(&request.body).expect("a patch is JSON");
        let known = &body["metadata"]["uid"];
        if known.is_string() && *known != object.uid {
            let details = r#"{"causes":[{"reason":"FieldValueInvalid","message":"Invalid value","field":"metadata.uid"}]}"#;
            return (
                422,
                status(422, "Invalid", "metadata.uid: Invalid value", details),
            );
        }
        let seen = body["metadata"]["resourceVersion"].as_str();
        if seen.is_some_and(|seen| seen.parse() != Ok(object.revision)) {
            return (409, status(409, "Conflict", "the object has been modified", "{}"));
        }
        if object.stale {
            *revision += 1;
            object.revision = *revision;
            object.stale = false;
        }
    }
    let data = if metadata_only {
        String::new()
    } else {
        format!(r#","data":{{"x":"{TOP_SECRET}"}}"#)
    };
    let body = format!(
        r#"{{"kind":"X","metadata":{{"name":"{name}","uid":"{}","resourceVersion":"{}"}}{data}}}"#,
        object.uid, object.revision
    );
    (200, body)
}

/// A read, or a merge patch that holds for the resource version it names. Its field manager becomes the last in `managedFields`.
fn answer_whole(
    request: &Request,
    query: &str,
    object: &mut serde_json::Value,
    revision: &mut u64,
    metadata_only: bool,
) -> (u16, String) {
    if request.method == "PATCH" {
        if request.headers.get("content-type").map(String::as_str) != Some("application/merge-patch+json") {
            return (415, status(415, "UnsupportedMediaType", "", "{}"));
        }
        let patch: serde_json::Value = serde_json::from_slice(&request.body).expect("a patch is JSON");
        let seen = &patch["metadata"]["resourceVersion"];
        if seen.is_string() && *seen != object["metadata"]["resourceVersion"] {
            let message = "the object has been modified; please apply your changes to the latest version";
            return (409, status(409, "Conflict", message, "{}"));
        }
        let before = object.clone();
        merge(object, &patch);
        if *object != before {
            *revision += 1;
            object["metadata"]["resourceVersion"] = revision.to_string().into();
            let manager = query.strip_prefix("fieldManager=").unwrap_or("unnamed");
            object["metadata"]["managedFields"] = serde_json::json!([{"manager": manager}]);
        }
    }
    if metadata_only {
        return (
            200,
            serde_json::json!({"kind": "PartialObjectMetadata", "metadata": object["metadata"]}).to_string(),
        );
    }
    (200, object.to_string())
}

/// RFC 7386.
fn merge(target: &mut serde_json::Value, patch: &serde_json::Value) {
    let serde_json::Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = serde_json::json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().expect("made one").remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

/// A Status, with something in its message that must not be repeated.
pub fn status(code: u16, reason: &str, message: &str, details: &str) -> String {
    let message = serde_json::to_string(&format!("{message} ({TOP_SECRET})")).expect("a string");
    format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":{message},"reason":"{reason}","details":{details},"code":{code}}}"#
    )
}
