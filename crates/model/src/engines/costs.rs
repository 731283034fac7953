//! What each engine costs on a model, to choose by.
//!
//! Nanoseconds on one core of a quiet Zen 5 server, coding of the row included: what
//! `cargo bench -p segue-model --bench scoring -- mixed` prints for one row, here of LightGBM's 100 trees of
//! 31 leaves for the product table of `benches/peers`. `piece` is one row by `Masks` over the trees; `step`
//! is one row by `Walk` over the steps that [`Costs::walk`] counts; `node` is one row by `Select`, which
//! works out a block of 64, over the trees, less `values`, over the nodes of a tree. Other machines differ,
//! but much the same for all engines, and a wrong choice costs time, never bits. Measured before sets
//! of categories shared columns, which made `Select` cheaper than its costs here where there are many.

use super::instructions::{Instructions, Level};
use crate::{Child, Tree};

/// Costs at one level of instructions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Costs {
    /// `masks`: a piece.
    piece: f64,
    /// `select`: a node, for 64 rows.
    node: f64,
    /// `select`: adding the values of a tree, for 64 rows.
    values: f64,
    /// `walk`: a step of one of sixteen walks side by side.
    step: f64,
}

impl Costs {
    pub(super) fn of(instructions: Instructions) -> Self {
        match instructions.level() {
            Level::Portable => Self { piece: 47.0, node: 8.5, values: 25.0, step: 1.9 },
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Self { piece: 5.5, node: 3.7, values: 8.0, step: 1.7 },
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Self { piece: 3.2, node: 3.1, values: 10.0, step: 1.5 },
        }
    }

    /// One row by `masks`.
    pub(super) fn masks(&self, n_pieces: usize) -> f64 {
        n_pieces as f64 * self.piece
    }

    /// 64 rows of a tree by `select`.
    pub(super) fn select(&self, tree: &Tree) -> f64 {
        tree.nodes.len() as f64 * self.node + self.values
    }

    /// One row of a tree by `walk`.
    pub(super) fn walk(&self, tree: &Tree) -> f64 {
        (1.0 + steps(tree)) * self.step
    }
}

/// Steps that the slowest of a few rows makes: the mean depth of a leaf over the training rows, and
/// half as much again.
fn steps(tree: &Tree) -> f64 {
    let Some(root) = tree.nodes.first() else { return 0.0 };
    if root.cover > 0.0 {
        return 1.5 * tree.nodes.iter().map(|node| node.cover).sum::<f64>() / root.cover;
    }
    let mut depth = vec![1.0f64; tree.nodes.len()];
    let mut sum = 0.0;
    for (index, node) in tree.nodes.iter().enumerate() {
        for child in [node.left, node.right] {
            match child {
                Child::Node(child) => depth[child as usize] = depth[index] + 1.0,
                Child::Leaf(_) => sum += depth[index],
            }
        }
    }
    1.5 * sum / tree.n_leaves() as f64
}
