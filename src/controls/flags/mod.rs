//! Flags of the control plane's components, one table file a component; the API server's audit log and admission plug-ins have their own.

mod admission;
mod api_server;
mod audit;
mod controller_manager;
mod etcd;
mod scheduler;

use super::{Constraint, Control, FlagRule, Remedy, Requirement, flag, id};
use crate::domain::Component;

const PROFILING: &str = "The profiling handlers under /debug/pprof show the inside of the process and can be made to cost it \
    dearly. Nothing but profiling needs them.";
const TLS_FLOOR: &str =
    "TLS 1.0 and 1.1 are broken. The floor of today's binaries is 1.2; a flag may have lowered it.";
const LISTENS: &str = "Metrics and health of a component are nobody's business beyond the node, unless somebody was meant to read them.";

/// The rows of these tables.
pub(super) fn controls() -> Vec<Control> {
    [
        api_server::controls(),
        audit::controls(),
        admission::controls(),
        controller_manager::controls(),
        scheduler::controls(),
        etcd::controls(),
    ]
    .concat()
}

#[expect(clippy::too_many_arguments, reason = "one argument a column of the table")]
fn row(
    row_id: &str,
    rule: &'static str,
    title: &'static str,
    rationale: &'static str,
    component: Component,
    name: &str,
    must: FlagRule,
    remedy: Remedy,
) -> Control {
    let sources = if row_id.starts_with("X-ETCD") {
        "etcd.io, transport security and configuration options"
    } else if row_id.starts_with("X-") {
        "DISA Kubernetes STIG; kubernetes.io, the components' command-line reference"
    } else {
        "CIS Kubernetes Benchmark 1.12; kubernetes apiserver/pkg/server/options"
    };
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
        sources,
    }
}

/// The same for the rows of one component's table.
fn row_of(
    component: Component,
) -> impl Fn(&str, &'static str, &'static str, &'static str, &str, FlagRule, Remedy) -> Control {
    move |row_id, rule, title, rationale, name, must, remedy| {
        row(row_id, rule, title, rationale, component, name, must, remedy)
    }
}

/// A switch that must have this value; without the flag it has the other.
fn is(value: &str, default: &'static str) -> FlagRule {
    FlagRule::Is {
        value: value.to_owned(),
        default: Some(default),
        config_key: None,
    }
}

/// A certificate and its key are given.
fn pair(key: &str, usual: [&'static str; 2]) -> FlagRule {
    let key = flag(key);
    FlagRule::Meets(Constraint::Pair { key, usual })
}

/// It is given, or is to name this file.
fn names(usual: &'static str) -> FlagRule {
    FlagRule::Meets(Constraint::Names(usual))
}

fn positive(default: &'static str, duration: bool) -> FlagRule {
    FlagRule::Meets(Constraint::Positive { default, duration })
}

fn loopback() -> FlagRule {
    FlagRule::Meets(Constraint::Loopback { default: "0.0.0.0" })
}

/// TLS 1.2 or newer.
fn tls_floor() -> FlagRule {
    FlagRule::Meets(Constraint::OneOf {
        values: &["VersionTLS12", "VersionTLS13"],
        default: "VersionTLS12",
    })
}
