//! The command line: arguments in, one call on the path, exit code out.

pub mod args;
