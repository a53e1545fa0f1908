//! What the real binaries say to flags that they refuse, from their own lists of flags (`flags/*.txt`: name and type,
//! taken from `--help` of Kubernetes 1.35.4 and etcd 3.6.6).

use super::pod::Pod;
use std::path::Path;

/// The lines that the container writes before it ends, or nothing if its command line is accepted.
pub fn refusal(root: &Path, pod: &Pod, container: usize) -> Option<Vec<String>> {
    let argv = pod.argv(container);
    let name = argv.first()?.rsplit('/').next()?.to_owned();
    let table = Table::of(&name)?;
    let given = match table.parse(argv.get(1..)?) {
        Ok(given) => given,
        Err(error) => return Some(table.usage_and(&error)),
    };
    given.into_iter().find_map(|(flag, value)| {
        let wanted = names_an_input(&flag) && value.starts_with('/');
        (wanted && !pod.sees(root, container, &value)).then(|| vec![table.cannot_open(&flag, &value)])
    })
}

/// Files that must be there at the start; folders and logs that the process makes itself are not among them.
fn names_an_input(flag: &str) -> bool {
    const ENDS: [&str; 9] = [
        "-file",
        "-files",
        "kubeconfig",
        "cafile",
        "certfile",
        "keyfile",
        "-config",
        "-client-certificate",
        "-client-key",
    ];
    ENDS.iter().any(|end| flag.ends_with(end)) || matches!(flag, "config" | "kubelet-certificate-authority")
}

/// The flags of one binary.
struct Table {
    binary: String,
    text: &'static str,
}

impl Table {
    fn of(binary: &str) -> Option<Self> {
        let text = match binary {
            "kube-apiserver" => include_str!("flags/kube-apiserver.txt"),
            "kube-controller-manager" => include_str!("flags/kube-controller-manager.txt"),
            "kube-scheduler" => include_str!("flags/kube-scheduler.txt"),
            "etcd" => include_str!("flags/etcd.txt"),
            _ => return None,
        };
        Some(Self {
            binary: binary.to_owned(),
            text,
        })
    }

    fn is_etcd(&self) -> bool {
        self.binary == "etcd"
    }

    fn kind(&self, flag: &str) -> Option<&'static str> {
        self.text.lines().find_map(|line| {
            let (name, kind) = line.split_once(' ')?;
            (name == flag).then_some(kind)
        })
    }

    /// The flags in order, as pflag (etcd: Go's flag) reads them.
    fn parse(&self, arguments: &[String]) -> Result<Vec<(String, String)>, String> {
        let mut given = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let dashes = if self.is_etcd() { 1 } else { 2 };
            let bare = argument.trim_start_matches('-');
            if argument.len() - bare.len() < dashes || bare.is_empty() {
                return Err(format!(
                    "\"{}\" does not take any arguments, got [{argument:?}]",
                    self.binary
                ));
            }
            let (name, value) = match bare.split_once('=') {
                Some((name, value)) => (name.replace('_', "-"), Some(value.to_owned())),
                None => (bare.replace('_', "-"), None),
            };
            let Some(kind) = self.kind(&name) else {
                return Err(self.unknown(&name));
            };
            let value = match value {
                Some(value) => value,
                None if kind == "bool" => "true".to_owned(),
                None => rest.next().cloned().ok_or_else(|| self.needs_argument(&name))?,
            };
            self.check(&name, kind, &value)?;
            given.push((name, value));
        }
        Ok(given)
    }

    fn check(&self, name: &str, kind: &str, value: &str) -> Result<(), String> {
        let Some(why) = refused_by_go(kind, value) else {
            return Ok(());
        };
        Err(match (self.is_etcd(), kind) {
            (true, "bool") => format!("invalid boolean value {value:?} for -{name}: parse error"),
            (true, _) => format!("invalid value {value:?} for flag -{name}: parse error"),
            (false, _) => {
                let shown = if name == "v" { "-v, --v" } else { name };
                let dashes = if name == "v" { "" } else { "--" };
                format!("invalid argument {value:?} for \"{dashes}{shown}\" flag: {why}")
            }
        })
    }

    fn unknown(&self, name: &str) -> String {
        if self.is_etcd() {
            format!("flag provided but not defined: -{name}")
        } else {
            format!("unknown flag: --{name}")
        }
    }

    fn needs_argument(&self, name: &str) -> String {
        if self.is_etcd() {
            format!("flag needs an argument: -{name}")
        } else {
            format!("flag needs an argument: --{name}")
        }
    }

    /// etcd says the error first and the usage after it; the API server says the error alone; the others say the
    /// usage first.
    fn usage_and(&self, error: &str) -> Vec<String> {
        let usage = || {
            let flags = self.text.lines().map(|line| format!("      --{line}"));
            [
                "Usage:".to_owned(),
                format!("  {} [flags]", self.binary),
                String::new(),
            ]
            .into_iter()
            .chain(flags)
            .chain([String::new()])
        };
        match self.binary.as_str() {
            "etcd" => [error.to_owned()].into_iter().chain(usage()).collect(),
            "kube-apiserver" => vec![format!("Error: {error}")],
            _ => usage().chain([format!("Error: {error}")]).collect(),
        }
    }

    fn cannot_open(&self, flag: &str, path: &str) -> String {
        let act = if flag.ends_with("kubeconfig") {
            "stat"
        } else {
            "open"
        };
        let error = format!("{act} {path}: no such file or directory");
        if self.is_etcd() {
            let at = jiff::Timestamp::now();
            return format!(
                r#"{{"level":"fatal","ts":"{at:.6}","caller":"etcdmain/etcd.go:183","msg":"discovery failed","error":"{error}"}}"#
            );
        }
        let at = jiff::Zoned::now().strftime("%m%d %H:%M:%S%.6f").to_string();
        format!(r#"E{at}       1 run.go:72] "command failed" err="{error}""#)
    }
}

/// The error of Go's parser for a value of that type, in its words.
fn refused_by_go(kind: &str, value: &str) -> Option<String> {
    let syntax = |function: &str| format!("strconv.{function}: parsing {value:?}: invalid syntax");
    let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    const WORDS: [&str; 12] = [
        "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False",
    ];
    match kind {
        "bool" if !WORDS.contains(&value) => Some(syntax("ParseBool")),
        "int" | "int32" if !number => Some(syntax("ParseInt")),
        "uint" if !number || value.starts_with('-') => Some(syntax("ParseUint")),
        "float" | "float32" if value.parse::<f64>().is_err() => Some(syntax("ParseFloat")),
        "duration" if !is_duration(digits) => Some(format!("time: invalid duration {value:?}")),
        _ => None,
    }
}

/// `1h30m`, `1.5s`, `0`.
fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 7] = ["ns", "us", "µs", "ms", "s", "m", "h"];
    let mut rest = text;
    if rest == "0" {
        return true;
    }
    while !rest.is_empty() {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let unit = UNITS.iter().find(|unit| {
            after
                .strip_prefix(**unit)
                .is_some_and(|next| next.is_empty() || next.starts_with(|c: char| c.is_ascii_digit()))
        });
        let (true, Some(unit)) = (after.len() < rest.len(), unit) else {
            return false;
        };
        rest = after.strip_prefix(*unit).unwrap_or("");
    }
    !text.is_empty()
}
