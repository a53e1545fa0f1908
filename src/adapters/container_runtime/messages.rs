//! The messages of k8s.io/cri-api `pkg/apis/runtime/v1/api.proto`, as far as they are needed.

use std::collections::HashMap;

pub(super) const LIST: &str = "/runtime.v1.RuntimeService/ListContainers";
pub(super) const REMOVE: &str = "/runtime.v1.RuntimeService/RemoveContainer";

/// `CONTAINER_EXITED`.
pub(super) const EXITED: i32 = 2;

/// The labels that the kubelet gives each container (pkg/kubelet/types, `labels.go`).
pub(super) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(super) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(super) const POD_NAME: &str = "io.kubernetes.pod.name";

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct StateValue {
    #[prost(int32, tag = "1")]
    pub(super) state: i32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ContainerFilter {
    #[prost(message, optional, tag = "2")]
    pub(super) state: Option<StateValue>,
    /// All of them have to be there.
    #[prost(map = "string, string", tag = "4")]
    pub(super) labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ListContainersRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) filter: Option<ContainerFilter>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "3")]
    pub(super) metadata: Option<ContainerMetadata>,
    #[prost(int32, tag = "6")]
    pub(super) state: i32,
    #[prost(map = "string, string", tag = "8")]
    pub(super) labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ContainerMetadata {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(uint32, tag = "2")]
    pub(super) attempt: u32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) containers: Vec<Container>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct RemoveContainerRequest {
    #[prost(string, tag = "1")]
    pub(super) id: String,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct RemoveContainerResponse {}
