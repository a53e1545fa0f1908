//! The lossless editor of a KubeletConfiguration: settings are given values, all else stays byte by byte, or nothing is changed. Pure.
//!
//! It edits what kubeadm writes, and what people write in the same way: one document of block style, indented with spaces. The result is
//! read again, and must say what was said before, with these settings.

use serde_json::Value;

use crate::manifest::{document_of, text_of};

/// A setting with the value that it is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewValue {
    /// Its key, as `authentication.anonymous.enabled`.
    pub key: &'static str,
    /// The value: a boolean, a number, a text, or a list of texts.
    pub value: Value,
}

/// A file that is not edited. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not read for certain.
    #[error("{0}")]
    NotRead(String),
    /// It is written in a way that is not edited.
    #[error("{key} stands in the file in a way that is not edited")]
    Shape {
        /// The setting.
        key: &'static str,
    },
    /// The result would say something else, too.
    #[error("the edited file would say something else than it is to say")]
    Guard,
}

/// The text with these settings.
///
/// # Errors
/// When it would not be exactly that.
pub fn edit(text: &str, settings: &[NewValue]) -> Result<String, Refusal> {
    let mut wanted = read(text)?;
    let mut edited = text.to_owned();
    for setting in settings {
        put(&mut wanted, setting)?;
        edited = with(&edited, setting)?;
    }
    if read(&edited)? == wanted {
        Ok(edited)
    } else {
        Err(Refusal::Guard)
    }
}

fn read(text: &str) -> Result<Value, Refusal> {
    let document = text_of(text.as_bytes())
        .and_then(document_of)
        .map_err(|error| Refusal::NotRead(error.to_string()))?;
    serde_json::to_value(&document.value).map_err(|_| Refusal::NotRead("a key is no text".to_owned()))
}

/// What the file is to say.
fn put(document: &mut Value, setting: &NewValue) -> Result<(), Refusal> {
    let shape = || Refusal::Shape { key: setting.key };
    let mut value = document;
    for part in setting.key.split('.') {
        if value.is_null() {
            *value = Value::Object(serde_json::Map::new());
        }
        let keys = value.as_object_mut().ok_or_else(shape)?;
        value = keys.entry(part).or_insert(Value::Null);
    }
    *value = setting.value.clone();
    Ok(())
}

/// A line of the text, without its end.
struct Line<'a> {
    indent: usize,
    /// Without indentation.
    text: &'a str,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        let text = line.trim_start_matches(' ');
        Self {
            indent: line.len() - text.len(),
            text,
        }
    }

    /// True for what says nothing: an empty line or a comment.
    fn is_blank(&self) -> bool {
        self.text.trim().is_empty() || self.text.starts_with('#')
    }

    /// What stands behind `key:`, if this line gives that key.
    fn value_of(&self, key: &str) -> Option<&'a str> {
        let rest = self.text.strip_prefix(key)?.strip_prefix(':')?;
        (rest.is_empty() || rest.starts_with(' ')).then_some(rest)
    }
}

/// The text with one setting more, or another value of it.
fn with(text: &str, setting: &NewValue) -> Result<String, Refusal> {
    let shape = || Refusal::Shape { key: setting.key };
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.iter().any(|line| line.trim_end() == "...") {
        return Err(shape());
    }
    let parts: Vec<&str> = setting.key.split('.').collect();
    // The block that is looked through, and how far its keys are indented.
    let (mut block, mut indent) = (0..lines.len(), 0);
    for (depth, part) in parts.iter().enumerate() {
        let is_last = depth + 1 == parts.len();
        let Some((at, rest)) = find(&lines, block.clone(), indent, part) else {
            let rest = parts.get(depth..).unwrap_or_default();
            let place = end_of(&lines, &block);
            let new = rendered(rest, &setting.value, indent).ok_or_else(shape)?;
            lines.splice(place..place, new);
            return Ok(joined(&lines, end));
        };
        if is_last {
            // A value of several lines is somebody's list.
            let has_more = child_indent(&lines, at + 1, indent).is_some();
            let plain = !rest.trim().is_empty()
                && !rest.trim_start().starts_with(['[', '{', '|', '>', '&', '*', '!']);
            let scalar = inline(&setting.value)
                .filter(|_| plain && !has_more)
                .ok_or_else(shape)?;
            let comment = comment_of(&rest).ok_or_else(shape)?;
            let line = format!("{:indent$}{part}: {scalar}{comment}", "");
            lines.splice(at..=at, [line]);
            return Ok(joined(&lines, end));
        }
        let inner = child_indent(&lines, at + 1, indent);
        if !rest.trim().is_empty() && !rest.trim_start().starts_with('#') {
            return Err(shape());
        }
        let inner = inner.ok_or_else(shape)?;
        let until = (at + 1..block.end)
            .find(|index| {
                let line = Line::of(lines.get(*index).map_or("", String::as_str));
                !line.is_blank() && line.indent <= indent
            })
            .unwrap_or(block.end);
        (block, indent) = (at + 1..until, inner);
    }
    Err(shape())
}

