//! The path itself: observe, judge, plan, apply. `check`, `plan`, `apply` and the daemon differ in how far they go along it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::adapters::Node;
use crate::adapters::journal_store::{JournalStore, StoreError};
use crate::adapters::lock::Held;
use crate::apply::{Applier, Outcome, out};
use crate::config::{Config, Pause};
use crate::controls::{Control, Kit};
use crate::domain::{Component, ControlId, Digest, Fact, FlagName, NodePath, Observation};
use crate::journal::JournalState;
use crate::observe::{
    Request, ask_for_cluster, ask_for_external_ips, ask_for_grants, ask_for_kubelet, ask_for_pod_security,
    ask_for_restart, ask_for_stale_tokens, dial_kubelets, look_at_kits, look_at_pairs, look_at_readers,
    look_at_values, observe,
};
use crate::plan::{
    BouncePlan, Change, Circumstances, Enabling, Finding, JudgeContext, Mend, Plan, Selected, Verdict,
    WithheldReason, bounce_now, bounce_to_mend, build, client_ca_of, closes, enable_now, judge,
};

/// How a look at the node is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Intent {
    /// True for `plan` and `apply`: an explicit command acts in every mode.
    pub asked: bool,
    /// Restarts may happen outside the disruption window.
    pub any_time: bool,
    /// What the node refused is tried again.
    pub retry: bool,
    /// Files have just changed: what restarts a component waits until they are quiet.
    pub settling: bool,
    /// Only these changes are begun: those that the operator saw; all of the plan without it.
    pub only: Option<BTreeSet<Digest>>,
    /// The node is only a file system that is mounted here: nobody is asked over the network.
    pub offline: bool,
    /// Only the change in flight is carried on; nothing new is begun.
    pub finishing: bool,
    /// Who asks is to end once nothing is in flight: a manifest that is out is not left to that for long.
    pub ending: bool,
    /// It is the first look of a process that carries on what another has begun.
    pub starting: bool,
    /// Changes that failed a moment ago, and why.
    pub failed: BTreeMap<Digest, String>,
    /// Stored values are in danger, or may be: nothing else restarts a component until they are not.
    pub endangered: bool,
}

/// What a look at the node found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The facts.
    pub observation: Observation,
    /// The controls held against them.
    pub findings: Vec<Finding>,
    /// What is to be done.
    pub plan: Plan,
    /// Why Holdfast is paused, if it is.
    pub paused: Option<String>,
}

/// What a pass did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// What it found before it acted.
    pub looked: Looked,
    /// What came of its acts.
    pub outcomes: Vec<Outcome>,
    /// Manifests that were out of their folder although no change had them there: where they belong, and what came of putting them back.
    pub recovered: Vec<PutBack>,
    /// When to look again, if not only at the next full pass.
    pub look_again: Option<Duration>,
    /// True while a change is in flight, or one has just ended and the next may be due.
    pub goes_on: bool,
    /// True when the look found something that had not been told before.
    pub found_news: bool,
}

/// A manifest that was out of its folder although no change had it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBack {
    /// Where it belongs.
    pub path: NodePath,
    /// False when it could not be put back.
    pub done: bool,
    /// What came of it, in words.
    pub told: String,
}

impl From<&out::Recovered> for PutBack {
    fn from(recovered: &out::Recovered) -> Self {
        Self {
            path: recovered.path.clone(),
            done: recovered.result.is_ok(),
            told: recovered.to_string(),
        }
    }
}

/// A change in flight is looked at this often.
const POLL: Duration = Duration::from_millis(250);
/// A component that is out of its folder is looked at this often: each look is a part of the outage.
const POLL_OUT: Duration = Duration::from_millis(50);
/// What holds a change back for a while is looked at again this often.
const HELD_BACK_POLL: Duration = Duration::from_secs(2);

/// Judges without asking what only a restart asks for; with `cluster`, objects of the API, too.
#[must_use]
pub fn check(
    node: &Node,
    config: &Config,
    selected: &[Selected],
    journal: &JournalState,
    cluster: bool,
) -> Looked {
    let mut looked = observe_and_judge(node, config, selected, journal, cluster);
    looked.plan.in_flight = None;
    looked
}

