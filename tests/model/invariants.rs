//! The invariants, held against every state.

use crate::cluster::{COPIES, Config, Id, Key, Keys, Member, Model, Scan, State};

impl Model {
    /// The first invariant that this state breaks.
    pub fn violation(&self, state: &State) -> Option<String> {
        let wrong = || state.wrong.map(str::to_owned);
        // What servers do with somebody else's file is not ours to answer for; what the daemon then does was looked at.
        if state.is_tainted || state.flagless.is_some() {
            return wrong();
        }
        let members = || state.nodes.iter().filter(|node| node.member == Member::Yes);
        let all = self.configs.all();
        let config = |id: Id| &all[usize::from(id.0)];
        let running: Vec<&Config> = members().filter_map(|node| node.run).map(config).collect();
        let mut pots: Vec<&Config> = members().map(|node| config(node.disk)).collect();
        pots.extend(members().map(|node| config(node.synced)));
        pots.extend(&running);
        let stored: Keys = state.values.iter().flatten().map(|value| value.key).collect();
        let flying: Keys = state.flights.iter().flatten().map(|flight| flight.key).collect();

        if let Some(key) = unreadable(&running, stored) {
            return Some(format!(
                "I1: a value under {key:?} cannot be read by a running server"
            ));
        }
        if let Some((one, other)) = incompatible(&pots) {
            return Some(format!(
                "I2: {} and {} cannot read what the other writes",
                one.chain, other.chain
            ));
        }
        if let Some(key) = unreadable(&pots, stored) {
            return Some(format!(
                "I3: a value under {key:?} could not be read after a restart"
            ));
        }
        if let Some(key) = unreadable(&pots, flying) {
            return Some(format!(
                "I3: a value under {key:?} is about to be committed and could not be read"
            ));
        }
        if let Some(key) = unreadable(&pots, state.history) {
            return Some(format!(
                "I4: history holds a value under {key:?} that could not be read"
            ));
        }
        if distinct(&pots) > 2 {
            return Some("I5: there are more than two configurations at a time".to_owned());
        }
        let written: Keys = pots.iter().map(|config| config.writes).collect();
        let is_scarce = |key: &Key| *key != Key::Plain && state.copies[*key as usize] < COPIES;
        if let Some(key) = [written, stored, flying]
            .into_iter()
            .flat_map(Keys::iter)
            .find(is_scarce)
        {
            return Some(format!(
                "I6: {key:?} writes and lies in {} places",
                state.copies[key as usize]
            ));
        }
        let is_plain_wanted =
            self.scenario.found[0] == Key::Plain || self.scenario.news.contains(&Key::Plain);
        if written.contains(Key::Plain) && !is_plain_wanted {
            return Some("I12: a server writes plaintext".to_owned());
        }
        wrong()
    }
}

fn unreadable(configs: &[&Config], keys: Keys) -> Option<Key> {
    keys.iter()
        .find(|key| configs.iter().any(|config| !config.reads.contains(*key)))
}

fn incompatible<'a>(configs: &[&'a Config]) -> Option<(&'a Config, &'a Config)> {
    let pairs = || {
        configs
            .iter()
            .flat_map(|one| configs.iter().map(move |other| (*one, *other)))
    };
    pairs().find(|(one, other)| !other.reads.contains(one.writes))
}

fn distinct(configs: &[&Config]) -> usize {
    let is_first = |(index, config): &(usize, &&Config)| {
        configs[..*index].iter().all(|other| other.chain != config.chain)
    };
    configs.iter().enumerate().filter(is_first).count()
}

/// A state in one line, for a way to a violation.
pub fn describe(model: &Model, state: &State) -> String {
    let config = |id| model.configs.with(id, |config| config.chain.to_string());
    let nodes: Vec<String> = state
        .nodes
        .iter()
        .filter(|node| node.member == Member::Yes)
        .map(|node| {
            format!(
                "disk {} run {}",
                config(node.disk),
                node.run.map_or("-".to_owned(), config)
            )
        })
        .collect();
    let values: Vec<Key> = state.values.iter().flatten().map(|value| value.key).collect();
    let flights: Vec<Key> = state.flights.iter().flatten().map(|flight| flight.key).collect();
    let scan = match state.scan {
        Scan::None => "none",
        Scan::Begun { .. } => "begun",
        Scan::Done { .. } => "done",
    };
    let goal = model.journals.with(state.journal, |history| {
        history
            .rotation
            .as_ref()
            .map_or("no rotation".to_owned(), |rotation| {
                format!(
                    "{:?} to {}, {:?}",
                    rotation.direction,
                    rotation.goal,
                    rotation
                        .barrier
                        .as_ref()
                        .map(|b| (b.stage, b.drained, b.verified))
                )
            })
    });
    let pending: Vec<_> = state
        .pending
        .iter()
        .flatten()
        .map(|id| model.steps.get(*id))
        .collect();
    format!(
        "{} | values {values:?} flying {flights:?} rev {} compacted {} | scan {scan} | {goal} | decided {pending:?}",
        nodes.join("; "),
        state.revision,
        state.compacted
    )
}
