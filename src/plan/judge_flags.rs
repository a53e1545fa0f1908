//! Flags of a component, held against what must be: the effective value by its manifest, and beside it the one that its
//! running process has.

use super::finding::{Evidence, Mend, Verdict};
use super::judge::{piece, unknown};
use super::judge_constraint;
use super::redact::redact;
use super::targets::{config_file, not_looked_at};
use crate::controls::{FlagRule, KubernetesVersion, Remedy};
use crate::domain::{Component, Fact, FlagName, Manifest, NodePath, Observation, Process, Reason};
use crate::manifest::{CommandLine, command_line, flags_of_process, parse_boolean};

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
        FlagRule::IsSet => format!("{name} is given"),
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
            judge_constraint::mend(component, name, constraint, flags)
        }
        (FlagRule::Is { value, .. }, Remedy::Restarts) => Some(Mend::Flag {
            component,
            name: name.clone(),
            value: value.clone(),
        }),
        _ => None,
    }
}

fn by_flags(name: &FlagName, rule: &FlagRule, flags: &Flags, version: Option<KubernetesVersion>) -> Held {
    let held = match rule {
        // Whether such a flag accumulates is a matter of its constraint.
        FlagRule::Meets(constraint) => return judge_constraint::judge(name, constraint, flags),
        FlagRule::Is { value, default, .. } => is(name, value, *default, flags),
        FlagRule::IsSet => is_set(name, flags),
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
        Some(value) => Held::new(true, shown(name, value)),
    }
}

fn at_least(name: &FlagName, minimum: i64, text: &str) -> Held {
    match whole_number(text) {
        Some(number) => Held::new(number >= minimum, shown(name, text)),
        None => Held::new(
            false,
            format!("{}, which is not a whole number", quoted(name, text)),
        ),
    }
}

