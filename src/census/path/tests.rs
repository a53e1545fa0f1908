use super::*;

fn paths() -> Paths {
    Paths::new("/registry").unwrap()
}

fn resource(text: &str) -> GroupResource {
    let (resource, group) = text.split_once('.').unwrap_or((text, ""));
    GroupResource {
        resource: resource.to_owned(),
        group: group.to_owned(),
    }
}

fn object(of: &str, namespace: &str, name: &str) -> Place {
    Place::Object(ObjectRef {
        resource: resource(of),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        name: name.to_owned(),
    })
}

/// As `test/integration/etcd/data.go` of Kubernetes expects them.
const EXPECTED: &[(&str, &str, &str, &str)] = &[
    ("secrets/kube-system/a", "secrets", "kube-system", "a"),
    ("configmaps/ns/cm1", "configmaps", "ns", "cm1"),
    ("services/specs/ns/service1", "services", "ns", "service1"),
    ("services/endpoints/ns/ep1name", "endpoints", "ns", "ep1name"),
    ("minions/node1", "nodes", "", "node1"),
    ("namespaces/namespace1", "namespaces", "", "namespace1"),
    ("persistentvolumes/pv1name", "persistentvolumes", "", "pv1name"),
    ("events/ns/event1", "events", "ns", "event1"),
    ("controllers/ns/rc1", "replicationcontrollers", "ns", "rc1"),
    (
        "deployments/ns/deployment4",
        "deployments.apps",
        "ns",
        "deployment4",
    ),
    ("leases/ns/leasev1", "leases.coordination.k8s.io", "ns", "leasev1"),
    (
        "endpointslices/ns/slicev1",
        "endpointslices.discovery.k8s.io",
        "ns",
        "slicev1",
    ),
    (
        "ingress/ns/ingress3",
        "ingresses.networking.k8s.io",
        "ns",
        "ingress3",
    ),
    (
        "ipaddresses/192.168.2.3",
        "ipaddresses.networking.k8s.io",
        "",
        "192.168.2.3",
    ),
    (
        "servicecidrs/range-b2",
        "servicecidrs.networking.k8s.io",
        "",
        "range-b2",
    ),
    (
        "clustertrustbundles/example.com:signer:abc",
        "clustertrustbundles.certificates.k8s.io",
        "",
        "example.com:signer:abc",
    ),
    (
        "roles/ns/system:controller:a",
        "roles.rbac.authorization.k8s.io",
        "ns",
        "system:controller:a",
    ),
    ("podsecuritypolicy/psp2", "podsecuritypolicies.policy", "", "psp2"),
    (
        "apiregistration.k8s.io/apiservices/v1.foo.com",
        "apiservices.apiregistration.k8s.io",
        "",
        "v1.foo.com",
    ),
    (
        "apiextensions.k8s.io/customresourcedefinitions/foos.cr.bar.com",
        "customresourcedefinitions.apiextensions.k8s.io",
        "",
        "foos.cr.bar.com",
    ),
    ("cr.bar.com/foos/ns/cr1foo", "foos.cr.bar.com", "ns", "cr1foo"),
    (
        "custom.fancy.com/pants/cr2pant",
        "pants.custom.fancy.com",
        "",
        "cr2pant",
    ),
    (
        "snapshot.storage.k8s.io/volumesnapshots/ns/s",
        "volumesnapshots.snapshot.storage.k8s.io",
        "ns",
        "s",
    ),
];

#[test]
fn a_key_is_the_object_that_kubernetes_keeps_there() {
    for (path, of, namespace, name) in EXPECTED {
        assert_eq!(
            paths().place(format!("/registry/{path}")),
            object(of, namespace, name),
            "{path}"
        );
    }
}

#[test]
fn what_has_no_endpoint_is_a_class_of_its_own_with_reason_and_remedy() {
    let table = [
        (
            "masterleases/192.0.2.1",
            NoEndpoint::ApiServerLeases,
            "apiserveripinfo",
        ),
        (
            "peerserverleases/apiserver-a",
            NoEndpoint::PeerLeases,
            "apiserverpeeripinfo",
        ),
        (
            "ranges/serviceips",
            NoEndpoint::ServiceAddresses,
            "serviceipallocations",
        ),
        (
            "ranges/secondaryserviceips",
            NoEndpoint::ServiceAddresses,
            "serviceipallocations",
        ),
        (
            "ranges/servicenodeports",
            NoEndpoint::NodePorts,
            "servicenodeportallocations",
        ),
    ];
    for (path, class, name) in table {
        assert_eq!(
            paths().place(format!("/registry/{path}")),
            Place::NoEndpoint(class)
        );
        assert_eq!(class.resource(), resource(name));
        assert!(!class.reason().is_empty() && !class.remedy().is_empty());
    }
}

