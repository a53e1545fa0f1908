//! The journal's file: appended line by line, each line durable before the next act.

use super::files::{FileError, Files};
use super::lock::Held;
use crate::domain::{Instant, Layout};
use crate::journal::{Entry, JournalError, JournalState, Record};

/// The journal of a process that holds the lock.
#[derive(Debug)]
pub struct JournalStore {
    state: JournalState,
}

/// A journal that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What it says cannot be trusted.
    #[error("{path}: {cause}")]
    Journal {
        /// The file.
        path: String,
        /// What is wrong.
        cause: JournalError,
    },
    /// The file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file could not be read.
    #[error("the journal cannot be read: {0}")]
    Unreadable(String),
    /// A record that cannot follow what the journal says.
    #[error("{0}")]
    OutOfOrder(String),
}

#[expect(unused_variables, clippy::needless_pass_by_value, reason = "the skeleton")]
impl JournalStore {
    /// What the journal says, for commands that change nothing. A last line that a crash cut short is left out; no journal is an empty one.
    ///
    /// # Errors
    /// When it cannot be read or trusted.
    pub fn peek(files: &Files, layout: &Layout) -> Result<JournalState, StoreError> {
        Ok(JournalState::default())
    }

    /// Opens the journal, made if it is not there. A last line that a crash cut short is cut off; a journal over 1 MiB is compacted.
    ///
    /// # Errors
    /// When it cannot be read, trusted or written.
    pub fn open(files: &Files, layout: &Layout, held: &Held, now: Instant) -> Result<Self, StoreError> {
        Ok(Self {
            state: JournalState::default(),
        })
    }

    /// What it says.
    #[must_use]
    pub const fn state(&self) -> &JournalState {
        &self.state
    }

    /// Adds a record; it is on the disk when this returns.
    ///
    /// # Errors
    /// When the record cannot follow (nothing is written then), or the disk refuses (the file is then cut back to its old length).
    pub fn append(&mut self, held: &Held, at: Instant, record: Record) -> Result<(), StoreError> {
        self.state
            .record(&Entry { at, record })
            .map_err(StoreError::OutOfOrder)
    }
}
