//! The node's file system, below a root folder: `/`, or a folder at which a node's file system is mounted.
//!
//! Every path is opened component by component from the root's descriptor. No symbolic link is followed at the last
//! component; one before it is followed only if root owns it and nobody else can replace it.

mod access;
mod draft;
mod folder;
mod look;
mod own;
mod own_log;
mod place;
mod put;
#[cfg(test)]
mod testing;
mod xattrs;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode as Bits, SFlag};

use crate::domain::{Fact, FileFacts, FileId, FileKind, Mode, NodePath, Owner};

pub(super) use own_log::OwnLog;

/// The node's file system.
#[derive(Debug)]
pub struct Files {
    root: OwnedFd,
    /// Whose files are taken for root's.
    stand_in: Owner,
}

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
        cause: io::Error,
    },
    /// The change was made, but may be lost when the power fails now.
    #[error("{path} was changed, but the disk did not confirm it: {cause}")]
    NotDurable {
        /// The file.
        path: NodePath,
        /// What the system said.
        cause: io::Error,
    },
}

impl Files {
    /// The file system whose root is this folder.
    ///
    /// # Errors
    /// When the folder cannot be opened.
    pub fn at(root: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            root: open(root, flags, Bits::empty())?,
            stand_in: Owner::ROOT,
        })
    }

    /// Takes files of `owner` for root's: in a node's tree that an ordinary user made in a folder of their own.
    #[must_use]
    pub fn taking_for_root(self, owner: Owner) -> Self {
        Self {
            stand_in: owner,
            ..self
        }
    }

    /// True when root, or who is taken for root, owns what this is the status of.
    fn is_roots(&self, stat: &FileStat) -> bool {
        stat.st_uid == Owner::ROOT.uid || stat.st_uid == self.stand_in.uid
    }

    /// The owner as it is shown: the stand-in is root.
    const fn shown(&self, uid: u32, gid: u32) -> Owner {
        Owner {
            uid: if uid == self.stand_in.uid { 0 } else { uid },
            gid: if gid == self.stand_in.gid { 0 } else { gid },
        }
    }

    /// The owner as the system calls take it: the inverse of `shown`.
    const fn real(&self, owner: Owner) -> Owner {
        Owner {
            uid: if owner.uid == 0 {
                self.stand_in.uid
            } else {
                owner.uid
            },
            gid: if owner.gid == 0 {
                self.stand_in.gid
            } else {
                owner.gid
            },
        }
    }

    #[allow(
        clippy::useless_conversion,
        reason = "the number of links has 32 bits on some machines and 64 on others"
    )]
    fn facts_of(&self, stat: &FileStat) -> FileFacts {
        FileFacts {
            id: id(stat),
            kind: kind(stat),
            mode: Mode::from_bits(stat.st_mode),
            owner: self.shown(stat.st_uid, stat.st_gid),
            links: stat.st_nlink.into(),
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            modified_ns: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
        }
    }
}

const fn id(stat: &FileStat) -> FileId {
    FileId {
        device: stat.st_dev,
        inode: stat.st_ino,
    }
}

const fn kind(stat: &FileStat) -> FileKind {
    match SFlag::from_bits_truncate(stat.st_mode).intersection(SFlag::S_IFMT) {
        SFlag::S_IFREG => FileKind::Regular,
        SFlag::S_IFDIR => FileKind::Directory,
        SFlag::S_IFLNK => FileKind::Symlink,
        _ => FileKind::Special,
    }
}

/// The error for what is not of the kind that was asked for.
fn expect_kind(stat: &FileStat, wanted: FileKind) -> io::Result<()> {
    let found = kind(stat);
    if found == wanted {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "it is a {}, not a {}",
        found.noun(),
        wanted.noun()
    )))
}

/// What a look came to: nothing there is `Absent`, everything else that went wrong is `Unknown`.
fn fact<T>(act: &str, path: &NodePath, looked: io::Result<T>) -> Fact<T> {
    match looked {
        Ok(value) => Fact::Known(value),
        Err(cause) if is_missing(&cause) => Fact::Absent,
        Err(cause) => Fact::unknown(format!("cannot {act} {path}: {cause}")),
    }
}

fn is_missing(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn failed<E: Into<io::Error>>(act: &'static str, path: &NodePath) -> impl FnOnce(E) -> FileError {
    move |cause| FileError::Failed {
        act,
        path: path.clone(),
        cause: cause.into(),
    }
}

fn not_durable(path: &NodePath) -> impl FnOnce(io::Error) -> FileError {
    move |cause| FileError::NotDurable {
        path: path.clone(),
        cause,
    }
}

fn changed(path: &NodePath, what: impl Into<String>) -> FileError {
    FileError::Changed {
        path: path.clone(),
        what: what.into(),
    }
}

/// The cause of a failure to clean up, with the failure that made it necessary.
fn and_before_that(cause: impl std::fmt::Display, first: &dyn std::error::Error) -> io::Error {
    io::Error::other(format!("{cause}; before that: {first}"))
}
