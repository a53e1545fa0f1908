//! The Debian package on a genuine node with systemd and journald: installed, read, reloaded, killed in mid-bounce, upgraded, removed, purged. Run
//! by `tests/run`; by hand, as root: `cargo test --test bed_package -- --ignored --nocapture`.
//!
//! It packs the program that is tested; what a package is made of and how is `packaging/check`'s and `packaging/reproduce`'s.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test looks at files and fails loudly"
)]

#[path = "bed/by_hand.rs"]
mod by_hand;
#[path = "bed/node.rs"]
mod node;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use by_hand::{Mounted, RELOAD, aescbc, config, content, create_secrets, encrypt, random, rewrite_secrets};
use node::{DEB, Node, snapshot};

const SOON: Duration = Duration::from_secs(20);
const RESTART: Duration = Duration::from_secs(180);
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const OUT: &str = "/etc/kubernetes/kube-apiserver.yaml.holdfast-out";
const ADMIN: &str = "/etc/kubernetes/admin.conf";

#[test]
#[ignore = "needs the test bed"]
fn the_package_is_installed_upgraded_removed_and_purged_and_a_kill_in_mid_bounce_leaves_no_node_without_its_manifest()
 {
    let node = Node::without_holdfast();
    let kubernetes = node.path("/etc/kubernetes");
    let before = snapshot(&kubernetes);
    let said = node.sh(&format!("dpkg -i {DEB}"));
    assert!(said.contains("mode: audit"), "{said}");
    is_active(&node);
    assert_eq!(node.sh("systemctl is-enabled holdfast").trim(), "enabled");
    node.await_that("a drift is told", SOON, |node| {
        of_kind(node, "drift: CIS-1.2.15").is_some()
    });
    assert_eq!(
        snapshot(&kubernetes),
        before,
        "the shipped configuration touches nothing"
    );

    a_configuration_is_read_again_only_if_it_holds(&node);
    a_drift_is_told_with_its_fields_and_explained(&node);
    a_kill_in_mid_bounce_is_made_good(&node);

    node.sh(&format!("dpkg -i {DEB}"));
    is_active(&node);
    assert!(
        node.read("/etc/holdfast/config.yaml").contains("enforce"),
        "the operator's own stays"
    );

    node.sh("install -d -m 700 /var/lib/holdfast/retained && touch /var/lib/holdfast/retained/key");
    let said = node.sh("dpkg -r holdfast");
    assert!(said.contains("stays hardened"), "{said}");
    assert!(
        node.read(MANIFEST).contains("--profiling=false"),
        "what was hardened stays so"
    );
    let said = node.sh("dpkg -P holdfast");
    assert!(said.contains("/var/lib/holdfast/retained stays"), "{said}");
    let left = node.sh(
        "find / -xdev -name '*holdfast*' ! -path '/root/*' ! -path '/proc/*'; find /var/lib/holdfast -type f",
    );
    let left: Vec<&str> = left.lines().collect();
    assert_eq!(left, ["/var/lib/holdfast", "/var/lib/holdfast/retained/key"]);
}

/// True when that file is there and has that text: a manifest may be out of its folder at any look.
fn has(node: &Node, path: &str, text: &str) -> bool {
    std::fs::read_to_string(node.path(path)).is_ok_and(|content| content.contains(text))
}

fn is_active(node: &Node) {
    node.await_that("the service runs", SOON, |node| {
        node.run(&["systemctl", "is-active", "holdfast"]).code == 0
    });
}

/// The fields of the newest entry of the journal that begins so.
fn of_kind(node: &Node, begins: &str) -> Option<serde_json::Value> {
    let printed = node.sh("journalctl --sync; journalctl -u holdfast -o json --all --no-pager");
    let entries = printed
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut entries: Vec<_> = entries
        .filter(|entry| {
            entry
                .get("MESSAGE")
                .and_then(|text| text.as_str())
                .is_some_and(|text| text.starts_with(begins))
        })
        .collect();
    entries.pop()
}

