//! Colour, and text that a terminal cannot be fooled with.

/// Whether the reader sees colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colour {
    /// Plain text.
    #[default]
    Never,
    /// ANSI colours (SGR sequences).
    Always,
}

/// An SGR parameter.
pub(super) type Shade = &'static str;

pub(super) const GOOD: Shade = "32";
pub(super) const BAD: Shade = "31";
pub(super) const WARNING: Shade = "33";
pub(super) const NOTE: Shade = "36";
pub(super) const FAINT: Shade = "2";
pub(super) const STRONG: Shade = "1";

impl Colour {
    /// The text in that shade.
    pub(super) fn paint(self, shade: Shade, text: &str) -> String {
        match self {
            Self::Never => text.to_owned(),
            Self::Always => format!("\x1b[{shade}m{text}\x1b[0m"),
        }
    }
}

/// The text with every character escaped that would move the cursor, change the colour or turn the direction of
/// writing: names and values come from the node, and may be an intruder's.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unprintable(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Controls, marks of direction, zero width, line and paragraph separators, the byte order mark. All lie below U+10000.
pub(super) const fn is_unprintable(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    )
}

/// A unified diff, line by line: safe, indented and coloured.
pub(super) fn diff(text: &str, indent: &str, colour: Colour) -> String {
    let line = |line: &str| {
        let safe: String = line.split('\t').map(printable).collect::<Vec<_>>().join("\t");
        let shade = if line.starts_with("---") || line.starts_with("+++") {
            Some(STRONG)
        } else if line.starts_with("@@") {
            Some(NOTE)
        } else if line.starts_with('+') {
            Some(GOOD)
        } else if line.starts_with('-') {
            Some(BAD)
        } else {
            None
        };
        let painted = shade.map_or_else(|| safe.clone(), |shade| colour.paint(shade, &safe));
        format!("{indent}{painted}\n")
    };
    text.lines().map(line).collect()
}

/// The words in lines of at most `width` letters, each behind `indent`. A longer word stands alone.
pub(super) fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let length = line.chars().count() + word.chars().count() + 1;
        if !line.is_empty() && length > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.iter().map(|line| format!("{indent}{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(
            printable("a\u{1b}[2Jb\nc\u{202e}d\u{9b}é✓"),
            "a\\u{1b}[2Jb\\nc\\u{202e}d\\u{9b}é✓"
        );
    }

    #[test]
    fn a_diff_is_coloured_by_line_and_keeps_its_tabs() {
        let text = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n a\tb\n-old\u{1b}\n+new\n";
        assert_eq!(
            diff(text, "  ", Colour::Never),
            "  --- a/x\n  +++ b/x\n  @@ -1 +1 @@\n   a\tb\n  -old\\u{1b}\n  +new\n"
        );
        assert_eq!(
            diff("-old\n+new\n", "", Colour::Always),
            "\u{1b}[31m-old\u{1b}[0m\n\u{1b}[32m+new\u{1b}[0m\n"
        );
    }

    #[test]
    fn words_are_wrapped_and_none_is_lost() {
        assert_eq!(wrapped("one two  three", "  ", 7), "  one two\n  three\n");
        assert_eq!(wrapped("longerthanthat a", "", 3), "longerthanthat\na\n");
    }

    proptest! {
        #[test]
        fn nothing_unprintable_is_left(text in any::<String>()) {
            prop_assert!(printable(&text).chars().all(|c| !c.is_control()));
        }
    }
}
