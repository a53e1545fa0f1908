//! What is only reported of the host, read from a file system.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// What was found of a control: each object that drifts, with what is wrong.
fn drifts(world: &World, id: &str) -> Vec<(String, String)> {
    let looked = Operator::new(world.node(), "").check();
    finding(&looked, id)
        .with_verdict(Verdict::Drift)
        .map(|piece| (piece.object.clone(), piece.actual.clone()))
        .collect()
}

fn put(world: &World, path: &str, text: &str, mode: u32) {
    let path = world.path(path);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a new folder");
    std::fs::write(&path, text).expect("a new file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

fn open_folder(world: &World, path: &str, mode: u32) {
    let path = world.path(path);
    std::fs::create_dir_all(&path).expect("a new folder");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";

#[test]
fn private_keys_that_others_can_read_are_found_and_links_are_not_followed() {
    let world = World::new();
    open_folder(&world, "/tmp", 0o777);
    open_folder(&world, "/root", 0o700);
    put(&world, "/tmp/a/ca.key", KEY, 0o644);
    put(&world, "/tmp/closed.key", KEY, 0o600);
    put(&world, "/tmp/words.txt", "a private key is no key", 0o644);
    put(
        &world,
        "/tmp/admin.json",
        "{\"client-key-data\": \"AAAA\"}",
        0o644,
    );
    let encrypted =
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n";
    put(&world, "/tmp/encrypted.key", encrypted, 0o644);
    put(&world, "/etc/kubernetes/pki/apiserver.key", KEY, 0o644);
    put(&world, "/etc/kubernetes/pki/apiserver.key.bak", KEY, 0o644);
    put(&world, "/root/behind/ca.key", KEY, 0o644);
    put(&world, "/srv/ca.key", KEY, 0o644);
    symlink(world.path("/srv/ca.key"), world.path("/tmp/link.key")).expect("a new link");
    symlink(world.path("/srv"), world.path("/tmp/folder")).expect("a new link");
    let found: Vec<String> = drifts(&world, "X-CRED-09")
        .into_iter()
        .map(|(object, _)| object)
        .collect();
    assert_eq!(
        found,
        [
            "/etc/kubernetes/pki/apiserver.key.bak",
            "/tmp/a/ca.key",
            "/tmp/admin.json"
        ]
    );
}

#[test]
fn kubeconfigs_are_judged_by_what_they_say() {
    let world = World::new();
    let bad = "kind: Config\nclusters: [{name: c, cluster: {server: 'https://x', insecure-skip-tls-verify: true}}]\n\
               users: [{name: u, user: {token: secret}}]\n";
    put(&world, "/etc/kubernetes/other.conf", bad, 0o600);
    let told = "the server of c is not verified; a user signs in by a token that stands in it";
    assert_eq!(
        drifts(&world, "X-CRED-03"),
        [("/etc/kubernetes/other.conf".to_owned(), told.to_owned())]
    );
    put(&world, "/home/a/.kube/config", bad, 0o644);
    put(
        &world,
        "/home/a/.kube/prompt.sh",
        "for file in *; do echo; done\n",
        0o755,
    );
    put(&world, "/home/a/.kube/cache/x", "no kubeconfig", 0o644);
    assert_eq!(
        drifts(&world, "X-CRED-02"),
        [("/home/a/.kube/config".to_owned(), "mode 0644".to_owned())]
    );
    // What is no kubeconfig by another name than kubeadm's is left out; a small text may not become a large one.
    put(
        &world,
        "/etc/kubernetes/cloud.conf",
        "[Global]\nregion=x\n",
        0o600,
    );
    put(
        &world,
        "/home/b/.kube/config",
        "kind: Config\nclusters: [*a, *a]\n",
        0o600,
    );
    let looked = Operator::new(world.node(), "").check();
    assert_eq!(
        finding(&looked, "X-CRED-03")
            .evidence
            .iter()
            .filter(|piece| piece.verdict == Verdict::Unknown)
            .count(),
        0
    );
    let homes = finding(&looked, "X-CRED-02");
    let told: Vec<(&str, Verdict)> = homes
        .evidence
        .iter()
        .map(|piece| (piece.object.as_str(), piece.verdict))
        .collect();
    assert_eq!(
        told,
        [
            ("/home/a/.kube/config", Verdict::Drift),
            ("/home/b", Verdict::Unknown)
        ]
    );
}

#[test]
fn what_a_drop_in_of_the_kubelets_unit_runs_is_told() {
    let world = World::new();
    assert_eq!(drifts(&world, "X-KUBELET-07"), []);
    let drop_in = "/etc/systemd/system/kubelet.service.d/90-more.conf";
    put(
        &world,
        drop_in,
        "[Service]\nExecStartPre=/opt/more secret\n",
        0o644,
    );
    assert_eq!(
        drifts(&world, "X-KUBELET-07"),
        [(drop_in.to_owned(), "ExecStartPre runs /opt/more".to_owned())]
    );
}

#[test]
fn an_authorization_file_decides_instead_of_the_flag() {
    let world = World::new();
    let text = world.original_manifest(Component::ApiServer).replace(
        "    - --authorization-mode=Node,RBAC\n",
        "    - --authorization-config=/etc/kubernetes/pki/authorization.yaml\n",
    );
    let authorizers = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: [{type: RBAC, name: rbac}]\n";
    put(
        &world,
        "/etc/kubernetes/pki/authorization.yaml",
        authorizers,
        0o600,
    );
    world.replace(&world.manifest(Component::ApiServer), &text);
    let looked = Operator::new(world.node(), "").check();
    let verdict = |id: &str| finding(&looked, id).verdict;
    assert_eq!(verdict("CIS-1.2.7"), Verdict::Drift);
    assert_eq!(verdict("CIS-1.2.8"), Verdict::Pass);
    assert_eq!(verdict("X-API-13"), Verdict::Drift);
}

/// A process of another user than root, whose working folder is this one.
fn works_in(world: &World, pid: u32, folder: &str) {
    let of = |name: &str| world.path(&format!("/proc/{pid}/{name}"));
    std::fs::create_dir_all(of("fd")).expect("a new folder");
    let status = "Name:\tshipper\nUid:\t1000\t1000\t1000\t1000\n";
    for (name, text) in [
        ("status", status),
        ("cgroup", "0::/system.slice/x\n"),
        ("cmdline", ""),
    ] {
        std::fs::write(of(name), text).expect("a new file");
    }
    symlink(folder, of("cwd")).expect("a new link");
}

#[test]
fn the_kubelets_folder_is_closed_when_nobody_works_there_any_more_and_the_operator_allows_it() {
    const PID: u32 = 4_999_999;
    let world = World::new();
    let before = mode(&world, "/var/lib/kubelet");
    works_in(&world, PID, "/var/lib/kubelet/pods");
    let operator = Operator::new(
        world.node(),
        "mode: enforce\ncontrols: { X-FILE-08: { conditional: allow } }\n",
    );
    let held = withheld(&operator.apply().last);
    assert_eq!(held["X-FILE-08"], BTreeSet::from(["not-ready"]));
    assert_eq!(mode(&world, "/var/lib/kubelet"), before);
    std::fs::remove_dir_all(world.path(&format!("/proc/{PID}"))).expect("a folder of ours");
    let applied = operator.apply();
    assert!(!ids_with(&applied.last, Verdict::Drift).contains("X-FILE-08"));
    assert_eq!(mode(&world, "/var/lib/kubelet"), before & 0o750);
}

#[test]
fn a_kubeconfig_in_a_home_folder_is_closed_where_allowed_and_no_link_is_followed() {
    const TEXT: &str = "kind: Config\nclusters: [{name: c, cluster: {server: 'https://x'}}]\nusers: [{name: u, user: {token: secret}}]\n";
    let world = World::new();
    put(&world, "/home/a/.kube/config", TEXT, 0o644);
    put(&world, "/srv/kube/config", TEXT, 0o644);
    open_folder(&world, "/home/b", 0o755);
    symlink(world.path("/srv/kube"), world.path("/home/b/.kube")).expect("a new link");
    put(&world, "/home/c/.kube/config", TEXT, 0o644);
    std::fs::hard_link(
        world.path("/home/c/.kube/config"),
        world.path("/home/c/.kube/other"),
    )
    .expect("one file system");
    let modes = || {
        ["/home/a/.kube/config", "/srv/kube/config", "/home/c/.kube/config"].map(|path| mode(&world, path))
    };
    Operator::new(world.node(), "mode: enforce\n").apply();
    assert_eq!(modes(), [0o644, 0o644, 0o644]);
    let allowed = "mode: enforce\ncontrols: { X-CRED-02: { conditional: allow } }\n";
    let operator = Operator::new(world.node(), allowed);
    operator.apply();
    assert_eq!(modes(), [0o600, 0o644, 0o644]);
    assert_eq!(operator.apply().outcomes, []);
}
