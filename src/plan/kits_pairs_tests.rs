//! Remedies of flags that need a certificate, a key or the operator's word: refused with the reason while it is missing, and made in one edit
//! when it is there.

use super::super::change::{Deed, Plan};
use super::super::fixtures::{facts, manifest_text, path, ready_to_restart, replace_manifest, run_manifest};
use super::tests::plan;
use super::*;
use crate::domain::{FileKind, Kubeconfig, Pair, PairFacts};
use crate::manifest::unified_diff;

/// A control, what it asks of the operator, its component, and the lines of the manifest that are replaced.
struct Case {
    control: &'static str,
    conditional: bool,
    component: Component,
    from: &'static [&'static str],
    to: &'static [&'static str],
    /// The lines that its edit takes away and adds.
    mended: &'static [&'static str],
}

const API: Component = Component::ApiServer;
const ETCD: Component = Component::Etcd;

const CASES: &[Case] = &[
    Case {
        control: "CIS-1.2.2",
        conditional: true,
        component: API,
        from: &[],
        to: &["--token-auth-file=/etc/kubernetes/pki/tokens.csv"],
        mended: &["---token-auth-file=/etc/kubernetes/pki/tokens.csv"],
    },
    Case {
        control: "CIS-1.2.4",
        conditional: false,
        component: API,
        from: &[
            "--kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt",
            "--kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key",
        ],
        to: &[],
        mended: &[
            "+--kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt",
            "+--kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key",
        ],
    },
    Case {
        control: "CIS-1.2.22",
        conditional: true,
        component: API,
        from: &["--service-account-key-file=/etc/kubernetes/pki/sa.pub"],
        to: &[],
        mended: &["+--service-account-key-file=/etc/kubernetes/pki/sa.pub"],
    },
    Case {
        control: "CIS-1.2.23",
        conditional: false,
        component: API,
        from: &["--etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key"],
        to: &[],
        mended: &["+--etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key"],
    },
    Case {
        control: "CIS-1.2.24",
        conditional: false,
        component: API,
        from: &["--tls-cert-file=/etc/kubernetes/pki/apiserver.crt"],
        to: &[],
        mended: &["+--tls-cert-file=/etc/kubernetes/pki/apiserver.crt"],
    },
    Case {
        control: "CIS-1.3.6",
        conditional: false,
        component: Component::ControllerManager,
        from: &[],
        to: &["--feature-gates=A=true,RotateKubeletServerCertificate=false"],
        mended: &[
            "---feature-gates=A=true,RotateKubeletServerCertificate=false",
            "+--feature-gates=A=true",
        ],
    },
    Case {
        control: "CIS-1.3.7",
        conditional: true,
        component: Component::ControllerManager,
        from: &["--bind-address=127.0.0.1"],
        to: &["--bind-address=0.0.0.0"],
        mended: &["---bind-address=0.0.0.0", "+--bind-address=127.0.0.1"],
    },
    Case {
        control: "CIS-1.4.2",
        conditional: true,
        component: Component::Scheduler,
        from: &["--bind-address=127.0.0.1"],
        to: &["--bind-address=::0"],
        mended: &[
            "---bind-address=::0",
            "+--bind-address=::1",
            "-host: 127.0.0.1",
            "+host: ::1",
        ],
    },
    Case {
        control: "CIS-2.1",
        conditional: true,
        component: ETCD,
        from: &[
            "--cert-file=/etc/kubernetes/pki/etcd/server.crt",
            "--key-file=/etc/kubernetes/pki/etcd/server.key",
        ],
        to: &[],
        mended: &[
            "+--cert-file=/etc/kubernetes/pki/etcd/server.crt",
            "+--key-file=/etc/kubernetes/pki/etcd/server.key",
        ],
    },
    Case {
        control: "CIS-2.2",
        conditional: true,
        component: ETCD,
        from: &[
            "--client-cert-auth=true",
            "--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
        ],
        to: &[],
        mended: &[
            "+--client-cert-auth=true",
            "+--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
        ],
    },
    Case {
        control: "CIS-2.3",
        conditional: true,
        component: ETCD,
        from: &[],
        to: &["--auto-tls=true"],
        mended: &["---auto-tls=true", "+--auto-tls=false"],
    },
    Case {
        control: "CIS-2.4",
        conditional: true,
        component: ETCD,
        from: &["--peer-key-file=/etc/kubernetes/pki/etcd/peer.key"],
        to: &[],
        mended: &["+--peer-key-file=/etc/kubernetes/pki/etcd/peer.key"],
    },
    Case {
        control: "CIS-2.5",
        conditional: true,
        component: ETCD,
        from: &["--peer-client-cert-auth=true"],
        to: &["--peer-client-cert-auth=false"],
        mended: &["---peer-client-cert-auth=false", "+--peer-client-cert-auth=true"],
    },
    Case {
        control: "CIS-2.6",
        conditional: true,
        component: ETCD,
        from: &[],
        to: &["--peer-auto-tls=true"],
        mended: &["---peer-auto-tls=true", "+--peer-auto-tls=false"],
    },
    Case {
        control: "X-API-06",
        conditional: true,
        component: API,
        from: &[],
        to: &[
            "--feature-gates=AllAlpha=true",
            "--runtime-config=api/alpha=true,x/v1=true",
        ],
        mended: &[
            "---feature-gates=AllAlpha=true",
            "---runtime-config=api/alpha=true,x/v1=true",
            "+--runtime-config=x/v1=true",
        ],
    },
    Case {
        control: "X-API-11",
        conditional: true,
        component: API,
        from: &["--allow-privileged=true"],
        to: &[
            "--allow-privileged=false",
            "--allow-privileged=true",
            "--feature-gates=A=true",
            "--feature-gates=B=false",
            "--of-whatever-kind=1",
            "--of-whatever-kind=2",
        ],
        mended: &[
            "---allow-privileged=false",
            "---feature-gates=A=true",
            "---feature-gates=B=false",
            "+--feature-gates=A=true,B=false",
        ],
    },
    Case {
        control: "X-ETCD-03",
        conditional: true,
        component: ETCD,
        from: &["--listen-metrics-urls=http://127.0.0.1:2381"],
        to: &["--listen-metrics-urls=http://0.0.0.0:2381"],
        mended: &[
            "---listen-metrics-urls=http://0.0.0.0:2381",
            "+--listen-metrics-urls=http://127.0.0.1:2381",
        ],
    },
    Case {
        control: "X-ETCD-04",
        conditional: true,
        component: ETCD,
        from: &["--peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt"],
        to: &[],
        mended: &["+--peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt"],
    },
    Case {
        control: "X-ETCD-06",
        conditional: true,
        component: ETCD,
        from: &[],
        to: &["--cipher-suites=TLS_RSA_WITH_RC4_128_SHA,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
        mended: &[
            "---cipher-suites=TLS_RSA_WITH_RC4_128_SHA,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "+--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        ],
    },
];

fn pair(object: &str, tokens: bool) -> Pair {
    Pair {
        object: object.to_owned(),
        wanted: Vec::new(),
        authority: Fact::Absent,
        tokens,
        found: Fact::Known(PairFacts {
            subject: "CN=node1".to_owned(),
            fits: true,
            issued: Fact::Known(true),
            lacks: Vec::new(),
            names: ["192.0.2.11", "node1", "lb.example"].map(str::to_owned).to_vec(),
        }),
    }
}

/// A node that may be restarted, and on which all that the case needs is there.
fn node(case: &Case) -> Observation {
    let mut node = ready_to_restart();
    let mut text = manifest_text(case.component).to_owned();
    for line in case.from {
        let line = format!("    - {line}\n");
        assert!(text.contains(&line), "{}: {line}", case.control);
        text = text.replace(&line, "");
    }
    let lines: String = case.to.iter().map(|line| format!("    - {line}\n")).collect();
    let text = text.replacen("    image:", &format!("{lines}    image:"), 1);
    run_manifest(&mut node, case.component, &text);
    for line in case.mended.iter().chain(case.to) {
        if let Some((_, value)) = line.split_once('=')
            && value.starts_with("/etc/")
        {
            let fact = facts(value, FileKind::Regular, 0o600);
            node.files.insert(path(value), Fact::Known(fact));
        }
    }
    let pairs: Vec<Pair> = [
        "kube-apiserver --tls-cert-file",
        "kube-apiserver --kubelet-client-certificate",
        "kube-apiserver --etcd-certfile",
        "etcd --cert-file",
        "etcd --peer-cert-file",
    ]
    .map(|object| pair(object, false))
    .into_iter()
    .chain([pair(
        "kube-controller-manager --service-account-private-key-file",
        true,
    )])
    .collect();
    node.host.pairs_to_be = Fact::Known([(Some(case.component), pairs)].into());
    let admin = Kubeconfig {
        servers: [
            "https://192.0.2.11:6443".to_owned(),
            "https://lb.example:6443".to_owned(),
        ]
        .into(),
        ..Kubeconfig::default()
    };
    node.host.kubeconfigs = Fact::Known([(path("/etc/kubernetes/admin.conf"), Fact::Known(admin))].into());
    node
}

fn of(control: &str) -> &'static Case {
    CASES.iter().find(|case| case.control == control).unwrap()
}

