//! How much of a contribution is shared with another column.

use std::collections::BTreeSet;

use super::average;
use super::layout::ByPoints;
use super::program::{Curve, Program};
use super::registers::Registers;
use super::simd::Portable;
use super::sweep::Answers;
use crate::{Child, Model, Tree};

/// SHAP interaction values of one row (Lundberg and others 2018).
///
/// The interaction of two columns (Shapley's interaction index, an integral of a second derivative
/// as contributions are of a first) is split evenly between them; what is left of a column's
/// contribution is its main effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Interactions {
    n_outputs: usize,
    n_columns: usize,
    /// Shape `(n_outputs, n_columns, n_columns)`.
    values: Vec<f64>,
}

impl Interactions {
    /// Values of one output, shape `(n_columns, n_columns)` row-major: symmetric, main effects on the
    /// diagonal, each row sums to the column's contribution.
    ///
    /// # Panics
    /// If there is no such output.
    #[must_use]
    pub fn values(&self, output: usize) -> &[f64] {
        assert!(output < self.n_outputs, "output must be below n_outputs");
        let size = self.n_columns * self.n_columns;
        &self.values[output * size..][..size]
    }

    /// The `n` strongest pairs of different columns of one output: both columns, the one with the smaller
    /// index first, and what they do together, the halves of both. Strongest first, ties by column; pairs
    /// that do nothing together are left out.
    ///
    /// # Panics
    /// If there is no such output.
    #[must_use]
    pub fn strongest(&self, output: usize, n: usize) -> Vec<(usize, usize, f64)> {
        let values = self.values(output);
        let pair = |a: usize, b: usize| {
            (a, b, values[a * self.n_columns + b] + values[b * self.n_columns + a])
        };
        let pairs = (0..self.n_columns).flat_map(|a| (a + 1..self.n_columns).map(move |b| (a, b)));
        let mut pairs: Vec<_> =
            pairs.map(|(a, b)| pair(a, b)).filter(|&(_, _, value)| value != 0.0).collect();
        // Stable, so that pairs of the same strength stay in the order of their columns.
        pairs.sort_by(|one, other| other.2.abs().total_cmp(&one.2.abs()));
        pairs.truncate(n);
        pairs
    }
}

impl Model {
    /// Exact interaction values of every pair of columns for a row: `O(nodes * points)` for each
    /// tree and each column that it asks of.
    ///
    /// # Panics
    /// If the row is not as wide as the schema.
    #[must_use]
    pub fn interactions(&self, row: &[f64]) -> Interactions {
        let n_columns = self.schema().len();
        assert_eq!(row.len(), n_columns, "row must have one value a column");
        let (ensemble, programs) = (self.ensemble(), &self.explainer().programs);
        let n_outputs = ensemble.n_outputs();
        let size = n_columns * n_columns;
        let mut values = vec![0.0; n_outputs * size];
        let mut curvature = Curvature {
            answers: Answers::for_programs(programs, 0.0),
            curves: Vec::new(),
            nodes: Vec::new(),
        };
        for (program, (tree, &output)) in programs.iter().zip(ensemble.numbered_trees()) {
            curvature.answers.ask::<ByPoints<Portable>>(program, tree, row);
            let columns: BTreeSet<u32> = program.steps.iter().map(|step| step.feature).collect();
            for (k, output) in tree.outputs(output as usize).enumerate() {
                let values = &mut values[output * size..][..size];
                curvature.add(program, tree, k, &columns, n_columns, values);
            }
        }
        average(ensemble, size, &mut values);
        let mut contributions = vec![0.0; n_outputs * n_columns];
        self.contributions_of_row(Registers::widest(), row, &mut contributions);
        for (pair_sums, contributions) in
            values.chunks_mut(size.max(1)).zip(contributions.chunks(n_columns.max(1)))
        {
            finish(pair_sums, contributions);
        }
        Interactions { n_outputs, n_columns, values }
    }
}

/// From interactions of pairs, each below the diagonal only, to halves on both sides and main effects.
fn finish(values: &mut [f64], contributions: &[f64]) {
    let n = contributions.len();
    for i in 0..n {
        for j in 0..i {
            values[i * n + j] *= 0.5;
            values[j * n + i] = values[i * n + j];
        }
    }
    for (i, contribution) in contributions.iter().enumerate() {
        let others: f64 = values[i * n..][..n].iter().sum();
        values[i * n + i] = contribution - others;
    }
}