fn a_configuration_is_read_again_only_if_it_holds(node: &Node) {
    node.configure("mode: enforse\n");
    let said = node.run(&["systemctl", "reload", "holdfast"]);
    assert_ne!(said.code, 0);
    is_active(node);
    let log = node.sh("journalctl --sync; journalctl -u holdfast -o cat --no-pager");
    assert!(log.contains("config.yaml:1:7: unknown mode"), "{log}");
    node.configure("mode: enforce\nprofile: cis-level-1\n");
    node.sh("systemctl reload holdfast");
}

fn a_drift_is_told_with_its_fields_and_explained(node: &Node) {
    node.await_that("the node is hardened", RESTART, |node| {
        has(
            node,
            "/etc/kubernetes/manifests/kube-scheduler.yaml",
            "--profiling=false",
        ) && node.is_ready()
    });
    node.set_mode(ADMIN, 0o644);
    node.await_that("it is mended", SOON, |node| node.mode(ADMIN) == 0o600);
    let drift = format!("drift: CIS-1.1.13 admin.conf and super-admin.conf are 0600 or stricter: {ADMIN}");
    let entry = of_kind(node, &drift).expect("it was told");
    for (field, value) in [
        ("HOLDFAST_CONTROL", "CIS-1.1.13"),
        ("HOLDFAST_PATH", ADMIN),
        ("PRIORITY", "4"),
    ] {
        assert_eq!(
            entry.get(field).and_then(|value| value.as_str()),
            Some(value),
            "{entry}"
        );
    }
    let id = entry.get("MESSAGE_ID").and_then(|id| id.as_str()).expect("an id");
    let explained = node.sh(&format!("journalctl -x MESSAGE_ID={id} -n 1 --no-pager"));
    assert!(
        explained.contains("Defined-By: Holdfast") && explained.contains("To do:"),
        "{explained}"
    );
}

fn a_kill_in_mid_bounce_is_made_good(node: &Node) {
    in_mid_bounce(node);
    node.sh("systemctl kill --kill-whom=main -s KILL holdfast");
    is_back(node, "killed");
    is_mended(node);
}

/// Takes a flag away that is required, and waits until the daemon has the API server's manifest out of its folder for it.
fn in_mid_bounce(node: &Node) {
    node.await_that("the leaders work", RESTART, Node::leaders_work);
    node.sh(&format!("sed -i /profiling/d {MANIFEST}"));
    node.await_that("the manifest is out", RESTART, |node| node.path(OUT).exists());
}

/// The manifest is in its folder within five seconds from now.
fn is_back(node: &Node, after: &str) {
    let begun = Instant::now();
    node.await_that("it is back", Duration::from_secs(5), |node| {
        node.path(MANIFEST).exists()
    });
    println!(
        "{after} in mid-bounce: the manifest is back after {} ms",
        begun.elapsed().as_millis()
    );
}

/// One flag of the API server is mended.
const ENFORCED: &str = "mode: audit\ncontrols:\n  CIS-1.2.15: { mode: enforce }\n";

/// The daemon goes on where it was.
fn is_mended(node: &Node) {
    node.await_that("the daemon goes on", RESTART, |node| {
        has(node, MANIFEST, "--profiling=false") && !node.path(OUT).exists() && node.is_ready()
    });
}

#[test]
#[ignore = "needs the test bed"]
fn the_service_is_restarted_starved_rebooted_and_upgraded_in_the_middle_of_its_work() {
    let node = Node::fresh();
    let configured = config(&["secrets"], &aescbc(&[("key1", &random::<32>())]));
    encrypt(&node, &configured, Mounted::Folder, &[RELOAD]);
    create_secrets(&node, 300);
    rewrite_secrets(&node);
    // A manifest that stays out for long, if it is not hurried.
    node.configure(&format!("{ENFORCED}disruption: {{ drain: 20s }}\n"));
    node.sh("systemctl enable --now holdfast");
    is_mended(&node);

    in_mid_bounce(&node);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| node.sh("systemctl restart holdfast"));
        is_back(&node, "restarted");
    });
    println!(
        "restarted in mid-bounce: it took {} ms",
        begun.elapsed().as_millis()
    );
    is_mended(&node);
    node.configure(ENFORCED);
    node.sh("systemctl reload holdfast");

    a_starved_daemon_is_replaced(&node);
    a_reboot_in_mid_bounce_is_made_good(&node);
    a_rotation_goes_on_over_an_upgrade(&node);
    what_it_cannot_work_with_is_refused_with_a_sentence(&node);
}

