//! `apply`: shows the plan, asks, makes it, and tells what came of it.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use super::args::{self, Arguments, Output};
use super::interrupts::wakeups;
use super::kubelet_start::past_kubelet_start;
use super::setup::{self, CliError, Setup};
use super::{colour, heading, intent, locked, recover, say, warn_in_journal};
use crate::adapters::wakeups::Wake;
use crate::apply::{Outcome, tell_outcome};
use crate::domain::{Component, Digest};
use crate::plan::WithheldReason;
use crate::reconcile::{self, Intent, Looked, Passed};
use crate::report::{self, ExitClass};
use crate::rotate::danger;

/// A restart of ours may cost another component its lease: it is looked at this often before it is given up on, 2 s apart.
const RECOVERY_LOOKS: u32 = 30;

/// Applies the plan.
pub(super) fn apply(arguments: &Arguments, how: &args::Apply) -> Result<ExitClass, CliError> {
    setup::require_root()?;
    warn_in_journal();
    let setup = Setup::new(&arguments.global).map_err(recover::before_giving_up)?;
    let mut intent = intent(how.scope);
    recover::first(&setup.node, &locked::peek(&setup.node)?)?;
    let mut shown = past_kubelet_start(
        || shown_plan(&setup, &intent),
        |shown| shown.as_ref().ok().and_then(kubelet_starts),
    )?;
    if restarts_the_api_server(&shown)
        && let Some(why) = danger(&setup.node, &locked::peek(&setup.node)?)
    {
        super::complain(&format!("holdfast: nothing is restarted: {why}"));
        intent.endangered = true;
        shown = shown_plan(&setup, &intent)?;
    }
    if arguments.global.output == Output::Text {
        let plan = report::plan_text(&shown.plan, &shown.findings, &heading(&shown), colour(arguments));
        let told = say(&plan);
        // What somebody has begun is brought to its end, whoever reads of it.
        if shown.plan.in_flight.is_none() {
            told?;
        }
    }
    if shown.plan.changes.is_empty() && shown.plan.in_flight.is_none() && shown.plan.baseline.is_none() {
        return finish(arguments, &shown, &[]);
    }
    let consent = how.yes
        || shown.plan.changes.is_empty()
        || ask(
            &setup,
            "apply",
            &format!("Make {} change(s)?", shown.plan.changes.len()),
        )?;
    if !consent {
        super::complain("Nothing was changed.");
        return Ok(report::exit_code(&shown.findings));
    }
    let (last, outcomes) = make(arguments, &setup, &intent, &shown, how.yes)?;
    finish(arguments, &last, &outcomes)
}

fn shown_plan(setup: &Setup, intent: &Intent) -> Result<Looked, CliError> {
    let Setup { node, settings, .. } = setup;
    let journal = locked::peek(node)?;
    Ok(reconcile::look(
        node,
        &settings.config,
        &settings.selected,
        &journal,
        intent,
    ))
}

fn restarts_the_api_server(looked: &Looked) -> bool {
    let mut changes = looked.plan.changes.iter();
    looked.plan.in_flight.is_none() && changes.any(|change| change.restarts() == Some(Component::ApiServer))
}

/// What a start of the kubelet holds back.
fn kubelet_starts(looked: &Looked) -> Option<&WithheldReason> {
    let mut reasons = looked.plan.withheld.iter().map(|held| &held.reason);
    reasons.find(|reason| matches!(reason, WithheldReason::KubeletStarts { .. }))
}

