//! The command line: reads the arguments and the configuration, goes along the path as far as the command says, prints, and
//! answers with an exit code.

mod apply;
pub mod args;
mod bounce;
mod documents;
mod enable;
mod encryption;
mod export;
mod follow;
mod forget;
mod handed;
mod interrupts;
mod kubelet_start;
mod locked;
mod pause;
mod recover;
mod rotate;
mod setup;
mod walk;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use crate::adapters::Node;
use crate::adapters::journal_store::{JournalStore, StoreError};
use crate::adapters::system_log::{self, Sink};
use crate::controls::{Control, ControlName, catalogue};
use crate::daemon::{self, DaemonError};
use crate::domain::Fact;
use crate::events::tell;
use crate::journal::JournalState;
use crate::plan::select_for;
use crate::reconcile::{self, Intent, Looked};
use crate::report::{self, Colour, ExitClass, Heading};
use args::{Arguments, Command, Output, Scope};
pub use setup::CliError;
use setup::Setup;

/// Runs the command that the arguments of this process name.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    match run(&arguments) {
        Ok(class) => ExitCode::from(class.code()),
        Err(error) => {
            complain(&format!("holdfast: {error}"));
            ExitCode::from(error.class().code())
        }
    }
}

/// Runs the command of these words (without the program's name) on simulated nodes that `make` gives, whatever the real one is; the exit
/// code. For tests only.
#[cfg(feature = "failpoints")]
pub fn main_on(make: fn() -> Node, words: &[&str]) -> u8 {
    setup::simulate(make);
    let words = std::iter::once("holdfast").chain(words.iter().copied());
    let arguments = match Arguments::read(words.map(std::ffi::OsString::from)) {
        Ok(arguments) => arguments,
        Err(error) => return args::exit_class(&error).code(),
    };
    match run(&arguments) {
        Ok(class) => class.code(),
        Err(error) => {
            complain(&format!("holdfast: {error}"));
            error.class().code()
        }
    }
}

/// Help and version are no errors; all else is one of usage.
fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    match printed {
        Ok(()) => ExitCode::from(args::exit_class(error).code()),
        Err(_) => ExitCode::from(ExitClass::Failed.code()),
    }
}

fn run(arguments: &Arguments) -> Result<ExitClass, CliError> {
    match &arguments.command {
        Command::Check(what) => check(arguments, *what),
        Command::Plan(scope) => plan(arguments, *scope),
        Command::Apply(how) => apply::apply(arguments, how),
        Command::Validate => validate(arguments),
        Command::Run(how) => run_daemon(arguments, how.log.as_deref()),
        Command::Controls => controls(arguments),
        Command::Explain(which) => explain(arguments, &which.control),
        Command::Pause(how) => pause::pause(how.duration, &how.reason),
        Command::Resume => pause::resume(),
        Command::Bounce(how) => bounce::bounce(arguments, how),
        Command::Recover(how) => recover::recover(how.quiet),
        Command::Export(what) => match &what.command {
            args::ExportCommand::KubeadmPatches(to) => export::kubeadm_patches(arguments, &to.folder),
        },
        Command::Documents(to) => documents::documents(&to.folder),
        Command::Encryption(what) => encryption::run(arguments, &what.command),
    }
}

fn check(arguments: &Arguments, what: args::Check) -> Result<ExitClass, CliError> {
    let args::Check { benchmark, cluster } = what;
    if cluster && arguments.global.root.is_some() {
        let why = "--cluster asks the API, and with --root nobody is asked".to_owned();
        return Err(CliError::Usage(why));
    }
    let Setup { node, settings, .. } = Setup::new(&arguments.global)?;
    let journal = peek(&node)?;
    let own = settings.selected;
    let selected = benchmark.map_or_else(|| own.clone(), |benchmark| select_for(benchmark, &own));
    let looked = reconcile::check(&node, &settings.config, &selected, &journal, cluster);
    let heading = Heading {
        benchmark,
        ..heading(&looked)
    };
    say(&match arguments.global.output {
        Output::Text => report::findings_text(&looked.findings, &heading, colour(arguments)),
        Output::Json => report::findings_json(&looked.findings, &heading),
    })?;
    Ok(report::exit_code(&looked.findings))
}

/// What the journal says. It is root's alone: to anybody else a node is one that Holdfast has not changed yet, and what they
/// cannot read there is unknown anyway.
fn peek(node: &Node) -> Result<JournalState, CliError> {
    match JournalStore::peek(&node.files, &node.layout) {
        Err(StoreError::Unreadable(_)) if !nix::unistd::geteuid().is_root() => Ok(JournalState::default()),
        peeked => Ok(peeked?),
    }
}

fn plan(arguments: &Arguments, scope: Scope) -> Result<ExitClass, CliError> {
    let Setup { node, settings, .. } = Setup::new(&arguments.global)?;
    let journal = peek(&node)?;
    let looked = reconcile::look(
        &node,
        &settings.config,
        &settings.selected,
        &journal,
        &Intent {
            offline: arguments.global.root.is_some(),
            ..intent(scope)
        },
    );
    say(&match arguments.global.output {
        Output::Text => report::plan_text(
            &looked.plan,
            &looked.findings,
            &heading(&looked),
            colour(arguments),
        ),
        Output::Json => report::plan_json(&looked.plan, &heading(&looked)),
    })?;
    Ok(report::exit_code(&looked.findings))
}

