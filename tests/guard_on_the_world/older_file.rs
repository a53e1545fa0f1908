//! F14: a node comes back with a configuration of before, as a restored disk or a tool that manages files leaves it.

use holdfast::rotate::{Answer, Guard, Guarded};
use holdfast::rotation::Stage;

use crate::flag_lost::Walking;
use crate::world::at_rest::key_of;

/// The API server has started with the first file, and cannot read what is under the new key: that is told, the file of its stage is back at
/// the first look of a daemon that has just started, the server loads it, and the same rotation comes to its end.
#[test]
fn a_node_that_comes_back_with_its_first_configuration_is_given_its_stage_back_and_loads_it() {
    let mut walking = Walking::between_two_keys();
    let first = walking.on.text();
    walking.walk_to(Stage::WriteNew);
    walking.walk_until("a value is under the new key", |walking| {
        let values = walking.on.cluster.values();
        values.iter().any(|(_, value)| key_of(value).starts_with("hf"))
    });
    let promoted = walking.on.text();
    let secrets = walking.on.cluster.secrets();

    walking.on.edit(&first);
    walking.on.cluster.crash_api_server();
    assert_eq!(walking.on.cluster.serving().names(), ["old"]);

    let on = &mut walking.on;
    on.guard = Guard::new(on.node).expect("an event loop");
    let found = on.look(Ok(()));
    let Guarded::Endangered {
        differences,
        answer: Answer::Mended(how),
        ..
    } = found
    else {
        panic!("{found:?}")
    };
    let is_told = |one: &String| one.starts_with("aescbc:hf") && one.ends_with("is gone");
    assert!(differences.iter().any(is_told), "{differences:?}");
    assert!(how.starts_with("the former configuration was put back"), "{how}");
    assert_eq!(on.text(), promoted);
    let hash = on.cluster.on_disk().hash;
    on.await_that("it is loaded", |on| {
        on.cluster.loaded().is_some_and(|loaded| loaded.hash == hash)
    });
    assert_eq!(on.cluster.secrets(), secrets);
    assert!(matches!(on.look(Ok(())), Guarded::InOrder));

    walking.walk_to_the_end();
    let disk = walking.on.cluster.on_disk();
    assert!(
        matches!(disk.names().as_slice(), [name] if name.starts_with("hf")),
        "{:?}",
        disk.names()
    );
    assert_eq!(walking.on.cluster.secrets(), secrets);
}
