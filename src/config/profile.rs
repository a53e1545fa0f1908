//! Profiles: which controls are mended at all.

use std::fmt;

/// Which controls are mended, by `mode: enforce` and by `holdfast apply`; all are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Profile {
    /// What restarts nothing and needs nothing.
    Baseline,
    /// Those of level 1 of the CIS Kubernetes Benchmark 1.12.
    CisLevel1,
    /// Those of both levels.
    CisLevel2,
    /// Those of DISA's Kubernetes STIG.
    Stig,
    /// All of them.
    #[default]
    Custom,
}

impl Profile {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::Baseline,
        Self::CisLevel1,
        Self::CisLevel2,
        Self::Stig,
        Self::Custom,
    ];

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::CisLevel1 => "cis-level-1",
            Self::CisLevel2 => "cis-level-2",
            Self::Stig => "stig",
            Self::Custom => "custom",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
