//! Controls held against an observation.

use super::finding::{Evidence, Finding, Verdict};
use super::judge_files::{Wanted, access, files, gone, left_open};
use super::select::Selected;
use super::targets::not_looked_at;
use super::{
    judge_cluster, judge_contents, judge_documents, judge_flags, judge_folder, judge_kubelet, judge_once,
    judge_reported, judge_widened,
};
use crate::cluster::ClusterRule;
use crate::config::{Config, Exception};
use crate::controls::{Control, Kit, Remedy, Requirement};
use crate::domain::{Component, Fact, Layout, Manifest, Observation, Reason};
use crate::journal::KnownManifest;
use crate::manifest::{CommandLine, command_line};

/// What judging needs beside the observation.
#[derive(Debug, Clone)]
pub struct JudgeContext<'a> {
    /// The configuration: exceptions, known manifests, quarantine.
    pub config: &'a Config,
    /// Where things are.
    pub layout: &'a Layout,
    /// What lay in the manifests folder at the first start; `None` before it.
    pub baseline: Option<&'a [KnownManifest]>,
    /// The time, for exceptions that end.
    pub now: jiff::Timestamp,
}

/// The findings, in the order of the controls.
#[must_use]
pub fn judge(controls: &[Selected], observation: &Observation, context: &JudgeContext<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = controls
        .iter()
        .map(|selected| {
            let control = selected.control.clone();
            let mut evidence = evidence_of(&control, observation, context);
            let setting = context.config.controls.get(&control.id);
            if let Some(exception) = setting.and_then(|setting| setting.exception.as_ref()) {
                for piece in &mut evidence {
                    except(piece, &control, exception, context.now);
                }
            }
            Finding::new(control, evidence)
        })
        .collect();
    judge_reported::whether_all_is_judged(&mut findings);
    findings
}

#[expect(clippy::too_many_lines, reason = "one arm for each kind of requirement")]
fn evidence_of(control: &Control, observation: &Observation, context: &JudgeContext<'_>) -> Vec<Evidence> {
    match &control.requirement {
        Requirement::Mode { target, ceiling } => files(
            target,
            &Wanted::Mode(*ceiling),
            control.remedy,
            observation,
            context.layout,
        ),
        Requirement::Owner { target, owner } => files(
            target,
            &Wanted::Owner(*owner),
            control.remedy,
            observation,
            context.layout,
        ),
        Requirement::OwnerAccount { target, account } => files(
            target,
            &Wanted::Account(account),
            allowed(control, context),
            observation,
            context.layout,
        ),
        Requirement::Access {
            target,
            ceiling,
            owner,
        } => access(
            target,
            (*owner, *ceiling),
            allowed(control, context),
            observation,
            context.layout,
        ),
        Requirement::Gone { target } => {
            let mut evidence = gone(target, observation, context.layout);
            if matches!(control.remedy, Remedy::InPart(_)) {
                evidence.extend(left_open(target, observation, context.layout));
            }
            evidence
        }
        Requirement::Flag {
            component,
            name,
            rule,
        } => {
            let remedy = allowed(control, context);
            judge_flags::flag(*component, name, rule, remedy, observation)
        }
        Requirement::Folder(rule) => judge_folder::folder(*rule, control.remedy, observation, context),
        Requirement::Certificates(rule) => judge_contents::certificates(*rule, observation, context),
        Requirement::Kubelet(rule) => {
            let allowed = |kit: Option<Kit>| kit.is_none() || context.config.allows(&control.id);
            let mut mend = None;
            if let Remedy::Kubelet { kit, .. } = control.remedy
                && allowed(kit)
            {
                mend = Some(kit);
            }
            judge_kubelet::kubelet(rule, mend, observation, context)
        }
        Requirement::EncryptsSecrets => judge_contents::encrypts_secrets(observation, context),
        Requirement::AuditPolicy => judge_documents::audit_policy(observation),
        Requirement::Reported(rule) => with_mend(
            judge_reported::reported(*rule, observation, context),
            allowed(control, context),
            observation,
        ),
        Requirement::FlagsOnce => judge_once::flags_once(allowed(control, context), observation),
        Requirement::NotWidened => judge_widened::widened(observation),
        Requirement::Cluster(rule) => judge_cluster::cluster(*rule, observation),
    }
}

