//! The kubelet's settings, held against what must be.

use super::finding::{Evidence, Mend, Verdict};
use super::judge::{JudgeContext, piece, unknown};
use super::redact::redact;
use super::targets::not_looked_at;
use crate::controls::{Kit, KubeletRule, Must, OFFERED_SUITES, Requirement, STRONG_SUITES, catalogue};
use crate::domain::{Fact, Layout, NodePath, Observation, Reason};
use crate::kubelet::{
    BOOTSTRAP, CERTIFICATE, DEBUG_FLAGS, Effective, GATE_STAGE, Kind, NewValue, PRIVATE_KEY, PROFILING,
    ROTATE_SERVER_GATE, STATIC_POD_PATH, Setting, Source, effective, gate, is_above_zero, of_file_alone,
};
use crate::manifest::parse_boolean;

/// How many processes a pod may have, if nobody says otherwise (the example of the CIS benchmark, 4.2.13).
pub(super) const PIDS: u64 = 4096;

/// kubeadm's authority of the cluster.
const CLIENT_CA_FILE: &str = "/etc/kubernetes/pki/ca.crt";

/// A file that was changed so shortly after the process was started may have been read by it, and two clocks tell the two times: one second.
const SLACK_NS: i128 = 1_000_000_000;

/// The evidence about a rule; none where there is no kubelet.
///
/// `mend`: whether its drift is mended in the file, and by which conditional remedy.
pub(super) fn kubelet(
    rule: &KubeletRule,
    mend: Option<Option<Kit>>,
    observation: &Observation,
    context: &JudgeContext<'_>,
) -> Vec<Evidence> {
    let look = Look {
        observation,
        context,
        mend,
    };
    let facts = &observation.kubelet;
    if facts.process == Fact::Absent && facts.config == Fact::Absent {
        return Vec::new();
    }
    match rule {
        KubeletRule::Setting { setting, must } => vec![look.setting(setting, *must)],
        KubeletRule::ServingCertificate => vec![look.serving_certificate()],
        KubeletRule::RotatesServing => vec![look.rotates_serving()],
        KubeletRule::StaticPodPath => vec![look.static_pod_path()],
        KubeletRule::HandlersOff => [PROFILING, DEBUG_FLAGS]
            .map(|setting| look.setting(&setting, Must::Be("false")))
            .to_vec(),
        KubeletRule::NothingWeakens => vec![look.nothing_weakens()],
    }
}

/// Where the kubelet keeps the certificate that the cluster has issued.
pub(crate) fn serving_certificate(layout: &Layout) -> Option<NodePath> {
    let folder = layout.kubelet.join("pki").ok()?;
    folder.join("kubelet-server-current.pem").ok()
}

/// What a setting must be, in words.
pub(crate) fn expected(must: Must) -> String {
    match must {
        Must::Be(value) => value.to_owned(),
        Must::BeFile => "a file that is there".to_owned(),
        Must::BeUnset => "not set".to_owned(),
        Must::BeLongerThanZero => "more than 0".to_owned(),
        Must::BeAtLeast(least) => format!("{least} or more"),
        Must::BeLoopback => "an address of the node itself alone".to_owned(),
        Must::BeStrongSuites => "a list of strong cipher suites only".to_owned(),
        Must::BeModernTls => "VersionTLS12 or VersionTLS13".to_owned(),
    }
}

fn holds(must: Must, value: &str) -> bool {
    match must {
        Must::Be(wanted) => value == wanted,
        Must::BeFile => !value.is_empty(),
        Must::BeUnset => value.is_empty(),
        Must::BeLongerThanZero => is_above_zero(value),
        Must::BeAtLeast(least) => value.parse::<i64>().is_ok_and(|value| value >= least),
        Must::BeLoopback => value
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        Must::BeStrongSuites => {
            let is_strong = |suite: &str| STRONG_SUITES.contains(&suite.trim());
            !value.is_empty() && value.split(',').all(is_strong)
        }
        // Unset it is 1.2 (component-base/cli/flag `DefaultTLSVersion`).
        Must::BeModernTls => matches!(value, "" | "VersionTLS12" | "VersionTLS13"),
    }
}

