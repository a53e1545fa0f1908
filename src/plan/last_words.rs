//! The last words of a component that did not come back: its last error lines, and the flag that they name.

use super::redact::redact;
use crate::domain::PodLog;
use crate::journal::{Fault, RefusedFlag};

/// So many lines are kept.
const LINES: usize = 5;

/// So many characters of a line are kept.
const CHARACTERS: usize = 400;

/// The fault that a component's logs tell of; the newest run that has anything to tell is believed. `logs` come newest
/// first.
#[must_use]
pub fn fault_in(why: String, logs: &[PodLog], flags: &[RefusedFlag]) -> Fault {
    let errors = logs
        .iter()
        .map(|log| lines(log, is_error))
        .find(|errors| !errors.is_empty());
    // Only an error line is believed to name a flag: the usage text that follows it names every flag there is.
    let flag = errors
        .iter()
        .flatten()
        .rev()
        .find_map(|line| flag_in(line, flags))
        .cloned();
    let spoken = errors.or_else(|| {
        let any = |log| lines(log, |line| !line.trim().is_empty());
        logs.iter().map(any).find(|lines| !lines.is_empty())
    });
    let mut last_words: Vec<String> = spoken
        .unwrap_or_default()
        .into_iter()
        .rev()
        .take(LINES)
        .map(shown)
        .collect();
    last_words.reverse();
    Fault {
        why,
        last_words,
        flag,
    }
}

/// The lines of a log that are meant, without the bodies of keys and certificates.
fn lines(log: &PodLog, is_meant: impl Fn(&str) -> bool) -> Vec<&str> {
    let mut in_pem = false;
    let mut meant = Vec::new();
    for line in &log.lines {
        let begins = line.rfind("-----BEGIN");
        let ends = line.rfind("-----END");
        if (!in_pem || begins.is_some()) && is_meant(line) {
            meant.push(line.as_str());
        }
        in_pem = match (begins, ends) {
            (Some(begin), Some(end)) => begin > end,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => in_pem,
        };
    }
    meant
}

/// True for a line by which a component says that something failed: klog's `E` and `F`, cobra's and Go's messages, and the
/// levels of structured logs.
fn is_error(line: &str) -> bool {
    const STARTS: [&str; 9] = [
        "error:",
        "panic:",
        "fatal:",
        "fatal error:",
        "runtime error:",
        "unknown flag:",
        "invalid argument ",
        "invalid value ",
        "flag provided but not defined:",
    ];
    const LEVELS: [&str; 4] = ["error", "fatal", "panic", "dpanic"];
    let lower = line.trim_start().to_ascii_lowercase();
    let klog = line.strip_prefix(['E', 'F']).is_some_and(|rest| {
        rest.chars().take_while(char::is_ascii_digit).count() == 4 && rest.chars().nth(4) == Some(' ')
    });
    klog || STARTS.iter().any(|start| lower.starts_with(start))
        || LEVELS.iter().any(|level| {
            let json = [
                format!("\"level\":\"{level}\""),
                format!("\"level\": \"{level}\""),
            ];
            json.iter().any(|field| lower.contains(field))
                || names(&lower, &format!("level={level}")).is_some()
        })
}

/// The flag that the line names: by its dashes, else by its bare name together with its value. Of several the first.
fn flag_in<'a>(line: &str, flags: &'a [RefusedFlag]) -> Option<&'a RefusedFlag> {
    let dashed = |flag: &RefusedFlag| {
        let name = flag.name.as_str();
        let underscored = name.replace('-', "_");
        // etcd writes one dash.
        [
            format!("--{name}"),
            format!("--{underscored}"),
            format!("-{name}"),
        ]
        .iter()
        .find_map(|written| names(line, written))
    };
    let bare = |flag: &RefusedFlag| {
        let at = names(line, flag.name.as_str())?;
        let has_value = flag.value.len() > 1 && names(line, &flag.value).is_some();
        has_value.then_some(at)
    };
    let first = |place: &dyn Fn(&RefusedFlag) -> Option<usize>| {
        let placed = flags.iter().filter_map(|flag| Some((place(flag)?, flag)));
        placed.min_by_key(|(at, _)| *at).map(|(_, flag)| flag)
    };
    first(&dashed).or_else(|| first(&bare))
}

/// Where `written` stands in the line, not as a part of a longer word.
fn names(line: &str, written: &str) -> Option<usize> {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    line.match_indices(written).map(|(at, _)| at).find(|at| {
        let before = line.get(..*at).and_then(|before| before.chars().last());
        let after = line
            .get(at + written.len()..)
            .and_then(|after| after.chars().next());
        !before.is_some_and(is_inside) && !after.is_some_and(is_inside)
    })
}

