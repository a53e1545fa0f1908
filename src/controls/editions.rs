//! The ids of a control in each edition of each benchmark, and what an edition asks for that differs from ours.
//!
//! Numbers move between editions, so a control goes by an id of its own (a number of CIS 1.12, `X-`, `HF-`) and is looked up here. An id is
//! left out where no source has it. One id of a benchmark may be several of our controls (`V-242408` is about four manifests), and the
//! other way round.

mod cis;
mod differs;
mod nsa;
mod stig;

use std::collections::BTreeMap;
use std::str::FromStr;

pub use differs::Difference;

use super::{Control, Requirement};
use crate::domain::{ControlId, InvalidControlId};

/// A benchmark in one edition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Benchmark {
    /// CIS Kubernetes Benchmark 1.8, for Kubernetes 1.26.
    Cis8,
    /// CIS Kubernetes Benchmark 1.9, for Kubernetes 1.27.
    Cis9,
    /// CIS Kubernetes Benchmark 1.10, for Kubernetes 1.28.
    Cis10,
    /// CIS Kubernetes Benchmark 1.11, for Kubernetes 1.29 to 1.31.
    Cis11,
    /// CIS Kubernetes Benchmark 1.12, for Kubernetes 1.32 to 1.34.
    Cis12,
    /// DISA's Kubernetes Security Technical Implementation Guide, version 2 release 6.
    Stig,
    /// The Kubernetes Hardening Guide of NSA and CISA, version 1.2 of August 2022.
    Nsa,
}

/// How a control is named by who asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlName {
    /// By our id.
    Ours(ControlId),
    /// By its number in an edition of the CIS benchmark: `cis-1.8:1.2.13`.
    Cis(Benchmark, String),
    /// By a rule of the STIG, also by one that a later release withdrew: `V-242381` or `CNTR-K8-000220`.
    Stig(String),
}

impl Benchmark {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Cis8,
        Self::Cis9,
        Self::Cis10,
        Self::Cis11,
        Self::Cis12,
        Self::Stig,
        Self::Nsa,
    ];
    /// The editions of the CIS benchmark.
    pub const CIS: [Self; 5] = [Self::Cis8, Self::Cis9, Self::Cis10, Self::Cis11, Self::Cis12];

    /// Its name on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cis8 => "cis-1.8",
            Self::Cis9 => "cis-1.9",
            Self::Cis10 => "cis-1.10",
            Self::Cis11 => "cis-1.11",
            Self::Cis12 => "cis-1.12",
            Self::Stig => "stig",
            Self::Nsa => "nsa",
        }
    }

    /// The benchmark of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|benchmark| benchmark.name() == name)
    }

    /// Its title.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Cis8 => "CIS Kubernetes Benchmark 1.8",
            Self::Cis9 => "CIS Kubernetes Benchmark 1.9",
            Self::Cis10 => "CIS Kubernetes Benchmark 1.10",
            Self::Cis11 => "CIS Kubernetes Benchmark 1.11",
            Self::Cis12 => "CIS Kubernetes Benchmark 1.12",
            Self::Stig => "DISA Kubernetes STIG V2R6",
            Self::Nsa => "NSA/CISA Kubernetes Hardening Guide 1.2",
        }
    }

    /// How many checks it has, those of the cluster's objects included (kube-bench v0.15.6 `cfg/cis-1.*`; diki's V2R6 ruleset); the guide of
    /// NSA and CISA has sections only.
    #[must_use]
    pub const fn checks(self) -> Option<usize> {
        match self {
            Self::Cis8 | Self::Cis9 | Self::Cis10 => Some(130),
            Self::Cis11 => Some(133),
            Self::Cis12 => Some(131),
            Self::Stig => Some(92),
            Self::Nsa => None,
        }
    }

    /// In what all of its verdicts differ from its text.
    #[must_use]
    pub const fn remark(self) -> Option<&'static str> {
        match self {
            Self::Stig => Some(
                "The STIG wants each setting written out. Judged is the value in effect, the built-in default included.",
            ),
            Self::Nsa => {
                Some("The guide has no numbers: a control stands under the section that asks for it.")
            }
            Self::Cis8 | Self::Cis9 | Self::Cis10 | Self::Cis11 | Self::Cis12 => None,
        }
    }

    /// Its ids of a control, in its order: a CIS number, rules of the STIG, sections of the guide. Empty where it does not ask for it.
    #[must_use]
    pub fn ids(self, control: &ControlId) -> Vec<String> {
        match self {
            Self::Cis8 | Self::Cis9 | Self::Cis10 | Self::Cis11 | Self::Cis12 => {
                cis::number(self, control).into_iter().collect()
            }
            Self::Stig => stig::rules(control)
                .filter(|rule| rule.is_in_force())
                .map(|rule| rule.vulnerability.to_owned())
                .collect(),
            Self::Nsa => nsa::sections(control)
                .map(|(_, section)| section.to_owned())
                .collect(),
        }
    }

    /// Where a control stands in it.
    #[must_use]
    pub fn place(self, control: &ControlId) -> Option<Vec<u32>> {
        if self == Self::Nsa {
            return nsa::sections(control).next().map(|(place, _)| vec![place]);
        }
        let first = self.ids(control).into_iter().next()?;
        Some(
            first
                .split(['.', '-'])
                .filter_map(|part| part.parse().ok())
                .collect(),
        )
    }

    /// What it asks for of a control that differs from what ours asks.
    #[must_use]
    pub fn difference(self, control: &ControlId) -> Option<Difference> {
        differs::of(self, control)
    }

    /// The control as this benchmark asks for it, with its mode where that differs; `None` where it does not ask for it.
    #[must_use]
    pub fn asks(self, mut control: Control) -> Option<Control> {
        if self.ids(&control.id).is_empty() {
            return None;
        }
        let asked = self
            .difference(&control.id)
            .and_then(|difference| difference.ceiling);
        if let (Some(asked), Requirement::Mode { ceiling, .. }) = (asked, &mut control.requirement) {
            control.title = control
                .title
                .replace(&ceiling.to_string(), &asked.to_string())
                .into();
            *ceiling = asked;
        }
        Some(control)
    }
}

