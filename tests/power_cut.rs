//! The power is cut during a rotation of encryption keys: the file-system calls of a whole one are recorded, and replayed into every state
//! that un-synced data and names allow after each of them; the rotation is brought to its end from there.
//!
//! All states are checked; a rotation is run from every fourth, and from each of them with `HOLDFAST_FULL=1`.
#![cfg(feature = "failpoints")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test touches the node from outside, and fails loudly"
)]

#[path = "power_cut/disk.rs"]
mod disk;
mod rotating;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast::adapters::failpoint::{Kind, Side, Told};
use holdfast::adapters::journal_store::JournalStore;
use holdfast::domain::Digest;
use holdfast::rotation::{Generation, History};

use disk::{Disk, Files};
use rotating::{ROTATE, Run, Writes, brought_to_its_end, is_done, is_of_run, observed, side_by_side};
use world::at_rest::{AtRest, key_of};
use world::encrypted::{CONFIG, Cluster, Contents, Loads, STATE, values};
use world::etcd::Store;
use world::{node_at, one_node};

/// Of so many states one is recovered, without `HOLDFAST_FULL`.
const SAMPLE: usize = 4;
const SECRETS: [&str; 3] = ["default/a", "kube-system/b", "other/c"];

#[test]
#[ignore = "the process that the other tests start"]
fn child_command() {
    rotating::child();
}

/// A point of the recorded rotation, and what etcd had then.
struct Step {
    told: Told,
    etcd: Store,
}

/// What a cut leaves, and after which point.
struct State {
    files: Files,
    etcd: Store,
    point: String,
}

struct Recorded {
    states: Vec<State>,
    /// Every configuration that was ever in place.
    generations: BTreeSet<Digest>,
    secrets: BTreeMap<String, Vec<u8>>,
}

fn plain(files: &BTreeMap<PathBuf, (u32, Vec<u8>)>) -> Files {
    files
        .iter()
        .map(|(path, (_, bytes))| (path.clone(), bytes.clone()))
        .collect()
}

/// A whole rotation, and all states that a cut at any of its points may leave; each once.
fn recorded() -> Recorded {
    let cluster = Cluster::new(Loads::ByItself, &SECRETS, None);
    cluster.serving();
    let secrets = cluster.secrets();
    let mut disk = Disk::of(&plain(&cluster.contents().files));
    let steps: Arc<Mutex<Vec<Step>>> = Arc::default();
    let (kept, etcd) = (Arc::clone(&steps), cluster.etcd());
    let code = observed(&cluster, ROTATE, move |told| {
        if is_of_run(&told.path) {
            return;
        }
        // A server that sees a new name uses it before the name is durable.
        if told.side == Side::After && told.kind == Kind::Rename && told.to.ends_with(CONFIG) {
            std::thread::sleep(Duration::from_millis(60));
        }
        let etcd = etcd.store().clone();
        let told = told.clone();
        kept.lock()
            .expect("no thread panics with it")
            .push(Step { told, etcd });
    });
    assert_eq!(code, 0);
    is_done(&cluster, Writes::NewKey, &secrets, "recorded");

    let steps = std::mem::take(&mut *steps.lock().expect("no thread panics with it"));
    let mut generations = BTreeSet::from([digest(&disk.now()[Path::new(CONFIG)])]);
    let mut seen = BTreeSet::new();
    let mut states = Vec::new();
    for (number, step) in steps.into_iter().enumerate() {
        if step.told.side == Side::After {
            disk.take(&step.told, cluster.world.root());
            generations.insert(digest(&disk.now()[Path::new(CONFIG)]));
        }
        let under: Vec<(String, String)> = values(&step.etcd)
            .into_iter()
            .map(|(key, value)| (key, key_of(&value)))
            .collect();
        for files in disk.after_a_cut() {
            if seen.insert((files.clone(), under.clone())) {
                let point = format!(
                    "{number}, {:?} {:?} {}",
                    step.told.side,
                    step.told.kind,
                    step.told.path.display()
                );
                let etcd = step.etcd.clone();
                states.push(State { files, etcd, point });
            }
        }
    }
    assert_eq!(
        disk.now(),
        plain(&cluster.contents().files),
        "every change of a file was recorded"
    );
    Recorded {
        states,
        generations,
        secrets,
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(bytes)
}

/// What the journal of a state tells of rotations; it can be read after any cut.
fn history(state: &State) -> History {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, bytes) in &state.files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("below the root")).expect("writable");
        std::fs::write(&path, bytes).expect("writable");
    }
    let node = node_at(folder.path(), Arc::new(Mutex::new(one_node())));
    let journal = JournalStore::peek(&node.files, &node.layout);
    journal
        .unwrap_or_else(|why| panic!("{}: {why}", state.point))
        .rotations
}

