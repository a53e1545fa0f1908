//! Whether the operator asks a command to end, from when a signal no longer ends the process by itself: one for the whole command, so that
//! no signal is lost between two of its waits.

use std::cell::RefCell;
use std::io::BufRead as _;
use std::sync::mpsc::{self, TryRecvError};
use std::time::Duration;

use super::setup::CliError;
use crate::adapters::wakeups::{Wake, Wakeups};

/// How often an answer is looked for.
const POLL: Duration = Duration::from_millis(50);

/// Hears of signals once it listens.
#[derive(Debug, Default)]
pub(super) struct Interrupts(RefCell<Option<Wakeups>>);

impl Interrupts {
    /// From now on a signal no longer ends the process, but is heard here.
    pub(super) fn listen(&self) -> Result<(), CliError> {
        let mut heard = self.0.borrow_mut();
        if heard.is_none() {
            *heard = Some(wakeups()?);
        }
        Ok(())
    }

    /// Waits for a signal, `at_most` that long; one that has arrived before is told at once.
    pub(super) fn wait(&self, at_most: Duration) -> Wake {
        let mut heard = self.0.borrow_mut();
        heard
            .as_mut()
            .map_or(Wake::Timeout, |wakeups| wakeups.wait(at_most))
    }

    /// True when the operator has asked the command to end.
    pub(super) fn asked(&self) -> bool {
        self.wait(Duration::ZERO) == Wake::Terminate
    }

    /// A line from standard input; `None` when the operator asks the command to end instead.
    pub(super) fn line(&self) -> std::io::Result<Option<String>> {
        let read = || {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line)?;
            Ok(line)
        };
        // As long as it does not listen, a signal ends the process.
        if self.0.borrow().is_none() {
            return read().map(Some);
        }
        unless(read, || self.wait(POLL) == Wake::Terminate)
    }
}

/// What `read` comes to, unless `asked` comes first; `asked` waits a moment each time.
fn unless<T: Send + 'static>(
    read: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    mut asked: impl FnMut() -> bool,
) -> std::io::Result<Option<T>> {
    let (sender, receiver) = mpsc::channel();
    // It ends with the process, which is about to end when nobody waits for it any more.
    std::thread::spawn(move || drop(sender.send(read())));
    loop {
        match receiver.try_recv() {
            Ok(read) => return read.map(Some),
            Err(TryRecvError::Disconnected) => return Ok(None),
            Err(TryRecvError::Empty) if asked() => return Ok(None),
            Err(TryRecvError::Empty) => {}
        }
    }
}

/// Signals, as a command waits for them.
pub(super) fn wakeups() -> Result<Wakeups, CliError> {
    Wakeups::new().map_err(|cause| CliError::System {
        act: "cannot receive signals",
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_waited_for_until_the_operator_asks_to_end() {
        let answered = unless(
            || Ok("y"),
            || {
                std::thread::yield_now();
                false
            },
        );
        assert_eq!(answered.unwrap(), Some("y"));
        let (hold, held) = mpsc::channel::<()>();
        let never = move || Ok(held.recv().map_or("gone", |()| "y"));
        let mut looks = 0;
        let interrupted = unless(never, || {
            looks += 1;
            looks == 3
        });
        assert_eq!((interrupted.unwrap(), looks), (None, 3));
        drop(hold);
        assert_eq!(Interrupts::default().wait(Duration::from_secs(60)), Wake::Timeout);
    }
}
