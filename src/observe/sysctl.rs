//! The files by which the host sets kernel parameters at boot.

use crate::adapters::Node;
use crate::domain::{Fact, FileKind, NodePath};
use crate::sysctl::{Source, lacking};

/// The folders of sysctl.d(5), the one that counts first.
const FOLDERS: [&str; 5] = [
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
];
/// Debian and its like read the old file by a link of this name.
const OLD_LINK: &str = "99-sysctl.conf";
const OLD_FILE: &str = "/etc/sysctl.conf";
const MAX_BYTES: usize = 64 << 10;

/// What of the kubelet's parameters no file sets at boot, in words.
pub(super) fn kernel_defaults(node: &Node) -> Fact<Vec<String>> {
    let mut files = Vec::new();
    for folder in FOLDERS
        .iter()
        .filter_map(|folder| folder.parse::<NodePath>().ok())
    {
        let entries = match node.files.list(&folder) {
            Fact::Known(entries) => entries,
            Fact::Absent => continue,
            Fact::Unknown(why) => return Fact::Unknown(why),
        };
        for entry in entries.into_iter().filter(|entry| entry.name.ends_with(".conf")) {
            let Some(path) = entry.path else { continue };
            let is_link = entry
                .facts
                .known()
                .is_some_and(|facts| facts.kind == FileKind::Symlink);
            let path = match (is_link, entry.name.as_str()) {
                (false, _) => path,
                (true, OLD_LINK) => match OLD_FILE.parse() {
                    Ok(old) => old,
                    Err(_) => continue,
                },
                (true, _) => return Fact::unknown(format!("{path} is a link, which is not followed")),
            };
            match node.files.read(&path, MAX_BYTES) {
                Fact::Known(content) => files.push(Source {
                    name: entry.name,
                    text: String::from_utf8_lossy(&content.bytes).into_owned(),
                }),
                Fact::Absent => {}
                Fact::Unknown(why) => return Fact::Unknown(why),
            }
        }
    }
    Fact::Known(lacking(&files))
}
