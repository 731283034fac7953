//! Why a row got its margin: exact Shapley values of the trees, and their reading in words.
//!
//! The game is the path-dependent one of Lundberg and others (2018): a tree's value for a set of
//! known features is its expectation when, at a split on an unknown feature, both branches are taken
//! in proportion to their covers. Owen (1972) showed that a Shapley value is an integral: let each
//! feature be known with probability `x_i`, independently, and let `V(x_1, .., x_n)` be the expected
//! value; then
//!
//! `phi_i = integral_0^1 dV/dx_i (x, .., x) dx`.
//!
//! `V` comes from one sweep up the tree (a node's value is that of its children, weighed by the
//! probability of going left and right), its whole gradient from one sweep down with the adjoints,
//! and the integrand is a polynomial that Gauss-Legendre quadrature integrates exactly. That is
//! `O(nodes * points)` a row, with half as many points as the longest path has different features.
//!
//! **Rounding.** Every value is a mean of leaves and every adjoint a probability, so nothing grows
//! with depth: bias and contributions sum to the margin within `1e-13` of the sum over trees of the
//! largest absolute leaf (tested). One row gets the same bits alone, among others, and on every
//! machine.

mod blocks;
mod interactions;
mod layout;
mod program;
mod quadrature;
mod reasons;
mod registers;
mod simd;
mod sweep;
#[cfg(test)]
mod tests;

use segue_dataset::Matrix;

pub use interactions::Interactions;
pub use reasons::{Direction, FeatureValue, Reason};

use crate::courtesy::giving_way;
use crate::{Child, Combine, Ensemble, Model, Node, Tree};
use blocks::{OfRow, OfRows};
use program::{Compiler, Program};
use registers::Registers;

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

/// Contributions of the columns to the margins of many rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanations {
    n_rows: usize,
    n_columns: usize,
    bias: Vec<f64>,
    /// Shape `(n_rows, n_outputs, n_columns)`.
    contributions: Vec<f64>,
}

impl Explanations {
    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Margins expected of a row of which nothing is known, shape `(n_outputs,)`: the same for all.
    #[must_use]
    pub fn bias(&self) -> &[f64] {
        &self.bias
    }

    /// What each column adds to the margin of an output for a row, shape `(n_columns,)`.
    ///
    /// # Panics
    /// If there is no such row or output.
    #[must_use]
    pub fn contributions(&self, row: usize, output: usize) -> &[f64] {
        assert!(row < self.n_rows, "row must be below n_rows");
        assert!(output < self.bias.len(), "output must be below n_outputs");
        let at = (row * self.bias.len() + output) * self.n_columns;
        &self.contributions[at..][..self.n_columns]
    }

    /// One row's explanation, equal to that of [`Model::explain`] bit for bit.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn row(&self, row: usize) -> Explanation {
        assert!(row < self.n_rows, "row must be below n_rows");
        let a_row = self.bias.len() * self.n_columns;
        let contributions = self.contributions[row * a_row..][..a_row].to_vec();
        Explanation { n_columns: self.n_columns, bias: self.bias.clone(), contributions }
    }
}

/// What explanations need of an ensemble whatever the row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Explainer {
    /// One a tree.
    programs: Vec<Program>,
    bias: Vec<f64>,
}

impl Explainer {
    /// Expects a checked ensemble over `n_columns` columns.
    pub(crate) fn of(ensemble: &Ensemble, n_columns: usize) -> Self {
        let mut compiler = Compiler::default();
        let compile = |tree: &Tree| compiler.compile(tree, n_columns);
        let programs = giving_way(&ensemble.trees).map(compile).collect();
        let mut bias = vec![0.0; ensemble.n_outputs()];
        for (tree, &output) in ensemble.numbered_trees() {
            add_expectation(tree, output as usize, &mut bias);
        }
        average(ensemble, 1, &mut bias);
        bias.iter_mut().zip(&ensemble.base).for_each(|(sum, base)| *sum += base);
        Self { programs, bias }
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
        let mut contributions = vec![0.0; self.n_outputs() * n_columns];
        self.contributions_of_row(Registers::widest(), row, &mut contributions);
        Explanation { n_columns, bias: self.explainer().bias.clone(), contributions }
    }

    /// Explains all rows, each as [`Model::explain`] does, bit for bit, but many times faster.
    ///
    /// # Panics
    /// If the matrix is not as wide as the schema.
    #[must_use]
    pub fn explain_rows(&self, rows: &Matrix) -> Explanations {
        let (n_rows, n_columns) = (rows.n_rows(), self.schema().len());
        assert_eq!(rows.n_columns(), n_columns, "rows must have one value a column");
        let mut contributions = vec![0.0; n_rows * self.n_outputs() * n_columns];
        self.contributions_of_rows(Registers::widest(), rows, &mut contributions);
        Explanations { n_rows, n_columns, bias: self.explainer().bias.clone(), contributions }
    }
}

impl Model {
    /// Shape `(n_outputs, n_columns)`.
    fn contributions_of_row(&self, registers: Registers, row: &[f64], out: &mut [f64]) {
        let (ensemble, programs) = (self.ensemble(), &self.explainer().programs[..]);
        registers.run(OfRow { ensemble, programs, row, out: &mut *out });
        average(ensemble, row.len(), out);
    }

    /// Shape `(n_rows, n_outputs, n_columns)`.
    fn contributions_of_rows(&self, registers: Registers, rows: &Matrix, out: &mut [f64]) {
        let (ensemble, programs) = (self.ensemble(), &self.explainer().programs[..]);
        registers.run(OfRows { ensemble, programs, rows, out: &mut *out });
        average(ensemble, rows.n_columns(), out);
    }
}

/// Divides sums over trees, the last axes of whose shape are `(n_outputs, n_each)`, by the number of
/// trees if the ensemble averages.
fn average(ensemble: &Ensemble, n_each: usize, sums: &mut [f64]) {
    if ensemble.combine != Combine::Mean || n_each == 0 {
        return;
    }
    let n_trees = ensemble.n_trees_by_output();
    for (of_output, n_trees) in sums.chunks_mut(n_each).zip(n_trees.iter().cycle()) {
        of_output.iter_mut().for_each(|value| *value /= n_trees);
    }
}

/// Adds the tree's cover-weighted mean leaf to `sums`, shape `(n_outputs,)`.
fn add_expectation(tree: &Tree, output: usize, sums: &mut [f64]) {
    let mut reach = vec![1.0; tree.nodes.len()];
    let mut add = |leaf: u32, share: f64| {
        let sums = &mut sums[tree.outputs(output)];
        sums.iter_mut().zip(tree.leaf_values(leaf)).for_each(|(sum, value)| *sum += share * value);
    };
    if tree.nodes.is_empty() {
        add(0, 1.0);
    }
    for (index, node) in tree.nodes.iter().enumerate() {
        for (child, share) in [node.left, node.right].into_iter().zip(shares(tree, node)) {
            match child {
                Child::Node(child) => reach[child as usize] = reach[index] * share,
                Child::Leaf(leaf) => add(leaf, reach[index] * share),
            }
        }
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
