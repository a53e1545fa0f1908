//! How long a whole `holdfast check` takes, as a process: `cargo bench --bench check` on a simulated node, and
//! `cargo bench --bench check -- /usr/bin/holdfast check` on the node that it is run on. With `kube-bench` on the PATH its time is
//! measured in the same run.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a benchmark starts programs, watches the clock and prints"
)]

mod times;
#[path = "../world/mod.rs"]
mod world;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use times::{given, median, tell};
use world::World;

const RUNS: usize = 100;
/// kube-bench takes a second or more.
const RUNS_OF_PEER: usize = 10;

fn main() {
    let given = given();
    let world = given.is_empty().then(World::new);
    let command = world.as_ref().map_or(given, |world| {
        let root = world
            .root()
            .to_str()
            .expect("a temporary folder has a plain name")
            .to_owned();
        [
            env!("CARGO_BIN_EXE_holdfast").to_owned(),
            "--root".to_owned(),
            root,
            "check".to_owned(),
        ]
        .into()
    });
    println!("{}", command.join(" "));
    // Drift is no failure of a check.
    let times = measure(&command, RUNS, 63);
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN)
        .expect("the kernel counts")
        .max_rss();
    tell("holdfast check", &times);
    // The kernel counts the moment before the program starts as well, when this process is still in it.
    println!("  peak memory {:.1} MB at most", kib_as_mb(peak));

    let peer = ["kube-bench", "run", "--targets", "master,etcd,controlplane,node"].map(str::to_owned);
    if !is_on_path("kube-bench") {
        println!("kube-bench is not on the PATH: no comparison");
        return;
    }
    let of_peer = measure(&peer, RUNS_OF_PEER, 0);
    tell("kube-bench", &of_peer);
    println!(
        "  ratio of the medians: {:.1}",
        median(&of_peer).as_secs_f64() / median(&times).as_secs_f64()
    );
}

/// The wall times of that many runs, sorted; one more comes first, to fill the caches. A greater exit code than that is a failure.
fn measure(command: &[String], runs: usize, most: i32) -> Vec<Duration> {
    let (program, arguments) = command.split_first().expect("a program");
    let run = || {
        let began = Instant::now();
        let ended = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("the program starts");
        let took = began.elapsed();
        assert!(
            ended.code().is_some_and(|code| code <= most),
            "{program}: {ended}"
        );
        took
    };
    run();
    let mut times: Vec<Duration> = (0..runs).map(|_| run()).collect();
    times.sort_unstable();
    times
}

fn kib_as_mb(kib: i64) -> f64 {
    f64::from(i32::try_from(kib).unwrap_or(i32::MAX)) * 1024.0 / 1e6
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
