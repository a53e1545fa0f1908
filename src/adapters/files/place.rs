//! A place: the folder that holds a file, held open, and the file's name in it. What is done at a place cannot be
//! led elsewhere by renaming or linking something above it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{FileStat, Mode as Bits, fstat, fstatat};
use nix::unistd::fsync;

use super::{Files, expect_kind, kind};
use crate::adapters::failpoint::{Act, Kind};
use crate::domain::{FileKind, NodePath};

/// More links than this on one path are a loop; kubeadm's layout has none.
const MAX_LINKS: usize = 8;

/// The bits by which somebody other than the owner can put names into a folder. The sticky bit does not help: it keeps
/// others from taking names away, not from being there first.
pub(super) const OTHERS_WRITE: u32 = 0o022;

/// A folder held open, and a name in it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) folder: OwnedFd,
    pub(super) name: String,
}

impl Place {
    /// The status of what has the name, links not followed.
    pub(super) fn stat(&self) -> io::Result<FileStat> {
        Ok(fstatat(
            &self.folder,
            self.name.as_str(),
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )?)
    }

    /// Opens what has the name; a link is not followed.
    pub(super) fn open(&self, flags: OFlag) -> io::Result<OwnedFd> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(&self.folder, self.name.as_str(), flags, Bits::empty())?)
    }

    /// Opens it for listing, if it is a folder.
    pub(super) fn open_folder(&self) -> io::Result<OwnedFd> {
        expect_kind(&self.stat()?, FileKind::Directory)?;
        self.open(OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(|cause| {
            // A folder a moment ago: something is there, so this must not pass for absence.
            if cause.kind() == io::ErrorKind::NotADirectory {
                io::Error::other("it was replaced while it was looked at")
            } else {
                cause
            }
        })
    }

    /// What has the name `draft` in the folder takes the place's name, whatever had it.
    pub(super) fn take_name_of(&self, draft: &str) -> Result<(), Errno> {
        let rename = Act::new(Kind::Rename)
            .at(&self.folder, draft)
            .to(&self.folder, &self.name);
        rename.done(|| renameat(&self.folder, draft, &self.folder, self.name.as_str()))
    }

    /// Makes the names in the folder outlast a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_folder(&self.folder)
    }
}

/// Makes the names in a folder outlast a power cut. A descriptor that is only a path cannot be synced, so it is opened anew.
pub(super) fn sync_folder(folder: impl AsFd) -> io::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = openat(folder, ".", flags, Bits::empty())?;
    Ok(Act::new(Kind::SyncFolder).on(&opened).done(|| fsync(&opened))?)
}

impl Files {
    /// Where a path leads.
    pub(super) fn place(&self, path: &NodePath) -> io::Result<Place> {
        let Some(parent) = path.parent() else {
            return Ok(Place {
                folder: self.root.try_clone()?,
                name: ".".to_owned(),
            });
        };
        Ok(Place {
            folder: self.enter(&parent)?,
            name: path.file_name().to_owned(),
        })
    }

    /// Goes into a folder from the root, through links that only root can have made. The way never leaves the root: `..` ends
    /// there, and an absolute link starts there.
    pub(super) fn enter(&self, folder: &NodePath) -> io::Result<OwnedFd> {
        let mut entered: Vec<OwnedFd> = Vec::new();
        let mut ahead: Vec<OsString> = folder.components().map(OsString::from).collect();
        ahead.reverse();
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                entered.pop();
                continue;
            }
            let here = entered.last().unwrap_or(&self.root);
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let next = openat(here, name.as_os_str(), flags, Bits::empty())?;
            let stat = fstat(&next)?;
            match kind(&stat) {
                FileKind::Directory => entered.push(next),
                FileKind::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::ELOOP.into());
                    }
                    self.trust(&name, &stat, &fstat(here)?)?;
                    let target = readlinkat(&next, "")?;
                    if Path::new(&target).has_root() {
                        entered.clear();
                    }
                    ahead.extend(steps(&target).rev());
                }
                FileKind::Regular | FileKind::Special => return Err(Errno::ENOTDIR.into()),
            }
        }
        entered.pop().map_or_else(|| self.root.try_clone(), Ok)
    }

    /// A link is followed only if root made it and nobody else could have put it where it is.
    fn trust(&self, name: &OsStr, link: &FileStat, folder: &FileStat) -> io::Result<()> {
        let why = if !self.is_roots(link) {
            "root does not own it"
        } else if !self.is_roots(folder) {
            "root does not own its folder"
        } else if folder.st_mode & OTHERS_WRITE != 0 {
            "others can write to its folder"
        } else {
            return Ok(());
        };
        Err(io::Error::other(format!(
            "the symbolic link {} on the way is not followed, because {why}",
            name.display()
        )))
    }
}

