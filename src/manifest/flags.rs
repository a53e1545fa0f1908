//! The effective command line of a component: what its flags come to, by the rules of pflag (and of Go's flag package for etcd).

use std::fmt;

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

fn parse_flags(component: Component, argv: &[String]) -> Result<Vec<Flag>, String> {
    let mut flags = Vec::new();
    let mut index = 1;
    while let Some(word) = argv.get(index) {
        if word == "--" {
            break;
        }
        let name = match (component, word.strip_prefix("--"), word.strip_prefix('-')) {
            (_, Some(long), _) => long,
            (Component::Etcd, None, Some(long)) if !long.is_empty() => long,
            _ => return Err(format!("\"{word}\" is no flag")),
        };
        let (name, joined) = name
            .split_once('=')
            .map_or((name, None), |(name, value)| (name, Some(value.to_owned())));
        let name: FlagName = name
            .parse()
            .map_err(|error: crate::domain::InvalidFlagName| error.to_string())?;
        let (value, form) = match (joined, is_boolean(component, &name)) {
            (Some(value), _) => (value, Form::Joined),
            (None, true) => ("true".to_owned(), Form::Bare),
            (None, false) => {
                let value = argv
                    .get(index + 1)
                    .ok_or_else(|| format!("{name} has no value"))?;
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

fn is_boolean(component: Component, name: &FlagName) -> bool {
    let of_component: &[&str] = match component {
        Component::ApiServer => &API_SERVER_BOOLEANS,
        Component::ControllerManager => &CONTROLLER_MANAGER_BOOLEANS,
        Component::Scheduler => &[],
        Component::Etcd => &ETCD_BOOLEANS,
    };
    of_component.contains(&name.as_str())
        || (component != Component::Etcd && SHARED_BOOLEANS.contains(&name.as_str()))
}

// The boolean flags, as `--help` of Kubernetes 1.35.4 and etcd 3.6.16 lists them, and those that older versions had.
// A boolean never takes the next argument as its value.

const SHARED_BOOLEANS: [&str; 11] = [
    "authentication-skip-lookup",
    "authentication-tolerate-lookup-failure",
    "contention-profiling",
    "disable-http2-serving",
    "help",
    "leader-elect",
    "log-json-split-stream",
    "log-text-split-stream",
    "permit-address-sharing",
    "permit-port-sharing",
    "profiling",
];

const API_SERVER_BOOLEANS: [&str; 22] = [
    "aggregator-reject-forwarding-redirect",
    "allow-privileged",
    "anonymous-auth",
    "audit-log-batch-throttle-enable",
    "audit-log-compress",
    "audit-log-truncate-enabled",
    "audit-webhook-batch-throttle-enable",
    "audit-webhook-truncate-enabled",
    "emulation-forward-compatible",
    "enable-aggregator-routing",
    "enable-bootstrap-token-auth",
    "enable-garbage-collector",
    "enable-logs-handler",
    "enable-priority-and-fairness",
    "enable-swagger-ui",
    "encryption-provider-config-automatic-reload",
    "kubelet-https",
    "runtime-config-emulation-forward-compatible",
    "service-account-extend-token-expiration",
    "service-account-lookup",
    "shutdown-send-retry-after",
    "watch-cache",
];

const CONTROLLER_MANAGER_BOOLEANS: [&str; 11] = [
    "allocate-node-cidrs",
    "allow-untagged-cloud",
    "configure-cloud-routes",
    "disable-attach-detach-reconcile-sync",
    "disable-force-detach-on-timeout",
    "enable-dynamic-provisioning",
    "enable-garbage-collector",
    "enable-hostpath-provisioner",
    "enable-leader-migration",
    "enable-taint-manager",
    "use-service-account-credentials",
];

const ETCD_BOOLEANS: [&str; 31] = [
    "auto-tls",
    "client-cert-auth",
    "debug",
    "discovery-insecure-skip-tls-verify",
    "discovery-insecure-transport",
    "enable-distributed-tracing",
    "enable-log-rotation",
    "enable-pprof",
    "enable-v2",
    "experimental-compact-hash-check-enabled",
    "experimental-corrupt-check",
    "experimental-enable-distributed-tracing",
    "experimental-enable-lease-checkpoint",
    "experimental-enable-lease-checkpoint-persist",
    "experimental-initial-corrupt-check",
    "experimental-memory-mlock",
    "experimental-peer-skip-client-san-verification",
    "experimental-stop-grpc-service-on-defrag",
    "experimental-txn-mode-write-with-shared-buffer",
    "force-new-cluster",
    "help",
    "initial-election-tick-advance",
    "peer-auto-tls",
    "peer-client-cert-auth",
    "peer-skip-client-san-verification",
    "pre-vote",
    "socket-reuse-address",
    "socket-reuse-port",
    "strict-reconfig-check",
    "unsafe-no-fsync",
    "version",
];
