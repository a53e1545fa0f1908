//! Modes and owners: what holds, what drifts, and what may be given to whom.

use super::super::fixtures::{API_SERVER, edit_file, fresh_node, path, replace_manifest};
use super::*;

const SA_KEY: &str = "/etc/kubernetes/pki/sa.key";
const ROOT: Wanted<'static> = Wanted::Owner(Owner::ROOT);

fn judged(target: &Target, wanted: &Wanted<'_>, remedy: Remedy, node: &Observation) -> Vec<Evidence> {
    files(target, wanted, remedy, node, &Layout::kubeadm())
}

fn one(name: &str) -> Target {
    Target::Files(vec![path(name)])
}

fn id_of(node: &Observation, name: &str) -> FileId {
    let listings = node.listings.values().filter_map(Fact::known);
    let listed = listings.filter_map(|listing| listing.get(&path(name)));
    let fact = listed.chain(node.files.get(&path(name))).next().unwrap();
    fact.known().unwrap().id
}

fn ceiling(bits: u32) -> Wanted<'static> {
    Wanted::Mode(Mode::from_bits(bits))
}

#[test]
fn a_wide_mode_drifts_and_its_mend_names_the_file_that_was_seen() {
    let node = fresh_node();
    let name = "/var/lib/kubelet/config.yaml";
    let mut expected = piece(name, Verdict::Drift, "mode 0600 or stricter", "mode 0644");
    expected.mend = Some(Mend::Mode {
        path: path(name),
        id: id_of(&node, name),
        from: Mode::from_bits(0o644),
        ceiling: Mode::from_bits(0o600),
    });
    let evidence = judged(&Target::KubeletConfig, &ceiling(0o600), Remedy::Safe, &node);
    assert_eq!(evidence, [expected]);
}

#[test]
fn files_that_are_not_there_give_no_evidence() {
    let mut node = fresh_node();
    let name = "/etc/kubernetes/super-admin.conf";
    node.files.insert(path(name), Fact::Absent);
    let both = Target::Files(vec![path("/etc/kubernetes/admin.conf"), path(name)]);
    let evidence = judged(&both, &ceiling(0o600), Remedy::Safe, &node);
    let expected = piece(
        "/etc/kubernetes/admin.conf",
        Verdict::Pass,
        "mode 0600 or stricter",
        "mode 0600",
    );
    assert_eq!(evidence, [expected]);
    assert_eq!(judged(&one(name), &ROOT, Remedy::Safe, &node), []);
    assert_eq!(
        judged(&Target::KubeProxyKubeconfig, &ROOT, Remedy::Safe, &node),
        []
    );
}

#[test]
fn a_link_a_folder_in_a_files_place_and_what_was_not_asked_are_unknown() {
    let name = "/etc/kubernetes/admin.conf";
    for (kind, why) in [
        (FileKind::Symlink, "is a symbolic link; not followed"),
        (FileKind::Directory, "is a folder, not a file"),
        (FileKind::Special, "is a special file, not a file"),
    ] {
        let mut node = fresh_node();
        edit_file(&mut node, name, |facts| facts.kind = kind);
        let expected = piece(name, Verdict::Unknown, "mode 0600 or stricter", why);
        assert_eq!(
            judged(&one(name), &ceiling(0o600), Remedy::Safe, &node),
            [expected]
        );
    }
    let expected = piece("/x", Verdict::Unknown, "root:root", "/x was not looked at");
    assert_eq!(judged(&one("/x"), &ROOT, Remedy::Safe, &fresh_node()), [expected]);
}

#[test]
fn a_file_with_two_hard_links_is_judged_and_not_changed() {
    let mut node = fresh_node();
    edit_file(&mut node, SA_KEY, |facts| {
        facts.links = 2;
        facts.mode = Mode::from_bits(0o640);
    });
    let keys = Target::Matching(vec!["/etc/kubernetes/pki/**/*.key".parse().unwrap()]);
    let evidence = judged(&keys, &ceiling(0o600), Remedy::Safe, &node);
    let actual = "mode 0640; has 2 hard links, so it is not changed";
    let expected = piece(SA_KEY, Verdict::Drift, "mode 0600 or stricter", actual);
    let drifts: Vec<_> = evidence
        .into_iter()
        .filter(|piece| piece.verdict == Verdict::Drift)
        .collect();
    assert_eq!(drifts, [expected]);
}

