//! Each row about the host: what holds, what drifts, what does not apply and what is not known.

use super::super::fixtures::{facts, fresh_node, path};
use super::super::judge_tests::finding_at;
use super::*;
use crate::domain::{ExposedKey, FileFacts, FileKind, Owner, Searched, Usage};
use crate::plan::Finding;

const NOW: &str = "2026-06-01T00:00:00Z";

fn of(id: &str, edit: impl FnOnce(&mut Observation)) -> Finding {
    let mut node = fresh_node();
    edit(&mut node);
    finding_at(&node, id, "{}", NOW)
}

fn drifts(finding: &Finding) -> Vec<&str> {
    let pieces = finding.with_verdict(Verdict::Drift);
    pieces.map(|piece| piece.actual.as_str()).collect()
}

fn file(name: &str, mode: u32, uid: u32) -> FileFacts {
    FileFacts {
        owner: Owner { uid, gid: uid },
        ..facts(name, FileKind::Regular, mode)
    }
}

#[test]
fn a_kubeconfig_that_trusts_anybody_or_holds_a_secret_drifts() {
    let with = |unverified: &[&str], sign_ins: &[SignIn]| {
        let read = Kubeconfig {
            servers: std::collections::BTreeSet::new(),
            unverified: unverified.iter().map(|name| (*name).to_owned()).collect(),
            sign_ins: sign_ins.iter().copied().collect(),
        };
        of("X-CRED-03", |node| {
            let name = path("/etc/kubernetes/scheduler.conf");
            node.host.kubeconfigs = Fact::Known([(name, Fact::Known(read))].into());
        })
    };
    assert_eq!(of("X-CRED-03", |_| {}).verdict, Verdict::Pass);
    assert_eq!(with(&[], &[SignIn::TokenFile]).verdict, Verdict::Pass);
    assert_eq!(
        drifts(&with(&["kubernetes"], &[SignIn::Certificate, SignIn::Token])),
        ["the server of kubernetes is not verified; a user signs in by a token that stands in it"]
    );
    for how in [
        SignIn::Password,
        SignIn::Exec,
        SignIn::AuthProvider,
        SignIn::Nothing,
    ] {
        assert_eq!(with(&[], &[how]).verdict, Verdict::Drift, "{how:?}");
    }
    let torn = of("X-CRED-03", |node| {
        let name = path("/etc/kubernetes/admin.conf");
        node.host.kubeconfigs = Fact::Known([(name, Fact::unknown("not YAML"))].into());
    });
    assert_eq!(torn.verdict, Verdict::Unknown);
}

#[test]
fn an_administrators_copy_in_a_home_folder_drifts_and_so_does_one_that_is_not_the_users_own() {
    let with = |mode, uid, administrator: Option<&str>| {
        of("X-CRED-02", |node| {
            let found = HomeKubeconfig {
                path: path("/home/a/.kube/config"),
                facts: file("/home/a/.kube/config", mode, uid),
                home: Owner { uid: 1000, gid: 1000 },
                is_closed: true,
                administrator: administrator.map(str::to_owned),
            };
            let of_home = (path("/home/a"), Fact::Known(vec![found]));
            node.host.home_kubeconfigs = Fact::Known([of_home].into());
        })
    };
    assert_eq!(with(0o600, 1000, None).verdict, Verdict::Pass);
    assert_eq!(drifts(&with(0o640, 1000, None)), ["mode 0640"]);
    assert_eq!(
        drifts(&with(0o600, 0, None)),
        ["it belongs to root:root, the home to 1000:1000"]
    );
    let admin = "O=kubeadm:cluster-admins, CN=kubernetes-admin";
    assert_eq!(
        drifts(&with(0o600, 1000, Some(admin))),
        [format!("the administrator's ({admin})")]
    );
    assert_eq!(of("X-CRED-02", |_| {}).verdict, Verdict::NotApplicable);
    let unknown = of("X-CRED-02", |node| {
        let of_home = (path("/home/b"), Fact::unknown("cannot list it"));
        node.host.home_kubeconfigs = Fact::Known([of_home].into());
    });
    assert_eq!(unknown.verdict, Verdict::Unknown);
    assert_eq!(unknown.evidence[0].object, "/home/b");
}

/// What of a kubeconfig in a home folder is mended, where the operator allows it or not.
fn mended_in_home(found: HomeKubeconfig, config: &str) -> Vec<Mend> {
    let mut node = fresh_node();
    let of_home = (path("/home/a"), Fact::Known(vec![found]));
    node.host.home_kubeconfigs = Fact::Known([of_home].into());
    let found = finding_at(&node, "X-CRED-02", config, NOW);
    let pieces = found.evidence.into_iter();
    pieces.filter_map(|piece| piece.mend).collect()
}

