//! Objects of the API held against the controls of `check --cluster`.

use std::collections::BTreeSet;

use super::finding::{Evidence, Verdict};
use super::judge::{piece, unknown};
use super::judge_documents::{pod_security, pod_security_is_off};
use super::targets::ADMISSION_FILE;
use crate::cluster::pods;
use crate::cluster::{
    Binding, ClusterObjects, ClusterRule, Grant, Judge, Meta, Namespace, NetworkPolicy, Pod, PodTrait, Power,
    Role, ServiceAccount, Subject, admins, foreign, grants,
};
use crate::domain::{Component, Fact, FlagName, Observation, Reason};
use crate::manifest::command_line;

/// What nobody looked at is neither good nor bad.
const NOT_LOOKED_AT: &str = "not looked at: `holdfast check --cluster` asks the API";
/// Namespaces of Kubernetes' own, in which nobody is meant to run anything.
const OWN: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// What the API's objects come to.
pub(super) fn cluster(rule: ClusterRule, observation: &Observation) -> Vec<Evidence> {
    let Some(objects) = &observation.cluster else {
        return vec![piece("the cluster", Verdict::NotLookedAt, "", NOT_LOOKED_AT)];
    };
    let (spaces, policies) = (&objects.namespaces, &objects.policies);
    let judged = match rule {
        ClusterRule::ProxyMetrics => return vec![proxy_metrics(&objects.kube_proxy)],
        ClusterRule::Attested(what) => {
            let why = Reason::new(
                "only a person can tell; an exception for this control, with the reason, says it",
            );
            return vec![unknown("the cluster", what, &why)];
        }
        ClusterRule::ImagePolicy => return vec![image_policy(objects, observation)],
        ClusterRule::ClusterAdmins => of_both(&objects.roles, &objects.bindings, cluster_admins),
        ClusterRule::Granted(power) => of_both(&objects.roles, &objects.bindings, |roles, bindings| {
            granted(power, roles, bindings)
        }),
        ClusterRule::Wildcards => of(&objects.roles, wildcards),
        ClusterRule::DefaultAccounts => {
            of_both(&objects.service_accounts, &objects.bindings, default_accounts)
        }
        ClusterRule::MountedTokens => of_both(&objects.pods, &objects.service_accounts, |pods, accounts| {
            let found = pods::with_unasked_token(pods, accounts);
            all_or_each(found, NO_TOKEN, UNASKED, &pods_judged(pods))
        }),
        ClusterRule::Masters => of(&objects.bindings, masters),
        ClusterRule::PodPolicy => of_both(spaces, &objects.judges, |spaces, judges| {
            pod_policy(spaces, judges, observation)
        }),
        ClusterRule::Pods(so) => of(&objects.pods, |pods| pod_trait(so, pods)),
        ClusterRule::NetworkPolicies => of_both(spaces, policies, |spaces, policies| {
            with_policy(spaces, policies, |_| true, "a network policy")
        }),
        ClusterRule::DeniedByDefault => of_both(spaces, policies, |spaces, policies| {
            with_policy(spaces, policies, denies_by_default, DENYING)
        }),
        ClusterRule::StoredTokens => of(&objects.stored_tokens, stored_tokens),
        ClusterRule::DefaultNamespace => of_both(&objects.pods, &objects.default_services, in_default),
    };
    judged.unwrap_or_else(|why| vec![unknown("the cluster", "to be told by the API", &why)])
}

type Judged = Result<Vec<Evidence>, Reason>;

fn told<T>(fact: &Fact<T>) -> Result<&T, Reason> {
    match fact {
        Fact::Known(known) => Ok(known),
        Fact::Absent => Err(Reason::new("the API server does not serve it")),
        Fact::Unknown(why) => Err(why.clone()),
    }
}

fn of<A>(fact: &Fact<Vec<A>>, judge: impl FnOnce(&[A]) -> Vec<Evidence>) -> Judged {
    told(fact).map(|known| judge(known))
}

fn of_both<A, B>(
    one: &Fact<Vec<A>>,
    other: &Fact<Vec<B>>,
    judge: impl FnOnce(&[A], &[B]) -> Vec<Evidence>,
) -> Judged {
    Ok(judge(told(one)?, told(other)?))
}

/// A drift for each that was found; where none was, one pass that says what was looked at.
fn all_or_each(
    found: impl IntoIterator<Item = String>,
    expected: &str,
    actual: &str,
    none: &str,
) -> Vec<Evidence> {
    let mut pieces: Vec<Evidence> = found
        .into_iter()
        .map(|object| piece(object, Verdict::Drift, expected, actual))
        .collect();
    if pieces.is_empty() {
        pieces.push(piece("the cluster", Verdict::Pass, expected, none));
    }
    pieces
}

