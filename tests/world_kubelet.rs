//! The world itself: its kubelet does what the real one was measured to do.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test touches the node from outside, and fails loudly"
)]

mod world;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use holdfast::domain::{Component, HealthEndpoint, Scheme};
use world::{Options, What, World};

const SOON: Duration = Duration::from_secs(10);
/// Two of the world's lists (20 s, scaled) and some time to act on them.
const TWO_LISTS: Duration = Duration::from_millis(900);

const SCHEDULER: Component = Component::Scheduler;

/// Adds a flag to the scheduler's manifest, as the text goes into the file.
fn with_flag(world: &World, flag: &str) -> String {
    let manifest = world.original_manifest(SCHEDULER);
    manifest.replace(
        "    - --leader-elect=true\n",
        &format!("    - --leader-elect=true\n    - {flag}\n"),
    )
}

fn runs_with(world: &World, flag: &str) -> bool {
    let argv = world.running_argv(SCHEDULER).unwrap_or_default();
    argv.iter().any(|argument| argument == flag) && world.is_ready(SCHEDULER)
}

fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(SOON))?;
    write!(
        connection,
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    )?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

#[test]
fn a_fresh_node_has_the_modes_that_kubeadm_leaves() {
    let world = World::with(Options {
        kubelet: false,
        ..Options::default()
    });
    let expected = [
        ("/etc/kubernetes/admin.conf", 0o600),
        ("/etc/kubernetes/super-admin.conf", 0o600),
        ("/etc/kubernetes/kubelet.conf", 0o600),
        ("/etc/kubernetes/pki/ca.crt", 0o644),
        ("/etc/kubernetes/pki/sa.pub", 0o600),
        ("/etc/kubernetes/pki/etcd/peer.key", 0o600),
        ("/etc/kubernetes/manifests/etcd.yaml", 0o600),
        ("/var/lib/etcd", 0o700),
        ("/var/lib/kubelet/config.yaml", 0o644),
        ("/usr/lib/systemd/system/kubelet.service", 0o644),
        ("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", 0o644),
    ];
    for (path, bits) in expected {
        assert_eq!(mode(&world.path(path)), bits, "{path}");
    }
    assert!(!world.path("/var/lib/holdfast").exists());
    let accounts = std::fs::read_to_string(world.path("/etc/passwd")).expect("it is there");
    assert!(accounts.starts_with("root:x:0:0:") && !accounts.contains("etcd"));
    assert_eq!(world.history(), []);
}

#[test]
fn holdfast_reads_the_manifests_and_their_endpoints() {
    let world = World::new();
    for component in Component::ALL {
        let bytes = std::fs::read(world.manifest(component)).expect("it is there");
        let pod = holdfast::manifest::parse(&bytes).expect("a pod");
        let health = pod
            .container(component.name())
            .expect("its container")
            .health
            .clone();
        let path = match component {
            Component::ControllerManager => "/healthz",
            Component::Scheduler | Component::ApiServer | Component::Etcd => "/readyz",
        };
        let expected = HealthEndpoint {
            scheme: Scheme::Http,
            host: "127.0.0.1".to_owned(),
            port: world.port(component),
            path: path.to_owned(),
        };
        assert_eq!(health, Some(expected));
        assert_eq!(
            get(world.port(component), path).expect("it listens"),
            "HTTP/1.1 200 -"
        );
    }
}

#[test]
fn an_edited_manifest_restarts_its_component_alone_and_quickly() {
    let world = World::new();
    let before = world.running(SCHEDULER).expect("it runs");
    world.replace(
        &world.manifest(SCHEDULER),
        &with_flag(&world, "--profiling=false"),
    );
    assert!(world.wait_until(SOON, |world| runs_with(world, "--profiling=false")));
    let after = world.running(SCHEDULER).expect("it runs");
    assert!(
        after.uid != before.uid && after.pid > before.pid,
        "{before:?} {after:?}"
    );
    let starts = Component::ALL.map(|component| world.starts(component));
    assert_eq!(starts, [2, 1, 1, 1]);
    assert_eq!(world.api_server_down_ms_max(), 0);
    // The old process was gone before the new one came.
    let order: Vec<_> = world.history().into_iter().map(|event| event.what).collect();
    let ended = order
        .iter()
        .position(|what| *what == What::Ended { pid: before.pid });
    let started = order
        .iter()
        .position(|what| matches!(what, What::Started { pid, .. } if *pid == after.pid));
    assert!(ended.is_some() && ended < started, "{order:?}");
}

