//! What an entry of the `EncryptionConfiguration` covers: one resource, a group, or all.

use std::fmt;
use std::str::FromStr;

use crate::domain::GroupResource;

/// An element of `resources`, as `secrets`, `deployments.apps`, `*.apps`, `*.` (the core group) or `*.*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// One resource.
    Exact(GroupResource),
    /// All resources of a group; empty for the core group.
    Group(String),
    /// Every resource.
    All,
}

/// A text that names no resources.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" names no resources: write secrets, deployments.apps, *.apps, *. or *.*")]
pub struct InvalidPattern(String);

impl Pattern {
    /// Whether values of the resource are under this entry.
    #[must_use]
    pub fn covers(&self, resource: &GroupResource) -> bool {
        match self {
            Self::Exact(exact) => exact == resource,
            Self::Group(group) => *group == resource.group,
            Self::All => true,
        }
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPattern(text.to_owned());
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        let plain = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
        };
        match (resource, group) {
            ("*", "*") => Ok(Self::All),
            ("*", "") if text == "*." => Ok(Self::Group(String::new())),
            ("*", group) if plain(group) => Ok(Self::Group(group.to_owned())),
            (resource, group) if plain(resource) && (group.is_empty() || plain(group)) => {
                Ok(Self::Exact(GroupResource {
                    resource: resource.to_owned(),
                    group: group.to_owned(),
                }))
            }
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(resource) => resource.fmt(f),
            Self::Group(group) => write!(f, "*.{group}"),
            Self::All => f.write_str("*.*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(resource: &str, group: &str) -> GroupResource {
        GroupResource {
            resource: resource.to_owned(),
            group: group.to_owned(),
        }
    }

    #[test]
    fn what_upstream_accepts_reads_and_shows_the_same() {
        let table = [
            ("secrets", Pattern::Exact(resource("secrets", ""))),
            (
                "deployments.apps",
                Pattern::Exact(resource("deployments", "apps")),
            ),
            ("a.b.example.com", Pattern::Exact(resource("a", "b.example.com"))),
            ("*.", Pattern::Group(String::new())),
            ("*.apps", Pattern::Group("apps".to_owned())),
            ("*.*", Pattern::All),
        ];
        for (text, pattern) in table {
            assert_eq!(text.parse(), Ok(pattern.clone()));
            assert_eq!(pattern.to_string(), text);
        }
        for text in [
            "",
            "*",
            "Secrets",
            "secrets.*",
            ".apps",
            "a/b",
            "*.*.*",
            "secrets ",
        ] {
            assert_eq!(
                text.parse::<Pattern>(),
                Err(InvalidPattern(text.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn a_group_covers_its_own_resources_only() {
        let deployments = resource("deployments", "apps");
        let covers = |pattern: &str| pattern.parse::<Pattern>().unwrap().covers(&deployments);
        assert_eq!(
            ["deployments.apps", "*.apps", "*.*", "deployments", "*.", "*.a"].map(covers),
            [true, true, true, false, false, false]
        );
    }
}