fn stored_tokens(secrets: &[Meta]) -> Vec<Evidence> {
    let found = secrets
        .iter()
        .map(|secret| format!("Secret {}", secret.full_name()));
    all_or_each(
        found,
        "no token in a Secret",
        "a token without an end",
        "no such Secret is there",
    )
}

fn in_default(pods: &[Pod], services: &[Meta]) -> Vec<Evidence> {
    let services = services.iter().filter(|service| service.name != "kubernetes");
    let services = services.map(|service| format!("Service {}", service.full_name()));
    let found = pods::in_namespace(pods, "default").into_iter().chain(services);
    all_or_each(
        found,
        "nothing in the namespace default",
        "it is there",
        "nothing is there",
    )
}

const DENYING: &str = "a network policy of all pods that lets nothing in";
const NO_TOKEN: &str = "automountServiceAccountToken set, on the pod or its service account";
const UNASKED: &str = "it gets a token because nobody said otherwise";

fn pods_judged(pods: &[Pod]) -> String {
    format!("{} pod(s) outside kube-system", pods::judged(pods))
}

fn pod_trait(so: PodTrait, pods: &[Pod]) -> Vec<Evidence> {
    let found = pods::that_are(so, pods);
    let expected = format!("no pod with {}", so.words());
    all_or_each(
        found,
        &expected,
        so.words(),
        &format!("none of {}", pods_judged(pods)),
    )
}

fn of_grants(found: Vec<Grant>, may: &str) -> Vec<Evidence> {
    let expected = format!("nobody but Kubernetes' own may {may}");
    let mut pieces: Vec<Evidence> = found
        .into_iter()
        .map(|grant| {
            let actual = format!("{} may, by {}", grant.subject, grant.role);
            piece(grant.binding, Verdict::Drift, &expected, actual)
        })
        .collect();
    if pieces.is_empty() {
        pieces.push(piece("the cluster", Verdict::Pass, &expected, "nobody else may"));
    }
    pieces
}

fn granted(power: Power, roles: &[Role], bindings: &[Binding]) -> Vec<Evidence> {
    of_grants(grants(power, roles, bindings), power.words())
}

/// A role of another name that may do as much is the same.
fn cluster_admins(roles: &[Role], bindings: &[Binding]) -> Vec<Evidence> {
    let does_all = |role: &&Role| {
        role.metadata.namespace.is_none()
            && role
                .rules
                .iter()
                .any(|rule| star(&rule.verbs) && star(&rule.resources) && star(&rule.api_groups))
    };
    let named = roles
        .iter()
        .filter(does_all)
        .map(|role| role.metadata.name.as_str());
    let names: BTreeSet<&str> = named.chain(["cluster-admin"]).collect();
    of_grants(admins(&names, bindings), "do everything")
}

fn masters(bindings: &[Binding]) -> Vec<Evidence> {
    let is_own = |binding: &Binding, subject: &Subject| {
        !(subject.kind == "Group" && subject.name == "system:masters")
            || binding.metadata.namespace.is_none()
                && (binding.metadata.name.as_str(), binding.role_ref.name.as_str())
                    == ("cluster-admin", "cluster-admin")
    };
    let found = foreign(bindings.iter(), is_own)
        .into_iter()
        .map(|grant| grant.binding);
    all_or_each(
        found,
        "no binding to system:masters but Kubernetes' own",
        "it grants to system:masters, whose members no rule can hold back",
        "none is there",
    )
}

fn star(list: &[String]) -> bool {
    list.iter().any(|one| one == "*")
}

/// Kubernetes' own roles that have some (1.34 to 1.36); who is bound to them is judged by itself.
const OWN_WILDCARDS: [&str; 8] = [
    "cluster-admin",
    "system:controller:disruption-controller",
    "system:controller:generic-garbage-collector",
    "system:controller:horizontal-pod-autoscaler",
    "system:controller:namespace-controller",
    "system:controller:resourcequota-controller",
    "system:kube-controller-manager",
    "system:kubelet-api-admin",
];

fn wildcards(roles: &[Role]) -> Vec<Evidence> {
    let is_own = |role: &Role| {
        role.metadata.namespace.is_none() && OWN_WILDCARDS.contains(&role.metadata.name.as_str())
    };
    let has = |role: &&Role| {
        role.rules
            .iter()
            .any(|rule| star(&rule.verbs) || star(&rule.resources) || star(&rule.api_groups))
    };
    let found = roles.iter().filter(|role| !is_own(role)).filter(has).map(|role| {
        let kind = if role.metadata.namespace.is_some() {
            "Role"
        } else {
            "ClusterRole"
        };
        format!("{kind} {}", role.metadata.full_name())
    });
    all_or_each(
        found,
        "verbs, resources and API groups by their names",
        "a rule with *",
        "no role but Kubernetes' own has one",
    )
}

