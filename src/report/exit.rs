//! The exit code of a command.

use crate::plan::{Finding, Verdict};

/// What a command came to, as its exit code tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitClass {
    /// 0: everything that is judged holds, or was done.
    Compliant,
    /// 1: the command failed.
    Failed,
    /// 2: there is drift, or some is left.
    Drift,
    /// 3: there is no drift, but something is unknown.
    Unknown,
    /// 64: the command line is wrong (`EX_USAGE` of sysexits.h).
    Usage,
    /// 69: this host is none that Holdfast works on (`EX_UNAVAILABLE` of sysexits.h).
    Declined,
    /// 78: the configuration is refused (`EX_CONFIG` of sysexits.h).
    Configuration,
}

impl ExitClass {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Compliant => 0,
            Self::Failed => 1,
            Self::Drift => 2,
            Self::Unknown => 3,
            Self::Usage => 64,
            Self::Declined => 69,
            Self::Configuration => 78,
        }
    }
}

/// What these findings come to.
#[must_use]
pub fn exit_code(findings: &[Finding]) -> ExitClass {
    let any = |verdict| findings.iter().any(|finding| finding.verdict == verdict);
    if any(Verdict::Drift) {
        ExitClass::Drift
    } else if any(Verdict::Unknown) {
        ExitClass::Unknown
    } else {
        ExitClass::Compliant
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::finding;

    #[test]
    fn drift_outweighs_unknown_and_unknown_is_never_compliant() {
        use Verdict::{Drift, Excepted, NotApplicable, Pass, Unknown};
        let cases: [(&[Verdict], ExitClass); 5] = [
            (&[], ExitClass::Compliant),
            (&[Pass, NotApplicable, Excepted], ExitClass::Compliant),
            (&[Pass, Unknown], ExitClass::Unknown),
            (&[Unknown, Drift, Pass], ExitClass::Drift),
            (&[Drift], ExitClass::Drift),
        ];
        for (verdicts, expected) in cases {
            let findings: Vec<_> = verdicts
                .iter()
                .map(|verdict| finding("CIS-1.1.1", *verdict))
                .collect();
            assert_eq!(exit_code(&findings), expected, "{verdicts:?}");
        }
    }
}
