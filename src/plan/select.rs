//! The controls that the configuration asks for, with its values and its required flags.

use crate::config::{Action, Config, Profile};
use crate::controls::{
    Benchmark, CertificateRule, Control, FlagRule, Remedy, Requirement, catalogue, cis_level,
};
use crate::domain::{Component, ControlId, FlagName, InvalidPath, Mode, NodePath};

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
        let own = setting.and_then(|setting| setting.mode);
        let action = own.unwrap_or(config.mode);
        if action == Action::Off {
            continue;
        }
        let is_mendable = !matches!(control.remedy, Remedy::ReportOnly(_));
        if own.is_none() && is_mendable && !covers(config.profile, &control) {
            control.remedy = Remedy::ReportOnly(left_by(config.profile));
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
                // Whoever writes the flag down wants it, whatever the profile.
                selected.push(Selected { control, action });
            }
        }
    }
    Ok(selected)
}

/// Whether a profile has the control mended. What moves unknown manifests has a switch of its own.
fn covers(profile: Profile, control: &Control) -> bool {
    match profile {
        Profile::Custom => true,
        _ if control.remedy == Remedy::Quarantine => true,
        Profile::Baseline => matches!(control.remedy, Remedy::Safe | Remedy::InPart(_)),
        Profile::CisLevel1 => cis_level(&control.id) == Some(1),
        Profile::CisLevel2 => cis_level(&control.id).is_some(),
        Profile::Stig => !Benchmark::Stig.ids(&control.id).is_empty(),
    }
}

/// What a remedy needs that a profile leaves to the operator.
const fn left_by(profile: Profile) -> &'static str {
    match profile {
        Profile::Baseline => "another profile than baseline, or a mode of its own for this control",
        Profile::CisLevel1 => "another profile than cis-level-1, or a mode of its own for this control",
        Profile::CisLevel2 => "another profile than cis-level-2, or a mode of its own for this control",
        Profile::Stig => "another profile than stig, or a mode of its own for this control",
        Profile::Custom => "a mode of its own for this control",
    }
}

/// The id of the control that a required flag makes.
#[must_use]
#[expect(clippy::expect_used, reason = "flag names hold only what an id may hold")]
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

fn mode_of(value: &str) -> Result<Mode, String> {
    value
        .parse()
        .map_err(|error: crate::domain::InvalidMode| error.to_string())
}

fn with_value(requirement: Requirement, value: &str) -> Result<Requirement, String> {
    match requirement {
        Requirement::Mode { target, .. } => {
            let ceiling = mode_of(value)?;
            Ok(Requirement::Mode { target, ceiling })
        }
        Requirement::Access { target, owner, .. } => {
            let ceiling = mode_of(value)?;
            Ok(Requirement::Access {
                target,
                ceiling,
                owner,
            })
        }
        Requirement::Flag {
            component,
            name,
            rule,
        } => Ok(Requirement::Flag {
            component,
            name,
            rule: rule_with(rule, value)?,
        }),
        Requirement::Certificates(CertificateRule::TimeLeft { authorities, .. }) => {
            let days = value
                .parse()
                .map_err(|_| format!("\"{value}\" is no number of days"))?;
            Ok(Requirement::Certificates(CertificateRule::TimeLeft {
                authorities,
                days,
            }))
        }
        Requirement::Owner { .. }
        | Requirement::OwnerAccount { .. }
        | Requirement::Gone { .. }
        | Requirement::Certificates(CertificateRule::Strong | CertificateRule::OwnEtcdAuthority)
        | Requirement::Kubelet(_)
        | Requirement::EncryptsSecrets
        | Requirement::AuditPolicy
        | Requirement::FlagsOnce
        | Requirement::Reported(_)
        | Requirement::NotWidened
        | Requirement::Cluster(_)
        | Requirement::Folder(_) => Err(NO_VALUE.to_owned()),
    }
}

const NO_VALUE: &str = "this control takes no value";

