//! The kubelet's effective settings: built-in values, the file of `--config`, the drop-ins of `--config-dir`, and the flags of the running
//! process, each over those before it. Pure.
//!
//! Sources: cmd/kubelet/app/server.go and KEP-3983; what is not plain from them was tried on a kubelet 1.35.4. Drop-ins are JSON merge
//! patches over the file with its defaults filled in, and what they leave empty gets its default again: so `null`, an empty text and a span
//! of zero mean the default in a drop-in as they do in the file (since 1.30). Only a flag can make them real.

mod edit;
mod flags;
mod settings;

use serde_json::Value;

pub use edit::{NewValue, Refusal, edit};
pub use flags::flags_of;
pub use settings::*;

use crate::domain::{ConfigLayer, Fact, FlagName, KubeletFacts, NodePath};
use crate::manifest::{parse_boolean, parse_go_duration, parse_go_integer};

/// A setting of the kubelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Setting {
    /// Its key in a KubeletConfiguration (kubelet.config.k8s.io/v1beta1), as `authentication.anonymous.enabled`; empty where only the flag has it.
    pub key: &'static str,
    /// Its flag; empty where only the file has it.
    pub flag: &'static str,
    /// The type of its values.
    pub kind: Kind,
    /// The built-in value.
    pub default: &'static str,
    /// The built-in value of a kubelet without `--config`, which is another for four settings.
    pub without_file: &'static str,
}

/// The type of a setting's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// `true` or `false`, and true if either the flag or the file says so.
    Either,
    /// A whole number.
    Number,
    /// A text.
    Text,
    /// A span of time.
    Span,
    /// A list of texts.
    List,
}

/// A value, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The value as a text; the items of a list are joined by commas. Empty: nothing.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nothing sets it.
    BuiltIn,
    /// The configuration file.
    File(NodePath),
    /// A drop-in.
    DropIn(NodePath),
    /// A flag of the running process.
    Flag(&'static str),
}

/// What a setting is, and by what. Without a process the files alone say it; a setting that is a flag only is `Unknown` then.
pub fn effective(kubelet: &KubeletFacts, setting: &Setting) -> Fact<Effective> {
    let flags = match flags(kubelet) {
        Fact::Known(flags) => flags,
        Fact::Absent if setting.key.is_empty() => {
            return Fact::unknown("the kubelet does not run, so its flags are not known");
        }
        Fact::Absent => Vec::new(),
        Fact::Unknown(why) => return Fact::Unknown(why),
    };
    match of_flag(&flags, setting) {
        Some(Ok(found)) => Fact::Known(found),
        Some(Err(why)) => Fact::unknown(why),
        None if setting.key.is_empty() => built_in(setting.default),
        None => of_files(kubelet, setting),
    }
}

/// What the file alone makes a setting, whatever drop-ins and flags there are.
pub fn of_file_alone(kubelet: &KubeletFacts, setting: &Setting) -> Fact<Effective> {
    let alone = KubeletFacts {
        drop_ins: Fact::Known(Vec::new()),
        ..kubelet.clone()
    };
    of_files(&alone, setting)
}

/// Whether a feature gate of the kubelet is on: as it is named, else as all gates of its stage are; `None` when nothing says so. Gates are
/// merged one by one, and one that is named anywhere counts over its stage (component-base `featuregate`).
pub fn gate(kubelet: &KubeletFacts, gate: &Setting, stage: &Setting) -> Fact<Option<bool>> {
    let flags = match flags(kubelet) {
        Fact::Known(flags) => flags,
        Fact::Absent => Vec::new(),
        Fact::Unknown(why) => return Fact::Unknown(why),
    };
    for wanted in [gate, stage] {
        let name = wanted.key.rsplit('.').next().unwrap_or_default();
        let given = flags.iter().filter(|(flag, _)| flag.as_str() == "feature-gates");
        let pairs = given.flat_map(|(_, value)| value.split(','));
        let mut named = pairs.filter_map(|pair| pair.split_once('=').filter(|(gate, _)| gate.trim() == name));
        if let Some((_, value)) = named.next_back() {
            return match parse_boolean(value.trim()) {
                Some(is_on) => Fact::Known(Some(is_on)),
                None => Fact::unknown(format!("--feature-gates: {name} is neither true nor false")),
            };
        }
        match of_files(kubelet, wanted) {
            Fact::Known(found) if found.source == Source::BuiltIn => {}
            Fact::Known(found) => return Fact::Known(parse_boolean(&found.value)),
            Fact::Absent => {}
            Fact::Unknown(why) => return Fact::Unknown(why),
        }
    }
    Fact::Known(None)
}

