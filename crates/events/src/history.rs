//! One user's events as a struct of arrays, in the total order `(event_ts, seq, event_id bytes)`.

use crate::{EventKind, Micros, Symbol};

/// A property value with its text interned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar {
    /// A finite number.
    Number(f64),
    /// A text of the histories' symbol table.
    Text(Symbol),
    /// True or false.
    Flag(bool),
}

/// One event on its way into a history. The caller pushes in total order.
#[derive(Debug, Clone, Copy)]
pub struct HistoryEvent<'a> {
    /// When it happened.
    pub event_ts: Micros,
    /// When it became known.
    pub known_ts: Micros,
    /// Kind.
    pub kind: EventKind,
    /// Name.
    pub name: Symbol,
    /// Supplied session, or [`Symbol::EMPTY`].
    pub session: Symbol,
    /// Properties, keys unique.
    pub properties: &'a [(Symbol, Scalar)],
}

/// The columns of a [`History`]; those that it may leave out may be empty here.
pub(crate) struct HistoryColumns {
    pub(crate) user: Symbol,
    pub(crate) event_ts: Vec<Micros>,
    pub(crate) known_ts: Vec<Micros>,
    pub(crate) kind: Vec<EventKind>,
    pub(crate) name: Vec<Symbol>,
    pub(crate) session: Vec<Symbol>,
    pub(crate) property_end: Vec<u32>,
    pub(crate) properties: Vec<(Symbol, Scalar)>,
}

/// A user's events. Columns have equal length and are sorted by the total order.
///
/// Most logs track events that they know when they happen, name no sessions and leave most properties out,
/// and a log holds millions of events: such columns take no room.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    user: Symbol,
    event_ts: Vec<Micros>,
    /// Empty while every event is known when it happens.
    known_ts: Vec<Micros>,
    /// Empty while every event is a [`EventKind::Track`].
    kind: Vec<EventKind>,
    name: Vec<Symbol>,
    /// Empty while no event names a session.
    session: Vec<Symbol>,
    /// Empty while no event has a property.
    property_end: Vec<u32>,
    properties: Vec<(Symbol, Scalar)>,
}

impl History {
    /// An empty history.
    #[must_use]
    pub fn new(user: Symbol) -> Self {
        Self {
            user,
            event_ts: Vec::new(),
            known_ts: Vec::new(),
            kind: Vec::new(),
            name: Vec::new(),
            session: Vec::new(),
            property_end: Vec::new(),
            properties: Vec::new(),
        }
    }

    /// An empty history with room for so many events and properties.
    #[must_use]
    pub fn with_capacity(user: Symbol, n_events: usize, n_properties: usize) -> Self {
        Self {
            user,
            event_ts: Vec::with_capacity(n_events),
            known_ts: Vec::new(),
            kind: Vec::new(),
            name: Vec::with_capacity(n_events),
            session: Vec::new(),
            property_end: Vec::new(),
            properties: Vec::with_capacity(n_properties),
        }
    }

    /// A history of whole columns, ascending by time. Columns that say of every event what an empty one
    /// says need not be empty: they become so.
    pub(crate) fn from_columns(columns: HistoryColumns) -> Self {
        let HistoryColumns {
            user,
            event_ts,
            mut known_ts,
            mut kind,
            name,
            mut session,
            mut property_end,
            properties,
        } = columns;
        debug_assert!(event_ts.is_sorted(), "events must come in order");
        if known_ts == event_ts {
            known_ts = Vec::new();
        }
        if kind.iter().all(|&kind| kind == EventKind::Track) {
            kind = Vec::new();
        }
        if session.iter().all(|&session| session == Symbol::EMPTY) {
            session = Vec::new();
        }
        if properties.is_empty() {
            property_end = Vec::new();
        }
        Self { user, event_ts, known_ts, kind, name, session, property_end, properties }
    }

