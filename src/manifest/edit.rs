//! The lossless editor: all changes of one manifest in one call, exact or refused.

use super::flags::NotUnderstood;
use super::guard;
use super::splice::Draft;
use super::view::ParseError;
use super::yaml;
use crate::domain::{Component, FlagName, NodePath};

/// One change of a manifest. A change that is already so changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// The flag is given once, with this value: in the place of its last occurrence and in its form, else on a line of
    /// its own after the last flag.
    SetFlag {
        /// The flag.
        name: FlagName,
        /// Its value.
        value: String,
    },
    /// One more occurrence of a flag that accumulates, unless one with this value is there.
    InsertFlag {
        /// The flag.
        name: FlagName,
        /// Its value.
        value: String,
    },
    /// No occurrence of the flag.
    RemoveFlag {
        /// The flag.
        name: FlagName,
    },
    /// A `hostPath` volume of the pod.
    AddVolume {
        /// The volume's name.
        name: String,
        /// The path on the node.
        path: NodePath,
        /// `hostPath.type`, or nothing.
        kind: String,
    },
    /// A mount of the component's container.
    AddMount {
        /// The volume's name.
        volume: String,
        /// Where the container sees it.
        path: NodePath,
        /// True when the container must not write to it.
        read_only: bool,
    },
}

/// A manifest that is not edited. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No pod can be read from it.
    #[error("{0}")]
    NotAManifest(ParseError),
    /// Its flags are not known for certain.
    #[error("{0}")]
    CommandLine(NotUnderstood),
    /// It is written in a way that is not edited.
    #[error("{what}{}", line.map(|line| format!(" (line {line})")).unwrap_or_default())]
    Shape {
        /// Which way.
        what: String,
        /// Where, from 1.
        line: Option<usize>,
    },
    /// A volume of that name is there, and is another.
    #[error("the pod has another volume named {name}")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Something else is mounted there.
    #[error("something else is mounted at {path}")]
    MountTaken {
        /// The path in the container.
        path: NodePath,
    },
    /// A guard did not let the result pass.
    #[error("{0}")]
    Guard(&'static str),
}

/// The text after all `edits`. Comments, order, quoting, indentation and line ends stay as they are.
///
/// # Errors
/// When the manifest is not understood for certain, or the result would not be exactly what was asked.
pub fn edit(text: &str, component: Component, edits: &[Edit]) -> Result<String, Refusal> {
    let document = yaml::text_of(text.as_bytes())
        .and_then(yaml::document_of)
        .map_err(Refusal::NotAManifest)?;
    // A merge key makes one text mean things in several places: such a manifest is edited by hand.
    if let Some(offset) = document.merge_key {
        return Err(Refusal::Shape {
            what: "it uses a merge key (<<)".to_owned(),
            line: Some(yaml::position(text, offset).0),
        });
    }
    let mut draft = Draft::new(text.to_owned());
    for edit in edits {
        draft.apply(component, edit)?;
    }
    guard::same_meaning(document.value, &draft.text, component, edits)?;
    guard::only_announced_lines(text, &draft)?;
    Ok(draft.text)
}
