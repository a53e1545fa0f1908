//! Which processes of others than root use files: what they have open, and where they work.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};

use super::cgroup::{Base, Place};
use super::{Processes, has_ended, not_understood, text};
use crate::domain::{FileId, NodePath, Reader, Reason};

/// So many open files are looked at: anybody can open as many as they may.
const MOST: usize = 200_000;

impl Processes {
    /// The processes of other users than root that have one of these files open, that work below one of these folders, or that have
    /// something open there.
    ///
    /// A file is known by its device and inode, whatever a container calls it. A folder is known by its path as the process sees it, with
    /// or without something before it: a service with a mount namespace of its own sees it where it is, a container often below `/host`.
    ///
    /// # Errors
    /// When `/proc` cannot be read, shows only some of the processes, is not that of a running node, or more is open than is looked at.
    pub fn readers(
        &self,
        folders: &[NodePath],
        files: &BTreeMap<FileId, NodePath>,
    ) -> Result<Vec<Reader>, Reason> {
        self.uptime_ms()?;
        let base = self.base()?;
        let mut asked = Asked {
            folders,
            files,
            left: MOST,
        };
        let mut found = Vec::new();
        for pid in self.pids()? {
            let folder = self.folder(pid);
            let Some(status) = text(&folder.join("status"))? else {
                continue;
            };
            let uid = uid_for_files(&status).ok_or_else(|| not_understood(&folder.join("status")))?;
            if uid == 0 {
                continue;
            }
            let used = asked.used_by(&folder)?;
            if used.is_empty() || is_of_another_node(&folder, &base)? {
                continue;
            }
            let program = value(&status, "Name:").unwrap_or_default().trim();
            found.extend(used.into_iter().map(|of| Reader {
                pid,
                program: program.to_owned(),
                of,
            }));
        }
        found.sort_by(|one, other| (one.pid, &one.of).cmp(&(other.pid, &other.of)));
        Ok(found)
    }
}

/// What is asked, and how many open files may still be looked at.
struct Asked<'a> {
    folders: &'a [NodePath],
    files: &'a BTreeMap<FileId, NodePath>,
    left: usize,
}

