//! The command line: reads the arguments and the configuration, goes along the path as far as the command says, prints, and
//! answers with an exit code.

mod apply;
pub mod args;
mod pause;
mod setup;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::adapters::journal_store::JournalStore;
use crate::adapters::system_log::{self, Sink};
use crate::controls::{Control, catalogue};
use crate::daemon;
use crate::domain::ControlId;
use crate::reconcile::{self, Intent, Looked};
use crate::report::{self, Colour, ExitClass, Heading};
use args::{Cli, Command, Output, When};
pub use setup::CliError;
use setup::Setup;

/// Runs the command that the arguments of this process name.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(&cli) {
        Ok(class) => class.into(),
        Err(error) => {
            complain(&format!("holdfast: {error}"));
            error.class().into()
        }
    }
}

/// Help and version are no errors; all else is one of usage.
fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    if !error.use_stderr() && printed.is_ok() {
        return ExitCode::SUCCESS;
    }
    ExitClass::Usage.into()
}

fn run(cli: &Cli) -> Result<ExitClass, CliError> {
    match &cli.command {
        Command::Check => check(cli),
        Command::Plan(how) => plan(cli, &how.intent()),
        Command::Apply(how) => apply::apply(cli, how),
        Command::Run => run_daemon(cli),
        Command::Controls => controls(cli),
        Command::Explain { control } => explain(cli, control),
        Command::Pause { duration, reason } => pause::pause(cli, *duration, reason),
        Command::Resume => pause::resume(cli),
    }
}

fn check(cli: &Cli) -> Result<ExitClass, CliError> {
    let Setup { node, settings, .. } = Setup::new(cli)?;
    let journal = JournalStore::peek(&node.files, &node.layout)?;
    let looked = reconcile::check(&node, &settings.config, &settings.selected, &journal);
    say(&match cli.output {
        Output::Text => report::findings_text(&looked.findings, &heading(&looked), colour(cli)),
        Output::Json => report::findings_json(&looked.findings, &heading(&looked)),
    })?;
    Ok(report::exit_code(&looked.findings))
}

fn plan(cli: &Cli, intent: &Intent) -> Result<ExitClass, CliError> {
    let Setup { node, settings, .. } = Setup::new(cli)?;
    let journal = JournalStore::peek(&node.files, &node.layout)?;
    let looked = reconcile::look(&node, &settings.config, &settings.selected, &journal, intent);
    say(&match cli.output {
        Output::Text => report::plan_text(&looked.plan, &looked.findings, &heading(&looked), colour(cli)),
        Output::Json => report::plan_json(&looked.plan, &heading(&looked)),
    })?;
    Ok(report::exit_code(&looked.findings))
}

fn run_daemon(cli: &Cli) -> Result<ExitClass, CliError> {
    setup::require_root()?;
    let setup = Setup::new(cli)?;
    system_log::init(Sink::Auto, cli.log.as_deref())?;
    daemon::run(&setup.node, setup.settings.clone(), &|| setup.reload())?;
    Ok(ExitClass::Compliant)
}

fn controls(cli: &Cli) -> Result<ExitClass, CliError> {
    let controls = catalogue();
    say(&match cli.output {
        Output::Text => report::controls_text(&controls, colour(cli)),
        Output::Json => report::controls_json(&controls),
    })?;
    Ok(ExitClass::Compliant)
}

fn explain(cli: &Cli, id: &str) -> Result<ExitClass, CliError> {
    let control = named(cli, id)?;
    say(&match cli.output {
        Output::Text => report::explain_text(&control, colour(cli)),
        Output::Json => report::explain_json(&control),
    })?;
    Ok(ExitClass::Compliant)
}

/// The control of that id: of the catalogue, or one that the configuration's required flags make.
fn named(cli: &Cli, text: &str) -> Result<Control, CliError> {
    let id: ControlId = text.parse().map_err(|error: crate::domain::InvalidControlId| CliError::Usage(error.to_string()))?;
    if let Some(control) = catalogue().into_iter().find(|control| control.id == id) {
        return Ok(control);
    }
    let setup = Setup::new(cli)?;
    let selected = setup.settings.selected.into_iter().map(|selected| selected.control);
    let unknown = || CliError::Usage(format!("there is no control {id}; `holdfast controls` lists them"));
    selected.into_iter().find(|control| control.id == id).ok_or_else(unknown)
}

fn heading(looked: &Looked) -> Heading {
    Heading { paused: looked.paused.clone() }
}

fn colour(cli: &Cli) -> Colour {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match cli.color {
        When::Always => Colour::Always,
        When::Auto if std::io::stdout().is_terminal() && !plain => Colour::Always,
        When::Auto | When::Never => Colour::Never,
    }
}

/// Prints to standard output. A reader that has gone (`| head`) is no failure.
fn say(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::System { act: "cannot write to standard output", cause: error })
        }
        _ => Ok(()),
    }
}

/// Tells standard error; when that is gone too, the exit code remains.
#[expect(clippy::print_stderr, reason = "the command line speaks to its user here")]
fn complain(text: &str) {
    eprintln!("{text}");
}
