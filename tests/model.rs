//! The model check: the production `next`, `record`, `begin` and `rollback` in an environment that does its worst.
//!
//! Every state that the environment can bring about, within bounds, is visited breadth first, and the invariants I1 to I7, I9, I10,
//! I12 and I14 are held against each: a violation prints the shortest way to it. From every state a fair run (faults stop) must end:
//! rotated, rolled back, given up, or, after somebody else's edit, parked with a reason. `HOLDFAST_FULL` widens the bounds.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a model is a test: it fails loudly, and says how many states it saw, and how long that took"
)]

#[path = "model/cluster.rs"]
mod cluster;
#[path = "model/daemon.rs"]
mod daemon;
#[path = "model/environment.rs"]
mod environment;
#[path = "model/invariants.rs"]
mod invariants;
#[path = "model/search.rs"]
mod search;

use holdfast::rotation::Consent;

use cluster::{Budget, Key, Scenario};
use search::check;

/// One key for another on this many nodes, with no faults at all.
fn plain(nodes: usize, objects: usize) -> Scenario {
    Scenario {
        nodes,
        objects,
        found: vec![Key::Old],
        news: vec![Key::New],
        flights: 1,
        leaders: 1,
        has_stale_list: false,
        is_unconfigured: false,
        cut: Consent::Auto,
        budget: Budget {
            asks: 1,
            ..Budget::default()
        },
    }
}

fn is_full() -> bool {
    std::env::var_os("HOLDFAST_FULL").is_some()
}

/// One more of a fault when the bounds are wide.
fn some(count: u8) -> u8 {
    if is_full() { count + 1 } else { count }
}

#[test]
fn one_node_with_two_objects_through_crashes_of_either_side_and_a_rollback() {
    let mut scenario = plain(1, 2);
    scenario.budget = Budget {
        asks: 1,
        rollbacks: 1,
        crashes: some(0),
        daemon_crashes: some(0),
        ages: some(0),
        scans: 1,
        ..Budget::default()
    };
    check(&scenario);
}

#[test]
fn power_cuts_while_the_daemon_is_killed_and_a_cut_that_asks() {
    let mut scenario = plain(1, 1);
    scenario.cut = Consent::Ask;
    scenario.budget = Budget {
        asks: 1,
        rollbacks: some(0),
        crashes: 1,
        daemon_crashes: 2,
        ages: 1,
        ..Budget::default()
    };
    check(&scenario);
}

#[test]
fn one_node_whose_file_somebody_else_edits() {
    let mut scenario = plain(1, 1);
    scenario.budget = Budget {
        asks: 1,
        rollbacks: some(0),
        crashes: some(0),
        daemon_crashes: some(0),
        edits: 1,
        ..Budget::default()
    };
    check(&scenario);
}

#[test]
fn one_node_that_loses_its_configuration_and_writes_plaintext() {
    let mut scenario = plain(1, if is_full() { 2 } else { 1 });
    scenario.budget = Budget {
        asks: 1,
        rollbacks: 1,
        crashes: some(0),
        daemon_crashes: some(0),
        losses: some(1),
        ..Budget::default()
    };
    check(&scenario);
    for (found, new) in [(&[Key::Plain][..], Key::New), (&[Key::Old][..], Key::Plain)] {
        check(&Scenario {
            found: found.to_vec(),
            news: vec![new],
            ..scenario.clone()
        });
    }
}

#[test]
fn two_nodes_one_of_which_falls_silent_or_crashes() {
    let mut scenario = plain(2, 1);
    scenario.flights = if is_full() { 2 } else { 1 };
    scenario.budget = Budget {
        asks: 1,
        rollbacks: some(0),
        crashes: 1,
        daemon_crashes: some(0),
        scans: some(0),
        evictions: some(0),
        silences: 1,
        ..Budget::default()
    };
    check(&scenario);
}

#[test]
fn three_nodes() {
    let mut scenario = plain(3, 1);
    scenario.budget = Budget {
        asks: 1,
        rollbacks: 1,
        crashes: some(0),
        ..Budget::default()
    };
    check(&scenario);
}

#[test]
fn a_node_joins_in_each_phase_with_a_file_that_was_copied_a_stage_ago() {
    let mut scenario = plain(1, 1);
    scenario.has_stale_list = true;
    scenario.budget = Budget {
        asks: 1,
        rollbacks: 1,
        joins: 1,
        crashes: some(0),
        ..Budget::default()
    };
    check(&scenario);
}

#[test]
fn two_nodes_join_one_after_the_other() {
    let mut scenario = plain(1, 1);
    scenario.has_stale_list = is_full();
    scenario.budget = Budget {
        asks: 1,
        rollbacks: some(0),
        joins: 2,
        ..Budget::default()
    };
    check(&scenario);
}

#[test]
fn two_daemons_that_both_believe_they_lead() {
    let mut scenario = plain(usize::from(some(1)), 1);
    scenario.leaders = 2;
    scenario.budget = Budget {
        asks: 1,
        rollbacks: 1,
        ..Budget::default()
    };
    check(&scenario);
}

#[test]
fn enabling_disabling_and_adoption_are_the_same_walk() {
    let budget = Budget {
        asks: 1,
        rollbacks: 1,
        crashes: some(0),
        ..Budget::default()
    };
    let walk = |found: &[Key], new| Scenario {
        found: found.to_vec(),
        news: vec![new],
        budget,
        ..plain(1, 2)
    };
    check(&Scenario {
        is_unconfigured: true,
        ..walk(&[Key::Plain], Key::New)
    });
    check(&walk(&[Key::Old], Key::Plain));
    check(&walk(&[Key::Old, Key::Plain], Key::Plain));
    check(&walk(&[Key::Old, Key::Older, Key::Plain], Key::New));
}

#[test]
fn a_second_request_mid_way_and_names_that_were_used_before() {
    let mut scenario = plain(1, 1);
    scenario.found = vec![Key::Old, Key::Older];
    scenario.news = vec![Key::New, Key::Other, Key::Older];
    scenario.budget = Budget {
        asks: 2,
        rollbacks: 1,
        daemon_crashes: some(0),
        ..Budget::default()
    };
    check(&scenario);
}
