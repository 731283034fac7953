//! The texts of a column on their way to symbols.

use std::borrow::Cow;

use super::Table;
use crate::source::fields::into_text;
use crate::symbols::Sought;
use crate::{Symbol, Symbols};

/// The texts of one column in some rows, and their symbols: the empty one where there is no text.
#[derive(Default)]
pub(super) struct Texts<'t> {
    texts: Vec<Cow<'t, str>>,
    symbols: Vec<Symbol>,
    sought: Vec<Sought>,
}

impl<'t> Texts<'t> {
    /// Reads a column anew, and adds what is new to `symbols`.
    pub(super) fn read(
        &mut self,
        table: &'t impl Table,
        column: usize,
        rows: impl Iterator<Item = usize>,
        symbols: &mut Symbols,
    ) {
        self.texts.clear();
        self.texts.extend(rows.map(|row| into_text(table.cell(column, row)).unwrap_or_default()));
        self.symbols.clear();
        symbols.intern_all(&self.texts, &mut self.sought, |symbol| self.symbols.push(symbol));
    }

    /// Row by row.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Symbol)> {
        self.texts.iter().map(|text| &**text).zip(self.symbols.iter().copied())
    }
}
