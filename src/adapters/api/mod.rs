//! The API server of this node, asked at its own address with a kubeconfig's credentials.
//!
//! A thin client on hyper: a rewrite of ten thousand objects is the same small request over and over on a few kept connections,
//! with a deadline of its own and no retry that we do not see. (kube pools connections out of our sight and takes more memory.)

mod address;
mod admission;
mod client;
mod discovery;
mod engine;
mod grants;
mod kubeadm_config;
pub(in crate::adapters) mod kubeconfig;
mod kubelets;
mod look;
mod metrics;
mod objects;
mod pages;
mod patch;

pub use address::{Address, local_address};
pub use admission::{namespaces_beyond_baseline, services_with_external_ips};
pub use client::{Api, ApiError, CallError, Connection};
pub use discovery::{Served, listed, served};
pub use engine::{Ending, Job, Orders, Report, rewrite};
pub use grants::grants_to_the_anonymous;
pub use kubeadm_config::{KubeadmConfig, KubeadmWriteError, kubeadm_config, write_kubeadm_config};
pub use kubeconfig::OwnKubeconfig;
pub use kubelets::verified_kubelets;
pub use look::{Lease, ObjectMeta, Readiness, api_server_leases, object_meta, readiness, version};
pub use metrics::{Metrics, metrics};
pub use objects::{cluster_objects, kubelet_configuration};
pub use patch::patch;
