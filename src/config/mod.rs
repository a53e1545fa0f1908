//! The operator's configuration: text, checked, immutable.
