//! The commands, run whole in a process of their own on a simulated node: what the operator is told and the exit code, and what becomes
//! of the node when the terminal or the journal is gone.
#![cfg(feature = "failpoints")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test touches the node from outside, starts a process, and fails loudly"
)]

mod operator;
mod world;

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holdfast::adapters::Node;
use holdfast::adapters::failpoint::{self, Kind, Side, Told};
use holdfast::adapters::lock::Held;
use holdfast::adapters::wakeups::{Wake, Wakeups};
use holdfast::domain::Component;

use operator::Operator;
use world::{World, node_at, one_node};

/// Where the child finds the node, what it runs, and whether its terminal goes.
const ROOT: &str = "HOLDFAST_COMMAND_ROOT";
const WORDS: &str = "HOLDFAST_COMMAND_WORDS";
const GOES: &str = "HOLDFAST_COMMAND_TERMINAL_GOES";
const SOON: Duration = Duration::from_secs(20);
/// No command here takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
const API_SERVER: Component = Component::ApiServer;
const OUT: &str = "/etc/kubernetes/kube-apiserver.yaml.holdfast-out";
/// Of what is mended, the API server's profiling alone.
const ONE_EDIT: &str = "controls:\n  CIS-1.3.2: { mode: off }\n  CIS-1.4.1: { mode: off }\n  CIS-4.1.1: { mode: off }\n  \
                        CIS-4.1.9: { mode: off }\n  X-FILE-01: { mode: off }\n  X-FILE-19: { mode: off }\n";

#[test]
#[ignore = "the process that the other tests start"]
fn child_command() {
    let (Some(root), Ok(words)) = (std::env::var_os(ROOT), std::env::var(WORDS)) else {
        return;
    };
    if std::env::var_os(GOES).is_some() {
        failpoint::observe(lose_terminal_when_out);
    }
    let words: Vec<&str> = words.split(' ').collect();
    let code = holdfast::cli::main_on(simulated, &words);
    std::fs::write(Path::new(&root).join("code"), code.to_string()).expect("a writable folder");
}

/// The node that the command of this process runs on.
fn simulated() -> Node {
    let root = PathBuf::from(std::env::var_os(ROOT).expect("the child has one"));
    node_at(&root, Arc::new(Mutex::new(one_node())))
}

/// Once a manifest is out, nobody can be told anything any more, and the process is asked to end.
fn lose_terminal_when_out(told: &Told) {
    let is_out = told.to.to_string_lossy().ends_with(".holdfast-out");
    if (told.kind, told.side) != (Kind::Rename, Side::After) || !is_out {
        return;
    }
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    nix::unistd::dup2_stdout(&full).expect("a descriptor");
    nix::unistd::dup2_stderr(&full).expect("a descriptor");
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).expect("a process may tell itself");
}

/// A command in a process of its own.
struct Running<'w> {
    world: &'w World,
    child: Child,
}

fn start<'w>(world: &'w World, words: &str, goes: bool) -> Running<'w> {
    let said = std::fs::File::create(world.root().join("said")).expect("a writable folder");
    drop(std::fs::remove_file(world.root().join("code")));
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command
        .args(["--exact", "child_command", "--ignored", "--nocapture"])
        .env(ROOT, world.root())
        .env(WORDS, words)
        .stdout(said.try_clone().expect("a descriptor"))
        .stderr(said);
    if goes {
        command.env(GOES, "1");
    }
    let child = command.spawn().expect("this test can be started");
    Running { world, child }
}

