//! The configuration as it is written, and its checking.

use super::Config;

/// A configuration that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// Line, from 1; `None` when it is about the whole file.
    pub line: Option<usize>,
    /// Column, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead, if that can be guessed.
    pub hint: Option<String>,
}

/// The configuration of a text.
///
/// # Errors
/// Says what is wrong, and where.
pub fn parse(_text: &str) -> Result<Config, ConfigError> {
    Ok(Config::default())
}
