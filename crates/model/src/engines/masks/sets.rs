//! The answers of all set nodes for a row, behind each other.

use crate::engines::encoding::Encoding;
use crate::engines::kernels::LANES;

/// Bytes of the answers for all categories, at most.
const MAX_ANSWERS: usize = 1 << 24;
/// Has no bit that a code of a set does not have, so that answers of several features can be joined.
const NOT_ASKED: i8 = i8::MIN;

/// For each feature and category, what every set node answers.
#[derive(Debug, Clone)]
pub(super) struct SetAnswers {
    n_nodes: usize,
    /// By category group, shape `(n_entries, n_nodes)`: byte codes.
    by_group: Vec<Vec<i8>>,
}

impl SetAnswers {
    /// Of nodes that read the given byte columns, in this order; `None` if there would be too many.
    pub(super) fn new(set_nodes: &[u16], encoding: &Encoding) -> Option<Self> {
        let n_nodes = set_nodes.len();
        let groups = encoding.categories();
        let n_entries: usize = groups.iter().map(|group| group.n_entries()).sum();
        n_entries.checked_mul(n_nodes).filter(|&all| all <= MAX_ANSWERS)?;
        let answers = groups.iter().map(|group| {
            let mut answers = vec![NOT_ASKED; group.n_entries() * n_nodes];
            let own: Vec<(usize, usize)> = set_nodes
                .iter()
                .enumerate()
                .filter_map(|(node, &column)| Some((node, group.place_of(column.into())?)))
                .collect();
            for (entry, answers) in answers.chunks_exact_mut(n_nodes.max(1)).enumerate() {
                let codes = group.codes_of_entry(entry);
                own.iter().for_each(|&(node, place)| answers[node] = codes[place]);
            }
            answers
        });
        Some(Self { n_nodes, by_group: answers.collect() })
    }

    pub(super) fn n_nodes(&self) -> usize {
        self.n_nodes
    }

    /// The answers for a row, and room for the last window, into `answers`.
    #[inline(always)]
    pub(super) fn answer(&self, encoding: &Encoding, row: &[f64], answers: &mut Vec<i8>) {
        if self.n_nodes == 0 {
            return;
        }
        answers.resize(self.n_nodes + LANES, NOT_ASKED);
        let answers = &mut answers[..self.n_nodes];
        for (index, (group, table)) in encoding.categories().iter().zip(&self.by_group).enumerate()
        {
            let of_group = &table[group.entry_of(row) * self.n_nodes..][..self.n_nodes];
            if index == 0 {
                answers.copy_from_slice(of_group);
            } else {
                answers.iter_mut().zip(of_group).for_each(|(answer, more)| *answer |= more);
            }
        }
    }
}