/// The value that a setting is given; nothing where only the operator knows one.
fn wanted(kind: Kind, must: Must) -> Option<serde_json::Value> {
    Some(match (must, kind) {
        (Must::Be(value), Kind::Boolean | Kind::Either) => parse_boolean(value)?.into(),
        (Must::Be(value), Kind::Number) => value.parse::<i64>().ok()?.into(),
        (Must::Be(value), Kind::Text | Kind::Span) => value.into(),
        (Must::BeAtLeast(1..), Kind::Number) => PIDS.into(),
        (Must::BeLoopback, _) => "127.0.0.1".into(),
        (Must::BeStrongSuites, _) => OFFERED_SUITES.map(serde_json::Value::from).to_vec().into(),
        (Must::BeModernTls, _) => "VersionTLS12".into(),
        (Must::BeFile, _) => CLIENT_CA_FILE.into(),
        (Must::BeUnset, _) => "".into(),
        (Must::Be(_) | Must::BeAtLeast(_) | Must::BeLongerThanZero, _) => return None,
    })
}

const fn verdict(holds: bool) -> Verdict {
    if holds { Verdict::Pass } else { Verdict::Drift }
}

fn name_of(setting: &Setting) -> String {
    if setting.key.is_empty() {
        format!("--{}", setting.flag)
    } else {
        setting.key.to_owned()
    }
}

struct Look<'a> {
    observation: &'a Observation,
    context: &'a JudgeContext<'a>,
    mend: Option<Option<Kit>>,
}

