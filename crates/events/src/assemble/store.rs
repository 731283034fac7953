//! Events in a compact form while a log is being built: one column a field, texts as symbols.

mod block;

use std::cmp::Ordering;

use super::NOBODY;
use super::identity::Id;
use super::uniform::{Rows, Uniform};
use crate::history::HistoryColumns;
use crate::{
    Event, EventId, EventKind, History, Micros, Scalar, Symbol, Symbols, Value, is_blocked_id,
};

pub use block::BlockError;
pub(super) use block::{BlockReader, BlockWriter, Dictionary, write_number, write_signed};

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

    fn unpack(self) -> (Symbol, Scalar) {
        let value = match self.high {
            TEXT => Scalar::Text(Symbol::at(self.low)),
            FLAG => Scalar::Flag(self.low != 0),
            high => Scalar::Number(f64::from_bits(u64::from(high) << 32 | u64::from(self.low))),
        };
        (self.key, value)
    }

    /// The same property by the numbers of another table.
    fn renumbered(self, symbols: &[Symbol]) -> Self {
        let (key, value) = self.unpack();
        let value = match value {
            Scalar::Text(text) => Scalar::Text(symbols[text.index()]),
            other => other,
        };
        Self::new(symbols[key.index()], value)
    }
}

/// One event by symbols: ids of [`Store::ids`], other texts of [`Store::symbols`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) event_ts: Micros,
    pub(super) known_ts: Micros,
    pub(super) seq: i64,
    pub(super) user: Symbol,
    pub(super) anonymous: Symbol,
    pub(super) previous: Symbol,
    pub(super) kind: EventKind,
    pub(super) name: Symbol,
    pub(super) session: Symbol,
    /// The source's own id; empty if it has none.
    pub(super) event_id: &'a [u8],
}

/// Neighbouring events, a column each, as [`Row`] has them one by one. They name no previous id, and all
/// are of one kind.
#[derive(Debug)]
pub(crate) struct Stretch<'a> {
    pub(crate) event_ts: &'a [Micros],
    pub(crate) known_after_us: Rows<'a, i64>,
    pub(crate) seq: Rows<'a, i64>,
    pub(crate) user: Rows<'a, Symbol>,
    pub(crate) anonymous: Rows<'a, Symbol>,
    pub(crate) kind: EventKind,
    pub(crate) name: Rows<'a, Symbol>,
    pub(crate) session: Rows<'a, Symbol>,
    /// Their event ids one after another, and where each ends; no ends if none has one.
    pub(crate) event_ids: (&'a [u8], &'a [usize]),
    /// Their properties one after another, keys in the order of their texts, and where each event's end;
    /// no ends if none has one.
    pub(crate) properties: (&'a [(Symbol, Scalar)], &'a [usize]),
}

/// All events of a log.
#[derive(Debug)]
pub(crate) struct Store {
    /// Texts that the log keeps.
    pub(crate) symbols: Symbols,
    /// Users and anonymous ids; only those of profiles reach the log.
    pub(crate) ids: Symbols,
    /// By id: whether [`Self::is_usable`] has found that it names somebody.
    usable: Vec<bool>,
    event_ts: Vec<Micros>,
    /// From happening to being known; most often 0. Differences that do not fit wrap, and wrap back.
    known_after_us: Uniform<i64>,
    seq: Uniform<i64>,
    user: Uniform<Symbol>,
    anonymous: Uniform<Symbol>,
    previous: Uniform<Symbol>,
    kind: Uniform<EventKind>,
    name: Uniform<Symbol>,
    session: Uniform<Symbol>,
    id_end: Uniform<usize>,
    event_ids: Vec<u8>,
    property_end: Uniform<usize>,
    properties: Vec<Packed>,
}

impl Store {
    pub(super) fn new(symbols: Symbols) -> Self {
        Self {
            symbols,
            ids: Symbols::new(),
            usable: Vec::new(),
            event_ts: Vec::new(),
            known_after_us: Uniform::new(0),
            seq: Uniform::new(0),
            user: Uniform::new(NOBODY),
            anonymous: Uniform::new(NOBODY),
            previous: Uniform::new(NOBODY),
            kind: Uniform::new(EventKind::Track),
            name: Uniform::new(Symbol::EMPTY),
            session: Uniform::new(Symbol::EMPTY),
            id_end: Uniform::new(0),
            event_ids: Vec::new(),
            property_end: Uniform::new(0),
            properties: Vec::new(),
        }
    }

