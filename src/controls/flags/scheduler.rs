//! Flags of the scheduler: CIS 1.4.

use super::super::{Control, FlagRule, Kit, Remedy};
use super::{LISTENS, PROFILING, TLS_FLOOR, loopback, tls_floor};
use crate::domain::Component;

/// The rows of this table.
pub(super) fn controls() -> Vec<Control> {
    let row = super::row_of(Component::Scheduler);
    // With --config its own file decides.
    let profiling = FlagRule::Is {
        value: "false".to_owned(),
        default: Some("true"),
        config_key: Some("enableProfiling"),
    };
    vec![
        row(
            "CIS-1.4.1",
            "scheduler.profiling",
            "scheduler profiling is off",
            PROFILING,
            "profiling",
            profiling,
            Remedy::Restarts,
        ),
        row(
            "CIS-1.4.2",
            "scheduler.bind-address",
            "Scheduler listens on the node alone",
            LISTENS,
            "bind-address",
            loopback(),
            Remedy::Conditional(Kit::Loopback),
        ),
        row(
            "X-API-05",
            "scheduler.tls-min-version",
            "Scheduler speaks TLS 1.2 or newer",
            TLS_FLOOR,
            "tls-min-version",
            tls_floor(),
            Remedy::Restarts,
        ),
    ]
}
