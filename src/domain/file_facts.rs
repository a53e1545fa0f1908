//! What `fstat` says of a file.

use super::{Mode, Owner};

/// The kind of a directory entry, without following a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A plain file.
    Regular,
    /// A folder.
    Directory,
    /// A symbolic link; it was not followed.
    Symlink,
    /// A socket, pipe or device.
    Special,
}

impl FileKind {
    /// The kind in words.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Regular => "file",
            Self::Directory => "folder",
            Self::Symlink => "symbolic link",
            Self::Special => "special file",
        }
    }
}

/// Device and inode: which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct FileId {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// The facts of one file, read from one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Which file it is.
    pub id: FileId,
    /// File, folder, link or other.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: Mode,
    /// User and group.
    pub owner: Owner,
    /// Number of hard links.
    pub links: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since the Unix epoch.
    pub modified_ns: i128,
}
