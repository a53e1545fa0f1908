//! A line of the journal: the first eight hexadecimal digits of the SHA-256 of the entry, a space, the entry as JSON.

use serde_json::Value;

use super::{Entry, Record};
use crate::domain::Digest;

/// A journal that cannot be trusted. Nothing is changed while it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// A line is damaged.
    #[error(
        "line {line} of the journal is damaged ({why}). Holdfast changes nothing until it is repaired: look at the \
         backups, then move the journal away to start a new one"
    )]
    Damaged {
        /// Line number, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A newer Holdfast wrote it.
    #[error(
        "line {line} of the journal was written by a newer Holdfast (record {record}). Install that version again, \
         or let it finish first"
    )]
    Newer {
        /// Line number, from 1.
        line: usize,
        /// The record that is not known here.
        record: String,
    },
    /// A record that cannot follow the one before it.
    #[error("line {line} of the journal does not follow from the lines before it: {why}")]
    OutOfOrder {
        /// Line number, from 1.
        line: usize,
        /// What does not fit.
        why: String,
    },
}

/// The entry as one line, without the newline.
///
/// # Errors
/// When the entry cannot be written as JSON; no entry of ours is such.
pub fn encode(entry: &Entry) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(entry)?;
    Ok(format!("{} {json}", Digest::of(json.as_bytes()).short()))
}

/// The entries of a journal's lines.
///
/// # Errors
/// Names the first line that is damaged, or that a newer version wrote.
pub fn decode<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<Entry>, JournalError> {
    lines
        .into_iter()
        .enumerate()
        .map(|(index, text)| decode_line(index + 1, text))
        .collect()
}

fn decode_line(line: usize, text: &str) -> Result<Entry, JournalError> {
    let damaged = |why: &str| JournalError::Damaged {
        line,
        why: why.to_owned(),
    };
    let (sum, json) = text
        .split_once(' ')
        .ok_or_else(|| damaged("it has no checksum"))?;
    if Digest::of(json.as_bytes()).short() != sum {
        return Err(damaged("its checksum does not match"));
    }
    // The checksum holds, so what is not understood was written so on purpose: by a version that knows more.
    let written: Value = serde_json::from_str(json).unwrap_or_default();
    let newer = |field: Option<String>| {
        let record = written.get("record").and_then(|record| record.get("record"));
        let record = record.and_then(Value::as_str).unwrap_or("unknown");
        let record = match field {
            None => record.to_owned(),
            Some(field) => format!("{record} with {field}"),
        };
        JournalError::Newer { line, record }
    };
    let entry: Entry = serde_json::from_str(json).map_err(|_| newer(None))?;
    let understood = serde_json::to_value(&entry).map_err(|_| newer(None))?;
    match left_out(&written, &understood) {
        None => Ok(entry),
        // What it says could change what the rest means.
        field => Err(newer(field)),
    }
}

/// The first field of what was written that is not in what was understood of it.
fn left_out(written: &Value, understood: &Value) -> Option<String> {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => {
            let mut fields = written.iter();
            fields.find_map(|(name, value)| match understood.get(name) {
                None => Some(name.clone()),
                Some(understood) => left_out(value, understood),
            })
        }
        (Value::Array(written), Value::Array(understood)) => {
            let mut pairs = written.iter().zip(understood);
            pairs.find_map(|(written, understood)| left_out(written, understood))
        }
        _ => None,
    }
}

impl Entry {
    /// The first entry of a journal.
    #[must_use]
    pub fn opened(at: crate::domain::Instant) -> Self {
        Self {
            at,
            record: Record::Opened {
                holdfast: env!("CARGO_PKG_VERSION").to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BootId, Instant};

    fn entry() -> Entry {
        Entry::opened(Instant {
            wall: "2026-11-24T01:00:00Z".parse().unwrap(),
            boot: BootId("b".to_owned()),
            since_boot_ms: 5,
        })
    }

    #[test]
    fn an_entry_round_trips() {
        let line = encode(&entry()).unwrap();
        assert_eq!(decode([line.as_str()]), Ok(vec![entry()]));
    }

    #[test]
    fn a_changed_byte_is_damage_and_names_the_line() {
        let line = encode(&entry()).unwrap();
        let bad = line.replace("\"opened\"", "\"openex\"");
        let why = "its checksum does not match".to_owned();
        assert_eq!(
            decode([line.as_str(), bad.as_str()]),
            Err(JournalError::Damaged { line: 2, why })
        );
    }

    #[test]
    fn a_record_or_field_of_a_newer_version_is_named_not_dropped() {
        for (ours, theirs, named) in [
            ("\"opened\"", "\"teleported\"", "teleported"),
            ("\"holdfast\":", "\"until\":7,\"holdfast\":", "opened with until"),
            ("\"boot\":", "\"leap\":true,\"boot\":", "opened with leap"),
        ] {
            let json = serde_json::to_string(&entry()).unwrap();
            assert!(json.contains(ours), "{json}");
            let json = json.replace(ours, theirs);
            let line = format!("{} {json}", Digest::of(json.as_bytes()).short());
            let record = named.to_owned();
            assert_eq!(
                decode([line.as_str()]),
                Err(JournalError::Newer { line: 1, record })
            );
        }
    }
}