#[test]
fn a_users_own_kubeconfig_is_closed_where_allowed_and_nothing_is_given_to_a_user() {
    const ALLOWED: &str = "conditional: allow\n";
    let name = "/home/a/.kube/config";
    let with = |home: u32, uid, mode, links| {
        let facts = FileFacts {
            links,
            ..file(name, mode, uid)
        };
        HomeKubeconfig {
            path: path(name),
            facts,
            home: Owner { uid: home, gid: home },
            is_closed: true,
            administrator: Some("O=system:masters".to_owned()),
        }
    };
    let mode = |from| Mend::Mode {
        path: path(name),
        id: file(name, from, 0).id,
        from: Mode::from_bits(from),
        ceiling: Mode::from_bits(0o600),
    };
    assert_eq!(mended_in_home(with(1000, 1000, 0o644, 1), "{}"), []);
    assert_eq!(mended_in_home(with(1000, 1000, 0o644, 1), ALLOWED), [mode(0o644)]);
    // An administrator's copy that is closed already is told, and that is all.
    assert_eq!(mended_in_home(with(1000, 1000, 0o600, 1), ALLOWED), []);
    assert_eq!(mended_in_home(with(1000, 1000, 0o644, 2), ALLOWED), []);
    assert_eq!(mended_in_home(with(1000, 0, 0o644, 1), ALLOWED), []);
    let to_root = Mend::Owner {
        path: path(name),
        id: file(name, 0, 0).id,
        from: Owner { uid: 1000, gid: 1000 },
        to: Owner::ROOT,
    };
    assert_eq!(
        mended_in_home(with(0, 1000, 0o644, 1), ALLOWED),
        [to_root, mode(0o644)]
    );
    assert_eq!(mended_in_home(with(0, 1000, 0o600, 2), ALLOWED), []);
    let open = HomeKubeconfig {
        is_closed: false,
        ..with(0, 1000, 0o600, 1)
    };
    assert_eq!(mended_in_home(open, ALLOWED), []);
}

#[test]
fn who_is_connected_to_etcd_is_named_unless_it_is_a_member() {
    let with = |client: EtcdClient, peers: Fact<&str>| {
        of("HF-ETCD-1", |node| {
            node.host.etcd_clients = Fact::Known(vec![client.clone()]);
            node.host.etcd_peers = peers.map(|peer| [peer.to_owned()].into());
        })
    };
    let from = |address: &str, program: Option<&str>| EtcdClient {
        address: address.parse().unwrap(),
        port: 2379,
        program: program.map(str::to_owned),
    };
    assert_eq!(of("HF-ETCD-1", |_| {}).verdict, Verdict::Pass);
    let script = from("127.0.0.1", Some("backup"));
    assert_eq!(
        drifts(&with(script, Fact::unknown("not asked"))),
        ["backup of this node is connected, too"]
    );
    let metrics = EtcdClient {
        port: 2381,
        ..from("127.0.0.1", Some("kubelet"))
    };
    assert_eq!(with(metrics, Fact::unknown("not asked")).verdict, Verdict::Pass);
    let elsewhere = from("192.0.2.12", None);
    let member = with(elsewhere.clone(), Fact::Known("192.0.2.12"));
    assert_eq!(member.verdict, Verdict::Pass);
    assert_eq!(
        drifts(&with(elsewhere.clone(), Fact::Known("192.0.2.11"))),
        ["192.0.2.12 is connected, and is no member's address"]
    );
    let unknown = with(elsewhere, Fact::unknown("no answer"));
    assert_eq!(unknown.verdict, Verdict::Unknown);
    let none = of("HF-ETCD-1", |node| node.host.etcd_clients = Fact::Absent);
    assert_eq!(none.verdict, Verdict::NotApplicable);
}

#[test]
fn a_pair_drifts_by_its_key_its_authority_and_its_usage() {
    let with = |edit: &dyn Fn(&mut Pair, &mut PairFacts)| {
        let mut facts = PairFacts {
            subject: "CN=x".to_owned(),
            fits: true,
            issued: Fact::Known(true),
            lacks: Vec::new(),
            names: Vec::new(),
        };
        let mut pair = Pair {
            object: "etcd --cert-file".to_owned(),
            wanted: vec![Usage::Server],
            authority: Fact::Known(path("/etc/kubernetes/pki/etcd/ca.crt")),
            tokens: false,
            found: Fact::Absent,
        };
        edit(&mut pair, &mut facts);
        if pair.found == Fact::Absent {
            pair.found = Fact::Known(facts);
        }
        of("X-CRED-07", |node| node.host.pairs = Fact::Known(vec![pair]))
    };
    assert_eq!(with(&|_, _| {}).verdict, Verdict::Pass);
    let wrong = with(&|_, facts| {
        facts.fits = false;
        facts.issued = Fact::Known(false);
        facts.lacks = vec![Usage::Server];
    });
    assert_eq!(
        drifts(&wrong),
        [
            "CN=x: the key is another one's; CN=x: it is by another authority; CN=x: its extendedKeyUsage lacks serverAuth"
        ]
    );
    assert_eq!(
        with(&|_, facts| facts.issued = Fact::unknown("a curve")).verdict,
        Verdict::Unknown
    );
    assert_eq!(
        with(&|pair, _| pair.found = Fact::unknown("gone")).verdict,
        Verdict::Unknown
    );
    let tokens = with(&|pair, facts| {
        pair.tokens = true;
        facts.fits = false;
    });
    assert_eq!(
        drifts(&tokens),
        ["it is none of the keys that verify, so that what it signs is void"]
    );
}