/// Asks for consent, on a terminal only. Who asks the command to end instead does not consent.
pub(super) fn ask(setup: &Setup, command: &str, question: &str) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        let why = format!(
            "{command} asks before it changes anything, and standard input is no terminal: give --yes"
        );
        return Err(CliError::Usage(why));
    }
    let failed = |cause| CliError::System {
        act: "cannot ask",
        cause,
    };
    let mut terminal = std::io::stderr();
    write!(terminal, "{question} [y/N] ")
        .and_then(|()| terminal.flush())
        .map_err(failed)?;
    let Some(answer) = setup.interrupts.line().map_err(failed)? else {
        super::complain("");
        return Ok(false);
    };
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Makes pass after pass until nothing is in flight and nothing is left that can be made now. A signal to end lets the change in
/// flight end first. Without `all`, only the changes that were shown are made.
fn make(
    arguments: &Arguments,
    setup: &Setup,
    intent: &Intent,
    shown: &Looked,
    all: bool,
) -> Result<(Looked, Vec<Outcome>), CliError> {
    let Setup { node, settings, .. } = setup;
    let (config, selected) = (&settings.config, &settings.selected);
    let held = locked::hold(node)?;
    let mut journal = locked::journal(node, &held)?;
    let mut wakeups = wakeups().inspect_err(|_| recover::put_back(node, &held))?;
    let first = reconcile::look(node, config, selected, journal.state(), intent);
    if shown.plan.in_flight.is_none() && first.plan.changes != shown.plan.changes {
        return Err(CliError::PlanChanged);
    }
    let mut intent = intent.clone();
    if !all {
        intent.only = Some(shown.plan.changes.iter().map(|change| change.id).collect());
    }
    let mut making = Making::new(intent);
    loop {
        let passed = reconcile::pass(
            node,
            config,
            selected,
            &held,
            &mut journal,
            &making.intent,
            &mut |_| {},
        )
        .inspect_err(|_| recover::put_back(node, &held))?;
        let told = making.tell(arguments, &passed);
        // A terminal that has gone does not end a change half-way.
        if journal.state().in_flight.is_none() {
            told?;
        }
        let Some(wait) = making.next(&passed) else {
            break;
        };
        if wakeups.wait(wait) == Wake::Terminate {
            super::complain("ending after the change in flight; a second signal changes nothing");
            making.intent.finishing = true;
            making.intent.ending = true;
        }
    }
    let last = reconcile::look(node, config, selected, journal.state(), &making.intent);
    Ok((last, making.outcomes))
}

/// What came of the passes so far, and what the next one is to do.
struct Making {
    intent: Intent,
    outcomes: Vec<Outcome>,
    tried: BTreeSet<Digest>,
    patience: u32,
}

impl Making {
    const fn new(intent: Intent) -> Self {
        Self {
            intent,
            outcomes: Vec::new(),
            tried: BTreeSet::new(),
            patience: RECOVERY_LOOKS,
        }
    }

    /// Keeps and shows what came of a pass.
    fn tell(&mut self, arguments: &Arguments, passed: &Passed) -> Result<(), CliError> {
        let mut told = Ok(());
        for outcome in &passed.outcomes {
            told = told.and(self.keep(arguments, outcome));
        }
        told
    }

    /// How long to wait for the next pass; `None` when there is nothing more to do.
    fn next(&mut self, passed: &Passed) -> Option<Duration> {
        // Whoever undoes a change while we make it is not fought with.
        let changes = &passed.looked.plan.changes;
        let new = changes
            .iter()
            .filter(|change| self.tried.insert(change.id))
            .count()
            > 0;
        let stuck = self.outcomes.last().is_some_and(Outcome::is_stuck);
        let wait = passed.look_again.unwrap_or(Duration::ZERO);
        if stuck {
            return None;
        }
        if passed.goes_on {
            return Some(wait);
        }
        if self.intent.finishing {
            return None;
        }
        if new {
            return Some(Duration::ZERO);
        }
        let withheld = &passed.looked.plan.withheld;
        let unhealthy = withheld.iter().any(|held| held.reason.kind() == "unhealthy");
        let recovers = unhealthy || kubelet_starts(&passed.looked).is_some();
        if recovers && !self.outcomes.is_empty() && self.patience > 0 {
            self.patience -= 1;
            return Some(wait);
        }
        None
    }

    /// What failed or was refused is not tried again in this run.
    fn keep(&mut self, arguments: &Arguments, outcome: &Outcome) -> Result<(), CliError> {
        if let Some(why) = outcome.failed() {
            self.intent.failed.insert(outcome.change, why.clone());
        }
        self.intent.retry &= !outcome.is_failure();
        if self.outcomes.last() == Some(outcome) {
            return Ok(());
        }
        self.outcomes.push(outcome.clone());
        tell_outcome(outcome);
        if arguments.global.output == Output::Text {
            return say(&report::outcome_text(outcome, colour(arguments)));
        }
        Ok(())
    }
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
