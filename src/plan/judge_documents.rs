//! Structured files that flags of the API server name, held against what must be: the audit policy, the authorizers, the admission
//! configuration.

use serde_json::Value;

use super::finding::{Evidence, Mend, Verdict};
use super::judge::{piece, unknown};
use super::targets::{
    ADMISSION_FILE, AUDIT_POLICY, AUTHORIZATION_FILE, flag_file, not_looked_at, plugin_file,
};
use crate::admission::{Exemptions, PluginConfig, plugin, pod_security_default, pod_security_exemptions};
use crate::audit::{Level, Policy, SENSITIVE};
use crate::authorization::{Authorizer, authorizers};
use crate::controls::{ADMISSION, ADMISSION_FLAG, Kit};
use crate::domain::{Component, Fact, FileFacts, FlagName, NodePath, Observation, Owner, Reason};
use crate::manifest::command_line;

/// A structured file: its path, or the flag where there is none; and what it says.
type Read<'a> = (String, Result<&'a Value, Reason>);

/// The file that a flag of the API server names; `None` where it is not given.
fn named<'a>(flag: &str, observation: &'a Observation) -> Option<Read<'a>> {
    match flag_file(Component::ApiServer, flag, &observation.manifests) {
        Fact::Known(path) => Some((path.to_string(), document(&path, observation))),
        Fact::Absent => None,
        Fact::Unknown(why) => Some((format!("kube-apiserver --{flag}"), Err(why))),
    }
}

fn document<'a>(path: &NodePath, observation: &'a Observation) -> Result<&'a Value, Reason> {
    match observation.documents.get(path) {
        Some(Fact::Known(document)) => Ok(document),
        Some(Fact::Absent) => Err(Reason::new("it is not there")),
        Some(Fact::Unknown(why)) => Err(why.clone()),
        None => Err(not_looked_at(path)),
    }
}

/// The evidence about the audit policy.
pub(super) fn audit_policy(observation: &Observation) -> Vec<Evidence> {
    const EXPECTED: &str = "level Metadata or more for each sensitive request";
    let Some((object, read)) = named(AUDIT_POLICY, observation) else {
        return Vec::new();
    };
    let policy = match read.and_then(|document| Policy::of(document).map_err(Reason::new)) {
        Ok(policy) => policy,
        Err(why) => return vec![unknown(object, EXPECTED, &why)],
    };
    let missing: Vec<String> = SENSITIVE
        .iter()
        .filter(|request| policy.level(request) < Level::Metadata)
        .map(ToString::to_string)
        .collect();
    if missing.is_empty() {
        return vec![piece(object, Verdict::Pass, EXPECTED, "each is logged")];
    }
    let actual = format!("not logged: {}", missing.join(", "));
    vec![piece(object, Verdict::Drift, EXPECTED, actual)]
}

/// What the file that decides instead of `--authorization-mode` names.
///
/// # Errors
/// Why it cannot be told.
pub(super) fn authorizers_of(observation: &Observation) -> Option<Result<Vec<Authorizer>, Reason>> {
    let (object, read) = named(AUTHORIZATION_FILE, observation)?;
    let read = read.and_then(|document| authorizers(document).map_err(Reason::new));
    Some(read.map_err(|why| Reason::new(format!("{object}: {why}"))))
}

/// The evidence about the file of authorizers; none where `--authorization-mode` decides.
pub(super) fn authorization_file(observation: &Observation) -> Vec<Evidence> {
    const EXPECTED: &str = "Node and RBAC, and failurePolicy: Deny for each webhook";
    let Some((object, read)) = named(AUTHORIZATION_FILE, observation) else {
        return Vec::new();
    };
    let list = match read.and_then(|document| authorizers(document).map_err(Reason::new)) {
        Ok(list) => list,
        Err(why) => return vec![unknown(object, EXPECTED, &why)],
    };
    let has = |kind: &str| list.iter().any(|one| one.kind == kind);
    let mut wrong: Vec<String> = ["Node", "RBAC"]
        .into_iter()
        .filter(|kind| !has(kind))
        .map(|kind| format!("{kind} is not among them"))
        .collect();
    if has("AlwaysAllow") {
        wrong.push("AlwaysAllow is among them".to_owned());
    }
    let open = list.iter().filter(|one| one.fails_open);
    wrong.extend(open.map(|one| format!("the webhook {} has no failurePolicy: Deny", one.name)));
    let said = if wrong.is_empty() {
        let kinds: Vec<&str> = list.iter().map(|one| one.kind.as_str()).collect();
        piece(object.as_str(), Verdict::Pass, EXPECTED, kinds.join(", "))
    } else {
        piece(object.as_str(), Verdict::Drift, EXPECTED, wrong.join("; "))
    };
    let mut evidence = vec![said];
    if let Ok(path) = object.parse::<NodePath>() {
        evidence.push(roots_alone(&path, observation.files.get(&path)));
    }
    evidence
}

