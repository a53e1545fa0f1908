//! Flags that stand more than once on a command line.

use std::collections::BTreeSet;

use super::finding::{Evidence, Mend, Verdict};
use super::judge::{each_manifest, piece};
use super::judge_flags::shown;
use crate::controls::{Kit, Remedy};
use crate::domain::{Component, FlagName, Observation};
use crate::manifest::CommandLine;

/// Flags whose every occurrence is one more value (kubernetes staging component-base and kube-apiserver options; klog).
const REPEATED: [&str; 7] = [
    // A patch of kubeadm's can add items in no other way.
    "enable-admission-plugins",
    "disable-admission-plugins",
    "service-account-issuer",
    "service-account-key-file",
    "tls-sni-cert-key",
    "oidc-required-claim",
    "vmodule",
];
const EXPECTED: &str = "each flag once";

/// Flags whose occurrences are added up, separated by commas (pflag `stringSliceValue`, component-base `MapStringBool` and `ConfigurationMap`).
const ADDED_UP: [&str; 12] = [
    "authorization-mode",
    "api-audiences",
    "controllers",
    "cors-allowed-origins",
    "etcd-servers",
    "feature-gates",
    "kubelet-preferred-address-types",
    "requestheader-allowed-names",
    "requestheader-extra-headers-prefix",
    "requestheader-group-headers",
    "requestheader-username-headers",
    "runtime-config",
];
/// Flags of etcd of one value (Go `flag`): its lists and gates are another matter.
const LAST_COUNTS_IN_ETCD: [&str; 12] = [
    "auto-tls",
    "cert-file",
    "client-cert-auth",
    "data-dir",
    "key-file",
    "peer-auto-tls",
    "peer-cert-file",
    "peer-client-cert-auth",
    "peer-key-file",
    "peer-trusted-ca-file",
    "snapshot-count",
    "trusted-ca-file",
];
/// Flags of one value, of which the last occurrence counts. Of others nothing is guessed.
const LAST_COUNTS: [&str; 49] = [
    "advertise-address",
    "allocate-node-cidrs",
    "allow-privileged",
    "anonymous-auth",
    "audit-log-maxage",
    "audit-log-maxbackup",
    "audit-log-maxsize",
    "audit-log-path",
    "audit-policy-file",
    "authentication-kubeconfig",
    "authorization-kubeconfig",
    "bind-address",
    "client-ca-file",
    "cluster-cidr",
    "cluster-name",
    "cluster-signing-cert-file",
    "cluster-signing-key-file",
    "config",
    "enable-bootstrap-token-auth",
    "etcd-cafile",
    "etcd-certfile",
    "etcd-keyfile",
    "kubeconfig",
    "kubelet-certificate-authority",
    "kubelet-client-certificate",
    "kubelet-client-key",
    "leader-elect",
    "profiling",
    "proxy-client-cert-file",
    "proxy-client-key-file",
    "request-timeout",
    "requestheader-client-ca-file",
    "root-ca-file",
    "secure-port",
    "service-account-extend-token-expiration",
    "service-account-lookup",
    "service-account-private-key-file",
    "service-account-signing-key-file",
    "service-cluster-ip-range",
    "terminated-pod-gc-threshold",
    "tls-cert-file",
    "tls-min-version",
    "tls-private-key-file",
    "token-auth-file",
    "use-service-account-credentials",
    "v",
    "node-monitor-grace-period",
    "node-cidr-mask-size",
    "cluster-signing-duration",
];

/// Which flags of each component stand more than once: of a value the last counts, lists are added up, and whoever reads the first is wrong.
pub(super) fn flags_once(remedy: Remedy, observation: &Observation) -> Vec<Evidence> {
    each_manifest(observation, EXPECTED, |component, _, line| {
        repeated(component, remedy, line)
    })
}