/// The level of a control in the CIS benchmark 1.12, 1 or 2; none of what it has not.
#[must_use]
pub fn cis_level(control: &ControlId) -> Option<u8> {
    cis::level(control)
}

/// Every id of a control, by benchmark: its name, and for the STIG `stig-id` (`CNTR-K8-...`) and `stig-withdrawn` (rules of former releases).
#[must_use]
pub fn all_ids(control: &ControlId) -> BTreeMap<&'static str, Vec<String>> {
    let mut all: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for benchmark in Benchmark::ALL {
        all.insert(benchmark.name(), benchmark.ids(control));
    }
    for rule in stig::rules(control) {
        let (key, id) = if rule.is_in_force() {
            ("stig-id", rule.id)
        } else {
            ("stig-withdrawn", rule.vulnerability)
        };
        all.entry(key).or_default().push(id.to_owned());
    }
    all.retain(|_, ids| !ids.is_empty());
    all
}

/// The `CNTR-K8-...` of a rule of the STIG.
#[must_use]
pub fn stig_id(vulnerability: &str) -> Option<&'static str> {
    stig::named(vulnerability).next().map(|rule| rule.id)
}

impl ControlName {
    /// True for a name of this control.
    #[must_use]
    pub fn is_of(&self, control: &ControlId) -> bool {
        match self {
            Self::Ours(id) => id == control,
            Self::Cis(edition, number) => cis::number(*edition, control).as_ref() == Some(number),
            Self::Stig(id) => stig::named(id).any(|rule| rule.controls.contains(&control.as_str())),
        }
    }

    /// Why no control of ours has this name, where that is known.
    #[must_use]
    pub fn why_none(&self) -> Option<&'static str> {
        match self {
            Self::Cis(edition, number) => cis::why_none(*edition, number),
            Self::Ours(_) | Self::Stig(_) => None,
        }
    }
}

impl std::fmt::Display for ControlName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ours(id) => write!(f, "{id}"),
            Self::Cis(edition, number) => write!(f, "{}:{number}", edition.name()),
            Self::Stig(id) => write!(f, "{id}"),
        }
    }
}

impl FromStr for ControlName {
    type Err = InvalidControlId;

    /// Accepts any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidControlId(text.to_owned());
        let lower = text.to_ascii_lowercase();
        if let Some((edition, number)) = lower.split_once(':')
            && let Some(edition) = Benchmark::from_name(edition)
        {
            let is_number = number.contains('.') && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let name = match edition {
                Benchmark::Cis8
                | Benchmark::Cis9
                | Benchmark::Cis10
                | Benchmark::Cis11
                | Benchmark::Cis12 => is_number.then(|| Self::Cis(edition, number.to_owned())),
                Benchmark::Stig => stig_name(number),
                Benchmark::Nsa => None,
            };
            return name.ok_or_else(invalid);
        }
        match stig_name(&lower) {
            Some(name) => Ok(name),
            None => text.parse().map(Self::Ours),
        }
    }
}

fn stig_name(lower: &str) -> Option<ControlName> {
    let number = lower
        .strip_prefix("v-")
        .or_else(|| lower.strip_prefix("cntr-k8-"))?;
    (number.len() == 6 && number.bytes().all(|b| b.is_ascii_digit()))
        .then(|| ControlName::Stig(lower.to_ascii_uppercase()))
}

#[cfg(test)]
#[path = "editions_tests.rs"]
mod tests;
