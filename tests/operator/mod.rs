//! An operator at a simulated node: looks, plans and applies as the commands do, through the library.
#![allow(dead_code, reason = "each test crate uses a part of the operator")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails loudly"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the operator waits for the simulated node"
)]

#[path = "../fresh_node/mod.rs"]
mod fresh_node;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use holdfast::adapters::Node;
use holdfast::adapters::journal_store::JournalStore;
use holdfast::adapters::lock::Held;
use holdfast::apply::{Outcome, Result as Came};
use holdfast::config::{Config, parse};
use holdfast::daemon::{self, DaemonError, Settings};
use holdfast::domain::Component;
use holdfast::journal::JournalState;
use holdfast::plan::{BouncePlan, Finding, Selected, Verdict, WithheldReason, select};
use holdfast::reconcile::{self, Intent, Looked};

#[allow(unused_imports, reason = "each test crate uses a part of the operator")]
pub use fresh_node::{FAILS_FRESH, MENDED};

/// Nothing on a simulated node takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a change in flight is looked at; the node's times are scaled, and so is this.
const POLL: Duration = Duration::from_millis(5);

/// An operator with a configuration.
pub struct Operator {
    pub node: Node,
    pub config: Config,
    pub selected: Vec<Selected>,
}

/// What came of an `apply`.
#[derive(Debug)]
pub struct Applied {
    /// The outcomes, each that was repeated while something was awaited once.
    pub outcomes: Vec<Outcome>,
    /// A look at the node after it.
    pub last: Looked,
}

impl Operator {
    /// Lets the daemon look after the node, until this process is asked to end.
    pub fn run_daemon(self) -> Result<(), DaemonError> {
        let Self {
            node,
            config,
            selected,
        } = self;
        let settings = Settings { config, selected };
        daemon::run(&node, settings.clone(), &|| Ok(settings.clone()))
    }

    /// An operator who wrote this configuration.
    pub fn new(node: Node, config: &str) -> Self {
        let config = parse(config).expect("a configuration");
        let selected = select(&config).expect("values that the controls take");
        Self {
            node,
            config,
            selected,
        }
    }

    /// `holdfast check`.
    pub fn check(&self) -> Looked {
        reconcile::check(&self.node, &self.config, &self.selected, &self.journal(), false)
    }

    /// `holdfast plan`.
    pub fn plan(&self) -> Looked {
        let intent = asked();
        reconcile::look(&self.node, &self.config, &self.selected, &self.journal(), &intent)
    }

    /// `holdfast apply --yes`.
    pub fn apply(&self) -> Applied {
        self.apply_telling(&mut |_| {})
    }

    /// The same; each outcome is told as it comes.
    pub fn apply_telling(&self, tell: &mut dyn FnMut(&Outcome)) -> Applied {
        let deadline = Instant::now() + PATIENCE;
        let Self {
            node,
            config,
            selected,
        } = self;
        let held = Held::take(&node.here(&node.layout.run), PATIENCE).expect("the lock is free");
        let mut journal = self.open_journal(&held);
        let mut intent = asked();
        let mut outcomes: Vec<Outcome> = Vec::new();
        loop {
            let passed = reconcile::pass(node, config, selected, &held, &mut journal, &intent, &mut |_| {})
                .expect("the journal can be written");
            for outcome in passed.outcomes {
                if let Came::Failed { why } = &outcome.result {
                    intent.failed.insert(outcome.change, why.clone());
                }
                if outcomes.last() != Some(&outcome) {
                    tell(&outcome);
                    outcomes.push(outcome);
                }
            }
            let stuck = outcomes
                .last()
                .is_some_and(|last| matches!(last.result, Came::Stuck { .. }));
            let done = !passed.goes_on && passed.looked.plan.changes.is_empty();
            if stuck || done {
                break;
            }
            assert!(Instant::now() < deadline, "it does not end: {outcomes:#?}");
            if passed.look_again.is_some_and(|wait| wait > Duration::ZERO) {
                std::thread::sleep(POLL);
            }
        }
        let last = reconcile::look(node, config, selected, journal.state(), &intent);
        Applied { outcomes, last }
    }

    /// What `holdfast bounce COMPONENT --dry-run` finds.
    pub fn bounce_plan(&self, component: Component) -> Result<BouncePlan, WithheldReason> {
        reconcile::look_for_bounce(&self.node, &self.config, &self.journal(), component, false)
    }

