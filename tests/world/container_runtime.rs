//! The stand-in for the container runtime: speaks the part of CRI that Holdfast uses, by gRPC over its socket. It ignores filters, as a
//! client that relies on them would remove what runs.
//!
//! Its messages are written down a second time here, from Kubernetes' own file (k8s.io/cri-api runtime/v1 `api.proto`).

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use prost::Message;
use prost::bytes::Bytes;
use tokio::sync::watch;

/// `CONTAINER_RUNNING`.
pub const RUNNING: i32 = 1;
/// `CONTAINER_EXITED`.
pub const EXITED: i32 = 2;

/// A container as the runtime tells it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Container {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub pod_sandbox_id: String,
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<ContainerMetadata>,
    #[prost(int32, tag = "6")]
    pub state: i32,
    #[prost(int64, tag = "7")]
    pub created_at: i64,
    #[prost(map = "string, string", tag = "8")]
    pub labels: HashMap<String, String>,
}

/// A container's name in its pod, and which run of it that is.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ContainerMetadata {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct ContainerStateValue {
    #[prost(int32, tag = "1")]
    state: i32,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct ContainerFilter {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    state: Option<ContainerStateValue>,
    #[prost(string, tag = "3")]
    pod_sandbox_id: String,
    #[prost(map = "string, string", tag = "4")]
    label_selector: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct ListContainersRequest {
    #[prost(message, optional, tag = "1")]
    filter: Option<ContainerFilter>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    containers: Vec<Container>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct RemoveContainerRequest {
    #[prost(string, tag = "1")]
    container_id: String,
}

/// What the runtime does with its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It answers.
    Answers,
    /// It refuses to remove.
    Refuses,
    /// It never answers.
    Hangs,
}

/// What the server and the tests share.
#[derive(Debug, Default)]
pub struct Containers {
    /// All that there are.
    pub all: Vec<Container>,
    /// The ids of those that were removed by a call.
    pub removed: Vec<String>,
}

/// A container of a pod in `kube-system`, in its run of that number.
pub fn container(
    id: &str,
    (pod_uid, pod_name): (&str, &str),
    (name, run): (&str, u32),
    state: i32,
) -> Container {
    let label = |key: &str, value: &str| (format!("io.kubernetes.{key}"), value.to_owned());
    Container {
        id: id.to_owned(),
        pod_sandbox_id: "a sandbox".to_owned(),
        metadata: Some(ContainerMetadata {
            name: name.to_owned(),
            attempt: run,
        }),
        state,
        created_at: 1_700_000_000_000_000_000,
        labels: HashMap::from([
            label("pod.uid", pod_uid),
            label("pod.name", pod_name),
            label("pod.namespace", "kube-system"),
            label("container.name", name),
        ]),
    }
}

/// A running server. Dropped, it ends.
pub struct ContainerRuntime {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl ContainerRuntime {
    /// Listens at a socket.
    pub fn start(socket: &Path, containers: Arc<Mutex<Containers>>, manner: Manner) -> Self {
        std::fs::create_dir_all(socket.parent().expect("a folder")).expect("the world's folder is writable");
        let listener = std::os::unix::net::UnixListener::bind(socket).expect("a short path");
        listener.set_nonblocking(true).expect("a socket of ours");
        // As containerd's.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o660);
        std::fs::set_permissions(socket, mode).expect("a socket of ours");
        let stop = watch::Sender::new(false);
        let mut stopped = stop.subscribe();
        let thread = std::thread::Builder::new().name("containerd".to_owned());
        let thread = thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::UnixListener::from_std(listener).expect("a listener");
                let accepting = async {
                    loop {
                        if let Ok((stream, _)) = listener.accept().await {
                            drop(tokio::spawn(connection(stream, Arc::clone(&containers), manner)));
                        }
                    }
                };
                tokio::select! {
                    () = accepting => {}
                    stopped = stopped.wait_for(|stop| *stop) => drop(stopped),
                }
            });
        });
        Self {
            stop,
            thread: Some(thread.expect("a thread")),
        }
    }
}

impl Drop for ContainerRuntime {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the runtime's thread has panicked"
            );
        }
    }
}

async fn connection(stream: tokio::net::UnixStream, containers: Arc<Mutex<Containers>>, manner: Manner) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let containers = Arc::clone(&containers);
        drop(tokio::spawn(async move {
            drop(call(request, respond, &containers, manner).await);
        }));
    }
}

async fn call(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    containers: &Mutex<Containers>,
    manner: Manner,
) -> Result<(), h2::Error> {
    let method = request.uri().path().to_owned();
    let mut body = request.into_body();
    let mut message = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        message.extend_from_slice(&chunk);
    }
    if manner == Manner::Hangs {
        std::future::pending::<()>().await;
    }
    let headers = || http::Response::builder().header("content-type", "application/grpc");
    match answer(&method, message.get(5..).unwrap_or_default(), containers, manner) {
        Ok(answer) => {
            let mut frame = vec![0];
            let length = u32::try_from(answer.len()).expect("a small message");
            frame.extend(length.to_be_bytes());
            frame.extend(answer);
            let mut stream = respond.send_response(headers().body(()).expect("a response"), false)?;
            stream.send_data(frame.into(), false)?;
            let status = http::HeaderName::from_static("grpc-status");
            stream.send_trailers([(status, "0".parse().expect("a value"))].into_iter().collect())
        }
        Err((code, why)) => {
            let refusal = headers().header("grpc-status", code).header("grpc-message", why);
            respond
                .send_response(refusal.body(()).expect("a response"), true)
                .map(drop)
        }
    }
}

type Answer = Result<Vec<u8>, (&'static str, String)>;

fn answer(method: &str, request: &[u8], containers: &Mutex<Containers>, manner: Manner) -> Answer {
    let mut containers = containers.lock().expect("no thread panics with it");
    match method {
        "/runtime.v1.RuntimeService/ListContainers" => {
            let request = ListContainersRequest::decode(request).expect("a request");
            let filter = request.filter.expect("only what is meant is asked for");
            assert_eq!(filter.state, Some(ContainerStateValue { state: EXITED }));
            assert!(filter.label_selector.contains_key("io.kubernetes.pod.uid"));
            let all = containers.all.clone();
            Ok(ListContainersResponse { containers: all }.encode_to_vec())
        }
        "/runtime.v1.RuntimeService/RemoveContainer" => {
            let id = RemoveContainerRequest::decode(request)
                .expect("a request")
                .container_id;
            if manner == Manner::Refuses {
                return Err(("2", format!("cannot remove {id} now")));
            }
            containers.all.retain(|container| container.id != id);
            containers.removed.push(id);
            Ok(Vec::new())
        }
        other => Err(("12", format!("unknown method {other}"))),
    }
}
