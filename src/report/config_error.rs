//! A refused configuration, shown in its text.

use super::paint::{self, Colour, printable};
use crate::config::ConfigError;

/// As much of a line as is shown.
const WIDTH: usize = 160;

/// The error with the line that it is about and a mark below the place. `file` is what the operator calls it.
#[must_use]
pub fn config_error_text(error: &ConfigError, file: &str, text: &str, colour: Colour) -> String {
    let message = colour.paint(paint::STRONG, &printable(&error.message));
    let mut shown = printable(file);
    if let (Some(line), Some(column)) = (error.line, error.column) {
        shown += &format!(
            ":{line}:{column}: {message}\n{}",
            excerpt(text, line, column, colour)
        );
    } else {
        shown += &format!(": {message}\n");
    }
    if let Some(hint) = &error.hint {
        shown += &format!("  {} {}\n", colour.paint(paint::NOTE, "hint:"), printable(hint));
    }
    shown
}

/// The line and, below it, the mark. What stands before the mark is as wide as what it stands under.
fn excerpt(text: &str, line: usize, column: usize, colour: Colour) -> String {
    let content = text
        .split('\n')
        .nth(line.saturating_sub(1))
        .unwrap_or("")
        .trim_end_matches('\r');
    // Of a very long line, the part round the place.
    let skipped = column.saturating_sub(WIDTH / 2);
    let part = |from: usize, count: usize| -> String {
        let letters: String = content.chars().skip(from).take(count).collect();
        printable(&letters.replace('\t', " "))
    };
    let number = line.to_string();
    let before = part(skipped, column.saturating_sub(1).saturating_sub(skipped))
        .chars()
        .count();
    format!(
        "  {number} | {}\n  {:gap$} | {:before$}{}\n",
        part(skipped, WIDTH),
        "",
        "",
        colour.paint(paint::BAD, "^"),
        gap = number.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn shown(text: &str) -> String {
        config_error_text(
            &parse(text).unwrap_err(),
            "/etc/holdfast/config.yaml",
            text,
            Colour::Never,
        )
    }

    #[test]
    fn the_line_is_shown_with_a_mark_below_the_place() {
        assert_eq!(
            shown("mode: audit\ncontrols:\n  CIS-1.1.1:\n    mdoe: enforce\r\n"),
            "/etc/holdfast/config.yaml:4:5: unknown key \"mdoe\"\n\
             \x20 4 |     mdoe: enforce\n\
             \x20   |     ^\n\
             \x20 hint: did you mean \"mode\"? Allowed here: mode, conditional, value, exception\n"
        );
    }

    #[test]
    fn what_is_about_the_whole_file_shows_no_line() {
        assert_eq!(
            shown(&"#".repeat(300_000)),
            "/etc/holdfast/config.yaml: the file has 300000 bytes, and no configuration over 262144 is read\n"
        );
    }

    #[test]
    fn control_characters_and_long_lines_do_not_spoil_the_terminal() {
        assert_eq!(
            shown("mode: \u{1b}[2J\n"),
            "/etc/holdfast/config.yaml:1:7: the file is not plain text: it holds the control character U+001B\n\
             \x20 1 | mode: \\u{1b}[2J\n\
             \x20   |       ^\n"
        );
        let long = format!(
            "{{ manifests: {{ known: [{}] }}, mood: audit }}\n",
            "a.yaml, ".repeat(500)
        );
        let shown = shown(&long);
        let lines: Vec<&str> = shown.lines().collect();
        let mark = lines[2].find('^').unwrap();
        let below = lines[1].get(mark..).unwrap();
        assert!(
            lines[1].len() < 180 && below.starts_with("mood: audit"),
            "{shown}"
        );
    }
}
