//! Performs changes: the intent first, then the act, then what came of it. One change at a time is in flight.

mod backups;
mod ended;
pub mod out;
mod outcome;
mod telling;

pub(crate) use backups::sweep as sweep_backups;
pub use outcome::{Outcome, Result};
pub(crate) use telling::tell_outcome;

use crate::adapters::Node;
use crate::adapters::files::FileError;
use crate::adapters::journal_store::{JournalStore, StoreError};
use crate::adapters::lock::Held;
use crate::domain::{ControlId, Digest, Fact, NodePath, ProcessId};
use crate::events::tell;
use crate::journal::{
    Act, Bounce, BouncedManifest, EditedKubelet, EditedManifest, Fault, KnownManifest, Record,
};
use crate::manifest::MAX_BYTES;
use crate::plan::{Change, Deed, ManifestBounce, ManifestEdit, Progress, Step};

/// What performs changes: the node, its journal, and the lock that makes us the only one.
pub struct Applier<'a> {
    /// The node.
    pub node: &'a Node,
    /// The held lock.
    pub held: &'a Held,
    /// The journal.
    pub journal: &'a mut JournalStore,
}

impl Applier<'_> {
    /// Records what lay in the manifests folder at the first start.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn know(&mut self, manifests: Vec<KnownManifest>) -> std::result::Result<(), StoreError> {
        self.record(Record::Baseline { manifests })
    }

    /// Makes one change. Modes, owners and quarantines are complete when this returns; an edit is begun, and
    /// [`Applier::step`] carries it on.
    ///
    /// # Errors
    /// When the journal cannot be written: what was begun is then decided by the next look at the node.
    pub fn make(&mut self, change: &Change) -> std::result::Result<Outcome, StoreError> {
        let act = match self.prepare(change) {
            Ok(act) => act,
            Err(error) => {
                return Ok(Outcome::of_change(change, failed(&error)));
            }
        };
        let (id, controls) = (change.id, change.controls.clone());
        self.record(Record::Started {
            change: id,
            controls,
            act: act.clone(),
        })?;
        let result = match self.act(&change.deed, &act) {
            Ok(()) if act.is_proven_later() => Result::Begun,
            Ok(()) => {
                self.record(Record::Finished { change: id })?;
                Result::Made
            }
            // It was made, and may not survive a power cut: it stays in flight, and the next look decides.
            Err(error @ FileError::NotDurable { .. }) => Result::Waiting {
                why: format!("the next look at it: {error}"),
            },
            Err(error) => {
                self.record(Record::Abandoned {
                    change: id,
                    why: error.to_string(),
                })?;
                failed(&error)
            }
        };
        Ok(Outcome::of_change(change, result))
    }

    /// Takes the next step of the change in flight.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn step(
        &mut self,
        progress: &Progress,
        controls: &[ControlId],
    ) -> std::result::Result<Outcome, StoreError> {
        let change = progress.change;
        let result = match &progress.step {
            Step::Wait { why } => Result::Waiting { why: why.clone() },
            Step::Stuck { why } => Result::Stuck { why: why.clone() },
            Step::Drain => {
                self.record(Record::Draining { change })?;
                Result::Waiting {
                    why: "it to finish what it has begun to answer".to_owned(),
                }
            }
            Step::CleanedUp => {
                self.record(Record::CleanedUp { change })?;
                Result::Waiting {
                    why: crate::plan::FORGET.to_owned(),
                }
            }
            Step::RemoveEnded { socket, pods } => self.remove_ended(progress, socket, pods)?,
            Step::End(processes) => self.end(processes),
            Step::RestartKubelet => self.restart_kubelet(change)?,
            Step::PutIn => self.put_in(&progress.act),
            Step::Finish => {
                out::clear(self.node, self.held, &progress.act);
                self.record(Record::Finished { change })?;
                backups::prune(self.node, self.held, &progress.act);
                Result::Made
            }
            Step::Abandon { why } => {
                out::clear(self.node, self.held, &progress.act);
                self.record(Record::Abandoned {
                    change,
                    why: why.clone(),
                })?;
                backups::prune(self.node, self.held, &progress.act);
                Result::Abandoned { why: why.clone() }
            }
            Step::Undo(fault) => {
                self.record(Record::UndoStarted {
                    change,
                    fault: fault.clone(),
                })?;
                self.put_back(&progress.act, Some(fault))
            }
            Step::PutBack => self.put_back(&progress.act, None),
            Step::Refuse { fault, recovered } => {
                out::clear(self.node, self.held, &progress.act);
                let (fault, recovered) = (fault.clone(), *recovered);
                self.record(Record::Refused {
                    change,
                    fault: fault.clone(),
                    recovered,
                })?;
                let by_hand = (!recovered).then(|| by_hand(&progress.act)).flatten();
                Result::Refused {
                    fault,
                    recovered,
                    by_hand,
                }
            }
        };
        Ok(Outcome::of_step(progress, controls, result))
    }

    fn record(&mut self, record: Record) -> std::result::Result<(), StoreError> {
        self.journal.append(self.held, self.node.clock.now(), record)
    }

    /// What must be durable before the intent: the copy of the content before.
    fn prepare(&self, change: &Change) -> std::result::Result<Act, FileError> {
        Ok(match &change.deed {
            Deed::SetMode { path, from, to, .. } => Act::SetMode {
                path: path.clone(),
                from: *from,
                to: *to,
            },
            Deed::SetOwner { path, from, to, .. } => Act::SetOwner {
                path: path.clone(),
                from: *from,
                to: *to,
            },
            Deed::Quarantine { path, digest, .. } => Act::Quarantine {
                path: path.clone(),
                to: backups::quarantine_for(self.node, path)?,
                digest: *digest,
            },
            Deed::MakeFolder { path } => Act::MakeFolder { path: path.clone() },
            Deed::Install { path, content } => Act::Install {
                path: path.clone(),
                digest: Digest::of(content.as_bytes()),
            },
            Deed::EditKubelet(edit) => {
                let backup = backups::keep(self.node, self.held, backups::KUBELET, &edit.before)?;
                Act::EditKubelet(EditedKubelet {
                    path: edit.path.clone(),
                    before: Digest::of(edit.before.as_bytes()),
                    after: Digest::of(edit.after.as_bytes()),
                    backup,
                })
            }
            Deed::EditManifest(edit) => {
                let backup = backups::keep(self.node, self.held, edit.component.name(), &edit.before)?;
                let bounce = out::stage(self.node, self.held, edit)?;
                Act::EditManifest(edited(edit, backup, bounce))
            }
            Deed::Bounce(bounce) => {
                let backup = backups::keep(self.node, self.held, bounce.component.name(), &bounce.text)?;
                let out = out::way_out(self.node, self.held, bounce)?;
                Act::Bounce(bounced(bounce, backup, out))
            }
        })
    }

    fn act(&self, deed: &Deed, act: &Act) -> std::result::Result<(), FileError> {
        let files = &self.node.files;
        match (deed, act) {
            (Deed::SetMode { path, id, from, to }, _) => files.set_mode(self.held, path, *id, *from, *to),
            (Deed::SetOwner { path, id, from, to }, _) => files.set_owner(self.held, path, *id, *from, *to),
            (Deed::EditKubelet(edit), _) => {
                let before = Digest::of(edit.before.as_bytes());
                files.replace(self.held, &edit.path, before, edit.after.as_bytes())
            }
            (Deed::MakeFolder { path }, _) => files.make_own_folder(path),
            (Deed::Install { path, content }, _) => files.create(self.held, path, content.as_bytes()),
            (Deed::Quarantine { path, digest, twin }, Act::Quarantine { to, .. }) => {
                let moved = files.move_away(self.held, path, *digest, to);
                if let (Some(twin), Ok(()) | Err(FileError::NotDurable { .. })) = (twin, &moved) {
                    self.tell_of(twin);
                }
                moved
            }
            (
                Deed::EditManifest(_),
                Act::EditManifest(EditedManifest {
                    path,
                    before,
                    bounce: Some(bounce),
                    ..
                }),
            ) => files.move_away(self.held, path, *before, &bounce.out),
            (Deed::Bounce(_), Act::Bounce(bounce)) => {
                files.move_away(self.held, &bounce.path, bounce.digest, &bounce.out)
            }
            (Deed::EditManifest(edit), _) => {
                let before = Digest::of(edit.before.as_bytes());
                files.replace(self.held, &edit.path, before, edit.after.as_bytes())
            }
            (Deed::Quarantine { path, .. } | Deed::Bounce(ManifestBounce { path, .. }), _) => {
                Err(FileError::Changed {
                    path: path.clone(),
                    what: "it has no place to go to".to_owned(),
                })
            }
        }
    }

    /// With the copy of a manifest the kubelet drops the pod of the real one, and misses that at its next listing only, within 20 s. A mode
    /// that is set to what it is makes it look at the file at once, and changes nothing (kubernetes `pkg/kubelet/config/file_linux.go`).
    fn tell_of(&self, twin: &NodePath) {
        let files = &self.node.files;
        let Fact::Known(facts) = files.facts(twin) else {
            return;
        };
        if let Err(error) = files.set_mode(self.held, twin, facts.id, facts.mode, facts.mode) {
            tell!(
                SLOW_RESTART,
                [path = twin.as_str()],
                "the kubelet starts its pod again within 20 s, not at once, ignoring: {error}"
            );
        }
    }

    /// What cannot be restarted is tried again, until the deadline. That it was asked for is recorded afterwards: whoever is killed between the
    /// two asks once more.
    fn restart_kubelet(&mut self, change: Digest) -> std::result::Result<Result, StoreError> {
        let asked = self.node.services.restart(self.held, "kubelet.service");
        self.record(Record::Draining { change })?;
        let why = match asked {
            Ok(()) => "the kubelet to start anew".to_owned(),
            Err(error) => format!("the kubelet to be restarted: {error}"),
        };
        Ok(Result::Waiting { why })
    }

    /// What cannot be removed is left to the kubelet: a restart may then take longer, and nothing is lost. That it was asked for is recorded
    /// afterwards, and whoever is killed between the two asks once more.
    fn remove_ended(
        &mut self,
        progress: &Progress,
        socket: &NodePath,
        pods: &[String],
    ) -> std::result::Result<Result, StoreError> {
        let asked = ended::remove(self.node, self.held, socket, pods);
        if let Err(error) = &asked {
            tell!(
                SLOW_RESTART,
                [path = progress.act.path().as_str()],
                "{}: whether the kubelet has left a container of the old pod is not known, or it stays ({error}): the new one may start 10 s \
                 or more later",
                progress.act
            );
        }
        self.record(Record::ContainersRemoved {
            change: progress.change,
            count: asked.ok(),
        })?;
        Ok(Result::Waiting {
            why: crate::plan::FORGET.to_owned(),
        })
    }

    /// Ends processes that serve nobody any more. What cannot be ended is left to the kubelet.
    fn end(&self, processes: &[ProcessId]) -> Result {
        for process in processes {
            if let Err(cause) = self.node.ending.end(self.held, *process) {
                let why = format!(
                    "the kubelet to end process {}, which could not be ended early: {cause}",
                    process.pid
                );
                return Result::Waiting { why };
            }
        }
        Result::Waiting {
            why: "its process to be gone".to_owned(),
        }
    }

    /// Puts the content after in place. What fails is tried again; at the deadline the former content goes back.
    fn put_in(&self, act: &Act) -> Result {
        let edit = match act {
            Act::EditManifest(edit) => edit,
            Act::Bounce(bounce) => return self.bring_back(bounce),
            Act::SetMode { .. }
            | Act::SetOwner { .. }
            | Act::EditKubelet(_)
            | Act::MakeFolder { .. }
            | Act::Install { .. }
            | Act::Quarantine { .. } => {
                return Result::Stuck {
                    why: format!("{act} takes nothing out of its folder"),
                };
            }
        };
        match out::put_in(self.node, self.held, edit) {
            Ok(()) => Result::Waiting {
                why: "the kubelet to start it anew".to_owned(),
            },
            // The pod is better off as it was than away.
            Err(error) => match out::put_back(self.node, self.held, edit) {
                Ok(()) => Result::Waiting {
                    why: format!("a new attempt, the new content could not be put in place: {error}"),
                },
                Err(second) => Result::Waiting {
                    why: format!("{} to go back into its folder: {error}; {second}", edit.path),
                },
            },
        }
    }

    fn bring_back(&self, bounce: &BouncedManifest) -> Result {
        let why = match out::bring_back(self.node, self.held, bounce) {
            Ok(()) => "the kubelet to start it anew".to_owned(),
            Err(error) => format!("{} to go back into its folder: {error}", bounce.path),
        };
        Result::Waiting { why }
    }

    /// Puts the former content back. What fails is tried again at the next step: the intent stands in the journal.
    fn put_back(&self, act: &Act, fault: Option<&Fault>) -> Result {
        let edit = match act {
            Act::EditManifest(edit) => edit,
            Act::EditKubelet(edit) => {
                let paths = (&edit.path, &edit.backup);
                return self.put_former_back(paths, (edit.before, edit.after), fault);
            }
            Act::SetMode { .. }
            | Act::SetOwner { .. }
            | Act::Bounce(_)
            | Act::MakeFolder { .. }
            | Act::Install { .. }
            | Act::Quarantine { .. } => {
                return Result::Stuck {
                    why: format!("{act} has no former content"),
                };
            }
        };
        if edit.bounce.is_some() && self.node.files.facts(&edit.path) == Fact::Absent {
            return match out::put_back(self.node, self.held, edit) {
                Ok(()) => Result::PutBack {
                    fault: fault.cloned(),
                },
                Err(error) => Result::Waiting {
                    why: format!("the former manifest to go back: {error}"),
                },
            };
        }
        let paths = (&edit.path, &edit.backup);
        self.put_former_back(paths, (edit.before, edit.after), fault)
    }

    fn put_former_back(
        &self,
        (path, backup): (&NodePath, &NodePath),
        (before, after): (Digest, Digest),
        fault: Option<&Fault>,
    ) -> Result {
        let lost = |why: &str| lost(path, backup, why);
        let former = match self.node.files.read(backup, MAX_BYTES) {
            Fact::Known(content) if Digest::of(&content.bytes) == before => content.bytes,
            Fact::Known(_) => return lost("it is not what was kept"),
            Fact::Absent => return lost("it is gone"),
            Fact::Unknown(why) => return lost(why.as_str()),
        };
        match self.node.files.replace(self.held, path, after, &former) {
            Ok(()) => Result::PutBack {
                fault: fault.cloned(),
            },
            Err(error) => Result::Waiting {
                why: format!("the former content to go back: {error}"),
            },
        }
    }
}