/// The configuration is one of those that were meant, byte for byte, and reads every value; its keys are stored; and the journal claims
/// nothing that is not there.
fn is_sound(state: &State, generations: &BTreeSet<Digest>) {
    let point = &state.point;
    let bytes = state
        .files
        .get(Path::new(CONFIG))
        .unwrap_or_else(|| panic!("{point}: the configuration is gone"));
    let on_disk = digest(bytes);
    assert!(
        generations.contains(&on_disk),
        "{point}: a configuration that nobody meant"
    );
    let config = AtRest::parse(bytes).unwrap_or_else(|why| panic!("{point}: {why}"));
    let mut in_use: BTreeSet<String> = config.names().into_iter().map(str::to_owned).collect();
    for (key, value) in values(&state.etcd) {
        assert!(
            config.open(&value).is_some(),
            "{point}: {key} is under {}",
            key_of(&value)
        );
        in_use.insert(key_of(&value));
    }
    let keys = Path::new(STATE).join("keys");
    let stored: Vec<AtRest> = state
        .files
        .iter()
        .filter(|(path, _)| path.starts_with(&keys) && path.extension().is_some_and(|end| end == "yaml"))
        .map(|(path, bytes)| {
            AtRest::parse(bytes).unwrap_or_else(|why| panic!("{point}: {}: {why}", path.display()))
        })
        .collect();
    for name in in_use.iter().filter(|name| name.starts_with("hf")) {
        assert!(
            stored.iter().any(|config| config.names() == [name.as_str()]),
            "{point}: {name} is not stored"
        );
    }
    let Some(rotation) = history(state).rotation else {
        return;
    };
    let place = rotation.place(Generation::File(on_disk));
    let place =
        place.unwrap_or_else(|| panic!("{point}: the configuration is none that the journal intended"));
    for written in rotation.written.values() {
        assert!(
            rotation.rank(place) >= rotation.rank(*written),
            "{point}: the journal claims {written} on disk, it is {place}"
        );
    }
    // What is to be written next can be had.
    for generation in rotation.generations.values() {
        let Generation::File(digest) = generation else {
            panic!("{point}: no file")
        };
        let kept = Path::new(STATE).join(format!("retained/configuration-{digest}.yaml"));
        assert!(
            state.files.contains_key(&kept),
            "{point}: the configuration {} is not kept",
            digest.short()
        );
    }
}

/// The machine boots in that state, the API server starts with what is on the disk, and the command is given again.
fn recovers(state: &State, secrets: &BTreeMap<String, Vec<u8>>) {
    let contents = Contents {
        files: state
            .files
            .iter()
            .map(|(path, bytes)| (path.clone(), (0o600, bytes.clone())))
            .collect(),
        etcd: state.etcd.clone(),
    };
    let cluster = Cluster::of(Loads::ByItself, contents, None);
    cluster.serving();
    let run = Run {
        words: ROTATE,
        boot: Some("the-next-boot"),
        ..Run::default()
    };
    brought_to_its_end(&cluster, &run, &state.point);
    is_done(&cluster, Writes::NewKey, secrets, &state.point);
}

#[test]
fn every_state_that_a_power_cut_may_leave_is_sound_and_recovers() {
    let recorded = recorded();
    let count = recorded.states.len();
    for state in &recorded.states {
        is_sound(state, &recorded.generations);
    }
    let new_key_before_its_name_is_durable = recorded.states.iter().filter(|state| {
        let config = AtRest::parse(&state.files[Path::new(CONFIG)]).expect("it is sound");
        let writes = config.names().first().copied().unwrap_or_default().to_owned();
        values(&state.etcd)
            .iter()
            .any(|(_, value)| key_of(value).starts_with("hf"))
            && writes == "old"
    });
    assert!(
        new_key_before_its_name_is_durable.count() > 0,
        "a server uses a name that is lost"
    );
    assert!(count > 80, "{count} states are too few for a whole rotation");
    let stride = if std::env::var_os("HOLDFAST_FULL").is_some() {
        1
    } else {
        SAMPLE
    };
    side_by_side(0, stride, |number| {
        let Some(state) = recorded.states.get(number) else {
            return false;
        };
        recovers(state, &recorded.secrets);
        true
    });
}
