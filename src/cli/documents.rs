//! `documents`: what is written from the program itself for its package: manual pages, completions, the journal's message catalog, and
//! the tables of controls and events. Hidden, since it is for whoever makes a package.

#![expect(
    clippy::disallowed_methods,
    reason = "it writes new files into the folder that it is given, and touches no node"
)]

use std::ffi::OsString;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use roff::{Roff, bold, roman};

use super::args::Arguments;
use super::setup::CliError;
use crate::controls::catalogue;
use crate::events;
use crate::report::{ExitClass, controls_markdown};

/// The section of commands for the administrator.
const SECTION: &str = "8";
/// The configuration that is shipped explains every key.
const CONFIG: &str = include_str!("../../config/config.yaml");

/// Writes all documents below a folder.
pub(super) fn documents(folder: &Path) -> Result<ExitClass, CliError> {
    write_all(folder).map_err(|cause| CliError::System {
        act: "cannot write the documents",
        cause,
    })?;
    Ok(ExitClass::Compliant)
}

fn write_all(folder: &Path) -> io::Result<()> {
    let file = |name: &str| folder.join(name);
    for made in ["man", "completions"] {
        std::fs::create_dir_all(file(made))?;
    }
    for (name, page) in manual()? {
        std::fs::write(file("man").join(name), page)?;
    }
    for (name, shell) in [
        ("holdfast.bash", Shell::Bash),
        ("_holdfast", Shell::Zsh),
        ("holdfast.fish", Shell::Fish),
    ] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "holdfast", &mut text);
        std::fs::write(file("completions").join(name), text)?;
    }
    std::fs::write(file("holdfast.catalog"), events::catalog())?;
    std::fs::write(file("events.md"), events::table())?;
    std::fs::write(file("controls.md"), controls_markdown(&catalogue()))
}

/// The pages: of the program, of each command, of the configuration.
fn manual() -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let mut program = Arguments::command();
    program.build();
    let mut pages = vec![("holdfast.yaml.5".into(), configuration_page()?)];
    add_pages(&mut pages, &program)?;
    Ok(pages)
}

fn add_pages(pages: &mut Vec<(OsString, Vec<u8>)>, command: &Command) -> io::Result<()> {
    // Of a command that was built it is that of those above it, too: holdfast-check.
    let name = command.get_display_name().unwrap_or(command.get_name());
    let man = Man::new(command.clone())
        .section(SECTION)
        .source("Holdfast")
        .manual("Holdfast");
    let mut page = Vec::new();
    man.render(&mut page)?;
    if name == "holdfast" {
        events_section().to_writer(&mut page)?;
    }
    pages.push((format!("{name}.{SECTION}").into(), page));
    let shown = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set() && below.get_name() != "help");
    for below in shown {
        add_pages(pages, below)?;
    }
    Ok(())
}

/// What the journal may hold.
fn events_section() -> Roff {
    let mut roff = Roff::default();
    roff.control("SH", ["EVENTS"]);
    roff.text([roman(
        "What the system log is told, by priority; journalctl -x explains each, and journalctl MESSAGE_ID=ID finds one kind.",
    )]);
    for event in events::ALL {
        roff.control("TP", []);
        roff.text([
            bold(event.name),
            roman(format!(" ({}, {})", event.priority.name(), event.id)),
        ]);
        roff.text([roman(format!("{}. {}", event.subject, event.meaning))]);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([
        bold("holdfast.yaml"),
        roman("(5), "),
        bold("journalctl"),
        roman("(1), "),
        bold("systemctl"),
        roman("(1)"),
    ]);
    roff
}

fn configuration_page() -> io::Result<Vec<u8>> {
    let mut roff = Roff::default();
    roff.control("TH", ["HOLDFAST.YAML", "5", "", "Holdfast", "Holdfast"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(
        "holdfast.yaml - the configuration of holdfast(8), /etc/holdfast/config.yaml",
    )]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(
        "The file must belong to root, and nobody else may be able to write it. Without it everything is reported and nothing is touched. An unknown key, \
         or a value that cannot be, is refused with its line and column. `holdfast validate` reads it as the daemon does, so try a change with that, then \
         `systemctl reload holdfast`: an invalid file is refused, and the former configuration stays.",
    )]);
    roff.control("SH", ["KEYS"]);
    roff.text([roman("This is the file as it is shipped.")]);
    roff.control("nf", []);
    for line in CONFIG.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("holdfast"), roman("(8)")]);
    let mut page = Vec::new();
    roff.to_writer(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_is_shown_has_a_page_and_the_hidden_ones_have_none() {
        let pages = manual().unwrap();
        let names: Vec<_> = pages.iter().filter_map(|(name, _)| name.to_str()).collect();
        for name in [
            "holdfast.8",
            "holdfast-check.8",
            "holdfast-encryption-rotate.8",
            "holdfast-export-kubeadm-patches.8",
            "holdfast.yaml.5",
        ] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        assert!(!names.contains(&"holdfast-documents.8"));
    }

    #[test]
    fn the_page_of_the_program_tells_of_exit_codes_and_events() {
        let pages = manual().unwrap();
        let (_, page) = pages.iter().find(|(name, _)| name == "holdfast.8").unwrap();
        let page = String::from_utf8(page.clone()).unwrap();
        assert!(page.contains("\n.TH holdfast 8 "), "{page}");
        assert!(page.contains("the configuration is refused"));
        assert!(events::ALL.iter().all(|event| page.contains(event.id)));
    }

    #[test]
    fn a_folder_gets_all_of_them() {
        let folder = tempfile::tempdir().unwrap();
        documents(folder.path()).unwrap();
        for name in [
            "man/holdfast.8",
            "completions/holdfast.bash",
            "completions/_holdfast",
            "completions/holdfast.fish",
            "holdfast.catalog",
            "events.md",
            "controls.md",
        ] {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(text.len() > 500, "{name}");
        }
    }
}
