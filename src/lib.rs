//! Holdfast: a node-level hardening daemon for Kubernetes control-plane hosts.
//!
//! One straight path runs through the crate: the configuration selects controls, the adapters read an
//! [`domain::Observation`], controls judge it, [`plan`] decides, [`apply`] acts, [`report`] tells.
//! `check`, `plan`, `apply` and the daemon differ only in how far they go along it.

pub mod adapters;
pub mod admission;
pub mod anonymous;
pub mod apply;
pub mod at_rest;
pub mod audit;
pub mod authorization;
pub mod census;
pub mod certificates;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod controls;
pub mod daemon;
pub mod domain;
pub mod encryption;
pub mod events;
pub mod journal;
pub mod kubeadm;
pub mod kubeconfig;
pub mod kubelet;
pub mod manifest;
pub mod observe;
pub mod oidc;
pub mod pair;
pub mod plan;
pub mod reconcile;
pub mod report;
pub mod rewrite;
pub mod rotate;
pub mod rotation;
pub mod sysctl;
pub mod unit;