/// The flags of the running kubelet, in order; `Absent` when it does not run.
fn flags(kubelet: &KubeletFacts) -> Fact<Vec<(FlagName, String)>> {
    kubelet
        .process
        .as_ref()
        .and_then(|process| match flags_of(process) {
            Ok(flags) => Fact::Known(flags),
            Err(why) => Fact::unknown(format!("the kubelet's command line is not understood: {why}")),
        })
}

/// What the command line makes of a setting; `None` when it leaves that to the files.
fn of_flag(flags: &[(FlagName, String)], setting: &Setting) -> Option<Result<Effective, String>> {
    let given: Vec<&str> = flags
        .iter()
        .filter(|(name, _)| name.as_str() == setting.flag)
        .map(|(_, value)| value.as_str())
        .collect();
    let last = given.last()?;
    let value = match setting.kind {
        Kind::Boolean | Kind::Either => parse_boolean(last).map(|value| value.to_string()),
        Kind::Number => parse_go_integer(last).map(|value| value.to_string()),
        Kind::Text | Kind::Span => Some((*last).to_owned()),
        // Its occurrences add up.
        Kind::List => Some(given.join(",")),
    };
    let Some(value) = value else {
        let what = format!("--{}={last} is no {}", setting.flag, setting.kind.noun());
        return Some(Err(format!("{what}, and no kubelet starts with that")));
    };
    if setting.kind == Kind::Either && value == "false" {
        return None;
    }
    let source = Source::Flag(setting.flag);
    Some(Ok(Effective { value, source }))
}

fn of_files(kubelet: &KubeletFacts, setting: &Setting) -> Fact<Effective> {
    let mut value = match &kubelet.config {
        Fact::Known(layer) => match said(layer, setting, false) {
            Ok(Said::Value(value)) => Some((value, Source::File(layer.path.clone()))),
            Ok(Said::Nothing | Said::Default) => None,
            Err(why) => return Fact::unknown(why),
        },
        Fact::Absent => None,
        Fact::Unknown(why) => return Fact::Unknown(why.clone()),
    };
    // A kubelet that is down is taken for one of kubeadm's, with a file.
    let without_file = kubelet.config == Fact::Absent && kubelet.process != Fact::Absent;
    let mut default = if without_file {
        setting.without_file
    } else {
        setting.default
    };
    let drop_ins = match &kubelet.drop_ins {
        Fact::Known(drop_ins) => drop_ins.as_slice(),
        Fact::Absent => &[],
        Fact::Unknown(why) => return Fact::Unknown(why.clone()),
    };
    for layer in drop_ins {
        match said(layer, setting, true) {
            Ok(Said::Nothing) => {}
            Ok(Said::Value(said)) => value = Some((said, Source::DropIn(layer.path.clone()))),
            Ok(Said::Default) => (value, default) = (None, setting.default),
            Err(why) => return Fact::unknown(why),
        }
    }
    match value {
        Some((value, source)) => Fact::Known(Effective { value, source }),
        None => built_in(default),
    }
}

fn built_in(value: &str) -> Fact<Effective> {
    Fact::Known(Effective {
        value: value.to_owned(),
        source: Source::BuiltIn,
    })
}

