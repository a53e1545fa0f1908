//! The daemon: waits for a hint, a signal or the time, makes a pass, tells what is new, and waits again.

mod encryption;
mod give_back;
mod meter;
mod news;
mod pace;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::adapters::Node;
use crate::adapters::journal_store::{JournalStore, StoreError};
use crate::adapters::lock::{Held, LockError};
use crate::adapters::systemd::{self, NotTold};
use crate::adapters::wakeups::{Wake, Wakeups};
use crate::adapters::watch::{Hint, Watch, WatchError};
use crate::apply::out::{self, Trouble};
use crate::config::Config;
use crate::domain::{Component, Digest, Fact, NodePath};
use crate::events::tell;
use crate::journal::JournalState;
use crate::plan::{Selected, Verdict, always_written};
use crate::reconcile::{Intent, Looked, Passed, PutBack, pass, paused, recover};
use crate::rotate::{LEFT_FREE, RotateError, status};
use encryption::{Keeper, Situation};
use meter::Meter;
use news::News;
use pace::Pace;

/// A configuration with the controls that it selects.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The configuration.
    pub config: Config,
    /// The controls.
    pub selected: Vec<Selected>,
}

/// The daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another daemon runs.
    #[error("another Holdfast daemon runs: {0}")]
    Another(LockError),
    /// Signals cannot be received.
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
    /// There is no place to watch.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// Encryption at rest cannot be guarded.
    #[error(transparent)]
    Encryption(#[from] Box<RotateError>),
}

/// A change that failed is tried again after this long.
const RETRY_MS: u64 = 60_000;
/// systemd is asked for this much more time while a change in flight is brought to its end.
const STOP_EXTENSION: Duration = Duration::from_secs(30);
/// The lock is looked at again this soon when another Holdfast holds it: more often than one that rewrites leaves it free for.
const LOCK_POLL: Duration = Duration::from_millis(100);
const _: () = assert!(LOCK_POLL.as_millis() < LEFT_FREE.as_millis());
/// Between two passes of an ending daemon.
const LEAST_WAIT: Duration = Duration::from_millis(100);
/// A kubelet that has not run for so long is not being restarted: what waits for it has no end while the machine goes down.
const KUBELET_GONE_MS: u64 = 15_000;
/// After a pass that failed the next one is made this soon: a change may be in flight.
const TROUBLE_POLL: Duration = Duration::from_secs(2);

/// What cannot be watched is looked at this often.
const UNWATCHED_POLL: Duration = Duration::from_secs(10);

/// A command that looks whether a daemon runs holds its lock for a moment.
const ONLY_ONE_PATIENCE: Duration = Duration::from_secs(1);

fn lock_of(node: &Node) -> std::path::PathBuf {
    node.here(&node.layout.run).join("daemon")
}

/// True when a daemon runs on this node.
#[must_use]
pub fn is_running(node: &Node) -> bool {
    matches!(
        Held::take(&lock_of(node), Duration::ZERO),
        Err(LockError::Busy { .. })
    )
}

/// Runs until SIGTERM or SIGINT. `reload` reads the configuration again, at SIGHUP.
///
/// # Errors
/// When another daemon runs, or signals cannot be waited for.
pub fn run(
    node: &Node,
    settings: Settings,
    reload: &dyn Fn() -> Result<Settings, String>,
) -> Result<(), DaemonError> {
    let only_one = Held::take(&lock_of(node), ONLY_ONE_PATIENCE).map_err(DaemonError::Another)?;
    let mut wakeups = Wakeups::new().map_err(DaemonError::Signals)?;
    let sender = wakeups.sender();
    let keeper = Keeper::new(node, sender.clone()).map_err(Box::new)?;
    let requests = status::requests(node).map_err(Box::new)?;
    node.files
        .make_own_folder(&requests)
        .map_err(|error| Box::new(RotateError::from(error)))?;
    let of_keeper = keeper.folders(None);
    let watch = Watch::new(&node.root, move |hint| sender.send(hint))?;
    let pace = Pace::new(settings.config.full_pass);
    let mut daemon = Daemon {
        node,
        settings,
        watch,
        pace,
        news: News::default(),
        failed: BTreeMap::new(),
        ready: false,
        has_looked: false,
        seen: BTreeSet::new(),
        guarded: BTreeSet::new(),
        unwatched_look: false,
        keeper,
        of_keeper,
        is_watched: true,
        awaiting: false,
        no_kubelet_since: None,
        meter: Meter::new(node, &only_one),
    };
    tell!(
        STARTED,
        [],
        "Holdfast {} watches this node, mode {}",
        env!("CARGO_PKG_VERSION"),
        daemon.settings.config.mode
    );
    daemon.renew_watches(None);
    let watchdog = systemd::watchdog_interval().map_or(Duration::from_secs(30), |interval| interval / 2);
    loop {
        daemon.pass_if_due(false);
        tell_systemd(systemd::watchdog());
        match wakeups.wait(daemon.until_due().min(watchdog)) {
            Wake::Timeout => {}
            Wake::Hint(hint) => daemon.hint(hint),
            Wake::Reload => daemon.reload(reload),
            Wake::Terminate => break,
        }
    }
    daemon.finish(&mut wakeups);
    tell!(ENDED, [], "Holdfast ends");
    Ok(())
}