    /// Takes in an event with its usable `[user, anonymous, previous]` ids.
    pub(super) fn push(&mut self, event: &Event, ids: [Option<&str>; 3]) {
        let [user, anonymous, previous] = ids.map(|id| id.map_or(NOBODY, |id| self.ids.intern(id)));
        let row = Row {
            event_ts: event.event_ts,
            known_ts: event.known_ts,
            seq: event.seq,
            user,
            anonymous,
            previous,
            kind: event.kind,
            name: self.symbols.intern(&event.name),
            session: self.symbols.intern(event.session_id.as_deref().unwrap_or_default()),
            event_id: match &event.event_id {
                EventId::Given(id) => id.as_bytes(),
                EventId::Absent => &[],
            },
        };
        self.push_properties(&event.properties);
        self.push_row(row);
    }

    /// Whether an id, of which this is the text, names somebody.
    #[inline]
    pub(crate) fn is_usable(&mut self, id: Symbol, text: &str) -> bool {
        if self.usable.get(id.index()) == Some(&true) {
            return true;
        }
        let is_usable = !is_blocked_id(text);
        if is_usable {
            self.usable.resize(self.usable.len().max(self.ids.len()), false);
            self.usable[id.index()] = true;
        }
        is_usable
    }

    /// Takes in an event whose properties were pushed just before.
    pub(super) fn push_row(&mut self, row: Row<'_>) {
        self.event_ids.extend_from_slice(row.event_id);
        self.event_ts.push(row.event_ts);
        self.known_after_us.push(row.known_ts.wrapping_sub(row.event_ts));
        self.seq.push(row.seq);
        self.user.push(row.user);
        self.anonymous.push(row.anonymous);
        self.previous.push(row.previous);
        self.kind.push(row.kind);
        self.name.push(row.name);
        self.session.push(row.session);
        self.id_end.push(self.event_ids.len());
        self.property_end.push(self.properties.len());
    }

