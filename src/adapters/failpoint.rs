//! Failpoints: places at which a test has this process killed, as a power cut would. Without the feature `failpoints` there are none.
//!
//! One is passed before and after every act on the outside: each journal record, each system call by which a file or folder is changed
//! durably, each no-op write. `HOLDFAST_FAILPOINT=before:N` kills the process just before it writes its Nth journal record, `after:N` just
//! after that record is on the disk; N counts from 1. A test's own process can also have each point told (`observe`).

use std::os::fd::{AsFd, BorrowedFd};

/// On which side of the act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It is not done yet.
    Before,
    /// It is done; what it announces, or makes possible, has not begun.
    After,
}

/// What kind of act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A record is added to the journal, durably.
    Record,
    /// A folder is made.
    MakeFolder,
    /// An empty file is made.
    Create,
    /// Bytes are added to a file.
    Write,
    /// A file is cut to a length.
    Cut,
    /// A file's content is made durable.
    Sync,
    /// A name is moved.
    Rename,
    /// A name is taken away.
    Remove,
    /// A folder's names are made durable.
    SyncFolder,
    /// A no-op write is sent to the API server, and answered.
    Patch,
}

/// An act, and on what.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(feature = "failpoints"),
    expect(dead_code, reason = "only failpoints look into it")
)]
pub(super) struct Act<'a> {
    kind: Kind,
    at: Option<(BorrowedFd<'a>, &'a str)>,
    to: Option<(BorrowedFd<'a>, &'a str)>,
    bytes: &'a [u8],
    length: u64,
}

impl<'a> Act<'a> {
    /// One on no file.
    pub(super) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            at: None,
            to: None,
            bytes: &[],
            length: 0,
        }
    }

    /// On an open file or folder.
    pub(super) fn on(self, opened: &'a impl AsFd) -> Self {
        self.at(opened, "")
    }

    /// On a name in a folder.
    pub(super) fn at(self, folder: &'a impl AsFd, name: &'a str) -> Self {
        Self {
            at: Some((folder.as_fd(), name)),
            ..self
        }
    }

    /// To a name in a folder.
    pub(super) fn to(self, folder: &'a impl AsFd, name: &'a str) -> Self {
        Self {
            to: Some((folder.as_fd(), name)),
            ..self
        }
    }

    /// With those bytes.
    pub(super) const fn bytes(self, bytes: &'a [u8]) -> Self {
        Self { bytes, ..self }
    }

    /// To that length.
    pub(super) const fn length(self, length: u64) -> Self {
        Self { length, ..self }
    }

    /// Does it, with a failpoint on either side; after one that failed there is none. A killed process does not come back.
    pub(super) fn done<T, E>(self, act: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.pass(Side::Before);
        let done = act()?;
        self.pass(Side::After);
        Ok(done)
    }

    /// Passes a failpoint; a killed process does not come back.
    #[cfg(not(feature = "failpoints"))]
    pub(super) const fn pass(self, _: Side) {}
}

#[cfg(feature = "failpoints")]
pub use told::{Told, observe};

#[cfg(feature = "failpoints")]
mod told {
    use std::os::fd::{AsRawFd as _, BorrowedFd};
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Act, Kind, Side, is_meant};

    /// A point that is being passed.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Told {
        /// On which side of the act.
        pub side: Side,
        /// The act.
        pub kind: Kind,
        /// The file or folder, as this machine has it; empty where there is none.
        pub path: PathBuf,
        /// Where a name is moved to.
        pub to: PathBuf,
        /// What is added to a file.
        pub bytes: Vec<u8>,
        /// To which length, in bytes, it is cut.
        pub length: u64,
    }

    type Observer = Box<dyn Fn(&Told) + Send + Sync>;

    static OBSERVER: OnceLock<Observer> = OnceLock::new();

    /// Has each point told from now on; only the first observer of a process is.
    pub fn observe(observer: impl Fn(&Told) + Send + Sync + 'static) {
        OBSERVER.get_or_init(|| Box::new(observer));
    }

    impl Act<'_> {
        /// Passes a failpoint; a killed process does not come back.
        pub(in super::super) fn pass(self, side: Side) {
            if self.kind == Kind::Record {
                pass_record(side);
            }
            if let Some(observer) = OBSERVER.get() {
                observer(&self.told(side));
            }
        }

        fn told(self, side: Side) -> Told {
            Told {
                side,
                kind: self.kind,
                path: self.at.map(path).unwrap_or_default(),
                to: self.to.map(path).unwrap_or_default(),
                bytes: self.bytes.to_vec(),
                length: self.length,
            }
        }
    }

    #[expect(
        clippy::expect_used,
        clippy::disallowed_methods,
        reason = "built for tests only: a descriptor that has no path cannot be told of"
    )]
    fn path((folder, name): (BorrowedFd<'_>, &str)) -> PathBuf {
        let link = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let folder = std::fs::read_link(link).expect("a descriptor of this process");
        if name.is_empty() {
            folder
        } else {
            folder.join(name)
        }
    }

    #[expect(
        clippy::disallowed_methods,
        clippy::expect_used,
        reason = "built for tests only: it is told by the environment, and must not go on when the kill fails"
    )]
    fn pass_record(side: Side) {
        static RECORDS: AtomicU64 = AtomicU64::new(0);
        let number = match side {
            Side::Before => RECORDS.fetch_add(1, Ordering::SeqCst) + 1,
            Side::After => RECORDS.load(Ordering::SeqCst),
        };
        let wanted = std::env::var("HOLDFAST_FAILPOINT").ok();
        if wanted.is_some_and(|wanted| is_meant(&wanted, side, number)) {
            nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL)
                .expect("a process may kill itself");
        }
    }
}

#[cfg(any(feature = "failpoints", test))]
fn is_meant(wanted: &str, side: Side, number: u64) -> bool {
    let side = match side {
        Side::Before => "before",
        Side::After => "after",
    };
    wanted == format!("{side}:{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_side_of_one_record_is_meant() {
        assert!(is_meant("before:2", Side::Before, 2));
        for (wanted, side, number) in [
            ("before:2", Side::After, 2),
            ("before:2", Side::Before, 1),
            ("after:12", Side::After, 1),
            ("", Side::Before, 0),
        ] {
            assert!(!is_meant(wanted, side, number), "{wanted} {side:?} {number}");
        }
    }
}
