//! What the daemon tells the system log, on standard output and wrapped to a readable width.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use holdfast::report::{Colour, printable};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

const WIDTH: usize = 90;

static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
static NEWS: Condvar = Condvar::new();

/// How many warnings told of what was so at the start; they are not printed.
static SHOWN_BEFORE: AtomicUsize = AtomicUsize::new(0);

/// How many warnings were left out.
pub fn left_out() -> usize {
    SHOWN_BEFORE.load(Ordering::Relaxed)
}

/// From now on the log goes to standard output.
pub fn to_standard_output(colour: Colour) {
    tracing_subscriber::registry().with(Lines { colour }).init();
}

/// Waits until a line with these words has been told.
pub fn wait_for(words: &str, patience: Duration) {
    let told = TOLD.lock().expect("no thread panics with it");
    let (mut told, _) = NEWS
        .wait_timeout_while(told, patience, |told| {
            !told.iter().any(|line| line.contains(words))
        })
        .expect("no thread panics with it");
    told.retain(|line| !line.contains(words));
}

struct Lines {
    colour: Colour,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (word, shade) = match *event.metadata().level() {
            Level::ERROR => ("error", "31"),
            Level::WARN => ("warning", "33"),
            Level::INFO => ("notice", "32"),
            _ => return,
        };
        let mut message = Message(String::new());
        event.record(&mut message);
        // What was found at the start was shown at length before.
        if message.0.contains("(it was so when Holdfast started)") {
            SHOWN_BEFORE.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let head = match self.colour {
            Colour::Always => format!("\x1b[{shade}m{word:<7}\x1b[0m"),
            Colour::Never => format!("{word:<7}"),
        };
        println!("  {head}  {}", wrapped(&printable(&message.0)));
        TOLD.lock().expect("no thread panics with it").push(message.0);
        NEWS.notify_all();
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            write!(self.0, "{value:?}").expect("a string");
        }
    }
}

fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for word in text.split(' ') {
        if width > 0 && width + word.chars().count() > WIDTH {
            lines.push_str("\n           ");
            width = 0;
        } else if width > 0 {
            lines.push(' ');
        }
        lines.push_str(word);
        width += word.chars().count() + 1;
    }
    lines
}
