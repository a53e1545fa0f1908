//! The container runtime, over the interface that the kubelet has to it (CRI, k8s.io/cri-api runtime/v1): only to remove containers that
//! have ended.

mod messages;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::cluster::with_causes;
use super::lock::Held;
use crate::domain::NodePath;
use messages::{
    Container, ContainerFilter, EXITED, LIST, ListContainersRequest, ListContainersResponse, POD_UID, REMOVE,
    RemoveContainerRequest, RemoveContainerResponse, StateValue,
};

/// A node has some hundred containers at most, each of which is told in some hundred bytes.
const MAX_MESSAGE: usize = 16 << 20;

/// Removes containers that have ended.
pub trait ContainerRuntime {
    /// Has every ended container of these pods removed by the runtime that listens at that socket, as the kubelet's garbage collector
    /// would do it later; the logs stay. How many there were.
    ///
    /// # Errors
    /// When the runtime cannot be reached, refuses, or does not answer in time. Some may be removed then.
    fn remove_ended(&self, held: &Held, socket: &NodePath, pods: &[String]) -> io::Result<usize>;
}

/// By gRPC over the runtime's socket.
#[derive(Debug, Clone)]
pub struct OverCri {
    root: PathBuf,
    timeout: Duration,
}

impl OverCri {
    /// The runtime of the node whose file system is mounted there. All of one call takes that long at most.
    #[must_use]
    pub fn at(root: &Path, timeout: Duration) -> Self {
        Self {
            root: root.to_owned(),
            timeout,
        }
    }
}

impl ContainerRuntime for OverCri {
    fn remove_ended(&self, _held: &Held, socket: &NodePath, pods: &[String]) -> io::Result<usize> {
        let here = self.root.join(socket.as_str().trim_start_matches('/'));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            tokio::time::timeout(self.timeout, remove_ended(&here, pods))
                .await
                .map_err(|_| {
                    let why = format!("{socket}: no answer within {:?}", self.timeout);
                    io::Error::new(io::ErrorKind::TimedOut, why)
                })?
                .map_err(|why| io::Error::other(format!("{socket}: {why}")))
        })
    }
}

async fn remove_ended(socket: &Path, pods: &[String]) -> Result<usize, String> {
    let endpoint =
        Endpoint::from_shared(format!("unix://{}", socket.display())).map_err(|error| with_causes(&error))?;
    let channel = endpoint.connect().await.map_err(|error| with_causes(&error))?;
    let mut removed = 0;
    for pod in pods {
        let question = ListContainersRequest {
            filter: Some(ContainerFilter {
                state: Some(StateValue { state: EXITED }),
                labels: [(POD_UID.to_owned(), pod.clone())].into(),
            }),
        };
        let answer: ListContainersResponse = ask(&channel, LIST, question).await?;
        // A runtime that does not know the filter would name those that run, and whoever removes one of these ends it.
        let ended =
            |container: &Container| container.state == EXITED && container.labels.get(POD_UID) == Some(pod);
        for Container { id, .. } in answer.containers.into_iter().filter(ended) {
            let RemoveContainerResponse {} = ask(&channel, REMOVE, RemoveContainerRequest { id }).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

async fn ask<Q, A>(channel: &Channel, method: &'static str, question: Q) -> Result<A, String>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE);
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
