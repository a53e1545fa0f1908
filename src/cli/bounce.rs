//! `bounce`: restarts one component by moving its manifest out of its folder and back in.

use super::args::{self, Arguments, Output};
use super::follow::{Followed, Following};
use super::kubelet_start::past_kubelet_start;
use super::setup::{self, CliError, Setup};
use super::{apply, colour, complain, locked, peek, recover, say, warn_in_journal};
use crate::domain::Component;
use crate::journal::{Act, JournalState};
use crate::plan::{BouncePlan, WithheldReason};
use crate::reconcile;
use crate::report::{self, BounceReport, ExitClass};
use crate::rotate::danger;

/// Bounces a component, after saying what that does and asking.
pub(super) fn bounce(arguments: &Arguments, how: &args::Bounce) -> Result<ExitClass, CliError> {
    if how.dry_run {
        let setup = Setup::new(&arguments.global)?;
        let plan = look(&setup, &peek(&setup.node)?, how);
        return show(arguments, how.component, &plan);
    }
    setup::require_root()?;
    warn_in_journal();
    let setup = Setup::new(&arguments.global).map_err(recover::before_giving_up)?;
    let journal = locked::peek(&setup.node)?;
    recover::first(&setup.node, &journal)?;
    if let Some(begun) = journal.in_flight {
        // Another Holdfast that was killed may have left a manifest out.
        let same = matches!(&begun.act, Act::Bounce(bounce) if bounce.component == how.component);
        let followed = Following::open(arguments, &setup, how.component)?.follow()?;
        if same {
            return tell_end(arguments, how.component, None, &followed);
        }
    }
    let journal = locked::peek(&setup.node)?;
    let shown = past_kubelet_start(|| look(&setup, &journal, how), |plan| plan.as_ref().err());
    let Ok(plan) = &shown else {
        return show(arguments, how.component, &shown);
    };
    tell_plan(arguments, plan, how.yes)?;
    if !(how.yes || apply::ask(&setup, "bounce", &format!("Bounce {} now?", how.component))?) {
        complain("Nothing was changed.");
        return Ok(ExitClass::Failed);
    }
    if setup.interrupts.asked() {
        complain("Interrupted: nothing was begun.");
        return Ok(ExitClass::Failed);
    }
    let mut following = Following::open(arguments, &setup, how.component)?;
    if look(&setup, following.journal_state(), how) != shown {
        return Err(CliError::PlanChanged);
    }
    following.begin(&plan.change)?;
    let followed = following.follow()?;
    tell_end(arguments, how.component, Some(plan), &followed)
}

/// What would be done, or why it is not. An API server that runs well is not restarted into what it does not start with.
fn look(setup: &Setup, journal: &JournalState, how: &args::Bounce) -> Result<BouncePlan, WithheldReason> {
    let (config, node) = (&setup.settings.config, &setup.node);
    let plan = reconcile::look_for_bounce(node, config, journal, how.component, how.any_time)?;
    let danger = match how.component {
        Component::ApiServer => danger(node, journal),
        Component::Scheduler | Component::ControllerManager | Component::Etcd => None,
    };
    danger.map_or(Ok(plan), |why| Err(WithheldReason::NotReady(why)))
}

/// Before anything is done: to standard error where standard output is for a program.
fn tell_plan(arguments: &Arguments, plan: &BouncePlan, consented: bool) -> Result<(), CliError> {
    let words = report::bounce_text(plan, colour(arguments));
    match arguments.global.output {
        Output::Text => say(&words)?,
        Output::Json if !consented => complain(words.trim_end()),
        Output::Json => {}
    }
    Ok(())
}

/// Only what would be done, or why nothing is.
fn show(
    arguments: &Arguments,
    component: Component,
    plan: &Result<BouncePlan, WithheldReason>,
) -> Result<ExitClass, CliError> {
    say(&match (arguments.global.output, plan) {
        (Output::Text, Ok(plan)) => report::bounce_text(plan, colour(arguments)),
        (Output::Text, Err(why)) => report::bounce_refused_text(component, why, colour(arguments)),
        (Output::Json, plan) => report::bounce_json(&BounceReport {
            component,
            plan: Some(plan.as_ref()),
            outcomes: &[],
            outage: None,
        }),
    })?;
    Ok(if plan.is_ok() {
        ExitClass::Compliant
    } else {
        ExitClass::Failed
    })
}

fn tell_end(
    arguments: &Arguments,
    component: Component,
    plan: Option<&BouncePlan>,
    followed: &Followed,
) -> Result<ExitClass, CliError> {
    let made = followed.is_made();
    let outage = followed.outage.length();
    match arguments.global.output {
        Output::Text if made => say(&report::outage_text(component, outage))?,
        Output::Text => {}
        Output::Json => say(&report::bounce_json(&BounceReport {
            component,
            plan: plan.map(Ok),
            outcomes: &followed.outcomes,
            outage,
        }))?,
    }
    Ok(if made {
        ExitClass::Compliant
    } else {
        ExitClass::Failed
    })
}
