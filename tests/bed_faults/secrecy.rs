//! The search for keys: where there must be none, in every form that a program would print one in.

use std::path::{Path, PathBuf};

use crate::bed::Bed;
use crate::by_hand::encoded;
use crate::node::{HOLDFAST, Node};

/// Notes every argument list and environment of the node's processes, and the limit of core dumps of each Holdfast that has begun to
/// work: it is set before the first key is read, and the file descriptor of the lock or a socket comes after.
pub const WATCHER: &str = r#"while [ ! -e /root/watched ]; do
    for process in /proc/[0-9]*; do
        tr '\0' ' ' < $process/cmdline
        [ "$(readlink $process/exe)" = /usr/bin/holdfast ] || continue
        tr '\0' ' ' < $process/environ
        ls -l $process/fd | grep -q 'socket:\|holdfast/lock' && grep 'Max core file size' $process/limits >> /root/limits
    done >> /root/argv 2>/dev/null
    sort -u -o /root/argv /root/argv
    sleep 0.3
done
"#;

/// Where keys are kept.
const STORES: [&str; 3] = [
    "/var/lib/holdfast/keys",
    "/var/lib/holdfast/retained",
    "/etc/kubernetes/enc",
];
/// Where keys must not be: logs, journald, what runs, states, backups, and whatever else was written under a home or for a while.
const SEARCHED: [&str; 8] = [
    "/var/log",
    "/var/lib/holdfast",
    "/var/lib/kubelet",
    "/etc/kubernetes",
    "/etc/holdfast",
    "/var/crash",
    "/var/tmp",
    "/root",
];

/// A key as it may be printed: raw, in hexadecimal, and in base64 at each offset of three (without the characters that depend on what
/// is beside it).
pub fn forms(key: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = (0..3).map(|offset| {
        let mut shifted = vec![0; offset];
        shifted.extend(key);
        let text = encoded(&shifted);
        let (from, to) = ((offset * 8).div_ceil(6), shifted.len() * 8 / 6);
        text.as_bytes()[from..to].to_vec()
    });
    [key.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()]
        .into_iter()
        .chain(base64)
        .collect()
}

/// The forms that the content has.
fn found<'a>(content: &[u8], forms: &'a [Vec<u8>]) -> Vec<&'a Vec<u8>> {
    let has = |form: &&Vec<u8>| {
        let first = form[0];
        let mut from = 0;
        while let Some(at) = content[from..].iter().position(|byte| *byte == first) {
            if content[from + at..].starts_with(form) {
                return true;
            }
            from += at + 1;
        }
        false
    };
    forms.iter().filter(has).collect()
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = folder.read_dir() else { return };
    for entry in entries.filter_map(Result::ok) {
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            files(&entry.path(), into);
        } else if kind.is_file() {
            into.push(entry.path());
        }
    }
}

/// Neither key is anywhere but in the key store and the API server's configuration; what a test wrote itself is in `own`.
pub fn no_key_anywhere(bed: &Bed, keys: &[(&str, Vec<u8>)], own: &[&str]) {
    let node = &bed.node;
    // What is in memory there is searched as an archive.
    node.sh(
        "journalctl --sync; journalctl --all -o export > /root/journal-export; dmesg > /root/dmesg 2>/dev/null || true; \
         tar cf /root/run.tar --exclude=rootfs /run /tmp 2>/dev/null; tar tf /root/run.tar | grep -q '^run/'",
    );
    let all: Vec<Vec<u8>> = keys.iter().flat_map(|(_, key)| forms(key)).collect();
    // The search finds what is there: the old key, in base64, where it is kept.
    let stored = node
        .run(&[
            "sh",
            "-c",
            "cat /var/lib/holdfast/retained/* /var/lib/holdfast/keys/*",
        ])
        .out;
    for (name, key) in keys.iter().filter(|(name, _)| !name.starts_with("by hand")) {
        assert!(
            !found(stored.as_bytes(), &forms(key)).is_empty(),
            "{name} is kept"
        );
    }
    let mut paths = Vec::new();
    for folder in SEARCHED {
        files(&node.path(folder), &mut paths);
    }
    let is_meant = |path: &PathBuf| {
        let excepted = STORES.iter().chain(own);
        !excepted
            .into_iter()
            .any(|place| path.starts_with(node.path(place)))
    };
    let mut searched = 0_u64;
    for path in paths.iter().filter(|path| is_meant(path)) {
        // A file of /run may go meanwhile.
        let Ok(content) = std::fs::read(path) else {
            continue;
        };
        searched += content.len() as u64;
        assert!(found(&content, &all).is_empty(), "a key is in {}", path.display());
    }
    assert!(
        found(bed.printed().as_bytes(), &all).is_empty(),
        "a key was printed"
    );
    println!("no key in {} files, {searched} bytes", paths.len());
    let argv = node.read("/root/argv");
    assert!(argv.contains(&format!("{HOLDFAST} encryption rotate")), "{argv}");
    no_core(node);
}

/// No process that read keys may dump core, and none did.
fn no_core(node: &Node) {
    let limits = node.read("/root/limits");
    let of_bytes: Vec<&str> = limits.lines().collect();
    assert!(!of_bytes.is_empty());
    for line in of_bytes {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["Max", "core", "file", "size", "0", "0", "bytes"]);
    }
    let cores =
        node.sh("find / -xdev -type f \\( -name core -o -name 'core.[0-9]*' \\) -newer /root/crd.yaml");
    assert_eq!(cores, "");
}

#[test]
fn a_key_is_found_in_each_form_wherever_it_begins() {
    let key: Vec<u8> = (100..132).collect();
    let all = forms(&key);
    assert_eq!(all.len(), 6);
    for before in ["", "a", "ab", "abc", "abcd"] {
        let text = [before.as_bytes(), key.as_slice(), b"behind"].concat();
        let hex: String = text.iter().map(|byte| format!("{byte:02x}")).collect();
        for content in [
            text.clone(),
            hex.to_uppercase().into_bytes(),
            hex.into_bytes(),
            encoded(&text).into_bytes(),
        ] {
            assert_eq!(found(&content, &all).len(), 1, "{before}");
            let other: Vec<u8> = (101..133).collect();
            assert!(found(&content, &forms(&other)).is_empty());
        }
    }
}
