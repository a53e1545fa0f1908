//! The command line: what can be asked, and how.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::config::{InvalidDuration, parse_duration};
use crate::controls::{Benchmark, ControlName};
use crate::domain::Component;
use crate::report::{Colour, ExitClass};

/// Keeps a Kubernetes control-plane host hardened: says what is not as it should be, mends it, and watches it.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(
    name = "holdfast",
    version,
    arg_required_else_help = false,
    subcommand_required = true,
    disable_help_subcommand = true,
    max_term_width = 110,
    after_help = "`holdfast --help` lists exit codes and examples.",
    after_long_help = AFTER_HELP
)]
pub struct Arguments {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What is asked.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Global {
    /// The configuration file, which must then be there [default: /etc/holdfast/config.yaml of the node, if it is there].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Look at the node whose file system is mounted at DIR (check, plan, validate, controls and explain only).
    #[arg(long, global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// How the answer is written; json for check, plan, apply, controls, explain, bounce and encryption status, verify and keys.
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: Output,
    /// When the text is coloured; auto: on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub color: When,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Hold every control against the node, and change nothing.
    Check(Check),
    /// Show what apply would change, with a diff for each edit, and change nothing.
    Plan(Scope),
    /// Mend what can be mended, after showing the plan and asking; acts in every mode.
    Apply(Apply),
    /// Read the configuration as every command does, and say whether it holds.
    Validate,
    /// Run the daemon, in the foreground (systemd starts it so).
    Run(Run),
    /// List all controls.
    Controls,
    /// Say what a control asks, why, what its remedy costs, and how to set it.
    Explain(Explain),
    /// Stop every change but recovery for a while, of commands and of the daemon.
    Pause(Pause),
    /// End the pause.
    Resume,
    /// Encryption at rest: what is configured, what is loaded, and what etcd really holds.
    Encryption(Encryption),
    /// Restart one component by moving its manifest out and back in, after saying what that costs and asking.
    Bounce(Bounce),
    /// Put back a manifest that a killed Holdfast left out of its folder; needs no configuration and no journal.
    Recover(Recover),
    /// Write what other tools must know, so that they keep what Holdfast has made.
    Export(Export),
    /// Write manual pages, completions, the journal's message catalog and the tables of controls and events below a folder.
    #[command(hide = true)]
    Documents(Documents),
}

/// Arguments of `export`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Export {
    /// What is written.
    #[command(subcommand)]
    pub command: ExportCommand,
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ExportCommand {
    /// Patches for `kubeadm upgrade --patches DIR`: the flags and hostPath volumes that the manifests of this node have beyond what kubeadm makes,
    /// and the kubelet's settings that are judged; says what they do not keep, and where kubeadm-config says otherwise.
    KubeadmPatches(KubeadmPatches),
}

/// Arguments of `export kubeadm-patches`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct KubeadmPatches {
    /// The folder, which is made if it is not there.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Arguments of `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::Args)]
pub struct Check {
    /// Only the controls of this benchmark, under its ids, judged by what it asks: cis-1.8, cis-1.9, cis-1.10, cis-1.11, cis-1.12,
    /// stig or nsa.
    #[arg(long, value_name = "NAME", value_parser = benchmark)]
    pub benchmark: Option<Benchmark>,
    /// Also look at objects of the API: rights, service accounts, pods, namespaces, network policies. Changes nothing there, ever.
    #[arg(long)]
    pub cluster: bool,
}

/// Arguments of `encryption`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Encryption {
    /// What is asked.
    #[command(subcommand)]
    pub command: EncryptionCommand,
}

/// What is asked of encryption at rest.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum EncryptionCommand {
    /// Show keys, configuration, and the stored values by key.
    Status,
    /// Prove from etcd that each value is under the write key, by decrypting it.
    Verify,
    /// Encrypt what a node stores in plaintext, from now on and what is there: one restart, then step by step, each proven.
    Enable(Enable),
    /// Change to a new key, step by step, each proven; or go on with the rotation that is under way.
    Rotate(Rotate),
    /// Turn the rotation that is under way back to the old key; not possible once the old key is cut.
    Abort(Consented),
    /// Store every value in plaintext again, step by step, each proven.
    Disable(Consented),
    /// List the keys that are in use, and those that were retired and are kept for old snapshots.
    Keys,
    /// Remove retired keys for good, after saying what that costs and asking; refused while anything needs one of them.
    Forget(Forget),
}

