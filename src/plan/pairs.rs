//! Which certificates belong to which keys and authorities, by the flags of the components. Pure.

use super::targets::{file_of_value, files_of_flag, flag_file};
use crate::domain::{Component, Fact, FlagName, NodePath, Observation, Usage};

/// A certificate and a key that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedPair {
    /// What names them.
    pub object: String,
    /// The file of the certificate, and that of the key. Of the keys of service accounts it is the files of those that verify.
    pub files: Fact<(Vec<NodePath>, NodePath)>,
    /// What the certificate is used for; nothing for the keys of service accounts.
    pub wanted: Vec<Usage>,
    /// The authority that those who are shown it know. `Absent` where none is asked about.
    pub authority: Fact<NodePath>,
    /// True for the keys of service accounts.
    pub tokens: bool,
}

/// One row: whose, the flags of the certificate and of the key, what it is used for, and the flag of the authority with its owner.
type Row = (
    Component,
    &'static str,
    &'static str,
    &'static [Usage],
    Option<(Component, &'static str)>,
);

const KUBELET_CLIENT: &str = "kubelet-client-certificate";
const TOKEN_KEYS: &str = "service-account-key-file";

const ROWS: [Row; 7] = [
    // Pods verify the API server by what the controller manager publishes.
    (
        Component::ApiServer,
        "tls-cert-file",
        "tls-private-key-file",
        &[Usage::Server],
        Some((Component::ControllerManager, "root-ca-file")),
    ),
    (
        Component::ApiServer,
        KUBELET_CLIENT,
        "kubelet-client-key",
        &[Usage::Client],
        None,
    ),
    (
        Component::ApiServer,
        "proxy-client-cert-file",
        "proxy-client-key-file",
        &[Usage::Client],
        Some((Component::ApiServer, "requestheader-client-ca-file")),
    ),
    (
        Component::ApiServer,
        "etcd-certfile",
        "etcd-keyfile",
        &[Usage::Client],
        Some((Component::Etcd, "trusted-ca-file")),
    ),
    (
        Component::Etcd,
        "cert-file",
        "key-file",
        &[Usage::Server],
        Some((Component::ApiServer, "etcd-cafile")),
    ),
    (
        Component::Etcd,
        "peer-cert-file",
        "peer-key-file",
        &[Usage::Server, Usage::Client],
        Some((Component::Etcd, "peer-trusted-ca-file")),
    ),
    (
        Component::ControllerManager,
        "cluster-signing-cert-file",
        "cluster-signing-key-file",
        &[],
        None,
    ),
];

/// The pairs of this node.
#[must_use]
pub fn pairs_of(observation: &Observation) -> Vec<AskedPair> {
    pairs_with(observation, None, &[], None)
}

/// The pairs that this node would have once one component has the flags that are wanted of it, or else the kubelet verifies its clients by that
/// authority. Of all others it is what they have now: whether their edit comes, and holds, nobody knows.
#[must_use]
pub fn pairs_with(
    observation: &Observation,
    edited: Option<Component>,
    wanted: &[(Component, FlagName, String)],
    client_ca: Option<&NodePath>,
) -> Vec<AskedPair> {
    let client_ca = client_ca.filter(|_| edited.is_none());
    let to_be = |component: Component, flag: &str| {
        let of = |(its, name, value): &&(Component, FlagName, String)| {
            Some(component) == edited && *its == component && name.as_str() == flag && !value.is_empty()
        };
        let value = wanted.iter().find(of).map(|(_, _, value)| value.as_str());
        value.map(|value| file_of_value(component, flag, value, &observation.manifests))
    };
    let file = |component, flag| {
        to_be(component, flag).unwrap_or_else(|| flag_file(component, flag, &observation.manifests))
    };
    let mut pairs = Vec::new();
    for (component, certificate, key, wanted, authority) in ROWS {
        let authority = match authority {
            // The kubelet is who is shown it.
            None if certificate == KUBELET_CLIENT => {
                let now = || observation.kubelet.client_ca_file.clone();
                client_ca.map_or_else(now, |authority| Fact::Known(authority.clone()))
            }
            None => Fact::Absent,
            Some((component, flag)) => file(component, flag),
        };
        pairs.extend(asked(
            format!("{component} --{certificate}"),
            file(component, certificate).map(|path| vec![path]),
            file(component, key),
            wanted,
            authority,
        ));
    }
    for (component, flag) in [
        (Component::ApiServer, "service-account-signing-key-file"),
        (Component::ControllerManager, "service-account-private-key-file"),
    ] {
        let verify = match to_be(Component::ApiServer, TOKEN_KEYS) {
            Some(file) => file.map(|file| vec![file]),
            None => files_of_flag(Component::ApiServer, TOKEN_KEYS, &observation.manifests),
        };
        let name = format!("{component} --{flag}");
        let tokens = asked(name, verify, file(component, flag), &[], Fact::Absent);
        pairs.extend(tokens.map(|pair| AskedPair { tokens: true, ..pair }));
    }
    pairs
}

/// `None` where one of them is not given: that is a matter of the controls of those flags.
fn asked(
    object: String,
    certificate: Fact<Vec<NodePath>>,
    key: Fact<NodePath>,
    wanted: &[Usage],
    authority: Fact<NodePath>,
) -> Option<AskedPair> {
    let files = match (certificate, key) {
        (Fact::Absent, _) | (_, Fact::Absent) => return None,
        (Fact::Known(certificate), Fact::Known(key)) => Fact::Known((certificate, key)),
        (Fact::Unknown(why), _) | (_, Fact::Unknown(why)) => Fact::Unknown(why),
    };
    Some(AskedPair {
        object,
        files,
        wanted: wanted.to_vec(),
        authority,
        tokens: false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{API_SERVER, fresh_node, path, replace_manifest};
    use super::*;

    #[test]
    fn kubeadms_pairs_are_known_with_who_signs_them() {
        let node = fresh_node();
        let pairs = pairs_of(&node);
        assert_eq!(pairs.len(), 9);
        let of = |object: &str| pairs.iter().find(|pair| pair.object == object).unwrap();
        let serving = of("kube-apiserver --tls-cert-file");
        assert_eq!(
            serving.files,
            Fact::Known((
                vec![path("/etc/kubernetes/pki/apiserver.crt")],
                path("/etc/kubernetes/pki/apiserver.key")
            ))
        );
        assert_eq!(serving.authority, Fact::Known(path("/etc/kubernetes/pki/ca.crt")));
        let etcd = of("kube-apiserver --etcd-certfile");
        assert_eq!(
            etcd.authority,
            Fact::Known(path("/etc/kubernetes/pki/etcd/ca.crt"))
        );
        let tokens = of("kube-controller-manager --service-account-private-key-file");
        assert!(tokens.tokens);
        assert_eq!(tokens.authority, Fact::Absent);
    }

    #[test]
    fn every_key_that_verifies_tokens_counts_and_both_that_sign() {
        let mut node = fresh_node();
        let given = "    - --service-account-key-file=/etc/kubernetes/pki/sa.pub\n";
        let twice = format!("{given}    - --service-account-key-file=/etc/kubernetes/pki/old.pub\n");
        let text = API_SERVER.replace(given, &twice);
        assert_ne!(text, API_SERVER);
        replace_manifest(&mut node, Component::ApiServer, &text);
        let tokens: Vec<AskedPair> = pairs_of(&node).into_iter().filter(|pair| pair.tokens).collect();
        assert_eq!(tokens.len(), 2);
        let public = ["sa.pub", "old.pub"].map(|name| path(&format!("/etc/kubernetes/pki/{name}")));
        for pair in tokens {
            let expected = (public.to_vec(), path("/etc/kubernetes/pki/sa.key"));
            assert_eq!(pair.files, Fact::Known(expected), "{}", pair.object);
        }
    }

    #[test]
    fn a_pair_of_which_a_half_is_missing_is_left_to_the_control_of_the_flag() {
        let mut node = fresh_node();
        let text = API_SERVER.replace(
            "    - --etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key\n",
            "",
        );
        replace_manifest(&mut node, Component::ApiServer, &text);
        assert!(
            pairs_of(&node)
                .iter()
                .all(|pair| pair.object != "kube-apiserver --etcd-certfile")
        );
        node.manifests.insert(Component::Etcd, Fact::unknown("line 3"));
        let unknown = pairs_of(&node)
            .into_iter()
            .find(|pair| pair.object == "etcd --cert-file");
        assert_eq!(unknown.unwrap().files, Fact::unknown("line 3"));
    }
}
