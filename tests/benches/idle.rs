//! What an idle daemon costs: `cargo bench --bench idle -- $(systemctl show --property MainPID --value holdfast)` watches the running
//! one from outside, five minutes or as many seconds as a second argument says.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark reads /proc, waits and prints"
)]

use std::time::{Duration, Instant};

const FIVE_MINUTES: u64 = 300;

fn main() {
    // Cargo's own argument comes first.
    let given: Vec<u64> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .map(|word| {
            word.parse()
                .expect("the PID of a daemon, and for how many seconds it is watched")
        })
        .collect();
    let Some(&pid) = given.first() else {
        println!("idle: not measured, it takes the PID of a running daemon");
        return;
    };
    let seconds = given.get(1).copied().unwrap_or(FIVE_MINUTES);
    let (began, before) = (Instant::now(), ticks(pid));
    std::thread::sleep(Duration::from_secs(seconds));
    let (took, after) = (began.elapsed(), ticks(pid));
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
        .expect("the kernel says")
        .expect("it has ticks");
    let per_second = f64::from(i32::try_from(per_second).expect("a hundred or so"));
    let used = f64::from(u32::try_from(after - before).expect("a few")) / per_second;
    println!(
        "idle daemon over {:.0} s: {:.2} s of CPU, {:.3} % of a core; memory {:.1} MB, {:.1} MB at most since its start",
        took.as_secs_f64(),
        used,
        100.0 * used / took.as_secs_f64(),
        memory(pid, "VmRSS:"),
        memory(pid, "VmHWM:"),
    );
}

/// What it has run, in user and system mode, in ticks of the clock (proc(5), fields 14 and 15).
fn ticks(pid: u64) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the daemon runs");
    // The name in parentheses may hold anything.
    let (_, after_name) = stat.rsplit_once(')').expect("a name in parentheses");
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let field = |number: usize| -> u64 {
        let text = fields.get(number - 3).expect("52 fields");
        text.parse().expect("a number")
    };
    field(14) + field(15)
}

/// A figure of its status, in megabytes.
fn memory(pid: u64, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the daemon runs");
    let kib: u32 = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|figure| figure.parse().ok())
        .expect("a figure in kB");
    f64::from(kib) * 1024.0 / 1e6
}
