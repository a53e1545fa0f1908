//! The kubelet's command line, as pflag reads it.

use crate::domain::{FlagName, Process};

/// The flags of a kubelet that runs, in order, each with its value; a boolean that stands alone is `true`.
///
/// # Errors
/// When it cannot be told what a word is: which, and why.
pub fn flags_of(process: &Process) -> Result<Vec<(FlagName, String)>, String> {
    let mut flags = Vec::new();
    let mut words = process.argv.iter().skip(1).peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            return match words.next() {
                None => Ok(flags),
                Some(word) => Err(format!("\"{word}\" after -- is no flag")),
            };
        }
        let Some(flag) = word.strip_prefix("--") else {
            match word.strip_prefix('-') {
                // The verbosity, which may be joined to its flag.
                Some("v") => drop(words.next()),
                Some(joined) if joined.starts_with('v') => {}
                _ => return Err(format!("\"{word}\" is no flag")),
            }
            continue;
        };
        let (name, joined) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let name: FlagName = name
            .parse()
            .map_err(|error: crate::domain::InvalidFlagName| error.to_string())?;
        let value = match (joined, words.peek()) {
            (Some(value), _) => value,
            (None, _) if BOOLEANS.contains(&name.as_str()) => "true".to_owned(),
            (None, None) => return Err(format!("{name} has no value")),
            // It would be the value, unless the flag is a boolean of a version that is not known here.
            (None, Some(next)) if next.starts_with('-') => {
                return Err(format!(
                    "{name} is followed by {next}, which may be its value or not"
                ));
            }
            (None, Some(next)) => {
                let value = (*next).clone();
                words.next();
                value
            }
        };
        flags.push((name, value));
    }
    Ok(flags)
}

/// The flags that take no next word: `kubelet --help` of 1.35.4, and what older versions had (cmd/kubelet/app/options).
const BOOLEANS: [&str; 38] = [
    "add-dir-header",
    "allow-privileged",
    "alsologtostderr",
    "anonymous-auth",
    "authentication-token-webhook",
    "cgroups-per-qos",
    "contention-profiling",
    "cpu-cfs-quota",
    "enable-controller-attach-detach",
    "enable-debugging-handlers",
    "enable-load-reader",
    "enable-server",
    "exit-on-lock-contention",
    "experimental-allocatable-ignore-eviction",
    "fail-cgroupv1",
    "fail-swap-on",
    "help",
    "keep-terminated-pod-volumes",
    "kernel-memcg-notification",
    "local-storage-capacity-isolation",
    "log-cadvisor-usage",
    "log-json-split-stream",
    "log-text-split-stream",
    "logtostderr",
    "make-iptables-util-chains",
    "one-output",
    "protect-kernel-defaults",
    "register-node",
    "register-schedulable",
    "rotate-certificates",
    "rotate-server-certificates",
    "runonce",
    "seccomp-default",
    "serialize-image-pulls",
    "skip-headers",
    "skip-log-headers",
    "storage-driver-secure",
    "version",
];

#[cfg(test)]
mod tests {
    use super::super::tests::process;
    use super::*;

    fn read(words: &[&str]) -> Result<Vec<(String, String)>, String> {
        let pairs = flags_of(&process(words))?.into_iter();
        Ok(pairs
            .map(|(name, value)| (name.as_str().to_owned(), value))
            .collect())
    }

    #[test]
    fn every_form_of_a_flag_is_read_as_the_kubelet_reads_it() {
        type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);
        let table: [Case<'_>; 8] = [
            (&["--config=/a"], &[("config", "/a")]),
            (&["--config", "/a"], &[("config", "/a")]),
            (&["--config_dir=/a"], &[("config-dir", "/a")]),
            (&["--config=", "--a=b=c"], &[("config", ""), ("a", "b=c")]),
            (
                &["--anonymous-auth", "--port=1"],
                &[("anonymous-auth", "true"), ("port", "1")],
            ),
            (&["--anonymous_auth=F"], &[("anonymous-auth", "F")]),
            (&["-v", "2", "-v2", "-v=2", "--v=2"], &[("v", "2")]),
            (&["--port=1", "--port=2", "--"], &[("port", "1"), ("port", "2")]),
        ];
        for (words, expected) in table {
            let expected = expected
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            assert_eq!(read(words), Ok(expected.collect()), "{words:?}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        let table: [(&[&str], &str); 6] = [
            (&["--anonymous-auth", "false"], "\"false\" is no flag"),
            (&["--node-ip"], "--node-ip has no value"),
            (&["--", "word"], "\"word\" after -- is no flag"),
            (
                &["--new-one", "--anonymous-auth"],
                "--new-one is followed by --anonymous-auth, which may be its value or not",
            ),
            (&["-port=1"], "\"-port=1\" is no flag"),
            (
                &["---port=1"],
                "\"-port\" is not a flag name: write letters, digits and dashes, like profiling",
            ),
        ];
        for (words, why) in table {
            assert_eq!(read(words), Err(why.to_owned()), "{words:?}");
        }
    }
}
