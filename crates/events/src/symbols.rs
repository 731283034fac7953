//! Strings as small numbers: each distinct text is stored once.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// A text of a [`Symbols`] table. Meaningless with another table, but for the default, the empty text.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// Found by the hash of their text, or of its outline. Seeded anew in each process: texts come
    /// from outside.
    index: HashTable<Indexed>,
    hasher: RandomState,
}

/// A symbol with as much of its text as tells most texts apart, so that finding one seldom has to
/// look at `texts`, which is another access to memory that is in no cache.
#[derive(Debug, Clone, Copy)]
struct Indexed {
    outline: Outline,
    symbol: Symbol,
}

/// What is looked for in the index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sought {
    hash: u64,
    outline: Outline,
}

/// The length of a text and its first and last bytes: all of it up to [`Outline::WHOLE_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outline {
    first: u64,
    last: u64,
    /// Cut off at the largest that fits; such texts are compared anyway.
    n_bytes: u32,
}

impl Outline {
    const WHOLE_BYTES: usize = 16;

    #[inline]
    fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let (first, last) = match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (bytes.first_chunk(), bytes.last_chunk()) {
                (Some(first), Some(last)) => {
                    (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
                }
                // at most three
                _ => (bytes.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte)), 0),
            },
        };
        Self { first, last, n_bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX) }
    }

    /// The hash of the text that this is the outline of: two numbers are hashed sooner than a text.
    #[inline]
    fn hash(self, text: &str, hasher: &RandomState) -> u64 {
        if self.is_whole() {
            // Texts of one outline but for their lengths are few: zeros in front of a short one.
            hasher.hash_one((self.first, self.last))
        } else {
            hasher.hash_one(text)
        }
    }

    /// Whether no other text looks the same.
    #[inline]
    fn is_whole(self) -> bool {
        self.n_bytes as usize <= Self::WHOLE_BYTES
    }
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
        let of = |indexed: &Indexed| text_at(texts, ends, indexed.symbol);
        let outline = Outline::of(text);
        let hash = outline.hash(text, hasher);
        let is_same = |indexed: &Indexed| {
            indexed.outline == outline && (outline.is_whole() || of(indexed) == text)
        };
        let rehash = |indexed: &Indexed| indexed.outline.hash(of(indexed), hasher);
        match self.index.entry(hash, is_same, rehash) {
            Entry::Occupied(found) => found.get().symbol,
            Entry::Vacant(free) => {
                assert!(ends.len() < u32::MAX as usize, "more than 2^32 distinct texts");
                let symbol = Symbol(ends.len() as u32);
                free.insert(Indexed { outline, symbol });
                self.texts.push_str(text);
                self.ends.push(self.texts.len());
                symbol
            }
        }
    }

    /// The symbols of many texts, in order, as [`Self::intern`] gives them one by one.
    ///
    /// Each look at the index waits for memory. They wait together when nothing but looks follows a look,
    /// so what there is to find is worked out first, in `sought`, which is reused.
    pub(crate) fn intern_all<T: AsRef<str>>(
        &mut self,
        texts: &[T],
        sought: &mut Vec<Sought>,
        mut found: impl FnMut(Symbol),
    ) {
        sought.clear();
        sought.extend(texts.iter().map(|text| {
            let text = text.as_ref();
            let outline = Outline::of(text);
            Sought { hash: outline.hash(text, &self.hasher), outline }
        }));
        for (text, sought) in texts.iter().zip(sought) {
            let is_same = |indexed: &Indexed| indexed.outline == sought.outline;
            let known = if sought.outline.is_whole() {
                self.index.find(sought.hash, is_same).map(|indexed| indexed.symbol)
            } else {
                None
            };
            found(known.unwrap_or_else(|| self.intern(text.as_ref())));
        }
    }

    /// The symbol of a text that is already in the table.
    #[must_use]
    pub fn get(&self, text: &str) -> Option<Symbol> {
        let outline = Outline::of(text);
        let is_same = |indexed: &Indexed| {
            indexed.outline == outline && (outline.is_whole() || self.text(indexed.symbol) == text)
        };
        let hash = outline.hash(text, &self.hasher);
        self.index.find(hash, is_same).map(|indexed| indexed.symbol)
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
        const INDEX_BYTES: usize = 2 * size_of::<Indexed>();
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(11),
            cases: 400,
            ..ProptestConfig::default()
        })]

        /// Two letters, so that texts of every length share their beginnings and ends.
        #[test]
        fn texts_of_every_length_are_told_apart(texts in prop::collection::vec("[ab]{0,40}", 0..80)) {
            let mut symbols = Symbols::new();
            let mut expected = HashMap::from([(String::new(), Symbol::EMPTY)]);
            for text in &texts {
                let next = Symbol(expected.len() as u32);
                let known = *expected.entry(text.clone()).or_insert(next);
                prop_assert_eq!(symbols.intern(text), known, "{:?}", text);
            }
            prop_assert_eq!(symbols.len(), expected.len());
            for (text, symbol) in &expected {
                prop_assert_eq!(symbols.text(*symbol), text);
                prop_assert_eq!(symbols.get(text), Some(*symbol));
            }
        }
    }

    /// So many that some of them meet in the index, where only what follows the hash tells them apart.
    #[test]
    fn thousands_of_texts_that_look_alike_are_told_apart() {
        let long = (0..20_000).map(|n| format!("beginning {n:08} the ending"));
        let repeated = (0..1_000).map(|n| format!("beginning{}the ending", "x".repeat(n)));
        let short = (0..20_000).map(|n| format!("{n:x}"));
        let alike = (0..20_000).map(|n| format!("the user{n:x}"));
        let texts: Vec<String> = long.chain(repeated).chain(short).chain(alike).collect();
        let expected: Vec<Symbol> = (1..=texts.len() as u32).map(Symbol).collect();
        let mut one_by_one = Symbols::new();
        for (text, &symbol) in texts.iter().zip(&expected) {
            assert_eq!(one_by_one.intern(text), symbol, "{text:?}");
        }
        let (mut together, mut sought) = (Symbols::new(), Vec::new());
        for round in ["new", "known"] {
            let mut found = Vec::new();
            for texts in texts.chunks(1_024) {
                together.intern_all(texts, &mut sought, |symbol| found.push(symbol));
            }
            assert!(found == expected, "{round}");
        }
        for (text, &symbol) in texts.iter().zip(&expected) {
            assert_eq!(together.get(text), Some(symbol), "{text:?}");
        }
    }

    #[test]
    fn texts_that_begin_and_end_alike_are_compared() {
        let mut symbols = Symbols::new();
        let long = |middle: &str| format!("beginning{middle}theending");
        let (a, b) = (symbols.intern(&long("a")), symbols.intern(&long("b")));
        assert_ne!(a, b);
        assert_eq!(symbols.intern(&long("a")), a);
        assert_eq!(symbols.get(&long("b")), Some(b));
        assert_eq!(symbols.get(&long("c")), None);
    }
}
