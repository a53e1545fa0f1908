//! Flags of the API server, the controller manager and the scheduler: CIS 1.2 to 1.4.

use super::{BuiltIn, Control, FlagRule, KubernetesVersion, Remedy, Requirement, flag, id};
use crate::domain::Component;

const PROFILING: &str = "The profiling handlers under /debug/pprof show the inside of the process and can be made to cost it \
    dearly. Nothing but profiling needs them.";
const AUDIT: &str = "Without an audit log nobody can tell afterwards who did what. (Built-in values differ by version, so the \
    effective value is judged; without a log path there is nothing that could be kept.)";
const AUDIT_NEEDS: &str = "an audit policy file that parses, a log folder mounted into the pod, and disk space for it; the \
    policy is the operator's to choose";

/// The rows of this table.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn controls() -> Vec<Control> {
    let is_false = |config_key| FlagRule::Is {
        value: "false".to_owned(),
        default: Some("true"),
        config_key,
    };
    let kept = |minimum, default| FlagRule::AtLeast {
        minimum,
        default,
        with: flag("audit-log-path"),
    };
    let report = |id, rule, title, rationale, name, must, needs| {
        row(
            id,
            rule,
            title,
            rationale,
            Component::ApiServer,
            name,
            must,
            Remedy::ReportOnly(needs),
        )
    };
    vec![
        report(
            "CIS-1.2.5",
            "apiserver.kubelet-certificate-authority",
            "API server verifies the kubelets' serving certificates",
            "Without it the API server sends exec, logs and port-forward to whoever answers on the kubelet's address.",
            "kubelet-certificate-authority",
            FlagRule::IsSet,
            "serving certificates of every kubelet signed by a CA (serverTLSBootstrap and an approver of their requests); \
             before that, logs, exec and metrics would fail for every node",
        ),
        row(
            "CIS-1.2.15",
            "apiserver.profiling",
            "API server profiling is off",
            PROFILING,
            Component::ApiServer,
            "profiling",
            is_false(None),
            Remedy::Restarts,
        ),
        report(
            "CIS-1.2.16",
            "apiserver.audit-log-path",
            "API server writes an audit log",
            AUDIT,
            "audit-log-path",
            FlagRule::IsSet,
            AUDIT_NEEDS,
        ),
        report(
            "CIS-1.2.17",
            "apiserver.audit-log-maxage",
            "Audit logs are kept 30 days or longer",
            AUDIT,
            "audit-log-maxage",
            kept(30, MAX_AGE),
            AUDIT_NEEDS,
        ),
        report(
            "CIS-1.2.18",
            "apiserver.audit-log-maxbackup",
            "10 or more old audit logs are kept",
            AUDIT,
            "audit-log-maxbackup",
            kept(10, MAX_BACKUP),
            AUDIT_NEEDS,
        ),
        report(
            "CIS-1.2.19",
            "apiserver.audit-log-maxsize",
            "Audit logs grow to 100 MB or more before they are rotated",
            AUDIT,
            "audit-log-maxsize",
            kept(100, MAX_SIZE),
            AUDIT_NEEDS,
        ),
        report(
            "CIS-1.2.30",
            "apiserver.service-account-extend-token-expiration",
            "Service account tokens expire when they say so",
            "The extension makes projected tokens valid for a year instead of an hour, for clients that never read them again.",
            "service-account-extend-token-expiration",
            is_false(None),
            "proof that no client holds on to an old token (the metric serviceaccount_stale_tokens_total stays flat); such \
             clients would get 401 after about an hour",
        ),
        row(
            "CIS-1.3.2",
            "controller-manager.profiling",
            "controller manager profiling is off",
            PROFILING,
            Component::ControllerManager,
            "profiling",
            is_false(None),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.4.1",
            "scheduler.profiling",
            "scheduler profiling is off",
            PROFILING,
            Component::Scheduler,
            "profiling",
            is_false(Some("enableProfiling")),
            Remedy::Restarts,
        ),
    ]
}

#[expect(clippy::too_many_arguments, reason = "one argument a column of the table")]
pub(super) fn row(
    row_id: &str,
    rule: &'static str,
    title: &'static str,
    rationale: &'static str,
    component: Component,
    name: &str,
    must: FlagRule,
    remedy: Remedy,
) -> Control {
    Control {
        id: id(row_id),
        rule: rule.into(),
        title: title.into(),
        rationale,
        remedy,
        requirement: Requirement::Flag {
            component,
            name: flag(name),
            rule: must,
        },
        sources: "CIS Kubernetes Benchmark 1.12; kubernetes apiserver/pkg/server/options",
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
