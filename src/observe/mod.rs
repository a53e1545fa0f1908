//! Collects the facts that the chosen controls name.