/// Judges and plans.
#[must_use]
pub fn look(
    node: &Node,
    config: &Config,
    selected: &[Selected],
    journal: &JournalState,
    intent: &Intent,
) -> Looked {
    let mut looked = observe_and_judge(node, config, selected, journal, false);
    let acts = |control: &Control| {
        intent.asked
            || selected
                .iter()
                .any(|s| s.control.id == control.id && s.action == crate::config::Action::Enforce)
    };
    let wants = Wants::of(&looked.findings, acts);
    look_at_values(node, &wants.values, &mut looked.observation);
    look_at_kits(node, &wants.kits, &mut looked.observation);
    if wants.client_ca.is_some() || wants.kits.iter().any(|(kit, _, _)| kit.is_about_pairs()) {
        look_at_pairs(
            node,
            &wants.values,
            wants.client_ca.as_ref(),
            &mut looked.observation,
        );
    }
    if journal.in_flight.is_none() {
        look_at_readers(node, &wants.closed, &mut looked.observation);
    }
    // While a change is in flight none is begun, and an API that is away need not be asked.
    if !intent.settling && !intent.offline && journal.in_flight.is_none() {
        wants.ask(node, &mut looked.observation);
    }
    let circumstances = Circumstances {
        config,
        journal,
        now: node.clock.now(),
        asked: intent.asked,
        any_time: intent.any_time,
        failed: &intent.failed,
        retry: intent.retry,
        settling: intent.settling,
        endangered: intent.endangered,
        ending: intent.ending,
        starting: intent.starting,
        paused: looked.paused.clone(),
    };
    looked.plan = build(selected, &looked.findings, &looked.observation, &circumstances);
    looked
}

/// What drifts, and would be mended: what is looked at for that beside what judging asks.
#[derive(Default)]
struct Wants {
    /// Flags with their values.
    values: Vec<(Component, FlagName, String)>,
    /// Those of conditional remedies.
    kits: Vec<(Kit, FlagName, String)>,
    /// True when a setting of the kubelet is to change.
    kubelet: bool,
    /// The file by which the kubelet is to verify its clients.
    client_ca: Option<NodePath>,
    /// What closes files that others than root may use.
    closed: BTreeSet<Kit>,
}

impl Wants {
    fn of(findings: &[Finding], acts: impl Fn(&Control) -> bool) -> Self {
        let mut wants = Self::default();
        for finding in findings.iter().filter(|finding| acts(&finding.control)) {
            for evidence in finding.with_verdict(Verdict::Drift) {
                if let Some(mend) = &evidence.mend {
                    wants.take(mend);
                    wants
                        .closed
                        .extend(finding.control.kit().filter(|kit| closes(*kit)));
                }
            }
        }
        wants
    }

    fn take(&mut self, mend: &Mend) {
        match mend {
            Mend::Flag {
                component,
                name,
                value,
            } => self.values.push((*component, name.clone(), value.clone())),
            Mend::List {
                component,
                name,
                items,
            } => self.values.push((*component, name.clone(), items.value())),
            Mend::Conditional {
                kit,
                component,
                name,
                value,
            } => {
                self.values.push((*component, name.clone(), value.clone()));
                self.kits.push((*kit, name.clone(), value.clone()));
            }
            Mend::ConditionalList {
                kit,
                component,
                name,
                items,
                with,
            } => {
                for (name, value) in std::iter::once((name.clone(), items.value())).chain(with.clone()) {
                    self.values.push((*component, name.clone(), value.clone()));
                    self.kits.push((*kit, name, value));
                }
            }
            Mend::Flags {
                kit,
                component,
                flags,
            } => {
                for (name, value) in flags {
                    self.values.push((*component, name.clone(), value.clone()));
                    if let Some(kit) = kit {
                        self.kits.push((*kit, name.clone(), value.clone()));
                    }
                }
            }
            Mend::Kubelet { setting, .. } => {
                self.kubelet = true;
                self.client_ca = client_ca_of(setting).or(self.client_ca.take());
            }
            Mend::Mode { .. } | Mend::Owner { .. } | Mend::Quarantine { .. } => {}
        }
    }

    /// Asks those outside the node's file system.
    fn ask(&self, node: &Node, observation: &mut Observation) {
        let restarts: BTreeSet<Component> = self.values.iter().map(|(component, _, _)| *component).collect();
        ask_for_restart(node, &restarts, observation);
        if let Some((_, _, authority)) = self.kits.iter().find(|(kit, _, _)| *kit == Kit::KubeletCa) {
            dial_kubelets(node, authority, observation);
        }
        if self.kits.iter().any(|(kit, _, _)| *kit == Kit::Anonymous) {
            ask_for_grants(node, observation);
        }
        if self.kits.iter().any(|(kit, _, _)| *kit == Kit::TokenExpiry) {
            ask_for_stale_tokens(node, observation);
        }
        if self.kits.iter().any(|(kit, _, _)| *kit == Kit::ExternalIps) {
            ask_for_external_ips(node, observation);
        }
        if self.kits.iter().any(|(kit, _, _)| *kit == Kit::PodSecurity) {
            ask_for_pod_security(node, observation);
        }
        if self.kubelet {
            ask_for_kubelet(node, observation);
        }
    }
}

