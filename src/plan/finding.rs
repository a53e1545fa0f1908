//! A finding: a control held against the observation.

use crate::controls::Control;
use crate::domain::{Component, ControlId, Digest, FileId, FlagName, Mode, NodePath, Owner};

/// What came of it. The order is that of weight: a finding with several pieces of evidence takes the heaviest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// What it is about is not there.
    NotApplicable,
    /// It holds.
    Pass,
    /// It does not hold, and the operator said why that is so.
    Excepted,
    /// A fact could not be had. Never a pass.
    Unknown,
    /// It does not hold.
    Drift,
}

/// A control held against the observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The control.
    pub control: Control,
    /// What came of it.
    pub verdict: Verdict,
    /// What was looked at, one piece for each object.
    pub evidence: Vec<Evidence>,
}

/// One object held against the requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What was looked at: a path, or a component's flag.
    pub object: String,
    /// What came of it.
    pub verdict: Verdict,
    /// What must hold.
    pub expected: String,
    /// What was found, or why it could not be.
    pub actual: String,
    /// What would mend it; `None` where Holdfast does not.
    pub mend: Option<Mend>,
}

/// What would mend a drift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mend {
    /// Take permission bits away.
    Mode {
        /// The file.
        path: NodePath,
        /// Which file it was when it was looked at.
        id: FileId,
        /// Its mode then.
        from: Mode,
        /// The widest mode allowed.
        ceiling: Mode,
    },
    /// Give it to another owner.
    Owner {
        /// The file.
        path: NodePath,
        /// Which file it was when it was looked at.
        id: FileId,
        /// Its owner then.
        from: Owner,
        /// The owner it must have.
        to: Owner,
    },
    /// Set a flag.
    Flag {
        /// Whose.
        component: Component,
        /// Which.
        name: FlagName,
        /// The value.
        value: String,
    },
    /// Move an unknown manifest out of the folder.
    Quarantine {
        /// The file.
        path: NodePath,
        /// Its content.
        digest: Digest,
    },
}

impl Finding {
    /// The finding of some evidence: the heaviest verdict; without evidence it does not apply.
    #[must_use]
    pub fn new(control: Control, evidence: Vec<Evidence>) -> Self {
        let verdict = evidence
            .iter()
            .map(|piece| piece.verdict)
            .max()
            .unwrap_or(Verdict::NotApplicable);
        Self {
            control,
            verdict,
            evidence,
        }
    }

    /// The control's id.
    #[must_use]
    pub const fn id(&self) -> &ControlId {
        &self.control.id
    }

    /// The evidence of that verdict.
    pub fn with_verdict(&self, verdict: Verdict) -> impl Iterator<Item = &Evidence> {
        self.evidence.iter().filter(move |piece| piece.verdict == verdict)
    }
}

impl Verdict {
    /// The verdict in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotApplicable => "not applicable",
            Self::Pass => "pass",
            Self::Excepted => "excepted",
            Self::Unknown => "unknown",
            Self::Drift => "drift",
        }
    }
}
