//! Rewriting through the API, with Holdfast's own client and engine, against an API server on the loopback.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test fails loudly, and has files and clocks"
)]

#[path = "world/api_server.rs"]
mod api_server;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use api_server::{ApiServer, Fault, TOP_SECRET, status};
use holdfast::adapters::api::{
    self, Address, Api, ApiError, Ending, Job, Lease, ObjectMeta, Orders, Readiness, Report, Served,
};
use holdfast::adapters::files::Files;
use holdfast::census::Scope;
use holdfast::domain::{Fact, GroupResource, NodePath, Owner};
use holdfast::rewrite::{Bounds, Brake, Cause, Outcome, Progress, Room, Target, Waiting};
use tokio::sync::{mpsc, watch};

const DEADLINE: Duration = Duration::from_secs(2);
const SECRETS: &str = "/api/v1/namespaces/default/secrets/";

fn files(root: &Path) -> Files {
    let facts = std::fs::metadata(root).expect("a folder");
    Files::at(root).expect("a folder").taking_for_root(Owner {
        uid: facts.uid(),
        gid: facts.gid(),
    })
}

fn open(kubeconfig: &str, server: &ApiServer, name: &str, timeout: Duration) -> Result<Api, ApiError> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("admin.conf"), kubeconfig).expect("written");
    let path: NodePath = "/admin.conf".parse().expect("a path");
    let address = Address {
        ip: server.address().ip(),
        port: server.address().port(),
        name: name.to_owned(),
    };
    Api::open(&files(folder.path()), &path, address, timeout)
}

fn client(server: &ApiServer) -> Api {
    open(server.kubeconfig(), server, "127.0.0.1", DEADLINE).expect("a kubeconfig that is right")
}

fn block_on<T>(act: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(act)
}

fn resource(resource: &str, group: &str) -> GroupResource {
    GroupResource {
        resource: resource.to_owned(),
        group: group.to_owned(),
    }
}

fn secret(name: &str) -> Target {
    Target {
        resource: resource("secrets", ""),
        namespace: Some("default".to_owned()),
        name: name.to_owned(),
        uid: None,
        seen: None,
        bytes: 1_000,
    }
}

fn secrets_served() -> Served {
    Served {
        version: "v1".to_owned(),
        namespaced: true,
        patchable: true,
    }
}

/// The outcome of one no-op write.
fn patched(api: &Api, target: &Target, seen_at: u64) -> Result<Outcome, String> {
    block_on(async {
        let mut connection = None;
        api::patch(api, &mut connection, &secrets_served(), target, seen_at)
            .await
            .map_err(|error| error.to_string())
    })
}

#[test]
fn a_stale_object_is_rewritten_once_and_no_data_of_it_is_asked_for() {
    let server = ApiServer::start();
    server.store(&format!("{SECRETS}a"), true);
    let api = client(&server);
    let seen_at = server.revision();
    let rewritten = Outcome::Rewritten {
        resource_version: seen_at + 1,
    };
    assert_eq!(patched(&api, &secret("a"), seen_at), Ok(rewritten));
    assert_eq!(patched(&api, &secret("a"), server.revision()), Ok(Outcome::Fresh));
    assert_eq!((server.stale(), server.revision()), (0, seen_at + 1));
    assert_eq!(
        server.requests(),
        [format!("PATCH {SECRETS}a"), format!("PATCH {SECRETS}a")]
    );
}