/// What the command `bounce` would do now, or why it would not.
///
/// # Errors
/// Why the component is not bounced.
pub fn look_for_bounce(
    node: &Node,
    config: &Config,
    journal: &JournalState,
    component: Component,
    any_time: bool,
) -> Result<BouncePlan, WithheldReason> {
    let observation = before_restart(node, journal, component);
    let etcd = match component {
        Component::ApiServer | Component::Etcd => node.cluster.etcd(&node.files, &observation.manifests),
        Component::Scheduler | Component::ControllerManager => Fact::Absent,
    };
    asked_for(node, config, journal, any_time, false, |circumstances| {
        bounce_now(component, &observation, &etcd, circumstances)
    })
}

/// How the API server would be restarted now to load what its stored values need, or why it would not.
///
/// # Errors
/// Why it is not restarted.
pub fn look_for_load(
    node: &Node,
    config: &Config,
    journal: &JournalState,
) -> Result<BouncePlan, WithheldReason> {
    let observation = before_restart(node, journal, Component::ApiServer);
    let etcd = node.cluster.etcd(&node.files, &observation.manifests);
    asked_for(node, config, journal, true, false, |circumstances| {
        bounce_to_mend(&observation, &etcd, circumstances)
    })
}

/// Whether the API server may be given an encryption configuration now, and by which edit. `written`: the file is there already;
/// otherwise it is taken to be there when the edit is made.
///
/// # Errors
/// Why not.
pub fn look_for_enable(
    node: &Node,
    config: &Config,
    journal: &JournalState,
    wanted: &Enabling,
    any_time: bool,
    written: bool,
) -> Result<Change, WithheldReason> {
    let mut observation = before_restart(node, journal, Component::ApiServer);
    let found = match node.files.facts(&wanted.file) {
        // The facts of the folder above stand for those of a file that is yet to be written.
        Fact::Absent if !written => node
            .layout
            .manifests
            .parent()
            .map_or(Fact::Absent, |folder| node.files.facts(&folder)),
        found @ (Fact::Known(_) | Fact::Absent | Fact::Unknown(_)) => found,
    };
    observation.files.insert(wanted.file.clone(), found);
    let etcd = node.cluster.etcd(&node.files, &observation.manifests);
    asked_for(node, config, journal, any_time, true, |circumstances| {
        enable_now(wanted, &observation, &etcd, circumstances)
    })
}

fn before_restart(node: &Node, journal: &JournalState, component: Component) -> Observation {
    let request = Request {
        controls: &[],
        in_flight: journal.in_flight.as_ref(),
    };
    let mut observation = observe(node, request);
    ask_for_restart(node, &BTreeSet::from([component]), &mut observation);
    observation
}

/// The circumstances of a command that names what it wants.
fn asked_for<T>(
    node: &Node,
    config: &Config,
    journal: &JournalState,
    any_time: bool,
    retry: bool,
    decide: impl FnOnce(&Circumstances<'_>) -> T,
) -> T {
    let now = node.clock.now();
    decide(&Circumstances {
        config,
        journal,
        asked: true,
        any_time,
        failed: &BTreeMap::new(),
        retry,
        settling: false,
        endangered: false,
        ending: false,
        starting: false,
        paused: paused(node, now.wall),
        now,
    })
}

/// Begins a change that was asked for by name; [`pass`] carries it on.
///
/// # Errors
/// When the journal cannot be written.
pub fn begin(
    node: &Node,
    held: &Held,
    journal: &mut JournalStore,
    change: &Change,
) -> Result<Outcome, StoreError> {
    Applier { node, held, journal }.make(change)
}

fn observe_and_judge(
    node: &Node,
    config: &Config,
    selected: &[Selected],
    journal: &JournalState,
    cluster: bool,
) -> Looked {
    let controls: Vec<&Control> = selected.iter().map(|selected| &selected.control).collect();
    let mut observation = observe(
        node,
        Request {
            controls: &controls,
            in_flight: journal.in_flight.as_ref(),
        },
    );
    if cluster {
        ask_for_cluster(node, &mut observation);
    }
    let now = node.clock.now();
    let baseline = journal.baseline.as_deref();
    let context = JudgeContext {
        config,
        layout: &node.layout,
        baseline,
        now: now.wall,
    };
    let findings = match restarting(journal) {
        // Its process is about to be another: what it runs with now is no finding.
        Some(component) => {
            let mut settled = observation.clone();
            settled.processes.remove(&component);
            judge(selected, &settled, &context)
        }
        None => judge(selected, &observation, &context),
    };
    Looked {
        findings,
        plan: Plan::default(),
        paused: paused(node, now.wall),
        observation,
    }
}

/// The component that the change in flight restarts.
fn restarting(journal: &JournalState) -> Option<Component> {
    journal.in_flight.as_ref()?.act.restarts()
}

/// True when the change in flight takes its component out of the folder.
fn is_bounce(journal: &JournalState) -> bool {
    let act = journal.in_flight.as_ref().map(|begun| &begun.act);
    act.is_some_and(|act| act.out().is_some())
}

/// Why Holdfast is paused. A pause file that cannot be read pauses: nobody knows for how long it was meant.
#[must_use]
pub fn paused(node: &Node, now: jiff::Timestamp) -> Option<String> {
    let path = &node.layout.pause;
    let pause = match node.files.read(path, 64 * 1024) {
        Fact::Absent => return None,
        Fact::Unknown(why) => return Some(format!("the pause file cannot be read: {why}")),
        Fact::Known(content) => Pause::parse(&String::from_utf8_lossy(&content.bytes)),
    };
    match pause {
        Ok(pause) if pause.until > now => Some(format!(
            "{} (until {:.0}; `holdfast resume` ends it)",
            pause.reason, pause.until
        )),
        Ok(_) => None,
        Err(error) => Some(format!(
            "{path} is not a pause file: {error}. Remove it, or run `holdfast resume`"
        )),
    }
}

/// Puts back the manifests that are out of their folder although no change has them there; what came of it. First of all, paused or not:
/// nothing is worse than a component without its manifest.
#[must_use]
pub fn recover(node: &Node, held: &Held, journal: &JournalState) -> Vec<PutBack> {
    if journal.in_flight.is_some() {
        return Vec::new();
    }
    out::recover(node, held).iter().map(PutBack::from).collect()
}

/// The changes that the operator has seen. A manifest is not edited without what it needs, which may be another file than was shown.
fn shown<'a>(changes: &'a [Change], only: Option<&BTreeSet<Digest>>) -> Vec<&'a Change> {
    let is_seen = |change: &&Change| only.is_none_or(|only| only.contains(&change.id));
    let (mut shown, unseen): (Vec<&Change>, Vec<&Change>) = changes.iter().partition(is_seen);
    let needed: BTreeSet<&ControlId> = unseen
        .into_iter()
        .filter(|change| change.restarted().is_none())
        .flat_map(|change| &change.controls)
        .collect();
    shown.retain(|change| {
        change.restarted().is_none() || !change.controls.iter().any(|control| needed.contains(control))
    });
    shown
}

