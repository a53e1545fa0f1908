//! A `/proc` of the node: what Holdfast reads of a process, and no more.
//!
//! The numbers are above the kernel's largest (2^22): whatever is done to one of these processes by number cannot hit a
//! real one.

use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use super::NODE_NAME;

const FIRST_PID: i32 = 5_000_000;
/// The node has been up this much longer than the machine that runs the test, so that old processes can be planted.
const UP_LONGER: Duration = Duration::from_hours(24);

/// The mark of a process that was sent SIGKILL.
pub const KILLED: &str = "killed";

/// The folder.
pub struct ProcFolder {
    folder: PathBuf,
    next_pid: AtomicI32,
}

/// A process to be.
pub struct Program {
    /// Its arguments.
    pub argv: Vec<String>,
    /// Its executable, a path of the machine that runs the test.
    pub executable: PathBuf,
    /// Its cgroup (version 2).
    pub cgroup: String,
    /// Its user id.
    pub uid: u32,
    /// How long it has been running.
    pub age: Duration,
}

impl ProcFolder {
    pub fn new(root: &Path) -> Self {
        let folder = root.join("proc");
        std::fs::create_dir(&folder).expect("a new folder");
        let this = Self {
            folder,
            next_pid: AtomicI32::new(FIRST_PID),
        };
        this.refresh_uptime();
        let kernel = this.folder.join("sys/kernel");
        std::fs::create_dir_all(&kernel).expect("a new folder");
        std::fs::write(kernel.join("hostname"), format!("{NODE_NAME}\n")).expect("a new file");
        let init = Program {
            argv: vec!["/sbin/init".to_owned()],
            executable: root.join("usr/lib/systemd/systemd"),
            cgroup: "/init.scope".to_owned(),
            uid: 0,
            age: UP_LONGER,
        };
        this.put(1, &init);
        let kernel_thread = Program {
            argv: Vec::new(),
            executable: PathBuf::new(),
            cgroup: "/".to_owned(),
            uid: 0,
            age: UP_LONGER,
        };
        this.put(2, &kernel_thread);
        this
    }

    /// Starts a process; its number.
    pub fn start(&self, program: &Program) -> i32 {
        // The kernel counts on, with gaps.
        let pid = self.next_pid.fetch_add(3, Ordering::Relaxed);
        self.put(pid, program);
        pid
    }

    /// Ends a process. Readers see its folder whole or not at all.
    pub fn end(&self, pid: i32) {
        let gone = self.folder.join(format!(".gone-{pid}"));
        if std::fs::rename(self.folder.join(pid.to_string()), &gone).is_ok() {
            std::fs::remove_dir_all(&gone).expect("a folder of ours");
        }
    }

    pub fn is_killed(&self, pid: i32) -> bool {
        self.folder.join(pid.to_string()).join(KILLED).exists()
    }

    /// Lets the time since boot go on.
    pub fn refresh_uptime(&self) {
        let up = uptime();
        let text = format!(
            "{}.{:02} {}.00\n",
            up.as_secs(),
            up.subsec_millis() / 10,
            up.as_secs()
        );
        let new = self.folder.join(".uptime");
        std::fs::write(&new, text).expect("the world's folder is writable");
        std::fs::rename(&new, self.folder.join("uptime")).expect("the world's folder is writable");
    }

    fn put(&self, pid: i32, program: &Program) {
        let new = self.folder.join(format!(".new-{pid}"));
        std::fs::create_dir(&new).expect("a new process number");
        let write = |name: &str, text: &str| {
            std::fs::write(new.join(name), text).expect("the world's folder is writable");
        };
        let comm = comm(program);
        let mut cmdline = program.argv.join("\0");
        if !cmdline.is_empty() {
            cmdline.push('\0');
        }
        write("cmdline", &cmdline);
        write("comm", &format!("{comm}\n"));
        write("cgroup", &format!("0::{}\n", program.cgroup));
        write("stat", &stat(pid, &comm, program.age));
        write("status", &status(pid, &comm, program.uid));
        if !program.executable.as_os_str().is_empty() {
            symlink(&program.executable, new.join("exe")).expect("a new link");
        }
        std::fs::rename(&new, self.folder.join(pid.to_string())).expect("a new process number");
    }
}

fn uptime() -> Duration {
    let text = std::fs::read_to_string("/proc/uptime").expect("Linux");
    let seconds: f64 = text
        .split(' ')
        .next()
        .expect("a first word")
        .parse()
        .expect("a number");
    Duration::from_secs_f64(seconds) + UP_LONGER
}

/// The name, as the kernel cuts it.
fn comm(program: &Program) -> String {
    let name = program.argv.first().map_or("kthreadd", String::as_str);
    name.rsplit('/').next().unwrap_or(name).chars().take(15).collect()
}

/// The 52 fields of `/proc/PID/stat`; the start time is the 22nd, in hundredths of a second since boot.
fn stat(pid: i32, comm: &str, age: Duration) -> String {
    let start = uptime().saturating_sub(age).as_millis() / 10;
    let mut text = format!("{pid} ({comm}) S 1 {pid} {pid} 0 -1 4194560");
    for field in 10..=52 {
        let value = match field {
            18 => 20,
            20 => 1,
            22 => start,
            _ => 0,
        };
        write!(text, " {value}").expect("a string");
    }
    text.push('\n');
    text
}

fn status(pid: i32, comm: &str, uid: u32) -> String {
    format!(
        "Name:\t{comm}\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t{pid}\nNgid:\t0\nPid:\t{pid}\nPPid:\t1\nTracerPid:\t0\n\
         Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{uid}\t{uid}\t{uid}\t{uid}\nFDSize:\t64\nGroups:\t \nNSpid:\t{pid}\t1\nThreads:\t1\n"
    )
}
