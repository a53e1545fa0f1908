//! A disk whose power may be cut: what of the recorded acts is there afterwards. Names of a folder outlast the cut once the folder was
//! synced, the content of a file once the file was; of what was not, any part may be there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use holdfast::adapters::failpoint::{Kind, Told};

/// The files of a node by name, with their contents.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A change of names that is not durable yet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Folder(PathBuf),
    Make(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// A file's content: as it outlasts a cut, and as it is read now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Content {
    durable: Vec<u8>,
    now: Vec<u8>,
}

/// The names and folders of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Names {
    files: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
}

/// The disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    contents: Vec<Content>,
    durable: Names,
    now: Names,
    /// By folder, in order.
    pending: BTreeMap<PathBuf, Vec<Change>>,
}

impl Names {
    /// Makes a change, if what it is about is there.
    fn make(&mut self, change: &Change) {
        match change {
            Change::Folder(path) => {
                self.folders.insert(path.clone());
            }
            Change::Make(path, file) => {
                self.files.insert(path.clone(), *file);
            }
            Change::Rename(from, to) => {
                if let Some(file) = self.files.remove(from) {
                    self.files.insert(to.clone(), file);
                }
            }
            Change::Remove(path) => {
                self.files.remove(path);
            }
        }
    }
}

impl Disk {
    /// A disk with these files, all durable.
    pub fn of(files: &Files) -> Self {
        let mut disk = Self::default();
        for (path, bytes) in files {
            let content = Content {
                durable: bytes.clone(),
                now: bytes.clone(),
            };
            disk.durable.files.insert(path.clone(), disk.contents.len());
            disk.durable
                .folders
                .extend(path.ancestors().skip(1).map(Path::to_owned));
            disk.contents.push(content);
        }
        disk.durable.folders.extend(["var", "var/lib"].map(PathBuf::from));
        disk.now = disk.durable.clone();
        disk
    }

    /// An act that was done; its paths are those of `root`.
    pub fn take(&mut self, act: &Told, root: &Path) {
        let below = |path: &Path| path.strip_prefix(root).map(Path::to_owned).unwrap_or_default();
        let (path, to) = (below(&act.path), below(&act.to));
        match act.kind {
            Kind::MakeFolder => self.change(Change::Folder(path)),
            Kind::Create => {
                self.contents.push(Content::default());
                self.change(Change::Make(path, self.contents.len() - 1));
            }
            Kind::Rename => self.change(Change::Rename(path, to)),
            Kind::Remove => self.change(Change::Remove(path)),
            Kind::Write => self.content(&path).now.extend_from_slice(&act.bytes),
            Kind::Cut => {
                let length = usize::try_from(act.length).expect("a small file");
                self.content(&path).now.truncate(length);
            }
            Kind::Sync => {
                let content = self.content(&path);
                content.durable = content.now.clone();
            }
            Kind::SyncFolder => {
                for change in self.pending.remove(&path).unwrap_or_default() {
                    self.durable.make(&change);
                }
            }
            Kind::Record | Kind::Patch => {}
        }
    }

    fn content(&mut self, path: &Path) -> &mut Content {
        let file = self
            .now
            .files
            .get(path)
            .unwrap_or_else(|| panic!("{} is not there", path.display()));
        &mut self.contents[*file]
    }

    fn change(&mut self, change: Change) {
        let (Change::Folder(path) | Change::Make(path, _) | Change::Rename(path, _) | Change::Remove(path)) =
            &change;
        let folder = path.parent().expect("below the root").to_owned();
        self.now.make(&change);
        self.pending.entry(folder).or_default().push(change);
    }

    /// The files as they are read while the power is on.
    pub fn now(&self) -> Files {
        let content = |file: &usize| self.contents[*file].now.clone();
        self.now
            .files
            .iter()
            .map(|(path, file)| (path.clone(), content(file)))
            .collect()
    }

    /// All that may be there when the power is cut now: each set of changes of names that were not synced, and for each file that was
    /// not, its old content, its new one, half of that, and as long as that with zeros.
    pub fn after_a_cut(&self) -> BTreeSet<Files> {
        let changes: Vec<&Change> = self.pending.values().flatten().collect();
        assert!(changes.len() <= 6, "so much is never left unsynced: {changes:?}");
        let mut states = BTreeSet::new();
        for set in 0..1_u32 << changes.len() {
            let mut names = self.durable.clone();
            for (number, change) in changes.iter().enumerate() {
                // A name that was made without being durable is the file itself when it is moved.
                if set & (1 << number) == 0 {
                    continue;
                }
                if let Change::Rename(from, to) = change
                    && let Some(file) = self.made_as(from).filter(|_| !names.files.contains_key(from))
                {
                    names.files.insert(to.clone(), file);
                }
                names.make(change);
            }
            let Names { files, folders } = &mut names;
            files.retain(|path, _| path.ancestors().skip(1).all(|folder| folders.contains(folder)));
            states.extend(self.with_contents(&names));
        }
        states
    }

    /// The file that was made under a name that is not durable yet.
    fn made_as(&self, path: &Path) -> Option<usize> {
        self.pending
            .values()
            .flatten()
            .rev()
            .find_map(|change| match change {
                Change::Make(made, file) if made == path => Some(*file),
                Change::Make(..) | Change::Folder(_) | Change::Rename(..) | Change::Remove(_) => None,
            })
    }

    fn with_contents(&self, names: &Names) -> Vec<Files> {
        let mut states = vec![Files::new()];
        for (path, file) in &names.files {
            let contents = self.contents[*file].after_a_cut();
            states = states
                .into_iter()
                .flat_map(|state| {
                    contents.iter().map(move |content| {
                        let mut state = state.clone();
                        state.insert(path.clone(), content.clone());
                        state
                    })
                })
                .collect();
        }
        states
    }
}

impl Content {
    fn after_a_cut(&self) -> BTreeSet<Vec<u8>> {
        let Self { durable, now } = self;
        if durable == now {
            return BTreeSet::from([now.clone()]);
        }
        let kept = durable
            .iter()
            .zip(now)
            .take_while(|(old, new)| old == new)
            .count();
        let mut zeros = now.clone();
        zeros[kept..].fill(0);
        let half = now[..usize::midpoint(kept, now.len())].to_vec();
        BTreeSet::from([durable.clone(), now.clone(), zeros, half])
    }
}