/// Go's `strconv.ParseInt` with base 0, as pflag reads numbers: `0x1e`, `036` and `0b11110` are 30.
fn whole_number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2), ("0", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((lower.strip_prefix(prefix)?, radix)));
    let (digits, radix) = match prefixed {
        Some((rest, radix)) if !rest.is_empty() => (rest, radix),
        _ => (lower.as_str(), 10),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let number = i64::from_str_radix(digits, radix).ok().filter(|_| plain)?;
    Some(if negative { -number } else { number })
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
fn version_of(manifest: &Manifest, line: &CommandLine) -> Option<KubernetesVersion> {
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

/// The values that decide the rule.
fn settings<'a>(name: &FlagName, rule: &FlagRule, flags: &'a Flags) -> Vec<Vec<&'a str>> {
    let last = |name: &FlagName| flags.value(name).into_iter().collect();
    match rule {
        FlagRule::AtLeast { with, .. } => vec![last(name), last(with)],
        FlagRule::Is { .. } | FlagRule::IsSet => vec![last(name)],
        // Some accumulate.
        FlagRule::Meets(constraint) => judge_constraint::deciding(name, constraint)
            .iter()
            .map(|name| flags.values(name))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{API_SERVER, SCHEDULER, fresh_node, path, process, replace_manifest};
    use super::*;
    use crate::controls::{Control, Requirement, catalogue};

    fn control(id: &str) -> Control {
        catalogue()
            .into_iter()
            .find(|control| control.id.as_str() == id)
            .unwrap()
    }

    fn judged(control: &Control, node: &Observation) -> Vec<Evidence> {
        let Requirement::Flag {
            component,
            name,
            rule,
        } = &control.requirement
        else {
            panic!("{} is about no flag", control.id);
        };
        flag(*component, name, rule, control.remedy, node)
    }

    /// What comes of a control of the API server when these flags are added.
    fn with_flags(id: &str, flags: &[&str]) -> (Verdict, String, bool) {
        let mut node = node_with(flags);
        node.processes.clear();
        result(id, &node)
    }

    fn result(id: &str, node: &Observation) -> (Verdict, String, bool) {
        let [piece] = judged(&control(id), node).try_into().unwrap();
        (piece.verdict, piece.actual, piece.mend.is_some())
    }

    fn node_with(flags: &[&str]) -> Observation {
        let mut node = fresh_node();
        let lines: String = flags.iter().map(|flag| format!("    - {flag}\n")).collect();
        let text = API_SERVER.replacen("    image:", &format!("{lines}    image:"), 1);
        replace_manifest(&mut node, Component::ApiServer, &text);
        node
    }

    fn is(verdict: Verdict, actual: &str, mended: bool) -> (Verdict, String, bool) {
        (verdict, actual.to_owned(), mended)
    }

    #[test]
    fn a_flag_that_is_not_given_has_its_built_in_value_and_is_mended() {
        let mut expected = piece(
            "kube-apiserver --profiling",
            Verdict::Drift,
            "--profiling=false",
            "--profiling is not given (built-in: true)",
        );
        expected.mend = Some(Mend::Flag {
            component: Component::ApiServer,
            name: "profiling".parse().unwrap(),
            value: "false".to_owned(),
        });
        assert_eq!(judged(&control("CIS-1.2.15"), &fresh_node()), [expected]);
    }

    #[test]
    fn a_boolean_is_judged_in_every_spelling_and_by_its_last_value() {
        use Verdict::{Drift, Pass};
        let id = "CIS-1.2.15";
        for (flags, expected) in [
            (&["--profiling=false"][..], is(Pass, "--profiling=false", false)),
            (&["--profiling=F"], is(Pass, "--profiling=F", false)),
            (&["--profiling"], is(Drift, "--profiling=true", true)),
            (
                &["--profiling=false", "--profiling=1"],
                is(Drift, "--profiling=1, given twice; the last one counts", true),
            ),
            (
                &["--profiling=1", "--profiling=true", "--profiling=0"],
                is(Pass, "--profiling=0, given 3 times; the last one counts", false),
            ),
            (
                &["--profiling=maybe"],
                is(
                    Drift,
                    "--profiling is \"maybe\", which is neither true nor false",
                    true,
                ),
            ),
        ] {
            assert_eq!(with_flags(id, flags), expected, "{flags:?}");
        }
    }

    #[test]
    fn a_flag_that_must_be_given_may_not_be_empty_and_is_never_made_up() {
        use Verdict::{Drift, Pass};
        let id = "CIS-1.2.16";
        assert_eq!(
            with_flags(id, &[]),
            is(Drift, "--audit-log-path is not given", false)
        );
        assert_eq!(
            with_flags(id, &["--audit-log-path="]),
            is(Drift, "--audit-log-path is given without a value", false)
        );
        assert_eq!(
            with_flags(id, &["--audit-log-path=/x"]),
            is(Pass, "--audit-log-path=/x", false)
        );
    }

    #[test]
    fn a_number_is_read_as_go_reads_it_and_means_nothing_without_its_log() {
        use Verdict::{Drift, Pass};
        let path = "--audit-log-path=/x";
        let none = "--audit-log-path is not given, so there is nothing to keep";
        for (flags, expected) in [
            (&["--audit-log-maxage=30"][..], is(Drift, none, false)),
            (
                &[path, "--audit-log-maxage=30"],
                is(Pass, "--audit-log-maxage=30", false),
            ),
            (
                &[path, "--audit-log-maxage=0x1e"],
                is(Pass, "--audit-log-maxage=0x1e", false),
            ),
            (
                &[path, "--audit-log-maxage=030"],
                is(Drift, "--audit-log-maxage=030", false),
            ),
            (
                &[path, "--audit-log-maxage=0"],
                is(Drift, "--audit-log-maxage=0", false),
            ),
            (
                &[path, "--audit-log-maxage=-31"],
                is(Drift, "--audit-log-maxage=-31", false),
            ),
            (
                &[path, "--audit-log-maxage=30d"],
                is(
                    Drift,
                    "--audit-log-maxage is \"30d\", which is not a whole number",
                    false,
                ),
            ),
            (
                &[path],
                is(Drift, "--audit-log-maxage is not given (built-in: 0)", false),
            ),
        ] {
            assert_eq!(with_flags("CIS-1.2.17", flags), expected, "{flags:?}");
        }
        let built_in = is(Pass, "--audit-log-maxsize is not given (built-in: 100)", false);
        assert_eq!(with_flags("CIS-1.2.19", &[path]), built_in);
    }

    #[test]
    fn a_built_in_value_goes_by_the_version_of_the_image() {
        use Verdict::{Drift, Pass, Unknown};
        let not_told = "--audit-log-maxage is not given, and its built-in value depends on a version that the image does not tell";
        for (image, expected) in [
            (
                "x:v1.35.4",
                is(Drift, "--audit-log-maxage is not given (built-in: 0)", false),
            ),
            (
                "h:5000/x:v1.36.0-rc.1",
                is(Pass, "--audit-log-maxage is not given (built-in: 366)", false),
            ),
            (
                "x:v1.36.0@sha256:00",
                is(Pass, "--audit-log-maxage is not given (built-in: 366)", false),
            ),
            ("h:5000/x", is(Unknown, not_told, false)),
            ("x@sha256:00", is(Unknown, not_told, false)),
            ("x:latest", is(Unknown, not_told, false)),
        ] {
            let mut node = node_with(&["--audit-log-path=/x"]);
            node.processes.clear();
            if let Some(Fact::Known(manifest)) = node.manifests.get_mut(&Component::ApiServer) {
                manifest.pod.containers[0].image = image.to_owned();
            }
            assert_eq!(result("CIS-1.2.17", &node), expected, "{image}");
        }
    }

    #[test]
    fn without_a_manifest_it_does_not_apply_and_one_that_is_not_understood_is_unknown() {
        let mut node = fresh_node();
        node.manifests.insert(Component::ApiServer, Fact::Absent);
        assert_eq!(judged(&control("CIS-1.2.15"), &node), []);
        node.manifests
            .insert(Component::ApiServer, Fact::unknown("line 3: it is not YAML"));
        assert_eq!(
            result("CIS-1.2.15", &node),
            is(Verdict::Unknown, "line 3: it is not YAML", false)
        );
        node.manifests.clear();
        assert_eq!(
            result("CIS-1.2.15", &node),
            is(
                Verdict::Unknown,
                "the manifest of kube-apiserver was not looked at",
                false
            )
        );
        let (verdict, actual, mended) = with_flags("CIS-1.2.15", &["--profiling=$(X)"]);
        assert_eq!((verdict, mended), (Verdict::Unknown, false));
        assert!(
            actual.starts_with("the command line of kube-apiserver cannot be judged"),
            "{actual}"
        );
    }

    /// A manifest with one flag, beside a process with another.
    fn beside(written: &[&str], running: &[&str]) -> (Verdict, String, bool) {
        let mut node = node_with(written);
        let argv: Vec<String> = ["kube-apiserver"]
            .iter()
            .chain(running)
            .map(|word| (*word).to_owned())
            .collect();
        node.processes
            .insert(Component::ApiServer, Fact::Known(vec![process(7, &argv)]));
        result("CIS-1.2.15", &node)
    }

    #[test]
    fn a_process_that_does_not_run_as_its_manifest_says_is_told() {
        use Verdict::{Drift, Pass, Unknown};
        let (off, on) = ("--profiling=false", "--profiling=true");
        assert_eq!(beside(&[off], &[off, "--v=2"]), is(Pass, off, false));
        assert_eq!(
            beside(&[off], &["--v=2"]),
            is(
                Drift,
                "--profiling=false; of the running process: --profiling is not given (built-in: true), so a restart is due",
                false
            )
        );
        assert_eq!(
            beside(&[on], &[off]),
            is(
                Drift,
                "--profiling=true; of the running process: --profiling=false",
                true
            )
        );
        assert_eq!(
            beside(&[off], &["--profiling=0"]),
            is(
                Pass,
                "--profiling=false; of the running process: --profiling=0, so a restart is due",
                false
            )
        );
        assert_eq!(beside(&[off], &["word"]).0, Unknown);
    }

    #[test]
    fn processes_that_were_not_observed_say_nothing() {
        let mut node = node_with(&["--profiling=false"]);
        for fact in [
            Fact::Absent,
            Fact::unknown("no /proc"),
            Fact::Known(vec![]),
            Fact::Known(vec![process(7, &[])]),
        ] {
            node.processes.insert(Component::ApiServer, fact);
            assert_eq!(
                result("CIS-1.2.15", &node),
                is(Verdict::Pass, "--profiling=false", false)
            );
        }
    }

    fn scheduler_with(document: Option<Fact<serde_json::Value>>) -> (Verdict, String, bool) {
        let mut node = fresh_node();
        let config = "--config=/etc/kubernetes/scheduler.conf\n    - --profiling=false";
        let text = SCHEDULER.replace("--leader-elect=true", config);
        replace_manifest(&mut node, Component::Scheduler, &text);
        node.documents
            .extend(document.map(|fact| (path("/etc/kubernetes/scheduler.conf"), fact)));
        result("CIS-1.4.1", &node)
    }

    #[test]
    fn a_schedulers_configuration_file_counts_and_not_its_flag() {
        use Verdict::{Drift, Pass, Unknown};
        let file = "/etc/kubernetes/scheduler.conf";
        let known = |value| Some(Fact::Known(value));
        let because = "enableProfiling counts instead of --profiling, because of --config";
        for (document, expected) in [
            (
                known(serde_json::json!({"enableProfiling": false})),
                is(Pass, &format!("enableProfiling is false in {file}"), false),
            ),
            (
                known(serde_json::json!({"enableProfiling": true})),
                is(Drift, &format!("enableProfiling is true in {file}"), false),
            ),
            (
                known(serde_json::json!({})),
                is(
                    Drift,
                    &format!("enableProfiling is not given in {file} (built-in: true)"),
                    false,
                ),
            ),
            (
                known(serde_json::json!({"enableProfiling": "no"})),
                is(
                    Drift,
                    &format!("enableProfiling is \"no\" in {file}, which is neither true nor false"),
                    false,
                ),
            ),
            (
                Some(Fact::Absent),
                is(Unknown, &format!("{because}: {file} is not there"), false),
            ),
            (
                Some(Fact::unknown("not YAML")),
                is(Unknown, &format!("{because}: not YAML"), false),
            ),
            (
                None,
                is(Unknown, &format!("{because}: {file} was not looked at"), false),
            ),
        ] {
            assert_eq!(scheduler_with(document), expected);
        }
    }

    #[test]
    fn a_secret_in_a_flag_is_not_shown() {
        let name: FlagName = "token".parse().unwrap();
        assert_eq!(shown(&name, "abc"), "--token=[REDACTED]");
        assert_eq!(quoted(&name, "abc"), "--token is \"[REDACTED]\"");
    }
}
