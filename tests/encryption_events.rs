//! What the daemon tells the system log of encryption at rest on a simulated node: each thing once for as long as it lasts, again when it comes
//! back, with its priority and what it is found by; and that the metrics say the same.
//!
//! One test, as the daemon is asked to end by a signal to its process.
#![cfg(feature = "failpoints")]
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test fails loudly, changes files as an administrator does, and waits"
)]

mod operator;
mod told;
mod world;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast::adapters::Node;
use holdfast::adapters::clock::Clock;
use holdfast::adapters::journal_store::JournalStore;
use holdfast::adapters::lock::Held;
use holdfast::domain::{Digest, Provider};
use holdfast::events::{self, Event};
use holdfast::journal::Record;
use holdfast::rotate::{Rotator, To, status};
use holdfast::rotation::{Consent, Rotation};
use tracing::Level;

use operator::Operator;
use told::{Journal, Told};
use world::encrypted::{CONFIG, Cluster, Loads, STATE};
use world::{node_at, one_node};

const SOON: Duration = Duration::from_secs(30);
/// Longer than what was judged is left alone at first.
const A_WHILE: Duration = Duration::from_secs(5);
/// Longer than it is left alone at last, in milliseconds.
const LONGEST_MS: u64 = 20_000;
/// How long a request of before may commit.
const DRAIN_MS: u64 = 61_000;
const ADMIN: &str = "/etc/kubernetes/admin.conf";
const ENDANGERED: &str = "holdfast_encryption_needs_attention{reason=\"endangered\"}";

/// The node, and what its daemon tells.
struct Scene {
    cluster: Cluster,
    journal: Journal,
    ahead: Arc<AtomicU64>,
}

impl Scene {
    /// A node whose only encrypted value is the API server's own.
    fn new() -> Self {
        let journal = Journal::begin();
        let cluster = Cluster::new(Loads::ByItself, &[], None);
        cluster.serving();
        Self {
            cluster,
            journal,
            ahead: Arc::default(),
        }
    }

    fn root(&self) -> &Path {
        self.cluster.world.root()
    }

    fn await_that(&self, what: &str, is_so: impl Fn() -> bool) {
        let came = self.cluster.world.wait_until(SOON, |_| is_so());
        assert!(came, "{what}: {:#?}", self.journal.told());
    }

    /// Waits until that was told so often; the last time.
    fn await_told(&self, event: &Event, times: usize) -> Told {
        let name = event.name;
        self.await_that(&format!("{name}, {times} times"), || {
            self.journal.of(event).len() >= times
        });
        let mut told = self.journal.of(event);
        assert_eq!(told.len(), times, "{name}: {told:#?}");
        told.pop().expect("it was told")
    }

    /// Waits until the daemon has looked at what lies there now: it looks at the configuration first.
    fn await_look(&self) {
        let admin = self.cluster.world.path(ADMIN);
        for (mode, event) in [(0o644, &events::DRIFT), (0o600, &events::HOLDS_AGAIN)] {
            let told = || {
                let told = self.journal.of(event).into_iter();
                told.filter(|told| told.field("holdfast.path") == ADMIN).count()
            };
            let before = told();
            std::fs::set_permissions(&admin, std::fs::Permissions::from_mode(mode)).expect("a file of ours");
            self.await_that("it looks", || told() > before);
        }
    }

    fn await_metric(&self, line: &str) {
        let file = self.root().join(STATE).join("metrics.prom");
        self.await_that(line, || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            text.lines().any(|found| found == line)
        });
    }

    fn edit(&self, text: &str) {
        std::fs::write(self.root().join(CONFIG), text).expect("a file of ours");
    }

    fn passes(&self, milliseconds: u64) {
        self.ahead.fetch_add(milliseconds, Ordering::SeqCst);
    }

    /// With the lock, as a command has it.
    fn with_journal<T>(&self, act: impl FnOnce(&Node, &Held, &mut JournalStore) -> T) -> T {
        let node = node_of(self.root(), &self.ahead);
        let held = Held::take(&node.here(&node.layout.run), SOON).expect("the daemon leaves it free");
        let now = node.clock.now();
        let mut journal = JournalStore::open(&node.files, &node.layout, &held, now).expect("a journal");
        act(&node, &held, &mut journal)
    }
}

