//! A plan, for people: each change with its reasons, its cost and its diff; then what is not done, and why.

use super::Heading;
use super::paint::{self, Colour, printable};
use crate::domain::ControlId;
use crate::journal::KnownManifest;
use crate::manifest::unified_diff;
use crate::plan::{Change, Deed, Finding, Plan, Progress, Step, Withheld};
use std::collections::BTreeMap;

type Titles<'a> = BTreeMap<&'a ControlId, &'a str>;

/// The plan. The findings give the controls their titles.
#[must_use]
pub fn plan_text(plan: &Plan, findings: &[Finding], heading: &Heading, colour: Colour) -> String {
    let titles: Titles<'_> = findings
        .iter()
        .map(|finding| (finding.id(), finding.control.title.as_ref()))
        .collect();
    let mut text = heading.text(colour);
    for warning in &plan.warnings {
        text += &format!(
            "{} {}\n\n",
            colour.paint(paint::WARNING, "Warning:"),
            printable(warning)
        );
    }
    if let Some(progress) = &plan.in_flight {
        text += &format!(
            "A change that was begun earlier comes first:\n  {}\n\n",
            in_flight(progress)
        );
    }
    if let Some(known) = plan.baseline.as_deref().filter(|known| !known.is_empty()) {
        text.push_str(&baseline(known));
    }
    text.push_str(&match plan.changes.len() {
        0 => "Nothing to change.\n".to_owned(),
        1 => "1 change:\n".to_owned(),
        several => format!("{several} changes, in this order:\n"),
    });
    for (index, one) in plan.changes.iter().enumerate() {
        text += &format!("\n{}", change(index + 1, one, &titles, colour));
    }
    if !plan.withheld.is_empty() {
        text += &format!(
            "\n{}\n{}",
            colour.paint(paint::STRONG, "Not done:"),
            withheld(&plan.withheld)
        );
    }
    if let Some(cost) = restarts(&plan.changes) {
        text += &format!("\n{cost}\n");
    }
    text
}

/// What a change in flight waits for, or what is done about it.
pub(super) fn step_words(step: &Step) -> String {
    match step {
        Step::Wait { why } => format!("wait: {why}"),
        Step::Drain => "it no longer listens, and may finish what it has begun to answer".to_owned(),
        Step::CleanedUp => "the kubelet has cleaned up after the old pod".to_owned(),
        Step::RemoveEnded { .. } => {
            "the ended containers of the old pod, which the kubelet has left, are removed".to_owned()
        }
        Step::End(_) => "its former process serves nobody any more and is ended".to_owned(),
        Step::RestartKubelet => "the kubelet is restarted".to_owned(),
        Step::PutIn => "its manifest is put into its folder".to_owned(),
        Step::Finish => "it was made and the node proved healthy; that is recorded".to_owned(),
        Step::Abandon { why } => format!("it is given up: {why}"),
        Step::Undo(fault) => format!("it is undone: {}", fault.why),
        Step::Stuck { why } => format!("it is stuck: {why}"),
        Step::PutBack => "the former content is put back".to_owned(),
        Step::Refuse { fault, recovered } => {
            let after = if *recovered {
                "the component is healthy again with its former manifest"
            } else {
                "the component is not healthy again yet"
            };
            format!("it is recorded as refused by the node: {}; {after}", fault.why)
        }
    }
}

fn in_flight(progress: &Progress) -> String {
    printable(&format!("{}; {}", progress.act, step_words(&progress.step)))
}

fn baseline(known: &[KnownManifest]) -> String {
    let mut text =
        "First start: these manifests lie here beside the components' own, and are known from now on:\n"
            .to_owned();
    for manifest in known {
        text += &format!(
            "  {} (SHA-256 {}...)\n",
            printable(&manifest.name),
            manifest.digest.short()
        );
    }
    text.push('\n');
    text
}

fn change(number: usize, change: &Change, titles: &Titles<'_>, colour: Colour) -> String {
    let deed = printable(&change.deed.to_string());
    let mut text = format!("{}\n", colour.paint(paint::STRONG, &format!("{number}. {deed}")));
    for id in &change.controls {
        let title = titles.get(id).copied().unwrap_or("");
        text += &format!("{}\n", format!("   for {id}  {}", printable(title)).trim_end());
    }
    let diff = match &change.deed {
        Deed::EditManifest(edit) => Some(unified_diff(edit.path.as_str(), &edit.before, &edit.after)),
        Deed::EditKubelet(edit) => Some(unified_diff(edit.path.as_str(), &edit.before, &edit.after)),
        Deed::Install { path, content } => Some(unified_diff(path.as_str(), "", content)),
        Deed::SetMode { .. }
        | Deed::SetOwner { .. }
        | Deed::MakeFolder { .. }
        | Deed::Bounce(_)
        | Deed::Quarantine { .. } => None,
    };
    if let Some(diff) = diff {
        text += &format!("\n{}", paint::diff(&diff, "   ", colour));
    }
    text
}

