use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

const STATIC: &str = "0123456789abcdef0123456789abcdef";
const API_MADE: &str = "7a9f0b0e-1b2c-4d3e-8f90-a1b2c3d4e5f6";

/// A folder as `/proc` looks, 100 seconds after boot.
struct FakeProc {
    folder: tempfile::TempDir,
}

impl FakeProc {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("uptime"), "100.50 312.20\n").unwrap();
        let fake = Self { folder };
        fake.add(1, "systemd", &["/sbin/init"], 0, "/init.scope");
        fake
    }

    fn add(&self, pid: i32, name: &str, argv: &[&str], uid: u32, cgroup: &str) {
        let folder = self.folder.path().join(pid.to_string());
        fs::create_dir(&folder).unwrap();
        let cmdline: String = argv.iter().map(|word| format!("{word}\0")).collect();
        fs::write(folder.join("cmdline"), cmdline).unwrap();
        // Start time 2000 + pid ticks.
        let start = 2000 + pid;
        let stat = format!(
            "{pid} ({name}) S 1 {pid} {pid} 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 {start} 1000 20 1\n"
        );
        fs::write(folder.join("stat"), stat).unwrap();
        fs::write(
            folder.join("status"),
            format!("Name:\t{name}\nUid:\t{uid}\t7\t7\t7\n"),
        )
        .unwrap();
        fs::write(folder.join("cgroup"), format!("0::{cgroup}\n")).unwrap();
    }

    fn processes(&self) -> Processes {
        Processes::at(self.folder.path())
    }

    fn look(&self) -> Result<Table, Reason> {
        self.processes().look()
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.folder.path().join(file)).unwrap();
    }
}

fn pids(processes: &[Process]) -> Vec<i32> {
    processes.iter().map(|process| process.id.pid).collect()
}

#[test]
fn a_static_pods_process_is_read_whole() {
    let fake = FakeProc::new();
    fake.add(
        40,
        "kube) (api 1 2",
        &["/usr/bin/kube-apiserver", "--secure-port=6443", "--x=", ""],
        0,
        &format!("/kubepods/burstable/pod{STATIC}"),
    );
    let expected = Process {
        id: ProcessId {
            pid: 40,
            start_ticks: 2040,
        },
        argv: ["/usr/bin/kube-apiserver", "--secure-port=6443", "--x=", ""]
            .map(str::to_owned)
            .to_vec(),
        uid: 0,
        age_ms: 100_500 - 20_400,
        pod_uid: Some(STATIC.to_owned()),
    };
    assert_eq!(
        fake.look(),
        Ok(Table {
            processes: vec![expected]
        })
    );
}

#[test]
fn whose_a_process_is_is_told_by_its_pod() {
    let fake = FakeProc::new();
    fake.add(
        10,
        "etcd",
        &["etcd"],
        0,
        &format!("/kubepods/burstable/pod{STATIC}"),
    );
    fake.add(
        11,
        "etcd",
        &["/usr/local/bin/etcd"],
        0,
        &format!("/kubepods/pod{API_MADE}"),
    );
    fake.add(12, "etcd", &["etcd"], 0, "/system.slice/etcd.service");
    fake.add(
        13,
        "kubelet",
        &["/usr/bin/kubelet"],
        0,
        "/system.slice/kubelet.service",
    );
    fake.add(
        14,
        "etcd",
        &["etcd"],
        0,
        &format!("/kubepods/pod{API_MADE}/kubepods/pod{STATIC}"),
    );
    let table = fake.look().unwrap();
    assert_eq!(pids(&table.of_component(Component::Etcd, None)), [10]);
    assert_eq!(
        pids(&table.of_component(Component::Etcd, Some(API_MADE))),
        [10, 11]
    );
    assert_eq!(pids(&table.of_host("etcd")), [12]);
    assert_eq!(pids(&table.of_host("kubelet")), [13]);
    assert_eq!(
        pids(&table.of_component(Component::Scheduler, None)),
        Vec::<i32>::new()
    );
}

#[test]
fn kernel_threads_zombies_strangers_and_those_that_end_are_left_out() {
    let fake = FakeProc::new();
    fake.add(20, "kthreadd", &[], 0, "/");
    fake.add(21, "etcdctl", &["etcdctl", "etcd"], 0, "/");
    fake.add(22, "kubelet", &["kubelet"], 0, "/");
    fake.remove("22/status");
    fake.add(23, "kubelet", &["kubelet"], 0, "/");
    let zombie = "23 (kubelet) Z 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 2023 1000 20 1\n";
    fs::write(fake.folder.path().join("23/stat"), zombie).unwrap();
    assert_eq!(fake.look(), Ok(Table::default()));
}

#[test]
fn a_file_system_without_a_running_node_is_said_to_be_one() {
    let fake = FakeProc::new();
    fake.remove("uptime");
    let reason = fake.look().unwrap_err();
    assert!(
        reason
            .as_str()
            .ends_with("uptime is not there: this is the file system of a node that is not running here"),
        "{reason}"
    );
}

#[test]
fn a_proc_that_hides_processes_is_not_taken_for_a_node_without_them() {
    let fake = FakeProc::new();
    fake.remove("1/cgroup");
    let reason = fake.look().unwrap_err();
    assert!(reason.as_str().contains("does not show process 1"), "{reason}");
}