fn default_accounts(accounts: &[ServiceAccount], bindings: &[Binding]) -> Vec<Evidence> {
    let own = accounts
        .iter()
        .filter(|account| account.metadata.name == "default");
    let mounts = own
        .filter(|account| account.automount_service_account_token != Some(false))
        .map(|account| (account.metadata.full_name(), "it gives pods its token".to_owned()));
    // Kubernetes lets every service account read who issues tokens.
    let is_issuer = |binding: &Binding, subject: &Subject| {
        const ISSUER: &str = "system:service-account-issuer-discovery";
        subject.name == "system:serviceaccounts"
            && binding.metadata.namespace.is_none()
            && (binding.metadata.name.as_str(), binding.role_ref.name.as_str()) == (ISSUER, ISSUER)
    };
    let granted = foreign(bindings.iter(), is_issuer)
        .into_iter()
        .filter_map(|grant| {
            let account = default_account(&grant.subject)?;
            Some((account, format!("{} grants it {}", grant.binding, grant.role)))
        });
    let expected = "automountServiceAccountToken: false, and no rights";
    let mut pieces: Vec<Evidence> = mounts
        .chain(granted)
        .map(|(name, actual)| piece(format!("ServiceAccount {name}"), Verdict::Drift, expected, actual))
        .collect();
    if pieces.is_empty() {
        pieces.push(piece("the cluster", Verdict::Pass, expected, "each is so"));
    }
    pieces
}

/// The default account that a subject is, or that is one of it.
fn default_account(subject: &Subject) -> Option<String> {
    match (subject.kind.as_str(), subject.name.as_str()) {
        ("ServiceAccount", "default") => Some(format!(
            "{}/default",
            subject.namespace.as_deref().unwrap_or_default()
        )),
        ("User", name) => {
            let (namespace, account) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
            (account == "default").then(|| format!("{namespace}/default"))
        }
        ("Group", "system:serviceaccounts") => Some("default, of every namespace".to_owned()),
        ("Group", name) => {
            let namespace = name.strip_prefix("system:serviceaccounts:")?;
            Some(format!("{namespace}/default"))
        }
        _ => None,
    }
}

/// A policy engine that is asked about pods judges them by rules that only a person can read.
fn pod_policy(namespaces: &[Namespace], judges: &[Judge], observation: &Observation) -> Vec<Evidence> {
    let expected = "pod-security.kubernetes.io/enforce: baseline or restricted";
    // Its defaults hold for namespaces without a label, and its exemptions for those with one.
    if pod_security_is_off(observation) {
        let actual = "PodSecurity is switched off by kube-apiserver's --disable-admission-plugins: no label does anything";
        return vec![piece("the cluster", Verdict::Drift, expected, actual)];
    }
    let told = api_server_has(observation, ADMISSION_FILE, |_| true).and_then(|_| pod_security(observation));
    let (default, spared) = match told {
        Ok(told) => told,
        Err(why) => return vec![unknown("the cluster", expected, &why)],
    };
    if let Some(who) = spared.usernames.iter().chain(&spared.runtime_classes).next() {
        let why = format!("kube-apiserver spares {who} in every namespace, by its --{ADMISSION_FILE}");
        return vec![unknown("the cluster", expected, &Reason::new(why))];
    }
    let engines = asked_about_pods(judges);
    let lacks = others(namespaces).filter(|space| {
        let label = space.metadata.labels.get("pod-security.kubernetes.io/enforce");
        let level = label.map_or(default, String::as_str);
        spared.namespaces.contains(&space.metadata.name) || !matches!(level, "baseline" | "restricted")
    });
    let lacks: Vec<String> = lacks
        .map(|space| match spared.namespaces.contains(&space.metadata.name) {
            true => format!("Namespace {}, which kube-apiserver spares", space.metadata.name),
            false => format!("Namespace {}", space.metadata.name),
        })
        .collect();
    if !lacks.is_empty() && !engines.is_empty() {
        let why = format!(
            "it has no such label; whether {} holds its pods to as much cannot be told",
            engines.join(", ")
        );
        let told = |object| unknown(object, expected, &Reason::new(why.clone()));
        return lacks.into_iter().map(told).collect();
    }
    all_or_each(lacks, expected, "no such label", "each has it")
}

