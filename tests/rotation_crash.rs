//! `kill -9` before and after every outside act of a rotation of encryption keys, on a simulated node that lives on: no value becomes
//! unreadable, and the same command brings the rotation to its end.
//!
//! Of a rotation whose API server loads by itself every point is tried; of the other walks a sample, and every point with `HOLDFAST_FULL=1`.
#![cfg(feature = "failpoints")]
#![expect(clippy::expect_used, reason = "a test fails loudly")]

mod rotating;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use holdfast::domain::Component;
use rotating::{
    ABORT, DISABLE, Ended, ROTATE, Run, Writes, brought_to_its_end, history, holds, is_done, points, said,
    side_by_side,
};
use world::at_rest::AtRest;
use world::encrypted::{CONFIG, Cluster, Loads};

/// Every kind of point that a rotation passes.
const KINDS: [&str; 11] = [
    "After Patch",
    "After Record",
    "After Rename",
    "Before Create",
    "Before MakeFolder",
    "Before Patch",
    "Before Record",
    "Before Rename",
    "Before Sync",
    "Before SyncFolder",
    "Before Write",
];
const SECRETS: [&str; 4] = ["default/a", "default/b", "kube-system/c", "other/d"];

#[test]
#[ignore = "the process that the other tests kill"]
fn child_command() {
    rotating::child();
}

fn cluster(loads: Loads) -> Cluster {
    let cluster = Cluster::new(loads, &SECRETS, None);
    cluster.serving();
    cluster
}

fn run(words: &str) -> Run<'_> {
    Run {
        words,
        ..Run::default()
    }
}

#[test]
fn a_rotation_that_nobody_kills_ends_with_everything_under_the_new_key() {
    for loads in [Loads::ByItself, Loads::AtStart] {
        let cluster = cluster(loads);
        let secrets = cluster.secrets();
        assert_eq!(run(ROTATE).on(&cluster), Ended::Code(0));
        is_done(&cluster, Writes::NewKey, &secrets, "undisturbed");
    }
}

/// One of so many points is tried; each of them with `HOLDFAST_FULL=1`.
fn sample(one_of: usize) -> usize {
    if std::env::var_os("HOLDFAST_FULL").is_some() {
        1
    } else {
        one_of
    }
}

/// What is walked, and how it ends.
struct Walk {
    words: &'static str,
    /// The command that brings it to its end.
    again: &'static str,
    writes: Writes,
    loads: Loads,
    /// Every point that is tried is so far from the last.
    stride: usize,
}

/// Brings a new node to where the walk begins.
type Begin = fn(&Cluster);

/// Kills at point after point until a run comes to its end; which kinds of points were met, and how many points there were.
fn killed_at_every_point(walk: &Walk, begin: Begin) -> (BTreeSet<String>, usize) {
    let met = Mutex::new(BTreeSet::new());
    let end = side_by_side(1, walk.stride, |number| {
        let point = format!("{}, point {number}", walk.words);
        let cluster = cluster(walk.loads);
        let secrets = cluster.secrets();
        begin(&cluster);
        let killed = Run {
            words: walk.words,
            kill_at: number,
            ..Run::default()
        };
        let ended = killed.on(&cluster);
        let points = points(&cluster);
        met.lock()
            .expect("no thread panics with it")
            .extend(points.last().cloned());
        if ended == Ended::Code(0) {
            is_done(&cluster, walk.writes, &secrets, &point);
            return false;
        }
        assert_eq!(
            (ended, points.len()),
            (Ended::Killed, number),
            "{point}: {}",
            said(&cluster)
        );
        let point = format!(
            "{point}, {}",
            points.last().expect("the one that it was killed at")
        );
        holds(&cluster, &point);
        // The API server may restart at any time, and has what is on the disk then; without its manifest nobody starts it.
        let is_in = cluster.world.manifest(Component::ApiServer).exists();
        if number % 3 == 0 && is_in && cluster.loaded().is_some() {
            cluster.crash_api_server();
            cluster.serving();
            holds(&cluster, &point);
        }
        brought_to_its_end(&cluster, &run(walk.again), &point);
        cluster.serving();
        is_done(&cluster, walk.writes, &secrets, &point);
        true
    });
    (met.into_inner().expect("no thread panics with it"), end)
}