/// The remedies of what is otherwise only reported.
fn with_mend(mut evidence: Vec<Evidence>, remedy: Remedy, observation: &Observation) -> Vec<Evidence> {
    for piece in evidence
        .iter_mut()
        .filter(|piece| piece.verdict == Verdict::Drift)
    {
        if remedy == Remedy::Conditional(Kit::PodSecurity) {
            piece.mend = judge_documents::pod_security_mend(observation);
        } else if remedy != Remedy::Conditional(Kit::HomeKubeconfigs) {
            piece.mend = None;
        }
    }
    evidence
}

/// What the operator does not allow is only reported.
fn allowed(control: &Control, context: &JudgeContext<'_>) -> Remedy {
    match control.remedy {
        Remedy::Conditional(kit) if !context.config.allows(&control.id) => Remedy::ReportOnly(kit.needs()),
        remedy @ (Remedy::Safe
        | Remedy::Restarts
        | Remedy::RestartsWhen(_)
        | Remedy::When(_)
        | Remedy::Conditional(_)
        | Remedy::Kubelet { .. }
        | Remedy::Quarantine
        | Remedy::ReportOnly(_)
        | Remedy::InPart(_)) => remedy,
    }
}

/// A drift that the operator accepts is excepted, and nothing mends it; what is unknown stays unknown.
fn except(piece: &mut Evidence, control: &Control, exception: &Exception, now: jiff::Timestamp) {
    // What only a person can say is said by an exception.
    let is_said = matches!(
        control.requirement,
        Requirement::Cluster(ClusterRule::Attested(_))
    );
    if piece.verdict != Verdict::Drift && !(is_said && piece.verdict == Verdict::Unknown) {
        return;
    }
    let owner = exception
        .owner
        .as_ref()
        .map_or_else(String::new, |owner| format!(" ({owner})"));
    match exception.until {
        Some(until) if until <= now => {
            piece.actual = format!(
                "{}; the exception for it ended at {until:.0}{owner}",
                piece.actual
            );
            return;
        }
        Some(until) => {
            piece.actual = format!(
                "{}; accepted until {until:.0}: {}{owner}",
                piece.actual, exception.reason
            );
        }
        None => piece.actual = format!("{}; accepted: {}{owner}", piece.actual, exception.reason),
    }
    piece.verdict = Verdict::Excepted;
    piece.mend = None;
}

/// What comes of the manifest of each component; one that is not here is no evidence, and one that cannot be read is unknown.
pub(super) fn each_manifest(
    observation: &Observation,
    expected: &str,
    judge: impl Fn(Component, &Manifest, &CommandLine) -> Vec<Evidence>,
) -> Vec<Evidence> {
    let of = |component: Component| {
        let told = |why: &Reason| vec![unknown(component.to_string(), expected, why)];
        match observation.manifests.get(&component) {
            Some(Fact::Known(manifest)) => match command_line(component, &manifest.pod) {
                Ok(line) => judge(component, manifest, &line),
                Err(why) => told(&Reason::new(why.to_string())),
            },
            Some(Fact::Absent) => Vec::new(),
            Some(Fact::Unknown(why)) => told(why),
            None => told(&not_looked_at(format!("the manifest of {component}"))),
        }
    };
    Component::ALL.into_iter().flat_map(of).collect()
}

/// A piece of evidence that nothing mends.
pub(super) fn piece(
    object: impl Into<String>,
    verdict: Verdict,
    expected: impl Into<String>,
    actual: impl Into<String>,
) -> Evidence {
    Evidence {
        object: object.into(),
        verdict,
        expected: expected.into(),
        actual: actual.into(),
        mend: None,
    }
}

/// A piece of evidence about a fact that could not be had.
pub(super) fn unknown(object: impl Into<String>, expected: impl Into<String>, reason: &Reason) -> Evidence {
    piece(object, Verdict::Unknown, expected, reason.as_str())
}
