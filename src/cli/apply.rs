//! `apply`: shows the plan, asks, makes it, and tells what came of it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use super::args::{self, Arguments, Output};
use super::setup::{self, CliError, Setup};
use super::{colour, heading, intent, say};
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::Held;
use crate::adapters::wakeups::{Wake, Wakeups};
use crate::apply::Outcome;
use crate::domain::Digest;
use crate::reconcile::{self, Intent, Looked};
use crate::report::{self, ExitClass};

/// The daemon gives the lock back after each pass; another `apply` may hold it for longer.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);

/// Applies the plan.
pub(super) fn apply(arguments: &Arguments, how: &args::Apply) -> Result<ExitClass, CliError> {
    setup::require_root()?;
    let setup = Setup::new(&arguments.global)?;
    let intent = intent(how.scope);
    let shown = shown_plan(&setup, &intent)?;
    if arguments.global.output == Output::Text {
        say(&report::plan_text(
            &shown.plan,
            &shown.findings,
            &heading(&shown),
            colour(arguments),
        ))?;
    }
    if shown.plan.changes.is_empty() && shown.plan.in_flight.is_none() && shown.plan.baseline.is_none() {
        return finish(arguments, &shown, &[]);
    }
    let consent = how.yes || shown.plan.changes.is_empty() || ask(shown.plan.changes.len())?;
    if !consent {
        say("Nothing was changed.\n")?;
        return Ok(report::exit_code(&shown.findings));
    }
    let (last, outcomes) = make(arguments, &setup, &intent, &shown)?;
    finish(arguments, &last, &outcomes)
}

fn shown_plan(setup: &Setup, intent: &Intent) -> Result<Looked, CliError> {
    let Setup { node, settings, .. } = setup;
    let journal = JournalStore::peek(&node.files, &node.layout)?;
    Ok(reconcile::look(
        node,
        &settings.config,
        &settings.selected,
        &journal,
        intent,
    ))
}

fn ask(changes: usize) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        let why =
            "apply asks before it changes anything, and standard input is no terminal: give --yes".to_owned();
        return Err(CliError::Usage(why));
    }
    let failed = |cause| CliError::System {
        act: "cannot ask",
        cause,
    };
    let mut terminal = std::io::stderr();
    write!(terminal, "Make {changes} change(s)? [y/N] ")
        .and_then(|()| terminal.flush())
        .map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Makes pass after pass until nothing is in flight and nothing is left that can be made now. A signal to end lets the change in
/// flight end first.
fn make(
    arguments: &Arguments,
    setup: &Setup,
    intent: &Intent,
    shown: &Looked,
) -> Result<(Looked, Vec<Outcome>), CliError> {
    let Setup { node, settings, .. } = setup;
    let held = Held::take(&node.here(&node.layout.run), LOCK_PATIENCE)?;
    let mut journal = JournalStore::open(&node.files, &node.layout, &held, node.clock.now())?;
    let mut wakeups = Wakeups::new().map_err(|cause| CliError::System {
        act: "cannot receive signals",
        cause,
    })?;
    let mut intent = intent.clone();
    let mut outcomes: Vec<Outcome> = Vec::new();
    let same_plan = |looked: &Looked| looked.plan.changes == shown.plan.changes;
    let first = reconcile::look(
        node,
        &settings.config,
        &settings.selected,
        journal.state(),
        &intent,
    );
    if shown.plan.in_flight.is_none() && !same_plan(&first) {
        return Err(CliError::PlanChanged);
    }
    let mut tried: BTreeSet<Digest> = BTreeSet::new();
    loop {
        let passed = reconcile::pass(
            node,
            &settings.config,
            &settings.selected,
            &held,
            &mut journal,
            &intent,
            &mut |_| {},
        )?;
        for outcome in passed.outcomes {
            take_in(arguments, &mut outcomes, &mut intent, outcome)?;
        }
        let stuck = outcomes
            .last()
            .is_some_and(|outcome| matches!(outcome.result, crate::apply::Result::Stuck { .. }));
        // Whoever undoes a change while we make it is not fought with.
        let changes = &passed.looked.plan.changes;
        let new = changes.iter().filter(|change| tried.insert(change.id)).count() > 0;
        match passed.look_again {
            _ if stuck => break,
            None if !new || intent.finishing => break,
            None => {}
            Some(wait) if wakeups.wait(wait) == Wake::Terminate => {
                super::complain("ending after the change in flight; a second signal changes nothing");
                intent.finishing = true;
            }
            Some(_) => {}
        }
    }
    let last = reconcile::look(
        node,
        &settings.config,
        &settings.selected,
        journal.state(),
        &intent,
    );
    Ok((last, outcomes))
}

/// Keeps what is final, shows it, and does not try again in this run what failed or was refused.
fn take_in(
    arguments: &Arguments,
    outcomes: &mut Vec<Outcome>,
    intent: &mut Intent,
    outcome: Outcome,
) -> Result<(), CliError> {
    use crate::apply::Result as Came;
    if let Came::Failed { why } = &outcome.result {
        intent.failed.insert(outcome.change, why.clone());
    }
    if matches!(outcome.result, Came::Refused { .. }) {
        intent.retry = false;
    }
    let repeated = outcomes.last() == Some(&outcome);
    if arguments.global.output == Output::Text && !repeated {
        say(&report::outcome_text(&outcome, colour(arguments)))?;
    }
    if !repeated {
        outcomes.push(outcome);
    }
    Ok(())
}

fn finish(arguments: &Arguments, last: &Looked, outcomes: &[Outcome]) -> Result<ExitClass, CliError> {
    match arguments.global.output {
        // Without outcomes the plan that was shown says it all.
        Output::Text if outcomes.is_empty() => {}
        Output::Text => say(&report::left_text(
            &last.plan,
            &last.findings,
            &heading(last),
            colour(arguments),
        ))?,
        Output::Json => say(&report::apply_json(&last.plan, outcomes, &heading(last)))?,
    }
    let failed = outcomes.iter().any(Outcome::is_failure);
    Ok(if failed {
        ExitClass::Failed
    } else {
        report::exit_code(&last.findings)
    })
}
