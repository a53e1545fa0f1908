//! The API server's audit log: CIS 1.2.16 to 1.2.19 and 3.2.1.

use super::super::kits::{AUDIT_LOG, AUDIT_POLICY};
use super::super::{BuiltIn, Control, FlagRule, Kit, KubernetesVersion, Remedy, flag};
use crate::domain::Component;

const AUDIT: &str = "Without an audit log nobody can tell afterwards who did what. (Built-in values differ by version, so the \
    effective value is judged; without a log path there is nothing that could be kept.)";
const REMEDY: Remedy = Remedy::Conditional(Kit::AuditLog);

/// The rows of this table.
pub(super) fn controls() -> Vec<Control> {
    let row = super::row_of(Component::ApiServer);
    let kept = |minimum, default| FlagRule::AtLeast {
        minimum,
        default,
        with: flag("audit-log-path"),
    };
    vec![
        row(
            "CIS-1.2.16",
            "apiserver.audit-log-path",
            "API server writes an audit log",
            AUDIT,
            "audit-log-path",
            given(AUDIT_LOG),
            REMEDY,
        ),
        row(
            "CIS-1.2.17",
            "apiserver.audit-log-maxage",
            "Audit logs are kept 30 days or longer",
            AUDIT,
            "audit-log-maxage",
            kept(30, MAX_AGE),
            REMEDY,
        ),
        row(
            "CIS-1.2.18",
            "apiserver.audit-log-maxbackup",
            "10 or more old audit logs are kept",
            AUDIT,
            "audit-log-maxbackup",
            kept(10, MAX_BACKUP),
            REMEDY,
        ),
        row(
            "CIS-1.2.19",
            "apiserver.audit-log-maxsize",
            "Audit logs grow to 100 MB or more before they are rotated",
            AUDIT,
            "audit-log-maxsize",
            kept(100, MAX_SIZE),
            REMEDY,
        ),
        row(
            "CIS-3.2.1",
            "apiserver.audit.policy-file",
            "An audit policy is given",
            "Without a policy nothing is written to the audit log, even if a path is given.",
            "audit-policy-file",
            given(AUDIT_POLICY),
            REMEDY,
        ),
    ]
}

/// It is given, or is to name this file.
fn given(usual: &str) -> FlagRule {
    FlagRule::IsSet {
        usual: Some(usual.to_owned()),
    }
}

// Before 1.36 an age and a number of 0 mean "no limit", which CIS does not accept as a policy
// (kubernetes CHANGELOG-1.36, apiserver options/audit.go).
const MAX_AGE: BuiltIn = BuiltIn {
    first: 0,
    since: Some((KubernetesVersion { minor: 36 }, 366)),
};
const MAX_BACKUP: BuiltIn = BuiltIn {
    first: 0,
    since: Some((KubernetesVersion { minor: 36 }, 100)),
};
const MAX_SIZE: BuiltIn = BuiltIn {
    first: 100,
    since: None,
};
