//! The owner of a file: a user id and a group id. Names belong to the host's account database and are resolved
//! by the adapters; a number that has no name is still an owner.

use std::fmt;

/// A user id and a group id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// An account by name, as CIS writes it (`etcd:etcd`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account {
    /// User name.
    pub user: String,
    /// Group name.
    pub group: String,
}

/// A text that is no `user:group`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an owner: write user:group, like \"root:root\"")]
pub struct InvalidOwner(pub String);

impl Owner {
    /// `root:root`.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |id: u32| {
            if id == 0 {
                "root".to_owned()
            } else {
                id.to_string()
            }
        };
        write!(f, "{}:{}", name(self.uid), name(self.gid))
    }
}

impl std::str::FromStr for Account {
    type Err = InvalidOwner;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((user, group)) if !user.is_empty() && !group.is_empty() && !group.contains(':') => {
                Ok(Self {
                    user: user.to_owned(),
                    group: group.to_owned(),
                })
            }
            _ => Err(InvalidOwner(text.to_owned())),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}
