//! What an AuthenticationConfiguration (apiserver.config.k8s.io) leaves to the anonymous. Pure.
//!
//! Sources: kubernetes.io, "Authenticating", anonymous authenticator configuration; kubernetes apiserver/pkg/apis/apiserver.

use serde_json::Value;

/// What the anonymous may ask for: health, and what a node that joins by token asks before it has a name (kubeadm `discovery/token`).
pub const HARMLESS: [&str; 4] = [
    "/livez",
    "/readyz",
    "/healthz",
    "/api/v1/namespaces/kube-public/configmaps/cluster-info",
];

/// What a configuration says of the anonymous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anonymous {
    /// Nothing: `--anonymous-auth` decides.
    NotSaid,
    /// They are refused.
    Refused,
    /// They may ask for these paths; for all where there is none.
    Paths(Vec<String>),
}

impl Anonymous {
    /// Reads it.
    ///
    /// # Errors
    /// When it is no such configuration.
    pub fn of(document: &Value) -> Result<Self, String> {
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("kind") != "AuthenticationConfiguration"
            || !text("apiVersion").starts_with("apiserver.config.k8s.io/")
        {
            return Err("it is no AuthenticationConfiguration".to_owned());
        }
        let anonymous = match document.get("anonymous") {
            None | Some(Value::Null) => return Ok(Self::NotSaid),
            Some(anonymous) => anonymous,
        };
        let enabled = anonymous.get("enabled").and_then(Value::as_bool);
        match enabled.ok_or("anonymous.enabled is neither true nor false")? {
            false => Ok(Self::Refused),
            true => paths(anonymous).map(Self::Paths),
        }
    }

    /// True when they may ask for that path.
    #[must_use]
    pub fn leaves(&self, path: &str) -> bool {
        match self {
            Self::NotSaid => true,
            Self::Refused => false,
            Self::Paths(paths) => paths.is_empty() || paths.iter().any(|left| left == path),
        }
    }

    /// The paths beyond the harmless ones; `None` where it is all of them.
    #[must_use]
    pub fn beyond(&self) -> Option<Vec<&str>> {
        match self {
            Self::NotSaid => None,
            Self::Refused => Some(Vec::new()),
            Self::Paths(paths) if paths.is_empty() => None,
            Self::Paths(paths) => {
                let others = paths.iter().map(String::as_str);
                Some(others.filter(|path| !HARMLESS.contains(path)).collect())
            }
        }
    }
}

fn paths(anonymous: &Value) -> Result<Vec<String>, String> {
    let conditions = match anonymous.get("conditions") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(conditions) => conditions.as_array().ok_or("anonymous.conditions is no list")?,
    };
    let path = |condition: &Value| condition.get("path").and_then(Value::as_str).map(str::to_owned);
    let paths: Option<Vec<String>> = conditions.iter().map(path).collect();
    paths.ok_or_else(|| "a condition of anonymous has no path".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(anonymous: &str) -> Result<Anonymous, String> {
        let text =
            format!("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n{anonymous}");
        Anonymous::of(&serde_yaml::from_str(&text).unwrap())
    }

    #[test]
    fn what_is_left_to_the_anonymous_is_told_path_by_path() {
        let beyond = |text: &str| of(text).unwrap().beyond().map(|paths| paths.join(" "));
        assert_eq!(beyond("jwt: []\n"), None);
        assert_eq!(beyond("anonymous: {enabled: false}\n"), Some(String::new()));
        assert_eq!(beyond("anonymous: {enabled: true}\n"), None);
        assert_eq!(beyond("anonymous: {enabled: true, conditions: []}\n"), None);
        let some =
            "anonymous: {enabled: true, conditions: [{path: /livez}, {path: /version}, {path: /healthz}]}\n";
        assert_eq!(beyond(some), Some("/version".to_owned()));
    }

    #[test]
    fn what_is_no_such_configuration_is_refused() {
        for text in [
            "anonymous: {}\n",
            "anonymous: {enabled: yes please}\n",
            "anonymous: {enabled: true, conditions: all}\n",
            "anonymous: {enabled: true, conditions: [{}]}\n",
        ] {
            of(text).unwrap_err();
        }
        for text in [
            "kind: Pod\n",
            "kind: AuthenticationConfiguration\napiVersion: v1\n",
            "[]\n",
        ] {
            Anonymous::of(&serde_yaml::from_str(text).unwrap()).unwrap_err();
        }
    }

    #[test]
    fn what_holdfast_installs_is_harmless() {
        let text = include_str!("controls/kits/authentication.yaml");
        let ours = Anonymous::of(&serde_yaml::from_str(text).unwrap()).unwrap();
        assert_eq!(ours, Anonymous::Paths(HARMLESS.map(str::to_owned).to_vec()));
    }
}
