//! Guards encryption at rest between rotations: each change of the file, the flag, the mount or the write key is noticed, and one that takes
//! away what stored values need is put back.

use std::rc::Rc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::brake::Brake;
use super::evidence::{running, runs_with_one};
use super::mending::{mending, unrecorded};
use super::writing::keep_found;
use super::{Beat, PATIENCE, Prepared, RotateError, key_store, look};
use crate::adapters::Node;
use crate::adapters::etcd::Etcd;
use crate::adapters::journal_store::JournalStore;
use crate::adapters::lock::Held;
use crate::at_rest::{
    Configured, Lost, Present, Repair, Runs, both, differences, lost, may_be_written, repair,
};
use crate::census::{Census, Held as Stored, Resource};
use crate::domain::{Digest, Fact, Instant, KeyId, Manifest, Mode, NodePath, Reason};
use crate::encryption::{Link, MAX_BYTES, SharedChain, parse, write};
use crate::journal::{KnownEncryption, Record};
use crate::observe::at_rest;
use crate::rotation::{Generation, Rotation, Stage};

/// What a look at the configuration came to.
#[derive(Debug, Clone)]
pub enum Guarded {
    /// It is as it is known, or there is none and was none.
    InOrder,
    /// Nothing is told: the manifest is not there, files are settling, or what was judged last is not judged again yet.
    Unjudged,
    /// It was seen for the first time, and is known from now on.
    Adopted(KnownEncryption),
    /// It cannot be read, and never was: it is not watched.
    Unwatched {
        /// The file, where one is named.
        file: Option<NodePath>,
        /// Why.
        why: String,
    },
    /// It was changed, and no stored value needs what went: this is known from now on.
    Changed(Vec<String>),
    /// It was changed, and what it was before cannot be had; what is there is known from now on.
    Forgotten(String),
    /// It was changed, and what stored values need is gone.
    Endangered {
        /// What differs.
        differences: Vec<String>,
        /// Which values need what.
        lost: Vec<Lost>,
        /// What was done about it, or is to be.
        answer: Answer,
    },
    /// It was changed, and whether a stored value needs what went cannot be told yet.
    Unproven {
        /// What differs.
        differences: Vec<String>,
        /// Why.
        why: String,
    },
}

/// What is done about a change that endangers stored values.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It was mended: how.
    Mended(String),
    /// The API server is to be given the configuration back.
    GiveBack(Box<Prepared>),
    /// Nothing: why not, and what the operator can do.
    Left(String),
}

/// What is remembered between looks; it can all be had again.
pub struct Guard<'a> {
    node: &'a Node,
    runtime: tokio::runtime::Runtime,
    judged: Option<Judged>,
    /// On mending what somebody undoes each time.
    brake: Brake,
    beat: Beat<'a>,
}

/// What was judged last.
struct Judged {
    present: Present,
    /// When it was first seen.
    since: Instant,
    /// Until when it is not judged again, of the boot clock.
    until_ms: u64,
    /// How long that was.
    wait_ms: u64,
}

/// A danger that is not mended is judged again after so long, and so is what could not be told: each costs a count of what is stored. While
/// nothing changes, the time doubles up to the longest.
const AGAIN_MS: u64 = 2_000;
const LONGEST_MS: u64 = 16_000;
/// Somebody who undoes it this often within a minute is not fought at each write, but every few seconds: the API server looks at the file
/// once a minute.
const OFTEN: usize = 5;
const LATELY_MS: u64 = 60_000;
const REST_MS: u64 = 10_000;
/// An API server looks at its configuration each minute (kubernetes apiserver/pkg/server/options/encryptionconfig/controller,
/// `EncryptConfigPollInterval`): one that does not say what it has loaded has done so by then.
const LOADED_BY: Duration = Duration::from_secs(180);

