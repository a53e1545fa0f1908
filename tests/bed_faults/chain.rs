//! A chain of kills: each run is killed at its next point, through all phases.

use std::collections::BTreeSet;

use crate::bed::{Bed, events};
use crate::by_hand::CONFIG;

/// The chain so far.
pub struct Chain {
    /// The record at which the next run is killed, counted from its first.
    next: u32,
    /// What the chain has recorded before: a new process proves again, and must get beyond that.
    seen: BTreeSet<String>,
    pub kills: u32,
}

impl Chain {
    pub const fn new() -> Self {
        Self {
            next: 1,
            seen: BTreeSet::new(),
            kills: 0,
        }
    }

    /// Two runs: killed before the next record, when what it notes is done already, and after it, when what it announces is not. The
    /// last record after that; `None` when a run came to its end before its point.
    pub fn step(&mut self, bed: &Bed, command: &str) -> Option<String> {
        let config = bed.node.read(CONFIG);
        if !self.killed(bed, "before", command) {
            return None;
        }
        if bed.node.read(CONFIG) != config {
            self.next = 1;
        }
        let recorded = events(&bed.node).len();
        if !self.killed(bed, "after", command) {
            return None;
        }
        let all = events(&bed.node);
        let fresh = all[recorded..]
            .iter()
            .filter(|event| self.seen.insert((*event).clone()))
            .count();
        self.next = if fresh == 0 { self.next + 1 } else { 1 };
        all.last().cloned()
    }

    fn killed(&mut self, bed: &Bed, side: &str, command: &str) -> bool {
        let point = format!("{side}:{}", self.next);
        let (killed, said) = bed.killed_at(&point, command);
        println!("{point}: killed {killed}, now {:?}", events(&bed.node).last());
        assert!(killed || said.code == 0, "{said:?}");
        self.kills += u32::from(killed);
        killed
    }
}
