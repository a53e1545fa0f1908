//! The daemon's metrics, written by the daemon itself in a process of its own on a simulated node: that they are true, that writing them
//! wakes nobody, and that what cannot be written stops nothing.
#![cfg(feature = "failpoints")]
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test touches the node from outside, starts a process, and fails loudly"
)]

mod operator;
mod rotating;
mod world;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holdfast::adapters::Node;
use holdfast::adapters::journal_store::JournalStore;
use holdfast::adapters::lock::Held;
use holdfast::domain::{Component, Provider};
use holdfast::plan::Verdict;
use holdfast::rotate::{Rotator, To, status};
use holdfast::rotation::Consent;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use operator::Operator;
use rotating::Run;
use world::encrypted::{Cluster, Loads};
use world::{Options, World, node_at, one_node};

/// Where the child finds the node.
const ROOT: &str = "HOLDFAST_METRICS_ROOT";
const SOON: Duration = Duration::from_secs(30);
/// A loop of writing and waking would show within it: longer than what was just written stays as it is.
const QUIET: Duration = Duration::from_secs(7);
const FILE: &str = "/var/lib/holdfast/metrics.prom";
const CONFIG: &str = "/etc/holdfast/config.yaml";
const ADMIN: &str = "/etc/kubernetes/admin.conf";

#[test]
#[ignore = "the daemon that the other tests start"]
fn child_daemon() {
    if std::env::var_os(ROOT).is_some() {
        holdfast::cli::main_on(simulated, &["run"]);
    }
}

#[test]
#[ignore = "the daemon that the test of a rotation starts, whose time passes"]
fn child_command() {
    rotating::child();
}

/// The node that the daemon of this process looks after.
fn simulated() -> Node {
    let root = PathBuf::from(std::env::var_os(ROOT).expect("the child has one"));
    node_at(&root, Arc::new(Mutex::new(one_node())))
}

/// A daemon in a process of its own.
struct Daemon<'w> {
    world: &'w World,
    child: Child,
}

impl<'w> Daemon<'w> {
    fn start(world: &'w World) -> Self {
        let said = std::fs::File::create(world.root().join("said")).expect("a writable folder");
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "child_daemon", "--ignored", "--nocapture"])
            .env(ROOT, world.root())
            .stdout(said.try_clone().expect("a descriptor"))
            .stderr(said)
            .spawn()
            .expect("this test can be started");
        Self { world, child }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.world.root().join("said")).unwrap_or_default()
    }

    /// One that walks a rotation, in a process whose time passes.
    fn walking(cluster: &'w Cluster) -> Self {
        let run = Run {
            words: "run",
            ..Run::default()
        };
        Self {
            world: &cluster.world,
            child: run.start(cluster),
        }
    }

    /// Waits until that stands in the metrics.
    fn await_line(&self, line: &str) {
        self.await_that(line, |world| {
            text(world, FILE).is_some_and(|text| text.lines().any(|found| found == line))
        });
    }

    fn await_that(&self, what: &str, so: impl Fn(&World) -> bool) {
        let metrics = || text(self.world, FILE).unwrap_or_default();
        assert!(
            self.world.wait_until(SOON, so),
            "{what}: {}{}",
            self.said(),
            metrics()
        );
    }

    /// Has it read its configuration again.
    fn reload(&self, config: &str) {
        std::fs::write(self.world.path(CONFIG), config).expect("a file of ours");
        let pid = i32::try_from(self.child.id()).expect("a process number");
        kill(Pid::from_raw(pid), Signal::SIGHUP).expect("a child of ours");
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn text(world: &World, file: &str) -> Option<String> {
    std::fs::read_to_string(world.path(file)).ok()
}

/// What a sample is at.
fn value(world: &World, sample: &str) -> Option<u64> {
    let text = text(world, FILE)?;
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(sample)?.trim_start().parse().ok())
}

/// The metrics once they have been the same for a while.
fn at_rest(daemon: &Daemon<'_>) -> String {
    let deadline = Instant::now() + 2 * SOON;
    let mut last = text(daemon.world, FILE);
    loop {
        std::thread::sleep(QUIET);
        let now = text(daemon.world, FILE);
        match now {
            Some(now) if Some(&now) == last.as_ref() => return now,
            now => last = now,
        }
        assert!(
            Instant::now() < deadline,
            "they are written again and again: {last:?}"
        );
    }
}