/// The line of a block that gives a key at that indentation.
fn find(
    lines: &[String],
    block: std::ops::Range<usize>,
    indent: usize,
    key: &str,
) -> Option<(usize, String)> {
    block.into_iter().find_map(|index| {
        let line = Line::of(lines.get(index)?);
        let rest = line.value_of(key).filter(|_| line.indent == indent)?;
        Some((index, rest.to_owned()))
    })
}

/// How far the lines below a key are indented, if it has any that are deeper.
fn child_indent(lines: &[String], from: usize, indent: usize) -> Option<usize> {
    let below = lines.iter().skip(from).map(|line| Line::of(line));
    let first = below.into_iter().find(|line| !line.is_blank())?;
    let is_item = first.indent == indent && first.text.starts_with("- ");
    (first.indent > indent || is_item).then_some(first.indent)
}

/// Behind the last line of a block that says something.
fn end_of(lines: &[String], block: &std::ops::Range<usize>) -> usize {
    let says = |index: &usize| lines.get(*index).is_some_and(|line| !Line::of(line).is_blank());
    block
        .clone()
        .rev()
        .find(says)
        .map_or(block.start, |last| last + 1)
}

/// The lines that give a value under these keys.
fn rendered(parts: &[&str], value: &Value, mut indent: usize) -> Option<Vec<String>> {
    let (last, above) = parts.split_last()?;
    let mut lines = Vec::new();
    for part in above {
        lines.push(format!("{:indent$}{part}:", ""));
        indent += 2;
    }
    if let Value::Array(items) = value {
        lines.push(format!("{:indent$}{last}:", ""));
        for item in items {
            lines.push(format!("{:indent$}- {}", "", inline(item)?));
        }
    } else {
        lines.push(format!("{:indent$}{last}: {}", "", inline(value)?));
    }
    Some(lines)
}

