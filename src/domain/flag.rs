//! The name of a command-line flag of a component, as pflag normalises it.

use std::fmt;
use std::str::FromStr;

/// A flag's name without leading dashes, with `-` for `_`
/// (component-base `cli/flag.WordSepNormalizeFunc`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlagName(String);

/// A text that is no flag name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a flag name: write letters, digits and dashes, like profiling")]
pub struct InvalidFlagName(pub String);

impl FlagName {
    /// The name without dashes in front.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FlagName {
    type Err = InvalidFlagName;

    /// Accepts the name with or without leading dashes, with `_` for `-`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_prefix("--").unwrap_or(text).replace('_', "-");
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        let plain = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        if starts_well && plain && name.len() <= 100 {
            return Ok(Self(name));
        }
        Err(InvalidFlagName(text.to_owned()))
    }
}

impl fmt::Display for FlagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{}", self.0)
    }
}

impl serde::Serialize for FlagName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for FlagName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
