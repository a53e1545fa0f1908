//! Putting files in place: replacing one, making one, moving one away.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::draft::{Dress, rename_to_free};
use super::place::Place;
use super::{Content, FileError, Files, and_before_that, changed, failed, is_missing, not_durable};
use crate::adapters::failpoint::{Act, Kind};
use crate::adapters::lock::Held;
use crate::domain::{Digest, FileId, Mode, NodePath};

/// A file that is replaced or moved is read to see that it is still the one that was meant; no manifest is as large as this.
const MAX_BYTES: usize = 16 << 20;

const OURS_ALONE: Mode = Mode::from_bits(0o600);

impl Files {
    /// Replaces the content of a plain file whose content is still `before`: a dot file in the same folder with the owner,
    /// mode and extended attributes of the old file, synced, renamed over it, the folder synced.
    ///
    /// # Errors
    /// When it is not, or has several hard links, or the system refuses; the old file is then whole.
    pub fn replace(
        &self,
        held: &Held,
        path: &NodePath,
        before: Digest,
        content: &[u8],
    ) -> Result<(), FileError> {
        self.replace_at_most(held, path, before, content, Mode::from_bits(0o7777))
    }

    /// The same, and takes from the mode what is not in `ceiling`, in the same step.
    ///
    /// # Errors
    /// As [`Files::replace`].
    pub fn replace_at_most(
        &self,
        _held: &Held,
        path: &NodePath,
        before: Digest,
        content: &[u8],
        ceiling: Mode,
    ) -> Result<(), FileError> {
        let place = self.place(path).map_err(failed("open", path))?;
        let (old, file) = self.read_expected(&place, path, before)?;
        if old.facts.links > 1 {
            return Err(failed("replace", path)(io::Error::other(
                "it has several hard links; its other names would keep the old content",
            )));
        }
        let dress = Dress::of(&file)
            .map_err(failed("look at", path))?
            .tightened_to(ceiling);
        self.publish(&place, path, content, &dress, |draft| {
            // Somebody may have edited the file while the draft was written; their edit must not be lost.
            self.expect_same(&place, path, old.facts.id, before)?;
            place.take_name_of(draft).map_err(failed("replace", path))
        })
    }

    /// Writes `content` at `to`, where nothing is, with the owner, mode and extended attributes of the plain file `like`, whose content is
    /// still `digest`.
    ///
    /// # Errors
    /// When it is not, or something is there, or the system refuses; nothing is then there.
    pub fn copy_dressed(
        &self,
        _held: &Held,
        like: &NodePath,
        digest: Digest,
        to: &NodePath,
        content: &[u8],
    ) -> Result<(), FileError> {
        let (_, file) = self.read_expected(&self.place(like).map_err(failed("open", like))?, like, digest)?;
        let dress = Dress::of(&file).map_err(failed("look at", like))?;
        let place = self.place(to).map_err(failed("open", to))?;
        self.publish(&place, to, content, &dress, |draft| {
            put_in_free_place(&place, draft, &place, to)
        })
    }

    /// Puts a manifest in place where none is, from `content` with the owner root:root, mode 0600.
    ///
    /// # Errors
    /// When there is one, or the system refuses.
    pub fn create(&self, _held: &Held, path: &NodePath, content: &[u8]) -> Result<(), FileError> {
        let place = self.place(path).map_err(failed("open", path))?;
        let dress = self.roots_dress(OURS_ALONE);
        self.publish(&place, path, content, &dress, |draft| {
            put_in_free_place(&place, draft, &place, path)
        })
    }

    /// Makes a plain file and its name outlast a power cut: who wrote it may have been killed before that.
    ///
    /// # Errors
    /// When it is not there, or the system cannot.
    pub fn make_durable(&self, path: &NodePath) -> Result<(), FileError> {
        let place = self.place(path).map_err(failed("open", path))?;
        let (_, file) = self.read_at(&place, MAX_BYTES).map_err(failed("read", path))?;
        let sync = Act::new(Kind::Sync).on(&file);
        sync.done(|| file.sync_all()).map_err(not_durable(path))?;
        place.sync().map_err(not_durable(path))
    }

