//! The guards of a beginning and of a way back: what an operator asks for, and why it is refused.

use super::{Census, Consent, Event, History, Hold, OnDisk, Stage, World, guards};
use crate::domain::{Fact, KeyId};
use crate::encryption::are_distinct;

/// What is asked for. A change of provider, enabling (from plaintext) and disabling (to plaintext) are the same walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// An id that no rotation had before.
    pub id: String,
    /// The key that is to write: a name that was never used, or plaintext.
    pub new: KeyId,
    /// Whether the cut waits for the operator.
    pub cut: Consent,
}

/// Why a request is refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Never two at a time (F29).
    #[error("rotation {0} is under way: let it finish, or roll it back first")]
    UnderWay(String),
    /// There is none to roll back.
    #[error("no rotation is under way")]
    NoRotation,
    /// There is no way back from a cut.
    #[error(
        "rotation {0} is past its cut: the old key is gone from the configuration. It is among the retained keys \
         (`holdfast encryption keys`); to write with another key again, begin a new rotation"
    )]
    Cut(String),
    /// It is on its way back already.
    #[error("rotation {0} is being rolled back already")]
    Turned(String),
    /// The world does not allow it now.
    #[error("{why}. To do: {remedy}")]
    World {
        /// What is wrong.
        why: String,
        /// What the operator can do.
        remedy: String,
    },
    /// Not all servers have the same configuration, on disk and in memory.
    #[error(
        "the API server of {node} does not have the same configuration as the others, on disk and in memory: {found}"
    )]
    Uneven {
        /// The node.
        node: String,
        /// What it has.
        found: String,
    },
    /// The key writes already.
    #[error("{0} is the key that writes already")]
    AlreadyWrites(KeyId),
    /// The name was used before (I7; F45).
    #[error("the key name of {0} was used before, by a key or by a stored value; a name is used once")]
    UsedName(KeyId),
    /// Values under the two could not be told apart (F46).
    #[error(
        "values under {0} and {1} cannot be told apart: one name begins with the other and a colon, or the new one contains a colon"
    )]
    AmbiguousName(KeyId, KeyId),
}

/// The event that begins the rotation.
///
/// # Errors
/// Says what stands against it: another rotation, a server that is down or differs, values that cannot be read, a name used before.
pub fn begin(history: &History, request: &Request, world: &World) -> Result<Event, Refusal> {
    if let Some(rotation) = &history.rotation {
        return Err(Refusal::UnderWay(rotation.id.clone()));
    }
    let found = one_configuration(world)?;
    if found.chain.write_key() == &request.new {
        return Err(Refusal::AlreadyWrites(request.new.clone()));
    }
    let census = clean_census(found, world)?;
    unused_name(history, found, census, &request.new)?;
    Ok(Event::Begun {
        id: request.id.clone(),
        found: found.generation,
        old: found.chain.clone(),
        new: request.new.clone(),
        cut: request.cut,
    })
}

/// The event that turns the rotation back, or gives it up where nothing was written yet (F31).
///
/// # Errors
/// When there is none, or it is past its cut.
pub fn rollback(history: &History) -> Result<Event, Refusal> {
    match &history.rotation {
        None => Err(Refusal::NoRotation),
        Some(rotation) if rotation.is_cutting() => Err(Refusal::Cut(rotation.id.clone())),
        Some(rotation) if rotation.direction == super::Direction::Back => {
            Err(Refusal::Turned(rotation.id.clone()))
        }
        Some(rotation) if rotation.goal == Stage::Old => Ok(Event::Aborted {
            why: "the operator gave it up".to_owned(),
        }),
        Some(_) => Ok(Event::RollbackAsked),
    }
}

impl From<Hold> for Refusal {
    fn from(hold: Hold) -> Self {
        let (Hold::Wait(words) | Hold::Park(words) | Hold::Ask(words)) = hold;
        Self::World {
            why: words.why,
            remedy: words.remedy,
        }
    }
}

