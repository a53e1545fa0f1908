//! A cluster for the tests of this folder: one node, or more, in any stage.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::{BootId, Digest, Fact, Instant, KeyId, Provider};

pub const OLD: &str = "old";
pub const NEW: &str = "new";

pub fn key(name: &str) -> KeyId {
    KeyId::Key {
        provider: Provider::Aescbc,
        name: name.parse().unwrap(),
    }
}

pub fn chain(names: &[&str]) -> Chain {
    Chain::new(names.iter().map(|name| key(name)).collect()).unwrap()
}

pub fn node(name: &str) -> NodeName {
    NodeName(name.to_owned())
}

/// A moment, in seconds since boot.
pub fn at(second: u64) -> Instant {
    Instant {
        wall: jiff::Timestamp::from_second(i64::try_from(second).unwrap()).unwrap(),
        boot: BootId("boot".to_owned()),
        since_boot_ms: second * 1000,
    }
}

pub fn generation(stage: Stage) -> Generation {
    Generation::File(Digest::of(stage.to_string().as_bytes()))
}

pub fn begun() -> Event {
    Event::Begun {
        id: "r1".to_owned(),
        found: generation(Stage::Old),
        old: chain(&[OLD]),
        new: key(NEW),
        cut: Consent::Auto,
    }
}

/// The journal after these events, all at second 0.
pub fn history(events: &[Event]) -> History {
    events.iter().fold(History::default(), |history, event| {
        record(&history, event, &at(0)).unwrap()
    })
}

/// The intent of a stage on the way forward, where nothing else was intended but the stages before it.
pub fn intended(stage: Stage) -> Event {
    Event::ConfigIntended {
        epoch: stage as u32,
        stage,
        generation: generation(stage),
    }
}

pub fn loaded(stage: Stage) -> Event {
    let nodes = BTreeSet::from([node("a")]);
    Event::Loaded { stage, nodes }
}

/// The events that lead to the goal `stage` on the way forward, everything durable and proven on the way.
pub fn events_to(stage: Stage) -> Vec<Event> {
    let mut events = vec![begun(), Event::KeyIntended { key: key(NEW) }];
    for passed in [Stage::ReadNew, Stage::WriteNew, Stage::New] {
        if passed > stage {
            break;
        }
        if passed == Stage::New {
            events.push(loaded(Stage::WriteNew));
            events.push(Event::DrainEnded {
                revision: Revision(10),
            });
            events.push(Event::Verified {
                revision: Revision(20),
            });
        }
        events.push(intended(passed));
        events.push(Event::ConfigWritten {
            node: node("a"),
            stage: passed,
        });
    }
    events
}

pub fn rotation_at(stage: Stage) -> Rotation {
    history(&events_to(stage)).rotation.unwrap()
}

pub fn view(rotation: &Rotation, disk: Stage, running: Stage) -> NodeView {
    NodeView {
        disk: Fact::Known(OnDisk {
            generation: generation(disk),
            chain: rotation.chain(disk),
        }),
        running: Fact::Known(generation(running)),
    }
}

pub fn members(names: &[&str]) -> Fact<Membership> {
    Fact::Known(Membership {
        nodes: names.iter().map(|name| node(name)).collect(),
        strangers: BTreeSet::new(),
    })
}

pub fn census(revision: u64, values: &[(KeyId, u64)]) -> Census {
    let tally = |count| Tally {
        count,
        newest: Revision(5),
    };
    Census {
        first: Revision(revision),
        last: Revision(revision),
        at: at(1000),
        values: values
            .iter()
            .map(|(key, count)| (key.clone(), tally(*count)))
            .collect(),
        unknown: BTreeMap::new(),
        foreign_kms: None,
        undecryptable: None,
        elsewhere: BTreeMap::new(),
    }
}

/// One node at `stage` on disk and in memory, 1000 s after boot; every value under the new key; all compacted and kept.
pub fn world(rotation: &Rotation, stage: Stage) -> World {
    World {
        now: at(1000),
        members_before: members(&["a"]),
        nodes: BTreeMap::from([(node("a"), view(rotation, stage, stage))]),
        members_after: members(&["a"]),
        etcd: Fact::Known(Etcd {
            revision: Revision(30),
            compacted: Revision(25),
        }),
        census: Fact::Known(census(20, &[(key(NEW), 3)])),
        watch: Fact::Known(Watch {
            from: Revision(20),
            writes: BTreeMap::from([(key(NEW), Revision(22))]),
        }),
        stuck: Stuck::default(),
        keys: Fact::Known(KeyStore {
            copies: BTreeMap::from([(key(OLD), 1), (key(NEW), 1)]),
            retained: BTreeSet::from([key(OLD), key(NEW)]),
        }),
    }
}
