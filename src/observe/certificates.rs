//! The certificates of the node, and what writes its secrets. The files hold keys, too, which are wiped and not kept.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{at_rest, listing};
use crate::adapters::Node;
use crate::at_rest::Present;
use crate::certificates::{of_kubeconfig, of_pem};
use crate::domain::{
    Certificate, Component, Fact, FirstProvider, GroupResource, KeyId, NodePath, Observation,
};
use crate::encryption::EncryptionConfig;
use crate::plan::certificate_files;

/// A bundle of authorities has some 200 kB.
const MAX_BYTES: usize = 1 << 20;

/// Adds every certificate.
pub(super) fn look(node: &Node, observation: &mut Observation) {
    if !observation.certificates.is_empty() {
        return;
    }
    let asked = certificate_files(&node.layout, &observation.manifests);
    let mut paths = asked.files;
    for pattern in asked.patterns {
        let listed = observation
            .listings
            .entry(pattern.clone())
            .or_insert_with_key(|pattern| listing(node, pattern));
        let mut names = listed.known().into_iter().flat_map(BTreeMap::keys).cloned();
        // The kubelet keeps those that it has replaced; a name is a date.
        if pattern.folder.as_str().starts_with(node.layout.kubelet.as_str()) {
            paths.extend(names.next_back());
        } else {
            paths.extend(names);
        }
    }
    for path in paths {
        observation
            .certificates
            .entry(path)
            .or_insert_with_key(|path| read(node, path));
    }
}

fn read(node: &Node, path: &NodePath) -> Fact<Vec<Certificate>> {
    node.files.read(path, MAX_BYTES).and_then(|content| {
        let bytes = Zeroizing::new(content.bytes);
        let parse = if path.as_str().ends_with(".conf") {
            of_kubeconfig
        } else {
            of_pem
        };
        match parse(&bytes) {
            Ok(certificates) => Fact::Known(certificates),
            Err(why) => Fact::unknown(format!("{path}: {why}")),
        }
    })
}

/// What writes secrets.
pub(super) fn first_provider(node: &Node, observation: &Observation) -> Fact<FirstProvider> {
    let manifest = match observation.manifests.get(&Component::ApiServer) {
        Some(Fact::Known(manifest)) => manifest,
        Some(Fact::Unknown(why)) => return Fact::Unknown(why.clone()),
        Some(Fact::Absent) | None => return Fact::Absent,
    };
    match at_rest::present(node, manifest) {
        Present::As(configured) => Fact::Known(first_of(&configured.config)),
        Present::NoFlag => Fact::Absent,
        Present::NoFile { file } => Fact::unknown(format!("{file} is not there")),
        Present::NotMounted { inside } => Fact::unknown(format!("{inside} is not mounted from the node")),
        Present::Refused { file, why, .. } => Fact::unknown(format!("{file}: {why}")),
        Present::Unknown(why) => Fact::Unknown(why),
    }
}

fn first_of(config: &EncryptionConfig) -> FirstProvider {
    let secrets = GroupResource {
        group: String::new(),
        resource: "secrets".to_owned(),
    };
    let links = config.providers_for(&secrets).unwrap_or_default();
    match links.first().map(crate::encryption::Link::id) {
        None => FirstProvider::NoRule,
        Some(None) => FirstProvider::Kms,
        Some(Some(KeyId::Identity)) => FirstProvider::Identity,
        Some(Some(KeyId::Key { provider, .. })) => FirstProvider::Key(provider),
    }
}