    /// Moves a plain file whose content is still `digest` to `to`, on the same file system or another: copied with owner, mode and
    /// extended attributes, synced, and only then removed.
    ///
    /// # Errors
    /// When it is not, or the system refuses; the file is then in its old place.
    pub fn move_away(
        &self,
        _held: &Held,
        path: &NodePath,
        digest: Digest,
        to: &NodePath,
    ) -> Result<(), FileError> {
        let from = self.place(path).map_err(failed("open", path))?;
        let (content, file) = self.read_expected(&from, path, digest)?;
        let there = self.place(to).map_err(failed("open", to))?;
        match rename_to_free(&from.folder, &from.name, &there.folder, &there.name) {
            Ok(()) => {
                // First the new name, so that a power cut leaves two names rather than none.
                there.sync().map_err(not_durable(to))?;
                from.sync().map_err(not_durable(path))
            }
            Err(Errno::EEXIST) => Err(changed(to, "it is there already")),
            Err(Errno::EXDEV) => {
                let moved = Moved {
                    from,
                    path,
                    there,
                    to,
                };
                self.move_across(&moved, &content, &file, digest)
            }
            Err(cause) => Err(failed("move away", path)(cause)),
        }
    }

    /// Copies the file to the other file system and removes it here, once the copy is durable and was read back.
    fn move_across(
        &self,
        moved: &Moved<'_>,
        content: &Content,
        file: &File,
        digest: Digest,
    ) -> Result<(), FileError> {
        let Moved {
            from,
            path,
            there,
            to,
        } = moved;
        let dress = Dress::of(file).map_err(failed("look at", path))?;
        let copied = self.publish(there, to, &content.bytes, &dress, |draft| {
            put_in_free_place(there, draft, there, to)
        });
        let removed = match copied {
            Err(error @ (FileError::Changed { .. } | FileError::Failed { .. })) => return Err(error),
            Err(error @ FileError::NotDurable { .. }) => Err(error),
            Ok(()) => self
                .read_expected(there, to, digest)
                .and_then(|_| self.expect_same(from, path, content.facts.id, digest))
                .and_then(|()| remove(from).map_err(failed("remove", path))),
        };
        if let Err(error) = removed {
            // The copy goes, so that the file is in one place: its old one.
            return Err(match remove(there) {
                Ok(()) => error,
                Err(cause) => failed("remove", to)(and_before_that(cause, &error)),
            });
        }
        from.sync().map_err(not_durable(path))
    }

    /// Looks whether a plain file still has that content.
    ///
    /// # Errors
    /// When it has not, or cannot be read.
    pub fn expect(&self, path: &NodePath, digest: Digest) -> Result<(), FileError> {
        let place = self.place(path).map_err(failed("open", path))?;
        self.read_expected(&place, path, digest).map(drop)
    }

    /// The content of a file, if it is still that one.
    fn read_expected(
        &self,
        place: &Place,
        path: &NodePath,
        expected: Digest,
    ) -> Result<(Content, File), FileError> {
        let (content, file) = self.read_at(place, MAX_BYTES).map_err(|cause| {
            if is_missing(&cause) {
                changed(path, "it is gone")
            } else {
                failed("read", path)(cause)
            }
        })?;
        let found = Digest::of(&content.bytes);
        if found != expected {
            let what = format!("its content is {}, not {}", found.short(), expected.short());
            return Err(changed(path, what));
        }
        Ok((content, file))
    }

    fn expect_same(
        &self,
        place: &Place,
        path: &NodePath,
        id: FileId,
        digest: Digest,
    ) -> Result<(), FileError> {
        let (content, _) = self.read_expected(place, path, digest)?;
        if content.facts.id != id {
            return Err(changed(path, "another file has its name now"));
        }
        Ok(())
    }
}

/// A move to another file system.
struct Moved<'a> {
    from: Place,
    path: &'a NodePath,
    there: Place,
    to: &'a NodePath,
}

fn put_in_free_place(from: &Place, draft: &str, there: &Place, to: &NodePath) -> Result<(), FileError> {
    rename_to_free(&from.folder, draft, &there.folder, &there.name).map_err(|cause| {
        if cause == Errno::EEXIST {
            changed(to, "it is there already")
        } else {
            failed("create", to)(cause)
        }
    })
}