fn configured(config: &str) -> World {
    World::with(Options {
        config: Some(config.to_owned()),
        ..Options::default()
    })
}

fn set_mode(world: &World, path: &str, mode: u32) {
    std::fs::set_permissions(world.path(path), std::fs::Permissions::from_mode(mode))
        .expect("a file of ours");
}

fn mode(world: &World, path: &str) -> u32 {
    let facts = std::fs::metadata(world.path(path)).expect("it is there");
    facts.permissions().mode() & 0o7777
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("it is there");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_quiet_node_has_true_metrics_that_everybody_may_read_and_writing_them_wakes_nobody() {
    let world = World::new();
    let daemon = Daemon::start(&world);
    daemon.await_line("holdfast_enforcing 0");
    let quiet = at_rest(&daemon);
    assert_eq!(mode(&world, FILE), 0o644);
    let drafts: Vec<String> = names(&world.path("/var/lib/holdfast"));
    assert!(!drafts.iter().any(|name| name.ends_with(".tmp")), "{drafts:?}");

    let looked = Operator::new(world.node(), "").check();
    let drifting: Vec<&str> = looked
        .findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Drift)
        .map(|finding| finding.id().as_str())
        .collect();
    let mut lines = vec![
        format!("holdfast_controls{{verdict=\"drift\"}} {}", drifting.len()),
        "holdfast_pass_failures_total 0".to_owned(),
        "holdfast_paused 0".to_owned(),
        "holdfast_change_in_flight 0".to_owned(),
        "holdfast_manifest_out{component=\"kube-apiserver\"} 0".to_owned(),
        "holdfast_rotation_active 0".to_owned(),
    ];
    lines.extend(
        drifting
            .iter()
            .map(|id| format!("holdfast_control_drift{{control=\"{id}\"}} 1")),
    );
    for line in &lines {
        assert!(quiet.lines().any(|found| found == line), "{line} in {quiet}");
    }
    let expires =
        "holdfast_certificate_expiry_timestamp_seconds{file=\"/etc/kubernetes/pki/apiserver.crt\"} ";
    assert!(quiet.contains(expires), "{quiet}");
    assert!(!daemon.said().contains("metrics"), "{}", daemon.said());
}

#[test]
fn a_change_a_refused_reload_and_another_file_show() {
    let world = configured("mode: enforce\n");
    let daemon = Daemon::start(&world);
    daemon.await_line("holdfast_enforcing 1");
    // Whatever a fresh node needs is made by then.
    at_rest(&daemon);
    let made = |world: &World| value(world, "holdfast_changes_total{result=\"made\"}");
    let before = made(&world).expect("it is told");
    set_mode(&world, ADMIN, 0o644);
    daemon.await_that("it is mended", |world| mode(world, ADMIN) == 0o600);
    daemon.await_that("it is counted", |world| made(world) == Some(before + 1));

    daemon.reload("mode: enforced\n");
    daemon.await_line("holdfast_configuration_last_reload_successful 0");
    let elsewhere = "/srv/metrics/holdfast.prom";
    std::fs::create_dir_all(world.path("/srv/metrics")).expect("a folder of ours");
    daemon.reload(&format!("metrics: {{ textfile: {elsewhere} }}\n"));
    daemon.await_that("it is written elsewhere, and the former is gone", |world| {
        let is_taken = |text: String| text.contains("holdfast_configuration_last_reload_successful 1\n");
        text(world, elsewhere).is_some_and(is_taken) && text(world, FILE).is_none()
    });
    daemon.reload("metrics: { textfile: off }\n");
    daemon.await_that("it is gone", |world| text(world, elsewhere).is_none());
    assert!(!daemon.said().contains("are not written"), "{}", daemon.said());
    drop(daemon);

    // What a daemon of before wrote would tell for ever that none runs.
    std::fs::write(world.path(FILE), "holdfast_enforcing 1\n").expect("a folder of ours");
    let daemon = Daemon::start(&world);
    daemon.await_that("it is gone", |world| text(world, FILE).is_none());
}

