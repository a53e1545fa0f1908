//! The edit of the kubelet's configuration file, by which it is restarted once; and what comes next while that is in flight. Pure.

use std::time::Duration;

use super::build::{Circumstances, not_asked, times};
use super::change::{Change, Deed, KubeletEdit, Withheld, WithheldReason};
use super::in_flight::{Limits, Step};
use super::judge_kubelet::PIDS;
use super::restart;
use crate::controls::{KERNEL, Kit};
use crate::domain::{ControlId, Digest, Fact, Health, Instant, KubeletFacts, Observation};
use crate::journal::{Act, EditedKubelet, Fault, InFlight, Phase};
use crate::kubelet::{self, NewValue};

/// A setting that a control wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedSetting {
    pub(super) control: ControlId,
    pub(super) setting: NewValue,
    pub(super) kit: Option<Kit>,
}

/// A kubelet that does not bear its settings ends within seconds of its start; one that has run for so long, and is healthy, bears them.
const SETTLED_MS: u64 = 10_000;
/// Someone else undoes an edit: after so many within [`FLAP_WITHIN`] Holdfast backs off.
const FLAP_EDITS: usize = 5;
const FLAP_WITHIN: Duration = Duration::from_secs(3600);

/// The edit that gives all wanted settings their values, and what is left out of it because it lacks something.
///
/// # Errors
/// What is withheld, when no edit can be made.
pub(super) fn edit_of(
    wanted: &[WantedSetting],
    observation: &Observation,
    circumstances: &Circumstances<'_>,
) -> Result<(Change, Vec<Withheld>), Vec<Withheld>> {
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for one in wanted {
        match one.kit.map_or(Ok(()), |kit| met(kit, observation)) {
            Ok(()) => kept.push(one),
            Err(why) => left_out.push(withheld(&[one], WithheldReason::NotReady(why))),
        }
    }
    if kept.is_empty() {
        return Err(left_out);
    }
    let change = change(&kept, observation, circumstances);
    let change = change.and_then(|change| match why_not(observation, circumstances) {
        None => Ok(change),
        Some(reason) => Err(reason),
    });
    match change {
        Ok(change) => Ok((change, left_out)),
        Err(reason) => {
            left_out.push(withheld(&kept, reason));
            Err(left_out)
        }
    }
}

fn withheld(wanted: &[&WantedSetting], reason: WithheldReason) -> Withheld {
    let settings: Vec<String> = wanted.iter().map(|one| shown(&one.setting)).collect();
    Withheld {
        controls: ids(wanted),
        object: format!("kubelet {}", settings.join(" ")),
        reason,
    }
}

/// Each control once: one may want several settings.
fn ids(wanted: &[&WantedSetting]) -> Vec<ControlId> {
    let mut ids: Vec<ControlId> = wanted.iter().map(|one| one.control.clone()).collect();
    ids.dedup();
    ids
}

/// A setting with its value, as in the file.
pub(super) fn shown(setting: &NewValue) -> String {
    let value = setting
        .value
        .as_str()
        .map_or_else(|| setting.value.to_string(), str::to_owned);
    format!("{}: {value}", setting.key)
}

/// What a conditional remedy needs of the node.
fn met(kit: Kit, observation: &Observation) -> Result<(), String> {
    match kit {
        Kit::KubeletPids => match &observation.asked_kubelet.most_pids {
            Fact::Known(most) if *most < PIDS => Ok(()),
            Fact::Known(most) => Err(format!(
                "a pod of this node has {most} processes now, and could have {PIDS} at most"
            )),
            Fact::Absent => Err("the pods' processes are not counted here".to_owned()),
            Fact::Unknown(why) => Err(why.to_string()),
        },
        Kit::KubeletKernel => {
            let wrong = KERNEL.iter().filter_map(|(name, wanted)| {
                match not_asked(observation.asked_kubelet.kernel.get(*name)) {
                    Fact::Known(value) if value == wanted => None,
                    Fact::Known(value) => Some(format!("{name} is {value}, not {wanted}")),
                    Fact::Absent => Some(format!("{name} is not there")),
                    Fact::Unknown(why) => Some(format!("{name}: {why}")),
                }
            });
            let wrong: Vec<String> = wrong.collect();
            if wrong.is_empty() {
                return Ok(());
            }
            Err(format!(
                "with these kernel parameters the kubelet would not start: {}",
                wrong.join(", ")
            ))
        }
        Kit::AuditLog
        | Kit::Anonymous
        | Kit::TokenExpiry
        | Kit::EtcdAccount
        | Kit::KubeletCa
        | Kit::KubeletServing
        | Kit::KubeletSuites
        | Kit::KubeletSeccomp
        | Kit::KubeletHandlers => Ok(()),
    }
}

