//! `encryption`: what is configured, loaded and stored.

use std::path::Path;

use super::args::{Arguments, EncryptionCommand, Output};
use super::setup::{self, CliError};
use super::{colour, say};
use crate::at_rest::judge;
use crate::observe::at_rest;
use crate::report::{self, ExitClass};

/// Looks, and tells.
pub(super) fn run(arguments: &Arguments, command: EncryptionCommand) -> Result<ExitClass, CliError> {
    setup::require_root()?;
    let node = setup::node(Path::new("/"))?;
    let thorough = match command {
        EncryptionCommand::Status => false,
        EncryptionCommand::Verify => true,
    };
    let found = at_rest::look(&node, thorough);
    let remarks = judge(&found);
    say(&match arguments.global.output {
        Output::Text => report::at_rest_text(&found, &remarks, colour(arguments)),
        Output::Json => report::at_rest_json(&found, &remarks),
    })?;
    Ok(report::at_rest_exit(&remarks))
}
