//! The pause: a file that stops every change but recovery, until a moment.

/// A pause that the operator asked for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Until when.
    pub until: jiff::Timestamp,
    /// Why.
    pub reason: String,
}

/// A pause file that cannot be read. Holdfast then changes nothing, as if it were paused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPause(pub String);

impl Pause {
    /// The pause that a file's text holds.
    ///
    /// # Errors
    /// When the text is no pause.
    pub fn parse(text: &str) -> Result<Self, InvalidPause> {
        serde_yaml::from_str(text).map_err(|error| InvalidPause(error.to_string()))
    }

    /// The text of its file.
    #[must_use]
    pub fn render(&self) -> String {
        format!(
            "until: {}\nreason: {}\n",
            self.until,
            serde_json::Value::from(self.reason.as_str())
        )
    }
}
