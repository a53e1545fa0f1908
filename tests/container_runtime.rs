//! The container runtime is asked over its own protocol: what runs stays, what has ended goes, and one that does not answer costs no more
//! than the time that it is given.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test touches the node from outside, and fails loudly"
)]

#[path = "world/container_runtime.rs"]
mod stand_in;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast::adapters::container_runtime::{ContainerRuntime as _, OverCri};
use holdfast::adapters::lock::Held;
use holdfast::domain::NodePath;
use stand_in::{ContainerRuntime, Containers, EXITED, Manner, RUNNING, container};

const SOCKET: &str = "/run/containerd/containerd.sock";

/// What it says, and which containers are removed.
fn removed(manner: Option<Manner>, pods: &[&str]) -> (Result<usize, String>, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let containers = Arc::new(Mutex::new(Containers {
        all: vec![
            container("runs", "pod", RUNNING),
            container("ended-1", "pod", EXITED),
            container("of-another", "another", EXITED),
            container("created", "pod", 0),
            container("unknown", "pod", 3),
            container("ended-2", "pod", EXITED),
        ],
        removed: vec![],
    }));
    let socket = folder.path().join(SOCKET.trim_start_matches('/'));
    let server = manner.map(|manner| ContainerRuntime::start(&socket, Arc::clone(&containers), manner));
    let held = Held::take(&folder.path().join("lock"), Duration::ZERO).expect("a lock");
    let pods: Vec<String> = pods.iter().map(|pod| (*pod).to_owned()).collect();
    let asked = OverCri::at(folder.path(), Duration::from_millis(500)).remove_ended(
        &held,
        &SOCKET.parse::<NodePath>().expect("a path"),
        &pods,
    );
    drop(server);
    let removed = containers.lock().expect("no thread has panicked").removed.clone();
    (asked.map_err(|error| error.to_string()), removed)
}

#[test]
fn ended_containers_of_the_pods_are_removed_and_nothing_else() {
    assert_eq!(
        removed(Some(Manner::Answers), &["pod"]),
        (Ok(2), vec!["ended-1".to_owned(), "ended-2".to_owned()])
    );
    let (count, ids) = removed(Some(Manner::Answers), &["another", "pod"]);
    assert_eq!((count, ids.len()), (Ok(3), 3));
    assert_eq!(removed(Some(Manner::Answers), &["third"]), (Ok(0), vec![]));
    assert_eq!(removed(Some(Manner::Answers), &[]), (Ok(0), vec![]));
}

#[test]
fn a_runtime_that_refuses_or_is_silent_or_away_is_told() {
    let told = |manner| {
        let (asked, ids) = removed(manner, &["pod"]);
        assert_eq!(ids, Vec::<String>::new());
        asked.expect_err("it did not answer")
    };
    let refused = told(Some(Manner::Refuses));
    assert_eq!(refused, format!("{SOCKET}: cannot remove ended-1 now (Unknown)"));
    let silent = told(Some(Manner::Hangs));
    assert_eq!(silent, format!("{SOCKET}: no answer within 500ms"));
    let away = told(None);
    assert!(
        away.starts_with(SOCKET) && away.contains("No such file or directory"),
        "{away}"
    );
}