#[test]
fn comments_modes_and_hidden_files_restart_nothing() {
    let world = World::new();
    let manifest = world.manifest(SCHEDULER);
    world.replace(
        &manifest,
        &format!("# by hand\n{}", world.original_manifest(SCHEDULER)),
    );
    std::fs::set_permissions(&manifest, std::fs::Permissions::from_mode(0o644)).expect("ours");
    let hidden = manifest.with_file_name(".kube-scheduler.yaml");
    std::fs::write(&hidden, with_flag(&world, "--v=9")).expect("the folder is writable");
    assert!(!world.wait_until(TWO_LISTS, |world| world.starts(SCHEDULER) > 1));
    assert!(world.all_ready());
}

#[test]
fn a_backup_copy_wins_and_takes_the_pod_with_it_when_it_goes() {
    let world = World::new();
    let copy = world
        .manifest(SCHEDULER)
        .with_file_name("kube-scheduler.yaml.bak");
    std::fs::write(&copy, with_flag(&world, "--v=5")).expect("the folder is writable");
    assert!(world.wait_until(SOON, |world| runs_with(world, "--v=5")));
    // It still wins after the next lists.
    assert!(!world.wait_until(TWO_LISTS, |world| !runs_with(world, "--v=5")));
    std::fs::remove_file(&copy).expect("ours");
    assert!(world.wait_until(SOON, |world| world.running(SCHEDULER).is_none()));
    assert!(world.wait_until(SOON, |world| world.is_ready(SCHEDULER)));
    assert!(!runs_with(&world, "--v=5"));
}

#[test]
fn an_unparsable_manifest_is_an_absent_one() {
    let world = World::new();
    world.replace(&world.manifest(SCHEDULER), "apiVersion: v1\nkind: [\n");
    assert!(world.wait_until(SOON, |world| world.running(SCHEDULER).is_none()));
    world.replace(&world.manifest(SCHEDULER), &world.original_manifest(SCHEDULER));
    assert!(world.wait_until(SOON, World::all_ready));
}

#[test]
fn a_removed_manifest_stops_its_pod_and_only_the_api_server_takes_its_grace() {
    let world = World::new();
    let manifest = world.manifest(Component::ApiServer);
    let pid = world.running(Component::ApiServer).expect("it runs").pid;
    std::fs::rename(&manifest, world.path("/root/kube-apiserver.yaml")).expect("the same file system");
    assert!(world.wait_until(SOON, |world| world.running(Component::ApiServer).is_none()));
    assert!(!listens(world.port(Component::ApiServer)));
    let at = |what: What| {
        let event = world.history().into_iter().find(|event| event.what == what);
        event.expect("it happened").at
    };
    let hung = at(What::Ended { pid }) - at(What::Stopping { pid });
    assert!(hung >= Duration::from_millis(40), "{hung:?}");
    std::fs::rename(world.path("/root/kube-apiserver.yaml"), &manifest).expect("the same file system");
    assert!(world.wait_until(SOON, World::all_ready));
    assert!(
        world.api_server_down_ms_max() >= 40,
        "{}",
        world.api_server_down_ms_max()
    );
}