fn rule_with(rule: FlagRule, value: &str) -> Result<FlagRule, String> {
    match rule {
        FlagRule::Is {
            default, config_key, ..
        } => Ok(FlagRule::Is {
            value: value.to_owned(),
            default,
            config_key,
        }),
        FlagRule::AtLeast { default, with, .. } => {
            let minimum = value
                .parse()
                .map_err(|_| format!("\"{value}\" is not a whole number"))?;
            Ok(FlagRule::AtLeast {
                minimum,
                default,
                with,
            })
        }
        FlagRule::IsSet { usual: Some(_) } => {
            let file: Result<NodePath, InvalidPath> = value.parse();
            file.map_err(|error| error.to_string())?;
            Ok(FlagRule::IsSet {
                usual: Some(value.to_owned()),
            })
        }
        FlagRule::IsSet { usual: None } | FlagRule::Meets(_) => Err(NO_VALUE.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ControlSetting;

    fn with(id: &str, setting: ControlSetting) -> Config {
        Config {
            controls: [(id.parse().unwrap(), setting)].into(),
            ..Config::default()
        }
    }

    fn value(id: &str, value: &str) -> Result<Requirement, InvalidValue> {
        let setting = ControlSetting {
            value: Some(value.to_owned()),
            ..ControlSetting::default()
        };
        let selected = select(&with(id, setting))?;
        let control = selected
            .into_iter()
            .find(|selected| selected.control.id.as_str() == id);
        Ok(control.unwrap().control.requirement)
    }

    #[test]
    fn without_settings_the_whole_catalogue_is_judged_in_the_mode_of_the_node() {
        let selected = select(&Config::default()).unwrap();
        let expected: Vec<Selected> = catalogue()
            .into_iter()
            .map(|control| Selected {
                control,
                action: Action::Audit,
            })
            .collect();
        assert_eq!(selected, expected);
    }

    #[test]
    fn a_controls_own_mode_goes_before_that_of_the_node_and_off_leaves_it_out() {
        let mode = |mode| ControlSetting {
            mode: Some(mode),
            ..ControlSetting::default()
        };
        let enforced = select(&with("CIS-1.2.15", mode(Action::Enforce))).unwrap();
        let actions: Vec<&str> = enforced
            .iter()
            .filter(|selected| selected.action == Action::Enforce)
            .map(|selected| selected.control.id.as_str())
            .collect();
        assert_eq!(actions, ["CIS-1.2.15"]);
        let off = select(&with("CIS-1.2.15", mode(Action::Off))).unwrap();
        assert_eq!(off.len(), catalogue().len() - 1);
        assert!(
            off.iter()
                .all(|selected| selected.control.id.as_str() != "CIS-1.2.15")
        );
    }

    #[test]
    fn a_profile_leaves_the_rest_to_the_operator_unless_a_control_says_otherwise() {
        let left = |profile| {
            let config = Config {
                mode: Action::Enforce,
                profile,
                ..with(
                    "CIS-1.2.14",
                    ControlSetting {
                        mode: Some(Action::Enforce),
                        ..ControlSetting::default()
                    },
                )
            };
            let selected = select(&config).unwrap();
            assert_eq!(selected.len(), catalogue().len(), "all are judged");
            let left = selected
                .into_iter()
                .filter(|selected| selected.control.remedy == Remedy::ReportOnly(left_by(profile)));
            left.map(|selected| selected.control.id.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(left(Profile::Custom), Vec::<String>::new());
        let is = |profile, id: &str| !left(profile).contains(&id.to_owned());
        for (id, profiles) in [
            ("CIS-1.1.1", [true, true, true, true]),
            ("CIS-1.2.15", [false, true, true, false]),
            ("CIS-1.3.2", [false, true, true, true]),
            ("CIS-1.2.12", [false, false, true, false]),
            ("CIS-1.2.14", [true, true, true, true]),
            ("X-API-04", [false, false, false, true]),
            ("X-FILE-01", [true, false, false, false]),
            ("X-FILE-02", [true, true, true, true]),
        ] {
            let [baseline, one, two, stig] = profiles;
            let found = [
                Profile::Baseline,
                Profile::CisLevel1,
                Profile::CisLevel2,
                Profile::Stig,
            ]
            .map(|profile| is(profile, id));
            assert_eq!(found, [baseline, one, two, stig], "{id}");
        }
    }

    #[test]
    fn a_value_takes_the_place_of_the_catalogues() {
        let Requirement::Mode { ceiling, .. } = value("CIS-4.1.1", "0644").unwrap() else {
            panic!("CIS-4.1.1 is about a mode");
        };
        assert_eq!(ceiling, Mode::from_bits(0o644));
        let Requirement::Flag {
            rule: FlagRule::AtLeast { minimum, .. },
            ..
        } = value("CIS-1.2.17", "90").unwrap()
        else {
            panic!("CIS-1.2.17 is about a number");
        };
        assert_eq!(minimum, 90);
        let Requirement::Flag {
            rule: FlagRule::Is { value, default, .. },
            ..
        } = value("CIS-1.2.15", "maybe").unwrap()
        else {
            panic!("CIS-1.2.15 is about a value");
        };
        assert_eq!((value.as_str(), default), ("maybe", Some("true")));
    }

    #[test]
    fn a_value_that_the_control_cannot_take_is_refused_by_its_name() {
        for (id, text, message) in [
            (
                "CIS-1.2.17",
                "long",
                "controls.CIS-1.2.17.value: \"long\" is not a whole number",
            ),
            (
                "CIS-1.1.2",
                "root",
                "controls.CIS-1.1.2.value: this control takes no value",
            ),
            (
                "CIS-1.2.4",
                "/x",
                "controls.CIS-1.2.4.value: this control takes no value",
            ),
            (
                "X-FILE-02",
                "x",
                "controls.X-FILE-02.value: this control takes no value",
            ),
        ] {
            assert_eq!(value(id, text).unwrap_err().to_string(), message);
        }
        let error = value("CIS-1.1.1", "rw-").unwrap_err().to_string();
        assert!(
            error.starts_with("controls.CIS-1.1.1.value: \"rw-\" is not a file mode"),
            "{error}"
        );
    }

    #[test]
    fn required_flags_come_last_and_have_ids_of_their_own() {
        let longest = "a".repeat(100);
        let flags = [("v", "2"), (longest.as_str(), "x")];
        let config = Config {
            required_flags: [(
                Component::ControllerManager,
                flags
                    .map(|(name, value)| (name.parse().unwrap(), value.to_owned()))
                    .into(),
            )]
            .into(),
            ..Config::default()
        };
        let selected = select(&config).unwrap();
        let ids: Vec<String> = selected
            .iter()
            .skip(catalogue().len())
            .map(|selected| selected.control.id.to_string())
            .collect();
        let prefix = "HF-FLAG-KUBE-CONTROLLER-MANAGER.";
        assert_eq!(
            ids,
            [format!("{prefix}{}", "A".repeat(100)), format!("{prefix}V")]
        );
        let control = &selected.last().unwrap().control;
        assert_eq!(control.title, "kube-controller-manager runs with --v=2");
        assert_eq!(control.restarts(), Some(Component::ControllerManager));
    }
}
