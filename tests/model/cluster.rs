//! The state of the modelled cluster: what the environment and the daemon change, small enough to keep by the million.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::LazyLock;

use holdfast::domain::{BootId, Digest, Instant, KeyId, Provider};
use holdfast::rotation::{Chain, Consent, Generation, History, NodeName, Revision, Step};

pub const NODES: usize = 3;
pub const OBJECTS: usize = 2;
/// In how many places a key must be durable.
pub const COPIES: u8 = 2;

/// The keys of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Key {
    Plain,
    Old,
    Older,
    New,
    Other,
    /// Somebody else's.
    Foreign,
}

static IDS: LazyLock<[KeyId; 6]> = LazyLock::new(|| Key::ALL.map(Key::make_id));

impl Key {
    pub const ALL: [Self; 6] = [
        Self::Plain,
        Self::Old,
        Self::Older,
        Self::New,
        Self::Other,
        Self::Foreign,
    ];

    pub fn id(self) -> KeyId {
        IDS[self as usize].clone()
    }

    fn make_id(self) -> KeyId {
        let name = match self {
            Self::Plain => return KeyId::Identity,
            Self::Old => "old",
            Self::Older => "key1",
            Self::New => "new",
            Self::Other => "fresh",
            Self::Foreign => "theirs",
        };
        KeyId::Key {
            provider: Provider::Aescbc,
            name: name.parse().unwrap(),
        }
    }

    pub fn of(id: &KeyId) -> Self {
        Self::ALL
            .into_iter()
            .find(|key| IDS[*key as usize] == *id)
            .unwrap()
    }
}

/// A set of keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Keys(u8);

impl Keys {
    pub fn insert(&mut self, key: Key) {
        self.0 |= 1 << key as u8;
    }

    pub fn contains(self, key: Key) -> bool {
        self.0 & (1 << key as u8) != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Key> {
        Key::ALL.into_iter().filter(move |key| self.contains(*key))
    }
}

impl FromIterator<Key> for Keys {
    fn from_iter<I: IntoIterator<Item = Key>>(keys: I) -> Self {
        let mut set = Self::default();
        keys.into_iter().for_each(|key| set.insert(key));
        set
    }
}

/// How often the environment may still do its worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Budget {
    pub asks: u8,
    pub rollbacks: u8,
    pub crashes: u8,
    pub daemon_crashes: u8,
    pub edits: u8,
    pub joins: u8,
    pub evictions: u8,
    /// Times that nothing is heard of a node.
    pub silences: u8,
    /// Times that hours pass.
    pub ages: u8,
    /// Censuses that nobody asked for.
    pub scans: u8,
    /// Times that a server is given a manifest without its configuration.
    pub losses: u8,
}

/// What is modelled, and its bounds.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub nodes: usize,
    pub objects: usize,
    pub found: Vec<Key>,
    /// The keys that a request may name.
    pub news: Vec<Key>,
    pub flights: usize,
    pub leaders: usize,
    /// The first list of members is a cache that may be old.
    pub has_stale_list: bool,
    /// The nodes begin without a configuration at all.
    pub is_unconfigured: bool,
    /// Whether the cut waits for the operator.
    pub cut: Consent,
    pub budget: Budget,
}

/// An index of something that is kept once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub u16);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Member {
    Not,
    Yes,
    /// Evicted, for good.
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    pub member: Member,
    /// The configuration on its disk, as everybody sees it.
    pub disk: Id,
    /// The one that a power cut leaves there.
    pub synced: Id,
    /// The one its API server has loaded.
    pub run: Option<Id>,
}

/// A stored value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Value {
    pub key: Key,
    /// It was written after the drain that holds now had ended.
    pub is_late: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scan {
    None,
    Begun {
        first: u8,
        values: [Option<Value>; OBJECTS],
    },
    Done {
        first: u8,
        last: u8,
        values: [Option<Value>; OBJECTS],
        is_old: bool,
    },
}

