//! Encryption at rest, told. Of keys only names and fingerprints.

use serde_json::{Value, json};

use super::ExitClass;
use super::json::SCHEMA_VERSION;
use super::paint::{self, Colour, printable, wrapped};
use crate::at_rest::{AtRest, Configured, Remark, Weight};
use crate::census::{Held, Resource};
use crate::domain::{Fact, KeyId};
use crate::encryption::Link;

/// Letters in a line of running text.
const WIDTH: usize = 96;

/// What the remarks come to.
#[must_use]
pub fn at_rest_exit(remarks: &[Remark]) -> ExitClass {
    match remarks.iter().map(|remark| remark.weight).max() {
        Some(Weight::Wrong) => ExitClass::Drift,
        Some(Weight::Unknown) => ExitClass::Unknown,
        Some(Weight::Note | Weight::Good) | None => ExitClass::Compliant,
    }
}

/// For people.
#[must_use]
pub fn at_rest_text(found: &AtRest, remarks: &[Remark], colour: Colour) -> String {
    let mut text = String::new();
    if let Fact::Known(configured) = &found.configured {
        text += &configuration(configured, colour);
    }
    if let Fact::Known(census) = &found.census {
        text += &format!(
            "{}\n",
            colour.paint(
                paint::STRONG,
                &format!("Stored values (etcd revision {})", census.revision)
            )
        );
        let rows: Vec<[String; 4]> = census
            .iter()
            .map(|(resource, held, tally)| {
                [
                    resource_name(resource),
                    held_name(held),
                    tally.objects.to_string(),
                    size(tally.bytes),
                ]
            })
            .collect();
        let width = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2), width(3)];
        for [resource, held, objects, bytes] in &rows {
            let [a, b, c, d] = widths;
            text += &format!(
                "  {:a$}  {:b$}  {objects:>c$}  {bytes:>d$}\n",
                printable(resource),
                printable(held)
            );
        }
        if rows.is_empty() {
            text += "  none\n";
        }
        text.push('\n');
    }
    for remark in remarks {
        let (word, shade) = words(remark.weight);
        let what = wrapped(&printable(&remark.what), "        ", WIDTH);
        text += &format!("{}  {}", colour.paint(shade, word), what.trim_start());
        if !remark.remedy.is_empty() {
            text += &wrapped(&printable(&remark.remedy), "        ", WIDTH);
        }
    }
    text
}

fn configuration(configured: &Configured, colour: Colour) -> String {
    let title = format!("{} (SHA-256 {}...)", configured.file, configured.digest.short());
    let mut text = format!("{}\n", colour.paint(paint::STRONG, &printable(&title)));
    for entry in &configured.config.entries {
        let resources: Vec<String> = entry.resources.iter().map(ToString::to_string).collect();
        text += &format!("  {}\n", printable(&resources.join(", ")));
        for (index, link) in entry.links().enumerate() {
            let role = if index == 0 { "writes" } else { "reads" };
            text += &format!("    {role:6}  {}\n", printable(&link_name(&link)));
        }
    }
    let reload = if configured.reload {
        "the API server looks at it once a minute"
    } else {
        "the API server loads it when it starts"
    };
    text += &format!("  {reload}\n\n");
    text
}

fn link_name(link: &Link<'_>) -> String {
    match link {
        Link::Identity => "identity (plaintext)".to_owned(),
        Link::Kms(kms) => format!("KMS {} {}", kms.version().name(), kms.name),
        Link::Key { provider, key } => format!(
            "{provider}:{} ({} bits, fingerprint {})",
            key.name,
            key.secret.expose().len() * 8,
            key.secret.fingerprint()
        ),
    }
}

fn resource_name(resource: &Resource) -> String {
    match resource {
        Resource::Api(resource) => resource.to_string(),
        Resource::NoEndpoint(kind) => format!("{} (no endpoint)", kind.resource()),
        Resource::Unmapped(path) => format!("{path} (not known)"),
    }
}

fn held_name(held: &Held) -> String {
    match held {
        Held::Under(KeyId::Identity) => "plaintext".to_owned(),
        Held::Under(key) => key.to_string(),
        Held::UnknownKey { provider, name } => format!("{provider}:{name} (not in the configuration)"),
        Held::Kms => "KMS".to_owned(),
        Held::Malformed => "does not decrypt".to_owned(),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

const fn words(weight: Weight) -> (&'static str, paint::Shade) {
    match weight {
        Weight::Good => ("ok    ", paint::GOOD),
        Weight::Note => ("note  ", paint::NOTE),
        Weight::Unknown => ("?     ", paint::WARNING),
        Weight::Wrong => ("WRONG ", paint::BAD),
    }
}

/// For programs: `report` is `encryption`, `exitCode` as the process ends with.
#[must_use]
pub fn at_rest_json(found: &AtRest, remarks: &[Remark], rotation: Option<Value>) -> String {
    let configuration = found.configured.known().map(|configured| {
        let entries: Vec<Value> = configured
            .config
            .entries
            .iter()
            .map(|entry| {
                json!({
                    "resources": entry.resources.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "keys": entry.links().map(|link| link_json(&link)).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({
            "file": configured.file, "sha256": configured.digest, "mountedAlone": configured.mounted_alone,
            "automaticReload": configured.reload, "entries": entries,
        })
    });
    let census = found.census.known().map(|census| {
        let values: Vec<Value> = census.iter().map(|(resource, held, tally)| {
            json!({ "resource": resource_name(resource), "key": held_name(held), "objects": tally.objects, "bytes": tally.bytes })
        }).collect();
        json!({ "revision": census.revision, "complete": census.complete, "decrypted": found.decrypted, "values": values })
    });
    let remarks_json: Vec<Value> = remarks
        .iter()
        .map(|remark| {
            let weight = match remark.weight {
                Weight::Good => "good",
                Weight::Note => "note",
                Weight::Unknown => "unknown",
                Weight::Wrong => "wrong",
            };
            json!({ "weight": weight, "what": remark.what, "remedy": remark.remedy })
        })
        .collect();
    let report = json!({
        "schemaVersion": SCHEMA_VERSION, "report": "encryption", "exitCode": at_rest_exit(remarks).code(),
        "configuration": configuration, "loaded": found.loaded.known(), "census": census, "remarks": remarks_json, "rotation": rotation,
    });
    format!("{report:#}\n")
}

fn link_json(link: &Link<'_>) -> Value {
    match link {
        Link::Identity => json!({ "key": "identity" }),
        Link::Kms(kms) => json!({ "kms": kms.name }),
        Link::Key { provider, key } => json!({
            "key": format!("{provider}:{}", key.name), "bits": key.secret.expose().len() * 8, "fingerprint": key.secret.fingerprint().to_string(),
        }),
    }
}
