//! The system log: journald when systemd started us, else standard error.
//!
//! Priorities in the journal: `error!` 3 (needs a human now), `warn!` 4 (soon), `info!` 5 notice (a change that was made), `debug!` 6
//! info (news of a pass), `trace!` 7 (the rest). Fields of an event are `MESSAGE_ID` and `holdfast.*` only: without a prefix of its own,
//! the journal takes any other name as it is.

#![expect(
    clippy::disallowed_methods,
    reason = "an adapter: the environment says where standard error leads"
)]

use std::io::IsTerminal as _;
use std::os::fd::AsFd;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt as _;

/// What is shown when nothing else is asked for: news of a pass and above; of the libraries, what needs somebody. The API client tells as an
/// error that a server does not answer, which is told here by whoever asked.
pub const DEFAULT_FILTER: &str = "warn,holdfast=debug,kube_client=off";

/// Where the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// To the journal if standard error leads there (`JOURNAL_STREAM`, systemd.exec(5)), else to standard error.
    Auto,
    /// To the journal; to standard error if the journal's socket is missing.
    Journal,
    /// To standard error.
    StandardError,
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is none.
    #[error(
        "\"{filter}\" is no log filter: {cause}; write a level, like debug, or parts, like warn,holdfast=trace"
    )]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        cause: tracing_subscriber::filter::ParseError,
    },
    /// There is one already.
    #[error("the log is set up already: {0}")]
    Twice(tracing_subscriber::util::TryInitError),
}

/// Sets up the log of this process; true when it goes to the journal. `filter` is a level or parts `TARGET=LEVEL` (tracing's `EnvFilter`), [`DEFAULT_FILTER`] if there is none.
///
/// # Errors
/// When the filter cannot be read, or a log is set up already.
pub fn init(sink: Sink, filter: Option<&str>) -> Result<bool, LogError> {
    let filter = parse_filter(filter.unwrap_or(DEFAULT_FILTER))?;
    let to_journal = match sink {
        Sink::Journal => true,
        Sink::StandardError => false,
        Sink::Auto => {
            std::env::var("JOURNAL_STREAM").is_ok_and(|stream| leads_to(&stream, std::io::stderr().as_fd()))
        }
    };
    let journal = if to_journal { journal() } else { None };
    let in_journal = journal.is_some();
    let outcome = if let Some(journal) = journal {
        tracing_subscriber::registry()
            .with(journal.with_filter(filter))
            .try_init()
    } else {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        tracing_subscriber::registry()
            .with(lines(std::io::stderr, colour).with_filter(filter))
            .try_init()
    };
    outcome.map_err(LogError::Twice)?;
    Ok(in_journal)
}

/// True where a journal takes what is told.
#[must_use]
pub fn has_journal() -> bool {
    journal().is_some()
}

/// `None` when the journal's socket is missing: the events then go to standard error, which is never missing.
fn journal() -> Option<tracing_journald::Layer> {
    let layer = tracing_journald::layer().ok()?;
    // With a prefix, MESSAGE_ID would never arrive.
    Some(
        layer
            .with_field_prefix(None)
            .with_syslog_identifier("holdfast".to_owned()),
    )
}

/// Lines without time (who reads standard error knows when) and without the ids that only the journal has a use for.
fn lines<S, W>(writer: W, colour: bool) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colour)
        .without_time()
        .with_target(false)
        .fmt_fields(fields())
}

fn fields() -> impl for<'writer> FormatFields<'writer> + 'static {
    debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{value:?}"),
        "MESSAGE_ID" => Ok(()),
        name => write!(writer, " {}={value:?}", name.trim_start_matches("holdfast.")),
    })
    .delimited("")
}

fn parse_filter(filter: &str) -> Result<impl tracing_subscriber::layer::Filter<Registry> + use<>, LogError> {
    let parsed = EnvFilter::try_new(filter).map_err(|cause| LogError::Filter {
        filter: filter.to_owned(),
        cause,
    })?;
    Ok(parsed.and(filter_fn(may_be_told)))
}

/// Whatever the filter says: what the libraries tell below `info` may hold keys (kube quotes answers that it cannot parse).
fn may_be_told(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let is_ours = target == "holdfast" || target.starts_with("holdfast::");
    is_ours || *metadata.level() <= Level::INFO
}

/// Whether a descriptor is the stream that `JOURNAL_STREAM` names: device and inode number in decimal.
fn leads_to(stream: &str, descriptor: impl AsFd) -> bool {
    let named = stream
        .split_once(':')
        .and_then(|(device, inode)| Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?)));
    let there = nix::sys::stat::fstat(descriptor)
        .ok()
        .map(|stat| (stat.st_dev, stat.st_ino));
    named.is_some() && named == there
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What a filter lets through of one event of each kind.
    fn written(filter: &str) -> String {
        let written = Written::default();
        let writer = written.clone();
        let layer = lines(move || writer.clone(), false).with_filter(parse_filter(filter).unwrap());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::event!(target: "holdfast::apply", Level::INFO, MESSAGE_ID = "5ec1", holdfast.path = "/etc/x", "mode mended");
            tracing::event!(target: "holdfast", Level::DEBUG, "news");
            tracing::event!(target: "holdfast", Level::TRACE, "the rest");
            tracing::event!(target: "tower::buffer", Level::WARN, "their warning");
            tracing::event!(target: "kube_client::client", Level::ERROR, "nobody answers");
            tracing::event!(target: "kube_client::client", Level::DEBUG, "an answer with a key");
            tracing::event!(target: "holdfastish", Level::DEBUG, "not ours");
        });
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn by_default_news_are_told_and_the_rest_is_not() {
        assert_eq!(
            written(DEFAULT_FILTER),
            " INFO mode mended path=\"/etc/x\"\nDEBUG news\n WARN their warning\n"
        );
    }

    #[test]
    fn no_filter_lets_the_libraries_tell_what_may_hold_keys() {
        let expected = " INFO mode mended path=\"/etc/x\"\nDEBUG news\nTRACE the rest\n WARN their warning\nERROR nobody answers\n";
        assert_eq!(written("trace"), expected);
        assert_eq!(
            written("trace,kube_client=trace,kube_client::client=trace"),
            expected
        );
    }

    #[test]
    fn a_filter_that_is_none_is_refused_with_its_text() {
        let error = parse_filter("holdfast=loud").err().unwrap();
        assert!(
            error
                .to_string()
                .starts_with("\"holdfast=loud\" is no log filter: "),
            "{error}"
        );
    }

    #[test]
    fn standard_error_is_the_journal_only_if_device_and_inode_agree() {
        let file = tempfile::tempfile().unwrap();
        let metadata = file.metadata().unwrap();
        let stream = format!("{}:{}", metadata.dev(), metadata.ino());
        assert!(leads_to(&stream, &file));
        for other in ["", "1", "x:y", ":", &format!("{stream}0")] {
            assert!(!leads_to(other, &file), "{other}");
        }
    }
}
