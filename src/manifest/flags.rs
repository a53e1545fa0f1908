//! The effective command line of a component: what its flags come to, by the rules of pflag (and of Go's flag package for etcd).

use std::fmt;

use super::booleans::is_boolean;
use crate::domain::{Component, Container, FlagName, StaticPod};

/// A component's command line, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    container: usize,
    argv: Vec<String>,
    flags: Vec<Flag>,
}

/// One occurrence of a flag on a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flag {
    pub(super) name: FlagName,
    pub(super) value: String,
    /// Where it stands in `argv`.
    pub(super) at: usize,
    /// Whether its value is an argument of its own (`--x`, `y`).
    pub(super) form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `--x=y`
    Joined,
    /// `--x` `y`
    Split,
    /// `--x`
    Bare,
}

/// A command line whose effect cannot be told for certain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the command line of {component} cannot be judged: {why}")]
pub struct NotUnderstood {
    /// The component.
    pub component: Component,
    /// Why not.
    pub why: String,
}

/// A value that Go's `strconv.ParseBool` does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotABoolean(pub String);

impl fmt::Display for NotABoolean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is neither true nor false", self.0)
    }
}

/// The effective command line of the component's container.
///
/// # Errors
/// When there is no such container or more than one, when a shell or another wrapper starts it, and when a variable
/// that is not known here is part of it.
pub fn command_line(component: Component, pod: &StaticPod) -> Result<CommandLine, NotUnderstood> {
    let not_understood = |why: String| NotUnderstood { component, why };
    let index = container_index(component, pod).map_err(not_understood)?;
    let container = pod
        .containers
        .get(index)
        .ok_or_else(|| not_understood("it has no container".to_owned()))?;
    let argv = argv_of(component, container).map_err(not_understood)?;
    let flags = parse_flags(component, &argv).map_err(not_understood)?;
    no_other_source(component, container, &flags).map_err(not_understood)?;
    Ok(CommandLine {
        container: index,
        argv,
        flags,
    })
}

/// The flags of a running component in order, by its arguments as `/proc/PID/cmdline` has them.
///
/// # Errors
/// When an argument is no flag.
pub fn flags_of_process(
    component: Component,
    argv: &[String],
) -> Result<Vec<(FlagName, String)>, NotUnderstood> {
    let flags = parse_flags(component, argv).map_err(|why| NotUnderstood { component, why })?;
    Ok(flags.into_iter().map(|flag| (flag.name, flag.value)).collect())
}

fn container_index(component: Component, pod: &StaticPod) -> Result<usize, String> {
    let runs_it = |container: &Container| {
        let binary = container.command.first().map_or("", String::as_str);
        binary.rsplit('/').next() == Some(component.name())
    };
    let candidates: Vec<usize> = (0..pod.containers.len())
        .filter(|index| {
            pod.containers
                .get(*index)
                .is_some_and(|c| c.name == component.name() || runs_it(c))
        })
        .collect();
    match (candidates.as_slice(), pod.containers.len()) {
        ([one], _) => Ok(*one),
        ([], 1) => Ok(0),
        ([], _) => Err(format!("none of the pod's containers is {component}")),
        (several, _) => Err(format!(
            "{} of the pod's containers could be {component}",
            several.len()
        )),
    }
}

fn argv_of(component: Component, container: &Container) -> Result<Vec<String>, String> {
    let binary = container.command.first().ok_or_else(|| {
        "the manifest gives no command, so what runs is decided by the image's entrypoint".to_owned()
    })?;
    let base = binary.rsplit('/').next().unwrap_or(binary);
    if binary.contains(char::is_whitespace) {
        return Err(format!(
            "its command is one string ({binary}); write each argument as an item of the list"
        ));
    }
    if base != component.name() {
        let what = if matches!(base, "sh" | "bash" | "dash" | "ash" | "busybox") {
            "a shell"
        } else {
            "another program"
        };
        return Err(format!(
            "{what} ({binary}) starts it, so its flags are not what they look like"
        ));
    }
    container
        .command
        .iter()
        .chain(&container.args)
        .map(|word| expand(word))
        .collect()
}