impl Running<'_> {
    /// What it exits with.
    fn code(mut self) -> u8 {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().expect("a child of ours").is_none() {
            assert!(Instant::now() < deadline, "it does not end: {}", said(self.world));
            std::thread::sleep(Duration::from_millis(5));
        }
        let code = std::fs::read_to_string(self.world.root().join("code"));
        let code = code.unwrap_or_else(|why| panic!("{why}: {}", said(self.world)));
        code.parse().expect("a code")
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the last command on the node said.
fn said(world: &World) -> String {
    std::fs::read_to_string(world.root().join("said")).unwrap_or_default()
}

fn code(world: &World, words: &str) -> u8 {
    start(world, words, false).code()
}

fn configured(config: &str) -> World {
    World::with(world::Options {
        config: Some(config.to_owned()),
        ..world::Options::default()
    })
}

fn is_back_and_ready(world: &World) -> bool {
    world.manifest(API_SERVER).exists() && world.wait_until(SOON, World::all_ready)
}

#[test]
fn a_terminal_that_goes_while_the_manifest_is_out_ends_neither_a_bounce_nor_an_apply_half_way() {
    for words in ["bounce kube-apiserver --yes --any-time", "apply --yes --any-time"] {
        let world = configured(ONE_EDIT);
        assert_eq!(start(&world, words, true).code(), 1, "it could not be told");
        assert!(is_back_and_ready(&world), "{words}");
        let journal = Operator::new(world.node(), "").journal();
        assert_eq!(journal.in_flight, None, "{words}");
        assert_eq!(world.starts(API_SERVER), 2, "{words}");
    }
}

/// A node whose API server's manifest is out, as a killed bounce leaves it.
fn left_out() -> World {
    let world = World::new();
    let operator = Operator::new(world.node(), "");
    operator.begin_bounce(API_SERVER).expect("a healthy node");
    assert!(world.path(OUT).exists() && !world.manifest(API_SERVER).exists());
    world
}

fn damage_journal(world: &World) {
    let journal = world.path("/var/lib/holdfast/journal");
    let text = std::fs::read_to_string(&journal).expect("it is there");
    std::fs::write(&journal, text + "no record\n").expect("a file of ours");
}

#[test]
fn a_journal_that_cannot_be_opened_keeps_no_manifest_out() {
    for words in [
        "apply --yes",
        "bounce kube-apiserver --yes",
        "bounce kube-scheduler --yes",
        "encryption rotate --yes",
        "encryption abort --yes",
        "recover",
    ] {
        let world = left_out();
        damage_journal(&world);
        let expected = u8::from(words != "recover");
        assert_eq!(code(&world, words), expected, "{words}: {}", said(&world));
        assert!(is_back_and_ready(&world), "{words}: {}", said(&world));
        assert!(
            said(&world).contains("the manifest of kube-apiserver is back"),
            "{words}"
        );
    }
}

#[test]
fn a_daemon_without_a_journal_puts_back_what_is_out() {
    let world = left_out();
    damage_journal(&world);
    let _running = start(&world, "run", false);
    let is_back = |world: &World| world.manifest(API_SERVER).exists() && world.all_ready();
    assert!(world.wait_until(SOON, is_back), "{}", said(&world));
}

#[test]
fn a_daemon_that_cannot_start_puts_back_what_is_out() {
    let world = left_out();
    // Where requests are to lie, there is a file.
    std::fs::write(world.path("/run/holdfast/requests"), "").expect("the folder of the lock");
    assert_eq!(code(&world, "run"), 1);
    assert!(is_back_and_ready(&world), "{}", said(&world));
}

#[test]
fn a_file_of_metrics_in_a_guarded_folder_is_refused_as_the_configuration_that_it_is() {
    let world = configured("metrics: { textfile: /etc/kubernetes/manifests/holdfast.prom }\n");
    assert_eq!(code(&world, "validate"), 78);
    assert!(
        said(&world).contains("lies in a folder that Holdfast watches"),
        "{}",
        said(&world)
    );
}

#[test]
fn recover_says_that_all_is_well_only_where_it_is() {
    let world = World::new();
    assert_eq!(code(&world, "recover"), 0);
    assert!(said(&world).contains("there is nothing to recover"));

    let (manifest, out) = (world.manifest(API_SERVER), world.path(OUT));
    let former = std::fs::read(&manifest).expect("it is there");
    std::fs::rename(&manifest, &out).expect("a file of ours");
    let in_its_place: [fn(&Path); 4] = [
        |path| std::fs::write(path, "").expect("writable"),
        |path| std::fs::write(path, "x: 1\n").expect("writable"),
        |path| std::os::unix::fs::symlink("/etc/hostname", path).expect("writable"),
        |path| std::fs::create_dir(path).expect("writable"),
    ];
    for put in in_its_place {
        put(&manifest);
        assert_eq!(code(&world, "recover"), 1, "{}", said(&world));
        let told = said(&world);
        assert!(told.contains(&format!("then mv {OUT} ")), "{told}");
        assert!(!told.contains("nothing to recover"), "{told}");
        if manifest.is_dir() {
            std::fs::remove_dir(&manifest).expect("it is empty");
        } else {
            std::fs::remove_file(&manifest).expect("a file of ours");
        }
    }
    assert_eq!(code(&world, "recover"), 0, "{}", said(&world));
    assert_eq!(std::fs::read(&manifest).expect("it is back"), former);
}

#[test]
fn recover_tells_what_it_cannot_see() {
    let world = World::new();
    let folder = world.path("/etc/kubernetes/manifests");
    let away = folder.with_file_name("away");
    std::fs::rename(&folder, &away).expect("a folder of ours");
    std::os::unix::fs::symlink(&away, &folder).expect("writable");
    assert_eq!(code(&world, "recover"), 1, "{}", said(&world));
    assert!(said(&world).contains("cannot be told"), "{}", said(&world));
}

#[test]
fn recover_names_the_newest_copy_of_a_manifest_that_is_nowhere_and_only_where_there_was_one() {
    let world = World::new();
    let manifest = world.manifest(Component::Etcd);
    std::fs::remove_file(&manifest).expect("a file of ours");
    assert_eq!(code(&world, "recover"), 0, "etcd may be elsewhere");
    let backups = world.path("/var/lib/holdfast/backups");
    std::fs::create_dir_all(&backups).expect("writable");
    for name in [
        "etcd.20260101T000000.000Z.aa.yaml",
        "etcd.20260301T000000.000Z.bb.yaml",
        "found.20260401T000000.000Z.etcd.yaml.holdfast-out",
    ] {
        std::fs::write(backups.join(name), "x").expect("writable");
    }
    assert_eq!(code(&world, "recover --quiet"), 0, "{}", said(&world));
    assert_eq!(code(&world, "recover"), 2, "{}", said(&world));
    let told = said(&world);
    let named = "install -o root -g root -m 0600 /var/lib/holdfast/backups/etcd.20260301T000000.000Z.bb.yaml /etc/kubernetes/manifests/etcd.yaml";
    assert!(told.contains(named), "{told}");
}

#[test]
fn a_bounce_first_puts_back_what_nobody_has_out() {
    let world = World::new();
    let before = std::fs::read(world.manifest(API_SERVER)).expect("it is there");
    std::fs::rename(world.manifest(API_SERVER), world.path(OUT)).expect("a file of ours");
    code(&world, "bounce kube-scheduler --yes --any-time");
    assert!(
        said(&world).contains("the manifest of kube-apiserver is back"),
        "{}",
        said(&world)
    );
    assert!(is_back_and_ready(&world));
    assert_eq!(
        std::fs::read(world.manifest(API_SERVER)).expect("it is back"),
        before
    );
}

#[test]
fn a_signal_from_before_a_wait_of_no_time_is_heard() {
    let mut wakeups = Wakeups::new().expect("signals");
    assert_eq!(wakeups.wait(Duration::ZERO), Wake::Timeout);
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).expect("a process may tell itself");
    assert_eq!(wakeups.wait(Duration::ZERO), Wake::Terminate);
    assert_eq!(wakeups.wait(Duration::ZERO), Wake::Timeout);
}

#[test]
fn who_waits_for_the_lock_is_told_for_whom() {
    let world = World::new();
    let node = world.node();
    let held = Held::take(&node.here(&node.layout.run), Duration::ZERO).expect("nobody holds it");
    let running = start(&world, "recover", false);
    let me = format!("(process {}): it is waited for", std::process::id());
    assert!(
        world.wait_until(SOON, |world| said(world).contains(&me)),
        "{}",
        said(&world)
    );
    drop(held);
    assert_eq!(running.code(), 0);
}
