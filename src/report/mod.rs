//! Renders findings, plans and the catalogue: as text for a terminal, and as JSON for programs. Pure: values in, text
//! out; who prints it decides on colour.

mod at_rest;
mod benchmark;
mod bounce;
mod catalogue;
mod config_error;
mod exit;
mod findings;
mod json;
mod keys;
mod metrics;
mod outcomes;
mod paint;
mod plan;
mod rotation;
mod words;

pub use at_rest::{at_rest_exit, at_rest_json, at_rest_text};
pub use bounce::{BounceReport, bounce_json, bounce_refused_text, bounce_text, outage_text};
pub use catalogue::{controls_markdown, controls_text, explain_text};
pub use config_error::config_error_text;
pub use exit::{ExitClass, exit_code};
pub use findings::{Summary, findings_text};
pub use json::{SCHEMA_VERSION, apply_json, controls_json, explain_json, findings_json, plan_json};
pub use keys::{keys_exit, keys_json, keys_text};
pub use metrics::{Changes, Counted, Family, Found, Kind, Measured, Standing, Walk, families, metrics_text};
pub use outcomes::{left_text, outcome_text};
pub use paint::{Colour, printable};
pub use plan::plan_text;
pub use rotation::{rotation_json, rotation_text};

use crate::controls::Benchmark;

/// What stands above every report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heading {
    /// Why Holdfast is paused and until when, if it is: `until 2026-11-24T03:00:00Z: disk swap`.
    pub paused: Option<String>,
    /// The benchmark whose controls are reported, under its ids.
    pub benchmark: Option<Benchmark>,
}

impl Heading {
    fn text(&self, colour: Colour) -> String {
        let Some(why) = &self.paused else {
            return String::new();
        };
        let words = format!(
            "PAUSED {}: nothing is changed but to recover; `holdfast resume` ends it",
            printable(why)
        );
        format!("{}\n\n", colour.paint(paint::WARNING, &words))
    }
}

#[cfg(test)]
mod samples;
