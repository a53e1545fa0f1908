//! From text to [`EncryptionConfig`], accepted and refused as upstream's strict decoder and validation do.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::config::{EncryptionConfig, Entry, NamedKey, ProviderEntry};
use super::config_kms::kms;
use super::error::{ParseError, ParseErrorKind};
use super::fields::Place;
use super::resources::{Covered, ResourcePattern, overlap};
use super::tree::document_of;
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
    configuration(Place::root(text, &document))
}

fn configuration(root: Place<'_>) -> Result<EncryptionConfig, ParseError> {
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

#[cfg(test)]
#[path = "config_parse_tests.rs"]
mod tests;
