//! The journal's file: appended line by line, each line durable before the next act.

use jiff::SignedDuration;

use super::failpoint::{Act, Kind};
use super::files::{FileError, Files, OwnLog};
use super::lock::Held;
use crate::domain::{Fact, Instant, Layout, Mode, NodePath};
use crate::journal::{self, Entry, JournalError, JournalState, Record};

/// A journal that is larger cannot be ours: it is compacted when it is opened.
const MAX_BYTES: usize = 16 << 20;

/// A journal over this size is compacted. What is kept is smaller, however many changes were made: else every pass would compact.
const COMPACT_OVER: u64 = 2 << 20;

/// Finished changes are kept at compaction for as long as they may count for flapping, and then some.
const KEEP: SignedDuration = SignedDuration::from_hours(24);

/// The journal of a process that holds the lock.
#[derive(Debug)]
pub struct JournalStore {
    state: JournalState,
    log: OwnLog,
}

/// A journal that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What it says cannot be trusted.
    #[error("{path}: {cause}")]
    Journal {
        /// The file.
        path: String,
        /// What is wrong.
        cause: JournalError,
    },
    /// The file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file could not be read.
    #[error("the journal cannot be read: {0}")]
    Unreadable(String),
    /// A record that cannot follow what the journal says.
    #[error("{0}")]
    OutOfOrder(String),
}

impl JournalStore {
    /// What the journal says, for commands that change nothing. A last line that a crash cut short is left out; no journal is an empty one.
    ///
    /// # Errors
    /// When it cannot be read or trusted.
    pub fn peek(files: &Files, layout: &Layout) -> Result<JournalState, StoreError> {
        let path = path(layout)?;
        let entries = read(files, &path)?.entries;
        replay(&path, &entries)
    }

    /// Opens the journal; it and its folder are made if they are not there. A last line that a crash cut short is cut off; a journal over 2 MiB is compacted.
    ///
    /// # Errors
    /// When it cannot be read, trusted or written.
    pub fn open(files: &Files, layout: &Layout, held: &Held, now: Instant) -> Result<Self, StoreError> {
        files.make_own_folder(&layout.state)?;
        let path = path(layout)?;
        let Journal { entries, whole } = read(files, &path)?;
        let state = replay(&path, &entries)?;
        if whole > COMPACT_OVER {
            return Self::compacted(files, &path, held, &now, &entries);
        }
        let mut log = files.open_own_log(held, &path)?;
        log.cut(whole)?;
        let mut store = Self { state, log };
        if entries.is_empty() {
            store.write(&Entry::opened(now))?;
        }
        Ok(store)
    }

    /// What it says.
    #[must_use]
    pub const fn state(&self) -> &JournalState {
        &self.state
    }

    /// Adds a record; it is on the disk when this returns.
    ///
    /// # Errors
    /// When the record cannot follow (nothing is written then), or the disk refuses (the file is then cut back to its old length).
    pub fn append(&mut self, _held: &Held, at: Instant, record: Record) -> Result<(), StoreError> {
        self.write(&Entry { at, record })
    }

    /// The state takes the entry only once the disk has it; whether it can follow is tried on a copy.
    fn write(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let mut next = self.state.clone();
        next.record(entry).map_err(StoreError::OutOfOrder)?;
        let mut line = encode(entry)?;
        line.push('\n');
        Act::new(Kind::Record).done(|| self.log.append(line.as_bytes()))?;
        self.state = next;
        Ok(())
    }

    /// Puts a shorter journal that says the same in the place of this one.
    fn compacted(
        files: &Files,
        path: &NodePath,
        held: &Held,
        now: &Instant,
        entries: &[Entry],
    ) -> Result<Self, StoreError> {
        // Before the beginning of time nothing was finished.
        let since = now.wall.checked_sub(KEEP).unwrap_or(jiff::Timestamp::MIN);
        let kept = JournalState::compact(entries, since);
        let state = replay(path, &kept)?;
        let mut text = String::new();
        for entry in &kept {
            text.push_str(&encode(entry)?);
            text.push('\n');
        }
        files.write_own(held, path, text.as_bytes(), Mode::from_bits(0o600))?;
        let log = files.open_own_log(held, path)?;
        Ok(Self { state, log })
    }
}

/// A journal as it was read.
struct Journal {
    entries: Vec<Entry>,
    /// Where its last whole line ends, in bytes.
    whole: u64,
}

fn path(layout: &Layout) -> Result<NodePath, StoreError> {
    layout
        .state
        .join("journal")
        .map_err(|why| StoreError::Unreadable(why.to_string()))
}

