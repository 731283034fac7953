//! What all set nodes answer, looked up by category.

use super::{Answers, MAX_EXITS, PAIR, PAIRS};
use crate::engines::encoding::Encoding;

/// Groups of answers for all categories, at most.
const MAX_ANSWERS: usize = 1 << 18;

/// For each feature and category the answers of every piece's set nodes.
#[derive(Debug, Clone)]
pub(super) struct SetAnswers {
    n_groups: usize,
    /// By category group, shape `(n_entries, n_groups)`.
    by_category: Vec<Vec<Answers>>,
}

/// A node that looks up a set.
#[derive(Debug, Clone, Copy)]
pub(super) struct SetNode {
    pub(super) piece: usize,
    /// Its place within the piece.
    pub(super) node: usize,
    pub(super) byte_column: u16,
}

impl SetAnswers {
    /// Of groups of pieces with these set nodes; `None` if there would be too many answers.
    pub(super) fn new(n_groups: usize, nodes: &[SetNode], encoding: &Encoding) -> Option<Self> {
        let categories = encoding.categories();
        let n_entries: usize = categories.iter().map(|category| category.n_entries()).sum();
        n_entries.checked_mul(n_groups).filter(|&all| all <= MAX_ANSWERS)?;
        let by_category = categories.iter().map(|category| {
            let own = nodes.iter().filter_map(|&SetNode { piece, node, byte_column }| {
                let word = piece / PAIR;
                let bit = piece % PAIR * MAX_EXITS + node;
                Some((category.place_of(byte_column.into())?, word, bit))
            });
            let own: Vec<(usize, usize, usize)> = own.collect();
            // Right, but for what is inside.
            let mut outside = vec![[0u64; PAIRS]; n_groups];
            let words = outside.as_flattened_mut();
            own.iter().for_each(|&(_, word, bit)| words[word] |= 1 << bit);
            let mut answers = outside.repeat(category.n_entries());
            let (words, n_words) = (answers.as_flattened_mut(), n_groups * PAIRS);
            let inside = category.entries_inside();
            for (place, word, bit) in own {
                for &entry in &inside[place] {
                    words[entry as usize * n_words + word] &= !(1 << bit);
                }
            }
            answers
        });
        Some(Self { n_groups, by_category: by_category.collect() })
    }

    /// The answers for a row, group by group, into `answers`.
    #[inline(always)]
    pub(super) fn answer(&self, encoding: &Encoding, row: &[f64], answers: &mut Vec<Answers>) {
        answers.clear();
        answers.resize(self.n_groups, [0; PAIRS]);
        for (category, table) in encoding.categories().iter().zip(&self.by_category) {
            let of_category = &table[category.entry_of(row) * self.n_groups..][..self.n_groups];
            for (answers, more) in answers.iter_mut().zip(of_category) {
                // As a whole, which becomes one operation of vectors.
                *answers = std::array::from_fn(|word| answers[word] | more[word]);
            }
        }
    }
}
