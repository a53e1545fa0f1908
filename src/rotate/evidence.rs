//! What shows what an API server has loaded that does not say so: its process, and the file as that process sees it.

use super::look::Seen;
use super::{Passed, RotateError, Rotator};
use crate::adapters::Node;
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::Held;
use crate::domain::{Component, Digest, Fact, Instant, InvalidPath, Manifest, NodePath, Process, Reason};
use crate::encryption::MAX_BYTES;
use crate::manifest::{flags_of_process, parse_boolean};
use crate::observe::at_rest::Reported;
use crate::rotation::{Evidence, Generation, NodeName, Rotation, Words, loaded, restart_proves};

/// An API server that does not say what it has loaded.
#[derive(Debug, Clone)]
pub(super) struct Silent {
    /// Why not.
    why: Reason,
    evidence: Result<Evidence, Reason>,
}

/// What the API server has loaded, as it says itself or as its process shows.
pub(super) fn running(
    node: &Node,
    manifest: &Manifest,
    reported: Reported,
    lay_on_disk: &mut dyn FnMut() -> Vec<(Instant, Generation)>,
) -> (Fact<Generation>, Option<Silent>) {
    match reported {
        Reported::Says(digest) => (digest.map(Generation::File), None),
        Reported::Silent(why) => {
            let silent = Silent {
                why,
                evidence: of_process(node, manifest, lay_on_disk()),
            };
            (silent.loaded(), Some(silent))
        }
    }
}

impl Silent {
    /// What it has loaded.
    pub(super) fn loaded(&self) -> Fact<Generation> {
        match &self.evidence {
            Ok(evidence) => loaded(evidence),
            Err(why) => Fact::unknown(format!("{}, and {why}", self.why)),
        }
    }

    /// True when it is not known what it has loaded, and a restart would show it.
    pub(super) fn must_restart(&self) -> bool {
        let unknown = matches!(self.loaded(), Fact::Unknown(_));
        unknown && self.evidence.as_ref().is_ok_and(restart_proves)
    }

    /// Why nothing will ever show it.
    pub(super) fn hopeless(&self) -> Option<Words> {
        let evidence = self.evidence.as_ref().ok()?;
        (evidence.reloads == Fact::Known(true)).then(|| Words {
            why: format!(
                "{}, and it loads a changed file by itself at some time, so that nothing proves what it runs with",
                self.why
            ),
            remedy: "take --encryption-provider-config-automatic-reload out of kube-apiserver's manifest, so that it is restarted for each \
                     load; or let Holdfast read the metrics of a server that has them (1.34 and newer; config/rbac/holdfast.yaml)"
                .to_owned(),
        })
    }
}

impl Rotator<'_> {
    /// An API server that does not say what it has loaded: it is restarted where that shows it (F23).
    pub(super) fn silent(
        &self,
        held: &Held,
        journal: &mut JournalStore,
        rotation: &Rotation,
        seen: &Seen,
    ) -> Result<Option<Passed>, RotateError> {
        let Some(silent) = &seen.silent else {
            return Ok(None);
        };
        if let Some(words) = silent.hopeless() {
            self.park(held, journal, rotation, &words)?;
            return Ok(Some(Passed::Parked(words)));
        }
        // Never with a file of somebody else's, or one that it did not bear.
        let digest = seen.configured.digest;
        let is_ours = rotation.place(Generation::File(digest)).is_some();
        let restarts = is_ours && rotation.refused.is_none() && silent.must_restart();
        Ok(restarts.then_some(Passed::Restart(digest)))
    }
}

