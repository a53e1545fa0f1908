//! The logs of containers under `/var/log/pods`, in the CRI format.
//!
//! A line is `TIME STREAM TAG TEXT`; TAG is `F` for a full line, `P` for a part that the next line of the stream goes on with
//! (kubernetes pkg/kubelet/kuberuntime/logs). A log that is a symbolic link (Docker's) is left out, as it is not followed.

use super::files::{Entry, Files};
use crate::domain::{Component, Fact, FileFacts, FileKind, Layout, NodePath, PodLog};

/// How much of the end of a log is read.
const TAIL_BYTES: usize = 64 << 10;

/// How many lines of it are kept.
const LINES: usize = 200;

/// How many runs of a pod's container are told of.
const RUNS: usize = 3;

/// The newest logs of a component's static pod, of each pod UID the last three runs, newest first: from the folders
/// `kube-system_COMPONENT-NODE_UID/COMPONENT/N.log`. Each holds the last lines of the file, 200 at most.
pub fn newest(files: &Files, layout: &Layout, component: Component) -> Fact<Vec<PodLog>> {
    files.list(&layout.pod_logs).and_then(|pods| {
        let mut logs = Vec::new();
        for pod in pods {
            let Some((uid, folder)) = container_folder(&pod, component) else {
                continue;
            };
            match runs(files, &folder, uid) {
                Fact::Known(runs) => logs.extend(runs),
                // No such container: the pod is another one whose name begins alike. Or the kubelet has just removed it.
                Fact::Absent => {}
                Fact::Unknown(why) => return Fact::Unknown(why),
            }
        }
        logs.sort_by(|a, b| {
            (b.modified_ns, b.restart, &b.pod_uid).cmp(&(a.modified_ns, a.restart, &a.pod_uid))
        });
        Fact::Known(logs)
    })
}

/// The pod's UID, and the folder of the component's container in it, if the pod is one of the component's.
fn container_folder(pod: &Entry, component: Component) -> Option<(&str, NodePath)> {
    // A pod's name holds no `_`.
    let mut parts = pod.name.split('_');
    let (namespace, name, uid) = (parts.next()?, parts.next()?, parts.next()?);
    let ours = namespace == "kube-system"
        && parts.next().is_none()
        && name
            .strip_prefix(component.name())
            .is_some_and(|rest| rest.starts_with('-'))
        // A static pod's UID is a hash of the kubelet's; that of a pod that came through the API has dashes.
        && uid.len() == 32
        && uid.bytes().all(|b| b.is_ascii_hexdigit());
    if !ours {
        return None;
    }
    Some((uid, pod.path.as_ref()?.join(component.name()).ok()?))
}

/// The last runs of a container.
fn runs(files: &Files, folder: &NodePath, uid: &str) -> Fact<Vec<PodLog>> {
    files.list(folder).and_then(|entries| {
        let mut runs: Vec<(u32, NodePath, FileFacts)> = entries.into_iter().filter_map(run).collect();
        runs.sort_by_key(|(restart, ..)| std::cmp::Reverse(*restart));
        let mut logs = Vec::new();
        for (restart, path, facts) in runs.into_iter().take(RUNS) {
            // One byte more tells whether the first line is whole.
            match files.read_tail(&path, TAIL_BYTES + 1) {
                Fact::Known(bytes) => logs.push(PodLog {
                    pod_uid: uid.to_owned(),
                    restart,
                    modified_ns: facts.modified_ns,
                    lines: last_lines(&bytes),
                }),
                Fact::Absent => {}
                Fact::Unknown(why) => return Fact::Unknown(why),
            }
        }
        Fact::Known(logs)
    })
}

/// `N.log`; not the older parts that the kubelet has rotated away, `N.log.TIME`.
fn run(entry: Entry) -> Option<(u32, NodePath, FileFacts)> {
    let restart = entry.name.strip_suffix(".log")?.parse().ok()?;
    let facts = entry.facts.known().copied()?;
    (facts.kind == FileKind::Regular).then_some((restart, entry.path?, facts))
}

fn last_lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let whole = if bytes.len() > TAIL_BYTES {
        text.split_once('\n').map_or("", |(_, rest)| rest)
    } else {
        &text
    };
    let mut lines = join(whole);
    lines.drain(..lines.len().saturating_sub(LINES));
    lines
}

/// The lines without the runtime's prefix, parts joined. What is not in the format is kept as it is.
fn join(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    // Both streams go into one file, so the parts of one may lie between those of the other.
    let (mut out, mut err) = (String::new(), String::new());
    for line in text.lines() {
        let Some((stream, ends, part)) = split(line) else {
            lines.push(line.to_owned());
            continue;
        };
        let begun = if stream == "stdout" { &mut out } else { &mut err };
        begun.push_str(part);
        if ends {
            lines.push(std::mem::take(begun));
        }
    }
    lines.extend([out, err].into_iter().filter(|begun| !begun.is_empty()));
    lines
}

