//! The checking of what the operator says of single controls and of required flags, held against the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::check::{conditional, control_mode};
use super::nearest::nearest;
use super::raw::Problem;
use super::syntax::quote;
use super::tree::{Content, Key, Node};
use super::values::{entries, expected, fill, insert_once, scalar, text};
use super::{ControlSetting, Exception};
use crate::controls::{CertificateRule, Control, FlagRule, Remedy, Requirement, catalogue};
use crate::domain::{Component, ControlId, FlagName, Mode, NodePath};

type RequiredFlags = BTreeMap<Component, BTreeMap<FlagName, String>>;

const MAX_REASON: usize = 500;
const MAX_FLAG_VALUE: usize = 4096;

/// These decide what is encrypted with which key: an edit at the wrong moment makes Secrets unreadable.
const ENCRYPTION_FLAGS: [&str; 2] = [
    "encryption-provider-config",
    "encryption-provider-config-automatic-reload",
];

/// The settings of single controls.
pub(super) fn settings(
    node: &Node,
    required: &RequiredFlags,
) -> Result<BTreeMap<ControlId, ControlSetting>, Problem> {
    let catalogue = catalogue();
    let mut settings = BTreeMap::new();
    for (key, value) in entries(node, "control ids with their settings")? {
        let (id, control) = known_control(key, &catalogue, required)?;
        let setting = setting(value)?;
        if let (Some(_), Some(node)) = (setting.conditional, value.get("conditional")) {
            let is_conditional = |control: &Control| control.kit().is_some();
            if !control.is_some_and(is_conditional) {
                return Err(Problem::at(node.at, format!("{id} has no conditional remedy"))
                    .hint("`holdfast controls` says which have one".to_owned()));
            }
        }
        if let (Some(given), Some(node)) = (&setting.value, value.get("value")) {
            match control {
                Some(control) => check_value(control, given, node)?,
                None => {
                    return Err(Problem::at(node.at, format!("{id} takes no value here"))
                        .hint("its value stands under requiredFlags".to_owned()));
                }
            }
        }
        let name = format!("the control {id}");
        insert_once(&mut settings, (id, setting), key.at, &name)?;
    }
    Ok(settings)
}

/// The control of that id; none of the catalogue for one that a required flag makes.
fn known_control<'c>(
    key: &Key,
    catalogue: &'c [Control],
    required: &RequiredFlags,
) -> Result<(ControlId, Option<&'c Control>), Problem> {
    let of_required_flags: Vec<String> = required
        .iter()
        .flat_map(|(component, flags)| {
            flags
                .keys()
                .map(move |name| format!("HF-FLAG-{component}.{}", name.as_str()))
        })
        .collect();
    let id = key.text.parse::<ControlId>().ok();
    if let Some(id) = id {
        if let Some(control) = catalogue.iter().find(|control| control.id == id) {
            return Ok((id, Some(control)));
        }
        if of_required_flags
            .iter()
            .any(|known| known.eq_ignore_ascii_case(id.as_str()))
        {
            return Ok((id, None));
        }
    }
    let bare = |control: &'c Control| control.id.as_str();
    let candidates = catalogue
        .iter()
        .map(bare)
        .chain(of_required_flags.iter().map(String::as_str));
    let numbers = key.text.trim_start_matches("CIS-");
    let short = numbers.matches('.').count() < 2 && numbers.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    // A bare number is near a number, not near a short id of another kind.
    let word = if key.text.starts_with(|c: char| c.is_ascii_digit()) {
        format!("CIS-{}", key.text)
    } else {
        key.text.clone()
    };
    let likely = if short {
        "a CIS id has three numbers, like CIS-1.2.15. ".to_owned()
    } else {
        nearest(&word, candidates)
            .map(|meant| format!("did you mean {meant}? "))
            .unwrap_or_default()
    };
    Err(
        Problem::at(key.at, format!("unknown control {}", quote(&key.text)))
            .hint(format!("{likely}`holdfast controls` lists them all")),
    )
}

fn setting(node: &Node) -> Result<ControlSetting, Problem> {
    if let Content::Text { text, .. } = &node.content {
        return Err(expected(node, "keys with values").hint(format!(
            "write {{ mode: {} }} if that is the mode",
            text.escape_debug()
        )));
    }
    let mut setting = ControlSetting::default();
    fill(
        &mut setting,
        node,
        &[
            ("mode", |setting, node| {
                setting.mode = Some(control_mode(node)?);
                Ok(())
            }),
            ("conditional", |setting, node| {
                setting.conditional = Some(conditional(node)?);
                Ok(())
            }),
            ("value", |setting, node| {
                setting.value = Some(scalar(node)?.to_owned());
                Ok(())
            }),
            ("exception", |setting, node| {
                setting.exception = Some(exception(node)?);
                Ok(())
            }),
        ],
    )?;
    Ok(setting)
}

