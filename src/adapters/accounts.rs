//! Accounts by name, from the node's own `/etc/passwd` and `/etc/group`.
//!
//! Not from the name service: the node's root may be mounted elsewhere, and a directory server that does not answer must not
//! hold up a check.

use super::files::Files;
use crate::domain::{Account, Fact, NodePath, Owner};

/// No account file of a node is as large as this.
const MAX_BYTES: usize = 4 << 20;

/// The ids of an account; `Absent` when the user or the group is not there.
pub fn owner_of(files: &Files, account: &Account) -> Fact<Owner> {
    // passwd(5): name, password, uid, gid, comment, home, shell. group(5): name, password, gid, members.
    let uid = id_in(files, "/etc/passwd", 7, &account.user);
    let gid = id_in(files, "/etc/group", 4, &account.group);
    uid.and_then(|uid| gid.map(|gid| Owner { uid, gid }))
}

/// The third field of the line of that name.
fn id_in(files: &Files, file: &str, fields: usize, name: &str) -> Fact<u32> {
    let path: NodePath = match file.parse() {
        Ok(path) => path,
        Err(why) => return Fact::unknown(format!("{why}")),
    };
    files.read(&path, MAX_BYTES).and_then(|content| {
        let text = String::from_utf8_lossy(&content.bytes);
        text.lines()
            .find_map(|line| id_of(line, fields, name))
            .map_or(Fact::Absent, Fact::Known)
    })
}

/// What is no line of an account is passed over, as the C library does: comments and the `+` lines of NIS are such, and they
/// make nobody else's account doubtful. Of two lines with the name the first one counts.
fn id_of(line: &str, fields: usize, name: &str) -> Option<u32> {
    let parts: Vec<&str> = line.split(':').collect();
    match parts.as_slice() {
        [first, _, id, ..] if *first == name && parts.len() == fields => {
            // `parse` would take "+5".
            id.bytes()
                .all(|byte| byte.is_ascii_digit())
                .then_some(*id)?
                .parse()
                .ok()
        }
        _ => None,
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests make the files that are looked at"
)]
mod tests {
    use super::*;

    fn owner(passwd: Option<&str>, group: Option<&str>, account: &str) -> Fact<Owner> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        for (name, text) in [("passwd", passwd), ("group", group)] {
            if let Some(text) = text {
                std::fs::write(root.path().join("etc").join(name), text).unwrap();
            }
        }
        owner_of(&Files::at(root.path()).unwrap(), &account.parse().unwrap())
    }

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
                          #etcd:x:1:1::/:/bin/false\n\
                          +::::::\n\
                          etcd:x:+5:5:::\n\
                          etcd:x:994\n\
                          etcd:x:992:9:etcd,,,:/var/lib/etcd:/usr/sbin/nologin\n\
                          etcd:x:7:7:a second one:/:/bin/false\n";
    const GROUP: &str = "root:x:0:\netcd:x:991:a,b\nbad:x:99999999999:\n";

    #[test]
    fn an_account_is_found_by_user_and_group_and_broken_lines_are_passed_over() {
        assert_eq!(
            owner(Some(PASSWD), Some(GROUP), "etcd:etcd"),
            Fact::Known(Owner { uid: 992, gid: 991 })
        );
        assert_eq!(
            owner(Some(PASSWD), Some(GROUP), "root:root"),
            Fact::Known(Owner::ROOT)
        );
    }

    #[test]
    fn a_name_that_is_missing_in_one_of_the_files_is_absent() {
        for account in ["none:etcd", "etcd:none", "etcd:bad", "etc:etcd"] {
            assert_eq!(
                owner(Some(PASSWD), Some(GROUP), account),
                Fact::Absent,
                "{account}"
            );
        }
        assert_eq!(owner(None, Some(GROUP), "root:root"), Fact::Absent);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_unknown() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc/passwd")).unwrap();
        assert_eq!(
            owner_of(&Files::at(root.path()).unwrap(), &"root:root".parse().unwrap()),
            Fact::unknown("cannot read /etc/passwd: it is a folder, not a file")
        );
    }
}
