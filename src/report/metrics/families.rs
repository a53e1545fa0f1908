//! Every metric, in the order in which they are written.
//!
//! A name is for good: alerts and dashboards of others rest on it. Labels take few values: those of this node's files, controls and
//! components, and words that stand here or in the code.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::{Family, Found, Kind, Measured, Sample};
use crate::config::Action;
use crate::domain::Component;
use crate::rotation::Stage;

/// Every metric.
#[must_use]
pub const fn families() -> &'static [Family] {
    FAMILIES
}

const FAMILIES: &[Family] = &[
    Family {
        name: "holdfast_build_info",
        kind: Kind::Gauge,
        label: Some("version"),
        help: "Always 1; the version of Holdfast that runs as the daemon.",
        samples: |_| vec![labelled(env!("CARGO_PKG_VERSION"), 1)],
    },
    Family {
        name: "holdfast_last_write_timestamp_seconds",
        kind: Kind::Gauge,
        label: None,
        help: "When the daemon wrote this, in seconds since 1970; long ago where it does not run.",
        samples: |measured| one(measured.written.as_second()),
    },
    Family {
        name: "holdfast_full_pass_interval_seconds",
        kind: Kind::Gauge,
        label: None,
        help: "The longest time between two passes of the daemon (fullPass).",
        samples: |measured| one(measured.full_pass.as_secs()),
    },
    Family {
        name: "holdfast_enforcing",
        kind: Kind::Gauge,
        label: None,
        help: "1 in mode enforce, 0 in mode audit.",
        samples: |measured| yes(measured.mode == Action::Enforce),
    },
    Family {
        name: "holdfast_configuration_last_reload_successful",
        kind: Kind::Gauge,
        label: None,
        help: "0 when the configuration was refused at the last SIGHUP, and the former one stays.",
        samples: |measured| yes(!measured.reload_refused),
    },
    Family {
        name: "holdfast_passes_total",
        kind: Kind::Counter,
        label: None,
        help: "Passes that came to their end.",
        samples: |measured| one(measured.counted.passes),
    },
    Family {
        name: "holdfast_pass_failures_total",
        kind: Kind::Counter,
        label: None,
        help: "Passes that could not be made; the system log says why.",
        samples: |measured| one(measured.counted.failed_passes),
    },
    Family {
        name: "holdfast_last_pass_timestamp_seconds",
        kind: Kind::Gauge,
        label: None,
        help: "When the last pass came to its end, or the daemon started, if none has yet; in seconds since 1970.",
        samples: |measured| {
            let last = measured.found.as_ref().map_or(measured.started, |found| found.at);
            one(last.as_second())
        },
    },
    Family {
        name: "holdfast_last_pass_duration_seconds",
        kind: Kind::Gauge,
        label: None,
        help: "How long the last pass took.",
        samples: |measured| found(measured, |found| one(found.took.as_secs_f64())),
    },
    Family {
        name: "holdfast_paused",
        kind: Kind::Gauge,
        label: None,
        help: "1 while Holdfast is paused and changes nothing.",
        samples: |measured| found(measured, |found| yes(found.is_paused)),
    },
    Family {
        name: "holdfast_controls",
        kind: Kind::Gauge,
        label: Some("verdict"),
        help: "Controls by what came of them at the last pass.",
        samples: |measured| found(measured, controls),
    },
    Family {
        name: "holdfast_control_drift",
        kind: Kind::Gauge,
        label: Some("control"),
        help: "Always 1; a control that does not hold.",
        samples: |measured| found(measured, |found| each(&found.drifting, 1)),
    },
    Family {
        name: "holdfast_withheld",
        kind: Kind::Gauge,
        label: Some("reason"),
        help: "Mends that are held back, by the kind of reason, as `holdfast plan` names it.",
        samples: |measured| found(measured, |found| pairs(&found.withheld)),
    },
    Family {
        name: "holdfast_changes_total",
        kind: Kind::Counter,
        label: Some("result"),
        help: "Changes of the daemon that ended, by how; after not-recovered a component is not healthy.",
        samples: changes,
    },
    Family {
        name: "holdfast_change_in_flight",
        kind: Kind::Gauge,
        label: None,
        help: "1 while a change was begun and not ended.",
        samples: |measured| yes(measured.standing.in_flight),
    },
    Family {
        name: "holdfast_change_stuck",
        kind: Kind::Gauge,
        label: None,
        help: "1 while a change can neither be completed nor undone, and somebody must look.",
        samples: |measured| found(measured, |found| yes(found.is_stuck)),
    },
    Family {
        name: "holdfast_manifest_out",
        kind: Kind::Gauge,
        label: Some("component"),
        help: "1 while a component's manifest is out of its folder, so that the component does not run.",
        samples: out,
    },
    Family {
        name: "holdfast_certificate_expiry_timestamp_seconds",
        kind: Kind::Gauge,
        label: Some("file"),
        help: "When the first certificate of a file expires, in seconds since 1970.",
        samples: |measured| found(measured, expiries),
    },
    Family {
        name: "holdfast_encryption_needs_attention",
        kind: Kind::Gauge,
        label: Some("reason"),
        help: "1 while encryption at rest needs somebody, by reason; the system log says for what.",
        samples: attention,
    },
    Family {
        name: "holdfast_encryption_write_key_since_timestamp_seconds",
        kind: Kind::Gauge,
        label: None,
        help: "Since when the key that encrypts stored values is known to do so, in seconds since 1970.",
        samples: |measured| known(measured.standing.write_key_since.map(jiff::Timestamp::as_second)),
    },
    Family {
        name: "holdfast_rotation_active",
        kind: Kind::Gauge,
        label: None,
        help: "1 while a rotation of encryption keys is under way.",
        samples: |measured| yes(measured.standing.rotation.is_some()),
    },
    Family {
        name: "holdfast_rotation_stage",
        kind: Kind::Gauge,
        label: None,
        help: "The stage that the rotation has set out for: 0 [old], 1 [old, new], 2 [new, old], 3 [new].",
        samples: |measured| known(measured.standing.rotation.map(|walk| stage(walk.stage))),
    },
    Family {
        name: "holdfast_rotation_stands_still",
        kind: Kind::Gauge,
        label: None,
        help: "1 while the rotation waits for somebody; `holdfast encryption status` says for what.",
        samples: |measured| {
            let rotation = measured.standing.rotation;
            yes(rotation.is_some_and(|walk| walk.stands_still))
        },
    },
    Family {
        name: "holdfast_rotation_values_left",
        kind: Kind::Gauge,
        label: None,
        help: "Stored values that the rotation's last run left to be rewritten, where that is known.",
        samples: |measured| known(measured.standing.rotation.and_then(|walk| walk.left)),
    },
    Family {
        name: "holdfast_values_rewritten_total",
        kind: Kind::Counter,
        label: None,
        help: "Stored values that the daemon's rotations rewrote.",
        samples: |measured| one(measured.counted.rewritten),
    },
];

