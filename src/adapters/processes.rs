//! The processes of the node, from `/proc`: those of the control plane, the kubelet and kubeadm.
//!
//! A name is not enough to tell whose process it is: the cgroup says which pod it is in, and whether that pod is this node's own.

#![expect(
    clippy::disallowed_methods,
    reason = "an adapter: it reads /proc, and nothing else"
)]

mod cgroup;
mod readers;
mod sockets;

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use self::cgroup::{Base, Place};
pub use self::sockets::Sockets;
use zeroize::Zeroizing;

use super::files::Files;
use crate::domain::{Component, Fact, NodePath, Owner, Process, ProcessId, Reason};

/// The names that are looked for; of all other processes only the command line is read, so that a look stays cheap.
const NAMES: [&str; 6] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "etcd",
    "kubelet",
    "kubeadm",
];

/// The processes of the node.
#[derive(Debug, Clone)]
pub struct Processes {
    proc_folder: PathBuf,
    roots_stand_in: Option<u32>,
}

/// So much of a command line tells under which name a process was started.
const COMMAND_LINE_BEGINNING: u64 = 4 * 1024;
/// The kernel tells no sizes in `/proc`, and hands out so much at once.
const PAGE: usize = 4 * 1024;
/// The longest command line that is read; a component's has a few kilobytes.
const COMMAND_LINE_MOST: u64 = 1024 * 1024;

/// The processes of the control plane, the kubelet and kubeadm at one look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Every process that was started under one of those names, by number. Kernel threads, zombies and the processes of another
    /// node that runs in a container of this one are left out.
    pub processes: Vec<Process>,
}

/// The two fields of `/proc/PID/stat` that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    zombie: bool,
    start_ticks: u64,
}

impl Processes {
    /// The processes that this `/proc` shows.
    #[must_use]
    pub fn at(proc_folder: &Path) -> Self {
        Self {
            proc_folder: proc_folder.to_owned(),
            roots_stand_in: None,
        }
    }

    /// Takes executables of that user for root's: in a node's tree that an ordinary user made in a folder of their own.
    #[must_use]
    pub fn taking_for_root(self, uid: u32) -> Self {
        Self {
            roots_stand_in: Some(uid),
            ..self
        }
    }

    /// The processes now. One that ends while it is looked at is left out.
    ///
    /// # Errors
    /// When `/proc` cannot be read, shows only some of the processes (`hidepid`), or is not that of a running node (`--root` at a
    /// mounted file system).
    pub fn look(&self) -> Result<Table, Reason> {
        let uptime_ms = self.uptime_ms()?;
        let ticks_per_second = ticks_per_second()?;
        let base = self.base()?;
        let mut processes = Vec::new();
        for pid in self.pids()? {
            if let Some((process, start_ticks)) = self.read(pid, &base)? {
                let started_ms = start_ticks.saturating_mul(1000) / ticks_per_second;
                processes.push(Process {
                    age_ms: uptime_ms.saturating_sub(started_ms),
                    ..process
                });
            }
        }
        processes.sort_by_key(|process| process.id);
        Ok(Table { processes })
    }

    /// False for the file system of a node that is not running here (`--root` at a mounted one).
    #[must_use]
    pub fn are_of_a_running_node(&self) -> bool {
        !matches!(text(&self.proc_folder.join("uptime")), Ok(None))
    }