#[test]
fn a_kill_at_any_point_of_a_rotation_costs_no_value_and_the_same_command_ends_it() {
    let walk = Walk {
        words: ROTATE,
        again: ROTATE,
        writes: Writes::NewKey,
        loads: Loads::ByItself,
        stride: 1,
    };
    let (met, points) = killed_at_every_point(&walk, |_| {});
    let met: Vec<&str> = met.iter().map(String::as_str).collect();
    assert_eq!(met, KINDS);
    assert!(points > 120, "{points} points are too few for a whole rotation");
}

#[test]
fn a_kill_on_the_way_to_plaintext_costs_no_value() {
    let walk = Walk {
        words: DISABLE,
        again: DISABLE,
        writes: Writes::Plaintext,
        loads: Loads::ByItself,
        stride: sample(13),
    };
    let (_, points) = killed_at_every_point(&walk, |_| {});
    assert!(points > 100, "{points} points are too few for a whole walk");
}

/// A rotation that is killed when its second value has been rewritten.
fn rewriting(cluster: &Cluster) {
    static SECOND: OnceLock<usize> = OnceLock::new();
    let second = SECOND.get_or_init(|| {
        let other = self::cluster(Loads::ByItself);
        assert_eq!(run(ROTATE).on(&other), Ended::Code(0), "{}", said(&other));
        let points = points(&other);
        let patched = points
            .iter()
            .enumerate()
            .filter(|(_, point)| *point == "After Patch");
        patched.take(2).last().expect("it rewrites").0 + 1
    });
    let killed = Run {
        words: ROTATE,
        kill_at: *second,
        ..Run::default()
    };
    assert_eq!(killed.on(cluster), Ended::Killed);
}

#[test]
fn a_kill_on_the_way_back_costs_no_value() {
    let walk = Walk {
        words: ABORT,
        again: ABORT,
        writes: Writes::Old,
        loads: Loads::ByItself,
        stride: sample(13),
    };
    let (_, points) = killed_at_every_point(&walk, rewriting);
    assert!(points > 60, "{points} points are too few for the way back");
}

#[test]
fn a_kill_at_some_points_of_a_rotation_by_restarts_costs_no_value() {
    let walk = Walk {
        words: ROTATE,
        again: ROTATE,
        writes: Writes::NewKey,
        loads: Loads::AtStart,
        stride: sample(23),
    };
    let (_, points) = killed_at_every_point(&walk, |_| {});
    assert!(
        points > 170,
        "{points} points are too few for a rotation with three restarts"
    );
}

/// A rotation that is killed when its first configuration is on the disk and no restart has been begun.
fn written_and_not_loaded() -> Cluster {
    let killed_at = |number| {
        let cluster = cluster(Loads::AtStart);
        let before = cluster.on_disk();
        let killed = Run {
            words: ROTATE,
            kill_at: number,
            ..Run::default()
        };
        assert_eq!(killed.on(&cluster), Ended::Killed, "{}", said(&cluster));
        let is_written = cluster.on_disk() != before;
        assert!(!is_written || cluster.loaded() == Some(before), "point {number}");
        is_written.then_some(cluster)
    };
    (1..100)
        .find_map(killed_at)
        .expect("the first write is among the first points")
}

/// The server never loaded another file than the operator's, and nothing restarts it on the way back: it runs with what is on the disk only
/// if that is the same file again.
#[test]
fn the_way_back_from_a_file_that_nobody_loaded_gives_the_operators_file_back() {
    let cluster = written_and_not_loaded();
    let secrets = cluster.secrets();
    let loaded = cluster.loaded();
    assert_eq!(run(ABORT).on(&cluster), Ended::Code(0), "{}", said(&cluster));
    assert_eq!(Some(cluster.on_disk()), loaded, "{}", said(&cluster));
    assert!(!said(&cluster).contains("bounce"), "{}", said(&cluster));
    is_done(&cluster, Writes::Old, &secrets, "back");
}

/// The write key is Holdfast's.
fn is_written_by_the_new_key(bytes: &[u8]) -> bool {
    AtRest::parse(bytes).is_ok_and(|config| config.names().first().is_some_and(|name| name.starts_with("hf")))
}

/// The exit code of a command that did not come to what it is for.
const DRIFT: Ended = Ended::Code(2);
/// The points of a restart's end, of the putting back, and of the parking.
const PUTTING_BACK: usize = 22;
const SOON: &str = "mode: audit\ndisruption: { deadline: 10s }\n";

/// A rotation that restarts the API server, which does not start once the new key writes.
fn refusing() -> Cluster {
    let cluster = Cluster::new(Loads::AtStart, &SECRETS[..2], Some(SOON));
    cluster.serving();
    cluster.does_not_bear(Some(is_written_by_the_new_key));
    cluster
}