fn remove(place: &Place) -> io::Result<()> {
    Ok(unlinkat(
        &place.folder,
        place.name.as_str(),
        UnlinkatFlags::NoRemoveDir,
    )?)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests make the files that are looked at"
)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::fs::{XattrFlags, getxattr, setxattr};

    use super::super::testing::{Tree, not_run, path};
    use super::*;
    use crate::domain::{Fact, Owner};

    const MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";
    const FOLDER: &str = "/etc/kubernetes/manifests";

    fn tree() -> Tree {
        let tree = Tree::new();
        tree.write(MANIFEST, "old");
        std::fs::set_permissions(tree.at(MANIFEST), PermissionsExt::from_mode(0o640)).unwrap();
        tree
    }

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn replace(tree: &Tree, before: &str) -> Result<(), String> {
        tree.files
            .replace(&tree.held, &path(MANIFEST), digest(before), b"new")
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_replaced_file_has_the_new_content_and_the_old_looks() {
        let tree = tree();
        let before = tree.facts(MANIFEST);
        let owner = if tree.is_root {
            std::os::unix::fs::chown(tree.at(MANIFEST), Some(992), Some(991)).unwrap();
            Owner { uid: 992, gid: 991 }
        } else {
            Owner::ROOT
        };
        assert_eq!(replace(&tree, "old"), Ok(()));
        let after = tree.facts(MANIFEST);
        assert_eq!(tree.read(MANIFEST), Fact::Known("new".to_owned()));
        assert_eq!((after.mode, after.owner), (before.mode, owner));
        assert_ne!(after.id, before.id);
        assert_eq!(tree.names(FOLDER), vec!["etcd.yaml"]);
    }

    #[test]
    fn a_ceiling_takes_bits_from_the_mode_and_adds_none() {
        for (mode, after) in [(0o640, 0o600), (0o400, 0o400)] {
            let tree = tree();
            std::fs::set_permissions(tree.at(MANIFEST), PermissionsExt::from_mode(mode)).unwrap();
            let ceiling = Mode::from_bits(0o600);
            tree.files
                .replace_at_most(&tree.held, &path(MANIFEST), digest("old"), b"new", ceiling)
                .unwrap();
            assert_eq!(tree.facts(MANIFEST).mode, Mode::from_bits(after));
        }
    }

    #[test]
    fn extended_attributes_are_kept_and_a_folders_default_acl_adds_nobody() {
        let tree = tree();
        if let Err(cause) = setxattr(tree.at(MANIFEST), "user.test", b"kept", XattrFlags::empty()) {
            not_run(&format!("this file system has no extended attributes: {cause}"));
            return;
        }
        // u::rwx,u:12345:rwx,g::r-x,m::rwx,o::--- as linux/posix_acl_xattr.h lays it out.
        let mut acl = 2u32.to_le_bytes().to_vec();
        for (tag, bits, who) in [
            (1u16, 7u16, u32::MAX),
            (2, 7, 12345),
            (4, 5, u32::MAX),
            (16, 7, u32::MAX),
            (32, 0, u32::MAX),
        ] {
            acl.extend(tag.to_le_bytes());
            acl.extend(bits.to_le_bytes());
            acl.extend(who.to_le_bytes());
        }
        let has_acls = setxattr(
            tree.at(FOLDER),
            "system.posix_acl_default",
            &acl,
            XattrFlags::empty(),
        )
        .is_ok();
        assert_eq!(replace(&tree, "old"), Ok(()));
        let mut value = [0; 64];
        let length = getxattr(tree.at(MANIFEST), "user.test", &mut value).unwrap();
        assert_eq!(&value[..length], b"kept");
        if has_acls {
            let acl = getxattr(tree.at(MANIFEST), "system.posix_acl_access", &mut value);
            assert_eq!(acl, Err(rustix::io::Errno::NODATA));
            assert_eq!(tree.facts(MANIFEST).mode, Mode::from_bits(0o640));
        }
    }

    #[test]
    fn an_acl_of_the_file_itself_is_kept() {
        let tree = tree();
        let mut acl = 2u32.to_le_bytes().to_vec();
        for (tag, bits, who) in [
            (1u16, 6u16, u32::MAX),
            (2, 4, 12345),
            (4, 0, u32::MAX),
            (16, 4, u32::MAX),
            (32, 0, u32::MAX),
        ] {
            acl.extend(tag.to_le_bytes());
            acl.extend(bits.to_le_bytes());
            acl.extend(who.to_le_bytes());
        }
        let name = "system.posix_acl_access";
        if let Err(cause) = setxattr(tree.at(MANIFEST), name, &acl, XattrFlags::empty()) {
            not_run(&format!("this file system has no ACLs: {cause}"));
            return;
        }
        assert_eq!(replace(&tree, "old"), Ok(()));
        let mut value = [0; 64];
        let length = getxattr(tree.at(MANIFEST), name, &mut value).unwrap();
        assert_eq!(&value[..length], acl.as_slice());
        assert_eq!(tree.facts(MANIFEST).mode, Mode::from_bits(0o640));
    }

    #[test]
    fn another_content_than_expected_is_refused_and_all_stays_as_it_was() {
        let tree = tree();
        let before = tree.facts(MANIFEST);
        assert_eq!(
            replace(&tree, "older"),
            Err(format!(
                "{MANIFEST} has changed since it was looked at: its content is {}, not {}",
                digest("old").short(),
                digest("older").short()
            ))
        );
        assert_eq!(tree.facts(MANIFEST), before);
        assert_eq!(tree.read(MANIFEST), Fact::Known("old".to_owned()));
        assert_eq!(tree.names(FOLDER), vec!["etcd.yaml"]);
    }

    #[test]
    fn a_file_that_is_edited_or_exchanged_while_the_draft_is_written_keeps_that_edit() {
        let tree = tree();
        let target = path(MANIFEST);
        for what in ["its content is", "another file has its name now", "it is gone"] {
            tree.write(MANIFEST, "old");
            let place = tree.files.place(&target).unwrap();
            let id = tree.facts(MANIFEST).id;
            let dress = tree.files.roots_dress(OURS_ALONE);
            let error = tree
                .files
                .publish(&place, &target, b"new", &dress, |draft| {
                    assert_eq!(tree.names(FOLDER), vec![draft, "etcd.yaml"]);
                    if what.starts_with("its") {
                        tree.write(MANIFEST, "theirs");
                    } else if what.starts_with("another") {
                        tree.write("/other", "old");
                        std::fs::rename(tree.at("/other"), tree.at(MANIFEST)).unwrap();
                    } else {
                        std::fs::remove_file(tree.at(MANIFEST)).unwrap();
                    }
                    tree.files.expect_same(&place, &target, id, digest("old"))
                })
                .unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
            assert!(!tree.names(FOLDER).contains(&".holdfast-etcd.yaml.tmp".to_owned()));
        }
    }

    #[test]
    fn a_hard_link_a_symbolic_link_and_a_missing_file_are_refused() {
        let tree = tree();
        std::fs::hard_link(tree.at(MANIFEST), tree.at("/other-name")).unwrap();
        assert_eq!(
            replace(&tree, "old"),
            Err(format!(
                "cannot replace {MANIFEST}: it has several hard links; its other names would keep the old content"
            ))
        );
        std::fs::remove_file(tree.at(MANIFEST)).unwrap();
        assert_eq!(
            replace(&tree, "old"),
            Err(format!(
                "{MANIFEST} has changed since it was looked at: it is gone"
            ))
        );
        symlink("/other-name", tree.at(MANIFEST)).unwrap();
        assert_eq!(
            replace(&tree, "old"),
            Err(format!(
                "cannot read {MANIFEST}: it is a symbolic link, not a file"
            ))
        );
        assert_eq!(tree.names(FOLDER), vec!["etcd.yaml"]);
        assert_eq!(tree.read("/other-name"), Fact::Known("old".to_owned()));
    }

    #[test]
    fn what_a_crash_left_of_a_draft_is_written_anew_and_a_planted_one_is_not_touched() {
        let tree = tree();
        tree.write(
            &format!("{FOLDER}/.holdfast-etcd.yaml.tmp"),
            "half of a much longer tex",
        );
        assert_eq!(replace(&tree, "old"), Ok(()));
        assert_eq!(tree.read(MANIFEST), Fact::Known("new".to_owned()));

        tree.write("/victim", "x");
        symlink("/victim", tree.at(&format!("{FOLDER}/.holdfast-etcd.yaml.tmp"))).unwrap();
        assert_eq!(
            replace(&tree, "new"),
            Err(format!(
                "cannot make a temporary file for {MANIFEST}: .holdfast-etcd.yaml.tmp is in the way, and it is no \
                 file of root's"
            ))
        );
        assert_eq!(tree.read("/victim"), Fact::Known("x".to_owned()));
    }

    #[test]
    fn a_created_file_is_roots_alone_and_never_replaces_one() {
        let tree = tree();
        let new = path("/etc/kubernetes/manifests/new.yaml");
        tree.files.create(&tree.held, &new, b"pod").unwrap();
        let facts = tree.facts(new.as_str());
        assert_eq!(
            (facts.mode, facts.owner, facts.links),
            (OURS_ALONE, Owner::ROOT, 1)
        );
        let error = tree.files.create(&tree.held, &new, b"other").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{new} has changed since it was looked at: it is there already")
        );
        assert_eq!(tree.read(new.as_str()), Fact::Known("pod".to_owned()));
        assert_eq!(tree.names(FOLDER), vec!["etcd.yaml", "new.yaml"]);
    }

    #[test]
    fn a_file_is_moved_away_whole_and_only_if_it_is_the_one_and_the_place_is_free() {
        let tree = tree();
        tree.folder("/state/quarantine");
        let (from, to) = (path(MANIFEST), path("/state/quarantine/etcd.yaml"));
        let before = tree.facts(MANIFEST);
        let error = tree
            .files
            .move_away(&tree.held, &from, digest("x"), &to)
            .unwrap_err();
        assert!(matches!(error, FileError::Changed { .. }), "{error}");
        tree.write(to.as_str(), "taken");
        let error = tree
            .files
            .move_away(&tree.held, &from, digest("old"), &to)
            .unwrap_err();
        assert!(error.to_string().ends_with("it is there already"), "{error}");
        assert_eq!(tree.facts(MANIFEST), before);

        std::fs::remove_file(tree.at(to.as_str())).unwrap();
        tree.files
            .move_away(&tree.held, &from, digest("old"), &to)
            .unwrap();
        assert_eq!(tree.facts(to.as_str()), before);
        assert_eq!(tree.names(FOLDER), Vec::<String>::new());
    }

    #[test]
    fn a_file_is_moved_to_another_file_system_with_its_looks() {
        let shm = std::path::Path::new("/dev/shm");
        let (Ok(there), here) = (tempfile::tempdir_in(shm), tempfile::tempdir().unwrap()) else {
            not_run("/dev/shm cannot be written to");
            return;
        };
        let me = Owner {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
        };
        let files = Files::at(std::path::Path::new("/")).unwrap().taking_for_root(me);
        let held = Held::take(&here.path().join("lock"), std::time::Duration::ZERO).unwrap();
        let from = path(here.path().join("bad.yaml").to_str().unwrap());
        let to = path(there.path().join("bad.yaml").to_str().unwrap());
        std::fs::write(from.as_str(), "pod").unwrap();
        std::fs::set_permissions(from.as_str(), PermissionsExt::from_mode(0o440)).unwrap();
        let before = files.facts(&from).known().copied().unwrap();
        if files
            .facts(&path(there.path().to_str().unwrap()))
            .known()
            .unwrap()
            .id
            .device
            == before.id.device
        {
            not_run("/dev/shm is no file system of its own");
            return;
        }
        std::fs::write(to.as_str(), "taken").unwrap();
        let error = files.move_away(&held, &from, digest("pod"), &to).unwrap_err();
        assert!(error.to_string().ends_with("it is there already"), "{error}");
        assert_eq!(files.facts(&from), Fact::Known(before));

        std::fs::remove_file(to.as_str()).unwrap();
        files.move_away(&held, &from, digest("pod"), &to).unwrap();
        assert_eq!(files.facts(&from), Fact::Absent);
        let after = files.facts(&to).known().copied().unwrap();
        assert_eq!((after.mode, after.owner), (before.mode, before.owner));
        assert_eq!(std::fs::read(to.as_str()).unwrap(), b"pod");
        assert_eq!(std::fs::read_dir(there.path()).unwrap().count(), 1);
    }
}
