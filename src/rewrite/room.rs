//! The room in etcd: old revisions count against its quota until they are compacted, and a full etcd refuses every write.
//!
//! What counts is the size of the database's file (etcd's `NewBackendQuota`: `Size()`), and that never shrinks by itself. A compaction
//! frees pages inside of it, which later writes fill before the file grows. So two things let a write go: the file would stay under the
//! share even if it grew by all of it; or a compaction has left enough free pages in it.

/// The share of etcd's quota that a rewrite may let the database's file grow to, in percent.
pub const QUOTA_SHARE_PERCENT: u64 = 70;

/// The share that a file may come to should its free pages not fit the values, in percent. Measured: a compaction, which writes pages too,
/// made a file of 57.7 MiB grow by 3.3.
const HIGHEST_SHARE_PERCENT: u64 = 90;

/// The part of the file that can be filled before it grows, in percent. Measured: 150 values of 200 KiB left a sixth of it in pieces too
/// small for more of them; with 46 % free they did not make it grow.
const FILLED_PERCENT: u64 = 80;

/// A page of etcd's tree that holds up to four large values is not split (bbolt, `minKeysPerPage`), and each commit writes it anew with all
/// of them: so many times its size a value may take until the next commit frees the former page.
const AMPLIFICATION: u64 = 4;

/// What etcd last said of its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The size of its database file in bytes (`Maintenance/Status`, `dbSize`).
    pub db_size: u64,
    /// The part of it that is in use, in bytes (`dbSizeInUse`).
    pub in_use: u64,
    /// Its quota in bytes (`--quota-backend-bytes`).
    pub quota: u64,
    /// How many bytes this run had written at a moment before the sizes were read: [`super::Progress::bytes`].
    pub written: u64,
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

impl Room {
    /// True when one more write of `next` bytes fits, with `written` bytes written and in flight so far in this run.
    #[must_use]
    pub const fn allows(&self, written: u64, next: u64) -> bool {
        let need = written.saturating_sub(self.written).saturating_add(next);
        let need = need.saturating_mul(AMPLIFICATION);
        let grown = self.db_size.saturating_add(need);
        let filled = self.in_use.saturating_add(need);
        // Divided first: a quota has more than 100 bytes, and no product overflows.
        let share = self.quota / 100;
        grown <= share * QUOTA_SHARE_PERCENT
            || (filled <= self.db_size / 100 * FILLED_PERCENT && grown <= share * HIGHEST_SHARE_PERCENT)
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

    const fn room(db_size: u64, in_use: u64) -> Room {
        Room {
            db_size,
            in_use,
            quota: 10_000,
            written: 0,
        }
    }

    #[test]
    fn the_file_grows_up_to_seventy_percent_of_the_quota_and_not_one_byte_further() {
        assert!(room(6_000, 6_000).allows(40, 210));
        assert!(!room(6_000, 6_000).allows(40, 211));
        assert!(!room(u64::MAX, u64::MAX).allows(u64::MAX, 1));
        let unknown = Room {
            quota: 0,
            ..room(0, 0)
        };
        assert!(!unknown.allows(0, 1), "a quota that is not known allows nothing");
    }

    #[test]
    fn a_larger_file_takes_what_a_compaction_has_made_room_for() {
        assert!(!room(7_000, 5_600).allows(0, 1));
        assert!(room(7_000, 5_000).allows(100, 50));
        assert!(!room(7_000, 5_000).allows(100, 51));
        // Should the values not fit in these pages, something is left for everybody else.
        assert!(room(8_600, 2_000).allows(0, 100));
        assert!(!room(8_600, 2_000).allows(0, 101));
        assert!(!room(9_000, 2_000).allows(0, 1));
    }

    #[test]
    fn what_was_written_before_the_sizes_were_read_is_in_them() {
        let room = Room {
            db_size: 30 * MIB,
            in_use: 30 * MIB,
            quota: 64 * MIB,
            written: 15 * MIB,
        };
        assert!(room.allows(18 * MIB, 200 << 10));
        assert!(!room.allows(19 * MIB, 200 << 10));
        assert!(Brake::Within(room).allows(15 * MIB, 200 << 10));
        assert!(Brake::Off.allows(u64::MAX, 1) && !Brake::default().allows(0, 0));
    }
}