/// Whoever can write that file decides who may do what.
fn roots_alone(path: &NodePath, facts: Option<&Fact<FileFacts>>) -> Evidence {
    const EXPECTED: &str = "root:root, mode 0600 or stricter";
    match facts {
        Some(Fact::Known(facts)) => {
            let is_good = facts.owner == Owner::ROOT && facts.mode.bits() & 0o7177 == 0;
            let verdict = if is_good { Verdict::Pass } else { Verdict::Drift };
            let actual = format!("{}, mode {}", facts.owner, facts.mode);
            piece(path.as_str(), verdict, EXPECTED, actual)
        }
        Some(Fact::Unknown(why)) => unknown(path.as_str(), EXPECTED, why),
        Some(Fact::Absent) => unknown(path.as_str(), EXPECTED, &Reason::new("it is not there")),
        None => unknown(path.as_str(), EXPECTED, &not_looked_at(path)),
    }
}

/// The flag that names the configuration: the operator's, whose content is not touched, or else ours.
pub(super) fn pod_security_mend(observation: &Observation) -> Option<Mend> {
    let manifest = observation.manifests.get(&Component::ApiServer)?.known()?;
    let line = command_line(Component::ApiServer, &manifest.pod).ok()?;
    let given = line.flags().filter(|(name, _)| name.as_str() == ADMISSION_FLAG);
    let named = given.map(|(_, value)| value).filter(|value| !value.is_empty());
    Some(Mend::Conditional {
        kit: Kit::PodSecurity,
        component: Component::ApiServer,
        name: ADMISSION_FLAG.parse().ok()?,
        value: named.last().unwrap_or(ADMISSION).to_owned(),
    })
}

/// What an AdmissionConfiguration has for PodSecurity, there or in a file of its own; none when it says nothing of it.
fn pod_security_of<'a>(
    document: &'a Value,
    observation: &'a Observation,
) -> Result<Option<&'a Value>, Reason> {
    match plugin(document, "PodSecurity").map_err(Reason::new)? {
        None => Ok(None),
        Some(PluginConfig::Here(here)) => Ok(Some(here)),
        Some(PluginConfig::File(path)) => match plugin_file(path, &observation.manifests) {
            Fact::Known(path) => document_behind(&path, observation).map(Some),
            Fact::Absent => Err(Reason::new(format!("{path} is not there"))),
            Fact::Unknown(why) => Err(why),
        },
    }
}

/// True when the API server is told to leave PodSecurity out: then neither labels nor defaults do anything.
pub(super) fn pod_security_is_off(observation: &Observation) -> bool {
    let manifest = observation
        .manifests
        .get(&Component::ApiServer)
        .and_then(Fact::known);
    let line = manifest.and_then(|manifest| command_line(Component::ApiServer, &manifest.pod).ok());
    let off = "disable-admission-plugins".parse::<FlagName>().ok();
    let off = line.zip(off).and_then(|(line, off)| line.list(&off));
    off.is_some_and(|off| off.iter().any(|plugin| plugin == "PodSecurity"))
}

/// What the API server keeps namespaces to beside their labels: the level of those without one, and whom it spares.
pub(super) fn pod_security(observation: &Observation) -> Result<(&str, Exemptions), Reason> {
    let Some((_, read)) = named(ADMISSION_FILE, observation) else {
        return Ok(("privileged", Exemptions::default()));
    };
    let Some(config) = pod_security_of(read?, observation)? else {
        return Ok(("privileged", Exemptions::default()));
    };
    let level = pod_security_default(config).map_err(Reason::new)?;
    let spared = pod_security_exemptions(config).map_err(Reason::new)?;
    Ok((level, spared))
}

/// The evidence about what a namespace without a label is kept to.
pub(super) fn pod_security_defaults(observation: &Observation) -> Vec<Evidence> {
    const EXPECTED: &str = "PodSecurity with defaults.enforce baseline or restricted";
    match observation.manifests.get(&Component::ApiServer) {
        // A node without an API server has none to configure.
        Some(Fact::Absent) => return Vec::new(),
        Some(Fact::Known(_) | Fact::Unknown(_)) | None => {}
    }
    if pod_security_is_off(observation) {
        let actual = "PodSecurity is switched off by --disable-admission-plugins";
        return vec![piece("kube-apiserver", Verdict::Drift, EXPECTED, actual)];
    }
    let Some((object, read)) = named(ADMISSION_FILE, observation) else {
        let actual = format!("--{ADMISSION_FILE} is not given, so that such a namespace is privileged");
        return vec![piece("kube-apiserver", Verdict::Drift, EXPECTED, actual)];
    };
    let level = read.and_then(|document| match pod_security_of(document, observation)? {
        None => Ok("privileged"),
        Some(config) => pod_security_default(config).map_err(Reason::new),
    });
    match level {
        Ok("privileged") => {
            let actual = "it is kept to nothing: defaults.enforce is privileged, or not given";
            vec![piece(object, Verdict::Drift, EXPECTED, actual)]
        }
        Ok(level) => vec![piece(
            object,
            Verdict::Pass,
            EXPECTED,
            format!("defaults.enforce is {level}"),
        )],
        Err(why) => vec![unknown(object, EXPECTED, &why)],
    }
}

/// A file that another names; what is wrong with it is told with its own path.
fn document_behind<'a>(path: &NodePath, observation: &'a Observation) -> Result<&'a Value, Reason> {
    document(path, observation).map_err(|why| Reason::new(format!("{path}: {why}")))
}

#[cfg(test)]
#[path = "judge_documents_tests.rs"]
mod tests;