#[test]
fn an_object_that_is_gone_or_another_one_is_not_touched() {
    let server = ApiServer::start();
    server.store(&format!("{SECRETS}a"), true);
    let api = client(&server);
    assert_eq!(patched(&api, &secret("b"), 0), Ok(Outcome::Gone));
    let uid = |uid: &str| Target {
        uid: Some(uid.to_owned()),
        ..secret("a")
    };
    assert_eq!(patched(&api, &uid("uid-of-another"), 0), Ok(Outcome::Conflict));
    // Nor is what somebody has written since it was seen.
    let seen = |revision| Target {
        seen: Some(revision),
        ..uid("uid-a")
    };
    let revision = server.object(&format!("{SECRETS}a")).expect("stored").revision;
    assert_eq!(patched(&api, &seen(revision + 1), 0), Ok(Outcome::Conflict));
    assert_eq!(server.stale(), 1);
    server.store(&format!("{SECRETS}c"), true);
    let again = Target {
        seen: server
            .object(&format!("{SECRETS}c"))
            .map(|object| object.revision),
        ..secret("c")
    };
    assert!(matches!(patched(&api, &again, 0), Ok(Outcome::Rewritten { .. })));
    assert!(matches!(
        patched(&api, &uid("uid-a"), 0),
        Ok(Outcome::Rewritten { .. })
    ));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of every kind")]
fn every_kind_of_refusal_and_failure_is_told_apart_and_quotes_no_answer() {
    let server = ApiServer::start();
    let path = format!("{SECRETS}a");
    server.store(&path, true);
    let api = open(
        server.kubeconfig(),
        &server,
        "127.0.0.1",
        Duration::from_millis(300),
    )
    .expect("right");
    let say = |code: u16, message: &str| Fault::Answer(code, "", status(code, "R", message, "{}"));
    let refused = |cause: Cause| Ok(Outcome::Refused { cause });
    let throttled = |seconds| {
        Ok(Outcome::Throttled {
            retry_after: Some(Duration::from_secs(seconds)),
        })
    };
    let table = [
        (say(409, "the object has been modified"), Ok(Outcome::Conflict)),
        (
            Fault::Answer(429, "Retry-After: 7\r\n", TOP_SECRET.to_owned()),
            throttled(7),
        ),
        (
            Fault::Answer(503, "Retry-After: 1\r\n", TOP_SECRET.to_owned()),
            throttled(1),
        ),
        (
            say(
                400,
                "admission webhook \"deny.example.org\" denied the request: no",
            ),
            refused(Cause::Webhook("deny.example.org".to_owned())),
        ),
        (
            say(403, "User \"u\" cannot patch resource \"secrets\""),
            refused(Cause::Forbidden),
        ),
        (
            Fault::Answer(503, "", TOP_SECRET.to_owned()),
            refused(Cause::ApiUnavailable),
        ),
        (
            say(410, "too old"),
            refused(Cause::Other {
                code: 410,
                reason: "R".to_owned(),
            }),
        ),
        (
            say(504, "gave up"),
            Ok(Outcome::Unknown {
                what: "the server gave up on it (504)".to_owned(),
            }),
        ),
        (
            Fault::Slow(Duration::from_millis(600)),
            Err("no answer within 300ms".to_owned()),
        ),
    ];
    for (fault, expected) in table {
        let case = format!("{fault:?}");
        server.inject(&path, fault);
        let outcome = patched(&api, &secret("a"), 0);
        assert!(!format!("{outcome:?}").contains(TOP_SECRET), "{outcome:?}");
        assert_eq!(outcome, expected, "{case}");
    }
    server.inject(&path, Fault::HangUp);
    let error = patched(&api, &secret("a"), 0).expect_err("no answer");
    assert!(error.starts_with("the connection broke: "), "{error}");
    assert_eq!(server.stale(), 1);
    // The object was written, the answer broke off: nobody knows, and a second look shows it.
    server.inject(&path, Fault::Cut);
    let error = patched(&api, &secret("a"), 0).expect_err("half an answer");
    assert!(error.starts_with("the connection broke: "), "{error}");
    assert_eq!(server.stale(), 0);
    assert_eq!(patched(&api, &secret("a"), server.revision()), Ok(Outcome::Fresh));
}

#[test]
fn a_server_that_is_somebody_else_gets_no_request() {
    let server = ApiServer::start();
    let other = ApiServer::start();
    server.store(&format!("{SECRETS}a"), true);
    for api in [
        open(other.kubeconfig(), &server, "127.0.0.1", DEADLINE).expect("another authority"),
        open(server.kubeconfig(), &server, "192.0.2.1", DEADLINE).expect("another name"),
    ] {
        let error = patched(&api, &secret("a"), 0).expect_err("refused");
        assert!(
            error.starts_with("the TLS handshake failed: invalid peer certificate"),
            "{error}"
        );
    }
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[test]
fn a_kubeconfig_that_does_not_verify_or_speaks_for_others_is_not_used() {
    let server = ApiServer::start();
    let refusal = |kubeconfig: String| {
        open(&kubeconfig, &server, "127.0.0.1", DEADLINE)
            .err()
            .expect("refused")
            .to_string()
    };
    let told = |why: &str| format!("/admin.conf is not used to ask the API: {why}");
    let right = server.kubeconfig();
    assert_eq!(
        refusal(right.replace(
            "  cluster:\n    server",
            "  cluster:\n    insecure-skip-tls-verify: true\n    server"
        )),
        told("it does not verify the server (insecure-skip-tls-verify)")
    );
    assert_eq!(
        refusal(right.replace("  user:\n", "  user:\n    as: somebody\n")),
        told("it impersonates somebody else")
    );
    assert_eq!(
        refusal(right.replace("client-key-data: ", "client-key-data: c2VjcmV0")),
        told("the certificate or key that it embeds is not the base64 of a PEM file")
    );
    let no_authority = right
        .lines()
        .filter(|line| !line.contains("certificate-authority-data"));
    assert_eq!(
        refusal(no_authority.collect::<Vec<_>>().join("\n")),
        told("it holds no authority (certificate-authority-data)")
    );
}

#[test]
fn resources_are_served_by_the_preferred_version_or_by_one_that_can_patch_them() {
    let server = ApiServer::start();
    server.document(
        "/apis/example.org",
        200,
        r#"{"kind":"APIGroup","versions":[{"version":"v1beta1"},{"version":"v1"}],"preferredVersion":{"version":"v1"}}"#,
    );
    server.document(
        "/apis/example.org/v1",
        200,
        r#"{"resources":[{"name":"things","namespaced":false,"verbs":["get","patch"]},{"name":"looks","namespaced":true,"verbs":["get"]}]}"#,
    );
    server.document(
        "/apis/example.org/v1beta1",
        200,
        r#"{"resources":[{"name":"things","namespaced":false,"verbs":["get","patch"]},{"name":"looks","namespaced":true,"verbs":["patch"]}]}"#,
    );
    server.document("/apis/broken.example.org", 503, TOP_SECRET);
    let asked: BTreeSet<GroupResource> = [
        resource("secrets", ""),
        resource("bindings", ""),
        resource("things", "example.org"),
        resource("looks", "example.org"),
        resource("lost", "example.org"),
        resource("x", "absent.example.org"),
        resource("x", "broken.example.org"),
    ]
    .into();
    let api = client(&server);
    let found = block_on(api::served(&api, &asked));
    let served = |version: &str, namespaced, patchable| {
        Fact::Known(Served {
            version: version.to_owned(),
            namespaced,
            patchable,
        })
    };
    let broken = format!(
        "the API server at {}, /apis/broken.example.org: it answers 503",
        server.address()
    );
    let expected: BTreeMap<GroupResource, Fact<Served>> = [
        (resource("secrets", ""), served("v1", true, true)),
        (resource("bindings", ""), served("v1", true, false)),
        (resource("things", "example.org"), served("v1", false, true)),
        (resource("looks", "example.org"), served("v1beta1", true, true)),
        (resource("lost", "example.org"), Fact::Absent),
        (resource("x", "absent.example.org"), Fact::Absent),
        (resource("x", "broken.example.org"), Fact::unknown(broken)),
    ]
    .into();
    assert_eq!(found, expected);
}

#[test]
fn the_resources_of_a_newer_server_are_listed_and_a_group_that_is_broken_is_left_out() {
    let server = ApiServer::start();
    server.document(
        "/apis",
        200,
        r#"{"kind":"APIGroupList","groups":[{"name":"new.k8s.io"},{"name":"custom.example.org"},{"name":"broken.k8s.io"}]}"#,
    );
    server.document("/apis/new.k8s.io", 200, r#"{"versions":[{"version":"v1"}]}"#);
    server.document(
        "/apis/new.k8s.io/v1",
        200,
        r#"{"resources":[{"name":"newthings","namespaced":false,"verbs":["patch"]}]}"#,
    );
    server.document("/apis/broken.k8s.io", 503, TOP_SECRET);
    let api = client(&server);
    let core = [
        (resource("bindings", ""), Scope::Namespaced),
        (resource("secrets", ""), Scope::Namespaced),
    ];
    let new = (resource("newthings", "new.k8s.io"), Scope::Cluster);
    let all: BTreeSet<_> = core.iter().cloned().chain([new.clone()]).collect();
    assert_eq!(block_on(api::listed(&api, None)), all);
    let groups = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let listed = |names: &[&str]| block_on(api::listed(&api, Some(&groups(names))));
    assert_eq!(listed(&["new.k8s.io", "broken.k8s.io", "apps"]), [new].into());
    assert_eq!(listed(&[""]), core.into());
    let asked = server.requests();
    assert_eq!(listed(&[]), BTreeSet::new());
    assert_eq!(server.requests(), asked);
}

#[test]
fn what_the_server_says_of_itself_is_read() {
    let server = ApiServer::start();
    let api = client(&server);
    server.document("/version", 200, r#"{"major":"1","gitVersion":"v1.35.4"}"#);
    assert_eq!(block_on(api::version(&api)), Fact::Known("v1.35.4".to_owned()));

    server.document(
        "/readyz?verbose",
        200,
        "[+]ping ok\n[+]etcd ok\nreadyz check passed\n",
    );
    let ready = |ready, failing: &[&str]| {
        Fact::Known(Readiness {
            ready,
            failing: failing.iter().map(|&name| name.to_owned()).collect(),
        })
    };
    assert_eq!(block_on(api::readiness(&api)), ready(true, &[]));
    server.document(
        "/readyz?verbose",
        500,
        "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n",
    );
    assert_eq!(block_on(api::readiness(&api)), ready(false, &["etcd"]));
    server.document("/readyz?verbose", 403, &status(403, "Forbidden", "no", "{}"));
    assert!(matches!(block_on(api::readiness(&api)), Fact::Unknown(_)));

    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases?labelSelector=apiserver.kubernetes.io%2Fidentity%3Dkube-apiserver&limit=500";
    assert_eq!(block_on(api::api_server_leases(&api)), Fact::Absent);
    server.document(
        leases,
        200,
        r#"{"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"apiserver-x","labels":{"kubernetes.io/hostname":"cp-1"}},"spec":{"holderIdentity":"apiserver-x_1","leaseDurationSeconds":3600,"renewTime":"2026-11-25T01:00:00.123456Z"}}]}"#,
    );
    let expected = Lease {
        name: "apiserver-x".to_owned(),
        holder: "apiserver-x_1".to_owned(),
        host: Some("cp-1".to_owned()),
        renewed: Some("2026-11-25T01:00:00.123456Z".parse().expect("a time")),
        duration_seconds: 3600,
    };
    assert_eq!(
        block_on(api::api_server_leases(&api)),
        Fact::Known(vec![expected])
    );

    server.store(&format!("{SECRETS}a"), false);
    let expected = ObjectMeta {
        uid: "uid-a".to_owned(),
        resource_version: "101".to_owned(),
        generation: None,
        deletion_timestamp: None,
    };
    let meta = |name: &str| block_on(api::object_meta(&api, &secrets_served(), &secret(name)));
    assert_eq!(meta("a"), Fact::Known(expected));
    assert_eq!(meta("b"), Fact::Absent);
}

#[test]
fn metrics_of_several_megabytes_are_read_whole_and_a_scrape_that_breaks_off_says_nothing() {
    let server = ApiServer::start();
    let api = client(&server);
    let hash = "14f9d63e669337ac6bfda2e2162915ee6a6067743eddd4e5c374b572f951ff37";
    let filler = "apiserver_request_total{code=\"200\"} 1\n".repeat(100_000);
    let text = format!(
        "{filler}apiserver_encryption_config_controller_last_config_info{{hash=\"sha256:{hash}\"}} 1\nprocess_start_time_seconds 5\n"
    );
    server.document("/metrics", 200, &text);
    let Fact::Known(metrics) = block_on(api::metrics(&api)) else {
        panic!("not read")
    };
    assert_eq!(metrics.loaded, Fact::Known(hash.parse().expect("a digest")));
    assert_eq!(metrics.started, Fact::Known(5.0));
    server.inject("/metrics", Fault::Cut);
    assert!(matches!(block_on(api::metrics(&api)), Fact::Unknown(_)));
    // Who may not see them is no reason to think that the server is away.
    server.document("/metrics", 403, "{}");
    assert_eq!(block_on(api::metrics(&api)), Fact::Absent);
    server.document("/metrics", 503, "{}");
    assert!(matches!(block_on(api::metrics(&api)), Fact::Unknown(_)));
}

/// A rewrite in the making.
struct Rewrite {
    targets: Vec<Target>,
    orders: watch::Sender<Orders>,
    progress: watch::Receiver<Progress>,
    told: watch::Sender<Progress>,
    job: Job,
}

impl Rewrite {
    fn of(server: &ApiServer, targets: Vec<Target>) -> Self {
        let (told, progress) = watch::channel(Progress::default());
        let (orders, _) = watch::channel(Orders {
            brake: Brake::Off,
            stop: false,
        });
        let job = Job {
            api: client(server),
            served: [(resource("secrets", ""), secrets_served())].into(),
            seen_at: server.revision(),
            total: Some(targets.len() as u64),
            bounds: Bounds::default(),
            away_after: 3,
        };
        Self {
            targets,
            orders,
            progress,
            told,
            job,
        }
    }

    /// Runs it, with `beside` told the orders and the progress meanwhile.
    fn run<F: Future<Output = ()>>(
        self,
        beside: impl FnOnce(watch::Sender<Orders>, watch::Receiver<Progress>) -> F,
    ) -> Report {
        block_on(async {
            let (sender, receiver) = mpsc::channel(16);
            let targets = self.targets;
            tokio::spawn(async move {
                for target in targets {
                    // The run has ended before its targets did.
                    if sender.send(target).await.is_err() {
                        return;
                    }
                }
            });
            let orders = self.orders.subscribe();
            let beside = beside(self.orders, self.progress);
            let run = api::rewrite(self.job, receiver, orders, self.told);
            let (report, ()) = tokio::join!(run, beside);
            report
        })
    }

    fn run_alone(self) -> Report {
        let kept = self.orders.clone();
        let report = self.run(|_, _| async {});
        drop(kept);
        report
    }
}

fn stored(server: &ApiServer, count: usize) -> Vec<Target> {
    for number in 0..count {
        server.store(&format!("{SECRETS}s{number}"), true);
    }
    (0..count).map(|number| secret(&format!("s{number}"))).collect()
}

#[test]
fn many_objects_are_rewritten_over_a_few_kept_connections() {
    let server = ApiServer::start();
    server.set_latency(Duration::from_millis(4));
    let targets = stored(&server, 600);
    let report = Rewrite::of(&server, targets).run_alone();
    assert_eq!((report.ending, server.stale()), (Ending::Finished, 0));
    let progress = report.tally.progress();
    assert_eq!(
        (progress.done, progress.rewritten, progress.bytes),
        (600, 600, 600_000)
    );
    assert!(progress.rate > 0.0 && progress.left() == Some(Duration::ZERO));
    assert_eq!(server.patches_and_connections(), (600, 8));
    assert!(server.most_in_flight() <= 8, "{}", server.most_in_flight());
}

#[test]
fn throttled_cut_and_hung_up_writes_are_sent_again_and_refused_ones_are_not() {
    let server = ApiServer::start();
    let targets = stored(&server, 40);
    server.inject(
        &format!("{SECRETS}s3"),
        Fault::Answer(429, "Retry-After: 1\r\n", String::new()),
    );
    server.inject(&format!("{SECRETS}s5"), Fault::Cut);
    server.inject(&format!("{SECRETS}s7"), Fault::HangUp);
    let denied = status(
        400,
        "R",
        "admission webhook \"deny.example.org\" denied the request",
        "{}",
    );
    server.inject(&format!("{SECRETS}s9"), Fault::Answer(400, "", denied));
    for _ in 0..3 {
        server.inject(&format!("{SECRETS}s11"), Fault::Answer(504, "", String::new()));
    }
    let targets = targets.into_iter().chain([secret("absent")]).collect();
    let begun = Instant::now();
    let report = Rewrite::of(&server, targets).run_alone();
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "Retry-After is waited for"
    );
    let progress = report.tally.progress();
    assert_eq!(report.ending, Ending::Finished);
    assert_eq!(
        (
            progress.done,
            progress.rewritten,
            progress.gone,
            progress.again,
            progress.refused
        ),
        (41, 38, 1, 1, 1)
    );
    let refused = &report.tally.refused()[0];
    assert_eq!(
        format!("{}: {}", refused.target, refused.cause),
        "secrets default/s9: the admission webhook deny.example.org denies it"
    );
    assert_eq!(
        report.tally.last_unknown(),
        Some("the server gave up on it (504)")
    );
    assert_eq!(server.stale(), 2);
    assert!(!format!("{report:?}").contains(TOP_SECRET));
}

#[test]
fn conflicts_on_most_objects_are_no_errors_and_what_they_leave_is_written_the_next_time() {
    let server = ApiServer::start();
    let targets = stored(&server, 40);
    for number in 0..30 {
        let conflict = status(409, "Conflict", "the object has been modified", "{}");
        server.inject(&format!("{SECRETS}s{number}"), Fault::Answer(409, "", conflict));
    }
    let report = Rewrite::of(&server, targets).run_alone();
    let progress = report.tally.progress();
    assert_eq!(report.ending, Ending::Finished);
    assert_eq!(
        (progress.rewritten, progress.again, progress.refused),
        (10, 30, 0)
    );
    assert_eq!(server.stale(), 30);
    let left = (0..30).map(|number| secret(&format!("s{number}"))).collect();
    let report = Rewrite::of(&server, left).run_alone();
    assert_eq!((report.tally.progress().rewritten, server.stale()), (30, 0));
}

#[test]
fn objects_that_no_api_serves_any_more_are_refused_by_name_and_the_others_are_written() {
    let server = ApiServer::start();
    let mut targets = stored(&server, 5);
    let leftover = Target {
        resource: resource("widgets", "gone.example.org"),
        ..secret("w1")
    };
    targets.insert(2, leftover);
    let report = Rewrite::of(&server, targets).run_alone();
    let progress = report.tally.progress();
    assert_eq!((progress.rewritten, progress.refused, server.stale()), (5, 1, 0));
    let refused = &report.tally.refused()[0];
    assert_eq!(
        format!("{}: {}", refused.target, refused.cause),
        "widgets.gone.example.org default/w1: no API serves it, or none that it can be patched by"
    );
}

#[test]
fn it_waits_for_room_in_etcd_and_goes_on_when_there_is_some() {
    let server = ApiServer::start();
    let targets = stored(&server, 40);
    let room = |written| Orders {
        brake: Brake::Within(Room {
            db_size: 30_000,
            in_use: 30_000,
            quota: 100_000,
            written,
        }),
        stop: false,
    };
    let rewrite = Rewrite::of(&server, targets);
    rewrite.orders.send_replace(room(0));
    let mut stops = Vec::new();
    let report = rewrite.run(|orders, mut progress| {
        let stops = &mut stops;
        async move {
            while progress.borrow().done < 40 {
                progress.changed().await.expect("it runs");
                let now = *progress.borrow();
                // Several writes may be in flight when it begins to wait.
                if now.waiting == Some(Waiting::Quota)
                    && now.bytes == now.done * 1_000
                    && now.bytes % 10_000 == 0
                {
                    stops.push(now.done);
                    orders.send_replace(room(now.bytes));
                }
            }
        }
    });
    assert_eq!(report.ending, Ending::Finished);
    assert_eq!((report.tally.progress().rewritten, server.stale()), (40, 0));
    stops.dedup();
    assert_eq!(stops, [10, 20, 30]);
}

#[test]
fn it_stops_between_objects_when_it_is_told_to_or_nobody_can() {
    let server = ApiServer::start();
    server.set_latency(Duration::from_millis(5));
    let report = Rewrite::of(&server, stored(&server, 300)).run(|orders, mut progress| async move {
        while progress.borrow().done < 20 {
            progress.changed().await.expect("it runs");
        }
        orders.send_modify(|orders| orders.stop = true);
        // The orders are dropped only when all connections have heard them.
        orders.closed().await;
    });
    let done = report.tally.progress().done;
    assert_eq!(report.ending, Ending::Stopped);
    assert!((20..60).contains(&done), "{done}");
    assert_eq!(server.stale(), 300 - usize::try_from(done).expect("few"));

    let report = Rewrite::of(&server, vec![secret("s1")]).run(|orders, _| async move { drop(orders) });
    assert_eq!(report.ending, Ending::Stopped);
}

#[test]
fn a_server_that_is_away_is_told_and_the_rest_left_for_another_time() {
    let server = ApiServer::start();
    let targets = stored(&server, 5);
    let mut rewrite = Rewrite::of(&server, targets);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = nobody.local_addr().expect("bound").port();
    drop(nobody);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("admin.conf"), server.kubeconfig()).expect("written");
    let address = Address {
        ip: server.address().ip(),
        port,
        name: "127.0.0.1".to_owned(),
    };
    let path: NodePath = "/admin.conf".parse().expect("a path");
    rewrite.job.api = Api::open(&files(folder.path()), &path, address, DEADLINE).expect("right");
    let report = block_on(async {
        let (sender, receiver) = mpsc::channel(16);
        for target in rewrite.targets {
            sender.send(target).await.expect("room");
        }
        let orders = rewrite.orders.subscribe();
        api::rewrite(rewrite.job, receiver, orders, rewrite.told).await
    });
    let Ending::Away(why) = &report.ending else {
        panic!("{report:?}")
    };
    assert!(why.starts_with("cannot connect: Connection refused"), "{why}");
    assert_eq!(report.tally.progress().done, 0);
}

/// On a real node: `HOLDFAST_MEASURE_KUBECONFIG=... cargo test --release --test rewrite -- --ignored --nocapture`, with the names of the
/// secrets, `NAMESPACE/NAME`, on the standard input. Prints what tests/bed/peer.py prints.
#[test]
#[ignore = "needs a real API server, by HOLDFAST_MEASURE_KUBECONFIG, _ADDRESS and _SEEN_AT (its revision)"]
#[expect(clippy::print_stdout, reason = "it prints what it has measured")]
fn the_speed_of_no_op_writes_on_a_real_server_is_printed() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let path: NodePath = variable("HOLDFAST_MEASURE_KUBECONFIG").parse().expect("a path");
    let ip: std::net::IpAddr = variable("HOLDFAST_MEASURE_ADDRESS").parse().expect("an address");
    let address = Address {
        ip,
        port: 6443,
        name: ip.to_string(),
    };
    let api = Api::open(&files(Path::new("/")), &path, address, Duration::from_secs(15)).expect("opened");
    let targets: Vec<Target> = std::io::stdin()
        .lines()
        .map(|line| {
            let line = line.expect("text");
            let (namespace, name) = line.split_once('/').expect("NAMESPACE/NAME");
            Target {
                namespace: Some(namespace.to_owned()),
                ..secret(name)
            }
        })
        .collect();
    let asked = [resource("secrets", "")].into();
    let served = block_on(api::served(&api, &asked));
    let Some(Fact::Known(served)) = served.get(&resource("secrets", "")) else {
        panic!("{served:?}")
    };
    let (told, progress) = watch::channel(Progress::default());
    let (orders, _) = watch::channel(Orders {
        brake: Brake::Off,
        stop: false,
    });
    let rewrite = Rewrite {
        job: Job {
            api,
            served: [(resource("secrets", ""), served.clone())].into(),
            seen_at: variable("HOLDFAST_MEASURE_SEEN_AT").parse().expect("a revision"),
            total: Some(targets.len() as u64),
            bounds: Bounds::default(),
            away_after: 8,
        },
        targets,
        orders,
        progress,
        told,
    };
    let begun = Instant::now();
    let report = rewrite.run_alone();
    let seconds = begun.elapsed().as_secs_f64();
    let done = report.tally.progress().done;
    let peak = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = peak
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("Linux")
        .trim();
    println!(
        "{done} objects, {seconds:.2} s, {:.1}/s, {peak}: {:?}",
        f64::from(u32::try_from(done).expect("few")) / seconds,
        report.tally.progress()
    );
}