    /// `holdfast bounce COMPONENT --yes`, but for what was begun earlier; how it ended.
    pub fn bounce(&self, component: Component) -> Result<Outcome, WithheldReason> {
        let begun = self.begin_bounce(component)?;
        Ok(if begun.is_in_flight() {
            self.carry_on().pop().expect("an outcome")
        } else {
            begun
        })
    }

    /// Its beginning: the manifest is out, and nobody goes on.
    pub fn begin_bounce(&self, component: Component) -> Result<Outcome, WithheldReason> {
        let plan = self.bounce_plan(component)?;
        let held = Held::take(&self.node.here(&self.node.layout.run), PATIENCE).expect("the lock is free");
        let mut journal = self.open_journal(&held);
        Ok(reconcile::begin(&self.node, &held, &mut journal, &plan.change)
            .expect("the journal can be written"))
    }

    /// Brings what is in flight to its end, as the daemon does and the next command; the outcomes.
    pub fn carry_on(&self) -> Vec<Outcome> {
        let deadline = Instant::now() + PATIENCE;
        let mut outcomes: Vec<Outcome> = Vec::new();
        while self.journal().in_flight.is_some() {
            outcomes.extend(self.one_pass());
            assert!(Instant::now() < deadline, "it does not end: {outcomes:#?}");
            std::thread::sleep(POLL);
        }
        outcomes
    }

    /// One pass that begins nothing new.
    pub fn one_pass(&self) -> Vec<Outcome> {
        let held = Held::take(&self.node.here(&self.node.layout.run), PATIENCE).expect("the lock is free");
        let mut journal = self.open_journal(&held);
        let intent = Intent {
            finishing: true,
            ..Intent::default()
        };
        let Self {
            node,
            config,
            selected,
        } = self;
        reconcile::pass(node, config, selected, &held, &mut journal, &intent, &mut |_| {})
            .expect("the journal can be written")
            .outcomes
    }

    /// The journal as a new process reads it.
    pub fn journal(&self) -> JournalState {
        JournalStore::peek(&self.node.files, &self.node.layout).expect("a journal that can be trusted")
    }

    fn open_journal(&self, held: &Held) -> JournalStore {
        let now = self.node.clock.now();
        JournalStore::open(&self.node.files, &self.node.layout, held, now)
            .expect("a journal that can be trusted")
    }
}

impl Applied {
    /// The outcomes that are final.
    pub fn ended(&self) -> Vec<&Outcome> {
        self.outcomes
            .iter()
            .filter(|outcome| !outcome.is_in_flight())
            .collect()
    }
}

fn asked() -> Intent {
    Intent {
        asked: true,
        ..Intent::default()
    }
}

/// The ids of the findings with that verdict, but for the one that is a matter of the calendar.
pub fn ids_with(looked: &Looked, verdict: Verdict) -> BTreeSet<String> {
    looked
        .findings
        .iter()
        .filter(|finding| finding.verdict == verdict && finding.id().as_str() != "X-VER-01")
        .map(|finding| finding.id().to_string())
        .collect()
}

/// These ids as a set.
pub fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// What stays in drift on a fresh node after an `apply`.
pub fn left() -> BTreeSet<String> {
    set(&FAILS_FRESH).difference(&set(&MENDED)).cloned().collect()
}

/// The finding of a control.
pub fn finding<'a>(looked: &'a Looked, id: &str) -> &'a Finding {
    looked
        .findings
        .iter()
        .find(|finding| finding.id().as_str() == id)
        .unwrap_or_else(|| panic!("no finding of {id}"))
}

/// What is withheld of each control, as kinds of reason.
pub fn withheld(looked: &Looked) -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut kinds: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for held in &looked.plan.withheld {
        for control in &held.controls {
            kinds
                .entry(control.to_string())
                .or_default()
                .insert(held.reason.kind());
        }
    }
    kinds
}

/// The changed lines of a unified diff without its header.
pub fn changed_lines(before: &str, after: &str) -> Vec<String> {
    holdfast::manifest::unified_diff("/f", before, after)
        .lines()
        .skip(2)
        .filter(|line| line.starts_with(['+', '-']))
        .map(str::to_owned)
        .collect()
}
