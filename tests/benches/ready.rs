//! How long the daemon takes from its start to READY: as root on a node, while the service is stopped, `cargo bench --bench ready --
//! /usr/bin/holdfast run`. Its first pass is in that: it is ready when it has looked at the whole node. A whole `check` by the same program is what
//! it is held against.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a benchmark starts programs, watches the clock and prints"
)]

mod times;

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use times::{given, median, tell};

const RUNS: usize = 30;
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let run = given();
    let Some((last, others)) = run.split_last() else {
        println!("ready: not measured, it takes the command of the daemon on a node: /usr/bin/holdfast run");
        return;
    };
    assert_eq!(last, "run", "the command of the daemon");
    let check: Vec<String> = others.iter().cloned().chain(["check".to_owned()]).collect();

    println!("{}", run.join(" "));
    let ready = sorted(|| until_ready(&run));
    let checked = sorted(|| until_checked(&check));
    tell("start to READY", &ready);
    tell("holdfast check", &checked);
    println!(
        "  ratio of the medians: {:.1}",
        median(&ready).as_secs_f64() / median(&checked).as_secs_f64()
    );
}

/// From the start of the program to the datagram that says READY=1 (sd_notify(3)).
fn until_ready(command: &[String]) -> Duration {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    let (program, arguments) = command.split_first().expect("a program");
    let began = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .env("NOTIFY_SOCKET", &path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut bytes = [0; 4096];
    let took = loop {
        let length = socket.recv(&mut bytes).expect("it tells");
        let told = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned();
        if told.lines().any(|line| line == "READY=1") {
            break began.elapsed();
        }
    };
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    kill(pid, Signal::SIGTERM).expect("it runs");
    child.wait().expect("it ends");
    took
}

fn until_checked(command: &[String]) -> Duration {
    let (program, arguments) = command.split_first().expect("a program");
    let began = Instant::now();
    let ended = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .expect("the program starts");
    assert!(ended.code().is_some_and(|code| code < 64), "{program}: {ended}");
    began.elapsed()
}

/// The times of many runs, sorted; one more comes first, to fill the caches.
fn sorted(run: impl Fn() -> Duration) -> Vec<Duration> {
    run();
    let mut times: Vec<Duration> = (0..RUNS).map(|_| run()).collect();
    times.sort_unstable();
    times
}
