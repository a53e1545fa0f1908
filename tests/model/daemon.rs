//! The daemon in the model: it sees, asks the production step function, and does what it was told, later.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast::domain::Fact;
use holdfast::rotation::{
    Census, Consent, Edit, Etcd, Event, History, Hold, KeyStore, Limits, Membership, NodeView, OnDisk,
    Revision, Stage, Step, Stuck, Tally, Watch, World, next, record,
};

use crate::cluster::{
    COPIES, Config, Key, Keys, Member, Model, NODES, Scan, State, Value, Watching, index, name, now,
};

pub const LIMITS: Limits = Limits {
    drain: Duration::from_secs(60),
    proof_age: Duration::from_secs(3600),
    min_copies: COPIES as usize,
};

/// What a look came to.
pub enum Decision {
    /// The state after it.
    Did(State),
    Waits(String),
    Parks(String),
    /// There is no rotation.
    Idle,
}

impl Model {
    /// What the daemon sees in this state.
    pub fn world(&self, state: &State) -> World {
        let membership = |is_member: &dyn Fn(usize) -> bool| {
            Fact::Known(Membership {
                nodes: (0..NODES).filter(|node| is_member(*node)).map(name).collect(),
                strangers: BTreeSet::new(),
            })
        };
        let is_member = |node: usize| state.nodes[node].member == Member::Yes;
        // Proofs are collected of those that were listed first.
        let is_heard =
            |node: &usize| state.listed[*node] && is_member(*node) && !self.is_silent(state, *node);
        let nodes = (0..NODES).filter(is_heard);
        World {
            now: now(),
            members_before: membership(&|node| state.listed[node]),
            nodes: nodes.map(|node| (name(node), self.view(state, node))).collect(),
            members_after: membership(&is_member),
            etcd: Fact::Known(Etcd {
                revision: revision(state.revision),
                compacted: revision(state.compacted),
            }),
            census: self.census(state),
            watch: watch(state),
            stuck: Stuck::default(),
            keys: Fact::Known(KeyStore {
                copies: Key::ALL
                    .iter()
                    .map(|key| (key.id(), usize::from(state.copies[*key as usize])))
                    .collect(),
                retained: state.retained.iter().map(Key::id).collect(),
            }),
        }
    }

    fn is_silent(&self, state: &State, node: usize) -> bool {
        state.silent.map(usize::from) == Some(node)
    }

    fn view(&self, state: &State, node: usize) -> NodeView {
        let generation = |id| self.configs.with(id, |config| config.generation);
        NodeView {
            disk: Fact::Known(self.configs.with(self.at_start(state, node), |config| OnDisk {
                generation: config.generation,
                chain: config.chain.clone(),
            })),
            running: match state.nodes[node].run {
                Some(run) => Fact::Known(generation(run)),
                None => Fact::Absent,
            },
        }
    }

    fn census(&self, state: &State) -> Fact<Census> {
        let Scan::Done {
            first,
            last,
            values,
            is_old,
        } = state.scan
        else {
            return Fact::Absent;
        };
        let mut tallies: BTreeMap<_, Tally> = BTreeMap::new();
        for value in values.into_iter().flatten() {
            let newest = if value.is_late {
                revision(u8::MAX)
            } else {
                revision(0)
            };
            let tally = tallies
                .entry(value.key.id())
                .or_insert(Tally { count: 0, newest });
            tally.count += 1;
            tally.newest = tally.newest.max(newest);
        }
        Fact::Known(Census {
            first: revision(first),
            last: revision(last),
            at: crate::cluster::before(if is_old { 7200 } else { 0 }),
            values: tallies,
            unknown: BTreeMap::new(),
            foreign_kms: None,
            undecryptable: None,
            elsewhere: BTreeMap::new(),
        })
    }

    /// One pass: what is decided is noted at once where it is a note, and else done later.
    pub fn decide(&self, state: &State, leader: usize) -> Decision {
        let history = self.journals.get(state.journal);
        let Some(rotation) = &history.rotation else {
            return Decision::Idle;
        };
        let mut after = state.clone();
        match next(rotation, &self.world(state), &LIMITS) {
            Step::Hold(Hold::Wait(words)) => return Decision::Waits(words.why),
            Step::Hold(Hold::Park(words) | Hold::Ask(words)) => return Decision::Parks(words.why),
            Step::Note(event) => {
                if !self.note(&mut after, &event) {
                    after.wrong = Some("I9: the step function notes what the journal refuses");
                }
            }
            step @ (Step::StoreKey(_)
            | Step::Intend { .. }
            | Step::Write(_)
            | Step::Load(_)
            | Step::Reencrypt(_)
            | Step::Verify
            | Step::Retain(_)) => {
                if self.is_seen_foreign(state) {
                    after.wrong = Some("an act, while a server has a configuration that is not ours");
                }
                if let Step::Write(edit) = &step {
                    after.wrong = after.wrong.or(self.drops_needed_key(state, edit));
                }
                after.wrong = after.wrong.or(self.cuts_unduly(state, &step));
                after.pending[leader] = Some(self.steps.keep(step));
            }
        }
        Decision::Did(after)
    }

