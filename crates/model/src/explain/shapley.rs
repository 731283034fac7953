//! One tree's Shapley values by two sweeps over its nodes, without recursion.
//!
//! Parents come before children, so a sweep forward knows the path to every node, and a sweep
//! backward has summed every subtree before its parent asks for it.

use super::{Quadrature, shares};
use crate::{Child, Tree};

const NO_EDGE: usize = usize::MAX;

/// Most different features on any path from the root to a leaf.
pub(super) fn longest_path(tree: &Tree) -> usize {
    let mut edge_in = vec![NO_EDGE; tree.nodes.len()];
    let mut length = vec![0usize; tree.nodes.len()];
    let mut longest = 0;
    for (index, node) in tree.nodes.iter().enumerate() {
        let repeated = same_feature_above(tree, &edge_in, index) != NO_EDGE;
        let below = length[index] + usize::from(!repeated);
        longest = longest.max(below);
        for (side, child) in [node.left, node.right].into_iter().enumerate() {
            if let Child::Node(child) = child {
                edge_in[child as usize] = 2 * index + side;
                length[child as usize] = below;
            }
        }
    }
    longest
}

/// Adds the tree's cover-weighted mean leaf to `sums`, shape `(n_outputs,)`.
pub(super) fn add_expectation(tree: &Tree, output: usize, sums: &mut [f64]) {
    let mut reach = vec![1.0; tree.nodes.len()];
    let mut add = |leaf: u32, share: f64| {
        let values = tree.leaf_values(leaf);
        let first = if values.len() == 1 { output } else { 0 };
        sums[first..].iter_mut().zip(values).for_each(|(sum, value)| *sum += share * value);
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

/// The nearest edge above `node` that leaves a node of the same feature. Edge `2 n + side` leaves
/// node `n` to the left (0) or right (1).
fn same_feature_above(tree: &Tree, edge_in: &[usize], node: usize) -> usize {
    let feature = tree.nodes[node].feature;
    let mut edge = edge_in[node];
    while edge != NO_EDGE && tree.nodes[edge / 2].feature != feature {
        edge = edge_in[edge / 2];
    }
    edge
}

/// What the path up to and including an edge says of the edge's feature.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Product of the cover shares: the weight when the feature is unknown.
    z: f64,
    /// 1 if the row takes all these branches, else 0: the weight when it is known.
    o: f64,
}

impl Known {
    const NOTHING: Self = Self { z: 1.0, o: 1.0 };

    /// The factor at quadrature point `x`; 0 only if both weights are.
    fn at(self, x: f64) -> f64 {
        self.z * (1.0 - x) + self.o * x
    }
}

/// Buffers of the two sweeps, reused from tree to tree.
#[derive(Debug, Default)]
pub(super) struct Walk {
    edge_in: Vec<usize>,
    known: Vec<Known>,
    known_before: Vec<Known>,
    /// Product of all factors of the path at each point, shape `(n_nodes, n_points)`.
    product: Vec<f64>,
    /// Weighted leaf values of the subtree, shape `(n_nodes, width, n_points)`.
    subtree: Vec<f64>,
    edge_sum: Vec<f64>,
}

impl Walk {
    /// Adds the tree's contributions to `out`, shape `(n_outputs, n_columns)`.
    pub(super) fn add(
        &mut self,
        tree: &Tree,
        row: &[f64],
        output: usize,
        rule: &Quadrature,
        out: &mut [f64],
    ) {
        self.forward(tree, row, rule);
        let (n_points, width) = (rule.len(), tree.leaf_width as usize);
        let n_sums = width * n_points;
        self.subtree.clear();
        self.subtree.resize(tree.nodes.len() * n_sums, 0.0);
        self.edge_sum.resize(n_sums, 0.0);
        let first_output = if width == 1 { output } else { 0 };
        for (index, node) in tree.nodes.iter().enumerate().rev() {
            for (side, child) in [node.left, node.right].into_iter().enumerate() {
                let edge = 2 * index + side;
                match child {
                    Child::Node(child) => {
                        let sums = &self.subtree[child as usize * n_sums..][..n_sums];
                        self.edge_sum.copy_from_slice(sums);
                    }
                    Child::Leaf(leaf) => self.leaf_sum(tree.leaf_values(leaf), index, edge, rule),
                }
                for (k, sums) in self.edge_sum.chunks(n_points).enumerate() {
                    let gain = weigh(self.known[edge], sums, rule)
                        - weigh(self.known_before[edge], sums, rule);
                    out[(first_output + k) * row.len() + node.feature as usize] += gain;
                }
                let sums = &mut self.subtree[index * n_sums..][..n_sums];
                sums.iter_mut().zip(&self.edge_sum).for_each(|(sum, add)| *sum += add);
            }
        }
    }

    fn forward(&mut self, tree: &Tree, row: &[f64], rule: &Quadrature) {
        let (n_nodes, n_points) = (tree.nodes.len(), rule.len());
        self.edge_in.clear();
        self.edge_in.resize(n_nodes, NO_EDGE);
        self.known.clear();
        self.known_before.clear();
        self.product.clear();
        self.product.resize(n_nodes * n_points, 1.0);
        for (index, node) in tree.nodes.iter().enumerate() {
            let above = same_feature_above(tree, &self.edge_in, index);
            let before = if above == NO_EDGE { Known::NOTHING } else { self.known[above] };
            let taken = node.next(row[node.feature as usize]);
            for (side, child) in [node.left, node.right].into_iter().enumerate() {
                let share = shares(tree, node)[side];
                let o = if child == taken { before.o } else { 0.0 };
                let known = Known { z: before.z * share, o };
                self.known.push(known);
                self.known_before.push(before);
                if let Child::Node(child) = child {
                    self.edge_in[child as usize] = 2 * index + side;
                    for (q, &x) in rule.points.iter().enumerate() {
                        self.product[child as usize * n_points + q] =
                            replaced(self.product[index * n_points + q], before, known, x);
                    }
                }
            }
        }
    }

    /// Quadrature weight times path product times leaf value, for the leaf at the end of `edge`.
    fn leaf_sum(&mut self, values: &[f64], node: usize, edge: usize, rule: &Quadrature) {
        let n_points = rule.len();
        for (q, (&x, &weight)) in rule.points.iter().zip(&rule.weights).enumerate() {
            let above = self.product[node * n_points + q];
            let path = weight * replaced(above, self.known_before[edge], self.known[edge], x);
            for (k, value) in values.iter().enumerate() {
                self.edge_sum[k * n_points + q] = path * value;
            }
        }
    }
}

/// A path product with one feature's factor exchanged.
fn replaced(product: f64, before: Known, known: Known, x: f64) -> f64 {
    let old = before.at(x);
    if old == 0.0 { 0.0 } else { product / old * known.at(x) }
}

/// `(o - z) * sum_q sums_q / factor_q`: the integral without the feature's own factor.
fn weigh(known: Known, sums: &[f64], rule: &Quadrature) -> f64 {
    let span = known.o - known.z;
    if span == 0.0 {
        // Either the feature decides nothing, or (0, 0) no row and no weight comes here.
        return 0.0;
    }
    let total: f64 = sums.iter().zip(&rule.points).map(|(sum, &x)| sum / known.at(x)).sum();
    span * total
}
