//! What happens to a cluster that nobody decided: crashes, reloads, writes, joins, other people's hands.

use holdfast::rotation::{Chain, Consent, Event, History, Request, Stage, begin, rollback};

use crate::cluster::{Config, Flight, Id, Key, Member, Model, NODES, Scan, State, before};
use crate::daemon::begin_scan;

/// Something that happens; with it a way to a state can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Decide(usize),
    Act(usize),
    Crash(usize),
    /// The machine's power fails: what was not synced is gone.
    PowerCut(usize),
    Silence(usize),
    Hear,
    Start(usize),
    Reload(usize),
    Write(usize, usize),
    Commit(usize),
    /// The request limit passes: whatever was under way has ended.
    Tick,
    /// Hours pass.
    Age,
    Compact,
    /// The cached list of members is refreshed.
    List,
    Join(usize),
    Evict(usize),
    DaemonCrash,
    Edit(usize),
    Unedit,
    /// A manifest without the flag, as of `kubeadm upgrade`.
    LoseFlag(usize),
    /// What the guard does about it.
    GiveBack,
    BeginScan,
    EndScan,
    /// The pages were read at two revisions.
    EndScanTorn,
    Ask(Key),
    AskRollback,
    AllowCut,
}

impl Model {
    /// All that may happen in this state, without the daemon's own doing.
    pub fn happenings(&self, state: &State) -> Vec<(Action, State)> {
        let mut all = Vec::new();
        self.servers(state, &mut all);
        self.values(state, &mut all);
        self.scans(state, &mut all);
        self.times(state, &mut all);
        self.members(state, &mut all);
        self.edits(state, &mut all);
        self.losses(state, &mut all);
        self.operator(state, &mut all);
        all
    }

    fn servers(&self, state: &State, all: &mut Vec<(Action, State)>) {
        for (node, server) in state.nodes.iter().enumerate() {
            match server.run {
                _ if server.member != Member::Yes => {}
                None => all.push((
                    Action::Start(node),
                    with(state, |after| {
                        after.nodes[node].run = Some(self.at_start(after, node))
                    }),
                )),
                Some(run) => {
                    if run != server.disk && !state.is_flagless(node) {
                        let reload = |after: &mut State| after.nodes[node].run = Some(server.disk);
                        all.push((Action::Reload(node), with(state, reload)));
                    }
                    if state.budget.crashes > 0 {
                        let crash = |after: &mut State| {
                            after.budget.crashes -= 1;
                            after.nodes[node].run = None;
                        };
                        all.push((Action::Crash(node), with(state, crash)));
                        if server.disk != server.synced {
                            let cut = |after: &mut State| {
                                crash(after);
                                after.nodes[node].disk = server.synced;
                            };
                            all.push((Action::PowerCut(node), with(state, cut)));
                        }
                    }
                }
            }
        }
        if state.silent.is_some() {
            all.push((Action::Hear, with(state, |after| after.silent = None)));
        } else if state.budget.silences > 0 {
            for node in (0..NODES).filter(|node| state.nodes[*node].member == Member::Yes) {
                let silence = |after: &mut State| {
                    after.budget.silences -= 1;
                    after.silent = u8::try_from(node).ok();
                };
                all.push((Action::Silence(node), with(state, silence)));
            }
        }
        if state.budget.daemon_crashes > 0 {
            let crash = |after: &mut State| {
                after.budget.daemon_crashes -= 1;
                after.pending = [None; 2];
                after.scan = Scan::None;
                after.watching = None;
            };
            all.push((Action::DaemonCrash, with(state, crash)));
        }
    }

