//! What is no YAML, or no text: said so that it can be mended.

use super::raw::Problem;

/// Larger configurations are not read; the shipped one has 3 KiB.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// The text of a file's bytes.
pub(super) fn text_of(bytes: &[u8]) -> Result<&str, Problem> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Problem::whole("the file is UTF-16").hint("save it as UTF-8".to_owned()));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        Problem::whole(format!(
            "the file is not text: byte {} is no UTF-8",
            error.valid_up_to() + 1
        ))
        .hint("save it as UTF-8".to_owned())
    })
}

/// Refuses a text that is too large, or holds what no configuration holds.
pub(super) fn plain_text(text: &str) -> Result<(), Problem> {
    if text.len() > MAX_BYTES {
        let size = text.len();
        return Err(Problem::whole(format!(
            "the file has {size} bytes, and no configuration over {MAX_BYTES} is read"
        )));
    }
    if text.starts_with('\u{feff}') {
        return Err(Problem::at(0, "the file begins with a byte order mark")
            .hint("save it as UTF-8 without a byte order mark (BOM)".to_owned()));
    }
    let strange = text
        .char_indices()
        .find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    match strange {
        Some((at, c)) => Err(Problem::at(
            at,
            format!(
                "the file is not plain text: it holds the control character U+{:04X}",
                u32::from(c)
            ),
        )),
        None => Ok(()),
    }
}

/// Refuses a second document.
pub(super) fn several_documents(text: &str) -> Problem {
    let mut at = 0;
    let mut begun = false;
    let mut second = None;
    for line in text.split_inclusive('\n') {
        let marker = line.starts_with("---") || line.starts_with("...");
        if marker && begun {
            second = Some(at);
            break;
        }
        begun |= !line.trim().is_empty() && !line.starts_with(['#', '%']);
        at += line.len();
    }
    let problem = second.map_or_else(
        || Problem::whole("the file holds several YAML documents"),
        |at| Problem::at(at, "a second YAML document begins here"),
    );
    problem.hint("keep one document: take the line --- out".to_owned())
}

/// What the parser refuses. It never names a place before the one at fault, but often one long after it.
pub(super) fn not_yaml(text: &str, error: &serde_yaml::Error) -> Problem {
    let words = error.to_string();
    let end = error
        .location()
        .and_then(|location| offset_of(text, location.line(), location.column()));
    if let Some(tab) = tab_before(text, end) {
        return Problem::at(tab, "a tab indents the line, which YAML does not allow")
            .hint("use spaces".to_owned());
    }
    let (problem, context) = words.split_once(", while ").unwrap_or((&words, ""));
    let problem = problem.split(" at line ").next().unwrap_or(problem);
    let hint = hint_for(text, problem, context, end);
    // What was never closed is at fault where it was opened.
    let opened = ["quoted scalar", "flow sequence", "flow mapping"]
        .iter()
        .any(|what| context.contains(what));
    let at = if opened {
        position_in(text, context).or(end)
    } else {
        end
    };
    let message = format!("this is not YAML: {problem}");
    let found = at.map_or_else(
        || Problem::whole(message.clone()),
        |at| Problem::at(at, message.clone()),
    );
    match hint {
        Some(hint) => found.hint(hint.to_owned()),
        None => found,
    }
}

fn hint_for(text: &str, problem: &str, context: &str, at: Option<usize>) -> Option<&'static str> {
    if context.contains("quoted scalar") {
        let escape = problem.contains("escape");
        return Some(if escape {
            "in double quotes a backslash begins an escape: double it, or use single quotes"
        } else {
            "the quote that opens here is not closed"
        });
    }
    if context.contains("flow sequence") || context.contains("flow mapping") {
        return Some("the bracket that opens here is not closed, or a comma is missing");
    }
    if problem.contains("cannot start any token") {
        let special = at
            .and_then(|at| text.get(at..))
            .is_some_and(|rest| rest.starts_with(['@', '`', '%']));
        return special.then_some("write the text in quotes");
    }
    if problem.contains("mapping values are not allowed") {
        return Some("check the indentation; a text that holds \": \" is written in quotes");
    }
    (problem.contains("did not find expected") || context.contains("simple key"))
        .then_some("check the indentation, and that each key ends in a colon and a space")
}

/// The first tab that indents a line, up to the line of `end`.
fn tab_before(text: &str, end: Option<usize>) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if end.is_some_and(|end| at > end) {
            return None;
        }
        let white = line.len() - line.trim_start_matches([' ', '\t']).len();
        let tab = line.get(..white).and_then(|white| white.find('\t'));
        if let (Some(tab), false) = (tab, line.trim().is_empty()) {
            return Some(at + tab);
        }
        at += line.len();
    }
    None
}

/// The place that the parser's words name last: `... at line 3 column 8`.
fn position_in(text: &str, words: &str) -> Option<usize> {
    let (_, place) = words.rsplit_once(" at line ")?;
    let (line, column) = place.split_once(" column ")?;
    offset_of(text, line.parse().ok()?, column.parse().ok()?)
}

/// The offset in bytes of a line and a column, both from 1, the column in characters.
fn offset_of(text: &str, line: usize, column: usize) -> Option<usize> {
    let mut at = 0;
    for (index, content) in text.split_inclusive('\n').enumerate() {
        if index + 1 == line {
            let before: usize = content
                .chars()
                .take(column.saturating_sub(1))
                .map(char::len_utf8)
                .sum();
            return Some(at + before);
        }
        at += content.len();
    }
    Some(text.len())
}

/// The line, from 1, of an offset in bytes.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

/// The column, from 1, in characters, of an offset in bytes.
pub(super) fn column_of(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.rsplit('\n').next().unwrap_or("").chars().count() + 1
}

/// A text of the operator's in quotes: short, and without what a terminal would obey.
pub(super) fn quote(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("\"{}\"", short.escape_debug())
}
