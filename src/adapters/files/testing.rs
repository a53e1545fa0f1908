//! A throw-away tree for the tests of this folder.
#![expect(clippy::disallowed_methods, reason = "it makes the files that are looked at")]

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use super::Files;
use crate::adapters::lock::Held;
use crate::domain::{Fact, FileFacts, NodePath, Owner};

pub(super) struct Tree {
    folder: tempfile::TempDir,
    pub(super) files: Files,
    pub(super) held: Held,
    /// False when the tests run as an ordinary user, whose files are then taken for root's.
    pub(super) is_root: bool,
}

pub(super) fn path(text: &str) -> NodePath {
    text.parse().unwrap()
}

/// Says that a test did not run, and why.
#[expect(clippy::print_stderr, reason = "a test that does not run says so plainly")]
pub(super) fn not_run(why: &str) {
    eprintln!("not run: {why}");
}

impl Tree {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700)).unwrap();
        let me = Owner {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
        };
        Self {
            files: Files::at(folder.path()).unwrap().taking_for_root(me),
            held: Held::take(&folder.path().join("lock-folder"), Duration::ZERO).unwrap(),
            is_root: me.uid == 0,
            folder,
        }
    }

    /// Where a path of the tree is for the test itself.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    /// Makes a folder that only its owner can write to, whatever the umask, with those above it.
    pub(super) fn folder(&self, path: &str) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(self.at(path))
            .unwrap();
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        self.folder(path.rsplit_once('/').unwrap().0);
        std::fs::write(self.at(path), text).unwrap();
    }

    pub(super) fn read(&self, at: &str) -> Fact<String> {
        self.files
            .read(&path(at), 1 << 20)
            .map(|content| String::from_utf8(content.bytes).unwrap())
    }

    pub(super) fn facts(&self, at: &str) -> FileFacts {
        match self.files.facts(&path(at)) {
            Fact::Known(facts) => facts,
            other @ (Fact::Absent | Fact::Unknown(_)) => panic!("{at}: {other:?}"),
        }
    }

    /// The names in a folder, sorted.
    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.at(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}
