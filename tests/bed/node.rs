//! A node of the test bed: fresh for each test, and gone at its end.
#![allow(dead_code, reason = "each test crate uses a part of it")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the bed is what is outside, and a test that cannot go on fails loudly"
)]

#[path = "package.rs"]
mod package;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Where the package puts Holdfast on the node.
pub const HOLDFAST: &str = "/usr/bin/holdfast";
/// Where the package lies on the node.
pub const DEB: &str = "/root/holdfast.deb";

/// A running kubeadm node.
pub struct Node {
    root: PathBuf,
}

/// What a command on the node printed, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

fn bed(words: &[&str]) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/bed"));
    let (verb, rest) = words.split_first().expect("a verb");
    command.arg(verb);
    // Another node beside one that is in use.
    if let Some(name) = std::env::var_os("HOLDFAST_BED_NODE") {
        command.arg("--name").arg(name);
    }
    command.args(rest).stdin(Stdio::null());
    command
}

fn must(mut command: Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().expect("the bed starts");
    assert!(output.status.success(), "{command:?} failed: {:?}", output.status);
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

impl Node {
    /// A fresh node on which Holdfast's package is installed. The service does not run, and does not start when the node boots.
    pub fn fresh() -> Self {
        let node = Self::without_holdfast();
        // As on a host whose administrator decides when a service starts.
        node.sh("printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d");
        node.sh(&format!(
            "dpkg -i {DEB} && systemctl disable holdfast && rm /usr/sbin/policy-rc.d"
        ));
        node.await_that("the leaders work", Duration::from_secs(120), Self::leaders_work);
        node
    }

    /// A fresh node with the package in root's home.
    pub fn without_holdfast() -> Self {
        must(bed(&["up"]));
        let node = Self {
            root: must(bed(&["root"])).into(),
        };
        std::fs::copy(package::deb(), node.path(DEB)).expect("it is on the node");
        node
    }

    /// Ends the node at once, as a power cut does (what it had written stays written), and boots it again.
    pub fn cut_and_boot(&self) {
        self.cut();
        self.boot();
    }

    pub fn cut(&self) {
        must(bed(&["cut"]));
    }

    pub fn boot(&self) {
        must(bed(&["boot"]));
    }

    /// Where a file of the node is on this machine.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, content).expect("written");
    }

    /// The configuration of Holdfast.
    pub fn configure(&self, text: &str) {
        self.write("/etc/holdfast/config.yaml", text);
    }

    /// Runs a command on the node.
    pub fn run(&self, words: &[&str]) -> Said {
        Self::said(bed(&["exec", "--"]).args(words).output().expect("the bed starts"))
    }

    /// A Python program of the bed, run beside the node, in its network.
    pub fn beside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &must(bed(&["pid"])), "--", "python3"]);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/").to_owned() + program);
        command
    }

    /// The words in front of a command that is to run on the node.
    pub fn entering(&self) -> Vec<std::ffi::OsString> {
        let enter = bed(&["exec", "--"]);
        std::iter::once(enter.get_program())
            .chain(enter.get_args())
            .map(ToOwned::to_owned)
            .collect()
    }

    /// Runs a shell line on the node, which must succeed.
    pub fn sh(&self, line: &str) -> String {
        let said = self.run(&["sh", "-c", line]);
        assert_eq!(said.code, 0, "`{line}`: {}{}", said.out, said.err);
        said.out
    }

    /// Runs Holdfast on the node.
    pub fn holdfast(&self, words: &[&str]) -> Said {
        let all: Vec<&str> = std::iter::once(HOLDFAST).chain(words.iter().copied()).collect();
        self.run(&all)
    }

    /// The JSON that Holdfast prints.
    pub fn json(&self, words: &[&str]) -> (i32, serde_json::Value) {
        let all: Vec<&str> = words.iter().copied().chain(["--output", "json"]).collect();
        let said = self.holdfast(&all);
        let value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
        (said.code, value)
    }

    fn said(output: Output) -> Said {
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts the service, with all that its unit forbids it.
    pub fn start_daemon(&self) {
        self.sh("systemctl start holdfast");
    }

    /// The messages of the daemon, oldest first, as lines `PRIORITY MESSAGE`.
    pub fn log(&self) -> Vec<String> {
        let printed = self.sh("journalctl --sync; journalctl -u holdfast -o json --all --no-pager");
        let entries = printed
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        entries
            .filter_map(|entry| {
                Some(format!(
                    "{} {}",
                    entry["PRIORITY"].as_str()?,
                    entry["MESSAGE"].as_str()?
                ))
            })
            .collect()
    }

    /// Waits until that is so.
    pub fn await_that(&self, what: &str, limit: Duration, mut is_so: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(
                begun.elapsed() < limit,
                "not within {limit:?}: {what}\n{}",
                self.log_tail()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn log_tail(&self) -> String {
        let said = self.run(&["journalctl", "-u", "holdfast", "--no-pager", "-n", "30"]);
        said.out
    }

    pub fn mode(&self, path: &str) -> u32 {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::symlink_metadata(self.path(path))
            .expect("a file")
            .permissions()
            .mode()
            & 0o7777
    }

    pub fn set_mode(&self, path: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(self.path(path), std::fs::Permissions::from_mode(mode)).expect("a mode");
    }

    /// The controls that `check` finds in drift.
    pub fn drift(&self) -> std::collections::BTreeSet<String> {
        let (_, report) = self.json(&["check"]);
        let findings = report["findings"].as_array().expect("findings");
        let drifts = findings.iter().filter(|finding| finding["verdict"] == "drift");
        let ids = drifts.map(|finding| finding["id"].as_str().expect("an id").to_owned());
        ids.collect()
    }

    /// True when the API server is ready.
    pub fn is_ready(&self) -> bool {
        self.run(&["kubectl", "--request-timeout=3s", "get", "--raw", "/readyz"])
            .out
            .trim()
            == "ok"
    }

    /// True when scheduler and controller manager, as they run now, have had their leases for a while. One that has just won its
    /// lease ends when the API goes away before all its controllers are set up.
    pub fn leaders_work(&self) -> bool {
        const HELD: &str = r#"for name in kube-scheduler kube-controller-manager; do
            begun=$(date -d "$(ps -o lstart= -p "$(pgrep -of "^$name ")")" +%s) &&
            lease=$(kubectl -n kube-system get lease $name -o jsonpath='{.spec.acquireTime} {.spec.renewTime}') &&
            set -- $lease && won=$(date -d "$1" +%s) && renewed=$(date -d "$2" +%s) &&
            [ $won -ge $begun ] && [ $renewed -ge $((won + 4)) ] && [ $(($(date +%s) - renewed)) -le 4 ] || exit 1
        done"#;
        self.run(&["sh", "-c", HELD]).code == 0
    }

    /// The PIDs, on this machine, of the node's processes of that name; each start has another.
    pub fn processes(&self, name: &str) -> Vec<String> {
        let said = self.run(&["pgrep", "-f", &format!("^{name} ")]);
        said.out.lines().map(str::to_owned).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let ended = bed(&["down"]).status();
        if !std::thread::panicking() {
            assert!(
                ended.is_ok_and(|status| status.success()),
                "the node does not end"
            );
        }
    }
}

/// The lines that differ between two texts: removed with `-`, added with `+`.
pub fn changed_lines(before: &str, after: &str) -> Vec<String> {
    let diff = similar::TextDiff::from_lines(before, after);
    diff.iter_all_changes()
        .filter(|change| change.tag() != similar::ChangeTag::Equal)
        .map(|change| format!("{}{}", change.tag(), change.value().trim_end()))
        .collect()
}

/// The inode-independent state of a folder of the node: names, modes and contents.
pub fn snapshot(folder: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries = std::fs::read_dir(&next).expect("a folder");
        for entry in entries.map(|entry| entry.expect("an entry")) {
            let (path, metadata) = (entry.path(), entry.metadata().expect("facts"));
            let content = if metadata.is_file() {
                std::fs::read(&path).expect("a file")
            } else {
                Vec::new()
            };
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            found.push((path, metadata.permissions().mode(), content));
        }
    }
    found.sort();
    found
}
