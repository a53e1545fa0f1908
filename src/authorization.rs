//! What an AuthorizationConfiguration (apiserver.config.k8s.io) says. Pure.
//!
//! Sources: kubernetes.io, "Authorization", configuring the API server using an authorization config file; kubernetes
//! apiserver/pkg/apis/apiserver/validation.

use serde_json::Value;

/// One of the authorizers, which are asked in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorizer {
    /// `Node`, `RBAC`, `Webhook`..., as `--authorization-mode` names them.
    pub kind: String,
    /// Its name in the file.
    pub name: String,
    /// True for a webhook whose failure leaves the decision to the next.
    pub fails_open: bool,
}

/// The authorizers of a configuration.
///
/// # Errors
/// When it is no such configuration.
pub fn authorizers(document: &Value) -> Result<Vec<Authorizer>, String> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let is_it = text(document, "kind").is_some_and(|kind| kind == "AuthorizationConfiguration")
        && text(document, "apiVersion")
            .is_some_and(|version| version.starts_with("apiserver.config.k8s.io/"));
    if !is_it {
        return Err("it is no AuthorizationConfiguration".to_owned());
    }
    let list = document.get("authorizers").and_then(Value::as_array);
    let list = list.ok_or("authorizers is no list")?;
    let authorizer = |value: &Value| {
        let kind = text(value, "type").ok_or("an authorizer has no type")?;
        let policy = value
            .get("webhook")
            .and_then(|webhook| text(webhook, "failurePolicy"));
        Ok(Authorizer {
            // Validation wants a policy of each webhook, so that one without has none that could be trusted.
            fails_open: kind == "Webhook" && policy.as_deref() != Some("Deny"),
            name: text(value, "name").unwrap_or_default(),
            kind,
        })
    };
    list.iter().map(authorizer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rest: &str) -> Result<Vec<Authorizer>, String> {
        let text =
            format!("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n{rest}");
        authorizers(&serde_yaml::from_str(&text).unwrap())
    }

    #[test]
    fn each_authorizer_is_read_in_order_with_what_becomes_of_its_failure() {
        let text = "authorizers:\n- {type: Webhook, name: ours, webhook: {failurePolicy: NoOpinion}}\n\
                    - {type: Webhook, name: theirs, webhook: {failurePolicy: Deny}}\n- {type: Node, name: node}\n";
        let read: Vec<(String, bool)> = of(text)
            .unwrap()
            .into_iter()
            .map(|one| (format!("{} {}", one.kind, one.name), one.fails_open))
            .collect();
        let expected = [
            ("Webhook ours", true),
            ("Webhook theirs", false),
            ("Node node", false),
        ];
        assert_eq!(read, expected.map(|(name, open)| (name.to_owned(), open)));
    }

    #[test]
    fn what_is_no_such_configuration_is_refused() {
        for text in ["", "authorizers: all\n", "authorizers: [{name: x}]\n"] {
            of(text).unwrap_err();
        }
        for text in ["kind: AuthorizationConfiguration\n", "[]\n"] {
            authorizers(&serde_yaml::from_str(text).unwrap()).unwrap_err();
        }
    }
}
