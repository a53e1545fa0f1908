//! Which resources an entry covers: one by name, a whole API group, or all.

use std::collections::BTreeSet;
use std::fmt;

use super::error::ResourceProblem;
use crate::domain::GroupResource;

/// A line of an entry's `resources`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourcePattern {
    /// One resource: `secrets`, `pandas.awesome.bears.example`.
    Exact(GroupResource),
    /// All of an API group: `*.apps`; `*.` for the core group, whose name is empty.
    Group(String),
    /// All resources: `*.*`.
    All,
}

impl ResourcePattern {
    /// The pattern of a text, refused as upstream's `validateResourceNames` refuses it.
    ///
    /// # Errors
    ///
    /// Why the API server would refuse it.
    pub fn parse(text: &str) -> Result<Self, ResourceProblem> {
        if text.to_lowercase() != text {
            return Err(ResourceProblem::Capitals);
        }
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        match (text, resource, group) {
            (_, "", _) => Err(ResourceProblem::Empty),
            ("*", ..) => Err(ResourceProblem::BareStar),
            ("apiserveripinfo" | "serviceipallocations" | "servicenodeportallocations", ..) => {
                Err(ResourceProblem::NoRestApi)
            }
            (_, _, "events.k8s.io") => Err(ResourceProblem::EventsGroup),
            (_, _, "extensions") => Err(ResourceProblem::ExtensionsGroup),
            (_, "*", "*") => Ok(Self::All),
            (_, "*", group) => Ok(Self::Group(group.to_owned())),
            (_, _, "*") => Err(ResourceProblem::AcrossGroups),
            (_, resource, group) => Ok(Self::Exact(GroupResource {
                resource: resource.to_owned(),
                group: group.to_owned(),
            })),
        }
    }

    /// True when the pattern covers the resource.
    #[must_use]
    pub fn covers(&self, resource: &GroupResource) -> bool {
        match self {
            Self::Exact(exact) => exact == resource,
            Self::Group(group) => *group == resource.group,
            Self::All => true,
        }
    }

    /// True when the pattern covers all that the other one does.
    pub(super) fn includes(&self, other: &Self) -> bool {
        self == other || other.wildcards().contains(self)
    }

    /// The wildcards that would cover all of this pattern, itself included if it is one.
    fn wildcards(&self) -> [Self; 2] {
        let group = match self {
            Self::Exact(exact) => exact.group.clone(),
            Self::Group(group) => group.clone(),
            Self::All => return [Self::All, Self::All],
        };
        [Self::Group(group), Self::All]
    }
}

impl fmt::Display for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(resource) => resource.fmt(f),
            Self::Group(group) => write!(f, "*.{group}"),
            Self::All => f.write_str("*.*"),
        }
    }
}

/// Upstream's `validateResourceOverlap`: one list may name nothing twice, nor what its own wildcard covers.
pub(super) fn overlap(list: &[ResourcePattern]) -> Result<(), ResourceProblem> {
    let mut seen = BTreeSet::new();
    if !list.iter().all(|pattern| seen.insert(pattern)) {
        return Err(ResourceProblem::Duplicate);
    }
    let covered = |pattern: &ResourcePattern| {
        pattern
            .wildcards()
            .iter()
            .any(|wildcard| wildcard != pattern && seen.contains(wildcard))
    };
    if list.iter().any(covered) {
        Err(ResourceProblem::Overlap)
    } else {
        Ok(())
    }
}

/// What earlier entries cover. Upstream builds its transformers in this order and refuses what a wildcard already covers.
#[derive(Default)]
pub(super) struct Covered(BTreeSet<ResourcePattern>);

impl Covered {
    /// Adds one; the same exact resource may come again.
    pub(super) fn add(&mut self, pattern: &ResourcePattern) -> Result<(), ResourceProblem> {
        if pattern
            .wildcards()
            .iter()
            .any(|wildcard| self.0.contains(wildcard))
        {
            return Err(ResourceProblem::Masked);
        }
        self.0.insert(pattern.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> ResourcePattern {
        ResourcePattern::parse(text).unwrap()
    }

    fn resource(resource: &str, group: &str) -> GroupResource {
        GroupResource {
            resource: resource.to_owned(),
            group: group.to_owned(),
        }
    }

    #[test]
    fn what_upstream_accepts_is_read_and_written_back() {
        for (text, read) in [
            ("secrets", ResourcePattern::Exact(resource("secrets", ""))),
            ("a.b.c", ResourcePattern::Exact(resource("a", "b.c"))),
            ("*.", ResourcePattern::Group(String::new())),
            ("*.apps", ResourcePattern::Group("apps".to_owned())),
            ("*.*", ResourcePattern::All),
        ] {
            assert_eq!(pattern(text), read);
            assert_eq!(read.to_string(), text);
        }
        // A last dot means the core group, as in upstream's ParseGroupResource.
        assert_eq!(pattern("secrets.").to_string(), "secrets");
    }

    #[test]
    fn what_upstream_refuses_is_refused_for_the_same_reason() {
        use ResourceProblem as P;
        for (text, problem) in [
            ("", P::Empty),
            (".apps", P::Empty),
            ("Secrets", P::Capitals),
            ("*", P::BareStar),
            ("serviceipallocations", P::NoRestApi),
            ("events.events.k8s.io", P::EventsGroup),
            ("*.events.k8s.io", P::EventsGroup),
            ("*.extensions", P::ExtensionsGroup),
            ("secrets.*", P::AcrossGroups),
        ] {
            assert_eq!(ResourcePattern::parse(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn a_pattern_covers_its_own() {
        let deployments = resource("deployments", "apps");
        for (text, covers) in [
            ("deployments.apps", true),
            ("deployments", false),
            ("*.apps", true),
            ("*.", false),
            ("*.*", true),
        ] {
            assert_eq!(pattern(text).covers(&deployments), covers, "{text}");
        }
    }

    #[test]
    fn overlaps_in_a_list_and_masks_across_lists_are_refused() {
        let list = |texts: &[&str]| texts.iter().map(|text| pattern(text)).collect::<Vec<_>>();
        for (texts, expected) in [
            (&["secrets", "configmaps"][..], Ok(())),
            (&["secrets", "*.apps"], Ok(())),
            (&["secrets", "secrets"], Err(ResourceProblem::Duplicate)),
            (&["*.*", "*.*"], Err(ResourceProblem::Duplicate)),
            (&["secrets", "*."], Err(ResourceProblem::Overlap)),
            (&["*.apps", "*.*"], Err(ResourceProblem::Overlap)),
            (&["*.*", "secrets"], Err(ResourceProblem::Overlap)),
        ] {
            assert_eq!(overlap(&list(texts)), expected, "{texts:?}");
        }
        for (texts, expected) in [
            (&["secrets", "secrets", "*.", "*.*"][..], Ok(())),
            (&["*.", "secrets"], Err(ResourceProblem::Masked)),
            (&["*.*", "*.apps"], Err(ResourceProblem::Masked)),
            (&["*.apps", "*.apps"], Err(ResourceProblem::Masked)),
        ] {
            let mut covered = Covered::default();
            let added = list(texts).iter().try_for_each(|pattern| covered.add(pattern));
            assert_eq!(added, expected, "{texts:?}");
        }
    }
}