/// What one node holds at one point, and by how much that moves with the column at hand.
#[derive(Debug, Clone, Copy, Default)]
struct Moving {
    adjoint: f64,
    adjoint_moves: f64,
    value: f64,
    value_moves: f64,
}

/// Second derivatives of one tree: forward differentiation of its gradient.
struct Curvature {
    answers: Answers<f64>,
    /// By node, for the group at hand.
    curves: Vec<Curve>,
    nodes: Vec<Moving>,
}

impl Curvature {
    /// Adds the interaction of every pair of `columns` to the entry below the diagonal of `values`,
    /// shape `(n_columns, n_columns)`.
    fn add(
        &mut self,
        program: &Program,
        tree: &Tree,
        k: usize,
        columns: &BTreeSet<u32>,
        n_columns: usize,
        values: &mut [f64],
    ) {
        self.nodes.resize(program.steps.len(), Moving::default());
        for (points, weights) in program.points.iter().zip(&program.weights) {
            self.curves.clear();
            self.curves.extend(program.steps.iter().map(|step| Curve::at(step.z, points)));
            for (q, &weight) in weights[..program.group].iter().enumerate() {
                let at = Point { q, weight };
                for &column in columns {
                    self.sweep(program, tree, k, column, at, |other, interaction| {
                        values[column as usize * n_columns + other] += interaction;
                    });
                }
            }
        }
    }

    /// Gives every column before `column` that is asked of, with its part of the second derivative
    /// at a quadrature point.
    fn sweep(
        &mut self,
        program: &Program,
        tree: &Tree,
        k: usize,
        column: u32,
        at: Point,
        mut give: impl FnMut(usize, f64),
    ) {
        let (pulls, curves) = (&self.answers.pull, &self.curves);
        // Probability of going left, by how much it moves with its own column, and with `column`.
        let going_left = |index: usize| {
            let step = &program.steps[index];
            let slope = pulls[index] * curves[index].slope[at.q];
            let moves = if step.feature == column { slope } else { 0.0 };
            (step.share + pulls[index] * curves[index].known[at.q], slope, moves)
        };
        let nodes = &mut self.nodes;
        if let Some(root) = nodes.first_mut() {
            *root = Moving { adjoint: at.weight, ..Moving::default() };
        }
        for (index, step) in program.steps.iter().enumerate() {
            let (p, _, p_moves) = going_left(index);
            let Moving { adjoint, adjoint_moves, .. } = nodes[index];
            let left = Moving {
                adjoint: adjoint * p,
                adjoint_moves: adjoint_moves * p + adjoint * p_moves,
                ..Moving::default()
            };
            let right = Moving {
                adjoint: adjoint - left.adjoint,
                adjoint_moves: adjoint_moves - left.adjoint_moves,
                ..Moving::default()
            };
            for (child, moving) in [(step.left, left), (step.right, right)] {
                if let Child::Node(child) = child {
                    nodes[child as usize] = moving;
                }
            }
        }
        for (index, step) in program.steps.iter().enumerate().rev() {
            let of = |child: Child| match child {
                Child::Node(child) => nodes[child as usize],
                Child::Leaf(leaf) => {
                    Moving { value: tree.leaf_values(leaf)[k], ..Moving::default() }
                }
            };
            let (left, right) = (of(step.left), of(step.right));
            let (gap, gap_moves) = (left.value - right.value, left.value_moves - right.value_moves);
            let (p, slope, p_moves) = going_left(index);
            let node = &mut nodes[index];
            if step.feature < column {
                let moves = node.adjoint_moves * gap + node.adjoint * gap_moves;
                give(step.feature as usize, slope * moves);
            }
            node.value = right.value + p * gap;
            node.value_moves = right.value_moves + p * gap_moves + p_moves * gap;
        }
    }
}

/// One quadrature point of the group at hand.
#[derive(Debug, Clone, Copy)]
struct Point {
    q: usize,
    weight: f64,
}