    fn values(&self, state: &State, all: &mut Vec<(Action, State)>) {
        let slot = state.flights.iter().position(Option::is_none);
        let is_free = state.flights.iter().flatten().count() < self.scenario.flights;
        if let Some(slot) = slot.filter(|_| is_free) {
            for (node, server) in state.nodes.iter().enumerate() {
                let Some(run) = server.run.filter(|_| server.member == Member::Yes) else {
                    continue;
                };
                let key = self.configs.with(run, |config| config.writes);
                for object in 0..self.scenario.objects {
                    let flight = Flight {
                        object: u8::try_from(object).unwrap(),
                        key,
                    };
                    all.push((
                        Action::Write(node, object),
                        with(state, |after| after.flights[slot] = Some(flight)),
                    ));
                }
            }
        }
        for (slot, flight) in state.flights.iter().enumerate() {
            if let Some(flight) = flight {
                let commit = |after: &mut State| {
                    after.flights[slot] = None;
                    self.commit(after, usize::from(flight.object), flight.key);
                };
                all.push((Action::Commit(slot), with(state, commit)));
            }
        }
    }

    fn scans(&self, state: &State, all: &mut Vec<(Action, State)>) {
        match state.scan {
            Scan::Begun { first, values } => {
                let done = |last, values| Scan::Done {
                    first,
                    last,
                    values,
                    is_old: false,
                };
                all.push((
                    Action::EndScan,
                    with(state, |after| after.scan = done(first, values)),
                ));
                let torn = [values[0], state.values[1]];
                if torn != values {
                    let tear = |after: &mut State| after.scan = done(state.revision, torn);
                    all.push((Action::EndScanTorn, with(state, tear)));
                }
            }
            Scan::None | Scan::Done { .. } if state.budget.scans > 0 => {
                let scan = |after: &mut State| {
                    after.budget.scans -= 1;
                    begin_scan(after);
                };
                all.push((Action::BeginScan, with(state, scan)));
            }
            Scan::None | Scan::Done { .. } => {}
        }
    }

    fn times(&self, state: &State, all: &mut Vec<(Action, State)>) {
        all.push((Action::Tick, with(state, |after| self.pass(after))));
        if state.budget.ages > 0 {
            let age = |after: &mut State| {
                after.budget.ages -= 1;
                self.pass(after);
                if let Scan::Done { is_old, .. } = &mut after.scan {
                    *is_old = true;
                }
            };
            all.push((Action::Age, with(state, age)));
        }
        let compact = |after: &mut State| {
            after.compacted = state.revision;
            after.history = Default::default();
        };
        all.push((Action::Compact, with(state, compact)));
    }

    /// The request limit passes.
    fn pass(&self, state: &mut State) {
        state.flights = [None; 2];
        let is_due = |history: &History| {
            let barrier = history
                .rotation
                .as_ref()
                .and_then(|rotation| rotation.barrier.as_ref());
            barrier.is_some_and(|barrier| barrier.at != before(61))
        };
        if !self.journals.with(state.journal, is_due) {
            return;
        }
        let mut history = self.journals.get(state.journal);
        if let Some(barrier) = history
            .rotation
            .as_mut()
            .and_then(|rotation| rotation.barrier.as_mut())
        {
            barrier.at = before(61);
        }
        state.journal = self.journals.keep(history);
    }

    fn members(&self, state: &State, all: &mut Vec<(Action, State)>) {
        let is_member = |node: usize| state.nodes[node].member == Member::Yes;
        let listed: [bool; NODES] = std::array::from_fn(is_member);
        if state.listed != listed {
            all.push((Action::List, with(state, |after| after.listed = listed)));
        }
        for node in 0..NODES {
            match state.nodes[node].member {
                Member::Not if state.budget.joins > 0 => {
                    for disk in self.copies_from_peers(state) {
                        let join = |after: &mut State| {
                            after.budget.joins -= 1;
                            after.nodes[node].member = Member::Yes;
                            after.nodes[node].disk = disk;
                            after.nodes[node].synced = disk;
                            self.relist(after);
                        };
                        all.push((Action::Join(node), with(state, join)));
                    }
                    // The others are alike.
                    break;
                }
                Member::Yes if state.budget.evictions > 0 && listed.iter().filter(|is| **is).count() > 1 => {
                    let evict = |after: &mut State| {
                        after.budget.evictions -= 1;
                        after.nodes[node].member = Member::Gone;
                        after.nodes[node].run = None;
                        self.relist(after);
                    };
                    all.push((Action::Evict(node), with(state, evict)));
                }
                Member::Not | Member::Yes | Member::Gone => {}
            }
        }
    }

