//! Static-pod manifests: a typed view and a lossless editor.
//!
//! A manifest is read as the kubelet reads it, and edited by splicing lines of its text: comments, order, quoting and
//! indentation stay as they are. What is not understood for certain is never written.

mod diff;
mod edit;
mod flags;
mod guard;
mod locate;
mod paths;
mod splice;
mod view;

pub use diff::unified_diff;
pub use edit::{Edit, Refusal, edit};
pub use flags::{CommandLine, NotABoolean, NotUnderstood, command_line, flags_of_process, parse_boolean};
pub use paths::{Mounted, mounted_from, path_of_value};
pub use view::{MAX_BYTES, ParseError, ParseErrorKind, parse};
