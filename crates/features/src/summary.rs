//! What a log holds, counted: names, properties and what follows what. Definitions are checked
//! against it and `auto` chooses from it.

use std::collections::{BTreeMap, HashMap, HashSet};

use foldhash::fast::RandomState;
use rayon::prelude::*;
use segue_events::{EventLog, History, Micros, Scalar, Symbol, Symbols};

use crate::selector::Selector;
use crate::window::SESSION_TIMEOUT_US;

/// Parts of a log that are counted at the same time. A counter has room for every text of the log, so
/// there are not as many as there may be threads.
const MAX_PARTS: usize = 8;

/// How often something occurs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Occurrence {
    /// Events.
    pub n_events: u64,
    /// Users with at least one.
    pub n_users: u64,
}

/// What a property holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PropertySummary {
    /// Events that have it.
    pub n_events: u64,
    /// Users with at least one of these.
    pub n_users: u64,
    /// Number values.
    pub n_numbers: u64,
    /// Text values.
    pub n_texts: u64,
    /// True or false values.
    pub n_flags: u64,
    /// Distinct texts, counted up to [`PropertySummary::MAX_TEXTS`].
    pub n_distinct_texts: usize,
}

impl PropertySummary {
    /// Beyond this many distinct texts nobody counts.
    pub const MAX_TEXTS: usize = 1_000;
}

/// Counts of a log, by text, so that nothing depends on symbol numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogSummary {
    /// Users.
    pub n_users: u64,
    /// Names of track, page and screen events.
    pub events: BTreeMap<String, Occurrence>,
    /// Names of identify, group and alias events.
    pub other_events: BTreeMap<String, Occurrence>,
    /// Properties of any event.
    pub properties: BTreeMap<String, PropertySummary>,
    /// Two track, page or screen events in a row, less than 30 minutes apart: how often.
    pub transitions: BTreeMap<(String, String), u64>,
}

impl LogSummary {
    /// Counts a log.
    #[must_use]
    pub fn of(log: &EventLog) -> Self {
        Self::of_histories(&log.symbols, &log.histories)
    }

    /// Counts histories.
    #[must_use]
    pub fn of_histories(symbols: &Symbols, histories: &[History]) -> Self {
        let of_part = |part: &[History]| {
            let mut counter = Counter::new(symbols);
            for (user, history) in (1u32..).zip(part) {
                counter.add(user, history);
            }
            counter
        };
        let share = histories.len().div_ceil(rayon::current_num_threads().min(MAX_PARTS)).max(1);
        let counters = histories.par_chunks(share).map(of_part);
        let counter = counters.reduce_with(Counter::join).unwrap_or_else(|| of_part(&[]));
        counter.finish(histories.len() as u64)
    }

    /// Whether some event has this name.
    #[must_use]
    pub fn has_event(&self, name: &str) -> bool {
        self.events.contains_key(name) || self.other_events.contains_key(name)
    }

    /// Every event name, activity first.
    pub fn event_names(&self) -> impl Iterator<Item = &str> {
        self.events.keys().chain(self.other_events.keys()).map(String::as_str)
    }

    /// Whether some event has this property.
    #[must_use]
    pub fn has_property(&self, key: &str) -> bool {
        self.properties.contains_key(key)
    }

    /// Every property key.
    pub fn property_names(&self) -> impl Iterator<Item = &str> {
        self.properties.keys().map(String::as_str)
    }

    /// Activity event names, most frequent first, ties by text.
    #[must_use]
    pub fn most_frequent_events(&self) -> Vec<(&str, Occurrence)> {
        let mut events: Vec<_> = self.events.iter().map(|(name, &n)| (name.as_str(), n)).collect();
        events.sort_by(|a, b| b.1.n_events.cmp(&a.1.n_events).then(a.0.cmp(b.0)));
        events
    }
}

/// Counts per symbol; a user counts once because its number is remembered.
#[derive(Clone, Copy, Default)]
struct Tally {
    occurrence: Occurrence,
    last_user: u32,
}

impl Tally {
    fn add(&mut self, user: u32) {
        self.occurrence.n_events += 1;
        if self.last_user != user {
            self.last_user = user;
            self.occurrence.n_users += 1;
        }
    }

    /// Adds the count over other users.
    fn join(&mut self, other: Self) {
        self.occurrence.n_events += other.occurrence.n_events;
        self.occurrence.n_users += other.occurrence.n_users;
    }
}

#[derive(Default)]
struct PropertyTally {
    summary: PropertySummary,
    last_user: u32,
    texts: HashSet<Symbol, RandomState>,
}

struct Counter<'a> {
    symbols: &'a Symbols,
    activity: Vec<Tally>,
    other: Vec<Tally>,
    properties: HashMap<Symbol, PropertyTally, RandomState>,
    transitions: Transitions,
}

/// Symbols whose pairs have a place in a table: a log names few kinds of events, and names them first.
const TABLED: usize = 64;

