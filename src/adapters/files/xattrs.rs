//! Extended attributes: the SELinux label, ACLs, and what users put there. An edited file keeps them.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

/// The kernel's limit for the list of names and for one value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const LIMIT: usize = 65_536;

/// The ACL that lets further users and groups in.
const ACL: &CStr = c"system.posix_acl_access";

/// Hashes and signatures of the content, made by the kernel (IMA, EVM): those of the old content would be wrong.
const OF_CONTENT: [&CStr; 2] = [c"security.ima", c"security.evm"];

/// The extended attributes of a file, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Xattrs(Vec<(CString, Vec<u8>)>);

impl Xattrs {
    /// Those of an open file; none where the file system has none.
    pub(super) fn of(file: impl AsFd) -> io::Result<Self> {
        let file = file.as_fd();
        let mut list = Vec::with_capacity(LIMIT);
        match flistxattr(file, rustix::buffer::spare_capacity(&mut list)) {
            Ok(_) => {}
            Err(Errno::NOTSUP) => return Ok(Self::default()),
            Err(cause) => return Err(cause.into()),
        }
        let mut found = Vec::new();
        for name in list.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let name = CString::new(name)?;
            if !OF_CONTENT.contains(&name.as_c_str())
                && let Some(value) = value(file, &name)?
            {
                found.push((name, value));
            }
        }
        Ok(Self(found))
    }

    /// The same without an ACL.
    pub(super) fn without_acl(self) -> Self {
        Self(
            self.0
                .into_iter()
                .filter(|(name, _)| name.as_c_str() != ACL)
                .collect(),
        )
    }

    /// Takes an ACL away that a new file has by its folder's default, unless it is to have one.
    pub(super) fn drop_inherited_acl(&self, file: impl AsFd) -> io::Result<()> {
        if self.0.iter().any(|(name, _)| name.as_c_str() == ACL) {
            return Ok(());
        }
        match fremovexattr(file, ACL) {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
            Err(cause) => Err(cause.into()),
        }
    }

    /// Gives them to a file. What it has already is not set again: a label that policy gave may be one that we may not set.
    pub(super) fn give(&self, file: impl AsFd) -> io::Result<()> {
        let file = file.as_fd();
        for (name, wanted) in &self.0 {
            if value(file, name)?.as_ref() != Some(wanted) {
                fsetxattr(file, name, wanted, XattrFlags::empty())?;
            }
        }
        Ok(())
    }
}

/// Whom the ACL of a file lets in beside its user, its group and all others, with the rights that its mask leaves them.
pub(super) fn let_in_by_acl(file: impl AsFd) -> io::Result<Vec<String>> {
    match value(file, ACL)? {
        None => Ok(Vec::new()),
        Some(acl) => let_in(&acl).ok_or_else(|| io::Error::other("it does not look as the kernel writes it")),
    }
}

/// `linux/posix_acl_xattr.h`: a version, and entries of a tag, rights and an id, in little-endian order.
fn let_in(acl: &[u8]) -> Option<Vec<String>> {
    const VERSION: [u8; 4] = 2u32.to_le_bytes();
    const USER: u16 = 0x02;
    const GROUP: u16 = 0x08;
    const MASK: u16 = 0x10;
    let (entries, rest) = acl.strip_prefix(&VERSION)?.as_chunks::<8>();
    if !rest.is_empty() {
        return None;
    }
    let entries: Vec<(u16, u16, u32)> = entries
        .iter()
        .map(|[t0, t1, r0, r1, i0, i1, i2, i3]| {
            let (tag, rights) = (u16::from_le_bytes([*t0, *t1]), u16::from_le_bytes([*r0, *r1]));
            (tag, rights, u32::from_le_bytes([*i0, *i1, *i2, *i3]))
        })
        .collect();
    let mask = entries.iter().find(|(tag, ..)| *tag == MASK);
    let mask = mask.map_or(0o7, |(_, rights, _)| *rights);
    let further = entries.iter().filter_map(|(tag, rights, id)| {
        let who = match *tag {
            USER => "user",
            GROUP => "group",
            _ => return None,
        };
        let rights = rights & mask;
        (rights != 0).then(|| format!("{who} {id} ({})", in_letters(rights)))
    });
    Some(further.collect())
}

fn in_letters(rights: u16) -> String {
    let letter = |bit: u16, letter| if rights & bit == 0 { '-' } else { letter };
    [letter(4, 'r'), letter(2, 'w'), letter(1, 'x')]
        .into_iter()
        .collect()
}

fn value(file: impl AsFd, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    let mut value = Vec::with_capacity(LIMIT);
    match fgetxattr(file, name, rustix::buffer::spare_capacity(&mut value)) {
        Ok(_) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(cause) => Err(cause.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut acl = 2u32.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            acl.extend(tag.to_le_bytes());
            acl.extend(rights.to_le_bytes());
            acl.extend(id.to_le_bytes());
        }
        acl
    }

    #[test]
    fn further_users_and_groups_have_what_the_mask_leaves_them() {
        let none = u32::MAX;
        let with = |mask| {
            acl(&[
                (0x01, 6, none),
                (0x02, 7, 1000),
                (0x04, 4, none),
                (0x08, 4, 27),
                (0x10, mask, none),
                (0x20, 0, none),
            ])
        };
        let some = ["user 1000 (rw-)".to_owned(), "group 27 (r--)".to_owned()];
        assert_eq!(let_in(&with(6)), Some(some.to_vec()));
        assert_eq!(let_in(&with(2)), Some(vec!["user 1000 (-w-)".to_owned()]));
        assert_eq!(let_in(&with(0)), Some(vec![]));
        let plain = acl(&[(0x01, 6, none), (0x04, 4, none), (0x20, 4, none)]);
        assert_eq!(let_in(&plain), Some(vec![]));
    }

    #[test]
    fn what_the_kernel_does_not_write_is_not_understood() {
        for odd in [&[][..], &[1, 0, 0, 0], &[2, 0, 0, 0, 1]] {
            assert_eq!(let_in(odd), None, "{odd:?}");
        }
    }
}