#[test]
fn a_refused_flag_loops_with_the_last_words_in_the_log() {
    let world = World::new();
    world.replace(
        &world.manifest(SCHEDULER),
        &with_flag(&world, "--profiling=maybe"),
    );
    assert!(world.wait_until(SOON, |world| world.starts(SCHEDULER) >= 5));
    let started = world
        .history()
        .into_iter()
        .rev()
        .find_map(|event| match event.what {
            What::Started { uid, restart, .. } => Some((uid, restart)),
            What::Ready { .. } | What::NotReady { .. } | What::Stopping { .. } | What::Ended { .. } => None,
        });
    let (uid, restart) = started.expect("it was started");
    assert!(restart >= 3);
    let logs = world.pod_logs(SCHEDULER, &uid);
    assert_eq!(logs.len(), 2, "this run's and the one's before");
    let last = logs.first().and_then(|log| log.lines().last()).expect("a line");
    let (time, words) = last.split_once(" stderr F ").expect("the CRI format");
    assert!(time.ends_with('Z'), "{time}");
    assert_eq!(
        words,
        "Error: invalid argument \"maybe\" for \"--profiling\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax"
    );
    // The pauses grow: none, 10 s, 20 s, scaled.
    let starts: Vec<Duration> = world
        .history()
        .into_iter()
        .filter(|event| matches!(&event.what, What::Started { uid: of, .. } if *of == uid))
        .map(|event| event.at)
        .collect();
    let pauses: Vec<Duration> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.first() < pauses.get(1), "{pauses:?}");
    assert!(pauses.get(1) >= Some(&Duration::from_millis(150)), "{pauses:?}");
    assert!(pauses.get(2) >= Some(&Duration::from_millis(350)), "{pauses:?}");
}

/// What the real binaries say, Kubernetes 1.35.4 and etcd 3.6.6.
const REFUSALS: [(Component, &str, &str); 6] = [
    (
        Component::ApiServer,
        "--nosuch=1",
        "Error: unknown flag: --nosuch",
    ),
    (
        Component::ApiServer,
        "--max-requests-inflight=many",
        "Error: invalid argument \"many\" for \"--max-requests-inflight\" flag: strconv.ParseInt: parsing \"many\": invalid syntax",
    ),
    (
        Component::ApiServer,
        "--audit-policy-file=/etc/kubernetes/audit.yaml",
        "err=\"open /etc/kubernetes/audit.yaml: no such file or directory\"",
    ),
    (
        Component::ControllerManager,
        "--leader-elect-lease-duration=x",
        "Error: invalid argument \"x\" for \"--leader-elect-lease-duration\" flag: time: invalid duration \"x\"",
    ),
    (
        Component::Etcd,
        "--nosuch=1",
        "flag provided but not defined: -nosuch",
    ),
    (
        Component::Etcd,
        "--client-cert-auth=maybe",
        "invalid boolean value \"maybe\" for -client-cert-auth: parse error",
    ),
];

#[test]
fn each_component_refuses_in_its_own_words() {
    let world = World::new();
    // The file is on the node, and no volume leads to it.
    std::fs::write(world.path("/etc/kubernetes/audit.yaml"), "").expect("the folder is writable");
    for (component, flag, words) in REFUSALS {
        let original = world.original_manifest(component);
        let first = format!("    - {component}\n");
        let edited = original.replace(&first, &format!("{first}    - {flag}\n"));
        world.replace(&world.manifest(component), &edited);
        let logs = |world: &World| {
            let uid = uid_started_with(world, component, flag).unwrap_or_default();
            world.pod_logs(component, &uid)
        };
        let said = |world: &World| logs(world).iter().any(|log| log.contains(words));
        assert!(world.wait_until(SOON, said), "{flag}: {:?}", logs(&world));
        world.replace(&world.manifest(component), &original);
        assert!(world.wait_until(SOON, World::all_ready), "{flag}");
    }
}

fn uid_started_with(world: &World, component: Component, flag: &str) -> Option<String> {
    let pod = format!("kube-system/{component}");
    let mut events = world.history().into_iter().filter(|event| event.pod == pod);
    events.find_map(|event| match event.what {
        What::Started { uid, argv, .. } if argv.iter().any(|argument| argument == flag) => Some(uid),
        What::Started { .. }
        | What::Ready { .. }
        | What::NotReady { .. }
        | What::Stopping { .. }
        | What::Ended { .. } => None,
    })
}

