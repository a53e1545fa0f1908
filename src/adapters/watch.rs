//! Hints that a watched folder changed (inotify, by notify). Folders are watched, never files; an event is a hint only.
//!
//! A watched file that is replaced by a rename falls silent for ever, and so does a folder that is renamed away. So each guarded
//! folder is watched together with its parent, which tells of the folder's own coming and going, and [`Watch::renew`] looks again
//! at what is there now.

#![expect(
    clippy::disallowed_methods,
    reason = "an adapter: it looks which folders there are to watch"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{EventKind, ModifyKind};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::domain::{FileId, NodePath};

/// What an event comes to. None of them says what is there now: look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// A guarded folder, or an entry of one, has changed.
    Changed,
    /// A guarded folder has come, gone or been replaced: call [`Watch::renew`] before looking.
    FoldersChanged,
    /// Events were lost (the kernel's queue overflowed, or the watcher failed): call [`Watch::renew`] and look at everything.
    Lost,
}

/// Watches folders until it is dropped.
pub struct Watch {
    root: PathBuf,
    start: Box<dyn Fn() -> notify::Result<RecommendedWatcher> + Send>,
    /// `None` as long as the system has no inotify to give.
    watcher: Option<RecommendedWatcher>,
    /// What is watched, and which folder it was when the watch was set.
    watched: BTreeMap<PathBuf, FileId>,
    shared: Arc<Mutex<Shared>>,
}

/// What the callback on notify's thread needs.
#[derive(Debug, Default)]
struct Shared {
    /// The guarded folders, whether they are there or not.
    guarded: BTreeSet<PathBuf>,
    /// Paths at or above a watched folder that have come or gone: the watches at and below them may be dead, even where the same
    /// inode number is there again.
    stale: BTreeSet<PathBuf>,
    /// All watches may be dead.
    all_stale: bool,
}

/// A watch that could not be set. Changes are then seen by the next look only.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// inotify is not to be had: other programs of root may have used up what there is.
    #[error("cannot watch any folder: {cause}{}", advice(.cause))]
    Start {
        /// What the system said.
        cause: notify::Error,
    },
    /// One folder cannot be watched; all others are.
    #[error("cannot watch {}: {cause}{}", .folder.display(), advice(.cause))]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        cause: notify::Error,
    },
    /// The root folder has no absolute path.
    #[error("cannot watch below {}: {cause}", .root.display())]
    Root {
        /// The root folder.
        root: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
}

impl WatchError {
    /// What is wrong, whichever folder it was seen at.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Self::Start { .. } => "instances".to_owned(),
            Self::Folder { cause, .. } if matches!(cause.kind, ErrorKind::MaxFilesWatch) => {
                "watches".to_owned()
            }
            Self::Folder { .. } | Self::Root { .. } => self.to_string(),
        }
    }
}

fn advice(error: &notify::Error) -> &'static str {
    let is_out = |code| matches!(&error.kind, ErrorKind::Io(cause) if cause.raw_os_error() == Some(code));
    if matches!(error.kind, ErrorKind::MaxFilesWatch) {
        ": raise fs.inotify.max_user_watches (sysctl)"
    } else if is_out(nix::libc::EMFILE) {
        ": raise fs.inotify.max_user_instances (sysctl)"
    } else {
        ""
    }
}

