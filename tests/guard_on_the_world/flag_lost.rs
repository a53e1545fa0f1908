//! F25: the API server is given a manifest without the flag while a rotation between two keys is under way, and writes plaintext. It is given
//! the stage back, reading plaintext, and the same rotation, or the way back, comes to its end with every value readable at each moment.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holdfast::adapters::clock::Clock;
use holdfast::adapters::journal_store::JournalStore;
use holdfast::domain::{Component, Provider};
use holdfast::rotate::{
    Answer, Guard, Guarded, Pace, Passed, Rotator, To, plaintext_among_encrypted, put_in_place,
};
use holdfast::rotation::{Consent, Rotation, Stage};

use super::Guarding;
use crate::world::at_rest::key_of;
use crate::world::encrypted::Loads;
use crate::world::{node_at, one_node};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long a request of before may commit.
const DRAIN_MS: u64 = 61_000;

pub struct Walking {
    pub on: Guarding,
    rotator: Rotator<'static>,
    clock: Arc<AtomicU64>,
    /// How often it showed that it is alive.
    beats: Rc<Cell<u32>>,
}

impl Walking {
    /// On its way from one key to another; no configuration reads plaintext.
    pub fn between_two_keys() -> Self {
        let clock = Arc::new(AtomicU64::new(0));
        let ahead = Arc::clone(&clock);
        let mut on = Guarding::on(Loads::ByItself, |root| {
            let mut node = node_at(root, Arc::new(Mutex::new(one_node())));
            node.clock = Clock::simulated(None, ahead).expect("Linux has a boot id");
            node
        });
        let keyed = on.text().replace("  - identity: {}\n", "");
        on.edit(&keyed);
        let hash = on.cluster.on_disk().hash;
        on.await_that("the file is loaded", |on| {
            on.cluster.loaded().is_some_and(|loaded| loaded.hash == hash)
        });
        let first = on.look(Ok(()));
        assert!(matches!(first, Guarded::Adopted(_)), "{first:?}");
        let beats = Rc::new(Cell::new(0));
        let rotator = Rotator::new(on.node).expect("an event loop");
        let mut rotator = rotator.beating(super::beating(&beats));
        let to = To::NewKey(Provider::Aescbc);
        rotator
            .begin(&on.held, &mut on.journal, to, Consent::Auto)
            .expect("nothing forbids it");
        assert!(beats.get() > 1, "what is rotated is counted, and then the rest");
        Self {
            on,
            rotator,
            clock,
            beats,
        }
    }

    fn rotation(&self) -> Option<&Rotation> {
        self.on.journal.state().rotations.rotation.as_ref()
    }

    /// Walks until that is so.
    pub fn walk_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            let on = &mut self.on;
            self.beats.set(0);
            let passed = self
                .rotator
                .pass(&on.held, &mut on.journal, Pace::default(), &mut |_| {});
            assert!(!matches!(passed, Ok(Passed::Parked(_))), "{what}: {passed:?}");
            if matches!(&passed, Ok(Passed::Did(what)) if what.contains("written under the new key") || what.contains("was counted"))
            {
                assert!(self.beats.get() > 0, "{passed:?}");
            }
            if matches!(&passed, Ok(Passed::Waits(words)) if words.why.contains("may still commit")) {
                self.clock.fetch_add(DRAIN_MS, Ordering::SeqCst);
            }
            assert!(Instant::now() < deadline, "{what}: {passed:?}");
            let found = on.look(Ok(()));
            assert!(matches!(found, Guarded::InOrder), "{what}: {found:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn walk_to(&mut self, stage: Stage) {
        self.walk_until(&format!("to {stage}"), |walking| {
            let written = walking.rotation().map(|rotation| rotation.written.values());
            written.is_some_and(|mut written| written.any(|written| *written == stage))
        });
    }

    pub fn walk_to_the_end(&mut self) {
        self.walk_until("to the end", |walking| walking.rotation().is_none());
    }

    /// As a `kubeadm upgrade` does it, and as Holdfast answers.
    fn lose_the_flag_and_be_given_it_back(&mut self) {
        let on = &mut self.on;
        let manifest = on.cluster.world.manifest(Component::ApiServer);
        let whole = std::fs::read_to_string(&manifest).expect("it is there");
        let flagless: Vec<&str> = whole
            .lines()
            .filter(|line| !line.contains("encryption-provider-config"))
            .collect();
        std::fs::write(&manifest, flagless.join("\n") + "\n").expect("writable");
        on.await_that("plaintext is written", |on| {
            let values = on.cluster.values();
            values.iter().any(|(_, value)| key_of(value) == "identity")
        });
        let before = on.cluster.on_disk();
        // Who is killed before the manifest is edited does it again, and it is the same.
        for _ in 0..2 {
            on.guard = Guard::new(on.node).expect("an event loop");
            let found = on.look(Ok(()));
            let Guarded::Endangered {
                answer: Answer::GiveBack(prepared),
                ..
            } = found
            else {
                panic!("{found:?}")
            };
            put_in_place(on.node, &on.held, &mut on.journal, &prepared).expect("it can be written");
            let named = [before.names(), vec!["identity"]].concat();
            assert_eq!(
                on.cluster.on_disk().names(),
                named,
                "the same keys, and plaintext"
            );
        }
        let given = on.cluster.on_disk();
        std::fs::write(&manifest, whole).expect("writable");
        on.await_that("it is loaded", |on| {
            on.cluster
                .loaded()
                .is_some_and(|loaded| loaded.hash == given.hash)
        });
    }