    /// True while that very process runs.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn runs(&self, process: ProcessId) -> Result<bool, Reason> {
        let stat = stat(&self.folder(process.pid))?;
        Ok(stat.is_some_and(|stat| !stat.zombie && stat.start_ticks == process.start_ticks))
    }

    /// The kernel's host name, which an API server's identity lease carries.
    pub fn host_name(&self) -> Fact<String> {
        match text(&self.proc_folder.join("sys/kernel/hostname")) {
            Ok(Some(name)) => Fact::Known(name.trim().to_owned()),
            Ok(None) => Fact::Absent,
            Err(reason) => Fact::Unknown(reason),
        }
    }

    /// The most processes and threads that a pod of this node has, by its cgroup. `Absent` where no pod's cgroup is found.
    pub fn most_pids_of_a_pod(&self) -> Fact<u64> {
        let Some(root) = self.proc_folder.parent() else {
            return Fact::Absent;
        };
        let cgroups = root.join("sys/fs/cgroup");
        let mut most = Fact::Absent;
        for base in ["", "pids"].map(|hierarchy| cgroups.join(hierarchy)) {
            for folder in cgroup::folders_of_pods(&base) {
                match text(&folder.join("pids.current")) {
                    Ok(Some(count)) => match count.trim().parse::<u64>() {
                        Ok(count) => most = Fact::Known(most.known().copied().unwrap_or(0).max(count)),
                        Err(_) => return Fact::Unknown(not_understood(&folder.join("pids.current"))),
                    },
                    // The pod has ended meanwhile.
                    Ok(None) => {}
                    Err(reason) => return Fact::Unknown(reason),
                }
            }
        }
        most
    }

    /// True while the kubelet keeps a cgroup for the pod: it removes it when it has cleaned up after the pod. False when none is found,
    /// also where cgroups are laid out in a way that is not known here.
    #[must_use]
    pub fn has_cgroup(&self, pod_uid: &str) -> bool {
        let Some(root) = self.proc_folder.parent() else {
            return false;
        };
        let cgroups = root.join("sys/fs/cgroup");
        // Version 2 has one hierarchy, version 1 one for each controller.
        let hierarchies = ["", "systemd", "memory", "pids", "cpu", "unified"];
        let mut below = cgroup::folders_of_pod(pod_uid).into_iter();
        below.any(|folder| {
            hierarchies
                .iter()
                .any(|hierarchy| cgroups.join(hierarchy).join(&folder).is_dir())
        })
    }

    /// The content of a plain file of at most `max` bytes as that process sees it: by its name in the process's own mount namespace.
    /// `Absent` when it sees no such file, `Unknown` when the process has ended.
    pub fn file_seen_by(&self, process: ProcessId, path: &NodePath, max: usize) -> Fact<Zeroizing<Vec<u8>>> {
        let root = self.folder(process.pid).join("root");
        let files = match Files::at(&root) {
            Ok(files) => files,
            Err(error) => return Fact::unknown(format!("{} cannot be opened: {error}", root.display())),
        };
        let stand_in = self.roots_stand_in.map(|uid| Owner { uid, gid: uid });
        let files = files.taking_for_root(stand_in.unwrap_or(Owner::ROOT));
        let content = files.read(path, max).map(|content| Zeroizing::new(content.bytes));
        // The root was opened by a number, which may be another process's by now.
        match self.runs(process) {
            Ok(true) => content,
            Ok(false) => Fact::unknown(format!("process {} has ended", process.pid)),
            Err(why) => Fact::Unknown(why),
        }
    }

    /// Whether root started it and root alone can write its executable. `Absent` when it has ended, `Unknown` when the executable
    /// cannot be looked at.
    ///
    /// The executable is reached through `/proc/PID/exe`, which leads to the very file that runs, whatever folder it has in whatever
    /// mount namespace.
    pub fn is_roots_own(&self, process: &Process) -> Fact<bool> {
        if process.uid != 0 {
            return Fact::Known(false);
        }
        let folder = self.folder(process.id.pid);
        let executable = match std::fs::metadata(folder.join("exe")) {
            Ok(metadata) => metadata,
            Err(error) if has_ended(&error) => return Fact::Absent,
            Err(error) => {
                return Fact::unknown(format!(
                    "the executable of process {} cannot be looked at: {error}",
                    process.id.pid
                ));
            }
        };
        // The number may be another process's by now; its executable says nothing about the one that was asked for.
        match stat(&folder) {
            Ok(Some(stat)) if stat.start_ticks == process.id.start_ticks => {
                let roots = executable.uid() == 0 || Some(executable.uid()) == self.roots_stand_in;
                let named = base_name(&process.argv).is_some_and(|name| self.runs_file(&folder, name));
                Fact::Known(roots && named && executable.mode() & 0o022 == 0)
            }
            Ok(_) => Fact::Absent,
            Err(reason) => Fact::Unknown(reason),
        }
    }

    /// Whether the executable has that very name: `exec -a kubelet sudo` does not make sudo the kubelet.
    fn runs_file(&self, folder: &Path, name: &str) -> bool {
        let Ok(target) = std::fs::read_link(folder.join("exe")) else {
            return false;
        };
        let file = target.file_name().map(|file| file.to_string_lossy().into_owned());
        // A binary that was replaced since the start is marked so.
        file.is_some_and(|file| file.trim_end_matches(" (deleted)") == name)
    }

    fn folder(&self, pid: i32) -> PathBuf {
        self.proc_folder.join(pid.to_string())
    }

    /// Under `hidepid` an ordinary user sees their own processes only: everything would look as if it were not running.
    fn base(&self) -> Result<Base, Reason> {
        let cgroup = text(&self.proc_folder.join("1/cgroup"))?;
        cgroup
            .map(|cgroup| Base::of_first_process(&cgroup))
            .ok_or_else(|| {
                Reason::new(format!(
                    "{} does not show process 1, so it may not show others either: run as root",
                    self.proc_folder.display()
                ))
            })
    }

    fn uptime_ms(&self) -> Result<u64, Reason> {
        let path = self.proc_folder.join("uptime");
        let uptime = text(&path)?.ok_or_else(|| {
            Reason::new(format!(
                "{} is not there: this is the file system of a node that is not running here",
                path.display()
            ))
        })?;
        uptime
            .split_whitespace()
            .next()
            .and_then(milliseconds)
            .ok_or_else(|| not_understood(&path))
    }

    fn pids(&self) -> Result<Vec<i32>, Reason> {
        let cannot =
            |error: io::Error| Reason::new(format!("cannot list {}: {error}", self.proc_folder.display()));
        let mut pids = Vec::new();
        for entry in std::fs::read_dir(&self.proc_folder).map_err(cannot)? {
            let name = entry.map_err(cannot)?.file_name();
            pids.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
        }
        Ok(pids)
    }

    /// The process with its start time; `None` when it is none of those looked for, or has ended.
    fn read(&self, pid: i32, base: &Base) -> Result<Option<(Process, u64)>, Reason> {
        let folder = self.folder(pid);
        if !argv(&folder)?.is_some_and(|argv| is_looked_for(&argv)) {
            return Ok(None);
        }
        // The rest lies between two looks at the start time, so that all of it is of one process, and the arguments are read again
        // within: between the two it could have been replaced by exec.
        let before = stat(&folder)?;
        let argv = argv(&folder)?.filter(|argv| is_looked_for(argv));
        let status = text(&folder.join("status"))?;
        let cgroup = text(&folder.join("cgroup"))?;
        let after = stat(&folder)?;
        let (Some(before), Some(argv), Some(status), Some(cgroup)) = (before, argv, status, cgroup) else {
            return Ok(None);
        };
        if before.zombie || after != Some(before) {
            return Ok(None);
        }
        let pod_uid = match Place::of(&cgroup, base) {
            Place::AnotherNode => return Ok(None),
            Place::Pod(uid) => Some(uid),
            Place::Host => None,
        };
        let uid = real_uid(&status).ok_or_else(|| not_understood(&folder.join("status")))?;
        let id = ProcessId {
            pid,
            start_ticks: before.start_ticks,
        };
        let process = Process {
            id,
            argv,
            uid,
            age_ms: 0,
            pod_uid,
        };
        Ok(Some((process, before.start_ticks)))
    }
}