/// How often each name followed each other.
struct Transitions {
    /// Shape `(TABLED, TABLED)`.
    tabled: Vec<u64>,
    others: HashMap<(Symbol, Symbol), u64, RandomState>,
}

impl Default for Transitions {
    fn default() -> Self {
        Self { tabled: vec![0; TABLED * TABLED], others: HashMap::default() }
    }
}

impl Transitions {
    fn add(&mut self, from: Symbol, to: Symbol) {
        if from.index() < TABLED && to.index() < TABLED {
            self.tabled[from.index() * TABLED + to.index()] += 1;
        } else {
            *self.others.entry((from, to)).or_default() += 1;
        }
    }

    fn join(&mut self, other: Self) {
        self.tabled.iter_mut().zip(other.tabled).for_each(|(own, n)| *own += n);
        for (pair, n) in other.others {
            *self.others.entry(pair).or_default() += n;
        }
    }

    /// By the texts of a pair; those that never were are not there.
    fn named(self, symbols: &Symbols) -> BTreeMap<(String, String), u64> {
        let text = |symbol: Symbol| symbols.text(symbol).to_owned();
        let first: Vec<Symbol> = symbols.iter().map(|(symbol, _)| symbol).take(TABLED).collect();
        let tabled = first.iter().flat_map(|&from| first.iter().map(move |&to| (from, to)));
        let tabled =
            tabled.map(|(from, to)| ((from, to), self.tabled[from.index() * TABLED + to.index()]));
        let all = tabled.filter(|&(_, n)| n > 0).chain(self.others);
        all.map(|((from, to), n)| ((text(from), text(to)), n)).collect()
    }
}

impl<'a> Counter<'a> {
    fn new(symbols: &'a Symbols) -> Self {
        Self {
            symbols,
            activity: vec![Tally::default(); symbols.len()],
            other: vec![Tally::default(); symbols.len()],
            properties: HashMap::default(),
            transitions: Transitions::default(),
        }
    }

    fn add(&mut self, user: u32, history: &History) {
        let mut before: Option<(Micros, Symbol)> = None;
        let events = history.event_ts().iter().zip(history.name());
        for (event, (&event_ts, &name)) in events.enumerate() {
            if Selector::is_activity_kind(history.kind(event)) {
                self.activity[name.index()].add(user);
                if let Some((before_ts, before)) = before
                    && event_ts - before_ts < SESSION_TIMEOUT_US
                {
                    self.transitions.add(before, name);
                }
                before = Some((event_ts, name));
            } else {
                self.other[name.index()].add(user);
            }
        }
        for &(key, value) in history.all_properties() {
            self.properties.entry(key).or_default().add(user, value);
        }
    }

    /// Adds what was counted of other users.
    fn join(mut self, other: Self) -> Self {
        let tallies = [(&mut self.activity, other.activity), (&mut self.other, other.other)];
        for (own, others) in tallies {
            own.iter_mut().zip(others).for_each(|(own, other)| own.join(other));
        }
        for (key, tally) in other.properties {
            self.properties.entry(key).or_default().join(tally);
        }
        self.transitions.join(other.transitions);
        self
    }

    fn finish(self, n_users: u64) -> LogSummary {
        let symbols = self.symbols;
        let named = |tallies: Vec<Tally>| {
            let pairs = symbols.iter().zip(tallies);
            pairs
                .filter(|(_, tally)| tally.occurrence.n_events > 0)
                .map(|((_, text), tally)| (text.to_owned(), tally.occurrence))
                .collect()
        };
        let text = |symbol: Symbol| symbols.text(symbol).to_owned();
        let properties = self.properties.into_iter().map(|(key, mut tally)| {
            tally.summary.n_distinct_texts = tally.texts.len().min(PropertySummary::MAX_TEXTS);
            (text(key), tally.summary)
        });
        LogSummary {
            n_users,
            events: named(self.activity),
            other_events: named(self.other),
            properties: properties.collect(),
            transitions: self.transitions.named(symbols),
        }
    }
}

impl PropertyTally {
    fn add(&mut self, user: u32, value: Scalar) {
        self.summary.n_events += 1;
        if self.last_user != user {
            self.last_user = user;
            self.summary.n_users += 1;
        }
        match value {
            Scalar::Number(_) => self.summary.n_numbers += 1,
            Scalar::Flag(_) => self.summary.n_flags += 1,
            Scalar::Text(text) => {
                self.summary.n_texts += 1;
                if self.texts.len() < PropertySummary::MAX_TEXTS {
                    self.texts.insert(text);
                }
            }
        }
    }

    /// Adds what other users have.
    fn join(&mut self, other: Self) {
        let (own, others) = (&mut self.summary, other.summary);
        own.n_events += others.n_events;
        own.n_users += others.n_users;
        own.n_numbers += others.n_numbers;
        own.n_texts += others.n_texts;
        own.n_flags += others.n_flags;
        self.texts.extend(other.texts);
    }
}
