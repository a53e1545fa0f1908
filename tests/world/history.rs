//! What happened to the containers, in order.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Since the world began.
    pub at: Duration,
    /// The container's pod, as `namespace/name`.
    pub pod: String,
    /// What happened.
    pub what: What,
}

/// What happens to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Its process was started.
    Started {
        pid: i32,
        uid: String,
        restart: u32,
        argv: Vec<String>,
    },
    /// It answers that it is ready.
    Ready { pid: i32 },
    /// It does not any more.
    NotReady { pid: i32 },
    /// It was told to end.
    Stopping { pid: i32 },
    /// Its process is gone.
    Ended { pid: i32 },
}

/// The events so far.
pub struct History {
    began: Instant,
    events: Mutex<Vec<Event>>,
}

impl History {
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            events: Mutex::new(Vec::new()),
        }
    }

    pub fn add(&self, pod: &str, what: What) {
        let mut events = self.events.lock().expect("no thread panics with it");
        events.push(Event {
            at: self.began.elapsed(),
            pod: pod.to_owned(),
            what,
        });
    }

    pub fn all(&self) -> Vec<Event> {
        self.events.lock().expect("no thread panics with it").clone()
    }

    /// How often a process of that pod was started.
    pub fn starts(&self, pod: &str) -> usize {
        let events = self.events.lock().expect("no thread panics with it");
        let started = |event: &&Event| event.pod == pod && matches!(event.what, What::Started { .. });
        events.iter().filter(started).count()
    }

    /// The longest time that the pod was not ready after it had been for the first time; one that has not ended counts.
    pub fn longest_absence(&self, pod: &str) -> Duration {
        let events = self.events.lock().expect("no thread panics with it");
        let mut since = None;
        let mut longest = Duration::ZERO;
        for event in events.iter().filter(|event| event.pod == pod) {
            match event.what {
                What::NotReady { .. } => since = since.or(Some(event.at)),
                What::Ready { .. } => {
                    longest = longest.max(since.take().map_or(Duration::ZERO, |since| event.at - since));
                }
                What::Started { .. } | What::Stopping { .. } | What::Ended { .. } => {}
            }
        }
        longest.max(since.map_or(Duration::ZERO, |since| self.began.elapsed().saturating_sub(since)))
    }
}