/// What lay on the disk of a node while a rotation is under way, by the journal's notes, and what lies there now.
pub(super) fn files(
    rotation: &Rotation,
    node: &NodeName,
    on_disk: Generation,
    now: &Instant,
) -> Vec<(Instant, Generation)> {
    // What went before was proven of every server when the next one was written, and at the beginning.
    let always = Instant {
        since_boot_ms: 0,
        ..now.clone()
    };
    let noted = rotation.written.get(node).zip(rotation.noted.get(node));
    let noted = noted.and_then(|(stage, since)| Some((since.clone(), rotation.generation(*stage)?)));
    let mut files = Vec::new();
    match noted {
        Some((since, generation)) => {
            files.extend(rotation.before(generation).map(|before| (always, before)));
            files.push((since, generation));
        }
        None => files.push((always, rotation.found)),
    }
    // It is written, and not noted yet.
    if files.last().is_none_or(|(_, last)| *last != on_disk) {
        files.push((now.clone(), on_disk));
    }
    files
}

fn of_process(
    node: &Node,
    manifest: &Manifest,
    files: Vec<(Instant, Generation)>,
) -> Result<Evidence, Reason> {
    // Before the look, so that its age makes it no younger than it is.
    let now = node.clock.now();
    let process = only_process(node, manifest)?;
    let (file, reloads) = told(&process)?;
    Ok(Evidence {
        reported: Fact::Absent,
        reloads,
        seen: seen(node, &process, &file),
        started: Instant {
            since_boot_ms: now.since_boot_ms.saturating_sub(process.age_ms),
            ..now
        },
        files,
    })
}

/// That the one process of the API server was started with a configuration; why it is not seen to be so.
pub(super) fn runs_with_one(node: &Node, manifest: &Manifest) -> Result<(), Reason> {
    told(&only_process(node, manifest)?).map(drop)
}

fn only_process(node: &Node, manifest: &Manifest) -> Result<Process, Reason> {
    let table = node.processes.look()?;
    let mut processes = table.of_component(Component::ApiServer, manifest.pod.uid.as_deref());
    match (processes.pop(), processes.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => Err(Reason::new("no process of it was found")),
        (Some(_), more) => Err(Reason::new(format!(
            "{} processes of it run: the former one has not ended",
            more + 1
        ))),
    }
}

/// The file that the process was told to use, by its own name for it, and whether it loads it again by itself.
fn told(process: &Process) -> Result<(NodePath, Fact<bool>), Reason> {
    let flags = flags_of_process(Component::ApiServer, &process.argv);
    let flags = flags.map_err(|why| Reason::new(why.to_string()))?;
    let last = |name: &str| {
        let mut named = flags.iter().rev().filter(|(flag, _)| flag.as_str() == name);
        named.next().map(|(_, value)| value.as_str())
    };
    let file = last("encryption-provider-config").filter(|file| !file.is_empty());
    let file =
        file.ok_or_else(|| Reason::new("its process was started without --encryption-provider-config"))?;
    let file = file
        .parse()
        .map_err(|error: InvalidPath| Reason::new(error.to_string()))?;
    let reloads = match last("encryption-provider-config-automatic-reload") {
        None => Fact::Known(false),
        Some(value) => parse_boolean(value).map_or_else(
            || {
                Fact::unknown(format!(
                    "--encryption-provider-config-automatic-reload={value} is no boolean"
                ))
            },
            Fact::Known,
        ),
    };
    Ok((file, reloads))
}

