//! Rules of DISA's Kubernetes STIG.
//!
//! Titles and `CNTR-K8-...`: `mitre/k8s-node-stig-baseline` and `mitre/k8s-cluster-stig-baseline`, for the newer rules their later
//! releases; what is in force in V2R6: the ruleset of `gardener/diki`.

use crate::domain::ControlId;

/// A rule, and the controls of ours that stand for it.
pub(super) struct Rule {
    /// `V-242381`: the id of the vulnerability, by which findings are known.
    pub(super) vulnerability: &'static str,
    /// `CNTR-K8-000220`: the id of the rule in the guide. A rule that took the place of a withdrawn one has the same.
    pub(super) id: &'static str,
    pub(super) controls: &'static [&'static str],
}

/// Rules of former releases that V2R6 no longer has.
const WITHDRAWN: &[&str] = &[
    "V-242386", "V-242388", "V-242401", "V-242416", "V-242435", "V-242439", "V-242440", "V-242441",
    "V-242458", "V-242468",
];

impl Rule {
    pub(super) fn is_in_force(&self) -> bool {
        !WITHDRAWN.contains(&self.vulnerability)
    }
}

/// The rules that a control stands for.
pub(super) fn rules(control: &ControlId) -> impl Iterator<Item = &'static Rule> {
    RULES
        .iter()
        .filter(|rule| rule.controls.contains(&control.as_str()))
}

/// The rules of that id, of either kind.
pub(super) fn named(id: &str) -> impl Iterator<Item = &'static Rule> {
    RULES
        .iter()
        .filter(move |rule| rule.vulnerability == id || rule.id == id)
}

const fn rule(vulnerability: &'static str, id: &'static str, controls: &'static [&'static str]) -> Rule {
    Rule {
        vulnerability,
        id,
        controls,
    }
}

