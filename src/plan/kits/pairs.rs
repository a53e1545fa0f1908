//! Certificates and keys that remedies need. Pure.

use super::super::judge_host::wrong_with;
use super::Needs;
use crate::domain::{Component, Fact, Observation, Pair, PairFacts, Process};
use crate::manifest::flags_of_process;

impl Needs<'_> {
    /// The certificate that the flag will name is there with its key, and by the authority of those who are shown it.
    pub(super) fn fits(&self, certificate: &str) -> Result<(), String> {
        if self.value(certificate).is_none_or(|value| value.is_empty()) {
            return Err(format!("--{certificate} is not given, and is not to be"));
        }
        let object = format!("{} --{certificate}", self.component);
        fitting(Some(self.component), &object, self.observation).map(drop)
    }

    /// A kubelet that verifies nobody yet takes any certificate.
    pub(super) fn fits_the_kubelet(&self) -> Result<(), String> {
        if self.observation.kubelet.client_ca_file == Fact::Absent {
            let object = "kube-apiserver --kubelet-client-certificate";
            return sound(found(Some(self.component), object, self.observation)?, false).map(drop);
        }
        self.fits("kubelet-client-certificate")
    }

    /// The API server, as it runs now, shows etcd a certificate that etcd will take.
    pub(super) fn api_server_is_known_to_etcd(&self) -> Result<(), String> {
        runs_with("etcd-certfile", self.observation)?;
        fitting(
            Some(self.component),
            "kube-apiserver --etcd-certfile",
            self.observation,
        )
        .map(drop)
    }

    /// Clients verify the name that they dial.
    pub(super) fn serves_its_address(&self) -> Result<(), String> {
        self.fits("tls-cert-file")?;
        if self.value("cert-dir").is_some() {
            return Err(
                "--cert-dir is given, and what lies there serves now: name that by the flags by hand"
                    .to_owned(),
            );
        }
        let object = "kube-apiserver --tls-cert-file";
        let facts = fitting(Some(self.component), object, self.observation)?;
        let Some(address) = self.value("advertise-address") else {
            return Err(
                "--advertise-address is not given, so which address clients dial is not known".to_owned(),
            );
        };
        let mut dialled = vec![address];
        let kubeconfigs = match &self.observation.host.kubeconfigs {
            Fact::Known(all) => all,
            Fact::Absent => {
                return Err("there are no kubeconfigs that say which name clients dial".to_owned());
            }
            Fact::Unknown(why) => return Err(format!("kubeconfigs: {why}")),
        };
        for kubeconfig in kubeconfigs.values() {
            match kubeconfig {
                Fact::Known(kubeconfig) => {
                    dialled.extend(kubeconfig.servers.iter().map(|url| super::host_of(url)))
                }
                Fact::Absent => {}
                Fact::Unknown(why) => return Err(why.to_string()),
            }
        }
        match dialled.iter().find(|name| !facts.names.contains(name)) {
            Some(name) => Err(format!(
                "the certificate {} is not for {name}, which clients dial, but for {}",
                facts.subject,
                facts.names.join(", ")
            )),
            None => Ok(()),
        }
    }

    /// Every key that signs has its public half in the file.
    pub(super) fn tokens_stay_good(&self) -> Result<(), String> {
        if self.value("service-account-signing-endpoint").is_some() {
            return Err("an external signer is asked (--service-account-signing-endpoint), beside which the API server takes no key file".to_owned());
        }
        let all = of_edited(Some(self.component), self.observation)?;
        let mut signing = all.iter().filter(|pair| pair.tokens).peekable();
        if signing.peek().is_none() {
            return Err("nobody is seen to sign tokens, so which key fits is not known".to_owned());
        }
        signing.try_for_each(|pair| sound(pair, false).map(drop))
    }

    /// No other member of etcd would have to follow.
    pub(super) fn alone(&self) -> Result<(), String> {
        let members = self.value("initial-cluster").unwrap_or_default();
        let members: Vec<&str> = members.split(',').filter(|member| !member.is_empty()).collect();
        if members.len() < 2 {
            return Ok(());
        }
        Err(format!(
            "etcd has {} members, and each would need its certificates first: do it by hand, one at a time",
            members.len()
        ))
    }
}

/// The API server runs with that flag now, and not only its manifest has it.
pub(in crate::plan) fn runs_with(flag: &str, observation: &Observation) -> Result<(), String> {
    let processes = observation.processes.get(&Component::ApiServer);
    let processes = match processes.unwrap_or(&Fact::Absent) {
        Fact::Known(processes) if !processes.is_empty() => processes,
        Fact::Known(_) | Fact::Absent => return Err("no API server is seen to run on this node".to_owned()),
        Fact::Unknown(why) => return Err(format!("how the API server runs is not known: {why}")),
    };
    let has_it = |process: &Process| {
        let flags = flags_of_process(Component::ApiServer, &process.argv).unwrap_or_default();
        let mut given = flags
            .iter()
            .filter(|(name, value)| name.as_str() == flag && !value.is_empty());
        given.next().is_some()
    };
    if processes.iter().all(has_it) {
        return Ok(());
    }
    Err(format!(
        "the API server runs without --{flag}: let that be mended first"
    ))
}

fn of_edited(edited: Option<Component>, observation: &Observation) -> Result<&[Pair], String> {
    match &observation.host.pairs_to_be {
        Fact::Known(pairs) => Ok(pairs.get(&edited).map_or(&[][..], Vec::as_slice)),
        Fact::Absent => Err("certificates were not looked at".to_owned()),
        Fact::Unknown(why) => Err(format!("certificates: {why}")),
    }
}

fn found<'a>(
    edited: Option<Component>,
    object: &str,
    observation: &'a Observation,
) -> Result<&'a Pair, String> {
    let pair = of_edited(edited, observation)?
        .iter()
        .find(|pair| pair.object == object);
    pair.ok_or_else(|| format!("{object} or its key is not given"))
}

/// What comes of that certificate once that component, or the kubelet (`None`), is edited, if nothing is wrong with it and its authority is known.
pub(in crate::plan) fn fitting<'a>(
    edited: Option<Component>,
    object: &str,
    observation: &'a Observation,
) -> Result<&'a PairFacts, String> {
    sound(found(edited, object, observation)?, true)
}

fn sound(pair: &Pair, by_authority: bool) -> Result<&PairFacts, String> {
    let facts = match &pair.found {
        Fact::Known(facts) => facts,
        Fact::Absent => return Err(format!("{}: it is not there", pair.object)),
        Fact::Unknown(why) => return Err(format!("{}: {why}", pair.object)),
    };
    let wrong = wrong_with(facts, pair.tokens);
    match (&facts.issued, wrong.is_empty()) {
        (_, false) => Err(format!("{}: {}", pair.object, wrong.join("; "))),
        (Fact::Unknown(why), true) => Err(format!("{}: {why}", pair.object)),
        (Fact::Absent, true) if by_authority => Err(format!(
            "{}: which authority those know who are shown it is not known",
            pair.object
        )),
        (Fact::Known(_) | Fact::Absent, true) => Ok(facts),
    }
}
