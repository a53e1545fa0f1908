//! Controls held against an observation.

use super::finding::Finding;
use super::select::Selected;
use crate::config::Config;
use crate::domain::{Layout, Observation};
use crate::journal::KnownManifest;

/// What judging needs beside the observation.
#[derive(Debug, Clone)]
pub struct JudgeContext<'a> {
    /// The configuration: exceptions, known manifests, quarantine.
    pub config: &'a Config,
    /// Where things are.
    pub layout: &'a Layout,
    /// What lay in the manifests folder at the first start; `None` before it.
    pub baseline: Option<&'a [KnownManifest]>,
    /// The time, for exceptions that end.
    pub now: jiff::Timestamp,
}

/// The findings, in the order of the controls.
#[must_use]
pub fn judge(controls: &[Selected], observation: &Observation, context: &JudgeContext<'_>) -> Vec<Finding> {
    let _ = (controls, observation, context);
    Vec::new()
}
