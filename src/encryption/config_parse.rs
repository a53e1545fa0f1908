//! From text to [`EncryptionConfig`], accepted and refused as upstream's strict decoder and validation do.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::config::{EncryptionConfig, Entry, Kms, KmsVersion, NamedKey, ProviderEntry};
use super::error::{ParseError, ParseErrorKind};
use super::resources::{Covered, ResourcePattern, overlap};
use super::tree::{Content, Node, document_of, position};
use crate::domain::{KeyName, Provider, SecretKey};

/// Larger files are not read: a hundred keys need 16 KiB.
pub const MAX_BYTES: usize = 256 * 1024;

/// Go's `base64.StdEncoding`: padding is required, stray bits in the last digit are not an error.
const GO_BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Reads an `EncryptionConfiguration`, YAML or JSON, as kube-apiserver 1.35 does without automatic reload.
///
/// Some oddities that the API server takes are refused, because they say one thing to a reader and another to the server, or nothing
/// at all: a second document, YAML merge keys (`<<`) and tags of one's own, a byte order mark, a resource without a name, a
/// `cachesize` with a fraction. The YAML reader's own buffers are beyond our reach and are not wiped; everything made here is.
///
/// # Errors
///
/// The first thing that is wrong, by field path, line and column, without a word of the text.
pub fn parse(bytes: &[u8]) -> Result<EncryptionConfig, ParseError> {
    let whole = |kind| ParseError {
        path: String::new(),
        position: None,
        kind,
    };
    if bytes.len() > MAX_BYTES {
        return Err(whole(ParseErrorKind::TooLarge));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(whole(ParseErrorKind::ByteOrderMark));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| whole(ParseErrorKind::NotText))?;
    let document = document_of(text)?;
    let root = Place {
        text,
        path: String::new(),
        node: Some(&document),
        at: document.at,
    };
    configuration(&root)
}

/// A field of the document, present or not, with its path.
struct Place<'d> {
    text: &'d str,
    path: String,
    node: Option<&'d Node<'d>>,
    at: Option<usize>,
}

/// The fields of a mapping, none of them unknown or given twice.
struct Fields<'d>(Place<'d>);

impl<'d> Place<'d> {
    fn error(&self, kind: ParseErrorKind) -> ParseError {
        self.error_at(self.at, kind)
    }

    fn error_at(&self, at: Option<usize>, kind: ParseErrorKind) -> ParseError {
        ParseError {
            path: self.path.clone(),
            position: at.map(|at| position(self.text, at)),
            kind,
        }
    }

    /// What stands there; Go's decoder takes null for absent everywhere.
    fn content(&self) -> Option<&'d Content<'d>> {
        match &self.node?.content {
            Content::Null => None,
            content => Some(content),
        }
    }

    const fn is_absent(&self) -> bool {
        matches!(
            self.node,
            None | Some(Node {
                content: Content::Null,
                ..
            })
        )
    }

    fn fields(self, known: &[&str]) -> Result<Fields<'d>, ParseError> {
        let map = match self.content() {
            None => return Ok(Fields(self)),
            Some(Content::Map(map)) => map,
            Some(_) => return Err(self.error(ParseErrorKind::Expected("a mapping"))),
        };
        let mut seen = Vec::new();
        for field in map {
            let name = match &field.key.content {
                Content::Text(name) => name.as_str(),
                _ => return Err(self.error_at(field.key.at, ParseErrorKind::UnknownField)),
            };
            if !known.contains(&name) {
                return Err(self.error_at(field.key.at, ParseErrorKind::UnknownField));
            }
            if seen.contains(&name) {
                return Err(self.error_at(field.key.at, ParseErrorKind::DuplicateField));
            }
            seen.push(name);
        }
        Ok(Fields(self))
    }

    fn items(&self) -> Result<Vec<Self>, ParseError> {
        let list = match self.content() {
            None => return Ok(Vec::new()),
            Some(Content::List(list)) => list,
            Some(_) => return Err(self.error(ParseErrorKind::Expected("a list"))),
        };
        let item = |(index, node): (usize, &'d Node<'d>)| Place {
            text: self.text,
            path: format!("{}[{index}]", self.path),
            node: Some(node),
            at: node.at.or(self.at),
        };
        Ok(list.iter().enumerate().map(item).collect())
    }

    fn at_least_one(&self, what: &'static str) -> Result<Vec<Self>, ParseError> {
        let items = self.items()?;
        if items.is_empty() {
            return Err(self.error(ParseErrorKind::Missing(what)));
        }
        Ok(items)
    }

    /// The text; empty when absent, as in Go.
    fn text(&self) -> Result<&'d str, ParseError> {
        match self.content() {
            None => Ok(""),
            Some(Content::Text(text)) => Ok(text.as_str()),
            Some(_) => Err(self.error(ParseErrorKind::Expected("a text (in quotes)"))),
        }
    }
}

