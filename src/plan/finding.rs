//! A finding: a control held against the observation.

use crate::controls::{Control, Kit};
use crate::domain::{Component, ControlId, Digest, FileId, FlagName, Mode, NodePath, Owner};
use crate::kubelet::NewValue;

/// What came of it. The order is that of weight: a finding with several pieces of evidence takes the heaviest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was not asked for: objects of the API without `check --cluster`.
    NotLookedAt,
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
    /// Set a flag of a conditional remedy, when what it needs is there.
    Conditional {
        /// The remedy.
        kit: Kit,
        /// Whose flag.
        component: Component,
        /// Which.
        name: FlagName,
        /// The value.
        value: String,
    },
    /// Give a setting of the kubelet a value, in its configuration file.
    Kubelet {
        /// The conditional remedy that it belongs to, if any.
        kit: Option<Kit>,
        /// The setting with its value.
        setting: NewValue,
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
    /// Set flags that belong together.
    Flags {
        /// The remedy that they belong to, if it needs something.
        kit: Option<Kit>,
        /// Whose.
        component: Component,
        /// Which, with their values; one with nothing is taken away.
        flags: Vec<(FlagName, String)>,
    },
    /// Add items to a flag that is a list, and take others out.
    List {
        /// Whose.
        component: Component,
        /// Which.
        name: FlagName,
        /// What is in it, and is to be.
        items: ListMend,
    },
    /// Add items to a flag that is a list for a conditional remedy, when what it needs is there.
    ConditionalList {
        /// The remedy.
        kit: Kit,
        /// Whose.
        component: Component,
        /// Which.
        name: FlagName,
        /// What is in it, and is to be.
        items: ListMend,
        /// Another flag, without which the component does not start with that list, and its value.
        with: Option<(FlagName, String)>,
    },
    /// Move an unknown manifest out of the folder.
    Quarantine {
        /// The file.
        path: NodePath,
        /// Its content.
        digest: Digest,
        /// The component's manifest that it is a copy of, if it is one.
        twin: Option<NodePath>,
    },
}

/// What is to become of a list. Several controls may want something of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListMend {
    /// Its items now.
    pub current: Vec<String>,
    /// What must be in it.
    pub add: Vec<String>,
    /// What must not be in it.
    pub remove: Vec<String>,
    /// False when the component does not start with an empty one.
    pub may_be_empty: bool,
}

impl ListMend {
    /// Both in one.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.add.extend_from_slice(&other.add);
        self.remove.extend_from_slice(&other.remove);
        self
    }

    /// The flag's value after it. The order of what stays is kept: the authorizers are asked in theirs.
    #[must_use]
    pub fn value(&self) -> String {
        let mut items: Vec<&str> = Vec::new();
        let stays = self.current.iter().filter(|item| !self.remove.contains(item));
        for item in stays.chain(&self.add) {
            if !items.contains(&item.as_str()) {
                items.push(item);
            }
        }
        items.join(",")
    }
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
            Self::NotLookedAt => "not looked at",
            Self::NotApplicable => "not applicable",
            Self::Pass => "pass",
            Self::Excepted => "excepted",
            Self::Unknown => "unknown",
            Self::Drift => "drift",
        }
    }
}
