//! The system log: journald when systemd started us, else standard error.
