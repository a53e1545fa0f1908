//! An absolute path on the node, whatever folder the node's file system is mounted at here.

use std::fmt;
use std::str::FromStr;

/// An absolute, normalised path in UTF-8: no `.`, `..`, empty component or control character.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodePath(String);

/// A path whose last component may hold `*`, or whose folder is walked whole (`/etc/kubernetes/pki/**/*.crt`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPattern {
    /// The folder that is listed.
    pub folder: NodePath,
    /// True when the folders below it are listed too.
    pub recursive: bool,
    /// What a name must begin and end with: the text before and after the one `*`. `*` alone also matches folders.
    pub name: (String, String),
}

/// A text that is no absolute path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an absolute path without \"..\"")]
pub struct InvalidPath(pub String);

impl NodePath {
    /// The path as text; it begins with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components between the slashes; none for `/`.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// The folder that holds it; `/` has none.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (parent, name) = self.0.rsplit_once('/')?;
        match (parent, name) {
            ("", "") => None,
            ("", _) => Some(Self("/".to_owned())),
            _ => Some(Self(parent.to_owned())),
        }
    }

    /// The last component; empty for `/`.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(_, name)| name)
    }

    /// The path of `name` in this folder.
    ///
    /// # Errors
    /// When `name` is no path component.
    pub fn join(&self, name: &str) -> Result<Self, InvalidPath> {
        if name.contains('/') {
            return Err(InvalidPath(name.to_owned()));
        }
        format!("{}/{name}", self.0.trim_end_matches('/')).parse()
    }

    /// True when the path is `folder` or lies below it.
    #[must_use]
    pub fn is_within(&self, folder: &Self) -> bool {
        folder.0 == "/"
            || self
                .0
                .strip_prefix(&folder.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for NodePath {
    type Err = InvalidPath;

    /// Repeated and trailing slashes are dropped; everything else that is unusual is refused.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPath(text.to_owned());
        if !text.starts_with('/') || text.len() > 4096 || text.chars().any(char::is_control) {
            return Err(invalid());
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        if parts
            .iter()
            .any(|part| *part == "." || *part == ".." || part.len() > 255)
        {
            return Err(invalid());
        }
        Ok(Self(format!("/{}", parts.join("/"))))
    }
}

impl fmt::Display for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl serde::Serialize for NodePath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for NodePath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl PathPattern {
    /// True when a name in the folder is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (begin, end) = &self.name;
        name.len() >= begin.len() + end.len()
            && name.starts_with(begin.as_str())
            && name.ends_with(end.as_str())
    }
}

impl FromStr for PathPattern {
    type Err = InvalidPath;

    /// `FOLDER/NAME` or `FOLDER/**/NAME`, NAME with exactly one `*`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPath(text.to_owned());
        let (folder, name) = text.rsplit_once('/').ok_or_else(invalid)?;
        let (begin, end) = name.split_once('*').ok_or_else(invalid)?;
        let (folder, recursive) = folder
            .strip_suffix("/**")
            .map_or((folder, false), |folder| (folder, true));
        if folder.contains('*') || end.contains('*') {
            return Err(invalid());
        }
        Ok(Self {
            folder: folder.parse()?,
            recursive,
            name: (begin.to_owned(), end.to_owned()),
        })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deep = if self.recursive { "/**" } else { "" };
        write!(f, "{}{deep}/{}*{}", self.folder, self.name.0, self.name.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> NodePath {
        text.parse().unwrap()
    }

    #[test]
    fn slashes_are_folded_and_detours_refused() {
        assert_eq!(path("//etc///kubernetes/").as_str(), "/etc/kubernetes");
        assert_eq!(path("/").as_str(), "/");
        for bad in ["", "etc", "/a/../b", "/./a", "/a\n", "/a\0"] {
            assert!(bad.parse::<NodePath>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn parent_name_and_join_agree() {
        let manifest = path("/etc/kubernetes/manifests/etcd.yaml");
        assert_eq!(
            manifest.parent().unwrap().join(manifest.file_name()).unwrap(),
            manifest
        );
        assert_eq!(path("/etc").parent(), Some(path("/")));
        assert_eq!(path("/").parent(), None);
        assert!(path("/etc").join("a/b").is_err() && path("/etc").join("..").is_err());
    }

    #[test]
    fn within_is_by_component_not_by_letters() {
        assert!(path("/etc/kubernetes/pki/ca.crt").is_within(&path("/etc/kubernetes/pki")));
        assert!(!path("/etc/kubernetes/pki2").is_within(&path("/etc/kubernetes/pki")));
        assert!(path("/x").is_within(&path("/")));
    }

    #[test]
    fn patterns_match_one_name() {
        let crt: PathPattern = "/etc/kubernetes/pki/**/*.crt".parse().unwrap();
        assert!(crt.recursive && crt.matches("ca.crt") && !crt.matches("ca.key") && crt.matches(".crt"));
        assert_eq!(crt.to_string(), "/etc/kubernetes/pki/**/*.crt");
        assert_eq!(
            "/etc/*/x".parse::<PathPattern>(),
            Err(InvalidPath("/etc/*/x".to_owned()))
        );
    }
}
