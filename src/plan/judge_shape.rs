//! Flags for which no single value is required: lists, pairs, addresses, switches. Pure.

use std::net::IpAddr;

use super::finding::{ListMend, Mend, Verdict};
use super::judge_flags::{Flags, Held, is_given, same, shown};
use crate::controls::{ListRule, STRONG_SUITES, Shape};
use crate::domain::{Component, FlagName};
use crate::manifest::{parse_boolean, parse_go_duration};

/// What is expected, in words.
#[must_use]
pub fn expected(name: &FlagName, shape: &Shape) -> String {
    match shape {
        Shape::GivenWith(others) => format!("{} are given", names(name, others, " and ")),
        Shape::Names(_) => format!("{name} is given"),
        Shape::NotGiven(others) => format!("{} not given", names(name, others, ", ")),
        Shape::OffOr { instead, .. } => format!("{name}=false, or --{instead} confines it"),
        Shape::List(rule) => {
            let mut parts = Vec::new();
            if !rule.contains.is_empty() {
                parts.push(format!("{name} has {}", rule.contains.join(", ")));
            }
            if !rule.without.is_empty() {
                parts.push(format!("{name} has no {}", rule.without.join(", ")));
            }
            parts.join(", and ")
        }
        Shape::OneOf { values, .. } => format!("{name} is {}", values.join(" or ")),
        Shape::Suites { given: true } => format!("{name} is given, and has only strong cipher suites"),
        Shape::Suites { given: false } => format!("{name} has only strong cipher suites"),
        Shape::Loopback { .. } => format!("{name} is an address of the node itself alone"),
        Shape::Https { with, or_loopback } => {
            let or = if *or_loopback {
                ", or on an address of the node itself alone"
            } else {
                ""
            };
            format!("every URL of {} is https{or}", names(name, with, " and "))
        }
        Shape::Positive { .. } => format!("{name} is more than 0"),
        Shape::Switches {
            with,
            not_on,
            not_off,
        } => {
            let mut parts = Vec::new();
            if !not_on.is_empty() {
                parts.push(format!("{} not on", not_on.join(", ")));
            }
            if !not_off.is_empty() {
                parts.push(format!("{} not off", not_off.join(", ")));
            }
            format!("{} in {}", parts.join(", and "), names(name, with, " and "))
        }
    }
}

/// What a component's flags come to.
pub(super) fn judge(name: &FlagName, shape: &Shape, flags: &Flags) -> Held {
    match shape {
        Shape::GivenWith(others) => given_with(name, others, flags),
        Shape::Names(_) => given_with(name, &[], flags),
        Shape::NotGiven(others) => not_given(name, others, flags),
        Shape::List(rule) => list(name, rule, flags),
        Shape::OffOr { default, instead } => by_file(instead, flags).unwrap_or_else(|| {
            let value = flags.value(name).unwrap_or(default);
            Held::new(same(value, "false"), actual(name, default, flags))
        }),
        Shape::OneOf { values, default } => {
            let value = flags.value(name).filter(|value| !value.is_empty());
            Held::new(
                values.contains(&value.unwrap_or(default)),
                actual(name, default, flags),
            )
        }
        Shape::Suites { given } => suites(name, *given, flags),
        Shape::Loopback { default } => Held::new(
            is_loopback(flags.value(name).unwrap_or(default)),
            actual(name, default, flags),
        ),
        Shape::Https { with, or_loopback } => https(name, with, *or_loopback, flags),
        Shape::Positive { default, duration } => {
            let value = flags.value(name).unwrap_or(default);
            let is_positive = if *duration {
                parse_go_duration(value).is_some_and(|time| !time.is_zero())
            } else {
                value.parse::<i64>().is_ok_and(|number| number > 0)
            };
            Held::new(is_positive, actual(name, default, flags))
        }
        Shape::Switches {
            with,
            not_on,
            not_off,
        } => switches(name, with, (not_on, not_off), flags),
    }
}

