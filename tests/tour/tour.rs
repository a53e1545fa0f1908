//! A tour of Holdfast on a throw-away node: `cargo run --release --example tour`.
//!
//! The node is simulated in a temporary folder, with files as kubeadm writes them and a stand-in for the kubelet; Holdfast's code is
//! the real one. It needs no root and no network, and leaves nothing behind.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a tour tells on standard output what it does to the node from outside"
)]

#[path = "log.rs"]
mod log;
#[path = "../operator/mod.rs"]
mod operator;
#[path = "../world/mod.rs"]
mod world;

use std::io::IsTerminal as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use holdfast::apply::{Outcome, Result as Came};
use holdfast::domain::Component;
use holdfast::plan::Verdict;
use holdfast::report::{Colour, Heading, findings_text, plan_text};

use operator::{Operator, ids_with};
use world::{Options, World};

const CONFIG: &str = "mode: enforce\n";
const ADMIN: &str = "/etc/kubernetes/admin.conf";
const SCHEDULER: Component = Component::Scheduler;
const PATIENCE: Duration = Duration::from_secs(15);

fn main() {
    let colour = colour();
    println!(
        "Holdfast keeps the hosts of a Kubernetes control plane hardened: it looks at the files and flags of the\n\
         node, says what is not as it should be, mends what can be mended safely, proves each change or takes it\n\
         back, and keeps watch from then on."
    );
    let world = World::with(Options {
        // Slow enough to be seen, and ten times faster than a real control plane.
        start_delay: Duration::from_millis(600),
        grace: Duration::from_millis(800),
        ..Options::default()
    });
    println!(
        "\nHere is a node to show it on, in {}: files as kubeadm\n\
         leaves them, and a stand-in for the kubelet that runs the static pods of the manifests folder. All of it goes away at the end.",
        world.root().display()
    );
    let operator = Operator::new(world.node(), CONFIG);
    look(&operator, colour);
    plan(&operator, colour);
    apply(&operator);
    look_again(&operator);
    watch(&world, colour);
    last_look(&operator);
}

fn colour() -> Colour {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        Colour::Always
    } else {
        Colour::Never
    }
}

fn heading(number: u32, title: &str, command: &str) {
    println!(
        "\n\n{number}. {title}\n{}\n$ {command}\n",
        "=".repeat(title.len() + 3)
    );
}

fn look(operator: &Operator, colour: Colour) {
    heading(1, "Look", "holdfast check");
    let looked = operator.check();
    print!("{}", findings_text(&looked.findings, &Heading::default(), colour));
    println!("\nA check only reads. These rows fail on every node that kubeadm sets up.");
}

fn plan(operator: &Operator, colour: Colour) {
    heading(2, "Plan", "holdfast plan");
    let looked = operator.plan();
    print!(
        "{}",
        plan_text(&looked.plan, &looked.findings, &Heading::default(), colour)
    );
    println!(
        "\nThe diffs are all that will be written: comments, order and quoting of a manifest stay. What needs a\n\
         decision of yours is left alone, and says what it waits for."
    );
}

fn apply(operator: &Operator) {
    heading(3, "Apply", "holdfast apply --yes");
    let began = Instant::now();
    let mut last = String::new();
    operator.apply_telling(&mut |outcome| {
        let words = in_words(outcome);
        if words != last {
            println!("{:5.1} s  {words}", began.elapsed().as_secs_f64());
            last = words;
        }
    });
    println!(
        "\nOne component at a time: its old process is gone, the new one runs with the new flags and answers its\n\
         health endpoint, or the former manifest goes back. Each step stands in the journal before it is taken,\n\
         so a crash at any point leaves a node that the next run completes."
    );
}

fn in_words(outcome: &Outcome) -> String {
    let what = &outcome.what;
    match &outcome.result {
        Came::Made => format!("done     {what}"),
        Came::Begun => format!("begun    {what}"),
        Came::Waiting { why } => {
            // The reason in brackets changes with every look.
            let awaited = why.split(" (").next().unwrap_or(why);
            format!("waiting  for {awaited}")
        }
        other @ (Came::PutBack { .. }
        | Came::Refused { .. }
        | Came::Abandoned { .. }
        | Came::Stuck { .. }
        | Came::Failed { .. }) => format!("{other:?}  {what}"),
    }
}

