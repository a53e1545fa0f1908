//! A stand-in for etcd: speaks its gRPC over loopback, in the clear or with client certificates, and keeps revisions as etcd does.
//!
//! Its messages are written down a second time here, from etcd's own files, so that a wrong field of the client shows.

mod messages;
mod pki;
mod serve;
mod store;

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast::adapters::etcd::Access;
use holdfast::census::{MAX_REQUEST_BYTES, Paths};
use tokio::sync::watch;

pub use pki::Pki;
pub use store::Store;

/// A call that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The method, as `KV/Range`.
    pub method: String,
    /// How many of this method came before.
    pub number: usize,
}

/// What is done with a call.
#[derive(Debug, Clone)]
pub enum Reply {
    /// It is answered.
    Answer,
    /// It is answered later.
    Late(Duration),
    /// It is never answered.
    Hang,
    /// It is refused with a code of gRPC and a message.
    Refuse(u16, String),
}

type Hook = Box<dyn FnMut(&Call, &mut Store) -> Reply + Send>;

/// etcd, as tests see it; lives on when the server is gone.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    store: Mutex<Store>,
    hook: Mutex<Option<Hook>>,
    /// The method of each call, and the bytes of its answer.
    calls: Mutex<Vec<(String, usize)>>,
    /// Counts up at each change, so that watches look.
    changes: watch::Sender<u64>,
    /// How many watches were ended, and why.
    ended: Mutex<(u64, String)>,
}

/// A running server. Dropped, it closes its port and its connections.
pub struct Etcd {
    handle: Handle,
    address: SocketAddr,
    pki: Option<Pki>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Etcd {
    /// A server in the clear on a free port.
    pub fn plain() -> Self {
        Self::start(0, None)
    }

    /// A server that takes only clients with a certificate.
    pub fn with_tls(pki: Pki) -> Self {
        Self::start(0, Some(pki))
    }

    /// A server on a port (0: a free one).
    pub fn start(port: u16, pki: Option<Pki>) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a port");
        listener.set_nonblocking(true).expect("a socket of ours");
        let address = listener.local_addr().expect("a bound socket");
        let handle = Handle(Arc::new(Shared {
            store: Mutex::new(Store::new()),
            hook: Mutex::new(None),
            calls: Mutex::new(Vec::new()),
            changes: watch::Sender::new(0),
            ended: Mutex::new((0, String::new())),
        }));
        let stop = watch::Sender::new(false);
        let thread = std::thread::Builder::new().name("etcd".to_owned()).spawn({
            let (handle, stopped) = (handle.clone(), stop.subscribe());
            let tls = pki.as_ref().map(Pki::server);
            move || serve::run(listener, tls, &handle, stopped)
        });
        Self {
            handle,
            address,
            pki,
            stop,
            thread: Some(thread.expect("a thread")),
        }
    }

    /// Its URL, as in `--etcd-servers`.
    pub fn endpoint(&self) -> String {
        let scheme = if self.pki.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// How Holdfast reaches it.
    pub fn access(&self) -> Access {
        Access {
            endpoints: vec![self.endpoint()],
            tls: self.pki.as_ref().map(Pki::client),
            paths: Paths::new("/registry").expect("kubeadm's prefix"),
            max_request_bytes: MAX_REQUEST_BYTES,
        }
    }
}

impl Deref for Etcd {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server does not panic");
        }
    }
}

impl Handle {
    /// The store, locked; a change to it is told to the watches by [`Self::changed`].
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.0.store.lock().expect("no thread panics with it")
    }

    /// Writes a key; its revision.
    pub fn put(&self, key: &str, value: impl AsRef<[u8]>) -> i64 {
        let revision = self.store().put(key.as_bytes(), Some(value.as_ref()));
        self.changed();
        revision
    }

    /// Deletes a key; the revision.
    pub fn delete(&self, key: &str) -> i64 {
        let revision = self.store().put(key.as_bytes(), None);
        self.changed();
        revision
    }

    /// Gives up all revisions before this one, and leaves the API server's note of it.
    pub fn compact(&self, revision: i64) {
        let mut store = self.store();
        store.compact(revision);
        store.put(b"compact_rev_key", Some(revision.to_string().as_bytes()));
        drop(store);
        self.changed();
    }

    /// Lets the watches look at the store.
    pub fn changed(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Is asked at each call from now on, with the store in its hand, before the call is answered.
    pub fn on_call(&self, hook: impl FnMut(&Call, &mut Store) -> Reply + Send + 'static) {
        *self.0.hook.lock().expect("no thread panics with it") = Some(Box::new(hook));
    }

    /// Ends all watches.
    pub fn end_watches(&self, reason: &str) {
        let mut ended = self.0.ended.lock().expect("no thread panics with it");
        *ended = (ended.0 + 1, reason.to_owned());
        drop(ended);
        self.changed();
    }

    /// The bytes of each answer to a method so far, in order.
    pub fn answers(&self, method: &str) -> Vec<usize> {
        let calls = self.0.calls.lock().expect("no thread panics with it");
        let of_method = calls.iter().filter(|(of, _)| of == method);
        of_method.map(|(_, bytes)| *bytes).collect()
    }
}