fn check_value(control: &Control, value: &str, node: &Node) -> Result<(), Problem> {
    let id = &control.id;
    match &control.requirement {
        Requirement::Mode { .. } | Requirement::Access { .. } => check_mode(id, value, node),
        Requirement::Flag {
            rule: FlagRule::Is { default, .. },
            ..
        } => {
            let boolean = matches!(default, Some("true" | "false"));
            if boolean && !is_boolean(value) {
                return Err(Problem::at(
                    node.at,
                    format!("{id} takes true or false, not {}", quote(value)),
                ));
            }
            check_flag_value(value, node)
        }
        Requirement::Flag {
            rule: FlagRule::AtLeast { .. },
            ..
        } => match value.parse::<i64>() {
            Ok(number) if number >= 0 => Ok(()),
            _ => Err(Problem::at(
                node.at,
                format!("{id} takes a whole number, not {}", quote(value)),
            )),
        },
        Requirement::Certificates(CertificateRule::TimeLeft { .. }) => match value.parse::<u16>() {
            Ok(_) => Ok(()),
            Err(_) => Err(Problem::at(
                node.at,
                format!(
                    "{id} takes a number of days up to {}, not {}",
                    u16::MAX,
                    quote(value)
                ),
            )),
        },
        Requirement::Flag {
            name,
            rule: FlagRule::IsSet { usual: Some(_) },
            ..
        } => check_file(control, name, value, node),
        Requirement::Flag {
            rule: FlagRule::IsSet { usual: None } | FlagRule::Meets(_),
            ..
        }
        | Requirement::Certificates(CertificateRule::Strong | CertificateRule::OwnEtcdAuthority)
        | Requirement::Kubelet(_)
        | Requirement::EncryptsSecrets
        | Requirement::AuditPolicy
        | Requirement::FlagsOnce
        | Requirement::Reported(_)
        | Requirement::NotWidened
        | Requirement::Cluster(_)
        | Requirement::Owner { .. }
        | Requirement::OwnerAccount { .. }
        | Requirement::Gone { .. }
        | Requirement::Folder(_) => Err(Problem::at(node.at, format!("{id} takes no value"))
            .hint(format!("`holdfast explain {id}` says what it asks"))),
    }
}

/// A file that a conditional remedy names, and whose folder it mounts.
fn check_file(control: &Control, name: &FlagName, value: &str, node: &Node) -> Result<(), Problem> {
    let id = &control.id;
    if let Err(error) = value.parse::<NodePath>() {
        return Err(Problem::at(
            node.at,
            format!("{id} takes the path of a file: {error}"),
        ));
    }
    if let Remedy::Conditional(kit) = control.remedy {
        kit.provision(name, value, &BTreeSet::new())
            .map_err(|error| Problem::at(node.at, format!("{id}: {error}")))?;
    }
    check_flag_value(value, node)
}

fn check_mode(id: &ControlId, value: &str, node: &Node) -> Result<(), Problem> {
    let quoted = matches!(node.content, Content::Text { quoted: true, .. });
    if !quoted {
        // Without quotes 0600 is a text, 600 a number and 0o600 another one, by whom you ask.
        let digits: String = value.trim_start_matches("0o").chars().take(8).collect();
        return Err(
            Problem::at(node.at, format!("{id}: a file mode is written in quotes"))
                .hint(format!("write \"{:0>4}\"", digits.escape_debug().to_string())),
        );
    }
    let parsed: Result<Mode, _> = value.parse();
    parsed.map(|_| ()).map_err(|_| {
        Problem::at(node.at, format!("{id}: {} is no file mode", quote(value)))
            .hint("write three or four octal digits in quotes, like \"0600\"".to_owned())
    })
}

/// The spellings that pflag takes (Go `strconv.ParseBool`).
fn is_boolean(value: &str) -> bool {
    const SPELLINGS: [&str; 12] = [
        "1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False",
    ];
    SPELLINGS.contains(&value)
}

/// An exception in the making.
#[derive(Default)]
struct Draft {
    reason: Option<String>,
    owner: Option<String>,
    until: Option<Timestamp>,
}

fn exception(node: &Node) -> Result<Exception, Problem> {
    let mut draft = Draft::default();
    fill(
        &mut draft,
        node,
        &[
            ("reason", |draft, node| {
                draft.reason = Some(one_line(node, "reason", "say why the drift is accepted")?);
                Ok(())
            }),
            ("owner", |draft, node| {
                draft.owner = Some(one_line(node, "owner", "say who answers for it")?);
                Ok(())
            }),
            ("until", |draft, node| {
                draft.until = Some(until(node)?);
                Ok(())
            }),
        ],
    )?;
    let reason = draft.reason.ok_or_else(|| {
        Problem::at(node.at, "an exception needs a reason")
            .hint("write why: exception: { reason: \"...\" }".to_owned())
    })?;
    Ok(Exception {
        reason,
        owner: draft.owner,
        until: draft.until,
    })
}