fn look_again(operator: &Operator) {
    heading(4, "Look again", "holdfast plan");
    let looked = operator.plan();
    let drift = ids_with(&looked, Verdict::Drift);
    println!(
        "{} changes are left to make. {} controls stay in drift until you decide:\n",
        looked.plan.changes.len(),
        drift.len()
    );
    for held in &looked.plan.withheld {
        let ids: Vec<String> = held.controls.iter().map(ToString::to_string).collect();
        println!("  {:<24} {}", ids.join(", "), held.object);
    }
}

/// The daemon runs on a thread of its own, and ends as under systemd: by SIGTERM.
fn watch(world: &World, colour: Colour) {
    heading(5, "Keep watch", "holdfast run");
    log::to_standard_output(colour);
    std::thread::scope(|scope| {
        let daemon = scope.spawn(|| Operator::new(world.node(), CONFIG).run_daemon());
        log::wait_for("watches this node", PATIENCE);
        std::thread::sleep(Duration::from_millis(700));
        println!(
            "           (and {} warnings, left out here, about the rows that wait for your decision: each is told once)",
            log::left_out()
        );
        let mended = [mode_drift(world), flag_drift(world)];
        println!("\n  $ kill -TERM $(pidof holdfast)");
        nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGTERM)
            .expect("a process may signal itself");
        daemon
            .join()
            .expect("the daemon does not panic")
            .expect("the daemon ran");
        // Only now, so that the daemon has ended in any case.
        assert_eq!(mended, [true; 2], "the daemon did not mend everything");
    });
}

fn mode_drift(world: &World) -> bool {
    println!("\n  Somebody lets everyone read the administrator's credentials:\n  $ chmod 0644 {ADMIN}");
    let file = world.path(ADMIN);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))
        .expect("a file of the tour's own");
    let began = Instant::now();
    let is_mended = |_: &World| {
        let facts = std::fs::metadata(&file).expect("it is there");
        facts.permissions().mode() & 0o777 == 0o600
    };
    let mended = world.wait_until(PATIENCE, is_mended);
    let took = began.elapsed();
    log::wait_for("mended: mode", PATIENCE);
    tell(mended, &format!("0600 again after {} ms", took.as_millis()))
}

fn flag_drift(world: &World) -> bool {
    let manifest = world.manifest(SCHEDULER);
    println!(
        "\n  Somebody takes a flag away from the scheduler:\n  $ sed -i /profiling/d /etc/kubernetes/manifests/kube-scheduler.yaml"
    );
    let text = std::fs::read_to_string(&manifest).expect("it is there");
    let without: String = text
        .split_inclusive('\n')
        .filter(|line| !line.contains("profiling"))
        .collect();
    world.replace(&manifest, &without);
    let began = Instant::now();
    let runs_with_it = |world: &World| {
        let argv = world.running_argv(SCHEDULER).unwrap_or_default();
        argv.iter().any(|flag| flag == "--profiling=false") && world.is_ready(SCHEDULER)
    };
    let is_mended = |world: &World| {
        std::fs::read_to_string(&manifest).is_ok_and(|now| now == text) && runs_with_it(world)
    };
    // The running scheduler still has the flag: first it has to be without.
    let mended =
        world.wait_until(PATIENCE, |world| !runs_with_it(world)) && world.wait_until(PATIENCE, is_mended);
    let took = began.elapsed();
    log::wait_for("mended: edit", PATIENCE);
    tell(
        mended,
        &format!(
            "the flag is back, and the scheduler runs with it, after {:.1} s",
            took.as_secs_f64()
        ),
    )
}

fn tell(mended: bool, words: &str) -> bool {
    if mended {
        println!("  -> {words}");
    }
    mended
}

fn last_look(operator: &Operator) {
    heading(6, "The end", "holdfast check");
    let looked = operator.check();
    let count = |verdict| ids_with(&looked, verdict).len();
    println!(
        "{} controls pass, {} wait for your decision, {} could not be told.",
        count(Verdict::Pass),
        count(Verdict::Drift),
        count(Verdict::Unknown)
    );
    println!(
        "\nOn a real node: `holdfast check` reads and reports, `holdfast plan` shows the diffs, `holdfast apply` asks\n\
         before it changes anything, and `holdfast explain CIS-1.2.15` says why a control is there. README.md tells\n\
         the rest."
    );
}