fn read(files: &Files, path: &NodePath) -> Result<Journal, StoreError> {
    let mut bytes = match files.read(path, MAX_BYTES) {
        Fact::Known(content) => content.bytes,
        Fact::Absent => Vec::new(),
        Fact::Unknown(why) => return Err(StoreError::Unreadable(why.to_string())),
    };
    // A line without its end was being written when the power went; what it was to announce was not begun.
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |last| last + 1);
    bytes.truncate(whole);
    // Bytes that are no text become U+FFFD, by which the checksum of their line no longer holds.
    let text = String::from_utf8_lossy(&bytes);
    // Not `lines`, which would take a carriage return for part of the line's end.
    let lines = text.split_terminator('\n');
    let entries = journal::decode(lines).map_err(distrust(path))?;
    let whole = whole as u64;
    Ok(Journal { entries, whole })
}

fn replay(path: &NodePath, entries: &[Entry]) -> Result<JournalState, StoreError> {
    JournalState::replay(entries).map_err(distrust(path))
}

fn distrust(path: &NodePath) -> impl FnOnce(JournalError) -> StoreError {
    move |cause| StoreError::Journal {
        path: path.to_string(),
        cause,
    }
}

fn encode(entry: &Entry) -> Result<String, StoreError> {
    journal::encode(entry)
        .map_err(|why| StoreError::OutOfOrder(format!("it cannot be written as JSON: {why}")))
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests make the files that are looked at"
)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::domain::{BootId, Digest, Owner};
    use crate::journal::{Act, Phase};

    const OPENED: i64 = 1000;

    struct Node {
        folder: tempfile::TempDir,
        files: Files,
        held: Held,
        layout: Layout,
    }

    impl Node {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let me = Owner {
                uid: nix::unistd::geteuid().as_raw(),
                gid: nix::unistd::getegid().as_raw(),
            };
            Self {
                files: Files::at(folder.path()).unwrap().taking_for_root(me),
                held: Held::take(&folder.path().join("run"), Duration::ZERO).unwrap(),
                layout: Layout::kubeadm(),
                folder,
            }
        }

        fn at(&self) -> PathBuf {
            self.folder.path().join("var/lib/holdfast/journal")
        }

        fn bytes(&self) -> Vec<u8> {
            std::fs::read(self.at()).unwrap()
        }

        fn open(&self) -> Result<JournalStore, StoreError> {
            JournalStore::open(&self.files, &self.layout, &self.held, now(OPENED))
        }

        fn peek(&self) -> Result<JournalState, StoreError> {
            JournalStore::peek(&self.files, &self.layout)
        }
    }

    fn now(second: i64) -> Instant {
        Instant {
            wall: jiff::Timestamp::from_second(second).unwrap(),
            boot: BootId("boot".to_owned()),
            since_boot_ms: 0,
        }
    }

    fn change(number: i64) -> Digest {
        Digest::of(number.to_string().as_bytes())
    }

    fn started(number: i64) -> Record {
        Record::Started {
            change: change(number),
            controls: vec![],
            act: Act::SetMode {
                path: "/etc/kubernetes/admin.conf".parse().unwrap(),
                from: Mode::from_bits(0o644),
                to: Mode::from_bits(0o600),
            },
        }
    }

    fn finished(number: i64) -> Record {
        Record::Finished {
            change: change(number),
        }
    }

    #[test]
    fn a_journal_that_is_not_there_is_empty_and_begins_with_the_version() {
        let node = Node::new();
        assert_eq!(node.peek().unwrap(), JournalState::default());
        assert!(!node.at().exists(), "peeking makes nothing");
        let store = node.open().unwrap();
        assert_eq!(store.state(), &JournalState::default());
        let first = journal::encode(&Entry::opened(now(OPENED))).unwrap();
        assert_eq!(String::from_utf8(node.bytes()).unwrap(), format!("{first}\n"));
    }

    #[test]
    fn what_was_appended_is_read_again() {
        let node = Node::new();
        let mut store = node.open().unwrap();
        for (at, record) in [(1, started(1)), (2, finished(1)), (3, started(2))] {
            store.append(&node.held, now(at), record).unwrap();
            // On the disk at once, not when the store is dropped.
            assert_eq!(&node.peek().unwrap(), store.state());
        }
        let in_flight = store.state().in_flight.clone().unwrap();
        assert_eq!((in_flight.change, in_flight.phase), (change(2), Phase::Started));
        assert_eq!(node.open().unwrap().state(), store.state());
    }

    #[test]
    fn a_record_that_cannot_follow_is_not_written() {
        let node = Node::new();
        let mut store = node.open().unwrap();
        let before = (node.bytes(), store.state().clone());
        let error = store.append(&node.held, now(1), finished(1)).unwrap_err();
        assert!(matches!(error, StoreError::OutOfOrder(_)), "{error}");
        assert_eq!((node.bytes(), store.state().clone()), before);
    }

    #[test]
    fn a_journal_cut_at_any_byte_is_read_up_to_its_last_whole_line() {
        let node = Node::new();
        let mut store = node.open().unwrap();
        store.append(&node.held, now(1), started(1)).unwrap();
        let before = (node.bytes().len(), store.state().clone());
        store.append(&node.held, now(2), finished(1)).unwrap();
        let whole = node.bytes();
        // Every byte by which a sync is not too dear: the first and last few, and some between.
        for cut in
            (before.0..whole.len()).filter(|cut| cut % 13 == 0 || cut + 3 > whole.len() || cut - before.0 < 3)
        {
            std::fs::write(node.at(), &whole[..cut]).unwrap();
            assert_eq!(node.peek().unwrap(), before.1);
            assert_eq!(node.bytes().len(), cut, "peeking cuts nothing");
            let mut store = node.open().unwrap();
            assert_eq!(node.bytes(), &whole[..before.0]);
            store.append(&node.held, now(2), finished(1)).unwrap();
            assert_eq!(node.bytes(), whole);
        }
        // Cut within its very first line, it begins anew.
        std::fs::write(node.at(), &whole[..10]).unwrap();
        node.open().unwrap();
        let text = String::from_utf8(node.bytes()).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("\"opened\""), "{text}");
    }

    #[test]
    fn a_damaged_line_is_named_and_nothing_is_written() {
        let node = Node::new();
        let mut store = node.open().unwrap();
        store.append(&node.held, now(1), started(1)).unwrap();
        store.append(&node.held, now(2), finished(1)).unwrap();
        let whole = node.bytes();
        let second = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for damage in [b'x', 0xff, b'\n'] {
            let mut bytes = whole.clone();
            bytes[second + 20] = damage;
            std::fs::write(node.at(), &bytes).unwrap();
            for error in [node.peek().unwrap_err(), node.open().unwrap_err()] {
                assert!(
                    error
                        .to_string()
                        .starts_with("/var/lib/holdfast/journal: line 2 of the journal is damaged"),
                    "{error}"
                );
            }
            assert_eq!(node.bytes(), bytes);
        }
    }

    #[test]
    fn a_journal_that_cannot_be_read_is_no_empty_one() {
        let node = Node::new();
        node.files.make_own_folder(&node.layout.state).unwrap();
        std::fs::create_dir(node.at()).unwrap();
        for error in [node.peek().unwrap_err(), node.open().unwrap_err()] {
            assert!(matches!(error, StoreError::Unreadable(_)), "{error}");
        }
    }

    #[test]
    fn a_large_journal_is_compacted_and_goes_on() {
        let node = Node::new();
        let mut store = node.open().unwrap();
        let refused = Record::Refused {
            change: change(0),
            fault: journal::Fault {
                why: "it did not answer".to_owned(),
                last_words: vec![],
                flag: None,
            },
            recovered: true,
        };
        store.append(&node.held, now(1), started(0)).unwrap();
        store.append(&node.held, now(1), refused).unwrap();
        // Old changes beyond the limit, written at once: what is tried here is not the disk.
        let mut text = String::from_utf8(node.bytes()).unwrap();
        let mut number = 0;
        while text.len() as u64 <= COMPACT_OVER {
            number += 1;
            for record in [started(number), finished(number)] {
                let line = encode(&Entry { at: now(2), record }).unwrap();
                text.push_str(&line);
                text.push('\n');
            }
        }
        std::fs::write(node.at(), &text).unwrap();
        let before = node.peek().unwrap();
        assert_eq!(node.open().unwrap().state(), &before, "a day is not over yet");
        let size = node.bytes().len() as u64;
        assert!(
            size < COMPACT_OVER * 3 / 4,
            "{size}: the next pass need not compact again"
        );
        std::fs::write(node.at(), &text).unwrap();

        let tomorrow = now(OPENED + 86_400);
        let mut store = JournalStore::open(&node.files, &node.layout, &node.held, tomorrow.clone()).unwrap();
        let long_before = node.bytes().len();
        assert!(long_before < 2048, "{long_before} bytes");
        assert_eq!(store.state().refusals.len(), 1);
        assert_eq!(store.state().finished.len(), 0);
        store.append(&node.held, tomorrow, started(1)).unwrap();
        assert_eq!(&node.peek().unwrap(), store.state());
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(node.at()).unwrap());
        assert_eq!(mode & 0o7777, 0o600);
    }
}
