//! What all set nodes answer, looked up by category.

use super::{Answers, MAX_EXITS, PAIR, PAIRS};
use crate::courtesy::giving_way;
use crate::engines::bits;
use crate::engines::encoding::{Encoded, Encoding, InsideBits};

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
    pub(super) rank_column: u32,
}

/// The set nodes of one category in the pieces that share a word: the set of each bit.
type WordSets = [Option<u32>; bits::SIDE];

impl SetAnswers {
    /// Of groups of pieces with these set nodes; `None` if there would be too many answers.
    pub(super) fn new(n_groups: usize, nodes: &[SetNode], encoded: &Encoded) -> Option<Self> {
        let categories = encoded.encoding.categories();
        let n_entries: usize = categories.iter().map(|category| category.n_entries()).sum();
        n_entries.checked_mul(n_groups).filter(|&all| all <= MAX_ANSWERS)?;
        let by_category = categories.iter().zip(&encoded.inside).map(|(category, inside)| {
            let mut answers = vec![[0; PAIRS]; n_groups * category.n_entries()];
            let own = nodes.iter().filter_map(|node| {
                let set = category.place_of(node.rank_column as usize)? as u32;
                Some((node.piece / PAIR, node.piece % PAIR * MAX_EXITS + node.node, set))
            });
            let mut own: Vec<(usize, usize, u32)> = own.collect();
            // The pieces of a large tree are not cut in the order of their places.
            own.sort_unstable_by_key(|&(word, ..)| word);
            for of_word in giving_way(own.chunk_by(|one, next| one.0 == next.0)) {
                let mut sets: WordSets = [None; bits::SIDE];
                of_word.iter().for_each(|&(_, bit, set)| sets[bit] = Some(set));
                let word = of_word[0].0;
                set_word(
                    &sets,
                    inside,
                    answers
                        .chunks_exact_mut(n_groups)
                        .map(|of_entry| &mut of_entry[word / PAIRS][word % PAIRS]),
                );
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

/// Sets the word of every entry: right where a node's set does not hold the entry.
fn set_word<'a>(sets: &WordSets, inside: &InsideBits, words: impl Iterator<Item = &'a mut u64>) {
    let asked = (0..).zip(sets).fold(0, |all, (bit, set)| all | u64::from(set.is_some()) << bit);
    let mut by_entry = [0; bits::SIDE];
    for (entry, word) in words.enumerate() {
        if entry % bits::SIDE == 0 {
            let own =
                sets.map(|set| set.map_or(0, |set| inside.word(set as usize, entry / bits::SIDE)));
            by_entry = bits::transposed(own);
        }
        *word = asked & !by_entry[entry % bits::SIDE];
    }
}
