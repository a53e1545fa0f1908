//! Credentials, the kubelet's unit and listeners, held against what must be.

use std::collections::BTreeSet;

use super::finding::{Evidence, Mend, Verdict};
use super::judge::{piece, unknown};
use super::targets::not_looked_at;
use crate::domain::{
    Component, EtcdClient, Fact, HomeKubeconfig, Kubeconfig, Listener, Manifest, Mode, Observation, Owner,
    Pair, PairFacts, Reason, SignIn,
};
use crate::kubelet::{PORT, effective};
use crate::manifest::command_line;
use crate::unit::{ENVIRONMENT_FILES, concerns_of_environment, concerns_of_unit};

/// What was asked, or the one piece of evidence that it could not be had; none where there is nothing.
fn asked<'a, T>(what: &str, expected: &str, fact: &'a Fact<T>) -> Result<&'a T, Vec<Evidence>> {
    match fact {
        Fact::Known(known) => Ok(known),
        Fact::Absent => Err(Vec::new()),
        Fact::Unknown(why) => Err(vec![unknown(what, expected, why)]),
    }
}

fn verdict_of(holds: bool) -> Verdict {
    if holds { Verdict::Pass } else { Verdict::Drift }
}

/// The kubeconfigs of the control plane.
pub(super) fn kubeconfigs(observation: &Observation) -> Vec<Evidence> {
    const EXPECTED: &str = "a verified server, and users with client certificates or token files";
    let of = |kubeconfig: &Kubeconfig| {
        let mut wrong: Vec<String> = kubeconfig
            .unverified
            .iter()
            .map(|cluster| format!("the server of {cluster} is not verified"))
            .collect();
        let (good, bad): (Vec<SignIn>, Vec<SignIn>) = kubeconfig
            .sign_ins
            .iter()
            .partition(|how| matches!(how, SignIn::Certificate | SignIn::TokenFile));
        wrong.extend(
            bad.iter()
                .map(|how| format!("a user signs in by {}", how.words())),
        );
        let good: Vec<&str> = good.iter().map(|how| how.words()).collect();
        let said = if wrong.is_empty() {
            good.join(", ")
        } else {
            wrong.join("; ")
        };
        (wrong.is_empty(), said)
    };
    let all = match asked("kubeconfigs", EXPECTED, &observation.host.kubeconfigs) {
        Ok(all) => all,
        Err(evidence) => return evidence,
    };
    let said = all.iter().filter_map(|(path, read)| match read {
        Fact::Known(kubeconfig) => {
            let (holds, said) = of(kubeconfig);
            Some(piece(path.as_str(), verdict_of(holds), EXPECTED, said))
        }
        Fact::Absent => None,
        Fact::Unknown(why) => Some(unknown(path.as_str(), EXPECTED, why)),
    });
    said.collect()
}

const OF_HOMES: &str = "no administrator's, the user's own, mode 0600 or stricter";

/// Kubeconfigs in home folders: a piece for each thing that is wrong with one.
pub(super) fn home_kubeconfigs(observation: &Observation) -> Vec<Evidence> {
    const EXPECTED: &str = OF_HOMES;
    let all = match asked("home folders", EXPECTED, &observation.host.home_kubeconfigs) {
        Ok(all) => all,
        Err(evidence) => return evidence,
    };
    let mut evidence = Vec::new();
    for (home, found) in all {
        match found {
            Fact::Known(found) => evidence.extend(found.iter().flat_map(home_kubeconfig)),
            Fact::Absent => {}
            Fact::Unknown(why) => evidence.push(unknown(home.as_str(), EXPECTED, why)),
        }
    }
    evidence
}

