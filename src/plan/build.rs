//! Findings in, an ordered list of changes out. Modes and owners come first, restarts last.

use std::collections::BTreeMap;

use super::change::{Change, Deed, Plan, Withheld, WithheldReason};
use super::closing;
use super::edits::{self, Wanted};
use super::finding::{Evidence, Finding, ListMend, Mend, Verdict};
use super::in_flight::{Limits, next_step};
use super::kubelet_edit::{self, WantedSetting};
use super::lists::{self, ListWanted, Lists};
use super::restart;
use super::select::Selected;
use crate::config::{Action, Config};
use crate::controls::{Control, FolderRule, Kit, Remedy, Requirement, items_of};
use crate::domain::{
    Component, ControlId, Digest, EntryContent, Fact, FileId, FlagName, Instant, Mode, NodePath, Observation,
    Owner,
};
use crate::journal::{Act, JournalState, KnownManifest};

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
    /// Changes that failed a moment ago, and why: not tried again yet.
    pub failed: &'a BTreeMap<Digest, String>,
    /// True when the operator asked to try again what the node refused.
    pub retry: bool,
    /// True while the node's files have just changed: an edit waits until they are quiet.
    pub settling: bool,
    /// True while stored values are in danger, or may be: what mends them comes before every other restart, and a restart may load what
    /// endangers them.
    pub endangered: bool,
    /// True when the process is to end once nothing is in flight.
    pub ending: bool,
    /// True at the first look of a process that carries on what another has begun.
    pub starting: bool,
    /// Why Holdfast is paused, if it is.
    pub paused: Option<String>,
}

/// So many mends of one file's mode or owner in [`FLAP_FILES_WITHIN`] are borne before Holdfast backs off.
const FLAP_FILES: usize = 1_200;
const FLAP_FILES_WITHIN: std::time::Duration = std::time::Duration::from_secs(600);
/// The kubelet gives a pod 30 s to end, and the slowest component takes some 20 to come.
const COPY_SETTLES: std::time::Duration = std::time::Duration::from_secs(60);

/// The order of restarts: first what takes the API away. A controller manager that has just won its lease ends when the API goes
/// away before all its controllers are set up, so it is not restarted shortly before (cmd/kube-controller-manager, `BuildControllers`).
const RESTARTS: [Component; Component::ALL.len()] = [
    Component::Etcd,
    Component::ApiServer,
    Component::ControllerManager,
    Component::Scheduler,
];

/// The plan for these findings.
#[must_use]
pub fn build(
    selected: &[Selected],
    findings: &[Finding],
    observation: &Observation,
    circumstances: &Circumstances<'_>,
) -> Plan {
    let deadline = circumstances.config.disruption.deadline;
    let limits = Limits::of(deadline, circumstances.starting, circumstances.ending);
    let in_flight = circumstances.journal.in_flight.as_ref();
    let mut draft = Draft::new(circumstances);
    let actions: BTreeMap<&ControlId, Action> = selected
        .iter()
        .map(|selected| (&selected.control.id, selected.action))
        .collect();
    for finding in findings {
        let action = actions.get(finding.id()).copied().unwrap_or(Action::Audit);
        for evidence in finding.with_verdict(Verdict::Drift) {
            draft.take(finding, evidence, action, observation);
        }
    }
    let left_out = lists::agree(
        std::mem::take(&mut draft.lists),
        &mut draft.flags,
        observation,
        circumstances,
    );
    draft.withheld.extend(left_out);
    let mut plan = draft.file_changes();
    if !draft.kubelet.is_empty() {
        match kubelet_edit::edit_of(&draft.kubelet, observation, circumstances) {
            Ok((change, left_out)) => {
                plan.changes.push(change);
                plan.withheld.extend(left_out);
            }
            Err(left_out) => plan.withheld.extend(left_out),
        }
    }
    for component in RESTARTS {
        let Some(wanted) = draft.flags.get(&component) else {
            continue;
        };
        match edits::edit_of(component, wanted, observation, circumstances) {
            Ok((changes, refused)) => {
                plan.withheld.extend(refused);
                match restart::why_not(component, observation, circumstances) {
                    Some(reason) => plan
                        .withheld
                        .push(edits::withheld(component, wanted.iter(), reason)),
                    None => plan.changes.extend(changes),
                }
            }
            Err(refused) => plan.withheld.extend(refused),
        }
    }
    withhold_failed(&mut plan, circumstances.failed);
    withhold_restarts_beside_a_copy(&mut plan, circumstances);
    plan.withheld.append(&mut draft.withheld);
    plan.warnings = restart::warnings(observation);
    plan.in_flight = in_flight.map(|begun| next_step(begun, observation, limits, &circumstances.now));
    // What is being written is not yet what it will be.
    if !circumstances.settling && !restart::is_being_set_up(observation) {
        plan.baseline = baseline(observation, circumstances.journal);
    }
    plan
}

