//! What an etcd key stands for, and where in etcd the values of a resource lie.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::table::BUILT_IN;
use crate::domain::GroupResource;
use crate::encryption::ResourcePattern;

/// Whether a resource's objects live in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// One object by name.
    Cluster,
    /// One object by namespace and name.
    Namespaced,
}

/// An object of the API.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Its resource.
    pub resource: GroupResource,
    /// Its namespace; `None` for a cluster-scoped one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// Values that the API server stores for itself: no request reads or rewrites them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoEndpoint {
    /// `masterleases/`: which API servers are alive.
    ApiServerLeases,
    /// `peerserverleases/`: the addresses of API servers for each other.
    PeerLeases,
    /// `ranges/serviceips` and `ranges/secondaryserviceips`: the taken service addresses.
    ServiceAddresses,
    /// `ranges/servicenodeports`: the taken node ports.
    NodePorts,
}

/// What an etcd key stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// An object.
    Object(ObjectRef),
    /// A value without an endpoint.
    NoEndpoint(NoEndpoint),
    /// Nothing that is known, by the first words of the path: nothing may be concluded about such a value but its key.
    Unmapped(String),
}

/// The keys from `start` on, up to and without `end`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first key.
    pub start: Vec<u8>,
    /// The key behind the last one.
    pub end: Vec<u8>,
}

/// A prefix that no API server would use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--etcd-prefix={0} is not understood: it must be a path without . and .. in it")]
pub struct InvalidPrefix(String);

/// The layout of etcd below `--etcd-prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Begins and ends with a slash.
    prefix: String,
    /// By path under the prefix: the table, and what was learnt of the server.
    resources: BTreeMap<String, (GroupResource, Scope)>,
}

impl Span {
    /// All keys that begin so.
    #[must_use]
    pub fn prefix(prefix: &str) -> Self {
        let start = prefix.as_bytes().to_vec();
        let mut end = start.clone();
        // The last byte of a text is never 0xff.
        if let Some(last) = end.last_mut() {
            *last = last.saturating_add(1);
        }
        Self { start, end }
    }

    /// All keys below a path that ends with a slash; else the one key.
    fn path(path: &str) -> Self {
        if path.ends_with('/') {
            return Self::prefix(path);
        }
        Self {
            start: path.as_bytes().to_vec(),
            end: format!("{path}\0").into_bytes(),
        }
    }

    /// What of `spans` no span of `others` has; both are disjoint and in order, as [`Paths::spans`] gives them.
    #[must_use]
    pub fn without(spans: &[Self], others: &[Self]) -> Vec<Self> {
        others.iter().fold(spans.to_vec(), |left, hole| {
            left.into_iter().flat_map(|span| span.around(hole)).collect()
        })
    }

    /// What lies before and behind a hole in it.
    fn around(self, hole: &Self) -> impl Iterator<Item = Self> {
        let before = Self {
            start: self.start.clone(),
            end: self.end.clone().min(hole.start.clone()),
        };
        let behind = Self {
            start: self.start.max(hole.end.clone()),
            end: self.end,
        };
        [before, behind].into_iter().filter(|span| span.start < span.end)
    }

    /// Whether a key lies in it.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && key < self.end.as_slice()
    }
}

impl NoEndpoint {
    const ALL: [Self; 4] = [
        Self::ApiServerLeases,
        Self::PeerLeases,
        Self::ServiceAddresses,
        Self::NodePorts,
    ];

    /// The paths under the prefix; one that ends with a slash is that of a folder.
    const fn paths(self) -> &'static [&'static str] {
        match self {
            Self::ApiServerLeases => &["masterleases/"],
            Self::PeerLeases => &["peerserverleases/"],
            Self::ServiceAddresses => &["ranges/serviceips", "ranges/secondaryserviceips"],
            Self::NodePorts => &["ranges/servicenodeports"],
        }
    }

    /// The resource by which the API server looks for a provider: in the core group, so that `*.` and `*.*` cover it.
    #[must_use]
    pub fn resource(self) -> GroupResource {
        let resource = match self {
            Self::ApiServerLeases => "apiserveripinfo",
            Self::PeerLeases => "apiserverpeeripinfo",
            Self::ServiceAddresses => "serviceipallocations",
            Self::NodePorts => "servicenodeportallocations",
        };
        GroupResource {
            resource: resource.to_owned(),
            group: String::new(),
        }
    }

    /// Why no request rewrites it, for the operator.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ApiServerLeases | Self::PeerLeases => {
                "each API server keeps a lease of its own in etcd, which has no API endpoint"
            }
            Self::ServiceAddresses => "the bitmap of taken service addresses has no API endpoint",
            Self::NodePorts => "the bitmap of taken node ports has no API endpoint",
        }
    }

    /// What rewrites it, for the operator.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::ApiServerLeases | Self::PeerLeases => {
                "wait: a live API server rewrites its lease every few seconds, and that of a dead one expires"
            }
            Self::ServiceAddresses => {
                "wait: the API server's repair loop rewrites it within minutes; if it stays, the server keeps addresses as \
                 IPAddress objects and the value is a left-over that may be deleted from etcd"
            }
            Self::NodePorts => {
                "wait: the API server's repair loop rewrites it within minutes; creating a service with a node port does so at once"
            }
        }
    }
}

