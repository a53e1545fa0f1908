//! What an AdmissionConfiguration (apiserver.config.k8s.io) says of a plug-in. Pure.
//!
//! Sources: kubernetes.io, "Enforce Pod Security Standards by Configuring the Built-in Admission Controller"; kubernetes
//! apiserver/pkg/admission/config.go and pod-security-admission/admission/api.

use serde_json::Value;

/// Where a plug-in's own configuration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginConfig<'a> {
    /// In the same file.
    Here(&'a Value),
    /// In a file of its own, as the component sees it; a relative path begins at the folder of the configuration.
    File(&'a str),
}

/// What a configuration says of a plug-in; `None` when it says nothing.
///
/// # Errors
/// When it is no such configuration.
pub fn plugin<'a>(document: &'a Value, name: &str) -> Result<Option<PluginConfig<'a>>, String> {
    let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("kind") != "AdmissionConfiguration" || !text("apiVersion").starts_with("apiserver.config.k8s.io/")
    {
        return Err("it is no AdmissionConfiguration".to_owned());
    }
    let plugins = match document.get("plugins") {
        None | Some(Value::Null) => return Ok(None),
        Some(plugins) => plugins.as_array().ok_or("plugins is no list")?,
    };
    let is_it = |plugin: &&Value| plugin.get("name").and_then(Value::as_str) == Some(name);
    let Some(plugin) = plugins.iter().find(is_it) else {
        return Ok(None);
    };
    // What stands in the same file counts, whatever path is beside it (apiserver/pkg/admission/config.go, `GetAdmissionPluginConfigurationFor`).
    if let Some(here) = plugin.get("configuration").filter(|here| !here.is_null()) {
        return Ok(Some(PluginConfig::Here(here)));
    }
    let path = plugin.get("path").and_then(Value::as_str);
    Ok(path.filter(|path| !path.is_empty()).map(PluginConfig::File))
}

/// What a PodSecurityConfiguration keeps a namespace to that has no label: `privileged` where it says nothing.
///
/// # Errors
/// When it is no such configuration.
pub fn pod_security_default(document: &Value) -> Result<&str, String> {
    let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("kind") != "PodSecurityConfiguration"
        || !text("apiVersion").starts_with("pod-security.admission.config.k8s.io/")
    {
        return Err("it is no PodSecurityConfiguration".to_owned());
    }
    match document
        .get("defaults")
        .and_then(|defaults| defaults.get("enforce"))
    {
        None | Some(Value::Null) => Ok("privileged"),
        Some(level) => level
            .as_str()
            .filter(|level| ["privileged", "baseline", "restricted"].contains(level))
            .ok_or_else(|| "defaults.enforce is no level of the Pod Security Standards".to_owned()),
    }
}

/// Whom a PodSecurityConfiguration spares, whatever level their namespace has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exemptions {
    /// These namespaces.
    pub namespaces: Vec<String>,
    /// These users, in every namespace.
    pub usernames: Vec<String>,
    /// Pods of these runtime classes, in every namespace.
    pub runtime_classes: Vec<String>,
}

/// Whom a PodSecurityConfiguration spares.
///
/// # Errors
/// When a list of it is none.
pub fn pod_security_exemptions(document: &Value) -> Result<Exemptions, String> {
    let list = |key: &str| {
        let found = document
            .get("exemptions")
            .and_then(|exemptions| exemptions.get(key));
        let items = match found {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(found) => found
                .as_array()
                .ok_or_else(|| format!("exemptions.{key} is no list"))?,
        };
        let text = |item: &Value| item.as_str().map(str::to_owned);
        items
            .iter()
            .map(|item| text(item).ok_or_else(|| format!("exemptions.{key} holds what is no text")))
            .collect()
    };
    Ok(Exemptions {
        namespaces: list("namespaces")?,
        usernames: list("usernames")?,
        runtime_classes: list("runtimeClasses")?,
    })
}

/// The names of the plug-ins that a configuration is about.
///
/// # Errors
/// When it is no such configuration.
pub fn plugins(document: &Value) -> Result<Vec<&str>, String> {
    plugin(document, "")?;
    let all = document
        .get("plugins")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    Ok(all
        .filter_map(|plugin| plugin.get("name").and_then(Value::as_str))
        .collect())
}