fn withhold_failed(plan: &mut Plan, failed: &BTreeMap<Digest, String>) {
    let (tried, changes): (Vec<Change>, Vec<Change>) = std::mem::take(&mut plan.changes)
        .into_iter()
        .partition(|change| failed.contains_key(&change.id));
    plan.changes = changes;
    for change in tried {
        let why = failed.get(&change.id).map_or("", String::as_str);
        let reason =
            WithheldReason::Waiting(format!("it failed a moment ago and is tried again later: {why}"));
        let object = change.deed.path().to_string();
        plan.withheld.push(Withheld {
            controls: change.controls,
            object,
            reason,
        });
    }
}

/// With the copy of a manifest that goes to quarantine its component restarts: nothing else does at the same time, no other copy either, until
/// it has had the time to end and come back.
fn withhold_restarts_beside_a_copy(plan: &mut Plan, circumstances: &Circumstances<'_>) {
    let is_copy = |change: &Change| matches!(change.deed, Deed::Quarantine { twin: Some(_), .. });
    let is_recent = times(circumstances, COPY_SETTLES, |act| {
        matches!(act, Act::Quarantine { .. })
    }) > 0;
    let first = plan
        .changes
        .iter()
        .find(|change| is_copy(change))
        .map(|change| change.id);
    if first.is_none() && !is_recent {
        return;
    }
    let goes = first.filter(|_| !is_recent);
    let (waiting, changes): (Vec<Change>, Vec<Change>) = std::mem::take(&mut plan.changes)
        .into_iter()
        .partition(|change| change.restarted().is_some() || is_copy(change) && Some(change.id) != goes);
    plan.changes = changes;
    plan.withheld.extend(waiting.into_iter().map(|change| {
        let why = "a copy of a component's manifest goes to quarantine, or has gone a moment ago, and that component restarts";
        Withheld {
            object: change.deed.path().to_string(),
            controls: change.controls,
            reason: WithheldReason::Waiting(why.to_owned()),
        }
    }));
}

/// What lies in the manifests folder beside the components' own manifests; `None` when it is known already or cannot be
/// told.
fn baseline(observation: &Observation, journal: &JournalState) -> Option<Vec<KnownManifest>> {
    if journal.baseline.is_some() {
        return None;
    }
    let entries = observation.manifest_folder.known()?;
    // Before `kubeadm init` there is nothing yet to be taken for the operator's.
    if !entries
        .iter()
        .any(|entry| Component::from_manifest_file(&entry.name).is_some())
    {
        return None;
    }
    let others = entries.iter().filter(|entry| !entry.name.starts_with('.'));
    let known = others.filter_map(|entry| match &entry.content {
        EntryContent::Pod { digest, .. }
        | EntryContent::Unparsable {
            digest: Some(digest), ..
        } if Component::from_manifest_file(&entry.name).is_none() => Some(KnownManifest {
            name: entry.name.clone(),
            digest: *digest,
        }),
        EntryContent::Pod { .. } | EntryContent::Unparsable { .. } | EntryContent::NotRead(_) => None,
    });
    Some(known.collect())
}

/// The drifts, gathered by the object that is changed.
struct Draft<'a> {
    circumstances: &'a Circumstances<'a>,
    modes: BTreeMap<NodePath, (FileId, Mode, Mode, Vec<ControlId>)>,
    owners: BTreeMap<NodePath, (FileId, Owner, Owner, Vec<ControlId>)>,
    quarantines: BTreeMap<NodePath, (Digest, Option<NodePath>, Vec<ControlId>)>,
    flags: BTreeMap<Component, Vec<Wanted>>,
    kubelet: Vec<WantedSetting>,
    /// What several controls want of one list becomes one value.
    lists: Lists,
    withheld: Vec<Withheld>,
}

impl<'a> Draft<'a> {
    const fn new(circumstances: &'a Circumstances<'a>) -> Self {
        Self {
            circumstances,
            modes: BTreeMap::new(),
            owners: BTreeMap::new(),
            quarantines: BTreeMap::new(),
            flags: BTreeMap::new(),
            kubelet: Vec::new(),
            lists: BTreeMap::new(),
            withheld: Vec::new(),
        }
    }

