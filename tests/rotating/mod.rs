//! The commands that change encryption, run whole in a process of their own on a simulated node, told of each failpoint and killed at one;
//! and what must hold of the node then.
#![allow(dead_code, reason = "each test crate uses a part of it")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails loudly"
)]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test touches the node from outside, starts a process to kill it, and lets its time pass"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};

use holdfast::adapters::Node;
use holdfast::adapters::clock::Clock;
use holdfast::adapters::failpoint::{self, Kind, Side, Told};
use holdfast::adapters::journal_store::JournalStore;
use holdfast::rotation::{History, Outcome};

use crate::world::at_rest::{AtRest, Key, key_of};
use crate::world::encrypted::{Cluster, STATE};
use crate::world::{node_at, one_node};

/// Where the child finds the node, what it runs, at which point it is killed, where it tells the points, and of which boot it is.
const ROOT: &str = "HOLDFAST_CRASH_ROOT";
const WORDS: &str = "HOLDFAST_CRASH_WORDS";
const KILL_AT: &str = "HOLDFAST_CRASH_KILL_AT";
const ASKED_TO_END_AT: &str = "HOLDFAST_CRASH_ASKED_TO_END_AT";
const POINTS: &str = "HOLDFAST_CRASH_POINTS";
const BOOT: &str = "HOLDFAST_CRASH_BOOT";
/// By how much the node's clock is ahead, below the root: it outlasts each process.
const AHEAD: &str = "ahead";
/// The exit code of the child's command, below the root.
const CODE: &str = "code";
/// Its peak memory in KiB, below the root.
const PEAK: &str = "peak";
/// No command here takes longer on a machine that does something.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a request of before may commit.
const DRAIN_MS: u64 = 61_000;

pub const ROTATE: &str = "encryption rotate --yes --any-time";
pub const DISABLE: &str = "encryption disable --yes --any-time";
pub const ABORT: &str = "encryption abort --yes --any-time";

static CLOCK: LazyLock<Arc<AtomicU64>> = LazyLock::new(Arc::default);

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was killed at the point that was asked for.
    Killed,
    /// By itself, with that code.
    Code(u8),
}

/// One command.
#[derive(Debug, Clone, Default)]
pub struct Run<'a> {
    pub words: &'a str,
    /// 1 is the first point that is passed; 0 is none.
    pub kill_at: usize,
    /// The boot that the node is in, if it is another one than this machine's.
    pub boot: Option<&'a str>,
    /// The point at which it is asked to end; 0 is none.
    pub asked_to_end_at: usize,
    /// How long it may take, if longer than others.
    pub patience: Option<Duration>,
}

impl Run<'_> {
    /// Starts it.
    pub fn start(&self, cluster: &Cluster) -> Child {
        let root = cluster.world.root();
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command
            .args(["--exact", "child_command", "--ignored", "--nocapture"])
            .env(ROOT, root)
            .env(WORDS, self.words)
            .env(KILL_AT, self.kill_at.to_string())
            .env(ASKED_TO_END_AT, self.asked_to_end_at.to_string())
            .env(POINTS, root.join("points"));
        let file = std::fs::File::create(root.join("said")).expect("a writable folder");
        command
            .stdout(file.try_clone().expect("a descriptor"))
            .stderr(file);
        if let Some(boot) = self.boot {
            command.env(BOOT, boot);
        }
        command.spawn().expect("this test can be started")
    }

    /// Runs it to its end, or to where it is killed.
    pub fn on(&self, cluster: &Cluster) -> Ended {
        let mut child = self.start(cluster);
        let deadline = Instant::now() + self.patience.unwrap_or(PATIENCE);
        let status = loop {
            match child.try_wait().expect("a child of ours") {
                Some(status) => break Some(status),
                None if Instant::now() >= deadline => break None,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        if status.is_none() {
            child.kill().expect("a child of ours");
            child.wait().expect("a child of ours");
        }
        if status.is_some_and(|status| status.signal() == Some(9)) {
            return Ended::Killed;
        }
        assert!(
            status.is_some_and(|status| status.success()),
            "{self:?}: {status:?}\n{}",
            said(cluster)
        );
        let code = std::fs::read_to_string(cluster.world.root().join(CODE));
        let code = code.unwrap_or_else(|why| panic!("{why}: {}", said(cluster)));
        Ended::Code(code.parse().expect("a code"))
    }
}

/// What the last command on the node said.
pub fn said(cluster: &Cluster) -> String {
    std::fs::read_to_string(cluster.world.root().join("said")).unwrap_or_default()
}

/// The points that the last command on the node passed, in order, as `before Rename`.
pub fn points(cluster: &Cluster) -> Vec<String> {
    let text = std::fs::read_to_string(cluster.world.root().join("points")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// What the ignored test `child_command` of each test crate does.
pub fn child() {
    let (Some(root), Ok(words)) = (std::env::var_os(ROOT), std::env::var(WORDS)) else {
        return;
    };
    let root = PathBuf::from(root);
    let number = |name| -> usize {
        let text = std::env::var(name).expect("a number");
        text.parse().expect("a number")
    };
    let (kill_at, asked_to_end_at) = (number(KILL_AT), number(ASKED_TO_END_AT));
    let told = std::fs::File::create(std::env::var_os(POINTS).expect("a path")).expect("a writable folder");
    let told = Mutex::new(told);
    let passed = AtomicUsize::new(0);
    failpoint::observe(move |point| {
        // After most acts nothing happens until the next one: its point is the same. A folder that is there is not made again.
        let is_told = match point.side {
            Side::Before => point.kind != Kind::MakeFolder || !point.path.exists(),
            Side::After => matches!(point.kind, Kind::Record | Kind::Rename | Kind::Patch),
        };
        // Nothing depends on the status file, which a boot takes away.
        let is_told = is_told && !is_of_run(&point.path);
        if !is_told {
            return;
        }
        let number = passed.fetch_add(1, Ordering::SeqCst) + 1;
        let mut told = told.lock().expect("no thread panics with it");
        writeln!(told, "{:?} {:?}", point.side, point.kind).expect("a writable file");
        if number == asked_to_end_at {
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).expect("a process may tell itself");
        }
        if number == kill_at {
            nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL)
                .expect("a process may kill itself");
        }
    });
    let ahead = std::fs::read_to_string(root.join(AHEAD)).unwrap_or_default();
    CLOCK.store(ahead.parse().unwrap_or(0), Ordering::SeqCst);
    std::thread::spawn({
        let root = root.clone();
        move || let_time_pass(&root)
    });
    let words: Vec<&str> = words.split(' ').collect();
    let code = holdfast::cli::main_on(simulated, &words);
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.split_whitespace().next());
    std::fs::write(root.join(PEAK), peak.expect("a number of kB")).expect("a writable folder");
    std::fs::write(root.join(CODE), code.to_string()).expect("a writable folder");
}

