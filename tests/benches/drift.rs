//! How long a drift lasts while the daemon watches: `cargo bench --bench drift`. A thousand times a mode is opened up, on many
//! files in turn and on one file, and the time is taken until it is tight again.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark drifts the node from outside, watches the clock and prints"
)]

#[path = "../operator/mod.rs"]
mod operator;
#[path = "../world/mod.rs"]
mod world;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use operator::Operator;
use world::World;

const DRIFTS: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(20);
const CONFIG: &str = "mode: enforce\n";
const FILES: [&str; 12] = [
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/super-admin.conf",
    "/etc/kubernetes/controller-manager.conf",
    "/etc/kubernetes/scheduler.conf",
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/pki/apiserver.key",
    "/etc/kubernetes/pki/sa.key",
    "/etc/kubernetes/pki/etcd/peer.key",
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/etc/kubernetes/manifests/etcd.yaml",
    "/var/lib/kubelet/config.yaml",
    "/usr/lib/systemd/system/kubelet.service",
];

fn main() {
    let world = World::new();
    Operator::new(world.node(), CONFIG).apply();
    std::thread::scope(|scope| {
        let daemon = scope.spawn(|| Operator::new(world.node(), CONFIG).run_daemon());
        let files: Vec<PathBuf> = FILES.iter().map(|file| world.path(file)).collect();
        // The first drift waits for the daemon's start.
        let all_mended = files.iter().all(|file| drift(file).is_some())
            && tell("many files in turn", files.iter().cycle())
            && tell("one file", files.iter().take(1).cycle());
        nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGTERM)
            .expect("a process may signal itself");
        daemon
            .join()
            .expect("the daemon does not panic")
            .expect("the daemon ran");
        assert!(all_mended, "a drift was not mended");
    });
}

/// False when a drift was not mended.
fn tell<'a>(name: &str, files: impl Iterator<Item = &'a PathBuf>) -> bool {
    let mut times = Vec::with_capacity(DRIFTS);
    for (number, file) in files.take(DRIFTS).enumerate() {
        // Uneven pauses, so that drifts and passes do not fall into step.
        std::thread::sleep(Duration::from_millis(5 + (number as u64 * 37) % 50));
        let Some(time) = drift(file) else { return false };
        times.push(time);
    }
    times.sort_unstable();
    let ms = |index: usize| times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    println!(
        "drift to mended, {name}, {DRIFTS} times: median {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        ms(DRIFTS / 2),
        ms(DRIFTS * 99 / 100),
        ms(DRIFTS - 1)
    );
    true
}

/// Opens the file's mode up; how long it stays so, or nothing when it stays so.
fn drift(file: &Path) -> Option<Duration> {
    let mode = || {
        let facts = std::fs::metadata(file).expect("it is there");
        facts.permissions().mode() & 0o7777
    };
    let tight = mode();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o666)).expect("a file of ours");
    let began = Instant::now();
    while mode() != tight {
        if began.elapsed() > PATIENCE {
            println!("{} is not mended", file.display());
            return None;
        }
        std::thread::yield_now();
    }
    Some(began.elapsed())
}