/// All servers are there, and have one configuration, on disk and proven in memory (F11, F17).
fn one_configuration(world: &World) -> Result<&OnDisk, Refusal> {
    let mut one = None;
    for (node, view) in guards::members(world)? {
        let disk = guards::on_disk(node, view)?;
        let first = *one.get_or_insert(disk);
        if disk != first || view.running != Fact::Known(disk.generation) {
            let running = match &view.running {
                Fact::Known(generation) => format!("it runs with {generation}"),
                Fact::Absent => "it is down".to_owned(),
                Fact::Unknown(reason) => format!("what it runs with is not proven: {reason}"),
            };
            return Err(Refusal::Uneven {
                node: node.to_string(),
                found: format!("{} on disk; {running}", disk.generation),
            });
        }
    }
    one.ok_or_else(|| Hold::wait("no control-plane node is listed", "make the API server answer").into())
}

/// Every stored value can be read as things are (F37).
fn clean_census<'a>(found: &OnDisk, world: &'a World) -> Result<&'a Census, Refusal> {
    let census = match &world.census {
        Fact::Known(census) => census,
        Fact::Absent => {
            return Err(Hold::wait(
                "what etcd holds was counted, and etcd did not tell what was written since",
                "try again; see whether etcd has much to do",
            )
            .into());
        }
        Fact::Unknown(reason) => {
            return Err(Hold::wait(format!("the census failed: {reason}"), "mend that").into());
        }
    };
    guards::readable(&found.chain, census)?;
    guards::nowhere_else(census, found.chain.keys())?;
    Ok(census)
}