/// A daemon that does not run any more is ended by systemd's watchdog, and what it left is put back.
fn a_starved_daemon_is_replaced(node: &Node) {
    let main = || node.sh("systemctl show -p MainPID --value holdfast");
    node.write(
        "/etc/systemd/system/holdfast.service.d/soon.conf",
        "[Service]\nWatchdogSec=5s\n",
    );
    node.sh("systemctl daemon-reload && systemctl restart holdfast");
    in_mid_bounce(node);
    let stopped = main();
    node.sh("systemctl kill --kill-whom=main -s STOP holdfast");
    node.await_that("systemd ends it", SOON, |_| main() != stopped);
    is_back(node, "starved");
    is_mended(node);
    node.await_that("another runs", SOON, |_| {
        main().trim() != "0" && main() != stopped
    });
    let log = node.sh("journalctl --sync; journalctl -u holdfast -o cat --no-pager");
    assert!(log.contains("Watchdog timeout"), "{log}");
    node.sh("rm -r /etc/systemd/system/holdfast.service.d && systemctl daemon-reload && systemctl restart holdfast");
}

/// The power goes while the manifest is out. Nobody but the service puts it back.
fn a_reboot_in_mid_bounce_is_made_good(node: &Node) {
    in_mid_bounce(node);
    // To cut the power may take longer than the bounce.
    node.sh("systemctl kill --kill-whom=main -s STOP holdfast");
    node.cut();
    assert!(node.path(OUT).exists() && !node.path(MANIFEST).exists());
    let back = std::thread::scope(|scope| {
        let back = scope.spawn(|| {
            let begun = Instant::now();
            while !node.path(MANIFEST).exists() && begun.elapsed() < RESTART {
                std::thread::sleep(Duration::from_millis(20));
            }
            jiff::Timestamp::now()
        });
        node.boot();
        back.join().expect("somebody watched")
    });
    let started = node.sh("date -d \"$(systemctl show -p ExecMainStartTimestamp --value holdfast)\" +%s");
    let started: i64 = started.trim().parse().expect("a time");
    let seconds = back.as_second() - started;
    println!("rebooted in mid-bounce: the manifest is back {seconds} s after the start of the service");
    assert!((-1..=5).contains(&seconds), "{seconds}");
    is_mended(node);
}

/// A rotation that the service makes, with all that its unit forbids it, and that the next version brings to its end.
fn a_rotation_goes_on_over_an_upgrade(node: &Node) {
    node.await_that("the leaders work", RESTART, Node::leaders_work);
    let keys = |node: &Node| {
        let (code, status) = node.json(&["encryption", "verify"]);
        let values = status["census"]["values"].as_array().expect("a census").clone();
        let keys = values
            .iter()
            .map(|row| row["key"].as_str().expect("a key").to_owned());
        (code, keys.collect::<BTreeSet<String>>())
    };
    let (code, old) = keys(node);
    assert!(code == 0 && old.len() == 1, "{code} {old:?}");

    node.sh("systemd-run --quiet --unit=asked holdfast encryption rotate --yes");
    let is_between = |node: &Node| {
        let status = node.holdfast(&["encryption", "status", "--output", "json"]);
        serde_json::from_str::<serde_json::Value>(&status.out)
            .is_ok_and(|status| !status["rotation"].is_null())
    };
    node.await_that("it is begun", RESTART, is_between);
    // Who asked has gone; the service goes on with it.
    node.sh("systemctl kill -s KILL asked; true");
    node.sh(&format!("dpkg -i {DEB}"));
    assert!(is_between(node), "the upgrade came in the middle");
    is_active(node);
    node.await_that("it is at its end", Duration::from_secs(300), |node| {
        !is_between(node)
    });
    let (code, new) = keys(node);
    assert!(
        code == 0 && new.len() == 1 && new.is_disjoint(&old),
        "{code} {new:?} {old:?}"
    );
    assert_eq!(content(node, "s300"), "value 300");
    let log = node.sh("journalctl --sync; journalctl -u holdfast -o cat --no-pager");
    assert!(
        !log.contains("Operation not permitted") && !log.contains("Read-only file system"),
        "{log}"
    );
}