#[test]
fn an_api_server_without_anonymous_access_fails_its_own_probes() {
    let world = World::new();
    let manifest = world.original_manifest(Component::ApiServer);
    let first = "    - kube-apiserver\n";
    world.replace(
        &world.manifest(Component::ApiServer),
        &manifest.replace(first, &format!("{first}    - --anonymous-auth=false\n")),
    );
    let port = world.port(Component::ApiServer);
    let refused = |_: &World| get(port, "/readyz").is_ok_and(|line| line.starts_with("HTTP/1.1 401"));
    assert!(world.wait_until(SOON, refused));
    assert!(!world.is_ready(Component::ApiServer));
}

#[test]
fn a_folder_that_was_replaced_is_noticed_by_the_list_alone() {
    let world = World::with(Options {
        // A list comes every 2 s: what happens before is the watch's doing.
        time_scale: 0.1,
        ..Options::default()
    });
    let folder = world.path("/etc/kubernetes/manifests");
    std::fs::rename(&folder, world.path("/etc/kubernetes/old")).expect("the same file system");
    std::fs::create_dir(&folder).expect("it is gone");
    std::fs::write(world.manifest(SCHEDULER), with_flag(&world, "--v=5")).expect("the folder is writable");
    assert!(!world.wait_until(Duration::from_millis(300), |world| !world.all_ready()));
    assert!(world.wait_until(SOON, |world| runs_with(world, "--v=5")));
    assert!(world.running(Component::Etcd).is_none());
}

#[test]
fn without_the_kubelet_containers_run_on_and_edits_wait() {
    let world = World::new();
    world.stop_kubelet();
    world.replace(&world.manifest(SCHEDULER), &with_flag(&world, "--v=5"));
    assert!(!world.wait_until(TWO_LISTS, |world| !world.all_ready()
        || world.starts(SCHEDULER) > 1));
    world.start_kubelet();
    assert!(world.wait_until(SOON, |world| runs_with(world, "--v=5")));
    assert_eq!(world.starts(Component::Etcd), 1);
}

#[test]
fn the_process_folder_tells_of_a_component_what_the_kernel_would() {
    let world = World::new();
    let running = world.running(SCHEDULER).expect("it runs");
    let read = |name: &str| {
        let path = world.path(&format!("/proc/{}/{name}", running.pid));
        std::fs::read_to_string(path).expect("it is there")
    };
    let cmdline = read("cmdline");
    let argv: Vec<&str> = cmdline.trim_end_matches('\0').split('\0').collect();
    assert_eq!(argv, running.argv);
    assert!(read("cgroup").starts_with(&format!("0::/kubepods/burstable/pod{}/", running.uid)));
    assert!(read("status").contains("\nUid:\t0\t0\t0\t0\n"));
    let stat = read("stat");
    let (_, after_name) = stat.rsplit_once(") ").expect("the name in brackets");
    let start: f64 = after_name
        .split(' ')
        .nth(19)
        .expect("field 22")
        .parse()
        .expect("a number");
    let uptime = std::fs::read_to_string(world.path("/proc/uptime")).expect("it is there");
    let uptime: f64 = uptime
        .split(' ')
        .next()
        .expect("a word")
        .parse()
        .expect("a number");
    let age = uptime - start / 100.0;
    assert!((0.0..10.0).contains(&age), "{age}");
    let executable = std::fs::read_link(world.path(&format!("/proc/{}/exe", running.pid))).expect("a link");
    assert_eq!(executable, world.path("/usr/local/bin/kube-scheduler"));
}

#[test]
fn a_planted_kubeadm_is_there_until_it_ends() {
    let world = World::with(Options {
        kubelet: false,
        ..Options::default()
    });
    let pid = world.run_kubeadm(Duration::from_mins(20));
    let folder = world.path(&format!("/proc/{pid}"));
    let cmdline = std::fs::read_to_string(folder.join("cmdline")).expect("it runs");
    assert_eq!(cmdline, "kubeadm\0upgrade\0apply\0v1.35.4\0-y\0");
    world.end_program(pid);
    assert!(!folder.exists());
}

#[test]
fn a_world_leaves_nothing_behind() {
    let world = World::new();
    let (root, port) = (world.root().to_owned(), world.port(Component::Etcd));
    drop(world);
    assert!(!root.exists());
    assert!(!listens(port));
}
