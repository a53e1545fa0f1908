//! Flags of a component, held against what must be: the effective value by its manifest, and beside it the one that its
//! running process has.

use super::finding::{Evidence, Mend, Verdict};
use super::judge::{piece, unknown};
use super::redact::redact;
use super::targets::{config_file, flag_file, not_looked_at};
use super::{judge_constraint, judge_documents};
use crate::anonymous::Anonymous;
use crate::controls::{
    ADMISSION, ADMISSION_FLAG, AUTHENTICATION, Constraint, FlagRule, Kit, KubernetesVersion, ListRule, Remedy,
};
use crate::domain::{Component, Fact, FlagName, Manifest, NodePath, Observation, Process, Reason};
use crate::manifest::{CommandLine, command_line, flags_of_process, parse_boolean, parse_go_integer};

/// What came of one command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) verdict: Verdict,
    pub(super) actual: String,
}

impl Held {
    pub(super) fn new(holds: bool, actual: String) -> Self {
        let verdict = if holds { Verdict::Pass } else { Verdict::Drift };
        Self { verdict, actual }
    }
}

/// The flags of one command line, in order.
pub(super) struct Flags(pub(super) Vec<(FlagName, String)>);

impl Flags {
    /// The value that counts: the last one.
    pub(super) fn value(&self, name: &FlagName) -> Option<&str> {
        self.0
            .iter()
            .rfind(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every value, in order.
    pub(super) fn values(&self, name: &FlagName) -> Vec<&str> {
        let of_name = self.0.iter().filter(|(other, _)| other == name);
        of_name.map(|(_, value)| value.as_str()).collect()
    }

    fn count(&self, name: &FlagName) -> usize {
        self.0.iter().filter(|(other, _)| other == name).count()
    }
}

/// The evidence about a flag; none when the component has no manifest here.
pub(super) fn flag(
    component: Component,
    name: &FlagName,
    rule: &FlagRule,
    remedy: Remedy,
    observation: &Observation,
) -> Vec<Evidence> {
    let object = format!("{component} {name}");
    let expected = expected(name, rule);
    let manifest = match observation.manifests.get(&component) {
        Some(Fact::Known(manifest)) => manifest,
        Some(Fact::Absent) => return Vec::new(),
        Some(Fact::Unknown(reason)) => return vec![unknown(object, expected, reason)],
        None => {
            let reason = not_looked_at(format!("the manifest of {component}"));
            return vec![unknown(object, expected, &reason)];
        }
    };
    let line = match command_line(component, &manifest.pod) {
        Ok(line) => line,
        Err(error) => return vec![unknown(object, expected, &Reason::new(error.to_string()))],
    };
    if let Some(held) = by_config_file(name, rule, manifest, &line, observation) {
        return vec![piece(object, held.verdict, expected, held.actual)];
    }
    let flags = Flags(
        line.flags()
            .map(|(name, value)| (name.clone(), value.to_owned()))
            .collect(),
    );
    if let Some(mut held) = by_authentication_file(rule, &line, observation) {
        let processes = observation.processes.get(&component).and_then(Fact::known);
        if processes.is_some_and(|all| is_restart_due(component, (name, rule), &flags, all)) {
            held.verdict = held.verdict.max(Verdict::Drift);
            held.actual += "; the running process was started with other flags, so a restart is due";
        }
        return vec![piece(object, held.verdict, expected, held.actual)];
    }
    if let Some(held) = by_authorization_file(name, rule, &flags, observation) {
        return vec![piece(object, held.verdict, expected, held.actual)];
    }
    let version = version_of(manifest, &line);
    let written = by_flags(name, rule, &flags, version);
    let mend = mend(component, (name, rule), remedy, &flags).filter(|_| written.verdict == Verdict::Drift);
    let processes = observation.processes.get(&component).and_then(Fact::known);
    let held = match processes {
        Some(processes) => beside_running(written, component, (name, rule), &flags, version, processes),
        None => written,
    };
    let mut piece = piece(object, held.verdict, expected, held.actual);
    piece.mend = mend;
    vec![piece]
}

fn expected(name: &FlagName, rule: &FlagRule) -> String {
    match rule {
        FlagRule::Is { value, .. } => shown(name, value),
        FlagRule::IsSet { .. } => format!("{name} is given"),
        FlagRule::Meets(constraint) => judge_constraint::expected(name, constraint),
        FlagRule::AtLeast { minimum, with, .. } => {
            format!("{name} is {minimum} or more, and {with} is given")
        }
    }
}

fn mend(
    component: Component,
    (name, rule): (&FlagName, &FlagRule),
    remedy: Remedy,
    flags: &Flags,
) -> Option<Mend> {
    match (rule, remedy) {
        (FlagRule::Meets(constraint), Remedy::Restarts) => {
            judge_constraint::mend(component, name, constraint, None, flags)
        }
        (FlagRule::Meets(constraint), Remedy::RestartsWhen(kit)) => {
            judge_constraint::mend(component, name, constraint, Some(kit), flags)
        }
        (FlagRule::Is { value, .. }, Remedy::Restarts) => Some(Mend::Flag {
            component,
            name: name.clone(),
            value: value.clone(),
        }),
        (rule, Remedy::Conditional(kit)) => conditional(component, (name, rule), kit, flags),
        _ => None,
    }
}

/// What a conditional remedy sets.
fn conditional(
    component: Component,
    (name, rule): (&FlagName, &FlagRule),
    kit: Kit,
    flags: &Flags,
) -> Option<Mend> {
    let set = |name: &FlagName, value: String| {
        Some(Mend::Conditional {
            kit,
            component,
            name: name.clone(),
            value,
        })
    };
    match rule {
        FlagRule::IsSet { usual: Some(usual) } => set(name, usual.clone()),
        FlagRule::Is { value, .. } => set(name, value.clone()),
        FlagRule::AtLeast { minimum, .. } => {
            // More than asked for stays.
            let given = flags.value(name).and_then(parse_go_integer);
            let value = given.filter(|given| given >= minimum).unwrap_or(*minimum);
            set(name, value.to_string())
        }
        // A file that is named already is the operator's: how people sign in stands in it.
        FlagRule::Meets(Constraint::OffOr { instead, .. }) if is_given(instead, flags) => None,
        FlagRule::Meets(Constraint::OffOr { instead, .. }) => set(instead, AUTHENTICATION.to_owned()),
        FlagRule::Meets(Constraint::Suites { .. }) => set(name, judge_constraint::strong_suites(name, flags)),
        FlagRule::Meets(Constraint::List(rule)) => Some(Mend::ConditionalList {
            kit,
            component,
            name: name.clone(),
            items: judge_constraint::list_mend(name, rule, flags)?,
            with: (kit == Kit::EventRateLimit)
                .then(|| admission_file(flags))
                .flatten(),
        }),
        FlagRule::Meets(constraint) => judge_constraint::mend(component, name, constraint, Some(kit), flags),
        FlagRule::IsSet { usual: None } => None,
    }
}

/// The file that configures plug-ins of admission: the one that is named, or else ours.
fn admission_file(flags: &Flags) -> Option<(FlagName, String)> {
    let name: FlagName = ADMISSION_FLAG.parse().ok()?;
    let given = flags.value(&name).filter(|value| !value.is_empty());
    let value = given.unwrap_or(ADMISSION).to_owned();
    Some((name, value))
}

fn by_flags(name: &FlagName, rule: &FlagRule, flags: &Flags, version: Option<KubernetesVersion>) -> Held {
    let held = match rule {
        // Whether such a flag accumulates is a matter of its constraint.
        FlagRule::Meets(constraint) => return judge_constraint::judge(name, constraint, flags),
        FlagRule::Is { value, default, .. } => is(name, value, *default, flags),
        FlagRule::IsSet { .. } => is_set(name, flags),
        FlagRule::AtLeast { with, .. } if !is_given(with, flags) => {
            Held::new(false, format!("{with} is not given, so there is nothing to keep"))
        }
        FlagRule::AtLeast { minimum, default, .. } => match (flags.value(name), default.value(version)) {
            (Some(text), _) => at_least(name, *minimum, text),
            (None, Some(built_in)) => Held::new(
                built_in >= *minimum,
                format!("{name} is not given (built-in: {built_in})"),
            ),
            (None, None) => Held {
                verdict: Verdict::Unknown,
                actual: format!(
                    "{name} is not given, and its built-in value depends on a version that the image does not tell"
                ),
            },
        },
    };
    let times = match flags.count(name) {
        0 | 1 => return held,
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    };
    Held {
        actual: format!("{}, given {times}; the last one counts", held.actual),
        ..held
    }
}

fn is(name: &FlagName, wanted: &str, default: Option<&str>, flags: &Flags) -> Held {
    let Some(value) = flags.value(name) else {
        return match default {
            Some(default) => Held::new(
                same(wanted, default),
                format!("{name} is not given (built-in: {default})"),
            ),
            None => Held::new(false, format!("{name} is not given")),
        };
    };
    let is_boolean = default.is_some_and(|default| parse_boolean(default).is_some());
    if is_boolean && parse_boolean(value).is_none() {
        let actual = format!("{}, which is neither true nor false", quoted(name, value));
        return Held::new(false, actual);
    }
    Held::new(same(wanted, value), shown(name, value))
}

/// Equal to the letter, or as booleans, which have several spellings.
pub(super) fn same(one: &str, other: &str) -> bool {
    let boolean = parse_boolean(one);
    one == other || (boolean.is_some() && boolean == parse_boolean(other))
}

pub(super) fn is_given(name: &FlagName, flags: &Flags) -> bool {
    flags.value(name).is_some_and(|value| !value.is_empty())
}

fn is_set(name: &FlagName, flags: &Flags) -> Held {
    match flags.value(name) {
        None => Held::new(false, format!("{name} is not given")),
        Some("") => Held::new(false, format!("{name} is given without a value")),
        Some(value) => Held::new(true, shown(name, value) + kept_where(name, flags)),
    }
}

/// Whoever takes the node rewrites what is on its disk: an audit log that nobody else receives tells of all but that.
fn kept_where(name: &FlagName, flags: &Flags) -> &'static str {
    let sent = "audit-webhook-config-file".parse::<FlagName>();
    if name.as_str() != "audit-log-path" || sent.is_ok_and(|sent| is_given(&sent, flags)) {
        return "";
    }
    "; the audit is only on this disk, unless something collects it: the API server sends it nowhere (--audit-webhook-config-file)"
}

fn at_least(name: &FlagName, minimum: i64, text: &str) -> Held {
    match parse_go_integer(text) {
        Some(number) => Held::new(number >= minimum, shown(name, text)),
        None => Held::new(
            false,
            format!("{}, which is not a whole number", quoted(name, text)),
        ),
    }
}

pub(super) fn shown(name: &FlagName, value: &str) -> String {
    redact(&format!("{name}={value}"))
}

fn quoted(name: &FlagName, value: &str) -> String {
    let value = shown(name, value);
    let value = value.split_once('=').map_or("", |(_, value)| value);
    format!("{name} is {value:?}")
}

/// What a component's own configuration file says. With `--config` the flag of that setting is ignored (kube-scheduler
/// `cmd/kube-scheduler/app/options/deprecated.go`), so setting it would mend nothing.
fn by_config_file(
    name: &FlagName,
    rule: &FlagRule,
    manifest: &Manifest,
    line: &CommandLine,
    observation: &Observation,
) -> Option<Held> {
    let FlagRule::Is {
        value,
        default,
        config_key: Some(key),
    } = rule
    else {
        return None;
    };
    let not_known = |reason: &Reason| Held {
        verdict: Verdict::Unknown,
        actual: format!("{key} counts instead of {name}, because of --config: {reason}"),
    };
    let path = match config_file(manifest, line) {
        Fact::Known(path) => path,
        Fact::Absent => return None,
        Fact::Unknown(reason) => return Some(not_known(&reason)),
    };
    Some(match observation.documents.get(&path) {
        Some(Fact::Known(document)) => by_document(document, &path, key, value, *default),
        Some(Fact::Absent) => not_known(&Reason::new(format!("{path} is not there"))),
        Some(Fact::Unknown(reason)) => not_known(reason),
        None => not_known(&not_looked_at(path)),
    })
}

/// What the AuthenticationConfiguration makes of the anonymous, where the flag names one that speaks of them.
fn by_authentication_file(rule: &FlagRule, line: &CommandLine, observation: &Observation) -> Option<Held> {
    let FlagRule::Meets(Constraint::OffOr { instead, .. }) = rule else {
        return None;
    };
    let given = line.flags().filter(|(name, _)| *name == instead);
    given
        .map(|(_, value)| value)
        .last()
        .filter(|file| !file.is_empty())?;
    let not_known = |reason: &Reason| Held {
        verdict: Verdict::Unknown,
        actual: format!("{instead} decides: {reason}"),
    };
    let path = match flag_file(Component::ApiServer, instead.as_str(), &observation.manifests) {
        Fact::Known(path) => path,
        Fact::Absent => return None,
        Fact::Unknown(reason) => return Some(not_known(&reason)),
    };
    let nowhere = Fact::Unknown(not_looked_at(&path));
    let anonymous = match observation.documents.get(&path).unwrap_or(&nowhere) {
        Fact::Known(document) => Anonymous::of(document),
        Fact::Absent => Err("it is not there".to_owned()),
        Fact::Unknown(reason) => return Some(not_known(reason)),
    };
    match anonymous {
        Err(why) => Some(not_known(&Reason::new(format!("{path}: {why}")))),
        // The other flag decides.
        Ok(Anonymous::NotSaid) => None,
        Ok(Anonymous::Refused) => Some(Held::new(true, format!("{path} refuses the anonymous"))),
        Ok(paths) => Some(match paths.beyond() {
            Some(beyond) if beyond.is_empty() => Held::new(
                true,
                format!("{path} leaves the anonymous health and cluster-info alone"),
            ),
            Some(beyond) => Held::new(
                false,
                format!("{path} leaves the anonymous {}", beyond.join(", ")),
            ),
            None => Held::new(false, format!("{path} leaves the anonymous every path")),
        }),
    }
}

/// What the file of authorizers says, where the flag of one is given: it decides instead of the list.
fn by_authorization_file(
    name: &FlagName,
    rule: &FlagRule,
    flags: &Flags,
    observation: &Observation,
) -> Option<Held> {
    let FlagRule::Meets(Constraint::List(list)) = rule else {
        return None;
    };
    let instead = list.instead.as_ref().filter(|flag| is_given(flag, flags))?;
    Some(match judge_documents::authorizers_of(observation)? {
        Ok(authorizers) => {
            let kinds: Vec<String> = authorizers.into_iter().map(|one| one.kind).collect();
            let listed = Flags(vec![(name.clone(), kinds.join(","))]);
            let held = judge_constraint::judge(
                name,
                &Constraint::List(ListRule {
                    instead: None,
                    ..list.clone()
                }),
                &listed,
            );
            Held {
                actual: format!("{instead} decides: {}", kinds.join(", ")),
                ..held
            }
        }
        Err(why) => Held {
            verdict: Verdict::Unknown,
            actual: format!("{instead} decides: {why}"),
        },
    })
}

fn by_document(
    document: &serde_json::Value,
    path: &NodePath,
    key: &str,
    wanted: &str,
    default: Option<&str>,
) -> Held {
    match document.get(key) {
        Some(serde_json::Value::Bool(value)) => Held::new(
            same(wanted, &value.to_string()),
            format!("{key} is {value} in {path}"),
        ),
        None | Some(serde_json::Value::Null) => match default {
            Some(default) => Held::new(
                same(wanted, default),
                format!("{key} is not given in {path} (built-in: {default})"),
            ),
            None => Held::new(false, format!("{key} is not given in {path}")),
        },
        Some(other) => {
            let actual = format!(
                "{key} is {} in {path}, which is neither true nor false",
                redact(&other.to_string())
            );
            Held::new(false, actual)
        }
    }
}

/// The minor version in the tag of the component's image; `None` for another tag, or a digest alone.
pub(super) fn version_of(manifest: &Manifest, line: &CommandLine) -> Option<KubernetesVersion> {
    let image = &manifest.pod.containers.get(line.container())?.image;
    let name = image.split('@').next()?.rsplit('/').next()?;
    let (_, tag) = name.split_once(':')?;
    let minor = tag.strip_prefix("v1.")?.split('.').next()?.parse().ok()?;
    Some(KubernetesVersion { minor })
}

/// Adds what the running processes have, where that is something else than what the manifest says. Processes that could
/// not be observed say nothing: the manifest is what is judged.
fn beside_running(
    written: Held,
    component: Component,
    (name, rule): (&FlagName, &FlagRule),
    flags: &Flags,
    version: Option<KubernetesVersion>,
    processes: &[Process],
) -> Held {
    let others = processes
        .iter()
        .filter(|process| !process.argv.is_empty())
        .filter_map(|process| {
            let running = match flags_of_process(component, &process.argv) {
                Ok(running) => Flags(running),
                Err(error) => {
                    return Some(Held {
                        verdict: Verdict::Unknown,
                        actual: error.to_string(),
                    });
                }
            };
            let differs = settings(name, rule, flags) != settings(name, rule, &running);
            differs.then(|| by_flags(name, rule, &running, version))
        });
    match others.max_by_key(|held| held.verdict) {
        None => written,
        Some(running) => {
            let due = if written.verdict == Verdict::Pass {
                ", so a restart is due"
            } else {
                ""
            };
            Held {
                verdict: written.verdict.max(running.verdict),
                actual: format!(
                    "{}; of the running process: {}{due}",
                    written.actual, running.actual
                ),
            }
        }
    }
}

/// True when a running process has other values of what decides the rule.
fn is_restart_due(
    component: Component,
    (name, rule): (&FlagName, &FlagRule),
    flags: &Flags,
    processes: &[Process],
) -> bool {
    let others = processes.iter().filter(|process| !process.argv.is_empty());
    others
        .map(|process| flags_of_process(component, &process.argv))
        .any(|running| match running {
            Ok(running) => settings(name, rule, flags) != settings(name, rule, &Flags(running)),
            Err(_) => true,
        })
}

/// The values that decide the rule.
fn settings<'a>(name: &FlagName, rule: &FlagRule, flags: &'a Flags) -> Vec<Vec<&'a str>> {
    let last = |name: &FlagName| flags.value(name).into_iter().collect();
    match rule {
        FlagRule::AtLeast { with, .. } => vec![last(name), last(with)],
        FlagRule::Is { .. } | FlagRule::IsSet { .. } => vec![last(name)],
        // Some accumulate.
        FlagRule::Meets(constraint) => judge_constraint::deciding(name, constraint)
            .iter()
            .map(|name| flags.values(name))
            .collect(),
    }
}

#[cfg(test)]
#[path = "judge_flags_tests.rs"]
mod tests;