/// The plan that mends that control alone.
fn planned_for(case: &Case, allow: bool, node: &Observation) -> Plan {
    let conditional = if case.conditional && allow {
        ", conditional: allow"
    } else {
        ""
    };
    let text = format!(
        "controls:\n  {}: {{ mode: enforce{conditional} }}\n",
        case.control
    );
    plan(&text, node)
}

fn edited(case: &Case, plan: &Plan) -> Vec<String> {
    let edits = plan.changes.iter().filter_map(|change| {
        let Deed::EditManifest(edit) = &change.deed else {
            return None;
        };
        (edit.component == case.component).then_some(edit)
    });
    let edits: Vec<_> = edits.collect();
    let [edit] = edits.as_slice() else {
        panic!("{}: {:#?}", case.control, plan.withheld)
    };
    let diff = unified_diff("m", &edit.before, &edit.after);
    let lines = diff.lines().skip(2).filter(|line| line.starts_with(['+', '-']));
    let mut lines: Vec<String> = lines
        .map(|line| {
            let (sign, text) = line.split_at(1);
            format!("{sign}{}", text.trim().trim_start_matches("- "))
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

fn why_not(case: &Case, plan: &Plan) -> String {
    assert!(plan.changes.is_empty(), "{}: {:#?}", case.control, plan.changes);
    let of = |held: &&Withheld| held.controls.iter().any(|id| id.as_str() == case.control);
    let held = plan.withheld.iter().find(of).unwrap();
    format!("{}: {}", held.reason.kind(), held.reason)
}

#[test]
fn each_is_mended_by_one_edit_of_these_lines() {
    for case in CASES {
        let mut expected: Vec<String> = case.mended.iter().map(|line| (*line).to_owned()).collect();
        expected.sort();
        let plan = planned_for(case, true, &node(case));
        assert_eq!(edited(case, &plan), expected, "{}", case.control);
    }
}

#[test]
fn without_the_operators_word_those_that_ask_for_it_are_only_reported() {
    for case in CASES.iter().filter(|case| case.conditional) {
        let why = why_not(case, &planned_for(case, false, &node(case)));
        assert!(
            why.starts_with("needs-operator: ") && why.contains("`conditional: allow`"),
            "{}: {why}",
            case.control
        );
    }
}

#[test]
fn a_pair_that_does_not_fit_is_not_named_by_a_flag() {
    let spoilt = |control: &str, spoil: fn(&mut PairFacts)| {
        let case = of(control);
        let mut node = node(case);
        if let Fact::Known(pairs) = &mut node.host.pairs_to_be {
            for pair in pairs.values_mut().flatten() {
                if let Fact::Known(facts) = &mut pair.found {
                    spoil(facts);
                }
            }
        }
        why_not(case, &planned_for(case, true, &node))
    };
    for control in [
        "CIS-1.2.4",
        "CIS-1.2.22",
        "CIS-1.2.23",
        "CIS-1.2.24",
        "CIS-2.1",
        "CIS-2.2",
        "CIS-2.3",
        "CIS-2.4",
        "CIS-2.5",
        "CIS-2.6",
        "X-ETCD-04",
    ] {
        let why = spoilt(control, |facts| facts.fits = false);
        assert!(why.starts_with("not-ready: "), "{control}: {why}");
        let unread = {
            let case = of(control);
            let mut node = node(case);
            node.host.pairs_to_be = Fact::unknown("it was not asked");
            why_not(case, &planned_for(case, true, &node))
        };
        assert_eq!(unread, "not-ready: certificates: it was not asked", "{control}");
    }
    let foreign = spoilt("CIS-1.2.4", |facts| facts.issued = Fact::Known(false));
    assert!(foreign.contains("by another authority"), "{foreign}");
    let elsewhere = spoilt("CIS-1.2.24", |facts| facts.names = vec!["node9".to_owned()]);
    assert!(elsewhere.contains("is not for 192.0.2.11"), "{elsewhere}");
    let balanced = spoilt("CIS-1.2.24", |facts| facts.names = vec!["192.0.2.11".to_owned()]);
    assert!(balanced.contains("is not for lb.example"), "{balanced}");
    for control in ["CIS-1.2.23", "CIS-1.2.24", "CIS-2.1", "CIS-2.2", "CIS-2.4"] {
        let alone = spoilt(control, |facts| facts.issued = Fact::Absent);
        assert!(alone.contains("which authority"), "{control}: {alone}");
    }
}

#[test]
fn a_file_that_is_not_there_is_not_named_by_a_flag() {
    for (control, file) in [
        ("CIS-1.2.4", "/etc/kubernetes/pki/apiserver-kubelet-client.key"),
        ("CIS-1.2.22", "/etc/kubernetes/pki/sa.pub"),
        ("CIS-2.1", "/etc/kubernetes/pki/etcd/server.crt"),
    ] {
        let case = of(control);
        let mut node = node(case);
        node.files.insert(path(file), Fact::Absent);
        let why = why_not(case, &planned_for(case, true, &node));
        assert!(why.contains(file), "{why}");
    }
}

#[test]
fn beside_a_file_of_somebody_elses_making_the_other_half_is_not_guessed() {
    let case = Case {
        from: &[
            "--etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt",
            "--etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key",
        ],
        to: &["--etcd-certfile=/etc/kubernetes/pki/ours.crt"],
        mended: &[],
        ..*of("CIS-1.2.23")
    };
    let why = why_not(&case, &planned_for(&case, true, &node(&case)));
    assert!(why.starts_with("needs-operator: "), "{why}");
}

#[test]
fn with_other_members_etcd_is_left_to_the_operator() {
    for control in ["CIS-2.1", "CIS-2.4", "CIS-2.5", "X-ETCD-04"] {
        let case = of(control);
        let mut node = node(case);
        let Some(Fact::Known(manifest)) = node.manifests.get(&ETCD) else {
            panic!("it is there")
        };
        let text = manifest.text.clone();
        let alone = text
            .lines()
            .find(|line| line.contains("--initial-cluster="))
            .unwrap();
        let text = text.replace(alone, &format!("{alone},node2=https://192.0.2.12:2380"));
        replace_manifest(&mut node, ETCD, &text);
        let why = why_not(case, &planned_for(case, true, &node));
        assert!(why.contains("etcd has 2 members"), "{control}: {why}");
    }
}

#[test]
fn a_flag_that_another_control_gives_a_value_is_not_folded_to_the_one_that_counted() {
    let case = Case {
        from: &[],
        to: &["--profiling=false", "--profiling=true"],
        mended: &["---profiling=false", "---profiling=true", "+--profiling=false"],
        ..*of("X-API-11")
    };
    let text =
        "controls:\n  X-API-11: { mode: enforce, conditional: allow }\n  CIS-1.2.15: { mode: enforce }\n";
    let lines = edited(&case, &plan(text, &node(&case)));
    assert!(lines.contains(&"---profiling=true".to_owned()), "{lines:?}");
    assert!(!lines.contains(&"+--profiling=true".to_owned()), "{lines:?}");
}

/// What is only wanted of the API server may never come: etcd would refuse it for good.
#[test]
fn etcd_asks_for_certificates_only_when_the_api_server_runs_with_one() {
    let case = of("CIS-2.2");
    let mut node = node(case);
    let bare = manifest_text(API).replace(
        "    - --etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt\n",
        "",
    );
    let bare = bare.replace(
        "    - --etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key\n",
        "",
    );
    run_manifest(&mut node, API, &bare);
    let text =
        "controls:\n  CIS-2.2: { mode: enforce, conditional: allow }\n  CIS-1.2.23: { mode: enforce }\n";
    let plan = plan(text, &node);
    let touches_etcd = |change: &Change| change.restarts() == Some(ETCD);
    assert!(!plan.changes.iter().any(touches_etcd), "{:#?}", plan.changes);
    let of = |held: &&Withheld| held.controls.iter().any(|id| id.as_str() == "CIS-2.2");
    let why = plan.withheld.iter().find(of).unwrap().reason.to_string();
    assert!(why.contains("runs without --etcd-certfile"), "{why}");
}

#[test]
fn probes_of_another_port_or_of_several_addresses_are_left_to_the_operator() {
    for (value, words) in [
        ("http://0.0.0.0:2399", "the probes ask port 2381"),
        ("https://192.0.2.11:2382,http://0.0.0.0:2381", "several addresses"),
    ] {
        let line: &'static str = Box::leak(format!("--listen-metrics-urls={value}").into_boxed_str());
        let case = Case {
            to: Box::leak(Box::new([line])),
            mended: &[],
            ..*of("X-ETCD-03")
        };
        let why = why_not(&case, &planned_for(&case, true, &node(&case)));
        assert!(why.contains(words), "{why}");
    }
}
