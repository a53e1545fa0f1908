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

fn value(file: impl AsFd, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    let mut value = Vec::with_capacity(LIMIT);
    match fgetxattr(file, name, rustix::buffer::spare_capacity(&mut value)) {
        Ok(_) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(cause) => Err(cause.into()),
    }
}
