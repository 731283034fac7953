//! Strings as small numbers: each distinct text is stored once.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// A text of a [`Symbols`] table. Meaningless with another table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(u32);

impl Symbol {
    /// The empty text, which every table holds as its first.
    pub const EMPTY: Self = Self(0);

    /// The symbol at a position of the table.
    pub(crate) fn at(index: u32) -> Self {
        Self(index)
    }

    /// Position in the table.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A table of distinct texts. Symbols are numbered by first appearance, so nothing that ends in a
/// result may depend on their order: compare the texts.
#[derive(Debug, Clone)]
pub struct Symbols {
    /// All texts one after another: looking one up should touch little memory.
    texts: String,
    /// By symbol: where its text ends.
    ends: Vec<usize>,
    /// Found by the hash of their text, which the table does not hold a second time. Seeded anew in
    /// each process: texts come from outside.
    index: HashTable<Symbol>,
    hasher: RandomState,
}

impl Default for Symbols {
    fn default() -> Self {
        let (index, hasher) = (HashTable::new(), RandomState::default());
        let mut symbols = Self { texts: String::new(), ends: Vec::new(), index, hasher };
        symbols.intern("");
        symbols
    }
}

impl Symbols {
    /// A table that holds only the empty text.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The symbol of a text, added if new.
    ///
    /// # Panics
    /// Beyond 2^32 distinct texts.
    pub fn intern(&mut self, text: &str) -> Symbol {
        let (texts, ends, hasher) = (&self.texts, &self.ends, &self.hasher);
        let of = |symbol: &Symbol| text_at(texts, ends, *symbol);
        let rehash = |symbol: &Symbol| hasher.hash_one(of(symbol));
        match self.index.entry(hasher.hash_one(text), |symbol| of(symbol) == text, rehash) {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(free) => {
                assert!(ends.len() < u32::MAX as usize, "more than 2^32 distinct texts");
                let symbol = Symbol(ends.len() as u32);
                free.insert(symbol);
                self.texts.push_str(text);
                self.ends.push(self.texts.len());
                symbol
            }
        }
    }

    /// The symbol of a text that is already in the table.
    #[must_use]
    pub fn get(&self, text: &str) -> Option<Symbol> {
        let is_same = |symbol: &Symbol| self.text(*symbol) == text;
        self.index.find(self.hasher.hash_one(text), is_same).copied()
    }

    /// The text of a symbol.
    ///
    /// # Panics
    /// If the symbol is of another, larger table.
    #[must_use]
    pub fn text(&self, symbol: Symbol) -> &str {
        text_at(&self.texts, &self.ends, symbol)
    }

    /// Every text with its symbol, by first appearance.
    pub fn iter(&self) -> impl Iterator<Item = (Symbol, &str)> {
        (0..self.ends.len() as u32).map(|index| (Symbol(index), self.text(Symbol(index))))
    }

    /// Bytes in use, about.
    pub(crate) fn memory(&self) -> usize {
        // the table of the index is at most seven eighths full, and of twice the size just after growing
        const INDEX_BYTES: usize = 8;
        self.texts.len() + self.ends.len() * (size_of::<usize>() + INDEX_BYTES)
    }

    /// Number of texts, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.ends.len()
    }
}

#[inline]
fn text_at<'a>(texts: &'a str, ends: &[usize], symbol: Symbol) -> &'a str {
    let start = if symbol.index() == 0 { 0 } else { ends[symbol.index() - 1] };
    &texts[start..ends[symbol.index()]]
}
