//! The pause: a file that stops every change but recovery, until a moment.

use jiff::Timestamp;

/// A pause that the operator asked for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

/// A pause file that cannot be read. Holdfast then changes nothing, as if it were paused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPause(pub String);

/// The file holds two lines; a larger one is another file.
const MAX_BYTES: usize = 8 * 1024;
const MAX_REASON: usize = 500;

impl Pause {
    /// A pause with a reason that its file can hold.
    ///
    /// # Errors
    /// When the reason is empty, longer than 500 characters, or no single line of text.
    pub fn new(until: Timestamp, reason: &str) -> Result<Self, InvalidPause> {
        let pause = Self {
            until,
            reason: reason.trim().to_owned(),
        };
        // What was written must be what is read again, or the pause would be another one.
        let read = Self::parse(&pause.render())?;
        if read == pause {
            Ok(pause)
        } else {
            Err(InvalidPause(
                "the reason holds characters that cannot be kept: write plain text".to_owned(),
            ))
        }
    }

    /// The pause that a file's text holds.
    ///
    /// # Errors
    /// When the text is no pause.
    pub fn parse(text: &str) -> Result<Self, InvalidPause> {
        if text.len() > MAX_BYTES {
            return Err(InvalidPause(format!(
                "it has {} bytes, and no pause file over {MAX_BYTES} is read",
                text.len()
            )));
        }
        let pause: Self = serde_yaml::from_str(text).map_err(|error| InvalidPause(error.to_string()))?;
        let reason = pause.reason.trim();
        if reason.is_empty() {
            return Err(InvalidPause("it gives no reason".to_owned()));
        }
        if reason.chars().count() > MAX_REASON {
            return Err(InvalidPause(format!(
                "the reason is longer than {MAX_REASON} characters"
            )));
        }
        if reason.chars().any(char::is_control) {
            return Err(InvalidPause("the reason is not one line of text".to_owned()));
        }
        Ok(pause)
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

    /// True until it ends.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn until() -> Timestamp {
        "2026-11-24T03:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_pause_lasts_until_its_end_and_not_longer() {
        let pause = Pause::new(until(), " disk swap ").unwrap();
        assert_eq!(
            pause.render(),
            "until: 2026-11-24T03:00:00Z\nreason: \"disk swap\"\n"
        );
        assert!(pause.is_active("2026-11-24T02:59:59Z".parse().unwrap()));
        assert!(!pause.is_active(until()));
    }

    #[test]
    fn what_is_no_pause_is_refused() {
        let refused = |text: &str| Pause::parse(text).unwrap_err().0;
        assert_eq!(
            refused("until: 2026-11-24T03:00:00Z\nreason: \" \"\n"),
            "it gives no reason"
        );
        assert_eq!(refused("until: 2026-11-24T03:00:00Z\n"), "missing field `reason`");
        assert_eq!(
            refused(&"x".repeat(9000)),
            "it has 9000 bytes, and no pause file over 8192 is read"
        );
        for text in [
            "",
            "until: tomorrow\nreason: x\n",
            "until: 2026-11-24T03:00:00Z\nreason: x\nextra: 1\n",
        ] {
            assert!(Pause::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            Pause::new(until(), "a\nb").unwrap_err().0,
            "the reason is not one line of text"
        );
        assert_eq!(
            Pause::new(until(), &"x".repeat(501)).unwrap_err().0,
            "the reason is longer than 500 characters"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_a_made_pause_is_read_again(text in ".{0,60}") {
            if let Ok(pause) = Pause::new(until(), &text) {
                prop_assert_eq!(Pause::parse(&pause.render()), Ok(pause));
            }
            prop_assert!(Pause::parse(&text).is_err() || text.contains("until"));
        }
    }
}
