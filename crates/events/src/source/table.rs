//! A whole table of plain columns into a log, without an event of its own for each row.
//!
//! What a row means is said by [`super::plain`], row by row; here the columns are found once, every
//! text becomes a symbol at once, and nothing is allocated for a row. A row that something is wrong
//! with (a missing field, a time that does not read, a placeholder id) is left to the other mapping,
//! which refuses it in words or puts it right.

use super::fields::{sequence_of, text_of};
use super::{Mapper, SourceFormat};
use crate::assemble::{NOBODY, Row, Store};
use crate::record::Cell;
use crate::{EventKind, LogBuilder, Micros, Scalar, Symbol, is_blocked_id};

/// Named columns of equal length.
pub trait Table {
    /// Number of rows.
    fn n_rows(&self) -> usize;

    /// Names of the columns, each once.
    fn names(&self) -> &[String];

    /// The value of a column, counted as in [`Table::names`], in a row.
    fn cell(&self, column: usize, row: usize) -> Cell<'_>;
}

/// What a table's columns are to a plain mapping.
struct Columns {
    user: Option<usize>,
    anonymous: Option<usize>,
    name: Name,
    time: usize,
    known_time: Option<usize>,
    event_id: Option<usize>,
    seq: Option<usize>,
    session: Option<usize>,
    /// In the order of their keys.
    properties: Vec<(usize, Symbol)>,
    /// By id: whether it is known to name somebody.
    is_usable: Vec<bool>,
}

enum Name {
    Column(usize),
    Fixed(Symbol),
}

impl Mapper {
    /// Maps the rows of a table into `builder` and gives the rows, ascending, that [`Mapper::map`] has
    /// to look at singly: for a plain mapping the few that are not in order, for others all.
    pub fn map_table(&self, table: &impl Table, builder: &mut LogBuilder) -> Vec<usize> {
        let Some(mut columns) = Columns::of(self, table, builder.store_mut()) else {
            return (0..table.n_rows()).collect();
        };
        let mut left = Vec::new();
        let (mut n_known_when_happened, mut n_without_id) = (0, 0);
        for row in 0..table.n_rows() {
            match columns.push(self, table, row, builder) {
                Some(lacks) => {
                    n_known_when_happened += u64::from(lacks.known_time);
                    n_without_id += u64::from(lacks.event_id);
                }
                None => left.push(row),
            }
        }
        self.tally.add(n_known_when_happened, n_without_id);
        left
    }
}

/// What an event was mapped without.
struct Lacks {
    known_time: bool,
    event_id: bool,
}

impl Columns {
    /// `None` if the mapping is not plain or a column is not there.
    fn of(mapper: &Mapper, table: &impl Table, store: &mut Store) -> Option<Self> {
        if mapper.format != SourceFormat::Plain {
            return None;
        }
        let plain = &mapper.plain;
        let index_of = |name: &str| table.names().iter().position(|column| column == name);
        // A column that is named must be there.
        let index = |name: &Option<String>| match name {
            Some(name) => index_of(name).map(Some),
            None => Some(None),
        };
        let mut keys: Vec<(&str, usize)> = match &plain.properties {
            Some(names) => names
                .iter()
                .map(|name| Some((name.as_str(), index_of(name)?)))
                .collect::<Option<_>>()?,
            None => (0..)
                .zip(table.names())
                .map(|(column, name)| (name.as_str(), column))
                .filter(|(name, _)| plain.used().all(|used| used != *name))
                .collect(),
        };
        keys.retain(|(key, _)| !mapper.is_excluded(key));
        keys.sort_unstable();
        keys.dedup();
        let symbols = &mut store.symbols;
        Some(Self {
            user: index(&plain.user)?,
            anonymous: index(&plain.anonymous)?,
            name: match &plain.event_name {
                Some(name) => Name::Fixed(symbols.intern(name)),
                None => Name::Column(index(&plain.event)??),
            },
            time: index(&plain.time)??,
            known_time: index(&plain.known_time)?,
            event_id: index(&plain.event_id)?,
            seq: index(&plain.seq)?,
            session: index(&plain.session)?,
            properties: keys.into_iter().map(|(key, at)| (at, symbols.intern(key))).collect(),
            is_usable: Vec::new(),
        })
    }

    /// Maps one row; `None` if it must be looked at singly.
    fn push(
        &mut self,
        mapper: &Mapper,
        table: &impl Table,
        row: usize,
        builder: &mut LogBuilder,
    ) -> Option<Lacks> {
        let cell = |column: Option<usize>| column.map_or(Cell::Null, |at| table.cell(at, row));
        let time = |column| -> Option<Option<Micros>> { mapper.time.read(&cell(column)).ok() };
        let event_ts = time(Some(self.time))??;
        let known_ts = time(self.known_time)?;
        let seq = sequence_of(Some(cell(self.seq))).ok()?;
        let store = builder.store_mut();
        let user = self.id(&cell(self.user), store)?;
        let anonymous = self.id(&cell(self.anonymous), store)?;
        if user == NOBODY && anonymous == NOBODY {
            return None;
        }
        let name = match self.name {
            Name::Column(at) => store.symbols.intern(&text_of(&table.cell(at, row))?),
            Name::Fixed(name) => name,
        };
        let session = match self.session {
            Some(at) => store.symbols.intern(&text_of(&table.cell(at, row)).unwrap_or_default()),
            None => Symbol::EMPTY,
        };
        for &(column, key) in &self.properties {
            let value = match table.cell(column, row) {
                Cell::Null => continue,
                Cell::Number(number) if !number.is_finite() => continue,
                Cell::Number(number) => Scalar::Number(number),
                Cell::Integer(value) | Cell::Time(value) | Cell::WallTime(value) => {
                    Scalar::Number(value as f64)
                }
                Cell::Flag(flag) => Scalar::Flag(flag),
                Cell::Text(text) => Scalar::Text(store.symbols.intern(&text)),
            };
            store.push_property(key, value);
        }
        let id_cell = cell(self.event_id);
        let event_id = text_of(&id_cell).unwrap_or_default();
        builder.push_row(Row {
            event_ts,
            known_ts: known_ts.unwrap_or(event_ts),
            seq,
            user,
            anonymous,
            previous: NOBODY,
            kind: EventKind::Track,
            name,
            session,
            event_id: event_id.as_bytes(),
        });
        Some(Lacks { known_time: known_ts.is_none(), event_id: event_id.is_empty() })
    }

    /// The symbol of an id, [`NOBODY`] if there is none; `None` for a placeholder.
    fn id(&mut self, cell: &Cell<'_>, store: &mut Store) -> Option<Symbol> {
        let Some(text) = text_of(cell) else { return Some(NOBODY) };
        let symbol = store.ids.intern(&text);
        if symbol.index() >= self.is_usable.len() {
            self.is_usable.resize(store.ids.len(), false);
        }
        if !self.is_usable[symbol.index()] {
            if is_blocked_id(&text) {
                return None;
            }
            self.is_usable[symbol.index()] = true;
        }
        Some(symbol)
    }
}

#[cfg(test)]
mod tests;