/// Whether the configuration is one that the daemon would take.
fn validate(arguments: &Arguments) -> Result<ExitClass, CliError> {
    let Setup { node, settings, .. } = Setup::new(&arguments.global)?;
    let named = arguments.global.config.as_ref();
    let file = named.map_or_else(
        || node.layout.config.to_string(),
        |file| file.display().to_string(),
    );
    let judged = settings.selected.len();
    let holds = if named.is_none() && node.files.facts(&node.layout.config) == Fact::Absent {
        "is not there, so the defaults hold"
    } else {
        "holds"
    };
    say(&format!(
        "{file} {holds}: mode {}, {judged} controls are judged\n",
        settings.config.mode
    ))?;
    Ok(ExitClass::Compliant)
}

fn run_daemon(arguments: &Arguments, log: Option<&str>) -> Result<ExitClass, CliError> {
    setup::require_root()?;
    let in_journal = system_log::init(Sink::Auto, log)?;
    serve(arguments).map_err(|error| {
        // At a terminal the words on standard error are enough.
        if in_journal {
            tell!(
                NOT_STARTED,
                [],
                "Holdfast cannot start: {}",
                error.to_string().lines().next().unwrap_or_default()
            );
        }
        // Another daemon sees to what is out.
        if matches!(error, CliError::Daemon(DaemonError::Another(_))) {
            return error;
        }
        recover::before_giving_up(error)
    })
}

fn serve(arguments: &Arguments) -> Result<ExitClass, CliError> {
    let setup = Setup::new(&arguments.global)?;
    encryption::no_core_dumps()?;
    daemon::run(&setup.node, setup.settings.clone(), &|| setup.reload())?;
    Ok(ExitClass::Compliant)
}

fn controls(arguments: &Arguments) -> Result<ExitClass, CliError> {
    let controls = catalogue();
    say(&match arguments.global.output {
        Output::Text => report::controls_text(&controls, colour(arguments)),
        Output::Json => report::controls_json(&controls),
    })?;
    Ok(ExitClass::Compliant)
}

fn explain(arguments: &Arguments, name: &ControlName) -> Result<ExitClass, CliError> {
    let controls = named(arguments, name)?;
    say(&match (controls.as_slice(), arguments.global.output) {
        ([control], Output::Text) => report::explain_text(control, colour(arguments)),
        ([control], Output::Json) => report::explain_json(control),
        // A rule about several files, say: the reader chooses.
        (several, Output::Text) => report::controls_text(several, colour(arguments)),
        (several, Output::Json) => report::controls_json(several),
    })?;
    Ok(ExitClass::Compliant)
}

/// The controls of that name: of the catalogue, or one that the configuration's required flags make. At least one.
fn named(arguments: &Arguments, name: &ControlName) -> Result<Vec<Control>, CliError> {
    let mut controls = catalogue();
    controls.retain(|control| name.is_of(&control.id));
    if !controls.is_empty() {
        return Ok(controls);
    }
    let setup = Setup::new(&arguments.global)?;
    let selected = setup
        .settings
        .selected
        .into_iter()
        .map(|selected| selected.control);
    controls = selected.filter(|control| name.is_of(&control.id)).collect();
    if controls.is_empty() {
        let why = name.why_none().map_or_else(String::new, |why| format!(": {why}"));
        return Err(CliError::Usage(format!(
            "there is no control {name}{why}; `holdfast controls` lists them"
        )));
    }
    Ok(controls)
}

/// What an explicit command means: it acts in every mode.
fn intent(scope: Scope) -> Intent {
    Intent {
        asked: true,
        any_time: scope.any_time,
        retry: scope.retry,
        ..Intent::default()
    }
}

fn heading(looked: &Looked) -> Heading {
    Heading {
        paused: looked.paused.clone(),
        benchmark: None,
    }
}

fn colour(arguments: &Arguments) -> Colour {
    let no_color = std::env::var_os("NO_COLOR");
    arguments
        .global
        .color
        .colour(std::io::stdout().is_terminal(), no_color.as_deref())
}

/// Prints to standard output. A reader that has gone (`| head`) is no failure.
fn say(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::System {
            act: "cannot write to standard output",
            cause: error,
        }),
        _ => Ok(()),
    }
}

/// What a command that changes the node tells the journal: what it does, too.
const CHANGES: &str = "warn,holdfast=info,kube_client=off";
/// What is shown of it where there is no journal: what the command itself does not say.
const WARNINGS: &str = "warn,kube_client=off";

/// What a command changes, and warns of, reaches the journal, as that of the daemon does; where there is none, warnings go to standard error.
fn warn_in_journal() {
    let filter = if system_log::has_journal() {
        CHANGES
    } else {
        WARNINGS
    };
    // One that is set up already is as good.
    drop(system_log::init(Sink::Journal, Some(filter)));
}

/// Tells standard error. When that is gone too, the exit code remains, and what is in flight is brought to its end.
fn complain(text: &str) {
    drop(std::io::stderr().lock().write_all(format!("{text}\n").as_bytes()));
}
