//! The guard of encryption at rest on a simulated node: the real adapters against an API server and an etcd that speak the real protocols.
#![cfg(feature = "failpoints")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails loudly, and edits files as an administrator does"
)]

#[path = "guard_on_the_world/flag_lost.rs"]
mod flag_lost;
#[path = "guard_on_the_world/older_file.rs"]
mod older_file;
mod world;

use std::cell::Cell;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use holdfast::adapters::Node;
use holdfast::adapters::journal_store::JournalStore;
use holdfast::adapters::lock::Held;
use holdfast::domain::{Component, Provider};
use holdfast::rotate::{
    Answer, Beat, Guard, Guarded, Pace, Rotator, To, plaintext_among_encrypted, put_in_place,
};
use holdfast::rotation::{Consent, Stage};
use world::encrypted::{Cluster, Loads};
use world::{World, node_at, one_node};

const CONFIG: &str = "etc/kubernetes/enc/enc.yaml";
const SECRETS: [&str; 2] = ["default/a", "kube-system/b"];

/// A node whose configuration is known, with what looks after it.
pub struct Guarding {
    cluster: Cluster,
    node: &'static Node,
    held: Held,
    journal: JournalStore,
    guard: Guard<'static>,
}

impl Guarding {
    fn new() -> Self {
        Self::of(Loads::AtStart)
    }

    fn of(loads: Loads) -> Self {
        let mut on = Self::before_the_first_look(loads);
        let first = on.look(Ok(()));
        assert!(matches!(first, Guarded::Adopted(_)), "{first:?}");
        on
    }

    fn before_the_first_look(loads: Loads) -> Self {
        Self::on(loads, |root| node_at(root, Arc::new(Mutex::new(one_node()))))
    }

    fn on(loads: Loads, node: impl FnOnce(&Path) -> Node) -> Self {
        let cluster = Cluster::new(loads, &SECRETS, None);
        cluster.serving();
        let node = node(cluster.world.root());
        // It lives as long as the test does.
        let node: &'static Node = Box::leak(Box::new(node));
        let held = Held::take(&node.here(&node.layout.run), Duration::from_secs(5)).expect("nobody holds it");
        let journal =
            JournalStore::open(&node.files, &node.layout, &held, node.clock.now()).expect("a new journal");
        let guard = Guard::new(node).expect("an event loop");
        Self {
            cluster,
            node,
            held,
            journal,
            guard,
        }
    }

    fn look(&mut self, acts: Result<(), String>) -> Guarded {
        let Self {
            held, journal, guard, ..
        } = self;
        guard
            .look(held, journal, acts, false)
            .expect("it can be looked at")
    }

    fn await_that(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let holds = |_: &World| is_so(self);
        let came = self.cluster.world.wait_until(Duration::from_secs(30), holds);
        assert!(came, "{what}: not within 30 s");
    }

    fn path(&self) -> PathBuf {
        self.cluster.world.root().join(CONFIG)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).expect("it is there")
    }

    fn edit(&self, text: &str) {
        std::fs::write(self.path(), text).expect("the world's folder is writable");
    }

    /// The same with other keys of aescbc, each named after its bytes' letter, and without plaintext.
    fn with_keys(&self, keys: &[(&str, u8)]) -> String {
        let text = self.text();
        let head = text.split("  - aescbc").next().expect("a beginning");
        let keys: Vec<String> = keys
            .iter()
            .map(|(name, byte)| {
                let secret = base64::prelude::BASE64_STANDARD.encode([*byte; 32]);
                format!("{{name: {name}, secret: {secret}}}")
            })
            .collect();
        format!("{head}  - aescbc: {{keys: [{}]}}\n", keys.join(", "))
    }

    fn mends(&mut self, why: &str) -> String {
        let found = self.look(Ok(()));
        let Guarded::Endangered {
            answer: Answer::Mended(how),
            lost,
            ..
        } = found
        else {
            panic!("{why}: {found:?}")
        };
        assert!(lost.iter().any(|lost| lost.values >= 2), "{why}: {lost:?}");
        how
    }
}

/// Counts how often somebody shows that he is alive.
pub fn beating(beats: &Rc<Cell<u32>>) -> Beat<'static> {
    let beats = Rc::clone(beats);
    Rc::new(move || beats.set(beats.get() + 1))
}