impl Asked<'_> {
    fn used_by(&mut self, folder: &Path) -> Result<BTreeSet<NodePath>, Reason> {
        let mut used = BTreeSet::new();
        let Some(works_in) = link(&folder.join("cwd"))? else {
            return Ok(used);
        };
        used.extend(self.above(&works_in));
        let open = folder.join("fd");
        let cannot = |error: io::Error| Reason::new(format!("cannot list {}: {error}", open.display()));
        let entries = match std::fs::read_dir(&open) {
            Ok(entries) => entries,
            Err(error) if has_ended(&error) => return Ok(used),
            Err(error) => return Err(cannot(error)),
        };
        for entry in entries {
            let path = match entry {
                Ok(entry) => entry.path(),
                Err(error) if has_ended(&error) => break,
                Err(error) => return Err(cannot(error)),
            };
            self.left = self.left.checked_sub(1).ok_or_else(|| {
                Reason::new(format!(
                    "more than {MOST} files are open, and are not all looked at"
                ))
            })?;
            // A descriptor that is closed meanwhile is none; a socket or pipe has no path.
            let Some(target) = link(&path)?.filter(|target| target.starts_with('/')) else {
                continue;
            };
            used.extend(self.above(&target));
            if !self.files.is_empty() {
                used.extend(id_of(&path).and_then(|id| self.files.get(&id)).cloned());
            }
        }
        Ok(used)
    }

    /// The folders that a path lies in, or is.
    fn above<'b>(&'b self, path: &'b str) -> impl Iterator<Item = NodePath> + 'b {
        let is_above = |folder: &&NodePath| {
            path.match_indices(folder.as_str()).any(|(at, name)| {
                let rest = path.get(at + name.len()..);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        self.folders.iter().filter(is_above).cloned()
    }
}

/// Where a link of `/proc` leads; `None` when the process has ended, or the descriptor is closed.
fn link(path: &Path) -> Result<Option<String>, Reason> {
    match std::fs::read_link(path) {
        Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
        Err(error) if has_ended(&error) => Ok(None),
        Err(error) => Err(Reason::new(format!("cannot read {}: {error}", path.display()))),
    }
}

/// Which file a descriptor is. A server of files that does not answer is not asked.
fn id_of(path: &Path) -> Option<FileId> {
    let stat = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
    Some(FileId {
        device: makedev(stat.stx_dev_major, stat.stx_dev_minor),
        inode: stat.stx_ino,
    })
}

/// What a node that runs in a container of this one has open is none of this one's.
fn is_of_another_node(folder: &Path, base: &Base) -> Result<bool, Reason> {
    let cgroup = text(&folder.join("cgroup"))?;
    Ok(cgroup.is_none_or(|cgroup| Place::of(&cgroup, base) == Place::AnotherNode))
}

/// The fourth number of `Uid:`: by it the kernel decides about files.
fn uid_for_files(status: &str) -> Option<u32> {
    value(status, "Uid:")?.split_whitespace().nth(3)?.parse().ok()
}

fn value<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(key))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    const KUBELET: &str = "/var/lib/kubelet";

    /// A `/proc` with these processes: number, the user that files are opened as, cgroup, working folder and what is open.
    fn proc_folder(processes: &[(i32, u32, &str, &str, &[&Path])]) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        fs::write(proc.path().join("uptime"), "100.50 312.20\n").unwrap();
        for (pid, uid, cgroup, works_in, open) in processes {
            let folder = proc.path().join(pid.to_string());
            fs::create_dir_all(folder.join("fd")).unwrap();
            let status = format!("Name:\tprogram{pid}\nUid:\t7\t7\t7\t{uid}\n");
            fs::write(folder.join("status"), status).unwrap();
            fs::write(folder.join("cgroup"), format!("0::{cgroup}\n")).unwrap();
            symlink(works_in, folder.join("cwd")).unwrap();
            for (number, file) in open.iter().enumerate() {
                symlink(file, folder.join("fd").join(number.to_string())).unwrap();
            }
        }
        proc
    }

    fn found(proc: &tempfile::TempDir, files: &BTreeMap<FileId, NodePath>) -> Result<Vec<Reader>, Reason> {
        Processes::at(proc.path()).readers(&[KUBELET.parse().unwrap()], files)
    }

    fn reader(pid: i32, of: &str) -> Reader {
        Reader {
            pid,
            program: format!("program{pid}"),
            of: of.parse().unwrap(),
        }
    }

    #[test]
    fn who_works_below_a_folder_or_has_something_open_there_is_found_unless_it_is_root() {
        let below = Path::new("/var/lib/kubelet/pods/x/log");
        let seen_from_a_container = Path::new("/host/var/lib/kubelet/device-plugins/y");
        let beside = Path::new("/var/lib/kubelet-old/x");
        let socket = Path::new("socket:[17]");
        let another_node = "/system.slice/docker-0.scope/payload/x";
        let proc = proc_folder(&[
            (1, 0, "/init.scope", "/", &[]),
            (10, 0, "/", KUBELET, &[below]),
            (11, 1000, "/", KUBELET, &[]),
            (12, 1000, "/", "/", &[socket, below, below]),
            (
                13,
                65532,
                "/kubepods/pod7a9f0b0e-1b2c-4d3e-8f90-a1b2c3d4e5f6",
                "/",
                &[seen_from_a_container],
            ),
            (14, 1000, "/", "/var/lib", &[beside]),
            (15, 1000, another_node, "/", &[below]),
        ]);
        assert_eq!(
            found(&proc, &BTreeMap::new()),
            Ok(vec![
                reader(11, KUBELET),
                reader(12, KUBELET),
                reader(13, KUBELET)
            ])
        );
    }

    #[test]
    fn who_has_a_file_open_is_found_by_the_file_itself_whatever_its_name() {
        let there = tempfile::tempdir().unwrap();
        let (log, other) = (there.path().join("audit.log"), there.path().join("other.log"));
        fs::write(&log, "x").unwrap();
        fs::write(&other, "x").unwrap();
        let in_a_container = there.path().join("mounted.log");
        fs::hard_link(&log, &in_a_container).unwrap();
        let facts = fs::metadata(&log).unwrap();
        let id = FileId {
            device: facts.dev(),
            inode: facts.ino(),
        };
        let proc = proc_folder(&[
            (1, 0, "/init.scope", "/", &[]),
            (20, 0, "/", "/", &[&log]),
            (21, 1000, "/", "/", &[&other]),
            (22, 1000, "/", "/", &[&in_a_container]),
        ]);
        let files = [(id, "/var/log/audit.log".parse().unwrap())].into();
        assert_eq!(found(&proc, &files), Ok(vec![reader(22, "/var/log/audit.log")]));
    }

    #[test]
    fn a_folder_that_shows_not_all_processes_or_none_is_an_error() {
        let hidden = proc_folder(&[(30, 1000, "/", "/", &[])]);
        let why = found(&hidden, &BTreeMap::new()).unwrap_err();
        assert!(why.as_str().contains("run as root"), "{why}");
        let mounted = tempfile::tempdir().unwrap();
        let why = found(&mounted, &BTreeMap::new()).unwrap_err();
        assert!(why.as_str().contains("not running here"), "{why}");
    }
}
