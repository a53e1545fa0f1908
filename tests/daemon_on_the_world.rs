//! The daemon on a simulated node, and what it tells the system log.
//!
//! One test, as the daemon is asked to end by a signal to its process.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test fails loudly, changes files as an administrator does, and waits"
)]

mod operator;
mod world;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast::events::{self, Event};
use tracing::Level;
use tracing::field::{Field, Visit};

use operator::Operator;
use world::{MANIFESTS, Options, World};

const CONFIG: &str = "mode: audit\n";

/// An event as the journal gets it.
#[derive(Debug, Clone)]
struct Told {
    level: Level,
    fields: BTreeMap<String, String>,
}

impl Told {
    fn event(&self) -> Option<&'static Event> {
        let id = self.fields.get("MESSAGE_ID")?;
        events::ALL.iter().find(|event| event.id == id)
    }

    fn is(&self, event: &Event) -> bool {
        self.event().is_some_and(|told| told.id == event.id)
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.fields.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.to_owned());
    }
}

/// All that is told, of every thread.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<Told>>>);

impl Journal {
    fn told(&self) -> Vec<Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn of(&self, event: &Event) -> Vec<Told> {
        let mut told = self.told();
        told.retain(|one| one.is(event));
        told
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Journal {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        // What the libraries tell, and our own `trace!`, is not in the journal.
        let metadata = event.metadata();
        if !metadata.target().starts_with("holdfast") || *metadata.level() > Level::DEBUG {
            return;
        }
        let mut told = Told {
            level: *metadata.level(),
            fields: BTreeMap::new(),
        };
        event.record(&mut told);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }
}

#[test]
fn a_host_without_a_control_plane_is_waited_for_and_every_event_is_one_of_the_manual() {
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;

    let journal = Journal::default();
    tracing_subscriber::registry().with(journal.clone()).init();
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

        nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGTERM)
            .expect("a process may signal itself");
        daemon.join().expect("it does not panic").expect("it ran");
    });

    is_of_the_manual(&journal);
}

/// Each event is one of the list, with its priority, and fields that it may have.
fn is_of_the_manual(journal: &Journal) {
    for one in journal.told() {
        let event = one.event();
        assert!(event.is_some(), "no event of the manual: {one:?}");
        let Some(event) = event else { continue };
        assert_eq!(one.level, event.level(), "{one:?}");
        let fields = one
            .fields
            .keys()
            .filter_map(|name| name.strip_prefix("holdfast."));
        for field in fields {
            let name = format!("HOLDFAST_{}", field.to_uppercase());
            assert!(
                event.fields.iter().any(|field| field.name() == name),
                "{name} is none of {}: {one:?}",
                event.name
            );
        }
    }
}

fn mode(path: &PathBuf, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a file of the world");
}
