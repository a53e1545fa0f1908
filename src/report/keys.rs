//! The keys that Holdfast knows of, by name and fingerprint.

use serde_json::{Value, json};

use super::exit::ExitClass;
use super::json::SCHEMA_VERSION;
use super::paint::{self, Colour, printable};
use crate::domain::Reason;
use crate::rotate::{KeyPlace, KnownKey};

/// The keys, for a reader. `unknown`: why those in use are not among them.
#[must_use]
pub fn keys_text(keys: &[KnownKey], unknown: Option<&Reason>, colour: Colour) -> String {
    let missing = unknown.map_or_else(String::new, |why| {
        let why = printable(&why.to_string());
        format!("Which keys are in use cannot be told: {why}\n")
    });
    if keys.is_empty() && unknown.is_some() {
        return missing + "No key is in the key store.\n";
    }
    if keys.is_empty() {
        return "No key: everything is stored in plaintext, and none was retired.\n".to_owned();
    }
    let width = |cell: &dyn Fn(&KnownKey) -> String| {
        let longest = keys.iter().map(|key| cell(key).chars().count()).max();
        longest.unwrap_or_default()
    };
    let names = width(&|key| printable(&key.id.to_string()).to_string());
    let mut text = colour.paint(paint::STRONG, "Keys");
    text.push('\n');
    for key in keys {
        let name = printable(&key.id.to_string()).to_string();
        text += &format!("  {name:names$}  {}  {}\n", key.fingerprint, place(&key.place));
    }
    text += "\nA retained file is itself an EncryptionConfiguration: an API server that is started with it reads old snapshots of etcd.\n\
             Keep it as long as such a snapshot is kept. Nothing is removed by itself.\n";
    missing + &text
}

fn place(place: &KeyPlace) -> String {
    match place {
        KeyPlace::Writes => "in use: it writes".to_owned(),
        KeyPlace::Reads => "in use: it only reads".to_owned(),
        KeyPlace::Retained(path) => format!("retired, kept in {path}"),
        KeyPlace::Stored(path) => format!("made by Holdfast, stored in {path}"),
    }
}

/// What the list comes to.
#[must_use]
pub const fn keys_exit(unknown: Option<&Reason>) -> ExitClass {
    match unknown {
        Some(_) => ExitClass::Unknown,
        None => ExitClass::Compliant,
    }
}

/// The keys, for a program. `unknown`: why those in use are not among them.
#[must_use]
pub fn keys_json(keys: &[KnownKey], unknown: Option<&Reason>) -> String {
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| {
            let (place, file) = match &key.place {
                KeyPlace::Writes => ("writes", None),
                KeyPlace::Reads => ("reads", None),
                KeyPlace::Retained(path) => ("retained", Some(path)),
                KeyPlace::Stored(path) => ("stored", Some(path)),
            };
            json!({
                "key": key.id.to_string(), "fingerprint": key.fingerprint.to_string(), "place": place, "file": file,
            })
        })
        .collect();
    let report = json!({
        "schemaVersion": SCHEMA_VERSION, "report": "encryption-keys", "exitCode": keys_exit(unknown).code(), "keys": keys,
        "inUseUnknown": unknown.map(ToString::to_string),
    });
    format!("{report:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{KeyId, Provider, SecretKey};

    fn known() -> Vec<KnownKey> {
        let key = |name: &str, byte: u8, place| KnownKey {
            id: KeyId::Key {
                provider: Provider::Aescbc,
                name: name.parse().unwrap(),
            },
            fingerprint: SecretKey::new(zeroize::Zeroizing::new(vec![byte; 32])).fingerprint(),
            place,
        };
        let path = |name: &str| format!("/var/lib/holdfast/{name}.yaml").parse().unwrap();
        vec![
            key("key1", 1, KeyPlace::Retained(path("retained/key-1"))),
            key("hf1-0badcafe", 2, KeyPlace::Writes),
        ]
    }

    #[test]
    fn a_key_is_told_by_name_fingerprint_and_place() {
        let text = keys_text(&known(), None, Colour::Never);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Keys");
        assert!(lines[1].starts_with("  aescbc:key1          "), "{text}");
        assert!(
            lines[1].ends_with("  retired, kept in /var/lib/holdfast/retained/key-1.yaml"),
            "{text}"
        );
        assert!(lines[2].ends_with("  in use: it writes"), "{text}");
        let read: Value = serde_json::from_str(&keys_json(&known(), None)).unwrap();
        assert_eq!(read["keys"][0]["place"], "retained");
        assert_eq!(read["keys"][1]["file"], Value::Null);
        assert_eq!(
            (&read["exitCode"], &read["inUseUnknown"]),
            (&json!(0), &Value::Null)
        );
        assert!(keys_text(&[], None, Colour::Never).contains("plaintext"));
    }

    #[test]
    fn the_key_store_is_listed_where_the_configuration_cannot_be_read_and_nothing_is_said_of_plaintext() {
        let why = Reason::new("it is no YAML");
        let text = keys_text(&known(), Some(&why), Colour::Never);
        assert!(
            text.starts_with("Which keys are in use cannot be told: it is no YAML\nKeys\n"),
            "{text}"
        );
        assert!(text.contains("aescbc:key1"), "{text}");
        assert!(!keys_text(&[], Some(&why), Colour::Never).contains("plaintext"));
        let read: Value = serde_json::from_str(&keys_json(&known(), Some(&why))).unwrap();
        assert_eq!(
            (&read["exitCode"], &read["inUseUnknown"]),
            (&json!(3), &json!("it is no YAML"))
        );
    }
}
