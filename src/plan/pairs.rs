//! Which certificates belong to which keys and authorities, by the flags of the components. Pure.

use super::targets::flag_file;
use crate::domain::{Component, Fact, NodePath, Observation, Usage};

/// A certificate and a key that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedPair {
    /// What names them.
    pub object: String,
    /// The files of the certificate and of the key. Of the keys of service accounts it is the file of those that verify.
    pub files: Fact<(NodePath, NodePath)>,
    /// What the certificate is used for; nothing for the keys of service accounts.
    pub wanted: Vec<Usage>,
    /// The authority that those who are shown it know.
    pub authority: Option<NodePath>,
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
        "kubelet-client-certificate",
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
    let file = |component, flag| flag_file(component, flag, &observation.manifests);
    let mut pairs = Vec::new();
    for (component, certificate, key, wanted, authority) in ROWS {
        let authority = match authority {
            // The kubelet is who is shown it.
            None if certificate == "kubelet-client-certificate" => {
                observation.kubelet.client_ca_file.known().cloned()
            }
            None => None,
            Some((component, flag)) => file(component, flag).known().cloned(),
        };
        pairs.extend(asked(
            format!("{component} --{certificate}"),
            file(component, certificate),
            file(component, key),
            wanted,
            authority,
        ));
    }
    let tokens = asked(
        "kube-apiserver --service-account-key-file".to_owned(),
        file(Component::ApiServer, "service-account-key-file"),
        file(Component::ControllerManager, "service-account-private-key-file"),
        &[],
        None,
    );
    pairs.extend(tokens.map(|pair| AskedPair { tokens: true, ..pair }));
    pairs
}

/// `None` where one of them is not given: that is a matter of the controls of those flags.
fn asked(
    object: String,
    certificate: Fact<NodePath>,
    key: Fact<NodePath>,
    wanted: &[Usage],
    authority: Option<NodePath>,
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
        assert_eq!(pairs.len(), 8);
        let of = |object: &str| pairs.iter().find(|pair| pair.object == object).unwrap();
        let serving = of("kube-apiserver --tls-cert-file");
        assert_eq!(
            serving.files,
            Fact::Known((
                path("/etc/kubernetes/pki/apiserver.crt"),
                path("/etc/kubernetes/pki/apiserver.key")
            ))
        );
        assert_eq!(serving.authority, Some(path("/etc/kubernetes/pki/ca.crt")));
        let etcd = of("kube-apiserver --etcd-certfile");
        assert_eq!(etcd.authority, Some(path("/etc/kubernetes/pki/etcd/ca.crt")));
        let tokens = of("kube-apiserver --service-account-key-file");
        assert!(tokens.tokens);
        assert_eq!(tokens.authority, None);
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