fn steps(target: &OsStr) -> impl DoubleEndedIterator<Item = OsString> {
    Path::new(target).components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests make the files that are looked at"
)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::testing::{Tree, not_run, path};
    use crate::domain::{Fact, FileKind};

    #[test]
    fn a_link_of_roots_on_the_way_is_followed_relative_or_absolute() {
        let tree = Tree::new();
        tree.write("/usr/lib/x", "here");
        symlink("usr/lib", tree.at("/lib")).unwrap();
        symlink("/usr/lib", tree.at("/usr/lib64")).unwrap();
        symlink("../../lib/.", tree.at("/usr/lib/again")).unwrap();
        for way in ["/lib/x", "/usr/lib64/x", "/usr/lib/again/x", "/lib/again/again/x"] {
            assert_eq!(tree.read(way), Fact::Known("here".to_owned()), "{way}");
        }
    }

    #[test]
    fn dots_and_absolute_links_end_at_the_root() {
        let tree = Tree::new();
        tree.write("/etc/passwd", "the node's");
        symlink("../../../../../../../../etc", tree.at("/up")).unwrap();
        symlink("/etc", tree.at("/abs")).unwrap();
        for way in ["/up/passwd", "/abs/passwd"] {
            assert_eq!(tree.read(way), Fact::Known("the node's".to_owned()), "{way}");
        }
    }

    #[test]
    fn a_link_that_others_could_have_planted_is_unknown_and_says_why() {
        let tree = Tree::new();
        tree.write("/secret/x", "not for you");
        tree.folder("/open");
        symlink("/secret", tree.at("/open/way")).unwrap();
        for mode in [0o775, 0o757, 0o1777] {
            std::fs::set_permissions(tree.at("/open"), PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(
                tree.files.facts(&path("/open/way/x")),
                Fact::unknown(
                    "cannot look at /open/way/x: the symbolic link way on the way is not followed, because others can \
                     write to its folder"
                )
            );
        }
        std::fs::set_permissions(tree.at("/open"), PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(tree.read("/open/way/x"), Fact::Known("not for you".to_owned()));
    }

    #[test]
    fn a_link_of_somebody_else_is_not_followed_nor_one_in_their_folder() {
        let tree = Tree::new();
        if !tree.is_root {
            not_run("giving files away takes root");
            return;
        }
        tree.write("/secret/x", "not for you");
        tree.folder("/theirs");
        symlink("/secret", tree.at("/way")).unwrap();
        symlink("/secret", tree.at("/theirs/way")).unwrap();
        std::os::unix::fs::lchown(tree.at("/way"), Some(12345), None).unwrap();
        std::os::unix::fs::chown(tree.at("/theirs"), Some(12345), None).unwrap();
        for (way, why) in [
            ("/way/x", "root does not own it"),
            ("/theirs/way/x", "root does not own its folder"),
        ] {
            let Fact::Unknown(reason) = tree.files.facts(&path(way)) else {
                panic!("{way} was followed");
            };
            assert!(reason.as_str().ends_with(why), "{reason}");
        }
    }

    #[test]
    fn a_loop_of_links_is_unknown() {
        let tree = Tree::new();
        symlink("b", tree.at("/a")).unwrap();
        symlink("a", tree.at("/b")).unwrap();
        let Fact::Unknown(reason) = tree.files.facts(&path("/a/x")) else {
            panic!("a loop leads nowhere");
        };
        assert!(reason.as_str().contains("/a/x"), "{reason}");
    }

    #[test]
    fn what_is_not_there_is_absent_and_a_link_at_the_end_is_itself() {
        let tree = Tree::new();
        tree.write("/file", "");
        symlink("nowhere", tree.at("/dangling")).unwrap();
        for way in ["/none", "/none/x", "/file/x", "/dangling/x"] {
            assert_eq!(tree.files.facts(&path(way)), Fact::Absent, "{way}");
        }
        let facts = tree.files.facts(&path("/dangling"));
        assert_eq!(facts.map(|facts| facts.kind), Fact::Known(FileKind::Symlink));
        let root = tree.files.facts(&path("/"));
        assert_eq!(root.map(|facts| facts.kind), Fact::Known(FileKind::Directory));
    }
}