fn change(
    wanted: &[&WantedSetting],
    observation: &Observation,
    circumstances: &Circumstances<'_>,
) -> Result<Change, WithheldReason> {
    let not_editable = |why: String| WithheldReason::NotEditable(why);
    let file = match &observation.kubelet.config_file {
        Fact::Known(file) => file.clone(),
        Fact::Absent => return Err(not_editable("the kubelet has no configuration file".to_owned())),
        Fact::Unknown(why) => return Err(not_editable(why.to_string())),
    };
    let before = match &observation.asked_kubelet.text {
        Fact::Known(text) => text.clone(),
        Fact::Absent => return Err(not_editable(format!("{file} is not there"))),
        Fact::Unknown(why) => return Err(not_editable(why.to_string())),
    };
    let mut settings: Vec<NewValue> = Vec::new();
    for one in wanted {
        if !settings.contains(&one.setting) {
            settings.push(one.setting.clone());
        }
    }
    let after = kubelet::edit(&before, &settings).map_err(|refusal| {
        let all: Vec<String> = settings.iter().map(shown).collect();
        not_editable(format!("{refusal}; set `{}` in {file} by hand", all.join("`, `")))
    })?;
    let id = Digest::of(format!("kubelet {file}\0{before}\0{after}").as_bytes());
    let refused = circumstances
        .journal
        .refusals
        .iter()
        .find(|refusal| refusal.change == id);
    if let Some(refusal) = refused.filter(|_| !circumstances.retry) {
        return Err(WithheldReason::Refused(refusal.fault.why.clone()));
    }
    flapping(circumstances)?;
    let process = match &observation.kubelet.process {
        Fact::Known(process) => process.id,
        Fact::Absent => return Err(WithheldReason::KubeletDown("it is not running".to_owned())),
        Fact::Unknown(why) => return Err(WithheldReason::KubeletDown(why.to_string())),
    };
    Ok(Change {
        id,
        controls: ids(wanted),
        deed: Deed::EditKubelet(KubeletEdit {
            path: file,
            before,
            after,
            process,
        }),
    })
}

fn flapping(circumstances: &Circumstances<'_>) -> Result<(), WithheldReason> {
    let times = times(circumstances, FLAP_WITHIN, |act| {
        matches!(act, Act::EditKubelet(_))
    });
    if times < FLAP_EDITS || circumstances.asked {
        return Ok(());
    }
    Err(WithheldReason::Flapping(format!(
        "the kubelet's configuration was mended {times} times in an hour, each time by a restart"
    )))
}

/// A kubelet that is not healthy before could not prove healthy after it.
fn why_not(observation: &Observation, circumstances: &Circumstances<'_>) -> Option<WithheldReason> {
    restart::why_no_kubelet(observation, circumstances).or_else(|| {
        let why = health(observation).err()?;
        Some(WithheldReason::Unhealthy(format!("the kubelet: {why}")))
    })
}

fn health(observation: &Observation) -> Result<(), String> {
    match &observation.asked_kubelet.health {
        Fact::Known(Health::Ok) => Ok(()),
        Fact::Known(Health::Failing(why) | Health::Closed(why)) | Fact::Unknown(why) => Err(why.to_string()),
        Fact::Absent => {
            Err("its health port is off (healthzPort: 0), so its health could not be proven".to_owned())
        }
    }
}

