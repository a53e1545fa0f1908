//! The room in etcd: old revisions count against its quota until they are compacted, and a full etcd refuses every write.

/// The share of etcd's quota that a rewrite may fill, in percent.
pub const QUOTA_SHARE_PERCENT: u64 = 70;

/// What etcd last said of its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The size of its database file in bytes (`Maintenance/Status`, `dbSize`).
    pub db_size: u64,
    /// Its quota in bytes (`--quota-backend-bytes`).
    pub quota: u64,
    /// How many bytes this run had written when etcd was last compacted: [`super::Progress::bytes`] of that moment, 0 if it has not
    /// been since the run began.
    pub written_at_compaction: u64,
}

/// What holds the writes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Brake {
    /// Nothing may be written: the room is not known.
    #[default]
    Hold,
    /// What fits in the room may.
    Within(Room),
    /// Everything may: the values are not in an etcd with a quota.
    Off,
}

/// True when one more write of `next` bytes stays under the share. The bytes written since the last compaction count on top of the
/// database's size, since the size was read at some moment before them.
#[must_use]
pub const fn quota_allows(db_size: u64, quota: u64, bytes_since_compaction: u64, next: u64) -> bool {
    let filled = db_size
        .saturating_add(bytes_since_compaction)
        .saturating_add(next);
    // Divided first: a quota has more than 100 bytes, and no product overflows.
    filled <= quota / 100 * QUOTA_SHARE_PERCENT
}

impl Room {
    /// True when one more write of `next` bytes fits, with `written` bytes written and in flight so far in this run.
    #[must_use]
    pub const fn allows(&self, written: u64, next: u64) -> bool {
        let since = written.saturating_sub(self.written_at_compaction);
        quota_allows(self.db_size, self.quota, since, next)
    }
}

impl Brake {
    /// True when one more write of `next` bytes may go, with `written` bytes written and in flight so far in this run.
    #[must_use]
    pub const fn allows(&self, written: u64, next: u64) -> bool {
        match self {
            Self::Hold => false,
            Self::Within(room) => room.allows(written, next),
            Self::Off => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_write_is_allowed_up_to_seventy_percent_of_the_quota_and_not_one_byte_further() {
        assert!(quota_allows(40, 10_000, 6_000, 960));
        assert!(!quota_allows(40, 10_000, 6_000, 961));
        assert!(!quota_allows(u64::MAX, u64::MAX, u64::MAX, 1));
        assert!(
            !quota_allows(1, 0, 0, 1),
            "a quota that is not known allows nothing"
        );
    }

    #[test]
    fn a_compaction_gives_the_room_back_that_the_run_had_used() {
        let before = Room {
            db_size: 30 * MIB,
            quota: 64 * MIB,
            written_at_compaction: 0,
        };
        assert!(before.allows(14 * MIB, 200 << 10));
        assert!(!before.allows(15 * MIB, 200 << 10));
        let after = Room {
            written_at_compaction: 15 * MIB,
            ..before
        };
        assert!(after.allows(15 * MIB, 200 << 10));
        assert!(
            Brake::Within(after).allows(15 * MIB, 200 << 10)
                && !Brake::Within(before).allows(15 * MIB, 200 << 10)
        );
        assert!(Brake::Off.allows(u64::MAX, 1) && !Brake::default().allows(0, 0));
    }
}
