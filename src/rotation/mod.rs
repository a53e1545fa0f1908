//! The rotation of encryption keys: which step comes next, and what may follow what. No IO, no clock, no random.
//!
//! A pass observes the [`World`], asks [`next`] for one [`Step`], performs it, and [`record`]s what the world cannot tell. The stages
//! are C0 `[old]`, C1 `[old, new]`, C2 `[new, old]` and C3 `[new]`; plaintext is a key like any other.

mod begin;
mod chain;
#[cfg(test)]
pub(crate) mod fixtures;
mod guards;
mod loaded;
mod next;
mod record;
mod state;
mod step;
mod world;

pub use begin::{Refusal, Request, begin, rollback};
pub use chain::{Chain, Direction, InvalidChain, Stage};
pub use loaded::{Evidence, loaded, restart_proves};
pub use next::next;
pub use record::{Event, IllegalTransition, record};
pub use state::{Barrier, Consent, Edit, Ended, Fenced, History, Outcome, Rotation};
pub use step::{Hold, Step, Words};
pub use world::{
    Census, Etcd, Generation, KeyStore, Limits, Membership, NodeName, NodeView, OnDisk, Revision, Sighting,
    Stuck, StuckValue, Tally, Watch, World,
};
