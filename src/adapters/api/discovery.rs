//! By which path a resource can be patched: the group's preferred version if that serves it, else another. Only the groups that are
//! asked for are looked at, so that a broken aggregated API of another group holds nothing up.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::Api;
use super::client::Answer;
use crate::census::{Scope, is_kubernetes_own};
use crate::domain::{Fact, GroupResource, Reason};

/// The list of a group's resources has some 10 kB, with hundreds of custom resources some 100.
const MAX_BYTES: usize = 8 << 20;

/// How a resource is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The version, as `v1`.
    pub version: String,
    /// True when its objects are in namespaces.
    pub namespaced: bool,
    /// True when its verbs include `patch`.
    pub patchable: bool,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<NamedGroup>,
}

#[derive(Deserialize)]
struct NamedGroup {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    versions: Vec<Version>,
    preferred_version: Option<Version>,
}

#[derive(Deserialize, PartialEq, Eq)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Resources {
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

/// How each of the resources is served. `Absent`: by no version of its group; `Unknown`: the group could not be asked.
pub async fn served(api: &Api, asked: &BTreeSet<GroupResource>) -> BTreeMap<GroupResource, Fact<Served>> {
    let groups: BTreeSet<&str> = asked.iter().map(|resource| resource.group.as_str()).collect();
    let mut answers = BTreeMap::new();
    for group in groups {
        let found = group_resources(api, group).await;
        for resource in asked.iter().filter(|resource| resource.group == group) {
            let fact = match &found {
                Ok(found) => found
                    .get(&resource.resource)
                    .cloned()
                    .map_or(Fact::Absent, Fact::Known),
                Err(reason) => Fact::Unknown(reason.clone()),
            };
            answers.insert(resource.clone(), fact);
        }
    }
    answers
}

/// All resources of these groups, `None` meaning those of all groups that may have built-in ones, each with its scope. A group that cannot
/// be asked, as that of a broken aggregated API, is left out.
pub async fn listed(api: &Api, groups: Option<&BTreeSet<String>>) -> BTreeSet<(GroupResource, Scope)> {
    let all: BTreeSet<String> = match groups {
        Some(groups) => groups.clone(),
        None => match json::<Groups>(api, "/apis").await {
            Ok(found) => found.into_iter().flat_map(Groups::own).collect(),
            Err(_) => BTreeSet::new(),
        },
    };
    let mut found = BTreeSet::new();
    for group in all {
        for (resource, served) in group_resources(api, &group).await.unwrap_or_default() {
            let scope = match served.namespaced {
                true => Scope::Namespaced,
                false => Scope::Cluster,
            };
            let group = group.clone();
            found.insert((GroupResource { resource, group }, scope));
        }
    }
    found
}

/// The resources of a group. A version that patches a resource goes before one that only serves it.
async fn group_resources(api: &Api, group: &str) -> Result<BTreeMap<String, Served>, Reason> {
    let mut found: BTreeMap<String, Served> = BTreeMap::new();
    let (base, versions) = if group.is_empty() {
        ("/api".to_owned(), vec!["v1".to_owned()])
    } else {
        let base = format!("/apis/{group}");
        let versions = match json::<Group>(api, &base).await? {
            Some(group) => group.in_order(),
            None => return Ok(found),
        };
        (base, versions)
    };
    for version in versions {
        let Some(list) = json::<Resources>(api, &format!("{base}/{version}")).await? else {
            continue;
        };
        // Subresources have a slash in their names.
        for resource in list
            .resources
            .into_iter()
            .filter(|resource| !resource.name.contains('/'))
        {
            let patchable = resource.verbs.iter().any(|verb| verb == "patch");
            if found
                .get(&resource.name)
                .is_none_or(|before| patchable && !before.patchable)
            {
                let served = Served {
                    version: version.clone(),
                    namespaced: resource.namespaced,
                    patchable,
                };
                found.insert(resource.name, served);
            }
        }
    }
    Ok(found)
}

impl Groups {
    /// Those that may have built-in resources, the core group included, which is not among them.
    fn own(self) -> impl Iterator<Item = String> {
        let names = self.groups.into_iter().map(|group| group.name);
        names
            .filter(|name| is_kubernetes_own(name))
            .chain([String::new()])
    }
}

impl Group {
    /// The versions, the preferred one first.
    fn in_order(self) -> Vec<String> {
        let preferred = self.preferred_version.map(|version| version.version);
        let others = self.versions.into_iter().map(|version| version.version);
        let others = others.filter(|version| Some(version) != preferred.as_ref());
        preferred.iter().cloned().chain(others).collect()
    }
}

/// The document at a path; none when the server answers 404.
pub(super) async fn json<T: for<'de> Deserialize<'de>>(api: &Api, path: &str) -> Result<Option<T>, Reason> {
    json_as(api, path, "application/json").await
}

/// The same in the form that `accept` names.
pub(super) async fn json_as<T: for<'de> Deserialize<'de>>(
    api: &Api,
    path: &str,
    accept: &'static str,
) -> Result<Option<T>, Reason> {
    let answer = api
        .get(path, accept, MAX_BYTES)
        .await
        .map_err(|error| api.told(path, &error.to_string()))?;
    read(api, path, &answer)
}

/// What an answer says; none for 404.
pub(super) fn read<T: for<'de> Deserialize<'de>>(
    api: &Api,
    path: &str,
    answer: &Answer,
) -> Result<Option<T>, Reason> {
    match answer.code {
        // Where it is wrong is told, and not what stands there: serde's own words quote it.
        200 => serde_json::from_slice(&answer.body).map(Some).map_err(|error| {
            let place = format!(
                "its answer cannot be read at line {}, column {}",
                error.line(),
                error.column()
            );
            api.told(path, &place)
        }),
        404 => Ok(None),
        code => Err(api.told(path, &format!("it answers {code}"))),
    }
}
