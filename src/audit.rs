//! The API server's audit policy (audit.k8s.io/v1), as the API server applies it: the first rule that matches decides
//! (kubernetes apiserver/pkg/audit/policy/checker.go).

use serde::Deserialize;

/// A policy, as far as it decides what is logged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// How much is logged of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Level {
    /// Nothing.
    None,
    /// Who did what.
    Metadata,
    /// And what was sent.
    Request,
    /// And what was answered.
    RequestResponse,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<Resources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

/// A kind of request to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// `get`, `create`, ...
    pub verb: &'static str,
    /// The API group; empty for the core.
    pub group: &'static str,
    /// The resource, in the plural.
    pub resource: &'static str,
    /// The subresource; empty for none.
    pub subresource: &'static str,
}

impl Request {
    const fn of(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self {
            verb,
            group,
            resource,
            subresource: "",
        }
    }

    const fn sub(verb: &'static str, resource: &'static str, subresource: &'static str) -> Self {
        Self {
            verb,
            group: "",
            resource,
            subresource,
        }
    }

    /// The resource with its subresource, as a policy writes it.
    fn combined(&self) -> String {
        match self.subresource {
            "" => self.resource.to_owned(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.combined())?;
        match self.group {
            "" => Ok(()),
            group => write!(f, ".{group}"),
        }
    }
}

/// What CIS 3.2.2 wants to be logged, each at least at Metadata. A connection is a `get` or a `create`, by the protocol.
pub const SENSITIVE: [Request; 17] = [
    Request::of("get", "", "secrets"),
    Request::of("list", "", "secrets"),
    Request::of("update", "", "secrets"),
    Request::of("get", "", "configmaps"),
    Request::of("update", "", "configmaps"),
    Request::of("create", "authentication.k8s.io", "tokenreviews"),
    Request::of("create", "", "pods"),
    Request::of("delete", "", "pods"),
    Request::of("create", "apps", "deployments"),
    Request::sub("get", "pods", "exec"),
    Request::sub("create", "pods", "exec"),
    Request::sub("get", "pods", "portforward"),
    Request::sub("create", "pods", "portforward"),
    Request::sub("get", "pods", "proxy"),
    Request::sub("create", "pods", "proxy"),
    Request::sub("get", "services", "proxy"),
    Request::sub("create", "services", "proxy"),
];

impl Policy {
    /// Reads it.
    ///
    /// # Errors
    /// When it is no policy.
    pub fn of(document: &serde_json::Value) -> Result<Self, String> {
        if document.get("kind").and_then(serde_json::Value::as_str) != Some("Policy") {
            return Err("its kind is not Policy".to_owned());
        }
        Self::deserialize(document).map_err(|error| format!("it is no audit policy: {error}"))
    }

    /// How much is logged of such a request, whoever makes it: rules for some users, groups, namespaces or names decide for these alone.
    #[must_use]
    pub fn level(&self, request: &Request) -> Level {
        let decides = |rule: &&Rule| rule.is_for_all(request) && rule.matches(request);
        let first = self.rules.iter().find(decides);
        first.map_or(Level::None, |rule| rule.level)
    }
}

impl Rule {
    /// True for a rule that is not about some requesters or some objects only.
    fn is_for_all(&self, request: &Request) -> bool {
        let mut matching = self.resources.iter().filter(|of| of.matches(request)).peekable();
        let is_by_name = matching.peek().is_some() && matching.all(|of| !of.resource_names.is_empty());
        self.users.is_empty() && self.user_groups.is_empty() && self.namespaces.is_empty() && !is_by_name
    }

    fn matches(&self, request: &Request) -> bool {
        if !self.verbs.is_empty() && !self.verbs.iter().any(|verb| verb == request.verb) {
            return false;
        }
        if self.resources.is_empty() {
            return self.non_resource_urls.is_empty();
        }
        self.resources.iter().any(|of| of.matches(request))
    }
}

impl Resources {
    fn matches(&self, request: &Request) -> bool {
        let of_subresource = |name: &str| {
            let wanted = name.strip_prefix("*/");
            !request.subresource.is_empty() && wanted == Some(request.subresource)
        };
        self.group == request.group
            && (self.resources.is_empty()
                || self.resources.iter().any(|name| {
                    *name == request.combined()
                        || name == "*"
                        || of_subresource(name)
                        || name.strip_suffix("/*") == Some(request.resource)
                }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(rules: &str, request: Request) -> Level {
        let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rules}");
        let document: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        Policy::of(&document).unwrap().level(&request)
    }

    const SECRETS: Request = Request::of("get", "", "secrets");
    const EXEC: Request = Request::sub("create", "pods", "exec");

    #[test]
    fn the_first_rule_that_matches_everybody_decides_and_without_one_nothing_is_logged() {
        assert_eq!(level("- level: Metadata\n", SECRETS), Level::Metadata);
        assert_eq!(
            level("- level: None\n- level: Metadata\n", SECRETS),
            Level::None,
            "a catch-all"
        );
        let healthz = "- level: None\n  nonResourceURLs: [/healthz*]\n- level: Request\n";
        assert_eq!(level(healthz, SECRETS), Level::Request);
        let some = "- level: None\n  users: [system:kube-proxy]\n- level: None\n  namespaces: [kube-system]\n- level: Metadata\n";
        assert_eq!(level(some, SECRETS), Level::Metadata);
        let reads = "- level: None\n  verbs: [get, list, watch]\n- level: Metadata\n";
        assert_eq!(level(reads, SECRETS), Level::None);
        assert_eq!(level(reads, EXEC), Level::Metadata);
        let others = "- level: Metadata\n  resources: [{group: apps}]\n";
        assert_eq!(level(others, SECRETS), Level::None);
    }

    #[test]
    fn resources_are_matched_as_the_api_server_matches_them() {
        let with = |resources: &str| {
            let rules =
                format!("- level: Metadata\n  resources: [{{group: \"\", resources: [{resources}]}}]\n");
            [SECRETS, EXEC].map(|request| level(&rules, request) == Level::Metadata)
        };
        assert_eq!(with("secrets, configmaps"), [true, false]);
        assert_eq!(with("pods"), [false, false], "without its subresources");
        assert_eq!(with("pods/exec"), [false, true]);
        assert_eq!(with("pods/*"), [false, true]);
        assert_eq!(with("\"*/exec\""), [false, true]);
        assert_eq!(with("\"*\""), [true, true]);
        assert_eq!(with(""), [true, true], "all of the group");
        let named = "- level: None\n  resources: [{group: \"\", resources: [secrets], resourceNames: [a]}]\n- level: Metadata\n";
        assert_eq!(level(named, SECRETS), Level::Metadata);
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for text in [
            "kind: Pod\nrules: []\n",
            "kind: Policy\n",
            "kind: Policy\nrules: [{level: All}]\n",
        ] {
            let document: serde_json::Value = serde_yaml::from_str(text).unwrap();
            Policy::of(&document).unwrap_err();
        }
    }
}
