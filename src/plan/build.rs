//! Findings in, an ordered list of changes out.

use super::change::Plan;
use super::finding::Finding;
use super::select::Selected;
use crate::config::Config;
use crate::domain::{Instant, Observation};
use crate::journal::JournalState;

/// What a plan depends on beside the findings.
#[derive(Debug, Clone)]
pub struct Circumstances<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// What the journal says.
    pub journal: &'a JournalState,
    /// The time.
    pub now: Instant,
    /// True for `plan` and `apply`: an explicit command acts in every mode.
    pub asked: bool,
    /// True when the operator said that restarts may happen outside the disruption window.
    pub any_time: bool,
    /// Why Holdfast is paused, if it is.
    pub paused: Option<String>,
}

/// The plan for these findings.
#[must_use]
pub fn build(
    selected: &[Selected],
    findings: &[Finding],
    observation: &Observation,
    circumstances: &Circumstances<'_>,
) -> Plan {
    let _ = (selected, findings, observation, circumstances);
    Plan::default()
}
