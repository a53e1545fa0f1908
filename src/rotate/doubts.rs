//! What only several looks at a running API server show: that it refuses the file on the disk, and that another one has its name. Both
//! are remembered by this process alone; another one counts from the beginning.

use std::collections::VecDeque;

use crate::domain::Digest;

/// A server tries a file again and again, first within milliseconds. One failure may be of what lay there before.
const REFUSED_AFTER: u64 = 2;

/// How often the API server failed to load the file that lies on the disk.
#[derive(Debug, Default)]
pub(super) struct FailedReloads(Option<(Digest, u64)>);

impl FailedReloads {
    /// True when the server, which has counted so many failures in all, has refused the file of that digest since it was first seen there
    /// (F22).
    pub(super) fn refuses(&mut self, on_disk: Digest, count: u64) -> bool {
        // One that was restarted counts from 0.
        let first = self.0.filter(|(seen, first)| *seen == on_disk && *first <= count);
        let (_, first) = *self.0.insert(first.unwrap_or((on_disk, count)));
        count - first >= REFUSED_AFTER
    }
}

/// An API server renews its identity lease every 10 s (kubernetes `IdentityLeaseRenewIntervalPeriod`), and at its start.
const RENEWALS: usize = 5;
/// One server renews five times in 30 s, if it starts meanwhile; two of one name in 20 s.
const WITHIN_MS: u64 = 25_000;

/// When the identity lease of this node's API server was seen to be renewed.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    last: Option<jiff::Timestamp>,
    /// By the boot clock.
    seen_ms: VecDeque<u64>,
}

impl Renewals {
    /// Takes in what the lease says now. True when two servers renew it: the same host name is another server's, too (F24).
    pub(super) fn are_of_two(&mut self, renewed: Option<jiff::Timestamp>, now_ms: u64) -> bool {
        if let Some(renewed) = renewed
            && self.last.replace(renewed) != Some(renewed)
        {
            self.seen_ms.push_back(now_ms);
        }
        let begins = now_ms.saturating_sub(WITHIN_MS);
        self.seen_ms.retain(|seen| *seen >= begins);
        self.seen_ms.len() >= RENEWALS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_refused_when_the_count_of_failures_rises_twice_while_it_lies_there() {
        let (bad, good) = (Digest::of(b"bad"), Digest::of(b"good"));
        let mut failed = FailedReloads::default();
        // Failures of before are not its own, nor is the one that was under way.
        for (on_disk, count, refused) in [
            (bad, 7, false),
            (bad, 8, false),
            (bad, 9, true),
            (bad, 10, true),
            (good, 10, false),
            (good, 11, false),
            // The server was restarted, and fails again.
            (good, 0, false),
            (good, 1, false),
            (good, 2, true),
            (bad, 2, false),
        ] {
            assert_eq!(failed.refuses(on_disk, count), refused, "{on_disk:?} {count}");
        }
    }

    /// Looks each second for two minutes; whether two servers were seen, by the moments of the renewals.
    fn seen(renewals: &[u64]) -> bool {
        let mut tracked = Renewals::default();
        (0..120).any(|second| {
            let last = renewals.iter().rev().find(|at| **at <= second);
            let at = |at: &u64| jiff::Timestamp::from_second(i64::try_from(*at).unwrap()).unwrap();
            tracked.are_of_two(last.map(at), second * 1000)
        })
    }

    #[test]
    fn one_server_is_one_also_through_its_start_and_two_of_a_name_are_seen_as_two() {
        let every_ten = |from: u64| (0..12).map(move |n| from + n * 10).collect::<Vec<_>>();
        assert!(!seen(&every_ten(3)));
        // It ends at second 34, and starts at 36.
        let restarted: Vec<u64> = every_ten(3).into_iter().take(4).chain(every_ten(36)).collect();
        assert!(!seen(&restarted));
        assert!(!seen(&[]));
        for apart in 1..10 {
            let mut two: Vec<u64> = every_ten(3).into_iter().chain(every_ten(3 + apart)).collect();
            two.sort_unstable();
            assert!(seen(&two), "{apart} s apart");
        }
    }
}
