//! The API server's admission plug-ins: CIS 1.2.3 and 1.2.9 to 1.2.14.

use super::super::{Constraint, Control, FlagRule, Kit, ListRule, Remedy, flag};
use crate::domain::Component;

const ADMISSION: &str = "Admission plug-ins are the last look at each write. One that is switched off by a flag is missed only when it is needed.";
const ENABLE: &str = "enable-admission-plugins";
const DISABLE: &str = "disable-admission-plugins";

/// The rows of this table.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn controls() -> Vec<Control> {
    let row = super::row_of(Component::ApiServer);
    vec![
        row(
            "CIS-1.2.3",
            "apiserver.admission.deny-service-external-ips",
            "Services take no external addresses",
            ADMISSION,
            ENABLE,
            list(&["DenyServiceExternalIPs"], &[]),
            Remedy::Conditional(Kit::ExternalIps),
        ),
        row(
            "CIS-1.2.9",
            "apiserver.admission.event-rate-limit",
            "Events are limited",
            ADMISSION,
            ENABLE,
            list(&["EventRateLimit"], &[]),
            Remedy::Conditional(Kit::EventRateLimit),
        ),
        row(
            "CIS-1.2.10",
            "apiserver.admission.no-always-admit",
            "AlwaysAdmit is not enabled",
            ADMISSION,
            ENABLE,
            list(&[], &["AlwaysAdmit"]),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.2.11",
            "apiserver.admission.always-pull-images",
            "Images are pulled with the pod's own credentials",
            ADMISSION,
            ENABLE,
            list(&["AlwaysPullImages"], &[]),
            Remedy::ReportOnly(
                "a registry that is always there: no pod starts without it, and images that were loaded by hand stop working",
            ),
        ),
        row(
            "CIS-1.2.12",
            "apiserver.admission.service-account",
            "ServiceAccount admission is not switched off",
            ADMISSION,
            DISABLE,
            list(&[], &["ServiceAccount"]),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.2.13",
            "apiserver.admission.namespace-lifecycle",
            "NamespaceLifecycle admission is not switched off",
            ADMISSION,
            DISABLE,
            list(&[], &["NamespaceLifecycle"]),
            Remedy::Restarts,
        ),
        row(
            "CIS-1.2.14",
            "apiserver.admission.node-restriction",
            "NodeRestriction admission is on",
            ADMISSION,
            ENABLE,
            list(&["NodeRestriction"], &[]),
            Remedy::Restarts,
        ),
        row(
            "X-API-08",
            "apiserver.admission.webhooks-on",
            "Webhooks and policies of admission are not switched off",
            ADMISSION,
            DISABLE,
            list(
                &[],
                &[
                    "MutatingAdmissionWebhook",
                    "PodSecurity",
                    "ValidatingAdmissionPolicy",
                    "ValidatingAdmissionWebhook",
                ],
            ),
            Remedy::Restarts,
        ),
    ]
}

/// A plug-in that is named in both lists keeps the server from starting.
fn list(contains: &'static [&'static str], without: &'static [&'static str]) -> FlagRule {
    FlagRule::Meets(Constraint::List(ListRule {
        contains,
        without,
        apart_from: (!contains.is_empty()).then(|| flag(DISABLE)),
        ..ListRule::default()
    }))
}