/// The next step of an edit that was begun.
pub(super) fn next(
    edit: &EditedKubelet,
    in_flight: &InFlight,
    observation: &Observation,
    limits: Limits,
    now: &Instant,
) -> Step {
    let text = &observation.asked_kubelet.text;
    let content = text.as_ref().map(|text| Digest::of(text.as_bytes()));
    let waited = now.elapsed_since(&in_flight.since).unwrap_or(limits.deadline);
    let seen = Seen {
        edit,
        kubelet: &observation.kubelet,
        health: health(observation),
        waited,
        // The proof takes its time, however short the deadline is.
        overdue: waited >= limits.deadline + Duration::from_millis(SETTLED_MS),
    };
    match (&in_flight.phase, content) {
        (Phase::Started, Fact::Known(digest)) if digest == edit.after => seen.verify(),
        (Phase::Started, Fact::Known(digest)) if digest == edit.before => Step::Abandon {
            why: "it had not happened yet, or someone else has undone it".to_owned(),
        },
        (Phase::Undoing(_), Fact::Known(digest)) if digest == edit.after => Step::PutBack,
        (Phase::Undoing(fault), Fact::Known(digest)) if digest == edit.before => seen.recovered(fault),
        (_, Fact::Unknown(why)) if !seen.overdue => Step::Wait { why: why.to_string() },
        (_, Fact::Unknown(why)) => Step::Abandon { why: why.to_string() },
        (_, Fact::Known(_) | Fact::Absent) => Step::Abandon {
            why: format!("someone else has written or removed {} since", edit.path),
        },
    }
}

/// What the node shows of a kubelet that is restarted.
struct Seen<'a> {
    edit: &'a EditedKubelet,
    kubelet: &'a KubeletFacts,
    health: Result<(), String>,
    /// Since the phase was begun.
    waited: Duration,
    overdue: bool,
}

impl Seen<'_> {
    fn verify(&self) -> Step {
        let awaited = match &self.kubelet.process {
            Fact::Known(process) if process.id == self.edit.process => {
                if self.overdue {
                    return self.undo("it was not restarted in time");
                }
                return Step::RestartKubelet;
            }
            Fact::Known(process) => match self.awaited(process.age_ms) {
                None => return Step::Finish,
                Some(awaited) => awaited,
            },
            Fact::Absent => "the kubelet to run".to_owned(),
            Fact::Unknown(why) => why.to_string(),
        };
        if self.overdue {
            return self.undo(&format!("waited {} s for {awaited}", self.waited.as_secs()));
        }
        Step::Wait { why: awaited }
    }

    /// What is awaited of a new process.
    fn awaited(&self, age_ms: u64) -> Option<String> {
        if let Err(why) = &self.health {
            return Some(format!("the kubelet to answer for its health ({why})"));
        }
        let settled = SETTLED_MS / 1000;
        (age_ms < SETTLED_MS).then(|| format!("the kubelet to have run healthy for {settled} s"))
    }

    fn undo(&self, why: &str) -> Step {
        Step::Undo(Fault {
            why: format!("{why}; `journalctl -u kubelet` tells what it said"),
            last_words: Vec::new(),
            flag: None,
        })
    }

    /// A kubelet that has run since before the former content was back has not read it.
    fn recovered(&self, fault: &Fault) -> Step {
        let refuse = |recovered| Step::Refuse {
            fault: fault.clone(),
            recovered,
        };
        let waited_ms = u64::try_from(self.waited.as_millis()).unwrap_or(u64::MAX);
        match &self.kubelet.process {
            _ if self.overdue => refuse(false),
            Fact::Known(process) if process.age_ms > waited_ms => Step::RestartKubelet,
            Fact::Known(process) => match self.awaited(process.age_ms) {
                None => refuse(true),
                Some(awaited) => Step::Wait { why: awaited },
            },
            // It has ended by itself, and nobody may start it again.
            Fact::Absent => Step::RestartKubelet,
            Fact::Unknown(why) => Step::Wait { why: why.to_string() },
        }
    }
}

#[cfg(test)]
#[path = "kubelet_edit_tests.rs"]
mod tests;
