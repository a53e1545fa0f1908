//! The canonical text of an `EncryptionConfiguration`: the same configuration always gives the same bytes.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::config::{EncryptionConfig, Entry, Kms, NamedKey, ProviderEntry};
use crate::domain::Digest;

const HEAD: &str = "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n";

/// The bytes of the file. What a file written by hand *means* is kept: entries, resources, providers, keys and their order, KMS
/// elements field by field. What does not mean anything is lost: comments, quoting, indentation, anchors (written out) and the
/// old kind `EncryptionConfig`. A file's generation is known by the digest of these bytes: see [`token`].
#[must_use]
pub fn write(config: &EncryptionConfig) -> Zeroizing<Vec<u8>> {
    let mut pieces = Pieces(vec![Zeroizing::new(HEAD.to_owned())]);
    config.entries.iter().for_each(|entry| pieces.entry(entry));
    // Exactly as long as it gets: a vector that grows leaves copies of keys behind.
    let length = pieces.0.iter().map(|piece| piece.len()).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    pieces
        .0
        .iter()
        .for_each(|piece| bytes.extend_from_slice(piece.as_bytes()));
    bytes
}

/// The generation's token: the SHA-256 of the canonical bytes, which the API server shows as the hash of what it has loaded.
#[must_use]
pub fn token(config: &EncryptionConfig) -> Digest {
    Digest::of(&write(config))
}

/// The text in parts, each wiped.
struct Pieces(Vec<Zeroizing<String>>);

impl Pieces {
    fn add(&mut self, piece: String) {
        self.0.push(Zeroizing::new(piece));
    }

    fn entry(&mut self, entry: &Entry) {
        self.add("- resources:\n".to_owned());
        for resource in &entry.resources {
            self.add(format!("  - {}\n", quoted(&resource.to_string())));
        }
        self.add("  providers:\n".to_owned());
        for element in &entry.providers {
            match element {
                ProviderEntry::Identity => self.add("  - identity: {}\n".to_owned()),
                ProviderEntry::Kms(kms) => self.kms(kms),
                ProviderEntry::Keys { provider, keys } => {
                    self.add(format!("  - {provider}:\n      keys:\n"));
                    keys.iter().for_each(|key| self.key(key));
                }
            }
        }
    }

    fn key(&mut self, key: &NamedKey) {
        self.add(format!(
            "      - name: {}\n        secret: \"",
            quoted(key.name.as_str())
        ));
        self.add(BASE64_STANDARD.encode(key.secret.expose()));
        self.add("\"\n".to_owned());
    }

    fn kms(&mut self, kms: &Kms) {
        self.add("  - kms:\n".to_owned());
        let fields = [
            (
                "apiVersion",
                kms.api_version.map(|version| quoted(version.name())),
            ),
            ("name", Some(quoted(&kms.name))),
            ("cachesize", kms.cache_size.map(|size| size.to_string())),
            ("endpoint", Some(quoted(&kms.endpoint))),
            ("timeout", kms.timeout.as_deref().map(quoted)),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                self.add(format!("      {name}: {value}\n"));
            }
        }
    }
}

/// In double quotes, so that no word is taken for a number or a boolean, and with everything but plain ASCII escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        let code = u32::from(c);
        quoted += &match c {
            '"' | '\\' => format!("\\{c}"),
            ' '..='~' => c.to_string(),
            '\0'..='\u{ff}' => format!("\\x{code:02x}"),
            '\u{100}'..='\u{ffff}' => format!("\\u{code:04x}"),
            _ => format!("\\U{code:08x}"),
        };
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encryption::parse;
    use crate::encryption::testing::{bytes_of, config_text};

    #[test]
    fn a_configuration_is_written_in_one_way() {
        let text = config_text(&[
            ("secrets *.apps", "aescbc:a,b kms:k identity"),
            ("*.*", "secretbox:c"),
        ]);
        let config = parse(text.as_bytes()).unwrap();
        let secret = |name: &str| BASE64_STANDARD.encode(bytes_of(name));
        let expected = format!(
            r#"kind: EncryptionConfiguration
apiVersion: apiserver.config.k8s.io/v1
resources:
- resources:
  - "secrets"
  - "*.apps"
  providers:
  - aescbc:
      keys:
      - name: "a"
        secret: "{}"
      - name: "b"
        secret: "{}"
  - kms:
      apiVersion: "v2"
      name: "k"
      endpoint: "unix:///k.sock"
      timeout: "3s"
  - identity: {{}}
- resources:
  - "*.*"
  providers:
  - secretbox:
      keys:
      - name: "c"
        secret: "{}"
"#,
            secret("a"),
            secret("b"),
            secret("c")
        );
        assert_eq!(String::from_utf8(write(&config).to_vec()).unwrap(), expected);
        assert_eq!(token(&config), Digest::of(expected.as_bytes()));
    }

    #[test]
    fn a_text_is_quoted_in_plain_ascii() {
        assert_eq!(
            quoted("a\"\\\n\u{e9}\u{20ac}\u{1f600}"),
            r#""a\"\\\x0a\xe9\u20ac\U0001f600""#
        );
    }
}
