//! Some rows of a table on their way into a store, a column each.

use std::ops::Range;

use super::Table;
use crate::assemble::NOBODY;
use crate::record::Cell;
use crate::{Micros, Scalar, Symbol};

/// What is read of some rows. Columns that the mapping does not name are empty.
#[derive(Default)]
pub(super) struct Block {
    /// Numbers of the rows in the table.
    rows: Vec<usize>,
    /// By row: whether it must be looked at singly.
    is_left: Vec<bool>,
    pub(super) event_ts: Vec<Micros>,
    /// `None` if the row does not say.
    pub(super) known_ts: Vec<Option<Micros>>,
    pub(super) known_after_us: Vec<i64>,
    pub(super) seq: Vec<i64>,
    pub(super) user: Vec<Symbol>,
    pub(super) anonymous: Vec<Symbol>,
    pub(super) name: Vec<Symbol>,
    pub(super) session: Vec<Symbol>,
    pub(super) event_ids: Vec<u8>,
    /// By row: where its id ends.
    pub(super) id_ends: Vec<usize>,
    keys: Vec<Symbol>,
    /// By key, then by row.
    values: Vec<Option<Scalar>>,
    pub(super) properties: Vec<(Symbol, Scalar)>,
    /// By row: where its properties end.
    pub(super) property_ends: Vec<usize>,
}

impl Block {
    /// Forgets the rows before.
    pub(super) fn begin(&mut self, rows: Range<usize>) {
        self.is_left.clear();
        self.is_left.resize(rows.len(), false);
        self.rows.clear();
        self.rows.extend(rows);
        self.known_after_us.clear();
        self.event_ids.clear();
        self.id_ends.clear();
        self.keys.clear();
        self.values.clear();
        self.properties.clear();
        self.property_ends.clear();
    }

    /// The rows, until some are set aside.
    pub(super) fn range(&self) -> Range<usize> {
        let first = self.rows.first().copied().unwrap_or_default();
        first..first + self.rows.len()
    }

    /// By row: whether it must be looked at singly.
    pub(super) fn is_left(&self) -> &[bool] {
        &self.is_left
    }

    /// Fills a column with what `value` makes of the cells of one of the table's, and leaves the rows of
    /// which it makes nothing.
    pub(super) fn read<'t, T: Copy + Default>(
        &mut self,
        (table, of_table): (&'t impl Table, usize),
        column: impl Fn(&mut Self) -> &mut Vec<T>,
        mut value: impl FnMut(Cell<'t>) -> Option<T>,
    ) {
        let mut values = std::mem::take(column(self));
        values.clear();
        let rows = self.range();
        let mut is_left = self.is_left.iter_mut();
        table.for_each_cell(of_table, rows, |cell| {
            values.extend(is_left.next().map(|is_left| take(is_left, || value(cell))));
        });
        *column(self) = values;
    }

    /// Fills a column with values row by row, and leaves the rows that have none.
    pub(super) fn take<T: Copy + Default>(
        &mut self,
        column: impl Fn(&mut Self) -> &mut Vec<T>,
        values: impl Iterator<Item = Option<T>>,
    ) {
        let mut taken = std::mem::take(column(self));
        taken.clear();
        let rows = self.is_left.iter_mut().zip(values);
        taken.extend(rows.map(|(is_left, value)| take(is_left, || value)));
        *column(self) = taken;
    }

    /// Leaves rows that name nobody.
    pub(super) fn leave_nameless(&mut self) {
        for (at, is_left) in self.is_left.iter_mut().enumerate() {
            let is_nobody = |ids: &[Symbol]| ids.get(at).is_none_or(|&id| id == NOBODY);
            *is_left |= is_nobody(&self.user) && is_nobody(&self.anonymous);
        }
    }

    /// Takes the rows that are left out of all columns, and gives them away.
    pub(super) fn set_aside(&mut self, left: &mut Vec<usize>) {
        let is_left = std::mem::take(&mut self.is_left);
        if is_left.contains(&true) {
            let rows = self.rows.iter().zip(&is_left).filter(|(_, is_left)| **is_left);
            left.extend(rows.map(|(&row, _)| row));
            keep(&mut self.rows, &is_left);
            keep(&mut self.event_ts, &is_left);
            keep(&mut self.known_ts, &is_left);
            keep(&mut self.seq, &is_left);
            keep(&mut self.user, &is_left);
            keep(&mut self.anonymous, &is_left);
            keep(&mut self.name, &is_left);
            keep(&mut self.session, &is_left);
        }
        self.is_left = is_left;
        let pairs = self.known_ts.iter().zip(&self.event_ts);
        self.known_after_us.extend(pairs.map(|(known_ts, &event_ts)| {
            known_ts.map_or(0, |known_ts| known_ts.wrapping_sub(event_ts))
        }));
    }

    /// Reads one property of all rows. Keys come in the order of their texts.
    pub(super) fn read_properties(
        &mut self,
        key: Symbol,
        value: impl FnMut(usize) -> Option<Scalar>,
    ) {
        self.keys.push(key);
        self.values.extend(self.rows.iter().copied().map(value));
    }

    /// Puts the properties of each row together.
    pub(super) fn lay_out_properties(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let n_rows = self.rows.len();
        for at in 0..n_rows {
            for (&key, values) in self.keys.iter().zip(self.values.chunks_exact(n_rows)) {
                self.properties.extend(values[at].map(|value| (key, value)));
            }
            self.property_ends.push(self.properties.len());
        }
    }

    /// Reads the event id of each row: `id` hands it on, if there is one.
    pub(super) fn read_ids(&mut self, mut id: impl FnMut(usize, &mut dyn FnMut(&str))) {
        for &row in &self.rows {
            id(row, &mut |text| self.event_ids.extend_from_slice(text.as_bytes()));
            self.id_ends.push(self.event_ids.len());
        }
    }

    /// How many rows say neither when they became known nor who they are: the first and the second.
    pub(super) fn n_lacking(&self) -> (u64, u64) {
        let n_rows = self.rows.len() as u64;
        let n_known = self.known_ts.iter().filter(|known_ts| known_ts.is_some()).count() as u64;
        let starts = std::iter::once(&0).chain(&self.id_ends);
        let n_with_id = starts.zip(&self.id_ends).filter(|(start, end)| start < end).count() as u64;
        (n_rows - n_known, n_rows - n_with_id)
    }
}

/// The value of a row, which is left if it has none.
fn take<T: Default>(is_left: &mut bool, value: impl FnOnce() -> Option<T>) -> T {
    let value = if *is_left { None } else { value() };
    *is_left = value.is_none();
    value.unwrap_or_default()
}

/// Takes rows that are left out of a column, unless that is empty.
fn keep<T>(column: &mut Vec<T>, is_left: &[bool]) {
    let mut is_left = is_left.iter();
    column.retain(|_| is_left.next() == Some(&false));
}
