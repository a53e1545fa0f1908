//! Faults of a rotation of encryption keys on a genuine kubeadm node. `tests/faults.md` says which.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails loudly, shows where it is, and reads the node's files"
)]

#[path = "bed_faults/bed.rs"]
mod bed;
#[path = "bed_faults/before.rs"]
mod before;
#[path = "bed/by_hand.rs"]
mod by_hand;
#[path = "bed_faults/chain.rs"]
mod chain;
#[path = "bed_faults/hard_stop.rs"]
mod hard_stop;
#[path = "bed/node.rs"]
mod node;
#[path = "bed_faults/restore.rs"]
mod restore;
#[path = "bed_faults/secrecy.rs"]
mod secrecy;
#[path = "bed_faults/walk.rs"]
mod walk;