/// The most memory that the last command on the node had at any time.
pub fn peak_kib(cluster: &Cluster) -> u64 {
    let text = std::fs::read_to_string(cluster.world.root().join(PEAK)).expect("it came to its end");
    text.parse().expect("a number")
}

/// True for a path in the run-time folder.
pub fn is_of_run(path: &Path) -> bool {
    path.ancestors().any(|above| above.ends_with("run/holdfast"))
}

/// The root of the node, in a process that is no child.
static OWN_ROOT: OnceLock<PathBuf> = OnceLock::new();

/// Runs a command in this process, which may do so once, and tells each point to `observer`; the exit code.
pub fn observed(cluster: &Cluster, words: &str, observer: impl Fn(&Told) + Send + Sync + 'static) -> u8 {
    let root = OWN_ROOT.get_or_init(|| cluster.world.root().to_owned());
    assert_eq!(root, cluster.world.root(), "once only");
    failpoint::observe(observer);
    std::thread::spawn(|| let_time_pass(OWN_ROOT.get().expect("it was set")));
    let words: Vec<&str> = words.split(' ').collect();
    holdfast::cli::main_on(simulated, &words)
}

/// The node that a command of this process runs on.
fn simulated() -> Node {
    let root = OWN_ROOT.get().cloned();
    let root = root.unwrap_or_else(|| std::env::var_os(ROOT).expect("the child has one").into());
    let mut node = node_at(&root, Arc::new(Mutex::new(one_node())));
    node.clock = Clock::simulated(std::env::var(BOOT).ok(), Arc::clone(&CLOCK)).expect("Linux has a boot id");
    node
}