/// One paragraph for each reason, so that what has the same reason stands together.
fn withheld(withheld: &[Withheld]) -> String {
    let mut by_reason: Vec<(String, Vec<&Withheld>)> = Vec::new();
    for one in withheld {
        let reason = one.reason.to_string();
        match by_reason.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, group)) => group.push(one),
            None => by_reason.push((reason, vec![one])),
        }
    }
    let mut text = String::new();
    for (reason, group) in by_reason {
        for one in group {
            let ids: Vec<&str> = one.controls.iter().map(ControlId::as_str).collect();
            text += &format!("  {}  {}\n", ids.join(", "), printable(&one.object));
        }
        // A reason may hold an edit to make by hand: its lines are kept.
        for line in reason.lines() {
            text += &format!("      {}\n", printable(line));
        }
    }
    text
}

fn restarts(changes: &[Change]) -> Option<String> {
    let mut restarted: Vec<&str> = changes.iter().filter_map(Change::restarted).collect();
    restarted.dedup();
    match restarted.as_slice() {
        [] => (!changes.is_empty()).then(|| "Nothing restarts.".to_owned()),
        [one] => Some(format!("{one} restarts once.")),
        several => Some(format!(
            "These restart once each, one after the other: {}.",
            several.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Digest, Mode};
    use crate::journal::{Act, Fault};
    use crate::report::samples;

    #[test]
    fn a_plan_shows_reasons_diffs_costs_and_what_is_left() {
        let text = plan_text(
            &samples::plan(),
            &samples::findings(),
            &Heading::default(),
            Colour::Never,
        );
        assert_eq!(
            text,
            "\
2 changes, in this order:

1. mode of /etc/kubernetes/manifests/kube-scheduler.yaml: 0644 -> 0600
   for CIS-1.1.5  kube-scheduler manifest is 0600 or stricter

2. edit of /etc/kubernetes/manifests/kube-apiserver.yaml, which restarts kube-apiserver
   for CIS-1.2.15  API server profiling is off

   --- a/etc/kubernetes/manifests/kube-apiserver.yaml
   +++ b/etc/kubernetes/manifests/kube-apiserver.yaml
   @@ -1,2 +1,3 @@
    a:
    - --x
   +- --profiling=false

Not done:
  X-FILE-02  evil\\u{1b}.yaml
  X-FILE-03  copy.yaml
      only reported; a remedy needs a look
  CIS-1.3.2  kube-controller-manager --profiling
      the manifest is not edited: shape
      +by hand

kube-apiserver restarts once.
"
        );
    }

    #[test]
    fn an_empty_plan_says_so_and_a_first_start_names_what_it_found() {
        let nothing = plan_text(&Plan::default(), &[], &Heading::default(), Colour::Never);
        assert_eq!(nothing, "Nothing to change.\n");
        let first = Plan {
            baseline: Some(vec![KnownManifest {
                name: "kube-vip.yaml".to_owned(),
                digest: Digest::of(b""),
            }]),
            ..Plan::default()
        };
        assert_eq!(
            plan_text(&first, &[], &Heading::default(), Colour::Never),
            "First start: these manifests lie here beside the components' own, and are known from now on:\n  \
             kube-vip.yaml (SHA-256 e3b0c442...)\n\nNothing to change.\n"
        );
    }

    #[test]
    fn a_change_in_flight_comes_first_with_its_next_step() {
        let plan = Plan {
            in_flight: Some(Progress {
                change: Digest::of(b"x"),
                act: Act::SetMode {
                    path: samples::path("/etc/x"),
                    from: Mode::from_bits(0o644),
                    to: Mode::from_bits(0o600),
                },
                step: Step::Refuse {
                    fault: Fault {
                        why: "no".to_owned(),
                        last_words: vec![],
                        flag: None,
                    },
                    recovered: false,
                },
            }),
            ..Plan::default()
        };
        let text = plan_text(&plan, &[], &Heading::default(), Colour::Never);
        assert_eq!(
            text,
            "A change that was begun earlier comes first:\n  mode of /etc/x: 0644 -> 0600; it is recorded as refused by the \
             node: no; the component is not healthy again yet\n\nNothing to change.\n"
        );
    }
}
