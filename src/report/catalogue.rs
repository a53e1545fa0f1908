//! The catalogue of controls, and one control explained, for people.

use super::paint::{self, Colour, printable, wrapped};
use super::{benchmark, words};
use crate::controls::Control;

/// One line a control: id, what may be done about a drift, our slug, title.
#[must_use]
pub fn controls_text(controls: &[Control], colour: Colour) -> String {
    let id_width = controls
        .iter()
        .map(|control| control.id.as_str().len())
        .max()
        .unwrap_or(0);
    let rule_width = controls
        .iter()
        .map(|control| control.rule.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    let mut section = String::new();
    for control in controls {
        let its_section = words::section(control);
        if its_section != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            text += &format!("{gap}{}\n", colour.paint(paint::STRONG, &its_section));
            section = its_section;
        }
        text += &format!(
            "  {:id_width$}  {:<11}  {:rule_width$}  {}\n",
            control.id,
            words::remedy_class(control.remedy),
            printable(&control.rule),
            printable(&control.title)
        );
    }
    text.push_str(
        "\nsafe: mended, nothing restarts. restarts: mended by an edit that restarts one component. conditional: mended when what\n\
         it needs is proven, and where `conditional: allow` says so. quarantine: moved away if that is turned on. report-only: never changed.\n\
         in-part: modes and owners as safe, the rest as report-only.\n\
         `holdfast explain CONTROL` says why a control matters and how to set it.\n",
    );
    text
}

/// The manual's list of controls, in Markdown: each with why, what must hold, what a remedy costs, and where it comes from.
#[must_use]
pub fn controls_markdown(controls: &[Control]) -> String {
    let mut text = String::from(
        "# Controls\n\nEvery control that Holdfast judges, in the order of `holdfast controls`. `holdfast explain CONTROL` shows one.\n",
    );
    let mut section = String::new();
    for control in controls {
        let its_section = words::section(control);
        if its_section != section {
            text += &format!("\n## {its_section}\n");
            section = its_section;
        }
        text += &format!(
            "\n### {}: {}\n\n`{}`, {}\n",
            control.id,
            control.title,
            control.rule,
            words::remedy_class(control.remedy)
        );
        for (name, body) in parts(control) {
            // Two spaces keep the line's end.
            text += &format!("\n**{name}.** {}\n", body.trim_end().replace('\n', "  \n"));
        }
        text += &format!("\n```yaml\n{}\n```\n", words::configuration(control).trim_end());
    }
    text
}

/// What is told of a control, as far as there is something to tell.
fn parts(control: &Control) -> Vec<(&'static str, String)> {
    let parts = [
        ("Why", control.rationale.to_owned()),
        ("What must hold", words::requirement(&control.requirement)),
        ("Remedy", words::remedy(control)),
        ("Sources", control.sources.to_owned()),
        ("Ids", benchmark::ids_text(&control.id)),
        ("Under --benchmark", benchmark::differences_text(&control.id)),
    ];
    parts.into_iter().filter(|(_, body)| !body.is_empty()).collect()
}

/// Letters in a line of running text.
const WIDTH: usize = 96;

/// Everything about one control.
#[must_use]
pub fn explain_text(control: &Control, colour: Colour) -> String {
    let title = format!("{}  {}", control.id, printable(&control.title));
    let mut text = format!("{}\n", colour.paint(paint::STRONG, &title));
    text += &format!("{}\n", printable(&control.rule));
    for (name, body) in parts(control) {
        let body: String = body
            .lines()
            .map(|line| wrapped(&printable(line), "  ", WIDTH))
            .collect();
        text += &format!("\n{}\n{body}", colour.paint(paint::STRONG, name));
    }
    text += &format!(
        "\n{}\n",
        colour.paint(paint::STRONG, "In /etc/holdfast/config.yaml")
    );
    for line in words::configuration(control).lines() {
        text += &format!("  {}\n", printable(line));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controls::catalogue;
    use crate::report::samples;

    #[test]
    fn every_control_has_one_line_and_every_snippet_is_a_valid_configuration() {
        let controls = catalogue();
        let text = controls_text(&controls, Colour::Never);
        for control in &controls {
            let id = control.id.as_str();
            assert_eq!(
                text.lines()
                    .filter(|line| line.split_whitespace().next() == Some(id))
                    .count(),
                1,
                "{id}"
            );
            let snippet = words::configuration(control);
            let config =
                crate::config::parse(&snippet).unwrap_or_else(|error| panic!("{error:?}\n{snippet}"));
            assert!(
                config.controls.contains_key(&control.id) && crate::plan::select(&config).is_ok(),
                "{id}"
            );
        }
    }

    #[test]
    fn the_manual_has_a_section_for_each_control() {
        let controls = catalogue();
        let text = controls_markdown(&controls);
        for control in &controls {
            let head = format!("\n### {}: ", control.id);
            assert_eq!(text.matches(&head).count(), 1, "{head}");
        }
    }

    #[test]
    fn the_listing_is_aligned() {
        let controls = [samples::control("CIS-1.1.5"), samples::control("X-FILE-02")];
        let text = controls_text(&controls, Colour::Never);
        let expected = "\
CIS 1.1  Files of the control plane
  CIS-1.1.5  safe         file.manifest.kube-scheduler.mode  kube-scheduler manifest is 0600 or stricter

More files
  X-FILE-02  quarantine   folder.no-unknown-manifest         no unknown file lies in the manifests folder
";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn one_control_is_explained_from_why_to_how() {
        assert_eq!(
            explain_text(&samples::control("CIS-1.4.1"), Colour::Never),
            "\
CIS-1.4.1  scheduler profiling is off
scheduler.profiling

Why
  The profiling handlers under /debug/pprof show the inside of the process and can be made to cost
  it dearly. Nothing but profiling needs them.

What must hold
  kube-scheduler runs with --profiling=false. Without the flag it is true. With --config, the key
  enableProfiling of that file decides instead.

Remedy
  Mended by one edit of the manifest of kube-scheduler, which restarts kube-scheduler once. If it
  does not come back healthy within disruption.deadline, the former manifest goes back.

Sources
  CIS Kubernetes Benchmark 1.12; kubernetes apiserver/pkg/server/options

Ids
  CIS 1.8 to 1.12: 1.4.1

In /etc/holdfast/config.yaml
  controls:
    CIS-1.4.1:
      mode: enforce   # or off, or audit
      value: \"false\"
      exception: { reason: \"why its drift is accepted\", until: 2030-01-31 }
"
        );
    }

    #[test]
    fn a_required_flag_is_explained_by_a_valid_configuration_too() {
        let config = crate::config::parse("requiredFlags: { etcd: { max-wals: \"5\" } }").unwrap();
        let selected = crate::plan::select(&config).unwrap();
        let control = &selected.last().unwrap().control;
        let snippet = words::configuration(control);
        assert_eq!(
            snippet,
            "requiredFlags:\n  etcd:\n    max-wals: \"5\"\ncontrols:\n  HF-FLAG-ETCD.MAX-WALS:\n    mode: enforce\n"
        );
        assert!(
            crate::config::parse(&snippet)
                .unwrap()
                .controls
                .contains_key(&control.id)
        );
    }
}