/// The name is new to the configuration, to etcd and to the journal, and its values can be told from all others (I7).
fn unused_name(history: &History, found: &OnDisk, census: &Census, new: &KeyId) -> Result<(), Refusal> {
    let KeyId::Key { provider, name } = new else {
        return Ok(());
    };
    let used = || {
        found
            .chain
            .keys()
            .chain(census.values.keys())
            .chain(&history.burnt)
    };
    if used().any(|key| key == new) {
        return Err(Refusal::UsedName(new.clone()));
    }
    let is_ambiguous = |other: &&KeyId| match other {
        KeyId::Identity => false,
        KeyId::Key {
            provider: of,
            name: other,
        } => of == provider && !are_distinct(name, other),
    };
    if name.as_str().contains(':') {
        return Err(Refusal::AmbiguousName(new.clone(), new.clone()));
    }
    match used().find(is_ambiguous) {
        Some(other) => Err(Refusal::AmbiguousName(new.clone(), other.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::Generation;
    use crate::rotation::fixtures::{
        NEW, OLD, census, events_to, generation, history, key, members, node, rotation_at, world,
    };

    fn request(new: KeyId) -> Request {
        Request {
            id: "r1".to_owned(),
            new,
            cut: Consent::Auto,
        }
    }

    /// One node at C0 whose values are all under the old key.
    fn before() -> World {
        let mut world = world(&rotation_at(Stage::Old), Stage::Old);
        world.census = Fact::Known(census(20, &[(key(OLD), 3)]));
        world
    }

    fn refused(new: KeyId, change: impl FnOnce(&mut World)) -> Refusal {
        let mut world = before();
        change(&mut world);
        begin(&History::default(), &request(new), &world).unwrap_err()
    }

    #[test]
    fn a_clean_cluster_begins_with_what_it_has() {
        assert_eq!(
            begin(&History::default(), &request(key(NEW)), &before()),
            Ok(crate::rotation::fixtures::begun())
        );
    }

    #[test]
    fn a_second_request_mid_way_is_refused() {
        let under_way = history(&events_to(Stage::ReadNew));
        assert_eq!(
            begin(&under_way, &request(key("newer")), &before()),
            Err(Refusal::UnderWay("r1".to_owned()))
        );
    }

    #[test]
    fn a_server_that_differs_or_is_not_proven_is_named() {
        let uneven = |running: Fact<Generation>| {
            refused(key(NEW), |world| {
                world.nodes.get_mut(&node("a")).unwrap().running = running
            })
            .to_string()
        };
        assert!(uneven(Fact::Absent).ends_with("it is down"));
        assert!(uneven(Fact::unknown("no metric")).ends_with("not proven: no metric"));
        assert!(uneven(Fact::Known(generation(Stage::New))).contains("it runs with the configuration"));
    }

    #[test]
    fn a_node_that_is_not_heard_of_and_an_unknown_server_are_named() {
        let among = |nodes: &[&str], stranger: Option<&str>| {
            let mut all = members(nodes);
            if let Fact::Known(all) = &mut all {
                all.strangers.extend(stranger.map(str::to_owned));
            }
            let change = |world: &mut World| (world.members_before, world.members_after) = (all.clone(), all);
            refused(key(NEW), change).to_string()
        };
        assert!(among(&["a", "b"], None).starts_with("nothing is known of node b"));
        assert!(
            among(&["a"], Some("apiserver-x")).starts_with("the API server apiserver-x uses this etcd"),
            "it may write and read with keys of its own"
        );
    }

    #[test]
    fn a_name_that_a_stored_value_has_already_is_not_taken() {
        let used = |world: &mut World| {
            world.census = Fact::Known(census(20, &[(key(OLD), 3), (key(NEW), 1)]));
        };
        assert!(
            refused(key(NEW), used)
                .to_string()
                .starts_with("1 values are under aescbc:new, which is not in the configuration")
        );
    }

    fn sighting(example: &str) -> crate::rotation::Sighting {
        crate::rotation::Sighting {
            count: 1,
            example: example.to_owned(),
        }
    }

    #[test]
    fn values_that_cannot_be_read_or_counted_stand_against_it() {
        let of = |census| refused(key(NEW), |world| world.census = census).to_string();
        assert!(of(Fact::Absent).starts_with("what etcd holds was counted"));
        assert!(of(Fact::unknown("410")).starts_with("the census failed: 410"));
        assert!(
            of(Fact::Known(census(20, &[(key("lost"), 1)]))).starts_with("1 values are under aescbc:lost")
        );
        let mut broken = census(20, &[]);
        broken.undecryptable = Some(sighting("/registry/secrets/x"));
        assert!(of(Fact::Known(broken)).starts_with("1 value(s) do not decrypt"));
        let mut elsewhere = census(20, &[]);
        let newer = sighting("/registry/newthings/a");
        elsewhere.elsewhere.insert(key(OLD), newer);
        assert!(of(Fact::Known(elsewhere)).starts_with("1 value(s) outside of what"));
    }

    #[test]
    fn a_name_is_used_once_and_told_from_all_others() {
        assert_eq!(refused(key(OLD), |_| {}), Refusal::AlreadyWrites(key(OLD)));
        let read = |world: &mut World| {
            let disk = Fact::Known(OnDisk {
                generation: generation(Stage::Old),
                chain: crate::rotation::fixtures::chain(&[OLD, "key1"]),
            });
            world.nodes.get_mut(&node("a")).unwrap().disk = disk;
        };
        assert_eq!(refused(key("key1"), read), Refusal::UsedName(key("key1")));
        let older = history(&[
            crate::rotation::fixtures::begun(),
            Event::Aborted { why: String::new() },
        ]);
        assert_eq!(
            begin(&older, &request(key(NEW)), &before()),
            Err(Refusal::UsedName(key(NEW)))
        );
        let with_colon = |world: &mut World| {
            let disk = Fact::Known(OnDisk {
                generation: generation(Stage::Old),
                chain: crate::rotation::fixtures::chain(&[OLD, "key1:x"]),
            });
            world.nodes.get_mut(&node("a")).unwrap().disk = disk;
        };
        assert_eq!(
            refused(key("key1"), with_colon),
            Refusal::AmbiguousName(key("key1"), key("key1:x"))
        );
        // What is stored has a colon behind the name.
        for told in ["ol", "old2"] {
            assert!(
                begin(&History::default(), &request(key(told)), &before()).is_ok(),
                "{told}"
            );
        }
        assert_eq!(
            refused(key("a:b"), |_| {}),
            Refusal::AmbiguousName(key("a:b"), key("a:b"))
        );
    }

    #[test]
    fn a_way_back_is_offered_until_the_cut() {
        let at_stage = |stage| history(&events_to(stage));
        assert_eq!(rollback(&History::default()), Err(Refusal::NoRotation));
        assert!(matches!(
            rollback(&at_stage(Stage::Old)),
            Ok(Event::Aborted { .. })
        ));
        assert_eq!(rollback(&at_stage(Stage::ReadNew)), Ok(Event::RollbackAsked));
        assert_eq!(rollback(&at_stage(Stage::WriteNew)), Ok(Event::RollbackAsked));
        assert_eq!(
            rollback(&at_stage(Stage::New)),
            Err(Refusal::Cut("r1".to_owned()))
        );
        let mut events = events_to(Stage::WriteNew);
        events.push(Event::RollbackAsked);
        assert_eq!(rollback(&history(&events)), Err(Refusal::Turned("r1".to_owned())));
    }
}
