//! What a benchmark asks for of a control that differs from what ours asks.
//!
//! A mode is judged by what the edition asks; every other difference is told beside the verdict. Sources: the `tests` of kube-bench
//! v0.15.6 `cfg/cis-1.*`, edition by edition; check texts of the STIG in MITRE's baselines.

use super::Benchmark;
use crate::domain::{ControlId, Mode};

/// In what a benchmark differs on a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// The widest mode that it allows; the control is judged by that.
    pub ceiling: Option<Mode>,
    /// The difference in words, for a reader of the verdict.
    pub note: &'static str,
}

struct Row {
    /// The first and the last edition.
    editions: (Benchmark, Benchmark),
    controls: &'static [&'static str],
    ceiling: Option<u32>,
    note: &'static str,
}

/// The difference of a benchmark on a control.
pub(super) fn of(benchmark: Benchmark, control: &ControlId) -> Option<Difference> {
    let row = ROWS.iter().find(|row| {
        (row.editions.0..=row.editions.1).contains(&benchmark) && row.controls.contains(&control.as_str())
    })?;
    Some(Difference {
        ceiling: row.ceiling.map(Mode::from_bits),
        note: row.note,
    })
}

const fn told(
    first: Benchmark,
    last: Benchmark,
    controls: &'static [&'static str],
    note: &'static str,
) -> Row {
    Row {
        editions: (first, last),
        controls,
        ceiling: None,
        note,
    }
}

const fn mode(
    first: Benchmark,
    last: Benchmark,
    controls: &'static [&'static str],
    bits: u32,
    note: &'static str,
) -> Row {
    Row {
        editions: (first, last),
        controls,
        ceiling: Some(bits),
        note,
    }
}

use Benchmark::{Cis8, Cis9, Cis10, Cis11, Cis12, Stig};

const ROWS: &[Row] = &[
    mode(
        Cis8,
        Cis10,
        &["CIS-1.1.20", "CIS-4.1.7"],
        0o600,
        "judged by 0600, which editions up to 1.10 ask for; 0644 since 1.11, and in Holdfast's own judgement",
    ),
    told(
        Cis8,
        Cis8,
        &["CIS-1.1.13", "CIS-1.1.14"],
        "edition 1.8 names admin.conf alone; super-admin.conf is judged with it",
    ),
    told(
        Cis8,
        Cis9,
        &["CIS-1.2.29"],
        "this edition also allows suites with CBC, 3DES and RSA key exchange; judged by the list of 1.12",
    ),
    told(
        Cis10,
        Cis11,
        &["CIS-1.2.29"],
        "this edition also allows ECDHE suites with CBC; judged by the list of 1.12",
    ),
    told(
        Cis8,
        Cis11,
        &["CIS-4.2.12"],
        "this edition also allows two suites with RSA key exchange; judged by the list of 1.12",
    ),
    told(
        Cis8,
        Cis12,
        &["CIS-4.2.9"],
        "the benchmark knows tlsCertFile and tlsPrivateKeyFile only; serverTLSBootstrap, by which the cluster signs, is accepted",
    ),
    told(
        Cis8,
        Cis12,
        &["CIS-4.2.10"],
        "the benchmark takes an absent setting for true; it is false",
    ),
    told(
        Cis8,
        Cis12,
        &["CIS-4.2.11"],
        "the benchmark asks for the feature gate only; without serverTLSBootstrap it renews nothing, so that is judged, too",
    ),
    told(
        Cis8,
        Cis12,
        &["CIS-1.2.1"],
        "the benchmark knows --anonymous-auth=false only; an AuthenticationConfiguration that decides instead is accepted",
    ),
    told(
        Stig,
        Stig,
        &["CIS-1.2.1"],
        "the STIG knows --anonymous-auth=false only; an AuthenticationConfiguration that decides instead is accepted",
    ),
    mode(
        Stig,
        Stig,
        &[
            "CIS-1.1.1",
            "CIS-1.1.3",
            "CIS-1.1.5",
            "CIS-1.1.7",
            "CIS-1.1.15",
            "CIS-1.1.17",
            "CIS-4.1.3",
            "CIS-4.1.5",
            "CIS-4.1.9",
            "X-FILE-10",
        ],
        0o644,
        "judged by 0644, which the STIG allows; Holdfast's own judgement is stricter",
    ),
    mode(
        Stig,
        Stig,
        &["CIS-1.1.13"],
        0o644,
        "judged by 0644, which the STIG allows; it names admin.conf alone, and super-admin.conf is judged with it",
    ),
    told(
        Stig,
        Stig,
        &["CIS-1.1.14"],
        "the STIG names admin.conf alone; super-admin.conf is judged with it",
    ),
    mode(
        Stig,
        Stig,
        &["CIS-4.1.1"],
        0o644,
        "judged by 0644, which the STIG allows; it names 10-kubeadm.conf alone, and the unit is judged with it",
    ),
    told(
        Stig,
        Stig,
        &["CIS-4.1.2"],
        "the STIG names 10-kubeadm.conf alone; the unit is judged with it",
    ),
    told(
        Stig,
        Stig,
        &["CIS-1.1.11", "CIS-1.1.12"],
        "the STIG looks at the files in the folder; judged is the folder itself",
    ),
    told(
        Stig,
        Stig,
        &["X-FILE-15"],
        "the STIG allows 0644; judged by Holdfast's own mode, which is stricter",
    ),
    told(
        Stig,
        Stig,
        &["CIS-1.2.6", "CIS-1.2.7", "CIS-1.2.8"],
        "the STIG asks for Node,RBAC and nothing else; this control is one part of that",
    ),
    told(
        Stig,
        Stig,
        &["CIS-1.2.29"],
        "the STIG asks for four suites in the list; judged is that every suite in it is strong",
    ),
    told(
        Stig,
        Stig,
        &["CIS-3.2.2"],
        "the STIG asks for RequestResponse on every request, which writes Secrets into the log; that is not asked for here",
    ),
    told(
        Stig,
        Stig,
        &["CIS-4.2.5"],
        "the STIG asks for five minutes or more, in the configuration file; judged is that it is not off",
    ),
    told(
        Stig,
        Stig,
        &["X-FILE-05"],
        "the STIG asks for no static pods at all, and a kubeadm control plane consists of them",
    ),
];