/// After the API server refused it, the configuration of before is back, and the rotation waits for the operator.
fn is_put_back(cluster: &Cluster, secrets: &BTreeMap<String, Vec<u8>>, point: &str) {
    cluster.serving();
    holds(cluster, point);
    let names = cluster
        .on_disk()
        .names()
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    assert!(
        matches!(names.as_slice(), [old, new, _] if old == "old" && new.starts_with("hf")),
        "{point}: {names:?}"
    );
    assert_eq!(cluster.loaded(), Some(cluster.on_disk()), "{point}");
    assert_eq!(&cluster.secrets(), secrets, "{point}");
    let rotation = history(cluster).rotation.expect("it is under way");
    assert!(rotation.refused.is_some(), "{point}: {rotation:?}");
}

/// Once the API server bears it, the same command goes on; while it does not, the way back is open.
#[test]
fn an_api_server_that_refuses_a_configuration_gets_the_one_before_back_and_goes_on_or_back_with_it() {
    for (words, writes) in [(ROTATE, Writes::NewKey), (ABORT, Writes::Old)] {
        let cluster = refusing();
        let secrets = cluster.secrets();
        let ended = run(ROTATE).on(&cluster);
        assert_eq!(ended, DRIFT, "{}", said(&cluster));
        is_put_back(&cluster, &secrets, words);
        if words == ROTATE {
            cluster.does_not_bear(None);
        }
        assert_eq!(run(words).on(&cluster), Ended::Code(0), "{}", said(&cluster));
        is_done(&cluster, writes, &secrets, words);
    }
}

/// F22: the server goes on with the configuration of before. That one goes back at once, so that no restart meets what is refused.
#[test]
fn a_configuration_that_is_refused_at_a_reload_is_put_back_and_the_rotation_goes_on_or_back() {
    for (words, writes) in [(ROTATE, Writes::NewKey), (ABORT, Writes::Old)] {
        let cluster = Cluster::new(Loads::ByItself, &SECRETS[..2], None);
        cluster.serving();
        let secrets = cluster.secrets();
        cluster.refuses_to_reload(Some(is_written_by_the_new_key));
        assert_eq!(run(ROTATE).on(&cluster), DRIFT, "{}", said(&cluster));
        is_put_back(&cluster, &secrets, words);
        assert!(
            said(&cluster).contains("refused it; its log says why"),
            "{}",
            said(&cluster)
        );
        if words == ROTATE {
            cluster.refuses_to_reload(None);
        }
        assert_eq!(run(words).on(&cluster), Ended::Code(0), "{}", said(&cluster));
        is_done(&cluster, writes, &secrets, words);
    }
}

/// F24: a machine that was cloned with its host name shares the identity lease of this node's API server.
#[test]
fn another_host_of_the_same_name_is_noticed_and_nothing_is_cut_beside_it() {
    let cluster = cluster(Loads::ByItself);
    let secrets = cluster.secrets();
    cluster.has_twin(true);
    assert_eq!(run(ROTATE).on(&cluster), DRIFT, "{}", said(&cluster));
    let told = said(&cluster);
    assert!(
        told.contains("the API server of another host with the name"),
        "{told}"
    );
    assert!(cluster.on_disk().names().contains(&"old"), "{told}");
    holds(&cluster, "beside a twin");
    cluster.has_twin(false);
    assert_eq!(run(ROTATE).on(&cluster), Ended::Code(0), "{}", said(&cluster));
    is_done(&cluster, Writes::NewKey, &secrets, "the twin is gone");
}

/// `--etcd-compaction-interval=0`: the API server notes no compaction, and etcd is asked itself.
#[test]
fn a_key_is_cut_where_etcd_compacts_by_itself() {
    let cluster = Cluster::new(Loads::ByItself, &SECRETS, None);
    cluster.compacts_by_itself();
    cluster.serving();
    let secrets = cluster.secrets();
    assert_eq!(run(ROTATE).on(&cluster), Ended::Code(0), "{}", said(&cluster));
    is_done(&cluster, Writes::NewKey, &secrets, "compacted by itself");
}