/// How a pass left the change in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Went {
    /// There is none, or it takes an operator.
    Ended,
    /// It is carried on, as far as is known.
    On,
    /// It cannot be carried on: there is no journal to do it by.
    Lost,
}

struct Daemon<'a> {
    node: &'a Node,
    settings: Settings,
    watch: Watch,
    pace: Pace,
    news: News,
    /// Changes that failed, until when they are left alone, and why they failed.
    failed: BTreeMap<Digest, (u64, String)>,
    ready: bool,
    /// True once a pass has looked at the node.
    has_looked: bool,
    /// The components that had a manifest at an earlier look.
    seen: BTreeSet<Component>,
    /// The folders that are watched.
    guarded: BTreeSet<NodePath>,
    /// True when folders are watched only since the last look: what changed in them before was told by nobody.
    unwatched_look: bool,
    keeper: Keeper<'a>,
    /// The folders that encryption at rest lies in.
    of_keeper: Vec<NodePath>,
    /// False while a folder cannot be watched.
    is_watched: bool,
    /// True while there has been no control plane on this host yet.
    awaiting: bool,
    /// Since when the kubelet has not run.
    no_kubelet_since: Option<u64>,
    meter: Meter<'a>,
}

impl Daemon<'_> {
    fn now(&self) -> u64 {
        self.node.clock.now().since_boot_ms
    }

    fn until_due(&self) -> Duration {
        Duration::from_millis(self.pace.due().saturating_sub(self.now()))
    }

    fn hint(&mut self, hint: Hint) {
        let now = self.now();
        match hint {
            Hint::Changed => self.pace.event(now),
            Hint::FoldersChanged | Hint::Lost => {
                self.pace.event(now);
                self.renew_watches(None);
            }
        }
    }

    /// Renews the watches. Without a look only the folders that are guarded on every node are known: that those can be watched does not end what
    /// was told of the others.
    fn renew_watches(&mut self, looked: Option<&Looked>) {
        let folders = guarded_folders(self.node, looked, &self.of_keeper);
        let renewed = self.watch.renew(folders.iter().cloned());
        let was_watched = std::mem::replace(&mut self.is_watched, renewed.is_ok());
        self.unwatched_look = looked.is_some() && !(was_watched && folders.is_subset(&self.guarded));
        self.guarded = folders;
        if looked.is_some() || renewed.is_err() {
            self.news.tell_unwatched(renewed.as_ref().err(), UNWATCHED_POLL);
        }
    }

    fn reload(&mut self, reload: &dyn Fn() -> Result<Settings, String>) {
        tell_systemd(systemd::reloading());
        let reloaded = reload();
        self.meter.reloaded(reloaded.is_ok());
        match reloaded {
            Ok(settings) => {
                self.pace = Pace::new(settings.config.full_pass);
                self.settings = settings;
                tell!(
                    RELOADED,
                    [],
                    "the configuration was read again, mode {}",
                    self.settings.config.mode
                );
            }
            Err(why) => tell!(
                RELOAD_REFUSED,
                [],
                "the new configuration is refused, and the old one stays: {why}"
            ),
        }
        self.pace.look_now();
        tell_systemd(systemd::ready("the configuration was read again"));
    }

    /// Makes a pass if one is due; `finishing`: only the change in flight is carried on.
    fn pass_if_due(&mut self, finishing: bool) -> Went {
        let began = self.now();
        if began < self.pace.due() {
            return Went::Ended;
        }
        let passed = self.pass(began, finishing);
        let (news, look_again) = match &passed {
            Ok(Some(passed)) => (self.take_in(began, passed), passed.look_again),
            Ok(None) => (false, Some(LOCK_POLL)),
            Err(error) => {
                self.meter.failed();
                self.news.tell_trouble(Some(error.to_string()));
                (false, Some(TROUBLE_POLL))
            }
        };
        let unwatched = (!self.is_watched).then_some(UNWATCHED_POLL);
        let look_again = look_again.into_iter().chain(unwatched).min();
        self.pace.passed(began, self.now(), news, look_again);
        if self.is_watched && std::mem::take(&mut self.unwatched_look) {
            self.pace.event(self.now());
        }
        self.write_metrics();
        if !self.ready {
            self.ready = true;
            tell_systemd(systemd::ready("the first pass is made"));
        }
        let status = match &passed {
            Ok(Some(_)) if self.awaiting => {
                Some("waits: there is no control plane on this host yet".to_owned())
            }
            Ok(Some(passed)) => Some(status(&self.settings, passed)),
            Ok(None) => None,
            Err(error) => Some(format!("NOTHING IS CHANGED: {error}")),
        };
        if let Some(status) = status {
            tell_systemd(systemd::status(&status));
        }
        match passed {
            Ok(Some(passed)) if !passed.goes_on => Went::Ended,
            Ok(_) => Went::On,
            Err(_) => Went::Lost,
        }
    }

    fn write_metrics(&mut self) {
        let until_next = self.until_due();
        let written = self.meter.write(&self.settings.config, &self.guarded, until_next);
        if let Some(written) = written {
            self.news.tell_unwritten(written.err());
        }
    }

    /// One pass under the lock; `None` while another Holdfast holds it.
    fn pass(&mut self, began: u64, finishing: bool) -> Result<Option<Passed>, StoreError> {
        let Some(held) = lock(self.node)? else {
            return Ok(None);
        };
        let passed = self.pass_under(&held, began, finishing);
        if passed.is_err() {
            // Without a journal nothing can be carried on, so what is out comes back.
            let recovered = out::recover(self.node, &held);
            let recovered: Vec<PutBack> = recovered.iter().map(PutBack::from).collect();
            self.news.tell_recovered(&recovered);
        }
        passed.map(Some)
    }

    fn pass_under(&mut self, held: &Held, began: u64, finishing: bool) -> Result<Passed, StoreError> {
        let Self {
            node,
            settings,
            news,
            keeper,
            awaiting,
            ..
        } = self;
        let mut journal = JournalStore::open(&node.files, &node.layout, held, node.clock.now())?;
        self.failed.retain(|_, (until, _)| *until > began);
        let settling = self.pace.is_settling(began);
        let now = node.clock.now().wall;
        let paused = paused(node, now);
        let situation = Situation {
            config: &settings.config,
            paused: paused.as_deref(),
            settling,
        };
        // Told now: the pass may yet fail.
        news.tell_recovered(&recover(node, held, journal.state()));
        // What stored values need comes before any restart; only a change in flight comes before that, as a manifest may be out.
        let in_flight = journal.state().in_flight.is_some();
        let mut endangered = !in_flight && !finishing && keeper.guard(held, &mut journal, &situation);
        let owes_load = keeper.owes_load(journal.state(), &situation);
        let intent = Intent {
            settling,
            endangered: endangered || owes_load,
            failed: reasons(&self.failed),
            finishing,
            ending: finishing,
            starting: !std::mem::replace(&mut self.has_looked, true),
            ..Intent::default()
        };
        let was_to_load = encryption::is_to_load(journal.state());
        let mut found_news = false;
        let mut passed = pass(
            node,
            &settings.config,
            to_judge(node, journal.state(), &settings.selected, awaiting),
            held,
            &mut journal,
            &intent,
            &mut |looked| {
                found_news = news.tell_findings(looked, now);
            },
        )?;
        passed.found_news = found_news;
        if was_to_load && let Err(error) = keeper.restarted(held, &mut journal, &passed.outcomes) {
            news.tell_trouble(Some(error.to_string()));
        }
        if !finishing {
            if in_flight {
                endangered = keeper.guard(held, &mut journal, &situation);
            }
            let again = keeper.pass(held, &mut journal, &situation, endangered);
            passed.look_again = passed.look_again.into_iter().chain(again).min();
            passed.goes_on |= journal.state().in_flight.is_some();
        }
        self.take_stock(journal.state(), settling);
        Ok(passed)
    }

    /// Takes note of what the journal says at the end of a pass.
    fn take_stock(&mut self, journal: &JournalState, settling: bool) {
        self.of_keeper = self.keeper.folders(journal.encryption.as_ref());
        let standing = self.keeper.standing(journal);
        self.meter.stands(standing, self.keeper.rewritten());
        // While files change one may be away for a moment.
        if !settling && !self.awaiting {
            self.news.tell_astray(&astray(self.node, journal, &self.seen));
        }
    }

    /// Tells what came of a pass, and remembers what failed. True when there was news.
    fn take_in(&mut self, began: u64, passed: &Passed) -> bool {
        let took = Duration::from_millis(self.now().saturating_sub(began));
        self.meter.passed(passed, took);
        for outcome in &passed.outcomes {
            if let Some(why) = outcome.failed() {
                self.failed
                    .insert(outcome.change, (began + RETRY_MS, why.clone()));
            }
        }
        self.news.tell_recovered(&passed.recovered);
        let manifests = passed.looked.observation.manifests.iter();
        let are_there = manifests.filter(|(_, manifest)| manifest.known().is_some());
        self.seen.extend(are_there.map(|(component, _)| *component));
        self.no_kubelet_since = match passed.looked.observation.kubelet.process {
            Fact::Absent => self.no_kubelet_since.or(Some(began)),
            Fact::Known(_) | Fact::Unknown(_) => None,
        };
        self.renew_watches(Some(&passed.looked));
        self.news.tell_trouble(None);
        self.news.tell_outcomes(&passed.outcomes) || passed.found_news
    }

    /// Brings the change in flight to its end: the node is not left with a change that nobody watches. What has no end within
    /// any deadline, or none while the machine goes down, is left to the next start, which the journal tells of it.
    fn finish(&mut self, wakeups: &mut Wakeups) {
        tell_systemd(systemd::stopping("ending"));
        let deadline = self.settings.config.disruption.deadline;
        let limit = self.now() + u64::try_from((4 * deadline).as_millis()).unwrap_or(u64::MAX / 2);
        self.pace.look_now();
        loop {
            let went = self.pass_if_due(true);
            if went == Went::Ended {
                break;
            }
            if let Some(why) = self.why_early(went, limit) {
                let what = format!("a change is left as it is until the next start: {why}");
                tell!(
                    ENDED_EARLY,
                    [path = self.node.layout.manifests.as_str()],
                    "{what}"
                );
                break;
            }
            tell_systemd(systemd::extend_timeout(STOP_EXTENSION));
            tell_systemd(systemd::watchdog());
            // A second request to end does not change that: what is in flight ends within its deadline.
            let _: Wake = wakeups.wait(self.until_due().max(LEAST_WAIT));
            self.pace.look_now();
        }
        // What reads the metrics from now on reads how it ended.
        self.meter.forget_writing();
        self.write_metrics();
    }

    /// Why the daemon ends although a change may be in flight.
    fn why_early(&self, went: Went, limit: u64) -> Option<&'static str> {
        let now = self.now();
        if now >= limit {
            return Some("it has taken longer than any deadline");
        }
        if !out::lying_out(self.node).is_empty() {
            return None;
        }
        if went == Went::Lost {
            return Some("the journal cannot be used, and no manifest is out of its folder");
        }
        let is_gone = |since: u64| now.saturating_sub(since) >= KUBELET_GONE_MS;
        let is_gone = self.no_kubelet_since.is_some_and(is_gone);
        is_gone.then_some("the kubelet does not run, and no manifest is out of its folder")
    }
}