/// The commands that help without an API server.
fn by_hand(act: &Act) -> Option<String> {
    let (component, path, backup, when) = match act {
        Act::EditManifest(edit) => (edit.component, &edit.path, &edit.backup, "edit"),
        Act::Bounce(bounce) => (bounce.component, &bounce.path, &bounce.backup, "bounce"),
        Act::EditKubelet(edit) => {
            return Some(format!(
                "install -o root -g root -m 0600 {} {}   # the configuration before the edit\n\
                 systemctl restart kubelet\n\
                 journalctl -u kubelet --since -10min   # what it says",
                edit.backup, edit.path
            ));
        }
        Act::SetMode { .. }
        | Act::SetOwner { .. }
        | Act::MakeFolder { .. }
        | Act::Install { .. }
        | Act::Quarantine { .. } => return None,
    };
    Some(format!(
        "install -o root -g root -m 0600 {backup} {path}   # the manifest before the {when}\n\
         crictl logs --tail 20 $(crictl ps -a --name {component} --latest --quiet)   # what it says\n\
         journalctl -u kubelet --since -10min   # what the kubelet says of it"
    ))
}

fn failed(error: &FileError) -> Result {
    Result::Failed {
        why: error.to_string(),
    }
}

fn lost(path: &NodePath, backup: &NodePath, why: &str) -> Result {
    let why = format!(
        "the former content of {path} cannot be put back from {backup}: {why}. Put a good one there by hand"
    );
    Result::Stuck { why }
}

fn edited(edit: &ManifestEdit, backup: crate::domain::NodePath, bounce: Option<Bounce>) -> EditedManifest {
    EditedManifest {
        component: edit.component,
        path: edit.path.clone(),
        before: Digest::of(edit.before.as_bytes()),
        after: Digest::of(edit.after.as_bytes()),
        backup,
        image: edit.image.clone(),
        processes: edit.processes.clone(),
        pods: edit.pods.clone(),
        flags: edit.flags.clone(),
        touches_encryption: edit.touches_encryption,
        bounce,
    }
}

fn bounced(
    bounce: &ManifestBounce,
    backup: crate::domain::NodePath,
    out: crate::domain::NodePath,
) -> BouncedManifest {
    let drain = bounce.early.as_ref().ok();
    BouncedManifest {
        component: bounce.component,
        path: bounce.path.clone(),
        digest: Digest::of(bounce.text.as_bytes()),
        out,
        backup,
        processes: bounce.processes.clone(),
        pods: bounce.pods.clone(),
        drain_ms: drain.map(|drain| u64::try_from(drain.as_millis()).unwrap_or(u64::MAX)),
    }
}