    /// The keys of the file, in order.
    fn names(&self) -> Vec<String> {
        let disk = self.on.cluster.on_disk();
        disk.names().into_iter().map(str::to_owned).collect()
    }

    /// Every value is under that key, and each can be read by what is loaded.
    fn all_is_under(&self, key: &str, but: &[&str]) {
        for (path, value) in self.on.cluster.values() {
            let under = key_of(&value);
            assert!(
                under == key || but.contains(&under.as_str()),
                "{path} is under {under}"
            );
        }
        assert_eq!(self.on.cluster.secrets().len(), super::SECRETS.len());
        assert_eq!(self.on.cluster.wrong(), Vec::<String>::new());
    }
}

#[test]
fn in_each_stage_before_the_cut_the_same_rotation_takes_plaintext_out_again() {
    for stage in [Stage::Old, Stage::ReadNew, Stage::WriteNew] {
        let mut walking = Walking::between_two_keys();
        if stage != Stage::Old {
            walking.walk_to(stage);
        }
        walking.lose_the_flag_and_be_given_it_back();
        walking.walk_to_the_end();
        let names = walking.names();
        assert!(
            matches!(names.as_slice(), [new] if new != "old" && new != "identity"),
            "{stage}: {names:?}"
        );
        walking.all_is_under(&names[0], &[]);
        assert_eq!(
            plaintext_among_encrypted(walking.on.node, &|| {}).expect("etcd answers"),
            0
        );
    }
}

/// Who gave the flag back was killed between the file and the journal, and somebody else put the manifest back.
#[test]
fn a_stage_that_reads_plaintext_and_that_the_journal_does_not_know_is_still_the_rotations() {
    let mut walking = Walking::between_two_keys();
    walking.walk_to(Stage::ReadNew);
    walking.lose_the_flag_and_be_given_it_back();
    let on = &mut walking.on;
    let journal = on.node.here(&on.node.layout.state).join("journal");
    let whole = std::fs::read_to_string(&journal).expect("it is there");
    let told = |line: &&str| !line.contains("plaintext-read");
    let lines: Vec<&str> = whole.lines().collect();
    let kept: Vec<&str> = lines.iter().copied().take_while(told).collect();
    assert_eq!(kept.len(), lines.len() - 1, "{whole}");
    std::fs::write(&journal, kept.join("\n") + "\n").expect("writable");
    on.journal = JournalStore::open(&on.node.files, &on.node.layout, &on.held, on.node.clock.now())
        .expect("a journal that ends earlier");
    assert!(on.journal.state().plaintext_owed);
    walking.walk_to_the_end();
    let names = walking.names();
    assert!(
        matches!(names.as_slice(), [new] if new != "old" && new != "identity"),
        "{names:?}"
    );
    walking.all_is_under(&names[0], &[]);
}

#[test]
fn once_the_cut_is_made_plaintext_stays_readable_and_is_owed_to_the_next_rotation() {
    let mut walking = Walking::between_two_keys();
    walking.walk_to(Stage::New);
    walking.lose_the_flag_and_be_given_it_back();
    walking.walk_to_the_end();
    let names = walking.names();
    assert!(
        matches!(names.as_slice(), [_, plain] if plain == "identity"),
        "{names:?}"
    );
    walking.all_is_under(&names[0], &["identity"]);
    assert!(walking.on.journal.state().plaintext_owed);
}

#[test]
fn the_way_back_ends_with_the_old_key_and_plaintext_readable() {
    let mut walking = Walking::between_two_keys();
    walking.walk_to(Stage::WriteNew);
    walking.lose_the_flag_and_be_given_it_back();
    let on = &mut walking.on;
    walking
        .rotator
        .roll_back(&on.held, &mut on.journal)
        .expect("nothing was cut");
    walking.walk_to_the_end();
    assert_eq!(walking.on.cluster.on_disk().names(), ["old", "identity"]);
    walking.all_is_under("old", &["identity"]);
    assert!(walking.on.journal.state().plaintext_owed);
}
