//! What YAML 1.1, as go-yaml 2 reads it, makes of plain words that YAML 1.2 leaves strings.

use serde_yaml::Value;

/// True when go-yaml 2 reads the plain scalar as a string.
pub(crate) fn is_plain_string(word: &str) -> bool {
    let read: Result<Value, _> = serde_yaml::from_str(&format!("- {word}\n"));
    let reads_back = read.is_ok_and(|value| value == Value::Sequence(vec![word.into()]));
    reads_back && yaml_1_1(word).is_none() && word != "<<" && word != "="
}

/// What go-yaml 2 makes of a plain word that YAML 1.2 leaves a string (its resolve.go); `None` when it is one there too.
pub(crate) fn yaml_1_1(word: &str) -> Option<Value> {
    match word {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Some(true.into()),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Some(false.into()),
        _ => {}
    }
    if !word.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '-') {
        return None;
    }
    let digits = word.replace('_', "");
    let negative = digits.starts_with('-');
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(&digits);
    let (radix, rest) = match unsigned.get(..2) {
        Some("0x" | "0X") => (16, unsigned.get(2..)?),
        Some("0o" | "0O") => (8, unsigned.get(2..)?),
        Some("0b" | "0B") => (2, unsigned.get(2..)?),
        _ if unsigned.len() > 1 && unsigned.starts_with('0') => (8, unsigned),
        _ => (10, unsigned),
    };
    if rest.bytes().all(|b| b.is_ascii_hexdigit())
        && let Ok(number) = u64::from_str_radix(rest, radix)
    {
        return match (negative, i64::try_from(number)) {
            (false, _) => Some(number.into()),
            (true, Ok(number)) => Some((-number).into()),
            (true, Err(_)) => None,
        };
    }
    let number_like = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    let float = digits
        .bytes()
        .all(number_like)
        .then(|| digits.parse::<f64>().ok());
    float.flatten().map(Value::from)
}