impl<'a> Guard<'a> {
    /// A guard of this node.
    ///
    /// # Errors
    /// When the system gives no event loop.
    pub fn new(node: &'a Node) -> Result<Self, RotateError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self {
            node,
            runtime: runtime.map_err(RotateError::Runtime)?,
            judged: None,
            brake: Brake::new(OFTEN, LATELY_MS, REST_MS),
            beat: Rc::new(|| {}),
        })
    }

    /// The same, which shows that it is alive while it counts.
    #[must_use]
    pub fn beating(self, beat: Beat<'a>) -> Self {
        Self { beat, ..self }
    }

    /// Looks, and with `acts` mends what can be mended by a write of the file. While files are `settling`, one that is being written is
    /// not judged.
    ///
    /// # Errors
    /// When the journal or a file cannot be written, or the key store is damaged.
    pub fn look(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        acts: Result<(), String>,
        settling: bool,
    ) -> Result<Guarded, RotateError> {
        // Whoever takes a manifest out of its folder, and for how long, is told elsewhere.
        let Fact::Known(manifest) = at_rest::manifest(self.node) else {
            return Ok(Guarded::Unjudged);
        };
        let present = at_rest::present(self.node, &manifest);
        let Some(known) = journal.state().encryption.clone() else {
            let (file, why) = match present {
                Present::As(configured) => {
                    return Ok(Guarded::Adopted(self.adopt(held, journal, &configured)?));
                }
                Present::NoFlag => return Ok(Guarded::InOrder),
                Present::NotMounted { inside } => (None, format!("{inside} is not mounted from the node")),
                Present::NoFile { file } => (Some(file.clone()), format!("{file} is not there")),
                Present::Refused { file, why, .. } => (Some(file.clone()), format!("{file}: {why}")),
                Present::Unknown(why) => (None, why.to_string()),
            };
            return Ok(Guarded::Unwatched { file, why });
        };
        if is_as_known(&known, &present) {
            self.judged = None;
            return Ok(Guarded::InOrder);
        }
        let rotation = journal.state().rotations.rotation.clone();
        if let Present::As(configured) = &present
            && is_at_hand(rotation.as_ref(), configured.digest, journal.state().load_refused)
        {
            self.adopt(held, journal, configured)?;
            return Ok(Guarded::InOrder);
        }
        if let Present::As(configured) = &present
            && let Some(event) = unrecorded(self.node, journal.state(), configured.digest)?
        {
            self.record(held, journal, Record::Rotation { event })?;
            self.adopt(held, journal, configured)?;
            return Ok(Guarded::InOrder);
        }
        let now = self.node.clock.now();
        let judged = self.judged.take().filter(|judged| judged.present == present);
        let is_judged = |judged: &Judged| now.since_boot_ms < judged.until_ms;
        if settling || judged.as_ref().is_some_and(is_judged) {
            self.judged = judged;
            return Ok(Guarded::Unjudged);
        }
        let (since, wait_ms) = judged.map_or_else(
            || (now.clone(), AGAIN_MS),
            |judged| (judged.since, (2 * judged.wait_ms).min(LONGEST_MS)),
        );
        self.judged = Some(Judged {
            present: present.clone(),
            since: since.clone(),
            until_ms: now.since_boot_ms + wait_ms,
            wait_ms,
        });
        self.judge(held, journal, &manifest, &known, (&present, &since), acts)
    }

    fn judge(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        manifest: &Manifest,
        known: &KnownEncryption,
        (present, since): (&Present, &Instant),
        acts: Result<(), String>,
    ) -> Result<Guarded, RotateError> {
        let former = match (former(self.node, known), present) {
            (Ok(former), _) => former,
            // Nothing can be put back; what is there is watched from now on.
            (Err(why @ RotateError::Keys(_)), Present::As(configured)) => {
                self.adopt(held, journal, configured)?;
                return Ok(Guarded::Forgotten(why.to_string()));
            }
            (Err(why), _) => {
                return Ok(Guarded::Unproven {
                    differences: vec!["it is not what it was".to_owned()],
                    why: format!("what it was cannot be read: {why}"),
                });
            }
        };
        // Until its end the API server writes plaintext, whoever gives it its flag back, and when.
        let writes_plaintext = matches!(present, Present::NoFlag) && known.write_key != Some(KeyId::Identity);
        if writes_plaintext && !journal.state().plaintext_owed {
            self.record(held, journal, Record::PlaintextOwed { owed: true })?;
        }
        let differences = differences(&former, present);
        if let Present::Unknown(why) = present {
            let why = why.to_string();
            return Ok(Guarded::Unproven { differences, why });
        }
        // Before the census, which then has all that was written until the server had loaded it.
        let still_written = self.still_written(manifest, &former, present, since);
        let census = match self.census(manifest, &former, present) {
            Ok(census) => census,
            Err(why) => {
                let why = why.to_string();
                return Ok(Guarded::Unproven { differences, why });
            }
        };
        let lost = lost(&former.config, present.config(), &census);
        let rotation = journal.state().rotations.rotation.clone();
        let rotation = rotation.as_ref();
        if lost.is_empty() && !is_needed(rotation, present) {
            if let Some(why) = still_written {
                return Ok(Guarded::Unproven { differences, why });
            }
            self.accept(held, journal, present)?;
            return Ok(Guarded::Changed(differences));
        }
        let answer = match acts {
            Err(why) => Answer::Left(why),
            Ok(()) if present.is_of_manifest() => {
                let encrypted = lost.iter().map(|lost| lost.values).sum();
                match mending(self.node, &former, present, rotation, encrypted) {
                    Ok(prepared) => Answer::GiveBack(Box::new(prepared)),
                    Err(why) => Answer::Left(why.to_string()),
                }
            }
            Ok(()) if self.brake.rests(self.node.clock.now().since_boot_ms) => Answer::Left(fought()),
            // What cannot be mended now is told with what endangers the values, and tried again.
            Ok(()) => self
                .mend(held, journal, &former, present, &census)
                .unwrap_or_else(|why| Answer::Left(by_hand(&why.to_string()))),
        };
        Ok(Guarded::Endangered {
            differences,
            lost,
            answer,
        })
    }

    /// No value needs what went: from now on it is as it is.
    fn accept(&self, held: &Held, journal: &mut JournalStore, present: &Present) -> Result<(), RotateError> {
        match present {
            Present::As(configured) => self.adopt(held, journal, configured).map(drop),
            Present::NoFlag => {
                self.record(held, journal, Record::Encryption { known: None })?;
                if journal.state().plaintext_owed {
                    self.record(held, journal, Record::PlaintextOwed { owed: false })?;
                }
                Ok(())
            }
            Present::NotMounted { .. }
            | Present::NoFile { .. }
            | Present::Refused { .. }
            | Present::Unknown(_) => Ok(()),
        }
    }

    fn census(&self, manifest: &Manifest, former: &Configured, present: &Present) -> Result<Census, Reason> {
        let access = at_rest::access(self.node, manifest)?;
        let all = Configured {
            config: both(&former.config, present.config()),
            ..former.clone()
        };
        self.runtime.block_on(async {
            let etcd = Etcd::connect(&access, PATIENCE).await;
            let etcd = etcd.map_err(|error| Reason::new(format!("{error}; {}", error.advice())))?;
            at_rest::census(&etcd, &access, Some(&all), false, &*self.beat).await
        })
    }

    /// Why a value under a key that went may still be written: the API server wrote with it, and is not proven to have loaded what is there.
    fn still_written(
        &self,
        manifest: &Manifest,
        former: &Configured,
        present: &Present,
        since: &Instant,
    ) -> Option<String> {
        let Present::As(now) = present else { return None };
        let keys = may_be_written(&former.config, &now.config);
        if keys.is_empty() {
            return None;
        }
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let told = |why: &str| {
            Some(format!(
                "kube-apiserver may still write with {}: {why}",
                keys.join(", ")
            ))
        };
        let api = match at_rest::client(self.node, manifest) {
            Ok(api) => api,
            Err(why) => return told(&why.to_string()),
        };
        let reported = self.runtime.block_on(at_rest::reported(&api));
        let generation = |configured: &Configured| Generation::File(configured.digest);
        let always = Instant {
            since_boot_ms: 0,
            ..since.clone()
        };
        let mut lay_on_disk = || {
            vec![
                (always.clone(), generation(former)),
                (since.clone(), generation(now)),
            ]
        };
        let (loaded, silent) = running(self.node, manifest, reported, &mut lay_on_disk);
        let waited = self.node.clock.now().elapsed_since(since);
        let is_past = || waited.is_some_and(|waited| waited >= LOADED_BY);
        let never_shows = silent.is_some_and(|silent| silent.hopeless().is_some());
        if loaded == Fact::Known(generation(now)) || never_shows && is_past() {
            return None;
        }
        if now.reload {
            told("it is not seen to have loaded the file, which it does within a minute")
        } else {
            told(
                "it is not seen to have loaded the file, which it does when it is restarted (`holdfast bounce kube-apiserver`)",
            )
        }
    }

    /// Why the API server may still write plaintext: it is not seen to run with a configuration.
    pub fn writes_plaintext(&self) -> Option<Reason> {
        match at_rest::manifest(self.node) {
            Fact::Known(manifest) => runs_with_one(self.node, &manifest).err(),
            Fact::Absent => Some(Reason::new("it has no manifest")),
            Fact::Unknown(why) => Some(why),
        }
    }

    /// True when the API server says that it runs with that configuration.
    pub fn runs(&self, digest: Digest) -> bool {
        self.loaded() == Some(digest)
    }

    /// The configuration that the API server says it runs with.
    pub(super) fn loaded(&self) -> Option<Digest> {
        let manifest = at_rest::manifest(self.node).known()?.clone();
        let api = at_rest::client(self.node, &manifest).ok()?;
        self.runtime.block_on(at_rest::loaded(&api)).known().copied()
    }

    /// Writes what makes the values readable again; what was there is kept.
    fn mend(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        former: &Configured,
        present: &Present,
        census: &Census,
    ) -> Result<Answer, RotateError> {
        let runs = runs(self.loaded(), former.digest, present);
        let runs_former = runs == Runs::Former;
        let (bytes, how) = match repair(&former.config, present.config(), census, runs) {
            Repair::PutBack => (
                key_store::config(self.node, former.digest)?,
                "the former configuration was put back",
            ),
            Repair::Write(config) => (
                write(&config),
                "what values need is read again, and what the edit brought is kept",
            ),
            Repair::ByHand(why) => return Ok(Answer::Left(by_hand(&why))),
        };
        let mut note = String::new();
        let files = &self.node.files;
        let (file, found) = match present {
            Present::As(configured) => (&configured.file, Some(configured.digest)),
            Present::Refused { file, digest, .. } => (file, Some(*digest)),
            Present::NoFile { file } => (file, None),
            Present::NoFlag | Present::NotMounted { .. } | Present::Unknown(_) => {
                return Ok(Answer::Left(by_hand("there is no file to write")));
            }
        };
        // Before the file is written: then it looks as if nothing had been.
        if must_restart(former, present, runs_former) {
            let owed = Some(Digest::of(&bytes));
            self.record(held, journal, Record::LoadOwed { owed })?;
            note += "; kube-apiserver does not load it by itself, and is to be restarted";
        }
        match found {
            Some(digest) => {
                // It may hold a key that is nowhere else, under which something was written already.
                let content = files.read(file, MAX_BYTES).known().cloned();
                if let Some(content) = content.filter(|content| Digest::of(&content.bytes) == digest) {
                    let bytes = Zeroizing::new(content.bytes);
                    if present.config().is_some() {
                        key_store::keep_config(self.node, held, &bytes)?;
                    } else if let Err(why) = key_store::keep_refused(self.node, held, &bytes) {
                        // What the API server has not loaded goes even if no copy can be made.
                        if !runs_former {
                            return Err(why);
                        }
                        note += &format!("; no copy of what was there could be kept: {why}");
                    }
                }
                look::only_roots(self.node, file)?;
                files.replace_at_most(held, file, digest, &bytes, Mode::from_bits(0o600))?;
            }
            None => files.create(held, file, &bytes)?,
        }
        if let Fact::Known(manifest) = at_rest::manifest(self.node)
            && let Present::As(configured) = at_rest::present(self.node, &manifest)
        {
            self.adopt(held, journal, &configured)?;
        }
        self.brake.done(self.node.clock.now().since_boot_ms);
        // The same edit, made once more, is another.
        self.judged = None;
        Ok(Answer::Mended(format!("{how}: {file}{note}")))
    }

    fn adopt(
        &self,
        held: &Held,
        journal: &mut JournalStore,
        configured: &Configured,
    ) -> Result<KnownEncryption, RotateError> {
        adopt(self.node, held, journal, configured)
    }

    fn record(&self, held: &Held, journal: &mut JournalStore, record: Record) -> Result<(), RotateError> {
        Ok(journal.append(held, self.node.clock.now(), record)?)
    }
}

