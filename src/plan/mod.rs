//! Controls, observation, journal and time in; an ordered list of changes with their reasons out.
//!
//! Everything here is pure and total: the same input gives the same plan, and a finding or a plan can be compared
//! as a value.

mod benchmark;
mod bounce;
mod bounce_now;
#[cfg(test)]
mod bounce_tests;
mod build;
#[cfg(test)]
mod build_tests;
mod change;
mod closing;
mod edits;
mod enable_now;
mod finding;
#[cfg(test)]
pub(crate) mod fixtures;
mod in_flight;
#[cfg(test)]
mod in_flight_tests;
mod judge;
mod judge_cluster;
mod judge_constraint;
mod judge_contents;
mod judge_documents;
mod judge_files;
mod judge_flags;
mod judge_folder;
mod judge_host;
mod judge_kubelet;
mod judge_once;
#[cfg(test)]
mod judge_places_tests;
mod judge_reported;
#[cfg(test)]
mod judge_tests;
mod judge_versions;
mod judge_widened;
mod kits;
mod kubelet_edit;
mod last_words;
mod lists;
mod pairs;
mod redact;
mod restart;
#[cfg(test)]
mod restart_tests;
mod restarting;
mod select;
mod targets;

pub use benchmark::select_for;
pub use bounce::FORGET;
pub use bounce_now::{BouncePlan, bounce_now, bounce_to_mend};
pub use build::{Circumstances, build};
pub use change::{Change, Deed, ManifestBounce, ManifestEdit, Plan, Withheld, WithheldReason};
pub use closing::{ToClose, closes, to_close};
pub use enable_now::{Enabling, VOLUME, enable_now};
pub use finding::{Evidence, Finding, ListMend, Mend, Verdict};
pub use in_flight::{Limits, Progress, Step, next_step};
pub use judge::{JudgeContext, judge};
pub use judge_constraint::expected as expected_constraint;
pub(crate) use judge_kubelet::{expected as expected_of_kubelet, serving_certificate};
pub use kubelet_edit::client_ca_of;
pub use last_words::fault_in;
pub use pairs::{AskedPair, pairs_of, pairs_with};
pub use redact::redact;
pub use select::{InvalidValue, Selected, select};
pub(crate) use targets::flag_file;
pub use targets::{Asked, always_written, certificate_files, document_behind, documents_of, paths_of};