/// The manifests that are not in their folder and should be, but for the one that a change has out. A host that has become a control-plane node
/// has each of them, but for etcd, which may run elsewhere.
fn astray(node: &Node, journal: &JournalState, seen: &BTreeSet<Component>) -> Vec<Trouble> {
    let known = |component: Component| {
        seen.contains(&component) || (journal.baseline.is_some() && component != Component::Etcd)
    };
    let in_flight = journal.in_flight.as_ref().map(|begun| begun.act.path());
    let mut troubles = out::troubles(node, known);
    troubles.retain(|trouble| Some(trouble.path()) != in_flight);
    troubles
}

/// True on a host that has not become a control-plane node yet: nothing is known of one, and no component has a manifest. One that has lost
/// its manifests is none.
fn awaits_control_plane(node: &Node, journal: &JournalState) -> bool {
    let has_none = |component| node.files.facts(&node.layout.manifest(component)) == Fact::Absent;
    journal.baseline.is_none()
        && journal.in_flight.is_none()
        && Component::ALL.into_iter().all(has_none)
        && out::lying_out(node).is_empty()
}

/// The controls to judge: none while a control plane is awaited, which is told once.
fn to_judge<'s>(
    node: &Node,
    journal: &JournalState,
    selected: &'s [Selected],
    awaiting: &mut bool,
) -> &'s [Selected] {
    let awaits = awaits_control_plane(node, journal);
    if awaits && !*awaiting {
        let manifests = node.layout.manifests.as_str();
        tell!(
            NO_CONTROL_PLANE,
            [path = manifests],
            "there is no control plane on this host yet: no manifest of one lies in {manifests}; Holdfast waits for it"
        );
    }
    *awaiting = awaits;
    if awaits { &[] } else { selected }
}

