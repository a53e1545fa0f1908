//! The ConfigMap `kube-system/kubeadm-config`: which API servers an old kubeadm knew of (`ClusterStatus`, until 1.21).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::domain::{Fact, Reason};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClusterStatus {
    #[serde(default)]
    api_endpoints: BTreeMap<String, serde::de::IgnoredAny>,
}

/// The names of the nodes that `ClusterStatus` lists; `Absent` when it is not there.
pub(super) fn api_endpoints(data: &BTreeMap<String, String>) -> Fact<BTreeSet<String>> {
    let Some(status) = data.get("ClusterStatus") else {
        return Fact::Absent;
    };
    match serde_yaml::from_str::<ClusterStatus>(status) {
        Ok(status) => Fact::Known(status.api_endpoints.into_keys().collect()),
        Err(error) => Fact::Unknown(Reason::new(format!(
            "ClusterStatus in kube-system/kubeadm-config cannot be read: {error}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(status: &str) -> Fact<BTreeSet<String>> {
        api_endpoints(&BTreeMap::from([("ClusterStatus".to_owned(), status.to_owned())]))
    }

    #[test]
    fn an_old_kubeadms_status_names_its_nodes() {
        let status = "apiEndpoints:\n  cp-1:\n    advertiseAddress: 192.0.2.1\n    bindPort: 6443\n  cp-2:\n    advertiseAddress: 192.0.2.2\napiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterStatus\n";
        let expected = ["cp-1", "cp-2"].map(str::to_owned).into();
        assert_eq!(asked(status), Fact::Known(expected));
        assert_eq!(asked("kind: ClusterStatus\n"), Fact::Known(BTreeSet::new()));
    }

    #[test]
    fn a_newer_kubeadm_has_none_and_a_broken_one_is_unknown() {
        let newer = BTreeMap::from([("ClusterConfiguration".to_owned(), "x".to_owned())]);
        assert_eq!(api_endpoints(&newer), Fact::Absent);
        assert!(matches!(asked("apiEndpoints: [a]"), Fact::Unknown(_)));
    }
}