#[test]
fn a_tree_is_judged_with_its_folders_and_a_folder_that_cannot_be_listed_is_unknown() {
    let mut node = fresh_node();
    let tree = Target::Tree(path("/etc/kubernetes/pki"));
    let objects: Vec<_> = judged(&tree, &ROOT, Remedy::Safe, &node)
        .into_iter()
        .map(|piece| piece.object)
        .collect();
    assert_eq!(objects.len(), 10);
    assert!(
        objects.contains(&"/etc/kubernetes/pki".to_owned())
            && objects.contains(&"/etc/kubernetes/pki/etcd".to_owned())
    );
    let pattern = "/etc/kubernetes/pki/**/*";
    node.listings
        .insert(pattern.parse().unwrap(), Fact::unknown("cannot list it"));
    let evidence = judged(&tree, &ROOT, Remedy::Safe, &node);
    assert_eq!(
        evidence[1..],
        [piece(pattern, Verdict::Unknown, "root:root", "cannot list it")]
    );
}

#[test]
fn a_unit_that_is_reached_through_a_linked_folder_too_is_judged_once() {
    let evidence = judged(&Target::KubeletUnit, &ceiling(0o600), Remedy::Safe, &fresh_node());
    let objects: Vec<_> = evidence.iter().map(|piece| piece.object.as_str()).collect();
    assert_eq!(
        objects,
        [
            "/usr/lib/systemd/system/kubelet.service",
            "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
        ]
    );
}

fn owner_of_sa_key(node: &mut Observation) -> Evidence {
    edit_file(node, SA_KEY, |facts| facts.owner = Owner { uid: 1000, gid: 0 });
    let remedy = Remedy::When(Precondition::ComponentsRunAsRoot);
    let evidence = judged(&Target::Tree(path("/etc/kubernetes/pki")), &ROOT, remedy, node);
    evidence.into_iter().find(|piece| piece.object == SA_KEY).unwrap()
}

#[test]
fn an_owner_is_mended_when_every_component_runs_as_root() {
    let mut node = fresh_node();
    node.manifests.insert(Component::Etcd, Fact::Absent);
    let mut expected = piece(SA_KEY, Verdict::Drift, "root:root", "1000:root");
    expected.mend = Some(Mend::Owner {
        path: path(SA_KEY),
        id: id_of(&node, SA_KEY),
        from: Owner { uid: 1000, gid: 0 },
        to: Owner::ROOT,
    });
    assert_eq!(owner_of_sa_key(&mut node), expected);
}

#[test]
fn an_owner_is_left_alone_when_a_component_runs_as_another_or_that_is_not_known() {
    let drift = |why: &str| {
        piece(
            SA_KEY,
            Verdict::Drift,
            "root:root",
            format!("1000:root; not changed, because {why}"),
        )
    };
    let mut node = fresh_node();
    let text = API_SERVER.replace(
        "  securityContext:\n",
        "  securityContext:\n    runAsUser: 1000\n",
    );
    replace_manifest(&mut node, Component::ApiServer, &text);
    let why = "kube-apiserver runs as user 1000 (runAsUser) and may own it for that reason";
    assert_eq!(owner_of_sa_key(&mut node), drift(why));

    let mut node = fresh_node();
    node.manifests
        .insert(Component::Etcd, Fact::unknown("line 3: it is not YAML"));
    let why = "which account etcd runs as is not known: line 3: it is not YAML";
    assert_eq!(owner_of_sa_key(&mut node), drift(why));

    let mut node = fresh_node();
    node.manifests.remove(&Component::Etcd);
    assert_eq!(
        owner_of_sa_key(&mut node),
        drift("which account etcd runs as was not looked at")
    );
}