#[test]
fn a_key_that_others_can_read_is_named() {
    let with = |found: &[ExposedKey], cut_off: Option<&str>| {
        of("X-CRED-09", |node| {
            let searched = Searched {
                found: found.to_vec(),
                cut_off: cut_off.map(Reason::new),
            };
            node.host.exposed_keys = Fact::Known([(path("/tmp"), searched)].into());
        })
    };
    assert_eq!(with(&[], None).verdict, Verdict::Pass);
    let key = ExposedKey {
        path: path("/tmp/ca.key"),
        facts: file("/tmp/ca.key", 0o644, 0),
    };
    // What was found before the search was cut off still counts.
    for cut_off in [None, Some("too many")] {
        let found = with(std::slice::from_ref(&key), cut_off);
        assert_eq!(drifts(&found), ["a private key, root:root, mode 0644"]);
        assert_eq!(found.evidence[0].object, "/tmp/ca.key");
    }
    assert_eq!(with(&[], Some("too many")).verdict, Verdict::Unknown);
}

#[test]
fn what_the_kubelets_unit_runs_beside_it_is_told() {
    let with = |name: &str, text: Fact<&str>| {
        of("X-KUBELET-07", |node| {
            node.host.kubelet_unit = Fact::Known([(path(name), text.map(str::to_owned))].into());
        })
    };
    let unit = "/etc/systemd/system/kubelet.service.d/99.conf";
    let good = "[Service]\nExecStart=/usr/bin/kubelet\n";
    assert_eq!(with(unit, Fact::Known(good)).verdict, Verdict::Pass);
    let bad = "[Service]\nExecStartPre=/opt/x\nEnvironment=LD_PRELOAD=/x.so\n";
    assert_eq!(
        drifts(&with(unit, Fact::Known(bad))),
        ["ExecStartPre runs /opt/x; Environment sets LD_PRELOAD"]
    );
    let environment = "/etc/default/kubelet";
    assert_eq!(
        with(environment, Fact::Known("KUBELET_EXTRA_ARGS=\n")).verdict,
        Verdict::Pass
    );
    assert_eq!(
        drifts(&with(environment, Fact::Known("LD_PRELOAD=/x.so\n"))),
        ["it sets LD_PRELOAD"]
    );
    assert_eq!(with(unit, Fact::unknown("not UTF-8")).verdict, Verdict::Unknown);
}

#[test]
fn the_control_plane_listens_on_its_own_ports_and_on_the_node_itself() {
    let with = |component, addresses: &[&str]| {
        of("X-NET-01", |node| {
            let listener = |text: &&str| Listener {
                component,
                address: text.parse().unwrap(),
            };
            node.host.listeners = Fact::Known(addresses.iter().map(listener).collect());
        })
    };
    let (api_server, etcd) = (Some(Component::ApiServer), Some(Component::Etcd));
    let scheduler = Some(Component::Scheduler);
    for (component, addresses, bad) in [
        (api_server, ["[::]:6443", "127.0.0.1:9"], None),
        (api_server, ["[::]:6443", "0.0.0.0:8080"], Some("0.0.0.0:8080")),
        (
            api_server,
            ["[::]:6443", "127.0.0.1:8080"],
            Some("127.0.0.1:8080"),
        ),
        (etcd, ["192.0.2.10:2379", "192.0.2.10:2380"], None),
        (
            etcd,
            ["127.0.0.1:2381", "192.0.2.10:2381"],
            Some("192.0.2.10:2381"),
        ),
        (scheduler, ["127.0.0.1:10259", "[::1]:10259"], None),
        (scheduler, ["127.0.0.1:10259", "[::]:10259"], Some("[::]:10259")),
        (None, ["[::]:10250", "127.0.0.1:10248"], None),
        (None, ["[::]:10250", "[::]:10255"], Some("[::]:10255")),
    ] {
        let found = with(component, &addresses);
        assert_eq!(drifts(&found), Vec::from_iter(bad), "{component:?} {addresses:?}");
    }
    let unknown = of("X-NET-01", |node| {
        node.host.listeners = Fact::unknown("cannot read it");
    });
    assert_eq!(unknown.verdict, Verdict::Unknown);
}

#[test]
fn sshd_is_a_matter_of_workers_alone() {
    let link = "/etc/systemd/system/multi-user.target.wants/ssh.service";
    let with = |is_worker: bool, fact: Fact<FileFacts>| {
        of("X-NET-02", |node| {
            node.host.ssh_links = Fact::Known([(path(link), fact)].into());
            if is_worker {
                node.manifests
                    .values_mut()
                    .for_each(|manifest| *manifest = Fact::Absent);
            }
        })
        .verdict
    };
    let there = || Fact::Known(facts(link, FileKind::Symlink, 0o777));
    assert_eq!(with(false, there()), Verdict::NotApplicable);
    assert_eq!(with(true, there()), Verdict::Drift);
    assert_eq!(with(true, Fact::Absent), Verdict::Pass);
    assert_eq!(with(true, Fact::unknown("x")), Verdict::Unknown);
}
