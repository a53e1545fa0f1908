//! Numbers in the CIS Kubernetes Benchmark, as kube-bench v0.15.6 carries them (`cfg/cis-1.8` to `cfg/cis-1.12`, compared by title).
//!
//! Our ids are the numbers of 1.12; here is what stood elsewhere before.

use super::Benchmark;
use crate::domain::ControlId;

/// The sections of edition 1.12, and how many checks each has.
const SECTIONS: &[(&str, u32)] = &[
    ("1.1", 21),
    ("1.2", 30),
    ("1.3", 7),
    ("1.4", 2),
    ("2", 7),
    ("3.1", 3),
    ("3.2", 2),
    ("4.1", 10),
    ("4.2", 14),
    ("4.3", 1),
    ("5.1", 13),
    ("5.2", 12),
    ("5.3", 2),
    ("5.4", 2),
    ("5.5", 1),
    ("5.6", 4),
];

/// Where checks of a section stood in an edition before 1.12.
struct Move {
    section: &'static str,
    first: u32,
    last: u32,
    /// This edition and those before it.
    until: Benchmark,
    was: Was,
}

enum Was {
    /// There was no such check.
    Absent,
    /// One number further on.
    OneLater,
    /// In this section, under the same last number.
    In(&'static str),
}

const MOVES: &[Move] = &[
    // 1.2.12 of edition 1.8 is SecurityContextDeny.
    moved("1.2", 12, 29, Benchmark::Cis8, Was::OneLater),
    moved("1.2", 30, 30, Benchmark::Cis10, Was::Absent),
    moved("4.2", 14, 14, Benchmark::Cis10, Was::Absent),
    moved("4.3", 1, 1, Benchmark::Cis8, Was::Absent),
    // 5.2.9 was about added capabilities.
    moved("5.2", 9, 12, Benchmark::Cis11, Was::OneLater),
    moved("5.6", 1, 4, Benchmark::Cis10, Was::In("5.7")),
];

const fn moved(section: &'static str, first: u32, last: u32, until: Benchmark, was: Was) -> Move {
    Move {
        section,
        first,
        last,
        until,
        was,
    }
}

/// The checks that no control of ours stands for in any edition: the first and last edition that has it, its number, and why.
const NONE_OF_OURS: &[(Benchmark, Benchmark, &str, &str)] = &[
    (
        Benchmark::Cis8,
        Benchmark::Cis8,
        "1.2.12",
        "it asks for SecurityContextDeny, an admission plug-in that Kubernetes no longer has",
    ),
    (
        Benchmark::Cis11,
        Benchmark::Cis11,
        "4.2.15",
        "it asks for IPAddressDeny, which systemd knows and the kubelet does not; edition 1.12 dropped it",
    ),
    (
        Benchmark::Cis8,
        Benchmark::Cis11,
        "5.2.9",
        "it asks for pods without added capabilities; edition 1.12 has only the stricter check after it",
    ),
];

/// The checks of level 2 in edition 1.12 ("Profile Applicability"); all others are of level 1.
const LEVEL_2: &[&str] = &[
    "1.2.12", "1.2.13", "1.2.14", "2.7", "3.2.2", "4.2.8", "5.2.7", "5.2.9", "5.3.2", "5.4.1", "5.4.2",
    "5.5.1", "5.6.2", "5.6.3", "5.6.4",
];

/// The level of a control in edition 1.12, 1 or 2.
pub(super) fn level(control: &ControlId) -> Option<u8> {
    let number = number(Benchmark::Cis12, control)?;
    Some(if LEVEL_2.contains(&number.as_str()) { 2 } else { 1 })
}

/// The number of a control in an edition.
pub(super) fn number(edition: Benchmark, control: &ControlId) -> Option<String> {
    let id = control.as_str().strip_prefix("CIS-")?;
    let (section, last) = id.rsplit_once('.')?;
    let check: u32 = last.parse().ok()?;
    let known = |(name, checks): &(&str, u32)| *name == section && (1..=*checks).contains(&check);
    if !SECTIONS.iter().any(known) {
        return None;
    }
    let moved = MOVES.iter().find(|one| {
        one.section == section && (one.first..=one.last).contains(&check) && edition <= one.until
    });
    match moved.map(|one| &one.was) {
        None => Some(id.to_owned()),
        Some(Was::Absent) => None,
        Some(Was::OneLater) => Some(format!("{section}.{}", check + 1)),
        Some(Was::In(section)) => Some(format!("{section}.{check}")),
    }
}

/// Why no control of ours stands for a check of an edition.
pub(super) fn why_none(edition: Benchmark, number: &str) -> Option<&'static str> {
    NONE_OF_OURS
        .iter()
        .find(|(first, last, asked, _)| (*first..=*last).contains(&edition) && *asked == number)
        .map(|(_, _, _, why)| *why)
}
