//! Who may do what with a file: changing its mode and its owner.
//!
//! The file is held by a descriptor that is only a path, compared with what the plan saw, and changed through that
//! descriptor; so it cannot be exchanged in between.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open};
use nix::sys::stat::{FchmodatFlags, Mode as Bits, fchmodat, fstat};
use nix::unistd::{Gid, Uid, fchownat, fsync};

use super::{FileError, Files, changed, failed, not_durable};
use crate::adapters::lock::Held;
use crate::domain::{FileFacts, FileId, FileKind, Mode, NodePath, Owner};

impl Files {
    /// Gives a file or folder a mode, if it is still that file and has still the mode `from`.
    ///
    /// # Errors
    /// When it is not, or the system refuses.
    pub fn set_mode(
        &self,
        _held: &Held,
        path: &NodePath,
        id: FileId,
        from: Mode,
        to: Mode,
    ) -> Result<(), FileError> {
        let grip = self.grip(path, id)?;
        if grip.facts.mode != from {
            return Err(changed(
                path,
                format!("its mode is {}, not {from}", grip.facts.mode),
            ));
        }
        let bits = Bits::from_bits_truncate(to.bits());
        // Invariant: access is that of `from` until this one call returns, and that of `to` from then on; there is no moment in
        // between. (fchmod refuses a descriptor that is only a path, so the call goes by the descriptor's own name.)
        fchmodat(
            AT_FDCWD,
            grip.own_name().as_str(),
            bits,
            FchmodatFlags::FollowSymlink,
        )
        .map_err(failed("change the mode of", path))?;
        grip.sync().map_err(not_durable(path))
    }

    /// Gives a file or folder an owner, if it is still that file and has still the owner `from`. The setuid and setgid bits
    /// that the kernel clears are not put back.
    ///
    /// # Errors
    /// When it is not, or has several hard links and is not to be root's, or the system refuses.
    pub fn set_owner(
        &self,
        _held: &Held,
        path: &NodePath,
        id: FileId,
        from: Owner,
        to: Owner,
    ) -> Result<(), FileError> {
        let grip = self.grip(path, id)?;
        if grip.facts.owner != from {
            return Err(changed(
                path,
                format!("its owner is {}, not {from}", grip.facts.owner),
            ));
        }
        // Whoever can write to the folder may have linked a file here that is none of theirs, to have it given to them.
        if to.uid != 0 && grip.facts.kind == FileKind::Regular && grip.facts.links > 1 {
            return Err(failed("change the owner of", path)(io::Error::other(
                "it has several hard links, so it may be another file than its name says",
            )));
        }
        let Owner { uid, gid } = self.real(to);
        let (user, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        // Invariant: user and group change in this one call and the mode does not widen, so that access is at every moment that of
        // the mode under the former owner or under the new one.
        fchownat(&grip.file, "", user, group, AtFlags::AT_EMPTY_PATH)
            .map_err(failed("change the owner of", path))?;
        grip.sync().map_err(not_durable(path))
    }

    /// Takes hold of a file that is still the one that was looked at.
    fn grip(&self, path: &NodePath, id: FileId) -> Result<Grip, FileError> {
        let file = self
            .place(path)
            .and_then(|place| place.open(OFlag::O_PATH))
            .map_err(failed("open", path))?;
        let facts = self.facts_of(&fstat(&file).map_err(failed("look at", path))?);
        if facts.id != id {
            return Err(changed(path, "another file has its name now"));
        }
        if facts.kind == FileKind::Symlink {
            return Err(changed(path, "it is a symbolic link"));
        }
        // Opened before anything is changed: when that fails, nothing was.
        let synced = Grip::open_for_sync(&file, &facts).map_err(failed("open", path))?;
        Ok(Grip { file, facts, synced })
    }
}

/// A file held by a descriptor that is only a path.
struct Grip {
    file: OwnedFd,
    facts: FileFacts,
    /// The same file, opened so that it can be synced.
    synced: Option<OwnedFd>,
}

impl Grip {
    /// A socket or pipe cannot be opened for that and does not outlast a reboot; a device is better left alone.
    fn open_for_sync(file: &OwnedFd, facts: &FileFacts) -> io::Result<Option<OwnedFd>> {
        match facts.kind {
            FileKind::Regular | FileKind::Directory => {
                let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
                Ok(Some(open(own_name(file).as_str(), flags, Bits::empty())?))
            }
            FileKind::Symlink | FileKind::Special => Ok(None),
        }
    }

    fn own_name(&self) -> String {
        own_name(&self.file)
    }

    fn sync(&self) -> io::Result<()> {
        self.synced.as_ref().map_or(Ok(()), |file| Ok(fsync(file)?))
    }
}

fn own_name(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests make the files that are looked at"
)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::testing::{Tree, not_run, path};
    use super::*;

    fn mode(bits: u32) -> Mode {
        Mode::from_bits(bits)
    }

    fn tree(bits: u32) -> (Tree, FileFacts) {
        let tree = Tree::new();
        tree.write("/a/conf", "x");
        std::fs::set_permissions(tree.at("/a/conf"), PermissionsExt::from_mode(bits)).unwrap();
        let facts = tree.facts("/a/conf");
        (tree, facts)
    }