impl Paths {
    /// The layout below a value of `--etcd-prefix`; kubeadm's is `/registry`.
    ///
    /// # Errors
    /// When the prefix is not a plain path.
    pub fn new(prefix: &str) -> Result<Self, InvalidPrefix> {
        let mut clean = String::from("/");
        for word in prefix.split('/').filter(|word| !word.is_empty()) {
            if word == "." || word == ".." {
                return Err(InvalidPrefix(prefix.to_owned()));
            }
            clean.push_str(word);
            clean.push('/');
        }
        let resources = BUILT_IN
            .iter()
            .map(|row| {
                let resource = GroupResource {
                    resource: row.resource.to_owned(),
                    group: row.group.to_owned(),
                };
                (row.path.to_owned(), (resource, row.scope))
            })
            .collect();
        Ok(Self {
            prefix: clean,
            resources,
        })
    }

    /// The prefix, with a slash at both ends.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The groups of the patterns whose resources the table may lack, since the server may be newer; `None` for all groups.
    ///
    /// A custom resource lies below its group, which has a dot, whatever the table says; only Kubernetes' own have none, or end so.
    #[must_use]
    pub fn to_learn(&self, patterns: &[ResourcePattern]) -> Option<BTreeSet<String>> {
        let mut groups = BTreeSet::new();
        for pattern in patterns {
            match pattern {
                ResourcePattern::All => return None,
                ResourcePattern::Group(group) => groups.insert(group.clone()),
                ResourcePattern::Exact(exact) if is_in_table(exact) => false,
                ResourcePattern::Exact(exact) => groups.insert(exact.group.clone()),
            };
        }
        groups.retain(|group| is_kubernetes_own(group));
        Some(groups)
    }

    /// Adds a built-in resource that the server serves and the table does not know, because the server is newer. A custom resource
    /// needs none of this, and what the table says stays.
    pub fn learn(&mut self, resource: GroupResource, scope: Scope) {
        let known = self.resources.values().any(|(known, _)| *known == resource);
        if !known {
            self.resources
                .entry(resource.resource.clone())
                .or_insert((resource, scope));
        }
    }

    /// What an etcd key stands for.
    #[must_use]
    pub fn place(&self, key: impl AsRef<[u8]>) -> Place {
        let Ok(key) = std::str::from_utf8(key.as_ref()) else {
            return Place::Unmapped("a key that is no text".to_owned());
        };
        let Some(path) = key.strip_prefix(&self.prefix) else {
            return Place::Unmapped(key.split('/').take(3).collect::<Vec<_>>().join("/"));
        };
        for value in NoEndpoint::ALL {
            if value
                .paths()
                .iter()
                .any(|known| path == *known || (known.ends_with('/') && path.starts_with(known)))
            {
                return Place::NoEndpoint(value);
            }
        }
        let words: Vec<&str> = path.split('/').collect();
        self.object(&words)
            .map_or_else(|| Place::Unmapped(first_words(&words)), Place::Object)
    }

    fn object(&self, words: &[&str]) -> Option<ObjectRef> {
        if words.iter().any(|word| word.is_empty()) {
            return None;
        }
        let (first, rest) = words.split_first()?;
        let second = rest.first()?;
        let of_table = self
            .resources
            .get(&format!("{first}/{second}"))
            .and_then(|found| Some((found, rest.get(1..)?)))
            .or_else(|| Some((self.resources.get(*first)?, rest)));
        if let Some(((resource, scope), rest)) = of_table {
            let (namespace, name) = match (scope, rest) {
                (Scope::Cluster, [name]) => (None, *name),
                (Scope::Namespaced, [namespace, name]) => (Some((*namespace).to_owned()), *name),
                _ => return None,
            };
            return Some(ObjectRef {
                resource: resource.clone(),
                namespace,
                name: name.to_owned(),
            });
        }
        custom(words)
    }

    /// Where the values of these resources lie: disjoint and in order, so that no value is seen twice.
    #[must_use]
    pub fn spans(&self, patterns: &[ResourcePattern]) -> Vec<Span> {
        let paths = patterns.iter().flat_map(|pattern| self.prefixes_for(pattern));
        merged(paths.map(|path| Span::path(&path)).collect())
    }

