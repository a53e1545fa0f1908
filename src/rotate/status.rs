//! How a rotation goes, for whoever follows it: a file that whoever walks it writes, and whoever asked for it reads.
//!
//! `/run/holdfast/rotation.json`. It decides nothing: what stands is told by the world and the journal.

use super::{Passed, RotateError};
use crate::adapters::Node;
use crate::adapters::lock::Held;
use crate::domain::{Fact, InvalidPath, Mode, NodePath, Reason};
use crate::rewrite::Progress;
use crate::rotation::{Outcome, Rotation};

/// The file, in the run-time folder.
const FILE: &str = "rotation.json";
/// The folder of requests, in the run-time folder, which the daemon watches.
const REQUESTS: &str = "requests";
const REQUEST: &str = "rotation.json";
/// No status is as large as that.
const MAX_BYTES: usize = 64 * 1024;
/// What is said of a re-encryption while it goes on.
pub const REWRITING: &str = "stored values are rewritten";
/// The version of the format.
const SCHEMA_VERSION: u32 = 1;

/// Where a rotation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A step was taken, and the next is due.
    Working,
    /// It goes on by itself.
    Waiting,
    /// It goes on when the operator has seen to it.
    Parked,
    /// It is over.
    Ended,
}

/// How a rotation goes.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The version of this format.
    pub schema_version: u32,
    /// The rotation.
    pub rotation: String,
    /// Which key writes at its end.
    pub to: String,
    /// Where it stands.
    pub state: State,
    /// What was done, or is awaited.
    pub what: String,
    /// What the operator can do, where something is awaited.
    pub remedy: Option<String>,
    /// Of a re-encryption: how many values are done.
    pub done: Option<u64>,
    /// How many there are.
    pub total: Option<u64>,
    /// How many a second.
    pub rate: Option<f64>,
    /// For how many seconds it goes on at that rate.
    pub seconds_left: Option<u64>,
    /// The process that walks it.
    pub process: u32,
    /// When this was written, in milliseconds since the machine was booted.
    pub since_boot_ms: u64,
}

/// What a command asks of the daemon, beyond what the journal says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// The rotation.
    pub rotation: String,
    /// Restarts may happen outside the disruption window.
    pub any_time: bool,
    /// When it was asked, by the clock since boot: who asks once more wants what was refused to be tried again.
    #[serde(default)]
    pub since_boot_ms: u64,
}

impl Status {
    /// A status of that rotation, without numbers.
    #[must_use]
    pub fn of(node: &Node, rotation: &Rotation, state: State, what: &str, remedy: Option<&str>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            rotation: rotation.id.clone(),
            to: rotation.new.to_string(),
            state,
            what: what.to_owned(),
            remedy: remedy.filter(|remedy| !remedy.is_empty()).map(str::to_owned),
            done: None,
            total: None,
            rate: None,
            seconds_left: None,
            process: std::process::id(),
            since_boot_ms: node.clock.now().since_boot_ms,
        }
    }

    /// The same with the numbers of a re-encryption.
    #[must_use]
    pub fn with(self, progress: &Progress) -> Self {
        Self {
            done: Some(progress.done),
            total: progress.total,
            rate: Some(progress.rate),
            seconds_left: progress.left().map(|left| left.as_secs()),
            ..self
        }
    }
}

/// What a pass came to, with what the operator can do; `None` for one that needs a restart, and for no rotation.
#[must_use]
pub fn words(passed: &Result<Passed, RotateError>) -> Option<(State, String, String)> {
    Some(match passed {
        Ok(Passed::Did(what)) => (State::Working, what.clone(), String::new()),
        Ok(Passed::Waits(words)) => (State::Waiting, words.why.clone(), words.remedy.clone()),
        Ok(Passed::Parked(words) | Passed::Asks(words)) => {
            (State::Parked, words.why.clone(), words.remedy.clone())
        }
        Ok(Passed::Ended(ended)) => (
            State::Ended,
            how_it_ended(ended.outcome).to_owned(),
            String::new(),
        ),
        Ok(Passed::Restart(_) | Passed::Idle) => return None,
        // An API server that is away, an etcd without quorum: the next pass looks again.
        Err(RotateError::Unknown(why)) => (State::Waiting, why.to_string(), String::new()),
        Err(RotateError::Etcd(why)) => (State::Waiting, why.to_string(), why.advice().to_owned()),
        Err(error) => (State::Parked, error.to_string(), String::new()),
    })
}

const fn how_it_ended(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Rotated => {
            "it is complete: everything is as it was asked for, and what was retired is gone from the configuration"
        }
        Outcome::RolledBack => "it was turned back: everything is as it was before",
        Outcome::Aborted => "it was given up before anything was written",
    }
}

/// Writes the status.
///
/// # Errors
/// When it cannot be written.
pub fn publish(node: &Node, held: &Held, status: &Status) -> Result<(), RotateError> {
    write(node, held, &below(&node.layout.run, FILE)?, status)
}

/// The last status that was written; `None` when there is none that can be read.
#[must_use]
pub fn published(node: &Node) -> Option<Status> {
    read(node, &below(&node.layout.run, FILE).ok()?)
}

/// The folder of requests.
///
/// # Errors
/// When its path is none.
pub fn requests(node: &Node) -> Result<NodePath, RotateError> {
    below(&node.layout.run, REQUESTS)
}

/// Leaves a request, at which the daemon looks at once.
///
/// # Errors
/// When it cannot be written.
pub fn ask(node: &Node, held: &Held, request: &Request) -> Result<(), RotateError> {
    let folder = requests(node)?;
    node.files.make_own_folder(&folder)?;
    write(node, held, &below(&folder, REQUEST)?, request)
}

/// The request of that rotation, if one was left.
#[must_use]
pub fn asked(node: &Node, rotation: &Rotation) -> Option<Request> {
    let path = below(&requests(node).ok()?, REQUEST).ok()?;
    read(node, &path).filter(|request: &Request| request.rotation == rotation.id)
}

fn write(
    node: &Node,
    held: &Held,
    path: &NodePath,
    value: &impl serde::Serialize,
) -> Result<(), RotateError> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|error| RotateError::Unknown(Reason::new(error.to_string())))?;
    Ok(node.files.write_own(held, path, &text, Mode::from_bits(0o600))?)
}

fn read<T: serde::de::DeserializeOwned>(node: &Node, path: &NodePath) -> Option<T> {
    match node.files.read(path, MAX_BYTES) {
        Fact::Known(content) => serde_json::from_slice(&content.bytes).ok(),
        Fact::Absent | Fact::Unknown(_) => None,
    }
}

fn below(folder: &NodePath, name: &str) -> Result<NodePath, RotateError> {
    folder
        .join(name)
        .map_err(|error: InvalidPath| RotateError::Unknown(Reason::new(error.to_string())))
}