    /// Takes in several events at once.
    pub(crate) fn push_stretch(&mut self, stretch: &Stretch<'_>) {
        let n_rows = stretch.event_ts.len();
        let (event_ids, id_ends) = stretch.event_ids;
        let (properties, property_ends) = stretch.properties;
        append_ends(&mut self.id_end, id_ends, self.event_ids.len(), n_rows);
        append_ends(&mut self.property_end, property_ends, self.properties.len(), n_rows);
        self.event_ids.extend_from_slice(event_ids);
        self.properties.extend(properties.iter().map(|&(key, value)| Packed::new(key, value)));
        self.event_ts.extend_from_slice(stretch.event_ts);
        self.known_after_us.extend(stretch.known_after_us, n_rows);
        self.seq.extend(stretch.seq, n_rows);
        self.user.extend(stretch.user, n_rows);
        self.anonymous.extend(stretch.anonymous, n_rows);
        self.previous.extend(Rows::All(NOBODY), n_rows);
        self.kind.extend(Rows::All(stretch.kind), n_rows);
        self.name.extend(stretch.name, n_rows);
        self.session.extend(stretch.session, n_rows);
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
            self.push_property(key, value);
        }
    }

    /// A property of the event that is pushed next; keys in the order of their texts.
    pub(super) fn push_property(&mut self, key: Symbol, value: Scalar) {
        self.properties.push(Packed::new(key, value));
    }

    /// Takes over every event of another store.
    pub(super) fn absorb(&mut self, other: Self) {
        let renumber = |from: &Symbols, to: &mut Symbols| -> Vec<Symbol> {
            from.iter().map(|(_, text)| to.intern(text)).collect()
        };
        let symbols = renumber(&other.symbols, &mut self.symbols);
        let ids = renumber(&other.ids, &mut self.ids);
        let id = |symbol: Symbol| ids[symbol.index()];
        let text = |symbol: Symbol| symbols[symbol.index()];
        let (n_id_bytes, n_properties) = (self.event_ids.len(), self.properties.len());
        std::thread::scope(|scope| {
            // What is copied as it is, beside what is renumbered.
            scope.spawn(|| {
                self.event_ts.reserve_exact(other.event_ts.len());
                self.event_ts.extend(other.event_ts);
                self.known_after_us.append(other.known_after_us, |us| us);
                self.seq.append(other.seq, |seq| seq);
                self.kind.append(other.kind, |kind| kind);
                self.id_end.append(other.id_end, |end| end + n_id_bytes);
                self.event_ids.extend(other.event_ids);
                self.property_end.append(other.property_end, |end| end + n_properties);
            });
            self.user.append(other.user, id);
            self.anonymous.append(other.anonymous, id);
            self.previous.append(other.previous, id);
            self.name.append(other.name, text);
            self.session.append(other.session, text);
            let properties = other.properties.into_iter();
            self.properties.extend(properties.map(|packed| packed.renumbered(&symbols)));
        });
    }

    pub(super) fn len(&self) -> usize {
        self.event_ts.len()
    }

    /// Bytes in use, but for the room that vectors keep to grow into.
    pub(super) fn memory(&self) -> usize {
        let ids = [&self.user, &self.anonymous, &self.previous, &self.name, &self.session];
        let ends = [&self.id_end, &self.property_end];
        self.symbols.memory()
            + self.ids.memory()
            + size_of_val(&*self.event_ts)
            + self.known_after_us.memory()
            + self.seq.memory()
            + self.kind.memory()
            + ids.iter().map(|column| column.memory()).sum::<usize>()
            + ends.iter().map(|column| column.memory()).sum::<usize>()
            + self.event_ids.len()
            + size_of_val(&*self.properties)
    }

    /// Bytes of a row's properties and event id.
    pub(super) fn row_memory(&self, row: usize) -> usize {
        size_of_val(self.packed(row)) + self.event_id(row).len()
    }

    /// Gives every row to the profile of `owners`, user or anonymous, that these columns name.
    pub(super) fn assign(
        &mut self,
        owners: Symbols,
        user: Uniform<Symbol>,
        anonymous: Uniform<Symbol>,
    ) {
        self.ids = owners;
        self.usable.clear();
        self.user = user;
        self.anonymous = anonymous;
        self.previous = Uniform::all(NOBODY, self.len());
    }

    pub(super) fn event_ts(&self, row: usize) -> Micros {
        self.event_ts[row]
    }

    pub(super) fn known_ts(&self, row: usize) -> Micros {
        self.event_ts[row].wrapping_add(self.known_after_us.get(row))
    }

    /// Whether every event became known when it happened.
    pub(super) fn is_known_at_once(&self) -> bool {
        self.known_after_us.only() == Some(0)
    }

    /// The user that the event names, or [`NOBODY`].
    pub(super) fn user(&self, row: usize) -> Symbol {
        self.user.get(row)
    }

    /// The anonymous and the previous id that the event names, each possibly [`NOBODY`].
    pub(super) fn other_ids(&self, row: usize) -> [Symbol; 2] {
        [self.anonymous.get(row), self.previous.get(row)]
    }

    /// Whether no event can link two ids, because none names a second one.
    pub(super) fn has_no_links(&self) -> bool {
        [&self.anonymous, &self.previous].iter().all(|ids| ids.only() == Some(NOBODY))
            || self.user.only() == Some(NOBODY)
    }

    /// Frees the ids that rows name, once each row has its profile. They order only what is the same but for
    /// them, and a history holds none of them.
    pub(super) fn forget_ids(&mut self) {
        for ids in [&mut self.user, &mut self.anonymous, &mut self.previous] {
            *ids = Uniform::all(NOBODY, self.event_ts.len());
        }
    }

    /// Whether no event has an id of its own.
    pub(super) fn has_no_event_ids(&self) -> bool {
        self.event_ids.is_empty()
    }

    /// Bytes of the event id, empty if the source has none.
    pub(super) fn event_id(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.id_end.get(row - 1) };
        &self.event_ids[start..self.id_end.get(row)]
    }

    fn packed(&self, row: usize) -> &[Packed] {
        let start = if row == 0 { 0 } else { self.property_end.get(row - 1) };
        &self.properties[start..self.property_end.get(row)]
    }

    /// The id that the event itself names: its user, else its anonymous id.
    pub(super) fn own_id(&self, row: usize) -> Id {
        let (user, anonymous) = (self.user.get(row), self.anonymous.get(row));
        let is_user = user != NOBODY || anonymous == NOBODY;
        Id { is_user, symbol: if is_user { user } else { anonymous } }
    }

    /// The event is not visible before `ts`.
    pub(super) fn known_not_before(&mut self, row: usize, ts: Micros) {
        if ts > self.known_ts(row) {
            self.known_after_us.set(row, ts.wrapping_sub(self.event_ts[row]));
        }
    }

    /// The total order `(event_ts, seq, event_id bytes)`, carried on over the content, so that
    /// events which compare equal are equal. Who an event names and when it became known come last:
    /// a request may leave out the one, and identity may change the other.
    pub(super) fn compare(&self, a: usize, b: usize) -> Ordering {
        self.event_ts[a].cmp(&self.event_ts[b]).then_with(|| self.compare_ties(a, b))
    }

    /// The order of two events of one time.
    fn compare_ties(&self, a: usize, b: usize) -> Ordering {
        let by_text = |column: &Uniform<Symbol>, symbols: &Symbols| {
            text_order(symbols, column.get(a), column.get(b))
        };
        self.seq
            .get(a)
            .cmp(&self.seq.get(b))
            .then_with(|| self.event_id(a).cmp(self.event_id(b)))
            .then_with(|| self.kind.get(a).cmp(&self.kind.get(b)))
            .then_with(|| by_text(&self.name, &self.symbols))
            .then_with(|| by_text(&self.session, &self.symbols))
            .then_with(|| self.compare_properties(a, b))
            .then_with(|| self.known_ts(a).cmp(&self.known_ts(b)))
            .then_with(|| by_text(&self.user, &self.ids))
            .then_with(|| by_text(&self.anonymous, &self.ids))
            .then_with(|| by_text(&self.previous, &self.ids))
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

    /// The history of a user whose events are these rows, in any order; `times` is working memory.
    pub(super) fn history(
        &self,
        user: Symbol,
        rows: &[u32],
        times: &mut Vec<(Micros, u32)>,
    ) -> History {
        times.clear();
        times.extend(rows.iter().map(|&row| (self.event_ts[row as usize], row)));
        // Rows most often come in the order of time already.
        if !times.is_sorted_by(|(a, _), (b, _)| a < b) {
            times.sort_by(|&(ts_a, a), &(ts_b, b)| {
                ts_a.cmp(&ts_b).then_with(|| self.compare_ties(a as usize, b as usize))
            });
        }
        // A column at a time: a row is somewhere else in each of them, and the processor waits for many
        // rows of one column at once, but hardly for the columns of the next row.
        let rows = || times.iter().map(|&(_, row)| row as usize);
        let known_ts = match self.known_after_us.only() {
            Some(0) => Vec::new(),
            _ => rows().map(|row| self.known_ts(row)).collect(),
        };
        let kind = match self.kind.only() {
            Some(EventKind::Track) => Vec::new(),
            _ => rows().map(|row| self.kind.get(row)).collect(),
        };
        let session = match self.session.only() {
            Some(Symbol::EMPTY) => Vec::new(),
            _ => rows().map(|row| self.session.get(row)).collect(),
        };
        let (mut properties, mut property_end) = (Vec::new(), Vec::new());
        if !self.properties.is_empty() {
            properties.reserve_exact(rows().map(|row| self.packed(row).len()).sum());
            property_end.reserve_exact(times.len());
            for row in rows() {
                properties.extend(self.packed(row).iter().map(|packed| packed.unpack()));
                property_end.push(properties.len() as u32);
            }
        }
        History::from_columns(HistoryColumns {
            user,
            event_ts: times.iter().map(|&(event_ts, _)| event_ts).collect(),
            known_ts,
            kind,
            name: rows().map(|row| self.name.get(row)).collect(),
            session,
            property_end,
            properties,
        })
    }
}

/// Appends where the parts of rows end, counted from `start`; without `ends` all end there.
fn append_ends(column: &mut Uniform<usize>, ends: &[usize], start: usize, n_rows: usize) {
    if ends.is_empty() {
        column.extend(Rows::All(start), n_rows);
    } else {
        ends.iter().for_each(|end| column.push(start + end));
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