fn one_line(node: &Node, what: &str, hint: &str) -> Result<String, Problem> {
    let line = text(node)?.trim();
    if line.is_empty() {
        return Err(Problem::at(node.at, format!("the {what} is empty")).hint(hint.to_owned()));
    }
    if line.chars().count() > MAX_REASON || line.chars().any(char::is_control) {
        return Err(Problem::at(
            node.at,
            format!("the {what} is not one line of at most {MAX_REASON} characters"),
        ));
    }
    Ok(line.to_owned())
}

/// A moment, or a day: then its last second, in UTC.
fn until(node: &Node) -> Result<Timestamp, Problem> {
    let words = scalar(node)?;
    let moment = words.parse::<Timestamp>().ok();
    let last_second = || {
        // Date's own parser takes a date and time too, and would drop the time.
        let date: Date = (words.len() == 10).then(|| words.parse().ok()).flatten()?;
        let evening = date.at(23, 59, 59, 0).to_zoned(TimeZone::UTC).ok()?;
        Some(evening.timestamp())
    };
    moment.or_else(last_second).ok_or_else(|| {
        Problem::at(node.at, format!("{} is no date", quote(words))).hint(
            "write a day like 2027-01-31 (to its end, UTC), or a moment like 2027-01-31T18:00:00Z".to_owned(),
        )
    })
}

/// The flags that the operator requires.
pub(super) fn required_flags(node: &Node) -> Result<RequiredFlags, Problem> {
    let catalogue = catalogue();
    let names = Component::ALL.map(Component::name);
    let mut required = BTreeMap::new();
    for (key, node) in entries(node, "components with their flags")? {
        let component = Component::from_name(&key.text)
            .ok_or_else(|| Problem::unknown_word(key.at, "component", &key.text, &names))?;
        let mut flags = BTreeMap::new();
        for (key, node) in entries(node, "flags with their values")? {
            let name = flag_name(key)?;
            let value = scalar(node)?;
            free_to_require(component, (&name, value), key, &catalogue)?;
            check_flag_value(value, node)?;
            let label = format!("the flag {name}");
            insert_once(&mut flags, (name, value.to_owned()), key.at, &label)?;
        }
        if !flags.is_empty() {
            required.insert(component, flags);
        }
    }
    Ok(required)
}

fn flag_name(key: &Key) -> Result<FlagName, Problem> {
    key.text.parse().map_err(|_| {
        Problem::at(key.at, format!("{} is no flag", quote(&key.text)))
            .hint("write its name without dashes in front, like audit-log-maxage".to_owned())
    })
}

/// True when the control is content with that value, and so does not fight over it.
fn leaves_open(control: &Control, value: &str) -> bool {
    matches!(&control.requirement, Requirement::Flag { rule: FlagRule::Meets(constraint), .. } if constraint.allows(value))
}

/// Refuses a flag that something else decides.
fn free_to_require(
    component: Component,
    (flag, value): (&FlagName, &str),
    key: &Key,
    catalogue: &[Control],
) -> Result<(), Problem> {
    if ENCRYPTION_FLAGS.contains(&flag.as_str()) {
        return Err(
            Problem::at(key.at, format!("{flag} cannot be required here")).hint(
                "it decides which key encrypts the stored Secrets, and belongs to key rotation".to_owned(),
            ),
        );
    }
    let decides = |control: &&Control| {
        let about_it = matches!(&control.requirement, Requirement::Flag { component: its, name, .. } if *its == component && name == flag);
        about_it && control.remedy == Remedy::Restarts && !leaves_open(control, value)
    };
    let Some(control) = catalogue.iter().find(decides) else {
        return Ok(());
    };
    let hint = if control.takes_value() {
        format!(
            "take it out here, and write another value under controls.{}.value",
            control.id
        )
    } else {
        format!(
            "take it out here; `holdfast explain {}` says what holds of it",
            control.id
        )
    };
    let told = format!("{flag} of {component} is decided by the control {}", control.id);
    Err(Problem::at(key.at, told).hint(hint))
}

fn check_flag_value(value: &str, node: &Node) -> Result<(), Problem> {
    if value.len() > MAX_FLAG_VALUE || value.chars().any(char::is_control) {
        return Err(Problem::at(
            node.at,
            format!("the value of a flag is one line of at most {MAX_FLAG_VALUE} bytes"),
        ));
    }
    Ok(())
}
