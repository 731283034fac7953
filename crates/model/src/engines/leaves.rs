//! The values of all leaves, and what each tree adds to which output.

use super::kernels::{Kernel, LANES, Lanes};
use crate::courtesy::giving_way;
use crate::{Child, Ensemble, Tree};

/// Values that can be read from any tree's first on, so that a byte is always a valid index.
const PADDING: usize = 256;

/// Leaf values, tree by tree, within a tree output by output, from the leftmost leaf to the rightmost.
#[derive(Debug, Clone)]
pub(super) struct Leaves {
    values: Vec<f64>,
    trees: Vec<TreeLeaves>,
    n_outputs: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct TreeLeaves {
    /// Place of the first value.
    first: u32,
    n_leaves: u32,
    /// Outputs that the tree adds to: one, or all.
    first_output: u32,
    n_outputs: u32,
}

/// How many leaves each leaf has on its left, tree by tree; needed for compiling only.
#[derive(Debug, Default)]
pub(super) struct LeafRanks {
    ranks: Vec<u32>,
    /// Ranks of each tree: from the one before's end to here.
    ends: Vec<usize>,
    /// The leaves of the last tree from left to right.
    from_left: Vec<u32>,
    open: Vec<Child>,
}

impl LeafRanks {
    fn push(&mut self, tree: &Tree) {
        let Self { ranks, ends, from_left, open } = self;
        let first = ranks.len();
        ranks.resize(first + tree.n_leaves(), 0);
        from_left.clear();
        let mut at = Some(if tree.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) });
        while let Some(child) = at {
            at = match child {
                Child::Node(node) => {
                    let node = &tree.nodes[node as usize];
                    open.push(node.right);
                    Some(node.left)
                }
                Child::Leaf(leaf) => {
                    ranks[first + leaf as usize] = from_left.len() as u32;
                    from_left.push(leaf);
                    open.pop()
                }
            };
        }
        ends.push(ranks.len());
    }

    /// The rank of each leaf of a tree.
    pub(super) fn of_tree(&self, tree: usize) -> &[u32] {
        let first = if tree == 0 { 0 } else { self.ends[tree - 1] };
        &self.ranks[first..self.ends[tree]]
    }
}

impl Leaves {
    /// Also the ranks by which engines know the leaves; `None` if there are more values than places.
    pub(super) fn new(ensemble: &Ensemble) -> Option<(Self, LeafRanks)> {
        let n_values: usize = ensemble.trees.iter().map(|tree| tree.leaf_values.len()).sum();
        if n_values + PADDING > i32::MAX as usize {
            return None;
        }
        let mut values = Vec::with_capacity(n_values + PADDING);
        let mut trees = Vec::with_capacity(ensemble.trees.len());
        let mut ranks = LeafRanks::default();
        for (tree, &output) in giving_way(ensemble.numbered_trees()) {
            let width = tree.leaf_width as usize;
            trees.push(TreeLeaves {
                first: values.len() as u32,
                n_leaves: tree.n_leaves() as u32,
                first_output: if width == 1 { output } else { 0 },
                n_outputs: tree.leaf_width,
            });
            ranks.push(tree);
            let from_left = &ranks.from_left;
            for output in 0..width {
                let value = |&leaf: &u32| tree.leaf_values[leaf as usize * width + output];
                values.extend(from_left.iter().map(value));
            }
        }
        values.resize(n_values + PADDING, 0.0);
        Some((Self { values, trees, n_outputs: ensemble.n_outputs() }, ranks))
    }

    pub(super) fn n_trees(&self) -> usize {
        self.trees.len()
    }

    pub(super) fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    /// Place of the first value of the leaf of a rank.
    pub(super) fn place(&self, tree: usize, rank: u32) -> u32 {
        self.trees[tree].first + rank
    }

    /// Adds the values at `places`, one for each tree from `first_tree` on, in that order.
    #[inline(always)]
    pub(super) fn add_places(&self, first_tree: usize, places: &[u32], sums: &mut [f64]) {
        if let [only] = sums {
            // A sum that went through memory would wait for each store.
            let mut sum = *only;
            for &place in places {
                sum += self.values[place as usize];
            }
            *only = sum;
            return;
        }
        for (tree, &place) in self.trees[first_tree..].iter().zip(places) {
            for output in 0..tree.n_outputs {
                let value = self.values[(place + output * tree.n_leaves) as usize];
                sums[(tree.first_output + output) as usize] += value;
            }
        }
    }

    /// Adds the values of one tree at a place for each row.
    #[inline(always)]
    pub(super) fn add_places_of_rows<const V: usize>(
        &self,
        tree: usize,
        places: &[u32],
        sums: &mut [[[f64; LANES]; V]],
    ) {
        let tree = &self.trees[tree];
        for output in 0..tree.n_outputs {
            let sums = sums[(tree.first_output + output) as usize].as_flattened_mut();
            for (sum, place) in sums.iter_mut().zip(places) {
                *sum += self.values[(place + output * tree.n_leaves) as usize];
            }
        }
    }

    /// Adds the values of one tree at the rank of a leaf for each row.
    #[inline(always)]
    pub(super) fn add_index<K: Kernel, const V: usize>(
        &self,
        kernel: K,
        tree: usize,
        index: &[Lanes; V],
        sums: &mut [[[f64; LANES]; V]],
    ) {
        let tree = &self.trees[tree];
        for output in 0..tree.n_outputs {
            let first = (tree.first + output * tree.n_leaves) as usize;
            let Some(values) = self.values[first..].first_chunk() else { return };
            let sums = &mut sums[(tree.first_output + output) as usize];
            kernel.add_values(values, tree.n_leaves as usize, index, sums);
        }
    }
}
