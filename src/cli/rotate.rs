//! `encryption rotate`, `disable` and `abort`: begins a walk, or goes on with the one under way.

use super::args::{Arguments, Consented, KeyProvider, Rotate};
use super::setup::{CliError, Setup};
use super::walk::{Goal, Walk, end_what_was_begun, with_journal};
use super::{apply, complain, peek, recover, say, warn_in_journal};
use crate::adapters::Node;
use crate::adapters::journal_store::JournalStore;
use crate::at_rest::Configured;
use crate::domain::{KeyId, Provider};
use crate::observe::at_rest;
use crate::report::ExitClass;
use crate::rotate::{Pace, RotateError, Rotator, To};
use crate::rotation::{self, Consent, Direction, Rotation};

/// Rotates to a new key, or goes on.
pub(super) fn rotate(arguments: &Arguments, how: &Rotate) -> Result<ExitClass, CliError> {
    let setup = opened(arguments, how.consented.dry_run)?;
    let under_way = under_way(&setup.node)?;
    if under_way.is_none() && how.cut {
        return Err(CliError::Usage("--cut: no rotation is under way".to_owned()));
    }
    if let Some(rotation) = &under_way {
        is_of_provider(rotation, how.provider)?;
    }
    let asked = provider(how.provider);
    let cut = if how.keep_old { Consent::Ask } else { Consent::Auto };
    let begin = Begin {
        command: "rotate",
        to: To::NewKey(asked),
        cut,
        dry_run: how.consented.dry_run,
        yes: how.consented.yes,
        allow_cut: how.cut,
    };
    begin.is_allowed_by(&setup, under_way.as_ref())?;
    say(&match &under_way {
        Some(rotation) => goes_on(rotation),
        None => plan(asked, how.keep_old, &configured(&setup.node)) + &bounded(&setup.node),
    })?;
    begin.or_go_on(arguments, &setup, how.consented.any_time, under_way)
}

/// Back to plaintext: the same walk, to no key.
pub(super) fn disable(arguments: &Arguments, how: Consented) -> Result<ExitClass, CliError> {
    let setup = opened(arguments, how.dry_run)?;
    let under_way = under_way(&setup.node)?;
    let begin = Begin {
        command: "disable",
        to: To::Plaintext,
        cut: Consent::Auto,
        dry_run: how.dry_run,
        yes: how.yes,
        allow_cut: false,
    };
    begin.is_allowed_by(&setup, under_way.as_ref())?;
    say(&match &under_way {
        Some(rotation) => goes_on(rotation),
        None => format!(
            "{DISABLE}{}{}",
            loads(&configured(&setup.node)),
            bounded(&setup.node)
        ),
    })?;
    begin.or_go_on(arguments, &setup, how.any_time, under_way)
}

/// Turns the rotation back.
pub(super) fn abort(arguments: &Arguments, how: Consented) -> Result<ExitClass, CliError> {
    let setup = opened(arguments, how.dry_run)?;
    let journal = peek(&setup.node)?;
    let Some(Rotation {
        id,
        old,
        new,
        direction,
        ..
    }) = &journal.rotations.rotation
    else {
        say("No rotation is under way.\n")?;
        return Ok(ExitClass::Compliant);
    };
    let is_turned = *direction == Direction::Back;
    if !is_turned {
        rotation::rollback(&journal.rotations).map_err(|why| Box::new(RotateError::Refused(why)))?;
    }
    say(&format!(
        "Rotation {id} is turned back: {} writes again, values under {new} are rewritten, and {new} goes when nothing needs it.\n",
        old.write_key()
    ))?;
    if how.dry_run {
        return Ok(ExitClass::Compliant);
    }
    if !how.yes && !apply::ask(&setup, "abort", "Turn it back?")? {
        complain("Nothing was changed.");
        return Ok(ExitClass::Failed);
    }
    let mut walk = Walk::new(arguments, &setup, how.any_time, Goal::Back)?;
    let rotator = &mut walk.rotator;
    with_journal(&setup.node, |held, journal| {
        if is_turned {
            return Ok(rotator.resume(held, journal).map_err(Box::new)?);
        }
        Ok(rotator.roll_back(held, journal).map_err(Box::new)?)
    })?;
    walk.walk()
}

