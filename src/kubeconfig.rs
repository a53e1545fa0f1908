//! Reads what a kubeconfig says of servers and of how users sign in. The secrets in it are neither kept nor told.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::domain::{Kubeconfig, SignIn};

/// Reads a kubeconfig.
///
/// # Errors
/// When it is none. Its text holds secrets, so only the place is told.
pub fn of_text(text: &[u8]) -> Result<Kubeconfig, String> {
    let raw: Raw = serde_yaml::from_slice(text).map_err(|error| {
        let place = error.location().map_or_else(String::new, |at| {
            format!(" at line {}, column {}", at.line(), at.column())
        });
        format!("it is no kubeconfig{place}")
    })?;
    if raw.kind != "Config" {
        return Err("it is no kubeconfig: its kind is not Config".to_owned());
    }
    let clusters = raw.clusters.unwrap_or_default();
    let servers = clusters
        .iter()
        .map(|named| named.cluster.server.clone())
        .collect();
    let unverified = clusters.into_iter().filter(|named| {
        let cluster = &named.cluster;
        cluster.insecure_skip_tls_verify || cluster.server.starts_with("http://")
    });
    let users = raw.users.unwrap_or_default().into_iter();
    Ok(Kubeconfig {
        unverified: unverified.map(|named| named.name).collect(),
        servers,
        sign_ins: users.flat_map(|named| sign_ins(&named.user)).collect(),
    })
}

/// True when a text could have a YAML alias: it stands at the start, or behind white space or a sign of flow style. Whoever writes one makes a
/// small text large in memory; no client of Kubernetes does.
#[must_use]
pub fn has_aliases(text: &[u8]) -> bool {
    let before = std::iter::once(b' ').chain(text.iter().copied());
    let mut pairs = before.zip(text.iter().copied());
    pairs
        .any(|(before, letter)| letter == b'*' && (before.is_ascii_whitespace() || b"[{,:".contains(&before)))
}

fn sign_ins(user: &User) -> Vec<SignIn> {
    let has = |field: &Option<IgnoredAny>| field.is_some();
    let mut all = Vec::new();
    for (is_there, how) in [
        (
            has(&user.certificate_data) || has(&user.certificate),
            SignIn::Certificate,
        ),
        (has(&user.token), SignIn::Token),
        (has(&user.token_file), SignIn::TokenFile),
        (has(&user.password) || has(&user.username), SignIn::Password),
        (has(&user.exec), SignIn::Exec),
        (has(&user.auth_provider), SignIn::AuthProvider),
    ] {
        if is_there {
            all.push(how);
        }
    }
    if all.is_empty() {
        all.push(SignIn::Nothing);
    }
    all
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    kind: String,
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
}

#[derive(Deserialize)]
struct NamedCluster {
    #[serde(default)]
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    #[serde(default)]
    server: String,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
}

#[derive(Deserialize)]
struct NamedUser {
    user: User,
}

#[derive(Deserialize)]
struct User {
    #[serde(rename = "client-certificate-data")]
    certificate_data: Option<IgnoredAny>,
    #[serde(rename = "client-certificate")]
    certificate: Option<IgnoredAny>,
    token: Option<IgnoredAny>,
    #[serde(rename = "tokenFile")]
    token_file: Option<IgnoredAny>,
    username: Option<IgnoredAny>,
    password: Option<IgnoredAny>,
    exec: Option<IgnoredAny>,
    #[serde(rename = "auth-provider")]
    auth_provider: Option<IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(clusters: &str, users: &str) -> Kubeconfig {
        of_text(format!("kind: Config\nclusters: {clusters}\nusers: {users}\n").as_bytes()).unwrap()
    }

    #[test]
    fn servers_that_are_not_verified_are_named() {
        let clusters = "[{name: a, cluster: {server: 'https://x', insecure-skip-tls-verify: true}}, \
                        {name: b, cluster: {server: 'http://x'}}, {name: c, cluster: {server: 'https://x'}}]";
        let read = of(clusters, "[]");
        assert_eq!(read.unverified, ["a", "b"].map(str::to_owned).into());
    }

    #[test]
    fn each_way_to_sign_in_is_told() {
        for (user, how) in [
            ("client-certificate-data: x", SignIn::Certificate),
            ("client-certificate: /x", SignIn::Certificate),
            ("token: secret", SignIn::Token),
            ("tokenFile: /x", SignIn::TokenFile),
            ("username: a, password: b", SignIn::Password),
            ("exec: {command: x}", SignIn::Exec),
            ("auth-provider: {name: x}", SignIn::AuthProvider),
            ("", SignIn::Nothing),
        ] {
            let read = of("null", &format!("[{{name: a, user: {{{user}}}}}]"));
            assert_eq!(read.sign_ins, [how].into(), "{user}");
        }
    }

    #[test]
    fn an_alias_is_seen_wherever_one_may_stand() {
        for text in ["*a", "- *a", "[*a]", "{b: *a}", "[x,*a]", "b: *a", "\u{a0}\n*a"] {
            assert!(has_aliases(text.as_bytes()), "{text}");
        }
        assert!(!has_aliases(b"server: https://x/a*b\n"));
    }

    #[test]
    fn what_is_no_kubeconfig_is_refused_without_its_words() {
        for text in [
            "kind: Pod\n",
            "[]\n",
            "kind: Config\nusers: [{user: secret}]\n",
            "\0",
        ] {
            let why = of_text(text.as_bytes()).unwrap_err();
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