fn labelled(label: impl Display, value: impl Display) -> Sample {
    Sample {
        label: label.to_string(),
        value: value.to_string(),
    }
}

fn one(value: impl Display) -> Vec<Sample> {
    vec![labelled("", value)]
}

fn yes(so: bool) -> Vec<Sample> {
    one(u8::from(so))
}

fn known(value: Option<impl Display>) -> Vec<Sample> {
    value.map_or_else(Vec::new, one)
}

/// What only a pass can tell.
fn found(measured: &Measured, samples: impl Fn(&Found) -> Vec<Sample>) -> Vec<Sample> {
    measured.found.as_ref().map_or_else(Vec::new, samples)
}

fn each<L: Display>(labels: impl IntoIterator<Item = L>, value: u8) -> Vec<Sample> {
    labels.into_iter().map(|label| labelled(label, value)).collect()
}

fn pairs(values: &BTreeMap<&'static str, usize>) -> Vec<Sample> {
    values
        .iter()
        .map(|(label, value)| labelled(label, value))
        .collect()
}

fn controls(found: &Found) -> Vec<Sample> {
    let counts = found.controls;
    vec![
        labelled("pass", counts.pass),
        labelled("drift", counts.drift),
        labelled("unknown", counts.unknown),
        labelled("excepted", counts.excepted),
        labelled("not-applicable", counts.not_applicable),
        labelled("not-looked-at", counts.not_looked_at),
    ]
}

/// All of them from the start, so that the first of a kind is seen as an increase.
fn changes(measured: &Measured) -> Vec<Sample> {
    let changes = measured.counted.changes;
    vec![
        labelled("made", changes.made),
        labelled("refused", changes.refused),
        labelled("not-recovered", changes.not_recovered),
        labelled("abandoned", changes.abandoned),
        labelled("failed", changes.failed),
    ]
}

/// All of them, so that one that comes back ends an alert.
fn out(measured: &Measured) -> Vec<Sample> {
    let of = |component: Component| labelled(component.name(), u8::from(measured.out.contains(&component)));
    Component::ALL.into_iter().map(of).collect()
}

fn expiries(found: &Found) -> Vec<Sample> {
    let ends = found.expiries.iter();
    ends.map(|(file, end)| labelled(file, end.as_second())).collect()
}

fn attention(measured: &Measured) -> Vec<Sample> {
    let standing = measured.standing;
    let reasons = [
        ("endangered", standing.endangered),
        ("unreadable", standing.unwatched),
        ("plaintext-owed", standing.plaintext_owed),
        ("load-owed", standing.load_owed),
    ];
    let of = |(reason, so): (&str, bool)| labelled(reason, u8::from(so));
    reasons.into_iter().map(of).collect()
}

const fn stage(stage: Stage) -> u8 {
    match stage {
        Stage::Old => 0,
        Stage::ReadNew => 1,
        Stage::WriteNew => 2,
        Stage::New => 3,
    }
}