/// Whether a flag of kube-apiserver's manifest has a value that is so; why that cannot be told.
fn api_server_has(observation: &Observation, flag: &str, is: impl Fn(&str) -> bool) -> Result<bool, Reason> {
    let manifest = match observation.manifests.get(&Component::ApiServer) {
        Some(Fact::Known(manifest)) => manifest,
        Some(Fact::Unknown(why)) => return Err(why.clone()),
        Some(Fact::Absent) | None => return Err(Reason::new("kube-apiserver has no manifest here")),
    };
    let line =
        command_line(Component::ApiServer, &manifest.pod).map_err(|why| Reason::new(why.to_string()))?;
    let name: FlagName = flag
        .parse()
        .map_err(|why: crate::domain::InvalidFlagName| Reason::new(why.to_string()))?;
    Ok(line
        .list(&name)
        .is_some_and(|list| list.iter().any(|item| is(item))))
}

/// What is asked when a pod is created (apiserver `rules.Matcher`: `*` and `*/*` are everything, `pods/*` is pods, too).
fn asked_about_pods(judges: &[Judge]) -> Vec<String> {
    let has = |list: &[String], wanted: &[&str]| list.iter().any(|one| wanted.contains(&one.as_str()));
    let is_asked = |judge: &&Judge| {
        judge.rules.iter().any(|rule| {
            has(&rule.operations, &["*", "CREATE"])
                && has(&rule.api_groups, &["*", ""])
                && has(&rule.resources, &["*", "*/*", "pods", "pods/*"])
        })
    };
    judges
        .iter()
        .filter(is_asked)
        .map(|judge| judge.name.clone())
        .collect()
}

fn others(namespaces: &[Namespace]) -> impl Iterator<Item = &Namespace> {
    namespaces
        .iter()
        .filter(|space| !OWN.contains(&space.metadata.name.as_str()))
}

fn with_policy(
    namespaces: &[Namespace],
    policies: &[NetworkPolicy],
    counts: impl Fn(&NetworkPolicy) -> bool,
    what: &str,
) -> Vec<Evidence> {
    let lacks = others(namespaces).filter(|space| {
        !policies
            .iter()
            .any(|policy| policy.metadata.is_in(&space.metadata.name) && counts(policy))
    });
    let lacks = lacks.map(|space| format!("Namespace {}", space.metadata.name));
    all_or_each(lacks, what, "it has none", "each has one")
}

/// The API server fills `policyTypes` in.
fn denies_by_default(policy: &NetworkPolicy) -> bool {
    let spec = &policy.spec;
    spec.pod_selector.is_empty()
        && spec.ingress.is_empty()
        && spec.policy_types.iter().any(|kind| kind == "Ingress")
}

fn proxy_metrics(config: &Fact<serde_json::Value>) -> Evidence {
    let (object, expected) = (
        "ConfigMap kube-system/kube-proxy metricsBindAddress",
        "an address of the node alone",
    );
    let value = match config {
        Fact::Known(config) => config.get("metricsBindAddress").and_then(|value| value.as_str()),
        Fact::Absent => return piece(object, Verdict::NotApplicable, expected, "there is none"),
        Fact::Unknown(why) => return unknown(object, expected, why),
    };
    // Empty is 127.0.0.1:10249 (kubernetes pkg/proxy/apis/config/v1alpha1/defaults.go).
    let address = value
        .filter(|value| !value.is_empty())
        .unwrap_or("127.0.0.1:10249");
    let ip = |text: &str| text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().ok();
    let without_port = || address.rsplit_once(':').and_then(|(host, _)| ip(host));
    let is_own = ip(address)
        .or_else(without_port)
        .is_some_and(|ip| ip.is_loopback());
    let verdict = if is_own { Verdict::Pass } else { Verdict::Drift };
    piece(object, verdict, expected, address)
}

fn image_policy(objects: &ClusterObjects, observation: &Observation) -> Evidence {
    let (object, expected) = (
        "the cluster",
        "an admission plug-in or webhook that verifies where images come from",
    );
    match api_server_has(observation, "enable-admission-plugins", |plugin| {
        plugin == "ImagePolicyWebhook"
    }) {
        Ok(true) => return piece(object, Verdict::Pass, expected, "ImagePolicyWebhook is on"),
        Ok(false) => {}
        Err(why) => return unknown(object, expected, &why),
    }
    match told(&objects.judges).map(|judges| asked_about_pods(judges)) {
        Err(why) => unknown(object, expected, &why),
        Ok(engines) if engines.is_empty() => piece(object, Verdict::Drift, expected, "there is none"),
        Ok(engines) => {
            let why = format!("whether {} does so cannot be told", engines.join(", "));
            unknown(object, expected, &Reason::new(why))
        }
    }
}

#[cfg(test)]
#[path = "judge_cluster_tests.rs"]
mod tests;
