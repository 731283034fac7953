//! The texts of a column on their way to symbols.

use std::borrow::Cow;

use super::{Block, Table};
use crate::assemble::Store;
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
    /// Reads a column in the rows of a block anew, and adds what is new to `symbols`; of rows that are
    /// left, nothing.
    pub(super) fn read(
        &mut self,
        table: &'t impl Table,
        column: usize,
        block: &Block,
        symbols: &mut Symbols,
    ) {
        self.texts.clear();
        let mut is_left = block.is_left().iter();
        table.for_each_cell(column, block.range(), |cell| {
            let text = if is_left.next() == Some(&false) { into_text(cell) } else { None };
            self.texts.push(text.unwrap_or_default());
        });
        self.symbols.clear();
        symbols.intern_all(&self.texts, &mut self.sought, |symbol| self.symbols.push(symbol));
    }

    /// Row by row.
    pub(super) fn symbols(&self) -> impl Iterator<Item = Symbol> {
        self.symbols.iter().copied()
    }

    /// Row by row, texts as ids: [`NOBODY`] for no text, `None` for a placeholder.
    pub(super) fn ids(&self, store: &mut Store) -> impl Iterator<Item = Option<Symbol>> {
        self.texts.iter().zip(&self.symbols).map(|(text, &symbol)| {
            let is_nobody = symbol == Symbol::EMPTY;
            (is_nobody || store.is_usable(symbol, text)).then_some(symbol)
        })
    }
}
