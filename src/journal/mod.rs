//! The journal: the durable record of intents and outcomes, and what it says when it is read again.
//!
//! It holds only what the world cannot tell: which change was begun, which one the node refused, what lay in the
//! manifests folder at the first start. An intent is durable *before* its effect; so after a crash `Started`
//! means "may have happened", and the world decides which.

mod line;
mod record;
mod state;

pub use line::{JournalError, decode, encode};
pub use record::{
    Act, Bounce, BouncedManifest, EditedKubelet, EditedManifest, Entry, Fault, KnownEncryption,
    KnownManifest, Record, RefusedFlag,
};
pub use state::{InFlight, JournalState, Phase, Refusal};
