//! Looking into folders: the entries of one, and of all below it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode as Bits, fstat, fstatat};

use super::{Entry, Files, fact, id, is_missing};
use crate::domain::{Fact, FileId, FileKind, NodePath};

/// Folders deeper than this are not entered; kubeadm's deepest is `/etc/kubernetes/pki/etcd`.
const MAX_DEPTH: usize = 16;

/// More entries than this are not looked at: somebody filled the folder.
pub(super) const MAX_ENTRIES: usize = 20_000;

impl Files {
    /// The entries of a folder, sorted by name.
    pub fn list(&self, folder: &NodePath) -> Fact<Vec<Entry>> {
        let listed = self
            .place(folder)
            .and_then(|place| place.open_folder())
            .and_then(|opened| {
                let names = names(&opened, MAX_ENTRIES)?;
                Ok(names
                    .iter()
                    .filter_map(|name| self.entry(&opened, Some(folder), name))
                    .collect())
            });
        fact("list", folder, listed)
    }

    /// The entries of a folder and of all folders below it; links are not followed, other file systems not entered.
    pub fn walk(&self, folder: &NodePath) -> Fact<Vec<Entry>> {
        self.walk_within(folder, MAX_ENTRIES)
    }

    fn walk_within(&self, folder: &NodePath, most: usize) -> Fact<Vec<Entry>> {
        let walked = self
            .place(folder)
            .and_then(|place| place.open_folder())
            .and_then(|opened| {
                let mut walk = Walk {
                    files: self,
                    device: fstat(&opened)?.st_dev,
                    most,
                    entries: Vec::new(),
                    overflowed: false,
                };
                walk.folder(&opened, Some(folder), 0)?;
                if walk.overflowed {
                    return Err(too_many(most));
                }
                Ok(walk.entries)
            });
        fact("list", folder, walked)
    }

    /// The entry of that name; `None` when it has gone since the folder was listed.
    fn entry(&self, folder: &OwnedFd, path: Option<&NodePath>, name: &CStr) -> Option<Entry> {
        let stat = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(io::Error::from);
        let shown = name.to_string_lossy().into_owned();
        let facts = match stat {
            Ok(stat) => Fact::Known(self.facts_of(&stat)),
            Err(cause) if is_missing(&cause) => return None,
            Err(cause) => Fact::unknown(format!("cannot look at {shown}: {cause}")),
        };
        Some(Entry {
            path: path
                .zip(name.to_str().ok())
                .and_then(|(folder, exact)| folder.join(exact).ok()),
            name: shown,
            facts,
        })
    }
}

/// A walk under way.
struct Walk<'a> {
    files: &'a Files,
    /// The file system that is not left.
    device: u64,
    /// How many entries are looked at.
    most: usize,
    entries: Vec<Entry>,
    overflowed: bool,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &OwnedFd, path: Option<&NodePath>, depth: usize) -> io::Result<()> {
        for name in names(folder, self.most)? {
            let Some(entry) = self.files.entry(folder, path, &name) else {
                continue;
            };
            if self.overflowed || self.entries.len() >= self.most {
                self.overflowed = true;
                return Ok(());
            }
            let mark = self.entries.len();
            let below = self.folder_to_enter(&entry);
            let path = entry.path.clone();
            self.entries.push(entry);
            if let Some(below) = below
                && let Err(cause) = self.enter(folder, &name, below, path.as_ref(), depth + 1)
                && let Some(entry) = self.entries.get_mut(mark)
            {
                // This folder's content is not known, and only this one's; what else was found stands.
                entry.facts = Fact::unknown(format!("cannot list the folder {}: {cause}", entry.name));
            }
        }
        Ok(())
    }

    fn folder_to_enter(&self, entry: &Entry) -> Option<FileId> {
        let facts = entry.facts.known()?;
        (facts.kind == FileKind::Directory && facts.id.device == self.device).then_some(facts.id)
    }

    fn enter(
        &mut self,
        folder: &OwnedFd,
        name: &CStr,
        looked_at: FileId,
        path: Option<&NodePath>,
        depth: usize,
    ) -> io::Result<()> {
        if depth >= MAX_DEPTH {
            return Err(io::Error::other(format!(
                "it lies more than {MAX_DEPTH} folders deep"
            )));
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let below = openat(folder, name, flags, Bits::empty())?;
        if id(&fstat(&below)?) != looked_at {
            return Err(io::Error::other("it was replaced while it was looked at"));
        }
        self.folder(&below, path, depth)
    }
}

/// The names in a folder, sorted; an error when there are more than `most`.
pub(super) fn names(folder: impl AsFd, most: usize) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    // Opened anew: a copy of the descriptor would share its position.
    let mut reader = Dir::openat(folder, ".", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Bits::empty())?;
    for entry in reader.iter() {
        let name = entry?.file_name().to_owned();
        if name.as_bytes() == b"." || name.as_bytes() == b".." {
            continue;
        }
        if names.len() >= most {
            return Err(too_many(most));
        }
        names.push(name);
    }
    names.sort();
    Ok(names)
}