fn home_kubeconfig(found: &HomeKubeconfig) -> Vec<Evidence> {
    let object = found.path.as_str();
    let HomeKubeconfig { facts, home, .. } = found;
    let drift = |actual: String, mend| Evidence {
        mend,
        ..piece(object, Verdict::Drift, OF_HOMES, actual)
    };
    let is_theirs = facts.owner.uid == home.uid;
    let mut wrong = Vec::new();
    if let Some(subject) = &found.administrator {
        wrong.push(drift(format!("the administrator's ({subject})"), None));
    }
    if !is_theirs {
        let actual = format!("it belongs to {}, the home to {home}", facts.owner);
        wrong.push(drift(actual, given_back(found)));
    }
    if !facts.mode.is_within(THEIRS_ALONE) {
        // A user whose file is somebody else's may read it by nothing but its wide mode.
        let may = facts.links == 1 && (is_theirs || is_roots_home(found));
        let mend = may.then(|| Mend::Mode {
            path: found.path.clone(),
            id: facts.id,
            from: facts.mode,
            ceiling: THEIRS_ALONE,
        });
        wrong.push(drift(format!("mode {}", facts.mode), mend));
    }
    if wrong.is_empty() {
        wrong.push(piece(object, Verdict::Pass, OF_HOMES, "a user's own"));
    }
    wrong
}

const THEIRS_ALONE: Mode = Mode::from_bits(0o600);

const fn is_roots_home(found: &HomeKubeconfig) -> bool {
    found.home.uid == Owner::ROOT.uid
}

/// The file for root, in root's own home. No user is given a file: it may be another's of which they made a second name here, and the first
/// has gone since (`ln` of a kubeconfig that is then renewed), and they would read what they could not.
fn given_back(found: &HomeKubeconfig) -> Option<Mend> {
    let is_plain = found.facts.links == 1 && found.is_closed;
    (is_plain && is_roots_home(found)).then(|| Mend::Owner {
        path: found.path.clone(),
        id: found.facts.id,
        from: found.facts.owner,
        to: Owner::ROOT,
    })
}

/// Certificates with their keys.
pub(super) fn pairs(observation: &Observation) -> Vec<Evidence> {
    const EXPECTED: &str = "the key is the certificate's";
    match asked("certificates", EXPECTED, &observation.host.pairs) {
        Ok(all) => all.iter().filter_map(pair).collect(),
        Err(evidence) => evidence,
    }
}

fn pair(pair: &Pair) -> Option<Evidence> {
    let expected = if pair.tokens {
        "the key that signs is among --service-account-key-file".to_owned()
    } else {
        let by = pair.authority.known().map_or_else(String::new, |authority| {
            format!(", and the certificate by the authority of {authority}")
        });
        format!("the key is the certificate's{by}")
    };
    let facts = match &pair.found {
        Fact::Known(facts) => facts,
        Fact::Absent => return None,
        Fact::Unknown(why) => return Some(unknown(pair.object.as_str(), expected, why)),
    };
    let object = pair.object.as_str();
    let wrong = wrong_with(facts, pair.tokens);
    Some(match (wrong.is_empty(), &facts.issued) {
        (false, _) => piece(object, Verdict::Drift, expected, wrong.join("; ")),
        (true, Fact::Unknown(why)) => unknown(object, expected, why),
        (true, Fact::Known(_) | Fact::Absent) => {
            let actual = if pair.tokens {
                "it is"
            } else {
                facts.subject.as_str()
            };
            piece(object, Verdict::Pass, expected, actual)
        }
    })
}

pub(super) fn wrong_with(facts: &PairFacts, tokens: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    match (facts.fits, tokens) {
        (true, _) => {}
        (false, true) => {
            wrong.push("it is none of the keys that verify, so that what it signs is void".to_owned())
        }
        (false, false) => wrong.push(format!("{}: the key is another one's", facts.subject)),
    }
    if facts.issued == Fact::Known(false) {
        wrong.push(format!("{}: it is by another authority", facts.subject));
    }
    let lacks = facts.lacks.iter();
    wrong
        .extend(lacks.map(|usage| format!("{}: its extendedKeyUsage lacks {}", facts.subject, usage.name())));
    wrong
}

/// Private keys that others can read.
pub(super) fn exposed_keys(observation: &Observation) -> Vec<Evidence> {
    const EXPECTED: &str = "no private key that others than root can read";
    let all = match asked("folders", EXPECTED, &observation.host.exposed_keys) {
        Ok(all) => all,
        Err(evidence) => return evidence,
    };
    let mut evidence = Vec::new();
    for (folder, searched) in all {
        let found = searched.found.iter();
        evidence.extend(found.map(|key| {
            let actual = format!("a private key, {}, mode {}", key.facts.owner, key.facts.mode);
            piece(key.path.as_str(), Verdict::Drift, EXPECTED, actual)
        }));
        match &searched.cut_off {
            Some(why) => evidence.push(unknown(folder.as_str(), EXPECTED, why)),
            None if searched.found.is_empty() => {
                evidence.push(piece(folder.as_str(), Verdict::Pass, EXPECTED, "there is none"));
            }
            None => {}
        }
    }
    evidence
}