/// A write that was made and has not been committed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flight {
    pub object: u8,
    pub key: Key,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Watching {
    pub from: u8,
    /// What it saw before the last scan began.
    pub before: Keys,
    /// And since.
    pub seen: Keys,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub nodes: [Node; NODES],
    /// The list of members, as some cache has it.
    pub listed: [bool; NODES],
    pub values: [Option<Value>; OBJECTS],
    pub flights: [Option<Flight>; 2],
    /// Keys of overwritten values that can still be read at an old revision.
    pub history: Keys,
    pub revision: u8,
    pub compacted: u8,
    pub copies: [u8; 6],
    pub retained: Keys,
    /// Every key that was ever made.
    pub used: Keys,
    pub journal: Id,
    /// What each daemon has decided and not done yet.
    pub pending: [Option<Id>; 2],
    pub scan: Scan,
    pub watching: Option<Watching>,
    pub budget: Budget,
    /// The node that nothing is heard of.
    pub silent: Option<u8>,
    /// Whose file somebody else wrote, and what was there.
    pub edited: Option<(u8, Id)>,
    /// The node whose server is given no configuration: it writes plaintext, until Holdfast gives it back.
    pub flagless: Option<u8>,
    /// Somebody else wrote a file: what servers do since is not ours to answer for.
    pub is_tainted: bool,
    /// What a transition itself did wrong.
    pub wrong: Option<&'static str>,
}

impl State {
    /// True when the node's server is given no configuration.
    pub fn is_flagless(&self, node: usize) -> bool {
        self.flagless.map(usize::from) == Some(node)
    }

    /// What was written before a drain has ended is not late for it.
    pub fn settle(&mut self) {
        let seen = match &mut self.scan {
            Scan::None => None,
            Scan::Begun { values, .. } | Scan::Done { values, .. } => Some(values),
        };
        let all = self.values.iter_mut().chain(seen.into_iter().flatten());
        all.flatten().for_each(|value| value.is_late = false);
    }
}

/// Values that many states share, by index.
pub struct Shared<T> {
    all: RefCell<(Vec<T>, HashMap<T, Id>)>,
}

impl<T: Clone + Eq + Hash> Shared<T> {
    fn new() -> Self {
        Self {
            all: RefCell::new((Vec::new(), HashMap::new())),
        }
    }

    pub fn keep(&self, value: T) -> Id {
        let mut all = self.all.borrow_mut();
        if let Some(id) = all.1.get(&value) {
            return *id;
        }
        let id = Id(u16::try_from(all.0.len()).unwrap());
        all.0.push(value.clone());
        all.1.insert(value, id);
        id
    }

    pub fn get(&self, id: Id) -> T {
        self.all.borrow().0[usize::from(id.0)].clone()
    }

    /// All of them, to be looked at by index.
    pub fn all(&self) -> std::cell::Ref<'_, [T]> {
        std::cell::Ref::map(self.all.borrow(), |all| all.0.as_slice())
    }

    pub fn with<R>(&self, id: Id, f: impl FnOnce(&T) -> R) -> R {
        f(&self.all.borrow().0[usize::from(id.0)])
    }
}

/// A configuration: which, and its keys.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Config {
    pub generation: Generation,
    pub chain: Chain,
    pub writes: Key,
    pub reads: Keys,
}

impl Config {
    /// The canonical file of a chain.
    pub fn file(chain: &Chain) -> Self {
        Self::new(Generation::File(Digest::of(chain.to_string().as_bytes())), chain)
    }

    /// No configuration at all.
    pub fn plain() -> Self {
        Self::new(Generation::Plain, &Chain::of(KeyId::Identity))
    }

    fn new(generation: Generation, chain: &Chain) -> Self {
        Self {
            generation,
            chain: chain.clone(),
            writes: Key::of(chain.write_key()),
            reads: chain.keys().map(Key::of).collect(),
        }
    }
}

pub struct Model {
    pub scenario: Scenario,
    pub configs: Shared<Config>,
    pub journals: Shared<History>,
    pub steps: Shared<Step>,
}

/// Now, always: what lies in the past is moved instead.
pub fn now() -> Instant {
    before(0)
}

/// So many seconds ago.
pub fn before(seconds: u64) -> Instant {
    let second = 1_000_000 - seconds;
    Instant {
        wall: jiff::Timestamp::from_second(i64::try_from(second).unwrap()).unwrap(),
        boot: BootId(String::new()),
        since_boot_ms: second * 1000,
    }
}

pub fn name(node: usize) -> NodeName {
    NodeName(["a", "b", "c"][node].to_owned())
}

pub fn index(name: &NodeName) -> usize {
    (0..NODES).find(|node| self::name(*node) == *name).unwrap()
}