/// Whether an EventRateLimit configuration has limits that the API server bears.
///
/// # Errors
/// Why it does not start with it (plugin/pkg/admission/eventratelimit/apis/eventratelimit/validation).
pub fn event_limits(document: &Value) -> Result<(), String> {
    const KINDS: [&str; 4] = ["Server", "Namespace", "User", "SourceAndObject"];
    let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("kind") != "Configuration" || text("apiVersion") != "eventratelimit.admission.k8s.io/v1alpha1" {
        return Err("it is no Configuration of eventratelimit.admission.k8s.io/v1alpha1".to_owned());
    }
    let limits = document.get("limits").and_then(Value::as_array);
    let Some(limits) = limits.filter(|limits| !limits.is_empty()) else {
        return Err("it has no limits, and the API server does not start without".to_owned());
    };
    for limit in limits {
        let kind = limit.get("type").and_then(Value::as_str).unwrap_or_default();
        if !KINDS.contains(&kind) {
            return Err(format!("a limit's type is none of {}", KINDS.join(", ")));
        }
        for key in ["qps", "burst"] {
            if limit
                .get(key)
                .and_then(Value::as_i64)
                .is_none_or(|number| number <= 0)
            {
                return Err(format!("the {key} of a limit ({kind}) is not above 0"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Value {
        serde_yaml::from_str(text).unwrap()
    }

    fn with(plugin: &str) -> Value {
        of(&format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: [{plugin}]\n"
        ))
    }

    #[test]
    fn a_plug_in_is_configured_in_place_or_by_a_path() {
        let here = with("{name: PodSecurity, path: x.yaml, configuration: {a: b}}");
        assert_eq!(
            plugin(&here, "PodSecurity"),
            Ok(Some(PluginConfig::Here(&of("{a: b}"))))
        );
        let file = with("{name: PodSecurity, path: x.yaml}");
        assert_eq!(
            plugin(&file, "PodSecurity"),
            Ok(Some(PluginConfig::File("x.yaml")))
        );
        assert_eq!(plugin(&file, "EventRateLimit"), Ok(None));
        assert_eq!(
            plugin(&with("{name: PodSecurity, path: ''}"), "PodSecurity"),
            Ok(None)
        );
    }

    #[test]
    fn what_is_no_such_configuration_is_refused() {
        for text in [
            "{}",
            "kind: AdmissionConfiguration",
            "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: all}",
        ] {
            plugin(&of(text), "PodSecurity").unwrap_err();
        }
    }

    #[test]
    fn a_namespace_without_a_label_is_kept_to_what_the_defaults_say() {
        let config = |rest: &str| {
            of(&format!(
                "apiVersion: pod-security.admission.config.k8s.io/v1\nkind: PodSecurityConfiguration\n{rest}"
            ))
        };
        let level = |rest: &str| pod_security_default(&config(rest)).map(str::to_owned);
        assert_eq!(level("defaults: {enforce: baseline}"), Ok("baseline".to_owned()));
        assert_eq!(level("defaults: {warn: baseline}"), Ok("privileged".to_owned()));
        assert_eq!(level(""), Ok("privileged".to_owned()));
        level("defaults: {enforce: strict}").unwrap_err();
        pod_security_default(&of("{}")).unwrap_err();
    }

    #[test]
    fn who_is_spared_is_read_from_the_exemptions() {
        let spared = |text: &str| pod_security_exemptions(&of(text));
        assert_eq!(spared("{}"), Ok(Exemptions::default()));
        assert_eq!(
            spared("exemptions: {namespaces: [a, b], usernames: [u], runtimeClasses: null}"),
            Ok(Exemptions {
                namespaces: vec!["a".to_owned(), "b".to_owned()],
                usernames: vec!["u".to_owned()],
                runtime_classes: Vec::new(),
            })
        );
        spared("exemptions: {namespaces: a}").unwrap_err();
        spared("exemptions: {usernames: [{}]}").unwrap_err();
    }

    #[test]
    fn limits_of_events_are_those_that_the_server_bears() {
        let config = |rest: &str| {
            of(&format!(
                "apiVersion: eventratelimit.admission.k8s.io/v1alpha1\nkind: Configuration\n{rest}"
            ))
        };
        let good = "limits: [{type: Server, qps: 1, burst: 2}, {type: User, qps: 1, burst: 2, cacheSize: 9}]";
        assert_eq!(event_limits(&config(good)), Ok(()));
        for text in [
            "",
            "limits: []",
            "limits:",
            "limits: {}",
            "limits: [{qps: 1, burst: 2}]",
            "limits: [{type: Node, qps: 1, burst: 2}]",
            "limits: [{type: Server, qps: 0, burst: 2}]",
            "limits: [{type: Server, qps: 1}]",
        ] {
            event_limits(&config(text)).unwrap_err();
        }
        event_limits(&of("{kind: Configuration, limits: [{}]}")).unwrap_err();
        let two = with("{name: PodSecurity}, {name: EventRateLimit, path: x}");
        assert_eq!(plugins(&two), Ok(vec!["PodSecurity", "EventRateLimit"]));
    }
}