    fn is_seen_foreign(&self, state: &State) -> bool {
        state.edited.is_some_and(|(node, _)| {
            self.configs.with(state.nodes[usize::from(node)].disk, |config| {
                config.reads.contains(Key::Foreign) || config.generation == Config::plain().generation
            })
        })
    }

    /// A cut is intended on an old proof, or unasked.
    fn cuts_unduly(&self, state: &State, step: &Step) -> Option<&'static str> {
        let Step::Intend { stage, drops, .. } = step else {
            return None;
        };
        let is_unasked = |history: &History| {
            let rotation = history.rotation.as_ref();
            rotation.is_some_and(|rotation| rotation.cut == Consent::Ask)
        };
        if drops.is_empty() {
            return None;
        }
        if matches!(state.scan, Scan::Done { is_old: true, .. }) {
            return Some("F52: a key is cut on a census of hours ago");
        }
        let asks = *stage == Stage::New && self.journals.with(state.journal, is_unasked);
        asks.then_some("a key is cut unasked")
    }

    fn drops_needed_key(&self, state: &State, edit: &Edit) -> Option<&'static str> {
        let before = self
            .configs
            .with(state.nodes[index(&edit.node)].disk, |config| config.reads);
        let after = self.target(state, edit).reads;
        let dropped = |key: &Key| !after.contains(*key);
        let is_needed = |key: Key| state.values.iter().flatten().any(|value| value.key == key);
        before
            .iter()
            .filter(dropped)
            .any(is_needed)
            .then_some("I10: a key leaves a configuration while a value is under it")
    }

    fn target(&self, state: &State, edit: &Edit) -> Config {
        self.journals.with(state.journal, |history| {
            let rotation = history.rotation.as_ref().unwrap();
            if rotation.found == edit.generation {
                return if edit.generation == Config::plain().generation {
                    Config::plain()
                } else {
                    Config::file(&rotation.old)
                };
            }
            Config::file(&rotation.chain(edit.stage))
        })
    }

    /// Writes to the journal; false when it refuses.
    pub fn note(&self, state: &mut State, event: &Event) -> bool {
        let history = self.journals.get(state.journal);
        let Ok(after) = record(&history, event, &now()) else {
            return false;
        };
        if matches!(event, Event::DrainEnded { .. }) {
            state.settle();
        }
        if let Event::ConfigWritten { node, .. } = event {
            let node = &mut state.nodes[index(node)];
            node.synced = node.disk;
        }
        state.journal = self.journals.keep(after);
        true
    }

    /// Does what was decided before. More than one state, where the outcome is not ours.
    pub fn act(&self, state: &State, leader: usize) -> Vec<State> {
        let Some(pending) = state.pending[leader] else {
            return vec![];
        };
        let mut after = state.clone();
        after.pending[leader] = None;
        match self.steps.get(pending) {
            Step::Hold(_) | Step::Note(_) => {}
            Step::StoreKey(key) => return vec![self.store_key(state, leader, Key::of(&key))],
            Step::Intend {
                epoch, stage, chain, ..
            } => {
                let config = Config::file(&chain);
                let generation = config.generation;
                self.configs.keep(config);
                // A stale daemon's intent is refused by the journal.
                self.note(
                    &mut after,
                    &Event::ConfigIntended {
                        epoch,
                        stage,
                        generation,
                    },
                );
            }
            Step::Write(edit) if self.is_silent(state, index(&edit.node)) => {}
            Step::Write(edit) => {
                self.write(&mut after, &edit);
                // The file is there; only the next act syncs it.
                let node = after.nodes[index(&edit.node)];
                if node.disk != state.nodes[index(&edit.node)].disk && node.disk != node.synced {
                    after.pending[leader] = Some(pending);
                }
            }
            Step::Load(node) if !self.is_silent(state, index(&node)) => {
                let node = &mut after.nodes[index(&node)];
                node.run = node.run.map(|_| node.disk);
            }
            Step::Load(_) => {}
            Step::Reencrypt(keys) => return self.reencrypt(&after, &keys.iter().map(Key::of).collect()),
            Step::Verify => begin_scan(&mut after),
            Step::Retain(keys) => keys.iter().for_each(|key| after.retained.insert(Key::of(key))),
        }
        vec![after]
    }

    /// First the intent, then, by another act, the bytes in one more place; a crash in between loses them.
    fn store_key(&self, state: &State, leader: usize, key: Key) -> State {
        let mut after = state.clone();
        if self.note(&mut after, &Event::KeyIntended { key: key.id() }) {
            return after;
        }
        after.pending[leader] = None;
        let is_wanted = self.journals.with(state.journal, |history| {
            history
                .rotation
                .as_ref()
                .is_some_and(|rotation| rotation.new == key.id())
        });
        if is_wanted {
            after.copies[key as usize] = (after.copies[key as usize] + 1).min(COPIES);
        }
        after
    }

    fn write(&self, state: &mut State, edit: &Edit) {
        let history = self.journals.get(state.journal);
        let node = index(&edit.node);
        let before = self.configs.get(state.nodes[node].disk);
        let Some(rotation) = &history.rotation else {
            return;
        };
        if before.generation == edit.generation {
            state.nodes[node].synced = state.nodes[node].disk;
            return;
        }
        if state.nodes[node].member != Member::Yes || rotation.fence(edit, before.generation).is_err() {
            return;
        }
        if !rotation
            .generations
            .values()
            .any(|intended| *intended == edit.generation)
        {
            state.wrong = Some("I9: a file is written that the journal does not intend");
        }
        let target = self.target(state, edit);
        let is_lost =
            |key: Key| !target.reads.contains(key) && key != Key::Plain && !state.retained.contains(key);
        if before.reads.iter().any(is_lost) && !state.is_tainted {
            state.wrong = Some("I14: a key leaves a configuration and is not retained");
        }
        state.nodes[node].disk = self.configs.keep(target);
    }

    /// One object is written again by some server; or its write met with a conflict, and nothing happened.
    fn reencrypt(&self, state: &State, keys: &Keys) -> Vec<State> {
        let mut conflict = state.clone();
        conflict.scan = Scan::None;
        conflict.watching = None;
        let mut outcomes = vec![conflict.clone()];
        for object in 0..state.values.len() {
            let Some(value) = state.values[object].filter(|value| keys.contains(value.key)) else {
                continue;
            };
            for run in state.nodes.iter().filter_map(|node| node.run) {
                let (writes, reads) = self.configs.with(run, |config| (config.writes, config.reads));
                if reads.contains(value.key) && writes != value.key {
                    let mut after = conflict.clone();
                    self.commit(&mut after, object, writes);
                    outcomes.push(after);
                }
            }
        }
        // The fair run takes the first: progress, where there is any.
        outcomes.reverse();
        outcomes
    }

    /// A value reaches etcd.
    pub fn commit(&self, state: &mut State, object: usize, key: Key) {
        let is_late = self.journals.with(state.journal, |history| {
            let rotation = history.rotation.as_ref();
            rotation.is_some_and(|rotation| {
                let is_drained = rotation
                    .barrier
                    .as_ref()
                    .is_some_and(|barrier| barrier.drained.is_some());
                is_drained && rotation.retiring().contains(&key.id())
            })
        });
        if let Some(former) = state.values[object].replace(Value { key, is_late }) {
            state.history.insert(former.key);
        }
        state.revision += 1;
        if let Some(watching) = &mut state.watching {
            watching.seen.insert(key);
        }
    }
}

pub fn begin_scan(state: &mut State) {
    state.scan = Scan::Begun {
        first: state.revision,
        values: state.values,
    };
    // A watch that is open goes on.
    state.watching = Some(match state.watching {
        Some(Watching { from, before, seen }) => Watching {
            from,
            before: before.iter().chain(seen.iter()).collect(),
            seen: Keys::default(),
        },
        None => Watching {
            from: state.revision,
            before: Keys::default(),
            seen: Keys::default(),
        },
    });
}

fn watch(state: &State) -> Fact<Watch> {
    let Some(watching) = state.watching else {
        return Fact::Absent;
    };
    let scanned = match state.scan {
        Scan::None => watching.from,
        Scan::Begun { first, .. } | Scan::Done { first, .. } => first,
    };
    Fact::Known(Watch {
        from: revision(watching.from),
        // When exactly is not kept: at the latest when the scan began, or else behind that.
        writes: (watching.before.iter().map(|key| (key.id(), revision(scanned))))
            .chain(watching.seen.iter().map(|key| (key.id(), revision(scanned + 1))))
            .collect(),
    })
}

fn revision(number: u8) -> Revision {
    Revision(u64::from(number))
}
