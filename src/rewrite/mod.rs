//! Rewriting stored objects under the write key: what an answer of the API server means, how fast to go, when to wait, and the
//! count of it all. The requests are sent by `adapters/api/`.

mod answer;
mod compare;
mod pace;
mod room;
mod tally;

use std::fmt;

use crate::domain::GroupResource;

pub use answer::{Cause, Outcome, read_answer};
pub use compare::{Comparison, Difference};
pub use pace::{Bounds, Pace, Sample, Turn};
pub use room::{Brake, QUOTA_SHARE_PERCENT, Room};
pub use tally::{MAX_REFUSED_TOLD, Progress, Refused, Tally, Waiting};

/// One stored object that is to be rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its resource.
    pub resource: GroupResource,
    /// Its namespace; none for an object of the cluster.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its UID, if known: another object of the same name is then not touched.
    pub uid: Option<String>,
    /// The resource version that was seen, if any: what somebody else has written since is then not touched.
    pub seen: Option<u64>,
    /// The size of its stored value in bytes: what the rewrite will add to etcd's log and database, roughly.
    pub bytes: u64,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.resource)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}
