//! A table as the boosting reads it, and the margins of its rows.

use rayon::prelude::*;
use segue_dataset::{Dataset, TargetKind};
use segue_model::{Child, Tree};

use super::grow::Grown;
use super::params::ClassWeight;
use crate::binning::CodeMatrix;
use crate::objective::RowWeights;
use crate::{LearnError, Objective};

/// Rows handled together by one thread.
const BLOCK_ROWS: usize = 4_096;

/// A table as the boosting reads it.
pub(super) struct Rows<'a> {
    pub(super) data: &'a Dataset,
    pub(super) codes: &'a CodeMatrix,
    pub(super) weights: RowWeights,
    pub(super) max_weight: f64,
}

impl<'a> Rows<'a> {
    pub(super) fn new(data: &'a Dataset, codes: &'a CodeMatrix, class_factors: &[f64]) -> Self {
        let factor = |label: f64| class_factors.get(label as usize).copied().unwrap_or(1.0);
        let weight = |row: usize| data.weight().map_or(1.0, |weight| weight[row]);
        let weights = if data.weight().is_none() && class_factors.is_empty() {
            RowWeights::Equal
        } else {
            let labels = data.target().values.iter().enumerate();
            RowWeights::Each(labels.map(|(row, &label)| weight(row) * factor(label)).collect())
        };
        let max_weight = weights.largest();
        Self { data, codes, weights, max_weight }
    }

    pub(super) fn labels(&self) -> &[f64] {
        &self.data.target().values
    }

    /// Weighted mean loss over every `stride`-th row; block sums in block order.
    pub(super) fn loss(&self, objective: &Objective, margins: &Margins, stride: usize) -> f64 {
        let rows: Vec<usize> = (0..self.labels().len()).step_by(stride).collect();
        let partial: Vec<(f64, f64)> = rows
            .par_chunks(BLOCK_ROWS)
            .map(|rows| {
                let mut row_margins = vec![0.0; margins.n_outputs()];
                rows.iter().fold((0.0, 0.0), |(loss, weight), &row| {
                    margins.copy_row(row, &mut row_margins);
                    let row_loss = objective.loss(&row_margins, self.labels()[row]);
                    (loss + self.weights.of(row) * row_loss, weight + self.weights.of(row))
                })
            })
            .collect();
        let (loss, weight) = partial.iter().fold((0.0, 0.0), |(a, b), &(c, d)| (a + c, b + d));
        loss / weight
    }
}

/// Margins of all rows, output by output.
pub(super) struct Margins(pub(super) Vec<Vec<f64>>);

impl Margins {
    pub(super) fn constant(base: &[f64], n_rows: usize) -> Self {
        Self(base.iter().map(|&base| vec![base; n_rows]).collect())
    }

    pub(super) fn n_outputs(&self) -> usize {
        self.0.len()
    }

    pub(super) fn copy_row(&self, row: usize, out: &mut [f64]) {
        out.iter_mut().zip(&self.0).for_each(|(value, margins)| *value = margins[row]);
    }
}

/// Factor of each class; empty means 1 for all.
pub(super) fn class_factors(weight: &ClassWeight, train: &Dataset) -> Result<Vec<f64>, LearnError> {
    let n_classes = match &train.target().kind {
        TargetKind::Binary => 2,
        TargetKind::Multiclass { classes } => classes.len(),
        TargetKind::Regression if *weight == ClassWeight::Equal => return Ok(Vec::new()),
        TargetKind::Regression => return Err(LearnError::ClassWeightTarget),
    };
    match weight {
        ClassWeight::Equal => Ok(Vec::new()),
        ClassWeight::Each(factors) if factors.len() == n_classes => Ok(factors.clone()),
        ClassWeight::Each(factors) => {
            Err(LearnError::ClassWeightCount { expected: n_classes, got: factors.len() })
        }
        ClassWeight::Balanced => {
            let mut sums = vec![0.0; n_classes];
            for (row, &label) in train.target().values.iter().enumerate() {
                sums[label as usize] += train.weight().map_or(1.0, |weight| weight[row]);
            }
            let n_present = sums.iter().filter(|&&sum| sum > 0.0).count() as f64;
            let mean = sums.iter().sum::<f64>() / n_present;
            Ok(sums.iter().map(|&sum| if sum > 0.0 { mean / sum } else { 1.0 }).collect())
        }
    }
}

/// Moves the margins of all rows but `sampled` (ascending), which have been moved already.
pub(super) fn add_to_unsampled(
    grown: &Grown<'_>,
    values: &[f64],
    sampled: &[u32],
    codes: &CodeMatrix,
    margins: &mut [f64],
) {
    margins.par_chunks_mut(BLOCK_ROWS).enumerate().for_each(|(block, margins)| {
        let first = (block * BLOCK_ROWS) as u32;
        let before = sampled.partition_point(|&row| row < first);
        let mut sampled = sampled[before..].iter().peekable();
        for (row, margin) in (first..).zip(margins) {
            if sampled.next_if(|&&next| next == row).is_none() {
                *margin += values[grown.tree.leaf(codes.row(row as usize)) as usize];
            }
        }
    });
}

/// Moves the margins of all rows alike: what a tree of one leaf does.
pub(super) fn shift(margins: &mut [f64], value: f64) {
    margins.par_iter_mut().with_min_len(BLOCK_ROWS).for_each(|margin| *margin += value);
}

/// Moves the margins of all rows.
pub(super) fn add_to_all(
    grown: &Grown<'_>,
    values: &[f64],
    codes: &CodeMatrix,
    margins: &mut [f64],
) {
    margins.par_iter_mut().with_min_len(BLOCK_ROWS).enumerate().for_each(|(row, margin)| {
        *margin += values[grown.tree.leaf(codes.row(row)) as usize];
    });
}

/// Adds `factor` times the values of a finished tree (one value a leaf) to the margins of all rows.
pub(super) fn add_tree(tree: &Tree, factor: f64, data: &Dataset, margins: &mut [f64]) {
    let columns = data.features().columns();
    margins.par_iter_mut().with_min_len(BLOCK_ROWS).enumerate().for_each(|(row, margin)| {
        let mut at = if tree.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) };
        let leaf = loop {
            match at {
                Child::Leaf(leaf) => break leaf,
                Child::Node(node) => {
                    let node = &tree.nodes[node as usize];
                    at = node.next(columns[node.feature as usize][row]);
                }
            }
        };
        *margin += factor * tree.leaf_values[leaf as usize];
    });
}
