//! The kubelet's file source (kubernetes pkg/kubelet/config/file.go): a watch of the manifests folder, a list of it every
//! 20 seconds, and the store that both feed.
//!
//! Event by event it does what the kubelet does: a file that is added and does not parse leaves the store alone; a list
//! replaces it; a deleted copy takes the pod with it although the real manifest is still there.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pod::Pod;

/// The pods that the folder asks for, by `namespace/name`.
pub type Desired = BTreeMap<String, Arc<Pod>>;

/// The state of the source since the kubelet started.
pub struct FileSource {
    folder: PathBuf,
    period: Duration,
    /// The watch follows the folder that was there at the start, whatever is at its path now.
    watched: Option<(u64, u64)>,
    seen: BTreeMap<String, Mark>,
    store: Desired,
    key_of_file: BTreeMap<String, String>,
    desired: Desired,
    next_list: Instant,
}

/// What changes when a watch would tell of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    changed: (i64, i64),
    modified: (i64, i64),
    inode: u64,
    size: u64,
}

impl FileSource {
    pub fn new(folder: PathBuf, period: Duration, now: Instant) -> Self {
        let watched = std::fs::metadata(&folder)
            .ok()
            .map(|facts| (facts.dev(), facts.ino()));
        let mut source = Self {
            folder,
            period,
            watched,
            seen: BTreeMap::new(),
            store: Desired::new(),
            key_of_file: BTreeMap::new(),
            desired: Desired::new(),
            next_list: now,
        };
        source.seen = source.marks();
        source
    }

    /// What should run now.
    pub fn look(&mut self, now: Instant) -> &Desired {
        let there = std::fs::metadata(&self.folder)
            .ok()
            .map(|facts| (facts.dev(), facts.ino()));
        if there.is_some() && there == self.watched {
            self.follow_events();
        }
        if now >= self.next_list {
            self.list();
            self.next_list = now + self.period;
        }
        &self.desired
    }

    fn follow_events(&mut self) {
        let marks = self.marks();
        let gone: Vec<String> = self
            .seen
            .keys()
            .filter(|n| !marks.contains_key(*n))
            .cloned()
            .collect();
        for name in gone {
            self.deleted(&name);
        }
        let mut changed: Vec<_> = marks
            .iter()
            .filter(|(name, mark)| self.seen.get(*name) != Some(mark))
            .collect();
        changed.sort_by_key(|(_, mark)| mark.changed);
        for (name, _) in changed {
            self.added(name);
        }
        self.seen = marks;
    }

    fn added(&mut self, name: &str) {
        let Ok(pod) = Pod::read(&self.folder.join(name)) else {
            return;
        };
        self.key_of_file.insert(name.to_owned(), pod.key());
        self.store.insert(pod.key(), Arc::new(pod));
        self.desired = self.store.clone();
    }

    fn deleted(&mut self, name: &str) {
        let Some(key) = self.key_of_file.get(name) else {
            return;
        };
        if self.store.remove(key).is_some() {
            self.key_of_file.remove(name);
            self.desired = self.store.clone();
        }
    }

    fn list(&mut self) {
        let mut pods = Desired::new();
        // In sorted order, so that of two files with the same pod the last one wins.
        for name in self.names() {
            let path = self.folder.join(&name);
            if !path.is_file() {
                continue;
            }
            if let Ok(pod) = Pod::read(&path) {
                self.key_of_file.insert(name, pod.key());
                pods.insert(pod.key(), Arc::new(pod));
            }
        }
        // With no pod at all the kubelet publishes the empty set, and keeps its store.
        if !pods.is_empty() {
            self.store = pods.clone();
        }
        self.desired = pods;
    }

    /// Names without a leading dot, sorted.
    fn names(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    fn marks(&self) -> BTreeMap<String, Mark> {
        let mark = |name: String| {
            let facts = std::fs::symlink_metadata(self.folder.join(&name)).ok()?;
            let mark = Mark {
                changed: (facts.ctime(), facts.ctime_nsec()),
                modified: (facts.mtime(), facts.mtime_nsec()),
                inode: facts.ino(),
                size: facts.size(),
            };
            Some((name, mark))
        };
        self.names().into_iter().filter_map(mark).collect()
    }
}