impl Model {
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            scenario: scenario.clone(),
            configs: Shared::new(),
            journals: Shared::new(),
            steps: Shared::new(),
        }
    }

    pub fn initial(&self) -> State {
        let found = Chain::new(self.scenario.found.iter().map(|key| key.id()).collect()).unwrap();
        let config = if self.scenario.is_unconfigured {
            Config::plain()
        } else {
            Config::file(&found)
        };
        let disk = self.configs.keep(config);
        let node = |index| Node {
            member: if index < self.scenario.nodes {
                Member::Yes
            } else {
                Member::Not
            },
            disk,
            synced: disk,
            run: (index < self.scenario.nodes).then_some(disk),
        };
        // The objects lie under the old keys in turn.
        let value = |index: usize| Value {
            key: self.scenario.found[index % self.scenario.found.len()],
            is_late: false,
        };
        let values = std::array::from_fn(|index| (index < self.scenario.objects).then(|| value(index)));
        let known: Keys = self.scenario.found.iter().copied().collect();
        State {
            nodes: std::array::from_fn(node),
            listed: std::array::from_fn(|index| index < self.scenario.nodes),
            values,
            flights: [None; 2],
            history: Keys::default(),
            revision: 1,
            compacted: 0,
            copies: std::array::from_fn(|index| {
                if known.contains(Key::ALL[index]) {
                    COPIES
                } else {
                    0
                }
            }),
            retained: Keys::default(),
            used: known,
            journal: self.journals.keep(History::default()),
            pending: [None; 2],
            scan: Scan::Done {
                first: 1,
                last: 1,
                values,
                is_old: false,
            },
            watching: None,
            budget: self.scenario.budget,
            silent: None,
            edited: None,
            flagless: None,
            is_tainted: false,
            wrong: None,
        }
    }

    /// The same state with revisions in their least form, so that what differs by them alone is one state.
    pub fn canonical(&self, mut state: State) -> State {
        state.flights.sort_unstable();
        let barrier = |history: &History| {
            let barrier = history.rotation.as_ref()?.barrier.as_ref()?;
            Some((barrier.drained.map(narrow), barrier.verified.map(narrow)))
        };
        let (drained, verified) = self.journals.with(state.journal, barrier).unwrap_or_default();
        if drained.is_none() {
            state
                .values
                .iter_mut()
                .flatten()
                .for_each(|value| value.is_late = false);
        }
        let scan = match state.scan {
            Scan::None => [None, None],
            Scan::Begun { first, .. } => [Some(first), None],
            Scan::Done { first, last, .. } => [Some(first), Some(last)],
        };
        let from = state.watching.map(|watching| watching.from);
        let known = [
            Some(0),
            Some(state.revision),
            Some(state.compacted),
            drained,
            verified,
            from,
        ];
        let mut known: Vec<u8> = known.into_iter().chain(scan).flatten().collect();
        known.sort_unstable();
        known.dedup();
        if known
            .iter()
            .enumerate()
            .any(|(rank, revision)| rank != usize::from(*revision))
        {
            self.renumber(&mut state, &known);
        }
        state
    }

    /// Gives each revision its rank among the known ones.
    fn renumber(&self, state: &mut State, known: &[u8]) {
        let rank = |revision: u8| u8::try_from(known.partition_point(|known| *known < revision)).unwrap();
        state.revision = rank(state.revision);
        state.compacted = rank(state.compacted);
        match &mut state.scan {
            Scan::None => {}
            Scan::Begun { first, .. } => *first = rank(*first),
            Scan::Done { first, last, .. } => (*first, *last) = (rank(*first), rank(*last)),
        }
        if let Some(watching) = &mut state.watching {
            watching.from = rank(watching.from);
        }
        let mut history = self.journals.get(state.journal);
        if let Some(barrier) = history
            .rotation
            .as_mut()
            .and_then(|rotation| rotation.barrier.as_mut())
        {
            for revision in [&mut barrier.drained, &mut barrier.verified]
                .into_iter()
                .flatten()
            {
                *revision = Revision(u64::from(rank(narrow(*revision))));
            }
            state.journal = self.journals.keep(history);
        }
    }
}

fn narrow(revision: Revision) -> u8 {
    u8::try_from(revision.0).unwrap()
}