    fn take(&mut self, finding: &Finding, evidence: &Evidence, action: Action, observation: &Observation) {
        let control = finding.id().clone();
        let Some(mend) = &evidence.mend else {
            let reason = WithheldReason::NeedsOperator(what_it_needs(&finding.control));
            return self.withhold(control, evidence, reason);
        };
        if !self.circumstances.asked && action != Action::Enforce {
            return self.withhold(control, evidence, WithheldReason::Audit);
        }
        if let Some(why) = &self.circumstances.paused {
            return self.withhold(control, evidence, WithheldReason::Paused(why.clone()));
        }
        let not_now = closing::why_not(finding.control.kit(), mend, observation)
            .or_else(|| self.no_quarantine(mend, observation));
        if let Some(reason) = not_now {
            return self.withhold(control, evidence, reason);
        }
        if let Some(flag) = self.required_otherwise(mend) {
            let why = format!("`requiredFlags` without {flag}, which it gives another value");
            return self.withhold(control, evidence, WithheldReason::NeedsOperator(why));
        }
        self.gather(mend, control);
    }

    /// A copy of a component's manifest takes that component away with it for a moment.
    fn no_quarantine(&self, mend: &Mend, observation: &Observation) -> Option<WithheldReason> {
        matches!(mend, Mend::Quarantine { twin: Some(_), .. })
            .then(|| restart::why_no_quarantine(observation, self.circumstances))
            .flatten()
    }

    /// A flag of a conditional remedy to which the operator gives another value: the two would undo each other for ever.
    fn required_otherwise(&self, mend: &Mend) -> Option<FlagName> {
        let required = |component: &Component, name: &FlagName| {
            let flags = self.circumstances.config.required_flags.get(component)?;
            flags.get(name).map(String::as_str)
        };
        let differs = |component, name, value: &str| {
            required(component, name).is_some_and(|required| required != value)
        };
        match mend {
            Mend::Conditional {
                component,
                name,
                value,
                ..
            } => differs(component, name, value).then(|| name.clone()),
            Mend::ConditionalList {
                component,
                name,
                items,
                with,
                ..
            } => {
                let lacks = |required: &str| {
                    let given = items_of([required]);
                    items.add.iter().any(|item| !given.contains(item))
                };
                if required(component, name).is_some_and(lacks) {
                    return Some(name.clone());
                }
                let (other, value) = with.as_ref()?;
                differs(component, other, value).then(|| other.clone())
            }
            Mend::Flags { component, flags, .. } => {
                let other = flags.iter().find(|(name, value)| differs(component, name, value));
                other.map(|(name, _)| name.clone())
            }
            Mend::Mode { .. }
            | Mend::Owner { .. }
            | Mend::Kubelet { .. }
            | Mend::Flag { .. }
            | Mend::List { .. }
            | Mend::Quarantine { .. } => None,
        }
    }

    fn gather(&mut self, mend: &Mend, control: ControlId) {
        match mend {
            Mend::Mode {
                path,
                id,
                from,
                ceiling,
            } => self.tighten(path, (*id, *from), *ceiling, control),
            Mend::Owner { path, id, from, to } => {
                self.owners
                    .entry(path.clone())
                    .or_insert((*id, *from, *to, Vec::new()))
                    .3
                    .push(control);
            }
            Mend::Flag {
                component,
                name,
                value,
            } => self.want(*component, control, name, value, None),
            Mend::Conditional {
                kit,
                component,
                name,
                value,
            } => self.want(*component, control, name, value, Some(*kit)),
            Mend::Flags {
                kit,
                component,
                flags,
            } => {
                for (name, value) in flags {
                    self.want(*component, control.clone(), name, value, *kit);
                }
            }
            Mend::Kubelet { kit, setting } => self.kubelet.push(WantedSetting {
                control,
                setting: setting.clone(),
                kit: *kit,
            }),
            Mend::List {
                component,
                name,
                items,
            } => self.want_items((*component, name), control, items, None),
            Mend::ConditionalList {
                kit,
                component,
                name,
                items,
                with,
            } => self.want_items((*component, name), control, items, Some((*kit, with))),
            Mend::Quarantine { path, digest, twin } => {
                self.quarantines
                    .entry(path.clone())
                    .or_insert_with(|| (*digest, twin.clone(), Vec::new()))
                    .2
                    .push(control);
            }
        }
    }

    /// Several controls may ask for different ceilings of one file.
    fn tighten(&mut self, path: &NodePath, (id, from): (FileId, Mode), ceiling: Mode, control: ControlId) {
        let entry = self
            .modes
            .entry(path.clone())
            .or_insert((id, from, from, Vec::new()));
        entry.2 = entry.2.tightened_to(ceiling);
        entry.3.push(control);
    }

    fn want(
        &mut self,
        component: Component,
        control: ControlId,
        name: &FlagName,
        value: &str,
        kit: Option<Kit>,
    ) {
        self.flags.entry(component).or_default().push(Wanted {
            control,
            name: name.clone(),
            value: value.to_owned(),
            kit,
        });
    }

