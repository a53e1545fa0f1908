//! The edit of the kubelet's configuration file, by which it is restarted once; and what comes next while that is in flight. Pure.

use std::time::Duration;

use super::build::{Circumstances, times};
use super::change::{Change, Deed, KubeletEdit, Withheld, WithheldReason};
use super::in_flight::{Limits, Step};
use super::judge_kubelet::PIDS;
use super::kits::{fitting, runs_with};
use super::restart;
use crate::controls::Kit;
use crate::domain::{ControlId, Digest, Fact, Health, Instant, KubeletFacts, NodePath, Observation};
use crate::journal::{Act, EditedKubelet, Fault, InFlight, Phase};
use crate::kubelet::{self, CLIENT_CA, NewValue};

/// A setting that a control wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedSetting {
    pub(super) control: ControlId,
    pub(super) setting: NewValue,
    pub(super) kit: Option<Kit>,
}

/// A kubelet that does not bear its settings ends within seconds of its start; one that has run for so long, and is healthy, bears them.
const SETTLED_MS: u64 = 10_000;
/// A restart that systemd has not made by then is asked for once more.
const RESTART_AGAIN: Duration = Duration::from_secs(30);
/// Between systemd's being asked and our note of it, and between two clocks.
const CLOCK_SLACK_MS: u64 = 2_000;
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
    let gets_authority = wanted.iter().any(|one| client_ca_of(&one.setting).is_some())
        && authority_is_the_api_servers(observation).is_ok();
    for one in wanted {
        let is_met = one.kit.map_or(Ok(()), |kit| met(kit, observation));
        match is_met.and_then(|()| keeps_the_api_server(&one.setting, gets_authority, observation)) {
            Ok(()) => kept.push(one),
            Err(why) => left_out.push(withheld(&[one], WithheldReason::NotReady(why))),
        }
    }
    if kept.is_empty() {
        return Err(left_out);
    }
    let mut planned = change(&kept, observation, circumstances);
    // What needs nobody's word is not held up by what the kubelet did not bear together with it.
    let plain: Vec<&WantedSetting> = kept.iter().copied().filter(|one| one.kit.is_none()).collect();
    if let Err(reason @ WithheldReason::Refused(_)) = &planned
        && !plain.is_empty()
        && plain.len() < kept.len()
    {
        let others: Vec<&WantedSetting> = kept.iter().copied().filter(|one| one.kit.is_some()).collect();
        left_out.push(withheld(&others, reason.clone()));
        planned = change(&plain, observation, circumstances);
        kept = plain;
    }
    let change = planned.and_then(|change| match why_not(observation, circumstances) {
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

/// Without an authority for client certificates the API server is itself anonymous to the kubelet (CIS 4.2.3).
fn keeps_the_api_server(
    setting: &NewValue,
    gets_authority: bool,
    observation: &Observation,
) -> Result<(), String> {
    if client_ca_of(setting).is_some() {
        return authority_is_the_api_servers(observation);
    }
    if gets_authority {
        return Ok(());
    }
    if !matches!(
        setting.key,
        "authentication.anonymous.enabled" | "authorization.mode"
    ) {
        return Ok(());
    }
    let file = observation.kubelet.client_ca_file.known();
    let is_there = file
        .and_then(|file| observation.files.get(file)?.known())
        .is_some();
    if is_there {
        return Ok(());
    }
    Err(
        "the kubelet has no authority for client certificates (authentication.x509.clientCAFile, CIS-4.2.3), so it would refuse the API server"
            .to_owned(),
    )
}

/// The authority that a setting gives the kubelet for its clients, if it is that setting.
#[must_use]
pub fn client_ca_of(setting: &NewValue) -> Option<NodePath> {
    let value = setting.value.as_str().filter(|_| setting.key == CLIENT_CA.key)?;
    value.parse().ok()
}

/// With another authority the kubelet would refuse the API server, and so exec, logs and metrics.
fn authority_is_the_api_servers(observation: &Observation) -> Result<(), String> {
    let object = "kube-apiserver --kubelet-client-certificate";
    runs_with("kubelet-client-certificate", observation)
        .and_then(|()| fitting(None, object, observation).map(drop))
        .map_err(|why| {
            format!("whether the API server's certificate is by that authority is not proven: {why}")
        })
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
        Kit::KernelDefaults => match &observation.asked_kubelet.kernel_defaults {
            Fact::Known(lacks) if lacks.is_empty() => Ok(()),
            Fact::Known(lacks) => Err(format!(
                "the host does not set at boot what the kubelet would no longer set: {} (/etc/sysctl.d)",
                lacks.join("; ")
            )),
            Fact::Absent => Err("what the host sets at boot is not known".to_owned()),
            Fact::Unknown(why) => Err(why.to_string()),
        },
        Kit::AuditLog
        | Kit::Anonymous
        | Kit::TokenExpiry
        | Kit::EtcdAccount
        | Kit::KubeletCa
        | Kit::ServerSuites
        | Kit::ExternalIps
        | Kit::EventRateLimit
        | Kit::PodSecurity
        | Kit::KubeletServing
        | Kit::KubeletSuites
        | Kit::KubeletSeccomp
        | Kit::KubeletHandlers
        | Kit::KubeletClient
        | Kit::EtcdClient
        | Kit::ApiServing
        | Kit::StaticTokens
        | Kit::TokenKey
        | Kit::AlphaOff
        | Kit::OneFlag
        | Kit::Loopback
        | Kit::EtcdServing
        | Kit::EtcdClients
        | Kit::EtcdPeers
        | Kit::EtcdSuites
        | Kit::RuntimeSocket
        | Kit::KubeletRoot
        | Kit::AuditFiles
        | Kit::HomeKubeconfigs => Ok(()),
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
    Ok(Change {
        id,
        controls: ids(wanted),
        deed: Deed::EditKubelet(KubeletEdit {
            path: file,
            before,
            after,
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
    // A boot restarts everything: what was begun before it has waited since it.
    let since = |earlier: &Instant| {
        let booted = Duration::from_millis(now.since_boot_ms);
        now.elapsed_since(earlier).unwrap_or(booted)
    };
    // The proof takes its time, however short the deadline is.
    let deadline = limits.deadline + Duration::from_millis(SETTLED_MS);
    let seen = Seen {
        kubelet: &observation.kubelet,
        health: health(observation),
        waited: since(&in_flight.since),
        restarted: in_flight.draining.as_ref().map(since),
        deadline,
    };
    match (&in_flight.phase, content) {
        (Phase::Started, Fact::Known(digest)) if digest == edit.after => seen.verify(),
        (Phase::Started, Fact::Known(digest)) if digest == edit.before => Step::Abandon {
            why: "it had not happened yet, or someone else has undone it".to_owned(),
        },
        (Phase::Undoing(_), Fact::Known(digest)) if digest == edit.after => Step::PutBack,
        (Phase::Undoing(fault), Fact::Known(digest)) if digest == edit.before => seen.recovered(fault),
        (_, Fact::Unknown(why)) if seen.waited < deadline => Step::Wait { why: why.to_string() },
        // Nothing is known to be as it should be: it is looked at again, and nothing is given up.
        (_, Fact::Unknown(why)) => Step::Stuck {
            why: format!("{} cannot be read: {why}", edit.path),
        },
        (_, Fact::Known(_) | Fact::Absent) => Step::Abandon {
            why: format!("someone else has written or removed {} since", edit.path),
        },
    }
}

/// What the node shows of a kubelet that is restarted.
struct Seen<'a> {
    kubelet: &'a KubeletFacts,
    health: Result<(), String>,
    /// Since the phase was begun.
    waited: Duration,
    /// Since systemd was asked to restart it in this phase, if it was.
    restarted: Option<Duration>,
    deadline: Duration,
}

/// What is still awaited of a kubelet that systemd was asked to restart.
enum Awaited {
    /// Nothing: it runs, and bears its file.
    Nothing,
    /// That.
    This(String),
    /// It is to be restarted once more.
    Restart,
}

impl Seen<'_> {
    /// A process counts only if it was started after the file was in place, which our own restart sees to.
    fn awaited(&self) -> Awaited {
        let Some(restarted) = self.restarted else {
            return Awaited::Restart;
        };
        let restarted_ms = u64::try_from(restarted.as_millis()).unwrap_or(u64::MAX);
        // systemd's job, or its pause between two starts, may take a while.
        let again = restarted >= RESTART_AGAIN && restarted < self.deadline;
        match &self.kubelet.process {
            Fact::Known(process) if process.age_ms > restarted_ms.saturating_add(CLOCK_SLACK_MS) => {
                if again {
                    return Awaited::Restart;
                }
                Awaited::This("the former kubelet to end".to_owned())
            }
            Fact::Known(process) => match &self.health {
                Err(why) => Awaited::This(format!("the kubelet to answer for its health ({why})")),
                Ok(()) if process.age_ms < SETTLED_MS => {
                    let settled = SETTLED_MS / 1000;
                    Awaited::This(format!("the kubelet to have run healthy for {settled} s"))
                }
                Ok(()) => Awaited::Nothing,
            },
            Fact::Absent => Awaited::This("the kubelet to run".to_owned()),
            Fact::Unknown(why) => Awaited::This(why.to_string()),
        }
    }

    /// The deadline counts from our restart: before that nothing is decided.
    fn is_overdue(&self) -> bool {
        self.restarted.is_some_and(|restarted| restarted >= self.deadline)
    }

    fn verify(&self) -> Step {
        let awaited = match self.awaited() {
            Awaited::Nothing => return Step::Finish,
            Awaited::Restart => return Step::RestartKubelet,
            Awaited::This(awaited) => awaited,
        };
        if !self.is_overdue() {
            return Step::Wait { why: awaited };
        }
        let seconds = self.restarted.unwrap_or_default().as_secs();
        Step::Undo(Fault {
            why: format!("waited {seconds} s for {awaited}; `journalctl -u kubelet` tells what it said"),
            last_words: Vec::new(),
            flag: None,
        })
    }

    fn recovered(&self, fault: &Fault) -> Step {
        let refuse = |recovered| Step::Refuse {
            fault: fault.clone(),
            recovered,
        };
        match self.awaited() {
            Awaited::Nothing => refuse(true),
            Awaited::Restart => Step::RestartKubelet,
            Awaited::This(_) if self.is_overdue() => refuse(false),
            Awaited::This(why) => Step::Wait { why },
        }
    }
}

#[cfg(test)]
#[path = "kubelet_edit_tests.rs"]
mod tests;