// V-242461 asks for the audit policy, not for the log's path (its check text). V-242406 and V-242407 meant /etc/sysconfig/kubelet at first
// and mean the file of --config since V1R8.
#[rustfmt::skip] // One rule a line.
pub(super) const RULES: &[Rule] = &[
    rule("V-242376", "CNTR-K8-000150", &["X-API-04"]),
    rule("V-242377", "CNTR-K8-000160", &["X-API-05"]),
    rule("V-242378", "CNTR-K8-000170", &["X-API-03"]),
    rule("V-242379", "CNTR-K8-000180", &["CIS-2.3"]),
    rule("V-242380", "CNTR-K8-000190", &["CIS-2.6"]),
    rule("V-242381", "CNTR-K8-000220", &["CIS-1.3.3"]),
    rule("V-242382", "CNTR-K8-000270", &["CIS-1.2.6", "CIS-1.2.7", "CIS-1.2.8"]),
    rule("V-242383", "CNTR-K8-000290", &["CIS-5.6.1"]),
    rule("V-242384", "CNTR-K8-000300", &["CIS-1.4.2"]),
    rule("V-242385", "CNTR-K8-000310", &["CIS-1.3.7"]),
    rule("V-242386", "CNTR-K8-000320", &["X-API-01"]),
    rule("V-242387", "CNTR-K8-000330", &["CIS-4.2.4"]),
    rule("V-242388", "CNTR-K8-000340", &["X-API-01"]),
    rule("V-242389", "CNTR-K8-000350", &["X-API-09"]),
    rule("V-242390", "CNTR-K8-000360", &["CIS-1.2.1"]),
    rule("V-242391", "CNTR-K8-000370", &["CIS-4.2.1"]),
    rule("V-242392", "CNTR-K8-000380", &["CIS-4.2.2"]),
    rule("V-242393", "CNTR-K8-000400", &["X-NET-02"]),
    rule("V-242394", "CNTR-K8-000410", &["X-NET-02"]),
    rule("V-242397", "CNTR-K8-000440", &["X-FILE-05"]),
    rule("V-242400", "CNTR-K8-000470", &["X-API-06"]),
    rule("V-242401", "CNTR-K8-000600", &["CIS-3.2.1"]),
    rule("V-242402", "CNTR-K8-000610", &["CIS-1.2.16"]),
    rule("V-242403", "CNTR-K8-000700", &["CIS-3.2.2"]),
    rule("V-242404", "CNTR-K8-000850", &["CIS-4.2.7"]),
    rule("V-242405", "CNTR-K8-000860", &["CIS-1.1.2", "CIS-1.1.4", "CIS-1.1.6", "CIS-1.1.8"]),
    rule("V-242406", "CNTR-K8-000880", &["CIS-4.1.10", "X-FILE-10"]),
    rule("V-242407", "CNTR-K8-000890", &["CIS-4.1.9", "X-FILE-10"]),
    rule("V-242408", "CNTR-K8-000900", &["CIS-1.1.1", "CIS-1.1.3", "CIS-1.1.5", "CIS-1.1.7"]),
    rule("V-242409", "CNTR-K8-000910", &["CIS-1.3.2"]),
    rule("V-242410", "CNTR-K8-000920", &["X-NET-01"]),
    rule("V-242411", "CNTR-K8-000930", &["X-NET-01"]),
    rule("V-242412", "CNTR-K8-000940", &["X-NET-01"]),
    rule("V-242413", "CNTR-K8-000950", &["X-NET-01"]),
    rule("V-242414", "CNTR-K8-000960", &["CIS-5.2.12"]),
    rule("V-242415", "CNTR-K8-001160", &["CIS-5.4.1"]),
    rule("V-242416", "CNTR-K8-001300", &["CIS-4.2.5"]),
    rule("V-242418", "CNTR-K8-001400", &["CIS-1.2.29"]),
    rule("V-242419", "CNTR-K8-001410", &["CIS-1.2.25"]),
    rule("V-242420", "CNTR-K8-001420", &["CIS-4.2.3"]),
    rule("V-242421", "CNTR-K8-001430", &["CIS-1.3.5"]),
    rule("V-242422", "CNTR-K8-001440", &["CIS-1.2.24"]),
    rule("V-242423", "CNTR-K8-001450", &["CIS-2.2"]),
    rule("V-242424", "CNTR-K8-001460", &["CIS-4.2.9"]),
    rule("V-242425", "CNTR-K8-001470", &["CIS-4.2.9"]),
    rule("V-242426", "CNTR-K8-001480", &["CIS-2.5"]),
    rule("V-242427", "CNTR-K8-001490", &["CIS-2.1"]),
    rule("V-242428", "CNTR-K8-001500", &["CIS-2.1"]),
    rule("V-242429", "CNTR-K8-001510", &["CIS-1.2.26"]),
    rule("V-242430", "CNTR-K8-001520", &["CIS-1.2.23"]),
    rule("V-242431", "CNTR-K8-001530", &["CIS-1.2.23"]),
    rule("V-242432", "CNTR-K8-001540", &["CIS-2.4", "X-ETCD-02"]),
    rule("V-242433", "CNTR-K8-001550", &["CIS-2.4"]),
    rule("V-242434", "CNTR-K8-001620", &["X-KUBELET-01"]),
    rule("V-242435", "CNTR-K8-001990", &["CIS-1.2.6"]),
    rule("V-242436", "CNTR-K8-002000", &["X-API-08"]),
    rule("V-242438", "CNTR-K8-002600", &["CIS-1.2.20"]),
    rule("V-242439", "CNTR-K8-002620", &["X-API-02"]),
    rule("V-242440", "CNTR-K8-002630", &["CIS-1.2.2"]),
    rule("V-242441", "CNTR-K8-002640", &["CIS-1.2.4"]),
    rule("V-242442", "CNTR-K8-002700", &["X-VER-01"]),
    rule("V-242443", "CNTR-K8-002720", &["X-VER-01"]),
    rule("V-242444", "CNTR-K8-003110", &["CIS-1.1.2", "CIS-1.1.4", "CIS-1.1.6", "CIS-1.1.8"]),
    rule("V-242445", "CNTR-K8-003120", &["CIS-1.1.12", "X-FILE-15"]),
    rule("V-242446", "CNTR-K8-003130", &["CIS-1.1.14", "CIS-1.1.16", "CIS-1.1.18"]),
    rule("V-242447", "CNTR-K8-003140", &["CIS-4.1.3"]),
    rule("V-242448", "CNTR-K8-003150", &["CIS-4.1.4"]),
    rule("V-242449", "CNTR-K8-003160", &["CIS-4.1.7"]),
    rule("V-242450", "CNTR-K8-003170", &["CIS-4.1.8"]),
    rule("V-242451", "CNTR-K8-003180", &["CIS-1.1.19"]),
    rule("V-242452", "CNTR-K8-003190", &["CIS-4.1.5"]),
    rule("V-242453", "CNTR-K8-003200", &["CIS-4.1.6"]),
    rule("V-242454", "CNTR-K8-003210", &["CIS-4.1.2"]),
    rule("V-242455", "CNTR-K8-003220", &["CIS-4.1.1"]),
    rule("V-242456", "CNTR-K8-003230", &["CIS-4.1.9"]),
    rule("V-242457", "CNTR-K8-003240", &["CIS-4.1.10"]),
    rule("V-242458", "CNTR-K8-003250", &["CIS-1.1.1", "CIS-1.1.3", "CIS-1.1.5", "CIS-1.1.7"]),
    rule("V-242459", "CNTR-K8-003260", &["CIS-1.1.11", "X-FILE-15"]),
    rule("V-242460", "CNTR-K8-003270", &["CIS-1.1.13", "CIS-1.1.15", "CIS-1.1.17"]),
    rule("V-242461", "CNTR-K8-003280", &["CIS-3.2.1"]),
    rule("V-242462", "CNTR-K8-003290", &["CIS-1.2.19"]),
    rule("V-242463", "CNTR-K8-003300", &["CIS-1.2.18"]),
    rule("V-242464", "CNTR-K8-003310", &["CIS-1.2.17"]),
    rule("V-242465", "CNTR-K8-003320", &["CIS-1.2.16"]),
    rule("V-242466", "CNTR-K8-003330", &["CIS-1.1.20"]),
    rule("V-242467", "CNTR-K8-003340", &["CIS-1.1.21"]),
    rule("V-242468", "CNTR-K8-003350", &["X-API-03"]),
    rule("V-245541", "CNTR-K8-001300", &["CIS-4.2.5"]),
    rule("V-245542", "CNTR-K8-002620", &["X-API-02"]),
    rule("V-245543", "CNTR-K8-002630", &["CIS-1.2.2"]),
    rule("V-245544", "CNTR-K8-002640", &["CIS-1.2.4"]),
    rule("V-254800", "CNTR-K8-002011", &["CIS-5.2.1", "X-API-07"]),
    rule("V-254801", "CNTR-K8-002001", &["CIS-5.2.1", "X-API-08"]),
    rule("V-274882", "CNTR-K8-001162", &["CIS-1.2.27"]),
];

#[cfg(test)]
#[path = "stig_tests.rs"]
mod tests;
