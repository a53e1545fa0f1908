//! YAML in the form of kubeadm's own writer (sigs.k8s.io/yaml, go-yaml 2), so that a text of kubeadm's comes back as it was.
//!
//! Not serde_yaml's writer: it leaves the string `yes` plain, which go-yaml reads as true.

use serde_yaml::{Mapping, Value};

use super::KubeadmConfigError;
use crate::manifest::{is_plain_string, yaml_1_1};

/// The text of the document.
pub(super) fn write(document: &Mapping) -> Result<String, KubeadmConfigError> {
    let mut text = String::new();
    block_mapping(&mut text, 0, document)?;
    Ok(text)
}

/// Writes from a place that is indented already.
fn block_mapping(text: &mut String, indent: usize, mapping: &Mapping) -> Result<(), KubeadmConfigError> {
    for (index, (key, value)) in mapping.iter().enumerate() {
        if index > 0 {
            indented(text, indent);
        }
        text.push_str(&written_key(key)?);
        text.push(':');
        if let Some(inner) = full_mapping(value) {
            text.push('\n');
            indented(text, indent + 2);
            block_mapping(text, indent + 2, inner)?;
        } else if let Some(items) = full_sequence(value) {
            // A list's dashes stand below its key.
            text.push('\n');
            indented(text, indent);
            block_sequence(text, indent, items)?;
        } else {
            text.push(' ');
            text.push_str(&on_one_line(value)?);
            text.push('\n');
        }
    }
    Ok(())
}

fn block_sequence(text: &mut String, indent: usize, items: &[Value]) -> Result<(), KubeadmConfigError> {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            indented(text, indent);
        }
        text.push_str("- ");
        if let Some(inner) = full_mapping(item) {
            block_mapping(text, indent + 2, inner)?;
        } else if let Some(inner) = full_sequence(item) {
            block_sequence(text, indent + 2, inner)?;
        } else {
            text.push_str(&on_one_line(item)?);
            text.push('\n');
        }
    }
    Ok(())
}

fn full_mapping(value: &Value) -> Option<&Mapping> {
    value.as_mapping().filter(|mapping| !mapping.is_empty())
}

fn full_sequence(value: &Value) -> Option<&Vec<Value>> {
    value.as_sequence().filter(|items| !items.is_empty())
}

fn indented(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

fn written_key(key: &Value) -> Result<String, KubeadmConfigError> {
    // Whether such a key was quoted is not known here, and unquoted it is another key to kubeadm.
    if key.as_str().is_some_and(|word| yaml_1_1(word).is_some()) {
        return Err(KubeadmConfigError::NotWritten(
            "a key is a word that YAML 1.1 reads as a number or a boolean",
        ));
    }
    on_one_line(key)
}

/// A scalar, or an empty collection.
fn on_one_line(value: &Value) -> Result<String, KubeadmConfigError> {
    match value {
        Value::Null => Ok("null".to_owned()),
        Value::Bool(boolean) => Ok(boolean.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(word) => Ok(scalar(word)),
        Value::Sequence(items) if items.is_empty() => Ok("[]".to_owned()),
        Value::Mapping(mapping) if mapping.is_empty() => Ok("{}".to_owned()),
        Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => {
            Err(KubeadmConfigError::NotWritten("a key is no plain word"))
        }
    }
}

/// As go-yaml writes it: plain where it reads back as text, in double quotes where it would be something else, or needs escapes, and
/// in single quotes where it would break the syntax.
fn scalar(word: &str) -> String {
    let document_mark = word.starts_with("---") || word.starts_with("...");
    if word.chars().any(needs_escape) || is_something_else(word) {
        double_quoted(word)
    } else if is_plain_string(word) && !document_mark {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "''"))
    }
}

/// True when the plain word would be null, a boolean or a number.
fn is_something_else(word: &str) -> bool {
    let read: Result<Value, _> = serde_yaml::from_str(word);
    let of_1_2 = read.is_ok_and(|value| matches!(value, Value::Null | Value::Bool(_) | Value::Number(_)));
    of_1_2 || yaml_1_1(word).is_some()
}

fn needs_escape(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn double_quoted(word: &str) -> String {
    let mut text = String::from('"');
    for c in word.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            _ if needs_escape(c) => text.push_str(&format!("\\u{:04X}", u32::from(c))),
            _ => text.push(c),
        }
    }
    text.push('"');
    text
}