impl Table {
    /// The processes of that component's static pod: started under its name, in the cgroup of a static pod (whose UID is a hash of
    /// 32 hexadecimal digits) or of the pod with the UID `own_uid`, and in no pod within a pod.
    #[must_use]
    pub fn of_component(&self, component: Component, own_uid: Option<&str>) -> Vec<Process> {
        let is_static = |uid: &str| {
            Some(uid) == own_uid || (uid.len() == 32 && uid.bytes().all(|b| b.is_ascii_hexdigit()))
        };
        self.named(component.name())
            .filter(|process| process.pod_uid.as_deref().is_some_and(is_static))
            .cloned()
            .collect()
    }

    /// The processes whose first argument's last path component is `name`, outside of any pod.
    #[must_use]
    pub fn of_host(&self, name: &str) -> Vec<Process> {
        self.named(name)
            .filter(|process| process.pod_uid.is_none())
            .cloned()
            .collect()
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Process> {
        self.processes
            .iter()
            .filter(move |process| base_name(&process.argv) == Some(name))
    }
}

fn base_name(argv: &[String]) -> Option<&str> {
    argv.first().and_then(|first| first.rsplit('/').next())
}

fn is_looked_for(argv: &[String]) -> bool {
    base_name(argv).is_some_and(|name| NAMES.contains(&name))
}

/// The arguments; `None` when there are none (a kernel thread, a zombie) or the process has ended.
fn argv(folder: &Path) -> Result<Option<Vec<String>>, Reason> {
    let Some(bytes) = looked_for_command_line(&folder.join("cmdline"))? else {
        return Ok(None);
    };
    let whole = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    if whole.is_empty() {
        return Ok(None);
    }
    let words = whole.split(|byte| *byte == 0);
    Ok(Some(
        words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect(),
    ))
}

/// A command line, whole if the process is one that is looked for; of any other only its beginning is read: anybody can start
/// thousands of processes with megabytes of arguments.
fn looked_for_command_line(path: &Path) -> Result<Option<Vec<u8>>, Reason> {
    use std::io::Read as _;
    let failed = |error: io::Error| Reason::new(format!("cannot read {}: {error}", path.display()));
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if has_ended(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::with_capacity(PAGE);
    let mut read = |limit: u64| match (&file).take(limit).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes.split(|byte| *byte == 0).next().map(<[u8]>::to_vec)),
        Err(error) if has_ended(&error) => Ok(None),
        Err(error) => Err(failed(error)),
    };
    let Some(first) = read(COMMAND_LINE_BEGINNING)? else {
        return Ok(None);
    };
    if is_looked_for(&[String::from_utf8_lossy(&first).into_owned()]) {
        read(COMMAND_LINE_MOST)?;
    }
    Ok(Some(bytes))
}