/// The configuration as it was last in order.
pub(super) fn former(node: &Node, known: &KnownEncryption) -> Result<Configured, RotateError> {
    let bytes = key_store::config(node, known.digest)?;
    let config = parse(&bytes).map_err(|error| {
        RotateError::Unknown(Reason::new(format!(
            "the kept configuration {}: {error}",
            known.digest
        )))
    })?;
    Ok(Configured {
        file: known.file.clone(),
        mounted_alone: known.mounted_alone,
        reload: known.reload,
        digest: known.digest,
        config,
    })
}

/// How many values are in plaintext although a key writes what is stored of their resource. `beat` is called while they are counted.
///
/// # Errors
/// When the configuration or etcd cannot be read.
pub fn plaintext_among_encrypted(node: &Node, beat: &dyn Fn()) -> Result<u64, RotateError> {
    let manifest = look::known(at_rest::manifest(node))?;
    let configured = look::configuration(node, &manifest)?;
    let access = at_rest::access(node, &manifest).map_err(RotateError::Unknown)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let census = runtime.map_err(RotateError::Runtime)?.block_on(async {
        let etcd = Etcd::connect(&access, PATIENCE).await?;
        let census = at_rest::census(&etcd, &access, Some(&configured), false, beat).await;
        census.map_err(RotateError::Unknown)
    })?;
    let is_owed = |resource: &Resource, held: &Stored| {
        let Resource::Api(resource) = resource else {
            return false;
        };
        let links = configured.config.providers_for(resource);
        let writes = links.and_then(|links| links.first().map(Link::id));
        *held == Stored::Under(KeyId::Identity) && writes.is_some_and(|key| key != Some(KeyId::Identity))
    };
    Ok(census.total(is_owed).objects)
}