impl Look<'_> {
    fn effective(&self, setting: &Setting) -> Result<Effective, Reason> {
        known(effective(&self.observation.kubelet, setting))
    }

    fn setting(&self, setting: &Setting, must: Must) -> Evidence {
        let object = format!("kubelet {}", name_of(setting));
        let expected = expected(must);
        let found = match self.effective(setting) {
            Ok(found) => found,
            Err(why) => return unknown(object, expected, &why),
        };
        let told = self.told(setting, &found);
        if must == Must::BeFile && !found.value.is_empty() {
            return self.file(object, expected, told);
        }
        let mut piece = piece(object, verdict(holds(must, &found.value)), expected, told);
        if piece.verdict == Verdict::Drift {
            piece.mend = self.mend(setting, must, &found);
        }
        piece
    }

    /// What mends it in the file; nothing where something lies over the file, or no file is there.
    fn mend(&self, setting: &Setting, must: Must, found: &Effective) -> Option<Mend> {
        let kit = self.mend?;
        self.observation.kubelet.config.known()?;
        match found.source {
            Source::Flag(_) | Source::DropIn(_) => return None,
            Source::File(_) | Source::BuiltIn => {}
        }
        let mut value = wanted(setting.kind, must)?;
        if must == Must::BeFile {
            let place = self.context.layout.place(&CLIENT_CA_FILE.parse().ok()?);
            value = place.as_str().into();
        }
        let setting = NewValue {
            key: setting.key,
            value,
        };
        Some(Mend::Kubelet { kit, setting })
    }

    /// A setting that names the file of client authorities.
    fn file(&self, object: String, expected: String, told: String) -> Evidence {
        let path = match &self.observation.kubelet.client_ca_file {
            Fact::Known(path) => path,
            Fact::Absent => return unknown(object, expected, &not_looked_at("the file")),
            Fact::Unknown(why) => return unknown(object, expected, why),
        };
        match self.observation.files.get(path) {
            Some(Fact::Known(_)) => piece(object, Verdict::Pass, expected, told),
            Some(Fact::Absent) => piece(
                object,
                Verdict::Drift,
                expected,
                format!("{told}; that file is not there"),
            ),
            Some(Fact::Unknown(why)) => unknown(object, expected, why),
            None => unknown(object, expected, &not_looked_at(path)),
        }
    }

    /// A value, where it comes from, and what speaks against its being the running kubelet's.
    fn told(&self, setting: &Setting, found: &Effective) -> String {
        let value = match found.value.as_str() {
            "" => "not set",
            value => value,
        };
        let from = match (&found.source, found.value.as_str()) {
            (Source::Flag(_), _) if setting.key.is_empty() => " (of the running kubelet)".to_owned(),
            (Source::Flag(flag), _) => format!(" (from --{flag} of the running kubelet)"),
            (Source::File(path), _) => format!(" (from {path})"),
            (Source::DropIn(path), _) => format!(" (from the drop-in {path})"),
            (Source::BuiltIn, "") => String::new(),
            (Source::BuiltIn, _) if self.has_no_file() => {
                " (built-in, of a kubelet without a configuration file)".to_owned()
            }
            (Source::BuiltIn, _) => " (built-in)".to_owned(),
        };
        let caveat = match found.source {
            Source::Flag(_) => String::new(),
            Source::File(_) | Source::DropIn(_) | Source::BuiltIn => self.caveat(),
        };
        // A URL may have a password in it.
        redact(&format!("{}: {value}{from}", name_of(setting))) + &caveat
    }

    fn has_no_file(&self) -> bool {
        self.observation.kubelet.config == Fact::Absent
    }

    /// Why the running kubelet may do otherwise than its files say.
    fn caveat(&self) -> String {
        let kubelet = &self.observation.kubelet;
        let Fact::Known(process) = &kubelet.process else {
            return "; the kubelet does not run, and its flags may say otherwise".to_owned();
        };
        let started_ns = self.context.now.as_nanosecond() - i128::from(process.age_ms) * 1_000_000;
        let drop_ins = kubelet.drop_ins.known().into_iter().flatten();
        let newer = kubelet
            .config
            .known()
            .into_iter()
            .chain(drop_ins)
            .rfind(|layer| layer.modified_ns > started_ns + SLACK_NS);
        // A clock that was set meanwhile makes this wrong: it is told, and no verdict rests on it.
        newer.map_or_else(String::new, |layer| {
            format!(
                "; the kubelet was started before {} was last changed, and may run with what it said then",
                layer.path
            )
        })
    }

    fn serving_certificate(&self) -> Evidence {
        const OBJECT: &str = "kubelet serving certificate";
        const EXPECTED: &str = "serverTLSBootstrap: true, or tlsCertFile and tlsPrivateKeyFile";
        let told = |setting: &Setting| {
            let found = self.effective(setting)?;
            Ok((!found.value.is_empty(), self.told(setting, &found)))
        };
        match (told(&CERTIFICATE), told(&PRIVATE_KEY)) {
            (Err(why), _) | (_, Err(why)) => unknown(OBJECT, EXPECTED, &why),
            (Ok((true, certificate)), Ok((true, _))) => piece(OBJECT, Verdict::Pass, EXPECTED, certificate),
            (Ok(_), Ok(_)) => self.issued(Evidence {
                object: OBJECT.to_owned(),
                expected: EXPECTED.to_owned(),
                ..self.setting(&BOOTSTRAP, Must::Be("true"))
            }),
        }
    }

    /// A kubelet that asks the cluster for its certificate serves none until its request is approved.
    fn issued(&self, asks: Evidence) -> Evidence {
        let path = serving_certificate(self.context.layout);
        let found = path.and_then(|path| self.observation.files.get(&path));
        if asks.verdict != Verdict::Pass || found != Some(&Fact::Absent) {
            return asks;
        }
        Evidence {
            verdict: Verdict::Drift,
            actual: format!(
                "{}; no certificate has been issued yet, and until one is, logs and exec of this node's pods fail: \
                 `kubectl get csr --field-selector spec.signerName=kubernetes.io/kubelet-serving`, and for that of this node \
                 `kubectl certificate approve NAME`",
                asks.actual
            ),
            ..asks
        }
    }

    fn rotates_serving(&self) -> Evidence {
        const EXPECTED: &str =
            "serverTLSBootstrap: true, and the gate RotateKubeletServerCertificate not off";
        let bootstrap = Evidence {
            expected: EXPECTED.to_owned(),
            ..self.setting(&BOOTSTRAP, Must::Be("true"))
        };
        match known(gate(&self.observation.kubelet, &ROTATE_SERVER_GATE, &GATE_STAGE)) {
            Err(why) => unknown(bootstrap.object, EXPECTED, &why),
            Ok(Some(false)) => Evidence {
                verdict: Verdict::Drift,
                mend: None,
                actual: format!(
                    "{}; the gate RotateKubeletServerCertificate is off",
                    bootstrap.actual
                ),
                ..bootstrap
            },
            Ok(Some(true) | None) => bootstrap,
        }
    }

    fn static_pod_path(&self) -> Evidence {
        let object = format!("kubelet {}", STATIC_POD_PATH.key);
        // Where it is looked for, and not where it is found: whoever moves it must say so.
        let guarded = Layout::of(&self.context.config.paths).manifests;
        match self.effective(&STATIC_POD_PATH) {
            Err(why) => unknown(object, guarded.as_str(), &why),
            Ok(found) => {
                // `/etc//kubernetes/manifests/` is the same folder.
                let is_it = found
                    .value
                    .parse()
                    .is_ok_and(|path: crate::domain::NodePath| path.components().eq(guarded.components()));
                piece(
                    object,
                    verdict(is_it),
                    guarded.as_str(),
                    self.told(&STATIC_POD_PATH, &found),
                )
            }
        }
    }

    /// Of every setting that is judged: what the file alone makes of it, and what it is.
    fn nothing_weakens(&self) -> Evidence {
        const OBJECT: &str = "kubelet --config";
        const EXPECTED: &str = "no drop-in and no flag that weakens it";
        let facts = &self.observation.kubelet;
        if facts.process == Fact::Absent {
            let why = "the kubelet does not run, so its drop-ins and flags are not known";
            return unknown(OBJECT, EXPECTED, &Reason::new(why));
        }
        let mut weaker = Vec::new();
        for (setting, must) in judged() {
            let found = match self.effective(&setting) {
                Ok(found) => found,
                Err(why) => return unknown(OBJECT, EXPECTED, &why),
            };
            let alone = match known(of_file_alone(facts, &setting)) {
                Ok(alone) => alone,
                Err(why) => return unknown(OBJECT, EXPECTED, &why),
            };
            let is_over = matches!(found.source, Source::DropIn(_) | Source::Flag(_));
            if is_over && holds(must, &alone.value) && !holds(must, &found.value) {
                weaker.push(self.told(&setting, &found));
            }
        }
        if weaker.is_empty() {
            return piece(OBJECT, Verdict::Pass, EXPECTED, "nothing weakens it");
        }
        piece(OBJECT, Verdict::Drift, EXPECTED, weaker.join(", "))
    }
}

/// The settings that rows of the catalogue judge by their value.
fn judged() -> Vec<(Setting, Must)> {
    let mut judged = vec![(BOOTSTRAP, Must::Be("true"))];
    for control in catalogue() {
        if let Requirement::Kubelet(KubeletRule::Setting { setting, must }) = control.requirement
            && !setting.key.is_empty()
        {
            judged.push((setting, must));
        }
    }
    judged
}

fn known<T>(fact: Fact<T>) -> Result<T, Reason> {
    match fact {
        Fact::Known(value) => Ok(value),
        Fact::Absent => Err(not_looked_at("the kubelet's configuration")),
        Fact::Unknown(why) => Err(why),
    }
}

#[cfg(test)]
#[path = "judge_kubelet_tests.rs"]
mod tests;