impl Watch {
    /// Watches the node whose file system is at `root`: no folder yet, which is for [`Self::renew`]. `wake` is called on a thread of its own and must not block
    /// (`try_send`; on a full channel, remember [`Hint::Lost`]). It is dropped with the watch.
    ///
    /// # Errors
    /// When the root folder has no absolute path.
    pub fn new(root: &Path, wake: impl Fn(Hint) + Clone + Send + 'static) -> Result<Self, WatchError> {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let of_callback = Arc::clone(&shared);
        let start = move || {
            let (shared, wake) = (Arc::clone(&of_callback), wake.clone());
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                let hint = lock(&shared).hint(event);
                if let Some(hint) = hint {
                    wake(hint);
                }
            })
        };
        let root = std::path::absolute(root).map_err(|cause| WatchError::Root {
            root: root.to_owned(),
            cause,
        })?;
        Ok(Self {
            root,
            start: Box::new(start),
            watcher: None,
            watched: BTreeMap::new(),
            shared,
        })
    }

    /// Adds watches for folders that have appeared or been replaced, drops those gone; call it at each full pass, before looking,
    /// and after [`Hint::FoldersChanged`] and [`Hint::Lost`]. For a folder that is not there its nearest existing ancestor is
    /// watched.
    ///
    /// # Errors
    /// When the system refuses a watch; all others are set nevertheless, and the first refusal is told. When it has no inotify to give: none
    /// is set, and the next call tries again.
    pub fn renew(&mut self, folders: impl IntoIterator<Item = NodePath>) -> Result<(), WatchError> {
        let mut watcher = match self.watcher.take() {
            Some(watcher) => watcher,
            None => (self.start)().map_err(|cause| WatchError::Start { cause })?,
        };
        let renewed = self.renew_with(&mut watcher, folders);
        self.watcher = Some(watcher);
        renewed
    }

    fn renew_with(
        &mut self,
        watcher: &mut RecommendedWatcher,
        folders: impl IntoIterator<Item = NodePath>,
    ) -> Result<(), WatchError> {
        let guarded: BTreeSet<PathBuf> = folders
            .into_iter()
            .map(|folder| self.root.join(folder.as_str().trim_start_matches('/')))
            .collect();
        let (stale, all_stale) = {
            let mut shared = lock(&self.shared);
            shared.guarded.clone_from(&guarded);
            (
                std::mem::take(&mut shared.stale),
                std::mem::take(&mut shared.all_stale),
            )
        };
        let wanted: BTreeMap<PathBuf, FileId> = guarded
            .iter()
            .flat_map(|folder| [Some(folder.as_path()), folder.parent()])
            .flatten()
            .filter(|folder| folder.starts_with(&self.root))
            .filter_map(nearest_folder)
            .collect();
        let is_stale = |path: &Path| all_stale || stale.iter().any(|changed| path.starts_with(changed));
        let dead: Vec<PathBuf> = self
            .watched
            .iter()
            .filter(|(path, id)| wanted.get(*path) != Some(id) || is_stale(path))
            .map(|(path, _)| path.clone())
            .collect();
        let mut refused = None;
        for path in dead {
            refused = refused.or(self.drop_watch(watcher, &path).err());
        }
        for (path, id) in wanted {
            if !self.watched.contains_key(&path) {
                refused = refused.or(self.add_watch(watcher, path, id).err());
            }
        }
        refused.map_or(Ok(()), Err)
    }

    fn drop_watch(&mut self, watcher: &mut RecommendedWatcher, path: &Path) -> Result<(), WatchError> {
        self.watched.remove(path);
        match watcher.unwatch(path) {
            Ok(()) => Ok(()),
            // notify has dropped it by itself, with the folder.
            Err(error) if matches!(error.kind, ErrorKind::WatchNotFound) => Ok(()),
            Err(cause) => Err(WatchError::Folder {
                folder: path.to_owned(),
                cause,
            }),
        }
    }

    fn add_watch(
        &mut self,
        watcher: &mut RecommendedWatcher,
        path: PathBuf,
        id: FileId,
    ) -> Result<(), WatchError> {
        match watcher.watch(&path, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.watched.insert(path, id);
                Ok(())
            }
            // It has gone since it was looked at: its parent will tell when it comes back.
            Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {
                match path.parent().and_then(nearest_folder) {
                    Some((parent, id)) => self.add_watch(watcher, parent, id),
                    None => Ok(()),
                }
            }
            Err(cause) => Err(WatchError::Folder { folder: path, cause }),
        }
    }
}

impl Shared {
    fn hint(&mut self, event: notify::Result<notify::Event>) -> Option<Hint> {
        let Ok(event) = event else {
            self.all_stale = true;
            return Some(Hint::Lost);
        };
        if event.need_rescan() {
            self.all_stale = true;
            return Some(Hint::Lost);
        }
        // Reading a file makes events too, our own reading among others.
        if matches!(event.kind, EventKind::Access(_)) {
            return None;
        }
        let comes_or_goes = match event.kind {
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) | EventKind::Access(_) => false,
            EventKind::Create(_)
            | EventKind::Remove(_)
            | EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Any | ModifyKind::Other)
            | EventKind::Any
            | EventKind::Other => true,
        };
        let mut hint = None;
        for path in &event.paths {
            let leads_to_guarded = || self.guarded.iter().any(|folder| folder.starts_with(path));
            if comes_or_goes && leads_to_guarded() {
                self.stale.insert(path.clone());
                hint = Some(Hint::FoldersChanged);
            } else if self.guarded.contains(path)
                || path.parent().is_some_and(|folder| self.guarded.contains(folder))
            {
                hint = hint.or(Some(Hint::Changed));
            }
        }
        hint
    }
}

/// A poisoned lock is taken all the same: the sets are whole after each of their operations.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The folder itself, or the nearest one above it that is there, and which one that is.
fn nearest_folder(folder: &Path) -> Option<(PathBuf, FileId)> {
    folder.ancestors().find_map(|path| {
        let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_dir)?;
        let id = FileId {
            device: metadata.dev(),
            inode: metadata.ino(),
        };
        Some((path.to_owned(), id))
    })
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("root", &self.root)
            .field("watched", &self.watched)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
