//! What holds of any configuration.

use std::time::Duration;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;

use super::tests::{ValueKind, flag, value_kind};
use super::*;
use crate::controls::{Control, catalogue};

fn any_text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 .:,'\"#{}é-]{0,20}[a-z]"
}

fn any_setting(control: &Control) -> impl Strategy<Value = ControlSetting> + use<> {
    let value = match value_kind(control) {
        ValueKind::Mode => "0[0-7]{3}",
        ValueKind::File => "/x[a-z]{1,5}/[a-z]{1,5}",
        ValueKind::Other => "[01]",
    };
    let word = prop_oneof![Just(Conditional::Report), Just(Conditional::Allow)];
    let is_conditional = control.kit().is_some();
    let conditional = prop::option::of(word).prop_map(move |word| word.filter(|_| is_conditional));
    let modes = prop::option::of(prop_oneof![
        Just(Action::Off),
        Just(Action::Audit),
        Just(Action::Enforce)
    ]);
    let exception = (
        any_text(),
        prop::option::of(any_text()),
        prop::option::of(0..4_000_000_000i64),
    );
    let settings = (
        modes,
        conditional,
        prop::option::of(value),
        prop::option::of(exception),
    );
    settings.prop_map(|(mode, conditional, value, exception)| ControlSetting {
        mode,
        conditional,
        value,
        exception: exception.map(|(reason, owner, until)| Exception {
            reason: reason.trim().to_owned(),
            owner: owner.map(|owner| owner.trim().to_owned()),
            until: until.map(|second| jiff::Timestamp::from_second(second).unwrap()),
        }),
    })
}

fn any_window() -> impl Strategy<Value = Window> {
    let days = prop::sample::subsequence(Weekday::Monday.cycle_forward().take(7).collect::<Vec<_>>(), 1..=7);
    let minute = (0..24i8, 0..60i8).prop_map(|(hour, minute)| Time::constant(hour, minute, 0, 0));
    let zone = prop::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]);
    (days, minute.clone(), minute, zone).prop_map(|(days, from, to, zone)| Window {
        days,
        from,
        to,
        zone: TimeZoneDatabase::bundled().get(zone).unwrap(),
    })
}

fn any_disruption() -> impl Strategy<Value = Disruption> {
    let drain = prop_oneof![
        Just(Drain::Kubelet),
        (1..=30u64).prop_map(|seconds| Drain::After(Duration::from_secs(seconds)))
    ];
    (prop::option::of(any_window()), 10..=300u64, drain).prop_map(|(window, deadline, drain)| Disruption {
        window,
        deadline: Duration::from_secs(deadline),
        drain,
    })
}

fn any_config() -> impl Strategy<Value = Config> {
    let settings: Vec<_> = catalogue()
        .into_iter()
        .map(|control| {
            let takes_value = control.takes_value();
            let setting = any_setting(&control).prop_map(move |setting| ControlSetting {
                value: setting.value.filter(|_| takes_value),
                ..setting
            });
            (Just(control.id), setting)
        })
        .collect();
    let count = settings.len();
    let controls =
        (settings, prop::collection::vec(prop::bool::weighted(0.2), count)).prop_map(|(settings, chosen)| {
            settings
                .into_iter()
                .zip(chosen)
                .filter(|(_, chosen)| *chosen)
                .map(|(setting, _)| setting)
                .collect()
        });
    let flags =
        prop::collection::btree_map("x[a-z0-9-]{0,10}".prop_map(|name| flag(&name)), any_text(), 1..4);
    let required = prop::collection::btree_map(prop::sample::select(Component::ALL.to_vec()), flags, 0..4);
    let folder = (
        prop::collection::vec("[a-z1-9-]{1,10}\\.yaml", 0..3),
        any::<bool>(),
    );
    let disruption = any_disruption();
    let mode = prop_oneof![Just(Action::Audit), Just(Action::Enforce)];
    let conditional = prop_oneof![Just(Conditional::Report), Just(Conditional::Allow)];
    let modes = (mode, conditional, prop::sample::select(Profile::ALL.to_vec()));
    (modes, controls, required, folder, disruption, 10..=3600u64).prop_map(
        |(
            (mode, conditional, profile),
            controls,
            required_flags,
            (known, quarantine),
            disruption,
            full_pass,
        )| {
            Config {
                mode,
                profile,
                conditional,
                controls,
                required_flags,
                manifests: ManifestsFolder { known, quarantine },
                disruption,
                encryption: Config::default().encryption,
                full_pass: Duration::from_secs(full_pass),
                metrics: Metrics::default(),
                api: ApiAccess::default(),
                paths: crate::domain::Paths::default(),
            }
        },
    )
}

const fn word(conditional: Conditional) -> &'static str {
    match conditional {
        Conditional::Report => "report",
        Conditional::Allow => "allow",
    }
}

