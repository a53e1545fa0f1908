//! etcd, asked over gRPC as the API server does: with its endpoints, its certificate and its prefix.
//!
//! Nothing is ever written to etcd. Values may hold secrets in plaintext: a page lives until its entries were looked at, no message
//! with a value can be printed, and no error carries one.

mod access;
mod client;
mod error;
mod health;
mod messages;
mod range;
mod survey;
mod watch;

pub use access::{Access, AccessError, Tls, access};
pub use client::Etcd;
pub use error::EtcdError;
pub use health::{Alarm, Status};
pub(in crate::adapters) use messages::Member;
#[cfg(test)]
pub(in crate::adapters) use messages::MemberListResponse;
pub use range::{Entry, Page, Scan};
pub use survey::{count_entries, look_over, stale_chunk, take_census};
pub use watch::{Batch, Event, Watch};
