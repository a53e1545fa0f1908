//! The node is stopped hard in each phase of a rotation, by `tests/run --full`.

use std::time::Duration;

use crate::bed::{Bed, events};
use crate::by_hand::READY;
use crate::node::{HOLDFAST, Node};

/// As long as a load, a drain, or two compactions take, and then some.
const PHASE: Duration = Duration::from_secs(400);

/// The records behind which the node is stopped: C1 and C2 on the disk, C2 loaded, every request of before ended, proven, C3 on the disk
/// and loaded.
const PHASES: [&str; 7] = [
    "config-written read-new",
    "config-written write-new",
    "loaded write-new",
    "drain-ended",
    "verified",
    "config-written new",
    "loaded new",
];

#[test]
#[ignore = "a campaign: minutes for each phase"]
fn campaign_of_hard_stops_in_each_phase_after_which_the_node_comes_up_and_the_same_command_goes_on() {
    let (bed, _) = Bed::with_one_key();
    let node = &bed.node;
    for (number, phase) in PHASES.into_iter().enumerate() {
        node.sh(&format!(
            "systemd-run --unit=rotation{number} {HOLDFAST} encryption rotate --yes"
        ));
        node.await_that(phase, PHASE, |node| {
            events(node).iter().any(|event| event == phase)
        });
        node.cut_and_boot();
        node.await_that("the API server is ready", READY, Node::is_ready);
        println!(
            "stopped behind {phase}; the journal ends with {:?}",
            events(node).last()
        );
        bed.all_is_readable();
        let known = bed.holdfast(&["encryption", "status"]);
        assert!(
            !known.out.contains("that the configuration does not have"),
            "{known:?}"
        );
    }
    let said = bed.holdfast(&["encryption", "rotate", "--yes"]);
    assert!(said.code == 0 && said.out.contains("Done: "), "{said:?}");
    let begun = events(node).into_iter().filter(|event| event == "begun").count();
    assert_eq!(begun, 1, "one rotation, whatever happened");
    let verified = bed.holdfast(&["encryption", "verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert_eq!(bed.stored_under("aescbc:v1:key1:"), 0);
    bed.all_is_readable();
}
