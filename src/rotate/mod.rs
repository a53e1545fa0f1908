//! The path of a rotation of encryption keys: observe, decide, act. One step a pass, never a sleep; what comes next is told by the world,
//! so that a pass may end anywhere and the next one, of whatever process, goes on.

mod brake;
mod danger;
mod doubts;
mod enable;
mod evidence;
mod forget;
mod guard;
mod key_store;
mod look;
mod mending;
mod put_back;
mod quota;
mod reencrypt;
mod refusals;
mod render;
pub mod status;
mod upgrade;
mod words;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use crate::adapters::Node;
use crate::adapters::etcd::{Etcd, EtcdError, Watch};
use crate::adapters::files::FileError;
use crate::adapters::journal_store::{JournalStore, StoreError};
use crate::adapters::lock::Held;
use crate::adapters::wakeups::HintSender;
use crate::at_rest::Configured;
use crate::census::Scope;
use crate::domain::{Digest, Fact, Fingerprint, GroupResource, Instant, KeyId, Provider, Reason};
use crate::encryption::edit::EditError;
use crate::events::tell;
use crate::journal::{JournalState, Record};
use crate::rotation::{
    self, Consent, Ended, Event, Generation, Hold, Limits, Refusal, Request, Revision, Rotation, Step, Words,
};
pub use brake::Brake;
pub use danger::danger;
pub use enable::{Prepared, prepare, put_in_place};
pub use forget::{Forgetting, NotForgotten, forget, look_for_forgetting};
pub use guard::{Answer, Guard, Guarded, plaintext_among_encrypted};
use key_store::KeyStoreError;
pub use key_store::{KeyPlace, KnownKey, known_keys};
pub use mending::lost;
pub use reencrypt::{Pace, Runs};
use refusals::Refusals;
pub use upgrade::{Upgrade, bring_in_line, upgrade};
use words::{told, waits};
use writing::{keep_found, unused_name};

/// etcd and the API server are given that long for each question.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two passes that rewrite values the lock is left free for so long: whoever waits for it looks more often than that.
pub const LEFT_FREE: Duration = Duration::from_millis(200);

/// Is called with each part of what is stored that was read: all of it may take minutes, and whoever waits wants to see that it goes on.
pub type Beat<'a> = Rc<dyn Fn() + 'a>;

/// What one pass came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passed {
    /// Something was done; the next step may be due.
    Did(String),
    /// It goes on by itself.
    Waits(Words),
    /// It goes on when the API server has been restarted, which then loads the configuration with that digest.
    Restart(Digest),
    /// It goes on when the operator has seen to it.
    Parked(Words),
    /// It goes on when the operator consents to the cut; nothing is wrong.
    Asks(Words),
    /// The rotation is over.
    Ended(Ended),
    /// No rotation is under way.
    Idle,
}

/// What writes at the end of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// A new key of that provider.
    NewKey(Provider),
    /// No key: every value is stored in plaintext again.
    Plaintext,
}

/// A step could not be taken. What was begun goes on from where it stands at the next try.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] StoreError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key store.
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
    /// etcd.
    #[error("{0}; {advice}", advice = .0.advice())]
    Etcd(#[from] EtcdError),
    /// The request is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The configuration cannot be brought to what is wanted.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// It would not be the keys that are wanted.
    #[error("the configuration would have the keys {found}, not {wanted}; nothing was written")]
    Render {
        /// What it would have.
        found: String,
        /// What is wanted.
        wanted: String,
    },
    /// Somebody else was there first.
    #[error(transparent)]
    Fenced(#[from] rotation::Fenced),
    /// The kernel gives no random bytes.
    #[error("the kernel gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// What the API server has loaded is shown by a restart only.
    #[error(
        "what kube-apiserver runs with is not known before it is restarted, since it does not say: `holdfast encryption rotate` restarts it"
    )]
    RestartFirst(Digest),
    /// Something that must be known is not.
    #[error("{0}")]
    Unknown(Reason),
    /// Nothing can be rotated here.
    #[error("{0}")]
    NotHere(String),
    /// The system refuses.
    #[error("nobody can be asked: {0}")]
    Runtime(std::io::Error),
}

