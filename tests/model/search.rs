//! Breadth-first search over all states, and the fair run from each.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use holdfast::rotation::{Outcome, Stage};

use crate::cluster::{Model, Scan, Scenario, State};
use crate::daemon::Decision;
use crate::environment::Action;
use crate::invariants::describe;

/// A run that takes longer goes in circles.
const LONGEST_RUN: usize = 200;

struct Search {
    model: Model,
    states: Vec<State>,
    /// From which state, and by what, each was reached first.
    from: Vec<(u32, Option<Action>)>,
    found: HashMap<State, u32>,
    /// States from which the fair run ends.
    ending: HashSet<State>,
}

/// Visits every state of the scenario; panics with the shortest way to a violation.
pub fn check(scenario: &Scenario) {
    let began = Instant::now();
    let model = Model::new(scenario);
    let mut search = Search {
        model,
        states: Vec::new(),
        from: Vec::new(),
        found: HashMap::new(),
        ending: HashSet::new(),
    };
    let initial = search.model.canonical(search.model.initial());
    search.add(initial, (0, None));
    let mut at = 0;
    while at < search.states.len() {
        search.expand(at);
        at += 1;
    }
    let invariant_time = began.elapsed();
    for at in 0..search.states.len() {
        search.run_fairly(at);
    }
    search.assert_reached();
    println!(
        "{} states of {} nodes, {} objects: {:.1} s, fair runs {:.1} s",
        search.states.len(),
        scenario.nodes,
        scenario.objects,
        invariant_time.as_secs_f32(),
        (began.elapsed() - invariant_time).as_secs_f32()
    );
}

impl Search {
    fn expand(&mut self, at: usize) {
        let state = self.states[at].clone();
        let from = u32::try_from(at).unwrap();
        for (action, after) in self.model.happenings(&state) {
            self.reach(after, (from, Some(action)));
        }
        for leader in 0..self.model.scenario.leaders {
            if state.pending[leader].is_some() {
                for after in self.model.act(&state, leader) {
                    self.reach(after, (from, Some(Action::Act(leader))));
                }
            } else if let Decision::Did(after) = self.model.decide(&state, leader) {
                self.reach(after, (from, Some(Action::Decide(leader))));
            }
        }
    }

    fn reach(&mut self, state: State, from: (u32, Option<Action>)) {
        let state = self.model.canonical(state);
        if !self.found.contains_key(&state) {
            self.add(state, from);
        }
    }

    fn add(&mut self, state: State, from: (u32, Option<Action>)) {
        let at = u32::try_from(self.states.len()).unwrap();
        let violation = self.model.violation(&state);
        self.found.insert(state.clone(), at);
        self.states.push(state);
        self.from.push(from);
        if let Some(violation) = violation {
            panic!("{violation}\n{}", self.way_to(at));
        }
    }

    fn way_to(&self, at: u32) -> String {
        let mut lines = Vec::new();
        let mut at = at;
        while let (before, Some(action)) = self.from[at as usize] {
            lines.push(format!(
                "{action:?}\n    {}",
                describe(&self.model, &self.states[at as usize])
            ));
            at = before;
        }
        lines.reverse();
        lines.join("\n")
    }

    /// Faults have stopped: the rotation ends, or is parked after somebody else's edit.
    fn run_fairly(&mut self, at: usize) {
        let mut run = Vec::new();
        let mut state = self.states[at].clone();
        while !self.ending.contains(&state) {
            let after = match self.fair_step(&state) {
                Ok(Some(after)) if run.len() < LONGEST_RUN => self.model.canonical(after),
                Ok(None) => {
                    run.push(state);
                    break;
                }
                Ok(Some(_)) => panic!(
                    "L1: a fair run goes in circles\n{}\n...\n{}",
                    self.told(at),
                    describe(&self.model, &state)
                ),
                Err(why) => panic!(
                    "L1: a fair run ends with: {why}\n{}\n...\n{}",
                    self.told(at),
                    describe(&self.model, &state)
                ),
            };
            if let Some(violation) = self.model.violation(&after) {
                panic!("{violation}, in a fair run\n{}", self.told(at));
            }
            run.push(std::mem::replace(&mut state, after));
        }
        self.ending.extend(run);
    }

    fn told(&self, at: usize) -> String {
        self.way_to(u32::try_from(at).unwrap())
    }

    fn fair_step(&self, state: &State) -> Result<Option<State>, String> {
        if let Some(after) = self.model.heal(state) {
            return Ok(Some(after));
        }
        for leader in 0..self.model.scenario.leaders {
            if let Some(after) = self.model.act(state, leader).into_iter().next() {
                return Ok(Some(after));
            }
        }
        match self.model.decide(state, 0) {
            Decision::Did(after) => Ok(Some(after)),
            Decision::Idle => Ok(None),
            Decision::Parks(_) if state.is_tainted => Ok(None),
            Decision::Parks(why) => Err(format!("parked without a fault: {why}")),
            Decision::Waits(why) => {
                let passes = |action: &Action| matches!(action, Action::Tick | Action::Compact);
                let all = self.model.happenings(state).into_iter();
                let mut helped = all
                    .filter(|(action, _)| passes(action))
                    .map(|(_, after)| self.model.canonical(after))
                    .filter(|after| after != state);
                helped
                    .next()
                    .map(Some)
                    .ok_or(format!("a wait that nothing ends: {why}"))
            }
        }
    }

    /// The search is worth something: every stage and every outcome was there.
    fn assert_reached(&self) {
        let histories = || {
            self.states
                .iter()
                .map(|state| self.model.journals.get(state.journal))
        };
        for stage in [Stage::Old, Stage::ReadNew, Stage::WriteNew, Stage::New] {
            let is_there =
                histories().any(|history| history.rotation.is_some_and(|rotation| rotation.goal == stage));
            assert!(is_there, "no state on the way to {stage}");
        }
        let mut outcomes = vec![Outcome::Rotated];
        if self.model.scenario.budget.rollbacks > 0 {
            outcomes.extend([Outcome::RolledBack, Outcome::Aborted]);
        }
        for outcome in outcomes {
            let is_there =
                histories().any(|history| history.last.is_some_and(|last| last.outcome == outcome));
            assert!(is_there, "no state in which it ended so: {outcome:?}");
        }
        assert!(
            self.states
                .iter()
                .any(|state| matches!(state.scan, Scan::Done { .. }))
        );
    }
}