/// From now on this is how it should be.
pub(super) fn adopt(
    node: &Node,
    held: &Held,
    journal: &mut JournalStore,
    configured: &Configured,
) -> Result<KnownEncryption, RotateError> {
    keep_found(node, held, configured)?;
    let now = node.clock.now();
    let write_key = match configured.config.shared_chain() {
        SharedChain::Shared(chain) => chain.into_iter().next(),
        SharedChain::Differing | SharedChain::NoEntry => None,
    };
    let before = journal.state().encryption.as_ref();
    let since = before.filter(|before| before.write_key == write_key);
    let known = KnownEncryption {
        file: configured.file.clone(),
        digest: configured.digest,
        mounted_alone: configured.mounted_alone,
        reload: configured.reload,
        writes_since: since.map_or_else(|| now.clone(), |before| before.writes_since.clone()),
        write_key,
    };
    let record = Record::Encryption {
        known: Some(known.clone()),
    };
    journal.append(held, now, record)?;
    Ok(known)
}

fn fought() -> String {
    format!(
        "somebody else writes it again and again: it was mended {OFTEN} times within a minute, and is mended again after {} s. Find out who \
         does, and give them the right file",
        REST_MS / 1_000
    )
}

fn by_hand(why: &str) -> String {
    format!(
        "it is left as it is: {why}. Put back by hand what is missing; /var/lib/holdfast/retained has each configuration that was known, \
         and `holdfast encryption keys` names its keys"
    )
}