/// What a file says of a setting.
enum Said {
    /// Nothing: what was before it stays.
    Nothing,
    /// That it is as it is built in.
    Default,
    /// This.
    Value(String),
}

/// What a file says of a setting, or why that cannot be told.
///
/// The file is read by the letter of its keys, and others are ignored. The drop-ins are read by Go's JSON package in the end, which takes a
/// key in another case for the right one where the right one is not there, or comes first.
fn said(layer: &ConfigLayer, setting: &Setting, is_drop_in: bool) -> Result<Said, String> {
    let ConfigLayer { path, document, .. } = layer;
    let of_another_type = || {
        let (key, noun) = (setting.key, setting.kind.noun());
        format!("{path}: {key} is no {noun}, and no kubelet starts with that")
    };
    let mut value = document;
    for part in setting.key.split('.') {
        let keys = match value {
            Value::Object(keys) => keys,
            Value::Null => return Ok(Said::Default),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(of_another_type());
            }
        };
        let mut others = keys.keys().filter(|key| is_in_another_case(key, part));
        if let (true, Some(key)) = (is_drop_in, others.next()) {
            return Err(format!(
                "{path}: {key} is not {part} to the letter, and whether the kubelet takes it for that is not told here"
            ));
        }
        match keys.get(part) {
            Some(found) => value = found,
            None => return Ok(Said::Nothing),
        }
    }
    if value.is_null() {
        return Ok(Said::Default);
    }
    let text = setting.kind.text_of(value).ok_or_else(of_another_type)?;
    Ok(if setting.kind.is_default(&text) {
        Said::Default
    } else {
        Said::Value(text)
    })
}

/// As Go's `encoding/json` compares names (`foldName`): two letters beyond ASCII fold to one of it.
fn is_in_another_case(key: &str, wanted: &str) -> bool {
    let folded: String = key
        .chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            other => other.to_ascii_lowercase(),
        })
        .collect();
    key != wanted && folded == wanted.to_ascii_lowercase()
}

impl Kind {
    const fn noun(self) -> &'static str {
        match self {
            Self::Boolean | Self::Either => "boolean",
            Self::Number => "whole number",
            Self::Text => "text",
            Self::Span => "span of time",
            Self::List => "list of texts",
        }
    }

    /// The value of a file as a text; `None` when it is of another type.
    fn text_of(self, value: &Value) -> Option<String> {
        match self {
            Self::Boolean | Self::Either => value.as_bool().map(|value| value.to_string()),
            // `1.0` is a number that is whole, to YAML as to the kubelet.
            Self::Number => match (value.as_i64(), value.as_f64()) {
                (Some(number), _) => Some(number.to_string()),
                (None, Some(number)) if number.fract() == 0.0 => Some(format!("{number:.0}")),
                _ => None,
            },
            Self::Text => value.as_str().map(str::to_owned),
            Self::Span => value.as_str().filter(|text| is_span(text)).map(str::to_owned),
            Self::List => {
                let items: Option<Vec<&str>> = value.as_array()?.iter().map(Value::as_str).collect();
                items.map(|items| items.join(","))
            }
        }
    }

    /// True for a value that a file may as well not have.
    fn is_default(self, text: &str) -> bool {
        match self {
            Self::Text | Self::List => text.is_empty(),
            Self::Span => is_zero(text),
            Self::Boolean | Self::Either | Self::Number => false,
        }
    }
}

fn is_span(text: &str) -> bool {
    parse_go_duration(text.strip_prefix('-').unwrap_or(text)).is_some()
}

fn is_zero(span: &str) -> bool {
    let unsigned = span.strip_prefix('-').unwrap_or(span);
    parse_go_duration(unsigned).is_some_and(|span| span.is_zero())
}

/// True for a span of time above zero, as Go writes it.
#[must_use]
pub fn is_above_zero(span: &str) -> bool {
    parse_go_duration(span).is_some_and(|span| !span.is_zero())
}

#[cfg(test)]
mod tests;