/// The kubelet's unit, its drop-ins and environment files.
pub(super) fn kubelet_unit(observation: &Observation) -> Vec<Evidence> {
    const EXPECTED: &str = "the kubelet alone, with kubeadm's environment";
    let of = |(path, text): (&crate::domain::NodePath, &Fact<String>)| match text {
        Fact::Known(text) => {
            let concerns = if ENVIRONMENT_FILES.contains(&path.as_str()) {
                concerns_of_environment(text)
            } else {
                concerns_of_unit(text)
            };
            let actual = if concerns.is_empty() {
                "nothing else".to_owned()
            } else {
                concerns.join("; ")
            };
            Some(piece(
                path.as_str(),
                verdict_of(concerns.is_empty()),
                EXPECTED,
                actual,
            ))
        }
        Fact::Absent => None,
        Fact::Unknown(why) => Some(unknown(path.as_str(), EXPECTED, why)),
    };
    match asked("kubelet.service", EXPECTED, &observation.host.kubelet_unit) {
        Ok(all) => all.iter().filter_map(of).collect(),
        Err(evidence) => evidence,
    }
}

/// Ports that asked nobody who he was, of versions before 1.24 or of cAdvisor.
const INSECURE: [u16; 5] = [8080, 10251, 10252, 10255, 4194];

/// What the components and the kubelet listen on.
pub(super) fn listeners(observation: &Observation) -> Vec<Evidence> {
    const EXPECTED: &str = "its own ports, and else addresses of the node itself";
    let all = match asked("listeners", EXPECTED, &observation.host.listeners) {
        Ok(all) => all,
        Err(evidence) => return evidence,
    };
    let whose: BTreeSet<Option<Component>> = all.iter().map(|one| one.component).collect();
    let said = whose.into_iter().map(|component| {
        let name = component.map_or_else(|| "kubelet".to_owned(), |component| component.to_string());
        let ports = match ports_of(component, observation) {
            Ok(ports) => ports,
            Err(why) => return unknown(name, EXPECTED, &why),
        };
        let (good, bad): (Vec<&Listener>, Vec<&Listener>) = all
            .iter()
            .filter(|one| one.component == component)
            .partition(|one| is_good(one, &ports));
        let shown = |all: &[&Listener]| {
            let shown: BTreeSet<String> = all.iter().map(|one| one.address.to_string()).collect();
            shown.into_iter().collect::<Vec<_>>().join(", ")
        };
        if bad.is_empty() {
            // A port of the node itself may be another one after each start.
            let open: Vec<&Listener> = good
                .into_iter()
                .filter(|one| !one.address.ip().is_loopback())
                .collect();
            let actual = if open.is_empty() {
                "addresses of the node itself".to_owned()
            } else {
                shown(&open)
            };
            piece(name, Verdict::Pass, EXPECTED, actual)
        } else {
            piece(name, Verdict::Drift, EXPECTED, shown(&bad))
        }
    });
    said.collect()
}

fn is_good(one: &Listener, ports: &BTreeSet<u16>) -> bool {
    let address = one.address;
    ports.contains(&address.port()) || (address.ip().is_loopback() && !INSECURE.contains(&address.port()))
}

