//! What wakes a waiting process: a signal, a hint that files changed, or time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::watch::Hint;

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The time is up.
    Timeout,
    /// Files changed.
    Hint(Hint),
    /// SIGTERM or SIGINT: end.
    Terminate,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// Waits for time alone, before anything is begun: a signal ends the process as it does any other.
#[expect(clippy::disallowed_methods, reason = "this is the edge at which is waited")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Waits. Signals that arrive while nobody waits are kept for the next wait.
#[derive(Debug)]
pub struct Wakeups {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    hints: Arc<Hints>,
}

/// The hints that nobody has waited for yet: a set, so that no number of events can overflow it.
#[derive(Debug, Default)]
struct Hints {
    pending: AtomicU8,
    notify: Notify,
}

/// The end that gives hints; it never blocks.
#[derive(Debug, Clone)]
pub struct HintSender(Arc<Hints>);

impl HintSender {
    /// Wakes the waiting end.
    pub fn send(&self, hint: Hint) {
        self.0.pending.fetch_or(bit(hint), Ordering::AcqRel);
        self.0.notify.notify_one();
    }

    /// Comes when a hint is pending that nobody has waited for; it stays pending.
    pub async fn pending(&self) {
        while self.0.pending.load(Ordering::Acquire) == 0 {
            tokio::time::sleep(PENDING_POLL).await;
        }
    }
}

/// How often a long step looks whether a hint is pending.
const PENDING_POLL: Duration = Duration::from_millis(100);

const fn bit(hint: Hint) -> u8 {
    match hint {
        Hint::Changed => 1,
        Hint::FoldersChanged => 2,
        Hint::Lost => 4,
    }
}

impl Hints {
    /// The most far-reaching hint that is pending; none is pending afterwards.
    fn take(&self) -> Option<Hint> {
        let pending = self.pending.swap(0, Ordering::AcqRel);
        let order = [Hint::Lost, Hint::FoldersChanged, Hint::Changed];
        order.into_iter().find(|hint| pending & bit(*hint) != 0)
    }
}

impl Wakeups {
    /// From now on SIGTERM, SIGINT and SIGHUP no longer end the process, but a wait.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let hangup = signal(SignalKind::hangup())?;
        drop(entered);
        Ok(Self {
            runtime,
            terminate,
            interrupt,
            hangup,
            hints: Arc::default(),
        })
    }

    /// The end that gives hints.
    #[must_use]
    pub fn sender(&self) -> HintSender {
        HintSender(Arc::clone(&self.hints))
    }

    /// Waits for a signal or a hint, `at_most` that long.
    pub fn wait(&mut self, at_most: Duration) -> Wake {
        let Self {
            runtime,
            terminate,
            interrupt,
            hangup,
            hints,
        } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = terminate.recv() => Wake::Terminate,
                _ = interrupt.recv() => Wake::Terminate,
                _ = hangup.recv() => Wake::Reload,
                hint = next_hint(hints) => Wake::Hint(hint),
                () = until_heard(at_most) => Wake::Timeout,
            }
        })
    }
}

/// Comes when this process is asked to end (SIGTERM, SIGINT); a [`Wakeups`] hears of it too. For what runs so long that it must be
/// able to stop in the middle.
///
/// # Errors
/// When the system refuses.
pub async fn asked_to_end() -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Waits that long, and then until what has arrived meanwhile is told: the runtime hears of a signal only between two polls.
async fn until_heard(time: Duration) {
    tokio::time::sleep(time).await;
    tokio::task::yield_now().await;
}

async fn next_hint(hints: &Hints) -> Hint {
    loop {
        if let Some(hint) = hints.take() {
            return hint;
        }
        hints.notify.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_that_came_before_the_wait_end_it_at_once_and_the_most_far_reaching_one_is_told() {
        let mut wakeups = Wakeups::new().unwrap();
        let sender = wakeups.sender();
        for hint in [Hint::Changed, Hint::Lost, Hint::Changed] {
            sender.send(hint);
        }
        assert_eq!(wakeups.wait(Duration::from_secs(5)), Wake::Hint(Hint::Lost));
        assert_eq!(wakeups.wait(Duration::from_millis(1)), Wake::Timeout);
    }

    #[test]
    fn a_hint_from_another_thread_ends_the_wait() {
        let mut wakeups = Wakeups::new().unwrap();
        let sender = wakeups.sender();
        let thread = std::thread::spawn(move || sender.send(Hint::Changed));
        assert_eq!(wakeups.wait(Duration::from_secs(5)), Wake::Hint(Hint::Changed));
        thread.join().unwrap();
    }
}
