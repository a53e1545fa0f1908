//! The controls that the configuration asks for, with its values and its required flags.

use crate::config::{Action, Config};
use crate::controls::{Control, FlagRule, Remedy, Requirement, catalogue};
use crate::domain::{Component, ControlId, FlagName, Mode};

/// A control that is judged, and what is done about a drift without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// The control, with the operator's value.
    pub control: Control,
    /// Whether the daemon mends it.
    pub action: Action,
}

/// A value that the control cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("controls.{control}.value: {why}")]
pub struct InvalidValue {
    /// The control.
    pub control: ControlId,
    /// Why not.
    pub why: String,
}

/// The controls to judge, in the order of the catalogue; the operator's required flags come last.
///
/// # Errors
/// When a value cannot be taken by its control.
pub fn select(config: &Config) -> Result<Vec<Selected>, InvalidValue> {
    let mut selected = Vec::new();
    for mut control in catalogue() {
        let setting = config.controls.get(&control.id);
        let action = setting.and_then(|setting| setting.mode).unwrap_or(config.mode);
        if action == Action::Off {
            continue;
        }
        if let Some(value) = setting.and_then(|setting| setting.value.as_deref()) {
            let invalid = |why| InvalidValue {
                control: control.id.clone(),
                why,
            };
            control.requirement = with_value(control.requirement, value).map_err(invalid)?;
        }
        selected.push(Selected { control, action });
    }
    for (component, flags) in &config.required_flags {
        for (name, value) in flags {
            let control = required_flag(*component, name, value);
            let own = config.controls.get(&control.id).and_then(|setting| setting.mode);
            let action = own.unwrap_or(config.mode);
            if action != Action::Off {
                selected.push(Selected { control, action });
            }
        }
    }
    Ok(selected)
}

/// The id of the control that a required flag makes.
#[must_use]
#[expect(
    clippy::missing_panics_doc,
    clippy::expect_used,
    reason = "flag names hold only what an id may hold"
)]
pub fn required_flag_id(component: Component, name: &FlagName) -> ControlId {
    format!("HF-FLAG-{component}.{}", name.as_str())
        .parse()
        .expect("a component and a flag make an id")
}

fn required_flag(component: Component, name: &FlagName, value: &str) -> Control {
    Control {
        id: required_flag_id(component, name),
        rule: format!("required.{component}.{}", name.as_str()).into(),
        title: format!("{component} runs with {name}={value}").into(),
        rationale: "The operator requires this flag (requiredFlags in the configuration).",
        remedy: Remedy::Restarts,
        requirement: Requirement::Flag {
            component,
            name: name.clone(),
            rule: FlagRule::Is {
                value: value.to_owned(),
                default: None,
                config_key: None,
            },
        },
        sources: "the configuration of Holdfast",
    }
}

fn with_value(requirement: Requirement, value: &str) -> Result<Requirement, String> {
    match requirement {
        Requirement::Mode { target, .. } => {
            let ceiling: Mode = value
                .parse()
                .map_err(|error: crate::domain::InvalidMode| error.to_string())?;
            Ok(Requirement::Mode { target, ceiling })
        }
        Requirement::Flag {
            component,
            name,
            rule: FlagRule::Is {
                default, config_key, ..
            },
        } => {
            let rule = FlagRule::Is {
                value: value.to_owned(),
                default,
                config_key,
            };
            Ok(Requirement::Flag {
                component,
                name,
                rule,
            })
        }
        Requirement::Flag {
            component,
            name,
            rule: FlagRule::AtLeast { default, with, .. },
        } => {
            let minimum = value
                .parse()
                .map_err(|_| format!("\"{value}\" is not a whole number"))?;
            Ok(Requirement::Flag {
                component,
                name,
                rule: FlagRule::AtLeast {
                    minimum,
                    default,
                    with,
                },
            })
        }
        Requirement::Flag {
            rule: FlagRule::IsSet,
            ..
        }
        | Requirement::Owner { .. }
        | Requirement::OwnerAccount { .. }
        | Requirement::Folder(_) => Err("this control takes no value".to_owned()),
    }
}