    #[test]
    fn a_mode_is_set_on_a_file_and_on_a_folder() {
        let (tree, facts) = tree(0o644);
        let conf = path("/a/conf");
        tree.files
            .set_mode(&tree.held, &conf, facts.id, mode(0o644), mode(0o600))
            .unwrap();
        assert_eq!(tree.facts("/a/conf").mode, mode(0o600));

        std::fs::set_permissions(tree.at("/a"), PermissionsExt::from_mode(0o755)).unwrap();
        let folder = tree.facts("/a");
        tree.files
            .set_mode(&tree.held, &path("/a"), folder.id, folder.mode, mode(0o700))
            .unwrap();
        assert_eq!(tree.facts("/a").mode, mode(0o700));
    }

    #[test]
    fn a_socket_gets_its_mode_too() {
        let tree = Tree::new();
        let listener = std::os::unix::net::UnixListener::bind(tree.at("/sock")).unwrap();
        let facts = tree.facts("/sock");
        tree.files
            .set_mode(&tree.held, &path("/sock"), facts.id, facts.mode, mode(0o600))
            .unwrap();
        assert_eq!(tree.facts("/sock").mode, mode(0o600));
        drop(listener);
    }

    #[test]
    fn another_mode_another_file_or_a_link_is_left_alone() {
        let (tree, facts) = tree(0o640);
        let conf = path("/a/conf");
        let error = tree
            .files
            .set_mode(&tree.held, &conf, facts.id, mode(0o644), mode(0o600))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "/a/conf has changed since it was looked at: its mode is 0640, not 0644"
        );

        std::fs::rename(tree.at("/a/conf"), tree.at("/a/old")).unwrap();
        tree.write("/a/conf", "y");
        let error = tree
            .files
            .set_mode(&tree.held, &conf, facts.id, mode(0o640), mode(0o600))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "/a/conf has changed since it was looked at: another file has its name now"
        );

        symlink("old", tree.at("/a/link")).unwrap();
        let link = tree.facts("/a/link");
        let error = tree
            .files
            .set_mode(&tree.held, &path("/a/link"), link.id, link.mode, mode(0o600))
            .unwrap_err();
        assert!(error.to_string().ends_with("it is a symbolic link"), "{error}");
        assert_eq!(tree.facts("/a/old").mode, mode(0o640));
    }

    #[test]
    fn a_file_that_is_gone_is_an_error_that_names_it() {
        let (tree, facts) = tree(0o644);
        let error = tree
            .files
            .set_mode(&tree.held, &path("/a/none"), facts.id, mode(0o644), mode(0o600))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot open /a/none: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn an_owner_is_set_and_the_mode_stays() {
        let (tree, facts) = tree(0o640);
        if !tree.is_root {
            not_run("giving files away takes root");
            return;
        }
        let conf = path("/a/conf");
        let etcd = Owner { uid: 992, gid: 991 };
        tree.files
            .set_owner(&tree.held, &conf, facts.id, Owner::ROOT, etcd)
            .unwrap();
        let after = tree.facts("/a/conf");
        assert_eq!((after.owner, after.mode), (etcd, mode(0o640)));
        let error = tree
            .files
            .set_owner(&tree.held, &conf, facts.id, Owner::ROOT, etcd)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "/a/conf has changed since it was looked at: its owner is 992:991, not root:root"
        );
    }

    #[test]
    fn a_file_with_several_names_is_given_to_nobody_but_root() {
        let (tree, facts) = tree(0o640);
        let conf = path("/a/conf");
        std::fs::hard_link(tree.at("/a/conf"), tree.at("/a/other")).unwrap();
        let etcd = Owner { uid: 992, gid: 991 };
        let error = tree
            .files
            .set_owner(&tree.held, &conf, facts.id, Owner::ROOT, etcd)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot change the owner of /a/conf: it has several hard links, so it may be another file than its name \
             says"
        );
        tree.files
            .set_owner(&tree.held, &conf, facts.id, Owner::ROOT, Owner::ROOT)
            .unwrap();
    }

    #[test]
    fn the_stand_in_is_root_in_both_directions() {
        let (tree, facts) = tree(0o600);
        if !tree.is_root {
            not_run("giving files away takes root");
            return;
        }
        let someone = Owner { uid: 1000, gid: 1000 };
        let files = Files::at(&tree.at("/")).unwrap().taking_for_root(someone);
        let conf = path("/a/conf");
        std::os::unix::fs::chown(tree.at("/a/conf"), Some(992), Some(991)).unwrap();
        let etcd = Owner { uid: 992, gid: 991 };
        files
            .set_owner(&tree.held, &conf, facts.id, etcd, Owner::ROOT)
            .unwrap();
        let raw = nix::sys::stat::lstat(&tree.at("/a/conf")).unwrap();
        assert_eq!((raw.st_uid, raw.st_gid), (1000, 1000));
        let shown = files.facts(&conf).map(|facts| facts.owner);
        assert_eq!(shown, crate::domain::Fact::Known(Owner::ROOT));
    }
}