/// Why each change failed.
fn reasons(failed: &BTreeMap<Digest, (u64, String)>) -> BTreeMap<Digest, String> {
    failed
        .iter()
        .map(|(change, (_, why))| (*change, why.clone()))
        .collect()
}

/// The lock; `None` while another Holdfast holds it.
fn lock(node: &Node) -> Result<Option<Held>, StoreError> {
    match Held::take(&node.here(&node.layout.run), Duration::ZERO) {
        Ok(held) => Ok(Some(held)),
        Err(LockError::Busy { .. }) => Ok(None),
        Err(error) => Err(StoreError::Unreadable(error.to_string())),
    }
}

/// The folders to watch: those that hold what is guarded, and Holdfast's own configuration.
fn guarded_folders(node: &Node, looked: Option<&Looked>, of_keeper: &[NodePath]) -> BTreeSet<NodePath> {
    let mut folders = BTreeSet::from([node.layout.manifests.clone()]);
    folders.extend(of_keeper.iter().cloned());
    folders.extend(
        [&node.layout.pause, &node.layout.config]
            .into_iter()
            .filter_map(NodePath::parent),
    );
    let Some(looked) = looked else { return folders };
    let always = always_written(&node.layout, &looked.observation.manifests);
    let files = looked.observation.files.keys();
    let files = files.filter(|path| !always.files.contains(path));
    folders.extend(files.filter_map(NodePath::parent));
    let kubelet = &looked.observation.kubelet;
    let drop_ins = kubelet.drop_ins.known().into_iter().flatten();
    folders.extend(drop_ins.filter_map(|layer| layer.path.parent()));
    folders.extend(kubelet.drop_in_folder.known().cloned());
    let listings = looked.observation.listings.iter();
    for (pattern, listing) in listings.filter(|(pattern, _)| !always.patterns.contains(pattern)) {
        folders.insert(pattern.folder.clone());
        let listed = listing.known().into_iter().flatten();
        folders.extend(listed.filter_map(|(path, _)| path.parent()));
    }
    folders
}

fn status(settings: &Settings, passed: &Passed) -> String {
    let findings = &passed.looked.findings;
    let count = |verdict| {
        findings
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .count()
    };
    let (drift, unknown) = (count(Verdict::Drift), count(Verdict::Unknown));
    let mode = settings.config.mode;
    let pause = passed
        .looked
        .paused
        .as_ref()
        .map_or_else(String::new, |why| format!("; PAUSED: {why}"));
    let in_flight = passed.outcomes.last().filter(|outcome| outcome.is_in_flight());
    let busy = in_flight.map_or_else(String::new, |outcome| format!("; in flight: {}", outcome.what));
    format!(
        "{mode}: {} controls, {drift} in drift, {unknown} unknown{busy}{pause}",
        findings.len()
    )
}

/// systemd only listens: what it cannot be told changes nothing of the work.
fn tell_systemd(told: Result<(), NotTold>) {
    if let Err(error) = told {
        tracing::trace!("{error}, ignoring");
    }
}