    fn relist(&self, state: &mut State) {
        if !self.scenario.has_stale_list {
            state.listed = std::array::from_fn(|node| state.nodes[node].member == Member::Yes);
        }
    }

    /// The configurations that a node may join with: any of this rotation that its guard lets serve.
    fn copies_from_peers(&self, state: &State) -> Vec<Id> {
        let history = self.journals.get(state.journal);
        let Some(rotation) = &history.rotation else {
            return state
                .nodes
                .iter()
                .filter(|node| node.member == Member::Yes)
                .map(|node| node.disk)
                .take(1)
                .collect();
        };
        let mut files: Vec<Config> = rotation
            .generations
            .keys()
            .map(|stage| Config::file(&rotation.chain(*stage)))
            .collect();
        if rotation.found == Config::file(&rotation.old).generation {
            files.push(Config::file(&rotation.old));
        }
        let members = state.nodes.iter().filter(|node| node.member == Member::Yes);
        let in_use: Vec<_> = members
            .flat_map(|node| [Some(node.disk), Some(node.synced), node.run])
            .flatten()
            .map(|id| self.configs.with(id, |config| config.generation))
            .collect();
        let may_serve = |config: &Config| rotation.admits(config.generation, &in_use);
        files
            .into_iter()
            .filter(may_serve)
            .map(|config| self.configs.keep(config))
            .collect()
    }

    fn edits(&self, state: &State, all: &mut Vec<(Action, State)>) {
        if let Some((node, former)) = state.edited {
            let unedit = |after: &mut State| {
                after.edited = None;
                after.nodes[usize::from(node)].disk = former;
                after.nodes[usize::from(node)].synced = former;
            };
            all.push((Action::Unedit, with(state, unedit)));
        }
        let history = self.journals.get(state.journal);
        let Some(rotation) = history.rotation.filter(|_| state.budget.edits > 0) else {
            return;
        };
        let foreign = Chain::new(vec![Key::Foreign.id(), Key::Old.id()]).unwrap();
        let mut files = vec![Config::file(&foreign), Config::plain()];
        // A restored image of the machine: any earlier stage.
        files.push(Config::file(&rotation.old));
        files.extend(
            rotation
                .generations
                .keys()
                .map(|stage| Config::file(&rotation.chain(*stage))),
        );
        let disks: Vec<Id> = files
            .into_iter()
            .map(|config| self.configs.keep(config))
            .collect();
        for (node, server) in state.nodes.iter().enumerate() {
            for disk in disks
                .iter()
                .filter(|disk| **disk != server.disk && server.member == Member::Yes)
            {
                let edit = |after: &mut State| {
                    after.budget.edits -= 1;
                    after.edited = Some((u8::try_from(node).unwrap(), server.disk));
                    after.is_tainted = true;
                    after.nodes[node].disk = *disk;
                    after.nodes[node].synced = *disk;
                };
                all.push((Action::Edit(node), with(state, edit)));
            }
        }
    }

    fn losses(&self, state: &State, all: &mut Vec<(Action, State)>) {
        if state.flagless.is_some() {
            all.push((Action::GiveBack, with(state, |after| self.give_back(after))));
            return;
        }
        let is_under_way = |history: &History| history.rotation.is_some();
        if state.budget.losses == 0 || !self.journals.with(state.journal, is_under_way) {
            return;
        }
        for node in (0..NODES).filter(|node| state.nodes[*node].member == Member::Yes) {
            let lose = |after: &mut State| {
                after.budget.losses -= 1;
                after.flagless = u8::try_from(node).ok();
                after.nodes[node].run = Some(self.at_start(after, node));
            };
            all.push((Action::LoseFlag(node), with(state, lose)));
        }
    }

