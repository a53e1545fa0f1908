//! The daemon: waits for a hint, a timer or a signal, and walks the path.
