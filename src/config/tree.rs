//! The configuration's text as a tree in which everything knows its place.
//!
//! `serde_yaml` says what the text means, and refuses what is no YAML; yaml-edit's lossless tree says where each key
//! and value stands, and how it was written: `1.10` is a key of four letters here, and no number.

use std::str::FromStr;

use serde::Deserialize;
use serde_yaml::Value;
use yaml_edit::{Mapping, YamlFile, YamlNode};

use super::raw::Problem;
use super::syntax;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Offset in bytes of its first letter; of its key's, when it has none.
    pub(super) at: usize,
    pub(super) content: Content,
}

/// What a value is, as YAML has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Nothing,
    Text {
        text: String,
        quoted: bool,
    },
    /// Its text as it was written.
    Number(String),
    Boolean {
        value: bool,
        text: String,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    Tagged,
}

/// A key and its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) at: usize,
    pub(super) text: String,
}

impl Node {
    /// The value of that key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Content::Map(entries) = &self.content else {
            return None;
        };
        entries
            .iter()
            .find(|(known, _)| known.text == key)
            .map(|(_, node)| node)
    }

    /// What it is, in words.
    pub(super) fn noun(&self) -> &'static str {
        match &self.content {
            Content::Nothing => "nothing",
            Content::Text { .. } => "a text",
            Content::Number(_) => "a number",
            Content::Boolean { .. } => "true or false",
            Content::List(_) => "a list",
            Content::Map(_) => "keys with values",
            Content::Tagged => "a value with a tag",
        }
    }
}

/// The tree of a text that holds at most one YAML document.
pub(super) fn read(text: &str) -> Result<Node, Problem> {
    let nothing = Node {
        at: 0,
        content: Content::Nothing,
    };
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let Some(first) = documents.next() else {
        return Ok(nothing);
    };
    let value = Value::deserialize(first).map_err(|error| refused(text, &error))?;
    if documents.next().is_some() {
        return Err(syntax::several_documents(text));
    }
    let root = located(text);
    Ok(Places { text }.node(value, root.as_ref(), 0))
}

/// Where the text stands, as yaml-edit reads it; `None` when it cannot, and then only the lines above are known.
fn located(text: &str) -> Option<YamlNode> {
    let document = YamlFile::from_str(text).ok()?.documents().next()?;
    let mapping = document.as_mapping().map(YamlNode::Mapping);
    mapping.or_else(|| document.as_sequence().map(YamlNode::Sequence))
}

fn refused(text: &str, error: &serde_yaml::Error) -> Problem {
    let words = error.to_string();
    let duplicate = words.contains("duplicate entry with");
    let found = duplicate.then(|| located(text)).flatten();
    match found.and_then(|root| duplicate_key(text, &root)) {
        Some(problem) => problem,
        None => syntax::not_yaml(text, error),
    }
}

/// The first key that stands twice in one mapping.
fn duplicate_key(text: &str, node: &YamlNode) -> Option<Problem> {
    if let Some(sequence) = node.as_sequence() {
        return sequence.values().find_map(|item| duplicate_key(text, &item));
    }
    let mut seen: Vec<(YamlNode, usize)> = Vec::new();
    for entry in node.as_mapping()?.entries() {
        if let Some(key) = entry.key_node() {
            let at = start(&key);
            if let Some((_, first)) = seen.iter().find(|(other, _)| other.yaml_eq(&key)) {
                let name = slice(text, &key).trim().trim_matches(['"', '\'']);
                return Some(
                    Problem::at(at, format!("the key {} stands twice", syntax::quote(name))).hint(format!(
                        "it stands first in line {}; keep one of them",
                        syntax::line_of(text, *first)
                    )),
                );
            }
            seen.push((key, at));
        }
        if let Some(problem) = entry.value_node().and_then(|value| duplicate_key(text, &value)) {
            return Some(problem);
        }
    }
    None
}

/// Gives the values of a text their places.
struct Places<'a> {
    text: &'a str,
}

impl Places<'_> {
    /// The tree of a value that stands at `place`, or somewhere below `above`.
    fn node(&self, value: Value, place: Option<&YamlNode>, above: usize) -> Node {
        let at = place
            .filter(|node| !slice(self.text, node).trim().is_empty())
            .map_or(above, start);
        let written = place.and_then(|node| self.as_written(node));
        let content = match value {
            Value::Null => Content::Nothing,
            Value::Bool(value) => Content::Boolean {
                value,
                text: written.unwrap_or_else(|| value.to_string()),
            },
            Value::Number(number) => Content::Number(written.unwrap_or_else(|| number.to_string())),
            Value::String(text) => Content::Text {
                // Without a place it cannot be told, and is taken for quoted: that refuses nothing.
                quoted: written.is_none_or(|written| written != text),
                text,
            },
            Value::Sequence(values) => Content::List(self.list(values, place, at)),
            Value::Mapping(mapping) => {
                Content::Map(self.map(mapping, place.and_then(YamlNode::as_mapping), at))
            }
            Value::Tagged(_) => Content::Tagged,
        };
        Node { at, content }
    }

    fn list(&self, values: Vec<Value>, place: Option<&YamlNode>, above: usize) -> Vec<Node> {
        let places: Vec<YamlNode> = place
            .and_then(YamlNode::as_sequence)
            .map(|sequence| sequence.values().collect())
            .filter(|places: &Vec<YamlNode>| places.len() == values.len())
            .unwrap_or_default();
        let mut places = places.iter();
        values
            .into_iter()
            .map(|value| self.node(value, places.next(), above))
            .collect()
    }

    fn map(&self, mapping: serde_yaml::Mapping, place: Option<&Mapping>, above: usize) -> Vec<(Key, Node)> {
        // Both readers keep the order of the text; when they disagree on the number, neither place is trusted.
        let places: Vec<_> = place
            .map(|place| {
                place
                    .entries()
                    .map(|entry| (entry.key_node(), entry.value_node()))
                    .collect()
            })
            .filter(|places: &Vec<_>| places.len() == mapping.len())
            .unwrap_or_default();
        let mut places = places.iter();
        let entries = mapping.into_iter().map(|(key, value)| {
            let (key_place, value_place) = places
                .next()
                .map_or((None, None), |(key, value)| (key.as_ref(), value.as_ref()));
            let at = key_place.map_or(above, start);
            let key = Key {
                at,
                text: self.key_text(&key, key_place),
            };
            (key, self.node(value, value_place, at))
        });
        entries.collect()
    }

    fn key_text(&self, key: &Value, place: Option<&YamlNode>) -> String {
        if let Value::String(text) = key {
            return text.clone();
        }
        let written = place.and_then(|node| self.as_written(node));
        // A key that is no scalar names nothing; its text only stands in the message.
        written.unwrap_or_else(|| serde_yaml::to_string(key).unwrap_or_default().trim().to_owned())
    }

    /// The letters of a scalar, quotes and all.
    fn as_written(&self, node: &YamlNode) -> Option<String> {
        node.as_scalar()
            .map(|_| slice(self.text, node).trim().to_owned())
            .filter(|text| !text.is_empty())
    }
}

fn start(node: &YamlNode) -> usize {
    node.byte_range().start as usize
}

fn slice<'a>(text: &'a str, node: &YamlNode) -> &'a str {
    let range = node.byte_range();
    text.get(range.start as usize..range.end as usize).unwrap_or("")
}
