//! Flags for which no single value is required: lists, pairs, addresses, switches. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::finding::{ListMend, Mend, Verdict};
use super::judge_flags::{Flags, Held, is_given, same, shown};
use crate::controls::{Constraint, HTTP2_SUITES, Kit, ListRule, OFFERED_SUITES, STRONG_SUITES, items_of};
use crate::domain::{Component, FlagName};
use crate::manifest::{parse_boolean, parse_go_duration};

/// The node's own address for itself.
const LOOPBACK: &str = "127.0.0.1";

/// What is expected, in words.
#[must_use]
pub fn expected(name: &FlagName, constraint: &Constraint) -> String {
    match constraint {
        Constraint::Pair { key, .. } => format!("{name} and {key} are given"),
        Constraint::Verifies { authority, .. } => format!("{name}=true, and {authority} is given"),
        Constraint::Names(_) => format!("{name} is given"),
        Constraint::NotGiven(others) => format!("{} not given", names(name, others, ", ")),
        Constraint::OffOr { instead, .. } => format!("{name}=false, or {instead} confines it"),
        Constraint::List(rule) => {
            let mut parts = Vec::new();
            if !rule.contains.is_empty() {
                parts.push(format!("{name} has {}", rule.contains.join(", ")));
            }
            if !rule.without.is_empty() {
                parts.push(format!("{name} has no {}", rule.without.join(", ")));
            }
            parts.join(", and ")
        }
        Constraint::OneOf { values, .. } => format!("{name} is {}", values.join(" or ")),
        Constraint::Suites { given: true } => format!("{name} is given, and has only strong cipher suites"),
        Constraint::Suites { given: false } => format!("{name} has only strong cipher suites"),
        Constraint::Loopback { .. } => format!("{name} is an address of the node itself alone"),
        Constraint::Https { with, or_loopback } => {
            let or = if *or_loopback {
                ", or on an address of the node itself alone"
            } else {
                ""
            };
            format!("every URL of {} is https{or}", names(name, with, " and "))
        }
        Constraint::Positive { .. } => format!("{name} is more than 0"),
        Constraint::Switches {
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
pub(super) fn judge(name: &FlagName, constraint: &Constraint, flags: &Flags) -> Held {
    match constraint {
        Constraint::Pair { key, .. } => given_with(name, std::slice::from_ref(key), flags),
        Constraint::Verifies { authority, .. } => verifies(name, authority, flags),
        Constraint::Names(_) => given_with(name, &[], flags),
        Constraint::NotGiven(others) => not_given(name, others, flags),
        Constraint::List(rule) => list(name, rule, flags),
        // What the file says of it is judged before; it says nothing.
        Constraint::OffOr { default, .. } => {
            let value = flags.value(name).unwrap_or(default);
            Held::new(same(value, "false"), actual(name, default, flags))
        }
        Constraint::OneOf { values, default } => {
            let value = flags.value(name).filter(|value| !value.is_empty());
            Held::new(
                values.contains(&value.unwrap_or(default)),
                actual(name, default, flags),
            )
        }
        Constraint::Suites { given } => suites(name, *given, flags),
        Constraint::Loopback { default } => Held::new(
            is_loopback(flags.value(name).unwrap_or(default)),
            actual(name, default, flags),
        ),
        Constraint::Https { with, or_loopback } => https(name, with, *or_loopback, flags),
        Constraint::Positive { default, duration } => {
            let value = flags.value(name).unwrap_or(default);
            let is_positive = if *duration {
                parse_go_duration(value).is_some_and(|time| !time.is_zero())
            } else {
                value.parse::<i64>().is_ok_and(|number| number > 0)
            };
            Held::new(is_positive, actual(name, default, flags))
        }
        Constraint::Switches {
            with,
            not_on,
            not_off,
        } => switches(name, with, (not_on, not_off), flags),
    }
}

/// The edit that would mend it; none where only the operator knows what is right. `kit`: the remedy that it belongs to.
pub(super) fn mend(
    component: Component,
    name: &FlagName,
    constraint: &Constraint,
    kit: Option<Kit>,
    flags: &Flags,
) -> Option<Mend> {
    let all = |flags: Vec<(FlagName, String)>| Mend::Flags {
        kit,
        component,
        flags,
    };
    let set = |value: &str| match kit {
        None => Mend::Flag {
            component,
            name: name.clone(),
            value: value.to_owned(),
        },
        Some(_) => all(vec![(name.clone(), value.to_owned())]),
    };
    match constraint {
        Constraint::Names(usual) => Some(set(usual)),
        Constraint::OneOf { values, .. } => values.first().map(|value| set(value)),
        Constraint::Pair { key, usual } => pair_mend([name, key], *usual, flags).map(all),
        Constraint::Verifies { authority, usual } => {
            let on = Some((name.clone(), "true".to_owned()));
            let by = (!is_given(authority, flags)).then(|| (authority.clone(), (*usual).to_owned()));
            Some(all(on.into_iter().chain(by).collect()))
        }
        Constraint::NotGiven(others) => {
            let given = std::iter::once(name)
                .chain(others)
                .filter(|flag| flags.value(flag).is_some());
            Some(all(given.map(|flag| (flag.clone(), String::new())).collect()))
        }
        Constraint::Loopback { default } => {
            let host = flags.value(name).unwrap_or(default);
            Some(set(if host.contains(':') { "::1" } else { LOOPBACK }))
        }
        Constraint::Https {
            with,
            or_loopback: true,
        } if with.is_empty() => Some(set(&on_loopback(flags.value(name)?)?)),
        Constraint::Switches {
            with,
            not_on,
            not_off,
        } => Some(all(switches_mend(name, with, (not_on, not_off), flags))),
        Constraint::List(rule) => Some(Mend::List {
            component,
            name: name.clone(),
            items: list_mend(name, rule, flags)?,
        }),
        Constraint::OffOr { .. }
        | Constraint::Suites { .. }
        | Constraint::Https { .. }
        | Constraint::Positive { .. } => None,
    }
}

/// Of a pair, the half that is missing, or both. Beside a file of somebody else's making nobody but the operator knows the other.
fn pair_mend(names: [&FlagName; 2], usual: [&str; 2], flags: &Flags) -> Option<Vec<(FlagName, String)>> {
    let mut missing = Vec::new();
    for (name, usual) in names.into_iter().zip(usual) {
        match flags.value(name).filter(|value| !value.is_empty()) {
            None => missing.push((name.clone(), usual.to_owned())),
            Some(given) if given == usual => {}
            Some(_) => return None,
        }
    }
    Some(missing)
}

/// The URLs, each at the node's own address for itself where it was plain HTTP for others; nothing where one is not understood.
fn on_loopback(value: &str) -> Option<String> {
    let urls = value.split(',').map(str::trim).filter(|url| !url.is_empty());
    let urls: Option<Vec<String>> = urls
        .map(|url| match url.strip_prefix("http://") {
            Some(rest) if !is_loopback(host_of(rest)) => {
                let (_, port) = rest.trim_end_matches('/').rsplit_once(':')?;
                port.parse::<u16>().ok()?;
                Some(format!("http://{LOOPBACK}:{port}"))
            }
            Some(_) | None => Some(url.to_owned()),
        })
        .collect();
    urls.map(|urls| urls.join(","))
}

/// What is to become of a list; none where another list, which only the operator can judge, forbids it.
pub(super) fn list_mend(name: &FlagName, rule: &ListRule, flags: &Flags) -> Option<ListMend> {
    let others = rule.apart_from.as_ref().map(|flag| items(flag, &[], flags));
    let is_there = |item: &&str| others.iter().flatten().any(|other| other == item);
    if rule.contains.iter().any(is_there) {
        return None;
    }
    let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
    Some(ListMend {
        current: items(name, rule.default, flags),
        add: owned(rule.contains),
        remove: owned(rule.without),
        may_be_empty: rule.default.is_empty(),
    })
}

/// The flags that decide.
pub(super) fn deciding(name: &FlagName, constraint: &Constraint) -> Vec<FlagName> {
    let others = match constraint {
        Constraint::Pair { key: other, .. } | Constraint::Verifies { authority: other, .. } => {
            vec![other.clone()]
        }
        Constraint::NotGiven(others) => others.clone(),
        Constraint::Https { with, .. } | Constraint::Switches { with, .. } => with.clone(),
        Constraint::List(rule) => rule.instead.iter().cloned().collect(),
        Constraint::OffOr { instead, .. } => vec![instead.clone()],
        Constraint::Names(_)
        | Constraint::OneOf { .. }
        | Constraint::Suites { .. }
        | Constraint::Loopback { .. }
        | Constraint::Positive { .. } => Vec::new(),
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

fn verifies(name: &FlagName, authority: &FlagName, flags: &Flags) -> Held {
    let is_on = flags.value(name).is_some_and(|value| same(value, "true"));
    let by = flags.value(authority).map_or_else(
        || format!("{authority} is not given"),
        |value| shown(authority, value),
    );
    Held::new(
        is_on && is_given(authority, flags),
        format!("{}; {by}", actual(name, "false", flags)),
    )
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

/// The items that count: the first occurrence replaces what is built in.
fn items(name: &FlagName, default: &[&str], flags: &Flags) -> Vec<String> {
    let given = flags.values(name);
    if given.is_empty() {
        return default.iter().map(|item| (*item).to_owned()).collect();
    }
    items_of(given)
}

/// What is held where a file decides instead, when that flag is given.
fn by_file(flag: &FlagName, flags: &Flags) -> Option<Held> {
    let file = flags.value(flag).filter(|file| !file.is_empty())?;
    Some(Held {
        verdict: Verdict::Unknown,
        actual: format!(
            "{} decides instead, and that file is not judged yet",
            shown(flag, file)
        ),
    })
}

fn list(name: &FlagName, rule: &ListRule, flags: &Flags) -> Held {
    if let Some(held) = rule.instead.as_ref().and_then(|flag| by_file(flag, flags)) {
        return held;
    }
    let items = items(name, rule.default, flags);
    let has = |wanted: &&&str| items.iter().any(|item| item == **wanted);
    let missing = rule.contains.iter().filter(|wanted| !has(wanted)).count();
    let present = rule.without.iter().filter(has).count();
    let given: Vec<String> = flags
        .values(name)
        .into_iter()
        .map(|value| shown(name, value))
        .collect();
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

/// What is strong in the list, with the suites for HTTP/2.
pub(super) fn strong_suites(name: &FlagName, flags: &Flags) -> String {
    let mut kept = items(name, &[], flags);
    kept.retain(|suite| STRONG_SUITES.contains(&suite.as_str()));
    if kept.is_empty() {
        return OFFERED_SUITES.join(",");
    }
    // Which of the two fits, the kind of the certificate's key says, and it may have one of each (--tls-sni-cert-key).
    for suite in HTTP2_SUITES.map(str::to_owned) {
        if !kept.contains(&suite) {
            kept.push(suite);
        }
    }
    kept.join(",")
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// etcd takes the last occurrence (`flags.UniqueURLs`). Without the flag it listens, and is reached, on plain HTTP on the loopback (etcd
/// server/embed, `DefaultListenClientURLs`), but for its metrics, which then have no listener of their own.
fn https(name: &FlagName, with: &[FlagName], or_loopback: bool, flags: &Flags) -> Held {
    let is_good = |url: &str| {
        let rest = url.strip_prefix("http://");
        url.starts_with("https://") || or_loopback && rest.is_some_and(|rest| is_loopback(host_of(rest)))
    };
    let (mut good, mut plain) = (Vec::new(), Vec::new());
    for flag in std::iter::once(name).chain(with) {
        match flags.value(flag) {
            Some(value) => {
                let urls = value.split(',').map(str::trim).filter(|url| !url.is_empty());
                let (https, others): (Vec<&str>, Vec<&str>) = urls.partition(|url| is_good(url));
                good.extend(https.into_iter().map(|url| shown(flag, url)));
                plain.extend(others.into_iter().map(|url| shown(flag, url)));
            }
            None if or_loopback => good.push(format!("{flag} is not given")),
            None => plain.push(format!("{flag} is not given (built-in: http on localhost)")),
        }
    }
    let told = if plain.is_empty() { &good } else { &plain };
    Held::new(plain.is_empty(), told.join(" "))
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
        let switches = wrong_switches(flag, (not_on, not_off), flags).into_iter();
        wrong.extend(switches.map(|(switch, value)| shown(flag, &format!("{switch}={value}"))));
    }
    if wrong.is_empty() {
        let given: Vec<String> = std::iter::once(name)
            .chain(with)
            .flat_map(|flag| flags.values(flag).into_iter().map(|value| shown(flag, value)))
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

/// What stands in a map of switches, in order.
fn switches_of<'a>(flag: &FlagName, flags: &'a Flags) -> Vec<(&'a str, &'a str)> {
    let values = flags.values(flag).into_iter();
    let pairs = values
        .flat_map(|value| value.split(','))
        .filter(|pair| !pair.trim().is_empty());
    // An API version may stand alone, and is on then.
    let split = |pair: &'a str| pair.split_once('=').unwrap_or((pair, "true"));
    pairs
        .map(split)
        .map(|(switch, value)| (switch.trim(), value.trim()))
        .collect()
}

/// Of a gate the component may be named first (component-base `compatibility`, `AddFlags`).
fn switch_name(written: &str) -> &str {
    written.strip_prefix("kube:").unwrap_or(written)
}

/// The switches that are not as they must be, with their values.
fn wrong_switches<'a>(
    flag: &FlagName,
    (not_on, not_off): (&[&str], &[&str]),
    flags: &'a Flags,
) -> BTreeMap<&'a str, &'a str> {
    let all = switches_of(flag, flags).into_iter();
    let mut last: BTreeMap<&str, &str> = all.map(|(switch, value)| (switch_name(switch), value)).collect();
    last.retain(|switch, value| {
        not_on.contains(switch) && !same(value, "false")
            || not_off.contains(switch) && parse_boolean(value) != Some(true)
    });
    last
}

/// The maps without those switches: each has its built-in value then.
fn switches_mend(
    name: &FlagName,
    with: &[FlagName],
    must: (&[&str], &[&str]),
    flags: &Flags,
) -> Vec<(FlagName, String)> {
    let mut mended = Vec::new();
    for flag in std::iter::once(name).chain(with) {
        let wrong = wrong_switches(flag, must, flags);
        if wrong.is_empty() {
            continue;
        }
        let all = switches_of(flag, flags).into_iter();
        let stay = all.filter(|(switch, _)| !wrong.contains_key(switch_name(switch)));
        let stay: Vec<String> = stay.map(|(switch, value)| format!("{switch}={value}")).collect();
        mended.push((flag.clone(), stay.join(",")));
    }
    mended
}

#[cfg(test)]
#[path = "judge_constraint_tests.rs"]
mod tests;
