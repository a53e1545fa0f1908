//! `kill -9` before and after every journal record of a bounce, on a simulated node that lives on: whoever runs next brings it to its
//! end, and the manifest is the same file as before.
#![cfg(feature = "failpoints")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test touches the node from outside, starts a process to kill it, and fails loudly"
)]

mod operator;
mod world;

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast::adapters::lock::Held;
use holdfast::apply::{self, Result as Came};
use holdfast::domain::Component;

use operator::Operator;
use world::container_runtime::Manner;
use world::{Options, World, node_at, one_node};

const SOON: Duration = Duration::from_secs(10);
/// Where the child finds the node, and what it bounces.
const ROOT: &str = "HOLDFAST_CRASH_ROOT";
const COMPONENT: &str = "HOLDFAST_CRASH_COMPONENT";
/// Read by the journal's adapter: `before:N` or `after:N`, the Nth record that this process writes.
const FAILPOINT: &str = "HOLDFAST_FAILPOINT";
const AUDIT: &str = "mode: audit\n";
/// More records than any bounce writes.
const MANY: usize = 20;

#[test]
#[ignore = "the process that the other tests kill"]
fn child_bounce() {
    let (Some(root), Ok(name)) = (std::env::var_os(ROOT), std::env::var(COMPONENT)) else {
        return;
    };
    let component = Component::from_name(&name).expect("a component");
    let node = node_at(Path::new(&root), Arc::new(Mutex::new(one_node())));
    let ended = Operator::new(node, AUDIT)
        .bounce(component)
        .expect("a healthy node");
    assert_eq!(ended.result, Came::Made);
}

#[test]
#[ignore = "the process that the other tests kill"]
fn child_daemon() {
    let Some(root) = std::env::var_os(ROOT) else {
        return;
    };
    let node = node_at(Path::new(&root), Arc::new(Mutex::new(one_node())));
    Operator::new(node, AUDIT).run_daemon().expect("it runs");
}

/// One of this file's children, on that node.
fn child(name: &str, world: &World) -> Command {
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(ROOT, world.root())
        .stdout(Stdio::null());
    child
}

/// A bounce in a process of its own; true when it was killed at that point.
fn is_killed_at(world: &World, component: Component, point: &str) -> bool {
    let ended = child("child_bounce", world)
        .env(COMPONENT, component.name())
        .env(FAILPOINT, point)
        .status()
        .expect("this test can be started");
    match (ended.signal(), ended.success()) {
        (Some(9), _) => true,
        (None, true) => false,
        _ => panic!("{point}: the child failed: {ended}"),
    }
}

fn file(path: &Path) -> (Vec<u8>, u64, u32) {
    let facts = std::fs::metadata(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    (
        std::fs::read(path).expect("it can be read"),
        facts.ino(),
        facts.mode(),
    )
}

/// Kills at every point of that side; how many there were.
fn kill_at_every_record(side: &str, component: Component, options: &Options) -> usize {
    for record in 1..MANY {
        let point = format!("{component} {side}:{record}");
        let world = World::with(options.clone());
        let (manifest, out) = (
            world.manifest(component),
            world.path(&format!("/etc/kubernetes/{component}.yaml.holdfast-out")),
        );
        let before = file(&manifest);
        if !is_killed_at(&world, component, &format!("{side}:{record}")) {
            return record - 1;
        }
        let lies = if manifest.exists() { &manifest } else { &out };
        assert_eq!(file(lies), before, "{point}");
        let was_out = out.exists();
        let is_recovered = was_out && record % 2 == 0;
        // The next run goes on; `recover` puts the file back without journal and configuration.
        if is_recovered {
            let node = world.node();
            let held = Held::take(&node.here(&node.layout.run), Duration::ZERO).expect("it is free");
            assert_eq!(apply::out::recover(&node, &held).len(), 1, "{point}");
        }
        let operator = Operator::new(world.node(), AUDIT);
        let ended = operator.carry_on().pop().map(|outcome| outcome.result);
        assert!(
            matches!(ended, None | Some(Came::Made | Came::Abandoned { .. })),
            "{point}: {ended:?}"
        );
        assert_eq!(file(&manifest), before, "{point}");
        assert!(!out.exists(), "{point}");
        assert!(world.wait_until(SOON, World::all_ready), "{point}");
        for of in Component::ALL {
            let starts = world.starts(of);
            let expected = if of == component { 1..=2 } else { 1..=1 };
            assert!(expected.contains(&starts), "{point}: {of}: {starts}");
        }
        // Whatever was, the next one is made.
        let again = operator.bounce(component).expect("a healthy node");
        assert_eq!(again.result, Came::Made, "{point}");
        assert_eq!(file(&manifest), before, "{point}");
        // `recover` waits for nobody.
        assert!(is_recovered || world.counted_crashes() == 0, "{point}");
    }
    panic!("{MANY} records were not enough");
}

/// Opened, started, the baseline of a first start, the former pod that is cleaned up, its containers that are removed, finished; and one for
/// the draining API server.
const RECORDS: usize = 6;

#[test]
fn a_kill_before_any_record_of_a_bounce_costs_no_manifest() {
    let kill = |component| kill_at_every_record("before", component, &Options::default());
    assert_eq!(kill(Component::ApiServer), RECORDS + 1);
    assert_eq!(kill(Component::Scheduler), RECORDS);
}

#[test]
fn a_kill_after_any_record_of_a_bounce_costs_no_manifest() {
    let kill = |component| kill_at_every_record("after", component, &Options::default());
    assert_eq!(kill(Component::ApiServer), RECORDS + 1);
    assert_eq!(kill(Component::Etcd), RECORDS);
}

#[test]
fn a_kill_at_any_record_costs_no_manifest_where_the_kubelet_leaves_containers() {
    let left = Options {
        leaves_containers: true,
        ..Options::default()
    };
    for side in ["before", "after"] {
        assert_eq!(kill_at_every_record(side, Component::Scheduler, &left), RECORDS);
    }
}

#[test]
fn a_daemon_that_starts_puts_in_at_once_what_no_process_keeps_out() {
    let component = Component::ApiServer;
    let (world, before) = (1..MANY)
        .find_map(|record| {
            // As containerd while it starts itself.
            let world = World::with(Options {
                runtime: Manner::Hangs,
                ..Options::default()
            });
            let before = file(&world.manifest(component));
            assert!(is_killed_at(&world, component, &format!("after:{record}")));
            (!world.manifest(component).exists()).then_some((world, before))
        })
        .expect("it is out after one of the records");
    assert!(world.wait_until(SOON, |world| world.running(component).is_none()));
    let mut daemon = child("child_daemon", &world).spawn().expect("it starts");
    let is_back = world.wait_until(SOON, |world| world.manifest(component).exists());
    let is_at_its_end = |world: &World| {
        let journal = Operator::new(world.node(), AUDIT).journal();
        journal.in_flight.is_none()
    };
    let is_carried_on = world.wait_until(SOON, is_at_its_end);
    daemon.kill().expect("it runs");
    daemon.wait().expect("it was started here");
    assert!(is_back && is_carried_on);
    assert_eq!(file(&world.manifest(component)), before);
    let journal = std::fs::read_to_string(world.path("/var/lib/holdfast/journal")).expect("it was written");
    assert!(
        journal.contains("finished") && !journal.contains("cleaned"),
        "nothing was waited for: {journal}"
    );
}
