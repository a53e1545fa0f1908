//! The daemon on a simulated node, and what it tells the system log.
//!
//! One test, as the daemon is asked to end by a signal to its process.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test fails loudly, changes files as an administrator does, and waits"
)]

mod operator;
mod told;
mod world;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use holdfast::domain::Component;
use holdfast::events;

use operator::Operator;
use told::{Journal, Told};
use world::{MANIFESTS, Options, World};

const CONFIG: &str = "mode: audit\n";

#[test]
fn a_host_without_a_control_plane_is_waited_for_and_every_event_is_one_of_the_manual() {
    let journal = Journal::begin();
    let world = World::with(Options {
        kubelet: false,
        ..Options::default()
    });
    // Before `kubeadm init`.
    let manifests = world.root().join(MANIFESTS);
    let aside = world.root().join("etc/made-later");
    std::fs::rename(&manifests, &aside).expect("one file system");

    std::thread::scope(|scope| {
        let daemon = scope.spawn(|| Operator::new(world.node(), CONFIG).run_daemon());
        let awaited = |what: &str, is_so: &dyn Fn() -> bool| {
            let came = world.wait_until(Duration::from_secs(30), |_| is_so());
            assert!(came, "{what}: {:#?}", journal.told());
        };
        awaited("it waits", &|| !journal.of(&events::NO_CONTROL_PLANE).is_empty());
        assert!(
            journal.of(&events::DRIFT).is_empty(),
            "there is nothing to judge yet"
        );

        std::fs::rename(&aside, &manifests).expect("one file system");
        awaited("it comes alive", &|| !journal.of(&events::DRIFT).is_empty());
        assert_eq!(journal.of(&events::NO_CONTROL_PLANE).len(), 1, "told once");

        let admin = "/etc/kubernetes/admin.conf";
        let opened = |told: &Told| {
            told.field("holdfast.path") == admin && told.field("holdfast.control") == "CIS-1.1.13"
        };
        mode(&world.path(admin), 0o644);
        awaited("a drift is told, with its file", &|| {
            journal.of(&events::DRIFT).iter().any(opened)
        });
        mode(&world.path(admin), 0o600);
        awaited("that it holds again is told", &|| {
            journal.of(&events::HOLDS_AGAIN).iter().any(opened)
        });
        let told = journal.of(&events::DRIFT);
        assert_eq!(told.iter().filter(|told| opened(told)).count(), 1, "told once");

        manifests_that_are_taken_away_are_told(&world, &journal);
        mode(&world.path(admin), 0o640);
        awaited("another pass is made", &|| {
            journal
                .of(&events::DRIFT)
                .iter()
                .filter(|told| opened(told))
                .count()
                == 2
        });
        assert_eq!(journal.of(&events::MANIFEST_GONE).len(), 3, "each told once");

        nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGTERM)
            .expect("a process may signal itself");
        daemon.join().expect("it does not panic").expect("it ran");
    });

    journal.is_of_the_manual();
}

fn mode(path: &PathBuf, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a file of the world");
}

/// With the copy that Holdfast has of it, or without one.
fn manifests_that_are_taken_away_are_told(world: &World, journal: &Journal) {
    let copy = "/var/lib/holdfast/backups/kube-scheduler.20260101T000000.000Z.0123456789ab.yaml";
    std::fs::create_dir_all(world.path("/var/lib/holdfast/backups")).expect("a folder of the world");
    std::fs::copy(world.manifest(Component::Scheduler), world.path(copy)).expect("a copy");
    for (component, words) in [
        (Component::Scheduler, copy),
        (Component::ControllerManager, "no copy"),
        (Component::Etcd, "no copy"),
    ] {
        let manifest = format!("/etc/kubernetes/manifests/{component}.yaml");
        std::fs::rename(
            world.path(&manifest),
            world.root().join(format!("etc/taken-{component}")),
        )
        .expect("one file system");
        let is_told = |told: &Told| told.field("holdfast.path") == manifest && told.message().contains(words);
        let are_told = |_: &World| journal.of(&events::MANIFEST_GONE).iter().any(is_told);
        assert!(
            world.wait_until(Duration::from_secs(30), are_told),
            "{component}: {:#?}",
            journal.told()
        );
    }
}