fn setting_as_json(setting: &ControlSetting) -> serde_json::Value {
    let mut map = serde_json::Map::new();
    if let Some(mode) = setting.mode {
        map.insert("mode".to_owned(), serde_json::to_value(mode).unwrap());
    }
    if let Some(conditional) = setting.conditional {
        map.insert("conditional".to_owned(), word(conditional).into());
    }
    if let Some(value) = &setting.value {
        map.insert("value".to_owned(), value.as_str().into());
    }
    if let Some(exception) = &setting.exception {
        let mut inner = serde_json::json!({ "reason": exception.reason });
        if let Some(owner) = &exception.owner {
            inner["owner"] = owner.as_str().into();
        }
        if let Some(until) = exception.until {
            inner["until"] = until.to_string().into();
        }
        map.insert("exception".to_owned(), inner);
    }
    serde_json::Value::from(map)
}

/// The configuration as JSON, which is YAML too.
fn as_json(config: &Config) -> serde_json::Value {
    let controls: serde_json::Map<_, _> = config
        .controls
        .iter()
        .map(|(id, one)| (id.to_string(), setting_as_json(one)))
        .collect();
    let required: serde_json::Map<_, _> = config
        .required_flags
        .iter()
        .map(|(component, flags)| {
            let flags: serde_json::Map<_, _> = flags
                .iter()
                .map(|(name, value)| (name.to_string(), value.as_str().into()))
                .collect();
            (component.to_string(), flags.into())
        })
        .collect();
    let window = config.disruption.window.as_ref().map(|window| {
        serde_json::json!({
            "days": window.days.iter().map(|day| format!("{day:?}").to_lowercase()).collect::<Vec<_>>(),
            "from": window.from.strftime("%H:%M").to_string(),
            "to": window.to.strftime("%H:%M").to_string(),
            "timeZone": window.zone.iana_name(),
        })
    });
    let drain = match config.disruption.drain {
        Drain::Kubelet => "kubelet".to_owned(),
        Drain::After(time) => format_duration(time),
    };
    serde_json::json!({
        "conditional": word(config.conditional),
        "mode": config.mode,
        "profile": config.profile.name(),
        "controls": controls,
        "requiredFlags": required,
        "manifests": { "known": config.manifests.known, "quarantine": config.manifests.quarantine },
        "disruption": { "window": window, "deadline": format_duration(config.disruption.deadline), "drain": drain },
        "fullPass": format_duration(config.full_pass),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_random_configuration_round_trips_in_block_and_flow_style(config in any_config()) {
        let json = as_json(&config);
        let flow = serde_json::to_string_pretty(&json).unwrap();
        prop_assert_eq!(parse(&flow).map_err(|error| format!("{error:?}\n{flow}")), Ok(config.clone()));
        let block = serde_yaml::to_string(&json).unwrap();
        let read = parse(&block);
        // The block writer quotes no mode: that is the one thing it may be refused for.
        if let Err(error) = &read {
            prop_assert!(error.message.ends_with("a file mode is written in quotes"), "{:?}\n{}", error, block);
        } else {
            prop_assert_eq!(read, Ok(config));
        }
    }

    #[test]
    fn a_misspelt_key_is_found_where_it_stands(
        config in any_config(),
        key in prop::sample::select(vec!["exception", "reason", "until", "quarantine", "deadline", "timeZone", "requiredFlags"]),
    ) {
        let json = as_json(&config);
        let quoted = format!("\"{key}\":");
        for text in [serde_json::to_string_pretty(&json).unwrap(), json.to_string()] {
            let Some(at) = text.find(&quoted) else { continue };
            let spoilt = text.replacen(&quoted, &format!("\"{key}x\":"), 1);
            let before = spoilt.get(..at).unwrap();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
            let error = parse(&spoilt).unwrap_err();
            prop_assert_eq!((error.line, error.column), (Some(line), Some(column)), "{:?}\n{}", error, spoilt);
            prop_assert_eq!(error.message, format!("unknown key \"{key}x\""));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse_bytes(&bytes).is_ok() || !parse_bytes(&bytes).unwrap_err().message.is_empty());
    }

    #[test]
    fn any_text_that_looks_like_yaml_is_read_or_refused(
        text in "(mode|controls|fullPass|1\\.1\\.1|known|[ab?]|[\\[\\]{}:,&*!|>'\"%@`#\n\r\t -]|: |\n  |\n- |--- |é){0,40}",
    ) {
        prop_assert!(parse(&text).is_ok() || !parse(&text).unwrap_err().message.is_empty());
    }

    #[test]
    fn a_spoilt_configuration_is_read_or_refused_at_a_place_in_the_text(
        config in any_config(),
        at in any::<prop::sample::Index>(),
        with in "[\\[\\]{}:,&*!|>'\"%@`#\n\t -]{1,4}|é",
    ) {
        let mut text = serde_yaml::to_string(&as_json(&config)).unwrap();
        let mut place = at.index(text.len());
        while !text.is_char_boundary(place) { place -= 1; }
        text.insert_str(place, &with);
        if let Err(error) = parse(&text) {
            let line = error.line.unwrap_or(1);
            let content = text.split('\n').nth(line - 1).unwrap();
            prop_assert!(error.column.unwrap_or(1) <= content.chars().count() + 1, "{:?}\n{}", error, text);
        }
    }
}