/// Arguments of `encryption enable`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Enable {
    /// The provider of the key; aescbc, if none is named.
    #[arg(long, value_enum)]
    pub provider: Option<KeyProvider>,
    /// What is encrypted: resources with their API group, as in an `EncryptionConfiguration`; secrets, if none is named.
    #[arg(long, value_delimiter = ',')]
    pub resources: Vec<String>,
    /// Leave `kube-system/kubeadm-config` as it is: the next `kubeadm upgrade` then drops the encryption.
    #[arg(long)]
    pub keep_kubeadm_config: bool,
    /// Whether it is done, when, and whether to ask.
    #[command(flatten)]
    pub consented: Consented,
}

/// Arguments of `encryption forget`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Forget {
    /// The keys, as `encryption keys` names them: aescbc:key1.
    #[arg(required = true, value_name = "KEY")]
    pub keys: Vec<String>,
    /// Say what would be removed, or why not, and remove nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `encryption rotate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Rotate {
    /// The provider of the new key; aescbc, if none is named.
    #[arg(long, value_enum)]
    pub provider: Option<KeyProvider>,
    /// Do not remove the old key before a later `rotate --cut`.
    #[arg(long, conflicts_with = "cut")]
    pub keep_old: bool,
    /// Let the old key of the rotation that is under way go, once nothing needs it.
    #[arg(long)]
    pub cut: bool,
    /// Whether it is done, when, and whether to ask.
    #[command(flatten)]
    pub consented: Consented,
}

/// Whether it is done, when, and whether to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Consented {
    /// Restart the API server even outside the disruption window, where a restart is needed.
    #[arg(long)]
    pub any_time: bool,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}

/// A provider of static keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum KeyProvider {
    /// AES-CBC.
    #[default]
    Aescbc,
    /// AES-GCM: to be rotated after 200,000 writes.
    Aesgcm,
    /// XSalsa20 and Poly1305.
    Secretbox,
}

/// Arguments of `apply`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Apply {
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// What may be changed.
    #[command(flatten)]
    pub scope: Scope,
}

/// What may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::Args)]
pub struct Scope {
    /// Restart components outside the disruption window too.
    #[arg(long)]
    pub any_time: bool,
    /// Try again what the node refused before.
    #[arg(long)]
    pub retry: bool,
}

/// Arguments of `run`.
#[derive(Debug, Clone, PartialEq, Eq, Default, clap::Args)]
pub struct Run {
    /// What is logged: a level, like debug, or parts, like warn,holdfast=trace.
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

/// Arguments of `bounce`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(after_help = "\
Exit codes: 0 it runs anew and is healthy (--dry-run: it would be made); 1 it is refused, was declined, or did not come about.

The daemon, or the next bounce or apply, carries on one that was killed; SIGTERM and Ctrl-C let it come to its end.")]
pub struct Bounce {
    /// kube-apiserver, kube-controller-manager, kube-scheduler or etcd.
    #[arg(value_parser = component)]
    pub component: Component,
    /// Only say what would be done, or why not.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// Outside the disruption window too.
    #[arg(long)]
    pub any_time: bool,
}

/// Arguments of `recover`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::Args)]
pub struct Recover {
    /// Say nothing but what takes an operator, as after each end of the daemon.
    #[arg(long)]
    pub quiet: bool,
}

/// Arguments of `documents`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Documents {
    /// The folder, which is made if it is not there.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Arguments of `explain`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Explain {
    /// Its id: CIS-1.2.15 or 1.2.15, cis-1.8:1.2.16 in another edition, V-242381 or CNTR-K8-000220.
    pub control: ControlName,
}

/// Arguments of `pause`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Pause {
    /// For how long: 90s, 30m, 2h30m.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Duration,
    /// Why; it is shown in every report.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// When text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum When {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

const AFTER_HELP: &str = "\
Exit codes:
  0   compliant: every control that is judged holds, or what was asked was done
  1   the command failed
  2   drift was found, or is left
  3   no drift, but something is unknown
  64  the command line is wrong
  69  this host has another Kubernetes than kubeadm makes, which is declined
  78  the configuration is refused

Examples:
  holdfast check                                    what is not as it should be
  holdfast check --benchmark cis-1.10               by what an edition asks, under its numbers
  holdfast explain CIS-1.2.15                       why it matters, and what its remedy costs
  holdfast plan                                     what would be changed, with diffs
  holdfast apply                                    change it, after asking
  holdfast apply --yes --any-time                   change it now, restarts included
  holdfast bounce kube-apiserver                    restart it fast, after saying what that costs
  holdfast check --output json | jq .summary        for programs
  holdfast check --root /mnt/node                   a node whose file system is mounted elsewhere
  holdfast pause --for 2h --reason 'disk swap'      change nothing for two hours

Files:
  /etc/holdfast/config.yaml   the configuration
  /etc/holdfast/pause         is there while Holdfast is paused
  /var/lib/holdfast/          journal, backups, quarantine, metrics.prom";