/// A value in one word. What is read again decides whether it is the right one.
fn inline(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        // Nothing at all would be null.
        Value::String(value) if value.is_empty() => Some("\"\"".to_owned()),
        Value::String(value) => Some(value.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The comment behind a plain value, with the space before it; `None` where a value is quoted around a `#`.
fn comment_of(rest: &str) -> Option<String> {
    match rest.split_once(" #") {
        None => Some(String::new()),
        Some((value, _)) if value.contains(['"', '\'']) => None,
        Some((value, comment)) => {
            let trimmed = value.trim_end();
            let space = value.get(trimmed.len()..)?;
            Some(format!("{space} #{comment}"))
        }
    }
}

fn joined(lines: &[String], end: &str) -> String {
    let mut text = lines.join(end);
    text.push_str(end);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::manifest::unified_diff;

    const KUBEADM: &str = include_str!("../../tests/world/kubeadm/kubelet-config.yaml");

    fn new(key: &'static str, value: Value) -> NewValue {
        NewValue { key, value }
    }

    /// The changed lines.
    fn diff(text: &str, settings: &[NewValue]) -> Vec<String> {
        let edited = edit(text, settings).unwrap();
        let diff = unified_diff("c", text, &edited);
        let changed = diff.lines().skip(2).filter(|line| line.starts_with(['+', '-']));
        changed.map(str::to_owned).collect()
    }

    #[test]
    fn what_is_not_there_comes_last_and_what_is_there_changes_in_its_place() {
        let settings = [
            new("seccompDefault", json!(true)),
            new("podPidsLimit", json!(4096)),
            new("tlsCipherSuites", json!(["A_B", "C_D"])),
            new("authentication.anonymous.enabled", json!(false)),
            new("rotateCertificates", json!(false)),
            new("staticPodURL", json!("")),
        ];
        assert_eq!(
            diff(KUBEADM, &settings),
            [
                "-rotateCertificates: true",
                "+rotateCertificates: false",
                "+seccompDefault: true",
                "+podPidsLimit: 4096",
                "+tlsCipherSuites:",
                "+- A_B",
                "+- C_D",
                "+staticPodURL: \"\"",
            ]
        );
    }

    #[test]
    fn keys_below_keys_are_found_or_made_where_they_belong() {
        let enabled = new("authentication.anonymous.enabled", json!(false));
        let open = KUBEADM.replace(
            "  anonymous:\n    enabled: false\n",
            "  anonymous:\n    enabled: true   # why not\n",
        );
        assert_eq!(
            diff(&open, std::slice::from_ref(&enabled)),
            [
                "-    enabled: true   # why not",
                "+    enabled: false   # why not"
            ]
        );
        let without = KUBEADM.replace("  anonymous:\n    enabled: false\n", "");
        assert_eq!(
            diff(&without, std::slice::from_ref(&enabled)),
            ["+  anonymous:", "+    enabled: false"]
        );
        assert_eq!(
            edit("kind: KubeletConfiguration\n# end\n", &[enabled]).unwrap(),
            "kind: KubeletConfiguration\nauthentication:\n  anonymous:\n    enabled: false\n# end\n"
        );
    }

    #[test]
    fn what_cannot_be_edited_for_certain_is_refused() {
        let refuses =
            |text: &str, key: &'static str, value: Value| edit(text, &[new(key, value)]).unwrap_err();
        let shape = |key| Refusal::Shape { key };
        let suites = || json!(["A"]);
        assert_eq!(
            refuses("a: 1\ntlsCipherSuites: [B]\n", "tlsCipherSuites", suites()),
            shape("tlsCipherSuites")
        );
        assert_eq!(
            refuses("tlsCipherSuites:\n- B\n", "tlsCipherSuites", suites()),
            shape("tlsCipherSuites")
        );
        assert_eq!(
            refuses(
                "authorization: {mode: AlwaysAllow}\n",
                "authorization.mode",
                json!("Webhook")
            ),
            shape("authorization.mode")
        );
        assert_eq!(refuses("a: 1\n...\n", "b", json!(1)), shape("b"));
        assert!(matches!(
            refuses("{a: 1}\n", "b", json!(1)),
            Refusal::NotRead(_) | Refusal::Guard
        ));
        assert!(matches!(refuses("a: [\n", "b", json!(1)), Refusal::NotRead(_)));
        // Text within a block is no key.
        assert_eq!(
            refuses("a: |\n  b: 1\nb: 2\nc: |\n b: 3\n", "c", json!(1)),
            shape("c")
        );
        // A key that is quoted would be given twice.
        assert!(matches!(
            refuses("\"readOnlyPort\": 1\n", "readOnlyPort", json!(0)),
            Refusal::Guard | Refusal::NotRead(_)
        ));
    }

    #[test]
    fn line_ends_comments_and_a_missing_last_one_are_kept() {
        let edited = edit(
            "a: 1\r\n# x\r\nreadOnlyPort: 10255 # old\r\n",
            &[new("readOnlyPort", json!(0))],
        );
        assert_eq!(edited.unwrap(), "a: 1\r\n# x\r\nreadOnlyPort: 0 # old\r\n");
        assert_eq!(edit("a: 1", &[new("b", json!(true))]).unwrap(), "a: 1\nb: true\n");
    }

    proptest! {
        #[test]
        fn an_edit_says_what_is_wanted_and_no_more_or_is_refused(
            lines in prop::collection::vec("( {0,4})(a|b|readOnlyPort|x):( 1| \"s\"| \\[a\\]| #c|)|- y|#z|", 0..8),
            value in prop_oneof![Just(json!(0)), Just(json!("t")), Just(json!(["u", "v"]))],
        ) {
            let text = lines.join("\n");
            if let Ok(edited) = edit(&text, &[new("readOnlyPort", value.clone())]) {
                let mut wanted = read(&text).unwrap();
                put(&mut wanted, &new("readOnlyPort", value)).unwrap();
                prop_assert_eq!(read(&edited).unwrap(), wanted);
            }
        }
    }
}