/// How a rotation is begun.
pub(super) struct Begin {
    pub(super) command: &'static str,
    pub(super) to: To,
    pub(super) cut: Consent,
    pub(super) dry_run: bool,
    pub(super) yes: bool,
    pub(super) allow_cut: bool,
}

impl Begin {
    /// A command never completes the opposite of what it is for.
    fn goes_the_same_way(&self, rotation: &Rotation) -> Result<(), CliError> {
        let to_plaintext = rotation.new == KeyId::Identity;
        let how = if rotation.direction == Direction::Back {
            "is being turned back; `holdfast encryption abort` goes on with that"
        } else if to_plaintext && self.to != To::Plaintext {
            "is under way; `holdfast encryption disable` goes on with it, `holdfast encryption abort` turns it back"
        } else if !to_plaintext && self.to == To::Plaintext {
            "is under way; `holdfast encryption rotate` goes on with it, `holdfast encryption abort` turns it back"
        } else {
            return Ok(());
        };
        Err(CliError::Usage(format!(
            "{}: rotation {} to {} {how}",
            self.command, rotation.id, rotation.new
        )))
    }

    /// Refuses what would be refused, before anything is said or asked.
    fn is_allowed_by(&self, setup: &Setup, under_way: Option<&Rotation>) -> Result<(), CliError> {
        match under_way {
            Some(rotation) => self.goes_the_same_way(rotation),
            None => self.is_allowed(setup),
        }
    }

    /// Whether it may begin. Where nobody is asked that is told by the beginning itself, which counts what is stored anyway.
    pub(super) fn is_allowed(&self, setup: &Setup) -> Result<(), CliError> {
        if self.yes && !self.dry_run {
            return Ok(());
        }
        let journal = peek(&setup.node)?;
        let mut rotator = Rotator::new(&setup.node).map_err(Box::new)?;
        match rotator.look_for_beginning(&journal, self.to, self.cut) {
            // The restart that shows it comes first, as the plan says.
            Ok(_) | Err(RotateError::RestartFirst(_)) => Ok(()),
            Err(why) => Err(Box::new(why).into()),
        }
    }

    /// Begins, or goes on with what is under way, and walks.
    pub(super) fn or_go_on(
        &self,
        arguments: &Arguments,
        setup: &Setup,
        any_time: bool,
        under_way: Option<Rotation>,
    ) -> Result<ExitClass, CliError> {
        if let Some(rotation) = &under_way {
            self.goes_the_same_way(rotation)?;
        }
        if self.dry_run {
            return Ok(ExitClass::Compliant);
        }
        let question = if under_way.is_some() { "Go on?" } else { "Begin?" };
        if !self.yes && !apply::ask(setup, self.command, question)? {
            complain("Nothing was changed.");
            return Ok(ExitClass::Failed);
        }
        let goal = match self.to {
            To::NewKey(_) => Goal::Key,
            To::Plaintext => Goal::Plaintext,
        };
        let mut walk = Walk::new(arguments, setup, any_time, goal)?;
        if under_way.is_none() {
            if let Some(class) = walk.begin(self.to, self.cut)? {
                return Ok(class);
            }
            return walk.walk();
        }
        let rotator = &mut walk.rotator;
        with_journal(&setup.node, |held, journal| {
            rotator.resume(held, journal).map_err(Box::new)?;
            if self.allow_cut {
                rotator.allow_cut(held, journal).map_err(Box::new)?;
            }
            Ok(())
        })?;
        walk.walk()
    }
}

/// The node and the configuration, with what an earlier command had begun brought to its end.
pub(super) fn opened(arguments: &Arguments, dry_run: bool) -> Result<Setup, CliError> {
    if dry_run {
        return Setup::new(&arguments.global);
    }
    warn_in_journal();
    let setup = Setup::new(&arguments.global).map_err(recover::before_giving_up)?;
    end_what_was_begun(arguments, &setup)?;
    Ok(setup)
}

pub(super) fn under_way(node: &Node) -> Result<Option<Rotation>, CliError> {
    Ok(JournalStore::peek(&node.files, &node.layout)?.rotations.rotation)
}

pub(super) const fn provider(asked: Option<KeyProvider>) -> Provider {
    match asked {
        Some(KeyProvider::Aescbc) | None => Provider::Aescbc,
        Some(KeyProvider::Aesgcm) => Provider::Aesgcm,
        Some(KeyProvider::Secretbox) => Provider::Secretbox,
    }
}

