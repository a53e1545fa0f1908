//! The census: which stored objects are under which key, counted from etcd at one revision.
//!
//! Pure: it is fed with (etcd key, value, revision) and keeps counts, a few examples and no value. What a value is under is told by
//! a function that the caller gives; nothing but that function looks at a value.

mod chunk;
mod count;
mod path;
mod table;

pub use chunk::{Chunk, Stale};
pub use count::{Census, Held, MAX_REQUEST_BYTES, Resource, Tally, Value};
pub use path::{InvalidPrefix, NoEndpoint, ObjectRef, Paths, Place, Scope, Span, is_kubernetes_own};