/// Walks a rotation. What is kept between passes can all be had again: a connection, the last census, and the watch since it.
pub struct Rotator<'a> {
    node: &'a Node,
    runtime: tokio::runtime::Runtime,
    etcd: Option<Etcd>,
    proof: Option<Proof>,
    refusals: Refusals,
    /// Until when nothing is tried again, and what is awaited.
    rest: Option<(u64, Words)>,
    /// What a crash left of drafts, which hold keys, has been removed.
    swept: bool,
    limits: Limits,
    /// A long step ends when a hint is pending.
    hints: Option<HintSender>,
    /// The configuration that lies on the disk, since when this process has seen it there.
    first_seen: Option<(Instant, Generation)>,
    comparison: crate::rewrite::Comparison,
    /// Values of the last census that etcd might not take when they are written anew.
    oversized: Option<String>,
    /// What the API server was seen to serve, of which the built-in table may lack some.
    learnt: BTreeSet<(GroupResource, Scope)>,
    failed_reloads: doubts::FailedReloads,
    renewals: doubts::Renewals,
    /// What its runs came to.
    runs: reencrypt::Runs,
    /// Of the keys that it has seen.
    fingerprints: BTreeMap<KeyId, Fingerprint>,
    beat: Beat<'a>,
}

/// What a rotation begins with: nothing stands against it.
pub struct Beginning {
    event: Event,
    configured: Configured,
}

/// A census, and what was written since it, or since an earlier one.
struct Proof {
    census: rotation::Census,
    watched: Watched,
}

/// A watch of all that is stored.
struct Watched {
    watch: Watch,
    /// It has seen every write after this revision.
    from: Revision,
    /// The last one by key.
    writes: BTreeMap<KeyId, Revision>,
}

impl<'a> Rotator<'a> {
    /// A walk on this node.
    ///
    /// # Errors
    /// When the system gives no event loop.
    pub fn new(node: &'a Node) -> Result<Self, RotateError> {
        Ok(Self {
            node,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(RotateError::Runtime)?,
            etcd: None,
            proof: None,
            refusals: Refusals::default(),
            rest: None,
            swept: false,
            limits: Limits::default(),
            hints: None,
            first_seen: None,
            comparison: crate::rewrite::Comparison::default(),
            oversized: None,
            learnt: BTreeSet::new(),
            failed_reloads: doubts::FailedReloads::default(),
            renewals: doubts::Renewals::default(),
            runs: reencrypt::Runs::default(),
            fingerprints: BTreeMap::new(),
            beat: Rc::new(|| {}),
        })
    }

    /// The same, whose long steps end when files have changed.
    #[must_use]
    pub fn minding(self, hints: HintSender) -> Self {
        Self {
            hints: Some(hints),
            ..self
        }
    }

    /// The same, which shows that it is alive while it counts.
    #[must_use]
    pub fn beating(self, beat: Beat<'a>) -> Self {
        Self { beat, ..self }
    }

    /// A key for whoever looks for it, with its fingerprint where this process has seen it.
    #[must_use]
    pub fn key_told(&self, key: &KeyId) -> String {
        key.told(self.fingerprints.get(key))
    }

    /// Forgets what was counted, and what was refused: another process has walked meanwhile, the rotation goes another way, or the operator
    /// asks once more.
    pub fn forget(&mut self) {
        self.proof = None;
        self.rest = None;
        self.refusals = Refusals::default();
        self.runs.left = None;
    }

    /// Begins a rotation; its first step is taken by the next pass.
    ///
    /// # Errors
    /// Says what stands against it; nothing was changed.
    pub fn begin(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        to: To,
        cut: Consent,
    ) -> Result<Rotation, RotateError> {
        let beginning = self.look_for_beginning(journal.state(), to, cut)?;
        self.begin_with(held, journal, beginning)
    }

    /// Counts, and decides whether a rotation may begin. Changes nothing.
    ///
    /// # Errors
    /// Says what stands against it.
    pub fn look_for_beginning(
        &mut self,
        journal: &JournalState,
        to: To,
        cut: Consent,
    ) -> Result<Beginning, RotateError> {
        if let Some(why) = crate::reconcile::paused(self.node, self.node.clock.now().wall) {
            return Err(RotateError::NotHere(format!(
                "nothing is begun: Holdfast is paused: {why}; `holdfast resume` ends that"
            )));
        }
        self.comparison = crate::rewrite::Comparison::default();
        let seen = self.counted_look()?;
        if let Some(silent) = &seen.silent {
            if let Some(words) = silent.hopeless() {
                return Err(RotateError::NotHere(format!("{}; {}", words.why, words.remedy)));
            }
            if silent.must_restart() {
                return Err(RotateError::RestartFirst(seen.configured.digest));
            }
        }
        look::only_roots(self.node, &seen.configured.file)?;
        self.tell_beforehand(&seen.configured);
        let history = &journal.rotations;
        let number = history.burnt.len() + 1;
        let request = match to {
            To::NewKey(provider) => {
                let name = unused_name(history, &seen.configured)?;
                Request {
                    id: format!("r{number}-{name}"),
                    new: KeyId::Key { provider, name },
                    cut,
                }
            }
            To::Plaintext => Request {
                id: format!("r{number}-plaintext-{}", history.epoch),
                new: KeyId::Identity,
                cut,
            },
        };
        let event = rotation::begin(history, &request, &seen.world)?;
        let configured = seen.configured;
        Ok(Beginning { event, configured })
    }

