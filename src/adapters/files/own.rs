//! Holdfast's own files and folders: state, backups, pause.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, FileStat, Mode as Bits, fchmodat, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::draft::is_draft;
use super::folder::{MAX_ENTRIES, names};
use super::place::{OTHERS_WRITE, Place, sync_folder};
use super::{FileError, Files, expect_kind, failed, is_missing, not_durable};
use crate::adapters::failpoint::{Act, Kind};
use crate::adapters::lock::Held;
use crate::domain::{FileKind, Mode, NodePath};

impl Files {
    /// Writes a file of Holdfast's own (state, backups, pause), atomically and durably, owned by root.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write_own(
        &self,
        _held: &Held,
        path: &NodePath,
        content: &[u8],
        mode: Mode,
    ) -> Result<(), FileError> {
        let place = self.place(path).map_err(failed("open", path))?;
        self.publish(&place, path, content, &self.roots_dress(mode), |draft| {
            place.take_name_of(draft).map_err(failed("write", path))
        })
    }

    /// Writes a file of Holdfast's own that others read and that is written anew all the time: atomically, owned by root, and without
    /// waiting for the disk. The folder may be another user's. Whoever can write there can take the file away or put another in its
    /// place, but lead no byte elsewhere: the draft is made under a name that must not be there, in the folder that was opened, and what
    /// has the file's name is replaced and never opened.
    ///
    /// # Errors
    /// When the system refuses, or what is no file of root's has the draft's name.
    pub fn write_fleeting(
        &self,
        _held: &Held,
        path: &NodePath,
        content: &[u8],
        mode: Mode,
    ) -> Result<(), FileError> {
        let place = self.place(path).map_err(failed("open", path))?;
        self.publish_fleeting(&place, path, content, &self.roots_dress(mode))
    }

    /// Makes a folder of Holdfast's own with mode 0700, and those above it with mode 0755, if they are not there.
    ///
    /// # Errors
    /// When the system refuses, or one of them belongs to somebody else or others can write to it.
    pub fn make_own_folder(&self, path: &NodePath) -> Result<(), FileError> {
        if let Some(parent) = path.parent() {
            self.make_way(&parent)?;
        }
        let place = self.place(path).map_err(failed("open", path))?;
        make_folder(&place, Bits::S_IRWXU)
            .and_then(|()| place.stat())
            .and_then(|stat| {
                expect_kind(&stat, FileKind::Directory)?;
                self.expect_ours(&stat, OTHERS_WRITE)
            })
            .map_err(failed("use the folder", path))
    }

    /// The folders above our own: like ours, but a link of root's may lead there, and root's group may write there.
    fn make_way(&self, path: &NodePath) -> Result<(), FileError> {
        if let Some(parent) = path.parent() {
            self.make_way(&parent)?;
        }
        self.enter(path)
            .or_else(|cause| {
                if !is_missing(&cause) {
                    return Err(cause);
                }
                make_folder(&self.place(path)?, Bits::from_bits_truncate(0o755))?;
                self.enter(path)
            })
            .and_then(|folder| {
                let stat = fstat(&folder)?;
                let roots_group = stat.st_gid == 0 || stat.st_gid == self.stand_in.gid;
                self.expect_ours(&stat, if roots_group { 0o002 } else { OTHERS_WRITE })
            })
            .map_err(failed("use the folder", path))
    }

    fn expect_ours(&self, stat: &FileStat, forbidden: u32) -> io::Result<()> {
        let why = if !self.is_roots(stat) {
            "root does not own it; give it to root, or move it away"
        } else if stat.st_mode & forbidden != 0 {
            "others can write to it; take that from them (chmod go-w)"
        } else {
            return Ok(());
        };
        Err(io::Error::other(why))
    }

    /// Removes a file of Holdfast's own; it is no error when it is not there.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove_own(&self, _held: &Held, path: &NodePath) -> Result<(), FileError> {
        let removed = self.place(path).and_then(|place| {
            let remove = Act::new(Kind::Remove).at(&place.folder, &place.name);
            remove.done(|| unlinkat(&place.folder, place.name.as_str(), UnlinkatFlags::NoRemoveDir))?;
            Ok(place)
        });
        match removed {
            Ok(place) => place.sync().map_err(not_durable(path)),
            Err(cause) if is_missing(&cause) => Ok(()),
            Err(cause) => Err(failed("remove", path)(cause)),
        }
    }

    /// Removes the temporary files that a crash of Holdfast left in a folder.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn sweep(&self, _held: &Held, folder: &NodePath) -> Result<(), FileError> {
        let swept = self
            .place(folder)
            .and_then(|place| place.open_folder())
            .and_then(|opened| self.sweep_opened(opened));
        match swept {
            Err(cause) if is_missing(&cause) => Ok(()),
            swept => swept.map_err(failed("remove the temporary files in", folder)),
        }
    }

    fn sweep_opened(&self, folder: impl AsFd) -> io::Result<()> {
        let mut removed = false;
        for name in names(&folder, MAX_ENTRIES)? {
            if !name.to_str().is_ok_and(is_draft) {
                continue;
            }
            let stat = fstatat(&folder, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            // What has such a name and is not root's plain file was put there by somebody else, and is the guard's business.
            if self.is_leftover(&stat) {
                let shown = name.to_string_lossy();
                let remove = Act::new(Kind::Remove).at(&folder, &shown);
                remove.done(|| unlinkat(&folder, name.as_c_str(), UnlinkatFlags::NoRemoveDir))?;
                removed = true;
            }
        }
        if removed { sync_folder(folder) } else { Ok(()) }
    }
}

