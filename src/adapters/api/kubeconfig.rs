//! A kubeconfig as kubeadm writes it: everything embedded, no program to run, no file to read. Its text holds keys and is never told.

use std::sync::{Arc, Mutex, PoisonError};

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use zeroize::Zeroizing;

use crate::adapters::cluster::with_causes;
use crate::adapters::files::Files;
use crate::domain::{Fact, Mode, NodePath, Owner, Reason};

/// A kubeconfig with embedded certificates has some 10 kB.
pub(in crate::adapters) const MAX_BYTES: usize = 256 << 10;

/// The kubeconfig that the operator names in `api.kubeconfig`; none, while he names none.
///
/// Its clones are one: a configuration that is read again changes it for all who ask the API.
#[derive(Debug, Clone, Default)]
pub struct OwnKubeconfig(Arc<Mutex<Option<NodePath>>>);

impl OwnKubeconfig {
    /// Names another one, or none.
    pub fn set(&self, path: Option<NodePath>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = path;
    }

    /// The one that is named.
    #[must_use]
    pub fn path(&self) -> Option<NodePath> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The text of the kubeconfig that the operator named. Who can read its key is the API's Holdfast, and who can write it decides whom
/// Holdfast asks: only root may do either.
pub(in crate::adapters) fn own_text(files: &Files, path: &NodePath) -> Result<Zeroizing<Vec<u8>>, Reason> {
    let refused = |why: String| Reason::new(format!("{path} (api.kubeconfig) is not used: {why}"));
    let (text, facts) = match files.read(path, MAX_BYTES) {
        Fact::Known(content) => (Zeroizing::new(content.bytes), content.facts),
        Fact::Absent => return Err(refused("it is not there".to_owned())),
        Fact::Unknown(why) => return Err(refused(why.to_string())),
    };
    if facts.owner.uid != Owner::ROOT.uid {
        return Err(refused(format!(
            "it belongs to {}: chown root:root {path}",
            facts.owner
        )));
    }
    if facts.mode.bits() & 0o177 != 0 {
        let tight = facts.mode.tightened_to(Mode::from_bits(0o600));
        return Err(refused(format!(
            "it holds a key, and its mode is {}: chmod {tight} {path}",
            facts.mode
        )));
    }
    Ok(text)
}

/// The client's configuration: server, authority and credentials. What is wrong is told by place only.
pub(in crate::adapters) async fn config(path: &NodePath, text: &[u8]) -> Result<Config, Reason> {
    let refused = |why: &str| Reason::new(format!("{path} is not used to ask the API: {why}"));
    let kubeconfig: Kubeconfig = serde_yaml::from_slice(text).map_err(|error| {
        let place = error.location().map_or_else(String::new, |at| {
            format!(" at line {}, column {}", at.line(), at.column())
        });
        refused(&format!("it cannot be read{place}"))
    })?;
    // kubeadm embeds everything. A file named here would be read from this machine's root, whatever the node's is, and a plugin
    // would be a program that Holdfast starts.
    for user in kubeconfig
        .auth_infos
        .iter()
        .filter_map(|user| user.auth_info.as_ref())
    {
        if user.exec.is_some() || user.auth_provider.is_some() {
            return Err(refused("it wants a program to be run for its credentials"));
        }
        if user.client_certificate.is_some() || user.client_key.is_some() || user.token_file.is_some() {
            return Err(refused("it names files where kubeadm embeds the credentials"));
        }
    }
    let clusters = kubeconfig.clusters.iter();
    if clusters
        .filter_map(|cluster| cluster.cluster.as_ref())
        .any(|cluster| cluster.certificate_authority.is_some())
    {
        return Err(refused("it names a file where kubeadm embeds the authority"));
    }
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| refused(&with_causes(&error)))?;
    // The deadline is ours, and a retry belongs to the next pass; a proxy of the environment is not for the control plane.
    config.default_retry = false;
    config.proxy_url = None;
    Ok(config)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own file")]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt};

    use super::*;

    #[test]
    fn what_the_operator_names_must_be_roots_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("api.conf");
        std::fs::write(&file, "text").unwrap();
        let facts = std::fs::metadata(&file).unwrap();
        let owner = Owner {
            uid: facts.uid(),
            gid: facts.gid(),
        };
        let files = || Files::at(folder.path()).unwrap();
        let path: NodePath = "/api.conf".parse().unwrap();
        let read = |mode: u32| {
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            own_text(&files().taking_for_root(owner), &path).map_err(|why| why.to_string())
        };
        assert_eq!(read(0o600).unwrap().as_slice(), b"text");
        assert_eq!(read(0o400).unwrap().as_slice(), b"text");
        for mode in [0o640, 0o620, 0o604, 0o602] {
            assert_eq!(
                read(mode).unwrap_err(),
                format!(
                    "/api.conf (api.kubeconfig) is not used: it holds a key, and its mode is {mode:04o}: chmod 0600 /api.conf"
                )
            );
        }
        std::fs::remove_file(&file).unwrap();
        let gone = own_text(&files(), &path).unwrap_err().to_string();
        assert_eq!(gone, "/api.conf (api.kubeconfig) is not used: it is not there");
    }

    #[test]
    fn a_name_that_is_read_again_holds_for_all_who_ask() {
        let one = OwnKubeconfig::default();
        let other = one.clone();
        one.set(Some("/a.conf".parse().unwrap()));
        assert_eq!(other.path(), Some("/a.conf".parse().unwrap()));
        one.set(None);
        assert_eq!(other.path(), None);
    }
}
