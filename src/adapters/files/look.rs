//! Looking at a file: its facts and its content.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, fstat};
use nix::sys::statvfs::fstatvfs;

use super::place::Place;
use super::xattrs::let_in_by_acl;
use super::{Content, Files, expect_kind, fact, id, is_missing};
use crate::domain::{Fact, FileFacts, FileKind, NodePath};

/// A file that changes while it is read is read once and then again three times.
const READS: u32 = 4;

impl Files {
    /// The facts of a file, folder or link itself.
    pub fn facts(&self, path: &NodePath) -> Fact<FileFacts> {
        let stat = self.place(path).and_then(|place| place.stat());
        fact("look at", path, stat).map(|stat| self.facts_of(&stat))
    }

    /// The content of a plain file of at most `max` bytes. A file that changes while it is read is read again, three times
    /// at most.
    pub fn read(&self, path: &NodePath, max: usize) -> Fact<Content> {
        let read = self.place(path).and_then(|place| self.read_at(&place, max));
        fact("read", path, read).map(|(content, _)| content)
    }

    /// The further users and groups that the access control list of a plain file lets in, with their rights; none without a list.
    pub fn let_in(&self, path: &NodePath) -> Fact<Vec<String>> {
        let read = self.place(path).and_then(|place| {
            let (file, _) = open_plain(&place)?;
            let_in_by_acl(&file)
        });
        fact("read the access control list of", path, read)
    }

    /// The last `max` bytes of a plain file.
    pub fn read_tail(&self, path: &NodePath, max: usize) -> Fact<Vec<u8>> {
        let read = self.place(path).and_then(|place| tail(&place, max));
        fact("read", path, read)
    }

    /// The bytes that root can still fill on the file system where a folder lies, or will lie when it is made.
    pub fn free_space(&self, folder: &NodePath) -> Fact<u64> {
        let mut folder = folder.clone();
        loop {
            let free = self.enter(&folder).and_then(|opened| {
                let space = fstatvfs(&opened)?;
                Ok(space.blocks_free().saturating_mul(space.fragment_size()))
            });
            match (free, folder.parent()) {
                (Err(cause), Some(parent)) if is_missing(&cause) => folder = parent,
                (free, _) => return fact("look at", &folder, free),
            }
        }
    }

    /// The content of the plain file at a place, and the descriptor that it was read from.
    pub(super) fn read_at(&self, place: &Place, max: usize) -> io::Result<(Content, File)> {
        for _ in 0..READS {
            let (file, before) = open_plain(place)?;
            let facts = self.facts_of(&before);
            if facts.size > max as u64 {
                return Err(io::Error::other(format!(
                    "it has {} bytes, and at most {max} are read",
                    facts.size
                )));
            }
            // One byte more, so that a file that grows is seen to have grown. The buffer is never moved: a former one would keep keys.
            let limit = facts.size + 1;
            let mut bytes = Vec::with_capacity(usize::try_from(limit).unwrap_or(max));
            (&file).take(limit).read_to_end(&mut bytes)?;
            if bytes.len() as u64 == facts.size && is_untouched(&before, &fstat(&file)?) {
                return Ok((Content { bytes, facts }, file));
            }
        }
        Err(io::Error::other("it changes while it is read"))
    }
}

