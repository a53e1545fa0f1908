//! The node's file system, below a root folder: `/`, or a folder at which a node's file system is mounted.
//!
//! Every path is opened component by component from the root's descriptor. No symbolic link is followed at the last
//! component; one before it is followed only if root owns it and nobody else can replace it.

use std::path::Path;

use crate::adapters::lock::Held;
use crate::domain::{Digest, Fact, FileFacts, FileId, Mode, NodePath, Owner};

/// The node's file system.
#[derive(Debug)]
pub struct Files {}

/// A file that was read whole, its facts taken from the same descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its facts.
    pub facts: FileFacts,
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name; bytes that are not UTF-8 are shown as U+FFFD.
    pub name: String,
    /// Its path; `None` when the name cannot be part of one.
    pub path: Option<NodePath>,
    /// Its facts, links not followed.
    pub facts: Fact<FileFacts>,
}

/// A file operation that failed. Nothing was changed, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not what the plan was made for: another file, mode, owner or content.
    #[error("{path} has changed since it was looked at: {what}")]
    Changed {
        /// The file.
        path: NodePath,
        /// What differs.
        what: String,
    },
    /// A system call failed.
    #[error("cannot {act} {path}: {cause}")]
    Failed {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: NodePath,
        /// What the system said.
        cause: std::io::Error,
    },
}

#[expect(unused_variables, clippy::unused_self, reason = "the skeleton")]
impl Files {
    /// The file system whose root is this folder.
    ///
    /// # Errors
    /// When the folder cannot be opened.
    pub fn at(root: &Path) -> std::io::Result<Self> {
        Ok(Self {})
    }

    /// Takes files of `owner` for root's: in a node's tree that an ordinary user made in a folder of their own.
    #[must_use]
    pub fn taking_for_root(self, owner: Owner) -> Self {
        self
    }

    /// The facts of a file, folder or link itself.
    pub fn facts(&self, path: &NodePath) -> Fact<FileFacts> {
        Fact::Absent
    }

    /// The content of a plain file of at most `max` bytes. A file that changes while it is read is read again, three times
    /// at most.
    pub fn read(&self, path: &NodePath, max: usize) -> Fact<Content> {
        Fact::Absent
    }

    /// The last `max` bytes of a plain file.
    pub fn read_tail(&self, path: &NodePath, max: usize) -> Fact<Vec<u8>> {
        Fact::Absent
    }

    /// The entries of a folder, sorted by name.
    pub fn list(&self, folder: &NodePath) -> Fact<Vec<Entry>> {
        Fact::Absent
    }

    /// The entries of a folder and of all folders below it; links are not followed, other file systems not entered.
    pub fn walk(&self, folder: &NodePath) -> Fact<Vec<Entry>> {
        Fact::Absent
    }

    /// Gives a file or folder a mode, if it is still that file and has still the mode `from`.
    ///
    /// # Errors
    /// When it is not, or the system refuses.
    pub fn set_mode(
        &self,
        held: &Held,
        path: &NodePath,
        id: FileId,
        from: Mode,
        to: Mode,
    ) -> Result<(), FileError> {
        Ok(())
    }

    /// Gives a file or folder an owner, if it is still that file and has still the owner `from`. The setuid and setgid bits
    /// that the kernel clears are not put back.
    ///
    /// # Errors
    /// When it is not, or the system refuses.
    pub fn set_owner(
        &self,
        held: &Held,
        path: &NodePath,
        id: FileId,
        from: Owner,
        to: Owner,
    ) -> Result<(), FileError> {
        Ok(())
    }

    /// Replaces the content of a plain file whose content is still `before`: a dot file in the same folder with the owner,
    /// mode and extended attributes of the old file, synced, renamed over it, the folder synced.
    ///
    /// # Errors
    /// When it is not, or the system refuses; the old file is then whole.
    pub fn replace(
        &self,
        held: &Held,
        path: &NodePath,
        before: Digest,
        content: &[u8],
    ) -> Result<(), FileError> {
        Ok(())
    }

    /// Writes a file of Holdfast's own (state, backups, pause), atomically and durably, owned by root.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write_own(
        &self,
        held: &Held,
        path: &NodePath,
        content: &[u8],
        mode: Mode,
    ) -> Result<(), FileError> {
        Ok(())
    }

    /// Makes a folder of Holdfast's own with mode 0700, and those above it, if they are not there.
    ///
    /// # Errors
    /// When the system refuses, or one of them belongs to somebody else or others can write to it.
    pub fn make_own_folder(&self, path: &NodePath) -> Result<(), FileError> {
        Ok(())
    }

    /// Removes a file of Holdfast's own; it is no error when it is not there.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove_own(&self, held: &Held, path: &NodePath) -> Result<(), FileError> {
        Ok(())
    }

    /// Moves a plain file whose content is still `digest` to `to`, on the same file system or another: copied with owner, mode and
    /// extended attributes, synced, and only then removed.
    ///
    /// # Errors
    /// When it is not, or the system refuses; the file is then in its old place.
    pub fn move_away(
        &self,
        held: &Held,
        path: &NodePath,
        digest: Digest,
        to: &NodePath,
    ) -> Result<(), FileError> {
        Ok(())
    }

    /// Puts a manifest in place where none is, from `content` with the owner root:root, mode 0600.
    ///
    /// # Errors
    /// When there is one, or the system refuses.
    pub fn create(&self, held: &Held, path: &NodePath, content: &[u8]) -> Result<(), FileError> {
        Ok(())
    }

    /// Removes the temporary files that a crash of Holdfast left in a folder.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn sweep(&self, held: &Held, folder: &NodePath) -> Result<(), FileError> {
        Ok(())
    }
}