/// The file as the process sees it, in its own mount namespace.
fn seen(node: &Node, process: &Process, file: &NodePath) -> Fact<Digest> {
    node.processes
        .file_seen_by(process.id, file, MAX_BYTES)
        .map(|bytes| Digest::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProcessId;
    use crate::rotation::Stage;
    use crate::rotation::fixtures::{at, begun, events_to, generation, history, node, rotation_at};
    use crate::rotation::{Event, record};

    #[test]
    fn what_a_process_was_told_is_read_from_its_last_words() {
        let told = |flags: &[&str]| {
            let argv = std::iter::once("kube-apiserver").chain(flags.iter().copied());
            told(&Process {
                id: ProcessId {
                    pid: 1,
                    start_ticks: 1,
                },
                argv: argv.map(str::to_owned).collect(),
                uid: 0,
                age_ms: 0,
                pod_uid: None,
            })
        };
        const FILE: &str = "--encryption-provider-config=/enc/enc.yaml";
        const RELOAD: &str = "--encryption-provider-config-automatic-reload";
        let file: NodePath = "/enc/enc.yaml".parse().unwrap();
        for (flag, reloads) in [
            (None, Fact::Known(false)),
            (Some(RELOAD.to_owned()), Fact::Known(true)),
            (Some(format!("{RELOAD}=T")), Fact::Known(true)),
            (Some(format!("{RELOAD}=0")), Fact::Known(false)),
            (
                Some(format!("{RELOAD}=yes")),
                Fact::unknown(format!("{RELOAD}=yes is no boolean")),
            ),
        ] {
            let flags: Vec<&str> = [FILE].into_iter().chain(flag.as_deref()).collect();
            assert_eq!(told(&flags), Ok((file.clone(), reloads)));
        }
        assert!(matches!(told(&["--v=2"]), Err(why) if why.to_string().contains("without --encryption")));
    }

    #[test]
    fn what_lay_on_the_disk_is_what_was_found_then_what_was_noted_then_what_is_there() {
        let found = history(&[begun()]).rotation.unwrap();
        let moment = |(since, generation): &(Instant, Generation)| (since.since_boot_ms, *generation);
        let of = |rotation: &Rotation, stage| {
            let files = files(rotation, &node("a"), generation(stage), &at(50));
            files.iter().map(moment).collect::<Vec<_>>()
        };
        let c0 = (0, generation(Stage::Old));
        assert_eq!(of(&found, Stage::Old), [c0]);
        let mut past = history(&events_to(Stage::ReadNew));
        let written = Event::ConfigWritten {
            node: node("a"),
            stage: Stage::ReadNew,
        };
        past = record(&past, &written, &at(30)).unwrap();
        let noted = past.rotation.clone().unwrap();
        let c1 = (30_000, generation(Stage::ReadNew));
        assert_eq!(of(&noted, Stage::ReadNew), [c0, c1]);
        // What was written and not noted is there only since it was looked at.
        let c2 = (50_000, generation(Stage::WriteNew));
        assert_eq!(of(&noted, Stage::WriteNew), [c0, c1, c2]);
        // A note is void once the file was put back.
        let put_back = Event::PutBack {
            node: node("a"),
            why: "it ended".to_owned(),
        };
        let back = record(&past, &put_back, &at(40)).unwrap().rotation.unwrap();
        assert!(back.noted.is_empty());
        assert_eq!(of(&back, Stage::Old), [c0]);
        assert!(!rotation_at(Stage::ReadNew).noted.is_empty());
    }

    fn silent(reloads: bool, started: u64) -> Silent {
        let Generation::File(digest) = generation(Stage::Old) else {
            panic!("a stage is a file")
        };
        Silent {
            why: Reason::new("403"),
            evidence: Ok(Evidence {
                reported: Fact::Absent,
                reloads: Fact::Known(reloads),
                seen: Fact::Known(digest),
                started: at(started),
                files: vec![(at(10), generation(Stage::Old))],
            }),
        }
    }

    #[test]
    fn a_restart_is_asked_for_where_it_proves_something_and_else_a_way_out_is_told() {
        assert_eq!(silent(false, 11).loaded(), Fact::Known(generation(Stage::Old)));
        assert!(!silent(false, 11).must_restart());
        assert!(silent(false, 10).must_restart());
        assert_eq!(silent(false, 10).hopeless(), None);
        // A server that reloads proves nothing, however often it is restarted.
        for started in [10, 11] {
            let reloads = silent(true, started);
            assert!(!reloads.must_restart());
            let words = reloads.hopeless().unwrap();
            assert!(
                words
                    .why
                    .starts_with("403, and it loads a changed file by itself"),
                "{words:?}"
            );
        }
        let gone = Silent {
            evidence: Err(Reason::new("no process of it was found")),
            ..silent(false, 10)
        };
        assert!(!gone.must_restart());
        assert_eq!(
            gone.loaded(),
            Fact::unknown("403, and no process of it was found")
        );
    }
}