    fn want_items(
        &mut self,
        (component, name): (Component, &FlagName),
        control: ControlId,
        items: &ListMend,
        conditional: Option<(Kit, &Option<(FlagName, String)>)>,
    ) {
        let wanted = self.lists.entry((component, name.clone())).or_default();
        wanted.push(ListWanted {
            control,
            items: items.clone(),
            kit: conditional.map(|(kit, _)| kit),
            with: conditional.and_then(|(_, with)| with.clone()),
        });
    }

    fn withhold(&mut self, control: ControlId, evidence: &Evidence, reason: WithheldReason) {
        let same = |other: &&mut Withheld| other.object == evidence.object && other.reason == reason;
        match self.withheld.iter_mut().find(same) {
            Some(other) => other.controls.push(control),
            None => {
                let object = evidence.object.clone();
                self.withheld.push(Withheld {
                    controls: vec![control],
                    object,
                    reason,
                });
            }
        }
    }

    /// The changes that restart nothing. A mode goes before an owner, so that the new owner never has more than allowed.
    fn file_changes(&mut self) -> Plan {
        let mut plan = Plan::default();
        for (path, (id, from, to, controls)) in std::mem::take(&mut self.modes) {
            let deed = Deed::SetMode {
                path: path.clone(),
                id,
                from,
                to,
            };
            self.push(&mut plan, format!("mode {path} {from} {to}"), controls, deed);
        }
        for (path, (id, from, to, controls)) in std::mem::take(&mut self.owners) {
            let deed = Deed::SetOwner {
                path: path.clone(),
                id,
                from,
                to,
            };
            self.push(&mut plan, format!("owner {path} {from} {to}"), controls, deed);
        }
        for (path, (digest, twin, controls)) in std::mem::take(&mut self.quarantines) {
            let name = format!("quarantine {path} {digest}");
            let deed = Deed::Quarantine { path, digest, twin };
            self.push(&mut plan, name, controls, deed);
        }
        plan
    }

    fn push(&self, plan: &mut Plan, name: String, controls: Vec<ControlId>, deed: Deed) {
        let times = self.times_mended(&deed);
        if times >= FLAP_FILES && !self.circumstances.asked {
            let minutes = FLAP_FILES_WITHIN.as_secs() / 60;
            let why = format!("it was mended {times} times in {minutes} minutes; Holdfast backs off");
            let object = deed.path().to_string();
            plan.withheld.push(Withheld {
                controls,
                object,
                reason: WithheldReason::Flapping(why),
            });
            return;
        }
        plan.changes.push(Change {
            id: Digest::of(name.as_bytes()),
            controls,
            deed,
        });
    }

    fn times_mended(&self, deed: &Deed) -> usize {
        let of_same_kind = |act: &Act| match (act, deed) {
            (Act::SetMode { path, .. }, Deed::SetMode { path: other, .. })
            | (Act::SetOwner { path, .. }, Deed::SetOwner { path: other, .. })
            | (Act::Quarantine { path, .. }, Deed::Quarantine { path: other, .. }) => path == other,
            _ => false,
        };
        times(self.circumstances, FLAP_FILES_WITHIN, of_same_kind)
    }
}

/// How many finished changes of that kind lie within that time before now.
pub(super) fn times(
    circumstances: &Circumstances<'_>,
    within: std::time::Duration,
    which: impl Fn(&Act) -> bool,
) -> usize {
    let now = circumstances.now.wall;
    let recent = |at: &Instant| now.duration_since(at.wall).unsigned_abs() <= within;
    circumstances
        .journal
        .finished
        .iter()
        .filter(|(act, at)| which(act) && recent(at))
        .count()
}

fn what_it_needs(control: &Control) -> String {
    match control.remedy {
        Remedy::ReportOnly(needs) | Remedy::InPart(needs) => needs.to_owned(),
        Remedy::Quarantine if control.requirement == Requirement::Folder(FolderRule::NoDuplicatePod) => {
            "`manifests.quarantine: true` where the file is the copy of a component's manifest, or a move of it to a folder outside the manifests \
             folder; the pod restarts when it goes, so choose the time"
                .to_owned()
        }
        Remedy::Quarantine => {
            "`manifests.quarantine: true`, or the file named under `manifests.known`".to_owned()
        }
        // Where it may be mended, and is not, something lies over the file.
        Remedy::Kubelet { kit: None, needs } => needs.to_owned(),
        Remedy::Kubelet {
            kit: Some(kit),
            needs,
        } => format!("{}; by hand {needs}", kit.needs()),
        Remedy::Conditional(kit) | Remedy::RestartsWhen(kit) => kit.needs().to_owned(),
        Remedy::Safe | Remedy::Restarts | Remedy::When(_) => "a look at the evidence above".to_owned(),
    }
}

/// A fact that was not asked.
pub(super) fn not_asked<T>(fact: Option<&Fact<T>>) -> Fact<&T> {
    fact.map_or_else(|| Fact::unknown("it was not looked at"), Fact::as_ref)
}
