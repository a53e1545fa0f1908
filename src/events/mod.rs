//! Every event that Holdfast tells the system log: its `MESSAGE_ID`, its priority, and what a reader should know and do.
//!
//! One priority for each event, so that `journalctl -p` and an alert on a `MESSAGE_ID` mean something: `err` needs a human now,
//! `warning` soon, `notice` is a change that was made, `info` is news. The catalog that `journalctl -x` shows and the table of the manual are
//! written from here ([`catalog`], [`table`]).

mod list;

use tracing::Level;

pub(crate) use crate::report::printable;

pub use list::*;

/// What a reader of the system log can find an event by, beside its `MESSAGE_ID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The ids of the controls, with a space between two.
    Control,
    /// What it is about: a file, or a component and its flag.
    Object,
    /// The file.
    Path,
    /// The id of a rotation.
    Rotation,
    /// The stage that a rotation walks to.
    Step,
    /// The provider, name and fingerprint of a key; never its bytes.
    Key,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 6] = [
        Self::Control,
        Self::Object,
        Self::Path,
        Self::Rotation,
        Self::Step,
        Self::Key,
    ];

    /// Its name in the journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "HOLDFAST_CONTROL",
            Self::Object => "HOLDFAST_OBJECT",
            Self::Path => "HOLDFAST_PATH",
            Self::Rotation => "HOLDFAST_ROTATION",
            Self::Step => "HOLDFAST_STEP",
            Self::Key => "HOLDFAST_KEY",
        }
    }

    /// What it holds, in words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Control => "the ids of the controls, with a space between two",
            Self::Object => "what it is about: a file, or a component and its flag",
            Self::Path => "the file",
            Self::Rotation => "the id of the rotation",
            Self::Step => "the stage that the rotation walks to",
            Self::Key => {
                "the provider and name of the key (of a rotation the one that is to write), with its fingerprint where that is known, never its bytes"
            }
        }
    }
}

/// How soon somebody is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// 3: now.
    Err,
    /// 4: soon.
    Warning,
    /// 5: a change was made.
    Notice,
    /// 6: news.
    Info,
}

impl Priority {
    /// Its name, as `journalctl -p` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Err => "err",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
        }
    }
}

/// One kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Its `MESSAGE_ID`: 128 bits in hexadecimal, for ever its own (sd-id128(3)).
    pub id: &'static str,
    /// Its name in the manual.
    pub name: &'static str,
    /// Its priority.
    pub priority: Priority,
    /// The fields that it may have.
    pub fields: &'static [Field],
    /// What has happened, in one line.
    pub subject: &'static str,
    /// What that means.
    pub meaning: &'static str,
    /// What the operator does about it.
    pub remedy: &'static str,
}

impl Event {
    /// The level under which tracing-journald gives it its priority.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self.priority {
            Priority::Err => Level::ERROR,
            Priority::Warning => Level::WARN,
            Priority::Notice => Level::INFO,
            Priority::Info => Level::DEBUG,
        }
    }
}

/// Tells the system log of an event: `tell!(DRIFT, [control = "CIS-1.2.1", path = some_or_none], "text {and} arguments")`. The priority is
/// the event's own, and each field is one of [`Field`], so nothing else reaches the journal. What a terminal or a line of a log would not bear is
/// shown by its code: a text may hold what others wrote, the subject of a certificate or the name of a file.
macro_rules! tell {
    ($event:ident, [$($field:ident = $value:expr),* $(,)?], $($text:tt)+) => {
        ::tracing::event!(
            $crate::events::$event.level(),
            MESSAGE_ID = $crate::events::$event.id,
            $(holdfast.$field = $crate::events::Shown::shown($value),)*
            "{}",
            $crate::events::printable(&format!($($text)+))
        )
    };
}
pub(crate) use tell;

/// The value of a field; nothing, where there is none.
pub(crate) trait Shown {
    /// As it may stand in a log.
    fn shown(self) -> Option<String>;
}

impl Shown for &str {
    fn shown(self) -> Option<String> {
        Some(printable(self))
    }
}

impl Shown for Option<&str> {
    fn shown(self) -> Option<String> {
        self.map(printable)
    }
}

/// The message catalog for `journalctl -x` (<https://systemd.io/CATALOG/>).
#[must_use]
pub fn catalog() -> String {
    let entry = |event: &Event| {
        let Event {
            id,
            subject,
            meaning,
            remedy,
            ..
        } = event;
        format!(
            "\n-- {id}\nSubject: {subject}\nDefined-By: Holdfast\nSupport: man:holdfast(8)\nDocumentation: man:holdfast(8)\n\n{}\n\n{}\n",
            wrapped(meaning),
            wrapped(&format!("To do: {remedy}"))
        )
    };
    let entries: String = ALL.iter().map(entry).collect();
    format!("# What the events of Holdfast mean. Written by `holdfast documents`.\n{entries}")
}

/// The table of the manual, in Markdown.
#[must_use]
pub fn table() -> String {
    let mut text = String::from(
        "# Events\n\n\
         What the daemon and the commands that change a node tell the system log. `journalctl -u holdfast` shows the daemon's,\n\
         `journalctl -t holdfast` all of them, `journalctl -x` explains each, and `journalctl MESSAGE_ID=...` finds one kind. A field\n\
         with several controls is found by `journalctl -t holdfast -g CIS-1.2.15`.\n\n\
         | event | priority | MESSAGE_ID | fields | what has happened | what to do |\n|---|---|---|---|---|---|\n",
    );
    for event in ALL {
        let fields: Vec<&str> = event.fields.iter().map(|field| field.name()).collect();
        text += &format!(
            "| {} | {} | `{}` | {} | {}. {} | {} |\n",
            event.name,
            event.priority.name(),
            event.id,
            fields.join(" "),
            event.subject,
            event.meaning,
            event.remedy.replace("@HOLDFAST_CONTROL@", "CONTROL")
        );
    }
    text += "\n| field | what it holds |\n|---|---|\n";
    for field in Field::ALL {
        text += &format!("| {} | {} |\n", field.name(), field.meaning());
    }
    text
}

/// Running text in lines of a terminal.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 80;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
