//! `encryption`: what is configured, loaded and stored; and the change to a new key.

use super::args::{Arguments, EncryptionCommand, Output};
use super::setup::{self, CliError, Setup};
use super::{colour, complain, enable, forget, rotate, say};
use crate::adapters::core_dumps;
use crate::at_rest::{judge, owed};
use crate::domain::Fact;
use crate::observe::at_rest;
use crate::report::{self, ExitClass};
use crate::rotate::{RotateError, known_keys, status};

/// Looks and tells, or changes the key.
pub(super) fn run(arguments: &Arguments, command: &EncryptionCommand) -> Result<ExitClass, CliError> {
    match command {
        EncryptionCommand::Status | EncryptionCommand::Verify | EncryptionCommand::Keys => {
            setup::require_root_as(
                "reads the keys of the encryption configuration and asks etcd with the API server's certificate",
            )?;
        }
        EncryptionCommand::Enable(_)
        | EncryptionCommand::Rotate(_)
        | EncryptionCommand::Abort(_)
        | EncryptionCommand::Disable(_)
        | EncryptionCommand::Forget(_) => setup::require_root()?,
    }
    no_core_dumps()?;
    match command {
        EncryptionCommand::Status => look(arguments, false),
        EncryptionCommand::Verify => look(arguments, true),
        EncryptionCommand::Enable(how) => enable::enable(arguments, how),
        EncryptionCommand::Rotate(how) => rotate::rotate(arguments, how),
        EncryptionCommand::Abort(how) => rotate::abort(arguments, *how),
        EncryptionCommand::Disable(how) => rotate::disable(arguments, *how),
        EncryptionCommand::Keys => keys(arguments),
        EncryptionCommand::Forget(how) => forget::forget(arguments, how),
    }
}

/// Keys are about to be read: what the process holds does not go to a disk when it ends badly.
pub(super) fn no_core_dumps() -> Result<(), CliError> {
    core_dumps::off().map_err(|cause| CliError::System {
        act: "cannot switch core dumps off, and keys are about to be read",
        cause,
    })
}

/// The keys in use and in the key store, by fingerprint.
fn keys(arguments: &Arguments) -> Result<ExitClass, CliError> {
    let node = setup::node_at_last()?;
    let configured = match at_rest::manifest(&node) {
        // While a manifest is out, what it names is in use all the same.
        Fact::Absent => Fact::unknown("kube-apiserver has no manifest here"),
        manifest @ (Fact::Known(_) | Fact::Unknown(_)) => {
            manifest.and_then(|manifest| at_rest::configured(&node, &manifest))
        }
    };
    let (config, unknown) = match &configured {
        Fact::Known(configured) => (Some(&configured.config), None),
        Fact::Absent => (None, None),
        // Which keys are kept is asked just when the configuration is lost.
        Fact::Unknown(why) => (None, Some(why)),
    };
    let known = known_keys(&node, config).map_err(|why| Box::new(RotateError::Unknown(why)))?;
    say(&match arguments.global.output {
        Output::Text => report::keys_text(&known, unknown, colour(arguments)),
        Output::Json => report::keys_json(&known, unknown),
    })?;
    Ok(report::keys_exit(unknown))
}

fn look(arguments: &Arguments, thorough: bool) -> Result<ExitClass, CliError> {
    let Setup { node, .. } = Setup::new(&arguments.global)?;
    let found = at_rest::look(&node, thorough);
    let mut remarks = judge(&found);
    // What is stored can be told whatever the journal says (F10).
    let rotation = match super::peek(&node) {
        Ok(journal) => {
            remarks.extend(owed(journal.plaintext_owed, journal.load_owed));
            journal.rotations.rotation
        }
        Err(why) => {
            complain(&format!("whether a rotation is under way cannot be told: {why}"));
            None
        }
    };
    let status = rotation
        .as_ref()
        .and_then(|rotation| status::published(&node).filter(|status| status.rotation == rotation.id));
    say(&match arguments.global.output {
        Output::Text => {
            let under_way = rotation.as_ref().map_or_else(String::new, |rotation| {
                report::rotation_text(rotation, status.as_ref(), colour(arguments))
            });
            report::at_rest_text(&found, &remarks, colour(arguments)) + &under_way
        }
        Output::Json => {
            let under_way = rotation.map(|rotation| report::rotation_json(&rotation, status.as_ref()));
            report::at_rest_json(&found, &remarks, under_way)
        }
    })?;
    Ok(report::at_rest_exit(&remarks))
}
