//! Events in a compact form while a log is being built.

use std::cmp::Ordering;

use super::NOBODY;
use super::identity::Id;
use crate::{Event, EventId, EventKind, Micros, Scalar, Symbol, Symbols, Value};

/// One event. Ids are symbols of [`Store::ids`], other texts of [`Store::symbols`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) event_ts: Micros,
    pub(super) known_ts: Micros,
    seq: i64,
    id_end: usize,
    property_end: usize,
    pub(super) user: Symbol,
    pub(super) anonymous: Symbol,
    pub(super) previous: Symbol,
    pub(super) name: Symbol,
    pub(super) session: Symbol,
    pub(super) kind: EventKind,
    pub(super) is_given: bool,
}

/// A property in 12 bytes: texts and flags hide in the bit patterns of numbers that are never
/// stored, those that are not finite.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed {
    key: Symbol,
    high: u32,
    low: u32,
}

const TEXT: u32 = 0x7ff8_0001;
const FLAG: u32 = 0x7ff8_0002;

impl Packed {
    fn new(key: Symbol, value: Scalar) -> Self {
        match value {
            Scalar::Number(number) => {
                let bits = number.to_bits();
                Self { key, high: (bits >> 32) as u32, low: bits as u32 }
            }
            Scalar::Text(text) => Self { key, high: TEXT, low: text.index() as u32 },
            Scalar::Flag(flag) => Self { key, high: FLAG, low: u32::from(flag) },
        }
    }

    pub(super) fn unpack(self) -> (Symbol, Scalar) {
        let value = match self.high {
            TEXT => Scalar::Text(Symbol::at(self.low)),
            FLAG => Scalar::Flag(self.low != 0),
            high => Scalar::Number(f64::from_bits(u64::from(high) << 32 | u64::from(self.low))),
        };
        (self.key, value)
    }
}

/// All events of a log.
#[derive(Debug)]
pub(super) struct Store {
    /// Texts that the log keeps.
    pub(super) symbols: Symbols,
    /// Users and anonymous ids; only those of profiles reach the log.
    pub(super) ids: Symbols,
    rows: Vec<Row>,
    event_ids: Vec<u8>,
    properties: Vec<Packed>,
}

impl Store {
    pub(super) fn new(symbols: Symbols) -> Self {
        Self {
            symbols,
            ids: Symbols::new(),
            rows: Vec::new(),
            event_ids: Vec::new(),
            properties: Vec::new(),
        }
    }

    /// Takes in an event with its usable `[user, anonymous, previous]` ids.
    pub(super) fn push(&mut self, event: &Event, ids: [Option<&str>; 3]) {
        let [user, anonymous, previous] = ids.map(|id| id.map_or(NOBODY, |id| self.ids.intern(id)));
        self.event_ids.extend_from_slice(event.event_id.as_str().as_bytes());
        self.push_properties(&event.properties);
        self.rows.push(Row {
            event_ts: event.event_ts,
            known_ts: event.known_ts,
            seq: event.seq,
            id_end: self.event_ids.len(),
            property_end: self.properties.len(),
            user,
            anonymous,
            previous,
            name: self.symbols.intern(&event.name),
            session: self.symbols.intern(event.session_id.as_deref().unwrap_or_default()),
            kind: event.kind,
            is_given: matches!(&event.event_id, EventId::Given(id) if !id.is_empty()),
        });
    }

    /// Sorted by key, keys unique, finite: as the mappings leave them, and so also for events that
    /// come from elsewhere.
    fn push_properties(&mut self, properties: &[(String, Value)]) {
        let is_value = |value: &Value| !matches!(value, Value::Number(n) if !n.is_finite());
        let mut sorted: Vec<&(String, Value)> =
            properties.iter().filter(|(_, value)| is_value(value)).collect();
        sorted.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.total_cmp(y)));
        sorted.dedup_by(|(a, _), (b, _)| a == b);
        for (key, value) in sorted {
            let key = self.symbols.intern(key);
            let value = match value {
                Value::Number(number) => Scalar::Number(*number),
                Value::Text(text) => Scalar::Text(self.symbols.intern(text)),
                Value::Flag(flag) => Scalar::Flag(*flag),
            };
            self.properties.push(Packed::new(key, value));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn row(&self, row: usize) -> &Row {
        &self.rows[row]
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Bytes of the event id.
    pub(super) fn id(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.rows[row - 1].id_end };
        &self.event_ids[start..self.rows[row].id_end]
    }

    pub(super) fn packed(&self, row: usize) -> &[Packed] {
        let start = if row == 0 { 0 } else { self.rows[row - 1].property_end };
        &self.properties[start..self.rows[row].property_end]
    }

    /// The id that the event itself names: its user, else its anonymous id.
    pub(super) fn own_id(&self, row: usize) -> Id {
        let row = &self.rows[row];
        let is_user = row.user != NOBODY || row.anonymous == NOBODY;
        Id { is_user, symbol: if is_user { row.user } else { row.anonymous } }
    }

    /// The event is not visible before `ts`.
    pub(super) fn known_not_before(&mut self, row: usize, ts: Micros) {
        self.rows[row].known_ts = self.rows[row].known_ts.max(ts);
    }

    /// The total order `(event_ts, seq, event_id bytes)`, carried on over the content, so that
    /// events which compare equal are equal.
    pub(super) fn compare(&self, a: usize, b: usize) -> Ordering {
        let (x, y) = (&self.rows[a], &self.rows[b]);
        (x.event_ts, x.seq)
            .cmp(&(y.event_ts, y.seq))
            .then_with(|| self.id(a).cmp(self.id(b)))
            .then_with(|| (x.is_given, x.known_ts, x.kind).cmp(&(y.is_given, y.known_ts, y.kind)))
            .then_with(|| text_order(&self.symbols, x.name, y.name))
            .then_with(|| text_order(&self.symbols, x.session, y.session))
            .then_with(|| text_order(&self.ids, x.user, y.user))
            .then_with(|| text_order(&self.ids, x.anonymous, y.anonymous))
            .then_with(|| text_order(&self.ids, x.previous, y.previous))
            .then_with(|| self.compare_properties(a, b))
    }

    fn compare_properties(&self, a: usize, b: usize) -> Ordering {
        let (x, y) = (self.packed(a), self.packed(b));
        let pairs = x.iter().zip(y).map(|(&x, &y)| {
            let ((key_x, x), (key_y, y)) = (x.unpack(), y.unpack());
            text_order(&self.symbols, key_x, key_y).then_with(|| match (x, y) {
                (Scalar::Number(x), Scalar::Number(y)) => x.total_cmp(&y),
                (Scalar::Text(x), Scalar::Text(y)) => text_order(&self.symbols, x, y),
                (Scalar::Flag(x), Scalar::Flag(y)) => x.cmp(&y),
                (x, y) => rank(x).cmp(&rank(y)),
            })
        });
        pairs.fold(Ordering::Equal, Ordering::then).then(x.len().cmp(&y.len()))
    }
}

fn rank(value: Scalar) -> u8 {
    match value {
        Scalar::Number(_) => 0,
        Scalar::Text(_) => 1,
        Scalar::Flag(_) => 2,
    }
}

/// By text, because numbering depends on the order of arrival.
pub(super) fn text_order(symbols: &Symbols, a: Symbol, b: Symbol) -> Ordering {
    if a == b { Ordering::Equal } else { symbols.text(a).cmp(symbols.text(b)) }
}
