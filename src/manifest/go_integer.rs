//! Whole numbers as Go reads them in flags (`strconv.ParseInt` with base 0).

/// The number of a flag's value: `0x1e`, `036` and `0b11110` are 30. `None` when it is none.
#[must_use]
pub fn parse_go_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2), ("0", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((lower.strip_prefix(prefix)?, radix)));
    let (digits, radix) = match prefixed {
        Some((rest, radix)) if !rest.is_empty() => (rest, radix),
        _ => (lower.as_str(), 10),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let number = i64::from_str_radix(digits, radix).ok().filter(|_| plain)?;
    Some(if negative { -number } else { number })
}