    /// Begins as was decided; the configuration must be what it was then.
    ///
    /// # Errors
    /// When it is another one, or the journal cannot be written.
    pub fn begin_with(
        &self,
        held: &Held,
        journal: &mut JournalStore,
        beginning: Beginning,
    ) -> Result<Rotation, RotateError> {
        keep_found(self.node, held, &beginning.configured)?;
        self.record(held, journal, beginning.event)?;
        journal
            .state()
            .rotations
            .rotation
            .clone()
            .ok_or_else(|| RotateError::NotHere("the journal did not take the beginning".to_owned()))
    }

    /// What the operator should know before the start, and nothing stands against.
    fn tell_beforehand(&self, configured: &Configured) {
        let plain = configured.config.left_plain();
        if !plain.is_empty() {
            let plain: Vec<String> = plain.iter().map(ToString::to_string).collect();
            tell!(
                ROTATION_BEFOREHAND,
                [path = configured.file.as_str()],
                "{} stays in plaintext: its entry in {} has identity alone, and is left as it is",
                plain.join(", "),
                configured.file
            );
        }
        if let Some(why) = &self.oversized {
            tell!(ROTATION_BEFOREHAND, [], "{why}");
        }
    }

    /// Counts, and looks with that count. A watch that breaks off between the two, as on a busy machine, costs another count.
    fn counted_look(&mut self) -> Result<look::Seen, RotateError> {
        let mut tries = look::TRIES;
        loop {
            look::prove(self)?;
            let seen = look::look(self, None)?;
            tries -= 1;
            if self.proof.is_some() || tries == 0 {
                return Ok(seen);
            }
        }
    }

