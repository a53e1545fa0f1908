//! Spans of time as people write them: `90s`, `3m`, `2h30m`, `90d`.

use std::time::Duration;

/// A text that is no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is not a duration: write it like 90s, 3m, 2h30m or 90d", .0.escape_debug())]
pub struct InvalidDuration(pub String);

/// The longest span that can be written: 366 days.
const LONGEST_SECONDS: u64 = 366 * 24 * 3600;

/// The span of time of a text: whole numbers with the units `d`, `h`, `m` and `s`, each at most once and in that order.
///
/// # Errors
/// When it is none, is zero, or is over 366 days.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration(text.chars().take(40).collect());
    let mut rest = text;
    let mut seconds: u64 = 0;
    for (unit, factor) in [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            let digits =
                !number.is_empty() && number.len() <= 8 && number.bytes().all(|b| b.is_ascii_digit());
            let number: u64 = if digits {
                number.parse().map_err(|_| invalid())?
            } else {
                return Err(invalid());
            };
            seconds = seconds.saturating_add(number.saturating_mul(factor));
            rest = after;
        }
    }
    if !rest.is_empty() || seconds == 0 || seconds > LONGEST_SECONDS {
        return Err(invalid());
    }
    Ok(Duration::from_secs(seconds))
}

/// The span as [`parse_duration`] reads it; parts of a second are dropped.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 86_400, 'd'),
        (seconds / 3600 % 24, 'h'),
        (seconds / 60 % 60, 'm'),
        (seconds % 60, 's'),
    ];
    let text: String = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written_back() {
        for (text, seconds) in [
            ("90s", 90),
            ("3m", 180),
            ("1h", 3600),
            ("2h30m", 9000),
            ("1h0m1s", 3601),
            ("90d", 7_776_000),
            ("1d12h", 129_600),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for seconds in [1, 59, 60, 61, 3600, 3661, 86_400, 129_600] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in [
            "",
            "0s",
            "3",
            "m",
            "3 m",
            "-3m",
            "+3m",
            "1m1h",
            "3m3m",
            "1.5h",
            "12h1d",
            "99999999999s",
            "9000h",
            "3min",
            "٣m",
        ] {
            assert_eq!(
                parse_duration(text),
                Err(InvalidDuration(text.to_owned())),
                "{text}"
            );
        }
    }
}
