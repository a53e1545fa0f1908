//! What it takes to confine the anonymous.

use super::super::judge_flags::version_of;
use super::{Needs, some_of};
use crate::anonymous::HARMLESS;
use crate::controls::AUTHENTICATION;
use crate::domain::Fact;
use crate::manifest::command_line;
use crate::oidc::Oidc;

impl Needs<'_> {
    /// What the file says excludes two kinds of flags, and an older API server does not take it (kubernetes 1.34: AuthenticationConfiguration
    /// v1; apiserver/pkg/server/options/authentication).
    pub(super) fn nobody_needs_to_be_anonymous(&self) -> Result<(), String> {
        let manifest = self
            .observation
            .manifests
            .get(&self.component)
            .and_then(Fact::known);
        let line =
            manifest.and_then(|manifest| Some((manifest, command_line(self.component, &manifest.pod).ok()?)));
        let Some((manifest, line)) = line else {
            return Err("its manifest is not understood".to_owned());
        };
        match version_of(manifest, &line) {
            Some(version) if version.minor >= 34 => {}
            Some(version) => {
                return Err(format!(
                    "kube-apiserver 1.{} does not take the configuration; 1.34 and newer do",
                    version.minor
                ));
            }
            None => return Err("the image does not tell which version of kube-apiserver it is".to_owned()),
        }
        let given = |wanted: &str| line.flags().any(|(name, _)| name.as_str() == wanted);
        if given("anonymous-auth") {
            return Err(format!(
                "kube-apiserver has --anonymous-auth, which it does not take beside the configuration: move what it says into {AUTHENTICATION}, \
                 and take it away"
            ));
        }
        self.carried_over()?;
        let modes = self.value("authorization-mode").unwrap_or_default();
        let others = modes
            .split(',')
            .any(|mode| !matches!(mode.trim(), "Node" | "RBAC"));
        if others || self.value("authorization-config").is_some() {
            return Err(
                "what other authorizers than Node and RBAC grant the anonymous is not known".to_owned(),
            );
        }
        let container = manifest.pod.containers.get(line.container());
        let probe = container.and_then(|container| container.health.as_ref());
        if let Some(probe) = probe.filter(|probe| !HARMLESS.contains(&probe.path.as_str())) {
            return Err(format!(
                "the kubelet probes kube-apiserver at {}, which the anonymous could not ask for any more",
                probe.path
            ));
        }
        match &self.observation.anonymous_grants {
            Fact::Known(grants) if grants.is_empty() => Ok(()),
            Fact::Known(grants) => Err(format!(
                "somebody may need the anonymous: {} of the cluster grant them more than Kubernetes and kubeadm do ({})",
                grants.len(),
                some_of(grants)
            )),
            Fact::Absent => Err("what is granted to the anonymous cannot be told".to_owned()),
            Fact::Unknown(why) => Err(format!("what is granted to the anonymous is not known: {why}")),
        }
    }

    /// What the `--oidc-*` flags come to in the configuration, which excludes them; nothing where none is given.
    ///
    /// # Errors
    /// What cannot be carried over.
    pub(super) fn carried_over(&self) -> Result<Option<(Oidc, String)>, String> {
        let flags = self.given();
        let Some(oidc) = Oidc::of(flags.iter().map(|(name, value)| (name.as_str(), value.as_str())))? else {
            return Ok(None);
        };
        let authority = match (&oidc.authority, &self.observation.oidc_authority) {
            (None, _) => None,
            (Some(_), Fact::Known(text)) => Some(text.as_str()),
            (Some(file), Fact::Absent) => {
                return Err(format!("{file}, which --oidc-ca-file names, is not there"));
            }
            (Some(file), Fact::Unknown(why)) => {
                return Err(format!(
                    "{file}, which --oidc-ca-file names, cannot be read: {why}"
                ));
            }
        };
        let section = oidc.section(authority);
        Ok(Some((oidc, section)))
    }
}