fn node_of(root: &Path, ahead: &Arc<AtomicU64>) -> Node {
    let mut node = node_at(root, Arc::new(Mutex::new(one_node())));
    node.clock = Clock::simulated(None, Arc::clone(ahead)).expect("Linux has a boot id");
    node
}

#[test]
fn what_becomes_of_encryption_at_rest_is_told_once_each_time_and_with_what_it_is_found_by() {
    let scene = Scene::new();
    let (root, ahead) = (scene.root().to_owned(), Arc::clone(&scene.ahead));
    let daemon =
        std::thread::spawn(move || Operator::new(node_of(&root, &ahead), "mode: audit\n").run_daemon());

    let watched = scene.await_told(&events::ENCRYPTION_WATCHED, 1);
    assert_eq!(watched.field("holdfast.path"), file());
    what_no_value_needs_is_told_each_time_that_it_breaks(&scene);
    a_guard_that_fails_is_an_error_and_shows_as_a_danger(&scene);
    a_rotation_that_waits_for_consent_alone_does_not_stand_still(&scene);
    what_cannot_be_counted_yet_is_told_once_each_time(&scene);

    nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGTERM)
        .expect("a process may signal itself");
    daemon.join().expect("it does not panic").expect("it ran");
    scene.journal.is_of_the_manual();
}

fn file() -> String {
    format!("/{CONFIG}")
}

fn what_no_value_needs_is_told_each_time_that_it_breaks(scene: &Scene) {
    let original = std::fs::read_to_string(scene.root().join(CONFIG)).expect("it is there");
    for times in 1..=2 {
        scene.cluster.forget_own();
        scene.edit("{{{");
        let told = scene.await_told(&events::ENCRYPTION_CHANGED, times);
        assert_eq!(told.field("holdfast.path"), file());
        std::thread::sleep(A_WHILE);
        scene.await_look();
        scene.await_told(&events::ENCRYPTION_CHANGED, times);
        scene.edit(&original);
        scene.await_look();
    }
    scene.await_metric(&format!("{ENDANGERED} 0"));
}

fn a_guard_that_fails_is_an_error_and_shows_as_a_danger(scene: &Scene) {
    let original = std::fs::read_to_string(scene.root().join(CONFIG)).expect("it is there");
    let more = original.replace(
        "}]}",
        "}, {name: more, secret: bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0=}]}",
    );
    let kept = format!("retained/configuration-{}.yaml", Digest::of(more.as_bytes()));
    let kept: PathBuf = scene.root().join(STATE).join(kept);
    let changed = scene.journal.of(&events::ENCRYPTION_CHANGED).len();
    for round in 1..=2 {
        drop(std::fs::remove_file(&kept));
        std::fs::create_dir(&kept).expect("nothing can be kept there");
        scene.edit(&more);
        let told = scene.await_told(&events::ENCRYPTION_UNWATCHED, round);
        assert_eq!(told.level, Level::ERROR);
        assert_eq!(told.field("holdfast.path"), file());
        scene.await_metric(&format!("{ENDANGERED} 1"));
        std::thread::sleep(A_WHILE);
        scene.await_told(&events::ENCRYPTION_UNWATCHED, round);

        std::fs::remove_dir(&kept).expect("it is empty");
        scene.passes(LONGEST_MS);
        scene.await_told(&events::ENCRYPTION_CHANGED, changed + 2 * round - 1);
        scene.await_metric(&format!("{ENDANGERED} 0"));
        scene.edit(&original);
        scene.await_told(&events::ENCRYPTION_CHANGED, changed + 2 * round);
        scene.await_look();
    }
    let told = scene.journal.of(&events::ROTATION_TROUBLE);
    assert!(told.is_empty(), "there is no rotation: {told:#?}");
}

/// What a rotation is found by.
fn of(told: &Told) -> [&str; 3] {
    ["holdfast.rotation", "holdfast.step", "holdfast.key"].map(|name| told.field(name))
}

/// Waits until requests of before may commit for the nth time, and lets that time pass.
fn let_requests_end(scene: &Scene, nth: usize) {
    scene.await_that("requests of before may commit", || {
        let told = scene.journal.of(&events::ROTATION_PROGRESS).into_iter();
        told.filter(|told| told.message().contains("may still commit"))
            .count()
            >= nth
    });
    scene.passes(DRAIN_MS);
}

