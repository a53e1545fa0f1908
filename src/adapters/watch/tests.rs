use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc;
use std::time::Duration;

use super::*;

/// A node's tree with `/etc/kubernetes/manifests`, watched; events of the making are over.
struct Watched {
    root: tempfile::TempDir,
    watch: Watch,
    hints: mpsc::Receiver<Hint>,
}

fn folders() -> [NodePath; 2] {
    ["/etc/kubernetes/manifests", "/etc/kubernetes/pki"].map(|path| path.parse().unwrap())
}

impl Watched {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/kubernetes/manifests")).unwrap();
        fs::write(root.path().join("etc/kubernetes/manifests/etcd.yaml"), "a").unwrap();
        let (sender, hints) = mpsc::channel();
        let mut watch = Watch::new(root.path(), move |hint| {
            // The test may have ended.
            sender.send(hint).unwrap_or_default();
        })
        .unwrap();
        watch.renew(folders()).unwrap();
        Self { root, watch, hints }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join("etc/kubernetes").join(below)
    }

    /// The kinds of hint until it has been quiet for a while.
    fn hints(&self) -> Vec<Hint> {
        let mut hints = Vec::new();
        while let Ok(hint) = self.hints.recv_timeout(Duration::from_millis(150)) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        hints
    }

    fn renew(&mut self) {
        self.watch.renew(folders()).unwrap();
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_chmod_of_an_entry_and_of_the_folder_itself_are_hints() {
    let watched = Watched::new();
    chmod(&watched.path("manifests/etcd.yaml"), 0o666);
    assert_eq!(watched.hints(), [Hint::Changed]);
    chmod(&watched.path("manifests"), 0o777);
    assert_eq!(watched.hints(), [Hint::Changed]);
}

#[test]
fn a_file_replaced_by_rename_is_a_hint_each_time() {
    let watched = Watched::new();
    for content in ["b", "c"] {
        fs::write(watched.path("manifests/.new"), content).unwrap();
        fs::rename(
            watched.path("manifests/.new"),
            watched.path("manifests/etcd.yaml"),
        )
        .unwrap();
        assert_eq!(watched.hints(), [Hint::Changed]);
    }
}

#[test]
fn reading_and_listing_are_no_hints() {
    let watched = Watched::new();
    fs::read(watched.path("manifests/etcd.yaml")).unwrap();
    assert_eq!(fs::read_dir(watched.path("manifests")).unwrap().count(), 1);
    assert_eq!(watched.hints(), []);
}

#[test]
fn what_happens_beside_a_guarded_folder_is_no_hint() {
    let watched = Watched::new();
    fs::write(watched.path("notes.txt"), "x").unwrap();
    fs::create_dir(watched.path("tmp")).unwrap();
    fs::write(watched.root.path().join("etc/hostname"), "x").unwrap();
    assert_eq!(watched.hints(), []);
}

#[test]
fn a_folder_replaced_by_rename_is_watched_again_after_a_renewal() {
    let mut watched = Watched::new();
    fs::rename(watched.path("manifests"), watched.path("old")).unwrap();
    fs::create_dir(watched.path("manifests")).unwrap();
    assert_eq!(watched.hints(), [Hint::FoldersChanged]);
    watched.renew();
    fs::write(watched.path("manifests/etcd.yaml"), "b").unwrap();
    assert_eq!(watched.hints(), [Hint::Changed]);
    // And the old one is not watched any more.
    fs::write(watched.path("old/etcd.yaml"), "b").unwrap();
    assert_eq!(watched.hints(), []);
}

#[test]
fn a_folder_removed_and_made_anew_is_watched_again_even_with_the_same_inode_number() {
    let mut watched = Watched::new();
    fs::remove_dir_all(watched.path("manifests")).unwrap();
    fs::create_dir(watched.path("manifests")).unwrap();
    assert!(watched.hints().contains(&Hint::FoldersChanged));
    watched.renew();
    fs::write(watched.path("manifests/x"), "b").unwrap();
    assert_eq!(watched.hints(), [Hint::Changed]);
}

#[test]
fn a_parent_renamed_away_and_back_leaves_the_folder_watched() {
    let mut watched = Watched::new();
    let etc = watched.root.path().join("etc");
    fs::rename(etc.join("kubernetes"), etc.join("away")).unwrap();
    assert_eq!(watched.hints(), [Hint::FoldersChanged]);
    watched.renew();
    fs::rename(etc.join("away"), etc.join("kubernetes")).unwrap();
    assert_eq!(watched.hints(), [Hint::FoldersChanged]);
    watched.renew();
    chmod(&watched.path("manifests/etcd.yaml"), 0o644);
    assert_eq!(watched.hints(), [Hint::Changed]);
}

#[test]
fn a_missing_folder_is_awaited_at_its_nearest_ancestor_and_watched_when_it_comes() {
    let mut watched = Watched::new();
    fs::create_dir(watched.path("pki")).unwrap();
    assert_eq!(watched.hints(), [Hint::FoldersChanged]);
    watched.renew();
    fs::write(watched.path("pki/ca.key"), "x").unwrap();
    assert_eq!(watched.hints(), [Hint::Changed]);

    let root = tempfile::tempdir().unwrap();
    let (sender, hints) = mpsc::channel();
    let mut watch = Watch::new(root.path(), move |hint| sender.send(hint).unwrap_or_default()).unwrap();
    watch.renew(folders()).unwrap();
    for step in ["etc", "etc/kubernetes", "etc/kubernetes/manifests"] {
        fs::create_dir(root.path().join(step)).unwrap();
        assert_eq!(
            hints.recv_timeout(Duration::from_secs(2)),
            Ok(Hint::FoldersChanged),
            "{step}"
        );
        watch.renew(folders()).unwrap();
    }
}

#[test]
fn a_renewal_without_a_change_sets_no_watch_and_misses_nothing() {
    let mut watched = Watched::new();
    for round in 0..20 {
        fs::write(watched.path("manifests/x"), round.to_string()).unwrap();
        watched.renew();
        assert_eq!(
            watched.hints.recv_timeout(Duration::from_secs(2)),
            Ok(Hint::Changed)
        );
        watched.hints();
    }
}

#[test]
fn an_overflow_and_an_error_are_lost_and_make_all_watches_anew() {
    let overflow = notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
    for event in [Ok(overflow), Err(notify::Error::generic("gone"))] {
        let mut shared = Shared::default();
        assert_eq!(shared.hint(event), Some(Hint::Lost));
        assert!(shared.all_stale);
    }
}

#[test]
fn without_inotify_each_renewal_says_so_until_there_is_some() {
    let mut watched = Watched::new();
    watched.watch.watcher = None;
    watched.watch.watched.clear();
    let start = std::mem::replace(
        &mut watched.watch.start,
        Box::new(|| {
            Err(notify::Error::io(std::io::Error::from_raw_os_error(
                nix::libc::EMFILE,
            )))
        }),
    );
    for _ in 0..2 {
        let refused = watched.watch.renew(folders()).unwrap_err().to_string();
        assert!(refused.contains("max_user_instances"), "{refused}");
    }
    chmod(&watched.path("manifests/etcd.yaml"), 0o600);
    assert_eq!(watched.hints(), []);

    watched.watch.start = start;
    watched.renew();
    chmod(&watched.path("manifests/etcd.yaml"), 0o644);
    assert_eq!(watched.hints(), [Hint::Changed]);
}