/// What goes on goes to the provider that it was begun for.
pub(super) fn is_of_provider(rotation: &Rotation, asked: Option<KeyProvider>) -> Result<(), CliError> {
    let wanted = provider(asked);
    if asked.is_none() || matches!(rotation.new, KeyId::Key { provider, .. } if provider == wanted) {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "--provider {wanted}: rotation {} to {} is under way; let it finish (the same command without --provider), or turn it back \
         (`holdfast encryption abort`)",
        rotation.id, rotation.new
    )))
}

pub(super) fn goes_on(rotation: &Rotation) -> String {
    format!(
        "Rotation {} to {} is under way and goes on.\n",
        rotation.id, rotation.new
    )
}

/// What is configured, as far as it is needed to say what comes; why it is not known is told when it is begun.
fn configured(node: &Node) -> Option<Configured> {
    let manifest = at_rest::manifest(node);
    let configured = manifest.and_then(|manifest| at_rest::configured(node, &manifest));
    configured.known().cloned()
}

/// What holds the rewriting back, where the API server does not.
pub(super) fn bounded(node: &Node) -> String {
    let client = at_rest::manifest(node)
        .known()
        .map(|manifest| at_rest::client(node, manifest));
    match client {
        Some(Ok(api)) if api.passes_flow_control() => {
            let Pace { max_rate, parallel } = Pace::default();
            format!(
                "The credentials are of system:masters, which passes the API server's flow control: Holdfast bounds its rate itself, to \
                 {max_rate} requests a second and {parallel} at a time at most.\n"
            )
        }
        // Why there is no client is told when it is begun.
        Some(Ok(_) | Err(_)) | None => String::new(),
    }
}

/// How the API server comes to each new configuration.
fn loads(configured: &Option<Configured>) -> &'static str {
    match configured {
        Some(configured) if !configured.reload || configured.mounted_alone => {
            "This API server reads its configuration only when it starts: for each load it is restarted, three times in all, and the\n\
             API is away for about 5 s each time. One that does not say what it has loaded (before 1.34) is restarted once before, too. The proof also waits for etcd's compaction, every 5 minutes. It may be\n\
             interrupted at any time, and goes on with the same command; `holdfast encryption abort` turns it back before step 7.\n"
        }
        Some(_) | None => {
            "Each load waits for the API server, which looks once a minute, and step 6 for its compaction, every 5 minutes. It may be\n\
             interrupted at any time, and goes on with the same command; `holdfast encryption abort` turns it back before step 7.\n"
        }
    }
}

const DISABLE: &str = "Every value is stored in plaintext again, readable by whoever can read etcd's files or a backup of them:\n\
    \x20 1  every stored value is counted and decrypted, so that nothing is broken before the start\n\
    \x20 2  the configuration is kept in /var/lib/holdfast/retained\n\
    \x20 3  plaintext is added to what can be read, and loaded\n\
    \x20 4  plaintext becomes what is written, and is loaded; requests of before end within a minute\n\
    \x20 5  what is encrypted is rewritten, by name\n\
    \x20 6  it is proven from etcd that nothing is encrypted any more, and that etcd's history has none\n\
    \x20 7  the keys are kept in /var/lib/holdfast/retained and removed from the configuration, and that is loaded\n\
    The API server keeps its flag and the file, which then says `identity`.\n";

fn plan(provider: Provider, keep_old: bool, configured: &Option<Configured>) -> String {
    let cut = if keep_old {
        "   (left out for now: --keep-old; `holdfast encryption rotate --cut` does it)"
    } else {
        ""
    };
    format!(
        "A new {provider} key of 32 random bytes takes the place of the one that writes now:\n\
         \x20 1  every stored value is counted and decrypted, so that nothing is broken before the start\n\
         \x20 2  the key is made and stored in /var/lib/holdfast/keys\n\
         \x20 3  it is added second, and loaded\n\
         \x20 4  it becomes the first, and is loaded; requests of before end within a minute\n\
         \x20 5  what is under the old key is rewritten, by name, without any Secret data in request or answer\n\
         \x20 6  it is proven from etcd that nothing is left under the old key, and that etcd's history has none\n\
         \x20 7  the old key is kept in /var/lib/holdfast/retained and removed from the configuration, and that is loaded{cut}\n\
         {}",
        loads(configured)
    )
}
