//! Random forest on byte codes (Breiman 2001): bootstrap counts, columns drawn for each node, class
//! shares or means in the leaves, out-of-bag predictions.

mod classes;
mod grow;
mod params;
#[cfg(test)]
mod tests;

use rayon::prelude::*;
use segue_dataset::{Dataset, TargetKind};
use segue_model::{Combine, Ensemble, Link, Tree};

use crate::binning::{Binning, Bundles, CodeMatrix};
use crate::code_tree::CodeTree;
use crate::learner::{Report, report};
use crate::sampling::{bootstrap_counts, generator};
use crate::{Fitted, LearnError, OutOfBag};
use grow::grow;
pub use params::{FeatureShare, ForestParams, ForestValidParams};

/// Trees grown between two reports of progress, a thread.
const TREES_PER_REPORT: usize = 2;
/// Rows predicted together by one thread.
const BLOCK_ROWS: usize = 4_096;
/// Smallest probability whose logarithm enters the out-of-bag log loss.
const SMALLEST_PROBABILITY: f64 = 1e-15;

/// What every tree of a forest shares.
struct Forest<'a> {
    params: &'a ForestParams,
    data: &'a Dataset,
    binning: Binning,
    codes: CodeMatrix,
    /// Outputs a leaf carries: classes of a multiclass target, else 1.
    leaf_width: usize,
    /// Weighted mean label of a number or of 0/1; labels are centred on it before they are scaled.
    centre: f64,
}

/// A grown tree, still over codes.
struct GrownTree {
    tree: CodeTree,
    /// Shape `(n_leaves, leaf_width)`.
    leaf_values: Vec<f64>,
    leaf_cover: Vec<f64>,
    /// How often each row was drawn.
    counts: Vec<u8>,
}

pub(crate) fn fit(
    params: &ForestValidParams,
    train: &Dataset,
    progress: Report<'_>,
) -> Result<Fitted, LearnError> {
    let params = params.params();
    let binning = Binning::learn(train, params.max_bins)?;
    let bundles = Bundles::one_a_column(binning.columns());
    let codes = binning.encode(bundles, train.features());
    let leaf_width = train.target().kind.n_outputs();
    let centre = weighted_mean(train);
    let forest = Forest { params, data: train, binning, codes, leaf_width, centre };
    let mut out_of_bag = params.out_of_bag.then(|| Votes::new(train.n_rows(), leaf_width));
    let mut trees: Vec<Tree> = Vec::with_capacity(params.n_trees);
    let block = TREES_PER_REPORT * rayon::current_num_threads();
    while trees.len() < params.n_trees {
        let end = (trees.len() + block).min(params.n_trees);
        let grown: Vec<GrownTree> =
            (trees.len()..end).into_par_iter().map(|tree| forest.tree(tree as u64)).collect();
        if let Some(votes) = &mut out_of_bag {
            votes.add(&grown, &forest.codes);
        }
        let width = leaf_width as u32;
        trees.extend(grown.into_iter().map(|grown| {
            let GrownTree { tree, leaf_values, leaf_cover, .. } = grown;
            tree.to_tree(&forest.binning, leaf_values, leaf_cover, width)
        }));
        report(progress, trees.len(), params.n_trees)?;
    }
    Ok(Fitted {
        best_iteration: trees.len(),
        ensemble: Ensemble {
            tree_output: vec![0; trees.len()],
            trees,
            base: vec![0.0; leaf_width],
            combine: Combine::Mean,
            link: Link::Identity,
        },
        history: Vec::new(),
        learner_name: "forest",
        out_of_bag: out_of_bag.map(|votes| votes.finish(train)),
    })
}

fn weighted_mean(data: &Dataset) -> f64 {
    let labels = &data.target().values;
    match data.weight() {
        None => labels.iter().sum::<f64>() / labels.len() as f64,
        Some(weights) => {
            let sum: f64 = labels.iter().zip(weights).map(|(label, weight)| label * weight).sum();
            sum / weights.iter().sum::<f64>()
        }
    }
}