impl Arguments {
    /// The arguments, the first being the program's name.
    ///
    /// # Errors
    /// When they are wrong, and also when only help or the version was asked for; [`exit_class`] tells which.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let read = Self::try_parse_from(arguments)?;
        if read.global.root.is_some() && !read.command.takes_root() {
            let message = format!(
                "--root is for commands that change nothing: check, plan, validate, controls and explain, not {}",
                read.command.name()
            );
            return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        }
        if read.global.output == Output::Json && !read.command.takes_json() {
            let message = format!(
                "--output json is for check, plan, apply, controls, explain, bounce and encryption status, verify and keys, not {}",
                read.command.name()
            );
            return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        }
        Ok(read)
    }
}

/// What the program exits with when the arguments could not be read.
#[must_use]
pub fn exit_class(error: &clap::Error) -> ExitClass {
    if error.use_stderr() {
        ExitClass::Usage
    } else {
        ExitClass::Compliant
    }
}

impl Command {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Check(_) => "check",
            Self::Plan(_) => "plan",
            Self::Apply(_) => "apply",
            Self::Validate => "validate",
            Self::Run(_) => "run",
            Self::Controls => "controls",
            Self::Explain(_) => "explain",
            Self::Pause(_) => "pause",
            Self::Resume => "resume",
            Self::Bounce(_) => "bounce",
            Self::Recover(_) => "recover",
            Self::Encryption(what) => what.command.name(),
            Self::Export(_) => "export",
            Self::Documents(_) => "documents",
        }
    }

    /// A walk of minutes is told as it goes, and its end is the exit code.
    const fn takes_json(&self) -> bool {
        match self {
            Self::Check(_)
            | Self::Plan(_)
            | Self::Apply(_)
            | Self::Controls
            | Self::Explain(_)
            | Self::Bounce(_) => true,
            Self::Encryption(what) => match what.command {
                EncryptionCommand::Status | EncryptionCommand::Verify | EncryptionCommand::Keys => true,
                EncryptionCommand::Enable(_)
                | EncryptionCommand::Rotate(_)
                | EncryptionCommand::Abort(_)
                | EncryptionCommand::Disable(_)
                | EncryptionCommand::Forget(_) => false,
            },
            Self::Validate
            | Self::Run(_)
            | Self::Pause(_)
            | Self::Resume
            | Self::Recover(_)
            | Self::Export(_)
            | Self::Documents(_) => false,
        }
    }

    const fn takes_root(&self) -> bool {
        match self {
            Self::Check(_) | Self::Plan(_) | Self::Validate | Self::Controls | Self::Explain(_) => true,
            Self::Apply(_)
            | Self::Run(_)
            | Self::Pause(_)
            | Self::Resume
            | Self::Bounce(_)
            | Self::Encryption(_)
            | Self::Export(_)
            | Self::Recover(_)
            | Self::Documents(_) => false,
        }
    }
}

impl EncryptionCommand {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "encryption status",
            Self::Verify => "encryption verify",
            Self::Enable(_) => "encryption enable",
            Self::Rotate(_) => "encryption rotate",
            Self::Abort(_) => "encryption abort",
            Self::Disable(_) => "encryption disable",
            Self::Keys => "encryption keys",
            Self::Forget(_) => "encryption forget",
        }
    }
}

impl When {
    /// Whether text for a reader is coloured: `terminal` says whether it goes to one, `no_color` what the environment
    /// variable of that name holds (<https://no-color.org>: any text but an empty one counts).
    #[must_use]
    pub fn colour(self, terminal: bool, no_color: Option<&OsStr>) -> Colour {
        let unwanted = no_color.is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => Colour::Always,
            Self::Auto if terminal && !unwanted => Colour::Always,
            Self::Auto | Self::Never => Colour::Never,
        }
    }
}

fn duration(text: &str) -> Result<Duration, InvalidDuration> {
    parse_duration(text)
}

fn benchmark(text: &str) -> Result<Benchmark, String> {
    Benchmark::from_name(text).ok_or_else(|| {
        let names = Benchmark::ALL.map(Benchmark::name);
        format!("it is one of {}", names.join(", "))
    })
}

fn component(text: &str) -> Result<Component, String> {
    Component::from_name(text).ok_or_else(|| {
        let names = Component::ALL.map(Component::name);
        format!("it is one of {}", names.join(", "))
    })
}

fn reason(text: &str) -> Result<String, String> {
    let reason = text.trim();
    if reason.is_empty() {
        return Err("say why".to_owned());
    }
    Ok(reason.to_owned())
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