/// The one value that stands for all of them; nothing where that is not known for certain.
fn folded(component: Component, name: &FlagName, values: &[&str]) -> Option<String> {
    let last = values.last().filter(|last| !last.is_empty())?;
    if values.iter().all(|value| value == last) {
        return Some((*last).to_owned());
    }
    let (once, added): (&[&str], &[&str]) = match component {
        Component::Etcd => (&LAST_COUNTS_IN_ETCD, &[]),
        Component::ApiServer | Component::ControllerManager | Component::Scheduler => {
            (&LAST_COUNTS, &ADDED_UP)
        }
    };
    if once.contains(&name.as_str()) {
        return Some((*last).to_owned());
    }
    let given: Vec<&str> = values.iter().copied().filter(|value| !value.is_empty()).collect();
    added.contains(&name.as_str()).then(|| given.join(","))
}

fn repeated(component: Component, remedy: Remedy, line: &CommandLine) -> Vec<Evidence> {
    let may = |name: &FlagName| REPEATED.contains(&name.as_str().trim_start_matches('-'));
    let names: BTreeSet<&FlagName> = line.flags().map(|(name, _)| name).collect();
    let twice = names
        .into_iter()
        .filter(|name| line.occurrences(name) > 1 && !may(name));
    let mut pieces: Vec<Evidence> = twice
        .map(|name| {
            let values = line.flags().filter(|(other, _)| *other == name);
            let values: Vec<&str> = values.map(|(_, value)| value).collect();
            let told: Vec<String> = values.iter().map(|value| shown(name, value)).collect();
            let actual = format!("given {} times: {}", told.len(), told.join(", then "));
            let mut piece = piece(format!("{component} {name}"), Verdict::Drift, EXPECTED, actual);
            let value =
                folded(component, name, &values).filter(|_| remedy == Remedy::Conditional(Kit::OneFlag));
            piece.mend = value.map(|value| Mend::Conditional {
                kit: Kit::OneFlag,
                component,
                name: name.clone(),
                value,
            });
            piece
        })
        .collect();
    if pieces.is_empty() {
        pieces.push(piece(
            component.to_string(),
            Verdict::Pass,
            EXPECTED,
            "each stands there once",
        ));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{fresh_node, manifest_text, replace_manifest};
    use super::*;
    use crate::domain::Fact;
    use crate::plan::judge_tests::finding_at;

    const NOW: &str = "2026-06-01T00:00:00Z";

    fn with(line: &str) -> (Verdict, Vec<String>) {
        let mut node = fresh_node();
        let text = manifest_text(Component::Scheduler).replace("    - --leader-elect=true\n", line);
        replace_manifest(&mut node, Component::Scheduler, &text);
        let finding = finding_at(&node, "X-API-11", "{}", NOW);
        let told = finding
            .with_verdict(finding.verdict)
            .map(|piece| piece.actual.clone());
        (finding.verdict, told.collect())
    }

    #[test]
    fn a_flag_that_stands_twice_is_told_with_its_values_in_order() {
        let twice = "    - --leader-elect=true\n    - --profiling=false\n    - --profiling=true\n";
        let told = vec!["given 2 times: --profiling=false, then --profiling=true".to_owned()];
        assert_eq!(with(twice), (Verdict::Drift, told));
        let underscores = "    - --leader-elect=true\n    - --leader_elect=false\n";
        assert_eq!(with(underscores).0, Verdict::Drift, "it is the same flag");
        assert_eq!(with("    - --leader-elect=true\n").0, Verdict::Pass);
        let meant = "    - --vmodule=a=1\n    - --vmodule=b=2\n";
        assert_eq!(with(meant).0, Verdict::Pass);
    }

    #[test]
    fn a_command_that_is_not_understood_is_unknown() {
        let mut node = fresh_node();
        node.manifests.insert(Component::Etcd, Fact::unknown("line 3"));
        assert_eq!(finding_at(&node, "X-API-11", "{}", NOW).verdict, Verdict::Unknown);
    }
}