/// Makes a folder if nothing has the name, whatever the umask; durable when this returns.
fn make_folder(place: &Place, mode: Bits) -> io::Result<()> {
    let make = Act::new(Kind::MakeFolder).at(&place.folder, &place.name);
    match make.done(|| mkdirat(&place.folder, place.name.as_str(), mode)) {
        Ok(()) => {
            fchmodat(
                &place.folder,
                place.name.as_str(),
                mode,
                FchmodatFlags::FollowSymlink,
            )?;
            place.sync()
        }
        Err(Errno::EEXIST) => Ok(()),
        Err(cause) => Err(cause.into()),
    }
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
    use crate::domain::{Fact, Owner};

    #[test]
    fn an_own_file_is_written_replaced_and_removed() {
        let tree = Tree::new();
        tree.folder("/state");
        let pause = path("/state/pause");
        for (text, mode) in [("first", 0o600), ("second", 0o644)] {
            tree.files
                .write_own(&tree.held, &pause, text.as_bytes(), Mode::from_bits(mode))
                .unwrap();
            assert_eq!(tree.read("/state/pause"), Fact::Known(text.to_owned()));
            let facts = tree.facts("/state/pause");
            assert_eq!((facts.mode, facts.owner), (Mode::from_bits(mode), Owner::ROOT));
            assert_eq!(tree.names("/state"), vec!["pause"]);
        }
        for _ in 0..2 {
            tree.files.remove_own(&tree.held, &pause).unwrap();
            assert_eq!(tree.files.facts(&pause), Fact::Absent);
        }
        tree.files.remove_own(&tree.held, &path("/none/x")).unwrap();
    }

    #[test]
    fn writing_where_a_folder_is_fails_and_leaves_no_draft() {
        let tree = Tree::new();
        tree.write("/state/pause/x", "");
        let error = tree
            .files
            .write_own(&tree.held, &path("/state/pause"), b"x", Mode::from_bits(0o600))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot write /state/pause: Is a directory (os error 21)"
        );
        assert_eq!(tree.names("/state"), vec!["pause"]);
    }

    const FLEETING: &str = "/metrics/holdfast.prom";
    const ITS_DRAFT: &str = "/metrics/.holdfast-holdfast.prom.tmp";
    const FOR_ALL: Mode = Mode::from_bits(0o644);

    fn write_fleeting(tree: &Tree, text: &str) -> Result<(), String> {
        let written = tree
            .files
            .write_fleeting(&tree.held, &path(FLEETING), text.as_bytes(), FOR_ALL);
        written.map_err(|error| error.to_string())
    }

    /// Gives the folder to another user, where that can be done.
    fn give_away(tree: &Tree, folder: &str) {
        if tree.is_root {
            std::os::unix::fs::chown(tree.at(folder), Some(12345), Some(12345)).unwrap();
        } else {
            std::fs::set_permissions(tree.at(folder), PermissionsExt::from_mode(0o777)).unwrap();
        }
    }

    #[test]
    fn a_fleeting_file_is_roots_in_whosever_folder_and_replaces_what_is_there() {
        let tree = Tree::new();
        tree.folder("/metrics");
        give_away(&tree, "/metrics");
        // What a crash left of a draft is no hindrance.
        tree.write(ITS_DRAFT, "half");
        for text in ["first", "second"] {
            assert_eq!(write_fleeting(&tree, text), Ok(()));
            assert_eq!(tree.read(FLEETING), Fact::Known(text.to_owned()));
            let facts = tree.facts(FLEETING);
            assert_eq!((facts.mode, facts.owner, facts.links), (FOR_ALL, Owner::ROOT, 1));
            assert_eq!(tree.names("/metrics"), vec!["holdfast.prom"]);
        }
    }

    #[test]
    fn a_folders_owner_who_plants_links_leads_no_byte_of_a_fleeting_file_elsewhere() {
        let tree = Tree::new();
        tree.folder("/metrics");
        give_away(&tree, "/metrics");
        tree.write("/victim", "untouched");
        let victim = tree.facts("/victim");
        symlink(tree.at("/victim"), tree.at(FLEETING)).unwrap();
        assert_eq!(write_fleeting(&tree, "first"), Ok(()));
        assert_eq!(tree.facts(FLEETING).kind, FileKind::Regular);
        std::fs::remove_file(tree.at(FLEETING)).unwrap();
        std::fs::hard_link(tree.at("/victim"), tree.at(FLEETING)).unwrap();
        assert_eq!(write_fleeting(&tree, "second"), Ok(()));
        assert_eq!(tree.facts("/victim"), victim);

        symlink(tree.at("/victim"), tree.at(ITS_DRAFT)).unwrap();
        assert_eq!(
            write_fleeting(&tree, "third"),
            Err(format!(
                "cannot make a temporary file for {FLEETING}: .holdfast-holdfast.prom.tmp is in the way, and it is no file of root's"
            ))
        );
        assert_eq!(tree.read("/victim"), Fact::Known("untouched".to_owned()));
        assert_eq!(tree.read(FLEETING), Fact::Known("second".to_owned()));
    }

    #[test]
    fn a_fleeting_file_is_written_through_no_link_to_its_folder_that_others_could_have_made() {
        let tree = Tree::new();
        tree.folder("/theirs");
        tree.folder("/secret");
        symlink("/secret", tree.at("/theirs/metrics")).unwrap();
        give_away(&tree, "/theirs");
        let there = path("/theirs/metrics/holdfast.prom");
        let written = tree.files.write_fleeting(&tree.held, &there, b"x", FOR_ALL);
        assert!(written.unwrap_err().to_string().contains("is not followed"));
        assert_eq!(tree.names("/secret"), Vec::<String>::new());
    }

    #[test]
    fn an_own_folder_is_made_with_those_above_it_and_again() {
        let tree = Tree::new();
        for _ in 0..2 {
            tree.files
                .make_own_folder(&path("/var/lib/holdfast/backups"))
                .unwrap();
        }
        tree.files.make_own_folder(&path("/run/holdfast")).unwrap();
        let mode = |at| tree.facts(at).mode.bits();
        assert_eq!(mode("/var/lib/holdfast"), 0o755);
        assert_eq!(mode("/var/lib/holdfast/backups"), 0o700);
        assert_eq!(mode("/run/holdfast"), 0o700);
    }

    #[test]
    fn a_folder_that_others_can_write_to_or_a_link_is_refused() {
        let tree = Tree::new();
        tree.folder("/var/lib/holdfast");
        let set = |at: &str, mode| {
            std::fs::set_permissions(tree.at(at), PermissionsExt::from_mode(mode)).unwrap();
        };
        let make = || {
            tree.files
                .make_own_folder(&path("/var/lib/holdfast"))
                .map_err(|error| error.to_string())
        };
        let refused = |at: &str| {
            Err(format!(
                "cannot use the folder {at}: others can write to it; take that from them (chmod go-w)"
            ))
        };
        set("/var/lib/holdfast", 0o770);
        assert_eq!(make(), refused("/var/lib/holdfast"));
        set("/var/lib/holdfast", 0o755);
        assert_eq!(make(), Ok(()));
        set("/var/lib", 0o1777);
        assert_eq!(make(), refused("/var/lib"));
        set("/var/lib", 0o755);

        std::fs::rename(tree.at("/var/lib/holdfast"), tree.at("/elsewhere")).unwrap();
        symlink("/elsewhere", tree.at("/var/lib/holdfast")).unwrap();
        assert_eq!(
            make(),
            Err("cannot use the folder /var/lib/holdfast: it is a symbolic link, not a folder".to_owned())
        );
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        let tree = Tree::new();
        if !tree.is_root {
            not_run("giving folders away takes root");
            return;
        }
        tree.folder("/var/lib/holdfast");
        std::os::unix::fs::chown(tree.at("/var/lib/holdfast"), Some(12345), None).unwrap();
        let error = tree
            .files
            .make_own_folder(&path("/var/lib/holdfast"))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot use the folder /var/lib/holdfast: root does not own it; give it to root, or move it away"
        );
    }

    #[test]
    fn only_the_leftovers_of_drafts_are_swept() {
        let tree = Tree::new();
        for name in [
            ".holdfast-etcd.yaml.tmp",
            ".holdfast-a.tmp",
            ".holdfast-.tmp",
            ".holdfast-x",
            "x.tmp",
            "y",
        ] {
            tree.write(&format!("/m/{name}"), "");
        }
        tree.folder("/m/.holdfast-folder.tmp");
        symlink("y", tree.at("/m/.holdfast-link.tmp")).unwrap();
        tree.files.sweep(&tree.held, &path("/m")).unwrap();
        assert_eq!(
            tree.names("/m"),
            vec![
                ".holdfast-.tmp",
                ".holdfast-folder.tmp",
                ".holdfast-link.tmp",
                ".holdfast-x",
                "x.tmp",
                "y"
            ]
        );
        tree.files.sweep(&tree.held, &path("/none")).unwrap();
    }
}