/// The ports on which it serves others.
fn ports_of(component: Option<Component>, observation: &Observation) -> Result<BTreeSet<u16>, Reason> {
    let Some(component) = component else {
        return match effective(&observation.kubelet, &PORT) {
            Fact::Known(found) => Ok(found.value.parse().into_iter().collect()),
            Fact::Absent => Ok([10250].into()),
            Fact::Unknown(why) => Err(why),
        };
    };
    let flags = match component {
        Component::ApiServer => ["secure-port", ""],
        Component::Etcd => ["listen-client-urls", "listen-peer-urls"],
        Component::ControllerManager | Component::Scheduler => return Ok(BTreeSet::new()),
    };
    let manifest = match observation.manifests.get(&component) {
        Some(Fact::Known(manifest)) => manifest,
        Some(Fact::Unknown(why)) => return Err(why.clone()),
        Some(Fact::Absent) | None => return Err(not_looked_at(format!("the manifest of {component}"))),
    };
    let line = command_line(component, &manifest.pod).map_err(|why| Reason::new(why.to_string()))?;
    let given = |flag: &str| {
        let values = line.flags().filter(|(name, _)| name.as_str() == flag);
        values.map(|(_, value)| value).last()
    };
    let mut ports: BTreeSet<u16> = flags
        .iter()
        .filter_map(|flag| given(flag))
        .flat_map(|value| value.split(','))
        .filter_map(|url| url.rsplit(':').next()?.trim_end_matches('/').parse().ok())
        .collect();
    if component == Component::ApiServer && ports.is_empty() {
        ports.insert(6443);
    }
    Ok(ports)
}

/// Who is connected to etcd.
pub(super) fn etcd_clients(observation: &Observation) -> Vec<Evidence> {
    const EXPECTED: &str = "the API server of this node, and members of etcd";
    let all = match asked("etcd's connections", EXPECTED, &observation.host.etcd_clients) {
        Ok(all) => all,
        Err(evidence) => return evidence,
    };
    // Metrics are nobody's data, and the kubelet asks there.
    let ports = match ports_of(Some(Component::Etcd), observation) {
        Ok(ports) => ports,
        Err(why) => return vec![unknown("etcd", EXPECTED, &why)],
    };
    let said = |client: &EtcdClient| {
        let address = client.address.to_string();
        if let Some(program) = &client.program {
            let object = format!("etcd port {}, {program}", client.port);
            let actual = format!("{program} of this node is connected, too");
            return Some(piece(object, Verdict::Drift, EXPECTED, actual));
        }
        let object = format!("etcd port {}, {address}", client.port);
        match &observation.host.etcd_peers {
            Fact::Known(peers) if peers.contains(&address) => None,
            Fact::Known(_) => Some(piece(
                object,
                Verdict::Drift,
                EXPECTED,
                format!("{address} is connected, and is no member's address"),
            )),
            Fact::Absent => None,
            Fact::Unknown(why) => {
                let why = format!("{address} is connected, and whether it is a member is not known: {why}");
                Some(unknown(object, EXPECTED, &Reason::new(why)))
            }
        }
    };
    let at_its_data = all.iter().filter(|client| ports.contains(&client.port));
    let mut evidence: Vec<Evidence> = at_its_data.filter_map(said).collect();
    if evidence.is_empty() {
        evidence.push(piece("etcd", Verdict::Pass, EXPECTED, "nobody else is connected"));
    }
    evidence
}

/// sshd on a node without a control plane.
pub(super) fn ssh_on_workers(observation: &Observation) -> Vec<Evidence> {
    const EXPECTED: &str = "not started with the system";
    let is_worker = |manifest: &Fact<Manifest>| *manifest == Fact::Absent;
    if !observation.manifests.is_empty() && !observation.manifests.values().all(is_worker) {
        return Vec::new();
    }
    let links = match asked("sshd", EXPECTED, &observation.host.ssh_links) {
        Ok(links) => links,
        Err(evidence) => return evidence,
    };
    let of = |(path, facts): (&crate::domain::NodePath, &Fact<crate::domain::FileFacts>)| match facts {
        Fact::Known(_) => Some(piece(path.as_str(), Verdict::Drift, EXPECTED, "it is")),
        Fact::Absent => None,
        Fact::Unknown(why) => Some(unknown(path.as_str(), EXPECTED, why)),
    };
    let mut evidence: Vec<Evidence> = links.iter().filter_map(of).collect();
    if evidence.is_empty() {
        evidence.push(piece("sshd", Verdict::Pass, EXPECTED, "no unit of it is"));
    }
    evidence
}

#[cfg(test)]
#[path = "judge_host_tests.rs"]
mod tests;
