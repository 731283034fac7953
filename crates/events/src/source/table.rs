//! A whole table of plain columns into a log, without an event of its own for each row.
//!
//! What a row means is said by [`super::plain`], row by row; here the columns are found once, every
//! text becomes a symbol at once, and nothing is allocated for a row. Some rows are read together, a
//! column at a time: finding the symbol of a text waits for memory, and only searches that follow one
//! another can wait together. A row that something is wrong with (a missing field, a time that does
//! not read, a placeholder id) is left to the other mapping, which refuses it in words or puts it
//! right.

mod block;
mod texts;

use std::ops::Range;

use block::Block;
use texts::Texts;

use super::fields::{sequence_of, text_of};
use super::{Mapper, SourceFormat};
use crate::assemble::{NOBODY, Rows, Store, Stretch};
use crate::record::Cell;
use crate::{EventKind, LogBuilder, Scalar, Symbol, Symbols};

/// Rows that are read together: few enough that all their columns stay in the cache, and in tests that
/// tables have several such blocks.
const BLOCK_ROWS: usize = if cfg!(test) { 7 } else { 1_024 };

/// Named columns of equal length.
pub trait Table {
    /// Number of rows.
    fn n_rows(&self) -> usize;

    /// Names of the columns, each once.
    fn names(&self) -> &[String];

    /// The value of a column, counted as in [`Table::names`], in a row.
    fn cell(&self, column: usize, row: usize) -> Cell<'_>;

    /// Hands the values of a column in neighbouring rows to `take`, in order. Tables that know the kind
    /// of a column look it up once here, not for each value.
    fn for_each_cell<'t>(
        &'t self,
        column: usize,
        rows: Range<usize>,
        mut take: impl FnMut(Cell<'t>),
    ) {
        rows.for_each(|row| take(self.cell(column, row)));
    }
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
}

enum Name {
    Column(usize),
    Fixed(Symbol),
}

impl Mapper {
    /// Maps the rows of a table into `builder` and gives the rows, ascending, that [`Mapper::map`] has
    /// to look at singly: for a plain mapping the few that are not in order, for others all.
    pub fn map_table(&self, table: &impl Table, builder: &mut LogBuilder) -> Vec<usize> {
        let Some(columns) = Columns::of(self, table, builder.store_mut()) else {
            return (0..table.n_rows()).collect();
        };
        let (mut block, mut texts, mut left) = (Block::default(), Texts::default(), Vec::new());
        for start in (0..table.n_rows()).step_by(BLOCK_ROWS) {
            block.begin(start..(start + BLOCK_ROWS).min(table.n_rows()));
            columns.read(self, table, builder.store_mut(), &mut texts, &mut block);
            block.set_aside(&mut left);
            columns.read_details(table, &mut builder.store_mut().symbols, &mut block);
            let (n_known_when_happened, n_without_id) = block.n_lacking();
            self.tally.add(n_known_when_happened, n_without_id);
            builder.push_stretch(&columns.stretch(&block));
        }
        left
    }
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
        })
    }

    /// Reads rows but for their properties and ids. A row that must be looked at singly is left at the
    /// first column that says so.
    fn read<'t>(
        &self,
        mapper: &Mapper,
        table: &'t impl Table,
        store: &mut Store,
        texts: &mut Texts<'t>,
        block: &mut Block,
    ) {
        let time = |cell: Cell<'_>| mapper.time.read(&cell).ok();
        block.read((table, self.time), |block| &mut block.event_ts, |cell| time(cell).flatten());
        if let Some(column) = self.known_time {
            block.read((table, column), |block| &mut block.known_ts, time);
        }
        if let Some(column) = self.seq {
            let sequence = |cell| sequence_of(Some(cell)).ok();
            block.read((table, column), |block| &mut block.seq, sequence);
        }
        if let Some(column) = self.user {
            texts.read(table, column, block, &mut store.ids);
            block.take(|block| &mut block.user, texts.ids(store));
        }
        if let Some(column) = self.anonymous {
            texts.read(table, column, block, &mut store.ids);
            block.take(|block| &mut block.anonymous, texts.ids(store));
        }
        block.leave_nameless();
        let symbols = &mut store.symbols;
        if let Name::Column(column) = self.name {
            texts.read(table, column, block, symbols);
            let names =
                texts.symbols().map(|name| Some(name).filter(|&name| name != Symbol::EMPTY));
            block.take(|block| &mut block.name, names);
        }
        if let Some(column) = self.session {
            texts.read(table, column, block, symbols);
            block.take(|block| &mut block.session, texts.symbols().map(Some));
        }
    }

    /// Reads properties and event ids of the rows that are not left.
    fn read_details(&self, table: &impl Table, symbols: &mut Symbols, block: &mut Block) {
        for &(column, key) in &self.properties {
            block.read_properties(key, |row| scalar(table.cell(column, row), symbols));
        }
        block.lay_out_properties();
        if let Some(column) = self.event_id {
            block.read_ids(|row, put| {
                if let Some(id) = text_of(&table.cell(column, row)) {
                    put(&id);
                }
            });
        }
    }

    fn stretch<'b>(&self, block: &'b Block) -> Stretch<'b> {
        Stretch {
            event_ts: &block.event_ts,
            known_after_us: each_or(&block.known_after_us, 0),
            seq: each_or(&block.seq, 0),
            user: each_or(&block.user, NOBODY),
            anonymous: each_or(&block.anonymous, NOBODY),
            kind: EventKind::Track,
            name: match self.name {
                Name::Column(_) => Rows::Each(&block.name),
                Name::Fixed(name) => Rows::All(name),
            },
            session: each_or(&block.session, Symbol::EMPTY),
            event_ids: (&block.event_ids, &block.id_ends),
            properties: (&block.properties, &block.property_ends),
        }
    }
}

/// A column, or what a column that is not there says of every row.
fn each_or<T>(column: &[T], value: T) -> Rows<'_, T> {
    if column.is_empty() { Rows::All(value) } else { Rows::Each(column) }
}

/// A cell as the value of a property; `None` if it is none.
fn scalar(cell: Cell<'_>, symbols: &mut Symbols) -> Option<Scalar> {
    Some(match cell {
        Cell::Null => return None,
        Cell::Number(number) if !number.is_finite() => return None,
        Cell::Number(number) => Scalar::Number(number),
        Cell::Integer(value) | Cell::Time(value) | Cell::WallTime(value) => {
            Scalar::Number(value as f64)
        }
        Cell::Flag(flag) => Scalar::Flag(flag),
        Cell::Text(text) => Scalar::Text(symbols.intern(&text)),
    })
}

#[cfg(test)]
mod tests;
