//! What an API server has loaded, proven: by what it says itself, or by when it started.

use super::Generation;
use crate::domain::{Digest, Fact, Instant};

/// What was observed of a running API server and of the file that it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The hash that it says it has loaded (`apiserver_encryption_config_controller_last_config_info`, from 1.34 on); `Absent` when
    /// its version does not say.
    pub reported: Fact<Digest>,
    /// Whether it loads a changed file by itself.
    pub reloads: Fact<bool>,
    /// The file as that process sees it (`/proc/PID/root`): a file that is mounted singly stays the old one after a rename.
    pub seen: Fact<Digest>,
    /// When the process started.
    pub started: Instant,
    /// What lay on its disk, oldest first, each since when it was durably there; the first is what was found.
    pub files: Vec<(Instant, Generation)>,
}

/// What the API server has loaded (F7, F20, F23).
///
/// A server that does not say so has loaded what lay there when it started. One that also reloads may have loaded the next file since;
/// that one is on its disk, and counts as in use in any case. Where a process started between a rename and the note of it, it is
/// taken for older than it is, which costs a restart and no safety.
pub fn loaded(evidence: &Evidence) -> Fact<Generation> {
    if let Fact::Known(hash) = &evidence.reported {
        return Fact::Known(Generation::File(*hash));
    }
    let at_start = |(since, _): &&(Instant, Generation)| started_after(&evidence.started, since);
    let Some((since, generation)) = evidence.files.iter().rev().find(at_start) else {
        return Fact::unknown("it started before anything is known of its file");
    };
    let is_newest = evidence.files.last() == Some(&(since.clone(), *generation));
    match generation {
        Generation::File(digest) if is_newest => proven_newest(evidence, *digest),
        Generation::File(_) | Generation::Plain => Fact::Known(*generation),
    }
}

fn proven_newest(evidence: &Evidence, digest: Digest) -> Fact<Generation> {
    match (&evidence.reloads, &evidence.seen) {
        (Fact::Known(true), _) => Fact::unknown(
            "it loads files by itself and does not say which; turn automatic reload off, or use Kubernetes 1.34 or newer",
        ),
        (Fact::Unknown(reason), _) | (Fact::Known(false) | Fact::Absent, Fact::Unknown(reason)) => {
            Fact::Unknown(reason.clone())
        }
        (Fact::Known(false) | Fact::Absent, Fact::Known(seen)) if *seen == digest => {
            Fact::Known(Generation::File(digest))
        }
        (Fact::Known(false) | Fact::Absent, Fact::Known(_) | Fact::Absent) => Fact::unknown(
            "it does not see the file that is on the disk: the file is mounted singly; mount its folder, or restart the pod",
        ),
    }
}

/// True when a restart would show what it has loaded, which is not known now: it started before the newest file was there, or does not
/// see that one. A file that is mounted singly is mounted anew.
pub fn restart_proves(evidence: &Evidence) -> bool {
    let Some((since, newest)) = evidence.files.last() else {
        return false;
    };
    let sees_another = matches!(&evidence.seen, Fact::Known(seen) if Generation::File(*seen) != *newest);
    evidence.reported.known().is_none()
        && evidence.reloads == Fact::Known(false)
        && (sees_another || !started_after(&evidence.started, since))
}

/// By the boot clock, which nobody can set (F9). A process runs in this boot; what was written in another was written before.
fn started_after(started: &Instant, since: &Instant) -> bool {
    started
        .elapsed_since(since)
        .is_none_or(|_| started.since_boot_ms > since.since_boot_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::BootId;
    use crate::rotation::Stage;
    use crate::rotation::fixtures::{at, generation};

    fn digest(stage: Stage) -> Digest {
        match generation(stage) {
            Generation::File(digest) => digest,
            Generation::Plain => panic!("a stage of the fixtures is a file"),
        }
    }

    /// C0 since second 10, C1 since second 20; started at this second, no metric, no reload.
    fn started(second: u64) -> Evidence {
        Evidence {
            reported: Fact::Absent,
            reloads: Fact::Known(false),
            seen: Fact::Known(digest(Stage::ReadNew)),
            started: at(second),
            files: vec![
                (at(10), generation(Stage::Old)),
                (at(20), generation(Stage::ReadNew)),
            ],
        }
    }

    fn reason(evidence: &Evidence) -> String {
        match loaded(evidence) {
            Fact::Unknown(reason) => reason.to_string(),
            other @ (Fact::Known(_) | Fact::Absent) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_server_says_is_what_it_has_loaded() {
        let evidence = Evidence {
            reported: Fact::Known(digest(Stage::Old)),
            ..started(30)
        };
        assert_eq!(loaded(&evidence), Fact::Known(generation(Stage::Old)));
    }

    #[test]
    fn else_it_has_loaded_what_lay_there_when_it_started() {
        assert_eq!(loaded(&started(21)), Fact::Known(generation(Stage::ReadNew)));
        assert_eq!(loaded(&started(20)), Fact::Known(generation(Stage::Old)));
        assert_eq!(
            reason(&started(10)),
            "it started before anything is known of its file"
        );
        let booted = Evidence {
            started: Instant {
                boot: BootId("next".to_owned()),
                ..at(5)
            },
            ..started(0)
        };
        assert_eq!(loaded(&booted), Fact::Known(generation(Stage::ReadNew)));
        let forbidden = Evidence {
            reported: Fact::unknown("403"),
            ..started(21)
        };
        assert_eq!(loaded(&forbidden), Fact::Known(generation(Stage::ReadNew)));
    }

    #[test]
    fn a_restart_proves_what_an_older_process_does_not() {
        assert!(restart_proves(&started(20)));
        assert!(!restart_proves(&started(21)), "it is proven");
        let single = Evidence {
            seen: Fact::Known(digest(Stage::Old)),
            ..started(21)
        };
        assert!(restart_proves(&single));
        let reported = Fact::Known(digest(Stage::Old));
        for not in [
            Evidence {
                reloads: Fact::Known(true),
                ..started(20)
            },
            Evidence {
                reloads: Fact::unknown("EACCES"),
                ..started(20)
            },
            Evidence {
                reported,
                ..started(20)
            },
            Evidence {
                files: Vec::new(),
                ..started(20)
            },
        ] {
            assert!(!restart_proves(&not), "{not:?}");
        }
    }

    #[test]
    fn a_server_that_reloads_silently_or_sees_another_file_proves_nothing() {
        let silent = Evidence {
            reloads: Fact::Known(true),
            ..started(21)
        };
        assert!(reason(&silent).starts_with("it loads files by itself"));
        let single = Evidence {
            seen: Fact::Known(digest(Stage::Old)),
            ..started(21)
        };
        assert!(reason(&single).contains("mounted singly"));
        let blind = Evidence {
            seen: Fact::unknown("EACCES"),
            ..started(21)
        };
        assert_eq!(reason(&blind), "EACCES");
        // It started before the last write, so it is to load that one in any case.
        let late = Evidence {
            reloads: Fact::Known(true),
            ..started(15)
        };
        assert_eq!(loaded(&late), Fact::Known(generation(Stage::Old)));
    }
}