#[test]
fn a_file_that_the_kernel_would_not_write_is_a_reason_and_no_absence() {
    let fake = FakeProc::new();
    fake.add(30, "kubelet", &["kubelet"], 0, "/");
    fs::write(fake.folder.path().join("30/stat"), "30 (kubelet) S 1\n").unwrap();
    let reason = fake.look().unwrap_err();
    assert!(
        reason
            .as_str()
            .ends_with("30/stat does not look as the kernel writes it"),
        "{reason}"
    );
}

#[test]
fn roots_own_is_what_root_started_from_a_file_that_only_root_writes() {
    let fake = FakeProc::new();
    fake.add(50, "kubeadm", &["kubeadm", "upgrade"], 0, "/");
    fake.add(51, "kubeadm", &["kubeadm", "upgrade"], 1000, "/");
    fake.add(52, "kubeadm", &["kubeadm", "upgrade"], 0, "/");
    fake.add(53, "kubeadm", &["kubeadm", "upgrade"], 0, "/");
    fs::create_dir(fake.folder.path().join("open")).unwrap();
    let open_to_all = fake.folder.path().join("open/kubeadm");
    fs::write(&open_to_all, "").unwrap();
    fs::set_permissions(&open_to_all, fs::Permissions::from_mode(0o777)).unwrap();
    let roots = fake.folder.path().join("kubeadm");
    fs::write(&roots, "").unwrap();
    fs::set_permissions(&roots, fs::Permissions::from_mode(0o755)).unwrap();
    // `exec -a kubeadm sudo` runs a file of root's, and is no kubeadm.
    fake.add(54, "kubeadm", &["kubeadm"], 0, "/");
    for (pid, executable) in [
        (50, roots.as_path()),
        (52, &open_to_all),
        (54, Path::new("/bin/sh")),
    ] {
        symlink(executable, fake.folder.path().join(pid.to_string()).join("exe")).unwrap();
    }
    let processes = fake.processes().taking_for_root(nix::unistd::geteuid().as_raw());
    let table = fake.look().unwrap();
    let answers: Vec<Fact<bool>> = table
        .processes
        .iter()
        .map(|process| processes.is_roots_own(process))
        .collect();
    assert_eq!(
        answers,
        [
            Fact::Known(true),
            Fact::Known(false),
            Fact::Known(false),
            Fact::Absent,
            Fact::Known(false)
        ]
    );
    // The same number, another process.
    let reused = Process {
        id: ProcessId {
            pid: 50,
            start_ticks: 1,
        },
        ..table.processes[0].clone()
    };
    assert_eq!(fake.processes().is_roots_own(&reused), Fact::Absent);
}

#[test]
fn the_real_proc_is_read_within_the_time_of_a_check() {
    let started = std::time::Instant::now();
    let table = Processes::at(Path::new("/proc")).look();
    let took = started.elapsed();
    assert!(table.is_ok() || !nix::unistd::geteuid().is_root(), "{table:?}");
    assert!(took < std::time::Duration::from_secs(1), "{took:?}");
}

#[test]
fn the_files_of_a_real_process_are_understood() {
    let own = Path::new("/proc/self");
    let stat = stat(own).unwrap().unwrap();
    assert!(!stat.zombie && stat.start_ticks > 0);
    let status = text(&own.join("status")).unwrap().unwrap();
    assert_eq!(real_uid(&status), Some(nix::unistd::getuid().as_raw()));
    let expected: Vec<String> = std::env::args().collect();
    assert_eq!(argv(own), Ok(Some(expected)));
}

#[test]
fn the_host_name_is_the_kernels() {
    // The real file: its size is said to be 0, as that of every file of /proc.
    let name = Processes::at(Path::new("/proc")).host_name();
    assert_eq!(
        name,
        Fact::Known(nix::unistd::gethostname().unwrap().into_string().unwrap())
    );
}

#[test]
fn a_file_is_seen_as_the_process_sees_it_and_only_while_it_runs() {
    let fake = FakeProc::new();
    fake.add(50, "kube-apiserver", &["kube-apiserver"], 0, "/");
    let view = tempfile::tempdir().unwrap();
    fs::create_dir(view.path().join("enc")).unwrap();
    fs::write(view.path().join("enc/enc.yaml"), "as it sees it").unwrap();
    symlink(view.path(), fake.folder.path().join("50/root")).unwrap();
    let id = |start_ticks| ProcessId { pid: 50, start_ticks };
    let processes = fake.processes();
    let seen = |start_ticks, path: &str| {
        let bytes = processes.file_seen_by(id(start_ticks), &path.parse().unwrap(), 100);
        bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    };
    assert_eq!(
        seen(2050, "/enc/enc.yaml"),
        Fact::Known("as it sees it".to_owned())
    );
    assert_eq!(seen(2050, "/enc/other.yaml"), Fact::Absent);
    // The number is another process's by now.
    assert_eq!(seen(2049, "/enc/enc.yaml"), Fact::unknown("process 50 has ended"));
    fake.remove("50/root");
    assert!(matches!(seen(2050, "/enc/enc.yaml"), Fact::Unknown(_)));
}
