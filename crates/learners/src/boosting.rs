//! Leaf-wise histogram gradient boosting (Friedman 2001; Ke et al. 2017, LightGBM).

mod grow;
mod params;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use rayon::prelude::*;
use segue_dataset::{Dataset, TargetKind};
use segue_model::{Combine, Ensemble, Tree, softmax_in_place};

use crate::histogram::Scaled;
use crate::objective::weighted_quantile;
use crate::sampling::{draw_columns, draw_rows, generator};
use crate::split::{SplitRules, soft_threshold};
use crate::{Binning, CodeMatrix, Fitted, LearnError, LossPoint, Objective, Progress};
use grow::{Grower, Grown, TreeLimits};
pub use params::{BoostingParams, BoostingValidParams, ClassWeight};

/// Training rows on which the training loss is watched, at most; evenly spaced.
const WATCHED_ROWS: usize = 16_384;
/// Rows handled together by one thread.
const BLOCK_ROWS: usize = 4_096;

pub(crate) fn fit(
    params: &BoostingValidParams,
    train: &Dataset,
    valid: Option<&Dataset>,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<Fitted, LearnError> {
    let params = params.params();
    let objective =
        params.objective.unwrap_or_else(|| Objective::default_for(&train.target().kind));
    objective.check_target(train.target())?;
    // A table without weight has no loss to stop at.
    let has_weight = |data: &&Dataset| match data.weight() {
        Some(weight) => weight.iter().any(|&weight| weight > 0.0),
        None => data.n_rows() > 0,
    };
    let valid = valid.filter(has_weight);
    if let Some(valid) = valid {
        objective.check_target(valid.target())?;
    }
    let class_factors = class_factors(&params.class_weight, train)?;
    let binning = Binning::learn(train, params.max_bins)?;
    let codes = binning.encode(train.features());
    let train = Rows::new(train, &codes, &class_factors);
    let base = objective.base(train.data.target(), &train.weights);
    let valid_codes = valid.map(|valid| binning.encode(valid.features()));
    let valid = valid.zip(valid_codes.as_ref()).map(|(data, codes)| {
        let rows = Rows::new(data, codes, &class_factors);
        let margins = Margins::constant(&base, data.n_rows());
        (rows, margins)
    });
    let run = Boosting { params, objective, binning: &binning, train: &train, base: &base };
    run.fit(valid, progress)
}

/// A table as the boosting reads it.
struct Rows<'a> {
    data: &'a Dataset,
    codes: &'a CodeMatrix,
    /// Row weight times class factor.
    weights: Vec<f64>,
}

impl<'a> Rows<'a> {
    fn new(data: &'a Dataset, codes: &'a CodeMatrix, class_factors: &[f64]) -> Self {
        let factor = |label: f64| class_factors.get(label as usize).copied().unwrap_or(1.0);
        let labels = data.target().values.iter().enumerate();
        let weight = |row: usize| data.weight().map_or(1.0, |weight| weight[row]);
        let weights = if class_factors.is_empty() {
            labels.map(|(row, _)| weight(row)).collect()
        } else {
            labels.map(|(row, &label)| weight(row) * factor(label)).collect()
        };
        Self { data, codes, weights }
    }

    fn labels(&self) -> &[f64] {
        &self.data.target().values
    }

    /// Weighted mean loss over every `stride`-th row; block sums in block order.
    fn loss(&self, objective: Objective, margins: &Margins, stride: usize) -> f64 {
        let rows: Vec<usize> = (0..self.weights.len()).step_by(stride).collect();
        let partial: Vec<(f64, f64)> = rows
            .par_chunks(BLOCK_ROWS)
            .map(|rows| {
                let mut row_margins = vec![0.0; margins.n_outputs()];
                rows.iter().fold((0.0, 0.0), |(loss, weight), &row| {
                    margins.copy_row(row, &mut row_margins);
                    let row_loss = objective.loss(&row_margins, self.labels()[row]);
                    (loss + self.weights[row] * row_loss, weight + self.weights[row])
                })
            })
            .collect();
        let (loss, weight) = partial.iter().fold((0.0, 0.0), |(a, b), &(c, d)| (a + c, b + d));
        loss / weight
    }
}

/// Margins of all rows, output by output.
struct Margins(Vec<Vec<f64>>);

impl Margins {
    fn constant(base: &[f64], n_rows: usize) -> Self {
        Self(base.iter().map(|&base| vec![base; n_rows]).collect())
    }

    fn n_outputs(&self) -> usize {
        self.0.len()
    }

    fn copy_row(&self, row: usize, out: &mut [f64]) {
        out.iter_mut().zip(&self.0).for_each(|(value, margins)| *value = margins[row]);
    }
}

