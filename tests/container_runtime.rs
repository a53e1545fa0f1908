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

use holdfast::adapters::container_runtime::{ContainerRuntime as _, Ended, OverCri};
use holdfast::adapters::lock::Held;
use holdfast::domain::NodePath;
use stand_in::{ContainerRuntime, Containers, EXITED, Manner, RUNNING, container};

const SOCKET: &str = "/run/containerd/containerd.sock";

/// The ended containers of these pods as it tells them, after each of which it was asked to remove; and which it removed.
fn removed(manner: Option<Manner>, pods: &[&str]) -> (Result<Vec<Ended>, String>, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let of = |pod| move |id: &str, run, state| container(id, (pod, "etcd-node1"), ("etcd", run), state);
    let (own, other) = (of("pod"), of("another"));
    let containers = Arc::new(Mutex::new(Containers {
        all: vec![
            own("runs", 3, RUNNING),
            own("ended-1", 1, EXITED),
            other("of-another", 0, EXITED),
            own("created", 0, 0),
            own("unknown", 0, 3),
            own("ended-2", 2, EXITED),
        ],
        removed: vec![],
    }));
    let socket = folder.path().join(SOCKET.trim_start_matches('/'));
    let server = manner.map(|manner| ContainerRuntime::start(&socket, Arc::clone(&containers), manner));
    let held = Held::take(&folder.path().join("lock"), Duration::ZERO).expect("a lock");
    let pods: Vec<String> = pods.iter().map(|pod| (*pod).to_owned()).collect();
    let runtime = OverCri::at(folder.path(), Duration::from_millis(500));
    let socket: NodePath = SOCKET.parse().expect("a path");
    let asked = runtime.ended(&socket, &pods).and_then(|ended| {
        for container in &ended {
            runtime.remove(&held, &socket, container)?;
        }
        Ok(ended)
    });
    drop(server);
    let removed = containers.lock().expect("no thread has panicked").removed.clone();
    (asked.map_err(|error| error.to_string()), removed)
}

#[test]
fn ended_containers_of_the_pods_are_removed_and_nothing_else() {
    let (ended, ids) = removed(Some(Manner::Answers), &["pod"]);
    assert_eq!(ids, ["ended-1", "ended-2"]);
    assert_eq!(
        ended.expect("it answers")[1],
        Ended {
            id: "ended-2".to_owned(),
            pod_uid: "pod".to_owned(),
            pod_namespace: "kube-system".to_owned(),
            pod_name: "etcd-node1".to_owned(),
            name: "etcd".to_owned(),
            run: 2,
        }
    );
    assert_eq!(removed(Some(Manner::Answers), &["another", "pod"]).1.len(), 3);
    assert_eq!(removed(Some(Manner::Answers), &["third"]), (Ok(vec![]), vec![]));
    assert_eq!(removed(Some(Manner::Answers), &[]), (Ok(vec![]), vec![]));
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
