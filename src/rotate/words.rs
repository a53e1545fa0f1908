//! What was noted, in words.

use crate::rotation::Event;

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
