//! Signs of life while stored values are read, which takes minutes where there are many: systemd would end a daemon that it does not hear of.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::adapters::Node;
use crate::adapters::systemd;
use crate::daemon::tell_systemd;
use crate::rotate::Beat;

const EVERY_MS: u64 = 1_000;
/// The first pass, in which the daemon is not ready yet, may take that much longer than it has taken: etcd answers sooner, or not at all.
const EXTENSION: Duration = Duration::from_secs(30);

/// Keeps what is asked for at each call to once in a while.
#[derive(Debug, Default)]
struct Seldom {
    not_before_ms: Cell<u64>,
}

impl Seldom {
    fn is_due(&self, now_ms: u64) -> bool {
        let is_due = now_ms >= self.not_before_ms.get();
        if is_due {
            self.not_before_ms.set(now_ms.saturating_add(EVERY_MS));
        }
        is_due
    }
}

/// Tells systemd, once a second at most.
pub(super) fn beat(node: &Node) -> Beat<'_> {
    let seldom = Seldom::default();
    Rc::new(move || {
        if seldom.is_due(node.clock.now().since_boot_ms) {
            tell_systemd(systemd::watchdog());
            tell_systemd(systemd::extend_timeout(EXTENSION));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_at_once_and_then_once_a_second() {
        let seldom = Seldom::default();
        let due: Vec<u64> = (5_000..8_000).filter(|now| seldom.is_due(*now)).collect();
        assert_eq!(due, [5_000, 6_000, 7_000]);
        // However long nobody has asked.
        assert!(seldom.is_due(90_000) && !seldom.is_due(90_999) && seldom.is_due(91_000));
    }
}
