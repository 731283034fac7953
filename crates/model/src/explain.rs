//! Why a row got its margin: exact Shapley values of the trees, and their reading in words.
//!
//! The game is the path-dependent one of Lundberg and others (2018): a tree's value for a set of
//! known features is its expectation when, at a split on an unknown feature, both branches are taken
//! in proportion to their covers. For one leaf that value is a product over the path's features, of
//! `o` (1 if the row passes all the path's questions to the feature, else 0) where known and of `z`
//! (the product of the path's cover shares there) where not. Hence
//!
//! `phi_i = leaf * (o_i - z_i) * integral_0^1 prod_{j != i} (z_j (1 - x) + o_j x) dx`,
//!
//! a polynomial that Gauss-Legendre quadrature with half as many points as the path has features
//! integrates exactly. Every factor is positive, so nothing cancels, however deep the tree.

mod quadrature;
mod reasons;
mod shapley;
#[cfg(test)]
mod tests;

pub use reasons::{Direction, FeatureValue, Reason};

use quadrature::Quadrature;

use crate::{Child, Ensemble, Model, Node, Tree};

/// Contributions of the columns to the margins of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    n_columns: usize,
    bias: Vec<f64>,
    contributions: Vec<f64>,
}

impl Explanation {
    /// Margins expected of a row of which nothing is known, shape `(n_outputs,)`.
    #[must_use]
    pub fn bias(&self) -> &[f64] {
        &self.bias
    }

    /// What each column adds to the margin of an output, shape `(n_columns,)`. With the bias they
    /// sum to the margin, up to rounding.
    ///
    /// # Panics
    /// If there is no such output.
    #[must_use]
    pub fn contributions(&self, output: usize) -> &[f64] {
        assert!(output < self.bias.len(), "output must be below n_outputs");
        &self.contributions[output * self.n_columns..][..self.n_columns]
    }

    /// Bias plus all contributions of an output: the margin, up to rounding.
    ///
    /// # Panics
    /// If there is no such output.
    #[must_use]
    pub fn margin(&self, output: usize) -> f64 {
        self.bias[output] + self.contributions(output).iter().sum::<f64>()
    }
}

/// What explanations need of an ensemble whatever the row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Explainer {
    rule: Quadrature,
    bias: Vec<f64>,
}

impl Explainer {
    /// Expects a checked ensemble.
    pub(crate) fn of(ensemble: &Ensemble) -> Self {
        let longest = ensemble.trees.iter().map(shapley::longest_path).max().unwrap_or(0);
        let mut bias = vec![0.0; ensemble.n_outputs()];
        for (tree, &output) in ensemble.trees.iter().zip(&ensemble.tree_output) {
            shapley::add_expectation(tree, output as usize, &mut bias);
        }
        ensemble.finish(&mut bias);
        Self { rule: Quadrature::gauss_legendre(longest.div_ceil(2).max(1)), bias }
    }
}

impl Model {
    /// Exact contributions of every column to every margin of a row.
    ///
    /// Covers weigh the branches; where a split has no cover on either side (an imported model),
    /// both sides weigh one half.
    ///
    /// # Panics
    /// If the row is not as wide as the schema.
    #[must_use]
    pub fn explain(&self, row: &[f64]) -> Explanation {
        let n_columns = self.schema().len();
        assert_eq!(row.len(), n_columns, "row must have one value a column");
        let ensemble = self.ensemble();
        let n_outputs = ensemble.n_outputs();
        let mut contributions = vec![0.0; n_outputs * n_columns];
        let mut walk = shapley::Walk::default();
        for (tree, &output) in ensemble.trees.iter().zip(&ensemble.tree_output) {
            walk.add(tree, row, output as usize, &self.explainer.rule, &mut contributions);
        }
        if ensemble.combine == crate::Combine::Mean && n_columns > 0 {
            for (output, of_output) in contributions.chunks_mut(n_columns).enumerate() {
                let n_trees = ensemble.n_trees_of(output);
                of_output.iter_mut().for_each(|value| *value /= n_trees);
            }
        }
        Explanation { n_columns, bias: self.explainer.bias.clone(), contributions }
    }
}

/// Cover of whatever a branch leads to.
fn cover(tree: &Tree, child: Child) -> f64 {
    match child {
        Child::Node(node) => tree.nodes[node as usize].cover,
        Child::Leaf(leaf) => tree.leaf_cover[leaf as usize],
    }
}

/// Shares of a node's weight that go left and right; they sum to 1.
fn shares(tree: &Tree, node: &Node) -> [f64; 2] {
    let (left, right) = (cover(tree, node.left), cover(tree, node.right));
    let total = left + right;
    if total > 0.0 && total.is_finite() { [left / total, right / total] } else { [0.5, 0.5] }
}
