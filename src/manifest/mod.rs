//! Static-pod manifests: a typed view and a lossless editor.
//!
//! A manifest is read as the kubelet reads it, and edited by splicing lines of its text: comments, order, quoting and
//! indentation stay as they are. What is not understood for certain is never written.

mod booleans;
mod diff;
mod edit;
mod flags;
mod go_duration;
mod go_integer;
mod guard;
mod locate;
mod paths;
mod splice;
mod view;
mod yaml;
mod yaml_1_1;

pub use diff::unified_diff;
pub use edit::{Edit, Refusal, edit};
pub use flags::{
    CommandLine, NotABoolean, NotUnderstood, command_line, escaped, flags_of_process, parse_boolean,
};
pub use go_duration::parse_go_duration;
pub use go_integer::parse_go_integer;
pub use paths::{Mounted, NamedPath, Need, mounted_from, named_paths, path_of_value, paths_of_value};
pub use view::{MAX_BYTES, ParseError, ParseErrorKind, parse};
pub(crate) use yaml::{document_of, text_of};
pub(crate) use yaml_1_1::{is_plain_string, yaml_1_1};