/// `$$` is a dollar; `$(NAME)` is a variable, whose value is not known here (kubernetes third_party/forked/golang/expansion).
fn expand(word: &str) -> Result<String, String> {
    let mut expanded = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(dollar) = rest.find('$') {
        let (before, after) = rest.split_at(dollar);
        expanded.push_str(before);
        if let Some(next) = after.strip_prefix("$$") {
            expanded.push('$');
            rest = next;
        } else if after.starts_with("$(") && after.contains(')') {
            return Err(format!("the variable in {word} is not known here"));
        } else {
            expanded.push('$');
            rest = after.strip_prefix('$').unwrap_or("");
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// `word` written so that the kubelet's expansion leaves it as it is.
#[must_use]
pub fn escaped(word: &str) -> String {
    if word.contains("$(") || word.contains("$$") {
        word.replace('$', "$$")
    } else {
        word.to_owned()
    }
}

fn parse_flags(component: Component, argv: &[String]) -> Result<Vec<Flag>, String> {
    let mut flags = Vec::new();
    let mut index = 1;
    while let Some(word) = argv.get(index) {
        if word == "--" {
            return match argv.get(index + 1) {
                Some(word) => Err(format!("\"{word}\" after -- is no flag")),
                None => Ok(flags),
            };
        }
        let (name, joined) = name_of(component, word)?;
        let (value, form) = match (joined, is_boolean(component, &name)) {
            (Some(value), _) => (value, Form::Joined),
            (None, true) => ("true".to_owned(), Form::Bare),
            (None, false) => {
                let value = argv
                    .get(index + 1)
                    .ok_or_else(|| format!("{name} has no value"))?;
                // pflag would take it, but then the flag is rather a boolean that is not known here.
                if value.starts_with("--") {
                    return Err(format!("{name} is followed by {value}; write it as {name}=VALUE"));
                }
                (value.clone(), Form::Split)
            }
        };
        flags.push(Flag {
            name,
            value,
            at: index,
            form,
        });
        index += if form == Form::Split { 2 } else { 1 };
    }
    Ok(flags)
}

/// The name of the flag that the word is, and its value if that is joined by `=`.
fn name_of(component: Component, word: &str) -> Result<(FlagName, Option<String>), String> {
    let (name, value) = word
        .split_once('=')
        .map_or((word, None), |(name, value)| (name, Some(value.to_owned())));
    let bare = match (component, name.strip_prefix("--"), name.strip_prefix('-')) {
        (_, Some(long), _) => long,
        // Go's flag package takes one dash as well as two.
        (Component::Etcd, None, Some(long)) => long,
        (_, None, Some(_)) => {
            return Err(format!(
                "the short flag {word} is not read here; write it out as --name=value"
            ));
        }
        (_, None, None) => return Err(format!("\"{word}\" is no flag")),
    };
    // A third dash is bad syntax to both packages; only pflag takes `_` for `-`.
    if bare.starts_with('-') || (component == Component::Etcd && bare.contains('_')) {
        return Err(format!("\"{word}\" is no flag"));
    }
    let name = bare
        .parse()
        .map_err(|error: crate::domain::InvalidFlagName| error.to_string())?;
    Ok((name, value))
}

/// etcd takes what its command line leaves open from `ETCD_*` variables, and with a configuration file nothing else.
fn no_other_source(component: Component, container: &Container, flags: &[Flag]) -> Result<(), String> {
    if component != Component::Etcd {
        return Ok(());
    }
    if flags.iter().any(|flag| flag.name.as_str() == "config-file") {
        return Err("--config-file makes etcd ignore all its other flags".to_owned());
    }
    let set_by = |variable: &&String| {
        let name = variable.strip_prefix("ETCD_").unwrap_or("");
        let name = name.to_ascii_lowercase().replace('_', "-");
        !name.is_empty() && name != "unsupported-arch" && !flags.iter().any(|flag| flag.name.as_str() == name)
    };
    match container.env.iter().find(set_by) {
        Some(variable) => Err(format!(
            "the variable {variable} sets a flag of etcd; write it as a flag"
        )),
        None => Ok(()),
    }
}

impl CommandLine {
    /// The arguments, the binary first: what `/proc/PID/cmdline` of the process must equal.
    #[must_use]
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// Which of the pod's containers it is.
    #[must_use]
    pub const fn container(&self) -> usize {
        self.container
    }

    /// The flags in order.
    pub fn flags(&self) -> impl Iterator<Item = (&FlagName, &str)> {
        self.flags.iter().map(|flag| (&flag.name, flag.value.as_str()))
    }

    pub(super) fn occurrences_of(&self, name: &FlagName) -> Vec<&Flag> {
        self.flags.iter().filter(|flag| flag.name == *name).collect()
    }

    pub(super) fn flags_at(&self) -> impl Iterator<Item = &Flag> {
        self.flags.iter()
    }

    pub(super) fn last_flag(&self) -> Option<&Flag> {
        self.flags.last()
    }

    /// How often the flag stands there.
    #[must_use]
    pub fn occurrences(&self, name: &FlagName) -> usize {
        self.occurrences_of(name).len()
    }

    /// The value of a flag that is given once in effect: the last one wins.
    #[must_use]
    pub fn scalar(&self, name: &FlagName) -> Option<&str> {
        self.occurrences_of(name).last().map(|flag| flag.value.as_str())
    }

    /// The value of a boolean flag.
    ///
    /// # Errors
    /// When the value is none of Go's words for true and false.
    pub fn boolean(&self, name: &FlagName) -> Result<Option<bool>, NotABoolean> {
        self.scalar(name)
            .map(|value| parse_boolean(value).ok_or_else(|| NotABoolean(value.to_owned())))
            .transpose()
    }

    /// The members of a list flag: each occurrence adds its comma-separated values (pflag `StringSlice`).
    #[must_use]
    pub fn list(&self, name: &FlagName) -> Option<Vec<String>> {
        let occurrences = self.occurrences_of(name);
        (!occurrences.is_empty()).then(|| {
            occurrences
                .iter()
                .flat_map(|flag| comma_separated(&flag.value))
                .collect()
        })
    }
}

/// Go's `strconv.ParseBool`.
#[must_use]
pub fn parse_boolean(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// One record of comma-separated values, in which a quoted field may hold a comma and `""` is a quote.
fn comma_separated(record: &str) -> Vec<String> {
    if record.is_empty() {
        return Vec::new();
    }
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = record.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, quoted) {
            ('"', true) if characters.peek() == Some(&'"') => {
                characters.next();
                if let Some(field) = fields.last_mut() {
                    field.push('"');
                }
            }
            ('"', _) => quoted = !quoted,
            (',', false) => fields.push(String::new()),
            (other, _) => {
                if let Some(field) = fields.last_mut() {
                    field.push(other);
                }
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use Component::{ApiServer, Etcd};

    fn pod(yaml: &str) -> StaticPod {
        let text =
            format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{yaml}]}}\n");
        crate::manifest::parse(text.as_bytes()).unwrap()
    }

    fn line_of(component: Component, words: &[&str]) -> Result<CommandLine, String> {
        let words = serde_json::to_string(words).unwrap();
        let pod = pod(&format!("{{name: {component}, command: {words}}}"));
        command_line(component, &pod).map_err(|error| error.why)
    }

    fn flags(component: Component, words: &[&str]) -> Result<Vec<(String, String)>, String> {
        let all = [&[component.name()], words].concat();
        let line = line_of(component, &all)?;
        Ok(line
            .flags()
            .map(|(name, value)| (name.as_str().to_owned(), value.to_owned()))
            .collect())
    }

    fn name(name: &str) -> FlagName {
        name.parse().unwrap()
    }

    #[test]
    fn every_form_of_a_flag_is_read_as_pflag_reads_it() {
        type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);
        let table: [Case<'_>; 9] = [
            (&["--v=2"], &[("v", "2")]),
            (&["--v", "2"], &[("v", "2")]),
            (&["--profiling"], &[("profiling", "true")]),
            (&["--profiling", "--v=2"], &[("profiling", "true"), ("v", "2")]),
            (&["--audit_log_path=-"], &[("audit-log-path", "-")]),
            (&["--v", "-1"], &[("v", "-1")]),
            (&["--a=b=c", "--d="], &[("a", "b=c"), ("d", "")]),
            (&["--a=1", "--a=2"], &[("a", "1"), ("a", "2")]),
            (
                &["--a=$$(B)", "--b=$c", "--d=$(e", "--"],
                &[("a", "$(B)"), ("b", "$c"), ("d", "$(e")],
            ),
        ];
        for (words, expected) in table {
            let expected = expected
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect();
            assert_eq!(flags(ApiServer, words), Ok(expected), "{words:?}");
        }
        let one_dash = [
            ("name".to_owned(), "a".to_owned()),
            ("auto-tls".to_owned(), "true".to_owned()),
        ];
        assert_eq!(flags(Etcd, &["-name=a", "--auto-tls"]), Ok(one_dash.to_vec()));
    }

    #[test]
    fn what_is_no_flag_is_not_understood() {
        let table: [(Component, &[&str], &str); 12] = [
            (ApiServer, &["--profiling", "false"], "\"false\" is no flag"),
            (ApiServer, &["--v"], "--v has no value"),
            (ApiServer, &["---v=1"], "\"---v=1\" is no flag"),
            (ApiServer, &["----v=1"], "\"----v=1\" is no flag"),
            (
                ApiServer,
                &["--v=1", "--", "--v=2"],
                "\"--v=2\" after -- is no flag",
            ),
            (ApiServer, &[""], "\"\" is no flag"),
            (
                ApiServer,
                &["-v=4"],
                "the short flag -v=4 is not read here; write it out as --name=value",
            ),
            (
                ApiServer,
                &["--a=$(B)"],
                "the variable in --a=$(B) is not known here",
            ),
            (
                ApiServer,
                &["--unknown", "--v=1"],
                "--unknown is followed by --v=1; write it as --unknown=VALUE",
            ),
            (
                Etcd,
                &["--client_cert_auth=true"],
                "\"--client_cert_auth=true\" is no flag",
            ),
            (
                Etcd,
                &["-"],
                "\"\" is not a flag name: write letters, digits and dashes, like profiling",
            ),
            (
                Etcd,
                &["--config-file=/a"],
                "--config-file makes etcd ignore all its other flags",
            ),
        ];
        for (component, words, why) in table {
            assert_eq!(flags(component, words), Err(why.to_owned()), "{words:?}");
        }
    }

    #[test]
    fn what_is_started_by_something_else_is_not_understood() {
        let shell = |sh: &str| format!("a shell ({sh}) starts it, so its flags are not what they look like");
        let one = "kube-apiserver --config=/a/kube-apiserver";
        let table: [(&[&str], String); 4] = [
            (&["sh", "-c", "kube-apiserver --v=1"], shell("sh")),
            (&["/bin/bash", "-c", "exec kube-apiserver"], shell("/bin/bash")),
            (
                &["/usr/bin/env", "kube-apiserver"],
                "another program (/usr/bin/env) starts it, so its flags are not what they look like"
                    .to_owned(),
            ),
            (
                &[one],
                format!("its command is one string ({one}); write each argument as an item of the list"),
            ),
        ];
        for (words, why) in table {
            assert_eq!(line_of(ApiServer, words), Err(why), "{words:?}");
        }
        let args_only = pod("{name: kube-apiserver, args: [--v=1]}");
        let why = command_line(ApiServer, &args_only).unwrap_err().to_string();
        assert_eq!(
            why,
            "the command line of kube-apiserver cannot be judged: the manifest gives no command, so what runs is decided by the image's entrypoint"
        );
        line_of(ApiServer, &["/usr/local/bin/kube-apiserver", "--v=1"]).unwrap();
    }

    #[test]
    fn the_component_is_found_among_several_containers() {
        let pod_of = |names: &[&str]| {
            let all: Vec<String> = names
                .iter()
                .map(|name| format!("{{name: {name}, command: [{name}], args: [--v=1]}}"))
                .collect();
            pod(&all.join(","))
        };
        let found = |names: &[&str]| {
            command_line(ApiServer, &pod_of(names))
                .map(|line| (line.container(), line.argv().to_vec()))
                .map_err(|error| error.why)
        };
        let argv = ["kube-apiserver", "--v=1"].map(str::to_owned).to_vec();
        assert_eq!(found(&["a", "kube-apiserver", "b"]), Ok((1, argv)));
        assert_eq!(
            found(&["a", "b"]),
            Err("none of the pod's containers is kube-apiserver".to_owned())
        );
        let two =
            pod("{name: a, command: [/x/kube-apiserver]}, {name: kube-apiserver, command: [kube-apiserver]}");
        assert_eq!(
            command_line(ApiServer, &two).unwrap_err().why,
            "2 of the pod's containers could be kube-apiserver"
        );
    }

    #[test]
    fn a_variable_of_etcd_counts_unless_the_flag_is_given() {
        let with = |variable: &str, flag: &str| {
            let pod = pod(&format!(
                "{{name: etcd, command: [etcd, {flag}], env: [{{name: {variable}, value: x}}]}}"
            ));
            command_line(Etcd, &pod).map(drop).map_err(|error| error.why)
        };
        let why = "the variable ETCD_CLIENT_CERT_AUTH sets a flag of etcd; write it as a flag";
        assert_eq!(with("ETCD_CLIENT_CERT_AUTH", "--name=a"), Err(why.to_owned()));
        assert_eq!(with("ETCD_CLIENT_CERT_AUTH", "--client-cert-auth"), Ok(()));
        assert_eq!(with("ETCD_UNSUPPORTED_ARCH", "--name=a"), Ok(()));
        assert_eq!(with("GOGC", "--name=a"), Ok(()));
    }

    #[test]
    fn scalars_booleans_and_lists() {
        let words = [
            "kube-apiserver",
            "--a=1",
            "--a=2",
            "--list=a,b",
            "--list=c",
            "--profiling",
            "--watch-cache=F",
            "--bad=yes",
            "--none=",
            "--quoted=\"x,y\",\"say \"\"z\"\"\"",
        ];
        let line = line_of(ApiServer, &words).unwrap();
        let strings = |all: &[&str]| Some(all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(line.scalar(&name("a")), Some("2"));
        assert_eq!(line.occurrences(&name("a")), 2);
        assert_eq!(line.list(&name("list")), strings(&["a", "b", "c"]));
        assert_eq!(line.list(&name("none")), strings(&[]));
        assert_eq!(line.list(&name("absent")), None);
        assert_eq!(line.list(&name("quoted")), strings(&["x,y", "say \"z\""]));
        assert_eq!(line.boolean(&name("profiling")), Ok(Some(true)));
        assert_eq!(line.boolean(&name("watch-cache")), Ok(Some(false)));
        assert_eq!(line.boolean(&name("bad")), Err(NotABoolean("yes".to_owned())));
        assert_eq!(line.boolean(&name("absent")), Ok(None));
        assert_eq!(line.argv(), words);
    }

    #[test]
    fn go_takes_twelve_words_for_booleans() {
        for word in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(parse_boolean(word), Some(true));
        }
        for word in ["0", "f", "F", "false", "FALSE", "False"] {
            assert_eq!(parse_boolean(word), Some(false));
        }
        for word in ["", "yes", "no", "on", "tRUE", " true"] {
            assert_eq!(parse_boolean(word), None);
        }
    }

    #[test]
    fn an_escaped_value_expands_to_itself() {
        for value in ["", "$", "$$", "a$b", "$(A)", "$$(A)", "$(", "a$$$b", "$()"] {
            assert_eq!(expand(&escaped(value)).as_deref(), Ok(value));
        }
    }
}