fn too_many(most: usize) -> io::Error {
    io::Error::other(format!("it holds more than {most} entries"))
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests make the files that are looked at"
)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::testing::{Tree, not_run, path};
    use super::*;

    fn shape(entries: &[Entry]) -> Vec<(String, Option<FileKind>)> {
        entries
            .iter()
            .map(|entry| {
                let shown = entry
                    .path
                    .as_ref()
                    .map_or_else(|| entry.name.clone(), NodePath::to_string);
                (shown, entry.facts.known().map(|facts| facts.kind))
            })
            .collect()
    }

    fn known(entries: Fact<Vec<Entry>>) -> Vec<Entry> {
        match entries {
            Fact::Known(entries) => entries,
            other @ (Fact::Absent | Fact::Unknown(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_folder_is_listed_by_name_with_what_is_in_it_and_nothing_below() {
        let tree = Tree::new();
        tree.write("/m/b.yaml", "");
        tree.write("/m/sub/deep", "");
        symlink("b.yaml", tree.at("/m/a")).unwrap();
        assert_eq!(
            shape(&known(tree.files.list(&path("/m")))),
            vec![
                ("/m/a".to_owned(), Some(FileKind::Symlink)),
                ("/m/b.yaml".to_owned(), Some(FileKind::Regular)),
                ("/m/sub".to_owned(), Some(FileKind::Directory)),
            ]
        );
    }

    #[test]
    fn a_name_that_is_no_text_is_shown_and_has_no_path() {
        let tree = Tree::new();
        tree.folder("/m");
        std::fs::write(
            tree.at("/m").join(std::ffi::OsStr::from_bytes(b"bad\xff.yaml")),
            "",
        )
        .unwrap();
        let entries = known(tree.files.list(&path("/m")));
        assert_eq!(
            entries
                .iter()
                .map(|entry| (entry.name.as_str(), entry.path.clone()))
                .collect::<Vec<_>>(),
            vec![("bad\u{fffd}.yaml", None)]
        );
    }

    #[test]
    fn only_a_folder_can_be_listed() {
        let tree = Tree::new();
        tree.write("/file", "");
        tree.folder("/real");
        symlink("real", tree.at("/link")).unwrap();
        assert_eq!(tree.files.list(&path("/none")), Fact::Absent);
        assert_eq!(
            tree.files.list(&path("/file")),
            Fact::unknown("cannot list /file: it is a file, not a folder")
        );
        assert_eq!(
            tree.files.walk(&path("/link")),
            Fact::unknown("cannot list /link: it is a symbolic link, not a folder")
        );
    }

    #[test]
    fn a_walk_finds_folders_before_their_content_and_follows_no_link() {
        let tree = Tree::new();
        tree.write("/pki/ca.crt", "");
        tree.write("/pki/etcd/ca.crt", "");
        tree.write("/elsewhere/x", "");
        symlink("/elsewhere", tree.at("/pki/link")).unwrap();
        assert_eq!(
            shape(&known(tree.files.walk(&path("/pki")))),
            vec![
                ("/pki/ca.crt".to_owned(), Some(FileKind::Regular)),
                ("/pki/etcd".to_owned(), Some(FileKind::Directory)),
                ("/pki/etcd/ca.crt".to_owned(), Some(FileKind::Regular)),
                ("/pki/link".to_owned(), Some(FileKind::Symlink)),
            ]
        );
    }

    #[test]
    fn a_folder_too_deep_is_unknown_and_the_rest_stands() {
        let tree = Tree::new();
        tree.folder(&format!("/pki{}", "/d".repeat(20)));
        tree.write("/pki/z", "");
        let entries = known(tree.files.walk(&path("/pki")));
        assert_eq!(entries.len(), MAX_DEPTH + 1);
        let unknown: Vec<_> = entries
            .iter()
            .filter(|entry| entry.facts.known().is_none())
            .map(|entry| entry.facts.clone())
            .collect();
        assert_eq!(
            unknown,
            vec![Fact::unknown(
                "cannot list the folder d: it lies more than 16 folders deep"
            )]
        );
    }

    #[test]
    fn a_folder_that_may_not_be_read_is_unknown_and_the_rest_stands() {
        let tree = Tree::new();
        if tree.is_root {
            not_run("root may read everything");
            return;
        }
        tree.write("/pki/a/x", "");
        tree.write("/pki/b", "");
        std::fs::set_permissions(tree.at("/pki/a"), PermissionsExt::from_mode(0o000)).unwrap();
        let walked = shape(&known(tree.files.walk(&path("/pki"))));
        std::fs::set_permissions(tree.at("/pki/a"), PermissionsExt::from_mode(0o700)).unwrap();
        assert_eq!(
            walked,
            vec![
                ("/pki/a".to_owned(), None),
                ("/pki/b".to_owned(), Some(FileKind::Regular))
            ]
        );
    }

    #[test]
    fn a_flood_of_entries_is_unknown_and_says_so() {
        let tree = Tree::new();
        for name in ["a", "b", "1/c", "1/d"] {
            tree.write(&format!("/f/{name}"), "");
        }
        assert_eq!(known(tree.files.walk_within(&path("/f"), 5)).len(), 5);
        assert_eq!(
            tree.files.walk_within(&path("/f"), 4),
            Fact::unknown("cannot list /f: it holds more than 4 entries")
        );
        // One folder alone overflows before anything of it is looked at.
        assert_eq!(
            tree.files.walk_within(&path("/f"), 2),
            Fact::unknown("cannot list /f: it holds more than 2 entries")
        );
    }
}