/// One pass: the next step of the change in flight or, if there is none, the changes of the plan up to the first that has to be
/// waited for. It never waits itself. `before_acting` is told what was found before anything is done about it: mending must not hide
/// a break-in.
///
/// # Errors
/// When the journal cannot be read or written.
pub fn pass(
    node: &Node,
    config: &Config,
    selected: &[Selected],
    held: &Held,
    journal: &mut JournalStore,
    intent: &Intent,
    before_acting: &mut dyn FnMut(&Looked),
) -> Result<Passed, StoreError> {
    let recovered = recover(node, held, journal.state());
    let looked = look(node, config, selected, journal.state(), intent);
    before_acting(&looked);
    let controls = journal
        .state()
        .in_flight
        .as_ref()
        .map(|begun| begun.controls.clone())
        .unwrap_or_default();
    let mut applier = Applier { node, held, journal };
    if looked.observation.manifest_folder.known().is_some() {
        // What a crash of ours left between writing a file and renaming it.
        node.files.sweep(held, &node.layout.manifests)?;
    }
    if let Some(baseline) = &looked.plan.baseline {
        applier.know(baseline.clone())?;
    }
    let mut outcomes = Vec::new();
    if let Some(progress) = &looked.plan.in_flight {
        outcomes.push(applier.step(progress, &controls)?);
    } else if !intent.finishing {
        for change in shown(&looked.plan.changes, intent.only.as_ref()) {
            // What an edit needs may be what has just failed: the next look tells.
            if change.restarted().is_some() && outcomes.iter().any(Outcome::is_failure) {
                break;
            }
            let outcome = applier.make(change)?;
            let waits = outcome.is_in_flight();
            outcomes.push(outcome);
            if waits {
                break;
            }
        }
    }
    let in_flight = outcomes.last().is_some_and(Outcome::is_in_flight);
    let stuck = outcomes.last().is_some_and(Outcome::is_stuck);
    let ended = looked.plan.in_flight.is_some() && !in_flight;
    let awaited = looked.plan.withheld.iter().any(|held| held.reason.may_end_soon());
    let look_again = if stuck {
        Some(HELD_BACK_POLL)
    } else if in_flight && is_bounce(journal.state()) {
        Some(POLL_OUT)
    } else if in_flight {
        Some(POLL)
    } else if ended {
        Some(Duration::ZERO)
    } else {
        awaited.then_some(HELD_BACK_POLL)
    };
    Ok(Passed {
        goes_on: (in_flight && !stuck) || ended,
        looked,
        outcomes,
        recovered,
        look_again,
        found_news: false,
    })
}