impl Forest<'_> {
    fn tree(&self, index: u64) -> GrownTree {
        let n_rows = self.data.n_rows();
        let mut generator = generator(self.params.seed, index);
        let counts = if self.params.bootstrap {
            bootstrap_counts(n_rows, &mut generator)
        } else {
            vec![1; n_rows]
        };
        let weight = |row: usize| {
            f64::from(counts[row]) * self.data.weight().map_or(1.0, |weight| weight[row])
        };
        let rows: Vec<u32> = (0..n_rows as u32).filter(|&row| weight(row as usize) > 0.0).collect();
        let grown = grow(self, &rows, &weight, &mut generator);
        let mut leaf_values = Vec::with_capacity(grown.tree.n_leaves() * self.leaf_width);
        let mut leaf_cover = Vec::with_capacity(grown.tree.n_leaves());
        for leaf in 0..grown.tree.n_leaves() {
            let cover = self.push_leaf(grown.rows(leaf), &weight, &mut leaf_values);
            leaf_cover.push(cover);
        }
        GrownTree { tree: grown.tree, leaf_values, leaf_cover, counts }
    }

    /// Appends a leaf's values, from sums in row order, and returns its weight.
    fn push_leaf(
        &self,
        rows: impl Iterator<Item = usize>,
        weight: &(dyn Fn(usize) -> f64 + Sync),
        leaf_values: &mut Vec<f64>,
    ) -> f64 {
        let labels = &self.data.target().values;
        let start = leaf_values.len();
        leaf_values.resize(start + self.leaf_width, 0.0);
        let sums = &mut leaf_values[start..];
        let mut total = 0.0;
        for row in rows {
            let (weight, label) = (weight(row), labels[row]);
            total += weight;
            match self.leaf_width {
                1 => sums[0] += weight * label,
                _ => sums[label as usize] += weight,
            }
        }
        if total > 0.0 {
            sums.iter_mut().for_each(|sum| *sum /= total);
        }
        total
    }
}

/// Sums of out-of-bag predictions.
struct Votes {
    width: usize,
    sums: Vec<f64>,
    n_trees: Vec<u32>,
}

impl Votes {
    fn new(n_rows: usize, width: usize) -> Self {
        Self { width, sums: vec![0.0; n_rows * width], n_trees: vec![0; n_rows] }
    }

    /// Adds trees in order; each row is handled by one thread.
    fn add(&mut self, grown: &[GrownTree], codes: &CodeMatrix) {
        let width = self.width;
        let rows = self.sums.par_chunks_mut(width).zip(&mut self.n_trees);
        rows.with_min_len(BLOCK_ROWS).enumerate().for_each(|(row, (sums, n_trees))| {
            for grown in grown.iter().filter(|grown| grown.counts[row] == 0) {
                let leaf = grown.tree.leaf(codes.row(row)) as usize;
                let values = &grown.leaf_values[leaf * width..][..width];
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                *n_trees += 1;
            }
        });
    }

    fn finish(self, data: &Dataset) -> OutOfBag {
        let Self { width, mut sums, n_trees } = self;
        let (mut loss, mut weights) = (0.0, 0.0);
        for (row, values) in sums.chunks_exact_mut(width).enumerate() {
            let n = f64::from(n_trees[row]);
            values
                .iter_mut()
                .for_each(|value| *value = if n > 0.0 { *value / n } else { f64::NAN });
            let weight = data.weight().map_or(1.0, |weight| weight[row]);
            if n > 0.0 && weight > 0.0 {
                loss += weight * row_loss(&data.target().kind, values, data.target().values[row]);
                weights += weight;
            }
        }
        let n_rows_covered = n_trees.iter().filter(|&&n| n > 0).count();
        OutOfBag { predictions: sums, n_rows_covered, loss: loss / weights }
    }
}

fn row_loss(kind: &TargetKind, prediction: &[f64], label: f64) -> f64 {
    let log_loss = |probability: f64| -probability.max(SMALLEST_PROBABILITY).ln();
    match kind {
        TargetKind::Regression => (prediction[0] - label).powi(2),
        TargetKind::Binary if label == 1.0 => log_loss(prediction[0]),
        TargetKind::Binary => log_loss(1.0 - prediction[0]),
        TargetKind::Multiclass { .. } => log_loss(prediction[label as usize]),
    }
}