#[test]
fn whoever_counts_what_is_stored_shows_that_it_is_alive() {
    let mut on = Guarding::new();
    let beats = Rc::new(Cell::new(0));
    on.guard = Guard::new(on.node)
        .expect("an event loop")
        .beating(beating(&beats));
    assert!(matches!(on.look(Ok(())), Guarded::InOrder));
    assert_eq!(beats.get(), 0, "nothing is counted while nothing is new");
    on.edit(&on.with_keys(&[("old", b'x')]));
    on.mends("other bytes");
    assert!(beats.take() > 0);
    plaintext_among_encrypted(on.node, &*beating(&beats)).expect("etcd answers");
    assert!(beats.get() > 0);
}

#[test]
fn what_takes_a_key_away_is_put_back_byte_by_byte_and_is_in_order_again() {
    let mut on = Guarding::new();
    let original = on.text();
    let secrets = on.cluster.secrets();
    let torn = original.split("  providers").next().expect("a half").to_owned();
    for (why, edited) in [
        ("torn", torn.as_str()),
        ("empty", ""),
        ("no YAML", "{{{"),
        ("without the key", &original.replace("  - aescbc", "#")),
    ] {
        on.edit(edited);
        let how = on.mends(why);
        assert!(
            how.starts_with("the former configuration was put back"),
            "{why}: {how}"
        );
        assert_eq!(on.text(), original, "{why}");
        assert!(matches!(on.look(Ok(())), Guarded::InOrder), "{why}");
    }
    std::fs::remove_file(on.path()).expect("it was there");
    on.mends("removed");
    assert_eq!(on.text(), original);
    let mode = std::fs::metadata(on.path())
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(on.cluster.secrets(), secrets);
}

#[test]
fn a_configuration_that_never_could_be_read_is_told_as_not_watched_until_it_can() {
    let mut on = Guarding::before_the_first_look(Loads::AtStart);
    let original = on.text();
    on.edit("{{{");
    let found = on.look(Ok(()));
    assert!(
        matches!(&found, Guarded::Unwatched { file: Some(file), why }
            if file.as_str() == "/etc/kubernetes/enc/enc.yaml" && why.starts_with("/etc/kubernetes/enc/enc.yaml: ")),
        "{found:?}"
    );
    on.edit(&original);
    assert!(matches!(on.look(Ok(())), Guarded::Adopted(_)));
}

#[test]
fn somebody_who_undoes_each_mend_is_not_fought_in_a_tight_loop() {
    let mut on = Guarding::new();
    let dropped = on.text().replace("  - aescbc", "#");
    for round in 0..5 {
        on.edit(&dropped);
        on.mends(&format!("round {round}"));
    }
    on.edit(&dropped);
    let found = on.look(Ok(()));
    let Guarded::Endangered {
        answer: Answer::Left(why),
        ..
    } = found
    else {
        panic!("{found:?}")
    };
    assert!(
        why.starts_with("somebody else writes it again and again"),
        "{why}"
    );
    assert_eq!(on.text(), dropped);
}

