//! A draft: the new content of a file, written in full beside it under a name of our own, and then put in its place in
//! one step. Whoever opens the file finds all of the old content or all of the new.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode as Bits, fchmod, fstat, fstatat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, linkat, unlinkat};
use rustix::fs::{RenameFlags, renameat_with};

use super::place::Place;
use super::xattrs::Xattrs;
use super::{FileError, Files, and_before_that, failed, kind, not_durable};
use crate::adapters::failpoint::{Act, Kind};
use crate::domain::{FileKind, Mode, NodePath, Owner};

const PREFIX: &str = ".holdfast-";
const SUFFIX: &str = ".tmp";

/// True for the name of a draft. The kubelet passes over names that begin with a dot.
pub(super) fn is_draft(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.len() > SUFFIX.len() && rest.ends_with(SUFFIX))
}

/// What a file is to look like: the numbers of its owner, its mode, its extended attributes.
#[derive(Debug)]
pub(super) struct Dress {
    owner: Owner,
    mode: Mode,
    xattrs: Xattrs,
}

impl Dress {
    /// That of an open file.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let stat = fstat(file)?;
        Ok(Self {
            owner: Owner {
                uid: stat.st_uid,
                gid: stat.st_gid,
            },
            mode: Mode::from_bits(stat.st_mode),
            xattrs: Xattrs::of(file)?,
        })
    }
}

impl Dress {
    /// The same with a mode that has no bit beyond `ceiling`. Where that is the owner's alone, there is no ACL either: it would let
    /// others in for the moment before the mode is set.
    pub(super) fn tightened_to(self, ceiling: Mode) -> Self {
        let owners_alone = ceiling.bits() & 0o077 == 0;
        Self {
            mode: self.mode.tightened_to(ceiling),
            xattrs: if owners_alone {
                self.xattrs.without_acl()
            } else {
                self.xattrs
            },
            ..self
        }
    }
}

impl Files {
    /// That of a file of root's.
    pub(super) fn roots_dress(&self, mode: Mode) -> Dress {
        Dress {
            owner: self.real(Owner::ROOT),
            mode,
            xattrs: Xattrs::default(),
        }
    }

    /// Writes a draft for the file at a place and has `swap` put it there by its name, durably; then the folder is synced. When
    /// anything fails, the draft is removed.
    pub(super) fn publish(
        &self,
        place: &Place,
        path: &NodePath,
        content: &[u8],
        dress: &Dress,
        swap: impl FnOnce(&str) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        let fill = |draft: &File| {
            fill(draft, content, dress)?;
            Act::new(Kind::Sync).on(draft).done(|| draft.sync_all())
        };
        self.draft(place, path, fill, swap)?;
        place.sync().map_err(not_durable(path))
    }

    /// The same for a file that nobody misses after a power cut: whoever opens it finds it whole, and the disk is not waited for.
    pub(super) fn publish_fleeting(
        &self,
        place: &Place,
        path: &NodePath,
        content: &[u8],
        dress: &Dress,
    ) -> Result<(), FileError> {
        let fill = |draft: &File| fill(draft, content, dress);
        self.draft(place, path, fill, |draft| {
            place.take_name_of(draft).map_err(failed("write", path))
        })
    }

    fn draft(
        &self,
        place: &Place,
        path: &NodePath,
        fill: impl FnOnce(&File) -> io::Result<()>,
        swap: impl FnOnce(&str) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        let draft = format!("{PREFIX}{}{SUFFIX}", place.name);
        let file = self
            .open_draft(place, &draft)
            .map_err(failed("make a temporary file for", path))?;
        let swapped = fill(&file)
            .map_err(failed("write a temporary file for", path))
            .and_then(|()| swap(&draft));
        let Err(error) = swapped else { return Ok(()) };
        Err(
            match unlinkat(&place.folder, draft.as_str(), UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => error,
                Err(cause) => failed("remove the temporary file of", path)(and_before_that(cause, &error)),
            },
        )
    }

    /// Makes an empty draft that nobody but its owner can open. What a crash left of an earlier one is removed first.
    fn open_draft(&self, place: &Place, draft: &str) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let open = || {
            let create = Act::new(Kind::Create).at(&place.folder, draft);
            create.done(|| openat(&place.folder, draft, flags, Bits::S_IRUSR | Bits::S_IWUSR))
        };
        match open() {
            Err(Errno::EEXIST) => {
                self.remove_leftover(place, draft)?;
                Ok(open()?.into())
            }
            opened => Ok(opened?.into()),
        }
    }

    /// Removes a draft that is a plain file of root's; nobody else's.
    fn remove_leftover(&self, place: &Place, draft: &str) -> io::Result<()> {
        if !self.is_leftover(&fstatat(&place.folder, draft, AtFlags::AT_SYMLINK_NOFOLLOW)?) {
            return Err(io::Error::other(format!(
                "{draft} is in the way, and it is no file of root's"
            )));
        }
        let remove = Act::new(Kind::Remove).at(&place.folder, draft);
        Ok(remove.done(|| unlinkat(&place.folder, draft, UnlinkatFlags::NoRemoveDir))?)
    }

    /// True for what a crash may have left under the name of a draft.
    pub(super) fn is_leftover(&self, stat: &FileStat) -> bool {
        kind(stat) == FileKind::Regular && self.is_roots(stat)
    }
}

/// Writes and dresses a draft.
///
/// Invariant: at no moment can anyone do with the draft what they may not do with the finished file. It begins as its
/// maker's alone; before the owner changes, the mode holds no more than both allow; the rest is added at the end.
fn fill(file: &File, content: &[u8], dress: &Dress) -> io::Result<()> {
    let write = Act::new(Kind::Write).on(file).bytes(content);
    write.done(|| (&*file).write_all(content))?;
    fchmod(file, bits(dress.mode.tightened_to(Mode::from_bits(0o600))))?;
    dress.xattrs.drop_inherited_acl(file)?;
    fchown(
        file,
        Some(Uid::from_raw(dress.owner.uid)),
        Some(Gid::from_raw(dress.owner.gid)),
    )?;
    // Before the mode: where there is an ACL, the group bits are what it grants at most to anyone, which without it would be
    // granted to the group.
    dress.xattrs.give(file)?;
    Ok(fchmod(file, bits(dress.mode))?)
}

const fn bits(mode: Mode) -> Bits {
    Bits::from_bits_truncate(mode.bits())
}

/// Renames a file to a name that must be free.
pub(super) fn rename_to_free(from: impl AsFd, old: &str, to: impl AsFd, new: &str) -> Result<(), Errno> {
    let rename = Act::new(Kind::Rename).at(&from, old).to(&to, new);
    match rename.done(|| renameat_with(&from, old, &to, new, RenameFlags::NOREPLACE)) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            // A file system without it: a second name is made, which fails if it is taken, and the first one goes.
            linkat(&from, old, &to, new, AtFlags::empty())?;
            unlinkat(&from, old, UnlinkatFlags::NoRemoveDir).or_else(|cause| {
                unlinkat(&to, new, UnlinkatFlags::NoRemoveDir)?;
                Err(cause)
            })
        }
        Err(cause) => Err(Errno::from_raw(cause.raw_os_error())),
    }
}