impl<'d> Fields<'d> {
    fn get(&self, name: &'static str) -> Place<'d> {
        let field = match self.0.content() {
            Some(Content::Map(map)) => map
                .iter()
                .find(|field| matches!(&field.key.content, Content::Text(key) if key.as_str() == name)),
            _ => None,
        };
        let dot = if self.0.path.is_empty() { "" } else { "." };
        Place {
            text: self.0.text,
            path: format!("{}{dot}{name}", self.0.path),
            node: field.map(|field| &field.value),
            at: field
                .and_then(|field| field.value.at.or(field.key.at))
                .or(self.0.at),
        }
    }
}

fn configuration(root: &Place<'_>) -> Result<EncryptionConfig, ParseError> {
    let root = Place {
        path: String::new(),
        ..*root
    };
    let fields = root.fields(&["apiVersion", "kind", "resources"])?;
    let kind = (fields.get("apiVersion").text()?, fields.get("kind").text()?);
    // The second is registered upstream, too: an old error of the documentation that files still carry.
    if !matches!(
        kind,
        ("apiserver.config.k8s.io/v1", "EncryptionConfiguration") | ("v1", "EncryptionConfig")
    ) {
        return Err(fields.get("kind").error(ParseErrorKind::OtherKind));
    }
    let mut kms_names = Vec::new();
    let entries = fields.get("resources").at_least_one("at least one entry")?;
    let entries = entries
        .into_iter()
        .map(|place| entry(place, &mut kms_names))
        .collect::<Result<Vec<_>, _>>()?;
    let mut covered = Covered::default();
    for (index, entry) in entries.iter().enumerate() {
        for pattern in &entry.resources {
            covered.add(pattern).map_err(|problem| ParseError {
                path: format!("resources[{index}].resources"),
                position: None,
                kind: ParseErrorKind::Resource(problem),
            })?;
        }
    }
    Ok(EncryptionConfig { entries })
}

fn entry(place: Place<'_>, kms_names: &mut Vec<String>) -> Result<Entry, ParseError> {
    let fields = place.fields(&["resources", "providers"])?;
    let list = fields.get("resources");
    let pattern = |place: Place<'_>| {
        ResourcePattern::parse(place.text()?)
            .map_err(|problem| place.error(ParseErrorKind::Resource(problem)))
    };
    let resources = list
        .at_least_one("at least one resource")?
        .into_iter()
        .map(pattern)
        .collect::<Result<Vec<_>, _>>()?;
    overlap(&resources).map_err(|problem| list.error(ParseErrorKind::Resource(problem)))?;
    let providers = fields
        .get("providers")
        .at_least_one("at least one provider")?
        .into_iter()
        .map(|place| provider_entry(place, kms_names))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Entry { resources, providers })
}

fn provider_entry(place: Place<'_>, kms_names: &mut Vec<String>) -> Result<ProviderEntry, ParseError> {
    let fields = place.fields(&["aescbc", "aesgcm", "secretbox", "identity", "kms"])?;
    let statics = Provider::ALL.map(|provider| (Some(provider), fields.get(provider.name())));
    let others = ["identity", "kms"].map(|name| (None, fields.get(name)));
    let mut given = statics
        .into_iter()
        .chain(others)
        .filter(|(_, place)| !place.is_absent());
    let Some((provider, chosen)) = given.next() else {
        return Err(fields.0.error(ParseErrorKind::NoProvider));
    };
    if given.next().is_some() {
        return Err(fields.0.error(ParseErrorKind::SeveralProviders));
    }
    if let Some(provider) = provider {
        let keys = chosen
            .fields(&["keys"])?
            .get("keys")
            .at_least_one("at least one key")?;
        let keys = keys
            .into_iter()
            .map(|place| named_key(place, provider))
            .collect::<Result<_, _>>()?;
        return Ok(ProviderEntry::Keys { provider, keys });
    }
    if chosen.path.ends_with(".identity") {
        return chosen.fields(&[]).map(|_| ProviderEntry::Identity);
    }
    let kms = kms(chosen, kms_names)?;
    kms_names.push(kms.name.clone());
    Ok(ProviderEntry::Kms(kms))
}

fn named_key(place: Place<'_>, provider: Provider) -> Result<NamedKey, ParseError> {
    let fields = place.fields(&["name", "secret"])?;
    let name = fields.get("name");
    let name = KeyName::try_from(name.text()?.to_owned())
        .map_err(|_| name.error(ParseErrorKind::Missing("the key's name")))?;
    let place = fields.get("secret");
    let text = place.text()?;
    if text.is_empty() {
        return Err(place.error(ParseErrorKind::Missing("the key's secret")));
    }
    let bytes = decode(text).ok_or_else(|| place.error(ParseErrorKind::NotBase64))?;
    let takes = match (provider, bytes.len()) {
        (Provider::Aescbc | Provider::Aesgcm, 16 | 24 | 32) | (Provider::Secretbox, 32) => None,
        (Provider::Aescbc | Provider::Aesgcm, _) => Some("16, 24 or 32"),
        (Provider::Secretbox, _) => Some("32"),
    };
    if let Some(takes) = takes {
        return Err(place.error(ParseErrorKind::KeyLength {
            bytes: bytes.len(),
            provider,
            takes,
        }));
    }
    Ok(NamedKey {
        name,
        secret: SecretKey::new(bytes),
    })
}

/// Base64 as Go's `StdEncoding` reads it: line breaks anywhere are passed over.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    // Room for all of it at once: a vector that grows leaves copies behind.
    let mut digits = Zeroizing::new(Vec::with_capacity(text.len()));
    digits.extend(text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(digits.len())]);
    let length = GO_BASE64.decode_slice(&*digits, &mut bytes).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

fn kms(place: Place<'_>, earlier: &[String]) -> Result<Kms, ParseError> {
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
    let place = fields.get("cachesize");
    let cache_size = match place.content() {
        None => None,
        Some(Content::Integer(size)) => Some(
            i32::try_from(*size).map_err(|_| place.error(ParseErrorKind::Expected("a smaller number")))?,
        ),
        Some(_) => return Err(place.error(ParseErrorKind::Expected("a number"))),
    };
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
    nanoseconds >= 1.0 && nanoseconds < 9.2e18
}

#[cfg(test)]
#[path = "config_parse_tests.rs"]
mod tests;