/// The edit that would mend it; none where only the operator knows what is right.
pub(super) fn mend(component: Component, name: &FlagName, shape: &Shape, flags: &Flags) -> Option<Mend> {
    let set = |value: &str| Mend::Flag {
        component,
        name: name.clone(),
        value: value.to_owned(),
    };
    match shape {
        Shape::Names(usual) => Some(set(usual)),
        Shape::OneOf { values, .. } => values.first().map(|value| set(value)),
        Shape::List(rule) => {
            // A plug-in that is named in both lists keeps the server from starting.
            let disabled = "disable-admission-plugins".parse().ok();
            let disabled = disabled.map_or_else(Vec::new, |flag| self::items(&flag, &[], flags));
            if rule
                .contains
                .iter()
                .any(|item| disabled.iter().any(|other| other == item))
            {
                return None;
            }
            let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
            Some(Mend::List {
                component,
                name: name.clone(),
                items: ListMend {
                    current: items(name, rule.default, flags),
                    add: owned(rule.contains),
                    remove: owned(rule.without),
                    may_be_empty: rule.default.is_empty(),
                },
            })
        }
        Shape::GivenWith(_)
        | Shape::NotGiven(_)
        | Shape::OffOr { .. }
        | Shape::Suites { .. }
        | Shape::Loopback { .. }
        | Shape::Https { .. }
        | Shape::Positive { .. }
        | Shape::Switches { .. } => None,
    }
}

/// The flags that decide.
pub(super) fn deciding(name: &FlagName, shape: &Shape) -> Vec<FlagName> {
    let others = match shape {
        Shape::GivenWith(others) | Shape::NotGiven(others) => others.clone(),
        Shape::Https { with, .. } | Shape::Switches { with, .. } => with.clone(),
        Shape::List(rule) => rule
            .instead
            .and_then(|flag| flag.parse().ok())
            .into_iter()
            .collect(),
        Shape::OffOr { instead, .. } => instead.parse().ok().into_iter().collect(),
        Shape::Names(_)
        | Shape::OneOf { .. }
        | Shape::Suites { .. }
        | Shape::Loopback { .. }
        | Shape::Positive { .. } => Vec::new(),
    };
    std::iter::once(name.clone()).chain(others).collect()
}

fn names(name: &FlagName, others: &[FlagName], joint: &str) -> String {
    let all: Vec<String> = std::iter::once(name)
        .chain(others)
        .map(ToString::to_string)
        .collect();
    all.join(joint)
}

fn actual(name: &FlagName, default: &str, flags: &Flags) -> String {
    flags.value(name).map_or_else(
        || format!("{name} is not given (built-in: {default})"),
        |value| shown(name, value),
    )
}

fn given_with(name: &FlagName, others: &[FlagName], flags: &Flags) -> Held {
    let all = || std::iter::once(name).chain(others);
    let missing: Vec<String> = all()
        .filter(|flag| !is_given(flag, flags))
        .map(ToString::to_string)
        .collect();
    if missing.is_empty() {
        let given: Vec<String> = all()
            .filter_map(|flag| Some(shown(flag, flags.value(flag)?)))
            .collect();
        return Held::new(true, given.join(" "));
    }
    let is = if missing.len() == 1 { "is" } else { "are" };
    Held::new(false, format!("{} {is} not given", missing.join(" and ")))
}

fn not_given(name: &FlagName, others: &[FlagName], flags: &Flags) -> Held {
    let given: Vec<String> = std::iter::once(name)
        .chain(others)
        .filter_map(|flag| Some(shown(flag, flags.value(flag)?)))
        .collect();
    if given.is_empty() {
        return Held::new(true, format!("{} not given", names(name, others, ", ")));
    }
    Held::new(false, format!("{} is given", given.join(" ")))
}