    /// Tries again what a node did not bear, because the operator asks for it.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn resume(&mut self, held: &Held, journal: &mut JournalStore) -> Result<(), RotateError> {
        let rotation = journal.state().rotations.rotation.as_ref();
        if rotation.is_some_and(|rotation| rotation.refused.is_some()) {
            self.record(held, journal, Event::Resumed)?;
        }
        Ok(())
    }

    /// Turns the rotation back; the next passes walk it.
    ///
    /// # Errors
    /// When there is none, or it is past its cut.
    pub fn roll_back(&mut self, held: &Held, journal: &mut JournalStore) -> Result<(), RotateError> {
        let event = rotation::rollback(&journal.state().rotations)?;
        self.proof = None;
        self.record(held, journal, event)
    }

    /// Lets the old key go, once nothing needs it.
    ///
    /// # Errors
    /// When no rotation is under way.
    pub fn allow_cut(&mut self, held: &Held, journal: &mut JournalStore) -> Result<(), RotateError> {
        self.record(held, journal, Event::CutAllowed)
    }

    /// What comes before any step.
    fn stands_still(&self, journal: &JournalStore) -> Option<Passed> {
        if journal.state().in_flight.is_some() {
            return Some(waits(
                "another change is in flight",
                "nothing: `holdfast plan` shows it",
            ));
        }
        if let Some(why) = crate::reconcile::paused(self.node, self.node.clock.now().wall) {
            return Some(waits(format!("Holdfast is paused: {why}"), "`holdfast resume`"));
        }
        self.held_off()
    }

    /// Takes one step; `tell` hears how a long one goes.
    ///
    /// # Errors
    /// When the step could not be taken; the next pass decides anew.
    pub fn pass(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        pace: Pace,
        tell: &mut dyn FnMut(&crate::rewrite::Progress),
    ) -> Result<Passed, RotateError> {
        let Some(rotation) = journal.state().rotations.rotation.clone() else {
            return Ok(Passed::Idle);
        };
        if let Some(waits) = self.stands_still(journal) {
            return Ok(waits);
        }
        let now = self.node.clock.now().since_boot_ms;
        if let Some((_, words)) = self.rest.as_ref().filter(|(until, _)| now < *until) {
            return Ok(Passed::Waits(words.clone()));
        }
        self.refusals.expire(now);
        let seen = look::look(self, Some(&rotation))?;
        self.fingerprints.extend(fingerprints(&seen.configured));
        self.sweep(held, &seen.configured)?;
        if let Some(event) = mending::unrecorded(self.node, journal.state(), seen.configured.digest)? {
            return self.note(held, journal, &seen.configured, event);
        }
        if let Some(passed) = self.silent(held, journal, &rotation, &seen)? {
            return Ok(passed);
        }
        match rotation::next(&rotation, &seen.world, &self.limits) {
            Step::Hold(Hold::Wait(words)) => Ok(Passed::Waits(words)),
            Step::Hold(Hold::Park(words)) => {
                self.park(held, journal, &rotation, &words)?;
                Ok(Passed::Parked(words))
            }
            Step::Hold(Hold::Ask(words)) => {
                self.park(held, journal, &rotation, &words)?;
                Ok(Passed::Asks(words))
            }
            Step::Note(event) => self.note(held, journal, &seen.configured, event),
            Step::StoreKey(key) => self.store_key(held, journal, &rotation, &key),
            Step::Intend {
                epoch, stage, chain, ..
            } => {
                let generation = self.render(held, &seen.configured, &rotation, &chain)?;
                let event = Event::ConfigIntended {
                    epoch,
                    stage,
                    generation,
                };
                self.record(held, journal, event)?;
                Ok(Passed::Did(format!(
                    "the next configuration is {chain}, stage {stage}"
                )))
            }
            Step::Write(edit) => self.write(held, &rotation, &seen.configured, &edit),
            Step::Load(_) if seen.refuses_file => self.refused_at_a_reload(held, journal),
            Step::Load(_) => Ok(await_load(&seen.configured)),
            Step::Reencrypt(keys) => self.reencrypt(&seen, &keys, pace, tell),
            Step::Verify => {
                look::prove(self)?;
                let revision = self.proof.as_ref().map_or(0, |proof| proof.census.first.0);
                Ok(Passed::Did(format!(
                    "every stored value was counted and decrypted at etcd revision {revision}{}",
                    words::compared(self.comparison.counts())
                )))
            }
            Step::Retain(keys) => self.retain(held, &seen.configured, &keys),
        }
    }

    /// It waits for the operator, which is said once.
    fn park(
        &self,
        held: &Held,
        journal: &mut JournalStore,
        rotation: &Rotation,
        words: &Words,
    ) -> Result<(), RotateError> {
        if rotation.parked.as_deref() != Some(words.why.as_str()) {
            let why = words.why.clone();
            self.record(held, journal, Event::Parked { why })?;
        }
        Ok(())
    }

    /// Removes what a killed run left of its drafts beside the configuration, in the key store (F1) and among the backups: another restart than
    /// that which it was killed in may have loaded the configuration.
    fn sweep(&mut self, held: &Held, configured: &Configured) -> Result<(), RotateError> {
        if std::mem::replace(&mut self.swept, true) {
            return Ok(());
        }
        for folder in configured
            .file
            .parent()
            .into_iter()
            .chain(key_store::folders(self.node)?)
        {
            self.node.files.sweep(held, &folder)?;
        }
        Ok(crate::apply::sweep_backups(self.node, held)?)
    }

    /// kubeadm is the other writer of manifests: while it runs, nothing is done.
    fn held_off(&self) -> Option<Passed> {
        let remedy = "nothing: it goes on when kubeadm has ended";
        match crate::observe::kubeadm(self.node, &self.node.processes.look()) {
            Fact::Known(running) if running.is_empty() => None,
            Fact::Known(_) => Some(waits("kubeadm is running", remedy)),
            Fact::Absent => Some(waits("whether kubeadm runs cannot be told", remedy)),
            Fact::Unknown(why) => Some(waits(
                format!("whether kubeadm runs cannot be told: {why}"),
                remedy,
            )),
        }
    }

    fn record(&self, held: &Held, journal: &mut JournalStore, event: Event) -> Result<(), RotateError> {
        let record = Record::Rotation { event };
        Ok(journal.append(held, self.node.clock.now(), record)?)
    }

    fn note(
        &mut self,
        held: &Held,
        journal: &mut JournalStore,
        configured: &Configured,
        event: Event,
    ) -> Result<Passed, RotateError> {
        let words = told(&event);
        // Who wrote it may have been killed between the rename and the sync (F2).
        if matches!(event, Event::ConfigWritten { .. }) {
            self.node.files.make_durable(&configured.file)?;
        }
        if matches!(event, Event::BarrierLost { .. }) {
            self.proof = None;
        }
        self.record(held, journal, event)?;
        let rotations = &journal.state().rotations;
        Ok(match (&rotations.rotation, &rotations.last) {
            (None, Some(ended)) => {
                let ended = ended.clone();
                guard::adopt(self.node, held, journal, configured)?;
                Passed::Ended(ended)
            }
            _ => Passed::Did(words),
        })
    }
}

/// Of the keys of a configuration.
fn fingerprints(configured: &Configured) -> impl Iterator<Item = (KeyId, Fingerprint)> {
    let keys = configured.config.keys();
    keys.map(|(provider, key)| (key.id(provider), key.secret.fingerprint()))
}

fn await_load(configured: &Configured) -> Passed {
    if !configured.reload || configured.mounted_alone {
        return Passed::Restart(configured.digest);
    }
    waits(
        format!(
            "the API server to load {}, at which it looks once a minute",
            configured.file
        ),
        "nothing: it passes; if it does not, the API server's log says why it refuses the file",
    )
}