/// Factor of each class; empty means 1 for all.
fn class_factors(weight: &ClassWeight, train: &Dataset) -> Result<Vec<f64>, LearnError> {
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

/// One fit: what does not change from round to round.
struct Boosting<'a> {
    params: &'a BoostingParams,
    objective: Objective,
    binning: &'a Binning,
    train: &'a Rows<'a>,
    base: &'a [f64],
}

impl Boosting<'_> {
    fn fit(
        &self,
        mut valid: Option<(Rows<'_>, Margins)>,
        progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
    ) -> Result<Fitted, LearnError> {
        let n_rounds = self.params.n_rounds;
        let n_rows = self.train.weights.len();
        let rows: Vec<u32> =
            (0..n_rows as u32).filter(|&row| self.train.weights[row as usize] > 0.0).collect();
        let mut margins = Margins::constant(self.base, n_rows);
        let mut grower = Grower::new(self.train.codes, self.binning, self.limits());
        let mut trees: Vec<Tree> = Vec::new();
        let mut history: Vec<LossPoint> = Vec::new();
        let mut best = (0, f64::INFINITY);
        let patience = self.params.early_stopping_rounds;
        let watched = n_rows.div_ceil(WATCHED_ROWS).max(1);
        for iteration in 1..=n_rounds {
            let valid_margins = valid.as_mut().map(|(rows, margins)| (rows.codes, margins));
            let round = self.round(iteration, &rows, &mut margins, valid_margins, &mut grower);
            if round.iter().all(|tree| tree.nodes.is_empty()) {
                break;
            }
            trees.extend(round);
            let train_loss = self.train.loss(self.objective, &margins, watched);
            let valid_loss =
                valid.as_ref().map(|(rows, margins)| rows.loss(self.objective, margins, 1));
            history.push(LossPoint { iteration, train_loss, valid_loss });
            let report = Progress { iteration, n_iterations: n_rounds, train_loss, valid_loss };
            if progress(report).is_break() {
                return Err(LearnError::Cancelled { iteration });
            }
            match valid_loss {
                Some(loss) if patience > 0 => {
                    if loss < best.1 {
                        best = (iteration, loss);
                    } else if iteration - best.0 >= patience {
                        break;
                    }
                }
                _ => best.0 = iteration,
            }
        }
        trees.truncate(best.0 * self.base.len());
        Ok(self.fitted(trees, best.0, history))
    }

    fn fitted(&self, trees: Vec<Tree>, best_iteration: usize, history: Vec<LossPoint>) -> Fitted {
        let n_outputs = self.base.len() as u32;
        let ensemble = Ensemble {
            tree_output: (0..trees.len() as u32).map(|tree| tree % n_outputs).collect(),
            trees,
            base: self.base.to_vec(),
            combine: Combine::Sum,
            link: self.objective.link(),
        };
        Fitted { ensemble, best_iteration, history, learner_name: "boosting", out_of_bag: None }
    }

    fn limits(&self) -> TreeLimits {
        let params = self.params;
        TreeLimits {
            n_leaves: params.n_leaves,
            max_depth: if params.max_depth == 0 { usize::MAX } else { params.max_depth },
            rules: SplitRules {
                lambda_l1: params.lambda_l1,
                lambda_l2: params.lambda_l2,
                min_rows: params.min_rows_in_leaf as u64,
                min_hessian: params.min_hessian_in_leaf,
                min_gain: params.min_gain,
                categories: params.categories.clone(),
            },
        }
    }

    /// Grows one tree an output and moves the margins.
    fn round(
        &self,
        iteration: usize,
        all_rows: &[u32],
        margins: &mut Margins,
        mut valid: Option<(&CodeMatrix, &mut Margins)>,
        grower: &mut Grower<'_>,
    ) -> Vec<Tree> {
        let params = self.params;
        let sampled = (params.row_share < 1.0)
            .then(|| draw_rows(all_rows, params.row_share, params.seed, 2 * iteration as u64));
        let rows = sampled.as_deref().unwrap_or(all_rows);
        let mut columns_generator = generator(params.seed, 2 * iteration as u64 + 1);
        let mut trees = Vec::with_capacity(self.base.len());
        let mut scaled = Scaled::default();
        for (output, gradients) in self.gradients(margins).into_iter().enumerate() {
            scaled.refill(&gradients);
            let columns = draw_columns(
                self.binning.columns().len(),
                params.column_share,
                &mut columns_generator,
            );
            let grown = grower.grow(&scaled, rows, &columns);
            let values = self.leaf_values(&grown, &gradients, &margins.0[output]);
            add_to_leaves(&grown, &values, &mut margins.0[output]);
            if sampled.is_some() {
                add_to_unsampled(&grown, &values, rows, self.train.codes, &mut margins.0[output]);
            }
            if let Some((codes, margins)) = &mut valid {
                add_to_all(&grown, &values, codes, &mut margins.0[output]);
            }
            let cover = self.leaf_cover(&grown);
            trees.push(grown.tree.to_tree(self.binning, values, cover, 1));
        }
        trees
    }

    /// Weighted first and second derivatives of each output, all at the same margins.
    fn gradients(&self, margins: &Margins) -> Vec<Vec<(f64, f64)>> {
        let (labels, weights) = (self.train.labels(), &self.train.weights);
        if self.objective != Objective::Softmax {
            let gradient = |((&margin, &label), &weight): ((&f64, &f64), &f64)| {
                let (gradient, hessian) = self.objective.derivatives(margin, label);
                (weight * gradient, weight * hessian)
            };
            let rows = margins.0[0].par_iter().zip(labels).zip(weights);
            return vec![rows.with_min_len(BLOCK_ROWS).map(gradient).collect()];
        }
        let n_classes = margins.n_outputs();
        let mut shares = vec![0.0; labels.len() * n_classes];
        shares.par_chunks_mut(n_classes).with_min_len(BLOCK_ROWS).enumerate().for_each(
            |(row, shares)| {
                margins.copy_row(row, shares);
                softmax_in_place(shares);
            },
        );
        let of_class = |class: usize| {
            let gradient = |row: usize| {
                let p = shares[row * n_classes + class];
                let is_label = labels[row] == class as f64;
                let (gradient, hessian) = Objective::softmax_derivatives(p, is_label, n_classes);
                (weights[row] * gradient, weights[row] * hessian)
            };
            (0..labels.len()).into_par_iter().with_min_len(BLOCK_ROWS).map(gradient).collect()
        };
        (0..n_classes).map(of_class).collect()
    }

    /// Shrunken leaf values: Newton steps from full-precision sums in row order, or residual quantiles.
    fn leaf_values(
        &self,
        grown: &Grown<'_>,
        gradients: &[(f64, f64)],
        margins: &[f64],
    ) -> Vec<f64> {
        let params = self.params;
        let newton = |rows: &[u32]| {
            let (gradient, hessian) = rows.iter().fold((0.0, 0.0), |(g, h), &row| {
                let (gradient, hessian) = gradients[row as usize];
                (g + gradient, h + hessian)
            });
            let curvature = hessian + params.lambda_l2;
            let step = -soft_threshold(gradient, params.lambda_l1) / curvature;
            if step.is_finite() { step } else { 0.0 }
        };
        let quantile = |rows: &[u32], alpha: f64| {
            let residual = |&row: &u32| {
                let row = row as usize;
                (self.train.labels()[row] - margins[row], self.train.weights[row])
            };
            weighted_quantile(rows.iter().map(residual).collect(), alpha)
        };
        let value = |leaf: usize| {
            let rows = grown.rows(leaf);
            let step = match self.objective.leaf_quantile() {
                Some(alpha) => quantile(rows, alpha),
                None => newton(rows),
            };
            params.learning_rate * step
        };
        (0..grown.tree.n_leaves()).into_par_iter().map(value).collect()
    }

    /// Sums of row weights, without class factors: what explanations weigh branches by.
    fn leaf_cover(&self, grown: &Grown<'_>) -> Vec<f64> {
        let sum = |leaf: usize| {
            let rows = grown.rows(leaf);
            match self.train.data.weight() {
                Some(weight) => rows.iter().map(|&row| weight[row as usize]).sum(),
                None => rows.len() as f64,
            }
        };
        (0..grown.tree.n_leaves()).map(sum).collect()
    }
}

/// Moves the margins of the rows a tree was grown on.
fn add_to_leaves(grown: &Grown<'_>, values: &[f64], margins: &mut [f64]) {
    for (leaf, &value) in values.iter().enumerate() {
        grown.rows(leaf).iter().for_each(|&row| margins[row as usize] += value);
    }
}

/// Moves the margins of all rows but `sampled` (ascending), which have been moved already.
fn add_to_unsampled(
    grown: &Grown<'_>,
    values: &[f64],
    sampled: &[u32],
    codes: &CodeMatrix,
    margins: &mut [f64],
) {
    let mut sampled = sampled.iter().peekable();
    for (row, margin) in (0u32..).zip(margins) {
        if sampled.next_if(|&&next| next == row).is_none() {
            *margin += values[grown.tree.leaf(codes.row(row as usize)) as usize];
        }
    }
}

/// Moves the margins of all rows.
fn add_to_all(grown: &Grown<'_>, values: &[f64], codes: &CodeMatrix, margins: &mut [f64]) {
    margins.par_iter_mut().with_min_len(BLOCK_ROWS).enumerate().for_each(|(row, margin)| {
        *margin += values[grown.tree.leaf(codes.row(row)) as usize];
    });
}
