//! The findings of a check, for people.

use super::paint::{self, Colour, Shade, printable};
use super::{Heading, benchmark, words};
use crate::controls::Benchmark;
use crate::plan::{Evidence, Finding, Verdict};

/// How many findings came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// All of them.
    pub controls: usize,
    /// It holds.
    pub pass: usize,
    /// It does not hold.
    pub drift: usize,
    /// A fact could not be had.
    pub unknown: usize,
    /// What it is about is not there.
    pub not_applicable: usize,
    /// It does not hold, and that is accepted.
    pub excepted: usize,
    /// It was not asked for.
    pub not_looked_at: usize,
    /// Of those in drift: how many `holdfast apply` can mend, in whole or in part.
    pub mendable: usize,
}

impl Summary {
    /// The count of these findings.
    #[must_use]
    pub fn of(findings: &[Finding]) -> Self {
        let count = |verdict| {
            findings
                .iter()
                .filter(|finding| finding.verdict == verdict)
                .count()
        };
        Self {
            controls: findings.len(),
            pass: count(Verdict::Pass),
            drift: count(Verdict::Drift),
            unknown: count(Verdict::Unknown),
            not_applicable: count(Verdict::NotApplicable),
            excepted: count(Verdict::Excepted),
            not_looked_at: count(Verdict::NotLookedAt),
            mendable: findings.iter().filter(|finding| is_mendable(finding)).count(),
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} control{}: {} pass, {} drift, {} unknown, {} not applicable, {} excepted",
            self.controls,
            if self.controls == 1 { "" } else { "s" },
            self.pass,
            self.drift,
            self.unknown,
            self.not_applicable,
            self.excepted
        )?;
        match self.not_looked_at {
            0 => Ok(()),
            some => write!(f, ", {some} not looked at (--cluster looks)"),
        }
    }
}

/// Pieces of evidence that are shown of one finding; the JSON report has them all.
const SHOWN: usize = 12;

/// The findings by section, what is wrong with each, the counts, and what to do next.
#[must_use]
pub fn findings_text(findings: &[Finding], heading: &Heading, colour: Colour) -> String {
    let asked_by = heading.benchmark;
    let labels = findings
        .iter()
        .map(|finding| benchmark::label(asked_by, finding.id()));
    let width = labels.map(|label| label.len()).max().unwrap_or(0);
    let mut sections: Vec<(String, String)> = Vec::new();
    for finding in findings {
        let title = benchmark::section(asked_by, &finding.control);
        let text = one(finding, asked_by, width, colour);
        match sections.iter_mut().find(|(known, _)| *known == title) {
            Some((_, body)) => body.push_str(&text),
            None => sections.push((title, text)),
        }
    }
    let mut report = heading.text(colour);
    if let Some(asked_by) = asked_by {
        report += &benchmark::heading_text(asked_by, findings, colour);
    }
    for (title, body) in sections {
        report += &format!("{}\n{body}\n", colour.paint(paint::STRONG, &title));
    }
    report += &format!("{}\n", Summary::of(findings));
    if let Some(step) = next_step(findings) {
        report += &format!("{step}\n");
    }
    report
}

fn one(finding: &Finding, asked_by: Option<Benchmark>, width: usize, colour: Colour) -> String {
    let verdict = format!("{:<14}", finding.verdict.name());
    let mut text = format!(
        "  {} {:width$}  {}\n",
        colour.paint(shade(finding.verdict), &verdict),
        benchmark::label(asked_by, finding.id()),
        printable(&finding.control.title)
    );
    if let Some(note) = benchmark::note(asked_by, finding.id()) {
        text += &format!("      {} {note}\n", colour.paint(paint::FAINT, "note:"));
    }
    let told: Vec<&Evidence> = finding
        .evidence
        .iter()
        .filter(|piece| piece.verdict > Verdict::Pass)
        .collect();
    for piece in told.iter().take(SHOWN) {
        text += &format!("      {}\n", evidence(piece));
    }
    if told.len() > SHOWN {
        text += &format!(
            "      and {} more (--output json lists them all)\n",
            told.len() - SHOWN
        );
    }
    for line in remedies(finding) {
        text += &format!(
            "      {} {}\n",
            colour.paint(paint::FAINT, "remedy:"),
            printable(&line)
        );
    }
    text
}

fn evidence(piece: &Evidence) -> String {
    let (object, expected, actual) = (
        printable(&piece.object),
        printable(&piece.expected),
        printable(&piece.actual),
    );
    if piece.verdict == Verdict::Unknown {
        return format!("{object}: not known: {actual} (expected {expected})");
    }
    format!("{object}: expected {expected}, found {actual}")
}

/// What Holdfast does about the drift of a finding, and about what it leaves.
fn remedies(finding: &Finding) -> Vec<String> {
    let mut lines = Vec::new();
    if is_mendable(finding) {
        let cost = finding.control.restarts().map_or_else(
            || "nothing restarts".to_owned(),
            |component| format!("{component} restarts once"),
        );
        lines.push(format!("`holdfast apply` mends it; {cost}"));
    }
    if finding
        .with_verdict(Verdict::Drift)
        .any(|piece| piece.mend.is_none())
    {
        lines.push(words::why_not_mended(&finding.control));
    }
    lines
}

fn is_mendable(finding: &Finding) -> bool {
    finding
        .with_verdict(Verdict::Drift)
        .any(|piece| piece.mend.is_some())
}

