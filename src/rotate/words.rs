//! What was noted, and what is awaited, in words.

use super::Passed;
use crate::rotation::{Event, Words};

/// It goes on by itself.
pub(super) fn waits(why: impl Into<String>, remedy: impl Into<String>) -> Passed {
    Passed::Waits(Words {
        why: why.into(),
        remedy: remedy.into(),
    })
}

/// How many rewritten values were compared with what they were, and how many differ.
pub(super) fn compared((compared, differing): (u64, u64)) -> String {
    match (compared, differing) {
        (0, _) => String::new(),
        (_, 0) => format!("; each of the {compared} rewritten ones that were compared is what it was"),
        _ => format!(
            "; {differing} of the {compared} rewritten ones that were compared are not what they were: `journalctl -t holdfast` names them"
        ),
    }
}

/// An event for the operator.
pub(super) fn told(event: &Event) -> String {
    match event {
        Event::ConfigWritten { node, stage } => {
            format!("{node} has the configuration of stage {stage} on disk")
        }
        Event::Loaded { stage, .. } => format!("every API server is proven to run with stage {stage}"),
        Event::BarrierLost { why } => format!("the proof is taken anew: {why}"),
        Event::DrainEnded { revision } => {
            format!("every request of before has ended, at etcd revision {revision}")
        }
        Event::Verified { revision } => {
            format!("proven at etcd revision {revision}: nothing is left under the retiring key")
        }
        Event::PlaintextRead { .. } => {
            "each configuration of the rotation reads plaintext, too, as the API server may have written some"
                .to_owned()
        }
        Event::Finished => "the rotation is complete".to_owned(),
        Event::Aborted { why } => format!("the rotation is given up: {why}"),
        Event::Begun { .. }
        | Event::KeyIntended { .. }
        | Event::ConfigIntended { .. }
        | Event::PutBack { .. }
        | Event::Resumed
        | Event::CutAllowed
        | Event::RollbackAsked
        | Event::Parked { .. } => "the journal has it".to_owned(),
    }
}