#[test]
fn what_is_not_known_is_never_taken_for_an_object() {
    let table = [
        ("/registry/health", "health"),
        ("/registry/widgets/ns/a", "widgets"),
        ("/registry/secrets/a", "secrets"),
        ("/registry/secrets/a/b/c", "secrets"),
        ("/registry/secrets//b", "secrets"),
        ("/registry/minions/a/b", "minions"),
        ("/registry/services/a/b", "services"),
        ("/registry/cr.bar.com/foos/a/b/c", "cr.bar.com/foos"),
        ("/registry/cr.bar.com/foos", "cr.bar.com/foos"),
        ("/registry/", ""),
        ("/elsewhere/secrets/a/b", "/elsewhere/secrets"),
        ("/registry2/secrets/a/b", "/registry2/secrets"),
        ("compact_rev_key", "compact_rev_key"),
    ];
    for (key, words) in table {
        assert_eq!(paths().place(key), Place::Unmapped(words.to_owned()), "{key}");
    }
}

#[test]
fn a_key_that_is_no_text_is_unmapped() {
    assert_eq!(
        paths().place(b"/registry/secrets/a/\xff"),
        Place::Unmapped("a key that is no text".to_owned())
    );
}

#[test]
fn a_resource_of_a_newer_server_is_learnt_and_the_table_stays() {
    let mut paths = paths();
    paths.learn(resource("widgets.new.k8s.io"), Scope::Namespaced);
    paths.learn(resource("secrets"), Scope::Cluster);
    paths.learn(resource("secrets.new.k8s.io"), Scope::Cluster);
    assert_eq!(
        paths.place("/registry/widgets/ns/a"),
        object("widgets.new.k8s.io", "ns", "a")
    );
    assert_eq!(
        paths.place("/registry/secrets/ns/a"),
        object("secrets", "ns", "a")
    );
    let prefixes = |text: &str| paths.prefixes_for(&ResourcePattern::parse(text).unwrap());
    assert!(prefixes("*.new.k8s.io").contains(&"/registry/widgets/".to_owned()));
    // It may be a custom one all the same.
    assert_eq!(
        prefixes("widgets.new.k8s.io"),
        ["/registry/new.k8s.io/widgets/", "/registry/widgets/"]
    );
}

#[test]
fn a_server_is_asked_for_what_the_table_may_lack() {
    let groups = |texts: &[&str]| {
        let patterns: Vec<ResourcePattern> = texts
            .iter()
            .map(|text| ResourcePattern::parse(text).unwrap())
            .collect();
        let groups = paths().to_learn(&patterns);
        groups.map(|groups| groups.into_iter().collect::<Vec<_>>())
    };
    let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(groups(&["secrets", "configmaps", "deployments.apps"]), some(&[]));
    assert_eq!(
        groups(&[
            "*.",
            "*.apps",
            "*.cr.bar.com",
            "widgets.new.k8s.io",
            "foos.bar.com"
        ]),
        some(&["", "apps", "new.k8s.io"])
    );
    assert_eq!(groups(&["secrets", "*.*"]), None);
}

#[test]
fn another_prefix_is_cleaned_as_the_server_does_and_an_odd_one_refused() {
    let prefix = |text: &str| Paths::new(text).map(|paths| paths.prefix().to_owned());
    for text in ["/registry", "registry", "/registry/", "//registry//"] {
        assert_eq!(prefix(text), Ok("/registry/".to_owned()), "{text}");
    }
    assert_eq!(prefix("/a/b"), Ok("/a/b/".to_owned()));
    assert_eq!(prefix(""), Ok("/".to_owned()));
    assert_eq!(prefix("/a/../b"), Err(InvalidPrefix("/a/../b".to_owned())));
    let paths = Paths::new("/a/b").unwrap();
    assert_eq!(paths.place("/a/b/secrets/ns/x"), object("secrets", "ns", "x"));
}

#[test]
fn the_prefixes_of_a_pattern_hold_all_that_it_covers() {
    let prefixes = |pattern: &str| paths().prefixes_for(&ResourcePattern::parse(pattern).unwrap());
    assert_eq!(prefixes("secrets"), ["/registry/secrets/"]);
    assert_eq!(prefixes("services"), ["/registry/services/specs/"]);
    assert_eq!(prefixes("ingresses.networking.k8s.io"), ["/registry/ingress/"]);
    assert_eq!(prefixes("foos.cr.bar.com"), ["/registry/cr.bar.com/foos/"]);
    assert_eq!(
        prefixes("widgets.new.k8s.io"),
        ["/registry/new.k8s.io/widgets/", "/registry/widgets/"]
    );
    assert_eq!(prefixes("widgets.apps"), ["/registry/widgets/"]);
    assert_eq!(prefixes("*.batch"), ["/registry/cronjobs/", "/registry/jobs/"]);
    assert_eq!(
        prefixes("*.policy"),
        ["/registry/poddisruptionbudgets/", "/registry/podsecuritypolicy/"]
    );
    assert_eq!(prefixes("*.cr.bar.com"), ["/registry/cr.bar.com/"]);
    assert_eq!(
        prefixes("*.coordination.k8s.io"),
        [
            "/registry/coordination.k8s.io/",
            "/registry/leasecandidates/",
            "/registry/leases/"
        ]
    );
    assert_eq!(prefixes("*.*"), ["/registry/"]);
    let core = prefixes("*.");
    for path in [
        "secrets/",
        "services/specs/",
        "minions/",
        "masterleases/",
        "ranges/serviceips",
        "ranges/servicenodeports",
    ] {
        assert!(core.contains(&format!("/registry/{path}")), "{path}");
    }
    assert!(!core.contains(&"/registry/deployments/".to_owned()));
}