fn next_step(findings: &[Finding]) -> Option<String> {
    let summary = Summary::of(findings);
    if summary.drift > 0 && summary.mendable == 0 {
        return Some(
            "None of the drift is mended by Holdfast itself; what each remedy needs stands above.".to_owned(),
        );
    }
    if summary.drift > 0 {
        let mut restarted: Vec<&str> = findings
            .iter()
            .filter(|finding| is_mendable(finding))
            .filter_map(|finding| finding.control.restarts())
            .map(crate::domain::Component::name)
            .collect();
        restarted.sort_unstable();
        restarted.dedup();
        let cost = match restarted.as_slice() {
            [] => "nothing restarts".to_owned(),
            [one] => format!("it restarts {one} once"),
            several => format!("it restarts {} once each", several.join(", ")),
        };
        return Some(format!(
            "{} of the {} in drift can be mended: `holdfast plan` shows how, `holdfast apply` does it; {cost}.",
            summary.mendable, summary.drift
        ));
    }
    (summary.unknown > 0)
        .then(|| "What is unknown is no pass: see above why it could not be told.".to_owned())
}

const fn shade(verdict: Verdict) -> Shade {
    match verdict {
        Verdict::Pass => paint::GOOD,
        Verdict::Drift => paint::BAD,
        Verdict::Unknown => paint::WARNING,
        Verdict::Excepted => paint::NOTE,
        Verdict::NotApplicable | Verdict::NotLookedAt => paint::FAINT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn a_check_is_grouped_aligned_counted_and_says_what_comes_next() {
        let text = findings_text(&samples::findings(), &Heading::default(), Colour::Never);
        assert_eq!(
            text,
            "\
CIS 1.1  Files of the control plane
  pass           CIS-1.1.2   kube-apiserver manifest belongs to root
  drift          CIS-1.1.5   kube-scheduler manifest is 0600 or stricter
      /etc/kubernetes/manifests/kube-scheduler.yaml: expected 0600 or stricter, found 0644
      remedy: `holdfast apply` mends it; nothing restarts
  not applicable CIS-1.1.10  CNI configuration files belong to root

CIS 1.2  API server
  drift          CIS-1.2.15  API server profiling is off
      kube-apiserver --profiling: expected this, found that
      remedy: `holdfast apply` mends it; kube-apiserver restarts once
  excepted       CIS-1.2.30  Service account tokens expire when they say so
      /x: expected this, found that

CIS 4.1  Files of the kubelet
  unknown        CIS-4.1.1   kubelet unit and drop-ins are 0600 or stricter
      /x: not known: that (expected this)

More files
  drift          X-FILE-02   no unknown file lies in the manifests folder
      evil\\u{1b}[2J.yaml: expected no unknown manifest, found unknown
      remedy: only reported; see manifests.known and manifests.quarantine in the configuration

7 controls: 1 pass, 3 drift, 1 unknown, 1 not applicable, 1 excepted
2 of the 3 in drift can be mended: `holdfast plan` shows how, `holdfast apply` does it; it restarts kube-apiserver once.
"
        );
    }

    #[test]
    fn the_last_line_fits_what_was_found() {
        let last = |verdicts: &[Verdict]| {
            let findings: Vec<_> = verdicts
                .iter()
                .map(|one| samples::finding("CIS-1.1.12", *one))
                .collect();
            let text = findings_text(&findings, &Heading::default(), Colour::Never);
            text.lines().last().unwrap().to_owned()
        };
        assert_eq!(
            last(&[Verdict::Drift]),
            "None of the drift is mended by Holdfast itself; what each remedy needs stands above."
        );
        assert_eq!(
            last(&[Verdict::Unknown]),
            "What is unknown is no pass: see above why it could not be told."
        );
        assert_eq!(
            last(&[Verdict::Pass]),
            "1 control: 1 pass, 0 drift, 0 unknown, 0 not applicable, 0 excepted"
        );
    }

    #[test]
    fn a_pause_stands_above_all_and_cannot_fool_the_terminal() {
        let heading = Heading {
            paused: Some("until 2026-11-24T03:00:00Z: disk\u{1b}".to_owned()),
            ..Heading::default()
        };
        let text = findings_text(&[], &heading, Colour::Never);
        assert_eq!(
            text.lines().next(),
            Some(
                "PAUSED until 2026-11-24T03:00:00Z: disk\\u{1b}: nothing is changed but to recover; `holdfast resume` ends it"
            )
        );
    }

    #[test]
    fn colour_changes_no_letter() {
        let coloured = findings_text(&samples::findings(), &Heading::default(), Colour::Always);
        assert!(coloured.contains("\u{1b}[31mdrift         \u{1b}[0m CIS-1.1.5 "));
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            plain += before;
            rest = after.split_once('m').unwrap().1;
        }
        plain += rest;
        assert_eq!(
            plain,
            findings_text(&samples::findings(), &Heading::default(), Colour::Never)
        );
    }

    #[test]
    fn of_very_many_pieces_of_evidence_the_first_are_shown() {
        let pieces: Vec<_> = (0..15)
            .map(|n| samples::evidence(&format!("/f{n}"), Verdict::Drift, None))
            .collect();
        let finding = Finding::new(samples::control("CIS-1.1.21"), pieces);
        let text = findings_text(&[finding], &Heading::default(), Colour::Never);
        assert!(
            text.contains("/f11:") && !text.contains("/f12:") && text.contains("and 3 more"),
            "{text}"
        );
    }
}