/// The line as it is told: redacted first, so that no cut hides the beginning of a secret from that.
fn shown(line: &str) -> String {
    let plain: String = line
        .trim_end()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let clean = redact(&plain);
    if clean.chars().count() <= CHARACTERS {
        return clean;
    }
    let mut cut: String = clean.chars().take(CHARACTERS - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(lines: &[&str]) -> PodLog {
        PodLog {
            pod_uid: "6f1ed002ab5595859014ebf0951522d9".to_owned(),
            restart: 0,
            modified_ns: 0,
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        }
    }

    fn flag(name: &str, value: &str) -> RefusedFlag {
        RefusedFlag {
            name: name.parse().unwrap(),
            value: value.to_owned(),
        }
    }

    fn fault(logs: &[PodLog], flags: &[RefusedFlag]) -> (Vec<String>, Option<RefusedFlag>) {
        let fault = fault_in("why".to_owned(), logs, flags);
        assert_eq!(fault.why, "why");
        (fault.last_words, fault.flag)
    }

    const PFLAG: &str = "Error: invalid argument \"maybe\" for \"--profiling\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax";

    #[test]
    fn a_usage_text_does_not_hide_the_error_above_it_nor_name_a_flag() {
        let mut lines = vec![PFLAG, "Usage:", "  kube-apiserver [flags]"];
        let usage = "      --audit-log-path string   If set, all requests will be logged to this file. --v";
        lines.extend(std::iter::repeat_n(usage, 190));
        let flags = [flag("audit-log-path", "/x"), flag("profiling", "maybe")];
        assert_eq!(
            fault(&[log(&lines)], &flags),
            (vec![PFLAG.to_owned()], Some(flag("profiling", "maybe")))
        );
    }

    #[test]
    fn each_way_of_naming_a_flag_is_understood() {
        let flags = [
            flag("foo", "bar"),
            flag("audit-log-maxage", "3000"),
            flag("audit-log-maxage-x", "1"),
        ];
        for (line, expected) in [
            ("Error: unknown flag: --foo", Some(0)),
            ("flag provided but not defined: -foo", Some(0)),
            ("invalid value \"x\" for flag -foo: parse error", Some(0)),
            (
                "{\"level\":\"fatal\",\"msg\":\"bad\",\"error\":\"flag provided but not defined: -foo\"}",
                Some(0),
            ),
            (
                "E0921 12:34:56.789012       1 run.go:72] \"command failed\" err=\"--audit-log-maxage must be less\"",
                Some(1),
            ),
            ("panic: audit_log_maxage", None),
            ("Error: --audit_log_maxage is bad", Some(1)),
            ("F0921 12:34:56.789012       1 x.go:1] foo cannot be bar", Some(0)),
            ("Error: food bar", None),
            ("Error: --foo-bar", None),
            (
                "I0921 12:34:56.789012       1 flags.go:64] FLAG: --foo=\"bar\"",
                None,
            ),
        ] {
            let expected = expected.map(|index: usize| flags[index].clone());
            assert_eq!(fault(&[log(&[line])], &flags).1, expected, "{line}");
        }
    }

    #[test]
    fn the_newest_run_with_an_error_is_believed_and_its_last_five_errors_kept() {
        let newest = log(&["I0921 12:34:56.789012       1 a.go:1] starting"]);
        let before = log(&[
            "E0921 12:34:56.000001       1 a.go:1] one",
            "E0921 12:34:56.000002       1 a.go:1] two",
            "W0921 12:34:56.000003       1 a.go:1] no error",
            "{\"level\":\"error\",\"msg\":\"three\"}",
            "time=\"x\" level=fatal msg=four",
            "panic: five",
            "goroutine 1 [running]:",
            "fatal error: six",
        ]);
        let older = log(&["panic: long ago"]);
        let (words, flag) = fault(&[newest, before, older], &[]);
        assert_eq!(
            words,
            [
                "E0921 12:34:56.000002       1 a.go:1] two",
                "{\"level\":\"error\",\"msg\":\"three\"}",
                "time=\"x\" level=fatal msg=four",
                "panic: five",
                "fatal error: six",
            ]
        );
        assert_eq!(flag, None);
    }

    #[test]
    fn a_log_without_an_error_line_gives_its_last_lines_and_no_flag() {
        let lines = ["1 --foo", "2", "", "3", "4", "5", "6 --foo", " "];
        assert_eq!(
            fault(&[log(&[]), log(&lines)], &[flag("foo", "bar")]),
            (["2", "3", "4", "5", "6 --foo"].map(str::to_owned).to_vec(), None)
        );
        assert_eq!(fault(&[], &[]), (vec![], None));
    }

    #[test]
    fn lines_are_redacted_cut_and_free_of_control_characters() {
        let long = format!("Error: \u{1b}[31m{}", "ab ".repeat(300));
        let (words, _) = fault(&[log(&[&long, "Error: password=hunter2"])], &[]);
        assert_eq!(words[0].chars().count(), 400);
        assert!(words[0].starts_with("Error:  [31mab ab") && words[0].ends_with('…'));
        assert_eq!(words[1], "Error: password=[REDACTED]");
    }

    #[test]
    fn the_body_of_a_key_is_never_among_the_last_lines() {
        let lines = [
            "reading",
            "-----BEGIN RSA PRIVATE KEY-----",
            "MIIEpAIB",
            "-----END RSA PRIVATE KEY-----",
            "read",
        ];
        let (words, _) = fault(&[log(&lines)], &[]);
        assert_eq!(words, ["reading", "[REDACTED]", "read"]);
    }

    proptest! {
        #[test]
        fn any_log_gives_at_most_five_short_lines(lines in proptest::collection::vec(".{0,600}", 0..12)) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let (words, _) = fault(&[log(&lines)], &[flag("v", "2")]);
            prop_assert!(words.len() <= 5 && words.iter().all(|line| line.chars().count() <= 400));
        }
    }
}