#[test]
fn a_stage_of_before_that_somebody_puts_back_during_a_rotation_goes_again() {
    let mut on = Guarding::of(Loads::ByItself);
    let original = on.text();
    let mut rotator = Rotator::new(on.node).expect("an event loop");
    rotator
        .begin(
            &on.held,
            &mut on.journal,
            To::NewKey(Provider::Aescbc),
            Consent::Ask,
        )
        .expect("nothing forbids it");
    let is_promoted = |on: &Guarding| on.cluster.on_disk().names().first() != Some(&"old");
    for _ in 0..2_000 {
        if is_promoted(&on)
            && on
                .journal
                .state()
                .rotations
                .rotation
                .as_ref()
                .is_some_and(|rotation| rotation.written.values().any(|stage| *stage == Stage::WriteNew))
        {
            break;
        }
        rotator
            .pass(&on.held, &mut on.journal, Pace::default(), &mut |_| {})
            .expect("it goes on");
        assert!(
            matches!(on.look(Ok(())), Guarded::InOrder),
            "its own writes are known"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(is_promoted(&on));
    let promoted = on.text();
    on.edit(&original);
    let found = on.look(Ok(()));
    let Guarded::Endangered {
        answer: Answer::Mended(how),
        ..
    } = found
    else {
        panic!("{found:?}")
    };
    assert!(how.starts_with("the former configuration was put back"), "{how}");
    assert_eq!(on.text(), promoted);
    assert!(matches!(on.look(Ok(())), Guarded::InOrder));
}

#[test]
fn what_cannot_be_mended_is_told_with_what_needs_it_and_an_unreadable_file_is_no_loss() {
    let mut on = Guarding::new();
    let dropped = on.text().replace("  - aescbc", "#");
    on.edit(&dropped);
    // Somebody else could write there.
    let folder = on.path().parent().expect("a folder").to_owned();
    let mode = |bits| {
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(bits)).expect("a folder of ours")
    };
    mode(0o777);
    let found = on.look(Ok(()));
    let Guarded::Endangered {
        answer: Answer::Left(why),
        lost,
        ..
    } = found
    else {
        panic!("{found:?}")
    };
    assert!(!lost.is_empty() && why.contains("chmod go-w"), "{why}");
    mode(0o700);
    std::fs::remove_file(on.path()).expect("it was there");
    std::fs::create_dir(on.path()).expect("a folder in its place");
    let found = on.look(Ok(()));
    assert!(matches!(found, Guarded::Unproven { .. }), "{found:?}");
}

#[test]
fn an_edit_that_brings_a_key_keeps_it_and_reads_the_dropped_one_again() {
    let mut on = Guarding::new();
    let secrets = on.cluster.secrets();
    let edited = on.with_keys(&[("new", b'n')]);
    on.edit(&edited);
    let how = on.mends("another key");
    assert!(how.starts_with("what values need is read again"), "{how}");
    let disk = on.cluster.on_disk();
    assert_eq!(disk.names().first(), Some(&"new"));
    assert_eq!(on.cluster.secrets(), secrets);
    assert!(
        matches!(on.look(Ok(())), Guarded::InOrder),
        "its own write is known"
    );
}

#[test]
fn in_audit_nothing_is_written_and_it_is_told_again_only_when_it_is_another() {
    let mut on = Guarding::new();
    let edited = on.with_keys(&[("new", b'n')]);
    on.edit(&edited);
    let found = on.look(Err("audit".to_owned()));
    let Guarded::Endangered {
        differences,
        answer: Answer::Left(why),
        ..
    } = found
    else {
        panic!("{found:?}")
    };
    assert_eq!(why, "audit");
    assert!(
        differences.contains(&"aescbc:old is gone".to_owned()),
        "{differences:?}"
    );
    assert_eq!(on.text(), edited);
    assert!(matches!(on.look(Err("audit".to_owned())), Guarded::Unjudged));
    let secret = base64::prelude::BASE64_STANDARD.encode([b'n'; 32]);
    assert!(
        !format!("{differences:?}{why}").contains(&secret),
        "no key is told"
    );
}

#[test]
fn an_edit_that_no_value_minds_is_known_from_then_on() {
    let mut on = Guarding::new();
    let original = on.text();
    let more = original.replace(
        "keys: [",
        "keys: [{name: more, secret: bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0=}, ",
    );
    for (edited, told) in [
        (&more, "aescbc:more was added"),
        (&original, "aescbc:more is gone"),
    ] {
        on.edit(edited);
        let found = on.look(Ok(()));
        let Guarded::Changed(differences) = found else {
            panic!("{told}: {found:?}")
        };
        assert!(
            differences.iter().any(|one| one.starts_with(told)),
            "{differences:?}"
        );
        assert_eq!(on.text(), **edited);
        assert!(matches!(on.look(Ok(())), Guarded::InOrder));
    }
}

#[test]
fn a_write_key_that_no_value_needs_yet_goes_only_when_the_server_has_loaded_that() {
    let mut on = Guarding::new();
    let original = on.text();
    let more = original.replace(
        "keys: [",
        "keys: [{name: more, secret: bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0=}, ",
    );
    on.edit(&more);
    assert!(matches!(on.look(Ok(())), Guarded::Changed(_)));
    on.cluster.crash_api_server();
    assert!(on.cluster.serving().names().contains(&"more"));
    // What the server writes of its own goes, so that no value is under that key.
    on.cluster.forget_own();
    on.edit(&original);
    let found = on.look(Ok(()));
    let Guarded::Unproven { differences, why } = found else {
        panic!("{found:?}")
    };
    assert!(
        differences.contains(&"aescbc:more is gone".to_owned()),
        "{differences:?}"
    );
    assert!(
        why.starts_with("kube-apiserver may still write with aescbc:more: ") && why.contains("restarted"),
        "{why}"
    );
    on.cluster.crash_api_server();
    on.cluster.serving();
    std::thread::sleep(Duration::from_millis(2_100));
    assert!(matches!(on.look(Ok(())), Guarded::Changed(_)));
    assert!(matches!(on.look(Ok(())), Guarded::InOrder));
}

#[test]
fn other_bytes_under_a_name_in_use_are_put_back_while_the_server_runs_with_the_former_ones() {
    let mut on = Guarding::new();
    let original = on.text();
    let edited = on.with_keys(&[("old", b'x')]);
    on.edit(&edited);
    on.mends("other bytes");
    assert_eq!(on.text(), original);
}

#[test]
fn a_server_that_has_loaded_the_edit_and_does_not_look_again_is_owed_a_restart() {
    let mut on = Guarding::of(Loads::AtStart);
    // One that still runs with what is put back need not be restarted.
    on.edit(&on.with_keys(&[("other", b'o')]));
    on.mends("nobody has loaded it");
    assert_eq!(on.journal.state().load_owed, None);
    let mut on = Guarding::of(Loads::AtStart);
    on.edit(&on.with_keys(&[("other", b'o')]));
    on.cluster.crash_api_server();
    on.await_that("the edit is loaded", |on| {
        on.cluster
            .loaded()
            .is_some_and(|loaded| loaded.names() == ["other"])
    });
    let how = on.mends("it is loaded");
    assert!(how.contains("is to be restarted"), "{how}");
    let known = on.journal.state().encryption.as_ref().map(|known| known.digest);
    assert!(known.is_some());
    assert_eq!(on.journal.state().load_owed, known);
}

/// Its manifest without the flag; as it was before.
fn lose_the_flag(on: &Guarding) -> (PathBuf, String) {
    let manifest = on.cluster.world.manifest(Component::ApiServer);
    let text = std::fs::read_to_string(&manifest).expect("it is there");
    let flagless: String = text
        .lines()
        .filter(|line| !line.contains("encryption-provider-config"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(&manifest, flagless).expect("writable");
    (manifest, text)
}

#[test]
fn what_may_be_written_in_plaintext_is_owed_whoever_gives_the_flag_back() {
    let mut on = Guarding::new();
    let (manifest, text) = lose_the_flag(&on);
    // In audit nothing is done about it.
    let found = on.look(Err("in audit".to_owned()));
    assert!(
        matches!(
            found,
            Guarded::Endangered {
                answer: Answer::Left(_),
                ..
            }
        ),
        "{found:?}"
    );
    assert!(on.journal.state().plaintext_owed);
    on.await_that("its process runs without", |on| {
        on.guard.writes_plaintext().is_some()
    });
    std::fs::write(&manifest, text).expect("writable");
    let found = on.look(Ok(()));
    assert!(matches!(found, Guarded::InOrder), "{found:?}");
    assert!(on.journal.state().plaintext_owed);
    on.await_that("its process runs with one again", |on| {
        on.guard.writes_plaintext().is_none()
    });
}

#[test]
fn a_manifest_without_the_flag_is_to_be_given_its_configuration_back() {
    let mut on = Guarding::new();
    let (manifest, text) = lose_the_flag(&on);
    std::fs::remove_file(on.path()).expect("it was there");
    let found = on.look(Ok(()));
    let Guarded::Endangered {
        answer: Answer::GiveBack(prepared),
        differences,
        ..
    } = found
    else {
        panic!("{found:?}")
    };
    assert!(
        differences
            .iter()
            .any(|one| one.contains("lost --encryption-provider-config"))
    );
    assert!(prepared.is_mending());
    put_in_place(on.node, &on.held, &mut on.journal, &prepared).expect("it can be written");
    // Plaintext of meanwhile stays readable.
    assert_eq!(on.cluster.on_disk().names().len(), 2);
    std::fs::write(&manifest, text).expect("writable");
    assert_eq!(
        plaintext_among_encrypted(on.node, &|| {}).expect("etcd answers"),
        0
    );
}
