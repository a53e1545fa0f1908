//! A file of Holdfast's own to which is only ever added: the journal.

use std::fs::File;
use std::io::{self, Write as _};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode as Bits, fstat};

use super::place::OTHERS_WRITE;
use super::{FileError, Files, and_before_that, expect_kind, failed};
use crate::adapters::failpoint::{Act, Kind};
use crate::adapters::lock::Held;
use crate::domain::{FileKind, NodePath};

/// The open file.
#[derive(Debug)]
pub(in crate::adapters) struct OwnLog {
    path: NodePath,
    file: File,
    /// Where what is known to be whole ends. Beyond it there may be what a failed write left.
    length: u64,
}

impl Files {
    /// Opens such a file, made with mode 0600 if it is not there.
    ///
    /// # Errors
    /// When the system refuses, or it is not root's alone.
    pub(in crate::adapters) fn open_own_log(
        &self,
        _held: &Held,
        path: &NodePath,
    ) -> Result<OwnLog, FileError> {
        let file = self.open_or_make(path).map_err(failed("open", path))?;
        let length = file.metadata().map_err(failed("look at", path))?.len();
        let path = path.clone();
        Ok(OwnLog { path, file, length })
    }

    fn open_or_make(&self, path: &NodePath) -> io::Result<File> {
        let place = self.place(path)?;
        let flags =
            OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let name = place.name.as_str();
        let file = match openat(&place.folder, name, flags, Bits::empty()) {
            Err(Errno::ENOENT) => {
                let flags = flags | OFlag::O_CREAT | OFlag::O_EXCL;
                let made = Act::new(Kind::Create)
                    .at(&place.folder, name)
                    .done(|| openat(&place.folder, name, flags, Bits::S_IRUSR | Bits::S_IWUSR))?;
                place.sync()?;
                made
            }
            opened => opened?,
        };
        let stat = fstat(&file)?;
        expect_kind(&stat, FileKind::Regular)?;
        if !self.is_roots(&stat) || stat.st_mode & OTHERS_WRITE != 0 || stat.st_nlink != 1 {
            return Err(io::Error::other(
                "others than root can write to it, or it has several hard links",
            ));
        }
        Ok(File::from(file))
    }
}

impl OwnLog {
    /// Adds `bytes`, durably.
    ///
    /// # Errors
    /// When the disk refuses; the file is then cut back, at the latest before the next bytes are added.
    pub(in crate::adapters) fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.cut(self.length)?;
        let Self { file, .. } = self;
        let write = Act::new(Kind::Write).on(file).bytes(bytes);
        let added = write
            .done(|| (&*file).write_all(bytes))
            .and_then(|()| Act::new(Kind::Sync).on(file).done(|| file.sync_data()));
        if let Err(cause) = added {
            let error = failed("write to", &self.path)(cause);
            return Err(match self.cut(self.length) {
                Ok(()) => error,
                Err(cause) => failed("write to", &self.path)(and_before_that(cause, &error)),
            });
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Cuts off what is beyond `length`, durably.
    ///
    /// # Errors
    /// When the system refuses.
    pub(in crate::adapters) fn cut(&mut self, length: u64) -> Result<(), FileError> {
        let cut = self.file.metadata().and_then(|metadata| {
            if metadata.len() <= length {
                return Ok(());
            }
            let Self { file, .. } = &*self;
            let cut = Act::new(Kind::Cut).on(file).length(length);
            cut.done(|| file.set_len(length))?;
            Act::new(Kind::Sync).on(file).done(|| file.sync_all())
        });
        cut.map_err(failed("cut back", &self.path))?;
        self.length = self.length.min(length);
        Ok(())
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests make the files that are looked at"
)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::testing::{Tree, path};
    use super::*;
    use crate::domain::{Fact, Mode};

    #[test]
    fn what_is_added_follows_what_is_known_to_be_whole() {
        let tree = Tree::new();
        let at = path("/journal");
        let mut log = tree.files.open_own_log(&tree.held, &at).unwrap();
        assert_eq!(tree.facts("/journal").mode, Mode::from_bits(0o600));
        log.append(b"one\n").unwrap();
        // What a write that failed halfway may have left.
        let mut text = std::fs::read(tree.at("/journal")).unwrap();
        text.extend(b"tw");
        std::fs::write(tree.at("/journal"), text).unwrap();
        log.append(b"two\n").unwrap();
        drop(log);
        assert_eq!(tree.read("/journal"), Fact::Known("one\ntwo\n".to_owned()));
        let mut log = tree.files.open_own_log(&tree.held, &at).unwrap();
        log.cut(4).unwrap();
        assert_eq!(tree.read("/journal"), Fact::Known("one\n".to_owned()));
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let mut log = OwnLog {
            path: path("/journal"),
            file: File::options().write(true).open("/dev/full").unwrap(),
            length: 0,
        };
        assert_eq!(
            log.append(b"x").unwrap_err().to_string(),
            "cannot write to /journal: No space left on device (os error 28)"
        );
    }

    #[test]
    fn what_is_not_roots_alone_is_not_opened() {
        let tree = Tree::new();
        tree.write("/wide", "");
        std::fs::set_permissions(tree.at("/wide"), PermissionsExt::from_mode(0o620)).unwrap();
        tree.write("/twice", "");
        std::fs::hard_link(tree.at("/twice"), tree.at("/other")).unwrap();
        symlink("other", tree.at("/link")).unwrap();
        nix::unistd::mkfifo(&tree.at("/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for at in ["/wide", "/twice", "/link", "/pipe"] {
            let error = tree.files.open_own_log(&tree.held, &path(at)).unwrap_err();
            assert!(matches!(error, FileError::Failed { .. }), "{at}: {error}");
        }
    }
}