    /// The same without what a more exact one of the `others` takes from a pattern: the API server looks for a resource by its name, then by
    /// its group, and then in `*.*`.
    #[must_use]
    pub fn spans_beside(&self, patterns: &[ResourcePattern], others: &[ResourcePattern]) -> Vec<Span> {
        let of_pattern = |pattern: &ResourcePattern| {
            let taken = others.iter().filter(|other| is_more_exact(other, pattern));
            let taken: Vec<String> = taken.flat_map(|other| self.certain_prefixes(other)).collect();
            let taken = merged(taken.iter().map(|path| Span::path(path)).collect());
            Span::without(&self.spans(std::slice::from_ref(pattern)), &taken)
        };
        merged(patterns.iter().flat_map(of_pattern).collect())
    }

    /// As [`Self::prefixes_for`], without the places that could be those of another resource.
    fn certain_prefixes(&self, pattern: &ResourcePattern) -> Vec<String> {
        let ResourcePattern::Exact(exact) = pattern else {
            return self.prefixes_for(pattern);
        };
        let mut paths = self.built_in(|resource| resource == exact);
        if exact.group.contains('.') {
            paths.push(format!("{}/{}/", exact.group, exact.resource));
        }
        paths
            .iter()
            .map(|path| format!("{}{path}", self.prefix))
            .collect()
    }

    /// The paths, prefix included, below which the values of these resources lie; one without a slash at its end is one key.
    ///
    /// For a resource that the table does not know, all places where it could be: as a custom one, and as a built-in one of a newer
    /// server.
    #[must_use]
    pub fn prefixes_for(&self, pattern: &ResourcePattern) -> Vec<String> {
        let mut paths: Vec<String> = match pattern {
            ResourcePattern::All => vec![String::new()],
            ResourcePattern::Exact(exact) => {
                if is_in_table(exact) {
                    self.built_in(|resource| resource == exact)
                } else {
                    guesses(exact)
                }
            }
            ResourcePattern::Group(group) => {
                let mut paths = self.built_in(|resource| resource.group == *group);
                if group.contains('.') {
                    paths.push(format!("{group}/"));
                }
                if group.is_empty() {
                    paths.extend(
                        NoEndpoint::ALL
                            .iter()
                            .flat_map(|value| value.paths())
                            .map(|&path| path.to_owned()),
                    );
                }
                paths
            }
        };
        paths.sort();
        paths
            .iter()
            .map(|path| format!("{}{path}", self.prefix))
            .collect()
    }

    fn built_in(&self, is: impl Fn(&GroupResource) -> bool) -> Vec<String> {
        self.resources
            .iter()
            .filter(|(_, (resource, _))| is(resource))
            .map(|(path, _)| format!("{path}/"))
            .collect()
    }
}

/// Spans in order, those that overlap made one.
fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort();
    let mut merged: Vec<Span> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.clone().max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

/// Whether the API server finds a resource that both cover by `one`.
const fn is_more_exact(one: &ResourcePattern, other: &ResourcePattern) -> bool {
    match (one, other) {
        (ResourcePattern::Exact(_), ResourcePattern::Group(_) | ResourcePattern::All)
        | (ResourcePattern::Group(_), ResourcePattern::All) => true,
        (ResourcePattern::Exact(_), ResourcePattern::Exact(_))
        | (ResourcePattern::Group(_), ResourcePattern::Exact(_) | ResourcePattern::Group(_))
        | (ResourcePattern::All, _) => false,
    }
}

/// Whether resources of the group may be built in.
#[must_use]
pub fn is_kubernetes_own(group: &str) -> bool {
    !group.contains('.') || group.ends_with(".k8s.io")
}

fn is_in_table(resource: &GroupResource) -> bool {
    BUILT_IN
        .iter()
        .any(|row| row.group == resource.group && row.resource == resource.resource)
}

/// A custom resource lies below its group, and a group of one has a dot in it.
fn custom(words: &[&str]) -> Option<ObjectRef> {
    let (group, resource, namespace, name) = match words {
        [group, resource, name] => (group, resource, None, name),
        [group, resource, namespace, name] => (group, resource, Some((*namespace).to_owned()), name),
        _ => return None,
    };
    group.contains('.').then(|| ObjectRef {
        resource: GroupResource {
            resource: (*resource).to_owned(),
            group: (*group).to_owned(),
        },
        namespace,
        name: (*name).to_owned(),
    })
}

/// Where a resource that the table does not know may be.
fn guesses(resource: &GroupResource) -> Vec<String> {
    let custom = format!("{}/{}/", resource.group, resource.resource);
    let built_in = format!("{}/", resource.resource);
    if !resource.group.contains('.') {
        vec![built_in]
    } else if resource.group.ends_with(".k8s.io") {
        vec![custom, built_in]
    } else {
        vec![custom]
    }
}

/// Enough of a path to know it by, without a name in it.
fn first_words(words: &[&str]) -> String {
    let of_group = words.first().is_some_and(|word| word.contains('.'));
    let count = if of_group { 2 } else { 1 };
    words.iter().take(count).copied().collect::<Vec<_>>().join("/")
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.resource, self.name),
            None => write!(f, "{} {}", self.resource, self.name),
        }
    }
}

#[cfg(test)]
mod tests;