    /// The file of the stage that lies there, reading plaintext; then the journal; then the manifest, with which the server starts.
    fn give_back(&self, state: &mut State) {
        let Some(node) = state.flagless.take().map(usize::from) else {
            return;
        };
        let reading = |chain: &Chain| Config::file(&chain.reading_plaintext());
        let there = self.configs.get(state.nodes[node].disk);
        // It was given up meanwhile, before anything was written.
        let mut given = reading(&there.chain);
        if let Some(rotation) = self.journals.get(state.journal).rotation {
            let Some(stage) = rotation.place(there.generation) else {
                state.wrong = Some("a file of nobody's lies there when the flag is given back");
                return;
            };
            let file = |stage: Stage| reading(&rotation.chain(stage));
            let stages = rotation.generations.keys().copied().chain([Stage::Old]);
            let generations = stages.map(|stage| (stage, file(stage).generation)).collect();
            if !self.note(state, &Event::PlaintextRead { generations }) {
                state.wrong = Some("I9: the journal refuses that plaintext is read");
            }
            given = file(stage);
        }
        let disk = self.configs.keep(given);
        state.nodes[node].disk = disk;
        state.nodes[node].synced = disk;
        state.nodes[node].run = None;
    }

    /// What a server loads that starts now.
    pub fn at_start(&self, state: &State, node: usize) -> Id {
        if state.is_flagless(node) {
            self.configs.keep(Config::plain())
        } else {
            state.nodes[node].disk
        }
    }

    fn operator(&self, state: &State, all: &mut Vec<(Action, State)>) {
        let is_asked = |history: &History| {
            let rotation = history.rotation.as_ref();
            rotation.is_some_and(|rotation| rotation.cut == Consent::Ask)
        };
        if self.journals.with(state.journal, is_asked) {
            let allow = |after: &mut State| assert!(self.note(after, &Event::CutAllowed));
            all.push((Action::AllowCut, with(state, allow)));
        }
        if state.budget.rollbacks > 0
            && let Ok(event) = self.journals.with(state.journal, rollback)
        {
            let ask = |after: &mut State| {
                after.budget.rollbacks -= 1;
                if !self.note(after, &event) {
                    after.wrong = Some("I8: a rollback is offered that the journal refuses");
                }
            };
            all.push((Action::AskRollback, with(state, ask)));
        }
        if state.budget.asks == 0 || !matches!(state.scan, Scan::Done { .. }) {
            return;
        }
        let history = self.journals.get(state.journal);
        for new in &self.scenario.news {
            let request = Request {
                id: "r".to_owned(),
                new: new.id(),
                cut: self.scenario.cut,
            };
            let Ok(event) = begin(&history, &request, &self.world(state)) else {
                continue;
            };
            let ask = |after: &mut State| {
                after.budget.asks -= 1;
                let is_used = state.used.contains(*new) && *new != Key::Plain;
                if self.note(after, &event) && is_used {
                    after.wrong = Some("I7: a name is used twice, for two keys");
                }
                after.used.insert(*new);
            };
            all.push((Action::Ask(*new), with(state, ask)));
        }
    }

    /// One step of a run in which faults have stopped, without the daemon: `None` when there is nothing to do.
    pub fn heal(&self, state: &State) -> Option<State> {
        let is_urgent = |action: &Action| {
            matches!(
                action,
                Action::Hear
                    | Action::AllowCut
                    | Action::Start(_)
                    | Action::Commit(_)
                    | Action::List
                    | Action::EndScan
                    | Action::GiveBack
            )
        };
        self.happenings(state)
            .into_iter()
            .find(|(action, _)| is_urgent(action))
            .map(|(_, after)| after)
    }
}

fn with(state: &State, change: impl FnOnce(&mut State)) -> State {
    let mut after = state.clone();
    change(&mut after);
    after
}