#[test]
fn metrics_that_cannot_be_written_are_told_once_and_stop_nothing() {
    let guarded = "/etc/kubernetes/pki/etcd/holdfast.prom";
    for (file, why) in [
        ("/nowhere/holdfast.prom", "No such file or directory"),
        (guarded, "lies in a folder that is guarded"),
    ] {
        let world = configured(&format!("mode: enforce\nmetrics: {{ textfile: {file} }}\n"));
        let daemon = Daemon::start(&world);
        for _ in 0..3 {
            daemon.await_that("it is mended", |world| mode(world, ADMIN) == 0o600);
            set_mode(&world, ADMIN, 0o666);
            daemon.await_that("it is mended again", |world| mode(world, ADMIN) == 0o600);
            std::thread::sleep(Duration::from_secs(1));
        }
        daemon.await_that("it is told", |_| {
            daemon.said().contains("the metrics are not written")
        });
        std::thread::sleep(Duration::from_secs(6));
        let said = daemon.said();
        assert_eq!(said.matches("the metrics are not written").count(), 1, "{said}");
        assert!(said.contains(why), "{said}");
        assert!(!world.path(file).exists() && !world.path(FILE).exists());
    }
}

#[test]
fn a_manifest_that_stays_out_of_its_folder_shows() {
    let world = World::new();
    let manifest = world.manifest(Component::Scheduler);
    // A folder in the place where it would lie cannot be put back.
    let out = world.path("/etc/kubernetes/kube-scheduler.yaml.holdfast-out");
    std::fs::create_dir(&out).expect("a folder of ours");
    std::fs::rename(&manifest, out.join("kept")).expect("a file of ours");
    let daemon = Daemon::start(&world);
    daemon.await_line("holdfast_manifest_out{component=\"kube-scheduler\"} 1");
    std::fs::rename(out.join("kept"), &manifest).expect("a file of ours");
    daemon.await_line("holdfast_manifest_out{component=\"kube-scheduler\"} 0");
}

/// Does something with the journal, as a command does.
fn with_journal<T>(node: &Node, act: impl FnOnce(&Held, &mut JournalStore) -> T) -> T {
    let held = Held::take(&node.here(&node.layout.run), SOON).expect("the daemon leaves it free");
    let now = node.clock.now();
    let mut journal = JournalStore::open(&node.files, &node.layout, &held, now).expect("a journal");
    act(&held, &mut journal)
}

#[test]
fn a_rotation_shows_while_it_waits_for_the_operator_and_at_its_end() {
    let cluster = Cluster::new(Loads::ByItself, &["default/a", "kube-system/b"], None);
    cluster.serving();
    let node = node_at(cluster.world.root(), Arc::new(Mutex::new(one_node())));
    let mut rotator = Rotator::new(&node).expect("an event loop");
    let begun = with_journal(&node, |held, journal| {
        rotator.begin(held, journal, To::NewKey(Provider::Aescbc), Consent::Ask)
    });
    let rotation = begun.expect("nothing forbids it").id;
    let daemon = Daemon::walking(&cluster);
    daemon.await_line("holdfast_rotation_stands_still 1");
    daemon.await_line("holdfast_rotation_active 1");
    daemon.await_line("holdfast_rotation_stage 2");
    let rewritten = value(&cluster.world, "holdfast_values_rewritten_total");
    assert!(rewritten.is_some_and(|values| values >= 2), "{}", daemon.said());

    with_journal(&node, |held, journal| {
        rotator.allow_cut(held, journal).expect("it is under way");
        let request = status::Request {
            rotation,
            any_time: false,
            since_boot_ms: node.clock.now().since_boot_ms,
        };
        status::ask(&node, held, &request).expect("a writable folder");
    });
    daemon.await_line("holdfast_rotation_active 0");
    daemon.await_line("holdfast_rotation_stands_still 0");
    let text = text(&cluster.world, FILE).expect("it is there");
    assert!(!text.contains("holdfast_rotation_stage"), "{text}");
    let since = "holdfast_encryption_write_key_since_timestamp_seconds ";
    assert!(text.lines().any(|line| line.starts_with(since)), "{text}");
    // Which keys there are is nobody's business who reads that file.
    assert!(!text.contains("aescbc") && !text.contains("hf"), "{text}");
}
