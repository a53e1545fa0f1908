//! The world itself: its kubelet does what the real one was measured to do.

mod world;

#[test]
fn a_fresh_world_is_ready() {
    let world = world::World::new();
    assert!(world.all_ready());
}