/// The service tells what stands against its work and changes nothing meanwhile.
fn what_it_cannot_work_with_is_refused_with_a_sentence(node: &Node) {
    stops_soon(node);
    node.set_mode(ADMIN, 0o644);
    node.configure("mode: enforce\nprofile: baseline\n");
    a_journal_of_a_newer_version_is_refused(node);
    // A state folder that cannot be written, and a full disk.
    for (mount, words) in [
        (
            "mount --bind /var/lib/holdfast /var/lib/holdfast && mount -o remount,ro,bind /var/lib/holdfast",
            "Read-only file system",
        ),
        (
            "mount -t tmpfs -o size=64k,mode=700 none /var/lib/holdfast; head -c 65536 /dev/zero >/var/lib/holdfast/filler",
            "No space left on device",
        ),
    ] {
        node.sh(mount);
        node.start_daemon();
        node.await_that(words, SOON, |node| is_told(node, words));
        assert_eq!(node.mode(ADMIN), 0o644, "{words}");
        stops_soon(node);
        node.sh("umount /var/lib/holdfast");
    }
    others_can_write_its_configuration(node);
    node.start_daemon();
    node.await_that("it works again", SOON, |node| node.mode(ADMIN) == 0o600);
}

/// True when that needs somebody now, by the system log.
fn is_told(node: &Node, words: &str) -> bool {
    let log = node.sh("journalctl --sync; journalctl -u holdfast -p err -o cat --no-pager -n 20");
    log.contains(words)
}

/// What it cannot do anything about does not hold up a stop.
fn stops_soon(node: &Node) {
    let begun = Instant::now();
    node.sh("systemctl stop holdfast");
    assert!(begun.elapsed() < SOON, "to stop takes {:?}", begun.elapsed());
}

fn a_journal_of_a_newer_version_is_refused(node: &Node) {
    node.sh("cp -a /var/lib/holdfast/journal /root/journal");
    node.sh(
        "entry=$(tail -n 1 /root/journal | cut -d' ' -f2- | sed 's/\"record\":\"[a-z-]*\"/\"record\":\"teleported\"/'); \
         echo \"$(printf %s \"$entry\" | sha256sum | cut -c1-8) $entry\" >>/var/lib/holdfast/journal",
    );
    node.start_daemon();
    node.await_that("it is told", SOON, |node| {
        is_told(node, "was written by a newer Holdfast")
    });
    let status = node.sh("systemctl show -p StatusText holdfast");
    assert!(status.contains("NOTHING IS CHANGED"), "{status}");
    assert_eq!(node.mode(ADMIN), 0o644);
    stops_soon(node);
    node.sh("cp -a /root/journal /var/lib/holdfast/journal");
}

/// The unit fails once, and is not started again and again.
fn others_can_write_its_configuration(node: &Node) {
    node.set_mode("/etc/holdfast/config.yaml", 0o666);
    let said = node.run(&["systemctl", "start", "holdfast"]);
    assert_ne!(said.code, 0, "{said:?}");
    assert!(is_told(
        node,
        "/etc/holdfast/config.yaml has mode 0666, so others can write it"
    ));
    // Longer than RestartSec.
    std::thread::sleep(Duration::from_secs(7));
    let shown = node.sh("systemctl show -p ActiveState -p NRestarts holdfast");
    assert!(
        shown.contains("ActiveState=failed") && shown.contains("NRestarts=0"),
        "{shown}"
    );
    node.set_mode("/etc/holdfast/config.yaml", 0o640);
}
