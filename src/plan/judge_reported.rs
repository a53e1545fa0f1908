//! Facts that are only reported, held against what must be.

use super::finding::{Evidence, Finding, Verdict};
use super::judge::{JudgeContext, piece};
use super::{judge_documents, judge_host, judge_versions};
use crate::controls::{Reported, Requirement};
use crate::domain::Observation;

/// The evidence about one of them. What is about the other findings is added when they are there: see [`whether_all_is_judged`].
pub(super) fn reported(
    rule: Reported,
    observation: &Observation,
    context: &JudgeContext<'_>,
) -> Vec<Evidence> {
    match rule {
        Reported::AuthorizationFile => judge_documents::authorization_file(observation),
        Reported::PodSecurityDefaults => judge_documents::pod_security_defaults(observation),
        Reported::Kubeconfigs => judge_host::kubeconfigs(observation),
        Reported::HomeKubeconfigs => judge_host::home_kubeconfigs(observation),
        Reported::Pairs => judge_host::pairs(observation),
        Reported::ExposedKeys => judge_host::exposed_keys(observation),
        Reported::KubeletUnit => judge_host::kubelet_unit(observation),
        Reported::Listeners => judge_host::listeners(observation),
        Reported::EtcdClients => judge_host::etcd_clients(observation),
        Reported::SshOnWorkers => judge_host::ssh_on_workers(observation),
        Reported::Versions => judge_versions::versions(observation, context.now),
        Reported::Judged => Vec::new(),
    }
}

/// Judges the control that is about the others: what could not be judged is not known to hold.
pub(super) fn whether_all_is_judged(findings: &mut [Finding]) {
    const EXPECTED: &str = "every control judged that was asked for";
    let is_it = |finding: &Finding| finding.control.requirement == Requirement::Reported(Reported::Judged);
    let unknown: Vec<String> = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Unknown && !is_it(finding))
        .map(|finding| finding.id().to_string())
        .collect();
    let Some(finding) = findings.iter_mut().find(|finding| is_it(finding)) else {
        return;
    };
    let said = if unknown.is_empty() {
        piece("the controls", Verdict::Pass, EXPECTED, "each is judged")
    } else {
        let actual = format!("not judged: {}", unknown.join(", "));
        piece("the controls", Verdict::Unknown, EXPECTED, actual)
    };
    *finding = Finding::new(finding.control.clone(), vec![said]);
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::fresh_node;
    use super::*;
    use crate::domain::{Component, Fact};
    use crate::plan::judge_tests::finding_at;

    #[test]
    fn a_control_that_cannot_be_judged_is_named_and_never_counts_as_held() {
        let now = "2026-06-01T00:00:00Z";
        let mut node = fresh_node();
        assert_eq!(finding_at(&node, "X-SELF-01", "{}", now).verdict, Verdict::Pass);
        node.manifests
            .insert(Component::Scheduler, Fact::unknown("line 3"));
        let finding = finding_at(&node, "X-SELF-01", "{}", now);
        assert_eq!(finding.verdict, Verdict::Unknown);
        assert!(
            finding.evidence[0].actual.contains("CIS-1.4.1"),
            "{:?}",
            finding.evidence
        );
    }
}