/// Whenever requests of before may still be under way, a minute passes.
fn let_time_pass(root: &Path) {
    let node = simulated();
    let mut waited_for = None;
    loop {
        let barrier = JournalStore::peek(&node.files, &node.layout)
            .ok()
            .and_then(|journal| journal.rotations.rotation?.barrier);
        if !root.exists() {
            return;
        }
        if let Some(barrier) = barrier.filter(|barrier| barrier.drained.is_none())
            && waited_for.as_ref() != Some(&barrier.at)
        {
            let ahead = CLOCK.fetch_add(DRAIN_MS, Ordering::SeqCst) + DRAIN_MS;
            std::fs::write(root.join(AHEAD), ahead.to_string()).expect("a writable folder");
            waited_for = Some(barrier.at);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the journal tells of rotations.
pub fn history(cluster: &Cluster) -> History {
    let node = cluster.world.node();
    let journal = JournalStore::peek(&node.files, &node.layout).expect("a journal that can be trusted");
    journal.rotations
}

/// Every key of the files of a folder of the key store.
fn stored(cluster: &Cluster, folder: &str) -> Vec<Key> {
    let Ok(entries) = std::fs::read_dir(cluster.world.root().join(STATE).join(folder)) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let whole = paths.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    whole
        .flat_map(|path| {
            let bytes = std::fs::read(&path).expect("it is there");
            let config = AtRest::parse(&bytes).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
            config.providers.into_iter().flatten().collect::<Vec<_>>()
        })
        .collect()
}

/// What must hold at any moment, also while nothing runs.
pub fn holds(cluster: &Cluster, point: &str) {
    let disk = cluster.on_disk();
    let configs: Vec<AtRest> = [Some(disk), cluster.loaded()].into_iter().flatten().collect();
    let values = cluster.values();
    for (key, value) in &values {
        for config in &configs {
            let names = config.names();
            assert!(
                config.open(value).is_some(),
                "{point}: {key} is under {}, not one of {names:?}",
                key_of(value)
            );
        }
    }
    // One name is one key, wherever it is.
    let mut named: BTreeMap<String, Key> = BTreeMap::new();
    let made = stored(cluster, "keys");
    let all = configs
        .iter()
        .flat_map(|config| config.providers.iter().flatten());
    let retained = stored(cluster, "retained");
    for key in all.chain(&made).chain(&retained) {
        let first = named.entry(key.name.clone()).or_insert_with(|| key.clone());
        assert_eq!(first.name, key.name, "{point}");
        assert!(first == key, "{point}: two keys have the name {}", key.name);
    }
    // A key that writes, or may, is stored.
    let used: BTreeSet<String> = values.iter().map(|(_, value)| key_of(value)).collect();
    let in_use = configs
        .iter()
        .flat_map(|config| config.names())
        .map(str::to_owned)
        .chain(used);
    for name in in_use.filter(|name| name.starts_with("hf")) {
        assert!(
            made.iter().any(|key| key.name == name),
            "{point}: {name} is not in the key store"
        );
    }
    assert_eq!(cluster.wrong(), Vec::<String>::new(), "{point}");
}

/// Brings what was begun to its end, by the same command; a rotation that was given up, since its key was lost, is begun anew.
pub fn brought_to_its_end(cluster: &Cluster, run: &Run<'_>, point: &str) {
    let before = history(cluster);
    if before.rotation.is_none() && before.last.is_some_and(|last| last.outcome != Outcome::Aborted) {
        return;
    }
    let mut ended = run.on(cluster);
    let is_given_up = |history: History| history.last.is_some_and(|last| last.outcome == Outcome::Aborted);
    if ended != Ended::Code(0) && is_given_up(history(cluster)) {
        ended = run.on(cluster);
    }
    assert_eq!(ended, Ended::Code(0), "{point}: {}", said(cluster));
}

/// Who writes when all is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// A key that Holdfast made, alone.
    NewKey,
    /// Nobody: plaintext, alone.
    Plaintext,
    /// What was before.
    Old,
}

/// What must hold when a walk is done.
pub fn is_done(cluster: &Cluster, writes: Writes, secrets: &BTreeMap<String, Vec<u8>>, point: &str) {
    holds(cluster, point);
    let disk = cluster.on_disk();
    assert_eq!(cluster.loaded().as_ref(), Some(&disk), "{point}");
    let names = disk.names();
    let writer = match (writes, names.as_slice()) {
        (Writes::NewKey, [name]) if name.starts_with("hf") => *name,
        (Writes::Plaintext, ["identity"]) => "identity",
        (Writes::Old, ["old", "identity"]) => "old",
        _ => panic!("{point}: {names:?}"),
    };
    for (key, value) in cluster.values() {
        assert_eq!(key_of(&value), writer, "{point}: {key}");
    }
    assert_eq!(&cluster.secrets(), secrets, "{point}");
    if writes != Writes::Old {
        assert!(
            stored(cluster, "retained").iter().any(|key| key.name == "old"),
            "{point}: the old key is not kept"
        );
    }
    let rotations = history(cluster);
    assert!(
        rotations.rotation.is_none() && rotations.last.is_some(),
        "{point}: {rotations:?}"
    );
    let drafts: Vec<PathBuf> = cluster
        .contents()
        .files
        .into_keys()
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'))
        })
        .collect();
    assert_eq!(drafts, Vec::<PathBuf>::new(), "{point}");
}

/// Sets a number to 0 when its thread panics.
struct OnPanic<'a>(&'a AtomicUsize);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(0, Ordering::SeqCst);
        }
    }
}

/// Works through numbers, some at a time, until one says that there are no more.
pub fn side_by_side(begin: usize, stride: usize, work: impl Fn(usize) -> bool + Sync) -> usize {
    const WORKERS: usize = 4;
    let next = AtomicUsize::new(0);
    let end = AtomicUsize::new(usize::MAX);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                // One that fails ends the others.
                let _alarm = OnPanic(&end);
                loop {
                    let number = begin + next.fetch_add(1, Ordering::SeqCst) * stride;
                    if number >= end.load(Ordering::SeqCst) {
                        return;
                    }
                    if !work(number) {
                        end.fetch_min(number, Ordering::SeqCst);
                        return;
                    }
                }
            });
        }
    });
    end.load(Ordering::SeqCst)
}