/// All items, in order: the occurrences of such a flag accumulate, and the first one replaces what is built in (pflag `stringSliceValue`).
fn items(name: &FlagName, default: &[&str], flags: &Flags) -> Vec<String> {
    let given: Vec<&str> = flags.values(name).collect();
    if given.is_empty() {
        return default.iter().map(|item| (*item).to_owned()).collect();
    }
    given
        .iter()
        .flat_map(|value| value.split(','))
        .map(|item| item.trim_matches('"').to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

/// What is held where a file decides instead, when that flag is given.
fn by_file(flag: &str, flags: &Flags) -> Option<Held> {
    let flag = flag.parse::<FlagName>().ok()?;
    let file = flags.value(&flag).filter(|file| !file.is_empty())?;
    Some(Held {
        verdict: Verdict::Unknown,
        actual: format!(
            "{} decides instead, and that file is not judged yet",
            shown(&flag, file)
        ),
    })
}

fn list(name: &FlagName, rule: &ListRule, flags: &Flags) -> Held {
    if let Some(held) = rule.instead.and_then(|flag| by_file(flag, flags)) {
        return held;
    }
    let items = items(name, rule.default, flags);
    let has = |wanted: &&&str| items.iter().any(|item| item == **wanted);
    let missing = rule.contains.iter().filter(|wanted| !has(wanted)).count();
    let present = rule.without.iter().filter(has).count();
    let given: Vec<String> = flags.values(name).map(|value| shown(name, value)).collect();
    let actual = match (given.is_empty(), rule.default) {
        (true, []) => format!("{name} is not given"),
        (true, default) => format!("{name} is not given (built-in: {})", default.join(",")),
        (false, _) => given.join(" "),
    };
    Held::new(missing == 0 && present == 0, actual)
}

fn suites(name: &FlagName, given: bool, flags: &Flags) -> Held {
    let items = items(name, &[], flags);
    if items.is_empty() {
        return Held::new(
            !given,
            format!("{name} is not given, so the built-in list counts"),
        );
    }
    let weak: Vec<&str> = items
        .iter()
        .map(String::as_str)
        .filter(|suite| !STRONG_SUITES.contains(suite))
        .collect();
    if weak.is_empty() {
        return Held::new(true, format!("{name}={}", items.join(",")));
    }
    Held::new(
        false,
        format!(
            "{name} has {}, which CIS does not name as strong",
            weak.join(", ")
        ),
    )
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn https(name: &FlagName, with: &[FlagName], or_loopback: bool, flags: &Flags) -> Held {
    let mut plain = Vec::new();
    let mut given = Vec::new();
    for flag in std::iter::once(name).chain(with) {
        let Some(value) = flags.value(flag) else { continue };
        given.push(shown(flag, value));
        let is_good = |url: &str| {
            let local = || {
                url.strip_prefix("http://")
                    .is_some_and(|rest| is_loopback(host_of(rest)))
            };
            url.starts_with("https://") || or_loopback && local()
        };
        let urls = value.split(',').map(str::trim).filter(|url| !url.is_empty());
        plain.extend(urls.filter(|url| !is_good(url)).map(|url| shown(flag, url)));
    }
    match (given.is_empty(), plain.is_empty()) {
        // What etcd listens on without the flag is plain HTTP on the loopback (etcd server/embed, `DefaultListenClientURLs`).
        (true, _) => Held::new(or_loopback, format!("{} not given", names(name, with, ", "))),
        (false, true) => Held::new(true, given.join(" ")),
        (false, false) => Held::new(false, plain.join(" ")),
    }
}

/// The host of what stands behind `http://`.
fn host_of(rest: &str) -> &str {
    let authority = rest.split('/').next().unwrap_or(rest);
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

/// Maps of switches accumulate, and the last value of a name counts (component-base `MapStringBool`).
fn switches(
    name: &FlagName,
    with: &[FlagName],
    (not_on, not_off): (&[&str], &[&str]),
    flags: &Flags,
) -> Held {
    let mut wrong = Vec::new();
    for flag in std::iter::once(name).chain(with) {
        let mut last = std::collections::BTreeMap::new();
        for pair in flags.values(flag).flat_map(|value| value.split(',')) {
            // An API version may stand alone, and is on then.
            let (switch, value) = pair.split_once('=').unwrap_or((pair, "true"));
            last.insert(switch.trim(), value.trim());
        }
        for (switch, value) in last {
            let is_on = parse_boolean(value);
            let is_wrong = not_on.contains(&switch) && !same(value, "false")
                || not_off.contains(&switch) && is_on != Some(true);
            if is_wrong {
                wrong.push(shown(flag, &format!("{switch}={value}")));
            }
        }
    }
    if wrong.is_empty() {
        let given: Vec<String> = std::iter::once(name)
            .chain(with)
            .flat_map(|flag| flags.values(flag).map(|value| shown(flag, value)))
            .collect();
        let told = if given.is_empty() {
            format!("{} not given", names(name, with, ", "))
        } else {
            given.join(" ")
        };
        return Held::new(true, told);
    }
    Held::new(false, wrong.join(" "))
}

#[cfg(test)]
#[path = "judge_shape_tests.rs"]
mod tests;