/// Opens a plain file for reading. It is looked at first, because to open a device may already do something to it.
fn open_plain(place: &Place) -> io::Result<(File, FileStat)> {
    expect_kind(&place.stat()?, FileKind::Regular)?;
    let file = place.open(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?;
    let stat = fstat(&file)?;
    expect_kind(&stat, FileKind::Regular)?;
    Ok((File::from(file), stat))
}

fn tail(place: &Place, max: usize) -> io::Result<Vec<u8>> {
    let (mut file, stat) = open_plain(place)?;
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    file.seek(SeekFrom::Start(size.saturating_sub(max as u64)))?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(max).min(max));
    file.take(max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// True when nothing was written to the file in between.
fn is_untouched(before: &FileStat, after: &FileStat) -> bool {
    let stamp = |stat: &FileStat| {
        (
            id(stat),
            stat.st_size,
            (stat.st_mtime, stat.st_mtime_nsec),
            (stat.st_ctime, stat.st_ctime_nsec),
        )
    };
    stamp(before) == stamp(after)
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
    use crate::domain::{Mode, Owner};

    #[test]
    fn the_facts_are_those_of_the_file() {
        let tree = Tree::new();
        tree.write("/etc/kubernetes/admin.conf", "abc");
        std::fs::set_permissions(
            tree.at("/etc/kubernetes/admin.conf"),
            PermissionsExt::from_mode(0o4640),
        )
        .unwrap();
        let facts = tree.facts("/etc/kubernetes/admin.conf");
        let stat = nix::sys::stat::lstat(&tree.at("/etc/kubernetes/admin.conf")).unwrap();
        assert_eq!(
            facts,
            FileFacts {
                id: id(&stat),
                kind: FileKind::Regular,
                mode: Mode::from_bits(0o4640),
                owner: Owner::ROOT,
                links: 1,
                size: 3,
                modified_ns: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
            }
        );
    }

    #[test]
    fn only_plain_files_are_read_and_a_pipe_does_not_block() {
        let tree = Tree::new();
        tree.write("/target", "x");
        tree.folder("/folder");
        symlink("target", tree.at("/link")).unwrap();
        nix::unistd::mkfifo(&tree.at("/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (at, noun) in [
            ("/folder", "folder"),
            ("/link", "symbolic link"),
            ("/pipe", "special file"),
        ] {
            let unknown = format!("cannot read {at}: it is a {noun}, not a file");
            assert_eq!(tree.files.read(&path(at), 10), Fact::unknown(unknown.clone()));
            assert_eq!(tree.files.read_tail(&path(at), 10), Fact::unknown(unknown));
        }
        assert_eq!(tree.files.read(&path("/none"), 10), Fact::Absent);
    }

    #[test]
    fn a_file_over_the_limit_is_not_read_and_one_at_the_limit_is() {
        let tree = Tree::new();
        tree.write("/ten", "0123456789");
        assert_eq!(
            tree.files.read(&path("/ten"), 10).map(|content| content.bytes),
            Fact::Known(b"0123456789".to_vec())
        );
        assert_eq!(
            tree.files.read(&path("/ten"), 9),
            Fact::unknown("cannot read /ten: it has 10 bytes, and at most 9 are read")
        );
        // A hole of a terabyte would not fit into memory.
        let huge = File::create(tree.at("/huge")).unwrap();
        huge.set_len(1 << 40).unwrap();
        assert!(
            matches!(tree.files.read(&path("/huge"), 1 << 18), Fact::Unknown(_)),
            "a huge file"
        );
    }

    #[test]
    fn a_file_that_never_rests_is_unknown() {
        let tree = Tree::new();
        let text = "x".repeat(1 << 20);
        tree.write("/busy", &text);
        let at = tree.at("/busy");
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut length = 1 << 20;
                let file = std::fs::OpenOptions::new().write(true).open(&at).unwrap();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    length += 1;
                    file.set_len(length).unwrap();
                }
            });
            // Either all four readings met a change, or one met none; a mixture of two states is never known.
            for _ in 0..50 {
                match tree.files.read(&path("/busy"), 1 << 28) {
                    Fact::Known(content) => assert_eq!(content.bytes.len() as u64, content.facts.size),
                    Fact::Absent => panic!("it is there"),
                    Fact::Unknown(reason) => {
                        assert_eq!(reason.as_str(), "cannot read /busy: it changes while it is read");
                        break;
                    }
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    #[test]
    fn an_access_control_list_is_read_and_a_mode_without_group_bits_shuts_it() {
        let tree = Tree::new();
        tree.write("/m/conf", "x");
        assert_eq!(tree.files.let_in(&path("/m/conf")), Fact::Known(vec![]));
        assert_eq!(tree.files.let_in(&path("/m/none")), Fact::Absent);
        // u::rw-,u:12345:r--,g::---,m::r--,o::--- as linux/posix_acl_xattr.h lays it out.
        let mut acl = 2u32.to_le_bytes().to_vec();
        for (tag, rights, who) in [
            (1u16, 6u16, u32::MAX),
            (2, 4, 12345),
            (4, 0, u32::MAX),
            (16, 4, u32::MAX),
            (32, 0, u32::MAX),
        ] {
            acl.extend(tag.to_le_bytes());
            acl.extend(rights.to_le_bytes());
            acl.extend(who.to_le_bytes());
        }
        let at = tree.at("/m/conf");
        let given = rustix::fs::setxattr(
            &at,
            "system.posix_acl_access",
            &acl,
            rustix::fs::XattrFlags::empty(),
        );
        if let Err(cause) = given {
            not_run(&format!("this file system has no access control lists: {cause}"));
            return;
        }
        assert_eq!(
            tree.files.let_in(&path("/m/conf")),
            Fact::Known(vec!["user 12345 (r--)".to_owned()])
        );
        let facts = tree.facts("/m/conf");
        assert_eq!(
            facts.mode,
            Mode::from_bits(0o640),
            "the mask stands for the group"
        );
        tree.files
            .set_mode(
                &tree.held,
                &path("/m/conf"),
                facts.id,
                facts.mode,
                Mode::from_bits(0o600),
            )
            .unwrap();
        assert_eq!(tree.files.let_in(&path("/m/conf")), Fact::Known(vec![]));
    }

    #[test]
    fn the_tail_is_the_end_of_the_file_or_all_of_it() {
        let tree = Tree::new();
        tree.write("/log", "0123456789");
        assert_eq!(
            tree.files.read_tail(&path("/log"), 4),
            Fact::Known(b"6789".to_vec())
        );
        assert_eq!(
            tree.files.read_tail(&path("/log"), 40),
            Fact::Known(b"0123456789".to_vec())
        );
    }

    #[test]
    fn what_may_not_be_read_is_unknown_with_the_cause() {
        let tree = Tree::new();
        if tree.is_root {
            not_run("root may read everything");
            return;
        }
        tree.write("/locked/x", "x");
        std::fs::set_permissions(tree.at("/locked"), PermissionsExt::from_mode(0o000)).unwrap();
        let unknown = tree.files.facts(&path("/locked/x"));
        std::fs::set_permissions(tree.at("/locked"), PermissionsExt::from_mode(0o700)).unwrap();
        assert_eq!(
            unknown,
            Fact::unknown("cannot look at /locked/x: Permission denied (os error 13)")
        );
    }
}
