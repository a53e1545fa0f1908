//! Spans of time as Go writes them in flags: `1m0s`, `90s`, `1.5h` (`time.ParseDuration`).

use std::time::Duration;

/// The span of a flag's value; `None` when it is none, is negative or is too long.
#[must_use]
pub fn parse_go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut sum = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(end)?;
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(unit_end)?;
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        sum = sum.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = next;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_go_reads_them() {
        for (text, seconds) in [
            ("0", 0.0),
            ("60s", 60.0),
            ("1m0s", 60.0),
            ("5m", 300.0),
            ("1h2m3s", 3723.0),
            ("1.5h", 5400.0),
            ("+1500ms", 1.5),
            ("10µs", 0.000_01),
        ] {
            let found = parse_go_duration(text).map(|span| span.as_secs_f64());
            assert_eq!(found, Some(seconds), "{text}");
        }
        for text in [
            "",
            "60",
            "-1s",
            "s",
            "1d",
            "1m s",
            "1..5s",
            "never",
            "99999999999999999999h",
            "1€",
        ] {
            assert_eq!(parse_go_duration(text), None, "{text}");
        }
    }
}