/// The pattern of Kubernetes' own documents: events are not worth a key, and everything else is.
#[test]
fn events_that_are_left_in_plaintext_hold_no_rotation_of_everything_else() {
    const EVENT: &str = "/registry/events/default/e";
    let mut contents = cluster(Loads::ByItself).contents();
    let (_, bytes) = contents
        .files
        .get_mut(Path::new(CONFIG))
        .expect("the configuration");
    let text = String::from_utf8(std::mem::take(bytes)).expect("a text");
    let wide = "- resources: [events]\n  providers:\n  - identity: {}\n- resources: ['*.*']";
    *bytes = text.replace("- resources: [secrets]", wide).into_bytes();
    contents.etcd.put(EVENT.as_bytes(), Some(br#"{"kind":"Event"}"#));
    let cluster = Cluster::of(Loads::ByItself, contents, None);
    cluster.serving();
    let secrets = cluster.secrets();
    assert_eq!(run(ROTATE).on(&cluster), Ended::Code(0), "{}", said(&cluster));
    is_done(&cluster, Writes::NewKey, &secrets, "beside events");
    let event = cluster.etcd().store().newest(EVENT.as_bytes());
    assert_eq!(event.expect("it is there").1, &br#"{"kind":"Event"}"#[..]);
}

/// A resource that Holdfast does not know, as of a newer API server: nobody looks for its values where they are.
const ELSEWHERE: &str = "/registry/newthings/a";

/// A value of an unknown place is under the old key: it is named before the start, and it is named before the cut.
#[test]
fn a_value_under_the_old_key_outside_of_what_is_known_to_be_covered_holds_the_cut() {
    for is_begun in [false, true] {
        let cluster = cluster(Loads::ByItself);
        let secrets = cluster.secrets();
        let value = cluster
            .on_disk()
            .seal(br#"{"kind":"NewThing","metadata":{"name":"a"}}"#);
        if is_begun {
            rewriting(&cluster);
        }
        cluster.etcd().put(ELSEWHERE, &value);
        assert_ne!(run(ROTATE).on(&cluster), Ended::Code(0), "{}", said(&cluster));
        let told = said(&cluster);
        assert!(told.contains(ELSEWHERE), "{told}");
        assert!(cluster.on_disk().names().contains(&"old"), "{told}");
        assert_eq!(history(&cluster).rotation.is_some(), is_begun, "{told}");
        holds(&cluster, ELSEWHERE);
        cluster.etcd().delete(ELSEWHERE);
        assert_eq!(run(ROTATE).on(&cluster), Ended::Code(0), "{}", said(&cluster));
        is_done(&cluster, Writes::NewKey, &secrets, ELSEWHERE);
    }
}

/// A restart may pass a point less on a busy machine, and the whole command then ends before that number: it is tried anew.
fn refused_and_killed_at(number: usize) -> (Cluster, BTreeMap<String, Vec<u8>>) {
    let mut tries = 5;
    loop {
        let cluster = refusing();
        let secrets = cluster.secrets();
        let killed = Run {
            words: ROTATE,
            kill_at: number,
            ..Run::default()
        };
        let ended = killed.on(&cluster);
        if ended == Ended::Killed {
            return (cluster, secrets);
        }
        let passed = points(&cluster).len();
        assert!(
            ended == DRIFT && passed < number && tries > 0,
            "{number}: {ended:?} after {passed} points: {}",
            said(&cluster)
        );
        tries -= 1;
    }
}

/// Killed while the configuration of before is being put back, or just before: the next command puts it back first, whichever it is.
#[test]
fn a_kill_while_a_configuration_is_put_back_leaves_a_node_that_the_next_command_mends() {
    let whole = {
        let cluster = refusing();
        assert_eq!(run(ROTATE).on(&cluster), DRIFT, "{}", said(&cluster));
        points(&cluster)
    };
    // From the end of the restart on: its record, the record of what comes back, the file, the record that it waits for the operator.
    let first = whole.len() - PUTTING_BACK;
    side_by_side(first, sample(2), |number| {
        if number > whole.len() {
            return false;
        }
        let (cluster, secrets) = refused_and_killed_at(number);
        let point = format!("point {number} of {}, {:?}", whole.len(), points(&cluster).last());
        holds(&cluster, &point);
        let (words, writes) = if number / 2 % 2 == 0 {
            (ROTATE, Writes::NewKey)
        } else {
            (ABORT, Writes::Old)
        };
        if words == ROTATE {
            cluster.does_not_bear(None);
        }
        assert_eq!(
            run(words).on(&cluster),
            Ended::Code(0),
            "{point}: {}",
            said(&cluster)
        );
        cluster.serving();
        is_done(&cluster, writes, &secrets, &point);
        true
    });
}