/// Has the daemon look at a rotation.
fn ask(node: &Node, held: &Held, rotation: &Rotation) {
    let request = status::Request {
        rotation: rotation.id.clone(),
        any_time: false,
        since_boot_ms: node.clock.now().since_boot_ms,
    };
    status::ask(node, held, &request).expect("a writable folder");
}

fn a_rotation_that_waits_for_consent_alone_does_not_stand_still(scene: &Scene) {
    let rotation = scene.with_journal(|node, held, journal| {
        let mut rotator = Rotator::new(node).expect("an event loop");
        let begun = rotator.begin(held, journal, To::NewKey(Provider::Aescbc), Consent::Ask);
        let begun = begun.expect("nothing forbids it");
        ask(node, held, &begun);
        begun
    });
    let_requests_end(scene, 1);
    let asks = scene.await_told(&events::ROTATION_WAITS_FOR_CONSENT, 1);
    assert_eq!(asks.level, Level::WARN);
    assert!(
        asks.message().contains("`holdfast encryption rotate --cut`"),
        "{asks:?}"
    );
    let [id, step, key] = of(&asks);
    assert_eq!((id, step), (rotation.id.as_str(), "C2 [new, old]"));
    let named = format!("{} (fingerprint ", rotation.new);
    assert!(key.starts_with(&named) && key.ends_with(')'), "{key}");

    scene.with_journal(|node, held, journal| {
        let mut rotator = Rotator::new(node).expect("an event loop");
        rotator.allow_cut(held, journal).expect("it is under way");
        ask(node, held, &rotation);
    });
    let_requests_end(scene, 2);
    scene.await_that("it is over", || {
        let told = scene.journal.of(&events::ROTATION_STEP);
        told.iter().any(|told| told.message().contains("it is complete"))
    });
    let stopped = scene.journal.of(&events::ROTATION_STOPPED);
    assert!(stopped.is_empty(), "{stopped:#?}");
    each_step_is_found_by_its_rotation_its_stage_and_its_key(scene, &rotation);
}

fn each_step_is_found_by_its_rotation_its_stage_and_its_key(scene: &Scene, rotation: &Rotation) {
    let steps = scene.journal.of(&events::ROTATION_STEP);
    for told in steps.iter().chain(&scene.journal.of(&events::ROTATION_PROGRESS)) {
        let [id, step, key] = of(told);
        assert!(
            id == rotation.id && !step.is_empty() && key.starts_with(&rotation.new.to_string()),
            "{told:?}"
        );
    }
    let set_out: Vec<&Told> = steps
        .iter()
        .filter(|told| told.message().contains("the next configuration is"))
        .collect();
    assert_eq!(set_out.len(), 3, "{steps:#?}");
    for told in set_out {
        let [_, step, _] = of(told);
        assert!(told.message().ends_with(&format!("stage {step}")), "{told:?}");
    }
}

/// As after the API server had lost its flag: what it wrote is counted when it runs with one.
fn what_cannot_be_counted_yet_is_told_once_each_time(scene: &Scene) {
    let in_order = scene.journal.of(&events::ENCRYPTION_IN_ORDER).len();
    for times in 1..=2 {
        scene.cluster.world.stop_kubelet();
        scene.cluster.crash_api_server();
        scene.with_journal(|node, held, journal| {
            let owed = Record::PlaintextOwed { owed: true };
            journal
                .append(held, node.clock.now(), owed)
                .expect("a writable journal");
        });
        for _ in 0..3 {
            scene.passes(LONGEST_MS);
            scene.await_look();
        }
        let told = scene.await_told(&events::ENCRYPTION_COUNTED_LATER, times);
        assert_eq!(told.field("holdfast.path"), file());
        scene.cluster.world.start_kubelet();
        scene.cluster.serving();
        scene.passes(LONGEST_MS);
        scene.await_look();
        let told = scene.await_told(&events::ENCRYPTION_IN_ORDER, in_order + times);
        assert!(told.message().starts_with("no value is in plaintext"), "{told:?}");
    }
}
