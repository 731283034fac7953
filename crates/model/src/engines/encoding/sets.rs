//! Sets of categories as a model has them, while it is compiled.

use crate::CategorySet;
use crate::courtesy::giving_way;
use crate::engines::bits::SIDE;

/// A set, and where a missing value goes.
#[derive(Debug, Clone)]
pub(super) struct Lookup<'a> {
    pub(super) set: &'a CategorySet,
    pub(super) missing_left: bool,
}

/// For all sets that a feature is looked up in the entries inside, as bits: codes, and behind them what no
/// set holds and missing.
#[derive(Debug)]
pub(in crate::engines) struct InsideBits {
    n_codes: usize,
    n_words: usize,
    /// Shape `(n_sets, n_words)`.
    words: Vec<u64>,
}

impl InsideBits {
    /// Of sets of codes below `n_codes`.
    pub(super) fn new(lookups: &[Lookup<'_>], n_codes: usize) -> Self {
        let missing = n_codes + 1;
        let n_words = missing / SIDE + 1;
        let mut words = vec![0; lookups.len() * n_words];
        for (lookup, words) in giving_way(lookups.iter().zip(words.chunks_exact_mut(n_words))) {
            let codes = lookup.set.words();
            let n = codes.len().min(n_words);
            words[..n].copy_from_slice(&codes[..n]);
            words[missing / SIDE] |= u64::from(lookup.missing_left) << (missing % SIDE);
        }
        Self { n_codes, n_words, words }
    }

    pub(super) fn n_codes(&self) -> usize {
        self.n_codes
    }

    pub(super) fn n_sets(&self) -> usize {
        self.words.len() / self.n_words
    }

    /// The entries from `64 * word` on that are inside of a set; of no set for one beyond the last.
    pub(in crate::engines) fn word(&self, set: usize, word: usize) -> u64 {
        self.words.get(set * self.n_words + word).copied().unwrap_or(0)
    }
}