fn stat(folder: &Path) -> Result<Option<Stat>, Reason> {
    let path = folder.join("stat");
    text(&path)?
        .map(|stat| parse_stat(&stat).ok_or_else(|| not_understood(&path)))
        .transpose()
}

/// State and start time (fields 3 and 22). The name before them is in parentheses and may hold anything, also parentheses.
fn parse_stat(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let start_ticks = fields.nth(18)?.parse().ok()?;
    Some(Stat {
        zombie: matches!(state, "Z" | "X"),
        start_ticks,
    })
}

fn real_uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `12.34` seconds as 12340.
fn milliseconds(seconds: &str) -> Option<u64> {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(1000)?.checked_add(thousandths.parse().ok()?)
}

fn ticks_per_second() -> Result<u64, Reason> {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
        .ok()
        .flatten()
        .and_then(|ticks| u64::try_from(ticks).ok());
    ticks
        .filter(|ticks| *ticks > 0)
        .ok_or_else(|| Reason::new("the system does not tell its clock ticks per second (sysconf CLK_TCK)"))
}

fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ESRCH)
}

/// The content of a file of `/proc`; `None` when the process has ended.
fn bytes(path: &Path) -> Result<Option<Vec<u8>>, Reason> {
    use std::io::Read as _;
    let mut bytes = Vec::with_capacity(PAGE);
    match std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if has_ended(&error) => Ok(None),
        Err(error) => Err(Reason::new(format!("cannot read {}: {error}", path.display()))),
    }
}

fn text(path: &Path) -> Result<Option<String>, Reason> {
    Ok(bytes(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn not_understood(path: &Path) -> Reason {
    Reason::new(format!(
        "{} does not look as the kernel writes it",
        path.display()
    ))
}

#[cfg(test)]
mod tests;
