//! Certificates and keys that remedies need. Pure.

use super::super::judge_host::wrong_with;
use super::Needs;
use crate::domain::{Component, Fact, Observation, Pair, PairFacts};

impl Needs<'_> {
    /// The certificate that the flag will name is there with its key, and by the authority of those who are shown it.
    pub(super) fn fits(&self, certificate: &str) -> Result<(), String> {
        if self.value(certificate).is_none_or(|value| value.is_empty()) {
            return Err(format!("--{certificate} is not given, and is not to be"));
        }
        fitting(self.component, certificate, self.observation).map(drop)
    }

    /// The same of the API server, whichever component is to be mended.
    pub(super) fn api_server_shows(&self, certificate: &str) -> Result<(), String> {
        fitting(Component::ApiServer, certificate, self.observation).map(drop)
    }

    /// Clients verify the name that they dial.
    pub(super) fn serves_its_address(&self) -> Result<(), String> {
        self.fits("tls-cert-file")?;
        let facts = fitting(self.component, "tls-cert-file", self.observation)?;
        match self.value("advertise-address") {
            Some(address) if !facts.names.contains(&address) => Err(format!(
                "the certificate {} is not for {address}, which --advertise-address tells clients to dial, but for {}",
                facts.subject,
                facts.names.join(", ")
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Every key that signs has its public half in the file.
    pub(super) fn tokens_stay_good(&self) -> Result<(), String> {
        let mut signing = pairs_to_be(self.observation)?
            .iter()
            .filter(|pair| pair.tokens)
            .peekable();
        if signing.peek().is_none() {
            return Err("nobody is seen to sign tokens, so which key fits is not known".to_owned());
        }
        signing.try_for_each(|pair| sound(pair).map(drop))
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

fn pairs_to_be(observation: &Observation) -> Result<&[Pair], String> {
    match &observation.host.pairs_to_be {
        Fact::Known(pairs) => Ok(pairs),
        Fact::Absent => Err("certificates were not looked at".to_owned()),
        Fact::Unknown(why) => Err(format!("certificates: {why}")),
    }
}

/// What comes of that certificate, if nothing is wrong with it.
pub(in crate::plan) fn fitting<'a>(
    component: Component,
    certificate: &str,
    observation: &'a Observation,
) -> Result<&'a PairFacts, String> {
    let object = format!("{component} --{certificate}");
    let pair = pairs_to_be(observation)?
        .iter()
        .find(|pair| pair.object == object);
    sound(pair.ok_or_else(|| format!("{object} or its key is not given"))?)
}

fn sound(pair: &Pair) -> Result<&PairFacts, String> {
    let facts = match &pair.found {
        Fact::Known(facts) => facts,
        Fact::Absent => return Err(format!("{}: it is not there", pair.object)),
        Fact::Unknown(why) => return Err(format!("{}: {why}", pair.object)),
    };
    let wrong = wrong_with(facts, pair.tokens);
    match (&facts.issued, wrong.is_empty()) {
        (_, false) => Err(format!("{}: {}", pair.object, wrong.join("; "))),
        (Fact::Unknown(why), true) => Err(format!("{}: {why}", pair.object)),
        (Fact::Known(_) | Fact::Absent, true) => Ok(facts),
    }
}
