//! The processes of the node, from `/proc`.

use std::path::{Path, PathBuf};

use crate::domain::{Component, Fact, Process, Reason};

/// The processes of the node.
#[derive(Debug, Clone)]
pub struct Processes {
    proc_folder: PathBuf,
}

/// All processes at one look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Every process whose files could be read; kernel threads are left out.
    pub processes: Vec<Process>,
}

impl Processes {
    /// The processes that this `/proc` shows.
    #[must_use]
    pub fn at(proc_folder: &Path) -> Self {
        Self {
            proc_folder: proc_folder.to_owned(),
        }
    }

    /// All processes now.
    ///
    /// # Errors
    /// When `/proc` cannot be listed, or is not that of a running node (`--root` at a mounted file system).
    pub fn look(&self) -> Result<Table, Reason> {
        Err(Reason::new(format!(
            "{} is not read yet",
            self.proc_folder.display()
        )))
    }

    /// Whether root started it and root alone can write its executable: `Unknown` when the executable cannot be looked at.
    pub fn is_roots_own(&self, _process: &Process) -> Fact<bool> {
        Fact::unknown("not read yet")
    }
}

impl Table {
    /// The processes of that component's static pod: started under its name, in the cgroup of a static pod (whose UID is a hash of
    /// 32 hexadecimal digits) or of the pod with the UID `own_uid`, and in no pod within a pod.
    #[must_use]
    pub fn of_component(&self, _component: Component, _own_uid: Option<&str>) -> Vec<Process> {
        Vec::new()
    }

    /// The processes whose first argument's last path component is `name`, outside of any pod.
    #[must_use]
    pub fn of_host(&self, _name: &str) -> Vec<Process> {
        Vec::new()
    }
}