/// Stream, whether the line ends here, and text.
fn split(line: &str) -> Option<(&str, bool, &str)> {
    let mut parts = line.splitn(4, ' ');
    let (time, stream, tags) = (parts.next()?, parts.next()?, parts.next()?);
    // A runtime may write an empty line without the space before its text.
    let text = parts.next().unwrap_or("");
    time.parse::<jiff::Timestamp>().ok()?;
    let ends = match tags.split(':').next()? {
        "F" => true,
        "P" => false,
        _ => return None,
    };
    matches!(stream, "stdout" | "stderr").then_some((stream, ends, text))
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests make the files that are looked at"
)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Pods(tempfile::TempDir);

    impl Pods {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.path().join("var/log/pods").join(path)
        }

        fn log(&self, path: &str, text: &str) {
            std::fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
            std::fs::write(self.at(path), text).unwrap();
        }

        fn newest(&self, component: Component) -> Fact<Vec<PodLog>> {
            newest(&Files::at(self.0.path()).unwrap(), &Layout::kubeadm(), component)
        }

        fn told(&self, component: Component) -> Vec<(String, u32, Vec<String>)> {
            match self.newest(component) {
                Fact::Known(logs) => logs
                    .into_iter()
                    .map(|log| (log.pod_uid, log.restart, log.lines))
                    .collect(),
                other @ (Fact::Absent | Fact::Unknown(_)) => panic!("{other:?}"),
            }
        }
    }

    fn line(stream: &str, tag: &str, text: &str) -> String {
        format!("2026-11-24T01:02:03.123456789Z {stream} {tag} {text}\n")
    }

    #[test]
    fn parts_are_joined_by_stream_and_the_prefix_is_gone() {
        let text = [
            line("stderr", "P", "error: unknown "),
            line("stdout", "F", "listening"),
            line("stderr", "F", "flag: --x"),
            line("stdout", "F", ""),
            "2026-11-24T01:02:03Z stdout F\n".to_owned(),
            "{\"log\":\"not CRI\"}\n".to_owned(),
            line("stdout", "F", "two  spaces "),
            "2026-11-24T03:02:03.5+02:00 stderr P:x cut sho".to_owned(),
        ]
        .concat();
        assert_eq!(
            join(&text),
            vec![
                "listening",
                "error: unknown flag: --x",
                "",
                "",
                "{\"log\":\"not CRI\"}",
                "two  spaces ",
                "cut sho"
            ]
        );
    }

    #[test]
    fn the_last_three_runs_of_each_pod_newest_first_and_no_other_pods() {
        let pods = Pods::new();
        let set_time = |path: &str, second| {
            let file = std::fs::File::options().append(true).open(pods.at(path)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(second))
                .unwrap();
        };
        for restart in [0, 8, 9, 10] {
            let path = format!("kube-system_etcd-node1_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/etcd/{restart}.log");
            pods.log(&path, &line("stderr", "F", &restart.to_string()));
            set_time(&path, 1000 + restart);
        }
        pods.log(
            "kube-system_etcd-node1_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/etcd/0.log",
            &line("stderr", "F", "old"),
        );
        set_time(
            "kube-system_etcd-node1_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/etcd/0.log",
            5,
        );
        for other in [
            "kube-system_etcd-backup-x7_cccc/backup/0.log",
            "kube-system_etcd-backup-x7_0d6bd1b7-3c3c-4f6c-9f0e-6f6f6f6f6f6f/etcd/0.log",
            "default_etcd-node1_dddd/etcd/0.log",
            "kube-system_etcdctl_eeee/etcd/0.log",
            "kube-system_etcd-node1_ffff_g/etcd/0.log",
            "kube-system_etcd-node1_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/etcd/10.log.20261124-010203",
            "kube-system_etcd-node1_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/etcd/x.log",
            "kube-system_etcd-node1_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/sidecar/0.log",
            "some-file",
        ] {
            pods.log(other, &line("stderr", "F", "not meant"));
        }
        std::os::unix::fs::symlink(
            "10.log",
            pods.at("kube-system_etcd-node1_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/etcd/11.log"),
        )
        .unwrap();
        let told = |uid: &str, restart: u32, text: &str| (uid.to_owned(), restart, vec![text.to_owned()]);
        assert_eq!(
            pods.told(Component::Etcd),
            vec![
                told("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 10, "10"),
                told("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 9, "9"),
                told("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 8, "8"),
                told("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 0, "old"),
            ]
        );
        assert_eq!(pods.told(Component::Scheduler), vec![]);
    }

    #[test]
    fn of_a_long_log_the_last_lines_are_told_and_the_first_is_whole() {
        let pods = Pods::new();
        let at = "kube-system_kube-apiserver-n_0123456789abcdef0123456789abcdef/kube-apiserver/0.log";
        let many: String = (0..5000)
            .map(|number| line("stderr", "F", &number.to_string()))
            .collect();
        pods.log(at, &many);
        let expected: Vec<String> = (4800..5000).map(|number| number.to_string()).collect();
        assert_eq!(
            pods.told(Component::ApiServer),
            vec![("0123456789abcdef0123456789abcdef".to_owned(), 0, expected)]
        );

        // Long lines: fewer fit, and the one that is cut is not told in part.
        let wide: String = (0..9)
            .map(|number| line("stderr", "F", &number.to_string().repeat(10_000)))
            .collect();
        pods.log(at, &wide);
        let expected: Vec<String> = (3..9).map(|number| number.to_string().repeat(10_000)).collect();
        assert_eq!(
            pods.told(Component::ApiServer),
            vec![("0123456789abcdef0123456789abcdef".to_owned(), 0, expected)]
        );
    }

    #[test]
    fn a_cut_that_falls_between_two_lines_loses_none() {
        let first = "a".repeat(100);
        let rest = "b".repeat(TAIL_BYTES);
        let text = format!("{first}\n{rest}");
        let tail = &text.as_bytes()[text.len() - TAIL_BYTES - 1..];
        assert_eq!(last_lines(tail), vec![rest]);
    }

    #[test]
    fn no_folder_of_logs_is_absent() {
        assert_eq!(Pods::new().newest(Component::Etcd), Fact::Absent);
    }

    #[test]
    fn a_folder_of_logs_that_is_none_is_unknown() {
        let pods = Pods::new();
        pods.log(
            "kube-system_etcd-node1_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/etcd",
            "a file",
        );
        assert_eq!(
            pods.newest(Component::Etcd),
            Fact::unknown(
                "cannot list /var/log/pods/kube-system_etcd-node1_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/etcd: it is a file, not a folder"
            )
        );
    }
}
