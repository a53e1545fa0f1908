//! `encryption`: what is configured, loaded and stored; and the change to a new key.

use std::path::Path;

use super::args::{Arguments, EncryptionCommand, Output};
use super::setup::{self, CliError};
use super::{colour, rotate, say};
use crate::adapters::core_dumps;
use crate::at_rest::judge;
use crate::observe::at_rest;
use crate::report::{self, ExitClass};

/// Looks and tells, or changes the key.
pub(super) fn run(arguments: &Arguments, command: &EncryptionCommand) -> Result<ExitClass, CliError> {
    setup::require_root()?;
    core_dumps::off().map_err(|cause| CliError::System {
        act: "cannot switch core dumps off, and keys are about to be read",
        cause,
    })?;
    match command {
        EncryptionCommand::Status => look(arguments, false),
        EncryptionCommand::Verify => look(arguments, true),
        EncryptionCommand::Rotate(how) => rotate::rotate(how),
        EncryptionCommand::Abort(how) => rotate::abort(*how),
    }
}

fn look(arguments: &Arguments, thorough: bool) -> Result<ExitClass, CliError> {
    let node = setup::node(Path::new("/"))?;
    let found = at_rest::look(&node, thorough);
    let remarks = judge(&found);
    say(&match arguments.global.output {
        Output::Text => report::at_rest_text(&found, &remarks, colour(arguments)),
        Output::Json => report::at_rest_json(&found, &remarks),
    })?;
    Ok(report::at_rest_exit(&remarks))
}