/// Each row of the table, and each class without an endpoint, is found again by its own pattern.
#[test]
fn every_known_place_lies_in_the_spans_of_what_covers_it() {
    let paths = paths();
    for (path, (of, scope)) in &paths.resources {
        let key = match scope {
            Scope::Cluster => format!("/registry/{path}/name"),
            Scope::Namespaced => format!("/registry/{path}/ns/name"),
        };
        let Place::Object(found) = paths.place(&key) else {
            panic!("{key} is unmapped")
        };
        assert_eq!(found.resource, *of);
        for pattern in [
            ResourcePattern::Exact(of.clone()),
            ResourcePattern::Group(of.group.clone()),
            ResourcePattern::All,
        ] {
            assert!(pattern.covers(of));
            let spans = paths.spans(std::slice::from_ref(&pattern));
            assert!(
                spans.iter().any(|span| span.contains(key.as_bytes())),
                "{key} by {pattern}"
            );
        }
    }
}

#[test]
fn what_is_left_of_spans_has_no_key_of_the_others() {
    let of = |texts: &[&str]| texts.iter().map(|text| Span::prefix(text)).collect::<Vec<_>>();
    let whole = of(&["/registry/"]);
    assert_eq!(Span::without(&whole, &[]), whole);
    assert_eq!(Span::without(&whole, &whole), []);
    assert_eq!(Span::without(&whole, &of(&["/other/", "/zzz/"])), whole);
    let holes = of(&["/registry/configmaps/", "/registry/secrets/"]);
    let left = Span::without(&whole, &holes);
    assert_eq!(left.len(), 3);
    for (key, is_left) in [
        ("/registry/apps", true),
        ("/registry/configmaps/a/b", false),
        ("/registry/configmaps0", true),
        ("/registry/pods/a/b", true),
        ("/registry/secrets/a/b", false),
        ("/registry/widgets/a", true),
        ("/registry0", false),
    ] {
        let found = left.iter().any(|span| span.contains(key.as_bytes()));
        assert_eq!(found, is_left, "{key}");
    }
    assert_eq!(Span::without(&holes, &whole), []);
}

#[test]
fn what_a_more_exact_pattern_takes_is_not_in_the_spans_of_a_wider_one() {
    let patterns = |texts: &[&str]| {
        let all = texts.iter().map(|text| ResourcePattern::parse(text).unwrap());
        all.collect::<Vec<_>>()
    };
    let spans = paths().spans_beside(
        &patterns(&["*.*", "deployments.apps"]),
        &patterns(&["events", "*.apps", "foos.cr.bar.com", "widgets.new.k8s.io"]),
    );
    for (key, is_in) in [
        ("/registry/secrets/a/b", true),
        ("/registry/events/a/b", false),
        ("/registry/events0", true),
        ("/registry/deployments/a/b", true),
        ("/registry/daemonsets/a/b", false),
        ("/registry/cr.bar.com/foos/a/b", false),
        ("/registry/cr.bar.com/others/a/b", true),
        ("/registry/new.k8s.io/widgets/a", false),
        // It could be another resource's.
        ("/registry/widgets/a", true),
    ] {
        let found = spans.iter().any(|span| span.contains(key.as_bytes()));
        assert_eq!(found, is_in, "{key}");
    }
    for pair in spans.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{pair:?}");
    }
    let same = patterns(&["events", "*."]);
    assert_eq!(paths().spans_beside(&same[..1], &same), paths().spans(&same[..1]));
}

#[test]
fn spans_are_disjoint_and_in_order() {
    let spans = |patterns: &[&str]| {
        let patterns: Vec<ResourcePattern> = patterns
            .iter()
            .map(|text| ResourcePattern::parse(text).unwrap())
            .collect();
        paths().spans(&patterns)
    };
    assert_eq!(
        spans(&["secrets", "configmaps", "secrets"]),
        [
            Span::prefix("/registry/configmaps/"),
            Span::prefix("/registry/secrets/")
        ]
    );
    assert_eq!(spans(&["secrets", "*.*"]), [Span::prefix("/registry/")]);
    assert_eq!(
        spans(&["foos.cr.bar.com", "*.cr.bar.com"]),
        [Span::prefix("/registry/cr.bar.com/")]
    );
    let core = spans(&["*.", "secrets"]);
    for pair in core.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{pair:?}");
    }
    let range = core
        .iter()
        .find(|span| span.contains(b"/registry/ranges/serviceips"))
        .unwrap();
    assert!(!range.contains(b"/registry/ranges/serviceips2"));
}
