//! The id of a control: `CIS-1.2.15` for a row of the CIS benchmark, `X-FILE-02` for a row from another source,
//! `HF-FOLDER-1` for one of ours.

use std::fmt;
use std::str::FromStr;

/// A well-formed control id, upper case. That it names a control of the catalogue is checked there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ControlId(String);

/// A text that cannot be a control id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a control id: write it like CIS-1.2.15, 1.2.15 or X-FILE-02")]
pub struct InvalidControlId(pub String);

impl ControlId {
    /// The id as it is printed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ControlId {
    type Err = InvalidControlId;

    /// Accepts any case, and a bare CIS number.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("CIS-").unwrap_or(&upper);
        let is_number =
            |part: &str| !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
        if bare.contains('.') && bare.split('.').all(is_number) && bare.split('.').count() <= 4 {
            return Ok(Self(format!("CIS-{bare}")));
        }
        let ours = ["X-", "HF-"]
            .iter()
            .any(|prefix| upper.len() > prefix.len() && upper.starts_with(prefix));
        let plain = upper
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"-._:".contains(&b));
        if ours && plain && upper.len() <= 140 {
            return Ok(Self(upper));
        }
        Err(InvalidControlId(text.to_owned()))
    }
}

impl fmt::Display for ControlId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl serde::Serialize for ControlId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for ControlId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_cis_number_and_any_case_name_the_same_control() {
        for text in ["1.2.15", "cis-1.2.15", "CIS-1.2.15"] {
            assert_eq!(text.parse::<ControlId>().unwrap().as_str(), "CIS-1.2.15");
        }
        assert_eq!("x-file-02".parse::<ControlId>().unwrap().as_str(), "X-FILE-02");
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in [
            "",
            "1",
            "CIS-",
            "1..2",
            "1.2.x",
            "FILE-02",
            "X-",
            "X-A B",
            "1.2.3.4.5",
        ] {
            assert!(text.parse::<ControlId>().is_err(), "{text}");
        }
    }
}
