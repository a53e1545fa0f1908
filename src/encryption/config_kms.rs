//! A `kms` element: checked as upstream checks it, and carried.

use super::config::{Kms, KmsVersion};
use super::error::{ParseError, ParseErrorKind};
use super::fields::Place;
use super::tree::Content;

/// A `kms` element. `earlier` are the names of those before it.
pub(super) fn kms(place: Place<'_>, earlier: &[String]) -> Result<Kms, ParseError> {
    let fields = place.fields(&["apiVersion", "name", "cachesize", "endpoint", "timeout"])?;
    let refused = |field: &'static str, why| fields.get(field).error(ParseErrorKind::Kms(why));
    let api_version = match fields.get("apiVersion").text()? {
        "" => None,
        "v1" => Some(KmsVersion::V1),
        "v2" => Some(KmsVersion::V2),
        _ => return Err(refused("apiVersion", "only v1 and v2 are supported")),
    };
    let name = fields.get("name").text()?.to_owned();
    if name.is_empty() {
        return Err(refused("name", "a KMS provider needs a name"));
    }
    let v2 = api_version == Some(KmsVersion::V2);
    if v2 && name.contains(':') {
        return Err(refused(
            "name",
            "the name of a KMS v2 provider must not contain ':'",
        ));
    }
    if v2 && earlier.contains(&name) {
        return Err(refused("name", "the name of a KMS v2 provider must be its own"));
    }
    let cache_size = cache_size(&fields.get("cachesize"))?;
    match (v2, cache_size) {
        (true, Some(_)) => return Err(refused("cachesize", "KMS v2 has no cachesize")),
        (false, Some(0)) => return Err(refused("cachesize", "cachesize must not be 0")),
        _ => {}
    }
    let endpoint = fields.get("endpoint").text()?.to_owned();
    let is_unix = endpoint
        .split_once(':')
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("unix"));
    if !is_unix || endpoint.chars().any(char::is_control) {
        return Err(refused("endpoint", "the endpoint must be a unix: URL"));
    }
    let timeout = fields.get("timeout");
    let timeout = match timeout.content() {
        None => None,
        Some(_) => Some(timeout.text()?.to_owned()),
    };
    if timeout
        .as_ref()
        .is_some_and(|timeout| !is_positive_duration(timeout))
    {
        return Err(refused(
            "timeout",
            "the timeout must be a positive duration, as 3s",
        ));
    }
    Ok(Kms {
        api_version,
        name,
        cache_size,
        endpoint,
        timeout,
    })
}

fn cache_size(place: &Place<'_>) -> Result<Option<i32>, ParseError> {
    match place.content() {
        None => Ok(None),
        Some(Content::Integer(size)) => i32::try_from(*size)
            .map(Some)
            .map_err(|_| place.error(ParseErrorKind::Expected("a smaller number"))),
        Some(_) => Err(place.error(ParseErrorKind::Expected("a number"))),
    }
}

/// True for what Go's `time.ParseDuration` takes, if it is more than nothing.
fn is_positive_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanoseconds = 0.0_f64;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 6e10,
            "h" => 3.6e12,
            _ => return false,
        };
        let Ok(number) = number.parse::<f64>() else {
            return false;
        };
        nanoseconds += (number * scale).trunc();
        rest = tail;
    }
    (1.0..9.2e18).contains(&nanoseconds)
}
