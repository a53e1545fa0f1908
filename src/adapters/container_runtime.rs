//! The container runtime, over the interface that the kubelet has to it (CRI, k8s.io/cri-api runtime/v1): only to remove containers that
//! have ended.

mod messages;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

use super::cluster::with_causes;
use super::lock::Held;
use crate::domain::NodePath;
use messages::{
    Container, ContainerFilter, EXITED, LIST, ListContainersRequest, ListContainersResponse, POD_NAME,
    POD_NAMESPACE, POD_UID, REMOVE, RemoveContainerRequest, RemoveContainerResponse, StateValue,
};

/// A node has some hundred containers at most, each of which is told in some hundred bytes.
const MAX_MESSAGE: usize = 16 << 20;

/// A container that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The runtime's name for it.
    pub id: String,
    /// The UID, namespace and name of its pod, as the kubelet has them.
    pub pod_uid: String,
    /// See `pod_uid`.
    pub pod_namespace: String,
    /// See `pod_uid`.
    pub pod_name: String,
    /// Its name in the pod.
    pub name: String,
    /// Which run of it that was, by the kubelet's count: the number of its log.
    pub run: u32,
}

/// Knows containers that have ended, and removes them.
pub trait ContainerRuntime {
    /// The ended containers of these pods, by the runtime that listens at that socket. The socket is the kubelet's own, and is trusted as the
    /// kubelet trusts it.
    ///
    /// # Errors
    /// When the runtime cannot be reached, refuses, or does not answer in time.
    fn ended(&self, socket: &NodePath, pods: &[String]) -> io::Result<Vec<Ended>>;

    /// Has such a container removed, as the kubelet's garbage collector would do it later. Its logs are the caller's.
    ///
    /// # Errors
    /// As above; it may be removed all the same.
    fn remove(&self, held: &Held, socket: &NodePath, container: &Ended) -> io::Result<()>;
}

/// By gRPC over the runtime's socket.
#[derive(Debug, Clone)]
pub struct OverCri {
    root: PathBuf,
    timeout: Duration,
}

impl OverCri {
    /// The runtime of the node whose file system is mounted there. Each question takes that long at most, connecting included.
    #[must_use]
    pub fn at(root: &Path, timeout: Duration) -> Self {
        Self {
            root: root.to_owned(),
            timeout,
        }
    }

    fn ask<Q, A>(&self, socket: &NodePath, method: &'static str, question: Q) -> io::Result<A>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let here = self.root.join(socket.as_str().trim_start_matches('/'));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            tokio::time::timeout(self.timeout, ask(&here, method, question))
                .await
                .map_err(|_| {
                    let why = format!("{socket}: no answer within {:?}", self.timeout);
                    io::Error::new(io::ErrorKind::TimedOut, why)
                })?
                .map_err(|why| io::Error::other(format!("{socket}: {why}")))
        })
    }
}

impl ContainerRuntime for OverCri {
    fn ended(&self, socket: &NodePath, pods: &[String]) -> io::Result<Vec<Ended>> {
        let mut all = Vec::new();
        for pod in pods {
            let question = ListContainersRequest {
                filter: Some(ContainerFilter {
                    state: Some(StateValue { state: EXITED }),
                    labels: [(POD_UID.to_owned(), pod.clone())].into(),
                }),
            };
            let answer: ListContainersResponse = self.ask(socket, LIST, question)?;
            // A runtime that does not know the filter would name those that run, and whoever removes one of these ends it.
            let ended = |container: &Container| {
                container.state == EXITED && container.labels.get(POD_UID) == Some(pod)
            };
            all.extend(answer.containers.into_iter().filter(ended).map(Ended::from));
        }
        Ok(all)
    }

    fn remove(&self, _held: &Held, socket: &NodePath, container: &Ended) -> io::Result<()> {
        let id = container.id.clone();
        let RemoveContainerResponse {} = self.ask(socket, REMOVE, RemoveContainerRequest { id })?;
        Ok(())
    }
}

impl From<Container> for Ended {
    fn from(container: Container) -> Self {
        let Container {
            id,
            metadata,
            state: _,
            mut labels,
        } = container;
        let mut label = |name| labels.remove(name).unwrap_or_default();
        let metadata = metadata.unwrap_or_default();
        Self {
            id,
            pod_uid: label(POD_UID),
            pod_namespace: label(POD_NAMESPACE),
            pod_name: label(POD_NAME),
            name: metadata.name,
            run: metadata.attempt,
        }
    }
}

async fn ask<Q, A>(socket: &Path, method: &'static str, question: Q) -> Result<A, String>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    let endpoint =
        Endpoint::from_shared(format!("unix://{}", socket.display())).map_err(|error| with_causes(&error))?;
    let channel = endpoint.connect().await.map_err(|error| with_causes(&error))?;
    let mut grpc = Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE);
    grpc.ready().await.map_err(|error| with_causes(&error))?;
    let codec = ProstCodec::<Q, A>::default();
    let answer = grpc.unary(
        tonic::Request::new(question),
        PathAndQuery::from_static(method),
        codec,
    );
    match answer.await {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => Err(format!("{} ({:?})", status.message(), status.code())),
    }
}
