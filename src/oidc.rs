//! What the API server's `--oidc-*` flags come to in an AuthenticationConfiguration, which takes their place. Pure.
//!
//! Source: kubernetes pkg/kubeapiserver/options/authentication.go, `ToAuthenticationConfig`. The file takes every signing algorithm; the flags
//! take RS256 alone, unless `--oidc-signing-algs` says otherwise, which nothing in the file could.

use std::collections::BTreeMap;

/// How tokens of an issuer are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// `--oidc-issuer-url`.
    pub issuer: String,
    /// `--oidc-client-id`.
    pub client: String,
    username: (String, String),
    groups: Option<(String, String)>,
    required: BTreeMap<String, String>,
    /// `--oidc-ca-file`: whose content goes into the file.
    pub authority: Option<String>,
}

impl Oidc {
    /// Reads the flags; nothing where none of them is given.
    ///
    /// # Errors
    /// Why they cannot be said by the file.
    pub fn of<'a>(flags: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Option<Self>, String> {
        let mut last = BTreeMap::new();
        let mut required = BTreeMap::new();
        for (name, value) in flags.filter_map(|(name, value)| Some((name.strip_prefix("oidc-")?, value))) {
            if name == "required-claim" {
                let (claim, wanted) = value
                    .split_once('=')
                    .ok_or("--oidc-required-claim is no CLAIM=VALUE")?;
                required.insert(claim.trim().to_owned(), wanted.trim().to_owned());
            }
            last.insert(name, value);
        }
        if last.is_empty() {
            return Ok(None);
        }
        let mut take = |name| last.remove(name).filter(|value: &&str| !value.is_empty());
        let (Some(issuer), Some(client)) = (take("issuer-url"), take("client-id")) else {
            return Err(
                "--oidc-issuer-url and --oidc-client-id are not both given, without which kube-apiserver does not start with any of the \
                 --oidc-* flags"
                    .to_owned(),
            );
        };
        if take("signing-algs").is_some_and(|algorithms| algorithms != "RS256") {
            return Err(
                "--oidc-signing-algs says which algorithms are taken, and the configuration cannot; move what the --oidc-* flags say by hand"
                    .to_owned(),
            );
        }
        let claim = take("username-claim").unwrap_or("sub");
        let prefix = match take("username-prefix") {
            Some("-") => String::new(),
            Some(prefix) => prefix.to_owned(),
            None if claim == "email" => String::new(),
            None => format!("{issuer}#"),
        };
        let groups_prefix = take("groups-prefix").unwrap_or_default();
        let groups = take("groups-claim").map(|claim| (claim.to_owned(), groups_prefix.to_owned()));
        let authority = take("ca-file").map(str::to_owned);
        if let Some(name) = last.into_keys().find(|name| *name != "required-claim") {
            return Err(format!("--oidc-{name} is not known, and so not carried over"));
        }
        Ok(Some(Self {
            issuer: issuer.to_owned(),
            client: client.to_owned(),
            username: (claim.to_owned(), prefix),
            groups,
            required,
            authority,
        }))
    }

    /// The section `jwt` of an AuthenticationConfiguration; `authority`: the text of the file of `--oidc-ca-file`.
    #[must_use]
    pub fn section(&self, authority: Option<&str>) -> String {
        // A JSON string is a YAML one.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut lines = vec![
            "# What the --oidc-* flags said, which kube-apiserver does not take beside this file.".to_owned(),
            "jwt:".to_owned(),
            "- issuer:".to_owned(),
            format!("    url: {}", quoted(&self.issuer)),
        ];
        lines.extend(authority.map(|text| format!("    certificateAuthority: {}", quoted(text))));
        lines.extend([
            "    audiences:".to_owned(),
            format!("    - {}", quoted(&self.client)),
            "  claimMappings:".to_owned(),
        ]);
        let groups = self.groups.as_ref().map(|groups| ("groups", groups));
        for (name, (claim, prefix)) in std::iter::once(("username", &self.username)).chain(groups) {
            lines.extend([
                format!("    {name}:"),
                format!("      claim: {}", quoted(claim)),
                format!("      prefix: {}", quoted(prefix)),
            ]);
        }
        if !self.required.is_empty() {
            lines.push("  claimValidationRules:".to_owned());
        }
        for (claim, value) in &self.required {
            lines.extend([
                format!("  - claim: {}", quoted(claim)),
                format!("    requiredValue: {}", quoted(value)),
            ]);
        }
        lines.join("\n") + "\n"
    }

    /// True where a configuration takes tokens of that issuer.
    #[must_use]
    pub fn is_in(&self, document: &serde_json::Value) -> bool {
        let issuers = document.get("jwt").and_then(serde_json::Value::as_array);
        issuers.is_some_and(|all| {
            all.iter().any(|one| {
                one.pointer("/issuer/url").and_then(serde_json::Value::as_str) == Some(&self.issuer)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: (&str, &str) = ("oidc-issuer-url", "https://issuer.test/\"realm\"");
    const CLIENT: (&str, &str) = ("oidc-client-id", "kubernetes");

    fn of(flags: &[(&str, &str)]) -> Result<Option<Oidc>, String> {
        Oidc::of(flags.iter().copied())
    }

    fn document(flags: &[(&str, &str)], authority: Option<&str>) -> serde_json::Value {
        let oidc = of(flags).unwrap().unwrap();
        let document: serde_json::Value = serde_yaml::from_str(&oidc.section(authority)).unwrap();
        assert!(oidc.is_in(&document));
        document["jwt"][0].clone()
    }

    #[test]
    fn the_least_flags_come_to_what_the_api_server_makes_of_them() {
        assert_eq!(of(&[("authorization-mode", "Node,RBAC")]), Ok(None));
        assert_eq!(
            document(&[ISSUER, CLIENT, ("oidc-signing-algs", "RS256")], None),
            json!({
                "issuer": { "url": "https://issuer.test/\"realm\"", "audiences": ["kubernetes"] },
                "claimMappings": { "username": { "claim": "sub", "prefix": "https://issuer.test/\"realm\"#" } },
            })
        );
        let email = document(&[ISSUER, CLIENT, ("oidc-username-claim", "email")], None);
        assert_eq!(
            email["claimMappings"]["username"],
            json!({ "claim": "email", "prefix": "" })
        );
        let none = document(&[ISSUER, CLIENT, ("oidc-username-prefix", "-")], None);
        assert_eq!(
            none["claimMappings"]["username"],
            json!({ "claim": "sub", "prefix": "" })
        );
    }

    #[test]
    fn every_flag_is_carried_over_and_the_last_of_each_counts() {
        let pem = "-----BEGIN CERTIFICATE-----\nMIIB: #\n-----END CERTIFICATE-----\n";
        let flags = [
            ("oidc-client-id", "another"),
            ISSUER,
            CLIENT,
            ("oidc-username-claim", "preferred_username"),
            ("oidc-username-prefix", "oidc:"),
            ("oidc-groups-claim", "groups"),
            ("oidc-groups-prefix", "oidc: "),
            ("oidc-required-claim", "hd=example.test"),
            ("oidc-required-claim", "a=b,c=d"),
            ("oidc-ca-file", "/etc/kubernetes/pki/oidc.crt"),
        ];
        assert_eq!(
            document(&flags, Some(pem)),
            json!({
                "issuer": { "url": "https://issuer.test/\"realm\"", "certificateAuthority": pem, "audiences": ["kubernetes"] },
                "claimMappings": {
                    "username": { "claim": "preferred_username", "prefix": "oidc:" },
                    "groups": { "claim": "groups", "prefix": "oidc: " },
                },
                "claimValidationRules": [
                    { "claim": "a", "requiredValue": "b,c=d" },
                    { "claim": "hd", "requiredValue": "example.test" },
                ],
            })
        );
    }

    #[test]
    fn what_the_file_cannot_say_is_not_carried_over() {
        for (flags, why) in [
            (vec![ISSUER], "not both given"),
            (vec![CLIENT, ("oidc-issuer-url", "")], "not both given"),
            (
                vec![ISSUER, CLIENT, ("oidc-signing-algs", "ES256")],
                "which algorithms",
            ),
            (
                vec![ISSUER, CLIENT, ("oidc-required-claim", "hd")],
                "no CLAIM=VALUE",
            ),
            (
                vec![ISSUER, CLIENT, ("oidc-new-flag", "x")],
                "--oidc-new-flag is not known",
            ),
        ] {
            let told = of(&flags).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}