    /// Appends the next event of the total order.
    ///
    /// # Panics
    /// If its time is before the last one's.
    pub fn push(&mut self, event: HistoryEvent<'_>) {
        let last = self.event_ts.last().copied().unwrap_or(i64::MIN);
        assert!(
            last <= event.event_ts,
            "events must come in order: {last} then {}",
            event.event_ts
        );
        let n_before = self.event_ts.len();
        if event.known_ts != event.event_ts || !self.known_ts.is_empty() {
            self.known_ts.extend_from_slice(&self.event_ts[self.known_ts.len()..]);
            self.known_ts.push(event.known_ts);
        }
        if event.kind != EventKind::Track || !self.kind.is_empty() {
            self.kind.resize(n_before, EventKind::Track);
            self.kind.push(event.kind);
        }
        if event.session != Symbol::EMPTY || !self.session.is_empty() {
            self.session.resize(n_before, Symbol::EMPTY);
            self.session.push(event.session);
        }
        if !event.properties.is_empty() || !self.property_end.is_empty() {
            self.property_end.resize(n_before, self.properties.len() as u32);
            self.properties.extend_from_slice(event.properties);
            self.property_end.push(self.properties.len() as u32);
        }
        self.event_ts.push(event.event_ts);
        self.name.push(event.name);
    }

    /// The user.
    #[must_use]
    pub fn user(&self) -> Symbol {
        self.user
    }

    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.event_ts.len()
    }

    /// Whether there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.event_ts.is_empty()
    }

    /// When each event happened, ascending.
    #[must_use]
    pub fn event_ts(&self) -> &[Micros] {
        &self.event_ts
    }

    /// When each event became known.
    #[must_use]
    pub fn known_ts(&self) -> &[Micros] {
        if self.known_ts.is_empty() { &self.event_ts } else { &self.known_ts }
    }

    /// When the last event to become known did, whichever that is.
    pub(crate) fn last_known_ts(&self) -> Option<Micros> {
        if self.known_ts.is_empty() {
            self.event_ts.last().copied()
        } else {
            self.known_ts.iter().max().copied()
        }
    }

    /// Kind of event `index`.
    ///
    /// # Panics
    /// May, if `index` is out of range.
    #[must_use]
    pub fn kind(&self, index: usize) -> EventKind {
        if self.kind.is_empty() { EventKind::Track } else { self.kind[index] }
    }

    /// Whether every event is a [`EventKind::Track`] that became known when it happened. May be false of
    /// such a history too.
    #[must_use]
    pub fn has_only_tracks_known_at_once(&self) -> bool {
        self.kind.is_empty() && self.known_ts.is_empty()
    }

    /// Name of each event.
    #[must_use]
    pub fn name(&self) -> &[Symbol] {
        &self.name
    }

    /// Supplied session of event `index`, [`Symbol::EMPTY`] for none.
    ///
    /// # Panics
    /// May, if `index` is out of range.
    #[must_use]
    pub fn session(&self, index: usize) -> Symbol {
        if self.session.is_empty() { Symbol::EMPTY } else { self.session[index] }
    }

    /// Properties of event `index`.
    ///
    /// # Panics
    /// May, if `index` is out of range.
    #[must_use]
    pub fn properties(&self, index: usize) -> &[(Symbol, Scalar)] {
        if self.property_end.is_empty() {
            return &[];
        }
        let start = if index == 0 { 0 } else { self.property_end[index - 1] as usize };
        &self.properties[start..self.property_end[index] as usize]
    }

    /// The properties of all events, one event after another.
    #[must_use]
    pub fn all_properties(&self) -> &[(Symbol, Scalar)] {
        &self.properties
    }

    /// One property of event `index`.
    ///
    /// # Panics
    /// May, if `index` is out of range.
    #[must_use]
    pub fn property(&self, index: usize, key: Symbol) -> Option<Scalar> {
        self.properties(index).iter().find(|(name, _)| *name == key).map(|&(_, value)| value)
    }
}
