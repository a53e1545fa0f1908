//! The configuration as it is written, and what is said when it is refused.

use super::check;
use super::syntax::{self, column_of, line_of};
use super::tree;
use super::{Config, nearest::nearest};

/// A configuration that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// Line, from 1; `None` when it is about the whole file.
    pub line: Option<usize>,
    /// Column, from 1, in characters.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead, if that can be guessed.
    pub hint: Option<String>,
}

/// The configuration of a text. An empty one is the default.
///
/// # Errors
/// Says what is wrong, and where.
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    read(text).map_err(|problem| problem.locate(text))
}

/// The configuration of a file's bytes, which may be no text.
///
/// # Errors
/// Says what is wrong, and where.
pub fn parse_bytes(bytes: &[u8]) -> Result<Config, ConfigError> {
    let text = syntax::text_of(bytes).map_err(|problem| problem.locate(""))?;
    parse(text)
}

fn read(text: &str) -> Result<Config, Problem> {
    syntax::plain_text(text)?;
    check::config(&tree::read(text)?)
}

/// What is wrong, at an offset of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    at: Option<usize>,
    message: String,
    hint: Option<String>,
}

impl Problem {
    /// About what stands at that offset in bytes.
    pub(super) fn at(at: usize, message: impl Into<String>) -> Self {
        Self {
            at: Some(at),
            message: message.into(),
            hint: None,
        }
    }

    /// About the whole file.
    pub(super) fn whole(message: impl Into<String>) -> Self {
        Self {
            at: None,
            message: message.into(),
            hint: None,
        }
    }

    /// With what to do.
    pub(super) fn hint(self, hint: String) -> Self {
        Self {
            hint: Some(hint),
            ..self
        }
    }

    /// A word that is not one of those allowed here.
    pub(super) fn unknown_word(at: usize, what: &str, word: &str, allowed: &[&str]) -> Self {
        let list = format!("Allowed here: {}", allowed.join(", "));
        let hint = nearest(word, allowed.iter().copied()).map_or_else(
            || list.clone(),
            |meant| format!("did you mean \"{meant}\"? {list}"),
        );
        Self::at(at, format!("unknown {what} {}", syntax::quote(word))).hint(hint)
    }

    fn locate(self, text: &str) -> ConfigError {
        ConfigError {
            line: self.at.map(|at| line_of(text, at)),
            column: self.at.map(|at| column_of(text, at)),
            message: self.message,
            hint: self.hint,
        }
    }
}