fn runs(loaded: Option<Digest>, former: Digest, present: &Present) -> Runs {
    let edit = match present {
        Present::As(configured) => Some(configured.digest),
        Present::Refused { digest, .. } => Some(*digest),
        Present::NoFile { .. } | Present::NoFlag | Present::NotMounted { .. } | Present::Unknown(_) => None,
    };
    match loaded {
        Some(digest) if digest == former => Runs::Former,
        Some(digest) if Some(digest) == edit => Runs::Edit,
        Some(_) | None => Runs::NotTold,
    }
}

/// True when the API server does not come to what is put back by itself. One that sees the file alone sees the edit if that was made in place, and
/// never a file that is renamed over it.
const fn must_restart(former: &Configured, present: &Present, runs_former: bool) -> bool {
    let configured = match present {
        Present::As(configured) => configured,
        Present::Refused { .. }
        | Present::NoFile { .. }
        | Present::NoFlag
        | Present::NotMounted { .. }
        | Present::Unknown(_) => former,
    };
    configured.mounted_alone || !configured.reload && !runs_former
}

fn is_as_known(known: &KnownEncryption, present: &Present) -> bool {
    let Present::As(now) = present else {
        return false;
    };
    now.file == known.file
        && now.digest == known.digest
        && now.mounted_alone == known.mounted_alone
        && now.reload == known.reload
}

/// True for a configuration that the rotation has set out for, and not for one of before that somebody put back: the API server could not read
/// what was written since. After a load that was refused, the one of before is put back by the rotation itself.
pub(super) fn is_at_hand(rotation: Option<&Rotation>, digest: Digest, load_refused: bool) -> bool {
    rotation.is_some_and(|rotation| {
        rotation
            .place(Generation::File(digest))
            .is_some_and(|stage| load_refused || !is_behind(rotation, stage))
    })
}

/// A rotation under way needs its configuration whether values do yet or not.
fn is_needed(rotation: Option<&Rotation>, present: &Present) -> bool {
    let Some(rotation) = rotation else { return false };
    let is_older = |now: &Configured| {
        let stage = rotation.place(Generation::File(now.digest));
        stage.is_some_and(|stage| is_behind(rotation, stage))
    };
    present.is_of_manifest() || matches!(present, Present::As(now) if is_older(now))
}

fn is_behind(rotation: &Rotation, stage: Stage) -> bool {
    let mut written = rotation.written.values();
    written.any(|written| rotation.rank(*written) > rotation.rank(stage))
}
